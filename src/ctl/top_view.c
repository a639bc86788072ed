/* SPDX-License-Identifier: ISC */
/* The lines of natctl top. Pure: samples in, lines out, so tests see what a terminal shows. */
#include "top.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/names.h"
#include "output.h"

enum { DROPS_MAX = 8, HOSTS_MIN = 3 /* lines that drops always leave to the hosts, heading included */ };

static void put(struct top_page *p, enum top_style style, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void put(struct top_page *p, enum top_style style, const char *format, ...)
{
	struct top_line *line = &p->line[p->n];
	char text[TOP_COLUMNS_MAX + 1];
	va_list ap;

	if (p->n >= p->rows)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	names_escape(line->text, p->columns + 1, text);
	line->style = style;
	p->n++;
}

static uint64_t find(const struct top_number *numbers, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(numbers[i].name, name) == 0)
			return numbers[i].value;
	}
	return 0;
}

static uint64_t item(const struct top_sample *s, const char *name)
{
	return find(s->items, s->n_items, name);
}

/* Growth of that counter a second, in tenths; without a sample before, the mean since natd's start. */
static uint64_t tenths_a_second(const struct top_sample *now, const struct top_sample *before, const char *name)
{
	uint64_t value = find(now->counters, now->n_counters, name), then, ms;

	if (!before || now->time_ms <= before->time_ms)
		return 0;
	then = find(before->counters, before->n_counters, name);
	ms = now->time_ms - before->time_ms;
	return value > then ? (value - then) * 10000 / ms : 0;
}

static uint64_t percent(uint64_t used, uint64_t all)
{
	return all ? used * 100 / all : 0;
}

static void put_head(struct top_page *p, const struct top_sample *s)
{
	char up[32];

	if (s->is_there)
		put(p, TOP_BOLD, "natd %s, up %s", s->version, output_duration(up, item(s, "uptime")));
	else
		put(p, TOP_WARNING, "natd does not answer: trying again");
	for (unsigned i = 0; i < s->n_warnings; i++)
		put(p, TOP_WARNING, "! %s", s->warnings[i]);
}

static void put_use(struct top_page *p, const struct top_sample *s, const struct top_sample *before)
{
	uint64_t opened = tenths_a_second(s, before, "sessions_opened"), ports = item(s, "ports");
	char out[16], in[16];

	put(p, TOP_PLAIN, "out       %" PRIu64 " packets/s, %s/s", item(s, "out_packets_rate"),
	    output_bytes(out, item(s, "out_bytes_rate")));
	put(p, TOP_PLAIN, "in        %" PRIu64 " packets/s, %s/s", item(s, "in_packets_rate"),
	    output_bytes(in, item(s, "in_bytes_rate")));
	put(p, TOP_PLAIN,
	    "sessions  %" PRIu64 " of %" PRIu64 " (%" PRIu64 " %%), %" PRIu64 " new/s, %" PRIu64 " mappings, %" PRIu64
	    " hosts",
	    item(s, "sessions"), item(s, "sessions_limit"), percent(item(s, "sessions"), item(s, "sessions_limit")),
	    opened / 10, item(s, "mappings"), item(s, "hosts"));
	if (ports > 0)
		put(p, TOP_PLAIN,
		    "ports     tcp %" PRIu64 " (%" PRIu64 " %%), udp %" PRIu64 " (%" PRIu64 " %%), icmp %" PRIu64
		    " (%" PRIu64 " %%) of %" PRIu64 " each",
		    item(s, "ports_tcp"), percent(item(s, "ports_tcp"), ports), item(s, "ports_udp"),
		    percent(item(s, "ports_udp"), ports), item(s, "ports_icmp"), percent(item(s, "ports_icmp"), ports),
		    ports);
}

/* ---- drops ---- */

struct drop {
	const char *name;
	uint64_t tenths; /* a second */
	uint64_t count;	 /* since the first sample */
};

static bool is_above(const struct drop *a, const struct drop *b)
{
	return a->tenths != b->tenths ? a->tenths > b->tenths : a->count > b->count;
}

/* Sorts the most frequent drops; returns their number. */
static unsigned rank_drops(struct drop top[DROPS_MAX], const struct top_sample *s, const struct top_sample *before,
			   const struct top_sample *first)
{
	unsigned n = 0, at;

	for (unsigned i = 0; i < s->n_counters; i++) {
		const char *name = s->counters[i].name;
		struct drop d = {name, tenths_a_second(s, before, name),
				 s->counters[i].value - find(first->counters, first->n_counters, name)};

		if (strncmp(name, "drop_", 5) != 0 ||
		    s->counters[i].value <= find(first->counters, first->n_counters, name))
			continue;
		if (n == DROPS_MAX && !is_above(&d, &top[n - 1]))
			continue;
		for (at = n < DROPS_MAX ? n++ : n - 1; at > 0 && is_above(&d, &top[at - 1]); at--)
			top[at] = top[at - 1];
		top[at] = d;
	}
	return n;
}

