/* SPDX-License-Identifier: ISC */
/*
 * The log.
 *
 * Theory of operation. A message is formatted into a buffer on the stack, escaped into a second one, and passed to the
 * target in one non-blocking system call. syslog and the journal are reached through datagram sockets of our own,
 * because their libraries would block. The journal gets its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL), which
 * also works in builds without libsystemd. A line that such a socket does not accept goes to stderr, and the next line
 * tries the socket again.
 *
 * stderr may be shared with other processes, so O_NONBLOCK must not be set on it: a pipe or a terminal is opened a
 * second time for that. If that is not permitted, a line is written only when poll() reports room. No line is longer
 * than PIPE_BUF, so it then fits into a pipe (unless another writer is faster). A terminal reports room for a single
 * byte, and a file always does, even on a disk that hangs: writing to these may block.
 *
 * The rate limit is a token bucket for each message, found by the address of its format string: a noisy message never
 * hides another one. The next line that passes gives the number of suppressed ones.
 */
#define _GNU_SOURCE 1 /* strerrorname_np() */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 1024, LINE_MAX_BYTES = PIPE_BUF, BUCKETS = 64, BURST = 20, REFILL_MS = 500 };

struct bucket {
	const char *format;
	uint64_t stamp_ms;
	uint32_t tokens;
	uint32_t suppressed;
};

/* The only state of the whole process: there is one log, and every module writes to it. */
static struct {
	enum log_target target; /* never LOG_TO_AUTO */
	enum log_level level;
	int socket;		 /* of the target; -1: it has none, or it is not connected */
	bool is_opened;		 /* by log_open() */
	int stderr_fd;		 /* descriptor for lines to stderr */
	uint32_t lost;		 /* lines that no target accepted */
	uint32_t diverted;	 /* lines that went to stderr because the target did not accept them */
	bool has_journal_prefix; /* stderr leads to the journal: lines begin with their priority */
	struct bucket buckets[BUCKETS];
	const char *program;
} log_state = {
	.program = "natd", .target = LOG_TO_STDERR, .level = LEVEL_INFO, .socket = -1, .stderr_fd = STDERR_FILENO};

/* Workers log too, though rarely. */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *const level_names[] = {
	[LEVEL_ERROR] = "error", [LEVEL_WARNING] = "warning", [LEVEL_NOTICE] = "notice",
	[LEVEL_INFO] = "info",	 [LEVEL_DEBUG] = "debug",
};
_Static_assert(sizeof(level_names) / sizeof(*level_names) == LEVEL_COUNT, "a name for every level");

static const char *const target_names[] = {
	[LOG_TO_AUTO] = "auto",
	[LOG_TO_STDERR] = "stderr",
	[LOG_TO_SYSLOG] = "syslog",
	[LOG_TO_JOURNAL] = "journal",
};
_Static_assert(sizeof(target_names) / sizeof(*target_names) == LOG_TO_COUNT, "a name for every target");

static const char *const subsystem_names[] = {
	[SUB_MAIN] = "main",	   [SUB_CONFIG] = "config",   [SUB_CONTROL] = "control", [SUB_DATA] = "data",
	[SUB_NETLINK] = "netlink", [SUB_ROUTING] = "routing", [SUB_TUN] = "tun",	 [SUB_PRIVS] = "privs",
	[SUB_SERVICE] = "service", [SUB_TABLE] = "table",
};
_Static_assert(sizeof(subsystem_names) / sizeof(*subsystem_names) == SUB_COUNT, "a name for every subsystem");

