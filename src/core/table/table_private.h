/* SPDX-License-Identifier: ISC */
/*
 * What the files of the connection table share. No other file includes this.
 *
 *   table.c         where everything lies in the two regions; settings, usage, trimming
 *   table_attach.c  the records' header; from records back to a table
 *   table_convert.c records of the layout before this one
 *   record.h        how a record tells that it is whole
 *   table_check.c   the self-check
 *   session_find.c  look-up
 *   session_life.c  how sessions begin and end
 *   session.c       their indexes, listing, sweeping
 *   mapping.c       mappings, and which remote addresses they have sessions with
 *   port.c          use of ports, choice of a free one
 *   rest.c          ports that rest after use
 *   block.c         blocks of ports: who has them, what of them is in use
 *   block_record.c  their records
 *   allot.c         which ports a host may draw from; allot_block.c, allot_fixed.c
 *   origin.c        what made a session
 *   host.c          inside hosts
 *   survey.c        what each of them has moved
 *   address.c       outside addresses
 *
 * Records (saved; layout version TABLE_LAYOUT; native byte order, little-endian machines only read
 * their own):
 *
 *   0      struct table_header, in a page of its own
 *   4096   struct address_slot [max_addresses]
 *          struct session      [max_sessions]     64 bytes each
 *          struct session_cold [max_sessions]      8 bytes each, with the session's check
 *          uint64_t rests      [max_quarantined]         8 bytes each, see rest.c and block_record.c
 *          struct origin_record [max_origins]    128 bytes each, see origin.c
 *          uint32_t origin ids [max_sessions]      4 bytes each
 *
 * each array on a page of its own. The *_top fields in the header bound what is in use, since reading
 * beyond would allocate memory. Valid at every instruction: a session is one if its state is not
 * SESSION_FREE, which is the last store of its opening and the first of its closing; a rest is one
 * 64-bit store, and so is a top. Whether each is what was once written: record.h.
 */
#ifndef NATD_CORE_TABLE_PRIVATE_H
#define NATD_CORE_TABLE_PRIVATE_H

#include "core/base/hash.h"
#include "core/policy/allocation.h"
#include "index.h"
#include "record.h"
#include "slots.h"
#include "table.h"

#define TABLE_MAGIC 0x656c62617464616eull /* "nadtable" as a little-endian machine stores it */

enum { TABLE_PAGE = 4096, TABLE_CLASSES = CLASS_OTHER /* those that have ports */ };

struct table_header {
	uint64_t magic; /* stored last: 0 while the region is blank */
	uint32_t version;
	uint32_t header_bytes, session_bytes, cold_bytes; /* sizeof each: a build with another layout is foreign */
	uint32_t max_sessions, max_addresses, max_quarantined;
	uint32_t max_origins;
	uint64_t secret[4];
	uint64_t sum; /* of everything above */
	/* these change */
	uint64_t session_top, address_top, quarantine_top, origin_top; /* record_top() */
};

struct address_slot {
	uint32_t address;
	uint32_t state; /* ADDRESS_FREE, or record_address_state() */
};

struct session_cold {
	uint32_t created_s;
	uint16_t generation; /* low 15 bits; COLD_ANSWERED */
	uint16_t check;	     /* record_check() */
};

struct origin_record {
	struct session_origin what;
	uint16_t generation;
	uint16_t spare;
	uint32_t check; /* 0: no record */
};
_Static_assert(sizeof(struct origin_record) == 128, "saved");

enum { COLD_ANSWERED = 0x8000, COLD_GENERATION = 0x7fff };

/* ---- scratch ---- */

enum { GROUP_REF = 1 << 24 }; /* in the indexes of mappings and peers: a record of its own, not a session */

/* A mapping of two sessions or more (or one that was). 24 bytes. */
struct group {
	uint32_t int_addr, rem_addr;
	uint16_t int_port, rem_port;
	uint16_t ext_port, ext;
	uint32_t sessions : 30;
	uint32_t proto_class : 2;
	uint32_t keepalives; /* of these sessions, see mapping_is_keepalive() */
};

/* A remote address that a mapping has two sessions with or more (or had). 12 bytes. */
struct peer {
	uint32_t rem_addr;
	uint16_t ext_port, ext;
	uint32_t sessions : 30;
	uint32_t proto_class : 2;
};

