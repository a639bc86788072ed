/* SPDX-License-Identifier: ISC */
/*
 * The rules of nftables, through nfnetlink: the parts of each that firewall.h can evaluate.
 *
 * Theory of operation. A rule is a list of expressions that load a part of the packet into a register and compare it. A
 * small interpreter tracks the field in each register. An unknown field becomes a test that cannot be evaluated; an
 * expression without effect on the verdict (a counter, a log line) is ignored.
 */
#include <errno.h>
#include <linux/ip.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_conntrack.h>
#include <stddef.h>
#include <string.h>

#include "firewall.h"
#include "nlbus.h"

enum {
	REGISTERS = 24, /* NFT_REG_1 to 4, and the 16 of four bytes from NFT_REG32_00 on */
	DUMP_ATTEMPTS = 8,
	NAME_OF_MATCH = 32,
};

struct reader {
	struct firewall *out;
	struct firewall_rule rule;
	uint8_t field[REGISTERS]; /* enum firewall_field */
	uint32_t mask[REGISTERS];
	bool is_over; /* a verdict ended the rule */
};

static void get_name(const struct nlbus_attributes *as, unsigned type, char *out, size_t size)
{
	size_t len = as->len[type] < size ? as->len[type] : size - 1;

	memset(out, 0, size);
	if (len > 0)
		memcpy(out, as->data[type], len);
}

static uint32_t reg_of(const struct nlbus_attributes *as, unsigned type)
{
	uint32_t reg = nlbus_be32(as, type, 0);

	return reg < REGISTERS ? reg : 0;
}

/* ---- expressions ---- */

static void add_unknown(struct reader *r)
{
	firewall_add_test(&r->rule, &(struct firewall_test){.field = FIREWALL_ANYTHING});
}

static void load(struct reader *r, uint32_t reg, enum firewall_field field)
{
	r->field[reg] = (uint8_t)field;
	r->mask[reg] = UINT32_MAX;
}

static void take_meta(struct reader *r, const struct nlbus_attributes *as)
{
	enum firewall_field field = FIREWALL_ANYTHING;

	if (!as->len[NFTA_META_DREG]) /* sets something */
		return;
	switch (nlbus_be32(as, NFTA_META_KEY, NFT_META_LEN)) {
	case NFT_META_IIFNAME:
		field = FIREWALL_IIF;
		r->rule.by_interface = true;
		break;
	case NFT_META_IIF:
		r->rule.by_interface = true;
		break;
	case NFT_META_OIFNAME:
		field = FIREWALL_OIF;
		break;
	case NFT_META_MARK:
		field = FIREWALL_MARK;
		break;
	case NFT_META_L4PROTO:
		field = FIREWALL_PROTOCOL;
		break;
	default:
		break;
	}
	load(r, reg_of(as, NFTA_META_DREG), field);
}

/* Of the packet's bytes only the protocol in its IPv4 header is recognised. */
static void take_payload(struct reader *r, const struct nlbus_attributes *as)
{
	bool is_protocol = nlbus_be32(as, NFTA_PAYLOAD_BASE, 0) == NFT_PAYLOAD_NETWORK_HEADER &&
			   nlbus_be32(as, NFTA_PAYLOAD_OFFSET, 0) == offsetof(struct iphdr, protocol) &&
			   nlbus_be32(as, NFTA_PAYLOAD_LEN, 0) == 1;

	if (as->len[NFTA_PAYLOAD_DREG])
		load(r, reg_of(as, NFTA_PAYLOAD_DREG), is_protocol ? FIREWALL_PROTOCOL : FIREWALL_ANYTHING);
}

static void take_ct(struct reader *r, const struct nlbus_attributes *as)
{
	enum firewall_field field = FIREWALL_ANYTHING;

	if (!as->len[NFTA_CT_DREG]) /* sets something */
		return;
	switch (nlbus_be32(as, NFTA_CT_KEY, NFT_CT_MARK)) {
	case NFT_CT_STATE:
		field = FIREWALL_CT_STATE;
		break;
	case NFT_CT_STATUS:
		field = FIREWALL_CT_STATUS;
		break;
	default:
		break;
	}
	load(r, reg_of(as, NFTA_CT_DREG), field);
}

/* Are its values bits, of which a rule tests any? */
static bool has_bits(enum firewall_field field)
{
	return field == FIREWALL_CT_STATE || field == FIREWALL_CT_STATUS;
}

