/* SPDX-License-Identifier: ISC */
/* Words to values: accepted words, refused ones with the reason, and that written values can be read again. */
#include <check.h>
#include <string.h>

#include "common/spelling.h"
#include "daemon/config/config_text.h"
#include "unit.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	const char *text;
	bool good;
	uint32_t address;
} addresses[] = {
	{"0.0.0.0", true, 0},
	{"192.0.2.1", true, 0xc0000201},
	{"255.255.255.255", true, 0xffffffff},
	{"192.0.2", false, 0},
	{"192.0.2.1.5", false, 0},
	{"192.0.2.256", false, 0},
	{"192.0.2.01", false, 0}, /* octal to some, decimal to others */
	{"192.0.2.", false, 0},
	{".0.2.1", false, 0},
	{"192.0.2.1 ", false, 0},
	{" 192.0.2.1", false, 0},
	{"192.0.2.1/32", false, 0},
	{"192.0.2.-1", false, 0},
	{"4294967296.0.0.1", false, 0},
	{"", false, 0},
};

START_TEST(test_addresses)
{
	char why[TEXT_WHY_SIZE];
	uint32_t address;

	ck_assert_int_eq(text_address(addresses[_i].text, &address, why), addresses[_i].good);
	if (addresses[_i].good)
		ck_assert_uint_eq(address, addresses[_i].address);
	else
		ck_assert_str_eq(why, "is not an IPv4 address: write four numbers from 0 to 255, such as 192.0.2.1");
}
END_TEST

static const struct {
	const char *text;
	const char *why; /* NULL: taken */
	struct nat_prefix want;
} prefixes[] = {
	{"10.0.0.0/8", NULL, {0x0a000000, 8, 0}},
	{"0.0.0.0/0", NULL, {0, 0, 0}},
	{"10.1.2.3", NULL, {0x0a010203, 32, 0}},
	{"10.1.2.3/32", NULL, {0x0a010203, 32, 0}},
	{"128.0.0.0/1", NULL, {0x80000000, 1, 0}},
	{"10.0.0.1/8", "has host bits set: the prefix of that length is 10.0.0.0/8", {0}},
	{"0.0.0.1/0", "has host bits set: the prefix of that length is 0.0.0.0/0", {0}},
	{"10.0.0.0/33", "has no proper prefix length: it is a number from 0 to 32", {0}},
	{"10.0.0.0/08", "has no proper prefix length: it is a number from 0 to 32", {0}},
	{"10.0.0.0/", "has no proper prefix length: it is a number from 0 to 32", {0}},
	{"10.0.0.0/8x", "has no proper prefix length: it is a number from 0 to 32", {0}},
	{"10.0.0/8", "is not a prefix: write an IPv4 address and a length, such as 10.8.0.0/24", {0}},
	{"10.0.0.0-8", "is not a prefix: write an IPv4 address and a length, such as 10.8.0.0/24", {0}},
};

START_TEST(test_prefixes)
{
	char why[TEXT_WHY_SIZE] = "";
	struct nat_prefix p = {.mtu = 9};

	ck_assert_int_eq(text_prefix(prefixes[_i].text, &p, why), prefixes[_i].why == NULL);
	ck_assert_str_eq(why, prefixes[_i].why ? prefixes[_i].why : "");
	if (prefixes[_i].why)
		return;
	ck_assert_uint_eq(p.address, prefixes[_i].want.address);
	ck_assert_uint_eq(p.length, prefixes[_i].want.length);
	ck_assert_uint_eq(p.mtu, 0);
}
END_TEST

static const struct {
	const char *text;
	bool good;
	uint16_t first;
	uint16_t last;
} ports[] = {
	{"1", true, 1, 1},	     {"65535", true, 65535, 65535},
	{"1-65535", true, 1, 65535}, {"80-80", true, 80, 80},
	{"0", false, 0, 0},	     {"0-0", false, 0, 0},
	{"0-5", false, 0, 0},	     {"5-0", false, 0, 0},
	{"90-80", false, 0, 0},	     {"65536", false, 0, 0},
	{"1-65536", false, 0, 0},    {"80-", false, 0, 0},
	{"-80", false, 0, 0},	     {"080", false, 0, 0},
	{"80 ", false, 0, 0},	     {"80-90-99", false, 0, 0},
	{"http", false, 0, 0},	     {"", false, 0, 0},
	{"+80", false, 0, 0},	     {"0x50", false, 0, 0},
	{"4294967376", false, 0, 0},
};

