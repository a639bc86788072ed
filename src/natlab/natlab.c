/* SPDX-License-Identifier: ISC */
/*
 * natlab: a laboratory of NATs, for authors of programs that have to work through them.
 */
#include <string.h>

#include "enter.h"
#include "lab.h"
#include "options.h"

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = {{"in", enter_in}, {"address", enter_address}, {"ctl", enter_ctl}};
	struct lab_options options;
	int code;

	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (!options_take(&options, argc, argv, &code))
		return code;
	return lab_run(&options);
}
