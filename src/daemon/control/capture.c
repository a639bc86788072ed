/* SPDX-License-Identifier: ISC */
/* Captures of packets, see capture.h. */
#include "capture.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/nat/view.h"
#include "ctlclient.h"
#include "daemon/base/log.h"
#include "daemon/path/vnet.h"
#include "entry.h"

enum verdict { UNKNOWN, WANTED, UNWANTED };

/* A packet in the ring: this, and `len` bytes. */
struct record {
	struct nat_fate fate;
	uint64_t time_ns;
	uint64_t number;
	uint32_t wire_len;
	uint16_t len;
	uint8_t side, flags;
	bool csum_partial; /* its transport checksum is still partial */
};

struct capture {
	struct cbpf_insn *program; /* owned; NULL: every packet */
	struct ctl_filter filter;
	uint8_t sides;
	uint64_t left;	  /* records still to capture */
	uint32_t seconds; /* 0: no time limit */
	uint64_t end_ms;  /* 0: the time has not started */
	uint64_t lost;	  /* not yet reported to the client */
	uint64_t lost_total;

	/* About the most recent packet. */
	bool is_matched; /* by the program, in one of its forms */
	bool is_written; /* the inbound form was written */
	enum verdict filtered;

	uint64_t head, tail; /* bytes written and read since the start */
	uint8_t ring[CAPTURE_RING];
};

/* ---- the ring ---- */

static void ring_write(struct capture *c, const void *bytes, uint32_t len)
{
	uint32_t at = (uint32_t)(c->head % CAPTURE_RING), first = CAPTURE_RING - at < len ? CAPTURE_RING - at : len;

	memcpy(c->ring + at, bytes, first);
	memcpy(c->ring, (const uint8_t *)bytes + first, len - first);
	c->head += len;
}

static void ring_read(struct capture *c, void *bytes, uint32_t len)
{
	uint32_t at = (uint32_t)(c->tail % CAPTURE_RING), first = CAPTURE_RING - at < len ? CAPTURE_RING - at : len;

	assert(c->head - c->tail >= len);
	memcpy(bytes, c->ring + at, first);
	memcpy((uint8_t *)bytes + first, c->ring, len - first);
	c->tail += len;
}

/* Appends a record with its bytes in two parts. */
static void append(struct capture *c, struct record *r, const uint8_t *head, uint32_t head_len, const uint8_t *rest)
{
	if (!(c->sides >> r->side & 1) || c->left == 0)
		return;
	r->len = (uint16_t)(r->wire_len < CTL_PACKET_BYTES_MAX ? r->wire_len : CTL_PACKET_BYTES_MAX);
	if (CAPTURE_RING - (c->head - c->tail) < sizeof(*r) + r->len) {
		c->lost++;
		c->lost_total++;
		return;
	}
	if (head_len > r->len)
		head_len = r->len;
	ring_write(c, r, sizeof(*r));
	ring_write(c, head, head_len);
	ring_write(c, rest, r->len - head_len);
	c->left--;
}

static bool has_news(const struct capture *c)
{
	return c->head != c->tail || c->lost > 0;
}

/* ---- matching ---- */

static bool matches(const struct capture *c, const uint8_t *bytes, uint32_t len)
{
	return !c->program || cbpf_run(c->program, bytes, len, len) != 0;
}

/* A packet without a session is matched like the session that it would have opened. */
static void fill_entry(struct ctl_entry *e, const struct nat_fate *f)
{
	memset(e, 0, sizeof(*e));
	e->protocol = f->protocol;
	e->flags = f->from_outside ? CTL_ENTRY_FROM_OUTSIDE : 0;
	e->inside = (struct ctl_endpoint){f->inside.address, f->inside.port};
	e->outside = (struct ctl_endpoint){f->outside.address, f->outside.port};
	e->remote = (struct ctl_endpoint){f->remote.address, f->remote.port};
}

static bool passes_filter(const struct capture *c, struct nat *nat, const struct nat_fate *f)
{
	struct ctl_entry e;

	if (c->filter.criteria == 0)
		return true;
	if (!f || (f->session == 0 && f->proto_class == CLASS_COUNT))
		return false;
	if (f->session == 0 || !ctl_fill_entry_by_id(&e, nat, f->session, nat_events(nat)->now_ms))
		fill_entry(&e, f);
	return ctl_filter_matches(&c->filter, &e);
}

/* The session is known by now, and all forms of the packet share it. */
static bool is_filtered_in(struct capture *c, struct nat *nat, const struct nat_fate *f)
{
	if (c->filtered == UNKNOWN)
		c->filtered = passes_filter(c, nat, f) ? WANTED : UNWANTED;
	return c->filtered == WANTED;
}

/* ---- the tap ---- */

