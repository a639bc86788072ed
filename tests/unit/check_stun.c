/* SPDX-License-Identifier: ISC */
/* STUN: the examples of RFC 5769, requests that are made, and answers that must be refused. */
#include <check.h>
#include <string.h>

#include "common/stun.h"
#include "unit.h"

static const uint8_t id[STUN_ID] = {0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae};

/* RFC 5769 2.2: a response with SOFTWARE, XOR-MAPPED-ADDRESS 192.0.2.1:32853, MESSAGE-INTEGRITY (cut out, as it is
 * of a password) and a FINGERPRINT made for what is left. */
static const uint8_t head[] = {0x01, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7,
			       0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae};
static const uint8_t software[] = {0x80, 0x22, 0x00, 0x0b, 't', 'e', 's', 't', ' ', 'v', 'e', 'c', 't', 'o', 'r', ' '};
static const uint8_t mapped[] = {0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43};
static const uint8_t plain[] = {0x00, 0x01, 0x00, 0x08, 0x00, 0x01, 0x80, 0x55, 192, 0, 2, 1};
static const uint8_t other[] = {0x80, 0x2c, 0x00, 0x08, 0x00, 0x01, 0x0d, 0x97, 198, 51, 100, 2};

struct message {
	uint8_t bytes[256];
	size_t len;
};

static void add(struct message *m, const void *bytes, size_t len)
{
	memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
	m->bytes[2] = (uint8_t)((m->len - STUN_HEADER) >> 8);
	m->bytes[3] = (uint8_t)(m->len - STUN_HEADER);
}

static void begin(struct message *m, uint16_t type)
{
	m->len = 0;
	memcpy(m->bytes, head, sizeof(head));
	m->len = sizeof(head);
	m->bytes[0] = (uint8_t)(type >> 8);
	m->bytes[1] = (uint8_t)type;
}

static struct stun_answer read_message(const struct message *m)
{
	struct stun_answer a;

	stun_read(&a, m->bytes, m->len, id);
	return a;
}

START_TEST(test_answer_tells_the_mapped_address)
{
	struct stun_answer a;
	struct message m;

	begin(&m, 0x0101);
	add(&m, software, sizeof(software));
	add(&m, plain, sizeof(plain)); /* the other one counts, wherever it stands */
	m.bytes[m.len - 1] = 77;
	add(&m, mapped, sizeof(mapped));
	add(&m, other, sizeof(other));
	a = read_message(&m);
	ck_assert_int_eq(a.kind, STUN_SUCCESS);
	ck_assert(a.mapped.address == 0xc0000201 && a.mapped.port == 32853);
	ck_assert(a.has_other && a.other.address == 0xc6336402 && a.other.port == 3479);
}
END_TEST

START_TEST(test_answer_of_an_old_server)
{
	struct stun_answer a;
	struct message m;

	begin(&m, 0x0101);
	add(&m, plain, sizeof(plain));
	a = read_message(&m);
	ck_assert(a.kind == STUN_SUCCESS && a.mapped.address == 0xc0000201 && a.mapped.port == 32853 && !a.has_other);
}
END_TEST

START_TEST(test_error_tells_its_code)
{
	static const uint8_t code[] = {0x00, 0x09, 0x00, 0x04, 0x00, 0x00, 0x04, 0x14};
	struct message m;

	begin(&m, 0x0111);
	add(&m, code, sizeof(code));
	ck_assert_int_eq(read_message(&m).kind, STUN_ERROR);
	ck_assert_uint_eq(read_message(&m).code, 420);
	m.bytes[m.len - 2] = 9;
	m.bytes[m.len - 1] = 200;
	ck_assert_int_eq(read_message(&m).kind, STUN_NOT);
}
END_TEST

START_TEST(test_answer_of_another_transaction_is_none)
{
	struct message m;

	for (unsigned i = 4; i < STUN_HEADER; i++) {
		begin(&m, 0x0101);
		add(&m, mapped, sizeof(mapped));
		ck_assert_int_eq(read_message(&m).kind, STUN_SUCCESS);
		m.bytes[i] ^= 1;
		ck_assert_int_eq(read_message(&m).kind, STUN_NOT);
	}
}
END_TEST

