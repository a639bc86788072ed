/* SPDX-License-Identifier: ISC */
/*
 * Common functions of the netlink_*.c files: build a request, exchange it for answers, read their attributes.
 * Implemented in netlink.c (the only user of libmnl); not for use outside of netlink*.c.
 */
#ifndef NATD_DAEMON_NLBUS_H
#define NATD_DAEMON_NLBUS_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netlink.h"

enum nlbus_id { NLBUS_ROUTE, NLBUS_DIAG, NLBUS_FILTER };

/* ---- requests: one at a time, in the handle's own buffer (1 KiB: ours are far smaller) ---- */

/* Appends the family's header of `len` bytes to the netlink header. */
struct nlmsghdr *nlbus_request(struct netlink *nl, uint16_t type, uint16_t flags, const void *header, size_t len);
void nlbus_put(struct nlmsghdr *nlh, uint16_t type, const void *data, size_t len);
void nlbus_put_u8(struct nlmsghdr *nlh, uint16_t type, uint8_t value);
void nlbus_put_u32(struct nlmsghdr *nlh, uint16_t type, uint32_t value);
void nlbus_put_be32(struct nlmsghdr *nlh, uint16_t type, uint32_t value); /* from host order */
void nlbus_put_text(struct nlmsghdr *nlh, uint16_t type, const char *text);
struct nlattr *nlbus_nest(struct nlmsghdr *nlh, uint16_t type);
void nlbus_nest_end(struct nlmsghdr *nlh, struct nlattr *nest);

/* One object of an answer. */
typedef void nlbus_answer_fn(void *ctx, const struct nlmsghdr *nlh);

/* Sends the request and reads all its answers. Returns 0 or a negative errno; -EINTR: a dump was disturbed. */
int nlbus_exchange(struct netlink *nl, enum nlbus_id bus, struct nlmsghdr *nlh, nlbus_answer_fn *fn, void *ctx);
/* The same for a change: the answer is an acknowledgement. */
int nlbus_change(struct netlink *nl, struct nlmsghdr *nlh);

/* The mark of natd's objects. */
uint8_t nlbus_protocol(const struct netlink *nl);

/* Sets netlink_error()'s line: "OBJECT: the system's error (the kernel's explanation)". Returns `err`. */
int nlbus_fail(struct netlink *nl, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- answers ---- */

enum { NLBUS_ATTRIBUTES = 64 };

/* The attributes of one message by type; NULL: absent. They borrow from the message. */
struct nlbus_attributes {
	const void *data[NLBUS_ATTRIBUTES];
	uint16_t len[NLBUS_ATTRIBUTES];
	bool has_more; /* there are types beyond the array */
};

/* Returns the family's header of a message of `type`, and its attributes; NULL: another type, or too short. */
const void *nlbus_read(const struct nlmsghdr *nlh, uint16_t type, size_t header, struct nlbus_attributes *as);
/* The attributes nested in one of them. */
void nlbus_read_nested(const struct nlbus_attributes *outer, unsigned type, struct nlbus_attributes *as);

/* Calls `fn` with the attributes of each element of a nested list. */
typedef void nlbus_element_fn(void *ctx, const struct nlbus_attributes *element);
void nlbus_each_nested(const struct nlbus_attributes *outer, unsigned type, nlbus_element_fn *fn, void *ctx);

/* `absent` is returned if the attribute is missing or too short. */
uint8_t nlbus_u8(const struct nlbus_attributes *as, unsigned type, uint8_t absent);
uint32_t nlbus_u32(const struct nlbus_attributes *as, unsigned type, uint32_t absent);
uint32_t nlbus_be32(const struct nlbus_attributes *as, unsigned type, uint32_t absent); /* to host order */
void nlbus_name(const struct nlbus_attributes *as, unsigned type, char out[NETLINK_IFNAME_SIZE]);

#endif
