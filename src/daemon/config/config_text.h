/* SPDX-License-Identifier: ISC */
/*
 * From the text of a configuration to values: addresses, prefixes, ranges, ports. Pure. Anything inexact is refused;
 * `why` then says what is wrong and how to fix it, as the rest of a sentence that starts with the text in question.
 */
#ifndef NATD_DAEMON_CONFIG_TEXT_H
#define NATD_DAEMON_CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/policy/policy.h"

struct config_listener;

enum { TEXT_WHY_SIZE = 160, TEXT_ADDRESS_SIZE = 16, TEXT_RANGE_SIZE = 2 * TEXT_ADDRESS_SIZE, TEXT_LISTENER_SIZE = 64 };

/* "192.0.2.1"; no leading zeros, no short forms. */
bool text_address(const char *s, uint32_t *address, char why[TEXT_WHY_SIZE]);
/* "10.8.0.0/24", or an address alone for a /32. Host bits are refused. Sets mtu to 0. */
bool text_prefix(const char *s, struct nat_prefix *prefix, char why[TEXT_WHY_SIZE]);
/* An address, a prefix (all its addresses), or "first-last". Neither shared nor static. */
bool text_address_range(const char *s, struct nat_address_range *range, char why[TEXT_WHY_SIZE]);
/* "80" or "27015-27030", within 1-65535. */
bool text_port_range(const char *s, struct nat_range *range, char why[TEXT_WHY_SIZE]);
/* "80", within 1-65535; no leading zeros. */
bool text_port(const char *s, uint16_t *port);
/* "10.8.0.10" (*port is 0) or "10.8.0.10:8080". */
bool text_endpoint(const char *s, uint32_t *address, uint16_t *port, char why[TEXT_WHY_SIZE]);
/* Is it a valid name of a network device? At most 15 bytes. */
bool text_interface(const char *s, char why[TEXT_WHY_SIZE]);
/* Three or four octal digits, at most 0777. */
bool text_mode(const char *s, uint32_t *mode, char why[TEXT_WHY_SIZE]);

/* "127.0.0.1:9642" or "[::1]:9642", and back. */
bool text_listener(const char *s, struct config_listener *out, char why[TEXT_WHY_SIZE]);
const char *text_of_listener(char out[TEXT_LISTENER_SIZE], const struct config_listener *l);

/* The reserved block that overlaps first..last ("127.0.0.0/8 (loopback)"), or NULL. */
const char *text_reserved(uint32_t first, uint32_t last);

/* "192.0.2.1", "192.0.2.0/24" (an address alone for a /32), "192.0.2.1-192.0.2.9" (one address: alone), "80" or
 * "80-90" into `out`, which is returned. */
const char *text_of_address(char out[TEXT_ADDRESS_SIZE], uint32_t address);
const char *text_of_prefix(char out[TEXT_RANGE_SIZE], const struct nat_prefix *p);
const char *text_of_addresses(char out[TEXT_RANGE_SIZE], uint32_t first, uint32_t last);
const char *text_of_ports(char out[TEXT_RANGE_SIZE], struct nat_range r);

/* First and last address of a prefix are p->address and this. */
uint32_t text_prefix_last(const struct nat_prefix *p);

#define TEXT_NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
#define TEXT_NAME_FAULT	     "must have 1 to 31 letters, digits, \"-\", \"_\" and \".\""

/* A name that the administrator chooses: 1 to NAT_FORWARD_NAME_MAX of these characters. */
bool text_name(const char *text);

#endif
