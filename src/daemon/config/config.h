/* SPDX-License-Identifier: ISC */
/*
 * natd.conf(5) as a plain value, or the list of everything that is wrong with it. Never prints, logs or exits, and
 * reads only the file. Facts of the host (the addresses of its interfaces) are added later, by policy_build().
 */
#ifndef NATD_DAEMON_CONFIG_H
#define NATD_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/policy/allocation.h"
#include "core/policy/filter.h"
#include "core/policy/policy.h"
#include "daemon/base/log.h"

#ifndef RUNSTATEDIR
#define RUNSTATEDIR "/run"
#endif
#define CONFIG_SOCKET_DEFAULT RUNSTATEDIR "/natd/natd.sock"

enum {
	CONFIG_IFNAME_SIZE = 16,  /* IFNAMSIZ, with the NUL */
	CONFIG_SOCKET_SIZE = 108, /* sun_path, with the NUL */
	CONFIG_SERVER_SIZE = 256, /* HOST:PORT */
	CONFIG_GROUP_SIZE = 33,	  /* utmp's 32 and the NUL */
	CONFIG_QUEUES_MAX = 64,
	CONFIG_SESSIONS_MAX = 16777215, /* TABLE_MAX_SESSIONS */
	CONFIG_EVENTS_MAX = 16777215,
	CONFIG_ADDRESSES_MAX = 65534, /* outside addresses in all, the shared one included */
	CONFIG_FORWARDS_MAX = 65534,
	CONFIG_CLASSES_MAX = 1024,
	CONFIG_STATICS_MAX = 1024,
	CONFIG_BLOCKS_MAX = 62,	    /* of one host */
	CONFIG_FILE_MAX = 16 << 20, /* bytes */
	CONFIG_LISTEN_MAX = 16,
	CONFIG_PLACE_SIZE = 1024,
	CONFIG_SETS_MAX = 1024,
	CONFIG_RULES_MAX = 20000,	 /* each may add three lists, whose numbers have 16 bits */
	CONFIG_SET_FILE_MAX = 128 << 20, /* bytes */
	CONFIG_PROBLEMS_MAX = 200,	 /* stored in one report */
};

enum config_routing { ROUTING_MANAGED, ROUTING_NONE };
enum routing_stop { ROUTING_STOP_CLOSED, ROUTING_STOP_RESTORE };
enum config_fast_path { CONFIG_FAST_PATH_AUTO, CONFIG_FAST_PATH_OFF, CONFIG_FAST_PATH_REQUIRED };
enum config_steering { CONFIG_STEERING_AUTO, CONFIG_STEERING_BPF, CONFIG_STEERING_RULES };

struct config_tun {
	char name[CONFIG_IFNAME_SIZE];
	uint32_t mtu; /* 0: the outside interface's */
	bool offload;
	uint32_t queues;    /* 0: one a core */
	uint32_t busy_poll; /* microseconds; 0: never */
};

struct config_outside {
	uint32_t line; /* line of outside.interface, for later problems; 0: not from a file */
	char interface[CONFIG_IFNAME_SIZE];
	bool share_interface_address;	/* "interface" is among the addresses */
	struct nat_address_range *pool; /* the others: sorted, disjoint, not shared */
	uint32_t n_pool;
	bool ports_given;	 /* else config_port_ranges() returns the defaults */
	struct nat_range *ports; /* sorted, disjoint, within 1-65535 */
	uint32_t n_ports;
	struct nat_range *shared_ports; /* the same within 1-65534: what the kernel's rules can steer */
	uint32_t n_shared_ports;
	enum nat_unsolicited unsolicited;
	char stun[CONFIG_SERVER_SIZE]; /* HOST or HOST:PORT; "": none */
};

struct config_inside {
	uint32_t line;				/* of inside.prefixes, else of inside.interfaces */
	char (*interfaces)[CONFIG_IFNAME_SIZE]; /* no duplicates */
	uint32_t n_interfaces;
	struct nat_prefix *prefixes; /* disjoint, file order, mtu 0; none: the prefixes of the interfaces */
	uint32_t n_prefixes;
	struct nat_prefix *exempt; /* disjoint, file order */
	uint32_t n_exempt;
};

