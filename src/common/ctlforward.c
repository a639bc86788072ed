/* SPDX-License-Identifier: ISC */
/* See ctlforward.h. */
#include "ctlforward.h"

static uint32_t shown_from(uint32_t n_from)
{
	return n_from < CTL_FROM_MAX ? n_from : CTL_FROM_MAX;
}

enum { FORWARD_DYNAMIC = 0x80 }; /* beside the side */

bool ctl_put_forward(struct ctl_writer *w, const struct ctl_forward *f)
{
	size_t begin = ctl_frame_begin(w, CTL_R_FORWARD);

	ctl_put_text_max(w, f->name, CTL_NAME_MAX);
	ctl_put_u8(w, f->protocols);
	ctl_put_u32(w, f->address);
	ctl_put_u16(w, f->first_port);
	ctl_put_u16(w, f->last_port);
	ctl_put_endpoint(w, &f->to);
	ctl_put_u32(w, f->n_from);
	ctl_put_u8(w, (uint8_t)shown_from(f->n_from));
	for (uint32_t i = 0; i < shown_from(f->n_from); i++)
		ctl_put_prefix(w, &f->from[i]);
	ctl_put_u16(w, f->n_backends);
	ctl_put_u8(w, f->balance);
	ctl_put_u8(w, (uint8_t)(f->side | (f->is_dynamic ? FORWARD_DYNAMIC : 0)));
	ctl_put_u32(w, f->affinity_s);
	return ctl_frame_end(w, begin);
}

bool ctl_get_forward(struct ctl_reader *r, struct ctl_forward *f)
{
	uint32_t shown;

	ctl_get_text(r, f->name, sizeof(f->name));
	f->protocols = ctl_get_u8(r);
	f->address = ctl_get_u32(r);
	f->first_port = ctl_get_u16(r);
	f->last_port = ctl_get_u16(r);
	f->to = ctl_get_endpoint(r);
	f->n_from = ctl_get_u32(r);
	shown = ctl_get_u8(r);
	if (shown != shown_from(f->n_from))
		return false;
	for (uint32_t i = 0; i < shown; i++)
		f->from[i] = ctl_get_prefix(r);
	f->n_backends = f->balance = f->side = 0;
	f->is_dynamic = false;
	f->affinity_s = 0;
	if (r->left == 0) /* from a natd without balanced forwards */
		return !r->bad;
	f->n_backends = ctl_get_u16(r);
	f->balance = ctl_get_u8(r);
	f->side = ctl_get_u8(r);
	f->is_dynamic = (f->side & FORWARD_DYNAMIC) != 0;
	f->side &= (uint8_t)~FORWARD_DYNAMIC;
	f->affinity_s = ctl_get_u32(r);
	return !r->bad;
}

const char *ctl_balance_name(uint8_t balance)
{
	static const char *const names[CTL_BALANCE_COUNT] = {"hash", "least", "random"};

	return balance < CTL_BALANCE_COUNT ? names[balance] : "?";
}

const char *ctl_side_name(uint8_t side)
{
	static const char *const names[CTL_SIDE_COUNT] = {"outside", "inside", "both"};

	return side < CTL_SIDE_COUNT ? names[side] : "?";
}

const char *ctl_backend_state_name(uint8_t closed)
{
	if (closed & CTL_BACKEND_DOWN)
		return "down";
	return closed & CTL_BACKEND_DRAINED ? "drained" : "up";
}

bool ctl_put_forward_order(struct ctl_writer *w, const struct ctl_forward_order *o)
{
	size_t begin = ctl_frame_begin(w, CTL_FORWARD_ORDER);

	ctl_put_u8(w, o->is_removal);
	ctl_put_u32(w, o->lifetime_s);
	ctl_put_text_max(w, o->name, CTL_NAME_MAX);
	ctl_put_text_max(w, o->text, CTL_FORWARD_TEXT);
	return ctl_frame_end(w, begin);
}

bool ctl_get_forward_order(struct ctl_reader *r, struct ctl_forward_order *o)
{
	uint8_t removal = ctl_get_u8(r);

	o->is_removal = removal == 1;
	o->lifetime_s = ctl_get_u32(r);
	ctl_get_text(r, o->name, sizeof(o->name));
	ctl_get_text(r, o->text, sizeof(o->text));
	return !r->bad && r->left == 0 && removal <= 1 && o->name[0] != '\0';
}

bool ctl_put_reload(struct ctl_writer *w, uint32_t confirm_s)
{
	size_t begin = ctl_frame_begin(w, CTL_RELOAD);

	if (confirm_s > 0)
		ctl_put_u32(w, confirm_s);
	return ctl_frame_end(w, begin);
}

bool ctl_put_backend_order(struct ctl_writer *w, const struct ctl_backend_order *o)
{
	size_t begin = ctl_frame_begin(w, CTL_BACKEND_ORDER);

	ctl_put_u8(w, o->drain);
	ctl_put_endpoint(w, &o->host);
	ctl_put_text_max(w, o->forward, CTL_NAME_MAX);
	return ctl_frame_end(w, begin);
}

bool ctl_get_backend_order(struct ctl_reader *r, struct ctl_backend_order *o)
{
	uint8_t drain = ctl_get_u8(r);

	o->drain = drain == 1;
	o->host = ctl_get_endpoint(r);
	ctl_get_text(r, o->forward, sizeof(o->forward));
	return !r->bad && r->left == 0 && drain <= 1;
}

bool ctl_put_backend(struct ctl_writer *w, const struct ctl_backend_state *b)
{
	size_t begin = ctl_frame_begin(w, CTL_R_BACKEND);

	ctl_put_endpoint(w, &b->host);
	ctl_put_u16(w, b->weight);
	ctl_put_u8(w, b->closed);
	ctl_put_u32(w, b->sessions);
	return ctl_frame_end(w, begin);
}

bool ctl_get_backend(struct ctl_reader *r, struct ctl_backend_state *b)
{
	b->host = ctl_get_endpoint(r);
	b->weight = ctl_get_u16(r);
	b->closed = ctl_get_u8(r);
	b->sessions = ctl_get_u32(r);
	return !r->bad;
}
