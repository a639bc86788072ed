/* SPDX-License-Identifier: ISC */
/*
 * systemd runs a restart as a job of that type: the job stays queued, visibly, until the unit has stopped; only then it
 * turns into a start. The bus is used without blocking calls, since those would wait for a hanging bus daemon as long
 * as authentication may take (90 s). Any user may read these properties.
 */
#include "sdbus.h"

#include <stddef.h>

#ifdef HAVE_LIBSYSTEMD
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include "daemon/base/log.h"

#define FUNCTIONS(X)               \
	X(call_method_async)       \
	X(close)                   \
	X(message_enter_container) \
	X(message_is_method_error) \
	X(message_read)            \
	X(open_system)             \
	X(process)                 \
	X(unref)                   \
	X(wait)

#define AS_MEMBER(name) __typeof__(sd_bus_##name) *name;
#define AS_PLACE(name)	{"sd_bus_" #name, offsetof(struct sdbus, name)},

struct sdbus {
	FUNCTIONS(AS_MEMBER)
};

static const struct {
	const char *name;
	size_t offset;
} places[] = {FUNCTIONS(AS_PLACE)};

const struct sdbus *sdbus_open(void)
{
	static struct sdbus bus;
	void *library = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);

	if (!library) {
		log_info(SUB_SERVICE, "without libsystemd a restart looks like a stop: %s", dlerror());
		return NULL;
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		void *found = dlsym(library, places[i].name);

		if (!found) {
			log_warning(SUB_SERVICE,
				    "libsystemd.so.0 has no %s, so that a restart looks like a stop: "
				    "install libsystemd 221 or later",
				    places[i].name);
			return NULL;
		}
		memcpy((char *)&bus + places[i].offset, &found, sizeof(found));
	}
	return &bus;
}

static uint64_t monotonic_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

enum { BUS_PATH_MAX = 256 };

/* A property of the manager's objects, as the answer arrives. */
struct answer {
	const struct sdbus *bus;
	bool is_there;
	const char *type;	 /* expected type: "s", or "(uo)", of which the path is used */
	char text[BUS_PATH_MAX]; /* "": an error, or another type than expected */
};

static int on_answer(sd_bus_message *m, void *ctx, sd_bus_error *error)
{
	struct answer *a = ctx;
	const struct sdbus *b = a->bus;
	const char *text = NULL;
	uint32_t id;
	int r = b->message_is_method_error(m, NULL) ? -1 : b->message_enter_container(m, 'v', a->type);

	(void)error;
	if (r >= 0)
		r = a->type[0] == '(' ? b->message_read(m, "(uo)", &id, &text) : b->message_read(m, "s", &text);
	snprintf(a->text, sizeof(a->text), "%s", r >= 0 && text ? text : "");
	a->is_there = true;
	return 0;
}

struct property {
	const char *path, *interface, *name, *type;
};

/* Fills `text` before `until_us`. False: the property does not exist, or no answer came. */
static bool get_property(const struct sdbus *b, sd_bus *bus, const struct property *p, uint64_t until_us,
			 char text[BUS_PATH_MAX])
{
	struct answer a = {.bus = b, .type = p->type};
	int r = b->call_method_async(bus, NULL, "org.freedesktop.systemd1", p->path, "org.freedesktop.DBus.Properties",
				     "Get", on_answer, &a, "ss", p->interface, p->name);

	while (r >= 0 && !a.is_there) {
		uint64_t now_us = monotonic_us();

		r = b->process(bus, NULL);
		if (r == 0)
			r = now_us < until_us ? b->wait(bus, until_us - now_us) : -1;
	}
	memcpy(text, a.text, BUS_PATH_MAX);
	return a.is_there && text[0];
}

bool sdbus_is_restarting(const struct sdbus *b, uint32_t ms)
{
	struct property job = {"/org/freedesktop/systemd1/unit/self", "org.freedesktop.systemd1.Unit", "Job", "(uo)"};
	struct property type = {NULL, "org.freedesktop.systemd1.Job", "JobType", "s"};
	uint64_t until_us = monotonic_us() + (uint64_t)ms * 1000;
	char path[BUS_PATH_MAX], found[BUS_PATH_MAX] = "";
	sd_bus *bus = NULL;

	if (b->open_system(&bus) < 0)
		return false;
	if (get_property(b, bus, &job, until_us, path)) {
		type.path = path;
		get_property(b, bus, &type, until_us, found);
	}
	b->close(bus);
	b->unref(bus);
	return strcmp(found, "restart") == 0;
}
#else
const struct sdbus *sdbus_open(void)
{
	return NULL;
}

bool sdbus_is_restarting(const struct sdbus *b, uint32_t ms)
{
	(void)b;
	(void)ms;
	return false;
}
#endif