START_TEST(test_ports)
{
	char why[TEXT_WHY_SIZE] = "";
	struct nat_range r;

	ck_assert_int_eq(text_port_range(ports[_i].text, &r, why), ports[_i].good);
	ck_assert_int_eq(why[0] == '\0', ports[_i].good);
	if (!ports[_i].good)
		return;
	ck_assert_uint_eq(r.first, ports[_i].first);
	ck_assert_uint_eq(r.last, ports[_i].last);
}
END_TEST

static const struct {
	const char *text;
	bool good;
	uint32_t first;
	uint32_t last;
} ranges[] = {
	{"192.0.2.1", true, 0xc0000201, 0xc0000201},
	{"192.0.2.0/30", true, 0xc0000200, 0xc0000203},
	{"192.0.2.1-192.0.3.0", true, 0xc0000201, 0xc0000300},
	{"192.0.2.1-192.0.2.1", true, 0xc0000201, 0xc0000201},
	{"192.0.2.2-192.0.2.1", false, 0, 0},
	{"192.0.2.1-9", false, 0, 0},
	{"192.0.2.1 - 192.0.2.9", false, 0, 0},
	{"192.0.2.0/30-192.0.2.9", false, 0, 0},
	{"192.0.2.1-192.0.2.9-", false, 0, 0},
	{"-", false, 0, 0},
};

START_TEST(test_address_ranges)
{
	char why[TEXT_WHY_SIZE] = "";
	struct nat_address_range r = {.shared = true};

	ck_assert_int_eq(text_address_range(ranges[_i].text, &r, why), ranges[_i].good);
	ck_assert_int_eq(why[0] == '\0', ranges[_i].good);
	if (!ranges[_i].good)
		return;
	ck_assert_uint_eq(r.first, ranges[_i].first);
	ck_assert_uint_eq(r.last, ranges[_i].last);
	ck_assert(!r.shared);
}
END_TEST

static const struct {
	const char *text;
	bool good;
	uint16_t port;
} endpoints[] = {
	{"10.8.0.1", true, 0},		 {"10.8.0.1:1", true, 1},
	{"10.8.0.1:65535", true, 65535}, {"10.8.0.1:0", false, 0},
	{"10.8.0.1:65536", false, 0},	 {"10.8.0.1:", false, 0},
	{"10.8.0.1:80:80", false, 0},	 {":80", false, 0},
	{"10.8.0.1/32:80", false, 0},	 {"10.8.0.1:80-90", false, 0},
	{"host:80", false, 0},
};

START_TEST(test_endpoints)
{
	char why[TEXT_WHY_SIZE] = "";
	uint32_t address;
	uint16_t port;

	ck_assert_int_eq(text_endpoint(endpoints[_i].text, &address, &port, why), endpoints[_i].good);
	ck_assert_int_eq(why[0] == '\0', endpoints[_i].good);
	if (!endpoints[_i].good)
		return;
	ck_assert_uint_eq(address, 0x0a080001);
	ck_assert_uint_eq(port, endpoints[_i].port);
}
END_TEST

static const struct {
	const char *text;
	bool good;
	uint32_t mode;
} modes[] = {{"0660", true, 0660}, {"600", true, 0600}, {"0777", true, 0777}, {"000", true, 0},	  {"1777", false, 0},
	     {"0668", false, 0},   {"66", false, 0},	{"00660", false, 0},  {"-660", false, 0}, {"", false, 0}};

START_TEST(test_modes)
{
	char why[TEXT_WHY_SIZE];
	uint32_t mode;

	ck_assert_int_eq(text_mode(modes[_i].text, &mode, why), modes[_i].good);
	if (modes[_i].good)
		ck_assert_uint_eq(mode, modes[_i].mode);
}
END_TEST

static const struct {
	const char *text;
	bool good;
} interfaces[] = {{"eth0", true},
		  {"br-lan.100@if3", true},
		  {"123456789012345", true},
		  {"1234567890123456", false},
		  {"", false},
		  {".", false},
		  {"..", false},
		  {"a/b", false},
		  {"eth0:1", false},
		  {"eth%d", false},
		  {"a b", false},
		  {"a\tb", false},
		  {"\xc3\xa9", false}};

START_TEST(test_interfaces)
{
	char why[TEXT_WHY_SIZE];

	ck_assert_int_eq(text_interface(interfaces[_i].text, why), interfaces[_i].good);
}
END_TEST

