/* SPDX-License-Identifier: ISC */
#define _GNU_SOURCE 1
#include "links.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "place.h"
#include "say.h"

enum { FORWARDING = 3, LOOK_AGAIN_MS = 100 };

/* What one look at a node's devices showed. */
struct look {
	bool waits;	   /* a cable or a port does not carry yet */
	bool bridge_waits; /* a bridge does not, which one without ports never does */
	bool has_ports;
};

/* The attribute of this type in `room` bytes of them, or NULL. The kernel's macros take no constant. */
static struct rtattr *find(struct rtattr *a, size_t room, unsigned short type)
{
	int left = (int)room;

	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if ((a->rta_type & NLA_TYPE_MASK) == type)
			return a;
	return NULL;
}

static struct rtattr *find_in(struct rtattr *outer, unsigned short type)
{
	return outer ? find(RTA_DATA(outer), RTA_PAYLOAD(outer), type) : NULL;
}

static bool is_text(struct rtattr *a, const char *text)
{
	return a && RTA_PAYLOAD(a) > strlen(text) && strcmp(RTA_DATA(a), text) == 0;
}

static bool is_byte(struct rtattr *a, unsigned char value)
{
	return a && RTA_PAYLOAD(a) >= 1 && *(const unsigned char *)RTA_DATA(a) == value;
}

static void look_at(struct look *seen, struct nlmsghdr *h)
{
	struct ifinfomsg *device = NLMSG_DATA(h);
	struct rtattr *first = IFLA_RTA(device), *info;
	size_t room = IFLA_PAYLOAD(h);
	bool is_up = is_byte(find(first, room, IFLA_OPERSTATE), IF_OPER_UP);

	info = find(first, room, IFLA_LINKINFO);
	if (is_text(find_in(info, IFLA_INFO_KIND), "bridge"))
		seen->bridge_waits |= !is_up;
	else if (is_text(find_in(info, IFLA_INFO_KIND), "veth"))
		seen->waits |= !is_up;
	if (is_text(find_in(info, IFLA_INFO_SLAVE_KIND), "bridge")) {
		seen->has_ports = true;
		seen->waits |= !is_byte(find_in(find_in(info, IFLA_INFO_SLAVE_DATA), IFLA_BRPORT_STATE), FORWARDING);
	}
}

static bool is_whole(const struct nlmsghdr *h, int left)
{
	return left >= (int)sizeof(*h) && h->nlmsg_len >= sizeof(*h) && h->nlmsg_len <= (unsigned)left;
}

/* Takes one datagram of the kernel's answer. True: more is to come. */
static bool take(int fd, struct look *seen)
{
	static union {
		struct nlmsghdr align;
		char bytes[64 << 10];
	} buffer;
	ssize_t got = recv(fd, &buffer, sizeof(buffer), 0);
	int left = (int)got;

	if (got < 0)
		return errno == EINTR || errno == ENOBUFS;
	for (struct nlmsghdr *h = &buffer.align; is_whole(h, left); h = NLMSG_NEXT(h, left)) {
		if (h->nlmsg_seq == 0)
			continue; /* a change, which only ends a wait */
		if (h->nlmsg_type != RTM_NEWLINK)
			return false;
		look_at(seen, h);
	}
	return true;
}

static bool carry(int fd)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg body;
	} ask = {.head = {.nlmsg_len = sizeof(ask),
			  .nlmsg_type = RTM_GETLINK,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			  .nlmsg_seq = 1}};
	struct look seen = {0};

	if (send(fd, &ask, sizeof(ask), 0) != sizeof(ask))
		return false;
	while (take(fd, &seen))
		;
	return !seen.waits && !(seen.bridge_waits && seen.has_ports);
}

static time_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* In the node's namespace. */
static void await(const char *node, time_t end)
{
	struct sockaddr_nl changes = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	struct pollfd change = {.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), .events = POLLIN};

	if (change.fd < 0 || bind(change.fd, (struct sockaddr *)&changes, sizeof(changes)) != 0)
		die(LAB_CANNOT, "%s: its devices cannot be looked at: %s", node, strerror(errno));
	while (!carry(change.fd)) {
		if (now() >= end)
			die(LAB_CANNOT, "%s: its cables do not come up: does the kernel have veth and bridge?", node);
		poll(&change, 1, LOOK_AGAIN_MS);
	}
	close(change.fd);
}

void links_await(const struct plan *p, int seconds)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), error;
	time_t end = now() + seconds;

	if (home < 0)
		die(LAB_CANNOT, "/proc/self/ns/net: %s", strerror(errno));
	for (size_t i = 0; i < p->n_nodes; i++) {
		error = place_enter(p->nodes[i].name);
		if (error)
			die(LAB_CANNOT, "%s: %s", p->nodes[i].name, strerror(error));
		await(p->nodes[i].name, end);
	}
	if (setns(home, CLONE_NEWNET) != 0)
		die(LAB_CANNOT, "cannot return to natlab's own network namespace: %s", strerror(errno));
	close(home);
}
