/* SPDX-License-Identifier: ISC */
/*
 * From records back to a table: after a restart, a crash, an upgrade, or from a file.
 *
 * The header must be right in every field. Then the records are accepted one by one, as far as each can be checked: its
 * own check (record.h), state, address and port in range, no second session with the same key, one inside owner per
 * outside port. Records that fail are removed and counted. Times in the future count as now. Records of another boot
 * have their times shifted first. That is done once, so they must not be attached a second time half-way, and the owner
 * keeps them to itself until this returns.
 */
#include "table_private.h"

#include <string.h>

enum { RESTORE_BLOCK = 32 };

struct attach {
	uint32_t now_s;
	uint32_t shift_s;
};

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

/* ---- records ---- */

static bool is_sane(const struct table *t, uint32_t i)
{
	const struct session *s = &t->sessions[i];

	return t->cold[i].check == record_check(s) && session_state(s) < SESSION_STATE_COUNT &&
	       address_is_used(t, s->ext) && (s->ext_port != 0 || !session_is_pooled(s));
}

static void repair(struct table *t, uint32_t i, const struct attach *a)
{
	struct session *s = &t->sessions[i];
	struct session_cold *cold = &t->cold[i];
	enum session_state st = session_state(s);
	uint32_t now_s = a->now_s;

	s->seen_s += a->shift_s;
	cold->created_s += a->shift_s;
	if ((int32_t)(now_s - s->seen_s) < 0)
		s->seen_s = now_s;
	if ((int32_t)(now_s - cold->created_s) < 0)
		cold->created_s = now_s;
	/* killed between the state and table_session_answered() */
	if (st != SESSION_SYN_OUT && st != SESSION_SYN_IN && st != SESSION_RESET)
		cold->generation |= COLD_ANSWERED;
}

static void drop(struct table *t, uint32_t i, struct table_attach_report *report)
{
	session_withdraw(t, i);
	report->dropped++;
}

/* ---- estimating the size of the indexes ---- */

/*
 * A sample of the mappings, by some bits of their hash, with all of their sessions. An index that is made too large
 * must shrink entry by entry, and one that is too small must grow: with millions of sessions that is a large part of a
 * restart.
 */
enum { SAMPLE_SLOTS = 2048, SAMPLE_WANTED = 512, SAMPLE_SHIFT = 52, SAMPLE_ROOM = 8 };

struct sample {
	uint32_t mask;		     /* it contains hashes with none of these bits */
	uint32_t n;		     /* mappings */
	uint32_t unpooled;	     /* sessions without a mapping: all of them */
	uint64_t hash[SAMPLE_SLOTS]; /* 0: free */
	uint32_t sessions[SAMPLE_SLOTS];
};

/* For at most `sessions`. */
static void sample_begin(struct sample *x, uint32_t sessions)
{
	*x = (struct sample){0};
	while (sessions / (x->mask + 1) > SAMPLE_WANTED * 2)
		x->mask = x->mask * 2 + 1;
}

static void sample_add(struct sample *x, const struct table *t, const struct session *s)
{
	uint64_t hash;
	uint32_t at;

	if (!session_is_pooled(s)) {
		x->unpooled++;
		return;
	}
	hash = mapping_key_external(t, session_class(s), s->ext, s->ext_port);
	if ((hash_mix(hash) & x->mask) != 0 || x->n >= SAMPLE_SLOTS / 2)
		return;
	hash += hash == 0;
	at = (uint32_t)(hash >> SAMPLE_SHIFT) % SAMPLE_SLOTS;
	while (x->hash[at] != 0 && x->hash[at] != hash)
		at = (at + 1) % SAMPLE_SLOTS;
	x->n += x->hash[at] == 0;
	x->hash[at] = hash;
	x->sessions[at]++;
}

/* The total, if there are `sampled` in the sample; with a margin, so that few entries go to their second bucket. */
static uint32_t sample_scale(const struct sample *x, uint32_t sampled)
{
	uint64_t n = (uint64_t)sampled * (x->mask + 1);

	n += n / SAMPLE_ROOM;
	return n < TABLE_MAX_SESSIONS ? (uint32_t)n : TABLE_MAX_SESSIONS;
}

static void reserve(struct table *t, const struct sample *x)
{
	uint32_t grouped = 0, mappings = sample_scale(x, x->n);

	for (uint32_t i = 0; i < SAMPLE_SLOTS; i++)
		grouped += x->sessions[i] > 1 ? x->sessions[i] : 0;
	grouped = sample_scale(x, grouped);
	index_reserve(&t->index[IX_OUT], grouped + x->unpooled);
	index_reserve(&t->index[IX_IN], grouped + x->unpooled);
	index_reserve(&t->index[IX_INTERNAL], mappings);
	index_reserve(&t->index[IX_EXTERNAL], mappings);
	index_reserve(&t->index[IX_PEER], grouped);
}

