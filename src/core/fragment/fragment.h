/* SPDX-License-Identifier: ISC */
/*
 * Fragments by virtual reassembly (RFC 4787 REQ-14): the first fragment decides, later ones get the same translation;
 * those that arrive before it are held, in bounded memory. Keyed by (source, destination, protocol, IP id), with a
 * keyed hash. Overlaps poison the whole datagram (RFC 5722's rule, for IPv4).
 *
 * Memory: at most `limits.fragments` held fragments. One source may hold at most a quarter of what is free (but one at
 * least), and one datagram 256. A held fragment takes its length, rounded up to 256 bytes. Datagrams that are merely
 * followed need a small record each, at most three times limits.fragments; the oldest record is replaced. Records of
 * datagrams whose first fragment was translated, and all others (first one missing, refused, poisoned), never push each
 * other out.
 */
#ifndef NATD_CORE_FRAGMENT_H
#define NATD_CORE_FRAGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/packet/packet.h"

struct fragments;

enum {
	FRAGMENT_MAX_LEN = 9216,      /* longest fragment that can be held, bytes */
	FRAGMENT_FATE_DROPPED = 0xff, /* fragment_fate.action of a first fragment that was dropped */
};

/* The result of the first fragment's translation. `action` is the caller's own. */
struct fragment_fate {
	uint32_t src; /* new source and destination */
	uint32_t dst;
	uint16_t id;	/* new IP id */
	uint16_t mtu;	/* of the way out; 0: unknown */
	uint8_t action; /* caller's verdict code, or FRAGMENT_FATE_DROPPED */
	uint8_t dir;
	uint16_t digest;     /* from fragment_admit(): of the bytes as they arrived */
	uint64_t session_id; /* for the counters; 0: none */
};

size_t fragment_memory_need(uint32_t max_held);
/* `memory`: 64-byte aligned, zero-filled, of at least that size, borrowed; touched as fragments arrive. */
struct fragments *fragment_create(void *memory, uint32_t max_held, uint64_t secret[2]);
/* At most the max_held of the creation; fragments held beyond a lower limit time out. Before the first call nothing
 * is held. */
void fragment_set_limit(struct fragments *f, uint32_t max_held, uint32_t timeout_s);

enum fragment_verdict {
	FRAGMENT_FOLLOW, /* translate it as *fate says */
	FRAGMENT_HELD,	 /* copied; fragment_release() returns it, or it times out */
	FRAGMENT_DROP,	 /* *why has the reason */
};

/* A later fragment. Checks overlap and size against the fragments seen of the datagram. An exact duplicate is
 * dropped (DROP_FRAGMENT_DUPLICATE) and changes nothing; one with different content poisons the datagram (RFC 8200
 * 4.5). */
enum fragment_verdict fragment_later(struct fragments *f, const struct pkt_view *v, uint64_t now_ms,
				     struct fragment_fate *fate, enum nat_reason *why);

/*
 * A first fragment, before it is translated. False, with *why: it conflicts with fragments seen of its datagram, which
 * is poisoned, or it is an exact duplicate of one that was translated and sent. *digest is for the fate.
 */
bool fragment_admit(struct fragments *f, const struct pkt_view *v, uint64_t now_ms, uint16_t *digest,
		    enum nat_reason *why);

/*
 * A first fragment that fragment_admit() let in was translated, or dropped, as `fate` says; `v` as it arrived (its
 * bytes are not read). Without room for a record, later fragments will be held and time out.
 */
void fragment_first(struct fragments *f, const struct pkt_view *v, const struct fragment_fate *fate, uint64_t now_ms);

/* After fragment_first(), whatever the fate: returns the held fragments of that datagram one by one, lowest offset
 * first. `out` has room for FRAGMENT_MAX_LEN. Returns the length, or 0 if there are no more. `v` is the first
 * fragment as it arrived (only its key is used). */
size_t fragment_release(struct fragments *f, const struct pkt_view *v, uint8_t *out);

/* Removes records older than the timeout, at most `budget`; returns how many held fragments died since the last
 * call, here or before (poisoned, pushed out): to be counted as DROP_FRAGMENT_TIMEOUT. */
uint32_t fragment_sweep(struct fragments *f, uint64_t now_ms, uint32_t budget);

/* While no datagram is known, releases memory that no fragment needs any more through `give_back`, whose whole pages
 * read as zero afterwards, or are unchanged. About 1 MiB a call, so that no call takes long. True: there is more,
 * for a later call. */
bool fragment_trim(struct fragments *f, void (*give_back)(void *ctx, void *start, size_t len), void *ctx);

uint32_t fragment_held(const struct fragments *f);
/* Checks the invariants; returns NULL, or what is wrong. */
const char *fragment_check(const struct fragments *f);

/*
 * Cuts the packet `v` (DF clear, larger than `mtu`, options handled by RFC 791) into fragments of at most `mtu` bytes,
 * first one first; `emit` gets each (bytes valid during the call). Works in place: the packet's bytes are overwritten.
 * The transport checksum must be complete. A fragment may be cut further. Returns their number; 0, with nothing
 * emitted, if `mtu` has no room for header and 8 bytes.
 */
unsigned fragment_cut(const struct pkt_view *v, uint16_t mtu, void (*emit)(void *ctx, uint8_t *data, size_t len),
		      void *ctx);

#endif
