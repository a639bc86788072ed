/* SPDX-License-Identifier: ISC */
/*
 * From packets to sessions.
 *
 * Theory of operation. Most sessions have a mapping of their own. Such a session is found by the mapping's endpoint,
 * from either side, since no other session can be meant. It is in the two indexes of endpoints, where the mapping needs
 * its entries anyway, and nowhere else. Only sessions that are not found this way are inserted by their full key too:
 *
 *   sessions of groups (mapping.c)                       from both sides
 *   sessions without a mapping (forwards, CLASS_OTHER)   from both sides
 *   the session of an unlisted solo mapping              from inside
 *
 * A look-up tries the endpoint, and continues with the full key if a group is there, or if there are sessions that no
 * endpoint leads to. So the usual session costs half the entries, and one of a group costs one more hash and bucket a
 * packet.
 *
 * Invariants (table_check): each session is inserted exactly where this says, and found from both sides.
 */
#include "table_private.h"

#include <string.h>

enum { MAPPING_REF_BITS = 25, SESSION_REF_BITS = 24 }; /* constants here, so that masks and shifts need not be loaded */

static inline uint64_t hash_whole(const struct table *t, const struct session_key *k)
{
	return table_key(t, (uint64_t)k->local << 32 | k->remote, (uint32_t)k->local_port << 16 | k->remote_port,
			 key_kind(k->proto_class, k->dir == DIR_OUT ? KEY_OUT : KEY_IN));
}

static inline enum table_index which_whole(unsigned dir)
{
	return dir == DIR_OUT ? IX_OUT : IX_IN;
}

static inline enum table_index which_endpoint(unsigned dir)
{
	return dir == DIR_OUT ? IX_INTERNAL : IX_EXTERNAL;
}

static inline const struct index *index_whole(const struct table *t, unsigned dir)
{
	return &t->index[which_whole(dir)];
}

static inline const struct index *index_endpoint(const struct table *t, unsigned dir)
{
	return &t->index[which_endpoint(dir)];
}

static inline uint64_t hash_key(const struct table *t, const struct session_key *k)
{
	if (k->proto_class == CLASS_OTHER)
		return hash_whole(t, k);
	if (k->dir == DIR_OUT)
		return hash_internal(t, k->proto_class, k->local, k->remote, k->local_port, k->remote_port);
	return mapping_key_external(t, k->proto_class, (uint16_t)k->local, k->local_port);
}

uint64_t table_hash(const struct table *t, const struct session_key *k)
{
	return hash_key(t, k);
}

/* May there be sessions of this direction that no endpoint leads to? In the dependent mapping modes a group is
 * listed only under the remote address of its first session, and may have others. */
static inline bool has_strays(const struct table *t, unsigned dir)
{
	return (t->unmapped | (dir == DIR_OUT ? t->unlisted | (t->key_address & t->group_slots.count) : 0)) != 0;
}

/* ---- many at once ----
 * 
 * Each look-up moves from bucket to bucket, all in step. Between two steps the memory of the next one is prefetched
 * in a loop of its own: prefetches are issued back to back so that their stalls for address translation overlap. */

/* The kind of bucket in `next`. */
enum { PROBE_FIRST, PROBE_SECOND, PROBE_WHOLE, PROBE_WHOLE_SECOND, PROBE_OVER, PROBE_MISSED };
/* look-ups in step at a time: their prefetched lines must still be cached when they are read */
enum { PROBE_GROUP = 64 };

static inline bool probe_go(struct table_probe *p, const struct index *ix, uint32_t bucket, uint8_t stage)
{
	p->next = &ix->buckets[bucket];
	p->stage = stage;
	return true;
}

static bool probe_whole(const struct table *t, uint64_t hash, struct table_probe *p)
{
	const struct index *ix = index_whole(t, p->key.dir);

	p->whole = hash;
	return probe_go(p, ix, index_first_bucket(ix, hash), PROBE_WHOLE);
}

