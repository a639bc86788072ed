/* SPDX-License-Identifier: ISC */
/* The text of /metrics, see metrics.h. All samples of a metric stand together below its HELP and TYPE. */
#include "metrics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/names.h"

enum { NAME_MAX_BYTES = 96, LABELS_MAX = 192 };

/* ---- the format ---- */

enum kind { COUNTER, GAUGE, INFO, SUMMARY };

struct family {
	const char *name; /* without natd_ and _total */
	enum kind kind;
	const char *help;
};

static const char *type_name(const struct metrics *m, enum kind kind)
{
	switch (kind) {
	case COUNTER:
		return "counter";
	case SUMMARY:
		return "summary";
	case INFO:
		return m->is_openmetrics ? "info" : "gauge";
	case GAUGE:
		break;
	}
	return "gauge";
}

/* The suffix of a sample's name; in the text format it is part of the family's name too. */
static const char *suffix(enum kind kind)
{
	return kind == COUNTER ? "_total" : kind == INFO ? "_info" : "";
}

static void head(FILE *f, const struct metrics *m, const struct family *family)
{
	const char *end = m->is_openmetrics ? "" : suffix(family->kind);

	fprintf(f, "# HELP natd_%s%s ", family->name, end);
	for (const char *p = family->help; *p; p++) {
		if (*p == '\\' || (*p == '"' && m->is_openmetrics))
			fputc('\\', f);
		fputc(*p >= ' ' && *p <= '~' ? *p : '?', f);
	}
	fprintf(f, "\n# TYPE natd_%s%s %s\n", family->name, end, type_name(m, family->kind));
}

/* `labels`: "" or {...}. */
static void sample(FILE *f, const struct family *family, const char *labels, uint64_t value)
{
	fprintf(f, "natd_%s%s%s %" PRIu64 "\n", family->name, suffix(family->kind), labels, value);
}

static void one(FILE *f, const struct metrics *m, const struct family *family, uint64_t value)
{
	head(f, m, family);
	sample(f, family, "", value);
}

/* Makes text from natd safe as part of a name. */
static const char *clean(char out[NAME_MAX_BYTES], const char *text)
{
	size_t n = 0;

	for (; *text && n < NAME_MAX_BYTES - 1; text++, n++)
		out[n] = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
					 (*text >= '0' && *text <= '9' && n > 0)
				 ? *text
				 : '_';
	out[n] = '\0';
	return out;
}

/* ---- counters that form one metric ---- */

/* Every counter whose name begins with `prefix` belongs to it, unless an earlier row takes it. */
struct rule {
	const char *prefix;
	bool is_exact;
	struct family family;
	const char *labels; /* %s: the name ($) or what follows the prefix, as `what` says */
	char what;	    /* '$' the whole name, '-' the rest with dashes, 'A' the rest in capitals, 'a' the rest */
};

static const struct rule rules[] = {
	{"drop_",
	 false,
	 {"dropped_packets", COUNTER, "packets dropped, by reason: natctl stats -o table explains each"},
	 "{reason=\"%s\"}",
	 '$'},
	{"out_packets", true, {"translated_packets", COUNTER, "packets translated"}, "{direction=\"out\"}", 0},
	{"in_packets", true, {"translated_packets", COUNTER, ""}, "{direction=\"in\"}", 0},
	{"out_bytes", true, {"translated_bytes", COUNTER, "bytes in translated packets"}, "{direction=\"out\"}", 0},
	{"in_bytes", true, {"translated_bytes", COUNTER, ""}, "{direction=\"in\"}", 0},
	{"sessions_ended_",
	 false,
	 {"sessions_ended", COUNTER, "sessions that ended, by reason"},
	 "{reason=\"%s\"}",
	 '-'},
	{"sessions_tcp_",
	 false,
	 {"sessions", GAUGE, "sessions now, by protocol and state"},
	 "{protocol=\"tcp\",state=\"%s\"}",
	 'A'},
	{"sessions_udp_", false, {"sessions", GAUGE, ""}, "{protocol=\"udp\",state=\"%s\"}", 'A'},
	{"sessions_icmp_", false, {"sessions", GAUGE, ""}, "{protocol=\"icmp\",state=\"%s\"}", 'A'},
	{"sessions_other_", false, {"sessions", GAUGE, ""}, "{protocol=\"other\",state=\"%s\"}", 'A'},
	{"alarm_",
	 false,
	 {"alarm_raised", GAUGE, "1: that limit is nearly used up (natd.conf: alarms)"},
	 "{id=\"%s\"}",
	 'a'},
	{"send_packets", true, {"send_packets", COUNTER, "packets sent by the raw socket"}, "", 0},
	{"send_",
	 false,
	 {"unsent_packets", COUNTER, "packets that the raw socket did not send, by reason"},
	 "{reason=\"%s\"}",
	 '$'},
	{"tun_write", true, {"tun_write", COUNTER, "packets written to the TUN device"}, "", 0},
	{"tun_write_",
	 false,
	 {"tun_unwritten_packets", COUNTER, "packets that the TUN device did not take, by reason"},
	 "{reason=\"%s\"}",
	 '$'},
};

