/* SPDX-License-Identifier: ISC */
/*
 * The façade: packets in, packets out. Pure: no system call, no clock, no randomness of its own, no allocation after
 * creation except in nat_compile(), nat_adopt() and nat_judge(). The same seed, times and batches of packets give the
 * same bytes.
 */
#ifndef NATD_CORE_NAT_H
#define NATD_CORE_NAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/policy/policy.h"
#include "core/base/reason.h"
#include "core/table/table.h"

struct nat;

struct nat_memory {
	struct table_memory table;
	void *fragments; /* 64-byte aligned, zero-filled */
	size_t fragments_len;
	uint32_t max_sessions; /* capacity; limits.sessions may be anything up to it */
	uint32_t max_addresses;
	uint32_t max_fragments;
};

/* Fills the *_len fields from the max_* fields. */
void nat_memory_need(struct nat_memory *m);

/* Creates it over `m` (borrowed; the struct itself is copied). `seed`: random bits for hashing, ports and ids.
 * `report` says what was found in the table's records. NULL: out of memory, or report->result is TABLE_FOREIGN. */
struct nat *nat_create(const struct nat_memory *m, const struct nat_policy *policy, const uint64_t seed[4],
		       uint64_t now_ms, struct table_attach_report *report);
/* Frees everything that nat_create() allocated; the records in `m` stay. */
void nat_destroy(struct nat *n);

struct nat_reconfigure_report {
	uint32_t kept;	/* sessions that continue */
	uint32_t ended; /* sessions that the new policy forbids */
};
/* All or nothing: false (out of memory, or limits beyond the capacity) changes nothing. A session ends if its
 * outside address is gone, its inside host is no longer inside, its remote is now exempt, inside or a broadcast
 * address, the forward that made it is gone, leads elsewhere or refuses the remote, or its mapped port is now a
 * forward's. */
bool nat_reconfigure(struct nat *n, const struct nat_policy *policy, uint64_t now_ms,
		     struct nat_reconfigure_report *report);

/* The same in steps. With many forwards compiling and freeing take long, and any thread may do them while `n`
 * translates. With many sessions checking them takes long, and packets may be translated between two calls of
 * nat_judge(). */
struct rules;
struct rules *nat_compile(const struct nat_policy *policy); /* NULL: out of memory */
/* From now on this policy decides about openings. An existing session that it forbids ends when nat_judge() reaches
 * it, or a packet finds it. Returns the previous rules, for nat_compiled_free(). NULL: `r` is still the caller's,
 * nothing has changed. */
struct rules *nat_adopt(struct nat *n, struct rules *r, uint64_t now_ms);
/* Continues to check sessions, with a budget of visits; ending a session counts as 32 more. *report: the results so
 * far. True: there are more. */
bool nat_judge(struct nat *n, uint64_t now_ms, uint32_t budget, struct nat_reconfigure_report *report);
void nat_compiled_free(struct rules *r); /* NULL is allowed */

/* The daemon's check of a port of a shared address (CVE-2021-3773): does the host have a socket there? */
void nat_set_port_guard(struct nat *n, bool (*in_use)(void *ctx, enum nat_class c, uint32_t address, uint16_t port),
			void *ctx);

/* ---- packets ---- */

enum nat_source {		/* where a packet was read */
		  NAT_FROM_TUN, /* routed by the kernel, which has decremented the TTL */
		  /* copy of an ICMP packet that the host got: only natd's own are used, the rest is not even counted */
		  NAT_FROM_ICMP,
};

enum nat_to {
	NAT_NOWHERE, /* dropped: see reason */
	NAT_TO_OUTSIDE,
	NAT_TO_INSIDE, /* hairpinned ones too */
	NAT_TO_HOST,   /* the host's own: hand it back to its stack */
	NAT_KEPT,      /* a fragment that is held */
};

