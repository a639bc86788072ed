/* SPDX-License-Identifier: ISC */
/*
 * Decides about fragments: the position among the fragments seen of the datagram, and whether to follow, hold or drop.
 * fragment_store.c has the memory.
 *
 * Theory of operation. A record stores which bytes of its datagram were seen, as ranges that grow together: fragments
 * in order need one, and 16 are enough for any honest disorder. A fragment that touches bytes seen before is an overlap
 * (which kills the datagram), unless it is an exact duplicate, which is dropped and harmless. So no byte of a datagram
 * leaves twice, and only its first fragment decides where the others go. Ranges alone cannot identify a duplicate. But
 * as long as all fragments but the last have one length and lie at its multiples, as those of one router do, an aligned
 * piece of that length inside a range can only be one that was there before. A datagram cut twice on its way has no
 * such length: its duplicates count as overlaps.
 *
 * Content is compared with the held copy, or with a keyed digest of 16 bits: two fragments that differ and have the
 * same digest (1 of 65,536) count as duplicates, and are dropped all the same.
 *
 * The record of a complete datagram is removed at once: IP ids wrap around within seconds on a fast path (RFC 4963),
 * and the next datagram with that id must not find it.
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

/* The decoder has checked this already; here it keeps the arithmetic below within 16 bits. */
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
	/* one is reserved for the first fragment */
	unsigned room = r->first_end || p->start == 0 ? RANGES_MAX : RANGES_MAX - 1;
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

/* Inserts a range at i; the following ranges move up. */
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

/* ---- their content ---- */

/* A keyed digest of the payload; never 0. */
static uint16_t digest_of(const struct fragments *f, const struct pkt_view *v)
{
	size_t len = (size_t)v->len - v->ihl, at = 0;
	uint64_t h = f->secret[0] ^ len, word;

	for (; at + sizeof(word) <= len; at += sizeof(word)) {
		memcpy(&word, v->l4 + at, sizeof(word));
		h = (h ^ word) * (f->secret[1] | 1);
	}
	word = 0;
	memcpy(&word, v->l4 + at, len - at);
	h = (h ^ word) * (f->secret[1] | 1);
	h = (h ^ h >> 32) * (f->secret[1] | 1);
	return h >> 48 ? (uint16_t)(h >> 48) : 1;
}

/* Where the piece's digest is stored, or NULL. */
static uint16_t *digest_place(struct record *r, const struct piece *p)
{
	if (p->start == 0)
		return &r->digests[0];
	if (r->unit == 0 || p->start % r->unit != 0 || p->start / r->unit >= DIGESTS_MAX)
		return NULL;
	return &r->digests[p->start / r->unit];
}

/* A duplicate by its position, but with other content as far as that is known. */
static bool is_changed(struct record *r, const struct piece *p, uint16_t digest)
{
	const uint16_t *known = digest_place(r, p);

	return known && *known != 0 && *known != digest;
}

/* Notes a piece whose place is PLACE_NEW. */
static void note(struct record *r, const struct piece *p, uint16_t digest)
{
	uint16_t len = (uint16_t)(p->end - p->start);
	uint16_t *kept;

	note_range(r, p);
	if (p->start == 0)
		r->first_end = (uint16_t)p->end;
	if (p->more && r->unit == 0)
		r->unit = len;
	kept = digest_place(r, p);
	if (kept)
		*kept = digest;
	if (!p->more) {
		r->total = (uint16_t)p->end;
		r->last_start = (uint16_t)p->start;
		return;
	}
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
	bool fits = v->len <= FRAGMENT_MAX_LEN && (!r || r->held < PIECES_MAX);
	enum nat_reason reason = fits ? fragment_store_make_room(f, v->src, r) : DROP_FRAGMENT_FULL;

	if (reason != NAT_PASS)
		return drop(why, reason);
	if (!r)
		r = fragment_store_add(f, v, RECORD_WAITING);
	fragment_store_hold(f, r, v);
	note(r, &p, digest_of(f, v));
	return FRAGMENT_HELD;
}

