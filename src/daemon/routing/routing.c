/* SPDX-License-Identifier: ISC */
/*
 * Managed routing: applies the plan to the kernel by difference, and removes it.
 *
 * Theory of operation: nothing is stored about rules, routes and neighbours. Each call reads the kernel's current state
 * (routing_present.c), adds the missing objects of the plan, in the plan's order, then removes objects with natd's mark
 * that are not wanted, in the reverse order. So a reload, a changed address, the remains of a crash and changes by
 * other programs are one case. Only the settings under /proc/sys need a memory: their original values are written to
 * the state file before the first of them is changed.
 *
 * At no moment do the rules let inside traffic out untranslated: refusals are added first and removed last, and
 * forwarding is switched on last and off first. With routing_on_stop = "closed", inside interfaces that forwarded
 * before natd do not forward after the stop; without inside interfaces the refusals by prefix stay.
 *
 * The `local` rule: its copy (ROUTING_PREF_LOCAL) is added before the one at preference 0 is removed, and removed after
 * that one is back, so the host reaches its own addresses at every moment. The copy carries the kernel's mark:
 * systemd-networkd removes rules with other marks when it starts, and a host without the rule reaches nothing. Several
 * natds share the copy; the last one to stop restores the original.
 */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "routing_private.h"

enum {
	/* packets that wait while natd restarts: 50 ms at 160,000 a second; under mere overload they wait 16 ms at
	 * natd's half a million a second */
	TUN_QUEUE_LEN = 8192,
	TUN_MTU_DEFAULT = 1500, /* used without an outside interface */
	TUN_MTU_MIN = 68,	/* RFC 791 */
	TUN_MTU_MAX = 65535,
};

/* ---- create and destroy ---- */

struct routing *routing_create(struct netlink *nl, const char *state_path)
{
	struct routing *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->nl = nl;
	r->claim_fd = -1;
	if (state_path) {
		r->state_path = strdup(state_path);
		if (!r->state_path) {
			free(r);
			return NULL;
		}
		(void)sysctl_state_load(state_path, &r->state);
	}
	return r;
}

void routing_destroy(struct routing *r)
{
	if (!r)
		return;
	routing_place_release(r);
	routing_plan_fini(&r->plan);
	routing_present_fini(&r->present);
	free(r->state_path);
	free(r);
}

const char *routing_error(const struct routing *r)
{
	return r->error;
}

void routing_set_steered(struct routing *r, bool by_programs)
{
	r->is_steered = by_programs;
}

uint32_t routing_changes(const struct routing *r)
{
	return r->changes;
}

uint32_t routing_mark(const struct routing *r)
{
	return r->has_place ? ROUTING_MARK + r->place.slot : 0;
}

uint32_t routing_table(const struct routing *r)
{
	return r->place.table;
}

int routing_fail(struct routing *r, int err, const char *format, ...)
{
	va_list ap;

	if (r->error[0])
		return err;
	va_start(ap, format);
	vsnprintf(r->error, sizeof(r->error), format, ap);
	va_end(ap);
	return err;
}

const char *routing_hint(int err)
{
	if (err == -EPERM || err == -EACCES)
		return ": natd needs CAP_NET_ADMIN in this network namespace";
	if (err == -EROFS)
		return ": /proc/sys is read-only here; make it writable (systemd: ProtectKernelTunables=no), or set it "
		       "from outside (containers: docker run --sysctl)";
	if (err == -EOPNOTSUPP || err == -EAFNOSUPPORT)
		return ": the kernel lacks policy routing (CONFIG_IP_MULTIPLE_TABLES) or is older than 4.17";
	return "";
}

/* Evaluates a netlink call: counts the change, or stores the error. */
static int changed(struct routing *r, int rc)
{
	if (rc < 0)
		return routing_fail(r, rc, "%s%s", netlink_error(r->nl), routing_hint(rc));
	r->changes++;
	return 0;
}

/* ---- the local rule ---- */

static const struct netlink_rule *local_rule(struct netlink_rule *out, uint32_t preference, uint8_t protocol)
{
	memset(out, 0, sizeof(*out));
	out->priority = preference;
	out->action = NETLINK_LOOKUP;
	out->table = RT_TABLE_LOCAL;
	out->protocol = protocol;
	return out;
}

