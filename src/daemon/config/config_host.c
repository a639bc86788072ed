/* SPDX-License-Identifier: ISC */
/*
 * Things that a configuration names and this host does not have, for `natd -t`. Only warnings: an interface may appear
 * later, and the file may be meant for another host.
 */
#include <errno.h>
#include <net/if.h>

#include "config_internal.h"
#include "daemon/base/account.h"

static void check_interface(const struct natd_config *c, struct config_report *r, uint32_t line, const char *key,
			    const char *name)
{
	if (name[0] && if_nametoindex(name) == 0)
		config_report_add(r, CONFIG_WARNING, c->file, line,
				  "%s: this host has no interface \"%s\" (now): `ip link' lists those that it has", key,
				  name);
}

void config_check_host(const struct natd_config *c, const char *user, struct config_report *r)
{
	struct account a;

	check_interface(c, r, c->outside.line, "outside.interface", c->outside.interface);
	for (uint32_t i = 0; i < c->inside.n_interfaces; i++)
		check_interface(c, r, c->inside.line, "inside.interfaces", c->inside.interfaces[i]);
	if (c->control.group[0] && account_of_group(c->control.group, &a) == -ENOENT)
		config_report_add(r, CONFIG_WARNING, c->file, 0,
				  "control.group: this host has no group \"%s\": `groupadd --system %s' makes it",
				  c->control.group, c->control.group);
	if (account_of_user(user, &a) == -ENOENT)
		config_report_add(
			r, CONFIG_WARNING, c->file, 0,
			"this host has no user \"%s\" for natd to become: `systemd-sysusers' makes it, else natd "
			"stays uid 0 without capabilities",
			user);
}