static enum fragment_verdict of_waiting(struct fragments *f, struct record *r, const struct pkt_view *v,
					enum place place, enum nat_reason *why)
{
	if (place == PLACE_NEW)
		return hold(f, r, v, why);
	if (place == PLACE_CROWDED)
		return drop(why, DROP_FRAGMENT_FULL);
	return drop(why, fragment_store_holds(f, r, v) ? DROP_FRAGMENT_DUPLICATE : poison(f, r));
}

/* The first fragment was seen. Returns NAT_PASS, or why this one does not follow it. */
static enum nat_reason of_followed(struct fragments *f, struct record *r, const struct pkt_view *v, enum place place)
{
	enum nat_reason why = r->kind == RECORD_REFUSED ? DROP_FRAGMENT_REFUSED : NAT_PASS;
	struct piece p = piece_of(v);
	uint16_t digest;

	if (place == PLACE_OVERLAP)
		return poison(f, r);
	if (place == PLACE_CROWDED)
		return DROP_FRAGMENT_FULL;
	digest = digest_of(f, v);
	if (place == PLACE_DUPLICATE)
		return is_changed(r, &p, digest) ? poison(f, r) : DROP_FRAGMENT_DUPLICATE;
	note(r, &p, digest);
	if (is_complete(r))
		fragment_store_remove(f, r);
	return why;
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
	wrong = of_followed(f, r, v, place);
	return wrong == NAT_PASS ? FRAGMENT_FOLLOW : drop(why, wrong);
}

/* ---- first fragments ---- */

/* The position in an existing record. Returns NAT_PASS, or why it is dropped. A fragment whose twin was refused is
 * checked again. */
static enum nat_reason admit_to(struct fragments *f, struct record *r, const struct piece *p, uint16_t digest)
{
	enum place place;

	if (r->kind == RECORD_POISONED)
		return DROP_FRAGMENT_OVERLAP;
	place = place_of(r, p);
	if (place == PLACE_OVERLAP || (place == PLACE_DUPLICATE && is_changed(r, p, digest)))
		return poison(f, r);
	return place == PLACE_DUPLICATE && r->kind == RECORD_FOLLOWED ? DROP_FRAGMENT_DUPLICATE : NAT_PASS;
}

bool fragment_admit(struct fragments *f, const struct pkt_view *v, uint64_t now_ms, uint16_t *digest,
		    enum nat_reason *why)
{
	struct piece p = piece_of(v);
	struct record *r;

	see_time(f, now_ms);
	*why = check_form(v, &p);
	if (*why != NAT_PASS)
		return false;
	*digest = digest_of(f, v);
	r = fragment_store_find(f, v);
	if (r)
		*why = admit_to(f, r, &p, *digest);
	return *why == NAT_PASS;
}

void fragment_first(struct fragments *f, const struct pkt_view *v, const struct fragment_fate *fate, uint64_t now_ms)
{
	enum record_kind kind = fate->action == FRAGMENT_FATE_DROPPED ? RECORD_REFUSED : RECORD_FOLLOWED;
	struct piece p = piece_of(v);
	struct record *r;

	see_time(f, now_ms);
	r = fragment_store_find(f, v);
	if (!r)
		r = fragment_store_add(f, v, kind);
	else if (r->kind != kind || !r->first_end)
		fragment_store_set_kind(f, r, kind);
	if (!r)
		return;
	r->fate = *fate;
	if (!r->first_end)
		note(r, &p, fate->digest);
}

size_t fragment_release(struct fragments *f, const struct pkt_view *v, uint8_t *out)
{
	struct record *r = fragment_store_find(f, v);
	size_t len;

	if (!r || r->kind == RECORD_WAITING)
		return 0;
	len = fragment_store_take(f, r, out);
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

bool fragment_trim(struct fragments *f, void (*give_back)(void *ctx, void *start, size_t len), void *ctx)
{
	return fragment_store_trim(f, give_back, ctx);
}
