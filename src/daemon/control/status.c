/* SPDX-License-Identifier: ISC */
/* How natd is doing. */
#include "status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/ctlrecord.h"
#include "control.h"
#include "daemon/config/config_text.h"
#include "doctor.h"
#include "daemon/base/log.h"
#include "daemon/base/loop.h"

enum { SAMPLE_MS = 1000 };

static uint64_t sum_drops(const uint64_t *counters)
{
	uint64_t sum = 0;

	for (int r = NAT_PASS + 1; r < COUNT_OUT_PACKETS; r++)
		sum += counters[r];
	return sum;
}

void status_sample(struct control *control)
{
	const uint64_t *c = nat_counters(control->nat);
	const uint64_t now[RATE_COUNT] = {
		[RATE_OUT_PACKETS] = c[COUNT_OUT_PACKETS],
		[RATE_OUT_BYTES] = c[COUNT_OUT_BYTES],
		[RATE_IN_PACKETS] = c[COUNT_IN_PACKETS],
		[RATE_IN_BYTES] = c[COUNT_IN_BYTES],
		[RATE_DROPS] = sum_drops(c),
	};
	struct status *s = &control->status;
	uint64_t now_ms = loop_now_ms(control->loop);
	uint64_t elapsed_ms = now_ms - s->sampled_ms;

	if (elapsed_ms < SAMPLE_MS)
		return;
	for (int i = 0; i < RATE_COUNT; i++)
		s->rate[i] = s->sampled_ms ? (now[i] - s->sample[i]) * 1000 / elapsed_ms : 0;
	memcpy(s->sample, now, sizeof(s->sample));
	s->sampled_ms = now_ms;
}

struct first_warning {
	char text[160];
};

static void keep_first(void *ctx, int severity, const char *what, const char *mend)
{
	struct first_warning *w = ctx;

	(void)mend;
	if (severity != CTL_CHECK_OK && !*w->text)
		snprintf(w->text, sizeof(w->text), "%s", what);
}

void status_line(struct control *c, char *out, size_t size)
{
	const struct table *t = nat_table(c->nat);
	struct first_warning warning = {""};

	doctor_run(c, DOCTOR_QUICK, keep_first, &warning);
	snprintf(out, size, "%" PRIu32 " sessions, %" PRIu32 " mappings, %" PRIu64 " packets/s%s%s",
		 table_session_count(t), table_mapping_count(t),
		 c->status.rate[RATE_OUT_PACKETS] + c->status.rate[RATE_IN_PACKETS], *warning.text ? "; " : "",
		 warning.text);
}

static void say_warning(void *ctx, int severity, const char *what, const char *mend)
{
	char text[512];

	if (severity == CTL_CHECK_OK)
		return;
	snprintf(text, sizeof(text), "%s%s%s", what, mend && *mend ? ": " : "", mend ? mend : "");
	ctl_say_list(ctx, "warnings", text);
}

static void say_policy(const struct nat_policy *p, struct ctl_sink *sink)
{
	char text[TEXT_RANGE_SIZE];

	for (uint32_t i = 0; i < p->n_addresses; i++)
		ctl_say_list(sink, "addresses", text_of_addresses(text, p->addresses[i].first, p->addresses[i].last));
	for (uint32_t i = 0; i < p->n_inside; i++)
		ctl_say_list(sink, "inside", text_of_prefix(text, &p->inside[i]));
}

void status_answer(void *ctx, struct ctl_sink *sink)
{
	static const char *const names[RATE_COUNT] = {
		[RATE_OUT_PACKETS] = "out_packets_rate", [RATE_OUT_BYTES] = "out_bytes_rate",
		[RATE_IN_PACKETS] = "in_packets_rate",	 [RATE_IN_BYTES] = "in_bytes_rate",
		[RATE_DROPS] = "drop_packets_rate",
	};
	struct control *control = ctx;
	const struct natd_config *c = control->setup->config;

	status_sample(control);
	ctl_say_text(sink, "version", PACKAGE_VERSION);
	ctl_say_number(sink, "uptime", (loop_now_ms(control->loop) - control->started_ms) / 1000);
	ctl_say_text(sink, "routing", c->routing == ROUTING_MANAGED ? "managed" : "none");
	ctl_say_text(sink, "interface", c->outside.interface);
	ctl_say_text(sink, "tun", c->tun.name);
	say_policy(&control->setup->policy, sink);
	for (int i = 0; i < RATE_COUNT; i++)
		ctl_say_number(sink, names[i], control->status.rate[i]);
	ctl_say_number(sink, "memory", memory_resident());
	doctor_run(control, DOCTOR_QUICK, say_warning, sink);
}

static void say_table_size(const struct control *c, struct ctl_sink *sink)
{
	struct table_usage u;
	uint64_t bytes;

	table_usage(nat_table(c->nat), &u);
	bytes = u.records_bytes + u.scratch_bytes;
	ctl_say_counter(sink, "table_bytes", bytes, "bytes of memory that the connection table has touched");
	ctl_say_counter(sink, "table_bytes_per_session", u.sessions ? bytes / u.sessions : 0,
			"the same for each session that is in it now");
}

#ifdef NATD_DEBUG
/* Every index against every record: too slow for anything but a debug build. */
static void say_contradictions(const struct control *c, struct ctl_sink *sink)
{
	const char *wrong = nat_check(c->nat);

	if (wrong)
		log_error(SUB_TABLE, "the table contradicts itself: %s", wrong);
	ctl_say_counter(sink, "table_contradictions", wrong != NULL, "1: the table contradicts itself (debug builds)");
}
#else
static void say_contradictions(const struct control *c, struct ctl_sink *sink)
{
	(void)c;
	(void)sink;
}
#endif

void status_answer_stats(void *ctx, struct ctl_sink *sink)
{
	struct control *c = ctx;
	struct io_counters io;

	path_counters(c->path, &io);
	for (int i = 0; i < IO_COUNTER_COUNT; i++)
		ctl_say_counter(sink, io_counter_name(i), io.value[i], io_counter_help(i));
	ctl_say_counter(sink, "control_clients", ctl_server_client_count(c->server), "control clients connected now");
	ctl_say_counter(sink, "memory_resident", memory_resident(), "bytes of memory that natd holds");
	say_table_size(c, sink);
	say_contradictions(c, sink);
}
