/* SPDX-License-Identifier: ISC */
/*
 * The log: levels, subsystem tokens, four targets, a rate limit. It never waits for a reader: a line that syslog or the
 * journal does not accept at once goes to stderr, and a line that stderr does not accept is lost; the number is logged
 * when the target accepts lines again. Two kinds of stderr may block all the same: a file on a disk that hangs, and a
 * nearly full terminal that natd may not open a second time (another user's). Preserves errno. Control characters and
 * non-ASCII bytes are escaped (\x1b), so that no foreign escape sequence reaches a terminal. One line a message: lower
 * case, value = unit, no full stop.
 *
 * Levels: error - the operator must act; warning - degraded, recovers by itself; notice - a change of the service's
 * state; info - configuration; debug - each event. Nothing is logged per packet above debug.
 */
#ifndef NATD_DAEMON_LOG_H
#define NATD_DAEMON_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_NOTICE, LEVEL_INFO, LEVEL_DEBUG, LEVEL_COUNT };

enum log_target {
	LOG_TO_AUTO, /* the journal if stderr leads to it, else stderr */
	LOG_TO_STDERR,
	LOG_TO_SYSLOG,
	LOG_TO_JOURNAL,
	LOG_TO_COUNT
};

/* Subsystems, listed in natd(8); NATD_SUBSYSTEM= in the journal. */
enum log_subsystem {
	SUB_MAIN,
	SUB_CONFIG,
	SUB_CONTROL,
	SUB_DATA,
	SUB_NETLINK,
	SUB_ROUTING,
	SUB_TUN,
	SUB_PRIVS,
	SUB_SERVICE,
	SUB_TABLE,
	SUB_COUNT
};

/* Messages that scripts wait for: MESSAGE_ID= in the journal (sd_journal_print(3)). Listed in natd(8). Ids never
 * change; the wording may. */
enum log_id {
	LOG_ID_NONE,
	LOG_ID_READY,
	LOG_ID_STOPPING,
	LOG_ID_RELOADED,
	LOG_ID_NOT_RELOADED,
	LOG_ID_HOST_CHANGED, /* interfaces or addresses changed */
	LOG_ID_REPAIRED,     /* natd restored a setting that another program had changed */
	LOG_ID_DEVICE_LOST,
	LOG_ID_DEVICE_BACK,
	LOG_ID_FINDING,
	LOG_ID_FINDING_OVER,
	LOG_ID_ALARM,
	LOG_ID_ALARM_OVER,
	LOG_ID_BACKEND, /* a backend went down or came back */
	LOG_ID_COUNT
};

/* Until log_open(): stderr, level info. A target that cannot be reached is tried again with each line. SIGPIPE must
 * be ignored, because stderr may have no reader. */
void log_open(enum log_target target);
void log_set_level(enum log_level level);
/* Sets the program's name in each line: static text; "natd" by default. */
void log_set_program(const char *name);
bool log_wants(enum log_level level); /* saves formatting a message that would not be logged */

/* Returns 32 hexadecimal digits. */
const char *log_id_text(enum log_id id);
/* "error" ... "debug"; "auto" ... "journal"; "main" ... "table". Never NULL within range. */
const char *log_level_name(enum log_level level);
const char *log_target_name(enum log_target target);
const char *log_subsystem_name(enum log_subsystem sub);

/* Use the macros below. `err`: 0, or an errno value; its text is appended, and its name becomes NATD_CAUSE=. */
void log_write(enum log_level level, enum log_subsystem sub, int err, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The same for a message with an id. */
void log_known(enum log_id id, enum log_level level, enum log_subsystem sub, int err, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* log_write() without its limit of the rate, for callers that have one of their own. */
void log_unlimited(enum log_level level, enum log_subsystem sub, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(sub, ...)   log_write(LEVEL_ERROR, (sub), 0, __VA_ARGS__)
#define log_warning(sub, ...) log_write(LEVEL_WARNING, (sub), 0, __VA_ARGS__)
#define log_notice(sub, ...)  log_write(LEVEL_NOTICE, (sub), 0, __VA_ARGS__)
#define log_info(sub, ...)    log_write(LEVEL_INFO, (sub), 0, __VA_ARGS__)
#define log_debug(sub, ...)                                            \
	do {                                                           \
		if (log_wants(LEVEL_DEBUG))                            \
			log_write(LEVEL_DEBUG, (sub), 0, __VA_ARGS__); \
	} while (0)

/* Writes a line unchanged (printable ASCII), whatever the level: to stderr, for the user who started natd, and to
 * the log target if that is another. Written only once if both are the journal, and there with its priority. */
void log_plain(enum log_level level, enum log_subsystem sub, const char *text);
void log_plain_known(enum log_id id, enum log_level level, enum log_subsystem sub, const char *text);

/* Copies `text` to `out`, escaped as above and cut to fit; returns its length. For text that is printed elsewhere. */
size_t log_escape(char *out, size_t size, const char *text);

#endif
