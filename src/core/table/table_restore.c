/* SPDX-License-Identifier: ISC */
/*
 * From records back to a table: after a restart, a crash, an upgrade, or from a file.
 *
 * Theory of operation. The records are accepted one by one, as far as each can be checked: its own check (record.h),
 * state, address and port in range, no second session with the same key, one inside owner per outside port. Records
 * that fail are removed and counted. Times in the future count as now. Records of another boot have their times shifted
 * first. That is done once, so they must not be attached a second time half-way, and the owner keeps them to itself
 * until this returns. Records that are right are only read: their pages become writable when packets come.
 *
 * Two passes go through the records in order. The first one finds the sessions. In the port maps, which are empty at
 * that time, it marks which mappings there are (`used`), and which of them have several sessions (`resting`). So the
 * indexes get their final size at once: one that is too large must shrink entry by entry, and one that is too small
 * must grow. And a mapping of several sessions begins as a group (mapping.c). The second pass inserts the sessions in
 * batches. The memory for the next batch is prefetched before one is inserted, so that the cache misses overlap.
 */
#include "table_private.h"

#include <string.h>

enum { BATCH = 32 };

/* ---- the first pass ---- */

static bool is_sane(const struct table *t, uint32_t i)
{
	const struct session *s = &t->sessions[i];

	return t->cold[i].check == record_check(s) && session_state(s) < SESSION_STATE_COUNT &&
	       address_is_used(t, s->ext) && (s->ext_port != 0 || !session_is_pooled(s));
}

static void repair(struct table *t, uint32_t i, uint32_t now_s, uint32_t shift_s)
{
	struct session *s = &t->sessions[i];
	struct session_cold *cold = &t->cold[i];
	enum session_state st = session_state(s);
	bool is_open = st == SESSION_SYN_OUT || st == SESSION_SYN_IN || st == SESSION_RESET;

	if (shift_s != 0) {
		s->seen_s += shift_s;
		cold->created_s += shift_s;
	}
	if ((int32_t)(now_s - s->seen_s) < 0)
		s->seen_s = now_s;
	if ((int32_t)(now_s - cold->created_s) < 0)
		cold->created_s = now_s;
	/* killed between the state and table_session_answered() */
	if (!is_open && session_is_unanswered(t, i))
		cold->generation |= COLD_ANSWERED;
}

static void drop(struct table *t, uint32_t i, struct table_attach_report *report)
{
	session_withdraw(t, i);
	report->dropped++;
}

struct population {
	uint32_t pooled, unpooled; /* sessions */
};

static void mark(struct table *t, const struct session *s, struct population *n)
{
	struct port_map *m = port_map(t, session_class(s), s->ext);
	uint64_t *used = &m->used[s->ext_port / 64], bit = port_bit(s->ext_port);

	if (!session_is_pooled(s)) {
		n->unpooled++;
		return;
	}
	n->pooled++;
	if (*used & bit)
		m->resting[s->ext_port / 64] |= bit;
	*used |= bit;
	t->uses[s->ext].touched |= (uint8_t)(1u << session_class(s));
}

/* Finds the records that are valid sessions by themselves. */
static void scan(struct table *t, uint32_t now_s, uint32_t shift_s, struct table_attach_report *report,
		 struct population *n)
{
	uint32_t top = (uint32_t)t->header->session_top;

	for (uint32_t i = 0; i < top; i++) {
		prefetch(&t->sessions[i + BATCH]); /* the processor does not look beyond a page */
		if (session_state(&t->sessions[i]) == SESSION_FREE)
			continue;
		if (!is_sane(t, i)) {
			drop(t, i, report);
			continue;
		}
		repair(t, i, now_s, shift_s);
		mark(t, &t->sessions[i], n);
		slots_mark(&t->session_slots, i);
	}
	record_top_set(&t->header->session_top, t->session_slots.top);
}

/* ---- the size of the indexes ---- */

static uint32_t count_bits(const uint64_t *words)
{
	uint32_t n = 0;

	for (int i = 0; i < PORT_WORDS; i++)
		n += (uint32_t)__builtin_popcountll(words[i]);
	return n;
}

