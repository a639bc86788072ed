/* SPDX-License-Identifier: ISC */
/* The steering table: what natd and the host's own connections leave each other of the ports of a shared address. */
#include <string.h>

#include "steering.h"

enum {
	HOST_LEAST = 1024, /* ports that the host keeps for its own connections, */
	HOST_PART = 4,	   /* or a quarter of those that it has, where that is less */
	RUNS_MAX = 256,	   /* so that the list fits into one write to /proc/sys */
};

static uint32_t size_of(const struct nat_range *r)
{
	return (uint32_t)r->last - r->first + 1;
}

static uint32_t least_for_host(const struct nat_range *ephemeral)
{
	uint32_t part = size_of(ephemeral) / HOST_PART;

	return part < HOST_LEAST ? part : HOST_LEAST;
}

/* What two ranges have in common; false: nothing. */
static bool intersect(const struct nat_range *a, const struct nat_range *b, struct nat_range *out)
{
	out->first = a->first > b->first ? a->first : b->first;
	out->last = a->last < b->last ? a->last : b->last;
	return out->first <= out->last;
}

/* ---- what natd does not choose from ---- */

/* Takes the ports `gone`, which lie within ports[i], out of the list. Its new length. */
static uint32_t take_out(struct nat_range *ports, uint32_t n, uint32_t i, struct nat_range gone)
{
	const struct nat_range old = ports[i];
	uint32_t has_low = old.first < gone.first, has_high = gone.last < old.last;

	memmove(&ports[i + has_low + has_high], &ports[i + 1], (n - i - 1) * sizeof(*ports));
	if (has_low)
		ports[i] = (struct nat_range){old.first, (uint16_t)(gone.first - 1)};
	if (has_high)
		ports[i + has_low] = (struct nat_range){(uint16_t)(gone.last + 1), old.last};
	return n - 1 + has_low + has_high;
}

uint32_t steering_spare(struct nat_range *ports, uint32_t n, const struct nat_range *ephemeral)
{
	uint32_t least = least_for_host(ephemeral), left = size_of(ephemeral);
	struct nat_range both;

	for (uint32_t i = 0; i < n; i++)
		left -= intersect(&ports[i], ephemeral, &both) ? size_of(&both) : 0;
	for (uint32_t i = n; i-- > 0 && left < least;) {
		if (!intersect(&ports[i], ephemeral, &both))
			continue;
		if (size_of(&both) > least - left)
			both.first = (uint16_t)(both.last - (least - left) + 1);
		left += size_of(&both);
		n = take_out(ports, n, i, both);
	}
	return n;
}

/* ---- what the kernel does not choose from ---- */

static uint32_t count_unset(const struct steering_ports *p, const struct nat_range *r)
{
	uint32_t n = 0;

	for (uint32_t port = r->first; port <= r->last; port++)
		n += !steering_port_is_set(p, (uint16_t)port);
	return n;
}

static void set_range(struct steering_ports *p, const struct nat_range *r)
{
	for (uint32_t port = r->first; port <= r->last; port++)
		p->bits[port / 64] |= UINT64_C(1) << port % 64;
}

uint32_t steering_ports_runs(const struct steering_ports *p, struct nat_range *out, uint32_t room)
{
	bool is_open = false;
	uint32_t n = 0;

	for (uint32_t port = 0; port <= UINT16_MAX; port++) {
		bool is_set = steering_port_is_set(p, (uint16_t)port);

		if (is_set && !is_open) {
			if (n < room)
				out[n].first = (uint16_t)port;
			n++;
		}
		if (is_set && n <= room)
			out[n - 1].last = (uint16_t)port;
		is_open = is_set;
	}
	return n;
}

/* Sets the ports between two that are set, where they are `gap` at most. */
static void bridge(struct steering_ports *p, uint32_t gap)
{
	uint32_t before = UINT32_MAX; /* the last one that is set */

	for (uint32_t port = 0; port <= UINT16_MAX; port++) {
		if (!steering_port_is_set(p, (uint16_t)port))
			continue;
		for (uint32_t i = before; before != UINT32_MAX && port - before <= gap + 1 && ++i < port;)
			p->bits[i / 64] |= UINT64_C(1) << i % 64;
		before = port;
	}
}

/* Whether enough are left to the host after each. */
static bool add_forwards(const struct steering *s, struct steering_ports *out)
{
	uint32_t least = least_for_host(&s->ephemeral), left = count_unset(out, &s->ephemeral);
	struct nat_range both;

	for (uint32_t i = 0; i < s->n_forwards; i++) {
		bool shared = true;
		uint32_t more;

		if (s->forwards[i].address != 0)
			(void)steering_is_outside(s, s->forwards[i].address, &shared);
		if (!shared || !intersect(&s->forwards[i].ports, &s->ephemeral, &both))
			continue;
		more = count_unset(out, &both);
		if (left - more < least || more > left)
			continue;
		set_range(out, &both);
		left -= more;
	}
	for (uint32_t gap = 1; steering_ports_runs(out, NULL, 0) > RUNS_MAX; gap *= 2)
		bridge(out, gap);
	return count_unset(out, &s->ephemeral) >= least;
}

void steering_reserved(const struct steering *s, struct steering_ports *out)
{
	struct steering_ports own;
	struct nat_range both;

	memset(out, 0, sizeof(*out));
	if (steering_shared(s, 0) == 0 || s->ephemeral.last == 0)
		return;
	for (uint32_t i = 0; i < s->n_dynamic; i++) {
		if (intersect(&s->dynamic[i], &s->ephemeral, &both))
			set_range(out, &both);
	}
	if (count_unset(out, &s->ephemeral) < least_for_host(&s->ephemeral)) {
		memset(out, 0, sizeof(*out));
		return;
	}
	own = *out;
	if (!add_forwards(s, out))
		*out = own;
}
