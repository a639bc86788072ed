/* SPDX-License-Identifier: ISC */
/* The options of natctl top. */
#ifndef NATD_CTL_TOP_OPTIONS_H
#define NATD_CTL_TOP_OPTIONS_H

#include "options.h"
#include "top.h"

#define TOP_DELAY_MIN 0.1
#define TOP_DELAY_MAX 3600.0

struct top_options {
	struct top_choice choice;
	bool is_batch;
	uint64_t count; /* screens to show; 0: no limit */
};

/* Target: a struct top_options. */
extern const struct option_set top_options;

#endif
