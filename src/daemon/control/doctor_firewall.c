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

static bool ask(struct visit *v, const struct firewall *f, const struct firewall_chain *c, const struct question *q)
{
	static const char *const ids[] = {[FIREWALL_INPUT] = "firewall-input",
					  [FIREWALL_FORWARD] = "firewall-forward",
					  [FIREWALL_OUTPUT] = "firewall-output"};
	struct firewall_result r = firewall_ask(f, c, &q->packet);

	if (!r.drops)
		return false;
	if (q->hook == FIREWALL_FORWARD)
		advise_forward(v, f, c);
	else if (q->hook == FIREWALL_OUTPUT)
		advise_output(v, c);
	else
		advise_input(v, c);
	finding_add(v->sink, FINDING_ERROR, ids[q->hook], "chain %s of table %s %s drops %s (by %s)", c->name,
		    firewall_family(c->family), c->table, q->what, r.by_policy ? "its policy" : "a rule");
	return true;
}

/* Super-packets to inside hosts, which the kernel forwards: an error about one would show its sender the inside
 * address. */
static bool ask_back(struct visit *v, const struct firewall *f, const struct firewall_chain *c, const char *inside)
{
	const struct question q = {FIREWALL_FORWARD,
				   {v->config->tun.name, inside, 0, FIREWALL_CT_ESTABLISHED, IPPROTO_TCP},
				   "large packets that natd sends inside"};

	return ask(v, f, c, &q);
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
		found = found || ask_back(v, f, c, facts->inside[i].name);
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

void doctor_firewall(struct visit *v, const struct firewall *f)
{
	for (uint32_t i = 0; i < f->n_chains; i++)
		ask_chain(v, f, &f->chains[i]);
	check_nat(v, f);
}
