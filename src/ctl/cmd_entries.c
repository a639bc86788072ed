/* SPDX-License-Identifier: ISC */
/*
 * Commands about connections: list, count, delete, flush; and mappings, which are listed the same way.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "client/json.h"
#include "client.h"
#include "filter.h"
#include "natctl.h"
#include "output.h"

/* Listing a large table keeps a processor busy; packets must not wait for it. */
static void step_behind_traffic(void)
{
	enum { LISTING_NICE = 10 };

	(void)!nice(LISTING_NICE);
}

static void start_table(struct natctl *n, void (*heading)(FILE *f))
{
	if (n->format == FORMAT_TABLE)
		n->heading = heading;
}

static bool print_entry(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct natctl *n = ctx;
	struct ctl_entry e;

	if (type != CTL_R_ENTRY)
		return true;
	if (!ctl_get_entry(body, &e))
		return false;
	output_entry(n, &e);
	return output_ok(n);
}

/* The closing line comes after the entries even if both go to one file. */
static void close_listing(struct natctl *n, int *rc, const char *participle, uint64_t count)
{
	if (!output_finish(n))
		*rc = NATCTL_REFUSED;
	if (*rc == NATCTL_DONE)
		fprintf(stderr, "natctl: %" PRIu64 " flow entries have been %s.\n", count, participle);
}

static const char *set_zero(struct natctl *n, void *target, const char *value)
{
	(void)n, (void)value;
	*(enum ctl_type *)target = CTL_LIST_ZERO;
	return NULL;
}

static const struct natctl_option list_rows[] = {
	{"zero", 'z', VALUE_NONE, NULL, "set the counters of the entries shown to zero", set_zero},
};

const struct option_set list_options = {"Counters:", list_rows, sizeof(list_rows) / sizeof(list_rows[0])};

int command_list(struct natctl *n, int argc, char **argv)
{
	enum ctl_type type = CTL_LIST;
	const struct option_use counters = {&list_options, &type};
	struct ctl_filter filter;
	struct ctl_end end = {0};
	int rc;

	if (!filter_parse_with(n, &filter, &counters, argc, argv))
		return NATCTL_USAGE;
	step_behind_traffic();
	start_table(n, output_entry_heading);
	rc = client_ask(n, type, &filter, print_entry, n, &end);
	close_listing(n, &rc, "shown", end.count);
	return rc;
}

int command_delete(struct natctl *n, int argc, char **argv)
{
	struct ctl_filter filter;
	struct ctl_end end = {0};
	int rc;

	if (!filter_parse(n, &filter, argc, argv))
		return NATCTL_USAGE;
	if (filter.criteria == 0) {
		natctl_complain("%s: needs at least one criterion (flush ends all entries)", argv[0]);
		return NATCTL_USAGE;
	}
	start_table(n, output_entry_heading);
	rc = client_ask(n, CTL_DELETE, &filter, print_entry, n, &end);
	close_listing(n, &rc, "deleted", end.count);
	return rc == NATCTL_DONE && end.count == 0 ? NATCTL_REFUSED : rc;
}

static bool ignore(void *ctx, uint8_t type, struct ctl_reader *body)
{
	(void)ctx, (void)type, (void)body;
	return true;
}

/* Prints a number, alone or as the only member of an object. */
static void print_number(const struct natctl *n, const char *name, uint64_t value)
{
	struct json_object *o;

	if (n->format != FORMAT_JSON) {
		printf("%" PRIu64 "\n", value);
		return;
	}
	o = json_create();
	json_add_number(o, name, value);
	json_print(stdout, o);
}

int command_count(struct natctl *n, int argc, char **argv)
{
	struct ctl_filter filter;
	struct ctl_end end = {0};
	int rc;

	if (!filter_parse(n, &filter, argc, argv))
		return NATCTL_USAGE;
	rc = client_ask(n, CTL_COUNT, &filter, ignore, NULL, &end);
	if (rc != NATCTL_DONE)
		return rc;
	print_number(n, "count", end.count);
	return output_finish(n) ? NATCTL_DONE : NATCTL_REFUSED;
}

int command_flush(struct natctl *n, int argc, char **argv)
{
	struct ctl_end end = {0};
	int rc;

	if (!filter_parse(n, NULL, argc, argv))
		return NATCTL_USAGE;
	rc = client_ask(n, CTL_FLUSH, NULL, ignore, NULL, &end);
	if (rc != NATCTL_DONE)
		return rc;
	if (n->format == FORMAT_JSON)
		print_number(n, "ended", end.count);
	rc = output_finish(n) ? NATCTL_DONE : NATCTL_REFUSED;
	fputs("natctl: connection tracking table has been emptied.\n", stderr);
	return rc;
}

static bool print_mapping(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct natctl *n = ctx;
	struct ctl_mapping m;

	if (type != CTL_R_MAPPING)
		return true;
	if (!ctl_get_mapping(body, &m))
		return false;
	if (n->format == FORMAT_JSON)
		json_print_mapping(stdout, &m);
	else if (n->format == FORMAT_TABLE)
		output_mapping_row(stdout, &m);
	else
		output_mapping_line(stdout, &m);
	return output_ok(n);
}

int command_mappings(struct natctl *n, int argc, char **argv)
{
	int rc;

	if (!filter_parse(n, NULL, argc, argv))
		return NATCTL_USAGE;
	step_behind_traffic();
	start_table(n, output_mapping_heading);
	rc = client_ask(n, CTL_MAPPINGS, NULL, print_mapping, n, NULL);
	return output_finish(n) ? rc : NATCTL_REFUSED;
}
