/* SPDX-License-Identifier: ISC */
/*
 * The connection table during start.
 *
 * Memory that the service manager kept is newer than any file, so the file is not read then. Neither is trusted: with a
 * wrong size, a wrong header or an unknown layout natd starts with an empty table. The core converts the previous
 * layout, and drops single damaged records.
 */
#define _GNU_SOURCE 1 /* getrandom() */
#include "restore.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "state.h"

/* The layout of the previous natd's records; 0: they are not a table. */
static uint32_t layout_of(int fd)
{
	uint64_t head[64];
	ssize_t n = pread(fd, head, sizeof(head), 0);

	return n > 0 ? table_layout_of(head, (size_t)n) : 0;
}

static void refuse(uint32_t layout, const char *otherwise)
{
	if (layout != 0 && (layout < TABLE_LAYOUT_OLDEST || layout > TABLE_LAYOUT))
		log_warning(SUB_TABLE,
			    "the table of the previous natd has layout %u, this one knows %d to %d: starting with an "
			    "empty table",
			    layout, TABLE_LAYOUT_OLDEST, TABLE_LAYOUT);
	else
		log_warning(SUB_TABLE, "the table of the previous natd %s: starting with an empty table", otherwise);
}

/* Returns 0 or a negative errno. */
static int open_memory(struct persist *p, const struct memory_want *want)
{
	int fd = handover_take(&p->handover, HANDOVER_TABLE);
	uint32_t layout = fd >= 0 ? layout_of(fd) : 0;

	if (fd >= 0) {
		if (memory_create(&p->memory, want, fd) == 0)
			return 0;
		refuse(layout, "is of another size");
		handover_refuse(&p->handover, HANDOVER_TABLE);
	}
	return memory_create(&p->memory, want, -1);
}

static void read_file(struct persist *p, uid_t owner)
{
	if (p->state_path && p->handover.is_stored[HANDOVER_TABLE])
		state_forget(p->state_path);
	else if (p->state_path)
		state_load(p->state_path, &p->memory, owner);
}

/* NULL: out of memory. */
static struct nat *make_nat(struct memory *m, const struct nat_policy *policy, struct table_attach_report *report)
{
	struct nat *nat;
	uint64_t seed[4];

	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return NULL;
	nat = nat_create(&m->nat, policy, seed, loop_clock_ms(), report);
	if (!nat && report->result == TABLE_FOREIGN && memory_blank(m) == 0) {
		refuse(report->version, "is damaged");
		nat = nat_create(&m->nat, policy, seed, loop_clock_ms(), report);
	}
	explicit_bzero(seed, sizeof(seed));
	return nat;
}

/* Compares every index with every record, which is slow: only with log.level = "debug". */
static void verify(const struct nat *nat)
{
	const char *why;

	if (!log_wants(LEVEL_DEBUG))
		return;
	why = nat_check(nat);
	if (why)
		log_error(SUB_TABLE,
			  "the restored table contradicts itself (%s): this is a fault of natd, please report it", why);
	else
		log_debug(SUB_TABLE, "the restored table agrees with itself");
}

/* The configuration may have changed while natd was not running: handled like a reload. */
static void take_up(struct nat *nat, const struct nat_policy *policy, const struct table_attach_report *found,
		    uint64_t since_ms)
{
	struct nat_reconfigure_report report = {0};

	if (found->result != TABLE_RESTORED)
		return;
	if (found->version != TABLE_LAYOUT)
		log_notice(SUB_TABLE, "the table of the previous natd had layout %u: converted", found->version);
	if (!nat_reconfigure(nat, policy, loop_clock_ms(), &report))
		log_error(SUB_TABLE, "out of memory: sessions that the configuration forbids may continue");
	log_notice(SUB_TABLE,
		   "restored %u sessions, dropped %u damaged ones, ended %u that the configuration forbids, %u ports "
		   "in quarantine (in %u ms)",
		   found->restored, found->dropped, report.ended, found->resting,
		   (unsigned)(loop_clock_ms() - since_ms));
	verify(nat);
}

struct nat *restore_table(struct persist *p, const struct nat_policy *policy, uid_t owner)
{
	const struct memory_want want = {.sessions = policy->limits.sessions,
					 .fragments = policy->limits.fragments,
					 .addresses = TABLE_MAX_ADDRESSES,
					 .events = policy->limits.events};
	struct table_attach_report report;
	uint64_t since_ms = loop_clock_ms();
	int r = open_memory(p, &want);
	struct nat *nat;

	if (r < 0) {
		log_write(
			LEVEL_ERROR, SUB_TABLE, -r,
			"cannot reserve address space for %u sessions (lower limits.sessions, or lift the limit on it)",
			want.sessions);
		return NULL;
	}
	handover_use(&p->handover, HANDOVER_TABLE, p->memory.records_fd);
	read_file(p, owner);
	memory_expect(&p->memory, table_sessions_hint(p->memory.nat.table.records, p->memory.nat.table.records_len));
	nat = make_nat(&p->memory, policy, &report);
	if (!nat)
		log_error(SUB_TABLE, "cannot create the connection table: out of memory");
	else
		take_up(nat, policy, &report, since_ms);
	return nat;
}
