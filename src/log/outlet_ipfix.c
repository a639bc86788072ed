/* SPDX-License-Identifier: ISC */
/*
 * The outlet to an IPFIX collector (RFC 7011) by UDP, with the records of RFC 8158. libfixbuf makes the messages; each
 * is one datagram.
 *
 * Templates and options are sent first, again every TEMPLATES_S, and as the probe of a port that was closed: so a
 * restarted collector can read what follows. RECORD_LOST becomes the options record of RFC 7011 4.3: the number of
 * records that were not sent, 0 if unknown. RECORD_START has no record.
 */
#include "outlet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef HAVE_LIBFIXBUF

struct outlet *outlet_ipfix_open(const struct config_tlog *t, char why[OUTLET_WHY])
{
	(void)t;
	snprintf(why, OUTLET_WHY,
		 "translation_log.target: this natd-log was built without libfixbuf, which IPFIX needs");
	return NULL;
}

#else
#include <fixbuf/public.h>

/* Small enough for a datagram that no network fragments. */
enum { MESSAGE_SIZE = 1400, TEMPLATES_S = 60, DOMAIN = 1, NAT44 = 1 };

/* RFC 8158 4.2 */
enum { SESSION_CREATE = 4, SESSION_DELETE = 5, BIB_CREATE = 8, BIB_DELETE = 9, BLOCK_ALLOCATE = 16, BLOCK_FREE = 17 };

enum { ID_MAPPING = 256, ID_SESSION, ID_SESSION_TO, ID_BLOCK, ID_LOST, ID_TYPE, ID_END };

struct flow {
	uint64_t time_ms;
	uint32_t inside, outside;
	uint16_t inside_port, outside_port;
	uint8_t protocol, event;
	uint32_t remote; /* this and the next field: only ID_SESSION_TO */
	uint16_t remote_port;
} __attribute__((packed));

struct block {
	uint64_t time_ms;
	uint32_t inside, outside;
	uint16_t first, last;
	uint8_t event;
} __attribute__((packed));

struct lost {
	uint32_t process; /* scope */
	uint64_t count;
	uint64_t since_ms, until_ms;
} __attribute__((packed));

struct type {
	uint32_t domain; /* scope */
	uint8_t type;
} __attribute__((packed));

enum { FLOW_SIZE = offsetof(struct flow, remote) };

#define FLOW_FIELDS                                                                                                 \
	{"observationTimeMilliseconds", 8, 0}, {"sourceIPv4Address", 4, 0}, {"postNATSourceIPv4Address", 4, 0},     \
		{"sourceTransportPort", 2, 0}, {"postNAPTSourceTransportPort", 2, 0}, {"protocolIdentifier", 1, 0}, \
	{                                                                                                           \
		"natEvent", 1, 0                                                                                    \
	}

static fbInfoElementSpec_t flow_fields[] = {FLOW_FIELDS, FB_IESPEC_NULL};
static fbInfoElementSpec_t flow_to_fields[] = {
	FLOW_FIELDS, {"destinationIPv4Address", 4, 0}, {"destinationTransportPort", 2, 0}, FB_IESPEC_NULL};
static fbInfoElementSpec_t block_fields[] = {{"observationTimeMilliseconds", 8, 0},
					     {"sourceIPv4Address", 4, 0},
					     {"postNATSourceIPv4Address", 4, 0},
					     {"portRangeStart", 2, 0},
					     {"portRangeEnd", 2, 0},
					     {"natEvent", 1, 0},
					     FB_IESPEC_NULL};
static fbInfoElementSpec_t lost_fields[] = {{"exportingProcessId", 4, 0},
					    {"notSentFlowTotalCount", 8, 0},
					    {"flowStartMilliseconds", 8, 0},
					    {"flowEndMilliseconds", 8, 0},
					    FB_IESPEC_NULL};
static fbInfoElementSpec_t type_fields[] = {{"observationDomainId", 4, 0}, {"natType", 1, 0}, FB_IESPEC_NULL};

