/* SPDX-License-Identifier: ISC */
/*
 * The steering table: which packets that reach this host belong to natd. It is built from the configuration, the policy
 * and the facts of the host, and everything uses it for that question: routing makes the kernel's rules from it,
 * offload fills the maps of its tc programs, explain takes its first steps from it, and doctor compares it with the
 * host's own ports.
 *
 * Pure: no system call, no clock, no log. Addresses and ports are in host byte order, ranges are inclusive. A table
 * owns copies of everything in it and never changes: a changed host or configuration leads to a new one.
 *
 * The owner of a port of a shared address (one that natd has in common with the host's own stack):
 *
 *   a configured forward's                     natd, always (STEERING_OWNER_FORWARD)
 *   within outside.ports                       natd, if it has a mapping or a quarantine there; else the host, if it has
 *                                              a socket there; the core decides that for each packet
 *                                              (STEERING_OWNER_DYNAMIC)
 *   every other                                the host (STEERING_OWNER_HOST)
 *
 * Every port of a pool address is natd's (STEERING_OWNER_POOL).
 */
#ifndef NATD_DAEMON_STEERING_H
#define NATD_DAEMON_STEERING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/protocol.h"
#include "core/policy/policy.h"

enum {
	STEERING_IFNAME_SIZE = 16, /* IFNAMSIZ, with the NUL */
	STEERING_PORT_WORDS = 65536 / 64,
};

/* The protocols of a shared address that rules can steer to natd. */
#define STEERING_SHARED_PROTOCOLS PROTOCOLS_STEERED

/* One bit a port: port p is bit p % 64 of word p / 64. */
struct steering_ports {
	uint64_t bits[STEERING_PORT_WORDS];
};

static inline bool steering_port_is_set(const struct steering_ports *p, uint16_t port)
{
	return p->bits[port / 64] >> port % 64 & 1;
}

struct steering_interface {
	char name[STEERING_IFNAME_SIZE];
	int index;  /* 0: it does not exist now */
	bool is_l3; /* its packets have no link header */
};

/* An inside prefix, and an interface from which its hosts may send. A prefix that no route ties to an interface has
 * a pair with each of them. */
struct steering_pair {
	uint32_t interface; /* index into steering.inside, or STEERING_ANYWHERE if no interface is configured */
	struct nat_prefix prefix;
};

enum { STEERING_ANYWHERE = UINT32_MAX };

struct steering_forward {
	uint32_t address;  /* 0: every outside address */
	uint8_t protocols; /* bit (1 << enum nat_class) */
	struct nat_range ports;
};

/* The sources of the table. Everything is borrowed for the call. */
struct steering_input {
	const char *tun;
	const char *outside;
	int outside_index;
	bool outside_is_l3;
	const struct steering_interface *inside; /* inside.interfaces, in that order */
	uint32_t n_inside;
	const struct nat_policy *policy; /* inside, exempt, addresses, shared_ports, forwards */
	/* for each of policy->inside, the interface by which the host reaches it; 0: unknown; NULL: none is known */
	const int *prefix_out;
	/* for each of policy->exempt: does the host reach it through the outside? NULL: none */
	const bool *exempt_is_outside;
	const struct steering_ports *host_tcp; /* ports on which the host has sockets; NULL: none */
	const struct steering_ports *host_udp;
	struct nat_range ephemeral; /* net.ipv4.ip_local_port_range; 0-0: unknown */
};

struct steering {
	char tun[STEERING_IFNAME_SIZE];
	struct steering_interface outside;
	struct steering_interface *inside;
	uint32_t n_inside;
	struct nat_prefix *prefixes; /* inside prefixes */
	uint32_t n_prefixes;
	struct steering_pair *pairs;
	uint32_t n_pairs;
	struct nat_prefix *exempt; /* destinations that are never translated */
	bool *exempt_is_outside;
	uint32_t n_exempt;
	struct nat_address_range *addresses; /* outside addresses: sorted, disjoint */
	uint32_t n_addresses;
	struct nat_range *dynamic; /* the ports of a shared address that natd allocates */
	uint32_t n_dynamic;
	struct steering_forward *forwards; /* those of TCP and UDP, in file order */
	uint32_t n_forwards;
	struct steering_ports host_tcp, host_udp;
	struct nat_range ephemeral;
};

/* NULL: out of memory. Free it with steering_destroy(). */
struct steering *steering_create(const struct steering_input *in);
void steering_destroy(struct steering *s); /* NULL is allowed */

/* ---- addresses ---- */

/* Is it an outside address of natd? *shared (may be NULL): in common with the host. */
bool steering_is_outside(const struct steering *s, uint32_t address, bool *shared);
/* The n-th shared address, counted from 0; 0: there are fewer. */
uint32_t steering_shared(const struct steering *s, uint32_t n);
bool steering_is_inside(const struct steering *s, uint32_t address);
bool steering_is_exempt(const struct steering *s, uint32_t address);
/* May a packet from `source` arrive on the interface with that index into steering.inside? */
bool steering_source_fits(const struct steering *s, uint32_t interface, uint32_t source);

