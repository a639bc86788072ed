/* SPDX-License-Identifier: ISC */
/*
 * Encoding and decoding of what listings carry, and the filter: it is evaluated on a record, by the
 * daemon, so that a listing sends only what was asked for.
 */
#include "ctlrecord.h"

#include <string.h>

enum { PROTOCOL_ICMP = 1, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17 };

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

static void put_prefix(struct ctl_writer *w, const struct ctl_prefix *p)
{
	ctl_put_u32(w, p->address);
	ctl_put_u8(w, p->length);
}

static struct ctl_prefix get_prefix(struct ctl_reader *r)
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

/* ---- requests with a filter ---- */

void ctl_put_filter(struct ctl_writer *w, const struct ctl_filter *f)
{
	ctl_put_u16(w, f->criteria);
	if (f->criteria & CTL_BY_PROTOCOL)
		ctl_put_u8(w, f->protocol);
	if (f->criteria & CTL_BY_ORIG_SRC)
		put_prefix(w, &f->orig_src);
	if (f->criteria & CTL_BY_ORIG_DST)
		put_prefix(w, &f->orig_dst);
	if (f->criteria & CTL_BY_REPLY_SRC)
		put_prefix(w, &f->reply_src);
	if (f->criteria & CTL_BY_REPLY_DST)
		put_prefix(w, &f->reply_dst);
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
		f->orig_src = get_prefix(r);
	if (f->criteria & CTL_BY_ORIG_DST)
		f->orig_dst = get_prefix(r);
	if (f->criteria & CTL_BY_REPLY_SRC)
		f->reply_src = get_prefix(r);
	if (f->criteria & CTL_BY_REPLY_DST)
		f->reply_dst = get_prefix(r);
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
	rest = *r; /* what follows may be a later version's */
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

	/* Whoever opened it comes first, on his own side of the translation. */
	tuple[0] = e->flags & CTL_ENTRY_FROM_OUTSIDE ? outer : inner;
	tuple[1] = e->flags & CTL_ENTRY_FROM_OUTSIDE ? inner : outer;
}

static bool has_ports(uint8_t protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP;
}

bool ctl_in_prefix(const struct ctl_prefix *p, uint32_t address)
{
	return (address & prefix_mask(p->length)) == p->address;
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

/* natd keeps sessions of echo requests alone: their type and code are always the same. */
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

/* ---- mappings, forwards, pools ---- */

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

/* ---- hosts ---- */

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
		put_prefix(w, &f->from[i]);
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
		f->from[i] = get_prefix(r);
	f->n_backends = f->balance = f->side = 0;
	f->is_dynamic = false;
	f->affinity_s = 0;
	if (r->left == 0) /* of a natd without balanced forwards */
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

bool ctl_put_pool(struct ctl_writer *w, const struct ctl_pool *p)
{
	size_t begin = ctl_frame_begin(w, CTL_R_POOL);

	ctl_put_u32(w, p->address);
	ctl_put_u8(w, p->shared);
	ctl_put_u32(w, p->ports);
	for (int i = 0; i < 3; i++)
		ctl_put_u32(w, p->used[i]);
	for (int i = 0; i < 3; i++)
		ctl_put_u32(w, p->quarantined[i]);
	return ctl_frame_end(w, begin);
}

bool ctl_get_pool(struct ctl_reader *r, struct ctl_pool *p)
{
	p->address = ctl_get_u32(r);
	p->shared = ctl_get_u8(r) & 1;
	p->ports = ctl_get_u32(r);
	for (int i = 0; i < 3; i++)
		p->used[i] = ctl_get_u32(r);
	for (int i = 0; i < 3; i++)
		p->quarantined[i] = r->left > 0 ? ctl_get_u32(r) : 0;
	return !r->bad;
}

/* ---- counters, status, doctor, lines ---- */

bool ctl_put_counter(struct ctl_writer *w, const struct ctl_counter *c)
{
	size_t begin = ctl_frame_begin(w, CTL_R_COUNTER);

	ctl_put_u64(w, c->value);
	ctl_put_text(w, c->name);
	ctl_put_text(w, c->help);
	ctl_put_u8(w, c->type);
	ctl_put_text(w, c->unit);
	return ctl_frame_end(w, begin);
}

bool ctl_get_counter(struct ctl_reader *r, struct ctl_counter *c)
{
	*c = (struct ctl_counter){.value = ctl_get_u64(r)};
	ctl_get_text(r, c->name, sizeof(c->name));
	ctl_get_text(r, c->help, sizeof(c->help));
	if (r->left > 0) { /* the fields that came later */
		c->type = ctl_get_u8(r);
		ctl_get_text(r, c->unit, sizeof(c->unit));
	}
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

static size_t begin_item(struct ctl_writer *w, enum ctl_item_kind kind, const char *name)
{
	struct ctl_item i;
	size_t begin = ctl_frame_begin(w, CTL_R_ITEM);

	ctl_put_u8(w, (uint8_t)kind);
	ctl_put_text_max(w, name, sizeof(i.name) - 1);
	return begin;
}

bool ctl_put_item_number(struct ctl_writer *w, const char *name, uint64_t number)
{
	size_t begin = begin_item(w, CTL_ITEM_NUMBER, name);

	ctl_put_u64(w, number);
	return ctl_frame_end(w, begin);
}

bool ctl_put_item_text(struct ctl_writer *w, enum ctl_item_kind kind, const char *name, const char *text)
{
	size_t begin = begin_item(w, kind, name);

	ctl_put_text(w, text);
	return ctl_frame_end(w, begin);
}

bool ctl_get_item(struct ctl_reader *r, struct ctl_item *i)
{
	i->number = 0;
	i->text[0] = '\0';
	i->kind = ctl_get_u8(r);
	ctl_get_text(r, i->name, sizeof(i->name));
	if (i->kind == CTL_ITEM_NUMBER)
		i->number = ctl_get_u64(r);
	else
		ctl_get_text(r, i->text, sizeof(i->text));
	return !r->bad && i->kind <= CTL_ITEM_LIST;
}

bool ctl_put_check(struct ctl_writer *w, const struct ctl_check *c)
{
	size_t begin = ctl_frame_begin(w, CTL_R_CHECK);

	ctl_put_u8(w, c->severity);
	ctl_put_text(w, c->what);
	ctl_put_text(w, c->mend);
	ctl_put_text_max(w, c->id, CTL_NAME_MAX);
	ctl_put_u8(w, c->percent);
	return ctl_frame_end(w, begin);
}

bool ctl_get_check(struct ctl_reader *r, struct ctl_check *c)
{
	*c = (struct ctl_check){.severity = ctl_get_u8(r)};
	ctl_get_text(r, c->what, sizeof(c->what));
	ctl_get_text(r, c->mend, sizeof(c->mend));
	if (r->left > 0) { /* the fields that came later */
		ctl_get_text(r, c->id, sizeof(c->id));
		c->percent = ctl_get_u8(r);
	}
	return !r->bad && c->severity <= CTL_CHECK_FAIL;
}

bool ctl_put_line(struct ctl_writer *w, const char *text)
{
	size_t begin = ctl_frame_begin(w, CTL_R_LINE);

	ctl_put_text(w, text);
	return ctl_frame_end(w, begin);
}

bool ctl_get_line(struct ctl_reader *r, char text[CTL_TEXT_MAX + 1])
{
	ctl_get_text(r, text, CTL_TEXT_MAX + 1);
	return !r->bad;
}
