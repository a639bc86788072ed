/* SPDX-License-Identifier: ISC */
/*
 * Slots of the mirror: the forwarder's data in them, their places in the index, and their rest after that.
 *
 * Resting slots are in a queue, in the order in which they were taken out. There is no time for each of them: the queue
 * has three parts, and turns every FLOW_REST_S. Slots taken out since the last turn are `recent`; a turn makes them
 * `older`, the next one `over`. So a slot rests at least for the time between two turns.
 *
 * A slot that is shown again meanwhile stays in the queue (OWNER_QUEUED); one that is taken out again moves to its end
 * (OWNER_AGAIN) when its turn comes.
 */
#include <assert.h>

#include "mirror_private.h"

/* ---- the forwarder's data ---- */

static uint64_t take(uint64_t *at)
{
	return __atomic_load_n(at, __ATOMIC_RELAXED) == 0 ? 0 : __atomic_exchange_n(at, 0, __ATOMIC_ACQUIRE);
}

static void raise_number(uint32_t *at, uint32_t to)
{
	if (flow_distance(*at, to) > 0)
		*at = to;
}

static void pull_tcp(struct session *s, const struct flow *f)
{
	for (unsigned dir = DIR_OUT; dir <= DIR_IN; dir++) {
		uint8_t window = tcp_window_pack(__atomic_load_n(&f->window[dir], __ATOMIC_RELAXED));

		raise_number(&s->end[dir], __atomic_load_n(&f->end[dir], __ATOMIC_RELAXED));
		raise_number(&s->ack[dir], __atomic_load_n(&f->ack[dir], __ATOMIC_RELAXED));
		if (window > s->window[dir])
			s->window[dir] = window;
	}
}

/* `s`: the session; NULL: it has ended, and only the totals are counted. State that no packet has moved is ignored:
 * a SYN may have changed the session since. */
void mirror_pull(struct nat *n, struct session *s, struct flow *f)
{
	struct nat_mirror_counts *c = n->mirror != NULL ? &n->mirror->counts : NULL;
	uint64_t all = 0;

	for (unsigned dir = DIR_OUT; dir <= DIR_IN; dir++) {
		uint64_t carried = take(&f->carried[dir]), bytes = flow_bytes(carried);
		uint32_t packets = flow_packets(carried);

		if (carried == 0)
			continue;
		all |= carried;
		n->counters[dir == DIR_OUT ? COUNT_OUT_PACKETS : COUNT_IN_PACKETS] += packets;
		n->counters[dir == DIR_OUT ? COUNT_OUT_BYTES : COUNT_IN_BYTES] += bytes;
		if (c != NULL) {
			c->packets += packets;
			c->bytes += bytes;
		}
		if (s == NULL)
			continue;
		s->packets[dir] += packets;
		s->bytes[dir] += bytes;
	}
	if (s == NULL || all == 0)
		return;
	raise_number(&s->seen_s, __atomic_load_n(&f->seen, __ATOMIC_RELAXED));
	if (session_class(s) == CLASS_TCP)
		pull_tcp(s, f);
}

void mirror_push(const struct session *s, struct flow *f)
{
	if (session_class(s) != CLASS_TCP)
		return;
	for (unsigned dir = DIR_OUT; dir <= DIR_IN; dir++) {
		flow_widen(&f->window[dir], tcp_window_unpack(s->window[dir]));
		flow_raise(&f->end[dir], s->end[dir]);
		flow_raise(&f->ack[dir], s->ack[dir]);
	}
}

/* ---- the index ---- */

static struct flow_key key_of(const struct flow *f, enum nat_dir dir)
{
	return (struct flow_key){
		.local = dir == DIR_OUT ? f->int_addr : f->ext_addr,
		.local_port = dir == DIR_OUT ? f->int_port : f->ext_port,
		.remote = f->rem_addr,
		.remote_port = f->rem_port,
		.proto_class = f->kind & FLOW_CLASS,
		.dir = (uint8_t)dir,
	};
}

/* The place of that entry in its bucket; 0: a free one. NULL: there is none. */
static uint32_t *find_place(struct mirror *m, uint64_t hash, uint32_t entry)
{
	struct flow_bucket *b = &m->shared.buckets[flow_bucket_of(hash)];

	for (unsigned i = 0; i < FLOW_WAYS; i++) {
		if (b->entry[i] == entry)
			return &b->entry[i];
	}
	return NULL;
}

bool mirror_publish(struct mirror *m, uint32_t slot)
{
	struct flow *f = &m->shared.flows[slot];
	uint64_t hash[2];
	uint32_t *place[2];

	for (int dir = DIR_OUT; dir <= DIR_IN; dir++) {
		struct flow_key k = key_of(f, (enum nat_dir)dir);

		hash[dir] = flow_hash(m->shared.secret, &k);
		place[dir] = find_place(m, hash[dir], 0);
		if (place[dir] == NULL)
			return false;
		__atomic_store_n(place[dir], flow_entry(hash[dir], slot), __ATOMIC_RELEASE);
		if (dir == DIR_OUT)
			continue;
		__atomic_store_n(&f->state, FLOW_LIVE | 3u * FLOW_JOINING, __ATOMIC_RELEASE);
		return true;
	}
	return false;
}