static const struct {
	fbInfoElementSpec_t *fields;
	uint16_t scope; /* number of leading fields that are an option's scope; 0: a data record */
} templates[ID_END - ID_MAPPING] = {
	{flow_fields, 0}, /* ID_MAPPING */
	[ID_SESSION - ID_MAPPING] = {flow_fields, 0},
	[ID_SESSION_TO - ID_MAPPING] = {flow_to_fields, 0},
	[ID_BLOCK - ID_MAPPING] = {block_fields, 0},
	[ID_LOST - ID_MAPPING] = {lost_fields, 1},
	[ID_TYPE - ID_MAPPING] = {type_fields, 1},
};

struct ipfix {
	struct outlet o;
	struct outlet_server server;
	int fd;
	enum outlet_port port;
	time_t templates_at; /* when templates were last sent, by the monotonic clock; 0: never */
	fbInfoModel_t *model;
	fbSession_t *session;
	fBuf_t *records;
	bool has_records; /* the current message is not empty */
	uint8_t message[MESSAGE_SIZE];
	fbExporter_t *exporter;
};

static struct ipfix *ipfix_of(struct outlet *o)
{
	return (struct ipfix *)o;
}

static time_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* Turns the message under construction into a datagram. */
static void emit(struct ipfix *x)
{
	GError *error = NULL;

	if (!x->has_records)
		return;
	x->has_records = false;
	if (fBufEmit(x->records, &error))
		outlet_put_datagram(&x->o, x->message, fbExporterGetMsgLen(x->exporter));
	g_clear_error(&error);
}

/* A record that does not fit starts the next message. */
static void append(struct ipfix *x, uint16_t id, void *data, size_t size)
{
	GError *error = NULL;

	for (int attempt = 0; attempt < 2; attempt++) {
		if (fBufSetInternalTemplate(x->records, id, &error) && fBufSetExportTemplate(x->records, id, &error) &&
		    fBufAppend(x->records, data, size, &error)) {
			x->has_records = true;
			return;
		}
		g_clear_error(&error);
		emit(x);
	}
}

/* libfixbuf dereferences `error` unconditionally. */
static void put_template(struct ipfix *x, uint16_t id)
{
	GError *error = NULL;

	for (int attempt = 0; attempt < 2; attempt++) {
		if (fbSessionExportTemplate(x->session, id, &error)) {
			x->has_records = true;
			return;
		}
		g_clear_error(&error);
		emit(x);
	}
}

static void put_templates(struct ipfix *x)
{
	struct type type = {.domain = DOMAIN, .type = NAT44};

	emit(x);
	/* One by one: given all at once, the library would send them itself. */
	for (unsigned id = ID_MAPPING; id < ID_END; id++)
		put_template(x, (uint16_t)id);
	append(x, ID_TYPE, &type, sizeof(type));
	x->templates_at = now_s() + 1;
}

static void put_flow(struct ipfix *x, const struct record *r)
{
	bool is_mapping = r->kind == RECORD_MAPPING;
	struct flow flow = {
		.time_ms = r->time_us / 1000,
		.inside = r->inside.address,
		.outside = r->outside.address,
		.inside_port = r->inside.port,
		.outside_port = r->outside.port,
		.protocol = r->protocol,
		.event = is_mapping ? (r->has_ended ? BIB_DELETE : BIB_CREATE)
				    : (r->has_ended ? SESSION_DELETE : SESSION_CREATE),
		.remote = r->remote.address,
		.remote_port = r->remote.port,
	};

	if (r->remote.address)
		append(x, ID_SESSION_TO, &flow, sizeof(flow));
	else
		append(x, is_mapping ? ID_MAPPING : ID_SESSION, &flow, FLOW_SIZE);
}

static void put_block(struct ipfix *x, const struct record *r)
{
	struct block block = {
		.time_ms = r->time_us / 1000,
		.inside = r->inside.address,
		.outside = r->outside.address,
		.first = r->first,
		.last = r->last,
		.event = r->has_ended ? BLOCK_FREE : BLOCK_ALLOCATE,
	};

	append(x, ID_BLOCK, &block, sizeof(block));
}

