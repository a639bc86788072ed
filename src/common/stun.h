/* SPDX-License-Identifier: ISC */
/*
 * STUN: Binding requests and their answers (RFC 8489), with the parts of RFC 5780 that show how a NAT maps and filters.
 * Pure: no I/O, no allocation. Addresses and ports are in host byte order.
 */
#ifndef NATD_COMMON_STUN_H
#define NATD_COMMON_STUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	STUN_PORT = 3478,
	STUN_HEADER = 20,
	STUN_ID = 12,	      /* bytes of a transaction id */
	STUN_REQUEST_MAX = 28 /* bytes of a request that stun_request() makes */
};

/* CHANGE-REQUEST (RFC 5780 7.2): the endpoint from which the server is to answer. */
enum { STUN_CHANGE_NONE = 0, STUN_CHANGE_PORT = 2, STUN_CHANGE_ADDRESS = 4 };

struct stun_endpoint {
	uint32_t address;
	uint16_t port;
};

/* Makes a Binding request; returns its length. `change`: STUN_CHANGE_ bits; without any, the attribute is omitted. */
size_t stun_request(uint8_t out[STUN_REQUEST_MAX], const uint8_t id[STUN_ID], unsigned change);
/* Is it a well-formed Binding request, and nothing more? */
bool stun_is_request(const uint8_t *p, size_t len);

enum stun_kind {
	STUN_NOT,     /* not an answer to that request: ignore it */
	STUN_SUCCESS, /* `mapped` holds */
	STUN_ERROR,   /* `code` holds, 300 to 699 */
};

struct stun_answer {
	enum stun_kind kind;
	struct stun_endpoint mapped; /* the sender's endpoint, as the server saw it */
	bool has_other;
	struct stun_endpoint other; /* the server's alternate address and port */
	unsigned code;
};

/*
 * Reads an answer to the Binding request with that id. STUN_NOT: it is malformed, belongs to another transaction, has a
 * wrong FINGERPRINT or no mapped address, or has an unknown attribute that must be understood.
 */
void stun_read(struct stun_answer *a, const uint8_t *p, size_t len, const uint8_t id[STUN_ID]);

#endif
