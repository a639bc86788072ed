/* SPDX-License-Identifier: ISC */
/* The doctor without a running natd. */
#include <errno.h>

#include "doctor_private.h"
#include "daemon/routing/routing_plan.h"

/* Reports the problems of the file, and things that the host lacks. */
static void say_problems(const struct config_report *report, struct finding_sink *sink)
{
	char line[FINDING_TEXT_SIZE];

	for (uint32_t i = 0; i < report->n_problems; i++) {
		const struct config_problem *p = &report->problems[i];

		config_problem_text(p, line, sizeof(line));
		finding_remedy(sink, "correct it; natd.conf(5) has every key");
		finding_add(sink, p->is_warning ? FINDING_WARNING : FINDING_ERROR, "config", "%s", line);
	}
}

static void look_at_firewall(struct visit *v)
{
	struct firewall f = {0};
	int r = netlink_open_filter(v->nl);

	if (r == 0)
		r = netlink_firewall(v->nl, &f);
	if (r == 0) {
		doctor_firewall(v, &f);
	} else if (r == -EPERM) {
		finding_remedy(v->sink, "run it as root");
		finding_add(v->sink, FINDING_WARNING, "rights", "the firewall's rules cannot be read by this user");
	}
	firewall_fini(&f);
}

static void look(struct visit *v)
{
	doctor_host(v, DOCTOR_FULL);
	for (uint32_t i = 0; i < v->setup->policy.n_forwards; i++)
		doctor_forward_route(v, i);
	look_at_firewall(v);
}

int doctor_offline(const char *config_path, struct finding_sink *sink)
{
	struct config_report report = {0};
	struct natd_config *config = config_load(config_path, &report);
	struct netlink *nl = NULL;
	struct setup *s = NULL;
	int r = config ? netlink_open(&nl, NETLINK_ROUTES | NETLINK_SOCKETS) : -EINVAL;

	if (r == 0) {
		s = setup_create(nl, config, &report);
		r = s ? 0 : -EINVAL;
	}
	say_problems(&report, sink);
	if (s)
		look(&(struct visit){.config = config, .setup = s, .nl = nl, .sink = sink, .mark = ROUTING_MARK});
	setup_destroy(s);
	netlink_close(nl);
	config_report_fini(&report);
	config_free(config);
	return r;
}
