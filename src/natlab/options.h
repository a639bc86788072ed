/* SPDX-License-Identifier: ISC */
/*
 * natlab's command line: the NATs, the number of hosts, the command. All borrowed strings belong to argv.
 */
#ifndef NATD_NATLAB_OPTIONS_H
#define NATD_NATLAB_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* Addresses have the number of their NAT or host in one byte (plan.c). */
enum { LAB_MAX_NATS = 250, LAB_MAX_HOSTS = 250 };

/* A parsed --nat. The presets of a type are files of natd.conf lines, see nat.c. */
struct nat_wish {
	const char *text; /* as given; in the topology the name of NATs with presets */
	const char *type; /* "full-cone" and so on; NULL: `file` */
	const char *file; /* a whole natd.conf */
	bool hairpin_off, preserve, cgnat, no_udp;
};

struct lab_options {
	struct nat_wish nats[LAB_MAX_NATS];
	size_t n_nats;
	unsigned hosts; /* behind each NAT */
	bool server;
	bool shell; /* `natlab shell`: no COMMAND */
	unsigned verbose;
	const char *pcap; /* NULL: no recording */
	char **command;	  /* ends with NULL */
};

/* Parses the command line without the program's name. False: the caller ends with *code, and prints nothing more. */
bool options_take(struct lab_options *o, int argc, char **argv, int *code);
/* Parses one TYPE. Returns NULL, or what is wrong with it (static text; *about names the part, or all of it). */
const char *options_take_nat(struct nat_wish *w, const char *text, const char **about);

#endif
