/* SPDX-License-Identifier: ISC */
/* The host's filters that packets of the tc programs would not pass. */
#include "filter.h"

#include <stdio.h>
#include <string.h>

static bool has_rule(const struct firewall *f, const struct firewall_chain *c)
{
	for (uint32_t i = 0; i < f->n_rules; i++) {
		const struct firewall_rule *r = &f->rules[i];

		if (r->family == c->family && strcmp(r->table, c->table) == 0 && strcmp(r->chain, c->name) == 0)
			return true;
	}
	return false;
}

static void find_chain(struct filter *f, const struct firewall *ruleset)
{
	f->name[0] = '\0';
	for (uint32_t i = 0; i < ruleset->n_chains && f->name[0] == '\0'; i++) {
		const struct firewall_chain *c = &ruleset->chains[i];

		if ((c->hook == FIREWALL_FORWARD || c->hook == FIREWALL_INPUT) && (c->drops || has_rule(ruleset, c)))
			snprintf(f->name, sizeof(f->name), "nftables chain %s of table %s", c->name, c->table);
	}
}

/* Without nftables in the kernel there are no such filters. If the ruleset cannot be read, the last result stays. */
static void read_ruleset(struct filter *f, struct netlink *nl)
{
	struct firewall ruleset = {0};
	int64_t now = netlink_firewall_generation(nl);

	if (now < 0 || (f->generation > 0 && now == f->generation))
		return;
	if (netlink_firewall(nl, &ruleset) == 0) {
		find_chain(f, &ruleset);
		f->generation = now;
	}
	firewall_fini(&ruleset);
}

static bool has_old_filter(void)
{
	char line[64];
	bool found = false;
	FILE *file = fopen("/proc/net/ip_tables_names", "re");

	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file))
		found = strcmp(line, "filter\n") == 0;
	fclose(file);
	return found;
}

bool filter_find(struct filter *f, struct netlink *nl)
{
	static const char old[] = "the filter table of iptables-legacy";
	bool had_old = strcmp(f->name, old) == 0;

	if (had_old)
		f->generation = 0;
	read_ruleset(f, nl);
	if (f->name[0] == '\0' && has_old_filter())
		snprintf(f->name, sizeof(f->name), "%s", old);
	else if (had_old && strcmp(f->name, old) == 0 && !has_old_filter())
		f->name[0] = '\0';
	return f->name[0] != '\0';
}
