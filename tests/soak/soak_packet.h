/* SPDX-License-Identifier: ISC */
/* Small IPv4 packets for the soak, written and judged fast, by arithmetic of their own. Host byte order throughout. */
#ifndef NATD_TESTS_SOAK_PACKET_H
#define NATD_TESTS_SOAK_PACKET_H

#include <stdbool.h>
#include <stdint.h>

enum { SOAK_FIN = 1, SOAK_SYN = 2, SOAK_ACK = 16 };

struct ends {
	uint32_t src, dst;
	uint16_t sport,
		dport; /* of a query the id is sport, of a reply and of an error's quote dport; the other one is 0 */
};

struct soak_packet {
	uint8_t proto_class; /* TCP, UDP, or an echo */
	bool is_reply;	     /* of an echo: its id is ends.dport */
	struct ends ends;
	uint8_t flags;
	uint16_t id;
	uint32_t seq, ack;
	uint32_t payload; /* bytes */
};

/* Writes it with right checksums; its length. */
uint32_t soak_packet_write(uint8_t *p, const struct soak_packet *s);

/* An ICMP error to the source of `quoted`, about all of it; its length. */
uint32_t soak_packet_error(uint8_t *p, uint32_t router, const uint8_t *quoted);

/* False: lengths or checksums are wrong, those of a quoted packet too. An error's dport is the port or id of the quoted
 * sender, provided that the quoted source is the error's destination. */
bool soak_packet_read(const uint8_t *p, uint32_t len, struct ends *ends);

/* Cuts the whole UDP datagram in two parts. */
void soak_packet_cut(const uint8_t *whole, uint8_t *first, uint8_t *later, uint32_t *first_len, uint32_t *later_len);
/* Puts a fragment at its place in `whole`; *len grows by what it brings, up to `room`. False: it is none that could
 * be. */
bool soak_packet_collect(uint8_t *whole, uint32_t *len, uint32_t room, const uint8_t *p, uint32_t p_len);

#endif
