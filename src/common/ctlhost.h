/* SPDX-License-Identifier: ISC */
/*
 * The traffic and resources of each inside host, and the request for them. For ctl_put_ and ctl_get_ see ctlrecord.h.
 */
#ifndef NATD_COMMON_CTLHOST_H
#define NATD_COMMON_CTLHOST_H

#include "ctlfilter.h"

enum ctl_order { CTL_ORDER_NONE, CTL_ORDER_RATE, CTL_ORDER_SESSIONS, CTL_ORDER_PORTS, CTL_ORDER_COUNT };

enum {
	/* criteria that apply to hosts: the host, its outside address */
	CTL_HOSTS_BY = CTL_BY_ORIG_SRC | CTL_BY_REPLY_DST,
	CTL_HOSTS_MAX = 64, /* records of an ordered answer */
};

struct ctl_hosts {
	uint8_t order;	  /* enum ctl_order: highest first; NONE: all hosts, in natd's order */
	uint8_t limit;	  /* with an order 1 to CTL_HOSTS_MAX, else 0 */
	bool wants_rates; /* natd takes a second to measure them if it has none yet */
	struct ctl_filter filter;
};
bool ctl_put_hosts(struct ctl_writer *w, const struct ctl_hosts *q);
bool ctl_get_hosts(struct ctl_reader *r, struct ctl_hosts *q);

struct ctl_host {
	uint32_t address, outside;
	uint32_t sessions;
	uint32_t ports;	      /* mapped ports of the pool */
	uint32_t blocks;      /* port blocks */
	uint32_t interval_ms; /* the rates are means over this time; 0: unknown */
	uint64_t packets[2];  /* outbound, inbound */
	uint64_t bytes[2];
	uint64_t packets_rate[2]; /* a second */
	uint64_t bytes_rate[2];
};
bool ctl_put_host(struct ctl_writer *w, const struct ctl_host *h);
bool ctl_get_host(struct ctl_reader *r, struct ctl_host *h);

#endif
