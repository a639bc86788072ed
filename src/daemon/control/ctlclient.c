/* SPDX-License-Identifier: ISC */
/*
 * Parses a control client's input and writes its output.
 *
 * Theory of operation. Input is a small buffer that holds exactly one request of the longest kind (or many short ones,
 * pipelined); output is a linear buffer that is filled at its end and taken from its start. Only the capture request
 * may be longer, from clients with the right to change things: it gets a larger input buffer until it is done. Requests
 * are answered strictly in order, one at a time: the next one starts when the previous one is done and most of its
 * answer has been taken. So a client's memory is bounded by its two buffers, and its work in one turn by one short
 * answer or one slice.
 *
 * Invariants (ctl_client_check): the used parts lie within the buffers; while a job runs the output keeps room for the
 * frame that ends it; a closing client has no job.
 *
 * Malformed input ends the connection, because what follows a malformed frame cannot be parsed.
 */
#include "ctlclient.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "common/ctlcapture.h"
#include "core/base/event.h"
#include "core/nat/nat.h"
#include "request.h"

enum {
	END_ROOM = 64,					  /* for the frame that ends a job */
	OUT_BUSY = CTL_OUT_SIZE - CTL_ANSWER_ROOM - 1024, /* with more output waiting, no new request starts */
	JOB_BUSY = CTL_OUT_SIZE / 2,			  /* with more output waiting, a job pauses */
};

struct ctl_client {
	const struct ctl_env *env;
	bool may_change;
	bool is_greeted; /* the hello has been answered */
	bool is_closing; /* no input is read any more; the rest of `out` is still sent */
	bool is_eof;	 /* the client sends no more */
	struct ctl_job job;
	uint64_t created_ms;
	uint64_t input_ms;    /* since when natd waits for input */
	uint64_t progress_ms; /* since when natd waits for the client to read */
	size_t taken;	      /* bytes read by the client since progress_ms */
	uint8_t *in;	      /* in_first, or owned */
	size_t in_size;
	size_t in_len;
	size_t out_start;
	size_t out_end;
	uint8_t in_first[CTL_REQUEST_MAX];
	uint8_t out[CTL_OUT_SIZE];
};

struct ctl_client *ctl_client_create(const struct ctl_env *env, bool may_change, uint64_t now_ms)
{
	struct ctl_client *c = malloc(sizeof(*c));

	if (!c)
		return NULL;
	memset(c, 0, offsetof(struct ctl_client, in_first)); /* the buffers' pages are touched as they are used */
	c->in = c->in_first;
	c->in_size = sizeof(c->in_first);
	c->env = env;
	c->may_change = may_change;
	c->created_ms = now_ms;
	c->input_ms = now_ms;
	c->progress_ms = now_ms;
	return c;
}

static void end_job(struct ctl_client *c)
{
	if (c->job.request && c->job.request->end)
		c->job.request->end(&c->job, c->env);
	c->job.request = NULL;
}

static void shrink_input(struct ctl_client *c)
{
	if (c->in == c->in_first || c->in_len > sizeof(c->in_first))
		return;
	memcpy(c->in_first, c->in, c->in_len);
	free(c->in);
	c->in = c->in_first;
	c->in_size = sizeof(c->in_first);
}

void ctl_client_destroy(struct ctl_client *c)
{
	if (!c)
		return;
	end_job(c);
	c->in_len = 0;
	shrink_input(c);
	free(c);
}

/* ---- output ---- */

static size_t pending(const struct ctl_client *c)
{
	return c->out_end - c->out_start;
}

/* A writer for the free room, less `keep` bytes; put_back() accounts for what was written. */
static struct ctl_writer writer(struct ctl_client *c, size_t keep)
{
	size_t room;

	if (c->out_start > 0) {
		memmove(c->out, c->out + c->out_start, pending(c));
		c->out_end -= c->out_start;
		c->out_start = 0;
	}
	room = CTL_OUT_SIZE - c->out_end;
	return (struct ctl_writer){.buf = c->out + c->out_end, .size = room > keep ? room - keep : 0};
}

