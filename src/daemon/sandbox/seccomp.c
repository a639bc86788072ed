/* SPDX-License-Identifier: ISC */
/*
 * The system call filter.
 *
 * Theory of operation. After the start natd serves, reloads, follows the host's addresses, recreates a lost TUN, and
 * stops. The calls that this needs are listed below, each beside its reason. They are given by name: one that this
 * architecture or libseccomp does not know is omitted. A call without a condition on its arguments costs nothing (since
 * 5.11 the kernel keeps a bitmap of those), so calls made for each packet have none. A condition compares 32 bits,
 * because the kernel uses no more of an int either.
 */
#define _GNU_SOURCE 1 /* O_TMPFILE, CLONE_THREAD */
#include "seccomp.h"

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#if (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)) && !defined(HAS_SANITIZER)
#define HAS_SANITIZER 1
#endif

#if defined(HAS_SANITIZER) || defined(NATD_COVERAGE) || !defined(HAVE_LIBSECCOMP)

const char *seccomp_missing(void)
{
#if defined(HAS_SANITIZER)
	return "built with sanitizers";
#elif defined(NATD_COVERAGE)
	return "built to measure coverage";
#else
	return "built without libseccomp";
#endif
}

int seccomp_prepare(struct seccomp_filter **out, enum seccomp_process process)
{
	(void)process;
	*out = NULL;
	return 0;
}

int seccomp_confine(struct seccomp_filter *f)
{
	(void)f;
	return 0;
}

void seccomp_free(struct seccomp_filter *f)
{
	(void)f;
}

#else
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/base/child.h"

/* ---- calls without a condition ---- */

/* clang-format off */
static const char *const calls[] = {
	/* tun.c, rawsock.c, icmpsock.c: packets. */
	"read", "readv", "write", "writev", "sendmmsg", "recvfrom",
	/* loop.c: libevent waits. */
	"epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "timerfd_settime",
	/* The clock, if the vDSO does not have it. */
	"clock_gettime", "clock_gettime64", "gettimeofday", "time",
	/* ctlserver.c, ctlclient.c: clients. netlink.c, log.c, sdnotify.c: the other ends. */
	"accept4", "sendto", "sendmsg", "recvmsg", "recv", "send", "connect", "getsockopt", "getsockname", "getpeername",
	"shutdown", "close",
	/* hostports.c: binds to a port to see whether it is free. (landlock.c refuses connect() by TCP.) */
	"bind",
	/* log.c: is there room in the pipe? sdnotify.c: a barrier, the bus. */
	"poll", "ppoll", "ppoll_time64", "pipe2",
	/* config.c, sysctl.c, state.c, facts.c, doctor.c: files; open itself is below. */
	"lseek", "_llseek", "pread64", "pwrite64", "fsync", "fstat", "fstat64", "stat", "stat64", "lstat", "lstat64",
	"newfstatat", "fstatat64", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "unlink",
	"unlinkat", "rename", "renameat", "renameat2",
	/* ctlsocket.c: control.mode may change. */
	"chmod", "fchmodat",
	/* memory.c: returns pages; they are mapped during start. malloc(). */
	"fallocate", "madvise", "munmap", "mremap", "brk",
	/* privs.c: CAP_NET_ADMIN is raised and lowered around changes of routes. */
	"capget", "capset",
	/* Process and user ids: log.c, doctor.c, the bus. */
	"getpid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getuid32", "geteuid32", "getgid32", "getegid32",
	/* libc: random numbers of malloc() and of the bus, locks; qsort() reads the amount of memory. */
	"getrandom", "futex", "futex_time64", "sysinfo", "sched_yield",
	/* Signals: handlers are restored at the stop; abort(). */
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "restart_syscall",
	/* worker.c: a thread for each further queue, recreated with the TUN; an eventfd ends it. clone() is below. */
	"set_robust_list", "rseq", "eventfd2",
	/* The end. */
	"exit", "exit_group",
};
/* clang-format on */

/* ---- calls with conditions ---- */

struct limited {
	const char *name;
	unsigned n;
	struct scmp_arg_cmp conditions[2];
};

#define ALL_BITS 0xffffffffu
/* Argument `i`, under the mask, equals the value. */
#define BITS(i, mask, value)                                                                \
	{                                                                                   \
		.arg = (i), .op = SCMP_CMP_MASKED_EQ, .datum_a = (mask), .datum_b = (value) \
	}
#define IS(i, value)	  BITS(i, ALL_BITS, (uint32_t)(value))
#define NOT_BITS(i, mask) BITS(i, mask, 0)

enum {
	SOCKET_TYPE = 0xf, /* without SOCK_NONBLOCK and SOCK_CLOEXEC */
	/* Creating, truncating and appending: existing files are never opened like that. */
	OPEN_MAKING = O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY),
	OPEN_NEW = O_CREAT | O_EXCL | O_NOFOLLOW,
};

