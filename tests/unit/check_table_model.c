/* SPDX-License-Identifier: ISC */
/*
 * Random sequences of all operations of a table, against a naive one: an array of sessions, searched from end to end.
 * Time passes, memory is given back and wiped, the process restarts, now and then as another version,
 * addresses come and go. table_check() after every few steps.
 */
#include <check.h>

#include "core/table/table_private.h"

#include "former.h"
#include "tablelab.h"

enum { SIZE = 1500, ADDRESSES = 2, INT_PORTS = 4, REM_PORTS = 2 };
enum { PORT_FIRST = 1000, PORT_LAST = 1039, PORTS = ADDRESSES * CLASS_OTHER * (PORT_LAST - PORT_FIRST + 1) };

struct model_session {
	struct session_spec spec;
	struct session *record;
	uint64_t id;
	uint32_t seen_s;
	uint8_t state;
	bool is_answered;
	bool in_group; /* of a mapping that has had two sessions since the last start */
};

/* How many of everything, and for how many steps. A crowd comes and goes: opened for so many steps, then closed. */
struct scale {
	uint32_t size, hosts, remotes;
	int ops, tide;
};

static const struct scale scales[] = {
	{300, 5, 6, 60000, 0},
	{SIZE, 20, 60, 24000, 4000},
};
enum { HOSTS_MAX = 32 };
enum { SCALES = sizeof(scales) / sizeof(scales[0]), MODES = 3 };

struct model {
	struct lab l;
	const struct scale *scale;
	enum nat_mapping_mode mode;
	struct model_session s[SIZE];
	uint32_t n;
	/* 0: free; else when its quarantine began, or UINT32_MAX while mapped */
	uint32_t port[ADDRESSES][CLASS_COUNT][65536];
};

static bool is_pooled(const struct session_spec *s)
{
	return !s->forward && s->proto_class != CLASS_OTHER;
}

static uint32_t model_timeout(const struct model_session *s)
{
	static const uint32_t fixed[] = {[CLASS_UDP] = 300, [CLASS_ICMP] = 60, [CLASS_OTHER] = 600};

	if (s->spec.proto_class != CLASS_TCP)
		return fixed[s->spec.proto_class];
	return s->state >= SESSION_ESTABLISHED && s->state <= SESSION_FIN_IN_ACKED ? 7440 : 240;
}

static bool is_over(const struct model *m, const struct model_session *s)
{
	return m->l.now_s - s->seen_s > model_timeout(s);
}

static bool same_out(const struct session_spec *a, const struct session_spec *b)
{
	return a->proto_class == b->proto_class && a->int_addr == b->int_addr && a->int_port == b->int_port &&
	       a->rem_addr == b->rem_addr && a->rem_port == b->rem_port;
}

static bool same_in(const struct session_spec *a, const struct session_spec *b)
{
	return a->proto_class == b->proto_class && a->ext == b->ext && a->ext_port == b->ext_port &&
	       a->rem_addr == b->rem_addr && a->rem_port == b->rem_port;
}

static bool same_external(const struct session_spec *a, const struct session_spec *b)
{
	return a->proto_class == b->proto_class && a->ext == b->ext && a->ext_port == b->ext_port;
}

static bool same_internal(const struct model *m, const struct session_spec *a, const struct session_spec *b)
{
	return a->proto_class == b->proto_class && a->int_addr == b->int_addr && a->int_port == b->int_port &&
	       (m->mode == MAPPING_ENDPOINT_INDEPENDENT || a->rem_addr == b->rem_addr) &&
	       (m->mode != MAPPING_ADDRESS_AND_PORT_DEPENDENT || a->rem_port == b->rem_port);
}

/* Sessions of the mapping that owns this external endpoint. */
static uint32_t count_mapping(const struct model *m, const struct session_spec *spec)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->n; i++)
		n += is_pooled(&m->s[i].spec) && same_external(&m->s[i].spec, spec);
	return n;
}

static void model_remove(struct model *m, uint32_t i)
{
	struct session_spec gone = m->s[i].spec;

	m->s[i] = m->s[--m->n];
	if (is_pooled(&gone) && count_mapping(m, &gone) == 0)
		m->port[gone.ext][gone.proto_class][gone.ext_port] = m->l.now_s;
}

