/* SPDX-License-Identifier: ISC */
/*
 * The netlink handle: exchanges with the kernel, and events from it. Only this file uses libmnl; the requests are in
 * netlink_link.c, netlink_route.c, netlink_tc.c and netlink_diag.c.
 *
 * Theory of operation: one exchange at a time. A request is built in the handle's send buffer, and every answer up to
 * the closing message (an acknowledgement, or the end of a dump) is read before the call returns, so the sockets are
 * empty between calls. Messages with another sequence number belong to an abandoned exchange and are skipped. A dump
 * that the kernel reports as disturbed (NLM_F_DUMP_INTR) ends with -EINTR, so an incomplete dump is never used.
 */
#include "netlink.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nlbus.h"

enum {
	SEND_SIZE = 1024,
	RECEIVE_SIZE = 32768, /* the kernel fills dumps up to this size */
	EVENTS_SIZE = 16384,
	EVENTS_BUFFER = 1 << 20, /* of the socket */
	ROUTE_EVENTS_BUFFER = 8192,
	ROUTE_EVENTS_MOST = 64, /* in one reading */
};

struct netlink {
	struct mnl_socket *bus[3]; /* by enum nlbus_id; NULL: not opened, or the kernel has none */
	uint32_t seq;
	atomic_bool is_cancelled, is_busy;
	uint8_t protocol; /* natd's mark */
	char why[96];	  /* the kernel's explanation of the last refusal, or "" */
	char error[256];
	uint8_t send[SEND_SIZE] __attribute__((aligned(8)));
	uint8_t receive[RECEIVE_SIZE] __attribute__((aligned(8)));
};

/* ---- the handle ---- */

static struct mnl_socket *open_bus(int family)
{
	struct mnl_socket *s = mnl_socket_open2(family, SOCK_CLOEXEC);
	int one = 1;

	if (!s)
		return NULL;
	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(s);
		return NULL;
	}
	/* Features of newer kernels: explanations, short acknowledgements, filtered dumps. */
	(void)mnl_socket_setsockopt(s, NETLINK_EXT_ACK, &one, sizeof(one));
	(void)mnl_socket_setsockopt(s, NETLINK_CAP_ACK, &one, sizeof(one));
	(void)mnl_socket_setsockopt(s, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	return s;
}

int netlink_open(struct netlink **out, unsigned kinds)
{
	struct netlink *nl = calloc(1, sizeof(*nl));
	int err;

	*out = NULL;
	if (!nl)
		return -ENOMEM;
	if (kinds & NETLINK_ROUTES) {
		nl->bus[NLBUS_ROUTE] = open_bus(NETLINK_ROUTE);
		if (!nl->bus[NLBUS_ROUTE]) {
			err = -errno;
			free(nl);
			return err;
		}
	}
	if (kinds & NETLINK_SOCKETS)
		nl->bus[NLBUS_DIAG] = open_bus(NETLINK_SOCK_DIAG);
	nl->protocol = NETLINK_PROTOCOL;
	*out = nl;
	return 0;
}

int netlink_open_filter(struct netlink *nl)
{
	if (!nl->bus[NLBUS_FILTER])
		nl->bus[NLBUS_FILTER] = open_bus(NETLINK_NETFILTER);
	return nl->bus[NLBUS_FILTER] ? 0 : -errno;
}

void netlink_close(struct netlink *nl)
{
	if (!nl)
		return;
	for (size_t i = 0; i < sizeof(nl->bus) / sizeof(*nl->bus); i++) {
		if (nl->bus[i])
			mnl_socket_close(nl->bus[i]);
	}
	free(nl);
}

void netlink_cancel(struct netlink *nl, bool ends)
{
	atomic_store(&nl->is_cancelled, ends);
}

const char *netlink_error(const struct netlink *nl)
{
	return nl->error;
}

void netlink_set_protocol(struct netlink *nl, uint8_t protocol)
{
	nl->protocol = protocol;
}

uint8_t nlbus_protocol(const struct netlink *nl)
{
	return nl->protocol;
}

int nlbus_fail(struct netlink *nl, int err, const char *format, ...)
{
	va_list ap;
	size_t used;

	va_start(ap, format);
	if (vsnprintf(nl->error, sizeof(nl->error), format, ap) < 0)
		nl->error[0] = '\0';
	va_end(ap);
	used = strlen(nl->error);
	snprintf(nl->error + used, sizeof(nl->error) - used, ": %s%s%s%s", strerror(-err), nl->why[0] ? " (" : "",
		 nl->why, nl->why[0] ? ")" : "");
	return err;
}

/* ---- requests ---- */

struct nlmsghdr *nlbus_request(struct netlink *nl, uint16_t type, uint16_t flags, const void *header, size_t len)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(nl->send);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	memcpy(mnl_nlmsg_put_extra_header(nlh, len), header, len);
	return nlh;
}

