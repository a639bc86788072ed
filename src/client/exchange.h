/* SPDX-License-Identifier: ISC */
/*
 * The client's side of an exchange, as a thing that is fed what natd sends: no socket, so that tests and
 * fuzzers can play a natd of any kind. One request after one hello.
 */
#ifndef NATD_CLIENT_EXCHANGE_H
#define NATD_CLIENT_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ctlproto.h"

/* A record of the answer. False: it is malformed or unwanted, and the exchange ends broken. */
typedef bool exchange_fn(void *ctx, uint8_t type, struct ctl_reader *body);

enum exchange_state {
	EXCHANGE_MORE,	  /* go on reading */
	EXCHANGE_DONE,	  /* `end` holds */
	EXCHANGE_REFUSED, /* `error` holds */
	EXCHANGE_BROKEN,  /* not understood, or the record function said no */
};

struct exchange {
	exchange_fn *on_record;
	void *ctx;
	enum exchange_state state;
	bool is_greeted;
	struct ctl_hello hello; /* natd's, once greeted */
	struct ctl_end end;
	struct ctl_error error;
	size_t len;
	uint8_t buf[CTL_REPLY_MAX];
};

void exchange_init(struct exchange *e, exchange_fn *on_record, void *ctx);
/* Where to put what comes next; the room is never 0 while the state is EXCHANGE_MORE. */
uint8_t *exchange_space(struct exchange *e, size_t *room);
/* `n` bytes were put there: takes every whole frame. */
enum exchange_state exchange_fed(struct exchange *e, size_t n);

#endif
