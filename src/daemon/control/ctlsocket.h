/* SPDX-License-Identifier: ISC */
/*
 * The control socket's file: made, given its group and mode, and removed again.
 */
#ifndef NATD_DAEMON_CTLSOCKET_H
#define NATD_DAEMON_CTLSOCKET_H

#include <sys/types.h>

struct ctl_socket {
	char path[108]; /* "": not made by us, or none */
	dev_t dev;
	ino_t ino;
	uid_t owner;
};

/* Makes, binds and listens: a non-blocking descriptor (the caller's) or a negative errno, see ctl_server_listen(). */
int ctl_socket_make(struct ctl_socket *s, const char *path, const char *group, mode_t mode);
/* 0 or a negative errno; nothing for a socket that is not ours. `group` "": unchanged. */
int ctl_socket_set_access(const struct ctl_socket *s, const char *group, mode_t mode);
/* Removes the file, unless somebody has put another in its place. 0 or a negative errno. */
int ctl_socket_remove(struct ctl_socket *s);

#endif
