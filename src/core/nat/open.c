/* SPDX-License-Identifier: ISC */
/*
 * The slow path: a packet without a session. Everything that policy decides is decided here, once
 * a session, so that the fast path has nothing left to ask.
 *
 * Outbound: may this host have one more session; which external endpoint (a forward's, its mapping's, or a new one);
 * open. Inbound: forward, mapping and filtering, or nothing asked for it.
 *
 * Fairness: while other hosts are active, a host must hold less than what is still free of the ports and of the table: of
 * unanswered sessions always, of anything in the last eighth. So a flood by one leaves room for all, answered or not, and who
 * holds nothing is served as long as there is anything (RFC 6888 REQ-4, 5). Nothing that lives is ever evicted (RFC 6888
 * REQ-11D).
 */
#include <string.h>

#include "nat_private.h"

enum {
	FAIR_FROM = 1024, /* below that many sessions or ports a share is not worth having */
	KEPT_PART = 8,	  /* 1/8 is for hosts that hold less than what is left of it */
};

bool nat_port_is_natds(const struct nat *n, enum nat_class c, uint32_t address, uint16_t port)
{
	uint32_t to;
	uint16_t to_port;

	return rules_port_usable(n->rules, c, address, port) ||
	       rules_forward_inbound(n->rules, c, address, port, 0, &to, &to_port) != -1;
}

/* What may open a session at all. The choice RFC 5382 leaves open: a segment of no known connection is dropped, always. */
static enum nat_reason check_opener(const struct nat *n, const struct work *w)
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

/* ---- does the filter let it in? ---- */

static struct filter_packet asked_outbound(const struct work *w)
{
	return (struct filter_packet){
		.direction = FILTER_OUT,
		.protocol = w->v.proto,
		.icmp_type = w->v.icmp_type,
		.has_ports = w->v.class_ == CLASS_TCP || w->v.class_ == CLASS_UDP,
		.port = w->v.dport,
		.from = w->v.src,
		.to = w->v.dst,
		.forward = FILTER_NONE,
	};
}

/* As the inside host will see it. */
static struct filter_packet asked_inbound(const struct work *w, uint32_t to, uint16_t to_port, int32_t forward)
{
	struct filter_packet p = asked_outbound(w);

	p.direction = FILTER_IN;
	p.to = to;
	p.port = to_port;
	p.forward = forward;
	return p;
}

/* The rule that decides, in *rule. What it refuses is charged to it and answered here; what it lets in is charged when the
 * session is open. */
static enum nat_reason check_filter(struct nat *n, struct work *w, const struct filter_packet *asked, int32_t *rule)
{
	enum nat_reason why;

	*rule = admission_find(&n->admission, asked, n->id_key, n->now_ms);
	why = admission_verdict(&n->admission, *rule);
	if (why == NAT_PASS)
		return NAT_PASS;
	admission_charge(&n->admission, *rule, asked, w->v.sport, w->v.len, n->id_key, n->now_ms);
	if (why == DROP_RULE_REJECT && w->v.kind == PKT_TCP)
		nat_answer_reset(n, w);
	else if (why == DROP_RULE_REJECT)
		nat_answer(n, w, ICMP_UNREACH, ICMP_UNREACH_ADMIN, 0);
	return why;
}

/* Held until the session has it: for table_origin_release(). 0 where no rule decided: its forward is found by its endpoint. */
static uint32_t origin_of(struct nat *n, int32_t rule, int32_t forward)
{
	struct session_origin o = {0};

	_Static_assert(sizeof(o.rule) == sizeof(((struct filter_rule *)0)->name), "names of rules fit");
	_Static_assert(sizeof(o.forward) == sizeof(((struct nat_forward *)0)->name), "names of forwards fit");
	if (rule == FILTER_NONE)
		return 0;
	memcpy(o.rule, filter_rule(n->admission.filter, (uint32_t)rule)->name, sizeof(o.rule));
	if (forward >= 0)
		memcpy(o.forward, n->policy->forwards[forward].name, sizeof(o.forward));
	return table_origin_intern(n->table, &o);
}

