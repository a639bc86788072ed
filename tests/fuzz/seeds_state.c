/* SPDX-License-Identifier: ISC */
/* Writes the corpus of fuzz_state: small tables of every kind of record, as state files; see fuzz_state.c for the
 * first byte. */
#define _GNU_SOURCE 1
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/persist/state.h"
#include "former.h"
#include "statefile.h"

enum { SESSIONS = 64, ADDRESSES = 4, NOW_S = 1000, MEND = 3 };

static struct memory m;
static const char *directory;

static struct table *open_table(void)
{
	static const struct table_params params = {
		.max_sessions = SESSIONS, .max_addresses = ADDRESSES, .port_reuse_s = 120, .secret = {1, 2, 3, 4}};
	struct table_attach_report report;
	struct table *t;

	memset(m.nat.table.records, 0, m.nat.table.records_len);
	memset(m.nat.table.scratch, 0, m.nat.table.scratch_len);
	t = table_attach(&m.nat.table, &params, NOW_S, &report);
	if (!t)
		abort();
	for (uint32_t i = 0; i < ADDRESSES; i++)
		table_address_add(t, 0xcb007101 + i);
	return t;
}

static struct session *add(struct table *t, unsigned i, struct session_spec spec)
{
	enum nat_reason why;
	struct session *s;

	spec.int_addr = 0x0a080002 + i % 5;
	spec.int_port = (uint16_t)(1000 + i / 2);
	spec.rem_addr = 0xc6336401 + i % 7;
	spec.rem_port = (uint16_t)(50 + i);
	spec.ext_port = (uint16_t)(40000 + i);
	spec.ext = (uint16_t)(i % ADDRESSES);
	s = table_session_open(t, &spec, NOW_S, &why);
	if (!s)
		abort();
	s->bytes[0] = i;
	return s;
}

/* The file, after the byte that says which parts to repair. */
static void write_seed(const char *name, size_t cut)
{
	char path[4000], raw[sizeof(path) + 8];
	FILE *in, *out;
	size_t n = 0;
	int c;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	snprintf(raw, sizeof(raw), "%s.raw", path);
	state_save(raw, &m);
	in = fopen(raw, "rb");
	out = fopen(path, "wb");
	if (!in || !out)
		abort();
	putc(MEND, out);
	while ((c = getc(in)) != EOF && n++ < cut)
		putc(c, out);
	fclose(in);
	fclose(out);
	remove(raw);
}

/* As this version of natd leaves it, and as earlier ones would have. */
static void write_all(const char *name)
{
	char former[64];

	write_seed(name, SIZE_MAX);
	for (uint32_t layout = 2; layout >= 1; layout--) {
		snprintf(former, sizeof(former), "layout-%" PRIu32 "-%s", layout, name);
		former_make(m.nat.table.records, layout);
		write_seed(former, SIZE_MAX);
	}
}

int main(int argc, char **argv)
{
	struct table *t;

	if (argc != 2)
		return EXIT_FAILURE;
	directory = argv[1];
	statefile_memory(&m, SESSIONS, ADDRESSES);
	open_table();
	write_all("empty");
	t = open_table();
	for (unsigned i = 0; i < 2 * SESSION_STATE_COUNT; i++)
		add(t, i,
		    (struct session_spec){.proto_class = CLASS_TCP,
					  .state = (uint8_t)(1 + i % (SESSION_STATE_COUNT - 1)),
					  .from_outside = i % 3 == 0});
	write_seed("cut", 9000);
	write_all("tcp");
	t = open_table();
	for (unsigned i = 0; i < 16; i++)
		add(t, i,
		    (struct session_spec){.proto_class = (uint8_t)(i % CLASS_COUNT),
					  .state = SESSION_ESTABLISHED,
					  .forward = i % 5 == 0});
	write_all("classes");
	t = open_table();
	for (unsigned i = 0; i < 12; i++) {
		struct session *s =
			add(t, i, (struct session_spec){.proto_class = CLASS_UDP, .state = SESSION_SYN_OUT});

		if (i % 3)
			table_session_close(t, s, SESSION_END_DELETED, NOW_S + i);
	}
	write_all("resting");
	t = open_table();
	for (unsigned i = 0; i < 6; i++) {
		struct session_origin origin = {.forward = "web", .backend = 0x0a080002 + i / 2};

		add(t, i,
		    (struct session_spec){.proto_class = CLASS_TCP,
					  .state = SESSION_SYN_OUT,
					  .origin = table_origin_intern(t, &origin)});
	}
	write_all("origins");
	statefile_memory_fini(&m);
	return EXIT_SUCCESS;
}
