/* SPDX-License-Identifier: ISC */
/* The outlet to the journal, by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram a record,
 * with fields. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/names.h"
#include "outlet.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

struct journal {
	struct outlet o;
	struct outlet_server server;
	int fd; /* -1: not connected */
};

static struct journal *journal_of(struct outlet *o)
{
	return (struct journal *)o;
}

static void print_endpoint(FILE *f, const char *name, const struct ctl_endpoint *e, bool has_port)
{
	char text[NAMES_ADDRESS_MAX];

	fprintf(f, "NATD_%s_ADDRESS=%s\n", name, names_address(text, e->address));
	if (has_port)
		fprintf(f, "NATD_%s_PORT=%u\n", name, e->port);
}

static void print_fields(FILE *f, const struct record *r)
{
	bool has_port = r->kind != RECORD_BLOCK && (r->protocol == 1 || r->protocol == 6 || r->protocol == 17);
	char protocol[4], when[RECORD_TIME_SIZE];

	fprintf(f, "NATD_EVENT=%s\nNATD_TIME=%s\n", record_event(r), record_time(when, r->time_us));
	if (record_state(r)[0])
		fprintf(f, "NATD_STATE=%s\n", record_state(r));
	if (r->since_us)
		fprintf(f, "NATD_SINCE=%s\n", record_time(when, r->since_us));
	if (r->kind == RECORD_LOST && r->count)
		fprintf(f, "NATD_COUNT=%llu\n", (unsigned long long)r->count);
	if (r->kind < RECORD_MAPPING)
		return;
	print_endpoint(f, "INSIDE", &r->inside, has_port);
	print_endpoint(f, "OUTSIDE", &r->outside, has_port);
	if (r->remote.address)
		print_endpoint(f, "REMOTE", &r->remote, has_port);
	if (r->kind == RECORD_BLOCK)
		fprintf(f, "NATD_FIRST_PORT=%u\nNATD_LAST_PORT=%u\n", r->first, r->last);
	else
		fprintf(f, "NATD_PROTOCOL=%s\n", names_protocol(r->protocol, protocol));
	if (r->kind == RECORD_SESSION)
		fprintf(f, "NATD_SESSION=%llu\n", (unsigned long long)r->id);
	if (r->reason[0]) {
		fputs("NATD_REASON=", f);
		names_print(f, r->reason);
		fputc('\n', f);
	}
}

static void journal_put(struct outlet *o, const struct record *r)
{
	char data[4096], line[RECORD_SIZE];
	size_t len = outlet_line(o, line, r);
	FILE *f = fmemopen(data, sizeof(data), "w");

	if (!f)
		return;
	fprintf(f, "MESSAGE=%.*sPRIORITY=%d\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=natd-log\n", (int)len, line,
		r->kind == RECORD_LOST ? 4 : 6);
	print_fields(f, r);
	len = (size_t)ftell(f);
	fclose(f);
	outlet_put_datagram(o, data, len);
}

static int journal_flush(struct outlet *o)
{
	struct journal *j = journal_of(o);
	int r;

	if (j->fd < 0)
		j->fd = outlet_connect(&j->server, false);
	if (j->fd < 0)
		return j->fd;
	r = outlet_send_datagrams(o, j->fd);
	if (r == 0 || r == -EAGAIN)
		return r;
	close(j->fd); /* journald restarted, with another socket */
	j->fd = -1;
	return r;
}

static int journal_settle(struct outlet *o)
{
	(void)o;
	return 0;
}

static void journal_close(struct outlet *o)
{
	struct journal *j = journal_of(o);

	if (j->fd >= 0)
		close(j->fd);
	free(j);
}

static const struct outlet_ops journal_ops = {
	.put = journal_put,
	.flush = journal_flush,
	.settle = journal_settle,
	.close = journal_close,
};

struct outlet *outlet_journal_open(const struct config_tlog *t, char why[OUTLET_WHY])
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET};
	struct journal *j = calloc(1, sizeof(*j));

	if (!j) {
		snprintf(why, OUTLET_WHY, "short of memory");
		return NULL;
	}
	j->o.ops = &journal_ops;
	j->o.format = t->format;
	snprintf(j->o.name, sizeof(j->o.name), "the journal");
	memcpy(&j->server.address, &sun, sizeof(sun));
	j->server.len = sizeof(sun);
	j->fd = -1;
	return &j->o;
}
