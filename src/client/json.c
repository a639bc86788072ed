/* SPDX-License-Identifier: ISC */
/*
 * JSON by jansson. Names and order of the members are promised in natctl(8). Only printable ASCII leaves.
 */
#include "json.h"

#ifdef HAVE_JANSSON

#include <jansson.h>
#include <string.h>

#include "names.h"

enum { ENTRY_MEMBERS = 13 };

bool json_is_built_in(void)
{
	return true;
}

/* `text` with "?" for everything but printable ASCII. */
static const char *make_plain(char *plain, size_t size, const char *text)
{
	size_t len = 0;

	for (; *text && len < size - 1; text++)
		plain[len++] = *text >= ' ' && *text <= '~' ? *text : '?';
	plain[len] = '\0';
	return plain;
}

/* jansson escapes control characters but DEL, and refuses what is not UTF-8. */
static json_t *make_text(const char *text)
{
	char plain[CTL_TEXT_MAX + 1];
	json_t *value = strchr(text, 0x7f) ? NULL : json_string(text);

	return value ? value : json_string(make_plain(plain, sizeof(plain), text));
}

/* A member whose name came from natd. */
static void set_member(json_t *o, const char *name, json_t *value)
{
	char plain[64];

	json_object_set_new(o, make_plain(plain, sizeof(plain), name), value);
}

static json_t *make_number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *make_address(uint32_t address)
{
	char text[NAMES_ADDRESS_MAX];

	return json_string(names_address(text, address));
}

static json_t *make_endpoint(const struct ctl_endpoint *e, uint8_t protocol)
{
	json_t *o = json_object();

	json_object_set_new(o, "address", make_address(e->address));
	if (protocol == 1 || protocol == 6 || protocol == 17)
		json_object_set_new(o, "port", json_integer(e->port));
	else
		json_object_set_new(o, "port", json_null());
	return o;
}

static json_t *make_counts(const struct ctl_entry *e, int dir)
{
	json_t *o = json_object();

	json_object_set_new(o, "packets", make_number(e->packets[dir]));
	json_object_set_new(o, "bytes", make_number(e->bytes[dir]));
	return o;
}

static json_t *make_flags(const struct ctl_entry *e)
{
	json_t *a = json_array();

	if (!(e->flags & CTL_ENTRY_REPLIED))
		json_array_append_new(a, json_string("UNREPLIED"));
	if (e->flags & CTL_ENTRY_ASSURED)
		json_array_append_new(a, json_string("ASSURED"));
	return a;
}

static json_t *make_prefix(const struct ctl_prefix *p)
{
	char address[NAMES_ADDRESS_MAX];
	char text[NAMES_ADDRESS_MAX + 4];

	snprintf(text, sizeof(text), "%s/%u", names_address(address, p->address), p->length);
	return json_string(text);
}

/* Prints on one line and frees. A value that could not be made is missing, so `members` are counted. */
static bool print_line(FILE *f, json_t *o, size_t members)
{
	bool ok = o && json_object_size(o) == members &&
		  json_dumpf(o, f, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(16)) == 0;

	json_decref(o);
	fputc('\n', f);
	return ok;
}

static json_t *make_mapping(const struct ctl_mapping *m)
{
	json_t *o = json_object();
	char name[4];

	json_object_set_new(o, "protocol", json_string(names_protocol(m->protocol, name)));
	json_object_set_new(o, "inside", make_endpoint(&m->inside, m->protocol));
	json_object_set_new(o, "outside", make_endpoint(&m->outside, m->protocol));
	json_object_set_new(o, "remote",
			    m->remote.address == 0 ? json_null()
						   : make_endpoint(&m->remote, m->remote.port ? m->protocol : 0));
	json_object_set_new(o, "sessions", make_number(m->sessions));
	return o;
}

bool json_print_mapping(FILE *f, const struct ctl_mapping *m)
{
	return print_line(f, make_mapping(m), 5);
}

static json_t *make_moved(const struct ctl_host *h, int dir)
{
	json_t *o = json_object();
	bool has_rates = h->interval_ms > 0;

	json_object_set_new(o, "packets", make_number(h->packets[dir]));
	json_object_set_new(o, "bytes", make_number(h->bytes[dir]));
	json_object_set_new(o, "packets_rate", has_rates ? make_number(h->packets_rate[dir]) : json_null());
	json_object_set_new(o, "bytes_rate", has_rates ? make_number(h->bytes_rate[dir]) : json_null());
	return o;
}

