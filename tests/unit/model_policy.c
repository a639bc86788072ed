/* SPDX-License-Identifier: ISC */
/* The meaning of a policy, read straight from its lists. See model.h. */
#include "model.h"

static bool in_prefix(const struct nat_prefix *p, uint32_t a)
{
	for (int bit = 0; bit < p->length; bit++)
		if ((a >> (31 - bit) & 1) != (p->address >> (31 - bit) & 1))
			return false;
	return true;
}

bool model_in_prefixes(const struct nat_prefix *p, uint32_t n, uint32_t a)
{
	for (uint32_t i = 0; i < n; i++)
		if (in_prefix(&p[i], a))
			return true;
	return false;
}

bool model_is_inside(const struct nat_policy *p, uint32_t a)
{
	return model_in_prefixes(p->inside, p->n_inside, a);
}

bool model_is_exempt(const struct nat_policy *p, uint32_t a)
{
	return model_in_prefixes(p->exempt, p->n_exempt, a);
}

static const struct nat_address_range *range_of(const struct nat_policy *p, uint32_t a)
{
	for (uint32_t i = 0; i < p->n_addresses; i++)
		if (a >= p->addresses[i].first && a <= p->addresses[i].last)
			return &p->addresses[i];
	return NULL;
}

bool model_is_external(const struct nat_policy *p, uint32_t a)
{
	return range_of(p, a) != NULL;
}

bool model_is_shared(const struct nat_policy *p, uint32_t a)
{
	return range_of(p, a) != NULL && range_of(p, a)->shared;
}

static bool has_ports(uint8_t proto_class)
{
	return proto_class == CLASS_TCP || proto_class == CLASS_UDP;
}

static bool matches_in(const struct nat_forward *f, uint8_t proto_class, uint32_t ext, uint16_t port)
{
	return (f->protocols >> proto_class & 1) && (f->address == 0 || f->address == ext) && port >= f->ports.first &&
	       port <= f->ports.last;
}

bool model_port_usable(const struct nat_policy *p, uint8_t proto_class, uint32_t ext, uint16_t port)
{
	const struct nat_range *r = model_is_shared(p, ext) ? p->shared_ports : p->pool_ports;
	uint32_t n = model_is_shared(p, ext) ? p->n_shared_ports : p->n_pool_ports;
	bool found = false;

	if (!model_is_external(p, ext) || model_static_in(p, ext) != 0 || port == 0)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (port >= r[i].first && port <= r[i].last)
			found = true;
	for (uint32_t i = 0; has_ports(proto_class) && i < p->n_forwards; i++)
		if (!p->forwards[i].is_default && matches_in(&p->forwards[i], proto_class, ext, port))
			return false;
	return found;
}

static int forward_in(const struct nat_policy *p, bool is_default, const struct model_session *s, uint32_t *to,
		      uint16_t *to_port)
{
	int result = -1;

	if (!model_is_external(p, s->ext))
		return -1;
	for (uint32_t i = 0; i < p->n_forwards; i++) {
		const struct nat_forward *f = &p->forwards[i];

		if (f->is_default != is_default || !matches_in(f, s->proto_class, s->ext, s->ext_port))
			continue;
		result = -2;
		if (f->n_from > 0 && !model_in_prefixes(f->from, f->n_from, s->rem))
			continue;
		*to = f->to;
		*to_port = (uint16_t)(f->to_port + s->ext_port - f->ports.first);
		return (int)i;
	}
	return result;
}

int model_forward_in(const struct nat_policy *p, uint8_t proto_class, uint32_t ext, uint16_t port, uint32_t remote,
		     uint32_t *to, uint16_t *to_port)
{
	const struct model_session s = {.proto_class = proto_class, .ext = ext, .ext_port = port, .rem = remote};

	return forward_in(p, false, &s, to, to_port);
}

int model_default_in(const struct nat_policy *p, uint8_t proto_class, uint32_t ext, uint16_t port, uint32_t remote,
		     uint32_t *to, uint16_t *to_port)
{
	const struct model_session s = {.proto_class = proto_class, .ext = ext, .ext_port = port, .rem = remote};

	return forward_in(p, true, &s, to, to_port);
}

int model_forward_out(const struct nat_policy *p, uint8_t proto_class, uint32_t in, uint16_t port, uint32_t *ext,
		      uint16_t *ext_port)
{
	for (uint32_t i = 0; proto_class != CLASS_ICMP && i < p->n_forwards; i++) {
		const struct nat_forward *f = &p->forwards[i];
		int step = port - f->to_port;

		if (f->is_default || !(f->protocols >> proto_class & 1) || f->to != in || step < 0 ||
		    step > f->ports.last - f->ports.first)
			continue;
		*ext = f->address;
		*ext_port = (uint16_t)(f->ports.first + step);
		return (int)i;
	}
	return -1;
}

/* RFC 4787 REQ-5, RFC 5508 REQ-2, RFC 5382 REQ-5, RFC 7857 2.1: a half-closed connection is still established. */
uint32_t model_timeout(const struct nat_policy *p, uint8_t proto_class, uint8_t state)
{
	if (proto_class == CLASS_UDP)
		return p->timeouts.udp;
	if (proto_class == CLASS_ICMP)
		return p->timeouts.icmp;
	if (proto_class == CLASS_OTHER)
		return p->timeouts.other;
	if (state == SESSION_FIN_BOTH || state == SESSION_TIME_WAIT || state == SESSION_RESET)
		return p->timeouts.tcp_closing;
	if (state < SESSION_ESTABLISHED)
		return p->timeouts.tcp_opening;
	return p->timeouts.tcp_established;
}

static bool never_a_host(uint32_t a)
{
	return a < 0x01000000 || (a >= 0x7f000000 && a < 0x80000000) || a >= 0xe0000000;
}

/* RFC 1812 5.3.7; RELIABILITY C2: martians, LAND, and packets neither from inside nor for outside. */
bool model_address_wrong(const struct nat_policy *p, uint32_t src, uint32_t dst, bool elsewhere)
{
	if (never_a_host(src) || never_a_host(dst) || src == dst)
		return true;
	if (model_in_prefixes(p->broadcast, p->n_broadcast, src) ||
	    model_in_prefixes(p->broadcast, p->n_broadcast, dst))
		return true;
	return elsewhere && (model_is_inside(p, dst) || !model_is_inside(p, src) || model_is_exempt(p, dst));
}
