/* SPDX-License-Identifier: ISC */
/* The fast path: the core's mirror over the maps of the tc programs. */
#define _GNU_SOURCE 1 /* CLOCK_BOOTTIME */
#include "fastpath.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bpf.h"
#include "daemon/base/log.h"

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint32_t classes_of(enum config_fast_path mode)
{
	/* Datagrams of one flow leave natd joined, which costs less than carrying each: docs/fastpath.md. */
	return mode == CONFIG_FAST_PATH_REQUIRED ? 1u << CLASS_TCP | 1u << CLASS_UDP | 1u << CLASS_ICMP
						 : 1u << CLASS_TCP;
}

bool fastpath_begin(struct doorman *d, struct nat *nat, enum config_fast_path mode)
{
	const struct flow_memory m = doorman_flows(d);

	if (nat_mirror_is_on(nat))
		nat_mirror_forget_ways(nat);
	else if (!nat_mirror_begin(nat, &m, classes_of(mode)))
		return false;
	fastpath_beat(d, nat);
	return true;
}

void fastpath_beat(struct doorman *d, struct nat *nat)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	if (!nat_mirror_is_on(nat))
		return;
	if (doorman_beat_ended(d, now))
		nat_mirror_join_all(nat); /* natd was stopped, and packets wait for it */
	doorman_beat(d, now, clock_ns(CLOCK_BOOTTIME) - now);
}

void fastpath_end(struct doorman *d, struct nat *nat, bool goes_on)
{
	if (!nat_mirror_is_on(nat))
		return;
	if (!goes_on)
		doorman_beat(d, 0, 0);
	nat_mirror_end(nat, goes_on);
}

static bool is_of_flows(int fd)
{
	struct bpf_map_state map;

	return bpf_map_look(fd, &map) == 0 && map.value_size == sizeof(struct flow) && map.entries == FLOW_SLOTS;
}

void fastpath_adopt(struct nat *nat, int fd)
{
	size_t size = FLOW_SLOTS * sizeof(struct flow);
	struct flow *flows = is_of_flows(fd) ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

	close(fd);
	if (flows == MAP_FAILED || flows[0].seen != FLOW_LAYOUT) {
		log_notice(SUB_DATA,
			   "the flows that the previous natd left cannot be read: their last packets are not counted");
		if (flows != MAP_FAILED)
			munmap(flows, size);
		return;
	}
	nat_mirror_adopt(nat, flows);
	munmap(flows, size);
}
