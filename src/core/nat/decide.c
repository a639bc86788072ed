/* SPDX-License-Identifier: ISC */
/*
 * The decision about a packet without a session. See decide.h.
 *
 * Outbound: the owner of the destination; may this kind of packet open a session; may this host have one more; which
 * outside endpoint (its mapping's, a forward's, or a new one). Inbound: static pair, forward, default host if there is
 * no mapping, mapping and filtering, or refusal; then the limits of the host to which it leads. Everything about an
 * opening is known when decide_limits() is called: further policy about openings belongs there.
 */
#include "decide.h"

#include "nat_private.h"

bool nat_port_is_natds(const struct nat *n, enum nat_class c, uint32_t address, uint16_t port)
{
	uint32_t to;
	uint16_t to_port;

	return rules_port_usable(n->rules, c, address, port) ||
	       rules_forward_inbound(n->rules, c, address, port, 0, &to, &to_port) != -1;
}

/* Packets that may open a session. The choice that RFC 5382 leaves open: a segment of no known connection is always
 * dropped. */
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

/* ---- the host's own packets ---- */

static bool has_ports(const struct work *w)
{
	return w->v.proto_class == CLASS_TCP || w->v.proto_class == CLASS_UDP;
}

static bool is_hosts_port(const struct nat *n, const struct work *w)
{
	return rules_address_is_shared(n->rules, w->v.dst) &&
	       (!has_ports(w) || !nat_port_is_natds(n, (enum nat_class)w->v.proto_class, w->v.dst, w->v.dport));
}

/* A port from which natd allocates, without mapping and quarantine, on which the host may have a socket: the port
 * belongs to whichever had it first. */
static bool may_have_socket(const struct nat *n, const struct work *w)
{
	enum nat_class c = (enum nat_class)w->v.proto_class;
	int32_t slot = nat_external_slot(n, w->v.dst);

	return n->port_in_use != NULL && has_ports(w) && rules_address_is_shared(n->rules, w->v.dst) &&
	       !rules_port_is_forwarded(n->rules, c, w->v.dst, w->v.dport) &&
	       (slot == TABLE_NONE || !table_port_used(n->table, c, (uint16_t)slot, w->v.dport));
}

/* The packet as the filter sees it: inbound, after translation. */
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
	if (n->admission.filter == NULL)
		return true;
	d->asked = asked(w, d);
	d->rule = admission_find(&n->admission, &d->asked, n->id_key, n->now_ms);
	return decision_goes_on(d, STAGE_RULE, admission_verdict(&n->admission, d->rule));
}

static bool decide_limits(const struct nat *n, const struct work *w, const struct host *h, struct decision *d)
{
	return decision_goes_on(d, STAGE_LIMITS,
				nat_check_sessions(n, d->spec.int_addr, h, (enum nat_dir)w->dir, w->pending));
}

/* A service that inside hosts may use even if hairpinning is off. */
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
	return decision_goes_on(d, STAGE_OWNER,
				n->policy->hairpinning || is_for_inside(n, w) ? NAT_PASS : DROP_HAIRPIN_OFF);
}

static void decide_outbound(const struct nat *n, const struct work *w, struct decision *d)
{
	const struct host *h;

	if (!decide_hairpin(n, w, d) || !decision_goes_on(d, STAGE_KIND, nat_check_opener(n, w)) ||
	    !decide_rule(n, w, d))
		return;
	h = table_host_find(n->table, w->v.src);
	d->spec.int_addr = w->v.src;
	d->spec.int_port = w->probe.key.local_port;
	d->spec.rem_addr = w->v.dst;
	d->spec.state = SESSION_SYN_OUT;
	if (!decide_limits(n, w, h, d))
		return;
	nat_decide_endpoint(n, w, h, d);
	/* The second pass would find the first one's session: without ports nothing else distinguishes the two ends. */
	if (w->hairpin && w->v.proto_class == CLASS_OTHER && d->action == DECIDED_OPEN &&
	    table_address(n->table, d->spec.ext) == w->v.dst)
		decision_drop(d, STAGE_OWNER, DROP_HAIRPIN_LOOP);
}

/* ---- inbound ---- */

