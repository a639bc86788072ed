/* SPDX-License-Identifier: ISC */
/* Puts the decisions of steering.h, the core's explain.h and the kernel into words; decides nothing itself. See
 * explain.h. */
#include "explain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/ctlexplain.h"
#include "core/nat/explain.h"
#include "core/nat/rule_view.h"
#include "core/packet/checksum.h"
#include "ctlclient.h"
#include "daemon/steering/steering.h"

enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, IP_HEADER = 20, PACKET_MAX = 40, ADDRESS_MAX = 24 };

struct telling {
	const struct ctl_env *env;
	const struct ctl_explain *q;
	const struct nat_policy *policy;
	struct ctl_writer *w;
	struct ctl_verdict verdict;
	uint64_t count;
};

__attribute__((format(printf, 3, 4))) static void say(struct telling *t, const char *step, const char *format, ...)
{
	char text[CTL_TEXT_MAX + 1];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	t->count += ctl_put_step(t->w, step, text);
}

static const char *address_text(char out[ADDRESS_MAX], uint32_t a)
{
	snprintf(out, ADDRESS_MAX, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
	return out;
}

static bool has_ports(uint8_t protocol)
{
	return protocol == PROTO_TCP || protocol == PROTO_UDP || protocol == PROTO_ICMP;
}

static const char *endpoint_text(const struct telling *t, char out[ADDRESS_MAX], uint32_t a, uint16_t port)
{
	size_t len = strlen(address_text(out, a));

	if (has_ports(t->q->protocol) && (port != 0 || t->q->protocol != PROTO_ICMP)) /* 0: the id is not drawn yet */
		snprintf(out + len, ADDRESS_MAX - len, ":%u", port);
	return out;
}

/* ---- the packet ---- */

static uint32_t build_transport(const struct ctl_explain *q, uint8_t *l4)
{
	uint16_t dport = q->protocol == PROTO_ICMP ? q->source.port : q->destination.port;

	if (q->protocol == PROTO_ICMP) {
		l4[0] = 8;
		store16(l4 + 4, q->source.port);
		store16(l4 + 2, checksum_finish(checksum_add(0, l4, 8)));
		return 8;
	}
	if (!has_ports(q->protocol))
		return 8;
	store16(l4, q->source.port);
	store16(l4 + 2, dport);
	if (q->protocol == PROTO_UDP) {
		store16(l4 + 4, 8); /* no checksum */
		return 8;
	}
	l4[12] = 5 << 4;
	l4[13] = TCP_SYN;
	store16(l4 + 14, UINT16_MAX);
	return 20;
}

static uint32_t build(const struct ctl_explain *q, uint8_t *p)
{
	uint32_t len;

	memset(p, 0, PACKET_MAX);
	len = IP_HEADER + build_transport(q, p + IP_HEADER);
	p[0] = 0x45;
	store16(p + 2, (uint16_t)len);
	p[8] = 64;
	p[9] = q->protocol;
	store32(p + 12, q->source.address);
	store32(p + 16, q->destination.address);
	store16(p + 10, checksum_finish(checksum_add(0, p, IP_HEADER)));
	return len;
}

/* ---- verdicts ---- */

static void pass(struct telling *t, const char *text)
{
	t->verdict.is_pass = true;
	snprintf(t->verdict.text, sizeof(t->verdict.text), "%s", text);
}

static const char *remedy(enum nat_reason why)
{
	static const struct {
		enum nat_reason why;
		const char *how;
	} remedies[] = {
		{DROP_UNSOLICITED, "to let it in, add a forward for this port"},
		{DROP_UNSOLICITED_SYN, "to let it in, add a forward for this port"},
		{DROP_FILTERED, "translation.filtering decides who may answer a mapping"},
		{DROP_FORWARD_SOURCE, "add the sender to the forward's `from'"},
		{DROP_BACKENDS_DOWN, "natctl forwards shows why: resume one, or repair its service"},
		{DROP_HOST_SESSIONS, "raise limits.sessions_per_host"},
		{DROP_HOST_PORTS, "raise limits.ports_per_host"},
		{DROP_HOST_RATE, "raise limits.new_sessions_per_host"},
		{DROP_SESSIONS_FULL, "raise limits.sessions"},
		{DROP_HOST_SHARE, "widen outside.ports, add addresses or sessions, or lower limits.reserve"},
		{DROP_UNANSWERED_BUDGET, "widen outside.ports, add addresses or sessions, or lower limits.reserve"},
		{DROP_RULE, "change the rule, or put one that accepts it before"},
		{DROP_RULE_REJECT, "change the rule, or put one that accepts it before"},
		{DROP_HAIRPIN_OFF, "set translation.hairpinning = true"},
		{DROP_EXEMPT, "take the sender out of inside.exempt, or connect to the inside address itself"},
		{DROP_OTHER_PROTOCOL, "set translation.other_protocols, or use an address of a pool"},
	};

	for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++) {
		if (remedies[i].why == why)
			return remedies[i].how;
	}
	return NULL;
}

