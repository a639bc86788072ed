/* SPDX-License-Identifier: ISC */
/*
 * The connection table: sessions, their mappings, inside hosts, outside addresses and the use of their ports. Its
 * capacity is fixed by the memory given; memory is touched as entries are added, lowest slots first. Only the records
 * (first region) must outlive the process: everything else (second region) is rebuilt from them.
 *
 * Terms (RFC 4787): a mapping ties an internal endpoint to an external one; a session is a mapping used with one remote
 * endpoint. A mapping exists as long as it has sessions; then its port is in quarantine (RFC 6888 REQ-8) before it is
 * used again.
 *
 * Time is in whole seconds (`now_s`), monotonic, and survives a restart of the process (CLOCK_BOOTTIME). No look-up
 * finds an expired entry; table_sweep() releases its memory and port, within a budget.
 */
#ifndef NATD_CORE_TABLE_H
#define NATD_CORE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/event.h"
#include "core/packet/packet.h"
#include "core/policy/allocation.h"
#include "core/policy/policy.h"

/* Layout version of the records, see docs/restart.md. table_attach() converts layouts from TABLE_LAYOUT_OLDEST on. */
enum { TABLE_LAYOUT = 3, TABLE_LAYOUT_OLDEST = 1 };

enum { TABLE_NONE = -1, TABLE_MAX_SESSIONS = (1 << 24) - 1, TABLE_MAX_ADDRESSES = 65535 };

enum nat_dir { DIR_OUT = 0, DIR_IN = 1 }; /* outbound: from inside; the index into every [2] below */

/* TCP as seen from the middle (drawn in docs/tcp-states.md); the other classes use SESSION_SYN_OUT, SESSION_SYN_IN
 * and SESSION_ESTABLISHED. The values are part of the saved layout: append only. */
enum session_state {
	SESSION_FREE = 0,
	SESSION_SYN_OUT,     /* SYN from inside; also: class other than TCP, one direction seen */
	SESSION_SYN_IN,	     /* SYN from outside; also: opened from outside, not answered */
	SESSION_SYN_BOTH,    /* simultaneous open */
	SESSION_SYNACK_OUT,  /* SYN-ACK from inside; waiting for the opener's ACK */
	SESSION_SYNACK_IN,   /* SYN-ACK from outside */
	SESSION_ESTABLISHED, /* also: class other than TCP, both directions seen */
	SESSION_FIN_OUT,     /* FIN from inside */
	SESSION_FIN_IN,
	SESSION_FIN_OUT_ACKED, /* ... and acknowledged by the other side */
	SESSION_FIN_IN_ACKED,
	SESSION_FIN_BOTH,
	SESSION_TIME_WAIT, /* both FINs acknowledged */
	SESSION_RESET,	   /* a valid RST passed; acknowledged data revives it (RFC 7857 2.2) */
	SESSION_STATE_COUNT
};

/* One cache line: everything that a packet of a known session reads or writes. Only table_session_open() sets the
 * fields not marked (rw). */
struct session {
	uint32_t int_addr;
	uint32_t rem_addr;
	uint16_t int_port;
	uint16_t rem_port;
	uint16_t ext_port;
	uint16_t ext;  /* slot of the outside address, see table_address() */
	uint8_t kind;  /* SESSION_KIND_*: class, state (rw), origin, forward */
	uint8_t scale; /* (rw) TCP window scale: low nibble DIR_OUT, high nibble DIR_IN; 15: unknown */
	uint8_t window
		[2];	 /* (rw) largest window offered by the sender of that direction, bytes, as tcp_window_pack() */
	uint32_t seen_s; /* (rw) time of the last packet that refreshed it */
	uint64_t bytes[2];   /* (rw) IP total lengths */
	uint32_t packets[2]; /* (rw) */
	uint32_t end
		[2]; /* (rw) TCP: highest sequence number + length sent in that direction. UDP: [0] is how many packets its
			    opener had sent when the first answer came */
	uint32_t ack[2]; /* (rw) TCP: highest acknowledgement sent in that direction */
};

