/* SPDX-License-Identifier: ISC */
/*
 * The drop of privileges. Check runs each test in a process of its own, so it can be done for real: with uid 0 all
 * of it, as an ordinary user only a part.
 */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/sandbox/privs.h"
#include "unit.h"

enum { NET_ADMIN = 12 }; /* CAP_NET_ADMIN, without the library that only privs.c may know */

/* A line of /proc/self/status, read as a hexadecimal number. */
static uint64_t status_value(const char *key)
{
	char line[256];
	uint64_t value = UINT64_MAX;
	FILE *f = fopen("/proc/self/status", "re");

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, strlen(key)) == 0)
			value = strtoull(line + strlen(key), NULL, 16);
	}
	fclose(f);
	return value;
}

static void check_dropped(uint64_t had_permitted)
{
	struct rlimit core;

	ck_assert_uint_eq(status_value("CapEff:"), 0);
	ck_assert_uint_eq(status_value("CapPrm:"), had_permitted & UINT64_C(1) << NET_ADMIN);
	ck_assert_uint_eq(status_value("CapInh:"), 0);
	ck_assert_uint_eq(status_value("CapAmb:"), 0);
	ck_assert_uint_eq(status_value("NoNewPrivs:"), 1);
	ck_assert_int_eq(getrlimit(RLIMIT_CORE, &core), 0);
	ck_assert_uint_eq(core.rlim_max, 0);
}

START_TEST(test_drop_leaves_one_capability_and_no_way_back)
{
	uint64_t had = status_value("CapPrm:");
	bool had_setpcap = status_value("CapEff:") & 1u << 8;
	const char *what = "";
	struct privs p;

	ck_assert_int_eq(privs_init(&p, "nobody"), 0);
	ck_assert_msg(privs_drop(&p, &what) == 0, "%s", what);
	check_dropped(had);
	if (had_setpcap)
		ck_assert_uint_eq(status_value("CapBnd:"), 0);
	if (p.has_user) {
		ck_assert_uint_eq(getuid(), p.uid);
		ck_assert_uint_eq(getegid(), p.gid);
		ck_assert_int_eq(getgroups(0, NULL), 0);
		ck_assert_int_eq(setuid(0), -1);
	}
	privs_fini(&p);
}
END_TEST

START_TEST(test_raise_and_lower)
{
	uint64_t had = status_value("CapPrm:") & UINT64_C(1) << NET_ADMIN;
	const char *what = "";
	struct privs p;

	ck_assert_int_eq(privs_init(&p, "nobody"), 0);
	privs_raise(&p); /* before the drop: nothing happens */
	ck_assert_uint_eq(status_value("CapEff:") & UINT64_C(1) << NET_ADMIN, had);
	ck_assert_int_eq(privs_drop(&p, &what), 0);
	for (int i = 0; i < 3; i++) {
		privs_raise(&p);
		ck_assert_uint_eq(status_value("CapEff:"), had);
		privs_lower(&p);
		ck_assert_uint_eq(status_value("CapEff:"), 0);
	}
	privs_fini(&p);
}
END_TEST

START_TEST(test_missing_right_is_named_with_its_purpose)
{
	const char *what = "";
	char why[512] = "";
	struct privs p;

	ck_assert_int_eq(privs_init(&p, "nobody"), 0);
	ck_assert_int_eq(privs_drop(&p, &what), 0);
	ck_assert_int_eq(privs_check("/dev/null", why, sizeof(why)), -EPERM);
	ck_assert_ptr_nonnull(strstr(why, "CAP_NET_ADMIN is missing, needed to "));
	ck_assert_ptr_null(strchr(why, '\n'));
	privs_fini(&p);
}
END_TEST

START_TEST(test_missing_tun_is_named)
{
	char why[512] = "";

	if (!privs_has("cap_net_admin") || !privs_has("cap_net_raw"))
		return;
	ck_assert_int_eq(privs_check("/dev/null", why, sizeof(why)), 0);
	ck_assert_int_eq(privs_check("/nonexistent/tun", why, sizeof(why)), -ENOENT);
	ck_assert_ptr_eq(strstr(why, "/nonexistent/tun: "), why);
	ck_assert_ptr_nonnull(strstr(why, "modprobe tun"));
}
END_TEST

START_TEST(test_user_must_exist_and_be_another_than_root)
{
	struct privs p;

	ck_assert_int_eq(privs_init(&p, "no-such-user"), 0);
	ck_assert(!p.has_user);
	ck_assert_int_eq(privs_init(&p, "root"), 0);
	ck_assert(!p.has_user);
}
END_TEST

START_TEST(test_unknown_capability_is_not_had)
{
	ck_assert(!privs_has("cap_no_such_thing"));
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("privs");
	TCase *tc = tcase_create("privs");

	tcase_add_test(tc, test_drop_leaves_one_capability_and_no_way_back);
	tcase_add_test(tc, test_raise_and_lower);
	tcase_add_test(tc, test_missing_right_is_named_with_its_purpose);
	tcase_add_test(tc, test_missing_tun_is_named);
	tcase_add_test(tc, test_user_must_exist_and_be_another_than_root);
	tcase_add_test(tc, test_unknown_capability_is_not_had);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
