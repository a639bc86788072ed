/* SPDX-License-Identifier: ISC */
/*
 * Filters, as conntrack has them: the connections that a request is about. For ctl_put_ and ctl_get_ see ctlrecord.h.
 */
#ifndef NATD_COMMON_CTLFILTER_H
#define NATD_COMMON_CTLFILTER_H

#include "ctlrecord.h"

enum { /* Criteria of a filter; all that are set must hold. */
       CTL_BY_PROTOCOL = 0x001,
       CTL_BY_ORIG_SRC = 0x002,
       CTL_BY_ORIG_DST = 0x004,
       CTL_BY_REPLY_SRC = 0x008,
       CTL_BY_REPLY_DST = 0x010,
       CTL_BY_SPORT = 0x020, /* of the original direction, as in conntrack; never true for protocols without ports */
       CTL_BY_DPORT = 0x040,
       CTL_BY_STATE = 0x080,
       CTL_BY_FORWARD = 0x100,
       CTL_BY_ID = 0x200,
       CTL_BY_REPLY_SPORT = 0x400,
       CTL_BY_REPLY_DPORT = 0x800,
       CTL_BY_STATUS = 0x1000,
       CTL_BY_ORIGIN = 0x2000,
       CTL_BY_ICMP = 0x4000, /* of the original direction; never true for other protocols */
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
	uint8_t status_clear; /* CTL_ENTRY_ flags that must be clear */
	bool from_outside;    /* CTL_BY_ORIGIN: who must have opened it */
	uint8_t icmp;	      /* CTL_ICMP_ bits: those of the next three that must be equal */
	uint8_t icmp_type;
	uint8_t icmp_code;
	uint16_t icmp_id;
};

/* A whole request frame: with a filter (CTL_LIST, CTL_COUNT, CTL_DELETE), or without a body (`f` NULL). */
bool ctl_put_request(struct ctl_writer *w, enum ctl_type type, const struct ctl_filter *f);
void ctl_put_filter(struct ctl_writer *w, const struct ctl_filter *f); /* as part of a frame */
bool ctl_get_filter(struct ctl_reader *r, struct ctl_filter *f);

bool ctl_filter_matches(const struct ctl_filter *f, const struct ctl_entry *e);

#endif
