/* SPDX-License-Identifier: ISC */
#define _GNU_SOURCE 1
#include "enter.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "place.h"
#include "say.h"

/* The next "ADDRESS NAME" line of the names. */
static bool next_name(FILE *f, char address[64], char name[64])
{
	return fscanf(f, "%63s %63s", address, name) == 2;
}

static FILE *open_names(void)
{
	char path[PATH_MAX];
	FILE *f;

	if (!place_is_inside())
		die(LAB_CANNOT, "this works only inside a laboratory: natlab shell --nat full-cone --server");
	place_path(path, "hosts");
	f = fopen(path, "re");
	if (!f)
		die(LAB_CANNOT, "%s: %s: this process is not in the laboratory that NATLAB_LAB names", path,
		    strerror(errno));
	return f;
}

static void complain_unknown(const char *host)
{
	char address[64], name[64], last[64] = "";
	FILE *f = open_names();

	fprintf(stderr, "natlab: there is no host \"%s\" here, but:", host);
	while (next_name(f, address, name)) {
		if (strcmp(name, last) != 0)
			fprintf(stderr, " %s", name);
		memcpy(last, name, sizeof(last));
	}
	fputc('\n', stderr);
	fclose(f);
}

/* Prints its addresses if `print` is set; returns their number. */
static unsigned find_host(const char *host, bool print)
{
	char address[64], name[64];
	FILE *f = open_names();
	unsigned n = 0;

	while (next_name(f, address, name))
		if (strcmp(name, host) == 0) {
			n++;
			if (print)
				puts(address);
		}
	fclose(f);
	if (n == 0)
		complain_unknown(host);
	return n;
}

int enter_address(int argc, char **argv)
{
	if (argc != 2) {
		say("usage: natlab address HOST");
		return LAB_USAGE;
	}
	if (find_host(argv[1], true) == 0)
		return LAB_USAGE;
	return fflush(stdout) == 0 ? 0 : 1;
}

int enter_execute(char **argv)
{
	int error;

	execvp(argv[0], argv);
	error = errno;
	say("%s: %s", argv[0], strerror(error));
	return error == ENOENT ? LAB_NOT_FOUND : LAB_NOT_EXECUTABLE;
}

/* Sets the host's own name, and mounts a /sys that shows its devices; programs work without either. */
static void dress_as(const char *host)
{
	if (unshare(CLONE_NEWUTS) != 0 || sethostname(host, strlen(host)) != 0)
		return;
	if (unshare(CLONE_NEWNS) == 0 && mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
		return;
}

int enter_in(int argc, char **argv)
{
	int error;

	if (argc < 3) {
		say("usage: natlab in HOST COMMAND [ARGUMENT...]");
		return LAB_USAGE;
	}
	if (find_host(argv[1], false) == 0)
		return LAB_USAGE;
	error = place_enter(argv[1]);
	if (error)
		die(LAB_CANNOT, "%s cannot be entered: %s: is this the laboratory's own user?", argv[1],
		    strerror(error));
	dress_as(argv[1]);
	return enter_execute(argv + 2);
}

int enter_ctl(int argc, char **argv)
{
	char socket[PATH_MAX];
	char **more;
	int code;

	if (argc < 2) {
		say("usage: natlab ctl NAT NATCTL-ARGUMENT...");
		return LAB_USAGE;
	}
	if (find_host(argv[1], false) == 0)
		return LAB_USAGE;
	place_path(socket, "%s/natd/natd.sock", argv[1]);
	more = calloc((size_t)argc + 3, sizeof(*more));
	if (!more || !(more[0] = strdup(place_natctl())))
		die(LAB_CANNOT, "no memory for natctl's arguments");
	more[1] = "-s";
	more[2] = socket;
	memcpy(more + 3, argv + 2, (size_t)(argc - 2) * sizeof(*more));
	code = enter_execute(more);
	free(more[0]);
	free(more);
	return code;
}
