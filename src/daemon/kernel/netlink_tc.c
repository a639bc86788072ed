/* SPDX-License-Identifier: ISC */
/* tc by rtnetlink: the clsact of a link, and programs in the place of its filters. */
#include "netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "nlbus.h"

/* ---- filters ---- */

enum { INGRESS = TC_H_MIN_INGRESS, EGRESS = TC_H_MIN_EGRESS };

static struct tcmsg header_of(int index, uint32_t side, uint32_t handle)
{
	return (struct tcmsg){.tcm_ifindex = index,
			      .tcm_parent = TC_H_MAKE(TC_H_CLSACT, side),
			      .tcm_handle = handle,
			      .tcm_info = TC_H_MAKE((uint32_t)NETLINK_TC_PREFERENCE << 16, htons(ETH_P_IP))};
}

int netlink_tc_add(struct netlink *nl, const struct netlink_tc *f, int program)
{
	struct tcmsg t = header_of(f->index, INGRESS, f->handle);
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_NEWTFILTER, NLM_F_CREATE, &t, sizeof(t));
	struct nlattr *options;
	int rc;

	nlbus_put_text(nlh, TCA_KIND, "bpf");
	options = nlbus_nest(nlh, TCA_OPTIONS);
	nlbus_put_u32(nlh, TCA_BPF_FD, (uint32_t)program);
	nlbus_put_text(nlh, TCA_BPF_NAME, f->name);
	nlbus_put_u32(nlh, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	nlbus_nest_end(nlh, options);
	rc = nlbus_change(nl, nlh);
	return rc < 0 ? nlbus_fail(nl, rc, "tc filter at the interface with index %d", f->index) : 0;
}

/* -EINVAL: no clsact, -ENODEV: no link. */
static bool is_absent(int rc)
{
	return rc == -ENOENT || rc == -EINVAL || rc == -ENODEV;
}

int netlink_tc_delete(struct netlink *nl, int index, uint32_t handle)
{
	struct tcmsg t = header_of(index, INGRESS, handle);
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_DELTFILTER, 0, &t, sizeof(t));
	int rc;

	nlbus_put_text(nlh, TCA_KIND, "bpf");
	rc = nlbus_change(nl, nlh);
	return rc < 0 && !is_absent(rc)
		       ? nlbus_fail(nl, rc, "removing the tc filter at the interface with index %d", index)
		       : 0;
}

/* Of the kernel's answers those that are natd's: 1. */
static int read_filter(const struct nlmsghdr *nlh, struct netlink_tc *out)
{
	struct nlbus_attributes as, options;
	const struct tcmsg *t = nlbus_read(nlh, RTM_NEWTFILTER, sizeof(*t), &as);
	size_t len;

	if (!t || t->tcm_handle == 0 || TC_H_MAJ(t->tcm_info) >> 16 != NETLINK_TC_PREFERENCE ||
	    as.len[TCA_KIND] != sizeof("bpf") || memcmp(as.data[TCA_KIND], "bpf", sizeof("bpf")) != 0)
		return 0;
	nlbus_read_nested(&as, TCA_OPTIONS, &options);
	*out = (struct netlink_tc){.index = t->tcm_ifindex, .handle = t->tcm_handle};
	len = options.len[TCA_BPF_NAME];
	if (len > 0)
		memcpy(out->name, options.data[TCA_BPF_NAME], len < sizeof(out->name) ? len : sizeof(out->name));
	out->name[sizeof(out->name) - 1] = '\0';
	return strncmp(out->name, NETLINK_TC_NAME, strlen(NETLINK_TC_NAME)) == 0;
}

static void take_filter(void *ctx, const struct nlmsghdr *nlh)
{
	struct netlink_tc f;

	if (read_filter(nlh, &f))
		*(struct netlink_tc *)ctx = f;
}

int netlink_tc_get(struct netlink *nl, int index, uint32_t handle, struct netlink_tc *out)
{
	struct tcmsg t = header_of(index, INGRESS, handle);
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_GETTFILTER, NLM_F_ACK, &t, sizeof(t));
	int rc = nlbus_exchange(nl, NLBUS_ROUTE, nlh, take_filter, memset(out, 0, sizeof(*out)));

	if ((rc == 0 && out->handle == 0) || is_absent(rc))
		return -ENOENT;
	return rc < 0 ? nlbus_fail(nl, rc, "tc filter at the interface with index %d", index) : 0;
}

