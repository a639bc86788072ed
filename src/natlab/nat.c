/* SPDX-License-Identifier: ISC */
/*
 * Each natd has a mount namespace of its own in which /run is its directory of the laboratory. So the sockets and all
 * other run-time files of several natds stay apart, whatever a natd.conf says, and stay readable after natd has dropped
 * root.
 */
#define _GNU_SOURCE 1
#include "nat.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "place.h"
#include "say.h"

/* The outside address is shared with a host that runs nothing but natd; plan_settings() keeps its own ports below
 * 1024. */
static const char *const head = "outside = { interface = \"out0\"; ports = [ \"1024-65535\" ]; };\n"
				"inside = { interfaces = [ \"in0\" ]; };\n"
				"translation = {\n";

static void append_file(FILE *to, const char *path)
{
	FILE *f = fopen(path, "re");
	char buffer[4096];
	size_t n;

	if (!f)
		die(LAB_CANNOT, "%s: %s", path, strerror(errno));
	while ((n = fread(buffer, 1, sizeof(buffer), f)) > 0)
		fwrite(buffer, 1, n, to);
	if (ferror(f))
		die(LAB_CANNOT, "%s: %s", path, strerror(errno));
	fclose(f);
}

static void append_preset(FILE *to, const char *name)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s.conf", place_share(), name) >= (int)sizeof(path))
		die(LAB_CANNOT, "the name of %s is too long", place_share());
	append_file(to, path);
}

static void append_presets(FILE *to, const struct node *n)
{
	fputs(head, to);
	append_preset(to, n->role == NODE_CGNAT ? "cgnat" : n->wish->type);
	if (n->role == NODE_NAT && n->wish->hairpin_off)
		append_preset(to, "hairpin-off");
	if (n->role == NODE_NAT && n->wish->preserve)
		append_preset(to, "preserve");
	fputs("};\n", to);
	if (n->role == NODE_NAT && n->wish->no_udp)
		append_preset(to, "no-udp");
}

/* Runs natd -t in the node, with the file name that the user knows: host and configuration may contradict each
 * other. */
static void test_file(const struct node *n)
{
	pid_t pid = fork();
	int status, error;

	if (pid == 0) {
		error = place_enter(n->name);
		if (error)
			die(LAB_CANNOT, "%s: %s", n->name, strerror(error));
		if (!freopen("/dev/null", "w", stdout)) /* "is valid" is not part of COMMAND's output */
			die(LAB_CANNOT, "/dev/null: %s", strerror(errno));
		execlp(place_natd(), "natd", "-t", "-c", n->wish->file, (char *)NULL);
		die(LAB_CANNOT, "%s: %s", place_natd(), strerror(errno));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die(LAB_CANNOT, "%s could not be started: %s", place_natd(), strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == LAB_CANNOT)
		_exit(LAB_CANNOT);
	if (status != 0)
		die(LAB_USAGE, "%s: natd refuses this file: correct what it says above", n->wish->file);
}

void nat_configure(const struct node *n)
{
	char path[PATH_MAX];
	FILE *f;

	if (n->role == NODE_NAT && n->wish->file)
		test_file(n);
	place_path(path, "%s/natd.conf", n->name);
	f = fopen(path, "wxe");
	if (!f)
		die(LAB_CANNOT, "%s: %s", path, strerror(errno));
	if (n->role == NODE_NAT && n->wish->file)
		append_file(f, n->wish->file);
	else
		append_presets(f, n);
	if (ferror(f) || fclose(f) != 0)
		die(LAB_CANNOT, "%s: %s", path, strerror(errno));
}

static _Noreturn void become_natd(const struct node *n, int log)
{
	char path[PATH_MAX];
	int error = place_enter(n->name), null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	place_path(path, "%s", n->name);
	if (error)
		die(LAB_CANNOT, "%s: %s", n->name, strerror(error));
	if (unshare(CLONE_NEWNS) != 0 || mount(path, "/run", NULL, MS_BIND, NULL) != 0)
		die(LAB_CANNOT, "%s cannot get a /run of its own: %s", n->name, strerror(errno));
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
		die(LAB_CANNOT, "%s: %s", n->name, strerror(errno));
	execlp(place_natd(), "natd", "-f", "-c", "/run/natd.conf", (char *)NULL);
	die(LAB_CANNOT, "%s: %s", place_natd(), strerror(errno));
}

void nat_start(struct nat *n, const struct node *node, bool aloud)
{
	char path[PATH_MAX];
	int ends[2];

	*n = (struct nat){.node = node, .aloud = aloud};
	place_path(path, "%s/log", node->name);
	n->log = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (n->log < 0 || pipe2(ends, O_CLOEXEC) != 0)
		die(LAB_CANNOT, "%s: %s", path, strerror(errno));
	n->pid = fork();
	if (n->pid < 0)
		die(LAB_CANNOT, "%s: cannot start a process for natd: %s", node->name, strerror(errno));
	if (n->pid == 0)
		become_natd(node, ends[1]);
	close(ends[1]);
	n->pipe = ends[0];
}

static void take_line(struct nat *n)
{
	n->line[n->line_used] = '\0';
	if (strcmp(n->line, "natd: ready") == 0)
		n->ready = true;
	if (n->aloud)
		say("%s: %s", n->node->name, n->line);
	n->line_used = 0;
}

void nat_read(struct nat *n)
{
	char buffer[4096];
	ssize_t got = read(n->pipe, buffer, sizeof(buffer));

	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (got <= 0) {
		close(n->pipe);
		n->pipe = -1;
		return;
	}
	if (write(n->log, buffer, (size_t)got) != got) {
		/* A full tmpfs: natd continues, and so does the laboratory. */
	}
	for (ssize_t i = 0; i < got; i++)
		if (buffer[i] == '\n')
			take_line(n);
		else if (n->line_used < sizeof(n->line) - 1)
			n->line[n->line_used++] = buffer[i];
}

void nat_show_log(const struct nat *n)
{
	char buffer[4096];
	ssize_t got;
	off_t at = 0;

	while ((got = pread(n->log, buffer, sizeof(buffer), at)) > 0) {
		if (write(STDERR_FILENO, buffer, (size_t)got) != got)
			return;
		at += got;
	}
}
