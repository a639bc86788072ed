/* SPDX-License-Identifier: ISC */
/*
 * The doctor: a table of checks of host and configuration. Each reports one finding that all is well, or one for
 * each fault. They read little, and run no other program.
 */
#include "doctor.h"

#include <inttypes.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.h"
#include "daemon/base/loop.h"
#include "daemon/config/config_text.h"
#include "daemon/kernel/sysctl.h"
#include "daemon/sandbox/privs.h"

enum { FULL_PERCENT = 80 };

struct visit {
	const struct control *c;
	const struct natd_config *config;
	const struct setup *setup;
	struct finding_sink *sink;
};

/* ---- the host's interfaces ---- */

static void check_tun(struct visit *v)
{
	struct netlink_link link;

	if (!path_has_tun(v->c->path) || netlink_link_get(v->c->netlink, v->config->tun.name, &link) < 0) {
		finding_remedy(v->sink, "natd recreates it within a second; if it does not, see natd's log");
		finding_add(v->sink, FINDING_ERROR, "tun-device", "TUN device %s is gone", v->config->tun.name);
	} else if (!(link.flags & IFF_UP)) {
		finding_remedy(v->sink, "ip link set %s up", link.name);
		finding_add(v->sink, FINDING_ERROR, "tun-device", "TUN device %s is down", link.name);
	} else if (v->setup->policy.outside_mtu && link.mtu < v->setup->policy.outside_mtu) {
		finding_remedy(v->sink, "set tun.mtu to 0, then it follows the outside interface");
		finding_add(v->sink, FINDING_WARNING, "mtu", "MTU of %s (%" PRIu32 ") is below that of %s (%u)",
			    link.name, link.mtu, v->config->outside.interface, v->setup->policy.outside_mtu);
	} else {
		finding_add(v->sink, FINDING_OK, "tun-device", "TUN device %s is up, MTU %" PRIu32, link.name,
			    link.mtu);
	}
}

