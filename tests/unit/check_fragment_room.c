/* SPDX-License-Identifier: ISC */
/*
 * Fragments when room is short: shares, floods, limits; and very many of them against a slow model.
 */
#include "fragbench.h"
#include "core/fragment/fragment_store.h"

/* ---- room ---- */

START_TEST(test_nothing_can_be_held_without_a_limit)
{
	struct bench b;

	for (uint32_t max = 0; max < 2; max++) {
		bench_open(&b, max);
		fragment_set_limit(b.f, 0, TIMEOUT_S);
		ck_assert_uint_eq(later(&b, H1, 7, 1480, 8, true), DROP_FRAGMENT_FULL);
		ck_assert_uint_eq(first(&b, H1, 7, 1480), FOLLOW);
		ck_assert_uint_eq(release(&b), 0);
		ck_assert_uint_eq(later(&b, H1, 7, 1480, 8, true), max ? FOLLOW : DROP_FRAGMENT_FULL);
		bench_close(&b);
	}
}
END_TEST

/* One source may hold a quarter of the free room, so at most a fifth of all; the others find room. */
START_TEST(test_one_source_holds_its_share_only)
{
	struct bench b;
	unsigned held = 0;

	bench_open(&b, 1000);
	for (uint16_t id = 0; id < 2000; id++) {
		unsigned got = later(&b, H1, id, 1480, 8, true);

		ck_assert_uint_eq(got, held < (1000 - held) / 4 ? HELD : DROP_FRAGMENT_QUOTA);
		held += got == HELD;
	}
	ck_assert_uint_eq(held, 200);
	for (unsigned i = 0; i < 43; i++)
		ck_assert_uint_eq(later(&b, H2, 7, 1480 + i * 1480, 1480, true), HELD);
	bench_close(&b);
}
END_TEST

START_TEST(test_full_within_one_millisecond)
{
	struct bench b;
	unsigned held = 0;
	uint32_t src = H1;

	bench_open(&b, LIMIT);
	while (later(&b, src++, 7, 1480, 8, true) == HELD)
		held++;
	ck_assert_uint_le(held, LIMIT);
	ck_assert_uint_ge(held, LIMIT - 8); /* a few sources may share a count */
	while (held < LIMIT)
		held += later(&b, src++, 7, 1480, 8, true) == HELD;
	for (unsigned i = 0; i < 100; i++) {
		unsigned got = later(&b, src++, 7, 1480, 8, true);

		ck_assert(got == DROP_FRAGMENT_FULL || got == DROP_FRAGMENT_QUOTA);
	}
	bench_close(&b);
}
END_TEST

START_TEST(test_lower_limit_lets_the_held_run_out)
{
	struct bench b;
	unsigned got;

	bench_open(&b, LIMIT);
	for (uint16_t i = 0; i < 20; i++)
		ck_assert_uint_eq(later(&b, H1 + i, 7, 1480, 8, true), HELD);
	fragment_set_limit(b.f, 8, TIMEOUT_S);
	b.now_ms += 10;
	got = later(&b, H2 + 1000, 7, 1480, 8, true); /* this source may share a count with one of the 20 */
	ck_assert(got == DROP_FRAGMENT_FULL || got == DROP_FRAGMENT_QUOTA);
	ck_assert_uint_eq(fragment_held(b.f), 20);
	ck_assert_uint_eq(first(&b, H1 + 3, 7, 1480), FOLLOW);
	ck_assert_uint_eq(release(&b), 1);
	b.now_ms += TIMEOUT_S * 1000 + 1;
	bench_sweep(&b);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 8, true), HELD);
	for (uint16_t i = 1; i < 4; i++) {
		got = later(&b, H1 + i, 7, 1480, 8, true);
		ck_assert(got == HELD || got == DROP_FRAGMENT_QUOTA);
	}
	fragment_set_limit(b.f, 1000000, TIMEOUT_S); /* no more than the memory is for */
	bench_close(&b);
}
END_TEST

/* 4787-14a: 50 a millisecond from made-up sources, for two seconds. Fragments in order all follow, also those
 * that began before; a reordered datagram gets through as long as its gap is shorter than the flood's turn. */
