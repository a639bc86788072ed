/* SPDX-License-Identifier: ISC */
/*
 * Ports in quarantine after use (RFC 6888 REQ-8): packets still sent to the old mapping must not reach the host of a
 * new one.
 *
 * Theory of operation
 *
 * A quarantine record (a rest) is one 64-bit word among the records, so it survives the process and is never half
 * written: bits 0-15 port, 16-31 slot of the address, 32-33 class, 34 always set, 35-63 the second in which it began,
 * modulo 2^29 (17 years). 0 means none. All quarantines have the same length, so they end in the order in which they
 * began. A list by time through all of them gives the next to end. One list for each address and class gives the one to
 * recycle when no other port is left, which is always the first of its list.
 *
 * A quarantine is written before the last session of its mapping is withdrawn. A kill in between leaves both; then the
 * session counts.
 */
#include "table_private.h"

#define REST_VALID (1ull << 34)
enum { REST_TIME_SHIFT = 35, REST_TIME_BITS = 29, RADIX = 256 };

static uint64_t pack(const struct quarantine *r)
{
	return (uint64_t)r->since_s << REST_TIME_SHIFT | REST_VALID | (uint64_t)r->proto_class << 32 |
	       (uint64_t)r->ext << 16 | r->port;
}

struct quarantine quarantine_get(const struct table *t, uint32_t i)
{
	uint64_t word = t->quarantined[i];

	return (struct quarantine){
		.since_s = (uint32_t)(word >> REST_TIME_SHIFT),
		.port = (uint16_t)word,
		.ext = (uint16_t)(word >> 16),
		.proto_class = word >> 32 & 3,
	};
}

uint32_t quarantine_age(const struct table *t, uint32_t i, uint32_t now_s)
{
	uint32_t a = (now_s - quarantine_get(t, i).since_s) & ((1u << REST_TIME_BITS) - 1);

	return a < 1u << (REST_TIME_BITS - 1) ? a : 0; /* from the future: just begun */
}

bool quarantine_is_over(const struct table *t, uint32_t i, uint32_t now_s)
{
	return quarantine_age(t, i, now_s) > t->port_reuse_s;
}

struct quarantine_list *quarantine_list(struct table *t, const struct quarantine *r)
{
	struct block *b = block_of(t, r->ext, r->port);

	return b != NULL ? &b->quarantined : &port_map(t, r->proto_class, r->ext)->quarantined;
}

static void append_to_list(struct table *t, uint32_t i, struct quarantine_list *l)
{
	t->links[i].later = 0;
	if (l->newest == 0)
		l->oldest = i + 1;
	else
		t->links[l->newest - 1].later = i + 1;
	l->newest = i + 1;
}

void quarantine_relist(struct table *t)
{
	for (uint32_t i = t->quarantine_first; i != RESTS_END; i = t->links[i].next) {
		struct quarantine r = quarantine_get(t, i);

		append_to_list(t, i, quarantine_list(t, &r));
	}
}

/* Appends to both lists. */
static void append(struct table *t, uint32_t i)
{
	struct quarantine r = quarantine_get(t, i);
	struct port_map *m = port_map(t, r.proto_class, r.ext);

	t->links[i] = (struct quarantine_link){.next = RESTS_END, .prev = t->quarantine_last, .later = 0};
	if (t->quarantine_last == RESTS_END)
		t->quarantine_first = i;
	else
		t->links[t->quarantine_last].next = i;
	t->quarantine_last = i;
	append_to_list(t, i, quarantine_list(t, &r));
	m->resting[r.port / 64] |= port_bit(r.port);
	m->n_resting++;
}

uint32_t quarantine_slot(struct table *t)
{
	uint32_t i = slots_take(&t->quarantine_slots);

	if (i == SLOTS_NONE && t->quarantine_first != RESTS_END) { /* the array is full: the oldest ends early */
		uint16_t ext = quarantine_get(t, t->quarantine_first).ext;

		quarantine_cut(t, t->quarantine_first, 0);
		address_settle(t, ext);
		i = slots_take(&t->quarantine_slots);
	}
	if (i != SLOTS_NONE)
		record_top_raise(&t->header->quarantine_top, i + 1);
	return i;
}

void quarantine_begin(struct table *t, const struct quarantine *r)
{
	struct quarantine now = *r;
	uint32_t i = t->port_reuse_s == 0 ? SLOTS_NONE : quarantine_slot(t);

	if (i == SLOTS_NONE) {
		port_free(t, r->proto_class, r->ext, r->port);
		return;
	}
	now.since_s &= (1u << REST_TIME_BITS) - 1;
	__atomic_store_n(&t->quarantined[i], pack(&now), __ATOMIC_RELEASE);
	append(t, i);
}

