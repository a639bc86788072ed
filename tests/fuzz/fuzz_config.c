/* SPDX-License-Identifier: ISC */
/*
 * Any bytes as a configuration: it is refused with at least one error or taken with none, whatever is
 * taken makes a policy that compiles, and its lists keep what their header promises.
 */
#include <stdint.h>
#include <stdlib.h>

#include "core/policy/rule.h"
#include "daemon/config/config.h"
#include "daemon/setup/build_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libconfig 1.5 forgets a string that stands where none may: not natd's leak. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig\n";
}

#define HOLDS(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static void check_lists(const struct natd_config *c)
{
	uint32_t n;
	const struct nat_range *r = config_port_ranges(c, true, &n);

	HOLDS(n > 0 && r[n - 1].last < 65535 + !c->outside.share_interface_address);
	for (uint32_t i = 0; i < n; i++)
		HOLDS(r[i].first > 0 && r[i].first <= r[i].last && (i == 0 || r[i].first > r[i - 1].last));
	for (uint32_t i = 1; i < c->outside.n_pool; i++)
		HOLDS(c->outside.pool[i].first > c->outside.pool[i - 1].last);
	for (uint32_t i = 0; i < c->n_forwards; i++) {
		const struct nat_forward *f = &c->forwards[i];

		HOLDS(f->name[0] && f->protocols && f->ports.first <= f->ports.last);
		HOLDS(f->ports.first > 0 || !nat_forward_has_ports(f));
		for (uint32_t k = 0; k < nat_forward_targets(f); k++) {
			uint32_t port = nat_forward_target(f, k).port;

			HOLDS((port > 0 || !nat_forward_has_ports(f)) &&
			      port + (f->ports.last - f->ports.first) <= 65535);
		}
	}
	HOLDS(c->outside.interface[0] && c->inside.n_interfaces + c->inside.n_prefixes > 0);
}

static void check_policy(const struct natd_config *c, struct config_report *report)
{
	static const struct host_address wan = {0xc0000202, 0xc0000202, 24, false};
	static const struct host_address lan = {0x0a080001, 0x0a080001, 24, false};
	static const struct host_interface inside = {.name = "lan",
						     .index = 2,
						     .exists = true,
						     .is_up = true,
						     .mtu = 1420,
						     .addresses = &lan,
						     .n_addresses = 1};
	static const struct host_facts facts = {.outside = {.name = "wan",
							    .index = 2,
							    .exists = true,
							    .is_up = true,
							    .mtu = 1500,
							    .addresses = &wan,
							    .n_addresses = 1},
						.inside = &inside,
						.n_inside = 1};
	struct policy_storage storage = {0};
	struct nat_policy policy;

	if (policy_build(c, &facts, &policy, &storage, report)) {
		struct rules *r = rules_create(&policy);

		HOLDS(r);
		for (uint32_t i = 0; i < rules_address_count(r); i += 97)
			HOLDS(rules_address_find(r, rules_address_at(r, i)) == (int32_t)i);
		rules_destroy(r);
	}
	policy_storage_fini(&storage);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_report report = {0};
	struct natd_config *c = config_load_string((const char *)data, size, "f", &report);
	char text[4096];

	HOLDS((c != NULL) == (report.n_errors == 0));
	for (uint32_t i = 0; i < report.n_problems; i++)
		HOLDS(config_problem_text(&report.problems[i], text, sizeof(text)) > 3);
	if (c) {
		check_lists(c);
		check_policy(c, &report);
	}
	config_free(c);
	config_report_fini(&report);
	return 0;
}
