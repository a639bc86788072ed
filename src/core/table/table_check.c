/* SPDX-License-Identifier: ISC */
/*
 * The table's self-check: everything that is rebuilt agrees with the records.
 *
 * Counts per mapping, host, peer and address are verified without extra memory: each counted object has a random
 * weight; the sum of weight times count over the objects must equal the sum of the weights of the objects to which the
 * sessions lead. A wrong count is missed with a probability of about 2^-64.
 */
#include "table_private.h"

#include <string.h>

struct sums {
	uint64_t groups, keepalives, peers, sessions, incoming, unanswered, unanswered_in, ports, address, origins;
	uint32_t solos, unanswered_count, incoming_count, unmapped;
	uint32_t in_kind[SESSION_KINDS];
	uint32_t whole[2]; /* sessions inserted by their full key, by enum nat_dir */
};

static uint64_t weight(uint32_t kind, uint32_t i)
{
	return hash_mix((uint64_t)kind << 32 | i);
}

enum { W_GROUP, W_KEEPALIVE, W_PEER, W_HOST, W_ADDRESS, W_ORIGIN };

/* ---- references in the indexes ---- */

static bool is_session(const void *ctx, uint32_t ref)
{
	const struct table *t = ctx;

	return slots_used(&t->session_slots, ref) && session_state(&t->sessions[ref]) != SESSION_FREE;
}

static bool is_mapping(const void *ctx, uint32_t ref)
{
	const struct table *t = ctx;

	if (ref & GROUP_REF)
		return slots_used(&t->group_slots, ref - GROUP_REF);
	return is_session(t, ref) && session_is_pooled(&t->sessions[ref]);
}

static bool is_peer(const void *ctx, uint32_t ref)
{
	const struct table *t = ctx;

	return ref & GROUP_REF ? slots_used(&t->peer_slots, ref - GROUP_REF) : is_mapping(t, ref);
}

static bool is_host(const void *ctx, uint32_t ref)
{
	return slots_used(&((const struct table *)ctx)->host_slots, ref);
}

static bool is_address(const void *ctx, uint32_t ref)
{
	const struct table *t = ctx;

	return slots_used(&t->address_slots, ref) &&
	       t->addresses[ref].state == record_address_state(t->addresses[ref].address);
}

static bool is_origin(const void *ctx, uint32_t ref)
{
	return origin_is_whole(ctx, ref);
}

static const char *check_parts(const struct table *t)
{
	static bool (*const is_valid[IX_COUNT])(const void *ctx, uint32_t ref) = {
		is_session, is_session, is_mapping, is_mapping, is_peer, is_host, is_address, is_origin};
	const struct slots *slots[] = {&t->session_slots, &t->group_slots,   &t->peer_slots,
				       &t->host_slots,	  &t->address_slots, &t->quarantine_slots};
	const char *wrong = NULL;

	for (unsigned i = 0; i < sizeof(slots) / sizeof(slots[0]) && wrong == NULL; i++)
		wrong = slots_check(slots[i]);
	for (int ix = 0; ix < IX_COUNT && wrong == NULL; ix++)
		wrong = index_check(&t->index[ix], is_valid[ix]);
	return wrong;
}

/* ---- sessions ---- */

/* Inserted by its full key exactly if no endpoint leads to it. */
static const char *check_whole(const struct table *t, uint32_t i, bool out, bool in, struct sums *sums)
{
	const struct session *s = &t->sessions[i];

	sums->whole[DIR_OUT] += out;
	sums->whole[DIR_IN] += in;
	if (index_contains(&t->index[IX_OUT], hash_out(t, s), i) != out)
		return "outbound entry by full key missing, or superfluous";
	if (index_contains(&t->index[IX_IN], hash_in(t, s), i) != in)
		return "inbound entry by full key missing, or superfluous";
	return NULL;
}

static const char *check_mapping_of(const struct table *t, uint32_t i, struct sums *sums)
{
	const struct session *s = &t->sessions[i];
	uint32_t ref = mapping_owner(t, session_class(s), s->ext, s->ext_port), peer;
	const struct group *g;

	if (ref == INDEX_NONE)
		return "session without its mapping";
	if ((ref & GROUP_REF) == 0) {
		sums->solos++;
		if (ref != i)
			return "a mapping of one session has another";
		return check_whole(t, i, mapping_listed(t, i) != i, false, sums);
	}
	g = &t->groups[ref - GROUP_REF];
	if (g->int_addr != s->int_addr || g->int_port != s->int_port)
		return "session of another mapping's inside endpoint";
	sums->groups += weight(W_GROUP, ref - GROUP_REF);
	sums->keepalives += mapping_is_keepalive(t, i) ? weight(W_KEEPALIVE, ref - GROUP_REF) : 0;
	peer = mapping_peer(t, s);
	if (peer == INDEX_NONE)
		return "session of a group without its peer";
	if ((peer & GROUP_REF) == 0 && peer != i)
		return "a peer of one session has another";
	if (peer & GROUP_REF)
		sums->peers += weight(W_PEER, peer - GROUP_REF);
	return check_whole(t, i, true, true, sums);
}

