/* SPDX-License-Identifier: ISC */
/* Records as the version of natd before this one would have left them: layout 1, written down once more. For tests of
 * the converter, and of what becomes of records that need it. */
#ifndef NATD_TESTS_FORMER_H
#define NATD_TESTS_FORMER_H

#include <stdint.h>
#include <string.h>

enum { FORMER_PAGE = 4096, FORMER_SESSION = 64, FORMER_COLD = 8, FORMER_KIND = 16, FORMER_STATE = 0x3c };

struct former_records {
	uint64_t magic;
	uint32_t version;
	uint32_t header_bytes, session_bytes, cold_bytes;
	uint32_t max_sessions, max_addresses, max_rests, spare;
	uint64_t secret[4];
	uint64_t sum;
	uint32_t session_top, address_top, rest_top, padding;
};

struct former_address {
	uint32_t address, state;
};

static inline uint64_t former_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static inline uint64_t former_sum(const struct former_records *h)
{
	uint64_t sum = former_mix(h->magic);

	sum = former_mix(sum ^ ((uint64_t)h->version << 32 | h->header_bytes));
	sum = former_mix(sum ^ ((uint64_t)h->session_bytes << 32 | h->cold_bytes));
	sum = former_mix(sum ^ ((uint64_t)h->max_sessions << 32 | h->max_addresses));
	sum = former_mix(sum ^ ((uint64_t)h->max_rests << 32 | h->spare));
	for (int i = 0; i < 4; i++)
		sum = former_mix(sum ^ h->secret[i]);
	return sum;
}

static inline size_t former_pages(size_t len)
{
	return (len + FORMER_PAGE - 1) & ~(size_t)(FORMER_PAGE - 1);
}

/* Turns records of the present layout, whole ones, into those. */
static inline void former_make(void *records)
{
	uint8_t *bytes = records;
	uint64_t tops[3];
	struct former_records h;
	struct former_address *addresses = (struct former_address *)(void *)(bytes + FORMER_PAGE);
	uint8_t *sessions, *cold;

	memcpy(&h, bytes, sizeof(h));
	memcpy(tops, bytes + 80, sizeof(tops));
	h.version = 1;
	h.header_bytes = sizeof(h);
	h.session_top = (uint32_t)tops[0];
	h.address_top = (uint32_t)tops[1];
	h.rest_top = (uint32_t)tops[2];
	h.padding = 0;
	h.sum = former_sum(&h);
	memset(bytes, 0, FORMER_PAGE);
	memcpy(bytes, &h, sizeof(h));
	for (uint32_t i = 0; i < h.address_top; i++)
		addresses[i].state = addresses[i].state != 0;
	sessions = (uint8_t *)addresses + former_pages(h.max_addresses * sizeof(*addresses));
	cold = sessions + former_pages((size_t)h.max_sessions * FORMER_SESSION);
	for (uint32_t i = 0; i < h.session_top; i++)
		memset(cold + (size_t)i * FORMER_COLD + 6, 0, 2);
}

#endif
