/* SPDX-License-Identifier: ISC */
/* The group `web`, for natd-web: the addresses on which it listens. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "config_internal.h"
#include "config_text.h"

enum { ADDRESS_MAX = 64 };

/* Splits "ADDRESS:PORT" or "[ADDRESS]:PORT" at its last colon. False: there is none, or the address is too long. */
static bool split(const char *s, char address[ADDRESS_MAX], const char **port)
{
	const char *colon = strrchr(s, ':');
	size_t len = colon ? (size_t)(colon - s) : 0;

	if (!colon || len == 0)
		return false;
	if (s[0] == '[' && s[len - 1] == ']') {
		s++;
		len -= 2;
	} else if (memchr(s, ':', len)) {
		return false; /* an IPv6 address without brackets */
	}
	if (len >= ADDRESS_MAX)
		return false;
	memcpy(address, s, len);
	address[len] = '\0';
	*port = colon + 1;
	return true;
}

bool text_listener(const char *s, struct config_listener *out, char why[TEXT_WHY_SIZE])
{
	struct config_listener l = {0};
	char address[ADDRESS_MAX];
	const char *port;

	if (!split(s, address, &port)) {
		snprintf(why, TEXT_WHY_SIZE,
			 "is not ADDRESS:PORT: write \"127.0.0.1:9642\", or an IPv6 address as \"[::1]:9642\"");
		return false;
	}
	l.is_ipv6 = s[0] == '[';
	if (inet_pton(l.is_ipv6 ? AF_INET6 : AF_INET, address, l.address) != 1) {
		snprintf(why, TEXT_WHY_SIZE, "does not begin with an address of this host (names are not looked up)");
		return false;
	}
	if (!text_port(port, &l.port)) {
		snprintf(why, TEXT_WHY_SIZE, "does not end in a port: 1 to 65535");
		return false;
	}
	*out = l;
	return true;
}

const char *text_of_listener(char out[TEXT_LISTENER_SIZE], const struct config_listener *l)
{
	char address[INET6_ADDRSTRLEN];

	inet_ntop(l->is_ipv6 ? AF_INET6 : AF_INET, l->address, address, sizeof(address));
	snprintf(out, TEXT_LISTENER_SIZE, l->is_ipv6 ? "[%s]:%u" : "%s:%u", address, l->port);
	return out;
}

bool config_listener_is_loopback(const struct config_listener *l)
{
	static const uint8_t loopback6[16] = {[15] = 1};

	return l->is_ipv6 ? memcmp(l->address, loopback6, sizeof(loopback6)) == 0 : l->address[0] == 127;
}

static bool has_listener(const struct config_web *w, const struct config_listener *l)
{
	for (uint32_t i = 0; i < w->n_listen; i++) {
		const struct config_listener *other = &w->listen[i];

		if (other->is_ipv6 == l->is_ipv6 && other->port == l->port &&
		    memcmp(other->address, l->address, sizeof(l->address)) == 0)
			return true;
	}
	return false;
}

static void add_listener(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	struct config_web *w = &l->c->web;
	struct config_listener new;
	char why[TEXT_WHY_SIZE];

	if (!config_key_expect(l, k, v, VALUE_STRING))
		return;
	if (!text_listener(v->string, &new, why))
		config_key_refuse(l, k, v, why);
	else if (has_listener(w, &new))
		config_key_refuse(l, k, v, "is named twice");
	else if (w->n_listen == CONFIG_LISTEN_MAX)
		config_key_refuse(l, k, v, "is one too many: there may be 16");
	else
		w->listen[w->n_listen++] = new;
}

void config_set_listen(struct config_loader *l, const struct config_key *k, const struct value *v)
{
	uint32_t n;
	const struct value *entry = config_list_entries(v, &n);

	if (config_list_is_empty(l, k, v))
		return;
	l->c->web.n_listen = 0;
	for (uint32_t i = 0; i < n; i++)
		add_listener(l, k, &entry[i]);
}
