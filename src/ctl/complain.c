/* SPDX-License-Identifier: ISC */
/* How natctl reports a failure. In a file of its own, so that tests can replace it. */
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
