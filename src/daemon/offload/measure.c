/* SPDX-License-Identifier: ISC */
/*
 * The MTUs of the routes of carried sessions.
 *
 * Theory of operation. A change of a route does not show whose way has changed: tables, rules and longer prefixes
 * decide that. So after each change natd looks up the routes of all carried sessions, MEASURE_MOST a second, in a
 * thread beside the packets. It does not read changes that come meanwhile, and the socket keeps only a few of them. If
 * a host changes routes all the time, natd looks them up all the time, at that pace, and no faster.
 *
 * Two passes follow a change. A session that is shown during the first one has an MTU from a look-up that may be as old
 * as WAYS_KEEP_MS (path/ways.h), from before the change; the second pass begins at least a second later.
 */
#include "measure.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { PASSES = 2, CACHED = 1024, CACHED_SHIFT = 32 - 10 };

_Static_assert(CACHED == 1u << (32 - CACHED_SHIFT), "the hash fits the cache");

/* Answers of this second, by destination. */
struct answers {
	struct {
		uint32_t source, destination; /* 0: none */
		uint16_t mtu;
	} place[CACHED];
};

int measure_open(struct measure *m)
{
	*m = (struct measure){.events_fd = netlink_route_events_open()};
	return m->events_fd < 0 ? m->events_fd : 0;
}

static void forget(struct measure *m)
{
	free(m->session);
	m->session = NULL;
	m->n = 0;
}

void measure_close(struct measure *m)
{
	forget(m);
	if (m->events_fd >= 0)
		close(m->events_fd);
	m->events_fd = -1;
}

void measure_again(struct measure *m)
{
	m->passes = PASSES;
}

void measure_begin(struct measure *m, struct nat *nat)
{
	struct mirror_ends ends;

	if (m->n > 0) /* the last look ended early */
		measure_again(m);
	forget(m);
	if (m->at == 0 && m->events_fd >= 0 && netlink_route_events_read(m->events_fd))
		measure_again(m);
	if (m->at == 0 && m->passes > 0) {
		m->passes--;
		m->at = 1;
	}
	if (m->at == 0)
		return;
	m->session = calloc(MEASURE_MOST, sizeof(*m->session));
	while (m->session && m->at != 0 && m->n < MEASURE_MOST && nat_mirror_list(nat, &m->at, &ends, 1) == 1)
		m->session[m->n++].ends = ends;
	if (m->n == 0)
		forget(m);
}

/* False: there was no look-up, or the answer is not about the route. */
static bool ask(struct netlink *nl, struct answers *known, uint32_t source, uint32_t destination, uint16_t *mtu)
{
	uint32_t at = ((source ^ destination) * 2654435761u) >> CACHED_SHIFT;
	struct netlink_way way = {0};
	int r;

	if (known->place[at].source == source && known->place[at].destination == destination) {
		*mtu = known->place[at].mtu;
		return true;
	}
	r = netlink_way_in_transit(nl, source, destination, &way);
	if (r == -ECANCELED)
		return false;
	*mtu = r < 0 || way.is_mtu_locked || way.mtu > UINT16_MAX ? 0 : (uint16_t)way.mtu;
	known->place[at].source = source;
	known->place[at].destination = destination;
	known->place[at].mtu = *mtu;
	return true;
}

void measure_ask(struct measure *m, struct netlink *nl)
{
	struct answers *known = m->n > 0 ? calloc(1, sizeof(*known)) : NULL;

	for (uint32_t i = 0; known && i < m->n; i++) {
		struct measured *s = &m->session[i];

		s->is_known = ask(nl, known, s->ends.external, s->ends.remote, &s->mtu[DIR_OUT]) &&
			      ask(nl, known, 0, s->ends.internal, &s->mtu[DIR_IN]);
	}
	free(known);
}

void measure_end(struct measure *m, struct nat *nat)
{
	for (uint32_t i = 0; i < m->n; i++) {
		if (m->session[i].is_known)
			nat_mirror_set_mtu(nat, m->session[i].ends.id, m->session[i].mtu);
	}
	forget(m);
}
