/* SPDX-License-Identifier: ISC */
/*
 * Text to values and back. Each parser takes a cursor over the text, so that "address", "address/length", "first-last"
 * and "address:port" share the parsers of their parts.
 */
#include "config_text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOT_AN_ADDRESS "is not an IPv4 address: write four numbers from 0 to 255, such as 192.0.2.1"

static bool refuse(char why[TEXT_WHY_SIZE], const char *reason)
{
	snprintf(why, TEXT_WHY_SIZE, "%s", reason);
	return false;
}

/* Parses decimal digits without a leading zero, up to `max`, and moves *s behind them. */
static bool take_number(const char **s, uint32_t max, uint32_t *out)
{
	const char *p = *s;
	uint32_t value = 0;

	if (*p == '0' && isdigit((unsigned char)p[1]))
		return false;
	for (; isdigit((unsigned char)*p); p++) {
		value = value * 10 + (uint32_t)(*p - '0');
		if (value > max)
			return false;
	}
	if (p == *s)
		return false;
	*s = p;
	*out = value;
	return true;
}

static bool take_char(const char **s, char c)
{
	if (**s != c)
		return false;
	(*s)++;
	return true;
}

static bool take_address(const char **s, uint32_t *address)
{
	uint32_t value = 0;
	uint32_t octet;

	for (int i = 0; i < 4; i++) {
		if ((i > 0 && !take_char(s, '.')) || !take_number(s, 255, &octet))
			return false;
		value = value << 8 | octet;
	}
	*address = value;
	return true;
}

bool text_address(const char *s, uint32_t *address, char why[TEXT_WHY_SIZE])
{
	return (take_address(&s, address) && *s == '\0') || refuse(why, NOT_AN_ADDRESS);
}

uint32_t text_prefix_last(const struct nat_prefix *p)
{
	return p->length == 0 ? UINT32_MAX : p->address | (uint32_t)((UINT64_C(1) << (32 - p->length)) - 1);
}

static bool refuse_host_bits(const struct nat_prefix *p, uint32_t mask, char why[TEXT_WHY_SIZE])
{
	char address[TEXT_ADDRESS_SIZE];

	snprintf(why, TEXT_WHY_SIZE, "has host bits set: the prefix of that length is %s/%u",
		 text_of_address(address, p->address & mask), p->length);
	return false;
}

bool text_prefix(const char *s, struct nat_prefix *prefix, char why[TEXT_WHY_SIZE])
{
	uint32_t length = 32;
	uint32_t mask;

	if (!take_address(&s, &prefix->address) || (*s != '\0' && *s != '/'))
		return refuse(why, "is not a prefix: write an IPv4 address and a length, such as 10.8.0.0/24");
	if (take_char(&s, '/') && (!take_number(&s, 32, &length) || *s != '\0'))
		return refuse(why, "has no proper prefix length: it is a number from 0 to 32");
	prefix->length = (uint8_t)length;
	prefix->mtu = 0;
	mask = length ? UINT32_MAX << (32 - length) : 0;
	return (prefix->address & ~mask) == 0 || refuse_host_bits(prefix, mask, why);
}

static bool refuse_reversed(const struct nat_address_range *r, char why[TEXT_WHY_SIZE])
{
	char range[TEXT_RANGE_SIZE];

	snprintf(why, TEXT_WHY_SIZE, "is reversed: write %s", text_of_addresses(range, r->last, r->first));
	return false;
}

bool text_address_range(const char *s, struct nat_address_range *range, char why[TEXT_WHY_SIZE])
{
	struct nat_prefix p;

	*range = (struct nat_address_range){0};
	if (!strchr(s, '-')) {
		if (!text_prefix(s, &p, why))
			return false;
		range->first = p.address;
		range->last = text_prefix_last(&p);
		return true;
	}
	if (!take_address(&s, &range->first) || !take_char(&s, '-') || !take_address(&s, &range->last) || *s != '\0')
		return refuse(why, "is not a range of addresses: write two of them, such as 192.0.2.1-192.0.2.9");
	return range->first <= range->last || refuse_reversed(range, why);
}

static bool check_ports(const struct nat_range *r, char why[TEXT_WHY_SIZE])
{
	if (r->first == 0 || r->last == 0)
		return refuse(why, "contains port 0, which cannot be used: ports are 1 to 65535");
	if (r->first <= r->last)
		return true;
	snprintf(why, TEXT_WHY_SIZE, "is reversed: write %u-%u", r->last, r->first);
	return false;
}