static const char *check_session(const struct table *t, uint32_t i, struct sums *sums)
{
	const struct session *s = &t->sessions[i];
	const struct host *h = host_find(t, s->int_addr);
	bool is_unanswered = (t->cold[i].generation & COLD_ANSWERED) == 0;
	bool is_incoming = (s->kind & SESSION_KIND_FROM_OUTSIDE) != 0;
	struct session_hashes hashes;

	if (session_state(s) == SESSION_FREE || session_state(s) >= SESSION_STATE_COUNT)
		return "used slot without a session";
	sums->in_kind[s->kind & (SESSION_KINDS - 1)]++;
	session_hash(t, s, &hashes);
	if (session_same(t, s, DIR_OUT, &hashes) != s || session_same(t, s, DIR_IN, &hashes) != s)
		return "session not found by its own key, or two of one key";
	if (t->cold[i].check != record_check(s))
		return "session with a wrong check";
	if (!address_is_used(t, s->ext))
		return "session on an address that is none";
	if (h == NULL)
		return "session without its host";
	sums->sessions += weight(W_HOST, (uint32_t)(h - t->hosts));
	sums->address += weight(W_ADDRESS, s->ext);
	if (is_unanswered) {
		sums->unanswered += weight(W_HOST, (uint32_t)(h - t->hosts));
		sums->unanswered_count++;
	}
	if (is_incoming) {
		sums->incoming += weight(W_HOST, (uint32_t)(h - t->hosts));
		sums->unanswered_in += is_unanswered ? weight(W_HOST, (uint32_t)(h - t->hosts)) : 0;
		sums->incoming_count++;
	}
	if (origin_id(t, i) != 0) {
		const struct session_origin *o = table_origin_get(t, origin_id(t, i));

		if (o == NULL)
			return "session of an origin that is none";
		sums->origins +=
			weight(W_ORIGIN, (uint32_t)((const struct origin_record *)(const void *)o - t->origins));
	}
	if (session_is_pooled(s))
		return check_mapping_of(t, i, sums);
	sums->unmapped++;
	return check_whole(t, i, true, true, sums);
}

static uint64_t all_ended(const struct table *t)
{
	uint64_t n = 0;

	for (int why = 0; why < SESSION_END_COUNT; why++)
		n += t->ended[why];
	return n;
}

static const char *check_sessions(const struct table *t, struct sums *sums)
{
	uint32_t top = t->session_slots.top;
	const char *wrong = NULL;

	for (uint32_t i = slots_next(&t->session_slots, 0, top); i < top && wrong == NULL;
	     i = slots_next(&t->session_slots, i + 1, top))
		wrong = check_session(t, i, sums);
	if (wrong != NULL)
		return wrong;
	if ((uint32_t)t->header->session_top < top)
		return "sessions above the saved top";
	if (t->index[IX_OUT].count != sums->whole[DIR_OUT] || t->index[IX_IN].count != sums->whole[DIR_IN])
		return "superfluous entries by full key";
	if (t->unmapped != sums->unmapped)
		return "count of sessions without a mapping";
	if (t->restored + t->opened - all_ended(t) != t->session_slots.count)
		return "sessions that began or ended uncounted";
	if (memcmp(t->in_kind, sums->in_kind, sizeof(t->in_kind)) != 0)
		return "count of sessions by class and state";
	return sums->unanswered_count == t->unanswered ? NULL : "count of unanswered sessions";
}

/* ---- mappings ---- */