static void drop(struct telling *t, enum nat_reason why)
{
	const char *how = remedy(why);

	say(t, "reason", "%s%s%s", nat_reason_help(why), how ? "; " : "", how ? how : "");
	t->verdict.is_pass = false;
	snprintf(t->verdict.reason, sizeof(t->verdict.reason), "%s", nat_reason_name(why));
	snprintf(t->verdict.text, sizeof(t->verdict.text), "dropped (%s)", nat_reason_name(why));
}

static void say_route(struct telling *t, uint32_t address)
{
	const struct ctl_backend *b = t->env->backend;
	struct ctl_route route = {0};

	if (b->route == NULL || !b->route(b->ctx, address, &route))
		return;
	say(t, "route", "%s", route.text);
}

/* ---- steering ---- */

static bool is_inside_source(const struct telling *t, const struct steering *s)
{
	if (t->q->way != CTL_EXPLAIN_AUTO)
		return t->q->way == CTL_EXPLAIN_OUT;
	return steering_is_inside(s, t->q->source.address);
}

static bool is_own(const struct telling *t)
{
	const struct ctl_backend *b = t->env->backend;
	struct ctl_route route = {0};

	return b->route != NULL && b->route(b->ctx, t->q->destination.address, &route) && route.is_local;
}

static void refuse_steered(struct telling *t, enum steering_reason why)
{
	drop(t, why == STEERING_BY_DIRECT ? DROP_INSIDE_DESTINATION : DROP_INSIDE_SOURCE);
}

/* True: the packet reaches the core. */
static bool steer(struct telling *t, bool *copied)
{
	const struct ctl_backend *b = t->env->backend;
	const struct steering *s = b->steering == NULL ? NULL : b->steering(b->ctx);
	struct steering_packet p = {
		.source = t->q->source.address,
		.destination = t->q->destination.address,
		.ip_proto = t->q->protocol,
		.port = t->q->destination.port,
	};
	enum steering_reason why;
	enum steering_verdict v;

	if (s == NULL) {
		say(t, "steering", "the administrator's own routes hand packets to natd (routing = \"none\")");
		return true;
	}
	p.from = is_inside_source(t, s) ? STEERING_FROM_INSIDE : STEERING_FROM_OUTSIDE;
	while (p.from == STEERING_FROM_INSIDE && p.interface + 1 < s->n_inside &&
	       !steering_source_fits(s, p.interface, p.source))
		p.interface++;
	v = steering_judge(s, &p, is_own(t), &why);
	say(t, "steering", "%s, %s: %s", p.from == STEERING_FROM_INSIDE ? "from inside" : "from outside",
	    v == STEERING_TO_NATD   ? "handed to natd"
	    : v == STEERING_TO_HOST ? "the host's own"
	    : v == STEERING_REFUSED ? "refused"
				    : "routed without translation",
	    steering_reason_text(why));
	*copied = why == STEERING_BY_HOST_ICMP;
	if (v == STEERING_TO_NATD || *copied)
		return true;
	if (v == STEERING_REFUSED) {
		refuse_steered(t, why);
		return false;
	}
	if (v == STEERING_TO_ROUTES)
		say_route(t, p.destination);
	pass(t, v == STEERING_TO_HOST ? "handed to the host" : "passed untranslated");
	return false;
}

/* ---- the core's passes ---- */

