/* SPDX-License-Identifier: ISC */
/* Filters: encoding, and matching in the daemon, so that a listing sends only matching entries. See ctlfilter.h. */
#include "ctlfilter.h"

#include <string.h>

enum { PROTOCOL_ICMP = 1, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17 };

void ctl_put_filter(struct ctl_writer *w, const struct ctl_filter *f)
{
	ctl_put_u16(w, f->criteria);
	if (f->criteria & CTL_BY_PROTOCOL)
		ctl_put_u8(w, f->protocol);
	if (f->criteria & CTL_BY_ORIG_SRC)
		ctl_put_prefix(w, &f->orig_src);
	if (f->criteria & CTL_BY_ORIG_DST)
		ctl_put_prefix(w, &f->orig_dst);
	if (f->criteria & CTL_BY_REPLY_SRC)
		ctl_put_prefix(w, &f->reply_src);
	if (f->criteria & CTL_BY_REPLY_DST)
		ctl_put_prefix(w, &f->reply_dst);
	if (f->criteria & CTL_BY_SPORT)
		ctl_put_u16(w, f->sport);
	if (f->criteria & CTL_BY_DPORT)
		ctl_put_u16(w, f->dport);
	if (f->criteria & CTL_BY_STATE)
		ctl_put_u8(w, f->state);
	if (f->criteria & CTL_BY_FORWARD)
		ctl_put_text_max(w, f->forward, CTL_NAME_MAX);
	if (f->criteria & CTL_BY_ID)
		ctl_put_u64(w, f->id);
	if (f->criteria & CTL_BY_REPLY_SPORT)
		ctl_put_u16(w, f->reply_sport);
	if (f->criteria & CTL_BY_REPLY_DPORT)
		ctl_put_u16(w, f->reply_dport);
	if (f->criteria & CTL_BY_STATUS) {
		ctl_put_u8(w, f->status_set);
		ctl_put_u8(w, f->status_clear);
	}
	if (f->criteria & CTL_BY_ORIGIN)
		ctl_put_u8(w, f->from_outside);
	if (f->criteria & CTL_BY_ICMP) {
		ctl_put_u8(w, f->icmp);
		ctl_put_u8(w, f->icmp_type);
		ctl_put_u8(w, f->icmp_code);
		ctl_put_u16(w, f->icmp_id);
	}
}

bool ctl_get_filter(struct ctl_reader *r, struct ctl_filter *f)
{
	*f = (struct ctl_filter){.criteria = ctl_get_u16(r)};
	if (f->criteria & ~CTL_BY_ALL)
		return false;
	if (f->criteria & CTL_BY_PROTOCOL)
		f->protocol = ctl_get_u8(r);
	if (f->criteria & CTL_BY_ORIG_SRC)
		f->orig_src = ctl_get_prefix(r);
	if (f->criteria & CTL_BY_ORIG_DST)
		f->orig_dst = ctl_get_prefix(r);
	if (f->criteria & CTL_BY_REPLY_SRC)
		f->reply_src = ctl_get_prefix(r);
	if (f->criteria & CTL_BY_REPLY_DST)
		f->reply_dst = ctl_get_prefix(r);
	if (f->criteria & CTL_BY_SPORT)
		f->sport = ctl_get_u16(r);
	if (f->criteria & CTL_BY_DPORT)
		f->dport = ctl_get_u16(r);
	if (f->criteria & CTL_BY_STATE)
		f->state = ctl_get_u8(r);
	if (f->criteria & CTL_BY_FORWARD)
		ctl_get_text(r, f->forward, sizeof(f->forward));
	if (f->criteria & CTL_BY_ID)
		f->id = ctl_get_u64(r);
	if (f->criteria & CTL_BY_REPLY_SPORT)
		f->reply_sport = ctl_get_u16(r);
	if (f->criteria & CTL_BY_REPLY_DPORT)
		f->reply_dport = ctl_get_u16(r);
	if (f->criteria & CTL_BY_STATUS) {
		f->status_set = ctl_get_u8(r);
		f->status_clear = ctl_get_u8(r);
	}
	if (f->criteria & CTL_BY_ORIGIN)
		f->from_outside = ctl_get_u8(r) & 1;
	if (f->criteria & CTL_BY_ICMP) {
		f->icmp = ctl_get_u8(r);
		f->icmp_type = ctl_get_u8(r);
		f->icmp_code = ctl_get_u8(r);
		f->icmp_id = ctl_get_u16(r);
	}
	return !r->bad && r->left == 0 && f->state < CTL_STATE_COUNT;
}

