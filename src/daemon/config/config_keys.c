/* SPDX-License-Identifier: ISC */
/*
 * The table of keys: each row has a key's name, type, limits, default and setter. Defaults, checks, messages, and the
 * test that compares the table with the example and the manual page, all use this table. A new key is a row here, and a
 * field of struct natd_config.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/spelling.h"
#include "config_internal.h"
#include "config_text.h"

static const struct config_choice routing[] = {{"managed", ROUTING_MANAGED}, {"none", ROUTING_NONE}, {NULL, 0}};
static const struct config_choice routing_on_stop[] = {
	{"closed", ROUTING_STOP_CLOSED}, {"restore", ROUTING_STOP_RESTORE}, {NULL, 0}};
static const struct config_choice fast_path[] = {{"auto", CONFIG_FAST_PATH_AUTO},
						 {"off", CONFIG_FAST_PATH_OFF},
						 {"required", CONFIG_FAST_PATH_REQUIRED},
						 {NULL, 0}};
static const struct config_choice steering[] = {
	{"auto", CONFIG_STEERING_AUTO}, {"bpf", CONFIG_STEERING_BPF}, {"rules", CONFIG_STEERING_RULES}, {NULL, 0}};
static const struct config_choice unsolicited[] = {
	{"drop", UNSOLICITED_DROP}, {"reject", UNSOLICITED_REJECT}, {"host", UNSOLICITED_HOST}, {NULL, 0}};
static const struct config_choice mapping[] = {{"endpoint-independent", MAPPING_ENDPOINT_INDEPENDENT},
					       {"address-dependent", MAPPING_ADDRESS_DEPENDENT},
					       {"address-and-port-dependent", MAPPING_ADDRESS_AND_PORT_DEPENDENT},
					       {NULL, 0}};
static const struct config_choice filtering[] = {{"endpoint-independent", FILTERING_ENDPOINT_INDEPENDENT},
						 {"address-dependent", FILTERING_ADDRESS_DEPENDENT},
						 {"address-and-port-dependent", FILTERING_ADDRESS_AND_PORT_DEPENDENT},
						 {NULL, 0}};
static const struct config_choice port_selection[] = {
	{"random", PORTS_RANDOM}, {"preserve", PORTS_PRESERVE}, {NULL, 0}};
static const struct config_choice pooling[] = {{"paired", POOLING_PAIRED}, {"arbitrary", POOLING_ARBITRARY}, {NULL, 0}};
static const struct config_choice allocation[] = {
	{"port", ALLOCATION_PORT}, {"block", ALLOCATION_BLOCK}, {"deterministic", ALLOCATION_DETERMINISTIC}, {NULL, 0}};
static const struct config_choice other_protocols[] = {{"translate", OTHER_TRANSLATE}, {"drop", OTHER_DROP}, {NULL, 0}};
static const struct config_choice exhausted_icmp[] = {{"host-unreachable", EXHAUSTED_HOST_UNREACHABLE},
						      {"administratively-prohibited", EXHAUSTED_ADMIN_PROHIBITED},
						      {"none", EXHAUSTED_NONE},
						      {NULL, 0}};
static const struct config_choice log_targets[] = {{"auto", LOG_TO_AUTO},
						   {"stderr", LOG_TO_STDERR},
						   {"syslog", LOG_TO_SYSLOG},
						   {"journal", LOG_TO_JOURNAL},
						   {NULL, 0}};
static const struct config_choice log_levels[] = {{"error", LEVEL_ERROR},   {"warning", LEVEL_WARNING},
						  {"notice", LEVEL_NOTICE}, {"info", LEVEL_INFO},
						  {"debug", LEVEL_DEBUG},   {NULL, 0}};

static const struct config_choice tlog_what[] = {{"auto", TLOG_AUTO},
						 {"mappings", TLOG_MAPPINGS},
						 {"sessions", TLOG_SESSIONS},
						 {"blocks", TLOG_BLOCKS},
						 {NULL, 0}};
static const struct config_choice tlog_format[] = {{"json", TLOG_JSON}, {"text", TLOG_TEXT}, {NULL, 0}};

enum { DAY = 86400 };

#define AT(field) offsetof(struct natd_config, field)
#define TRUTH(g, n, field, d)                                                                                \
	{                                                                                                    \
		.group = (g), .name = (n), .type = TYPE_TRUTH, .set = config_set_truth, .offset = AT(field), \
		.standard = (d)                                                                              \
	}
#define CHOICE(g, n, field, d, list)                                                                           \
	{                                                                                                      \
		.group = (g), .name = (n), .type = TYPE_CHOICE, .set = config_set_choice, .offset = AT(field), \
		.standard = (d), .choices = (list)                                                             \
	}
#define NUMBER(g, n, field, lo, hi, d, u)                                                                           \
	.group = (g), .name = (n), .type = TYPE_NUMBER, .set = config_set_number, .offset = AT(field), .min = (lo), \
	.max = (hi), .standard = (d), .unit = (u)
#define SECONDS(n, field, lo, hi, d) NUMBER("timeouts", n, timeouts.field, lo, hi, d, " seconds")
#define ADVISED(least, rfc)	     .advised = (least), .advice = (rfc)
#define WORD(g, n, where, d, f)                                                                            \
	{                                                                                                  \
		.group = (g), .name = (n), .type = TYPE_STRING, .set = (f), .offset = (where), .text = (d) \
	}
#define CLASS_LIMIT(n, f, lo, hi)                                                                    \
	{                                                                                            \
		.group = "classes", .name = (n), .type = TYPE_STRING, .set = config_set_class_limit, \
		.offset = offsetof(struct nat_host_limits, f), .min = (lo), .max = (hi), .text = ""  \
	}
#define LIST(g, n, d, f)                                                              \
	{                                                                             \
		.group = (g), .name = (n), .type = TYPE_LIST, .set = (f), .text = (d) \
	}

/* clang-format off */
static const struct config_key keys[] = {
	WORD("tun", "name", AT(tun.name), "\"natd0\"", config_set_interface),
	{NUMBER("tun", "mtu", tun.mtu, 576, 65535, 0, " bytes"), .zero_too = true},
	TRUTH("tun", "offload", tun.offload, true),
	{NUMBER("tun", "queues", tun.queues, 0, CONFIG_QUEUES_MAX, 1, "")},
	{NUMBER("tun", "busy_poll", tun.busy_poll, 0, 1000, 100, " microseconds")},

	CHOICE("", "routing", routing, ROUTING_MANAGED, routing),
	CHOICE("", "routing_on_stop", routing_on_stop, ROUTING_STOP_CLOSED, routing_on_stop),
	{NUMBER("", "routing_table", routing_table, 256, 2147483646, 0, ""), .zero_too = true},

	WORD("outside", "interface", AT(outside.interface), "", config_set_outside_interface),
	LIST("outside", "addresses", "[ \"interface\" ]", config_set_addresses),
	LIST("outside", "ports", "[ \"16384-32767\", \"61000-65534\" ]", config_set_ports),
	CHOICE("outside", "unsolicited", outside.unsolicited, UNSOLICITED_DROP, unsolicited),
	WORD("outside", "stun", AT(outside.stun), "", config_set_server),

	LIST("inside", "interfaces", "", config_set_interfaces),
	LIST("inside", "prefixes", "", config_set_prefixes),
	LIST("inside", "exempt", "[ ]", config_set_exempt),

	CHOICE("translation", "mapping", translation.mapping, MAPPING_ENDPOINT_INDEPENDENT, mapping),
	CHOICE("translation", "filtering", translation.filtering, FILTERING_ADDRESS_DEPENDENT, filtering),
	TRUTH("translation", "hairpinning", translation.hairpinning, true),
	CHOICE("translation", "port_selection", translation.port_selection, PORTS_RANDOM, port_selection),
	TRUTH("translation", "port_parity", translation.port_parity, false),
	TRUTH("translation", "link_local", translation.link_local, false),
	CHOICE("translation", "pooling", translation.pooling, POOLING_PAIRED, pooling),
	CHOICE("translation", "allocation", translation.allocation, ALLOCATION_PORT, allocation),
	WORD("translation", "mss_clamp", AT(translation.mss_clamp), "\"auto\"", config_set_mss_clamp),
	CHOICE("translation", "other_protocols", translation.other_protocols, OTHER_TRANSLATE, other_protocols),
	CHOICE("translation", "exhausted_icmp", translation.exhausted_icmp, EXHAUSTED_HOST_UNREACHABLE, exhausted_icmp),

	{NUMBER("blocks", "size", blocks.size, BLOCK_SIZE_LEAST, 32768, 512, " ports")},
	{NUMBER("blocks", "per_host", blocks.per_host, 1, CONFIG_BLOCKS_MAX, 4, "")},
	{NUMBER("blocks", "overflow", blocks.overflow, 0, CONFIG_BLOCKS_MAX, 0, "")},

	LIST("", "forwards", "( )", config_set_forwards),
	WORD("forwards", "name", 0, "", config_set_forward_name),
	LIST("forwards", "protocol", "", config_set_forward_protocol),
	WORD("forwards", "address", 0, "", config_set_forward_address),
	WORD("forwards", "port", 0, "", config_set_forward_port),
	WORD("forwards", "to", 0, "", config_set_forward_to),
	LIST("forwards", "from", "", config_set_forward_from),
	WORD("forwards", "balance", 0, "", config_set_forward_balance),
	WORD("forwards", "affinity", 0, "", config_set_forward_affinity),
	WORD("forwards", "check", 0, "", config_set_forward_check),
	WORD("forwards", "side", 0, "", config_set_forward_side),

	LIST("", "filter", "( )", config_set_filter),
	WORD("filter", "name", 0, "", config_set_rule_name),
	WORD("filter", "action", 0, "", config_set_rule_action),
	WORD("filter", "direction", 0, "", config_set_rule_direction),
	LIST("filter", "protocol", "", config_set_rule_protocol),
	LIST("filter", "from", "", config_set_rule_from),
	LIST("filter", "to", "", config_set_rule_to),
	LIST("filter", "port", "", config_set_rule_port),
	LIST("filter", "icmp_type", "", config_set_rule_icmp_type),
	WORD("filter", "forward", 0, "", config_set_rule_forward),
	WORD("filter", "interface", 0, "", config_set_rule_interface),
	WORD("filter", "limit", 0, "", config_set_rule_limit),
	WORD("filter", "log", 0, "", config_set_rule_log),

	LIST("", "sets", "( )", config_set_sets),
	WORD("sets", "name", 0, "", config_set_set_name),
	WORD("sets", "file", 0, "", config_set_set_file),
	LIST("sets", "prefixes", "", config_set_set_prefixes),

	{SECONDS("udp", udp, 1, 365 * DAY, 300), ADVISED(120, "RFC 4787 REQ-5")},
	{SECONDS("icmp", icmp, 1, 365 * DAY, 60), ADVISED(60, "RFC 5508 REQ-2")},
	{SECONDS("other", other, 1, 365 * DAY, 300)},
	{SECONDS("tcp_opening", tcp_opening, 1, 365 * DAY, 240), ADVISED(240, "RFC 5382 REQ-5")},
	{SECONDS("tcp_established", tcp_established, 1, 365 * DAY, 7440), ADVISED(7440, "RFC 5382 REQ-5")},
	{SECONDS("tcp_closing", tcp_closing, 1, 365 * DAY, 240), ADVISED(240, "RFC 5382 REQ-5")},
	{SECONDS("unsolicited_syn", unsolicited_syn, 1, 60, 6), ADVISED(6, "RFC 5382 REQ-4")},
	{SECONDS("fragment", fragment, 1, 60, 5)},
	{SECONDS("port_reuse", port_reuse, 0, DAY, 120), ADVISED(120, "RFC 6888 REQ-8")},

	{NUMBER("limits", "sessions", limits.sessions, 1, CONFIG_SESSIONS_MAX, 1048576, "")},
	{NUMBER("limits", "sessions_per_host", limits.sessions_per_host, 0, CONFIG_SESSIONS_MAX, 0, "")},
	{NUMBER("limits", "ports_per_host", limits.ports_per_host, 0, CONFIG_SESSIONS_MAX, 0, "")},
	{NUMBER("limits", "new_sessions_per_host", limits.new_sessions_per_host, 0, 1000000, 0, " a second")},
	{NUMBER("limits", "fragments", limits.fragments, 1, 65536, 4096, "")},
	WORD("limits", "reserve", AT(limits.reserve), "\"auto\"", config_set_reserve),
	{NUMBER("limits", "events", limits.events, 1024, CONFIG_EVENTS_MAX, 65536, "")},

	LIST("", "static", "( )", config_set_static),
	WORD("static", "name", 0, "", config_set_static_name),
	WORD("static", "inside", 0, "", config_set_static_inside),
	WORD("static", "outside", 0, "", config_set_static_outside),

	LIST("", "classes", "( )", config_set_classes),
	WORD("classes", "name", 0, "", config_set_class_name),
	LIST("classes", "prefixes", "", config_set_class_prefixes),
	CLASS_LIMIT("sessions_per_host", sessions, 0, CONFIG_SESSIONS_MAX),
	CLASS_LIMIT("ports_per_host", ports, 0, CONFIG_SESSIONS_MAX),
	CLASS_LIMIT("new_sessions_per_host", new_sessions, 0, 1000000),
	CLASS_LIMIT("blocks_per_host", blocks, 0, CONFIG_BLOCKS_MAX),

	{NUMBER("alarms", "ports", alarms.ports, 0, 100, 80, " percent")},
	{NUMBER("alarms", "sessions", alarms.sessions, 0, 100, 80, " percent")},

	WORD("control", "socket", AT(control.socket), "\"" CONFIG_SOCKET_DEFAULT "\"", config_set_socket),
	WORD("control", "group", AT(control.group), "\"\"", config_set_group),
	WORD("control", "mode", AT(control.mode), "\"0660\"", config_set_mode),

	CHOICE("fast_path", "mode", fast_path.mode, CONFIG_FAST_PATH_AUTO, fast_path),
	CHOICE("fast_path", "steering", fast_path.steering, CONFIG_STEERING_AUTO, steering),

	CHOICE("log", "target", log.target, LOG_TO_AUTO, log_targets),
	CHOICE("log", "level", log.level, LEVEL_INFO, log_levels),

	WORD("translation_log", "target", 0, "\"none\"", config_set_tlog_target),
	CHOICE("translation_log", "what", translation_log.what, TLOG_AUTO, tlog_what),
	TRUTH("translation_log", "destinations", translation_log.destinations, false),
	CHOICE("translation_log", "format", translation_log.format, TLOG_JSON, tlog_format),

	LIST("web", "listen", "[ \"127.0.0.1:9642\" ]", config_set_listen),
};
/* clang-format on */

