/* SPDX-License-Identifier: ISC */
/*
 * Mappings: an internal endpoint tied to an external one, as long as it has sessions.
 *
 * Theory of operation
 *
 * Most mappings have one session. Such a mapping has no record of its own: its entries in the internal and the external
 * index lead to the session (a single mapping, "solo"). The second session turns it into a shared mapping (a "group"):
 * a record with a count, to which both entries lead from then on, until the last session has ended. The sessions of a
 * group, and an unlisted solo one (below), are inserted by their full keys: see session_find.c.
 *
 * A group's sessions cannot be listed from it, so address-dependent filtering (RFC 4787 5) has an index of its own:
 * (external endpoint, remote address), only for the sessions of groups. It works the same way: the first session of
 * that remote address is the entry, the second makes a `struct peer` with a count.
 *
 * Keepalive sessions. Under endpoint-independent filtering any outside host can open sessions of a mapping, and so
 * could keep it for ever. Therefore only sessions that the inside host opened or answered keep it open. Without any, it
 * accepts no new ones from outside, and ends with its last session.
 *
 * External endpoints are unique: one mapping owns a port. Internal keys normally are too. But a change of the mapping
 * mode can leave two mappings under one key (several ports of one endpoint, made while it was address-dependent), and
 * an expired solo mapping may not have been swept yet when its successor is made. The internal index has one entry a
 * key then, the successor or the first one; the others are "unlisted": their sessions continue, new ones do not join
 * them. t->unlisted counts them.
 */
#include "table_private.h"

/* The fields of a mapping, as the session that might be its only one. */
static struct session as_session(const struct table *t, uint32_t ref)
{
	const struct group *g = &t->groups[ref & ~(uint32_t)GROUP_REF];

	if ((ref & GROUP_REF) == 0)
		return t->sessions[ref];
	return (struct session){
		.int_addr = g->int_addr,
		.rem_addr = g->rem_addr,
		.int_port = g->int_port,
		.rem_port = g->rem_port,
		.ext_port = g->ext_port,
		.ext = g->ext,
		.kind = (uint8_t)g->proto_class,
	};
}

uint64_t mapping_hash_internal(const struct table *t, uint32_t ref)
{
	struct session s;

	if ((ref & GROUP_REF) == 0)
		return mapping_key_internal(t, &t->sessions[ref]);
	s = as_session(t, ref);
	return mapping_key_internal(t, &s);
}

uint64_t mapping_hash_external(const struct table *t, uint32_t ref)
{
	const struct group *g = &t->groups[ref & ~(uint32_t)GROUP_REF];
	const struct session *s = &t->sessions[ref];

	if (ref & GROUP_REF)
		return mapping_key_external(t, g->proto_class, g->ext, g->ext_port);
	return mapping_key_external(t, session_class(s), s->ext, s->ext_port);
}

uint64_t mapping_hash_peer(const struct table *t, uint32_t ref)
{
	const struct peer *p = &t->peers[ref & ~(uint32_t)GROUP_REF];
	const struct session s = {
		.rem_addr = p->rem_addr, .ext_port = p->ext_port, .ext = p->ext, .kind = (uint8_t)p->proto_class};

	return hash_peer(t, ref & GROUP_REF ? &s : &t->sessions[ref]);
}

static bool owns(const struct table *t, uint32_t ref, unsigned proto_class, uint32_t endpoint)
{
	const struct group *g = &t->groups[ref & ~(uint32_t)GROUP_REF];
	const struct session *s = &t->sessions[ref];

	if (ref & GROUP_REF)
		return g->proto_class == proto_class && ((uint32_t)g->ext << 16 | g->ext_port) == endpoint;
	return session_class(s) == proto_class && ((uint32_t)s->ext << 16 | s->ext_port) == endpoint;
}

/* Out of line: for a new session the miss is already known. */
static __attribute__((noinline)) uint32_t walk_external(const struct table *t, unsigned proto_class, uint16_t ext,
							uint16_t port, uint64_t hash)
{
	struct index_cursor c;
	uint32_t ref;

	for (ref = index_begin(&c, &t->index[IX_EXTERNAL], hash); ref != INDEX_NONE; ref = index_next(&c)) {
		if (owns(t, ref, proto_class, (uint32_t)ext << 16 | port))
			break;
	}
	return ref;
}

static inline uint32_t owner_hashed(const struct table *t, unsigned proto_class, uint16_t ext, uint16_t port,
				    uint64_t hash)
{
	return index_is_noted(&t->index[IX_EXTERNAL], hash) ? INDEX_NONE
							    : walk_external(t, proto_class, ext, port, hash);
}

