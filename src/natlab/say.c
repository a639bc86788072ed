/* SPDX-License-Identifier: ISC */
#include "say.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* One write, so that the lines of several processes do not mix. */
static void write_line(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));
static void write_line(const char *format, va_list arguments)
{
	char text[1024];

	vsnprintf(text, sizeof(text), format, arguments);
	dprintf(STDERR_FILENO, "natlab: %s\n", text);
}

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	write_line(format, arguments);
	va_end(arguments);
}

void die(int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	write_line(format, arguments);
	va_end(arguments);
	_exit(code);
}