/* One mapping: its port, its owner, its entry under the internal key. */
static const char *check_mapping(const struct table *t, uint32_t ref, struct sums *sums, uint32_t *unlisted)
{
	const struct session *s = &t->sessions[ref];
	const struct group *g = &t->groups[ref & ~(uint32_t)GROUP_REF];
	bool is_group = (ref & GROUP_REF) != 0;
	unsigned proto_class = is_group ? g->proto_class : session_class(s);
	uint16_t ext = is_group ? g->ext : s->ext, port = is_group ? g->ext_port : s->ext_port;
	const struct port_map *m = port_map(t, proto_class, ext);
	const struct host *h = host_find(t, is_group ? g->int_addr : s->int_addr);
	uint32_t listed = mapping_listed(t, ref);

	if (mapping_owner(t, proto_class, ext, port) != ref)
		return "two mappings on one port";
	if (!port_is_used(m, port) || port_is_resting(m, port))
		return "mapped port not marked as such";
	if (listed != ref)
		++*unlisted;
	else if (!index_contains(&t->index[IX_INTERNAL], mapping_hash_internal(t, ref), ref))
		return "mapping under another's inside key";
	if (h == NULL)
		return "mapping without its host";
	sums->ports += weight(W_HOST, (uint32_t)(h - t->hosts));
	return NULL;
}

static const char *check_mappings(const struct table *t, struct sums *sums)
{
	const struct index *ix = &t->index[IX_EXTERNAL];
	uint32_t unlisted = 0, top = t->group_slots.top;
	const char *wrong = NULL;

	for (uint32_t n = 0; n < ix->n + INDEX_STASH && wrong == NULL; n++) {
		const struct index_bucket *b = n < ix->n ? &ix->buckets[n] : &ix->stash[n - ix->n];

		for (unsigned k = 0; k < INDEX_SLOTS && wrong == NULL; k++) {
			if (b->slot[k] != 0)
				wrong = check_mapping(t, b->slot[k] & ix->ref_mask, sums, &unlisted);
		}
	}
	if (wrong != NULL)
		return wrong;
	if (ix->count != t->mappings || sums->solos + t->group_slots.count != t->mappings)
		return "count of mappings";
	if (unlisted != t->unlisted || t->index[IX_INTERNAL].count != t->mappings - unlisted)
		return "count of unlisted mappings";
	for (uint32_t i = slots_next(&t->group_slots, 0, top); i < top; i = slots_next(&t->group_slots, i + 1, top)) {
		sums->groups -= weight(W_GROUP, i) * t->groups[i].sessions;
		sums->keepalives -= weight(W_KEEPALIVE, i) * t->groups[i].keepalives;
	}
	top = t->peer_slots.top;
	for (uint32_t i = slots_next(&t->peer_slots, 0, top); i < top; i = slots_next(&t->peer_slots, i + 1, top))
		sums->peers -= weight(W_PEER, i) * t->peers[i].sessions;
	if (sums->groups != 0 || sums->keepalives != 0)
		return "sessions of a mapping miscounted";
	return sums->peers == 0 ? NULL : "sessions of a peer miscounted";
}

/* ---- hosts, addresses, ports ---- */

static const char *check_hosts(const struct table *t, struct sums *sums)
{
	uint32_t top = t->host_slots.top;

	if (t->index[IX_HOST].count != t->host_slots.count)
		return "count of hosts";
	if (t->recent_host != NULL && !slots_used(&t->host_slots, (uint32_t)(t->recent_host - t->hosts)))
		return "the host looked up last does not exist";
	for (uint32_t i = slots_next(&t->host_slots, 0, top); i < top; i = slots_next(&t->host_slots, i + 1, top)) {
		const struct host *h = &t->hosts[i];

		if (host_find_hashed(t, h->address, host_hash(t, h->address)) != h)
			return "host not found, or twice";
		sums->sessions -= weight(W_HOST, i) * h->sessions;
		sums->unanswered -= weight(W_HOST, i) * h->unanswered;
		sums->incoming -= weight(W_HOST, i) * h->incoming;
		sums->unanswered_in -= weight(W_HOST, i) * h->unanswered_in;
		sums->ports -= weight(W_HOST, i) * h->ports;
	}
	if (sums->sessions != 0 || sums->unanswered != 0 || sums->incoming != 0 || sums->unanswered_in != 0)
		return "sessions of a host miscounted";
	return sums->ports == 0 ? NULL : "ports of a host miscounted";
}

/* The bits of one port map against its counts. */
static const char *check_port_map(const struct port_map *m, uint32_t *used, uint32_t *resting)
{
	uint32_t before = *resting;

	for (uint32_t block = 0; block < PORT_BLOCKS; block++) {
		uint32_t n[2] = {0, 0};

		for (uint32_t w = block * (PORT_BLOCK / 64); w < (block + 1) * (PORT_BLOCK / 64); w++) {
			if (m->used[w] == 0 && m->resting[w] == 0) /* usual */
				continue;
			n[0] += (uint32_t)__builtin_popcountll(m->used[w] & 0x5555555555555555ull);
			n[1] += (uint32_t)__builtin_popcountll(m->used[w] & 0xaaaaaaaaaaaaaaaaull);
			*resting += (uint32_t)__builtin_popcountll(m->resting[w]);
			if (m->resting[w] & ~m->used[w])
				return "resting port that is not used";
		}
		if (n[0] != m->taken[block][0] || n[1] != m->taken[block][1])
			return "ports of a block miscounted";
		*used += n[0] + n[1];
	}
	return *resting - before == m->n_resting ? NULL : "resting ports of an address miscounted";
}

