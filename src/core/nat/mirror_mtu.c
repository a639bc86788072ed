/* SPDX-License-Identifier: ISC */
/*
 * MTUs that the forwarder does not find out by itself: those of routes, as its look-up of a way knows the interface's alone.
 *
 * They stand in two short lists that the forwarder reads, one for each direction. A flow has the number of its entry in `kind`. An
 * entry that no live flow has (mtu_users) is free for another MTU. Few hosts have more than one route with an MTU of its own; a
 * session that would need a longer list stays with natd.
 */
#include <assert.h>

#include "mirror_private.h"

void mirror_count_mtus(struct mirror *m, uint8_t kind, int by)
{
	for (unsigned dir = DIR_OUT; dir <= DIR_IN; dir++) {
		uint32_t number = flow_mtu_number(kind, dir);

		assert(number == 0 || by > 0 || m->mtu_users[dir][number] > 0);
		m->mtu_users[dir][number] += number == 0 ? 0 : (uint32_t)by;
	}
}

/* The number of an MTU in its list, where it is entered if need be; 0: none, or no room. An entry that no flow has is free. */
static uint32_t mtu_number(struct mirror *m, unsigned dir, uint16_t mtu)
{
	uint32_t size = dir == DIR_OUT ? FLOW_MTUS_OUT : FLOW_MTUS_IN, place = 0;

	for (uint32_t i = 1; i < size && mtu != 0; i++) {
		if (m->mtu_users[dir][i] == 0)
			place = place == 0 ? i : place;
		else if (m->shared.mtus[dir][i] == mtu)
			return i;
	}
	if (place != 0)
		__atomic_store_n(&m->shared.mtus[dir][place], mtu, __ATOMIC_RELAXED);
	return place;
}

bool mirror_kind_with(struct mirror *m, uint8_t kind, const uint16_t mtu[2], uint8_t *out)
{
	uint32_t outbound = mtu_number(m, DIR_OUT, mtu[DIR_OUT]), inbound = mtu_number(m, DIR_IN, mtu[DIR_IN]);

	*out = (uint8_t)((kind & (FLOW_CLASS | FLOW_FROM_OUTSIDE)) | outbound << FLOW_MTU_OUT_SHIFT |
			 inbound << FLOW_MTU_IN_SHIFT);
	return (outbound != 0 || mtu[DIR_OUT] == 0) && (inbound != 0 || mtu[DIR_IN] == 0);
}

static void set_kind(struct mirror *m, uint32_t slot, uint8_t kind)
{
	struct flow *f = &m->shared.flows[slot];

	mirror_count_mtus(m, f->kind, -1);
	mirror_count_mtus(m, kind, 1);
	__atomic_store_n(&f->kind, kind, __ATOMIC_RELEASE); /* after the entry of the list */
}

struct mirror_ends mirror_ends_of(const struct nat *n, const struct session *s)
{
	return (struct mirror_ends){.id = table_session_id(n->table, s),
				    .internal = s->int_addr,
				    .external = table_address(n->table, s->ext),
				    .remote = s->rem_addr};
}

uint32_t nat_mirror_list(struct nat *n, uint32_t *from, struct mirror_ends *out, uint32_t most)
{
	const struct mirror *m = n->mirror;
	uint32_t count = 0, slot = *from;

	for (; m != NULL && slot < m->top && count < most; slot++) {
		if (mirror_slot_is_live(m, slot))
			out[count++] = mirror_ends_of(n, mirror_slot_owner(n, slot));
	}
	*from = m != NULL && slot < m->top ? slot : 0;
	return count;
}

void nat_mirror_set_mtu(struct nat *n, uint64_t id, const uint16_t mtu[2])
{
	struct mirror *m = n->mirror;
	struct session *s = m != NULL ? table_session_by_id(n->table, id) : NULL;
	uint32_t slot = s != NULL ? m->slot_of[table_session_index(n->table, s)] : 0;
	uint8_t kind;

	if (slot == 0 || !mirror_slot_is_live(m, slot))
		return;
	if (mirror_kind_with(m, m->shared.flows[slot].kind, mtu, &kind)) {
		set_kind(m, slot, kind);
		return;
	}
	m->counts.full++;
	mirror_slot_take_out(n, slot);
}