/* Finds the records that are valid sessions by themselves. */
static void scan(struct table *t, const struct attach *a, struct table_attach_report *report, struct sample *x)
{
	uint32_t top = (uint32_t)t->header->session_top;

	sample_begin(x, top);
	for (uint32_t i = 0; i < top; i++) {
		if (session_state(&t->sessions[i]) == SESSION_FREE)
			continue;
		if (!is_sane(t, i)) {
			drop(t, i, report);
			continue;
		}
		repair(t, i, a);
		sample_add(x, t, &t->sessions[i]);
		slots_mark(&t->session_slots, i);
	}
	record_top_set(&t->header->session_top, t->session_slots.top);
}

/* Sessions being inserted into the indexes. */
struct restore {
	struct table *t;
	struct table_attach_report *report;
	uint32_t n;
	uint32_t record[RESTORE_BLOCK];
	struct session_hashes hash[RESTORE_BLOCK];
	uint32_t owner[RESTORE_BLOCK]; /* of its mapping, perhaps; INDEX_NONE */
};

/* Its mapping exists, with one session, to another remote endpoint, and every session is only with its mapping: so
 * none has its key. */
static bool is_second(const struct restore *r, uint32_t k)
{
	const struct table *t = r->t;
	const struct session *s = &t->sessions[r->record[k]], *first;

	if (r->owner[k] == INDEX_NONE || (r->owner[k] & GROUP_REF) || (t->unmapped | t->unlisted | t->key_address) != 0)
		return false;
	first = &t->sessions[r->owner[k]];
	return session_class(first) == session_class(s) && first->ext == s->ext && first->ext_port == s->ext_port &&
	       first->int_addr == s->int_addr && first->int_port == s->int_port &&
	       (first->rem_addr != s->rem_addr || first->rem_port != s->rem_port) &&
	       index_contains(&t->index[IX_EXTERNAL], r->hash[k].external, r->owner[k]);
}

static bool has_twin(const struct restore *r, uint32_t k)
{
	const struct session *s = &r->t->sessions[r->record[k]];

	return session_same_noting(r->t, s, DIR_OUT, &r->hash[k]) != NULL ||
	       session_same_noting(r->t, s, DIR_IN, &r->hash[k]) != NULL;
}

static void restore(const struct restore *r, uint32_t k)
{
	struct table *t = r->t;
	uint32_t i = r->record[k];

	if ((is_second(r, k) || !has_twin(r, k)) && session_link(t, i, &r->hash[k])) {
		if (t->origin_top > 0)
			t->origin_ids[i] = origin_take(t, t->origin_ids[i]);
		r->report->restored++;
		session_restored(t, i);
		return;
	}
	drop(t, i, r->report);
	slots_give(&t->session_slots, i);
}

/* Sessions opened together often lie together: the neighbours show a mapping that is not inserted yet. */
static bool is_shared(const struct restore *r, uint32_t k)
{
	uint64_t external = r->hash[k].external;

	return (k > 0 && r->hash[k - 1].external == external) || (k + 1 < r->n && r->hash[k + 1].external == external);
}

/* Collects the next sessions from record `at` on; returns where to continue. */
static uint32_t restore_gather(struct restore *r, uint32_t at)
{
	struct table *t = r->t;

	for (r->n = 0; r->n < RESTORE_BLOCK; r->n++) {
		at = slots_next(&t->session_slots, at, t->session_slots.top);
		if (at >= t->session_slots.top)
			break;
		session_hash(t, &t->sessions[at], &r->hash[r->n]);
		r->record[r->n] = at++;
	}
	return at;
}

/* In blocks, so that the cache misses of a block overlap: the first pass over a bucket only finds out what else the
 * second one will read. */
static void restore_all(struct table *t, struct table_attach_report *report)
{
	struct restore r = {.t = t, .report = report};
	uint32_t at = 0;

	do {
		at = restore_gather(&r, at);
		for (uint32_t k = 0; k < r.n; k++)
			session_prefetch(t, &t->sessions[r.record[k]], &r.hash[k]);
		for (uint32_t k = 0; k < r.n; k++)
			r.owner[k] = session_prefetch_more(t, &t->sessions[r.record[k]], &r.hash[k], is_shared(&r, k));
		for (uint32_t k = 0; k < r.n; k++)
			session_prefetch_owner(t, r.owner[k]);
		for (uint32_t k = 0; k < r.n; k++)
			restore(&r, k);
	} while (r.n == RESTORE_BLOCK);
}

static void rebuild(struct table *t, const struct attach *a, struct table_attach_report *report)
{
	struct sample sample;

	address_restore(t);
	origin_restore(t);
	scan(t, a, report, &sample);
	reserve(t, &sample);
	restore_all(t, report);
	for (int ix = IX_OUT; ix <= IX_PEER; ix++)
		index_fit(&t->index[ix]);
	report->resting = quarantine_restore(t, a->now_s, a->shift_s);
	for (uint32_t i = 0; i < (uint32_t)t->header->address_top; i++) {
		if (address_is_used(t, i))
			address_settle(t, (uint16_t)i);
	}
	record_top_set(&t->header->address_top, t->address_slots.top);
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
		rebuild(t, &(struct attach){now_s, m->clock_shift_s}, report);
	return t;
}

void table_detach(struct table *t)
{
	(void)t; /* the records are complete at every moment; the rest is rebuilt */
}
