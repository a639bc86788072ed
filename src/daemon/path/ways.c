/* SPDX-License-Identifier: ISC */
/*
 * Where the kernel would send a packet in transit.
 *
 * Theory of operation. A table of WAYS entries, one place for each hash; a collision replaces the entry. An entry is
 * valid for WAYS_KEEP_MS, or until `generation` changes. Changes of routes are not followed as events, since a host
 * with a full routing table changes it all the time. A way that cannot be looked up now is WAY_UNKNOWN: the packet then
 * goes to the kernel bound to the outside interface, which is safe, and later packets are looked up.
 *
 * Super-packets bypass the kernel's own routing where tc programs steer. The program finds that a way has changed
 * before this cache does, and records its refusals (ways_was_refused()). It runs within the write to the device, so the
 * answer is there when the write returns. The exception is a device with RPS, whose packets are refused later: then the
 * next packet makes the cache forget its ways.
 *
 * Whether a link has neighbours is known for the outside interface, the inside ones, and any other that was looked up
 * once, until the kernel reports a change. That look-up waits for the kernel's lock of interfaces, which other programs
 * may hold for seconds, and packets wait with it. Route look-ups do not need it.
 *
 * The look-up names the source if it is the host's own (the kernel refuses others there), so rules by source apply.
 *
 * Neighbours. Packets that wait for ARP stay charged to the socket that sent them. So a next hop whose link address is
 * not known gets WAYS_UNRESOLVED packets a second, enough to resolve it; after that the kernel's neighbour table
 * decides. The fragments of one datagram stay together, whatever their number, since a part of them is worthless: the
 * first fragment takes the rest of the second's allowance, and the others of its datagram follow.
 */
#include "ways.h"

#include <assert.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/steer.h"
#include "core/packet/packet.h"
#include "daemon/kernel/netlink.h"

enum {
	WAYS = 2048,
	WAYS_SHIFT = 32 - 11,
	LINKS = 8,
	RESOLVED_MS = 2000, /* a resolved neighbour is not looked up again for that long */
	MISSING_MS = 10,
	DATAGRAMS = 16, /* datagrams whose fragments may follow, at a time */
	SECOND_MS = 1000,
	NEIGHBOUR_VALID = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY,
};

_Static_assert(WAYS == 1u << (32 - WAYS_SHIFT), "the hash fits the table");
_Static_assert(sizeof(struct way) == 32, "two in a cache line");

struct link_kind {
	int index; /* 0: free */
	bool has_neighbours;
};

struct ways {
	const struct transit *transit;
	struct netlink *netlink;
	uint32_t now_ms;
	uint32_t generation;
	uint32_t links_generation;
	unsigned lookups; /* left in this burst */
	struct link_kind links[LINKS];
	unsigned next_link;
	uint32_t refusals; /* by the tc programs, counted so far */
	struct way unknown;
	uint64_t datagram[DATAGRAMS]; /* keys, see datagram_key(); 0: none */
	struct way way[WAYS];
};

int ways_create(struct ways **out, const struct transit *transit)
{
	struct ways *w = calloc(1, sizeof(*w));
	int r;

	*out = NULL;
	if (!w)
		return -ENOMEM;
	w->transit = transit;
	r = netlink_open(&w->netlink, NETLINK_ROUTES);
	if (r < 0) {
		free(w);
		return r;
	}
	*out = w;
	return 0;
}

void ways_destroy(struct ways *w)
{
	if (!w)
		return;
	netlink_close(w->netlink);
	free(w);
}

void ways_begin(struct ways *w, uint64_t now_ms)
{
	uint32_t links = atomic_load_explicit(&w->transit->links, memory_order_acquire);

	w->now_ms = (uint32_t)now_ms;
	w->lookups = WAYS_LOOKUPS;
	/* 0 marks an entry that was never filled. */
	w->generation = atomic_load_explicit(&w->transit->generation, memory_order_acquire) + 1;
	if (links != w->links_generation)
		memset(w->links, 0, sizeof(w->links));
	w->links_generation = links;
}

static struct way *place_of(const struct ways *w, uint32_t address)
{
	union {
		const struct way *read;
		struct way *write;
	} u = {.read = &w->way[(address * 2654435761u) >> WAYS_SHIFT]};

	return u.write;
}

static bool may_ask(struct ways *w)
{
	if (w->lookups == 0)
		return false;
	w->lookups--;
	return true;
}

/* ---- routes ---- */

