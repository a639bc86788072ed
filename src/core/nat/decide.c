/* SPDX-License-Identifier: ISC */
/*
 * The decision about a packet without a session. See decide.h.
 *
 * Outbound: whose is the destination; may this kind of packet open a session; may this host have one more; which outside
 * endpoint (its mapping's, a forward's, or a new one). Inbound: static pair, forward, default host where there is no mapping,
 * mapping and filtering, or nothing asked for it; then the limits of the host that it is for. Everything about an opening is known where decide_limits() is called: what
 * else policy may say about it belongs there.
 */
#include "decide.h"

#include "nat_private.h"

enum { ADDRESS_TRIES = 64 };

bool nat_port_is_natds(const struct nat *n, enum nat_class c, uint32_t address, uint16_t port)
{
	uint32_t to;
	uint16_t to_port;

	return rules_port_usable(n->rules, c, address, port) ||
	       rules_forward_inbound(n->rules, c, address, port, 0, &to, &to_port) != -1;
}

/* What may open a session at all. The choice RFC 5382 leaves open: a segment of no known connection is dropped, always. */
enum nat_reason nat_check_opener(const struct nat *n, const struct work *w)
{
	const struct pkt_view *v = &w->v;

	if (v->kind == PKT_TCP && (v->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
		return DROP_TCP_NO_SESSION;
	if (v->kind == PKT_ICMP_REPLY)
		return DROP_ICMP_NO_SESSION;
	if (v->kind == PKT_OTHER && n->policy->other_protocols == OTHER_DROP)
		return DROP_OTHER_PROTOCOL;
	return NAT_PASS;
}

static void drop(struct decision *d, enum decide_stage stage, enum nat_reason why)
{
	d->action = DECIDED_DROP;
	d->stage = (uint8_t)stage;
	d->reason = (uint8_t)why;
}

/* False: `why` refuses it. */
static bool goes_on(struct decision *d, enum decide_stage stage, enum nat_reason why)
{
	d->stage = (uint8_t)stage;
	if (why == NAT_PASS)
		return true;
	drop(d, stage, why);
	return false;
}

/* ---- the host's own ---- */

static bool has_ports(const struct work *w)
{
	return w->v.proto_class == CLASS_TCP || w->v.proto_class == CLASS_UDP;
}

static bool is_hosts_port(const struct nat *n, const struct work *w)
{
	return rules_address_is_shared(n->rules, w->v.dst) &&
	       (!has_ports(w) || !nat_port_is_natds(n, (enum nat_class)w->v.proto_class, w->v.dst, w->v.dport));
}

/* One of the ports that natd chooses from, without mapping and quarantine, where a socket of the host may be: its first
 * holder keeps it. */
static bool may_have_socket(const struct nat *n, const struct work *w)
{
	enum nat_class c = (enum nat_class)w->v.proto_class;
	int32_t slot = nat_external_slot(n, w->v.dst);

	return n->port_in_use != NULL && has_ports(w) && rules_address_is_shared(n->rules, w->v.dst) &&
	       !rules_port_is_forwarded(n->rules, c, w->v.dst, w->v.dport) &&
	       (slot == TABLE_NONE || !table_port_used(n->table, c, (uint16_t)slot, w->v.dport));
}

/* ---- the outside endpoint of what leaves ---- */

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

/* Sessions from outside may have paired the host with an address from which natd does not choose. */
static bool is_of_pool(const struct nat *n, uint32_t address)
{
	return rules_static_inside(n->rules, address) == 0 && !rules_address_is_virtual(n->rules, address);
}

int32_t nat_paired_address(const struct nat *n, const struct work *w, const struct host *h)
{
	uint32_t address;

	if (w->share_ordinal >= 0)
		return w->share_ordinal;
	if (!is_paired(n) || h == NULL || (h->sessions == 0 && h->blocks == 0))
		return -1;
	address = table_address(n->table, h->ext);
	return is_of_pool(n, address) ? rules_address_find(n->rules, address) : -1;
}

/* A number among those that natd chooses from, by random bits: uneven by less than count / 2^32. There are some. */
static uint32_t any_address(const struct nat *n, uint64_t random)
{
	return (uint32_t)((random >> 32) * rules_pool_count(n->rules) >> 32);
}

uint32_t nat_first_address(const struct nat *n, uint32_t host, uint64_t random)
{
	return any_address(n, is_paired(n) ? prf_hash(n->id_key, host) : random);
}

/* RFC 6888 REQ-8: a port may come back early when its TCP session was tracked to its end (a), or when filtering keeps the old
 * peers away (c). */
static bool may_recycle(const struct nat *n, enum nat_class c)
{
	return c == CLASS_TCP || n->policy->filtering != FILTERING_ENDPOINT_INDEPENDENT;
}

struct port_request nat_port_request(const struct nat *n, const struct work *w, const struct host *h, uint16_t ext)
{
	struct port_request rq = {
		.ext = ext,
		.proto_class = w->v.proto_class,
		.same_class = 1,
		.parity = n->policy->port_parity,
		.like = w->v.sport,
		.prefer = n->policy->port_selection == PORTS_PRESERVE ? w->v.sport : 0,
		.may_recycle = may_recycle(n, (enum nat_class)w->v.proto_class),
		.host = h,
		.share = w->share,
		.blocks_max = rules_host_limits(n->rules, w->v.src)->blocks,
	};

	if (n->policy->allocation == ALLOCATION_PORT)
		rq.ranges = rules_port_ranges(n->rules, table_address(n->table, ext), &rq.n_ranges);
	else /* they are the host's blocks */
		rq.blocks_kept = nat_kept_blocks(n, h, ext);
	return rq;
}

/* A session of a forward is there, with the remote endpoint of the one to be opened. */
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

static bool is_not_forwarded(void *ctx, uint16_t port)
{
	return nat_port_is_free_of_forwards(ctx, port);
}

/* The share first, since it knows how many are left: only where these are few it matters which. */
static enum nat_reason check_port(const struct nat *n, const struct work *w, const struct host *h, uint16_t ext)
{
	struct port_set set = {n, w, (enum nat_class)w->v.proto_class, table_address(n->table, ext)};
	struct port_request rq = nat_port_request(n, w, h, ext);
	bool is_single = n->policy->allocation == ALLOCATION_PORT;
	uint32_t left = 0;
	/* a block's ports are its host's alone, and the table shares out the blocks */
	enum nat_reason why = is_single ? nat_check_ports(n, h, &rq, &left) : NAT_PASS;

	if (why != NAT_PASS || (is_single && left > n->forwarded_ports && !n->shares_ports))
		return why;
	rq.usable = is_not_forwarded;
	rq.ctx = &set;
	return table_port_could(n->table, &rq, n->now_s);
}

/* Of this protocol an address shared with the host brings nothing to natd. */
static bool is_left_to_host(const struct nat *n, uint8_t proto, uint32_t address)
{
	return (n->policy->shared_refused[proto / 64] >> proto % 64 & 1) && rules_address_is_shared(n->rules, address);
}

/* Other protocols have no ports: one inside host at a time per (address, protocol, remote), CVE-2014-8160. */
static enum nat_reason check_other(const struct nat *n, const struct work *w, uint16_t ext)
{
	struct session_key k = w->probe.key;

	/* Nothing brings its answers to natd: better refused than half translated. */
	if (is_left_to_host(n, w->v.proto, table_address(n->table, ext)))
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
 * Which outside address: the one the host is paired with (RFC 4787 REQ-2, RFC 6888 REQ-2); a host that has none yet starts at one
 * that depends on its address, and goes on to the next while they are full. Arbitrary pooling starts anywhere.
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
	goes_on(d, STAGE_PORTS, choose_address(n, w, table_host_find(n->table, w->v.src), d));
}

/* A host whose port or protocol is forwarded speaks from there when it speaks first, too. */
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
	if (ordinal < 0 || n->slots[ordinal] == TABLE_NONE || is_left_to_host(n, w->v.proto, address))
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

/* While sessions are judged one may be there that policy forbids. */
static bool takes_sessions(const struct nat *n, const struct work *w, const struct mapping *m)
{
	return !n->judging.runs || nat_mapping_is_allowed(n, (enum nat_class)w->v.proto_class, m);
}

static bool find_mapping(const struct nat *n, const struct work *w, struct decision *d)
{
	struct mapping m;

	if (w->v.proto_class == CLASS_OTHER ||
	    !table_mapping_internal(n->table, (enum nat_class)w->v.proto_class, w->v.src, w->probe.key.local_port,
				    w->v.dst, w->probe.key.remote_port, &m) ||
	    !takes_sessions(n, w, &m))
		return false;
	d->basis = BASIS_MAPPING;
	d->spec.ext = m.ext;
	d->spec.ext_port = m.ext_port;
	return true;
}

/* Has the session that is to be opened a twin, seen from the other side? */
static enum nat_reason check_other_side(const struct nat *n, const struct decision *d, enum nat_dir side)
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

/* RFC 4787 REQ-1: the mapping that is there, else a new one within the host's share of ports. */
static void decide_endpoint(const struct nat *n, const struct work *w, const struct host *h, struct decision *d)
{
	uint32_t limit = rules_host_limits(n->rules, w->v.src)->ports;

	if (!find_static(n, w, d) && find_mapping(n, w, d)) {
		if (n->shares_ports) /* a forward's session may be there, with the same remote endpoint */
			goes_on(d, STAGE_TABLE, check_other_side(n, d, DIR_IN));
		return;
	}
	if (d->basis == BASIS_STATIC || find_forward(n, w, h, d)) {
		enum nat_reason why = check_other_side(n, d, DIR_IN);

		goes_on(d, STAGE_TABLE, why != NAT_PASS && w->v.proto_class == CLASS_OTHER ? DROP_OTHER_BUSY : why);
		return;
	}
	d->basis = w->v.proto_class == CLASS_OTHER ? BASIS_ADDRESS : BASIS_DRAW;
	if (w->v.proto_class == CLASS_OTHER)
		d->spec.ext_port = w->probe.key.local_port;
	if (limit != 0 && h != NULL && h->ports >= limit && w->v.proto_class != CLASS_OTHER)
		drop(d, STAGE_PORTS, DROP_HOST_PORTS);
	else
		goes_on(d, STAGE_PORTS, choose_address(n, w, h, d));
}

/* What the filter is asked. Inbound it is what the inside host will see. */
static struct filter_packet asked(const struct work *w, const struct decision *d)
{
	struct filter_packet p = {
		.direction = FILTER_OUT,
		.protocol = w->v.proto,
		.icmp_type = w->v.icmp_type,
		.has_ports = has_ports(w),
		.port = w->v.dport,
		.from = w->v.src,
		.to = w->v.dst,
		.forward = FILTER_NONE,
	};

	if (w->dir == DIR_OUT)
		return p;
	p.direction = FILTER_IN;
	p.to = d->spec.int_addr;
	p.port = d->spec.int_port;
	p.forward = d->forward;
	return p;
}

static bool decide_rule(const struct nat *n, const struct work *w, struct decision *d)
{
	d->asked = asked(w, d);
	d->rule = admission_find(&n->admission, &d->asked, n->id_key, n->now_ms);
	return goes_on(d, STAGE_RULE, admission_verdict(&n->admission, d->rule));
}

static bool decide_limits(const struct nat *n, const struct work *w, const struct host *h, struct decision *d)
{
	return goes_on(d, STAGE_LIMITS, nat_check_sessions(n, d->spec.int_addr, h, (enum nat_dir)w->dir, w->pending));
}

/* A service that inside hosts may use whether hairpinning is on or not. */
static bool is_for_inside(const struct nat *n, const struct work *w)
{
	uint32_t to;
	uint16_t port;
	int32_t i = !has_ports(w) ? -1
				  : rules_forward_inbound(n->rules, (enum nat_class)w->v.proto_class, w->v.dst,
							  w->v.dport, w->v.src, &to, &port);

	return i >= 0 && n->policy->forwards[i].side != SIDE_OUTSIDE;
}

static bool decide_hairpin(const struct nat *n, const struct work *w, struct decision *d)
{
	if (!w->hairpin)
		return true;
	if (is_hosts_port(n, w)) {
		d->action = DECIDED_HOST;
		return false;
	}
	d->asks_host = may_have_socket(n, w);
	return goes_on(d, STAGE_OWNER, n->policy->hairpinning || is_for_inside(n, w) ? NAT_PASS : DROP_HAIRPIN_OFF);
}

static void decide_outbound(const struct nat *n, const struct work *w, struct decision *d)
{
	const struct host *h;

	if (!decide_hairpin(n, w, d) || !goes_on(d, STAGE_KIND, nat_check_opener(n, w)) || !decide_rule(n, w, d))
		return;
	h = table_host_find(n->table, w->v.src);
	d->spec.int_addr = w->v.src;
	d->spec.int_port = w->probe.key.local_port;
	d->spec.rem_addr = w->v.dst;
	d->spec.state = SESSION_SYN_OUT;
	if (!decide_limits(n, w, h, d))
		return;
	decide_endpoint(n, w, h, d);
	/* The second pass would find the first one's session: without ports nothing else tells the two ends apart. */
	if (w->hairpin && w->v.proto_class == CLASS_OTHER && d->action == DECIDED_OPEN &&
	    table_address(n->table, d->spec.ext) == w->v.dst)
		drop(d, STAGE_OWNER, DROP_HAIRPIN_LOOP);
}

/* ---- inbound ---- */

/* Nothing asked for it: the host's own, or silence, or the answer that policy wants. */
static void refuse(const struct nat *n, const struct work *w, enum decide_stage stage, enum nat_reason why,
		   struct decision *d)
{
	bool is_syn = w->v.kind == PKT_TCP && nat_check_opener(n, w) == NAT_PASS;
	bool rejects = n->policy->unsolicited == UNSOLICITED_REJECT && !w->hairpin;

	if (is_hosts_port(n, w) || (rules_address_is_shared(n->rules, w->v.dst) &&
				    n->policy->unsolicited == UNSOLICITED_HOST && !w->hairpin)) {
		d->stage = STAGE_OWNER;
		d->action = DECIDED_HOST;
		return;
	}
	d->asks_host = may_have_socket(n, w);
	if (w->v.kind == PKT_TCP && !is_syn) {
		drop(d, stage, DROP_TCP_NO_SESSION);
		return;
	}
	if (w->v.kind == PKT_ICMP_REPLY) {
		drop(d, stage, DROP_ICMP_NO_SESSION);
		return;
	}
	d->is_held = rejects && is_syn;
	d->is_answered = rejects && w->v.kind == PKT_UDP;
	drop(d, stage, is_syn && why == DROP_UNSOLICITED ? DROP_UNSOLICITED_SYN : why);
}

/* The session that this packet opened on its way out (a hairpin), and that is in no table yet, may be a peer. */
static bool is_pending_peer(const struct work *w, const struct mapping *m)
{
	const struct session_spec *p = w->pending;

	return p != NULL && p->ext == m->ext && p->ext_port == m->ext_port && p->rem_addr == w->v.src;
}

/* RFC 4787 REQ-8. A hairpinned packet is one more from outside: its source is the external endpoint of its host. */
static bool filter_allows(const struct nat *n, const struct work *w, const struct mapping *m)
{
	switch (n->policy->filtering) {
	case FILTERING_ENDPOINT_INDEPENDENT:
		return true;
	case FILTERING_ADDRESS_DEPENDENT:
		return table_mapping_has_peer(n->table, m, w->v.src) || is_pending_peer(w, m);
	case FILTERING_ADDRESS_AND_PORT_DEPENDENT:
		break;
	}
	return false;
}

static void open_towards(const struct nat *n, const struct work *w, uint32_t to, uint16_t to_port, struct decision *d)
{
	d->spec.int_addr = to;
	d->spec.int_port = to_port;
	d->spec.rem_addr = w->v.src;
	d->spec.ext = (uint16_t)w->probe.key.local;
	d->spec.ext_port = w->probe.key.local_port;
	d->spec.state = SESSION_SYN_IN;
	d->spec.from_outside = true;
	d->spec.forward = d->basis == BASIS_FORWARD || d->basis == BASIS_STATIC;
	if (!goes_on(d, STAGE_KIND, nat_check_opener(n, w)) || !decide_rule(n, w, d) ||
	    !decide_limits(n, w, table_host_find(n->table, to), d))
		return;
	if ((int32_t)w->probe.key.local == TABLE_NONE)
		drop(d, STAGE_TABLE, DROP_TABLE);
	else
		goes_on(d, STAGE_TABLE, check_other_side(n, d, DIR_OUT));
}

/* The second half of a hairpinned packet carries natd's address: all inside hosts would look the same. */
struct backend_query nat_backend_query(const struct nat *n, const struct work *w, uint32_t forward)
{
	return (struct backend_query){
		.forward = forward,
		.source = w->hairpin ? w->origin.src : w->v.src,
		.random = w->random,
		.now_s = n->now_s,
		.key = n->id_key,
	};
}

static void open_to_backend(const struct nat *n, const struct work *w, struct decision *d)
{
	const struct nat_forward *f = &n->policy->forwards[d->forward];
	const struct backend_query q = nat_backend_query(n, w, (uint32_t)d->forward);

	d->backend = backends_choose(&n->backends, &q);
	if (d->backend == BALANCE_NONE)
		drop(d, STAGE_BACKEND, DROP_BACKENDS_DOWN);
	else
		open_towards(n, w, f->backends[d->backend].address,
			     (uint16_t)(f->backends[d->backend].port + (w->v.dport - f->ports.first)), d);
}

/* A virtual service is for inside hosts alone. */
static bool is_out_of_reach(const struct nat *n, const struct work *w, int32_t forward)
{
	return forward >= 0 && n->policy->forwards[forward].side == SIDE_INSIDE && !w->hairpin;
}

/* Forward `i` has it, or (-2) refuses its sender. */
static void lead(const struct nat *n, const struct work *w, int32_t i, uint32_t to, uint16_t to_port,
		 struct decision *d)
{
	d->forward = i >= 0 ? i : -1;
	d->basis = BASIS_FORWARD;
	if (i < 0)
		drop(d, STAGE_FORWARD, DROP_FORWARD_SOURCE);
	else if (n->policy->forwards[i].n_backends > 0)
		open_to_backend(n, w, d);
	else if (nat_external_slot(n, to) != TABLE_NONE) /* the address changed under the configuration */
		drop(d, STAGE_FORWARD, DROP_HAIRPIN_LOOP);
	else
		open_towards(n, w, to, to_port, d);
}

/* True: a forward matches. */
static bool decide_forward(const struct nat *n, const struct work *w, struct decision *d)
{
	uint32_t to = 0;
	uint16_t to_port = 0;
	int32_t i;

	if (is_left_to_host(n, w->v.proto, w->v.dst))
		return false;
	i = rules_forward_inbound(n->rules, (enum nat_class)w->v.proto_class, w->v.dst, w->probe.key.local_port,
				  w->v.src, &to, &to_port);
	if (i == -1 || is_out_of_reach(n, w, i))
		return false;
	lead(n, w, i, to, to_port, d);
	return true;
}

/* True: a default host has what nothing else asks for. Ports in quarantine were another's just now; of an address shared with
 * the host, protocols without ports may be the host's own. */
static bool decide_default(const struct nat *n, const struct work *w, struct decision *d)
{
	enum nat_class c = (enum nat_class)w->v.proto_class;
	uint16_t port = w->probe.key.local_port, to_port = 0;
	uint32_t to = 0;
	int32_t i, slot = (int32_t)w->probe.key.local;

	if (is_hosts_port(n, w) ||
	    (has_ports(w) && slot != TABLE_NONE && table_port_used(n->table, c, (uint16_t)slot, port)))
		return false;
	i = rules_forward_default(n->rules, c, w->v.dst, port, w->v.src, &to, &to_port);
	if (i == -1)
		return false;
	d->asks_host = may_have_socket(n, w);
	lead(n, w, i, to, to_port, d);
	return true;
}

static void decide_inbound(const struct nat *n, const struct work *w, struct decision *d)
{
	uint32_t inside = rules_static_inside(n->rules, w->v.dst);
	struct mapping m;

	if (inside != 0) { /* anyone may open, on every port */
		d->basis = BASIS_STATIC;
		open_towards(n, w, inside, w->probe.key.local_port, d);
		return;
	}
	if (decide_forward(n, w, d) || decide_default(n, w, d))
		return;
	if (!has_ports(w) ||
	    !table_mapping_external(n->table, (enum nat_class)w->v.proto_class, (uint16_t)w->probe.key.local,
				    w->probe.key.local_port, &m) ||
	    !m.is_held || !takes_sessions(n, w, &m)) {
		refuse(n, w, STAGE_MAPPING, DROP_UNSOLICITED, d);
		return;
	}
	d->basis = BASIS_MAPPING;
	if (filter_allows(n, w, &m))
		open_towards(n, w, m.int_addr, m.int_port, d);
	else
		refuse(n, w, STAGE_FILTER, DROP_FILTERED, d);
}

void nat_decide(const struct nat *n, const struct work *w, bool may_sweep, struct decision *d)
{
	*d = (struct decision){
		.action = DECIDED_OPEN,
		.forward = -1,
		.backend = -1,
		.rule = FILTER_NONE,
		.spec = {.proto_class = w->v.proto_class, .rem_port = w->probe.key.remote_port},
	};
	if (w->dir == DIR_OUT)
		decide_outbound(n, w, d);
	else
		decide_inbound(n, w, d);
	if (d->action == DECIDED_OPEN)
		d->stage = STAGE_DONE;
	else if (may_sweep && d->action == DECIDED_DROP && nat_is_about_room((enum nat_reason)d->reason))
		d->action = DECIDED_SWEEP;
}
