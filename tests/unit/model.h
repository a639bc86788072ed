/* SPDX-License-Identifier: ISC */
/*
 * A naive NAT to judge the real one by: arrays and linear search, written from the RFCs and the
 * headers. It follows the real one packet by packet: works out the expected result, compares it with the real one,
 * and where there is a free choice (which port, which address, which IP id) checks that the
 * choice was allowed and adopts it.
 *
 * Of TCP it knows conversations, not windows: as long as it has seen nothing but genuine segments, state and
 * timer of a session are foretold; a forged segment must change neither. Of any other mixture it checks that
 * the change was one that this kind of segment can make, and adopts it.
 */
#ifndef NATD_TESTS_MODEL_H
#define NATD_TESTS_MODEL_H

#include "natlab.h"

enum { MODEL_SESSIONS = 4096, MODEL_MAPPINGS = 4096, MODEL_RESTS = 16384, MODEL_HOSTS = 32, MODEL_HOLDS = 1024 };

/* A TCP conversation, with the knowledge of both ends. */
struct model_tcp {
	bool genuine;	  /* only genuine segments so far: all below holds */
	bool synced;	  /* handshake done */
	bool answered;	  /* SYN-ACK seen */
	uint8_t opener;	  /* enum nat_dir */
	uint32_t next[2]; /* sequence number of the next byte of that direction */
	uint32_t unacked[2];
	bool fin[2];
	bool fin_acked[2];
	bool tainted[2]; /* a forged SYN of that direction may still stand in for its place */
};

struct model_session {
	bool dead; /* its time is up, the real table may still have it */
	bool from_outside;
	bool forward;
	bool answered;
	bool perhaps_answered; /* TCP, by a segment that may be forged */
	uint8_t proto_class;
	uint8_t state; /* enum session_state */
	uint16_t in_port, ext_port, rem_port;
	uint32_t in, ext, rem; /* addresses */
	uint32_t seen_s;
	uint32_t packets[2];
	uint64_t bytes[2];
	int mapping; /* index; -1: none */
	struct model_tcp tcp;
};

struct model_mapping {
	bool used;
	uint8_t proto_class;
	uint16_t in_port, ext_port, rem_port;
	uint32_t in, ext, rem; /* remote of the session that made it */
};

/* A port in quarantine: free at `since_least` + port_reuse, not before. */
struct model_rest {
	uint8_t proto_class;
	uint16_t port;
	uint32_t ext;
	uint32_t host; /* inside address of the mapping that had it */
	uint32_t since_s;
	bool sure;
};

struct model_hold {
	uint64_t due_ms;
	uint32_t src, dst;
	uint16_t sport, dport;
	bool perhaps; /* the SYN may have been dropped for another reason, and not been held */
};

/* A TCP session that ended with its outside address: its inside host may be sent an RST. */
struct model_reset {
	uint32_t in, rem;
	uint16_t in_port, rem_port;
};

enum model_truth { TRUTH_UNKNOWN, TRUTH_GENUINE, TRUTH_FORGED };

/* A packet in words, as its sender built it. */
struct model_packet {
	uint32_t src, dst;
	uint16_t sport, dport; /* query id in both; protocol number in both for CLASS_OTHER */
	uint8_t proto_class;
	uint8_t kind; /* enum pkt_kind */
	uint8_t flags;
	uint32_t seq, data;
	enum model_truth truth;
	/* an ICMP error: the packet that it is about, as the error's sender saw it */
	const struct model_packet *quote;
	uint8_t icmp_type, icmp_code; /* of such an error */
};

struct model {
	struct lab *lab;
	void (*fail)(const char *what); /* does not return */
	struct model_session sessions[MODEL_SESSIONS];
	uint32_t n_sessions, n_dead;
	uint32_t
		swept_s; /* the second in which the real table was swept last: what died since then it may refuse to see */
	struct model_mapping mappings[MODEL_MAPPINGS];
	struct model_rest rests[MODEL_RESTS];
	uint32_t n_rests;
	struct model_hold holds[MODEL_HOLDS];
	uint32_t n_holds;
	struct model_reset resets[MODEL_SESSIONS]; /* that the real one may still send */
	uint32_t n_resets;
	struct {
		uint32_t address;
		enum nat_dir opening; /* its rates of what it opens, and of what the outside opens to it, are two */
		uint64_t tried_ms;    /* last attempt to open a session */
		uint64_t since_ms;    /* start of the second that is being counted */
		uint32_t opened;
	} hosts[MODEL_HOSTS];
	/* Fragments that the real one holds for the packet to be judged; what they follow. */
	uint32_t held;
	struct model_session *followed;
	enum nat_dir followed_dir;
	bool loose_mapping; /* the mapping mode changed under living sessions */
	bool loose_pairing; /* pooling was arbitrary at some time */
	uint32_t passed, dropped, opened, hairpins, errors, to_host;
};

