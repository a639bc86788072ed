/* SPDX-License-Identifier: ISC */
/*
 * Converts records of earlier layouts, so that connections survive an upgrade (docs/restart.md).
 *
 * From layout 2 to 3: the arrays are in the same places, but in a large table the second half of the quarantine records
 * became the origins and their ids. From 1 to 2: in layout 1 a used address slot had the state 1, the field of a
 * session's check was meaningless, and the header's tops were 32 bits each.
 *
 * In place, since the service manager keeps the memory under its name: an end at any instruction must leave records
 * that the next start can use. Up to the new header they are records of the layout found, of which some look converted
 * already; converting twice is harmless. While the header is being written it is a blank one.
 */
#include "table_private.h"

enum { LAYOUT_1 = 1, LAYOUT_2 = 2, ADDRESS_USED_1 = 1 };

struct header_1 {
	uint8_t same[offsetof(struct table_header, session_top)];
	uint32_t session_top, address_top, quarantine_top;
	uint32_t padding;
};
_Static_assert(sizeof(struct header_1) == 96, "as layout 1 had it");

struct header_2 {
	uint8_t same[offsetof(struct table_header, session_top)];
	uint64_t session_top, address_top, quarantine_top; /* record_top() */
};
_Static_assert(sizeof(struct header_2) == 104, "as layout 2 had it");

struct tops {
	uint32_t session, address, rest;
};

static uint32_t at_most(uint32_t n, uint32_t most)
{
	return n < most ? n : most;
}

static void convert_address(struct address_slot *a)
{
	if (a->state == ADDRESS_USED_1)
		a->state = record_address_state(a->address);
}

static void convert_session(struct table *t, uint32_t i)
{
	const struct session *s = &t->sessions[i];

	t->cold[i].check = session_state(s) == SESSION_FREE ? record_check_closed(s) : record_check(s);
}

/* Is the header that of a table of these sizes in that layout? */
static bool is_of_layout(const struct table *t, uint32_t layout, size_t header_bytes)
{
	struct table_header want = table_header_new(t, t->header->secret);

	want.version = layout;
	want.header_bytes = (uint32_t)header_bytes;
	want.max_quarantined = table_rests_of_layout_2(t->max_sessions);
	want.max_origins = 0;
	want.sum = table_header_sum(&want);
	return memcmp(t->header, &want, offsetof(struct table_header, session_top)) == 0;
}

static void convert_1(struct table *t, struct tops *tops)
{
	struct header_1 h;

	memcpy(&h, t->header, sizeof(h));
	*tops = (struct tops){at_most(h.session_top, t->max_sessions), at_most(h.address_top, t->max_addresses),
			      at_most(h.quarantine_top, table_rests_of_layout_2(t->max_sessions))};
	for (uint32_t i = 0; i < tops->address; i++)
		convert_address(&t->addresses[i]);
	for (uint32_t i = 0; i < tops->session; i++)
		convert_session(t, i);
}

/* False: the header is damaged. */
static bool read_2(const struct table *t, struct tops *tops)
{
	struct header_2 h;

	memcpy(&h, t->header, sizeof(h));
	*tops = (struct tops){(uint32_t)h.session_top, (uint32_t)h.address_top, (uint32_t)h.quarantine_top};
	return record_top_is_whole(h.session_top, t->max_sessions) &&
	       record_top_is_whole(h.address_top, t->max_addresses) &&
	       record_top_is_whole(h.quarantine_top, table_rests_of_layout_2(t->max_sessions));
}

bool table_convert(struct table *t)
{
	struct table_header want;
	struct tops tops;

	if (is_of_layout(t, LAYOUT_1, sizeof(struct header_1)))
		convert_1(t, &tops);
	else if (!is_of_layout(t, LAYOUT_2, sizeof(struct header_2)) || !read_2(t, &tops))
		return false;
	/* More than millions of ports in quarantine: those above the new end are free at once. The area behind them
	 * is blank. */
	for (uint32_t i = t->max_quarantined; i < tops.rest; i++)
		t->quarantined[i] = 0;
	want = table_header_new(t, t->header->secret);
	want.session_top = record_top(tops.session);
	want.address_top = record_top(tops.address);
	want.quarantine_top = record_top(at_most(tops.rest, t->max_quarantined));
	table_header_write(t->header, &want);
	return true;
}