bool json_print_host(FILE *f, const struct ctl_host *h)
{
	json_t *o = json_object();

	json_object_set_new(o, "address", make_address(h->address));
	json_object_set_new(o, "outside", make_address(h->outside));
	json_object_set_new(o, "sessions", make_number(h->sessions));
	json_object_set_new(o, "ports", make_number(h->ports));
	json_object_set_new(o, "blocks", make_number(h->blocks));
	json_object_set_new(o, "out", make_moved(h, 0));
	json_object_set_new(o, "in", make_moved(h, 1));
	return print_line(f, o, 7);
}

static json_t *make_entry(const struct ctl_entry *e)
{
	json_t *o = json_object();
	char name[4], backend[NAMES_ENDPOINT_MAX];

	json_object_set_new(o, "id", make_number(e->id));
	json_object_set_new(o, "protocol", json_string(names_protocol(e->protocol, name)));
	json_object_set_new(o, "state", e->protocol == 6 ? json_string(ctl_state_name(e->state)) : json_null());
	json_object_set_new(o, "timeout", make_number(e->timeout_s));
	json_object_set_new(o, "age", make_number(e->age_s));
	json_object_set_new(o, "origin", json_string(e->flags & CTL_ENTRY_FROM_OUTSIDE ? "outside" : "inside"));
	json_object_set_new(o, "forward", e->forward[0] ? make_text(e->forward) : json_null());
	if (e->backend.address != 0)
		json_object_set_new(o, "backend", json_string(names_endpoint(backend, &e->backend, e->protocol)));
	if (e->pair[0] != '\0')
		json_object_set_new(o, "static", make_text(e->pair));
	json_object_set_new(o, "inside", make_endpoint(&e->inside, e->protocol));
	json_object_set_new(o, "outside", make_endpoint(&e->outside, e->protocol));
	json_object_set_new(o, "remote", make_endpoint(&e->remote, e->protocol));
	json_object_set_new(o, "out", make_counts(e, 0));
	json_object_set_new(o, "in", make_counts(e, 1));
	json_object_set_new(o, "flags", make_flags(e));
	return o;
}

static size_t count_members(const struct ctl_entry *e)
{
	return ENTRY_MEMBERS + (size_t)(e->backend.address != 0) + (size_t)(e->pair[0] != '\0');
}

bool json_print_entry(FILE *f, const struct ctl_entry *e)
{
	return print_line(f, make_entry(e), count_members(e));
}

static void set_time(json_t *o, uint64_t time_us)
{
	json_object_set_new(o, "time", json_real((double)time_us / 1e6));
}

static json_t *make_block(const struct ctl_event *e)
{
	json_t *o = json_object();

	json_object_set_new(o, "host", make_address(e->block.inside));
	json_object_set_new(o, "outside", make_address(e->block.outside));
	json_object_set_new(o, "first", json_integer(e->block.first));
	json_object_set_new(o, "last", json_integer(e->block.last));
	return o;
}

/* Beginning and end, in the words of that kind of event; NULL: it has none. */
static const char *event_state(const struct ctl_event *e)
{
	if (e->kind == CTL_EVENT_ALARM)
		return e->has_ended ? "cleared" : "raised";
	if (e->kind == CTL_EVENT_MAPPING || e->kind == CTL_EVENT_BLOCK)
		return e->has_ended ? "closed" : "opened";
	return NULL;
}

bool json_print_event(FILE *f, const struct ctl_event *e)
{
	const char *state = event_state(e);
	json_t *o;

	if (ctl_event_has_entry(e->kind))
		o = make_entry(&e->entry);
	else if (e->kind == CTL_EVENT_MAPPING)
		o = make_mapping(&e->mapping);
	else if (e->kind == CTL_EVENT_BLOCK)
		o = make_block(e);
	else
		o = json_object();
	json_object_set_new(o, "event", json_string(ctl_event_name(e->kind)));
	set_time(o, e->time_us);
	if (e->kind == CTL_EVENT_ALARM)
		json_object_set_new(o, "id", make_text(e->reason));
	else
		json_object_set_new(o, "reason", e->reason[0] ? make_text(e->reason) : json_null());
	if (state)
		json_object_set_new(o, "state", json_string(state));
	if (e->text[0])
		json_object_set_new(o, "text", make_text(e->text));
	return print_line(f, o, json_object_size(o));
}

bool json_print_history(FILE *f, const struct ctl_event *e, uint64_t ended_ago_s)
{
	json_t *o = make_entry(&e->entry);

	set_time(o, e->time_us);
	json_object_set_new(o, "ended", make_number(ended_ago_s));
	json_object_set_new(o, "reason", make_text(e->reason));
	return print_line(f, o, 3 + count_members(&e->entry));
}

