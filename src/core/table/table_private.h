/* SPDX-License-Identifier: ISC */
/*
 * Shared by the files of the connection table. No other file includes this.
 *
 *   table.c         layout of the two regions; settings, usage, trimming
 *   table_attach.c  the records' header, and how a table begins
 *   table_restore.c from records back to a table
 *   table_convert.c records of earlier layouts
 *   record.h        checks whether a record is whole
 *   table_check.c   the self-check
 *   session_find.c  look-up
 *   session_life.c  beginning and end of sessions
 *   session.c       their indexes, listing, sweeping
 *   mapping.c       mappings, and the remote addresses of their sessions
 *   port.c          use of ports, choice of a free one
 *   rest.c          ports in quarantine after use
 *   block.c         blocks of ports: owners and use
 *   block_record.c  their records
 *   allot.c         ports from which a host may draw; allot_block.c, allot_fixed.c
 *   origin.c        the part of the configuration that made a session
 *   host.c          inside hosts
 *   survey.c        the traffic of each host
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
 * each array on a page of its own. The *_top fields in the header bound the used part, since reading
 * beyond would allocate memory. Valid at every instruction: a session is valid if its state is not
 * SESSION_FREE, which is the last store of its opening and the first of its closing; a quarantine is one
 * 64-bit store, and so is a top. record.h checks whether each is as it was written.
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

enum { HOSTS_CACHED = 16384 /* below that many hosts, their records are in the processor's cache anyway */ };
enum { TABLE_PAGE = 4096, TABLE_CLASSES = CLASS_OTHER /* those with ports */ };

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
	uint32_t check; /* 0: invalid */
};
_Static_assert(sizeof(struct origin_record) == 128, "saved");

enum { COLD_ANSWERED = 0x8000, COLD_GENERATION = 0x7fff };

/* ---- scratch ---- */

enum { GROUP_REF = 1 << 24 }; /* in the indexes of mappings and peers: a record of its own, not a session */

/* A mapping with two or more sessions (or that had them). 24 bytes. */
struct group {
	uint32_t int_addr, rem_addr;
	uint16_t int_port, rem_port;
	uint16_t ext_port, ext;
	uint32_t sessions : 30;
	uint32_t proto_class : 2;
	uint32_t keepalives; /* of these sessions, see mapping_is_keepalive() */
};

/* A remote address with which a mapping has two or more sessions (or had). 12 bytes. */
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
	uint32_t tally;	      /* tally in which its sessions are counted too, +1; 0: none */
	struct carried ended; /* traffic of its ended sessions, as long as the record has this place */
};
#define ORIGINS_END UINT32_MAX

enum { PORT_WORDS = 65536 / 64, PORT_BLOCK = 512, PORT_BLOCKS = 65536 / PORT_BLOCK };

struct quarantine_list { /* by time; quarantine records, +1; 0: none */
	uint32_t oldest, newest;
};

/* A block of ports of one address, for all classes. A free one is all zero except for its place. */
struct block {
	uint32_t host; /* inside address; 0: none */
	uint32_t since_s;
	uint32_t used;	 /* its ports that are marked as used, of all classes */
	uint32_t next;	 /* block of the same host, +1; ascending. Fixed blocks are in no such list */
	uint32_t record; /* slot of its first record, +1; 0: none */
	struct quarantine_list quarantined;
	uint16_t ext, number;
};
_Static_assert(sizeof(struct block) == 32, "two a cache line");

/* Ports of one address and class. */
struct port_map {
	uint64_t used[PORT_WORDS];	    /* mapped, taken for a new mapping, or in quarantine */
	uint16_t taken[PORT_BLOCKS][2];	    /* used ones of each block: even, odd */
	uint64_t resting[PORT_WORDS];	    /* a subset of used; pages that stay untouched without quarantines */
	struct quarantine_list quarantined; /* of ports that are in no block */
	uint32_t n_resting;
} __attribute__((aligned(64)));

struct address_use {
	uint32_t sessions; /* of any kind */
	uint32_t used[TABLE_CLASSES];
	uint8_t touched;		/* bit c: the port map of class c may have nonzero pages */
	uint8_t claimed;		/* added since attach and not removed */
	uint8_t cut;			/* enum allocation_cut */
	uint32_t first_block, n_blocks; /* n_blocks 0: not cut */
	uint32_t free_blocks;		/* those that may be given to any host */
};