/* Attributes of any length, cut anywhere, and lengths that lie. */
START_TEST(test_answer_that_is_cut_or_lies_about_its_length_is_none)
{
	struct message m, cut;

	begin(&m, 0x0101);
	add(&m, mapped, sizeof(mapped));
	add(&m, other, sizeof(other));
	for (size_t len = 0; len < m.len; len++) {
		cut = m;
		cut.len = len;
		ck_assert_int_eq(read_message(&cut).kind, STUN_NOT);
		if (len >= STUN_HEADER) { /* with a header that says so */
			cut.bytes[3] = (uint8_t)(len - STUN_HEADER);
			ck_assert(read_message(&cut).kind == STUN_NOT || len == STUN_HEADER + sizeof(mapped));
		}
	}
	cut = m;
	cut.bytes[STUN_HEADER + 2] = 0xff;
	cut.bytes[STUN_HEADER + 3] = 0xff;
	ck_assert_int_eq(read_message(&cut).kind, STUN_NOT);
}
END_TEST

START_TEST(test_attribute_that_must_be_understood_and_is_not)
{
	static const uint8_t unknown[] = {0x7f, 0xff, 0x00, 0x00}, optional[] = {0xff, 0xff, 0x00, 0x00};
	struct message m;

	begin(&m, 0x0101);
	add(&m, mapped, sizeof(mapped));
	add(&m, optional, sizeof(optional));
	ck_assert_int_eq(read_message(&m).kind, STUN_SUCCESS);
	add(&m, unknown, sizeof(unknown));
	ck_assert_int_eq(read_message(&m).kind, STUN_NOT);
}
END_TEST

START_TEST(test_fingerprint_must_be_right_and_last)
{
	static const uint8_t optional[] = {0xff, 0xff, 0x00, 0x00};
	uint8_t fingerprint[] = {0x80, 0x28, 0x00, 0x04, 0, 0, 0, 0};
	struct message m;
	uint32_t crc = UINT32_MAX;

	begin(&m, 0x0101);
	add(&m, mapped, sizeof(mapped));
	add(&m, fingerprint, sizeof(fingerprint));
	for (size_t i = 0; i < m.len - 8; i++) {
		crc ^= m.bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	crc = ~crc ^ 0x5354554e;
	for (int i = 0; i < 4; i++)
		m.bytes[m.len - 4 + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
	ck_assert_int_eq(read_message(&m).kind, STUN_SUCCESS);
	m.bytes[m.len - 1] ^= 1;
	ck_assert_int_eq(read_message(&m).kind, STUN_NOT);
	m.bytes[m.len - 1] ^= 1;
	add(&m, optional, sizeof(optional));
	ck_assert_int_eq(read_message(&m).kind, STUN_NOT);
}
END_TEST

START_TEST(test_request_is_one)
{
	uint8_t p[STUN_REQUEST_MAX];
	struct stun_answer a;

	ck_assert_uint_eq(stun_request(p, id, STUN_CHANGE_NONE), STUN_HEADER);
	ck_assert(stun_is_request(p, STUN_HEADER));
	ck_assert_uint_eq(stun_request(p, id, STUN_CHANGE_ADDRESS | STUN_CHANGE_PORT), 28);
	ck_assert(stun_is_request(p, 28) && p[27] == 6 && p[21] == 3);
	stun_read(&a, p, 28, id); /* the request itself, sent back, is no answer */
	ck_assert_int_eq(a.kind, STUN_NOT);
	ck_assert(!stun_is_request(p, 27) && !stun_is_request(p, 24) && !stun_is_request(p, 0));
	p[1] = 3; /* another method */
	ck_assert(!stun_is_request(p, 28));
}
END_TEST

static Suite *make(void)
{
	Suite *s = suite_create("stun");
	TCase *t = tcase_create("stun");

	tcase_add_test(t, test_answer_tells_the_mapped_address);
	tcase_add_test(t, test_answer_of_an_old_server);
	tcase_add_test(t, test_error_tells_its_code);
	tcase_add_test(t, test_answer_of_another_transaction_is_none);
	tcase_add_test(t, test_answer_that_is_cut_or_lies_about_its_length_is_none);
	tcase_add_test(t, test_attribute_that_must_be_understood_and_is_not);
	tcase_add_test(t, test_fingerprint_must_be_right_and_last);
	tcase_add_test(t, test_request_is_one);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(make);
}
