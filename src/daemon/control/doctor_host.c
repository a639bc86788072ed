/* SPDX-License-Identifier: ISC */
/* The doctor's checks of the host: interfaces, routes, settings; and their table. They need no running natd. */
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/config/config_text.h"
#include "daemon/kernel/sysctl.h"
#include "doctor_private.h"

enum {
	SOMEWHERE = 0xc6336401,	  /* 198.51.100.1, RFC 5737: only the default route leads there */
	MTU_LEAST = 1280,	  /* less is rare enough to be a mistake */
	CONNTRACK_FULL = 80,	  /* percent */
	CLOCK_LEAST = 1750000000, /* 2025: no right clock shows less */
};

/* ---- the host's interfaces ---- */

static void check_outside(struct visit *v)
{
	const struct host_interface *i = &v->setup->facts.outside;
	char address[TEXT_ADDRESS_SIZE];

	if (!i->exists) {
		finding_remedy(
			v->sink,
			"create the interface, or correct outside.interface (natd notices a new interface by itself)");
		finding_add(v->sink, FINDING_ERROR, "outside-interface", "outside interface %s does not exist",
			    i->name);
	} else if (!i->is_up) {
		finding_remedy(v->sink, "ip link set %s up, and look at its cable or carrier", i->name);
		finding_add(v->sink, FINDING_ERROR, "outside-interface", "outside interface %s is down", i->name);
	} else if (v->config->outside.share_interface_address && i->n_addresses == 0) {
		finding_remedy(v->sink, "give it an address, or list pool addresses in outside.addresses");
		finding_add(v->sink, FINDING_ERROR, "outside-interface", "outside interface %s has no address",
			    i->name);
	} else if (i->n_addresses > 0) {
		finding_add(v->sink, FINDING_OK, "outside-interface", "outside interface %s has address %s", i->name,
			    text_of_address(address, i->addresses[0].address));
	} else {
		finding_add(v->sink, FINDING_OK, "outside-interface", "outside interface %s exists", i->name);
	}
}

static void check_inside_interface(struct visit *v, const struct host_interface *i)
{
	if (!i->exists) {
		finding_remedy(
			v->sink,
			"create the interface, or correct inside.interfaces (natd notices a new interface by itself)");
		finding_add(v->sink, FINDING_WARNING, "inside-interface", "inside interface %s does not exist",
			    i->name);
	} else if (!i->is_up) {
		finding_remedy(v->sink, "ip link set %s up, and look at its cable or carrier", i->name);
		finding_add(v->sink, FINDING_WARNING, "inside-interface", "inside interface %s is down", i->name);
	} else if (i->n_addresses == 0) {
		finding_remedy(v->sink, "give it an address, and make it the inside hosts' default gateway");
		finding_add(v->sink, FINDING_WARNING, "inside-interface", "inside interface %s has no address",
			    i->name);
	}
}

static void check_inside(struct visit *v)
{
	const struct host_facts *f = &v->setup->facts;

	for (uint32_t i = 0; i < f->n_inside; i++)
		check_inside_interface(v, &f->inside[i]);
	if (v->setup->policy.n_inside == 0) {
		finding_remedy(v->sink, "set inside.prefixes, or give the inside interfaces addresses");
		finding_add(v->sink, FINDING_ERROR, "inside-prefixes",
			    "no inside prefix is known: every packet from inside is refused");
	} else {
		finding_add(v->sink, FINDING_OK, "inside-prefixes", "%" PRIu32 " inside prefix%s",
			    v->setup->policy.n_inside, v->setup->policy.n_inside == 1 ? "" : "es");
	}
}

/* RFC 1918, RFC 6598, RFC 3927, loopback. */
static bool is_private(uint32_t a)
{
	return a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 || a >> 22 == 0x191 || a >> 16 == 0xa9fe ||
	       a >> 24 == 127;
}

