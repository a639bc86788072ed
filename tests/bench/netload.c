/* SPDX-License-Identifier: ISC */
/*
 * The ends of bench_net.py: small packets, round trips and new connections, counted.
 *
 *	netload udp-send DST PORT BYTES FLOWS SECONDS   sends as fast as it can from FLOWS source ports
 *	netload udp-count PORT SECONDS                  counts what arrives until SECONDS pass
 *	netload echo PORT                               TCP and UDP echo, until killed
 *	netload rr tcp|udp DST PORT SECONDS             round trips of one byte: rate, median, 99th percentile
 *	netload accept PORT COUNT                       accepts on COUNT ports and closes, until killed
 *	netload connect DST PORT COUNT SECONDS          opens connections to COUNT ports, 64 at a time, and resets them
 *	netload flows DST PORT COUNT FIRST RATE         one datagram from each of COUNT source endpoints, beginning at address FIRST,
 *	                                                RATE a second (0: as fast as queues on the way allow)
 *	netload homes DST PORT HOSTS FIRST TURN TURNS RATE   the same with made-up sources, in turn: HOSTS addresses from FIRST on, of
 *	                                                each the ports 2000 + TURN and as many more as TURNS says
 *
 * One line of JSON on stdout. Used in namespaces only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BURST = 64, PARALLEL = 64, MAX_SAMPLES = 2000000 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "netload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in address(const char *host, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	if (host != NULL && inet_pton(AF_INET, host, &a.sin_addr) != 1)
		die(host);
	return a;
}

static int open_socket(int type, const struct sockaddr_in *bind_to, const struct sockaddr_in *connect_to)
{
	int fd = socket(AF_INET, type, 0), one = 1, big = 8 << 20;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	if (bind_to != NULL && bind(fd, (const struct sockaddr *)bind_to, sizeof(*bind_to)) < 0)
		die("bind");
	if (connect_to != NULL && connect(fd, (const struct sockaddr *)connect_to, sizeof(*connect_to)) < 0)
		die("connect");
	return fd;
}

/* ---- small packets ---- */

static int udp_send(char **a)
{
	struct sockaddr_in to = address(a[0], atoi(a[1]));
	size_t bytes = (size_t)atoi(a[2]);
	int flows = atoi(a[3]);
	double end = now() + atof(a[4]), start = now();
	uint64_t sent = 0;
	static char payload[2048];
	struct iovec iov = {.iov_base = payload, .iov_len = bytes};
	struct mmsghdr m[BURST];
	int *fd = calloc((size_t)flows, sizeof(*fd));

	if (fd == NULL || bytes > sizeof(payload))
		die("arguments");
	for (int i = 0; i < flows; i++)
		fd[i] = open_socket(SOCK_DGRAM, NULL, &to);
	memset(m, 0, sizeof(m));
	for (int i = 0; i < BURST; i++) {
		m[i].msg_hdr.msg_iov = &iov;
		m[i].msg_hdr.msg_iovlen = 1;
	}
	for (int i = 0; now() < end; i = (i + 1) % flows) {
		int n = sendmmsg(fd[i], m, flows == 1 ? BURST : 8, 0);

		sent += n > 0 ? (uint64_t)n : 0;
	}
	printf("{\"sent\": %" PRIu64 ", \"seconds\": %.3f}\n", sent, now() - start);
	return 0;
}

static int udp_count(char **a)
{
	struct sockaddr_in here = address(NULL, atoi(a[0]));
	double end = now() + atof(a[1]), first = 0, last = 0;
	int fd = open_socket(SOCK_DGRAM, &here, NULL);
	struct timeval tick = {.tv_usec = 100000};
	static char buffer[BURST][2048];
	struct iovec iov[BURST];
	struct mmsghdr m[BURST];
	uint64_t got = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick));
	memset(m, 0, sizeof(m));
	for (int i = 0; i < BURST; i++) {
		iov[i] = (struct iovec){.iov_base = buffer[i], .iov_len = sizeof(buffer[i])};
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	while (now() < end) {
		int n = recvmmsg(fd, m, BURST, MSG_WAITFORONE, NULL);

		if (n <= 0)
			continue;
		last = now();
		if (first == 0)
			first = last;
		got += (uint64_t)n;
	}
	printf("{\"received\": %" PRIu64 ", \"seconds\": %.3f}\n", got, last - first);
	return 0;
}

/* ---- round trips ---- */

static void watch(int ep, int fd, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.fd = fd};

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
		die("epoll_ctl");
}

static void echo_datagram(int fd)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char buffer[2048];
	ssize_t n = recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &len);

	if (n >= 0)
		sendto(fd, buffer, (size_t)n, 0, (struct sockaddr *)&from, len);
}

