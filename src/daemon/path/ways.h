/* SPDX-License-Identifier: ISC */
/*
 * Where the kernel would send a packet in transit, known before it is sent: the interface, the largest size, or why
 * not. A cache over rtnetlink, one for each lane, so no lock; a look-up is one request to the kernel, and a burst makes
 * only a few (WAYS_LOOKUPS). Addresses in host byte order, times in milliseconds.
 */
#ifndef NATD_DAEMON_WAYS_H
#define NATD_DAEMON_WAYS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/nat/nat.h"

enum {
	WAYS_LOOKUPS = 16, /* requests to the kernel in one burst, at most */
	/* after that it is looked up again; a change of links, addresses or rules takes effect at once */
	WAYS_KEEP_MS = 1000,
	WAYS_UNRESOLVED =
		4, /* packets a second to a next hop whose link address is not known; datagrams count as one */
};

enum way_state {
	WAY_UNKNOWN, /* not looked up yet: more destinations at a time than WAYS_LOOKUPS */
	WAY_OPEN,
	WAY_NO_NET,	/* no route, or no outside interface */
	WAY_NO_HOST,	/* an `unreachable` route */
	WAY_PROHIBITED, /* a `prohibit` route */
	WAY_BLACKHOLE,
	WAY_ELSEWHERE, /* through another interface than the packet's direction allows */
};

enum way_neighbour { NEIGHBOUR_NEVER_ASKED, NEIGHBOUR_RESOLVED, NEIGHBOUR_MISSING };

struct way {
	uint32_t address;
	uint32_t next_hop; /* 0: there is no neighbour to resolve (a tunnel) */
	uint32_t looked_ms;
	uint32_t asked_ms;  /* time of the last look-up in the neighbour table */
	uint32_t second_ms; /* start of the second in which `sent` counts */
	uint32_t generation;
	int32_t out;
	uint16_t mtu;	       /* of the route; 0: the interface's */
	uint8_t state;	       /* enum way_state */
	uint8_t sent : 5;      /* while the next hop is not known */
	uint8_t neighbour : 2; /* enum way_neighbour, of the last answer */
	uint8_t is_mtu_locked : 1;
};

struct steer_refusals;

enum { TRANSIT_LINKS = 16, TRANSIT_OWN = 16 };

/* A link in one word. */
static inline unsigned transit_link(int index, bool has_neighbours)
{
	return (unsigned)index << 1 | has_neighbours;
}

/* What all lanes share about the host. Written by the loop's thread, read by all. */
struct transit {
	atomic_uint generation;		  /* counts changes of links, addresses and rules, and checks of the host */
	atomic_uint links;		  /* counts only the kernel's messages of changes */
	atomic_uint known[TRANSIT_LINKS]; /* links that are checked anyway: transit_link() */
	atomic_int outside;		  /* interface index; 0: missing */
	atomic_uint icmp_source;	  /* the gateway's own inside address; 0: none */
	atomic_uint own[TRANSIT_OWN];	  /* the gateway's own inside addresses; 0: no more */
	atomic_bool is_one_armed;	  /* the outside interface is an inside one as well */
	atomic_bool
		cuts_inside; /* the host's firewall may refuse super-packets to inside hosts: segments take the socket */
	_Atomic(struct steer_refusals *) refusals; /* of the tc programs (bpf/steer.h); NULL: they do not steer */
};

struct ways;

/* 0 or a negative errno. `transit` is borrowed. */
int ways_create(struct ways **out, const struct transit *transit);
void ways_destroy(struct ways *w); /* NULL: nothing */

/* A burst begins: it may query the kernel again. */
void ways_begin(struct ways *w, uint64_t now_ms);

/* The way of a translated packet. Valid until the next call. */
struct way *ways_find(struct ways *w, const struct nat_packet *p);
/* The MTU of a route in the cache; 0: unknown, or the interface's. */
uint16_t ways_mtu(const struct ways *w, uint32_t address);

/* Into *mtu: the MTU of the route that the kernel's look-up for programs does not know, since it is not locked; 0:
 * there is none. `source`: outbound only. False: not known now. */
bool ways_hidden_mtu(struct ways *w, enum nat_to to, uint32_t source, uint32_t destination, uint16_t *mtu);

/* Has the tc program refused this super-packet, which has just been written to the TUN device? Then the cached way
 * is outdated, and the next packet looks it up again; so do the ways of other packets refused meanwhile. */
bool ways_was_refused(struct ways *w, const struct nat_packet *p);

/* May a packet go to the kernel? Packets to an unresolved next hop must not fill the socket's buffer. */
enum way_admission {
	ADMIT_NOT,
	ADMIT_TO_RESOLVE, /* its next hop is unknown: it is sent to resolve it */
	ADMIT,
};
/* Queries the kernel's neighbour table if needed and permitted. Of super-packets, and of fragmented datagrams, one a
 * second may wait. */
enum way_admission ways_admit(struct ways *w, struct way *way, const struct nat_packet *p);

#endif
