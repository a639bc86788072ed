/* SPDX-License-Identifier: ISC */
/*
 * Records that something other than natd has changed. The start is empty, or complete but for the damaged part, and
 * never wrong: each session existed before, with the same translation.
 */
#include <check.h>

#include "core/table/table_private.h"

#include "tablelab.h"

enum { SIZE = 400, FEW = 48, ADDRESSES = 3 };

/* ---- a single change, everywhere ---- */

struct known {
	struct session session;
	uint32_t outside;
};

/* Whole records, and what they hold. */
struct hurt {
	struct lab l;
	uint8_t *whole;
	struct known known[FEW];
	uint32_t n;
};

static void hurt_open(struct hurt *h)
{
	uint32_t cursor = 0;
	struct session *s;

	lab_open(&h->l, FEW, ADDRESSES);
	lab_populate(&h->l, FEW * 3 / 4);
	h->n = 0;
	while ((s = table_next(h->l.t, &cursor, FEW)) != NULL)
		h->known[h->n++] = (struct known){*s, table_address(h->l.t, s->ext)};
	h->whole = lab_alloc(h->l.memory.records_len);
	memcpy(h->whole, h->l.memory.records, h->l.memory.records_len);
}

static void hurt_close(struct hurt *h)
{
	memcpy(h->l.memory.records, h->whole, h->l.memory.records_len);
	lab_attach(&h->l);
	free(h->whole);
	lab_close(&h->l);
}

static bool was_there(const struct hurt *h, const struct session *s)
{
	for (uint32_t i = 0; i < h->n; i++) {
		const struct session *k = &h->known[i].session;

		if (memcmp(k, s, offsetof(struct session, kind)) == 0 && ((k->kind ^ s->kind) & RECORD_KIND) == 0 &&
		    table_address(h->l.t, s->ext) == h->known[i].outside)
			return true;
	}
	return false;
}

/* Starts with that aligned word of the records changed. False: it is an empty table. */
static bool starts_with(struct hurt *h, size_t at, uint16_t change)
{
	uint8_t *records = h->l.memory.records;
	uint32_t cursor = 0;
	struct session *s;

	memcpy(records, h->whole, h->l.memory.records_len);
	records[at] ^= (uint8_t)change;
	records[at + 1] ^= (uint8_t)(change >> 8);
	lab_attach(&h->l);
	if (h->l.t == NULL)
		return false;
	lab_check(&h->l);
	while ((s = table_next(h->l.t, &cursor, FEW)) != NULL)
		ck_assert_msg(was_there(h, s), "a session nobody opened, after %#x at %zu", change, at);
	return true;
}

/* Every bit of the word, all of them, some at random, and the word as zero. */
enum { CHANGES = 16 + 1 + 6 + 1 };

static uint16_t change_of(const struct hurt *h, size_t at, int i)
{
	if (i < 16)
		return (uint16_t)(1u << i);
	if (i == 16)
		return UINT16_MAX;
	if (i < CHANGES - 1)
		return (uint16_t)(1 + unit_below(UINT16_MAX));
	return (uint16_t)(h->whole[at] | h->whole[at + 1] << 8);
}

START_TEST(test_damaged_header_is_an_empty_table)
{
	struct hurt h;

	hurt_open(&h);
	for (size_t at = 0; at < sizeof(struct table_header); at += 2) {
		for (int i = 0; i < CHANGES; i++) {
			uint16_t change = change_of(&h, at, i);

			if (change == 0)
				continue;
			ck_assert(!starts_with(&h, at, change));
			ck_assert_int_eq(h.l.report.result, TABLE_FOREIGN);
			((uint8_t *)h.l.memory.records)[at] ^= (uint8_t)change; /* and is not touched */
			((uint8_t *)h.l.memory.records)[at + 1] ^= (uint8_t)(change >> 8);
			ck_assert_mem_eq(h.l.memory.records, h.whole, h.l.memory.records_len);
		}
	}
	hurt_close(&h);
}
END_TEST

/* The expected result of a changed word of a session's record, or of its cold part. */
enum outcome { LOST, MAY_BE_LOST, KEPT };

static enum outcome expected(size_t at_session, size_t at_cold)
{
	if (at_session < offsetof(struct session, kind))
		return LOST;
	if (at_session == offsetof(struct session, kind)) /* the state, which may become none at all */
		return MAY_BE_LOST;
	return at_cold == offsetof(struct session_cold, check) ? LOST : KEPT;
}

static void damage_word(struct hurt *h, const void *word, enum outcome outcome)
{
	size_t at = (size_t)((const uint8_t *)word - (const uint8_t *)h->l.memory.records);

	for (int i = 0; i < CHANGES; i++) {
		uint16_t change = change_of(h, at, i);
		uint32_t restored;

		if (change == 0)
			continue;
		ck_assert(starts_with(h, at, change));
		restored = h->l.report.restored;
		if (outcome == MAY_BE_LOST)
			ck_assert(restored == h->n || restored + 1 == h->n);
		else
			ck_assert_uint_eq(restored, h->n - (outcome == LOST));
		if (outcome == LOST)
			ck_assert_uint_eq(h->l.report.dropped, 1);
	}
}

