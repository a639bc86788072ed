/* SPDX-License-Identifier: ISC */
/*
 * natctl capture: packets as natd sees them on both sides, as a pcapng file or as text lines.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "capture.h"
#include "client.h"
#include "filter.h"
#include "output.h"
#include "pcapng.h"

/* ---- options ---- */

static const char *set_path(struct natctl *n, void *target, const char *text)
{
	struct capture_choice *c = target;

	(void)n;
	c->path = text;
	return text[0] ? NULL : "is not a file's name";
}

static const char *set_number(uint32_t *number, const char *text)
{
	uint64_t value;

	if (!filter_parse_number(text, UINT32_MAX, &value) || value == 0)
		return "is not a number from 1 up";
	*number = (uint32_t)value;
	return NULL;
}

static const char *set_count(struct natctl *n, void *target, const char *text)
{
	struct capture_choice *c = target;

	(void)n;
	return set_number(&c->count, text);
}

static const char *set_seconds(struct natctl *n, void *target, const char *text)
{
	struct capture_choice *c = target;

	(void)n;
	return set_number(&c->seconds, text);
}

static const char *set_side(struct natctl *n, void *target, const char *text)
{
	static const struct {
		const char *word;
		uint8_t sides;
	} words[] = {
		{"inside", 1 << CTL_CAPTURE_INSIDE}, {"outside", 1 << CTL_CAPTURE_OUTSIDE}, {"both", CTL_CAPTURE_BOTH}};
	struct capture_choice *c = target;

	(void)n;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i].word, text) != 0)
			continue;
		c->sides = words[i].sides;
		return NULL;
	}
	return "is not inside, outside or both";
}

static const struct natctl_option rows[] = {
	{"write", 'w', VALUE_NEEDED, "FILE", "write a pcapng file; -: to stdout, for a pipe", set_path},
	{"count", 'c', VALUE_NEEDED, "N", "end after N packets (each form of a packet counts)", set_count},
	{"time", 't', VALUE_NEEDED, "SECONDS", "end after so many seconds", set_seconds},
	{"side", 0, VALUE_NEEDED, "SIDE", "inside, outside or both (the default)", set_side},
};

const struct option_set capture_options = {"Capture:", rows, sizeof(rows) / sizeof(rows[0])};

/* ---- packets ---- */

struct output {
	struct natctl *n;
	const char *path; /* NULL: text to stdout */
	bool is_begun;
	FILE *file;	     /* the pcapng file, once is_begun */
	uint64_t count;	     /* packets to capture; 0: no limit */
	uint64_t written[2]; /* by side */
	uint64_t lost;
	bool stop;
};

static void write_pcapng(FILE *f, const struct ctl_packet *p)
{
	char comment[CAPTURE_COMMENT_MAX];
	const struct pcapng_packet out = {
		.interface = p->side,
		.direction = p->flags & CTL_PACKET_LEFT ? PCAPNG_OUT : PCAPNG_IN,
		.time_ns = p->time_ns,
		.number = p->number,
		.wire_len = p->wire_len,
		.len = p->len,
		.bytes = p->bytes,
		.comment = capture_comment(comment, p),
	};

	pcapng_put(f, &out);
}

static bool is_well(const struct output *o)
{
	return o->file ? !ferror(o->file) : output_ok(o->n);
}

static bool take_packet(struct output *o, struct ctl_reader *body)
{
	struct ctl_packet p;

	if (!ctl_get_packet(body, &p))
		return false;
	if (o->file)
		write_pcapng(o->file, &p);
	else if (o->n->format == FORMAT_JSON)
		capture_print_json(stdout, &p);
	else
		capture_print_line(stdout, &p);
	o->written[p.side]++;
	o->stop = o->written[0] + o->written[1] == o->count; /* the sum is never 0 here */
	return is_well(o) && !o->stop;
}

/* ---- the file ---- */

/* The file holds other people's traffic: only its owner may read it. */
static FILE *open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "wb");

	if (!f)
		natctl_complain("capture: cannot write %s: %s", path, strerror(errno));
	return f;
}