void nlbus_put(struct nlmsghdr *nlh, uint16_t type, const void *data, size_t len)
{
	mnl_attr_put(nlh, type, len, data);
}

void nlbus_put_u8(struct nlmsghdr *nlh, uint16_t type, uint8_t value)
{
	mnl_attr_put_u8(nlh, type, value);
}

void nlbus_put_u32(struct nlmsghdr *nlh, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(nlh, type, value);
}

void nlbus_put_be32(struct nlmsghdr *nlh, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(nlh, type, htonl(value));
}

void nlbus_put_text(struct nlmsghdr *nlh, uint16_t type, const char *text)
{
	mnl_attr_put_strz(nlh, type, text);
}

struct nlattr *nlbus_nest(struct nlmsghdr *nlh, uint16_t type)
{
	return mnl_attr_nest_start(nlh, type);
}

void nlbus_nest_end(struct nlmsghdr *nlh, struct nlattr *nest)
{
	mnl_attr_nest_end(nlh, nest);
}

/* ---- answers ---- */

static int collect(const struct nlattr *a, void *ctx)
{
	struct nlbus_attributes *as = ctx;
	uint16_t type = mnl_attr_get_type(a);

	if (type >= NLBUS_ATTRIBUTES) {
		as->has_more = true;
		return MNL_CB_OK;
	}
	as->data[type] = mnl_attr_get_payload(a);
	as->len[type] = mnl_attr_get_payload_len(a);
	return MNL_CB_OK;
}

const void *nlbus_read(const struct nlmsghdr *nlh, uint16_t type, size_t header, struct nlbus_attributes *as)
{
	memset(as, 0, sizeof(*as));
	if (nlh->nlmsg_type != type || nlh->nlmsg_len < mnl_nlmsg_size(header))
		return NULL;
	(void)mnl_attr_parse(nlh, (unsigned)header, collect, as);
	return mnl_nlmsg_get_payload(nlh);
}

void nlbus_read_nested(const struct nlbus_attributes *outer, unsigned type, struct nlbus_attributes *as)
{
	memset(as, 0, sizeof(*as));
	if (outer->data[type])
		(void)mnl_attr_parse_payload(outer->data[type], outer->len[type], collect, as);
}

struct elements {
	nlbus_element_fn *fn;
	void *ctx;
};

static int take_element(const struct nlattr *a, void *ctx)
{
	const struct elements *e = ctx;
	struct nlbus_attributes as;

	memset(&as, 0, sizeof(as));
	(void)mnl_attr_parse_nested(a, collect, &as);
	e->fn(e->ctx, &as);
	return MNL_CB_OK;
}

void nlbus_each_nested(const struct nlbus_attributes *outer, unsigned type, nlbus_element_fn *fn, void *ctx)
{
	struct elements e = {fn, ctx};

	if (outer->data[type])
		(void)mnl_attr_parse_payload(outer->data[type], outer->len[type], take_element, &e);
}

uint8_t nlbus_u8(const struct nlbus_attributes *as, unsigned type, uint8_t absent)
{
	return as->len[type] >= 1 ? *(const uint8_t *)as->data[type] : absent;
}

uint32_t nlbus_u32(const struct nlbus_attributes *as, unsigned type, uint32_t absent)
{
	uint32_t value = absent;

	if (as->len[type] >= sizeof(value))
		memcpy(&value, as->data[type], sizeof(value));
	return value;
}

uint32_t nlbus_be32(const struct nlbus_attributes *as, unsigned type, uint32_t absent)
{
	return as->len[type] >= sizeof(uint32_t) ? ntohl(nlbus_u32(as, type, 0)) : absent;
}

void nlbus_name(const struct nlbus_attributes *as, unsigned type, char out[NETLINK_IFNAME_SIZE])
{
	size_t len = as->len[type];

	memset(out, 0, NETLINK_IFNAME_SIZE);
	if (len > 0 && len <= NETLINK_IFNAME_SIZE)
		memcpy(out, as->data[type], len - 1);
}

/* ---- the exchange ---- */

