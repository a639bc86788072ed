/* SPDX-License-Identifier: ISC */
/* Reads the kernel's routing objects that carry natd's mark. */
#include "routing_present.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "routing_plan.h"

enum { READ_ATTEMPTS = 8 }; /* for dumps that are disturbed by other programs' changes */

/* Makes room for one more of `size` bytes; false: out of memory. */
static bool grow(void **array, uint32_t n, uint32_t *room, size_t size)
{
	uint32_t wanted = *room ? *room * 2 : 64;
	void *grown;

	if (n < *room)
		return true;
	grown = realloc(*array, wanted * size);
	if (!grown)
		return false;
	*array = grown;
	*room = wanted;
	return true;
}

/* ---- rules ---- */

enum { KEY_WORDS = 7 };

/* A rule without its interface, and without the struct's padding. */
static void rule_key(const struct netlink_rule *r, uint32_t key[KEY_WORDS])
{
	key[0] = r->priority;
	key[1] = r->table;
	key[2] = (uint32_t)r->action << 24 | (uint32_t)r->protocol << 16 | (uint32_t)r->ip_proto << 8 | r->from.length;
	key[3] = r->from.address;
	key[4] = r->to.address;
	key[5] = (uint32_t)r->dport.first << 16 | r->dport.last;
	key[6] = r->mark;
}

/* Any total order will do. */
static int rule_order(const void *a, const void *b)
{
	const struct netlink_rule *x = &((const struct present_rule *)a)->rule;
	const struct netlink_rule *y = &((const struct present_rule *)b)->rule;
	uint32_t key_x[KEY_WORDS], key_y[KEY_WORDS];
	int order;

	rule_key(x, key_x);
	rule_key(y, key_y);
	order = memcmp(key_x, key_y, sizeof(key_x));
	if (order == 0)
		order = (int)x->to.length - (int)y->to.length;
	return order ? order : strncmp(x->iif, y->iif, sizeof(x->iif));
}

/* "from all lookup local", and nothing else? */
static bool is_plain_local(const struct netlink_rule *r)
{
	return r->action == NETLINK_LOOKUP && r->table == RT_TABLE_LOCAL && !r->is_foreign && !r->iif[0] &&
	       !r->from.length && !r->to.length && !r->ip_proto && !r->dport.last && !r->mark;
}

/* The plain `local` rules carry the mark of the kernel or an administrator, and all natds share them. */
static void take_local(struct routing_present *p, const struct netlink_rule *r)
{
	if (r->priority == 0) {
		p->local_protocol = r->protocol;
		p->has_local_first = true;
	} else if (r->priority == ROUTING_PREF_LOCAL) {
		p->has_local_copy = true;
	} else {
		p->has_local_elsewhere = true;
	}
}

static bool take_rule(void *ctx, const struct netlink_rule *r)
{
	struct routing_present *p = ctx;
	void *rules = p->rules;
	bool is_natds = r->protocol >= NETLINK_PROTOCOL && r->protocol <= NETLINK_PROTOCOL_LAST;

	if (is_plain_local(r) && !is_natds)
		take_local(p, r);
	p->has_others |= is_natds && r->protocol != p->place.protocol;
	if (r->protocol != p->place.protocol || r->is_foreign)
		return true;
	if (!grow(&rules, p->n_rules, &p->rules_room, sizeof(*p->rules))) {
		p->is_short = true;
		return false;
	}
	p->rules = rules;
	p->rules[p->n_rules++] = (struct present_rule){.rule = *r};
	return true;
}

static int read_rules(struct netlink *nl, struct routing_present *p)
{
	int rc;

	p->n_rules = 0;
	p->has_local_first = false;
	p->has_local_copy = false;
	p->has_local_elsewhere = false;
	p->has_others = false;
	rc = netlink_rules(nl, take_rule, p);
	if (rc == 0 && p->n_rules > 0)
		qsort(p->rules, p->n_rules, sizeof(*p->rules), rule_order);
	return rc;
}

struct present_rule *routing_present_rule(struct routing_present *p, const struct netlink_rule *r)
{
	struct present_rule key = {.rule = *r};

