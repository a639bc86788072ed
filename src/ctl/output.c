/* SPDX-License-Identifier: ISC */
/*
 * Text output. Line formats are for programs and never change; tables are for people and may change.
 */
#include "output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/json.h"
#include "client/names.h"
#include "natctl.h"
#include "term.h"

enum { PROTOCOL_ICMP = 1, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17, ECHO_REQUEST = 8, ECHO_REPLY = 0 };

/* ---- connections ---- */

/* A line under construction: with printf() listing a large table took three times as long. */
struct line {
	size_t len;
	char text[512];
};

static void add(struct line *l, const char *text)
{
	for (; *text && l->len < sizeof(l->text); text++)
		l->text[l->len++] = *text;
}

static void add_number(struct line *l, const char *label, uint64_t number)
{
	char digits[24], *d = &digits[sizeof(digits) - 1];

	*d = '\0';
	*--d = ' ';
	do
		*--d = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	add(l, label);
	add(l, d);
}

static void add_address(struct line *l, const char *label, uint32_t address)
{
	char text[NAMES_ADDRESS_MAX];

	add(l, label);
	add(l, names_address(text, address));
	add(l, " ");
}

static void add_tuple(struct line *l, const struct ctl_entry *e, const struct ctl_tuple *t, bool is_reply)
{
	bool is_outer = is_reply != !!(e->flags & CTL_ENTRY_FROM_OUTSIDE);

	add_address(l, "src=", t->src.address);
	add_address(l, "dst=", t->dst.address);
	if (e->protocol == PROTOCOL_TCP || e->protocol == PROTOCOL_UDP) {
		add_number(l, "sport=", t->src.port);
		add_number(l, "dport=", t->dst.port);
	} else if (e->protocol == PROTOCOL_ICMP) {
		add_number(l, "type=", is_reply ? ECHO_REPLY : ECHO_REQUEST);
		add_number(l, "code=0 id=", is_outer ? e->outside.port : e->inside.port);
	}
}

static void add_counts(struct line *l, const struct ctl_entry *e, int dir)
{
	add_number(l, "packets=", e->packets[dir]);
	add_number(l, "bytes=", e->bytes[dir]);
}

static void add_protocol(struct line *l, uint8_t protocol)
{
	enum { COLUMN = 9 };
	const char *name = names_conntrack_protocol(protocol);

	add(l, name);
	for (size_t i = strlen(name); i < COLUMN; i++)
		add(l, " ");
	add_number(l, "", protocol);
}

static void add_entry(struct line *l, const struct ctl_entry *e, unsigned line)
{
	int opener = e->flags & CTL_ENTRY_FROM_OUTSIDE ? 1 : 0; /* direction of the first tuple */
	struct ctl_tuple tuple[2];

	ctl_entry_tuples(e, tuple);
	if (line & LINE_EXTENDED)
		add(l, "ipv4     2 ");
	add_protocol(l, e->protocol);
	if (!(line & LINE_NO_TIMEOUT))
		add_number(l, "", e->timeout_s);
	if (e->protocol == PROTOCOL_TCP) {
		add(l, ctl_state_name(e->state));
		add(l, " ");
	}
	add_tuple(l, e, &tuple[0], false);
	if (!(line & LINE_NO_COUNTS))
		add_counts(l, e, opener);
	if (!(e->flags & CTL_ENTRY_REPLIED))
		add(l, "[UNREPLIED] ");
	add_tuple(l, e, &tuple[1], true);
	if (!(line & LINE_NO_COUNTS))
		add_counts(l, e, !opener);
	if (e->flags & CTL_ENTRY_ASSURED)
		add(l, "[ASSURED] ");
	if (e->flags & CTL_ENTRY_OFFLOADED)
		add(l, "[OFFLOAD] ");
	if (line & LINE_MARK)
		add(l, "mark=0 use=1 ");
	if (e->backend.address != 0) {
		char backend[NAMES_ENDPOINT_MAX];

		add(l, "backend=");
		add(l, names_endpoint(backend, &e->backend, e->protocol));
		add(l, " ");
	}
	if (e->pair[0] != '\0') {
		char pair[4 * CTL_NAME_MAX + 1];

		add(l, "static=");
		add(l, names_escape(pair, sizeof(pair), e->pair));
		add(l, " ");
	}
	if (e->id != 0)
		add_number(l, "id=", e->id);
}

void output_entry_line(FILE *f, const struct ctl_entry *e, unsigned line)
{
	struct line l;

	l.len = 0;
	add_entry(&l, e, line);
	l.text[l.len - 1] = '\n'; /* replaces the last space */
	fwrite(l.text, 1, l.len, f);
}

void output_entry_line_with(FILE *f, const struct ctl_entry *e, unsigned line, const char *last)
{
	struct line l;

	l.len = 0;
	add_entry(&l, e, line);
	add(&l, last);
	if (l.len == sizeof(l.text) || *last == '\0')
		l.len--;
	l.text[l.len++] = '\n';
	fwrite(l.text, 1, l.len, f);
}