enum { KEYS = sizeof(keys) / sizeof(keys[0]) };
_Static_assert(sizeof(keys) / sizeof(keys[0]) <= CONFIG_KEYS_MAX, "struct config_loader has a line for each key");
_Static_assert(sizeof(CONFIG_SOCKET_DEFAULT) <= CONFIG_SOCKET_SIZE, "RUNSTATEDIR is too long for a socket");

const struct config_key *config_keys(size_t *n)
{
	*n = KEYS;
	return keys;
}

/* Lists of groups, and the word for one element. */
static const struct {
	const char *list, *one;
} lists[] = {{"forwards", "forward"}, {"classes", "class"}, {"static", "static"}, {"filter", "rule"}, {"sets", "set"}};

static const char *one_of_list(const char *group)
{
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		if (strcmp(lists[i].list, group) == 0)
			return lists[i].one;
	}
	return NULL;
}

static bool is_group(const char *name)
{
	for (size_t i = 0; i < KEYS; i++) {
		if (name[0] && strcmp(keys[i].group, name) == 0)
			return one_of_list(name) == NULL;
	}
	return false;
}

static const struct config_key *find_key(const char *group, const char *name)
{
	for (size_t i = 0; i < KEYS; i++) {
		if (strcmp(keys[i].group, group) == 0 && strcmp(keys[i].name, name) == 0)
			return &keys[i];
	}
	return NULL;
}

