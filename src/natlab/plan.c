/* SPDX-License-Identifier: ISC */
#define _GNU_SOURCE 1
#include "plan.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct drawing {
	struct plan *plan;
	const char *directory;
	FILE *cables;
	size_t cables_size;
	unsigned n_ports; /* of the internet's bridge */
	unsigned n_cables;
	FILE *internet; /* the lines of nodes[0], to which each other node adds */
	size_t internet_size;
};

/* A NAT's own programs stay below natd's ports, 1024 to 65535. */
const char *const *plan_settings(enum node_role role)
{
	static const char *const host[] = {"ipv6/conf/default/disable_ipv6=1", NULL};
	static const char *const internet[] = {"ipv6/conf/default/disable_ipv6=1", "ipv4/conf/all/send_redirects=0",
					       "ipv4/conf/default/send_redirects=0", "ipv4/ip_forward=1", NULL};
	static const char *const nat[] = {"ipv6/conf/default/disable_ipv6=1", "ipv4/ip_forward=0",
					  "ipv4/ip_unprivileged_port_start=0", "ipv4/ip_local_port_range=512 1023",
					  NULL};

	switch (role) {
	case NODE_INTERNET:
		return internet;
	case NODE_NAT:
	case NODE_CGNAT:
		return nat;
	case NODE_SERVER:
	case NODE_HOST:
		break;
	}
	return host;
}

