/* SPDX-License-Identifier: ISC */
/*
 * The control socket: a UNIX stream socket for natctl (docs/control-protocol.md). It accepts connections, gets the
 * peer's user from the kernel, and moves bytes; ctlclient.h parses them.
 *
 * It never holds up packets: every client gets a slice of work per turn of the loop. A client that sends malformed
 * frames, sends too slowly or does not read is dropped; see the limits below.
 *
 * Every user who can connect may read (the socket's mode and group decide); only root and the user that natd runs as
 * may make changes.
 */
#ifndef NATD_DAEMON_CTLSERVER_H
#define NATD_DAEMON_CTLSERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ctlclient.h"

struct loop;
struct ctl_server;

enum {
	CTL_CLIENTS_MAX = 64,	       /* served at once */
	CTL_CLIENTS_NOT_ROOT_MAX = 56, /* of these; the rest is reserved for root */
	CTL_CLIENTS_PER_UID_MAX = 16,  /* of one user other than root */
	CTL_FAREWELL_MS = 300,
};

struct ctl_server_params {
	struct loop *loop;
	struct nat *nat;
	const struct ctl_backend *backend; /* borrowed as long as the server lives, like everything above */
	const char *version;		   /* natd's version, for the hello */
};

/* NULL: out of memory. It does not listen yet. */
struct ctl_server *ctl_server_create(const struct ctl_server_params *p);
/* Sends subscribers the last events (for at most CTL_FAREWELL_MS), drops every client, closes the socket, and
 * removes its file if this process created it. NULL is allowed. */
void ctl_server_destroy(struct ctl_server *s);

/*
 * Creates the socket at `path` and listens. A file on which no process listens is replaced; one that answers is not
 * (-EADDRINUSE). `group` "" leaves the group unchanged. Returns 0 or a negative errno.
 */
int ctl_server_listen(struct ctl_server *s, const char *path, const char *group, mode_t mode);
/* The same with a listening socket from the service manager (LISTEN_FDS): the server owns it, but not its file. */
int ctl_server_adopt(struct ctl_server *s, int fd);
/* After a reload: sets group and mode again. Returns 0 or a negative errno. */
int ctl_server_set_access(struct ctl_server *s, const char *group, mode_t mode);

/* The kinds of events (1 << enum ctl_event_kind) to record even without subscribers, for a reader that is away. */
void ctl_server_keep_events(struct ctl_server *s, uint32_t kinds);

unsigned ctl_server_client_count(const struct ctl_server *s);
unsigned ctl_server_reader_count(const struct ctl_server *s); /* clients subscribed to events */

#endif
