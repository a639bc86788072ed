/* SPDX-License-Identifier: ISC */
/*
 * The natds of a laboratory: their configurations from the presets, their start, their logs.
 */
#ifndef NATD_NATLAB_NAT_H
#define NATD_NATLAB_NAT_H

#include <stdbool.h>
#include <sys/types.h>

#include "plan.h"

struct nat {
	const struct node *node;
	pid_t pid; /* 0: it has ended */
	int pipe;  /* its stderr; -1: closed */
	int log;   /* the file NAT/log */
	bool ready;
	bool aloud;	/* its log is copied to our stderr */
	char line[512]; /* the start of a line that is not complete yet */
	size_t line_used;
};

/* Writes NAT/natd.conf into the node's directory, which exists. Ends this process if a file cannot be read or natd
 * refuses it. */
void nat_configure(const struct node *n);
/* Starts natd in its node. Ends this process if that is impossible. */
void nat_start(struct nat *n, const struct node *node, bool aloud);
/* Reads natd's new output; call it when `pipe` is readable. At the end of the pipe it closes it. */
void nat_read(struct nat *n);
/* Prints natd's messages about its failure on our stderr. */
void nat_show_log(const struct nat *n);

#endif
