/* SPDX-License-Identifier: ISC */
/*
 * natctl public-address: how natd's outside addresses look from outside, by STUN.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "client/json.h"
#include "client/names.h"
#include "common/stun.h"
#include "filter.h"
#include "output.h"
#include "public.h"
#include "stun_probe.h"

enum { ADDRESSES_MAX = 64, SERVER_MAX = 256 };

/* ---- options ---- */

struct public_choice {
	const char *server; /* NULL: outside.stun of natd's configuration */
	uint32_t address;   /* 0: all of them */
};

static const char *set_server(struct natctl *n, void *target, const char *text)
{
	struct public_choice *c = target;

	(void)n;
	c->server = text;
	return text[0] && strlen(text) < SERVER_MAX ? NULL : "is not HOST or HOST:PORT";
}

static const char *set_address(struct natctl *n, void *target, const char *text)
{
	struct public_choice *c = target;
	struct ctl_prefix p;

	(void)n;
	if (!filter_parse_prefix(text, &p) || p.length != 32 || p.address == 0)
		return "is not an IPv4 address";
	c->address = p.address;
	return NULL;
}

static const struct natctl_option rows[] = {
	{"stun", 0, VALUE_NEEDED, "HOST[:PORT]", "the server (default: outside.stun of natd.conf; port 3478)",
	 set_server},
	{"address", 0, VALUE_NEEDED, "ADDR", "this outside address alone", set_address},
};

const struct option_set public_options = {"Public address:", rows, sizeof(rows) / sizeof(rows[0])};

/* ---- natd's addresses and server ---- */

struct known {
	uint32_t addresses[ADDRESSES_MAX];
	unsigned n, left_out;
	char server[SERVER_MAX];
};

static bool take_pool(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct known *k = ctx;
	struct ctl_pool p;

	if (type != CTL_R_POOL)
		return true;
	if (!ctl_get_pool(body, &p))
		return false;
	if (k->n < ADDRESSES_MAX)
		k->addresses[k->n++] = p.address;
	else
		k->left_out++;
	return true;
}

static bool take_item(void *ctx, uint8_t type, struct ctl_reader *body)
{
	static struct ctl_item item;
	struct known *k = ctx;

	if (type != CTL_R_ITEM)
		return true;
	if (!ctl_get_item(body, &item))
		return false;
	if (item.kind == CTL_ITEM_TEXT && strcmp(item.name, "stun") == 0 && strlen(item.text) < SERVER_MAX)
		strcpy(k->server, item.text);
	return true;
}

/* ---- the server ---- */

static int resolve(const char *text, struct ctl_endpoint *server)
{
	const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM};
	char host[SERVER_MAX];
	size_t len = strcspn(text, ":");
	uint64_t port = STUN_PORT;
	struct addrinfo *found;
	struct sockaddr_in sin;
	int rc;

	snprintf(host, sizeof(host), "%.*s", (int)len, text);
	if (len == 0 || (text[len] && (!filter_parse_number(text + len + 1, UINT16_MAX, &port) || port == 0))) {
		natctl_complain("public-address: `%s' is not HOST or HOST:PORT", text);
		return NATCTL_USAGE;
	}
	rc = getaddrinfo(host, NULL, &hints, &found);
	if (rc != 0) {
		natctl_complain("public-address: %s: %s", host, gai_strerror(rc));
		return NATCTL_REFUSED;
	}
	memcpy(&sin, found->ai_addr, sizeof(sin));
	freeaddrinfo(found);
	*server = (struct ctl_endpoint){ntohl(sin.sin_addr.s_addr), (uint16_t)port};
	return NATCTL_DONE;
}

static int find_server(struct natctl *n, const struct public_choice *c, struct ctl_endpoint *server)
{
	static struct known known;
	int rc;

	if (c->server)
		return resolve(c->server, server);
	rc = client_ask(n, CTL_STATUS, NULL, take_item, &known, NULL);
	if (rc != NATCTL_DONE)
		return rc;
	if (known.server[0])
		return resolve(known.server, server);
	natctl_complain(
		"public-address: no STUN server is known: give --stun HOST[:PORT], or set outside.stun in natd.conf");
	return NATCTL_USAGE;
}

/* ---- output ---- */

static const char *behaviour_name(enum stun_behaviour b)
{
	static const char *const names[] = {
		[BEHAVIOUR_UNKNOWN] = NULL,
		[BEHAVIOUR_ENDPOINT] = "endpoint-independent",
		[BEHAVIOUR_ADDRESS] = "address-dependent",
		[BEHAVIOUR_ADDRESS_PORT] = "address-and-port-dependent",
	};

	return names[b];
}

