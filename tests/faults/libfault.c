/* SPDX-License-Identifier: ISC */
/*
 * Faults for a program that was not built for them: LD_PRELOAD this, and the n-th call of chosen functions fails, or
 * a signal comes at it, or the clock jumps. tests/integration/faults.py steers it through a file that both map,
 * at any time while the program runs. Never installed.
 *
 * Theory of operation. Each function here counts its call, and asks decide() whether it is the one to fail; if not,
 * it goes on to the real one. Calls that libraries make count like the program's own; calls within libc
 * do not come by here, but for malloc(). Writing to stderr does not count: what the program says about a
 * fault is what the test wants to read. NATD_FAULT_BREAK names what breaking_call() does on SIGUSR1: a
 * call that a confined program must die of.
 */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* In the order of faults.py. */
/* clang-format off */
#define FUNCTIONS(X)                                                                                             \
	X(malloc, ENOMEM)                                                                                        \
	X(calloc, ENOMEM)                                                                                        \
	X(realloc, ENOMEM)                                                                                       \
	X(mmap, ENOMEM)                                                                                          \
	X(madvise, ENOMEM)                                                                                       \
	X(memfd_create, EMFILE)                                                                                  \
	X(ftruncate, ENOSPC)                                                                                     \
	X(fallocate, ENOSPC)                                                                                     \
	X(open, EMFILE)                                                                                          \
	X(fopen, EMFILE)                                                                                         \
	X(read, EIO)                                                                                             \
	X(readv, EIO)                                                                                            \
	X(write, ENOSPC)                                                                                         \
	X(writev, EIO)                                                                                           \
	X(pwrite, EIO)                                                                                           \
	X(fsync, EIO)                                                                                            \
	X(rename, EACCES)                                                                                        \
	X(unlink, EACCES)                                                                                        \
	X(mkdir, EACCES)                                                                                         \
	X(chmod, EPERM)                                                                                          \
	X(lstat, EACCES)                                                                                         \
	X(socket, EMFILE)                                                                                        \
	X(bind, EADDRINUSE)                                                                                      \
	X(listen, EADDRINUSE)                                                                                    \
	X(connect, ECONNREFUSED)                                                                                 \
	X(accept4, EMFILE)                                                                                       \
	X(sendto, ENOBUFS)                                                                                       \
	X(sendmsg, ENOBUFS)                                                                                      \
	X(sendmmsg, ENOBUFS)                                                                                     \
	X(recv, ENOBUFS)                                                                                         \
	X(recvfrom, ENOBUFS)                                                                                     \
	X(recvmsg, ENOBUFS)                                                                                      \
	X(setsockopt, ENOMEM)                                                                                    \
	X(ioctl, EIO)                                                                                            \
	X(fcntl, EPERM)                                                                                          \
	X(epoll_create1, EMFILE)                                                                                 \
	X(epoll_ctl, ENOMEM)                                                                                     \
	X(epoll_wait, EINTR)                                                                                     \
	X(getrandom, EAGAIN)                                                                                     \
	X(prctl, EPERM)                                                                                          \
	X(setgroups, EPERM)
/* clang-format on */

#define AS_ENUM(name, error)  F_##name,
#define AS_ERROR(name, error) [F_##name] = error,
#define AS_NAME(name, error)  [F_##name] = #name,
enum function { FUNCTIONS(AS_ENUM) F_COUNT };
static const int usual_error[F_COUNT] = {FUNCTIONS(AS_ERROR)};
static const char *const names[F_COUNT] = {FUNCTIONS(AS_NAME)};

