/* SPDX-License-Identifier: ISC */
/*
 * A router's ICMP errors: when they may be sent, their bytes, and their rate.
 *
 * Theory of operation of the limit. Two budgets must both have room. Each source (by a keyed hash, so no sender can
 * choose whose bucket it shares) has a bucket that holds 10 and gains 10 a second, counted in thousandths so that
 * rounding loses no time. All sources together have a budget for each tenth of a second, random between half and one
 * and a half times its share of ICMP_LIMIT_GLOBAL: a source whose errors stop cannot tell how many went to others
 * (CVE-2020-25705). A refusal takes nothing from either.
 */
#include "icmp.h"

#include <string.h>

#include "checksum.h"

enum {
	IP_HEADER = 20,
	ICMP_HEADER = 8,
	IP_TTL_DEFAULT = 64,
	TOS_DSCP = 0xfc,

	MILLI = 1000,
	BUCKET_MAX = ICMP_LIMIT_PER_SOURCE * MILLI,
	WINDOW_MS = 100,
	WINDOW_SHARE = ICMP_LIMIT_GLOBAL * WINDOW_MS / MILLI,
};

/* Can the source be a single host (RFC 1812 4.3.2.7, 5.3.7)? */
static bool names_a_host(uint32_t address)
{
	unsigned net = address >> 24;

	return net != 0 && net != 127 && net < 224;
}

bool icmp_may_answer(const struct pkt_view *v)
{
	if (v->is_quote || v->frag == FRAG_LATER)
		return false;
	if (v->kind == PKT_ICMP_ERROR || v->kind == PKT_ICMP_REST)
		return false;
	return names_a_host(v->src) && v->dst >> 28 < 14; /* 224/4 is multicast; 240/4 is unused, or broadcast */
}

static void put_header(uint8_t *out, size_t len, const struct pkt_view *v, const struct icmp_error *e)
{
	memset(out, 0, IP_HEADER);
	out[0] = 0x45;
	out[1] = v->ip[1] & TOS_DSCP; /* RFC 5508 REQ-10d; congestion marks belong to the sender (RFC 3168) */
	store16(out + 2, (uint16_t)len);
	out[8] = IP_TTL_DEFAULT;
	out[9] = IPPROTO_NR_ICMP;
	store32(out + 12, e->src);
	store32(out + 16, v->src);
	store16(out + 10, checksum_finish(checksum_add(0, out, IP_HEADER)));
}

size_t icmp_build(uint8_t *out, const struct pkt_view *v, const struct icmp_error *e)
{
	const size_t room = ICMP_ERROR_MAX - IP_HEADER - ICMP_HEADER;
	size_t quoted = v->len < room ? v->len : room; /* RFC 1812 4.3.2.3 */
	size_t icmp_len = ICMP_HEADER + quoted;
	uint8_t *icmp = out + IP_HEADER;

	put_header(out, IP_HEADER + icmp_len, v, e);
	icmp[0] = e->type;
	icmp[1] = e->code;
	store16(icmp + 2, 0);
	store32(icmp + 4, e->mtu); /* RFC 1191 4: its low half; no RFC 4884 length, since no extension follows */
	memcpy(icmp + ICMP_HEADER, v->ip, quoted);
	store16(icmp + 2, checksum_finish(checksum_add(0, icmp, icmp_len)));
	return IP_HEADER + icmp_len;
}

/* Thousandths of an error that this source may still cause. */
static uint16_t bucket_fill(const struct icmp_limit *l, unsigned i, uint32_t now_ms)
{
	uint64_t gained = (uint64_t)(now_ms - l->bucket[i].stamp_ms) * ICMP_LIMIT_PER_SOURCE;
	uint64_t tokens = l->bucket[i].tokens + gained;

	if (!l->bucket[i].used || tokens > BUCKET_MAX)
		return BUCKET_MAX;
	return (uint16_t)tokens;
}

static void refill_global(struct icmp_limit *l, uint64_t now_ms, uint64_t random)
{
	if (now_ms < l->refill_ms)
		return;
	l->budget = WINDOW_SHARE / 2 + (uint32_t)((random & 0xffff) * (WINDOW_SHARE + 1) >> 16);
	l->refill_ms = now_ms + WINDOW_MS;
}

bool icmp_limit_take(struct icmp_limit *l, uint64_t source_hash, uint64_t now_ms, uint64_t random)
{
	unsigned i = source_hash % ICMP_LIMIT_BUCKETS;
	uint16_t tokens = bucket_fill(l, i, (uint32_t)now_ms);

	refill_global(l, now_ms, random);
	if (tokens < MILLI || l->budget == 0)
		return false;
	l->budget--;
	l->bucket[i].tokens = (uint16_t)(tokens - MILLI);
	l->bucket[i].stamp_ms = (uint32_t)now_ms;
	l->bucket[i].used = 1;
	return true;
}

bool icmp_pass_take(struct icmp_pass_limit *l, uint64_t session, uint32_t now_s)
{
	unsigned i = session % ICMP_PASS_BUCKETS;

	if (l->bucket[i].second != now_s) {
		l->bucket[i].second = now_s;
		l->bucket[i].passed = 0;
	}
	if (l->bucket[i].passed == ICMP_PASS_PER_SESSION)
		return false;
	l->bucket[i].passed++;
	return true;
}
