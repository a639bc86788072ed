/* SPDX-License-Identifier: ISC */
/*
 * Fuzz target: any answer of natd, or of another program at its socket, to natctl. Every record goes through all
 * three forms of output; nothing but printable ASCII and newlines may come out.
 *
 * Input: one byte (how many bytes arrive at once), then the answer.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ctlrecord.h"
#include "client/exchange.h"
#include "client/json.h"
#include "ctl/hosts.h"
#include "ctl/monitor.h"
#include "client/names.h"
#include "ctl/natctl.h"
#include "ctl/output.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                              \
	do {                                                                 \
		if (!(x)) {                                                  \
			fprintf(stderr, "fuzz_ctlclient: not so: %s\n", #x); \
			abort();                                             \
		}                                                            \
	} while (0)

enum { TEXT_MAX = 65536 };

void natctl_complain(const char *format, ...)
{
	(void)format;
}

static char text[TEXT_MAX];

static void check_text(void)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		MUST(*p == '\n' || (*p >= ' ' && *p <= '~'));
}

static bool print_entry(FILE *f, struct ctl_reader *body)
{
	struct ctl_entry e;

	if (!ctl_get_entry(body, &e))
		return false;
	output_entry_line(f, &e, LINE_EXTENDED | LINE_MARK);
	output_entry_save(f, &e);
	output_entry_row(f, &e);
	return true;
}

static bool print_mapping(FILE *f, struct ctl_reader *body)
{
	struct ctl_mapping m;

	if (!ctl_get_mapping(body, &m))
		return false;
	output_mapping_line(f, &m);
	output_mapping_row(f, &m);
	return true;
}

static bool print_forward(FILE *f, struct ctl_reader *body)
{
	struct ctl_forward w;
	struct sheet *sheet;

	if (!ctl_get_forward(body, &w))
		return false;
	output_forward_line(f, &w);
	sheet = output_forward_sheet();
	output_forward_row(sheet, &w);
	sheet_print(sheet, f);
	sheet_destroy(sheet);
	return true;
}

static bool print_pool(FILE *f, struct ctl_reader *body)
{
	struct ctl_pool p;
	struct sheet *sheet;

	if (!ctl_get_pool(body, &p))
		return false;
	output_pool_line(f, &p);
	sheet = output_pool_sheet();
	output_pool_row(sheet, &p);
	sheet_print(sheet, f);
	sheet_destroy(sheet);
	return true;
}

static bool print_host(FILE *f, struct ctl_reader *body)
{
	struct ctl_host h;

	if (!ctl_get_host(body, &h))
		return false;
	hosts_print_line(f, &h);
	hosts_print_row(f, &h);
	return true;
}

static bool print_words(FILE *f, uint8_t type, struct ctl_reader *body)
{
	static struct ctl_item item;
	static struct ctl_check check;
	static struct ctl_counter counter;
	static struct ctl_event event;
	char line[CTL_TEXT_MAX + 1];

	if (type == CTL_R_ITEM && ctl_get_item(body, &item)) {
		names_print(f, item.name);
		names_print(f, item.text);
	} else if (type == CTL_R_EVENT && ctl_get_event(body, &event)) {
		if (event.kind < CTL_EVENT_COUNT)
			monitor_print_line(f, &event, LINE_TIMESTAMP);
	} else if (type == CTL_R_CHECK && ctl_get_check(body, &check)) {
		names_print(f, check.what);
		names_print(f, check.remedy);
	} else if (type == CTL_R_COUNTER && ctl_get_counter(body, &counter)) {
		names_print(f, counter.name);
		names_print(f, counter.help);
	} else if (type == CTL_R_LINE && ctl_get_line(body, line))
		names_print(f, line);
	else
		return false;
	return true;
}

static bool print_text(FILE *f, uint8_t type, struct ctl_reader *body)
{
	switch (type) {
	case CTL_R_ENTRY:
		return print_entry(f, body);
	case CTL_R_MAPPING:
		return print_mapping(f, body);
	case CTL_R_FORWARD:
		return print_forward(f, body);
	case CTL_R_POOL:
		return print_pool(f, body);
	case CTL_R_HOST:
		return print_host(f, body);
	default:
		return print_words(f, type, body);
	}
}

static void add_json(struct json_object *o, uint8_t type, struct ctl_reader *body)
{
	static struct ctl_forward w;
	static struct ctl_check c;
	static struct ctl_item i;
	struct ctl_pool p;

	if (type == CTL_R_FORWARD && ctl_get_forward(body, &w))
		json_add_forward(o, "x", &w);
	else if (type == CTL_R_POOL && ctl_get_pool(body, &p))
		json_add_pool(o, "x", &p);
	else if (type == CTL_R_CHECK && ctl_get_check(body, &c))
		json_add_check(o, "x", &c);
	else if (type == CTL_R_ITEM && ctl_get_item(body, &i))
		json_add_text(o, i.name, i.text);
}

static void print_json(FILE *f, uint8_t type, struct ctl_reader *body)
{
	struct json_object *o;
	struct ctl_mapping m;
	struct ctl_entry e;
	struct ctl_host h;

	if (type == CTL_R_ENTRY && ctl_get_entry(body, &e))
		MUST(json_print_entry(f, &e));
	else if (type == CTL_R_MAPPING && ctl_get_mapping(body, &m))
		MUST(json_print_mapping(f, &m));
	else if (type == CTL_R_HOST && ctl_get_host(body, &h))
		MUST(json_print_host(f, &h));
	else {
		o = json_create();
		add_json(o, type, body);
		MUST(json_print(f, o));
	}
}

static FILE *open_text(void)
{
	FILE *f;

	memset(text, 0, sizeof(text));
	f = fmemopen(text, sizeof(text) - 1, "w");
	MUST(f);
	return f;
}

static bool take_record(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct ctl_reader copy = *body;
	FILE *f = open_text();
	bool ok = print_text(f, type, body);

	(void)ctx;
	fclose(f);
	check_text();
	if (!json_is_built_in())
		return ok;
	f = open_text();
	print_json(f, type, &copy);
	fclose(f);
	check_text();
	return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct exchange e;
	size_t piece;

	if (size < 1 || size > 65536)
		return 0;
	piece = 1 + data[0];
	exchange_init(&e, take_record, NULL);
	for (data++, size--; size > 0 && e.state == EXCHANGE_MORE;) {
		size_t room;
		uint8_t *space = exchange_space(&e, &room);
		size_t n = piece < size ? piece : size;

		MUST(room > 0);
		n = n < room ? n : room;
		memcpy(space, data, n);
		exchange_fed(&e, n);
		data += n;
		size -= n;
	}
	return 0;
}