static const char *const id_texts[] = {
	[LOG_ID_NONE] = "",
	[LOG_ID_READY] = "0558738ea4d1473ca8e75e83462e477c",
	[LOG_ID_STOPPING] = "1e043fdfdf1d430d8e0b6118e6e7ca98",
	[LOG_ID_RELOADED] = "48783d89f66349a7b63ee53ab5fae6f8",
	[LOG_ID_NOT_RELOADED] = "c1cadb1bd71147f8bc786a2d3692d03c",
	[LOG_ID_HOST_CHANGED] = "d57f276e68174442a196ce24e66d30a2",
	[LOG_ID_REPAIRED] = "e32eb1c09f5a43a694f8a97c8e8c2dc5",
	[LOG_ID_DEVICE_LOST] = "171ae379eb424810b4f76fd122c35568",
	[LOG_ID_DEVICE_BACK] = "50d97b215d9140b998ebbb134107e880",
	[LOG_ID_FINDING] = "8f09e56042274fd6ae00b04c957b8e9d",
	[LOG_ID_FINDING_OVER] = "70ce778f5edd49faac2bac18f1b36052",
	[LOG_ID_ALARM] = "87f40b1f521d4b7aacbdb4b185a83952",
	[LOG_ID_ALARM_OVER] = "479f5bab0c2a4c8ab793ce19ca6090ea",
	[LOG_ID_BACKEND] = "5dc4d6d7495c4861958533b398cb1c35",
};
_Static_assert(sizeof(id_texts) / sizeof(*id_texts) == LOG_ID_COUNT, "a text for every id");

/* syslog's numbers (RFC 5424 6.2.1), which the journal uses too. */
static const int priorities[LEVEL_COUNT] = {
	[LEVEL_ERROR] = 3, [LEVEL_WARNING] = 4, [LEVEL_NOTICE] = 5, [LEVEL_INFO] = 6, [LEVEL_DEBUG] = 7,
};

enum { FACILITY_DAEMON = 3 << 3 };

struct message {
	enum log_id id;
	enum log_level level;
	enum log_subsystem sub;
	int err;
	bool is_plain; /* printed on stderr without prefix */
	bool is_unlimited;
	const char *text;
};

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

const char *log_target_name(enum log_target target)
{
	return target_names[target];
}

const char *log_id_text(enum log_id id)
{
	return id_texts[id];
}

const char *log_subsystem_name(enum log_subsystem sub)
{
	return subsystem_names[sub];
}

void log_set_level(enum log_level level)
{
	log_state.level = level;
}

void log_set_program(const char *name)
{
	log_state.program = name;
}

bool log_wants(enum log_level level)
{
	return level <= log_state.level;
}

size_t log_escape(char *out, size_t size, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (; *text && n + 1 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c < 0x7f) {
			out[n++] = (char)c;
			continue;
		}
		if (n + 4 >= size)
			break;
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	if (size)
		out[n] = '\0';
	return n;
}

/* ---- targets ---- */

/* Returns a connected non-blocking datagram socket, or -1. */
static int connect_datagram(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Does stderr lead to the journal (systemd.exec(5), JOURNAL_STREAM)? */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat st;
	char own[64];

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(stream, own) == 0;
}

static const char *const target_paths[LOG_TO_COUNT] = {
	[LOG_TO_SYSLOG] = "/dev/log",
	[LOG_TO_JOURNAL] = "/run/systemd/journal/socket",
};

/* Returns a descriptor of our own for stderr that does not block; STDERR_FILENO itself if that is impossible. */
static int open_stderr(void)
{
	struct stat st;
	int fd = -1;

	if (isatty(STDERR_FILENO) || (fstat(STDERR_FILENO, &st) == 0 && S_ISFIFO(st.st_mode)))
		fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? STDERR_FILENO : fd;
}

/* Returns 0, or the errno of a target that cannot be reached. */
static int switch_target(enum log_target target)
{
	log_state.has_journal_prefix = stderr_is_journal();
	if (!log_state.is_opened)
		log_state.stderr_fd = open_stderr(); /* only at start: later natd may not be allowed to */
	log_state.is_opened = true;
	if (target == LOG_TO_AUTO)
		target = log_state.has_journal_prefix ? LOG_TO_JOURNAL : LOG_TO_STDERR;
	if (target == log_state.target)
		return 0;
	if (log_state.socket >= 0)
		close(log_state.socket);
	log_state.target = target;
	log_state.socket = target_paths[target] ? connect_datagram(target_paths[target]) : -1;
	return target_paths[target] && log_state.socket < 0 ? errno : 0;
}

void log_open(enum log_target target)
{
	int err;

	pthread_mutex_lock(&log_lock);
	err = switch_target(target);
	pthread_mutex_unlock(&log_lock);
	if (err)
		log_write(LEVEL_WARNING, SUB_MAIN, err,
			  "log target \"%s\" cannot be reached, using stderr until it can", log_target_name(target));
}

