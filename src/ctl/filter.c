/* SPDX-License-Identifier: ISC */
/*
 * Filters: one table of options, each with the function that reads its value.
 */
#include "filter.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
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

/* ---- one function for each kind of value; false: not a valid one ---- */

static bool set_protocol(struct ctl_filter *f, const char *text)
{
	int number = names_protocol_number(text);

	f->protocol = (uint8_t)number;
	return number >= 0;
}

static bool set_orig_src(struct ctl_filter *f, const char *text)
{
	return filter_parse_prefix(text, &f->orig_src);
}

static bool set_orig_dst(struct ctl_filter *f, const char *text)
{
	return filter_parse_prefix(text, &f->orig_dst);
}

static bool set_reply_src(struct ctl_filter *f, const char *text)
{
	return filter_parse_prefix(text, &f->reply_src);
}

static bool set_reply_dst(struct ctl_filter *f, const char *text)
{
	return filter_parse_prefix(text, &f->reply_dst);
}

static bool set_sport(struct ctl_filter *f, const char *text)
{
	uint64_t port;
	bool ok = filter_parse_number(text, UINT16_MAX, &port);

	f->sport = ok ? (uint16_t)port : 0;
	return ok;
}

static bool set_dport(struct ctl_filter *f, const char *text)
{
	uint64_t port;
	bool ok = filter_parse_number(text, UINT16_MAX, &port);

	f->dport = ok ? (uint16_t)port : 0;
	return ok;
}

static bool set_state(struct ctl_filter *f, const char *text)
{
	int state = ctl_state_by_name(text);

	f->state = state < 0 ? 0 : (uint8_t)state;
	return state >= 0;
}

static bool set_forward(struct ctl_filter *f, const char *text)
{
	if (text[0] == '\0' || strlen(text) > CTL_NAME_MAX)
		return false;
	strcpy(f->forward, text);
	return true;
}

static bool set_id(struct ctl_filter *f, const char *text)
{
	return filter_parse_number(text, UINT64_MAX, &f->id);
}

/* ---- the table; the first rows are indexed by CRITERION_* ---- */

struct criterion {
	uint16_t bit;
	bool (*set)(struct ctl_filter *f, const char *text);
	const char *what; /* for the complaint */
};

static const struct criterion criteria[] = {
	{CTL_BY_PROTOCOL, set_protocol, "is not a protocol's name or number"},
	{CTL_BY_ORIG_SRC, set_orig_src, "is not an IPv4 address or ADDRESS/LENGTH"},
	{CTL_BY_ORIG_DST, set_orig_dst, "is not an IPv4 address or ADDRESS/LENGTH"},
	{CTL_BY_REPLY_SRC, set_reply_src, "is not an IPv4 address or ADDRESS/LENGTH"},
	{CTL_BY_REPLY_DST, set_reply_dst, "is not an IPv4 address or ADDRESS/LENGTH"},
	{CTL_BY_SPORT, set_sport, "is not a port (0 to 65535)"},
	{CTL_BY_DPORT, set_dport, "is not a port (0 to 65535)"},
	{CTL_BY_STATE, set_state, "is not a TCP state (SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT, ...)"},
	{CTL_BY_FORWARD, set_forward, "is not a forward's name (1 to 31 characters)"},
	{CTL_BY_ID, set_id, "is not an entry's id"},
};

/* Values that getopt_long() returns: index into criteria[] + FIRST, or a letter. */
enum { FIRST = 256 };

static const struct option filter_options[] = {
	{"protonum", required_argument, NULL, FIRST + 0},  {"proto", required_argument, NULL, FIRST + 0},
	{"src", required_argument, NULL, FIRST + 1},	   {"orig-src", required_argument, NULL, FIRST + 1},
	{"dst", required_argument, NULL, FIRST + 2},	   {"orig-dst", required_argument, NULL, FIRST + 2},
	{"reply-src", required_argument, NULL, FIRST + 3}, {"reply-dst", required_argument, NULL, FIRST + 4},
	{"sport", required_argument, NULL, FIRST + 5},	   {"orig-port-src", required_argument, NULL, FIRST + 5},
	{"dport", required_argument, NULL, FIRST + 6},	   {"orig-port-dst", required_argument, NULL, FIRST + 6},
	{"state", required_argument, NULL, FIRST + 7},	   {"forward", required_argument, NULL, FIRST + 8},
	{"id", required_argument, NULL, FIRST + 9},	   {"json", no_argument, NULL, 'j'},
	{"output", required_argument, NULL, 'o'},	   {NULL, 0, NULL, 0},
};

static const struct option plain_options[] = {
	{"json", no_argument, NULL, 'j'},
	{"output", required_argument, NULL, 'o'},
	{NULL, 0, NULL, 0},
};

/* Index into criteria[] of a letter or a long option; -1: not a criterion. */
static int find_criterion(int option)
{
	static const char letters[] = "psdrq....i";
	const char *p;

	if (option >= FIRST)
		return option - FIRST;
	p = option == '.' ? NULL : strchr(letters, option);
	return p ? (int)(p - letters) : -1;
}

static bool set_criterion(struct ctl_filter *f, const struct criterion *c, const char *text)
{
	if (f->criteria & c->bit) {
		natctl_complain("`%s': that criterion was given before", text);
		return false;
	}
	f->criteria |= c->bit;
	if (c->set(f, text))
		return true;
	natctl_complain("`%s' %s", text, c->what);
	return false;
}

bool filter_parse_format(struct natctl *n, const char *name)
{
	static const char *const names[] = {
		[FORMAT_LINE] = "line",
		[FORMAT_TABLE] = "table",
		[FORMAT_JSON] = "json",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) == 0) {
			n->format = (enum natctl_format)i;
			return true;
		}
	}
	natctl_complain("`%s' is not an output format: table, json or line", name);
	return false;
}

/* getopt leaves a short option in optopt, and a long one in the argument before optind. */
static void complain_option(int option, char **argv)
{
	const char letter[] = {'-', (char)optopt, '\0'};
	const char *name = optopt > 0 && optopt < FIRST ? letter : argv[optind - 1];

	natctl_complain(option == ':' ? "%s: %s needs a value" : "%s: it has no option %s", argv[0], name);
}

static bool take_option(struct natctl *n, struct ctl_filter *f, int option, char **argv)
{
	int i;

	if (option == 'j') {
		n->format = FORMAT_JSON;
		return true;
	}
	if (option == 'o')
		return filter_parse_format(n, optarg);
	i = f && option != '?' && option != ':' ? find_criterion(option) : -1;
	if (i >= 0)
		return set_criterion(f, &criteria[i], optarg);
	complain_option(option, argv);
	return false;
}

bool filter_parse(struct natctl *n, struct ctl_filter *f, int argc, char **argv)
{
	const char *letters = f ? "+:p:s:d:r:q:i:jo:" : "+:jo:";
	int option;

	if (f)
		*f = (struct ctl_filter){0};
	optind = 0; /* glibc: start again */
	opterr = 0;
	while ((option = getopt_long(argc, argv, letters, f ? filter_options : plain_options, NULL)) != -1) {
		if (!take_option(n, f, option, argv))
			return false;
	}
	if (optind < argc) {
		natctl_complain("%s: `%s' is one argument too many", argv[0], argv[optind]);
		return false;
	}
	if (n->format == FORMAT_JSON && !json_is_built_in()) {
		natctl_complain("built without jansson: it has no JSON output");
		return false;
	}
	return true;
}
