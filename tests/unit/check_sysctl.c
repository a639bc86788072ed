/* SPDX-License-Identifier: ISC */
/* The file that remembers settings: stored values come back, damaged or foreign files are refused. */
#include <fcntl.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/kernel/netns.h"
#include "daemon/kernel/sysctl.h"
#include "unit.h"

static char directory[] = "/tmp/check_sysctl.XXXXXX";
static char path[sizeof(directory) + 8];
static struct sysctl_state state, loaded;

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/state", directory);
	memset(&state, 0, sizeof(state));
	state.local_rule_moved = true;
	state.local_rule_protocol = 2;
	state.n_saved = 2;
	state.saved[0] = (struct sysctl_saved){"net/ipv4/conf/eth0/forwarding", 0, 1, false};
	state.saved[1] = (struct sysctl_saved){"net/ipv4/conf/br.5-x/rp_filter", -1, 2, false};
	ck_assert_int_eq(sysctl_state_store(path, &state), 0);
}

static void teardown(void)
{
	(void)unlink(path);
	(void)rmdir(directory);
}

static size_t read_all(char *out, size_t size)
{
	FILE *f = fopen(path, "r");
	size_t n;

	ck_assert_ptr_nonnull(f);
	n = fread(out, 1, size - 1, f);
	out[n] = '\0';
	fclose(f);
	return n;
}