/* Each returns whether the line was written. */
static bool put_text(const char *line, int n)
{
	struct pollfd p = {.fd = log_state.stderr_fd, .events = POLLOUT};

	if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLOUT))
		return false;
	return write(log_state.stderr_fd, line, (size_t)n) == n;
}

static bool put_stderr(const struct message *m)
{
	char line[LINE_MAX_BYTES];
	const char *level = m->level <= LEVEL_WARNING ? level_names[m->level] : "";
	int n;

	if (log_state.has_journal_prefix)
		n = snprintf(line, sizeof(line), "<%d>%s\n", priorities[m->level], m->text);
	else if (m->is_plain)
		n = snprintf(line, sizeof(line), "%s\n", m->text);
	else if (m->level == LEVEL_DEBUG)
		n = snprintf(line, sizeof(line), "%s: %s: %s\n", log_state.program, subsystem_names[m->sub], m->text);
	else
		n = snprintf(line, sizeof(line), "%s: %s%s%s\n", log_state.program, level, *level ? ": " : "", m->text);
	return put_text(line, n);
}

static bool send_datagram(const char *data, int n)
{
	return send(log_state.socket, data, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n;
}

static bool put_datagram(const char *data, int n)
{
	if (log_state.socket >= 0) {
		if (send_datagram(data, n))
			return true;
		if (errno == EAGAIN || errno == EMSGSIZE)
			return false;
		close(log_state.socket); /* the log daemon was restarted */
	}
	log_state.socket = connect_datagram(target_paths[log_state.target]);
	return log_state.socket >= 0 && send_datagram(data, n);
}

static bool put_syslog(const struct message *m)
{
	char line[LINE_MAX_BYTES];
	int n = snprintf(line, sizeof(line), "<%d>%s[%d]: %s", FACILITY_DAEMON | priorities[m->level],
			 log_state.program, (int)getpid(), m->text);

	return put_datagram(line, n);
}

static const char *errno_name(int err)
{
#ifdef __GLIBC__
	const char *name = strerrorname_np(err);

	if (name)
		return name;
#endif
	(void)err; /* musl has no names */
	return "unknown";
}

static bool put_journal(const struct message *m)
{
	char data[LINE_MAX_BYTES];
	int n = snprintf(data, sizeof(data),
			 "MESSAGE=%s\nPRIORITY=%d\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=%s\nNATD_SUBSYSTEM=%s\n",
			 m->text, priorities[m->level], log_state.program, subsystem_names[m->sub]);

	if (m->id != LOG_ID_NONE)
		n += snprintf(data + n, sizeof(data) - (size_t)n, "MESSAGE_ID=%s\n", id_texts[m->id]);
	if (m->err)
		n += snprintf(data + n, sizeof(data) - (size_t)n, "ERRNO=%d\nNATD_CAUSE=%s\n", m->err,
			      errno_name(m->err));
	return put_datagram(data, n);
}

static bool put(const struct message *m)
{
	switch (log_state.target) {
	case LOG_TO_SYSLOG:
		return put_syslog(m);
	case LOG_TO_JOURNAL:
		return put_journal(m);
	case LOG_TO_AUTO:
	case LOG_TO_STDERR:
	case LOG_TO_COUNT:
		break;
	}
	return put_stderr(m);
}

/* ---- rate limit ---- */

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static struct bucket *bucket_find(const char *format)
{
	struct bucket *b = &log_state.buckets[((uintptr_t)format * 0x9e3779b97f4a7c15u >> 32) % BUCKETS];

	if (b->format != format)
		*b = (struct bucket){.format = format, .tokens = BURST, .stamp_ms = clock_ms()};
	return b;
}

/* Takes a token. False: the message is suppressed. */
static bool bucket_take(struct bucket *b)
{
	uint64_t now_ms = clock_ms();
	uint64_t more = (now_ms - b->stamp_ms) / REFILL_MS;

	if (more > 0) {
		b->stamp_ms += more * REFILL_MS;
		b->tokens = more + b->tokens > BURST ? BURST : b->tokens + (uint32_t)more;
	}
	if (b->tokens == 0) {
		b->suppressed++;
		return false;
	}
	b->tokens--;
	return true;
}

/* ---- messages ---- */

/* Reports the number of missing lines, as soon as a line can be written again. */
static void report_missing(enum log_subsystem sub, uint32_t *missing, const char *fate)
{
	char text[80];
	struct message m = {.level = LEVEL_WARNING, .sub = sub, .text = text};

	if (!*missing)
		return;
	snprintf(text, sizeof(text), "%u log lines %s: the log did not take them", *missing, fate);
	if (put(&m))
		*missing = 0;
}

/* Returns whether the target accepted it. */
static bool deliver(const struct message *m)
{
	if (put(m)) {
		report_missing(m->sub, &log_state.lost, "lost");
		report_missing(m->sub, &log_state.diverted, "went to stderr");
		return true;
	}
	if (log_state.target != LOG_TO_STDERR && put_stderr(m))
		log_state.diverted++;
	else
		log_state.lost++;
	return false;
}

static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *text, size_t size, const char *format, ...)
{
	size_t n = strlen(text);
	va_list ap;

	va_start(ap, format);
	vsnprintf(text + n, size - n, format, ap);
	va_end(ap);
}

