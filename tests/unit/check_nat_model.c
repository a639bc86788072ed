/* SPDX-License-Identifier: ISC */
/*
 * The real NAT beside a naive one (model.h), packet by packet: random packets both ways, time, reloads,
 * restarts, from sets so small that everything collides with everything.
 *
 * NATD_TEST_STEPS=N for each scenario (default 1700), NATD_TEST_SEED=N repeats a run, NATD_TEST_SCENARIO=N is that one
 * alone, with the seed that a failure of it printed. On a failure the last packets are printed, and written to
 * check_nat_model.pcap in $NATD_TEST_PCAP.
 */
#include <check.h>
#include <stdarg.h>
#include <string.h>

#include "former.h"
#include "model_traffic.h"
#include "unit.h"

enum { TRACE = 48, TRACE_TEXT = 160, STEPS = 1700 };

static struct lab *lab;
static struct model *model;
static char trace[TRACE][TRACE_TEXT];
static uint8_t trace_bytes[TRACE][256];
static size_t trace_len[TRACE];
static uint64_t n_trace;
static uint64_t seed_of_run;
static const char *scenario;

/* ---- the report of a failure ----  */

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(trace[n_trace % TRACE], TRACE_TEXT, format, args);
	va_end(args);
	trace_len[n_trace++ % TRACE] = 0;
}

static void write_pcap(void)
{
	const char *dir = getenv("NATD_TEST_PCAP");
	char path[512];

	if (dir == NULL)
		return;
	snprintf(path, sizeof(path), "%s/check_nat_model.pcap", dir);
	for (uint64_t i = n_trace < TRACE ? 0 : n_trace - TRACE; i < n_trace; i++)
		if (trace_len[i % TRACE] > 0)
			build_pcap(path, trace_bytes[i % TRACE], trace_len[i % TRACE]);
}