void model_init(struct model *m, struct lab *l, void (*fail)(const char *what));

/* The lab has just been given `p`. Judges what came out and follows. Where it went. */
enum nat_to model_judge(struct model *m, const struct model_packet *p);
/*
 * The lab has just been given a later fragment of a datagram whose first one was judged last, and went `to`.
 * `out`: what came out for it, which must be the fragment as it came but for what the first one's translation changes.
 */
void model_follow(struct model *m, enum nat_to to, const struct lab_out *first, const struct lab_out *out,
		  const uint8_t *came);
/* Time has passed without nat_step(): call before a packet is built. */
void model_clock(struct model *m);
/* lab_advance() has made one step. */
void model_step(struct model *m);
/* The real table was swept while it judged the packet, so that nothing that is over is counted. */
void model_early_sweep(struct model *m);
/* lab_reload() with l->policy, lab_restart(), nat_session_delete() have been called. */
void model_reload(struct model *m, const struct nat_policy *old, const struct nat_reconfigure_report *r);
void model_restart(struct model *m);
void model_delete(struct model *m, struct model_session *s);
/* The port of this mapping, which has ended, is in quarantine from now on. */
void model_rest(struct model *m, const struct model_mapping *g);

/* Living session by what leaves inside, or arrives from outside. NULL: none. */
struct model_session *model_find_out(struct model *m, uint8_t proto_class, uint32_t in, uint16_t in_port, uint32_t rem,
				     uint16_t rem_port);
struct model_session *model_find_in(struct model *m, uint8_t proto_class, uint32_t ext, uint16_t ext_port, uint32_t rem,
				    uint16_t rem_port);

/* Everything the model knows against everything the real one tells. */
void model_compare(struct model *m);

/* ---- policy, naively: model_policy.c ---- */
bool model_in_prefixes(const struct nat_prefix *p, uint32_t n, uint32_t a);
bool model_is_inside(const struct nat_policy *p, uint32_t a);
bool model_is_exempt(const struct nat_policy *p, uint32_t a);
bool model_is_external(const struct nat_policy *p, uint32_t a);
bool model_is_shared(const struct nat_policy *p, uint32_t a);
bool model_port_usable(const struct nat_policy *p, uint8_t proto_class, uint32_t ext, uint16_t port);
/* Index of the forward, -1 none, -2 refused. */
int model_forward_in(const struct nat_policy *p, uint8_t proto_class, uint32_t ext, uint16_t port, uint32_t remote,
		     uint32_t *to, uint16_t *to_port);
int model_default_in(const struct nat_policy *p, uint8_t proto_class, uint32_t ext, uint16_t port, uint32_t remote,
		     uint32_t *to, uint16_t *to_port);
int model_forward_out(const struct nat_policy *p, uint8_t proto_class, uint32_t in, uint16_t port, uint32_t *ext,
		      uint16_t *ext_port);
uint32_t model_timeout(const struct nat_policy *p, uint8_t proto_class, uint8_t state);
/* Addresses that no packet may have; DROP_ reason or NAT_PASS. */
bool model_address_wrong(const struct nat_policy *p, uint32_t src, uint32_t dst, bool elsewhere);

/* ---- static pairs, classes, blocks, naively: model_block.c ---- */
uint32_t model_static_out(const struct nat_policy *p, uint32_t in); /* the other half; 0: of no pair */
uint32_t model_static_in(const struct nat_policy *p, uint32_t ext);
uint32_t model_pool_size(const struct nat_policy *p); /* addresses that ports are drawn on */
struct nat_host_limits model_limits(const struct nat_policy *p, uint32_t in);
/* Deterministic: the host's ports, and *ext; all zero: it has none. */
struct nat_range model_share(const struct nat_policy *p, uint32_t in, uint32_t *ext);
/* May a mapping of the host stay on this port? */
bool model_block_allows(const struct nat_policy *p, uint32_t in, uint32_t ext, uint16_t port);

/* ---- the TCP of the model: model_tcp.c ---- */

/* Segment `p` of direction `dir` met session `s`, which the real table now has as `state` and seen at `seen_s`;
 * it was sent on or not. NULL or what is wrong. Adopts. */
const char *model_tcp_judge(struct model_session *s, enum nat_dir dir, const struct model_packet *p, bool passed,
			    const struct session *real, uint32_t now_s);
void model_tcp_open(struct model_session *s, enum nat_dir dir, const struct model_packet *p);

#endif