static bool is_open(const struct hurt *h, uint32_t i)
{
	const struct session *s = (const struct session *)(const void *)(h->whole + ((uint8_t *)&h->l.t->sessions[i] -
										     (uint8_t *)h->l.memory.records));

	return session_state(s) != SESSION_FREE;
}

START_TEST(test_damaged_session_is_dropped_unless_it_goes_where_it_went)
{
	struct hurt h;
	uint32_t opened = 0;

	hurt_open(&h);
	for (uint32_t i = 0; i < FEW; i++) {
		const uint8_t *s = (const uint8_t *)&h.l.t->sessions[i], *cold = (const uint8_t *)&h.l.t->cold[i];
		bool open = is_open(&h, i);

		opened += open;
		for (size_t at = 0; at < sizeof(struct session); at += 2)
			damage_word(&h, s + at, open ? expected(at, 0) : KEPT);
		for (size_t at = 0; at < sizeof(struct session_cold); at += 2)
			damage_word(&h, cold + at, open ? expected(sizeof(struct session), at) : KEPT);
	}
	ck_assert_uint_eq(opened, h.n);
	ck_assert_uint_lt(opened, FEW);
	hurt_close(&h);
}
END_TEST

START_TEST(test_damaged_address_takes_its_sessions_with_it)
{
	struct hurt h;

	hurt_open(&h);
	for (uint32_t slot = 0; slot < ADDRESSES; slot++) {
		uint32_t on_it = 0;

		for (uint32_t i = 0; i < h.n; i++)
			on_it += h.known[i].session.ext == slot;
		ck_assert_uint_gt(on_it, 0);
		for (size_t at = 0; at < sizeof(struct address_slot); at += 2) {
			for (int i = 0; i < CHANGES; i++) {
				size_t where =
					(size_t)((uint8_t *)&h.l.t->addresses[slot] - (uint8_t *)h.l.memory.records);
				uint16_t change = change_of(&h, where + at, i);

				if (change == 0)
					continue;
				ck_assert(starts_with(&h, where + at, change));
				ck_assert_uint_eq(h.l.report.dropped, on_it);
				ck_assert_uint_eq(h.l.report.restored, h.n - on_it);
			}
		}
	}
	hurt_close(&h);
}
END_TEST

START_TEST(test_damaged_rest_costs_no_session)
{
	struct hurt h;
	uint32_t resting;

	hurt_open(&h);
	ck_assert(starts_with(&h, 0, 0));
	resting = h.l.report.resting;
	ck_assert_uint_gt(resting, 0);
	for (uint32_t i = 0; i < FEW; i++) {
		for (size_t at = 0; at < sizeof(uint64_t); at += 2)
			damage_word(&h, (const uint8_t *)&h.l.t->quarantined[i] + at, KEPT);
		ck_assert_uint_le(h.l.report.resting, resting);
	}
	hurt_close(&h);
}
END_TEST

/* ---- the check ---- */

static struct session random_record(void)
{
	struct session s;
	uint64_t *word = (uint64_t *)(void *)&s;

	for (size_t i = 0; i < sizeof(s) / sizeof(*word); i++)
		word[i] = unit_random();
	return s;
}

START_TEST(test_each_word_goes_into_the_check_as_a_bijection)
{
	static uint8_t seen[65536];
	struct session s = random_record();
	uint8_t *bytes = (uint8_t *)&s;

	for (size_t at = 0; at < offsetof(struct session, kind); at += 2) {
		memset(seen, 0, sizeof(seen));
		for (uint32_t value = 0; value < 65536; value++) {
			bytes[at] = (uint8_t)value;
			bytes[at + 1] = (uint8_t)(value >> 8);
			ck_assert(!seen[record_check(&s)]);
			seen[record_check(&s)] = 1;
		}
	}
}
END_TEST

/* For any new kind: each of the sixteen has a different check, and none has that of a closed record. */
START_TEST(test_no_kind_has_the_check_of_another_or_of_a_closed_record)
{
	struct session s = random_record();

	for (unsigned a = 0; a < 256; a++) {
		uint16_t check, closed;

		s.kind = (uint8_t)a;
		check = record_check(&s);
		closed = record_check_closed(&s);
		for (unsigned b = 0; b < 256; b++) {
			s.kind = (uint8_t)b;
			ck_assert((record_check(&s) == check) == (((a ^ b) & RECORD_KIND) == 0));
			ck_assert_uint_ne(record_check(&s), closed);
		}
	}
}
END_TEST

START_TEST(test_zeroes_are_no_record)
{
	struct session s = {0};

	for (unsigned kind = 0; kind < 256; kind++) {
		s.kind = (uint8_t)kind;
		ck_assert_uint_ne(record_check(&s), 0);
	}
}
END_TEST