static const char *check_ports(const struct table *t, struct sums *sums)
{
	uint32_t used = 0, resting = 0, top = t->address_slots.top;

	for (uint32_t i = slots_next(&t->address_slots, 0, top); i < top;
	     i = slots_next(&t->address_slots, i + 1, top)) {
		sums->address -= weight(W_ADDRESS, i) * t->uses[i].sessions;
		if (table_address_slot(t, t->addresses[i].address) != (int32_t)i)
			return "address not found, or twice";
		for (unsigned c = 0; c < TABLE_CLASSES; c++) {
			uint32_t before = used;
			const char *wrong = NULL;

			if (t->uses[i].touched >> c & 1)
				wrong = check_port_map(port_map(t, c, (uint16_t)i), &used, &resting);
			if (wrong != NULL)
				return wrong;
			if (used - before != t->uses[i].used[c])
				return "ports of an address miscounted";
		}
	}
	if (sums->address != 0)
		return "sessions of an address miscounted";
	if (resting != t->quarantine_slots.count - t->block_records)
		return "count of resting ports";
	return used == t->mappings + resting + t->pending ? NULL : "used ports that nothing uses";
}

static const char *check_rest_list(const struct table *t, const struct quarantine_list *l, uint32_t *n)
{
	uint32_t last = 0;

	for (uint32_t at = l->oldest; at != 0 && *n <= t->quarantine_slots.count; at = t->links[at - 1].later) {
		struct quarantine r = quarantine_get(t, at - 1);
		const struct block *b = block_of(t, r.ext, r.port);

		if (l != (b != NULL ? &b->quarantined : &port_map(t, r.proto_class, r.ext)->quarantined))
			return "rest in another's list";
		last = at;
		++*n;
	}
	return last == l->newest ? NULL : "end of a list of resting ports";
}

/* The quarantines of each address and class, or block, through their own lists. */
static const char *check_rest_lists(const struct table *t)
{
	uint32_t n = 0, top = t->address_slots.top;
	const char *wrong = NULL;

	for (uint32_t i = 0; i < top * TABLE_CLASSES && wrong == NULL; i++) {
		if (t->uses[i / TABLE_CLASSES].touched >> i % TABLE_CLASSES & 1)
			wrong = check_rest_list(t, &t->ports[i].quarantined, &n);
	}
	for (uint32_t i = 0; i < t->blocks_top && wrong == NULL; i++) {
		if (t->uses[t->blocks[i].ext].n_blocks > 0)
			wrong = check_rest_list(t, &t->blocks[i].quarantined, &n);
	}
	if (wrong != NULL)
		return wrong;
	return n == t->quarantine_slots.count - t->block_records ? NULL
								 : "resting ports out of the lists of their addresses";
}

struct block_sums {
	uint32_t free, linked, unowned;
};

/* The used ports of each block, its owner, and that its host leads to it. */
static const char *check_block(const struct table *t, const struct block *b, struct block_sums *sums)
{
	struct nat_range ports = block_ports(t, b);
	uint32_t used = 0;

	for (uint32_t port = ports.first; port <= ports.last; port++) {
		for (unsigned c = 0; c < TABLE_CLASSES; c++)
			used += (t->uses[b->ext].touched >> c & 1) &&
				port_is_used(port_map(t, c, b->ext), (uint16_t)port);
	}
	if (used != b->used)
		return "used ports of a block miscounted";
	if (block_is_fixed(t, b))
		return b->host == 0 ? NULL : "fixed block that was given";
	sums->free += b->used == 0 && b->host == 0;
	sums->linked += b->host != 0;
	sums->unowned += block_is_unowned(t, b);
	if (b->host != 0 && b->used == 0)
		return "block that should have come back";
	if (b->record != 0 && (b->host == 0 || !block_record_is(t->quarantined[b->record - 1])))
		return "record of a block";
	return NULL;
}

