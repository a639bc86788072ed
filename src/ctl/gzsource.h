/* SPDX-License-Identifier: ISC */
/*
 * A file that is read once from start to end and may be compressed by gzip. Its first bytes decide, not its name.
 */
#ifndef NATD_CTL_GZSOURCE_H
#define NATD_CTL_GZSOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { GZSOURCE_WHY = 256 };

struct gzsource {
	int fd;
	struct gzFile_s *gz; /* zlib's; NULL: not compressed */
};

/* False, with `why`: it cannot be opened, or it is compressed and this program was built without zlib. */
bool gzsource_open(struct gzsource *s, const char *path, char why[GZSOURCE_WHY]);
/* Returns the bytes read; 0 at the end; -1 with errno. EIO: the gzip file is damaged. */
ssize_t gzsource_read(struct gzsource *s, char *to, size_t room);
void gzsource_close(struct gzsource *s);

#endif
