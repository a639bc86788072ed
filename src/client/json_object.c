/* SPDX-License-Identifier: ISC */
/* Objects under construction, see json.h. natctl(8) promises the names of the members. */
#include "json_private.h"

#ifdef HAVE_JANSSON

#include "names.h"

/* struct json_object is never defined: it hides json_t from the users of json.h. */
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
	json_set_member(root(o), name, json_make_number(value));
}

void json_add_bool(struct json_object *o, const char *name, bool value)
{
	json_set_member(root(o), name, json_boolean(value));
}

void json_add_text(struct json_object *o, const char *name, const char *text)
{
	json_set_member(root(o), name, text ? json_make_text(text) : json_null());
}

void json_add_time(struct json_object *o, uint64_t time_us)
{
	json_set_time(root(o), time_us);
}

static json_t *make_prefix(const struct ctl_prefix *p)
{
	char address[NAMES_ADDRESS_MAX];
	char text[NAMES_ADDRESS_MAX + 4];

	snprintf(text, sizeof(text), "%s/%u", names_address(address, p->address), p->length);
	return json_string(text);
}

static json_t *find_list(struct json_object *o, const char *name)
{
	char plain[64];
	json_t *list;

	json_make_plain(plain, sizeof(plain), name);
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
	json_array_append_new(find_list(o, name), json_make_text(text));
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
	json_object_set_new(f, "name", json_make_text(w->name));
	json_object_set_new(f, "protocols", protocols);
	json_object_set_new(f, "address", w->address ? json_make_address(w->address) : json_null());
	json_object_set_new(f, "first_port", has_ports ? json_integer(w->first_port) : json_null());
	json_object_set_new(f, "last_port", has_ports ? json_integer(w->last_port) : json_null());
	json_object_set_new(f, "to", w->n_backends > 0 ? json_null() : json_make_endpoint(&w->to, has_ports ? 6 : 47));
	json_object_set_new(f, "from", from);
	json_object_set_new(f, "from_count", json_make_number(w->n_from));
	json_object_set_new(f, "side", json_string(ctl_side_name(w->side)));
	json_object_set_new(f, "dynamic", json_boolean(w->is_dynamic));
	if (w->n_backends > 0) {
		json_object_set_new(f, "balance", json_string(ctl_balance_name(w->balance)));
		json_object_set_new(f, "affinity", json_make_number(w->affinity_s));
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
	json_object_set_new(backend, "sessions", json_make_number(b->sessions));
	json_array_append_new(json_object_get(json_array_get(list, json_array_size(list) - 1), "backends"), backend);
}

void json_add_pool(struct json_object *o, const char *name, const struct ctl_pool *p)
{
	static const char *const classes[] = {"tcp", "udp", "icmp"};
	json_t *used = json_object();
	json_t *quarantined = json_object();
	json_t *pool = json_object();

	for (int i = 0; i < 3; i++) {
		json_object_set_new(used, classes[i], json_make_number(p->used[i]));
		json_object_set_new(quarantined, classes[i], json_make_number(p->quarantined[i]));
	}
	json_object_set_new(pool, "address", json_make_address(p->address));
	json_object_set_new(pool, "shared", json_boolean(p->shared));
	json_object_set_new(pool, "ports", json_make_number(p->ports));
	json_object_set_new(pool, "used", used);
	json_object_set_new(pool, "quarantined", quarantined);
	json_array_append_new(find_list(o, name), pool);
}

void json_add_check(struct json_object *o, const char *name, const struct ctl_check *c)
{
	static const char *const severities[] = {"ok", "warn", "fail"};
	json_t *check = json_object();

	json_object_set_new(check, "id", json_make_text(c->id));
	json_object_set_new(check, "severity", json_string(severities[c->severity]));
	json_object_set_new(check, "what", json_make_text(c->what));
	json_object_set_new(check, "mend", c->remedy[0] ? json_make_text(c->remedy) : json_null());
	json_array_append_new(find_list(o, name), check);
}

void json_add_step(struct json_object *o, const struct ctl_step *s)
{
	json_t *step = json_object();

	json_object_set_new(step, "step", json_make_text(s->step));
	json_object_set_new(step, "result", json_make_text(s->result));
	json_array_append_new(find_list(o, "steps"), step);
}

static void add_endpoint(struct json_object *o, const char *name, const struct ctl_endpoint *e, bool known,
			 bool has_port)
{
	json_t *value = known ? json_object() : json_null();

	if (known) {
		json_object_set_new(value, "address", json_make_address(e->address));
		json_object_set_new(value, "port", has_port ? json_integer(e->port) : json_null());
	}
	json_set_member(root(o), name, value);
}

void json_add_verdict(struct json_object *o, const struct ctl_verdict *v)
{
	json_add_text(o, "verdict", v->is_pass ? "pass" : "drop");
	json_set_member(root(o), "reason", v->reason[0] ? json_make_text(v->reason) : json_null());
	json_add_text(o, "text", v->text);
	add_endpoint(o, "inside", &v->inside, v->known & CTL_VERDICT_INSIDE, true);
	add_endpoint(o, "outside", &v->outside, v->known & CTL_VERDICT_OUTSIDE, v->known & CTL_VERDICT_OUTSIDE_PORT);
	add_endpoint(o, "remote", &v->remote, v->known & CTL_VERDICT_REMOTE, true);
}

void json_add_warning(struct json_object *o, const struct ctl_check *c)
{
	json_t *warning = json_object();

	json_object_set_new(warning, "id", json_make_text(c->id));
	json_object_set_new(warning, "text", json_make_text(c->what));
	json_object_set_new(warning, "remedy", c->remedy[0] ? json_make_text(c->remedy) : json_null());
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
	return json_print_line(f, root(o), json_object_size(root(o)));
}

void json_destroy(struct json_object *o)
{
	json_decref(root(o));
}

#endif
