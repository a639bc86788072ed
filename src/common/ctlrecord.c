/* SPDX-License-Identifier: ISC */
/* Encoding and decoding of most records, see ctlrecord.h. */
#include "ctlrecord.h"

/* ---- parts ---- */

void ctl_put_endpoint(struct ctl_writer *w, const struct ctl_endpoint *e)
{
	ctl_put_u32(w, e->address);
	ctl_put_u16(w, e->port);
}

struct ctl_endpoint ctl_get_endpoint(struct ctl_reader *r)
{
	struct ctl_endpoint e;

	e.address = ctl_get_u32(r);
	e.port = ctl_get_u16(r);
	return e;
}

static uint32_t prefix_mask(uint8_t length)
{
	return length == 0 ? 0 : UINT32_MAX << (32 - length);
}

void ctl_put_prefix(struct ctl_writer *w, const struct ctl_prefix *p)
{
	ctl_put_u32(w, p->address);
	ctl_put_u8(w, p->length);
}

struct ctl_prefix ctl_get_prefix(struct ctl_reader *r)
{
	struct ctl_prefix p;

	p.address = ctl_get_u32(r);
	p.length = ctl_get_u8(r);
	if (p.length > 32 || (p.address & ~prefix_mask(p.length)) != 0) {
		r->bad = true;
		p = (struct ctl_prefix){0, 0};
	}
	return p;
}

/* ---- connections ---- */

static const char *const state_names[CTL_STATE_COUNT] = {
	[CTL_STATE_NONE] = "NONE",	   [CTL_STATE_SYN_SENT] = "SYN_SENT",
	[CTL_STATE_SYN_RECV] = "SYN_RECV", [CTL_STATE_ESTABLISHED] = "ESTABLISHED",
	[CTL_STATE_FIN_WAIT] = "FIN_WAIT", [CTL_STATE_CLOSE_WAIT] = "CLOSE_WAIT",
	[CTL_STATE_LAST_ACK] = "LAST_ACK", [CTL_STATE_TIME_WAIT] = "TIME_WAIT",
	[CTL_STATE_CLOSE] = "CLOSE",	   [CTL_STATE_SYN_SENT2] = "SYN_SENT2",
};

const char *ctl_state_name(uint8_t state)
{
	return state_names[state < CTL_STATE_COUNT ? state : CTL_STATE_NONE];
}

/* Letters of state names are A to Z. */
static bool same_name(const char *name, const char *upper)
{
	while (*upper && (*name == *upper || (*name >= 'a' && *name <= 'z' && *name - 'a' + 'A' == *upper))) {
		name++;
		upper++;
	}
	return *name == '\0' && *upper == '\0';
}

int ctl_state_by_name(const char *name)
{
	for (int i = 0; i < CTL_STATE_COUNT; i++) {
		if (same_name(name, state_names[i]))
			return i;
	}
	return -1;
}

void ctl_put_entry_body(struct ctl_writer *w, const struct ctl_entry *e)
{
	ctl_put_u64(w, e->id);
	ctl_put_u8(w, e->protocol);
	ctl_put_u8(w, e->state);
	ctl_put_u8(w, e->flags);
	ctl_put_u32(w, e->timeout_s);
	ctl_put_u32(w, e->age_s);
	ctl_put_endpoint(w, &e->inside);
	ctl_put_endpoint(w, &e->outside);
	ctl_put_endpoint(w, &e->remote);
	for (int dir = 0; dir < 2; dir++) {
		ctl_put_u64(w, e->packets[dir]);
		ctl_put_u64(w, e->bytes[dir]);
	}
	ctl_put_text_max(w, e->forward, CTL_NAME_MAX);
	if (e->backend.address != 0 || e->pair[0] != '\0')
		ctl_put_endpoint(w, &e->backend);
	if (e->pair[0] != '\0')
		ctl_put_text_max(w, e->pair, CTL_NAME_MAX);
}

bool ctl_put_entry(struct ctl_writer *w, const struct ctl_entry *e)
{
	size_t begin = ctl_frame_begin(w, CTL_R_ENTRY);

	ctl_put_entry_body(w, e);
	return ctl_frame_end(w, begin);
}

