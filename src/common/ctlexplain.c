/* SPDX-License-Identifier: ISC */
/* See ctlexplain.h. */
#include "ctlexplain.h"

bool ctl_put_explain(struct ctl_writer *w, const struct ctl_explain *q)
{
	size_t begin = ctl_frame_begin(w, CTL_EXPLAIN);

	ctl_put_u8(w, q->protocol);
	ctl_put_u8(w, q->way);
	ctl_put_endpoint(w, &q->source);
	ctl_put_endpoint(w, &q->destination);
	return ctl_frame_end(w, begin);
}

bool ctl_get_explain(struct ctl_reader *r, struct ctl_explain *q)
{
	q->protocol = ctl_get_u8(r);
	q->way = ctl_get_u8(r);
	q->source = ctl_get_endpoint(r);
	q->destination = ctl_get_endpoint(r);
	return !r->bad && r->left == 0 && q->way <= CTL_EXPLAIN_IN;
}

bool ctl_put_step(struct ctl_writer *w, const char *step, const char *result)
{
	size_t begin = ctl_frame_begin(w, CTL_R_STEP);

	ctl_put_text(w, step);
	ctl_put_text(w, result);
	return ctl_frame_end(w, begin);
}

bool ctl_get_step(struct ctl_reader *r, struct ctl_step *s)
{
	ctl_get_text(r, s->step, sizeof(s->step));
	ctl_get_text(r, s->result, sizeof(s->result));
	return !r->bad;
}

bool ctl_put_verdict(struct ctl_writer *w, const struct ctl_verdict *v)
{
	size_t begin = ctl_frame_begin(w, CTL_R_VERDICT);

	ctl_put_u8(w, v->is_pass);
	ctl_put_u8(w, v->known);
	ctl_put_text(w, v->reason);
	ctl_put_text(w, v->text);
	ctl_put_endpoint(w, &v->inside);
	ctl_put_endpoint(w, &v->outside);
	ctl_put_endpoint(w, &v->remote);
	return ctl_frame_end(w, begin);
}

bool ctl_get_verdict(struct ctl_reader *r, struct ctl_verdict *v)
{
	v->is_pass = ctl_get_u8(r) != 0;
	v->known = ctl_get_u8(r);
	ctl_get_text(r, v->reason, sizeof(v->reason));
	ctl_get_text(r, v->text, sizeof(v->text));
	v->inside = ctl_get_endpoint(r);
	v->outside = ctl_get_endpoint(r);
	v->remote = ctl_get_endpoint(r);
	return !r->bad;
}