static void write_message(struct message *m, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
static void write_message(struct message *m, const char *format, va_list ap)
{
	char raw[TEXT_MAX];
	char text[2 * TEXT_MAX];
	struct bucket *b;
	int err = m->err;

	if (!log_wants(m->level))
		return;
	b = bucket_find(format);
	if (m->level != LEVEL_DEBUG && !m->is_unlimited && !bucket_take(b))
		return;
	vsnprintf(raw, sizeof(raw), format, ap);
	if (err)
		append(raw, sizeof(raw), ": %s", strerror(err));
	if (b->suppressed)
		append(raw, sizeof(raw), " (%u more like this were suppressed)", b->suppressed);
	b->suppressed = 0;
	log_escape(text, sizeof(text), raw);
	m->text = text;
	deliver(m);
}

static void write_locked(struct message *m, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
static void write_locked(struct message *m, const char *format, va_list ap)
{
	int saved = errno;

	pthread_mutex_lock(&log_lock);
	write_message(m, format, ap);
	pthread_mutex_unlock(&log_lock);
	errno = saved;
}

void log_write(enum log_level level, enum log_subsystem sub, int err, const char *format, ...)
{
	struct message m = {.level = level, .sub = sub, .err = err};
	va_list ap;

	va_start(ap, format);
	write_locked(&m, format, ap);
	va_end(ap);
}

void log_known(enum log_id id, enum log_level level, enum log_subsystem sub, int err, const char *format, ...)
{
	struct message m = {.id = id, .level = level, .sub = sub, .err = err};
	va_list ap;

	va_start(ap, format);
	write_locked(&m, format, ap);
	va_end(ap);
}

void log_unlimited(enum log_level level, enum log_subsystem sub, const char *format, ...)
{
	struct message m = {.level = level, .sub = sub, .is_unlimited = true};
	va_list ap;

	va_start(ap, format);
	write_locked(&m, format, ap);
	va_end(ap);
}

/* Does the target lead to the journal? Under systemd syslog's socket is one of the journal's. */
static bool target_is_journal(void)
{
	static const char directory[] = "/run/systemd/journal/";
	struct sockaddr_un sa = {0};
	socklen_t len = sizeof(sa) - 1;

	if (log_state.target == LOG_TO_JOURNAL)
		return true;
	return log_state.socket >= 0 && getpeername(log_state.socket, (struct sockaddr *)&sa, &len) == 0 &&
	       strncmp(sa.sun_path, directory, sizeof(directory) - 1) == 0;
}

void log_plain(enum log_level level, enum log_subsystem sub, const char *text)
{
	log_plain_known(LOG_ID_NONE, level, sub, text);
}

void log_plain_known(enum log_id id, enum log_level level, enum log_subsystem sub, const char *text)
{
	char cut[2 * TEXT_MAX];
	struct message m = {.id = id, .level = level, .sub = sub, .is_plain = true, .text = cut};
	int saved = errno;

	snprintf(cut, sizeof(cut), "%s", text);
	pthread_mutex_lock(&log_lock);
	if (!log_state.is_opened)
		log_state.has_journal_prefix = stderr_is_journal();
	if (deliver(&m) && log_state.target != LOG_TO_STDERR && !(log_state.has_journal_prefix && target_is_journal()))
		put_stderr(&m);
	pthread_mutex_unlock(&log_lock);
	errno = saved;
}
