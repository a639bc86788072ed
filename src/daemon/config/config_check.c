/* SPDX-License-Identifier: ISC */
/*
 * Checks that need the whole file: what is missing, what overlaps, what contradicts something else. Each check is a
 * function in a list, and continues after the first fault. Lists are compared as sorted intervals, so that long ones
 * cost n log n.
 */
#include <stdlib.h>
#include <string.h>

#include "common/protocol.h"
#include "config_internal.h"
#include "config_text.h"

/* ---- sorted intervals of addresses or ports ---- */

struct interval {
	uint32_t first;
	uint32_t last;
	uint32_t line;
};

typedef const char *interval_text_fn(char out[TEXT_RANGE_SIZE], const struct interval *i);

struct intervals {
	const char *path; /* the key that they come from */
	interval_text_fn *text;
	struct interval *all; /* by first address or port */
	uint32_t n;
};

static const char *address_text(char out[TEXT_RANGE_SIZE], const struct interval *i)
{
	return text_of_addresses(out, i->first, i->last);
}

static const char *port_text(char out[TEXT_RANGE_SIZE], const struct interval *i)
{
	return text_of_ports(out, (struct nat_range){(uint16_t)i->first, (uint16_t)i->last});
}

/* The prefix from first to last. */
static const char *prefix_text(char out[TEXT_RANGE_SIZE], const struct interval *i)
{
	struct nat_prefix p = {.address = i->first, .length = 32};

	for (uint32_t size = i->last - i->first; size > 0; size >>= 1)
		p.length--;
	return text_of_prefix(out, &p);
}

static int by_first(const void *a, const void *b)
{
	const struct interval *x = a;
	const struct interval *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return (x->line > y->line) - (x->line < y->line);
}

static void sort_intervals(struct intervals *s)
{
	if (s->n > 1)
		qsort(s->all, s->n, sizeof(*s->all), by_first);
}

static struct intervals pool_intervals(struct config_loader *l)
{
	const struct config_outside *out = &l->c->outside;
	struct intervals s = {.path = "outside.addresses", .text = address_text};

	s.all = loader_alloc(l, out->n_pool, sizeof(*s.all));
	for (; s.all && s.n < out->n_pool; s.n++)
		s.all[s.n] = (struct interval){out->pool[s.n].first, out->pool[s.n].last, l->pool_lines[s.n]};
	sort_intervals(&s);
	return s;
}

static struct intervals port_intervals(struct config_loader *l)
{
	const struct config_outside *out = &l->c->outside;
	struct intervals s = {.path = "outside.ports", .text = port_text};

	s.all = loader_alloc(l, out->n_ports, sizeof(*s.all));
	for (; s.all && s.n < out->n_ports; s.n++)
		s.all[s.n] = (struct interval){out->ports[s.n].first, out->ports[s.n].last, l->port_lines[s.n]};
	sort_intervals(&s);
	return s;
}

static struct intervals prefix_intervals(struct config_loader *l, const char *path, const struct prefix_list *list)
{
	struct intervals s = {.path = path, .text = prefix_text};

	s.all = loader_alloc(l, list->n, sizeof(*s.all));
	for (; s.all && s.n < list->n; s.n++) {
		const struct nat_prefix *p = &list->prefixes[s.n];

		s.all[s.n] = (struct interval){p->address, text_prefix_last(p), list->lines[s.n]};
	}
	sort_intervals(&s);
	return s;
}

static struct intervals inside_intervals(struct config_loader *l)
{
	struct prefix_list list = {l->c->inside.prefixes, l->prefix_lines, l->c->inside.n_prefixes};

	return prefix_intervals(l, "inside.prefixes", &list);
}

static struct intervals exempt_intervals(struct config_loader *l)
{
	struct prefix_list list = {l->c->inside.exempt, l->exempt_lines, l->c->inside.n_exempt};

	return prefix_intervals(l, "inside.exempt", &list);
}

static bool intervals_hold(const struct intervals *s, uint32_t value)
{
	uint32_t low = 0;
	uint32_t high = s->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (s->all[middle].first <= value)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && value <= s->all[low - 1].last;
}

