/* SPDX-License-Identifier: ISC */
/*
 * The core's policy: plain values, which the daemon makes from natd.conf(5) and rules_create() copies. Addresses and
 * ports in host byte order, times in seconds, ranges inclusive.
 */
#ifndef NATD_CORE_POLICY_H
#define NATD_CORE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/packet/packet.h"

enum nat_mapping_mode { /* RFC 4787 4.1 */
			MAPPING_ENDPOINT_INDEPENDENT,
			MAPPING_ADDRESS_DEPENDENT,
			MAPPING_ADDRESS_AND_PORT_DEPENDENT,
};

enum nat_filtering { /* RFC 4787 5 */
		     FILTERING_ENDPOINT_INDEPENDENT,
		     FILTERING_ADDRESS_DEPENDENT,
		     FILTERING_ADDRESS_AND_PORT_DEPENDENT,
};

enum nat_unsolicited { UNSOLICITED_DROP, UNSOLICITED_REJECT, UNSOLICITED_HOST };
enum nat_port_selection { PORTS_RANDOM, PORTS_PRESERVE };
enum nat_allocation { ALLOCATION_PORT, ALLOCATION_BLOCK, ALLOCATION_DETERMINISTIC };
enum nat_pooling { POOLING_PAIRED, POOLING_ARBITRARY };
enum nat_other_protocols { OTHER_TRANSLATE, OTHER_DROP };
enum nat_exhausted_icmp { EXHAUSTED_HOST_UNREACHABLE, EXHAUSTED_ADMIN_PROHIBITED, EXHAUSTED_NONE };

enum { MSS_CLAMP_OFF = 0, MSS_CLAMP_AUTO = -1 };
enum { RESERVE_AUTO = -1, RESERVE_MAX = 50 };

struct nat_prefix {
	uint32_t address; /* host bits are zero */
	uint8_t length;	  /* 0..32 */
	uint16_t mtu;	  /* of inside prefixes: MTU of the interface towards it; 0: unknown */
};

struct nat_range {
	uint16_t first;
	uint16_t last;
};

enum { NAT_FORWARD_NAME_MAX = 31 };

struct nat_address_range {
	uint32_t first;
	uint32_t last;
	bool shared;	 /* the host's own address: its ports and ICMP are shared with the host's stack */
	uint32_t inside; /* static 1:1 pair: the inside address of the first, the others follow in step; 0: none */
	/* used only by forwards, for inside hosts too (SIDE_INSIDE, SIDE_BOTH): natd allocates no mappings on it */
	bool is_virtual;
	char pair[NAT_FORWARD_NAME_MAX + 1]; /* name of the static pair; "": it has none */
};

/* The users of a forward. */
enum nat_side {
	SIDE_OUTSIDE, /* the outside, and inside hosts if hairpinning is on */
	SIDE_INSIDE,  /* only inside hosts, through a virtual address */
	SIDE_BOTH,
};

/* How a forward chooses a backend. */
enum nat_balance {
	BALANCE_HASH,	/* by the source address: every natd with the same backends chooses the same */
	BALANCE_LEAST,	/* fewest sessions for its weight */
	BALANCE_RANDOM, /* by weight */
};

struct nat_backend {
	uint32_t address;
	uint16_t port;	 /* inside port of ports.first; the others follow in step */
	uint16_t weight; /* 1 and up */
};

enum { NAT_BACKENDS_MAX = 256, NAT_WEIGHT_MAX = 1000 };

struct nat_forward {
	char name[NAT_FORWARD_NAME_MAX + 1];
	uint8_t protocols; /* bits (1 << enum nat_class): TCP and UDP, or one of the others alone */
	/* a default host: takes what nothing else matches; all protocols, all ports, to_port 0 */
	bool is_default;
	uint32_t address;	       /* outside address; 0: every outside address of natd */
	struct nat_range ports;	       /* outside. CLASS_OTHER: the protocol number, twice. CLASS_ICMP: all ids */
	uint32_t to;		       /* inside host; 0: balanced */
	uint16_t to_port;	       /* inside port of ports.first; the others follow in step */
	const struct nat_prefix *from; /* allowed remote addresses; n_from 0: all */
	uint32_t n_from;
	const struct nat_backend *backends; /* of a balanced forward, which has no `to`; at most NAT_BACKENDS_MAX */
	uint32_t n_backends;		    /* 0: it leads only to `to` */
	uint32_t affinity; /* seconds for which a source keeps its backend after its last opening; 0: it does not */
	uint8_t balance;   /* enum nat_balance */
	uint8_t side;	   /* enum nat_side */
	bool is_dynamic;   /* created at run time, for listings */
};

