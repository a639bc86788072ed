/* SPDX-License-Identifier: ISC */
#include "protocol.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

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

const char *protocol_name(uint8_t number)
{
	return find_name(number, PROTOCOLS);
}

const char *protocol_conntrack_name(uint8_t number)
{
	return find_name(number, CONNTRACK_KNOWS);
}

int protocol_number(const char *text)
{
	unsigned number = 0;

	for (size_t i = 0; i < PROTOCOLS; i++) {
		if (strcasecmp(protocols[i].name, text) == 0)
			return protocols[i].number;
	}
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9' || number > UINT8_MAX)
			return -1;
		number = 10 * number + (unsigned)(*p - '0');
	}
	return text[0] != '\0' && number <= UINT8_MAX ? (int)number : -1;
}

bool protocol_is_steered(uint8_t number)
{
	static const uint8_t steered[] = {PROTOCOLS_STEERED};

	return memchr(steered, number, sizeof(steered)) != NULL;
}