static json_t *make_time(uint64_t time_us)
{
	return time_us ? json_real((double)time_us / 1e6) : json_null();
}

bool json_print_holder(FILE *f, const struct ctl_mapping *m, uint64_t since_us, uint64_t until_us)
{
	json_t *o = json_object();
	char name[4];

	json_object_set_new(o, "protocol", json_string(names_protocol(m->protocol, name)));
	json_object_set_new(o, "inside", make_endpoint(&m->inside, m->protocol));
	json_object_set_new(o, "outside", make_endpoint(&m->outside, m->protocol));
	json_object_set_new(o, "since", make_time(since_us));
	json_object_set_new(o, "until", make_time(until_us));
	return print_line(f, o, 5);
}

bool json_print_block(FILE *f, const struct ctl_block *b, uint64_t since_s)
{
	json_t *o = json_object();

	json_object_set_new(o, "host", make_address(b->inside));
	json_object_set_new(o, "outside", make_address(b->outside));
	json_object_set_new(o, "first", make_number(b->first));
	json_object_set_new(o, "last", make_number(b->last));
	json_object_set_new(o, "used", make_number(b->used));
	json_object_set_new(o, "since", make_number(since_s));
	json_object_set_new(o, "fixed", json_boolean(b->is_fixed));
	return print_line(f, o, 7);
}

bool json_print_block_holder(FILE *f, const struct ctl_block *b, const struct ctl_who *q, uint64_t since_us,
			     uint64_t until_us)
{
	json_t *o = json_object(), *inside = json_object(), *block = json_object();
	char name[4];

	json_object_set_new(inside, "address", make_address(b->inside));
	json_object_set_new(inside, "port", json_null());
	json_object_set_new(block, "first", make_number(b->first));
	json_object_set_new(block, "last", make_number(b->last));
	json_object_set_new(o, "protocol", q->protocol ? json_string(names_protocol(q->protocol, name)) : json_null());
	json_object_set_new(o, "inside", inside);
	json_object_set_new(o, "outside", make_endpoint(&q->outside, 6));
	json_object_set_new(o, "since", make_time(since_us));
	json_object_set_new(o, "until", make_time(until_us));
	json_object_set_new(o, "block", block);
	return print_line(f, o, 6);
}

bool json_print_lost(FILE *f, uint64_t count)
{
	json_t *o = json_object();

	json_object_set_new(o, "event", json_string("LOST"));
	json_object_set_new(o, "count", make_number(count));
	return print_line(f, o, 2);
}

/* ---- objects in the making ---- */

/* struct json_object has no body: it only hides json_t from those who include json.h. */
static json_t *root(struct json_object *o)
{
	return (json_t *)o;
}

struct json_object *json_create(void)
{
	return (struct json_object *)json_object();
}

void json_add_number(struct json_object *o, const char *name, uint64_t value)
{
	set_member(root(o), name, make_number(value));
}

void json_add_bool(struct json_object *o, const char *name, bool value)
{
	set_member(root(o), name, json_boolean(value));
}

void json_add_text(struct json_object *o, const char *name, const char *text)
{
	set_member(root(o), name, text ? make_text(text) : json_null());
}

void json_add_time(struct json_object *o, uint64_t time_us)
{
	set_time(root(o), time_us);
}

static json_t *find_list(struct json_object *o, const char *name)
{
	char plain[64];
	json_t *list;

	make_plain(plain, sizeof(plain), name);
	list = json_object_get(root(o), plain);
	if (json_is_array(list))
		return list;
	json_object_set_new(root(o), plain, json_array());
	return json_object_get(root(o), plain);
}

void json_add_list(struct json_object *o, const char *name)
{
	(void)find_list(o, name);
}

void json_add_element(struct json_object *o, const char *name, const char *text)
{
	json_array_append_new(find_list(o, name), make_text(text));
}