/* Of two that overlap, the later one in the file is at fault. */
static void report_overlap(struct config_loader *l, const struct intervals *s, const struct interval *a,
			   const struct interval *b)
{
	const struct interval *later = a->line > b->line ? a : b;
	const struct interval *earlier = later == a ? b : a;
	char text[TEXT_RANGE_SIZE];
	char other[TEXT_RANGE_SIZE];

	loader_error(l, later->line, "%s: %s overlaps %s (line %u): keep one of them, or make them disjoint", s->path,
		     s->text(text, later), s->text(other, earlier), earlier->line);
}

static void check_disjoint(struct config_loader *l, struct intervals s)
{
	uint32_t widest = 0;

	for (uint32_t i = 1; i < s.n; i++) {
		if (s.all[i].first <= s.all[widest].last)
			report_overlap(l, &s, &s.all[widest], &s.all[i]);
		if (s.all[i].last > s.all[widest].last)
			widest = i;
	}
	free(s.all);
}

/* ---- overlaps within a list ---- */

static void check_lists(struct config_loader *l)
{
	check_disjoint(l, pool_intervals(l));
	check_disjoint(l, port_intervals(l));
	check_disjoint(l, inside_intervals(l));
	check_disjoint(l, exempt_intervals(l));
}

/* ---- required keys ---- */

static void check_required(struct config_loader *l)
{
	if (!loader_has(l, "outside", "interface"))
		loader_error(l, loader_line(l, "outside", "interface"),
			     "outside.interface is missing: name the interface that leads outside, as in "
			     "outside = { interface = \"eth0\"; };");
	if (!loader_has(l, "inside", "interfaces") && !loader_has(l, "inside", "prefixes"))
		loader_error(l, loader_line(l, "inside", "interfaces"),
			     "inside.interfaces or inside.prefixes is missing: name the interfaces of the inside "
			     "hosts, as in "
			     "inside = { interfaces = [ \"wg0\" ]; };");
}

/* ---- interfaces ---- */

static void check_interfaces(struct config_loader *l)
{
	const struct natd_config *c = l->c;

	if (c->outside.interface[0] && strcmp(c->tun.name, c->outside.interface) == 0)
		loader_error(l, loader_line(l, "tun", "name"),
			     "tun.name: \"%s\" is outside.interface: natd's own device needs a name of its own",
			     c->tun.name);
	for (uint32_t i = 0; i < c->inside.n_interfaces; i++) {
		const char *name = c->inside.interfaces[i];

		if (strcmp(name, c->outside.interface) == 0)
			loader_error(l, l->interface_lines[i],
				     "inside.interfaces: \"%s\" is outside.interface too: it can only be on one side; "
				     "give the inside hosts an interface of their own, or a VLAN of this one",
				     name);
		if (strcmp(name, c->tun.name) == 0)
			loader_error(l, l->interface_lines[i],
				     "inside.interfaces: \"%s\" is natd's own device (tun.name): name those of the "
				     "inside hosts",
				     name);
	}
}

/* ---- addresses ---- */

static void check_inside_prefixes(struct config_loader *l)
{
	const struct config_inside *in = &l->c->inside;
	char text[TEXT_RANGE_SIZE];

	for (uint32_t i = 0; i < in->n_prefixes; i++) {
		const struct nat_prefix *p = &in->prefixes[i];
		const char *reserved = text_reserved(p->address, text_prefix_last(p));

		if (reserved)
			loader_error(l, l->prefix_lines[i],
				     "inside.prefixes: %s touches %s, which no host may use: name the inside hosts' "
				     "own prefixes",
				     text_of_prefix(text, p), reserved);
	}
	for (uint32_t i = 0; i < in->n_exempt; i++) {
		if (in->exempt[i].length == 0)
			loader_error(l, l->exempt_lines[i],
				     "inside.exempt: 0.0.0.0/0 is every destination: nothing would ever be translated");
	}
}

