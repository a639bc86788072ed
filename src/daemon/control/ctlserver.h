/* SPDX-License-Identifier: ISC */
/*
 * The control socket: a UNIX stream socket over which natctl asks (docs/control-protocol.md). Accepts,
 * learns from the kernel who is there, moves bytes; what the bytes mean is ctlclient.h's business.
 *
 * It never holds up packets: every client gets a slice of work per turn of the loop. A client that
 * sends rubbish, sends too slowly or does not read is dropped; see the limits below.
 *
 * Reading is for everyone who may connect (the socket's mode and group decide), changing for root and
 * for the user that natd runs as.
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
	CTL_CLIENTS_NOT_ROOT_MAX = 56, /* of them, so that root always gets in */
	CTL_CLIENTS_PER_UID_MAX = 16,  /* of one user other than root */
	CTL_FAREWELL_MS = 300,
};

struct ctl_server_params {
	struct loop *loop;
	struct nat *nat;
	const struct ctl_backend *backend; /* borrowed as long as the server lives, like all above */
	const char *version;		   /* natd's own, for the hello */
};

/* NULL when memory is short. Listens nowhere yet. */
struct ctl_server *ctl_server_create(const struct ctl_server_params *p);
/* Sends subscribers the last events (for CTL_FAREWELL_MS at most), drops every client, closes the socket, removes its file if this process made it. NULL: nothing. */
void ctl_server_destroy(struct ctl_server *s);

/*
 * Makes the socket at `path` and listens. A file that no process listens on any more is replaced; one
 * that answers is not (-EADDRINUSE). `group` "" leaves the group as it is. 0 or a negative errno.
 */
int ctl_server_listen(struct ctl_server *s, const char *path, const char *group, mode_t mode);
/* The same with a listening socket that was passed in (LISTEN_FDS): taken over, its file is not ours. */
int ctl_server_adopt(struct ctl_server *s, int fd);
/* After a reload: sets group and mode again. 0 or a negative errno. */
int ctl_server_set_access(struct ctl_server *s, const char *group, mode_t mode);

/* The kinds of events (1 << enum ctl_event_kind) to record also while nobody has subscribed, for a reader that is away. */
void ctl_server_keep_events(struct ctl_server *s, uint32_t kinds);

unsigned ctl_server_client_count(const struct ctl_server *s);
unsigned ctl_server_reader_count(const struct ctl_server *s); /* of them, subscribed to events */

#endif
