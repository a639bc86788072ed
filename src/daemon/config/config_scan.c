/* SPDX-License-Identifier: ISC */
/*
 * A look at the file before libconfig reads it, for what that library takes without a word (1.5 does):
 * a whole number beyond 32 bits is cut to its lower half ("udp = 4294967596" would be 300), a string or
 * comment that never ends is closed at the end of the file, and a NUL byte ends it early. @include is
 * refused: natd's configuration is one file, so that what `natd -t` has checked is what a reload reads.
 *
 * The words are those of libconfig's scanner: comments (#, //, and those of C), strings, names, numbers.
 */
#include <ctype.h>
#include <string.h>

#include "config_internal.h"

struct scan {
	struct config_loader *l;
	const char *p; /* next byte; *end is never read */
	const char *end;
	uint32_t line;
	bool ok;
};

static char peek(const struct scan *s, size_t ahead)
{
	return (size_t)(s->end - s->p) > ahead ? s->p[ahead] : '\0';
}

static void advance(struct scan *s)
{
	if (s->p < s->end && *s->p++ == '\n')
		s->line++;
}

static void skip_line(struct scan *s)
{
	while (s->p < s->end && *s->p != '\n')
		s->p++;
}

static void scan_comment(struct scan *s)
{
	uint32_t start = s->line;

	for (s->p += 2; s->p < s->end; advance(s)) {
		if (peek(s, 0) == '*' && peek(s, 1) == '/') {
			s->p += 2;
			return;
		}
	}
	loader_error(s->l, start, "this comment has no end: \"*/\" is missing");
	s->ok = false;
}

static void scan_string(struct scan *s)
{
	uint32_t start = s->line;

	for (advance(s); s->p < s->end; advance(s)) {
		if (*s->p == '"') {
			s->p++;
			return;
		}
		if (*s->p == '\\')
			advance(s);
	}
	loader_error(s->l, start, "this string has no end: a quote (\") is missing");
	s->ok = false;
}

static void scan_name(struct scan *s)
{
	while (isalnum((unsigned char)peek(s, 0)) || (peek(s, 0) && strchr("-_*", peek(s, 0))))
		s->p++;
}

/* Value of the digits in front, stopping at UINT32_MAX. */
static uint64_t take_digits(struct scan *s, unsigned base)
{
	uint64_t value = 0;

	for (; isxdigit((unsigned char)peek(s, 0)); s->p++) {
		char c = *s->p;
		unsigned digit = (unsigned)(isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10);

		if (digit >= base)
			return value;
		value = value * base + digit;
		value = value > UINT32_MAX ? UINT32_MAX : value;
	}
	return value;
}

static void scan_number(struct scan *s)
{
	const char *start = s->p;
	bool is_hex = peek(s, 0) == '0' && (peek(s, 1) == 'x' || peek(s, 1) == 'X');
	uint64_t value;

	if (is_hex)
		s->p += 2;
	value = take_digits(s, is_hex ? 16 : 10);
	if (!is_hex && peek(s, 0) && strchr(".eE", peek(s, 0))) {
		while (isalnum((unsigned char)peek(s, 0)) || (peek(s, 0) && strchr(".+-", peek(s, 0))))
			s->p++;
		return; /* a fraction: its type is refused later */
	}
	if (value <= INT32_MAX || peek(s, 0) == 'L')
		return;
	loader_error(s->l, s->line, "%.*s is too large: no number here may be above 2147483647",
		     (int)(s->p - start > 40 ? 40 : s->p - start), start);
	s->ok = false;
}

static void scan_include(struct scan *s)
{
	loader_error(s->l, s->line, "@include is not possible here: natd's configuration is one file");
	s->ok = false;
	skip_line(s);
}

static void scan_word(struct scan *s)
{
	char c = peek(s, 0);

	if (c == '#' || (c == '/' && peek(s, 1) == '/'))
		skip_line(s);
	else if (c == '/' && peek(s, 1) == '*')
		scan_comment(s);
	else if (c == '"')
		scan_string(s);
	else if (isalpha((unsigned char)c) || c == '*')
		scan_name(s);
	else if (isdigit((unsigned char)c))
		scan_number(s);
	else if (c == '@')
		scan_include(s);
	else
		advance(s);
}

static uint32_t line_of(const char *text, const char *place)
{
	uint32_t line = 1;

	for (; text < place; text++)
		line += *text == '\n';
	return line;
}

bool config_scan(struct config_loader *l, const char *text, size_t len)
{
	struct scan s = {.l = l, .p = text, .end = text + len, .line = 1, .ok = true};
	const char *nul = len ? memchr(text, '\0', len) : NULL;

	if (nul) {
		loader_error(l, line_of(text, nul), "a NUL byte: this is not a text file");
		return false;
	}
	while (s.p < s.end)
		scan_word(&s);
	return s.ok;
}
