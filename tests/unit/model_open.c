/* SPDX-License-Identifier: ISC */
/* Sessions that do not exist yet, in the naive NAT. See model_walk.h. */
#include "model_walk.h"

/* ---- opening ---- */

static struct model_session *add_session(struct walk *w, const struct session *r, enum nat_dir dir, int mapping)
{
	struct model *m = w->m;
	struct model_session *s;

	must(w, m->n_sessions < MODEL_SESSIONS, "the model has no room for sessions");
	/* A dead one with either key has given way. */
	for (uint32_t i = 0; i < m->n_sessions; i++) {
		struct model_session *d = &m->sessions[i];
		bool out = d->in == r->int_addr && d->in_port == r->int_port;
		bool in = d->ext == table_address(nat_table(m->lab->nat), r->ext) && d->ext_port == r->ext_port;

		if (d->dead && d->proto_class == session_class(r) && d->rem == r->rem_addr &&
		    d->rem_port == r->rem_port && (out || in)) {
			int keep = d->mapping;

			if (keep >= 0 && keep == mapping) /* or its port would be in quarantine */
				d->mapping = -1;
			model_delete(m, d);
			i--;
		}
	}
	s = &m->sessions[m->n_sessions++];
	*s = (struct model_session){
		.from_outside = dir == DIR_IN,
		.forward = (r->kind & SESSION_KIND_FORWARD) != 0,
		.proto_class = (uint8_t)session_class(r),
		.state = dir == DIR_OUT ? SESSION_SYN_OUT : SESSION_SYN_IN,
		.in = r->int_addr,
		.ext = table_address(nat_table(m->lab->nat), r->ext),
		.rem = r->rem_addr,
		.in_port = r->int_port,
		.ext_port = r->ext_port,
		.rem_port = r->rem_port,
		.seen_s = now_s(w),
		.mapping = mapping,
	};
	if (s->proto_class == CLASS_TCP)
		model_tcp_open(s, dir, w->p);
	m->opened++;
	return s;
}

bool walk_opens(struct walk *w)
{
	if (w->p->kind == PKT_TCP && (w->p->flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST)) != TCP_SYN)
		w->may[DROP_TCP_NO_SESSION] = true;
	else if (w->p->kind == PKT_ICMP_REPLY)
		w->may[DROP_ICMP_NO_SESSION] = true;
	else if (w->p->kind == PKT_OTHER && w->policy->other_protocols == OTHER_DROP)
		w->may[DROP_OTHER_PROTOCOL] = w->answer_may = true;
	else
		return true;
	return false;
}

bool walk_hosts_port(const struct walk *w)
{
	uint32_t to;
	uint16_t port;

	if (!model_is_shared(w->policy, w->dst))
		return false;
	if (!has_ports(w->p->proto_class))
		return true;
	return !model_port_usable(w->policy, w->p->proto_class, w->dst, w->dport) &&
	       model_forward_in(w->policy, w->p->proto_class, w->dst, w->dport, 0, &to, &port) == -1;
}

/* RFC 4787 REQ-1: mappings that this internal endpoint has for this remote. */
static bool is_mapping_for(const struct walk *w, const struct model_mapping *g)
{
	if (!g->used || g->proto_class != w->p->proto_class || g->in != w->src || g->in_port != w->sport)
		return false;
	if (w->policy->mapping != MAPPING_ENDPOINT_INDEPENDENT && g->rem != w->dst)
		return false;
	return w->policy->mapping != MAPPING_ADDRESS_AND_PORT_DEPENDENT || g->rem_port == remote_port(w, DIR_OUT);
}

static bool mapping_lives(const struct walk *w, int g)
{
	for (uint32_t i = 0; i < w->m->n_sessions; i++)
		if (w->m->sessions[i].mapping == g && !w->m->sessions[i].dead)
			return true;
	return false;
}

enum held { HELD_NOT, HELD_PERHAPS, HELD };

/* RFC 7857 7: does somebody inside want this mapping? He opened one of its sessions, or answered one. */
static enum held is_held(const struct walk *w, int g)
{
	enum held held = HELD_NOT;