struct quarantine_link {
	uint32_t next, prev; /* by time, all; RESTS_END */
	uint32_t later; /* by time, of the same struct quarantine_list, +1; of a block's first record: its second, +1 */
};
#define RESTS_END UINT32_MAX

struct origin_use {
	uint32_t sessions, held;
	uint32_t next, prev;  /* while both are 0: by time; ORIGINS_END */
	uint32_t tally;	      /* in which its sessions are counted too, +1; 0: none */
	struct carried ended; /* of its sessions that have ended, as long as the record has this place */
};
#define ORIGINS_END UINT32_MAX

enum { PORT_WORDS = 65536 / 64, PORT_BLOCK = 512, PORT_BLOCKS = 65536 / PORT_BLOCK };

struct quarantine_list { /* by time; rests, +1; 0: none */
	uint32_t oldest, newest;
};

/* A block of ports of one address, for all classes. A free one is all zero but for its place. */
struct block {
	uint32_t host; /* inside address; 0: none */
	uint32_t since_s;
	uint32_t used;	 /* ports of it that are marked as used, of all classes */
	uint32_t next;	 /* block of the same host, +1; ascending. Fixed ones are in no such list */
	uint32_t record; /* slot of its first record, +1; 0: none */
	struct quarantine_list quarantined;
	uint16_t ext, number;
};
_Static_assert(sizeof(struct block) == 32, "two a cache line");

/* Ports of one address and class. */
struct port_map {
	uint64_t used[PORT_WORDS];	    /* mapped, taken for a mapping to come, or resting */
	uint16_t taken[PORT_BLOCKS][2];	    /* used ones of each block: even, odd */
	uint64_t resting[PORT_WORDS];	    /* a subset of used; pages that stay untouched while nothing rests */
	struct quarantine_list quarantined; /* of the ports that are in no block */
	uint32_t n_resting;
} __attribute__((aligned(64)));

struct address_use {
	uint32_t sessions; /* of any kind */
	uint32_t used[TABLE_CLASSES];
	uint8_t touched;		/* bit c: the port map of class c may not be all zero pages */
	uint8_t claimed;		/* added since attach and not removed */
	uint8_t cut;			/* enum allocation_cut */
	uint32_t first_block, n_blocks; /* n_blocks 0: not cut */
	uint32_t free_blocks;		/* that may be given to any host */
};

struct survey {
	struct host_sum *sums; /* borrowed */
	uint32_t n;	       /* of them; 0: there is no survey */
	uint32_t session_at;   /* sessions below have been passed; UINT32_MAX: all */
	uint32_t host_at;      /* sums below are final */
};

enum table_index { IX_OUT, IX_IN, IX_INTERNAL, IX_EXTERNAL, IX_PEER, IX_HOST, IX_ADDRESS, IX_ORIGIN, IX_COUNT };

struct table {
	struct index index[IX_COUNT];
	uint64_t secret[4];
	uint32_t timeout[64]; /* by SESSION_KIND_CLASS | SESSION_KIND_STATE */
	uint32_t port_reuse_s;
	uint32_t now_s;			/* latest time told */
	uint32_t key_address, key_port; /* masks: which remote fields an internal key has */
	uint32_t max_sessions, max_addresses, max_quarantined, max_hosts, max_origins, max_blocks;

	struct table_header *header;
	struct address_slot *addresses;
	struct session *sessions;
	struct session_cold *cold;
	uint64_t *quarantined;
	struct origin_record *origins;
	uint32_t *origin_ids; /* of the sessions; not read or written before there was an origin */

	struct origin_use *origin_uses;
	struct group *groups;
	struct peer *peers;
	struct host *hosts;
	struct host *recent_host; /* NULL, or one in use: see host.c */
	struct quarantine_link *links;
	struct address_use *uses;
	struct port_map *ports;		     /* [max_addresses][TABLE_CLASSES] */
	const struct allocation *allocation; /* NULL before the first table_set_allocation() */
	struct block *blocks;
	uint32_t blocks_top;	/* blocks that are laid out; 0: ports come one by one */
	uint32_t block_records; /* entries of `rests` that are no rests */
	uint32_t cut_record;	/* slot of the one that says by which cut, +1 */
	struct slots session_slots, group_slots, peer_slots, host_slots, address_slots, quarantine_slots;

