/* SPDX-License-Identifier: ISC */
/* Configuration, facts and policy as one value. */
#include "setup.h"

#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "daemon/base/log.h"

bool setup_is_shared(const struct setup *s)
{
	for (uint32_t i = 0; i < s->policy.n_addresses; i++) {
		if (s->policy.addresses[i].shared)
			return true;
	}
	return false;
}

bool setup_scan_ports(struct setup *s, struct netlink *nl)
{
	struct hostports *now;
	bool changed;
	int r;

	if (!setup_is_shared(s))
		return false;
	now = malloc(sizeof(*now));
	if (!now)
		return false;
	r = hostports_list(nl, s->policy.shared_ports, s->policy.n_shared_ports, now);
	if (r < 0)
		log_debug(SUB_NETLINK, "ports of the host: %s", netlink_error(nl));
	changed = r == 0 && !hostports_equal(now, &s->ports);
	if (changed)
		s->ports = *now;
	free(now);
	return changed;
}

struct setup *setup_create(struct netlink *nl, const struct natd_config *config, struct config_report *report)
{
	struct setup *s = calloc(1, sizeof(*s));

	if (!s) {
		config_report_add(report, CONFIG_ERROR, config->file, 0, "out of memory");
		return NULL;
	}
	if (facts_read(nl, config, &s->facts) < 0) {
		config_report_add(report, CONFIG_ERROR, config->file, 0, "cannot look at the interfaces: %s",
				  netlink_error(nl));
		goto fail;
	}
	if (!policy_build(config, &s->facts, &s->policy, &s->storage, report))
		goto fail;
	s->config = config;
	setup_scan_ports(s, nl);
	return s;
fail:
	setup_destroy(s);
	return NULL;
}

void setup_destroy(struct setup *s)
{
	if (!s)
		return;
	policy_storage_fini(&s->storage);
	facts_fini(&s->facts);
	free(s);
}

static bool address_equal(const struct host_address *a, const struct host_address *b)
{
	return a->address == b->address && a->peer == b->peer && a->length == b->length &&
	       a->is_secondary == b->is_secondary;
}

static bool interface_equal(const struct host_interface *a, const struct host_interface *b)
{
	if (strcmp(a->name, b->name) != 0 || a->exists != b->exists || a->mtu != b->mtu ||
	    a->n_addresses != b->n_addresses)
		return false;
	for (uint32_t i = 0; i < a->n_addresses; i++) {
		if (!address_equal(&a->addresses[i], &b->addresses[i]))
			return false;
	}
	return true;
}

bool setup_facts_equal(const struct host_facts *a, const struct host_facts *b)
{
	if (!interface_equal(&a->outside, &b->outside) || a->n_inside != b->n_inside)
		return false;
	for (uint32_t i = 0; i < a->n_inside; i++) {
		if (!interface_equal(&a->inside[i], &b->inside[i]))
			return false;
	}
	return true;
}
