/* SPDX-License-Identifier: ISC */
/* Checks of backends: what several in a row mean, and the first line of an HTTP answer. */
#include <check.h>
#include <string.h>

#include "../../src/daemon/health/health_judge.h"
#include "unit.h"

START_TEST(test_rise_and_fall_need_checks_in_a_row)
{
	struct health_judge j = {.is_up = true};

	ck_assert(!health_judge(&j, false, 2, 3));
	ck_assert(!health_judge(&j, false, 2, 3));
	ck_assert(!health_judge(&j, true, 2, 3)); /* begins again */
	ck_assert(!health_judge(&j, false, 2, 3));
	ck_assert(!health_judge(&j, false, 2, 3));
	ck_assert(health_judge(&j, false, 2, 3) && !j.is_up);
	ck_assert(!health_judge(&j, false, 2, 3));
	ck_assert(!health_judge(&j, true, 2, 3));
	ck_assert(health_judge(&j, true, 2, 3) && j.is_up);
	ck_assert(health_judge(&j, false, 1, 1) && health_judge(&j, true, 1, 1));
}
END_TEST

static int status(const char *text)
{
	return health_status((const uint8_t *)text, strlen(text));
}

START_TEST(test_status_of_an_http_answer)
{
	ck_assert_int_eq(status("HTTP/1.1 200 OK\r\n"), 200);
	ck_assert_int_eq(status("HTTP/1.0 503 x"), 503);
	ck_assert_int_eq(status("HTTP/1.1 204\r\n"), 204);
	ck_assert_int_eq(status(""), HEALTH_STATUS_MORE);
	ck_assert_int_eq(status("HTTP/1.1 20"), HEALTH_STATUS_MORE);
	ck_assert_int_eq(status("HTTP/1.1 200"), HEALTH_STATUS_MORE);
	ck_assert_int_eq(status("HTTP/2.0 200 "), HEALTH_STATUS_BAD);
	ck_assert_int_eq(status("SSH-2.0-x"), HEALTH_STATUS_BAD);
	ck_assert_int_eq(status("HTTP/1.1 999 "), HEALTH_STATUS_BAD);
	ck_assert_int_eq(status("HTTP/1.1 2000"), HEALTH_STATUS_BAD);
	ck_assert_int_eq(status("HTTP/1.1  200 "), HEALTH_STATUS_BAD);
}
END_TEST

/* Any bytes of a backend, one by one: the answer is found in HEALTH_STATUS_LEN bytes, and does not change
 * afterwards. */
START_TEST(test_any_bytes_come_to_one_answer)
{
	static const char good[] = "HTTP/1.1 404 Not found";

	for (unsigned i = 0; i < 2000; i++) {
		uint8_t bytes[32];
		int before = HEALTH_STATUS_MORE;

		memcpy(bytes, good, sizeof(good));
		for (unsigned k = unit_below(4); k > 0; k--)
			bytes[unit_below(16)] = (uint8_t)unit_random();
		for (size_t len = 0; len <= sizeof(bytes); len++) {
			int now = health_status(bytes, len);

			ck_assert(before == HEALTH_STATUS_MORE || before == now);
			ck_assert(len < HEALTH_STATUS_LEN || now != HEALTH_STATUS_MORE);
			ck_assert(now < 0 || (now >= 100 && now <= 599));
			before = now;
		}
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("health");
	TCase *tc = tcase_create("health");

	tcase_add_test(tc, test_rise_and_fall_need_checks_in_a_row);
	tcase_add_test(tc, test_status_of_an_http_answer);
	tcase_add_test(tc, test_any_bytes_come_to_one_answer);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
