/* SPDX-License-Identifier: ISC */
/* SipHash-2-4 against its authors' vector, and the properties that the core's random numbers need. */
#include <check.h>

#include "core/base/prf.h"
#include "unit.h"

/* Aumasson and Bernstein, 2012, reference code, vectors_sip64[8]: key 00 01 … 0f, message 00 01 … 07. */
START_TEST(test_fault_51_siphash_reference_vector)
{
	const uint64_t key[2] = {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull};

	ck_assert_uint_eq(prf_hash(key, 0x0706050403020100ull), 0x93f5f5799a932462ull);
}
END_TEST

START_TEST(test_each_number_is_the_hash_of_the_next_count)
{
	struct prf p = {.key = {1, 2}};

	for (uint64_t i = 0; i < 10; i++)
		ck_assert_uint_eq(prf_next(&p), prf_hash(p.key, i));
	ck_assert_uint_eq(p.counter, 10);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("prf");
	TCase *t = tcase_create("siphash");

	tcase_add_test(t, test_fault_51_siphash_reference_vector);
	tcase_add_test(t, test_each_number_is_the_hash_of_the_next_count);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
