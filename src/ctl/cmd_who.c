/* SPDX-License-Identifier: ISC */
/*
 * Which inside host holds, or held at some time, an outside endpoint. For now natd looks it up. For a past time the
 * open sessions and those that ended since are searched, or the files of the translation log.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/protocol.h"
#include "client/json.h"
#include "client/names.h"
#include "client/who.h"
#include "client.h"
#include "filter.h"
#include "logfile.h"
#include "monitor.h"
#include "offline.h"
#include "output.h"

enum { LOGS_MAX = 64 };

struct who_choice {
	uint64_t at_us;	    /* since the epoch; 0: now */
	const char *config; /* file; NULL: query natd */
	const char *logs[LOGS_MAX];
	size_t n_logs;
};

struct who {
	struct natctl *n;
	struct ctl_who query;
	uint64_t at_us, now_us;
	struct who_choice choice;
	const char *config;
	struct ctl_block block; /* the block that contains the endpoint */
	bool has_block;
	uint64_t found;
	struct ctl_mapping last; /* the last holder printed: an endpoint may have had many sessions */
};

/* ---- arguments ---- */

static const char *set_at(struct natctl *n, void *target, const char *text)
{
	struct who_choice *c = target;

	(void)n;
	if (who_parse_time(text, &c->at_us))
		return NULL;
	return "is not a time: seconds since the epoch, or 2026-01-31T23:59:59Z (UTC)";
}

static const char *set_config(struct natctl *n, void *target, const char *text)
{
	struct who_choice *c = target;

	(void)n;
	c->config = text;
	return NULL;
}

static const char *add_log(struct natctl *n, void *target, const char *text)
{
	struct who_choice *c = target;

	(void)n;
	if (c->n_logs == LOGS_MAX)
		return "is one file too many: there may be 64";
	c->logs[c->n_logs++] = text;
	return NULL;
}

static const struct natctl_option rows[] = {
	{"at", 0, VALUE_NEEDED, "TIME", "at that time: seconds since the epoch, or ISO 8601 (UTC)", set_at},
	{"config", 0, VALUE_NEEDED, "FILE", "deterministic allocation: by this natd.conf, without a daemon",
	 set_config},
	{"log", 0, VALUE_NEEDED, "FILE", "with --at: by natd-log's file, without a daemon; may be repeated", add_log},
};

const struct option_set who_options = {"Time and source:", rows, sizeof(rows) / sizeof(rows[0])};

static bool parse_arguments(struct who *w, int argc, char **argv)
{
	struct who_choice choice = {0};
	const struct option_use uses[] = {{&who_options, &choice}, {NULL, NULL}};
	int first = options_parse(w->n, argc, argv, uses);
	int protocol = 0;

	if (first < 0)
		return false;
	if (argc - first < 1 || argc - first > 2 || !who_parse_endpoint(argv[first], &w->query.outside)) {
		natctl_complain("%s: needs ADDRESS:PORT and perhaps a protocol", argv[0]);
		return false;
	}
	if (argc - first == 2)
		protocol = protocol_number(argv[first + 1]);
	if (protocol != 0 && protocol != 1 && protocol != 6 && protocol != 17) {
		natctl_complain("%s: `%s' is not tcp, udp or icmp", argv[0], argv[first + 1]);
		return false;
	}
	w->query.protocol = (uint8_t)protocol;
	if (choice.n_logs > 0 && (choice.at_us == 0 || choice.config)) {
		natctl_complain("%s: --log %s", argv[0],
				choice.config ? "and --config exclude each other: choose one"
					      : "needs a time: --at 2026-01-31T23:59:59Z");
		return false;
	}
	w->at_us = choice.at_us;
	w->config = choice.config;
	w->choice = choice;
	return true;
}

/* ---- answers ---- */

static bool print(struct who *w, const struct ctl_mapping *m, uint64_t since_us, uint64_t until_us)
{
	char inside[NAMES_ENDPOINT_MAX];
	char outside[NAMES_ENDPOINT_MAX];

	if (w->found > 0 && m->protocol == w->last.protocol && m->inside.address == w->last.inside.address &&
	    m->inside.port == w->last.inside.port)
		return true;
	w->last = *m;
	w->found++;
	if (w->n->format == FORMAT_JSON) {
		json_print_holder(stdout, m, since_us, until_us);
		return output_ok(w->n);
	}
	printf("%s inside=%s outside=%s", names_conntrack_protocol(m->protocol),
	       names_endpoint(inside, &m->inside, m->protocol), names_endpoint(outside, &m->outside, m->protocol));
	if (since_us)
		printf(" since=%" PRIu64, since_us / 1000000);
	if (until_us)
		printf(" until=%" PRIu64, until_us / 1000000);
	putchar('\n');
	return output_ok(w->n);
}

