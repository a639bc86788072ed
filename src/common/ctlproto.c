/* SPDX-License-Identifier: ISC */
/*
 * Cursors, frames, and the frames of every exchange: hello, end, error.
 */
#include "ctlproto.h"

#include <string.h>

/* Between the machine's byte order and the protocol's. */
static inline uint64_t swap64(uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_bswap64(v);
#else
	return v;
#endif
}

/* ---- reading ---- */

/* The next `n` bytes; or NULL, and the reader is marked bad and emptied. */
static const uint8_t *take(struct ctl_reader *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->bad || r->left < n) {
		r->bad = true;
		r->left = 0;
		return NULL;
	}
	r->p += n;
	r->left -= n;
	return p;
}

static inline uint64_t get_number(struct ctl_reader *r, size_t n)
{
	const uint8_t *p = take(r, n);
	uint64_t big = 0;

	if (p)
		memcpy(&big, p, n);
	return swap64(big) >> 8 * (8 - n);
}

uint8_t ctl_get_u8(struct ctl_reader *r)
{
	return (uint8_t)get_number(r, 1);
}

uint16_t ctl_get_u16(struct ctl_reader *r)
{
	return (uint16_t)get_number(r, 2);
}

uint32_t ctl_get_u32(struct ctl_reader *r)
{
	return (uint32_t)get_number(r, 4);
}

uint64_t ctl_get_u64(struct ctl_reader *r)
{
	return get_number(r, 8);
}

void ctl_get_text(struct ctl_reader *r, char *out, size_t size)
{
	size_t len = ctl_get_u16(r);
	const uint8_t *p = take(r, len);

	out[0] = '\0';
	if (!p)
		return;
	if (len >= size || memchr(p, 0, len)) {
		r->bad = true;
		r->left = 0;
		return;
	}
	memcpy(out, p, len);
	out[len] = '\0';
}

const uint8_t *ctl_get_bytes(struct ctl_reader *r, size_t n)
{
	return take(r, n);
}

/* ---- writing ---- */

static inline void put_bytes(struct ctl_writer *w, const void *data, size_t n)
{
	if (w->full || w->size - w->len < n) {
		w->full = true;
		return;
	}
	if (n)
		memcpy(w->buf + w->len, data, n);
	w->len += n;
}

/* `n` is 1 to 8. Inline: listings are mostly numbers, and the compiler makes one store of each. */
static inline void put_number(struct ctl_writer *w, uint64_t v, size_t n)
{
	uint64_t big = swap64(v << 8 * (8 - n));

	put_bytes(w, &big, n);
}

void ctl_put_u8(struct ctl_writer *w, uint8_t v)
{
	put_number(w, v, 1);
}

void ctl_put_u16(struct ctl_writer *w, uint16_t v)
{
	put_number(w, v, 2);
}

void ctl_put_u32(struct ctl_writer *w, uint32_t v)
{
	put_number(w, v, 4);
}

void ctl_put_u64(struct ctl_writer *w, uint64_t v)
{
	put_number(w, v, 8);
}

void ctl_put_bytes(struct ctl_writer *w, const void *bytes, size_t n)
{
	put_bytes(w, bytes, n);
}

void ctl_put_text_max(struct ctl_writer *w, const char *text, size_t max)
{
	size_t len = text ? strnlen(text, max) : 0;

	put_number(w, len, 2);
	put_bytes(w, text, len);
}

void ctl_put_text(struct ctl_writer *w, const char *text)
{
	ctl_put_text_max(w, text, CTL_TEXT_MAX);
}

/* ---- frames ---- */

int ctl_frame_next(const uint8_t *buf, size_t len, size_t max, struct ctl_frame *frame)
{
	struct ctl_reader r = {buf, len, false};
	uint32_t body;

	if (len < 4)
		return 0;
	body = ctl_get_u32(&r);
	if (body < 1 || body > max - 4)
		return -1;
	if (r.left < body)
		return 0;
	frame->type = ctl_get_u8(&r);
	frame->body = (struct ctl_reader){r.p, body - 1, false};
	return (int)(4 + body);
}

size_t ctl_frame_begin(struct ctl_writer *w, enum ctl_type type)
{
	size_t begin = w->len;

	ctl_put_u32(w, 0);
	ctl_put_u8(w, (uint8_t)type);
	return begin;
}

bool ctl_frame_end(struct ctl_writer *w, size_t begin)
{
	size_t len = w->len;

	if (w->full) {
		w->len = begin;
		w->full = false;
		return false;
	}
	w->len = begin;
	put_number(w, len - begin - 4, 4);
	w->len = len;
	return true;
}

/* ---- hello, end, error ---- */

bool ctl_put_hello(struct ctl_writer *w, const struct ctl_hello *h)
{
	size_t begin = ctl_frame_begin(w, CTL_HELLO);

	ctl_put_u32(w, h->magic);
	ctl_put_u16(w, h->version);
	ctl_put_u16(w, h->version_min);
	if (h->flags != 0)
		ctl_put_u8(w, h->flags);
	return ctl_frame_end(w, begin);
}

bool ctl_get_hello(struct ctl_reader *r, struct ctl_hello *h)
{
	*h = (struct ctl_hello){0};
	h->magic = ctl_get_u32(r);
	h->version = ctl_get_u16(r);
	h->version_min = ctl_get_u16(r);
	if (r->left > 0)
		h->flags = ctl_get_u8(r);
	return !r->bad && r->left == 0 && (h->flags & ~CTL_HELLO_ALL) == 0;
}

bool ctl_put_hello_reply(struct ctl_writer *w, const struct ctl_hello *h)
{
	size_t begin = ctl_frame_begin(w, CTL_R_HELLO);

	ctl_put_u32(w, h->magic);
	ctl_put_u16(w, h->version);
	ctl_put_u8(w, h->may_change);
	ctl_put_text_max(w, h->daemon, sizeof(h->daemon) - 1);
	ctl_put_u64(w, h->instance);
	ctl_put_u32(w, h->kept_kinds);
	return ctl_frame_end(w, begin);
}

bool ctl_get_hello_reply(struct ctl_reader *r, struct ctl_hello *h)
{
	*h = (struct ctl_hello){0};
	h->magic = ctl_get_u32(r);
	h->version = ctl_get_u16(r);
	h->may_change = ctl_get_u8(r) & 1;
	ctl_get_text(r, h->daemon, sizeof(h->daemon));
	if (r->bad || r->left == 0)
		return !r->bad; /* from a natd that sends no more fields */
	h->instance = ctl_get_u64(r);
	h->kept_kinds = ctl_get_u32(r);
	return !r->bad;
}

bool ctl_put_end(struct ctl_writer *w, uint64_t count, uint64_t count2)
{
	size_t begin = ctl_frame_begin(w, CTL_R_END);

	ctl_put_u64(w, count);
	ctl_put_u64(w, count2);
	return ctl_frame_end(w, begin);
}

bool ctl_get_end(struct ctl_reader *r, struct ctl_end *e)
{
	e->count = ctl_get_u64(r);
	e->count2 = ctl_get_u64(r);
	return !r->bad;
}

bool ctl_put_error(struct ctl_writer *w, enum ctl_error_code code, const char *text)
{
	size_t begin = ctl_frame_begin(w, CTL_R_ERROR);

	ctl_put_u16(w, (uint16_t)code);
	ctl_put_text(w, text);
	return ctl_frame_end(w, begin);
}

bool ctl_get_error(struct ctl_reader *r, struct ctl_error *e)
{
	e->code = ctl_get_u16(r);
	ctl_get_text(r, e->text, sizeof(e->text));
	return !r->bad;
}