/* Clears the marks in `used`, and counts both kinds. */
static void count_marks(struct table *t, uint32_t *mappings, uint32_t *shared)
{
	*mappings = *shared = 0;
	for (uint32_t i = 0; i < (uint32_t)t->header->address_top * TABLE_CLASSES; i++) {
		if ((t->uses[i / TABLE_CLASSES].touched >> i % TABLE_CLASSES & 1) == 0)
			continue;
		*mappings += count_bits(t->ports[i].used);
		*shared += count_bits(t->ports[i].resting);
		memset(t->ports[i].used, 0, sizeof(t->ports[i].used));
	}
}

static void forget_marks(struct table *t)
{
	for (uint32_t i = 0; i < (uint32_t)t->header->address_top * TABLE_CLASSES; i++) {
		if (t->uses[i / TABLE_CLASSES].touched >> i % TABLE_CLASSES & 1)
			memset(t->ports[i].resting, 0, sizeof(t->ports[i].resting));
	}
}

static void reserve(struct table *t, const struct population *n)
{
	uint32_t mappings, shared, grouped, whole;

	count_marks(t, &mappings, &shared);
	grouped = n->pooled - (mappings - shared);
	whole = grouped + n->unpooled;
	index_reserve(&t->index[IX_OUT], whole);
	index_reserve(&t->index[IX_IN], whole);
	index_reserve(&t->index[IX_INTERNAL], mappings);
	index_reserve(&t->index[IX_EXTERNAL], mappings);
	index_reserve(&t->index[IX_PEER], grouped);
}

/* ---- the second pass ---- */

/* Sessions being inserted into the indexes. */
struct batch {
	uint32_t n;
	uint32_t record[BATCH];
	struct session_hashes hash[BATCH];
	uint32_t owner[BATCH]; /* its mapping, probably; INDEX_NONE */
};

/* Every session has a mapping, and no two mappings have the same inside endpoint. */
static bool is_plain(const struct table *t)
{
	return (t->unmapped | t->unlisted | t->key_address) == 0;
}

/* Certainly the first session of its mapping, so that no other has its key. */
static bool is_first(struct table *t, const struct session_hashes *h)
{
	if (!is_plain(t) || !index_misses(&t->index[IX_INTERNAL], h->internal) ||
	    !index_misses(&t->index[IX_EXTERNAL], h->external))
		return false;
	index_remember_absent(&t->index[IX_INTERNAL], h->internal);
	index_remember_absent(&t->index[IX_EXTERNAL], h->external);
	return true;
}

/* Certainly a further session of a group, and no other has its key. */
static bool is_later(const struct table *t, const struct session *s, const struct session_hashes *h, uint32_t owner)
{
	const struct group *g;

	if (!is_plain(t) || !h->is_shared || owner == INDEX_NONE || (owner & GROUP_REF) == 0)
		return false;
	g = &t->groups[owner - GROUP_REF];
	return g->proto_class == session_class(s) && g->ext == s->ext && g->ext_port == s->ext_port &&
	       g->int_addr == s->int_addr && g->int_port == s->int_port && index_misses(&t->index[IX_OUT], h->out) &&
	       index_misses(&t->index[IX_IN], h->in);
}

static bool has_twin(struct table *t, const struct session *s, const struct session_hashes *h)
{
	return session_same_noting(t, s, DIR_OUT, h) != NULL || session_same_noting(t, s, DIR_IN, h) != NULL;
}

static void enter(struct table *t, const struct batch *b, uint32_t k, struct table_attach_report *report)
{
	const struct session_hashes *h = &b->hash[k];
	uint32_t i = b->record[k];
	const struct session *s = &t->sessions[i];

	if ((is_later(t, s, h, b->owner[k]) || is_first(t, h) || !has_twin(t, s, h)) && session_link(t, i, h)) {
		if (t->origin_top > 0)
			t->origin_ids[i] = origin_take(t, t->origin_ids[i]);
		report->restored++;
		session_restored(t, i);
		return;
	}
	drop(t, i, report);
	slots_give(&t->session_slots, i);
}

