/* SPDX-License-Identifier: ISC */
/*
 * Dropping rights, see program.h. By system calls: dropping every capability needs no library.
 *
 * Landlock handles all file rights of its first version, and outgoing TCP connections if the kernel knows those; rules
 * give back what the caller keeps. Connecting to natd's UNIX socket is not among the rights of that version.
 */
#define _GNU_SOURCE 1 /* setgroups(), syscall() */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "program.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(HAS_SANITIZER)
#define HAS_SANITIZER 1
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif
#ifdef NATD_COVERAGE /* gcov writes its counts at exit */
#define WRITES_FILES 1
#else
#define WRITES_FILES HAS_SANITIZER
#endif

enum { LANDLOCK_CREATE = 444, LANDLOCK_ADD_RULE = 445, LANDLOCK_RESTRICT = 446, LANDLOCK_VERSION = 1 };
enum { RULE_PATH = 1, RULE_PORT = 2 };
enum {
	FS_WRITE = 1 << 1,
	FS_READ = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE = 1 << 5,
	FS_MAKE = 1 << 8,
	NET_CONNECT = 1 << 1
};

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	for (unsigned long c = 0; prctl(PR_CAPBSET_READ, c, 0L, 0L, 0L) >= 0; c++) {
		/* Refused without CAP_SETPCAP; then no-new-privileges alone keeps the bounding set out of reach. */
		if (prctl(PR_CAPBSET_DROP, c, 0L, 0L, 0L) < 0)
			break;
	}
	prctl(PR_CAP_AMBIENT, (long)PR_CAP_AMBIENT_CLEAR_ALL, 0L, 0L, 0L);
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static int close_doors(void)
{
	const struct rlimit none = {0, 0};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0)
		return -errno;
	setrlimit(RLIMIT_CORE, &none);
	/* The leak check of AddressSanitizer traces its own process. */
	if (!HAS_SANITIZER && prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) < 0)
		return -errno;
	return 0;
}

struct path_rule { /* struct landlock_path_beneath_attr */
	uint64_t allowed;
	int32_t parent;
} __attribute__((packed));

static int keep_some(int ruleset, const struct program_keep *keep, bool has_net)
{
	const uint64_t port[2] = {NET_CONNECT, keep->port};

	for (size_t i = 0; i < keep->n_dirs; i++) {
		const struct path_rule path = {FS_WRITE | FS_READ | FS_READ_DIR | FS_REMOVE | FS_MAKE, keep->dirs[i]};

		if (syscall(LANDLOCK_ADD_RULE, ruleset, RULE_PATH, &path, 0) < 0)
			return -errno;
	}
	if (has_net && keep->port && syscall(LANDLOCK_ADD_RULE, ruleset, RULE_PORT, port, 0) < 0)
		return -errno;
	return 0;
}

static int leave_files(const struct program_keep *keep)
{
	long abi = WRITES_FILES ? 0 : syscall(LANDLOCK_CREATE, NULL, 0, LANDLOCK_VERSION);
	const uint64_t handled[2] = {(UINT64_C(1) << 13) - 1, abi >= 4 ? NET_CONNECT : 0};
	int r, fd;

	if (abi < 1)
		return 0; /* the kernel has no Landlock */
	fd = (int)syscall(LANDLOCK_CREATE, handled, abi >= 4 ? sizeof(handled) : sizeof(handled[0]), 0);
	if (fd < 0)
		return -errno;
	r = keep_some(fd, keep, abi >= 4);
	if (r == 0 && syscall(LANDLOCK_RESTRICT, fd, 0) < 0)
		r = -errno;
	close(fd);
	return r;
}

int program_drop_rights(const struct program_keep *keep, const char **what)
{
	int r = 0;

	*what = "joining natd's group";
	if (geteuid() == 0 && setgroups(keep->n_groups, keep->groups) < 0 && errno != EPERM)
		return -errno;
	*what = "forbidding new privileges";
	r = close_doors();
	if (r < 0)
		return r;
	*what = "dropping capabilities";
	r = drop_capabilities();
	if (r < 0)
		return r;
	*what = "dropping file access (Landlock)";
	return leave_files(keep);
}
