/* SPDX-License-Identifier: ISC */
/*
 * Builds the core's policy from configuration and facts. Checks that need the host's facts are here: whether outside
 * and inside share addresses (RFC 4787 REQ-7), whether the pool contains an address of the host, whether a forward can
 * work. Facts of the host are never errors, since they may change by themselves: each gives a warning, and the policy
 * is built again when they change.
 */
#include "build_policy.h"

#include <stdlib.h>
#include <string.h>

#include "build_filter.h"
#include "daemon/config/config_text.h"
#include "daemon/steering/steering.h"

struct builder {
	const struct natd_config *c;
	const struct host_facts *facts;
	struct config_report *report;
	struct policy_storage s;
	uint32_t n_inside;
	uint32_t n_broadcast;
	uint32_t n_addresses;
	uint32_t errors_before;
};

#define BUILD_ERROR(b, line, ...)   config_report_add((b)->report, CONFIG_ERROR, file_name(b), (line), __VA_ARGS__)
#define BUILD_WARNING(b, line, ...) config_report_add((b)->report, CONFIG_WARNING, file_name(b), (line), __VA_ARGS__)

static const char *file_name(const struct builder *b)
{
	return b->c->file ? b->c->file : "natd";
}

/* ---- facts ---- */

static struct nat_prefix network_of(const struct host_address *a)
{
	uint32_t mask = a->length ? UINT32_MAX << (32 - a->length) : 0;

	return (struct nat_prefix){.address = a->peer & mask, .length = a->length};
}

static bool prefixes_touch(const struct nat_prefix *a, const struct nat_prefix *b)
{
	return a->address <= text_prefix_last(b) && b->address <= text_prefix_last(a);
}

static bool prefix_contains(const struct nat_prefix *outer, const struct nat_prefix *inner)
{
	return outer->address <= inner->address && text_prefix_last(inner) <= text_prefix_last(outer);
}

static bool is_inside(const struct builder *b, uint32_t address)
{
	for (uint32_t i = 0; i < b->n_inside; i++) {
		if (address >= b->s.inside[i].address && address <= text_prefix_last(&b->s.inside[i]))
			return true;
	}
	return false;
}

static uint32_t count_inside_addresses(const struct host_facts *facts)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < facts->n_inside; i++)
		n += facts->inside[i].n_addresses;
	return n;
}

/* The first primary address of the outside interface: the kernel itself would use it as source. */
static const struct host_address *shared_address(const struct host_facts *facts)
{
	for (uint32_t i = 0; i < facts->outside.n_addresses; i++) {
		if (!facts->outside.addresses[i].is_secondary)
			return &facts->outside.addresses[i];
	}
	return NULL;
}

static uint16_t mtu_of(const struct host_interface *i)
{
	return i->mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)i->mtu;
}

/* ---- inside prefixes ---- */

static bool interface_touches(const struct host_interface *i, const struct nat_prefix *p)
{
	for (uint32_t a = 0; a < i->n_addresses; a++) {
		struct nat_prefix network = network_of(&i->addresses[a]);

		if (prefixes_touch(&network, p))
			return true;
	}
	return false;
}

/* The MTU of the interface on which the prefix lies, the smallest if there are several. A prefix behind a router of
 * the inside lies on none: then it is that of the only interface there is, or unknown. */
static uint16_t inside_mtu(const struct host_facts *facts, const struct nat_prefix *p)
{
	uint16_t best = 0;

	for (uint32_t i = 0; i < facts->n_inside; i++) {
		const struct host_interface *one = &facts->inside[i];
		bool is_smaller = best == 0 || (mtu_of(one) > 0 && mtu_of(one) < best);

		if (is_smaller && interface_touches(one, p))
			best = mtu_of(one);
	}
	return best == 0 && facts->n_inside == 1 ? mtu_of(&facts->inside[0]) : best;
}

static void copy_configured_prefixes(struct builder *b)
{
	const struct config_inside *in = &b->c->inside;

	for (b->n_inside = 0; b->n_inside < in->n_prefixes; b->n_inside++)
		b->s.inside[b->n_inside] = in->prefixes[b->n_inside];
}