void json_add_forward(struct json_object *o, const char *name, const struct ctl_forward *w)
{
	json_t *f = json_object();
	json_t *from = json_array();
	json_t *protocols = json_array();
	bool has_ports = (w->protocols & (CTL_FORWARD_TCP | CTL_FORWARD_UDP)) != 0;
	char number[4];

	for (uint32_t i = 0; i < w->n_from && i < CTL_FROM_MAX; i++)
		json_array_append_new(from, make_prefix(&w->from[i]));
	if (w->protocols & CTL_FORWARD_TCP)
		json_array_append_new(protocols, json_string("tcp"));
	if (w->protocols & CTL_FORWARD_UDP)
		json_array_append_new(protocols, json_string("udp"));
	if (w->protocols & CTL_FORWARD_OTHER)
		json_array_append_new(protocols, json_string(names_protocol((uint8_t)w->first_port, number)));
	if (w->protocols & CTL_FORWARD_ANY)
		json_array_append_new(protocols, json_string("any"));
	json_object_set_new(f, "name", make_text(w->name));
	json_object_set_new(f, "protocols", protocols);
	json_object_set_new(f, "address", w->address ? make_address(w->address) : json_null());
	json_object_set_new(f, "first_port", has_ports ? json_integer(w->first_port) : json_null());
	json_object_set_new(f, "last_port", has_ports ? json_integer(w->last_port) : json_null());
	json_object_set_new(f, "to", w->n_backends > 0 ? json_null() : make_endpoint(&w->to, has_ports ? 6 : 47));
	json_object_set_new(f, "from", from);
	json_object_set_new(f, "from_count", make_number(w->n_from));
	json_object_set_new(f, "side", json_string(ctl_side_name(w->side)));
	json_object_set_new(f, "dynamic", json_boolean(w->is_dynamic));
	if (w->n_backends > 0) {
		json_object_set_new(f, "balance", json_string(ctl_balance_name(w->balance)));
		json_object_set_new(f, "affinity", make_number(w->affinity_s));
		json_object_set_new(f, "backends", json_array());
	}
	json_array_append_new(find_list(o, name), f);
}

void json_add_backend(struct json_object *o, const char *name, const struct ctl_backend_state *b)
{
	json_t *list = find_list(o, name), *backend = json_object();
	char host[NAMES_ENDPOINT_MAX];

	json_object_set_new(backend, "host", json_string(names_endpoint(host, &b->host, 6)));
	json_object_set_new(backend, "weight", json_integer(b->weight));
	json_object_set_new(backend, "state", json_string(ctl_backend_state_name(b->closed)));
	json_object_set_new(backend, "drained", json_boolean((b->closed & CTL_BACKEND_DRAINED) != 0));
	json_object_set_new(backend, "sessions", make_number(b->sessions));
	json_array_append_new(json_object_get(json_array_get(list, json_array_size(list) - 1), "backends"), backend);
}

void json_add_pool(struct json_object *o, const char *name, const struct ctl_pool *p)
{
	static const char *const classes[] = {"tcp", "udp", "icmp"};
	json_t *used = json_object();
	json_t *quarantined = json_object();
	json_t *pool = json_object();

	for (int i = 0; i < 3; i++) {
		json_object_set_new(used, classes[i], make_number(p->used[i]));
		json_object_set_new(quarantined, classes[i], make_number(p->quarantined[i]));
	}
	json_object_set_new(pool, "address", make_address(p->address));
	json_object_set_new(pool, "shared", json_boolean(p->shared));
	json_object_set_new(pool, "ports", make_number(p->ports));
	json_object_set_new(pool, "used", used);
	json_object_set_new(pool, "quarantined", quarantined);
	json_array_append_new(find_list(o, name), pool);
}

void json_add_check(struct json_object *o, const char *name, const struct ctl_check *c)
{
	static const char *const severities[] = {"ok", "warn", "fail"};
	json_t *check = json_object();

	json_object_set_new(check, "id", make_text(c->id));
	json_object_set_new(check, "severity", json_string(severities[c->severity]));
	json_object_set_new(check, "what", make_text(c->what));
	json_object_set_new(check, "mend", c->mend[0] ? make_text(c->mend) : json_null());
	json_array_append_new(find_list(o, name), check);
}

void json_add_step(struct json_object *o, const struct ctl_step *s)
{
	json_t *step = json_object();

	json_object_set_new(step, "step", make_text(s->step));
	json_object_set_new(step, "result", make_text(s->result));
	json_array_append_new(find_list(o, "steps"), step);
}

static void add_endpoint(struct json_object *o, const char *name, const struct ctl_endpoint *e, bool known,
			 bool has_port)
{
	json_t *value = known ? json_object() : json_null();

	if (known) {
		json_object_set_new(value, "address", make_address(e->address));
		json_object_set_new(value, "port", has_port ? json_integer(e->port) : json_null());
	}
	set_member(root(o), name, value);
}

void json_add_verdict(struct json_object *o, const struct ctl_verdict *v)
{
	json_add_text(o, "verdict", v->is_pass ? "pass" : "drop");
	set_member(root(o), "reason", v->reason[0] ? make_text(v->reason) : json_null());
	json_add_text(o, "text", v->text);
	add_endpoint(o, "inside", &v->inside, v->known & CTL_VERDICT_INSIDE, true);
	add_endpoint(o, "outside", &v->outside, v->known & CTL_VERDICT_OUTSIDE, v->known & CTL_VERDICT_OUTSIDE_PORT);
	add_endpoint(o, "remote", &v->remote, v->known & CTL_VERDICT_REMOTE, true);
}

