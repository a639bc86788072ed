/* SPDX-License-Identifier: ISC */
/*
 * What the files of config share, and its tests look at: the file as a tree of values that knows
 * nothing of libconfig, the table of keys, and what a run of config_load() carries along.
 *
 *   config.c          file -> tree (libconfig), and the public face
 *   config_scan.c     what libconfig would take without a word
 *   config_keys.c     the table of keys; unknown ones
 *   config_scalars.c  keys with a single value, and all defaults
 *   config_lists.c    interfaces, addresses, ports, prefixes
 *   config_forward.c  one forward after the other
 *   config_checks.c   how backends are checked
 *   config_backend.c  where a forward leads, and how it chooses
 *   config_set.c      sets of prefixes, from the file or from files of their own
 *   config_filter.c   one rule after the other
 *   config_check.c    what contradicts what
 *   config_class.c    one class of inside hosts after the other
 *   config_static.c   static pairs
 *   config_allocation.c  blocks and deterministic allocation
 *   config_overlap.c  forwards that hide forwards
 *   config_report.c   the list of problems
 *   config_text.c     words to values
 *   config_tlog.c     the translation log, which natd-log writes
 *   config_web.c      where natd-web listens
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

/* ---- one run ---- */

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
	uint32_t *pool_lines; /* where each entry of the list of that name stands */
	uint32_t *port_lines;
	uint32_t *interface_lines;
	uint32_t *prefix_lines;
	uint32_t *exempt_lines;
	struct forward_draft *draft;	   /* the forward being read */
	struct class_draft *class_draft;   /* the class being read */
	struct static_draft *static_draft; /* the static pair being read */
	struct rule_draft *rule;	   /* likewise below */
	struct set_draft *set;
	const char *more;		   /* forwards to be added; NULL: none */
	const char *kept_sets;		   /* by config_sets_text(); NULL: the files are read */
	const struct value *filter, *sets; /* read when all the rest is: rules name sets and forwards */
};

void loader_error(struct config_loader *l, uint32_t line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void loader_warning(struct config_loader *l, uint32_t line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Memory for `n` (0 too) zeroed things; NULL is already reported. */
void *loader_alloc(struct config_loader *l, size_t n, size_t size);
/* Where the key stands, else its group, else 1. */
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
	const char *group; /* "": at the top; "forwards", "classes", "static": in each of the list */
	const char *name;
	enum config_type type;
	config_set_fn *set;
	size_t offset; /* in struct natd_config: bool, uint32_t, int or char[]; TYPE_LIST and forwards: none */
	int64_t min;   /* TYPE_NUMBER */
	int64_t max;
	bool zero_too;	    /* 0 is allowed although min is above it */
	const char *unit;   /* TYPE_NUMBER: " seconds"... or "" */
	int64_t standard;   /* default: number, truth value, value of the choice */
	const char *text;   /* default as the file would write it, where the above cannot say; "": there is none */
	int64_t advised;    /* less is allowed with a warning ... */
	const char *advice; /* ... that names this RFC */
	const struct config_choice *choices;
};

const struct config_key *config_keys(size_t *n);
/* The default as the file would write it ("300", "true", "\"drop\"", "[ \"interface\" ]"), "" for none. */
const char *config_key_default(const struct config_key *k, char *out, size_t size);
/* Stores every default in *c. */
void config_keys_defaults(struct natd_config *c);
/* Hands each child of `v` to its key's setter; reports those that no key of `group` is called. */
void config_keys_read(struct config_loader *l, const char *group, const struct value *v);
/* "group.name", or the name alone at the top; within a forward "forward.name". */
const char *config_key_path(const struct config_key *k, char *out, size_t size);
/* False, and reported, when `v` is not of that kind. */
bool config_key_expect(struct config_loader *l, const struct config_key *k, const struct value *v,
		       enum value_kind kind);
/* Reports `why` about `text`, an entry of k. */
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

/* The entries of a list; a single value counts as a list of itself. */
const struct value *config_list_entries(const struct value *v, uint32_t *n);

/* Reports a list without entries. */
bool config_list_is_empty(struct config_loader *l, const struct config_key *k, const struct value *v);

/* A number or a string as one range of ports. False: reported. */
bool config_read_ports(struct config_loader *l, const struct config_key *k, const struct value *v,
		       struct nat_range *out);

/* Prefixes in file order, and where each stands; both the caller's. What is wrong is reported and left out. */
struct prefix_list {
	struct nat_prefix *prefixes;
	uint32_t *lines;
	uint32_t n;
};
struct prefix_list config_read_prefixes(struct config_loader *l, const struct config_key *k, const struct value *v);

/* ---- steps ---- */

/* Reports numbers that libconfig would cut to 32 bits, strings and comments without an end, includes. True: none. */
bool config_scan(struct config_loader *l, const char *text, size_t len);
/* For a text that libconfig refused: reports the first line in the language of another program. False: none. */
bool config_scan_foreign(struct config_loader *l, const char *text);
/* All that only shows when everything is read. */
void config_check(struct config_loader *l);
/* The part of it about static pairs. */
void config_check_static(struct config_loader *l);
/* The part of it about allocation; the lists are sorted. */
void config_check_allocation(struct config_loader *l);
/* The part of it about forwards that hide each other. */
void config_check_overlaps(struct config_loader *l);

/* The part of it about the translation log. */
void config_check_tlog(struct config_loader *l);

/* Adds a list of forwards to those of the file, marked as dynamic. */
void config_add_forwards(struct config_loader *l, const struct value *v);
/* The sets, then the rules that name them. */
void config_read_sets(struct config_loader *l);
void config_read_filter(struct config_loader *l);
/* The number of the set of that name; -1: there is none. */
int config_find_set(const struct config_filter *f, const char *name);

void config_report_sort(struct config_report *r);

#endif
