/* SPDX-License-Identifier: ISC */
/*
 * One control client as an object that is fed bytes and produces bytes: no socket, no loop, no clock, so tests and
 * fuzzers can drive it freely. Its owner moves the bytes.
 *
 * Cost: one allocation of CTL_OUT_SIZE + CTL_REQUEST_MAX bytes and a little; during a long request (the filter program
 * of a capture) another one of CTL_CAPTURE_MAX. A listing of any length runs in slices: ctl_client_run() visits a
 * bounded number of records and stops early when the output is full; it continues there once the output has been taken.
 */
#ifndef NATD_DAEMON_CTLCLIENT_H
#define NATD_DAEMON_CTLCLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nat;
struct nat_reconfigure_report;
struct ctl_sink;
struct finding;
struct captures;
struct inbox;
struct stun;
struct survey;
struct metric;
struct steering;

enum {
	CTL_OUT_SIZE = 65536,	 /* most output that waits for the client, bytes */
	CTL_SLICE_VISITS = 1024, /* most records visited in one ctl_client_run() */
	CTL_HELLO_MS = 10000,	 /* from the connection to a whole hello */
	CTL_FRAME_MS = 10000,	 /* from the first byte of a request to its last */
	/* longest time in which the client takes less than CTL_STALL_BYTES of waiting output */
	CTL_STALL_MS = 30000,
	CTL_STALL_BYTES = 4096,
	CTL_IDLE_MS = 60000, /* longest time without a request */
};

struct ctl_backend_order;
struct ctl_forward_order;

/* The kernel's route for a packet of the host to an address. */
struct ctl_route {
	bool is_local;	/* the address is the host's own */
	char text[128]; /* for people */
};

/*
 * Facts and actions outside the core. Called from the loop, one at a time; each reports through ctl_say_*() and returns
 * soon. The first four must be set.
 */
struct ctl_backend {
	/* Items of the status that the core does not know: "version", "uptime" (s), "routing", "interface", "tun",
	 * "out_packets_rate", "out_bytes_rate", "in_packets_rate", "in_bytes_rate", "drop_packets_rate" (a second),
	 * "memory" (bytes); lists "addresses", "inside". Items with other names are shown too. Warnings are
	 * findings. */
	void (*status)(void *ctx, struct ctl_sink *sink);
	/* Metrics besides the core's own: ctl_say_metric(). */
	void (*stats)(void *ctx, struct ctl_sink *sink);
	/* Reads the configuration again, all of it or none: true and *report, or false. Errors and warnings
	 * ("FILE:LINE: message") are reported by ctl_say_line(). With `confirm_s` the previous configuration returns
	 * after so many seconds unless confirm() is called. */
	bool (*reload)(void *ctx, struct ctl_sink *sink, uint32_t confirm_s, struct nat_reconfigure_report *report);
	/* Findings about host and configuration: ctl_say_finding(). */
	void (*doctor)(void *ctx, struct ctl_sink *sink);
	/* Drains or resumes a backend. Returns NULL, with *changed; or why not. May be NULL, like those below. */
	const char *(*backend)(void *ctx, const struct ctl_backend_order *o, bool *changed);
	/* Creates or removes a forward. True, with *changed; or false after at least one ctl_say_line(). */
	bool (*forward)(void *ctx, struct ctl_sink *sink, const struct ctl_forward_order *o, bool *changed);
	/* Keeps the configuration. False after at least one ctl_say_line(). */
	bool (*confirm)(void *ctx, struct ctl_sink *sink);
	void *ctx;
	/* The steering table; NULL: the administrator does the routing. */
	const struct steering *(*steering)(void *ctx);
	/* False: the kernel did not answer. */
	bool (*route)(void *ctx, uint32_t address, struct ctl_route *out);
	/* Sends a packet from inside as if the TUN had brought it; the buffer is overwritten. `send` and `inbox` are
	 * both set or neither. */
	void (*send)(void *ctx, uint8_t *packet, uint32_t len);
	struct inbox *inbox; /* datagrams for natd itself */
};

/* A reply under construction. Records that do not fit into CTL_OUT_SIZE are omitted, and the reply says so. */
void ctl_say_number(struct ctl_sink *sink, const char *name, uint64_t value);
void ctl_say_text(struct ctl_sink *sink, const char *name, const char *text);
void ctl_say_list(struct ctl_sink *sink, const char *name, const char *element); /* call it for each element */
void ctl_say_metric(struct ctl_sink *sink, const struct metric *m);
void ctl_say_line(struct ctl_sink *sink, const char *text);
void ctl_say_finding(struct ctl_sink *sink, const struct finding *f);

struct ctl_env {
	struct nat *nat;
	const struct ctl_backend *backend;
	const char *version;
	struct survey *survey;
	struct captures *captures;
	struct stun *stun;
	struct zeroed *zeroed;
	uint64_t started_us; /* since the epoch: no event is older */
	uint32_t kept_kinds; /* of events, recorded even without subscribers */
};

struct ctl_client;

/* `env` is borrowed. `may_change`: the client may make changes. NULL: out of memory. */
struct ctl_client *ctl_client_create(const struct ctl_env *env, bool may_change, uint64_t now_ms);
void ctl_client_destroy(struct ctl_client *c); /* NULL is allowed */

/* Where the next input goes, and how much: 0 while it has enough to do, or is closing. */
uint8_t *ctl_client_space(struct ctl_client *c, size_t *room);
/* `n` bytes were put there. */
void ctl_client_fed(struct ctl_client *c, size_t n, uint64_t now_ms);
/* There will be no more input; pending requests are still answered. */
void ctl_client_eof(struct ctl_client *c);

/* Works on pending requests, visiting at most `visits` records. True: it has more to do as soon as there is room for
 * output. */
bool ctl_client_run(struct ctl_client *c, uint32_t visits, uint64_t now_ms);
bool ctl_client_has_work(const struct ctl_client *c); /* ctl_client_run() has work now */

/* The kinds of events (1 << enum ctl_event_kind) in its subscription; 0: none. */
uint32_t ctl_client_event_kinds(const struct ctl_client *c);
/* The part of the event ring that is still to be sent to a subscriber, in eighths, rounded down; 0 without a
 * subscription. */
unsigned ctl_client_backlog(const struct ctl_client *c);
bool ctl_client_is_live(const struct ctl_client *c); /* its job waits for packets: wake it often */
/* There may be new events, or time has passed: a waiting job continues. */
void ctl_client_wake(struct ctl_client *c);
/* Its subscription has nothing left to send. */
bool ctl_client_is_up_to_date(const struct ctl_client *c);
/* natd stops: tells a subscriber that no more events will follow. */
void ctl_client_mark_stop(struct ctl_client *c);

/* The waiting output; reports that `n` bytes of it were sent. */
const uint8_t *ctl_client_output(const struct ctl_client *c, size_t *len);
void ctl_client_sent(struct ctl_client *c, size_t n, uint64_t now_ms);

/* Everything has been sent: close the connection. */
bool ctl_client_is_done(const struct ctl_client *c);
/* Why the client must be dropped now; NULL: it need not be. */
const char *ctl_client_overdue(const struct ctl_client *c, uint64_t now_ms);
/* Checks the invariants; returns NULL, or what is wrong. */
const char *ctl_client_check(const struct ctl_client *c);

#endif
