/* SPDX-License-Identifier: ISC */
/*
 * How packets in transit leave natd, and which errors they cause. Only this file decides it, for both outputs (the raw
 * socket, and the TUN for super-packets). docs/architecture.md, "Transit", explains the choice.
 *
 * Each lane has one, used by that lane's thread. The lane passes translated packets; errors come back as ICMP packets
 * that quote the translated packet, and the lane translates them like any other error.
 */
#ifndef NATD_DAEMON_TRANSMIT_H
#define NATD_DAEMON_TRANSMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/nat/nat.h"
#include "rawsock.h"
#include "tun.h"
#include "ways.h"

struct transmit;

/* RFC 7600: the source of ICMP errors of a router without an address of its own. natd0 has it, so the kernel sends
 * errors about natd's packets from it, and it marks natd's own errors until they are translated. */
#define TRANSMIT_DUMMY_ADDRESS 0xc0000008u

enum { TRANSMIT_ERRORS = 16 /* in one burst */ };

struct transmit_params {
	struct rawsock *raw;	/* borrowed, like all of it */
	struct io_counters *io; /* of the lane */
	struct ways *ways;
	const struct transit *transit;
};

/* 0 or a negative errno. */
int transmit_create(struct transmit **out, const struct transmit_params *p);
void transmit_destroy(struct transmit *t); /* NULL: nothing */

/* The device for super-packets, and the host's own addresses; NULL: none for now. */
void transmit_set_tun(struct transmit *t, const struct tun *tun);

/* A burst begins. */
void transmit_begin(struct transmit *t, uint64_t now_ms);
/* Sends a translated packet, or keeps it for the next transmit_flush(). If `owned`, its bytes are valid only during
 * the call; otherwise until transmit_flush(). They may change. */
void transmit_packet(struct transmit *t, const struct nat_packet *p, bool owned);
/* Sends everything. */
void transmit_flush(struct transmit *t);

/* The errors that the burst caused, for nat_batch(): at most TRANSMIT_ERRORS, valid until transmit_begin(). Returns
 * their number. */
uint32_t transmit_take_errors(struct transmit *t, struct nat_packet *out);

/* For an ICMP error of the kernel about one of natd's packets, or one of natd's own: sets a source from which it can
 * be translated. `policy` is in force. */
void transmit_readdress(const struct nat_policy *policy, struct nat_packet *p);
static inline bool transmit_is_own_error(const struct nat_packet *p)
{
	const uint8_t *ip = p->data;

	return p->len >= 28 && ip[9] == 1 && ip[12] == 192 && ip[13] == 0 && ip[14] == 0 && ip[15] == 8;
}

#endif
