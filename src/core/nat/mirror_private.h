/* SPDX-License-Identifier: ISC */
/*
 * The mirror's memory, and the functions that mirror.c, mirror_slot.c, mirror_order.c and mirror_mtu.c share. See
 * mirror.c for the theory of operation.
 */
#ifndef NATD_CORE_MIRROR_PRIVATE_H
#define NATD_CORE_MIRROR_PRIVATE_H

#include "mirror.h"
#include "nat_private.h"

enum {
	MIRROR_STEP = 1024, /* slots visited in one step */
	WAITING_MOST = 256,
};

/* In `owner`, above the session. */
#define OWNER_QUEUED  (UINT32_C(1) << 31) /* in the queue of resting slots */
#define OWNER_AGAIN   (UINT32_C(1) << 30) /* taken out since it was put there */
#define OWNER_SESSION (OWNER_AGAIN - 1)

struct mirror {
	struct flow_memory shared;
	uint32_t classes;
	uint16_t *slot_of; /* by session; 0: none */
	uint32_t *owner;   /* by slot: session + 1, 0: none; and OWNER_QUEUED, OWNER_AGAIN */
	uint16_t *next;	   /* by slot: the next one in its list; 0: it is the last */
	uint16_t free;	   /* the first of the free slots below `top`; 0: there is none */
	uint32_t top;	   /* slots from here on were never used */
	struct {
		uint16_t first, last;
		uint32_t over, older, recent; /* lengths of its parts, from the first on */
		uint32_t turned_s;
	} rest;
	struct nat_mirror_counts counts;
	struct {
		uint64_t id[WAITING_MOST]; /* sessions to be shown */
		uint32_t n;
	} waiting;
	struct mirror_sending sending;	  /* since the last nat_mirror_take_sending() */
	uint32_t mtu_users[2][FLOW_MTUS]; /* flows that are shown with this number */
	struct {
		uint64_t begun_ms;
		uint32_t at;	   /* slot; 0: no pass is running */
		uint32_t begun_s;  /* of the running pass */
		uint32_t pulled_s; /* data from the forwarder up to this time has been taken over */
	} pass;
};

/* ---- mirror_slot.c ---- */

/* Takes over the forwarder's data. `s`: the session; NULL: it has ended, and only the totals are counted. */
void mirror_pull(struct nat *n, struct session *s, struct flow *f);
/* Gives the forwarder the TCP numbers that natd has learned. */
void mirror_push(const struct session *s, struct flow *f);
/* Inserts both keys of a filled slot into the index. False: a bucket is full; then call mirror_unpublish() to remove
 * the other key. */
bool mirror_publish(struct mirror *m, uint32_t slot);
void mirror_unpublish(struct mirror *m, uint32_t slot);
uint32_t mirror_slot_take(struct mirror *m); /* 0: all are in use */
void mirror_slot_free(struct mirror *m, uint32_t slot);
void mirror_slot_disown(struct mirror *m, uint32_t slot);	 /* its session has ended */
bool mirror_slot_is_live(const struct mirror *m, uint32_t slot); /* or stopped: it is in the index */
struct session *mirror_slot_owner(struct nat *n, uint32_t slot); /* NULL: none */
void mirror_slot_begin_life(struct mirror *m, uint32_t slot);	 /* it has been published */
/* From live to resting; the second one is for a slot that is no longer in the index. */
void mirror_slot_take_out(struct nat *n, uint32_t slot);
void mirror_slot_begin_rest(struct mirror *m, uint32_t slot);
/* Frees slots that have rested long enough. True: there is more to do. */
bool mirror_slots_end_rests(struct nat *n);

/* ---- mirror_order.c ---- */

/* A live flow's packet has been passed; it will be sent. */
void mirror_note_sending(struct nat *n, uint32_t slot, const struct work *w);
/* What to write into `join` of a flow that is about to be published. */
void mirror_begin_joining(const struct session *s, struct flow *f, bool all_sent);

/* ---- mirror_mtu.c ---- */

/* The `kind` of a flow with these MTUs in the place of its own. False: the lists have no room. */
bool mirror_kind_with(struct mirror *m, uint8_t kind, const uint16_t mtu[2], uint8_t *out);
/* A flow of that kind has become live (1), or is live no more (-1). */
void mirror_count_mtus(struct mirror *m, uint8_t kind, int by);
struct mirror_ends mirror_ends_of(const struct nat *n, const struct session *s);

#endif