static void take_bitwise(struct reader *r, const struct nlbus_attributes *as)
{
	uint32_t from = reg_of(as, NFTA_BITWISE_SREG), to = reg_of(as, NFTA_BITWISE_DREG);
	struct nlbus_attributes mask;

	nlbus_read_nested(as, NFTA_BITWISE_MASK, &mask);
	load(r, to, has_bits(r->field[from]) ? r->field[from] : FIREWALL_ANYTHING);
	r->mask[to] = nlbus_u32(&mask, NFTA_DATA_VALUE, 0);
}

/* Names of interfaces, a mark, or "state or status has one of these bits" (written as: not equal to 0 under a mask). */
static void take_cmp(struct reader *r, const struct nlbus_attributes *as)
{
	uint32_t reg = reg_of(as, NFTA_CMP_SREG), op = nlbus_be32(as, NFTA_CMP_OP, NFT_CMP_LT);
	struct firewall_test t = {.field = r->field[reg], .is_negated = op == NFT_CMP_NEQ};
	struct nlbus_attributes data;
	uint16_t len;

	nlbus_read_nested(as, NFTA_CMP_DATA, &data);
	len = data.len[NFTA_DATA_VALUE];
	t.value = nlbus_u32(&data, NFTA_DATA_VALUE, 0);
	if (has_bits(t.field)) {
		t.is_negated = op == NFT_CMP_EQ;
		if (t.value != 0 || r->mask[reg] == UINT32_MAX)
			t.field = FIREWALL_ANYTHING;
		t.value = r->mask[reg];
	} else if (t.field == FIREWALL_PROTOCOL) {
		t.value = len == 1 ? *(const uint8_t *)data.data[NFTA_DATA_VALUE] : 0;
	} else if (t.field == FIREWALL_IIF || t.field == FIREWALL_OIF) {
		t.length = (uint8_t)(len < sizeof(t.name) ? len : sizeof(t.name));
		if (t.length > 0)
			memcpy(t.name, data.data[NFTA_DATA_VALUE], t.length);
	}
	if (op != NFT_CMP_EQ && op != NFT_CMP_NEQ)
		t.field = FIREWALL_ANYTHING;
	firewall_add_test(&r->rule, &t);
}

/* A set; or a map of verdicts, which may do anything. One over the state of tracking usually has nothing for a new
 * connection: firewalld writes `ct state { established, related } accept`. */
static void take_lookup(struct reader *r, const struct nlbus_attributes *as)
{
	static const struct firewall_test established = {.field = FIREWALL_CT_STATE, .value = FIREWALL_CT_ESTABLISHED};
	bool is_state = r->field[reg_of(as, NFTA_LOOKUP_SREG)] == FIREWALL_CT_STATE;

	if (!as->len[NFTA_LOOKUP_DREG]) {
		if (is_state && nlbus_be32(as, NFTA_LOOKUP_FLAGS, 0) == 0)
			firewall_add_test(&r->rule, &established);
		else
			add_unknown(r);
	} else if (nlbus_be32(as, NFTA_LOOKUP_DREG, 0) != NFT_REG_VERDICT) {
		load(r, reg_of(as, NFTA_LOOKUP_DREG), FIREWALL_ANYTHING);
	} else {
		if (is_state)
			firewall_add_test(&r->rule, &established);
		add_unknown(r);
		r->rule.verdict = FIREWALL_OTHER;
	}
}

static enum firewall_verdict verdict_of(int32_t code)
{
	switch (code) {
	case NF_ACCEPT:
		return FIREWALL_ACCEPT;
	case NF_DROP:
		return FIREWALL_DROP;
	case NFT_JUMP:
		return FIREWALL_JUMP;
	case NFT_GOTO:
		return FIREWALL_GOTO;
	case NFT_RETURN:
		return FIREWALL_RETURN;
	case NFT_CONTINUE:
		return FIREWALL_CONTINUE;
	default:
		return FIREWALL_OTHER;
	}
}

static void take_immediate(struct reader *r, const struct nlbus_attributes *as)
{
	struct nlbus_attributes data, verdict;

	if (nlbus_be32(as, NFTA_IMMEDIATE_DREG, NFT_REG_1) != NFT_REG_VERDICT) {
		load(r, reg_of(as, NFTA_IMMEDIATE_DREG), FIREWALL_ANYTHING);
		return;
	}
	nlbus_read_nested(as, NFTA_IMMEDIATE_DATA, &data);
	nlbus_read_nested(&data, NFTA_DATA_VERDICT, &verdict);
	r->rule.verdict = (uint8_t)verdict_of((int32_t)nlbus_be32(&verdict, NFTA_VERDICT_CODE, (uint32_t)NFT_CONTINUE));
	get_name(&verdict, NFTA_VERDICT_CHAIN, r->rule.target, sizeof(r->rule.target));
}

