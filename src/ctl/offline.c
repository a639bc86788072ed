/* SPDX-License-Identifier: ISC */
/* The arithmetic of deterministic allocation, from the configuration file. Only this file of the client uses natd's
 * configuration. */
#include "offline.h"

#include "daemon/config/config.h"

static bool is_outside(const struct natd_config *c, uint32_t address)
{
	for (uint32_t i = 0; i < c->outside.n_pool; i++) {
		if (address >= c->outside.pool[i].first && address <= c->outside.pool[i].last)
			return true;
	}
	return false;
}

static enum offline_answer look_up(const struct natd_config *c, const struct allocation *a,
				   const struct ctl_endpoint *outside, struct ctl_block *b)
{
	int32_t number;
	struct nat_range ports;

	if (a->kind != ALLOCATION_DETERMINISTIC)
		return OFFLINE_NOT_KNOWN;
	number = cut_number(&a->cut[CUT_POOL], outside->port);
	if (!is_outside(c, outside->address) || number < 0)
		return OFFLINE_NOBODY;
	if ((uint32_t)number >= a->fixed)
		return c->blocks.overflow > 0 ? OFFLINE_NOT_KNOWN : OFFLINE_NOBODY;
	ports = cut_block(&a->cut[CUT_POOL], (uint32_t)number);
	*b = (struct ctl_block){
		.inside = allocation_owner(a, outside->address, (uint32_t)number),
		.outside = outside->address,
		.first = ports.first,
		.last = ports.last,
		.is_fixed = true,
	};
	return b->inside != 0 ? OFFLINE_FOUND : OFFLINE_NOBODY;
}

enum offline_answer offline_who(const char *path, const struct ctl_endpoint *outside, struct ctl_block *b)
{
	struct config_report report = {0};
	struct natd_config *c = config_load(path, &report);
	struct allocation *a = c ? config_allocation(c) : NULL;
	enum offline_answer answer = OFFLINE_WRONG;

	if (a)
		answer = look_up(c, a, outside, b);
	else
		config_report_print(&report, stderr);
	allocation_destroy(a);
	config_free(c);
	config_report_fini(&report);
	return answer;
}
