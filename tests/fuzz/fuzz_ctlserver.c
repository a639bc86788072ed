/* SPDX-License-Identifier: ISC */
/*
 * Fuzz target: any bytes of a client of the control socket, over the whole core with some sessions.
 *
 * Input: four bytes of choices (rights; bytes fed at once; records a slice; bytes taken at once), then
 * what the client sends. Whatever it is: the client's invariants hold after each step, the output is whole
 * frames, who may only read changes nothing, and after the end of input the client comes to its end.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ctlrecord.h"
#include "core/packet/checksum.h"
#include "core/nat/nat.h"
#include "daemon/base/finding.h"
#include "daemon/control/capture.h"
#include "daemon/control/ctlclient.h"
#include "daemon/control/stun.h"
#include "daemon/control/survey.h"
#include "daemon/control/zeroed.h"
#include "daemon/path/inbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                              \
	do {                                                                 \
		if (!(x)) {                                                  \
			fprintf(stderr, "fuzz_ctlserver: not so: %s\n", #x); \
			abort();                                             \
		}                                                            \
	} while (0)

enum { CHOICES = 4, SESSIONS = 24, NOW_MS = 1000000, STEPS_MAX = 200000 };

/* ---- a small NAT, made once ---- */

static const struct nat_prefix inside = {.address = 0x0a080000, .length = 24};
static const struct nat_address_range outside[] = {{.first = 0xcb007101, .last = 0xcb007101, .shared = true},
						   {.first = 0xcb007108, .last = 0xcb00710f}};
static const struct nat_range ports = {1024, 65535};
static const struct nat_forward forward = {
	.name = "web", .protocols = 3, .ports = {80, 89}, .to = 0x0a08000a, .to_port = 8080};

static void *zeroed(size_t len)
{
	void *p = aligned_alloc(64, (len + 63) / 64 * 64);

	MUST(p);
	return memset(p, 0, (len + 63) / 64 * 64);
}

static struct nat *make_nat(void)
{
	static const uint64_t seed[4] = {1, 2, 3, 4};
	const struct nat_policy policy = {
		.hairpinning = true,
		.inside = &inside,
		.n_inside = 1,
		.addresses = outside,
		.n_addresses = 2,
		.shared_ports = &ports,
		.n_shared_ports = 1,
		.pool_ports = &ports,
		.n_pool_ports = 1,
		.forwards = &forward,
		.n_forwards = 1,
		.timeouts = {300, 60, 300, 240, 7440, 240, 6, 5, 120},
		.limits = {.sessions = 1024, .fragments = 16},
	};
	struct nat_memory m = {.max_sessions = 1024, .max_addresses = 16, .max_fragments = 16};
	struct table_attach_report report;
	struct nat *n;

	nat_memory_need(&m);
	m.table.records = zeroed(m.table.records_len);
	m.table.scratch = zeroed(m.table.scratch_len);
	m.fragments = zeroed(m.fragments_len);
	n = nat_create(&m, &policy, seed, NOW_MS, &report);
	MUST(n);
	return n;
}

static void ignore_packet(void *ctx, const struct nat_packet *p, bool owned)
{
	(void)ctx, (void)p, (void)owned;
}

/* 10.8.0.x:port to 192.0.2.53:53, UDP without checksum. */
static void open_session(struct nat *n, unsigned i)
{
	uint8_t p[64] = {0x45, 0, 0, 28, 0,    0, 0, 0,	 64, 17, 0, 0, 10, 8, 0, (uint8_t)(2 + i % 3),
			 192,  0, 2, 53, 0x10, 0, 0, 53, 0,  8};
	struct nat_packet packet = {.data = p, .len = 28, .source = NAT_FROM_TUN};
	uint16_t check;

	p[21] = (uint8_t)i;
	check = checksum_finish(checksum_add(0, p, 20));
	p[10] = (uint8_t)(check >> 8);
	p[11] = (uint8_t)check;
	nat_batch(n, NOW_MS, &packet, 1, ignore_packet, NULL);
}

static uint32_t fill(struct nat *n)
{
	for (unsigned i = table_session_count(nat_table(n)); i < SESSIONS; i++)
		open_session(n, i);
	for (unsigned i = 0; i < SESSIONS; i++) /* those that were deleted; the others are known */
		open_session(n, i);
	return table_session_count(nat_table(n));
}

/* ---- the daemon behind it ---- */

static void say_something(void *ctx, struct ctl_sink *sink)
{
	(void)ctx;
	ctl_say_text(sink, "version", "0");
	ctl_say_finding(sink, &(struct finding){"id", FINDING_WARNING, "what", "how", 50});
}

