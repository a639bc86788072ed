/* SPDX-License-Identifier: ISC */
/*
 * For LD_PRELOAD: how long threads wait for mutexes. At the end of the program it writes one line for each mutex to standard error:
 * `lockwait: CALLS TOTAL_US LONGEST_US HELD_US`, the last the longest time that it was held. See bench_lock.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

enum { MUTEXES = 64 };

struct entry {
	_Atomic(pthread_mutex_t *) mutex;
	uint64_t calls, total_ns, longest_ns, held_ns, since_ns; /* guarded by the mutex */
};

static struct entry entries[MUTEXES];
static int (*real_lock)(pthread_mutex_t *), (*real_unlock)(pthread_mutex_t *);

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct entry *entry_of(pthread_mutex_t *mutex)
{
	for (unsigned i = 0; i < MUTEXES; i++) {
		pthread_mutex_t *none = NULL;

		if (atomic_load(&entries[i].mutex) == mutex ||
		    (atomic_load(&entries[i].mutex) == NULL &&
		     (atomic_compare_exchange_strong(&entries[i].mutex, &none, mutex) || none == mutex)))
			return &entries[i];
	}
	return NULL;
}

static __attribute__((constructor)) void find_real(void)
{
	*(void **)&real_lock = dlsym(RTLD_NEXT, "pthread_mutex_lock");
	*(void **)&real_unlock = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	uint64_t before = now_ns();
	struct entry *e;
	int r;

	if (!real_lock)
		find_real();
	r = real_lock(mutex);
	e = entry_of(mutex);
	if (r == 0 && e) {
		e->since_ns = now_ns();
		e->calls++;
		e->total_ns += e->since_ns - before;
		if (e->since_ns - before > e->longest_ns)
			e->longest_ns = e->since_ns - before;
	}
	return r;
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	struct entry *e = entry_of(mutex);

	if (e && now_ns() - e->since_ns > e->held_ns)
		e->held_ns = now_ns() - e->since_ns;
	return real_unlock(mutex);
}

static __attribute__((destructor)) void print(void)
{
	for (unsigned i = 0; i < MUTEXES && entries[i].mutex; i++) {
		const struct entry *e = &entries[i];

		fprintf(stderr, "lockwait: %ju %ju %ju %ju\n", (uintmax_t)e->calls, (uintmax_t)e->total_ns / 1000,
			(uintmax_t)e->longest_ns / 1000, (uintmax_t)e->held_ns / 1000);
	}
}