/* iptables: only `-m conntrack --ctstate` matters; comments are not a test. */
static void take_xt_match(struct reader *r, const struct nlbus_attributes *as)
{
	struct xt_conntrack_mtinfo3 info;
	char name[NAME_OF_MATCH];

	get_name(as, NFTA_MATCH_NAME, name, sizeof(name));
	if (strcmp(name, "comment") == 0)
		return;
	if (strcmp(name, "conntrack") == 0 && nlbus_be32(as, NFTA_MATCH_REV, 0) == 3 &&
	    as->len[NFTA_MATCH_INFO] >= sizeof(info)) {
		memcpy(&info, as->data[NFTA_MATCH_INFO], sizeof(info));
		if (info.match_flags == XT_CONNTRACK_STATE) {
			firewall_add_test(&r->rule,
					  &(struct firewall_test){.field = FIREWALL_CT_STATE,
								  .is_negated = info.invert_flags & XT_CONNTRACK_STATE,
								  .value = info.state_mask});
			return;
		}
	}
	add_unknown(r);
}

static void take_xt_target(struct reader *r, const struct nlbus_attributes *as)
{
	static const char *const nat[] = {"MASQUERADE", "SNAT", "DNAT", "REDIRECT", "NETMAP"};
	char name[NAME_OF_MATCH];

	get_name(as, NFTA_TARGET_NAME, name, sizeof(name));
	r->rule.rejects = strcmp(name, "REJECT") == 0;
	if (r->rule.rejects)
		r->rule.verdict = FIREWALL_DROP;
	else if (strncmp(name, "NFQUEUE", 7) == 0)
		r->rule.verdict = FIREWALL_OTHER;
	for (unsigned i = 0; i < sizeof(nat) / sizeof(nat[0]); i++)
		r->rule.translates |= strcmp(name, nat[i]) == 0;
}

static void take_nat(struct reader *r, const struct nlbus_attributes *as)
{
	(void)as;
	r->rule.translates = true;
}

static void take_reject(struct reader *r, const struct nlbus_attributes *as)
{
	(void)as;
	r->rule.verdict = FIREWALL_DROP;
	r->rule.rejects = true;
}

static void take_queue(struct reader *r, const struct nlbus_attributes *as)
{
	(void)as;
	r->rule.verdict = FIREWALL_OTHER;
}

static void take_nothing(struct reader *r, const struct nlbus_attributes *as)
{
	(void)r;
	(void)as;
}

static void take_limit(struct reader *r, const struct nlbus_attributes *as)
{
	(void)as;
	add_unknown(r);
}

static void take_expression(struct reader *r, const char *name, const struct nlbus_attributes *as)
{
	static const struct {
		const char *name;
		void (*take)(struct reader *r, const struct nlbus_attributes *as);
	} kinds[] = {
		{"meta", take_meta},	   {"cmp", take_cmp},	       {"ct", take_ct},
		{"bitwise", take_bitwise}, {"lookup", take_lookup},    {"immediate", take_immediate},
		{"match", take_xt_match},  {"target", take_xt_target}, {"reject", take_reject},
		{"queue", take_queue},	   {"nat", take_nat},	       {"masq", take_nat},
		{"redir", take_nat},	   {"counter", take_nothing},  {"log", take_nothing},
		{"notrack", take_nothing}, {"objref", take_nothing},   {"payload", take_payload},
		{"limit", take_limit},	   {"quota", take_limit},      {"connlimit", take_limit},
		{"range", take_limit},	   {"dynset", take_limit},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(name, kinds[i].name) != 0)
			continue;
		kinds[i].take(r, as);
		return;
	}
	/* Unknown: treated as if it loaded all registers, and as a test. */
	memset(r->field, FIREWALL_ANYTHING, sizeof(r->field));
	add_unknown(r);
}

static void take_element(void *ctx, const struct nlbus_attributes *element)
{
	struct nlbus_attributes data;
	char name[NAME_OF_MATCH];

	get_name(element, NFTA_EXPR_NAME, name, sizeof(name));
	nlbus_read_nested(element, NFTA_EXPR_DATA, &data);
	take_expression(ctx, name, &data);
}

