/* SPDX-License-Identifier: ISC */
/* The main function of the process that checks backends: see health.h. */
#ifndef NATD_DAEMON_HEALTH_PROBE_H
#define NATD_DAEMON_HEALTH_PROBE_H

/* Reads orders from `fd` and runs checks until the other end is closed. Returns the process's exit status. */
int health_probe_run(int fd);

#endif
