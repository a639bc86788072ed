/* SPDX-License-Identifier: ISC */
/* See ctlstatus.h. */
#include "ctlstatus.h"

bool ctl_put_pool(struct ctl_writer *w, const struct ctl_pool *p)
{
	size_t begin = ctl_frame_begin(w, CTL_R_POOL);

	ctl_put_u32(w, p->address);
	ctl_put_u8(w, p->shared);
	ctl_put_u32(w, p->ports);
	for (int i = 0; i < 3; i++)
		ctl_put_u32(w, p->used[i]);
	for (int i = 0; i < 3; i++)
		ctl_put_u32(w, p->quarantined[i]);
	return ctl_frame_end(w, begin);
}

bool ctl_get_pool(struct ctl_reader *r, struct ctl_pool *p)
{
	p->address = ctl_get_u32(r);
	p->shared = ctl_get_u8(r) & 1;
	p->ports = ctl_get_u32(r);
	for (int i = 0; i < 3; i++)
		p->used[i] = ctl_get_u32(r);
	for (int i = 0; i < 3; i++)
		p->quarantined[i] = r->left > 0 ? ctl_get_u32(r) : 0;
	return !r->bad;
}

bool ctl_put_counter(struct ctl_writer *w, const struct ctl_counter *c)
{
	size_t begin = ctl_frame_begin(w, CTL_R_COUNTER);

	ctl_put_u64(w, c->value);
	ctl_put_text(w, c->name);
	ctl_put_text(w, c->help);
	ctl_put_u8(w, c->type);
	ctl_put_text(w, c->unit);
	return ctl_frame_end(w, begin);
}

bool ctl_get_counter(struct ctl_reader *r, struct ctl_counter *c)
{
	*c = (struct ctl_counter){.value = ctl_get_u64(r)};
	ctl_get_text(r, c->name, sizeof(c->name));
	ctl_get_text(r, c->help, sizeof(c->help));
	if (r->left > 0) { /* fields added later */
		c->type = ctl_get_u8(r);
		ctl_get_text(r, c->unit, sizeof(c->unit));
	}
	return !r->bad;
}

static size_t begin_item(struct ctl_writer *w, enum ctl_item_kind kind, const char *name)
{
	struct ctl_item i;
	size_t begin = ctl_frame_begin(w, CTL_R_ITEM);

	ctl_put_u8(w, (uint8_t)kind);
	ctl_put_text_max(w, name, sizeof(i.name) - 1);
	return begin;
}

bool ctl_put_item_number(struct ctl_writer *w, const char *name, uint64_t number)
{
	size_t begin = begin_item(w, CTL_ITEM_NUMBER, name);

	ctl_put_u64(w, number);
	return ctl_frame_end(w, begin);
}

bool ctl_put_item_text(struct ctl_writer *w, enum ctl_item_kind kind, const char *name, const char *text)
{
	size_t begin = begin_item(w, kind, name);

	ctl_put_text(w, text);
	return ctl_frame_end(w, begin);
}

bool ctl_get_item(struct ctl_reader *r, struct ctl_item *i)
{
	i->number = 0;
	i->text[0] = '\0';
	i->kind = ctl_get_u8(r);
	ctl_get_text(r, i->name, sizeof(i->name));
	if (i->kind == CTL_ITEM_NUMBER)
		i->number = ctl_get_u64(r);
	else
		ctl_get_text(r, i->text, sizeof(i->text));
	return !r->bad && i->kind <= CTL_ITEM_LIST;
}

bool ctl_put_check(struct ctl_writer *w, const struct ctl_check *c)
{
	size_t begin = ctl_frame_begin(w, CTL_R_CHECK);

	ctl_put_u8(w, c->severity);
	ctl_put_text(w, c->what);
	ctl_put_text(w, c->remedy);
	ctl_put_text_max(w, c->id, CTL_NAME_MAX);
	ctl_put_u8(w, c->percent);
	return ctl_frame_end(w, begin);
}

bool ctl_get_check(struct ctl_reader *r, struct ctl_check *c)
{
	*c = (struct ctl_check){.severity = ctl_get_u8(r)};
	ctl_get_text(r, c->what, sizeof(c->what));
	ctl_get_text(r, c->remedy, sizeof(c->remedy));
	if (r->left > 0) { /* fields added later */
		ctl_get_text(r, c->id, sizeof(c->id));
		c->percent = ctl_get_u8(r);
	}
	return !r->bad && c->severity <= CTL_CHECK_FAIL;
}

bool ctl_put_line(struct ctl_writer *w, const char *text)
{
	size_t begin = ctl_frame_begin(w, CTL_R_LINE);

	ctl_put_text(w, text);
	return ctl_frame_end(w, begin);
}

bool ctl_get_line(struct ctl_reader *r, char text[CTL_TEXT_MAX + 1])
{
	ctl_get_text(r, text, CTL_TEXT_MAX + 1);
	return !r->bad;
}
