/* SPDX-License-Identifier: ISC */
/*
 * Commands about events: monitor (as they occur) and history (sessions that have ended).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/json.h"
#include "client/names.h"
#include "client.h"
#include "filter.h"
#include "monitor.h"
#include "output.h"

/* ---- options ---- */

static const char *set_kinds(struct natctl *n, void *target, const char *text)
{
	struct monitor_choice *m = target;
	char word[16];
	size_t len;

	(void)n;
	m->kinds = 0;
	for (;; text += len + 1) {
		int kind;

		len = strcspn(text, ",");
		snprintf(word, sizeof(word), "%.*s", len < sizeof(word) ? (int)len : 0, text);
		kind = ctl_event_by_name(word);
		if (strcmp(word, "ALL") == 0)
			m->kinds = CTL_EVENTS_ALL;
		else if (kind >= 0)
			m->kinds |= 1u << kind;
		else
			return "is not a list of NEW, UPDATE, DESTROY, MAPPING, BLOCK, BACKEND, ALARM, CONFIG, "
			       "REFUSED, ALL";
		if (text[len] == '\0')
			return NULL;
	}
}

static const char *set_count(struct natctl *n, void *target, const char *text)
{
	struct monitor_choice *m = target;

	(void)n;
	return filter_parse_number(text, UINT64_MAX, &m->count) && m->count > 0 ? NULL : "is not a number from 1 up";
}

static const struct natctl_option rows[] = {
	{"event-mask", 'e', VALUE_NEEDED, "LIST",
	 "NEW, UPDATE, DESTROY (these without -e), MAPPING, BLOCK, BACKEND, ALARM, CONFIG, REFUSED", set_kinds},
	{"count", 'c', VALUE_NEEDED, "N", "end after N events", set_count},
};

const struct option_set monitor_options = {"Events:", rows, sizeof(rows) / sizeof(rows[0])};

/* ---- events as lines ---- */

static void print_mapping(FILE *f, const struct ctl_event *e)
{
	char inside[NAMES_ENDPOINT_MAX];
	char outside[NAMES_ENDPOINT_MAX];

	names_endpoint(inside, &e->mapping.inside, e->mapping.protocol);
	names_endpoint(outside, &e->mapping.outside, e->mapping.protocol);
	fprintf(f, "%s %s inside=%s outside=%s\n", e->has_ended ? "closed" : "opened",
		names_conntrack_protocol(e->mapping.protocol), inside, outside);
}

static void print_block(FILE *f, const struct ctl_event *e)
{
	char inside[NAMES_ADDRESS_MAX];
	char outside[NAMES_ADDRESS_MAX];

	fprintf(f, "%s host=%s outside=%s ports=%u-%u\n", e->has_ended ? "closed" : "opened",
		names_address(inside, e->block.inside), names_address(outside, e->block.outside), e->block.first,
		e->block.last);
}

static void print_text(FILE *f, const struct ctl_event *e)
{
	if (e->kind == CTL_EVENT_ALARM) {
		fputs(e->has_ended ? "cleared " : "raised ", f);
		names_print(f, e->reason);
		fputs(": ", f);
	}
	names_print(f, e->text);
	fputc('\n', f);
}

static void print_session(FILE *f, const struct ctl_event *e, unsigned line)
{
	char last[64] = "";

	if (e->kind == CTL_EVENT_DESTROY)
		line |= LINE_NO_TIMEOUT;
	else if (e->kind == CTL_EVENT_REFUSED)
		line |= LINE_NO_TIMEOUT | LINE_NO_COUNTS;
	else
		line |= LINE_NO_COUNTS;
	if (e->reason[0])
		snprintf(last, sizeof(last), "reason=%s", e->reason);
	output_entry_line_with(f, &e->entry, line, last);
}

void monitor_print_line(FILE *f, const struct ctl_event *e, unsigned line)
{
	char tag[16];

	if (line & LINE_TIMESTAMP)
		fprintf(f, "[%" PRIu64 ".%06" PRIu64 "]\t", e->time_us / 1000000, e->time_us % 1000000);
	snprintf(tag, sizeof(tag), "[%s]", ctl_event_name(e->kind));
	fprintf(f, "%9s ", tag);
	if (ctl_event_has_entry(e->kind))
		print_session(f, e, line);
	else if (e->kind == CTL_EVENT_MAPPING)
		print_mapping(f, e);
	else if (e->kind == CTL_EVENT_BLOCK)
		print_block(f, e);
	else
		print_text(f, e);
}