/* A refusal or an acknowledgement. Returns 0 or a negative errno; the kernel's explanation is in nl->why. */
static int take_error(struct netlink *nl, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
	struct nlbus_attributes as;
	size_t skip = sizeof(*e);

	if (nlh->nlmsg_len < mnl_nlmsg_size(sizeof(*e)))
		return -EBADMSG;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED) && e->msg.nlmsg_len > sizeof(e->msg))
		skip += e->msg.nlmsg_len - sizeof(e->msg);
	if (e->error == 0 || !(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return e->error;
	if (nlbus_read(nlh, NLMSG_ERROR, skip, &as) && as.data[NLMSGERR_ATTR_MSG])
		snprintf(nl->why, sizeof(nl->why), "%.*s", (int)as.len[NLMSGERR_ATTR_MSG],
			 (const char *)as.data[NLMSGERR_ATTR_MSG]);
	return e->error;
}

/* The error code at the end of a dump (absent in old kernels). */
static int take_done(const struct nlmsghdr *nlh, bool disturbed)
{
	int code = 0;

	if (nlh->nlmsg_len >= mnl_nlmsg_size(sizeof(code)))
		memcpy(&code, mnl_nlmsg_get_payload(nlh), sizeof(code));
	if (code < 0)
		return code;
	return disturbed ? -EINTR : 0;
}

struct exchange {
	nlbus_answer_fn *fn;
	void *ctx;
	bool disturbed;
};

/* Handles the messages of one read. Returns 1: more will come; else the result of the exchange. */
static int take_messages(struct netlink *nl, int len, struct exchange *x)
{
	const struct nlmsghdr *nlh = (const void *)nl->receive;

	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
		if (nlh->nlmsg_seq != nl->seq)
			continue;
		if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
			x->disturbed = true;
		if (nlh->nlmsg_type == NLMSG_ERROR)
			return take_error(nl, nlh);
		if (nlh->nlmsg_type == NLMSG_DONE)
			return take_done(nlh, x->disturbed);
		if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && x->fn)
			x->fn(x->ctx, nlh);
	}
	return 1;
}

static int exchange(struct netlink *nl, struct mnl_socket *s, struct nlmsghdr *nlh, struct exchange *x)
{
	ssize_t n;
	int rc = 1;

	nlh->nlmsg_seq = ++nl->seq;
	if (mnl_socket_sendto(s, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (rc == 1) {
		n = mnl_socket_recvfrom(s, nl->receive, sizeof(nl->receive));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		rc = take_messages(nl, (int)n, x);
	}
	return rc;
}

int nlbus_exchange(struct netlink *nl, enum nlbus_id bus, struct nlmsghdr *nlh, nlbus_answer_fn *fn, void *ctx)
{
	struct exchange x = {.fn = fn, .ctx = ctx};
	bool was_busy;
	int rc;

	nl->why[0] = '\0';
	if (!nl->bus[bus])
		return -EPROTONOSUPPORT;
	if (atomic_load(&nl->is_cancelled))
		return -ECANCELED;
	was_busy = atomic_exchange(&nl->is_busy, true);
	assert(!was_busy); /* of two threads, one would wait for the answer that the other one read */
	rc = exchange(nl, nl->bus[bus], nlh, &x);
	atomic_store(&nl->is_busy, false);
	return rc;
}

int nlbus_change(struct netlink *nl, struct nlmsghdr *nlh)
{
	nlh->nlmsg_flags |= NLM_F_ACK;
	return nlbus_exchange(nl, NLBUS_ROUTE, nlh, NULL, NULL);
}

/* ---- events ---- */

static int open_events(uint32_t groups, int buffer)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int err;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* A host with a full routing table changes it all the time: natd's own routes are looked at every second instead of on
 * each change. */
int netlink_events_open(void)
{
	return open_events(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_RULE | 1u << (RTNLGRP_IPV4_NETCONF - 1),
			   EVENTS_BUFFER);
}

int netlink_route_events_open(void)
{
	return open_events(RTMGRP_IPV4_ROUTE, ROUTE_EVENTS_BUFFER);
}

bool netlink_route_events_read(int fd)
{
	uint8_t byte;
	bool is_changed = false;

	/* An error is one of a buffer that overran. */
	for (int i = 0; i < ROUTE_EVENTS_MOST; i++) {
		if (recv(fd, &byte, sizeof(byte), 0) >= 0 || errno == ENOBUFS)
			is_changed = true;
		else if (errno != EINTR)
			break;
	}
	return is_changed;
}

static int event_bit(uint16_t type)
{
	switch (type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return NETLINK_EVENT_LINK;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return NETLINK_EVENT_ADDRESS;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		return NETLINK_EVENT_RULE;
	case RTM_NEWNETCONF:
	case RTM_DELNETCONF:
		return NETLINK_EVENT_CONF;
	default:
		return 0;
	}
}

int netlink_events_read(int fd)
{
	uint8_t buffer[EVENTS_SIZE] __attribute__((aligned(8)));
	struct sockaddr_nl from = {0};
	const struct nlmsghdr *nlh;
	int events = 0;
	int len;

	for (;;) {
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &from_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) { /* the socket's buffer overran */
			events |= NETLINK_EVENT_RESYNC;
			continue;
		}
		if (n < 0)
			return errno == EAGAIN || events ? events : -errno;
		if (from.nl_pid != 0) /* not from the kernel */
			continue;
		len = (int)n;
		for (nlh = (const void *)buffer; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			events |= event_bit(nlh->nlmsg_type);
	}
}
