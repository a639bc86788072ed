/* SPDX-License-Identifier: ISC */
/* Counters that were set to zero, see zeroed.h. */
#include "zeroed.h"

#include <assert.h>
#include <stdlib.h>

#include "common/ctlrecord.h"
#include "core/table/table.h"

bool zeroed_prepare(struct zeroed *z, uint32_t capacity)
{
	if (z->bases)
		return true;
	/* large: the kernel supplies zeroed pages as they are written */
	z->bases = calloc(capacity, sizeof(*z->bases));
	z->n = z->bases ? capacity : 0;
	return z->bases != NULL;
}

void zeroed_fini(struct zeroed *z)
{
	free(z->bases);
	*z = (struct zeroed){0};
}

static struct zeroed_base *find(const struct zeroed *z, uint64_t id)
{
	uint32_t i = table_session_number(id);

	return i < z->n ? &z->bases[i] : NULL;
}

void zeroed_note(struct zeroed *z, const struct ctl_entry *e)
{
	struct zeroed_base *b = find(z, e->id);

	assert(b);
	*b = (struct zeroed_base){
		.id = e->id, .packets = {e->packets[0], e->packets[1]}, .bytes = {e->bytes[0], e->bytes[1]}};
}

/* The core counts packets in 32 bits, which may have wrapped around. */
static uint64_t since(uint64_t now, uint64_t base)
{
	return now >= base ? now - base : (uint32_t)(now - base);
}

void zeroed_subtract(const struct zeroed *z, struct ctl_entry *e)
{
	const struct zeroed_base *b = find(z, e->id);

	if (!b || b->id != e->id)
		return;
	for (int dir = 0; dir < 2; dir++) {
		e->packets[dir] = since(e->packets[dir], b->packets[dir]);
		e->bytes[dir] = since(e->bytes[dir], b->bytes[dir]);
	}
}
