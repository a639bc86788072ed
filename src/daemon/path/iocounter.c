/* SPDX-License-Identifier: ISC */
/* Names and explanations of the daemon's counters. */
#include "iocounter.h"

#include <stddef.h>

static const char *const names[IO_COUNTER_COUNT] = {
#define X(id, name, help) [id] = name,
	IO_COUNTER_LIST(X)
#undef X
};

static const char *const helps[IO_COUNTER_COUNT] = {
#define X(id, name, help) [id] = help,
	IO_COUNTER_LIST(X)
#undef X
};

const char *io_counter_name(enum io_counter c)
{
	return c < IO_COUNTER_COUNT ? names[c] : "";
}

const char *io_counter_help(enum io_counter c)
{
	return c < IO_COUNTER_COUNT ? helps[c] : "";
}
