/* SPDX-License-Identifier: ISC */
/* What a configuration file alone answers, without a daemon. */
#ifndef NATD_CTL_OFFLINE_H
#define NATD_CTL_OFFLINE_H

#include "common/ctlrecord.h"

enum offline_answer {
	OFFLINE_FOUND,	   /* *b is the block that the endpoint lies in */
	OFFLINE_NOBODY,	   /* no inside host ever has it by this file */
	OFFLINE_NOT_KNOWN, /* the file does not tell: allocation is not deterministic, or the port is of the overflow */
	OFFLINE_WRONG,	   /* the file has errors, which are on stderr */
};

/* Which inside host has an outside endpoint by the arithmetic of deterministic allocation. */
enum offline_answer offline_who(const char *path, const struct ctl_endpoint *outside, struct ctl_block *b);

#endif
