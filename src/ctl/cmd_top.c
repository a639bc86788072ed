/* SPDX-License-Identifier: ISC */
/*
 * natctl top: a live screen, or plain screens one after the other. Each sample takes three short requests. If natd does
 * not answer, the next sample tries again. After a restart of natd, counts since the start begin again.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/filter.h"
#include "client.h"
#include "hosts.h"
#include "natctl.h"
#include "options.h"
#include "output.h"
#include "term.h"
#include "top.h"
#include "top_options.h"

enum { PLAIN_ROWS = 40, PLAIN_COLUMNS = 120 };

struct top {
	struct natctl *n;
	struct top_options options;
	struct top_sample samples[2]; /* used in turn */
	struct top_sample first;
	unsigned taken;
	bool has_before; /* the other sample is of the same run of natd */
	struct top_page page;
};

/* ---- options ---- */

static const char *set_order(struct natctl *n, void *target, const char *text)
{
	struct top_options *o = target;

	(void)n;
	return hosts_parse_order(text, &o->choice.order) ? NULL : "is not rate, sessions or ports";
}

static const char *set_delay(struct natctl *n, void *target, const char *text)
{
	struct top_options *o = target;
	char *end;

	(void)n;
	o->choice.delay_s = strtod(text, &end);
	return end != text && !*end && o->choice.delay_s >= TOP_DELAY_MIN && o->choice.delay_s <= TOP_DELAY_MAX
		       ? NULL
		       : "is not a number of seconds from 0.1 to 3600";
}

static const char *set_batch(struct natctl *n, void *target, const char *text)
{
	struct top_options *o = target;

	(void)n, (void)text;
	o->is_batch = true;
	return NULL;
}

static const char *set_count(struct natctl *n, void *target, const char *text)
{
	struct top_options *o = target;

	(void)n;
	return filter_parse_number(text, UINT32_MAX, &o->count) && o->count > 0 ? NULL : "is not a number from 1 up";
}

static const struct natctl_option rows[] = {
	{"order", 'o', VALUE_NEEDED, "KEY", "which hosts come first: rate (without -o), sessions, ports", set_order},
	{"delay", 'd', VALUE_NEEDED, "SECONDS", "between two screens, 0.1 to 3600 (without it 1)", set_delay},
	{"batch", 'b', VALUE_NONE, NULL, "plain screens, for scripts and pipes", set_batch},
	{"count", 'n', VALUE_NEEDED, "N", "end after N screens", set_count},
};

const struct option_set top_options = {"Screen:", rows, sizeof(rows) / sizeof(rows[0])};

/* ---- samples ---- */

static void keep(struct top_number *numbers, unsigned *n, unsigned max, const char *name, uint64_t value)
{
	if (*n == max)
		return;
	snprintf(numbers[*n].name, sizeof(numbers[*n].name), "%.39s", name);
	numbers[(*n)++].value = value;
}

static bool take_status(void *ctx, uint8_t type, struct ctl_reader *body)
{
	static struct ctl_item i;
	static struct ctl_check c;
	struct top_sample *s = ctx;

	if (type == CTL_R_CHECK && s->n_warnings < TOP_WARNINGS_MAX) {
		if (!ctl_get_check(body, &c))
			return false;
		snprintf(s->warnings[s->n_warnings++], sizeof(s->warnings[0]), "%.159s", c.what);
	} else if (type == CTL_R_ITEM) {
		if (!ctl_get_item(body, &i))
			return false;
		if (i.kind == CTL_ITEM_NUMBER)
			keep(s->items, &s->n_items, TOP_ITEMS_MAX, i.name, i.number);
		else if (strcmp(i.name, "version") == 0)
			snprintf(s->version, sizeof(s->version), "%.63s", i.text);
	}
	return true;
}

static bool take_counter(void *ctx, uint8_t type, struct ctl_reader *body)
{
	static struct ctl_counter c;
	struct top_sample *s = ctx;

	if (type != CTL_R_COUNTER)
		return true;
	if (!ctl_get_counter(body, &c))
		return false;
	keep(s->counters, &s->n_counters, TOP_COUNTERS_MAX, c.name, c.value);
	return true;
}

