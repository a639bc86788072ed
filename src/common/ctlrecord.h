/* SPDX-License-Identifier: ISC */
/*
 * What the control protocol carries besides hello, end and error: filters, connections, mappings,
 * forwards, pools, counters, status items, the doctor's findings. As in ctlproto.h, each ctl_put_
 * writes one whole frame (false: no room, nothing written), each ctl_get_ reads a body (false:
 * malformed). Addresses and ports are in host byte order.
 */
#ifndef NATD_COMMON_CTLRECORD_H
#define NATD_COMMON_CTLRECORD_H

#include "ctlproto.h"

struct ctl_prefix {
	uint32_t address; /* host byte order, host bits zero */
	uint8_t length;
};

enum { /* criteria of a filter; all that are set must hold */
       CTL_BY_PROTOCOL = 0x001,
       CTL_BY_ORIG_SRC = 0x002,
       CTL_BY_ORIG_DST = 0x004,
       CTL_BY_REPLY_SRC = 0x008,
       CTL_BY_REPLY_DST = 0x010,
       CTL_BY_SPORT = 0x020, /* of the original direction, as conntrack has it; never true without ports */
       CTL_BY_DPORT = 0x040,
       CTL_BY_STATE = 0x080,
       CTL_BY_FORWARD = 0x100,
       CTL_BY_ID = 0x200,
       CTL_BY_REPLY_SPORT = 0x400,
       CTL_BY_REPLY_DPORT = 0x800,
       CTL_BY_STATUS = 0x1000,
       CTL_BY_ORIGIN = 0x2000,
       CTL_BY_ICMP = 0x4000, /* of the original direction; never true of another protocol */
       CTL_BY_ALL = 0x7fff,
};

enum { CTL_ICMP_TYPE = 1, CTL_ICMP_CODE = 2, CTL_ICMP_ID = 4 };

struct ctl_filter {
	uint16_t criteria;
	uint8_t protocol;
	uint8_t state; /* enum ctl_state */
	uint16_t sport;
	uint16_t dport;
	struct ctl_prefix orig_src, orig_dst, reply_src, reply_dst;
	char forward[CTL_NAME_MAX + 1];
	uint64_t id;
	uint16_t reply_sport;
	uint16_t reply_dport;
	uint8_t status_set;   /* CTL_ENTRY_ flags that must be set */
	uint8_t status_clear; /* those that must not be */
	bool from_outside;    /* CTL_BY_ORIGIN: who must have opened it */
	uint8_t icmp;	      /* CTL_ICMP_ bits: those of the next three that must be equal */
	uint8_t icmp_type;
	uint8_t icmp_code;
	uint16_t icmp_id;
};

/* A whole request frame: with a filter (CTL_LIST, CTL_COUNT, CTL_DELETE) or with nothing (`f` NULL). */
bool ctl_put_request(struct ctl_writer *w, enum ctl_type type, const struct ctl_filter *f);
void ctl_put_filter(struct ctl_writer *w, const struct ctl_filter *f); /* as part of a frame */
bool ctl_get_filter(struct ctl_reader *r, struct ctl_filter *f);

/* TCP states, by conntrack's names and numbers. */
enum ctl_state {
	CTL_STATE_NONE,
	CTL_STATE_SYN_SENT,
	CTL_STATE_SYN_RECV,
	CTL_STATE_ESTABLISHED,
	CTL_STATE_FIN_WAIT,
	CTL_STATE_CLOSE_WAIT,
	CTL_STATE_LAST_ACK,
	CTL_STATE_TIME_WAIT,
	CTL_STATE_CLOSE,
	CTL_STATE_SYN_SENT2,
	CTL_STATE_COUNT
};
const char *ctl_state_name(uint8_t state); /* "NONE" for a number it does not know */
int ctl_state_by_name(const char *name);   /* whatever the case; -1: no such state */

struct ctl_endpoint {
	uint32_t address;
	uint16_t port; /* or the ICMP query id; 0 for protocols without */
};
void ctl_put_endpoint(struct ctl_writer *w, const struct ctl_endpoint *e);
struct ctl_endpoint ctl_get_endpoint(struct ctl_reader *r);

enum { CTL_ENTRY_FROM_OUTSIDE = 1, CTL_ENTRY_REPLIED = 2, CTL_ENTRY_ASSURED = 4 };

struct ctl_entry {
	uint64_t id;
	uint8_t protocol; /* IP protocol number */
	uint8_t state;	  /* enum ctl_state; CTL_STATE_NONE for all but TCP */
	uint8_t flags;	  /* CTL_ENTRY_ */
	uint32_t timeout_s;
	uint32_t age_s;
	struct ctl_endpoint inside, outside, remote;
	uint64_t packets[2]; /* outbound, inbound */
	uint64_t bytes[2];
	char forward[CTL_NAME_MAX + 1]; /* "": none made it */
	struct ctl_endpoint backend;	/* that the forward chose; address 0: it has no choice */
	char pair[CTL_NAME_MAX + 1];	/* static, one to one; "": none that has a name */
};
void ctl_put_entry_body(struct ctl_writer *w, const struct ctl_entry *e);
bool ctl_put_entry(struct ctl_writer *w, const struct ctl_entry *e);
bool ctl_get_entry(struct ctl_reader *r, struct ctl_entry *e);