static void put_drops(struct top_page *p, const struct top_sample *s, const struct top_sample *before,
		      const struct top_sample *first)
{
	struct drop top[DROPS_MAX];
	unsigned n = first ? rank_drops(top, s, before, first) : 0;
	unsigned room = p->rows > p->n + 1 + HOSTS_MIN ? p->rows - p->n - 1 - HOSTS_MIN : 0;

	put(p, TOP_HEADING, "%-28s %10s %14s", "DROPPED", "A SECOND", "SINCE START");
	if (n == 0)
		put(p, TOP_PLAIN, "nothing");
	for (unsigned i = 0; i < n && i < room; i++)
		put(p, top[i].tenths > 0 ? TOP_BOLD : TOP_PLAIN, "%-28s %8" PRIu64 ".%" PRIu64 " %14" PRIu64,
		    top[i].name, top[i].tenths / 10, top[i].tenths % 10, top[i].count);
}

/* ---- hosts ---- */

static void put_host(struct top_page *p, const struct ctl_host *h)
{
	char address[NAMES_ADDRESS_MAX], outside[NAMES_ADDRESS_MAX], rates[2][16] = {"-", "-"}, bytes[2][16];

	for (int dir = 0; dir < 2; dir++) {
		output_bytes(bytes[dir], h->bytes[dir]);
		if (h->interval_ms > 0)
			output_bytes(rates[dir], h->bytes_rate[dir]);
	}
	names_address(address, h->address);
	names_address(outside, h->outside);
	if (p->columns < 100)
		put(p, TOP_PLAIN, "%-15s %-15s %8" PRIu32 " %6" PRIu32 " %10s %10s", address, outside, h->sessions,
		    h->ports, rates[0], rates[1]);
	else
		put(p, TOP_PLAIN, "%-15s %-15s %8" PRIu32 " %6" PRIu32 " %6" PRIu32 " %10s %10s %10s %10s", address,
		    outside, h->sessions, h->ports, h->blocks, rates[0], rates[1], bytes[0], bytes[1]);
}

static void put_hosts(struct top_page *p, const struct top_sample *s, unsigned room)
{
	if (p->columns < 100)
		put(p, TOP_HEADING, "%-15s %-15s %8s %6s %10s %10s", "HOST", "OUTSIDE", "SESSIONS", "PORTS", "OUT/S",
		    "IN/S");
	else
		put(p, TOP_HEADING, "%-15s %-15s %8s %6s %6s %10s %10s %10s %10s", "HOST", "OUTSIDE", "SESSIONS",
		    "PORTS", "BLOCKS", "OUT/S", "IN/S", "OUT", "IN");
	for (unsigned i = 0; i < s->n_hosts && i < room; i++)
		put_host(p, &s->hosts[i]);
}

void top_compose(struct top_page *p, const struct top_sample *now, const struct top_sample *before,
		 const struct top_sample *first, const struct top_choice *choice)
{
	static const char *const orders[CTL_ORDER_COUNT] = {"", "rate", "sessions", "ports"};
	unsigned keys = choice->has_keys ? 1 : 0;

	p->n = 0;
	p->rows = p->rows > TOP_ROWS_MAX ? TOP_ROWS_MAX : p->rows;
	p->columns = p->columns > TOP_COLUMNS_MAX ? TOP_COLUMNS_MAX : p->columns;
	p->rows = p->rows > keys ? p->rows - keys : 0;
	put_head(p, now);
	put_use(p, now, before);
	put(p, TOP_PLAIN, "%s", "");
	put_drops(p, now, before, first);
	put(p, TOP_PLAIN, "%s", "");
	put_hosts(p, now, p->rows > p->n + 1 ? p->rows - p->n - 1 : 0);
	if (!choice->has_keys)
		return;
	while (p->n < p->rows)
		put(p, TOP_PLAIN, "%s", "");
	p->rows++;
	put(p, TOP_HEADING, "q quit   r rate   s sessions   p ports   + - every %.3g s   by %s", choice->delay_s,
	    orders[choice->order % CTL_ORDER_COUNT]);
}
