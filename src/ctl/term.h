/* SPDX-License-Identifier: ISC */
/*
 * The terminal: styles and width. A stream that is not a terminal has neither, so that files and pipes get plain text.
 * NO_COLOR and TERM=dumb switch styles off (https://no-color.org).
 */
#ifndef NATD_CTL_TERM_H
#define NATD_CTL_TERM_H

#include <stdio.h>

enum term_kind { TERM_PLAIN, TERM_BOLD, TERM_GREEN, TERM_YELLOW, TERM_RED };

/* The text that switches to that style, or "". TERM_PLAIN ends every other style. */
const char *term_style(FILE *f, enum term_kind kind);
/* Columns of the terminal. 0: not a terminal; lines may have any length. */
unsigned term_width(FILE *f);

#endif
