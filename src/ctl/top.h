/* SPDX-License-Identifier: ISC */
/*
 * The live screen of natctl top, in three parts: natd's figures (a sample), the lines made from them, and the terminal
 * (top_screen.c, the only user of ncurses).
 */
#ifndef NATD_CTL_TOP_H
#define NATD_CTL_TOP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ctlhost.h"
#include "common/ctlrecord.h"

enum { TOP_COUNTERS_MAX = 256, TOP_ITEMS_MAX = 64, TOP_WARNINGS_MAX = 4, TOP_COLUMNS_MAX = 256, TOP_ROWS_MAX = 128 };

struct top_number {
	char name[40];
	uint64_t value;
};

/* natd's figures at one time. */
struct top_sample {
	bool is_there;	  /* natd answered; else the other fields are from the last answer */
	uint64_t time_ms; /* monotonic */
	char version[64];
	struct top_number items[TOP_ITEMS_MAX]; /* of the status */
	unsigned n_items;
	char warnings[TOP_WARNINGS_MAX][160];
	unsigned n_warnings;
	struct top_number counters[TOP_COUNTERS_MAX]; /* of stats, in natd's order */
	unsigned n_counters;
	struct ctl_host hosts[CTL_HOSTS_MAX]; /* in order */
	unsigned n_hosts;
};

enum top_style { TOP_PLAIN, TOP_BOLD, TOP_HEADING, TOP_WARNING };

struct top_line {
	char text[TOP_COLUMNS_MAX + 1]; /* printable ASCII */
	enum top_style style;
};

struct top_page {
	struct top_line line[TOP_ROWS_MAX];
	unsigned n;
	unsigned rows, columns; /* limits: lines, and bytes a line */
};

struct top_choice {
	uint8_t order;	/* enum ctl_order */
	double delay_s; /* between samples */
	bool has_keys;	/* the last line lists the keys */
};

/* Makes the page. `before`: an earlier sample of the same run of natd, for rates; NULL: there is none. `first`: the
 * first sample of that run. */
void top_compose(struct top_page *page, const struct top_sample *now, const struct top_sample *before,
		 const struct top_sample *first, const struct top_choice *choice);

/* ---- the terminal ---- */

bool top_screen_is_built_in(void);
/* False: the terminal cannot show it; that was printed. */
bool top_screen_open(void);
void top_screen_close(void);
void top_screen_size(unsigned *rows, unsigned *columns);
void top_screen_show(const struct top_page *page);
/* Waits for a key for at most that long; 0: none came. A resize is TOP_RESIZED. */
enum { TOP_RESIZED = 1 };
int top_screen_key(int wait_ms);

#endif