enum {
	SESSION_KIND_CLASS = 0x03,
	SESSION_KIND_STATE_SHIFT = 2,
	SESSION_KIND_STATE = 0x3c,
	SESSION_KINDS = 64,		  /* class and state together */
	SESSION_KIND_FROM_OUTSIDE = 0x40, /* opened by the remote side */
	SESSION_KIND_FORWARD = 0x80,	  /* its external endpoint is a forward's: no mapping, no port of the pool */
};

static inline enum nat_class session_class(const struct session *s)
{
	return (enum nat_class)(s->kind & SESSION_KIND_CLASS);
}

static inline enum session_state session_state(const struct session *s)
{
	return (enum session_state)((s->kind & SESSION_KIND_STATE) >> SESSION_KIND_STATE_SHIFT);
}

static inline void session_set_state(struct session *s, enum session_state st)
{
	unsigned rest = s->kind & ~(unsigned)SESSION_KIND_STATE;

	s->kind = (uint8_t)(rest | (unsigned)st << SESSION_KIND_STATE_SHIFT);
}

struct table;

struct table_memory {
	void *records; /* survives: 64-byte aligned, zero-filled if new */
	size_t records_len;
	void *scratch; /* rebuilt: 64-byte aligned, zero-filled at every attach */
	size_t scratch_len;
	void *events; /* rebuilt: events_need(max_events) bytes, 64-byte aligned; NULL: no events are stored */
	size_t events_len;
	uint32_t max_events;
	/* Added, modulo 2^32, to every time in the records at attach, for records of another boot, whose clock
	 * started elsewhere. 0 otherwise. */
	uint32_t clock_shift_s;
};

/* Fills in the lengths for a table of `max_sessions` (at most TABLE_MAX_SESSIONS) on `max_addresses` outside
 * addresses that stores need->max_events. All regions are meant to be reserved without being touched. */
void table_memory_need(uint32_t max_sessions, uint32_t max_addresses, struct table_memory *need);

struct table_params {
	uint32_t max_sessions;
	uint32_t max_addresses;
	enum nat_mapping_mode mapping; /* decides the remote fields in a mapping's key */
	uint32_t port_reuse_s;
	struct nat_timeouts timeouts;
	uint64_t secret[4]; /* random; a region that already has one keeps its own */
};

enum table_attach_result {
	TABLE_NEW,	/* the records were blank: an empty table */
	TABLE_RESTORED, /* sessions were found and rebuilt */
	/* not a table, damaged header, or another layout version: nothing was touched, there is no table */
	TABLE_FOREIGN,
};

struct table_attach_report {
	enum table_attach_result result;
	uint32_t restored; /* sessions */
	uint32_t dropped;  /* half-written or contradictory records, removed */
	uint32_t resting;  /* ports still in quarantine */
	uint32_t version;  /* layout version found; TABLE_LAYOUT if the records were blank */
};

/* Makes a table in `m` (borrowed until table_detach). NULL with TABLE_FOREIGN. Never trusts the contents of records. */
struct table *table_attach(const struct table_memory *m, const struct table_params *p, uint32_t now_s,
			   struct table_attach_report *report);
/* The layout version of a table, from the first bytes of its records; 0: blank, or no table of any version. */
uint32_t table_layout_of(const void *records, size_t len);
/* A hint from these bytes: the table has no more sessions than that. 0: unknown. */
uint32_t table_sessions_hint(const void *records, size_t len);
/* Forgets the table; the records stay unchanged. Frees nothing: the caller owns the memory. */
void table_detach(struct table *t);

/* Settings that a reload changes. Changing `mapping` rebuilds the mapping index; so does setting the same value
 * while there are unlisted mappings. Slow path only. */
void table_set_timeouts(struct table *t, const struct nat_timeouts *timeouts, uint32_t port_reuse_s);
void table_set_mapping(struct table *t, enum nat_mapping_mode mapping);

/* Sets the time for calls without a time argument. */
void table_tell_time(struct table *t, uint32_t now_s);

/* ---- outside addresses: small stable slots, because sessions name them ---- */

/* Slot of `address`, which is added if it has none; TABLE_NONE: all are taken. Claims it. After a restart the slots
 * named in records exist, but unclaimed, and disappear with their last session unless they are added again. */