struct filter_dump {
	bool is_over;
	netlink_tc_fn *fn;
	void *ctx;
};

static void take_filters(void *ctx, const struct nlmsghdr *nlh)
{
	struct filter_dump *d = ctx;
	struct netlink_tc f;

	if (!d->is_over && read_filter(nlh, &f))
		d->is_over = !d->fn(d->ctx, &f);
}

int netlink_tc_filters(struct netlink *nl, int index, netlink_tc_fn *fn, void *ctx)
{
	struct tcmsg t = header_of(index, INGRESS, 0);
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_GETTFILTER, NLM_F_DUMP, &t, sizeof(t));
	struct filter_dump d = {.fn = fn, .ctx = ctx};
	int rc = nlbus_exchange(nl, NLBUS_ROUTE, nlh, take_filters, &d);

	return rc < 0 ? nlbus_fail(nl, rc, "listing the tc filters of the interface with index %d", index) : 0;
}

/* ---- clsact ---- */

static void count_filter(void *ctx, const struct nlmsghdr *nlh)
{
	if (nlh->nlmsg_type == RTM_NEWTFILTER)
		++*(uint32_t *)ctx;
}

/* A negative errno, or whether no filter of anybody's is there. */
static int is_empty(struct netlink *nl, int index, uint32_t side)
{
	struct tcmsg t = header_of(index, side, 0);
	struct nlmsghdr *nlh;
	uint32_t n = 0;
	int rc;

	t.tcm_info = 0;
	nlh = nlbus_request(nl, RTM_GETTFILTER, NLM_F_DUMP, &t, sizeof(t));
	rc = nlbus_exchange(nl, NLBUS_ROUTE, nlh, count_filter, &n);
	return rc < 0 ? nlbus_fail(nl, rc, "listing the tc filters of the interface with index %d", index) : n == 0;
}

static struct nlmsghdr *clsact_request(struct netlink *nl, uint16_t type, uint16_t flags, int index)
{
	struct tcmsg t = {.tcm_ifindex = index, .tcm_parent = TC_H_CLSACT, .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0)};
	struct nlmsghdr *nlh = nlbus_request(nl, type, flags, &t, sizeof(t));

	nlbus_put_text(nlh, TCA_KIND, "clsact");
	return nlh;
}

int netlink_clsact_add(struct netlink *nl, int index)
{
	int rc = nlbus_change(nl, clsact_request(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index));

	return rc < 0 ? nlbus_fail(nl, rc, "clsact at the interface with index %d", index) : 0;
}

int netlink_clsact_delete_empty(struct netlink *nl, int index)
{
	int rc = is_empty(nl, index, INGRESS);

	if (rc > 0)
		rc = is_empty(nl, index, EGRESS);
	if (rc <= 0)
		return rc;
	rc = nlbus_change(nl, clsact_request(nl, RTM_DELQDISC, 0, index));
	return rc < 0 && !is_absent(rc) ? nlbus_fail(nl, rc, "removing clsact from the interface with index %d", index)
					: 0;
}

struct clsact_dump {
	bool is_over;
	netlink_clsact_fn *fn;
	void *ctx;
};

static void take_clsact(void *ctx, const struct nlmsghdr *nlh)
{
	struct clsact_dump *d = ctx;
	struct nlbus_attributes as;
	const struct tcmsg *t = nlbus_read(nlh, RTM_NEWQDISC, sizeof(*t), &as);

	/* `ingress', its predecessor, takes filters as well */
	if (t && !d->is_over && t->tcm_handle == TC_H_MAKE(TC_H_CLSACT, 0))
		d->is_over = !d->fn(d->ctx, t->tcm_ifindex);
}

int netlink_clsacts(struct netlink *nl, netlink_clsact_fn *fn, void *ctx)
{
	struct tcmsg t = {0};
	struct nlmsghdr *nlh = nlbus_request(nl, RTM_GETQDISC, NLM_F_DUMP, &t, sizeof(t));
	struct clsact_dump d = {.fn = fn, .ctx = ctx};
	int rc = nlbus_exchange(nl, NLBUS_ROUTE, nlh, take_clsact, &d);

	return rc < 0 ? nlbus_fail(nl, rc, "listing the queueing disciplines") : 0;
}
