/* SPDX-License-Identifier: ISC */
/*
 * Landlock by its system calls: glibc has no functions for them, and the build machine's headers do not describe the
 * kernel that runs. Numbers and bits are those of the kernel's ABI (Documentation/userspace-api/landlock.rst); the
 * system call numbers are the same on every architecture but alpha, for which natd has no Landlock.
 */
#define _GNU_SOURCE 1 /* O_PATH, syscall() */
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NR_CREATE_RULESET = 444, NR_ADD_RULE = 445, NR_RESTRICT_SELF = 446 };
enum { CREATE_RULESET_VERSION = 1, RULE_PATH_BENEATH = 1 };

/* File system rights. */
#define FS_WRITE_FILE  (UINT64_C(1) << 1)
#define FS_READ_FILE   (UINT64_C(1) << 2)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_REG    (UINT64_C(1) << 8)
#define FS_ABI_1       ((UINT64_C(1) << 13) - 1) /* all of the first version */
#define FS_REFER       (UINT64_C(1) << 13)	 /* version 2: rename to another directory */
#define FS_TRUNCATE    (UINT64_C(1) << 14)	 /* version 3 */
#define FS_IOCTL_DEV   (UINT64_C(1) << 15)	 /* version 5 */
/* Version 4. natd binds ports to see whether they are free, and never connects by TCP. */
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
/* Version 6. The other scope, abstract sockets, stays open: a service manager may listen on one. */
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

/* Rights that apply to a path that is not a directory. */
#define FS_OF_FILES (FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

struct ruleset_attr {
	uint64_t handled_fs, handled_net, scoped;
};

struct path_beneath_attr {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

static const uint64_t rights[] = {
	[LANDLOCK_READ] = FS_READ_FILE,
	[LANDLOCK_SETTINGS] = FS_READ_FILE | FS_WRITE_FILE,
	[LANDLOCK_DEVICE] = FS_READ_FILE | FS_WRITE_FILE | FS_IOCTL_DEV,
	[LANDLOCK_KEEP] = FS_READ_FILE | FS_WRITE_FILE | FS_MAKE_REG | FS_REMOVE_FILE,
};

/* The rights that this version can restrict: it would refuse a bit that it does not know. */
static struct ruleset_attr everything(long abi)
{
	struct ruleset_attr a = {.handled_fs = FS_ABI_1};

	if (abi >= 2)
		a.handled_fs |= FS_REFER;
	if (abi >= 3)
		a.handled_fs |= FS_TRUNCATE;
	if (abi >= 4)
		a.handled_net = NET_CONNECT_TCP;
	if (abi >= 5)
		a.handled_fs |= FS_IOCTL_DEV;
	if (abi >= 6)
		a.scoped = SCOPE_SIGNAL;
	return a;
}

static int add_rule(int ruleset, const struct landlock_rule *rule, uint64_t handled)
{
	struct path_beneath_attr a = {.allowed = rights[rule->use] & handled};
	struct stat st;
	int r = 0;

	a.parent_fd = open(rule->path, O_PATH | O_CLOEXEC);
	if (a.parent_fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
	if (fstat(a.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		a.allowed &= FS_OF_FILES;
	if (syscall(NR_ADD_RULE, ruleset, RULE_PATH_BENEATH, &a, 0) < 0)
		r = -errno;
	close(a.parent_fd);
	return r;
}

int landlock_confine(const struct landlock_rule *rules, size_t n)
{
	long abi = syscall(NR_CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);
	struct ruleset_attr attr = everything(abi);
	int r = 0;
	int fd;

	if (abi < 1) /* ENOSYS, EOPNOTSUPP; or an outer filter that does not know the call */
		return 0;
	fd = (int)syscall(NR_CREATE_RULESET, &attr, sizeof(attr), 0);
	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < n && r == 0; i++)
		r = add_rule(fd, &rules[i], attr.handled_fs);
	if (r == 0 && syscall(NR_RESTRICT_SELF, fd, 0) < 0)
		r = -errno;
	close(fd);
	return r < 0 ? r : (int)abi;
}