int32_t table_address_add(struct table *t, uint32_t address);
int32_t table_address_slot(const struct table *t, uint32_t address); /* O(1); TABLE_NONE: it has none */
uint32_t table_address(const struct table *t, uint16_t slot);
/* Removes the slot once no session and no quarantined port uses it; until then it is only marked. */
void table_address_remove(struct table *t, uint16_t slot);
/* including ports in quarantine */
uint32_t table_address_ports_used(const struct table *t, uint16_t slot, enum nat_class c);
uint32_t table_address_ports_resting(const struct table *t, uint16_t slot, enum nat_class c);
/* Number of blocks that may be given to any host, and of these the free ones. 0: the address is not cut. */
uint32_t table_address_blocks(const struct table *t, uint16_t slot, uint32_t *free);

/* ---- look-up ---- */

struct session_key {
	uint32_t local; /* DIR_OUT: internal address; DIR_IN: slot of the outside address */
	uint32_t remote;
	uint16_t local_port; /* internal or external port */
	uint16_t remote_port;
	uint8_t proto_class; /* enum nat_class */
	uint8_t dir;	     /* enum nat_dir */
};

uint64_t table_hash(const struct table *t, const struct session_key *k); /* of the key with which a look-up begins */

/* The session with exactly this key that has not expired, or NULL. */
struct session *table_find(struct table *t, const struct session_key *k, uint64_t hash, uint32_t now_s);

/* The same without remembering anything: for read-only callers. */
const struct session *table_seek(const struct table *t, const struct session_key *k, uint32_t now_s);
/* Is there an expired session with this key that no sweep has seen? */
bool table_has_expired(const struct table *t, const struct session_key *k, uint32_t now_s);

/* The same for many keys at once, so that their cache misses overlap: table_probe() for all, which reorders `p` and
 * returns how many will probably not be found (their `likely` is NULL), then table_finish_lookup() for each. Sessions
 * may come and go in between. */
struct table_probe {
	struct session_key key; /* set by the caller; the table sets the rest */
	uint64_t hash, whole;	/* of the key with which the look-up begins; of the full key, if that is needed */
	const void *next;	/* the memory to read next */
	/* The candidate, or NULL. It has not been read yet, and may be another session's record by then. */
	struct session *likely, *other;
	uint32_t entries; /* number of sessions ever inserted by then */
	uint32_t group;	  /* its mapping, perhaps, which has several sessions */
	uint8_t stage;
};
uint32_t table_probe(const struct table *t, struct table_probe *p[], uint32_t n);
/* A hint, for an outbound probe that found nothing: prefetches what joining an existing mapping will read. False:
 * there seems to be none. */
bool table_probe_joins(const struct table *t, const struct table_probe *p);
struct session *table_finish_lookup(struct table *t, const struct table_probe *p, uint32_t now_s);

/* ---- sessions ---- */

struct session_spec {
	uint32_t int_addr;
	uint32_t rem_addr;
	uint16_t int_port;
	uint16_t rem_port;
	uint16_t ext_port; /* taken with table_port_take() if it makes a new mapping */
	uint16_t ext;
	uint8_t proto_class;
	uint8_t state; /* enum session_state, not SESSION_FREE */
	bool from_outside;
	bool forward;	 /* the external endpoint of a forward */
	uint32_t origin; /* from table_origin_intern(); 0: none */
};

/* Opens a session (no equal one may exist, by the key of either direction). NULL and *why (DROP_SESSIONS_FULL,
 * DROP_TABLE) if it is impossible. The record becomes valid with its last store, so a kill in between leaves nothing
 * half-made. */
struct session *table_session_open(struct table *t, const struct session_spec *spec, uint32_t now_s,
				   enum nat_reason *why);
/* Ends it, and with the last session its mapping: the port's quarantine begins. */
void table_session_close(struct table *t, struct session *s, enum session_end why, uint32_t now_s);
/* A hint: prefetches what closing these sessions, at most 16, will read. */
void table_close_prefetch(const struct table *t, struct session *const s[], uint32_t n);
/* The reason for the end of an expired session: the state that it had reached. */
enum session_end table_session_expiry(const struct session *s);

/* As conntrack defines it: TCP after its handshake; UDP if, after its first answer, a packet came more than two
 * seconds after the first one; GRE after its answer, SCTP after its second answer; never for other protocols. */
