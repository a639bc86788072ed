/* SPDX-License-Identifier: ISC */
/*
 * The packet builder of the tests. Written for obviousness, not for speed: it is what the core is
 * judged by, so it shares no code with it.
 */
#include "build.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ICMP = 1, TCP = 6, UDP = 17, CHECK_IP = 10, CHECK_ICMP = 2, CHECK_TCP = 16, CHECK_UDP = 6 };

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] * 256 + p[1];
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v / 256);
	p[1] = (uint8_t)(v % 256);
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v / 65536);
	put16(p + 2, v % 65536);
}

static size_t header_length(const uint8_t *p)
{
	return (size_t)(p[0] % 16) * 4;
}

uint16_t build_checksum(uint32_t sum, const uint8_t *p, size_t len)
{
	uint64_t total = sum;

	for (size_t i = 0; i < len; i++)
		total += i % 2 == 0 ? (uint64_t)p[i] * 256 : p[i];
	while (total > 0xffff)
		total = total % 65536 + total / 65536;
	return (uint16_t)(0xffff - total);
}

/* The pseudo header's words, read from a built IP header. */
static uint32_t pseudo_sum(const uint8_t *p, size_t l4_len)
{
	return get16(p + 12) + get16(p + 14) + get16(p + 16) + get16(p + 18) + p[9] + (uint32_t)l4_len;
}

uint16_t build_transport_checksum(const uint8_t *p)
{
	size_t ihl = header_length(p), l4_len = get16(p + 2) - ihl;

	return build_checksum(p[9] == ICMP ? 0 : pseudo_sum(p, l4_len), p + ihl, l4_len);
}

/* Where the transport keeps its checksum; 0: it has none that we know. */
static size_t check_offset(uint8_t proto)
{
	return proto == TCP ? CHECK_TCP : proto == UDP ? CHECK_UDP : proto == ICMP ? CHECK_ICMP : 0;
}

static size_t padded(size_t n)
{
	return (n + 3) / 4 * 4;
}

static size_t put_options(uint8_t *out, const uint8_t *options, size_t n)
{
	if (n == 0)
		return 0;
	memset(out, 0, padded(n));
	memcpy(out, options, n);
	return padded(n);
}

static size_t put_tcp(uint8_t *l4, const struct build *b)
{
	size_t hlen = 20 + padded(b->tcp_options_len);

	put16(l4, b->sport);
	put16(l4 + 2, b->dport);
	put32(l4 + 4, b->seq);
	put32(l4 + 8, b->ack);
	l4[12] = (uint8_t)(hlen / 4 * 16);
	l4[13] = b->flags;
	put16(l4 + 14, b->window);
	put32(l4 + 16, 0);
	put_options(l4 + 20, b->tcp_options, b->tcp_options_len);
	return hlen;
}

static size_t put_udp(uint8_t *l4, const struct build *b)
{
	put16(l4, b->sport);
	put16(l4 + 2, b->dport);
	put16(l4 + 4, (unsigned)(8 + b->payload_len));
	put16(l4 + 6, 0);
	return 8;
}

static size_t put_icmp(uint8_t *l4, const struct build *b)
{
	l4[0] = b->icmp_type;
	l4[1] = b->icmp_code;
	put16(l4 + 2, 0);
	put32(l4 + 4, b->icmp_rest ? b->icmp_rest : (uint32_t)b->sport * 65536 + b->seq % 65536);
	return 8;
}

static size_t put_transport(uint8_t *l4, const struct build *b)
{
	if (b->frag_offset > 0)
		return 0;
	switch (b->proto) {
	case TCP:
		return put_tcp(l4, b);
	case UDP:
		return put_udp(l4, b);
	case ICMP:
		return put_icmp(l4, b);
	default:
		return 0;
	}
}

static size_t put_ip(uint8_t *out, const struct build *b)
{
	size_t ihl = 20 + padded(b->ip_options_len);

	out[0] = (uint8_t)(0x40 + ihl / 4);
	out[1] = b->tos;
	put16(out + 4, b->id);
	put16(out + 6, (b->df ? 0x4000u : 0) + (b->mf ? 0x2000u : 0) + b->frag_offset / 8u);
	out[8] = b->ttl ? b->ttl : 64;
	out[9] = b->proto;
	put16(out + 10, 0);
	put32(out + 12, b->src);
	put32(out + 16, b->dst);
	put_options(out + 20, b->ip_options, b->ip_options_len);
	return ihl;
}

static void put_payload(uint8_t *out, const struct build *b)
{
	for (size_t i = 0; i < b->payload_len; i++)
		out[i] = b->payload ? b->payload[i] : (uint8_t)(i * 7 + 1);
}

size_t build_packet(uint8_t *out, const struct build *b)
{
	size_t ihl = put_ip(out, b);
	size_t hlen = put_transport(out + ihl, b);
	size_t len = ihl + hlen + b->payload_len;

	if (len > BUILD_MAX) {
		fprintf(stderr, "build: %zu bytes do not make a packet\n", len);
		abort();
	}
	put_payload(out + ihl + hlen, b);
	put16(out + 2, (unsigned)len);
	if (hlen == 0)
		build_fix_ip(out);
	else
		build_fix(out);
	if (b->proto == UDP && hlen && b->no_checksum)
		put16(out + ihl + CHECK_UDP, 0);
	if (hlen && b->csum_partial)
		put16(out + ihl + check_offset(b->proto), 0xffffu - build_checksum(pseudo_sum(out, len - ihl), out, 0));
	return len;
}

