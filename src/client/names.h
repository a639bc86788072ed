/* SPDX-License-Identifier: ISC */
/*
 * Names of protocols, addresses as text, and text made safe for a terminal.
 */
#ifndef NATD_CLIENT_NAMES_H
#define NATD_CLIENT_NAMES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { NAMES_ADDRESS_MAX = 16, NAMES_ENDPOINT_MAX = 28 };

/* By conntrack's names; "unknown" for protocols that conntrack does not name. */
const char *names_conntrack_protocol(uint8_t number);
/* With more names, for JSON and tables; for the rest, the number in decimal. */
const char *names_protocol(uint8_t number, char buf[4]);

/* "192.0.2.1" into `buf`, which is returned. */
char *names_address(char buf[NAMES_ADDRESS_MAX], uint32_t address);
/* "192.0.2.1:80"; for protocols without ports "192.0.2.1"; for ICMP "192.0.2.1:ID". */
struct ctl_endpoint;
char *names_endpoint(char buf[NAMES_ENDPOINT_MAX], const struct ctl_endpoint *e, uint8_t protocol);

/* Prints to `f`, with everything but printable ASCII as \xNN, so that no foreign escape sequence reaches a terminal. */
void names_print(FILE *f, const char *text);
/* The same into `buf`, which is returned; text that does not fit is cut off. */
char *names_escape(char *buf, size_t size, const char *text);

#endif
