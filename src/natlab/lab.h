/* SPDX-License-Identifier: ISC */
/*
 * The life of a laboratory. There are two processes. natlab itself waits and passes signals on; the first process of
 * the laboratory's process namespace builds it, starts natds and COMMAND, and waits.
 *
 * If either of them ends, by whatever signal, the kernel ends all processes of that namespace, and with the last of
 * them its mounts and networks: nothing has to be cleaned up. The first process dies with natlab (PR_SET_PDEATHSIG).
 */
#ifndef NATD_NATLAB_LAB_H
#define NATD_NATLAB_LAB_H

#include "options.h"

/* Runs a laboratory to its end. Returns natlab's exit code. */
int lab_run(const struct lab_options *o);

#endif
