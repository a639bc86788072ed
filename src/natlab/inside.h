/* SPDX-License-Identifier: ISC */
/*
 * The first process of a laboratory: builds it, starts the natds and COMMAND, and stays until COMMAND has ended.
 */
#ifndef NATD_NATLAB_INSIDE_H
#define NATD_NATLAB_INSIDE_H

#include <signal.h>

#include "options.h"

/* `pcap`: the file to record into, or -1. `before`: the signal mask for COMMAND; the watched signals (lab.c) are
 * blocked. Returns the exit code of the laboratory: COMMAND's, or 128+N. */
int inside_run(const struct lab_options *o, int pcap, const sigset_t *before);

#endif
