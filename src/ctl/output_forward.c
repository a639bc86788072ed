/* SPDX-License-Identifier: ISC */
/* Forwards and pools as text, see output.h. */
#include "output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/names.h"

enum { PROTOCOL_TCP = 6 };

/* ---- forwards ---- */

static const char *protocols_text(char buf[4], const struct ctl_forward *w)
{
	if (w->protocols & CTL_FORWARD_ANY)
		return "any";
	if (w->protocols & CTL_FORWARD_OTHER)
		return names_protocol((uint8_t)w->first_port, buf);
	switch (w->protocols & (CTL_FORWARD_TCP | CTL_FORWARD_UDP)) {
	case CTL_FORWARD_TCP:
		return "tcp";
	case CTL_FORWARD_UDP:
		return "udp";
	case CTL_FORWARD_TCP | CTL_FORWARD_UDP:
		return "tcp,udp";
	default:
		return "none";
	}
}

enum { FORWARD_TEXT_MAX = 40 };

/* "any:80" or "203.0.113.9:27015-27030"; the address alone for protocols without ports. */
static void forward_text(char *buf, const struct ctl_forward *w, uint32_t address, uint16_t first, uint16_t last)
{
	char text[NAMES_ADDRESS_MAX] = "any";

	if (address)
		names_address(text, address);
	if (w->protocols & (CTL_FORWARD_OTHER | CTL_FORWARD_ANY))
		snprintf(buf, FORWARD_TEXT_MAX, "%s", text);
	else if (first == last)
		snprintf(buf, FORWARD_TEXT_MAX, "%s:%u", text, first);
	else
		snprintf(buf, FORWARD_TEXT_MAX, "%s:%u-%u", text, first, last);
}

static void forward_texts(const struct ctl_forward *w, char *outside, char *inside)
{
	forward_text(outside, w, w->address, w->first_port, w->last_port);
	if (w->n_backends > 0) {
		snprintf(inside, FORWARD_TEXT_MAX, "%u-backends", w->n_backends);
		return;
	}
	forward_text(inside, w, w->to.address, w->to.port, (uint16_t)(w->to.port + (w->last_port - w->first_port)));
}

static void put_from(FILE *f, const struct ctl_forward *w)
{
	char address[NAMES_ADDRESS_MAX];
	uint32_t shown = w->n_from < CTL_FROM_MAX ? w->n_from : CTL_FROM_MAX;

	if (w->n_from == 0)
		fputs("any", f);
	for (uint32_t i = 0; i < shown; i++)
		fprintf(f, "%s%s/%u", i ? "," : "", names_address(address, w->from[i].address), w->from[i].length);
	if (w->n_from > shown)
		fprintf(f, ",and-%" PRIu32 "-more", w->n_from - shown);
}

void output_forward_line(FILE *f, const struct ctl_forward *w)
{
	char outside[FORWARD_TEXT_MAX];
	char inside[FORWARD_TEXT_MAX];
	char protocols[4];

	forward_texts(w, outside, inside);
	names_print(f, w->name[0] ? w->name : "-");
	fprintf(f, " %s outside=%s inside=%s from=", protocols_text(protocols, w), outside, inside);
	put_from(f, w);
	if (w->n_backends > 0)
		fprintf(f, " balance=%s affinity=%" PRIu32, ctl_balance_name(w->balance), w->affinity_s);
	if (w->side != CTL_SIDE_OUTSIDE)
		fprintf(f, " side=%s", ctl_side_name(w->side));
	if (w->is_dynamic)
		fputs(" dynamic", f);
	fputc('\n', f);
}

void output_backend_line(FILE *f, const struct ctl_forward *w, const struct ctl_backend_state *b)
{
	char host[NAMES_ENDPOINT_MAX];

	names_print(f, w->name);
	fprintf(f, " backend=%s weight=%u state=%s sessions=%" PRIu32 "\n",
		names_endpoint(host, &b->host, PROTOCOL_TCP), b->weight, ctl_backend_state_name(b->closed),
		b->sessions);
}

void output_backend_row(struct sheet *s, const struct ctl_backend_state *b)
{
	char host[NAMES_ENDPOINT_MAX], more[64];

	snprintf(more, sizeof(more), "%s, weight %u, %" PRIu32 " sessions", ctl_backend_state_name(b->closed),
		 b->weight, b->sessions);
	sheet_add(s, (const char *const[]){"", "", names_endpoint(host, &b->host, PROTOCOL_TCP), "", more});
}

struct sheet *output_forward_sheet(void)
{
	static const struct sheet_column columns[] = {
		{"PROTOCOL", false}, {"OUTSIDE", false}, {"INSIDE", false}, {"NAME", false}, {"FROM", false}};

	return sheet_create(columns, 5);
}

void output_forward_row(struct sheet *s, const struct ctl_forward *w)
{
	char outside[FORWARD_TEXT_MAX];
	char inside[FORWARD_TEXT_MAX];
	char protocols[4];
	char *from = NULL;
	size_t len;
	FILE *f = open_memstream(&from, &len);

	forward_texts(w, outside, inside);
	if (f) {
		put_from(f, w);
		fclose(f);
	}
	sheet_add(s, (const char *const[]){protocols_text(protocols, w), outside, inside, w->name[0] ? w->name : "-",
					   from ? from : "?"});
	free(from);
}

/* ---- pools ---- */

void output_pool_line(FILE *f, const struct ctl_pool *p)
{
	char address[NAMES_ADDRESS_MAX];

	fprintf(f, "%s %s ports=%" PRIu32 " tcp=%" PRIu32 " udp=%" PRIu32 " icmp=%" PRIu32 "\n",
		names_address(address, p->address), p->shared ? "shared" : "pool", p->ports, p->used[0], p->used[1],
		p->used[2]);
}

struct sheet *output_pool_sheet(void)
{
	static const struct sheet_column columns[] = {{"ADDRESS", false}, {"KIND", false},    {"PORTS", true},
						      {"TCP FREE", true}, {"UDP FREE", true}, {"ICMP FREE", true}};

	return sheet_create(columns, 6);
}

void output_pool_row(struct sheet *s, const struct ctl_pool *p)
{
	char address[NAMES_ADDRESS_MAX];
	char ports[12];
	char unused[3][12];

	names_address(address, p->address);
	snprintf(ports, sizeof(ports), "%" PRIu32, p->ports);
	for (int i = 0; i < 3; i++)
		snprintf(unused[i], sizeof(unused[i]), "%" PRIu32, p->used[i] < p->ports ? p->ports - p->used[i] : 0);
	sheet_add(s, (const char *const[]){address, p->shared ? "shared" : "pool", ports, unused[0], unused[1],
					   unused[2]});
}
