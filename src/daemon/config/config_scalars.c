/* SPDX-License-Identifier: ISC */
/* Keys with a single value: each setter checks it and stores it at the offset in its row of the table. */
#include <stdlib.h>
#include <string.h>

#include "config_internal.h"
#include "config_text.h"

enum { MSS_MIN = 88, MSS_MAX = 65495 };

_Static_assert(sizeof(enum nat_mapping_mode) == sizeof(int), "choices are stored as int");

static void *field(struct natd_config *c, const struct config_key *k)
{
	return (char *)c + k->offset;
}

static void store_int(struct natd_config *c, const struct config_key *k, int value)
{
	memcpy(field(c, k), &value, sizeof(value));
}

static void store_number(struct natd_config *c, const struct config_key *k, uint32_t value)
{
	memcpy(field(c, k), &value, sizeof(value));
}

void config_set_truth(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	bool value = v->number != 0;

	if (config_key_expect(l, k, v, VALUE_TRUTH))
		memcpy(field(l->c, k), &value, sizeof(value));
}

void config_set_number(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	char path[64];

	if (!config_key_expect(l, k, v, VALUE_NUMBER))
		return;
	config_key_path(k, path, sizeof(path));
	if ((v->number < k->min || v->number > k->max) && !(k->zero_too && v->number == 0)) {
		loader_error(l, v->line, "%s is %lld: it must be %sbetween %lld and %lld%s", path, (long long)v->number,
			     k->zero_too ? "0 or " : "", (long long)k->min, (long long)k->max, k->unit);
		return;
	}
	store_number(l->c, k, (uint32_t)v->number);
	if (k->advice && v->number < k->advised)
		loader_warning(l, v->line, "%s is %lld%s: %s requires at least %lld", path, (long long)v->number,
			       k->unit, k->advice, (long long)k->advised);
}

static void refuse_choice(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	char why[TEXT_WHY_SIZE] = "is not known: choose";
	size_t used = strlen(why);

	for (const struct config_choice *c = k->choices; c->word && used < sizeof(why); c++)
		used += (size_t)snprintf(why + used, sizeof(why) - used, "%s \"%s\"",
					 c == k->choices ? ""
					 : c[1].word	 ? ","
							 : " or",
					 c->word);
	config_key_refuse(l, k, v, why);
}

void config_set_choice(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (!config_key_expect(l, k, v, VALUE_STRING))
		return;
	for (const struct config_choice *c = k->choices; c->word; c++) {
		if (strcmp(c->word, v->string) == 0) {
			store_int(l->c, k, c->value);
			return;
		}
	}
	refuse_choice(l, k, v);
}

void config_set_interface(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	char why[TEXT_WHY_SIZE];

	if (!config_key_expect(l, k, v, VALUE_STRING))
		return;
	if (text_interface(v->string, why))
		snprintf(field(l->c, k), CONFIG_IFNAME_SIZE, "%s", v->string);
	else
		config_key_refuse(l, k, v, why);
}

void config_set_outside_interface(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	l->c->outside.line = v->line;
	config_set_interface(l, k, v);
}

/* "auto", "off", or bytes: Linux does not use an MSS below 88 (TCP_MIN_MSS), and one above 65535 - 40 fits no
 * packet. */
void config_set_mss_clamp(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (v->kind == VALUE_NUMBER && v->number >= MSS_MIN && v->number <= MSS_MAX)
		store_int(l->c, k, (int)v->number);
	else if (v->kind == VALUE_NUMBER)
		config_key_refuse(l, k, v, "is out of range: write 88 to 65495 bytes, \"auto\" or \"off\"");
	else if (v->kind == VALUE_STRING && strcmp(v->string, "auto") == 0)
		store_int(l->c, k, MSS_CLAMP_AUTO);
	else if (v->kind == VALUE_STRING && strcmp(v->string, "off") == 0)
		store_int(l->c, k, MSS_CLAMP_OFF);
	else if (config_key_expect(l, k, v, VALUE_STRING))
		config_key_refuse(l, k, v,
				  "is not known: write \"auto\", \"off\", or a number of bytes without quotes");
}