void quarantine_end(struct table *t, uint32_t i, uint32_t before)
{
	struct quarantine r = quarantine_get(t, i);
	struct port_map *m = port_map(t, r.proto_class, r.ext);
	struct quarantine_list *list = quarantine_list(t, &r);
	struct quarantine_link *l = &t->links[i];

	*(l->prev == RESTS_END ? &t->quarantine_first : &t->links[l->prev].next) = l->next;
	*(l->next == RESTS_END ? &t->quarantine_last : &t->links[l->next].prev) = l->prev;
	*(before == 0 ? &list->oldest : &t->links[before - 1].later) = l->later;
	if (l->later == 0)
		list->newest = before;
	m->resting[r.port / 64] &= ~port_bit(r.port);
	m->n_resting--;
	t->quarantined[i] = 0;
	slots_give(&t->quarantine_slots, i);
	record_top_set(&t->header->quarantine_top, t->quarantine_slots.top);
}

void quarantine_cut(struct table *t, uint32_t i, uint32_t before)
{
	struct quarantine r = quarantine_get(t, i);

	quarantine_end(t, i, before);
	port_free(t, r.proto_class, r.ext, r.port);
}

void quarantine_expire(struct table *t, uint32_t now_s, uint32_t budget)
{
	for (; budget > 0 && t->quarantine_first != RESTS_END; budget--) {
		uint16_t ext = quarantine_get(t, t->quarantine_first).ext;

		if (!quarantine_is_over(t, t->quarantine_first, now_s))
			return;
		quarantine_cut(t, t->quarantine_first, 0);
		address_settle(t, ext);
	}
}

/* ---- after a restart ---- */

bool quarantine_is_valid(const struct table *t, uint64_t word)
{
	uint16_t port = (uint16_t)word, ext = (uint16_t)(word >> 16);
	unsigned proto_class = word >> 32 & 3;

	return (word & REST_VALID) != 0 && proto_class < TABLE_CLASSES && port != 0 && address_is_used(t, ext) &&
	       !port_is_used(port_map(t, proto_class, ext), port); /* mapped after all, or twice in quarantine */
}

/* One pass of a radix sort over a list chained by .next: by the digit of the age at `shift`, oldest first. */
static uint32_t sort_pass(struct table *t, uint32_t first, uint32_t now_s, unsigned shift)
{
	uint32_t head[RADIX], tail[RADIX], sorted = RESTS_END;

	for (unsigned d = 0; d < RADIX; d++)
		head[d] = RESTS_END;
	for (uint32_t i = first; i != RESTS_END; i = t->links[i].next) {
		unsigned d = quarantine_age(t, i, now_s) >> shift & (RADIX - 1);

		if (head[d] == RESTS_END)
			head[d] = i;
		else
			t->links[tail[d]].next = i;
		tail[d] = i;
	}
	for (unsigned d = 0; d < RADIX; d++) { /* older runs go before younger ones */
		if (head[d] == RESTS_END)
			continue;
		t->links[tail[d]].next = sorted;
		sorted = head[d];
	}
	return sorted;
}

/* Modulo 2^29, as it is stored. */
static void shift(struct table *t, uint32_t i, uint32_t by_s)
{
	struct quarantine r = quarantine_get(t, i);

	r.since_s = (r.since_s + by_s) & ((1u << REST_TIME_BITS) - 1);
	t->quarantined[i] = pack(&r);
}

uint32_t quarantine_restore(struct table *t, uint32_t now_s, uint32_t shift_s)
{
	uint32_t top = (uint32_t)t->header->quarantine_top, first = RESTS_END, next;

	for (uint32_t i = top; i-- > 0;) {
		struct quarantine r = quarantine_get(t, i);

		if (block_record_is(t->quarantined[i])) {
			t->quarantined[i] = block_record_shift(t->quarantined[i], shift_s);
			slots_mark(&t->quarantine_slots, i);
			t->block_records++;
			continue;
		}
		if (!quarantine_is_valid(t, t->quarantined[i])) {
			if (t->quarantined[i] != 0)
				t->quarantined[i] = 0;
			continue;
		}
		if (shift_s != 0)
			shift(t, i, shift_s);
		port_occupy(t, r.proto_class, r.ext, r.port);
		slots_mark(&t->quarantine_slots, i);
		t->links[i].next = first;
		first = i;
	}
	for (unsigned shift = 0; shift < REST_TIME_BITS; shift += 8)
		first = sort_pass(t, first, now_s, shift);
	for (uint32_t i = first; i != RESTS_END; i = next) {
		next = t->links[i].next;
		append(t, i);
	}
	return t->quarantine_slots.count - t->block_records;
}
