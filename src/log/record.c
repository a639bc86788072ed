/* SPDX-License-Identifier: ISC */
/* Records and their text. Thousands are written a second, so numbers are formatted without printf(). */
#include "record.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/protocol.h"

bool record_of_event(struct record *r, const struct ctl_event *e, bool has_destinations)
{
	*r = (struct record){.time_us = e->time_us};
	switch (e->kind) {
	case CTL_EVENT_MAPPING:
		r->kind = RECORD_MAPPING;
		r->has_ended = e->has_ended;
		r->protocol = e->mapping.protocol;
		r->inside = e->mapping.inside;
		r->outside = e->mapping.outside;
		return true;
	case CTL_EVENT_NEW:
	case CTL_EVENT_DESTROY:
		r->kind = RECORD_SESSION;
		r->has_ended = e->kind == CTL_EVENT_DESTROY;
		r->protocol = e->entry.protocol;
		r->inside = e->entry.inside;
		r->outside = e->entry.outside;
		if (has_destinations)
			r->remote = e->entry.remote;
		r->id = e->entry.id;
		if (!r->has_ended)
			return true;
		r->since_us = e->time_us - (uint64_t)e->entry.age_s * 1000000;
		memcpy(r->reason, e->reason, sizeof(r->reason));
		return true;
	case CTL_EVENT_BLOCK:
		r->kind = RECORD_BLOCK;
		r->has_ended = e->has_ended;
		r->inside.address = e->block.inside;
		r->outside.address = e->block.outside;
		r->first = e->block.first;
		r->last = e->block.last;
		return true;
	default:
		return false;
	}
}

const char *record_event(const struct record *r)
{
	switch (r->kind) {
	case RECORD_START:
		return "START";
	case RECORD_LOST:
		return "LOST";
	case RECORD_MAPPING:
		return "MAPPING";
	case RECORD_SESSION:
		return r->has_ended ? "DESTROY" : "NEW";
	case RECORD_BLOCK:
		break;
	}
	return "BLOCK";
}

const char *record_state(const struct record *r)
{
	if (r->kind != RECORD_MAPPING && r->kind != RECORD_BLOCK)
		return "";
	return r->has_ended ? "closed" : "opened";
}

/* ---- building text; RECORD_SIZE has room for any record ---- */

static char *put_number(char *p, uint64_t n)
{
	char digits[20];
	size_t len = 0;

	do
		digits[len++] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	while (len > 0)
		*p++ = digits[--len];
	return p;
}

static char *put_address(char *p, uint32_t address)
{
	for (int shift = 24; shift >= 0; shift -= 8) {
		p = put_number(p, address >> shift & 255);
		if (shift > 0)
			*p++ = '.';
	}
	return p;
}

static char *put_micros(char *p, uint64_t time_us)
{
	uint32_t micros = (uint32_t)(time_us % 1000000);

	for (uint32_t place = 100000; place > 0; place /= 10)
		*p++ = (char)('0' + micros / place % 10);
	return p;
}

/* As a JSON number. */
static char *put_seconds(char *p, uint64_t time_us)
{
	p = put_number(p, time_us / 1000000);
	*p++ = '.';
	return put_micros(p, time_us);
}

static bool has_port(uint8_t protocol)
{
	return protocol == 1 || protocol == 6 || protocol == 17;
}

static char *put_protocol(char *p, uint8_t protocol)
{
	const char *name = protocol_name(protocol);

	return name ? stpcpy(p, name) : put_number(p, protocol);
}

/* Reasons are natd's own words; text from any other program is made harmless. */
static char *put_reason(char *p, const char *reason)
{
	for (; *reason; reason++)
		*p++ = (*reason >= 'a' && *reason <= 'z') || *reason == '-' ? *reason : '?';
	return p;
}

/* ---- JSON ---- */

static char *put_json_endpoint(char *p, const char *name, const struct ctl_endpoint *e, uint8_t protocol)
{
	p = stpcpy(p, ",\"");
	p = stpcpy(p, name);
	p = stpcpy(p, "\":{\"address\":\"");
	p = put_address(p, e->address);
	p = stpcpy(p, "\",\"port\":");
	p = has_port(protocol) ? put_number(p, e->port) : stpcpy(p, "null");
	*p++ = '}';
	return p;
}

static char *put_json_flow(char *p, const struct record *r)
{
	if (r->kind == RECORD_SESSION)
		p = put_number(stpcpy(p, ",\"id\":"), r->id);
	p = stpcpy(p, ",\"protocol\":\"");
	p = put_protocol(p, r->protocol);
	*p++ = '"';
	p = put_json_endpoint(p, "inside", &r->inside, r->protocol);
	p = put_json_endpoint(p, "outside", &r->outside, r->protocol);
	return r->remote.address ? put_json_endpoint(p, "remote", &r->remote, r->protocol) : p;
}

