/* SPDX-License-Identifier: ISC */
/*
 * What natd asks of rtnetlink and inet_diag: one function for each question, plain structs as answers.
 * The only file that knows libmnl. Requests wait for the kernel's answer (which comes at once).
 *
 * Every call returns 0 or a negative errno (a dump: -EINTR when things changed meanwhile: repeat it);
 * netlink_error() then has one line that names the object, the system's word and the kernel's own
 * explanation where it gave one. Addresses and ports in host byte order. A handle serves one thread at a time.
 */
#ifndef NATD_DAEMON_NETLINK_H
#define NATD_DAEMON_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/policy/policy.h"

enum {
	NETLINK_IFNAME_SIZE = 16, /* IFNAMSIZ, with the NUL */
	/* Marks natd's rules, routes and neighbours (FRA_, rtm_ and NDA_PROTOCOL): this value and the next ones, one for
	 * each natd of a host. Neither iproute2's rt_protos nor FRR uses them. */
	NETLINK_PROTOCOL = 214,
	NETLINK_PROTOCOL_LAST = 221,
};

struct netlink;

enum {
	NETLINK_ROUTES = 1,  /* links, addresses, routes, rules, neighbours */
	NETLINK_SOCKETS = 2, /* netlink_sockets(), which fails where the kernel has no inet_diag */
};

/* For questions of these kinds. 0 or a negative errno; *out is for netlink_close(). */
int netlink_open(struct netlink **out, unsigned kinds);
void netlink_close(struct netlink *nl); /* NULL: nothing */
/* For firewall.h, with CAP_NET_ADMIN in effect. 0 or a negative errno. */
int netlink_open_filter(struct netlink *nl);
/* Any thread: from now on (`ends`: until the call with false) each call fails with -ECANCELED before it asks the kernel, so that
 * a long series of them ends soon. */
void netlink_cancel(struct netlink *nl, bool ends);
/* What went wrong in the last call that failed: one line. Valid until the next call. */
const char *netlink_error(const struct netlink *nl);
/* The mark of the routes and neighbours that the calls below list, add and remove: NETLINK_PROTOCOL at first. */
void netlink_set_protocol(struct netlink *nl, uint8_t protocol);

/* ---- links ---- */

struct netlink_link {
	char name[NETLINK_IFNAME_SIZE];
	int index;
	uint32_t mtu;
	uint32_t flags; /* IFF_ */
	uint32_t queue_len;
	uint64_t tx_dropped; /* by the device, before its reader saw them: since it was made */
	uint16_t type;	     /* ARPHRD_ */
};

/* `name` may be an alternative name; out->name is the interface's own. -ENODEV: it does not exist. */
int netlink_link_get(struct netlink *nl, const char *name, struct netlink_link *out);
int netlink_link_get_index(struct netlink *nl, int index, struct netlink_link *out);
/* Sets MTU and queue length (0: leave) and brings it up. */
int netlink_link_up(struct netlink *nl, int index, uint32_t mtu, uint32_t queue_len);
/* Keeps the kernel from making IPv6 link-local addresses there. */
int netlink_link_addrgen_none(struct netlink *nl, int index);

/* ---- addresses ---- */

struct netlink_address {
	int index;	  /* of the link */
	uint32_t address; /* the host's own */
	uint32_t peer;	  /* point-to-point: the other end; else equal to address */
	uint8_t length;	  /* of the prefix that `peer` lies in */
	uint8_t scope;	  /* RT_SCOPE_ */
	bool is_secondary;
};

/* Called for each object of a dump. False ends the dump early (the rest is read and thrown away). */
typedef bool netlink_address_fn(void *ctx, const struct netlink_address *a);
int netlink_addresses(struct netlink *nl, int index, netlink_address_fn *fn, void *ctx);
int netlink_address_add(struct netlink *nl, const struct netlink_address *a); /* 0 also when it is there */

/* ---- rules ---- */

enum netlink_action { NETLINK_LOOKUP, NETLINK_BLACKHOLE, NETLINK_UNREACHABLE, NETLINK_ACTION_OTHER };

struct netlink_rule {
	uint32_t priority;
	uint32_t table;		/* NETLINK_LOOKUP */
	uint8_t action;		/* enum netlink_action */
	uint8_t protocol;	/* who made it: NETLINK_PROTOCOL, RTPROT_KERNEL... */
	uint8_t ip_proto;	/* 0: any */
	uint32_t mark;		/* 0: any */
	uint8_t is_foreign;	/* from a dump: has conditions that this struct does not know */
	struct nat_prefix from; /* length 0: any */
	struct nat_prefix to;
	struct nat_range dport;	       /* 0-0: any; within 1-65534 */
	char iif[NETLINK_IFNAME_SIZE]; /* "": any */
};

