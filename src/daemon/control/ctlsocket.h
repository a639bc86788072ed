/* SPDX-License-Identifier: ISC */
/*
 * The control socket's file: created, given its group and mode, and removed.
 */
#ifndef NATD_DAEMON_CTLSOCKET_H
#define NATD_DAEMON_CTLSOCKET_H

#include <sys/types.h>

struct ctl_socket {
	char path[108]; /* "": not created by us, or none */
	dev_t dev;
	ino_t ino;
	uid_t owner;
};

/* Creates, binds and listens. Returns a non-blocking descriptor (the caller's) or a negative errno, see
 * ctl_server_listen(). */
int ctl_socket_make(struct ctl_socket *s, const char *path, const char *group, mode_t mode);
/* Returns 0 or a negative errno; does nothing for a socket that is not ours. `group` "": unchanged. */
int ctl_socket_set_access(const struct ctl_socket *s, const char *group, mode_t mode);
/* Removes the file, unless another file has taken its place. Returns 0 or a negative errno. */
int ctl_socket_remove(struct ctl_socket *s);

#endif