struct control {
	uint64_t mask;	     /* bit by enum function: which calls count */
	uint64_t countdown;  /* the call that fails, 1: the next; 0: none */
	uint64_t repeat;     /* how many after it fail too */
	int32_t error;	     /* 0: the function's usual one */
	int32_t signal;	     /* not 0: instead of a failure natd gets this signal, and the call is made */
	int64_t boottime_ms; /* added to CLOCK_BOOTTIME and CLOCK_MONOTONIC */
	int64_t realtime_s;  /* added to CLOCK_REALTIME */
	uint64_t hit;	     /* calls that failed */
	uint64_t last;	     /* which function, enum function + 1 */
	uint64_t calls[64];  /* by enum function, whatever the mask */
	char library[64];    /* whose call failed last */
	char spared[64];     /* the calls of this library do not fail */
	uint64_t stalled;    /* which calls wait, bit by enum function, until it is 0 again */
	uint64_t waiting;    /* calls that have begun to wait */
	uint64_t lock_calls; /* by the first thread, calls that wait for the kernel's lock of interfaces */
};
_Static_assert(F_COUNT <= 64, "a bit for each function");

static struct control nothing;
static struct control *control = &nothing;
static pid_t natd; /* whose children share all of this */

/* Whose call it is: the first on the stack that is neither this library's nor libc's (strdup() is its caller's). */
static void note_caller(void)
{
	void *frames[12];
	int n = backtrace(frames, sizeof(frames) / sizeof(*frames));
	Dl_info who;

	for (int i = 1; i < n; i++) {
		const char *name = dladdr(frames[i], &who) && who.dli_fname ? who.dli_fname : "";

		name = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
		if (strncmp(name, "libfault", 8) == 0 || strncmp(name, "libc.", 5) == 0)
			continue;
		snprintf(control->library, sizeof(control->library), "%s", name);
		return;
	}
}

/* Does this call fail? Sets errno. */
static bool decide(enum function f)
{
	struct control *c = control;

	c->calls[f]++;
	if (c->stalled >> f & 1)
		c->waiting++;
	while (__atomic_load_n(&c->stalled, __ATOMIC_RELAXED) >> f & 1)
		poll(NULL, 0, 1);
	if (!(c->mask >> f & 1) || c->countdown == 0 || --c->countdown > 0)
		return false;
	note_caller();
	if (c->spared[0] && strncmp(c->library, c->spared, strlen(c->spared)) == 0)
		return false;
	c->hit++;
	c->last = (uint64_t)f + 1;
	if (c->repeat > 0) {
		c->repeat--;
		c->countdown = 1;
	}
	if (c->signal) {
		/* To natd, also if a child made the call, and to its first thread: another one may block it. kill() is
		 * refused by natd's filter. */
		tgkill(natd, natd, c->signal);
		return false;
	}
	errno = c->error ? c->error : usual_error[f];
	return true;
}

/* Another program may hold the kernel's lock of interfaces (RTNL) for seconds: every request for more than a route
 * waits. */
static void note_lock(void)
{
	if (gettid() == natd)
		control->lock_calls++;
}

static void note_netlink(const void *p, size_t len, const struct sockaddr *sa)
{
	struct nlmsghdr h;

	if (!sa || sa->sa_family != AF_NETLINK || len < sizeof(h))
		return;
	memcpy(&h, p, sizeof(h));
	if (h.nlmsg_type != RTM_GETROUTE && h.nlmsg_type != RTM_GETNEIGH)
		note_lock();
}

static void *real(enum function f)
{
	static void *found[F_COUNT];

	if (!found[f])
		found[f] = dlsym(RTLD_NEXT, names[f]);
	return found[f];
}

/* ---- memory: libc's own names for it, since dlsym() itself wants some ---- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);

void *malloc(size_t size)
{
	return decide(F_malloc) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return decide(F_calloc) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return decide(F_realloc) ? NULL : __libc_realloc(p, size);
}

void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	void *(*next)(void *, size_t, int, int, int, off_t) = real(F_mmap);

	return decide(F_mmap) ? MAP_FAILED : next(at, len, prot, flags, fd, offset);
}

/* ---- the others: same parameters on to the real one ---- */

