/* SPDX-License-Identifier: ISC */
/*
 * Theory of operation. A file is read in chunks of whole lines. A line is parsed only if it contains the exact text
 * that a record of the endpoint must have (memmem()), or is a block of its address or a loss. The order of lines does
 * not matter: records are sorted, and beginnings and ends are paired, when everything has been read.
 */
#define _GNU_SOURCE 1 /* memmem(), memrchr() */
#include "logfile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/names.h"
#include "gzsource.h"
#include "logline.h"

enum { PIECE = 1 << 20, LINE_MAX_LEN = 1024, NEEDLE = 96 };

struct entry {
	struct logfile_holding h; /* until_us: unused */
	uint64_t time_us;
	bool has_ended;
};

struct logfile {
	struct ctl_who query;
	char flow[LOGLINE_FORMS][NEEDLE], block[LOGLINE_FORMS][NEEDLE], lost[LOGLINE_FORMS][NEEDLE];
	struct entry *entries;
	size_t n, room;
	struct logfile_gap *gaps;
	size_t n_gaps;
	struct logfile_holding *holdings;
	size_t n_holdings;
	uint64_t begin_us, end_us, bad;
	bool is_whole, is_linked;
};

struct logfile *logfile_create(const struct ctl_who *q)
{
	struct logfile *l = calloc(1, sizeof(*l));
	char address[NAMES_ADDRESS_MAX];

	if (!l)
		return NULL;
	l->query = *q;
	names_address(address, q->outside.address);
	snprintf(l->flow[LOGLINE_JSON], NEEDLE, "\"outside\":{\"address\":\"%s\",\"port\":%u}", address,
		 q->outside.port);
	snprintf(l->flow[LOGLINE_TEXT], NEEDLE, " outside=%s:%u", address, q->outside.port);
	snprintf(l->block[LOGLINE_JSON], NEEDLE, "\"outside\":\"%s\",\"first\":", address);
	snprintf(l->block[LOGLINE_TEXT], NEEDLE, " outside=%s ports=", address);
	snprintf(l->lost[LOGLINE_JSON], NEEDLE, ",\"event\":\"LOST\"");
	snprintf(l->lost[LOGLINE_TEXT], NEEDLE, "Z LOST count=");
	return l;
}

void logfile_destroy(struct logfile *l)
{
	if (!l)
		return;
	free(l->entries);
	free(l->gaps);
	free(l->holdings);
	free(l);
}

/* ---- relevant lines ---- */

static bool keep(struct logfile *l, const struct entry *e)
{
	if (l->n == LOGFILE_RECORDS_MAX)
		return true;
	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		struct entry *more = realloc(l->entries, room * sizeof(*more));

		if (!more)
			return false;
		l->entries = more;
		l->room = room;
	}
	l->entries[l->n++] = *e;
	l->is_linked = false;
	return true;
}

static void take_holding(struct logfile *l, const char *line, enum logline_form form, bool is_block)
{
	struct logline_block b = {0};
	struct entry e = {0};
	bool ok;

	e.has_ended = logline_state(line, form, &ok);
	if (ok && logline_time(line, form, &e.time_us))
		ok = is_block ? logline_block(line, form, &b)
			      : logline_inside(line, form, &e.h.inside) &&
					logline_protocol(line, form, &e.h.protocol) && logline_id(line, form, &e.h.id);
	else
		ok = false;
	if (!ok) {
		l->bad++;
		return;
	}
	if (is_block) {
		e.h.inside.address = b.host;
		e.h.first = b.first;
		e.h.last = b.last;
	}
	if (is_block && (l->query.outside.port < b.first || l->query.outside.port > b.last))
		return;
	if (!is_block && l->query.protocol && e.h.protocol != l->query.protocol)
		return;
	if (e.has_ended)
		e.h.since_us = logline_since(line, form);
	keep(l, &e);
}

static void take_loss(struct logfile *l, const char *line, enum logline_form form)
{
	const char *p = logline_value(line, form == LOGLINE_JSON ? "\"count\":" : " count=");
	struct logfile_gap g = {.since_us = logline_since(line, form)};
	struct logfile_gap *more;

	if (!logline_time(line, form, &g.until_us))
		return;
	if (p && !logline_number(&p, UINT64_MAX, &g.count))
		g.count = 0;
	more = l->n_gaps < LOGFILE_RECORDS_MAX ? realloc(l->gaps, (l->n_gaps + 1) * sizeof(*more)) : NULL;
	if (!more)
		return;
	l->gaps = more;
	l->gaps[l->n_gaps++] = g;
}

/* Copies a line as a string. False: too long for a record, or binary. */
static bool copy_line(const char *from, size_t n, char line[LINE_MAX_LEN])
{
	if (n >= LINE_MAX_LEN || memchr(from, '\0', n))
		return false;
	memcpy(line, from, n);
	line[n] = '\0';
	return true;
}

