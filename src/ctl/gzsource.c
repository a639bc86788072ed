/* SPDX-License-Identifier: ISC */
/* See gzsource.h. The only user of zlib. */
#include "gzsource.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif

enum { BUFFER = 256 << 10 };

bool gzsource_open(struct gzsource *s, const char *path, char why[GZSOURCE_WHY])
{
	uint8_t magic[2] = {0};

	*s = (struct gzsource){.fd = open(path, O_RDONLY | O_CLOEXEC)};
	if (s->fd < 0 || pread(s->fd, magic, 2, 0) < 0) {
		snprintf(why, GZSOURCE_WHY, "%.150s: %s", path, strerror(errno));
		if (s->fd >= 0)
			close(s->fd);
		return false;
	}
	posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	if (magic[0] != 0x1f || magic[1] != 0x8b)
		return true;
#ifdef HAVE_ZLIB
	s->gz = gzdopen(s->fd, "rb");
	if (s->gz) {
		gzbuffer(s->gz, BUFFER);
		return true;
	}
	snprintf(why, GZSOURCE_WHY, "%.150s: short of memory", path);
#else
	snprintf(why, GZSOURCE_WHY,
		 "%.150s is compressed, and this natctl was built without zlib: unpack it with zcat, and name the "
		 "result",
		 path);
#endif
	close(s->fd);
	return false;
}

ssize_t gzsource_read(struct gzsource *s, char *to, size_t room)
{
#ifdef HAVE_ZLIB
	if (s->gz) {
		int n = gzread(s->gz, to, (unsigned)room);
		int failed = 0;

		if (n <= 0)
			gzerror(s->gz, &failed);
		if (n < 0 || (n == 0 && failed != Z_OK && failed != Z_STREAM_END)) {
			errno = EIO;
			return -1;
		}
		return n;
	}
#endif
	return read(s->fd, to, room);
}

void gzsource_close(struct gzsource *s)
{
#ifdef HAVE_ZLIB
	if (s->gz) {
		gzclose(s->gz);
		return;
	}
#endif
	close(s->fd);
}
