/* SPDX-License-Identifier: ISC */
/*
 * natctl hosts: the resources and the traffic of each inside host.
 */
#include "hosts.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "client/filter.h"
#include "client/json.h"
#include "client/names.h"
#include "client.h"
#include "output.h"

/* ---- options ---- */

static const char *set_order(struct natctl *n, void *target, const char *text)
{
	struct ctl_hosts *q = target;

	(void)n;
	return hosts_parse_order(text, &q->order) ? NULL : "is not rate, sessions or ports";
}

static const char *set_count(struct natctl *n, void *target, const char *text)
{
	struct ctl_hosts *q = target;
	uint64_t value;

	(void)n;
	if (!filter_parse_number(text, CTL_HOSTS_MAX, &value) || value == 0)
		return "is not a number from 1 to 64";
	q->limit = (uint8_t)value;
	return NULL;
}

static const struct natctl_option rows[] = {
	{"sort", 0, VALUE_NEEDED, "KEY", "the busiest hosts, by rate, sessions or ports, the highest first", set_order},
	{"count", 'c', VALUE_NEEDED, "N", "of these the first N, at most 64 (without it 20)", set_count},
};

const struct option_set hosts_options = {"Order:", rows, sizeof(rows) / sizeof(rows[0])};

bool hosts_parse_order(const char *text, uint8_t *order)
{
	static const char *const names[CTL_ORDER_COUNT] = {
		[CTL_ORDER_RATE] = "rate", [CTL_ORDER_SESSIONS] = "sessions", [CTL_ORDER_PORTS] = "ports"};

	for (unsigned i = CTL_ORDER_NONE + 1; i < CTL_ORDER_COUNT; i++) {
		if (strcasecmp(names[i], text) == 0) {
			*order = (uint8_t)i;
			return true;
		}
	}
	return false;
}

/* ---- output ---- */

static void print_rates(FILE *f, const struct ctl_host *h, int dir, const char *side)
{
	if (h->interval_ms > 0)
		fprintf(f, " %s_packets_rate=%" PRIu64 " %s_bytes_rate=%" PRIu64, side, h->packets_rate[dir], side,
			h->bytes_rate[dir]);
}

void hosts_print_line(FILE *f, const struct ctl_host *h)
{
	char address[NAMES_ADDRESS_MAX], outside[NAMES_ADDRESS_MAX];

	fprintf(f, "%s outside=%s sessions=%" PRIu32 " ports=%" PRIu32 " blocks=%" PRIu32,
		names_address(address, h->address), names_address(outside, h->outside), h->sessions, h->ports,
		h->blocks);
	fprintf(f, " out_packets=%" PRIu64 " out_bytes=%" PRIu64, h->packets[0], h->bytes[0]);
	print_rates(f, h, 0, "out");
	fprintf(f, " in_packets=%" PRIu64 " in_bytes=%" PRIu64, h->packets[1], h->bytes[1]);
	print_rates(f, h, 1, "in");
	fputc('\n', f);
}

void hosts_print_heading(FILE *f)
{
	fprintf(f, "%-15s %-15s %8s %6s %6s %9s %9s %11s %11s\n", "HOST", "OUTSIDE", "SESSIONS", "PORTS", "BLOCKS",
		"OUT", "IN", "OUT/S", "IN/S");
}

void hosts_print_row(FILE *f, const struct ctl_host *h)
{
	char address[NAMES_ADDRESS_MAX], outside[NAMES_ADDRESS_MAX];
	char bytes[2][16], rates[2][16] = {"-", "-"};

	for (int dir = 0; dir < 2; dir++) {
		output_bytes(bytes[dir], h->bytes[dir]);
		if (h->interval_ms > 0)
			output_bytes(rates[dir], h->bytes_rate[dir]);
	}
	fprintf(f, "%-15s %-15s %8" PRIu32 " %6" PRIu32 " %6" PRIu32 " %9s %9s %11s %11s\n",
		names_address(address, h->address), names_address(outside, h->outside), h->sessions, h->ports,
		h->blocks, bytes[0], bytes[1], rates[0], rates[1]);
}

/* ---- the command ---- */

static bool take_host(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct natctl *n = ctx;
	struct ctl_host h;

	if (type != CTL_R_HOST)
		return true;
	if (!ctl_get_host(body, &h))
		return false;
	if (n->format == FORMAT_JSON)
		json_print_host(stdout, &h);
	else if (n->format == FORMAT_TABLE)
		hosts_print_row(stdout, &h);
	else
		hosts_print_line(stdout, &h);
	return output_ok(n);
}

static bool parse_arguments(struct natctl *n, struct ctl_hosts *q, int argc, char **argv)
{
	const struct option_use uses[] = {{&filter_options, &q->filter}, {&hosts_options, q}, {NULL, NULL}};
	int first = options_parse(n, argc, argv, uses);

	if (first < 0)
		return false;
	if (first < argc) {
		natctl_complain("%s: `%s' is one argument too many", argv[0], argv[first]);
		return false;
	}
	if (q->filter.criteria & ~CTL_HOSTS_BY) {
		natctl_complain("%s: only the criteria -s (the host) and -q (its outside address) apply to hosts",
				argv[0]);
		return false;
	}
	if (q->limit > 0 && q->order == CTL_ORDER_NONE)
		q->order = CTL_ORDER_RATE;
	if (q->order != CTL_ORDER_NONE && q->limit == 0)
		q->limit = HOSTS_DEFAULT;
	return true;
}

int command_hosts(struct natctl *n, int argc, char **argv)
{
	struct ctl_hosts query = {.wants_rates = true};
	const struct client_query q = {.type = CTL_HOSTS, .hosts = &query};
	int rc;

	if (!parse_arguments(n, &query, argc, argv))
		return NATCTL_USAGE;
	if (n->format == FORMAT_TABLE)
		n->heading = hosts_print_heading;
	rc = client_run(n, &q, take_host, n, NULL);
	return output_finish(n) ? rc : NATCTL_REFUSED;
}