static void check_outside(struct visit *v)
{
	const struct host_interface *i = &v->setup->facts.outside;
	char address[TEXT_ADDRESS_SIZE];

	if (!i->exists) {
		finding_remedy(
			v->sink,
			"make the interface, or name the right one in outside.interface (natd notices by itself)");
		finding_add(v->sink, FINDING_ERROR, "outside-interface", "outside interface %s does not exist",
			    i->name);
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

static void check_inside(struct visit *v)
{
	const struct host_facts *f = &v->setup->facts;

	for (uint32_t i = 0; i < f->n_inside; i++) {
		if (f->inside[i].exists && f->inside[i].n_addresses > 0)
			continue;
		finding_remedy(v->sink, "give it an address, and make it the inside hosts' default gateway");
		finding_add(v->sink, FINDING_WARNING, "inside-interface", "inside interface %s %s", f->inside[i].name,
			    f->inside[i].exists ? "has no address" : "does not exist");
	}
	if (v->setup->policy.n_inside == 0) {
		finding_remedy(v->sink, "set inside.prefixes, or give the inside interfaces addresses");
		finding_add(v->sink, FINDING_ERROR, "inside-prefixes",
			    "no inside prefix is known: every packet from inside is refused");
	} else {
		finding_add(v->sink, FINDING_OK, "inside-prefixes", "%" PRIu32 " inside prefix%s",
			    v->setup->policy.n_inside, v->setup->policy.n_inside == 1 ? "" : "es");
	}
}

/* ---- routing ---- */

static void check_forwarding(struct visit *v, const char *interface)
{
	char name[SYSCTL_NAME_SIZE];
	int32_t value;

	snprintf(name, sizeof(name), "net/ipv4/conf/%.15s/forwarding", interface);
	if (sysctl_read(name, &value) < 0 || value != 0)
		return;
	finding_remedy(v->sink, "sysctl -w net.ipv4.conf.%s.forwarding=1, or set routing = \"managed\"", interface);
	finding_add(v->sink, FINDING_ERROR, "forwarding", "%s does not forward", interface);
}

static void check_rp_filter(struct visit *v)
{
	char name[SYSCTL_NAME_SIZE];
	int32_t all = 0, own = 0;

	snprintf(name, sizeof(name), "net/ipv4/conf/%.15s/rp_filter", v->config->tun.name);
	sysctl_read("net/ipv4/conf/all/rp_filter", &all);
	/* The larger of the two counts: 1 is strict, 2 loose. */
	if (sysctl_read(name, &own) < 0 || (all > own ? all : own) != 1)
		return;
	finding_remedy(v->sink, "sysctl -w net.ipv4.conf.%s.rp_filter=2", v->config->tun.name);
	finding_add(v->sink, FINDING_WARNING, "rp-filter",
		    "strict reverse path filter on %s: what natd hands back to the host is dropped",
		    v->config->tun.name);
}

static void check_routing(struct visit *v)
{
	if (!v->c->is_routed) {
		finding_remedy(v->sink, "%s", routing_error(v->c->routing));
		finding_add(v->sink, FINDING_ERROR, "routing", "routing is not in place");
	} else {
		finding_add(v->sink, FINDING_OK, "routing", "routing is in place (%s)",
			    v->config->routing == ROUTING_MANAGED ? "managed" : "none: it is yours");
	}
	check_forwarding(v, v->config->tun.name);
	if (v->setup->facts.outside.exists)
		check_forwarding(v, v->config->outside.interface);
	for (uint32_t i = 0; i < v->setup->facts.n_inside; i++) {
		if (v->setup->facts.inside[i].exists)
			check_forwarding(v, v->setup->facts.inside[i].name);
	}
	check_rp_filter(v);
}

static void check_way_out(struct visit *v)
{
	const uint32_t somewhere = 0xc6336401; /* 198.51.100.1, RFC 5737: only the default route leads there */
	struct netlink_way way;
	char name[IF_NAMESIZE] = "?";

	if (netlink_way_to(v->c->netlink, somewhere, &way) < 0 || way.out == 0) {
		finding_remedy(v->sink, "ip route add default via GATEWAY dev %s", v->config->outside.interface);
		finding_add(v->sink, FINDING_WARNING, "default-route", "the host has no default route");
		return;
	}
	if_indextoname((unsigned)way.out, name);
	if (strcmp(name, v->config->outside.interface) == 0) {
		finding_add(v->sink, FINDING_OK, "default-route", "the default route leaves by %s", name);
		return;
	}
	finding_remedy(
		v->sink,
		"translated packets leave where the host's routes lead: name that interface, or change the route");
	finding_add(v->sink, FINDING_WARNING, "default-route",
		    "the default route leaves by %s, outside.interface is %s", name, v->config->outside.interface);
}

/* ---- other translators ---- */

/* Does the file exist and hold anything? */
static bool has_content(const char *path)
{
	FILE *f = fopen(path, "re");
	int c = f ? fgetc(f) : EOF;

	if (f)
		fclose(f);
	return c != EOF;
}

/* Does a line of the file begin with `word`? */
static bool has_line(const char *path, const char *word)
{
	char line[256];
	bool found = false;
	FILE *f = fopen(path, "re");

	while (f && !found && fgets(line, sizeof(line), f))
		found = strncmp(line, word, strlen(word)) == 0;
	if (f)
		fclose(f);
	return found;
}

static void check_netfilter(struct visit *v)
{
	if (has_line("/proc/net/ip_tables_names", "nat")) {
		finding_remedy(
			v->sink,
			"iptables -t nat -S: nothing there may match inside traffic; with natd it is not needed");
		finding_add(v->sink, FINDING_WARNING, "other-nat", "iptables' nat table is in use on this host");
	} else if (has_content("/proc/net/nf_conntrack")) {
		finding_remedy(
			v->sink,
			"nft list ruleset: no nat chain may match inside traffic; a \"notrack\" rule for %s saves work",
			v->config->tun.name);
		finding_add(v->sink, FINDING_WARNING, "other-nat",
			    "the kernel's connection tracking is in use on this host");
	} else {
		finding_add(v->sink, FINDING_OK, "other-nat", "no sign of another translator");
	}
}

/* ---- ports ---- */

static bool overlap(const struct nat_range *a, const struct nat_range *b)
{
	return a->first <= b->last && b->first <= a->last;
}

static void check_ephemeral(struct visit *v)
{
	const struct nat_policy *p = &v->setup->policy;
	struct nat_range host;
	char own[TEXT_RANGE_SIZE], theirs[TEXT_RANGE_SIZE];

	if (!setup_is_shared(v->setup) || !hostports_ephemeral(&host))
		return;
	for (uint32_t i = 0; i < p->n_shared_ports; i++) {
		const struct nat_range *r = &p->shared_ports[i];

		if (!overlap(r, &host) || hostports_is_reserved(r))
			continue;
		finding_remedy(v->sink, "sysctl -w net.ipv4.ip_local_reserved_ports=%s, or choose other outside.ports",
			       text_of_ports(own, *r));
		finding_add(v->sink, FINDING_WARNING, "host-ports",
			    "natd's ports %s overlap those of the host's own connections (%s)", text_of_ports(own, *r),
			    text_of_ports(theirs, host));
		return;
	}
	finding_add(v->sink, FINDING_OK, "host-ports",
		    "natd's ports are apart from those of the host's own connections");
}

/* Ports of the host's sockets within natd's own. */
static uint32_t count_within(const struct steering_ports *open, const struct nat_policy *p)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n_shared_ports; i++) {
		for (uint32_t port = p->shared_ports[i].first; port <= p->shared_ports[i].last; port++)
			n += steering_port_is_set(open, (uint16_t)port);
	}
	return n;
}

