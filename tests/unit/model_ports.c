/* SPDX-License-Identifier: ISC */
/* Ports, addresses, limits: what the naive NAT could have chosen. See model_walk.h. */
#include "model_walk.h"

/* ---- ports ---- */

enum port_use { PORT_UNUSABLE, PORT_FREE, PORT_MAYBE, PORT_RESTS, PORT_TAKEN };

static enum port_use port_use(const struct walk *w, uint32_t ext, uint16_t port)
{
	const struct model *m = w->m;
	enum port_use use = PORT_FREE;

	if (!model_port_usable(w->policy, w->p->proto_class, ext, port))
		return PORT_UNUSABLE;
	for (uint32_t i = 0; i < m->n_sessions; i++) {
		const struct model_session *s = &m->sessions[i];

		/* a default host's session is there, with the same remote endpoint */
		if (s->mapping >= 0 || s->proto_class != w->p->proto_class || s->ext != ext || s->ext_port != port ||
		    s->rem != w->dst || s->rem_port != remote_port(w, DIR_OUT))
			continue;
		if (!s->dead)
			return PORT_UNUSABLE;
		use = PORT_MAYBE;
	}
	for (uint32_t i = 0; i < m->n_rests; i++) {
		const struct model_rest *r = &m->rests[i];
		uint32_t age = now_s(w) - r->since_s;

		if (r->proto_class != w->p->proto_class || r->ext != ext || r->port != port)
			continue;
		use = r->sure && age < w->policy->timeouts.port_reuse ? PORT_RESTS : PORT_MAYBE;
	}
	for (uint32_t i = 0; i < m->n_sessions; i++) {
		const struct model_session *s = &m->sessions[i];

		if (s->mapping < 0 || s->proto_class != w->p->proto_class || s->ext != ext || s->ext_port != port)
			continue;
		if (!s->dead)
			return PORT_TAKEN;
		use = PORT_MAYBE;
	}
	return use;
}

struct ports {
	uint32_t free, maybe, rests;
	uint32_t same_class, same_class_and_parity; /* of the free ones */
};

static bool same_class(uint16_t a, uint16_t b)
{
	return (a < 1024) == (b < 1024);
}

static struct ports count_ports(const struct walk *w, uint32_t ext, const struct nat_range *r, uint32_t n_ranges)
{
	struct ports n = {0};

	for (uint32_t i = 0; i < n_ranges; i++)
		for (uint32_t port = r[i].first; port <= r[i].last; port++) {
			enum port_use use = port_use(w, ext, (uint16_t)port);

			n.maybe += use == PORT_MAYBE;
			n.rests += use == PORT_RESTS;
			if (use != PORT_FREE)
				continue;
			n.free++;
			n.same_class += same_class((uint16_t)port, w->sport);
			n.same_class_and_parity += same_class((uint16_t)port, w->sport) && port % 2 == w->sport % 2;
		}
	return n;
}

/* RFC 6888 REQ-8: when a resting port may come back early. */
static bool may_recycle(const struct walk *w)
{
	return w->p->proto_class == CLASS_TCP || w->policy->filtering != FILTERING_ENDPOINT_INDEPENDENT;
}

bool walk_rests(const struct walk *w, uint32_t ext, uint16_t port)
{
	for (uint32_t i = 0; i < w->m->n_rests; i++) {
		const struct model_rest *r = &w->m->rests[i];

		if (r->proto_class == w->p->proto_class && r->ext == ext && r->port == port)
			return true;
	}
	return false;
}

void walk_end_rest(struct model *m, uint8_t proto_class, uint32_t ext, uint16_t port)
{
	for (uint32_t i = 0; i < m->n_rests; i++)
		if (m->rests[i].proto_class == proto_class && m->rests[i].ext == ext && m->rests[i].port == port)
			m->rests[i--] = m->rests[--m->n_rests];
}

static bool has_rested_longest(const struct walk *w, uint32_t ext, uint16_t port)
{
	uint32_t since = 0;

	for (uint32_t i = 0; i < w->m->n_rests; i++)
		if (w->m->rests[i].proto_class == w->p->proto_class && w->m->rests[i].ext == ext &&
		    w->m->rests[i].port == port)
			since = w->m->rests[i].since_s;
	for (uint32_t i = 0; i < w->m->n_rests; i++) {
		const struct model_rest *r = &w->m->rests[i];

		if (r->proto_class == w->p->proto_class && r->ext == ext && r->since_s < since &&
		    port_use(w, ext, r->port) == PORT_RESTS)
			return false;
	}
	return true;
}

