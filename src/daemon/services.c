/* SPDX-License-Identifier: ISC */
/* The backends of balanced forwards, see services.h. */
#include "services.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "daemon/config/config_text.h"
#include "daemon/health/health.h"
#include "daemon/path/dataplane.h"
#include "natd.h"

struct service_checked {
	char forward[NAT_FORWARD_NAME_MAX + 1];
	struct nat_backend backend;
};

enum { LINE_SIZE = 96, HOST_SIZE = TEXT_ADDRESS_SIZE + 6 };

static const char *host_text(char out[HOST_SIZE], const struct nat_backend *b)
{
	char address[TEXT_ADDRESS_SIZE];

	snprintf(out, HOST_SIZE, "%s:%u", text_of_address(address, b->address), b->port);
	return out;
}

/* ---- the file ---- */

typedef void closed_fn(void *ctx, const struct nat_forward *f, const struct nat_backend_view *v);

static void for_each_backend(const struct natd *n, closed_fn *fn, void *ctx)
{
	const struct nat_policy *p = nat_policy_get(n->nat);
	struct nat_backend_view v;

	for (uint32_t i = 0; i < p->n_forwards; i++) {
		for (uint32_t k = 0; nat_backend_view(n->nat, i, k, &v); k++)
			fn(ctx, &p->forwards[i], &v);
	}
}

static void write_closed(void *ctx, const struct nat_forward *f, const struct nat_backend_view *v)
{
	char host[HOST_SIZE];

	if (v->closed & BACKEND_DOWN)
		fprintf(ctx, "down %s %s\n", f->name, host_text(host, &v->backend));
	if (v->closed & BACKEND_DRAINED)
		fprintf(ctx, "drained %s %s\n", f->name, host_text(host, &v->backend));
}

static int write_file(const struct natd *n, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	int failed;

	if (f == NULL) {
		failed = errno;
		if (fd >= 0)
			close(fd);
		return -failed;
	}
	for_each_backend(n, write_closed, f);
	failed = ferror(f);
	return fclose(f) != 0 || failed ? -EIO : 0;
}

static void save(const struct natd *n)
{
	char temporary[RUNDIR_PATH_MAX + 4];
	int r;

	if (n->services.path[0] == '\0')
		return;
	snprintf(temporary, sizeof(temporary), "%s.new", n->services.path);
	(void)unlink(temporary);
	r = write_file(n, temporary);
	if (r == 0 && rename(temporary, n->services.path) < 0)
		r = -errno;
	if (r < 0)
		log_write(LEVEL_WARNING, SUB_MAIN, -r,
			  "%s cannot be written: which backends are down or drained will be lost at a restart",
			  n->services.path);
}

/* Applies one line of the file; lines that cannot be parsed are skipped. */
static void restore_line(struct natd *n, char *line)
{
	struct nat_backend b = {.weight = 1};
	char why[TEXT_WHY_SIZE], *rest = NULL;
	const char *what = strtok_r(line, " \n", &rest);
	const char *forward = strtok_r(NULL, " \n", &rest), *host = strtok_r(NULL, " \n", &rest);

	if (what == NULL || forward == NULL || host == NULL || !text_endpoint(host, &b.address, &b.port, why))
		return;
	if (strcmp(what, "down") == 0)
		nat_backend_set(n->nat, forward, &b, BACKEND_DOWN, true, loop_now_ms(n->loop));
	else if (strcmp(what, "drained") == 0)
		nat_backend_set(n->nat, forward, &b, BACKEND_DRAINED, true, loop_now_ms(n->loop));
}

static void restore(struct natd *n)
{
	char line[LINE_SIZE];
	FILE *f = fopen(n->services.path, "re");

	while (f != NULL && fgets(line, sizeof(line), f))
		restore_line(n, line);
	if (f != NULL)
		fclose(f);
}

/* ---- changes ---- */

/* A long name is cut off: an event has 56 bytes of text. */
static void record(struct natd *n, const char *forward, const struct nat_backend *b, const char *what)
{
	struct event e = {.type = EVENT_BACKEND};
	char host[HOST_SIZE];

	snprintf(e.text, sizeof(e.text), "%.24s %s %s", forward, host_text(host, b), what);
	event_append(nat_events(n->nat), &e);
}

/* The caller calls save() after one or more changes. */
static enum nat_backend_change services_close(struct natd *n, const struct service_checked *b, uint8_t why, bool on)
{
	const char *what = why == BACKEND_DOWN ? (on ? "down" : "up") : on ? "drained" : "resumed";
	enum nat_backend_change r = nat_backend_set(n->nat, b->forward, &b->backend, why, on, loop_now_ms(n->loop));

	if (r != NAT_BACKEND_CHANGED)
		return r;
	record(n, b->forward, &b->backend, what);
	dataplane_step_soon(n->path.dataplane);
	return r;
}

static void on_change(void *ctx, uint32_t index, bool is_up, enum health_outcome outcome)
{
	struct natd *n = ctx;
	const struct service_checked *b = &n->services.checked[index];
	char host[HOST_SIZE];

	if (services_close(n, b, BACKEND_DOWN, !is_up) == NAT_BACKEND_CHANGED)
		log_known(LOG_ID_BACKEND, is_up ? LEVEL_NOTICE : LEVEL_WARNING, SUB_MAIN, 0,
			  "forward \"%s\": backend %s is %s: %s", b->forward, host_text(host, &b->backend),
			  is_up ? "up" : "down", health_outcome_text(outcome));
}

/* With thousands of backends that go down together, a file for each would stop natd for seconds. */
static void on_turn(void *ctx)
{
	save(ctx);
}