/* ---- may it have one more? ---- */

/* A bucket that holds one second's worth. The record is new when rate_ms is 0. */
static bool rate_take(struct nat *n, struct host *h)
{
	uint32_t limit = rules_host_limits(n->rules, h->address)->new_sessions;
	uint32_t now = (uint32_t)n->now_ms | 1;
	uint32_t elapsed = now - h->rate_ms;
	uint64_t fresh;

	if (limit == 0)
		return true;
	if (h->rate_ms == 0 || elapsed >= 1000) {
		h->rate_ms = now;
		h->rate_tokens = limit;
	} else {
		fresh = (uint64_t)elapsed * limit / 1000;
		if (fresh > 0) {
			h->rate_ms = now;
			h->rate_tokens = (uint32_t)(h->rate_tokens + fresh > limit ? limit : h->rate_tokens + fresh);
		}
	}
	if (h->rate_tokens > limit) /* a reload has lowered it */
		h->rate_tokens = limit;
	if (h->rate_tokens == 0)
		return false;
	h->rate_tokens--;
	return true;
}

/* May a host have one more of something of which there are `total`? */
static enum nat_reason check_share(const struct nat *n, uint32_t embryos, uint32_t held, uint32_t total, uint32_t left)
{
	if (total < FAIR_FROM || table_host_count(n->table) < 2)
		return NAT_PASS;
	if (embryos > 0 && embryos >= left)
		return DROP_EXPIRED_EMBRYO;
	return left <= total / KEPT_PART && held > 0 && held >= left ? DROP_HOST_SHARE : NAT_PASS;
}

static enum nat_reason check_limits(struct nat *n, struct host *h)
{
	const struct nat_limits *l = &n->policy->limits;
	uint32_t used = table_session_count(n->table), most = rules_host_limits(n->rules, h->address)->sessions;
	enum nat_reason why;

	if (used >= l->sessions)
		return DROP_SESSIONS_FULL;
	if (most != 0 && h->sessions >= most)
		return DROP_HOST_SESSIONS;
	why = check_share(n, h->embryos, h->sessions, l->sessions, l->sessions - used);
	if (why != NAT_PASS)
		return why;
	return rate_take(n, h) ? NAT_PASS : DROP_HOST_RATE;
}

/* ---- the external endpoint ---- */

struct endpoint {
	uint16_t ext;
	uint16_t port;
	bool forward;
	int32_t number; /* of the forward, or FILTER_NONE */
	bool taken;	/* a port taken for this session: to be released if it is not opened */
};

struct guard {
	struct nat *n;
	enum nat_class c;
	uint32_t address;
};

/* No mapping may sit on a forward's port, nor on one where a socket of the host is (CVE-2021-3773). */
static bool port_may_be_taken(void *ctx, uint16_t port)
{
	const struct guard *g = ctx;
	const struct nat *n = g->n;

	if (rules_port_is_forwarded(n->rules, g->c, g->address, port))
		return false;
	if (n->port_in_use == NULL || !rules_address_is_shared(n->rules, g->address))
		return true;
	return !n->port_in_use(n->port_ctx, g->c, g->address, port);
}

static uint32_t range_total(const struct nat_range *r, uint32_t count)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < count; i++)
		total += (uint32_t)r[i].last - r[i].first + 1;
	return total;
}

/* RFC 6888 REQ-8: a port may come back early when its TCP session was tracked to its end (a), or when filtering keeps the old
 * peers away (c). */
static bool may_recycle(const struct nat *n, enum nat_class c)
{
	return c == CLASS_TCP || n->policy->filtering != FILTERING_ENDPOINT_INDEPENDENT;
}

