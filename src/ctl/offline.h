/* SPDX-License-Identifier: ISC */
/* Questions that a configuration file alone can answer, without natd. */
#ifndef NATD_CTL_OFFLINE_H
#define NATD_CTL_OFFLINE_H

#include "common/ctlrecord.h"

enum offline_answer {
	OFFLINE_FOUND,	   /* *b is the block that contains the endpoint */
	OFFLINE_NOBODY,	   /* by this file no inside host ever has it */
	OFFLINE_NOT_KNOWN, /* the file cannot tell: allocation is not deterministic, or it is an overflow port */
	OFFLINE_WRONG,	   /* the file has errors, which were printed */
};

/* The inside host that has an outside endpoint, by the arithmetic of deterministic allocation. */
enum offline_answer offline_who(const char *path, const struct ctl_endpoint *outside, struct ctl_block *b);

#endif
