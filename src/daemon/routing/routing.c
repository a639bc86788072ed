/* SPDX-License-Identifier: ISC */
/*
 * Managed routing: makes the plan so, by difference, and undoes it.
 *
 * Theory of operation: nothing is remembered about rules, routes and neighbours; each call looks at what the
 * kernel has (routing_present.c) and adds what the plan wants and is not there, in the plan's order; then it
 * removes what carries our mark and is not wanted, in the reverse order. So a reload, a changed address, the
 * remains of a crash and somebody else's meddling are one case. Only the settings under /proc/sys need a memory:
 * what they were is written to the state file before the first of them is changed.
 *
 * At no moment is there a rule set that lets inside traffic out untranslated: what refuses is put in first and
 * taken away last (see order_of_removal()), and forwarding is switched on last and off first.
 *
 * The `local` rule: its copy (ROUTING_PREF_LOCAL) is there before the one at preference 0 goes, and goes
 * after that one is back, so the host reaches its own addresses at every moment.
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
	TUN_QUEUE_LEN = 8192,	/* packets that wait while natd restarts: 50 ms at 160,000 a second; when it is merely
				 * overloaded they wait 16 ms at its half a million a second */
	TUN_MTU_DEFAULT = 1500, /* no outside interface to learn it from */
	TUN_MTU_MIN = 68,	/* RFC 791 */
	TUN_MTU_MAX = 65535,
};

/* ---- life ---- */

struct routing *routing_create(struct netlink *nl, const char *state_path)
{
	struct routing *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->nl = nl;
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
	routing_plan_fini(&r->plan);
	routing_present_fini(&r->present);
	free(r->state_path);
	free(r);
}

const char *routing_error(const struct routing *r)
{
	return r->error;
}

uint32_t routing_changes(const struct routing *r)
{
	return r->changes;
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
		       "by hand";
	if (err == -EOPNOTSUPP || err == -EAFNOSUPPORT)
		return ": the kernel lacks policy routing (CONFIG_IP_MULTIPLE_TABLES) or is older than 4.17";
	return "";
}

/* A netlink call: counts the change, or takes over the error. */
static int changed(struct routing *r, int rc)
{
	if (rc < 0)
		return routing_fail(r, rc, "%s%s", netlink_error(r->nl), routing_hint(rc));
	r->changes++;
	return 0;
}

/* ---- the local rule ---- */

static const struct netlink_rule *local_first(struct netlink_rule *out, uint8_t protocol)
{
	memset(out, 0, sizeof(*out));
	out->action = NETLINK_LOOKUP;
	out->table = RT_TABLE_LOCAL;
	out->protocol = protocol;
	return out;
}

/* Removes the one at preference 0; the plan has just made sure that its copy is there. */
static int move_local(struct routing *r)
{
	struct netlink_rule rule;
	int rc;

	if (!r->present.has_local_first)
		return 0;
	r->state.local_rule_moved = true;
	r->state.local_rule_protocol = r->present.local_protocol;
	rc = routing_state_store(r);
	if (rc < 0)
		return rc;
	return changed(r, netlink_rule_delete(r->nl, local_first(&rule, r->present.local_protocol)));
}

/* Brings it back. A host without any `local` rule is lost, so that decides even where the state is. */
static int restore_local(struct routing *r)
{
	const struct netlink_rule copy = {.priority = ROUTING_PREF_LOCAL,
					  .action = NETLINK_LOOKUP,
					  .table = RT_TABLE_LOCAL,
					  .protocol = NETLINK_PROTOCOL};
	bool was_ours = r->state.local_rule_moved;
	uint8_t protocol = was_ours ? r->state.local_rule_protocol : RTPROT_KERNEL;
	struct netlink_rule rule, key;

	memset(&key, 0, sizeof(key));
	key.priority = copy.priority;
	key.action = copy.action;
	key.table = copy.table;
	key.protocol = copy.protocol;
	if (r->present.has_local_first)
		return 0;
	if (!was_ours && (r->present.has_local_elsewhere || !routing_present_rule(&r->present, &key)))
		return 0;
	return changed(r, netlink_rule_add(r->nl, local_first(&rule, protocol)));
}

/* ---- putting in place ---- */

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