/* What is left of an address's ports: those that rest count where they can be had. */
static enum nat_reason check_port_share(const struct nat *n, const struct host *h, const struct port_request *rq)
{
	enum nat_class c = (enum nat_class)rq->class_;
	uint32_t total = range_total(rq->ranges, rq->n_ranges);
	uint32_t used = table_address_ports_used(n->table, rq->ext, c);

	if (rq->may_recycle)
		used -= table_address_ports_resting(n->table, rq->ext, c);
	return check_share(n, h->embryos, h->ports, total, used < total ? total - used : 0);
}

/* But for what decides whether a port is usable: see port_may_be_taken(). */
static struct port_request port_request(const struct nat *n, const struct work *w, const struct host *h, uint16_t ext)
{
	struct port_request rq = {
		.ext = ext,
		.class_ = w->v.class_,
		.same_class = 1,
		.parity = n->policy->port_parity,
		.like = w->v.sport,
		.prefer = n->policy->port_selection == PORTS_PRESERVE ? w->v.sport : 0,
		.may_recycle = may_recycle(n, (enum nat_class)w->v.class_),
		.host = h,
		.share = w->share,
		.blocks_max = rules_host_limits(n->rules, w->v.src)->blocks,
	};

	if (n->policy->allocation == ALLOCATION_PORT) /* else they are the host's blocks */
		rq.ranges = rules_port_ranges(n->rules, table_address(n->table, ext), &rq.n_ranges);
	return rq;
}

static enum nat_reason take_port(struct nat *n, const struct work *w, const struct host *h, struct endpoint *e,
				 uint64_t random)
{
	struct guard g = {.n = n, .c = (enum nat_class)w->v.class_, .address = table_address(n->table, e->ext)};
	struct port_request rq = port_request(n, w, h, e->ext);
	/* a block's ports are its host's alone, and the table shares out the blocks */
	enum nat_reason why = n->policy->allocation == ALLOCATION_PORT ? check_port_share(n, h, &rq) : NAT_PASS;
	bool recycled = false;

	if (why != NAT_PASS)
		return why;
	rq.usable = port_may_be_taken;
	rq.ctx = &g;
	why = table_port_allot(n->table, &rq, random, n->now_s, &e->port, &recycled);
	if (why != NAT_PASS)
		return why;
	e->taken = true;
	n->counters[COUNT_PORT_RECYCLED] += recycled;
	return NAT_PASS;
}

static bool other_is_free(struct nat *n, const struct work *w, uint16_t ext)
{
	struct session_key k = w->probe.key;

	k.dir = DIR_IN;
	k.local = ext;
	return table_find(n->table, &k, table_hash(n->table, &k), n->now_s) == NULL;
}

/* Other protocols have no ports: one inside host at a time per (address, protocol, remote), CVE-2014-8160. */
static enum nat_reason take_other(struct nat *n, const struct work *w, struct endpoint *e)
{
	uint8_t proto = w->v.proto;

	e->port = w->probe.key.local_port;
	/* Nothing brings its answers to natd: better refused than half translated. */
	if ((n->policy->shared_refused[proto / 64] >> proto % 64 & 1) &&
	    rules_address_is_shared(n->rules, table_address(n->table, e->ext)))
		return DROP_OTHER_PROTOCOL;
	return other_is_free(n, w, e->ext) ? NAT_PASS : DROP_OTHER_BUSY;
}

static enum nat_reason take_on(struct nat *n, const struct work *w, const struct host *h, struct endpoint *e,
			       uint32_t ordinal, uint64_t random)
{
	int32_t slot = nat_claim_slot(n, ordinal);

	if (slot == TABLE_NONE)
		return DROP_NO_ADDRESS;
	e->ext = (uint16_t)slot;
	return w->v.class_ == CLASS_OTHER ? take_other(n, w, e) : take_port(n, w, h, e, random);
}

static bool is_paired(const struct nat *n)
{
	return n->policy->pooling == POOLING_PAIRED;
}

