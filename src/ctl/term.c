/* SPDX-License-Identifier: ISC */
#include "term.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool is_coloured(FILE *f)
{
	const char *no = getenv("NO_COLOR");
	const char *term = getenv("TERM");
	int fd = fileno(f);

	if (no && no[0])
		return false;
	return term && strcmp(term, "dumb") != 0 && fd >= 0 && isatty(fd);
}

const char *term_style(FILE *f, enum term_kind kind)
{
	static const char *const styles[] = {
		[TERM_PLAIN] = "\33[0m",   [TERM_BOLD] = "\33[1m", [TERM_GREEN] = "\33[32m",
		[TERM_YELLOW] = "\33[33m", [TERM_RED] = "\33[31m",
	};

	return is_coloured(f) ? styles[kind] : "";
}

unsigned term_width(FILE *f)
{
	struct winsize size;
	int fd = fileno(f);

	if (fd < 0 || !isatty(fd) || ioctl(fd, TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_col;
}
