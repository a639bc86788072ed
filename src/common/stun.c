/* SPDX-License-Identifier: ISC */
/* STUN, see stun.h. Lengths come from the network: each is checked before anything is read. */
#include "stun.h"

#include <string.h>

enum {
	BINDING_REQUEST = 0x0001,
	BINDING_SUCCESS = 0x0101,
	BINDING_ERROR = 0x0111,

	MAPPED_ADDRESS = 0x0001,
	CHANGE_REQUEST = 0x0003,
	ERROR_CODE = 0x0009,
	UNKNOWN_ATTRIBUTES = 0x000a,
	XOR_MAPPED_ADDRESS = 0x0020,
	OPTIONAL = 0x8000, /* attributes from here on may be ignored */
	FINGERPRINT = 0x8028,
	OTHER_ADDRESS = 0x802c,

	ATTRIBUTE_HEAD = 4,
	FAMILY_IPV4 = 1,
	ADDRESS_LEN = 8,
};

#define COOKIE		0x2112a442u
#define FINGERPRINT_XOR 0x5354554eu

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

size_t stun_request(uint8_t out[STUN_REQUEST_MAX], const uint8_t id[STUN_ID], unsigned change)
{
	size_t len = STUN_HEADER;

	if (change != STUN_CHANGE_NONE) {
		put16(out + len, CHANGE_REQUEST);
		put16(out + len + 2, 4);
		put32(out + len + 4, change);
		len += ATTRIBUTE_HEAD + 4;
	}
	put16(out, BINDING_REQUEST);
	put16(out + 2, (uint16_t)(len - STUN_HEADER));
	put32(out + 4, COOKIE);
	memcpy(out + 8, id, STUN_ID);
	return len;
}

/* ---- attributes ---- */

struct attribute {
	uint16_t type, len;
	const uint8_t *value;
	size_t next; /* offset of the next attribute */
};

static bool has_header(const uint8_t *p, size_t len)
{
	return len >= STUN_HEADER && get32(p + 4) == COOKIE && get16(p + 2) == len - STUN_HEADER && len % 4 == 0;
}

/* The attribute at `at`. False: it does not fit into the message. */
static bool get_attribute(struct attribute *a, const uint8_t *p, size_t len, size_t at)
{
	if (len - at < ATTRIBUTE_HEAD)
		return false;
	a->type = get16(p + at);
	a->len = get16(p + at + 2);
	a->value = p + at + ATTRIBUTE_HEAD;
	a->next = at + ATTRIBUTE_HEAD + ((size_t)a->len + 3) / 4 * 4;
	return a->next <= len;
}

bool stun_is_request(const uint8_t *p, size_t len)
{
	struct attribute a;

	if (!has_header(p, len) || get16(p) != BINDING_REQUEST)
		return false;
	for (size_t at = STUN_HEADER; at < len; at = a.next) {
		if (!get_attribute(&a, p, len, at))
			return false;
	}
	return true;
}

/* ---- an answer ---- */

static bool get_endpoint(struct stun_endpoint *e, const struct attribute *a, bool is_xored)
{
	if (a->len != ADDRESS_LEN || a->value[1] != FAMILY_IPV4)
		return false;
	e->port = (uint16_t)(get16(a->value + 2) ^ (is_xored ? COOKIE >> 16 : 0));
	e->address = get32(a->value + 4) ^ (is_xored ? COOKIE : 0);
	return true;
}

/* CRC-32 of ITU V.42, bit by bit: the messages are short. */
static uint32_t crc32(const uint8_t *p, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

/* The fingerprint is the last attribute and covers everything before it. */
static bool is_fingerprint_right(const struct attribute *a, const uint8_t *p, size_t len)
{
	size_t before = (size_t)(a->value - p) - ATTRIBUTE_HEAD;

	return a->len == 4 && a->next == len && get32(a->value) == (crc32(p, before) ^ FINGERPRINT_XOR);
}

struct reading {
	struct stun_answer *answer;
	bool has_mapped, has_xored;
};

/* False: the message must be ignored. Of several equal attributes the first counts (RFC 8489 14). */
static bool take(struct reading *r, const struct attribute *a, const uint8_t *p, size_t len)
{
	struct stun_answer *out = r->answer;

	switch (a->type) {
	case XOR_MAPPED_ADDRESS:
		if (r->has_xored)
			return true;
		r->has_xored = get_endpoint(&out->mapped, a, true);
		return r->has_xored;
	case MAPPED_ADDRESS: /* from servers before RFC 5389: some NATs on the way rewrite it */
		if (!r->has_xored && !r->has_mapped)
			r->has_mapped = get_endpoint(&out->mapped, a, false);
		return true;
	case OTHER_ADDRESS:
		if (!out->has_other)
			out->has_other = get_endpoint(&out->other, a, false);
		return true;
	case ERROR_CODE:
		if (a->len < 4 || (a->value[2] & 7) < 3 || (a->value[2] & 7) > 6 || a->value[3] > 99)
			return false;
		out->code = (a->value[2] & 7u) * 100 + a->value[3];
		return true;
	case FINGERPRINT:
		return is_fingerprint_right(a, p, len);
	case UNKNOWN_ATTRIBUTES:
		return true;
	default:
		return a->type >= OPTIONAL;
	}
}

static bool read_attributes(struct reading *r, const uint8_t *p, size_t len)
{
	struct attribute a;

	for (size_t at = STUN_HEADER; at < len; at = a.next) {
		if (!get_attribute(&a, p, len, at) || !take(r, &a, p, len))
			return false;
	}
	return true;
}

void stun_read(struct stun_answer *a, const uint8_t *p, size_t len, const uint8_t id[STUN_ID])
{
	struct reading r = {.answer = a};
	uint16_t type;

	memset(a, 0, sizeof(*a));
	if (!has_header(p, len) || memcmp(p + 8, id, STUN_ID) != 0)
		return;
	type = get16(p);
	if (!read_attributes(&r, p, len))
		return;
	if (type == BINDING_SUCCESS && (r.has_xored || r.has_mapped))
		a->kind = STUN_SUCCESS;
	else if (type == BINDING_ERROR && a->code != 0)
		a->kind = STUN_ERROR;
}
