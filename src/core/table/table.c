/* SPDX-License-Identifier: ISC */
/*
 * The connection table: the layout of its memory, its settings, its usage.
 *
 * Theory of operation
 *
 * Records (saved) and scratch (rebuilt) are reserved whole and touched from the low end of each array, since every
 * number is given out lowest first (slots.h). The cost of one session when each has a mapping of its own, in bytes:
 *
 *   64    the session
 *    8    rarely read: creation time, generation, check
 *   11.6  two index entries of 64/11 bytes: its mapping from either side (session_find.c)
 *    0.4  one bit to number it; one and a quarter for the port, and as much again while ports are in quarantine
 *
 * A mapping with one session has no record: both its index entries lead to the session itself. The second session makes
 * a `struct group` (mapping.c), and each of its sessions has two more entries. There are no timers: a session's
 * deadline is seen_s plus the timeout of its state; look-ups check it, and table_sweep() walks the records in turn to
 * reclaim expired ones.
 *
 * Everything is found by index (hash, bounded), slot number, or bit; nothing grows by copying. So only table_attach(),
 * table_set_mapping() and table_check() do work in proportion to the number of entries.
 */
#include "table_private.h"

#include <string.h>

enum {
	SETTLE_STEPS = 64,
	TRIM_BYTES = 1 << 20,	   /* 256 pages: a quarter of a millisecond in the kernel */
	SAME_LENGTH_FROM = 131072, /* sessions */
};

struct layout {
	uint64_t addresses, sessions, cold, quarantined, origins, origin_ids, records_end;
	uint64_t buckets[IX_COUNT], session_slots, group_slots, peer_slots, host_slots, address_slots, quarantine_slots;
	uint64_t origin_uses, groups, peers, hosts, links, uses, ports, blocks, scratch_end;
};

static uint64_t carve(uint64_t *at, uint64_t count, size_t size, uint64_t align)
{
	uint64_t start = (*at + align - 1) & ~(align - 1);

	*at = start + count * size;
	return start;
}

uint32_t table_rests_of_layout_2(uint32_t max_sessions)
{
	return max_sessions < 64 ? 64 : max_sessions;
}

static uint32_t origins_for(uint32_t max_sessions)
{
	return max_sessions / 256 < 64 ? 64 : max_sessions / 256;
}

static uint64_t pages(uint64_t bytes)
{
	return (bytes + TABLE_PAGE - 1) & ~(uint64_t)(TABLE_PAGE - 1);
}

/* In a large table origins and their ids lie where layout 2 had the second half of the quarantine records. So the
 * records are not longer than before, and a memfd of that version can be taken over in place. */
static uint32_t quarantined_for(uint32_t max_sessions)
{
	uint32_t before = table_rests_of_layout_2(max_sessions);
	uint64_t others = pages((uint64_t)origins_for(max_sessions) * sizeof(struct origin_record)) +
			  pages((uint64_t)max_sessions * sizeof(uint32_t));

	if (max_sessions < SAME_LENGTH_FROM)
		return before;
	return (uint32_t)((pages((uint64_t)before * sizeof(uint64_t)) - others) / sizeof(uint64_t));
}

static uint32_t hosts_for(uint32_t max_sessions)
{
	return max_sessions + 1024 < TABLE_MAX_SESSIONS ? max_sessions + 1024 : TABLE_MAX_SESSIONS;
}

/* All possible blocks; with very many addresses, 256 for each. */
static uint32_t blocks_for(uint32_t max_addresses)
{
	enum { MOST = TABLE_MAX_ADDRESSES * 256 };

	return max_addresses > MOST / CUT_BLOCKS_MAX ? MOST : max_addresses * CUT_BLOCKS_MAX;
}

static uint32_t index_capacity(int ix, uint32_t max_sessions, uint32_t max_addresses)
{
	if (ix == IX_ADDRESS)
		return max_addresses;
	if (ix == IX_ORIGIN)
		return origins_for(max_sessions);
	return ix == IX_HOST ? hosts_for(max_sessions) : max_sessions;
}

static void plan_records(struct layout *l, uint32_t max_sessions, uint32_t max_addresses)
{
	uint64_t at = sizeof(struct table_header);

	l->addresses = carve(&at, max_addresses, sizeof(struct address_slot), TABLE_PAGE);
	l->sessions = carve(&at, max_sessions, sizeof(struct session), TABLE_PAGE);
	l->cold = carve(&at, max_sessions, sizeof(struct session_cold), TABLE_PAGE);
	l->quarantined = carve(&at, quarantined_for(max_sessions), sizeof(uint64_t), TABLE_PAGE);
	l->origins = carve(&at, origins_for(max_sessions), sizeof(struct origin_record), TABLE_PAGE);
	l->origin_ids = carve(&at, max_sessions, sizeof(uint32_t), TABLE_PAGE);
	l->records_end = carve(&at, 0, 1, TABLE_PAGE);
}

