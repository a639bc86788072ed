/* SPDX-License-Identifier: ISC */
/* IPv4 rules, routes and proxy neighbours, through rtnetlink. */
#include "netlink.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "nlbus.h"

/* Since Linux 6.15; older headers lack the names. */
enum { FRA_DPORT_MASK_NR = 29, FRA_LAST_KNOWN = 30 };

static void read_prefix(const struct nlbus_attributes *as, unsigned type, uint8_t length, struct nat_prefix *out)
{
	out->length = length;
	out->address = length ? nlbus_be32(as, type, 0) : 0;
}

/* ---- rules ---- */

struct rule_dump {
	bool is_over;
	netlink_rule_fn *fn;
	void *ctx;
};

static uint8_t rule_action(uint8_t action)
{
	if (action == FR_ACT_TO_TBL)
		return NETLINK_LOOKUP;
	if (action == FR_ACT_BLACKHOLE)
		return NETLINK_BLACKHOLE;
	if (action == FR_ACT_UNREACHABLE)
		return NETLINK_UNREACHABLE;
	return NETLINK_ACTION_OTHER;
}

/* Does the attribute express nothing beyond struct netlink_rule? */
static bool rule_attribute_known(const struct nlbus_attributes *as, unsigned type)
{
	uint16_t mask;

	switch (type) {
	case FRA_DST:
	case FRA_SRC:
	case FRA_IIFNAME:
	case FRA_PRIORITY:
	case FRA_TABLE:
	case FRA_PROTOCOL:
	case FRA_IP_PROTO:
	case FRA_DPORT_RANGE:
	case FRA_FWMARK:
	case FRA_PAD:
		return true;
	case FRA_FWMASK: /* all bits count */
		return nlbus_u32(as, type, 0) == UINT32_MAX;
	case FRA_SUPPRESS_PREFIXLEN: /* always reported; -1: none */
		return nlbus_u32(as, type, 0) == UINT32_MAX;
	case FRA_DPORT_MASK_NR: /* reported for every rule with a single port: all bits count */
		if (as->len[type] < sizeof(mask))
			return false;
		memcpy(&mask, as->data[type], sizeof(mask));
		return mask == UINT16_MAX;
	default:
		return false;
	}
}

static bool rule_is_foreign(const struct fib_rule_hdr *h, const struct nlbus_attributes *as)
{
	unsigned type;

	if (h->tos || (h->flags & FIB_RULE_INVERT) || h->dst_len > 32 || h->src_len > 32)
		return true;
	/* A newer kernel may report more attributes of every rule, so attributes beyond the list are ignored. */
	for (type = 0; type <= FRA_LAST_KNOWN; type++) {
		if (as->data[type] && !rule_attribute_known(as, type))
			return true;
	}
	return false;
}

static void take_rule(void *ctx, const struct nlmsghdr *nlh)
{
	struct rule_dump *d = ctx;
	struct fib_rule_port_range ports;
	const struct fib_rule_hdr *h;
	struct nlbus_attributes as;
	struct netlink_rule r;

	h = nlbus_read(nlh, RTM_NEWRULE, sizeof(*h), &as);
	if (!h || d->is_over || h->family != AF_INET)
		return;
	memset(&r, 0, sizeof(r));
	r.priority = nlbus_u32(&as, FRA_PRIORITY, 0);
	r.action = rule_action(h->action);
	r.table = r.action == NETLINK_LOOKUP ? nlbus_u32(&as, FRA_TABLE, h->table) : 0;
	r.protocol = nlbus_u8(&as, FRA_PROTOCOL, 0);
	r.ip_proto = nlbus_u8(&as, FRA_IP_PROTO, 0);
	r.mark = nlbus_u32(&as, FRA_FWMARK, 0);
	r.is_foreign = rule_is_foreign(h, &as);
	read_prefix(&as, FRA_SRC, h->src_len, &r.from);
	read_prefix(&as, FRA_DST, h->dst_len, &r.to);
	nlbus_name(&as, FRA_IIFNAME, r.iif);
	if (as.len[FRA_DPORT_RANGE] >= sizeof(ports)) {
		memcpy(&ports, as.data[FRA_DPORT_RANGE], sizeof(ports));
		r.dport = (struct nat_range){ports.start, ports.end};
	}
	d->is_over = !d->fn(d->ctx, &r);
}

int netlink_rules(struct netlink *nl, netlink_rule_fn *fn, void *ctx)
{
	struct fib_rule_hdr h = {.family = AF_INET};
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_GETRULE, NLM_F_DUMP, &h, sizeof(h));
	struct rule_dump d = {.fn = fn, .ctx = ctx};
	int rc = nlbus_exchange(nl, NLBUS_ROUTE, nlh, take_rule, &d);

	return rc < 0 ? nlbus_fail(nl, rc, "listing the rules") : 0;
}