/* The row that represents a whole group: its first. -1: no such group. */
static int group_row(const char *group)
{
	for (size_t i = 0; i < KEYS; i++) {
		if (strcmp(keys[i].group, group) == 0)
			return (int)i;
	}
	return -1;
}

bool loader_has(const struct config_loader *l, const char *group, const char *name)
{
	const struct config_key *k = find_key(group, name);

	return k && l->key_lines[k - keys] > 0;
}

uint32_t loader_line(const struct config_loader *l, const char *group, const char *name)
{
	const struct config_key *k = find_key(group, name);
	int row = group_row(group);

	if (k && l->key_lines[k - keys] > 0)
		return l->key_lines[k - keys];
	if (row >= 0 && l->group_lines[row] > 0)
		return l->group_lines[row];
	return 1;
}

/* ---- names of keys ---- */

const char *config_key_path(const struct config_key *k, char *out, size_t size)
{
	const char *one = one_of_list(k->group);

	if (one)
		snprintf(out, size, "%s.%s", one, k->name);
	else
		snprintf(out, size, "%s%s%s", k->group, k->group[0] ? "." : "", k->name);
	return out;
}

const char *config_key_default(const struct config_key *k, char *out, size_t size)
{
	const struct config_choice *c = k->choices;

	if (k->text)
		snprintf(out, size, "%s", k->text);
	else if (k->type == TYPE_TRUTH)
		snprintf(out, size, "%s", k->standard ? "true" : "false");
	else if (k->type == TYPE_NUMBER)
		snprintf(out, size, "%lld", (long long)k->standard);
	for (; c && c->word; c++) {
		if (c->value == k->standard)
			snprintf(out, size, "\"%s\"", c->word);
	}
	return out;
}

