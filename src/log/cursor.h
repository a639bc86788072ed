/* SPDX-License-Identifier: ISC */
/*
 * The log's position in natd's events, on disk: a small text file that is always replaced as a whole, so that it is
 * never half written. A lock file beside it (FILE.lock) keeps two programs from using the same cursor.
 */
#ifndef NATD_LOG_CURSOR_H
#define NATD_LOG_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

struct cursor {
	uint64_t instance; /* the run of natd; 0: the log has not started */
	uint64_t next;	   /* sequence number of the next event */
	uint64_t time_us;  /* of the last event; 0: there was none */
	bool is_complete;  /* natd stopped, and its last event was read */
	uint64_t target;   /* fingerprint of the log's target: another fingerprint is another log */
};

/* The same position; time and target are ignored. */
bool cursor_is_same(const struct cursor *a, const struct cursor *b);

struct cursor_file;

/* Locks the cursor; creates its directory if only the last component is missing. NULL on failure, with *why (static
 * text or strerror()'s). */
struct cursor_file *cursor_open(const char *path, const char **why);
void cursor_close(struct cursor_file *f);    /* NULL is allowed */
int cursor_dir(const struct cursor_file *f); /* a borrowed descriptor */

/* Without a file *out is all zero. False: the file is damaged, and *out is all zero. */
bool cursor_load(const struct cursor_file *f, struct cursor *out);
/* Returns 0, with the file on disk, or a negative errno. */
int cursor_save(const struct cursor_file *f, const struct cursor *c);

/* Parses the file's text, for tests. False: not a cursor. */
bool cursor_parse(const char *text, struct cursor *out);

#endif