/* If no mapping answers: every port of a block belongs to its host. */
static void print_block(struct who *w)
{
	const struct ctl_block *b = &w->block;
	uint64_t since_us = b->is_fixed || b->age_s == 0 ? 0 : w->now_us - (uint64_t)b->age_s * 1000000;
	char inside[NAMES_ADDRESS_MAX];
	char outside[NAMES_ENDPOINT_MAX];

	w->found++;
	if (w->n->format == FORMAT_JSON) {
		json_print_block_holder(stdout, b, &w->query, since_us, 0);
		return;
	}
	printf("%s inside=%s outside=%s block=%u-%u",
	       w->query.protocol ? names_conntrack_protocol(w->query.protocol) : "any",
	       names_address(inside, b->inside), names_endpoint(outside, &w->query.outside, 6), b->first, b->last);
	if (since_us)
		printf(" since=%" PRIu64, since_us / 1000000);
	putchar('\n');
}

static bool keep_block(struct who *w, struct ctl_reader *body)
{
	struct ctl_block b;

	if (!ctl_get_block(body, &b))
		return false;
	if (w->at_us == 0 || b.is_fixed || w->now_us - (uint64_t)b.age_s * 1000000 <= w->at_us) {
		w->block = b;
		w->has_block = true;
	}
	return true;
}

static bool take_mapping(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct ctl_mapping m;

	if (type == CTL_R_BLOCK)
		return keep_block(ctx, body);
	if (type != CTL_R_MAPPING)
		return true;
	return ctl_get_mapping(body, &m) && print(ctx, &m, 0, 0);
}

static bool take_session(struct who *w, const struct ctl_entry *e, uint64_t since_us, uint64_t until_us)
{
	const struct ctl_mapping m = {.protocol = e->protocol, .inside = e->inside, .outside = e->outside};

	if (!who_held(&w->query, w->at_us, e, since_us, until_us))
		return true;
	return print(w, &m, since_us, until_us);
}

static bool take_live(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct who *w = ctx;
	struct ctl_entry e;

	if (type != CTL_R_ENTRY)
		return true;
	return ctl_get_entry(body, &e) && take_session(w, &e, w->now_us - (uint64_t)e.age_s * 1000000, 0);
}

static bool take_ended(void *ctx, uint8_t type, struct ctl_reader *body)
{
	static struct ctl_event e;
	struct who *w = ctx;

	if (type != CTL_R_EVENT)
		return true;
	if (!ctl_get_event(body, &e))
		return false;
	return e.kind != CTL_EVENT_DESTROY ||
	       take_session(w, &e.entry, e.time_us - (uint64_t)e.entry.age_s * 1000000, e.time_us);
}

static bool take_block(void *ctx, uint8_t type, struct ctl_reader *body)
{
	return type != CTL_R_BLOCK || keep_block(ctx, body);
}

/* Open sessions of the endpoint: those of inside hosts have it in the reply, those from outside as destination. */
static int ask_live(struct who *w)
{
	const struct ctl_prefix address = {w->query.outside.address, 32};
	const struct ctl_filter inner = {.criteria = CTL_BY_REPLY_DST, .reply_dst = address};
	const struct ctl_filter outer = {.criteria = CTL_BY_ORIG_DST, .orig_dst = address};
	int rc = client_ask(w->n, CTL_LIST, &inner, take_live, w, NULL);

	return rc == NATCTL_DONE ? client_ask(w->n, CTL_LIST, &outer, take_live, w, NULL) : rc;
}

static int not_known(uint64_t begin_us)
{
	time_t begin = (time_t)(begin_us / 1000000);
	struct tm tm;
	char text[32];

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&begin, &tm));
	natctl_complain("not known: history begins at %s", text);
	return NATCTL_REFUSED;
}

static int ask_then(struct who *w)
{
	const struct ctl_subscribe s = {.kinds = 1 << CTL_EVENT_DESTROY, .start = CTL_START_OLDEST, .until_end = true};
	const struct client_query begin = {.type = CTL_WHO, .who = &w->query};
	const struct client_query ended = {.type = CTL_MONITOR, .subscribe = &s};
	struct ctl_end end = {0};
	int rc = ask_live(w);

	if (rc == NATCTL_DONE)
		rc = client_run(w->n, &ended, take_ended, w, NULL);
	if (rc == NATCTL_DONE && w->found == 0)
		rc = client_run(w->n, &begin, take_block, w, &end);
	if (rc == NATCTL_DONE && w->found == 0 && !w->has_block && w->at_us / 1000000 < end.count2 / 1000000)
		return not_known(end.count2);
	return rc;
}

/* By arithmetic, for any time at which the file was in force. */
static int ask_file(struct who *w)
{
	switch (offline_who(w->config, &w->query.outside, &w->block)) {
	case OFFLINE_FOUND:
		w->has_block = true;
		break;
	case OFFLINE_NOBODY:
		break;
	case OFFLINE_NOT_KNOWN:
		natctl_complain("not known from %s alone: the port was allocated, not computed; ask natd or its log",
				w->config);
		return NATCTL_REFUSED;
	case OFFLINE_WRONG:
		return NATCTL_REFUSED;
	}
	return NATCTL_DONE;
}

