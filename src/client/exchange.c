/* SPDX-License-Identifier: ISC */
/*
 * Parses natd's answer frame by frame. Unknown kinds of records are skipped, so that a newer natd may send more.
 */
#include "exchange.h"

#include <string.h>

void exchange_init(struct exchange *e, exchange_fn *on_record, void *ctx)
{
	memset(e, 0, offsetof(struct exchange, buf));
	e->on_record = on_record;
	e->ctx = ctx;
}

uint8_t *exchange_space(struct exchange *e, size_t *room)
{
	*room = sizeof(e->buf) - e->len;
	return e->buf + e->len;
}

static enum exchange_state take_hello(struct exchange *e, struct ctl_reader *body)
{
	if (e->is_greeted || !ctl_get_hello_reply(body, &e->hello))
		return EXCHANGE_BROKEN;
	if (e->hello.magic != CTL_MAGIC || e->hello.version != CTL_VERSION)
		return EXCHANGE_BROKEN;
	e->is_greeted = true;
	return EXCHANGE_MORE;
}

static enum exchange_state take_frame(struct exchange *e, struct ctl_frame *frame)
{
	if (frame->type == CTL_R_ERROR)
		return ctl_get_error(&frame->body, &e->error) ? EXCHANGE_REFUSED : EXCHANGE_BROKEN;
	if (frame->type == CTL_R_HELLO)
		return take_hello(e, &frame->body);
	if (!e->is_greeted)
		return EXCHANGE_BROKEN;
	if (frame->type == CTL_R_END)
		return ctl_get_end(&frame->body, &e->end) ? EXCHANGE_DONE : EXCHANGE_BROKEN;
	return e->on_record(e->ctx, frame->type, &frame->body) ? EXCHANGE_MORE : EXCHANGE_BROKEN;
}

enum exchange_state exchange_fed(struct exchange *e, size_t n)
{
	struct ctl_frame frame;
	size_t used = 0;

	e->len += n;
	while (e->state == EXCHANGE_MORE) {
		int rc = ctl_frame_next(e->buf + used, e->len - used, sizeof(e->buf), &frame);

		if (rc == 0)
			break;
		e->state = rc < 0 ? EXCHANGE_BROKEN : take_frame(e, &frame);
		used += rc < 0 ? 0 : (size_t)rc;
	}
	e->len -= used;
	memmove(e->buf, e->buf + used, e->len);
	return e->state;
}
