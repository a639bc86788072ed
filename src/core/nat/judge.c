/* SPDX-License-Identifier: ISC */
/*
 * Checks existing sessions against a new policy: which of them it forbids.
 *
 * Theory of operation. nat_adopt() changes the policy between two packets; from then on only the new one decides about
 * openings. The existing sessions are checked in the order of their records, a slice at a time, with packets in
 * between: nat_judge(). Until that is finished:
 *
 *  - a session found by a packet is checked at once, and ends if it is forbidden: nat_judge_met()
 *  - a forbidden mapping takes no more sessions. From inside, its endpoint gets another one at once: the old one leaves the
 *    index of inside endpoints, and ends with its sessions: nat_judge_mapping(). From outside, it counts as gone.
 *
 * So no packet is translated by the previous policy. A session that begins meanwhile may be checked too, and then it is
 * allowed, since both use the same rules. Its port may be one that a forbidden session still holds: then another is
 * drawn.
 *
 * Checking a session takes 40 ns, ending one some microseconds.
 */
#include "nat_private.h"

enum {
	BLOCK = 16,	  /* forbidden sessions that end together, so that their cache misses overlap */
	ENDING_COST = 32, /* in visits */
};

static bool forward_still_leads(const struct nat *n, const struct session *s, uint32_t external)
{
	enum nat_class c = session_class(s);
	uint32_t to, address;
	uint16_t port;

	int32_t i;

	if (s->kind & SESSION_KIND_FROM_OUTSIDE) {
		i = rules_forward_of(n->rules, c, external, s->ext_port, s->rem_addr, &to, &port);
		if (i >= 0 && n->policy->forwards[i].n_backends > 0)
			return rules_backend_find(n->rules, (uint32_t)i, s->int_addr, s->int_port, s->ext_port) >= 0;
		return i >= 0 && to == s->int_addr && port == s->int_port;
	}
	return rules_forward_outbound(n->rules, c, s->int_addr, s->int_port, &address, &port) >= 0 &&
	       (address == 0 || address == external) && port == s->ext_port;
}

static uint8_t protocol_of(const struct session *s)
{
	static const uint8_t numbers[] = {[CLASS_TCP] = 6, [CLASS_UDP] = 17, [CLASS_ICMP] = 1};
	enum nat_class c = session_class(s);

	return c == CLASS_OTHER ? (uint8_t)s->int_port : numbers[c];
}

/* The opening of a session, as the filter saw it. */
static struct filter_packet opening_of(const struct nat *n, const struct session *s)
{
	enum { ECHO_REQUEST = 8 };
	enum nat_class c = session_class(s);
	bool in = s->kind & SESSION_KIND_FROM_OUTSIDE;
	struct filter_packet p = {
		.direction = in ? FILTER_IN : FILTER_OUT,
		.protocol = protocol_of(s),
		.icmp_type = c == CLASS_ICMP ? (uint8_t)s->end[DIR_IN] : 0,
		.has_ports = c == CLASS_TCP || c == CLASS_UDP,
		.port = in ? s->int_port : s->rem_port,
		.from = in ? s->rem_addr : s->int_addr,
		.to = in ? s->int_addr : s->rem_addr,
		.forward = FILTER_NONE,
	};
	uint32_t to;
	uint16_t port;

	if (c == CLASS_ICMP && p.icmp_type == 0) /* opened by a natd that did not store it */
		p.icmp_type = ECHO_REQUEST;
	if (in && s->kind & SESSION_KIND_FORWARD)
		p.forward = rules_forward_of(n->rules, c, table_address(n->table, s->ext), s->ext_port, s->rem_addr,
					     &to, &port);
	if (p.forward < 0) /* of a static pair */
		p.forward = FILTER_NONE;
	return p;
}

static bool filter_allows(const struct nat *n, const struct session *s)
{
	struct filter_packet p;

	if (n->admission.filter == NULL)
		return true;
	p = opening_of(n, s);
	return admission_verdict(&n->admission, admission_find_session(&n->admission, &p)) == NAT_PASS;
}

/* False, with the reason in *why: the rules in force no longer lead to it. */
static bool is_led_to(const struct nat *n, const struct session *s, enum session_end *why)
{
	uint32_t external = table_address(n->table, s->ext);
	enum nat_class c = session_class(s);

	*why = SESSION_END_ADDRESS_LOST;
	if (rules_address_find(n->rules, external) < 0)
		return false;
	*why = SESSION_END_RELOAD;
	if (!rules_is_inside(n->rules, s->int_addr))
		return false;
	if ((rules_is_exempt(n->rules, s->rem_addr) && !rules_address_is_virtual(n->rules, s->rem_addr)) ||
	    rules_is_inside(n->rules, s->rem_addr) || rules_is_broadcast(n->rules, s->rem_addr))
		return false;
	if (c == CLASS_OTHER && n->policy->other_protocols != OTHER_TRANSLATE)
		return false;
	if (rules_static_inside(n->rules, external) != 0)
		return (s->kind & SESSION_KIND_FORWARD) && rules_static_inside(n->rules, external) == s->int_addr &&
		       s->ext_port == s->int_port;
	if (s->kind & SESSION_KIND_FORWARD)
		return forward_still_leads(n, s, external);
	if (c == CLASS_OTHER)
		return true;
	return rules_port_usable(n->rules, c, external, s->ext_port) && table_port_fits(n->table, s);
}