static void say_forward(struct telling *t, const struct explain_pass *x)
{
	static const char *const ways[] = {[BALANCE_HASH] = "the hash of the source",
					   [BALANCE_LEAST] = "the fewest sessions",
					   [BALANCE_RANDOM] = "chance"};
	const struct nat_forward *f = &t->policy->forwards[x->decision.forward];
	char to[ADDRESS_MAX];

	if (f->n_backends == 0 && x->inside == 0) {
		say(t, "forward", "\"%s\" takes it", f->name);
		return;
	}
	if (f->n_backends == 0) {
		say(t, "forward", "%s\"%s\" leads to %s",
		    f->is_default ? "no other rule matches: the default host " : "", f->name,
		    endpoint_text(t, to, x->inside, x->inside_port));
		return;
	}
	say(t, "forward", "\"%s\" has %u backends", f->name, f->n_backends);
	if (x->decision.backend < 0)
		say(t, "backend", "none takes connections");
	else
		say(t, "backend", "%s takes it, by %s%s",
		    endpoint_text(t, to, f->backends[x->decision.backend].address,
				  f->backends[x->decision.backend].port),
		    f->affinity > 0 ? "affinity or " : "", ways[f->balance]);
}

static void say_basis(struct telling *t, const struct explain_pass *x)
{
	char inside[ADDRESS_MAX], outside[ADDRESS_MAX];

	if (x->decision.forward >= 0)
		say_forward(t, x);
	else if (x->decision.basis == BASIS_STATIC)
		say(t, "static", "a pair, one to one: every port is kept");
	else if (x->decision.basis == BASIS_FORWARD)
		say(t, "forward", "one has this port, and refuses the sender");
	else if (x->decision.basis == BASIS_MAPPING && x->outside != 0)
		say(t, "mapping", "%s has %s", endpoint_text(t, inside, x->inside, x->inside_port),
		    endpoint_text(t, outside, x->outside, x->outside_port));
	else if (x->decision.basis == BASIS_MAPPING)
		say(t, "mapping", "the outside port is mapped");
	else if (x->dir == DIR_IN)
		say(t, "mapping", "no forward and no mapping that its inside host holds has this port");
	else if (x->decision.basis != BASIS_NONE)
		say(t, "mapping", "none yet for %s", endpoint_text(t, inside, x->inside, x->inside_port));
}

/* Outbound, the rules come first; inbound they apply to the inside host, which forward or mapping has found. */
static void say_rule(struct telling *t, const struct explain_pass *x)
{
	static const char *const actions[] = {
		[FILTER_ACCEPT] = "accepts", [FILTER_DROP] = "drops", [FILTER_REJECT] = "rejects"};
	struct rule_view v;

	if (x->decision.rule != FILTER_NONE) {
		nat_rule_view(t->env->nat, (uint32_t)x->decision.rule, &v);
		say(t, "filter", "rule \"%s\" %s it", v.rule->name, actions[v.rule->action]);
	} else if (nat_rule_count(t->env->nat) > 0 && x->decision.stage >= STAGE_LIMITS) {
		say(t, "filter", "no rule matches: accepted");
	}
}

static void say_filter(struct telling *t, const struct explain_pass *x)
{
	static const char *const names[] = {"endpoint-independent", "address-dependent", "address-and-port-dependent"};

	if (x->dir == DIR_IN && x->decision.basis == BASIS_MAPPING)
		say(t, "filtering", "translation.filtering = \"%s\" %s this sender", names[t->policy->filtering],
		    x->decision.stage > STAGE_FILTER ? "admits" : "refuses");
}

static void say_limits(struct telling *t, const struct explain_pass *x)
{
	if (x->decision.stage < STAGE_LIMITS)
		return;
	say(t, "limits", "%u of %u sessions in use, %u of them %s this host, which holds %u ports; reserve %u",
	    x->sessions, t->policy->limits.sessions, x->host_sessions,
	    x->dir == DIR_IN ? "opened from outside to" : "opened by", x->host_ports, x->reserve);
}