	uint32_t mappings;
	uint32_t unlisted; /* mappings that the internal index does not lead to: see mapping.c */
	uint32_t unmapped; /* sessions that have no mapping: those of forwards and of class OTHER */
	uint32_t unanswered, incoming;
	uint32_t hosts_made;
	uint32_t entries; /* sessions entered so far, modulo 2^32 */
	uint32_t pending; /* ports taken, mapping not opened yet */
	uint32_t quarantine_first, quarantine_last;
	uint32_t sweep_at, sweep_host_at;
	uint64_t long_probes;
	uint32_t origin_top; /* records that have been used */
	uint32_t unneeded_first, unneeded_last;
	uint64_t origins_refused;
	uint32_t *tallies; /* the owner's; NULL: none */
	uint32_t n_tallies;
	table_which_tally *which_tally;
	const void *tally_ctx;

	struct survey survey;
	struct events events;
	uint64_t *counters;			 /* NAT_REASON_COUNT of them: own_counters, or the owner's */
	uint64_t restored, opened;		 /* sessions, since attach */
	uint64_t ended[SESSION_END_COUNT];	 /* likewise */
	uint32_t in_kind[SESSION_KINDS];	 /* sessions there are, by class and state */
	uint64_t own_counters[NAT_REASON_COUNT]; /* until table_count_into() */
	table_port_fn *port_watch;		 /* NULL: none */
	void *port_watch_ctx;
	table_end_fn *end_watch; /* NULL: none */
	void *end_watch_ctx;
};

/* ---- table.c ---- */

/* Fills the pointers and empties everything in scratch. False: the regions are too small. */
bool table_lay_out(struct table *t, const struct table_memory *m);
uint32_t table_rests_of_layout_2(uint32_t max_sessions);
void table_set_mode(struct table *t, enum nat_mapping_mode mapping);
void table_settle(struct table *t); /* lets every top come down a bounded step */

/* ---- table_attach.c, table_convert.c ---- */

/* The header that a table of these sizes has, with nothing in it. */
struct table_header table_header_new(const struct table *t, const uint64_t secret[4]);
uint64_t table_header_sum(const struct table_header *h);
/* The magic goes last, so that a half-written header is a blank one. */
void table_header_write(struct table_header *to, const struct table_header *h);
/* Turns the records of a table of these sizes in an earlier layout into ones of TABLE_LAYOUT, in place. False: they are
 * no such records, and not touched. */
bool table_convert(struct table *t);

/* ---- hashes ---- */

enum { KEY_OUT, KEY_IN, KEY_INTERNAL, KEY_EXTERNAL, KEY_PEER, KEY_HOST, KEY_ADDRESS }; /* no two kinds share keys */

static inline uint64_t table_key(const struct table *t, uint64_t addresses, uint32_t ports, uint32_t class_kind)
{
	return hash_pair(t->secret, addresses, (uint64_t)ports << 32 | class_kind);
}

static inline uint32_t key_kind(unsigned proto_class, unsigned kind)
{
	return proto_class << 8 | kind;
}

static inline uint64_t hash_out(const struct table *t, const struct session *s)
{
	return table_key(t, (uint64_t)s->int_addr << 32 | s->rem_addr, (uint32_t)s->int_port << 16 | s->rem_port,
			 key_kind(session_class(s), KEY_OUT));
}

static inline uint64_t hash_in(const struct table *t, const struct session *s)
{
	return table_key(t, (uint64_t)s->ext << 32 | s->rem_addr, (uint32_t)s->ext_port << 16 | s->rem_port,
			 key_kind(session_class(s), KEY_IN));
}

/* Of an internal endpoint, with the remote fields that the mapping mode asks for. */
static inline uint64_t hash_internal(const struct table *t, unsigned proto_class, uint32_t int_addr, uint32_t rem_addr,
				     uint16_t int_port, uint16_t rem_port)
{
	return table_key(t, (uint64_t)int_addr << 32 | (rem_addr & t->key_address),
			 (uint32_t)int_port << 16 | (rem_port & t->key_port), key_kind(proto_class, KEY_INTERNAL));
}

