/* SPDX-License-Identifier: ISC */
/*
 * One queue of the TUN device: open or adopt, read one packet, write one packet. Never blocks. The interface's MTU,
 * flags and addresses are set through netlink (routing.h does it all in managed mode).
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
	bool offload;	  /* large packets, if the kernel supports them: see `features` */
	bool multi_queue; /* more than one queue will be opened under this name */
};

enum { TUN_CHECKSUM = 1, TUN_TSO = 2, TUN_USO = 4 };

struct tun {
	int fd; /* owned; for the event loop to wait on */
	char name[TUN_NAME_SIZE];
	bool has_vnet;	   /* each packet comes and goes with a virtio header */
	unsigned features; /* each packet has a virtio header, in both directions */
};

/*
 * Opens one queue; the device is created if it does not exist, and disappears when its last queue is closed. Returns 0
 * or a negative errno: -EBUSY: another process has it; -ENOENT or -ENODEV: no /dev/net/tun; -EPERM: no right. After a
 * failure there is nothing to close. If the kernel has no virtio headers the device is created without offload (and a
 * later tun_adopt() refuses it, because it looks like one of another configuration).
 */
int tun_open(struct tun *t, const struct tun_options *o);

/* The same with a descriptor that an earlier natd opened and the service manager kept; the queue owns it from then
 * on. -ENODEV, -EINVAL: it is not a TUN queue of that name and kind (the descriptor is still the caller's). */
int tun_adopt(struct tun *t, int fd, const struct tun_options *o);

void tun_close(struct tun *t);

/*
 * Reads one packet into `room` bytes at `buffer` (65535 are always enough); fills p->data, len, gso_size, csum_partial
 * and source. Returns 1: a packet; 0: none; -EBADMSG: an unusable one, counted: continue reading; else a negative errno
 * (-EBADFD: the device was deleted), also counted.
 */
int tun_read(const struct tun *t, struct io_counters *io, uint8_t *buffer, size_t room, struct nat_packet *p);

/* Writes one packet: the kernel treats it as received from the TUN device. Returns 0 or a negative errno: it was
 * counted, and the packet is lost. */
int tun_write(const struct tun *t, struct io_counters *io, const struct nat_packet *p);

/* The same for a packet in at most TUN_PARTS pieces: its headers are whole at p->data. */
enum { TUN_PARTS = 64 };
int tun_write_parts(const struct tun *t, struct io_counters *io, const struct nat_packet *p, const struct iovec *parts,
		    int n);

#endif
