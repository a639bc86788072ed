/* SPDX-License-Identifier: ISC */
/*
 * Outside addresses: each has a slot that sessions name in 16 bits. table_address_add() claims a slot; it lives until
 * it is neither claimed nor used. After a restart every slot named in records exists, unclaimed: addresses that have
 * left the configuration meanwhile disappear with their sessions.
 */
#include "table_private.h"

#include <assert.h>

uint64_t address_hash(const struct table *t, uint32_t address)
{
	return table_key(t, address, 0, key_kind(0, KEY_ADDRESS));
}

int32_t table_address_slot(const struct table *t, uint32_t address)
{
	struct index_cursor c;
	uint32_t ref;

	for (ref = index_begin(&c, &t->index[IX_ADDRESS], address_hash(t, address)); ref != INDEX_NONE;
	     ref = index_next(&c)) {
		if (t->addresses[ref].address == address)
			return (int32_t)ref;
	}
	return TABLE_NONE;
}

int32_t table_address_add(struct table *t, uint32_t address)
{
	int32_t slot = table_address_slot(t, address);
	uint32_t i;

	if (slot != TABLE_NONE) {
		t->uses[slot].claimed = 1;
		return slot;
	}
	i = slots_take(&t->address_slots);
	if (i == SLOTS_NONE)
		return TABLE_NONE;
	t->addresses[i].address = address;
	if (!index_insert(&t->index[IX_ADDRESS], address_hash(t, address), i)) {
		slots_give(&t->address_slots, i);
		return TABLE_NONE;
	}
	record_top_raise(&t->header->address_top, i + 1);
	__atomic_store_n(&t->addresses[i].state, record_address_state(address), __ATOMIC_RELEASE);
	t->uses[i].claimed = 1;
	return (int32_t)i;
}

uint32_t table_address(const struct table *t, uint16_t slot)
{
	return t->addresses[slot].address;
}

void address_settle(struct table *t, uint16_t slot)
{
	const struct address_use *u = &t->uses[slot];

	if (u->claimed || u->sessions > 0 || u->used[CLASS_TCP] > 0 || u->used[CLASS_UDP] > 0 ||
	    u->used[CLASS_ICMP] > 0)
		return;
	t->uses[slot].n_blocks = t->uses[slot].free_blocks = 0;
	t->addresses[slot].state = ADDRESS_FREE;
	index_remove(&t->index[IX_ADDRESS], address_hash(t, t->addresses[slot].address), slot);
	slots_give(&t->address_slots, slot);
}

void table_address_remove(struct table *t, uint16_t slot)
{
	if (!address_is_used(t, slot))
		return;
	t->uses[slot].claimed = 0;
	address_settle(t, slot);
}

uint32_t table_address_ports_used(const struct table *t, uint16_t slot, enum nat_class c)
{
	return slot < t->max_addresses && (unsigned)c < TABLE_CLASSES ? t->uses[slot].used[c] : 0;
}

static bool address_is_whole(const struct address_slot *a)
{
	return a->state != ADDRESS_FREE && a->state == record_address_state(a->address);
}

uint32_t table_address_ports_resting(const struct table *t, uint16_t slot, enum nat_class c)
{
	return slot < t->max_addresses && (unsigned)c < TABLE_CLASSES ? port_map(t, c, slot)->n_resting : 0;
}

uint32_t table_address_blocks(const struct table *t, uint16_t slot, uint32_t *free)
{
	const struct address_use *u = &t->uses[slot];

	*free = 0;
	if (slot >= t->max_addresses || t->blocks_top == 0 || u->n_blocks <= t->allocation->fixed)
		return 0;
	assert(u->free_blocks <= u->n_blocks - t->allocation->fixed);
	*free = u->free_blocks;
	return u->n_blocks - t->allocation->fixed;
}

void address_restore(struct table *t)
{
	uint32_t top = (uint32_t)t->header->address_top;

	for (uint32_t i = 0; i < top; i++) {
		struct address_slot *a = &t->addresses[i];

		if (address_is_whole(a) && table_address_slot(t, a->address) == TABLE_NONE &&
		    index_insert(&t->index[IX_ADDRESS], address_hash(t, a->address), i))
			slots_mark(&t->address_slots, i);
		else
			a->state = ADDRESS_FREE;
	}
}