	for (uint32_t i = 0; i < w->m->n_sessions; i++) {
		const struct model_session *s = &w->m->sessions[i];

		if (s->mapping != g)
			continue;
		if (!s->dead && (!s->from_outside || s->answered))
			return HELD;
		if (!s->from_outside || s->answered || s->perhaps_answered)
			held = HELD_PERHAPS;
	}
	return held;
}

static int mapping_at(const struct walk *w, uint32_t ext, uint16_t port)
{
	for (int g = 0; g < MODEL_MAPPINGS; g++)
		if (w->m->mappings[g].used && w->m->mappings[g].proto_class == w->p->proto_class &&
		    w->m->mappings[g].ext == ext && w->m->mappings[g].ext_port == port)
			return g;
	return -1;
}

static int new_mapping(struct walk *w, uint32_t ext, uint16_t port)
{
	struct model *m = w->m;
	int g = mapping_at(w, ext, port);

	if (g >= 0) { /* whose sessions are all dead: it has given way, or it is the same again */
		must(w, !mapping_lives(w, g), "an external endpoint that another mapping has");
		for (uint32_t i = 0; i < m->n_sessions; i++)
			if (m->sessions[i].mapping == g)
				m->sessions[i].mapping = -1;
	} else {
		for (g = 0; m->mappings[g].used; g++)
			;
	}
	walk_end_rest(m, w->p->proto_class, ext, port);
	m->mappings[g] = (struct model_mapping){
		true, w->p->proto_class, w->sport, port, remote_port(w, DIR_OUT), w->src, ext, w->dst};
	return g;
}

/* The real one's choice for a session from inside without a mapping or forward. */
static int check_choice(struct walk *w, uint32_t ext, uint16_t port)
{
	bool has_any;
	uint32_t paired = walk_paired_address(w, w->src, &has_any);

	must(w, model_is_external(w->policy, ext) && model_static_in(w->policy, ext) == 0,
	     "an outside address that natd does not have, or another host's alone");
	if (paired != 0)
		must(w, ext == paired, "not the address that the host is paired with");
	if (w->p->proto_class == CLASS_OTHER) {
		must(w, port == w->sport, "a protocol number that changed");
		return -1;
	}
	walk_check_new_port(w, w->src, ext, port);
	return new_mapping(w, ext, port);
}

/* 1: a forward decides, *ext (0: any) and *port; 0: no. */
static bool forward_decides(const struct walk *w, uint32_t *ext, uint16_t *port)
{
	if (model_forward_out(w->policy, w->p->proto_class, w->src, w->sport, ext, port) < 0)
		return false;
	return *ext == 0 ? model_pool_size(w->policy) > 0 : model_is_external(w->policy, *ext);
}

/* The outside endpoint (`ext` 0: on any address) already speaks with that remote, for another inside host. */
static bool is_spoken_for(const struct walk *w, uint32_t ext, uint16_t port)
{
	for (uint32_t i = 0; i < w->m->n_sessions; i++) {
		const struct model_session *s = &w->m->sessions[i];

		if (!s->dead && s->proto_class == w->p->proto_class && (ext == 0 || s->ext == ext) &&
		    s->ext_port == port && s->rem == w->dst && s->rem_port == remote_port(w, DIR_OUT))
			return true;
	}
	return false;
}

/* Which external endpoint a session from inside must have, as far as that is decided. */
struct decision {
	bool made, by_forward;
	uint32_t ext; /* 0: any */
	uint16_t port;
	int mapping;
};

static bool is_at(const struct model_mapping *g, const struct walk *w, const struct session *r)
{
	return r != NULL && g->ext == table_address(nat_table(w->m->lab->nat), r->ext) && g->ext_port == r->ext_port;
}

static struct decision decide(const struct walk *w, const struct session *r)
{
	struct decision d = {.mapping = -1};
	uint32_t pair = model_static_out(w->policy, w->src);