START_TEST(test_addresses_that_no_host_may_use)
{
	ck_assert_ptr_nonnull(text_reserved(0, 0));
	ck_assert_ptr_nonnull(text_reserved(0x00ffffff, 0x01000000));
	ck_assert_ptr_null(text_reserved(0x01000000, 0x7effffff));
	ck_assert_ptr_nonnull(text_reserved(0x01000000, 0x7f000000));
	ck_assert_ptr_nonnull(text_reserved(0x7fffffff, 0x7fffffff));
	ck_assert_ptr_null(text_reserved(0x80000000, 0xdfffffff));
	ck_assert_ptr_nonnull(text_reserved(0xe0000000, 0xe0000000));
	ck_assert_ptr_nonnull(text_reserved(0xffffffff, 0xffffffff));
}
END_TEST

START_TEST(test_what_is_written_can_be_read)
{
	char out[TEXT_RANGE_SIZE], why[TEXT_WHY_SIZE];
	struct nat_address_range a;
	struct nat_prefix p, q;
	struct nat_range r, s;

	for (int i = 0; i < 20000; i++) {
		uint32_t first = (uint32_t)unit_random();
		uint32_t last = unit_below(3) ? first + unit_below(UINT32_MAX - first) : first;

		ck_assert(text_address_range(text_of_addresses(out, first, last), &a, why));
		ck_assert(a.first == first && a.last == last);
		p.length = (uint8_t)unit_below(33);
		p.address = p.length ? first & (UINT32_MAX << (32 - p.length)) : 0;
		ck_assert(text_prefix(text_of_prefix(out, &p), &q, why));
		ck_assert(p.address == q.address && p.length == q.length);
		r.first = (uint16_t)(1 + unit_below(65535));
		r.last = (uint16_t)(r.first + unit_below(65536u - r.first));
		ck_assert(text_port_range(text_of_ports(out, r), &s, why));
		ck_assert(r.first == s.first && r.last == s.last);
	}
}
END_TEST

/* The definition, by recursion over the ends of both words. */
static uint32_t slow_distance(const char *a, size_t n, const char *b, size_t m)
{
	uint32_t best, d;

	if (n == 0 || m == 0)
		return (uint32_t)(n + m);
	best = slow_distance(a, n - 1, b, m) + 1;
	d = slow_distance(a, n, b, m - 1) + 1;
	best = d < best ? d : best;
	d = slow_distance(a, n - 1, b, m - 1) + (a[n - 1] != b[m - 1]);
	best = d < best ? d : best;
	if (n > 1 && m > 1 && a[n - 1] == b[m - 2] && a[n - 2] == b[m - 1]) {
		d = slow_distance(a, n - 2, b, m - 2) + 1;
		best = d < best ? d : best;
	}
	return best;
}

START_TEST(test_distance_is_that_of_the_definition)
{
	char a[7], b[7];

	for (int i = 0; i < 1500; i++) {
		size_t n = unit_below(7), m = unit_below(7);

		memset(a, 0, sizeof(a));
		memset(b, 0, sizeof(b));
		for (size_t k = 0; k < n; k++)
			a[k] = (char)('a' + unit_below(3));
		for (size_t k = 0; k < m; k++)
			b[k] = (char)('a' + unit_below(3));
		ck_assert_msg(spelling_distance(a, b) == slow_distance(a, n, b, m), "%s %s", a, b);
	}
}
END_TEST

START_TEST(test_distance_of_long_words)
{
	char a[65], b[65];

	memset(a, 'x', 64);
	memset(b, 'x', 64);
	a[64] = b[63] = '\0';
	ck_assert_uint_eq(spelling_distance(a, b), UINT32_MAX);
	a[63] = '\0';
	ck_assert_uint_eq(spelling_distance(a, b), 0);
}
END_TEST

static Suite *suite_text(void)
{
	Suite *s = suite_create("config_text");
	TCase *t = tcase_create("config_text");

	tcase_add_loop_test(t, test_addresses, 0, LEN(addresses));
	tcase_add_loop_test(t, test_prefixes, 0, LEN(prefixes));
	tcase_add_loop_test(t, test_ports, 0, LEN(ports));
	tcase_add_loop_test(t, test_address_ranges, 0, LEN(ranges));
	tcase_add_loop_test(t, test_endpoints, 0, LEN(endpoints));
	tcase_add_loop_test(t, test_modes, 0, LEN(modes));
	tcase_add_loop_test(t, test_interfaces, 0, LEN(interfaces));
	tcase_add_test(t, test_addresses_that_no_host_may_use);
	tcase_add_test(t, test_what_is_written_can_be_read);
	tcase_add_test(t, test_distance_is_that_of_the_definition);
	tcase_add_test(t, test_distance_of_long_words);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(suite_text);
}
