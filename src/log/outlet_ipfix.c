/* SPDX-License-Identifier: ISC */
#include "outlet.h"

#include <stdio.h>

struct outlet *outlet_ipfix_open(const struct config_tlog *t, char why[OUTLET_WHY])
{
	(void)t;
	snprintf(why, OUTLET_WHY, "IPFIX is not built in: natd-log needs libfixbuf for it");
	return NULL;
}
