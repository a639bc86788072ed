/* SPDX-License-Identifier: ISC */
/*
 * Filters: one table of options, each with the function that parses its value into a struct ctl_filter. natctl reads
 * them as options, natd-web as parameters of a query.
 */
#include "filter.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/protocol.h"
#include "names.h"

bool filter_parse_number(const char *text, uint64_t max, uint64_t *value)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0' && *value <= max;
}

bool filter_parse_prefix(const char *text, struct ctl_prefix *p)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	char address[INET_ADDRSTRLEN];
	struct in_addr in;
	uint64_t bits = 32;

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(AF_INET, address, &in) != 1)
		return false;
	if (slash && !filter_parse_number(slash + 1, 32, &bits))
		return false;
	p->length = (uint8_t)bits;
	p->address = bits ? ntohl(in.s_addr) & UINT32_MAX << (32 - bits) : 0;
	return true;
}

/* ---- one function for each option; each returns NULL, or what is wrong with the value ---- */

static const char again[] = "gives a criterion a second time";

/* False: the criterion was already given. */
static bool claim(struct ctl_filter *f, unsigned bit)
{
	if (f->criteria & bit)
		return false;
	f->criteria = (uint16_t)(f->criteria | bit);
	return true;
}

static const char *set_protocol(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;
	int number = protocol_number(text);

	(void)n;
	if (!claim(f, CTL_BY_PROTOCOL))
		return again;
	f->protocol = (uint8_t)number;
	return number >= 0 ? NULL : "is not a protocol's name or number";
}

static const char *set_family(struct natctl *n, void *target, const char *text)
{
	(void)n, (void)target;
	return strcasecmp(text, "ipv4") == 0 ? NULL : "is not ipv4: natd translates nothing else";
}

static const char *set_prefix(struct ctl_filter *f, unsigned bit, struct ctl_prefix *p, const char *text)
{
	if (!claim(f, bit))
		return again;
	return filter_parse_prefix(text, p) ? NULL : "is not an IPv4 address or ADDRESS/LENGTH";
}

static const char *set_orig_src(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;

	(void)n;
	return set_prefix(f, CTL_BY_ORIG_SRC, &f->orig_src, text);
}

static const char *set_orig_dst(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;

	(void)n;
	return set_prefix(f, CTL_BY_ORIG_DST, &f->orig_dst, text);
}

static const char *set_reply_src(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;

	(void)n;
	return set_prefix(f, CTL_BY_REPLY_SRC, &f->reply_src, text);
}

static const char *set_reply_dst(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;

	(void)n;
	return set_prefix(f, CTL_BY_REPLY_DST, &f->reply_dst, text);
}

static const char *set_port(struct ctl_filter *f, unsigned bit, uint16_t *port, const char *text)
{
	uint64_t number;

	if (!claim(f, bit))
		return again;
	if (!filter_parse_number(text, UINT16_MAX, &number))
		return "is not a port (0 to 65535)";
	*port = (uint16_t)number;
	return NULL;
}

static const char *set_sport(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;

	(void)n;
	return set_port(f, CTL_BY_SPORT, &f->sport, text);
}

static const char *set_dport(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;

	(void)n;
	return set_port(f, CTL_BY_DPORT, &f->dport, text);
}

static const char *set_reply_sport(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;

	(void)n;
	return set_port(f, CTL_BY_REPLY_SPORT, &f->reply_sport, text);
}

static const char *set_reply_dport(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;

	(void)n;
	return set_port(f, CTL_BY_REPLY_DPORT, &f->reply_dport, text);
}

/* The three ICMP fields are one criterion of the protocol, with one bit for each field that must match. */
static const char *set_icmp(struct ctl_filter *f, uint8_t bit, uint64_t max, uint64_t *number, const char *text)
{
	if (f->icmp & bit)
		return again;
	f->criteria |= CTL_BY_ICMP;
	f->icmp |= bit;
	return filter_parse_number(text, max, number) ? NULL : "is not a number of that field";
}

static const char *set_icmp_type(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;
	uint64_t number = 0;
	const char *wrong = set_icmp(f, CTL_ICMP_TYPE, UINT8_MAX, &number, text);

	(void)n;
	f->icmp_type = (uint8_t)number;
	return wrong;
}

static const char *set_icmp_code(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;
	uint64_t number = 0;
	const char *wrong = set_icmp(f, CTL_ICMP_CODE, UINT8_MAX, &number, text);

	(void)n;
	f->icmp_code = (uint8_t)number;
	return wrong;
}

static const char *set_icmp_id(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;
	uint64_t number = 0;
	const char *wrong = set_icmp(f, CTL_ICMP_ID, UINT16_MAX, &number, text);

	(void)n;
	f->icmp_id = (uint16_t)number;
	return wrong;
}

static const char *set_state(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;
	int state = ctl_state_by_name(text);

	(void)n;
	if (!claim(f, CTL_BY_STATE))
		return again;
	f->state = state < 0 ? 0 : (uint8_t)state;
	return state >= 0 ? NULL : "is not a TCP state (SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT, ...)";
}

