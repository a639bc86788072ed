/* SPDX-License-Identifier: ISC */
/* Parameters of requests. libevent splits and decodes them; each is then a name and a value to be checked. */
#include "params.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <string.h>

#include "client/filter.h"
#include "client/names.h"
#include "common/ctlhost.h"
#include "common/protocol.h"
#include "client/who.h"
#include "web.h"

enum { VALUE_SHOWN = 40 };

static bool refuse(struct params *p, const char *name, const char *value, const char *why)
{
	char shown[VALUE_SHOWN], shown_name[VALUE_SHOWN];

	names_escape(shown, sizeof(shown), value);
	names_escape(shown_name, sizeof(shown_name), name);
	snprintf(p->wrong, sizeof(p->wrong), "%s: \"%s\" %s", shown_name, shown, why);
	return false;
}

static bool read_number(struct params *p, const char *name, const char *value, uint64_t max, uint64_t *out)
{
	char why[48];

	if (filter_parse_number(value, max, out))
		return true;
	snprintf(why, sizeof(why), "is not a number up to %llu", (unsigned long long)max);
	return refuse(p, name, value, why);
}

static bool read_small(struct params *p, const char *name, const char *value, uint32_t max, uint32_t *out)
{
	uint64_t number;

	if (!read_number(p, name, value, max, &number))
		return false;
	*out = (uint32_t)number;
	return true;
}

static bool read_who(struct params *p, const char *name, const char *value)
{
	int protocol;

	if (strcmp(name, "endpoint") == 0)
		return who_parse_endpoint(value, &p->who.outside) || refuse(p, name, value, "is not ADDRESS:PORT");
	if (strcmp(name, "at") == 0)
		return who_parse_time(value, &p->at_us) ||
		       refuse(p, name, value, "is neither seconds since the epoch nor 2026-01-31T23:59:59Z");
	protocol = protocol_number(value);
	if (protocol != 1 && protocol != 6 && protocol != 17)
		return refuse(p, name, value, "is not tcp, udp or icmp");
	p->who.protocol = (uint8_t)protocol;
	return true;
}

static bool read_order(struct params *p, const char *name, const char *value)
{
	static const char *const names[CTL_ORDER_COUNT] = {
		[CTL_ORDER_RATE] = "rate", [CTL_ORDER_SESSIONS] = "sessions", [CTL_ORDER_PORTS] = "ports"};

	for (int i = CTL_ORDER_NONE + 1; i < CTL_ORDER_COUNT; i++) {
		if (strcmp(names[i], value) == 0) {
			p->order = (uint8_t)i;
			return true;
		}
	}
	return refuse(p, name, value, "is not rate, sessions or ports");
}

static const struct natctl_option *find_option(const char *name)
{
	for (size_t i = 0; i < filter_options.n; i++) {
		if (filter_options.options[i].name && strcmp(filter_options.options[i].name, name) == 0)
			return &filter_options.options[i];
	}
	return NULL;
}

static bool read_filter(struct params *p, const char *name, const char *value)
{
	const struct natctl_option *option = find_option(name);
	const char *why = NULL;

	if (!option)
		return refuse(p, name, value, "is no parameter of this path");
	if (option->takes != VALUE_OPTIONAL || *value)
		why = option->set(NULL, &p->filter, value);
	else
		why = option->set(NULL, &p->filter, NULL);
	return !why || refuse(p, name, value, why);
}

static bool is_of_who(const char *name)
{
	return strcmp(name, "endpoint") == 0 || strcmp(name, "at") == 0 || strcmp(name, "protocol") == 0;
}

static bool read_one(struct params *p, const char *name, const char *value, unsigned takes)
{
	if ((takes & PARAM_LIMIT) && strcmp(name, "limit") == 0)
		return read_small(p, name, value, WEB_LIMIT_MAX, &p->limit);
	if ((takes & PARAM_SINCE) && strcmp(name, "since") == 0)
		return read_number(p, name, value, UINT64_MAX, &p->since);
	if (strcmp(name, "soft") == 0) {
		p->is_soft = strcmp(value, "1") == 0;
		return p->is_soft || refuse(p, name, value, "is not 1");
	}
	if ((takes & PARAM_HOSTS) && strcmp(name, "hosts") == 0)
		return read_small(p, name, value, WEB_HOSTS_MAX, &p->hosts);
	if ((takes & PARAM_SORT) && strcmp(name, "sort") == 0)
		return read_order(p, name, value);
	if ((takes & PARAM_ENDPOINT) && is_of_who(name))
		return read_who(p, name, value);
	if (takes & PARAM_FILTER)
		return read_filter(p, name, value);
	return refuse(p, name, value, "is no parameter of this path");
}

static bool is_repeated(const struct evkeyvalq *all, const struct evkeyval *one)
{
	const struct evkeyval *other;

	for (other = all->tqh_first; other != one; other = other->next.tqe_next) {
		if (strcmp(other->key, one->key) == 0)
			return true;
	}
	return false;
}

static bool read_all(struct params *p, const struct evkeyvalq *all, unsigned takes)
{
	const struct evkeyval *one;
	bool has_endpoint = false;

	for (one = all->tqh_first; one; one = one->next.tqe_next) {
		if (is_repeated(all, one))
			return refuse(p, one->key, one->value, "is given a second time");
		if (!read_one(p, one->key, one->value, takes))
			return false;
		has_endpoint = has_endpoint || strcmp(one->key, "endpoint") == 0;
	}
	if ((takes & PARAM_ENDPOINT) && !has_endpoint)
		return refuse(p, "endpoint", "", "is missing: endpoint=ADDRESS:PORT");
	return true;
}

bool params_parse(struct params *p, const char *query, unsigned takes)
{
	struct evkeyvalq all = {0};
	bool is_right;

	*p = (struct params){.limit = WEB_LIMIT_DEFAULT};
	if (!query || !*query) {
		all.tqh_last = &all.tqh_first;
		return read_all(p, &all, takes);
	}
	if (evhttp_parse_query_str(query, &all) < 0)
		return refuse(p, "query", query, "is not NAME=VALUE&NAME=VALUE");
	is_right = read_all(p, &all, takes);
	evhttp_clear_headers(&all);
	return is_right;
}