/* Nothing matches it: it is the host's own, or is dropped, with the answer that policy wants. */
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
		decision_drop(d, stage, DROP_TCP_NO_SESSION);
		return;
	}
	if (w->v.kind == PKT_ICMP_REPLY) {
		decision_drop(d, stage, DROP_ICMP_NO_SESSION);
		return;
	}
	d->is_held = rejects && is_syn;
	d->is_answered = rejects && w->v.kind == PKT_UDP;
	decision_drop(d, stage, is_syn && why == DROP_UNSOLICITED ? DROP_UNSOLICITED_SYN : why);
}

/* The session that this packet opened on its way out (a hairpin), and that is not in the table yet, may be a peer. */
static bool is_pending_peer(const struct work *w, const struct mapping *m)
{
	const struct session_spec *p = w->pending;

	return p != NULL && p->ext == m->ext && p->ext_port == m->ext_port && p->rem_addr == w->v.src;
}

/* RFC 4787 REQ-8. A hairpinned packet counts as coming from outside: its source is the external endpoint of its
 * host. */
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
	if (!w->hairpin && rules_is_exempt(n->rules, w->v.src)) { /* its host's answers bypass natd */
		decision_drop(d, STAGE_OWNER, DROP_EXEMPT);
		return;
	}
	if (!decision_goes_on(d, STAGE_KIND, nat_check_opener(n, w)) || !decide_rule(n, w, d) ||
	    !decide_limits(n, w, table_host_find(n->table, to), d))
		return;
	if ((int32_t)w->probe.key.local == TABLE_NONE)
		decision_drop(d, STAGE_TABLE, DROP_TABLE);
	else
		decision_goes_on(d, STAGE_TABLE, nat_check_other_side(n, d, DIR_OUT));
}

/* The second half of a hairpinned packet has natd's address: all inside hosts would look the same. */
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
		decision_drop(d, STAGE_BACKEND, DROP_BACKENDS_DOWN);
	else
		open_towards(n, w, f->backends[d->backend].address,
			     (uint16_t)(f->backends[d->backend].port + (w->v.dport - f->ports.first)), d);
}

/* A virtual service is only for inside hosts. */
static bool is_out_of_reach(const struct nat *n, const struct work *w, int32_t forward)
{
	return forward >= 0 && n->policy->forwards[forward].side == SIDE_INSIDE && !w->hairpin;
}

/* Forward `i` takes it, or (-2) refuses its sender. */
static void lead(const struct nat *n, const struct work *w, int32_t i, uint32_t to, uint16_t to_port,
		 struct decision *d)
{
	d->forward = i >= 0 ? i : -1;
	d->basis = BASIS_FORWARD;
	if (i < 0)
		decision_drop(d, STAGE_FORWARD, DROP_FORWARD_SOURCE);
	else if (n->policy->forwards[i].n_backends > 0)
		open_to_backend(n, w, d);
	else if (nat_external_slot(n, to) != TABLE_NONE) /* the address changed under the configuration */
		decision_drop(d, STAGE_FORWARD, DROP_HAIRPIN_LOOP);
	else
		open_towards(n, w, to, to_port, d);
}

/* True: a forward matches. */
static bool decide_forward(const struct nat *n, const struct work *w, struct decision *d)
{
	uint32_t to = 0;
	uint16_t to_port = 0;
	int32_t i;

	if (nat_is_left_to_host(n, w->v.proto, w->v.dst))
		return false;
	i = rules_forward_inbound(n->rules, (enum nat_class)w->v.proto_class, w->v.dst, w->probe.key.local_port,
				  w->v.src, &to, &to_port);
	if (i == -1 || is_out_of_reach(n, w, i))
		return false;
	lead(n, w, i, to, to_port, d);
	return true;
}

/* True: a default host takes what nothing else matches. A port in quarantine was another host's just before; on an
 * address shared with the host, protocols without ports may be the host's own. */
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

	if (inside != 0) { /* any host may open, on every port */
		d->basis = BASIS_STATIC;
		open_towards(n, w, inside, w->probe.key.local_port, d);
		return;
	}
	if (decide_forward(n, w, d) || decide_default(n, w, d))
		return;
	if (!has_ports(w) ||
	    !table_mapping_external(n->table, (enum nat_class)w->v.proto_class, (uint16_t)w->probe.key.local,
				    w->probe.key.local_port, &m) ||
	    !m.is_held || !nat_takes_sessions(n, w, &m)) {
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