static void echo_stream(int fd)
{
	char buffer[65536];
	ssize_t n = read(fd, buffer, sizeof(buffer));

	if (n <= 0 || write(fd, buffer, (size_t)n) != n)
		close(fd);
}

__attribute__((noreturn)) static int echo(char **a)
{
	struct sockaddr_in here = address(NULL, atoi(a[0]));
	int udp = open_socket(SOCK_DGRAM, &here, NULL), tcp = open_socket(SOCK_STREAM, &here, NULL);
	int ep = epoll_create1(0), one = 1;

	if (ep < 0 || listen(tcp, 1024) < 0)
		die("listen");
	watch(ep, udp, EPOLLIN);
	watch(ep, tcp, EPOLLIN);
	for (;;) {
		struct epoll_event e[BURST];
		int n = epoll_wait(ep, e, BURST, -1);

		for (int i = 0; i < n; i++) {
			int fd = e[i].data.fd;

			if (fd == udp) {
				echo_datagram(fd);
			} else if (fd == tcp) {
				int c = accept(tcp, NULL, NULL);

				if (c < 0)
					continue;
				setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
				watch(ep, c, EPOLLIN);
			} else {
				echo_stream(fd);
			}
		}
	}
}

static int compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

static int round_trips(char **a)
{
	struct sockaddr_in to = address(a[1], atoi(a[2]));
	bool tcp = strcmp(a[0], "tcp") == 0;
	double end = now() + atof(a[3]), start = now();
	int fd = open_socket(tcp ? SOCK_STREAM : SOCK_DGRAM, NULL, &to), one = 1;
	struct timeval wait = {.tv_sec = 1};
	float *us = malloc(MAX_SAMPLES * sizeof(*us));
	uint64_t n = 0, lost = 0;
	char byte = 'x';

	if (us == NULL)
		die("malloc");
	if (tcp)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	while (now() < end && n < MAX_SAMPLES) {
		double t = now();

		if (send(fd, &byte, 1, 0) != 1 || recv(fd, &byte, 1, 0) != 1)
			lost++;
		else
			us[n++] = (float)((now() - t) * 1e6);
	}
	qsort(us, n, sizeof(*us), compare);
	printf("{\"rate\": %.0f, \"median_us\": %.1f, \"p99_us\": %.1f, \"lost\": %" PRIu64 "}\n",
	       (double)n / (now() - start), n ? (double)us[n / 2] : 0, n ? (double)us[n - 1 - n / 100] : 0, lost);
	return 0;
}

/* ---- new connections ---- */

__attribute__((noreturn)) static int accept_all(char **a)
{
	int ep = epoll_create1(0), count = atoi(a[1]);

	for (int i = 0; i < count; i++) {
		struct sockaddr_in here = address(NULL, atoi(a[0]) + i);
		int fd = open_socket(SOCK_STREAM, &here, NULL);

		if (listen(fd, 4096) < 0)
			die("listen");
		fcntl(fd, F_SETFL, O_NONBLOCK);
		watch(ep, fd, EPOLLIN);
	}
	for (;;) {
		struct epoll_event e[BURST];
		int n = epoll_wait(ep, e, BURST, -1), c;

		for (int i = 0; i < n; i++)
			while ((c = accept(e[i].data.fd, NULL, NULL)) >= 0)
				close(c);
	}
}

static void start_connect(int ep, struct sockaddr_in *to, int base, int count)
{
	static int turn;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct linger reset = {.l_onoff = 1};

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	to->sin_port = htons((uint16_t)(base + turn++ % count));
	if (connect(fd, (struct sockaddr *)to, sizeof(*to)) < 0 && errno != EINPROGRESS) {
		close(fd);
		return;
	}
	watch(ep, fd, EPOLLOUT);
}

static int connect_all(char **a)
{
	struct sockaddr_in to = address(a[0], 0);
	int base = atoi(a[1]), count = atoi(a[2]), ep = epoll_create1(0);
	double end = now() + atof(a[3]), start = now();
	uint64_t opened = 0, failed = 0;

	for (int i = 0; i < PARALLEL; i++)
		start_connect(ep, &to, base, count);
	while (now() < end) {
		struct epoll_event e[PARALLEL];
		int n = epoll_wait(ep, e, PARALLEL, 100);

		for (int i = 0; i < n; i++) {
			int error = 0;
			socklen_t len = sizeof(error);

			getsockopt(e[i].data.fd, SOL_SOCKET, SO_ERROR, &error, &len);
			opened += error == 0;
			failed += error != 0;
			close(e[i].data.fd);
			start_connect(ep, &to, base, count);
		}
	}
	printf("{\"rate\": %.0f, \"failed\": %" PRIu64 "}\n", (double)opened / (now() - start), failed);
	return 0;
}

