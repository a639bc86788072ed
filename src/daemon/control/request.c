/* SPDX-License-Identifier: ISC */
/* The table of requests: a new request is a row here, and its record in common/. */
#include "request.h"

#include <stddef.h>

#include "answer.h"
#include "capture.h"
#include "entry.h"
#include "explain.h"
#include "rules.h"
#include "stream.h"
#include "stun.h"
#include "survey.h"
#include "who.h"

/* A filter without criteria, and one with all of them. */
enum {
	FILTER_MIN = 2,
	CONFIRM_MAX_S = 86400,
	SUBSCRIBE_MIN = 4 + 1 + 1 + 8 + FILTER_MIN,
	STUN_MIN = 4 + 2 + 6 + 2 + 2,
	CAPTURE_MIN = 1 + 4 + 4 + 2 + FILTER_MIN,
	FILTER_MAX = FILTER_MIN + 1 + 4 * 5 + 2 + 2 + 1 + (2 + CTL_NAME_MAX) + 8 + 2 + 2 + 2 + 1 + 5,
};

static bool parse_filter(struct ctl_reader *body, union ctl_args *args)
{
	return ctl_get_filter(body, &args->filter);
}

static bool parse_subscribe(struct ctl_reader *body, union ctl_args *args)
{
	return ctl_get_subscribe(body, &args->subscribe);
}

static bool parse_who(struct ctl_reader *body, union ctl_args *args)
{
	return ctl_get_who(body, &args->who);
}

static bool parse_hosts(struct ctl_reader *body, union ctl_args *args)
{
	return ctl_get_hosts(body, &args->hosts);
}

static bool parse_explain(struct ctl_reader *body, union ctl_args *args)
{
	return ctl_get_explain(body, &args->explain);
}

static bool parse_forward(struct ctl_reader *body, union ctl_args *args)
{
	return ctl_get_forward_order(body, &args->forward);
}

static bool parse_reload(struct ctl_reader *body, union ctl_args *args)
{
	args->confirm_s = body->left > 0 ? ctl_get_u32(body) : 0;
	return !body->bad && body->left == 0;
}

static const char *object_to_reload(const union ctl_args *args)
{
	return args->confirm_s > CONFIRM_MAX_S ? "a reload is confirmed within a day" : NULL;
}

static bool parse_backend(struct ctl_reader *body, union ctl_args *args)
{
	return ctl_get_backend_order(body, &args->backend);
}

static bool parse_capture(struct ctl_reader *body, union ctl_args *args)
{
	return ctl_get_capture(body, &args->capture);
}

static bool parse_stun(struct ctl_reader *body, union ctl_args *args)
{
	return ctl_get_stun(body, &args->stun);
}

static const char *object_to_empty_filter(const union ctl_args *args)
{
	return args->filter.criteria == 0 ? "delete needs at least one criterion; flush ends all" : NULL;
}

#define NO_BODY .min_len = 0, .max_len = 0
#define FILTER	.min_len = FILTER_MIN, .max_len = FILTER_MAX, .parse = parse_filter

/* clang-format off */
static const struct ctl_request requests[] = {
	{CTL_STATUS, CTL_MAY_READ, NO_BODY, .name = "status", .answer = ctl_answer_status},
	{CTL_LIST, CTL_MAY_READ, FILTER, .name = "list", .slice = ctl_slice_sessions},
	{CTL_LIST_ZERO, CTL_MAY_CHANGE, FILTER, .name = "list and zero", .begin = ctl_begin_zero, .slice = ctl_slice_sessions},
	{CTL_COUNT, CTL_MAY_READ, FILTER, .name = "count", .slice = ctl_slice_sessions},
	{CTL_STATS, CTL_MAY_READ, NO_BODY, .name = "stats", .answer = ctl_answer_stats},
	{CTL_DELETE, CTL_MAY_CHANGE, FILTER, .name = "delete", .object = object_to_empty_filter, .slice = ctl_slice_sessions},
	{CTL_FLUSH, CTL_MAY_CHANGE, NO_BODY, .name = "flush", .slice = ctl_slice_sessions},
	{CTL_MAPPINGS, CTL_MAY_READ, NO_BODY, .name = "mappings", .slice = ctl_slice_mappings},
	{CTL_FORWARDS, CTL_MAY_READ, NO_BODY, .name = "forwards", .slice = ctl_slice_forwards},
	{CTL_POOLS, CTL_MAY_READ, NO_BODY, .name = "pools", .slice = ctl_slice_pools},
	{CTL_BLOCKS, CTL_MAY_READ, NO_BODY, .name = "blocks", .slice = ctl_slice_blocks},
	{CTL_RULES, CTL_MAY_READ, NO_BODY, .name = "rules", .begin = ctl_begin_rules, .slice = ctl_slice_rules},
	{CTL_BACKEND_ORDER, CTL_MAY_CHANGE, .min_len = 9, .max_len = 9 + CTL_NAME_MAX, .name = "backend",
	 .parse = parse_backend, .answer = ctl_answer_backend},
	{CTL_FORWARD_ORDER, CTL_MAY_CHANGE, .min_len = 9, .max_len = 9 + CTL_NAME_MAX + CTL_FORWARD_TEXT, .name = "forward",
	 .parse = parse_forward, .answer = ctl_answer_forward},
	{CTL_RELOAD, CTL_MAY_CHANGE, .min_len = 0, .max_len = 4, .name = "reload", .parse = parse_reload,
	 .object = object_to_reload, .answer = ctl_answer_reload},
	{CTL_CONFIRM, CTL_MAY_CHANGE, NO_BODY, .name = "confirm", .answer = ctl_answer_confirm},
	{CTL_DOCTOR, CTL_MAY_READ, NO_BODY, .name = "doctor", .answer = ctl_answer_doctor},
	{CTL_MONITOR, CTL_MAY_READ, .min_len = SUBSCRIBE_MIN, .max_len = SUBSCRIBE_MIN + FILTER_MAX - FILTER_MIN,
	 .name = "monitor", .parse = parse_subscribe, .begin = ctl_begin_monitor, .slice = ctl_slice_monitor},
	{CTL_EXPLAIN, CTL_MAY_READ, .min_len = 14, .max_len = 14, .name = "explain", .parse = parse_explain,
	 .object = ctl_object_to_explain, .answer = ctl_answer_explain},
	{CTL_WHO, CTL_MAY_READ, .min_len = 7, .max_len = 7, .name = "who", .parse = parse_who, .answer = ctl_answer_who},
	{CTL_HOSTS, CTL_MAY_READ, .min_len = 3 + FILTER_MIN, .max_len = 3 + FILTER_MAX, .name = "hosts",
	 .parse = parse_hosts, .object = ctl_object_to_hosts, .slice = ctl_slice_hosts},
	{CTL_CAPTURE, CTL_MAY_CHANGE, .min_len = CAPTURE_MIN, .max_len = CTL_CAPTURE_MAX - CTL_FRAME_HEAD, .name = "capture",
	 .parse = parse_capture, .object = ctl_object_to_capture, .begin = ctl_begin_capture, .end = ctl_end_capture,
	 .slice = ctl_slice_capture},
	{CTL_STUN, CTL_MAY_CHANGE, .min_len = STUN_MIN, .max_len = STUN_MIN + CTL_STUN_BYTES_MAX, .name = "public-address",
	 .parse = parse_stun, .object = ctl_object_to_stun, .begin = ctl_begin_stun, .slice = ctl_slice_stun},
};
/* clang-format on */

const struct ctl_request *ctl_request_find(uint8_t type)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		if (requests[i].type == type)
			return &requests[i];
	}
	return NULL;
}