/* ---- chains and rules ---- */

static bool is_ipv4(const struct nfgenmsg *m)
{
	return m->nfgen_family == NFPROTO_IPV4 || m->nfgen_family == NFPROTO_INET;
}

static uint16_t message(uint16_t type)
{
	return (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
}

static void take_chain(void *ctx, const struct nlmsghdr *nlh)
{
	struct firewall_chain c = {.hook = FIREWALL_NO_HOOK};
	struct nlbus_attributes as, hook;
	const struct nfgenmsg *m = nlbus_read(nlh, message(NFT_MSG_NEWCHAIN), sizeof(*m), &as);
	uint32_t number;

	if (!m || !is_ipv4(m))
		return;
	c.family = m->nfgen_family;
	get_name(&as, NFTA_CHAIN_TABLE, c.table, sizeof(c.table));
	get_name(&as, NFTA_CHAIN_NAME, c.name, sizeof(c.name));
	if (as.data[NFTA_CHAIN_HOOK]) {
		nlbus_read_nested(&as, NFTA_CHAIN_HOOK, &hook);
		number = nlbus_be32(&hook, NFTA_HOOK_HOOKNUM, FIREWALL_NO_HOOK);
		c.hook = (uint8_t)(number < FIREWALL_NO_HOOK ? number : FIREWALL_NO_HOOK);
		c.drops = nlbus_be32(&as, NFTA_CHAIN_POLICY, NF_ACCEPT) == NF_DROP;
	}
	(void)firewall_add_chain(ctx, &c);
}

static void take_rule(void *ctx, const struct nlmsghdr *nlh)
{
	struct reader r = {.out = ctx};
	struct nlbus_attributes as;
	const struct nfgenmsg *m = nlbus_read(nlh, message(NFT_MSG_NEWRULE), sizeof(*m), &as);

	if (!m || !is_ipv4(m))
		return;
	memset(r.field, FIREWALL_ANYTHING, sizeof(r.field));
	r.rule.family = m->nfgen_family;
	get_name(&as, NFTA_RULE_TABLE, r.rule.table, sizeof(r.rule.table));
	get_name(&as, NFTA_RULE_CHAIN, r.rule.chain, sizeof(r.rule.chain));
	nlbus_each_nested(&as, NFTA_RULE_EXPRESSIONS, take_element, &r);
	(void)firewall_add_rule(ctx, &r.rule);
}

void netlink_firewall_take(struct firewall *f, const struct nlmsghdr *nlh)
{
	take_chain(f, nlh);
	take_rule(f, nlh);
}

static int dump(struct netlink *nl, uint16_t type, nlbus_answer_fn *fn, struct firewall *out)
{
	const struct nfgenmsg m = {.nfgen_family = NFPROTO_UNSPEC, .version = NFNETLINK_V0};

	return nlbus_exchange(nl, NLBUS_FILTER, nlbus_request(nl, message(type), NLM_F_DUMP, &m, sizeof(m)), fn, out);
}

int netlink_firewall(struct netlink *nl, struct firewall *out)
{
	int rc = -EINTR;

	for (int i = 0; i < DUMP_ATTEMPTS && rc == -EINTR; i++) { /* changed meanwhile */
		firewall_fini(out);
		rc = dump(nl, NFT_MSG_GETCHAIN, take_chain, out);
		if (rc == 0)
			rc = dump(nl, NFT_MSG_GETRULE, take_rule, out);
	}
	if (rc == 0 && out->is_short)
		rc = -ENOMEM;
	return rc;
}

static void take_generation(void *ctx, const struct nlmsghdr *nlh)
{
	struct nlbus_attributes as;

	if (nlbus_read(nlh, message(NFT_MSG_NEWGEN), sizeof(struct nfgenmsg), &as))
		*(int64_t *)ctx = nlbus_be32(&as, NFTA_GEN_ID, 0);
}

int64_t netlink_firewall_generation(struct netlink *nl)
{
	const struct nfgenmsg m = {.nfgen_family = NFPROTO_UNSPEC, .version = NFNETLINK_V0};
	int64_t generation = 0;
	int rc = nlbus_exchange(nl, NLBUS_FILTER, nlbus_request(nl, message(NFT_MSG_GETGEN), NLM_F_ACK, &m, sizeof(m)),
				take_generation, &generation);

	return rc < 0 ? rc : generation;
}
