/* SPDX-License-Identifier: ISC */
/*
 * From packets to sessions.
 *
 * Theory of operation. Most sessions have their mapping to themselves. Such a one is found by the mapping's endpoint,
 * from either side, since no other can be meant: it is entered in the two indexes of endpoints, where the mapping
 * needs its entries anyway, and nowhere else. Only what that does not lead to is entered by its whole key too:
 *
 *   sessions of groups (mapping.c)                       from both sides
 *   sessions without a mapping (forwards, CLASS_OTHER)   from both sides
 *   the session of a solo mapping that is unlisted       from inside
 *
 * A look-up asks by endpoint, and goes on to the whole key if a group is there, or if there are sessions that no
 * endpoint leads to. So the usual session costs half the entries, and one of a group one more hash and bucket a
 * packet.
 *
 * Invariants (table_check): each session is entered exactly where this says, and found from both sides.
 */
#include "table_private.h"

#include <string.h>

enum { MAPPING_REF_BITS = 25, SESSION_REF_BITS = 24 }; /* known here, so that masks and shifts need not be read */

static inline uint64_t hash_whole(const struct table *t, const struct session_key *k)
{
	return table_key(t, (uint64_t)k->local << 32 | k->remote, (uint32_t)k->local_port << 16 | k->remote_port,
			 key_kind(k->class_, k->dir == DIR_OUT ? KEY_OUT : KEY_IN));
}

static inline const struct index *index_whole(const struct table *t, unsigned dir)
{
	return &t->index[dir == DIR_OUT ? IX_OUT : IX_IN];
}

static inline const struct index *index_endpoint(const struct table *t, unsigned dir)
{
	return &t->index[dir == DIR_OUT ? IX_INTERNAL : IX_EXTERNAL];
}

uint64_t table_hash(const struct table *t, const struct session_key *k)
{
	if (k->class_ == CLASS_OTHER)
		return hash_whole(t, k);
	if (k->dir == DIR_OUT)
		return table_key(t, (uint64_t)k->local << 32 | (k->remote & t->key_address),
				 (uint32_t)k->local_port << 16 | (k->remote_port & t->key_port),
				 key_kind(k->class_, KEY_INTERNAL));
	return mapping_key_external(t, k->class_, (uint16_t)k->local, k->local_port);
}

/* May there be sessions of this direction that no endpoint leads to? In the dependent mapping modes a group is listed
 * under the remote address of its first session only, and may have others. */
static inline bool has_strays(const struct table *t, unsigned dir)
{
	return (t->unmapped | (dir == DIR_OUT ? t->unlisted | (t->key_address & t->group_slots.count) : 0)) != 0;
}

static __attribute__((noinline)) void probe_whole(const struct table *t, const struct session_key *k, uint64_t hash,
						  struct table_probe *p)
{
	const struct index *ix = index_whole(t, k->dir);

	p->whole = hash;
	p->bucket = &ix->buckets[index_first_bucket(ix, hash)];
	__builtin_prefetch(p->bucket);
}

void table_probe_begin(const struct table *t, const struct session_key *k, uint64_t hash, struct table_probe *p)
{
	const struct index *ix = index_endpoint(t, k->dir);

	p->likely = NULL;
	p->whole = 0;
	if (k->class_ == CLASS_OTHER) {
		probe_whole(t, k, hash, p);
		return;
	}
	p->bucket = &ix->buckets[index_first_bucket(ix, hash)];
	__builtin_prefetch(p->bucket);
}

/* The whole key's bucket is there. */
static __attribute__((noinline)) bool probe_last(const struct table *t, const struct session_key *k,
						 struct table_probe *p)
{
	const struct index *ix = index_whole(t, k->dir);
	const struct index_bucket *b = p->bucket;
	uint32_t found = index_match(b, UINT32_MAX << SESSION_REF_BITS, index_tag_of(p->whole, SESSION_REF_BITS));

	p->bucket = NULL;
	if (found == 0) {
		__builtin_prefetch(&ix->buckets[index_second_bucket(ix, p->whole)]);
		return false;
	}
	p->likely = &t->sessions[b->slot[__builtin_ctz(found)] & ((1u << SESSION_REF_BITS) - 1)];
	__builtin_prefetch(p->likely, 1);
	return false;
}

bool table_probe_step(const struct table *t, const struct session_key *k, uint64_t hash, struct table_probe *p)
{
	const struct index_bucket *b = p->bucket;
	uint32_t found, ref;

	if (b == NULL)
		return false;
	if (p->whole != 0)
		return probe_last(t, k, p);
	p->bucket = NULL;
	found = index_match(b, UINT32_MAX << MAPPING_REF_BITS, index_tag_of(hash, MAPPING_REF_BITS));
	ref = found != 0 ? b->slot[__builtin_ctz(found)] & ((1u << MAPPING_REF_BITS) - 1) : INDEX_NONE;
	if (ref < GROUP_REF) {
		p->likely = &t->sessions[ref];
		__builtin_prefetch(p->likely, 1);
		return false;
	}
	if (ref == INDEX_NONE)
		__builtin_prefetch(
			&index_endpoint(t, k->dir)->buckets[index_second_bucket(index_endpoint(t, k->dir), hash)]);
	if (ref == INDEX_NONE && !has_strays(t, k->dir))
		return false;
	probe_whole(t, k, hash_whole(t, k), p);
	return true;
}