/* Ordinal of the address that the host is paired with; -1: none. */
static int32_t partner(const struct nat *n, const struct host *h)
{
	uint32_t address;

	if (!is_paired(n) || h == NULL || (h->sessions == 0 && h->blocks == 0))
		return -1;
	address = table_address(n->table, h->ext);
	return rules_static_inside(n->rules, address) == 0 ? rules_address_find(n->rules, address) : -1;
}

/* A number among those that natd chooses from, by random bits: uneven by less than count / 2^32. There are some. */
static uint32_t any_address(const struct nat *n, uint64_t random)
{
	return (uint32_t)((random >> 32) * rules_pool_count(n->rules) >> 32);
}

/* Where a host that has none begins. */
static uint32_t first_address(const struct nat *n, uint32_t host, uint64_t random)
{
	return any_address(n, is_paired(n) ? prf_hash(n->id_key, host) : random);
}

static void find_share(const struct nat *n, struct work *w)
{
	uint32_t outside;

	w->share_ordinal = -1;
	w->share = UINT32_MAX;
	if (n->policy->allocation == ALLOCATION_DETERMINISTIC &&
	    allocation_share(rules_allocation(n->rules), w->v.src, &outside, &w->share))
		w->share_ordinal = (int32_t)rules_pool_ordinal(n->rules, outside);
}

/* Enough for both address and port: nobody can tell one from the other. */
static uint64_t draw(struct nat *n, struct work *w)
{
	if (w->random != 0)
		return w->random;
	w->random = prf_next(&n->prf);
	find_share(n, w);
	return w->random;
}

/*
 * Which outside address: the one the host is paired with (RFC 4787 REQ-2, RFC 6888 REQ-2); a host that has none yet starts at one
 * that depends on its address, and goes on to the next while they are full. Arbitrary pooling starts anywhere.
 */
static enum nat_reason take_address(struct nat *n, struct work *w, const struct host *h, struct endpoint *e)
{
	enum { TRIES = 64 };
	uint32_t count = rules_pool_count(n->rules), start, at;
	uint64_t random = draw(n, w);
	int32_t paired = w->share_ordinal >= 0 ? w->share_ordinal : partner(n, h);
	enum nat_reason why = DROP_NO_ADDRESS;

	if (paired >= 0)
		return take_on(n, w, h, e, (uint32_t)paired, random);
	if (count == 0)
		return DROP_NO_ADDRESS;
	start = first_address(n, w->v.src, random);
	for (uint32_t i = 0; i < count && i < TRIES; i++) {
		at = start + i < count ? start + i : start + i - count;
		why = take_on(n, w, h, e, rules_pool_ordinal(n->rules, at), random);
		if (why == NAT_PASS)
			break;
	}
	return why;
}

void nat_open_prefetch(struct nat *n, struct work *w)
{
	const struct host *h = NULL;
	struct port_request rq;
	int32_t ordinal, slot;

	if (w->dir != DIR_OUT || w->v.class_ == CLASS_OTHER || check_opener(n, w) != NAT_PASS ||
	    rules_pool_count(n->rules) == 0 || table_probe_joins(n->table, &w->probe))
		return;
	draw(n, w);
	ordinal = w->share_ordinal;
	if (ordinal < 0) {
		h = table_host(n->table, w->v.src, false);
		ordinal = partner(n, h);
	}
	if (ordinal < 0)
		ordinal = (int32_t)rules_pool_ordinal(n->rules, first_address(n, w->v.src, w->random));
	slot = n->slots[ordinal];
	if (slot == TABLE_NONE)
		return;
	rq = port_request(n, w, h, (uint16_t)slot);
	table_port_prefetch(n->table, &rq, w->random);
}

