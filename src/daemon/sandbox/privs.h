/* SPDX-License-Identifier: ISC */
/*
 * Privileges, in stages. The only file that knows libcap.
 *
 *	stage		natd may still				natd must not yet
 *	1 privs_check	everything it was started with		have touched the host
 *	2 (natd.c)	open TUN, raw sockets, control socket	read a packet or a client's byte
 *	3 privs_drop	change routes within privs_raise(),	have to open a raw socket, or a file
 *			read what the natd user may read	that only root may read
 *
 * After stage 3: user `natd` if there is one and natd was root, no capability in effect, CAP_NET_ADMIN
 * permitted and nothing else, bounding and ambient sets empty, no new privileges through exec, no core
 * dumps (memory holds the secret of the port choice), not traceable by others of the same user.
 */
#ifndef NATD_DAEMON_PRIVS_H
#define NATD_DAEMON_PRIVS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PRIVS_USER "natd"
enum { PRIVS_NICE = -10 };

struct privs {
	bool has_user; /* uid and gid below are those to become (stage 3) */
	bool is_dropped;
	uid_t uid;
	gid_t gid;
	void *raised; /* cap_t: what is in effect between privs_raise() and privs_lower(); NULL before stage 3 */
	void *lowered;
};

/* Looks up whom to become: `user` exists, this process is uid 0, and both ids exist in its user namespace. 0; or a
 * negative errno: whether it exists could not be found out. */
int privs_init(struct privs *p, const char *user);

/* Stage 1. 0; or -EPERM (-EACCES, -ENOENT... for `tun_path`) and one line in `why`: the right that is
 * missing, what it is for, how to give it. */
int privs_check(const char *tun_path, char *why, size_t size);

/* Before threads are made. Gives this process nice PRIVS_NICE where it has nice 0 and may: the kernel's own forwarding runs
 * before every program. Another value than 0 is its starter's choice, and stays. */
void privs_prioritise(void);

/* Stage 3. 0; or a negative errno and what failed in *what (static text): then the process must end. */
int privs_drop(struct privs *p, const char **what);

/* In a process of natd's own, instead of stage 3: no right at all is left. 0 or a negative errno. */
int privs_renounce(const struct privs *p);

/* Brackets around changes of routes, links and net sysctls (the kernel lets CAP_NET_ADMIN over the network
 * namespace write those, whichever user owns the file: net_ctl_permissions()). They do not nest. Before stage 3 they
 * do nothing. */
void privs_raise(const struct privs *p);
void privs_lower(const struct privs *p);

void privs_fini(struct privs *p);

/* For the doctor and tests: is the capability ("cap_net_raw") permitted to this process? */
bool privs_has(const char *capability);

#endif