static void check_host_sockets(struct visit *v)
{
	const struct hostports *h = &v->setup->ports;
	uint32_t count = count_within(&h->tcp, &v->setup->policy) + count_within(&h->udp, &v->setup->policy);

	if (!setup_is_shared(v->setup) || count == 0)
		return;
	finding_add(v->sink, FINDING_OK, "host-sockets",
		    "the host itself has sockets on %" PRIu32 " of natd's ports: natd leaves those alone", count);
}

static void check_usage(struct visit *v)
{
	const struct alarm *sessions = &v->c->alarms[ALARM_SESSIONS], *ports = &v->c->alarms[ALARM_PORTS];

	if (ports->is_raised) {
		v->sink->percent = ports->percent;
		finding_remedy(v->sink, "widen outside.ports, add addresses, or set limits.ports_per_host");
		finding_add(v->sink, FINDING_WARNING, "ports", "%" PRIu32 " %% of an address's ports are in use",
			    ports->percent);
	}
	if (sessions->is_raised) {
		v->sink->percent = sessions->percent;
		finding_remedy(v->sink, "raise limits.sessions, or set limits.sessions_per_host");
	}
	finding_add(v->sink, sessions->is_raised ? FINDING_WARNING : FINDING_OK, "sessions",
		    "%" PRIu32 " of %" PRIu32 " sessions are in use", table_session_count(nat_table(v->c->nat)),
		    v->setup->policy.limits.sessions);
}

static uint32_t count_ports(const struct nat_range *r, uint32_t n)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += (uint32_t)r[i].last - r[i].first + 1;
	return sum;
}

/* Says so when one address has few ports left; true if it did. */
static bool check_address_ports(struct visit *v, uint32_t address, uint32_t ports)
{
	const struct table *t = nat_table(v->c->nat);
	int32_t slot = table_address_slot(t, address);
	char text[TEXT_ADDRESS_SIZE];

	if (slot < 0 || ports == 0)
		return false;
	for (int c = CLASS_TCP; c <= CLASS_ICMP; c++) {
		uint64_t used = table_address_ports_used(t, (uint16_t)slot, (enum nat_class)c);

		if (used * 100 < (uint64_t)ports * FULL_PERCENT)
			continue;
		v->sink->percent = (uint32_t)(used * 100 / ports);
		finding_remedy(v->sink, "widen outside.ports, add addresses, or set limits.ports_per_host");
		finding_add(v->sink, FINDING_WARNING, "ports", "%" PRIu64 " of %" PRIu32 " ports of %s are in use",
			    used, ports, text_of_address(text, address));
		return true;
	}
	return false;
}

static void check_ports(struct visit *v)
{
	const struct nat_policy *p = &v->setup->policy;
	uint32_t shared = count_ports(p->shared_ports, p->n_shared_ports);
	uint32_t pool = count_ports(p->pool_ports, p->n_pool_ports);
	bool found = false;

	for (uint32_t i = 0; i < p->n_addresses && !found; i++) {
		const struct nat_address_range *r = &p->addresses[i];

		for (uint64_t a = r->first; a <= r->last && !found; a++)
			found = check_address_ports(v, (uint32_t)a, r->shared ? shared : pool);
	}
	if (!found && p->n_addresses > 0)
		finding_add(v->sink, FINDING_OK, "ports", "every outside address has ports left");
}

/* ---- configuration ---- */

