/* SPDX-License-Identifier: ISC */
#include "reset.h"

#include <string.h>

#include "checksum.h"

enum { IP_HEADER = 20, TCP_HEADER = 20, IP_TTL_DEFAULT = 64, IP_DF = 0x40, PROTOCOL_TCP = 6 };

static void put_ip(uint8_t *ip, const struct pkt_view *v)
{
	memset(ip, 0, IP_HEADER);
	ip[0] = 0x45;
	store16(ip + 2, TCP_RESET_LEN);
	ip[6] = IP_DF;
	ip[8] = IP_TTL_DEFAULT;
	ip[9] = PROTOCOL_TCP;
	store32(ip + 12, v->dst);
	store32(ip + 16, v->src);
	store16(ip + 10, checksum_finish(checksum_add(0, ip, IP_HEADER)));
}

/* A segment with an acknowledgement is reset at that number; another one is acknowledged, since SYN_SENT accepts nothing
 * else. */
static void put_tcp(uint8_t *tcp, const struct pkt_view *v)
{
	bool has_ack = v->tcp_flags & TCP_ACK;
	uint32_t carried = v->tcp_data + (v->tcp_flags & TCP_SYN ? 1 : 0) + (v->tcp_flags & TCP_FIN ? 1 : 0);

	memset(tcp, 0, TCP_HEADER);
	store16(tcp, v->dport);
	store16(tcp + 2, v->sport);
	store32(tcp + 4, has_ack ? v->tcp_ack : 0);
	store32(tcp + 8, has_ack ? 0 : v->tcp_seq + carried);
	tcp[12] = TCP_HEADER / 4 << 4;
	tcp[13] = has_ack ? TCP_RST : TCP_RST | TCP_ACK;
}

size_t tcp_reset_build(uint8_t *out, const struct pkt_view *v)
{
	uint8_t *tcp = out + IP_HEADER;

	put_ip(out, v);
	put_tcp(tcp, v);
	store16(tcp + 16, checksum_finish(checksum_add(checksum_pseudo(v->dst, v->src, PROTOCOL_TCP, TCP_HEADER), tcp,
						       TCP_HEADER)));
	return TCP_RESET_LEN;
}
