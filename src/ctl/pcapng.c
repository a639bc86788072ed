/* SPDX-License-Identifier: ISC */
/* pcapng blocks, see pcapng.h. A block is built in memory, because its length stands at both its ends. */
#include "pcapng.h"

#include <stdbool.h>
#include <string.h>

#include "common/ctlcapture.h"

enum {
	SECTION = 0x0a0d0d0a,
	INTERFACE = 1,
	STATISTICS = 5,
	PACKET = 6,
	BYTE_ORDER = 0x1a2b3c4d,
	LINKTYPE_IPV4 = 228,
	NANOSECONDS = 9, /* if_tsresol: 10 to that power a second */

	/* Options: of all blocks, of an interface, of a packet, of statistics. */
	OPT_END = 0,
	OPT_COMMENT = 1,
	SHB_USERAPPL = 4,
	IF_NAME = 2,
	IF_DESCRIPTION = 3,
	IF_TSRESOL = 9,
	EPB_FLAGS = 2,
	EPB_PACKETID = 5,
	ISB_IFRECV = 4,
	ISB_IFDROP = 5,

	OPTIONS_MAX = 1024,
};

struct block {
	size_t len;
	uint8_t bytes[64 + CTL_PACKET_BYTES_MAX + OPTIONS_MAX];
};

/* Padded to a multiple of four. */
static void put(struct block *b, const void *bytes, size_t len)
{
	size_t padded = (len + 3) & ~(size_t)3;

	if (sizeof(b->bytes) - b->len < padded + 4)
		return;
	if (len > 0)
		memcpy(b->bytes + b->len, bytes, len);
	memset(b->bytes + b->len + len, 0, padded - len);
	b->len += padded;
}

static void put_u32(struct block *b, uint32_t v)
{
	put(b, &v, sizeof(v));
}

static void put_time(struct block *b, uint64_t ns)
{
	put_u32(b, (uint32_t)(ns >> 32));
	put_u32(b, (uint32_t)ns);
}

static void put_option(struct block *b, uint16_t code, const void *value, size_t len)
{
	const uint16_t head[2] = {code, (uint16_t)len};

	put(b, head, sizeof(head));
	put(b, value, len);
}

static void put_text(struct block *b, uint16_t code, const char *text)
{
	put_option(b, code, text, strlen(text));
}

static void begin(struct block *b, uint32_t type)
{
	b->len = 0;
	put_u32(b, type);
	put_u32(b, 0);
}

static void finish(struct block *b, FILE *f)
{
	uint32_t len;

	put_option(b, OPT_END, NULL, 0);
	len = (uint32_t)b->len + 4;
	put_u32(b, len);
	memcpy(b->bytes + 4, &len, sizeof(len));
	fwrite(b->bytes, 1, len, f);
}

static void put_section(FILE *f)
{
	static const uint16_t version[2] = {1, 0};
	struct block b;

	begin(&b, SECTION);
	put_u32(&b, BYTE_ORDER);
	put(&b, version, sizeof(version));
	put_u32(&b, UINT32_MAX); /* length of the section: unknown */
	put_u32(&b, UINT32_MAX);
	put_text(&b, SHB_USERAPPL, "natctl " PACKAGE_VERSION);
	finish(&b, f);
}

static void put_interface(FILE *f, const char *name, const char *description, uint32_t longest)
{
	static const uint16_t link[2] = {LINKTYPE_IPV4, 0};
	static const uint8_t resolution = NANOSECONDS;
	struct block b;

	begin(&b, INTERFACE);
	put(&b, link, sizeof(link));
	put_u32(&b, longest);
	put_text(&b, IF_NAME, name);
	put_text(&b, IF_DESCRIPTION, description);
	put_option(&b, IF_TSRESOL, &resolution, sizeof(resolution));
	finish(&b, f);
}

void pcapng_begin(FILE *f, uint32_t longest)
{
	put_section(f);
	put_interface(f, "inside", "natd, with inside addresses", longest);
	put_interface(f, "outside", "natd, with outside addresses", longest);
}

void pcapng_put(FILE *f, const struct pcapng_packet *p)
{
	struct block b;

	begin(&b, PACKET);
	put_u32(&b, p->interface);
	put_time(&b, p->time_ns);
	put_u32(&b, p->len);
	put_u32(&b, p->wire_len);
	put(&b, p->bytes, p->len);
	put_text(&b, OPT_COMMENT, p->comment);
	put_option(&b, EPB_FLAGS, &p->direction, sizeof(p->direction));
	put_option(&b, EPB_PACKETID, &p->number, sizeof(p->number));
	finish(&b, f);
}

void pcapng_end(FILE *f, uint64_t time_ns, const uint64_t written[2], uint64_t lost)
{
	for (uint32_t side = 0; side < 2; side++) {
		struct block b;
		uint64_t received = written[side] + (side == 0 ? lost : 0);
		uint64_t dropped = side == 0 ? lost : 0; /* natd does not count lost packets by side */

		begin(&b, STATISTICS);
		put_u32(&b, side);
		put_time(&b, time_ns);
		put_option(&b, ISB_IFRECV, &received, sizeof(received));
		put_option(&b, ISB_IFDROP, &dropped, sizeof(dropped));
		finish(&b, f);
	}
}
