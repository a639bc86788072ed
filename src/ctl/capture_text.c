/* SPDX-License-Identifier: ISC */
/* Captured packets as text. Their bytes are arbitrary; nothing beyond them is read. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "capture.h"
#include "client/json.h"
#include "client/names.h"

struct text {
	char *buf;
	size_t size, len;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->buf + t->len, t->size - t->len, format, args);
	va_end(args);
	if (n > 0)
		t->len = t->len + (size_t)n < t->size ? t->len + (size_t)n : t->size - 1;
}

static void add_endpoint(struct text *t, const char *name, const struct ctl_endpoint *e, uint8_t protocol)
{
	char endpoint[NAMES_ENDPOINT_MAX];

	if (e->address != 0)
		add(t, " %s=%s", name, names_endpoint(endpoint, e, protocol));
}

static void add_verdict(struct text *t, const struct ctl_packet *p)
{
	char reason[4 * CTL_NAME_MAX + 1];

	if (p->reason[0])
		add(t, "%s", names_escape(reason, sizeof(reason), p->reason));
	if (p->flags & CTL_PACKET_MADE)
		add(t, "%s", p->reason[0] ? " answered by natd" : "made by natd");
	else if (p->fate == CTL_FATE_HOST)
		add(t, "to_host");
	else if (p->fate == CTL_FATE_HELD)
		add(t, "held until its first fragment comes");
	if (p->session != 0)
		add(t, "%ssession=%" PRIu64, t->len > 0 ? " " : "", p->session);
}

char *capture_comment(char buf[CAPTURE_COMMENT_MAX], const struct ctl_packet *p)
{
	struct text t = {.buf = buf, .size = CAPTURE_COMMENT_MAX};

	buf[0] = '\0';
	add_verdict(&t, p);
	if (p->session != 0) {
		add_endpoint(&t, "inside", &p->inside, p->protocol);
		add_endpoint(&t, "outside", &p->outside, p->protocol);
		add_endpoint(&t, "remote", &p->remote, p->protocol);
	}
	return buf;
}

/* ---- one line ---- */

struct header {
	uint8_t protocol;
	bool has_ports;
	struct ctl_endpoint src, dst;
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* False: there is no IPv4 header. */
static bool read_header(const struct ctl_packet *p, struct header *h)
{
	size_t ihl = p->len >= 20 ? (p->bytes[0] & 15u) * 4 : 0;
	bool is_first = p->len >= 20 && (get16(p->bytes + 6) & 0x1fff) == 0;

	*h = (struct header){0};
	if (ihl < 20 || p->bytes[0] >> 4 != 4)
		return false;
	h->protocol = p->bytes[9];
	h->src.address = get32(p->bytes + 12);
	h->dst.address = get32(p->bytes + 16);
	h->has_ports = is_first && (h->protocol == 6 || h->protocol == 17) && p->len >= ihl + 4;
	if (h->has_ports) {
		h->src.port = get16(p->bytes + ihl);
		h->dst.port = get16(p->bytes + ihl + 2);
	}
	return true;
}

static const char *endpoint_text(char buf[NAMES_ENDPOINT_MAX], const struct header *h, const struct ctl_endpoint *e)
{
	return h->has_ports ? names_endpoint(buf, e, h->protocol) : names_address(buf, e->address);
}

void capture_print_line(FILE *f, const struct ctl_packet *p)
{
	static const char *const sides[] = {"inside", "outside"};
	char comment[CAPTURE_COMMENT_MAX], src[NAMES_ENDPOINT_MAX], dst[NAMES_ENDPOINT_MAX], number[4];
	struct header h;

	fprintf(f, "[%" PRIu64 ".%06" PRIu64 "] %-7s %-3s ", p->time_ns / 1000000000, p->time_ns % 1000000000 / 1000,
		sides[p->side], p->flags & CTL_PACKET_LEFT ? "out" : "in");
	if (read_header(p, &h))
		fprintf(f, "%s %s > %s length %" PRIu32, names_protocol(h.protocol, number),
			endpoint_text(src, &h, &h.src), endpoint_text(dst, &h, &h.dst), p->wire_len);
	else
		fprintf(f, "no IPv4 header, length %" PRIu32, p->wire_len);
	fprintf(f, " %s\n", capture_comment(comment, p));
}

void capture_print_json(FILE *f, const struct ctl_packet *p)
{
	static const char *const fates[CTL_FATE_COUNT] = {"dropped", "outside", "inside", "host", "held"};
	struct json_object *o = json_create();
	char src[NAMES_ENDPOINT_MAX], dst[NAMES_ENDPOINT_MAX], number[4];
	struct header h;

	json_add_time(o, p->time_ns / 1000);
	json_add_text(o, "side", p->side == CTL_CAPTURE_INSIDE ? "inside" : "outside");
	json_add_text(o, "direction", p->flags & CTL_PACKET_LEFT ? "out" : "in");
	json_add_bool(o, "made", p->flags & CTL_PACKET_MADE);
	json_add_text(o, "to", fates[p->fate]);
	json_add_text(o, "reason", p->reason[0] ? p->reason : NULL);
	if (p->session != 0)
		json_add_number(o, "session", p->session);
	else
		json_add_text(o, "session", NULL);
	json_add_number(o, "length", p->wire_len);
	if (read_header(p, &h)) {
		json_add_text(o, "protocol", names_protocol(h.protocol, number));
		json_add_text(o, "source", endpoint_text(src, &h, &h.src));
		json_add_text(o, "destination", endpoint_text(dst, &h, &h.dst));
	}
	json_print(f, o);
}
