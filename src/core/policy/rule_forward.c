/* SPDX-License-Identifier: ISC */
/* The compiled policy: questions about forwards. */
#include "rule_private.h"

struct forward_question {
	enum nat_class proto_class;
	uint32_t address;
	uint16_t port;
	uint32_t remote;
};

/* Two lists of forwards, each in file order, read as one. */
struct merge {
	const uint32_t *list[2];
	uint32_t left[2];
};

static struct merge forwards_at(const struct rules *r, enum index_name which, const struct forward_question *q)
{
	struct merge m;

	m.list[0] = span_index_find(r->index[which], endpoint_key(q->proto_class, q->address, q->port), &m.left[0]);
	m.list[1] = span_index_find(r->index[which], endpoint_key(q->proto_class, 0, q->port), &m.left[1]);
	if (rules_address_is_virtual(r, q->address)) /* not an outside address, which these forwards are about */
		m.left[1] = 0;
	return m;
}

static int32_t merge_next(struct merge *m)
{
	int which = m->left[0] == 0 || (m->left[1] > 0 && *m->list[1] < *m->list[0]);

	if (m->left[which] == 0)
		return -1;
	m->left[which]--;
	return (int32_t)*m->list[which]++;
}

static int32_t find_inbound(const struct rules *r, enum index_name which, const struct forward_question *q,
			    uint32_t *to, uint16_t *to_port)
{
	struct merge m;
	int32_t result = -1;

	if (r->policy.n_forwards == 0 || rules_address_range(r, q->address) < 0)
		return -1;
	m = forwards_at(r, which, q);
	for (int32_t i; (i = merge_next(&m)) >= 0; result = -2) {
		const struct nat_forward *f = &r->policy.forwards[i];

		if (f->n_from > 0 && !rules_index_holds(r, INDEX_FROM, from_key((uint32_t)i, q->remote)))
			continue;
		*to = f->to;
		*to_port = f->n_backends > 0 ? 0 : (uint16_t)(f->to_port + (q->port - f->ports.first));
		return i;
	}
	return result;
}

int32_t rules_forward_inbound(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port, uint32_t remote,
			      uint32_t *to, uint16_t *to_port)
{
	return find_inbound(r, INDEX_INBOUND, &(struct forward_question){c, address, port, remote}, to, to_port);
}

int32_t rules_forward_default(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port, uint32_t remote,
			      uint32_t *to, uint16_t *to_port)
{
	return find_inbound(r, INDEX_DEFAULT, &(struct forward_question){c, address, port, remote}, to, to_port);
}

int32_t rules_forward_of(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port, uint32_t remote,
			 uint32_t *to, uint16_t *to_port)
{
	int32_t i = rules_forward_inbound(r, c, address, port, remote, to, to_port);

	return i == -1 ? rules_forward_default(r, c, address, port, remote, to, to_port) : i;
}

int32_t rules_forward_outbound(const struct rules *r, enum nat_class c, uint32_t address, uint16_t port, uint32_t *ext,
			       uint16_t *ext_port)
{
	const struct nat_forward *f;
	const uint32_t *found;
	uint32_t n;

	if (r->policy.n_forwards == 0)
		return -1;
	found = span_index_find(r->index[INDEX_OUTBOUND], endpoint_key(c, address, port), &n);
	if (n == 0)
		return -1;
	f = &r->policy.forwards[found[0]];
	*ext = f->address;
	*ext_port = (uint16_t)(f->ports.first + (port - f->to_port));
	return (int32_t)found[0];
}

/* ---- backends ---- */

int32_t rules_forward_by_name(const struct rules *r, const char *name)
{
	return names_find(&r->forward_names, name);
}

uint32_t rules_backend_base(const struct rules *r, uint32_t forward)
{
	return r->backend_bases[forward];
}

uint32_t rules_backend_count(const struct rules *r)
{
	return r->backend_bases[r->policy.n_forwards];
}

struct balance_set rules_backend_set(const struct rules *r, uint32_t forward, const uint8_t *closed)
{
	uint32_t base = r->backend_bases[forward];

	return (struct balance_set){.targets = r->targets + base,
				    .lanes = r->lanes + r->lane_bases[forward],
				    .closed = closed + base,
				    .n = r->policy.forwards[forward].n_backends};
}

const struct balance_scale *rules_balance_scale(const struct rules *r)
{
	return &r->scale;
}

int32_t rules_backend_find(const struct rules *r, uint32_t forward, uint32_t address, uint16_t port,
			   uint16_t outside_port)
{
	const struct nat_forward *f = &r->policy.forwards[forward];
	const uint32_t *found;
	uint32_t n;

	found = span_index_find(r->index[INDEX_BACKENDS], backend_key(forward, address, port), &n);
	for (uint32_t i = 0; i < n; i++) {
		if ((uint16_t)(f->backends[found[i]].port + (outside_port - f->ports.first)) == port)
			return (int32_t)found[i];
	}
	return -1;
}
