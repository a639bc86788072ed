/* SPDX-License-Identifier: ISC */
/*
 * The doorman: its maps. hooks.c attaches its programs.
 *
 * Theory of operation. The maps hold a view (addresses, inside prefixes, interfaces; two copies, of which one is in
 * force) and a row of port bits for each shared address and class. A row is the union of the table's own port bits and
 * the ports of forwards, which are kept beside it here: a port that the table frees stays natd's while a forward has
 * it.
 *
 * A view that gives rows to other addresses is shown in three steps: nothing is steered on the old rows (a view
 * without ranges), the rows are filled, the new view comes into force. In between, for some microseconds, packets
 * go to the host; this happens when outside addresses change, and not otherwise.
 */
#define _GNU_SOURCE 1 /* mmap() flags */
#include "doorman.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "bpf/steer.h"
#include "hooks.h"
#include "loader.h"

enum {
	ROW_WORDS = STEER_CLASSES * STEER_PORT_WORDS,
	FLOWS_SIZE = FLOW_SLOTS * sizeof(struct flow),
	INDEX_SIZE = FLOW_BUCKETS * sizeof(struct flow_bucket),
};

_Static_assert((int)STEER_TCP == (int)CLASS_TCP && (int)STEER_UDP == (int)CLASS_UDP &&
		       (int)STEER_ICMP == (int)CLASS_ICMP,
	       "the programs number classes as the core does");
_Static_assert((int)STEER_MTUS == (int)FLOW_MTUS, "the core writes the lists that the programs read");
_Static_assert((int)DOORMAN_STRAY == (int)STEER_COUNT_STRAY, "counters are numbered as in the maps");

struct doorman {
	int fds[LOAD_FDS]; /* of the maps, which are mapped, -1, but for the flows: they outlive natd. -1 without a fast path */
	struct steer_config *config;
	uint64_t *ports;
	const struct steer_counters *counts;
	struct flow_memory flows;
	uint64_t *forwards; /* like `ports`, of forwards alone */
	struct hooks hooks;
	uint32_t n_rows;
	uint32_t row[STEER_ROWS_MAX]; /* addresses */
};

/* ---- life ---- */

static void *map_one(struct doorman *d, enum load_fd map, size_t size, int protection)
{
	void *p = mmap(NULL, size, protection, MAP_SHARED, d->fds[map], 0);

	if (map != LOAD_FLOWS) {
		close(d->fds[map]); /* mapped memory outlives it */
		d->fds[map] = -1;
	}
	return p == MAP_FAILED ? NULL : p;
}

static int map_flows(struct doorman *d)
{
	if (d->fds[LOAD_FLOWS] < 0)
		return 0;
	d->flows.flows = map_one(d, LOAD_FLOWS, FLOWS_SIZE, PROT_READ | PROT_WRITE);
	d->flows.buckets = map_one(d, LOAD_INDEX, INDEX_SIZE, PROT_READ | PROT_WRITE);
	d->flows.mtus = d->config->fast.mtu;
	return d->flows.flows && d->flows.buckets ? 0 : -ENOMEM;
}

static int map_all(struct doorman *d)
{
	d->config = map_one(d, LOAD_CONFIG, sizeof(*d->config), PROT_READ | PROT_WRITE);
	d->ports = map_one(d, LOAD_PORTS, STEER_WORDS * sizeof(uint64_t), PROT_READ | PROT_WRITE);
	d->counts = map_one(d, LOAD_COUNTS, STEER_CPUS_MAX * sizeof(*d->counts), PROT_READ);
	return d->config && d->ports && d->counts ? map_flows(d) : -ENOMEM;
}

/* The secret of the index of flows, so that no sender can choose flows of one bucket. */
static bool draw_secret(struct doorman *d)
{
	if (getrandom(d->flows.secret, sizeof(d->flows.secret), 0) != (ssize_t)sizeof(d->flows.secret))
		return false;
	memcpy(d->config->fast.secret, d->flows.secret, sizeof(d->flows.secret));
	return true;
}