static const char *check_host_blocks(const struct table *t, uint32_t *linked)
{
	uint32_t top = t->host_slots.top;

	for (uint32_t i = slots_next(&t->host_slots, 0, top); i < top; i = slots_next(&t->host_slots, i + 1, top)) {
		const struct host *h = &t->hosts[i];
		uint32_t n = 0, before = 0;

		for (uint32_t at = h->first_block; at != 0; at = t->blocks[at - 1].next, n++) {
			if (at <= before || at > t->blocks_top || t->blocks[at - 1].host != h->address)
				return "list of a host's blocks";
			before = at;
		}
		if (n != h->blocks)
			return "blocks of a host miscounted";
		*linked -= n;
	}
	return NULL;
}

static const char *check_blocks(const struct table *t)
{
	uint32_t top = t->address_slots.top, records = 0;
	struct block_sums sums = {0, 0, 0};
	const char *wrong = NULL;

	for (uint32_t i = slots_next(&t->address_slots, 0, top); i < top;
	     i = slots_next(&t->address_slots, i + 1, top)) {
		const struct address_use *u = &t->uses[i];

		sums.free = 0;
		for (uint32_t k = 0; k < u->n_blocks && wrong == NULL; k++)
			wrong = check_block(t, &t->blocks[u->first_block + k], &sums);
		if (wrong != NULL)
			return wrong;
		if (sums.free != u->free_blocks)
			return "free blocks of an address miscounted";
	}
	if (sums.unowned != t->unowned_blocks)
		return "blocks without an owner miscounted";
	for (uint32_t i = slots_next(&t->quarantine_slots, 0, t->quarantine_slots.top); i < t->quarantine_slots.top;
	     i = slots_next(&t->quarantine_slots, i + 1, t->quarantine_slots.top))
		records += block_record_is(t->quarantined[i]);
	if (records != t->block_records)
		return "records of blocks miscounted";
	wrong = check_host_blocks(t, &sums.linked);
	if (wrong == NULL && sums.linked != 0)
		wrong = "block that its host does not lead to";
	return wrong;
}

static const char *check_rests(const struct table *t)
{
	uint32_t n = 0, prev = RESTS_END;

	for (uint32_t i = t->quarantine_first; i != RESTS_END; prev = i, i = t->links[i].next, n++) {
		struct quarantine r = quarantine_get(t, i);

		if (n >= t->quarantine_slots.count - t->block_records || !slots_used(&t->quarantine_slots, i) ||
		    t->links[i].prev != prev)
			return "list of resting ports";
		if (r.proto_class >= TABLE_CLASSES || !address_is_used(t, r.ext) ||
		    !port_is_resting(port_map(t, r.proto_class, r.ext), r.port))
			return "rest of a port that does not";
	}
	if ((uint32_t)t->header->quarantine_top < t->quarantine_slots.top)
		return "quarantined ports above the saved top";
	if (n != t->quarantine_slots.count - t->block_records || prev != t->quarantine_last)
		return "resting ports out of their list";
	return check_rest_lists(t);
}

static const char *check_origins(const struct table *t, struct sums *sums)
{
	uint32_t listed = 0, unneeded = 0, last = ORIGINS_END;

	for (uint32_t i = 0; i < t->origin_top; i++) {
		sums->origins -= weight(W_ORIGIN, i) * t->origin_uses[i].sessions;
		unneeded += t->origin_uses[i].sessions + t->origin_uses[i].held == 0;
	}
	for (uint32_t i = t->unneeded_first; i != ORIGINS_END && listed <= unneeded; i = t->origin_uses[i].next) {
		if (t->origin_uses[i].sessions + t->origin_uses[i].held > 0 || t->origin_uses[i].prev != last)
			return "list of unneeded origins";
		last = i;
		listed++;
	}
	if (listed != unneeded || last != t->unneeded_last)
		return "unneeded origins out of their list";
	if ((uint32_t)t->header->origin_top < t->origin_top)
		return "origins above the saved top";
	return sums->origins == 0 ? NULL : "sessions of an origin miscounted";
}

const char *table_check(const struct table *t)
{
	struct sums sums = {0};
	const char *wrong = check_parts(t);

	if (wrong == NULL)
		wrong = check_sessions(t, &sums);
	if (wrong == NULL)
		wrong = check_mappings(t, &sums);
	if (wrong == NULL)
		wrong = check_hosts(t, &sums);
	if (wrong == NULL)
		wrong = check_ports(t, &sums);
	if (wrong == NULL)
		wrong = check_blocks(t);
	if (wrong == NULL)
		wrong = check_origins(t, &sums);
	return wrong == NULL ? check_rests(t) : wrong;
}