START_TEST(test_4787_14a_flood_of_firstless_fragments)
{
	struct bench b;
	unsigned reordered = 0, tried = 0;
	uint16_t id = 0;

	bench_open(&b, 1024);
	ck_assert_uint_eq(first(&b, H1, 60000, 1480), FOLLOW);
	for (unsigned ms = 0; ms < 2000; ms++, id++) {
		bool reorder = ms % 3 == 0;

		ck_assert_uint_eq(first(&b, H2, id, 1480), FOLLOW);
		if (reorder)
			later(&b, H1, id, 1480, 700, false);
		tried += reorder;
		for (unsigned i = 0; i < 50; i++) {
			make(&b, (uint32_t)unit_random(), (uint16_t)unit_random(), 1480, 8, true);
			b.now_ms += i == 25;
			b.held += fragment_later(b.f, &b.v, b.now_ms, &b.fate, &(enum nat_reason){NAT_PASS}) ==
				  FRAGMENT_HELD;
		}
		ck_assert_uint_eq(later(&b, H2, id, 1480, 700, false), FOLLOW);
		if (reorder) {
			ck_assert_uint_eq(first(&b, H1, id, 1480), FOLLOW);
			reordered += release(&b);
		}
		ck_assert_uint_le(fragment_held(b.f), 1024);
	}
	ck_assert_uint_eq(later(&b, H1, 60000, 1480, 700, false), FOLLOW);
	ck_assert_uint_ge(reordered * 10, tried * 8);
	bench_close(&b);
}
END_TEST

/* A flood of first fragments pushes out the oldest of its own kind, and no more. */
START_TEST(test_flood_of_first_fragments_is_bounded)
{
	struct bench b;
	unsigned followed = 0;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(later(&b, H1, 1, 1480, 8, true), HELD);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_uint_eq(first(&b, H2, (uint16_t)i, 1480), FOLLOW);
	ck_assert_uint_eq(first(&b, H1, 1, 1480), FOLLOW);
	ck_assert_uint_eq(release(&b), 1);
	for (unsigned i = 0; i < 1000; i++)
		followed += later(&b, H2, (uint16_t)i, 1480, 8, false) == FOLLOW;
	ck_assert_uint_eq(followed, 3 * LIMIT - 1);
	bench_close(&b);
}
END_TEST

static size_t touched_pages(const struct bench *b)
{
	static const uint8_t zero[4096];
	size_t touched = 0;

	for (size_t page = 0; page + 4096 <= b->size; page += 4096)
		touched += memcmp(b->memory + page, zero, 4096) != 0;
	return touched;
}

START_TEST(test_memory_is_touched_as_fragments_come)
{
	struct bench b;
	size_t touched = 0;

	bench_open(&b, 4096);
	for (uint16_t i = 0; i < 100; i++) { /* one after another, each cell and record used again */
		ck_assert_uint_eq(later(&b, H1, i, 1480, 1480, false), HELD);
		ck_assert_uint_eq(first(&b, H1, i, 1480), FOLLOW);
		ck_assert_uint_eq(release(&b), 1);
	}
	touched = touched_pages(&b);
	ck_assert_uint_le(touched, 64); /* 256 KiB of some 40 MiB: the hash buckets, spread by the keys */
	bench_close(&b);
}
END_TEST

/* As madvise() does it: whole pages, which read as zero afterwards. */
static void give_back(void *ctx, void *start, size_t len)
{
	struct bench *b = ctx;
	size_t from = ((size_t)((uint8_t *)start - b->memory) + 4095) & ~(size_t)4095;
	size_t to = ((size_t)((uint8_t *)start - b->memory) + len) & ~(size_t)4095;

	ck_assert_uint_le(to, b->size);
	if (from < to)
		memset(b->memory + from, 0, to - from);
}

static void keep(void *ctx, void *start, size_t len)
{
	(void)ctx;
	(void)start;
	(void)len;
}

static void hold_tiny(struct bench *b)
{
	for (uint32_t i = 0; i < 6000; i++)
		later(b, H1 + i, 7, 1480, 8, true);
	ck_assert_uint_ge(fragment_held(b->f), 5500);
}

/* Fault 40: 6,000 tiny fragments held 22 MiB for ever. */
START_TEST(test_fault_40_tiny_fragments_take_little_memory_and_give_it_back)
{
	struct bench b;
	unsigned calls = 0;
	uint16_t id = 0;

	bench_open(&b, 8192);
	for (unsigned round = 0; round < 3; round++) {
		hold_tiny(&b);
		ck_assert_uint_le(touched_pages(&b),
				  1200); /* 4.7 MiB: data 1.5, records 1.9, the hashes all of their pages */
		ck_assert(!fragment_trim(b.f, give_back, &b)); /* not while they are held */
		ck_assert_uint_ge(fragment_held(b.f), 5500);
		b.now_ms += TIMEOUT_S * 1000 + 1;
		bench_sweep(&b);
		/* the last round keeps the bytes as they are: nothing may rely on zeroes */
		while (fragment_trim(b.f, round < 2 ? give_back : keep, &b))
			ck_assert_uint_lt(calls++, 20);
		bench_check(&b);
		ck_assert_uint_le(touched_pages(&b), round < 2 ? 64 : 1200);
		for (unsigned i = 0; i < 500; i++, id++) {
			ck_assert_uint_eq(later(&b, H1, id, 1480, 1 + unit_below(3000), false), HELD);
			ck_assert_uint_eq(first(&b, H1, id, 1480), FOLLOW);
			ck_assert_uint_eq(release(&b), 1);
		}
	}
	ck_assert_uint_ge(calls, 4); /* in slices */
	bench_close(&b);
}
END_TEST