/* Finds the forward's only backend at that address, if no port was given. */
static bool find_port(const struct nat_forward *f, struct nat_backend *b)
{
	uint32_t found = 0;

	for (uint32_t i = 0; b->port == 0 && i < f->n_backends; i++) {
		if (f->backends[i].address == b->address && found++ == 0)
			b->port = f->backends[i].port;
	}
	return found <= 1;
}

static const struct nat_forward *find_forward(const struct nat_policy *p, const char *name)
{
	for (uint32_t i = 0; i < p->n_forwards; i++) {
		if (strcmp(p->forwards[i].name, name) == 0)
			return &p->forwards[i];
	}
	return NULL;
}

const char *services_order(struct natd *n, const struct ctl_backend_order *o, bool *changed)
{
	const struct nat_forward *f = find_forward(nat_policy_get(n->nat), o->forward);
	struct service_checked b = {.backend = {o->host.address, o->host.port, 1}};
	enum nat_backend_change r;

	*changed = false;
	if (f == NULL)
		return "there is no forward of that name: see natctl forwards";
	if (f->n_backends == 0)
		return "that forward leads to one host and has no backends: make its `to' a list";
	if (!find_port(f, &b.backend))
		return "that forward has several backends at this address: name the port as well";
	memcpy(b.forward, f->name, sizeof(b.forward));
	r = services_close(n, &b, BACKEND_DRAINED, o->drain);
	if (r == NAT_BACKEND_UNKNOWN)
		return "that forward has no such backend: see natctl forwards";
	*changed = r == NAT_BACKEND_CHANGED;
	if (*changed)
		save(n);
	return NULL;
}

/* ---- the list of checks ---- */

static uint32_t count_checked(const struct natd_config *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n_forwards; i++)
		n += c->checks != NULL && c->checks[i].type != CHECK_NONE ? c->forwards[i].n_backends : 0;
	return n;
}

/* *changed: a backend that is no longer checked was down. */
static void add_checked(struct natd *n, uint32_t forward, struct health_target *targets, bool *changed)
{
	const struct nat_forward *f = &n->config->forwards[forward];
	struct services *s = &n->services;
	struct nat_backend_view v;

	for (uint32_t k = 0; nat_backend_view(n->nat, forward, k, &v); k++) {
		struct service_checked b = {.backend = v.backend};

		memcpy(b.forward, f->name, sizeof(b.forward));
		if (n->config->checks[forward].type == CHECK_NONE) {
			*changed |= services_close(n, &b, BACKEND_DOWN, false) == NAT_BACKEND_CHANGED;
			continue;
		}
		targets[s->n_checked] = (struct health_target){.address = v.backend.address,
							       .port = v.backend.port,
							       .is_up = (v.closed & BACKEND_DOWN) == 0,
							       .check = n->config->checks[forward]};
		s->checked[s->n_checked++] = b;
	}
}

void services_follow(struct natd *n)
{
	struct services *s = &n->services;
	uint32_t room = count_checked(n->config);
	bool changed = false;
	struct health_target *targets = calloc((size_t)room + 1, sizeof(*targets));
	struct service_checked *checked = calloc((size_t)room + 1, sizeof(*checked));

	if (targets == NULL || checked == NULL) {
		log_error(SUB_MAIN, "no memory for the list of backends: natd continues to check the previous ones; "
				    "reload when there is memory");
		free(targets);
		free(checked);
		return;
	}
	free(s->checked);
	s->checked = checked;
	s->n_checked = 0;
	for (uint32_t i = 0; i < n->config->n_forwards; i++)
		add_checked(n, i, targets, &changed);
	if (changed)
		save(n);
	if (!health_set(s->health, targets, s->n_checked))
		log_warning(SUB_MAIN, "no process checks the backends: they keep their state; restart natd");
	free(targets);
}

/* ---- start and stop ---- */

/* Runs in the forked processes. */
static int confine(void *ctx, enum health_process which)
{
	struct natd *n = ctx;
	int r = which == HEALTH_KEEPER ? privs_renounce(&n->sandbox.privs) : 0;

	if (r == 0)
		r = seccomp_confine(n->services.filters[which]);
	return r == -EINVAL || r == -ENOSYS ? 0 : r; /* a kernel without filters, as for natd itself */
}

static void free_filters(struct services *s)
{
	for (unsigned i = 0; i <= HEALTH_PROBER; i++) {
		seccomp_free(s->filters[i]);
		s->filters[i] = NULL;
	}
}

void services_fork(struct natd *n)
{
	struct services *s = &n->services;
	int r = seccomp_prepare(&s->filters[HEALTH_KEEPER], SECCOMP_KEEPER);

	if (r == 0)
		r = seccomp_prepare(&s->filters[HEALTH_PROBER], SECCOMP_HEALTH);
	if (r == 0)
		s->health = health_start(confine, n);
	if (s->health == NULL)
		log_write(LEVEL_WARNING, SUB_MAIN, r < 0 ? -r : errno,
			  "cannot start the process that checks backends: all count as up");
	free_filters(s);
	n->control.health = s->health;
}

void services_begin(struct natd *n)
{
	struct services *s = &n->services;

	rundir_beside(n->setup->config->control.socket, "services", s->path);
	restore(n);
	if (s->health != NULL && !health_listen(s->health, n->loop, on_change, on_turn, n))
		log_error(SUB_MAIN, "no memory to listen to the process that checks backends");
	services_follow(n);
}

void services_end(struct natd *n)
{
	n->control.health = NULL;
	health_stop(n->services.health);
	free_filters(&n->services);
	free(n->services.checked);
	n->services = (struct services){0};
}