static void check_forwards(struct visit *v)
{
	const struct nat_policy *p = &v->setup->policy;

	for (uint32_t i = 0; i < p->n_forwards; i++) {
		const struct nat_forward *f = &p->forwards[i];
		struct netlink_way way;
		char text[TEXT_ADDRESS_SIZE], name[IF_NAMESIZE] = "?";

		if (netlink_way_to(v->c->netlink, f->to, &way) < 0 || way.out == 0) {
			finding_remedy(v->sink, "add a route to it, or correct \"to\" of the forward");
			finding_add(v->sink, FINDING_WARNING, "forward-route",
				    "forward \"%s\": the host has no route to %s", f->name,
				    text_of_address(text, f->to));
			continue;
		}
		if_indextoname((unsigned)way.out, name);
		if (strcmp(name, v->config->outside.interface) != 0)
			continue;
		finding_remedy(v->sink, "add a route to it by an inside interface, or correct \"to\" of the forward");
		finding_add(v->sink, FINDING_WARNING, "forward-route",
			    "forward \"%s\": the way to %s leaves by the outside interface", f->name,
			    text_of_address(text, f->to));
	}
}

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

static void check_config_age(struct visit *v)
{
	struct stat st;

	if (stat(v->c->config_path, &st) < 0 || access(v->c->config_path, R_OK) < 0) {
		finding_remedy(v->sink, "make it readable for uid %u, or a reload will fail", (unsigned)getuid());
		finding_add(v->sink, FINDING_WARNING, "config-file", "%s cannot be read", v->c->config_path);
	} else if ((uint64_t)st.st_mtime > v->c->config_loaded_s) {
		finding_remedy(v->sink, "natctl reload");
		finding_add(v->sink, FINDING_WARNING, "config-file", "%s was changed after natd loaded it",
			    v->c->config_path);
	} else {
		finding_add(v->sink, FINDING_OK, "config-file", "%s is loaded as it stands", v->c->config_path);
	}
}

/* ---- the process ---- */

static void check_rights(struct visit *v)
{
	if (v->config->routing == ROUTING_MANAGED && !privs_has("cap_net_admin")) {
		finding_remedy(v->sink, "start natd as root or by its systemd unit");
		finding_add(v->sink, FINDING_WARNING, "rights", "natd may no longer change routes");
	} else if (getuid() == 0) {
		finding_remedy(v->sink, "make a system user \"%s\": natd then becomes it", PRIVS_USER);
		finding_add(v->sink, FINDING_WARNING, "rights", "natd runs as uid 0");
	} else {
		finding_add(v->sink, FINDING_OK, "rights",
			    "natd runs as uid %u and may change routes, and nothing else", (unsigned)getuid());
	}
}

static void check_service(struct visit *v)
{
	if (v->c->persist->service.is_managed)
		finding_add(v->sink, FINDING_OK, "service-manager", "started by a service manager%s",
			    sdnotify_watchdog_ms(&v->c->persist->service) ? ", which watches it" : "");
	else
		finding_add(v->sink, FINDING_OK, "service-manager", "not started by a service manager");
}

void doctor_run(struct control *c, enum doctor_depth depth, struct finding_sink *sink)
{
	static const struct {
		void (*check)(struct visit *v);
		enum doctor_depth depth;
		bool reads_table;
	} checks[] = {
		{check_outside, DOCTOR_QUICK, false},	  {check_inside, DOCTOR_QUICK, false},
		{check_tun, DOCTOR_QUICK, false},	  {check_routing, DOCTOR_QUICK, false},
		{check_way_out, DOCTOR_FULL, false},	  {check_netfilter, DOCTOR_FULL, false},
		{check_usage, DOCTOR_QUICK, true},	  {check_ports, DOCTOR_FULL, true},
		{check_ephemeral, DOCTOR_FULL, false},	  {check_forwards, DOCTOR_FULL, false},
		{check_host_sockets, DOCTOR_FULL, false}, {check_timeouts, DOCTOR_FULL, false},
		{check_rights, DOCTOR_FULL, false},	  {check_config_age, DOCTOR_QUICK, false},
		{check_service, DOCTOR_FULL, false},
	};
	struct visit v = {.c = c, .config = c->setup->config, .setup = c->setup, .sink = sink};

	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
		if (checks[i].depth > depth)
			continue;
		if (!checks[i].reads_table) /* packets need not wait for netlink and files */
			loop_pause_guard(c->loop);
		checks[i].check(&v);
		loop_resume_guard(c->loop);
	}
}
