/* SPDX-License-Identifier: ISC */
/*
 * What a fragment means for its datagram: where it lies among those seen, whether it follows, waits or
 * drops. The memory for it is in fragment_store.c.
 *
 * Theory of operation. A record remembers which bytes of its datagram were seen, as ranges that grow together:
 * fragments in order need one, and 16 are enough for any honest disorder. What touches bytes seen
 * before is an overlap (and kills the datagram) unless it is an exact duplicate. Ranges alone cannot tell
 * that, but as long as all fragments but the last have one length and lie at its multiples, as those of
 * one router do, an aligned piece of that length inside a range can only be one that was there before.
 * A datagram cut twice on its way has no such length: its duplicates count as overlaps.
 *
 * A record whose datagram is complete is forgotten at once: IP ids come round within seconds on a fast
 * path (RFC 4963), and the next datagram of that id must not meet it.
 */
#include "fragment.h"

#include <string.h>

#include "fragment_store.h"

enum place {
	PLACE_NEW,
	PLACE_DUPLICATE,
	PLACE_OVERLAP,
	PLACE_CROWDED, /* too many gaps */
};

struct piece {
	uint32_t start;
	uint32_t end;
	bool more;
};

void fragment_set_limit(struct fragments *f, uint32_t max_held, uint32_t timeout_s)
{
	f->limit = max_held < f->capacity ? max_held : f->capacity;
	f->timeout_ms = (uint64_t)timeout_s * 1000;
}

uint32_t fragment_held(const struct fragments *f)
{
	return f->held;
}

static void see_time(struct fragments *f, uint64_t now_ms)
{
	if (now_ms > f->now_ms)
		f->now_ms = now_ms;
}

/* ---- the bytes seen ---- */

static struct piece piece_of(const struct pkt_view *v)
{
	return (struct piece){
		.start = v->frag_offset,
		.end = (uint32_t)v->frag_offset + v->len - v->ihl,
		.more = v->more_fragments,
	};
}

/* The decoder has said so already; here it keeps the arithmetic below within 16 bits. */
static enum nat_reason check_form(const struct pkt_view *v, const struct piece *p)
{
	if (p->end <= p->start)
		return DROP_FRAGMENT_TINY;
	if (p->more && (p->end - p->start) % 8 != 0) /* RFC 791: all but the last in units of 8 */
		return DROP_FRAGMENT_ALIGN;
	if (p->end + v->ihl > 65535)
		return DROP_FRAGMENT_OVERSIZE;
	return NAT_PASS;
}

static bool was_seen(const struct record *r, const struct piece *p)
{
	if (p->start == 0)
		return p->end == r->first_end;
	if (!p->more)
		return p->end == r->total && p->start == r->last_start;
	if (r->total && p->end > r->last_start)
		return false;
	return r->unit != 0 && !r->irregular && p->end - p->start == r->unit && p->start % r->unit == 0;
}

static enum place place_of(const struct record *r, const struct piece *p)
{
	unsigned room = r->first_end || p->start == 0 ? RANGES_MAX : RANGES_MAX - 1; /* one is the first's */
	unsigned i = 0;

	if (r->total && (p->end > r->total || (!p->more && p->end != r->total)))
		return PLACE_OVERLAP;
	if (r->n_ranges > 0 && !p->more && p->end < r->ranges[r->n_ranges - 1].end)
		return PLACE_OVERLAP;
	while (i < r->n_ranges && r->ranges[i].end < p->start)
		i++;
	if (i < r->n_ranges && r->ranges[i].end == p->start)
		return i + 1 < r->n_ranges && r->ranges[i + 1].start < p->end ? PLACE_OVERLAP : PLACE_NEW;
	if (i == r->n_ranges || r->ranges[i].start > p->end)
		return r->n_ranges < room ? PLACE_NEW : PLACE_CROWDED;
	if (r->ranges[i].start == p->end)
		return PLACE_NEW;
	if (r->ranges[i].start <= p->start && p->end <= r->ranges[i].end && was_seen(r, p))
		return PLACE_DUPLICATE;
	return PLACE_OVERLAP;
}

