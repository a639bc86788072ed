/* SPDX-License-Identifier: ISC */
/*
 * Sequences of fragments and steps of time, read from the input; after each one every invariant, and the balance:
 * each held fragment is still held, was emitted, or expired.
 *
 * Five bytes a step: operation and flags, source and id, offset, length, time.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/fragment/fragment.h"

enum { MAX_HELD = 24, STEP_LEN = 5, PACKET_MAX = 20 + 255 * 64 + 7 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
	struct fragments *f;
	uint64_t now_ms;
	uint64_t held, released, died;
	uint8_t packet[PACKET_MAX];
};

static void require(bool ok)
{
	if (!ok)
		abort();
}

static struct pkt_view view_of(struct run *r, const uint8_t *step)
{
	bool last = step[0] & 0x10;
	unsigned payload = step[3] * (step[0] & 0x20 ? 64u : 8u) + (last ? step[4] & 7u : 0);
	struct pkt_view v = {
		.ip = r->packet,
		.l4 = r->packet + 20,
		.src = 0x0a080000u + (step[1] & 7u),
		.dst = 0xc6336401u,
		.id = (uint16_t)(step[1] >> 3 & 7),
		.proto = 17,
		.ihl = 20,
		.len = (uint16_t)(20 + payload),
		.frag_offset = (uint16_t)(step[2] * (step[0] & 0x40 ? 256u : 8u)),
		.more_fragments = !last,
	};

	r->packet[0] = 0x45;
	r->packet[6] = last ? 0 : 0x20;
	memset(v.l4, step[0] & 0x80 ? 1 : 2, payload);
	return v;
}

static void release(struct run *r, const struct pkt_view *v)
{
	uint8_t *out = malloc(FRAGMENT_MAX_LEN);
	size_t len;

	require(out != NULL);
	while ((len = fragment_release(r->f, v, out)) > 0) {
		require(len <= FRAGMENT_MAX_LEN);
		r->released++;
	}
	free(out);
}

static void step(struct run *r, const uint8_t *bytes)
{
	struct fragment_fate fate = {.src = 1, .dst = 2, .id = (uint16_t)(bytes[1] >> 6), .action = 1};
	struct pkt_view v = view_of(r, bytes);
	enum nat_reason why = NAT_PASS;

	switch (bytes[0] & 7) {
	case 0:
		v.frag_offset = 0;
		v.more_fragments = true;
		if (bytes[4] & 0x80)
			fate.action = FRAGMENT_FATE_DROPPED;
		if (fragment_admit(r->f, &v, r->now_ms, &fate.digest, &why)) {
			fragment_first(r->f, &v, &fate, r->now_ms);
			release(r, &v);
		} else {
			require(why != NAT_PASS);
		}
		break;
	case 1:
		r->died += fragment_sweep(r->f, r->now_ms, bytes[2]);
		break;
	case 2:
		fragment_set_limit(r->f, bytes[2] % (2 * MAX_HELD), bytes[3] & 7);
		break;
	default:
		if (v.frag_offset == 0)
			break;
		switch (fragment_later(r->f, &v, r->now_ms, &fate, &why)) {
		case FRAGMENT_HELD:
			r->held++;
			break;
		case FRAGMENT_DROP:
			require(why != NAT_PASS);
			break;
		case FRAGMENT_FOLLOW:
			require(fate.src == 1 && fate.action == 1);
			break;
		}
	}
	r->now_ms += (uint64_t)(bytes[4] & 0x7f) * (bytes[0] & 8 ? 32 : 1);
}

static void check(struct run *r)
{
	r->died += fragment_sweep(r->f, r->now_ms, 0);
	require(fragment_check(r->f) == NULL);
	require(fragment_held(r->f) + r->released + r->died == r->held);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t secret[2] = {1, 2};
	size_t need = fragment_memory_need(MAX_HELD);
	void *memory = aligned_alloc(64, need);
	static struct run r;

	require(memory != NULL);
	memset(memory, 0, need);
	r.f = fragment_create(memory, MAX_HELD, secret);
	r.now_ms = r.held = r.released = r.died = 0;
	fragment_set_limit(r.f, MAX_HELD, 5);
	for (; size >= STEP_LEN; data += STEP_LEN, size -= STEP_LEN) {
		step(&r, data);
		check(&r);
	}
	fragment_set_limit(r.f, MAX_HELD, 0);
	r.now_ms += 1000000;
	r.died += fragment_sweep(r.f, r.now_ms, UINT32_MAX);
	check(&r);
	require(fragment_held(r.f) == 0);
	free(memory);
	return 0;
}
