/* SPDX-License-Identifier: ISC */
/* natctl explain: what would happen to a packet: the steps, numbered, and the verdict. */
#include <stdio.h>
#include <string.h>

#include "client/json.h"
#include "client/names.h"
#include "client/who.h"
#include "client.h"
#include "common/ctlexplain.h"
#include "common/protocol.h"
#include "filter.h"
#include "monitor.h"
#include "output.h"

struct explain {
	struct natctl *n;
	struct ctl_explain query;
	struct json_object *object; /* with -j */
	unsigned steps;
	bool is_pass;
};

/* ADDRESS or ADDRESS:PORT. */
static bool parse_end(const char *text, struct ctl_endpoint *e)
{
	char whole[48];

	if (strlen(text) >= sizeof(whole) - 2)
		return false;
	snprintf(whole, sizeof(whole), "%s%s", text, strchr(text, ':') ? "" : ":0");
	return who_parse_endpoint(whole, e);
}

static bool parse_arguments(struct explain *x, int argc, char **argv)
{
	const struct option_use none[] = {{NULL, NULL}};
	int first = options_parse(x->n, argc, argv, none), protocol;

	if (first < 0)
		return false;
	if (argc - first < 3 || argc - first > 4) {
		natctl_complain("%s: needs PROTO SRC[:PORT] DST[:PORT], and perhaps `in' or `out'", argv[0]);
		return false;
	}
	protocol = protocol_number(argv[first]);
	if (protocol <= 0 || protocol > 255) {
		natctl_complain("%s: `%s' is not a protocol", argv[0], argv[first]);
		return false;
	}
	x->query.protocol = (uint8_t)protocol;
	for (int i = 1; i <= 2; i++) {
		if (parse_end(argv[first + i], i == 1 ? &x->query.source : &x->query.destination))
			continue;
		natctl_complain("%s: `%s' is not ADDRESS or ADDRESS:PORT", argv[0], argv[first + i]);
		return false;
	}
	if (argc - first < 4)
		return true;
	x->query.way = strcmp(argv[first + 3], "out") == 0 ? CTL_EXPLAIN_OUT : CTL_EXPLAIN_IN;
	if (x->query.way == CTL_EXPLAIN_OUT || strcmp(argv[first + 3], "in") == 0)
		return true;
	natctl_complain("%s: `%s' is neither `in' nor `out'", argv[0], argv[first + 3]);
	return false;
}

static bool take_step(struct explain *x, struct ctl_reader *body)
{
	static struct ctl_step s;

	if (!ctl_get_step(body, &s))
		return false;
	if (x->object)
		json_add_step(x->object, &s);
	else
		printf("%u. %s: %s\n", ++x->steps, s.step, s.result);
	return output_ok(x->n);
}

static bool take(void *ctx, uint8_t type, struct ctl_reader *body)
{
	static struct ctl_verdict v;
	struct explain *x = ctx;

	if (type == CTL_R_STEP)
		return take_step(x, body);
	if (type != CTL_R_VERDICT)
		return true;
	if (!ctl_get_verdict(body, &v))
		return false;
	x->is_pass = v.is_pass;
	if (x->object)
		json_add_verdict(x->object, &v);
	else
		printf("verdict: %s\n", v.text);
	return output_ok(x->n);
}

int command_explain(struct natctl *n, int argc, char **argv)
{
	struct explain x = {.n = n};
	const struct client_query q = {.type = CTL_EXPLAIN, .explain = &x.query};
	int rc;

	if (!parse_arguments(&x, argc, argv))
		return NATCTL_USAGE;
	if (n->format == FORMAT_JSON)
		x.object = json_create();
	rc = client_run(n, &q, take, &x, NULL);
	if (rc != NATCTL_DONE)
		json_destroy(x.object);
	else if (x.object)
		json_print(stdout, x.object);
	if (!output_finish(n))
		return NATCTL_REFUSED;
	return rc == NATCTL_DONE && !x.is_pass ? NATCTL_REFUSED : rc;
}
