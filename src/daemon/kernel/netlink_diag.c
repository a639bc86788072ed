/* SPDX-License-Identifier: ISC */
/* The host's TCP and UDP sockets by local port, through inet_diag. */
#include "netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>

#include "nlbus.h"

struct socket_dump {
	uint8_t family;
	bool is_over;
	netlink_socket_fn *fn;
	void *ctx;
};

/* The local IPv4 address of an IPv6 socket. False: IPv4 packets do not reach it. */
static bool address_of_inet6(const uint8_t src[16], bool is_v6only, uint32_t *address)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	static const uint8_t any[16];

	if (memcmp(src, any, sizeof(any)) == 0) {
		*address = 0;
		return !is_v6only;
	}
	*address = load32(src + 12);
	return memcmp(src, mapped, sizeof(mapped)) == 0;
}

static void take_socket(void *ctx, const struct nlmsghdr *nlh)
{
	struct socket_dump *d = ctx;
	struct netlink_socket s = {0};
	const struct inet_diag_msg *m;
	struct nlbus_attributes as;

	m = nlbus_read(nlh, SOCK_DIAG_BY_FAMILY, sizeof(*m), &as);
	if (!m || d->is_over || m->idiag_family != d->family)
		return;
	s.port = ntohs(m->id.idiag_sport);
	s.state = m->idiag_state;
	if (d->family == AF_INET)
		s.address = ntohl(m->id.idiag_src[0]);
	else if (!address_of_inet6((const uint8_t *)m->id.idiag_src, nlbus_u8(&as, INET_DIAG_SKV6ONLY, 0), &s.address))
		return;
	d->is_over = !d->fn(d->ctx, &s);
}

/*
 * The kernel's filter program "local port >= first and <= last": each comparison is two records, the second holds the
 * port. A jump to the end accepts, one beyond it rejects.
 */
static void put_port_filter(struct nlmsghdr *nlh, struct nat_range range)
{
	enum { RECORD = sizeof(struct inet_diag_bc_op) };
	const struct inet_diag_bc_op program[] = {
		{INET_DIAG_BC_S_GE, 2 * RECORD, 5 * RECORD},
		{INET_DIAG_BC_NOP, 0, range.first},
		{INET_DIAG_BC_S_LE, 2 * RECORD, 3 * RECORD},
		{INET_DIAG_BC_NOP, 0, range.last},
	};

	nlbus_put(nlh, INET_DIAG_REQ_BYTECODE, program, sizeof(program));
}

int netlink_sockets(struct netlink *nl, uint8_t ip_proto, enum netlink_sockets_of of, struct nat_range range,
		    netlink_socket_fn *fn, void *ctx)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	/* TCP_LISTEN; for UDP TCP_CLOSE, the state of unconnected sockets. */
	const uint32_t open = ip_proto == IPPROTO_TCP ? 1u << 10 : 1u << 7;
	const uint32_t states = of == NETLINK_SOCKETS_OPEN ? open : UINT32_MAX;
	struct nlmsghdr *nlh;
	unsigned i;
	int rc;

	for (i = 0; i < sizeof(families); i++) {
		struct inet_diag_req_v2 q = {
			.sdiag_family = families[i], .sdiag_protocol = ip_proto, .idiag_states = states};
		struct socket_dump d = {.family = families[i], .fn = fn, .ctx = ctx};

		nlh = nlbus_request(nl, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &q, sizeof(q));
		put_port_filter(nlh, range);
		rc = nlbus_exchange(nl, NLBUS_DIAG, nlh, take_socket, &d);
		/* Sockets that opened or closed meanwhile do not matter; nor does a kernel without IPv6. */
		if (rc < 0 && rc != -EINTR && !(rc == -ENOENT && families[i] == AF_INET6))
			return nlbus_fail(nl, rc, "listing the host's %s sockets", ip_proto == 6 ? "TCP" : "UDP");
	}
	return 0;
}
