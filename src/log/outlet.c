/* SPDX-License-Identifier: ISC */
/* What outlets share: the buffer, servers, and the choice by target. */
#include "outlet.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct outlet *outlet_open(const struct config_tlog *t, char why[OUTLET_WHY])
{
	switch (t->target) {
	case TLOG_FILE:
		return outlet_file_open(t, why);
	case TLOG_JOURNAL:
		return outlet_journal_open(t, why);
	case TLOG_SYSLOG_UDP:
	case TLOG_SYSLOG_TCP:
		return outlet_syslog_open(t, why);
	case TLOG_IPFIX:
		return outlet_ipfix_open(t, why);
	case TLOG_NONE:
		break;
	}
	snprintf(why, OUTLET_WHY, "translation_log.target is \"none\"");
	return NULL;
}

void outlet_close(struct outlet *o)
{
	if (o)
		o->ops->close(o);
}

int outlet_dir(const struct outlet *o)
{
	return outlet_file_dir(o);
}

/* ---- servers ---- */

bool outlet_find_server(const struct config_tlog *t, bool is_stream, struct outlet_server *out, char why[OUTLET_WHY])
{
	const struct addrinfo hints = {.ai_socktype = is_stream ? SOCK_STREAM : SOCK_DGRAM,
				       .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
	struct addrinfo numeric = hints, *found;
	char port[8];
	int r;

	snprintf(port, sizeof(port), "%u", t->port);
	numeric.ai_flags =
		AI_NUMERICSERV | AI_NUMERICHOST; /* an address literal must work before any interface is up */
	r = getaddrinfo(t->place, port, &numeric, &found);
	if (r == EAI_NONAME)
		r = getaddrinfo(t->place, port, &hints, &found);
	if (r != 0) {
		snprintf(why, OUTLET_WHY, "\"%.150s\" cannot be found: %s", t->place, gai_strerror(r));
		return false;
	}
	memcpy(&out->address, found->ai_addr, found->ai_addrlen);
	out->len = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

int outlet_connect(const struct outlet_server *s, bool is_stream)
{
	int fd = socket(s->address.ss_family, (is_stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&s->address, s->len) == 0 || errno == EINPROGRESS)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* ---- the buffer ---- */

void outlet_put_bytes(struct outlet *o, const void *data, size_t len)
{
	assert(o->waiting + len <= sizeof(o->buffer));
	memcpy(o->buffer + o->waiting, data, len);
	o->waiting += len;
}

void outlet_drop_bytes(struct outlet *o, size_t n)
{
	assert(n <= o->waiting);
	o->waiting -= n;
	memmove(o->buffer, o->buffer + n, o->waiting);
}

void outlet_put_datagram(struct outlet *o, const void *data, size_t len)
{
	uint16_t head = (uint16_t)len;

	outlet_put_bytes(o, &head, sizeof(head));
	outlet_put_bytes(o, data, len);
}

int outlet_send_datagrams(struct outlet *o, int fd)
{
	size_t done = 0;
	int r = 0;

	while (done < o->waiting) {
		uint16_t len;

		memcpy(&len, o->buffer + done, sizeof(len));
		if (send(fd, o->buffer + done + sizeof(len), len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
			r = -errno;
			break;
		}
		done += sizeof(len) + len;
	}
	outlet_drop_bytes(o, done);
	return r == -EINTR || r == -ENOBUFS ? -EAGAIN : r;
}

/* The error that ICMP has reported since the last call, as a negative errno; 0: none. */
static int port_error(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 ? -errno : -err;
}

static int port_fails(struct outlet *o, enum outlet_port *port, int err)
{
	*port = PORT_DOWN;
	o->waiting = 0;
	return err;
}

int outlet_check_port(struct outlet *o, int fd, enum outlet_port *port)
{
	int r = port_error(fd);

	return r < 0 ? port_fails(o, port, r) : 0;
}

int outlet_send_to_port(struct outlet *o, int fd, enum outlet_port *port, void (*probe)(struct outlet *o, int fd))
{
	int r;

	if (*port == PORT_DOWN) {
		port_error(fd);
		probe(o, fd);
		*port = PORT_PROBED;
		return -ECONNREFUSED;
	}
	if (*port == PORT_PROBED) {
		r = outlet_check_port(o, fd, port);
		if (r < 0)
			return r;
		*port = PORT_UP;
	}
	r = outlet_send_datagrams(o, fd);
	return r < 0 && r != -EAGAIN ? port_fails(o, port, r) : r;
}

size_t outlet_line(const struct outlet *o, char out[RECORD_SIZE], const struct record *r)
{
	size_t len = o->format == TLOG_JSON ? record_json(out, r) : record_text(out, r);

	out[len] = '\n';
	return len + 1;
}
