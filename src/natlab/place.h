/* SPDX-License-Identifier: ISC */
/*
 * The files of a laboratory, and the programs that it runs.
 *
 * A laboratory's files (the namespaces' handles, each natd's natd.conf, log and control socket, the hosts' addresses)
 * are in a tmpfs that is mounted over SHARE/lab in the laboratory's own mount namespace. That directory comes with
 * natlab and is empty for every other process, so nothing has to be created or removed on the host, however a
 * laboratory ends:
 *
 *    netns/NODE            the node's network namespace
 *    NAT/natd.conf         /run/natd.conf for its natd
 *    NAT/natd/natd.sock    /run/natd/natd.sock for its natd
 *    NAT/log               that natd's output on stderr
 *    hosts                 "ADDRESS NAME" lines; /etc/hosts inside is the host's own with these
 */
#ifndef NATD_NATLAB_PLACE_H
#define NATD_NATLAB_PLACE_H

#include <limits.h>
#include <stdbool.h>

/* Each ends this process (LAB_CANNOT) if a name is longer than PATH_MAX. */
const char *place_share(void);	   /* $NATLAB_SHARE, else where it was installed; absolute */
const char *place_directory(void); /* SHARE/lab; within a laboratory $NATLAB_LAB */
const char *place_natd(void);	   /* $NATD, else where it was installed */
const char *place_natctl(void);	   /* $NATCTL, likewise */
bool place_is_inside(void);	   /* is this process in a laboratory? */
void place_path(char path[PATH_MAX], const char *format, ...)
	__attribute__((format(printf, 2, 3))); /* below the directory */
/* Moves this thread into the node's network namespace; returns 0 or an errno. */
int place_enter(const char *node);

/* Appends to a file below the directory, creating it if necessary; ends this process on failure. */
void place_write(const char *name, const char *text);

#endif
