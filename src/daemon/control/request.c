/* SPDX-License-Identifier: ISC */
/* The table of requests: a new request is a row here, and its record in common/. */
#include "request.h"

#include <stddef.h>

#include "answer.h"

/* A filter: criteria, and all fields of a filter that has them all. */
enum {
	FILTER_MIN = 2,
	FILTER_MAX = FILTER_MIN + 1 + 4 * 5 + 2 + 2 + 1 + (2 + CTL_NAME_MAX) + 8 + 2 + 2 + 2 + 1 + 5,
};

static bool parse_filter(struct ctl_reader *body, union ctl_args *args)
{
	return ctl_get_filter(body, &args->filter);
}

static const char *object_to_empty_filter(const union ctl_args *args)
{
	return args->filter.criteria == 0 ? "delete needs at least one criterion; flush ends all" : NULL;
}

/* clang-format off */
static const struct ctl_request requests[] = {
	{CTL_STATUS,   CTL_MAY_READ,   0, 0, "status",   NULL, NULL, ctl_answer_status, NULL},
	{CTL_LIST,     CTL_MAY_READ,   FILTER_MIN, FILTER_MAX, "list", parse_filter, NULL, NULL, ctl_slice_sessions},
	{CTL_COUNT,    CTL_MAY_READ,   FILTER_MIN, FILTER_MAX, "count", parse_filter, NULL, NULL, ctl_slice_sessions},
	{CTL_STATS,    CTL_MAY_READ,   0, 0, "stats",    NULL, NULL, ctl_answer_stats, NULL},
	{CTL_DELETE,   CTL_MAY_CHANGE, FILTER_MIN, FILTER_MAX, "delete", parse_filter, object_to_empty_filter, NULL,
	 ctl_slice_sessions},
	{CTL_FLUSH,    CTL_MAY_CHANGE, 0, 0, "flush",    NULL, NULL, NULL, ctl_slice_sessions},
	{CTL_MAPPINGS, CTL_MAY_READ,   0, 0, "mappings", NULL, NULL, NULL, ctl_slice_mappings},
	{CTL_FORWARDS, CTL_MAY_READ,   0, 0, "forwards", NULL, NULL, NULL, ctl_slice_forwards},
	{CTL_POOLS,    CTL_MAY_READ,   0, 0, "pools",    NULL, NULL, NULL, ctl_slice_pools},
	{CTL_RELOAD,   CTL_MAY_CHANGE, 0, 0, "reload",   NULL, NULL, ctl_answer_reload, NULL},
	{CTL_DOCTOR,   CTL_MAY_READ,   0, 0, "doctor",   NULL, NULL, ctl_answer_doctor, NULL},
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