/* A key begins as a session does: what is compared outbound are twelve bytes. */
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
		return memcmp(k, s, 12) == 0 && session_class(s) == k->class_;
	return ((local ^ k->local) | (s->rem_addr ^ k->remote) | (uint32_t)(local_port ^ k->local_port) |
		(uint32_t)(s->rem_port ^ k->remote_port) | (uint32_t)(session_class(s) ^ k->class_)) == 0;
}

/* What a look-up came upon. */
struct trace {
	uint32_t ref; /* the session, or INDEX_NONE */
	enum table_index ix;
	uint64_t hash;
	uint32_t step;	/* as in struct index_cursor */
	bool is_missed; /* no entry of the endpoint, nor of one with the same tag */
};

static bool find_whole(const struct table *t, const struct session_key *k, struct trace *f)
{
	enum table_index which = k->dir == DIR_OUT ? IX_OUT : IX_IN;
	uint64_t hash = hash_whole(t, k);
	struct index_cursor c;
	uint32_t ref;

	for (ref = index_begin(&c, &t->index[which], hash); ref != INDEX_NONE; ref = index_next(&c)) {
		if (is_key_of(k, &t->sessions[ref]))
			break;
	}
	*f = (struct trace){ref, which, hash, c.step, false};
	return ref != INDEX_NONE;
}

/* Living or timed out. */
static void find(const struct table *t, const struct session_key *k, uint64_t hash, struct trace *f)
{
	enum table_index which = k->dir == DIR_OUT ? IX_INTERNAL : IX_EXTERNAL;
	bool is_asked = k->class_ == CLASS_OTHER, is_grouped = false;
	struct index_cursor c = {.step = 2};
	uint32_t ref;

	*f = (struct trace){.ref = INDEX_NONE, .is_missed = !is_asked && index_misses(&t->index[which], hash)};
	for (ref = is_asked || f->is_missed ? INDEX_NONE : index_begin(&c, &t->index[which], hash); ref != INDEX_NONE;
	     ref = index_next(&c)) {
		if (ref & GROUP_REF) { /* perhaps of another key with the same tag: the whole key tells as well */
			is_grouped = true;
			continue;
		}
		if (is_key_of(k, &t->sessions[ref])) {
			*f = (struct trace){ref, which, hash, c.step, false};
			return;
		}
	}
	if (is_asked || is_grouped || has_strays(t, k->dir))
		find_whole(t, k, f);
	else
		f->step = c.step;
}

static void note_missed(struct table *t, unsigned dir, uint64_t hash, const struct trace *f)
{
	if (f->is_missed)
		index_note_missed(&t->index[dir == DIR_OUT ? IX_INTERNAL : IX_EXTERNAL], hash);
}

struct session *table_find(struct table *t, const struct session_key *k, uint64_t hash, uint32_t now_s)
{
	struct trace f;

	find(t, k, hash, &f);
	if (f.ref != INDEX_NONE) {
		if (f.step > 1)
			index_bring_home(&t->index[f.ix], f.hash, f.ref);
		if (!table_session_expired(t, &t->sessions[f.ref], now_s))
			return &t->sessions[f.ref];
	}
	note_missed(t, k->dir, hash, &f);
	t->long_probes += f.step > 2;
	t->now_s = now_s;
	return NULL;
}

/* A record closed meanwhile keeps its key, but not its state. */
struct session *table_find_likely(struct table *t, const struct session_key *k, uint64_t hash, struct session *likely,
				  uint32_t now_s)
{
	if (likely != NULL && is_key_of(k, likely) && session_state(likely) != SESSION_FREE &&
	    !table_session_expired(t, likely, now_s))
		return likely;
	return table_find(t, k, hash, now_s);
}

static struct session *same(const struct table *t, const struct session *s, enum nat_dir dir, uint64_t hash,
			    struct trace *f)
{
	const struct session_key k = {
		.local = dir == DIR_OUT ? s->int_addr : s->ext,
		.remote = s->rem_addr,
		.local_port = dir == DIR_OUT ? s->int_port : s->ext_port,
		.remote_port = s->rem_port,
		.class_ = (uint8_t)session_class(s),
		.dir = (uint8_t)dir,
	};

	find(t, &k, hash, f);
	return f->ref != INDEX_NONE ? &t->sessions[f->ref] : NULL;
}

struct session *session_same(const struct table *t, const struct session *s, enum nat_dir dir,
			     const struct session_hashes *h)
{
	struct trace f;

	return same(t, s, dir, dir == DIR_OUT ? h->internal : h->external, &f);
}

struct session *session_same_noting(struct table *t, const struct session *s, enum nat_dir dir,
				    const struct session_hashes *h)
{
	uint64_t hash = dir == DIR_OUT ? h->internal : h->external;
	struct trace f;
	struct session *found = same(t, s, dir, hash, &f);

	note_missed(t, dir, hash, &f);
	return found;
}