struct survey {
	struct host_sum *sums; /* borrowed */
	uint32_t n;	       /* of them; 0: there is no survey */
	uint32_t session_at;   /* sessions below it have been passed; UINT32_MAX: all */
	uint32_t host_at;      /* sums below are final */
};

enum table_index { IX_OUT, IX_IN, IX_INTERNAL, IX_EXTERNAL, IX_PEER, IX_HOST, IX_ADDRESS, IX_ORIGIN, IX_COUNT };

struct table {
	struct index index[IX_COUNT];
	uint64_t secret[4];
	uint32_t timeout[64]; /* by SESSION_KIND_CLASS | SESSION_KIND_STATE */
	uint32_t port_reuse_s;
	uint32_t now_s;			/* latest time given */
	uint32_t key_address, key_port; /* masks: the remote fields of an internal key */
	uint32_t max_sessions, max_addresses, max_quarantined, max_hosts, max_origins, max_blocks;

	struct table_header *header;
	struct address_slot *addresses;
	struct session *sessions;
	struct session_cold *cold;
	uint64_t *quarantined;
	struct origin_record *origins;
	uint32_t *origin_ids; /* of the sessions; not accessed before the first origin */

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
	uint32_t blocks_top;	 /* blocks that are laid out; 0: ports are allocated one by one */
	uint32_t unowned_blocks; /* in use by an unknown host, see block_is_unowned() */
	uint32_t block_records;	 /* entries of the quarantine array that are records of blocks */
	uint32_t cut_record;	 /* slot of the cut record, +1 */
	struct slots session_slots, group_slots, peer_slots, host_slots, address_slots, quarantine_slots;

	uint32_t mappings;
	uint32_t unlisted; /* mappings to which the internal index does not lead: see mapping.c */
	uint32_t unmapped; /* sessions without a mapping: those of forwards and of class OTHER */
	uint32_t unanswered, incoming;
	uint32_t hosts_made;
	uint32_t entries; /* sessions inserted so far, modulo 2^32 */
	uint32_t pending; /* ports taken whose mapping is not open yet */
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
	uint64_t *counters;			 /* NAT_REASON_COUNT counters: own_counters, or the owner's */
	uint64_t restored, opened;		 /* sessions, since attach */
	uint64_t ended[SESSION_END_COUNT];	 /* likewise */
	uint32_t in_kind[SESSION_KINDS];	 /* current sessions, by class and state */
	uint64_t own_counters[NAT_REASON_COUNT]; /* until table_count_into() */
	table_port_fn *port_watch;		 /* NULL: none */
	void *port_watch_ctx;
	table_end_fn *end_watch; /* NULL: none */
	void *end_watch_ctx;
};

/* ---- table.c ---- */

/* Sets the pointers and empties everything in scratch. False: the regions are too small. */
bool table_lay_out(struct table *t, const struct table_memory *m);
uint32_t table_rests_of_layout_2(uint32_t max_sessions);
void table_set_mode(struct table *t, enum nat_mapping_mode mapping);
void table_settle(struct table *t); /* lets every top come down a bounded step */

/* ---- table_attach.c, table_convert.c, table_restore.c ---- */

/* The header of an empty table of these sizes. */
struct table_header table_header_new(const struct table *t, const uint64_t secret[4]);
uint64_t table_header_sum(const struct table_header *h);
/* Writes the magic last, so that a half-written header is a blank one. */
void table_header_write(struct table_header *to, const struct table_header *h);
/* Converts the records of a table of these sizes in an earlier layout to TABLE_LAYOUT, in place. False: they are not
 * such records, and were not touched. */
bool table_convert(struct table *t);
/* Inserts the sessions of the records, and the ports in quarantine. */
void table_restore(struct table *t, uint32_t now_s, uint32_t shift_s, struct table_attach_report *report);

/* ---- hashes ---- */

enum { KEY_OUT, KEY_IN, KEY_INTERNAL, KEY_EXTERNAL, KEY_PEER, KEY_HOST, KEY_ADDRESS }; /* kinds never share keys */

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

/* Of an internal endpoint, with the remote fields of the mapping mode. */
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

/* See table_session_expired(). A time in the future comes from another clock, and is not expired. */
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

/* The hashes of one session's keys, computed once. */
struct session_hashes {
	uint64_t internal, external;
	bool is_shared;		/* at attach: its mapping is known to have more sessions; then also: */
	uint64_t out, in, peer; /* its full key from either side, and its peer's */
};

