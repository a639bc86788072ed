/* SPDX-License-Identifier: ISC */
/* Samples, see sampler.h. A sample without natd, and the first one after natd's restart, has no rates. */
#include "sampler.h"

#include <event2/event.h>
#include <event2/http.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/json.h"
#include "client/query.h"
#include "daemon/base/log.h"
#include "task.h"
#include "web.h"

/* Columns: counters first, which are stored as rates a second; then gauges, stored as they are. */
enum column {
	OUT_BYTES,
	OUT_PACKETS,
	IN_BYTES,
	IN_PACKETS,
	DROPS,
	OPENED,
	ENDED,
	RATES, /* number of rates */
	SESSIONS = RATES,
	HOSTS,
	COLUMNS
};

static const char *const column_names[COLUMNS] = {"out_bytes", "out_packets", "in_bytes", "in_packets", "drops",
						  "opened",    "ended",	      "sessions", "hosts"};

struct sample {
	uint64_t time_ms; /* since the epoch */
	bool is_whole;	  /* else it has no values */
	double value[COLUMNS];
};

struct sampler {
	struct web *web;
	struct event *timer;
	struct query *query;
	bool is_up;
	char version[64];
	char why[128]; /* why natd does not answer */
	uint64_t last_event;
	uint64_t count[COLUMNS], before[COLUMNS]; /* counters of this sample and of the one before */
	uint64_t uptime_s, uptime_before_s;
	uint64_t before_us; /* monotonic; 0: there is none to compare with */
	uint64_t n;	    /* samples so far; number k is at k % WEB_SAMPLES, counted from 1 */
	struct sample ring[WEB_SAMPLES];
};

static uint64_t clock_us(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static struct sample *next_sample(struct sampler *s)
{
	struct sample *at = &s->ring[++s->n % WEB_SAMPLES];

	*at = (struct sample){.time_ms = clock_us(CLOCK_REALTIME) / 1000};
	return at;
}

static bool take(void *ctx, uint8_t type, struct ctl_reader *body)
{
	static const struct {
		const char *name;
		enum column column;
	} wanted[] = {
		{"out_bytes", OUT_BYTES},    {"out_packets", OUT_PACKETS}, {"in_bytes", IN_BYTES},
		{"in_packets", IN_PACKETS},  {"sessions_opened", OPENED},  {"sessions_expired", ENDED},
		{"sessions_deleted", ENDED}, {"sessions_open", SESSIONS},  {"hosts_active", HOSTS},
	};
	struct sampler *s = ctx;
	struct ctl_counter c;

	if (type != CTL_R_COUNTER)
		return true;
	if (!ctl_get_counter(body, &c))
		return false;
	if (strncmp(c.name, "drop_", 5) == 0)
		s->count[DROPS] += c.value;
	if (strcmp(c.name, "uptime") == 0)
		s->uptime_s = c.value;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		if (strcmp(c.name, wanted[i].name) == 0)
			s->count[wanted[i].column] += c.value;
	}
	return true;
}

static void note_up(struct sampler *s, const char *version)
{
	if (!s->is_up)
		log_notice(SUB_CONTROL, "natd %s answers at %s", version, s->web->socket);
	s->is_up = true;
	snprintf(s->version, sizeof(s->version), "%s", version);
	if (s->uptime_s < s->uptime_before_s) { /* natd was restarted */
		s->before_us = 0;
		s->last_event = 0;
	}
	s->uptime_before_s = s->uptime_s;
}

static void note_away(struct sampler *s, const char *why)
{
	if (s->is_up || s->n == 1)
		log_warning(SUB_CONTROL, "no natd at %s: %s: trying again every %d s", s->web->socket, why,
			    WEB_SAMPLE_MS / 1000);
	s->is_up = false;
	snprintf(s->why, sizeof(s->why), "%s", why);
	s->before_us = 0;
	s->last_event = 0;
}