#define WRAP(type, name, failure, parameters, arguments)            \
	type name parameters                                        \
	{                                                           \
		type(*next) parameters = real(F_##name);            \
		return decide(F_##name) ? failure : next arguments; \
	}

WRAP(int, madvise, -1, (void *p, size_t len, int advice), (p, len, advice))
WRAP(int, memfd_create, -1, (const char *name, unsigned flags), (name, flags))
WRAP(int, ftruncate, -1, (int fd, off_t len), (fd, len))
WRAP(int, fallocate, -1, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len))
WRAP(FILE *, fopen, NULL, (const char *path, const char *mode), (path, mode))
WRAP(ssize_t, readv, -1, (int fd, const struct iovec *v, int n), (fd, v, n))
WRAP(ssize_t, writev, -1, (int fd, const struct iovec *v, int n), (fd, v, n))
WRAP(ssize_t, pwrite, -1, (int fd, const void *p, size_t len, off_t at), (fd, p, len, at))
WRAP(int, fsync, -1, (int fd), (fd))
WRAP(int, rename, -1, (const char *from, const char *to), (from, to))
WRAP(int, unlink, -1, (const char *path), (path))
WRAP(int, mkdir, -1, (const char *path, mode_t mode), (path, mode))
WRAP(int, chmod, -1, (const char *path, mode_t mode), (path, mode))
WRAP(int, lstat, -1, (const char *path, struct stat *st), (path, st))
WRAP(int, socket, -1, (int family, int type, int protocol), (family, type, protocol))
WRAP(int, bind, -1, (int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len))
WRAP(int, listen, -1, (int fd, int n), (fd, n))
WRAP(int, connect, -1, (int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len))
WRAP(int, accept4, -1, (int fd, struct sockaddr *sa, socklen_t *len, int flags), (fd, sa, len, flags))
WRAP(ssize_t, sendmsg, -1, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
WRAP(int, sendmmsg, -1, (int fd, struct mmsghdr *m, unsigned n, int flags), (fd, m, n, flags))
WRAP(ssize_t, recv, -1, (int fd, void *p, size_t len, int flags), (fd, p, len, flags))
WRAP(ssize_t, recvfrom, -1, (int fd, void *p, size_t len, int flags, struct sockaddr *sa, socklen_t *sa_len),
     (fd, p, len, flags, sa, sa_len))
WRAP(ssize_t, recvmsg, -1, (int fd, struct msghdr *m, int flags), (fd, m, flags))
WRAP(int, setsockopt, -1, (int fd, int level, int name, const void *p, socklen_t len), (fd, level, name, p, len))
WRAP(int, epoll_create1, -1, (int flags), (flags))
WRAP(int, epoll_ctl, -1, (int fd, int what, int about, struct epoll_event *e), (fd, what, about, e))
WRAP(int, epoll_wait, -1, (int fd, struct epoll_event *e, int n, int ms), (fd, e, n, ms))
WRAP(ssize_t, getrandom, -1, (void *p, size_t len, unsigned flags), (p, len, flags))
WRAP(int, setgroups, -1, (size_t n, const gid_t *groups), (n, groups))

/* The loop tells itself of signals through a pipe, a byte each, read by the kilobyte: that cannot fail. */
enum { SIGNAL_WRITE = 1, SIGNAL_READ = 1024 };

ssize_t write(int fd, const void *p, size_t len)
{
	ssize_t (*next)(int, const void *, size_t) = real(F_write);

	return fd != STDERR_FILENO && len != SIGNAL_WRITE && decide(F_write) ? -1 : next(fd, p, len);
}

ssize_t read(int fd, void *p, size_t len)
{
	ssize_t (*next)(int, void *, size_t) = real(F_read);

	return len != SIGNAL_READ && decide(F_read) ? -1 : next(fd, p, len);
}

ssize_t sendto(int fd, const void *p, size_t len, int flags, const struct sockaddr *sa, socklen_t sa_len)
{
	ssize_t (*next)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) = real(F_sendto);

	note_netlink(p, len, sa);
	return decide(F_sendto) ? -1 : next(fd, p, len, flags, sa, sa_len);
}

/* bpf() has no function of its own. */
long syscall(long number, ...)
{
	static long (*next)(long, ...);
	long a[6];
	va_list ap;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "syscall");
	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_bpf)
		note_lock();
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* Those with an argument that may be missing. */
int open(const char *path, int flags, ...)
{
	int (*next)(const char *, int, ...) = real(F_open);
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = va_arg(ap, mode_t);
	va_end(ap);
	return decide(F_open) ? -1 : next(path, flags, mode);
}

