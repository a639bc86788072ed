/* SPDX-License-Identifier: ISC */
/* Filters at clsact. */
#include "clsact.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WITH_CLSACT "+clsact" /* ends the name where natd made the clsact */

static bool made_clsact(const struct netlink_tc *f)
{
	return strstr(f->name, WITH_CLSACT) != NULL;
}

static bool note_maker(void *ctx, const struct netlink_tc *f)
{
	bool *is_made = ctx;

	*is_made = made_clsact(f);
	return !*is_made;
}

/* Makes a clsact where there is none. Whether the filter is to remove it in the end: natd has made it now, or
 * before. */
static int prepare(struct netlink *nl, int interface, bool *is_made)
{
	int r = netlink_clsact_add(nl, interface);

	*is_made = r == 0;
	if (r != -EEXIST)
		return r;
	return netlink_tc_filters(nl, interface, note_maker, is_made);
}

int clsact_attach(struct netlink *nl, const struct clsact_filter *f, int program, const char *role)
{
	struct netlink_tc tc;
	bool is_made = false;
	int r = netlink_tc_get(nl, f->interface, (uint32_t)f->tun, &tc);

	if (r == 0)
		is_made = made_clsact(&tc);
	else if (r == -ENOENT)
		r = prepare(nl, f->interface, &is_made);
	if (r < 0)
		return r;
	tc = (struct netlink_tc){.index = f->interface, .handle = (uint32_t)f->tun};
	snprintf(tc.name, sizeof(tc.name), "%s%s%s", NETLINK_TC_NAME, role, is_made ? WITH_CLSACT : "");
	return netlink_tc_add(nl, &tc, program);
}

int clsact_detach(struct netlink *nl, const struct clsact_filter *f)
{
	struct netlink_tc tc;
	int r = netlink_tc_get(nl, f->interface, (uint32_t)f->tun, &tc);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = netlink_tc_delete(nl, f->interface, (uint32_t)f->tun);
	return r == 0 && made_clsact(&tc) ? netlink_clsact_delete_empty(nl, f->interface) : r;
}

bool clsact_is_attached(struct netlink *nl, const struct clsact_filter *f)
{
	struct netlink_tc tc;

	return netlink_tc_get(nl, f->interface, (uint32_t)f->tun, &tc) != -ENOENT;
}

/* ---- what others left ---- */

struct found {
	struct clsact_filter *list;
	size_t n, room;
};

/* Without memory, those that were found so far. */
static bool note(struct found *f, struct clsact_filter filter)
{
	if (f->n == f->room) {
		size_t room = f->room ? 2 * f->room : 64;
		struct clsact_filter *list = realloc(f->list, room * sizeof(*list));

		if (!list)
			return false;
		f->list = list;
		f->room = room;
	}
	f->list[f->n++] = filter;
	return true;
}

static bool note_clsact(void *ctx, int index)
{
	return note(ctx, (struct clsact_filter){.interface = index});
}

static bool note_filter(void *ctx, const struct netlink_tc *f)
{
	return note(ctx, (struct clsact_filter){.interface = f->index, .tun = (int)f->handle});
}

static bool is_in_use(int interface, const int *kept, uint32_t n_kept)
{
	for (uint32_t i = 0; i < n_kept; i++) {
		if (kept[i] == interface)
			return true;
	}
	return false;
}

unsigned clsact_clean(struct netlink *nl, int tun, const int *kept, uint32_t n_kept)
{
	struct found at = {0}, filters = {0};
	struct netlink_link link;
	unsigned n = 0;

	(void)netlink_clsacts(nl, note_clsact, &at); /* disturbed: what was listed until then */
	for (size_t i = 0; i < at.n; i++)
		(void)netlink_tc_filters(nl, at.list[i].interface, note_filter, &filters);
	for (size_t i = 0; i < filters.n; i++) {
		const struct clsact_filter *f = &filters.list[i];

		if (f->tun == tun ? !is_in_use(f->interface, kept, n_kept)
				  : netlink_link_get_index(nl, f->tun, &link) == -ENODEV)
			n += clsact_detach(nl, f) == 0;
	}
	free(at.list);
	free(filters.list);
	return n;
}
