/* SPDX-License-Identifier: ISC */
/*
 * Deciding changes nothing: nat_decide() and nat_decide_again() leave the table, the NAT, the policy and its compiled
 * rules' answers byte for byte as they were, say the same when asked again, and say what then happens. Random packets
 * on tables so small that pools, quotas and the table are full, entries expire, hairpins meet themselves, and policies
 * change in between.
 *
 * NATD_TEST_STEPS=N for each scenario (default 3000), NATD_TEST_SEED=N repeats a run.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/core/nat/decide.h"
#include "../../src/core/nat/nat_private.h"
#include "natlab.h"
#include "unit.h"

enum { STEPS = 3000, PORTS = 6, SCENARIOS = 6 };

static struct lab *lab;
static uint32_t decided[DECIDED_SWEEP + 1], again;

static bool chance(uint32_t percent)
{
	return unit_below(100) < percent;
}

/* ---- what may not change ---- */

struct region {
	const void *at;
	size_t len;
	void *copy;
};

enum { REGIONS = 16 };

struct regions {
	struct region list[REGIONS];
	size_t n;
};

static void add(struct regions *r, const void *at, size_t len)
{
	if (at == NULL || len == 0)
		return;
	ck_assert_uint_lt(r->n, REGIONS);
	r->list[r->n] = (struct region){at, len, malloc(len)};
	ck_assert_ptr_nonnull(r->list[r->n].copy);
	memcpy(r->list[r->n].copy, at, len);
	r->n++;
}

static void take(struct regions *r, const struct work *w, const uint8_t *packet, size_t len)
{
	const struct nat_policy *p = lab->nat->policy;
	const struct nat_memory *m = &lab->memory;

	r->n = 0;
	add(r, m->table.records, m->table.records_len);
	add(r, m->table.scratch, m->table.scratch_len);
	add(r, lab->nat, sizeof(*lab->nat));
	add(r, p, sizeof(*p));
	add(r, p->addresses, p->n_addresses * sizeof(*p->addresses));
	add(r, p->forwards, p->n_forwards * sizeof(*p->forwards));
	add(r, p->inside, p->n_inside * sizeof(*p->inside));
	add(r, p->exempt, p->n_exempt * sizeof(*p->exempt));
	add(r, p->pool_ports, p->n_pool_ports * sizeof(*p->pool_ports));
	add(r, p->shared_ports, p->n_shared_ports * sizeof(*p->shared_ports));
	add(r, lab->nat->slots, rules_address_count(lab->nat->rules) * sizeof(*lab->nat->slots));
	add(r, w, sizeof(*w));
	add(r, packet, len);
}

static void compare(const struct regions *r, const char *what)
{
	for (size_t i = 0; i < r->n; i++) {
		if (memcmp(r->list[i].at, r->list[i].copy, r->list[i].len) != 0)
			ck_abort_msg("%s changed region %zu (%zu bytes)", what, i, r->list[i].len);
	}
}

static void drop(struct regions *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->list[i].copy);
}

/* ---- decisions ---- */

static bool is_same(const struct decision *a, const struct decision *b)
{
	const struct session_spec *s = &a->spec, *t = &b->spec;

	return a->action == b->action && a->reason == b->reason && a->stage == b->stage && a->basis == b->basis &&
	       a->rule == b->rule && a->forward == b->forward && a->backend == b->backend &&
	       a->asks_host == b->asks_host && a->is_held == b->is_held && a->is_answered == b->is_answered &&
	       a->ordinal == b->ordinal && a->tried == b->tried && s->int_addr == t->int_addr &&
	       s->int_port == t->int_port && s->ext == t->ext && s->ext_port == t->ext_port &&
	       s->rem_addr == t->rem_addr && s->rem_port == t->rem_port && s->forward == t->forward;
}

/* Whether the packet comes to a decision, as in explain.c; `w` is then ready for it. */
static bool comes_to_a_decision(struct nat *n, struct work *w, struct nat_packet *p)
{
	if (!nat_prepare(n, w, p) || w->reason != NAT_PASS || w->v.frag != FRAG_NONE ||
	    nat_check_before(n, w) != NAT_PASS)
		return false;
	w->random = unit_random() | 1;
	nat_find_share(n, w);
	return table_seek(n->table, &w->probe.key, n->now_s) == NULL && nat_check_addresses(n, w) == NAT_PASS;
}

static void decide(const uint8_t *packet, size_t len)
{
	static uint8_t bytes[BUILD_MAX + 1];
	struct nat_packet p = {.data = bytes, .len = (uint32_t)len, .source = NAT_FROM_TUN};
	struct decision first, second;
	struct regions before;
	struct work w;

	memset(&w, 0, sizeof(w));
	memcpy(bytes, packet, len);
	nat_batch(lab->nat, lab->now_ms, NULL, 0, NULL, NULL); /* sets the time */
	if (!comes_to_a_decision(lab->nat, &w, &p))
		return;
	take(&before, &w, bytes, len);
	for (int may_sweep = 0; may_sweep < 2; may_sweep++) {
		nat_decide(lab->nat, &w, may_sweep, &first);
		compare(&before, "nat_decide()");
		nat_decide(lab->nat, &w, may_sweep, &second);
		ck_assert_msg(is_same(&first, &second), "asked twice, decided twice");
		decided[first.action]++;
	}
	if (first.action == DECIDED_OPEN && first.basis == BASIS_DRAW) {
		nat_decide_again(lab->nat, &w, DROP_NO_PORT, &second);
		compare(&before, "nat_decide_again()");
		again++;
	}
	drop(&before);
}