	return p->n_rules ? bsearch(&key, p->rules, p->n_rules, sizeof(key), rule_order) : NULL;
}

/* ---- proxy neighbours ---- */

static int proxy_order(const void *a, const void *b)
{
	const struct present_proxy *x = a, *y = b;

	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	return (x->address > y->address) - (x->address < y->address);
}

static bool take_proxy(void *ctx, int index, uint32_t address)
{
	struct routing_present *p = ctx;
	void *proxies = p->proxies;

	if (!grow(&proxies, p->n_proxies, &p->proxies_room, sizeof(*p->proxies))) {
		p->is_short = true;
		return false;
	}
	p->proxies = proxies;
	p->proxies[p->n_proxies++] = (struct present_proxy){.index = index, .address = address};
	return true;
}

static int read_proxies(struct netlink *nl, struct routing_present *p)
{
	int rc;

	p->n_proxies = 0;
	rc = netlink_proxies(nl, take_proxy, p);
	if (rc == 0 && p->n_proxies > 0)
		qsort(p->proxies, p->n_proxies, sizeof(*p->proxies), proxy_order);
	return rc;
}

struct present_proxy *routing_present_proxy(struct routing_present *p, int index, uint32_t address)
{
	struct present_proxy key = {.index = index, .address = address};

	return p->n_proxies ? bsearch(&key, p->proxies, p->n_proxies, sizeof(key), proxy_order) : NULL;
}

/* ---- routes ---- */

static int route_order(const void *a, const void *b)
{
	const struct netlink_route *x = &((const struct present_route *)a)->route;
	const struct netlink_route *y = &((const struct present_route *)b)->route;

	if (x->to.address != y->to.address)
		return x->to.address < y->to.address ? -1 : 1;
	if (x->to.length != y->to.length)
		return x->to.length < y->to.length ? -1 : 1;
	if (x->table != y->table)
		return x->table < y->table ? -1 : 1;
	if (x->metric != y->metric)
		return x->metric < y->metric ? -1 : 1;
	if (x->is_silent != y->is_silent)
		return x->is_silent ? 1 : -1;
	return (x->out > y->out) - (x->out < y->out);
}

static bool take_route(void *ctx, const struct netlink_route *r)
{
	struct routing_present *p = ctx;
	void *routes = p->routes;

	if (!grow(&routes, p->n_routes, &p->routes_room, sizeof(*p->routes))) {
		p->is_short = true;
		return false;
	}
	p->routes = routes;
	p->routes[p->n_routes++] = (struct present_route){.route = *r};
	return true;
}

static int read_routes(struct netlink *nl, struct routing_present *p)
{
	int rc = 0;

	p->n_routes = 0;
	for (uint32_t i = 0; rc == 0 && i < ROUTING_TABLES; i++)
		rc = netlink_routes(nl, p->place.table + i, take_route, p);
	if (rc == 0 && p->n_routes > 0)
		qsort(p->routes, p->n_routes, sizeof(*p->routes), route_order);
	return rc;
}

struct present_route *routing_present_route(struct routing_present *p, const struct netlink_route *r)
{
	struct present_route key = {.route = *r};

	return p->n_routes ? bsearch(&key, p->routes, p->n_routes, sizeof(key), route_order) : NULL;
}

/* ---- all objects ---- */

static int read_patiently(int (*read)(struct netlink *nl, struct routing_present *p), struct netlink *nl,
			  struct routing_present *p)
{
	int attempts = READ_ATTEMPTS;
	int rc;

	do
		rc = read(nl, p);
	while (rc == -EINTR && --attempts > 0);
	return rc;
}

int routing_present_read(struct netlink *nl, const struct routing_place *place, struct routing_present *p)
{
	int rc;

	p->place = *place;
	p->is_short = false;
	rc = read_patiently(read_rules, nl, p);
	if (rc == 0)
		rc = read_patiently(read_routes, nl, p);
	if (rc == 0)
		rc = read_patiently(read_proxies, nl, p);
	return rc == 0 && p->is_short ? -ENOMEM : rc;
}

void routing_present_fini(struct routing_present *p)
{
	free(p->rules);
	free(p->proxies);
	free(p->routes);
	memset(p, 0, sizeof(*p));
}