bool table_session_assured(const struct table *t, const struct session *s);

/* The session got its first answer. Called once a session, where the state is set. */
void table_session_answered(struct table *t, struct session *s);
/* Its state has changed from `before`: counts it under the new one, and records the event. */
void table_session_changed(struct table *t, const struct session *s, enum session_state before);
/* Number of sessions of that class in that state; updated at each change. */
uint32_t table_sessions_in(const struct table *t, enum nat_class c, enum session_state st);

/* How long the session may be idle in its state, in seconds; and whether it has expired (strictly more than the
 * timeout has passed). */
uint32_t table_session_timeout(const struct table *t, const struct session *s);
bool table_session_expired(const struct table *t, const struct session *s, uint32_t now_s);

uint64_t table_session_id(const struct table *t, const struct session *s); /* never 0; not reused soon */
struct session *table_session_by_id(struct table *t, uint64_t id);
uint32_t table_session_number(uint64_t id); /* below the capacity; unique among open sessions */
uint32_t table_session_created_s(const struct table *t, const struct session *s);
uint32_t table_session_origin(const struct table *t, const struct session *s); /* 0: none */
/* Number of its record, below max_sessions: constant while the session is open. */
uint32_t table_session_index(const struct table *t, const struct session *s);
struct session *table_session_at(struct table *t, uint32_t index); /* NULL: that record is free */

/* Called when a session ends, before it is counted and recorded, to add totals that are stored outside of the table.
 * May change the (rw) fields, and must not call back. NULL: no callback. */
typedef void table_end_fn(void *ctx, struct session *s);
void table_watch_ends(struct table *t, table_end_fn *fn, void *ctx);

/* The time for read-only questions: decides whether a session has expired. */
void table_set_clock(struct table *t, uint32_t now_s);

/* ---- origins: the configuration's names for what made a session ---- */

enum { ORIGIN_NAME = 32, ORIGIN_WAY = 16 };

/* Texts end with a NUL; everything unused, and everything after a NUL, is zero: origins are compared with memcmp(). */
struct session_origin {
	char forward[ORIGIN_NAME];
	char rule[ORIGIN_NAME]; /* of the filter */
	char pair[ORIGIN_NAME]; /* the static 1:1 pair */
	char way[ORIGIN_WAY];	/* way outside */
	uint32_t backend;	/* of a balanced forward */
	uint16_t backend_port;
	uint16_t spare;
};

/* Packets and bytes, both directions together. */
struct carried {
	uint64_t packets, bytes;
};

/* The id of this origin, for struct session_spec; the caller holds it until it releases it. Origins and ids outlive
 * the process. 0: it is blank, or there is no room: then the session has no origin, and table_usage() counts it. */
uint32_t table_origin_intern(struct table *t, const struct session_origin *o);
void table_origin_release(struct table *t, uint32_t id);
/* NULL: none, or gone. It stays as long as a session or a holder needs it, and usually longer: ids in events may use
 * it too. */
const struct session_origin *table_origin_get(const struct table *t, uint32_t id);
/* The next origin after *cursor, initially 0, and the traffic of its ended sessions since this process began; NULL
 * at the end. */
const struct session_origin *table_origin_next(const struct table *t, uint32_t *cursor, struct carried *ended);

/* Counts sessions for the owner too: those of an origin in tallies[which(ctx, origin)], the existing ones at once.
 * `n` tallies, borrowed until the next call, and zeroed first; TABLE_NONE: the origin has no tally. `n` 0: ends it. */
typedef int32_t table_which_tally(const void *ctx, const struct session_origin *o);
void table_set_tallies(struct table *t, uint32_t *tallies, uint32_t n, table_which_tally *which, const void *ctx);

/* Iteration: start with *cursor 0; NULL at the end. Sessions may be opened and closed in between; each that is open
 * throughout is visited exactly once. Skips at most `budget` empty slots: NULL with *cursor not 0 means "call
 * again". */
struct session *table_next(struct table *t, uint32_t *cursor, uint32_t budget);
uint32_t table_session_count(const struct table *t);
uint32_t table_capacity(const struct table *t); /* number of sessions for which it has room */

