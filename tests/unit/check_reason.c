/* SPDX-License-Identifier: ISC */
/*
 * Names of counters: scripts read them, so they must be distinct and of one form.
 */
#include <check.h>
#include <string.h>

#include "core/base/reason.h"
#include "unit.h"

START_TEST(test_every_reason_has_a_name_and_an_explanation)
{
	ck_assert_str_eq(nat_reason_name(NAT_PASS), "pass");
	ck_assert_str_eq(nat_reason_help(NAT_PASS), "");
	for (int r = 1; r < NAT_REASON_COUNT; r++) {
		const char *name = nat_reason_name((enum nat_reason)r);

		ck_assert_uint_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name));
		ck_assert_uint_gt(strlen(name), 4);
		ck_assert_uint_gt(strlen(nat_reason_help((enum nat_reason)r)), 8);
		ck_assert_int_eq(strncmp(name, "drop_", 5) == 0, r < COUNT_OUT_PACKETS);
		for (int other = 0; other < r; other++)
			ck_assert_str_ne(name, nat_reason_name((enum nat_reason)other));
	}
	ck_assert_str_eq(nat_reason_name(DROP_SHORT), "drop_short");
	ck_assert_str_eq(nat_reason_name(NAT_REASON_COUNT), "unknown");
}
END_TEST

static Suite *reason_suite(void)
{
	Suite *s = suite_create("reason");
	TCase *t = tcase_create("names");

	tcase_add_test(t, test_every_reason_has_a_name_and_an_explanation);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(reason_suite);
}