static bool is_in_blocks(const struct walk *w)
{
	return w->policy->allocation != ALLOCATION_PORT;
}

/* The ports of the address, or the host's own ones; how many ranges. */
static uint32_t ranges_of(const struct walk *w, uint32_t in, uint32_t ext, struct nat_range out[WALK_BLOCKS])
{
	bool shared = model_is_shared(w->policy, ext);
	uint32_t n = shared ? w->policy->n_shared_ports : w->policy->n_pool_ports;

	if (is_in_blocks(w))
		return walk_own_blocks(w, in, ext, out);
	for (uint32_t i = 0; i < n; i++)
		out[i] = shared ? w->policy->shared_ports[i] : w->policy->pool_ports[i];
	return n;
}

static bool in_ranges(const struct nat_range *r, uint32_t n, uint16_t port)
{
	for (uint32_t i = 0; i < n; i++)
		if (port >= r[i].first && port <= r[i].last)
			return true;
	return false;
}

/* RFC 4787 REQ-3, 3a, 4; RFC 6888 REQ-8: was this a port it could take? */
void walk_check_new_port(const struct walk *w, uint32_t in, uint32_t ext, uint16_t port)
{
	struct nat_range ranges[WALK_BLOCKS], block;
	uint32_t n_ranges = ranges_of(w, in, ext, ranges);
	struct ports n = count_ports(w, ext, ranges, n_ranges);
	enum port_use use = port_use(w, ext, port);
	bool is_new = false;

	if (is_in_blocks(w))
		block = walk_check_block(w, in, ext, port, &is_new);
	if (is_new && use != PORT_MAYBE) {
		must(w, n.free == 0, "one more block although the host's own have a free port");
		ranges[0] = block;
		n_ranges = 1;
		n = count_ports(w, ext, ranges, n_ranges);
	}

	must(w, use != PORT_UNUSABLE, "a port outside the ranges, or a forward's");
	must(w, use != PORT_TAKEN, "a port that another mapping has");
	if (use == PORT_MAYBE)
		return;
	if (use == PORT_RESTS) {
		must(w, n.free == 0, "a resting port although another is free");
		must(w, may_recycle(w), "a resting port that must not come back early");
		must(w, is_in_blocks(w) || has_rested_longest(w, ext, port), "not the port that has rested longest");
		return;
	}
	if (w->policy->port_selection == PORTS_PRESERVE && in_ranges(ranges, n_ranges, w->sport) &&
	    port_use(w, ext, w->sport) == PORT_FREE)
		must(w, port == w->sport, "the inside port was free and is not kept");
	if (n.same_class > 0)
		must(w, same_class(port, w->sport), "a port of the other class although one of this is free");
	if (w->policy->port_parity && n.same_class_and_parity > 0)
		must(w, port % 2 == w->sport % 2, "a port of the other parity although one of this is free");
}

/* ---- resources ---- */

enum can { CAN_NOT, CAN_PERHAPS, CAN };

static uint32_t count_sessions(const struct walk *w, uint32_t in, int opening, bool dead_too)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->m->n_sessions; i++) {
		const struct model_session *s = &w->m->sessions[i];

		n += (in == 0 || s->in == in) && (opening < 0 || s->from_outside == (opening == DIR_IN)) &&
		     (dead_too || !s->dead);
	}
	return n;
}

/* Mappings of an inside host (0: of all), of one class on an outside address (0: everywhere). */
static uint32_t count_mappings(const struct walk *w, uint32_t in, uint32_t ext, bool dead_too)
{
	uint32_t n = 0;

	for (int g = 0; g < MODEL_MAPPINGS; g++) {
		const struct model_mapping *x = &w->m->mappings[g];
		bool lives = false;

		if (!x->used || (in != 0 && x->in != in) ||
		    (ext != 0 && (x->ext != ext || x->proto_class != w->p->proto_class)))
			continue;
		for (uint32_t i = 0; i < w->m->n_sessions; i++)
			lives = lives || (w->m->sessions[i].mapping == g && !w->m->sessions[i].dead);
		n += dead_too || lives;
	}
	return n;
}

static uint32_t count_rests(const struct walk *w, uint32_t ext, bool sure)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->m->n_rests; i++) {
		const struct model_rest *r = &w->m->rests[i];

		n += r->proto_class == w->p->proto_class && r->ext == ext &&
		     (!sure || (r->sure && now_s(w) - r->since_s <= w->policy->timeouts.port_reuse));
	}
	return n;
}