/* All pairs of bits of a record: of 2^16 about one goes unseen, wherever the two are. */
START_TEST(test_two_changes_seldom_cancel)
{
	enum { RECORDS = 100, BITS = offsetof(struct session, kind) * 8 };
	static uint32_t unseen[BITS][BITS];
	uint32_t all = 0;

	for (int r = 0; r < RECORDS; r++) {
		struct session s = random_record();
		uint8_t *bytes = (uint8_t *)&s;
		uint16_t check = record_check(&s);

		for (unsigned a = 0; a < BITS; a++) {
			for (unsigned b = 0; b < a; b++) {
				bytes[a / 8] ^= (uint8_t)(1u << a % 8);
				bytes[b / 8] ^= (uint8_t)(1u << b % 8);
				if (record_check(&s) == check) {
					all++;
					ck_assert_uint_lt(++unseen[a][b], 5);
				}
				bytes[a / 8] ^= (uint8_t)(1u << a % 8);
				bytes[b / 8] ^= (uint8_t)(1u << b % 8);
			}
		}
	}
	ck_assert_uint_lt(all, RECORDS * BITS * (BITS - 1) / 2 / 16384);
}
END_TEST

/* ---- many changes ---- */

/* After anything at all in the changing part of the records: a consistent table, that works. */
static void survive(struct lab *l)
{
	lab_restart(l, ADDRESSES);
	lab_check(l);
	ck_assert_uint_le(l->report.restored, SIZE);
	for (uint32_t cursor = 0;;) {
		struct session *s = table_next(l->t, &cursor, SIZE);

		if (s == NULL)
			break;
		ck_assert_ptr_eq(table_session_by_id(l->t, table_session_id(l->t, s)), s);
		if (unit_below(4) == 0)
			table_session_close(l->t, s, SESSION_END_DELETED, l->now_s);
	}
	lab_check(l);
	l->now_s += unit_below(200);
	table_sweep(l->t, l->now_s, SIZE);
	lab_check(l);
}

START_TEST(test_flipped_bytes_never_give_an_inconsistent_table)
{
	uint32_t dropped = 0;
	uint8_t *records;
	struct lab l;

	lab_open(&l, SIZE, ADDRESSES);
	records = l.memory.records;
	for (int round = 0; round < 300; round++) {
		uint32_t flips = 1 + unit_below(_i ? 200 : 3);

		lab_populate(&l, SIZE / 2);
		for (uint32_t i = 0; i < flips; i++) { /* in the parts in use: addresses, sessions, quarantine */
			size_t at = TABLE_PAGE + unit_below((uint32_t)l.memory.records_len - TABLE_PAGE);

			records[at] =
				unit_below(2) ? (uint8_t)unit_random() : records[at] ^ (uint8_t)(1u << unit_below(8));
		}
		survive(&l);
		dropped += l.report.dropped;
	}
	ck_assert_uint_gt(dropped, 0);
	lab_close(&l);
}
END_TEST

START_TEST(test_doubled_and_torn_records_are_dropped_and_counted)
{
	struct lab l;

	lab_open(&l, SIZE, ADDRESSES);
	for (int round = 0; round < 200; round++) {
		uint32_t top, from, to;
		uint8_t *a, *b;

		lab_populate(&l, SIZE / 2);
		top = (uint32_t)l.t->header->session_top;
		from = unit_below(top);
		to = unit_below(top);
		a = (uint8_t *)&l.t->sessions[from];
		b = (uint8_t *)&l.t->sessions[to];
		memcpy(b, a, unit_below(3) == 0 ? unit_below(65) : 64);
		survive(&l);
	}
	lab_close(&l);
}
END_TEST

START_TEST(test_damaged_rests_are_ignored)
{
	struct lab l;

	lab_open(&l, SIZE, ADDRESSES);
	for (int round = 0; round < 200; round++) {
		lab_populate(&l, SIZE / 4);
		for (uint32_t i = 0; i < (uint32_t)l.t->header->quarantine_top; i++) {
			if (unit_below(3) == 0)
				l.t->quarantined[i] ^= 1ull << unit_below(64);
			else if (unit_below(3) == 0)
				l.t->quarantined[i] =
					l.t->quarantined[unit_below((uint32_t)l.t->header->quarantine_top)];
		}
		survive(&l);
		l.now_s += 1000;
		table_sweep(l.t, l.now_s, 10000);
		lab_check(&l);
	}
	lab_close(&l);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("table_damage");
	TCase *tc = tcase_create("damage");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_damaged_header_is_an_empty_table);
	tcase_add_test(tc, test_damaged_session_is_dropped_unless_it_goes_where_it_went);
	tcase_add_test(tc, test_damaged_address_takes_its_sessions_with_it);
	tcase_add_test(tc, test_damaged_rest_costs_no_session);
	tcase_add_test(tc, test_each_word_goes_into_the_check_as_a_bijection);
	tcase_add_test(tc, test_no_kind_has_the_check_of_another_or_of_a_closed_record);
	tcase_add_test(tc, test_zeroes_are_no_record);
	tcase_add_test(tc, test_two_changes_seldom_cancel);
	tcase_add_loop_test(tc, test_flipped_bytes_never_give_an_inconsistent_table, 0, 2);
	tcase_add_test(tc, test_doubled_and_torn_records_are_dropped_and_counted);
	tcase_add_test(tc, test_damaged_rests_are_ignored);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