static void put_back(struct ctl_client *c, const struct ctl_writer *w)
{
	c->out_end += w->len;
}

static void refuse(struct ctl_client *c, enum ctl_error_code code, const char *text)
{
	struct ctl_writer w = writer(c, 0);

	ctl_put_error(&w, code, text);
	put_back(c, &w);
}

static void close_with(struct ctl_client *c, enum ctl_error_code code, const char *text)
{
	refuse(c, code, text);
	c->is_closing = true;
	c->in_len = 0;
}

const uint8_t *ctl_client_output(const struct ctl_client *c, size_t *len)
{
	*len = pending(c);
	return c->out + c->out_start;
}

void ctl_client_sent(struct ctl_client *c, size_t n, uint64_t now_ms)
{
	if (n == 0)
		return;
	c->out_start += n;
	c->taken += n;
	if (c->taken >= CTL_STALL_BYTES || pending(c) == 0) {
		c->taken = 0;
		c->progress_ms = now_ms;
	}
	if (pending(c) == 0) {
		c->out_start = 0;
		c->out_end = 0;
		c->input_ms = now_ms;
	}
}

/* ---- requests ---- */

static void greet(struct ctl_client *c, struct ctl_reader *body)
{
	struct ctl_hello hello = {
		.magic = CTL_MAGIC,
		.version = CTL_VERSION,
		.may_change = c->may_change,
		.instance = c->env->started_us,
		.kept_kinds = c->env->kept_kinds,
	};
	struct ctl_hello theirs;
	struct ctl_writer w;
	char text[128];

	if (!ctl_get_hello(body, &theirs) || theirs.magic != CTL_MAGIC) {
		close_with(c, CTL_E_PROTOCOL, "this is natd's control socket: talk to it with natctl");
		return;
	}
	if (theirs.version_min > CTL_VERSION || theirs.version < CTL_VERSION) {
		snprintf(text, sizeof(text), "natd %.32s speaks version %d of the control protocol, natctl %u to %u",
			 c->env->version, CTL_VERSION, theirs.version_min, theirs.version);
		close_with(c, CTL_E_VERSION, text);
		return;
	}
	if (theirs.flags & CTL_HELLO_READ_ONLY)
		c->may_change = hello.may_change = false;
	snprintf(hello.daemon, sizeof(hello.daemon), "%s", c->env->version);
	w = writer(c, 0);
	ctl_put_hello_reply(&w, &hello);
	put_back(c, &w);
	c->is_greeted = true;
}

static void begin(struct ctl_client *c, const struct ctl_request *request, struct ctl_reader *body)
{
	union ctl_args args;
	const char *objection;
	struct ctl_writer w;

	memset(&args, 0, sizeof(args));
	if (request->parse && !request->parse(body, &args)) {
		close_with(c, CTL_E_PROTOCOL, "malformed request");
		return;
	}
	objection = request->object ? request->object(&args) : NULL;
	if (objection) {
		refuse(c, CTL_E_FAILED, objection);
	} else if (request->slice) {
		c->job = (struct ctl_job){.request = request, .args = args};
		if (request->begin)
			request->begin(&c->job, c->env);
	} else {
		w = writer(c, 0);
		request->answer(c->env, &args, &w);
		put_back(c, &w);
	}
}

static void handle_request(struct ctl_client *c, uint8_t type, struct ctl_reader *body)
{
	const struct ctl_request *request = ctl_request_find(type);
	char text[96];

	if (!request) {
		refuse(c, CTL_E_UNSUPPORTED, "this natd knows no such request");
	} else if (body->left < request->min_len || body->left > request->max_len) {
		close_with(c, CTL_E_PROTOCOL, "request of impossible length");
	} else if (request->permission == CTL_MAY_CHANGE && !c->may_change) {
		snprintf(text, sizeof(text), "%s: only root and the user that natd runs as may do that", request->name);
		refuse(c, CTL_E_DENIED, text);
	} else {
		begin(c, request, body);
	}
}