static void check_private(struct visit *v)
{
	const struct nat_policy *p = &v->setup->policy;
	char text[TEXT_ADDRESS_SIZE];

	for (uint32_t i = 0; i < p->n_addresses; i++) {
		if (p->addresses[i].is_virtual || !is_private(p->addresses[i].first))
			continue;
		finding_remedy(v->sink, p->n_forwards
						? "forward the same ports on the router in front of this host as well"
						: "nothing, unless hosts inside are to be reached from the internet");
		finding_add(v->sink, p->n_forwards ? FINDING_WARNING : FINDING_OK, "outside-private",
			    "outside address %s is private: another NAT stands between natd and the internet",
			    text_of_address(text, p->addresses[i].first));
		return;
	}
}

static void check_mtu(struct visit *v)
{
	const struct host_facts *f = &v->setup->facts;

	if (f->outside.exists && f->outside.mtu != 0 && f->outside.mtu < MTU_LEAST) {
		finding_remedy(v->sink, "ip link set %s mtu 1500, or the provider's value", f->outside.name);
		finding_add(v->sink, FINDING_WARNING, "mtu", "MTU of %s is only %" PRIu32, f->outside.name,
			    f->outside.mtu);
	}
	for (uint32_t i = 0; v->config->translation.mss_clamp == MSS_CLAMP_OFF && i < f->n_inside; i++) {
		if (f->inside[i].mtu <= f->outside.mtu || !f->outside.exists)
			continue;
		finding_remedy(v->sink, "translation.mss_clamp = \"auto\"");
		finding_add(v->sink, FINDING_WARNING, "mtu",
			    "MTU of %s (%" PRIu32 ") is above that of %s (%" PRIu32
			    "), and translation.mss_clamp is off: connections hang where ICMP is lost",
			    f->inside[i].name, f->inside[i].mtu, f->outside.name, f->outside.mtu);
		return;
	}
}

/* ---- routing ---- */

static void check_forwarding_of(struct visit *v, const char *interface)
{
	bool is_managed = v->config->routing == ROUTING_MANAGED;
	char name[SYSCTL_NAME_SIZE];
	int32_t value;

	snprintf(name, sizeof(name), "net/ipv4/conf/%.15s/forwarding", interface);
	if (sysctl_read(name, &value) < 0 || value != 0)
		return;
	finding_remedy(v->sink, "%ssysctl -w net.ipv4.conf.%s.forwarding=1, or set routing = \"managed\"",
		       is_managed ? "" : "first the rules of docs/recipes.md, or packets leave untranslated; then ",
		       interface);
	finding_add(v->sink, FINDING_ERROR, "forwarding", "%s does not forward", interface);
}

static void check_forwarding(struct visit *v)
{
	if (!v->c && v->config->routing == ROUTING_MANAGED) /* natd will set it */
		return;
	check_forwarding_of(v, v->config->tun.name);
	if (v->setup->facts.outside.exists)
		check_forwarding_of(v, v->setup->facts.outside.name);
	for (uint32_t i = 0; i < v->setup->facts.n_inside; i++) {
		if (v->setup->facts.inside[i].exists)
			check_forwarding_of(v, v->setup->facts.inside[i].name);
	}
}

static void check_rp_filter(struct visit *v)
{
	char name[SYSCTL_NAME_SIZE];
	int32_t all = 0, own = 0;

	snprintf(name, sizeof(name), "net/ipv4/conf/%.15s/rp_filter", v->config->tun.name);
	sysctl_read("net/ipv4/conf/all/rp_filter", &all);
	/* The higher setting counts: 1 is strict, 2 loose. */
	if (sysctl_read(name, &own) < 0 || (all > own ? all : own) != 1)
		return;
	finding_remedy(v->sink, "sysctl -w net.ipv4.conf.%s.rp_filter=2", v->config->tun.name);
	finding_add(v->sink, FINDING_WARNING, "rp-filter",
		    "strict reverse path filter on %s: what natd hands back to the host is dropped",
		    v->config->tun.name);
}

/* Settings that natd makes itself where it can; else the administrator must (routing = "none", a read-only
 * /proc/sys). */