static void fill(struct sampler *s, struct sample *at)
{
	uint64_t now_us = clock_us(CLOCK_MONOTONIC);
	double elapsed_s = (double)(now_us - s->before_us) / 1e6;

	at->is_whole = s->before_us > 0 && elapsed_s > 0;
	for (int c = 0; at->is_whole && c < RATES; c++) {
		at->is_whole = s->count[c] >= s->before[c];
		at->value[c] = (double)(s->count[c] - s->before[c]) / elapsed_s;
	}
	for (int c = RATES; c < COLUMNS; c++)
		at->value[c] = (double)s->count[c];
	memcpy(s->before, s->count, sizeof(s->before));
	s->before_us = now_us;
}

static void on_end(void *ctx, const struct query_result *r)
{
	struct sampler *s = ctx;
	struct sample *at = next_sample(s);

	s->query = NULL;
	if (r->outcome == QUERY_DONE) {
		note_up(s, r->daemon);
		fill(s, at);
	} else {
		note_away(s, r->text);
	}
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct sampler *s = ctx;
	const struct query_call call = {
		.type = CTL_STATS, .patience_ms = WEB_SAMPLE_MS * 2, .on_record = take, .on_end = on_end, .ctx = s};

	(void)fd, (void)what;
	if (s->query)
		return;
	memset(s->count, 0, sizeof(s->count));
	s->query = query_start(s->web->base, s->web->socket, &call);
}

bool sampler_open(struct web *web)
{
	const struct timeval period = {WEB_SAMPLE_MS / 1000, WEB_SAMPLE_MS % 1000 * 1000};
	struct sampler *s = calloc(1, sizeof(*s));

	if (!s)
		return false;
	s->web = web;
	web->sampler = s;
	s->timer = event_new(web->base, -1, EV_PERSIST, on_timer, s);
	if (!s->timer || evtimer_add(s->timer, &period) < 0)
		return false;
	event_active(s->timer, EV_TIMEOUT, 0);
	return true;
}

void sampler_close(struct web *web)
{
	struct sampler *s = web->sampler;

	if (!s)
		return;
	query_cancel(s->query);
	if (s->timer)
		event_free(s->timer);
	free(s);
	web->sampler = NULL;
}

/* ---- for the other files ---- */

uint64_t sampler_last_event(const struct sampler *s)
{
	return s->last_event;
}

void sampler_note_event(struct sampler *s, uint64_t sequence)
{
	if (sequence > s->last_event)
		s->last_event = sequence;
}

void sampler_forget_events(struct sampler *s)
{
	s->last_event = 0;
}

static void print_sample(FILE *f, const struct sample *at)
{
	fprintf(f, "[%" PRIu64, at->time_ms);
	for (int c = 0; c < COLUMNS; c++) {
		if (at->is_whole)
			fprintf(f, ",%.0f", at->value[c]);
		else
			fputs(",null", f);
	}
	fputc(']', f);
}

void sampler_answer(struct task *t)
{
	const struct sampler *s = t->web->sampler;
	uint64_t oldest = s->n > WEB_SAMPLES ? s->n - WEB_SAMPLES : 0;
	uint64_t from = t->params.since > s->n || t->params.since < oldest ? oldest : t->params.since;
	struct json_object *head = json_create();

	t->out = open_memstream(&t->text, &t->len);
	if (!t->out) {
		json_destroy(head);
		task_refuse(t, HTTP_SERVUNAVAIL, "natd-web is short of memory");
		return;
	}
	fprintf(t->out, "{\"up\":%s,\"period\":%.3f,\"last\":%" PRIu64 ",\"natd\":", s->is_up ? "true" : "false",
		WEB_SAMPLE_MS / 1e3, s->n);
	json_add_text(head, "version", s->version);
	json_add_text(head, "error", s->is_up ? "" : s->why);
	json_print(t->out, head);
	fputs(",\"columns\":[\"time\"", t->out);
	for (int c = 0; c < COLUMNS; c++)
		fprintf(t->out, ",\"%s\"", column_names[c]);
	fputs("],\"samples\":[", t->out);
	for (uint64_t i = from + 1; i <= s->n; i++) {
		if (i > from + 1)
			fputc(',', t->out);
		print_sample(t->out, &s->ring[i % WEB_SAMPLES]);
	}
	fputs("]}\n", t->out);
	task_answer(t, HTTP_OK, "application/json");
}
