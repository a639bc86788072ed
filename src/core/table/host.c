/* SPDX-License-Identifier: ISC */
/* Inside hosts: how much of the table each uses, and its paired outside address (RFC 4787 REQ-2). */
#include "table_private.h"

#include <string.h>

uint64_t host_hash(const struct table *t, uint32_t address)
{
	return table_key(t, address, 0, key_kind(0, KEY_HOST));
}

struct host *host_find_hashed(const struct table *t, uint32_t address, uint64_t hash)
{
	struct index_cursor c;
	uint32_t ref;

	for (ref = index_begin(&c, &t->index[IX_HOST], hash); ref != INDEX_NONE; ref = index_next(&c)) {
		if (t->hosts[ref].address == address)
			return &t->hosts[ref];
	}
	return NULL;
}

/* The host that was created or found last: an opening looks it up twice. */
static struct host *recent(const struct table *t, uint32_t address)
{
	return t->recent_host != NULL && t->recent_host->address == address ? t->recent_host : NULL;
}

struct host *host_find(const struct table *t, uint32_t address)
{
	struct host *h = recent(t, address);

	return h != NULL ? h : host_find_hashed(t, address, host_hash(t, address));
}

static struct host *add(struct table *t, uint32_t address, uint64_t hash)
{
	uint32_t i = slots_take(&t->host_slots);
	struct host *h;

	if (i == SLOTS_NONE)
		return NULL;
	h = &t->hosts[i];
	memset(h, 0, sizeof(*h));
	h->address = address;
	h->number = ++t->hosts_made;
	survey_host_began(t, i);
	if (index_insert(&t->index[IX_HOST], hash, i))
		return h;
	slots_give(&t->host_slots, i);
	return NULL;
}

struct host *host_make(struct table *t, uint32_t address)
{
	struct host *h = recent(t, address);
	uint64_t hash;

	if (h != NULL)
		return h;
	hash = host_hash(t, address);
	h = host_find_hashed(t, address, hash);
	if (h == NULL)
		h = add(t, address, hash);
	t->recent_host = h;
	return h;
}

struct host *table_host(struct table *t, uint32_t address, bool create)
{
	return create ? host_make(t, address) : host_find(t, address);
}

const struct host *table_host_find(const struct table *t, uint32_t address)
{
	return host_find(t, address);
}

void host_count_session(struct table *t, struct host *h, uint32_t i, int by)
{
	uint32_t one = (uint32_t)by;
	uint32_t unanswered = session_is_unanswered(t, i) ? one : 0;
	bool is_incoming = (t->sessions[i].kind & SESSION_KIND_FROM_OUTSIDE) != 0;

	t->unanswered += unanswered;
	t->incoming += is_incoming ? one : 0;
	if (h == NULL)
		return;
	h->sessions += one;
	h->unanswered += unanswered;
	if (!is_incoming)
		return;
	h->incoming += one;
	h->unanswered_in += unanswered;
}

void host_sweep(struct table *t, uint32_t budget)
{
	uint32_t top = t->host_slots.top;
	uint32_t at = t->sweep_host_at < top ? t->sweep_host_at : 0;
	uint32_t end = budget < top - at ? at + budget : top;

	for (uint32_t i = slots_next(&t->host_slots, at, end); i < end; i = slots_next(&t->host_slots, i + 1, end)) {
		if (t->hosts[i].sessions > 0 || t->hosts[i].blocks > 0)
			continue;
		index_remove(&t->index[IX_HOST], host_hash(t, t->hosts[i].address), i);
		if (t->recent_host == &t->hosts[i])
			t->recent_host = NULL;
		slots_give(&t->host_slots, i);
	}
	t->sweep_host_at = end;
}

uint32_t table_host_count(const struct table *t)
{
	return t->host_slots.count;
}

uint32_t table_host_top(const struct table *t)
{
	return t->host_slots.top;
}

uint32_t table_incoming_count(const struct table *t)
{
	return t->incoming;
}

uint32_t table_unanswered_count(const struct table *t)
{
	return t->unanswered;
}
