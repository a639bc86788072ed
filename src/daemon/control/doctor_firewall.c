/* SPDX-License-Identifier: ISC */
/*
 * How the host's firewall treats natd's packets. The kernel forwards a packet to natd's TUN device; natd sends it on by
 * a raw socket (or by the TUN again, for super-packets); and a copy of ICMP to a shared address is read on its way to
 * the host. So packets pass forward, output and input chains, but never those of a plain router.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "doctor_private.h"

struct question {
	enum firewall_hook hook;
	struct firewall_packet packet;
	const char *what; /* ends the sentence "the chain drops ..." */
};

/* Did iptables make this chain? Its names are in capitals. */
static bool is_iptables(const struct firewall_chain *c)
{
	return strcmp(c->table, "filter") == 0 && c->name[0] >= 'A' && c->name[0] <= 'Z';
}

/* firewalld removes rules that are not its own. So natd's device goes into a zone that may send anywhere, and a
 * policy lets others send there. */
static void advise_firewalld(struct visit *v)
{
	finding_remedy(v->sink,
		       "firewall-cmd --permanent --zone=trusted --add-interface=%s; "
		       "firewall-cmd --permanent --new-policy=to-natd; "
		       "firewall-cmd --permanent --policy=to-natd --add-ingress-zone=ANY; "
		       "firewall-cmd --permanent --policy=to-natd --add-egress-zone=trusted; "
		       "firewall-cmd --permanent --policy=to-natd --set-target=ACCEPT; firewall-cmd --reload",
		       v->config->tun.name);
}

static void advise_forward(struct visit *v, const struct firewall *f, const struct firewall_chain *c)
{
	const char *tun = v->config->tun.name;

	if (firewall_has_chain(f, c, "ufw-user-forward"))
		finding_remedy(v->sink, "ufw route allow in on %s; ufw route allow out on %s", tun, tun);
	else if (strcmp(c->table, "firewalld") == 0)
		advise_firewalld(v);
	else if (is_iptables(c))
		finding_remedy(v->sink, "iptables -I %s -i %s -j ACCEPT; iptables -I %s -o %s -j ACCEPT",
			       firewall_has_chain(f, c, "DOCKER-USER") ? "DOCKER-USER" : c->name, tun,
			       firewall_has_chain(f, c, "DOCKER-USER") ? "DOCKER-USER" : c->name, tun);
	else
		finding_remedy(v->sink,
			       "nft insert rule %s %s %s iifname %s accept; nft insert rule %s %s %s oifname %s accept",
			       firewall_family(c->family), c->table, c->name, tun, firewall_family(c->family), c->table,
			       c->name, tun);
}

static void advise_output(struct visit *v, const struct firewall_chain *c)
{
	if (is_iptables(c))
		finding_remedy(v->sink, "iptables -I %s -m mark --mark 0x%x -j ACCEPT", c->name, (unsigned)v->mark);
	else
		finding_remedy(v->sink, "nft insert rule %s %s %s meta mark 0x%x accept", firewall_family(c->family),
			       c->table, c->name, (unsigned)v->mark);
}

static void advise_input(struct visit *v, const struct firewall_chain *c)
{
	if (is_iptables(c))
		finding_remedy(v->sink, "iptables -I %s -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT", c->name);
	else
		finding_remedy(v->sink, "nft insert rule %s %s %s ct state established,related accept",
			       firewall_family(c->family), c->table, c->name);
}

static void advise(struct visit *v, const struct firewall *f, const struct firewall_chain *c, enum firewall_hook hook)
{
	if (hook == FIREWALL_FORWARD)
		advise_forward(v, f, c);
	else if (hook == FIREWALL_OUTPUT)
		advise_output(v, c);
	else
		advise_input(v, c);
}

