/* SPDX-License-Identifier: ISC */
/* See model.h. Here: what the model remembers, and its comparison with the real one. model_walk.c: packets. */
#include "model.h"

#include <string.h>

static void must(const struct model *m, bool ok, const char *what)
{
	if (!ok)
		m->fail(what);
}

static uint32_t now_s(const struct model *m)
{
	return (uint32_t)(m->lab->now_ms / 1000);
}

void model_init(struct model *m, struct lab *l, void (*fail)(const char *what))
{
	memset(m, 0, sizeof(*m));
	m->lab = l;
	m->fail = fail;
	m->loose_pairing = l->policy.pooling != POOLING_PAIRED;
}

/* ---- sessions ---- */

struct model_session *model_find_out(struct model *m, uint8_t proto_class, uint32_t in, uint16_t in_port, uint32_t rem,
				     uint16_t rem_port)
{
	for (uint32_t i = 0; i < m->n_sessions; i++) {
		struct model_session *s = &m->sessions[i];

		if (!s->dead && s->proto_class == proto_class && s->in == in && s->in_port == in_port &&
		    s->rem == rem && s->rem_port == rem_port)
			return s;
	}
	return NULL;
}

struct model_session *model_find_in(struct model *m, uint8_t proto_class, uint32_t ext, uint16_t ext_port, uint32_t rem,
				    uint16_t rem_port)
{
	for (uint32_t i = 0; i < m->n_sessions; i++) {
		struct model_session *s = &m->sessions[i];

		if (!s->dead && s->proto_class == proto_class && s->ext == ext && s->ext_port == ext_port &&
		    s->rem == rem && s->rem_port == rem_port)
			return s;
	}
	return NULL;
}

/* As many ports are in quarantine as the table has sessions; then the oldest may leave it early. */
static void limit_rests(struct model *m)
{
	uint32_t sure = 0, oldest = UINT32_MAX;

	for (uint32_t i = 0; i < m->n_rests; i++) {
		sure += m->rests[i].sure;
		if (m->rests[i].sure && m->rests[i].since_s < oldest)
			oldest = m->rests[i].since_s;
	}
	for (uint32_t i = 0; sure > m->lab->memory.max_sessions && i < m->n_rests; i++)
		m->rests[i].sure = m->rests[i].sure && m->rests[i].since_s != oldest;
}

void model_rest(struct model *m, const struct model_mapping *g)
{
	must(m, m->n_rests < MODEL_RESTS, "the model has no room for rests");
	m->rests[m->n_rests++] = (struct model_rest){.proto_class = g->proto_class,
						     .port = g->ext_port,
						     .ext = g->ext,
						     .host = g->in,
						     .since_s = now_s(m),
						     .sure = true};
	limit_rests(m);
}

/* Removes session i; with the last one of a mapping that ends, and its port goes into quarantine. */
static void forget(struct model *m, uint32_t i)
{
	int g = m->sessions[i].mapping;

	m->n_dead -= m->sessions[i].dead;
	m->sessions[i] = m->sessions[--m->n_sessions];
	if (g < 0)
		return;
	for (uint32_t k = 0; k < m->n_sessions; k++)
		if (m->sessions[k].mapping == g)
			return;
	model_rest(m, &m->mappings[g]);
	m->mappings[g].used = false;
}

/* The known rates of the hosts are no bounds any more. */
static void forget_rates(struct model *m)
{
	for (uint32_t i = 0; i < MODEL_HOSTS; i++) {
		m->hosts[i].since_ms = m->lab->now_ms;
		m->hosts[i].opened = 0;
	}
}

void model_delete(struct model *m, struct model_session *s)
{
	forget(m, (uint32_t)(s - m->sessions));
	forget_rates(m); /* a host without sessions is a new one to the rate */
}

void model_clock(struct model *m)
{
	for (uint32_t i = 0; i < m->n_sessions; i++) {
		struct model_session *s = &m->sessions[i];

		if (s->dead || now_s(m) - s->seen_s <= model_timeout(&m->lab->policy, s->proto_class, s->state))
			continue;
		s->dead = true;
		m->n_dead++;
	}
}

static void end_rests(struct model *m)
{
	for (uint32_t i = 0; i < m->n_rests; i++)
		if (now_s(m) - m->rests[i].since_s > m->lab->policy.timeouts.port_reuse)
			m->rests[i--] = m->rests[--m->n_rests];
}

/* True: `v` is an RST about a session that ended with its address, the only one about it. */
static bool take_reset(struct model *m, const struct pkt_view *v)
{
	for (uint32_t i = 0; i < m->n_resets && v->kind == PKT_TCP && v->tcp_flags & TCP_RST; i++) {
		const struct model_reset *r = &m->resets[i];

		if (r->in != v->dst || r->in_port != v->dport || r->rem != v->src || r->rem_port != v->sport)
			continue;
		m->resets[i] = m->resets[--m->n_resets];
		return true;
	}
	return false;
}