/* ---- ports ---- */

enum steering_owner {
	STEERING_OWNER_HOST,
	STEERING_OWNER_DYNAMIC,
	STEERING_OWNER_FORWARD,
	STEERING_OWNER_POOL,
	STEERING_OWNER_NOBODY, /* not an outside address of natd */
};

/* `c`: CLASS_TCP or CLASS_UDP. */
enum steering_owner steering_owner(const struct steering *s, enum nat_class c, uint32_t address, uint16_t port);
/* All ports of a shared address that are not only the host's (STEERING_OWNER_DYNAMIC and _FORWARD). */
void steering_owned(const struct steering *s, enum nat_class c, uint32_t address, struct steering_ports *out);

/* A run of ports that are only the host's. */
struct steering_gap {
	uint8_t classes;	/* bits (1 << enum nat_class): TCP, UDP or both */
	struct nat_range ports; /* within 1-65534, the range of the kernel's rules */
};

/*
 * The gaps of a shared address that rules leave to the host directly: at most `room`. First come those from which the
 * host's own connections start or in which it listens, then the largest. A gap of both protocols counts once. The ports
 * of all other gaps reach the host through natd, which hands them back. Sorted by port. Returns their number, or
 * -ENOMEM.
 */
int steering_gaps(const struct steering *s, uint32_t address, struct steering_gap *out, uint32_t room);

/*
 * The kernel chooses the ports of the host's own connections from `ephemeral`, and knows nothing of natd's. Where
 * natd's ranges (sorted, disjoint; room for one more) leave the host less than 1024 of them, or a quarter if that is
 * less, natd gives up so many, from the last range on. Returns the new number of ranges.
 */
uint32_t steering_spare(struct nat_range *ports, uint32_t n, const struct nat_range *ephemeral);
/* Those that the kernel must not choose, so that each of natd's shared addresses has one owner a port: the ports within
 * `ephemeral` from which natd chooses, and those of forwards, as long as enough are left to the host. */
void steering_reserved(const struct steering *s, struct steering_ports *out);
/* The runs of ports that are set, the first `room` of them in *out. Their number, which may be larger. */
uint32_t steering_ports_runs(const struct steering_ports *p, struct nat_range *out, uint32_t room);

/* ---- one packet ---- */

/* Do rules steer that protocol of a shared address to natd? */
bool steering_is_steered(uint8_t ip_proto);

enum steering_from {
	STEERING_FROM_OUTSIDE,
	STEERING_FROM_INSIDE,
	STEERING_FROM_TUN,
	STEERING_FROM_HOST,
	STEERING_FROM_OTHER
};

struct steering_packet {
	enum steering_from from;
	uint32_t interface; /* STEERING_FROM_INSIDE: index into steering.inside */
	uint32_t source, destination;
	uint8_t ip_proto;
	uint16_t port;	  /* destination port of TCP and UDP */
	bool is_fragment; /* a later fragment: has no ports */
};

enum steering_verdict {
	STEERING_TO_NATD,
	STEERING_TO_HOST,   /* the host's own stack, without natd */
	STEERING_TO_ROUTES, /* forwarded, or sent, by the host's own routes; untranslated */
	STEERING_REFUSED,   /* dropped */
};

enum steering_reason {
	STEERING_BY_DYNAMIC_PORT,
	STEERING_BY_FORWARD,
	STEERING_BY_POOL,
	STEERING_BY_FRAGMENT,	   /* its port is unknown */
	STEERING_BY_PROTOCOL,	   /* without ports, to a shared address: the core knows its sessions */
	STEERING_BY_INSIDE,	   /* from an inside host to the outside */
	STEERING_BY_HOST_PORT,	   /* a port that belongs to the host */
	STEERING_BY_HOST_ICMP,	   /* natd reads a copy of ICMP to a shared address */
	STEERING_BY_HOST_PROTOCOL, /* of a shared address, and no rule steers it */
	STEERING_BY_EXEMPT,
	STEERING_BY_INSIDE_TO_INSIDE,
	STEERING_BY_SPOOFED,  /* inside source, from the outside */
	STEERING_BY_DIRECT,   /* from the outside straight to an inside host */
	STEERING_BY_SOURCE,   /* from an inside interface whose prefixes do not contain the source */
	STEERING_BY_NOT_OURS, /* nothing in it is natd's */
};

/* The decision about a packet before natd's core sees it. `own`: is the destination an address of the host itself? */
enum steering_verdict steering_judge(const struct steering *s, const struct steering_packet *p, bool own,
				     enum steering_reason *reason);
/* One line for a reader: "it is a forward's port". */
const char *steering_reason_text(enum steering_reason reason);

#endif