/* Adds the copy, then removes the one at preference 0. */
static int move_local(struct routing *r)
{
	struct netlink_rule rule;
	int rc = 0;

	if (!r->present.has_local_copy)
		rc = changed(r, netlink_rule_add(r->nl, local_rule(&rule, ROUTING_PREF_LOCAL, RTPROT_KERNEL)));
	if (rc < 0 || !r->present.has_local_first)
		return rc;
	r->state.local_rule_moved = true;
	r->state.local_rule_protocol = r->present.local_protocol;
	rc = routing_state_store(r);
	if (rc < 0)
		return rc;
	return changed(r, netlink_rule_delete(r->nl, local_rule(&rule, 0, r->present.local_protocol)));
}

/* Restores it and removes the copy. A host without any `local` rule is lost, so this happens even if the state is
 * gone. */
static int restore_local(struct routing *r)
{
	const struct routing_present *p = &r->present;
	uint8_t protocol = r->state.local_rule_moved ? r->state.local_rule_protocol : RTPROT_KERNEL;
	bool is_needed = r->state.local_rule_moved || p->has_local_copy;
	struct netlink_rule rule;
	int rc = 0;

	if (p->has_others) /* the last natd does it */
		return 0;
	if (!p->has_local_first && is_needed)
		rc = changed(r, netlink_rule_add(r->nl, local_rule(&rule, 0, protocol)));
	if (rc == 0 && p->has_local_copy)
		rc = changed(r, netlink_rule_delete(r->nl, local_rule(&rule, ROUTING_PREF_LOCAL, RTPROT_KERNEL)));
	return rc;
}

/* ---- applying ---- */

static int apply_rule(struct routing *r, const struct netlink_rule *rule)
{
	struct present_rule *p = routing_present_rule(&r->present, rule);

	if (p) {
		p->is_wanted = true;
		return 0;
	}
	return changed(r, netlink_rule_add(r->nl, rule));
}

static int apply_proxy(struct routing *r, uint32_t address)
{
	struct present_proxy *p = routing_present_proxy(&r->present, r->outside_index, address);

	if (p)
		p->is_wanted = true;
	if (p || !r->outside_index)
		return 0;
	return changed(r, netlink_proxy_add(r->nl, r->outside_index, address));
}

static int apply_route(struct routing *r, const struct routing_object *o)
{
	const struct netlink_route route = {.table = o->route.table,
					    .metric = o->route.closed ? ROUTING_METRIC_CLOSED : ROUTING_METRIC,
					    .out = o->route.closed ? 0 : r->tun_index,
					    .source = o->route.source,
					    .is_silent = o->route.silent,
					    .to = o->route.to};
	struct present_route *p = routing_present_route(&r->present, &route);

	if (p) {
		p->is_wanted = true;
		return 0;
	}
	return changed(r, netlink_route_add(r->nl, &route));
}

static int apply_object(struct routing *r, const struct routing_object *o)
{
	switch (o->kind) {
	case ROUTING_SYSCTL:
		return routing_setting_apply(r, o);
	case ROUTING_ROUTE:
		return apply_route(r, o);
	case ROUTING_RULE:
		return apply_rule(r, &o->rule);
	case ROUTING_LOCAL_MOVE:
		return move_local(r);
	case ROUTING_PROXY:
		return apply_proxy(r, o->proxy);
	}
	return 0;
}

/* ---- removing ---- */

/* Descending preferences, but the refusals after everything else go last. */
static int removal_order(const void *a, const void *b)
{
	const struct netlink_rule *x = &((const struct present_rule *)a)->rule;
	const struct netlink_rule *y = &((const struct present_rule *)b)->rule;
	bool last_x = routing_plan_is_last(x), last_y = routing_plan_is_last(y);

	if (last_x != last_y)
		return last_x ? 1 : -1;
	return (x->priority < y->priority) - (x->priority > y->priority);
}

/* Is it a refusal by prefix, which stays when natd stops? */
static bool stays_closed(const struct netlink_rule *rule)
{
	return routing_plan_is_last(rule) && rule->action == NETLINK_UNREACHABLE && !rule->iif[0] && rule->from.length;
}

static int remove_rules(struct routing *r, enum routing_stop how)
{
	struct routing_present *p = &r->present;
	uint32_t i;
	int rc = 0;

	if (p->n_rules > 0)
		qsort(p->rules, p->n_rules, sizeof(*p->rules), removal_order); /* no look-ups follow */
	for (i = 0; i < p->n_rules; i++) {
		if (p->rules[i].is_wanted || (how == ROUTING_STOP_CLOSED && stays_closed(&p->rules[i].rule)))
			continue;
		if (changed(r, netlink_rule_delete(r->nl, &p->rules[i].rule)) < 0)
			rc = -EIO;
	}
	return rc;
}

