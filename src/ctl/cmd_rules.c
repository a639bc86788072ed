/* SPDX-License-Identifier: ISC */
/* natctl rules: the filter rules in order, with the counts of their decisions. */
#include <inttypes.h>
#include <stdio.h>

#include "client.h"
#include "client/json.h"
#include "client/names.h"
#include "common/ctlrule.h"
#include "filter.h"
#include "natctl.h"
#include "output.h"
#include "rules.h"
#include "sheet.h"

static const char *action_name(uint8_t action)
{
	static const char *const names[CTL_RULE_ACTIONS] = {"accept", "drop", "reject"};

	return names[action];
}

static const char *direction_name(uint8_t directions)
{
	if (directions == CTL_RULE_OUT)
		return "out";
	return directions == CTL_RULE_IN ? "in" : "both";
}

void rules_line(FILE *f, const struct ctl_rule *r)
{
	fprintf(f, "%" PRIu32 " ", r->number);
	names_print(f, r->name);
	fprintf(f, " %s %s packets=%" PRIu64 " bytes=%" PRIu64 " sessions=%" PRIu64 " refused=%" PRIu64 "%s\n",
		action_name(r->action), direction_name(r->directions), r->packets, r->bytes, r->sessions, r->refused,
		r->log ? " [LOG]" : "");
}

struct sheet *rules_sheet(void)
{
	static const struct sheet_column columns[] = {{"NUMBER", true},	    {"NAME", false},	{"ACTION", false},
						      {"DIRECTION", false}, {"SESSIONS", true}, {"REFUSED", true},
						      {"PACKETS", true},    {"BYTES", true},	{"LOG", false}};

	return sheet_create(columns, sizeof(columns) / sizeof(columns[0]));
}

void rules_row(struct sheet *s, const struct ctl_rule *r)
{
	char number[12], sessions[24], refused[24], packets[24], bytes[24];

	snprintf(number, sizeof(number), "%" PRIu32, r->number);
	snprintf(sessions, sizeof(sessions), "%" PRIu64, r->sessions);
	snprintf(refused, sizeof(refused), "%" PRIu64, r->refused);
	snprintf(packets, sizeof(packets), "%" PRIu64, r->packets);
	snprintf(bytes, sizeof(bytes), "%" PRIu64, r->bytes);
	sheet_add(s, (const char *const[]){number, r->name, action_name(r->action), direction_name(r->directions),
					   sessions, refused, packets, bytes, r->log ? "yes" : ""});
}

bool rules_json(FILE *f, const struct ctl_rule *r)
{
	struct json_object *o = json_create();

	json_add_number(o, "number", r->number);
	json_add_text(o, "name", r->name);
	json_add_text(o, "action", action_name(r->action));
	json_add_text(o, "direction", direction_name(r->directions));
	json_add_bool(o, "log", r->log);
	json_add_number(o, "packets", r->packets);
	json_add_number(o, "bytes", r->bytes);
	json_add_number(o, "sessions", r->sessions);
	json_add_number(o, "refused", r->refused);
	return json_print(f, o);
}

struct listing {
	struct natctl *n;
	struct sheet *sheet; /* with -o table */
};

static bool take_rule(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct listing *l = ctx;
	struct ctl_rule r;

	if (type != CTL_R_RULE)
		return true;
	if (!ctl_get_rule(body, &r))
		return false;
	if (l->n->format == FORMAT_JSON)
		rules_json(stdout, &r);
	else if (l->sheet != NULL)
		rules_row(l->sheet, &r);
	else
		rules_line(stdout, &r);
	return output_ok(l->n);
}

int command_rules(struct natctl *n, int argc, char **argv)
{
	struct listing l = {.n = n};
	int rc;

	if (!filter_parse(n, NULL, argc, argv))
		return NATCTL_USAGE;
	if (n->format == FORMAT_TABLE)
		l.sheet = rules_sheet();
	rc = client_ask(n, CTL_RULES, NULL, take_rule, &l, NULL);
	if (rc != NATCTL_NO_DAEMON && l.sheet != NULL)
		sheet_print(l.sheet, stdout);
	sheet_destroy(l.sheet);
	return output_finish(n) ? rc : NATCTL_REFUSED;
}