uint32_t mapping_inside(const struct table *t, uint32_t ref)
{
	return ref & GROUP_REF ? t->groups[ref - GROUP_REF].int_addr : t->sessions[ref].int_addr;
}

uint32_t mapping_owner(const struct table *t, unsigned proto_class, uint16_t ext, uint16_t port)
{
	return owner_hashed(t, proto_class, ext, port, mapping_key_external(t, proto_class, ext, port));
}

static inline bool is_internal_key(const struct table *t, const struct session *s, const struct session *key)
{
	return s->int_addr == key->int_addr && s->int_port == key->int_port && session_class(s) == session_class(key) &&
	       ((s->rem_addr ^ key->rem_addr) & t->key_address) == 0 &&
	       ((uint32_t)(s->rem_port ^ key->rem_port) & t->key_port) == 0;
}

static bool has_internal_key(const struct table *t, uint32_t ref, const struct session *key)
{
	struct session s;

	if ((ref & GROUP_REF) == 0)
		return is_internal_key(t, &t->sessions[ref], key);
	s = as_session(t, ref);
	return is_internal_key(t, &s, key);
}

static __attribute__((noinline)) uint32_t walk_internal(const struct table *t, const struct session *key, uint64_t hash)
{
	struct index_cursor c;
	uint32_t ref;

	for (ref = index_begin(&c, &t->index[IX_INTERNAL], hash); ref != INDEX_NONE; ref = index_next(&c)) {
		if (has_internal_key(t, ref, key))
			break;
	}
	return ref;
}

static inline uint32_t find_hashed(const struct table *t, const struct session *key, uint64_t hash)
{
	return index_is_noted(&t->index[IX_INTERNAL], hash) ? INDEX_NONE : walk_internal(t, key, hash);
}

static uint32_t find_internal(const struct table *t, const struct session *key)
{
	return find_hashed(t, key, mapping_key_internal(t, key));
}

uint32_t mapping_listed(const struct table *t, uint32_t ref)
{
	const struct session key = as_session(t, ref);

	return find_internal(t, &key);
}

/* A solo mapping ends with its session's time; the end of a group shows only after the sweep. */
static bool is_over(const struct table *t, uint32_t ref)
{
	return (ref & GROUP_REF) == 0 && session_is_over(t, &t->sessions[ref], t->now_s);
}

/* The session of an unlisted solo mapping is found outbound by its full key. False: no room. */
static bool enter_unlisted(struct table *t, uint32_t ref)
{
	return (ref & GROUP_REF) != 0 || index_insert(&t->index[IX_OUT], hash_out(t, &t->sessions[ref]), ref);
}

static void leave_unlisted(struct table *t, uint32_t ref)
{
	if ((ref & GROUP_REF) == 0)
		index_remove(&t->index[IX_OUT], hash_out(t, &t->sessions[ref]), ref);
}

/* Inserts a mapping, whose fields are in `key`, under its internal key. False: no room. */
static bool list(struct table *t, uint32_t ref, const struct session *key, uint64_t hash)
{
	struct index *ix = &t->index[IX_INTERNAL];
	uint32_t other = find_hashed(t, key, hash);

	if (other == INDEX_NONE)
		return index_insert(ix, hash, ref);
	if (is_over(t, other)) {
		if (!enter_unlisted(t, other))
			return false;
		index_replace(ix, hash, other, ref);
	} else if (!enter_unlisted(t, ref)) {
		return false;
	}
	t->unlisted++;
	return true;
}

/* False: no room for its entries. It is unlisted then, and if it has only one session, that must be closed. */
static bool relist(struct table *t, uint32_t ref)
{
	const struct session key = as_session(t, ref);

	if (list(t, ref, &key, mapping_key_internal(t, &key)))
		return true;
	t->unlisted++;
	return (ref & GROUP_REF) != 0;
}

static void unlist(struct table *t, uint32_t ref)
{
	if (index_remove(&t->index[IX_INTERNAL], mapping_hash_internal(t, ref), ref))
		return;
	t->unlisted--;
	leave_unlisted(t, ref);
}

void table_mapping_unlist(struct table *t, const struct mapping *m)
{
	uint32_t ref = mapping_owner(t, m->proto_class, m->ext, m->ext_port);
	uint64_t hash;

	if (ref == INDEX_NONE)
		return;
	hash = mapping_hash_internal(t, ref);
	if (!index_contains(&t->index[IX_INTERNAL], hash, ref) || !enter_unlisted(t, ref))
		return;
	index_remove(&t->index[IX_INTERNAL], hash, ref);
	t->unlisted++;
}