static void check_pool_size(struct config_loader *l)
{
	const struct config_outside *out = &l->c->outside;
	uint64_t total = out->share_interface_address;

	for (uint32_t i = 0; i < out->n_pool; i++)
		total += (uint64_t)out->pool[i].last - out->pool[i].first + 1;
	if (total > CONFIG_ADDRESSES_MAX)
		loader_error(l, loader_line(l, "outside", "addresses"),
			     "outside.addresses: %llu addresses are too many: there can be %d",
			     (unsigned long long)total, CONFIG_ADDRESSES_MAX);
}

/* Both are sorted: walks along the two, and reports overlaps. */
static void check_apart(struct config_loader *l, const struct intervals *a, const struct intervals *b, const char *why)
{
	char text[TEXT_RANGE_SIZE];
	char other[TEXT_RANGE_SIZE];
	uint32_t i = 0;
	uint32_t j = 0;

	while (i < a->n && j < b->n) {
		if (a->all[i].first <= b->all[j].last && b->all[j].first <= a->all[i].last)
			loader_error(l, a->all[i].line, "%s: %s overlaps %s of %s (line %u): %s", a->path,
				     a->text(text, &a->all[i]), b->text(other, &b->all[j]), b->path, b->all[j].line,
				     why);
		if (a->all[i].last < b->all[j].last)
			i++;
		else
			j++;
	}
}

/* The address of a service for inside hosts must not be one that natd allocates, nor a host's. With side "both" it
 * may be one of outside.addresses. */
static void check_own_address(struct config_loader *l, const struct nat_forward *f, uint32_t line,
			      const struct intervals *pool, const struct intervals *inside)
{
	char text[TEXT_ADDRESS_SIZE];

	if (f->side == SIDE_INSIDE && intervals_hold(pool, f->address))
		loader_error(l, line,
			     "forward \"%s\": %s is among outside.addresses, which the outside reaches: choose another "
			     "address, or side = \"both\"",
			     f->name, text_of_address(text, f->address));
	if (intervals_hold(inside, f->address))
		loader_error(l, line,
			     "forward \"%s\": %s is in inside.prefixes, where hosts reach it without natd: choose an "
			     "address that no host has",
			     f->name, text_of_address(text, f->address));
}

/* Includes the addresses of forwards, since the same lists answer that. */
static void check_forward_addresses(struct config_loader *l, const struct intervals *pool,
				    const struct intervals *inside)
{
	const struct natd_config *c = l->c;
	char text[TEXT_ADDRESS_SIZE];

	for (uint32_t i = 0; i < c->n_forwards; i++) {
		const struct nat_forward *f = &c->forwards[i];

		if (f->side != SIDE_OUTSIDE)
			check_own_address(l, f, c->forward_lines[i], pool, inside);
		else if (f->address && !c->outside.share_interface_address && !intervals_hold(pool, f->address))
			loader_error(
				l, c->forward_lines[i],
				"forward \"%s\": %s is not among outside.addresses: add it there, or leave address out",
				f->name, text_of_address(text, f->address));
		for (uint32_t k = 0; inside->n > 0 && k < nat_forward_targets(f); k++) {
			uint32_t to = nat_forward_target(f, k).address;

			if (!intervals_hold(inside, to))
				loader_error(l, c->forward_lines[i],
					     "forward \"%s\" leads to %s, which is in none of inside.prefixes: add its "
					     "prefix there, or correct the address",
					     f->name, text_of_address(text, to));
		}
	}
}

static void check_addresses(struct config_loader *l)
{
	struct intervals pool = pool_intervals(l);
	struct intervals inside = inside_intervals(l);
	struct intervals exempt = exempt_intervals(l);

	check_apart(l, &pool, &inside, "outside and inside must not share addresses (RFC 4787 REQ-7)");
	check_apart(l, &pool, &exempt, "packets to an exempt destination never reach natd");
	check_forward_addresses(l, &pool, &inside);
	free(pool.all);
	free(inside.all);
	free(exempt.all);
}

/* ---- ports ---- */

