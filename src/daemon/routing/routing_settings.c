/* SPDX-License-Identifier: ISC */
/*
 * The part of managed routing that has a memory: settings under /proc/sys. The original of each is written to
 * the state file before the first is changed, so a crash at any moment leaves enough to put them all back.
 */
#include <errno.h>
#include <string.h>

#include "routing_private.h"

int routing_state_store(struct routing *r)
{
	int rc = r->state_path ? sysctl_state_store(r->state_path, &r->state) : 0;

	return rc < 0 ? routing_fail(r, rc, "cannot write %s: %s", r->state_path, strerror(-rc)) : 0;
}

int routing_settings_remember(struct routing *r)
{
	struct sysctl_state *s = &r->state;
	bool is_new = false;
	uint32_t i;

	for (i = 0; i < r->plan.n_objects; i++) {
		const struct routing_object *o = &r->plan.objects[i];
		struct sysctl_saved *v;
		int32_t now;
		int rc;

		if (o->kind != ROUTING_SYSCTL || !o->sysctl.keep || sysctl_state_find(s, o->sysctl.name))
			continue;
		rc = sysctl_read(o->sysctl.name, &now);
		if (rc == -ENOENT || (rc == 0 && now == o->sysctl.value))
			continue;
		if (rc < 0) /* what cannot be remembered is not changed */
			return routing_fail(r, rc, "cannot read /proc/sys/%s: %s", o->sysctl.name, strerror(-rc));
		if (s->n_saved == SYSCTL_SAVED_MAX)
			return routing_fail(r, -ENOSPC, "more than %d interfaces", SYSCTL_SAVED_MAX);
		v = &s->saved[s->n_saved++];
		*v = (struct sysctl_saved){.original = now, .set = o->sysctl.value};
		memcpy(v->name, o->sysctl.name, sizeof(v->name));
		is_new = true;
	}
	return is_new ? routing_state_store(r) : 0;
}

int routing_setting_apply(struct routing *r, const struct routing_object *o)
{
	int32_t now;
	int rc = sysctl_read(o->sysctl.name, &now);

	if (rc == 0 && now == o->sysctl.value)
		return 0;
	if (rc == 0)
		rc = sysctl_write(o->sysctl.name, o->sysctl.value);
	/* An interface that is not there yet gets its settings when it comes. */
	if (o->sysctl.optional || (rc == -ENOENT && o->sysctl.keep))
		return 0;
	if (rc < 0)
		return routing_fail(r, rc, "cannot set /proc/sys/%s to %d: %s%s", o->sysctl.name, o->sysctl.value,
				    strerror(-rc), routing_hint(rc));
	r->changes++;
	return 0;
}

static bool plan_has_setting(const struct routing_plan *p, const char *name)
{
	uint32_t i;

	for (i = 0; i < p->n_objects; i++) {
		if (p->objects[i].kind == ROUTING_SYSCTL && strcmp(p->objects[i].sysctl.name, name) == 0)
			return true;
	}
	return false;
}

int routing_settings_restore(struct routing *r)
{
	struct sysctl_state *s = &r->state;
	uint32_t before = s->n_saved;
	uint32_t i = 0;
	int32_t now;
	int rc = 0;

	while (i < s->n_saved) {
		struct sysctl_saved *v = &s->saved[i];
		int err;

		if (plan_has_setting(&r->plan, v->name)) {
			i++;
			continue;
		}
		err = sysctl_read(v->name, &now);
		if (err == 0 && now == v->set)
			err = sysctl_write(v->name, v->original);
		if (err < 0 && err != -ENOENT) { /* kept for the next attempt; a setting that is gone needs none */
			rc = routing_fail(r, err, "cannot restore /proc/sys/%s to %d: %s%s", v->name, v->original,
					  strerror(-err), routing_hint(err));
			i++;
			continue;
		}
		*v = s->saved[--s->n_saved];
	}
	r->changes += before - s->n_saved;
	if (before != s->n_saved)
		(void)routing_state_store(r);
	return rc;
}
