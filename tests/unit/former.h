/* SPDX-License-Identifier: ISC */
/* Records as earlier versions of natd would have left them: layouts 1 and 2, written down once more. For tests of the
 * converter, and of what becomes of records that need it. */
#ifndef NATD_TESTS_FORMER_H
#define NATD_TESTS_FORMER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { FORMER_PAGE = 4096, FORMER_SESSION = 64, FORMER_COLD = 8, FORMER_ORIGIN = 128, FORMER_HEADER_2 = 104 };

struct former_records {
	uint64_t magic;
	uint32_t version;
	uint32_t header_bytes, session_bytes, cold_bytes;
	uint32_t max_sessions, max_addresses, max_quarantined, spare; /* spare: max_origins now */
	uint64_t secret[4];
	uint64_t sum;
	uint32_t session_top, address_top, quarantine_top, padding;
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
	sum = former_mix(sum ^ ((uint64_t)h->max_quarantined << 32 | h->spare));
	for (int i = 0; i < 4; i++)
		sum = former_mix(sum ^ h->secret[i]);
	return sum;
}

static inline size_t former_pages(size_t len)
{
	return (len + FORMER_PAGE - 1) & ~(size_t)(FORMER_PAGE - 1);
}

/* Blanks the part of layout 3 after the ports in quarantine. */
static inline void former_forget_origins(const struct former_records *h, uint8_t *rests, uint32_t origins)
{
	uint8_t *records = rests + former_pages((size_t)h->max_quarantined * sizeof(uint64_t));
	uint8_t *ids = records + former_pages((size_t)h->spare * FORMER_ORIGIN);

	memset(records, 0, (size_t)origins * FORMER_ORIGIN);
	if (origins > 0)
		memset(ids, 0, (size_t)h->session_top * sizeof(uint32_t));
}

/* From here on as layout 1 had it: no checks, and shorter tops. */
static inline void former_uncheck(const struct former_records *h, struct former_address *addresses, uint8_t *cold)
{
	for (uint32_t i = 0; i < h->address_top; i++)
		addresses[i].state = addresses[i].state != 0;
	for (uint32_t i = 0; i < h->session_top; i++)
		memset(cold + (size_t)i * FORMER_COLD + 6, 0, 2);
}

/* Turns whole records of layout 3 into those of an earlier one. */
static inline void former_make(void *records, uint32_t layout)
{
	uint8_t *bytes = records;
	uint64_t tops[4];
	struct former_records h;
	struct former_address *addresses = (struct former_address *)(void *)(bytes + FORMER_PAGE);
	uint8_t *sessions, *cold;

	memcpy(&h, bytes, sizeof(h));
	memcpy(tops, bytes + 80, sizeof(tops));
	h.session_top = (uint32_t)tops[0];
	h.address_top = (uint32_t)tops[1];
	h.quarantine_top = (uint32_t)tops[2];
	h.padding = 0;
	sessions = (uint8_t *)addresses + former_pages(h.max_addresses * sizeof(*addresses));
	cold = sessions + former_pages((size_t)h.max_sessions * FORMER_SESSION);
	former_forget_origins(&h, cold + former_pages((size_t)h.max_sessions * FORMER_COLD), (uint32_t)tops[3]);
	h.version = layout;
	h.header_bytes = layout == 1 ? sizeof(h) : FORMER_HEADER_2;
	h.max_quarantined = h.max_sessions < 64 ? 64 : h.max_sessions;
	h.spare = 0;
	h.sum = former_sum(&h);
	memset(bytes, 0, FORMER_PAGE);
	memcpy(bytes, &h, layout == 1 ? sizeof(h) : offsetof(struct former_records, session_top));
	if (layout == 1)
		former_uncheck(&h, addresses, cold);
	else
		memcpy(bytes + 80, tops, 3 * sizeof(tops[0]));
}

#endif
