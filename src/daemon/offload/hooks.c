/* SPDX-License-Identifier: ISC */
/* Attaching programs to interfaces. */
#define _GNU_SOURCE 1 /* secure_getenv() */
#include "hooks.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clsact.h"

/* Without such an interface, a kernel with tcx returns another error than one without this kind of link. */
static enum hooks_way find_way(int program)
{
	const char *wanted = secure_getenv("NATD_BPF_ATTACH");

	if (wanted && strcmp(wanted, "clsact") == 0)
		return HOOKS_CLSACT;
	return bpf_link_attach(program, INT_MAX, BPF_HOOK_INGRESS) == -EINVAL ? HOOKS_CLSACT : HOOKS_TCX;
}

void hooks_init(struct hooks *hs, struct netlink *nl, int program)
{
	*hs = (struct hooks){.way = find_way(program), .nl = nl};
	for (uint32_t i = 0; i < HOOKS_MAX; i++)
		hs->hook[i].link = -1;
}

void hooks_close(struct hooks *hs)
{
	for (uint32_t i = 0; i < HOOKS_MAX; i++) {
		if (hs->hook[i].link >= 0)
			close(hs->hook[i].link);
		hs->hook[i].link = -1;
	}
}

const char *hooks_way_name(const struct hooks *hs)
{
	return hs->way == HOOKS_TCX ? "tcx" : "clsact";
}

/* ---- one hook ---- */

static struct clsact_filter filter_of(const struct hook *h)
{
	return (struct clsact_filter){.interface = h->interface, .tun = h->tun};
}

static bool is_alive(const struct hooks *hs, const struct hook *h)
{
	struct clsact_filter f = filter_of(h);
	struct bpf_link_state state;

	if (hs->way == HOOKS_CLSACT)
		return clsact_is_attached(hs->nl, &f);
	return bpf_link_look(h->link, &state) == 0 && state.interface != 0;
}

/* Removes the program, even if another process holds its link. */
static void detach(struct hooks *hs, struct hook *h)
{
	struct clsact_filter f = filter_of(h);

	if (hs->way == HOOKS_TCX) {
		(void)bpf_link_remove(h->link);
		close(h->link);
		h->link = -1;
		h->is_changed = true;
	} else if (f.interface > 0) {
		(void)clsact_detach(hs->nl, &f); /* what stays is removed by the next natd */
	}
	h->is_used = false;
}

static int replace(struct hooks *hs, struct hook *h, const struct hooks_program *p)
{
	struct clsact_filter f = filter_of(h);

	return hs->way == HOOKS_TCX ? bpf_link_replace(h->link, p->fd) : clsact_attach(hs->nl, &f, p->fd, p->role);
}

static int attach(struct hooks *hs, struct hook *h, int interface, const struct hooks_program *p)
{
	struct clsact_filter f = {.interface = interface, .tun = hs->tun};
	int r = hs->way == HOOKS_TCX ? bpf_link_attach(p->fd, interface, BPF_HOOK_INGRESS)
				     : clsact_attach(hs->nl, &f, p->fd, p->role);

	if (r < 0)
		return r;
	*h = (struct hook){.interface = interface,
			   .side = BPF_HOOK_INGRESS,
			   .program = p->number,
			   .link = hs->way == HOOKS_TCX ? r : -1,
			   .tun = hs->tun,
			   .is_used = true,
			   .is_wanted = true,
			   .is_changed = hs->way == HOOKS_TCX};
	return 0;
}

/* ---- all of them ---- */

/* At clsact another device of natd's has its own filters. */
static struct hook *find_hook(struct hooks *hs, int interface, enum bpf_hook side)
{
	for (uint32_t i = 0; i < HOOKS_MAX; i++) {
		struct hook *h = &hs->hook[i];

		if (h->is_used && h->interface == interface && h->side == side &&
		    (hs->way == HOOKS_TCX || h->tun == hs->tun))
			return h;
	}
	return NULL;
}

static struct hook *find_place(struct hooks *hs)
{
	for (uint32_t i = 0; i < HOOKS_MAX; i++) {
		if (!hs->hook[i].is_used)
			return &hs->hook[i];
	}
	return NULL;
}

/* An interface that was deleted and made again has another index, or its link has none. */
void hooks_begin(struct hooks *hs, int tun)
{
	hs->tun = tun;
	for (uint32_t i = 0; i < HOOKS_MAX; i++) {
		struct hook *h = &hs->hook[i];

		h->is_wanted = false;
		if (h->is_used && !is_alive(hs, h))
			h->interface = 0;
	}
}

int hooks_want(struct hooks *hs, int interface, const struct hooks_program *p)
{
	struct hook *h = interface > 0 ? find_hook(hs, interface, BPF_HOOK_INGRESS) : NULL;
	int r;

	if (interface <= 0 || (hs->way == HOOKS_CLSACT && hs->tun <= 0)) /* it comes later */
		return 0;
	if (h && (h->program == p->number || replace(hs, h, p) == 0)) {
		h->is_wanted = true;
		h->program = p->number;
		return 0;
	}
	if (h)
		detach(hs, h);
	h = find_place(hs);
	r = h ? attach(hs, h, interface, p) : -ENOSPC;
	return r == -ENODEV ? 0 : r;
}

void hooks_end(struct hooks *hs)
{
	for (uint32_t i = 0; i < HOOKS_MAX; i++) {
		if (hs->hook[i].is_used && !hs->hook[i].is_wanted)
			detach(hs, &hs->hook[i]);
	}
}

void hooks_explain(const struct hooks *hs, int error, char *why, size_t size)
{
	if (hs->way == HOOKS_TCX || error == -ENOSPC)
		snprintf(why, size, "cannot attach the tc programs: %s", strerror(-error));
	else
		snprintf(why, size,
			 "cannot attach the tc programs: the kernel has no tcx links (Linux 6.6), and at clsact: %s",
			 netlink_error(hs->nl));
}

void hooks_remove(struct hooks *hs)
{
	for (uint32_t i = 0; i < HOOKS_MAX; i++)
		hs->hook[i].is_wanted = false;
	hooks_end(hs);
}

uint32_t hooks_filters(const struct hooks *hs, int interfaces[HOOKS_MAX])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < HOOKS_MAX; i++) {
		if (hs->way == HOOKS_CLSACT && hs->hook[i].is_used)
			interfaces[n++] = hs->hook[i].interface;
	}
	return n;
}

/* ---- the store ---- */

bool hooks_adopt(struct hooks *hs, uint32_t i, int link)
{
	struct bpf_link_state state;

	assert(i < HOOKS_MAX && !hs->hook[i].is_used);
	if (hs->way != HOOKS_TCX || bpf_link_look(link, &state) < 0 || state.interface == 0 ||
	    find_hook(hs, state.interface, state.hook)) {
		(void)bpf_link_remove(link);
		close(link);
		return false;
	}
	hs->hook[i] = (struct hook){
		.interface = state.interface, .side = state.hook, .program = -1, .link = link, .is_used = true};
	return true;
}

int hooks_link(const struct hooks *hs, uint32_t i)
{
	assert(i < HOOKS_MAX);
	return hs->hook[i].link;
}

bool hooks_take_change(struct hooks *hs, uint32_t i)
{
	bool is_changed = hs->hook[i].is_changed;

	hs->hook[i].is_changed = false;
	return is_changed;
}