static bool take_host(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct top_sample *s = ctx;

	if (type != CTL_R_HOST || s->n_hosts == CTL_HOSTS_MAX)
		return true;
	return ctl_get_host(body, &s->hosts[s->n_hosts++]);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int ask(const struct top *t, struct top_sample *s)
{
	const struct ctl_hosts hosts = {.order = t->options.choice.order, .limit = CTL_HOSTS_MAX};
	const bool is_quiet = t->taken > 0 || !t->options.is_batch;
	const struct client_query status = {.type = CTL_STATUS, .is_quiet = is_quiet};
	const struct client_query stats = {.type = CTL_STATS, .is_quiet = is_quiet};
	const struct client_query busiest = {.type = CTL_HOSTS, .hosts = &hosts, .is_quiet = is_quiet};
	int rc = client_run(t->n, &status, take_status, s, NULL);

	s->time_ms = now_ms();
	if (rc == NATCTL_DONE)
		rc = client_run(t->n, &stats, take_counter, s, NULL);
	if (rc == NATCTL_DONE)
		rc = client_run(t->n, &busiest, take_host, s, NULL);
	return rc;
}

static uint64_t uptime(const struct top_sample *s)
{
	for (unsigned i = 0; i < s->n_items; i++) {
		if (strcmp(s->items[i].name, "uptime") == 0)
			return s->items[i].value;
	}
	return 0;
}

/* Takes the next sample. If natd does not answer, the last one is kept. */
static int take_sample(struct top *t)
{
	struct top_sample *s = &t->samples[t->taken % 2], *last = &t->samples[(t->taken + 1) % 2];
	int rc;

	memset(s, 0, sizeof(*s));
	rc = ask(t, s);
	if (rc != NATCTL_DONE) {
		*s = *last;
		s->is_there = false;
		t->has_before = false;
	} else {
		s->is_there = true;
		t->has_before = last->is_there && uptime(s) >= uptime(last);
		if (t->first.n_counters == 0 || uptime(s) < uptime(last))
			t->first = *s;
	}
	t->taken++;
	return rc;
}

static void compose(struct top *t, unsigned n_rows, unsigned columns)
{
	const struct top_sample *now = &t->samples[(t->taken + 1) % 2];

	t->page.rows = n_rows;
	t->page.columns = columns;
	top_compose(&t->page, now, t->has_before ? &t->samples[t->taken % 2] : NULL, &t->first, &t->options.choice);
}

/* ---- ending by a signal ---- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signo)
{
	(void)signo;
	interrupted = 1;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_interrupt};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* ---- plain screens ---- */

static void sleep_s(double seconds)
{
	struct timespec ts = {.tv_sec = (time_t)seconds};

	ts.tv_nsec = (long)((seconds - (double)ts.tv_sec) * 1e9);
	nanosleep(&ts, NULL);
}

static int run_plain(struct top *t)
{
	unsigned width = term_width(stdout);
	int rc = NATCTL_DONE;

	for (uint64_t shown = 0; !interrupted && (t->options.count == 0 || shown < t->options.count); shown++) {
		if (shown > 0)
			sleep_s(t->options.choice.delay_s);
		if (interrupted)
			break;
		rc = take_sample(t);
		if (rc != NATCTL_DONE && shown == 0)
			return rc;
		compose(t, PLAIN_ROWS, width ? width : PLAIN_COLUMNS);
		if (shown > 0)
			putchar('\n');
		for (unsigned i = 0; i < t->page.n; i++)
			puts(t->page.line[i].text);
		fflush(stdout);
		if (!output_ok(t->n))
			break;
	}
	return output_finish(t->n) ? rc : NATCTL_REFUSED;
}

/* ---- the live screen ---- */

static void show(struct top *t)
{
	unsigned n_rows, columns;

	top_screen_size(&n_rows, &columns);
	compose(t, n_rows, columns);
	top_screen_show(&t->page);
}

/* False: the user quits. *again: take a sample at once. */
static bool obey(struct top *t, int key, bool *again)
{
	struct top_choice *c = &t->options.choice;

	*again = key == 'r' || key == 's' || key == 'p';
	if (key == 'r')
		c->order = CTL_ORDER_RATE;
	else if (key == 's')
		c->order = CTL_ORDER_SESSIONS;
	else if (key == 'p')
		c->order = CTL_ORDER_PORTS;
	else if (key == '+' && c->delay_s * 2 <= TOP_DELAY_MAX)
		c->delay_s *= 2;
	else if (key == '-' && c->delay_s / 2 >= TOP_DELAY_MIN)
		c->delay_s /= 2;
	return key != 'q' && key != 'Q';
}

/* Handles keys until the next sample is due. False: the user quits. */
static bool wait_for_keys(struct top *t)
{
	uint64_t begin_ms = now_ms();
	bool again = false;

	while (!interrupted && !again) {
		uint64_t passed_ms = now_ms() - begin_ms, delay_ms = (uint64_t)(t->options.choice.delay_s * 1000);
		int key;

		if (passed_ms >= delay_ms)
			break;
		key = top_screen_key((int)(delay_ms - passed_ms));
		if (!obey(t, key, &again))
			return false;
		if (key != 0)
			show(t);
	}
	return !interrupted;
}

static int run_live(struct top *t)
{
	if (!top_screen_is_built_in()) {
		natctl_complain("top: this natctl was built without ncurses and has plain screens only: use -b");
		return NATCTL_USAGE;
	}
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		natctl_complain("top: a live screen needs a terminal: use -b");
		return NATCTL_USAGE;
	}
	if (!top_screen_open())
		return NATCTL_USAGE;
	t->options.choice.has_keys = true;
	for (uint64_t shown = 1;; shown++) {
		take_sample(t);
		show(t);
		if (shown == t->options.count || !wait_for_keys(t))
			break;
	}
	top_screen_close();
	return NATCTL_DONE;
}

int command_top(struct natctl *n, int argc, char **argv)
{
	static struct top t;
	const struct option_use uses[] = {{&top_options, &t.options}, {NULL, NULL}};
	int first;

	t = (struct top){.n = n, .options = {.choice = {.order = CTL_ORDER_RATE, .delay_s = 1}}};
	first = options_parse(n, argc, argv, uses);
	if (first < 0)
		return NATCTL_USAGE;
	if (first < argc) {
		natctl_complain("%s: `%s' is one argument too many", argv[0], argv[first]);
		return NATCTL_USAGE;
	}
	if (n->format != FORMAT_LINE) {
		natctl_complain("%s: there is no other output format: use `natctl status -j' and `natctl hosts -j'",
				argv[0]);
		return NATCTL_USAGE;
	}
	catch_signals();
	return t.options.is_batch ? run_plain(&t) : run_live(&t);
}