/* "auto", or a percentage. */
void config_set_reserve(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (v->kind == VALUE_NUMBER && v->number >= 0 && v->number <= RESERVE_MAX)
		store_int(l->c, k, (int)v->number);
	else if (v->kind == VALUE_NUMBER)
		config_key_refuse(l, k, v, "is out of range: write 0 to 50 percent, or \"auto\"");
	else if (v->kind == VALUE_STRING && strcmp(v->string, "auto") == 0)
		store_int(l->c, k, RESERVE_AUTO);
	else if (config_key_expect(l, k, v, VALUE_STRING))
		config_key_refuse(l, k, v, "is not known: write \"auto\", or a number of percent without quotes");
}

void config_set_socket(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (!config_key_expect(l, k, v, VALUE_STRING))
		return;
	if (v->string[0] != '/')
		config_key_refuse(l, k, v, "must be an absolute path: start it with \"/\"");
	else if (strlen(v->string) >= CONFIG_SOCKET_SIZE)
		config_key_refuse(l, k, v, "is too long: the path of a socket has at most 107 bytes");
	else
		snprintf(field(l->c, k), CONFIG_SOCKET_SIZE, "%s", v->string);
}

void config_set_group(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	if (!config_key_expect(l, k, v, VALUE_STRING))
		return;
	if (strlen(v->string) >= CONFIG_GROUP_SIZE || strpbrk(v->string, ": \t\n,"))
		config_key_refuse(l, k, v, "is not the name of a group");
	else
		snprintf(field(l->c, k), CONFIG_GROUP_SIZE, "%s", v->string);
}

/* The client that uses the server resolves its name. */
void config_set_server(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	char why[TEXT_WHY_SIZE];
	struct nat_range port;
	size_t len;

	if (!config_key_expect(l, k, v, VALUE_STRING))
		return;
	len = strspn(v->string, allowed);
	if (len == 0 || strlen(v->string) >= CONFIG_SERVER_SIZE ||
	    (v->string[len] &&
	     (v->string[len] != ':' || !text_port_range(v->string + len + 1, &port, why) || port.first != port.last)))
		config_key_refuse(l, k, v, "is not HOST or HOST:PORT");
	else
		snprintf(field(l->c, k), CONFIG_SERVER_SIZE, "%s", v->string);
}

void config_set_mode(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	char why[TEXT_WHY_SIZE];
	uint32_t mode;

	if (v->kind == VALUE_NUMBER) {
		config_key_refuse(l, k, v, "must be in quotes, as it is octal: write \"0660\"");
		return;
	}
	if (!config_key_expect(l, k, v, VALUE_STRING))
		return;
	if (!text_mode(v->string, &mode, why)) {
		config_key_refuse(l, k, v, why);
		return;
	}
	store_number(l->c, k, mode);
	if (mode & 02)
		loader_warning(l, v->line,
			       "control.mode is \"%s\": every user of this host may then ask natd for its sessions",
			       v->string);
}

/* ---- defaults ---- */

/* A default in quotes is stored by the key's own setter, like a word from the file. */
static void set_default_word(struct natd_config *c, const struct config_key *k)
{
	struct config_report nothing = {0};
	struct config_loader l = {.c = c, .report = &nothing, .file = ""};
	char word[CONFIG_SOCKET_SIZE + 2];
	struct value v = {.kind = VALUE_STRING, .string = word};

	snprintf(word, sizeof(word), "%s", k->text + 1);
	word[strlen(word) - 1] = '\0';
	k->set(&l, k, &v);
	config_report_fini(&nothing);
}

void config_keys_defaults(struct natd_config *c)
{
	size_t n;
	const struct config_key *k = config_keys(&n);
	bool yes = true;

	for (; n > 0; n--, k++) {
		if (k->type == TYPE_TRUTH && k->standard)
			memcpy(field(c, k), &yes, sizeof(yes));
		else if (k->type == TYPE_CHOICE)
			store_int(c, k, (int)k->standard);
		else if (k->type == TYPE_NUMBER)
			store_number(c, k, (uint32_t)k->standard);
		else if (k->type == TYPE_STRING && k->text[0] == '"')
			set_default_word(c, k);
	}
	c->outside.share_interface_address = true; /* the list's default */
	c->web.listen[0] = (struct config_listener){.address = {127, 0, 0, 1}, .port = 9642};
	c->web.n_listen = 1;
}