/* The entry's status as a list of conntrack's words. */
static const char *save_status(const struct ctl_entry *e)
{
	if (!(e->flags & CTL_ENTRY_REPLIED))
		return "UNSET";
	return e->flags & CTL_ENTRY_ASSURED ? "SEEN_REPLY,ASSURED" : "SEEN_REPLY";
}

void output_entry_save(FILE *f, const struct ctl_entry *e)
{
	struct ctl_tuple tuple[2];
	const char *name = names_conntrack_protocol(e->protocol);
	struct line l;

	l.len = 0;
	ctl_entry_tuples(e, tuple);
	add_number(&l, "-A -t ", e->timeout_s);
	add(&l, "-u ");
	add(&l, save_status(e));
	add_address(&l, " -s ", tuple[0].src.address);
	add_address(&l, "-d ", tuple[0].dst.address);
	add_address(&l, "-r ", tuple[1].src.address);
	add_address(&l, "-q ", tuple[1].dst.address);
	if (strcmp(name, "unknown") == 0) {
		add_number(&l, "-p ", e->protocol);
	} else {
		add(&l, "-p ");
		add(&l, name);
		add(&l, " ");
	}
	if (e->protocol == PROTOCOL_TCP || e->protocol == PROTOCOL_UDP) {
		add_number(&l, "--sport ", tuple[0].src.port);
		add_number(&l, "--dport ", tuple[0].dst.port);
		add_number(&l, "--reply-port-src ", tuple[1].src.port);
		add_number(&l, "--reply-port-dst ", tuple[1].dst.port);
	}
	if (e->protocol == PROTOCOL_ICMP)
		add_number(&l, "--icmp-type 8 --icmp-code 0 --icmp-id ",
			   e->flags & CTL_ENTRY_FROM_OUTSIDE ? e->outside.port : e->inside.port);
	if (e->protocol == PROTOCOL_TCP) {
		add(&l, "--state ");
		add(&l, ctl_state_name(e->state));
		add(&l, " ");
	}
	l.text[l.len - 1] = '\n';
	fwrite(l.text, 1, l.len, f);
}

void output_entry(const struct natctl *n, const struct ctl_entry *e)
{
	if (n->format == FORMAT_JSON)
		json_print_entry(stdout, e);
	else if (n->format == FORMAT_TABLE)
		output_entry_row(stdout, e);
	else if (n->format == FORMAT_SAVE)
		output_entry_save(stdout, e);
	else
		output_entry_line(stdout, e, n->line);
}

/* Columns of the table, each with the narrowest terminal that shows it. */
static const struct entry_column {
	const char *heading;
	int width; /* negative: left-aligned */
	unsigned narrowest;
} entry_columns[] = {
	{"PROTOCOL", -8, 0}, {"STATE", -11, 0},	 {"INSIDE", -21, 0},	{"OUTSIDE", -21, 100},
	{"REMOTE", -21, 0},  {"LEFT", 7, 110},	 {"AGE", 7, 150},	{"OUT", 9, 130},
	{"IN", 9, 130},	     {" FROM", -6, 150}, {"FORWARD", -12, 170}, {"ID", 0, 120},
};

enum { ENTRY_COLUMNS = sizeof(entry_columns) / sizeof(entry_columns[0]) };

static void put_entry_cells(FILE *f, const char *const cells[ENTRY_COLUMNS])
{
	unsigned terminal = term_width(f);
	const char *gap = "";

	for (int i = 0; i < ENTRY_COLUMNS; i++) {
		if (terminal > 0 && terminal < entry_columns[i].narrowest)
			continue;
		fprintf(f, "%s%*s", gap, entry_columns[i].width, cells[i]);
		gap = " ";
	}
	fputc('\n', f);
}

void output_entry_heading(FILE *f)
{
	const char *cells[ENTRY_COLUMNS];

	for (int i = 0; i < ENTRY_COLUMNS; i++)
		cells[i] = entry_columns[i].heading;
	put_entry_cells(f, cells);
}

static const char *table_state(const struct ctl_entry *e)
{
	if (e->protocol == PROTOCOL_TCP)
		return ctl_state_name(e->state);
	return e->flags & CTL_ENTRY_REPLIED ? "-" : "UNREPLIED";
}

