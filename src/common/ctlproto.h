/* SPDX-License-Identifier: ISC */
/*
 * The control protocol between natctl and natd (docs/control-protocol.md): frames, cursors, hello, end and error. Every
 * value is written and read field by field, in network byte order, through cursors that cannot leave their buffer.
 * ctlrecord.h has the records of listings; natd has the table of requests (daemon/control/request.c). Pure: no I/O, no
 * allocation.
 */
#ifndef NATD_COMMON_CTLPROTO_H
#define NATD_COMMON_CTLPROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CTL_MAGIC = 0x4e415444, /* "NATD", the first field of both hellos */
	CTL_VERSION = 1,
	CTL_FRAME_HEAD = 5,	/* u32 length of what follows, u8 type */
	CTL_REQUEST_MAX = 4096, /* longest request frame other than a capture, head included */
	CTL_REPLY_MAX = 16384,	/* longest reply frame, head included */
	CTL_RECORD_MAX = 4096,	/* longest reply frame other than a captured packet, head included */
	CTL_TEXT_MAX = 1023,	/* bytes of any text field */
	CTL_NAME_MAX = 31,	/* bytes of a forward's name */
	CTL_FROM_MAX = 128,	/* source prefixes that one record of a forward can hold */
};

/* Frame types. The numbers never change; requests are below 128. */
enum ctl_type {
	CTL_HELLO = 1,
	CTL_STATUS = 2,
	CTL_LIST = 3,
	CTL_COUNT = 4,
	CTL_STATS = 5,
	CTL_DELETE = 6,
	CTL_FLUSH = 7,
	CTL_MAPPINGS = 8,
	CTL_FORWARDS = 9,
	CTL_POOLS = 10,
	CTL_RELOAD = 11,
	CTL_DOCTOR = 12,
	CTL_MONITOR = 13,
	CTL_EXPLAIN = 14,
	CTL_WHO = 15,
	CTL_HOSTS = 16,
	CTL_CAPTURE = 17,
	CTL_STUN = 18,
	CTL_BLOCKS = 20,
	CTL_RULES = 24,
	CTL_BACKEND_ORDER = 25,
	CTL_FORWARD_ORDER = 26,
	CTL_CONFIRM = 27,
	CTL_LIST_ZERO = 28,

	CTL_R_HELLO = 129,
	CTL_R_END = 130,   /* the request has been carried out */
	CTL_R_ERROR = 131, /* the request is refused, or the connection will be closed */
	CTL_R_ENTRY = 132,
	CTL_R_MAPPING = 133,
	CTL_R_FORWARD = 134,
	CTL_R_POOL = 135,
	CTL_R_COUNTER = 136,
	CTL_R_ITEM = 137,  /* one value of the status */
	CTL_R_CHECK = 138, /* one finding of natctl doctor */
	CTL_R_LINE = 139,  /* one line of text: the outcome of a reload */
	CTL_R_EVENT = 140,
	CTL_R_RULE = 152,
	CTL_R_LOST = 141, /* events or packets that were lost before they could be sent */
	CTL_R_HOST = 142,
	CTL_R_PACKET = 143, /* of a capture */
	CTL_R_STUN = 144,   /* a datagram that arrived at one of natd's own mappings */
	CTL_R_STEP = 146,   /* of natctl explain */
	CTL_R_VERDICT = 147,
	CTL_R_BLOCK = 148,
	CTL_R_BACKEND = 153, /* of the forward before it */
	CTL_R_MARK = 154,    /* a position in a subscription */
};

enum ctl_error_code {
	CTL_E_PROTOCOL = 1, /* not understood; the connection is closed, as for the next two */
	CTL_E_VERSION = 2,
	CTL_E_BUSY = 3, /* too many clients */
	CTL_E_DENIED = 4,
	CTL_E_UNSUPPORTED = 5,
	CTL_E_FAILED = 6,
};

/* ---- cursors ---- */

/* Reads. A read past the end, or of malformed data, sets `bad` for good; from then on every value is 0 or "". */
struct ctl_reader {
	const uint8_t *p;
	size_t left;
	bool bad;
};

