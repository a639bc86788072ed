/* SPDX-License-Identifier: ISC */
/* The steering table: the decision about one packet, in the order of the rules. */
#include "steering.h"

enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17 };

static enum steering_verdict because(enum steering_reason *out, enum steering_reason reason,
				     enum steering_verdict verdict)
{
	*out = reason;
	return verdict;
}

bool steering_is_steered(uint8_t ip_proto)
{
	return protocol_is_steered(ip_proto);
}

/* To an outside address of natd, from the outside or from an inside host. */
static enum steering_verdict judge_outside_address(const struct steering *s, const struct steering_packet *p,
						   bool shared, enum steering_reason *reason)
{
	enum nat_class c = p->ip_proto == PROTO_TCP ? CLASS_TCP : CLASS_UDP;

	if (!shared)
		return because(reason, STEERING_BY_POOL, STEERING_TO_NATD);
	if (p->ip_proto == PROTO_ICMP)
		return because(reason, STEERING_BY_HOST_ICMP, STEERING_TO_HOST);
	if (!steering_is_steered(p->ip_proto))
		return because(reason, STEERING_BY_HOST_PROTOCOL, STEERING_TO_HOST);
	if (p->is_fragment)
		return because(reason, STEERING_BY_FRAGMENT, STEERING_TO_NATD);
	if (p->ip_proto != PROTO_TCP && p->ip_proto != PROTO_UDP)
		return because(reason, STEERING_BY_PROTOCOL, STEERING_TO_NATD);
	switch (steering_owner(s, c, p->destination, p->port)) {
	case STEERING_OWNER_FORWARD:
		return because(reason, STEERING_BY_FORWARD, STEERING_TO_NATD);
	case STEERING_OWNER_DYNAMIC:
		return because(reason, STEERING_BY_DYNAMIC_PORT, STEERING_TO_NATD);
	case STEERING_OWNER_HOST:
	case STEERING_OWNER_POOL:
	case STEERING_OWNER_NOBODY:
		break;
	}
	return because(reason, STEERING_BY_HOST_PORT, STEERING_TO_HOST);
}

static bool is_exempt_answer(const struct steering *s, uint32_t source)
{
	for (uint32_t i = 0; i < s->n_exempt; i++) {
		const struct nat_prefix *p = &s->exempt[i];

		if (s->exempt_is_outside[i] && (p->length == 0 || (source ^ p->address) >> (32 - p->length) == 0))
			return true;
	}
	return false;
}

static enum steering_verdict judge_from_outside(const struct steering *s, const struct steering_packet *p, bool own,
						enum steering_reason *reason)
{
	bool shared;

	if (steering_is_inside(s, p->source))
		return because(reason, STEERING_BY_SPOOFED, STEERING_REFUSED);
	if (steering_is_inside(s, p->destination))
		return is_exempt_answer(s, p->source) ? because(reason, STEERING_BY_EXEMPT, STEERING_TO_ROUTES)
						      : because(reason, STEERING_BY_DIRECT, STEERING_REFUSED);
	if (steering_is_outside(s, p->destination, &shared))
		return judge_outside_address(s, p, shared, reason);
	return because(reason, STEERING_BY_NOT_OURS, own ? STEERING_TO_HOST : STEERING_TO_ROUTES);
}

static enum steering_verdict judge_from_inside(const struct steering *s, const struct steering_packet *p, bool own,
					       enum steering_reason *reason)
{
	bool fits = steering_source_fits(s, p->interface, p->source);
	bool shared;

	if (fits && steering_is_outside(s, p->destination, &shared))
		return judge_outside_address(s, p, shared, reason);
	if (own)
		return because(reason, STEERING_BY_NOT_OURS, STEERING_TO_HOST);
	if (steering_is_inside(s, p->destination))
		return because(reason, STEERING_BY_INSIDE_TO_INSIDE, STEERING_TO_ROUTES);
	if (steering_is_exempt(s, p->destination))
		return because(reason, STEERING_BY_EXEMPT, STEERING_TO_ROUTES);
	if (!fits)
		return because(reason, STEERING_BY_SOURCE, STEERING_REFUSED);
	return because(reason, STEERING_BY_INSIDE, STEERING_TO_NATD);
}

enum steering_verdict steering_judge(const struct steering *s, const struct steering_packet *p, bool own,
				     enum steering_reason *reason)
{
	bool shared = true;

	switch (p->from) {
	case STEERING_FROM_OUTSIDE:
		return judge_from_outside(s, p, own, reason);
	case STEERING_FROM_INSIDE:
		return judge_from_inside(s, p, own, reason);
	case STEERING_FROM_HOST:
		if (steering_is_outside(s, p->destination, &shared) && !shared)
			return because(reason, STEERING_BY_POOL, STEERING_TO_NATD);
		break;
	case STEERING_FROM_TUN:
	case STEERING_FROM_OTHER:
		break;
	}
	return because(reason, STEERING_BY_NOT_OURS, own ? STEERING_TO_HOST : STEERING_TO_ROUTES);
}

const char *steering_reason_text(enum steering_reason reason)
{
	static const char *const text[] = {
		[STEERING_BY_DYNAMIC_PORT] = "the port is one of outside.ports",
		[STEERING_BY_FORWARD] = "a forward has that port",
		[STEERING_BY_POOL] = "the address is one of natd's pool",
		[STEERING_BY_FRAGMENT] = "a later fragment has no port, so natd gets it first",
		[STEERING_BY_PROTOCOL] = "the protocol has no ports, so natd gets it first",
		[STEERING_BY_INSIDE] = "an inside host sends to the outside",
		[STEERING_BY_HOST_PORT] = "the port is the host's",
		[STEERING_BY_HOST_ICMP] = "ICMP to a shared address reaches the host, and natd reads a copy",
		[STEERING_BY_HOST_PROTOCOL] = "rules leave that protocol of a shared address to the host",
		[STEERING_BY_EXEMPT] = "inside.exempt holds the other end",
		[STEERING_BY_INSIDE_TO_INSIDE] = "both ends are inside",
		[STEERING_BY_SPOOFED] = "an inside source came from the outside",
		[STEERING_BY_DIRECT] = "inside hosts are not reached directly from the outside",
		[STEERING_BY_SOURCE] = "no inside prefix of that interface holds the source",
		[STEERING_BY_NOT_OURS] = "nothing of natd's is concerned",
	};

	return text[reason];
}