/* A host whose port is forwarded speaks from that port when it speaks first, too. */
static bool find_forward(struct nat *n, const struct work *w, const struct host *h, struct endpoint *e)
{
	uint32_t address;
	int32_t ordinal, slot;

	if (w->v.class_ != CLASS_TCP && w->v.class_ != CLASS_UDP)
		return false;
	int32_t forward =
		rules_forward_outbound(n->rules, (enum nat_class)w->v.class_, w->v.src, w->v.sport, &address, &e->port);

	if (forward < 0)
		return false;
	if (address == 0 && h->sessions > 0 && rules_address_find(n->rules, table_address(n->table, h->ext)) >= 0)
		address = table_address(n->table, h->ext);
	else if (address == 0 && rules_pool_count(n->rules) > 0)
		address = rules_address_at(n->rules,
					   rules_pool_ordinal(n->rules, any_address(n, prf_hash(n->id_key, w->v.src))));
	ordinal = rules_address_find(n->rules, address);
	slot = ordinal < 0 ? TABLE_NONE : nat_claim_slot(n, (uint32_t)ordinal);
	if (slot == TABLE_NONE)
		return false;
	e->ext = (uint16_t)slot;
	e->forward = true;
	e->number = forward;
	return true;
}

/* A host of a static pair has an address to itself: every port is kept. */
static bool find_static(struct nat *n, const struct work *w, struct endpoint *e)
{
	uint32_t outside = rules_static_outside(n->rules, w->v.src);
	int32_t ordinal = outside == 0 ? -1 : rules_address_find(n->rules, outside);
	int32_t slot = ordinal < 0 ? TABLE_NONE : nat_claim_slot(n, (uint32_t)ordinal);

	if (slot == TABLE_NONE)
		return false;
	e->ext = (uint16_t)slot;
	e->port = w->probe.key.local_port;
	e->forward = true;
	return true;
}

static bool find_mapping(const struct nat *n, const struct work *w, struct endpoint *e)
{
	struct mapping m;

	if (w->v.class_ == CLASS_OTHER ||
	    !table_mapping_internal(n->table, (enum nat_class)w->v.class_, w->v.src, w->probe.key.local_port, w->v.dst,
				    w->probe.key.remote_port, &m))
		return false;
	e->ext = m.ext;
	e->port = m.ext_port;
	return true;
}

/* RFC 4787 REQ-1: the mapping that is there, else a new one within the host's share of ports. */
static enum nat_reason choose_endpoint(struct nat *n, struct work *w, const struct host *h, struct endpoint *e)
{
	uint32_t limit = rules_host_limits(n->rules, w->v.src)->ports;

	if (find_static(n, w, e) || find_mapping(n, w, e) || find_forward(n, w, h, e))
		return NAT_PASS;
	if (limit != 0 && h->ports >= limit && w->v.class_ != CLASS_OTHER)
		return DROP_HOST_PORTS;
	return take_address(n, w, h, e);
}

/* ---- opening ---- */

static struct session *open_session(struct nat *n, struct work *w, const struct session_spec *spec,
				    enum nat_reason *why)
{
	struct session *s = table_session_open(n->table, spec, n->now_s, why);

	if (s == NULL)
		return NULL;
	if (w->v.kind == PKT_TCP) {
		tcp_open(s, (enum nat_dir)w->dir, &w->v);
		/* RFC 5382 REQ-4: whichever side's SYN was let through, no held one is answered any more */
		nat_hold_cancel(n, s);
	}
	return s;
}

/* Opens the session that `rule` lets in, by forward number `forward` or none. */
static struct session *open_by(struct nat *n, struct work *w, struct session_spec *spec,
			       const struct filter_packet *asked, int32_t rule, int32_t forward, enum nat_reason *why)
{
	struct session *s;

	spec->origin = origin_of(n, rule, forward);
	s = open_session(n, w, spec, why);
	if (s != NULL)
		admission_charge(&n->admission, rule, asked, w->v.sport, w->v.len, n->id_key, n->now_ms);
	table_origin_release(n->table, spec->origin);
	return s;
}

static uint8_t first_state(enum nat_dir dir)
{
	return dir == DIR_OUT ? SESSION_SYN_OUT : SESSION_SYN_IN;
}

/* One of the ports that natd chooses from, without mapping and quarantine, where a socket of the host is: its first holder
 * keeps it. */
