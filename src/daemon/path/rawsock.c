/* SPDX-License-Identifier: ISC */
/*
 * The raw socket, in batches.
 *
 * Theory of operation: a batch is an array of messages whose bytes are either the caller's (valid until the
 * flush) or copies in the arena. sendmmsg() stops at the first packet that fails; that one is counted and left
 * out, and the rest is sent by the next call. Only a full socket buffer (EAGAIN) ends a batch: what follows
 * would fail alike, and waiting is not ours to do.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sendmmsg() */
#endif
#include "rawsock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/packet/packet.h"
#include "vnet.h"

struct rawsock {
	int fd;
	uint32_t n; /* packets queued */
	uint32_t arena_used;
	struct io_counters *counters;
	rawsock_too_big_fn *too_big;
	void *too_big_ctx;
	struct nat_packet packets[RAWSOCK_BATCH];
	struct mmsghdr messages[RAWSOCK_BATCH];
	struct iovec iov[RAWSOCK_BATCH];
	struct sockaddr_in to[RAWSOCK_BATCH];
	uint8_t arena[RAWSOCK_ARENA];
};

_Static_assert(RAWSOCK_ARENA >= 65535, "any packet fits into an empty arena");

/* ---- life ---- */

static int open_socket(void)
{
	/* IPPROTO_RAW implies IP_HDRINCL and receives nothing. */
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
	int size = RAWSOCK_SEND_BUFFER;
	int err;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* What is the same for every packet is set once. */
static void prepare_messages(struct rawsock *r)
{
	uint32_t i;

	for (i = 0; i < RAWSOCK_BATCH; i++) {
		r->to[i].sin_family = AF_INET;
		r->messages[i].msg_hdr = (struct msghdr){
			.msg_name = &r->to[i],
			.msg_namelen = sizeof(r->to[i]),
			.msg_iov = &r->iov[i],
			.msg_iovlen = 1,
		};
	}
}

int rawsock_create(struct rawsock **out, struct io_counters *counters)
{
	struct rawsock *r = calloc(1, sizeof(*r));

	*out = NULL;
	if (!r)
		return -ENOMEM;
	r->fd = open_socket();
	if (r->fd < 0) {
		int err = r->fd;

		free(r);
		return err;
	}
	r->counters = counters;
	prepare_messages(r);
	*out = r;
	return 0;
}

void rawsock_destroy(struct rawsock *r)
{
	if (!r)
		return;
	close(r->fd);
	free(r);
}

void rawsock_set_too_big(struct rawsock *r, rawsock_too_big_fn *fn, void *ctx)
{
	r->too_big = fn;
	r->too_big_ctx = ctx;
}

int rawsock_fd(const struct rawsock *r)
{
	return r->fd;
}

/* ---- sending ---- */

static enum io_counter send_counter(int err)
{
	switch (err) {
	case EAGAIN:
		return IO_SEND_AGAIN;
	case ENOBUFS:
		return IO_SEND_NO_BUFFER;
	case ENOMEM:
		return IO_SEND_NO_MEMORY;
	case EMSGSIZE:
		return IO_SEND_TOO_BIG;
	case EPERM:
		return IO_SEND_FORBIDDEN;
	case EACCES:
		return IO_SEND_DENIED;
	case ENETUNREACH:
		return IO_SEND_NET_UNREACH;
	case EHOSTUNREACH:
		return IO_SEND_HOST_UNREACH;
	case ENETDOWN:
	case ENODEV:
	case ENXIO:
		return IO_SEND_DOWN;
	case EINVAL:
		return IO_SEND_INVALID;
	default:
		return IO_SEND_ERROR;
	}
}

/* Deals with the packet that was refused; returns how many of the batch are done with by that. */
static uint32_t refused(struct rawsock *r, uint32_t i, int err)
{
	if (err == EAGAIN) {
		r->counters->value[IO_SEND_AGAIN] += r->n - i;
		return r->n - i;
	}
	r->counters->value[send_counter(err)]++;
	if (err == EMSGSIZE && r->too_big)
		r->too_big(r->too_big_ctx, &r->packets[i]);
	return 1;
}

void rawsock_flush(struct rawsock *r)
{
	uint32_t done = 0;
	int sent;

	while (done < r->n) {
		sent = sendmmsg(r->fd, r->messages + done, r->n - done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent > 0) {
			r->counters->value[IO_SEND] += (uint32_t)sent;
			done += (uint32_t)sent;
		} else if (errno != EINTR) {
			done += refused(r, done, errno);
		}
	}
	r->n = 0;
	r->arena_used = 0;
}

/* The packet's bytes for the batch: its own, or a copy in the arena (a full one is sent off first). */
static uint8_t *keep_bytes(struct rawsock *r, const struct nat_packet *p, bool owned)
{
	uint8_t *copy;

	if (!owned)
		return p->data;
	if (p->len > RAWSOCK_ARENA - r->arena_used)
		rawsock_flush(r);
	copy = r->arena + r->arena_used;
	memcpy(copy, p->data, p->len);
	r->arena_used += (p->len + 7u) & ~7u;
	if (r->arena_used > RAWSOCK_ARENA)
		r->arena_used = RAWSOCK_ARENA;
	return copy;
}

void rawsock_queue(struct rawsock *r, const struct nat_packet *p, bool owned)
{
	uint8_t *bytes;
	uint32_t i;

	if (p->len < 20 || p->len > 65535 || p->gso_size != 0 ||
	    (p->csum_partial && !vnet_finish_checksum(p->data, p->len))) {
		r->counters->value[IO_SEND_INVALID]++;
		return;
	}
	bytes = keep_bytes(r, p, owned);
	i = r->n++;
	r->packets[i] = *p;
	r->packets[i].data = bytes;
	r->packets[i].csum_partial = false;
	r->iov[i] = (struct iovec){bytes, p->len};
	memcpy(&r->to[i].sin_addr.s_addr, bytes + 16, sizeof(r->to[i].sin_addr.s_addr));
	if (r->n == RAWSOCK_BATCH)
		rawsock_flush(r);
}
