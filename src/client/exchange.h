/* SPDX-License-Identifier: ISC */
/*
 * The client's side of an exchange. It is fed the bytes that natd sends and uses no socket, so tests and fuzzers can
 * play natd. One request after one hello.
 */
#ifndef NATD_CLIENT_EXCHANGE_H
#define NATD_CLIENT_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ctlproto.h"

/* Takes a record of the answer. False: it is malformed or unwanted, and the exchange ends as EXCHANGE_BROKEN. */
typedef bool exchange_fn(void *ctx, uint8_t type, struct ctl_reader *body);

enum exchange_state {
	EXCHANGE_MORE,	  /* read more */
	EXCHANGE_DONE,	  /* `end` holds */
	EXCHANGE_REFUSED, /* `error` holds */
	EXCHANGE_BROKEN,  /* not understood, or on_record() returned false */
};

struct exchange {
	exchange_fn *on_record;
	void *ctx;
	enum exchange_state state;
	bool is_greeted;
	struct ctl_hello hello; /* natd's hello, once is_greeted */
	struct ctl_end end;
	struct ctl_error error;
	size_t len;
	uint8_t buf[CTL_REPLY_MAX];
};

void exchange_init(struct exchange *e, exchange_fn *on_record, void *ctx);
/* Where to put the next bytes; the room is never 0 in the state EXCHANGE_MORE. */
uint8_t *exchange_space(struct exchange *e, size_t *room);
/* `n` bytes were put there: processes every whole frame. */
enum exchange_state exchange_fed(struct exchange *e, size_t n);

#endif