static bool has_hosts_socket(const struct nat *n, const struct work *w)
{
	enum nat_class c = (enum nat_class)w->v.class_;
	int32_t slot = nat_external_slot(n, w->v.dst);

	return n->port_in_use != NULL && !rules_port_is_forwarded(n->rules, c, w->v.dst, w->v.dport) &&
	       (slot == TABLE_NONE || !table_port_used(n->table, c, (uint16_t)slot, w->v.dport)) &&
	       n->port_in_use(n->port_ctx, c, w->v.dst, w->v.dport);
}

static bool is_hosts_port(const struct nat *n, const struct work *w)
{
	if (!rules_address_is_shared(n->rules, w->v.dst))
		return false;
	if (w->v.class_ != CLASS_TCP && w->v.class_ != CLASS_UDP)
		return true;
	return !nat_port_is_natds(n, (enum nat_class)w->v.class_, w->v.dst, w->v.dport) || has_hosts_socket(n, w);
}

static enum nat_reason check_hairpin(const struct nat *n, struct work *w)
{
	if (!w->hairpin)
		return NAT_PASS;
	if (is_hosts_port(n, w)) {
		w->to_host = true;
		return NAT_PASS;
	}
	return n->policy->hairpinning ? NAT_PASS : DROP_HAIRPIN_OFF;
}

static struct session *open_outbound(struct nat *n, struct work *w, enum nat_reason *why)
{
	struct endpoint e = {.number = FILTER_NONE};
	struct filter_packet asked = asked_outbound(w);
	struct session_spec spec;
	struct session *s;
	struct host *h;
	int32_t rule;

	*why = check_hairpin(n, w);
	if (*why != NAT_PASS || w->to_host)
		return NULL;
	*why = check_opener(n, w);
	if (*why == NAT_PASS)
		*why = check_filter(n, w, &asked, &rule);
	if (*why != NAT_PASS)
		return NULL;
	h = table_host(n->table, w->v.src, true);
	*why = h == NULL ? DROP_TABLE : check_limits(n, h);
	if (*why == NAT_PASS)
		*why = choose_endpoint(n, w, h, &e);
	if (*why != NAT_PASS)
		return NULL;
	spec = (struct session_spec){
		.int_addr = w->v.src,
		.int_port = w->probe.key.local_port,
		.rem_addr = w->v.dst,
		.rem_port = w->probe.key.remote_port,
		.ext = e.ext,
		.ext_port = e.port,
		.class_ = w->v.class_,
		.state = first_state(DIR_OUT),
		.forward = e.forward,
	};
	s = open_by(n, w, &spec, &asked, rule, e.number, why);
	if (s == NULL && e.taken)
		table_port_release(n->table, (enum nat_class)w->v.class_, e.ext, e.port);
	return s;
}

/* ---- inbound ---- */

/* Nothing asked for it: the host's own, or silence, or the answer that policy wants. */
static enum nat_reason refuse(struct nat *n, struct work *w, enum nat_reason why)
{
	bool shared = rules_address_is_shared(n->rules, w->v.dst);
	bool is_syn = w->v.kind == PKT_TCP && check_opener(n, w) == NAT_PASS;

	if (is_hosts_port(n, w) || (shared && n->policy->unsolicited == UNSOLICITED_HOST && !w->hairpin)) {
		w->to_host = true;
		return NAT_PASS;
	}
	if (w->v.kind == PKT_TCP && !is_syn)
		return DROP_TCP_NO_SESSION;
	if (w->v.kind == PKT_ICMP_REPLY)
		return DROP_ICMP_NO_SESSION;
	if (n->policy->unsolicited == UNSOLICITED_REJECT && !w->hairpin) {
		if (is_syn)
			nat_hold_add(n, w);
		else if (w->v.kind == PKT_UDP)
			nat_answer(n, w, ICMP_UNREACH, ICMP_UNREACH_PORT, 0);
	}
	return is_syn && why == DROP_UNSOLICITED ? DROP_UNSOLICITED_SYN : why;
}