struct table_swept {
	uint32_t visited, closed;
};
/* Visits records in turn, closes expired ones, and ends the quarantine of ports. The budget is for visits; closing
 * one counts as three more, so fewer than `budget` are visited if many have expired (it may be overdrawn by 48). */
struct table_swept table_sweep(struct table *t, uint32_t now_s, uint32_t budget);
/* Number of records in a full round: the daemon derives its pace from it. */
uint32_t table_sweep_round(const struct table *t);

/* ---- mappings ---- */

struct mapping {
	uint32_t int_addr;
	uint16_t int_port;
	uint16_t ext_port;
	uint16_t ext;
	uint8_t proto_class;
	uint32_t rem_addr; /* part of the key only in the dependent mapping modes */
	uint16_t rem_port;
	uint32_t sessions;
	/* by a session that the inside host opened or answered; else it accepts nothing new (RFC 7857 7) */
	bool is_held;
};

/* A mapping with one session ends with that session's time; for one that has had several, this shows only after
 * table_sweep(). "Now" is the latest time given to any call. */

/* The mapping for an outbound packet of this internal endpoint. Remote fields are ignored unless the mapping mode
 * needs them. After a change of the mode there may be several; this returns one of them. */
bool table_mapping_internal(const struct table *t, enum nat_class c, uint32_t int_addr, uint16_t int_port,
			    uint32_t rem_addr, uint16_t rem_port, struct mapping *out);
/* The mapping that owns an external endpoint. */
bool table_mapping_external(const struct table *t, enum nat_class c, uint16_t ext, uint16_t ext_port,
			    struct mapping *out);
/* Does this mapping have a session with that remote address (any port)? RFC 4787 5: address-dependent filtering.
 * Constant cost. */
bool table_mapping_has_peer(const struct table *t, const struct mapping *m, uint32_t rem_addr);
uint32_t table_mapping_count(const struct table *t);
/* New sessions of its inside endpoint make another mapping; its own sessions continue, and it ends with them. */
void table_mapping_unlist(struct table *t, const struct mapping *m);

/* ---- ports ---- */

struct port_request {
	uint16_t ext;
	/* used only by table_port_allot(), like the next four; NULL: the host has no record yet */
	const struct host *host;
	uint32_t share;			/* number of the block that is the host's by arithmetic */
	struct nat_range own;		/* its ports, once the table has looked them up; all zero before */
	uint32_t blocks_max;		/* most blocks of the host */
	uint32_t blocks_kept;		/* free blocks reserved for hosts that have fewer than are free */
	uint8_t proto_class;		/* CLASS_TCP, CLASS_UDP, CLASS_ICMP (query ids) */
	const struct nat_range *ranges; /* ascending, disjoint */
	uint32_t n_ranges;
	uint16_t prefer; /* PORTS_PRESERVE: this one if it is free; 0: none */
	/* 1: only ports of like's class (0-1023 or 1024-65535), RFC 4787 REQ-3a, if the ranges have any */
	uint8_t same_class;
	uint8_t parity;	  /* 1: only ports of the same parity (RFC 4787 REQ-4) */
	uint16_t like;	  /* the inside port for same_class and parity */
	bool may_recycle; /* if none is free: take the port that has been in quarantine longest (RFC 6888 REQ-8 a-c) */
	bool (*usable)(
		void *ctx,
		uint16_t
			port); /* last word (forwards, host's sockets); NULL: all. Asked at most TABLE_PORT_ASKS times */
	/* Would `usable` certainly refuse each port of this block? Such a block is given to no host. NULL: none */
	bool (*is_shut)(void *ctx, const struct nat_range *block);
	void *ctx;
};

enum { TABLE_PORT_ASKS = 64 };

/* Takes a free port, uniformly at random from all that qualify (by `random`, 64 fresh random bits; more are derived
 * from it), in O(1) at any fill; 0: none. It is marked used. If parity or class cannot be met they are dropped, in
 * that order (RFC 4787 REQ-4, REQ-3a are preferences). *recycled is set if it was in quarantine. For ICMP 0 is a
 * valid id: it is never chosen. */
uint16_t table_port_take(struct table *t, const struct port_request *rq, uint64_t random, uint32_t now_s,
			 bool *recycled);
