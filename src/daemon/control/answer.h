/* SPDX-License-Identifier: ISC */
/*
 * Requests with a short answer, written in one go: status, stats, reload, doctor.
 */
#ifndef NATD_DAEMON_ANSWER_H
#define NATD_DAEMON_ANSWER_H

#include "request.h"

enum { CTL_ANSWER_ROOM = 49152 }; /* room that a writer must have left */

/* For the table of requests: each writes a whole answer, its end frame included. */
void ctl_answer_status(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w);
void ctl_answer_stats(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w);
void ctl_answer_backend(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w);
void ctl_answer_forward(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w);
void ctl_answer_confirm(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w);
void ctl_answer_reload(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w);
void ctl_answer_doctor(const struct ctl_env *env, const union ctl_args *args, struct ctl_writer *w);

#endif
