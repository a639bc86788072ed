/* SPDX-License-Identifier: ISC */
/*
 * Privileges.
 *
 * Theory of operation. The order in privs_drop() matters: the bounding set needs CAP_SETPCAP, the ids need CAP_SETUID
 * and CAP_SETGID, and changing the uid clears the effective set, so the capability sets come last; PR_SET_KEEPCAPS
 * carries the permitted set across. A bounding set that cannot be emptied for lack of CAP_SETPCAP (the unit gave two
 * ambient capabilities and no more) is harmless: with no-new-privileges nothing can be gained from it. The two
 * capability states of stage 3 are created beforehand, so raising and lowering cannot fail for lack of memory.
 */
#define _GNU_SOURCE 1 /* setresuid() */
#include "privs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/base/account.h"
#include "daemon/base/log.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(HAS_ASAN)
#define HAS_ASAN 1
#endif
#ifndef HAS_ASAN
#define HAS_ASAN 0
#endif

/* Does `id` exist in this user namespace? */
static bool is_mapped(const char *map, unsigned long id)
{
	char line[80];
	bool found = false;
	FILE *f = fopen(map, "re");

	if (!f)
		return true; /* a kernel without user namespaces */
	while (!found && fgets(line, sizeof(line), f)) {
		char *rest;
		unsigned long first = strtoul(line, &rest, 10);
		unsigned long count;

		strtoul(rest, &rest, 10); /* skips the outside id */
		count = strtoul(rest, NULL, 10);
		found = id >= first && id - first < count;
	}
	fclose(f);
	return found;
}

int privs_init(struct privs *p, const char *user)
{
	struct account a;
	int r;

	memset(p, 0, sizeof(*p));
	if (geteuid() != 0)
		return 0;
	r = account_of_user(user, &a);
	if (r == -ENOENT || (r == 0 && a.uid == 0))
		return 0;
	if (r < 0)
		return r;
	p->uid = a.uid;
	p->gid = a.gid;
	p->has_user = is_mapped("/proc/self/uid_map", p->uid) && is_mapped("/proc/self/gid_map", p->gid);
	return 0;
}

/* ---- stage 1 ---- */

static bool has_capability(cap_value_t c, cap_flag_t set)
{
	cap_flag_value_t value = CAP_CLEAR;
	cap_t caps = cap_get_proc();

	if (!caps)
		return false;
	cap_get_flag(caps, c, set, &value);
	cap_free(caps);
	return value == CAP_SET;
}

bool privs_has(const char *capability)
{
	cap_value_t c;

	return cap_from_name(capability, &c) == 0 && has_capability(c, CAP_PERMITTED);
}

static int check_tun(const char *path, char *why, size_t size)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int err = errno;

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (err == ENOENT || err == ENODEV || err == ENXIO)
		snprintf(why, size,
			 "%s: %s: the kernel's TUN driver is needed: modprobe tun, or give the container the device",
			 path, strerror(err));
	else
		snprintf(why, size,
			 "%s: %s: natd creates its device there: give its user access to it (mode 0666 is usual)", path,
			 strerror(err));
	return -err;
}

int privs_check(const char *tun_path, char *why, size_t size)
{
	static const struct {
		cap_value_t cap;
		const char *name;
		const char *purpose;
	} needs[] = {
		{CAP_NET_ADMIN, "CAP_NET_ADMIN", "to create the TUN device and to set routes"},
		{CAP_NET_RAW, "CAP_NET_RAW", "to send translated packets through a raw socket"},
	};

	for (size_t i = 0; i < sizeof(needs) / sizeof(*needs); i++) {
		if (has_capability(needs[i].cap, CAP_EFFECTIVE))
			continue;
		snprintf(why, size,
			 "%s is missing, needed %s: start natd as root, by its systemd unit, or in a user and network "
			 "namespace of your own (unshare -Urn)",
			 needs[i].name, needs[i].purpose);
		return -EPERM;
	}
	return check_tun(tun_path, why, size);
}

void privs_prioritise(void)
{
	if (getpriority(PRIO_PROCESS, 0) != 0)
		return;
	if (setpriority(PRIO_PROCESS, 0, PRIVS_NICE) < 0)
		log_info(
			SUB_PRIVS,
			"running at nice 0, where packets wait for ordinary programs: starting natd as root, or by its "
			"unit, gives it nice %d",
			PRIVS_NICE);
}

