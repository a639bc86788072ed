/* SPDX-License-Identifier: ISC */
#define _GNU_SOURCE 1
#include "record.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "place.h"
#include "say.h"

enum {
	BLOCK_SECTION = 0x0A0D0D0A,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 6,
	LINK_ETHERNET = 1,
	OPTION_END = 0,
	OPTION_NAME = 2,
	OPTION_RESOLUTION = 9,
	BUFFER_BYTES = 8 << 20, /* of a socket */
};

struct writer {
	uint8_t *at, *begin;
};

static void put(struct writer *w, const void *bytes, size_t n)
{
	memcpy(w->at, bytes, n);
	w->at += n;
}
static void put16(struct writer *w, uint16_t value)
{
	put(w, &value, sizeof(value));
}
static void put32(struct writer *w, uint32_t value)
{
	put(w, &value, sizeof(value));
}
static void pad(struct writer *w)
{
	while ((w->at - w->begin) % 4)
		*w->at++ = 0;
}

static struct writer begin(uint8_t *to, uint32_t type)
{
	struct writer w = {.at = to, .begin = to};

	put32(&w, type);
	put32(&w, 0); /* the length, set by finish() */
	return w;
}
static size_t finish(struct writer *w)
{
	uint32_t length = (uint32_t)(w->at - w->begin) + 4;

	put32(w, length);
	memcpy(w->begin + 4, &length, sizeof(length));
	return length;
}

size_t record_section(uint8_t *to)
{
	struct writer w = begin(to, BLOCK_SECTION);
	int64_t unknown = -1;

	put32(&w, 0x1A2B3C4D);
	put16(&w, 1);
	put16(&w, 0);
	put(&w, &unknown, sizeof(unknown));
	return finish(&w);
}

size_t record_interface(uint8_t *to, const char *name)
{
	struct writer w = begin(to, BLOCK_INTERFACE);
	uint16_t length = (uint16_t)strlen(name);

	put16(&w, LINK_ETHERNET);
	put16(&w, 0);
	put32(&w, RECORD_SNAP);
	put16(&w, OPTION_NAME);
	put16(&w, length);
	put(&w, name, length);
	pad(&w);
	put16(&w, OPTION_RESOLUTION);
	put16(&w, 1);
	*w.at++ = 9; /* nanoseconds */
	pad(&w);
	put16(&w, OPTION_END);
	put16(&w, 0);
	return finish(&w);
}

size_t record_packet(uint8_t *to, uint32_t interface, uint64_t time_ns, const uint8_t *packet, uint32_t length)
{
	struct writer w = begin(to, BLOCK_PACKET);
	uint32_t kept = length < RECORD_SNAP ? length : RECORD_SNAP;

	put32(&w, interface);
	put32(&w, (uint32_t)(time_ns >> 32));
	put32(&w, (uint32_t)time_ns);
	put32(&w, kept);
	put32(&w, length);
	put(&w, packet, kept);
	pad(&w);
	return finish(&w);
}

struct tape {
	FILE *file;
	struct pollfd *sides; /* [0]: the pipe whose end stops the recording */
	size_t n_sides;
	uint8_t packet[RECORD_SNAP], block[RECORD_SNAP + RECORD_OVERHEAD];
};

/* Opens a socket that captures on the node's device; each side is an interface of the file. */
static void add_side(struct tape *t, const char *node, const char *device)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	char name[NODE_NAME + IFNAMSIZ + 1];
	int fd, bytes = BUFFER_BYTES, on = 1, error = place_enter(node);

	if (error)
		die(LAB_CANNOT, "%s: %s", node, strerror(error));
	address.sll_ifindex = (int)if_nametoindex(device);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		die(LAB_CANNOT, "%s cannot be recorded: %s", node, strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	t->sides[t->n_sides++] = (struct pollfd){.fd = fd, .events = POLLIN};
	snprintf(name, sizeof(name), "%s-%s", node, device);
	fwrite(t->block, 1, record_interface(t->block, name), t->file);
}

