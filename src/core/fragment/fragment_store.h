/* SPDX-License-Identifier: ISC */
/*
 * The memory of fragment.c: one record for each datagram, one cell for each held fragment. Only for fragment.c.
 *
 * Theory of operation. Everything lies in one region: arrays of records, cells and units of data, hash buckets of
 * records, and a count of held fragments by (hash of) source. Entries are numbered from 1, so zeroed memory is empty,
 * and taken lowest first, so memory is touched only as needed. A held fragment takes as many units as its bytes need,
 * in a chain.
 *
 * When no datagram is known any more, all arrays start over at their first entry, and fragment_store_trim() releases
 * the pages behind it, slice by slice. Records, cells and units are written whole when they are taken, so stale bytes
 * are harmless.
 *
 * Each record is in the bucket of its key and in one of two lists, oldest first: LIST_FOLLOWED, at most 3 x capacity,
 * or LIST_REST, at most 1 x capacity. A full list loses its oldest record; so unsolicited fragments can never push out
 * those of a followed datagram. A record that changes its kind gets a new stamp; otherwise its age counts from its
 * first fragment, so both lists are in order of time.
 *
 * Fairness: a source may hold as many fragments as a quarter of what is free then (one source alone ends at a fifth of
 * all, n sources at n/(n+4)), and always one. If nothing is free, the oldest waiting fragments are dropped, unless they
 * arrived in this same millisecond: in a flood from made-up sources a fragment still waits for its first one as long as
 * the flood needs to fill the memory once.
 *
 * fragment_check() has the invariants. Cost: O(1), except for the position of a held fragment among its datagram's, of
 * which there are at most PIECES_MAX.
 */
#ifndef NATD_CORE_FRAGMENT_STORE_H
#define NATD_CORE_FRAGMENT_STORE_H

#include "fragment.h"

enum {
	RANGES_MAX = 16,
	DIGESTS_MAX = 48, /* 65,535 bytes cut for an MTU of 1,500 make 45 */
	PIECES_MAX = 256, /* held of one datagram: 65,535 bytes cut for an MTU of 296 make 241 */
	UNIT_LEN = 256,
	UNITS_MOST = FRAGMENT_MAX_LEN / UNIT_LEN, /* of one fragment */
};

enum record_kind {
	RECORD_WAITING,	 /* no first fragment yet; all others are held */
	RECORD_FOLLOWED, /* the first one was translated */
	RECORD_REFUSED,	 /* the first one was dropped */
	RECORD_POISONED, /* overlap: nothing of it is forwarded any more */
};

enum record_list { LIST_FOLLOWED, LIST_REST, LIST_COUNT };

/* Bytes [start, end) of the datagram's payload. */
struct range {
	uint16_t start;
	uint16_t end;
};

struct record {
	uint32_t src;
	uint32_t dst;
	uint16_t id;
	uint8_t proto;
	uint8_t kind;	/* enum record_kind */
	uint32_t chain; /* next in the bucket, or in the free chain */
	uint32_t older;
	uint32_t newer;
	uint32_t held; /* number of cells; then the first and last one, by offset */
	uint32_t held_first;
	uint32_t held_last;
	uint64_t stamp_ms;
	struct fragment_fate fate;
	uint16_t first_end;  /* of the first fragment; 0: not seen */
	uint16_t last_start; /* of the last one, valid if total */
	uint16_t total;	     /* payload of the whole datagram; 0: last fragment not seen */
	uint16_t unit;	     /* length of every fragment but the last; 0: none seen */
	bool irregular;	     /* ... they differ, or are not at its multiples */
	uint8_t n_ranges;
	struct range ranges[RANGES_MAX]; /* seen: ascending, with gaps between */
	uint16_t digests[DIGESTS_MAX];	 /* of the fragments at multiples of `unit`; 0: unknown */
};

struct cell {
	uint32_t next; /* in the record, or in the free chain */
	uint16_t start;
	uint16_t len;	/* of the whole fragment, header included */
	uint32_t units; /* the first one of its data */
};

/* An array of entries of one size, numbered from 1. */
struct pool {
	uint32_t used; /* taken since all entries were free */
	uint32_t free; /* head of the chain of free entries */
	uint32_t peak; /* entries whose pages may be resident */
};

struct fragments {
	uint64_t secret[2];
	uint64_t now_ms;
	uint64_t timeout_ms;
	uint32_t capacity; /* cells */
	uint32_t limit;	   /* cells that may be used */
	uint32_t held;
	uint32_t died;
	struct {
		uint32_t oldest;
		uint32_t newest;
		uint32_t count;
	} lists[LIST_COUNT];
	struct pool record_pool, cell_pool, unit_pool;
	bool hashes_used; /* buckets and sources may be resident */
	uint32_t bucket_mask;
	uint32_t source_mask;
	uint32_t *buckets;
	uint32_t *sources; /* held fragments by source */
	struct record *records;
	struct cell *cells;
	uint32_t *unit_next; /* in the fragment, or in the free chain */
	uint8_t *data;	     /* UNIT_LEN for each unit */
};

/* The record of v's datagram, or NULL. An expired record is removed. */
struct record *fragment_store_find(struct fragments *f, const struct pkt_view *v);

/* Adds a record of that kind; pushes out the oldest of its list if that is full. NULL if the capacity is 0. */
struct record *fragment_store_add(struct fragments *f, const struct pkt_view *v, enum record_kind kind);

/* Changes the kind: the record moves to the end of its list, with a new stamp. */
void fragment_store_set_kind(struct fragments *f, struct record *r, enum record_kind kind);

/* Removes the record; its held fragments die. */
void fragment_store_remove(struct fragments *f, struct record *r);

/* Drops the held fragments of a record; they count as died. */
void fragment_store_drop_held(struct fragments *f, struct record *r);

/* Makes room for one more held fragment of that source, but not at the cost of `keep` (may be NULL). Returns
 * NAT_PASS, DROP_FRAGMENT_QUOTA or DROP_FRAGMENT_FULL. */
enum nat_reason fragment_store_make_room(struct fragments *f, uint32_t src, const struct record *keep);

/* Copies the fragment to the record. Call fragment_store_make_room() first. */
void fragment_store_hold(struct fragments *f, struct record *r, const struct pkt_view *v);

/* Removes the held fragment with the lowest offset, and copies it to `out` (room for FRAGMENT_MAX_LEN) unless that
 * is NULL. Returns its length; 0 if there is none. */
size_t fragment_store_take(struct fragments *f, struct record *r, uint8_t *out);

/* Is this fragment held already: same position, same payload, bit for bit? */
bool fragment_store_holds(const struct fragments *f, const struct record *r, const struct pkt_view *v);

/* Removes the oldest record of the list if it has expired. */
bool fragment_store_expire(struct fragments *f, enum record_list list);

/* See fragment_trim(). */
bool fragment_store_trim(struct fragments *f, void (*give_back)(void *ctx, void *start, size_t len), void *ctx);

#endif