/* Adds `p` unless an existing prefix contains it; existing prefixes inside `p` are removed. */
static void merge_prefix(struct builder *b, const struct nat_prefix *p)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < b->n_inside; i++) {
		if (prefix_contains(&b->s.inside[i], p))
			return;
	}
	for (uint32_t i = 0; i < b->n_inside; i++) {
		if (!prefix_contains(p, &b->s.inside[i]))
			b->s.inside[kept++] = b->s.inside[i];
	}
	b->s.inside[kept++] = *p;
	b->n_inside = kept;
}

/* Neither a /32 of the host's own nor 127.0.0.0/8 contains inside hosts. */
static bool holds_hosts(const struct host_address *a, const struct nat_prefix *network)
{
	return (a->length < 32 || a->peer != a->address) && !text_reserved(network->address, text_prefix_last(network));
}

/* An interface's address may change, so this is no error: until then nothing there counts as inside. The
 * configuration's own prefixes are compared when it is read. */
static bool is_of_pool(struct builder *b, const struct host_interface *one, const struct nat_prefix *network)
{
	const struct config_outside *out = &b->c->outside;
	char text[TEXT_RANGE_SIZE];
	char other[TEXT_RANGE_SIZE];

	for (uint32_t r = 0; r < out->n_pool; r++) {
		if (out->pool[r].first > text_prefix_last(network) || out->pool[r].last < network->address)
			continue;
		BUILD_WARNING(
			b, out->line,
			"outside.addresses: %s overlaps %s of the inside interface %s, which is left out: outside "
			"and inside must not share addresses (RFC 4787 REQ-7)",
			text_of_addresses(text, out->pool[r].first, out->pool[r].last), text_of_prefix(other, network),
			one->name);
		return true;
	}
	return false;
}

static void derive_prefixes(struct builder *b)
{
	for (uint32_t i = 0; i < b->facts->n_inside; i++) {
		const struct host_interface *one = &b->facts->inside[i];

		for (uint32_t a = 0; a < one->n_addresses; a++) {
			struct nat_prefix network = network_of(&one->addresses[a]);

			if (holds_hosts(&one->addresses[a], &network) && !is_of_pool(b, one, &network))
				merge_prefix(b, &network);
		}
	}
	if (b->n_inside == 0)
		BUILD_WARNING(b, b->c->inside.line,
			      "the inside interfaces have no IPv4 prefix yet, so there are no inside hosts: give them "
			      "addresses, or set "
			      "inside.prefixes");
}

static void build_inside(struct builder *b)
{
	if (b->c->inside.n_prefixes > 0)
		copy_configured_prefixes(b);
	else
		derive_prefixes(b);
	for (uint32_t i = 0; i < b->n_inside; i++)
		b->s.inside[i].mtu = inside_mtu(b->facts, &b->s.inside[i]);
}

/* ---- outside addresses ---- */

/* Keeps the list sorted. */
static void add_address_range(struct builder *b, const struct nat_address_range *range)
{
	uint32_t at = b->n_addresses++;

	for (; at > 0 && b->s.addresses[at - 1].first > range->first; at--)
		b->s.addresses[at] = b->s.addresses[at - 1];
	b->s.addresses[at] = *range;
}

static const struct config_static *static_of(const struct builder *b, uint32_t outside)
{
	for (uint32_t i = 0; i < b->c->n_statics; i++) {
		const struct config_static *s = &b->c->statics[i];

		if (outside >= s->outside.address && outside <= text_prefix_last(&s->outside))
			return s;
	}
	return NULL;
}

static void add_statics(struct builder *b)
{
	for (uint32_t i = 0; i < b->c->n_statics; i++) {
		const struct config_static *s = &b->c->statics[i];
		struct nat_address_range range = {.first = s->outside.address,
						  .last = text_prefix_last(&s->outside),
						  .inside = s->inside.address};

		memcpy(range.pair, s->name, sizeof(range.pair));
		add_address_range(b, &range);
	}
}

static void build_addresses(struct builder *b)
{
	const struct config_outside *out = &b->c->outside;
	const struct host_address *own = shared_address(b->facts);

	for (; b->n_addresses < out->n_pool; b->n_addresses++)
		b->s.addresses[b->n_addresses] = out->pool[b->n_addresses];
	add_statics(b);
	if (!out->share_interface_address)
		return;
	if (own && static_of(b, own->address))
		BUILD_ERROR(b, static_of(b, own->address)->line,
			    "static.outside holds the address of %s, which natd shares with the host: leave it out, or "
			    "name "
			    "pool addresses in outside.addresses",
			    out->interface);
	else if (own)
		add_address_range(
			b, &(struct nat_address_range){.first = own->address, .last = own->address, .shared = true});
	else
		BUILD_WARNING(b, out->line, "%s has no IPv4 address yet, so there is none to share", out->interface);
}