void mapping_relist_begin(struct table *t)
{
	index_clear(&t->index[IX_INTERNAL]);
	t->unlisted = 0;
}

bool mapping_relist_session(struct table *t, uint32_t i)
{
	const struct session *s = &t->sessions[i];

	if (!session_is_pooled(s) || mapping_owner(t, session_class(s), s->ext, s->ext_port) != i)
		return true;
	leave_unlisted(t, i); /* if it was unlisted */
	return relist(t, i);
}

void mapping_relist_groups(struct table *t)
{
	uint32_t top = t->group_slots.top;

	for (uint32_t i = slots_next(&t->group_slots, 0, top); i < top; i = slots_next(&t->group_slots, i + 1, top))
		relist(t, i | GROUP_REF);
}

/* ---- peers of groups ---- */

static bool is_peer(const struct table *t, uint32_t ref, const struct session *key)
{
	const struct peer *p = &t->peers[ref & ~(uint32_t)GROUP_REF];
	const struct session *s = &t->sessions[ref];

	if (ref & GROUP_REF)
		return p->rem_addr == key->rem_addr && p->ext == key->ext && p->ext_port == key->ext_port &&
		       p->proto_class == session_class(key);
	return s->rem_addr == key->rem_addr && s->ext == key->ext && s->ext_port == key->ext_port &&
	       session_class(s) == session_class(key);
}

static uint32_t find_peer(const struct table *t, const struct session *s, uint64_t hash)
{
	struct index_cursor c;
	uint32_t ref;

	for (ref = index_begin(&c, &t->index[IX_PEER], hash); ref != INDEX_NONE; ref = index_next(&c)) {
		if (is_peer(t, ref, s))
			break;
	}
	return ref;
}

uint32_t mapping_peer(const struct table *t, const struct session *s)
{
	return find_peer(t, s, hash_peer(t, s));
}

/* `hash`: hash_peer() of the session. `is_new`: known to be the mapping's first session with that
 * remote address. */
static bool peer_add(struct table *t, uint32_t i, uint64_t hash, bool is_new)
{
	const struct session *s = &t->sessions[i];
	uint32_t ref = is_new ? INDEX_NONE : find_peer(t, s, hash), slot;

	if (ref == INDEX_NONE)
		return index_insert(&t->index[IX_PEER], hash, i);
	if (ref & GROUP_REF) {
		t->peers[ref - GROUP_REF].sessions++;
		return true;
	}
	slot = slots_take(&t->peer_slots);
	if (slot == SLOTS_NONE)
		return false;
	t->peers[slot] = (struct peer){.rem_addr = s->rem_addr,
				       .ext_port = s->ext_port,
				       .ext = s->ext,
				       .sessions = 2,
				       .proto_class = session_class(s) & 3};
	index_replace(&t->index[IX_PEER], hash, ref, slot | GROUP_REF);
	return true;
}

static void peer_remove(struct table *t, uint32_t i)
{
	const struct session *s = &t->sessions[i];
	uint32_t ref = mapping_peer(t, s);

	if (ref == INDEX_NONE)
		return;
	if (ref & GROUP_REF) {
		if (--t->peers[ref - GROUP_REF].sessions > 0)
			return;
		slots_give(&t->peer_slots, ref - GROUP_REF);
	}
	index_remove(&t->index[IX_PEER], hash_peer(t, s), ref);
}

/* ---- joining and leaving ---- */

/* Inserts the mapping of a first session, whose port was allocated before (or is free). `ref` is that session, or its
 * group. False: no room. */
static bool enter(struct table *t, uint32_t ref, uint32_t i, const struct session_hashes *h)
{
	const struct session *s = &t->sessions[i];

	if (!index_insert(&t->index[IX_EXTERNAL], h->external, ref))
		return false;
	if (!list(t, ref, s, h->internal)) {
		index_remove(&t->index[IX_EXTERNAL], h->external, ref);
		return false;
	}
	if (port_is_used(port_map(t, session_class(s), s->ext), s->ext_port))
		t->pending--;
	else
		port_occupy(t, session_class(s), s->ext, s->ext_port);
	t->mappings++;
	t->counters[COUNT_MAPPING_NEW]++;
	if (event_is_wanted(&t->events, EVENT_MAPPING_NEW))
		session_record(t, i, EVENT_MAPPING_NEW, 0);
	return true;
}