static uint64_t arrival(struct msghdr *m)
{
	struct timespec time = {0};

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
			memcpy(&time, CMSG_DATA(c), sizeof(time));
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Records everything waiting at one side. */
static void drain(struct tape *t, size_t side)
{
	union {
		struct cmsghdr align;
		char room[128];
	} control;
	struct iovec space = {.iov_base = t->packet, .iov_len = sizeof(t->packet)};
	ssize_t got;

	for (;;) {
		struct msghdr m = {
			.msg_iov = &space, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

		got = recvmsg(t->sides[side].fd, &m, MSG_TRUNC);
		if (got < 0)
			return;
		fwrite(t->block, 1, record_packet(t->block, (uint32_t)side - 1, arrival(&m), t->packet, (uint32_t)got),
		       t->file);
	}
}

static unsigned lost(const struct tape *t)
{
	struct tpacket_stats stats;
	socklen_t size;
	unsigned sum = 0;

	for (size_t i = 1; i < t->n_sides; i++) {
		size = sizeof(stats);
		if (getsockopt(t->sides[i].fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0)
			sum += stats.tp_drops;
	}
	return sum;
}

static _Noreturn void record(struct tape *t)
{
	bool stop = false;
	unsigned missed;

	while (!stop) {
		if (poll(t->sides, t->n_sides, -1) < 0 && errno != EINTR)
			break;
		stop = t->sides[0].revents != 0;
		for (size_t i = 1; i < t->n_sides; i++)
			drain(t, i);
		fflush(t->file);
	}
	missed = lost(t);
	if (missed)
		say("the recording lacks %u packets: it was too slow for them", missed);
	if (ferror(t->file) || fclose(t->file) != 0)
		die(LAB_CANNOT, "the recording is not complete: %s", strerror(errno));
	_exit(0);
}

static void *begun(void *made)
{
	if (!made)
		die(LAB_CANNOT, "the recording cannot begin: %s", strerror(errno));
	return made;
}

/* Opens every side, so that nothing is missed once this returns. */
static struct tape *make_tape(const struct plan *p, int file, int stop)
{
	struct tape *t = begun(calloc(1, sizeof(*t)));
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	t->sides = begun(calloc(2 * p->n_nodes + 1, sizeof(*t->sides)));
	t->file = begun(fdopen(file, "w"));
	t->sides[t->n_sides++] = (struct pollfd){.fd = stop, .events = POLLIN};
	fwrite(t->block, 1, record_section(t->block), t->file);
	for (size_t i = 0; i < p->n_nodes; i++)
		if (node_is_nat(&p->nodes[i])) {
			add_side(t, p->nodes[i].name, "in0");
			add_side(t, p->nodes[i].name, "out0");
		}
	if (home < 0 || setns(home, CLONE_NEWNET) != 0 || fflush(t->file) != 0)
		die(LAB_CANNOT, "the recording cannot begin: %s", strerror(errno));
	close(home);
	return t;
}

static void free_tape(struct tape *t)
{
	for (size_t i = 0; i < t->n_sides; i++)
		close(t->sides[i].fd);
	fclose(t->file);
	free(t->sides);
	free(t);
}

void record_start(struct recorder *r, const struct plan *p, int file)
{
	struct tape *t;
	int stop[2];

	if (pipe2(stop, O_CLOEXEC) != 0)
		die(LAB_CANNOT, "the recording cannot begin: %s", strerror(errno));
	t = make_tape(p, file, stop[0]);
	r->pid = fork();
	if (r->pid < 0)
		die(LAB_CANNOT, "cannot start a process for the recording: %s", strerror(errno));
	if (r->pid == 0) {
		close(stop[1]);
		record(t);
	}
	free_tape(t);
	r->stop = stop[1];
}

void record_stop(struct recorder *r)
{
	if (r->pid == 0)
		return;
	close(r->stop);
	waitpid(r->pid, NULL, 0);
	r->pid = 0;
}