typedef bool netlink_rule_fn(void *ctx, const struct netlink_rule *r);
int netlink_rules(struct netlink *nl, netlink_rule_fn *fn, void *ctx);
int netlink_rule_add(struct netlink *nl, const struct netlink_rule *r);	   /* 0 also when it is there */
int netlink_rule_delete(struct netlink *nl, const struct netlink_rule *r); /* 0 also when it is not there */

/* ---- routes ---- */

struct netlink_route {
	uint32_t table;
	uint32_t metric;
	int out;	 /* interface index; 0: none, then it is of type unreachable or blackhole */
	bool is_silent;	 /* blackhole: no ICMP error */
	uint32_t source; /* preferred source address; 0: none. Not reported by netlink_routes() */
	struct nat_prefix to;
};

typedef bool netlink_route_fn(void *ctx, const struct netlink_route *r);
/* Those with natd's mark in one table. */
int netlink_routes(struct netlink *nl, uint32_t table, netlink_route_fn *fn, void *ctx);
int netlink_route_add(struct netlink *nl, const struct netlink_route *r);    /* 0 also when it is there */
int netlink_route_delete(struct netlink *nl, const struct netlink_route *r); /* 0 also when it is not there */

struct netlink_way {
	int out;      /* interface index; 0: none */
	uint32_t via; /* gateway; 0: on-link */
	uint32_t source;
	uint32_t mtu; /* of the route; 0: the interface's */
	uint8_t type; /* RTN_ */
};
/* The way that a packet of the host itself to `address` takes. -ENETUNREACH, -EHOSTUNREACH, -EACCES (prohibit),
 * -EINVAL (blackhole): none. */
int netlink_way_to(struct netlink *nl, uint32_t address, struct netlink_way *out);
/* The same with a source address; -EINVAL or -ENETUNREACH also for one that is not the host's. 0: none. */
int netlink_way_from(struct netlink *nl, uint32_t source, uint32_t address, struct netlink_way *out);

/* The way of a packet that comes in by an interface. As above; -EHOSTUNREACH also where that interface does not forward. */
struct netlink_flow {
	int iif;
	uint32_t source, destination;
};
int netlink_way_of(struct netlink *nl, const struct netlink_flow *flow, struct netlink_way *out);

/* The NUD_ state of a neighbour; 0: not in the table; or a negative errno. */
int netlink_neighbour(struct netlink *nl, int index, uint32_t address);

/* ---- proxy neighbours: the host answers ARP for these addresses ---- */

typedef bool netlink_proxy_fn(void *ctx, int index, uint32_t address);
/* Those with natd's mark on all links. */
int netlink_proxies(struct netlink *nl, netlink_proxy_fn *fn, void *ctx);
int netlink_proxy_add(struct netlink *nl, int index, uint32_t address);	   /* 0 also when it is there */
int netlink_proxy_delete(struct netlink *nl, int index, uint32_t address); /* 0 also when it is not there */

/* ---- sockets of the host ---- */

struct netlink_socket {
	uint16_t port;	  /* local */
	uint32_t address; /* local; 0: any */
	uint8_t state;	  /* TCP_ states of the kernel */
};
typedef bool netlink_socket_fn(void *ctx, const struct netlink_socket *s);
/* NETLINK_SOCKETS_OPEN: those that take packets from anybody (listening TCP, unconnected UDP). */
enum netlink_sockets_of { NETLINK_SOCKETS_ALL, NETLINK_SOCKETS_OPEN };
/* Sockets whose local port lies in `range` and which IPv4 packets can reach; the kernel does the filtering.
 * `ip_proto`: 6 or 17. -ENOENT: the kernel has no inet_diag for it. */
int netlink_sockets(struct netlink *nl, uint8_t ip_proto, enum netlink_sockets_of of, struct nat_range range,
		    netlink_socket_fn *fn, void *ctx);

/* ---- what happens meanwhile ---- */

enum {
	NETLINK_EVENT_LINK = 1,	   /* a link came, went or changed */
	NETLINK_EVENT_ADDRESS = 2, /* an IPv4 address came or went */
	NETLINK_EVENT_RULE = 4,	   /* an IPv4 rule came or went, natd's own changes included */
	NETLINK_EVENT_RESYNC = 8,  /* events were lost: everything may have changed */
	NETLINK_EVENT_CONF = 16,   /* forwarding, rp_filter or the like of an interface changed */
};

/* A non-blocking descriptor, the caller's to close, or a negative errno. */
int netlink_events_open(void);
/* Reads all that is there: NETLINK_EVENT_ bits, 0 for nothing of interest, or a negative errno. */
int netlink_events_read(int fd);

#endif
