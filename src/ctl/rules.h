/* SPDX-License-Identifier: ISC */
/* Filter rules as lines, rows of a table and JSON. */
#ifndef NATD_CTL_RULES_H
#define NATD_CTL_RULES_H

#include <stdbool.h>
#include <stdio.h>

#include "common/ctlrule.h"

struct sheet;

void rules_line(FILE *f, const struct ctl_rule *r);
struct sheet *rules_sheet(void); /* NULL: out of memory */
void rules_row(struct sheet *s, const struct ctl_rule *r);
bool rules_json(FILE *f, const struct ctl_rule *r);

#endif