bool ctl_get_entry(struct ctl_reader *r, struct ctl_entry *e)
{
	struct ctl_reader rest;

	e->id = ctl_get_u64(r);
	e->protocol = ctl_get_u8(r);
	e->state = ctl_get_u8(r);
	e->flags = ctl_get_u8(r);
	e->timeout_s = ctl_get_u32(r);
	e->age_s = ctl_get_u32(r);
	e->inside = ctl_get_endpoint(r);
	e->outside = ctl_get_endpoint(r);
	e->remote = ctl_get_endpoint(r);
	for (int dir = 0; dir < 2; dir++) {
		e->packets[dir] = ctl_get_u64(r);
		e->bytes[dir] = ctl_get_u64(r);
	}
	ctl_get_text(r, e->forward, sizeof(e->forward));
	e->backend = (struct ctl_endpoint){0, 0};
	e->pair[0] = '\0';
	if (r->left >= 6)
		e->backend = ctl_get_endpoint(r);
	rest = *r; /* the rest may come from a later version */
	if (rest.left > 0)
		ctl_get_text(&rest, e->pair, sizeof(e->pair));
	if (rest.bad)
		e->pair[0] = '\0';
	else
		*r = rest;
	return !r->bad;
}

void ctl_entry_tuples(const struct ctl_entry *e, struct ctl_tuple tuple[2])
{
	const struct ctl_tuple inner = {e->inside, e->remote};
	const struct ctl_tuple outer = {e->remote, e->outside};

	/* The opener's side of the translation comes first. */
	tuple[0] = e->flags & CTL_ENTRY_FROM_OUTSIDE ? outer : inner;
	tuple[1] = e->flags & CTL_ENTRY_FROM_OUTSIDE ? inner : outer;
}

bool ctl_in_prefix(const struct ctl_prefix *p, uint32_t address)
{
	return (address & prefix_mask(p->length)) == p->address;
}

/* ---- mappings and blocks ---- */

bool ctl_put_who(struct ctl_writer *w, const struct ctl_who *q)
{
	size_t begin = ctl_frame_begin(w, CTL_WHO);

	ctl_put_endpoint(w, &q->outside);
	ctl_put_u8(w, q->protocol);
	return ctl_frame_end(w, begin);
}

bool ctl_get_who(struct ctl_reader *r, struct ctl_who *q)
{
	q->outside = ctl_get_endpoint(r);
	q->protocol = ctl_get_u8(r);
	return !r->bad && r->left == 0;
}

void ctl_put_mapping_body(struct ctl_writer *w, const struct ctl_mapping *m)
{
	ctl_put_u8(w, m->protocol);
	ctl_put_endpoint(w, &m->inside);
	ctl_put_endpoint(w, &m->outside);
	ctl_put_endpoint(w, &m->remote);
	ctl_put_u32(w, m->sessions);
}

bool ctl_put_mapping(struct ctl_writer *w, const struct ctl_mapping *m)
{
	size_t begin = ctl_frame_begin(w, CTL_R_MAPPING);

	ctl_put_mapping_body(w, m);
	return ctl_frame_end(w, begin);
}

bool ctl_get_mapping(struct ctl_reader *r, struct ctl_mapping *m)
{
	m->protocol = ctl_get_u8(r);
	m->inside = ctl_get_endpoint(r);
	m->outside = ctl_get_endpoint(r);
	m->remote = ctl_get_endpoint(r);
	m->sessions = ctl_get_u32(r);
	return !r->bad;
}

bool ctl_put_block(struct ctl_writer *w, const struct ctl_block *b)
{
	size_t begin = ctl_frame_begin(w, CTL_R_BLOCK);

	ctl_put_u32(w, b->inside);
	ctl_put_u32(w, b->outside);
	ctl_put_u16(w, b->first);
	ctl_put_u16(w, b->last);
	ctl_put_u32(w, b->used);
	ctl_put_u32(w, b->age_s);
	ctl_put_u8(w, b->is_fixed);
	return ctl_frame_end(w, begin);
}

bool ctl_get_block(struct ctl_reader *r, struct ctl_block *b)
{
	b->inside = ctl_get_u32(r);
	b->outside = ctl_get_u32(r);
	b->first = ctl_get_u16(r);
	b->last = ctl_get_u16(r);
	b->used = ctl_get_u32(r);
	b->age_s = ctl_get_u32(r);
	b->is_fixed = ctl_get_u8(r) != 0;
	return !r->bad && b->first <= b->last;
}