static void on_fail(const char *what)
{
	for (uint64_t i = n_trace < TRACE ? 0 : n_trace - TRACE; i < n_trace; i++)
		fprintf(stderr, "%6llu %s\n", (unsigned long long)i, trace[i % TRACE]);
	for (int r = 0; r < NAT_REASON_COUNT; r++)
		if (lab_delta(lab, (enum nat_reason)r) > 0)
			fprintf(stderr, "       + %s %llu\n", nat_reason_name((enum nat_reason)r),
				(unsigned long long)lab_delta(lab, (enum nat_reason)r));
	for (uint32_t i = 0; i < lab->n_out && i < 4; i++)
		fprintf(stderr, "       out to=%d %08x:%u > %08x:%u len %zu\n", lab->out[i].to, lab->out[i].v.src,
			lab->out[i].v.sport, lab->out[i].v.dst, lab->out[i].v.dport, lab->out[i].len);
	write_pcap();
	ck_abort_msg("%s, seed %llu, step %llu: %s", scenario, (unsigned long long)seed_of_run,
		     (unsigned long long)n_trace, what);
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool chance(uint32_t percent)
{
	return unit_below(100) < percent;
}

static void keep(const uint8_t *packet, size_t len)
{
	uint64_t at = (n_trace - 1) % TRACE;

	trace_len[at] = len < sizeof(trace_bytes[0]) ? len : sizeof(trace_bytes[0]);
	memcpy(trace_bytes[at], packet, trace_len[at]);
}

static struct model_traffic traffic = {.below = unit_below, .note = note, .keep = keep};

/* ---- everything else that happens ---- */

static void pass_time(void)
{
	static const uint32_t ms[] = {1,     30,    400,    1000,   1700,   5000,   6100,
				      30000, 62000, 119000, 121000, 300500, 7441000};
	uint32_t n = ms[unit_below(chance(90) ? 7 : COUNT(ms))];

	if (chance(n < 2000 ? 40 : 15)) { /* the daemon is late */
		note("%u ms without a step", n);
		lab->now_ms += n;
		model_clock(model);
		return;
	}
	note("%u ms", n);
	lab->now_ms += n - 1;
	lab_advance(lab, 1);
	model_step(model);
}

static void random_policy(void);

static void reload(void)
{
	struct nat_policy old = lab->policy;
	struct nat_reconfigure_report r;

	note("reload");
	random_policy();
	r = lab_reload(lab);
	model_reload(model, &old, &r);
}

static void restart(void)
{
	struct table_attach_report r;

	note("restart");
	lab->now_ms += 1;
	lab_advance(lab, 1);
	model_step(model);
	if (chance(30)) /* of an earlier version */
		former_make(lab->memory.table.records, chance(50) ? 1 : 2);
	r = lab_restart(lab);
	if (r.result != TABLE_RESTORED && model->n_sessions > 0)
		on_fail("the restart found no table");
	if (r.dropped != 0 || r.restored != model->n_sessions)
		on_fail("the restart lost sessions");
	model_restart(model);
}

static void delete_one(void)
{
	struct table *t = nat_table(lab->nat);
	uint32_t cursor = 0, skip = unit_below(8);
	struct session *r, *last = NULL;
	struct model_session *s;

	while ((r = table_next(t, &cursor, UINT32_MAX)) != NULL && skip-- > 0)
		last = r;
	if (last == NULL || table_session_expired(t, last, (uint32_t)(lab->now_ms / 1000)))
		return;
	s = model_find_out(model, (uint8_t)session_class(last), last->int_addr, last->int_port, last->rem_addr,
			   last->rem_port);
	if (s == NULL)
		on_fail("a session to delete that the model does not have");
	note("delete");
	nat_session_delete(lab->nat, last, SESSION_END_DELETED, lab->now_ms);
	model_delete(model, s);
}

static void one_step(void)
{
	uint32_t r = unit_below(1000);

	if (r < 450)
		traffic_known(&traffic);
	else if (r < 650)
		traffic_new_out(&traffic);
	else if (r < 780)
		traffic_new_in(&traffic);
	else if (r < 830)
		traffic_odd(&traffic);
	else if (r < 890)
		traffic_error(&traffic);
	else if (r < 910)
		traffic_fragments(&traffic);
	else if (r < 985)
		pass_time();
	else if (r < 992)
		delete_one();
	else if (r < 996)
		restart();
	else
		reload();
}

/* ---- policies ---- */

struct scenario {
	const char *name;
	int mapping, filtering, pooling; /* -1: any, and changing */
	uint32_t ports;			 /* size of the range */
	uint32_t addresses;
	uint32_t sessions;
	bool shared, quotas;
	enum nat_allocation allocation;
	uint32_t statics; /* percent of the policies that have a static pair; likewise classes */
};

static const struct scenario scenarios[] = {
	{"defaults", MAPPING_ENDPOINT_INDEPENDENT, FILTERING_ADDRESS_DEPENDENT, POOLING_PAIRED, 2000, 1, 512, false,
	 false, ALLOCATION_PORT, 0},
	{"endpoint independent", MAPPING_ENDPOINT_INDEPENDENT, FILTERING_ENDPOINT_INDEPENDENT, POOLING_PAIRED, 300, 2,
	 512, false, false, ALLOCATION_PORT, 0},
	{"tiny", MAPPING_ENDPOINT_INDEPENDENT, FILTERING_ADDRESS_DEPENDENT, POOLING_PAIRED, 5, 1, 24, false, false,
	 ALLOCATION_PORT, 0},
	{"tiny, filtering by port", MAPPING_ENDPOINT_INDEPENDENT, FILTERING_ADDRESS_AND_PORT_DEPENDENT, POOLING_PAIRED,
	 6, 2, 30, false, true, ALLOCATION_PORT, 0},
	{"tiny, rests", MAPPING_ENDPOINT_INDEPENDENT, FILTERING_ENDPOINT_INDEPENDENT, POOLING_PAIRED, 7, 3, 64, false,
	 false, ALLOCATION_PORT, 0},
	{"address dependent", MAPPING_ADDRESS_DEPENDENT, FILTERING_ADDRESS_DEPENDENT, POOLING_PAIRED, 12, 2, 100, false,
	 true, ALLOCATION_PORT, 0},
	{"symmetric", MAPPING_ADDRESS_AND_PORT_DEPENDENT, FILTERING_ADDRESS_AND_PORT_DEPENDENT, POOLING_PAIRED, 40, 1,
	 100, false, false, ALLOCATION_PORT, 0},
	{"arbitrary", MAPPING_ENDPOINT_INDEPENDENT, FILTERING_ADDRESS_DEPENDENT, POOLING_ARBITRARY, 6, 3, 100, false,
	 false, ALLOCATION_PORT, 0},
	{"shared", MAPPING_ENDPOINT_INDEPENDENT, FILTERING_ADDRESS_DEPENDENT, POOLING_PAIRED, 10, 1, 100, true, false,
	 ALLOCATION_PORT, 0},
	{"quotas", MAPPING_ENDPOINT_INDEPENDENT, FILTERING_ENDPOINT_INDEPENDENT, POOLING_PAIRED, 20, 2, 40, true, true,
	 ALLOCATION_PORT, 0},
	{"everything", -1, -1, -1, 9, 3, 60, true, true, ALLOCATION_PORT, 0},
	{"static", MAPPING_ENDPOINT_INDEPENDENT, FILTERING_ADDRESS_DEPENDENT, POOLING_PAIRED, 300, 2, 200, false, true,
	 ALLOCATION_PORT, 80},
	{"blocks", MAPPING_ENDPOINT_INDEPENDENT, FILTERING_ADDRESS_DEPENDENT, POOLING_PAIRED, 170, 2, 200, false, false,
	 ALLOCATION_BLOCK, 0},
	{"blocks, few, filtering by none", MAPPING_ENDPOINT_INDEPENDENT, FILTERING_ENDPOINT_INDEPENDENT, POOLING_PAIRED,
	 70, 3, 200, false, true, ALLOCATION_BLOCK, 30},
	{"blocks, symmetric", MAPPING_ADDRESS_AND_PORT_DEPENDENT, FILTERING_ADDRESS_AND_PORT_DEPENDENT, POOLING_PAIRED,
	 100, 2, 300, false, false, ALLOCATION_BLOCK, 0},
	{"deterministic", MAPPING_ENDPOINT_INDEPENDENT, FILTERING_ADDRESS_DEPENDENT, POOLING_PAIRED, 8800, 3, 300,
	 false, true, ALLOCATION_DETERMINISTIC, 30},
	{"deterministic, symmetric", MAPPING_ADDRESS_AND_PORT_DEPENDENT, FILTERING_ADDRESS_AND_PORT_DEPENDENT,
	 POOLING_PAIRED, 8200, 3, 400, false, false, ALLOCATION_DETERMINISTIC, 0},
};

static const struct scenario *now_running;

static int either(int fixed, uint32_t n)
{
	return fixed >= 0 ? fixed : (int)unit_below(n);
}

static const struct nat_prefix from_s1[] = {{.address = LAB_S1, .length = 32}};

static const struct nat_forward all_forwards[] = {
	{.name = "web", .protocols = 1 << CLASS_TCP, .ports = {80, 80}, .to = LAB_WEB, .to_port = 8080},
	{.name = "alt",
	 .protocols = 1 << CLASS_TCP | 1 << CLASS_UDP,
	 .ports = {81, 82},
	 .to = LAB_WEB,
	 .to_port = 8080},
	{.name = "s1",
	 .protocols = 1 << CLASS_UDP,
	 .ports = {2001, 2002},
	 .to = LAB_A,
	 .to_port = 5000,
	 .from = from_s1,
	 .n_from = 1},
	{.name = "b",
	 .protocols = 1 << CLASS_TCP,
	 .address = LAB_EXT2,
	 .ports = {2003, 2003},
	 .to = LAB_B,
	 .to_port = 100},
	{.name = "s1b",
	 .protocols = 1 << CLASS_UDP | 1 << CLASS_TCP,
	 .ports = {2001, 2001},
	 .to = LAB_C,
	 .to_port = 101},
	{.name = "gre", .protocols = 1 << CLASS_OTHER, .ports = {47, 47}, .to = LAB_B, .to_port = 47},
	{.name = "gre2",
	 .protocols = 1 << CLASS_OTHER,
	 .address = LAB_EXT2,
	 .ports = {47, 47},
	 .to = LAB_C,
	 .to_port = 47},
	{.name = "ping",
	 .protocols = 1 << CLASS_ICMP,
	 .address = LAB_EXT,
	 .ports = {0, 65535},
	 .to = LAB_A,
	 .from = from_s1,
	 .n_from = 1},
	{.name = "rest", .protocols = 15, .is_default = true, .ports = {0, 65535}, .to = LAB_WEB},
};

static void random_forwards(void)
{
	lab->policy.n_forwards = 0;
	for (uint32_t i = 0; i < COUNT(all_forwards); i++)
		if (chance(all_forwards[i].is_default ? 15 : 40) && model_is_inside(&lab->policy, all_forwards[i].to))
			lab->forwards[lab->policy.n_forwards++] = all_forwards[i];
}

/* LAB_B has an address of its own. */
static void random_pair(void)
{
	if (chance(now_running->statics))
		lab->addresses[lab->policy.n_addresses++] =
			(struct nat_address_range){.first = LAB_EXT + 9, .last = LAB_EXT + 9, .inside = LAB_B};
}

/* LAB_A and LAB_B have limits of their own. */
static void random_classes(void)
{
	static const struct nat_prefix prefix = {.address = BUILD_IP(10, 8, 0, 2), .length = 31};
	uint32_t least =
		now_running->allocation == ALLOCATION_BLOCK ? 1 : 0; /* with 0 blocks a host opens nothing at all */
	static struct nat_host_class gold = {.name = "gold", .prefixes = &prefix, .n_prefixes = 1};

	gold.limits = (struct nat_host_limits){.sessions = chance(50) ? HOST_LIMIT_AS_ALL : 8 + unit_below(8),
					       .ports = chance(50) ? HOST_LIMIT_AS_ALL : 3 + unit_below(4),
					       .new_sessions = chance(50) ? HOST_LIMIT_AS_ALL : 0,
					       .blocks = chance(50) ? HOST_LIMIT_AS_ALL : least + unit_below(3)};
	lab->policy.classes = &gold;
	lab->policy.n_classes = chance(now_running->statics);
}

/* Of blocks the size stays, so that those that there are stay. */
static void random_allocation(void)
{
	struct nat_policy *p = &lab->policy;

	p->allocation = now_running->allocation;
	p->blocks = (struct nat_blocks){.size = 32, .per_host = 1 + unit_below(3)};
	if (p->allocation == ALLOCATION_DETERMINISTIC) {
		p->blocks = (struct nat_blocks){0};
		p->classes = NULL;
		p->n_classes = 0;
	}
}

static void random_policy(void)
{
	const struct scenario *c = now_running;
	struct nat_policy *p = &lab->policy;
	uint16_t first = c->allocation == ALLOCATION_PORT && chance(30) ? 1020 : 2000;

	p->mapping = (enum nat_mapping_mode)either(c->mapping, 3);
	p->filtering = (enum nat_filtering)either(c->filtering, 3);
	p->pooling = (enum nat_pooling)either(c->pooling, 2);
	p->unsolicited = (enum nat_unsolicited)unit_below(3);
	p->port_selection = (enum nat_port_selection)unit_below(2);
	p->port_parity = chance(30);
	p->other_protocols = chance(80) ? OTHER_TRANSLATE : OTHER_DROP;
	p->hairpinning = chance(85);
	p->exhausted_icmp = (enum nat_exhausted_icmp)unit_below(3);
	p->mss_clamp = MSS_CLAMP_OFF;
	p->timeouts.port_reuse = chance(50) ? 120 : 20;
	p->n_addresses = 1;
	lab->addresses[0] =
		(struct nat_address_range){.first = LAB_EXT, .last = LAB_EXT, .shared = c->shared && chance(50)};
	if (c->addresses > 1 && chance(80))
		lab->addresses[p->n_addresses++] =
			(struct nat_address_range){.first = LAB_EXT2,
						   .last = LAB_EXT2 + (c->addresses > 2 ? unit_below(2) : 0),
						   .shared = c->shared && chance(20)};
	if (c->addresses > 1 && chance(5))
		p->n_addresses = 0;
	lab->pool_ports[0] = (struct nat_range){first, (uint16_t)(first + c->ports - 1)};
	lab->shared_ports[0] = (struct nat_range){first, (uint16_t)(first + c->ports / 2)};
	p->n_shared_ports = 1;
	p->n_exempt = chance(20);
	lab->exempt[0] = (struct nat_prefix){.address = LAB_S3, .length = 32};
	lab->inside[0].length = chance(90) ? 24 : 30; /* without LAB_C and LAB_WEB */
	random_forwards();
	lab->broadcast[0] = (struct nat_prefix){.address = BUILD_IP(10, 8, 0, 255), .length = 32};
	p->n_broadcast = 1;
	p->limits.sessions = c->sessions - (chance(30) ? c->sessions / 3 : 0);
	p->limits.reserve = chance(60) ? RESERVE_AUTO : (int)unit_below(RESERVE_MAX + 1);
	p->limits.sessions_per_host = c->quotas && chance(50) ? 6 + unit_below(6) : 0;
	p->limits.ports_per_host = c->quotas && chance(50) ? 2 + unit_below(4) : 0;
	p->limits.new_sessions_per_host = c->quotas && chance(30) ? 1 + unit_below(4) : 0;
	random_pair();
	random_classes();
	random_allocation();
}

static uint32_t steps(void)
{
	const char *s = getenv("NATD_TEST_STEPS");

	return s ? (uint32_t)strtoul(s, NULL, 0) : STEPS;
}

static void begin(const struct scenario *c)
{
	now_running = c;
	scenario = c->name;
	seed_of_run = unit_seed_;
	n_trace = 0;
	lab = lab_new();
	lab->memory.max_sessions = c->sessions;
	lab->memory.max_addresses = 4;
	lab->memory.max_fragments = 64;
	lab->policy.limits.fragments = 64;
	lab->bad_checksums_expected = true;
	lab->purity_every = 50;
	/* Without an address nothing passes until the first reload, which may come late. */
	do {
		random_policy();
	} while (lab->policy.n_addresses == 0);
	lab_start(lab);
	model = calloc(1, sizeof(*model));
	ck_assert_ptr_nonnull(model);
	model_init(model, lab, on_fail);
	traffic.lab = lab;
	traffic.model = model;
}

START_TEST(test_4787_11_the_naive_nat_agrees)
{
	uint32_t n = steps();

	for (int i = 0; i <= _i && getenv("NATD_TEST_SCENARIO") == NULL; i++) /* each has a seed of its own */
		unit_random();
	begin(&scenarios[_i]);
	for (uint32_t i = 0; i < n; i++) {
		one_step();
		model_compare(model);
	}
	printf("%-24s %u steps: %u passed (%u hairpinned, %u ICMP errors, %u to the host), %u dropped, %u opened\n",
	       scenario, n, model->passed, model->hairpins, model->errors, model->to_host, model->dropped,
	       model->opened);
	ck_assert_uint_gt(model->passed, n / 20);
	ck_assert_uint_gt(model->dropped, n / 20);
	ck_assert_uint_gt(model->opened, 0);
	free(model);
	lab_free(lab);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("nat_model");
	TCase *t = tcase_create("nat_model");
	const char *only = getenv("NATD_TEST_SCENARIO");

	if (only)
		tcase_add_loop_test(t, test_4787_11_the_naive_nat_agrees, atoi(only), atoi(only) + 1);
	else
		tcase_add_loop_test(t, test_4787_11_the_naive_nat_agrees, 0, (int)COUNT(scenarios));
	tcase_set_timeout(t, getenv("NATD_TEST_STEPS") ? 0 : 60);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