static void plan_scratch(struct layout *l, uint32_t max_sessions, uint32_t max_addresses)
{
	uint64_t at = sizeof(struct table);

	for (int ix = 0; ix < IX_COUNT; ix++)
		l->buckets[ix] = carve(&at, index_buckets(index_capacity(ix, max_sessions, max_addresses)),
				       sizeof(struct index_bucket), 64);
	l->session_slots = carve(&at, slots_need(max_sessions), 1, 64);
	l->group_slots = carve(&at, slots_need(max_sessions), 1, 64);
	l->peer_slots = carve(&at, slots_need(max_sessions), 1, 64);
	l->host_slots = carve(&at, slots_need(hosts_for(max_sessions)), 1, 64);
	l->address_slots = carve(&at, slots_need(max_addresses), 1, 64);
	l->quarantine_slots = carve(&at, slots_need(quarantined_for(max_sessions)), 1, 64);
	l->origin_uses = carve(&at, origins_for(max_sessions), sizeof(struct origin_use), 64);
	l->groups = carve(&at, max_sessions, sizeof(struct group), 64);
	l->peers = carve(&at, max_sessions, sizeof(struct peer), 64);
	l->hosts = carve(&at, hosts_for(max_sessions), sizeof(struct host), 64);
	l->links = carve(&at, quarantined_for(max_sessions), sizeof(struct quarantine_link), 64);
	l->uses = carve(&at, max_addresses, sizeof(struct address_use), 64);
	l->ports = carve(&at, (uint64_t)max_addresses * TABLE_CLASSES, sizeof(struct port_map), 64);
	l->blocks = carve(&at, blocks_for(max_addresses), sizeof(struct block), 64);
	l->scratch_end = carve(&at, 0, 1, TABLE_PAGE);
}

void table_memory_need(uint32_t max_sessions, uint32_t max_addresses, struct table_memory *need)
{
	struct layout l;

	plan_records(&l, max_sessions, max_addresses);
	plan_scratch(&l, max_sessions, max_addresses);
	need->records_len = l.records_end > SIZE_MAX ? SIZE_MAX : (size_t)l.records_end;
	need->events_len = events_need(need->max_events);
	need->scratch_len = l.scratch_end > SIZE_MAX ? SIZE_MAX : (size_t)l.scratch_end;
}

/* ---- from an index reference to its key ---- */

static uint64_t out_hash(const void *ctx, uint32_t ref)
{
	const struct table *t = ctx;

	return hash_out(t, &t->sessions[ref]);
}

static uint64_t in_hash(const void *ctx, uint32_t ref)
{
	const struct table *t = ctx;

	return hash_in(t, &t->sessions[ref]);
}

static uint64_t internal_hash(const void *ctx, uint32_t ref)
{
	return mapping_hash_internal(ctx, ref);
}

static uint64_t external_hash(const void *ctx, uint32_t ref)
{
	return mapping_hash_external(ctx, ref);
}

static uint64_t peer_hash(const void *ctx, uint32_t ref)
{
	return mapping_hash_peer(ctx, ref);
}

static uint64_t host_ref_hash(const void *ctx, uint32_t ref)
{
	const struct table *t = ctx;

	return host_hash(t, t->hosts[ref].address);
}

static uint64_t address_ref_hash(const void *ctx, uint32_t ref)
{
	const struct table *t = ctx;

	return address_hash(t, t->addresses[ref].address);
}

static uint64_t origin_ref_hash(const void *ctx, uint32_t ref)
{
	return origin_hash(ctx, ref);
}

static const void *locate_origin(const void *ctx, uint32_t ref)
{
	return &((const struct table *)ctx)->origins[ref];
}

static const void *locate_session(const void *ctx, uint32_t ref)
{
	return &((const struct table *)ctx)->sessions[ref];
}

static const void *locate_mapping(const void *ctx, uint32_t ref)
{
	const struct table *t = ctx;

	return ref & GROUP_REF ? (const void *)&t->groups[ref - GROUP_REF] : &t->sessions[ref];
}