static struct nlmsghdr *rule_request(struct netlink *nl, uint16_t type, uint16_t flags, const struct netlink_rule *r)
{
	static const uint8_t actions[] = {FR_ACT_TO_TBL, FR_ACT_BLACKHOLE, FR_ACT_UNREACHABLE};
	struct fib_rule_hdr h = {.family = AF_INET, .src_len = r->from.length, .dst_len = r->to.length};
	struct fib_rule_port_range ports = {r->dport.first, r->dport.last};
	struct nlmsghdr *nlh;

	h.action = r->action < sizeof(actions) ? actions[r->action] : FR_ACT_UNSPEC;
	nlh = nlbus_request(nl, type, flags, &h, sizeof(h));
	nlbus_put_u32(nlh, FRA_PRIORITY, r->priority);
	nlbus_put_u8(nlh, FRA_PROTOCOL, r->protocol);
	if (r->action == NETLINK_LOOKUP)
		nlbus_put_u32(nlh, FRA_TABLE, r->table);
	if (r->iif[0])
		nlbus_put_text(nlh, FRA_IIFNAME, r->iif);
	if (r->from.length)
		nlbus_put_be32(nlh, FRA_SRC, r->from.address);
	if (r->to.length)
		nlbus_put_be32(nlh, FRA_DST, r->to.address);
	if (r->ip_proto)
		nlbus_put_u8(nlh, FRA_IP_PROTO, r->ip_proto);
	if (r->mark)
		nlbus_put_u32(nlh, FRA_FWMARK, r->mark);
	if (r->dport.last)
		nlbus_put(nlh, FRA_DPORT_RANGE, &ports, sizeof(ports));
	return nlh;
}

int netlink_rule_add(struct netlink *nl, const struct netlink_rule *r)
{
	int rc = nlbus_change(nl, rule_request(nl, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, r));

	if (rc < 0 && rc != -EEXIST)
		return nlbus_fail(nl, rc, "adding a rule (preference %u, iif %s)", r->priority,
				  r->iif[0] ? r->iif : "any");
	return 0;
}

int netlink_rule_delete(struct netlink *nl, const struct netlink_rule *r)
{
	int rc = nlbus_change(nl, rule_request(nl, RTM_DELRULE, 0, r));

	if (rc < 0 && rc != -ENOENT)
		return nlbus_fail(nl, rc, "removing a rule (preference %u, iif %s)", r->priority,
				  r->iif[0] ? r->iif : "any");
	return 0;
}

/* ---- routes ---- */

struct route_dump {
	uint32_t table;
	uint8_t protocol;
	bool is_over;
	netlink_route_fn *fn;
	void *ctx;
};

static void take_route(void *ctx, const struct nlmsghdr *nlh)
{
	struct route_dump *d = ctx;
	const struct rtmsg *m;
	struct nlbus_attributes as;
	struct netlink_route r;

	m = nlbus_read(nlh, RTM_NEWROUTE, sizeof(*m), &as);
	if (!m || d->is_over || m->rtm_family != AF_INET || m->rtm_protocol != d->protocol)
		return;
	memset(&r, 0, sizeof(r));
	r.table = nlbus_u32(&as, RTA_TABLE, m->rtm_table);
	r.metric = nlbus_u32(&as, RTA_PRIORITY, 0);
	r.out = (int)nlbus_u32(&as, RTA_OIF, 0);
	r.is_silent = m->rtm_type == RTN_BLACKHOLE;
	read_prefix(&as, RTA_DST, m->rtm_dst_len, &r.to);
	if (r.table == d->table)
		d->is_over = !d->fn(d->ctx, &r);
}

int netlink_routes(struct netlink *nl, uint32_t table, netlink_route_fn *fn, void *ctx)
{
	struct rtmsg m = {.rtm_family = AF_INET, .rtm_protocol = nlbus_protocol(nl)};
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_GETROUTE, NLM_F_DUMP, &m, sizeof(m));
	struct route_dump d = {.table = table, .protocol = nlbus_protocol(nl), .fn = fn, .ctx = ctx};
	int rc;

	nlbus_put_u32(nlh, RTA_TABLE, table);
	rc = nlbus_exchange(nl, NLBUS_ROUTE, nlh, take_route, &d);
	if (rc < 0 && rc != -ENOENT) /* the table does not exist yet */
		return nlbus_fail(nl, rc, "listing the routes of table %u", table);
	return 0;
}

