/* SPDX-License-Identifier: ISC */
/*
 * Forwards that can never take a packet, because an earlier one takes it: the first in file order wins. A
 * forward hides a later one where both mean the same protocol and port, its address is the same or it means
 * every address, and everyone whom the later one allows is allowed by it. Anything less is a choice: a
 * narrow forward before a general one, or one outside port that leads different senders to different hosts.
 *
 * Every forward is cut into pieces, one for each protocol, sorted by protocol, address and port. Neighbours
 * show what collides on one address; what collides with every address is found in the pieces of address 0,
 * each of which knows how far the ones before it reach.
 */
#include <stdlib.h>
#include <string.h>

#include "config_internal.h"
#include "config_text.h"

struct piece {
	uint32_t address;
	uint32_t forward; /* index: file order */
	uint16_t first;
	uint16_t last;
	uint16_t reach; /* largest `last` of this address's pieces up to here */
	uint8_t class_;
};

struct pieces {
	struct config_loader *l;
	struct piece *all;
	uint32_t n;
	bool *is_hidden; /* by forward: reported already */
};

static int by_place(const void *a, const void *b)
{
	const struct piece *x = a;
	const struct piece *y = b;

	if (x->class_ != y->class_)
		return x->class_ < y->class_ ? -1 : 1;
	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return (x->forward > y->forward) - (x->forward < y->forward);
}

static void add_piece(struct pieces *s, uint32_t forward, enum nat_class c)
{
	const struct nat_forward *f = &s->l->c->forwards[forward];

	if (f->protocols & 1u << c)
		s->all[s->n++] = (struct piece){.address = f->address,
						.forward = forward,
						.first = f->ports.first,
						.last = f->ports.last,
						.class_ = (uint8_t)c};
}

static bool same_place(const struct piece *a, const struct piece *b)
{
	return a->class_ == b->class_ && a->address == b->address;
}

static void make_pieces(struct pieces *s)
{
	for (uint32_t i = 0; i < s->l->c->n_forwards; i++) {
		add_piece(s, i, CLASS_TCP);
		add_piece(s, i, CLASS_UDP);
	}
	if (s->n > 1)
		qsort(s->all, s->n, sizeof(*s->all), by_place);
	for (uint32_t i = 0; i < s->n; i++) {
		struct piece *p = &s->all[i];

		p->reach = p->last;
		if (i > 0 && same_place(p - 1, p) && p[-1].reach > p->reach)
			p->reach = p[-1].reach;
	}
}

/* Does one of the prefixes in `wide` hold all of `p`? */
static bool prefix_is_within(const struct nat_prefix *p, const struct nat_forward *wide)
{
	for (uint32_t i = 0; i < wide->n_from; i++) {
		const struct nat_prefix *w = &wide->from[i];

		if (w->address <= p->address && text_prefix_last(w) >= text_prefix_last(p))
			return true;
	}
	return false;
}

static bool allows_all_of(const struct nat_forward *earlier, const struct nat_forward *later)
{
	if (earlier->n_from == 0)
		return true;
	for (uint32_t i = 0; i < later->n_from; i++) {
		if (!prefix_is_within(&later->from[i], earlier))
			return false;
	}
	return later->n_from > 0;
}

static void report_hidden(struct pieces *s, const struct piece *earlier, const struct piece *later)
{
	const struct natd_config *c = s->l->c;
	struct nat_range common = {earlier->first > later->first ? earlier->first : later->first,
				   earlier->last < later->last ? earlier->last : later->last};
	const char *protocol = later->class_ == CLASS_TCP ? "tcp" : "udp";
	char ports[TEXT_RANGE_SIZE];

	s->is_hidden[later->forward] = true;
	loader_error(s->l, c->forward_lines[later->forward],
		     "forward \"%s\" never gets %s port %s: forward \"%s\" (line %u) takes it first; %s",
		     c->forwards[later->forward].name, protocol, text_of_ports(ports, common),
		     c->forwards[earlier->forward].name, c->forward_lines[earlier->forward],
		     earlier->address == later->address ? "choose another port" : "put the one with an address first");
}

/* `a` and `b` share a port. */
static void judge(struct pieces *s, const struct piece *a, const struct piece *b)
{
	const struct piece *earlier = a->forward < b->forward ? a : b;
	const struct piece *later = earlier == a ? b : a;
	const struct nat_forward *forwards = s->l->c->forwards;

	if (s->is_hidden[later->forward] || (earlier->address != later->address && earlier->address != 0))
		return;
	if (allows_all_of(&forwards[earlier->forward], &forwards[later->forward]))
		report_hidden(s, earlier, later);
}

static void judge_neighbours(struct pieces *s, uint32_t i)
{
	const struct piece *p = &s->all[i];

	for (uint32_t j = i + 1; j < s->n && same_place(p, &s->all[j]) && s->all[j].first <= p->last; j++)
		judge(s, p, &s->all[j]);
}

/* Number of pieces that sort before (class, address, port). */
static uint32_t pieces_before(const struct pieces *s, enum nat_class c, uint32_t address, uint32_t port)
{
	uint32_t low = 0;
	uint32_t high = s->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct piece *m = &s->all[middle];
		bool is_before = m->class_ != c		 ? m->class_ < (int)c
				 : m->address != address ? m->address < address
							 : m->first < port;

		if (is_before)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Against the pieces that mean every address. */
static void judge_wildcards(struct pieces *s, uint32_t i)
{
	const struct piece *p = &s->all[i];
	uint32_t j = pieces_before(s, (enum nat_class)p->class_, 0, (uint32_t)p->last + 1);

	while (j-- > 0) {
		const struct piece *w = &s->all[j];

		if (w->class_ != p->class_ || w->reach < p->first)
			return;
		if (w->last >= p->first)
			judge(s, w, p);
	}
}

void config_check_overlaps(struct config_loader *l)
{
	struct pieces s = {.l = l};

	s.all = loader_alloc(l, 2 * (size_t)l->c->n_forwards, sizeof(*s.all));
	s.is_hidden = loader_alloc(l, l->c->n_forwards, sizeof(*s.is_hidden));
	if (s.all && s.is_hidden) {
		make_pieces(&s);
		for (uint32_t i = 0; i < s.n && l->report->n_errors < CONFIG_PROBLEMS_MAX; i++) {
			judge_neighbours(&s, i);
			if (s.all[i].address != 0)
				judge_wildcards(&s, i);
		}
	}
	free(s.all);
	free(s.is_hidden);
}
