/* SPDX-License-Identifier: ISC */
/*
 * The records of blocks, so that a block keeps its host and its time over a restart, even while only quarantined ports
 * hold it. They are words in the array of quarantine records, with a class that those never have (3). A natd that does
 * not know them treats them as damaged quarantine records, and clears them. `u` is bits 0-31 and `v` bits 35-61; bits
 * 62-63 are the kind:
 *
 *   0  host     u: inside address of the host      v: bits 0-15 slot of the outside address, 16-26 number of the block
 *   1  time     u: the second in which it began    v: likewise
 *   2  cut      u, v: the cut that made the blocks, 59 bits of allocation_fingerprint()
 *
 * Everything in them is checked against the cut, and if sessions contradict the owner of a block, they win. A lost time
 * record makes the block look younger; a lost cut record makes all of them worthless.
 */
#include "table_private.h"

enum record_kind { RECORD_HOST, RECORD_TIME, RECORD_CUT };
enum { KIND_SHIFT = 62, HIGH_SHIFT = 35, HIGH_BITS = 27, NUMBER_SHIFT = 16 };

#define MARK (7ull << 32) /* class 3, valid */

static uint64_t pack(enum record_kind kind, uint32_t low, uint32_t high)
{
	return (uint64_t)kind << KIND_SHIFT | (uint64_t)high << HIGH_SHIFT | MARK | low;
}

static uint32_t high_of(uint64_t word)
{
	return word >> HIGH_SHIFT & ((1u << HIGH_BITS) - 1);
}

static uint32_t place_of(const struct block *b)
{
	return (uint32_t)b->number << NUMBER_SHIFT | b->ext;
}

bool block_record_is(uint64_t word)
{
	return (word & MARK) == MARK;
}

uint64_t block_record_shift(uint64_t word, uint32_t by_s)
{
	if (word >> KIND_SHIFT != RECORD_TIME)
		return word;
	return (word & ~(uint64_t)UINT32_MAX) | (uint32_t)((uint32_t)word + by_s);
}

static uint64_t cut_word(const struct table *t)
{
	uint64_t f = allocation_fingerprint(t->allocation);

	return pack(RECORD_CUT, (uint32_t)f, (uint32_t)(f >> 32) & ((1u << HIGH_BITS) - 1));
}

/* Stores the word; returns its slot, +1; 0: there was no room. */
static uint32_t store(struct table *t, uint64_t word)
{
	uint32_t i = quarantine_slot(t);

	if (i == SLOTS_NONE)
		return 0;
	__atomic_store_n(&t->quarantined[i], word, __ATOMIC_RELEASE);
	t->links[i].later = 0;
	t->block_records++;
	return i + 1;
}

static void erase(struct table *t, uint32_t slot)
{
	t->quarantined[slot] = 0;
	slots_give(&t->quarantine_slots, slot);
	record_top_set(&t->header->quarantine_top, t->quarantine_slots.top);
	t->block_records--;
}

void block_record_write(struct table *t, struct block *b)
{
	uint32_t time;

	if (t->cut_record == 0)
		t->cut_record = store(t, cut_word(t));
	b->record = store(t, pack(RECORD_HOST, b->host, place_of(b)));
	if (b->record == 0)
		return;
	time = store(t, pack(RECORD_TIME, b->since_s, place_of(b)));
	t->links[b->record - 1].later = time;
}

void block_record_clear(struct table *t, struct block *b)
{
	uint32_t time;

	if (b->record == 0)
		return;
	time = t->links[b->record - 1].later;
	erase(t, b->record - 1);
	if (time != 0)
		erase(t, time - 1);
	b->record = 0;
}

/* ---- after a restart, or a change of the cuts ---- */

/* The first entry from `i` on that is a record of blocks. */
static uint32_t next_record(const struct table *t, uint32_t i)
{
	uint32_t top = t->quarantine_slots.top;

	for (i = slots_next(&t->quarantine_slots, i, top); i < top; i = slots_next(&t->quarantine_slots, i + 1, top)) {
		if (block_record_is(t->quarantined[i]))
			break;
	}
	return i;
}

bool block_records_fit(const struct table *t)
{
	uint64_t want = cut_word(t);

	for (uint32_t i = next_record(t, 0); t->block_records > 0 && i < t->quarantine_slots.top;
	     i = next_record(t, i + 1)) {
		if (t->quarantined[i] == want)
			return true;
	}
	return false;
}

void block_records_clear(struct table *t)
{
	for (uint32_t i = 0; t->block_records > 0 && (i = next_record(t, i)) < t->quarantine_slots.top; i++)
		erase(t, i);
	t->cut_record = 0;
	for (uint32_t i = 0; i < t->blocks_top; i++)
		t->blocks[i].record = 0;
}

/* The block that the record names, if it may have an owner. */
static struct block *block_named(const struct table *t, uint64_t word)
{
	uint32_t place = high_of(word), ext = place & UINT16_MAX, number = place >> NUMBER_SHIFT;
	struct block *b;

	if (!address_is_used(t, ext) || number >= t->uses[ext].n_blocks)
		return NULL;
	b = &t->blocks[t->uses[ext].first_block + number];
	return b->used > 0 && !block_is_fixed(t, b) ? b : NULL;
}

/* False: the record is invalid. */
static bool restore_host(struct table *t, uint32_t i)
{
	struct block *b = block_named(t, t->quarantined[i]);
	uint32_t address = (uint32_t)t->quarantined[i];
	struct host *h;

	if (b == NULL || b->record != 0 || address == 0 || (b->host != 0 && b->host != address))
		return false;
	h = b->host == 0 ? host_make(t, address) : NULL;
	if (h != NULL)
		block_link(t, h, b);
	if (b->host == 0)
		return false;
	b->record = i + 1;
	t->links[i].later = 0;
	return true;
}

static bool restore_time(struct table *t, uint32_t i)
{
	struct block *b = block_named(t, t->quarantined[i]);

	if (b == NULL || b->record == 0 || t->links[b->record - 1].later != 0)
		return false;
	t->links[b->record - 1].later = i + 1;
	if ((int32_t)(t->now_s - (uint32_t)t->quarantined[i]) > 0) /* not from the future */
		b->since_s = (uint32_t)t->quarantined[i];
	return true;
}

static bool restore(struct table *t, uint32_t i, enum record_kind kind)
{
	if (kind == RECORD_HOST)
		return restore_host(t, i);
	if (kind == RECORD_TIME)
		return restore_time(t, i);
	if (kind != RECORD_CUT || t->cut_record != 0 || t->quarantined[i] != cut_word(t))
		return false;
	t->cut_record = i + 1;
	return true;
}

void block_records_restore(struct table *t)
{
	t->cut_record = 0;
	for (enum record_kind kind = RECORD_HOST; kind <= RECORD_CUT + 1; kind++) { /* the last kind does not exist */
		for (uint32_t i = 0; t->block_records > 0 && (i = next_record(t, i)) < t->quarantine_slots.top; i++) {
			if (t->quarantined[i] >> KIND_SHIFT == (uint64_t)kind && !restore(t, i, kind))
				erase(t, i);
		}
	}
	for (uint32_t i = 0; i < t->blocks_top; i++) {
		if (t->blocks[i].host != 0 && t->blocks[i].record == 0)
			block_record_write(t, &t->blocks[i]);
	}
}