/* Range i and what follows it move by one place. */
static void make_range(struct record *r, unsigned i, const struct piece *p)
{
	memmove(&r->ranges[i + 1], &r->ranges[i], (r->n_ranges - i) * sizeof(r->ranges[0]));
	r->ranges[i] = (struct range){(uint16_t)p->start, (uint16_t)p->end};
	r->n_ranges++;
}

static void join_ranges(struct record *r, unsigned i)
{
	r->ranges[i].end = r->ranges[i + 1].end;
	r->n_ranges--;
	memmove(&r->ranges[i + 1], &r->ranges[i + 2], (r->n_ranges - i - 1) * sizeof(r->ranges[0]));
}

static void note_range(struct record *r, const struct piece *p)
{
	unsigned i = 0;

	while (i < r->n_ranges && r->ranges[i].end < p->start)
		i++;
	if (i < r->n_ranges && r->ranges[i].end == p->start) {
		r->ranges[i].end = (uint16_t)p->end;
		if (i + 1 < r->n_ranges && r->ranges[i + 1].start == p->end)
			join_ranges(r, i);
	} else if (i < r->n_ranges && r->ranges[i].start == p->end) {
		r->ranges[i].start = (uint16_t)p->start;
	} else {
		make_range(r, i, p);
	}
}

/* A piece whose place is PLACE_NEW. */
static void note(struct record *r, const struct piece *p)
{
	uint16_t len = (uint16_t)(p->end - p->start);

	note_range(r, p);
	if (p->start == 0)
		r->first_end = (uint16_t)p->end;
	if (!p->more) {
		r->total = (uint16_t)p->end;
		r->last_start = (uint16_t)p->start;
		return;
	}
	if (r->unit == 0)
		r->unit = len;
	if (len != r->unit || p->start % r->unit != 0)
		r->irregular = true;
}

static bool is_complete(const struct record *r)
{
	return r->first_end && r->total && r->n_ranges == 1 && r->held == 0 && r->ranges[0].end == r->total;
}

/* ---- later fragments ---- */

static enum fragment_verdict drop(enum nat_reason *why, enum nat_reason reason)
{
	*why = reason;
	return FRAGMENT_DROP;
}

static enum nat_reason poison(struct fragments *f, struct record *r)
{
	fragment_store_drop_held(f, r);
	fragment_store_set_kind(f, r, RECORD_POISONED);
	return DROP_FRAGMENT_OVERLAP;
}

static enum fragment_verdict hold(struct fragments *f, struct record *r, const struct pkt_view *v, enum nat_reason *why)
{
	struct piece p = piece_of(v);
	enum nat_reason reason =
		v->len > FRAGMENT_MAX_LEN ? DROP_FRAGMENT_FULL : fragment_store_make_room(f, v->src, r);

	if (reason != NAT_PASS)
		return drop(why, reason);
	if (!r)
		r = fragment_store_add(f, v, RECORD_WAITING);
	fragment_store_hold(f, r, v);
	note(r, &p);
	return FRAGMENT_HELD;
}

/* It is held already, bit for bit. */
static bool is_held(const struct fragments *f, const struct record *r, const struct pkt_view *v)
{
	size_t len;
	const uint8_t *held = fragment_store_peek(f, r, v->frag_offset, &len);
	size_t ihl = held ? (size_t)(held[0] & 15) * 4 : 0;
	size_t payload = (size_t)v->len - v->ihl;

	return held && len == ihl + payload && ((held[6] & 0x20) != 0) == v->more_fragments &&
	       memcmp(held + ihl, v->l4, payload) == 0;
}

static enum fragment_verdict of_waiting(struct fragments *f, struct record *r, const struct pkt_view *v,
					enum place place, enum nat_reason *why)
{
	if (place == PLACE_NEW)
		return hold(f, r, v, why);
	if (place == PLACE_CROWDED)
		return drop(why, DROP_FRAGMENT_FULL);
	return drop(why, is_held(f, r, v) ? DROP_FRAGMENT_OVERLAP : poison(f, r));
}

/* The first one was seen: NAT_PASS, or why it does not follow. */
static enum nat_reason of_followed(struct fragments *f, struct record *r, const struct piece *p, enum place place)
{
	bool refused = r->kind == RECORD_REFUSED;