static bool reload(void *ctx, struct ctl_sink *sink, uint32_t confirm_s, struct nat_reconfigure_report *report)
{
	(void)confirm_s;
	(void)ctx, (void)report;
	for (int i = 0; i < 2000; i++)
		ctl_say_line(sink, "natd.conf:1: a line among many");
	return false;
}

static struct inbox inbox;

/* The server answers by itself, and something else comes with it. */
static void send_packet(void *ctx, uint8_t *packet, uint32_t len)
{
	struct inbox_box *box = inbox_find(&inbox, (uint16_t)(packet[20] << 8 | packet[21]));

	(void)ctx;
	MUST(len >= 28 + 20 && box);
	box->n = 1;
	box->datagrams[0] = (struct inbox_datagram){.from = 0xc0000235, .from_port = 3478, .len = 20};
}

/* ---- one input ---- */

static size_t reply_len;
static uint8_t reply[CTL_REPLY_MAX];

/* Takes output, and splits it into whole frames. */
static void drain(struct ctl_client *c, size_t most)
{
	size_t len;
	const uint8_t *out = ctl_client_output(c, &len);
	struct ctl_frame f;
	size_t at = 0;
	int used;

	MUST(len <= CTL_OUT_SIZE);
	len = len < most ? len : most;
	len = len < sizeof(reply) - reply_len ? len : sizeof(reply) - reply_len;
	memcpy(reply + reply_len, out, len);
	reply_len += len;
	ctl_client_sent(c, len, NOW_MS);
	while ((used = ctl_frame_next(reply + at, reply_len - at, CTL_PACKET_FRAME_MAX, &f)) > 0) {
		MUST(f.type >= CTL_R_HELLO && f.type <= CTL_R_STUN);
		at += (size_t)used;
	}
	MUST(used == 0);
	reply_len -= at;
	memmove(reply, reply + at, reply_len);
}

static struct nat *nat; /* lives as long as the fuzzer */

static void step(struct ctl_client *c, uint32_t visits, size_t taken)
{
	static uint64_t now_ms = NOW_MS;

	now_ms += 50;		   /* rates need time */
	if (ctl_client_is_live(c)) /* packets of sessions that are there */
		open_session(nat, (unsigned)now_ms / 50 % SESSIONS);
	ctl_client_wake(c);
	ctl_client_run(c, visits, now_ms);
	MUST(!ctl_client_check(c));
	drain(c, taken);
	MUST(!ctl_client_check(c));
}

static void play(struct ctl_client *c, const uint8_t *choices, const uint8_t *data, size_t size)
{
	size_t piece = 1 + choices[1];
	uint32_t visits = 1 + choices[2] % 64;
	size_t taken = 1 + (size_t)choices[3] * 16;
	int steps = 0;

	while (size > 0 && !ctl_client_is_done(c)) {
		size_t room;
		uint8_t *space = ctl_client_space(c, &room);
		size_t n = piece < size ? piece : size;

		n = n < room ? n : room;
		if (n > 0)
			memcpy(space, data, n);
		ctl_client_fed(c, n, NOW_MS);
		data += n;
		size -= n;
		step(c, visits, taken);
		MUST(++steps < STEPS_MAX);
	}
	ctl_client_eof(c);
	while (!ctl_client_is_done(c)) {
		step(c, 64, SIZE_MAX);
		MUST(++steps < STEPS_MAX);
	}
	MUST(reply_len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ctl_backend backend = {.status = say_something,
						   .stats = say_something,
						   .reload = reload,
						   .doctor = say_something,
						   .send = send_packet,
						   .inbox = &inbox};
	struct captures captures = {0};
	struct stun stun = {0};
	struct survey survey = {0};
	struct zeroed zeroed = {0};
	struct ctl_env env = {.backend = &backend,
			      .version = "fuzz",
			      .survey = &survey,
			      .captures = &captures,
			      .stun = &stun,
			      .zeroed = &zeroed};
	struct ctl_client *c;
	uint32_t sessions;

	if (size < CHOICES || size > 65536)
		return 0;
	if (!nat)
		nat = make_nat();
	sessions = fill(nat);
	env.nat = nat;
	c = ctl_client_create(&env, data[0] & 1, NOW_MS);
	MUST(c);
	reply_len = 0;
	play(c, data, data + CHOICES, size - CHOICES);
	ctl_client_destroy(c);
	MUST(captures.n == 0);
	survey_free(&survey, nat);
	zeroed_fini(&zeroed);
	stun_tick(&env, UINT64_MAX);
	MUST((data[0] & 1) || table_session_count(nat_table(nat)) == sessions);
	return 0;
}