static const void *locate_peer(const void *ctx, uint32_t ref)
{
	const struct table *t = ctx;

	return ref & GROUP_REF ? (const void *)&t->peers[ref - GROUP_REF] : &t->sessions[ref];
}

static const void *locate_host(const void *ctx, uint32_t ref)
{
	return &((const struct table *)ctx)->hosts[ref];
}

static const void *locate_address(const void *ctx, uint32_t ref)
{
	return &((const struct table *)ctx)->addresses[ref];
}

static void init_indexes(struct table *t, uint8_t *scratch, const struct layout *l)
{
	static const struct {
		uint64_t (*hash)(const void *ctx, uint32_t ref);
		const void *(*locate)(const void *ctx, uint32_t ref);
		unsigned ref_bits;
	} kind[IX_COUNT] = {
		[IX_OUT] = {out_hash, locate_session, 24},
		[IX_IN] = {in_hash, locate_session, 24},
		[IX_INTERNAL] = {internal_hash, locate_mapping, 25},
		[IX_EXTERNAL] = {external_hash, locate_mapping, 25},
		[IX_PEER] = {peer_hash, locate_peer, 25},
		[IX_HOST] = {host_ref_hash, locate_host, 24},
		[IX_ADDRESS] = {address_ref_hash, locate_address, 24},
		[IX_ORIGIN] = {origin_ref_hash, locate_origin, 24},
	};

	for (int ix = 0; ix < IX_COUNT; ix++) {
		struct index_source source = {.hash = kind[ix].hash, .locate = kind[ix].locate, .ctx = t};

		index_init(&t->index[ix], (struct index_bucket *)(void *)(scratch + l->buckets[ix]),
			   index_buckets(index_capacity(ix, t->max_sessions, t->max_addresses)), kind[ix].ref_bits,
			   &source);
	}
}

static void init_slots(struct table *t, uint8_t *scratch, const struct layout *l)
{
	slots_init(&t->session_slots, scratch + l->session_slots, t->max_sessions);
	slots_init(&t->group_slots, scratch + l->group_slots, t->max_sessions);
	slots_init(&t->peer_slots, scratch + l->peer_slots, t->max_sessions);
	slots_init(&t->host_slots, scratch + l->host_slots, t->max_hosts);
	slots_init(&t->address_slots, scratch + l->address_slots, t->max_addresses);
	slots_init(&t->quarantine_slots, scratch + l->quarantine_slots, t->max_quarantined);
}

bool table_lay_out(struct table *t, const struct table_memory *m)
{
	uint8_t *records = m->records, *scratch = m->scratch;
	struct layout l;

	t->max_quarantined = quarantined_for(t->max_sessions);
	t->max_hosts = hosts_for(t->max_sessions);
	t->max_origins = origins_for(t->max_sessions);
	t->max_blocks = blocks_for(t->max_addresses);
	plan_records(&l, t->max_sessions, t->max_addresses);
	plan_scratch(&l, t->max_sessions, t->max_addresses);
	if (m->records_len < l.records_end || m->scratch_len < l.scratch_end ||
	    (m->events != NULL && m->events_len < events_need(m->max_events)))
		return false;
	t->header = m->records;
	t->addresses = (struct address_slot *)(void *)(records + l.addresses);
	t->sessions = (struct session *)(void *)(records + l.sessions);
	t->cold = (struct session_cold *)(void *)(records + l.cold);
	t->quarantined = (uint64_t *)(void *)(records + l.quarantined);
	t->origins = (struct origin_record *)(void *)(records + l.origins);
	t->origin_ids = (uint32_t *)(void *)(records + l.origin_ids);
	t->origin_uses = (struct origin_use *)(void *)(scratch + l.origin_uses);
	t->groups = (struct group *)(void *)(scratch + l.groups);
	t->peers = (struct peer *)(void *)(scratch + l.peers);
	t->hosts = (struct host *)(void *)(scratch + l.hosts);
	t->links = (struct quarantine_link *)(void *)(scratch + l.links);
	t->uses = (struct address_use *)(void *)(scratch + l.uses);
	t->ports = (struct port_map *)(void *)(scratch + l.ports);
	t->blocks = (struct block *)(void *)(scratch + l.blocks);
	t->quarantine_first = t->quarantine_last = RESTS_END;
	t->unneeded_first = t->unneeded_last = ORIGINS_END;
	t->counters = t->own_counters;
	events_init(&t->events, m->events, m->max_events, 1);
	init_slots(t, scratch, &l);
	init_indexes(t, scratch, &l);
	return true;
}

/* ---- settings ---- */