/* Every answer to a held SYN must have been due, and every due one was answered or limited. */
static void end_holds(struct model *m)
{
	uint32_t due = 0, perhaps = 0, answered = 0;

	for (uint32_t i = 0; i < m->n_holds; i++) {
		due += m->holds[i].due_ms <= m->lab->now_ms && !m->holds[i].perhaps;
		perhaps += m->holds[i].due_ms <= m->lab->now_ms && m->holds[i].perhaps;
	}
	for (uint32_t k = 0; k < m->lab->n_out; k++) {
		const struct pkt_view *v = &m->lab->out[k].v;
		bool found = false;

		if (take_reset(m, v))
			continue;
		must(m, v->kind == PKT_ICMP_ERROR && v->icmp_type == 3 && v->icmp_code == 3,
		     "time brought out something else than an answer to a held SYN");
		for (uint32_t i = 0; i < m->n_holds && !found; i++)
			found = m->holds[i].due_ms <= m->lab->now_ms && m->holds[i].src == v->dst &&
				m->holds[i].dst == v->src;
		must(m, found, "an ICMP error about no SYN that was held and due");
		answered++;
	}
	answered += (uint32_t)lab_delta(m->lab, COUNT_ICMP_LIMITED);
	must(m, answered >= due && answered <= due + perhaps, "held SYNs due and answers differ");
	for (uint32_t i = 0; i < m->n_holds; i++)
		if (m->holds[i].due_ms <= m->lab->now_ms)
			m->holds[i--] = m->holds[--m->n_holds];
}

static void forget_dead(struct model *m)
{
	end_rests(m); /* before those that begin now */
	for (uint32_t i = 0; i < m->n_sessions; i++)
		if (m->sessions[i].dead)
			forget(m, i--);
	m->swept_s = now_s(m);
}

void model_step(struct model *m)
{
	model_clock(m);
	forget_dead(m);
	end_holds(m);
}

void model_early_sweep(struct model *m)
{
	uint32_t before = m->n_rests;

	forget_dead(m);
	/* one of these may have been opened again in the same packet's first pass, by its own port */
	for (uint32_t i = 0; i < m->n_rests; i++)
		m->rests[i].sure = m->rests[i].sure && (i < before || m->rests[i].since_s != now_s(m));
}

/* ---- reload and restart ---- */

static bool forward_leads(const struct nat_policy *p, const struct model_session *s)
{
	uint32_t to, ext;
	uint16_t to_port, ext_port;

	if (s->from_outside) {
		int i = model_forward_in(p, s->proto_class, s->ext, s->ext_port, s->rem, &to, &to_port);

		if (i == -1)
			i = model_default_in(p, s->proto_class, s->ext, s->ext_port, s->rem, &to, &to_port);
		return i >= 0 && to == s->in && to_port == s->in_port;
	}
	return model_forward_out(p, s->proto_class, s->in, s->in_port, &ext, &ext_port) >= 0 &&
	       (ext == 0 || ext == s->ext) && ext_port == s->ext_port;
}

/* nat.h, nat_reconfigure(): what a new policy forbids. */
static bool still_allowed(const struct nat_policy *p, const struct model_session *s)
{
	if (!model_is_external(p, s->ext) || !model_is_inside(p, s->in) || model_is_exempt(p, s->rem))
		return false;
	if (model_is_inside(p, s->rem) || model_address_wrong(p, s->in, s->rem, false))
		return false;
	if (s->proto_class == CLASS_OTHER && p->other_protocols != OTHER_TRANSLATE)
		return false;
	if (model_static_in(p, s->ext) != 0)
		return s->forward && model_static_in(p, s->ext) == s->in && s->ext_port == s->in_port;
	if (s->forward)
		return forward_leads(p, s);
	if (s->proto_class == CLASS_OTHER)
		return true;
	return model_port_usable(p, s->proto_class, s->ext, s->ext_port) &&
	       model_block_allows(p, s->in, s->ext, s->ext_port);
}

static void expect_reset(struct model *m, const struct model_session *s)
{
	if (m->n_resets < MODEL_SESSIONS)
		m->resets[m->n_resets++] = (struct model_reset){s->in, s->rem, s->in_port, s->rem_port};
}

void model_reload(struct model *m, const struct nat_policy *old, const struct nat_reconfigure_report *r)
{
	const struct nat_policy *p = &m->lab->policy;
	uint32_t kept = 0, ended = 0, dead = m->n_dead;

	for (uint32_t i = 0; i < m->n_sessions; i++) {
		bool ok = still_allowed(p, &m->sessions[i]);

		kept += ok && !m->sessions[i].dead;
		ended += !ok && !m->sessions[i].dead;
		if (!ok && m->sessions[i].proto_class == CLASS_TCP && !model_is_external(p, m->sessions[i].ext))
			expect_reset(m, &m->sessions[i]);
		if (!ok)
			forget(m, i--);
	}
	if (dead == 0)
		must(m, r->kept == kept && r->ended == ended, "sessions kept and ended by the reload");
	if (old->mapping != p->mapping)
		m->loose_mapping = true;
	if (p->pooling != POOLING_PAIRED)
		m->loose_pairing = true;
	if (old->timeouts.port_reuse != p->timeouts.port_reuse)
		for (uint32_t i = 0; i < m->n_rests; i++)
			m->rests[i].sure = false;
	forget_rates(m);
	model_clock(m);
}