static uint64_t real_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void on_came(void *ctx, const struct nat_packet *p, bool from_outside)
{
	struct captures *all = ctx;
	struct capture_came *came = &all->came;

	came->number++;
	came->time_ns = real_now_ns();
	came->packet = p;
	came->len = p->len;
	came->from_outside = from_outside;
	memcpy(came->head, p->data, p->len < CAPTURE_HEAD ? p->len : CAPTURE_HEAD);
	for (uint32_t i = 0; i < CAPTURES_MAX; i++) {
		struct capture *c = all->running[i];

		if (!c)
			continue;
		c->is_matched = matches(c, p->data, p->len);
		c->is_written = false;
		c->filtered = UNKNOWN;
	}
}

/* Writes the inbound form: its first bytes as they were, and the rest, which has not been changed. */
static void write_came(struct capture *c, struct captures *all, const struct nat_fate *f)
{
	const struct capture_came *came = &all->came;
	uint32_t head_len = came->len < CAPTURE_HEAD ? came->len : CAPTURE_HEAD;
	struct record r = {
		.fate = *f,
		.time_ns = came->time_ns,
		.number = came->number,
		.wire_len = came->len,
		.side = came->from_outside ? CTL_CAPTURE_OUTSIDE : CTL_CAPTURE_INSIDE,
		.csum_partial = came->packet->csum_partial,
	};

	if (c->is_written || !c->is_matched || !is_filtered_in(c, all->nat, f))
		return;
	c->is_written = true;
	append(c, &r, came->head, head_len, came->packet->data + head_len);
}

static void write_leaving(struct capture *c, struct captures *all, const struct nat_packet *p, bool is_made,
			  const struct nat_fate *f)
{
	static const struct nat_fate none = {.proto_class = CLASS_COUNT};
	struct record r = {
		.fate = f ? *f : none,
		.time_ns = real_now_ns(),
		.number = f ? all->came.number : ++all->came.number,
		.wire_len = p->len,
		.side = p->to == NAT_TO_OUTSIDE ? CTL_CAPTURE_OUTSIDE : CTL_CAPTURE_INSIDE,
		.flags = CTL_PACKET_LEFT | (is_made ? CTL_PACKET_MADE : 0),
		.csum_partial = p->csum_partial,
	};

	append(c, &r, p->data, p->len, p->data);
}

static void leaves_one(struct capture *c, struct captures *all, const struct nat_packet *p, bool is_form,
		       const struct nat_fate *f)
{
	bool is_made = !is_form && (!f || f->to == NAT_NOWHERE);

	if (is_form)
		c->is_matched = c->is_matched || matches(c, p->data, p->len);
	if (f)
		write_came(c, all, f);
	if (p->to != NAT_TO_OUTSIDE && p->to != NAT_TO_INSIDE)
		return;
	if (is_form ? !c->is_matched : !matches(c, p->data, p->len))
		return;
	if (f ? is_filtered_in(c, all->nat, f) : c->filter.criteria == 0)
		write_leaving(c, all, p, is_made, f);
}

static void on_leaves(void *ctx, const struct nat_packet *p, bool is_form, const struct nat_fate *f)
{
	struct captures *all = ctx;

	for (uint32_t i = 0; i < CAPTURES_MAX; i++) {
		if (all->running[i])
			leaves_one(all->running[i], all, p, is_form, f);
	}
}

static void on_done(void *ctx, const struct nat_fate *f)
{
	struct captures *all = ctx;

	for (uint32_t i = 0; i < CAPTURES_MAX; i++) {
		if (all->running[i])
			write_came(all->running[i], all, f);
	}
}

static void update_tap(struct captures *all, struct nat *nat)
{
	all->nat = nat;
	all->tap = (struct nat_tap){.came = on_came, .leaves = on_leaves, .done = on_done, .ctx = all};
	nat_set_tap(nat, all->n > 0 ? &all->tap : NULL);
}

/* ---- the job ---- */

static struct cbpf_insn *read_program(const struct ctl_capture *q)
{
	struct cbpf_insn *program = calloc(q->n_insns, sizeof(*program));

	for (uint32_t i = 0; program && i < q->n_insns; i++)
		program[i] = ctl_capture_insn(q, i);
	return program;
}

const char *ctl_object_to_capture(const union ctl_args *args)
{
	const struct ctl_capture *q = &args->capture;
	struct cbpf_insn *program;
	const char *wrong;

	if (q->n_insns == 0)
		return NULL;
	program = read_program(q);
	if (!program)
		return "natd is short of memory";
	wrong = cbpf_check(program, q->n_insns);
	free(program);
	return wrong ? "capture: the filter program is not valid: natctl and its libpcap are too new for this natd"
		     : NULL;
}

/* NULL: out of memory. */
static struct capture *create(const struct ctl_capture *q)
{
	struct capture *c = malloc(sizeof(*c));

