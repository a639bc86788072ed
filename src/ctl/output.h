/* SPDX-License-Identifier: ISC */
/*
 * Records as text: conntrack's line, and tables for people. json.h has JSON. Everything goes to the given stream;
 * errors stay in it, see output_ok().
 */
#ifndef NATD_CTL_OUTPUT_H
#define NATD_CTL_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

#include "common/ctlforward.h"
#include "common/ctlrecord.h"
#include "common/ctlstatus.h"
#include "sheet.h"

/* One connection as `conntrack -L -o id` prints it (conntrack 1.4.7), newline included. `line`: LINE_ bits. */
void output_entry_line(FILE *f, const struct ctl_entry *e, unsigned line);
/* The same with `last` after the id; it may be "". */
void output_entry_line_with(FILE *f, const struct ctl_entry *e, unsigned line, const char *last);
/* The same as arguments of `conntrack -A`, as `conntrack -L -o save` prints them. */
void output_entry_save(FILE *f, const struct ctl_entry *e);
/* In the format that the user chose, JSON included. */
struct natctl;
void output_entry(const struct natctl *n, const struct ctl_entry *e);

void output_entry_heading(FILE *f);
void output_entry_row(FILE *f, const struct ctl_entry *e);

void output_mapping_line(FILE *f, const struct ctl_mapping *m);
void output_mapping_heading(FILE *f);
void output_mapping_row(FILE *f, const struct ctl_mapping *m);

void output_forward_line(FILE *f, const struct ctl_forward *w);
struct sheet *output_forward_sheet(void);
void output_forward_row(struct sheet *s, const struct ctl_forward *w);

void output_backend_line(FILE *f, const struct ctl_forward *w, const struct ctl_backend_state *b);
void output_backend_row(struct sheet *s, const struct ctl_backend_state *b); /* below its forward's row */

void output_pool_line(FILE *f, const struct ctl_pool *p);
struct sheet *output_pool_sheet(void);
void output_pool_row(struct sheet *s, const struct ctl_pool *p);

/* "1.9 kB" (powers of 1000) and "2 h 13 min" into `buf`, which is returned. */
char *output_bytes(char buf[16], uint64_t bytes);
char *output_duration(char buf[32], uint64_t seconds);

/* A line about the outcome of a change (CTL_R_LINE): appended to "messages" of `o`, or, without an object, printed
 * on stderr. */
struct json_object;
struct ctl_reader;
bool output_message(struct json_object *o, struct ctl_reader *body);
/* After each record: has stdout no error? */
bool output_ok(struct natctl *n);
/* At the end: flushes stdout. False: something was not written; printed on stderr, unless the reader merely closed
 * the pipe. */
bool output_finish(struct natctl *n);

#endif