/* ---- the self-check ---- */

static void break_it(struct fragments *f, unsigned how)
{
	struct record *waiting = &f->records[f->lists[LIST_REST].oldest - 1];
	struct record *followed = &f->records[f->lists[LIST_FOLLOWED].oldest - 1];

	switch (how) {
	case 0: /* nothing is broken */
		break;
	case 1:
		waiting->held++;
		break;
	case 2:
		waiting->id ^= 1; /* another bucket */
		memset(f->buckets, 0, (f->bucket_mask + 1) * sizeof(*f->buckets));
		break;
	case 3:
		waiting->ranges[0].end = waiting->ranges[0].start;
		break;
	case 4:
		followed->total = 8;
		break;
	case 5:
		f->lists[LIST_FOLLOWED].count++;
		break;
	case 6:
		waiting->kind = RECORD_FOLLOWED;
		break;
	case 7:
		f->records[waiting->newer - 1].stamp_ms = waiting->stamp_ms - 1;
		break;
	case 8:
		f->cells[waiting->held_first - 1].start = 60000;
		break;
	case 9:
		f->held++;
		break;
	case 10:
		f->cell_pool.used++;
		break;
	case 11:
		f->record_pool.used++;
		break;
	case 12:
		waiting->kind = RECORD_POISONED;
		break;
	case 13:
		memset(f->sources, 0, (f->source_mask + 1) * sizeof(*f->sources));
		break;
	case 14:
		f->records[waiting->newer - 1].older = 0;
		break;
	case 15:
		f->cells[waiting->held_last - 1].next = waiting->held_first;
		break;
	case 16:
		f->unit_pool.used++;
		break;
	}
}

START_TEST(test_check_finds_what_is_broken)
{
	struct bench b;

	bench_open(&b, LIMIT);
	ck_assert_uint_eq(later(&b, H1, 7, 1480, 8, true), HELD);
	ck_assert_uint_eq(later(&b, H1, 7, 1488, 8, true), HELD);
	ck_assert_uint_eq(later(&b, H2, 7, 1480, 8, true), HELD);
	ck_assert_uint_eq(first(&b, H2, 8, 1480), FOLLOW);
	break_it(b.f, (unsigned)_i);
	ck_assert((fragment_check(b.f) == NULL) == (_i == 0));
	free(b.memory);
}
END_TEST

/* ---- anything at all, against a slow and obvious list ---- */

enum { MODEL_KEYS = 6, MODEL_MAX = 4096 };

struct model {
	struct {
		unsigned start, end;
		bool more;
	} seen[MODEL_MAX];
	unsigned n;
	bool first, poisoned, refused;
	uint64_t since;
	unsigned held;
};

enum relation { NEW, SAME, OVERLAP };

static enum relation relate(const struct model *m, unsigned start, unsigned end, bool more)
{
	enum relation r = NEW;

	for (unsigned i = 0; i < m->n; i++) {
		if (m->seen[i].start == start && m->seen[i].end == end && m->seen[i].more == more)
			return SAME;
		if ((start < m->seen[i].end && m->seen[i].start < end) || (!more && m->seen[i].end > end) ||
		    (!m->seen[i].more && (end > m->seen[i].end || !more)))
			r = OVERLAP;
	}
	return r;
}

static void model_add(struct model *m, unsigned start, unsigned end, bool more)
{
	unsigned covered = 0, total = 0;

	m->seen[m->n].start = start;
	m->seen[m->n].end = end;
	m->seen[m->n++].more = more;
	for (unsigned i = 0; i < m->n; i++) {
		covered += m->seen[i].end - m->seen[i].start;
		total = m->seen[i].more ? total : m->seen[i].end;
	}
	if (m->first && total && covered == total)
		*m = (struct model){0};
}

static bool is_poisoned(const struct bench *b)
{
	const struct record *r = fragment_store_find(b->f, &b->v);

	return r && r->kind == RECORD_POISONED;
}