void json_add_warning(struct json_object *o, const struct ctl_check *c)
{
	json_t *warning = json_object();

	json_object_set_new(warning, "id", make_text(c->id));
	json_object_set_new(warning, "text", make_text(c->what));
	json_object_set_new(warning, "remedy", c->mend[0] ? make_text(c->mend) : json_null());
	if (c->percent > 0)
		json_object_set_new(warning, "percent", json_integer(c->percent));
	json_array_append_new(find_list(o, "warnings"), warning);
}

void json_add_item(struct json_object *o, const struct ctl_item *i)
{
	if (i->kind == CTL_ITEM_NUMBER)
		json_add_number(o, i->name, i->number);
	else if (i->kind == CTL_ITEM_TEXT)
		json_add_text(o, i->name, i->text);
	else
		json_add_element(o, i->name, i->text);
}

bool json_print(FILE *f, struct json_object *o)
{
	return print_line(f, root(o), json_object_size(root(o)));
}

void json_destroy(struct json_object *o)
{
	json_decref(root(o));
}

#else

bool json_is_built_in(void)
{
	return false;
}

/* Never called: see json.h. They let the commands be written without conditions. */
bool json_print_entry(FILE *f, const struct ctl_entry *e)
{
	(void)f, (void)e;
	return false;
}

bool json_print_event(FILE *f, const struct ctl_event *e)
{
	(void)f, (void)e;
	return false;
}

bool json_print_history(FILE *f, const struct ctl_event *e, uint64_t ended_ago_s)
{
	(void)f, (void)e, (void)ended_ago_s;
	return false;
}

bool json_print_holder(FILE *f, const struct ctl_mapping *m, uint64_t since_us, uint64_t until_us)
{
	(void)f, (void)m, (void)since_us, (void)until_us;
	return false;
}

bool json_print_block(FILE *f, const struct ctl_block *b, uint64_t since_s)
{
	(void)f, (void)b, (void)since_s;
	return false;
}

bool json_print_block_holder(FILE *f, const struct ctl_block *b, const struct ctl_who *q, uint64_t since_us,
			     uint64_t until_us)
{
	(void)f, (void)b, (void)q, (void)since_us, (void)until_us;
	return false;
}

bool json_print_lost(FILE *f, uint64_t count)
{
	(void)f, (void)count;
	return false;
}

bool json_print_mapping(FILE *f, const struct ctl_mapping *m)
{
	(void)f, (void)m;
	return false;
}

bool json_print_host(FILE *f, const struct ctl_host *h)
{
	(void)f, (void)h;
	return false;
}

struct json_object *json_create(void)
{
	return NULL;
}

void json_add_number(struct json_object *o, const char *name, uint64_t value)
{
	(void)o, (void)name, (void)value;
}

void json_add_bool(struct json_object *o, const char *name, bool value)
{
	(void)o, (void)name, (void)value;
}

void json_add_text(struct json_object *o, const char *name, const char *text)
{
	(void)o, (void)name, (void)text;
}

void json_add_time(struct json_object *o, uint64_t time_us)
{
	(void)o, (void)time_us;
}

void json_add_list(struct json_object *o, const char *name)
{
	(void)o, (void)name;
}

void json_add_element(struct json_object *o, const char *name, const char *text)
{
	(void)o, (void)name, (void)text;
}

void json_add_forward(struct json_object *o, const char *name, const struct ctl_forward *w)
{
	(void)o, (void)name, (void)w;
}

void json_add_backend(struct json_object *o, const char *name, const struct ctl_backend_state *b)
{
	(void)o, (void)name, (void)b;
}

void json_add_pool(struct json_object *o, const char *name, const struct ctl_pool *p)
{
	(void)o, (void)name, (void)p;
}

void json_add_check(struct json_object *o, const char *name, const struct ctl_check *c)
{
	(void)o, (void)name, (void)c;
}

void json_add_step(struct json_object *o, const struct ctl_step *s)
{
	(void)o, (void)s;
}

void json_add_verdict(struct json_object *o, const struct ctl_verdict *v)
{
	(void)o, (void)v;
}

void json_add_warning(struct json_object *o, const struct ctl_check *c)
{
	(void)o, (void)c;
}

void json_add_item(struct json_object *o, const struct ctl_item *i)
{
	(void)o, (void)i;
}

bool json_print(FILE *f, struct json_object *o)
{
	(void)f, (void)o;
	return false;
}

void json_destroy(struct json_object *o)
{
	(void)o;
}

#endif