/* The nearest key of `group`. */
static const char *nearest_key(const char *group, const char *name)
{
	struct spelling best = {.wanted = name};

	for (size_t i = 0; i < KEYS; i++) {
		if (strcmp(keys[i].group, group) == 0)
			spelling_try(&best, keys[i].name);
		else if (group[0] == '\0' && is_group(keys[i].group))
			spelling_try(&best, keys[i].group);
	}
	return spelling_found(&best);
}

/* Another group with a key of exactly that name, or NULL. */
static const char *home_of(const char *name)
{
	for (size_t i = 0; i < KEYS; i++) {
		if (keys[i].group[0] && strcmp(keys[i].name, name) == 0)
			return keys[i].group;
	}
	return NULL;
}

static void list_names(const char *group, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < KEYS && used < size; i++) {
		const char *word = keys[i].name;

		if (strcmp(keys[i].group, group) != 0) {
			bool starts_group =
				group[0] == '\0' && is_group(keys[i].group) && group_row(keys[i].group) == (int)i;

			if (!starts_group)
				continue;
			word = keys[i].group;
		}
		used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", word);
	}
}

static void report_unknown(struct config_loader *l, const char *group, const struct value *v)
{
	const char *nearest = nearest_key(group, v->name);
	const char *home = home_of(v->name);
	char names[256];
	char place[64] = "";

	if (one_of_list(group))
		snprintf(place, sizeof(place), " in a %s", one_of_list(group));
	else if (group[0])
		snprintf(place, sizeof(place), " in %s", group);
	list_names(group, names, sizeof(names));
	if (nearest)
		loader_error(l, v->line, "unknown key \"%s\"%s: did you mean \"%s\"?", v->name, place, nearest);
	else if (home)
		loader_error(l, v->line, "unknown key \"%s\"%s: it belongs in %s", v->name, place, home);
	else
		loader_error(l, v->line, "unknown key \"%s\"%s: there are %s", v->name, place, names);
}