/* Of an external endpoint and a remote address. */
static inline uint64_t hash_peer(const struct table *t, const struct session *s)
{
	return table_key(t, (uint64_t)s->ext << 32 | s->rem_addr, (uint32_t)s->ext_port << 16,
			 key_kind(session_class(s), KEY_PEER));
}

static inline uint64_t mapping_key_internal(const struct table *t, const struct session *s)
{
	return hash_internal(t, session_class(s), s->int_addr, s->rem_addr, s->int_port, s->rem_port);
}

static inline uint64_t mapping_key_external(const struct table *t, unsigned proto_class, uint16_t ext, uint16_t port)
{
	return table_key(t, ext, (uint32_t)port << 16, key_kind(proto_class, KEY_EXTERNAL));
}

static inline bool session_is_pooled(const struct session *s) /* has a mapping and a port of the pool */
{
	return (s->kind & SESSION_KIND_FORWARD) == 0 && session_class(s) != CLASS_OTHER;
}

static inline uint32_t session_timeout(const struct table *t, const struct session *s)
{
	return t->timeout[s->kind & (SESSION_KIND_CLASS | SESSION_KIND_STATE)];
}

/* See table_session_expired(). A time to come is that of another clock, and not over. */
static inline bool session_is_over(const struct table *t, const struct session *s, uint32_t now_s)
{
	int32_t idle = (int32_t)(now_s - s->seen_s);

	return idle > 0 && (uint32_t)idle > session_timeout(t, s);
}

static inline uint32_t session_index(const struct table *t, const struct session *s)
{
	return (uint32_t)(s - t->sessions);
}

/* ---- session.c ---- */

/* The hashes of one session's keys, worked out once. */
struct session_hashes {
	uint64_t internal, external;
};

void session_hash(const struct table *t, const struct session *s, struct session_hashes *h);
/* Enters a written record into every index and count. False, with nothing changed, if something has no room. */
bool session_link(struct table *t, uint32_t i, const struct session_hashes *h);
/* Takes it out of them. */
void session_unlink(struct table *t, uint32_t i, uint32_t now_s);
/* Asks for the buckets that opening or closing this session will read. */
void session_prefetch(const struct table *t, const struct session *s, const struct session_hashes *h);
/* The next step, where much is opened or closed at once: asks for what those buckets lead to. `is_shared`: its mapping is known
 * to be another's too. */
uint32_t session_prefetch_more(const struct table *t, const struct session *s, const struct session_hashes *h,
			       bool is_shared);
/* And the last: `owner` is what that returned, the mapping's only session up to now perhaps, which is to become one of a group. */
void session_prefetch_owner(const struct table *t, uint32_t owner);
/* The buckets of its whole key, and of its peer. */
void session_prefetch_whole(const struct table *t, const struct session *s);
/* In and out of the indexes of whole keys: for what its endpoints do not lead to. False: no room. */
bool session_enter_whole(struct table *t, uint32_t i);
void session_leave_whole(struct table *t, uint32_t i);

static inline bool session_is_unanswered(const struct table *t, uint32_t i)
{
	return (t->cold[i].generation & COLD_ANSWERED) == 0;
}

/* ---- session_life.c ---- */

/* Makes the record a free one, its state first. */
void session_restored(struct table *t, uint32_t i); /* counts it */
void session_withdraw(struct table *t, uint32_t i);
/* Records an event about this session, or its mapping. */
void session_record(struct table *t, uint32_t i, enum event_type type, uint8_t reason);

/* ---- session_find.c ---- */

/* The session of the same key seen from one side, live or timed out; NULL if none. */
struct session *session_same(const struct table *t, const struct session *s, enum nat_dir dir,
			     const struct session_hashes *h);
/* The same, of a session that is about to be entered: what is found missing is noted for what is asked next. */
struct session *session_same_noting(struct table *t, const struct session *s, enum nat_dir dir,
				    const struct session_hashes *h);

/* ---- mapping.c ---- */

enum mapping_joined { JOIN_FAILED, JOIN_NEW, JOIN_SHARED };