/* ---- other sessions in the table ---- */

/* Until `made` datagrams are due. */
static void pace(double start, int made, double rate)
{
	double ahead =
		rate > 0 ? start + made / rate - now() : 300e-6; /* 300 us: so that no queue on the way overflows */

	if (ahead > 0)
		usleep((useconds_t)(ahead * 1e6));
}

/* From source ports 2000-61999 of each of this host's addresses 10.x given by their first one, in turn. */
static int flows(char **a)
{
	struct sockaddr_in to = address(a[0], atoi(a[1]));
	struct sockaddr_in from = address(a[3], 0);
	uint32_t first = ntohl(from.sin_addr.s_addr);
	int count = atoi(a[2]), made = 0;
	double rate = atof(a[4]), start = now();

	for (int i = 0; i < count; i++) {
		int fd;

		from.sin_addr.s_addr = htonl(first + (uint32_t)i / 60000);
		from.sin_port = htons((uint16_t)(2000 + i % 60000));
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
			die("bind");
		made += sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) == 1;
		close(fd);
		if (i % 64 == 63)
			pace(start, i + 1, rate);
	}
	printf("{\"made\": %d, \"seconds\": %.3f}\n", made, now() - start);
	return 0;
}

/* An IPv4 header whose checksum and number the kernel makes, a UDP one without checksum, and a byte. */
struct datagram {
	uint8_t version_length, tos;
	uint16_t length, number, fragment;
	uint8_t ttl, protocol;
	uint16_t checksum;
	uint32_t from, to;
	uint16_t sport, dport, udp_length, udp_checksum;
	uint8_t payload;
} __attribute__((packed));

static void make_datagram(struct datagram *d, const struct sockaddr_in *to, uint32_t from, int sport)
{
	*d = (struct datagram){.version_length = 0x45,
			       .length = htons(sizeof(*d)),
			       .ttl = 64,
			       .protocol = IPPROTO_UDP,
			       .from = htonl(from),
			       .to = to->sin_addr.s_addr,
			       .sport = htons((uint16_t)sport),
			       .dport = to->sin_port,
			       .udp_length = htons(9)};
}

static int homes(char **a)
{
	struct sockaddr_in to = address(a[0], atoi(a[1])), first = address(a[3], 0), raw_to = to;
	int hosts = atoi(a[2]), turn = atoi(a[4]), count = hosts * atoi(a[5]), made = 0;
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	double rate = atof(a[6]), start = now();
	struct datagram d[BURST];
	struct iovec iov[BURST];
	struct mmsghdr m[BURST];

	if (fd < 0)
		die("raw socket");
	raw_to.sin_port = 0;
	memset(m, 0, sizeof(m));
	for (int i = 0; i < BURST; i++) {
		iov[i] = (struct iovec){.iov_base = &d[i], .iov_len = sizeof(d[i])};
		m[i].msg_hdr = (struct msghdr){
			.msg_name = &raw_to, .msg_namelen = sizeof(raw_to), .msg_iov = &iov[i], .msg_iovlen = 1};
	}
	for (int i = 0; i < count; i += BURST) {
		int n = count - i < BURST ? count - i : BURST, sent;

		for (int k = 0; k < n; k++)
			make_datagram(&d[k], &to, ntohl(first.sin_addr.s_addr) + (uint32_t)((i + k) % hosts),
				      2000 + turn + (i + k) / hosts);
		sent = sendmmsg(fd, m, (unsigned)n, 0);
		made += sent > 0 ? sent : 0;
		pace(start, i + n, rate);
	}
	printf("{\"made\": %d, \"seconds\": %.3f}\n", made, now() - start);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		int (*run)(char **);
	} commands[] = {
		{"udp-send", 5, udp_send}, {"udp-count", 2, udp_count}, {"echo", 1, echo},   {"rr", 4, round_trips},
		{"accept", 2, accept_all}, {"connect", 4, connect_all}, {"flows", 5, flows}, {"homes", 7, homes},
	};
	struct rlimit files = {.rlim_cur = 65536, .rlim_max = 65536};

	setrlimit(RLIMIT_NOFILE, &files);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (argc == commands[i].args + 2 && strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argv + 2);
	fprintf(stderr, "usage: netload udp-send|udp-count|echo|rr|accept|connect|flows|homes ARGS: see the head of "
			"netload.c\n");
	return 2;
}