static inline void probe_begin(const struct table *t, struct table_probe *p)
{
	const struct index *ix = index_endpoint(t, p->key.dir);

	p->hash = hash_key(t, &p->key);
	p->entries = t->entries;
	p->group = INDEX_NONE;
	p->likely = p->other = NULL;
	if (p->key.proto_class == CLASS_OTHER)
		probe_whole(t, p->hash, p);
	else
		probe_go(p, ix, index_first_bucket(ix, p->hash), PROBE_FIRST);
}

static inline bool probe_found(const struct table *t, uint32_t ref, struct table_probe *p)
{
	p->other = p->likely;
	p->likely = &t->sessions[ref];
	p->next = p->likely;
	p->stage = PROBE_OVER;
	return false;
}

/* In a bucket of full keys, whose tags have eight bits: a second match is too rare to handle here. */
static bool probe_step_whole(const struct table *t, struct table_probe *p, uint32_t *lost)
{
	const struct index *ix = index_whole(t, p->key.dir);
	const struct index_bucket *b = p->next;
	uint32_t found = index_match(b, UINT32_MAX << SESSION_REF_BITS, index_tag_of(p->whole, SESSION_REF_BITS));

	if (found != 0)
		return probe_found(t, b->slot[__builtin_ctz(found)] & ((1u << SESSION_REF_BITS) - 1), p);
	if (p->stage == PROBE_WHOLE)
		return probe_go(p, ix, index_second_bucket(ix, p->whole), PROBE_WHOLE_SECOND);
	p->stage = PROBE_OVER;
	*lost += p->likely == NULL;
	return false;
}

/* The endpoint's bucket does not lead to exactly one session, but to several with the same tag, to a group, or to
 * nothing. */
static bool probe_alike(const struct table *t, uint32_t found, struct table_probe *p, uint32_t *lost)
{
	const struct index *ix = index_endpoint(t, p->key.dir);
	const struct index_bucket *b = p->next;

	if (found == 0 && p->stage == PROBE_FIRST)
		return probe_go(p, ix, index_second_bucket(ix, p->hash), PROBE_SECOND);
	for (p->stage = PROBE_OVER; found != 0; found &= found - 1) {
		uint32_t ref = b->slot[__builtin_ctz(found)] & ((1u << MAPPING_REF_BITS) - 1);

		if (ref < GROUP_REF)
			probe_found(t, ref, p);
		else
			p->group = ref - GROUP_REF;
	}
	if (p->other != NULL)
		prefetch(p->other);
	if (p->group != INDEX_NONE)
		prefetch(&t->groups[p->group]);
	if (p->group != INDEX_NONE || (p->likely == NULL && has_strays(t, p->key.dir)))
		return probe_whole(t, hash_whole(t, &p->key), p);
	*lost += p->likely == NULL;
	if (p->likely == NULL && ix->stashed == 0)
		p->stage = PROBE_MISSED;
	return false;
}

/* True: there is another step. */
static inline bool probe_step(const struct table *t, struct table_probe *p, uint32_t *lost)
{
	const struct index_bucket *b = p->next;
	uint32_t found, ref;

	if (p->stage > PROBE_SECOND)
		return probe_step_whole(t, p, lost);
	found = index_match(b, UINT32_MAX << MAPPING_REF_BITS, index_tag_of(p->hash, MAPPING_REF_BITS));
	if (found == 0 || (found & (found - 1)) != 0)
		return probe_alike(t, found, p, lost);
	ref = b->slot[__builtin_ctz(found)] & ((1u << MAPPING_REF_BITS) - 1);
	return ref < GROUP_REF ? probe_found(t, ref, p) : probe_alike(t, found, p, lost);
}

static void ask_for(struct table_probe *const p[], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		prefetch(p[i]->next);
}

/* Moves look-ups with another step to the front. */
static uint32_t probe_step_all(const struct table *t, struct table_probe *p[], uint32_t n, uint32_t *lost)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct table_probe *q = p[i];

		if (!probe_step(t, q, lost))
			continue;
		p[i] = p[left];
		p[left++] = q;
	}
	return left;
}

