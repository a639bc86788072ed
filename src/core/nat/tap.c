/* SPDX-License-Identifier: ISC */
/*
 * The tap, see tap.h.
 *
 * Theory of operation. With a tap, each packet is announced before and after it is processed, and every emitted packet
 * goes through tap_emit(), which reports it to the tap and then calls the caller's function. In between n->tapped.work
 * is the packet's work, with the session and the verdict; its original data are stored in n->tapped, since its bytes
 * are rewritten.
 */
#include "tap.h"

#include <assert.h>
#include <string.h>

#include "nat_private.h"

void nat_set_tap(struct nat *n, const struct nat_tap *tap)
{
	n->tap = tap;
	if (tap != NULL && n->mirror != NULL)
		mirror_withdraw_all(n); /* every packet is to be seen */
}

static struct nat_endpoint endpoint(uint32_t address, uint16_t port)
{
	return (struct nat_endpoint){address, port};
}

static void fill_session(const struct nat *n, struct nat_fate *f, const struct session *s)
{
	f->session = table_session_id(n->table, s);
	f->proto_class = (uint8_t)session_class(s);
	f->from_outside = (s->kind & SESSION_KIND_FROM_OUTSIDE) != 0;
	f->inside = endpoint(s->int_addr, s->int_port);
	f->outside = endpoint(table_address(n->table, s->ext), s->ext_port);
	f->remote = endpoint(s->rem_addr, s->rem_port);
}

static void fill_fate(const struct nat *n, struct nat_fate *f)
{
	const struct tapped *t = &n->tapped;

	*f = t->came;
	f->to = t->work->p->to;
	f->reason = t->work->p->reason;
	if (t->work->session != NULL)
		fill_session(n, f, t->work->session);
}

/* A cut packet's pieces lie within it; answers and fragments that were held do not. */
static bool is_form(const struct tapped *t, const struct nat_packet *p)
{
	return t->work != NULL && p->data >= t->work->p->data && p->data < t->work->p->data + t->len;
}

static void tap_emit(void *ctx, const struct nat_packet *p, bool owned)
{
	struct nat *n = ctx;
	struct nat_fate f;

	if (n->tapped.work != NULL)
		fill_fate(n, &f);
	n->tap->leaves(n->tap->ctx, p, is_form(&n->tapped, p), n->tapped.work != NULL ? &f : NULL);
	n->tapped.emit(n->tapped.emit_ctx, p, owned);
}

void nat_tap_emissions(struct nat *n)
{
	n->tapped.emit = n->emit;
	n->tapped.emit_ctx = n->emit_ctx;
	n->emit = tap_emit;
	n->emit_ctx = n;
}

/* A packet that could not be parsed may still have addresses. */
static bool came_from_outside(const struct nat *n, const struct work *w)
{
	if (w->reason == NAT_PASS || w->p->len < 20)
		return !w->from_inside;
	return !rules_is_inside(n->rules, load32(w->p->data + 12));
}

static void note_tuple(struct nat_fate *f, const struct work *w)
{
	const struct pkt_view *v = &w->v;

	f->proto_class = v->proto_class;
	if (f->from_outside) {
		f->outside = endpoint(v->dst, v->dport);
		f->remote = endpoint(v->src, v->sport);
	} else {
		f->inside = endpoint(v->src, v->sport);
		f->remote = endpoint(v->dst, v->dport);
	}
}

void nat_tap_came(struct nat *n, struct work *w)
{
	struct tapped *t = &n->tapped;

	assert(t->work == NULL);
	t->work = w;
	t->len = w->p->len;
	t->came = (struct nat_fate){.proto_class = CLASS_COUNT, .from_outside = came_from_outside(n, w)};
	if (w->p->len >= 20)
		t->came.protocol = w->p->data[9];
	if (w->reason == NAT_PASS)
		note_tuple(&t->came, w);
	w->p->to = NAT_NOWHERE;
	w->p->reason = NAT_PASS;
	n->tap->came(n->tap->ctx, w->p, t->came.from_outside);
}

void nat_tap_done(struct nat *n)
{
	const struct work *w = n->tapped.work;
	struct nat_fate f;

	if (w->p->to != NAT_NOWHERE || !nat_is_hosts_own(w, (enum nat_reason)w->p->reason)) {
		fill_fate(n, &f);
		n->tap->done(n->tap->ctx, &f);
	}
	n->tapped.work = NULL;
}
