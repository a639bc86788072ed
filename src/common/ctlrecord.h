/* SPDX-License-Identifier: ISC */
/*
 * Most records of the control protocol: prefixes and endpoints, connections, mappings, blocks of ports. See also
 * ctlfilter.h, ctlhost.h, ctlforward.h, ctlstatus.h. As in ctlproto.h, each ctl_put_ writes one whole frame (false: no
 * room, nothing written), each ctl_get_ reads a body (false: malformed). Functions for parts of a frame return no
 * result; the end of the frame reports what was malformed. Addresses and ports are in host byte order.
 */
#ifndef NATD_COMMON_CTLRECORD_H
#define NATD_COMMON_CTLRECORD_H

#include "ctlproto.h"

struct ctl_prefix {
	uint32_t address; /* host byte order, host bits zero */
	uint8_t length;
};

void ctl_put_prefix(struct ctl_writer *w, const struct ctl_prefix *p);
struct ctl_prefix ctl_get_prefix(struct ctl_reader *r);
bool ctl_in_prefix(const struct ctl_prefix *p, uint32_t address);

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
const char *ctl_state_name(uint8_t state); /* "NONE" for an unknown number */
int ctl_state_by_name(const char *name);   /* ignores case; -1: no such state */

struct ctl_endpoint {
	uint32_t address;
	uint16_t port; /* or the ICMP query id; 0 for protocols without */
};
void ctl_put_endpoint(struct ctl_writer *w, const struct ctl_endpoint *e);
struct ctl_endpoint ctl_get_endpoint(struct ctl_reader *r);

enum { CTL_ENTRY_FROM_OUTSIDE = 1, CTL_ENTRY_REPLIED = 2, CTL_ENTRY_ASSURED = 4, CTL_ENTRY_OFFLOADED = 8 };

struct ctl_entry {
	uint64_t id;
	uint8_t protocol; /* IP protocol number */
	uint8_t state;	  /* enum ctl_state; CTL_STATE_NONE unless TCP */
	uint8_t flags;	  /* CTL_ENTRY_ */
	uint32_t timeout_s;
	uint32_t age_s;
	struct ctl_endpoint inside, outside, remote;
	uint64_t packets[2]; /* outbound, inbound */
	uint64_t bytes[2];
	char forward[CTL_NAME_MAX + 1]; /* that made it; "": none */
	struct ctl_endpoint backend;	/* that the forward chose; address 0: the forward has only one target */
	char pair[CTL_NAME_MAX + 1];	/* the static 1:1 pair; "": none, or one without a name */
};
void ctl_put_entry_body(struct ctl_writer *w, const struct ctl_entry *e);
bool ctl_put_entry(struct ctl_writer *w, const struct ctl_entry *e);
bool ctl_get_entry(struct ctl_reader *r, struct ctl_entry *e);

/* The connection as its opener sent it ([0]), and the reply as natd expects it ([1]). */
struct ctl_tuple {
	struct ctl_endpoint src, dst;
};
void ctl_entry_tuples(const struct ctl_entry *e, struct ctl_tuple tuple[2]);

/* Who: which inside endpoint holds this outside endpoint now. The answer has mappings, and the block that contains
 * the port. */
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
	uint32_t used; /* ports in use or in quarantine, of all protocols together */
	uint32_t age_s;
	bool is_fixed; /* assigned to its host by arithmetic, permanently */
};
bool ctl_put_block(struct ctl_writer *w, const struct ctl_block *b);
bool ctl_get_block(struct ctl_reader *r, struct ctl_block *b);

#endif