/* ---- stage 3 ---- */

/* Permitted: CAP_NET_ADMIN if it is permitted now; effective: the same or nothing. */
static cap_t make_state(bool is_effective)
{
	const cap_value_t keep = CAP_NET_ADMIN;
	cap_t caps = cap_init();
	bool ok = caps != NULL;

	if (ok && has_capability(keep, CAP_PERMITTED)) {
		ok = cap_set_flag(caps, CAP_PERMITTED, 1, &keep, CAP_SET) == 0;
		if (ok && is_effective)
			ok = cap_set_flag(caps, CAP_EFFECTIVE, 1, &keep, CAP_SET) == 0;
	}
	if (!ok && caps) {
		cap_free(caps);
		caps = NULL;
	}
	return caps;
}

static int empty_bounding_set(void)
{
	if (!has_capability(CAP_SETPCAP, CAP_EFFECTIVE))
		return 0;
	for (cap_value_t c = 0; cap_get_bound(c) >= 0; c++) {
		if (cap_drop_bound(c) < 0)
			return -errno;
	}
	return 0;
}

static int become(const struct privs *p)
{
	if (!p->has_user)
		return 0;
	if (prctl(PR_SET_KEEPCAPS, 1L, 0L, 0L, 0L) < 0)
		return -errno;
	if (setgroups(0, NULL) < 0)
		return -errno;
	if (setresgid(p->gid, p->gid, p->gid) < 0)
		return -errno;
	if (setresuid(p->uid, p->uid, p->uid) < 0)
		return -errno;
	return 0;
}

static int close_doors(void)
{
	const struct rlimit none = {0, 0};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0)
		return -errno;
	setrlimit(RLIMIT_CORE, &none); /* a system call filter may refuse it; the next line has the same effect */
	/* The leak check of AddressSanitizer traces its own process. */
	if (!HAS_ASAN && prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) < 0)
		return -errno;
	return 0;
}

static int limit_capabilities(struct privs *p)
{
	p->raised = make_state(true);
	p->lowered = make_state(false);
	if (!p->raised || !p->lowered)
		return -ENOMEM;
	prctl(PR_CAP_AMBIENT, (long)PR_CAP_AMBIENT_CLEAR_ALL, 0L, 0L, 0L); /* kernels before 4.3 have none */
	return cap_set_proc(p->lowered) < 0 ? -errno : 0;
}

int privs_drop(struct privs *p, const char **what)
{
	int r;

	*what = "emptying the capability bounding set";
	r = empty_bounding_set();
	if (r < 0)
		return r;
	*what = "becoming the user natd";
	r = become(p);
	if (r < 0)
		return r;
	*what = "dropping capabilities";
	r = limit_capabilities(p);
	if (r < 0)
		return r;
	*what = "forbidding new privileges";
	r = close_doors();
	p->is_dropped = r == 0;
	return r;
}

int privs_renounce(const struct privs *p)
{
	cap_t none = cap_init();
	int r = none ? empty_bounding_set() : -ENOMEM;

	if (r == 0)
		r = become(p);
	if (r == 0)
		prctl(PR_CAP_AMBIENT, (long)PR_CAP_AMBIENT_CLEAR_ALL, 0L, 0L, 0L);
	if (r == 0 && cap_set_proc(none) < 0)
		r = -errno;
	if (none)
		cap_free(none);
	return r == 0 ? close_doors() : r;
}

static void set_state(cap_t state)
{
	/* Cannot fail for states within the permitted set; if it does all the same, the change that follows is
	 * refused and reports it. */
	if (state && cap_set_proc(state) < 0)
		log_warning(SUB_PRIVS,
			    "cannot change the capabilities of this thread: %s; routes and settings of the host may "
			    "stay as they are",
			    strerror(errno));
}

void privs_raise(const struct privs *p)
{
	set_state(p->raised);
}

void privs_lower(const struct privs *p)
{
	set_state(p->lowered);
}

void privs_fini(struct privs *p)
{
	if (p->raised)
		cap_free(p->raised);
	if (p->lowered)
		cap_free(p->lowered);
	p->raised = NULL;
	p->lowered = NULL;
}
