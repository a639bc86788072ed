/* SPDX-License-Identifier: ISC */
/*
 * Copies of the ICMP that reaches the host's own address, which natd shares: from outside, and from inside hosts that
 * answer a hairpinned packet with an error (RFC 5508 REQ-7). The kernel filters: only replies (echo, timestamp) and
 * errors (unreachable, time exceeded, parameter problem) come through. Fragmented ones come whole: the host has put
 * them together.
 *
 * A super-packet goes back through the TUN, without the mark of what the raw socket sends. When a firewall refuses it on its way
 * outside, the kernel tells its source, which is the host's own address: that error comes by the loopback interface, from the host to
 * itself (what a wire brings with that source, the kernel drops as a martian). It is given ICMPSOCK_OWN_SOURCE, as other
 * errors of the kernel about natd's packets have.
 */
#ifndef NATD_DAEMON_ICMPSOCK_H
#define NATD_DAEMON_ICMPSOCK_H

#include <stddef.h>
#include <stdint.h>

#include "core/nat/nat.h"
#include "iocounter.h"

struct icmpsock {
	int fd;		  /* owned; for the event loop to wait on */
	unsigned outside; /* index of the outside interface; 0: not known */
	struct io_counters *counters;
};

/* 0 or a negative errno (-ENODEV: no such device; -EPERM). `counters` is borrowed. Without a device (NULL) it is deaf until
 * icmpsock_listen(). */
int icmpsock_open(struct icmpsock *s, const char *device, struct io_counters *counters);
/* The same with a descriptor that an earlier natd opened without a device and the service manager kept; it is owned from
 * then on. A negative errno: it is no such socket (the descriptor is still the caller's). */
int icmpsock_adopt(struct icmpsock *s, int fd, struct io_counters *counters);
void icmpsock_close(struct icmpsock *s);

enum { ICMPSOCK_INTERFACES = 64, ICMPSOCK_LOOPBACK = 1 /* its index in every network namespace */ };

#define ICMPSOCK_OWN_SOURCE 0xc0000008u /* 192.0.0.8, RFC 7600: no sender has it */

/* From now on only what came in by one of these `n` interfaces (by index; at most ICMPSOCK_INTERFACES; 0: none at all) is
 * read; `outside`: which of them is the outside one. Needs no privilege, so natd can follow an interface that was recreated. For
 * a socket opened without a device. 0 or a negative errno. */
int icmpsock_listen(struct icmpsock *s, const unsigned *index, uint32_t n, unsigned outside);

/*
 * Reads one packet, with its IP header, into `room` bytes at `buffer` (65535 are always enough); fills
 * p->data, len, gso_size, csum_partial and source (NAT_FROM_ICMP). Takes only packets to a shared address of `policy`, and by
 * another interface than the outside one only from inside hosts: else an inside host could speak for outside ones. From the
 * host itself, only errors about what went to another host; nothing else has ICMPSOCK_OWN_SOURCE.
 * 1: a packet; 0: none there; -EBADMSG: one that is not for natd: go on reading; else a negative errno.
 */
int icmpsock_read(struct icmpsock *s, const struct nat_policy *policy, uint8_t *buffer, size_t room,
		  struct nat_packet *p);

#endif
