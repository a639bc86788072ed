/* SPDX-License-Identifier: ISC */
/*
 * Looks over host and configuration: a table of checks, each of which says one thing that is well, or
 * everything that is not. What they read is small; nothing here runs another program.
 */
#include "doctor.h"

#include <inttypes.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/ctlrecord.h"
#include "control.h"
#include "daemon/config/config_text.h"
#include "daemon/kernel/sysctl.h"
#include "daemon/sandbox/privs.h"

enum { FULL_PERCENT = 80, LINE_SIZE = 384 };

struct visit {
	const struct control *c;
	const struct natd_config *config;
	const struct setup *setup;
	doctor_say_fn *say;
	void *ctx;
	char mend[LINE_SIZE]; /* for the next finding */
};

/* How to mend the next finding. */
static void mend(struct visit *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void mend(struct visit *v, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(v->mend, sizeof(v->mend), format, ap);
	va_end(ap);
}

static void find(struct visit *v, enum ctl_severity severity, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void find(struct visit *v, enum ctl_severity severity, const char *format, ...)
{
	char what[LINE_SIZE];
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	v->say(v->ctx, (int)severity, what, v->mend);
	*v->mend = '\0';
}

/* ---- the host's interfaces ---- */

static void check_tun(struct visit *v)
{
	struct netlink_link link;

	if (!path_has_tun(v->c->path) || netlink_link_get(v->c->netlink, v->config->tun.name, &link) < 0) {
		mend(v, "natd makes it anew by itself; if it does not, see natd's log");
		find(v, CTL_CHECK_FAIL, "TUN device %s is gone", v->config->tun.name);
	} else if (!(link.flags & IFF_UP)) {
		mend(v, "ip link set %s up", link.name);
		find(v, CTL_CHECK_FAIL, "TUN device %s is down", link.name);
	} else if (v->setup->policy.outside_mtu && link.mtu < v->setup->policy.outside_mtu) {
		mend(v, "set tun.mtu to 0, then it follows the outside interface");
		find(v, CTL_CHECK_WARN, "MTU of %s (%" PRIu32 ") is below that of %s (%u)", link.name, link.mtu,
		     v->config->outside.interface, v->setup->policy.outside_mtu);
	} else {
		find(v, CTL_CHECK_OK, "TUN device %s is up, MTU %" PRIu32, link.name, link.mtu);
	}
}

static void check_outside(struct visit *v)
{
	const struct host_interface *i = &v->setup->facts.outside;
	char address[TEXT_ADDRESS_SIZE];

	if (!i->exists) {
		mend(v, "make the interface, or name the right one in outside.interface (natd notices by itself)");
		find(v, CTL_CHECK_FAIL, "outside interface %s does not exist", i->name);
	} else if (v->config->outside.share_interface_address && i->n_addresses == 0) {
		mend(v, "give it an address, or list pool addresses in outside.addresses");
		find(v, CTL_CHECK_FAIL, "outside interface %s has no address", i->name);
	} else if (i->n_addresses > 0) {
		find(v, CTL_CHECK_OK, "outside interface %s has address %s", i->name,
		     text_of_address(address, i->addresses[0].address));
	} else {
		find(v, CTL_CHECK_OK, "outside interface %s is there", i->name);
	}
}

static void check_inside(struct visit *v)
{
	const struct host_facts *f = &v->setup->facts;

	for (uint32_t i = 0; i < f->n_inside; i++) {
		if (f->inside[i].exists && f->inside[i].n_addresses > 0)
			continue;
		mend(v, "give it an address, and make it the inside hosts' default gateway");
		find(v, CTL_CHECK_WARN, "inside interface %s %s", f->inside[i].name,
		     f->inside[i].exists ? "has no address" : "does not exist");
	}
	if (v->setup->policy.n_inside == 0) {
		mend(v, "set inside.prefixes, or give the inside interfaces addresses");
		find(v, CTL_CHECK_FAIL, "no inside prefix is known: every packet from inside is refused");
	} else {
		find(v, CTL_CHECK_OK, "%" PRIu32 " inside prefixes", v->setup->policy.n_inside);
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
	mend(v, "sysctl -w net.ipv4.conf.%s.forwarding=1, or set routing = \"managed\"", interface);
	find(v, CTL_CHECK_FAIL, "%s does not forward", interface);
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
	mend(v, "sysctl -w net.ipv4.conf.%s.rp_filter=2", v->config->tun.name);
	find(v, CTL_CHECK_WARN, "strict reverse path filter on %s: what natd hands back to the host is dropped",
	     v->config->tun.name);
}

static void check_routing(struct visit *v)
{
	if (!v->c->is_routed) {
		mend(v, "%s", routing_error(v->c->routing));
		find(v, CTL_CHECK_FAIL, "routing is not in place");
	} else {
		find(v, CTL_CHECK_OK, "routing is in place (%s)",
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
		mend(v, "ip route add default via GATEWAY dev %s", v->config->outside.interface);
		find(v, CTL_CHECK_WARN, "the host has no default route");
		return;
	}
	if_indextoname((unsigned)way.out, name);
	if (strcmp(name, v->config->outside.interface) == 0) {
		find(v, CTL_CHECK_OK, "the default route leaves by %s", name);
		return;
	}
	mend(v, "translated packets leave where the host's routes lead: name that interface, or change the route");
	find(v, CTL_CHECK_WARN, "the default route leaves by %s, outside.interface is %s", name,
	     v->config->outside.interface);
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
		mend(v, "iptables -t nat -S: nothing there may match inside traffic; with natd it is not needed");
		find(v, CTL_CHECK_WARN, "iptables' nat table is in use on this host");
	} else if (has_content("/proc/net/nf_conntrack")) {
		mend(v, "nft list ruleset: no nat chain may match inside traffic; a \"notrack\" rule for %s saves work",
		     v->config->tun.name);
		find(v, CTL_CHECK_WARN, "the kernel's connection tracking is in use on this host");
	} else {
		find(v, CTL_CHECK_OK, "no sign of another translator");
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
		mend(v, "sysctl -w net.ipv4.ip_local_reserved_ports=%s, or choose other outside.ports",
		     text_of_ports(own, *r));
		find(v, CTL_CHECK_WARN, "natd's ports %s overlap those of the host's own connections (%s)",
		     text_of_ports(own, *r), text_of_ports(theirs, host));
		return;
	}
	find(v, CTL_CHECK_OK, "natd's ports are apart from those of the host's own connections");
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
	find(v, CTL_CHECK_OK, "the host itself has sockets on %" PRIu32 " of natd's ports: natd leaves those alone",
	     count);
}

static void check_usage(struct visit *v)
{
	uint64_t sessions = table_session_count(nat_table(v->c->nat));
	uint64_t limit = v->setup->policy.limits.sessions;

	if (sessions * 100 >= limit * FULL_PERCENT) {
		mend(v, "raise limits.sessions, or set limits.sessions_per_host");
		find(v, CTL_CHECK_WARN, "%" PRIu64 " of %" PRIu64 " sessions are in use", sessions, limit);
	} else {
		find(v, CTL_CHECK_OK, "%" PRIu64 " of %" PRIu64 " sessions are in use", sessions, limit);
	}
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

	for (int c = CLASS_TCP; slot >= 0 && c <= CLASS_ICMP; c++) {
		uint64_t used = table_address_ports_used(t, (uint16_t)slot, (enum nat_class)c);

		if (used * 100 < (uint64_t)ports * FULL_PERCENT)
			continue;
		mend(v, "widen outside.ports, add addresses, or set limits.ports_per_host");
		find(v, CTL_CHECK_WARN, "%" PRIu64 " of %" PRIu32 " ports of %s are in use", used, ports,
		     text_of_address(text, address));
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
		find(v, CTL_CHECK_OK, "every outside address has ports left");
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
			mend(v, "add a route to it, or correct \"to\" of the forward");
			find(v, CTL_CHECK_WARN, "forward \"%s\": the host has no way to %s", f->name,
			     text_of_address(text, f->to));
			continue;
		}
		if_indextoname((unsigned)way.out, name);
		if (strcmp(name, v->config->outside.interface) != 0)
			continue;
		mend(v, "add a route to it by an inside interface, or correct \"to\" of the forward");
		find(v, CTL_CHECK_WARN, "forward \"%s\": the way to %s leaves by the outside interface", f->name,
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
		mend(v, "set timeouts.%s to %" PRIu32 " or more", rows[i].key, rows[i].least);
		find(v, CTL_CHECK_WARN, "timeouts.%s = %" PRIu32 " s is below what %s asks for", rows[i].key,
		     rows[i].value, rows[i].rfc);
	}
	if (!found)
		find(v, CTL_CHECK_OK, "time-outs are as the RFCs ask");
}

static void check_config_age(struct visit *v)
{
	struct stat st;

	if (stat(v->c->config_path, &st) < 0 || access(v->c->config_path, R_OK) < 0) {
		mend(v, "make it readable for uid %u, or a reload will fail", (unsigned)getuid());
		find(v, CTL_CHECK_WARN, "%s cannot be read", v->c->config_path);
	} else if ((uint64_t)st.st_mtime > v->c->config_loaded_s) {
		mend(v, "natctl reload");
		find(v, CTL_CHECK_WARN, "%s was changed after natd loaded it", v->c->config_path);
	} else {
		find(v, CTL_CHECK_OK, "%s is loaded as it stands", v->c->config_path);
	}
}

/* ---- the process ---- */

static void check_rights(struct visit *v)
{
	if (v->config->routing == ROUTING_MANAGED && !privs_has("cap_net_admin")) {
		mend(v, "start natd as root or by its systemd unit");
		find(v, CTL_CHECK_WARN, "natd may not change routes any more");
	} else if (getuid() == 0) {
		mend(v, "make a system user \"%s\": natd then becomes it", PRIVS_USER);
		find(v, CTL_CHECK_WARN, "natd runs as uid 0");
	} else {
		find(v, CTL_CHECK_OK, "natd runs as uid %u and may change routes, and nothing else",
		     (unsigned)getuid());
	}
}

static void check_service(struct visit *v)
{
	if (v->c->persist->service.is_managed)
		find(v, CTL_CHECK_OK, "started by a service manager%s",
		     sdnotify_watchdog_ms(&v->c->persist->service) ? ", which watches it" : "");
	else
		find(v, CTL_CHECK_OK, "not started by a service manager");
}

void doctor_run(struct control *c, enum doctor_depth depth, doctor_say_fn *say, void *ctx)
{
	static const struct {
		void (*check)(struct visit *v);
		enum doctor_depth depth;
	} checks[] = {
		{check_outside, DOCTOR_QUICK}, {check_inside, DOCTOR_QUICK},	  {check_tun, DOCTOR_QUICK},
		{check_routing, DOCTOR_QUICK}, {check_way_out, DOCTOR_FULL},	  {check_netfilter, DOCTOR_FULL},
		{check_usage, DOCTOR_QUICK},   {check_ports, DOCTOR_FULL},	  {check_ephemeral, DOCTOR_FULL},
		{check_forwards, DOCTOR_FULL}, {check_host_sockets, DOCTOR_FULL}, {check_timeouts, DOCTOR_FULL},
		{check_rights, DOCTOR_FULL},   {check_config_age, DOCTOR_QUICK},  {check_service, DOCTOR_FULL},
	};
	struct visit v = {.c = c, .config = c->setup->config, .setup = c->setup, .say = say, .ctx = ctx};

	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
		if (checks[i].depth <= depth)
			checks[i].check(&v);
	}
}