	if (pair != 0)
		return (struct decision){
			.made = true, .by_forward = true, .ext = pair, .port = w->sport, .mapping = -1};
	for (int i = 0; i < MODEL_MAPPINGS; i++) {
		const struct model_mapping *g = &w->m->mappings[i];
		bool by_key = is_mapping_for(w, g) && (!d.made || is_at(g, w, r));
		/* an earlier mode, or another session of it, gave it another key */
		bool by_place = w->m->loose_mapping && g->used && is_at(g, w, r) &&
				g->proto_class == w->p->proto_class && g->in == w->src && g->in_port == w->sport;

		if ((by_key || by_place) && mapping_lives(w, i))
			d = (struct decision){.made = true, .ext = g->ext, .port = g->ext_port, .mapping = i};
	}
	if (!d.made)
		d.made = d.by_forward = forward_decides(w, &d.ext, &d.port);
	return d;
}

/* Is it certain that the session may be opened? Sets the reasons for which it may not. */
static bool may_open_out(struct walk *w, const struct decision *d, bool loose)
{
	bool ok = walk_limits_allow(w, w->src, DIR_OUT);

	if (w->hairpin && w->p->proto_class == CLASS_OTHER) { /* if it would leave from the address that it is for */
		w->may[DROP_HAIRPIN_LOOP] = true;
		ok = ok && w->seen_passed;
	}
	if (d->made && is_spoken_for(w, d->ext, d->port)) {
		w->may[w->p->proto_class == CLASS_OTHER ? DROP_OTHER_BUSY : DROP_TABLE] = true;
		ok = ok && w->seen_passed && (loose || d->ext == 0);
	}
	if (!d->made || loose) {
		bool ports = walk_host_ports_allow(w, w->src), can = walk_address_can(w, w->src);

		ok = ok && (d->made || (ports && can));
	}
	return walk_rate_allows(w, w->src, DIR_OUT) && ok;
}

/* A hairpinned packet opened a session on its way out, which ended at once: a forward refuses the sender on the way
 * in. */
static bool came_and_went(const struct walk *w)
{
	const struct lab *l = w->m->lab;

	return w->hairpin && lab_delta(l, DROP_FORWARD_SOURCE) == 1 && lab_delta(l, COUNT_SESSION_NEW) == 1 &&
	       lab_delta(l, COUNT_SESSION_DELETED) == 1;
}

/* The port that it had: the one in use of which the model does not know. */
static void adopt_its_port(struct walk *w, uint32_t ext)
{
	const struct table *t = nat_table(w->m->lab->nat);
	int32_t slot = table_address_slot(t, ext);

	for (uint32_t port = 1; slot != TABLE_NONE && port <= UINT16_MAX; port++) {
		const struct model_mapping g = {true, w->p->proto_class, w->sport, (uint16_t)port, 0, w->src, ext, 0};

		if (table_port_used(t, (enum nat_class)w->p->proto_class, (uint16_t)slot, (uint16_t)port) &&
		    mapping_at(w, ext, (uint16_t)port) < 0 && !walk_rests(w, ext, (uint16_t)port))
			model_rest(w->m, &g);
	}
}

static void adopt_what_went(struct walk *w)
{
	w->may[DROP_FORWARD_SOURCE] = true;
	for (uint32_t i = 0; i < w->policy->n_addresses && w->p->proto_class != CLASS_OTHER; i++)
		for (uint32_t a = w->policy->addresses[i].first; a <= w->policy->addresses[i].last; a++)
			adopt_its_port(w, a);
	for (uint32_t i = 0; i < w->m->n_rests && lab_delta(w->m->lab, COUNT_PORT_RECYCLED) > 0; i++) {
		w->m->rests[i].sure = false; /* one of these is in quarantine again */
		w->m->rests[i].since_s = now_s(w);
	}
}

struct model_session *walk_open_out(struct walk *w)
{
	struct session *r = walk_real_session(w, DIR_OUT, w->src, w->sport, w->dst, remote_port(w, DIR_OUT));
	uint32_t ext = r ? table_address(nat_table(w->m->lab->nat), r->ext) : 0;
	bool loose = w->m->loose_mapping || w->m->n_dead > 0, ok;
	struct decision d = decide(w, r);