struct config_translation {
	enum nat_mapping_mode mapping;
	enum nat_filtering filtering;
	enum nat_port_selection port_selection;
	enum nat_pooling pooling;
	enum nat_allocation allocation;
	enum nat_other_protocols other_protocols;
	enum nat_exhausted_icmp exhausted_icmp;
	bool hairpinning;
	bool port_parity;
	bool link_local;
	int mss_clamp; /* MSS_CLAMP_OFF, MSS_CLAMP_AUTO, or bytes */
};

struct config_static {			     /* 1:1; prefixes of equal length */
	char name[NAT_FORWARD_NAME_MAX + 1]; /* "": none */
	uint32_t line;
	struct nat_prefix inside, outside;
};

enum config_check_type { CHECK_NONE, CHECK_TCP, CHECK_HTTP };
enum { CONFIG_CHECK_PATH_SIZE = 128 };

/* How the backends of a forward are checked. Compared with memcmp(): unused fields are zero. */
struct config_check {
	uint32_t type;			    /* enum config_check_type */
	uint32_t interval, timeout;	    /* seconds */
	uint32_t rise, fall;		    /* consecutive answers that make it up, or down */
	uint32_t status_first, status_last; /* of HTTP: range of good status codes */
	char path[CONFIG_CHECK_PATH_SIZE];
};

struct config_control {
	char socket[CONFIG_SOCKET_SIZE]; /* absolute */
	char group[CONFIG_GROUP_SIZE];	 /* "": natd's own */
	uint32_t mode;			 /* 0..0777 */
};

struct config_offload {
	enum config_fast_path mode;
	enum config_steering steering;
};

/* Read by natd-web. */
struct config_listener {
	uint8_t address[16]; /* network byte order; IPv4: the first four bytes */
	uint16_t port;
	bool is_ipv6;
};

struct config_web {
	struct config_listener listen[CONFIG_LISTEN_MAX]; /* no duplicates */
	uint32_t n_listen;				  /* at least 1 */
};

/* Read by natd-log, see config_tlog.c. */
enum config_tlog_target { TLOG_NONE, TLOG_JOURNAL, TLOG_FILE, TLOG_SYSLOG_UDP, TLOG_SYSLOG_TCP, TLOG_IPFIX };
enum config_tlog_what { TLOG_AUTO, TLOG_MAPPINGS, TLOG_SESSIONS, TLOG_BLOCKS };
enum config_tlog_format { TLOG_JSON, TLOG_TEXT };

struct config_tlog {
	enum config_tlog_target target;
	enum config_tlog_what what;
	enum config_tlog_format format;
	bool destinations;
	char place[CONFIG_PLACE_SIZE]; /* a file's absolute path, or a server's name or address; else "" */
	uint16_t port;		       /* of a server */
};

struct config_log {
	enum log_target target;
	enum log_level level;
};

/* Lists: the sets in file order, then one for each `from` or `to` that is not a single set. */
struct config_filter {
	struct filter_list *lists; /* spans owned, sorted, disjoint */
	uint32_t n_lists;
	char (*set_names)[NAT_FORWARD_NAME_MAX + 1];
	uint32_t n_sets;
	struct filter_rule *rules; /* file order; `ports` owned; `via` is FILTER_ANY: policy_build() fills it in */
	uint32_t *lines;	   /* of each rule */
	char (*interfaces)[CONFIG_IFNAME_SIZE]; /* of each rule; "": any */
	uint32_t n_rules;
};

struct natd_config {
	char *file; /* file name given to the loader; NULL: defaults */
	char *text; /* text that was loaded, without the added forwards */
	struct config_tun tun;
	enum config_routing routing;
	enum routing_stop routing_on_stop;
	uint32_t routing_table; /* 0: chosen by natd; natd uses it and the next number */
	struct config_outside outside;
	struct config_inside inside;
	struct config_translation translation;
	struct nat_blocks blocks;
	struct nat_forward *forwards; /* file order; every name set and unique; `from` arrays owned too */
	uint32_t *forward_lines;      /* n_forwards of them, as of the next */
	struct config_check *checks;
	uint32_t n_forwards;
	struct nat_host_class *classes; /* file order; `prefixes` arrays owned too */
	uint32_t *class_lines;		/* n_classes of them */
	uint32_t n_classes;
	struct config_static *statics;
	uint32_t n_statics;
	struct config_filter filter;
	struct nat_timeouts timeouts;
	struct nat_limits limits;
	struct {
		uint32_t ports, sessions; /* percent; 0: no alarm */
	} alarms;
	struct config_control control;
	struct config_log log;
	struct config_offload fast_path;
	struct config_web web;
	struct config_tlog translation_log;
};

