/* SPDX-License-Identifier: ISC */
/* The raw socket that receives copies of the host's ICMP. */
#include "icmpsock.h"

#include <netinet/in.h> /* before linux/icmp.h, for musl */

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/packet/checksum.h"
#include "core/packet/packet.h"

enum { RECEIVE_BUFFER = 1 << 20 }; /* bytes */

#ifndef SOL_RAW
#define SOL_RAW 255
#endif

static int set_options(int fd, const char *device)
{
	/* A set bit blocks that type. */
	const struct icmp_filter filter = {~(1u << ICMP_ECHOREPLY | 1u << ICMP_TIMESTAMPREPLY |
					     1u << ICMP_DEST_UNREACH | 1u << ICMP_TIME_EXCEEDED |
					     1u << ICMP_PARAMETERPROB)};
	/* This socket never sends, but otherwise an error that quotes ICMP would change the path MTU on its behalf. */
	const int no_path_mtu = IP_PMTUDISC_INTERFACE;
	const int on = 1; /* each packet comes with its inbound interface */
	int size = RECEIVE_BUFFER;

	if (setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &no_path_mtu, sizeof(no_path_mtu)) < 0 ||
	    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) < 0)
		return -errno;
	/* The filter first: once the device is set, only wanted packets arrive. */
	if (setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof(filter)) < 0 ||
	    (device && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device) + 1) < 0))
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)); /* as large as permitted */
	return 0;
}

int icmpsock_open(struct icmpsock *s, const char *device, struct io_counters *counters)
{
	int rc;

	s->counters = counters;
	s->outside = 0;
	s->fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP);
	if (s->fd < 0)
		return -errno;
	rc = set_options(s->fd, device);
	if (rc == 0 && !device)
		rc = icmpsock_listen(s, NULL, 0, 0);
	if (rc < 0)
		icmpsock_close(s);
	return rc;
}

static bool has_option(int fd, int option, int wanted)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

int icmpsock_adopt(struct icmpsock *s, int fd, struct io_counters *counters)
{
	int flags = fcntl(fd, F_GETFL);
	int rc;

	if (!has_option(fd, SO_DOMAIN, AF_INET) || !has_option(fd, SO_TYPE, SOCK_RAW) ||
	    !has_option(fd, SO_PROTOCOL, IPPROTO_ICMP))
		return -EINVAL;
	rc = flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : set_options(fd, NULL);
	if (rc == 0)
		*s = (struct icmpsock){.fd = fd, .counters = counters};
	return rc;
}

int icmpsock_listen(struct icmpsock *s, const unsigned *index, uint32_t n, unsigned outside)
{
	struct sock_filter code[ICMPSOCK_INTERFACES + 3];
	struct sock_fprog program = {.filter = code};

	if (n > ICMPSOCK_INTERFACES)
		return -EINVAL;
	code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_IFINDEX));
	for (uint32_t i = 0; i < n; i++) /* equal: jump to the last but one instruction, which accepts */
		code[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, index[i], (uint8_t)(n - i), 0);
	code[1 + n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	code[2 + n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
	program.len = (unsigned short)(n + 3);
	s->outside = outside;
	return setsockopt(s->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

void icmpsock_close(struct icmpsock *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static bool is_shared(const struct nat_policy *policy, uint32_t address)
{
	uint32_t i;

	for (i = 0; i < policy->n_addresses; i++) {
		const struct nat_address_range *a = &policy->addresses[i];

		if (a->shared && address >= a->first && address <= a->last)
			return true;
	}
	return false;
}

static bool is_inside(const struct nat_policy *policy, uint32_t address)
{
	for (uint32_t i = 0; i < policy->n_inside; i++) {
		const struct nat_prefix *p = &policy->inside[i];

		if (p->length == 0 || (address ^ p->address) >> (32 - p->length) == 0)
			return true;
	}
	return false;
}

/* A kernel's error about a packet that left as the host's own: see icmpsock.h. */
static bool is_own_error(const struct nat_policy *policy, const uint8_t *ip, size_t n)
{
	size_t ihl = (ip[0] & 15) * 4u;

	return n >= ihl + 8 + 20 && (ip[ihl] == ICMP_DEST_UNREACH || ip[ihl] == ICMP_TIME_EXCEEDED) &&
	       load32(ip + ihl + 8 + 12) == load32(ip + 16) && !is_shared(policy, load32(ip + ihl + 8 + 16));
}

static void set_own_source(uint8_t *ip)
{
	uint32_t sum = checksum_diff16(load16(ip + 12), ICMPSOCK_OWN_SOURCE >> 16);

	store16(ip + 10, checksum_update(load16(ip + 10), sum));
	sum = checksum_diff16(load16(ip + 14), ICMPSOCK_OWN_SOURCE & 0xffff);
	store16(ip + 10, checksum_update(load16(ip + 10), sum));
	store32(ip + 12, ICMPSOCK_OWN_SOURCE);
}

/* The quote shows the super-packet, which was never on a wire: its first segment is assumed to have the size of the
 * MTU. The checksum of the quoted header stays right, and so does the error's. */
static void shorten_quote(uint8_t *quote, uint16_t mtu)
{
	uint16_t before = load16(quote + 2);

	if (mtu == 0 || before <= mtu)
		return;
	store16(quote + 2, mtu);
	store16(quote + 10, checksum_update(load16(quote + 10), checksum_diff16(before, mtu)));
}

/* No packet from an interface may pass for an error of the kernel's own. */
static bool is_foreign(const struct icmpsock *s, const struct nat_policy *policy, unsigned interface, uint32_t source)
{
	return source == ICMPSOCK_OWN_SOURCE ||
	       (s->outside != 0 && interface != s->outside && !is_inside(policy, source));
}

/* The index of the inbound interface; 0: unknown. */
static unsigned interface_of(struct msghdr *m)
{
	struct in_pktinfo info;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO)
			continue;
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		return (unsigned)info.ipi_ifindex;
	}
	return 0;
}

static int read_failed(struct icmpsock *s)
{
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	s->counters->value[IO_ICMP_READ_ERROR]++;
	return -errno;
}

int icmpsock_read(struct icmpsock *s, const struct nat_policy *policy, uint8_t *buffer, size_t room,
		  struct nat_packet *p)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control;
	struct iovec v = {buffer, room};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(s->fd, &m, 0);
	bool is_hosts;

	if (n < 0)
		return read_failed(s);
	s->counters->value[IO_ICMP_READ]++;
	if (n < 28 || !is_shared(policy, load32(buffer + 16))) { /* IP and ICMP header */
		s->counters->value[IO_ICMP_IGNORED]++;
		return -EBADMSG;
	}
	is_hosts = load32(buffer + 12) == load32(buffer + 16);
	if (is_hosts && !is_own_error(policy, buffer, (size_t)n)) {
		s->counters->value[IO_ICMP_IGNORED]++;
		return -EBADMSG;
	}
	if (!is_hosts && is_foreign(s, policy, interface_of(&m), load32(buffer + 12))) {
		s->counters->value[IO_ICMP_FOREIGN]++;
		return -EBADMSG;
	}
	if (is_hosts) {
		set_own_source(buffer);
		shorten_quote(buffer + (buffer[0] & 15) * 4u + 8, policy->outside_mtu);
	}
	*p = (struct nat_packet){.data = buffer, .len = (uint32_t)n, .source = NAT_FROM_ICMP};
	return 1;
}