static char *put_json_block(char *p, const struct record *r)
{
	p = put_address(stpcpy(p, ",\"host\":\""), r->inside.address);
	p = put_address(stpcpy(p, "\",\"outside\":\""), r->outside.address);
	p = put_number(stpcpy(p, "\",\"first\":"), r->first);
	return put_number(stpcpy(p, ",\"last\":"), r->last);
}

size_t record_json(char out[RECORD_SIZE], const struct record *r)
{
	char *p = put_seconds(stpcpy(out, "{\"time\":"), r->time_us);

	p = stpcpy(p, ",\"event\":\"");
	p = stpcpy(p, record_event(r));
	*p++ = '"';
	if (record_state(r)[0]) {
		p = stpcpy(p, ",\"state\":\"");
		p = stpcpy(p, record_state(r));
		*p++ = '"';
	}
	if (r->kind == RECORD_MAPPING || r->kind == RECORD_SESSION)
		p = put_json_flow(p, r);
	else if (r->kind == RECORD_BLOCK)
		p = put_json_block(p, r);
	else if (r->kind == RECORD_LOST)
		p = r->count ? put_number(stpcpy(p, ",\"count\":"), r->count) : stpcpy(p, ",\"count\":null");
	if (r->since_us)
		p = put_seconds(stpcpy(p, ",\"since\":"), r->since_us);
	if (r->reason[0]) {
		p = put_reason(stpcpy(p, ",\"reason\":\""), r->reason);
		*p++ = '"';
	}
	if (r->is_found)
		p = stpcpy(p, ",\"found\":true");
	*p++ = '}';
	*p = '\0';
	return (size_t)(p - out);
}

/* ---- text ---- */

static char *put_two(char *p, int n)
{
	*p++ = (char)('0' + n / 10 % 10);
	*p++ = (char)('0' + n % 10);
	return p;
}

static char *put_time(char *p, uint64_t time_us)
{
	time_t seconds = (time_t)(time_us / 1000000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	p = put_number(p, (uint64_t)tm.tm_year + 1900);
	*p++ = '-';
	p = put_two(p, tm.tm_mon + 1);
	*p++ = '-';
	p = put_two(p, tm.tm_mday);
	*p++ = 'T';
	p = put_two(p, tm.tm_hour);
	*p++ = ':';
	p = put_two(p, tm.tm_min);
	*p++ = ':';
	p = put_two(p, tm.tm_sec);
	*p++ = '.';
	p = put_micros(p, time_us);
	*p++ = 'Z';
	return p;
}

const char *record_time(char out[RECORD_TIME_SIZE], uint64_t time_us)
{
	*put_time(out, time_us) = '\0';
	return out;
}

static char *put_text_endpoint(char *p, const char *name, const struct ctl_endpoint *e, uint8_t protocol)
{
	p = put_address(stpcpy(p, name), e->address);
	if (!has_port(protocol))
		return p;
	*p++ = ':';
	return put_number(p, e->port);
}

static char *put_text_flow(char *p, const struct record *r)
{
	*p++ = ' ';
	p = put_protocol(p, r->protocol);
	p = put_text_endpoint(p, " inside=", &r->inside, r->protocol);
	p = put_text_endpoint(p, " outside=", &r->outside, r->protocol);
	if (r->remote.address)
		p = put_text_endpoint(p, " remote=", &r->remote, r->protocol);
	return r->kind == RECORD_SESSION ? put_number(stpcpy(p, " id="), r->id) : p;
}

static char *put_text_block(char *p, const struct record *r)
{
	p = put_address(stpcpy(p, " host="), r->inside.address);
	p = put_address(stpcpy(p, " outside="), r->outside.address);
	p = put_number(stpcpy(p, " ports="), r->first);
	*p++ = '-';
	return put_number(p, r->last);
}

size_t record_text(char out[RECORD_SIZE], const struct record *r)
{
	char *p = put_time(out, r->time_us);

	*p++ = ' ';
	p = stpcpy(p, record_event(r));
	if (record_state(r)[0]) {
		*p++ = ' ';
		p = stpcpy(p, record_state(r));
	}
	if (r->kind == RECORD_MAPPING || r->kind == RECORD_SESSION)
		p = put_text_flow(p, r);
	else if (r->kind == RECORD_BLOCK)
		p = put_text_block(p, r);
	else if (r->kind == RECORD_LOST)
		p = r->count ? put_number(stpcpy(p, " count="), r->count) : stpcpy(p, " count=unknown");
	if (r->since_us)
		p = put_time(stpcpy(p, " since="), r->since_us);
	if (r->reason[0])
		p = put_reason(stpcpy(p, " reason="), r->reason);
	if (r->is_found)
		p = stpcpy(p, " found");
	*p = '\0';
	return (size_t)(p - out);
}
