/* SPDX-License-Identifier: ISC */
/* Datagrams to natd itself, see inbox.h. The core has checked the lengths of the packets; fragments, and anything
 * but UDP, are dropped. */
#include "inbox.h"

#include <string.h>

#include "core/nat/probe.h"
#include "core/packet/packet.h"

enum { UDP_HEADER = 8 };

struct inbox_box *inbox_find(struct inbox *i, uint16_t port)
{
	for (uint32_t b = 0; b < INBOX_BOXES && port != 0; b++) {
		if (i->boxes[b].port == port)
			return &i->boxes[b];
	}
	return NULL;
}

static void keep(struct inbox_box *box, const struct pkt_view *v)
{
	struct inbox_datagram *d;
	uint32_t len = v->l4_len - UDP_HEADER;

	if (box->n == INBOX_DATAGRAMS || len > INBOX_BYTES)
		return;
	d = &box->datagrams[box->n++];
	d->from = v->src;
	d->from_port = v->sport;
	d->len = (uint16_t)len;
	memcpy(d->bytes, v->l4 + UDP_HEADER, len);
}

bool inbox_take(struct inbox *i, const struct nat_packet *p)
{
	struct inbox_box *box;
	struct pkt_view v;

	if (load32(p->data + 16) != NAT_PROBE_ADDRESS)
		return false;
	if (p->gso_size != 0 || packet_parse(p->data, p->len, p->csum_partial, &v) != NAT_PASS || v.kind != PKT_UDP ||
	    v.frag != FRAG_NONE || v.l4_len < UDP_HEADER)
		return true;
	box = inbox_find(i, v.dport);
	if (box != NULL)
		keep(box, &v);
	return true;
}