bool text_port_range(const char *s, struct nat_range *range, char why[TEXT_WHY_SIZE])
{
	uint32_t first;
	uint32_t last;
	bool fits = take_number(&s, UINT16_MAX, &first);

	last = first;
	if (fits && take_char(&s, '-'))
		fits = take_number(&s, UINT16_MAX, &last);
	if (!fits || *s != '\0')
		return refuse(why, "is not a port or range of ports within 1-65535: write 80 or 27015-27030");
	range->first = (uint16_t)first;
	range->last = (uint16_t)last;
	return check_ports(range, why);
}

bool text_endpoint(const char *s, uint32_t *address, uint16_t *port, char why[TEXT_WHY_SIZE])
{
	uint32_t number = 0;

	*port = 0;
	if (!take_address(&s, address) || (*s != '\0' && *s != ':'))
		return refuse(why, "is not an inside host: write an IPv4 address, or one with a port, such as "
				   "10.8.0.10:8080");
	if (take_char(&s, ':') && (!take_number(&s, UINT16_MAX, &number) || *s != '\0' || number == 0))
		return refuse(why, "has no proper port: it is a number from 1 to 65535");
	*port = (uint16_t)number;
	return true;
}

bool text_interface(const char *s, char why[TEXT_WHY_SIZE])
{
	size_t n = strlen(s);

	if (n == 0 || n > 15)
		return refuse(why, "is not the name of an interface: it has 1 to 15 characters");
	if (strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
		return refuse(why, "is not the name of an interface");
	for (size_t i = 0; i < n; i++) {
		if (!isgraph((unsigned char)s[i]) || strchr("/:%", s[i]))
			return refuse(why, "is not the name of an interface: no spaces, \"/\", \":\" or \"%\"");
	}
	return true;
}

bool text_mode(const char *s, uint32_t *mode, char why[TEXT_WHY_SIZE])
{
	size_t n = strlen(s);

	*mode = 0;
	for (size_t i = 0; i < n && s[i] >= '0' && s[i] <= '7' && *mode <= 0777; i++)
		*mode = *mode * 8 + (uint32_t)(s[i] - '0');
	if (n < 3 || n > 4 || strspn(s, "01234567") != n || *mode > 0777)
		return refuse(why, "is not a mode: write three or four octal digits up to \"0777\", such as \"0660\"");
	return true;
}

const char *text_reserved(uint32_t first, uint32_t last)
{
	/* clang-format off */
	static const struct {
		uint32_t first, last;
		const char *name;
	} blocks[] = {
		{0x00000000, 0x00ffffff, "0.0.0.0/8 (\"this network\")"},
		{0x7f000000, 0x7fffffff, "127.0.0.0/8 (loopback)"},
		{0xe0000000, 0xefffffff, "224.0.0.0/4 (multicast)"},
		{0xf0000000, 0xffffffff, "240.0.0.0/4 (reserved, and broadcast)"},
	};
	/* clang-format on */

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		if (first <= blocks[i].last && last >= blocks[i].first)
			return blocks[i].name;
	}
	return NULL;
}

const char *text_of_address(char out[TEXT_ADDRESS_SIZE], uint32_t address)
{
	struct in_addr in = {.s_addr = htonl(address)};

	return inet_ntop(AF_INET, &in, out, TEXT_ADDRESS_SIZE);
}

const char *text_of_prefix(char out[TEXT_RANGE_SIZE], const struct nat_prefix *p)
{
	size_t n = strlen(text_of_address(out, p->address));

	if (p->length < 32)
		snprintf(out + n, TEXT_RANGE_SIZE - n, "/%u", p->length);
	return out;
}

const char *text_of_addresses(char out[TEXT_RANGE_SIZE], uint32_t first, uint32_t last)
{
	size_t n = strlen(text_of_address(out, first));

	if (first != last) {
		out[n] = '-';
		text_of_address(out + n + 1, last);
	}
	return out;
}

const char *text_of_ports(char out[TEXT_RANGE_SIZE], struct nat_range r)
{
	snprintf(out, TEXT_RANGE_SIZE, r.first == r.last ? "%u" : "%u-%u", r.first, r.last);
	return out;
}

bool text_name(const char *text)
{
	size_t n = strlen(text);

	return n > 0 && n <= NAT_FORWARD_NAME_MAX && strspn(text, TEXT_NAME_CHARACTERS) == n;
}

bool text_port(const char *s, uint16_t *port)
{
	unsigned long value;
	char *end;

	if (s[0] < '1' || s[0] > '9' || strlen(s) > 5)
		return false;
	value = strtoul(s, &end, 10);
	*port = (uint16_t)value;
	return *end == '\0' && value <= UINT16_MAX;
}
