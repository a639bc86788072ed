/* SPDX-License-Identifier: ISC */
/*
 * The effect of this host's firewall on natd's packets: the base chains of nftables (iptables-nft makes the same), and
 * a walk through them. A model of the rules, built once, then queried for packets.
 *
 * Most conditions cannot be evaluated without the packet (an address, a port, a set). So a walk has three results; "may
 * pass" means that such a condition decides, and is no finding. "Drops" means: with any addresses and ports.
 */
#ifndef NATD_DAEMON_FIREWALL_H
#define NATD_DAEMON_FIREWALL_H

#include <stdbool.h>
#include <stdint.h>

#include "netlink.h"

enum { FIREWALL_NAME_SIZE = 64 }; /* longer names of tables and chains are cut off */

/* Numbered as NF_INET_. */
enum firewall_hook {
	FIREWALL_PREROUTING,
	FIREWALL_INPUT,
	FIREWALL_FORWARD,
	FIREWALL_OUTPUT,
	FIREWALL_POSTROUTING,
	FIREWALL_NO_HOOK
};

enum firewall_answer { FIREWALL_NO, FIREWALL_YES, FIREWALL_UNKNOWN };

/* Bits of `ct state`, numbered as in the kernel. */
enum { FIREWALL_CT_ESTABLISHED = 2, FIREWALL_CT_NEW = 8 };

enum firewall_verdict {
	FIREWALL_CONTINUE,
	FIREWALL_ACCEPT,
	FIREWALL_DROP, /* or reject */
	FIREWALL_JUMP,
	FIREWALL_GOTO,
	FIREWALL_RETURN,
	FIREWALL_OTHER /* a queue, a verdict map: it may accept */
};

/* A test of the packet: an interface's name (whole, or a prefix of it), the mark, state and status of connection
 * tracking, the protocol. No other rule translates natd's packets, so they have neither translation bit in the
 * status. */
enum firewall_field {
	FIREWALL_IIF,
	FIREWALL_OIF,
	FIREWALL_MARK,
	FIREWALL_CT_STATE,
	FIREWALL_CT_STATUS,
	FIREWALL_PROTOCOL,
	FIREWALL_ANYTHING
};
enum { FIREWALL_CT_TRANSLATED = 0x30 }; /* IPS_SRC_NAT, IPS_DST_NAT: `ct status snat,dnat` */

struct firewall_test {
	uint8_t field; /* enum firewall_field; FIREWALL_ANYTHING: cannot be evaluated */
	bool is_negated;
	uint8_t length; /* of the name: bytes compared, with the NUL unless it is a prefix */
	char name[NETLINK_IFNAME_SIZE];
	uint32_t value; /* FIREWALL_MARK; FIREWALL_CT_STATE, _STATUS: one of these bits; FIREWALL_PROTOCOL */
};

enum { FIREWALL_TESTS = 6 };

struct firewall_rule {
	uint8_t family; /* NFPROTO_ */
	char table[FIREWALL_NAME_SIZE], chain[FIREWALL_NAME_SIZE];
	uint8_t verdict; /* enum firewall_verdict */
	char target[FIREWALL_NAME_SIZE];
	bool translates;   /* masquerade, snat, dnat, redirect */
	bool by_interface; /* looks at the interface by which the packet came, in whatever way */
	bool rejects;	   /* drops, and the kernel sends an error about it */
	uint8_t n_tests;
	struct firewall_test tests[FIREWALL_TESTS]; /* all must hold */
};

struct firewall_chain {
	uint8_t family;
	uint8_t hook; /* enum firewall_hook */
	bool drops;   /* its policy is to drop; base chains only */
	char table[FIREWALL_NAME_SIZE], name[FIREWALL_NAME_SIZE];
};

/* Initialize with zero. */
struct firewall {
	struct firewall_chain *chains;
	uint32_t n_chains, chains_room;
	struct firewall_rule *rules; /* in the order of each chain */
	uint32_t n_rules, rules_room;
	bool is_short; /* memory was short: unusable */
};

void firewall_fini(struct firewall *f);

/* For readers of rules; false: out of memory. */
bool firewall_add_chain(struct firewall *f, const struct firewall_chain *c);
bool firewall_add_rule(struct firewall *f, const struct firewall_rule *r);
/* Adds a test to a rule; the last element of the array stands for all that do not fit. */
void firewall_add_test(struct firewall_rule *r, const struct firewall_test *t);

struct firewall_packet {
	const char *iif, *oif; /* "": none */
	uint32_t mark;
	uint32_t ct_state; /* one bit */
	uint8_t protocol;  /* IPPROTO_; 0: any */
};

struct firewall_result {
	bool drops;	/* every such packet */
	bool by_policy; /* no rule of the base chain matches it */
};

struct firewall_result firewall_ask(const struct firewall *f, const struct firewall_chain *base,
				    const struct firewall_packet *p);

/* May the chain reject such a packet, depending on what is not known of it? */
bool firewall_may_reject(const struct firewall *f, const struct firewall_chain *base, const struct firewall_packet *p);

/* Is there a rule of the chain, or of one that it may jump to, which lets by `device` what it may keep out by `other`,
 * or keeps it out by `other` alone? Both are names of interfaces by which packets come in. */
bool firewall_favours(const struct firewall *f, const struct firewall_chain *base, const char *device,
		      const char *other);

/* Does the table of that base chain have such a chain? */
bool firewall_has_chain(const struct firewall *f, const struct firewall_chain *like, const char *name);
/* A rule that translates every such packet, unless an earlier rule takes it out; NULL: none. */
const struct firewall_rule *firewall_find_nat(const struct firewall *f, const struct firewall_packet *p);

/* "ip", "inet", "ip6"... */
const char *firewall_family(uint8_t family);

/*
 * Reads chains and rules of all tables that IPv4 packets pass. Needs netlink_open_filter(), and CAP_NET_ADMIN in
 * effect. Returns 0 or a negative errno (-EPROTONOSUPPORT: not opened, or the kernel has no nftables).
 */
int netlink_firewall(struct netlink *nl, struct firewall *out);
/* Takes one message of such a dump: a chain or a rule; others are ignored. */
struct nlmsghdr;
void netlink_firewall_take(struct firewall *f, const struct nlmsghdr *nlh);
/* The number of the ruleset's current generation, which changes with every change; or a negative errno. */
int64_t netlink_firewall_generation(struct netlink *nl);

#endif