static bool is_behind_nat(const struct stun_findings *f)
{
	return f->seen.address != f->own.address || f->seen.port != f->own.port;
}

static bool is_shared_space(uint32_t address)
{
	return address >> 22 == (100u << 24 | 64u << 16) >> 22;
}

static void print_json(const struct stun_findings *f)
{
	struct json_object *o = json_create();
	char own[NAMES_ADDRESS_MAX], seen[NAMES_ADDRESS_MAX];
	bool is_seen = f->seen.address != 0;

	json_add_text(o, "own", names_address(own, f->own.address));
	json_add_text(o, "stun", is_seen ? names_address(seen, f->seen.address) : NULL);
	if (is_seen)
		json_add_bool(o, "nat", is_behind_nat(f));
	else
		json_add_text(o, "nat", NULL);
	json_add_text(o, "mapping", behaviour_name(f->mapping));
	json_add_text(o, "filtering", behaviour_name(f->filtering));
	json_print(stdout, o);
}

static void print_text(const struct stun_findings *f)
{
	const char *mapping = behaviour_name(f->mapping), *filtering = behaviour_name(f->filtering);
	char own[NAMES_ADDRESS_MAX], seen[NAMES_ADDRESS_MAX];

	printf("own=%s stun=%s nat=%s mapping=%s filtering=%s\n", names_address(own, f->own.address),
	       names_address(seen, f->seen.address), is_behind_nat(f) ? "yes" : "no", mapping ? mapping : "unknown",
	       filtering ? filtering : "unknown");
	if (is_behind_nat(f))
		printf("%s: you are behind another NAT%s\n", own,
		       is_shared_space(f->own.address)
			       ? ", your provider's: 100.64.0.0/10 is shared address space (RFC 6598)"
			       : "");
	if (is_behind_nat(f) && f->seen.address == f->own.address)
		printf("%s: it changes ports alone\n", own);
}

/* False: the server gave no answer. */
static bool show(struct natctl *n, const struct stun_findings *f, const struct ctl_endpoint *server)
{
	char own[NAMES_ADDRESS_MAX], text[NAMES_ENDPOINT_MAX];

	if (n->format == FORMAT_JSON)
		print_json(f);
	else if (f->seen.address != 0)
		print_text(f);
	if (f->seen.address != 0)
		return true;
	names_address(own, f->own.address);
	names_endpoint(text, server, 17);
	if (f->error != 0)
		natctl_complain("public-address: %s: the STUN server %s answers with error %u", own, text, f->error);
	else
		natctl_complain("public-address: %s: the STUN server %s does not answer", own, text);
	return false;
}

/* ---- the command ---- */

static int probe_each(struct natctl *n, const struct known *k, const struct ctl_endpoint *server)
{
	int worst = NATCTL_DONE;

	for (unsigned i = 0; i < k->n && output_ok(n); i++) {
		struct stun_findings f;
		int rc = stun_probe(n, k->addresses[i], server, &f);

		if (rc != NATCTL_DONE)
			return rc;
		if (!show(n, &f, server))
			worst = NATCTL_REFUSED;
		fflush(stdout);
	}
	if (k->left_out > 0)
		natctl_complain("public-address: %u more addresses were left out: name one with --address",
				k->left_out);
	return worst;
}

int command_public_address(struct natctl *n, int argc, char **argv)
{
	static struct known known;
	struct public_choice choice = {0};
	const struct option_use uses[] = {{&public_options, &choice}, {NULL, NULL}};
	struct ctl_endpoint server;
	int first = options_parse(n, argc, argv, uses), rc;

	if (first < 0)
		return NATCTL_USAGE;
	if (first < argc) {
		natctl_complain("%s: `%s' is one argument too many", argv[0], argv[first]);
		return NATCTL_USAGE;
	}
	rc = find_server(n, &choice, &server);
	if (rc == NATCTL_DONE && choice.address != 0)
		known.addresses[known.n++] = choice.address;
	else if (rc == NATCTL_DONE)
		rc = client_ask(n, CTL_POOLS, NULL, take_pool, &known, NULL);
	if (rc == NATCTL_DONE)
		rc = probe_each(n, &known, &server);
	return output_finish(n) ? rc : NATCTL_REFUSED;
}
