/* SPDX-License-Identifier: ISC */
/*
 * natd's queries of rtnetlink and inet_diag: one function for each question, with plain structs as answers. Requests
 * wait for the kernel's answer, which comes at once.
 *
 * Every call returns 0 or a negative errno (of a dump -EINTR if things changed meanwhile: repeat it); netlink_error()
 * then has one line that names the object, the system's error and the kernel's own explanation if there is one.
 * Addresses and ports are in host byte order. A handle serves one thread at a time.
 */
#ifndef NATD_DAEMON_NETLINK_H
#define NATD_DAEMON_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/policy/policy.h"

enum {
	NETLINK_IFNAME_SIZE = 16, /* IFNAMSIZ, with the NUL */
	/* Marks natd's rules, routes and neighbours (FRA_, rtm_ and NDA_PROTOCOL): this value and the next ones, one
	 * for each natd of a host. Neither iproute2's rt_protos nor FRR uses them. */
	NETLINK_PROTOCOL = 214,
	NETLINK_PROTOCOL_LAST = 221,
};

struct netlink;

enum {
	NETLINK_ROUTES = 1,  /* links, addresses, routes, rules, neighbours, tc */
	NETLINK_SOCKETS = 2, /* netlink_sockets(), which fails if the kernel has no inet_diag */
};

/* Opens a handle for questions of these kinds. Returns 0 or a negative errno; free *out with netlink_close(). */
int netlink_open(struct netlink **out, unsigned kinds);
void netlink_close(struct netlink *nl); /* NULL is allowed */
/* For firewall.h, with CAP_NET_ADMIN in effect. Returns 0 or a negative errno. */
int netlink_open_filter(struct netlink *nl);
/* From any thread: from now on (`ends`: until the call with false) each call fails with -ECANCELED before it queries
 * the kernel, so a long series of calls ends soon. */
void netlink_cancel(struct netlink *nl, bool ends);
/* The error of the last failed call: one line, valid until the next call. */
const char *netlink_error(const struct netlink *nl);
/* Sets the mark of the routes and neighbours that the calls below list, add and remove; NETLINK_PROTOCOL by default. */
void netlink_set_protocol(struct netlink *nl, uint8_t protocol);

/* ---- links ---- */

struct netlink_link {
	char name[NETLINK_IFNAME_SIZE];
	int index;
	uint32_t mtu;
	uint32_t flags; /* IFF_ */
	uint32_t queue_len;
	uint64_t tx_dropped; /* by the device, before its reader saw them: since it was created */
	uint16_t type;	     /* ARPHRD_ */
};

/* `name` may be an alternative name; out->name is the interface's own. -ENODEV: it does not exist. */
int netlink_link_get(struct netlink *nl, const char *name, struct netlink_link *out);
int netlink_link_get_index(struct netlink *nl, int index, struct netlink_link *out);
/* Sets MTU and queue length (0: unchanged) and brings it up. */
int netlink_link_up(struct netlink *nl, int index, uint32_t mtu, uint32_t queue_len);
/* Keeps the kernel from adding IPv6 link-local addresses to it. */
int netlink_link_addrgen_none(struct netlink *nl, int index);

/* ---- addresses ---- */

struct netlink_address {
	int index;	  /* of the link */
	uint32_t address; /* the host's own */
	uint32_t peer;	  /* point-to-point: the other end; else equal to address */
	uint8_t length;	  /* of the prefix that contains `peer` */
	uint8_t scope;	  /* RT_SCOPE_ */
	bool is_secondary;
};

/* Called for each object of a dump. False ends the dump early (the rest is read and discarded). */
typedef bool netlink_address_fn(void *ctx, const struct netlink_address *a);
int netlink_addresses(struct netlink *nl, int index, netlink_address_fn *fn, void *ctx);
int netlink_address_add(struct netlink *nl, const struct netlink_address *a); /* returns 0 also if it exists */

/* ---- rules ---- */