static void check_port_parity(struct config_loader *l)
{
	const struct config_outside *out = &l->c->outside;

	for (uint32_t i = 0; l->c->translation.port_parity && i < out->n_ports; i++) {
		if (out->ports[i].first == out->ports[i].last)
			loader_warning(l, l->port_lines[i],
				       "outside.ports: %u alone is either even or odd, so translation.port_parity "
				       "finds no port of "
				       "the other kind here: give a range of two or more",
				       out->ports[i].first);
	}
}

/* Ports from which the host itself connects: natd would take the answers. */
static void check_host_ports(struct config_loader *l)
{
	enum { LOCAL_FIRST = 32768, LOCAL_LAST = 60999 }; /* Linux's default net.ipv4.ip_local_port_range */
	const struct config_outside *out = &l->c->outside;
	char text[TEXT_RANGE_SIZE];

	for (uint32_t i = 0; out->share_interface_address && i < out->n_ports; i++) {
		if (out->ports[i].first <= LOCAL_LAST && out->ports[i].last >= LOCAL_FIRST)
			loader_warning(l, l->port_lines[i],
				       "outside.ports: %s takes ports from which the host itself connects (%d-%d, see "
				       "net.ipv4.ip_local_port_range) on the address shared with it: leave those out",
				       text_of_ports(text, out->ports[i]), LOCAL_FIRST, LOCAL_LAST);
	}
}