/* limits.reserve, where it does not depend on the number of hosts: an eighth of less than 2048 is what auto keeps. */
static uint32_t reserve_of(const struct walk *w, uint32_t total)
{
	int percent = w->policy->limits.reserve;

	return percent == RESERVE_AUTO ? total / 8 : total * (uint32_t)percent / 100;
}

/* One more of something of which a host holds `held`, and `left_least` to `left_most` are left. */
static enum can share_allows(uint32_t reserve, uint32_t held, uint32_t left_least, uint32_t left_most)
{
	bool may_refuse = left_least <= reserve && held > 0 && held >= left_least;
	bool must_refuse = left_most <= reserve && held > 0 && held >= left_most;

	if (reserve == 0 || !may_refuse)
		return CAN;
	return must_refuse ? CAN_NOT : CAN_PERHAPS;
}

static enum can port_share(struct walk *w, uint32_t in, uint32_t ext)
{
	bool shared = model_is_shared(w->policy, ext);
	const struct nat_range *r = shared ? w->policy->shared_ports : w->policy->pool_ports;
	uint32_t n_ranges = shared ? w->policy->n_shared_ports : w->policy->n_pool_ports, total = 0;
	uint32_t least = count_mappings(w, 0, ext, false), most = count_mappings(w, 0, ext, true);
	uint32_t held = count_mappings(w, in, 0, dead_may_count(w));
	enum can c;

	for (uint32_t i = 0; i < n_ranges; i++)
		total += r[i].last - r[i].first + 1u;
	if (!may_recycle(w)) {
		least += count_rests(w, ext, true);
		most += count_rests(w, ext, false);
	}
	c = share_allows(reserve_of(w, total), held, most < total ? total - most : 0,
			 least < total ? total - least : 0);
	if (c != CAN)
		w->may[DROP_HOST_SHARE] = true;
	return c;
}

static enum can can_take(struct walk *w, uint32_t in, uint32_t ext)
{
	struct nat_range ranges[WALK_BLOCKS];
	enum can share, port = CAN_NOT;
	struct ports n;

	if (w->p->proto_class == CLASS_OTHER)
		return model_find_in(w->m, CLASS_OTHER, ext, w->sport, w->dst, 0) == NULL ? CAN : CAN_NOT;
	share = is_in_blocks(w) ? CAN : port_share(w, in, ext);
	n = count_ports(w, ext, ranges, ranges_of(w, in, ext, ranges));
	if (is_in_blocks(w))
		w->may[DROP_HOST_BLOCKS] = w->may[DROP_HOST_SHARE] = true;
	if (w->policy->allocation == ALLOCATION_BLOCK && n.free == 0)
		return walk_has_free_block(w, in, ext) ? CAN : CAN_PERHAPS;
	if (n.free > 0 || (n.rests > 0 && may_recycle(w)))
		port = CAN;
	else if (n.maybe > 0)
		port = CAN_PERHAPS;
	return share < port ? share : port;
}

/* RFC 4787 REQ-2: the address that this host is tied to; 0: none, or it is not certain. */
uint32_t walk_paired_address(const struct walk *w, uint32_t in, bool *has_any)
{
	uint32_t address = 0;
	bool same = true;

	*has_any = false;
	if (w->policy->allocation == ALLOCATION_DETERMINISTIC) {
		model_share(w->policy, in, &address);
		*has_any = address != 0;
		return address;
	}
	for (uint32_t i = 0; i < w->m->n_sessions; i++) {
		const struct model_session *s = &w->m->sessions[i];

		if (s->in != in)
			continue;
		*has_any = true;
		same = same && !s->dead;
		if (s->forward)
			continue;
		same = same && (address == 0 || address == s->ext);
		address = s->ext;
	}
	if (!*has_any) { /* blocks hold it, too */
		address = walk_resting_address(w, in, &same);
		*has_any = address != 0;
	}
	return same && !w->m->loose_pairing && model_is_external(w->policy, address) ? address : 0;
}

/* Can a new mapping of `in` be made? */
static enum can some_address(struct walk *w, uint32_t in)
{
	const struct nat_policy *p = w->policy;
	bool has_any;
	uint32_t paired = walk_paired_address(w, in, &has_any);
	enum can best = CAN_NOT, worst = CAN;

