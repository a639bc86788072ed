/* SPDX-License-Identifier: ISC */
/*
 * Builds what a plan describes, from within the laboratory's namespaces: its directory, its nodes, their cables.
 */
#ifndef NATD_NATLAB_BUILD_H
#define NATD_NATLAB_BUILD_H

#include "plan.h"

/* Mounts of its own: /proc, the laboratory's directory, /etc/hosts. The caller is the first process of new user, mount,
 * network and process namespaces. All of these end this process (LAB_CANNOT) on failure. */
void build_mounts(void);
/* The namespaces, cables and addresses. */
void build_network(const struct plan *p);
/* The names of all addresses, in /etc/hosts too where there is one. */
void build_names(const struct plan *p);

#endif