/* Where the word stands that names the kind of line: after the time, which has the same length in every line. */
static const struct {
	size_t at;
	char block, loss;
} words[LOGLINE_FORMS] = {{sizeof("{\"time\":1796018592.104312,\"event\":\"") - 1, 'B', 'L'},
			  {sizeof("2026-11-30T06:03:12.104312Z ") - 1, 'B', 'L'}};

static void take_line(struct logfile *l, const char *from, size_t n, enum logline_form form, bool is_block)
{
	char line[LINE_MAX_LEN];

	if (!copy_line(from, n, line))
		l->bad++;
	else
		take_holding(l, line, form, is_block);
}

/* Blocks of the address, and losses; both are few. */
static void look_at(struct logfile *l, const char *from, size_t n, enum logline_form form)
{
	char kind = n > words[form].at ? from[words[form].at] : '\0';
	char line[LINE_MAX_LEN];

	if (kind == words[form].block && memmem(from, n, l->block[form], strlen(l->block[form])))
		take_line(l, from, n, form, true);
	else if (kind == words[form].loss && memmem(from, n, l->lost[form], strlen(l->lost[form])) &&
		 copy_line(from, n, line))
		take_loss(l, line, form);
}

/* Mappings and sessions of the endpoint, in all lines at once: that takes a third of the time. */
static void look_for_flows(struct logfile *l, const char *text, size_t len, enum logline_form form)
{
	size_t size = strlen(l->flow[form]);
	const char *end = text + len;

	for (const char *at = text; (at = memmem(at, (size_t)(end - at), l->flow[form], size)) != NULL; at += size) {
		const char *from = memrchr(text, '\n', (size_t)(at - text));
		const char *to = memchr(at, '\n', (size_t)(end - at));

		from = from ? from + 1 : text;
		to = to ? to : end;
		if (form == LOGLINE_JSON || at + size == end || at[size] < '0' ||
		    at[size] > '9') /* else a longer port */
			take_line(l, from, (size_t)(to - from), form, false);
	}
}

/* Copies the line around `at`. */
static bool cut_line(const char *text, size_t len, const char *at, char line[LINE_MAX_LEN])
{
	const char *from = memrchr(text, '\n', (size_t)(at - text));
	const char *end = memchr(at, '\n', (size_t)(text + len - at));

	from = from ? from + 1 : text;
	end = end ? end : text + len;
	return copy_line(from, (size_t)(end - from), line);
}

/* Notes the times of the first and the last line, and whether the first one is START. */
static void note_ends(struct logfile *l, const char *text, size_t len)
{
	const char *const places[] = {text, text + len - (text[len - 1] == '\n' && len > 1 ? 2 : 1)};
	char line[LINE_MAX_LEN];
	uint64_t us;

	for (size_t i = 0; i < 2; i++) {
		enum logline_form form;

		if (!cut_line(text, len, places[i], line))
			continue;
		form = line[0] == '{' ? LOGLINE_JSON : LOGLINE_TEXT;
		if (!logline_time(line, form, &us))
			continue;
		if (l->begin_us == 0 || us < l->begin_us) {
			l->begin_us = us;
			l->is_whole = strstr(line, form == LOGLINE_JSON ? "\"event\":\"START\"" : "Z START") != NULL;
		}
		if (us > l->end_us)
			l->end_us = us;
	}
}

void logfile_scan(struct logfile *l, const char *text, size_t len)
{
	bool has_form[LOGLINE_FORMS] = {false};

	if (len == 0)
		return;
	note_ends(l, text, len);
	for (const char *from = text, *end; from < text + len; from = end + 1) {
		enum logline_form form = from[0] == '{' ? LOGLINE_JSON : LOGLINE_TEXT;

		end = memchr(from, '\n', (size_t)(text + len - from));
		if (!end)
			end = text + len;
		has_form[form] |= end > from;
		look_at(l, from, (size_t)(end - from), form);
	}
	for (enum logline_form form = 0; form < LOGLINE_FORMS; form++) {
		if (has_form[form])
			look_for_flows(l, text, len, form);
	}
}

/* ---- files ---- */

/* Scans whole lines in `buf`; returns the bytes used. */
static size_t scan_lines(struct logfile *l, const char *buf, size_t len)
{
	const char *end = memrchr(buf, '\n', len);

	if (!end)
		return 0;
	logfile_scan(l, buf, (size_t)(end + 1 - buf));
	return (size_t)(end + 1 - buf);
}