/* Is it a forward of TCP or UDP ports? */
static inline bool nat_forward_has_ports(const struct nat_forward *f)
{
	return !f->is_default && (f->protocols & (1u << CLASS_TCP | 1u << CLASS_UDP)) != 0;
}

/* The targets of a forward: one, or its backends. */
static inline uint32_t nat_forward_targets(const struct nat_forward *f)
{
	return f->n_backends > 0 ? f->n_backends : 1;
}

static inline struct nat_backend nat_forward_target(const struct nat_forward *f, uint32_t i)
{
	return f->n_backends > 0 ? f->backends[i] : (struct nat_backend){f->to, f->to_port, 1};
}

struct nat_timeouts {
	uint32_t udp, icmp, other;
	uint32_t tcp_opening, tcp_established, tcp_closing;
	uint32_t unsolicited_syn, fragment, port_reuse;
};

struct nat_limits {
	uint32_t sessions;
	uint32_t sessions_per_host; /* 0: no limit, likewise below */
	uint32_t ports_per_host;
	uint32_t new_sessions_per_host; /* a second */
	/* RESERVE_AUTO, or the percentage of sessions and ports reserved for hosts that hold less than what is left */
	int reserve;
	uint32_t fragments;
	uint32_t events; /* stored for history and slow readers; fixed at the start: a reload does not change it */
};

struct nat_blocks {
	uint32_t size;	   /* ports a block, ALLOCATION_BLOCK */
	uint32_t per_host; /* ALLOCATION_BLOCK: most blocks of one inside host */
	uint32_t overflow; /* ALLOCATION_DETERMINISTIC: most blocks of one host beyond its fixed one */
};

/* Limits of each inside host; 0: none, except for blocks. */
struct nat_host_limits {
	uint32_t sessions;
	uint32_t ports;
	uint32_t new_sessions; /* a second */
	uint32_t blocks;       /* most blocks, of all or of the overflow */
};

#define HOST_LIMIT_AS_ALL UINT32_MAX /* in a class: the same as for hosts in no class */

/* Inside hosts with limits of their own. */
struct nat_host_class {
	char name[NAT_FORWARD_NAME_MAX + 1];
	const struct nat_prefix *prefixes;
	uint32_t n_prefixes;
	struct nat_host_limits limits;
};
struct filter_config;

struct nat_policy {
	enum nat_mapping_mode mapping;
	enum nat_filtering filtering;
	enum nat_unsolicited unsolicited;
	enum nat_port_selection port_selection;
	enum nat_pooling pooling;
	enum nat_allocation allocation;
	struct nat_blocks blocks;
	enum nat_other_protocols other_protocols;
	enum nat_exhausted_icmp exhausted_icmp;
	bool hairpinning;
	bool port_parity;
	bool link_local;      /* translate packets to 169.254.0.0/16 (RFC 3927 2.7 forbids it) */
	int mss_clamp;	      /* MSS_CLAMP_OFF, MSS_CLAMP_AUTO, or bytes */
	uint16_t outside_mtu; /* of the way outside; 0: unknown */
	uint16_t tun_mtu;     /* of the device by which everything comes in; 0: that of the way outside */

	const struct nat_prefix *inside;
	uint32_t n_inside;
	const struct nat_prefix *exempt;
	uint32_t n_exempt;
	const struct nat_prefix *broadcast; /* /32s: directed broadcast addresses of the inside and outside networks */
	uint32_t n_broadcast;
	const struct nat_address_range *addresses; /* sorted, disjoint; may be empty */
	uint32_t n_addresses;
	const struct nat_range *shared_ports; /* ports of a shared address that natd may use (query ids too) */
	uint32_t n_shared_ports;
	/* one bit for each protocol without ports whose answers to a shared address do not reach natd: it is not
	 * translated there */
	uint64_t shared_refused[4];
	const struct nat_range *pool_ports; /* the same for the other addresses */
	uint32_t n_pool_ports;
	const struct nat_forward *forwards; /* in file order: the first that matches wins */
	uint32_t n_forwards;
	const struct nat_host_class *classes; /* in file order: a host belongs to the first class that contains it */
	uint32_t n_classes;
	const struct filter_config *filter; /* filter.h; NULL: no rules */
	/* source of natd's own ICMP errors to inside hosts (an inside address of the host); 0: an outside address */
	uint32_t icmp_source;

	struct nat_timeouts timeouts;
	struct nat_limits limits;
};

#endif