enum netlink_action { NETLINK_LOOKUP, NETLINK_BLACKHOLE, NETLINK_UNREACHABLE, NETLINK_ACTION_OTHER };

struct netlink_rule {
	uint32_t priority;
	uint32_t table;		/* NETLINK_LOOKUP */
	uint8_t action;		/* enum netlink_action */
	uint8_t protocol;	/* its creator: NETLINK_PROTOCOL, RTPROT_KERNEL... */
	uint8_t ip_proto;	/* 0: any */
	uint32_t mark;		/* 0: any */
	uint8_t is_foreign;	/* in a dump: it has conditions that this struct cannot hold */
	struct nat_prefix from; /* length 0: any */
	struct nat_prefix to;
	struct nat_range dport;	       /* 0-0: any; within 1-65534 */
	char iif[NETLINK_IFNAME_SIZE]; /* "": any */
};

typedef bool netlink_rule_fn(void *ctx, const struct netlink_rule *r);
int netlink_rules(struct netlink *nl, netlink_rule_fn *fn, void *ctx);
int netlink_rule_add(struct netlink *nl, const struct netlink_rule *r);	   /* returns 0 also if it exists */
int netlink_rule_delete(struct netlink *nl, const struct netlink_rule *r); /* returns 0 also if it does not exist */

/* ---- routes ---- */

struct netlink_route {
	uint32_t table;
	uint32_t metric;
	int out;	 /* interface index; 0: none, and the type is unreachable or blackhole */
	bool is_silent;	 /* blackhole: no ICMP error */
	uint32_t source; /* preferred source address; 0: none. Not reported by netlink_routes() */
	struct nat_prefix to;
};

typedef bool netlink_route_fn(void *ctx, const struct netlink_route *r);
/* Lists the routes with natd's mark in one table. */
int netlink_routes(struct netlink *nl, uint32_t table, netlink_route_fn *fn, void *ctx);
int netlink_route_add(struct netlink *nl, const struct netlink_route *r);    /* returns 0 also if it exists */
int netlink_route_delete(struct netlink *nl, const struct netlink_route *r); /* returns 0 also if it does not exist */

struct netlink_way {
	int out;      /* interface index; 0: none */
	uint32_t via; /* gateway; 0: on-link */
	uint32_t source;
	uint32_t mtu;	    /* of the route; 0: the interface's */
	bool is_mtu_locked; /* bpf_fib_lookup() knows it, too */
	uint8_t type;	    /* RTN_ */
};
/* The way of a packet that the host itself sends to `address`. -ENETUNREACH, -EHOSTUNREACH, -EACCES (prohibit),
 * -EINVAL (blackhole): none. */
int netlink_way_to(struct netlink *nl, uint32_t address, struct netlink_way *out);
/* The same with a source address; -EINVAL or -ENETUNREACH also if it is not the host's. 0: none. */
int netlink_way_from(struct netlink *nl, uint32_t source, uint32_t address, struct netlink_way *out);

/* The way of a packet in transit. `source` may be the host's own address (then rules by source count) or another's; 0:
 * the way of the destination alone. */
int netlink_way_in_transit(struct netlink *nl, uint32_t source, uint32_t address, struct netlink_way *out);

/* The way of a packet that arrives on an interface. As above; -EHOSTUNREACH also if that interface does not forward. */
struct netlink_flow {
	int iif;
	uint32_t source, destination;
};
int netlink_way_of(struct netlink *nl, const struct netlink_flow *flow, struct netlink_way *out);

/* Returns the NUD_ state of a neighbour; 0: it is not in the table; or a negative errno. */
int netlink_neighbour(struct netlink *nl, int index, uint32_t address);

/* ---- proxy neighbours: the host answers ARP for these addresses ---- */

typedef bool netlink_proxy_fn(void *ctx, int index, uint32_t address);
/* Lists those with natd's mark on all links. */
int netlink_proxies(struct netlink *nl, netlink_proxy_fn *fn, void *ctx);
int netlink_proxy_add(struct netlink *nl, int index, uint32_t address);	   /* returns 0 also if it exists */
int netlink_proxy_delete(struct netlink *nl, int index, uint32_t address); /* returns 0 also if it does not exist */

