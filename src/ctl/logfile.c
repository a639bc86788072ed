/* SPDX-License-Identifier: ISC */
/*
 * Theory of operation. A file is read in pieces of whole lines. A line is taken apart only if it has the very text that a record
 * of the endpoint must have (memmem()), or is a block of its address, or a loss. Nothing is assumed about the order of lines:
 * records are sorted, and beginnings and ends put together, when all is read.
 */
#define _GNU_SOURCE 1 /* memmem(), memrchr() */
#include "logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif

#include "client/names.h"
#include "common/protocol.h"

enum { PIECE = 1 << 20, LINE_MAX_LEN = 1024, NEEDLE = 96 };

enum form { FORM_JSON, FORM_TEXT, FORMS };

struct entry {
	struct logfile_holding h; /* until_us: unused */
	uint64_t time_us;
	bool has_ended;
};

struct logfile {
	struct ctl_who query;
	char flow[FORMS][NEEDLE], block[FORMS][NEEDLE], lost[FORMS][NEEDLE];
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
	snprintf(l->flow[FORM_JSON], NEEDLE, "\"outside\":{\"address\":\"%s\",\"port\":%u}", address, q->outside.port);
	snprintf(l->flow[FORM_TEXT], NEEDLE, " outside=%s:%u", address, q->outside.port);
	snprintf(l->block[FORM_JSON], NEEDLE, "\"outside\":\"%s\",\"first\":", address);
	snprintf(l->block[FORM_TEXT], NEEDLE, " outside=%s ports=", address);
	snprintf(l->lost[FORM_JSON], NEEDLE, ",\"event\":\"LOST\"");
	snprintf(l->lost[FORM_TEXT], NEEDLE, "Z LOST count=");
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

/* ---- one line, in a buffer of its own with a NUL ---- */

/* What stands behind `key`; NULL: it is not there. */
static const char *value_of(const char *line, const char *key)
{
	const char *at = strstr(line, key);

	return at ? at + strlen(key) : NULL;
}

static bool read_number(const char **p, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;
	const char *from = *p;

	for (; **p >= '0' && **p <= '9' && *p - from < 20; (*p)++)
		value = value * 10 + (uint64_t)(**p - '0');
	*out = value;
	return *p > from && *p - from < 20 && value <= max;
}

/* Six digits or fewer behind a point, as microseconds. */
static uint64_t read_fraction(const char *p)
{
	uint64_t micros = 0, place = 100000;

	if (*p++ != '.')
		return 0;
	for (; *p >= '0' && *p <= '9'; p++, place /= 10)
		micros += place * (uint64_t)(*p - '0');
	return micros;
}

static bool read_json_time(const char *p, uint64_t *us)
{
	uint64_t seconds;

	if (!p || !read_number(&p, UINT32_MAX * 16ull, &seconds))
		return false;
	*us = seconds * 1000000 + read_fraction(p);
	return true;
}

static bool read_text_time(const char *p, uint64_t *us)
{
	struct tm tm = {0};
	int used = 0;

	if (!p ||
	    sscanf(p, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
		   &tm.tm_sec, &used) != 6 ||
	    used != 19 || tm.tm_year < 1970)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	*us = (uint64_t)timegm(&tm) * 1000000 + read_fraction(p + used);
	return true;
}

static bool read_time(const char *line, enum form form, uint64_t *us)
{
	return form == FORM_JSON ? read_json_time(value_of(line, "{\"time\":"), us) : read_text_time(line, us);
}

static uint64_t read_since(const char *line, enum form form)
{
	uint64_t us;

	if (form == FORM_JSON)
		return read_json_time(value_of(line, ",\"since\":"), &us) ? us : 0;
	return read_text_time(value_of(line, " since="), &us) ? us : 0;
}

static bool read_address(const char **p, uint32_t *address)
{
	*address = 0;
	for (int i = 0; i < 4; i++) {
		uint64_t part;

		if ((i > 0 && *(*p)++ != '.') || !read_number(p, 255, &part))
			return false;
		*address = *address << 8 | (uint32_t)part;
	}
	return true;
}

static bool read_inside(const char *line, enum form form, struct ctl_endpoint *e)
{
	const char *p = value_of(line, form == FORM_JSON ? "\"inside\":{\"address\":\"" : " inside=");
	const char *between = form == FORM_JSON ? "\",\"port\":" : ":";
	uint64_t port;

	if (!p || !read_address(&p, &e->address) || strncmp(p, between, strlen(between)) != 0)
		return false;
	p += strlen(between);
	if (!read_number(&p, UINT16_MAX, &port))
		return false;
	e->port = (uint16_t)port;
	return true;
}

static bool read_protocol(const char *line, enum form form, uint8_t *protocol)
{
	const char *p = value_of(line, form == FORM_JSON ? "\"protocol\":\"" : " inside=");
	char name[16];
	int number;

	if (p && form == FORM_TEXT) { /* the word before */
		const char *end = p - strlen(" inside=");

		for (p = end; p > line && p[-1] != ' '; p--)
			;
	}
	if (!p || sscanf(p, "%15[a-z0-9]", name) != 1)
		return false;
	number = protocol_number(name);
	*protocol = (uint8_t)number;
	return number > 0 && number <= UINT8_MAX;
}

static bool read_id(const char *line, enum form form, uint64_t *id)
{
	const char *p = value_of(line, form == FORM_JSON ? ",\"id\":" : " id=");

	*id = 0;
	return !p || read_number(&p, UINT64_MAX, id);
}

/* True where it ended, false where it began; *ok: the line says either. */
static bool read_state(const char *line, enum form form, bool *ok)
{
	static const char *const begins[FORMS][3] = {{"\"state\":\"opened\"", "\"event\":\"NEW\"", NULL},
						     {" opened ", "Z NEW ", NULL}};
	static const char *const ends[FORMS][3] = {{"\"state\":\"closed\"", "\"event\":\"DESTROY\"", NULL},
						   {" closed ", "Z DESTROY ", NULL}};

	*ok = true;
	for (size_t i = 0; ends[form][i]; i++) {
		if (strstr(line, ends[form][i]))
			return true;
	}
	for (size_t i = 0; begins[form][i]; i++) {
		if (strstr(line, begins[form][i]))
			return false;
	}
	*ok = false;
	return false;
}

static bool read_block(const char *line, enum form form, struct logfile_holding *h)
{
	const char *p = value_of(line, form == FORM_JSON ? "\"host\":\"" : " host=");
	const char *between = form == FORM_JSON ? ",\"last\":" : "-";
	uint64_t first, last;

	if (!p || !read_address(&p, &h->inside.address))
		return false;
	p = value_of(line, form == FORM_JSON ? "\"first\":" : " ports=");
	if (!p || !read_number(&p, UINT16_MAX, &first) || strncmp(p, between, strlen(between)) != 0)
		return false;
	p += strlen(between);
	if (!read_number(&p, UINT16_MAX, &last))
		return false;
	h->first = (uint16_t)first;
	h->last = (uint16_t)last;
	return true;
}

/* ---- lines that matter ---- */

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

static void take_holding(struct logfile *l, const char *line, enum form form, bool is_block)
{
	struct entry e = {0};
	bool ok;

	e.has_ended = read_state(line, form, &ok);
	if (ok && read_time(line, form, &e.time_us))
		ok = is_block ? read_block(line, form, &e.h)
			      : read_inside(line, form, &e.h.inside) && read_protocol(line, form, &e.h.protocol) &&
					read_id(line, form, &e.h.id);
	else
		ok = false;
	if (!ok) {
		l->bad++;
		return;
	}
	if (is_block && (l->query.outside.port < e.h.first || l->query.outside.port > e.h.last))
		return;
	if (!is_block && l->query.protocol && e.h.protocol != l->query.protocol)
		return;
	if (e.has_ended)
		e.h.since_us = read_since(line, form);
	keep(l, &e);
}

static void take_loss(struct logfile *l, const char *line, enum form form)
{
	const char *p = value_of(line, form == FORM_JSON ? "\"count\":" : " count=");
	struct logfile_gap g = {.since_us = read_since(line, form)};
	struct logfile_gap *more;

	if (!read_time(line, form, &g.until_us))
		return;
	if (p && !read_number(&p, UINT64_MAX, &g.count))
		g.count = 0;
	more = l->n_gaps < LOGFILE_RECORDS_MAX ? realloc(l->gaps, (l->n_gaps + 1) * sizeof(*more)) : NULL;
	if (!more)
		return;
	l->gaps = more;
	l->gaps[l->n_gaps++] = g;
}

/* A line as a string. False: too long for a record, or binary. */
static bool copy_line(const char *from, size_t n, char line[LINE_MAX_LEN])
{
	if (n >= LINE_MAX_LEN || memchr(from, '\0', n))
		return false;
	memcpy(line, from, n);
	line[n] = '\0';
	return true;
}

/* Where the word stands that says what a line is: behind a time, which is as long in every line of the log. */
static const struct {
	size_t at;
	char block, loss;
} words[FORMS] = {{sizeof("{\"time\":1796018592.104312,\"event\":\"") - 1, 'B', 'L'},
		  {sizeof("2026-11-30T06:03:12.104312Z ") - 1, 'B', 'L'}};

static void take_line(struct logfile *l, const char *from, size_t n, enum form form, bool is_block)
{
	char line[LINE_MAX_LEN];

	if (!copy_line(from, n, line))
		l->bad++;
	else
		take_holding(l, line, form, is_block);
}

/* Blocks of the address, and losses, which are few. */
static void look_at(struct logfile *l, const char *from, size_t n, enum form form)
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
static void look_for_flows(struct logfile *l, const char *text, size_t len, enum form form)
{
	size_t size = strlen(l->flow[form]);
	const char *end = text + len;

	for (const char *at = text; (at = memmem(at, (size_t)(end - at), l->flow[form], size)) != NULL; at += size) {
		const char *from = memrchr(text, '\n', (size_t)(at - text));
		const char *to = memchr(at, '\n', (size_t)(end - at));

		from = from ? from + 1 : text;
		to = to ? to : end;
		if (form == FORM_JSON || at + size == end || at[size] < '0' || at[size] > '9') /* else a longer port */
			take_line(l, from, (size_t)(to - from), form, false);
	}
}

/* The line around `at`. */
static bool cut_line(const char *text, size_t len, const char *at, char line[LINE_MAX_LEN])
{
	const char *from = memrchr(text, '\n', (size_t)(at - text));
	const char *end = memchr(at, '\n', (size_t)(text + len - at));

	from = from ? from + 1 : text;
	end = end ? end : text + len;
	return copy_line(from, (size_t)(end - from), line);
}

/* Times of the first and the last line; whether the first one is START. */
static void note_ends(struct logfile *l, const char *text, size_t len)
{
	const char *const places[] = {text, text + len - (text[len - 1] == '\n' && len > 1 ? 2 : 1)};
	char line[LINE_MAX_LEN];
	uint64_t us;

	for (size_t i = 0; i < 2; i++) {
		enum form form;

		if (!cut_line(text, len, places[i], line))
			continue;
		form = line[0] == '{' ? FORM_JSON : FORM_TEXT;
		if (!read_time(line, form, &us))
			continue;
		if (l->begin_us == 0 || us < l->begin_us) {
			l->begin_us = us;
			l->is_whole = strstr(line, form == FORM_JSON ? "\"event\":\"START\"" : "Z START") != NULL;
		}
		if (us > l->end_us)
			l->end_us = us;
	}
}

void logfile_scan(struct logfile *l, const char *text, size_t len)
{
	bool has_form[FORMS] = {false};

	if (len == 0)
		return;
	note_ends(l, text, len);
	for (const char *from = text, *end; from < text + len; from = end + 1) {
		enum form form = from[0] == '{' ? FORM_JSON : FORM_TEXT;

		end = memchr(from, '\n', (size_t)(text + len - from));
		if (!end)
			end = text + len;
		has_form[form] |= end > from;
		look_at(l, from, (size_t)(end - from), form);
	}
	for (enum form form = 0; form < FORMS; form++) {
		if (has_form[form])
			look_for_flows(l, text, len, form);
	}
}

/* ---- files ---- */

struct source {
	int fd;
#ifdef HAVE_ZLIB
	gzFile gz; /* NULL: not compressed */
#endif
};

static bool open_source(struct source *s, const char *path, char why[LOGFILE_WHY])
{
	uint8_t magic[2] = {0};

	*s = (struct source){.fd = open(path, O_RDONLY | O_CLOEXEC)};
	if (s->fd < 0 || pread(s->fd, magic, 2, 0) < 0) {
		snprintf(why, LOGFILE_WHY, "%.150s: %s", path, strerror(errno));
		if (s->fd >= 0)
			close(s->fd);
		return false;
	}
	posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	if (magic[0] != 0x1f || magic[1] != 0x8b)
		return true;
#ifdef HAVE_ZLIB
	s->gz = gzdopen(s->fd, "rb");
	if (s->gz) {
		gzbuffer(s->gz, PIECE / 4);
		return true;
	}
	snprintf(why, LOGFILE_WHY, "%.150s: short of memory", path);
#else
	snprintf(why, LOGFILE_WHY,
		 "%.150s is compressed, and this natctl was built without zlib: use zcat, and give that file", path);
#endif
	close(s->fd);
	return false;
}

/* Bytes, 0 at the end, -1 with errno; a damaged file of gzip is EIO. */
static ssize_t read_source(struct source *s, char *to, size_t room)
{
#ifdef HAVE_ZLIB
	if (s->gz) {
		int n = gzread(s->gz, to, (unsigned)room);
		int failed = 0;

		if (n <= 0)
			gzerror(s->gz, &failed);
		if (n < 0 || (n == 0 && failed != Z_OK && failed != Z_STREAM_END)) {
			errno = EIO;
			return -1;
		}
		return n;
	}
#endif
	return read(s->fd, to, room);
}

static void close_source(struct source *s)
{
#ifdef HAVE_ZLIB
	if (s->gz) {
		gzclose(s->gz);
		return;
	}
#endif
	close(s->fd);
}

/* Whole lines from `buf`; how many bytes of it were used. */
static size_t scan_lines(struct logfile *l, const char *buf, size_t len)
{
	const char *end = memrchr(buf, '\n', len);

	if (!end)
		return 0;
	logfile_scan(l, buf, (size_t)(end + 1 - buf));
	return (size_t)(end + 1 - buf);
}

static bool read_all(struct logfile *l, struct source *s, char *buf, const char *path, char why[LOGFILE_WHY])
{
	uint64_t begin_before = l->begin_us;
	size_t len = 0, used;
	bool is_first = true, is_empty = true;
	ssize_t n;

	l->begin_us = 0;
	while ((n = read_source(s, buf + len, PIECE - len)) > 0) {
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
	/* What is left behind the last end of line is being written by natd-log, or a crash cut it off. */
	scan_lines(l, buf, len);
	if (n > 0 || (l->begin_us == 0 && !is_empty)) {
		snprintf(why, LOGFILE_WHY, "%.150s is no translation log: its lines do not begin with a time", path);
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
	struct source s;
	char *buf;
	bool ok;

	if (!open_source(&s, path, why))
		return false;
	buf = malloc(PIECE);
	ok = buf && read_all(l, &s, buf, path, why);
	if (!buf)
		snprintf(why, LOGFILE_WHY, "short of memory");
	free(buf);
	close_source(&s);
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

/* Beginnings and ends become holdings. */
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
			continue; /* told once more */
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
		l->holdings[i] = l->holdings[*n]; /* those to the front */
		l->holdings[(*n)++] = h;
	}
	l->is_linked = false; /* their order is another one now */
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