static enum mapping_joined begin(struct table *t, uint32_t i, const struct session_hashes *h)
{
	const struct session *s = &t->sessions[i];

	if (port_is_resting(port_map(t, session_class(s), s->ext), s->ext_port))
		return JOIN_FAILED;
	return enter(t, i, i, h) ? JOIN_NEW : JOIN_FAILED;
}

bool mapping_is_keepalive(const struct table *t, uint32_t i)
{
	return !(t->sessions[i].kind & SESSION_KIND_FROM_OUTSIDE) || (t->cold[i].generation & COLD_ANSWERED);
}

void mapping_change_keepalives(struct table *t, uint32_t i, int by)
{
	const struct session *s = &t->sessions[i];
	uint32_t ref = mapping_owner(t, session_class(s), s->ext, s->ext_port);

	if (ref != INDEX_NONE && (ref & GROUP_REF))
		t->groups[ref - GROUP_REF].keepalives += (uint32_t)by;
}

/* The session of a solo mapping becomes one of a group: from now on it is found by its full key. False: no room. */
static bool enter_group(struct table *t, uint32_t solo)
{
	bool is_listed = index_contains(&t->index[IX_INTERNAL], mapping_hash_internal(t, solo), solo);

	if (!peer_add(t, solo, hash_peer(t, &t->sessions[solo]), true))
		return false;
	if (is_listed ? session_enter_whole(t, solo)
		      : index_insert(&t->index[IX_IN], hash_in(t, &t->sessions[solo]), solo))
		return true;
	peer_remove(t, solo);
	return false;
}

static struct group group_of(const struct table *t, uint32_t i)
{
	const struct session *s = &t->sessions[i];

	return (struct group){.int_addr = s->int_addr,
			      .rem_addr = s->rem_addr,
			      .int_port = s->int_port,
			      .rem_port = s->rem_port,
			      .ext_port = s->ext_port,
			      .ext = s->ext,
			      .sessions = 1,
			      .proto_class = session_class(s) & 3,
			      .keepalives = mapping_is_keepalive(t, i)};
}

/* Turns a solo mapping into a group. Returns its reference, or INDEX_NONE. */
static uint32_t promote(struct table *t, uint32_t solo)
{
	uint32_t slot = slots_take(&t->group_slots);

	if (slot == SLOTS_NONE)
		return INDEX_NONE;
	if (!enter_group(t, solo)) {
		slots_give(&t->group_slots, slot);
		return INDEX_NONE;
	}
	t->groups[slot] = group_of(t, solo);
	index_replace(&t->index[IX_EXTERNAL], mapping_hash_external(t, solo), solo, slot | GROUP_REF);
	index_replace(&t->index[IX_INTERNAL], mapping_hash_internal(t, solo), solo, slot | GROUP_REF);
	return slot | GROUP_REF;
}

/* At attach: the first session of a mapping that is known to have more of them makes a group. */
static enum mapping_joined begin_group(struct table *t, uint32_t i, const struct session_hashes *h)
{
	uint32_t slot = slots_take(&t->group_slots);

	if (slot == SLOTS_NONE)
		return JOIN_FAILED;
	t->groups[slot] = group_of(t, i);
	if (session_enter_hashed(t, i, h->out, h->in)) {
		if (peer_add(t, i, h->peer, true)) {
			if (enter(t, slot | GROUP_REF, i, h))
				return JOIN_NEW;
			peer_remove(t, i);
		}
		session_leave_whole(t, i);
	}
	slots_give(&t->group_slots, slot);
	return JOIN_FAILED;
}

/* `is_new_peer`: see peer_add(). */
static enum mapping_joined join_group(struct table *t, uint32_t i, struct group *g, const struct session_hashes *h,
				      bool is_new_peer)
{
	if (!session_enter_hashed(t, i, h->out, h->in))
		return JOIN_FAILED;
	if (!peer_add(t, i, h->peer, is_new_peer)) {
		session_leave_whole(t, i);
		return JOIN_FAILED;
	}
	g->sessions++;
	g->keepalives += mapping_is_keepalive(t, i);
	return JOIN_SHARED;
}

static bool is_inside_endpoint(const struct table *t, uint32_t ref, const struct session *s)
{
	const struct group *g = &t->groups[ref & ~(uint32_t)GROUP_REF];
	const struct session *first = &t->sessions[ref];

	if (ref & GROUP_REF)
		return g->int_addr == s->int_addr && g->int_port == s->int_port;
	return first->int_addr == s->int_addr && first->int_port == s->int_port;
}

