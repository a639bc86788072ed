/* SPDX-License-Identifier: ISC */
/* Network namespaces, see netns.h. */
#include "netns.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { NAME_SIZE = 40, PATH_SIZE = 40 };

static int read_name(const char *link, uint64_t *number)
{
	char name[NAME_SIZE];
	ssize_t n = readlink(link, name, sizeof(name) - 1);

	if (n < 0)
		return -errno;
	name[n] = '\0';
	return sscanf(name, "net:[%" SCNu64 "]", number) == 1 ? 0 : -EINVAL;
}

int netns_own(uint64_t *number)
{
	return read_name("/proc/self/ns/net", number);
}

int netns_of(int fd, uint64_t *number)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return read_name(path, number);
}