static uint32_t tcp_timeout(const struct nat_timeouts *o, enum session_state st)
{
	/* RFC 5382 REQ-5, RFC 7857 2.1: opening until both sides have answered; closing once both have sent
	 * FIN, so that a half-closed connection lives as long as an open one. */
	if (st >= SESSION_SYN_OUT && st <= SESSION_SYNACK_IN)
		return o->tcp_opening;
	if (st >= SESSION_ESTABLISHED && st <= SESSION_FIN_IN_ACKED)
		return o->tcp_established;
	return o->tcp_closing;
}

void table_set_timeouts(struct table *t, const struct nat_timeouts *timeouts, uint32_t port_reuse_s)
{
	for (unsigned kind = 0; kind < 64; kind++) {
		uint32_t *timeout = &t->timeout[kind];

		switch ((enum nat_class)(kind & SESSION_KIND_CLASS)) {
		case CLASS_TCP:
			*timeout = tcp_timeout(timeouts, (enum session_state)(kind >> SESSION_KIND_STATE_SHIFT));
			break;
		case CLASS_UDP:
			*timeout = timeouts->udp;
			break;
		case CLASS_ICMP:
			*timeout = timeouts->icmp;
			break;
		case CLASS_OTHER:
		case CLASS_COUNT:
			*timeout = timeouts->other;
			break;
		}
	}
	t->port_reuse_s = port_reuse_s;
}

void table_tell_time(struct table *t, uint32_t now_s)
{
	t->now_s = now_s;
}

void table_set_mode(struct table *t, enum nat_mapping_mode mapping)
{
	t->key_address = mapping == MAPPING_ENDPOINT_INDEPENDENT ? 0 : UINT32_MAX;
	t->key_port = mapping == MAPPING_ADDRESS_AND_PORT_DEPENDENT ? UINT32_MAX : 0;
}

/* ---- events and counts ---- */

struct events *table_events(struct table *t)
{
	return &t->events;
}

void table_count_into(struct table *t, uint64_t *counters)
{
	t->counters = counters;
}

uint64_t table_ended(const struct table *t, enum session_end why)
{
	return (unsigned)why < SESSION_END_COUNT ? t->ended[why] : 0;
}

/* ---- health ---- */

static uint64_t port_maps_touched(const struct table *t)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < t->address_slots.top; i++)
		n += (uint64_t)__builtin_popcount(t->uses[i].touched);
	return n;
}

uint64_t table_long_probes(const struct table *t)
{
	return t->long_probes;
}

void table_usage(const struct table *t, struct table_usage *u)
{
	uint64_t stashed = 0;

	memset(u, 0, sizeof(*u));
	u->records_bytes = TABLE_PAGE + (uint64_t)t->address_slots.peak * sizeof(struct address_slot) +
			   (uint64_t)t->session_slots.peak * (sizeof(struct session) + sizeof(struct session_cold)) +
			   (uint64_t)t->quarantine_slots.peak * sizeof(uint64_t) +
			   (uint64_t)t->origin_top * sizeof(struct origin_record) +
			   (t->origin_top > 0 ? (uint64_t)t->session_slots.peak * sizeof(uint32_t) : 0);
	u->scratch_bytes = sizeof(*t) + port_maps_touched(t) * sizeof(struct port_map) +
			   (uint64_t)t->group_slots.peak * sizeof(struct group) +
			   (uint64_t)t->peer_slots.peak * sizeof(struct peer) +
			   (uint64_t)t->host_slots.peak * sizeof(struct host) +
			   (uint64_t)t->quarantine_slots.peak * sizeof(struct quarantine_link) +
			   (uint64_t)t->address_slots.peak * sizeof(struct address_use) +
			   (uint64_t)t->blocks_top * sizeof(struct block) +
			   ((uint64_t)t->session_slots.peak + t->group_slots.peak + t->peer_slots.peak +
			    t->host_slots.peak + t->quarantine_slots.peak) /
				   8;
	for (int ix = 0; ix < IX_COUNT; ix++) {
		u->scratch_bytes += (uint64_t)t->index[ix].peak * sizeof(struct index_bucket);
		stashed += t->index[ix].stashed;
	}
	u->sessions = t->session_slots.count;
	u->mappings = t->mappings;
	u->hosts = t->host_slots.count;
	u->resting = t->quarantine_slots.count - t->block_records;
	u->longest_probe = stashed > 0 ? 3 : 2;
	u->long_probes = t->long_probes;
	u->origins = t->index[IX_ORIGIN].count;
	u->origins_refused = t->origins_refused;
}