static void model_step(struct bench *b, struct model *m, uint16_t id)
{
	unsigned unit = unit_below(4) ? 64 : 8 * (1 + unit_below(16));
	unsigned start = unit * unit_below(8), len = unit;
	bool more = unit_below(4) != 0;
	enum relation r;
	unsigned got;

	if (!more && unit_below(2))
		len = 1 + unit_below(100);
	if (m->n > 0 && b->now_ms - m->since > TIMEOUT_S * 1000)
		*m = (struct model){0};
	if (start == 0)
		more = true;
	if (start == 0)
		len = unit;
	r = relate(m, start, start + len, more);
	if (m->n == 0)
		m->since = b->now_ms;
	if (start > 0) {
		got = later(b, H1, id, start, len, more);
	} else {
		got = first(b, H1, id, len);
		if (got == FOLLOW && !m->first)
			m->since = b->now_ms;
	}
	if (m->poisoned) {
		ck_assert_uint_eq(got, DROP_FRAGMENT_OVERLAP);
		return;
	}
	if (r == NEW && got != DROP_FRAGMENT_QUOTA && got != DROP_FRAGMENT_FULL) {
		ck_assert_uint_eq(got, start == 0 || m->first ? FOLLOW : HELD);
		m->held += got == HELD;
		if (start == 0) {
			m->first = true;
			ck_assert_uint_eq(release(b), m->held);
			m->held = 0;
		}
		model_add(m, start, start + len, more);
	} else if (r == OVERLAP || (r == SAME && is_poisoned(b))) {
		ck_assert_uint_eq(got, DROP_FRAGMENT_OVERLAP);
		ck_assert(is_poisoned(b));
		m->poisoned = true;
		m->since = b->now_ms;
		m->held = 0;
	} else if (r == SAME) {
		ck_assert_uint_eq(got, DROP_FRAGMENT_DUPLICATE);
	}
}

START_TEST(test_random_fragments_against_a_list)
{
	static struct model models[MODEL_KEYS];
	struct bench b;

	bench_open(&b, 512);
	for (unsigned i = 0; i < 60000; i++) {
		unsigned key = unit_below(MODEL_KEYS);

		model_step(&b, &models[key], (uint16_t)key);
		if (unit_below(8) == 0)
			b.now_ms += unit_below(1500);
	}
	bench_close(&b);
}
END_TEST

/* Very many, with little room: nothing leaks, everything held comes out or dies. */
START_TEST(test_million_fragments_leave_nothing_behind)
{
	struct bench b;

	bench_open(&b, LIMIT);
	for (unsigned i = 0; i < 1000000; i++) {
		struct fragment_fate fate = fate_for(H1, 1);
		uint32_t src = H1 + unit_below(30);
		uint16_t id = (uint16_t)unit_below(20);
		enum nat_reason why;

		if (unit_below(4) == 0) {
			fate.action = unit_below(8) ? 1 : FRAGMENT_FATE_DROPPED;
			b.v = (struct pkt_view){.src = src,
						.dst = SERVER,
						.id = id,
						.ihl = 20,
						.len = 20 + 64,
						.ip = b.packet,
						.l4 = b.packet + 20,
						.more_fragments = true};
			if (fragment_admit(b.f, &b.v, b.now_ms, &fate.digest, &why)) {
				fragment_first(b.f, &b.v, &fate, b.now_ms);
				while (fragment_release(b.f, &b.v, b.packet) > 0)
					b.released++;
			}
		} else {
			b.v = (struct pkt_view){.src = src,
						.dst = SERVER,
						.id = id,
						.ihl = 20,
						.len = 20 + 64,
						.ip = b.packet,
						.l4 = b.packet + 20,
						.frag_offset = (uint16_t)(64 * (1 + unit_below(6))),
						.more_fragments = unit_below(4) != 0};
			b.held += fragment_later(b.f, &b.v, b.now_ms, &fate, &why) == FRAGMENT_HELD;
		}
		b.now_ms += unit_below(50) == 0 ? unit_below(2000) : unit_below(2);
		if (i % 1000 == 0)
			bench_sweep(&b);
	}
	bench_close(&b);
	ck_assert_uint_eq(b.held, b.released + b.died);
}
END_TEST

static Suite *room_suite(void)
{
	Suite *s = suite_create("fragment room");
	TCase *room = tcase_create("room");
	TCase *many = tcase_create("many");

	tcase_set_timeout(room, 60);
	tcase_add_test(room, test_nothing_can_be_held_without_a_limit);
	tcase_add_test(room, test_one_source_holds_its_share_only);
	tcase_add_test(room, test_full_within_one_millisecond);
	tcase_add_test(room, test_lower_limit_lets_the_held_run_out);
	tcase_add_test(room, test_4787_14a_flood_of_firstless_fragments);
	tcase_add_test(room, test_flood_of_first_fragments_is_bounded);
	tcase_add_test(room, test_memory_is_touched_as_fragments_come);
	tcase_add_test(room, test_fault_40_tiny_fragments_take_little_memory_and_give_it_back);
	tcase_add_loop_test(room, test_check_finds_what_is_broken, 0, 17);
	tcase_set_timeout(many, 60);
	tcase_add_test(many, test_random_fragments_against_a_list);
	tcase_add_test(many, test_million_fragments_leave_nothing_behind);
	suite_add_tcase(s, room);
	suite_add_tcase(s, many);
	return s;
}

int main(void)
{
	return unit_main(room_suite);
}
