/* SPDX-License-Identifier: ISC */
/*
 * Commands about natd's state: status, stats.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/json.h"
#include "client/names.h"
#include "client.h"
#include "filter.h"
#include "natctl.h"
#include "output.h"
#include "term.h"

enum { ITEMS_MAX = 512 }; /* a status has some thirty */

struct status {
	struct natctl *n;
	struct json_object *object; /* with JSON, else NULL */
	unsigned count;
	struct ctl_item *items; /* ITEMS_MAX of them */
	bool used[ITEMS_MAX];	/* already shown */
};

/* ---- collecting ---- */

/* Without JSON a warning becomes an element of the list "warnings". */
static bool take_warning(struct status *s, struct ctl_reader *body)
{
	struct ctl_item *i = &s->items[s->count];
	struct ctl_check c;

	if (!ctl_get_check(body, &c))
		return false;
	if (s->object) {
		json_add_warning(s->object, &c);
		return true;
	}
	*i = (struct ctl_item){.kind = CTL_ITEM_LIST, .name = "warnings"};
	if (snprintf(i->text, sizeof(i->text), "%s%s%s", c.what, c.remedy[0] ? ": " : "", c.remedy) >= 0)
		s->count++;
	return true;
}

static bool take_item(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct status *s = ctx;
	struct ctl_item *i = &s->items[s->count];

	if (type == CTL_R_CHECK && s->count < ITEMS_MAX)
		return take_warning(s, body);
	if (type != CTL_R_ITEM || s->count == ITEMS_MAX)
		return true;
	if (!ctl_get_item(body, i))
		return false;
	if (s->object)
		json_add_item(s->object, i);
	else
		s->count++;
	return true;
}

/* ---- one screen ---- */

static const struct ctl_item *find(struct status *s, const char *name)
{
	for (unsigned i = 0; i < s->count; i++) {
		if (strcmp(s->items[i].name, name) == 0) {
			s->used[i] = true;
			return &s->items[i];
		}
	}
	return NULL;
}

static uint64_t number(struct status *s, const char *name)
{
	const struct ctl_item *i = find(s, name);

	return i ? i->number : 0;
}

static void print_text(struct status *s, const char *name)
{
	const struct ctl_item *i = find(s, name);

	names_print(stdout, i ? i->text : "?");
}

/* Prints all elements of a list, with `between` between them; returns their number. */
static unsigned print_list(struct status *s, const char *name, const char *between)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->count; i++) {
		if (s->items[i].kind != CTL_ITEM_LIST || strcmp(s->items[i].name, name) != 0)
			continue;
		s->used[i] = true;
		if (n++ > 0)
			fputs(between, stdout);
		names_print(stdout, s->items[i].text);
	}
	return n;
}

static void print_places(struct status *s)
{
	char duration[32];

	fputs("natd ", stdout);
	print_text(s, "version");
	printf(", up %s, routing ", output_duration(duration, number(s, "uptime")));
	print_text(s, "routing");
	fputs(", device ", stdout);
	print_text(s, "tun");
	fputs("\n\noutside   ", stdout);
	print_text(s, "interface");
	fputs(": ", stdout);
	if (print_list(s, "addresses", ", ") == 0)
		fputs("no address", stdout);
	fputs("\ninside    ", stdout);
	if (print_list(s, "inside", ", ") == 0)
		fputs("nothing", stdout);
	fputc('\n', stdout);
	if (find(s, "fast_path")) {
		fputs("fast path: ", stdout);
		print_text(s, "fast_path");
		fputc('\n', stdout);
	}
}

static void print_use(struct status *s)
{
	char bytes[16];

	printf("sessions  %" PRIu64 " of %" PRIu64, number(s, "sessions"), number(s, "sessions_limit"));
	printf(" on %" PRIu64 " mappings of %" PRIu64 " inside hosts\n", number(s, "mappings"), number(s, "hosts"));
	if (find(s, "ports"))
		printf("ports     tcp %" PRIu64 ", udp %" PRIu64 ", icmp %" PRIu64 " of %" PRIu64 " each\n",
		       number(s, "ports_tcp"), number(s, "ports_udp"), number(s, "ports_icmp"), number(s, "ports"));
	printf("forwards  %" PRIu64 "\n", number(s, "forwards"));
	if (find(s, "memory"))
		printf("memory    %s\n", output_bytes(bytes, number(s, "memory")));
}