static void check_settings(struct visit *v)
{
	static const struct {
		const char *name, *tail, *harm;
		int32_t wanted;
	} rows[] = {
		{"net/ipv4/fwmark_reflect", "fwmark_reflect",
		 "the kernel's own ICMP errors can show inside addresses outside", 1},
		{"net/ipv4/tcp_early_demux", "tcp_early_demux",
		 "a connected socket of the host takes packets before natd", 0},
		{"net/ipv4/udp_early_demux", "udp_early_demux",
		 "a connected socket of the host takes packets before natd", 0},
	};
	int32_t value;

	if (!v->c && v->config->routing == ROUTING_MANAGED)
		return;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (sysctl_read(rows[i].name, &value) < 0 || value == rows[i].wanted)
			continue;
		finding_remedy(v->sink, "sysctl -w net.ipv4.%s=%d", rows[i].tail, (int)rows[i].wanted);
		finding_add(v->sink, FINDING_WARNING, "settings", "net.ipv4.%s is %d: %s", rows[i].tail, (int)value,
			    rows[i].harm);
	}
}

/* An address on the interface other than the gateway's own; 0: none. */
static uint32_t host_on(const struct host_interface *i)
{
	uint32_t a = i->n_addresses > 0 ? i->addresses[0].address : 0;

	return a == 0 || i->addresses[0].length > 30 ? 0 : (a & 3) == 2 ? a - 1 : (a & ~3u) + 2;
}

/* Forwarding is on, but no rule leads to natd. */
static void check_own_rules(struct visit *v)
{
	const struct host_facts *f = &v->setup->facts;
	char leaves[IF_NAMESIZE] = "?";
	struct netlink_link tun;

	if (v->config->routing == ROUTING_MANAGED || netlink_link_get(v->nl, v->config->tun.name, &tun) < 0)
		return;
	for (uint32_t i = 0; i < f->n_inside; i++) {
		const struct netlink_flow flow = {
			.iif = f->inside[i].index, .source = host_on(&f->inside[i]), .destination = SOMEWHERE};
		struct netlink_way way;

		if (!f->inside[i].exists || flow.source == 0 || netlink_way_of(v->nl, &flow, &way) < 0 ||
		    way.out == 0 || way.out == tun.index)
			continue;
		if_indextoname((unsigned)way.out, leaves);
		finding_remedy(v->sink,
			       "ip rule add pref 110 iif %s lookup 100; ip route add default dev %s table 100; the "
			       "whole of it is in docs/recipes.md",
			       f->inside[i].name, tun.name);
		finding_add(v->sink, FINDING_ERROR, "untranslated",
			    "packets from %s leave by %s untranslated: no rule leads them to %s", f->inside[i].name,
			    leaves, tun.name);
	}
}

static void check_way_out(struct visit *v)
{
	struct netlink_way way;
	char name[IF_NAMESIZE] = "?";

	if (netlink_way_to(v->nl, SOMEWHERE, &way) < 0 || way.out == 0) {
		finding_remedy(v->sink, "ip route add default via GATEWAY dev %s", v->config->outside.interface);
		finding_add(v->sink, FINDING_WARNING, "default-route", "the host has no default route");
		return;
	}
	if_indextoname((unsigned)way.out, name);
	if (strcmp(name, v->setup->facts.outside.name) == 0) {
		finding_add(v->sink, FINDING_OK, "default-route", "the default route leaves by %s", name);
		return;
	}
	finding_remedy(
		v->sink,
		"translated packets leave where the host's routes lead: name that interface, or change the route");
	finding_add(v->sink, FINDING_WARNING, "default-route",
		    "the default route leaves by %s, outside.interface is %s", name, v->config->outside.interface);
}

/* ---- other parts of this host ---- */

/* IPv6 bypasses natd. That is intended, but the host's firewall must filter it. */
static void check_ipv6(struct visit *v)
{
	const struct host_facts *f = &v->setup->facts;
	char name[SYSCTL_NAME_SIZE];
	int32_t value;

	for (uint32_t i = 0; i < f->n_inside; i++) {
		snprintf(name, sizeof(name), "net/ipv6/conf/%.15s/forwarding", f->inside[i].name);
		if (sysctl_read(name, &value) < 0 || value == 0)
			continue;
		finding_remedy(v->sink, "filter it in the host's firewall: natd is IPv4 only");
		finding_add(v->sink, FINDING_OK, "ipv6", "%s forwards IPv6: inside hosts that have it pass natd by",
			    f->inside[i].name);
		return;
	}
}

