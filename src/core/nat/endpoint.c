/* SPDX-License-Identifier: ISC */
/*
 * The outside endpoint of outbound packets: that of a static pair, of the existing mapping, of a forward, or a new one
 * on an address that has a port for this host. Nothing is taken here: see decide.h.
 */
#include "decide.h"

#include "nat_private.h"

enum { ADDRESS_TRIES = 64 };

static bool is_paired(const struct nat *n)
{
	return n->policy->pooling == POOLING_PAIRED;
}

void nat_find_share(const struct nat *n, struct work *w)
{
	uint32_t outside;

	w->share_ordinal = -1;
	w->share = UINT32_MAX;
	if (n->policy->allocation == ALLOCATION_DETERMINISTIC &&
	    allocation_share(rules_allocation(n->rules), w->v.src, &outside, &w->share))
		w->share_ordinal = (int32_t)rules_pool_ordinal(n->rules, outside);
}

/* Sessions from outside may have paired the host with an address from which natd does not allocate. */
static bool is_of_pool(const struct nat *n, uint32_t address)
{
	return rules_static_inside(n->rules, address) == 0 && !rules_address_is_virtual(n->rules, address);
}

/* nat_open_prefetch() has written the request for ports of this address. */
static bool is_prepared(const struct work *w, uint16_t ext)
{
	return w->has_request && w->request.ext == ext;
}

int32_t nat_paired_address(const struct nat *n, const struct work *w, const struct host *h)
{
	uint32_t address;
	uint16_t ext;

	if (w->share_ordinal >= 0)
		return w->share_ordinal;
	if (!is_paired(n) || h == NULL || (h->sessions == 0 && h->blocks == 0))
		return -1;
	ext = table_host_paired(n->table, h);
	if (is_prepared(w, ext))
		return (int32_t)w->ordinal;
	address = table_address(n->table, ext);
	return is_of_pool(n, address) ? rules_address_find(n->rules, address) : -1;
}

/* The number of a random pool address: uneven by less than count / 2^32. There is at least one. */
static uint32_t any_address(const struct nat *n, uint64_t random)
{
	return (uint32_t)((random >> 32) * rules_pool_count(n->rules) >> 32);
}

uint32_t nat_first_address(const struct nat *n, uint32_t host, uint64_t random)
{
	return any_address(n, is_paired(n) ? prf_hash(n->id_key, host) : random);
}

/* RFC 6888 REQ-8: a port may leave quarantine early if its TCP session was tracked to its end (a), or if filtering
 * keeps the old peers away (c). */
static bool may_recycle(const struct nat *n, enum nat_class c)
{
	return c == CLASS_TCP || n->policy->filtering != FILTERING_ENDPOINT_INDEPENDENT;
}

void nat_port_prepare(const struct nat *n, const struct work *w, uint16_t ext, struct port_request *rq)
{
	*rq = (struct port_request){
		.ext = ext,
		.proto_class = w->v.proto_class,
		.same_class = 1,
		.parity = n->policy->port_parity,
		.like = w->v.sport,
		.prefer = n->policy->port_selection == PORTS_PRESERVE ? w->v.sport : 0,
		.may_recycle = may_recycle(n, (enum nat_class)w->v.proto_class),
		.share = w->share,
		.blocks_max = rules_host_limits(n->rules, w->v.src)->blocks,
	};
	if (n->policy->allocation == ALLOCATION_PORT) /* else they are the host's blocks */
		rq->ranges = rules_port_ranges(n->rules, table_address(n->table, ext), &rq->n_ranges);
}

void nat_port_request(const struct nat *n, const struct work *w, const struct host *h, uint16_t ext,
		      struct port_request *rq)
{
	if (is_prepared(w, ext))
		*rq = w->request;
	else
		nat_port_prepare(n, w, ext, rq);
	rq->host = h;
	if (n->policy->allocation != ALLOCATION_PORT && rq->blocks_max > 0)
		rq->blocks_kept = nat_kept_blocks(n, h, ext);
}

/* Is there a session of a forward with the remote endpoint of the one to be opened? */
static bool is_spoken_for(const struct port_set *s, uint16_t port)
{
	const struct nat *n = s->n;
	struct session_key k = s->w->probe.key;

	if (!n->shares_ports)
		return false;
	k.dir = DIR_IN;
	k.local = (uint32_t)nat_external_slot(n, s->address);
	k.local_port = port;
	return table_seek(n->table, &k, n->now_s) != NULL;
}

bool nat_port_is_free_of_forwards(const struct port_set *s, uint16_t port)
{
	return !rules_port_is_forwarded(s->n->rules, s->proto_class, s->address, port) && !is_spoken_for(s, port);
}

bool nat_block_is_shut(void *port_set, const struct nat_range *block)
{
	const struct port_set *s = port_set;

	return rules_ports_are_forwarded(s->n->rules, s->proto_class, s->address, block);
}

