/* SPDX-License-Identifier: ISC */
/* Endpoints and times as text, and the test whether a session held an endpoint. Times are compared in seconds, as
 * people give them. */
#define _XOPEN_SOURCE	700 /* strptime() */
#define _DEFAULT_SOURCE 1   /* timegm() */
#include "who.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "filter.h"

bool who_parse_endpoint(const char *text, struct ctl_endpoint *e)
{
	const char *colon = strrchr(text, ':');
	char address[32];
	struct ctl_prefix p;
	uint64_t port;

	if (!colon || (size_t)(colon - text) >= sizeof(address) || strchr(text, '/'))
		return false;
	snprintf(address, sizeof(address), "%.*s", (int)(colon - text), text);
	if (!filter_parse_prefix(address, &p) || !filter_parse_number(colon + 1, UINT16_MAX, &port))
		return false;
	*e = (struct ctl_endpoint){p.address, (uint16_t)port};
	return true;
}

bool who_parse_time(const char *text, uint64_t *at_us)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	uint64_t seconds;

	if (end && (*end == '\0' || strcmp(end, "Z") == 0))
		seconds = (uint64_t)timegm(&tm);
	else if (!filter_parse_number(text, UINT64_MAX / 1000000, &seconds) || seconds == 0)
		return false;
	*at_us = seconds * 1000000;
	return true;
}

bool who_held(const struct ctl_who *q, uint64_t at_us, const struct ctl_entry *e, uint64_t since_us, uint64_t until_us)
{
	if (e->outside.address != q->outside.address || e->outside.port != q->outside.port)
		return false;
	if (q->protocol != 0 && e->protocol != q->protocol)
		return false;
	return since_us / 1000000 <= at_us / 1000000 && (until_us == 0 || until_us >= at_us);
}