static void model_rest(struct model *m)
{
	for (int a = 0; a < ADDRESSES; a++)
		for (int c = 0; c < CLASS_OTHER; c++)
			for (int p = PORT_FIRST; p <= PORT_LAST; p++)
				if (m->port[a][c][p] != UINT32_MAX && m->l.now_s - m->port[a][c][p] > 120)
					m->port[a][c][p] = 0;
}

static struct session_spec random_spec(const struct model *m)
{
	struct session_spec s = lab_spec(unit_below(m->scale->hosts), (uint16_t)(1 + unit_below(INT_PORTS)),
					 unit_below(m->scale->remotes), 0);

	s.rem_port = (uint16_t)unit_below(REM_PORTS);
	s.ext = (uint16_t)unit_below(ADDRESSES);
	s.proto_class = (uint8_t)unit_below(CLASS_COUNT);
	s.state = unit_below(2) ? SESSION_SYN_OUT : SESSION_SYN_IN;
	s.forward = unit_below(10) == 0;
	s.from_outside = unit_below(3) == 0;
	return s;
}

/* ---- opening ---- */

/* The model's opening of `spec`: removes expired sessions that are in the way. False: refused. */
static bool model_open(struct model *m, const struct session_spec *spec)
{
	for (uint32_t i = 0; i < m->n; i++)
		if ((same_out(&m->s[i].spec, spec) || same_in(&m->s[i].spec, spec)) && !is_over(m, &m->s[i]))
			return false;
	return true;
}

/* Chooses the external endpoint as core/nat/open.c does. False: no port. */
static bool choose_external(struct model *m, struct session_spec *spec)
{
	static const struct nat_range range = {PORT_FIRST, PORT_LAST};
	struct port_request rq = {.ext = spec->ext, .proto_class = spec->proto_class, .ranges = &range, .n_ranges = 1};
	struct mapping found;
	uint32_t since;
	bool recycled;

	rq.may_recycle = unit_below(2);
	if (!is_pooled(spec)) {
		spec->ext_port = (uint16_t)(1 + unit_below(3));
		return true;
	}
	if (table_mapping_internal(m->l.t, (enum nat_class)spec->proto_class, spec->int_addr, spec->int_port,
				   spec->rem_addr, spec->rem_port, &found)) {
		spec->ext = found.ext;
		spec->ext_port = found.ext_port;
		return true;
	}
	spec->ext_port = table_port_take(m->l.t, &rq, unit_random(), m->l.now_s, &recycled);
	if (spec->ext_port == 0) {
		for (int p = PORT_FIRST; p <= PORT_LAST; p++)
			ck_assert(m->port[spec->ext][spec->proto_class][p] != 0);
		return false;
	}
	since = m->port[spec->ext][spec->proto_class][spec->ext_port];
	ck_assert_uint_ne(since, UINT32_MAX);
	ck_assert(recycled == (since != 0));
	for (int p = PORT_FIRST; recycled && p <= PORT_LAST; p++)
		ck_assert_uint_ge(m->port[spec->ext][spec->proto_class][p], since);
	return true;
}

static void purge_in_the_way(struct model *m, const struct session_spec *spec)
{
	for (uint32_t i = 0; i < m->n;)
		if (same_out(&m->s[i].spec, spec) || same_in(&m->s[i].spec, spec))
			model_remove(m, i);
		else
			i++;
}

/* A session whose time is up may have been closed for one that was then refused by another, living one. */
static void forget_closed(struct model *m, const struct session_spec *spec)
{
	for (uint32_t i = 0; i < m->n;)
		if ((same_out(&m->s[i].spec, spec) || same_in(&m->s[i].spec, spec)) && is_over(m, &m->s[i]) &&
		    table_session_by_id(m->l.t, m->s[i].id) == NULL)
			model_remove(m, i);
		else
			i++;
}