static struct netlink_route route_closed(void)
{
	return (struct netlink_route){.table = ROUTING_TABLE, .metric = ROUTING_METRIC_CLOSED};
}

static struct netlink_route route_tun(const struct routing *r)
{
	return (struct netlink_route){.table = ROUTING_TABLE, .metric = ROUTING_METRIC, .out = r->tun_index};
}

static int apply_route(struct routing *r, struct netlink_route route)
{
	if (routing_present_route(&r->present, &route))
		return 0;
	return changed(r, netlink_route_add(r->nl, &route));
}

static int apply_object(struct routing *r, const struct routing_object *o)
{
	switch (o->kind) {
	case ROUTING_SYSCTL:
		return routing_setting_apply(r, o);
	case ROUTING_ROUTE_CLOSED:
		return apply_route(r, route_closed());
	case ROUTING_ROUTE_TUN:
		return apply_route(r, route_tun(r));
	case ROUTING_RULE:
		return apply_rule(r, &o->rule);
	case ROUTING_LOCAL_MOVE:
		return move_local(r);
	case ROUTING_PROXY:
		return apply_proxy(r, o->proxy);
	}
	return 0;
}

/* ---- taking away ---- */

/* Rules that refuse go last, the last resort of them all (ROUTING_PREF_LAST) very last: smaller goes later. */
static uint32_t order_of_removal(const struct netlink_rule *rule)
{
	return rule->priority == ROUTING_PREF_LAST ? 0 : rule->priority;
}

static int removal_order(const void *a, const void *b)
{
	uint32_t x = order_of_removal(&((const struct present_rule *)a)->rule);
	uint32_t y = order_of_removal(&((const struct present_rule *)b)->rule);

	return (x < y) - (x > y);
}

