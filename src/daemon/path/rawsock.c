/* SPDX-License-Identifier: ISC */
/*
 * The raw socket, in batches.
 *
 * Theory of operation: a batch is an array of messages whose bytes are either the caller's (valid until the flush) or
 * copies in the arena. sendmmsg() stops at the first packet that fails; that one is counted and skipped, and the next
 * call sends the rest. Only a full socket buffer (EAGAIN) ends a batch: the following packets would fail too, and this
 * file must not wait.
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

/* The control message that ties a packet to its interface and source. */
struct from {
	union {
		uint8_t bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
		struct cmsghdr align;
	};
};

struct rawsock {
	int fd;
	uint32_t n; /* packets queued */
	uint32_t arena_used;
	struct io_counters *counters;
	rawsock_refused_fn *refused;
	void *refused_ctx;
	int outside;
	struct nat_packet packets[RAWSOCK_BATCH];
	struct mmsghdr messages[RAWSOCK_BATCH];
	struct iovec iov[RAWSOCK_BATCH];
	struct sockaddr_in to[RAWSOCK_BATCH];
	struct from from[RAWSOCK_BATCH];
	uint8_t arena[RAWSOCK_ARENA];
};

_Static_assert(RAWSOCK_ARENA >= 65535, "any packet fits into an empty arena");

/* ---- life ---- */

static int open_socket(void)
{
	/* IPPROTO_RAW implies IP_HDRINCL and receives nothing. */
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
	/* Reports to the host about path MTUs must not apply to packets in transit: they can be forged. */
	const int no_path_mtu = IP_PMTUDISC_INTERFACE;
	int size = RAWSOCK_SEND_BUFFER;
	int err;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &no_path_mtu, sizeof(no_path_mtu)) < 0 ||
	    (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0 &&
	     setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* Sets the fields that are the same for every packet. */
static void prepare_messages(struct rawsock *r)
{
	for (uint32_t i = 0; i < RAWSOCK_BATCH; i++) {
		struct cmsghdr *c = &r->from[i].align;

		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
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

void rawsock_set_refused(struct rawsock *r, rawsock_refused_fn *fn, void *ctx)
{
	r->refused = fn;
	r->refused_ctx = ctx;
}

int rawsock_set_mark(struct rawsock *r, uint32_t mark)
{
	return setsockopt(r->fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ? -errno : 0;
}

void rawsock_set_outside(struct rawsock *r, int index)
{
	r->outside = index;
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

/* Handles the refused packet; returns how many of the batch are done with it. */
static uint32_t refused(struct rawsock *r, uint32_t i, int err)
{
	if (err == EAGAIN) {
		r->counters->value[IO_SEND_AGAIN] += r->n - i;
		return r->n - i;
	}
	r->counters->value[send_counter(err)]++;
	if (r->refused)
		r->refused(r->refused_ctx, &r->packets[i], err);
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

/* The packet's bytes for the batch: its own, or a copy in the arena (if it is full, the batch is sent first). */
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

static void tie_to_outside(struct rawsock *r, uint32_t i, bool is_tied)
{
	struct in_pktinfo info = {.ipi_ifindex = r->outside};
	struct msghdr *m = &r->messages[i].msg_hdr;

	m->msg_control = is_tied ? r->from[i].bytes : NULL;
	m->msg_controllen = is_tied ? sizeof(r->from[i].bytes) : 0;
	if (!is_tied)
		return;
	memcpy(&info.ipi_spec_dst.s_addr, (const uint8_t *)r->iov[i].iov_base + 12, sizeof(info.ipi_spec_dst.s_addr));
	memcpy(CMSG_DATA(&r->from[i].align), &info, sizeof(info));
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
	tie_to_outside(r, i, p->to == NAT_TO_OUTSIDE);
	if (r->n == RAWSOCK_BATCH)
		rawsock_flush(r);
}