enum mapping_joined mapping_join(struct table *t, uint32_t i, const struct session_hashes *h)
{
	const struct session *s = &t->sessions[i];
	uint32_t ref = owner_hashed(t, session_class(s), s->ext, s->ext_port, h->external);
	struct session_hashes all;
	bool is_new_peer = false;

	if (ref == INDEX_NONE)
		return h->is_shared ? begin_group(t, i, h) : begin(t, i, h);
	if (!is_inside_endpoint(t, ref, s))
		return JOIN_FAILED;
	if ((ref & GROUP_REF) == 0) {
		is_new_peer = t->sessions[ref].rem_addr != s->rem_addr;
		ref = promote(t, ref);
	}
	if (ref == INDEX_NONE)
		return JOIN_FAILED;
	if (!h->is_shared) {
		session_hash_shared(t, s, &all);
		h = &all;
	}
	return join_group(t, i, &t->groups[ref - GROUP_REF], h, is_new_peer);
}

bool mapping_leave(struct table *t, uint32_t i, uint32_t now_s)
{
	const struct session *s = &t->sessions[i];
	uint32_t ref = mapping_owner(t, session_class(s), s->ext, s->ext_port);

	if (ref == INDEX_NONE)
		return false;
	if (ref & GROUP_REF) {
		peer_remove(t, i);
		session_leave_whole(t, i);
		t->groups[ref - GROUP_REF].keepalives -= mapping_is_keepalive(t, i);
		if (--t->groups[ref - GROUP_REF].sessions > 0)
			return false;
	}
	unlist(t, ref);
	index_remove(&t->index[IX_EXTERNAL], mapping_hash_external(t, ref), ref);
	if (ref & GROUP_REF)
		slots_give(&t->group_slots, ref - GROUP_REF);
	t->mappings--;
	t->counters[COUNT_MAPPING_FREED]++;
	if (event_is_wanted(&t->events, EVENT_MAPPING_FREED))
		session_record(t, i, EVENT_MAPPING_FREED, 0);
	quarantine_begin(t, &(struct quarantine){now_s, s->ext_port, s->ext, (uint8_t)session_class(s)});
	return true;
}

/* ---- for other code ---- */

static bool fill(const struct table *t, uint32_t ref, struct mapping *out)
{
	struct session s;

	if (ref == INDEX_NONE || is_over(t, ref))
		return false;
	s = as_session(t, ref);
	*out = (struct mapping){
		.int_addr = s.int_addr,
		.int_port = s.int_port,
		.ext_port = s.ext_port,
		.ext = s.ext,
		.proto_class = (uint8_t)session_class(&s),
		.rem_addr = s.rem_addr & t->key_address,
		.rem_port = (uint16_t)(s.rem_port & t->key_port),
		.sessions = ref & GROUP_REF ? t->groups[ref - GROUP_REF].sessions : 1,
		.is_held = ref & GROUP_REF ? t->groups[ref - GROUP_REF].keepalives > 0 : mapping_is_keepalive(t, ref),
	};
	return true;
}

bool table_mapping_internal(const struct table *t, enum nat_class c, uint32_t int_addr, uint16_t int_port,
			    uint32_t rem_addr, uint16_t rem_port, struct mapping *out)
{
	const struct session key = {.int_addr = int_addr,
				    .rem_addr = rem_addr,
				    .int_port = int_port,
				    .rem_port = rem_port,
				    .kind = (uint8_t)c};

	return fill(t, find_internal(t, &key), out);
}

bool table_mapping_external(const struct table *t, enum nat_class c, uint16_t ext, uint16_t ext_port,
			    struct mapping *out)
{
	return fill(t, mapping_owner(t, c, ext, ext_port), out);
}

bool table_mapping_has_peer(const struct table *t, const struct mapping *m, uint32_t rem_addr)
{
	const struct session key = {.rem_addr = rem_addr,
				    .ext_port = m->ext_port,
				    .ext = m->ext,
				    .kind = m->proto_class & SESSION_KIND_CLASS};
	uint32_t ref = mapping_owner(t, m->proto_class, m->ext, m->ext_port);

	if (ref == INDEX_NONE)
		return false;
	if (ref & GROUP_REF)
		ref = mapping_peer(t, &key);
	else if (t->sessions[ref].rem_addr != rem_addr)
		return false;
	return ref != INDEX_NONE && !is_over(t, ref);
}

uint32_t table_mapping_count(const struct table *t)
{
	return t->mappings;
}
