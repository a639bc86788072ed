/* SPDX-License-Identifier: ISC */
/*
 * Shared by the files of config and their tests: the file as a tree of values independent of libconfig, the table of
 * keys, and the state of one config_load().
 *
 *   config.c          file -> tree (libconfig), and the public functions
 *   config_scan.c     errors that libconfig would accept silently
 *   config_keys.c     the table of keys; unknown keys
 *   config_scalars.c  keys with a single value, and all defaults
 *   config_lists.c    interfaces, addresses, ports, prefixes
 *   config_forward.c  forwards
 *   config_backend.c  the target of a forward, and how it chooses
 *   config_checks.c   health checks of backends
 *   config_set.c      sets of prefixes, in the file or in files of their own
 *   config_filter.c   filter rules
 *   config_unmatched.c  rules that can match nothing
 *   config_check.c    contradictions within the file
 *   config_class.c    classes of inside hosts
 *   config_static.c   static pairs
 *   config_allocation.c  blocks and deterministic allocation
 *   config_overlap.c  forwards that hide other forwards
 *   config_host.c     things that this host does not have
 *   config_report.c   the list of problems
 *   config_text.c     text to values and back
 *   config_tlog.c     the translation log, which natd-log writes
 *   config_web.c      addresses on which natd-web listens
 */
#ifndef NATD_DAEMON_CONFIG_INTERNAL_H
#define NATD_DAEMON_CONFIG_INTERNAL_H

#include "config.h"

/* ---- the file as a tree ---- */

enum value_kind { VALUE_NUMBER, VALUE_FRACTION, VALUE_TRUTH, VALUE_STRING, VALUE_LIST, VALUE_GROUP };

struct value {
	enum value_kind kind;
	uint32_t line;
	const char *name; /* NULL in a list */
	int64_t number;	  /* VALUE_NUMBER, VALUE_TRUTH */
	const char *string;
	struct value *children; /* VALUE_LIST (written with brackets or parentheses), VALUE_GROUP */
	uint32_t n_children;
};

/* "a whole number", "a string"... */
const char *value_kind_name(enum value_kind kind);

/* ---- the state of one load ---- */

enum { CONFIG_KEYS_MAX = 128 };

struct config_key;
struct forward_draft;
struct class_draft;
struct static_draft;
struct rule_draft;
struct set_draft;

struct config_loader {
	struct natd_config *c;
	struct config_report *report;
	const char *file;
	uint32_t key_lines[CONFIG_KEYS_MAX]; /* by row of the table; 0: not in the file */
	uint32_t group_lines[CONFIG_KEYS_MAX];
	uint32_t *pool_lines; /* the line of each entry of that list */
	uint32_t *port_lines;
	uint32_t *interface_lines;
	uint32_t *prefix_lines;
	uint32_t *exempt_lines;
	struct forward_draft *draft;	   /* the forward being read */
	struct class_draft *class_draft;   /* the class being read */
	struct static_draft *static_draft; /* the static pair being read */
	struct rule_draft *rule;	   /* likewise below */
	struct set_draft *set;
	const char *more;		   /* forwards to add; NULL: none */
	const char *kept_sets;		   /* from config_sets_text(); NULL: the sets' files are read */
	const struct value *filter, *sets; /* read last, because rules name sets and forwards */
};

