/* SPDX-License-Identifier: ISC */
/* Shared by the files of the model's walk; see model.h. */
#ifndef NATD_TESTS_MODEL_WALK_H
#define NATD_TESTS_MODEL_WALK_H

#include "model.h"

struct walk {
	struct model *m;
	const struct model_packet *p;
	const struct nat_policy *policy;
	uint32_t src, dst; /* as it looks by now */
	uint16_t sport, dport;
	bool hairpin, from_inside;
	bool to_host;
	bool may[NAT_REASON_COUNT]; /* reasons that are right */
	bool answer_due;	    /* natd owes the sender an ICMP error, rate permitting */
	bool answer_may;
	bool seen_passed; /* what the real one did */
};

static inline void must(const struct walk *w, bool ok, const char *what)
{
	if (!ok)
		w->m->fail(what);
}

static inline uint32_t now_s(const struct walk *w)
{
	return (uint32_t)(w->m->lab->now_ms / 1000);
}

static inline bool has_ports(uint8_t proto_class)
{
	return proto_class == CLASS_TCP || proto_class == CLASS_UDP;
}

static inline uint16_t remote_port(const struct walk *w, enum nat_dir dir)
{
	if (!has_ports(w->p->proto_class))
		return 0;
	return dir == DIR_OUT ? w->dport : w->sport;
}

/* ---- model_ports.c: what can be had ---- */

void walk_check_new_port(const struct walk *w, uint32_t in, uint32_t ext, uint16_t port);
bool walk_rests(const struct walk *w, uint32_t ext, uint16_t port); /* perhaps: until its time is noticed */
void walk_end_rest(struct model *m, uint8_t proto_class, uint32_t ext, uint16_t port);
/* The address that the host is tied to; 0: none, or it is not certain. */
uint32_t walk_paired_address(const struct walk *w, uint32_t in, bool *has_any);
/* Each: is one more certain to be allowed? Sets the reasons for which it may not be. */
bool walk_address_can(struct walk *w, uint32_t in);
bool walk_rate_allows(struct walk *w, uint32_t in, enum nat_dir opening);
bool walk_limits_allow(struct walk *w, uint32_t in, enum nat_dir opening);
bool walk_host_ports_allow(struct walk *w, uint32_t in);

/* ---- model_block.c: where ports come in blocks ---- */

enum { WALK_BLOCKS = 64 };
/* The blocks that the host has on the address for certain; how many. */
uint32_t walk_own_blocks(const struct walk *w, uint32_t in, uint32_t ext, struct nat_range out[WALK_BLOCKS]);
/* Was this port in a block that the host could have? That block; *is_new: it had it not before. */
struct nat_range walk_check_block(const struct walk *w, uint32_t in, uint32_t ext, uint16_t port, bool *is_new);
/* The host has no block, and there is one that no host has: it must get one. */
bool walk_has_free_block(const struct walk *w, uint32_t in, uint32_t ext);
uint32_t walk_resting_address(const struct walk *w, uint32_t in, bool *is_sure);

/* Expired sessions may still count: the real table was swept in this second, and is not swept again in it. */
static inline bool dead_may_count(const struct walk *w)
{
	return w->m->n_dead > 0 && w->m->swept_s == now_s(w);
}

/* ---- model_open.c: sessions that do not exist yet; NULL: dropped, or w->to_host ---- */

struct model_session *walk_open_out(struct walk *w);
struct model_session *walk_open_in(struct walk *w);
bool walk_opens(struct walk *w);
bool walk_hosts_port(const struct walk *w);

/* ---- model_out.c: emitted packets ---- */

enum nat_reason walk_reason_seen(const struct walk *w);
void walk_check_own_error(const struct walk *w);
void walk_check_sent(const struct walk *w, enum nat_to to);
void walk_check_quote(const struct walk *w, const struct model_packet *q);

/* The session that the real table has, living. */
struct session *walk_real_session(const struct walk *w, enum nat_dir dir, uint32_t local, uint16_t local_port,
				  uint32_t remote, uint16_t remote_port);

#endif
