/* SPDX-License-Identifier: ISC */
/*
 * getopt_long() over tables. getopt sees each option as its number in the sets of this run, plus FIRST, so that letters
 * and long names lead to the same row.
 */
#include "options.h"

#include <getopt.h>
#include <string.h>

#include "client/json.h"
#include "common/spelling.h"

enum { OPTIONS_MAX = 96, FIRST = 256 };

/* ---- the output options ---- */

static const struct {
	const char *word;
	enum natctl_format format; /* FORMAT_LINE: `bit` is added to the line */
	unsigned bit;
} output_words[] = {
	{"line", FORMAT_LINE, 0},
	{"table", FORMAT_TABLE, 0},
	{"json", FORMAT_JSON, 0},
	{"save", FORMAT_SAVE, 0},
	{"extended", FORMAT_LINE, LINE_EXTENDED},
	{"id", FORMAT_LINE, 0}, /* always shown */
	{"mark", FORMAT_LINE, LINE_MARK},
	{"timestamp", FORMAT_LINE, LINE_TIMESTAMP},
};

enum { WORDS = sizeof(output_words) / sizeof(output_words[0]) };

static int find_word(const char *word, size_t len)
{
	for (int i = 0; i < WORDS; i++) {
		if (strlen(output_words[i].word) == len && memcmp(output_words[i].word, word, len) == 0)
			return i;
	}
	return -1;
}

const char *options_set_format(struct natctl *n, const char *list)
{
	bool is_save = false;
	unsigned count = 0;
	size_t len;

	for (const char *p = list;; p += len + 1) {
		int i;

		len = strcspn(p, ",");
		i = find_word(p, len);
		if (i < 0)
			return "is not a list of output formats: line, table, json, save, extended, id, mark, "
			       "timestamp";
		n->format = output_words[i].format;
		n->line |= output_words[i].bit;
		is_save = is_save || n->format == FORMAT_SAVE;
		count++;
		if (p[len] == '\0')
			break;
	}
	return is_save && count > 1 ? "combines save with another format: it must stand alone" : NULL;
}

static const char *set_output(struct natctl *n, void *target, const char *value)
{
	(void)target;
	return options_set_format(n, value);
}

static const char *set_json(struct natctl *n, void *target, const char *value)
{
	(void)target, (void)value;
	n->format = FORMAT_JSON;
	return NULL;
}

static const struct natctl_option output_rows[] = {
	{"json", 'j', VALUE_NONE, NULL, "JSON; the same as -o json", set_json},
	{"output", 'o', VALUE_NEEDED, "LIST", "line, table, json, save; parts of a line: extended, id, mark, timestamp",
	 set_output},
};

const struct option_set output_options = {"Output:", output_rows, sizeof(output_rows) / sizeof(output_rows[0])};

/* ---- one run ---- */

struct row {
	const struct natctl_option *option;
	void *target;
};

struct run {
	struct row rows[OPTIONS_MAX];
	unsigned n;
	struct option longs[OPTIONS_MAX + 1];
	char letters[2 + 3 * OPTIONS_MAX];
};

static void add_set(struct run *r, const struct option_set *set, void *target, size_t *n_longs, size_t *n_letters)
{
	for (size_t i = 0; i < set->n && r->n < OPTIONS_MAX; i++) {
		const struct natctl_option *o = &set->options[i];

		if (o->name)
			r->longs[(*n_longs)++] =
				(struct option){o->name, o->takes == VALUE_NEEDED ? required_argument : (int)o->takes,
						NULL, FIRST + (int)r->n};
		if (o->letter) {
			r->letters[(*n_letters)++] = o->letter;
			if (o->takes == VALUE_NEEDED)
				r->letters[(*n_letters)++] = ':';
		}
		r->rows[r->n++] = (struct row){o, target};
	}
}

_Static_assert(VALUE_OPTIONAL == optional_argument && VALUE_NONE == no_argument, "the values of getopt.h");

static void prepare(struct run *r, const struct option_use *uses)
{
	size_t n_longs = 0;
	size_t n_letters = 0;

	memset(r, 0, sizeof(*r));
	r->letters[n_letters++] = ':';
	add_set(r, &output_options, NULL, &n_longs, &n_letters);
	for (; uses && uses->set; uses++)
		add_set(r, uses->set, uses->target, &n_longs, &n_letters);
}

static const struct row *find_row(const struct run *r, int option)
{
	if (option >= FIRST)
		return &r->rows[option - FIRST];
	for (unsigned i = r->n; i > 0; i--) { /* a command's own letters take precedence over the output options */
		if (r->rows[i - 1].option->letter == option)
			return &r->rows[i - 1];
	}
	return NULL;
}

/* As the user wrote it: getopt leaves a letter in optopt, and a long option in the argument before optind. */
static void complain(const struct run *r, int option, char **argv)
{
	const char letter[] = {'-', (char)optopt, '\0'};
	const char *name = optopt > 0 && optopt < FIRST ? letter : argv[optind - 1];
	struct spelling s = {.wanted = name + strspn(name, "-")};

	if (option == ':') {
		natctl_complain("%s: %s needs a value", argv[0], name);
		return;
	}
	for (unsigned i = 0; i < r->n && name[1] == '-'; i++) {
		if (r->rows[i].option->name)
			spelling_try(&s, r->rows[i].option->name);
	}
	if (spelling_found(&s))
		natctl_complain("%s has no option %s: did you mean --%s?", argv[0], name, spelling_found(&s));
	else
		natctl_complain("%s has no option %s: `natctl help %s' lists its options", argv[0], name, argv[0]);
}

/* "--sport" or "-p". */
static const char *spell(const struct natctl_option *o, char buf[32])
{
	if (o->name)
		snprintf(buf, 32, "--%s", o->name);
	else
		snprintf(buf, 32, "-%c", o->letter);
	return buf;
}

static bool take(struct natctl *n, const struct row *row, int argc, char **argv)
{
	const char *value = optarg;
	const char *wrong;
	char name[32];

	if (row->option->takes == VALUE_OPTIONAL && !value && optind < argc && argv[optind][0] != '-')
		value = argv[optind++];
	wrong = row->option->set(n, row->target, value);
	if (!wrong)
		return true;
	if (value)
		natctl_complain("%s: %s: `%s' %s", argv[0], spell(row->option, name), value, wrong);
	else
		natctl_complain("%s: %s %s", argv[0], spell(row->option, name), wrong);
	return false;
}

int options_parse(struct natctl *n, int argc, char **argv, const struct option_use *uses)
{
	struct run r;
	int option;

	prepare(&r, uses);
	optind = 0; /* glibc: start over */
	opterr = 0;
	while ((option = getopt_long(argc, argv, r.letters, r.longs, NULL)) != -1) {
		const struct row *row = option == '?' || option == ':' ? NULL : find_row(&r, option);

		if (!row || !row->option) {
			complain(&r, option, argv);
			return -1;
		}
		if (!take(n, row, argc, argv))
			return -1;
	}
	if (n->format == FORMAT_JSON && !json_is_built_in()) {
		natctl_complain("%s: this natctl was built without jansson and has no JSON output", argv[0]);
		return -1;
	}
	return optind;
}
