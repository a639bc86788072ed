/* SPDX-License-Identifier: ISC */
/*
 * Names and explanations of counters, from the one list in reason.h.
 */
#include "reason.h"

/* clang-format off */
static const char *const names[] = {
	[NAT_PASS] = "pass",
#define X(id, name, help) [id] = (name),
	NAT_REASON_LIST(X)
#undef X
};

static const char *const helps[] = {
	[NAT_PASS] = "",
#define X(id, name, help) [id] = (help),
	NAT_REASON_LIST(X)
#undef X
};
/* clang-format on */

_Static_assert(sizeof(names) / sizeof(names[0]) == NAT_REASON_COUNT, "one name for each reason");
_Static_assert(sizeof(helps) / sizeof(helps[0]) == NAT_REASON_COUNT, "one explanation for each reason");

const char *nat_reason_name(enum nat_reason r)
{
	return (unsigned)r < NAT_REASON_COUNT ? names[r] : "unknown";
}

const char *nat_reason_help(enum nat_reason r)
{
	return (unsigned)r < NAT_REASON_COUNT ? helps[r] : "";
}
