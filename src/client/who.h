/* SPDX-License-Identifier: ISC */
/* Who had an outside endpoint, as natctl and natd-web work it out: from open sessions and from those that ended. */
#ifndef NATD_CLIENT_WHO_H
#define NATD_CLIENT_WHO_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ctlrecord.h"

/* "203.0.113.1:28783". False: not one. */
bool who_parse_endpoint(const char *text, struct ctl_endpoint *e);
/* Seconds since the epoch, or "2026-01-31T23:59:59Z" (UTC), to microseconds since the epoch. False: neither. */
bool who_parse_time(const char *text, uint64_t *at_us);
/* Did this session, of `since_us` to `until_us` (0: until now), hold the endpoint in question at that time? */
bool who_held(const struct ctl_who *q, uint64_t at_us, const struct ctl_entry *e, uint64_t since_us, uint64_t until_us);

#endif
