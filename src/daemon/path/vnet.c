/* SPDX-License-Identifier: ISC */
/*
 * virtio_net_hdr, as <linux/virtio_net.h> and OASIS virtio 1.2, 5.1.6 define it: flags, kind of super-packet, header
 * length, segment size, checksum start and offset.
 */
#include "vnet.h"

#include <linux/virtio_net.h>
#include <string.h>

#include "core/packet/checksum.h"
#include "core/packet/packet.h"

_Static_assert(sizeof(struct virtio_net_hdr) == VNET_HEADER_SIZE, "the short header, without num_buffers");

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* Linux 6.2 */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum {
	IP_HEADER_MIN = 20,
	UDP_HEADER = 8,
	TCP_HEADER_MIN = 20,
	TCP_CHECKSUM_AT = 16,
	UDP_CHECKSUM_AT = 6,
	TCP_CWR = 0x80,
};

/* Position of the transport header in a frame; only for TCP and UDP, whole or first fragment. */
struct layout {
	uint32_t ihl;
	uint32_t header_len;  /* IP and transport header */
	uint32_t checksum_at; /* offset of the checksum within the frame */
	uint8_t proto;
	bool is_fragment;
};

static bool find_layout(const uint8_t *data, uint32_t len, struct layout *l)
{
	uint32_t transport;

	if (len < IP_HEADER_MIN || data[0] >> 4 != 4)
		return false;
	l->ihl = (data[0] & 15u) * 4;
	l->proto = data[9];
	l->is_fragment = (load16(data + 6) & 0x3fff) != 0;
	if (l->ihl < IP_HEADER_MIN || (load16(data + 6) & 0x1fff) != 0)
		return false;
	if (l->proto == IPPROTO_NR_TCP && len >= l->ihl + TCP_HEADER_MIN) {
		transport = (data[l->ihl + 12] >> 4) * 4u;
		l->checksum_at = l->ihl + TCP_CHECKSUM_AT;
		l->header_len = l->ihl + transport;
		return transport >= TCP_HEADER_MIN && l->header_len <= len;
	}
	l->checksum_at = l->ihl + UDP_CHECKSUM_AT;
	l->header_len = l->ihl + UDP_HEADER;
	return l->proto == IPPROTO_NR_UDP && l->header_len <= len;
}

/* Completes the checksum at `at` over everything from `start`; the field holds the pseudo header's sum. */
static void finish(uint8_t *data, uint32_t len, uint32_t start, uint32_t at)
{
	uint16_t sum = checksum_finish(checksum_add(0, data + start, len - start));

	store16(data + at, sum ? sum : 0xffff); /* RFC 768: 0 would mean "none"; for TCP both are right */
}

/* IP total length, if plausible: padding after it is not part of a checksum. */
static uint32_t real_len(const uint8_t *data, uint32_t len)
{
	uint32_t total = len >= IP_HEADER_MIN ? load16(data + 2) : 0;

	return total >= IP_HEADER_MIN && total < len ? total : len;
}

bool vnet_finish_checksum(uint8_t *data, uint32_t len)
{
	struct layout l;

	len = real_len(data, len);
	if (!find_layout(data, len, &l) || l.is_fragment)
		return false;
	finish(data, len, l.ihl, l.checksum_at);
	return true;
}

/* ---- decode ---- */

/* The checksum that is still to be computed. */
static bool decode_checksum(const struct virtio_net_hdr *h, struct nat_packet *p)
{
	uint32_t at = (uint32_t)h->csum_start + h->csum_offset;
	uint32_t len = real_len(p->data, p->len);
	struct layout l;

	if (len < IP_HEADER_MIN || h->csum_start < (p->data[0] & 15u) * 4 || h->csum_start < IP_HEADER_MIN ||
	    at + 2 > len)
		return false;
	if (find_layout(p->data, len, &l) && !l.is_fragment && l.ihl == h->csum_start && l.checksum_at == at) {
		p->csum_partial = true;
		return true;
	}
	if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return false;
	finish(p->data, len, h->csum_start, at);
	return true;
}

static bool decode_gso(const struct virtio_net_hdr *h, struct nat_packet *p)
{
	bool is_tcp = (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV4;
	struct layout l;

	if (!is_tcp && h->gso_type != VIRTIO_NET_HDR_GSO_UDP_L4)
		return false; /* UFO and IPv6 are not enabled */
	if (!p->csum_partial || h->gso_size == 0 || h->hdr_len > p->len || !find_layout(p->data, p->len, &l))
		return false;
	if (l.proto != (is_tcp ? IPPROTO_NR_TCP : IPPROTO_NR_UDP) || load16(p->data + 2) != p->len)
		return false;
	if (p->len - l.header_len > h->gso_size)
		p->gso_size = h->gso_size;
	return true;
}

bool vnet_decode(const uint8_t header[VNET_HEADER_SIZE], struct nat_packet *p)
{
	struct virtio_net_hdr h;

	memcpy(&h, header, sizeof(h));
	p->gso_size = 0;
	p->csum_partial = false;
	if (h.flags & ~(VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID))
		return false;
	if ((h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && !decode_checksum(&h, p))
		return false;
	return h.gso_type == VIRTIO_NET_HDR_GSO_NONE || decode_gso(&h, p);
}

/* ---- encode ---- */

static uint8_t gso_type(const uint8_t *data, const struct layout *l)
{
	if (l->proto == IPPROTO_NR_UDP)
		return VIRTIO_NET_HDR_GSO_UDP_L4;
	/* RFC 3168 6.1.2: only the first segment may carry CWR; the flag says so to whatever cuts the packet. */
	return data[l->ihl + 13] & TCP_CWR ? VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN
					   : VIRTIO_NET_HDR_GSO_TCPV4;
}

bool vnet_encode(const struct nat_packet *p, uint8_t header[VNET_HEADER_SIZE])
{
	struct virtio_net_hdr h = {.gso_type = VIRTIO_NET_HDR_GSO_NONE};
	struct layout l;

	memset(header, 0, VNET_HEADER_SIZE);
	if (!p->csum_partial)
		return p->gso_size == 0;
	if (!find_layout(p->data, p->len, &l) || l.is_fragment)
		return false;
	h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h.csum_start = (uint16_t)l.ihl;
	h.csum_offset = (uint16_t)(l.checksum_at - l.ihl);
	if (p->gso_size) {
		h.gso_type = gso_type(p->data, &l);
		h.gso_size = p->gso_size;
		h.hdr_len = (uint16_t)l.header_len;
	}
	memcpy(header, &h, sizeof(h));
	return true;
}