int ioctl(int fd, unsigned long request, ...)
{
	int (*next)(int, unsigned long, ...) = real(F_ioctl);
	va_list ap;
	void *p;

	va_start(ap, request);
	p = va_arg(ap, void *);
	va_end(ap);
	return decide(F_ioctl) ? -1 : next(fd, request, p);
}

int fcntl(int fd, int what, ...)
{
	int (*next)(int, int, ...) = real(F_fcntl);
	va_list ap;
	void *p;

	va_start(ap, what);
	p = va_arg(ap, void *);
	va_end(ap);
	return decide(F_fcntl) ? -1 : next(fd, what, p);
}

int prctl(int what, ...)
{
	int (*next)(int, ...) = real(F_prctl);
	unsigned long a[4];
	va_list ap;

	va_start(ap, what);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	return decide(F_prctl) ? -1 : next(what, a[0], a[1], a[2], a[3]);
}

/* ---- clocks ---- */

int clock_gettime(clockid_t id, struct timespec *ts)
{
	static int (*next)(clockid_t, struct timespec *);
	int r;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "clock_gettime");
	r = next(id, ts);
	if (id == CLOCK_REALTIME) {
		ts->tv_sec += control->realtime_s;
	} else {
		int64_t ns = ts->tv_nsec + control->boottime_ms % 1000 * 1000000;

		ts->tv_sec += control->boottime_ms / 1000 + (ns >= 1000000000) - (ns < 0);
		ts->tv_nsec = ns + (ns < 0 ? 1000000000 : ns >= 1000000000 ? -1000000000 : 0);
	}
	return r;
}

time_t time(time_t *out)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (out)
		*out = ts.tv_sec;
	return ts.tv_sec;
}

/* ---- breaking the rules of the confinement ---- */

static void break_execve(void)
{
	char *argv[] = {(char[]){"true"}, NULL};

	execve("/bin/true", argv, argv + 1);
}

static void break_fork(void)
{
	fork();
}

static void break_ptrace(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void break_raw_socket(void)
{
	socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
}

static void break_packet_socket(void)
{
	socket(AF_PACKET, SOCK_DGRAM, 0);
}

static void break_code(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void break_truncate(void)
{
	open("/run/anything", O_WRONLY | O_CREAT | O_TRUNC, 0600);
}

static void break_kill(void)
{
	kill(getppid(), 0);
}

static void break_ioctl(void)
{
	ioctl(0, TIOCSTI, "x");
}

/* Not the filter's but Landlock's: refused, not killed. Tells by its exit status whether it was. */
static void break_path(void)
{
	_exit(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES ? 42 : 43);
}

static const struct {
	const char *name;
	void (*call)(void);
} breaks[] = {
	{"execve", break_execve},
	{"fork", break_fork},
	{"ptrace", break_ptrace},
	{"raw socket", break_raw_socket},
	{"packet socket", break_packet_socket},
	{"code", break_code},
	{"truncate", break_truncate},
	{"kill", break_kill},
	{"ioctl", break_ioctl},
	{"path", break_path},
};

static void breaking_call(int signo)
{
	const char *name = getenv("NATD_FAULT_BREAK");

	(void)signo;
	for (size_t i = 0; name && i < sizeof(breaks) / sizeof(*breaks); i++) {
		if (strcmp(breaks[i].name, name) == 0)
			breaks[i].call();
	}
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("NATD_FAULT_FILE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *shared;

	natd = getpid();
	for (int f = F_mmap; f < F_COUNT; f++)
		real((enum function)f);
	backtrace(&shared, 1); /* it loads a library with its first call */
	if (getenv("NATD_FAULT_BREAK"))
		signal(SIGUSR1, breaking_call);
	if (fd < 0)
		return;
	shared = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (shared != MAP_FAILED)
		control = shared;
}
