/* SPDX-License-Identifier: ISC */
/* The system call filter of a program beside natd, see program.h. The list below has the calls that all of them
 * need. */
#define _GNU_SOURCE 1
#include "program.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#if (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)) && !defined(HAS_SANITIZER)
#define HAS_SANITIZER 1
#endif

#if defined(HAS_SANITIZER) || defined(NATD_COVERAGE) || !defined(HAVE_LIBSECCOMP)

int program_confine_calls(const char *const *names, size_t n, const char **missing)
{
	(void)names, (void)n;
#if defined(HAS_SANITIZER)
	*missing = "built with sanitizers";
#elif defined(NATD_COVERAGE)
	*missing = "built to measure coverage";
#else
	*missing = "built without libseccomp";
#endif
	return 0;
}

#else
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* clang-format off */
static const char *const always[] = {
	/* libevent waits, and gets signals through a socket pair. */
	"epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "timerfd_settime", "read", "write",
	/* query.c: natd's socket. program.c, log.c: the service manager and the log. */
	"connect", "recvfrom", "recv", "sendto", "send", "close", "poll", "ppoll", "ppoll_time64",
	/* Clocks, where the vDSO has none; process ids. */
	"clock_gettime", "clock_gettime64", "gettimeofday", "time", "getpid", "gettid",
	/* malloc(), locks, random seeds of hash tables. */
	"brk", "munmap", "mremap", "madvise", "futex", "futex_time64", "getrandom",
	/* stdio needs none for memory streams, and looks at stderr's type. */
	"fstat", "fstat64", "newfstatat", "lseek", "_llseek",
	/* Signal handlers are restored at the end; abort(). */
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "restart_syscall", "exit", "exit_group",
};
/* clang-format on */

struct limited {
	const char *name;
	struct scmp_arg_cmp condition;
};

#define HAS(i, mask, value)                                                                 \
	{                                                                                   \
		.arg = (i), .op = SCMP_CMP_MASKED_EQ, .datum_a = (mask), .datum_b = (value) \
	}
#define IS(i, value) HAS(i, 0xffffffffu, (uint32_t)(value))

static const struct limited limits[] = {
	{"socket", IS(0, AF_UNIX)},	    {"mmap", HAS(2, PROT_EXEC, 0)}, {"mmap2", HAS(2, PROT_EXEC, 0)},
	{"mprotect", HAS(2, PROT_EXEC, 0)}, {"fcntl", IS(1, F_GETFL)},	    {"fcntl", IS(1, F_SETFL)},
	{"fcntl64", IS(1, F_GETFL)},	    {"fcntl64", IS(1, F_SETFL)},
};

static int allow(scmp_filter_ctx filter, const char *name, unsigned n, const struct scmp_arg_cmp *conditions)
{
	int nr = seccomp_syscall_resolve_name(name);

	return nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, nr, n, conditions);
}

static int allow_all(scmp_filter_ctx filter, const char *const *names, size_t n)
{
	const struct scmp_arg_cmp self = IS(0, getpid());
	int r = allow(filter, "tgkill", 1, &self);

	for (size_t i = 0; r == 0 && i < sizeof(always) / sizeof(*always); i++)
		r = allow(filter, always[i], 0, NULL);
	for (size_t i = 0; r == 0 && i < sizeof(limits) / sizeof(*limits); i++)
		r = allow(filter, limits[i].name, 1, &limits[i].condition);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = allow(filter, names[i], 0, NULL);
	return r;
}

int program_confine_calls(const char *const *names, size_t n, const char **missing)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = filter ? allow_all(filter, names, n) : -ENOMEM;

	*missing = NULL;
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	if (r == -EINVAL || r == -ENOSYS) {
		*missing = "this kernel has none (CONFIG_SECCOMP_FILTER)";
		r = 0;
	}
	return r;
}
#endif