/* The kernel's connection tracking sees natd's packets twice. */
static void check_conntrack(struct visit *v)
{
	int32_t count = 0, most = 0;
	bool is_full;

	if (sysctl_read("net/netfilter/nf_conntrack_count", &count) < 0 || count <= 0)
		return;
	(void)sysctl_read("net/netfilter/nf_conntrack_max", &most);
	is_full = most > 0 && (int64_t)count * 100 >= (int64_t)most * CONNTRACK_FULL;
	finding_remedy(
		v->sink,
		"%snft 'add table ip untracked; add chain ip untracked in { type filter hook prerouting priority "
		"-300; }; add rule ip untracked in iifname %s notrack; add chain ip untracked out { type filter "
		"hook output priority -300; }; add rule ip untracked out meta mark 0x%x notrack'",
		is_full ? "raise net.netfilter.nf_conntrack_max, or: " : "to save work: ", v->config->tun.name,
		(unsigned)v->mark);
	if (is_full)
		finding_add(
			v->sink, FINDING_WARNING, "conntrack",
			"the kernel's connection tracking, which sees natd's packets as well, is nearly full: %" PRId32
			" of %" PRId32 " entries; when it is full, the kernel drops them",
			count, most);
	else
		finding_add(v->sink, FINDING_OK, "conntrack",
			    "the kernel's connection tracking is in use, and sees natd's packets as well");
}

static void check_clock(struct visit *v)
{
	if ((uint64_t)time(NULL) >= CLOCK_LEAST)
		return;
	finding_remedy(v->sink, "set it, and keep it by NTP");
	finding_add(v->sink, FINDING_WARNING, "clock",
		    "this host's clock is wrong: so are the times in logs and events");
}

/* ---- configuration ---- */

static void check_timeouts(struct visit *v)
{
	const struct nat_timeouts *t = &v->setup->policy.timeouts;
	const struct {
		const char *key;
		uint32_t value, least;
		const char *rfc;
	} rows[] = {
		{"udp", t->udp, 120, "RFC 4787 REQ-5"},
		{"icmp", t->icmp, 60, "RFC 5508 REQ-2"},
		{"tcp_established", t->tcp_established, 7440, "RFC 5382 REQ-5"},
		{"tcp_opening", t->tcp_opening, 240, "RFC 5382 REQ-5"},
		{"tcp_closing", t->tcp_closing, 240, "RFC 5382 REQ-5"},
		{"unsolicited_syn", t->unsolicited_syn, 6, "RFC 5382 REQ-4"},
		{"port_reuse", t->port_reuse, 120, "RFC 6888 REQ-8"},
	};
	bool found = false;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (rows[i].value >= rows[i].least)
			continue;
		found = true;
		finding_remedy(v->sink, "set timeouts.%s to %" PRIu32 " or more", rows[i].key, rows[i].least);
		finding_add(v->sink, FINDING_WARNING, "timeouts",
			    "timeouts.%s = %" PRIu32 " s is below what %s requires", rows[i].key, rows[i].value,
			    rows[i].rfc);
	}
	if (!found)
		finding_add(v->sink, FINDING_OK, "timeouts", "timeouts are what the RFCs require");
}

/* ---- the table of checks ---- */

void doctor_host(struct visit *v, enum doctor_depth depth)
{
	static const struct {
		void (*check)(struct visit *v);
		enum doctor_depth depth;
	} checks[] = {
		{check_outside, DOCTOR_QUICK},	    {check_inside, DOCTOR_QUICK},
		{check_forwarding, DOCTOR_QUICK},   {check_rp_filter, DOCTOR_QUICK},
		{check_settings, DOCTOR_QUICK},	    {check_own_rules, DOCTOR_QUICK},
		{check_way_out, DOCTOR_FULL},	    {check_private, DOCTOR_FULL},
		{check_mtu, DOCTOR_QUICK},	    {check_ipv6, DOCTOR_FULL},
		{check_conntrack, DOCTOR_QUICK},    {check_clock, DOCTOR_QUICK},
		{doctor_ephemeral, DOCTOR_FULL},    {doctor_forward_ports, DOCTOR_QUICK},
		{doctor_host_sockets, DOCTOR_FULL}, {check_timeouts, DOCTOR_FULL},
	};

	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
		if (checks[i].depth <= depth)
			checks[i].check(v);
	}
}