enum { RULES = sizeof(rules) / sizeof(rules[0]) };

/* The row that a counter belongs to; RULES: none. */
static size_t rule_of(const char *name)
{
	for (size_t i = 0; i < RULES; i++) {
		if (rules[i].is_exact ? strcmp(name, rules[i].prefix) == 0
				      : strncmp(name, rules[i].prefix, strlen(rules[i].prefix)) == 0)
			return i;
	}
	return RULES;
}

static const char *label_value(char out[NAME_MAX_BYTES], const struct rule *r, const char *name)
{
	clean(out, r->what == '$' ? name : name + strlen(r->prefix));
	for (char *p = out; *p; p++) {
		if (r->what == 'A' && *p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
		if (r->what == '-' && *p == '_')
			*p = '-';
	}
	return out;
}

static void write_rule(FILE *f, const struct metrics *m, const struct rule *r, bool *has_head)
{
	char labels[LABELS_MAX], value[NAME_MAX_BYTES];

	for (size_t i = 0; i < m->n_counters; i++) {
		const struct ctl_counter *c = &m->counters[i];
		const char *at = strstr(r->labels, "%s");

		if (rule_of(c->name) != (size_t)(r - rules))
			continue;
		if (!*has_head)
			head(f, m, &r->family);
		*has_head = true;
		if (at)
			snprintf(labels, sizeof(labels), "%.*s%s%s", (int)(at - r->labels), r->labels,
				 label_value(value, r, c->name), at + 2);
		else
			snprintf(labels, sizeof(labels), "%s", r->labels);
		sample(f, &r->family, labels, c->value);
	}
}

static void write_rules(FILE *f, const struct metrics *m)
{
	bool has_head = false;

	for (size_t i = 0; i < RULES; i++) {
		if (i > 0 && strcmp(rules[i].family.name, rules[i - 1].family.name) != 0)
			has_head = false;
		write_rule(f, m, &rules[i], &has_head);
	}
}

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n >= k && strcmp(name + n - k, end) == 0;
}

/* All other counters: under their own name, with the unit appended. */
static void write_others(FILE *f, const struct metrics *m)
{
	char name[NAME_MAX_BYTES], unit[NAME_MAX_BYTES], full[2 * NAME_MAX_BYTES];

	for (size_t i = 0; i < m->n_counters; i++) {
		const struct ctl_counter *c = &m->counters[i];
		const struct family family = {full, c->type == CTL_GAUGE ? GAUGE : COUNTER, c->help};

		if (rule_of(c->name) < RULES)
			continue;
		clean(name, c->name);
		clean(unit, c->unit);
		if (!*unit || strstr(name, unit))
			snprintf(full, sizeof(full), "%s", name);
		else
			snprintf(full, sizeof(full), "%s_%s", name, unit);
		if (ends_with(full, "_total"))
			full[strlen(full) - strlen("_total")] = '\0';
		one(f, m, &family, c->value);
	}
}

/* ---- ports ---- */

static void write_pool(FILE *f, const struct family *family, const struct ctl_pool *p, const char *address)
{
	static const char *const protocols[] = {"tcp", "udp", "icmp"};
	char labels[LABELS_MAX];

	for (int i = 0; i < 3; i++) {
		uint32_t used = p->used[i] > p->quarantined[i] ? p->used[i] - p->quarantined[i] : 0;
		const struct {
			const char *state;
			uint32_t n;
		} parts[] = {{"used", used},
			     {"quarantined", p->quarantined[i]},
			     {"free", p->ports > p->used[i] ? p->ports - p->used[i] : 0}};

		for (int k = 0; k < 3; k++) {
			snprintf(labels, sizeof(labels), "{address=\"%s\",protocol=\"%s\",state=\"%s\"}", address,
				 protocols[i], parts[k].state);
			sample(f, family, labels, parts[k].n);
		}
	}
}

static void write_pools(FILE *f, const struct metrics *m)
{
	static const struct family family = {
		"ports", GAUGE, "ports of outside addresses (icmp: query identifiers), by protocol and use"};
	char address[NAMES_ADDRESS_MAX];

	head(f, m, &family);
	for (size_t i = 0; i < m->n_pools; i++)
		write_pool(f, &family, &m->pools[i], names_address(address, m->pools[i].address));
	if (m->others)
		write_pool(f, &family, m->others, "others");
}

/* ---- the busiest hosts ---- */

