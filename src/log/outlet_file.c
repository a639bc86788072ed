/* SPDX-License-Identifier: ISC */
/*
 * The outlet to a file, by appending.
 *
 * Theory of operation. Lines gather in the buffer and are written together. Bytes that a full disk does not take stay
 * in the buffer, so that lines are whole once there is room again. A crash of the host can leave a partial line: it is
 * cut off when the file is opened. Settling is fdatasync(), at most once a second and always before the cursor is
 * saved. So the cursor never runs ahead of the file.
 */
#define _GNU_SOURCE 1 /* memrchr() */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "outlet.h"

enum { FILE_MODE = 0640, DIR_MODE = 0750, TAIL = 4096 };

struct file {
	struct outlet o;
	int dir, fd;
	const char *base; /* file name within the directory */
	bool is_dirty;	  /* written since the last fdatasync() */
};

static struct file *file_of(struct outlet *o)
{
	return (struct file *)o;
}

static void file_put(struct outlet *o, const struct record *r)
{
	char line[RECORD_SIZE];

	outlet_put_bytes(o, line, outlet_line(o, line, r));
}

static int file_flush(struct outlet *o)
{
	struct file *f = file_of(o);
	size_t done = 0;
	int r = 0;

	while (done < o->waiting && r == 0) {
		ssize_t n = write(f->fd, o->buffer + done, o->waiting - done);

		if (n < 0 && errno != EINTR)
			r = -errno;
		else if (n > 0)
			done += (size_t)n;
	}
	f->is_dirty |= done > 0;
	outlet_drop_bytes(o, done);
	return r;
}

static int file_settle(struct outlet *o)
{
	struct file *f = file_of(o);

	if (!f->is_dirty)
		return 0;
	if (fdatasync(f->fd) < 0 && errno != EINVAL && errno != EROFS) /* pipes and devices have nothing to sync */
		return -errno;
	f->is_dirty = false;
	return 0;
}

/* Cuts off a partial line that a crash left at the end. */
static int cut_partial_line(int fd, const char *name)
{
	char tail[TAIL];
	struct stat st;
	ssize_t n;
	off_t from;
	const char *end;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return 0;
	from = st.st_size > TAIL ? st.st_size - TAIL : 0;
	n = pread(fd, tail, sizeof(tail), from);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	end = memrchr(tail, '\n', (size_t)n);
	if (end == tail + n - 1 || (!end && from > 0)) /* the last line is whole, or this is not our log */
		return 0;
	from += end ? end + 1 - tail : 0;
	log_warning(SUB_MAIN, "%s ends within a line: cutting off %lld bytes", name, (long long)(st.st_size - from));
	return ftruncate(fd, from) < 0 ? -errno : 0;
}

static int open_in(struct file *f)
{
	int fd = openat(f->dir, f->base, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, FILE_MODE);
	int r;

	if (fd < 0)
		return -errno;
	r = cut_partial_line(fd, f->o.name);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

static int file_reopen(struct outlet *o)
{
	struct file *f = file_of(o);
	int fd = open_in(f);

	if (fd < 0)
		return fd; /* keep writing to the old file */
	close(f->fd);
	f->fd = fd;
	return 0;
}

static void file_close(struct outlet *o)
{
	struct file *f = file_of(o);

	if (f->fd >= 0)
		close(f->fd);
	if (f->dir >= 0)
		close(f->dir);
	free(f);
}

static const struct outlet_ops file_ops = {
	.put = file_put,
	.flush = file_flush,
	.settle = file_settle,
	.reopen = file_reopen,
	.close = file_close,
};

int outlet_file_dir(const struct outlet *o)
{
	return o->ops == &file_ops ? ((const struct file *)o)->dir : -1;
}

/* Opens the directory; creates it if only its last component is missing. */
static int open_dir(const char *path, size_t len)
{
	char dir[CONFIG_PLACE_SIZE];
	int fd;

	snprintf(dir, sizeof(dir), "%.*s", len ? (int)len : 1, path); /* "/" */
	if (mkdir(dir, DIR_MODE) < 0 && errno != EEXIST && errno != EROFS)
		return -errno;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

struct outlet *outlet_file_open(const struct config_tlog *t, char why[OUTLET_WHY])
{
	struct file *f = calloc(1, sizeof(*f));
	const char *slash = strrchr(t->place, '/');
	int r;

	if (!f) {
		snprintf(why, OUTLET_WHY, "short of memory");
		return NULL;
	}
	f->o.ops = &file_ops;
	f->o.format = t->format;
	f->fd = -1;
	f->base = slash + 1;
	snprintf(f->o.name, sizeof(f->o.name), "file %s", t->place);
	r = f->dir = open_dir(t->place, (size_t)(slash - t->place));
	if (r >= 0)
		r = f->fd = open_in(f);
	if (r >= 0)
		return &f->o;
	snprintf(why, OUTLET_WHY, "%.150s cannot be opened: %s", t->place, strerror(-r));
	file_close(&f->o);
	return NULL;
}
