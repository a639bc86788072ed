/* SPDX-License-Identifier: ISC */
/* Common parts of the benchmarks of the core. */
#ifndef NATD_TESTS_BENCH_H
#define NATD_TESTS_BENCH_H

#include <time.h>

/* natd's defaults, for a struct nat_timeouts. */
#define BENCH_TIMEOUTS                                                                                                 \
	{                                                                                                              \
		.udp = 300, .icmp = 60, .other = 300, .tcp_opening = 240, .tcp_established = 7440, .tcp_closing = 240, \
		.unsolicited_syn = 6, .fragment = 5, .port_reuse = 120,                                                \
	}

/* Of this process alone: other programs may run on this machine. */
static inline double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#endif