static bool ask(struct visit *v, const struct firewall *f, const struct firewall_chain *c, const struct question *q)
{
	static const char *const ids[] = {[FIREWALL_INPUT] = "firewall-input",
					  [FIREWALL_FORWARD] = "firewall-forward",
					  [FIREWALL_OUTPUT] = "firewall-output"};
	struct firewall_result r = firewall_ask(f, c, &q->packet);

	if (!r.drops)
		return false;
	advise(v, f, c, q->hook);
	finding_add(v->sink, FINDING_ERROR, ids[q->hook], "chain %s of table %s %s drops %s (by %s)", c->name,
		    firewall_family(c->family), c->table, q->what, r.by_policy ? "its policy" : "a rule");
	return true;
}

/* Super-packets to inside hosts: would the kernel forward each of them? */
static bool may_refuse_back(const struct firewall *f, const struct firewall_chain *c, const char *tun,
			    const char *inside)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
	struct firewall_packet p = {tun, inside, 0, 0, 0};

	for (size_t i = 0; i < sizeof(protocols); i++) {
		p.protocol = protocols[i];
		/* What natd sends singly is not forwarded, so tracking need not know the connection. */
		p.ct_state = FIREWALL_CT_NEW;
		if (firewall_may_reject(f, c, &p))
			return true;
		p.ct_state = FIREWALL_CT_ESTABLISHED;
		if (firewall_may_reject(f, c, &p) || firewall_ask(f, c, &p).drops)
			return true;
	}
	return false;
}

bool doctor_firewall_refuses_inside(const struct setup *s, const struct firewall *f)
{
	for (uint32_t i = 0; i < f->n_chains && !s->is_exact; i++) {
		const struct firewall_chain *c = &f->chains[i];

		if (c->hook != FIREWALL_FORWARD)
			continue;
		for (uint32_t k = 0; k < s->facts.n_inside; k++) {
			if (may_refuse_back(f, c, s->config->tun.name, s->facts.inside[k].name))
				return true;
		}
		if (s->facts.n_inside == 0 && may_refuse_back(f, c, s->config->tun.name, ""))
			return true;
	}
	return false;
}

static bool ask_back(struct visit *v, const struct firewall *f, const struct firewall_chain *c, const char *inside)
{
	if (!may_refuse_back(f, c, v->config->tun.name, inside))
		return false;
	advise(v, f, c, FIREWALL_FORWARD);
	finding_add(
		v->sink, FINDING_OK, "firewall-cuts",
		"chain %s of table %s %s may refuse large packets that natd sends inside: natd sends them as segments, "
		"past that chain, which takes more processor time",
		c->name, firewall_family(c->family), c->table);
	return true;
}

/*
 * The first packet that a chain drops is the finding. The test packets are TCP: firewalls that drop forwarded packets
 * often let some ICMP pass.
 */
static void ask_chain(struct visit *v, const struct firewall *f, const struct firewall_chain *c)
{
	const struct host_facts *facts = &v->setup->facts;
	const char *tun = v->config->tun.name, *outside = facts->outside.name;
	const struct question fixed[] = {
		{FIREWALL_FORWARD, {outside, tun, 0, FIREWALL_CT_NEW, IPPROTO_TCP}, "what comes from outside to natd"},
		{FIREWALL_FORWARD,
		 {tun, outside, 0, FIREWALL_CT_NEW, IPPROTO_TCP},
		 "large packets that natd sends outside"},
		{FIREWALL_OUTPUT, {"", outside, v->mark, FIREWALL_CT_NEW, IPPROTO_TCP}, "what natd sends outside"},
		{FIREWALL_INPUT,
		 {outside, "", 0, FIREWALL_CT_ESTABLISHED, IPPROTO_ICMP},
		 "ICMP answers to inside hosts"},
	};
	bool found = false;

	for (uint32_t i = 0; c->hook == FIREWALL_FORWARD && !v->setup->is_exact && i < facts->n_inside && !found; i++) {
		const struct question q = {FIREWALL_FORWARD,
					   {facts->inside[i].name, tun, 0, FIREWALL_CT_NEW, IPPROTO_TCP},
					   "what inside hosts send"};

		found = ask(v, f, c, &q);
	}
	for (uint32_t i = 0; c->hook == FIREWALL_FORWARD && !v->setup->is_exact && i < facts->n_inside; i++) {
		if (ask_back(v, f, c, facts->inside[i].name))
			break;
	}
	if (v->setup->is_exact && c->hook != FIREWALL_OUTPUT) /* with tc programs the others bypass the chain */
		return;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]) && !found; i++) {
		if (fixed[i].hook == c->hook && (c->hook != FIREWALL_INPUT || setup_is_shared(v->setup)))
			found = ask(v, f, c, &fixed[i]);
	}
}