/* Prefetches the marks of a record that comes later. It may hold anything: nothing is read. */
static void prefetch_marks(const struct table *t, const struct session *s)
{
	const struct port_map *m = port_map(t, session_class(s), s->ext);

	prefetch(&m->used[s->ext_port / 64]);
	prefetch(&m->resting[s->ext_port / 64]);
}

/* Works out the keys of a session, and prefetches their buckets. */
static void prepare(const struct table *t, const struct session *s, struct session_hashes *h)
{
	const struct port_map *m = port_map(t, session_class(s), s->ext);

	if (!session_is_pooled(s)) {
		session_hash(t, s, h);
		session_prefetch(t, s, h);
		return;
	}
	if (!port_is_resting(m, s->ext_port)) {
		session_hash(t, s, h);
	} else {
		session_hash_shared(t, s, h);
		index_prefetch_both(&t->index[IX_OUT], h->out);
		index_prefetch_both(&t->index[IX_IN], h->in);
		index_prefetch_both(&t->index[IX_PEER], h->peer);
	}
	index_prefetch(&t->index[IX_HOST], host_hash(t, s->int_addr));
	index_prefetch_both(&t->index[IX_EXTERNAL], h->external);
	if (!port_is_used(m, s->ext_port)) /* its mapping is not inserted yet */
		index_prefetch_both(&t->index[IX_INTERNAL], h->internal);
}

/* Collects the next sessions from record `at` on; returns where to continue. */
static uint32_t gather(struct table *t, struct batch *b, uint32_t at)
{
	uint32_t top = t->session_slots.top;

	for (b->n = 0; b->n < BATCH; b->n++) {
		at = slots_next(&t->session_slots, at, top);
		if (at >= top)
			break;
		if (top - at > BATCH) {
			prefetch(&t->sessions[at + 2 * BATCH]); /* the processor does not look beyond a page */
			prefetch_marks(t, &t->sessions[at + BATCH]);
		}
		prepare(t, &t->sessions[at], &b->hash[b->n]);
		b->record[b->n] = at++;
	}
	return at;
}

/* The buckets have arrived: prefetches what they lead to. */
static void look_ahead(const struct table *t, struct batch *b)
{
	for (uint32_t k = 0; k < b->n; k++) {
		const struct session *s = &t->sessions[b->record[k]];

		b->owner[k] = INDEX_NONE;
		if (!session_is_pooled(s))
			continue;
		if (t->host_slots.count > HOSTS_CACHED)
			index_prefetch_more(&t->index[IX_HOST], host_hash(t, s->int_addr));
		b->owner[k] = index_prefetch_more(&t->index[IX_EXTERNAL], b->hash[k].external);
		if (b->owner[k] == INDEX_NONE)
			index_prefetch_more(&t->index[IX_INTERNAL], b->hash[k].internal);
	}
}

static void enter_all(struct table *t, struct table_attach_report *report)
{
	struct batch pair[2], *now = &pair[0], *next = &pair[1];
	uint32_t at = gather(t, now, 0);

	while (now->n > 0) {
		struct batch *done = now;

		look_ahead(t, now);
		at = gather(t, next, at);
		for (uint32_t k = 0; k < now->n; k++)
			enter(t, now, k, report);
		now = next;
		next = done;
	}
}

void table_restore(struct table *t, uint32_t now_s, uint32_t shift_s, struct table_attach_report *report)
{
	struct population n = {0, 0};

	address_restore(t);
	origin_restore(t);
	scan(t, now_s, shift_s, report, &n);
	reserve(t, &n);
	enter_all(t, report);
	forget_marks(t);
	for (int ix = IX_OUT; ix <= IX_PEER; ix++)
		index_fit(&t->index[ix]);
	report->resting = quarantine_restore(t, now_s, shift_s);
	for (uint32_t i = 0; i < (uint32_t)t->header->address_top; i++) {
		if (address_is_used(t, i))
			address_settle(t, (uint16_t)i);
	}
	record_top_set(&t->header->address_top, t->address_slots.top);
}
