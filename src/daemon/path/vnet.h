/* SPDX-License-Identifier: ISC */
/*
 * The virtio_net_hdr before each packet of a TUN device opened with IFF_VNET_HDR: encode and decode. Pure. The header
 * says which work on a packet is left: completing its transport checksum, and cutting it into segments. Each of its
 * fields is checked against the packet.
 */
#ifndef NATD_DAEMON_VNET_H
#define NATD_DAEMON_VNET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/nat/nat.h"

enum { VNET_HEADER_SIZE = 10 }; /* bytes, native byte order (the TUN driver's default) */

/*
 * Applies `header` to the packet p->data, p->len: sets p->gso_size and p->csum_partial. A checksum to be completed
 * outside the TCP or UDP header (of a tunnelled packet) is completed at once, so the packet may be changed. False: the
 * header does not fit the packet, which must be dropped.
 */
bool vnet_decode(const uint8_t header[VNET_HEADER_SIZE], struct nat_packet *p);

/* Makes the header for the packet from p->gso_size and p->csum_partial. False: they do not fit the packet. */
bool vnet_encode(const struct nat_packet *p, uint8_t header[VNET_HEADER_SIZE]);

/* Completes the checksum of a packet with csum_partial, for outputs that cannot leave it to the kernel (a raw
 * socket). False: not TCP or UDP, or too short; it is unchanged. */
bool vnet_finish_checksum(uint8_t *data, uint32_t len);

#endif
