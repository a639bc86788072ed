/* SPDX-License-Identifier: ISC */
/* See ctlstun.h. */
#include "ctlstun.h"

#include <string.h>

bool ctl_put_stun(struct ctl_writer *w, const struct ctl_stun *s)
{
	size_t begin = ctl_frame_begin(w, CTL_STUN);

	ctl_put_u32(w, s->outside);
	ctl_put_u16(w, s->port);
	ctl_put_endpoint(w, &s->server);
	ctl_put_u16(w, s->wait_ms);
	ctl_put_u16(w, s->len);
	ctl_put_bytes(w, s->bytes, s->len);
	return ctl_frame_end(w, begin);
}

bool ctl_get_stun(struct ctl_reader *r, struct ctl_stun *s)
{
	memset(s, 0, sizeof(*s));
	s->outside = ctl_get_u32(r);
	s->port = ctl_get_u16(r);
	s->server = ctl_get_endpoint(r);
	s->wait_ms = ctl_get_u16(r);
	s->len = ctl_get_u16(r);
	s->bytes = ctl_get_bytes(r, s->len);
	return !r->bad && r->left == 0 && s->port != 0 && s->server.port != 0 && s->len <= CTL_STUN_BYTES_MAX &&
	       s->wait_ms <= CTL_STUN_WAIT_MAX_MS;
}

bool ctl_put_stun_answer(struct ctl_writer *w, const struct ctl_stun_answer *a)
{
	size_t begin = ctl_frame_begin(w, CTL_R_STUN);

	ctl_put_endpoint(w, &a->outside);
	ctl_put_endpoint(w, &a->from);
	ctl_put_u16(w, a->len);
	ctl_put_bytes(w, a->bytes, a->len);
	return ctl_frame_end(w, begin);
}

bool ctl_get_stun_answer(struct ctl_reader *r, struct ctl_stun_answer *a)
{
	memset(a, 0, sizeof(*a));
	a->outside = ctl_get_endpoint(r);
	a->from = ctl_get_endpoint(r);
	a->len = ctl_get_u16(r);
	a->bytes = ctl_get_bytes(r, a->len);
	return !r->bad;
}