	w->seen_passed = r != NULL;
	ok = may_open_out(w, &d, loose);
	if (r == NULL && came_and_went(w)) {
		adopt_what_went(w);
		return NULL;
	}
	if (r == NULL) {
		must(w, !ok || w->m->loose_mapping || dead_may_count(w) || w->may[DROP_UNANSWERED_BUDGET],
		     "no session although nothing forbids it");
		return NULL;
	}
	must(w, ok || loose, "a session beyond a limit");
	must(w, !(r->kind & SESSION_KIND_FROM_OUTSIDE), "a session from outside in the place of this");
	must(w, !w->hairpin || w->p->proto_class != CLASS_OTHER || ext != w->dst,
	     "a packet that goes back to its sender");
	if (d.made && !(r->ext_port == d.port && (d.ext == 0 || d.ext == ext))) {
		must(w, loose, "another external endpoint than that of its mapping or forward");
		d = (struct decision){.mapping = -1};
		d.by_forward = forward_decides(w, &d.ext, &d.port) && r->ext_port == d.port;
		d.made = d.by_forward;
	}
	must(w, ((r->kind & SESSION_KIND_FORWARD) != 0) == d.by_forward, "forward or not");
	if (!d.made)
		d.mapping = check_choice(w, ext, r->ext_port);
	return add_session(w, r, DIR_OUT, d.mapping);
}

/* ---- from outside, unsolicited ---- */

static bool is_hold_of(const struct model_hold *h, const struct walk *w)
{
	return h->src == w->src && h->dst == w->dst && h->sport == w->sport && h->dport == w->dport;
}

/* RFC 5382 REQ-4. The six seconds run from the first. */
static void hold(struct walk *w)
{
	struct model *m = w->m;

	for (uint32_t i = 0; i < m->n_holds; i++)
		if (is_hold_of(&m->holds[i], w))
			return;
	must(w, m->n_holds < MODEL_HOLDS, "the model has no room for held SYNs");
	m->holds[m->n_holds++] = (struct model_hold){m->lab->now_ms + 1000ull * w->policy->timeouts.unsolicited_syn,
						     w->src,
						     w->dst,
						     w->sport,
						     w->dport,
						     false};
}

static struct model_session *refuse(struct walk *w, enum nat_reason why)
{
	bool syn = w->p->kind == PKT_TCP && w->p->flags == TCP_SYN;

	if (walk_hosts_port(w) ||
	    (model_is_shared(w->policy, w->dst) && w->policy->unsolicited == UNSOLICITED_HOST && !w->hairpin)) {
		w->to_host = true;
		return NULL;
	}
	if (!walk_opens(w) && w->p->kind != PKT_OTHER)
		return NULL;
	w->may[why] = true;
	w->may[DROP_UNSOLICITED_SYN] = syn;
	if (w->policy->unsolicited != UNSOLICITED_REJECT || w->hairpin)
		return NULL;
	if (w->p->kind == PKT_UDP)
		w->answer_due = w->answer_may = true;
	if (w->p->kind == PKT_TCP)
		hold(w);
	return NULL;
}

static struct model_session *open_towards(struct walk *w, uint32_t to, uint16_t to_port, int g)
{
	struct session *r = walk_real_session(w, DIR_IN, w->dst, w->dport, w->src, remote_port(w, DIR_IN));
	bool ok;

	w->seen_passed = r != NULL;
	if (!w->hairpin && model_is_exempt(w->policy, w->src)) {
		w->may[DROP_EXEMPT] = true;
		must(w, r == NULL, "a session from an address that is never translated");
		return NULL;
	}
	if (!walk_opens(w)) {
		must(w, r == NULL, "a session opened by what opens none");
		return NULL;
	}
	ok = walk_limits_allow(w, to, DIR_IN);
	if (model_find_out(w->m, w->p->proto_class, to, to_port, w->src, remote_port(w, DIR_IN)) != NULL) {
		w->may[DROP_TABLE] = true; /* they already speak by way of another external endpoint */
		ok = false;
	}
	ok = walk_rate_allows(w, to, DIR_IN) && ok;
	must(w, ok || r == NULL || w->m->n_dead > 0, "a session from outside beyond a limit");
	must(w, !ok || r != NULL || dead_may_count(w) || w->may[DROP_UNANSWERED_BUDGET],
	     "no session from outside although nothing forbids it");
	if (r == NULL)
		return NULL;
	must(w, r->int_addr == to && r->int_port == to_port, "to another host or port than mapping or forward say");
	must(w, ((r->kind & SESSION_KIND_FORWARD) != 0) == (g < 0), "forward or not");
	return add_session(w, r, DIR_IN, g);
}