static void write_hosts(FILE *f, const struct metrics *m)
{
	static const struct family sessions = {"host_sessions", GAUGE, "sessions of the hosts with the most of them"};
	static const struct family ports = {"host_ports", GAUGE, "ports of these hosts"};
	static const struct family bytes = {"host_bytes", COUNTER, "bytes of these hosts since their first session"};
	static const char *const directions[] = {"out", "in"};
	char labels[LABELS_MAX], address[NAMES_ADDRESS_MAX];

	head(f, m, &sessions);
	for (size_t i = 0; i < m->n_hosts; i++) {
		snprintf(labels, sizeof(labels), "{host=\"%s\"}", names_address(address, m->hosts[i].address));
		sample(f, &sessions, labels, m->hosts[i].sessions);
	}
	head(f, m, &ports);
	for (size_t i = 0; i < m->n_hosts; i++) {
		snprintf(labels, sizeof(labels), "{host=\"%s\"}", names_address(address, m->hosts[i].address));
		sample(f, &ports, labels, m->hosts[i].ports);
	}
	head(f, m, &bytes);
	for (size_t i = 0; i < 2 * m->n_hosts; i++) {
		const struct ctl_host *h = &m->hosts[i / 2];

		snprintf(labels, sizeof(labels), "{host=\"%s\",direction=\"%s\"}", names_address(address, h->address),
			 directions[i % 2]);
		sample(f, &bytes, labels, h->bytes[i % 2]);
	}
}

/* ---- natd-web's own figures ---- */

static void write_web(FILE *f, const struct metrics *m)
{
	static const struct family answered = {"web_responses", COUNTER,
					       "answers of natd-web, by class of their status"};
	static const struct family clients = {"web_clients", GAUGE, "HTTP connections to natd-web now"};
	static const struct family evicted = {"web_evicted_clients", COUNTER,
					      "HTTP connections that natd-web ended: too slow, or too many"};
	static const struct family latency = {"control_request_duration_seconds", SUMMARY,
					      "time that natd took to answer requests of natd-web"};
	char labels[LABELS_MAX];

	head(f, m, &answered);
	for (unsigned i = 2; i < 6; i++) {
		snprintf(labels, sizeof(labels), "{code=\"%uxx\"}", i);
		sample(f, &answered, labels, m->web->answered[i]);
	}
	one(f, m, &clients, m->clients);
	one(f, m, &evicted, m->web->evicted);
	head(f, m, &latency);
	fprintf(f, "natd_%s_sum %" PRIu64 ".%06" PRIu64 "\nnatd_%s_count %" PRIu64 "\n", latency.name,
		m->web->query_us / 1000000, m->web->query_us % 1000000, latency.name, m->web->queries);
}

static void write_build(FILE *f, const struct metrics *m)
{
	static const struct family family = {"build", INFO, "versions of natd and natd-web"};
	static const struct family plain = {"build_info", GAUGE, "versions of natd and natd-web"};
	char labels[LABELS_MAX], version[NAME_MAX_BYTES];
	size_t n = 0;

	for (const char *p = m->version; *p && n < sizeof(version) - 1; p++)
		version[n++] = *p > ' ' && *p <= '~' && *p != '"' && *p != '\\' ? *p : '_';
	version[n] = '\0';
	snprintf(labels, sizeof(labels), "{version=\"%s\",web_version=\"%s\"}", version, PACKAGE_VERSION);
	head(f, m, m->is_openmetrics ? &family : &plain);
	sample(f, m->is_openmetrics ? &family : &plain, labels, 1);
}

void metrics_write(FILE *f, const struct metrics *m)
{
	static const struct family up = {"up", GAUGE, "1: natd answers"};

	one(f, m, &up, m->is_up);
	if (m->is_up) {
		write_build(f, m);
		write_rules(f, m);
		write_pools(f, m);
		if (m->n_hosts > 0)
			write_hosts(f, m);
		write_others(f, m);
	}
	write_web(f, m);
	if (m->is_openmetrics)
		fputs("# EOF\n", f);
}

/* ---- Accept ---- */

/* The weight of one element of an Accept header, in thousandths; 1000 by default. */
static int weight(const char *element, size_t len)
{
	for (size_t i = 0; i + 3 < len; i++) {
		if (element[i] == ';' && strspn(element + i + 1, " ") + i + 2 < len) {
			const char *p = element + i + 1 + strspn(element + i + 1, " ");

			if ((p[0] == 'q' || p[0] == 'Q') && p[1] == '=')
				return (int)(strtod(p + 2, NULL) * 1000);
		}
	}
	return 1000;
}

bool metrics_wants_openmetrics(const char *accept)
{
	static const char open[] = "application/openmetrics-text", plain[] = "text/plain";
	int best_open = 0, best_plain = 0;

	while (accept && *accept) {
		size_t len;

		accept += strspn(accept, " \t,");
		len = strcspn(accept, ",");
		if (strncasecmp(accept, open, sizeof(open) - 1) == 0 && weight(accept, len) > best_open)
			best_open = weight(accept, len);
		if (strncasecmp(accept, plain, sizeof(plain) - 1) == 0 && weight(accept, len) > best_plain)
			best_plain = weight(accept, len);
		accept += len;
	}
	return best_open > 0 && best_open >= best_plain;
}