static bool is_outside_address(const struct builder *b, uint32_t address)
{
	for (uint32_t i = 0; i < b->n_addresses; i++) {
		if (address >= b->s.addresses[i].first && address <= b->s.addresses[i].last)
			return true;
	}
	return false;
}

/* Addresses of services for inside hosts, unless they are outside addresses anyway. Several forwards may share one. */
static void build_virtual(struct builder *b)
{
	for (uint32_t i = 0; i < b->c->n_forwards; i++) {
		const struct nat_forward *f = &b->c->forwards[i];

		if (f->side != SIDE_OUTSIDE && f->address != 0 && !is_outside_address(b, f->address))
			add_address_range(b, &(struct nat_address_range){
						     .first = f->address, .last = f->address, .is_virtual = true});
	}
}

static bool pool_holds(const struct builder *b, uint32_t address)
{
	const struct config_outside *out = &b->c->outside;

	for (uint32_t i = 0; i < out->n_pool; i++) {
		if (address >= out->pool[i].first && address <= out->pool[i].last)
			return true;
	}
	return false;
}

/* ---- broadcast ---- */

static void add_broadcasts(struct builder *b, const struct host_interface *one)
{
	for (uint32_t a = 0; a < one->n_addresses; a++) {
		struct nat_prefix network = network_of(&one->addresses[a]);

		if (network.length > 30) /* RFC 3021: these have none */
			continue;
		b->s.broadcast[b->n_broadcast++] =
			(struct nat_prefix){.address = text_prefix_last(&network), .length = 32};
	}
}

static void build_broadcast(struct builder *b)
{
	add_broadcasts(b, &b->facts->outside);
	for (uint32_t i = 0; i < b->facts->n_inside; i++)
		add_broadcasts(b, &b->facts->inside[i]);
}

/* ---- contradictions ---- */

static void check_interfaces_exist(struct builder *b)
{
	if (!b->facts->outside.exists)
		BUILD_WARNING(b, b->c->outside.line, "outside.interface: %s does not exist yet",
			      b->c->outside.interface);
	for (uint32_t i = 0; i < b->facts->n_inside; i++) {
		if (!b->facts->inside[i].exists)
			BUILD_WARNING(b, b->c->inside.line, "inside.interfaces: %s does not exist yet",
				      b->facts->inside[i].name);
	}
}

/* Facts of the host may change by themselves (an address that moves with VRRP, a network about to be renumbered):
 * they are warnings, and the policy follows when they change. RFC 4787 REQ-7: of overlapping addresses the inside
 * wins. */
static void check_outside_network(struct builder *b)
{
	char text[TEXT_RANGE_SIZE];
	char other[TEXT_RANGE_SIZE];

	for (uint32_t a = 0; a < b->facts->outside.n_addresses; a++) {
		struct nat_prefix network = network_of(&b->facts->outside.addresses[a]);

		for (uint32_t i = 0; i < b->n_inside; i++) {
			if (prefixes_touch(&network, &b->s.inside[i]))
				BUILD_WARNING(
					b, b->c->inside.line,
					"the network of %s, %s, overlaps the inside prefix %s: outside hosts with "
					"those addresses are out of reach (RFC 4787 REQ-7); renumber one of them",
					b->c->outside.interface, text_of_prefix(text, &network),
					text_of_prefix(other, &b->s.inside[i]));
		}
	}
}

static void check_own_addresses(struct builder *b, const struct host_interface *one)
{
	char text[TEXT_ADDRESS_SIZE];

	for (uint32_t a = 0; a < one->n_addresses; a++) {
		if (pool_holds(b, one->addresses[a].address))
			BUILD_WARNING(b, b->c->outside.line,
				      "outside.addresses: %s belongs to this host (%s): leave it out of the pool, or "
				      "share it by writing "
				      "\"interface\" instead",
				      text_of_address(text, one->addresses[a].address), one->name);
		if (static_of(b, one->addresses[a].address))
			BUILD_WARNING(b, static_of(b, one->addresses[a].address)->line,
				      "static.outside: %s belongs to this host (%s), which then gets none of its "
				      "packets: leave "
				      "it out of the pair",
				      text_of_address(text, one->addresses[a].address), one->name);
	}
}

