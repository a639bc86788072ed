/* SPDX-License-Identifier: ISC */
/*
 * Cuts a packet for a smaller MTU (RFC 791 3.2, RFC 1812 5.2.6). In place: each piece's header overwrites the end of
 * the previous piece, which has been emitted by then.
 */
#include <string.h>

#include "core/packet/checksum.h"
#include "fragment.h"

enum {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_COPIED = 0x80, /* RFC 791 3.1: goes into every fragment */
	MORE_FRAGMENTS = 0x2000,
	RESERVED_BIT = 0x8000,
	HEADER_MAX = 60,
};

struct header {
	uint8_t bytes[HEADER_MAX];
	unsigned len;
};

/* The length of an option; 0: malformed. */
static unsigned option_len(const uint8_t *option, unsigned room)
{
	if (option[0] == OPTION_NOP)
		return 1;
	return room >= 2 && option[1] >= 2 && option[1] <= room ? option[1] : 0;
}

/* The header of the pieces after the first: only options with the copy bit. */
static struct header later_header(const uint8_t *ip, unsigned ihl)
{
	struct header h = {.len = 20};
	unsigned at = 20;

	memcpy(h.bytes, ip, 20);
	while (at < ihl && ip[at] != OPTION_END) {
		unsigned len = option_len(ip + at, ihl - at);

		if (len == 0)
			break;
		if (ip[at] & OPTION_COPIED) {
			memcpy(h.bytes + h.len, ip + at, len);
			h.len += len;
		}
		at += len;
	}
	while (h.len % 4 != 0)
		h.bytes[h.len++] = OPTION_END;
	h.bytes[0] = (uint8_t)(0x40 | h.len / 4);
	return h;
}

/* Writes the header before its piece, with length, flags and offset (`field`), and checksum. Returns where the piece
 * starts. */
static uint8_t *write_header(const struct header *h, uint8_t *payload, unsigned payload_len, uint16_t field)
{
	uint8_t *ip = payload - h->len;

	memcpy(ip, h->bytes, h->len);
	store16(ip + 2, (uint16_t)(h->len + payload_len));
	store16(ip + 6, field);
	store16(ip + 10, 0);
	store16(ip + 10, checksum_finish(checksum_add(0, ip, h->len)));
	return ip;
}

unsigned fragment_cut(const struct pkt_view *v, uint16_t mtu, void (*emit)(void *ctx, uint8_t *data, size_t len),
		      void *ctx)
{
	struct header h = {.len = v->ihl};
	struct header later = later_header(v->ip, v->ihl);
	unsigned left = (unsigned)v->len - v->ihl;
	unsigned reserved = load16(v->ip + 6) & RESERVED_BIT;
	unsigned at = 0, pieces = 0;

	memcpy(h.bytes, v->ip, v->ihl);
	if (mtu < v->ihl + 8u)
		return 0;
	do {
		unsigned room = mtu - h.len;
		unsigned len = left <= room ? left : room & ~7u;
		bool more = len < left || v->more_fragments;
		unsigned field = reserved | (more ? MORE_FRAGMENTS : 0) | (v->frag_offset + at) / 8;
		uint8_t *piece = write_header(&h, v->ip + v->ihl + at, len, (uint16_t)field);

		emit(ctx, piece, h.len + len);
		h = later;
		at += len;
		left -= len;
		pieces++;
	} while (left > 0);
	return pieces;
}