int doorman_create(struct doorman **out, struct netlink *nl, bool has_flows, char *why, size_t size)
{
	struct doorman *d = calloc(1, sizeof(*d));
	int r = d ? loader_run(d->fds, has_flows, why, size) : -ENOMEM;

	*out = NULL;
	if (r < 0) {
		if (!d)
			snprintf(why, size, "out of memory");
		free(d);
		return r;
	}
	hooks_init(&d->hooks, nl, d->fds[LOAD_TUN]);
	d->forwards = calloc(STEER_WORDS, sizeof(uint64_t));
	r = map_all(d);
	if (r < 0 || !d->forwards || !draw_secret(d)) {
		snprintf(why, size, "cannot map what the tc programs read: out of memory");
		doorman_destroy(d);
		return -ENOMEM;
	}
	*out = d;
	return 0;
}

void doorman_destroy(struct doorman *d)
{
	if (!d)
		return;
	hooks_close(&d->hooks);
	/* d->config stays mapped: threads of the packet path may be reading the refusals in it. */
	if (d->ports)
		munmap(d->ports, STEER_WORDS * sizeof(uint64_t));
	if (d->counts)
		munmap((void *)(uintptr_t)d->counts, STEER_CPUS_MAX * sizeof(*d->counts));
	if (d->flows.flows)
		munmap(d->flows.flows, FLOWS_SIZE);
	if (d->flows.buckets)
		munmap(d->flows.buckets, INDEX_SIZE);
	for (int i = LOAD_OUTSIDE; i < LOAD_FDS; i++) {
		if (d->fds[i] >= 0)
			close(d->fds[i]);
	}
	free(d->forwards);
	free(d);
}

/* ---- ports ---- */

static uint64_t *row_words(uint64_t *of, uint32_t row, unsigned proto_class)
{
	assert(row < STEER_ROWS_MAX && proto_class < STEER_CLASSES);
	return of + (size_t)row * ROW_WORDS + (size_t)proto_class * STEER_PORT_WORDS;
}

static uint32_t find_row(const struct doorman *d, uint32_t address)
{
	uint32_t i = 0;

	while (i < d->n_rows && d->row[i] != address)
		i++;
	return i;
}

void doorman_port(struct doorman *d, enum nat_class c, uint32_t address, uint16_t port, bool used)
{
	uint32_t row = find_row(d, address);
	uint64_t bit = UINT64_C(1) << port % 64;
	uint64_t *word;

	if (row == d->n_rows)
		return;
	word = &row_words(d->ports, row, c)[port / 64];
	used = used || (row_words(d->forwards, row, c)[port / 64] & bit);
	__atomic_store_n(word, used ? *word | bit : *word & ~bit, __ATOMIC_RELAXED);
}

static void fill_class(struct doorman *d, uint32_t row, enum nat_class c, const struct table *t)
{
	int32_t slot = table_address_slot(t, d->row[row]);
	uint64_t *words = row_words(d->ports, row, c), *forwards = row_words(d->forwards, row, c);

	for (uint32_t i = 0; i < STEER_PORT_WORDS; i++) {
		uint64_t bits = forwards[i];

		for (uint32_t p = 0; slot >= 0 && p < 64; p++)
			bits |= (uint64_t)table_port_used(t, c, (uint16_t)slot, (uint16_t)(i * 64 + p)) << p;
		__atomic_store_n(&words[i], bits, __ATOMIC_RELAXED);
	}
}

/* The ports from which natd chooses. */
static void fill_choice(struct doorman *d, const struct steering *s)
{
	uint64_t words[STEER_PORT_WORDS] = {0};

	for (uint32_t i = 0; i < s->n_dynamic; i++) {
		for (uint32_t p = s->dynamic[i].first; p <= s->dynamic[i].last; p++)
			words[p / 64] |= UINT64_C(1) << p % 64;
	}
	for (uint32_t i = 0; i < STEER_PORT_WORDS; i++)
		__atomic_store_n(&d->ports[STEER_CHOICE + i], words[i], __ATOMIC_RELAXED);
}

static void fill_row(struct doorman *d, uint32_t row, const struct steering *s, const struct table *t)
{
	memset(row_words(d->forwards, row, CLASS_TCP), 0, ROW_WORDS * sizeof(uint64_t));
	for (uint32_t i = 0; i < s->n_forwards; i++) {
		const struct steering_forward *f = &s->forwards[i];

		if (f->address != 0 && f->address != d->row[row])
			continue;
		for (unsigned c = CLASS_TCP; c <= CLASS_UDP; c++) {
			uint64_t *words = row_words(d->forwards, row, c);

			for (uint32_t p = f->ports.first; (f->protocols & 1u << c) && p <= f->ports.last; p++)
				words[p / 64] |= UINT64_C(1) << p % 64;
		}
	}
	for (unsigned c = CLASS_TCP; c <= CLASS_ICMP; c++)
		fill_class(d, row, (enum nat_class)c, t);
}

