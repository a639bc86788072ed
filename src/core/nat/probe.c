/* SPDX-License-Identifier: ISC */
/* natd's own sessions, see probe.h. */
#include "probe.h"

#include "nat_private.h"

static struct session *find(struct nat *n, uint16_t port, const struct nat_endpoint *remote)
{
	const struct session_key k = {
		.local = NAT_PROBE_ADDRESS,
		.remote = remote->address,
		.local_port = port,
		.remote_port = remote->port,
		.proto_class = CLASS_UDP,
		.dir = DIR_OUT,
	};

	return table_find(n->table, &k, table_hash(n->table, &k), n->now_s);
}

static bool is_free(void *ctx, uint16_t port)
{
	const struct port_set *s = ctx;
	const struct nat *n = s->n;

	return !rules_port_is_forwarded(n->rules, CLASS_UDP, s->address, port) &&
	       (n->port_in_use == NULL || !rules_address_is_shared(n->rules, s->address) ||
		!n->port_in_use(n->port_ctx, CLASS_UDP, s->address, port));
}

/* By arithmetic every port belongs to some host. */
static enum nat_reason take_port(struct nat *n, uint32_t outside, struct session_spec *spec)
{
	struct host *h = table_host(n->table, NAT_PROBE_ADDRESS, true);
	struct port_set set = {.n = n, .w = NULL, .proto_class = CLASS_UDP, .address = outside};
	struct port_request rq = {
		.ext = spec->ext,
		.proto_class = CLASS_UDP,
		.host = h,
		.blocks_max = rules_host_limits(n->rules, NAT_PROBE_ADDRESS)->blocks,
		.like = spec->int_port,
		.usable = is_free,
		.ctx = &set,
	};
	bool recycled = false;

	if (n->policy->allocation == ALLOCATION_DETERMINISTIC)
		return DROP_NO_PORT;
	if (h == NULL)
		return DROP_TABLE;
	if (n->policy->allocation == ALLOCATION_PORT)
		rq.ranges = rules_port_ranges(n->rules, outside, &rq.n_ranges);
	return table_port_allot(n->table, &rq, prf_next(&n->prf), n->now_s, &spec->ext_port, &recycled);
}

static struct session *open_new(struct nat *n, const struct nat_probe *p, enum nat_reason *why)
{
	struct session_spec spec = {
		.int_addr = NAT_PROBE_ADDRESS,
		.rem_addr = p->remote.address,
		.int_port = p->port,
		.rem_port = p->remote.port,
		.proto_class = CLASS_UDP,
		.state = SESSION_SYN_OUT,
	};
	int32_t slot = nat_external_slot(n, p->outside);
	struct session *s;
	struct mapping m;
	bool joins = table_mapping_internal(n->table, CLASS_UDP, spec.int_addr, spec.int_port, spec.rem_addr,
					    spec.rem_port, &m);

	*why = !joins && slot == TABLE_NONE ? DROP_NO_ADDRESS : NAT_PASS;
	spec.ext = joins ? m.ext : (uint16_t)slot;
	spec.ext_port = joins ? m.ext_port : 0;
	if (*why == NAT_PASS && !joins)
		*why = take_port(n, p->outside, &spec);
	if (*why != NAT_PASS)
		return NULL;
	s = table_session_open(n->table, &spec, n->now_s, why);
	if (s == NULL && !joins)
		table_port_release(n->table, CLASS_UDP, spec.ext, spec.ext_port);
	return s;
}

/* The NATs between natd and the internet are of interest: addresses to which the packet would not leave are refused. */
static bool is_outside(const struct nat *n, uint32_t address)
{
	return !rules_is_inside(n->rules, address) && nat_external_slot(n, address) == TABLE_NONE &&
	       address >> 24 != 0 && address >> 24 != 127 && address < 0xe0000000u &&
	       !rules_is_broadcast(n->rules, address);
}

static void set_time(struct nat *n, uint64_t now_ms)
{
	n->now_ms = n->events->now_ms = now_ms;
	n->now_s = (uint32_t)(now_ms / 1000);
	table_set_clock(n->table, n->now_s);
}

enum nat_reason nat_probe_open(struct nat *n, const struct nat_probe *p, uint64_t now_ms, struct nat_endpoint *endpoint)
{
	enum nat_reason why = NAT_PASS;
	struct session *s;

	set_time(n, now_ms);
	if (!is_outside(n, p->remote.address))
		return DROP_MARTIAN_DESTINATION;
	s = find(n, p->port, &p->remote);
	if (s == NULL)
		s = open_new(n, p, &why);
	if (s == NULL)
		return why;
	*endpoint = (struct nat_endpoint){table_address(n->table, s->ext), s->ext_port};
	return NAT_PASS;
}

void nat_probe_close(struct nat *n, uint16_t port, const struct nat_endpoint *remote, uint64_t now_ms)
{
	struct session *s;

	set_time(n, now_ms);
	s = find(n, port, remote);
	if (s != NULL)
		nat_session_delete(n, s, SESSION_END_DELETED, now_ms);
}
