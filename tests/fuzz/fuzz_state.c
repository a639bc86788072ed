/* SPDX-License-Identifier: ISC */
/*
 * Any bytes as a state file: it is refused, or the table is consistent, and stays so while it is swept empty. The
 * first byte says which parts are repaired beforehand, so that the
 * fuzzer gets past the sum and to the records: MEND_SUM, MEND_TIME. Records of the former layout get past their checks
 * too, since those are worked out when they are converted.
 */
#define _GNU_SOURCE 1
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/base/loop.h"
#include "daemon/persist/state.h"
#include "statefile.h"

enum { MEND_SUM = 1, MEND_TIME = 2, SESSIONS = 64, ADDRESSES = 4, ROUNDS = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLDS(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static const struct table_params params = {
	.max_sessions = SESSIONS,
	.max_addresses = ADDRESSES,
	.port_reuse_s = 120,
	.timeouts =
		{.udp = 300, .icmp = 60, .other = 300, .tcp_opening = 240, .tcp_established = 7440, .tcp_closing = 240},
	.secret = {1, 2, 3, 4},
};

static void mend(uint8_t *file, size_t len, uint8_t what, const struct memory *m)
{
	struct state_header h;
	struct timespec ts;

	if (len < sizeof(h))
		return;
	memcpy(&h, file, sizeof(h));
	if (what & MEND_TIME) {
		clock_gettime(CLOCK_REALTIME, &ts);
		h.saved_wall_ms = (uint64_t)ts.tv_sec * 1000;
		memset(h.boot_id, '-', sizeof(h.boot_id));
	}
	h.records_len = m->nat.table.records_len;
	memcpy(file, &h, sizeof(h));
	h.sum = statefile_sum(file, len);
	memcpy(file, &h, sizeof(h));
}

/* Uses the table as natd would, until nothing is left of it. */
static void live(const struct memory *m)
{
	uint32_t now_s = (uint32_t)(loop_clock_ms() / 1000), cursor = 0;
	struct table_attach_report report;
	struct table *t;
	struct session *s;

	memset(m->nat.table.scratch, 0, m->nat.table.scratch_len);
	t = table_attach(&m->nat.table, &params, now_s, &report);
	if (!t)
		return;
	HOLDS(table_check(t) == NULL);
	while ((s = table_next(t, &cursor, SESSIONS)) != NULL) {
		HOLDS(table_session_by_id(t, table_session_id(t, s)) == s);
		if (s->bytes[0] & 1)
			table_session_close(t, s, SESSION_END_DELETED, now_s);
	}
	HOLDS(table_check(t) == NULL);
	for (int i = 0; i < ROUNDS && table_session_count(t) > 0; i++)
		table_sweep(t, now_s += 1000, SESSIONS);
	HOLDS(table_check(t) == NULL && table_session_count(t) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct memory m;
	uint8_t *file;
	int fd;

	if (size < 1)
		return 0;
	if (!m.nat.table.records)
		statefile_memory(&m, SESSIONS, ADDRESSES);
	file = malloc(size);
	HOLDS(file != NULL);
	memcpy(file, data + 1, size - 1);
	if (data[0] & MEND_SUM)
		mend(file, size - 1, data[0], &m);
	fd = memfd_create("state", MFD_CLOEXEC);
	HOLDS(fd >= 0 && write(fd, file, size - 1) == (ssize_t)(size - 1) && lseek(fd, 0, SEEK_SET) == 0);
	memset(m.nat.table.records, 0, m.nat.table.records_len);
	m.nat.table.clock_shift_s = 0;
	if (state_read(fd, &m) == NULL)
		live(&m);
	close(fd);
	free(file);
	return 0;
}