/* ---- the view ---- */

static uint32_t count_rows(const struct steering *s)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < s->n_addresses; i++)
		n += s->addresses[i].shared ? (uint64_t)s->addresses[i].last - s->addresses[i].first + 1 : 0;
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

bool doorman_fits(const struct steering *s, char *why, size_t size)
{
	const struct {
		uint32_t n, most;
		const char *what;
	} limits[] = {
		{count_rows(s), STEER_ROWS_MAX, "addresses shared with the host"},
		{s->n_addresses, STEER_RANGES_MAX, "runs of outside addresses"},
		{s->n_prefixes, STEER_INSIDE_MAX, "inside prefixes"},
		{s->n_inside, DOORMAN_LINKS_MAX - 4, "inside interfaces"}, /* room for the others, and to change */
	};

	if (s->n_inside == 0) { /* no rule brings it what inside hosts send to a shared address */
		snprintf(why, size, "no interface is inside: the tc programs sit at inside.interfaces");
		return false;
	}
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		if (limits[i].n <= limits[i].most)
			continue;
		snprintf(why, size, "there are %u %s, and the tc programs know %u at most", limits[i].n, limits[i].what,
			 limits[i].most);
		return false;
	}
	return true;
}

static void make_ranges(struct steer_view *v, const struct steering *s, uint32_t rows[STEER_ROWS_MAX], uint32_t *n_rows)
{
	*n_rows = 0;
	for (uint32_t i = 0; i < s->n_addresses; i++) {
		const struct nat_address_range *r = &s->addresses[i];

		v->range[v->n_ranges++] = (struct steer_range){
			.first = r->first, .last = r->last, .row = r->shared ? *n_rows : (__u32)STEER_POOL};
		for (uint32_t a = r->first; r->shared && a - r->first <= r->last - r->first; a++)
			rows[(*n_rows)++] = a;
	}
}

static void add_device(struct steer_view *v, const struct steering_interface *i)
{
	if (i->index > 0 && v->n_devices < STEER_DEVICES_MAX)
		v->device[v->n_devices++] = (struct steer_device){.index = (__u32)i->index, .is_l3 = i->is_l3};
}

/* One interface for both sides: only natd can decide from which side a packet comes. */
static bool is_one_armed(const struct steering *s)
{
	for (uint32_t i = 0; i < s->n_inside; i++) {
		if (s->inside[i].index == s->outside.index)
			return true;
	}
	return false;
}

static void make_view(struct steer_view *v, const struct steering *s, const struct doorman_host *host)
{
	v->tun = (__u32)host->tun;
	if (host->translates_others)
		v->flags |= STEER_OTHER_PROTOCOLS;
	for (uint32_t i = 0; i < s->n_prefixes; i++) {
		const struct nat_prefix *p = &s->prefixes[i];

		v->inside[v->n_inside++] = (struct steer_prefix){
			.address = p->address, .mask = p->length == 0 ? 0 : UINT32_MAX << (32 - p->length)};
	}
	v->mtu_out = host->mtu_out;
	v->mtu_in = host->mtu_in;
	v->outside = is_one_armed(s) ? 0 : (__u32)(s->outside.index > 0 ? s->outside.index : 0);
	add_device(v, &s->outside);
	for (uint32_t i = 0; i < s->n_inside; i++)
		add_device(v, &s->inside[i]);
}

static void show(struct doorman *d, const struct steer_view *v)
{
	uint32_t other = !d->config->current;

	d->config->view[other] = *v;
	__atomic_store_n(&d->config->current, other, __ATOMIC_RELEASE);
}

void doorman_show(struct doorman *d, const struct steering *s, const struct doorman_host *host)
{
	struct steer_view v;
	uint32_t rows[STEER_ROWS_MAX], n_rows;

	memset(&v, 0, sizeof(v));
	make_view(&v, s, host);
	if (d->hooks.way == HOOKS_CLSACT)
		v.flags |= STEER_OUTLIVES;
	memset(rows, 0, sizeof(rows));
	make_ranges(&v, s, rows, &n_rows);
	if (host->is_same_table && memcmp(&v, &d->config->view[d->config->current], sizeof(v)) == 0)
		return; /* the rows follow the table by themselves */
	if (n_rows != d->n_rows || memcmp(rows, d->row, n_rows * sizeof(rows[0])) != 0) {
		struct steer_view none = v;

		none.n_ranges = 0;
		show(d, &none);
		d->n_rows = n_rows;
		memcpy(d->row, rows, sizeof(rows));
	}
	fill_choice(d, s);
	for (uint32_t i = 0; i < n_rows; i++)
		fill_row(d, i, s, host->table);
	show(d, &v);
}

