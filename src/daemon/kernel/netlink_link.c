/* SPDX-License-Identifier: ISC */
/* Links and their IPv4 addresses, through rtnetlink. */
#include "netlink.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "nlbus.h"

enum { ADDRGEN_NONE = 1 }; /* IN6_ADDR_GEN_MODE_NONE */

/* ---- links ---- */

static void take_link(void *ctx, const struct nlmsghdr *nlh)
{
	struct netlink_link *out = ctx;
	const struct ifinfomsg *i;
	struct nlbus_attributes as;

	i = nlbus_read(nlh, RTM_NEWLINK, sizeof(*i), &as);
	if (!i)
		return;
	out->index = i->ifi_index;
	out->flags = i->ifi_flags;
	out->type = i->ifi_type;
	out->mtu = nlbus_u32(&as, IFLA_MTU, 0);
	out->queue_len = nlbus_u32(&as, IFLA_TXQLEN, 0);
	nlbus_name(&as, IFLA_IFNAME, out->name);
	if (as.len[IFLA_STATS64] < offsetof(struct rtnl_link_stats64, tx_dropped) + sizeof(uint64_t))
		return;
	memcpy(&out->tx_dropped,
	       (const uint8_t *)as.data[IFLA_STATS64] + offsetof(struct rtnl_link_stats64, tx_dropped),
	       sizeof(out->tx_dropped));
}

static int link_get(struct netlink *nl, uint16_t attribute, const char *name, int index, struct netlink_link *out)
{
	struct ifinfomsg i = {.ifi_family = AF_UNSPEC, .ifi_index = index};
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_GETLINK, NLM_F_ACK, &i, sizeof(i));
	int rc;

	memset(out, 0, sizeof(*out));
	if (name)
		nlbus_put_text(nlh, attribute, name);
	rc = nlbus_exchange(nl, NLBUS_ROUTE, nlh, take_link, out);
	return rc == 0 && out->index == 0 ? -ENODEV : rc;
}

int netlink_link_get(struct netlink *nl, const char *name, struct netlink_link *out)
{
	int rc = -ENODEV;

	if (name[0] && strlen(name) < NETLINK_IFNAME_SIZE)
		rc = link_get(nl, IFLA_IFNAME, name, 0, out);
	if (rc == -ENODEV && name[0]) /* Linux 5.5 */
		rc = link_get(nl, IFLA_ALT_IFNAME, name, 0, out) == 0 ? 0 : -ENODEV;
	return rc < 0 ? nlbus_fail(nl, rc, "interface %s", name) : 0;
}

int netlink_link_get_index(struct netlink *nl, int index, struct netlink_link *out)
{
	int rc = link_get(nl, IFLA_IFNAME, NULL, index, out);

	return rc < 0 ? nlbus_fail(nl, rc, "interface with index %d", index) : 0;
}

int netlink_link_up(struct netlink *nl, int index, uint32_t mtu, uint32_t queue_len)
{
	struct ifinfomsg i = {.ifi_family = AF_UNSPEC, .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_NEWLINK, 0, &i, sizeof(i));
	int rc;

	if (mtu)
		nlbus_put_u32(nlh, IFLA_MTU, mtu);
	if (queue_len)
		nlbus_put_u32(nlh, IFLA_TXQLEN, queue_len);
	rc = nlbus_change(nl, nlh);
	return rc < 0 ? nlbus_fail(nl, rc, "bringing up the interface with index %d (mtu %u)", index, mtu) : 0;
}

int netlink_link_addrgen_none(struct netlink *nl, int index)
{
	struct ifinfomsg i = {.ifi_family = AF_UNSPEC, .ifi_index = index};
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_NEWLINK, 0, &i, sizeof(i));
	struct nlattr *spec = nlbus_nest(nlh, IFLA_AF_SPEC);
	struct nlattr *inet6 = nlbus_nest(nlh, AF_INET6);
	int rc;

	nlbus_put_u8(nlh, IFLA_INET6_ADDR_GEN_MODE, ADDRGEN_NONE);
	nlbus_nest_end(nlh, inet6);
	nlbus_nest_end(nlh, spec);
	rc = nlbus_change(nl, nlh);
	return rc < 0 ? nlbus_fail(nl, rc, "address generation of the interface with index %d", index) : 0;
}

/* ---- addresses ---- */

struct address_dump {
	int index;
	bool is_over;
	netlink_address_fn *fn;
	void *ctx;
};

static void take_address(void *ctx, const struct nlmsghdr *nlh)
{
	struct address_dump *d = ctx;
	struct netlink_address a = {.index = d->index};
	const struct ifaddrmsg *i;
	struct nlbus_attributes as;

	i = nlbus_read(nlh, RTM_NEWADDR, sizeof(*i), &as);
	if (!i || d->is_over || i->ifa_family != AF_INET || (int)i->ifa_index != d->index || i->ifa_prefixlen > 32)
		return;
	a.length = i->ifa_prefixlen;
	a.scope = i->ifa_scope;
	a.is_secondary = i->ifa_flags & IFA_F_SECONDARY;
	a.peer = nlbus_be32(&as, IFA_ADDRESS, 0);
	a.address = nlbus_be32(&as, IFA_LOCAL, a.peer);
	d->is_over = !d->fn(d->ctx, &a);
}

int netlink_addresses(struct netlink *nl, int index, netlink_address_fn *fn, void *ctx)
{
	struct ifaddrmsg i = {.ifa_family = AF_INET, .ifa_index = (unsigned)index};
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_GETADDR, NLM_F_DUMP, &i, sizeof(i));
	struct address_dump d = {.index = index, .fn = fn, .ctx = ctx};
	int rc = nlbus_exchange(nl, NLBUS_ROUTE, nlh, take_address, &d);

	return rc < 0 ? nlbus_fail(nl, rc, "addresses of the interface with index %d", index) : 0;
}

int netlink_address_add(struct netlink *nl, const struct netlink_address *a)
{
	struct ifaddrmsg i = {.ifa_family = AF_INET,
			      .ifa_prefixlen = a->length,
			      .ifa_scope = a->scope,
			      .ifa_index = (unsigned)a->index};
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &i, sizeof(i));
	int rc;

	nlbus_put_be32(nlh, IFA_LOCAL, a->address);
	nlbus_put_be32(nlh, IFA_ADDRESS, a->peer);
	rc = nlbus_change(nl, nlh);
	if (rc < 0 && rc != -EEXIST)
		return nlbus_fail(nl, rc, "adding an address to the interface with index %d", a->index);
	return 0;
}
