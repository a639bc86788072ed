/* SPDX-License-Identifier: ISC */
/*
 * A bench for fragments: memory, a virtual clock, made-up datagrams, and after every step fragment_check() and the
 * balance: each held fragment is still held, was emitted, or expired.
 */
#ifndef NATD_TESTS_FRAGBENCH_H
#define NATD_TESTS_FRAGBENCH_H

#include <check.h>
#include <string.h>

#include "build.h"
#include "core/fragment/fragment.h"
#include "unit.h"

enum {
	FOLLOW = 0x1000, /* else held, or the reason of the drop */
	HELD = 0x1001,
	LIMIT = 64,
	CHECK_EACH = 256,
	TIMEOUT_S = 5,
	H1 = 0x0a080002, /* sources */
	H2 = 0x0a080003,
	SERVER = 0xc6336401,
};

struct bench {
	struct fragments *f;
	uint8_t *memory;
	size_t size;
	uint64_t now_ms;
	struct fragment_fate fate; /* that the last one follows */
	uint8_t packet[BUILD_MAX];
	struct pkt_view v;
	uint32_t held, released, died;
	uint32_t offers;
	uint8_t other; /* not 0: the content of the next ones is another */
};

static inline void bench_open(struct bench *b, uint32_t max_held)
{
	uint64_t secret[2] = {unit_random(), unit_random()};

	memset(b, 0, sizeof(*b));
	b->size = fragment_memory_need(max_held);
	b->memory = aligned_alloc(64, b->size);
	memset(b->memory, 0, b->size);
	b->f = fragment_create(b->memory, max_held, secret);
	fragment_set_limit(b->f, max_held, TIMEOUT_S);
	b->now_ms = 1000000;
}

static inline void bench_check(struct bench *b)
{
	const char *wrong = fragment_check(b->f);

	ck_assert_msg(!wrong, "%s", wrong ? wrong : "");
	ck_assert_uint_eq(fragment_held(b->f) + b->released + b->died, b->held);
}

static inline void bench_sweep(struct bench *b)
{
	b->died += fragment_sweep(b->f, b->now_ms, UINT32_MAX);
	bench_check(b);
}

static inline void bench_close(struct bench *b)
{
	b->now_ms += TIMEOUT_S * 1000 + 1;
	bench_sweep(b);
	ck_assert_uint_eq(fragment_held(b->f), 0);
	free(b->memory);
}

/* A fragment with bytes [offset, offset + len) of a datagram whose content is a function of `fill`. */
static inline void make(struct bench *b, uint32_t src, uint16_t id, unsigned offset, unsigned len, bool more)
{
	static uint8_t payload[BUILD_MAX];

	for (unsigned i = 0; i < len; i++)
		payload[i] = (uint8_t)((offset + i) * 7 + id);
	memset(&b->v, 0, sizeof(b->v));
	b->v.len = (uint16_t)BUILD(b->packet, .proto = 253, .src = src, .dst = SERVER, .id = id, .mf = more,
				   .frag_offset = (uint16_t)offset, .payload = payload, .payload_len = len);
	b->v.ip = b->packet;
	b->v.l4 = b->packet + 20;
	b->v.src = src;
	b->v.dst = SERVER;
	b->v.id = id;
	b->v.proto = 253;
	b->v.ihl = 20;
	b->v.l4_len = (uint16_t)len;
	b->v.frag_offset = (uint16_t)offset;
	b->v.more_fragments = more;
	b->v.frag = offset ? FRAG_LATER : FRAG_FIRST;
}

static inline unsigned offer(struct bench *b)
{
	enum nat_reason why = NAT_PASS;
	unsigned got = FOLLOW;

	switch (fragment_later(b->f, &b->v, b->now_ms, &b->fate, &why)) {
	case FRAGMENT_FOLLOW:
		break;
	case FRAGMENT_HELD:
		b->held++;
		got = HELD;
		break;
	case FRAGMENT_DROP:
		got = why;
		break;
	}
	b->died += fragment_sweep(b->f, b->now_ms, 0);
	if (fragment_held(b->f) < CHECK_EACH || ++b->offers % CHECK_EACH == 0) /* it costs as much as there are */
		bench_check(b);
	return got;
}

static inline unsigned later(struct bench *b, uint32_t src, uint16_t id, unsigned offset, unsigned len, bool more)
{
	make(b, src, id, offset, len, more);
	b->packet[b->v.ihl + len - 1] ^= b->other;
	return offer(b);
}

/* FOLLOW, or why it was dropped. */
static inline unsigned first_as(struct bench *b, uint32_t src, uint16_t id, unsigned len,
				const struct fragment_fate *fate)
{
	struct fragment_fate admitted = *fate;
	enum nat_reason why = NAT_PASS;
	bool pass;

	make(b, src, id, 0, len, true);
	b->packet[b->v.ihl + len - 1] ^= b->other;
	pass = fragment_admit(b->f, &b->v, b->now_ms, &admitted.digest, &why);
	if (pass)
		fragment_first(b->f, &b->v, &admitted, b->now_ms);
	b->died += fragment_sweep(b->f, b->now_ms, 0);
	bench_check(b);
	return pass ? FOLLOW : why;
}

static inline struct fragment_fate fate_for(uint32_t src, uint16_t id)
{
	return (struct fragment_fate){
		.src = src ^ 1, .dst = SERVER, .id = (uint16_t)(id + 1000), .mtu = 1500, .action = 1};
}

static inline unsigned first(struct bench *b, uint32_t src, uint16_t id, unsigned len)
{
	struct fragment_fate fate = fate_for(src, id);

	return first_as(b, src, id, len, &fate);
}

/* Takes everything held out and checks that it is sorted and whole; how many. */
static inline unsigned release(struct bench *b)
{
	static uint8_t out[FRAGMENT_MAX_LEN];
	unsigned n = 0, last = 0;
	size_t len;

	while ((len = fragment_release(b->f, &b->v, out)) > 0) {
		unsigned offset = (unsigned)(out[6] << 8 | out[7]) % 8192 * 8;

		ck_assert_uint_gt(offset, last);
		last = offset;
		for (unsigned i = 20; i < len; i++)
			if (out[i] != (uint8_t)((offset + i - 20) * 7 + b->v.id))
				ck_abort_msg("byte %u of a held fragment has changed", i);
		b->released++;
		n++;
		bench_check(b);
	}
	return n;
}

#endif
