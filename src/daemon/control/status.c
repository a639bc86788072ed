/* SPDX-License-Identifier: ISC */
/* natd's state for status and stats, see status.h. */
#include "status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "control.h"
#include "daemon/config/config_text.h"
#include "doctor.h"
#include "core/nat/mirror.h"
#include "daemon/base/loop.h"
#include "metrics.h"

enum { SAMPLE_MS = 1000, RECENT_MS = 60000 };

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

void status_note_drops(struct control *control)
{
	const uint64_t *counters = nat_counters(control->nat);
	struct status *s = &control->status;

	for (int r = NAT_PASS + 1; r < COUNT_OUT_PACKETS; r++) {
		if (counters[r] > s->seen[r])
			s->grew_ms[r] = loop_now_ms(control->loop);
		s->seen[r] = counters[r];
	}
}

bool status_has_recent(const struct control *c, enum nat_reason reason)
{
	uint64_t at = c->status.grew_ms[reason];

	return at != 0 && loop_now_ms(c->loop) - at < RECENT_MS;
}

struct queue_look {
	const struct control *c;
	bool is_read;
	struct netlink_link link;
};

static void read_queue(void *ctx)
{
	struct queue_look *l = ctx;

	l->is_read = netlink_link_get(l->c->netlink, l->c->setup->config->tun.name, &l->link) == 0;
}

void status_look_at_queue(struct control *c)
{
	struct status *s = &c->status;
	struct queue_look l = {.c = c};

	if (!path_has_tun(c->path))
		return;
	path_aside(c->path, read_queue, &l);
	if (!l.is_read)
		return;
	if (l.link.tx_dropped > s->tun_dropped)
		s->tun_dropped_ms = loop_now_ms(c->loop);
	s->tun_dropped = l.link.tx_dropped; /* a lower value than before: the device is a new one */
}

bool status_queue_lost_lately(const struct control *c)
{
	uint64_t at = c->status.tun_dropped_ms;

	return at != 0 && loop_now_ms(c->loop) - at < RECENT_MS;
}

struct first_warning {
	char text[160];
};

static void keep_first(void *ctx, const struct finding *f)
{
	struct first_warning *w = ctx;

	if (f->severity != FINDING_OK && !*w->text)
		snprintf(w->text, sizeof(w->text), "%s", f->text);
}

void status_line(struct control *c, char *out, size_t size)
{
	const struct table *t = nat_table(c->nat);
	struct first_warning warning = {""};
	struct finding_sink sink;

	finding_sink_init(&sink, keep_first, &warning);
	alarms_look(c);
	doctor_run(c, DOCTOR_QUICK, &sink);
	snprintf(out, size, "%" PRIu32 " sessions, %" PRIu32 " mappings, %" PRIu64 " packets/s%s%s",
		 table_session_count(t), table_mapping_count(t),
		 c->status.rate[RATE_OUT_PACKETS] + c->status.rate[RATE_IN_PACKETS], *warning.text ? "; " : "",
		 warning.text);
}

static void say_warning(void *ctx, const struct finding *f)
{
	if (f->severity != FINDING_OK)
		ctl_say_finding(ctx, f);
}

static void say_policy(const struct nat_policy *p, struct ctl_sink *sink)
{
	char text[TEXT_RANGE_SIZE];

	for (uint32_t i = 0; i < p->n_addresses; i++) {
		if (p->addresses[i].is_virtual)
			continue;
		ctl_say_list(sink, "addresses", text_of_addresses(text, p->addresses[i].first, p->addresses[i].last));
	}
	for (uint32_t i = 0; i < p->n_inside; i++)
		ctl_say_list(sink, "inside", text_of_prefix(text, &p->inside[i]));
}

static void say_steering(const struct offload *o, struct ctl_sink *sink)
{
	char text[OFFLOAD_WHY_SIZE + 16];

	if (offload_is_on(o))
		snprintf(text, sizeof(text), "bpf");
	else
		snprintf(text, sizeof(text), "rules: %s", o->why_rules);
	ctl_say_text(sink, "steering", text);
	if (offload_is_on(o))
		ctl_say_text(sink, "attachment", offload_way(o));
}

static void say_fast_path(const struct control *c, struct ctl_sink *sink)
{
	const char *why = offload_why_slow(c->offload);
	const uint64_t *all = nat_counters(c->nat);
	uint64_t packets = all[COUNT_OUT_PACKETS] + all[COUNT_IN_PACKETS];
	struct nat_mirror_counts m;
	char text[OFFLOAD_WHY_SIZE + 16];

	nat_mirror_counts(c->nat, &m);
	if (why)
		snprintf(text, sizeof(text), "off: %s", why);
	else
		snprintf(text, sizeof(text), "on, %" PRIu32 " sessions, %" PRIu64 "%% of packets", m.flows,
			 packets == 0 ? 0 : m.packets * 100 / packets);
	ctl_say_text(sink, "fast_path", text);
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
	struct finding_sink warnings;

	status_sample(control);
	alarms_look(control);
	ctl_say_text(sink, "version", PACKAGE_VERSION);
	ctl_say_number(sink, "uptime", (loop_now_ms(control->loop) - control->started_ms) / 1000);
	ctl_say_text(sink, "routing", c->routing == ROUTING_MANAGED ? "managed" : "none");
	ctl_say_text(sink, "interface", c->outside.interface);
	ctl_say_text(sink, "tun", c->tun.name);
	say_steering(control->offload, sink);
	say_fast_path(control, sink);
	if (c->outside.stun[0])
		ctl_say_text(sink, "stun", c->outside.stun);
	say_policy(&control->setup->policy, sink);
	for (int i = 0; i < RATE_COUNT; i++)
		ctl_say_number(sink, names[i], control->status.rate[i]);
	status_look_at_queue(control);
	ctl_say_number(sink, "tun_queue_dropped", control->status.tun_dropped);
	ctl_say_number(sink, "memory", memory_resident());
	finding_sink_init(&warnings, say_warning, sink);
	doctor_run(control, DOCTOR_QUICK, &warnings);
}

static void say_metric(void *ctx, const struct metric *m)
{
	ctl_say_metric(ctx, m);
}

void status_answer_stats(void *ctx, struct ctl_sink *sink)
{
	status_look_at_queue(ctx);
	metrics_daemon(ctx, say_metric, sink);
}