	if (place == PLACE_OVERLAP)
		return poison(f, r);
	if (place == PLACE_CROWDED)
		return DROP_FRAGMENT_FULL;
	if (place == PLACE_NEW)
		note(r, p);
	if (is_complete(r))
		fragment_store_remove(f, r);
	return refused ? DROP_FRAGMENT_REFUSED : NAT_PASS;
}

enum fragment_verdict fragment_later(struct fragments *f, const struct pkt_view *v, uint64_t now_ms,
				     struct fragment_fate *fate, enum nat_reason *why)
{
	struct piece p = piece_of(v);
	enum nat_reason wrong = check_form(v, &p);
	struct record *r;
	enum place place;

	see_time(f, now_ms);
	if (wrong != NAT_PASS)
		return drop(why, wrong);
	r = fragment_store_find(f, v);
	if (!r)
		return hold(f, NULL, v, why);
	if (r->kind == RECORD_POISONED)
		return drop(why, DROP_FRAGMENT_OVERLAP);
	place = place_of(r, &p);
	if (r->kind == RECORD_WAITING)
		return of_waiting(f, r, v, place, why);
	*fate = r->fate;
	wrong = of_followed(f, r, &p, place);
	return wrong == NAT_PASS ? FRAGMENT_FOLLOW : drop(why, wrong);
}

/* ---- first fragments ---- */

/* The same datagram once more, as far as it goes: nothing but the first fragment was seen. */
static void start_again(struct fragments *f, struct record *r)
{
	fragment_store_drop_held(f, r);
	r->n_ranges = 0;
	r->first_end = r->last_start = r->total = r->unit = 0;
	r->irregular = false;
}

/* Its place in a record that exists; false: poisoned. True with nothing to note for an exact duplicate. */
static bool admit_first(struct fragments *f, struct record *r, const struct piece *p, const struct fragment_fate *fate)
{
	if (r->kind == RECORD_POISONED)
		return false;
	if (r->first_end && r->first_end == p->end && fate->id != r->fate.id)
		start_again(f, r);
	if (place_of(r, p) == PLACE_OVERLAP) {
		poison(f, r);
		return false;
	}
	return true;
}

bool fragment_first(struct fragments *f, const struct pkt_view *v, const struct fragment_fate *fate, uint64_t now_ms,
		    enum nat_reason *why)
{
	enum record_kind kind = fate->action == FRAGMENT_FATE_DROPPED ? RECORD_REFUSED : RECORD_FOLLOWED;
	struct piece p = piece_of(v);
	struct record *r;

	see_time(f, now_ms);
	*why = check_form(v, &p);
	if (*why != NAT_PASS)
		return false;
	r = fragment_store_find(f, v);
	if (r && !admit_first(f, r, &p, fate)) {
		*why = DROP_FRAGMENT_OVERLAP;
		return false;
	}
	if (!r)
		r = fragment_store_add(f, v, kind);
	else if (r->kind != kind || !r->first_end)
		fragment_store_set_kind(f, r, kind);
	if (!r)
		return true;
	r->fate = *fate;
	if (!r->first_end)
		note(r, &p);
	return true;
}

size_t fragment_release(struct fragments *f, const struct pkt_view *v, uint8_t *out)
{
	struct record *r = fragment_store_find(f, v);
	const uint8_t *bytes = NULL;
	size_t len = 0;

	if (!r || r->kind == RECORD_WAITING)
		return 0;
	bytes = fragment_store_take(f, r, &len);
	if (bytes)
		memcpy(out, bytes, len);
	if (is_complete(r))
		fragment_store_remove(f, r);
	return len;
}

/* ---- time ---- */

uint32_t fragment_sweep(struct fragments *f, uint64_t now_ms, uint32_t budget)
{
	uint32_t died;

	see_time(f, now_ms);
	for (; budget > 0; budget--)
		if (!fragment_store_expire(f, LIST_REST) && !fragment_store_expire(f, LIST_FOLLOWED))
			break;
	died = f->died;
	f->died = 0;
	return died;
}
