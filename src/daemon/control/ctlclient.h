/* SPDX-License-Identifier: ISC */
/*
 * One control client as a thing that is fed bytes and produces bytes: no socket, no loop, no clock, so
 * that tests and fuzzers can do to it whatever they like. Whoever owns it moves the bytes.
 *
 * Cost: one allocation of CTL_OUT_SIZE + CTL_REQUEST_MAX bytes and a little; for the time of a long request (the filter
 * program of a capture) one of CTL_CAPTURE_MAX. A listing of any length
 * runs in slices: ctl_client_run() visits a bounded number of records and stops early when the output
 * is full; it goes on where it stopped once the output has been taken.
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
	CTL_OUT_SIZE = 65536,	 /* output waiting for the client, at most, bytes */
	CTL_SLICE_VISITS = 1024, /* records looked at in one ctl_client_run(), at most */
	CTL_HELLO_MS = 10000,	 /* from connecting to a whole hello */
	CTL_FRAME_MS = 10000,	 /* from the first byte of a request to its last */
	CTL_STALL_MS = 30000,	 /* output waits and the client takes less than CTL_STALL_BYTES of it */
	CTL_STALL_BYTES = 4096,
	CTL_IDLE_MS = 60000, /* connected without asking anything */
};

struct ctl_backend_order;
struct ctl_forward_order;

/* How the kernel routes a packet of the host to an address. */
struct ctl_route {
	bool is_local;	/* the address is the host's own */
	char text[128]; /* for people */
};

/*
 * What the server cannot read from the core itself. Called from the loop, one at a time; each says what it has to
 * say through ctl_say_*() and returns soon. The first four must be set.
 */
struct ctl_backend {
	/* Items of the status that the core does not know: "version", "uptime" (s), "routing", "interface", "tun",
	 * "out_packets_rate", "out_bytes_rate", "in_packets_rate", "in_bytes_rate", "drop_packets_rate" (a second),
	 * "memory" (bytes); lists "addresses", "inside". Any other name is shown too. Warnings are findings. */
	void (*status)(void *ctx, struct ctl_sink *sink);
	/* Metrics besides the core's own: ctl_say_metric(). */
	void (*stats)(void *ctx, struct ctl_sink *sink);
	/* Reads the configuration again, all of it or none of it: true and *report, or false. Errors and warnings
	 * ("FILE:LINE: message") go through ctl_say_line().
	 * With `confirm_s` it goes back after so many seconds unless confirm() comes. */
	bool (*reload)(void *ctx, struct ctl_sink *sink, uint32_t confirm_s, struct nat_reconfigure_report *report);
	/* Findings about host and configuration: ctl_say_finding(). */
	void (*doctor)(void *ctx, struct ctl_sink *sink);
	/* Drains or resumes a backend: NULL, and whether that changed something; or why not. May be NULL, as may those below. */
	const char *(*backend)(void *ctx, const struct ctl_backend_order *o, bool *changed);
	/* Makes or removes a forward: true, and whether that changed something; or false after at least one ctl_say_line(). */
	bool (*forward)(void *ctx, struct ctl_sink *sink, const struct ctl_forward_order *o, bool *changed);
	/* The configuration stays. False after at least one ctl_say_line(). */
	bool (*confirm)(void *ctx, struct ctl_sink *sink);
	void *ctx;
	/* The steering table; NULL: routing is the administrator's. */
	const struct steering *(*steering)(void *ctx);
	/* False: the kernel did not answer. */
	bool (*route)(void *ctx, uint32_t address, struct ctl_route *out);
	/* Sends a packet from inside as if the TUN had brought it. It is used up. Both or neither. */
	void (*send)(void *ctx, uint8_t *packet, uint32_t len);
	struct inbox *inbox; /* what comes for natd itself */
};

/* A reply in the making. What no longer fits into CTL_OUT_SIZE is left out, and the reply says so. */
void ctl_say_number(struct ctl_sink *sink, const char *name, uint64_t value);
void ctl_say_text(struct ctl_sink *sink, const char *name, const char *text);
void ctl_say_list(struct ctl_sink *sink, const char *name, const char *element); /* once for each element */
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
	uint32_t kept_kinds; /* of events, recorded also while nobody has subscribed */
};

struct ctl_client;

/* `env` is borrowed. `may_change`: may it do more than look? NULL when memory is short. */
struct ctl_client *ctl_client_create(const struct ctl_env *env, bool may_change, uint64_t now_ms);
void ctl_client_destroy(struct ctl_client *c); /* NULL: nothing */

/* Where the next input may be put and how much: 0 while it has enough to do, or is closing. */
uint8_t *ctl_client_space(struct ctl_client *c, size_t *room);
/* `n` bytes were put there. */
void ctl_client_fed(struct ctl_client *c, size_t n, uint64_t now_ms);
/* There will be no more input: what was asked is still answered. */
void ctl_client_eof(struct ctl_client *c);

/* Answers what has been asked, at most `visits` records' worth. True: it has more to do as soon as there is
 * room for output. */
bool ctl_client_run(struct ctl_client *c, uint32_t visits, uint64_t now_ms);
bool ctl_client_has_work(const struct ctl_client *c); /* ctl_client_run() would get on with something now */

/* The kinds of events (1 << enum ctl_event_kind) that it has subscribed to; 0: none. */
uint32_t ctl_client_event_kinds(const struct ctl_client *c);
/* How much of the ring of events is still to be sent to a subscriber, in eighths, rounded down; 0 without a subscription. */
unsigned ctl_client_backlog(const struct ctl_client *c);
bool ctl_client_is_live(const struct ctl_client *c); /* its job waits for packets: wake it often */
/* There may be new events, or time has passed: a job that waits goes on. */
void ctl_client_wake(struct ctl_client *c);
/* Its subscription has nothing left to send. */
bool ctl_client_is_up_to_date(const struct ctl_client *c);
/* natd stops: tells a subscription that no event comes after those that it has. */
void ctl_client_mark_stop(struct ctl_client *c);

/* Output that waits; and that `n` bytes of it went out. */
const uint8_t *ctl_client_output(const struct ctl_client *c, size_t *len);
void ctl_client_sent(struct ctl_client *c, size_t n, uint64_t now_ms);

/* All is said: close it. */
bool ctl_client_is_done(const struct ctl_client *c);
/* Why the client must be dropped now; NULL: it need not. */
const char *ctl_client_overdue(const struct ctl_client *c, uint64_t now_ms);
/* Invariants; NULL or what is wrong. */
const char *ctl_client_check(const struct ctl_client *c);

#endif