static int remove_proxies(struct routing *r)
{
	struct routing_present *p = &r->present;
	uint32_t i;
	int rc = 0;

	for (i = 0; i < p->n_proxies; i++) {
		if (!p->proxies[i].is_wanted &&
		    changed(r, netlink_proxy_delete(r->nl, p->proxies[i].index, p->proxies[i].address)) < 0)
			rc = -EIO;
	}
	return rc;
}

static int remove_routes(struct routing *r)
{
	uint32_t i;
	int rc = 0;

	for (i = 0; i < r->present.n_routes; i++) {
		const struct present_route *q = &r->present.routes[i];

		if (!q->is_wanted && changed(r, netlink_route_delete(r->nl, &q->route)) < 0)
			rc = -EIO;
	}
	return rc;
}

static int remove_stale(struct routing *r, enum routing_stop how)
{
	int rc = routing_settings_restore(r, how);
	int err = remove_proxies(r);

	if (rc == 0)
		rc = err;
	err = remove_rules(r, how);
	if (rc == 0)
		rc = err;
	err = remove_routes(r);
	return rc ? rc : err;
}

/* ---- the TUN ---- */

static int tun_up(struct routing *r, const struct natd_config *c, const struct host_facts *facts)
{
	uint32_t mtu = c->tun.mtu ? c->tun.mtu : facts->outside.mtu;
	char name[SYSCTL_NAME_SIZE];
	struct netlink_link link;
	int rc = netlink_link_get(r->nl, c->tun.name, &link);

	if (rc < 0)
		return routing_fail(r, rc, "%s", netlink_error(r->nl));
	r->tun_index = link.index;
	if (mtu < TUN_MTU_MIN)
		mtu = mtu ? TUN_MTU_MIN : TUN_MTU_DEFAULT;
	if (mtu > TUN_MTU_MAX)
		mtu = TUN_MTU_MAX;
	if ((link.flags & IFF_UP) && link.mtu == mtu && link.queue_len == TUN_QUEUE_LEN)
		return 0;
	if (!(link.flags & IFF_UP)) { /* no IPv6 there; a kernel without IPv6 refuses, which is as good */
		(void)netlink_link_addrgen_none(r->nl, link.index);
		snprintf(name, sizeof(name), "net/ipv6/conf/%s/disable_ipv6", c->tun.name);
		(void)sysctl_write(name, 1);
	}
	return changed(r, netlink_link_up(r->nl, link.index, mtu, TUN_QUEUE_LEN));
}

static bool is_tun_address(void *ctx, const struct netlink_address *a)
{
	bool *found = ctx;

	*found |= a->address == ROUTING_TUN_ADDRESS;
	return !*found;
}

static int tun_address(struct routing *r)
{
	const struct netlink_address a = {.index = r->tun_index,
					  .address = ROUTING_TUN_ADDRESS,
					  .peer = ROUTING_TUN_ADDRESS,
					  .length = 32,
					  .scope = RT_SCOPE_HOST};
	bool found = false;

	(void)netlink_addresses(r->nl, r->tun_index, is_tun_address, &found);
	return found ? 0 : changed(r, netlink_address_add(r->nl, &a));
}

/* ---- facts for the plan ---- */

/* Storage for what struct routing_input borrows. */
struct input_storage {
	struct netlink_link *links;
	const char **forwarding;
	struct nat_prefix *onlink;
};

static void storage_fini(struct input_storage *s)
{
	free(s->links);
	free(s->forwarding);
	free(s->onlink);
}

static bool was_forwarding(struct routing *r, const char *outside)
{
	char name[SYSCTL_NAME_SIZE];
	const struct sysctl_saved *v;
	int32_t now = 0;

	snprintf(name, sizeof(name), "net/ipv4/conf/%s/forwarding", outside);
	v = sysctl_state_find(&r->state, name);
	if (v)
		return v->original != 0;
	return sysctl_read(name, &now) == 0 && now != 0;
}

static uint32_t collect_onlink(const struct host_interface *outside, struct nat_prefix *out)
{
	uint32_t i, n = 0;

	for (i = 0; i < outside->n_addresses; i++) {
		const struct host_address *a = &outside->addresses[i];

		if (a->length > 0 && a->length < 32)
			out[n++] =
				(struct nat_prefix){.address = a->peer & ~0u << (32 - a->length), .length = a->length};
	}
	return n;
}