void session_hash(const struct table *t, const struct session *s, struct session_hashes *h);
void session_hash_shared(const struct table *t, const struct session *s, struct session_hashes *h);
/* Inserts a written record into every index and count. False, with nothing changed: one of them has no room. */
bool session_link(struct table *t, uint32_t i, const struct session_hashes *h);
/* Removes it from them. */
void session_unlink(struct table *t, uint32_t i, uint32_t now_s);
/* Prefetches the buckets that opening or closing this session will read. */
void session_prefetch(const struct table *t, const struct session *s, const struct session_hashes *h);
/* The next step, when many are opened or closed at once: prefetches what those buckets lead to. Returns the mapping
 * that is probably there, or INDEX_NONE. */
uint32_t session_prefetch_more(const struct table *t, const struct session *s, const struct session_hashes *h);
/* The buckets of its full key, and of its peer. */
void session_prefetch_whole(const struct table *t, const struct session *s);
/* Inserts into, and removes from, the indexes of full keys: for sessions to which no endpoint leads. False: no room. */
bool session_enter_whole(struct table *t, uint32_t i);
bool session_enter_hashed(struct table *t, uint32_t i, uint64_t out, uint64_t in);
void session_leave_whole(struct table *t, uint32_t i);

static inline bool session_is_unanswered(const struct table *t, uint32_t i)
{
	return (t->cold[i].generation & COLD_ANSWERED) == 0;
}

/* ---- session_life.c ---- */

void session_restored(struct table *t, uint32_t i); /* counts it */
/* Frees the record, its state first. */
void session_withdraw(struct table *t, uint32_t i);
/* Records an event about this session, or its mapping. */
void session_record(struct table *t, uint32_t i, enum event_type type, uint8_t reason);

/* ---- session_find.c ---- */

/* The session with the same key seen from one side, open or expired; NULL: none. */
struct session *session_same(const struct table *t, const struct session *s, enum nat_dir dir,
			     const struct session_hashes *h);
/* The same, for a session about to be inserted: a miss is remembered for later look-ups. */
struct session *session_same_noting(struct table *t, const struct session *s, enum nat_dir dir,
				    const struct session_hashes *h);

/* ---- mapping.c ---- */

enum mapping_joined { JOIN_FAILED, JOIN_NEW, JOIN_SHARED };

/* Gives the session, written but not published, its mapping: a new one, or that of its external endpoint. */
enum mapping_joined mapping_join(struct table *t, uint32_t i, const struct session_hashes *h);
/* The session leaves its mapping; true for the last one: then the port is in quarantine, or free. */
bool mapping_leave(struct table *t, uint32_t i, uint32_t now_s);
/* RFC 7857 7: does this session keep its mapping open to others? One opened from outside does so only once the
 * inside host has taken part in it. */
bool mapping_is_keepalive(const struct table *t, uint32_t i);
/* It has become a keepalive session (1), or is one no longer (-1). */
void mapping_change_keepalives(struct table *t, uint32_t i, int by);
/* Rebuilds the internal index: begin; each session, false if its mapping has no room and it must be closed; the
 * groups. */
void mapping_relist_begin(struct table *t);
bool mapping_relist_session(struct table *t, uint32_t i);
void mapping_relist_groups(struct table *t);
/* Reference of the mapping that owns an external endpoint, expired or not; INDEX_NONE. */
uint32_t mapping_owner(const struct table *t, unsigned proto_class, uint16_t ext, uint16_t port);
uint32_t mapping_inside(const struct table *t, uint32_t ref); /* address of its inside host */
/* Reference in the internal index under the key of mapping `ref`; INDEX_NONE. */
uint32_t mapping_listed(const struct table *t, uint32_t ref);
/* Reference of this session's peer entry; INDEX_NONE. */
uint32_t mapping_peer(const struct table *t, const struct session *s);
uint64_t mapping_hash_internal(const struct table *t, uint32_t ref);
uint64_t mapping_hash_external(const struct table *t, uint32_t ref);
uint64_t mapping_hash_peer(const struct table *t, uint32_t ref);

/* ---- block.c ---- */

static inline bool block_is_fixed(const struct table *t, const struct block *b)
{
	return b->number < t->allocation->fixed;
}