void model_restart(struct model *m)
{
	m->n_holds = 0;
	m->n_resets = 0;
	/* An address outside all pools is not cut: a port in quarantine there is in no host's block. */
	for (uint32_t i = 0; i < m->n_rests; i++)
		if (!model_is_external(&m->lab->policy, m->rests[i].ext))
			m->rests[i].host = 0;
	/* A mapping is known by its sessions only; which of them made it is not kept. */
	if (m->lab->policy.mapping != MAPPING_ENDPOINT_INDEPENDENT)
		m->loose_mapping = true;
	forget_rates(m);
}

/* ---- comparison ---- */

static void compare_session(const struct model *m, const struct model_session *s, const struct session *r)
{
	must(m, r->int_port == s->in_port && r->rem_port == s->rem_port && r->ext_port == s->ext_port, "its ports");
	must(m, table_address(nat_table(m->lab->nat), r->ext) == s->ext, "its outside address");
	must(m, ((r->kind & SESSION_KIND_FROM_OUTSIDE) != 0) == s->from_outside, "who opened it");
	must(m, ((r->kind & SESSION_KIND_FORWARD) != 0) == s->forward, "whether a forward made it");
	must(m, (uint8_t)session_state(r) == s->state, "its state");
	must(m, r->seen_s == s->seen_s, "when it was seen last");
	for (int d = 0; d < 2; d++)
		must(m, r->packets[d] == s->packets[d] && r->bytes[d] == s->bytes[d], "its packets and bytes");
}

static uint32_t sessions_of(const struct model *m, uint32_t in)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->n_sessions; i++)
		n += m->sessions[i].in == in;
	return n;
}

static uint32_t mappings_of(const struct model *m, uint32_t in)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < MODEL_MAPPINGS; i++)
		n += m->mappings[i].used && (in == 0 || m->mappings[i].in == in);
	return n;
}

static void compare_counts(const struct model *m)
{
	struct table *t = nat_table(m->lab->nat);
	uint32_t unanswered = 0, perhaps = 0;

	must(m, table_session_count(t) == m->n_sessions, "count of sessions");
	must(m, table_mapping_count(t) == mappings_of(m, 0), "count of mappings");
	for (uint32_t i = 0; i < m->n_sessions; i++) {
		const struct host *h = table_host(t, m->sessions[i].in, false);

		unanswered += !m->sessions[i].answered && !m->sessions[i].perhaps_answered;
		perhaps += !m->sessions[i].answered && m->sessions[i].perhaps_answered;
		must(m, h != NULL && h->sessions == sessions_of(m, m->sessions[i].in), "a host's sessions");
		must(m, h->ports == mappings_of(m, m->sessions[i].in), "a host's ports");
	}
	must(m, table_unanswered_count(t) >= unanswered && table_unanswered_count(t) <= unanswered + perhaps,
	     "count of unanswered sessions");
}

/* Both ways to a session lead to the same one. */
static void compare_lookups(const struct model *m, const struct session *r)
{
	struct table *t = nat_table(m->lab->nat);
	struct session_key k = {r->int_addr, r->rem_addr, r->int_port, r->rem_port, (uint8_t)session_class(r), DIR_OUT};

	must(m, table_find(t, &k, table_hash(t, &k), now_s(m)) == r, "not found by what leaves inside");
	k = (struct session_key){r->ext, r->rem_addr, r->ext_port, r->rem_port, (uint8_t)session_class(r), DIR_IN};
	must(m, table_find(t, &k, table_hash(t, &k), now_s(m)) == r, "not found by what arrives from outside");
}

void model_compare(struct model *m)
{
	struct table *t = nat_table(m->lab->nat);
	uint32_t cursor = 0, found = 0;
	struct session *r;

	while ((r = table_next(t, &cursor, UINT32_MAX)) != NULL) {
		struct model_session *s;

		if (table_session_expired(t, r, now_s(m)))
			continue;
		s = model_find_out(m, (uint8_t)session_class(r), r->int_addr, r->int_port, r->rem_addr, r->rem_port);
		must(m, s != NULL, "a session that the model does not have");
		compare_session(m, s, r);
		compare_lookups(m, r);
		found++;
	}
	must(m, found == m->n_sessions - m->n_dead, "a session of the model is gone");
	if (m->n_dead == 0)
		compare_counts(m);
}