/* Gives the session, written but not published, its mapping: a new one, or that of its external endpoint. */
enum mapping_joined mapping_join(struct table *t, uint32_t i, const struct session_hashes *h);
/* The session's mapping has one session less; true with the last: then its port rests, or is free. */
bool mapping_leave(struct table *t, uint32_t i, uint32_t now_s);
/* RFC 7857 7: does this session keep its mapping open to others? One that somebody outside opened does so
 * only once the inside host has taken part in it. */
bool mapping_is_keepalive(const struct table *t, uint32_t i);
/* It has become one (1), or is none any more (-1). */
void mapping_change_keepalives(struct table *t, uint32_t i, int by);
/* Rebuilds the internal index: begin; each session, false if its mapping has no room and it must be closed; the groups. */
void mapping_relist_begin(struct table *t);
bool mapping_relist_session(struct table *t, uint32_t i);
void mapping_relist_groups(struct table *t);
/* Reference of the mapping that owns an external endpoint, timed out or not; INDEX_NONE. */
uint32_t mapping_owner(const struct table *t, unsigned proto_class, uint16_t ext, uint16_t port);
/* Reference that the internal index has under the key of mapping `ref`; INDEX_NONE. */
uint32_t mapping_listed(const struct table *t, uint32_t ref);
/* Reference of the peer entry of this session; INDEX_NONE. */
uint32_t mapping_peer(const struct table *t, const struct session *s);
uint64_t mapping_hash_internal(const struct table *t, uint32_t ref);
uint64_t mapping_hash_external(const struct table *t, uint32_t ref);
uint64_t mapping_hash_peer(const struct table *t, uint32_t ref);

/* ---- block.c ---- */

static inline bool block_is_fixed(const struct table *t, const struct block *b)
{
	return b->number < t->allocation->fixed;
}

/* The block that holds this port, or NULL. */
static inline struct block *block_of(const struct table *t, uint16_t ext, uint16_t port)
{
	const struct address_use *u = &t->uses[ext];
	int32_t number;

	if (t->blocks_top == 0 || u->n_blocks == 0)
		return NULL;
	number = cut_number(&t->allocation->cut[u->cut], port);
	return number < 0 ? NULL : &t->blocks[u->first_block + (uint32_t)number];
}

struct nat_range block_ports(const struct table *t, const struct block *b);
/* One port more or less in use. The last one gives the block back. */
void block_count_used(struct table *t, uint16_t ext, uint16_t port);
void block_count_free(struct table *t, uint16_t ext, uint16_t port);
/* A free block of the address, each that is not shut equally likely; NULL: there is none. */
struct block *block_draw(const struct table *t, const struct port_request *rq, uint64_t *random);
bool block_any(const struct table *t, const struct port_request *rq); /* there is one */
/* The free block is the host's from now on. */
void block_give(struct table *t, struct host *h, struct block *b);
/* Gives back a block that no port is used of. */
void block_release(struct table *t, struct block *b);
void block_link(struct table *t, struct host *h, struct block *b);

/* ---- block_record.c ---- */

/* Saves who has the block. */
void block_record_write(struct table *t, struct block *b);
void block_record_clear(struct table *t, struct block *b);
/* Takes up the records found at attach, by the blocks as they are laid out now, and writes those that are missing. */
void block_records_restore(struct table *t);
/* Were the records made by the same cut? */
bool block_records_fit(const struct table *t);
void block_records_clear(struct table *t);
/* At attach: is this entry of `rests` a record of these, and which times has it? */
bool block_record_is(uint64_t word);
uint64_t block_record_shift(uint64_t word, uint32_t by_s);

/* ---- port.c, rest.c ---- */

static inline struct port_map *port_map(const struct table *t, unsigned proto_class, uint16_t ext)
{
	return &t->ports[(size_t)ext * TABLE_CLASSES + proto_class];
}

static inline uint64_t port_bit(uint16_t port)
{
	return 1ull << (port % 64);
}

static inline bool port_is_used(const struct port_map *m, uint16_t port)
{
	return (m->used[port / 64] & port_bit(port)) != 0;
}

static inline bool port_is_resting(const struct port_map *m, uint16_t port)
{
	return (m->resting[port / 64] & port_bit(port)) != 0;
}

