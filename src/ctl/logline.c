/* SPDX-License-Identifier: ISC */
/* Parsing of log lines, see logline.h. */
#define _GNU_SOURCE 1 /* timegm() */
#include "logline.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/protocol.h"

const char *logline_value(const char *line, const char *key)
{
	const char *at = strstr(line, key);

	return at ? at + strlen(key) : NULL;
}

bool logline_number(const char **p, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;
	const char *from = *p;

	for (; **p >= '0' && **p <= '9' && *p - from < 20; (*p)++)
		value = value * 10 + (uint64_t)(**p - '0');
	*out = value;
	return *p > from && *p - from < 20 && value <= max;
}

/* Up to six digits after the point, as microseconds. */
static uint64_t read_fraction(const char *p)
{
	uint64_t micros = 0, place = 100000;

	if (*p++ != '.')
		return 0;
	for (; *p >= '0' && *p <= '9'; p++, place /= 10)
		micros += place * (uint64_t)(*p - '0');
	return micros;
}

static bool read_json_time(const char *p, uint64_t *us)
{
	uint64_t seconds;

	if (!p || !logline_number(&p, UINT32_MAX * 16ull, &seconds))
		return false;
	*us = seconds * 1000000 + read_fraction(p);
	return true;
}

static bool read_text_time(const char *p, uint64_t *us)
{
	struct tm tm = {0};
	int used = 0;

	if (!p ||
	    sscanf(p, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
		   &tm.tm_sec, &used) != 6 ||
	    used != 19 || tm.tm_year < 1970)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	*us = (uint64_t)timegm(&tm) * 1000000 + read_fraction(p + used);
	return true;
}

bool logline_time(const char *line, enum logline_form form, uint64_t *us)
{
	return form == LOGLINE_JSON ? read_json_time(logline_value(line, "{\"time\":"), us) : read_text_time(line, us);
}

uint64_t logline_since(const char *line, enum logline_form form)
{
	uint64_t us;

	if (form == LOGLINE_JSON)
		return read_json_time(logline_value(line, ",\"since\":"), &us) ? us : 0;
	return read_text_time(logline_value(line, " since="), &us) ? us : 0;
}

static bool read_address(const char **p, uint32_t *address)
{
	*address = 0;
	for (int i = 0; i < 4; i++) {
		uint64_t part;

		if ((i > 0 && *(*p)++ != '.') || !logline_number(p, 255, &part))
			return false;
		*address = *address << 8 | (uint32_t)part;
	}
	return true;
}

bool logline_inside(const char *line, enum logline_form form, struct ctl_endpoint *e)
{
	const char *p = logline_value(line, form == LOGLINE_JSON ? "\"inside\":{\"address\":\"" : " inside=");
	const char *between = form == LOGLINE_JSON ? "\",\"port\":" : ":";
	uint64_t port;

	if (!p || !read_address(&p, &e->address) || strncmp(p, between, strlen(between)) != 0)
		return false;
	p += strlen(between);
	if (!logline_number(&p, UINT16_MAX, &port))
		return false;
	e->port = (uint16_t)port;
	return true;
}

bool logline_protocol(const char *line, enum logline_form form, uint8_t *protocol)
{
	const char *p = logline_value(line, form == LOGLINE_JSON ? "\"protocol\":\"" : " inside=");
	char name[16];
	int number;

	if (p && form == LOGLINE_TEXT) { /* the word before */
		const char *end = p - strlen(" inside=");

		for (p = end; p > line && p[-1] != ' '; p--)
			;
	}
	if (!p || sscanf(p, "%15[a-z0-9]", name) != 1)
		return false;
	number = protocol_number(name);
	*protocol = (uint8_t)number;
	return number > 0 && number <= UINT8_MAX;
}

bool logline_id(const char *line, enum logline_form form, uint64_t *id)
{
	const char *p = logline_value(line, form == LOGLINE_JSON ? ",\"id\":" : " id=");

	*id = 0;
	return !p || logline_number(&p, UINT64_MAX, id);
}

bool logline_state(const char *line, enum logline_form form, bool *ok)
{
	static const char *const begins[LOGLINE_FORMS][3] = {{"\"state\":\"opened\"", "\"event\":\"NEW\"", NULL},
							     {" opened ", "Z NEW ", NULL}};
	static const char *const ends[LOGLINE_FORMS][3] = {{"\"state\":\"closed\"", "\"event\":\"DESTROY\"", NULL},
							   {" closed ", "Z DESTROY ", NULL}};

	*ok = true;
	for (size_t i = 0; ends[form][i]; i++) {
		if (strstr(line, ends[form][i]))
			return true;
	}
	for (size_t i = 0; begins[form][i]; i++) {
		if (strstr(line, begins[form][i]))
			return false;
	}
	*ok = false;
	return false;
}

bool logline_block(const char *line, enum logline_form form, struct logline_block *b)
{
	const char *p = logline_value(line, form == LOGLINE_JSON ? "\"host\":\"" : " host=");
	const char *between = form == LOGLINE_JSON ? ",\"last\":" : "-";
	uint64_t first, last;

	if (!p || !read_address(&p, &b->host))
		return false;
	p = logline_value(line, form == LOGLINE_JSON ? "\"first\":" : " ports=");
	if (!p || !logline_number(&p, UINT16_MAX, &first) || strncmp(p, between, strlen(between)) != 0)
		return false;
	p += strlen(between);
	if (!logline_number(&p, UINT16_MAX, &last))
		return false;
	b->first = (uint16_t)first;
	b->last = (uint16_t)last;
	return true;
}
