/* SPDX-License-Identifier: ISC */
/*
 * Users and groups, looked up in a child: glibc reads nsswitch.conf at the first look-up, and dies of some allocations
 * that fail in it (2.36: a null pointer, an assertion), by getpwnam_r() too.
 */
#include "account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "child.h"

struct answer {
	int err;
	struct account account;
};

/* After a look-up that found nothing: these values of errno mean that there is nothing, says getpwnam(3), and leaves
 * the list open. Any other counts as an error, since it may hide somebody who is there. */
static int why_not(int err)
{
	switch (err) {
	case 0:
	case ENOENT:
	case ESRCH:
	case EBADF:
	case EPERM:
		return ENOENT;
	default:
		return err;
	}
}

static int write_answer(int fd, const struct answer *a)
{
	return write(fd, a, sizeof(*a)) == (ssize_t)sizeof(*a) ? 0 : -1;
}

static int write_user(const void *name, int fd)
{
	struct answer a;
	const struct passwd *pw;

	memset(&a, 0, sizeof(a));
	errno = 0;
	pw = getpwnam(name);
	if (pw)
		a.account = (struct account){.uid = pw->pw_uid, .gid = pw->pw_gid};
	else
		a.err = why_not(errno);
	return write_answer(fd, &a);
}

static int write_group(const void *name, int fd)
{
	struct answer a;
	const struct group *gr;

	memset(&a, 0, sizeof(a));
	errno = 0;
	gr = getgrnam(name);
	if (gr)
		a.account.gid = gr->gr_gid;
	else
		a.err = why_not(errno);
	return write_answer(fd, &a);
}

static int look_up(child_fn *fn, const char *name, struct account *out)
{
	struct answer a;
	size_t len;
	int r = child_run(fn, name, &a, sizeof(a), &len);

	if (r == 0 && len != sizeof(a))
		r = -ENOMEM;
	if (r == 0)
		r = -a.err;
	if (r == 0)
		*out = a.account;
	return r;
}

int account_of_user(const char *name, struct account *out)
{
	return look_up(write_user, name, out);
}

int account_of_group(const char *name, struct account *out)
{
	return look_up(write_group, name, out);
}
