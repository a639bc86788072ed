/* SPDX-License-Identifier: ISC */
/*
 * The records' header, and how a table begins: as a new one, or from records whose header is right in every field.
 * Their sessions are restored by table_restore.c.
 */
#include "table_private.h"

#include <string.h>

uint64_t table_header_sum(const struct table_header *h)
{
	uint64_t words[] = {
		h->magic,
		(uint64_t)h->version << 32 | h->header_bytes,
		(uint64_t)h->session_bytes << 32 | h->cold_bytes,
		(uint64_t)h->max_sessions << 32 | h->max_addresses,
		(uint64_t)h->max_quarantined << 32 | h->max_origins,
		h->secret[0],
		h->secret[1],
		h->secret[2],
		h->secret[3],
	};
	uint64_t sum = 0;

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		sum = hash_mix(sum ^ words[i]);
	return sum;
}

struct table_header table_header_new(const struct table *t, const uint64_t secret[4])
{
	struct table_header h = {
		.magic = TABLE_MAGIC,
		.version = TABLE_LAYOUT,
		.header_bytes = sizeof(h),
		.session_bytes = sizeof(struct session),
		.cold_bytes = sizeof(struct session_cold),
		.max_sessions = t->max_sessions,
		.max_addresses = t->max_addresses,
		.max_quarantined = t->max_quarantined,
		.max_origins = t->max_origins,
		.session_top = record_top(0),
		.address_top = record_top(0),
		.quarantine_top = record_top(0),
		.origin_top = record_top(0),
	};

	memcpy(h.secret, secret, sizeof(h.secret));
	h.sum = table_header_sum(&h);
	return h;
}

void table_header_write(struct table_header *to, const struct table_header *h)
{
	struct table_header blank = *h;

	blank.magic = 0;
	__atomic_store_n(&to->magic, 0, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*to = blank;
	__atomic_store_n(&to->magic, h->magic, __ATOMIC_RELEASE);
}

/* Is it the header that this process would have written, with any secret? */
static bool header_is_ours(const struct table *t, const struct table_header *found)
{
	struct table_header want = table_header_new(t, found->secret);

	return memcmp(found, &want, offsetof(struct table_header, session_top)) == 0 &&
	       record_top_is_whole(found->session_top, t->max_sessions) &&
	       record_top_is_whole(found->address_top, t->max_addresses) &&
	       record_top_is_whole(found->quarantine_top, t->max_quarantined) &&
	       record_top_is_whole(found->origin_top, t->max_origins);
}

uint32_t table_layout_of(const void *records, size_t len)
{
	struct table_header h;

	if (len < sizeof(h))
		return 0;
	memcpy(&h, records, sizeof(h));
	return h.magic == TABLE_MAGIC ? h.version : 0;
}

uint32_t table_sessions_hint(const void *records, size_t len)
{
	struct table_header h;

	if (table_layout_of(records, len) != TABLE_LAYOUT)
		return 0;
	memcpy(&h, records, sizeof(h));
	return record_top_is_whole(h.session_top, h.max_sessions) ? (uint32_t)h.session_top : 0;
}

struct table *table_attach(const struct table_memory *m, const struct table_params *p, uint32_t now_s,
			   struct table_attach_report *report)
{
	struct table *t = m->scratch;
	struct table_header wanted;

	*report = (struct table_attach_report){.result = TABLE_FOREIGN};
	if (p->max_sessions == 0 || p->max_sessions > TABLE_MAX_SESSIONS || p->max_addresses == 0 ||
	    p->max_addresses > TABLE_MAX_ADDRESSES || m->records_len < TABLE_PAGE || m->scratch_len < sizeof(*t))
		return NULL;
	t->max_sessions = p->max_sessions;
	t->max_addresses = p->max_addresses;
	t->now_s = now_s;
	if (!table_lay_out(t, m))
		return NULL;
	table_set_timeouts(t, &p->timeouts, p->port_reuse_s);
	table_set_mode(t, p->mapping);
	wanted = table_header_new(t, p->secret);
	report->version = t->header->magic == 0 ? TABLE_LAYOUT : t->header->version;
	if (t->header->magic == 0) {
		table_header_write(t->header, &wanted);
		report->result = TABLE_NEW;
	} else if (header_is_ours(t, t->header) || table_convert(t)) {
		report->result = TABLE_RESTORED;
	}
	if (report->result == TABLE_FOREIGN)
		return NULL;
	memcpy(t->secret, t->header->secret, sizeof(t->secret));
	if (report->result == TABLE_RESTORED)
		table_restore(t, now_s, m->clock_shift_s, report);
	return t;
}

void table_detach(struct table *t)
{
	(void)t; /* the records are complete at every moment; the rest is rebuilt */
}
