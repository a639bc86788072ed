/* SPDX-License-Identifier: ISC */
/* See ctlcapture.h. */
#include "ctlcapture.h"

#include <string.h>

bool ctl_put_capture(struct ctl_writer *w, const struct ctl_capture *c, const struct cbpf_insn *program)
{
	size_t begin = ctl_frame_begin(w, CTL_CAPTURE);

	ctl_put_u8(w, c->sides);
	ctl_put_u32(w, c->count);
	ctl_put_u32(w, c->seconds);
	ctl_put_u16(w, (uint16_t)c->n_insns);
	for (uint32_t i = 0; i < c->n_insns; i++) {
		ctl_put_u16(w, program[i].code);
		ctl_put_u8(w, program[i].jt);
		ctl_put_u8(w, program[i].jf);
		ctl_put_u32(w, program[i].k);
	}
	ctl_put_filter(w, &c->filter);
	return ctl_frame_end(w, begin);
}

bool ctl_get_capture(struct ctl_reader *r, struct ctl_capture *c)
{
	memset(c, 0, sizeof(*c));
	c->sides = ctl_get_u8(r);
	c->count = ctl_get_u32(r);
	c->seconds = ctl_get_u32(r);
	c->n_insns = ctl_get_u16(r);
	c->insns = ctl_get_bytes(r, (size_t)c->n_insns * CTL_CAPTURE_INSN);
	return ctl_get_filter(r, &c->filter) && c->sides != 0 && c->sides <= CTL_CAPTURE_BOTH && c->n_insns <= CBPF_MAX;
}

struct cbpf_insn ctl_capture_insn(const struct ctl_capture *c, uint32_t i)
{
	struct ctl_reader r = {.p = c->insns + (size_t)i * CTL_CAPTURE_INSN, .left = CTL_CAPTURE_INSN};
	struct cbpf_insn insn;

	insn.code = ctl_get_u16(&r);
	insn.jt = ctl_get_u8(&r);
	insn.jf = ctl_get_u8(&r);
	insn.k = ctl_get_u32(&r);
	return insn;
}

bool ctl_put_packet(struct ctl_writer *w, const struct ctl_packet *p)
{
	size_t begin = ctl_frame_begin(w, CTL_R_PACKET);

	ctl_put_u64(w, p->time_ns);
	ctl_put_u64(w, p->number);
	ctl_put_u8(w, p->side);
	ctl_put_u8(w, p->flags);
	ctl_put_u8(w, p->fate);
	ctl_put_u8(w, p->protocol);
	ctl_put_u64(w, p->session);
	ctl_put_endpoint(w, &p->inside);
	ctl_put_endpoint(w, &p->outside);
	ctl_put_endpoint(w, &p->remote);
	ctl_put_text(w, p->reason);
	ctl_put_u32(w, p->wire_len);
	ctl_put_u16(w, p->len);
	ctl_put_bytes(w, p->bytes, p->len);
	return ctl_frame_end(w, begin);
}

bool ctl_get_packet(struct ctl_reader *r, struct ctl_packet *p)
{
	memset(p, 0, sizeof(*p));
	p->time_ns = ctl_get_u64(r);
	p->number = ctl_get_u64(r);
	p->side = ctl_get_u8(r);
	p->flags = ctl_get_u8(r);
	p->fate = ctl_get_u8(r);
	p->protocol = ctl_get_u8(r);
	p->session = ctl_get_u64(r);
	p->inside = ctl_get_endpoint(r);
	p->outside = ctl_get_endpoint(r);
	p->remote = ctl_get_endpoint(r);
	ctl_get_text(r, p->reason, sizeof(p->reason));
	p->wire_len = ctl_get_u32(r);
	p->len = ctl_get_u16(r);
	p->bytes = ctl_get_bytes(r, p->len);
	return !r->bad && p->side <= CTL_CAPTURE_OUTSIDE && p->fate < CTL_FATE_COUNT && p->len <= p->wire_len;
}
