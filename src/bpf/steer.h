/* SPDX-License-Identifier: ISC */
/*
 * The maps that natd shares with its tc programs (steer.bpf.c): natd writes them through memory that it maps, and reads
 * the counters there. Both sides include this file, so it has fixed-width types and no pointers.
 *
 * All values are in host byte order. A change of the whole view is written into the copy that is not in use, then
 * `current` names it: a program reads `current` once a packet and never sees half a change.
 */
#ifndef NATD_BPF_STEER_H
#define NATD_BPF_STEER_H

#include <linux/types.h>

enum {
	STEER_RANGES_MAX = 64,	 /* runs of outside addresses */
	STEER_ROWS_MAX = 64,	 /* shared addresses: each has a row of ports */
	STEER_INSIDE_MAX = 64,	 /* inside prefixes */
	STEER_DEVICES_MAX = 32,	 /* the outside interface and the inside ones */
	STEER_CPUS_MAX = 64,	 /* sets of counters; processors above share them */
	STEER_POOL = 0xffffffff, /* in place of a row: every port and protocol is natd's */
	STEER_PORT_WORDS = 65536 / 64,
};

enum steer_class { STEER_TCP, STEER_UDP, STEER_ICMP, STEER_CLASSES };

enum steer_flag {
	STEER_OTHER_PROTOCOLS = 1, /* protocols without ports are natd's, which hands back what is the host's */
	STEER_OUTLIVES = 2,	   /* the programs stay attached when natd's device has gone: then all is the host's */
};

struct steer_range {
	__u32 first, last; /* first row of a shared run belongs to `first`, the next to the address after it */
	__u32 row;	   /* or STEER_POOL */
};

struct steer_prefix {
	__u32 address, mask;
};

struct steer_device {
	__u32 index;
	__u32 is_l3; /* packets begin with their IP header */
};

struct steer_view {
	__u32 tun; /* index of natd's device; 0: there is none, and nothing is steered */
	__u32 flags;
	__u32 outside;	       /* index of the outside interface, by which flows leave; 0: none is carried */
	__u16 mtu_out, mtu_in; /* the largest packet of a flow; 0: its way alone decides */
	__u32 n_ranges, n_inside, n_devices;
	struct steer_range range[STEER_RANGES_MAX];
	struct steer_prefix inside[STEER_INSIDE_MAX];
	struct steer_device device[STEER_DEVICES_MAX];
};

/* The fast path (fast.bpf.h). natd writes the beat each second; without it the programs leave all packets to natd. */
enum { STEER_BEAT_MOST_S = 10, STEER_MTUS = 8 };

struct steer_fast {
	__u64 beat_ns;		  /* CLOCK_MONOTONIC; 0: off */
	__u64 ahead_ns;		  /* natd's clock (CLOCK_BOOTTIME) is ahead of that */
	__u64 secret[2];	  /* of the index */
	__u16 mtu[2][STEER_MTUS]; /* of routes, by direction; a flow has the number of its own (flow_mtu_number()) */
};

/*
 * The last super-packets that the tun program has refused: their way had changed since natd looked it up, so natd looks
 * again, and sends or answers them. Their addresses and the eight bytes behind the IP header identify them. A program
 * takes a place, fills it, and counts it as `filled`; natd clears the destination when it has handled the entry.
 */
enum { STEER_REFUSED = 64 }; /* a power of two */

struct steer_refused {
	__u32 source, destination; /* 0: none */
	__u8 begin[8];
};

struct steer_refusals {
	__u32 taken, filled;
	struct steer_refused entry[STEER_REFUSED];
};

/*
 * Packets to a shared address that natd gets and may hand back, since only natd can find their owner: fragments, and
 * protocols without ports. The programs remember the interface of each, so that the host's firewall and its reverse
 * path filter see that interface and not the TUN device.
 */
enum {
	STEER_CAME_MAX = 4096,
	STEER_MARK_BACK =
		0x6e616264, /* of a packet on its way to that interface, where the programs take it off again */
};

struct steer_came {
	__u32 source, destination;
	__u16 id;
	__u8 protocol;
	__u8 zero;
};

struct steer_config {
	__u32 current; /* 0 or 1 */
	__u32 reserved;
	struct steer_fast fast;
	struct steer_view view[2];
	struct steer_refusals refusals;
};

/* Word (row * STEER_CLASSES + class) * STEER_PORT_WORDS + port / 64 of the map of ports, bit port % 64: it is
 * natd's. Behind the rows: the ports of TCP and UDP from which natd chooses; they are natd's if the host has no
 * socket there. */
enum {
	STEER_CHOICE = STEER_ROWS_MAX * STEER_CLASSES * STEER_PORT_WORDS,
	STEER_WORDS = STEER_CHOICE + STEER_PORT_WORDS
};

enum steer_counter {
	STEER_COUNT_IN,	       /* from the outside to natd */
	STEER_COUNT_OUT,       /* from inside hosts to natd */
	STEER_COUNT_FORGED,    /* dropped: from the TUN device's own address */
	STEER_COUNT_SENT,      /* from natd straight to the next hop */
	STEER_COUNT_NEIGHBOUR, /* to a next hop whose link address the kernel has to find */
	STEER_COUNT_ROUTE,     /* refused: no route any more, or one that refuses */
	STEER_COUNT_SIZE,      /* larger than the way out: cut by the kernel, or refused */
	STEER_COUNT_DEVICE,    /* refused: the route leads to another interface now */
	/* Packets of flows that are left to natd */
	STEER_COUNT_FLAGS,  /* SYN, FIN or RST */
	STEER_COUNT_WINDOW, /* TCP numbers that natd has to judge */
	STEER_COUNT_FORM,   /* a TTL that ends, an IP id to be given, lengths or checksums that do not fit */
	STEER_COUNT_LARGE,  /* larger than the way out */
	STEER_COUNT_WAY,    /* no route, another interface, no link address known */
	STEER_COUNT_ORDER,  /* packets before them are still in natd */
	STEER_COUNT_LOST,   /* dropped: no memory to rewrite it */
	/* What natd hands back to the host */
	STEER_COUNT_BACK,   /* by the interface by which it had come */
	STEER_COUNT_STRAY,  /* dropped: that interface is not known any more */
	STEER_COUNTERS = 24 /* three cache lines a processor */
};

struct steer_counters {
	__u64 value[STEER_COUNTERS];
};

#endif
