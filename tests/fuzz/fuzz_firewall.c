/* SPDX-License-Identifier: ISC */
/*
 * Fuzz target: the reader of nftables' rules. Input: netlink messages of a dump, as the kernel sends them, lengths and
 * all. Reading ends, stays within the input, and makes a model for questions about packets.
 */
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/kernel/firewall.h"

enum { MESSAGES = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct firewall *f)
{
	static const char *const names[] = {"", "lan0", "natd0", "out0"};
	struct firewall_packet p = {.mark = 7};

	for (unsigned i = 0; i < 16; i += 5) {
		p.iif = names[i & 3];
		p.oif = names[i >> 2];
		p.ct_state = i & 1 ? FIREWALL_CT_NEW : FIREWALL_CT_ESTABLISHED;
		(void)firewall_find_nat(f, &p);
		for (uint32_t c = 0; c < f->n_chains; c++) {
			if (f->chains[c].hook != FIREWALL_NO_HOOK)
				(void)firewall_ask(f, &f->chains[c], &p);
		}
	}
}

/* Each message stands in memory of exactly its length, so that a sanitizer sees a read beyond it. */
static void take(struct firewall *f, const uint8_t *data, size_t size)
{
	const struct nlmsghdr head = {.nlmsg_len = (uint32_t)(size - 1 + sizeof(head)),
				      .nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 |
							       (data[0] & 1 ? NFT_MSG_NEWRULE : NFT_MSG_NEWCHAIN))};
	uint8_t *m = calloc(1, NLMSG_ALIGN(head.nlmsg_len)); /* the kernel pads them */

	if (!m)
		return;
	memcpy(m, &head, sizeof(head));
	memcpy(m + sizeof(head), data + 1, size - 1);
	netlink_firewall_take(f, (const struct nlmsghdr *)(const void *)m);
	free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct firewall f = {0};

	for (unsigned n = 0; n < MESSAGES && size > 2; n++) {
		size_t len = (size_t)(data[0] << 8 | data[1]) % 2048 + 1;

		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		take(&f, data, len);
		data += len;
		size -= len;
	}
	ask(&f);
	firewall_fini(&f);
	return 0;
}