/* ---- monitor ---- */

struct monitor {
	struct natctl *n;
	struct monitor_choice choice;
	uint64_t shown;
	bool stop;
};

static bool take_lost(struct monitor *m, struct ctl_reader *body)
{
	uint64_t count;

	if (!ctl_get_lost(body, &count))
		return false;
	if (m->n->format == FORMAT_JSON)
		json_print_lost(stdout, count);
	else
		printf("%9s %" PRIu64 "\n", "[LOST]", count);
	return output_ok(m->n);
}

static bool take_event(void *ctx, uint8_t type, struct ctl_reader *body)
{
	static struct ctl_event e;
	struct monitor *m = ctx;

	if (type == CTL_R_LOST)
		return take_lost(m, body);
	if (type != CTL_R_EVENT)
		return true;
	if (!ctl_get_event(body, &e))
		return false;
	if (e.kind >= CTL_EVENT_COUNT)
		return true;
	if (m->n->format == FORMAT_JSON)
		json_print_event(stdout, &e);
	else
		monitor_print_line(stdout, &e, m->n->line);
	m->shown++;
	m->stop = m->shown == m->choice.count;
	return output_ok(m->n) && !m->stop;
}

static int wrong_argument(char **argv, const char *word)
{
	natctl_complain("%s: `%s' is one argument too many", argv[0], word);
	return NATCTL_USAGE;
}

int command_monitor(struct natctl *n, int argc, char **argv)
{
	struct monitor m = {.n = n, .choice = {.kinds = CTL_EVENTS_SESSIONS}};
	struct ctl_subscribe s = {.start = CTL_START_NOW};
	const struct client_query q = {.type = CTL_MONITOR, .subscribe = &s, .is_endless = true, .stop = &m.stop};
	const struct option_use uses[] = {{&filter_options, &s.filter}, {&monitor_options, &m.choice}, {NULL, NULL}};
	int first = options_parse(n, argc, argv, uses);
	int rc;

	if (first < 0)
		return NATCTL_USAGE;
	if (first < argc && strcmp(argv[first], "conntrack") != 0)
		return wrong_argument(argv, argv[first]);
	s.kinds = m.choice.kinds;
	rc = client_run(n, &q, take_event, &m, NULL);
	if (!output_finish(n))
		return NATCTL_REFUSED;
	if (rc == NATCTL_DONE)
		fprintf(stderr, "natctl: %" PRIu64 " flow events have been shown.\n", m.shown);
	return rc;
}

/* ---- history ---- */

struct history {
	struct natctl *n;
	uint64_t now_us;
};

static bool take_ended(void *ctx, uint8_t type, struct ctl_reader *body)
{
	static struct ctl_event e;
	struct history *h = ctx;
	uint64_t ago_s;
	char last[96];

	if (type != CTL_R_EVENT)
		return true;
	if (!ctl_get_event(body, &e))
		return false;
	if (e.kind != CTL_EVENT_DESTROY)
		return true;
	ago_s = h->now_us > e.time_us ? (h->now_us - e.time_us) / 1000000 : 0;
	if (h->n->format == FORMAT_JSON) {
		json_print_history(stdout, &e, ago_s);
		return output_ok(h->n);
	}
	snprintf(last, sizeof(last), "ended=%" PRIu64 " reason=%s", ago_s, e.reason);
	output_entry_line_with(stdout, &e.entry, h->n->line, last);
	return output_ok(h->n);
}

int command_history(struct natctl *n, int argc, char **argv)
{
	struct ctl_subscribe s = {.kinds = 1 << CTL_EVENT_DESTROY, .start = CTL_START_OLDEST, .until_end = true};
	const struct client_query q = {.type = CTL_MONITOR, .subscribe = &s};
	struct history h = {.n = n};
	struct ctl_end end = {0};
	struct timespec now;
	int rc;

	if (!filter_parse(n, &s.filter, argc, argv))
		return NATCTL_USAGE;
	clock_gettime(CLOCK_REALTIME, &now);
	h.now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	rc = client_run(n, &q, take_ended, &h, &end);
	if (!output_finish(n))
		return NATCTL_REFUSED;
	if (rc == NATCTL_DONE)
		fprintf(stderr, "natctl: %" PRIu64 " flow entries have been shown.\n", end.count);
	return rc;
}