/* clang-format off */
static const struct limited limits[] = {
	/* Reads a configuration, /proc and settings; writes settings; opens the TUN device. */
	{"open", 1, {NOT_BITS(1, OPEN_MAKING)}},
	{"openat", 1, {NOT_BITS(2, OPEN_MAKING)}},
	/* state.c, sysctl.c: a new file beside the old one. */
	{"open", 1, {BITS(1, OPEN_NEW | O_TRUNC, OPEN_NEW)}},
	{"openat", 1, {BITS(2, OPEN_NEW | O_TRUNC, OPEN_NEW)}},
	/* hostports.c: the port in question. Not a raw socket: that one is open. */
	{"socket", 2, {IS(0, AF_INET), BITS(1, SOCKET_TYPE, SOCK_STREAM)}},
	{"socket", 2, {IS(0, AF_INET), BITS(1, SOCKET_TYPE, SOCK_DGRAM)}},
	/* log.c, sdnotify.c: the log, the service manager, its bus. libc: if_nametoindex(). */
	{"socket", 2, {IS(0, AF_UNIX), BITS(1, SOCKET_TYPE, SOCK_STREAM)}},
	{"socket", 2, {IS(0, AF_UNIX), BITS(1, SOCKET_TYPE, SOCK_DGRAM)}},
	/* icmpsock.c: which interface; libsystemd: buffers, credentials. */
	{"setsockopt", 1, {IS(1, SOL_SOCKET)}},
	/* tun.c: recreates a device. */
	{"ioctl", 1, {IS(1, TUNSETIFF)}},
	{"ioctl", 1, {IS(1, TUNGETIFF)}},
	{"ioctl", 1, {IS(1, TUNSETOFFLOAD)}},
	{"ioctl", 1, {IS(1, TUNSETVNETHDRSZ)}},
	/* libc: if_nametoindex(), if_indextoname(). */
	{"ioctl", 1, {IS(1, SIOCGIFINDEX)}},
	{"ioctl", 1, {IS(1, SIOCGIFNAME)}},
	/* tun.c: non-blocking. memory.c: seals. libsystemd: descriptors above 2. */
	{"fcntl", 1, {IS(1, F_GETFL)}},
	{"fcntl", 1, {IS(1, F_SETFL)}},
	{"fcntl", 1, {IS(1, F_GETFD)}},
	{"fcntl", 1, {IS(1, F_SETFD)}},
	{"fcntl", 1, {IS(1, F_DUPFD_CLOEXEC)}},
	{"fcntl64", 1, {IS(1, F_GETFL)}},
	{"fcntl64", 1, {IS(1, F_SETFL)}},
	{"fcntl64", 1, {IS(1, F_GETFD)}},
	{"fcntl64", 1, {IS(1, F_SETFD)}},
	{"fcntl64", 1, {IS(1, F_DUPFD_CLOEXEC)}},
	/* worker.c: threads, never processes. */
	{"clone", 1, {BITS(0, CLONE_THREAD, CLONE_THREAD)}},
	/* offload/bpf.c: attaches tc programs that are loaded. It loads no program and creates no map. */
	{"bpf", 1, {IS(0, BPF_OBJ_GET_INFO_BY_FD)}},
	{"bpf", 1, {IS(0, BPF_LINK_CREATE)}},
	{"bpf", 1, {IS(0, BPF_LINK_UPDATE)}},
	{"bpf", 1, {IS(0, BPF_LINK_DETACH)}},
	/* malloc(): memory, never code. */
	{"mmap", 1, {NOT_BITS(2, PROT_EXEC)}},
	{"mmap2", 1, {NOT_BITS(2, PROT_EXEC)}},
	{"mprotect", 1, {NOT_BITS(2, PROT_EXEC)}},
};

/* health.c: forks a process, waits for it, and forks another; that one's filter comes on top. */
static const char *const keeper_calls[] = {
	"wait4", "waitid", "waitpid", "nanosleep", "clock_nanosleep", "clock_nanosleep_time64", "seccomp", "prctl", "fork",
	"set_robust_list", "rseq", "set_tid_address", "rt_sigprocmask", "getpid", "gettid",
};

static const struct limited keeper_limits[] = {
	{"clone", 1, {NOT_BITS(0, CLONE_THREAD | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID)}},
};

/* health_probe.c: connects, sends, reports to natd; and the calls that libc's malloc() needs. */
static const char *const health_calls[] = {
	"poll", "ppoll", "ppoll_time64", "connect", "getsockopt", "send", "sendto", "recv", "recvfrom", "close",
	"clock_gettime", "clock_gettime64", "gettimeofday", "time", "brk", "munmap", "mremap", "madvise", "getrandom",
	"futex", "rt_sigreturn", "sigreturn", "restart_syscall", "exit", "exit_group",
};

static const struct limited health_limits[] = {
	{"socket", 2, {IS(0, AF_INET), BITS(1, SOCKET_TYPE, SOCK_STREAM)}},
	{"mmap", 1, {NOT_BITS(2, PROT_EXEC)}},
	{"mmap2", 1, {NOT_BITS(2, PROT_EXEC)}},
};
/* clang-format on */