void mirror_unpublish(struct mirror *m, uint32_t slot)
{
	struct flow *f = &m->shared.flows[slot];

	__atomic_store_n(&f->state, (uint32_t)FLOW_OUT, __ATOMIC_RELEASE);
	for (int dir = DIR_OUT; dir <= DIR_IN; dir++) {
		struct flow_key k = key_of(f, (enum nat_dir)dir);
		uint64_t hash = flow_hash(m->shared.secret, &k);
		uint32_t *place = find_place(m, hash, flow_entry(hash, slot));

		if (place != NULL)
			__atomic_store_n(place, 0, __ATOMIC_RELEASE);
	}
}

/* ---- slots ---- */

uint32_t mirror_slot_take(struct mirror *m)
{
	uint32_t slot = m->free;

	if (slot == 0)
		return m->top < FLOW_SLOTS ? m->top++ : 0;
	m->free = m->next[slot];
	return slot;
}

void mirror_slot_free(struct mirror *m, uint32_t slot)
{
	m->next[slot] = m->free;
	m->free = (uint16_t)slot;
}

static uint32_t session_in(const struct mirror *m, uint32_t slot)
{
	return m->owner[slot] & OWNER_SESSION;
}

void mirror_slot_disown(struct mirror *m, uint32_t slot)
{
	uint32_t owner = session_in(m, slot);

	if (owner != 0)
		m->slot_of[owner - 1] = 0;
	m->owner[slot] &= ~OWNER_SESSION;
}

static void queue_rest(struct mirror *m, uint32_t slot)
{
	m->next[slot] = 0;
	if (m->rest.first == 0)
		m->rest.first = (uint16_t)slot;
	else
		m->next[m->rest.last] = (uint16_t)slot;
	m->rest.last = (uint16_t)slot;
	m->rest.recent++;
}

void mirror_slot_begin_life(struct mirror *m, uint32_t slot)
{
	m->counts.flows++;
	m->counts.shown++;
	mirror_count_mtus(m, m->shared.flows[slot].kind, 1);
}

/* It is not live any more. */
void mirror_slot_begin_rest(struct mirror *m, uint32_t slot)
{
	m->counts.flows--;
	mirror_count_mtus(m, m->shared.flows[slot].kind, -1);
	if (m->owner[slot] & OWNER_QUEUED) {
		m->owner[slot] |= OWNER_AGAIN;
		return;
	}
	m->owner[slot] |= OWNER_QUEUED;
	queue_rest(m, slot);
}

/* From live to resting. */
void mirror_slot_take_out(struct nat *n, uint32_t slot)
{
	mirror_unpublish(n->mirror, slot);
	mirror_slot_begin_rest(n->mirror, slot);
}

bool mirror_slot_is_live(const struct mirror *m, uint32_t slot)
{
	return __atomic_load_n(&m->shared.flows[slot].state, __ATOMIC_ACQUIRE) != FLOW_OUT;
}

struct session *mirror_slot_owner(struct nat *n, uint32_t slot)
{
	uint32_t owner = session_in(n->mirror, slot);

	return owner == 0 ? NULL : table_session_at(n->table, owner - 1);
}

static void turn_rests(struct mirror *m, uint32_t now_s)
{
	if ((int32_t)(now_s - m->rest.turned_s) <= FLOW_REST_S)
		return;
	m->rest.over += m->rest.older;
	m->rest.older = m->rest.recent;
	m->rest.recent = 0;
	m->rest.turned_s = now_s;
}

/* It has reached the end of the queue. */
static void end_rest(struct nat *n, uint32_t slot)
{
	struct mirror *m = n->mirror;

	if (mirror_slot_is_live(m, slot)) {
		m->owner[slot] &= OWNER_SESSION;
	} else if (m->owner[slot] & OWNER_AGAIN) {
		m->owner[slot] &= ~OWNER_AGAIN;
		queue_rest(m, slot);
	} else {
		mirror_pull(n, mirror_slot_owner(n, slot), &m->shared.flows[slot]);
		mirror_slot_disown(m, slot);
		m->owner[slot] = 0;
		mirror_slot_free(m, slot);
	}
}

/* True: there is more to do. */
bool mirror_slots_end_rests(struct nat *n)
{
	struct mirror *m = n->mirror;

	turn_rests(m, n->now_s);
	for (uint32_t i = 0; i < MIRROR_STEP && m->rest.over > 0; i++) {
		uint32_t slot = m->rest.first;

		assert(slot != 0);
		m->rest.first = m->next[slot];
		m->rest.over--;
		end_rest(n, slot);
	}
	return m->rest.over > 0;
}
