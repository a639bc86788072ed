/* SPDX-License-Identifier: ISC */
/*
 * Builds what a plan describes, from inside the laboratory's namespaces: its directory, its nodes, their cables.
 */
#ifndef NATD_NATLAB_BUILD_H
#define NATD_NATLAB_BUILD_H

#include "plan.h"

/* Mounts /proc, the laboratory's directory and /etc/hosts. The caller is the first process of new user, mount,
 * network and process namespaces. All of these functions end this process (LAB_CANNOT) on failure. */
void build_mounts(void);
/* The namespaces, cables and addresses. */
void build_network(const struct plan *p);
/* The names of all addresses, in /etc/hosts too if it exists. */
void build_names(const struct plan *p);

#endif