static bool has_neighbours(struct ways *w, int index)
{
	struct netlink_link link;
	struct link_kind *k;

	for (unsigned i = 0; i < TRANSIT_LINKS; i++) {
		unsigned known = atomic_load_explicit(&w->transit->known[i], memory_order_relaxed);

		if (known >> 1 == (unsigned)index)
			return known & 1;
	}
	for (unsigned i = 0; i < LINKS; i++) {
		if (w->links[i].index == index)
			return w->links[i].has_neighbours;
	}
	k = &w->links[w->next_link++ % LINKS];
	*k = (struct link_kind){0};
	if (netlink_link_get_index(w->netlink, index, &link) < 0)
		return false;
	*k = (struct link_kind){
		.index = index,
		.has_neighbours = !(link.flags & (IFF_NOARP | IFF_LOOPBACK | IFF_POINTOPOINT)),
	};
	return k->has_neighbours;
}

static enum way_state state_of_error(int err)
{
	switch (err) {
	case ENETUNREACH:
		return WAY_NO_NET;
	case EHOSTUNREACH:
		return WAY_NO_HOST;
	case EACCES:
		return WAY_PROHIBITED;
	case EINVAL:
		return WAY_BLACKHOLE;
	default:
		return WAY_UNKNOWN; /* the look-up's result, not the route's */
	}
}

/* What decides about a way. */
struct course {
	enum nat_to to;
	uint32_t source; /* outbound; else 0 */
	uint32_t destination;
};

static enum way_state judge(const struct ways *w, enum nat_to to, int out)
{
	int outside = atomic_load_explicit(&w->transit->outside, memory_order_relaxed);

	if (to == NAT_TO_OUTSIDE)
		return out == outside ? WAY_OPEN : WAY_ELSEWHERE;
	if (out == outside && !atomic_load_explicit(&w->transit->is_one_armed, memory_order_relaxed))
		return WAY_ELSEWHERE;
	return WAY_OPEN;
}

static void look_up(struct ways *w, const struct course *c, struct way *way)
{
	struct netlink_way found;
	bool no_outside =
		c->to == NAT_TO_OUTSIDE && atomic_load_explicit(&w->transit->outside, memory_order_relaxed) == 0;
	int r = no_outside ? -ENETUNREACH : netlink_way_in_transit(w->netlink, c->source, c->destination, &found);
	const struct way before = *way;

	*way = (struct way){.address = c->destination, .looked_ms = w->now_ms, .generation = w->generation};
	if (r < 0) {
		way->state = (uint8_t)state_of_error(-r);
		return;
	}
	way->out = found.out;
	way->mtu = found.mtu > UINT16_MAX ? 0 : (uint16_t)found.mtu;
	way->is_mtu_locked = found.is_mtu_locked;
	way->state = (uint8_t)judge(w, c->to, found.out);
	if (way->state == WAY_OPEN && has_neighbours(w, found.out))
		way->next_hop = found.via ? found.via : c->destination;
	if (before.address == c->destination && before.out == way->out && before.next_hop == way->next_hop) {
		way->asked_ms = before.asked_ms;
		way->second_ms = before.second_ms;
		way->sent = before.sent;
		way->neighbour = before.neighbour;
	}
}

static bool is_fresh(const struct ways *w, const struct way *way, uint32_t address)
{
	return way->address == address && way->generation == w->generation && w->now_ms - way->looked_ms < WAYS_KEEP_MS;
}

static struct way *find_way(struct ways *w, const struct course *c)
{
	struct way *way = place_of(w, c->destination);

	assert(c->to == NAT_TO_OUTSIDE || c->to == NAT_TO_INSIDE);
	if (is_fresh(w, way, c->destination))
		return way;
	if (may_ask(w)) {
		look_up(w, c, way);
		return way;
	}
	w->unknown = (struct way){.address = c->destination};
	return &w->unknown;
}

struct way *ways_find(struct ways *w, const struct nat_packet *p)
{
	const struct course c = {.to = (enum nat_to)p->to,
				 .source = p->to == NAT_TO_OUTSIDE ? load32(p->data + 12) : 0,
				 .destination = load32(p->data + 16)};

	return find_way(w, &c);
}

bool ways_hidden_mtu(struct ways *w, enum nat_to to, uint32_t source, uint32_t destination, uint16_t *mtu)
{
	const struct course c = {.to = to, .source = source, .destination = destination};
	const struct way *way = find_way(w, &c);

	*mtu = way->is_mtu_locked ? 0 : way->mtu;
	return way->state != WAY_UNKNOWN;
}

