/* SPDX-License-Identifier: ISC */
/* The one way in which natctl reports a failure. A file of its own, so that tests can put theirs in its place. */
#include <stdarg.h>
#include <stdio.h>

#include "client/names.h"
#include "natctl.h"

void natctl_complain(const char *format, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	fputs("natctl: ", stderr);
	names_print(stderr, text);
	fputc('\n', stderr);
}