static void handle(struct ctl_client *c, struct ctl_frame *frame)
{
	if ((frame->type == CTL_HELLO) == c->is_greeted)
		close_with(c, CTL_E_PROTOCOL, c->is_greeted ? "a second hello" : "a hello must come first");
	else if (frame->type == CTL_HELLO)
		greet(c, &frame->body);
	else
		handle_request(c, frame->type, &frame->body);
}

/* Does a request begin here that may be longer than the others? */
static bool is_capture_next(const struct ctl_client *c)
{
	return c->is_greeted && c->in_len >= CTL_FRAME_HEAD && c->in[CTL_FRAME_HEAD - 1] == CTL_CAPTURE;
}

static int next_frame(const struct ctl_client *c, struct ctl_frame *frame)
{
	size_t max = is_capture_next(c) && c->may_change ? CTL_CAPTURE_MAX : sizeof(c->in_first);

	return ctl_frame_next(c->in, c->in_len, max, frame);
}

/* Takes the first whole request from the input, if there is one. */
static void take_request(struct ctl_client *c, uint64_t now_ms)
{
	struct ctl_frame frame;
	int used = next_frame(c, &frame);

	if (used < 0 && is_capture_next(c) && !c->may_change) {
		close_with(c, CTL_E_DENIED, "capture: only root and the user that natd runs as may do that");
		return;
	}
	if (used < 0) {
		close_with(c, CTL_E_PROTOCOL, "this is natd's control socket: talk to it with natctl");
		return;
	}
	if (used == 0) {
		c->is_closing = c->is_eof;
		return;
	}
	handle(c, &frame);
	c->input_ms = now_ms;
	if (c->in_len == 0) /* closing */
		return;
	c->in_len -= (size_t)used;
	memmove(c->in, c->in + used, c->in_len);
	shrink_input(c);
}

static void run_job(struct ctl_client *c, uint32_t visits, uint64_t now_ms)
{
	struct ctl_writer w = writer(c, END_ROOM);
	const struct ctl_turn turn = {.env = c->env, .w = &w, .visits = visits, .now_ms = now_ms};

	if (!c->job.is_done && !c->job.failure)
		c->job.request->slice(&c->job, &turn);
	put_back(c, &w);
	if (!c->job.is_done && !c->job.failure)
		return;
	w = writer(c, 0);
	if (c->job.failure)
		ctl_put_error(&w, CTL_E_FAILED, c->job.failure);
	else
		ctl_put_end(&w, c->job.count, c->job.count2);
	put_back(c, &w);
	end_job(c);
	c->input_ms = now_ms;
}

bool ctl_client_run(struct ctl_client *c, uint32_t visits, uint64_t now_ms)
{
	bool was_idle = pending(c) == 0;
	bool was_greeted = c->is_greeted;

	if (ctl_client_has_work(c) && !c->job.request)
		take_request(c, now_ms);
	if (!was_greeted && ctl_client_has_work(c)) /* hello and request usually arrive together */
		take_request(c, now_ms);
	if (c->job.request && ctl_client_has_work(c))
		run_job(c, visits, now_ms);
	if (was_idle && pending(c) > 0) {
		c->progress_ms = now_ms;
		c->taken = 0;
	}
	return ctl_client_has_work(c);
}

bool ctl_client_has_work(const struct ctl_client *c)
{
	struct ctl_frame frame;

	if (c->is_closing)
		return false;
	if (c->job.request)
		return (!c->job.is_waiting || c->job.is_done) && pending(c) <= JOB_BUSY;
	if (pending(c) > OUT_BUSY)
		return false;
	return c->is_eof || next_frame(c, &frame) != 0;
}

/* ---- input ---- */

uint8_t *ctl_client_space(struct ctl_client *c, size_t *room)
{
	*room = c->is_closing || c->is_eof ? 0 : c->in_size - c->in_len;
	return c->in + c->in_len;
}

