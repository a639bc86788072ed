/* SPDX-License-Identifier: ISC */
#define _GNU_SOURCE 1
#include "inside.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "build.h"
#include "enter.h"
#include "links.h"
#include "nat.h"
#include "place.h"
#include "plan.h"
#include "record.h"
#include "say.h"

enum { READY_SECONDS = 30 };

struct inside {
	const struct lab_options *options;
	struct plan plan;
	struct nat *nats; /* owned; n_nats */
	size_t n_nats;
	struct recorder recorder;
	int signals; /* a signalfd */
	pid_t command;
	int code; /* COMMAND's exit code, once it has ended */
};

static void forget_nat(struct inside *in, pid_t pid, int status)
{
	for (size_t i = 0; i < in->n_nats; i++) {
		struct nat *n = &in->nats[i];

		if (n->pid != pid)
			continue;
		n->pid = 0;
		if (!in->command) {
			while (n->pipe >= 0)
				nat_read(n);
			nat_show_log(n);
			die(LAB_CANNOT, "%s: natd did not start", n->node->name);
		}
		if (WIFSIGNALED(status))
			say("%s: natd was killed by signal %d: no packet passes there", n->node->name,
			    WTERMSIG(status));
		else
			say("%s: natd ended with %d: no packet passes there", n->node->name, WEXITSTATUS(status));
	}
}

/* Reaps every process that has ended, orphans too. True: COMMAND was among them. */
static bool reap(struct inside *in)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == in->command) {
			in->code = WIFEXITED(status) ? WEXITSTATUS(status) : LAB_KILLED + WTERMSIG(status);
			return true;
		}
		if (pid == in->recorder.pid) {
			in->recorder.pid = 0;
			say("the recording has ended");
		}
		forget_nat(in, pid, status);
	}
	return false;
}

/* Signals from a process outside or inside the laboratory, and not from the terminal, are passed on. */
static bool take_signal(struct inside *in)
{
	struct signalfd_siginfo info;

	if (read(in->signals, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo == SIGCHLD)
		return reap(in);
	if (info.ssi_code <= 0 && in->command)
		kill(in->command, (int)info.ssi_signo);
	else if (!in->command)
		_exit(LAB_KILLED + (int)info.ssi_signo);
	return false;
}

/* One turn: handles events from natds and signals, waiting at most `wait_ms` for them (-1: without limit). True:
 * COMMAND has ended. */
static bool turn(struct inside *in, struct pollfd *watched, int wait_ms)
{
	watched[0] = (struct pollfd){.fd = in->signals, .events = POLLIN};
	for (size_t i = 0; i < in->n_nats; i++)
		watched[i + 1] = (struct pollfd){.fd = in->nats[i].pipe, .events = POLLIN};
	if (poll(watched, in->n_nats + 1, wait_ms) <= 0)
		return false;
	for (size_t i = 0; i < in->n_nats; i++)
		if (watched[i + 1].revents)
			nat_read(&in->nats[i]);
	return watched[0].revents && take_signal(in);
}

static void start_nats(struct inside *in)
{
	for (size_t i = 0; i < in->plan.n_nodes; i++) {
		const struct node *n = &in->plan.nodes[i];

		if (!node_is_nat(n))
			continue;
		nat_configure(n);
		nat_start(&in->nats[in->n_nats++], n, in->options->verbose > 1);
	}
}

static long seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static const struct nat *not_ready(const struct inside *in)
{
	for (size_t i = 0; i < in->n_nats; i++)
		if (!in->nats[i].ready)
			return &in->nats[i];
	return NULL;
}

static void await_nats(struct inside *in, struct pollfd *watched)
{
	char path[PATH_MAX];
	long end = seconds() + READY_SECONDS;
	const struct nat *late;

	while ((late = not_ready(in))) {
		turn(in, watched, 1000);
		if (seconds() < end)
			continue;
		nat_show_log(late);
		die(LAB_CANNOT, "%s: natd is not ready after %d s", late->node->name, READY_SECONDS);
	}
	for (size_t i = 0; i < in->n_nats; i++) {
		place_path(path, "%s/natd/natd.sock", in->nats[i].node->name);
		if (access(path, F_OK) != 0)
			die(LAB_USAGE, "%s: remove control.socket: natlab must know where the socket is",
			    in->nats[i].node->wish->text);
	}
}

static void show_topology(const struct plan *p)
{
	for (size_t i = 0; i < p->n_nodes; i++) {
		const struct node *n = &p->nodes[i];
		const char *type = n->role == NODE_CGNAT ? "the carrier's NAT" : n->wish ? n->wish->text : "";

		say("%*s%-*s %-15s %s%s",
		    n->role == NODE_HOST       ? 4
		    : n->role == NODE_INTERNET ? 0
					       : 2,
		    "",
		    n->role == NODE_HOST       ? 16
		    : n->role == NODE_INTERNET ? 20
					       : 18,
		    n->name, n->address[0], n->address[1][0] ? n->address[1] : "", type);
	}
	if (p->n_nodes > 0)
		say("natlab in HOST COMMAND, natlab address HOST, natlab ctl NAT list; files: %s", place_directory());
}

static void start_command(struct inside *in, const sigset_t *before)
{
	const char *shell = getenv("SHELL");
	char name[PATH_MAX];
	char *shell_command[] = {name, NULL};
	pid_t pid;

	snprintf(name, sizeof(name), "%s", shell && shell[0] ? shell : "/bin/sh");
	if (setenv("NATLAB_LAB", place_directory(), 1) != 0)
		die(LAB_CANNOT, "no memory for the environment");
	pid = fork();
	if (pid < 0)
		die(LAB_CANNOT, "cannot start a process for the command: %s", strerror(errno));
	if (pid == 0) {
		sigprocmask(SIG_SETMASK, before, NULL);
		_exit(enter_execute(in->options->shell ? shell_command : in->options->command));
	}
	in->command = pid;
}

int inside_run(const struct lab_options *o, int pcap, const sigset_t *before)
{
	char directory[PATH_MAX];
	struct inside in = {.options = o};
	struct pollfd *watched;
	sigset_t now;

	build_mounts();
	place_path(directory, "netns");
	if (!plan_make(&in.plan, o, directory))
		die(LAB_CANNOT, "no memory for the plan");
	/* Blocked by the caller: exactly those are read from the descriptor. */
	sigprocmask(SIG_SETMASK, NULL, &now);
	in.signals = signalfd(-1, &now, SFD_CLOEXEC);
	in.nats = calloc(in.plan.n_nodes + 1, sizeof(*in.nats));
	watched = calloc(in.plan.n_nodes + 1, sizeof(*watched));
	if (in.signals < 0 || !in.nats || !watched)
		die(LAB_CANNOT, "no memory for the laboratory: %s", strerror(errno));
	build_network(&in.plan);
	build_names(&in.plan);
	if (pcap >= 0)
		record_start(&in.recorder, &in.plan, pcap);
	start_nats(&in);
	links_await(&in.plan, READY_SECONDS);
	await_nats(&in, watched);
	if (o->verbose || o->shell)
		show_topology(&in.plan);
	start_command(&in, before);
	while (!turn(&in, watched, -1))
		;
	record_stop(&in.recorder);
	free(watched);
	free(in.nats);
	plan_free(&in.plan);
	return in.code;
}