/* So many that one of them is free of forwards for certain. */
static bool has_plenty(const struct nat *n, uint32_t left)
{
	return left > n->forwarded_ports && !n->shares_ports;
}

static bool is_not_forwarded(void *ctx, uint16_t port)
{
	return nat_port_is_free_of_forwards(ctx, port);
}

/* With blocks there is no share to check here: a block's ports are only its host's, and the table distributes the
 * blocks. The share comes first, since it knows how many ports are left: only if these are few the rest matters. */
static __attribute__((noinline)) enum nat_reason check_any_port(const struct nat *n, const struct work *w,
								const struct host *h, uint16_t ext)
{
	struct port_set set = {n, w, (enum nat_class)w->v.proto_class, table_address(n->table, ext)};
	struct port_request rq;
	bool is_single = n->policy->allocation == ALLOCATION_PORT;
	uint32_t left = 0;
	enum nat_reason why;

	nat_port_request(n, w, h, ext, &rq);
	why = is_single ? nat_check_ports(n, h, &rq, &left) : NAT_PASS;
	if (why != NAT_PASS || (is_single && has_plenty(n, left)))
		return why;
	rq.usable = n->forwarded_ports > 0 || n->shares_ports ? is_not_forwarded : NULL;
	rq.is_shut = n->forwarded_ports > 0 ? nat_block_is_shut : NULL;
	rq.ctx = &set;
	return table_port_could(n->table, &rq, n->now_s);
}

/* Mostly the request is prepared and ports are plenty: then it is not copied. */
static enum nat_reason check_port(const struct nat *n, const struct work *w, const struct host *h, uint16_t ext)
{
	uint32_t left;

	if (!is_prepared(w, ext))
		return check_any_port(n, w, h, ext);
	if (n->policy->allocation != ALLOCATION_PORT) {
		if (n->forwarded_ports == 0 && !n->shares_ports && table_port_has_room(n->table, &w->request, h))
			return NAT_PASS;
	} else if (nat_check_ports(n, h, &w->request, &left) == NAT_PASS && has_plenty(n, left)) {
		return NAT_PASS;
	}
	return check_any_port(n, w, h, ext);
}

bool nat_is_left_to_host(const struct nat *n, uint8_t proto, uint32_t address)
{
	return (n->policy->shared_refused[proto / 64] >> proto % 64 & 1) && rules_address_is_shared(n->rules, address);
}

/* Other protocols have no ports: one inside host at a time per (address, protocol, remote), CVE-2014-8160. */
static enum nat_reason check_other(const struct nat *n, const struct work *w, uint16_t ext)
{
	struct session_key k = w->probe.key;

	/* Its answers do not reach natd: refusing it is better than translating half of it. */
	if (nat_is_left_to_host(n, w->v.proto, table_address(n->table, ext)))
		return DROP_OTHER_PROTOCOL;
	k.dir = DIR_IN;
	k.local = ext;
	return table_seek(n->table, &k, n->now_s) == NULL ? NAT_PASS : DROP_OTHER_BUSY;
}

static enum nat_reason check_address(const struct nat *n, const struct work *w, const struct host *h, uint32_t ordinal,
				     struct decision *d)
{
	int32_t slot = n->slots[ordinal];

	d->ordinal = ordinal;
	if (slot == TABLE_NONE)
		return DROP_NO_ADDRESS;
	d->spec.ext = (uint16_t)slot;
	return w->v.proto_class == CLASS_OTHER ? check_other(n, w, d->spec.ext) : check_port(n, w, h, d->spec.ext);
}

/*
 * The outside address: the one with which the host is paired (RFC 4787 REQ-2, RFC 6888 REQ-2). A host without one
 * starts at one that depends on its address, and continues with the next while they are full. Arbitrary pooling starts
 * anywhere.
 */
static enum nat_reason choose_address(const struct nat *n, const struct work *w, const struct host *h,
				      struct decision *d)
{
	uint32_t count = rules_pool_count(n->rules), start;
	int32_t paired = nat_paired_address(n, w, h);
	enum nat_reason why = d->tried > 0 ? (enum nat_reason)d->reason : DROP_NO_ADDRESS;

	if (paired >= 0) {
		why = d->tried > 0 ? why : check_address(n, w, h, (uint32_t)paired, d);
		d->tried = ADDRESS_TRIES;
		return why;
	}
	if (count == 0)
		return DROP_NO_ADDRESS;
	start = nat_first_address(n, w->v.src, w->random);
	while (d->tried < count && d->tried < ADDRESS_TRIES) {
		uint32_t at = start + d->tried++;

		why = check_address(n, w, h, rules_pool_ordinal(n->rules, at < count ? at : at - count), d);
		if (why == NAT_PASS)
			break;
	}
	return why;
}

void nat_decide_again(const struct nat *n, const struct work *w, enum nat_reason why, struct decision *d)
{
	d->reason = (uint8_t)why;
	decision_goes_on(d, STAGE_PORTS, choose_address(n, w, table_host_find(n->table, w->v.src), d));
}