void output_entry_row(FILE *f, const struct ctl_entry *e)
{
	char name[4], inside[NAMES_ENDPOINT_MAX], outside[NAMES_ENDPOINT_MAX], remote[NAMES_ENDPOINT_MAX];
	char left[12], age[12], out[16], in[16], id[24], forward[4 * CTL_NAME_MAX + 1];
	const char *const cells[ENTRY_COLUMNS] = {
		names_protocol(e->protocol, name),
		table_state(e),
		names_endpoint(inside, &e->inside, e->protocol),
		names_endpoint(outside, &e->outside, e->protocol),
		/* The remote end of a ping has no port. */
		names_endpoint(remote, &e->remote, e->protocol == PROTOCOL_ICMP ? 0 : e->protocol),
		left,
		age,
		output_bytes(out, e->bytes[0]),
		output_bytes(in, e->bytes[1]),
		e->flags & CTL_ENTRY_FROM_OUTSIDE ? " out" : " in",
		names_escape(forward, sizeof(forward), e->forward[0] ? e->forward : "-"),
		id,
	};

	snprintf(left, sizeof(left), "%" PRIu32, e->timeout_s);
	snprintf(age, sizeof(age), "%" PRIu32, e->age_s);
	snprintf(id, sizeof(id), "%" PRIu64, e->id);
	put_entry_cells(f, cells);
}

/* ---- mappings ---- */

static void mapping_texts(const struct ctl_mapping *m, char inside[NAMES_ENDPOINT_MAX],
			  char outside[NAMES_ENDPOINT_MAX], char remote[NAMES_ENDPOINT_MAX])
{
	names_endpoint(inside, &m->inside, m->protocol);
	names_endpoint(outside, &m->outside, m->protocol);
	if (m->remote.address == 0)
		strcpy(remote, "any");
	else
		names_endpoint(remote, &m->remote, m->remote.port ? m->protocol : 0);
}

void output_mapping_line(FILE *f, const struct ctl_mapping *m)
{
	char inside[NAMES_ENDPOINT_MAX];
	char outside[NAMES_ENDPOINT_MAX];
	char remote[NAMES_ENDPOINT_MAX];

	mapping_texts(m, inside, outside, remote);
	fprintf(f, "%-8s %u inside=%s outside=%s remote=%s sessions=%" PRIu32 "\n",
		names_conntrack_protocol(m->protocol), m->protocol, inside, outside, remote, m->sessions);
}

void output_mapping_heading(FILE *f)
{
	fprintf(f, "%-8s %-21s %-21s %-21s %8s\n", "PROTOCOL", "INSIDE", "OUTSIDE", "REMOTE", "SESSIONS");
}

void output_mapping_row(FILE *f, const struct ctl_mapping *m)
{
	char inside[NAMES_ENDPOINT_MAX];
	char outside[NAMES_ENDPOINT_MAX];
	char remote[NAMES_ENDPOINT_MAX];

	mapping_texts(m, inside, outside, remote);
	fprintf(f, "%-8s %-21s %-21s %-21s %8" PRIu32 "\n", names_conntrack_protocol(m->protocol), inside, outside,
		remote, m->sessions);
}

/* ---- numbers for people ---- */

char *output_bytes(char buf[16], uint64_t bytes)
{
	static const char units[] = "kMGTPE";
	uint64_t tenths = bytes;
	int unit = -1;

	if (bytes < 1000) {
		snprintf(buf, 16, "%" PRIu64 " B", bytes);
		return buf;
	}
	do {
		tenths = unit < 0 ? bytes / 100 : tenths / 1000;
		unit++;
	} while (tenths >= 10000);
	snprintf(buf, 16, "%" PRIu64 ".%" PRIu64 " %cB", tenths / 10, tenths % 10, units[unit]);
	return buf;
}

char *output_duration(char buf[32], uint64_t seconds)
{
	uint64_t minutes = seconds / 60;
	uint64_t hours = minutes / 60;

	if (seconds < 60)
		snprintf(buf, 32, "%" PRIu64 " s", seconds);
	else if (hours == 0)
		snprintf(buf, 32, "%" PRIu64 " min %" PRIu64 " s", minutes, seconds % 60);
	else if (hours < 48)
		snprintf(buf, 32, "%" PRIu64 " h %" PRIu64 " min", hours, minutes % 60);
	else
		snprintf(buf, 32, "%" PRIu64 " d %" PRIu64 " h", hours / 24, hours % 24);
	return buf;
}

/* Directly after a failed write errno still has the cause; later it does not. */
bool output_ok(struct natctl *n)
{
	if (!ferror(stdout))
		return true;
	if (n->write_error == 0)
		n->write_error = errno ? errno : EIO;
	return false;
}

bool output_finish(struct natctl *n)
{
	fflush(stdout);
	if (output_ok(n))
		return true;
	if (n->write_error != EPIPE)
		natctl_complain("cannot write the output: %s", strerror(n->write_error));
	return false;
}

bool output_message(struct json_object *o, struct ctl_reader *body)
{
	char text[CTL_TEXT_MAX + 1];

	if (!ctl_get_line(body, text))
		return false;
	if (o != NULL) {
		json_add_element(o, "messages", text);
		return true;
	}
	names_print(stderr, text);
	fputc('\n', stderr);
	return true;
}
