/* SPDX-License-Identifier: ISC */
/*
 * The command line of natlab: which NATs, how many hosts, what to run. Everything borrowed is argv's.
 */
#ifndef NATD_NATLAB_OPTIONS_H
#define NATD_NATLAB_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* Addresses have the number of their NAT or host in one byte (plan.c). */
enum { LAB_MAX_NATS = 250, LAB_MAX_HOSTS = 250 };

/* What --nat takes. The presets of a type are files of natd.conf lines, see nat.c. */
struct nat_wish {
	const char *text; /* as given; for a preset NATs' name in the topology */
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
	char **command;	  /* up to NULL */
};

/* Takes the whole command line but the program's name; false: prints nothing more, the caller ends with *code. */
bool options_take(struct lab_options *o, int argc, char **argv, int *code);
/* One TYPE; NULL, or what is wrong with it (static text, *about names the part; may be the whole). */
const char *options_take_nat(struct nat_wish *w, const char *text, const char **about);

#endif