/* ---- where the programs are attached ---- */

static int want(struct doorman *d, int interface, enum load_fd program)
{
	static const char *const roles[LOAD_FDS] = {
		[LOAD_OUTSIDE] = "outside", [LOAD_OUTSIDE_L3] = "outside",
		[LOAD_INSIDE] = "inside",   [LOAD_INSIDE_L3] = "inside",
		[LOAD_TUN] = "tun",
	};
	struct hooks_program p = {.fd = d->fds[program], .number = (int)program, .role = roles[program]};

	return hooks_want(&d->hooks, interface, &p);
}

int doorman_attach(struct doorman *d, const struct steering *s, int tun, char *why, size_t size)
{
	int r;

	hooks_begin(&d->hooks, tun);
	r = want(d, tun, LOAD_TUN);
	if (r == 0)
		r = want(d, s->outside.index, s->outside.is_l3 ? LOAD_OUTSIDE_L3 : LOAD_OUTSIDE);
	for (uint32_t i = 0; i < s->n_inside && r == 0; i++)
		r = want(d, s->inside[i].index, s->inside[i].is_l3 ? LOAD_INSIDE_L3 : LOAD_INSIDE);
	if (r == -ECANCELED) /* natd is about to stop (netlink_cancel()) */
		return 0;
	if (r == 0)
		hooks_end(&d->hooks);
	else
		hooks_explain(&d->hooks, r, why, size);
	return r;
}

void doorman_detach(struct doorman *d)
{
	hooks_remove(&d->hooks);
}

bool doorman_adopt(struct doorman *d, uint32_t i, int link)
{
	return hooks_adopt(&d->hooks, i, link);
}

int doorman_link(const struct doorman *d, uint32_t i)
{
	return hooks_link(&d->hooks, i);
}

bool doorman_take_change(struct doorman *d, uint32_t i)
{
	return hooks_take_change(&d->hooks, i);
}

const char *doorman_way(const struct doorman *d)
{
	return hooks_way_name(&d->hooks);
}

uint32_t doorman_filters(const struct doorman *d, int interfaces[DOORMAN_LINKS_MAX])
{
	return hooks_filters(&d->hooks, interfaces);
}

/* ---- flows ---- */

struct flow_memory doorman_flows(const struct doorman *d)
{
	return d->flows;
}

int doorman_flows_fd(const struct doorman *d)
{
	return d->fds[LOAD_FLOWS];
}

void doorman_beat(struct doorman *d, uint64_t now_ns, uint64_t ahead_ns)
{
	__atomic_store_n(&d->config->fast.ahead_ns, ahead_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&d->config->fast.beat_ns, now_ns, __ATOMIC_RELEASE);
}

bool doorman_beat_ended(const struct doorman *d, uint64_t now_ns)
{
	uint64_t last = d->config->fast.beat_ns;

	return last != 0 && now_ns - last > (STEER_BEAT_MOST_S - 1) * UINT64_C(1000000000);
}

struct steer_refusals *doorman_refusals(struct doorman *d)
{
	return &d->config->refusals;
}

/* ---- counters ---- */

uint64_t doorman_count(const struct doorman *d, enum doorman_counter c)
{
	uint64_t sum = 0;

	assert((unsigned)c < DOORMAN_COUNTERS);
	for (uint32_t cpu = 0; cpu < STEER_CPUS_MAX; cpu++)
		sum += __atomic_load_n(&d->counts[cpu].value[c], __ATOMIC_RELAXED);
	return sum;
}

static const struct {
	const char *name, *help;
} texts[DOORMAN_COUNTERS] = {
#define X(id, name, help) [id] = {name, help},
	DOORMAN_COUNTER_LIST(X)
#undef X
};

const char *doorman_counter_name(enum doorman_counter c)
{
	return texts[c].name;
}

const char *doorman_counter_help(enum doorman_counter c)
{
	return texts[c].help;
}
