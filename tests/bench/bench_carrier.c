/* SPDX-License-Identifier: ISC */
/*
 * A provider's table: many inside hosts on few outside addresses, by kind of allocation.
 *
 *	bench_carrier [KIND [SESSIONS [HOSTS ADDRESSES SIZE PER_HOST REMOTES]]]
 *
 * KIND is port, block or deterministic. Opens the sessions through the whole core, in batches, each host the same
 * number; looks up the holders of endpoints; restarts over the same records; lists all; reloads without one of the
 * addresses, and with filter rules, in slices as the daemon does. Prints its results, the CPU time of the slow steps,
 * and that of the longest slice. To count instructions: `perf stat -e instructions:u`, or valgrind --tool=callgrind,
 * once with the sessions and once with none.
 */
#define _GNU_SOURCE 1 /* memfd_create() */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench_core.h"
#include "build.h"
#include "core/nat/view.h"
#include "core/policy/filter.h"

enum { BATCH = 64, PACKET = 64, QUESTIONS = 100000 };

struct bench {
	struct nat *nat;
	struct nat_memory memory;
	struct nat_policy policy;
	struct bench_site site;
	uint64_t now_ms;
	uint64_t emitted;
	uint32_t hosts, addresses, remotes;
	int records_fd;
	uint8_t bytes[BATCH][PACKET];
	struct nat_packet packets[BATCH];
};

/* As natd has it: in large pages once the table is large. NATD_BENCH_PAGES=small: not. */
static void *make_scratch(const struct bench *b)
{
	const char *pages = getenv("NATD_BENCH_PAGES");
	void *p = bench_map(b->memory.table.scratch_len, -1);

	if (b->memory.max_sessions >= 1 << 20 && (pages == NULL || strcmp(pages, "small") != 0))
		madvise(p, b->memory.table.scratch_len, MADV_HUGEPAGE);
	return p;
}

/* The records, of a memfd that outlives this mapping. */
static int make_records(size_t len)
{
	int fd = memfd_create("bench_carrier", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)len) < 0) {
		perror("bench_carrier");
		exit(1);
	}
	return fd;
}

static void count(void *ctx, const struct nat_packet *p, bool owned)
{
	struct bench *b = ctx;

	(void)owned;
	b->emitted += p->to == NAT_TO_OUTSIDE;
}

static void attach(struct bench *b)
{
	struct table_attach_report report;

	b->nat = bench_create(&b->memory, &b->policy, b->now_ms, &report);
	if (report.result == TABLE_RESTORED)
		printf("restored %" PRIu32 ", dropped %" PRIu32 "\n", report.restored, report.dropped);
}

static void start(struct bench *b, uint32_t sessions)
{
	const struct nat_policy chosen = b->policy;

	b->site.inside = (struct nat_prefix){.address = BUILD_IP(100, 64, 0, 0), .length = 18};
	b->site.outside = (struct nat_address_range){.first = BUILD_IP(203, 0, 113, 0),
						     .last = BUILD_IP(203, 0, 113, 0) + b->addresses - 1};
	b->policy = bench_policy(&b->site, sessions + 4096, 64);
	b->policy.filtering = FILTERING_ADDRESS_DEPENDENT;
	b->policy.allocation = chosen.allocation;
	b->policy.blocks = chosen.blocks;
	b->memory.max_sessions = sessions + 4096;
	b->memory.max_addresses = b->addresses;
	b->memory.max_fragments = 64;
	nat_memory_need(&b->memory);
	b->records_fd = make_records(b->memory.table.records_len);
	b->memory.table.records = bench_map(b->memory.table.records_len, b->records_fd);
	b->memory.table.scratch = make_scratch(b);
	b->memory.fragments = bench_map(b->memory.fragments_len, -1);
	b->now_ms = 1000000;
	attach(b);
}

/* Session i: host i modulo hosts; each of its ports has some remote hosts. */
static void open_all(struct bench *b, uint32_t sessions)
{
	for (uint32_t i = 0; i < sessions; i += BATCH) {
		uint32_t n = sessions - i < BATCH ? sessions - i : BATCH;

		for (uint32_t k = 0; k < n; k++) {
			uint32_t host = (i + k) % b->hosts, nth = (i + k) / b->hosts;
			const struct build packet = {.proto = 17,
						     .src = b->site.inside.address + 1 + host,
						     .dst = BUILD_IP(198, 51, 100, 1) + nth % 32,
						     .sport = (uint16_t)(2000 + nth / b->remotes),
						     .dport = 443};

			b->packets[k] = (struct nat_packet){.data = b->bytes[k],
							    .len = (uint32_t)build_packet(b->bytes[k], &packet)};
		}
		nat_batch(b->nat, b->now_ms, b->packets, n, count, b);
	}
}

