/* SPDX-License-Identifier: ISC */
#include "names.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/ctlrecord.h"
#include "common/protocol.h"

const char *names_conntrack_protocol(uint8_t number)
{
	const char *name = protocol_conntrack_name(number);

	return name ? name : "unknown";
}

const char *names_protocol(uint8_t number, char buf[4])
{
	const char *name = protocol_name(number);

	if (name)
		return name;
	snprintf(buf, 4, "%hhu", number);
	return buf;
}

char *names_address(char buf[NAMES_ADDRESS_MAX], uint32_t address)
{
	char *p = buf;

	for (int shift = 24; shift >= 0; shift -= 8) {
		unsigned byte = address >> shift & 0xff;

		if (byte >= 100)
			*p++ = (char)('0' + byte / 100);
		if (byte >= 10)
			*p++ = (char)('0' + byte / 10 % 10);
		*p++ = (char)('0' + byte % 10);
		*p++ = shift > 0 ? '.' : '\0';
	}
	return buf;
}

char *names_endpoint(char buf[NAMES_ENDPOINT_MAX], const struct ctl_endpoint *e, uint8_t protocol)
{
	char address[NAMES_ADDRESS_MAX];

	names_address(address, e->address);
	if (protocol == 1 || protocol == 6 || protocol == 17)
		snprintf(buf, NAMES_ENDPOINT_MAX, "%s:%hu", address, e->port);
	else
		snprintf(buf, NAMES_ENDPOINT_MAX, "%s", address);
	return buf;
}

void names_print(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (*text >= ' ' && *text <= '~')
			fputc(*text, f);
		else
			fprintf(f, "\\x%02x", (unsigned char)*text);
	}
}

char *names_escape(char *buf, size_t size, const char *text)
{
	size_t len = 0;

	buf[0] = '\0';
	for (; *text && len + 5 <= size; text++) {
		if (*text >= ' ' && *text <= '~')
			len += (size_t)snprintf(buf + len, size - len, "%c", *text);
		else
			len += (size_t)snprintf(buf + len, size - len, "\\x%02x", (unsigned char)*text);
	}
	return buf;
}