/* The same by the rules of table_set_allocation(): with blocks, a port of the host's own ones, or of one more block
 * (then `ranges` is ignored, and cleared). Returns NAT_PASS and *port, or DROP_NO_PORT,
 * DROP_HOST_BLOCKS, DROP_HOST_SHARE. Only for a host with a record, see table_host(). */
enum nat_reason table_port_allot(struct table *t, struct port_request *rq, uint64_t random, uint32_t now_s,
				 uint16_t *port, bool *recycled);
/* Is there a port that table_port_take() could take? Also true if so many are refused that it might give up. */
bool table_port_any(const struct table *t, const struct port_request *rq, uint32_t now_s);
/* The result of table_port_allot(), as far as it can be known without the port guard. Changes nothing. */
enum nat_reason table_port_could(const struct table *t, const struct port_request *rq, uint32_t now_s);
/* Is there certainly a free port for the host, if `usable` refuses none? Blocks only; false: perhaps not. */
bool table_port_has_room(const struct table *t, const struct port_request *rq, const struct host *h);
/* A hint: prefetches what the same call of table_port_allot(), and the opening after it, will probably read. With blocks
 * `ranges` is overwritten. */
void table_port_prefetch(const struct table *t, struct port_request *rq, uint64_t random);
/* Releases a port taken for a mapping that was not opened after all. No quarantine. */
void table_port_release(struct table *t, enum nat_class c, uint16_t ext, uint16_t port);
/* mapped or in quarantine */
bool table_port_used(const struct table *t, enum nat_class c, uint16_t ext, uint16_t port);

/* Called when a port comes into use (taken, mapped or in quarantine) and when it is free again, for a copy of the
 * port bits outside the core. Must not call back. NULL: no callback. Ports already in use are not reported. */
typedef void table_port_fn(void *ctx, enum nat_class c, uint32_t address, uint16_t port, bool used);
void table_watch_ports(struct table *t, table_port_fn *fn, void *ctx);

/* ---- blocks of ports ---- */

/* Sets the allocation of ports; `a` is borrowed until the next call. `cut_of` returns the cut of an address. If cuts
 * differ from before, blocks are laid out again: each belongs to its owner by arithmetic, or by the records, or to
 * the host of the first session for which table_port_claim() is called. At the first call, after a restart, sessions
 * claim them at once. Slow path only. */
void table_set_allocation(struct table *t, const struct allocation *a,
			  enum allocation_cut (*cut_of)(const void *ctx, uint32_t address), const void *ctx);
/* Cuts an address that was added since. */
void table_cut_address(struct table *t, uint16_t slot, enum allocation_cut cut);
/* Could the host have got this session's port by allocation? After a change of the cut, also if it may claim the
 * port's block. */
bool table_port_fits(const struct table *t, const struct session *s);
/* Prefetches what table_port_fits() reads for each of these sessions. */
void table_fits_prefetch(const struct table *t, struct session *const s[], uint32_t n);
/* If its block has no owner, as after a change of the cut, the host gets it, within the limits. */
void table_port_claim(struct table *t, const struct session *s);

struct block_view {
	uint32_t host; /* inside address */
	uint16_t ext;
	struct nat_range ports;
	uint32_t used; /* of all classes together, including ports in quarantine */
	uint32_t since_s;
	bool is_fixed; /* belongs to its host by arithmetic */
};
/* The next block in use that has a host: start with *cursor 0. False: call again, unless *cursor is 0: then it is
 * the end. Visits at most `budget` blocks. */
bool table_block_next(const struct table *t, uint32_t *cursor, uint32_t budget, struct block_view *v);
/* The block that contains this port, if a host has it. */
bool table_block_at(const struct table *t, uint16_t slot, uint16_t port, struct block_view *v);

/* ---- inside hosts ---- */

struct host_totals {
	uint64_t packets[2], bytes[2]; /* by enum nat_dir */
};

/* Sessions opened from outside are counted separately, so that they use up no budget of the host's own: see
 * budget.c. */