/* ---- policies and packets ---- */

static void random_policy(bool is_first)
{
	static const struct nat_forward forwards[] = {
		{.name = "web", .protocols = 1 << CLASS_TCP, .ports = {80, 81}, .to = LAB_WEB, .to_port = 8080},
		{.name = "dns", .protocols = 1 << CLASS_UDP, .ports = {2001, 2001}, .to = LAB_A, .to_port = 5001},
		{.name = "rest", .protocols = 15, .is_default = true, .ports = {0, 65535}, .to = LAB_B},
	};
	struct nat_policy *p = &lab->policy;

	p->mapping = (enum nat_mapping_mode)unit_below(3);
	p->filtering = (enum nat_filtering)unit_below(3);
	p->pooling = (enum nat_pooling)unit_below(2);
	p->unsolicited = (enum nat_unsolicited)unit_below(3);
	p->port_selection = (enum nat_port_selection)unit_below(2);
	p->port_parity = chance(30);
	p->hairpinning = chance(80);
	p->n_addresses = 1 + unit_below(2);
	lab->addresses[0].shared = chance(40);
	lab->addresses[1] = (struct nat_address_range){.first = LAB_EXT2, .last = LAB_EXT2};
	lab->pool_ports[0] = (struct nat_range){2000, (uint16_t)(2000 + unit_below(8))};
	lab->shared_ports[0] = (struct nat_range){2000, (uint16_t)(2000 + unit_below(8))};
	p->n_shared_ports = 1;
	p->n_forwards = 0;
	for (size_t i = 0; i < sizeof(forwards) / sizeof(forwards[0]); i++) {
		if (chance(40))
			lab->forwards[p->n_forwards++] = forwards[i];
	}
	p->limits.sessions = 12 + unit_below(20);
	p->limits.reserve = chance(50) ? RESERVE_AUTO : (int)unit_below(RESERVE_MAX + 1);
	p->limits.sessions_per_host = chance(40) ? 3 + unit_below(6) : 0;
	p->limits.ports_per_host = chance(40) ? 1 + unit_below(4) : 0;
	p->limits.new_sessions_per_host = chance(30) ? 1 + unit_below(3) : 0;
	p->timeouts.udp = 20;
	p->timeouts.port_reuse = chance(50) ? 30 : 0;
	if (!is_first)
		lab_reload(lab);
}

static size_t random_packet(uint8_t *out)
{
	static const uint32_t inside[] = {LAB_A, LAB_B, LAB_C, LAB_WEB}, outside[] = {LAB_S1, LAB_S2};
	static const uint32_t own[] = {LAB_EXT, LAB_EXT, LAB_EXT2};
	static const uint8_t protocols[] = {17, 17, 6, 1, 47};
	bool is_out = chance(60);
	struct build b = {
		.proto = protocols[unit_below(5)],
		.src = is_out ? inside[unit_below(4)] : outside[unit_below(2)],
		.dst = !is_out || chance(20) ? own[unit_below(3)] : outside[unit_below(2)],
		.sport = (uint16_t)(is_out ? 5000 + unit_below(PORTS) : 7 + unit_below(2)),
		.dport = (uint16_t)(chance(20) ? 80 + unit_below(2)
				    : is_out   ? 7 + unit_below(2)
					       : 2000 + unit_below(9)),
		.flags = chance(90) ? TCP_SYN : TCP_ACK,
		.payload_len = 8,
	};

	return build_packet(out, &b);
}

START_TEST(test_deciding_leaves_policy_and_table_as_they_were)
{
	const char *text = getenv("NATD_TEST_STEPS");
	uint32_t steps = text ? (uint32_t)strtoul(text, NULL, 0) : STEPS;
	static uint8_t packet[BUILD_MAX + 1];

	for (int i = 0; i <= _i; i++)
		unit_random();
	lab = lab_new();
	lab->memory.max_sessions = 48;
	lab->memory.max_addresses = 4;
	lab->memory.max_fragments = 16;
	lab->policy.limits.fragments = 16;
	lab->skip_check = true;
	random_policy(true);
	lab_start(lab);
	for (uint32_t i = 0; i < steps; i++) {
		size_t len = random_packet(packet);

		decide(packet, len);
		lab_send(lab, packet, len);
		if (chance(5))
			lab->now_ms += unit_below(40) * 1000; /* expired, and not swept */
		if (chance(1))
			lab_advance(lab, 1000);
		if (chance(1))
			random_policy(false);
	}
	ck_assert_uint_gt(decided[DECIDED_OPEN], 0);
	ck_assert_uint_gt(decided[DECIDED_DROP], 0);
	ck_assert_uint_gt(again, 0);
	printf("%u steps: %u opened, %u dropped, %u to the host, %u to be swept first\n", steps, decided[DECIDED_OPEN],
	       decided[DECIDED_DROP], decided[DECIDED_HOST], decided[DECIDED_SWEEP]);
	lab_free(lab);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("decide");
	TCase *t = tcase_create("decide");

	tcase_add_loop_test(t, test_deciding_leaves_policy_and_table_as_they_were, 0, SCENARIOS);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