static struct node *add_node(struct drawing *d, enum node_role role, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static struct node *add_node(struct drawing *d, enum node_role role, const char *format, ...)
{
	struct node *n = &d->plan->nodes[d->plan->n_nodes++];
	va_list arguments;

	n->role = role;
	va_start(arguments, format);
	vsnprintf(n->name, sizeof(n->name), format, arguments);
	va_end(arguments);
	return n;
}

/* A cable from `a`'s device to `b`'s. Their indexes differ: the kernel takes a device whose peer has the same one for a
 * device without a peer, and looks at its carrier up to a second later. */
static void cable(struct drawing *d, const char *a, const char *a_device, const char *b, const char *b_device)
{
	unsigned index = 1000 + 2 * d->n_cables++;

	fprintf(d->cables, "link add name %s index %u netns %s/%s type veth peer name %s index %u netns %s/%s\n",
		a_device, index, d->directory, a, b_device, index + 1, d->directory, b);
}

/* Plugs `device` of the node into the internet's bridge. */
static void plug(struct drawing *d, const struct node *n, const char *device)
{
	char port[16];

	snprintf(port, sizeof(port), "port%u", ++d->n_ports);
	cable(d, n->name, device, d->plan->nodes[0].name, port);
	fprintf(d->internet, "link set %s master net0\nlink set %s up\n", port, port);
}

static bool set_lines(struct node *n, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool set_lines(struct node *n, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vasprintf(&n->lines, format, arguments);
	va_end(arguments);
	if (length < 0)
		n->lines = NULL;
	return n->lines;
}

static bool draw_server(struct drawing *d)
{
	struct node *n = add_node(d, NODE_SERVER, "server");

	snprintf(n->address[0], NODE_ADDRESS, "198.51.100.10");
	snprintf(n->address[1], NODE_ADDRESS, "198.51.100.20");
	plug(d, n, "eth0");
	return set_lines(n,
			 "link set lo up\naddr add %s/24 dev eth0\naddr add %s/24 dev eth0\nlink set eth0 up\n"
			 "route add default via 198.51.100.254\n",
			 n->address[0], n->address[1]);
}

/* The lines of a NAT: in0 is a bridge with `ports` cables named p1, p2, ... Its outside is set by the caller. */
static bool nat_lines(struct node *n, const char *inside, unsigned ports, const char *router)
{
	char *buffer = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&buffer, &size);

	if (!f)
		return false;
	fprintf(f, "link set lo up\nlink add name in0 type bridge mcast_snooping 0\n");
	for (unsigned i = 1; i <= ports; i++)
		fprintf(f, "link set p%u master in0\nlink set p%u up\n", i, i);
	fprintf(f, "addr add %s/24 dev in0\nlink set in0 up\n", inside);
	fprintf(f, "addr add %s/24 dev out0\nlink set out0 up\nroute add default via %s\n", n->address[0], router);
	if (fclose(f) != 0) {
		free(buffer);
		return false;
	}
	n->lines = buffer;
	return true;
}

static bool draw_host(struct drawing *d, const struct node *nat, unsigned number, unsigned i)
{
	struct node *n = add_node(d, NODE_HOST, "%s-host%u", nat->name, i);
	char port[16];

	snprintf(n->address[0], NODE_ADDRESS, "192.168.%u.%u", number, i + 1);
	snprintf(port, sizeof(port), "p%u", i);
	cable(d, n->name, "eth0", nat->name, port);
	return set_lines(
		n, "link set lo up\naddr add %s/24 dev eth0\nlink set eth0 up\nroute add default via 192.168.%u.1\n",
		n->address[0], number);
}

static bool draw_nat(struct drawing *d, const struct nat_wish *w, unsigned number, unsigned hosts)
{
	struct node *outer = NULL, *n;
	char inside[NODE_ADDRESS], router[NODE_ADDRESS] = "203.0.113.254";

	if (w->cgnat) {
		outer = add_node(d, NODE_CGNAT, "nat%u-cgnat", number);
		outer->wish = w;
		snprintf(outer->address[0], NODE_ADDRESS, "203.0.113.%u", number);
		plug(d, outer, "out0");
		snprintf(inside, sizeof(inside), "100.64.%u.1", number);
		if (!nat_lines(outer, inside, 1, router))
			return false;
		memcpy(router, inside, sizeof(router));
	}
	n = add_node(d, NODE_NAT, "nat%u", number);
	n->wish = w;
	if (outer) {
		snprintf(n->address[0], NODE_ADDRESS, "100.64.%u.2", number);
		cable(d, n->name, "out0", outer->name, "p1");
	} else {
		snprintf(n->address[0], NODE_ADDRESS, "203.0.113.%u", number);
		plug(d, n, "out0");
	}
	snprintf(inside, sizeof(inside), "192.168.%u.1", number);
	if (!nat_lines(n, inside, hosts, router))
		return false;
	for (unsigned i = 1; i <= hosts; i++)
		if (!draw_host(d, n, number, i))
			return false;
	return true;
}

static bool draw(struct drawing *d, const struct lab_options *o)
{
	struct node *internet = add_node(d, NODE_INTERNET, "internet");

	snprintf(internet->address[0], NODE_ADDRESS, "203.0.113.254");
	snprintf(internet->address[1], NODE_ADDRESS, "198.51.100.254");
	fprintf(d->cables, "link set lo up\n");
	fprintf(d->internet, "link set lo up\nlink add name net0 type bridge mcast_snooping 0\n");
	if (o->server && !draw_server(d))
		return false;
	for (size_t i = 0; i < o->n_nats; i++)
		if (!draw_nat(d, &o->nats[i], (unsigned)i + 1, o->hosts))
			return false;
	fprintf(d->internet, "addr add %s/24 dev net0\naddr add %s/24 dev net0\nlink set net0 up\n",
		internet->address[0], internet->address[1]);
	return true;
}

bool plan_make(struct plan *p, const struct lab_options *o, const char *directory)
{
	size_t most = 2 + o->n_nats * (2 + o->hosts);
	struct drawing d = {.plan = p, .directory = directory};
	bool ok;

	*p = (struct plan){.nodes = calloc(most, sizeof(*p->nodes))};
	if (!p->nodes)
		return false;
	d.cables = open_memstream(&p->cables, &d.cables_size);
	d.internet = open_memstream(&p->nodes[0].lines, &d.internet_size);
	ok = d.cables && d.internet && draw(&d, o);
	assert(p->n_nodes <= most);
	ok = d.cables && fclose(d.cables) == 0 && ok;
	ok = d.internet && fclose(d.internet) == 0 && ok;
	if (!ok)
		plan_free(p);
	return ok;
}

void plan_free(struct plan *p)
{
	for (size_t i = 0; i < p->n_nodes; i++)
		free(p->nodes[i].lines);
	free(p->nodes);
	free(p->cables);
	*p = (struct plan){0};
}
