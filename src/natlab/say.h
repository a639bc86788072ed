/* SPDX-License-Identifier: ISC */
/*
 * natlab's messages and failures: one line on stderr, with natlab's name before it.
 */
#ifndef NATD_NATLAB_SAY_H
#define NATD_NATLAB_SAY_H

/* natlab's own exit codes. COMMAND's are its own, 128+N if signal N killed it; 126 and 127 as in a shell. */
enum {
	LAB_USAGE = 2,
	LAB_CANNOT = 3,
	LAB_NOT_EXECUTABLE = 126,
	LAB_NOT_FOUND = 127,
	LAB_KILLED = 128,
};

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints the message and ends this process with `code`: in a child only that child. */
void die(int code, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

#endif