/* ---- reading ---- */

static void read_group(struct config_loader *l, const struct value *v)
{
	if (v->kind != VALUE_GROUP) {
		loader_error(l, v->line, "%s must be a group in braces, not %s: write %s = { ... };", v->name,
			     value_kind_name(v->kind), v->name);
		return;
	}
	l->group_lines[group_row(v->name)] = v->line;
	config_keys_read(l, v->name, v);
}

void config_keys_read(struct config_loader *l, const char *group, const struct value *v)
{
	for (uint32_t i = 0; i < v->n_children; i++) {
		const struct value *child = &v->children[i];
		const struct config_key *k = find_key(group, child->name);

		if (k) {
			l->key_lines[k - keys] = child->line;
			k->set(l, k, child);
		} else if (group[0] == '\0' && is_group(child->name)) {
			read_group(l, child);
		} else {
			report_unknown(l, group, child);
		}
	}
}

bool config_key_expect(struct config_loader *l, const struct config_key *k, const struct value *v, enum value_kind kind)
{
	char path[64];

	if (v->kind == kind)
		return true;
	loader_error(l, v->line, "%s must be %s, not %s", config_key_path(k, path, sizeof(path)), value_kind_name(kind),
		     value_kind_name(v->kind));
	return false;
}

void config_key_refuse(struct config_loader *l, const struct config_key *k, const struct value *v, const char *why)
{
	char path[64];

	if (v->kind == VALUE_NUMBER)
		loader_error(l, v->line, "%s: %lld %s", config_key_path(k, path, sizeof(path)), (long long)v->number,
			     why);
	else
		loader_error(l, v->line, "%s: \"%s\" %s", config_key_path(k, path, sizeof(path)), v->string, why);
}