/* The connection as its opener sent it ([0]) and the reply as natd expects it ([1]). */
struct ctl_tuple {
	struct ctl_endpoint src, dst;
};
void ctl_entry_tuples(const struct ctl_entry *e, struct ctl_tuple tuple[2]);
bool ctl_filter_matches(const struct ctl_filter *f, const struct ctl_entry *e);
bool ctl_in_prefix(const struct ctl_prefix *p, uint32_t address);

/* Who: which inside endpoint has this outside endpoint now. Answered with mappings, and
 * with the block that the port lies in. */
struct ctl_who {
	struct ctl_endpoint outside;
	uint8_t protocol; /* 0: TCP, UDP and ICMP */
};
bool ctl_put_who(struct ctl_writer *w, const struct ctl_who *q);
bool ctl_get_who(struct ctl_reader *r, struct ctl_who *q);

struct ctl_mapping {
	uint8_t protocol;
	struct ctl_endpoint inside, outside;
	struct ctl_endpoint remote; /* 0.0.0.0: any; port 0: any */
	uint32_t sessions;
};
void ctl_put_mapping_body(struct ctl_writer *w, const struct ctl_mapping *m);
bool ctl_put_mapping(struct ctl_writer *w, const struct ctl_mapping *m);
bool ctl_get_mapping(struct ctl_reader *r, struct ctl_mapping *m);

/* A block of ports and the host that has it. */
struct ctl_block {
	uint32_t inside, outside;
	uint16_t first, last;
	uint32_t used; /* ports in use, of all protocols together; those in quarantine too */
	uint32_t age_s;
	bool is_fixed; /* its host's by arithmetic, at all times */
};
bool ctl_put_block(struct ctl_writer *w, const struct ctl_block *b);
bool ctl_get_block(struct ctl_reader *r, struct ctl_block *b);

/* Hosts: what each inside host has and moves. */
enum ctl_order { CTL_ORDER_NONE, CTL_ORDER_RATE, CTL_ORDER_SESSIONS, CTL_ORDER_PORTS, CTL_ORDER_COUNT };

enum {
	CTL_HOSTS_BY = CTL_BY_ORIG_SRC | CTL_BY_REPLY_DST, /* criteria that fit: the host, its outside address */
	CTL_HOSTS_MAX = 64,				   /* of an ordered answer */
};

struct ctl_hosts {
	uint8_t order;	  /* enum ctl_order: the highest first; NONE: all of them, as they come */
	uint8_t limit;	  /* with an order: 1 to CTL_HOSTS_MAX; else 0 */
	bool wants_rates; /* where there are none yet, natd takes a second to measure them */
	struct ctl_filter filter;
};
bool ctl_put_hosts(struct ctl_writer *w, const struct ctl_hosts *q);
bool ctl_get_hosts(struct ctl_reader *r, struct ctl_hosts *q);

struct ctl_host {
	uint32_t address, outside;
	uint32_t sessions;
	uint32_t ports;	      /* of the pool, mapped */
	uint32_t blocks;      /* port blocks */
	uint32_t interval_ms; /* what the rates are the mean of; 0: they are not known */
	uint64_t packets[2];  /* outbound, inbound */
	uint64_t bytes[2];
	uint64_t packets_rate[2]; /* a second */
	uint64_t bytes_rate[2];
};
bool ctl_put_host(struct ctl_writer *w, const struct ctl_host *h);
bool ctl_get_host(struct ctl_reader *r, struct ctl_host *h);

/* OTHER: one without ports, whose number stands in first_port and last_port. ANY: a default host. Both alone. */
enum { CTL_FORWARD_TCP = 1, CTL_FORWARD_UDP = 2, CTL_FORWARD_OTHER = 4, CTL_FORWARD_ANY = 8 };

struct ctl_forward {
	char name[CTL_NAME_MAX + 1];
	uint8_t protocols; /* CTL_FORWARD_ bits */
	uint32_t address;  /* 0: every outside address */
	uint16_t first_port, last_port;
	struct ctl_endpoint to; /* of first_port; the others follow in step */
	uint32_t n_from;	/* 0: everyone; may be more than `from` holds */
	struct ctl_prefix from[CTL_FROM_MAX];
	uint16_t n_backends; /* records of them follow; 0: it leads to `to` */
	uint8_t balance;     /* CTL_BALANCE_ */
	uint8_t side;	     /* CTL_SIDE_ */
	bool is_dynamic;     /* made at run time */
	uint32_t affinity_s;
};
bool ctl_put_forward(struct ctl_writer *w, const struct ctl_forward *f);
bool ctl_get_forward(struct ctl_reader *r, struct ctl_forward *f);

