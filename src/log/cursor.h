/* SPDX-License-Identifier: ISC */
/*
 * The place in natd's events that the log has reached, on the disk: a small text file that is replaced whole, so that it is
 * never half written. A lock beside it (FILE.lock) keeps two programs from using the same one.
 */
#ifndef NATD_LOG_CURSOR_H
#define NATD_LOG_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

struct cursor {
	uint64_t instance; /* natd's; 0: the log has not begun */
	uint64_t next;	   /* number of the next event */
	uint64_t time_us;  /* of the last event, 0: there was none */
	bool is_complete;  /* natd stopped, and that was its last event */
	uint64_t target;   /* a fingerprint of where the log goes: another one is another log */
};

/* The same place, whatever the time and the target. */
bool cursor_is_same(const struct cursor *a, const struct cursor *b);

struct cursor_file;

/* Locks it; makes its directory if only that is missing. NULL, and why (*why is static text or strerror()'s). */
struct cursor_file *cursor_open(const char *path, const char **why);
void cursor_close(struct cursor_file *f);    /* NULL: nothing */
int cursor_dir(const struct cursor_file *f); /* a descriptor, borrowed */

/* All zero where there is none. False: it is damaged, and *out all zero. */
bool cursor_load(const struct cursor_file *f, struct cursor *out);
int cursor_save(const struct cursor_file *f, const struct cursor *c); /* to the disk: 0 or a negative errno */

/* The text, for tests: false if it is none. */
bool cursor_parse(const char *text, struct cursor *out);

#endif
