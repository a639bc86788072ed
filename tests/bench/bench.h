/* SPDX-License-Identifier: ISC */
/* Common parts of the benchmarks of the core: clocks, memory, random numbers, packet headers. */
#ifndef NATD_TESTS_BENCH_H
#define NATD_TESTS_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

/* natd's defaults, for a struct nat_timeouts. */
#define BENCH_TIMEOUTS                                                                                                 \
	{                                                                                                              \
		.udp = 300, .icmp = 60, .other = 300, .tcp_opening = 240, .tcp_established = 7440, .tcp_closing = 240, \
		.unsolicited_syn = 6, .fragment = 5, .port_reuse = 120,                                                \
	}

#define BENCH_RANDOM 88172645463325252ull /* a state for bench_random() to begin with */

/* ---- clocks ---- */

/* Of this process alone: other programs may run on this machine. */
static inline double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline uint64_t nanoseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Nanoseconds where the processor has no counter that a program may read. */
static inline uint64_t cycles(void)
{
#ifdef __x86_64__
	return __rdtsc();
#else
	return nanoseconds();
#endif
}

#ifdef RUSAGE_THREAD
/* How often this thread was taken off its processor: a time that spans such a moment says nothing. */
static inline long preemptions(void)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return u.ru_nivcsw;
}
#endif

/* ---- memory: these functions end the program if there is none ---- */

/* Resident bytes of this process. */
static inline size_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	if (f == NULL || fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	if (f != NULL)
		fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Zeroed pages: of the file `fd`, or of none if that is negative. They become resident when they are touched. */
static inline void *bench_map(size_t len, int fd)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

/* Zeroed pages of their usual size, or large ones with BENCH_HUGE in the environment. */
static inline void *bench_reserve(size_t len)
{
	void *p = bench_map(len, -1);

	madvise(p, len, getenv("BENCH_HUGE") ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return p;
}

/* Zeroed pages that are resident already. */
static inline void *bench_touched(size_t len)
{
	return memset(bench_map(len, -1), 0, len);
}

/* ---- random numbers and packets ---- */

static inline uint64_t bench_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Writes the low `bytes` bytes of `v`, the highest of them first. */
static inline void bench_put(uint8_t *p, unsigned bytes, uint32_t v)
{
	while (bytes-- > 0) {
		p[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

/* The Internet checksum over an even number of bytes, in host byte order. */
static inline uint16_t bench_sum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

#endif
