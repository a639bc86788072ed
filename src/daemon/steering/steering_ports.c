/* SPDX-License-Identifier: ISC */
/* The steering table: owners of ports, and the ports that rules can leave to the host. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "steering.h"

enum {
	RULE_PORT_FIRST = 1, /* the kernel accepts neither 0 nor 65535 in a rule */
	RULE_PORT_LAST = 65534,
	GAPS_MAX = 32768, /* for one protocol: every second port */
};

static bool in_range(const struct nat_range *r, uint16_t port)
{
	return port >= r->first && port <= r->last;
}

static bool is_forwards(const struct steering_forward *f, enum nat_class c, uint32_t address)
{
	return (f->protocols & 1u << c) && (f->address == 0 || f->address == address);
}

enum steering_owner steering_owner(const struct steering *s, enum nat_class c, uint32_t address, uint16_t port)
{
	bool shared = false;

	assert(c == CLASS_TCP || c == CLASS_UDP);
	if (!steering_is_outside(s, address, &shared))
		return STEERING_OWNER_NOBODY;
	for (uint32_t i = 0; i < s->n_forwards; i++) {
		if (is_forwards(&s->forwards[i], c, address) && in_range(&s->forwards[i].ports, port))
			return STEERING_OWNER_FORWARD;
	}
	if (!shared)
		return STEERING_OWNER_POOL;
	for (uint32_t i = 0; i < s->n_dynamic; i++) {
		if (in_range(&s->dynamic[i], port))
			return STEERING_OWNER_DYNAMIC;
	}
	return STEERING_OWNER_HOST;
}

static void set_range(struct steering_ports *p, const struct nat_range *r)
{
	for (uint32_t port = r->first; port <= r->last; port++)
		p->bits[port / 64] |= UINT64_C(1) << port % 64;
}

void steering_owned(const struct steering *s, enum nat_class c, uint32_t address, struct steering_ports *out)
{
	memset(out, 0, sizeof(*out));
	for (uint32_t i = 0; i < s->n_dynamic; i++)
		set_range(out, &s->dynamic[i]);
	for (uint32_t i = 0; i < s->n_forwards; i++) {
		if (is_forwards(&s->forwards[i], c, address))
			set_range(out, &s->forwards[i].ports);
	}
}

/* ---- gaps ---- */

enum { TCP = 1 << CLASS_TCP, UDP = 1 << CLASS_UDP };

struct weighed {
	struct steering_gap gap;
	uint32_t listening; /* ports of the host's sockets in it */
	uint32_t ephemeral; /* ports from which the host's own connections may start */
};

static void weigh(const struct steering *s, struct weighed *w)
{
	const struct nat_range *r = &w->gap.ports;

	for (uint32_t port = r->first; port <= r->last; port++) {
		uint32_t tcp = (w->gap.classes & TCP) != 0, udp = (w->gap.classes & UDP) != 0;

		w->listening += tcp && steering_port_is_set(&s->host_tcp, (uint16_t)port);
		w->listening += udp && steering_port_is_set(&s->host_udp, (uint16_t)port);
		if (s->ephemeral.last != 0 && in_range(&s->ephemeral, (uint16_t)port))
			w->ephemeral += tcp + udp;
	}
}

/* The runs of ports that are in neither set. */
static uint32_t find_runs(const struct steering *s, uint8_t classes, const struct steering_ports *a,
			  const struct steering_ports *b, struct weighed *out)
{
	uint32_t n = 0;
	bool is_open = false;

	for (uint32_t port = RULE_PORT_FIRST; port <= RULE_PORT_LAST; port++) {
		bool is_owned = steering_port_is_set(a, (uint16_t)port) || steering_port_is_set(b, (uint16_t)port);

		if (!is_owned && !is_open)
			out[n++] = (struct weighed){
				.gap = {.classes = classes, .ports = {(uint16_t)port, (uint16_t)port}}};
		else if (!is_owned)
			out[n - 1].gap.ports.last = (uint16_t)port;
		is_open = !is_owned;
	}
	for (uint32_t i = 0; i < n; i++)
		weigh(s, &out[i]);
	return n;
}

/* The host's own connections first: a gap with many of their ports outweighs any number of servers. */
static int by_worth(const void *a, const void *b)
{
	const struct weighed *x = a, *y = b;
	uint32_t size_x = (uint32_t)x->gap.ports.last - x->gap.ports.first;
	uint32_t size_y = (uint32_t)y->gap.ports.last - y->gap.ports.first;

	if (x->ephemeral != y->ephemeral)
		return x->ephemeral < y->ephemeral ? 1 : -1;
	if (x->listening != y->listening)
		return x->listening < y->listening ? 1 : -1;
	if (size_x != size_y)
		return size_x < size_y ? 1 : -1;
	if (x->gap.classes != y->gap.classes)
		return x->gap.classes > y->gap.classes ? -1 : 1;
	return x->gap.ports.first < y->gap.ports.first ? -1 : 1;
}

static int by_port(const void *a, const void *b)
{
	const struct steering_gap *x = a, *y = b;

	if (x->ports.first != y->ports.first)
		return x->ports.first < y->ports.first ? -1 : 1;
	return (x->classes > y->classes) - (x->classes < y->classes);
}

static bool is_covered(const struct steering_gap *g, const struct steering_gap *taken, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if ((g->classes & ~taken[i].classes) == 0 && g->ports.first >= taken[i].ports.first &&
		    g->ports.last <= taken[i].ports.last)
			return true;
	}
	return false;
}

int steering_gaps(const struct steering *s, uint32_t address, struct steering_gap *out, uint32_t room)
{
	struct weighed *all = calloc(3 * GAPS_MAX, sizeof(*all));
	struct steering_ports tcp, udp;
	uint32_t n, taken = 0;

	if (!all)
		return -ENOMEM;
	steering_owned(s, CLASS_TCP, address, &tcp);
	steering_owned(s, CLASS_UDP, address, &udp);
	n = find_runs(s, TCP | UDP, &tcp, &udp, all);
	n += find_runs(s, TCP, &tcp, &tcp, all + n);
	n += find_runs(s, UDP, &udp, &udp, all + n);
	qsort(all, n, sizeof(*all), by_worth);
	for (uint32_t i = 0; i < n && taken < room; i++) {
		if (!is_covered(&all[i].gap, out, taken))
			out[taken++] = all[i].gap;
	}
	free(all);
	if (taken > 0)
		qsort(out, taken, sizeof(*out), by_port);
	return (int)taken;
}