uint8_t ctl_get_u8(struct ctl_reader *r);
uint16_t ctl_get_u16(struct ctl_reader *r);
uint32_t ctl_get_u32(struct ctl_reader *r);
uint64_t ctl_get_u64(struct ctl_reader *r);
/* u16 length and bytes, as a string. Bad if longer than `size` - 1 or with a NUL inside. */
void ctl_get_text(struct ctl_reader *r, char *out, size_t size);
/* The next `n` bytes, in place; NULL: there are fewer. */
const uint8_t *ctl_get_bytes(struct ctl_reader *r, size_t n);

/* Writes. A value that does not fit sets `full`; nothing more is written until the end of the frame. */
struct ctl_writer {
	uint8_t *buf;
	size_t size;
	size_t len;
	bool full;
};

void ctl_put_u8(struct ctl_writer *w, uint8_t v);
void ctl_put_u16(struct ctl_writer *w, uint16_t v);
void ctl_put_u32(struct ctl_writer *w, uint32_t v);
void ctl_put_u64(struct ctl_writer *w, uint64_t v);
/* NULL is written as "". Text longer than CTL_TEXT_MAX, or `max` bytes, is cut off. */
void ctl_put_text(struct ctl_writer *w, const char *text);
void ctl_put_text_max(struct ctl_writer *w, const char *text, size_t max);
void ctl_put_bytes(struct ctl_writer *w, const void *bytes, size_t n);

/* ---- frames ---- */

struct ctl_frame {
	uint8_t type;
	struct ctl_reader body;
};

/* The first frame in `len` bytes, at most `max` long. Returns the bytes that it takes; 0: more are needed; -1: this
 * cannot be a frame. */
int ctl_frame_next(const uint8_t *buf, size_t len, size_t max, struct ctl_frame *frame);
/* Begins a frame; ctl_frame_end() fills in the length. A frame that does not fit is removed: ctl_frame_end() returns
 * false, and the writer is as before. */
size_t ctl_frame_begin(struct ctl_writer *w, enum ctl_type type);
bool ctl_frame_end(struct ctl_writer *w, size_t begin);

/*
 * ---- frames by kind, here and in ctlrecord.h: each ctl_put_ writes one whole frame (false: no room, nothing written),
 * each ctl_get_ reads a body (false: malformed) ----
 */

enum {
	CTL_HELLO_READ_ONLY = 1 /* the client gives up the right to make changes, whatever its user may do */,
	CTL_HELLO_ALL = 1
};

struct ctl_hello {
	uint32_t magic;
	uint16_t version;     /* request: the highest that the client speaks; reply: the one to use */
	uint16_t version_min; /* request: the lowest; reply: 0 */
	bool may_change;      /* reply only */
	char daemon[64];      /* reply only: natd's version */
	/* Reply only; 0 from an older natd. `instance`: the run of natd that numbers the events, as microseconds
	 * since the epoch. `kept_kinds`: the kinds of events (1 << enum ctl_event_kind) that natd records even
	 * without subscribers. */
	uint64_t instance;
	uint32_t kept_kinds;
	uint8_t flags; /* request only: CTL_HELLO_ bits */
};
bool ctl_put_hello(struct ctl_writer *w, const struct ctl_hello *h);
bool ctl_put_hello_reply(struct ctl_writer *w, const struct ctl_hello *h);
bool ctl_get_hello(struct ctl_reader *r, struct ctl_hello *h);
bool ctl_get_hello_reply(struct ctl_reader *r, struct ctl_hello *h);

/* Two counts: entries shown, counted or ended, and 0; for a reload sessions kept and sessions ended. */
struct ctl_end {
	uint64_t count;
	uint64_t count2;
};
bool ctl_put_end(struct ctl_writer *w, uint64_t count, uint64_t count2);
bool ctl_get_end(struct ctl_reader *r, struct ctl_end *e);

struct ctl_error {
	uint16_t code; /* enum ctl_error_code */
	char text[CTL_TEXT_MAX + 1];
};
bool ctl_put_error(struct ctl_writer *w, enum ctl_error_code code, const char *text);
bool ctl_get_error(struct ctl_reader *r, struct ctl_error *e);

#endif