struct allowance {
	const char *const *calls;
	size_t n_calls;
	const struct limited *limits;
	size_t n_limits;
	const struct allowance *children; /* its children may not be denied these; NULL: there are none */
};

#define ALLOWANCE(c, l) \
	.calls = (c), .n_calls = sizeof(c) / sizeof(*(c)), .limits = (l), .n_limits = sizeof(l) / sizeof(*(l))

static const struct allowance allowances[] = {
	[SECCOMP_NATD] = {ALLOWANCE(calls, limits)},
	[SECCOMP_KEEPER] = {ALLOWANCE(keeper_calls, keeper_limits), .children = &allowances[SECCOMP_HEALTH]},
	[SECCOMP_HEALTH] = {ALLOWANCE(health_calls, health_limits)},
};

const char *seccomp_missing(void)
{
	return NULL;
}

static int allow_calls(scmp_filter_ctx filter, const struct allowance *a)
{
	for (size_t i = 0; i < a->n_calls; i++) {
		int nr = seccomp_syscall_resolve_name(a->calls[i]);
		int r = nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, nr, 0, NULL);

		if (r < 0)
			return r;
	}
	return 0;
}

static int allow_limited(scmp_filter_ctx filter, const struct allowance *a)
{
	for (size_t i = 0; i < a->n_limits; i++) {
		const struct limited *l = &a->limits[i];
		int nr = seccomp_syscall_resolve_name(l->name);
		int r = nr == __NR_SCMP_ERROR ? 0
					      : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, nr, l->n, l->conditions);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Its flags are in memory, where no filter sees them. Without clone3 libc falls back to clone(). */
static int hide_clone3(scmp_filter_ctx filter)
{
	int nr = seccomp_syscall_resolve_name("clone3");

	return nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(ENOSYS), nr, 0, NULL);
}

/* abort() and the stack protector end with a signal to natd itself. */
static int allow_abort(scmp_filter_ctx filter, pid_t natd)
{
	const struct scmp_arg_cmp self = IS(0, natd);

	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &self);
}

static int allow_all(scmp_filter_ctx filter, pid_t natd, const struct allowance *a)
{
	int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	if (r == 0)
		r = hide_clone3(filter);
	for (; r == 0 && a != NULL; a = a->children) {
		r = allow_calls(filter, a);
		if (r == 0)
			r = allow_limited(filter, a);
	}
	return r == 0 ? allow_abort(filter, natd) : r;
}

/* ---- generating the program ---- */

enum { PROGRAM_MAX = 4096 }; /* BPF_MAXINSNS: the kernel's limit */

struct seccomp_filter {
	unsigned short n;
	struct sock_filter code[PROGRAM_MAX];
};

struct job {
	pid_t natd; /* of natd, to allow its abort() */
	enum seccomp_process process;
};

/* In the child: writes the program to `fd`, which takes some milliseconds. */
static int write_program(const void *ctx, int fd)
{
	const struct job *job = ctx;
	const struct rlimit seconds = {1, 1}; /* of CPU: after some failed allocations libseccomp loops for ever */
	scmp_filter_ctx filter;
	int r = setrlimit(RLIMIT_CPU, &seconds) < 0 ? -errno : 0;

	if (r < 0)
		return r;
	filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	r = filter ? allow_all(filter, job->natd, &allowances[job->process]) : -ENOMEM;
	return r == 0 ? seccomp_export_bpf(filter, fd) : r;
}

/* libseccomp does not survive every failed allocation: it runs in a child. */
static int make_program(struct seccomp_filter *f, enum seccomp_process process)
{
	const struct job job = {getpid(), process};
	size_t len;
	int r = child_run(write_program, &job, f->code, sizeof(f->code), &len);

	f->n = (unsigned short)(len / sizeof(f->code[0]));
	if (r < 0)
		return r;
	return len == 0 || len == sizeof(f->code) || len % sizeof(f->code[0]) ? -ENOMEM : 0;
}

/* It does not notice each of them, and then omits a rule: two runs must give the same result. */
int seccomp_prepare(struct seccomp_filter **out, enum seccomp_process process)
{
	struct seccomp_filter *f = calloc(2, sizeof(*f));
	int r = f ? make_program(&f[0], process) : -ENOMEM;

	*out = NULL;
	if (r == 0)
		r = make_program(&f[1], process);
	if (r == 0 && (f[0].n != f[1].n || memcmp(f[0].code, f[1].code, f[0].n * sizeof(f[0].code[0])) != 0))
		r = -ENOMEM;
	if (r == 0)
		*out = f;
	else
		free(f);
	return r;
}

int seccomp_confine(struct seccomp_filter *f)
{
	struct sock_fprog program;
	long r;

	if (!f)
		return 0;
	program = (struct sock_fprog){.len = f->n, .filter = f->code};
	r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
	if (r < 0)
		return -errno;
	return r > 0 ? -ESRCH : 0; /* a thread has a filter of its own: none was installed */
}

void seccomp_free(struct seccomp_filter *f)
{
	free(f);
}
#endif