static int by_port(const void *a, const void *b)
{
	const struct nat_range *x = a;
	const struct nat_range *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static int by_address(const void *a, const void *b)
{
	const struct nat_address_range *x = a;
	const struct nat_address_range *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

/* Clips the user's ranges to ports that the kernel's rules can steer: those end at 65534. `ports` are sorted. */
static void clip_shared_ports(struct config_loader *l)
{
	struct config_outside *out = &l->c->outside;
	struct nat_range *last;

	out->shared_ports = loader_alloc(l, out->n_ports, sizeof(*out->shared_ports));
	if (!out->shared_ports || out->n_ports == 0)
		return;
	memcpy(out->shared_ports, out->ports, out->n_ports * sizeof(*out->ports));
	out->n_shared_ports = out->n_ports;
	last = &out->shared_ports[out->n_ports - 1];
	if (last->last < UINT16_MAX)
		return;
	if (last->first == UINT16_MAX)
		out->n_shared_ports--;
	else
		last->last--;
	if (out->n_shared_ports == 0)
		loader_error(l, loader_line(l, "outside", "ports"),
			     "outside.ports: port 65535 of an address shared with the host cannot be used: choose "
			     "lower ones");
	else
		loader_warning(l, loader_line(l, "outside", "ports"),
			       "outside.ports: port 65535 of the address shared with the host is left out: the "
			       "kernel's routing "
			       "rules end at 65534");
}

/* Must be last: it sorts the lists, and then their order is no longer that of their lines. */
static void finish_lists(struct config_loader *l)
{
	struct config_outside *out = &l->c->outside;

	if (out->n_pool > 1)
		qsort(out->pool, out->n_pool, sizeof(*out->pool), by_address);
	if (out->n_ports > 1)
		qsort(out->ports, out->n_ports, sizeof(*out->ports), by_port);
	if (out->share_interface_address && out->ports_given)
		clip_shared_ports(l);
}

/* ---- forwards and limits ---- */

static void check_forward_ports(struct config_loader *l)
{
	const struct natd_config *c = l->c;

	for (uint32_t i = 0; c->outside.share_interface_address && i < c->n_forwards; i++) {
		const struct nat_forward *f = &c->forwards[i];

		if (!nat_forward_has_ports(f) || f->ports.last < UINT16_MAX)
			continue;
		if (c->outside.n_pool == 0)
			loader_error(l, c->forward_lines[i],
				     "forward \"%s\": port 65535 of the address shared with the host cannot be "
				     "forwarded: the "
				     "kernel's routing rules end at 65534",
				     f->name);
		else if (f->address == 0)
			loader_warning(l, c->forward_lines[i],
				       "forward \"%s\": port 65535 is forwarded on the pool's addresses only: the "
				       "kernel's routing "
				       "rules for the shared one end at 65534",
				       f->name);
	}
}

static bool pool_holds(const struct natd_config *c, uint32_t address)
{
	for (uint32_t i = 0; i < c->outside.n_pool; i++) {
		if (address >= c->outside.pool[i].first && address <= c->outside.pool[i].last)
			return true;
	}
	return false;
}

/* The kernel's rules steer only few protocols of a shared address to natd. */
static void check_protocol_of_shared(struct config_loader *l, const struct nat_forward *f, uint32_t line)
{
	const struct natd_config *c = l->c;
	uint8_t number = f->protocols == 1u << CLASS_ICMP ? 1 : (uint8_t)f->ports.first;

	if (!c->outside.share_interface_address || c->routing != ROUTING_MANAGED || protocol_is_steered(number))
		return;
	if (c->outside.n_pool == 0 || (f->address != 0 && !pool_holds(c, f->address)))
		loader_error(
			l, line,
			"forward \"%s\": protocol %u of the address shared with the host stays the host's: name a "
			"pool address in outside.addresses, or set routing = \"none\" and bring it to natd by rules "
			"of your own",
			f->name, number);
	else if (f->address == 0)
		loader_warning(
			l, line,
			"forward \"%s\": protocol %u is forwarded on the pool's addresses only: of the shared one "
			"it stays the host's",
			f->name, number);
}

static void check_forward_protocols(struct config_loader *l)
{
	const struct natd_config *c = l->c;

	for (uint32_t i = 0; i < c->n_forwards; i++) {
		const struct nat_forward *f = &c->forwards[i];

		if (f->is_default || nat_forward_has_ports(f))
			continue;
		check_protocol_of_shared(l, f, c->forward_lines[i]);
		if (f->protocols == 1u << CLASS_OTHER && c->translation.other_protocols == OTHER_DROP)
			loader_error(l, c->forward_lines[i],
				     "forward \"%s\" never gets a packet: translation.other_protocols is \"drop\": set "
				     "it to \"translate\"",
				     f->name);
	}
}

/* The first and last address of a prefix belong to no host, except in /31 and /32 (RFC 3021). */
static void check_target_broadcast(struct config_loader *l, uint32_t forward, uint32_t to)
{
	const struct natd_config *c = l->c;
	char text[TEXT_ADDRESS_SIZE];
	char prefix[TEXT_RANGE_SIZE];

	for (uint32_t j = 0; j < c->inside.n_prefixes; j++) {
		const struct nat_prefix *p = &c->inside.prefixes[j];

		if (p->length > 30 || (to != p->address && to != text_prefix_last(p)))
			continue;
		loader_warning(l, c->forward_lines[forward],
			       "forward \"%s\" leads to %s, the %s address of %s: name the address of one host",
			       c->forwards[forward].name, text_of_address(text, to),
			       to == p->address ? "network" : "broadcast", text_of_prefix(prefix, p));
	}
}

static void check_forward_broadcast(struct config_loader *l)
{
	const struct natd_config *c = l->c;

	for (uint32_t i = 0; i < c->n_forwards; i++) {
		for (uint32_t k = 0; k < nat_forward_targets(&c->forwards[i]); k++)
			check_target_broadcast(l, i, nat_forward_target(&c->forwards[i], k).address);
	}
}

static void check_limits(struct config_loader *l)
{
	const struct nat_limits *m = &l->c->limits;

	if (m->sessions_per_host > m->sessions)
		loader_warning(l, loader_line(l, "limits", "sessions_per_host"),
			       "limits.sessions_per_host is %u, more than limits.sessions (%u): it has no effect",
			       m->sessions_per_host, m->sessions);
}

void config_check(struct config_loader *l)
{
	static void (*const checks[])(struct config_loader * l) = {
		check_required,
		check_interfaces,
		check_lists,
		check_inside_prefixes,
		check_pool_size,
		check_addresses,
		check_port_parity,
		check_host_ports,
		check_forward_ports,
		check_forward_protocols,
		check_forward_broadcast,
		check_limits,
		config_check_overlaps,
		finish_lists,
		config_check_allocation,
		config_check_static,
		config_check_classes,
		config_check_tlog,
		config_read_sets,
		config_read_filter,
	};

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		checks[i](l);
}