static uint32_t probe_group(const struct table *t, struct table_probe *p[], uint32_t n)
{
	uint32_t lost = 0;

	for (uint32_t i = 0; i < n; i++)
		probe_begin(t, p[i]);
	ask_for(p, n);
	for (uint32_t left; n > 0; n = left) {
		left = probe_step_all(t, p, n, &lost);
		ask_for(p, n);
	}
	return lost;
}

uint32_t table_probe(const struct table *t, struct table_probe *p[], uint32_t n)
{
	uint32_t lost = 0;

	for (uint32_t at = 0; at < n; at += PROBE_GROUP)
		lost += probe_group(t, &p[at], n - at < PROBE_GROUP ? n - at : PROBE_GROUP);
	return lost;
}

bool table_probe_joins(const struct table *t, const struct table_probe *p)
{
	const struct group *g;
	struct session s;

	if (p->group == INDEX_NONE)
		return false;
	g = &t->groups[p->group];
	s = (struct session){
		.rem_addr = p->key.remote,
		.rem_port = p->key.remote_port,
		.ext_port = g->ext_port,
		.ext = g->ext,
		.kind = p->key.proto_class & SESSION_KIND_CLASS,
	};
	index_prefetch_both(&t->index[IX_IN], hash_in(t, &s));
	index_prefetch_both(&t->index[IX_PEER], hash_peer(t, &s));
	index_prefetch_both(&t->index[IX_EXTERNAL], mapping_key_external(t, p->key.proto_class, g->ext, g->ext_port));
	return true;
}

/* ---- one look-up ---- */

/* A key has the same layout as the start of a session: outbound, twelve bytes are compared. */
_Static_assert(offsetof(struct session_key, local) == offsetof(struct session, int_addr) &&
		       offsetof(struct session_key, remote) == offsetof(struct session, rem_addr) &&
		       offsetof(struct session_key, local_port) == offsetof(struct session, int_port) &&
		       offsetof(struct session_key, remote_port) == offsetof(struct session, rem_port),
	       "the outbound key is the beginning of the record");

static inline bool is_key_of(const struct session_key *k, const struct session *s)
{
	uint32_t local = s->ext;
	uint16_t local_port = s->ext_port;

	if (k->dir == DIR_OUT)
		return memcmp(k, s, 12) == 0 && session_class(s) == k->proto_class;
	return ((local ^ k->local) | (s->rem_addr ^ k->remote) | (uint32_t)(local_port ^ k->local_port) |
		(uint32_t)(s->rem_port ^ k->remote_port) | (uint32_t)(session_class(s) ^ k->proto_class)) == 0;
}

/* The result of a look-up. */
struct trace {
	uint32_t ref; /* the session, or INDEX_NONE */
	enum table_index ix;
	uint64_t hash;
	uint32_t step;	/* as in struct index_cursor */
	bool is_missed; /* there is no entry of the endpoint, nor one with the same tag */
};

static __attribute__((noinline)) void find_whole(const struct table *t, const struct session_key *k, struct trace *f)
{
	enum table_index which = which_whole(k->dir);
	uint64_t hash = hash_whole(t, k);
	struct index_cursor c;

	for (f->ref = index_begin(&c, &t->index[which], hash); f->ref != INDEX_NONE; f->ref = index_next(&c)) {
		if (is_key_of(k, &t->sessions[f->ref]))
			break;
	}
	f->ix = which;
	f->hash = hash;
	f->step = c.step;
}

/* Open or expired. */
static inline void find(const struct table *t, const struct session_key *k, uint64_t hash, struct trace *f)
{
	enum table_index which = which_endpoint(k->dir);
	bool is_asked = k->proto_class == CLASS_OTHER, is_grouped = false;
	struct index_cursor c = {.step = 2};

	f->is_missed = !is_asked && index_misses(&t->index[which], hash);
	f->ref = is_asked || f->is_missed ? INDEX_NONE : index_begin(&c, &t->index[which], hash);
	for (; f->ref != INDEX_NONE; f->ref = index_next(&c)) {
		if (f->ref & GROUP_REF) /* perhaps of another key with the same tag: comparing the full key decides */
			is_grouped = true;
		else if (is_key_of(k, &t->sessions[f->ref]))
			break;
	}
	f->ix = which;
	f->hash = hash;
	f->step = c.step;
	if (f->ref == INDEX_NONE && (is_asked || is_grouped || has_strays(t, k->dir)))
		find_whole(t, k, f);
}