/* ---- tc: programs as filters of IPv4 packets at the ingress of a link's clsact ---- */

#define NETLINK_TC_NAME "natd-" /* begins the names of natd's filters */
enum {
	NETLINK_TC_NAME_SIZE = 32,
	NETLINK_TC_PREFERENCE = 214, /* theirs, and of no other program as far as is known */
};

struct netlink_tc {
	int index;	 /* of the link */
	uint32_t handle; /* not 0; tells the natds of a host from each other */
	char name[NETLINK_TC_NAME_SIZE];
};

/* Attaches a loaded program, or puts it in the place of the one with this handle, between two packets. -EINVAL: the
 * link has no clsact; -ENOENT: the kernel has no such filters. */
int netlink_tc_add(struct netlink *nl, const struct netlink_tc *f, int program);
int netlink_tc_delete(struct netlink *nl, int index, uint32_t handle); /* 0 also when it is not there */
/* -ENOENT: not there, or not natd's. */
int netlink_tc_get(struct netlink *nl, int index, uint32_t handle, struct netlink_tc *out);
/* Called for each of natd's filters at a link; as in netlink_addresses(). */
typedef bool netlink_tc_fn(void *ctx, const struct netlink_tc *f);
int netlink_tc_filters(struct netlink *nl, int index, netlink_tc_fn *fn, void *ctx);

/* -EEXIST: it has one, or the older `ingress', which does as well; -ENOENT: the kernel knows none. */
int netlink_clsact_add(struct netlink *nl, int index);
/* Removes clsact if no filter of any program is left in it. */
int netlink_clsact_delete_empty(struct netlink *nl, int index);
/* The links that have one. */
typedef bool netlink_clsact_fn(void *ctx, int index);
int netlink_clsacts(struct netlink *nl, netlink_clsact_fn *fn, void *ctx);

/* ---- sockets of the host ---- */

struct netlink_socket {
	uint16_t port;	  /* local */
	uint32_t address; /* local; 0: any */
	uint8_t state;	  /* TCP_ states of the kernel */
};
typedef bool netlink_socket_fn(void *ctx, const struct netlink_socket *s);
/* NETLINK_SOCKETS_OPEN: sockets that accept packets from any remote (listening TCP, unconnected UDP). */
enum netlink_sockets_of { NETLINK_SOCKETS_ALL, NETLINK_SOCKETS_OPEN };
/* Lists sockets whose local port lies in `range` and which IPv4 packets can reach; the kernel does the filtering.
 * `ip_proto`: 6 or 17. -ENOENT: the kernel has no inet_diag for it. */
int netlink_sockets(struct netlink *nl, uint8_t ip_proto, enum netlink_sockets_of of, struct nat_range range,
		    netlink_socket_fn *fn, void *ctx);

/* ---- events ---- */

enum {
	NETLINK_EVENT_LINK = 1,	   /* a link appeared, disappeared or changed */
	NETLINK_EVENT_ADDRESS = 2, /* an IPv4 address appeared or disappeared */
	NETLINK_EVENT_RULE = 4,	   /* an IPv4 rule appeared or disappeared, including natd's own changes */
	NETLINK_EVENT_RESYNC = 8,  /* events were lost: everything may have changed */
	NETLINK_EVENT_CONF = 16,   /* forwarding, rp_filter or the like of an interface changed */
};

/* Returns a non-blocking descriptor, which the caller closes, or a negative errno. */
int netlink_events_open(void);
/* Reads all pending events: returns NETLINK_EVENT_ bits, 0 if none is of interest, or a negative errno. */
int netlink_events_read(int fd);

/* The same for IPv4 routes, of which a host with a full routing table changes some all the time: a socket that keeps
 * the first few events only. */
int netlink_route_events_open(void);
/* Has any route changed since the last call? Reads no more than the socket keeps. */
bool netlink_route_events_read(int fd);

#endif