/* A list of conntrack's words. SEEN_REPLY and ASSURED must be set; UNSET: neither may be. */
static const char *set_status(struct natctl *n, void *target, const char *text)
{
	static const struct {
		const char *word;
		uint8_t set, clear;
	} words[] = {
		{"SEEN_REPLY", CTL_ENTRY_REPLIED, 0},
		{"ASSURED", CTL_ENTRY_ASSURED, 0},
		{"UNSET", 0, CTL_ENTRY_REPLIED | CTL_ENTRY_ASSURED},
	};
	struct ctl_filter *f = target;
	size_t len, i;

	(void)n;
	if (!claim(f, CTL_BY_STATUS))
		return again;
	for (;; text += len + 1) {
		len = strcspn(text, ",");
		for (i = 0; i < 3; i++) {
			if (strlen(words[i].word) == len && strncasecmp(words[i].word, text, len) == 0)
				break;
		}
		if (i == 3)
			return "is not a list of SEEN_REPLY, ASSURED and UNSET";
		f->status_set |= words[i].set;
		f->status_clear |= words[i].clear;
		if (text[len] == '\0')
			return NULL;
	}
}

/* conntrack's SNAT is a connection opened from inside, its DNAT one opened from outside. An address is the
 * translated one. */
static const char *set_src_nat(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;

	if (!claim(f, CTL_BY_ORIGIN))
		return again;
	f->from_outside = false;
	return text ? set_reply_dst(n, f, text) : NULL;
}

static const char *set_dst_nat(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;

	if (!claim(f, CTL_BY_ORIGIN))
		return again;
	f->from_outside = true;
	return text ? set_reply_src(n, f, text) : NULL;
}

static const char *set_forward(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;

	(void)n;
	if (!claim(f, CTL_BY_FORWARD))
		return again;
	if (text[0] == '\0' || strlen(text) > CTL_NAME_MAX)
		return "is not a forward's name (1 to 31 characters)";
	strcpy(f->forward, text);
	return NULL;
}

static const char *set_id(struct natctl *n, void *target, const char *text)
{
	struct ctl_filter *f = target;

	(void)n;
	if (!claim(f, CTL_BY_ID))
		return again;
	return filter_parse_number(text, UINT64_MAX, &f->id) ? NULL : "is not an entry's id";
}

/* ---- the table ---- */

#define ADDR "ADDR[/LEN]"

static const struct natctl_option rows[] = {
	{"proto", 'p', VALUE_NEEDED, "PROTO", "tcp, udp, icmp, gre... or a number", set_protocol},
	{"protonum", 0, VALUE_NEEDED, NULL, NULL, set_protocol},
	{"family", 'f', VALUE_NEEDED, "FAMILY", "ipv4: accepted, as everything here is IPv4", set_family},
	{"orig-src", 's', VALUE_NEEDED, ADDR, "source, as the opener sent it", set_orig_src},
	{"src", 0, VALUE_NEEDED, NULL, NULL, set_orig_src},
	{"orig-dst", 'd', VALUE_NEEDED, ADDR, "destination, as the opener sent it", set_orig_dst},
	{"dst", 0, VALUE_NEEDED, NULL, NULL, set_orig_dst},
	{"reply-src", 'r', VALUE_NEEDED, ADDR, "source of the reply", set_reply_src},
	{"reply-dst", 'q', VALUE_NEEDED, ADDR, "destination of the reply", set_reply_dst},
	{"sport", 0, VALUE_NEEDED, "PORT", "source port, as the opener sent it", set_sport},
	{"orig-port-src", 0, VALUE_NEEDED, NULL, NULL, set_sport},
	{"dport", 0, VALUE_NEEDED, "PORT", "destination port, as the opener sent it", set_dport},
	{"orig-port-dst", 0, VALUE_NEEDED, NULL, NULL, set_dport},
	{"reply-port-src", 0, VALUE_NEEDED, "PORT", "source port of the reply", set_reply_sport},
	{"reply-port-dst", 0, VALUE_NEEDED, "PORT", "destination port of the reply", set_reply_dport},
	{"icmp-type", 0, VALUE_NEEDED, "TYPE", "ICMP type of the opener (8: echo request)", set_icmp_type},
	{"icmp-code", 0, VALUE_NEEDED, "CODE", "ICMP code of the opener", set_icmp_code},
	{"icmp-id", 0, VALUE_NEEDED, "ID", "ICMP query id of the opener", set_icmp_id},
	{"state", 0, VALUE_NEEDED, "STATE", "TCP state: ESTABLISHED, TIME_WAIT...", set_state},
	{"status", 'u', VALUE_NEEDED, "LIST", "SEEN_REPLY, ASSURED; UNSET: neither", set_status},
	{"src-nat", 'n', VALUE_OPTIONAL, "[ADDR]", "opened by an inside host", set_src_nat},
	{"dst-nat", 'g', VALUE_OPTIONAL, "[ADDR]", "opened from outside", set_dst_nat},
	{"forward", 0, VALUE_NEEDED, "NAME", "made by that forward", set_forward},
	{"id", 'i', VALUE_NEEDED, "ID", "the entry with that id", set_id},
};

const struct option_set filter_options = {"FILTER, all of which must hold:", rows, sizeof(rows) / sizeof(rows[0])};