static void note_group(struct model *m, const struct session_spec *spec)
{
	if (!is_pooled(spec) || count_mapping(m, spec) < 2)
		return;
	for (uint32_t i = 0; i < m->n; i++)
		if (is_pooled(&m->s[i].spec) && same_external(&m->s[i].spec, spec))
			m->s[i].in_group = true;
}

static void op_open(struct model *m)
{
	struct session_spec spec = random_spec(m);
	enum nat_reason why = NAT_PASS;
	struct session *s;
	bool may, was_mapped;

	if (!choose_external(m, &spec))
		return;
	was_mapped = is_pooled(&spec) && count_mapping(m, &spec) > 0;
	may = model_open(m, &spec);
	s = table_session_open(m->l.t, &spec, m->l.now_s, &why);
	if (s == NULL && why == DROP_SESSIONS_FULL) {
		ck_assert(may);
		purge_in_the_way(m, &spec);
		ck_assert_uint_eq(m->n, m->scale->size);
	} else {
		ck_assert(may == (s != NULL));
	}
	if (s == NULL) {
		forget_closed(m, &spec);
		if (is_pooled(&spec) && !was_mapped) {
			table_port_release(m->l.t, (enum nat_class)spec.proto_class, spec.ext, spec.ext_port);
			m->port[spec.ext][spec.proto_class][spec.ext_port] = 0;
		}
		return;
	}
	purge_in_the_way(m, &spec);
	m->s[m->n++] = (struct model_session){.spec = spec,
					      .record = s,
					      .id = table_session_id(m->l.t, s),
					      .seen_s = m->l.now_s,
					      .state = spec.state};
	if (is_pooled(&spec))
		m->port[spec.ext][spec.proto_class][spec.ext_port] = UINT32_MAX;
	if (was_mapped)
		m->s[m->n - 1].in_group = true;
	note_group(m, &spec);
}

/* ---- the other steps ---- */

static void op_close(struct model *m)
{
	uint32_t i = unit_below(m->n);

	table_session_close(m->l.t, m->s[i].record, SESSION_END_DELETED, m->l.now_s);
	model_remove(m, i);
}

static void op_packet(struct model *m)
{
	enum session_state before;
	struct model_session *s = &m->s[unit_below(m->n)];
	struct session_key k = lab_key(s->record, unit_below(2) ? DIR_OUT : DIR_IN);

	if (is_over(m, s)) {
		ck_assert_ptr_null(lab_find(&m->l, &k));
		return;
	}
	ck_assert_ptr_eq(lab_find(&m->l, &k), s->record);
	s->seen_s = s->record->seen_s = m->l.now_s;
	if (unit_below(2))
		return;
	s->state = (uint8_t)(SESSION_ESTABLISHED + unit_below(SESSION_STATE_COUNT - SESSION_ESTABLISHED));
	before = session_state(s->record);
	session_set_state(s->record, (enum session_state)s->state);
	table_session_changed(m->l.t, s->record, before);
	table_session_answered(m->l.t, s->record);
	s->is_answered = true;
}

static const struct model_session *model_find(const struct model *m, const struct session_spec *spec, enum nat_dir dir)
{
	for (uint32_t i = 0; i < m->n; i++)
		if ((dir == DIR_OUT ? same_out : same_in)(&m->s[i].spec, spec) && !is_over(m, &m->s[i]))
			return &m->s[i];
	return NULL;
}

static void op_lookup(struct model *m)
{
	struct session_spec spec = random_spec(m);
	const struct model_session *want;
	struct session_key k;

	spec.ext_port = (uint16_t)(PORT_FIRST + unit_below(PORT_LAST - PORT_FIRST + 1));
	for (int dir = DIR_OUT; dir <= DIR_IN; dir++) {
		k = (struct session_key){.local = dir == DIR_OUT ? spec.int_addr : spec.ext,
					 .remote = spec.rem_addr,
					 .local_port = dir == DIR_OUT ? spec.int_port : spec.ext_port,
					 .remote_port = spec.rem_port,
					 .proto_class = spec.proto_class,
					 .dir = (uint8_t)dir};
		want = model_find(m, &spec, (enum nat_dir)dir);
		ck_assert_ptr_eq(lab_find(&m->l, &k), want ? want->record : NULL);
	}
}