/* Is it reachable from this host only? */
bool config_listener_is_loopback(const struct config_listener *l);

/* The kind of entries in the translation log, with TLOG_AUTO resolved. */
enum config_tlog_what config_tlog_what(const struct natd_config *c);
/* The kinds of events (1 << enum ctl_event_kind) that the log needs; 0: there is no such log. */
uint32_t config_tlog_kinds(const struct natd_config *c);

/* ---- problems ---- */

struct config_problem {
	char *file;
	uint32_t line; /* 0: about the whole file */
	bool is_warning;
	char *text; /* one line, no newline; control characters of the file are escaped */
};

/* Initialize with zero. Sorted by line after config_load(). */
struct config_report {
	struct config_problem *problems;
	uint32_t n_problems;
	uint32_t n_errors; /* problems that are not warnings, including those not stored */
	uint32_t n_lost;   /* not stored: beyond CONFIG_PROBLEMS_MAX, or memory was short */
};

enum config_severity { CONFIG_ERROR, CONFIG_WARNING };

void config_report_add(struct config_report *r, enum config_severity severity, const char *file, uint32_t line,
		       const char *format, ...) __attribute__((format(printf, 5, 6)));
/* "FILE:LINE: message" or "FILE:LINE: warning: message" ("FILE: message" without a line); as snprintf(). */
int config_problem_text(const struct config_problem *p, char *out, size_t size);
/* Prints one line each, and one more if some were lost. */
void config_report_print(const struct config_report *r, FILE *out);
/* The same through log_plain(), which does not wait for the reader of stderr. */
void config_report_log(const struct config_report *r);
void config_report_fini(struct config_report *r);

/* ---- loading ---- */

/* A configuration that is more than the file. */
struct config_source {
	const char *name; /* the file's name in messages; the file is read if `text` is NULL */
	const char *text;
	const char *forwards; /* added forwards, as groups separated by commas; NULL: none */
	const char *sets;     /* from config_sets_text(), used instead of the sets' files; NULL: the files are read */
};
/* As config_load(); the added forwards come last and are marked. */
struct natd_config *config_load_source(const struct config_source *src, struct config_report *report);

/* The sets of `c` as they were loaded: its text can be loaded again with them even if their files have changed. The
 * caller frees it. NULL: out of memory. */
char *config_sets_text(const struct natd_config *c);

/* Reads and checks the whole file. Returns the configuration (the caller frees it with config_free()), or NULL with
 * at least one error in the report. Either way there may be warnings. */
struct natd_config *config_load(const char *path, struct config_report *report);
/* The same from memory; `name` is the file's name in messages. */
struct natd_config *config_load_string(const char *text, size_t len, const char *name, struct config_report *report);
/* Every key at its default, keys without a default empty; NULL: out of memory. */
struct natd_config *config_defaults(void);
void config_free(struct natd_config *c); /* NULL is allowed */
/* Warns of interfaces, the control group and natd's user if this host does not have them. */
void config_check_host(const struct natd_config *c, const char *user, struct config_report *report);

/* The port ranges in effect for the shared address or for pool addresses: the user's, or the defaults. Borrowed from
 * `c` or constant. */
const struct nat_range *config_port_ranges(const struct natd_config *c, bool shared, uint32_t *n);

/* The allocation of ports, for allocation_destroy(); NULL: out of memory. Borrows nothing. */
struct allocation *config_allocation(const struct natd_config *c);
/* The resulting allocation in one line: "allocation: ..."; as snprintf(). */
int config_allocation_text(const struct natd_config *c, char *out, size_t size);

#endif
