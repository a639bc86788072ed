/* SPDX-License-Identifier: ISC */
/*
 * A STUN client through natd, see stun_probe.h.
 *
 * Theory of operation. A transaction sends one request up to three times, with the same id (RFC 8489 6.2.1), and waits
 * longer each time. An answer counts if it has that id and comes from the expected endpoint. The mapping behaviour is
 * found by sending to three destinations from one inside port. The filtering behaviour is found by answers from
 * endpoints other than the server's, on a port that has sent to no other endpoint.
 */
#include "stun_probe.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client.h"
#include "common/ctlstun.h"
#include "common/stun.h"

enum { TRIES = 3, PORT_LEAST = 1024 };

struct probe {
	const struct natctl *n;
	uint32_t outside;
	uint16_t port; /* identifies the mapping */
	bool is_quiet; /* a refusal by natd is not an error */
};

struct transaction {
	uint8_t id[STUN_ID];
	struct ctl_endpoint from; /* the endpoint that must answer */
	struct ctl_endpoint own;
	struct stun_answer answer;
	bool is_answered;
};

static bool is_same(const struct ctl_endpoint *a, const struct ctl_endpoint *b)
{
	return a->address == b->address && a->port == b->port;
}

static bool take(void *ctx, uint8_t type, struct ctl_reader *body)
{
	struct transaction *t = ctx;
	struct ctl_stun_answer a;

	if (type != CTL_R_STUN)
		return true;
	if (!ctl_get_stun_answer(body, &a))
		return false;
	t->own = a.outside;
	if (a.len == 0 || !is_same(&a.from, &t->from))
		return true;
	stun_read(&t->answer, a.bytes, a.len, t->id);
	t->is_answered = t->answer.kind != STUN_NOT;
	return !t->is_answered;
}

/* Sends a request to `server`, which is to answer from t->from. NATCTL_DONE even if no answer comes. */
static int transact(const struct probe *p, const struct ctl_endpoint *server, unsigned change, struct transaction *t)
{
	static const uint16_t waits_ms[TRIES] = {500, 1000, 1500};
	uint8_t request[STUN_REQUEST_MAX];
	struct ctl_stun s = {.outside = p->outside, .port = p->port, .server = *server, .bytes = request};
	const struct client_query q = {.type = CTL_STUN, .stun = &s, .is_quiet = p->is_quiet, .stop = &t->is_answered};
	int rc = NATCTL_DONE;

	t->is_answered = false;
	if (getrandom(t->id, sizeof(t->id), 0) != (ssize_t)sizeof(t->id)) {
		natctl_complain("public-address: the kernel has no random numbers yet: try again later");
		return NATCTL_REFUSED;
	}
	s.len = (uint16_t)stun_request(request, t->id, change);
	for (int i = 0; i < TRIES && rc == NATCTL_DONE && !t->is_answered; i++) {
		s.wait_ms = waits_ms[i];
		rc = client_run(p->n, &q, take, t, NULL);
	}
	return rc;
}

static void new_port(struct probe *p)
{
	uint16_t random = 0;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		random = p->port;
	p->port = (uint16_t)(PORT_LEAST + random % (UINT16_MAX - PORT_LEAST));
}

static struct ctl_endpoint endpoint(const struct stun_endpoint *e)
{
	return (struct ctl_endpoint){e->address, e->port};
}

/* The endpoint from which `server` sees this mapping. False: it gave no answer. */
static bool see(const struct probe *p, const struct ctl_endpoint *server, struct ctl_endpoint *seen)
{
	struct transaction t = {.from = *server};

	if (transact(p, server, STUN_CHANGE_NONE, &t) != NATCTL_DONE || !t.is_answered || t.answer.kind != STUN_SUCCESS)
		return false;
	*seen = endpoint(&t.answer.mapped);
	return true;
}

/* RFC 5780 4.3. */
static enum stun_behaviour find_mapping(const struct probe *p, const struct ctl_endpoint *server,
					const struct ctl_endpoint *other, const struct ctl_endpoint *first)
{
	const struct ctl_endpoint other_address = {other->address, server->port};
	struct ctl_endpoint second, third;

	if (!see(p, &other_address, &second))
		return BEHAVIOUR_UNKNOWN;
	if (is_same(first, &second))
		return BEHAVIOUR_ENDPOINT;
	if (!see(p, other, &third))
		return BEHAVIOUR_UNKNOWN;
	return is_same(&second, &third) ? BEHAVIOUR_ADDRESS : BEHAVIOUR_ADDRESS_PORT;
}

/* RFC 5780 4.4, on another port. */
static enum stun_behaviour find_filtering(struct probe *p, const struct ctl_endpoint *server,
					  const struct ctl_endpoint *other)
{
	struct transaction both = {.from = *other}, port = {.from = {server->address, other->port}};
	struct ctl_endpoint seen;

	new_port(p);
	if (!see(p, server, &seen) || transact(p, server, STUN_CHANGE_ADDRESS | STUN_CHANGE_PORT, &both) != NATCTL_DONE)
		return BEHAVIOUR_UNKNOWN;
	if (both.is_answered)
		return both.answer.kind == STUN_SUCCESS ? BEHAVIOUR_ENDPOINT : BEHAVIOUR_UNKNOWN;
	if (transact(p, server, STUN_CHANGE_PORT, &port) != NATCTL_DONE)
		return BEHAVIOUR_UNKNOWN;
	if (port.is_answered)
		return port.answer.kind == STUN_SUCCESS ? BEHAVIOUR_ADDRESS : BEHAVIOUR_UNKNOWN;
	return BEHAVIOUR_ADDRESS_PORT;
}

int stun_probe(const struct natctl *n, uint32_t outside, const struct ctl_endpoint *server, struct stun_findings *f)
{
	struct probe p = {.n = n, .outside = outside};
	struct transaction t = {.from = *server};
	struct ctl_endpoint other;
	int rc;

	*f = (struct stun_findings){.own.address = outside};
	new_port(&p);
	rc = transact(&p, server, STUN_CHANGE_NONE, &t);
	if (t.own.address != 0)
		f->own = t.own;
	if (rc != NATCTL_DONE || !t.is_answered)
		return rc;
	f->error = t.answer.code;
	if (t.answer.kind != STUN_SUCCESS)
		return rc;
	f->seen = endpoint(&t.answer.mapped);
	other = endpoint(&t.answer.other);
	if (!t.answer.has_other || other.address == server->address || other.port == server->port)
		return rc;
	p.is_quiet = true;
	f->mapping = find_mapping(&p, server, &other, &f->seen);
	if (f->mapping != BEHAVIOUR_UNKNOWN) /* else natd refuses the other address, or it does not answer */
		f->filtering = find_filtering(&p, server, &other);
	return rc;
}