static void grow_input(struct ctl_client *c)
{
	uint8_t *larger = malloc(CTL_CAPTURE_MAX);

	if (!larger) {
		close_with(c, CTL_E_FAILED, "natd is short of memory");
		return;
	}
	memcpy(larger, c->in, c->in_len);
	c->in = larger;
	c->in_size = CTL_CAPTURE_MAX;
}

void ctl_client_fed(struct ctl_client *c, size_t n, uint64_t now_ms)
{
	if (c->in_len == 0 && n > 0)
		c->input_ms = now_ms;
	c->in_len += n;
	if (c->in_len == sizeof(c->in_first) && c->in == c->in_first && is_capture_next(c) && c->may_change)
		grow_input(c);
}

/* Ends an open-ended subscription or a capture: the client has closed the connection, or cannot be told from one
 * that has. */
void ctl_client_eof(struct ctl_client *c)
{
	c->is_eof = true;
	if (c->job.request && c->job.request->type == CTL_MONITOR && !c->job.args.subscribe.until_end)
		c->job.is_done = true;
	if (ctl_client_is_live(c))
		c->job.is_done = true;
}

bool ctl_client_is_live(const struct ctl_client *c)
{
	return c->job.request && (c->job.request->type == CTL_CAPTURE || c->job.request->type == CTL_STUN);
}

uint32_t ctl_client_event_kinds(const struct ctl_client *c)
{
	return c->job.request && c->job.request->type == CTL_MONITOR ? c->job.args.subscribe.kinds : 0;
}

unsigned ctl_client_backlog(const struct ctl_client *c)
{
	const struct event_ring *r = &nat_events(c->env->nat)->log;

	if (ctl_client_event_kinds(c) == 0 || r->size == 0 || c->job.event_cursor >= events_end(r))
		return 0;
	return (unsigned)((events_end(r) - c->job.event_cursor) * 8 / r->size);
}

void ctl_client_wake(struct ctl_client *c)
{
	c->job.is_waiting = false;
}

bool ctl_client_is_up_to_date(const struct ctl_client *c)
{
	return ctl_client_event_kinds(c) != 0 && c->job.is_waiting && pending(c) == 0;
}

void ctl_client_mark_stop(struct ctl_client *c)
{
	struct ctl_writer w = writer(c, 0);

	ctl_put_mark(&w, CTL_MARK_STOP, c->job.event_cursor);
	put_back(c, &w);
}

/* ---- the end ---- */

bool ctl_client_is_done(const struct ctl_client *c)
{
	return c->is_closing && pending(c) == 0;
}

static bool is_past(uint64_t since_ms, uint64_t limit_ms, uint64_t now_ms)
{
	return now_ms > since_ms && now_ms - since_ms > limit_ms;
}

const char *ctl_client_overdue(const struct ctl_client *c, uint64_t now_ms)
{
	if (!c->is_greeted && is_past(c->created_ms, CTL_HELLO_MS, now_ms))
		return "sent no hello";
	/* These may read as slowly as they like: they lose events or packets instead. */
	if (ctl_client_event_kinds(c) != 0 || ctl_client_is_live(c))
		return NULL;
	if (pending(c) > 0)
		return is_past(c->progress_ms, CTL_STALL_MS, now_ms) ? "does not read" : NULL;
	if (c->job.request)
		return NULL;
	if (c->in_len > 0 && is_past(c->input_ms, CTL_FRAME_MS, now_ms))
		return "left a request half sent";
	return is_past(c->input_ms, CTL_IDLE_MS, now_ms) ? "asks nothing" : NULL;
}

const char *ctl_client_check(const struct ctl_client *c)
{
	if (c->in_len > c->in_size || (c->in == c->in_first) != (c->in_size == sizeof(c->in_first)))
		return "input beyond its buffer";
	if (c->out_start > c->out_end || c->out_end > sizeof(c->out))
		return "output beyond its buffer";
	if (c->job.request && CTL_OUT_SIZE - pending(c) < END_ROOM)
		return "no room to end the job";
	if (c->job.capture && !c->job.request)
		return "a capture without a job";
	if (c->is_closing && c->job.request)
		return "a job while closing";
	return NULL;
}
