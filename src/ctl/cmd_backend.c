/* SPDX-License-Identifier: ISC */
/* natctl backend NAME HOST[:PORT] drain|resume */
#include <stdio.h>
#include <string.h>

#include "client/json.h"
#include "client/names.h"
#include "client/who.h"
#include "client.h"
#include "natctl.h"
#include "options.h"
#include "output.h"

static bool parse_host(const char *text, struct ctl_endpoint *host)
{
	char whole[NAMES_ENDPOINT_MAX];

	if (strlen(text) + sizeof(":0") > sizeof(whole))
		return false;
	snprintf(whole, sizeof(whole), "%s%s", text, strchr(text, ':') ? "" : ":0");
	return who_parse_endpoint(whole, host);
}

static bool parse(int argc, char **argv, struct ctl_backend_order *o)
{
	if (argc != 3) {
		natctl_complain("backend: needs NAME HOST[:PORT] drain|resume");
		return false;
	}
	if (argv[0][0] == '\0' || strlen(argv[0]) > CTL_NAME_MAX) {
		natctl_complain("backend: `%s' is not a forward's name (1 to 31 characters)", argv[0]);
		return false;
	}
	strcpy(o->forward, argv[0]);
	if (!parse_host(argv[1], &o->host)) {
		natctl_complain("backend: `%s' is not HOST or HOST:PORT, as in 10.8.0.11:8080", argv[1]);
		return false;
	}
	o->drain = strcmp(argv[2], "drain") == 0;
	if (o->drain || strcmp(argv[2], "resume") == 0)
		return true;
	natctl_complain("backend: `%s' is neither `drain' nor `resume'", argv[2]);
	return false;
}

static void say(struct natctl *n, char **argv, bool drained, bool changed)
{
	struct json_object *o;

	if (n->format != FORMAT_JSON) {
		names_print(stdout, argv[0]);
		printf(" %s: %s%s\n", argv[1], changed ? "" : "already ", drained ? "drained" : "resumed");
		return;
	}
	o = json_create();
	json_add_text(o, "forward", argv[0]);
	json_add_text(o, "backend", argv[1]);
	json_add_bool(o, "drained", drained);
	json_add_bool(o, "changed", changed);
	json_print(stdout, o);
}

static bool take_nothing(void *ctx, uint8_t type, struct ctl_reader *body)
{
	(void)ctx, (void)type, (void)body;
	return true;
}

int command_backend(struct natctl *n, int argc, char **argv)
{
	static const struct option_use none[] = {{NULL, NULL}};
	struct ctl_backend_order order = {0};
	const struct client_query q = {.type = CTL_BACKEND_ORDER, .backend = &order};
	struct ctl_end end = {0};
	int first = options_parse(n, argc, argv, none), rc;

	if (first < 0 || !parse(argc - first, argv + first, &order))
		return NATCTL_USAGE;
	rc = client_run(n, &q, take_nothing, NULL, &end);
	if (rc == NATCTL_DONE)
		say(n, argv + first, order.drain, end.count > 0);
	return output_finish(n) ? rc : NATCTL_REFUSED;
}
