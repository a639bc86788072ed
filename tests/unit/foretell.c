/* SPDX-License-Identifier: ISC */
/* See foretell.h. */
#include "foretell.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/core/nat/nat_private.h"

#define EXPECT(condition, ...)                     \
	do {                                       \
		if (!(condition))                  \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

/* Copies of everything that an explanation might change. */
struct snapshot {
	void *records, *scratch, *nat;
};

static void *copy_of(const void *from, size_t len)
{
	void *to = malloc(len);

	ck_assert_ptr_nonnull(to);
	return memcpy(to, from, len);
}

static struct snapshot take(const struct lab *l)
{
	return (struct snapshot){copy_of(l->memory.table.records, l->memory.table.records_len),
				 copy_of(l->memory.table.scratch, l->memory.table.scratch_len),
				 copy_of(l->nat, sizeof(*l->nat))};
}

static void compare(const struct lab *l, struct snapshot *s)
{
	EXPECT(memcmp(s->records, l->memory.table.records, l->memory.table.records_len) == 0,
	       "an explanation changed a record of the table");
	EXPECT(memcmp(s->scratch, l->memory.table.scratch, l->memory.table.scratch_len) == 0,
	       "an explanation changed the table");
	EXPECT(memcmp(s->nat, l->nat, sizeof(*l->nat)) == 0, "an explanation changed the NAT");
}

static void drop(struct snapshot *s)
{
	free(s->records);
	free(s->scratch);
	free(s->nat);
}

static bool is_explained(const struct lab *l, const uint8_t *p, size_t len)
{
	return len >= 20 && l->source == NAT_FROM_TUN && l->gso_size == 0 && !l->csum_partial &&
	       (load16(p + 6) & 0x3fff) == 0;
}

void foretell(struct lab *l, const uint8_t *p, size_t len, struct foretold *f)
{
	uint64_t sweeps = nat_counters(l->nat)[COUNT_EARLY_SWEEP];
	static uint32_t sent;
	bool is_watched = l->purity_every > 0 && ++sent % l->purity_every == 0;
	struct snapshot before = {NULL, NULL, NULL};
	uint8_t bytes[BUILD_MAX + 1];

	f->is_valid = is_explained(l, p, len);
	if (!f->is_valid)
		return;
	memcpy(bytes, p, len);
	nat_batch(l->nat, l->now_ms, NULL, 0, NULL, NULL); /* sets the time */
	if (is_watched)
		before = take(l);
	nat_explain(l->nat, l->now_ms, bytes, (uint32_t)len, &f->x);
	if (is_watched && nat_counters(l->nat)[COUNT_EARLY_SWEEP] == sweeps)
		compare(l, &before);
	drop(&before);
}

/* A port drawn at random may be the very one that a hairpinned packet is for. */
static bool may_differ(const struct lab *l, const struct foretold *f)
{
	const struct explain_pass *last = &f->x.pass[f->x.n_passes - 1];
	bool is_drawn = f->x.pass[0].session == 0 && f->x.pass[0].decision.basis == BASIS_DRAW;

	/* a new block may hold no port that can be used */
	if (is_drawn && l->policy.allocation != ALLOCATION_PORT && last->decision.action == DECIDED_OPEN)
		return true;
	/* only the port guard knows */
	if (is_drawn && l->nat->port_in_use != NULL && last->decision.action == DECIDED_OPEN)
		return true;
	return f->x.is_hairpin && is_drawn && f->x.n_passes == 2;
}

void foretold_check(const struct lab *l, const struct foretold *f, const struct nat_packet *np)
{
	const struct explain_pass *last;
	enum nat_reason why = np->to == NAT_NOWHERE ? (enum nat_reason)np->reason : NAT_PASS;

	if (!f->is_valid)
		return;
	last = &f->x.pass[f->x.n_passes - 1];
	if (last->end == EXPLAIN_PACKET && f->x.reason == DROP_ICMP_TYPE)
		return; /* an ICMP error, or another ICMP type */
	if ((np->to != f->x.to || why != f->x.reason) && may_differ(l, f))
		return;
	EXPECT(np->to == f->x.to && why == f->x.reason,
	       "explained as %s to %d (end %d stage %d basis %d session %d hairpin %d pass %d class %d), but was %s to "
	       "%d",
	       nat_reason_name((enum nat_reason)f->x.reason), f->x.to, last->end, last->decision.stage,
	       last->decision.basis, last->session != 0, f->x.is_hairpin, f->x.n_passes,
	       last->decision.spec.proto_class, nat_reason_name(why), np->to);
	if (np->to == NAT_TO_OUTSIDE) {
		EXPECT(l->out[0].v.src == last->outside,
		       "explained with outside address %08x, but was %08x (class %d basis %d session %d tried %u)",
		       last->outside, l->out[0].v.src, l->out[0].v.proto_class, last->decision.basis,
		       last->session != 0, last->decision.tried);
		EXPECT(last->outside_port == 0 || l->out[0].v.sport == last->outside_port,
		       "explained with another outside port");
	} else if (np->to == NAT_TO_INSIDE && !may_differ(l, f)) {
		bool is_id_drawn = f->x.is_hairpin && l->out[0].v.proto_class == CLASS_ICMP && last->inside_port == 0;

		EXPECT(l->out[0].v.dst == last->inside && (is_id_drawn || l->out[0].v.dport == last->inside_port),
		       "explained with inside endpoint %08x:%u, but was %08x:%u (class %d basis %d session %d hairpin "
		       "%d)",
		       last->inside, last->inside_port, l->out[0].v.dst, l->out[0].v.dport, l->out[0].v.proto_class,
		       last->decision.basis, last->session != 0, f->x.is_hairpin);
	}
}
