/* SPDX-License-Identifier: ISC */
/*
 * The outlet to a syslog server: messages of RFC 5424, by UDP one a datagram (RFC 5426), by TCP each after its length
 * (RFC 6587, octet counting). Both may lose what was handed over last when the server goes away. By TCP the kernel
 * knows what the server has acknowledged. By UDP a closed port shows as an error of a later datagram, so a position
 * counts as settled a second later.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "outlet.h"

enum {
	PRIORITY_INFO = 3 << 3 | 6,
	PRIORITY_WARNING = 3 << 3 | 4 /* facility daemon */,
	MESSAGE_SIZE = 2 * RECORD_SIZE
};
enum { ALIVE_S = 20 /* a connection whose peer does not answer for this long is dead */ };

/* Structured data needs an enterprise number; 32473 is reserved for examples (RFC 5612). */
#define ENTERPRISE "32473"

struct syslog {
	struct outlet o;
	struct outlet_server server;
	char host[256];
	int fd; /* -1: not connected */
	bool is_stream;
	bool is_connected;     /* TCP */
	enum outlet_port port; /* UDP */
};

static struct syslog *syslog_of(struct outlet *o)
{
	return (struct syslog *)o;
}

static void syslog_put(struct outlet *o, const struct record *r)
{
	struct syslog *s = syslog_of(o);
	char message[MESSAGE_SIZE], text[RECORD_SIZE], when[RECORD_TIME_SIZE], head[16];
	int len;

	record_text(text, r);
	len = snprintf(message, sizeof(message), "<%d>1 %s %s natd-log %d %s [natd@" ENTERPRISE "%s%s%s] %s",
		       r->kind == RECORD_LOST ? PRIORITY_WARNING : PRIORITY_INFO, record_time(when, r->time_us),
		       s->host, (int)getpid(), record_event(r), record_state(r)[0] ? " state=\"" : "", record_state(r),
		       record_state(r)[0] ? "\"" : "", strchr(text, ' ') + 1);
	if (!s->is_stream) {
		outlet_put_datagram(o, message, (size_t)len);
		return;
	}
	outlet_put_bytes(o, head, (size_t)snprintf(head, sizeof(head), "%d ", len));
	outlet_put_bytes(o, message, (size_t)len);
}

static void drop_connection(struct syslog *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->is_connected = false;
	s->o.waiting = 0; /* the buffer may begin inside a message; its user repeats all of it */
}

static int send_stream(struct syslog *s)
{
	size_t done = 0;
	int r = 0;

	while (done < s->o.waiting && r == 0) {
		ssize_t n = send(s->fd, s->o.buffer + done, s->o.waiting - done, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			r = -errno;
	}
	outlet_drop_bytes(&s->o, done);
	return r;
}

static int connect_stream(struct syslog *s)
{
	const int yes = 1, idle = ALIVE_S, timeout_ms = ALIVE_S * 1000;

	s->fd = outlet_connect(&s->server, true);
	if (s->fd < 0)
		return s->fd;
	setsockopt(s->fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof(yes));
	setsockopt(s->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
	return 0;
}

/* Is it connected, and has the server not closed it? The server sends nothing itself. */
static int check_stream(struct syslog *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLOUT};
	char byte[64];
	ssize_t n;

	if (!s->is_connected && poll(&p, 1, 0) <= 0)
		return -EAGAIN;
	s->is_connected = true;
	n = recv(s->fd, byte, sizeof(byte), MSG_DONTWAIT);

	if (n == 0)
		return -ECONNRESET;
	return n > 0 || errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static int stream_flush(struct outlet *o)
{
	struct syslog *s = syslog_of(o);
	int r = s->fd < 0 ? connect_stream(s) : 0;

	if (r == 0)
		r = check_stream(s);
	if (r == 0)
		r = send_stream(s);
	if (r < 0 && r != -EAGAIN)
		drop_connection(s);
	return r;
}

static int stream_settle(struct outlet *o)
{
	struct syslog *s = syslog_of(o);
	int unsent = 0;
	int r = s->fd < 0 ? 0 : check_stream(s);

	if (r < 0) {
		drop_connection(s);
		return r;
	}
	if (s->fd >= 0 && ioctl(s->fd, SIOCOUTQ, &unsent) < 0)
		return -errno;
	return unsent > 0 ? -EAGAIN : 0;
}

static void probe(struct outlet *o, int fd)
{
	char message[MESSAGE_SIZE], when[RECORD_TIME_SIZE];
	struct timespec now;
	int len;

	clock_gettime(CLOCK_REALTIME, &now);
	len = snprintf(message, sizeof(message), "<%d>1 %s %s natd-log %d PROBE - does this port take messages again?",
		       PRIORITY_INFO, record_time(when, (uint64_t)now.tv_sec * 1000000), syslog_of(o)->host,
		       (int)getpid());
	send(fd, message, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int datagram_flush(struct outlet *o)
{
	struct syslog *s = syslog_of(o);

	return outlet_send_to_port(o, s->fd, &s->port, probe);
}

static int datagram_settle(struct outlet *o)
{
	struct syslog *s = syslog_of(o);

	return outlet_check_port(o, s->fd, &s->port);
}

static void syslog_close(struct outlet *o)
{
	struct syslog *s = syslog_of(o);

	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

static const struct outlet_ops stream_ops = {
	.put = syslog_put,
	.flush = stream_flush,
	.settle = stream_settle,
	.close = syslog_close,
	.forgets = true,
};

static const struct outlet_ops datagram_ops = {
	.put = syslog_put,
	.flush = datagram_flush,
	.settle = datagram_settle,
	.close = syslog_close,
	.forgets = true,
	.settles_late = true,
};

static void find_host_name(char host[256])
{
	if (gethostname(host, 256) < 0 || host[0] == '\0')
		strcpy(host, "-");
	host[255] = '\0';
	for (char *p = host; *p; p++) {
		if (*p <= ' ' || *p > '~') /* PRINTUSASCII */
			*p = '?';
	}
}

struct outlet *outlet_syslog_open(const struct config_tlog *t, char why[OUTLET_WHY])
{
	struct syslog *s = calloc(1, sizeof(*s));

	if (!s) {
		snprintf(why, OUTLET_WHY, "short of memory");
		return NULL;
	}
	s->fd = -1;
	s->is_stream = t->target == TLOG_SYSLOG_TCP;
	s->o.ops = s->is_stream ? &stream_ops : &datagram_ops;
	s->o.format = TLOG_TEXT;
	snprintf(s->o.name, sizeof(s->o.name), "syslog server %s port %u", t->place, t->port);
	find_host_name(s->host);
	if (!outlet_find_server(t, s->is_stream, &s->server, why)) {
		free(s);
		return NULL;
	}
	if (!s->is_stream) {
		s->fd = outlet_connect(&s->server, false);
		if (s->fd < 0) {
			snprintf(why, OUTLET_WHY, "cannot connect to %.150s: %s", t->place, strerror(-s->fd));
			free(s);
			return NULL;
		}
	}
	return &s->o;
}
