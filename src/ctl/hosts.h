/* SPDX-License-Identifier: ISC */
/* Inside hosts as text, for natctl hosts and top. */
#ifndef NATD_CTL_HOSTS_H
#define NATD_CTL_HOSTS_H

#include <stdbool.h>
#include <stdio.h>

#include "common/ctlhost.h"
#include "common/ctlrecord.h"
#include "options.h"

enum { HOSTS_DEFAULT = 20 /* hosts of an ordered list, unless the user says */ };

/* Target: a struct ctl_hosts. */
extern const struct option_set hosts_options;

/* "rate", "sessions" or "ports"; false: neither. */
bool hosts_parse_order(const char *text, uint8_t *order);

void hosts_print_line(FILE *f, const struct ctl_host *h);
void hosts_print_heading(FILE *f);
void hosts_print_row(FILE *f, const struct ctl_host *h);

#endif