/* A mapping lives while a session of it does; one that was never shared ends with that session's time. */
static bool mapping_lives(const struct model *m, const struct model_session *s)
{
	return is_pooled(&s->spec) && (s->in_group || !is_over(m, s));
}

static void op_mapping(struct model *m)
{
	struct session_spec spec = random_spec(m);
	bool has_internal = false, has_external = false, has_peer = false, may_have_peer = false;
	struct mapping found;

	spec.ext_port = (uint16_t)(PORT_FIRST + unit_below(PORT_LAST - PORT_FIRST + 1));
	for (uint32_t i = 0; i < m->n; i++) {
		const struct model_session *s = &m->s[i];

		if (!mapping_lives(m, s))
			continue;
		has_internal |= same_internal(m, &s->spec, &spec);
		if (!same_external(&s->spec, &spec))
			continue;
		has_external = true;
		may_have_peer |= s->spec.rem_addr == spec.rem_addr;
		has_peer |= s->spec.rem_addr == spec.rem_addr && !is_over(m, s);
	}
	ck_assert(table_mapping_internal(m->l.t, (enum nat_class)spec.proto_class, spec.int_addr, spec.int_port,
					 spec.rem_addr, spec.rem_port, &found) == has_internal);
	ck_assert(table_mapping_external(m->l.t, (enum nat_class)spec.proto_class, spec.ext, spec.ext_port, &found) ==
		  has_external);
	if (!has_external)
		return;
	ck_assert_uint_eq(found.sessions, count_mapping(m, &spec));
	if (table_mapping_has_peer(m->l.t, &found, spec.rem_addr))
		ck_assert(may_have_peer);
	else
		ck_assert(!has_peer);
}

static void sweep(struct model *m, uint32_t budget)
{
	table_sweep(m->l.t, m->l.now_s, budget);
	for (uint32_t i = 0; i < m->n;) {
		if (table_session_by_id(m->l.t, m->s[i].id) != NULL) {
			i++;
			continue;
		}
		ck_assert(is_over(m, &m->s[i]));
		model_remove(m, i);
	}
}

static void op_time(struct model *m)
{
	m->l.now_s += unit_below(10) ? unit_below(20) : unit_below(400);
	if (unit_below(3) == 0)
		sweep(m, unit_below(m->scale->size));
	model_rest(m);
	/* a budget for every port in quarantine: the model frees all that are over at once */
	sweep(m, unit_below(4) ? 4 * m->scale->size : PORTS);
}

static void op_restart(struct model *m)
{
	bool shared[SIZE];

	if (unit_below(3) == 0) /* of an earlier version */
		former_make(m->l.memory.records, 1 + unit_below(2));
	lab_restart(&m->l, ADDRESSES);
	ck_assert_uint_eq(m->l.report.restored, m->n);
	ck_assert_uint_eq(m->l.report.dropped, 0);
	for (uint32_t i = 0; i < m->n; i++)
		shared[i] = is_pooled(&m->s[i].spec) && count_mapping(m, &m->s[i].spec) > 1;
	for (uint32_t i = 0; i < m->n; i++)
		m->s[i].in_group = shared[i];
}

static void wipe(void *ctx, void *start, size_t len)
{
	(void)ctx;
	memset(start, 0, len);
}

/* The budgets of each inside host: what it opened itself, and what the outside opened, are counted apart. */
static void compare_budgets(const struct model *m)
{
	struct host want[HOSTS_MAX] = {0};
	uint32_t incoming = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		const struct session_spec *s = &m->s[i].spec;
		struct host *h = &want[s->int_addr - LAB_INSIDE];
		bool is_new_port = is_pooled(s);

		ck_assert_uint_lt(s->int_addr - LAB_INSIDE, HOSTS_MAX);
		for (uint32_t k = 0; k < i && is_new_port; k++)
			is_new_port = !is_pooled(&m->s[k].spec) || !same_external(&m->s[k].spec, s);
		h->sessions++;
		h->incoming += s->from_outside;
		h->unanswered += !m->s[i].is_answered;
		h->unanswered_in += s->from_outside && !m->s[i].is_answered;
		h->ports += is_new_port;
		incoming += s->from_outside;
	}
	ck_assert_uint_eq(table_incoming_count(m->l.t), incoming);
	for (uint32_t i = 0; i < HOSTS_MAX; i++) {
		const struct host *h = table_host_find(m->l.t, LAB_INSIDE + i);

		ck_assert(h != NULL || want[i].sessions == 0);
		ck_assert(h == NULL || (h->sessions == want[i].sessions && h->incoming == want[i].incoming &&
					h->unanswered == want[i].unanswered &&
					h->unanswered_in == want[i].unanswered_in && h->ports == want[i].ports));
	}
}

