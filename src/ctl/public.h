/* SPDX-License-Identifier: ISC */
/* The options of natctl public-address. */
#ifndef NATD_CTL_PUBLIC_H
#define NATD_CTL_PUBLIC_H

#include "options.h"

/* Target: a struct public_choice of cmd_public.c. */
extern const struct option_set public_options;

#endif
