/* SPDX-License-Identifier: ISC */
/* Names of what events say, from the lists in event.h. */
#include "event.h"

static const char *const end_names[] = {
#define X(id, name) [id] = (name),
	SESSION_END_LIST(X)
#undef X
};

const char *session_end_name(enum session_end e)
{
	return (unsigned)e < SESSION_END_COUNT ? end_names[e] : "unknown";
}
