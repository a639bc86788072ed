/* SPDX-License-Identifier: ISC */
/*
 * Forwards that can never match a packet, because earlier ones match all of theirs: the first in file order wins. An
 * earlier forward hides a port of a later one if both have the same protocol, its address is the same or every outside
 * address (a virtual one is none), and it allows every source that the later one allows. It is an error only if every
 * port and protocol of a forward is hidden. Anything less is a choice: a narrow forward before a general one, or one
 * outside port that leads different senders to different hosts.
 *
 * Every forward is cut into pieces, one for each class of protocols, sorted by protocol, address and port. The cover of
 * a piece grows from its first port over the earlier pieces of its own address and of address 0 (every one). Each piece
 * knows how far the ones before it reach.
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
	uint16_t reach;	     /* largest `last` of this address's pieces up to here */
	uint8_t proto_class; /* enum nat_class; CLASS_COUNT: a default host */
};

/* The hidden part of a piece, from its first port on. */
struct cover {
	uint32_t next;		/* first port that is not hidden; beyond the piece's last: all are */
	const struct piece *by; /* hides the first of them; NULL: none does */
	bool by_several;
};

/* Limit of comparisons: thousands of wide, overlapping forwards must not delay a reload. Pieces beyond it count as
 * not hidden. */
enum { WORK_MAX = 1 << 24 };

struct pieces {
	struct config_loader *l;
	struct piece *all;
	uint32_t n;
	uint32_t work;	      /* comparisons left */
	bool *is_open;	      /* by forward: one of its pieces is not hidden, or it was reported */
	struct cover *hidden; /* by forward */
};

static int by_place(const void *a, const void *b)
{
	const struct piece *x = a;
	const struct piece *y = b;

	if (x->proto_class != y->proto_class)
		return x->proto_class < y->proto_class ? -1 : 1;
	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return (x->forward > y->forward) - (x->forward < y->forward);
}

static void add_piece(struct pieces *s, uint32_t forward, enum nat_class c)
{
	const struct nat_forward *f = &s->l->c->forwards[forward];

	/* default hosts form a class of their own: they match after all others */
	if (f->is_default && c == CLASS_COUNT)
		s->all[s->n++] = (struct piece){.address = f->address, .forward = forward, .proto_class = CLASS_COUNT};
	else if (!f->is_default && f->protocols & 1u << c)
		s->all[s->n++] = (struct piece){.address = f->address,
						.forward = forward,
						.first = f->ports.first,
						.last = f->ports.last,
						.proto_class = (uint8_t)c};
}

static bool same_place(const struct piece *a, const struct piece *b)
{
	return a->proto_class == b->proto_class && a->address == b->address;
}

static void make_pieces(struct pieces *s)
{
	for (uint32_t i = 0; i < s->l->c->n_forwards; i++) {
		for (int c = 0; c <= CLASS_COUNT; c++)
			add_piece(s, i, (enum nat_class)c);
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

/* Does one of the prefixes of `wide` contain all of `p`? */
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

/* Number of pieces that sort before (class, address, port). */
static uint32_t pieces_before(const struct pieces *s, enum nat_class c, uint32_t address, uint32_t port)
{
	uint32_t low = 0;
	uint32_t high = s->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct piece *m = &s->all[middle];
		bool is_before = m->proto_class != c	 ? m->proto_class < (int)c
				 : m->address != address ? m->address < address
							 : m->first < port;

		if (is_before)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- are all ports of a piece hidden by earlier ones? ---- */

static bool hides(const struct pieces *s, const struct piece *a, const struct piece *p)
{
	const struct nat_forward *forwards = s->l->c->forwards;

	return a->forward < p->forward && allows_all_of(&forwards[a->forward], &forwards[p->forward]);
}

/* The pieces of one address that may overlap p: from the first whose neighbours reach p to the last that begins in
 * it. */
static uint32_t first_that_reaches(struct pieces *s, const struct piece *p, uint32_t address, uint32_t *end)
{
	uint32_t i = pieces_before(s, (enum nat_class)p->proto_class, address, (uint32_t)p->last + 1);

	*end = i;
	while (i > 0 && s->all[i - 1].proto_class == p->proto_class && s->all[i - 1].address == address &&
	       s->all[i - 1].reach >= p->first && s->work > 0) {
		i--;
		s->work--;
	}
	return i;
}

/* Extends the cover over the pieces of one address. True: it grew. */
static bool extend_cover(struct pieces *s, struct cover *c, const struct piece *p, uint32_t address)
{
	uint32_t end;
	uint32_t start = c->next;

	for (uint32_t i = first_that_reaches(s, p, address, &end); i < end; i++) {
		const struct piece *a = &s->all[i];

		if (a->first > c->next || a->last < c->next || !hides(s, a, p))
			continue;
		c->by_several = c->by != NULL;
		c->by = c->by ? c->by : a;
		c->next = (uint32_t)a->last + 1;
	}
	return c->next > start;
}

static struct cover cover_of(struct pieces *s, const struct piece *p)
{
	bool is_virtual = s->l->c->forwards[p->forward].side != SIDE_OUTSIDE, grows = true;
	struct cover c = {.next = p->first};

	while (grows && c.next <= p->last && s->work > 0) {
		grows = extend_cover(s, &c, p, p->address);
		if (p->address != 0 && !is_virtual && c.next <= p->last)
			grows |= extend_cover(s, &c, p, 0);
	}
	return c;
}

static void report_hidden(struct pieces *s, const struct piece *p, const struct cover *cover)
{
	const struct natd_config *c = s->l->c;
	const struct piece *by = cover->by;

	bool has_ports = nat_forward_has_ports(&c->forwards[p->forward]);

	loader_error(s->l, c->forward_lines[p->forward],
		     "forward \"%s\" never gets a %s: forward \"%s\" (line %u)%s all %s first; %s",
		     c->forwards[p->forward].name, has_ports ? "connection" : "packet", c->forwards[by->forward].name,
		     c->forward_lines[by->forward], cover->by_several ? " and others take" : " takes",
		     has_ports ? "its ports" : "of them",
		     by->address != p->address ? "put the one with an address first"
		     : has_ports	       ? "put it before that one, or choose another port"
					       : "keep one of them");
}

/* A forward is an error if all its pieces are hidden: one that still matches packets is a choice. */
static void judge(struct pieces *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct piece *p = &s->all[i];
		struct cover c = cover_of(s, p);

		if (c.next <= p->last)
			s->is_open[p->forward] = true;
		else if (!s->hidden[p->forward].by || (c.by && c.by->forward < s->hidden[p->forward].by->forward))
			s->hidden[p->forward] = c;
	}
	for (uint32_t i = 0; i < s->n; i++) {
		const struct piece *p = &s->all[i];

		if (s->is_open[p->forward] || !s->hidden[p->forward].by)
			continue;
		report_hidden(s, p, &s->hidden[p->forward]);
		s->is_open[p->forward] = true; /* only once for both protocols */
	}
}

void config_check_overlaps(struct config_loader *l)
{
	struct pieces s = {.l = l, .work = WORK_MAX};

	s.all = loader_alloc(l, (CLASS_COUNT + 1) * (size_t)l->c->n_forwards, sizeof(*s.all));
	s.is_open = loader_alloc(l, l->c->n_forwards, sizeof(*s.is_open));
	s.hidden = loader_alloc(l, l->c->n_forwards, sizeof(*s.hidden));
	if (s.all && s.is_open && s.hidden) {
		make_pieces(&s);
		judge(&s);
	}
	free(s.all);
	free(s.is_open);
	free(s.hidden);
}
