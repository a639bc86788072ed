/* SPDX-License-Identifier: ISC */
/*
 * A forwarder beside a core, played by the rules of core/nat/flow.h that the tc programs follow too. Include once per program,
 * after mirrorplay.h.
 */
#ifndef NATD_TESTS_MIRRORFORWARD_H
#define NATD_TESTS_MIRRORFORWARD_H

#include "../../src/core/nat/mirror_private.h"
#include "../../src/core/packet/rewrite.h"
#include "mirrorplay.h"

static struct flow *flows;
static struct flow_bucket *buckets;
static uint16_t mtus[2][FLOW_MTUS];
static const uint64_t secret[2] = {0x1122334455667788, 0x99aabbccddeeff00};

static struct flow_memory memory(void)
{
	struct flow_memory m = {.flows = flows, .buckets = buckets, .secret = {secret[0], secret[1]}, .mtus = mtus};

	return m;
}

static void setup(void)
{
	struct flow_memory m;

	flows = calloc(FLOW_SLOTS, sizeof(*flows));
	buckets = calloc(FLOW_BUCKETS, sizeof(*buckets));
	memset(mtus, 0, sizeof(mtus));
	ask_mtu = NULL;
	plain = make_lab();
	lab = make_lab();
	m = memory();
	ck_assert(nat_mirror_begin(lab->nat, &m, ALL));
	carried = 0;
	drains = true;
	sending.n = 0;
}

static void teardown(void)
{
	lab_free(plain);
	lab_free(lab);
	free(flows);
	free(buckets);
}

/* ---- the forwarder ---- */

static struct flow *find_flow(const struct flow_key *k)
{
	uint64_t hash = flow_hash(secret, k);
	const struct flow_bucket *b = &buckets[flow_bucket_of(hash)];

	for (unsigned i = 0; i < FLOW_WAYS; i++) {
		uint32_t slot = b->entry[i] & (FLOW_SLOTS - 1);

		if (b->entry[i] == flow_entry(hash, slot) && slot != 0 && flow_state_of(&flows[slot]) == FLOW_LIVE &&
		    flow_matches(&flows[slot], k))
			return &flows[slot];
	}
	return NULL;
}

static bool is_carried_tcp(struct flow *f, const struct pkt_view *v, uint8_t dir)
{
	const struct flow_segment g = {.seq = v->tcp_seq,
				       .end = v->tcp_seq + v->tcp_data,
				       .ack = v->tcp_ack,
				       .window = v->tcp_window,
				       .dir = dir};

	if (v->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) {
		flow_stop(f);
		return false;
	}
	if (!(v->tcp_flags & TCP_ACK) || !flow_segment_fits(f, &g) || !flow_is_next(f, dir, g.seq))
		return false;
	flow_advance(f, &g);
	return true;
}

static bool is_carried(struct flow *f, const struct pkt_view *v, uint8_t dir)
{
	bool by_opener = ((f->kind & FLOW_FROM_OUTSIDE) != 0) == (dir == DIR_IN);

	if (v->proto_class == CLASS_TCP)
		return is_carried_tcp(f, v, dir);
	return (v->proto_class == CLASS_UDP || v->icmp_type == (by_opener ? 8 : 0)) && flow_is_next(f, dir, 0);
}

static bool is_too_large(const struct flow *f, const struct pkt_view *v, uint8_t dir)
{
	uint32_t number = flow_mtu_number(f->kind, dir);

	ck_assert(number == 0 || mtus[dir][number] != 0);
	return number != 0 && v->len > mtus[dir][number];
}

/* Like bpf/fast.bpf.h. False: it is natd's. */
static bool play_forwarder(uint8_t *p, size_t len, uint64_t now_ms)
{
	struct pkt_view v;
	struct flow_key k;
	struct flow *f;

	if (packet_parse(p, len, false, &v) != NAT_PASS || v.ihl != 20 || v.frag != FRAG_NONE ||
	    v.kind > PKT_ICMP_REPLY)
		return false;
	k = (struct flow_key){.proto_class = v.proto_class,
			      .dir = (v.src & 0xff000000) == 0x0a000000 ? DIR_OUT : DIR_IN};
	k.local = k.dir == DIR_OUT ? v.src : v.dst;
	k.remote = k.dir == DIR_OUT ? v.dst : v.src;
	k.local_port = k.dir == DIR_OUT ? v.sport : v.dport;
	k.remote_port = v.proto_class == CLASS_ICMP ? 0 : k.dir == DIR_OUT ? v.dport : v.sport;
	f = find_flow(&k);
	if (f == NULL)
		return false;
	if ((k.dir == DIR_OUT && !v.dont_fragment) || is_too_large(f, &v, k.dir) || !is_carried(f, &v, k.dir)) {
		flow_leave(f, k.dir);
		return false;
	}
	if (k.dir == DIR_OUT)
		rewrite_source(&v, f->ext_addr, f->ext_port, false);
	else
		rewrite_destination(&v, f->int_addr, f->int_port, false);
	flow_count(f, k.dir, 1, v.len, (uint32_t)(now_ms / 1000));
	return true;
}

#endif
