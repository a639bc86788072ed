/* SPDX-License-Identifier: ISC */
/* JSON values, see json_private.h. */
#include "json_private.h"

#ifdef HAVE_JANSSON

#include <string.h>

#include "names.h"

bool json_is_built_in(void)
{
	return true;
}

const char *json_make_plain(char *plain, size_t size, const char *text)
{
	size_t len = 0;

	for (; *text && len < size - 1; text++)
		plain[len++] = *text >= ' ' && *text <= '~' ? *text : '?';
	plain[len] = '\0';
	return plain;
}

/* jansson escapes all control characters but DEL, and refuses invalid UTF-8. */
json_t *json_make_text(const char *text)
{
	char plain[CTL_TEXT_MAX + 1];
	json_t *value = strchr(text, 0x7f) ? NULL : json_string(text);

	return value ? value : json_string(json_make_plain(plain, sizeof(plain), text));
}

void json_set_member(json_t *o, const char *name, json_t *value)
{
	char plain[64];

	json_object_set_new(o, json_make_plain(plain, sizeof(plain), name), value);
}

json_t *json_make_number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

json_t *json_make_address(uint32_t address)
{
	char text[NAMES_ADDRESS_MAX];

	return json_string(names_address(text, address));
}

json_t *json_make_endpoint(const struct ctl_endpoint *e, uint8_t protocol)
{
	json_t *o = json_object();

	json_object_set_new(o, "address", json_make_address(e->address));
	if (protocol == 1 || protocol == 6 || protocol == 17)
		json_object_set_new(o, "port", json_integer(e->port));
	else
		json_object_set_new(o, "port", json_null());
	return o;
}

void json_set_time(json_t *o, uint64_t time_us)
{
	json_object_set_new(o, "time", json_real((double)time_us / 1e6));
}

/* A value that could not be created is missing, so the members are counted. */
bool json_print_line(FILE *f, json_t *o, size_t members)
{
	bool ok = o && json_object_size(o) == members &&
		  json_dumpf(o, f, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(16)) == 0;

	json_decref(o);
	fputc('\n', f);
	return ok;
}

#endif
