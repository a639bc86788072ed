/* SPDX-License-Identifier: ISC */
/*
 * The plan of a laboratory: its nodes, their addresses, and the `ip -batch` lines that make it. Pure text: nothing is
 * built here.
 *
 *    nat1-host1 192.168.1.2 --- in0 192.168.1.1 [nat1] out0 203.0.113.1 ---.
 *    nat2-host1 192.168.2.2 --- in0 192.168.2.1 [nat2] out0 203.0.113.2 ---+--- net0 [internet] --- server 198.51.100.10
 *                                                                          |    203.0.113.254              198.51.100.20
 *    nat3-host1 --- [nat3] 100.64.3.2 --- in0 [nat3-cgnat] 203.0.113.3 ----'    198.51.100.254
 *
 * The internet is one router with one bridge: it knows no private address, so an untranslated packet goes nowhere.
 */
#ifndef NATD_NATLAB_PLAN_H
#define NATD_NATLAB_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

enum { NODE_NAME = 24, NODE_ADDRESS = 16 };

enum node_role { NODE_INTERNET, NODE_SERVER, NODE_NAT, NODE_CGNAT, NODE_HOST };

struct node {
	enum node_role role;
	char name[NODE_NAME];
	char address[2][NODE_ADDRESS]; /* printed by `natlab address`; for a NAT the outside one. "": none */
	const struct nat_wish *wish;   /* of a NAT, both of a pair; else NULL */
	char *lines;		       /* for ip -batch within the node; owned */
};

struct plan {
	struct node *nodes; /* owned */
	size_t n_nodes;
	char *cables; /* for ip -batch beside the nodes; namespaces are named DIRECTORY/NODE; owned */
};

/* False: out of memory. `directory` will hold the namespaces. */
bool plan_make(struct plan *p, const struct lab_options *o, const char *directory);
void plan_free(struct plan *p);

/* A node with a natd in it. */
static inline bool node_is_nat(const struct node *n)
{
	return n->role == NODE_NAT || n->role == NODE_CGNAT;
}

/* The settings below /proc/sys/net for a node of this role, "NAME=VALUE" each, ended by NULL; made before its
 * devices exist. */
const char *const *plan_settings(enum node_role role);

#endif
