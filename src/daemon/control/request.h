/* SPDX-License-Identifier: ISC */
/*
 * The requests of control clients: one table with the name, form, rights and handler of each.
 *
 * A short request is answered in one go. A long one is a job that runs in slices. A job is plain data and holds no
 * resources (except a capture its ring): it may be dropped at any time, after its request's end(). It stores its
 * position in values that stay valid whatever happens to the table meanwhile: a cursor of table_next() for sessions, an
 * index for forwards, the outside address (with class and port) for mappings and pools. So nothing is locked or copied,
 * and each element that exists from the first to the last slice is shown exactly once. A slice costs at most `visits`
 * records (60 ns each, measured), or CTL_IDLE_PER_VISIT times as many empty slots.
 */
#ifndef NATD_DAEMON_REQUEST_H
#define NATD_DAEMON_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ctlcapture.h"
#include "common/ctlevent.h"
#include "common/ctlexplain.h"
#include "common/ctlforward.h"
#include "common/ctlhost.h"
#include "common/ctlrecord.h"
#include "common/ctlstun.h"

struct ctl_env;
struct ctl_job;

enum { CTL_IDLE_PER_VISIT = 16 };

/* The resources of a slice: room in the output, records to visit, and the time. */
struct ctl_turn {
	const struct ctl_env *env;
	struct ctl_writer *w;
	uint32_t visits;
	uint64_t now_ms;
};

union ctl_args {
	struct ctl_filter filter;
	struct ctl_subscribe subscribe;
	struct ctl_who who;
	struct ctl_hosts hosts;
	struct ctl_explain explain;
	struct ctl_backend_order backend;
	struct ctl_capture capture;
	struct ctl_forward_order forward;
	uint32_t confirm_s; /* of a reload */
	struct ctl_stun stun;
};

enum ctl_permission { CTL_MAY_READ, CTL_MAY_CHANGE };

struct ctl_request {
	uint8_t type; /* enum ctl_type */
	enum ctl_permission permission;
	uint16_t min_len, max_len; /* of the body, bytes */
	const char *name;
	/* Parses the body. NULL: the request has none. False: malformed. */
	bool (*parse)(struct ctl_reader *body, union ctl_args *args);
	/* Why well-formed arguments are refused; NULL: they are accepted. The pointer may be NULL. */
	const char *(*object)(const union ctl_args *args);
	/* Sets a job's starting position, if that is not 0, or its failure. May be NULL. */
	void (*begin)(struct ctl_job *j, const struct ctl_env *env);
	/* Releases a job's resources. May be NULL: most jobs have none. */
	void (*end)(struct ctl_job *j, const struct ctl_env *env);
	/* Exactly one of the two is set: `answer` writes the whole answer with its end, `slice` the next part of it. */
	void (*answer)(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w);
	void (*slice)(struct ctl_job *j, const struct ctl_turn *t);
};

/* NULL: there is no such request. */
const struct ctl_request *ctl_request_find(uint8_t type);

struct ctl_job {
	const struct ctl_request *request; /* NULL: no job */
	union ctl_args args;
	bool is_done;
	bool is_waiting;     /* for events or time: nothing to do until ctl_client_wake() */
	uint64_t count;	     /* records that matched so far */
	uint64_t count2;     /* second count of the end frame */
	uint32_t cursor;     /* sessions: of table_next(); forwards: index */
	uint64_t address;    /* mappings, pools: the lowest outside address still to visit */
	uint8_t proto_class; /* mappings: position within that address */
	uint32_t port;
	uint64_t event_cursor, refused_cursor; /* monitor: of events_read() */
	uint64_t told_cursor;		       /* the position that was sent to the client */
	const char *failure;		       /* ends it with an error; NULL: none */
	bool is_begun;			       /* hosts: the sums are complete; capture: the client has been told */
	bool is_at_end;			       /* hosts: all were visited; monitor: it has caught up once */
	uint32_t n_highest;		       /* hosts in order: the highest so far */
	struct ctl_host highest[CTL_HOSTS_MAX];
	struct capture *capture; /* owned; ends with the job */
	struct ctl_endpoint own; /* public-address: outside, of the mapping */
	uint64_t end_ms;	 /* ... and until when natd waits for answers */
};

/* Does the output have room for any record? */
static inline bool ctl_has_room(const struct ctl_writer *w)
{
	return w->size - w->len >= CTL_RECORD_MAX;
}

/* Each slice runs until its visits or its room are used up. */
void ctl_slice_sessions(struct ctl_job *j, const struct ctl_turn *t);
void ctl_slice_mappings(struct ctl_job *j, const struct ctl_turn *t);
void ctl_slice_forwards(struct ctl_job *j, const struct ctl_turn *t);
void ctl_slice_pools(struct ctl_job *j, const struct ctl_turn *t);
void ctl_slice_blocks(struct ctl_job *j, const struct ctl_turn *t);

#endif