	if (paired != 0)
		return can_take(w, in, paired);
	for (uint32_t i = 0; i < p->n_addresses; i++)
		for (uint32_t a = p->addresses[i].first; a <= p->addresses[i].last; a++) {
			enum can c;

			if (p->addresses[i].inside != 0)
				continue;
			c = can_take(w, in, a);

			best = c > best ? c : best;
			worst = c < worst ? c : worst;
		}
	if (!has_any || p->pooling == POOLING_ARBITRARY) /* it goes on to the next address */
		return best;
	return best == worst ? best : CAN_PERHAPS;
}

bool walk_address_can(struct walk *w, uint32_t in)
{
	bool has_any = model_pool_size(w->policy) > 0;
	enum can c = has_any ? some_address(w, in) : CAN_NOT;

	if (!has_any)
		w->may[DROP_NO_ADDRESS] = true;
	else if (c != CAN || w->m->n_dead > 0)
		w->may[w->p->proto_class == CLASS_OTHER ? DROP_OTHER_BUSY : DROP_NO_PORT] = true;
	return c == CAN || (c == CAN_PERHAPS && w->seen_passed);
}

/* RFC 6888 REQ-4 and 5. True when one more is within the limit. */
static bool within(struct walk *w, uint32_t limit, uint32_t living, uint32_t all, enum nat_reason why)
{
	if (limit == 0)
		return true;
	w->may[why] = w->may[why] || living >= limit || (all >= limit && dead_may_count(w));
	return living < limit;
}

bool walk_rate_allows(struct walk *w, uint32_t in, enum nat_dir opening)
{
	struct model *m = w->m;
	uint64_t now = m->lab->now_ms;
	uint32_t rate = model_limits(w->policy, in).new_sessions;
	int h = 0;
	bool certain;

	if (rate == 0)
		return true;
	while (h < MODEL_HOSTS - 1 && m->hosts[h].address != 0 &&
	       (m->hosts[h].address != in || m->hosts[h].opening != opening))
		h++;
	certain = m->hosts[h].address == 0 || now >= m->hosts[h].tried_ms + 1000;
	m->hosts[h].address = in;
	m->hosts[h].opening = opening;
	m->hosts[h].tried_ms = now;
	if (now >= m->hosts[h].since_ms + 1000) {
		m->hosts[h].since_ms = now;
		m->hosts[h].opened = 0;
	}
	if (w->seen_passed)
		m->hosts[h].opened++;
	/* a bucket of one second's worth, refilled within it: twice that in any second at most */
	must(w, m->hosts[h].opened <= 2 * rate, "more new sessions than the rate");
	w->may[DROP_HOST_RATE] = !certain;
	return certain || w->seen_passed;
}

/* The reserve of the table: for hosts that hold less than what is left; the last half of it not for the outside. */
static bool table_share(struct walk *w, uint32_t in, enum nat_dir opening, bool dead_too)
{
	uint32_t total = w->policy->limits.sessions, used = count_sessions(w, 0, -1, dead_too);
	uint32_t left = used < total ? total - used : 0, reserve = reserve_of(w, total);

	if (share_allows(reserve, count_sessions(w, in, opening, dead_too), left, left) != CAN)
		return false;
	return reserve == 0 || opening == DIR_OUT || left > reserve / 2 ||
	       count_sessions(w, 0, DIR_IN, dead_too) < left;
}

bool walk_limits_allow(struct walk *w, uint32_t in, enum nat_dir opening)
{
	uint32_t limit = model_limits(w->policy, in).sessions;
	bool share = table_share(w, in, opening, false);
	bool ok = within(w, w->policy->limits.sessions, count_sessions(w, 0, -1, false), count_sessions(w, 0, -1, true),
			 DROP_SESSIONS_FULL);

	if (!within(w, limit, count_sessions(w, in, (int)opening, false), count_sessions(w, in, (int)opening, true),
		    DROP_HOST_SESSIONS))
		ok = false;
	if (!share || (dead_may_count(w) && !table_share(w, in, opening, true)))
		w->may[DROP_HOST_SHARE] = true;
	return ok && share;
}

bool walk_host_ports_allow(struct walk *w, uint32_t in)
{
	uint32_t limit = w->p->proto_class == CLASS_OTHER ? 0 : model_limits(w->policy, in).ports;

	return within(w, limit, count_mappings(w, in, 0, false), count_mappings(w, in, 0, true), DROP_HOST_PORTS);
}
