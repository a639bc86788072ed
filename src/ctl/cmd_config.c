/* SPDX-License-Identifier: ISC */
/*
 * Commands about the configuration: forwards, pools, reload.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/json.h"
#include "client/names.h"
#include "client.h"
#include "filter.h"
#include "natctl.h"
#include "options.h"
#include "output.h"
#include "sheet.h"

/* State of a record function: where lines go, or the JSON object under construction. */
struct gathering {
	struct natctl *n;
	struct json_object *object;
	struct sheet *sheet;	    /* with -o table, for forwards and pools */
	struct ctl_forward forward; /* the last one: its backends follow it */
};

static void begin(struct gathering *g, struct natctl *n)
{
	*g = (struct gathering){.n = n};
	if (n->format == FORMAT_JSON)
		g->object = json_create();
}

/* Prints the object, if there is one. Without natd there is nothing to print. */
static int finish(struct gathering *g, int rc)
{
	if (rc == NATCTL_NO_DAEMON)
		json_destroy(g->object);
	else if (g->object)
		json_print(stdout, g->object);
	if (rc != NATCTL_NO_DAEMON && g->sheet)
		sheet_print(g->sheet, stdout);
	sheet_destroy(g->sheet);
	return output_finish(g->n) ? rc : NATCTL_REFUSED;
}

/* ---- forwards, pools ---- */

struct kind {
	enum ctl_type request;
	const char *name; /* of the list, in JSON */
	struct sheet *(*sheet)(void);
	exchange_fn *take;
};

static int show(struct natctl *n, int argc, char **argv, const struct kind *k)
{
	struct gathering g;

	if (!filter_parse(n, NULL, argc, argv))
		return NATCTL_USAGE;
	begin(&g, n);
	if (g.object)
		json_add_list(g.object, k->name);
	if (n->format == FORMAT_TABLE)
		g.sheet = k->sheet();
	return finish(&g, client_ask(n, k->request, NULL, k->take, &g, NULL));
}

static bool take_backend(struct gathering *g, struct ctl_reader *body)
{
	struct ctl_backend_state b;

	if (!ctl_get_backend(body, &b))
		return false;
	if (g->object)
		json_add_backend(g->object, "forwards", &b);
	else if (g->sheet)
		output_backend_row(g->sheet, &b);
	else
		output_backend_line(stdout, &g->forward, &b);
	return output_ok(g->n);
}

static bool take_forward(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct gathering *g = ctx;

	if (type == CTL_R_BACKEND)
		return take_backend(g, body);
	if (type != CTL_R_FORWARD)
		return true;
	if (!ctl_get_forward(body, &g->forward))
		return false;
	if (g->object)
		json_add_forward(g->object, "forwards", &g->forward);
	else if (g->sheet)
		output_forward_row(g->sheet, &g->forward);
	else
		output_forward_line(stdout, &g->forward);
	return output_ok(g->n);
}

static bool take_pool(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct gathering *g = ctx;
	struct ctl_pool p;

	if (type != CTL_R_POOL)
		return true;
	if (!ctl_get_pool(body, &p))
		return false;
	if (g->object)
		json_add_pool(g->object, "pools", &p);
	else if (g->sheet)
		output_pool_row(g->sheet, &p);
	else
		output_pool_line(stdout, &p);
	return output_ok(g->n);
}

int command_forwards(struct natctl *n, int argc, char **argv)
{
	return show(n, argc, argv, &(struct kind){CTL_FORWARDS, "forwards", output_forward_sheet, take_forward});
}

int command_pools(struct natctl *n, int argc, char **argv)
{
	return show(n, argc, argv, &(struct kind){CTL_POOLS, "pools", output_pool_sheet, take_pool});
}

/* ---- reload ---- */

static bool take_message(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct gathering *g = ctx;

	return type != CTL_R_LINE || output_message(g->object, body);
}

static const char *set_confirm(struct natctl *n, void *target, const char *text)
{
	char *rest;
	unsigned long seconds = strtoul(text, &rest, 10);

	(void)n;
	if (*rest != '\0' || seconds < 1 || seconds > 86400)
		return "is not a number of seconds from 1 to 86400";
	*(uint32_t *)target = (uint32_t)seconds;
	return NULL;
}

static const struct natctl_option reload_rows[] = {
	{"confirm", 0, VALUE_NEEDED, "SECONDS", "go back unless `natctl confirm' comes in time", set_confirm},
};

const struct option_set reload_options = {"Safety:", reload_rows, sizeof(reload_rows) / sizeof(reload_rows[0])};

int command_reload(struct natctl *n, int argc, char **argv)
{
	struct client_query q = {.type = CTL_RELOAD};
	const struct option_use uses[] = {{&reload_options, &q.confirm_s}, {NULL, NULL}};
	struct ctl_end end = {0};
	struct gathering g;
	int first = options_parse(n, argc, argv, uses), rc;

	if (first < 0)
		return NATCTL_USAGE;
	if (first < argc) {
		natctl_complain("reload: `%s' is one argument too many", argv[first]);
		return NATCTL_USAGE;
	}
	begin(&g, n);
	if (g.object)
		json_add_list(g.object, "messages");
	rc = client_run(n, &q, take_message, &g, &end);
	if (g.object) {
		json_add_bool(g.object, "reloaded", rc == NATCTL_DONE);
		json_add_number(g.object, "kept", end.count);
		json_add_number(g.object, "ended", end.count2);
	} else if (rc == NATCTL_DONE) {
		printf("reloaded: %" PRIu64 " sessions go on, %" PRIu64 " ended\n", end.count, end.count2);
		if (q.confirm_s > 0)
			printf("`natctl confirm' within %u s, or the previous configuration comes back\n",
			       (unsigned)q.confirm_s);
	}
	return finish(&g, rc);
}

int command_confirm(struct natctl *n, int argc, char **argv)
{
	struct gathering g;
	int rc;

	if (!filter_parse(n, NULL, argc, argv))
		return NATCTL_USAGE;
	begin(&g, n);
	if (g.object)
		json_add_list(g.object, "messages");
	rc = client_ask(n, CTL_CONFIRM, NULL, take_message, &g, NULL);
	if (g.object)
		json_add_bool(g.object, "confirmed", rc == NATCTL_DONE);
	else if (rc == NATCTL_DONE)
		puts("confirmed");
	return finish(&g, rc);
}
