/* SPDX-License-Identifier: ISC */
/* Look-ups of many keys at once say what the same ones say one by one, whatever happens in between. */
#include "tablelab.h"

enum { SESSIONS = 1500, ADDRESSES = 3, KEYS = 4 * SESSIONS + 7 };

struct probing {
	struct lab l;
	struct table_probe *probe;
	struct table_probe *order[KEYS]; /* table_probe() may put them in another */
	uint32_t n;
};

static void add_key(struct probing *b, const struct session_key *k)
{
	ck_assert_uint_lt(b->n, KEYS);
	b->probe[b->n].key = *k;
	b->order[b->n] = &b->probe[b->n];
	b->n++;
}

/* The keys of every session from both sides, each with one beside it that no session has; in no order. */
static void add_keys(struct probing *b)
{
	uint32_t cursor = 0;
	struct session *s;

	while ((s = table_next(b->l.t, &cursor, UINT32_MAX)) != NULL) {
		for (int dir = DIR_OUT; dir <= DIR_IN; dir++) {
			struct session_key k = lab_key(s, (enum nat_dir)dir);

			add_key(b, &k);
			k.remote ^= 0x00800000;
			add_key(b, &k);
		}
	}
	for (uint32_t i = b->n; i > 1; i--) {
		uint32_t k = unit_below(i);
		struct table_probe *held = b->order[k];

		b->order[k] = b->order[i - 1];
		b->order[i - 1] = held;
	}
}

static void open_busy(struct probing *b)
{
	memset(b, 0, sizeof(*b));
	b->probe = calloc(KEYS, sizeof(*b->probe));
	ck_assert_ptr_nonnull(b->probe);
	lab_open(&b->l, SESSIONS, ADDRESSES);
	lab_populate(&b->l, SESSIONS);
	add_keys(b);
}

static void close_busy(struct probing *b)
{
	lab_check(&b->l);
	lab_close(&b->l);
	free(b->probe);
}

/* How many were found. */
static uint32_t compare(struct probing *b)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		const struct session_key *k = &b->probe[i].key;
		struct session *s = table_finish_lookup(b->l.t, &b->probe[i], b->l.now_s);

		ck_assert_ptr_eq(s, table_find(b->l.t, k, table_hash(b->l.t, k), b->l.now_s));
		found += s != NULL;
	}
	return found;
}

START_TEST(test_many_keys_at_once_find_what_one_by_one_they_find)
{
	struct probing b;

	open_busy(&b);
	table_probe(b.l.t, b.order, b.n);
	ck_assert_uint_eq(compare(&b), 2 * SESSIONS);
	close_busy(&b);
}
END_TEST

START_TEST(test_sessions_closed_after_the_probe_are_not_found)
{
	struct probing b;
	uint32_t cursor = 0, left = 0;
	struct session *s;

	open_busy(&b);
	table_probe(b.l.t, b.order, b.n);
	while ((s = table_next(b.l.t, &cursor, UINT32_MAX)) != NULL) {
		if (unit_below(2) == 0)
			table_session_close(b.l.t, s, SESSION_END_DELETED, b.l.now_s);
		else
			left++;
	}
	ck_assert_uint_eq(compare(&b), 2 * left);
	close_busy(&b);
}
END_TEST

/* A probe's miss is final only while nothing was inserted: here the key of a session that came in between. */
START_TEST(test_session_opened_after_the_probe_is_found)
{
	struct session_spec spec = lab_spec(3, 1000, 1, 2000);
	struct table_probe probe = {0}, *p = &probe;
	struct session s = {.int_addr = spec.int_addr,
			    .rem_addr = spec.rem_addr,
			    .int_port = spec.int_port,
			    .rem_port = spec.rem_port,
			    .ext_port = spec.ext_port,
			    .kind = CLASS_UDP};
	struct lab l;

	lab_open(&l, SESSIONS, 1);
	probe.key = lab_key(&s, _i == 0 ? DIR_OUT : DIR_IN);
	table_probe(l.t, &p, 1);
	ck_assert_ptr_null(table_finish_lookup(l.t, &probe, l.now_s));
	table_probe(l.t, &p, 1);
	ck_assert_ptr_eq(lab_session(&l, &spec), table_finish_lookup(l.t, &probe, l.now_s));
	lab_check(&l);
	lab_close(&l);
}
END_TEST

/* Host number `i` with a port of its own: no other host's mapping, and no forward applies. */
static struct session_spec endpoint(uint32_t i)
{
	return lab_spec(i / 8, (uint16_t)(1000 + i % 8), i, (uint16_t)(2000 + i));
}

/* The same endpoint with another server. */
static struct session_spec second(uint32_t i)
{
	struct session_spec spec = endpoint(i);

	spec.rem_addr += 0x00400000;
	return spec;
}

static struct session_key key_out(const struct session_spec *spec)
{
	return (struct session_key){
		.local = spec->int_addr,
		.remote = spec->rem_addr,
		.local_port = spec->int_port,
		.remote_port = spec->rem_port,
		.proto_class = spec->proto_class,
		.dir = DIR_OUT,
	};
}

/* A full table where endpoints lead to all sessions, so that a miss is final at once: until sessions come, of
 * mappings of their own or of others'. */
START_TEST(test_what_many_missed_is_found_when_it_came_meanwhile)
{
	enum { OLD = 1200, NEW = 200 };
	struct probing b = {.probe = calloc(KEYS, sizeof(*b.probe))};

	ck_assert_ptr_nonnull(b.probe);
	lab_open(&b.l, OLD + 2 * NEW, 1);
	for (uint32_t i = 0; i < OLD; i++) {
		struct session_spec spec = endpoint(i);

		lab_session(&b.l, &spec);
	}
	for (uint32_t i = 0; i < OLD + NEW; i++) {
		struct session_spec first = endpoint(i), other = second(i);
		struct session_key k = key_out(&first);

		add_key(&b, &k);
		k = key_out(&other);
		add_key(&b, &k);
	}
	ck_assert_uint_ge(table_probe(b.l.t, b.order, b.n), NEW);
	ck_assert_uint_eq(compare(&b), OLD);
	for (uint32_t i = 0; i < NEW; i++) {
		struct session_spec fresh = endpoint(OLD + i), joins = second(i);

		lab_session(&b.l, &fresh);
		lab_session(&b.l, &joins);
	}
	ck_assert_uint_eq(compare(&b), OLD + 2 * NEW);
	close_busy(&b);
}
END_TEST

START_TEST(test_sessions_whose_time_is_up_are_not_found)
{
	struct probing b;

	open_busy(&b);
	table_probe(b.l.t, b.order, b.n);
	b.l.now_s += 100000;
	ck_assert_uint_eq(compare(&b), 0);
	close_busy(&b);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("table_probe");
	TCase *tc = tcase_create("many keys");

	tcase_add_test(tc, test_many_keys_at_once_find_what_one_by_one_they_find);
	tcase_add_test(tc, test_sessions_closed_after_the_probe_are_not_found);
	tcase_add_loop_test(tc, test_session_opened_after_the_probe_is_found, 0, 2);
	tcase_add_test(tc, test_what_many_missed_is_found_when_it_came_meanwhile);
	tcase_add_test(tc, test_sessions_whose_time_is_up_are_not_found);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