uint16_t ways_mtu(const struct ways *w, uint32_t address)
{
	const struct way *way = place_of(w, address);

	return is_fresh(w, way, address) && way->state == WAY_OPEN ? way->mtu : 0;
}

static void forget(struct ways *w, uint32_t address)
{
	struct way *way = place_of(w, address);

	if (way->address == address)
		way->generation = 0;
}

bool ways_was_refused(struct ways *w, const struct nat_packet *p)
{
	struct steer_refusals *r = atomic_load_explicit(&w->transit->refusals, memory_order_acquire);
	uint32_t source = load32(p->data + 12), destination = load32(p->data + 16);
	const uint8_t *begin = p->data + (p->data[0] & 15) * 4u;
	uint32_t filled = r ? __atomic_load_n(&r->filled, __ATOMIC_ACQUIRE) : w->refusals;
	bool found = false;

	if (filled == w->refusals)
		return false;
	w->refusals = filled;
	for (unsigned i = 0; i < STEER_REFUSED; i++) {
		struct steer_refused *e = &r->entry[i];
		uint32_t to = __atomic_load_n(&e->destination, __ATOMIC_RELAXED);

		if (to != 0)
			forget(w, to);
		if (to != destination || e->source != source || memcmp(e->begin, begin, sizeof(e->begin)) != 0)
			continue;
		__atomic_store_n(&e->destination, 0, __ATOMIC_RELAXED);
		found = true;
	}
	return found;
}

/* ---- neighbours ---- */

/* The last answer, looked up again if it is old: a missing neighbour may appear at any moment. If this burst has no
 * look-ups left, the last answer counts. */
static enum way_neighbour neighbour_of(struct ways *w, struct way *way)
{
	uint32_t keep_ms = way->neighbour == NEIGHBOUR_RESOLVED ? RESOLVED_MS : MISSING_MS;
	int state;

	if (way->neighbour != NEIGHBOUR_NEVER_ASKED && w->now_ms - way->asked_ms < keep_ms)
		return (enum way_neighbour)way->neighbour;
	if (may_ask(w)) {
		state = netlink_neighbour(w->netlink, way->out, way->next_hop);
		way->neighbour = state > 0 && (state & NEIGHBOUR_VALID) ? NEIGHBOUR_RESOLVED : NEIGHBOUR_MISSING;
		way->asked_ms = w->now_ms;
	}
	return (enum way_neighbour)way->neighbour;
}

/* A hash that the fragments of one datagram share; 0: not a fragment. */
static uint64_t datagram_key(const struct nat_packet *p)
{
	const uint8_t *ip = p->data;
	uint64_t addresses = (uint64_t)load32(ip + 12) << 32 | load32(ip + 16);

	if ((load16(ip + 6) & 0x3fff) == 0) /* neither MF nor an offset */
		return 0;
	return (addresses ^ ((uint64_t)ip[9] << 16 | load16(ip + 4)) * 0x9e3779b97f4a7c15u) | 1;
}

/* A packet to an unknown next hop. True: it is sent, which resolves the next hop. */
static bool spend_question(struct ways *w, struct way *way, const struct nat_packet *p, bool is_large)
{
	uint64_t key = datagram_key(p);
	uint64_t *place = &w->datagram[(key >> 32 ^ key >> 8) % DATAGRAMS];

	if (key != 0 && *place == key)
		return true;
	if (way->sent >= WAYS_UNRESOLVED || (is_large && way->sent > 0))
		return false;
	if (key != 0)
		*place = key;
	way->sent = is_large || key != 0 ? WAYS_UNRESOLVED : (uint8_t)(way->sent + 1) & 31;
	return true;
}

enum way_admission ways_admit(struct ways *w, struct way *way, const struct nat_packet *p)
{
	if (way->state == WAY_UNKNOWN)
		return ADMIT_TO_RESOLVE;
	if (way->next_hop == 0 || (way->neighbour == NEIGHBOUR_RESOLVED && w->now_ms - way->asked_ms < RESOLVED_MS))
		return ADMIT;
	if (w->now_ms - way->second_ms >= SECOND_MS) {
		way->second_ms = w->now_ms;
		way->sent = 0;
	}
	if (spend_question(w, way, p, p->gso_size != 0))
		return ADMIT_TO_RESOLVE;
	switch (neighbour_of(w, way)) {
	case NEIGHBOUR_RESOLVED:
		return ADMIT;
	case NEIGHBOUR_NEVER_ASKED:
		return ADMIT_TO_RESOLVE;
	case NEIGHBOUR_MISSING:
		break;
	}
	return ADMIT_NOT;
}