/* A rule that translates packets which natd has already translated. */
static void check_nat(struct visit *v, const struct firewall *f)
{
	const struct firewall_packet p = {"", v->setup->facts.outside.name, v->mark, FIREWALL_CT_NEW, 0};
	const struct firewall_rule *r = firewall_find_nat(f, &p);

	if (!r)
		return;
	finding_remedy(v->sink, "remove it, or put before it: nft insert rule %s %s %s meta mark 0x%x accept",
		       firewall_family(r->family), r->table, r->chain, (unsigned)v->mark);
	finding_add(v->sink, FINDING_WARNING, "other-nat",
		    "a rule of chain %s of table %s %s translates natd's packets a second time", r->chain,
		    firewall_family(r->family), r->table);
}

/* Does a chain drop whatever new comes to the host from natd's device? */
static bool is_guarded(const struct visit *v, const struct firewall *f)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
	struct firewall_packet p = {v->config->tun.name, "", 0, FIREWALL_CT_NEW, 0};
	uint32_t n = 0;

	for (size_t i = 0; i < sizeof(protocols); i++) {
		bool drops = false;

		p.protocol = protocols[i];
		for (uint32_t k = 0; k < f->n_chains && !drops; k++)
			drops = f->chains[k].hook == FIREWALL_INPUT && firewall_ask(f, &f->chains[k], &p).drops;
		n += drops;
	}
	return n == sizeof(protocols);
}

/* Fault 16: rules cannot steer the later fragments of a datagram, so natd has them all, and hands the host's back by
 * its device. */
static void check_interfaces(struct visit *v, const struct firewall *f)
{
	const struct host_facts *facts = &v->setup->facts;
	const char *tun = v->config->tun.name;

	if (v->setup->is_exact || !setup_is_shared(v->setup) || is_guarded(v, f))
		return;
	for (uint32_t i = 0; i < f->n_chains; i++) {
		const struct firewall_chain *c = &f->chains[i];
		bool found = c->hook == FIREWALL_INPUT && firewall_favours(f, c, tun, facts->outside.name);

		for (uint32_t k = 0; k < facts->n_inside && c->hook == FIREWALL_INPUT && !found; k++)
			found = firewall_favours(f, c, tun, facts->inside[k].name);
		if (!found)
			continue;
		finding_remedy(v->sink,
			       "match addresses there in place of interfaces, or: nft 'add table ip natd_guard; add "
			       "chain ip natd_guard in { type filter hook input priority -1; }; add rule ip natd_guard "
			       "in iifname %s ct state new drop'",
			       tun);
		finding_add(
			v->sink, FINDING_WARNING, "firewall-interfaces",
			"chain %s of table %s %s tells interfaces apart: the host's fragments reach it by %s, whatever "
			"interface brought them",
			c->name, firewall_family(c->family), c->table, tun);
		return;
	}
}

void doctor_firewall(struct visit *v, const struct firewall *f)
{
	for (uint32_t i = 0; i < f->n_chains; i++)
		ask_chain(v, f, &f->chains[i]);
	check_nat(v, f);
	check_interfaces(v, f);
}
