/* SPDX-License-Identifier: ISC */
/*
 * Copies of the ICMP that reaches the host's own address, which natd shares: from outside, and from inside hosts that
 * answer a hairpinned packet with an error (RFC 5508 REQ-7). The kernel filters: only replies (echo, timestamp) and
 * errors (unreachable, time exceeded, parameter problem) arrive. Fragmented ones arrive whole: the host has reassembled
 * them.
 *
 * A super-packet goes back through the TUN without the mark of the raw socket's packets. When a firewall refuses it on
 * its way outside, the kernel sends an error to its source, which is the host's own address: that error arrives by the
 * loopback interface, from the host to itself (the kernel drops packets from a wire with that source as martians). Its
 * source becomes ICMPSOCK_OWN_SOURCE, as in other errors of the kernel about natd's packets.
 */
#ifndef NATD_DAEMON_ICMPSOCK_H
#define NATD_DAEMON_ICMPSOCK_H

#include <stddef.h>
#include <stdint.h>

#include "core/nat/nat.h"
#include "iocounter.h"

struct icmpsock {
	int fd;		  /* owned; the event loop waits on it */
	unsigned outside; /* index of the outside interface; 0: unknown */
	struct io_counters *counters;
};

/* Returns 0 or a negative errno (-ENODEV: no such device; -EPERM). `counters` is borrowed. Without a device (NULL)
 * it receives nothing until icmpsock_listen(). */
int icmpsock_open(struct icmpsock *s, const char *device, struct io_counters *counters);
/* The same with a descriptor that an earlier natd opened without a device and the service manager kept; the socket
 * owns it from then on. A negative errno: it is not such a socket (the descriptor is still the caller's). */
int icmpsock_adopt(struct icmpsock *s, int fd, struct io_counters *counters);
void icmpsock_close(struct icmpsock *s);

enum { ICMPSOCK_INTERFACES = 64, ICMPSOCK_LOOPBACK = 1 /* its index in every network namespace */ };

#define ICMPSOCK_OWN_SOURCE 0xc0000008u /* 192.0.0.8, RFC 7600: never a real sender */

/* From now on receives only packets from these `n` interfaces (by index; at most ICMPSOCK_INTERFACES; 0: none);
 * `outside`: the outside one among them. Needs no privilege, so natd can follow an interface that was recreated.
 * Only for a socket opened without a device. Returns 0 or a negative errno. */
int icmpsock_listen(struct icmpsock *s, const unsigned *index, uint32_t n, unsigned outside);

/*
 * Reads one packet, with its IP header, into `room` bytes at `buffer` (65535 are always enough); fills p->data, len,
 * gso_size, csum_partial and source (NAT_FROM_ICMP). Accepts only packets to a shared address of `policy`. Packets from
 * other interfaces than the outside one must come from inside hosts: else an inside host could speak for outside ones.
 * From the host itself, only errors about packets that went to another host are accepted; nothing else has
 * ICMPSOCK_OWN_SOURCE. Returns 1: a packet; 0: none; -EBADMSG: a packet that is not for natd: continue reading; else a
 * negative errno.
 */
int icmpsock_read(struct icmpsock *s, const struct nat_policy *policy, uint8_t *buffer, size_t room,
		  struct nat_packet *p);

#endif