bool ctl_put_request(struct ctl_writer *w, enum ctl_type type, const struct ctl_filter *f)
{
	size_t begin = ctl_frame_begin(w, type);

	if (f)
		ctl_put_filter(w, f);
	return ctl_frame_end(w, begin);
}

/* ---- matching ---- */

static bool has_ports(uint8_t protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP;
}

static bool addresses_match(const struct ctl_filter *f, const struct ctl_tuple tuple[2])
{
	const struct {
		uint16_t criterion;
		const struct ctl_prefix *prefix;
		uint32_t address;
	} tests[] = {
		{CTL_BY_ORIG_SRC, &f->orig_src, tuple[0].src.address},
		{CTL_BY_ORIG_DST, &f->orig_dst, tuple[0].dst.address},
		{CTL_BY_REPLY_SRC, &f->reply_src, tuple[1].src.address},
		{CTL_BY_REPLY_DST, &f->reply_dst, tuple[1].dst.address},
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if ((f->criteria & tests[i].criterion) && !ctl_in_prefix(tests[i].prefix, tests[i].address))
			return false;
	}
	return true;
}

static bool ports_match(const struct ctl_filter *f, uint8_t protocol, const struct ctl_tuple tuple[2])
{
	enum { BY_PORT = CTL_BY_SPORT | CTL_BY_DPORT | CTL_BY_REPLY_SPORT | CTL_BY_REPLY_DPORT };
	unsigned by = f->criteria & BY_PORT;

	if (by == 0)
		return true;
	return has_ports(protocol) && (!(by & CTL_BY_SPORT) || f->sport == tuple[0].src.port) &&
	       (!(by & CTL_BY_DPORT) || f->dport == tuple[0].dst.port) &&
	       (!(by & CTL_BY_REPLY_SPORT) || f->reply_sport == tuple[1].src.port) &&
	       (!(by & CTL_BY_REPLY_DPORT) || f->reply_dport == tuple[1].dst.port);
}

/* All ICMP sessions of natd are echo requests: type and code are constant. */
static bool icmp_matches(const struct ctl_filter *f, const struct ctl_entry *e)
{
	enum { ECHO_REQUEST = 8 };
	uint16_t id = e->flags & CTL_ENTRY_FROM_OUTSIDE ? e->outside.port : e->inside.port;

	return e->protocol == PROTOCOL_ICMP && (!(f->icmp & CTL_ICMP_TYPE) || f->icmp_type == ECHO_REQUEST) &&
	       (!(f->icmp & CTL_ICMP_CODE) || f->icmp_code == 0) && (!(f->icmp & CTL_ICMP_ID) || f->icmp_id == id);
}

static bool flags_match(const struct ctl_filter *f, uint8_t flags)
{
	if ((f->criteria & CTL_BY_STATUS) &&
	    ((flags & f->status_set) != f->status_set || (flags & f->status_clear) != 0))
		return false;
	return !(f->criteria & CTL_BY_ORIGIN) || f->from_outside == !!(flags & CTL_ENTRY_FROM_OUTSIDE);
}

bool ctl_filter_matches(const struct ctl_filter *f, const struct ctl_entry *e)
{
	struct ctl_tuple tuple[2];

	if (f->criteria == 0)
		return true;
	if ((f->criteria & CTL_BY_PROTOCOL) && f->protocol != e->protocol)
		return false;
	if ((f->criteria & CTL_BY_STATE) && (e->protocol != PROTOCOL_TCP || f->state != e->state))
		return false;
	if ((f->criteria & CTL_BY_ID) && f->id != e->id)
		return false;
	if ((f->criteria & CTL_BY_FORWARD) && (!e->forward[0] || strcmp(f->forward, e->forward) != 0))
		return false;
	if ((f->criteria & CTL_BY_ICMP) && !icmp_matches(f, e))
		return false;
	ctl_entry_tuples(e, tuple);
	return flags_match(f, e->flags) && addresses_match(f, tuple) && ports_match(f, e->protocol, tuple);
}
