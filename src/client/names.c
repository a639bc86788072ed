/* SPDX-License-Identifier: ISC */
/*
 * Names and text forms. The protocol table is conntrack's, and below it some more that a NAT meets: no
 * look-up in /etc/protocols, so that the same line comes out on every machine.
 */
#include "names.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/ctlrecord.h"

static const struct {
	uint8_t number;
	char name[9];
} protocols[] = {
	{6, "tcp"},	  {17, "udp"},	  {1, "icmp"},	   {132, "sctp"}, {47, "gre"},	 {33, "dccp"},
	{136, "udplite"}, {58, "icmpv6"}, {2, "igmp"},	   {4, "ipip"},	  {41, "ipv6"},	 {50, "esp"},
	{51, "ah"},	  {89, "ospf"},	  {108, "ipcomp"}, {112, "vrrp"}, {115, "l2tp"},
};

enum { CONNTRACK_KNOWS = 8, PROTOCOLS = sizeof(protocols) / sizeof(protocols[0]) };

static const char *find_name(uint8_t number, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (protocols[i].number == number)
			return protocols[i].name;
	}
	return NULL;
}

const char *names_conntrack_protocol(uint8_t number)
{
	const char *name = find_name(number, CONNTRACK_KNOWS);

	return name ? name : "unknown";
}

const char *names_protocol(uint8_t number, char buf[4])
{
	const char *name = find_name(number, PROTOCOLS);

	if (name)
		return name;
	snprintf(buf, 4, "%hhu", number);
	return buf;
}

int names_protocol_number(const char *text)
{
	char *end;
	unsigned long number;

	for (size_t i = 0; i < PROTOCOLS; i++) {
		if (strcasecmp(protocols[i].name, text) == 0)
			return protocols[i].number;
	}
	if (text[0] < '0' || text[0] > '9' || strlen(text) > 3)
		return -1;
	number = strtoul(text, &end, 10);
	return *end == '\0' && number <= UINT8_MAX ? (int)number : -1;
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
