/* SPDX-License-Identifier: ISC */
/*
 * The connection table at start.
 *
 * Memory that the service manager kept is newer than any file, so a file is not looked at then. Neither is
 * believed: wrong size, wrong header, a layout that is neither this version's nor the one before mean an empty table;
 * the core converts the latter, and drops single records that cannot be.
 */
#define _GNU_SOURCE 1 /* getrandom() */
#include "restore.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "daemon/base/loop.h"
#include "state.h"

/* The layout of a former natd's records; 0: they are no table. */
static uint32_t layout_of(int fd)
{
	uint64_t head[64];
	ssize_t n = pread(fd, head, sizeof(head), 0);

	return n > 0 ? table_layout_of(head, (size_t)n) : 0;
}

static void refuse(uint32_t layout, const char *otherwise)
{
	if (layout != 0 && layout != TABLE_LAYOUT && layout != TABLE_LAYOUT_FORMER)
		log_warning(SUB_TABLE,
			    "the table of the former natd has layout %u, this one knows %d and %d: starting with an "
			    "empty table",
			    layout, TABLE_LAYOUT_FORMER, TABLE_LAYOUT);
	else
		log_warning(SUB_TABLE, "the table of the former natd %s: starting with an empty table", otherwise);
}

/* 0 or a negative errno. */
static int open_memory(struct natd *n, const struct memory_want *want)
{
	int fd = handover_take(n, HANDOVER_TABLE);
	uint32_t layout = fd >= 0 ? layout_of(fd) : 0;

	if (fd >= 0) {
		if (memory_create(&n->memory, want, fd) == 0)
			return 0;
		refuse(layout, "is of another size");
		handover_refuse(n, HANDOVER_TABLE);
	}
	return memory_create(&n->memory, want, -1);
}

static void read_file(struct natd *n)
{
	const char *path = n->options.state_path;

	if (path && n->handover.is_stored[HANDOVER_TABLE])
		state_forget(path);
	else if (path)
		state_load(path, &n->memory, n->privs.has_user ? n->privs.uid : geteuid());
}

/* NULL: memory short. */
static struct nat *make_nat(struct natd *n, struct table_attach_report *report)
{
	const struct nat_policy *policy = &n->setup->policy;
	struct nat *nat;
	uint64_t seed[4];

	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return NULL;
	nat = nat_create(&n->memory.nat, policy, seed, loop_clock_ms(), report);
	if (!nat && report->result == TABLE_FOREIGN && memory_blank(&n->memory) == 0) {
		refuse(report->version, "is damaged");
		nat = nat_create(&n->memory.nat, policy, seed, loop_clock_ms(), report);
	}
	explicit_bzero(seed, sizeof(seed));
	return nat;
}

/* Every index against every record takes its time: only for those who want to know everything. */
static void verify(const struct natd *n)
{
	const char *why;

	if (!log_wants(LEVEL_DEBUG))
		return;
	why = nat_check(n->nat);
	if (why)
		log_error(SUB_TABLE, "the restored table contradicts itself: %s", why);
	else
		log_debug(SUB_TABLE, "the restored table agrees with itself");
}

/* The configuration may have changed while natd was away: that is like a reload. */
static void take_up(struct natd *n, const struct table_attach_report *found, uint64_t since_ms)
{
	struct nat_reconfigure_report report = {0};

	if (found->result != TABLE_RESTORED)
		return;
	if (found->version != TABLE_LAYOUT)
		log_notice(SUB_TABLE, "the table of the former natd had layout %u: converted", found->version);
	if (!nat_reconfigure(n->nat, &n->setup->policy, loop_clock_ms(), &report))
		log_error(SUB_TABLE, "out of memory: sessions that the configuration forbids may go on");
	log_notice(SUB_TABLE,
		   "restored %u sessions, dropped %u damaged ones, ended %u that the configuration forbids, %u ports "
		   "rest (in %u ms)",
		   found->restored, found->dropped, report.ended, found->resting,
		   (unsigned)(loop_clock_ms() - since_ms));
	verify(n);
}

enum natd_exit restore_table(struct natd *n)
{
	const struct nat_limits *limits = &n->setup->policy.limits;
	const struct memory_want want = {
		.sessions = limits->sessions, .fragments = limits->fragments, .addresses = TABLE_MAX_ADDRESSES};
	struct table_attach_report report;
	uint64_t since_ms = loop_clock_ms();
	int r = open_memory(n, &want);

	if (r < 0) {
		log_write(
			LEVEL_ERROR, SUB_TABLE, -r,
			"cannot reserve address space for %u sessions (lower limits.sessions, or lift the limit on it)",
			want.sessions);
		return NATD_EXIT_SYSTEM;
	}
	read_file(n);
	n->nat = make_nat(n, &report);
	if (!n->nat) {
		log_error(SUB_TABLE, "cannot make the connection table: out of memory");
		return NATD_EXIT_SYSTEM;
	}
	take_up(n, &report, since_ms);
	return NATD_EXIT_OK;
}
