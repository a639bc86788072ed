/* SPDX-License-Identifier: ISC */
/*
 * Limits of an inside host: its quotas, its rate, and its share of scarce resources.
 *
 * Theory of operation
 *
 * A host has two budgets for everything, by the direction of the opening: one for sessions that it opens itself, one
 * for sessions opened from outside, through a forward or a mapping. So an outside host can only use up the second one,
 * and the inside host can still open sessions of its own. Only the first kind needs ports.
 *
 * A reserve of the table, and of the ports of each outside address, is for hosts that hold less than what is left of
 * it: limits.reserve. So a host that holds nothing is served as long as there is anything (RFC 6888 REQ-4, 5), and a
 * host that is alone can use nearly everything. The last half of the table's reserve is closed to openings from
 * outside, once these together hold more than what is left.
 *
 * Unanswered sessions are cheap to make, so a host must always have fewer of them than what is left. For a host's own
 * openings this applies only while other hosts are active.
 *
 * No open session is ever evicted (RFC 6888 REQ-11D). Expired entries count until table_sweep() has seen them: before a
 * refusal for lack of room the caller makes room (nat_make_room()) and checks again.
 */
#include "nat_private.h"

enum {
	RESERVE_LEAST = 256,	/* of ports or sessions, unless that is more than an eighth */
	RESERVE_HOSTS = 8,	/* active hosts from which on the reserve is an eighth */
	UNANSWERED_FROM = 1024, /* below that many the reserve is enough */
};

/* The use of one budget, of ports or sessions, of `total`. */
struct claim {
	uint32_t held;
	uint32_t unanswered;
	uint32_t total;
	uint32_t left;
	bool is_rivalled; /* other hosts want them too */
};

uint32_t nat_reserve(const struct nat *n, uint32_t total, uint32_t hosts)
{
	int percent = n->policy->limits.reserve;
	uint32_t part, least = total / 8 < RESERVE_LEAST ? total / 8 : RESERVE_LEAST;

	if (percent != RESERVE_AUTO)
		return (uint32_t)((uint64_t)total * (uint32_t)percent / 100);
	if (hosts > RESERVE_HOSTS)
		hosts = RESERVE_HOSTS;
	part = (uint32_t)((uint64_t)total * hosts / (8 * RESERVE_HOSTS));
	return part > least ? part : least;
}

/* The hosts that are active once this one has a session. */
static uint32_t active_hosts(const struct nat *n, const struct host *h)
{
	return table_host_count(n->table) + (h == NULL);
}

/* It holds less than what is left: whatever the reserve, it may have more. So the reserve is computed for few
 * openings. */
static bool is_modest(const struct claim *c)
{
	return c->held < c->left && c->unanswered < c->left;
}

static enum nat_reason check_share(const struct claim *c, uint32_t reserve)
{
	if (reserve == 0)
		return NAT_PASS;
	if (c->is_rivalled && c->total >= UNANSWERED_FROM && c->unanswered > 0 && c->unanswered >= c->left)
		return DROP_UNANSWERED_BUDGET;
	return c->left <= reserve && c->held > 0 && c->held >= c->left ? DROP_HOST_SHARE : NAT_PASS;
}

/* Will the host of the session that is opened before this one be another active one? */
static bool brings_host(const struct nat *n, const struct host *h, const struct session_spec *pending)
{
	const struct host *p = pending == NULL ? NULL : table_host_find(n->table, pending->int_addr);

	return pending != NULL && p == NULL && (h == NULL || h->address != pending->int_addr);
}

static enum nat_reason check_table_share(const struct nat *n, const struct host *h, enum nat_dir opening,
					 const struct session_spec *pending)
{
	uint32_t total = n->policy->limits.sessions, left = total - table_session_count(n->table) - (pending != NULL);
	bool is_flooded = opening == DIR_IN && table_incoming_count(n->table) >= left;
	struct claim c = {.total = total, .left = left};
	uint32_t hosts, reserve;
	enum nat_reason why;

	if (h != NULL && opening == DIR_IN) {
		c.held = h->incoming;
		c.unanswered = h->unanswered_in;
	} else if (h != NULL) {
		c.held = h->sessions - h->incoming;
		c.unanswered = h->unanswered - h->unanswered_in;
	}
	if (is_modest(&c) && !is_flooded)
		return NAT_PASS;
	hosts = active_hosts(n, h) + brings_host(n, h, pending);
	reserve = nat_reserve(n, total, hosts);
	c.is_rivalled = opening == DIR_IN || hosts > 1;
	why = check_share(&c, reserve);
	return why == NAT_PASS && is_flooded && left <= reserve / 2 ? DROP_HOST_SHARE : why;
}

