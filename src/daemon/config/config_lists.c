/* SPDX-License-Identifier: ISC */
/*
 * Keys that hold lists: interfaces, outside addresses, port ranges, prefixes. Every entry is read, right or wrong; the
 * right ones are stored with their line.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "config_internal.h"
#include "config_text.h"

const struct value *config_list_entries(const struct value *v, uint32_t *n)
{
	if (v->kind != VALUE_LIST) {
		*n = 1;
		return v;
	}
	*n = v->n_children;
	return v->children;
}

bool config_list_is_empty(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	char path[64];

	if (v->kind != VALUE_LIST || v->n_children > 0)
		return false;
	loader_error(l, v->line, "%s is empty: name at least one, or leave the key out for its default",
		     config_key_path(k, path, sizeof(path)));
	return true;
}

/* ---- inside.interfaces ---- */

static bool has_interface(const struct config_inside *in, const char *name)
{
	for (uint32_t i = 0; i < in->n_interfaces; i++) {
		if (strcmp(in->interfaces[i], name) == 0)
			return true;
	}
	return false;
}

static void add_interface(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct config_inside *in = &l->c->inside;
	char why[TEXT_WHY_SIZE];

	if (!config_key_expect(l, k, v, VALUE_STRING))
		return;
	if (!text_interface(v->string, why)) {
		config_key_refuse(l, k, v, why);
	} else if (has_interface(in, v->string)) {
		config_key_refuse(l, k, v, "is named twice");
	} else {
		l->interface_lines[in->n_interfaces] = v->line;
		snprintf(in->interfaces[in->n_interfaces++], CONFIG_IFNAME_SIZE, "%s", v->string);
	}
}

void config_set_interfaces(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct config_inside *in = &l->c->inside;
	uint32_t n;
	const struct value *entry = config_list_entries(v, &n);

	if (in->line == 0)
		in->line = v->line;
	if (config_list_is_empty(l, k, v))
		return;
	in->interfaces = loader_alloc(l, n, sizeof(*in->interfaces));
	l->interface_lines = loader_alloc(l, n, sizeof(*l->interface_lines));
	for (uint32_t i = 0; in->interfaces && l->interface_lines && i < n; i++)
		add_interface(l, k, &entry[i]);
}

/* ---- outside.addresses ---- */

static void add_addresses(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct config_outside *out = &l->c->outside;
	struct nat_address_range range;
	char why[TEXT_WHY_SIZE];
	const char *reserved;

	if (!config_key_expect(l, k, v, VALUE_STRING))
		return;
	if (strcmp(v->string, "interface") == 0) {
		out->share_interface_address = true;
		return;
	}
	if (!text_address_range(v->string, &range, why)) {
		/* other programs' words: "masquerade", "auto", "eth0" */
		config_key_refuse(l, k, v,
				  isalpha((unsigned char)v->string[0])
					  ? "is not an address: to share the address of outside.interface, write "
					    "\"interface\""
					  : why);
		return;
	}
	reserved = text_reserved(range.first, range.last);
	if (reserved) {
		snprintf(why, sizeof(why), "touches %s, which no host may use", reserved);
		config_key_refuse(l, k, v, why);
		return;
	}
	l->pool_lines[out->n_pool] = v->line;
	out->pool[out->n_pool++] = range;
}

void config_set_addresses(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct config_outside *out = &l->c->outside;
	uint32_t n;
	const struct value *entry = config_list_entries(v, &n);

	if (config_list_is_empty(l, k, v))
		return;
	out->share_interface_address = false;
	out->pool = loader_alloc(l, n, sizeof(*out->pool));
	l->pool_lines = loader_alloc(l, n, sizeof(*l->pool_lines));
	for (uint32_t i = 0; out->pool && l->pool_lines && i < n; i++)
		add_addresses(l, k, &entry[i]);
}

/* ---- outside.ports ---- */

/* A number stands for a single port. */
bool config_read_ports(struct config_loader *l, const struct config_key *k, const struct value *v,
		       struct nat_range *out)
{
	char why[TEXT_WHY_SIZE];
	char number[24];

	if (v->kind != VALUE_NUMBER && !config_key_expect(l, k, v, VALUE_STRING))
		return false;
	snprintf(number, sizeof(number), "%lld", (long long)v->number);
	if (text_port_range(v->kind == VALUE_NUMBER ? number : v->string, out, why))
		return true;
	config_key_refuse(l, k, v, why);
	return false;
}

void config_set_ports(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct config_outside *out = &l->c->outside;
	uint32_t n;
	const struct value *entry = config_list_entries(v, &n);

	if (config_list_is_empty(l, k, v))
		return;
	out->ports_given = true;
	out->ports = loader_alloc(l, n, sizeof(*out->ports));
	l->port_lines = loader_alloc(l, n, sizeof(*l->port_lines));
	for (uint32_t i = 0; out->ports && l->port_lines && i < n; i++) {
		if (!config_read_ports(l, k, &entry[i], &out->ports[out->n_ports]))
			continue;
		l->port_lines[out->n_ports++] = entry[i].line;
	}
}

/* ---- prefixes ---- */

struct prefix_list config_read_prefixes(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct prefix_list list = {0};
	uint32_t n;
	const struct value *entry = config_list_entries(v, &n);
	char why[TEXT_WHY_SIZE];

	list.prefixes = loader_alloc(l, n, sizeof(*list.prefixes));
	list.lines = loader_alloc(l, n, sizeof(*list.lines));
	for (uint32_t i = 0; list.prefixes && list.lines && i < n; i++) {
		if (!config_key_expect(l, k, &entry[i], VALUE_STRING))
			continue;
		if (text_prefix(entry[i].string, &list.prefixes[list.n], why))
			list.lines[list.n++] = entry[i].line;
		else
			config_key_refuse(l, k, &entry[i], why);
	}
	return list;
}

void config_set_prefixes(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct prefix_list list;

	l->c->inside.line = v->line;
	if (config_list_is_empty(l, k, v))
		return;
	list = config_read_prefixes(l, k, v);
	l->c->inside.prefixes = list.prefixes;
	l->c->inside.n_prefixes = list.n;
	l->prefix_lines = list.lines;
}

void config_set_exempt(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct prefix_list list = config_read_prefixes(l, k, v);

	l->c->inside.exempt = list.prefixes;
	l->c->inside.n_exempt = list.n;
	l->exempt_lines = list.lines;
}
