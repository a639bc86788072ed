/* SPDX-License-Identifier: ISC */
/*
 * A scan of the file before libconfig reads it, for errors that the library accepts silently (1.5 does): it cuts a
 * whole number beyond 32 bits to its lower half ("udp = 4294967596" would be 300), closes a string or comment without
 * an end at the end of the file, and stops at a NUL byte. The scan also names what libconfig would only call a "syntax
 * error": non-ASCII bytes, single quotes. @include is refused: natd's configuration is one file, so that a reload reads
 * exactly what `natd -t` has checked.
 *
 * The tokens are those of libconfig's scanner: comments (#, //, and those of C), strings, names, numbers.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "config_internal.h"

struct scan {
	struct config_loader *l;
	const char *text; /* begins here */
	const char *p;	  /* next byte; *end is never read */
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

/* A word processor or a web page makes them from straight ones. U+2018 to U+201F, as UTF-8. */
static bool is_curly_quote(const char *p, const char *end)
{
	return end - p >= 3 && memcmp(p, "\xe2\x80", 2) == 0 && (unsigned char)p[2] >= 0x98 &&
	       (unsigned char)p[2] <= 0x9f;
}

/* Does that line have one? */
static bool has_curly_quote(const struct scan *s, uint32_t line)
{
	const char *p = s->text;

	for (uint32_t i = 1; i < line && p < s->end; p++)
		i += *p == '\n';
	for (; p < s->end && *p != '\n'; p++) {
		if (is_curly_quote(p, s->end))
			return true;
	}
	return false;
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
	loader_error(s->l, start, "this string has no end: a quote (\") is missing%s",
		     has_curly_quote(s, start) ? "; curly quotes are not quotes here, type straight ones" : "");
	s->ok = false;
}

static void scan_name(struct scan *s)
{
	while (isalnum((unsigned char)peek(s, 0)) || (peek(s, 0) && strchr("-_*", peek(s, 0))))
		s->p++;
}

/* Value of the leading digits, at most UINT32_MAX. */
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

/* Bytes that are invisible or look like a quote, and that libconfig would call a syntax error. Outside of strings
 * and comments, which may hold any text, only ASCII is allowed. */
static void scan_foreign(struct scan *s)
{
	static const struct {
		const char *bytes, *name, *remedy;
	} known[] = {
		{"\xef\xbb\xbf", "a byte order mark", "save the file as UTF-8 without one"},
		{"\xc2\xa0", "a no-break space", "replace it by an ordinary space"},
		{"\xe2\x80\xaf", "a narrow no-break space", "replace it by an ordinary space"},
		{"\xe2\x80\x8b", "a zero-width space", "delete it"},
		{"\xe2\x80\x93", "a long dash", "replace it by \"-\""},
		{"\xe2\x80\x94", "a long dash", "replace it by \"-\""},
	};
	size_t left = (size_t)(s->end - s->p);
	const char *name = "a byte that is not ASCII", *remedy = "only strings and comments may hold it";
	size_t len = 1;
	char hex[16] = "";

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strlen(known[i].bytes) <= left && memcmp(s->p, known[i].bytes, strlen(known[i].bytes)) == 0) {
			name = known[i].name;
			remedy = known[i].remedy;
			len = strlen(known[i].bytes);
		}
	}
	if (is_curly_quote(s->p, s->end)) {
		name = "a curly quote";
		remedy = "replace it by a straight one (\")";
		len = 3;
	}
	for (size_t i = 0; i < len; i++)
		snprintf(hex + 3 * i, sizeof(hex) - 3 * i, " %02x", (unsigned char)s->p[i]);
	loader_error(s->l, s->line, "%s (byte%s%s): %s", name, len > 1 ? "s" : "", hex, remedy);
	s->ok = false;
	skip_line(s);
}

static void scan_single_quote(struct scan *s)
{
	loader_error(s->l, s->line, "a single quote (') begins no string here: use double ones (\")");
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
	else if (c == '\'')
		scan_single_quote(s);
	else if ((unsigned char)c >= 0x80)
		scan_foreign(s);
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
	struct scan s = {.l = l, .text = text, .p = text, .end = text + len, .line = 1, .ok = true};
	const char *nul = len ? memchr(text, '\0', len) : NULL;

	if (nul) {
		loader_error(l, line_of(text, nul), "a NUL byte: this is not a text file");
		return false;
	}
	while (s.p < s.end)
		scan_word(&s);
	return s.ok;
}

/* ---- files written for other programs ---- */

/* "[outside]" alone on its line: a section of an ini file. */
static bool is_ini_section(const char *line, size_t len)
{
	size_t i = 1;

	while (len > 0 && isspace((unsigned char)line[len - 1]))
		len--;
	if (len < 3 || line[0] != '[' || line[len - 1] != ']' || !isalpha((unsigned char)line[1]))
		return false;
	while (i < len - 1 && (isalnum((unsigned char)line[i]) || line[i] == '_' || line[i] == '-'))
		i++;
	return i == len - 1;
}

/* A keyword of nft(8), iptables(8) or pf.conf(5) at the start of a line, with no "=" after it. */
static const char *foreign_program(const char *line, size_t len)
{
	static const char *const words[][2] = {
		{"table ", "nft(8)"},	   {"chain ", "nft(8)"},	 {"flush ruleset", "nft(8)"},
		{"add ", "nft(8)"},	   {"iptables ", "iptables(8)"}, {"-A ", "iptables(8)"},
		{"nat on ", "pf.conf(5)"}, {"rdr ", "pf.conf(5)"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t n = strlen(words[i][0]);

		if (len >= n && memcmp(line, words[i][0], n) == 0)
			return words[i][1];
	}
	return NULL;
}

bool config_scan_foreign(struct config_loader *l, const char *text)
{
	uint32_t number = 1;

	for (const char *line = text; *line; number++) {
		size_t len = strcspn(line, "\n");
		size_t indent = strspn(line, " \t");
		const char *program = indent < len ? foreign_program(line + indent, len - indent) : NULL;

		if (program) {
			loader_error(l, number,
				     "this is the language of %s: natd.conf(5) has groups and keys, "
				     "as in outside = { interface = \"eth0\"; };",
				     program);
			return true;
		}
		if (indent < len && is_ini_section(line + indent, len - indent)) {
			loader_error(l, number,
				     "\"%.*s\" is a section of an ini file: write a group, as in "
				     "outside = { interface = \"eth0\"; };",
				     (int)(len - indent > 40 ? 40 : len - indent), line + indent);
			return true;
		}
		line += len + (line[len] == '\n');
	}
	return false;
}
