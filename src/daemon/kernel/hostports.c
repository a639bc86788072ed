/* SPDX-License-Identifier: ISC */
/* The ports that the host itself uses. */
#include "hostports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	RUNS_MAX = 512,
	WRITE_MAX = 4000, /* the kernel takes a page in one piece */
};

/* ---- listing ---- */

static bool take_socket(void *ctx, const struct netlink_socket *s)
{
	struct steering_ports *set = ctx;

	if (s->address >> 24 != 127) /* no packet from a wire reaches the loopback network */
		set->bits[s->port / 64] |= UINT64_C(1) << s->port % 64;
	return true;
}

int hostports_list(struct netlink *nl, struct hostports *out)
{
	const struct nat_range all = {1, 65535};
	int rc;

	memset(out, 0, sizeof(*out));
	rc = netlink_sockets(nl, IPPROTO_TCP, NETLINK_SOCKETS_OPEN, all, take_socket, &out->tcp);
	if (rc == 0)
		rc = netlink_sockets(nl, IPPROTO_UDP, NETLINK_SOCKETS_OPEN, all, take_socket, &out->udp);
	if (rc < 0)
		memset(out, 0, sizeof(*out));
	return rc;
}

bool hostports_equal(const struct hostports *a, const struct hostports *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* ---- one port ---- */

static bool is_listed(struct netlink *nl, uint8_t ip_proto, uint16_t port)
{
	const struct nat_range range = {port, port};
	struct steering_ports set;

	memset(&set, 0, sizeof(set));
	return netlink_sockets(nl, ip_proto, NETLINK_SOCKETS_ALL, range, take_socket, &set) < 0 ||
	       steering_port_is_set(&set, port);
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
	return rc != 0 && rc != EADDRNOTAVAIL; /* not an address of the host (any more): there is no socket */
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

static const char reserved_file[] = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/* "80,1000-2000" */
bool hostports_reserved(struct steering_ports *out)
{
	FILE *f = fopen(reserved_file, "re");
	unsigned first, last;

	memset(out, 0, sizeof(*out));
	if (!f)
		return false;
	while (fscanf(f, "%5u", &first) == 1) {
		last = first;
		(void)!fscanf(f, "-%5u", &last);
		for (unsigned port = first; port <= last && port <= UINT16_MAX; port++)
			out->bits[port / 64] |= UINT64_C(1) << port % 64;
		if (fgetc(f) != ',')
			break;
	}
	fclose(f);
	return true;
}

bool hostports_reserve(const struct steering_ports *ports)
{
	static const char separator[] = ",";
	struct nat_range runs[RUNS_MAX];
	uint32_t n = steering_ports_runs(ports, runs, RUNS_MAX);
	char text[WRITE_MAX];
	size_t len = 0;
	bool good;
	int fd;

	for (uint32_t i = 0; i < n && i < RUNS_MAX && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u-%u", i ? separator : "", runs[i].first,
					runs[i].last);
	if (n > RUNS_MAX || len >= sizeof(text) - 1)
		return false;
	text[len++] = '\n';
	fd = open(reserved_file, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	good = write(fd, text, len) == (ssize_t)len;
	close(fd);
	return good;
}

bool hostports_is_reserved(const struct nat_range *r)
{
	struct steering_ports set;
	uint32_t port = r->first;

	if (!hostports_reserved(&set))
		return false;
	while (port <= r->last && steering_port_is_set(&set, (uint16_t)port))
		port++;
	return port > r->last;
}
