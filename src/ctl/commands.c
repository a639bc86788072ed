/* SPDX-License-Identifier: ISC */
/*
 * The table of commands: one row each, in the order of the help.
 */
#include <string.h>

#include "capture.h"
#include "common/spelling.h"
#include "filter.h"
#include "hosts.h"
#include "monitor.h"
#include "natctl.h"
#include "public.h"
#include "top_options.h"

static const struct option_set *const filtered[] = {&filter_options, NULL};
static const struct option_set *const list_sets[] = {&filter_options, &list_options, NULL};
static const struct option_set *const monitor_sets[] = {&filter_options, &monitor_options, NULL};
static const struct option_set *const capture_sets[] = {&filter_options, &capture_options, NULL};
static const struct option_set *const public_sets[] = {&public_options, NULL};
static const struct option_set *const hosts_sets[] = {&filter_options, &hosts_options, NULL};
static const struct option_set *const top_sets[] = {&top_options, NULL};
static const struct option_set *const who_sets[] = {&who_options, NULL};
static const struct option_set *const reload_sets[] = {&reload_options, NULL};
static const struct option_set *const doctor_sets[] = {&doctor_options, NULL};
static const char monitor_details[] =
	"Ends at SIGINT. Events lost because natctl was too slow are counted: [LOST] N.\n";

static const struct natctl_command commands[] = {
	{"status", 0, NULL, "", "one screen: how natd is doing (the default command)", NULL, NULL, command_status},
	{"list", 'L', "dump", "[FILTER]", "the connection table, one entry a line",
	 "Entries go to stdout in conntrack's format, the closing line with their number to stderr.\n", list_sets,
	 command_list},
	{"count", 'C', NULL, "[FILTER]", "how many entries match: a bare number", NULL, filtered, command_count},
	{"stats", 'S', NULL, "", "every counter by name; -o table explains them", NULL, NULL, command_stats},
	{"delete", 'D', NULL, "FILTER", "end the entries that match, and print them",
	 "At least one criterion is needed; `natctl flush' ends all entries. Exit 1 when nothing matched.\n", filtered,
	 command_delete},
	{"flush", 'F', NULL, "", "end all entries", NULL, NULL, command_flush},
	{"mappings", 0, NULL, "", "which inside endpoint has which outside endpoint", NULL, NULL, command_mappings},
	{"forwards", 0, NULL, "", "ports forwarded to inside hosts", NULL, NULL, command_forwards},
	{"forward", 0, NULL, "add KEY=VALUE... [lifetime=SECONDS]|remove NAME",
	 "make a forward at run time, or remove it",
	 "Keys and checks are those of forwards in natd.conf(5); name is needed. Lists are KEY=A,B; a weight is "
	 "HOST*WEIGHT;\n"
	 "check is tcp, http or http:/PATH. Adding the same again only renews its lifetime. It outlives a reload and "
	 "a\n"
	 "restart.\n",
	 NULL, command_forward},
	{"backend", 0, NULL, "NAME HOST[:PORT] drain|resume", "take a backend out of new connections, or put it back",
	 "Its sessions continue. It stays drained across reloads and restarts.\n", NULL, command_backend},
	{"pools", 0, NULL, "", "outside addresses, and how many of their ports are in use", NULL, NULL, command_pools},
	{"blocks", 0, NULL, "", "blocks of ports in use, and the inside hosts that hold them", NULL, NULL,
	 command_blocks},
	{"rules", 0, NULL, "", "filter rules in order, with the counts of their decisions", NULL, NULL, command_rules},
	{"monitor", 'E', "event", "[FILTER]", "sessions as they open, change state and end", monitor_details,
	 monitor_sets, command_monitor},
	{"history", 0, NULL, "[FILTER]", "sessions that ended recently, and why", NULL, filtered, command_history},
	{"who", 0, NULL, "ADDRESS:PORT [PROTO]", "which inside host has, or had, that outside endpoint", NULL, who_sets,
	 command_who},
	{"hosts", 0, NULL, "[FILTER]", "inside hosts, with their sessions, ports and traffic",
	 "Only the criteria -s (the host) and -q (its outside address) apply. The first time, rates take a second.\n",
	 hosts_sets, command_hosts},
	{"top", 0, NULL, "", "a live screen: rates, use, what is dropped and why, the busiest hosts",
	 "Its last line names the keys. Without a terminal: natctl top -b -n 1.\n", top_sets, command_top},
	{"explain", 0, NULL, "PROTO SRC[:PORT] DST[:PORT] [in|out]", "what would happen to such a packet, and why",
	 "tcp means a SYN, icmp an echo request with the source's port as query id. Exit 0 when it would pass, 1 when "
	 "not.\n"
	 "Nothing changes.\n",
	 NULL, command_explain},
	{"capture", 0, NULL, "[FILTER] [EXPRESSION]", "packets on both sides, and what happened to each",
	 "EXPRESSION is one of pcap-filter(7). A packet is captured as it came and as it left when one of the two "
	 "matches.\n"
	 "Without -w: one line a packet. Ends at SIGINT.\n",
	 capture_sets, command_capture},
	{"public-address", 0, NULL, "", "how natd's addresses look from outside",
	 "Queries a STUN server from each outside address of natd. Exit 1 if it does not answer.\n", public_sets,
	 command_public_address},
	{"reload", 0, NULL, "", "read the configuration again: all of it or none of it", NULL, reload_sets,
	 command_reload},
	{"confirm", 0, NULL, "", "keep the configuration of reload --confirm", NULL, NULL, command_confirm},
	{"doctor", 0, NULL, "", "check host and configuration, and say how to fix them", NULL, doctor_sets,
	 command_doctor},
	{"help", 0, NULL, "[COMMAND]", "this list, or everything about one command", NULL, NULL, command_help},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

const struct natctl_command *natctl_commands(size_t *n)
{
	*n = COMMANDS;
	return commands;
}

/* conntrack's long names work only with their dashes: "--dump", not "dump". */
static int has_name(const struct natctl_command *c, const char *word)
{
	if (word[0] != '-')
		return strcmp(word, c->name) == 0;
	if (!c->letter)
		return 0;
	if (word[1] != '-')
		return word[1] == c->letter && word[2] == '\0';
	return strcmp(word + 2, c->long_name ? c->long_name : c->name) == 0;
}

const struct natctl_command *natctl_find_command(const char *word)
{
	for (int i = 0; i < COMMANDS; i++) {
		if (has_name(&commands[i], word))
			return &commands[i];
	}
	return NULL;
}

void natctl_complain_command(const char *word)
{
	struct spelling s = {.wanted = word + strspn(word, "-")};

	for (int i = 0; i < COMMANDS; i++)
		spelling_try(&s, commands[i].name);
	if (spelling_found(&s))
		natctl_complain("`%s' is not a command: did you mean `%s'?", word, spelling_found(&s));
	else
		natctl_complain("`%s' is not a command: `natctl help' lists them", word);
}