/* The block that contains this port, or NULL. */
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
bool block_is_unowned(const struct table *t, const struct block *b); /* in use by an unknown host */
/* One port more or less in use. The last one releases the block. */
void block_count_used(struct table *t, uint16_t ext, uint16_t port);
void block_count_free(struct table *t, uint16_t ext, uint16_t port);
/* A free block of the address, each that is not shut equally likely; NULL: there is none. */
struct block *block_draw(const struct table *t, const struct port_request *rq, uint64_t *random);
bool block_any(const struct table *t, const struct port_request *rq); /* is there one? */
/* Gives the free block to the host. */
void block_give(struct table *t, struct host *h, struct block *b);
/* Releases a block without used ports. */
void block_release(struct table *t, struct block *b);
void block_link(struct table *t, struct host *h, struct block *b);

/* ---- block_record.c ---- */

/* Saves the owner of the block. */
void block_record_write(struct table *t, struct block *b);
void block_record_clear(struct table *t, struct block *b);
/* Restores the records found at attach, by the current layout of blocks, and writes missing ones. */
void block_records_restore(struct table *t);
/* Were the records made with the same cut? */
bool block_records_fit(const struct table *t);
void block_records_clear(struct table *t);
/* At attach: is this entry of the quarantine array a record of blocks? And shifts its time. */
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

/* Marks a port during a choice; the count of used ones may omit it. */
void port_set(struct port_map *m, uint16_t port);
void port_clear(struct port_map *m, uint16_t port);
/* The same, counted. */
void port_occupy(struct table *t, unsigned proto_class, uint16_t ext, uint16_t port);
void port_free(struct table *t, unsigned proto_class, uint16_t ext, uint16_t port);

/* Chooses a port like table_port_take(), without ending quarantines first. */
uint16_t port_choose(struct table *t, const struct port_request *rq, uint64_t random, uint32_t now_s, bool *recycled);
void port_prefetch(const struct table *t, const struct port_request *rq, uint64_t random);
/* Ends quarantines, within a small budget. False: the address is lost. */
bool port_prepare(struct table *t, const struct port_request *rq, uint32_t now_s);

struct quarantine {
	uint32_t since_s; /* modulo 2^29 */
	uint16_t port, ext;
	uint8_t proto_class;
};

/* Begins the quarantine of a used port; without a quarantine time the port is free at once. */
void quarantine_begin(struct table *t, const struct quarantine *r);
/* Ends a quarantine; its port stays marked as used. `before`: the entry before it in its struct quarantine_list, +1;
 * 0: none. */
void quarantine_end(struct table *t, uint32_t i, uint32_t before);
/* The same, and the port is free. */
void quarantine_cut(struct table *t, uint32_t i, uint32_t before);
struct quarantine quarantine_get(const struct table *t, uint32_t i);
struct quarantine_list *quarantine_list(struct table *t, const struct quarantine *r); /* the list that contains it */
void quarantine_relist(struct table *t); /* rebuilds all of these lists after the blocks were laid out again */
/* A free slot in the quarantine array, if necessary that of the oldest; SLOTS_NONE: it has only records of blocks. */
uint32_t quarantine_slot(struct table *t);
uint32_t quarantine_age(const struct table *t, uint32_t i, uint32_t now_s);
bool quarantine_is_over(const struct table *t, uint32_t i, uint32_t now_s);
void quarantine_expire(struct table *t, uint32_t now_s, uint32_t budget);
/* Restores quarantines from the records, with their times shifted; returns their number. */
uint32_t quarantine_restore(struct table *t, uint32_t now_s, uint32_t shift_s);
bool quarantine_is_valid(const struct table *t, uint64_t word);

/* ---- origin.c ---- */

/* Another session names it: returns the id, or 0 if that names no origin. */
uint32_t origin_take(struct table *t, uint32_t id);
void origin_drop(struct table *t, uint32_t id);
/* Adds the traffic of this session, which ends, to its origin. */
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
struct host *host_make(struct table *t, uint32_t address);			       /* finds it, or creates it */
uint64_t host_hash(const struct table *t, uint32_t address);
/* For survey.c: session `i` of that host is about to end; the slot has a new host. */
void survey_session_ended(struct table *t, uint32_t i, struct host *h);
void survey_host_began(struct table *t, uint32_t host);
/* Session `i` of host `h` (NULL: it has no record) begins to count (1), or stops (-1). */
void host_count_session(struct table *t, struct host *h, uint32_t i, int by);
void host_sweep(struct table *t, uint32_t budget);
uint64_t address_hash(const struct table *t, uint32_t address);
void address_settle(struct table *t, uint16_t slot); /* removes an unclaimed slot if nothing uses it */
void address_restore(struct table *t);
static inline bool address_is_used(const struct table *t, uint32_t slot)
{
	return slot < t->max_addresses && slots_used(&t->address_slots, slot);
}

#endif