struct nat_packet {
	uint8_t *data;	   /* translated in place */
	uint32_t len;	   /* in: bytes read; out: bytes to send */
	uint16_t gso_size; /* 0: an ordinary packet; else a super-packet of segments with that payload */
	bool csum_partial; /* transport checksum is a pseudo header sum (virtio NEEDS_CSUM) */
	uint8_t source;	   /* enum nat_source */
	/* out */
	uint8_t to;	/* enum nat_to */
	uint8_t reason; /* enum nat_reason if to == NAT_NOWHERE */
	uint16_t mtu;	/* of the way out; 0: unknown */
};

/* Called for each packet to send, in the order in which they must leave. If `owned`, the bytes are valid only during
 * the call; otherwise it is one of the packets given to nat_batch(), and its bytes stay the caller's. */
typedef void nat_emit(void *ctx, const struct nat_packet *p, bool owned);

/* Translates `n` packets (at most NAT_BATCH_MAX). Every packet not emitted is counted under its reason. */
enum { NAT_BATCH_MAX = 256 };
void nat_batch(struct nat *n, uint64_t now_ms, struct nat_packet *p, uint32_t count, nat_emit *emit, void *ctx);

struct nat_stepped {
	uint32_t visited; /* records of sessions: fewer than the budget if many of them had expired */
	bool ended;	  /* sessions had expired, and not every record was visited: there may be more */
	bool more;	  /* there is more to do now, regardless of time: RSTs to send, sessions to purge */
};
/* Lets time pass: ends sessions, held fragments and held SYNs (which may emit ICMP), and sends the RSTs left by
 * nat_reconfigure() (to inside hosts whose outside address is gone), within a budget of records (see table_sweep()).
 * Call it at least once a second. */
struct nat_stepped nat_step(struct nat *n, uint64_t now_ms, uint32_t budget, nat_emit *emit, void *ctx);

/* Releases memory that is not needed any more: see table_trim() and fragment_trim(). */
bool nat_trim(struct nat *n, void (*give_back)(void *ctx, void *start, size_t len), void *ctx);

/* ---- backends of balanced forwards ---- */

enum { BACKEND_DOWN = 1, BACKEND_DRAINED = 2 }; /* why a backend takes no connection: bits */

struct nat_backend_view {
	struct nat_backend backend;
	uint8_t closed; /* BACKEND_ bits */
	uint32_t sessions;
};
/* The backend in that place of the forward (an index into the policy's). False: it has fewer. */
bool nat_backend_view(const struct nat *n, uint32_t forward, uint32_t place, struct nat_backend_view *v);

enum nat_backend_change { NAT_BACKEND_UNKNOWN, NAT_BACKEND_SAME, NAT_BACKEND_CHANGED };
/* Sets a reason, or clears it (`on` false). A backend that goes down loses its sessions, with
 * SESSION_END_BACKEND_DOWN, at once or, if there are very many, in the next steps; nat_step() sends the RSTs to
 * their TCP clients. A reload keeps the states of backends. A restart does not: the owner sets them again. */
enum nat_backend_change nat_backend_set(struct nat *n, const char *forward, const struct nat_backend *backend,
					uint8_t why, bool on, uint64_t now_ms);

/* ---- reading ---- */

const uint64_t *nat_counters(const struct nat *n); /* NAT_REASON_COUNT values */
struct table *nat_table(struct nat *n);		   /* for listings; change it only through the calls below */
const struct nat_policy *nat_policy_get(const struct nat *n);
const char *nat_forward_name(const struct nat *n, const struct session *s); /* NULL: none made it */
const char *nat_pair_name(const struct nat *n, const struct session *s);    /* of its static pair; NULL: it has none */

/* Ends one session for that reason. */
void nat_session_delete(struct nat *n, struct session *s, enum session_end why, uint64_t now_ms);

/* The rings of events: see event.h. */
struct events *nat_events(struct nat *n);

/* Runs table_check() and fragment_check(). */
const char *nat_check(const struct nat *n);

#endif