/* The next look-ups of the same endpoint can be skipped. */
static void remember_absent(struct table *t, unsigned dir, uint64_t hash)
{
	index_remember_absent(&t->index[which_endpoint(dir)], hash);
}

struct session *table_find(struct table *t, const struct session_key *k, uint64_t hash, uint32_t now_s)
{
	struct trace f;

	find(t, k, hash, &f);
	if (f.ref != INDEX_NONE) {
		if (f.step > 1)
			index_bring_home(&t->index[f.ix], f.hash, f.ref);
		if (!session_is_over(t, &t->sessions[f.ref], now_s))
			return &t->sessions[f.ref];
	}
	if (f.is_missed)
		remember_absent(t, k->dir, hash);
	t->long_probes += f.step > 2;
	t->now_s = now_s;
	return NULL;
}

const struct session *table_seek(const struct table *t, const struct session_key *k, uint32_t now_s)
{
	struct trace f;

	find(t, k, hash_key(t, k), &f);
	return f.ref != INDEX_NONE && !session_is_over(t, &t->sessions[f.ref], now_s) ? &t->sessions[f.ref] : NULL;
}

bool table_has_expired(const struct table *t, const struct session_key *k, uint32_t now_s)
{
	struct trace f;

	find(t, k, hash_key(t, k), &f);
	return f.ref != INDEX_NONE && session_is_over(t, &t->sessions[f.ref], now_s);
}

/* A record closed meanwhile keeps its key, but not its state. */
static inline bool is_it(const struct table *t, const struct session_key *k, const struct session *s, uint32_t now_s)
{
	return s != NULL && is_key_of(k, s) && session_state(s) != SESSION_FREE && !session_is_over(t, s, now_s);
}

static __attribute__((noinline)) struct session *find_other(struct table *t, const struct table_probe *p,
							    uint32_t now_s)
{
	if (p->stage == PROBE_MISSED && p->entries == t->entries) {
		remember_absent(t, p->key.dir, p->hash);
		t->now_s = now_s;
		return NULL;
	}
	return is_it(t, &p->key, p->other, now_s) ? p->other : table_find(t, &p->key, p->hash, now_s);
}

struct session *table_finish_lookup(struct table *t, const struct table_probe *p, uint32_t now_s)
{
	return is_it(t, &p->key, p->likely, now_s) ? p->likely : find_other(t, p, now_s);
}

static struct session_key key_of(const struct session *s, enum nat_dir dir)
{
	return (struct session_key){
		.local = dir == DIR_OUT ? s->int_addr : s->ext,
		.remote = s->rem_addr,
		.local_port = dir == DIR_OUT ? s->int_port : s->ext_port,
		.remote_port = s->rem_port,
		.proto_class = (uint8_t)session_class(s),
		.dir = (uint8_t)dir,
	};
}

struct session *session_same(const struct table *t, const struct session *s, enum nat_dir dir,
			     const struct session_hashes *h)
{
	const struct session_key k = key_of(s, dir);
	struct trace f;

	find(t, &k, dir == DIR_OUT ? h->internal : h->external, &f);
	return f.ref != INDEX_NONE ? &t->sessions[f.ref] : NULL;
}

struct session *session_same_noting(struct table *t, const struct session *s, enum nat_dir dir,
				    const struct session_hashes *h)
{
	uint64_t hash = dir == DIR_OUT ? h->internal : h->external;
	struct session_key k;
	struct trace f;

	if (session_class(s) != CLASS_OTHER && index_is_noted(index_endpoint(t, dir), hash) && !has_strays(t, dir))
		return NULL; /* found out just before */
	k = key_of(s, dir);
	find(t, &k, hash, &f);
	if (f.is_missed)
		remember_absent(t, dir, hash);
	return f.ref != INDEX_NONE ? &t->sessions[f.ref] : NULL;
}