static int remove_rules(struct routing *r)
{
	struct routing_present *p = &r->present;
	uint32_t i;
	int rc = 0;

	if (p->n_rules > 0)
		qsort(p->rules, p->n_rules, sizeof(*p->rules), removal_order); /* look-ups are over */
	for (i = 0; i < p->n_rules; i++) {
		if (!p->rules[i].is_wanted && changed(r, netlink_rule_delete(r->nl, &p->rules[i].rule)) < 0)
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

enum keeping { KEEP_NOTHING, KEEP_PLANNED };

static int remove_routes(struct routing *r, enum keeping keep)
{
	const struct netlink_route closed = route_closed(), tun = route_tun(r);
	uint32_t i;
	int rc = 0;

	for (i = 0; i < r->present.n_routes; i++) {
		const struct netlink_route *q = &r->present.routes[i];
		bool is_default = q->to.length == 0;

		if (keep == KEEP_PLANNED && is_default &&
		    ((q->metric == closed.metric && q->out == 0) || (q->metric == tun.metric && q->out == tun.out)))
			continue;
		if (changed(r, netlink_route_delete(r->nl, q)) < 0)
			rc = -EIO;
	}
	return rc;
}

static int remove_stale(struct routing *r, enum keeping keep)
{
	int rc = routing_settings_restore(r);
	int err = remove_proxies(r);

	if (rc == 0)
		rc = err;
	err = remove_rules(r);
	if (rc == 0)
		rc = err;
	err = remove_routes(r, keep);
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

/* What struct routing_input borrows. */
struct input_storage {
	const char **inside;
	bool *exempt_is_outside;
	struct nat_prefix *onlink;
};

static void storage_fini(struct input_storage *s)
{
	free(s->inside);
	free(s->exempt_is_outside);
	free(s->onlink);
}

/* Does the host's way to that prefix leave by the outside interface? */
static bool leaves_outside(struct routing *r, const struct nat_prefix *p)
{
	struct netlink_way way;
	uint32_t host = p->length < 31 ? p->address + 1 : p->address;

	return r->outside_index && netlink_way_to(r->nl, host, &way) == 0 && way.out == r->outside_index;
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

static bool fill_input(struct routing *r, const struct natd_config *c, const struct host_facts *facts,
		       struct routing_input *in, struct input_storage *s)
{
	uint32_t i;

	s->inside = calloc(c->inside.n_interfaces + 1u, sizeof(*s->inside));
	s->exempt_is_outside = calloc(in->policy->n_exempt + 1u, sizeof(*s->exempt_is_outside));
	s->onlink = calloc(facts->outside.n_addresses + 1u, sizeof(*s->onlink));
	if (!s->inside || !s->exempt_is_outside || !s->onlink)
		return false;
	for (i = 0; i < c->inside.n_interfaces; i++)
		s->inside[i] = c->inside.interfaces[i];
	for (i = 0; i < in->policy->n_exempt; i++)
		s->exempt_is_outside[i] = leaves_outside(r, &in->policy->exempt[i]);
	in->tun = c->tun.name;
	in->outside = c->outside.interface;
	in->inside = s->inside;
	in->n_inside = c->inside.n_interfaces;
	in->exempt_is_outside = s->exempt_is_outside;
	in->onlink = s->onlink;
	in->n_onlink = collect_onlink(&facts->outside, s->onlink);
	in->outside_was_forwarding = was_forwarding(r, c->outside.interface);
	if (sysctl_read("net/ipv4/conf/all/rp_filter", &in->all_rp_filter) < 0)
		in->all_rp_filter = 0;
	return true;
}

static int make_plan(struct routing *r, const struct natd_config *c, const struct host_facts *facts,
		     const struct nat_policy *policy, const struct hostports *ports)
{
	struct routing_input in = {.policy = policy};
	struct input_storage storage = {0};
	struct netlink_link link;
	int rc = netlink_link_get(r->nl, c->outside.interface, &link);
	bool good;

	if (rc < 0 && rc != -ENODEV) /* not knowing is not the same as its not being there */
		return routing_fail(r, rc, "%s", netlink_error(r->nl));
	r->outside_index = rc == 0 ? link.index : 0;
	if (ports) {
		in.host_tcp = ports->tcp;
		in.n_host_tcp = ports->n_tcp;
		in.host_udp = ports->udp;
		in.n_host_udp = ports->n_udp;
	}
	good = fill_input(r, c, facts, &in, &storage) && routing_plan_make(&in, &r->plan);
	storage_fini(&storage);
	return good ? 0 : routing_fail(r, -ENOMEM, "out of memory");
}

/* ---- the three calls ---- */

static int apply_plan(struct routing *r)
{
	int rc = routing_present_read(r->nl, &r->present);
	uint32_t i;

	if (rc < 0)
		return routing_fail(r, rc, "%s%s", netlink_error(r->nl), routing_hint(rc));
	rc = routing_settings_remember(r);
	for (i = 0; rc == 0 && i < r->plan.n_objects; i++)
		rc = apply_object(r, &r->plan.objects[i]);
	return rc < 0 ? rc : remove_stale(r, KEEP_PLANNED);
}

int routing_apply(struct routing *r, const struct natd_config *c, const struct host_facts *facts,
		  const struct nat_policy *policy, const struct hostports *ports)
{
	uint32_t changes;
	int rc;

	r->error[0] = '\0';
	r->changes = 0;
	rc = tun_up(r, c, facts);
	if (rc < 0)
		return rc;
	if (c->routing == ROUTING_NONE) {
		changes = r->changes;
		rc = routing_restore(r); /* of what an earlier configuration or a crash left */
		r->changes += changes;
		return rc;
	}
	rc = tun_address(r);
	if (rc == 0)
		rc = make_plan(r, c, facts, policy, ports);
	return rc < 0 ? rc : apply_plan(r);
}

int routing_restore(struct routing *r)
{
	int rc, err;

	r->error[0] = '\0';
	r->changes = 0;
	routing_plan_fini(&r->plan);
	rc = routing_present_read(r->nl, &r->present);
	if (rc < 0)
		return routing_fail(r, rc, "%s%s", netlink_error(r->nl), routing_hint(rc));
	/* Forwarding goes off before anything that steers goes away. */
	rc = routing_settings_restore(r);
	err = restore_local(r);
	if (rc == 0)
		rc = err;
	if (err == 0) { /* never take the copy away from a host that has no other */
		err = remove_stale(r, KEEP_NOTHING);
		rc = rc ? rc : err;
	}
	if (rc == 0 && r->state_path && unlink(r->state_path) < 0 && errno != ENOENT)
		rc = routing_fail(r, -errno, "cannot remove %s: %s", r->state_path, strerror(errno));
	if (rc == 0)
		memset(&r->state, 0, sizeof(r->state));
	return rc;
}