static struct nlmsghdr *route_request(struct netlink *nl, uint16_t type, uint16_t flags, const struct netlink_route *r)
{
	struct rtmsg m = {.rtm_family = AF_INET,
			  .rtm_dst_len = r->to.length,
			  .rtm_protocol = nlbus_protocol(nl),
			  .rtm_type = r->out	     ? RTN_UNICAST
				      : r->is_silent ? RTN_BLACKHOLE
						     : RTN_UNREACHABLE,
			  .rtm_scope = r->out ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE};
	struct nlmsghdr *nlh = nlbus_request(nl, type, flags, &m, sizeof(m));

	nlbus_put_u32(nlh, RTA_TABLE, r->table);
	nlbus_put_u32(nlh, RTA_PRIORITY, r->metric);
	if (r->to.length)
		nlbus_put_be32(nlh, RTA_DST, r->to.address);
	if (r->out)
		nlbus_put_u32(nlh, RTA_OIF, (uint32_t)r->out);
	if (r->source)
		nlbus_put_be32(nlh, RTA_PREFSRC, r->source);
	return nlh;
}

int netlink_route_add(struct netlink *nl, const struct netlink_route *r)
{
	int rc = nlbus_change(nl, route_request(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, r));

	return rc < 0 ? nlbus_fail(nl, rc, "adding a route (table %u, metric %u)", r->table, r->metric) : 0;
}

int netlink_route_delete(struct netlink *nl, const struct netlink_route *r)
{
	int rc = nlbus_change(nl, route_request(nl, RTM_DELROUTE, 0, r));

	if (rc < 0 && rc != -ESRCH)
		return nlbus_fail(nl, rc, "removing a route (table %u, metric %u)", r->table, r->metric);
	return 0;
}

struct way_answer {
	struct netlink_way way;
	bool is_learned; /* the host has learned another path MTU than the route's */
};

static void take_way(void *ctx, const struct nlmsghdr *nlh)
{
	struct way_answer *answer = ctx;
	struct netlink_way *w = &answer->way;
	struct nlbus_attributes as, metrics;
	const struct rta_cacheinfo *cache;
	const struct rtmsg *m;

	m = nlbus_read(nlh, RTM_NEWROUTE, sizeof(*m), &as);
	if (!m)
		return;
	nlbus_read_nested(&as, RTA_METRICS, &metrics);
	w->type = m->rtm_type;
	w->out = (int)nlbus_u32(&as, RTA_OIF, 0);
	w->via = nlbus_be32(&as, RTA_GATEWAY, 0);
	w->source = nlbus_be32(&as, RTA_PREFSRC, 0);
	w->mtu = nlbus_u32(&metrics, RTAX_MTU, 0);
	w->is_mtu_locked = (nlbus_u32(&metrics, RTAX_LOCK, 0) & 1u << RTAX_MTU) != 0;
	cache = as.data[RTA_CACHEINFO];
	answer->is_learned = cache && as.len[RTA_CACHEINFO] >= sizeof(*cache) && cache->rta_expires != 0;
}

static int ask_way(struct netlink *nl, uint32_t source, uint32_t address, unsigned flags, struct way_answer *answer)
{
	struct rtmsg m = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_src_len = source ? 32 : 0, .rtm_flags = flags};
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_GETROUTE, NLM_F_ACK, &m, sizeof(m));

	memset(answer, 0, sizeof(*answer));
	nlbus_put_be32(nlh, RTA_DST, address);
	if (source)
		nlbus_put_be32(nlh, RTA_SRC, source);
	return nlbus_exchange(nl, NLBUS_ROUTE, nlh, take_way, answer);
}

int netlink_way_to(struct netlink *nl, uint32_t address, struct netlink_way *out)
{
	return netlink_way_from(nl, 0, address, out);
}

/* The answer has the path MTU that the host learned by ICMP, if any; then a second query gets the route's own. */
int netlink_way_from(struct netlink *nl, uint32_t source, uint32_t address, struct netlink_way *out)
{
	struct way_answer answer, route;
	int rc = ask_way(nl, source, address, 0, &answer);

	if (rc == 0 && answer.is_learned) {
		bool is_known = ask_way(nl, source, address, RTM_F_FIB_MATCH, &route) == 0;

		answer.way.mtu = is_known ? route.way.mtu : 0;
		answer.way.is_mtu_locked = is_known && route.way.is_mtu_locked;
	}
	*out = answer.way;
	return rc < 0 ? nlbus_fail(nl, rc, "the way to %u.%u.%u.%u", address >> 24, address >> 16 & 255,
				   address >> 8 & 255, address & 255)
		      : 0;
}

/* The kernel refuses a source that is not the host's own (EINVAL or ENETUNREACH, by version): then the way without
 * it. */