static void write_all(const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

START_TEST(test_what_is_stored_comes_back)
{
	ck_assert(sysctl_state_load(path, &loaded));
	ck_assert(loaded.local_rule_moved);
	ck_assert_uint_eq(loaded.local_rule_protocol, 2);
	ck_assert_uint_eq(loaded.n_saved, 2);
	ck_assert_str_eq(loaded.saved[1].name, state.saved[1].name);
	ck_assert_int_eq(loaded.saved[1].original, -1);
	ck_assert_int_eq(sysctl_state_find(&loaded, "net/ipv4/conf/eth0/forwarding")->set, 1);
	ck_assert_ptr_null(sysctl_state_find(&loaded, "net/ipv4/conf/eth1/forwarding"));
}
END_TEST

START_TEST(test_reserved_ports_come_back)
{
	state.reserved.bits[1] = 0xf0;
	state.reserved.bits[1023] = UINT64_C(1) << 63;
	ck_assert_int_eq(sysctl_state_store(path, &state), 0);
	ck_assert(sysctl_state_load(path, &loaded));
	ck_assert_mem_eq(&loaded.reserved, &state.reserved, sizeof(state.reserved));
	memset(&state.reserved, 0x55, sizeof(state.reserved)); /* more than there can be */
	ck_assert_int_eq(sysctl_state_store(path, &state), 0);
	ck_assert(sysctl_state_load(path, &loaded));
	memset(&state.reserved, 0, sizeof(state.reserved));
}
END_TEST

START_TEST(test_a_full_state_fits)
{
	uint32_t i;

	state.n_saved = SYSCTL_SAVED_MAX;
	for (i = 0; i < SYSCTL_SAVED_MAX; i++) {
		snprintf(state.saved[i].name, SYSCTL_NAME_SIZE, "net/ipv6/conf/interface-%05u/disable_ipv6", i);
		state.saved[i].original = INT32_MIN;
		state.saved[i].set = INT32_MIN;
	}
	ck_assert_int_eq(sysctl_state_store(path, &state), 0);
	ck_assert(sysctl_state_load(path, &loaded));
	ck_assert_uint_eq(loaded.n_saved, SYSCTL_SAVED_MAX);
}
END_TEST

START_TEST(test_any_changed_byte_is_noticed)
{
	char text[4096];
	size_t n = read_all(text, sizeof(text));
	size_t i;

	for (i = 0; i < n; i++) {
		text[i] ^= 1;
		write_all(text, n);
		ck_assert_msg(!sysctl_state_load(path, &loaded), "byte %zu", i);
		ck_assert_uint_eq(loaded.n_saved, 0);
		text[i] ^= 1;
	}
	write_all(text, n);
	ck_assert(sysctl_state_load(path, &loaded));
}
END_TEST

START_TEST(test_a_cut_file_is_noticed)
{
	char text[4096];
	size_t n = read_all(text, sizeof(text));
	size_t i;

	for (i = 0; i < n; i++) {
		write_all(text, i);
		ck_assert(!sysctl_state_load(path, &loaded));
	}
}
END_TEST

static const char *const not_ours[] = {
	"kernel/core_pattern",
	"net/ipv4/ip_forward",
	"net/ipv4/conf/../forwarding",
	"net/ipv4/conf/a/b/forwarding",
	"net/ipv4/conf//forwarding",
	"net/ipv4/conf/sixteen-letters-/forwarding",
	"net/ipv4/conf/eth0/accept_ra",
	"net/ipv6/conf/eth0/forwarding",
	"net/ipv4/conf/./forwarding",
	"net/ipv4/conf/eth0/forwarding/x",
	"net/ipv4/conf/eth0/forwarding ",
};

/* A well-formed file with a name that natd never changes: only the name is wrong. */
START_TEST(test_only_our_settings_are_taken)
{

	ck_assert(!sysctl_is_ours(not_ours[_i]));
	snprintf(state.saved[1].name, SYSCTL_NAME_SIZE, "%s", not_ours[_i]);
	ck_assert_int_eq(sysctl_state_store(path, &state), 0);
	ck_assert(!sysctl_state_load(path, &loaded));
}
END_TEST

START_TEST(test_a_name_twice_is_refused)
{
	state.saved[1] = state.saved[0];
	ck_assert_int_eq(sysctl_state_store(path, &state), 0);
	ck_assert(!sysctl_state_load(path, &loaded));
}
END_TEST

START_TEST(test_a_file_that_others_may_write_is_not_believed)
{
	ck_assert_int_eq(chmod(path, 0620), 0);
	ck_assert(!sysctl_state_load(path, &loaded));
	ck_assert_int_eq(chmod(path, 0602), 0);
	ck_assert(!sysctl_state_load(path, &loaded));
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_assert(sysctl_state_load(path, &loaded));
}
END_TEST

START_TEST(test_a_link_is_not_followed)
{
	char real[sizeof(path) + 8];

	snprintf(real, sizeof(real), "%s/real", directory);
	ck_assert_int_eq(rename(path, real), 0);
	ck_assert_int_eq(symlink(real, path), 0);
	ck_assert(!sysctl_state_load(path, &loaded));
	ck_assert_int_eq(unlink(real), 0);
}
END_TEST

START_TEST(test_no_file_is_no_state)
{
	ck_assert_int_eq(unlink(path), 0);
	ck_assert(!sysctl_state_load(path, &loaded));
	ck_assert_int_lt(sysctl_state_store("/nowhere/at/all", &state), 0);
}
END_TEST

START_TEST(test_settings_are_read)
{
	int32_t value;

	ck_assert_int_eq(sysctl_read("kernel/pid_max", &value), 0);
	ck_assert_int_gt(value, 0);
	ck_assert_int_lt(sysctl_read("kernel/no_such_setting", &value), 0);
	ck_assert_int_lt(sysctl_read("kernel/osrelease", &value), 0); /* no number */
}
END_TEST

/* AppArmor refuses stat() on a namespace, so natd goes by the name of the link. */
START_TEST(test_the_number_of_a_namespace_is_its_inode)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), other = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uint64_t own, opened;
	struct stat st;

	ck_assert(fd >= 0 && other >= 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(netns_own(&own), 0);
	ck_assert_int_eq(netns_of(fd, &opened), 0);
	ck_assert_uint_eq(own, st.st_ino);
	ck_assert_uint_eq(opened, st.st_ino);
	ck_assert_int_lt(netns_of(other, &opened), 0);
	ck_assert_int_lt(netns_of(-1, &opened), 0);
	close(other);
	close(fd);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("sysctl");
	TCase *t = tcase_create("state");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_what_is_stored_comes_back);
	tcase_add_test(t, test_reserved_ports_come_back);
	tcase_add_test(t, test_a_full_state_fits);
	tcase_add_test(t, test_any_changed_byte_is_noticed);
	tcase_add_test(t, test_a_cut_file_is_noticed);
	tcase_add_loop_test(t, test_only_our_settings_are_taken, 0, (int)(sizeof(not_ours) / sizeof(not_ours[0])));
	tcase_add_test(t, test_a_name_twice_is_refused);
	tcase_add_test(t, test_a_file_that_others_may_write_is_not_believed);
	tcase_add_test(t, test_a_link_is_not_followed);
	tcase_add_test(t, test_no_file_is_no_state);
	tcase_add_test(t, test_settings_are_read);
	tcase_add_test(t, test_the_number_of_a_namespace_is_its_inode);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(make_suite);
}