/* What is tried, and may be left out of the count of used ones, while a port is chosen. */
void port_set(struct port_map *m, uint16_t port);
void port_clear(struct port_map *m, uint16_t port);
/* The same, counted. */
void port_occupy(struct table *t, unsigned proto_class, uint16_t ext, uint16_t port);
void port_free(struct table *t, unsigned proto_class, uint16_t ext, uint16_t port);

/* A port as table_port_take() chooses it, without ending what rests before. */
uint16_t port_choose(struct table *t, const struct port_request *rq, uint64_t random, uint32_t now_s, bool *recycled);
void port_prefetch(const struct table *t, const struct port_request *rq, uint64_t random);
/* Ends quarantines, within a small budget. False: the address is lost. */
bool port_prepare(struct table *t, const struct port_request *rq, uint32_t now_s);

struct quarantine {
	uint32_t since_s; /* modulo 2^29 */
	uint16_t port, ext;
	uint8_t proto_class;
};

/* The used port starts its rest; or is free at once where there is no rest. */
void quarantine_begin(struct table *t, const struct quarantine *r);
/* Ends a rest; its port stays marked as used. `before`: the rest before it in its struct quarantine_list, +1; 0: none. */
void quarantine_end(struct table *t, uint32_t i, uint32_t before);
/* The same, and the port is free. */
void quarantine_cut(struct table *t, uint32_t i, uint32_t before);
struct quarantine quarantine_get(const struct table *t, uint32_t i);
struct quarantine_list *quarantine_list(struct table *t, const struct quarantine *r); /* the one that it belongs to */
void quarantine_relist(struct table *t); /* rebuilds all of these lists after the blocks were laid out again */
/* A free slot in `rests`, if need be that of the oldest rest; SLOTS_NONE: only records of blocks are there. */
uint32_t quarantine_slot(struct table *t);
uint32_t quarantine_age(const struct table *t, uint32_t i, uint32_t now_s);
bool quarantine_is_over(const struct table *t, uint32_t i, uint32_t now_s);
void quarantine_expire(struct table *t, uint32_t now_s, uint32_t budget);
/* From the records, with their times shifted; how many. */
uint32_t quarantine_restore(struct table *t, uint32_t now_s, uint32_t shift_s);
bool quarantine_is_valid(const struct table *t, uint64_t word);

/* ---- origin.c ---- */

/* Another session names it: the id, or 0 if that names no origin. */
uint32_t origin_take(struct table *t, uint32_t id);
void origin_drop(struct table *t, uint32_t id);
/* What this session carried counts for its origin: it ends. */
void origin_count(struct table *t, uint32_t id, const struct session *s);
void origin_restore(struct table *t);
bool origin_is_whole(const struct table *t, uint32_t i);
uint64_t origin_hash(const struct table *t, uint32_t i);

static inline uint32_t origin_id(const struct table *t, uint32_t i) /* of session `i` */
{
	return t->origin_top > 0 ? t->origin_ids[i] : 0;
}

/* ---- host.c, survey.c, address.c ---- */

struct host *host_find(const struct table *t, uint32_t address);
struct host *host_find_hashed(const struct table *t, uint32_t address, uint64_t hash); /* by the index alone */
struct host *host_make(struct table *t, uint32_t address);			       /* finds it, or makes it */
uint64_t host_hash(const struct table *t, uint32_t address);
/* For survey.c: session `i` of that host is about to end; the slot has a new host. */
void survey_session_ended(struct table *t, uint32_t i, struct host *h);
void survey_host_began(struct table *t, uint32_t host);
/* Session `i` of host `h` (NULL: has no record) begins to count (1), or ends to (-1). */
void host_count_session(struct table *t, struct host *h, uint32_t i, int by);
void host_sweep(struct table *t, uint32_t budget);
uint64_t address_hash(const struct table *t, uint32_t address);
void address_settle(struct table *t, uint16_t slot); /* gives an unclaimed slot up if nothing uses it */
void address_restore(struct table *t);
static inline bool address_is_used(const struct table *t, uint32_t slot)
{
	return slot < t->max_addresses && slots_used(&t->address_slots, slot);
}

#endif
