/* SPDX-License-Identifier: ISC */
/* Programs or rules: the decision, and its consequences. */
#include "offload.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bpf.h"
#include "clsact.h"
#include "core/table/table.h"
#include "daemon/base/log.h"

static void on_port(void *ctx, enum nat_class c, uint32_t address, uint16_t port, bool used)
{
	doorman_port(ctx, c, address, port, used);
}

static void drop_doorman(struct offload *o)
{
	measure_close(&o->measure);
	doorman_destroy(o->doorman);
	o->doorman = NULL;
}

void offload_give_up(struct offload *o, const char *why)
{
	snprintf(o->why_rules, sizeof(o->why_rules), "%s", why);
	if (!o->doorman)
		return;
	if (o->nat) {
		fastpath_end(o->doorman, o->nat, false);
		table_watch_ports(nat_table(o->nat), NULL, NULL);
	}
	doorman_detach(o->doorman);
	drop_doorman(o);
}

static bool is_filtered(struct offload *o, struct netlink *nl, char why[OFFLOAD_WHY_SIZE])
{
	if (!filter_find(&o->filter, nl))
		return false;
	snprintf(why, OFFLOAD_WHY_SIZE,
		 "the host filters packets (%s), which the tc programs would pass by; fast_path.steering = \"bpf\" "
		 "does that",
		 o->filter.name);
	return true;
}

/* A reason against the programs before anything is loaded. False: there is none. */
static bool is_ruled_out(struct offload *o, const struct natd_config *c, struct netlink *nl, char why[OFFLOAD_WHY_SIZE])
{
	if (c->routing == ROUTING_NONE)
		snprintf(why, OFFLOAD_WHY_SIZE, "routing = \"none\"");
	else if (c->fast_path.steering == CONFIG_STEERING_RULES)
		snprintf(why, OFFLOAD_WHY_SIZE, "fast_path.steering = \"rules\"");
	else
		return is_filtered(o, nl, why) && !o->is_required;
	return true;
}

static void open_measure(struct offload *o)
{
	int r = measure_open(&o->measure);

	if (r < 0)
		log_write(LEVEL_WARNING, SUB_NETLINK, -r,
			  "cannot receive changes of routes: carried sessions keep the MTU that their routes have now");
}

bool offload_load(struct offload *o, const struct natd_config *c, struct netlink *nl)
{
	char why[OFFLOAD_WHY_SIZE];

	(void)netlink_open_filter(nl); /* a kernel without nftables filters nothing by it */
	o->mode = c->fast_path.mode;
	o->is_required = (c->fast_path.steering == CONFIG_STEERING_BPF && c->routing != ROUTING_NONE) ||
			 o->mode == CONFIG_FAST_PATH_REQUIRED;
	if (!is_ruled_out(o, c, nl, why) &&
	    doorman_create(&o->doorman, nl, o->mode != CONFIG_FAST_PATH_OFF, why, sizeof(why)) == 0) {
		open_measure(o);
		return true;
	}
	offload_give_up(o, why);
	return !o->is_required;
}

bool offload_has_to_end(struct offload *o, struct netlink *nl, char why[OFFLOAD_WHY_SIZE])
{
	return o->doorman && is_filtered(o, nl, why) && !o->is_required;
}

void offload_adopt(struct offload *o, uint32_t i, int link)
{
	if (o->doorman) {
		(void)doorman_adopt(o->doorman, i, link);
		return;
	}
	(void)bpf_link_remove(link);
	close(link);
}

/* The smaller MTU of those that are known. */
static uint16_t smaller(uint16_t a, uint16_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static bool carry_on(struct offload *o, char *why, size_t size)
{
	if (o->mode == CONFIG_FAST_PATH_OFF || fastpath_begin(o->doorman, o->nat, o->mode))
		return true;
	snprintf(why, size, "out of memory");
	return false;
}

bool offload_show(struct offload *o, const struct steering *s, struct nat *nat, const char *tun, bool is_same)
{
	const struct nat_policy *policy = nat_policy_get(nat);
	struct doorman_host host = {
		.table = nat_table(nat),
		.tun = (int)if_nametoindex(tun),
		.translates_others = policy->other_protocols == OTHER_TRANSLATE,
		.is_same_table = is_same,
	};
	char why[OFFLOAD_WHY_SIZE];

	if (!o->doorman)
		return !o->is_required;
	if (!doorman_fits(s, why, sizeof(why))) {
		offload_give_up(o, why);
		return !o->is_required;
	}
	host.mtu_out = smaller(policy->outside_mtu, policy->tun_mtu);
	host.mtu_in = policy->tun_mtu;
	for (uint32_t i = 0; i < policy->n_inside; i++)
		host.mtu_in = smaller(host.mtu_in, policy->inside[i].mtu);
	o->nat = nat;
	o->tun = host.tun;
	table_watch_ports(nat_table(nat), on_port, o->doorman);
	doorman_show(o->doorman, s, &host);
	return true;
}

int offload_attach(struct offload *o, const struct steering *s, char why[OFFLOAD_WHY_SIZE])
{
	return o->doorman ? doorman_attach(o->doorman, s, o->tun, why, OFFLOAD_WHY_SIZE) : 0;
}

bool offload_begin(struct offload *o, int attached, char why[OFFLOAD_WHY_SIZE])
{
	if (o->doorman && attached == 0 && carry_on(o, why, OFFLOAD_WHY_SIZE))
		return true;
	if (o->doorman)
		offload_give_up(o, why);
	return !o->is_required;
}

unsigned offload_clean(const struct offload *o, struct netlink *nl, const char *tun)
{
	int kept[DOORMAN_LINKS_MAX];
	uint32_t n = o->doorman ? doorman_filters(o->doorman, kept) : 0;

	return clsact_clean(nl, (int)if_nametoindex(tun), kept, n);
}

bool offload_is_on(const struct offload *o)
{
	return o->doorman != NULL;
}

const char *offload_way(const struct offload *o)
{
	return o->doorman ? doorman_way(o->doorman) : NULL;
}

void offload_beat(struct offload *o)
{
	if (o->doorman && o->nat)
		fastpath_beat(o->doorman, o->nat);
}

void offload_ways_changed(struct offload *o)
{
	measure_again(&o->measure);
}

const char *offload_why_slow(const struct offload *o)
{
	if (o->mode == CONFIG_FAST_PATH_OFF)
		return "fast_path.mode = \"off\"";
	if (!o->doorman)
		return o->why_rules;
	return o->nat && nat_mirror_is_on(o->nat) ? NULL : "not begun";
}

void offload_close(struct offload *o, bool goes_on)
{
	if (!o->doorman)
		return;
	if (o->nat) {
		fastpath_end(o->doorman, o->nat, goes_on);
		table_watch_ports(nat_table(o->nat), NULL, NULL);
	}
	if (!goes_on)
		doorman_detach(o->doorman);
	drop_doorman(o);
}
