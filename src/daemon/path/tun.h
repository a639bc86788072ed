/* SPDX-License-Identifier: ISC */
/*
 * One queue of the TUN device: open or adopt, read one packet, write one packet. Never blocks. The
 * interface's MTU, flags and addresses are netlink's business (routing.h does it all in managed mode).
 */
#ifndef NATD_DAEMON_TUN_H
#define NATD_DAEMON_TUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/nat/nat.h"
#include "iocounter.h"

#define TUN_PATH "/dev/net/tun"

enum { TUN_NAME_SIZE = 16 }; /* IFNAMSIZ, with the NUL */

struct tun_options {
	const char *name;
	bool offload;	  /* large packets, where the kernel has it: `features` tells what came of it */
	bool multi_queue; /* more than one queue will be opened under this name */
};

enum { TUN_CHECKSUM = 1, TUN_TSO = 2, TUN_USO = 4 };

struct tun {
	int fd; /* owned; for the event loop to wait on */
	char name[TUN_NAME_SIZE];
	bool has_vnet;	   /* each packet comes and goes with a virtio header */
	unsigned features; /* TUN_ bits in effect */
};

/*
 * Opens one queue; the device is made if it is not there, and goes when its last queue is closed. 0 or a
 * negative errno: -EBUSY another process has it, -ENOENT or -ENODEV no /dev/net/tun, -EPERM no right.
 * After a failure there is nothing to close. Where the kernel has no virtio headers the device is made
 * without offload (and tun_adopt() takes none such later: it looks like one of another configuration).
 */
int tun_open(struct tun *t, const struct tun_options *o);

/* The same with a descriptor that an earlier natd opened and the service manager kept; it is owned from then
 * on. -ENODEV, -EINVAL: it is no TUN queue of that name and kind (the descriptor is still the caller's). */
int tun_adopt(struct tun *t, int fd, const struct tun_options *o);

void tun_close(struct tun *t);

/*
 * Reads one packet into `room` bytes at `buffer` (65535 are always enough); fills p->data, len, gso_size,
 * csum_partial and source. 1: a packet; 0: none there; -EBADMSG: one that was unusable, counted: go on
 * reading; else a negative errno (-EBADFD: the device was deleted), counted too.
 */
int tun_read(const struct tun *t, struct io_counters *io, uint8_t *buffer, size_t room, struct nat_packet *p);

/* Writes one packet: the kernel then has it as received from the TUN device. 0, or a negative errno:
 * counted, the packet is lost. */
int tun_write(const struct tun *t, struct io_counters *io, const struct nat_packet *p);

/* The same for a packet in pieces, at most TUN_PARTS: its headers, whole, are at p->data. */
enum { TUN_PARTS = 64 };
int tun_write_parts(const struct tun *t, struct io_counters *io, const struct nat_packet *p, const struct iovec *parts,
		    int n);

#endif
