/* SPDX-License-Identifier: ISC */
/* Which ports the host itself uses. */
#include "hostports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- listing ---- */

/* One bit a port: sockets are many, and come in no order. */
struct port_set {
	uint32_t bits[65536 / 32];
};

static bool take_socket(void *ctx, const struct netlink_socket *s)
{
	struct port_set *set = ctx;

	if (s->address >> 24 != 127) /* nothing from a wire reaches the loopback network */
		set->bits[s->port / 32] |= 1u << s->port % 32;
	return true;
}

static bool has_port(const struct port_set *set, uint32_t port)
{
	return set->bits[port / 32] >> port % 32 & 1;
}

/* The ports of the set as ranges; their number. */
static uint32_t to_ranges(const struct port_set *set, struct nat_range out[HOSTPORTS_MAX], bool *is_cut)
{
	uint32_t port, n = 0;

	for (port = 1; port < 65536; port++) {
		if (!has_port(set, port))
			continue;
		if (n > 0 && out[n - 1].last == port - 1) {
			out[n - 1].last = (uint16_t)port;
			continue;
		}
		if (n == HOSTPORTS_MAX) {
			*is_cut = true;
			break;
		}
		out[n++] = (struct nat_range){(uint16_t)port, (uint16_t)port};
	}
	return n;
}

static int list(struct netlink *nl, uint8_t ip_proto, const struct nat_range *ranges, uint32_t n_ranges,
		struct port_set *set)
{
	uint32_t i;
	int rc = 0;

	memset(set, 0, sizeof(*set));
	for (i = 0; rc == 0 && i < n_ranges; i++)
		rc = netlink_sockets(nl, ip_proto, ranges[i], take_socket, set);
	return rc;
}

int hostports_list(struct netlink *nl, const struct nat_range *ranges, uint32_t n_ranges, struct hostports *out)
{
	struct port_set set;
	int rc;

	memset(out, 0, sizeof(*out));
	rc = list(nl, IPPROTO_TCP, ranges, n_ranges, &set);
	if (rc < 0)
		return rc;
	out->n_tcp = to_ranges(&set, out->tcp, &out->is_cut);
	rc = list(nl, IPPROTO_UDP, ranges, n_ranges, &set);
	if (rc < 0)
		memset(out, 0, sizeof(*out));
	else
		out->n_udp = to_ranges(&set, out->udp, &out->is_cut);
	return rc;
}

bool hostports_equal(const struct hostports *a, const struct hostports *b)
{
	return a->n_tcp == b->n_tcp && a->n_udp == b->n_udp && a->is_cut == b->is_cut &&
	       memcmp(a->tcp, b->tcp, a->n_tcp * sizeof(a->tcp[0])) == 0 &&
	       memcmp(a->udp, b->udp, a->n_udp * sizeof(a->udp[0])) == 0;
}

/* ---- one port ---- */

static bool is_listed(struct netlink *nl, uint8_t ip_proto, uint16_t port)
{
	const struct nat_range range = {port, port};
	struct port_set set;

	return list(nl, ip_proto, &range, 1, &set) < 0 || has_port(&set, port);
}

bool hostports_in_use(void *ctx, enum nat_class c, uint32_t address, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
	int fd, rc;

	if (c != CLASS_TCP && c != CLASS_UDP)
		return false;
	fd = socket(AF_INET, (c == CLASS_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return true;
	rc = bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ? errno : 0;
	close(fd);
	if (rc == EACCES) /* net.ipv4.ip_unprivileged_port_start */
		return is_listed(ctx, c == CLASS_TCP ? IPPROTO_TCP : IPPROTO_UDP, port);
	return rc != 0 && rc != EADDRNOTAVAIL; /* not an address of the host (any more): no socket is there */
}

/* ---- the host's own choice ---- */

bool hostports_ephemeral(struct nat_range *out)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	unsigned first = 0, last = 0;
	bool good;

	if (!f)
		return false;
	good = fscanf(f, "%5u %5u", &first, &last) == 2 && first > 0 && first <= last && last <= 65535;
	fclose(f);
	if (good)
		*out = (struct nat_range){(uint16_t)first, (uint16_t)last};
	return good;
}

bool hostports_is_reserved(const struct nat_range *r)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_reserved_ports", "re");
	unsigned first, last, next = r->first; /* first port not yet seen to be reserved */
	int n;

	if (!f)
		return false;
	while (next <= r->last && fscanf(f, "%5u", &first) == 1) { /* ascending: "80,1000-2000" */
		last = first;
		n = fscanf(f, "-%5u", &last);
		if (n >= 0)
			n = fscanf(f, ",");
		if (first > next)
			break;
		if (last >= next)
			next = last + 1;
		if (n < 0)
			break;
	}
	fclose(f);
	return next > r->last;
}