static void ask_who(const struct bench *b)
{
	const struct table *t = nat_table(b->nat);
	double began = cpu_seconds();
	uint32_t found = 0;

	for (uint32_t i = 0; i < QUESTIONS; i++) {
		int32_t slot = table_address_slot(t, b->site.outside.first + i % b->addresses);
		uint16_t port = (uint16_t)(1024 + i * 40503u % 64512);
		struct mapping m;
		struct block_view v;

		found += slot != TABLE_NONE && (table_mapping_external(t, CLASS_UDP, (uint16_t)slot, port, &m) ||
						table_block_at(t, (uint16_t)slot, port, &v));
	}
	printf("who: %.2f us of CPU time a question, %.1f %% answered\n", (cpu_seconds() - began) * 1e6 / QUESTIONS,
	       100.0 * found / QUESTIONS);
}

static void restart(struct bench *b)
{
	double began = cpu_seconds();
	struct nat_reconfigure_report report;

	nat_destroy(b->nat);
	munmap(b->memory.table.scratch, b->memory.table.scratch_len);
	munmap(b->memory.table.records, b->memory.table.records_len);
	b->memory.table.records = bench_map(b->memory.table.records_len, b->records_fd);
	b->memory.table.scratch = make_scratch(b);
	attach(b);
	printf("restore: %.2f s of CPU time\n", cpu_seconds() - began);
	nat_reconfigure(b->nat, &b->policy, b->now_ms, &report);
	printf("restart: %.2f s of CPU time, %" PRIu32 " sessions ended\n", cpu_seconds() - began, report.ended);
}

/* Judges all sessions, a slice as the daemon's at a time: the longest one, in seconds. */
static double judge_in_slices(struct bench *b, struct nat_reconfigure_report *report)
{
	enum { VISITS = 8192 };
	double longest = 0, began;
	bool more;

	do {
		began = cpu_seconds();
		more = nat_judge(b->nat, b->now_ms, VISITS, report);
		began = cpu_seconds() - began;
		longest = began > longest ? began : longest;
	} while (more);
	return longest;
}

/* One address less: its hosts lose their sessions, the others none. */
static void reload_smaller(struct bench *b)
{
	struct nat_reconfigure_report report;
	uint32_t lost = 0, cursor = 0;
	double began, switched, longest;
	int32_t last = table_address_slot(nat_table(b->nat), b->site.outside.last);
	const struct session *s;

	while ((s = table_next(nat_table(b->nat), &cursor, UINT32_MAX)) != NULL)
		lost += s->ext == last;
	b->site.outside.last--;
	began = cpu_seconds();
	nat_compiled_free(nat_adopt(b->nat, nat_compile(&b->policy), b->now_ms));
	switched = cpu_seconds() - began;
	longest = judge_in_slices(b, &report);
	printf("reload without one address: %.3f s of CPU time, %" PRIu32
	       " sessions ended, of which that address had %" PRIu32 ", %" PRIu32 " kept\n",
	       cpu_seconds() - began, report.ended, lost, report.kept);
	printf("packets wait: %.2f ms for the change of policy, %.2f ms for the longest slice\n", switched * 1e3,
	       longest * 1e3);
}

/* 10,000 filter rules that forbid the sessions towards one of the 32 remote hosts, and a few others' ports. */
static void reload_filtered(struct bench *b)
{
	enum { RULES = 10000 };
	static struct filter_rule rules[RULES];
	static struct filter_span remotes[RULES];
	static struct filter_list lists[RULES];
	const struct filter_config filter = {lists, RULES, rules, RULES};
	struct nat_reconfigure_report report;
	double began, longest;

	for (uint32_t i = 0; i < RULES; i++) {
		uint32_t address = i == RULES / 2 ? BUILD_IP(198, 51, 100, 5) : BUILD_IP(192, 0, 2, 0) + i * 7919;

		remotes[i] = (struct filter_span){address, address};
		lists[i] = (struct filter_list){&remotes[i], 1};
		rules[i] = (struct filter_rule){.action = FILTER_DROP,
						.directions = FILTER_OUT,
						.from = FILTER_ANY,
						.to = (uint16_t)i,
						.via = FILTER_ANY,
						.forward = FILTER_NONE};
	}
	b->policy.filter = &filter;
	nat_compiled_free(nat_adopt(b->nat, nat_compile(&b->policy), b->now_ms));
	b->policy.filter = NULL;
	began = cpu_seconds();
	longest = judge_in_slices(b, &report);
	printf("reload with 10,000 filter rules: %.3f s of CPU time, %" PRIu32 " sessions ended, %" PRIu32
	       " kept, %.2f ms for the longest slice\n",
	       cpu_seconds() - began, report.ended, report.kept, longest * 1e3);
}

