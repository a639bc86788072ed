/* SPDX-License-Identifier: ISC */
/*
 * The terminal of natctl top, by ncurses, which sends only changes, so nothing flickers. A resize of the window arrives
 * as a key.
 */
#include "top.h"

#ifdef HAVE_NCURSES

#include <curses.h>
#include <stdlib.h>

#include "natctl.h"

static SCREEN *screen;

bool top_screen_is_built_in(void)
{
	return true;
}

bool top_screen_open(void)
{
	const char *no_color = getenv("NO_COLOR");

	screen = newterm(NULL, stdout, stdin);
	if (!screen) {
		natctl_complain("top: the terminal type in TERM is not known: use -b");
		return false;
	}
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	curs_set(0);
	if (has_colors() && !(no_color && no_color[0])) {
		start_color();
		use_default_colors();
		init_pair(1, COLOR_YELLOW, -1);
	}
	return true;
}

void top_screen_close(void)
{
	endwin();
	delscreen(screen);
	screen = NULL;
}

void top_screen_size(unsigned *rows, unsigned *columns)
{
	int y, x;

	getmaxyx(stdscr, y, x);
	*rows = y > 0 ? (unsigned)y : 0;
	*columns = x > 0 ? (unsigned)x : 0;
}

static attr_t attributes(enum top_style style)
{
	switch (style) {
	case TOP_BOLD:
		return A_BOLD;
	case TOP_HEADING:
		return A_REVERSE;
	case TOP_WARNING:
		return A_BOLD | (attr_t)COLOR_PAIR(1);
	case TOP_PLAIN:
		break;
	}
	return A_NORMAL;
}

void top_screen_show(const struct top_page *p)
{
	erase();
	for (unsigned i = 0; i < p->n; i++) {
		const struct top_line *line = &p->line[i];

		attrset((int)attributes(line->style));
		if (line->style == TOP_HEADING)
			mvprintw((int)i, 0, "%-*s", (int)p->columns, line->text);
		else
			mvaddstr((int)i, 0, line->text);
	}
	attrset(A_NORMAL);
	refresh();
}

int top_screen_key(int wait_ms)
{
	int key;

	timeout(wait_ms);
	key = getch();
	if (key == KEY_RESIZE)
		return TOP_RESIZED;
	return key > ' ' && key <= '~' ? key : 0;
}

#else

bool top_screen_is_built_in(void)
{
	return false;
}

/* Never called: see top_screen_is_built_in(). */
bool top_screen_open(void)
{
	return false;
}

void top_screen_close(void)
{
}

void top_screen_size(unsigned *rows, unsigned *columns)
{
	*rows = *columns = 0;
}

void top_screen_show(const struct top_page *p)
{
	(void)p;
}

int top_screen_key(int wait_ms)
{
	(void)wait_ms;
	return 0;
}

#endif
