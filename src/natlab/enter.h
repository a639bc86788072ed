/* SPDX-License-Identifier: ISC */
/*
 * The commands for use inside a laboratory. argv[0] is the command's own name.
 */
#ifndef NATD_NATLAB_ENTER_H
#define NATD_NATLAB_ENTER_H

/* natlab in HOST COMMAND...: becomes COMMAND in the host; returns only on failure, with the exit code. */
int enter_in(int argc, char **argv);
/* natlab address HOST: prints its addresses, one a line. */
int enter_address(int argc, char **argv);
/* natlab ctl NAT ARGUMENTS...: becomes natctl for that NAT. */
int enter_ctl(int argc, char **argv);

/* Becomes argv[0]; returns only on failure, after printing the reason: LAB_NOT_FOUND or LAB_NOT_EXECUTABLE. */
int enter_execute(char **argv);

#endif