static void list(const struct bench *b)
{
	double began = cpu_seconds();
	struct session_view v;
	uint32_t cursor = 0, n = 0;

	do {
		n += nat_view_next(b->nat, &cursor, 1000, b->now_ms, &v);
	} while (cursor != 0);
	printf("listing: %" PRIu32 " sessions in %.3f s of CPU time, formatting left out\n", n, cpu_seconds() - began);
}

/* Hosts are spread over the addresses by a hash: how unevenly. */
static void report_spread(const struct bench *b)
{
	const struct table *t = nat_table(b->nat);
	uint32_t *blocks = bench_map(65536 * sizeof(*blocks), -1), cursor = 0, least = UINT32_MAX, most = 0;
	struct block_view v;

	do {
		if (table_block_next(t, &cursor, 1000, &v))
			blocks[v.ext]++;
	} while (cursor != 0);
	for (uint32_t i = 0; i < b->addresses; i++) {
		least = blocks[i] < least ? blocks[i] : least;
		most = blocks[i] > most ? blocks[i] : most;
	}
	printf("blocks in use on an address: %" PRIu32 " to %" PRIu32 "\n", least, most);
	munmap(blocks, 65536 * sizeof(*blocks));
}

static void report(const struct bench *b)
{
	const uint64_t *c = nat_counters(b->nat);
	struct table_usage u;

	table_usage(nat_table(b->nat), &u);
	printf("sessions %" PRIu32 ", hosts %" PRIu32 ", blocks given %" PRIu64 ", refused %" PRIu64 "\n", u.sessions,
	       u.hosts, c[COUNT_BLOCK_NEW],
	       c[DROP_HOST_BLOCKS] + c[DROP_NO_PORT] + c[DROP_HOST_SHARE] + c[DROP_UNANSWERED_BUDGET]);
	printf("memory: %.1f bytes a session\n",
	       (double)(u.records_bytes + u.scratch_bytes) / (u.sessions ? u.sessions : 1));
}

static uint32_t argument(int argc, char **argv, int i, uint32_t standard)
{
	return argc > i ? (uint32_t)strtoul(argv[i], NULL, 10) : standard;
}

static void run(enum nat_allocation kind, int argc, char **argv)
{
	static const char *const kinds[] = {"port", "block", "deterministic"};
	struct bench *b = bench_map(sizeof(*b), -1);
	uint32_t sessions = argument(argc, argv, 2, 4000000);

	b->policy.allocation = kind;
	b->hosts = argument(argc, argv, 3, 10000);
	b->addresses = argument(argc, argv, 4, 64);
	b->policy.blocks.size = argument(argc, argv, 5, 128);
	b->policy.blocks.per_host = argument(argc, argv, 6, 4);
	b->remotes = argument(argc, argv, 7, 2);
	start(b, sessions);
	open_all(b, sessions);
	printf("allocation %s\n", kinds[kind]);
	report(b);
	if (kind != ALLOCATION_PORT)
		report_spread(b);
	ask_who(b);
	if (sessions > 0) {
		restart(b);
		list(b);
		reload_smaller(b);
		reload_filtered(b);
	}
	nat_destroy(b->nat);
	munmap(b->memory.table.records, b->memory.table.records_len);
	close(b->records_fd);
	munmap(b->memory.table.scratch, b->memory.table.scratch_len);
	munmap(b->memory.fragments, b->memory.fragments_len);
	munmap(b, sizeof(*b));
}

/* Without KIND: each in turn. */
int main(int argc, char **argv)
{
	bool all = argc < 2;

	if (all || strcmp(argv[1], "port") == 0)
		run(ALLOCATION_PORT, argc, argv);
	if (all || strcmp(argv[1], "block") == 0)
		run(ALLOCATION_BLOCK, argc, argv);
	if (all || strcmp(argv[1], "deterministic") == 0)
		run(ALLOCATION_DETERMINISTIC, argc, argv);
	return 0;
}