static void say_port(struct telling *t, const struct explain_pass *x)
{
	char address[ADDRESS_MAX];

	if (x->decision.action != DECIDED_OPEN || x->dir == DIR_IN)
		return;
	if (x->decision.basis == BASIS_DRAW)
		say(t, "port", "drawn at random from the free ports of %s", address_text(address, x->outside));
	else
		say(t, "port", "%s", endpoint_text(t, address, x->outside, x->outside_port));
}

static void say_pass(struct telling *t, const struct explain_pass *x, bool is_hairpin)
{
	if (is_hairpin)
		say(t, "direction",
		    x->dir == DIR_OUT ? "from inside to an outside address: translated as outbound first"
				      : "then as inbound");
	if (x->session != 0)
		say(t, "session", "there is one: id %" PRIu64, x->session);
	else if (x->end == EXPLAIN_DECISION)
		say(t, "session", "none yet");
	if (x->end != EXPLAIN_DECISION || x->to_host)
		return;
	if (x->dir == DIR_OUT)
		say_rule(t, x);
	say_basis(t, x);
	say_filter(t, x);
	if (x->dir == DIR_IN)
		say_rule(t, x);
	say_limits(t, x);
	say_port(t, x);
}

static void conclude(struct telling *t, const struct explanation *x)
{
	const struct explain_pass *first = &x->pass[0], *last = &x->pass[x->n_passes - 1];
	char to[ADDRESS_MAX], text[64];
	bool is_drawn = first->session == 0 && first->decision.basis == BASIS_DRAW && first->dir == DIR_OUT;

	t->verdict.inside = (struct ctl_endpoint){last->inside, last->inside_port};
	t->verdict.outside = (struct ctl_endpoint){first->outside, first->outside_port};
	t->verdict.remote = (struct ctl_endpoint){first->remote, first->remote_port};
	t->verdict.known =
		(uint8_t)((last->inside ? CTL_VERDICT_INSIDE : 0) | (first->outside ? CTL_VERDICT_OUTSIDE : 0) |
			  (first->outside && !is_drawn ? CTL_VERDICT_OUTSIDE_PORT : 0) |
			  (first->remote ? CTL_VERDICT_REMOTE : 0));
	if (x->to == NAT_TO_INSIDE)
		snprintf(text, sizeof(text), "translated to %s", endpoint_text(t, to, last->inside, last->inside_port));
	else if (is_drawn)
		snprintf(text, sizeof(text), "translated to %s, port drawn at random",
			 address_text(to, first->outside));
	else
		snprintf(text, sizeof(text), "translated to %s",
			 endpoint_text(t, to, first->outside, first->outside_port));
	pass(t, text);
}

static void tell_core(struct telling *t, bool copied)
{
	uint64_t now_ms = nat_events(t->env->nat)->now_ms;
	struct explanation x;
	uint8_t packet[PACKET_MAX];

	nat_explain(t->env->nat, now_ms, packet, build(t->q, packet), &x);
	for (uint8_t i = 0; i < x.n_passes; i++)
		say_pass(t, &x.pass[i], x.is_hairpin);
	if (x.to == NAT_TO_HOST || (copied && (x.reason == DROP_UNSOLICITED || x.reason == DROP_FILTERED ||
					       x.reason == DROP_ICMP_NO_SESSION))) {
		pass(t, "handed to the host");
	} else if (x.reason == DROP_EXEMPT && (x.n_passes == 0 || x.pass[0].dir == DIR_OUT)) {
		say(t, "exempt", "inside.exempt holds the destination");
		pass(t, "passed untranslated");
	} else if (x.reason != NAT_PASS) {
		drop(t, (enum nat_reason)x.reason);
	} else {
		conclude(t, &x);
		say_route(t, x.to == NAT_TO_INSIDE ? t->verdict.inside.address : t->q->destination.address);
	}
}

const char *ctl_object_to_explain(const union ctl_args *args)
{
	return args->explain.protocol == 0 ? "explain needs a protocol" : NULL;
}

void ctl_answer_explain(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w)
{
	struct telling t = {.env = env, .q = &args->explain, .policy = nat_policy_get(env->nat), .w = w};
	bool copied = false;

	if (steer(&t, &copied))
		tell_core(&t, copied);
	t.count += ctl_put_verdict(w, &t.verdict);
	ctl_put_end(w, t.count, 0);
}