static void compare_all(struct model *m)
{
	uint32_t unanswered = 0, mappings = 0;

	lab_check(&m->l);
	ck_assert_uint_eq(table_session_count(m->l.t), m->n);
	for (uint32_t i = 0; i < m->n; i++) {
		ck_assert_ptr_eq(table_session_by_id(m->l.t, m->s[i].id), m->s[i].record);
		unanswered += !m->s[i].is_answered;
	}
	ck_assert_uint_eq(table_unanswered_count(m->l.t), unanswered);
	for (int a = 0; a < ADDRESSES; a++) {
		for (int c = 0; c < CLASS_OTHER; c++) {
			for (int p = PORT_FIRST; p <= PORT_LAST; p++) {
				mappings += m->port[a][c][p] == UINT32_MAX;
				ck_assert(table_port_used(m->l.t, (enum nat_class)c, (uint16_t)a, (uint16_t)p) ==
					  (m->port[a][c][p] != 0));
			}
		}
	}
	ck_assert_uint_eq(table_mapping_count(m->l.t), mappings);
	compare_budgets(m);
}

static void step(struct model *m)
{
	uint32_t what = unit_below(1000);

	if (what < 400)
		op_open(m);
	else if (what < 500 && m->n > 0)
		op_close(m);
	else if (what < 700 && m->n > 0)
		op_packet(m);
	else if (what < 800)
		op_lookup(m);
	else if (what < 950)
		op_mapping(m);
	else if (what < 990)
		op_time(m);
	else if (what < 995)
		table_trim(m->l.t, wipe, NULL);
	else if (what < 998)
		op_restart(m);
	else if (what < 999)
		table_set_mapping(m->l.t, m->mode);
}

/* The kind of operation that is more frequent now. */
static void step_of_tide(struct model *m, int op)
{
	bool is_flood = op / m->scale->tide % 2 == 0;

	if (unit_below(4) == 0)
		step(m);
	else if (is_flood)
		op_open(m);
	else if (m->n > 0)
		op_close(m);
}

START_TEST(test_table_agrees_with_a_naive_one)
{
	struct model *m = calloc(1, sizeof(*m));
	uint32_t most = 0, least = UINT32_MAX;

	m->mode = (enum nat_mapping_mode)(_i % MODES);
	m->scale = &scales[_i / MODES];
	lab_prepare(&m->l, m->scale->size, ADDRESSES);
	m->l.params.mapping = m->mode;
	lab_attach(&m->l);
	for (uint32_t i = 0; i < ADDRESSES; i++)
		table_address_add(m->l.t, LAB_OUTSIDE + i);
	for (int op = 0; op < m->scale->ops; op++) {
		const struct index *ix = &m->l.t->index[IX_OUT];

		if (m->scale->tide == 0)
			step(m);
		else
			step_of_tide(m, op);
		if (op % 32 == 0)
			compare_all(m);
		if (ix->n > most)
			most = least = ix->n;
		else if (ix->n < least)
			least = ix->n;
	}
	compare_all(m);
	if (m->scale->tide > 0) { /* it has grown, and come down again */
		ck_assert_uint_gt(most, 2 * INDEX_MIN_BUCKETS);
		ck_assert_uint_lt(least, most / 2);
	}
	lab_close(&m->l);
	free(m);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("table_model");
	TCase *tc = tcase_create("model");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, test_table_agrees_with_a_naive_one, 0, SCALES * MODES);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite);
}
