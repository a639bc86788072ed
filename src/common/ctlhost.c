/* SPDX-License-Identifier: ISC */
/* See ctlhost.h. */
#include "ctlhost.h"

bool ctl_put_hosts(struct ctl_writer *w, const struct ctl_hosts *q)
{
	size_t begin = ctl_frame_begin(w, CTL_HOSTS);

	ctl_put_u8(w, q->order);
	ctl_put_u8(w, q->limit);
	ctl_put_u8(w, q->wants_rates);
	ctl_put_filter(w, &q->filter);
	return ctl_frame_end(w, begin);
}

bool ctl_get_hosts(struct ctl_reader *r, struct ctl_hosts *q)
{
	uint8_t flags;

	q->order = ctl_get_u8(r);
	q->limit = ctl_get_u8(r);
	flags = ctl_get_u8(r);
	q->wants_rates = flags == 1;
	if (!ctl_get_filter(r, &q->filter) || flags > 1)
		return false;
	if (q->order == CTL_ORDER_NONE)
		return q->limit == 0;
	return q->order < CTL_ORDER_COUNT && q->limit >= 1 && q->limit <= CTL_HOSTS_MAX;
}

bool ctl_put_host(struct ctl_writer *w, const struct ctl_host *h)
{
	size_t begin = ctl_frame_begin(w, CTL_R_HOST);

	ctl_put_u32(w, h->address);
	ctl_put_u32(w, h->outside);
	ctl_put_u32(w, h->sessions);
	ctl_put_u32(w, h->ports);
	ctl_put_u32(w, h->blocks);
	ctl_put_u32(w, h->interval_ms);
	for (int dir = 0; dir < 2; dir++) {
		ctl_put_u64(w, h->packets[dir]);
		ctl_put_u64(w, h->bytes[dir]);
		ctl_put_u64(w, h->packets_rate[dir]);
		ctl_put_u64(w, h->bytes_rate[dir]);
	}
	return ctl_frame_end(w, begin);
}

bool ctl_get_host(struct ctl_reader *r, struct ctl_host *h)
{
	h->address = ctl_get_u32(r);
	h->outside = ctl_get_u32(r);
	h->sessions = ctl_get_u32(r);
	h->ports = ctl_get_u32(r);
	h->blocks = ctl_get_u32(r);
	h->interval_ms = ctl_get_u32(r);
	for (int dir = 0; dir < 2; dir++) {
		h->packets[dir] = ctl_get_u64(r);
		h->bytes[dir] = ctl_get_u64(r);
		h->packets_rate[dir] = ctl_get_u64(r);
		h->bytes_rate[dir] = ctl_get_u64(r);
	}
	return !r->bad;
}