/* A host whose port or protocol is forwarded uses that endpoint for its own openings too. */
static bool find_forward(const struct nat *n, const struct work *w, const struct host *h, struct decision *d)
{
	uint32_t address;
	uint16_t port;
	int32_t ordinal, forward;

	forward = rules_forward_outbound(n->rules, (enum nat_class)w->v.proto_class, w->v.src, w->probe.key.local_port,
					 &address, &port);
	if (forward < 0)
		return false;
	if (address == 0 && h != NULL && h->sessions > 0 &&
	    rules_address_find(n->rules, table_address(n->table, h->ext)) >= 0 &&
	    is_of_pool(n, table_address(n->table, h->ext)))
		address = table_address(n->table, h->ext);
	else if (address == 0 && rules_pool_count(n->rules) > 0)
		address = rules_address_at(n->rules,
					   rules_pool_ordinal(n->rules, any_address(n, prf_hash(n->id_key, w->v.src))));
	ordinal = rules_address_find(n->rules, address);
	if (ordinal < 0 || n->slots[ordinal] == TABLE_NONE || nat_is_left_to_host(n, w->v.proto, address))
		return false;
	d->basis = BASIS_FORWARD;
	d->forward = forward;
	d->spec.forward = true;
	d->spec.ext = (uint16_t)n->slots[ordinal];
	d->spec.ext_port = port;
	return true;
}

/* A host of a static pair has an address to itself: every port is kept. */
static bool find_static(const struct nat *n, const struct work *w, struct decision *d)
{
	uint32_t outside = rules_static_outside(n->rules, w->v.src);
	int32_t ordinal = outside == 0 ? -1 : rules_address_find(n->rules, outside);

	if (ordinal < 0 || n->slots[ordinal] == TABLE_NONE)
		return false;
	d->basis = BASIS_STATIC;
	d->spec.forward = true;
	d->spec.ext = (uint16_t)n->slots[ordinal];
	d->spec.ext_port = w->probe.key.local_port;
	return true;
}

bool nat_takes_sessions(const struct nat *n, const struct work *w, const struct mapping *m)
{
	return !n->judging.runs || nat_mapping_is_allowed(n, (enum nat_class)w->v.proto_class, m);
}

static bool find_mapping(const struct nat *n, const struct work *w, struct decision *d)
{
	struct mapping m;

	if (w->v.proto_class == CLASS_OTHER ||
	    !table_mapping_internal(n->table, (enum nat_class)w->v.proto_class, w->v.src, w->probe.key.local_port,
				    w->v.dst, w->probe.key.remote_port, &m) ||
	    !nat_takes_sessions(n, w, &m))
		return false;
	d->basis = BASIS_MAPPING;
	d->spec.ext = m.ext;
	d->spec.ext_port = m.ext_port;
	return true;
}

enum nat_reason nat_check_other_side(const struct nat *n, const struct decision *d, enum nat_dir side)
{
	const struct session_key k = {
		.local = side == DIR_OUT ? d->spec.int_addr : d->spec.ext,
		.remote = d->spec.rem_addr,
		.local_port = side == DIR_OUT ? d->spec.int_port : d->spec.ext_port,
		.remote_port = d->spec.rem_port,
		.proto_class = d->spec.proto_class,
		.dir = (uint8_t)side,
	};

	return table_seek(n->table, &k, n->now_s) == NULL ? NAT_PASS : DROP_TABLE;
}

void nat_decide_endpoint(const struct nat *n, const struct work *w, const struct host *h, struct decision *d)
{
	uint32_t limit = rules_host_limits(n->rules, w->v.src)->ports;

	if (!find_static(n, w, d) && find_mapping(n, w, d)) {
		if (n->shares_ports) /* a forward's session may be there, with the same remote endpoint */
			decision_goes_on(d, STAGE_TABLE, nat_check_other_side(n, d, DIR_IN));
		return;
	}
	if (d->basis == BASIS_STATIC || find_forward(n, w, h, d)) {
		enum nat_reason why = nat_check_other_side(n, d, DIR_IN);

		decision_goes_on(d, STAGE_TABLE,
				 why != NAT_PASS && w->v.proto_class == CLASS_OTHER ? DROP_OTHER_BUSY : why);
		return;
	}
	d->basis = w->v.proto_class == CLASS_OTHER ? BASIS_ADDRESS : BASIS_DRAW;
	if (w->v.proto_class == CLASS_OTHER)
		d->spec.ext_port = w->probe.key.local_port;
	if (limit != 0 && h != NULL && h->ports >= limit && w->v.proto_class != CLASS_OTHER)
		decision_drop(d, STAGE_PORTS, DROP_HOST_PORTS);
	else
		decision_goes_on(d, STAGE_PORTS, choose_address(n, w, h, d));
}
