/* SPDX-License-Identifier: ISC */
/*
 * Records of the layout before this one, so that connections outlive an upgrade to the next version of it too.
 * Whoever changes the layout replaces what is here by the way from the layout that he leaves (docs/restart.md).
 *
 * From layout 1 to 2: the same arrays in the same places. In layout 1 a used address slot had the state 1, what
 * is a session's check now was worth nothing, and the header's tops were 32 bits each.
 *
 * In place, since the memory is kept by somebody else under its name: an end at any instruction must leave
 * something that the next start can use. Up to the new header the records are ones of layout 1, of which some look
 * converted already; doing it twice does no harm. In the instant in which the header is written it is a blank one.
 */
#include "table_private.h"

enum { FORMER_ADDRESS_USED = 1 };

struct former_header {
	uint8_t same[offsetof(struct table_header, session_top)];
	uint32_t session_top, address_top, rest_top;
	uint32_t padding;
};
_Static_assert(sizeof(struct former_header) == 96, "as layout 1 had it");

static uint32_t at_most(uint32_t n, uint32_t most)
{
	return n < most ? n : most;
}

static void convert_address(struct address_slot *a)
{
	if (a->state == FORMER_ADDRESS_USED)
		a->state = record_address_state(a->address);
}

static void convert_session(struct table *t, uint32_t i)
{
	const struct session *s = &t->sessions[i];

	t->cold[i].check = session_state(s) == SESSION_FREE ? record_check_closed(s) : record_check(s);
}

bool table_convert(struct table *t)
{
	struct former_header found;
	struct table_header want = table_header_for(t, t->header->secret, TABLE_LAYOUT_FORMER, sizeof(found));
	uint32_t sessions, addresses;

	memcpy(&found, t->header, sizeof(found));
	if (memcmp(found.same, &want, sizeof(found.same)) != 0)
		return false;
	sessions = at_most(found.session_top, t->max_sessions);
	addresses = at_most(found.address_top, t->max_addresses);
	for (uint32_t i = 0; i < addresses; i++)
		convert_address(&t->addresses[i]);
	for (uint32_t i = 0; i < sessions; i++)
		convert_session(t, i);
	want = table_header_for(t, t->header->secret, TABLE_LAYOUT, sizeof(want));
	want.session_top = record_top(sessions);
	want.address_top = record_top(addresses);
	want.rest_top = record_top(at_most(found.rest_top, t->max_rests));
	table_header_write(t->header, &want);
	return true;
}