	if (!c)
		return NULL;
	memset(c, 0, offsetof(struct capture, ring)); /* the ring's pages are touched as it is used */
	c->program = q->n_insns > 0 ? read_program(q) : NULL;
	if (q->n_insns > 0 && !c->program) {
		free(c);
		return NULL;
	}
	c->filter = q->filter;
	c->sides = q->sides;
	c->left = q->count > 0 ? q->count : UINT64_MAX;
	c->seconds = q->seconds;
	return c;
}

void ctl_begin_capture(struct ctl_job *j, const struct ctl_env *env)
{
	struct captures *all = env->captures;
	uint32_t place = 0;

	while (place < CAPTURES_MAX && all->running[place])
		place++;
	if (place == CAPTURES_MAX) {
		j->failure = "capture: 4 captures are running already: end one of them first";
		return;
	}
	j->capture = create(&j->args.capture);
	if (!j->capture) {
		j->failure = "natd is short of memory";
		return;
	}
	all->running[place] = j->capture;
	all->n++;
	update_tap(all, env->nat);
	log_info(SUB_CONTROL, "a capture of packets has started");
}

/* Detaches it: no packet reaches it any more. */
static void unplug(struct captures *all, const struct capture *c, struct nat *nat)
{
	for (uint32_t i = 0; i < CAPTURES_MAX; i++) {
		if (all->running[i] != c)
			continue;
		all->running[i] = NULL;
		all->n--;
		update_tap(all, nat);
		log_info(SUB_CONTROL, "a capture of packets has ended");
	}
}

void ctl_end_capture(struct ctl_job *j, const struct ctl_env *env)
{
	struct capture *c = j->capture;

	if (!c)
		return;
	unplug(env->captures, c, env->nat);
	free(c->program);
	free(c);
	j->capture = NULL;
}

/* ---- records for the client ---- */

static uint8_t fate_of(const struct nat_fate *f)
{
	switch ((enum nat_to)f->to) {
	case NAT_TO_OUTSIDE:
		return CTL_FATE_OUTSIDE;
	case NAT_TO_INSIDE:
		return CTL_FATE_INSIDE;
	case NAT_TO_HOST:
		return CTL_FATE_HOST;
	case NAT_KEPT:
		return CTL_FATE_HELD;
	case NAT_NOWHERE:
		break;
	}
	return CTL_FATE_DROPPED;
}

static void fill_packet(struct ctl_packet *p, const struct record *r, const uint8_t *bytes)
{
	const struct nat_fate *f = &r->fate;

	*p = (struct ctl_packet){
		.time_ns = r->time_ns,
		.number = r->number,
		.side = r->side,
		.flags = r->flags,
		.fate = fate_of(f),
		.protocol = f->protocol,
		.session = f->session,
		.inside = {f->inside.address, f->inside.port},
		.outside = {f->outside.address, f->outside.port},
		.remote = {f->remote.address, f->remote.port},
		.wire_len = r->wire_len,
		.len = r->len,
		.bytes = bytes,
	};
	if (f->to == NAT_NOWHERE && f->reason != NAT_PASS)
		snprintf(p->reason, sizeof(p->reason), "%s", nat_reason_name((enum nat_reason)f->reason));
}

static void send_one(struct ctl_job *j, struct ctl_writer *w)
{
	static uint8_t bytes[CTL_PACKET_BYTES_MAX];
	struct ctl_packet p;
	struct record r;

	ring_read(j->capture, &r, sizeof(r));
	ring_read(j->capture, bytes, r.len);
	if (r.csum_partial && r.len == r.wire_len)
		vnet_finish_checksum(bytes, r.len);
	fill_packet(&p, &r, bytes);
	if (ctl_put_packet(w, &p))
		j->count++;
}

static bool has_ended(const struct capture *c, uint64_t now_ms)
{
	return c->left == 0 || (c->seconds != 0 && now_ms >= c->end_ms);
}

void ctl_slice_capture(struct ctl_job *j, const struct ctl_turn *t)
{
	struct capture *c = j->capture;

	if (!j->is_begun) {
		j->is_begun = ctl_put_lost(t->w, 0); /* tells the client that its capture is running */
		c->end_ms = t->now_ms + c->seconds * 1000ull;
	}
	if (has_ended(c, t->now_ms))
		unplug(t->env->captures, c, t->env->nat);
	while (t->w->size - t->w->len >= CTL_PACKET_FRAME_MAX && has_news(c)) {
		if (c->lost > 0 && ctl_put_lost(t->w, c->lost))
			c->lost = 0;
		if (c->head != c->tail)
			send_one(j, t->w);
	}
	j->count2 = c->lost_total;
	j->is_waiting = !has_news(c);
	j->is_done = j->is_waiting && has_ended(c, t->now_ms);
}