static void print_rates(struct status *s)
{
	char bytes[16];

	printf("out       %" PRIu64 " packets/s, %s/s\n", number(s, "out_packets_rate"),
	       output_bytes(bytes, number(s, "out_bytes_rate")));
	printf("in        %" PRIu64 " packets/s, %s/s\n", number(s, "in_packets_rate"),
	       output_bytes(bytes, number(s, "in_bytes_rate")));
	printf("dropped   %" PRIu64 " packets/s\n", number(s, "drop_packets_rate"));
}

/* Items of a newer natd that have no place on the screen. */
static void print_rest(struct status *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		const struct ctl_item *item = &s->items[i];

		if (s->used[i])
			continue;
		names_print(stdout, item->name);
		fputs(": ", stdout);
		if (item->kind == CTL_ITEM_NUMBER)
			printf("%" PRIu64, item->number);
		else
			names_print(stdout, item->text);
		fputc('\n', stdout);
	}
}

static void print_screen(struct status *s)
{
	unsigned n;

	print_places(s);
	print_use(s);
	print_rates(s);
	printf("\nwarnings  %s", term_style(stdout, TERM_YELLOW));
	n = print_list(s, "warnings", "\n          ");
	printf("%s%s\n", term_style(stdout, TERM_PLAIN), n == 0 ? "none" : "");
	print_rest(s);
}

static int show_status(struct status *s)
{
	int rc;

	if (s->n->format == FORMAT_JSON) {
		s->object = json_create();
		json_add_list(s->object, "addresses");
		json_add_list(s->object, "inside");
		json_add_list(s->object, "warnings");
	}
	rc = client_ask(s->n, CTL_STATUS, NULL, take_item, s, NULL);
	if (rc != NATCTL_DONE) {
		json_destroy(s->object);
		return rc;
	}
	if (s->object)
		json_print(stdout, s->object);
	else
		print_screen(s);
	return output_finish(s->n) ? NATCTL_DONE : NATCTL_REFUSED;
}

int command_status(struct natctl *n, int argc, char **argv)
{
	struct status s = {.n = n};
	int rc;

	if (!filter_parse(n, NULL, argc, argv))
		return NATCTL_USAGE;
	s.items = calloc(ITEMS_MAX, sizeof(*s.items));
	if (!s.items) {
		natctl_complain("natctl is out of memory");
		return NATCTL_REFUSED;
	}
	rc = show_status(&s);
	free(s.items);
	return rc;
}

/* ---- stats ---- */

struct stats {
	struct natctl *n;
	struct json_object *object;
};

static bool take_counter(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct stats *s = ctx;
	struct ctl_counter c;

	if (type != CTL_R_COUNTER)
		return true;
	if (!ctl_get_counter(body, &c))
		return false;
	if (s->object) {
		json_add_number(s->object, c.name, c.value);
		return true;
	}
	names_print(stdout, c.name);
	printf("%*s %" PRIu64, strlen(c.name) < 26 ? 26 - (int)strlen(c.name) : 0, "", c.value);
	if (s->n->format == FORMAT_TABLE) {
		fputs("  ", stdout);
		names_print(stdout, c.help);
	}
	fputc('\n', stdout);
	return output_ok(s->n);
}

int command_stats(struct natctl *n, int argc, char **argv)
{
	struct stats s = {.n = n};
	int rc;

	if (!filter_parse(n, NULL, argc, argv))
		return NATCTL_USAGE;
	if (n->format == FORMAT_JSON)
		s.object = json_create();
	rc = client_ask(n, CTL_STATS, NULL, take_counter, &s, NULL);
	if (s.object && rc == NATCTL_DONE)
		json_print(stdout, s.object);
	else
		json_destroy(s.object);
	return output_finish(n) ? rc : NATCTL_REFUSED;
}