/* ---- the translation log ---- */

static void print_log_block(struct who *w, const struct logfile_holding *h)
{
	const struct ctl_block b = {.inside = h->inside.address, .first = h->first, .last = h->last};
	char inside[NAMES_ADDRESS_MAX], outside[NAMES_ENDPOINT_MAX];

	w->found++;
	if (w->n->format == FORMAT_JSON) {
		json_print_block_holder(stdout, &b, &w->query, h->since_us, h->until_us);
		return;
	}
	printf("%s inside=%s outside=%s block=%u-%u",
	       w->query.protocol ? names_conntrack_protocol(w->query.protocol) : "any", names_address(inside, b.inside),
	       names_endpoint(outside, &w->query.outside, 6), b.first, b.last);
	if (h->since_us)
		printf(" since=%" PRIu64, h->since_us / 1000000);
	if (h->until_us)
		printf(" until=%" PRIu64, h->until_us / 1000000);
	putchar('\n');
}

static const char *text_of_time(char text[32], uint64_t us)
{
	time_t seconds = (time_t)(us / 1000000);
	struct tm tm;

	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
	return text;
}

/* Nothing was found. "nobody" is printed only if the log can know it. */
static int explain_nothing(struct who *w, const struct logfile *l)
{
	const struct logfile_gap *g = logfile_gap_at(l, w->at_us);
	char from[32], to[32];

	if (logfile_begin(l) == 0)
		natctl_complain("not known: the log is empty");
	else if (w->at_us / 1000000 < logfile_begin(l) / 1000000)
		natctl_complain("not known: the log begins at %s", text_of_time(from, logfile_begin(l)));
	else if (w->at_us / 1000000 > logfile_end(l) / 1000000)
		natctl_complain("not known: the log ends at %s", text_of_time(to, logfile_end(l)));
	else if (g)
		natctl_complain("not known: events are missing between %s and %s",
				g->since_us ? text_of_time(from, g->since_us) : "the beginning",
				text_of_time(to, g->until_us));
	else if (!logfile_is_whole(l))
		natctl_complain("not known: nothing from %s on, and older files may have it: name them with --log too",
				text_of_time(from, logfile_begin(l)));
	else
		return NATCTL_DONE;
	return NATCTL_REFUSED;
}

static void print_holders(struct who *w, struct logfile *l)
{
	size_t n;
	const struct logfile_holding *h = logfile_holders(l, w->at_us, &n);

	for (size_t i = 0; i < n; i++) {
		const struct ctl_mapping m = {
			.protocol = h[i].protocol, .inside = h[i].inside, .outside = w->query.outside};

		if (h[i].protocol == 0)
			print_log_block(w, &h[i]);
		else
			print(w, &m, h[i].since_us, h[i].until_us);
	}
}

static int ask_log(struct who *w)
{
	struct logfile *l = logfile_create(&w->query);
	char why[LOGFILE_WHY];
	int rc = NATCTL_DONE;

	if (!l) {
		natctl_complain("natctl is out of memory");
		return NATCTL_REFUSED;
	}
	for (size_t i = 0; i < w->choice.n_logs && rc == NATCTL_DONE; i++) {
		if (logfile_read(l, w->choice.logs[i], why))
			continue;
		natctl_complain("%s", why);
		rc = NATCTL_REFUSED;
	}
	if (rc == NATCTL_DONE) {
		if (logfile_bad_lines(l) > 0)
			natctl_complain("%" PRIu64 " lines that name the endpoint are not understood",
					logfile_bad_lines(l));
		print_holders(w, l);
		if (w->found == 0)
			rc = explain_nothing(w, l);
	}
	logfile_destroy(l);
	return rc;
}

int command_who(struct natctl *n, int argc, char **argv)
{
	struct who w = {.n = n};
	const struct client_query now = {.type = CTL_WHO, .who = &w.query};
	struct timespec ts;
	char text[NAMES_ENDPOINT_MAX];
	int rc;

	if (!parse_arguments(&w, argc, argv))
		return NATCTL_USAGE;
	clock_gettime(CLOCK_REALTIME, &ts);
	w.now_us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
	if (w.choice.n_logs > 0)
		rc = ask_log(&w);
	else if (w.config)
		rc = ask_file(&w);
	else
		rc = w.at_us ? ask_then(&w) : client_run(n, &now, take_mapping, &w, NULL);
	if (rc == NATCTL_DONE && w.found == 0 && w.has_block)
		print_block(&w);
	if (!output_finish(n))
		return NATCTL_REFUSED;
	if (rc != NATCTL_DONE || w.found > 0)
		return rc;
	natctl_complain("nobody has %s", names_endpoint(text, &w.query.outside, 6));
	return NATCTL_REFUSED;
}