int netlink_way_in_transit(struct netlink *nl, uint32_t source, uint32_t address, struct netlink_way *out)
{
	int r = source != 0 ? netlink_way_from(nl, source, address, out) : -EINVAL;

	return r == -EINVAL || r == -ENETUNREACH ? netlink_way_from(nl, 0, address, out) : r;
}

int netlink_way_of(struct netlink *nl, const struct netlink_flow *flow, struct netlink_way *out)
{
	struct rtmsg m = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_src_len = 32};
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_GETROUTE, NLM_F_ACK, &m, sizeof(m));
	struct way_answer answer = {0};
	int rc;

	nlbus_put_be32(nlh, RTA_DST, flow->destination);
	nlbus_put_be32(nlh, RTA_SRC, flow->source);
	nlbus_put_u32(nlh, RTA_IIF, (uint32_t)flow->iif);
	rc = nlbus_exchange(nl, NLBUS_ROUTE, nlh, take_way, &answer);
	*out = answer.way;
	return rc < 0 ? nlbus_fail(nl, rc, "the way of a packet that comes in") : 0;
}

/* ---- neighbours ---- */

static void take_neighbour(void *ctx, const struct nlmsghdr *nlh)
{
	struct nlbus_attributes as;
	const struct ndmsg *m = nlbus_read(nlh, RTM_NEWNEIGH, sizeof(*m), &as);

	if (m)
		*(int *)ctx = m->ndm_state;
}

int netlink_neighbour(struct netlink *nl, int index, uint32_t address)
{
	struct ndmsg m = {.ndm_family = AF_INET, .ndm_ifindex = index};
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_GETNEIGH, NLM_F_ACK, &m, sizeof(m));
	int state = 0;
	int rc;

	nlbus_put_be32(nlh, NDA_DST, address);
	rc = nlbus_exchange(nl, NLBUS_ROUTE, nlh, take_neighbour, &state);
	if (rc == -ENOENT)
		return 0;
	return rc < 0 ? nlbus_fail(nl, rc, "looking up a neighbour") : state;
}

/* ---- proxy neighbours ---- */

struct proxy_dump {
	uint8_t protocol;
	bool is_over;
	netlink_proxy_fn *fn;
	void *ctx;
};

static void take_proxy(void *ctx, const struct nlmsghdr *nlh)
{
	struct proxy_dump *d = ctx;
	struct nlbus_attributes as;
	const struct ndmsg *m;

	m = nlbus_read(nlh, RTM_NEWNEIGH, sizeof(*m), &as);
	if (!m || d->is_over || m->ndm_family != AF_INET || !(m->ndm_flags & NTF_PROXY))
		return;
	if (nlbus_u8(&as, NDA_PROTOCOL, 0) == d->protocol && as.len[NDA_DST] == sizeof(uint32_t))
		d->is_over = !d->fn(d->ctx, m->ndm_ifindex, nlbus_be32(&as, NDA_DST, 0));
}

int netlink_proxies(struct netlink *nl, netlink_proxy_fn *fn, void *ctx)
{
	struct ndmsg m = {.ndm_family = AF_INET, .ndm_flags = NTF_PROXY};
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_GETNEIGH, NLM_F_DUMP, &m, sizeof(m));
	struct proxy_dump d = {.protocol = nlbus_protocol(nl), .fn = fn, .ctx = ctx};
	int rc = nlbus_exchange(nl, NLBUS_ROUTE, nlh, take_proxy, &d);

	return rc < 0 ? nlbus_fail(nl, rc, "listing the proxy neighbours") : 0;
}

static struct nlmsghdr *proxy_request(struct netlink *nl, uint16_t type, int index, uint32_t address)
{
	struct ndmsg m = {
		.ndm_family = AF_INET, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT, .ndm_flags = NTF_PROXY};
	struct nlmsghdr *nlh = nlbus_request(nl, type, type == RTM_NEWNEIGH ? NLM_F_CREATE : 0, &m, sizeof(m));

	nlbus_put_be32(nlh, NDA_DST, address);
	if (type == RTM_NEWNEIGH)
		nlbus_put_u8(nlh, NDA_PROTOCOL, nlbus_protocol(nl));
	return nlh;
}

int netlink_proxy_add(struct netlink *nl, int index, uint32_t address)
{
	int rc = nlbus_change(nl, proxy_request(nl, RTM_NEWNEIGH, index, address));

	return rc < 0 ? nlbus_fail(nl, rc, "adding a proxy neighbour") : 0;
}

int netlink_proxy_delete(struct netlink *nl, int index, uint32_t address)
{
	int rc = nlbus_change(nl, proxy_request(nl, RTM_DELNEIGH, index, address));

	return rc < 0 && rc != -ENOENT ? nlbus_fail(nl, rc, "removing a proxy neighbour") : 0;
}