/* RFC 4787 REQ-8. Hairpinned packets come from inside: the filter is against the outside. */
static bool filter_allows(const struct nat *n, const struct work *w, const struct mapping *m)
{
	if (w->hairpin)
		return true;
	switch (n->policy->filtering) {
	case FILTERING_ENDPOINT_INDEPENDENT:
		return true;
	case FILTERING_ADDRESS_DEPENDENT:
		return table_mapping_has_peer(n->table, m, w->v.src);
	case FILTERING_ADDRESS_AND_PORT_DEPENDENT:
		break;
	}
	return false;
}

static struct session *open_towards(struct nat *n, struct work *w, uint32_t to, uint16_t to_port, bool forward,
				    int32_t number, enum nat_reason *why)
{
	struct session_spec spec = {
		.int_addr = to,
		.int_port = to_port,
		.rem_addr = w->v.src,
		.rem_port = w->probe.key.remote_port,
		.ext = (uint16_t)w->probe.key.local,
		.ext_port = w->probe.key.local_port,
		.class_ = w->v.class_,
		.state = first_state(DIR_IN),
		.from_outside = true,
		.forward = forward,
	};
	struct filter_packet asked = asked_inbound(w, to, to_port, number);
	int32_t rule;
	struct host *h = table_host(n->table, to, true);

	*why = check_opener(n, w);
	if (*why == NAT_PASS)
		*why = check_filter(n, w, &asked, &rule);
	if (*why == NAT_PASS)
		*why = h == NULL ? DROP_TABLE : check_limits(n, h);
	return *why == NAT_PASS ? open_by(n, w, &spec, &asked, rule, number, why) : NULL;
}

/* True when a forward has the say about this packet; *s is its session, or NULL with *why. */
static bool open_forward(struct nat *n, struct work *w, struct session **s, enum nat_reason *why)
{
	uint32_t to;
	uint16_t to_port;
	int32_t i;

	if (w->v.class_ != CLASS_TCP && w->v.class_ != CLASS_UDP)
		return false;
	i = rules_forward_inbound(n->rules, (enum nat_class)w->v.class_, w->v.dst, w->v.dport, w->v.src, &to, &to_port);
	if (i == -1)
		return false;
	*s = NULL;
	*why = DROP_FORWARD_SOURCE;
	if (i >= 0 && nat_external_slot(n, to) != TABLE_NONE) /* the address changed under the configuration */
		*why = DROP_HAIRPIN_LOOP;
	else if (i >= 0)
		*s = open_towards(n, w, to, to_port, true, i, why);
	return true;
}

static struct session *open_inbound(struct nat *n, struct work *w, enum nat_reason *why)
{
	uint32_t inside = rules_static_inside(n->rules, w->v.dst);
	struct session *s;
	struct mapping m;

	if (inside != 0) /* anyone may open, on every port */
		return open_towards(n, w, inside, w->probe.key.local_port, true, FILTER_NONE, why);
	if (open_forward(n, w, &s, why))
		return s;
	if (w->v.class_ == CLASS_ICMP || w->v.class_ == CLASS_OTHER ||
	    !table_mapping_external(n->table, (enum nat_class)w->v.class_, (uint16_t)w->probe.key.local,
				    w->probe.key.local_port, &m) ||
	    !m.is_held) {
		*why = refuse(n, w, DROP_UNSOLICITED);
		return NULL;
	}
	if (!filter_allows(n, w, &m)) {
		*why = refuse(n, w, DROP_FILTERED);
		return NULL;
	}
	return open_towards(n, w, m.int_addr, m.int_port, false, FILTER_NONE, why);
}

struct session *nat_open(struct nat *n, struct work *w, enum nat_reason *why)
{
	if (w->dir == DIR_OUT)
		return open_outbound(n, w, why);
	return open_inbound(n, w, why);
}
