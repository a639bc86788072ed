/* SPDX-License-Identifier: ISC */
/*
 * The part of managed routing with a memory: settings under /proc/sys. Each original value is written to the state file
 * before the first setting is changed, so a crash at any moment leaves enough to restore them all.
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

		if (o->kind != ROUTING_SYSCTL || !o->sysctl.keep)
			continue;
		v = sysctl_state_find(s, o->sysctl.name);
		if (v) { /* its true original; a natd that stopped may have left it closed */
			is_new |= v->set != o->sysctl.value;
			v->set = o->sysctl.value;
			continue;
		}
		rc = sysctl_read(o->sysctl.name, &now);
		/* Forwarding that is on already is saved too: natd may have to leave it off. */
		if (rc == -ENOENT || (rc == 0 && now == o->sysctl.value && !o->sysctl.closes))
			continue;
		if (rc < 0 && o->sysctl.optional)
			continue;
		if (rc < 0) /* a setting whose original cannot be saved is not changed */
			return routing_fail(r, rc, "cannot read /proc/sys/%s: %s", o->sysctl.name, strerror(-rc));
		if (s->n_saved == SYSCTL_SAVED_MAX)
			return routing_fail(r, -ENOSPC, "more than %d interfaces", SYSCTL_SAVED_MAX);
		v = &s->saved[s->n_saved++];
		*v = (struct sysctl_saved){.original = now, .set = o->sysctl.value, .closes = o->sysctl.closes};
		memcpy(v->name, o->sysctl.name, sizeof(v->name));
		is_new = true;
	}
	return is_new ? routing_state_store(r) : 0;
}

/* Does natd work with the current value of the setting, though the plan wants another one? */
static bool is_good_enough(const char *name, int32_t now)
{
	const char *tail = strrchr(name, '/');

	return tail && strcmp(tail, "/rp_filter") == 0 && now != 1; /* off and loose make no difference to natd */
}

int routing_setting_apply(struct routing *r, const struct routing_object *o)
{
	int32_t now = 0;
	int rc = sysctl_read(o->sysctl.name, &now);
	bool is_known = rc == 0;

	if (rc == 0 && now == o->sysctl.value)
		return 0;
	/* Without its original it could not be restored. */
	if (rc == 0 && o->sysctl.keep && o->sysctl.optional && !sysctl_state_find(&r->state, o->sysctl.name))
		return 0;
	if (rc == 0)
		rc = sysctl_write(o->sysctl.name, o->sysctl.value);
	if (rc < 0 && is_known && is_good_enough(o->sysctl.name, now))
		return 0;
	/* An interface that does not exist yet gets its settings when it appears. */
	if ((rc < 0 && o->sysctl.optional) || (rc == -ENOENT && o->sysctl.keep))
		return 0;
	if (rc == -EROFS && !o->sysctl.keep) /* of the TUN, which natd creates */
		return routing_fail(r, rc,
				    "cannot set /proc/sys/%s to %d: /proc/sys is read-only here; set "
				    "net.ipv4.conf.default.%s=%d for this network namespace before natd starts "
				    "(containers: --sysctl), or make /proc/sys writable",
				    o->sysctl.name, o->sysctl.value, strrchr(o->sysctl.name, '/') + 1, o->sysctl.value);
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

/* Is it forwarding of an inside interface that forwarded before natd? */
static bool is_closing(const struct sysctl_saved *v)
{
	return v->closes && v->original != 0;
}

/* Leaves forwarding off, and the original in the state file. */
static int hold_closed(struct routing *r, struct sysctl_saved *v)
{
	int rc = v->set == 0 ? 0 : sysctl_write(v->name, 0);

	if (rc < 0 && rc != -ENOENT)
		return routing_fail(r, rc, "cannot set /proc/sys/%s to 0: %s%s", v->name, strerror(-rc),
				    routing_hint(rc));
	r->changes += v->set != 0;
	v->set = 0;
	return 0;
}

static int put_back(struct routing *r, const struct sysctl_saved *v)
{
	int32_t now;
	int rc = sysctl_read(v->name, &now);

	if (rc == 0 && now == v->set)
		rc = sysctl_write(v->name, v->original);
	if (rc < 0 && rc != -ENOENT) /* kept for the next attempt; a setting that is gone needs none */
		return routing_fail(r, rc, "cannot restore /proc/sys/%s to %d: %s%s", v->name, v->original,
				    strerror(-rc), routing_hint(rc));
	return 0;
}

int routing_settings_restore(struct routing *r, enum routing_stop how)
{
	struct sysctl_state *s = &r->state;
	uint32_t before = s->n_saved;
	uint32_t i = 0;
	int rc = 0;

	while (i < s->n_saved) {
		struct sysctl_saved *v = &s->saved[i];
		bool holds = how == ROUTING_STOP_CLOSED && is_closing(v);
		int err = 0;

		if (!plan_has_setting(&r->plan, v->name))
			err = holds ? hold_closed(r, v) : put_back(r, v);
		rc = rc ? rc : err;
		if (holds || err < 0 || plan_has_setting(&r->plan, v->name))
			i++;
		else
			*v = s->saved[--s->n_saved];
	}
	r->changes += before - s->n_saved;
	if (before != s->n_saved)
		(void)routing_state_store(r);
	return rc;
}