/* RFC 4787 REQ-8, RFC 5382 REQ-3. */
static bool filter_allows(const struct walk *w, int g)
{
	if (w->policy->filtering == FILTERING_ENDPOINT_INDEPENDENT)
		return true;
	for (uint32_t i = 0; w->policy->filtering == FILTERING_ADDRESS_DEPENDENT && i < w->m->n_sessions; i++) {
		const struct model_session *s = &w->m->sessions[i];

		/* a dead peer: as the real one sees it */
		if (s->mapping == g && s->rem == w->src &&
		    (!s->dead || walk_real_session(w, DIR_IN, w->dst, w->dport, w->src, remote_port(w, DIR_IN))))
			return true;
	}
	return false;
}

/* All that may prevent a session that the filter perhaps passes. */
static void allow_refusals(struct walk *w)
{
	w->may[DROP_TABLE] = w->may[DROP_SESSIONS_FULL] = w->may[DROP_HOST_SESSIONS] = true;
	w->may[DROP_HOST_RATE] = w->may[DROP_HOST_SHARE] = true;
	w->may[DROP_EXEMPT] = !w->hairpin && model_is_exempt(w->policy, w->src);
}

struct model_session *walk_open_in(struct walk *w)
{
	uint32_t to;
	uint16_t to_port;
	bool passed = walk_real_session(w, DIR_IN, w->dst, w->dport, w->src, remote_port(w, DIR_IN)) != NULL;
	int g = -1, f = model_forward_in(w->policy, w->p->proto_class, w->dst, w->dport, w->src, &to, &to_port);

	if (model_static_in(w->policy, w->dst) != 0)
		return open_towards(w, model_static_in(w->policy, w->dst), w->dport, -1);
	if (f == -2) {
		w->may[DROP_FORWARD_SOURCE] = true;
		return NULL;
	}
	if (f >= 0)
		return open_towards(w, to, to_port, -1);
	if (has_ports(w->p->proto_class))
		g = mapping_at(w, w->dst, w->dport);
	f = g >= 0 || walk_hosts_port(w)
		    ? -1
		    : model_default_in(w->policy, w->p->proto_class, w->dst, w->dport, w->src, &to, &to_port);
	if (f != -1 && has_ports(w->p->proto_class) && walk_rests(w, w->dst, w->dport) && !passed) {
		refuse(w, DROP_UNSOLICITED); /* in quarantine, or just not any more */
		w->answer_due = false;
		for (uint32_t i = 0; i < w->m->n_holds; i++)
			w->m->holds[i].perhaps = w->m->holds[i].perhaps || is_hold_of(&w->m->holds[i], w);
		allow_refusals(w);
		w->may[DROP_FORWARD_SOURCE] = true;
		return NULL;
	}
	if (f == -2) {
		w->may[DROP_FORWARD_SOURCE] = true;
		return NULL;
	}
	if (f >= 0)
		return open_towards(w, to, to_port, -1);
	if (g < 0)
		return refuse(w, DROP_UNSOLICITED);
	if (!passed && (!mapping_lives(w, g) || is_held(w, g) == HELD_PERHAPS)) {
		allow_refusals(w);
		w->may[DROP_FILTERED] = true;
		refuse(w, DROP_UNSOLICITED);
		w->answer_due = false;
		if (w->m->lab->n_out == 0) { /* not the host's either: let in, but for another reason not */
			w->to_host = false;
			walk_opens(w);
		}
		for (uint32_t i = 0; i < w->m->n_holds; i++) /* the one just added, or there before */
			w->m->holds[i].perhaps = w->m->holds[i].perhaps || is_hold_of(&w->m->holds[i], w);
		return NULL;
	}
	if (is_held(w, g) == HELD_NOT)
		return refuse(w, DROP_UNSOLICITED);
	if (!filter_allows(w, g))
		return refuse(w, DROP_FILTERED);
	return open_towards(w, w->m->mappings[g].in, w->m->mappings[g].in_port, g);
}
