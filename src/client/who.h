/* SPDX-License-Identifier: ISC */
/* Who had an outside endpoint, for natctl and natd-web: found in open sessions and in those that ended. */
#ifndef NATD_CLIENT_WHO_H
#define NATD_CLIENT_WHO_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ctlrecord.h"

/* Parses "203.0.113.1:28783". False: it is not one. */
bool who_parse_endpoint(const char *text, struct ctl_endpoint *e);
/* Parses seconds since the epoch, or "2026-01-31T23:59:59Z" (UTC), into microseconds since the epoch. False:
 * neither. */
bool who_parse_time(const char *text, uint64_t *at_us);
/* Did this session, open from `since_us` to `until_us` (0: until now), hold the endpoint of `q` at that time? */
bool who_held(const struct ctl_who *q, uint64_t at_us, const struct ctl_entry *e, uint64_t since_us, uint64_t until_us);

#endif