void loader_error(struct config_loader *l, uint32_t line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void loader_warning(struct config_loader *l, uint32_t line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Allocates `n` (0 is allowed) zeroed elements; NULL has been reported. */
void *loader_alloc(struct config_loader *l, size_t n, size_t size);
/* Line of the key, else of its group, else 1. */
uint32_t loader_line(const struct config_loader *l, const char *group, const char *name);
bool loader_has(const struct config_loader *l, const char *group, const char *name);

/* ---- the table of keys ---- */

enum config_type { TYPE_TRUTH, TYPE_NUMBER, TYPE_CHOICE, TYPE_STRING, TYPE_LIST };

struct config_choice {
	const char *word; /* NULL: the end */
	int value;
};

typedef void config_set_fn(struct config_loader *l, const struct config_key *k, const struct value *v);

struct config_key {
	const char *group; /* "": top level; "forwards", "classes", "static": in each group of that list */
	const char *name;
	enum config_type type;
	config_set_fn *set;
	size_t offset; /* in struct natd_config: a bool, uint32_t, int or char[]; unused for TYPE_LIST and forwards */
	int64_t min;   /* TYPE_NUMBER */
	int64_t max;
	bool zero_too;	    /* 0 is allowed although min is higher */
	const char *unit;   /* TYPE_NUMBER: " seconds"... or "" */
	int64_t standard;   /* default: number, truth value, value of the choice */
	const char *text;   /* default in the file's syntax, if `standard` cannot express it; "": none */
	int64_t advised;    /* lower values are allowed with a warning ... */
	const char *advice; /* ... that cites this RFC */
	const struct config_choice *choices;
};

const struct config_key *config_keys(size_t *n);
/* The default in the file's syntax ("300", "true", "\"drop\"", "[ \"interface\" ]"); "": none. */
const char *config_key_default(const struct config_key *k, char *out, size_t size);
void config_keys_defaults(struct natd_config *c);
/* Passes each child of `v` to its key's setter; reports names that are not keys of `group`. */
void config_keys_read(struct config_loader *l, const char *group, const struct value *v);
/* "group.name", or the name alone at the top level; within a forward "forward.name". */
const char *config_key_path(const struct config_key *k, char *out, size_t size);
/* False, after reporting it, if `v` is not of that kind. */
bool config_key_expect(struct config_loader *l, const struct config_key *k, const struct value *v,
		       enum value_kind kind);
/* Reports that the value `v` of k is wrong: `why` continues the sentence. */
void config_key_refuse(struct config_loader *l, const struct config_key *k, const struct value *v, const char *why);

/* Setters. */
config_set_fn config_set_truth, config_set_number, config_set_choice, config_set_interface;
config_set_fn config_set_outside_interface, config_set_mss_clamp, config_set_reserve, config_set_socket,
	config_set_group, config_set_mode, config_set_server;
config_set_fn config_set_addresses, config_set_ports, config_set_interfaces, config_set_prefixes, config_set_exempt;
config_set_fn config_set_forwards, config_set_classes, config_set_static;
config_set_fn config_set_static_name, config_set_static_inside, config_set_static_outside;
config_set_fn config_set_class_name, config_set_class_prefixes, config_set_class_limit;
config_set_fn config_set_forward_name, config_set_forward_protocol, config_set_forward_address;
config_set_fn config_set_forward_port, config_set_forward_to, config_set_forward_from;
config_set_fn config_set_forward_balance, config_set_forward_affinity, config_set_forward_side,
	config_set_forward_check;
config_set_fn config_set_listen, config_set_tlog_target;
config_set_fn config_set_filter, config_set_sets;
config_set_fn config_set_rule_name, config_set_rule_action, config_set_rule_direction, config_set_rule_protocol;
config_set_fn config_set_rule_from, config_set_rule_to, config_set_rule_port, config_set_rule_icmp_type;
config_set_fn config_set_rule_forward, config_set_rule_interface, config_set_rule_limit, config_set_rule_log;
config_set_fn config_set_set_name, config_set_set_file, config_set_set_prefixes;

/* The entries of a list; a single value counts as a list with one entry. */
const struct value *config_list_entries(const struct value *v, uint32_t *n);

/* Reports a list without entries. */
bool config_list_is_empty(struct config_loader *l, const struct config_key *k, const struct value *v);

/* Parses a number or a string as one range of ports. False: reported. */
bool config_read_ports(struct config_loader *l, const struct config_key *k, const struct value *v,
		       struct nat_range *out);

/* Prefixes in file order with their lines; the caller owns both. Wrong entries are reported and omitted. */
struct prefix_list {
	struct nat_prefix *prefixes;
	uint32_t *lines;
	uint32_t n;
};
struct prefix_list config_read_prefixes(struct config_loader *l, const struct config_key *k, const struct value *v);

/* ---- steps of a load ---- */

/* Reports numbers that libconfig would cut to 32 bits, strings and comments without an end, and includes. True:
 * there were none. */
bool config_scan(struct config_loader *l, const char *text, size_t len);
/* For a text that libconfig refused: reports the first line in another program's syntax. False: there is none. */
bool config_scan_foreign(struct config_loader *l, const char *text);
/* All checks that need the whole file. */
void config_check(struct config_loader *l);
/* Those about static pairs. */
void config_check_static(struct config_loader *l);
/* Those about classes. */
void config_check_classes(struct config_loader *l);
/* Those about allocation; the lists must be sorted. */
void config_check_allocation(struct config_loader *l);
/* Those about forwards that hide each other. */
void config_check_overlaps(struct config_loader *l);

/* Those about the translation log. */
void config_check_tlog(struct config_loader *l);

/* Appends a list of forwards to those of the file, marked as dynamic. */
void config_add_forwards(struct config_loader *l, const struct value *v);
/* Reads the sets, then the rules that name them. */
void config_read_sets(struct config_loader *l);
void config_read_filter(struct config_loader *l);
void config_warn_of_unmatched(struct config_loader *l);
/* The number of the set with that name; -1: there is none. */
int config_find_set(const struct config_filter *f, const char *name);

void config_report_sort(struct config_report *r);

#endif
