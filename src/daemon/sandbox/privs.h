/* SPDX-License-Identifier: ISC */
/*
 * Privileges, in stages. Only this file uses libcap.
 *
 * stage  natd may still                               natd must not yet
 * 1 privs_check      everything it was started with   have touched the host
 * 2 (start.c)        open TUN, raw sockets, control   read a packet or a client's byte
 *                    socket
 * 3 privs_drop       change routes within             open a raw socket, or a file that
 *                    privs_raise(), read what the     only root may read, ever again
 *                    natd user may read
 *
 * After stage 3: user `natd` if it exists and natd was root, no effective capability, CAP_NET_ADMIN permitted and
 * nothing else, bounding and ambient sets empty, no new privileges through exec, no core dumps (memory holds the secret
 * of the port choice), not traceable by other processes of the same user.
 */
#ifndef NATD_DAEMON_PRIVS_H
#define NATD_DAEMON_PRIVS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PRIVS_USER "natd"
enum { PRIVS_NICE = -10 };

struct privs {
	bool has_user; /* uid and gid are those to become in stage 3 */
	bool is_dropped;
	uid_t uid;
	gid_t gid;
	void *raised; /* cap_t: in effect between privs_raise() and privs_lower(); NULL before stage 3 */
	void *lowered;
};

/* Finds the user to become: `user` exists, this process is uid 0, and both ids exist in its user namespace. Returns
 * 0, or a negative errno if that could not be found out. */
int privs_init(struct privs *p, const char *user);

/* Stage 1. Returns 0; or -EPERM (-EACCES, -ENOENT... for `tun_path`) and one line in `why`: the missing right, its
 * purpose, and how to grant it. */
int privs_check(const char *tun_path, char *why, size_t size);

/* Before threads are created. Gives this process nice PRIVS_NICE if it has nice 0 and the right: the kernel's own
 * forwarding runs before every program. Any other value is the administrator's choice, and stays. */
void privs_prioritise(void);

/* Stage 3. Returns 0; or a negative errno and the failed step in *what (static text): then the process must end. */
int privs_drop(struct privs *p, const char **what);

/* In a child process of natd, instead of stage 3: drops every right. Returns 0 or a negative errno. */
int privs_renounce(const struct privs *p);

/* Brackets around changes of routes, links and net sysctls (with CAP_NET_ADMIN over the network namespace the kernel
 * permits writing those for any owner of the file: net_ctl_permissions()). They do not nest. Before stage 3 they do
 * nothing. */
void privs_raise(const struct privs *p);
void privs_lower(const struct privs *p);

void privs_fini(struct privs *p);

/* For the doctor and tests: does this process have the capability ("cap_net_raw") in its permitted set? */
bool privs_has(const char *capability);

#endif