static void check_pool(struct builder *b)
{
	char text[TEXT_ADDRESS_SIZE];

	check_own_addresses(b, &b->facts->outside);
	for (uint32_t i = 0; i < b->facts->n_inside; i++)
		check_own_addresses(b, &b->facts->inside[i]);
	for (uint32_t i = 0; i < b->n_broadcast; i++) {
		uint32_t address = b->s.broadcast[i].address;

		if (pool_holds(b, address))
			BUILD_WARNING(b, b->c->outside.line,
				      "outside.addresses: %s is the broadcast address of a network of this host: leave "
				      "it out",
				      text_of_address(text, address));
	}
}

static void check_exempt(struct builder *b)
{
	const struct config_inside *in = &b->c->inside;
	const struct host_address *own = shared_address(b->facts);
	struct nat_prefix p = {.address = own ? own->address : 0, .length = 32};
	char text[TEXT_RANGE_SIZE];
	char other[TEXT_RANGE_SIZE];

	for (uint32_t i = 0; own && b->c->outside.share_interface_address && i < in->n_exempt; i++) {
		if (prefix_contains(&in->exempt[i], &p))
			BUILD_WARNING(b, in->line,
				      "inside.exempt: %s holds %s, the outside address: inside hosts cannot reach "
				      "forwards by it",
				      text_of_prefix(text, &in->exempt[i]), text_of_prefix(other, &p));
	}
}

static bool is_own_inside_address(const struct host_facts *facts, uint32_t address)
{
	for (uint32_t i = 0; i < facts->n_inside; i++) {
		for (uint32_t a = 0; a < facts->inside[i].n_addresses; a++) {
			if (facts->inside[i].addresses[a].address == address)
				return true;
		}
	}
	return false;
}

static void check_target(struct builder *b, const struct nat_forward *f, uint32_t to, uint32_t line)
{
	char text[TEXT_ADDRESS_SIZE];

	if (b->n_inside > 0 && !is_inside(b, to))
		BUILD_WARNING(b, line, "forward \"%s\" leads nowhere: %s is in no inside prefix at present", f->name,
			      text_of_address(text, to));
	if (is_own_inside_address(b->facts, to))
		BUILD_WARNING(b, line,
			      "forward \"%s\" leads to %s, which is this host: what the host itself answers is not "
			      "translated; open "
			      "the port on its outside address instead",
			      f->name, text_of_address(text, to));
}

static void check_forward(struct builder *b, const struct nat_forward *f, uint32_t line)
{
	char text[TEXT_ADDRESS_SIZE];

	if (f->address && b->n_addresses > 0 && !is_outside_address(b, f->address))
		BUILD_WARNING(b, line, "forward \"%s\" takes nothing: %s is no outside address of natd at present",
			      f->name, text_of_address(text, f->address));
	for (uint32_t i = 0; i < nat_forward_targets(f); i++)
		check_target(b, f, nat_forward_target(f, i).address, line);
}

static void check_forwards(struct builder *b)
{
	for (uint32_t i = 0; i < b->c->n_forwards; i++)
		check_forward(b, &b->c->forwards[i], b->c->forward_lines ? b->c->forward_lines[i] : 0);
}

/* ---- the whole policy ---- */

static bool allocate(struct builder *b)
{
	uint32_t n_inside = count_inside_addresses(b->facts) + b->c->inside.n_prefixes;
	uint32_t n_broadcast = count_inside_addresses(b->facts) + b->facts->outside.n_addresses;

	b->s.inside = calloc((size_t)n_inside + 1, sizeof(*b->s.inside));
	b->s.broadcast = calloc((size_t)n_broadcast + 1, sizeof(*b->s.broadcast));
	b->s.addresses =
		calloc((size_t)b->c->outside.n_pool + b->c->n_statics + b->c->n_forwards + 1, sizeof(*b->s.addresses));
	if (b->s.inside && b->s.broadcast && b->s.addresses && filter_build(b->c, b->facts, &b->s))
		return true;
	BUILD_ERROR(b, 0, "out of memory");
	return false;
}

/* What natd may use of a shared address, without what the host needs for its own connections. Blocks are cut from the
 * ports of the configuration, and stay so. */
