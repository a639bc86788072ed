/* SPDX-License-Identifier: ISC */
/*
 * Users and groups, looked up in a child process: glibc reads nsswitch.conf at the first look-up, and crashes on some
 * allocations that fail there (2.36: a null pointer, an assertion), in getpwnam_r() too.
 */
#include "account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "child.h"

struct question {
	const char *name;
	bool is_group;
};

struct answer {
	int err;
	struct account account;
};

/* After a look-up that found nothing: getpwnam(3) lists these values of errno for "no such entry", and leaves the
 * list open. Any other value counts as an error, since it may hide an existing entry. */
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

static bool find(const struct question *q, struct account *out)
{
	const struct passwd *pw;
	const struct group *gr;

	errno = 0;
	if (q->is_group) {
		gr = getgrnam(q->name);
		if (gr)
			out->gid = gr->gr_gid;
		return gr;
	}
	pw = getpwnam(q->name);
	if (pw)
		*out = (struct account){.uid = pw->pw_uid, .gid = pw->pw_gid};
	return pw;
}

static int write_answer(const void *question, int fd)
{
	struct answer a;

	memset(&a, 0, sizeof(a));
	if (!find(question, &a.account))
		a.err = why_not(errno);
	return write(fd, &a, sizeof(a)) == (ssize_t)sizeof(a) ? 0 : -1;
}

static int look_up(const struct question *q, struct account *out)
{
	struct answer a;
	size_t len;
	int r = child_run(write_answer, q, &a, sizeof(a), &len);

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
	return look_up(&(struct question){.name = name}, out);
}

int account_of_group(const char *name, struct account *out)
{
	return look_up(&(struct question){.name = name, .is_group = true}, out);
}
