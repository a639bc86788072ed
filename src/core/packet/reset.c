/* SPDX-License-Identifier: ISC */
#include "reset.h"

#include <string.h>

#include "checksum.h"

enum { IP_HEADER = 20, TCP_HEADER = 20, IP_TTL_DEFAULT = 64, IP_DF = 0x40, PROTOCOL_TCP = 6 };

struct tcp_reset tcp_reset_of(const struct pkt_view *v)
{
	bool has_ack = v->tcp_flags & TCP_ACK;
	uint32_t carried = v->tcp_data + (v->tcp_flags & TCP_SYN ? 1 : 0) + (v->tcp_flags & TCP_FIN ? 1 : 0);

	return (struct tcp_reset){
		.src = v->dst,
		.dst = v->src,
		.sport = v->dport,
		.dport = v->sport,
		.seq = has_ack ? v->tcp_ack : 0,
		.ack = has_ack ? 0 : v->tcp_seq + carried,
		.flags = has_ack ? TCP_RST : TCP_RST | TCP_ACK,
	};
}

size_t tcp_reset_build(uint8_t *out, const struct tcp_reset *r)
{
	uint8_t *tcp = out + IP_HEADER;

	memset(out, 0, TCP_RESET_LEN);
	out[0] = 0x45;
	store16(out + 2, TCP_RESET_LEN);
	out[6] = IP_DF; /* atomic: its id means nothing (RFC 6864 4.1) */
	out[8] = IP_TTL_DEFAULT;
	out[9] = PROTOCOL_TCP;
	store32(out + 12, r->src);
	store32(out + 16, r->dst);
	store16(out + 10, checksum_finish(checksum_add(0, out, IP_HEADER)));
	store16(tcp, r->sport);
	store16(tcp + 2, r->dport);
	store32(tcp + 4, r->seq);
	store32(tcp + 8, r->ack);
	tcp[12] = TCP_HEADER / 4 << 4;
	tcp[13] = r->flags;
	store16(tcp + 16, checksum_finish(checksum_add(checksum_pseudo(r->src, r->dst, PROTOCOL_TCP, TCP_HEADER), tcp,
						       TCP_HEADER)));
	return TCP_RESET_LEN;
}