/* Without inside interfaces: the interfaces of the host's routes to the prefixes, each once. */
static uint32_t collect_forwarding(struct routing *r, const struct host_facts *facts, struct input_storage *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < facts->n_prefix_out; i++) {
		bool is_new = facts->prefix_out[i] != 0 && facts->prefix_out[i] != facts->outside.index;

		for (uint32_t j = 0; j < n; j++)
			is_new = is_new && s->links[j].index != facts->prefix_out[i];
		if (!is_new || netlink_link_get_index(r->nl, facts->prefix_out[i], &s->links[n]) < 0)
			continue;
		s->forwarding[n] = s->links[n].name;
		n++;
	}
	return n;
}

static bool fill_input(struct routing *r, const struct host_facts *facts, struct routing_input *in,
		       struct input_storage *s)
{
	s->links = calloc(facts->n_prefix_out + 1u, sizeof(*s->links));
	s->forwarding = calloc(facts->n_prefix_out + 1u, sizeof(*s->forwarding));
	s->onlink = calloc(facts->outside.n_addresses + 1u, sizeof(*s->onlink));
	if (!s->links || !s->forwarding || !s->onlink)
		return false;
	in->place = r->place;
	in->forwarding = s->forwarding;
	in->n_forwarding = facts->n_inside == 0 ? collect_forwarding(r, facts, s) : 0;
	in->onlink = s->onlink;
	in->n_onlink = collect_onlink(&facts->outside, s->onlink);
	in->outside_was_forwarding = was_forwarding(r, facts->outside.name);
	if (sysctl_read("net/ipv4/conf/all/rp_filter", &in->all_rp_filter) < 0)
		in->all_rp_filter = 0;
	return true;
}

static int make_plan(struct routing *r, const struct host_facts *facts, const struct steering *steering)
{
	struct routing_input in = {.steering = steering, .is_steered = r->is_steered};
	struct input_storage storage = {0};
	bool good;

	r->outside_index = facts->outside.index;
	good = fill_input(r, facts, &in, &storage) && routing_plan_make(&in, &r->plan);
	storage_fini(&storage);
	return good ? 0 : routing_fail(r, -ENOMEM, "out of memory");
}

/* ---- apply and restore ---- */

static int apply_plan(struct routing *r)
{
	int rc = routing_present_read(r->nl, &r->place, &r->present);
	uint32_t i;

	if (rc < 0)
		return routing_fail(r, rc, "%s%s", netlink_error(r->nl), routing_hint(rc));
	rc = routing_settings_remember(r);
	for (i = 0; rc == 0 && i < r->plan.n_objects; i++)
		rc = apply_object(r, &r->plan.objects[i]);
	return rc < 0 ? rc : remove_stale(r, ROUTING_STOP_RESTORE);
}

int routing_apply(struct routing *r, const struct natd_config *c, const struct host_facts *facts,
		  const struct steering *steering)
{
	struct steering_ports reserved;
	uint32_t changes;
	int rc;

	r->error[0] = '\0';
	r->changes = 0;
	rc = tun_up(r, c, facts);
	if (rc == 0)
		rc = routing_place_take(r, c->routing_table);
	if (rc < 0)
		return rc;
	if (c->routing == ROUTING_NONE) {
		changes = r->changes;
		rc = routing_restore(r, c->routing_on_stop); /* left by an earlier configuration or a crash */
		r->changes += changes;
		return rc;
	}
	rc = tun_address(r);
	if (rc == 0)
		rc = make_plan(r, facts, steering);
	if (rc == 0)
		rc = apply_plan(r);
	if (rc == 0) {
		steering_reserved(steering, &reserved);
		rc = routing_reserve(r, &reserved);
	}
	return rc;
}

int routing_restore(struct routing *r, enum routing_stop how)
{
	int rc, err;

	r->error[0] = '\0';
	r->changes = 0;
	routing_plan_fini(&r->plan);
	rc = routing_present_read(r->nl, &r->place, &r->present);
	if (rc < 0)
		return routing_fail(r, rc, "%s%s", netlink_error(r->nl), routing_hint(rc));
	/* Forwarding is switched off before anything that steers is removed. */
	rc = routing_settings_restore(r, how);
	err = restore_local(r);
	if (rc == 0)
		rc = err;
	if (err == 0) { /* never remove the copy from a host that has no other */
		err = remove_stale(r, how);
		rc = rc ? rc : err;
	}
	err = routing_unreserve(r);
	rc = rc ? rc : err;
	r->state.local_rule_moved = false;
	if (rc == 0 && r->state.n_saved > 0) /* some stay closed */
		rc = routing_state_store(r);
	else if (rc == 0 && r->state_path && unlink(r->state_path) < 0 && errno != ENOENT)
		rc = routing_fail(r, -errno, "cannot remove %s: %s", r->state_path, strerror(errno));
	return rc;
}