/* The tokens in the bucket now. It holds one second's worth, and is full after a second without openings. */
static uint32_t tokens(const struct nat *n, const struct host *h, enum nat_dir opening, uint32_t limit)
{
	uint32_t elapsed;
	uint64_t sum;

	if (h == NULL || h->rate[opening].ms == 0)
		return limit;
	elapsed = ((uint32_t)n->now_ms | 1) - h->rate[opening].ms;
	if (elapsed >= 1000)
		return limit;
	sum = h->rate[opening].tokens + (uint64_t)elapsed * limit / 1000;
	return sum > limit ? limit : (uint32_t)sum;
}

void nat_rate_take(const struct nat *n, struct host *h, enum nat_dir opening)
{
	uint32_t limit = rules_host_limits(n->rules, h->address)->new_sessions;
	uint32_t now = (uint32_t)n->now_ms | 1, elapsed = now - h->rate[opening].ms, have;

	if (limit == 0)
		return;
	have = tokens(n, h, opening, limit);
	/* The time stays until it has brought a token: fractions add up. */
	if (h->rate[opening].ms == 0 || elapsed >= 1000 || (uint64_t)elapsed * limit >= 1000)
		h->rate[opening].ms = now;
	h->rate[opening].tokens = have > 0 ? have - 1 : 0;
}

enum nat_reason nat_check_sessions(const struct nat *n, uint32_t address, const struct host *h, enum nat_dir opening,
				   const struct session_spec *pending)
{
	const struct nat_host_limits *own = rules_host_limits(n->rules, address);
	uint32_t held = h == NULL ? 0 : opening == DIR_IN ? h->incoming : h->sessions - h->incoming;
	enum nat_reason why;

	if (table_session_count(n->table) + (pending != NULL) >= n->policy->limits.sessions)
		return DROP_SESSIONS_FULL;
	if (own->sessions != 0 && held >= own->sessions)
		return DROP_HOST_SESSIONS;
	why = check_table_share(n, h, opening, pending);
	if (why != NAT_PASS)
		return why;
	return own->new_sessions != 0 && tokens(n, h, opening, own->new_sessions) == 0 ? DROP_HOST_RATE : NAT_PASS;
}

static uint32_t range_total(const struct nat_range *r, uint32_t count)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < count; i++)
		total += (uint32_t)r[i].last - r[i].first + 1;
	return total;
}

enum nat_reason nat_check_ports(const struct nat *n, const struct host *h, const struct port_request *rq,
				uint32_t *left)
{
	enum nat_class proto_class = (enum nat_class)rq->proto_class;
	uint32_t used = table_address_ports_used(n->table, rq->ext, proto_class), hosts;
	struct claim c = {.total = range_total(rq->ranges, rq->n_ranges)};

	if (rq->may_recycle) /* quarantined ones are available */
		used -= table_address_ports_resting(n->table, rq->ext, proto_class);
	*left = c.left = used < c.total ? c.total - used : 0;
	if (h != NULL) {
		uint32_t unanswered = h->unanswered - h->unanswered_in;

		c.held = h->ports;
		c.unanswered = unanswered < h->ports ? unanswered : h->ports; /* several may share a port */
	}
	if (is_modest(&c))
		return NAT_PASS;
	hosts = active_hosts(n, h);
	c.is_rivalled = hosts > 1;
	return check_share(&c, nat_reserve(n, c.total, hosts));
}

uint32_t nat_kept_blocks(const struct nat *n, const struct host *h, uint16_t ext)
{
	uint32_t free, total = table_address_blocks(n->table, ext, &free);

	if (free > total / 2) /* the reserve is half of them at most */
		return 0;
	return nat_reserve(n, total, active_hosts(n, h));
}

bool nat_is_about_room(enum nat_reason why)
{
	return why == DROP_NO_ADDRESS || why == DROP_NO_PORT || why == DROP_SESSIONS_FULL ||
	       why == DROP_HOST_SESSIONS || why == DROP_HOST_PORTS || why == DROP_HOST_BLOCKS ||
	       why == DROP_HOST_SHARE || why == DROP_UNANSWERED_BUDGET || why == DROP_TABLE;
}

/* Once every record has been seen, nothing more expires before the next second: so a flood of refused packets costs
 * no more than the refusals. */
bool nat_make_room(struct nat *n)
{
	enum { RECORDS = 4096 };
	uint32_t round = table_sweep_round(n->table);

	if (n->sweeping.second != n->now_s) {
		n->sweeping.second = n->now_s;
		n->sweeping.visited = 0;
	}
	if (n->sweeping.visited >= (round > 0 ? round : 1))
		return false;
	n->sweeping.visited += table_sweep(n->table, n->now_s, RECORDS).visited + (round == 0);
	n->counters[COUNT_EARLY_SWEEP]++;
	nat_claim_slots(n);
	return true;
}