/* natd's first record: the capture is running. An existing file is not touched before. */
static bool begin(struct output *o)
{
	o->is_begun = true;
	if (o->path) {
		o->file = strcmp(o->path, "-") == 0 ? stdout : open_file(o->path);
		if (!o->file)
			return false;
		pcapng_begin(o->file, CTL_PACKET_BYTES_MAX);
	}
	fputs("natctl: capturing; an interrupt (Ctrl-C) ends it.\n", stderr);
	return is_well(o);
}

static bool take_record(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct output *o = ctx;
	uint64_t lost;

	if (!o->is_begun && !begin(o))
		return false;
	if (type == CTL_R_PACKET)
		return take_packet(o, body);
	if (type != CTL_R_LOST)
		return true;
	if (!ctl_get_lost(body, &lost))
		return false;
	o->lost += lost;
	return true;
}

static bool finish(struct output *o)
{
	struct timespec now;
	bool is_written;

	if (!o->file)
		return output_finish(o->n);
	clock_gettime(CLOCK_REALTIME, &now);
	pcapng_end(o->file, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec, o->written, o->lost);
	if (o->file == stdout)
		return output_finish(o->n);
	is_written = !ferror(o->file);
	is_written = fclose(o->file) == 0 && is_written;
	if (!is_written)
		natctl_complain("capture: cannot write %s: %s", o->path, strerror(errno));
	return is_written;
}

static void say_total(const struct output *o)
{
	fprintf(stderr, "natctl: %" PRIu64 " packets have been captured", o->written[0] + o->written[1]);
	if (o->lost > 0)
		fprintf(stderr, ", %" PRIu64 " more were lost: natctl was too slow for them", o->lost);
	fputs(".\n", stderr);
}

/* ---- the command ---- */

/* Joins the arguments that are not options into one expression. False: too long. */
static bool join(char *buf, size_t size, int argc, char **argv)
{
	size_t len = 0;

	buf[0] = '\0';
	for (int i = 0; i < argc; i++) {
		int n = snprintf(buf + len, size - len, "%s%s", i > 0 ? " " : "", argv[i]);

		if (n < 0 || (size_t)n >= size - len)
			return false;
		len += (size_t)n;
	}
	return true;
}

static int run(struct output *o, const struct client_query *q)
{
	int rc;

	if (o->path && strcmp(o->path, "-") == 0 && isatty(STDOUT_FILENO)) {
		natctl_complain("capture: a terminal cannot show pcapng: pipe it, or leave out -w for text");
		return NATCTL_USAGE;
	}
	rc = client_run(o->n, q, take_record, o, NULL);
	if (!finish(o) || (o->path && o->is_begun && !o->file))
		return NATCTL_REFUSED;
	if (rc == NATCTL_DONE)
		say_total(o);
	return rc;
}

int command_capture(struct natctl *n, int argc, char **argv)
{
	static struct cbpf_insn program[CBPF_MAX];
	static char expression[16384];
	struct capture_choice choice = {.sides = CTL_CAPTURE_BOTH};
	struct ctl_capture capture = {0};
	struct output o = {.n = n};
	const struct client_query q = {
		.type = CTL_CAPTURE, .capture = &capture, .program = program, .is_endless = true, .stop = &o.stop};
	const struct option_use uses[] = {
		{&filter_options, &capture.filter}, {&capture_options, &choice}, {NULL, NULL}};
	int first = options_parse(n, argc, argv, uses), len = 0;

	if (first < 0)
		return NATCTL_USAGE;
	if (!join(expression, sizeof(expression), argc - first, argv + first)) {
		natctl_complain("capture: the expression is too long: at most %zu bytes", sizeof(expression) - 1);
		return NATCTL_USAGE;
	}
	if (first < argc)
		len = capture_compile(expression, program);
	if (len < 0)
		return NATCTL_USAGE;
	capture.n_insns = (uint32_t)len;
	capture.sides = choice.sides;
	capture.count = choice.count;
	o.count = choice.count;
	o.path = choice.path;
	capture.seconds = choice.seconds;
	return run(&o, &q);
}