static void set_shared_ports(struct builder *b, struct nat_policy *out)
{
	const struct nat_range *given = config_port_ranges(b->c, true, &out->n_shared_ports);
	const struct nat_range *host = &b->facts->ephemeral;

	out->shared_ports = given;
	if (!b->c->outside.share_interface_address || b->c->routing != ROUTING_MANAGED || host->last == 0 ||
	    b->c->translation.allocation != ALLOCATION_PORT)
		return;
	b->s.shared_ports = calloc((size_t)out->n_shared_ports + 1, sizeof(*given));
	if (!b->s.shared_ports) {
		BUILD_ERROR(b, 0, "out of memory");
		return;
	}
	memcpy(b->s.shared_ports, given, out->n_shared_ports * sizeof(*given));
	out->n_shared_ports = steering_spare(b->s.shared_ports, out->n_shared_ports, host);
	out->shared_ports = b->s.shared_ports;
}

static void set_lists(const struct builder *b, struct nat_policy *out)
{
	out->inside = b->s.inside;
	out->n_inside = b->n_inside;
	out->exempt = b->c->inside.exempt;
	out->n_exempt = b->c->inside.n_exempt;
	out->broadcast = b->s.broadcast;
	out->n_broadcast = b->n_broadcast;
	out->addresses = b->s.addresses;
	out->n_addresses = b->n_addresses;
	out->pool_ports = config_port_ranges(b->c, false, &out->n_pool_ports);
	out->forwards = b->c->forwards;
	out->n_forwards = b->c->n_forwards;
	out->classes = b->c->classes;
	out->n_classes = b->c->n_classes;
}

/* With routing = "none" the administrator's rules may bring every protocol to natd. */
void policy_set_refused(const struct natd_config *c, bool is_exact, struct nat_policy *out)
{
	memset(out->shared_refused, 0, sizeof(out->shared_refused));
	for (unsigned i = 0; c->routing == ROUTING_MANAGED && !is_exact && i < 256; i++)
		out->shared_refused[i / 64] |= (uint64_t)!steering_is_steered((uint8_t)i) << i % 64;
}

static void set_scalars(const struct builder *b, struct nat_policy *out)
{
	const struct config_translation *t = &b->c->translation;

	out->mapping = t->mapping;
	out->filtering = t->filtering;
	out->unsolicited = b->c->outside.unsolicited;
	out->port_selection = t->port_selection;
	out->pooling = t->pooling;
	out->allocation = t->allocation;
	out->blocks = b->c->blocks;
	out->other_protocols = t->other_protocols;
	out->exhausted_icmp = t->exhausted_icmp;
	out->hairpinning = t->hairpinning;
	out->port_parity = t->port_parity;
	out->link_local = t->link_local;
	out->mss_clamp = t->mss_clamp;
	out->outside_mtu = mtu_of(&b->facts->outside);
	out->tun_mtu = (uint16_t)b->c->tun.mtu;
	out->timeouts = b->c->timeouts;
	out->limits = b->c->limits;
	for (uint32_t i = 0; i < b->facts->n_inside && out->icmp_source == 0; i++) {
		if (b->facts->inside[i].n_addresses > 0)
			out->icmp_source = b->facts->inside[i].addresses[0].address;
	}
}

bool policy_build(const struct natd_config *c, const struct host_facts *facts, struct nat_policy *out,
		  struct policy_storage *s, struct config_report *report)
{
	static void (*const steps[])(struct builder * b) = {
		check_interfaces_exist, build_inside, build_addresses, build_virtual,  build_broadcast,
		check_outside_network,	check_pool,   check_exempt,    check_forwards,
	};
	struct builder b = {.c = c, .facts = facts, .report = report, .errors_before = report->n_errors};

	bool has_memory = allocate(&b);

	for (size_t i = 0; has_memory && i < sizeof(steps) / sizeof(steps[0]); i++)
		steps[i](&b);
	memset(out, 0, sizeof(*out));
	if (has_memory)
		set_shared_ports(&b, out);
	policy_storage_fini(s);
	*s = b.s;
	set_scalars(&b, out);
	set_lists(&b, out);
	policy_set_refused(c, false, out);
	out->filter = s->filter;
	return report->n_errors == b.errors_before;
}

void policy_storage_fini(struct policy_storage *s)
{
	free(s->inside);
	free(s->broadcast);
	free(s->addresses);
	free(s->shared_ports);
	filter_build_fini(s);
	memset(s, 0, sizeof(*s));
}