struct host {
	uint32_t address;
	uint32_t sessions;
	uint32_t incoming;	/* of these: opened from outside */
	uint32_t unanswered;	/* sessions never answered */
	uint32_t unanswered_in; /* opened from outside, of these */
	uint32_t ports;		/* mappings with a port of the pool */
	uint16_t ext;		/* slot of the paired outside address; valid while sessions or blocks > 0 */
	/* by a session that chose from the pool, not only by a forward's session or its blocks */
	uint16_t is_paired;
	struct {
		uint32_t ms, tokens;
	} rate[2];		  /* token buckets for new sessions, by the enum nat_dir of the opening */
	uint32_t blocks;	  /* that it was given, without the fixed one */
	uint32_t first_block;	  /* the table's */
	uint32_t number;	  /* of the record: a host that disappeared and came back has another */
	struct host_totals ended; /* traffic of its ended sessions, since the record was made */
};

/* The host's record, created if `create` is set and there is room; else NULL. A new record lives until the next
 * table_sweep() finds it without sessions and blocks. The pointer is valid until the next table call. */
struct host *table_host(struct table *t, uint32_t address, bool create);
const struct host *table_host_find(const struct table *t, uint32_t address); /* NULL: it has no record */
/* Slot of the address with which a host with sessions or blocks is paired. Without sessions its blocks on existing
 * addresses decide. */
uint16_t table_host_paired(const struct table *t, const struct host *h);
uint32_t table_host_count(const struct table *t);
uint32_t table_unanswered_count(const struct table *t);
uint32_t table_incoming_count(const struct table *t); /* sessions opened from outside */

/* A survey sums the traffic of each host, over sessions that have ended and those that are open. See survey.c. */
struct host_sum {
	struct host_totals totals;
	uint32_t address, number; /* 0: no host had this slot */
};
/* `sums`: of the host slots from 0 up, `n` at most table_host_top(), zeroed; borrowed until table_survey_end().
 * Hosts in higher slots are omitted. One survey at a time. */
void table_survey_begin(struct table *t, struct host_sum *sums, uint32_t n);
/* Continues with at most `budget` records. False: the sums are final. */
bool table_survey_step(struct table *t, uint32_t budget);
void table_survey_end(struct table *t); /* ends a survey, final or not; without one it does nothing */
uint32_t table_host_top(const struct table *t);

struct host_view {
	uint32_t slot;		  /* index of its sum */
	uint32_t address, number; /* as in its sum */
	uint32_t outside;
	uint32_t sessions, ports, blocks;
};
/* The next host with sessions: start with *cursor 0. False: call again, unless *cursor is 0: then it is the end.
 * Skips at most `budget` empty slots. */
bool table_host_next(const struct table *t, uint32_t *cursor, uint32_t budget, struct host_view *v);

/* ---- events and counts ---- */

/* The rings in which the table records openings, ends and mappings; the owner sets their clock, and may append. */
struct events *table_events(struct table *t);
/* Counts sessions and mappings that begin and end in the owner's NAT_REASON_COUNT counters. */
void table_count_into(struct table *t, uint64_t *counters);
/* Sessions that ended for this reason since attach. */
uint64_t table_ended(const struct table *t, enum session_end why);

/* ---- health ---- */

struct table_usage {
	uint64_t records_bytes; /* touched, as far as the table knows */
	uint64_t scratch_bytes;
	uint32_t sessions, mappings, hosts, resting;
	uint32_t longest_probe; /* buckets */
	uint64_t long_probes;
	uint32_t origins;	  /* records in use, or kept for the history */
	uint64_t origins_refused; /* for lack of room */
};
void table_usage(const struct table *t, struct table_usage *u);
uint64_t table_long_probes(const struct table *t); /* the last of these, alone and cheap */

/* Reports whole 4096-byte pages at the end of each array that are not used any more, so that the owner can release
 * them (they must read as zero afterwards, or be unchanged). About 1 MiB a call, so that no call takes long. True:
 * there is more, for a later call. */
bool table_trim(struct table *t, void (*give_back)(void *ctx, void *start, size_t len), void *ctx);

/* Checks every invariant: indexes, port use, mappings, hosts and counts must agree with the records. Returns NULL,
 * or what is wrong (static text). For tests and debug builds: O(n). */
const char *table_check(const struct table *t);

#endif
