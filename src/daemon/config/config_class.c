/* SPDX-License-Identifier: ISC */
/* Classes of inside hosts with limits of their own. */
#include <stdlib.h>
#include <string.h>

#include "config_internal.h"
#include "config_text.h"

struct class_draft {
	struct nat_host_class c;
	struct nat_prefix *prefixes; /* owned until the draft becomes a class */
	bool has_prefixes;	     /* the key is present, right or wrong */
	bool failed;		     /* a key was wrong and has been reported */
};

void config_set_class_name(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (!config_key_expect(l, k, v, VALUE_STRING)) {
		l->class_draft->failed = true;
	} else if (!text_name(v->string)) {
		config_key_refuse(l, k, v, TEXT_NAME_FAULT);
		l->class_draft->failed = true;
	} else {
		memcpy(l->class_draft->c.name, v->string, strlen(v->string) + 1);
	}
}

void config_set_class_prefixes(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct prefix_list list = config_read_prefixes(l, k, v);
	uint32_t n;

	free(list.lines);
	config_list_entries(v, &n);
	l->class_draft->prefixes = list.prefixes;
	l->class_draft->c.n_prefixes = list.n;
	l->class_draft->has_prefixes = n > 0;
	l->class_draft->failed |= list.n != n;
}

void config_set_class_limit(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	uint32_t value = (uint32_t)v->number;

	if (!config_key_expect(l, k, v, VALUE_NUMBER)) {
		l->class_draft->failed = true;
	} else if (v->number < k->min || v->number > k->max) {
		char path[64];

		loader_error(l, v->line, "%s is %lld: it must be between %lld and %lld",
			     config_key_path(k, path, sizeof(path)), (long long)v->number, (long long)k->min,
			     (long long)k->max);
		l->class_draft->failed = true;
	} else {
		memcpy((char *)&l->class_draft->c.limits + k->offset, &value, sizeof(value));
	}
}

static void read_class(struct config_loader *l, const struct value *v)
{
	struct class_draft draft = {
		.c.limits = {HOST_LIMIT_AS_ALL, HOST_LIMIT_AS_ALL, HOST_LIMIT_AS_ALL, HOST_LIMIT_AS_ALL}};
	struct natd_config *c = l->c;

	if (v->kind != VALUE_GROUP) {
		loader_error(l, v->line, "a class must be a group in braces, not %s: write { prefixes = [ ... ]; ... }",
			     value_kind_name(v->kind));
		return;
	}
	l->class_draft = &draft;
	config_keys_read(l, "classes", v);
	if (!draft.has_prefixes) {
		loader_error(l, v->line,
			     "this class has no prefixes: name its inside hosts, prefixes = [ \"10.8.0.0/28\" ];");
		draft.failed = true;
	}
	if (!draft.failed) {
		c->classes[c->n_classes] = draft.c;
		c->class_lines[c->n_classes] = v->line;
		c->classes[c->n_classes++].prefixes = draft.prefixes;
		draft.prefixes = NULL;
	}
	free(draft.prefixes);
	l->class_draft = NULL;
}

void config_set_classes(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct natd_config *c = l->c;

	if (!config_key_expect(l, k, v, VALUE_LIST))
		return;
	if (v->n_children > CONFIG_CLASSES_MAX) {
		loader_error(l, v->line, "%u classes are too many: there can be %d", v->n_children, CONFIG_CLASSES_MAX);
		return;
	}
	c->classes = loader_alloc(l, v->n_children, sizeof(*c->classes));
	c->class_lines = loader_alloc(l, v->n_children, sizeof(*c->class_lines));
	for (uint32_t i = 0; c->classes && c->class_lines && i < v->n_children; i++)
		read_class(l, &v->children[i]);
}

/* ---- checks ---- */

static bool has_inside_host(const struct natd_config *c, const struct nat_prefix *p)
{
	for (uint32_t i = 0; i < c->inside.n_prefixes; i++) {
		const struct nat_prefix *inside = &c->inside.prefixes[i];

		if (p->address <= text_prefix_last(inside) && inside->address <= text_prefix_last(p))
			return true;
	}
	return false;
}

/* Of the prefixes of the interfaces the file says nothing. */
void config_check_classes(struct config_loader *l)
{
	const struct natd_config *c = l->c;
	char text[TEXT_RANGE_SIZE];

	for (uint32_t i = 0; c->inside.n_prefixes > 0 && i < c->n_classes; i++) {
		const struct nat_host_class *x = &c->classes[i];

		for (uint32_t k = 0; k < x->n_prefixes; k++) {
			if (!has_inside_host(c, &x->prefixes[k]))
				loader_warning(l, c->class_lines[i],
					       "class%s%s%s: %s holds no inside host: correct it, or add it to "
					       "inside.prefixes",
					       x->name[0] != '\0' ? " \"" : "", x->name, x->name[0] != '\0' ? "\"" : "",
					       text_of_prefix(text, &x->prefixes[k]));
		}
	}
}
