/* SPDX-License-Identifier: ISC */
/*
 * Names of IP protocols: conntrack's table, and after it more that a NAT meets. /etc/protocols is not read, so that a
 * file or a line means the same on every machine.
 */
#ifndef NATD_COMMON_PROTOCOL_H
#define NATD_COMMON_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

/* NULL: the protocol has no name here. */
const char *protocol_name(uint8_t number);
/* The same, only for protocols that conntrack names. */
const char *protocol_conntrack_name(uint8_t number);
/* A name in any case, or a number from 0 to 255; -1: neither. */
int protocol_number(const char *text);

/* The protocols that natd's steering rules deliver to natd on an address shared with the host: TCP, UDP, GRE, ESP,
 * SCTP. */
#define PROTOCOLS_STEERED 6, 17, 47, 50, 132
bool protocol_is_steered(uint8_t number);

#endif
