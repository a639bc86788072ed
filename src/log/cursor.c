/* SPDX-License-Identifier: ISC */
/* The cursor file, see cursor.h. */
#include "cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_SIZE = 256, NAME_SIZE = 256 };

struct cursor_file {
	int dir, lock;
	char name[NAME_SIZE], new_name[NAME_SIZE], lock_name[NAME_SIZE];
};

static int open_dir(const char *path, size_t len)
{
	char dir[PATH_MAX];

	if (len >= sizeof(dir)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(dir, path, len);
	dir[len] = '\0';
	if (mkdir(dir, 0750) < 0 && errno != EEXIST && errno != EROFS)
		return -1;
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool open_all(struct cursor_file *f, const char *path, const char **why)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (snprintf(f->name, sizeof(f->name), "%s", slash ? slash + 1 : path) >= NAME_SIZE - 8) {
		*why = strerror(ENAMETOOLONG);
		return false;
	}
	snprintf(f->new_name, sizeof(f->new_name), "%.240s.new", f->name);
	snprintf(f->lock_name, sizeof(f->lock_name), "%.240s.lock", f->name);
	f->dir = slash ? open_dir(len ? path : "/", len ? len : 1) : open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->dir >= 0)
		f->lock = openat(f->dir, f->lock_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->lock < 0) {
		*why = strerror(errno);
		return false;
	}
	if (flock(f->lock, LOCK_EX | LOCK_NB) == 0)
		return true;
	*why = errno == EWOULDBLOCK ? "another natd-log uses it: give one of them another file with --state"
				    : strerror(errno);
	return false;
}

struct cursor_file *cursor_open(const char *path, const char **why)
{
	struct cursor_file *f = calloc(1, sizeof(*f));

	if (!f) {
		*why = strerror(ENOMEM);
		return NULL;
	}
	f->dir = f->lock = -1;
	if (open_all(f, path, why))
		return f;
	cursor_close(f);
	return NULL;
}

void cursor_close(struct cursor_file *f)
{
	if (!f)
		return;
	if (f->lock >= 0)
		close(f->lock);
	if (f->dir >= 0)
		close(f->dir);
	free(f);
}

int cursor_dir(const struct cursor_file *f)
{
	return f->dir;
}

bool cursor_parse(const char *text, struct cursor *out)
{
	struct cursor c;
	unsigned complete;
	int end = 0;

	*out = (struct cursor){0};
	if (sscanf(text,
		   "natd-log 1\ninstance %" SCNu64 "\nnext %" SCNu64 "\ntime %" SCNu64 "\ncomplete %u\ntarget %" SCNx64
		   "\n%n",
		   &c.instance, &c.next, &c.time_us, &complete, &c.target, &end) != 5 ||
	    end == 0 || text[end] != '\0' || complete > 1 || c.next == 0)
		return false;
	c.is_complete = complete == 1;
	*out = c;
	return true;
}

bool cursor_load(const struct cursor_file *f, struct cursor *out)
{
	int fd = openat(f->dir, f->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[TEXT_SIZE];
	ssize_t n;

	*out = (struct cursor){0};
	if (fd < 0)
		return errno == ENOENT;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return cursor_parse(text, out);
}

static int write_whole(int fd, const char *text, size_t len)
{
	ssize_t n = write(fd, text, len);

	if (n < 0)
		return -errno;
	if ((size_t)n < len)
		return -ENOSPC;
	return fsync(fd) < 0 ? -errno : 0;
}

int cursor_save(const struct cursor_file *f, const struct cursor *c)
{
	int fd = openat(f->dir, f->new_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	char text[TEXT_SIZE];
	int len, r;

	if (fd < 0)
		return -errno;
	len = snprintf(text, sizeof(text),
		       "natd-log 1\ninstance %" PRIu64 "\nnext %" PRIu64 "\ntime %" PRIu64
		       "\ncomplete %d\ntarget %016" PRIx64 "\n",
		       c->instance, c->next, c->time_us, c->is_complete, c->target);
	r = write_whole(fd, text, (size_t)len);
	close(fd);
	if (r == 0 && renameat(f->dir, f->new_name, f->dir, f->name) < 0)
		r = -errno;
	return r;
}

bool cursor_is_same(const struct cursor *a, const struct cursor *b)
{
	return a->instance == b->instance && a->next == b->next && a->is_complete == b->is_complete;
}