size_t build_icmp_error(uint8_t *out, const struct build *b, const uint8_t *quoted, size_t quote_len)
{
	struct build e = *b;

	e.proto = ICMP;
	e.payload = quoted;
	e.payload_len = quote_len;
	return build_packet(out, &e);
}

size_t build_fragment(uint8_t *out, const uint8_t *p, size_t offset, size_t n)
{
	size_t ihl = header_length(p), payload = get16(p + 2) - ihl;

	if (offset % 8 != 0 || offset + n > payload) {
		fprintf(stderr, "build: no fragment of %zu bytes at %zu\n", n, offset);
		abort();
	}
	memcpy(out, p, ihl);
	memcpy(out + ihl, p + ihl + offset, n);
	put16(out + 2, (unsigned)(ihl + n));
	put16(out + 6, (get16(p + 6) & 0x4000) + (offset + n < payload ? 0x2000u : 0) + (unsigned)offset / 8);
	build_fix_ip(out);
	return ihl + n;
}

void build_fix_ip(uint8_t *p)
{
	put16(p + CHECK_IP, 0);
	put16(p + CHECK_IP, build_checksum(0, p, header_length(p)));
}

void build_fix(uint8_t *p)
{
	uint8_t *field = p + header_length(p) + check_offset(p[9]);
	unsigned sum;

	build_fix_ip(p);
	if (check_offset(p[9]) == 0)
		return;
	put16(field, 0);
	sum = build_transport_checksum(p);
	put16(field, p[9] == UDP && sum == 0 ? 0xffff : sum);
}

/* Checks an IP header that has `len` bytes behind it; a quote may promise more than there is. */
static const char *verify_ip(const uint8_t *p, size_t len, bool is_quote)
{
	if (len < 20 || p[0] / 16 != 4 || header_length(p) < 20 || header_length(p) > len)
		return is_quote ? "quoted IP header" : "IP header";
	if (get16(p + 2) < header_length(p) || (!is_quote && get16(p + 2) != len))
		return is_quote ? "quoted IP total length" : "IP total length";
	if (build_checksum(0, p, header_length(p)) != 0)
		return is_quote ? "quoted IP header checksum" : "IP header checksum";
	return NULL;
}

static bool is_icmp_error(uint8_t type)
{
	return type == 3 || type == 11 || type == 12;
}

static const char *verify_transport(const uint8_t *p, bool is_quote)
{
	const uint8_t *l4 = p + header_length(p);
	size_t l4_len = get16(p + 2) - header_length(p);
	size_t at = check_offset(p[9]);

	if (at == 0 || get16(p + 6) & 0x3fff) /* none, or a fragment */
		return NULL;
	if (l4_len < at + 2)
		return is_quote ? NULL : "transport header";
	if (p[9] == UDP && (get16(l4 + CHECK_UDP) == 0 || get16(l4 + 4) != l4_len))
		return NULL;
	if (build_transport_checksum(p) != 0)
		return is_quote ? "quoted transport checksum" : "transport checksum";
	return NULL;
}

static const char *verify_quote(const uint8_t *q, size_t len)
{
	const char *wrong = verify_ip(q, len, true);

	if (wrong || get16(q + 2) > len)
		return wrong;
	return verify_transport(q, true);
}

const char *build_verify(const uint8_t *p, size_t len)
{
	const char *wrong = verify_ip(p, len, false);
	size_t ihl;

	if (!wrong)
		wrong = verify_transport(p, false);
	if (wrong)
		return wrong;
	ihl = header_length(p);
	if (p[9] != ICMP || get16(p + 6) & 0x3fff || !is_icmp_error(p[ihl]))
		return NULL;
	if (len - ihl < 8)
		return "ICMP header";
	return verify_quote(p + ihl + 8, len - ihl - 8);
}

void build_hexdump(FILE *f, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (i % 16 == 0)
			fprintf(f, "%s%04zx ", i ? "\n" : "", i);
		fprintf(f, " %02x", p[i]);
	}
	fputc('\n', f);
}

bool build_pcap(const char *path, const uint8_t *p, size_t len)
{
	struct {
		uint32_t magic;
		uint16_t major, minor;
		uint32_t zone, accuracy, snaplen, linktype;
	} file = {0xa1b2c3d4, 2, 4, 0, 0, BUILD_MAX, 101}; /* LINKTYPE_RAW */
	uint32_t record[4] = {(uint32_t)time(NULL), 0, (uint32_t)len, (uint32_t)len};
	FILE *f = fopen(path, "ab");
	bool ok;

	if (!f)
		return false;
	ok = fseek(f, 0, SEEK_END) == 0 && (ftell(f) > 0 || fwrite(&file, sizeof(file), 1, f) == 1) &&
	     fwrite(record, sizeof(record), 1, f) == 1 && fwrite(p, 1, len, f) == len;
	return fclose(f) == 0 && ok;
}

void build_show(const char *name, const uint8_t *p, size_t len)
{
	const char *dir = getenv("NATD_TEST_PCAP");
	char path[512];

	fprintf(stderr, "%s: packet of %zu bytes\n", name, len);
	build_hexdump(stderr, p, len);
	if (!dir)
		return;
	snprintf(path, sizeof(path), "%s/%s.pcap", dir, name);
	if (!build_pcap(path, p, len))
		fprintf(stderr, "%s: cannot be written\n", path);
}