static void ipfix_put(struct outlet *o, const struct record *r)
{
	struct ipfix *x = ipfix_of(o);
	struct lost lost = {(uint32_t)getpid(), r->count, r->since_us / 1000, r->time_us / 1000};

	if (now_s() - x->templates_at >= TEMPLATES_S)
		put_templates(x);
	switch (r->kind) {
	case RECORD_START:
		return;
	case RECORD_LOST:
		append(x, ID_LOST, &lost, sizeof(lost));
		return;
	case RECORD_MAPPING:
	case RECORD_SESSION:
		put_flow(x, r);
		return;
	case RECORD_BLOCK:
		put_block(x, r);
		return;
	}
}

static void probe(struct outlet *o, int fd)
{
	put_templates(ipfix_of(o));
	emit(ipfix_of(o));
	outlet_send_datagrams(o, fd);
	o->waiting = 0;
}

static int ipfix_flush(struct outlet *o)
{
	struct ipfix *x = ipfix_of(o);

	emit(x);
	return outlet_send_to_port(o, x->fd, &x->port, probe);
}

static int ipfix_settle(struct outlet *o)
{
	struct ipfix *x = ipfix_of(o);

	if (now_s() - x->templates_at >= TEMPLATES_S) {
		put_templates(x);
		ipfix_flush(o);
	}
	return outlet_check_port(o, x->fd, &x->port);
}

static void ipfix_close(struct outlet *o)
{
	struct ipfix *x = ipfix_of(o);

	if (x->records)
		fBufFree(x->records); /* frees session and exporter too */
	if (x->model)
		fbInfoModelFree(x->model);
	if (x->fd >= 0)
		close(x->fd);
	free(x);
}

static const struct outlet_ops ipfix_ops = {
	.put = ipfix_put,
	.flush = ipfix_flush,
	.settle = ipfix_settle,
	.close = ipfix_close,
	.forgets = true,
	.settles_late = true,
};

static bool add_template(struct ipfix *x, uint16_t id, GError **error)
{
	fbTemplate_t *t = fbTemplateAlloc(x->model);

	if (!fbTemplateAppendSpecArray(t, templates[id - ID_MAPPING].fields, UINT32_MAX, error))
		return false;
	if (templates[id - ID_MAPPING].scope)
		fbTemplateSetOptionsScope(t, templates[id - ID_MAPPING].scope);
	return fbSessionAddTemplate(x->session, TRUE, id, t, error) != 0 &&
	       fbSessionAddTemplate(x->session, FALSE, id, t, error) != 0;
}

static bool make_messages(struct ipfix *x, GError **error)
{
	x->model = fbInfoModelAlloc();
	x->session = fbSessionAlloc(x->model);
	fbSessionSetDomain(x->session, DOMAIN);
	for (unsigned id = ID_MAPPING; id < ID_END; id++) {
		if (!add_template(x, (uint16_t)id, error))
			return false;
	}
	x->exporter = fbExporterAllocBuffer(x->message, sizeof(x->message));
	x->records = fBufAllocForExport(x->session, x->exporter);
	fBufSetAutomaticMode(x->records, FALSE);
	return true;
}

struct outlet *outlet_ipfix_open(const struct config_tlog *t, char why[OUTLET_WHY])
{
	struct ipfix *x = calloc(1, sizeof(*x));
	GError *error = NULL;

	if (!x) {
		snprintf(why, OUTLET_WHY, "short of memory");
		return NULL;
	}
	x->o.ops = &ipfix_ops;
	x->fd = -1;
	x->templates_at = -TEMPLATES_S;
	snprintf(x->o.name, sizeof(x->o.name), "IPFIX collector %s port %u", t->place, t->port);
	if (!outlet_find_server(t, false, &x->server, why))
		goto out;
	x->fd = outlet_connect(&x->server, false);
	if (x->fd < 0) {
		snprintf(why, OUTLET_WHY, "cannot connect to %.150s: %s", t->place, strerror(-x->fd));
		goto out;
	}
	if (make_messages(x, &error))
		return &x->o;
	snprintf(why, OUTLET_WHY, "libfixbuf refuses the IPFIX templates: %.200s",
		 error ? error->message : "it gives no reason");
	g_clear_error(&error);
out:
	ipfix_close(&x->o);
	return NULL;
}
#endif
