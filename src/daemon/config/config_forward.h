/* SPDX-License-Identifier: ISC */
/* Shared by config_forward.c and config_backend.c: the forward being read. */
#ifndef NATD_DAEMON_CONFIG_FORWARD_H
#define NATD_DAEMON_CONFIG_FORWARD_H

#include "config_internal.h"

struct forward_draft {
	struct nat_forward f;
	struct nat_prefix *from; /* owned until the draft becomes a forward */
	struct nat_backend *backends;
	struct config_check check;
	uint8_t number;	   /* of a protocol without ports */
	bool has_protocol; /* the key is present, right or wrong; likewise below */
	bool has_port;
	bool has_to;
	bool has_balance;
	bool has_affinity;
	bool has_from;
	bool failed; /* a key was wrong and has been reported */
};

enum { AFFINITY_DEFAULT = 300 };

/* False, with the draft marked as failed, if `v` is not a string. */
bool forward_expect_string(struct config_loader *l, const struct config_key *k, const struct value *v);
void forward_refuse(struct config_loader *l, const struct config_key *k, const struct value *v, const char *why);
/* Refuses an address that no host may use. */
void forward_refuse_reserved(struct config_loader *l, const struct config_key *k, const struct value *v,
			     uint32_t address);
/* Checks that need all keys of the forward: ports that go too far, keys that exclude each other. */
void forward_check_targets(struct config_loader *l, const struct value *v);

#endif