void table_settle(struct table *t)
{
	struct slots *slots[] = {&t->session_slots, &t->quarantine_slots, &t->group_slots,
				 &t->peer_slots,    &t->host_slots,	  &t->address_slots};

	for (unsigned i = 0; i < sizeof(slots) / sizeof(slots[0]); i++)
		slots_settle(slots[i]);
	record_top_set(&t->header->session_top, t->session_slots.top);
	record_top_set(&t->header->quarantine_top, t->quarantine_slots.top);
	record_top_set(&t->header->address_top, t->address_slots.top);
}

struct trimmer {
	void (*give_back)(void *ctx, void *start, size_t len);
	void *ctx;
	size_t left; /* most bytes to release */
	bool more;
};

static uintptr_t page_down(uintptr_t at)
{
	return at & ~(uintptr_t)(TABLE_PAGE - 1);
}

static uintptr_t page_up(uintptr_t at)
{
	return page_down(at + TABLE_PAGE - 1);
}

/* Releases the pages between entry `from` and entry `to` of an array of `max`, including the page that contains
 * `to`: the entries after it are unused, or were released before. */
static void trim(const struct trimmer *w, void *array, size_t size, uint32_t from, uint32_t to, uint32_t max)
{
	uintptr_t base = (uintptr_t)array, last = page_down(base + max * size);
	uintptr_t start = page_up(base + from * size), end = page_up(base + to * size);

	if (end > last) /* another array's page, too */
		end = last;
	if (from < to && start < end)
		w->give_back(w->ctx, (uint8_t *)array + (start - base), end - start);
}

/* The lowest entry down to which an array, whose entries from `top` on are unused, may be released now. */
static uint32_t trim_from(struct trimmer *w, size_t size, uint32_t top, uint32_t peak)
{
	size_t entries = w->left / size;
	uint32_t from = peak - top > entries ? peak - (uint32_t)entries : top;

	w->more |= from > top;
	w->left -= (peak - from) * size;
	return from;
}

static void trim_ports(struct trimmer *w, struct table *t)
{
	for (uint32_t i = 0; i < t->address_slots.peak; i++) {
		for (unsigned c = 0; c < TABLE_CLASSES && t->uses[i].touched != 0; c++) {
			if ((t->uses[i].touched >> c & 1) == 0 || t->uses[i].used[c] > 0)
				continue;
			w->more |= w->left < sizeof(struct port_map);
			if (w->left < sizeof(struct port_map))
				return;
			w->left -= sizeof(struct port_map);
			trim(w, port_map(t, c, (uint16_t)i), sizeof(struct port_map), 0, 1, 1);
			t->uses[i].touched &= (uint8_t) ~(1u << c);
		}
	}
}

bool table_trim(struct table *t, void (*give_back)(void *ctx, void *start, size_t len), void *ctx)
{
	struct trimmer w = {give_back, ctx, TRIM_BYTES, false};
	struct {
		struct slots *slots;
		void *array[3];
		size_t size[3];
	} part[] = {
		{&t->session_slots,
		 {t->sessions, t->cold, t->origin_ids},
		 {sizeof(struct session), sizeof(struct session_cold), t->origin_top > 0 ? sizeof(uint32_t) : 0}},
		{&t->quarantine_slots, {t->quarantined, t->links}, {sizeof(uint64_t), sizeof(struct quarantine_link)}},
		{&t->group_slots, {t->groups}, {sizeof(struct group)}},
		{&t->peer_slots, {t->peers}, {sizeof(struct peer)}},
		{&t->host_slots, {t->hosts}, {sizeof(struct host)}},
	};

	for (int i = 0; i < SETTLE_STEPS; i++)
		table_settle(t);
	for (unsigned i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		struct slots *s = part[i].slots;
		uint32_t from = trim_from(&w, part[i].size[0] + part[i].size[1] + part[i].size[2], s->top, s->peak);

		for (int k = 0; k < 3 && part[i].size[k] > 0; k++)
			trim(&w, part[i].array[k], part[i].size[k], from, s->peak, s->size);
		s->peak = from;
	}
	for (int i = 0; i < IX_COUNT; i++) {
		struct index *ix = &t->index[i];
		uint32_t from = trim_from(&w, sizeof(struct index_bucket), ix->n, ix->peak);

		trim(&w, ix->buckets, sizeof(struct index_bucket), from, ix->peak, ix->max);
		ix->peak = from;
	}
	trim_ports(&w, t);
	return w.more;
}

uint32_t table_capacity(const struct table *t)
{
	return t->max_sessions;
}
