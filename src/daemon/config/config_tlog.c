/* SPDX-License-Identifier: ISC */
/* The group `translation_log`. natd-log reads it; natd reads it to keep the events that natd-log needs. */
#include <stdio.h>
#include <string.h>

#include "common/ctlevent.h"
#include "config_internal.h"
#include "config_text.h"

#define TARGETS                                                                                                      \
	"is not known: write \"none\", \"journal\", \"file:/PATH\", \"syslog:HOST:PORT\", \"syslog+tcp:HOST:PORT\" " \
	"or "                                                                                                        \
	"\"ipfix:HOST:PORT\""

static const struct {
	const char *prefix;
	enum config_tlog_target target;
} kinds[] = {
	{"file:", TLOG_FILE},
	{"syslog:", TLOG_SYSLOG_UDP},
	{"syslog+tcp:", TLOG_SYSLOG_TCP},
	{"ipfix:", TLOG_IPFIX},
};

/* Parses "HOST:PORT" or "[ADDRESS]:PORT". Returns NULL, or what is wrong. */
static const char *read_server(struct config_tlog *t, const char *s)
{
	const char *colon = strrchr(s, ':');
	size_t len = colon ? (size_t)(colon - s) : 0;

	if (len == 0)
		return "does not end in HOST:PORT";
	if (!text_port(colon + 1, &t->port))
		return "does not end in a port: 1 to 65535";
	if (s[0] == '[' && s[len - 1] == ']') {
		s++;
		len -= 2;
	} else if (memchr(s, ':', len)) {
		return "has an IPv6 address without its brackets: write \"[2001:db8::1]:PORT\"";
	}
	if (len == 0 || len >= sizeof(t->place) || strspn(s, TEXT_NAME_CHARACTERS ":%") < len)
		return "names no host: write a name or an address";
	memcpy(t->place, s, len);
	t->place[len] = '\0';
	return NULL;
}

/* Returns NULL, or what is wrong. The file system is not accessed. */
static const char *read_path(struct config_tlog *t, const char *s)
{
	size_t len = strlen(s);

	if (s[0] != '/' || s[len - 1] == '/')
		return "must name a file by its whole path, as \"file:/var/log/natd/translations.log\"";
	if (len >= sizeof(t->place))
		return "has too long a path";
	memcpy(t->place, s, len + 1);
	return NULL;
}

static const char *read_target(struct config_tlog *t, const char *s)
{
	t->place[0] = '\0';
	t->port = 0;
	t->target = strcmp(s, "journal") == 0 ? TLOG_JOURNAL : TLOG_NONE;
	if (t->target == TLOG_JOURNAL || strcmp(s, "none") == 0)
		return NULL;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = strlen(kinds[i].prefix);

		if (strncmp(s, kinds[i].prefix, len) != 0)
			continue;
		t->target = kinds[i].target;
		return t->target == TLOG_FILE ? read_path(t, s + len) : read_server(t, s + len);
	}
	return TARGETS;
}

void config_set_tlog_target(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct config_tlog t = l->c->translation_log;
	const char *why;

	if (!config_key_expect(l, k, v, VALUE_STRING))
		return;
	why = read_target(&t, v->string);
	if (why)
		config_key_refuse(l, k, v, why);
	else
		l->c->translation_log = t;
}

enum config_tlog_what config_tlog_what(const struct natd_config *c)
{
	if (c->translation_log.what != TLOG_AUTO)
		return c->translation_log.what;
	return c->translation.allocation == ALLOCATION_PORT ? TLOG_MAPPINGS : TLOG_BLOCKS;
}

uint32_t config_tlog_kinds(const struct natd_config *c)
{
	if (c->translation_log.target == TLOG_NONE)
		return 0;
	switch (config_tlog_what(c)) {
	case TLOG_SESSIONS:
		return 1u << CTL_EVENT_NEW | 1u << CTL_EVENT_DESTROY;
	case TLOG_BLOCKS:
		return 1u << CTL_EVENT_BLOCK;
	case TLOG_AUTO:
	case TLOG_MAPPINGS:
		break;
	}
	return 1u << CTL_EVENT_MAPPING;
}

void config_check_tlog(struct config_loader *l)
{
	const struct config_tlog *t = &l->c->translation_log;
	enum config_tlog_what what = config_tlog_what(l->c);

	if (t->target == TLOG_NONE)
		return;
	if (t->destinations && what != TLOG_SESSIONS)
		loader_warning(l, loader_line(l, "translation_log", "destinations"),
			       "translation_log.destinations is true, and only sessions have one destination each: set "
			       "translation_log.what to \"sessions\", or leave destinations out");
	if (what == TLOG_BLOCKS && l->c->translation.allocation == ALLOCATION_PORT)
		loader_warning(l, loader_line(l, "translation_log", "what"),
			       "translation_log.what is \"blocks\", but ports do not come in blocks: nothing would be "
			       "logged; set translation.allocation, or log mappings");
	if (what == TLOG_BLOCKS && l->c->translation.allocation == ALLOCATION_DETERMINISTIC &&
	    l->c->blocks.overflow == 0)
		loader_warning(
			l, loader_line(l, "translation_log", "target"),
			"with deterministic allocation and no overflow blocks there is nothing to log: keep this "
			"file instead, `natctl who --config FILE' answers from it");
}