static bool read_all(struct logfile *l, struct gzsource *s, char *buf, const char *path, char why[LOGFILE_WHY])
{
	uint64_t begin_before = l->begin_us;
	size_t len = 0, used;
	bool is_first = true, is_empty = true;
	ssize_t n;

	l->begin_us = 0;
	while ((n = gzsource_read(s, buf + len, PIECE - len)) > 0) {
		len += (size_t)n;
		is_empty = false;
		if (len < PIECE && !is_first)
			continue;
		used = scan_lines(l, buf, len);
		if ((used == 0 && len == PIECE) || (is_first && used > 0 && l->begin_us == 0))
			break;
		is_first = is_first && used == 0;
		len -= used;
		memmove(buf, buf + used, len);
	}
	if (n < 0) {
		snprintf(why, LOGFILE_WHY, "%.150s: %s", path,
			 errno == EIO ? "cannot be read: it is damaged" : strerror(errno));
		return false;
	}
	/* Text after the last newline is still being written by natd-log, or a crash cut it off. */
	scan_lines(l, buf, len);
	if (n > 0 || (l->begin_us == 0 && !is_empty)) {
		snprintf(why, LOGFILE_WHY, "%.150s is not a translation log: its lines do not begin with a time", path);
		return false;
	}
	if (l->begin_us == 0 || (begin_before && begin_before < l->begin_us))
		l->begin_us = begin_before;
	return true;
}

bool logfile_read(struct logfile *l, const char *path, char why[LOGFILE_WHY])
{
	bool was_whole = l->is_whole;
	uint64_t begin = l->begin_us;
	struct gzsource s;
	char *buf;
	bool ok;

	if (!gzsource_open(&s, path, why))
		return false;
	buf = malloc(PIECE);
	ok = buf && read_all(l, &s, buf, path, why);
	if (!buf)
		snprintf(why, LOGFILE_WHY, "short of memory");
	free(buf);
	gzsource_close(&s);
	if (begin && l->begin_us == begin)
		l->is_whole = was_whole;
	return ok;
}

/* ---- the answer ---- */

static int by_time(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->time_us != y->time_us)
		return x->time_us < y->time_us ? -1 : 1;
	return (int)x->has_ended - (int)y->has_ended;
}

static bool is_of(const struct logfile_holding *h, const struct entry *e)
{
	return h->until_us == 0 && h->protocol == e->h.protocol && h->inside.address == e->h.inside.address &&
	       h->inside.port == e->h.inside.port && h->first == e->h.first && h->id == e->h.id;
}

/* An endpoint has one holder at a time, but many sessions: the beginning is near the end of the list. */
static struct logfile_holding *find_beginning(struct logfile *l, const struct entry *e)
{
	enum { BACK = 4096 };

	for (size_t i = l->n_holdings; i > 0 && l->n_holdings - i < BACK; i--) {
		if (is_of(&l->holdings[i - 1], e))
			return &l->holdings[i - 1];
	}
	return NULL;
}

/* Pairs beginnings and ends into holdings. */
static void link_entries(struct logfile *l)
{
	free(l->holdings);
	l->n_holdings = 0;
	l->holdings = malloc((l->n + 1) * sizeof(*l->holdings));
	l->is_linked = true;
	if (!l->holdings || l->n == 0)
		return;
	qsort(l->entries, l->n, sizeof(*l->entries), by_time);
	for (size_t i = 0; i < l->n; i++) {
		const struct entry *e = &l->entries[i];
		struct logfile_holding *h = find_beginning(l, e);

		if (e->has_ended && h) {
			h->until_us = e->time_us;
			continue;
		}
		if (h && !e->has_ended)
			continue; /* logged twice */
		h = &l->holdings[l->n_holdings++];
		*h = e->h;
		h->since_us = e->has_ended ? e->h.since_us : e->time_us;
		h->until_us = e->has_ended ? e->time_us : 0;
	}
}

static bool held(const struct logfile_holding *h, uint64_t at_us)
{
	return h->since_us / 1000000 <= at_us / 1000000 && (h->until_us == 0 || h->until_us >= at_us);
}

const struct logfile_holding *logfile_holders(struct logfile *l, uint64_t at_us, size_t *n)
{
	*n = 0;
	if (!l->is_linked)
		link_entries(l);
	for (size_t i = 0; i < l->n_holdings; i++) {
		struct logfile_holding h = l->holdings[i];

		if (!held(&h, at_us))
			continue;
		l->holdings[i] = l->holdings[*n]; /* move those to the front */
		l->holdings[(*n)++] = h;
	}
	l->is_linked = false; /* their order has changed */
	return l->holdings;
}

uint64_t logfile_begin(const struct logfile *l)
{
	return l->begin_us;
}

uint64_t logfile_end(const struct logfile *l)
{
	return l->end_us;
}

bool logfile_is_whole(const struct logfile *l)
{
	return l->is_whole;
}

const struct logfile_gap *logfile_gap_at(const struct logfile *l, uint64_t at_us)
{
	for (size_t i = 0; i < l->n_gaps; i++) {
		if (l->gaps[i].since_us / 1000000 <= at_us / 1000000 && at_us <= l->gaps[i].until_us)
			return &l->gaps[i];
	}
	return NULL;
}

uint64_t logfile_bad_lines(const struct logfile *l)
{
	return l->bad;
}
