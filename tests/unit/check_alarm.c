/* SPDX-License-Identifier: ISC */
#include <check.h>

#include "daemon/control/alarm.h"
#include "unit.h"

START_TEST(test_alarm_is_cleared_well_below_its_percentage_only)
{
	static const struct {
		uint32_t percent;
		bool changes, is_raised;
	} steps[] = {{79, false, false}, {80, true, true},  {99, false, true},	{79, false, true},
		     {76, false, true},	 {75, true, false}, {79, false, false}, {80, true, true}};
	struct alarm a = {0};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		ck_assert_msg(alarm_update(&a, steps[i].percent, 80) == steps[i].changes, "step %zu", i);
		ck_assert_msg(a.is_raised == steps[i].is_raised, "step %zu", i);
	}
}
END_TEST

START_TEST(test_alarm_that_is_off_is_never_raised)
{
	struct alarm a = {0};

	ck_assert(!alarm_update(&a, 100, 0));
	ck_assert(alarm_update(&a, 100, 100));
	ck_assert(alarm_update(&a, 100, 0)); /* switched off by a reload */
	ck_assert(!a.is_raised);
}
END_TEST

START_TEST(test_alarm_of_losses_is_cleared_a_minute_after_the_last_one)
{
	struct alarm a = {0};
	struct alarm_watch w = {0};

	ck_assert(!alarm_update_by_count(&a, &w, 0, 1000));
	ck_assert(alarm_update_by_count(&a, &w, 5, 2000) && a.is_raised);
	ck_assert(!alarm_update_by_count(&a, &w, 5, 2000 + ALARM_CALM_MS - 1) && a.is_raised);
	ck_assert(!alarm_update_by_count(&a, &w, 6, 2000 + ALARM_CALM_MS - 1));
	ck_assert(!alarm_update_by_count(&a, &w, 6, 2000 + ALARM_CALM_MS));
	ck_assert(alarm_update_by_count(&a, &w, 6, 2000 + 2 * ALARM_CALM_MS) && !a.is_raised);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("alarm");
	TCase *tc = tcase_create("alarm");

	tcase_add_test(tc, test_alarm_is_cleared_well_below_its_percentage_only);
	tcase_add_test(tc, test_alarm_that_is_off_is_never_raised);
	tcase_add_test(tc, test_alarm_of_losses_is_cleared_a_minute_after_the_last_one);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