enum { CTL_BALANCE_HASH, CTL_BALANCE_LEAST, CTL_BALANCE_RANDOM, CTL_BALANCE_COUNT };
enum { CTL_SIDE_OUTSIDE, CTL_SIDE_INSIDE, CTL_SIDE_BOTH, CTL_SIDE_COUNT };
const char *ctl_balance_name(uint8_t balance); /* "?" for a number that it does not know; likewise below */
const char *ctl_side_name(uint8_t side);

enum { CTL_BACKEND_DOWN = 1, CTL_BACKEND_DRAINED = 2 };

/* CTL_FORWARD_ORDER: a forward made at run time, or removed. The end counts 1 where that changed something. */
enum { CTL_FORWARD_TEXT = 4000 };

struct ctl_forward_order {
	bool is_removal;
	uint32_t lifetime_s; /* 0: for ever */
	char name[CTL_NAME_MAX + 1];
	char text[CTL_FORWARD_TEXT + 1]; /* its keys, as in the file, on one line */
};
bool ctl_put_forward_order(struct ctl_writer *w, const struct ctl_forward_order *o);
bool ctl_get_forward_order(struct ctl_reader *r, struct ctl_forward_order *o);

/* CTL_RELOAD: `confirm_s` 0: for good. Without a body the same. */
bool ctl_put_reload(struct ctl_writer *w, uint32_t confirm_s);

/* CTL_BACKEND_ORDER: takes a backend out of new connections, and back. The end counts 1 where that changed something. */
struct ctl_backend_order {
	char forward[CTL_NAME_MAX + 1];
	struct ctl_endpoint host; /* port 0: the only backend at that address */
	bool drain;		  /* else it resumes */
};
bool ctl_put_backend_order(struct ctl_writer *w, const struct ctl_backend_order *o);
bool ctl_get_backend_order(struct ctl_reader *r, struct ctl_backend_order *o);

struct ctl_backend_state {
	struct ctl_endpoint host; /* of the forward's first port */
	uint16_t weight;
	uint8_t closed; /* CTL_BACKEND_ bits: why it takes no connection */
	uint32_t sessions;
};
bool ctl_put_backend(struct ctl_writer *w, const struct ctl_backend_state *b);
bool ctl_get_backend(struct ctl_reader *r, struct ctl_backend_state *b);
const char *ctl_backend_state_name(uint8_t closed); /* "up", "down", "drained" */

struct ctl_pool {
	uint32_t address;
	bool shared;		 /* with the host */
	uint32_t ports;		 /* that natd may use, for each protocol */
	uint32_t used[3];	 /* mapped or in quarantine: TCP, UDP, ICMP query ids */
	uint32_t quarantined[3]; /* those in quarantine; 0 from a natd that does not say it */
};
bool ctl_put_pool(struct ctl_writer *w, const struct ctl_pool *p);
bool ctl_get_pool(struct ctl_reader *r, struct ctl_pool *p);

enum { CTL_COUNTER, CTL_GAUGE };

struct ctl_counter {
	uint64_t value;
	char name[64];
	char help[256];
	uint8_t type;  /* CTL_COUNTER: only grows while natd runs; CTL_GAUGE */
	char unit[16]; /* "bytes"...; "": a bare number */
};
bool ctl_put_counter(struct ctl_writer *w, const struct ctl_counter *c);
bool ctl_get_counter(struct ctl_reader *r, struct ctl_counter *c);

enum ctl_item_kind { CTL_ITEM_NUMBER, CTL_ITEM_TEXT, CTL_ITEM_LIST /* one element; the same name comes again */ };

struct ctl_item {
	uint8_t kind;
	char name[64];
	uint64_t number;
	char text[CTL_TEXT_MAX + 1];
};
bool ctl_put_item_number(struct ctl_writer *w, const char *name, uint64_t number);
bool ctl_put_item_text(struct ctl_writer *w, enum ctl_item_kind kind, const char *name, const char *text);
bool ctl_get_item(struct ctl_reader *r, struct ctl_item *i);

enum ctl_severity { CTL_CHECK_OK, CTL_CHECK_WARN, CTL_CHECK_FAIL };

struct ctl_check {
	uint8_t severity;
	char what[CTL_TEXT_MAX + 1]; /* what was looked at, and what was found */
	char mend[CTL_TEXT_MAX + 1]; /* the remedy; "": none is needed */
	char id[CTL_NAME_MAX + 1];   /* stable, for scripts; "": from a natd that had none */
	uint8_t percent;	     /* of a limit that is in use; 0: not about a limit */
};
bool ctl_put_check(struct ctl_writer *w, const struct ctl_check *c);
bool ctl_get_check(struct ctl_reader *r, struct ctl_check *c);

bool ctl_put_line(struct ctl_writer *w, const char *text);
bool ctl_get_line(struct ctl_reader *r, char text[CTL_TEXT_MAX + 1]);

#endif
