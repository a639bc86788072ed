/* SPDX-License-Identifier: ISC */
#include "soak_packet.h"

#include <string.h>

#include "core/packet/packet.h"

enum { IP = 20, UDP = 8, TCP = 20, ICMP = 8, CUT = 16 /* bytes of the datagram in its first part */ };

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static uint32_t sum(const uint8_t *p, uint32_t len)
{
	uint32_t s = 0;

	for (uint32_t i = 0; i + 1 < len; i += 2)
		s += get16(p + i);
	return len % 2 ? s + ((uint32_t)p[len - 1] << 8) : s;
}

static uint32_t fold(uint32_t s)
{
	s = (s & 0xffff) + (s >> 16);
	return (s & 0xffff) + (s >> 16);
}

/* Of the transport part of a whole packet. */
static uint32_t transport_sum(const uint8_t *p, uint32_t len)
{
	uint32_t s = sum(p + IP, len - IP);

	return fold(p[9] == IPPROTO_NR_ICMP ? s : s + sum(p + 12, 8) + p[9] + len - IP);
}

static void write_ip(uint8_t *p, uint32_t src, uint32_t dst, uint8_t proto, uint32_t len)
{
	memset(p, 0, len);
	p[0] = 0x45;
	put16(p + 2, len);
	p[8] = 60;
	p[9] = proto;
	put32(p + 12, src);
	put32(p + 16, dst);
}

static void fix(uint8_t *p, uint32_t len, uint32_t field)
{
	uint32_t right;

	put16(p + 10, 0);
	put16(p + 10, ~fold(sum(p, IP)) & 0xffff);
	put16(p + field, 0);
	right = ~transport_sum(p, len) & 0xffff;
	put16(p + field, right == 0 && p[9] == IPPROTO_NR_UDP ? 0xffff : right);
}

static uint32_t write_tcp(uint8_t *p, const struct soak_packet *s)
{
	uint32_t len = IP + TCP + s->payload;

	write_ip(p, s->ends.src, s->ends.dst, IPPROTO_NR_TCP, len);
	put16(p + IP, s->ends.sport);
	put16(p + IP + 2, s->ends.dport);
	put32(p + IP + 4, s->seq);
	put32(p + IP + 8, s->ack);
	p[IP + 12] = TCP / 4 << 4;
	p[IP + 13] = s->flags;
	put16(p + IP + 14, 65535);
	fix(p, len, IP + 16);
	return len;
}

static uint32_t write_udp(uint8_t *p, const struct soak_packet *s)
{
	uint32_t len = IP + UDP + s->payload;

	write_ip(p, s->ends.src, s->ends.dst, IPPROTO_NR_UDP, len);
	put16(p + 4, s->id);
	put16(p + IP, s->ends.sport);
	put16(p + IP + 2, s->ends.dport);
	put16(p + IP + 4, len - IP);
	fix(p, len, IP + 6);
	return len;
}

static uint32_t write_echo(uint8_t *p, const struct soak_packet *s)
{
	uint32_t len = IP + ICMP + s->payload;

	write_ip(p, s->ends.src, s->ends.dst, IPPROTO_NR_ICMP, len);
	p[IP] = s->is_reply ? 0 : 8;
	put16(p + IP + 4, s->is_reply ? s->ends.dport : s->ends.sport);
	fix(p, len, IP + 2);
	return len;
}

uint32_t soak_packet_write(uint8_t *p, const struct soak_packet *s)
{
	if (s->proto_class == CLASS_TCP)
		return write_tcp(p, s);
	return s->proto_class == CLASS_UDP ? write_udp(p, s) : write_echo(p, s);
}

uint32_t soak_packet_error(uint8_t *p, uint32_t router, const uint8_t *quoted)
{
	uint32_t quoted_len = get16(quoted + 2), len = IP + ICMP + quoted_len;

	write_ip(p, router, get32(quoted + 12), IPPROTO_NR_ICMP, len);
	p[IP] = 3;
	p[IP + 1] = 1;
	memcpy(p + IP + ICMP, quoted, quoted_len);
	fix(p, len, IP + 2);
	return len;
}

static bool read_icmp(const uint8_t *p, uint32_t len, struct ends *ends)
{
	const uint8_t *quoted = p + IP + ICMP;
	struct ends about;

	if (p[IP] == 8)
		ends->sport = (uint16_t)get16(p + IP + 4);
	else if (p[IP] == 0)
		ends->dport = (uint16_t)get16(p + IP + 4);
	if (p[IP] != 3)
		return p[IP] == 8 || p[IP] == 0;
	if (len < IP + ICMP + IP + ICMP || quoted[0] != 0x45 || get32(quoted + 12) != ends->dst ||
	    !soak_packet_read(quoted, len - IP - ICMP, &about))
		return false;
	ends->dport = about.sport;
	return true;
}

bool soak_packet_read(const uint8_t *p, uint32_t len, struct ends *ends)
{
	if (len < IP + UDP || p[0] != 0x45 || get16(p + 2) != len || fold(sum(p, IP)) != 0xffff ||
	    transport_sum(p, len) != 0xffff)
		return false;
	*ends = (struct ends){.src = get32(p + 12), .dst = get32(p + 16)};
	if (p[9] == IPPROTO_NR_ICMP)
		return read_icmp(p, len, ends);
	ends->sport = (uint16_t)get16(p + IP);
	ends->dport = (uint16_t)get16(p + IP + 2);
	return true;
}

void soak_packet_cut(const uint8_t *whole, uint8_t *first, uint8_t *later, uint32_t *first_len, uint32_t *later_len)
{
	uint32_t len = get16(whole + 2);

	*first_len = IP + CUT;
	*later_len = len - CUT;
	memcpy(first, whole, *first_len);
	memcpy(later, whole, IP);
	memcpy(later + IP, whole + *first_len, *later_len - IP);
	put16(first + 2, *first_len);
	put16(first + 6, 0x2000);
	put16(later + 2, *later_len);
	put16(later + 6, CUT / 8);
	put16(first + 10, 0);
	put16(later + 10, 0);
	put16(first + 10, ~fold(sum(first, IP)) & 0xffff);
	put16(later + 10, ~fold(sum(later, IP)) & 0xffff);
}

bool soak_packet_collect(uint8_t *whole, uint32_t *len, uint32_t room, const uint8_t *p, uint32_t p_len)
{
	uint32_t at = (get16(p + 6) & 0x1fff) * 8;

	if (p_len < IP || get16(p + 2) != p_len || fold(sum(p, IP)) != 0xffff || IP + at + p_len - IP > room)
		return false;
	memcpy(whole + IP + at, p + IP, p_len - IP);
	if (*len == 0)
		*len = IP;
	*len += p_len - IP;
	if (at > 0)
		return true;
	memcpy(whole, p, IP);
	put16(whole + 2, IP + CUT + 16);
	put16(whole + 6, 0);
	put16(whole + 10, 0);
	put16(whole + 10, ~fold(sum(whole, IP)) & 0xffff);
	return true;
}
