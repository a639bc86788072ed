/* SPDX-License-Identifier: ISC */
/* natctl blocks: which inside host holds which block of ports. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "client.h"
#include "client/json.h"
#include "client/names.h"
#include "filter.h"
#include "output.h"

struct blocks {
	struct natctl *n;
	uint64_t now_s;
	uint64_t shown;
};

static bool take_block(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct blocks *s = ctx;
	char inside[NAMES_ADDRESS_MAX], outside[NAMES_ADDRESS_MAX];
	struct ctl_block b;
	uint64_t since;

	if (type != CTL_R_BLOCK)
		return true;
	if (!ctl_get_block(body, &b))
		return false;
	since = s->now_s > b.age_s ? s->now_s - b.age_s : 0;
	names_address(inside, b.inside);
	names_address(outside, b.outside);
	if (s->n->format == FORMAT_JSON)
		json_print_block(stdout, &b, since);
	else if (s->n->format == FORMAT_TABLE)
		printf("%-15s  %-15s  %5u-%-5u  %6" PRIu32 "  %-5s  %" PRIu64 "\n", inside, outside, b.first, b.last,
		       b.used, b.is_fixed ? "fixed" : "given", since);
	else
		printf("host=%s outside=%s ports=%u-%u used=%" PRIu32 "%s since=%" PRIu64 "\n", inside, outside,
		       b.first, b.last, b.used, b.is_fixed ? " [FIXED]" : "", since);
	s->shown++;
	return output_ok(s->n);
}

int command_blocks(struct natctl *n, int argc, char **argv)
{
	struct blocks s = {.n = n, .now_s = (uint64_t)time(NULL)};
	int rc;

	if (!filter_parse(n, NULL, argc, argv))
		return NATCTL_USAGE;
	if (n->format == FORMAT_TABLE)
		printf("%-15s  %-15s  %-11s  %6s  %-5s  %s\n", "HOST", "OUTSIDE", "PORTS", "USED", "KIND", "SINCE");
	rc = client_ask(n, CTL_BLOCKS, NULL, take_block, &s, NULL);
	return output_finish(n) ? rc : NATCTL_REFUSED;
}