static bool is_allowed(const struct nat *n, const struct session *s, enum session_end *why)
{
	if (!is_led_to(n, s, why))
		return false;
	*why = SESSION_END_FILTERED;
	return filter_allows(n, s);
}

/* ---- all sessions ---- */

static void end(struct nat *n, struct session *s, enum session_end why)
{
	n->judging.report.ended++;
	if (n->mirror != NULL) /* an RST needs its last numbers */
		mirror_withdraw(n, s);
	if (why == SESSION_END_ADDRESS_LOST && !nat_reset_later(n, s))
		n->counters[COUNT_RESET_LEFT_OUT]++;
	nat_session_delete(n, s, why, n->now_ms);
}

/* is_allowed(); after a change of the cut the session's block may have no owner, and becomes its host's. */
static bool keep_allowed(struct nat *n, const struct session *s, enum session_end *why)
{
	if (!is_allowed(n, s, why))
		return false;
	table_port_claim(n->table, s);
	return true;
}

void nat_judge_begin(struct nat *n)
{
	n->judging.report = (struct nat_reconfigure_report){0};
	n->judging.cursor = 0;
	n->judging.runs = true;
	n->is_judged = false;
}

void nat_judge_end(struct nat *n)
{
	n->judging.runs = false;
	n->is_judged = true;
	table_set_mapping(n->table, n->policy->mapping); /* lists mappings that had to wait for others to end */
}

/* The next sessions, BLOCK at most. *is_last: there are no more, or not within the budget. */
static uint32_t next_sessions(struct nat *n, struct session *next[BLOCK], uint32_t budget, uint32_t *visits,
			      bool *is_last)
{
	uint32_t k = 0;

	do {
		next[k] = table_next(n->table, &n->judging.cursor, budget);
		*is_last = next[k] == NULL;
		++*visits;
	} while (!*is_last && ++k < BLOCK && *visits < budget);
	return k;
}

static void end_all(struct nat *n, struct session *const over[], const enum session_end why[], uint32_t n_over)
{
	for (uint32_t at = 0; at < n_over; at += BLOCK) {
		uint32_t some = n_over - at < BLOCK ? n_over - at : BLOCK;

		table_close_prefetch(n->table, &over[at], some);
		for (uint32_t i = at; i < at + some; i++)
			end(n, over[i], why[i]);
	}
}

/* Continues with at most `budget` visits; returns their cost. */
static uint32_t judge_some(struct nat *n, uint32_t budget)
{
	struct session *next[BLOCK], *over[2 * BLOCK];
	enum session_end why[2 * BLOCK];
	uint32_t n_over = 0, visits = 0, n_next;
	bool is_last;

	do {
		n_next = next_sessions(n, next, budget, &visits, &is_last);
		table_fits_prefetch(n->table, next, n_next);
		for (uint32_t i = 0; i < n_next; i++) {
			if (keep_allowed(n, next[i], &why[n_over]))
				n->judging.report.kept++;
			else
				over[n_over++] = next[i];
		}
	} while (!is_last && n_over < BLOCK && visits < budget);
	end_all(n, over, why, n_over);
	if (is_last && n->judging.cursor == 0)
		nat_judge_end(n);
	return visits + n_over * ENDING_COST;
}

bool nat_judge(struct nat *n, uint64_t now_ms, uint32_t budget, struct nat_reconfigure_report *report)
{
	uint32_t spent = 0;

	n->now_ms = n->events->now_ms = now_ms;
	n->now_s = (uint32_t)(now_ms / 1000);
	table_tell_time(n->table, n->now_s);
	while (n->judging.runs && spent < budget)
		spent += judge_some(n, budget - spent);
	*report = n->judging.report;
	return n->judging.runs;
}

/* ---- sessions found by packets ---- */

bool nat_judge_allows(const struct nat *n, const struct session *s)
{
	enum session_end why;

	return is_allowed(n, s, &why);
}

struct session *nat_judge_met(struct nat *n, struct session *s)
{
	enum session_end why;

	if (keep_allowed(n, s, &why))
		return s;
	if (why != SESSION_END_ADDRESS_LOST || session_class(s) != CLASS_TCP || nat_reset_has_room(n))
		end(n, s, why);
	return NULL; /* without room for its RST it ends when its turn comes */
}

/* A session that this mapping might have. */
static struct session session_of(enum nat_class c, const struct mapping *m)
{
	return (struct session){.int_addr = m->int_addr,
				.int_port = m->int_port,
				.ext = m->ext,
				.ext_port = m->ext_port,
				.kind = (uint8_t)c};
}

bool nat_mapping_is_allowed(const struct nat *n, enum nat_class c, const struct mapping *m)
{
	const struct session s = session_of(c, m);

	return rules_is_inside(n->rules, m->int_addr) &&
	       rules_port_usable(n->rules, c, table_address(n->table, m->ext), m->ext_port) &&
	       table_port_fits(n->table, &s);
}

void nat_judge_mapping(struct nat *n, const struct work *w)
{
	enum nat_class c = (enum nat_class)w->v.proto_class;
	struct session s;
	struct mapping m;

	if (c == CLASS_OTHER || !table_mapping_internal(n->table, c, w->v.src, w->probe.key.local_port, w->v.dst,
							w->probe.key.remote_port, &m))
		return;
	s = session_of(c, &m);
	if (nat_mapping_is_allowed(n, c, &m))
		table_port_claim(n->table, &s);
	else
		table_mapping_unlist(n->table, &m);
}
