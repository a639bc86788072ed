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
	for (uint32_t i = 0; c->classes && i < v->n_children; i++)
		read_class(l, &v->children[i]);
}
