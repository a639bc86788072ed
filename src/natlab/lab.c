/* SPDX-License-Identifier: ISC */
#define _GNU_SOURCE 1
#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inside.h"
#include "place.h"
#include "say.h"

/* Root maps every user of its own namespace, so that COMMAND may become another one. */
static bool map_all(pid_t pid, const char *which)
{
	char from[32], to[64], maps[4096];
	size_t used = 0;
	unsigned inner, outer, count;
	FILE *f;
	int fd;
	bool ok;

	snprintf(from, sizeof(from), "/proc/self/%s_map", which);
	snprintf(to, sizeof(to), "/proc/%d/%s_map", (int)pid, which);
	f = fopen(from, "re");
	while (f && used < sizeof(maps) - 64 && fscanf(f, "%u %u %u", &inner, &outer, &count) == 3)
		used += (size_t)snprintf(maps + used, sizeof(maps) - used, "%u %u %u\n", inner, inner, count);
	if (f)
		fclose(f);
	fd = open(to, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0 && used > 0 && write(fd, maps, used) == (ssize_t)used;
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool write_to(pid_t pid, const char *file, const char *text)
{
	char path[64];
	int fd;
	bool ok;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* The laboratory's users: all of them, or only this one, as root. */
static bool map_users(pid_t pid)
{
	char map[64];

	if (geteuid() == 0 && map_all(pid, "gid") && map_all(pid, "uid"))
		return true;
	write_to(pid, "setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", (unsigned)getegid());
	if (!write_to(pid, "gid_map", map))
		return false;
	snprintf(map, sizeof(map), "0 %u 1", (unsigned)geteuid());
	return write_to(pid, "uid_map", map);
}

static void check_tun(void)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return;
	}
	die(LAB_CANNOT, "/dev/net/tun: %s: %s", strerror(errno),
	    errno == ENOENT ? "modprobe tun, or give the container that device (--device /dev/net/tun)"
			    : "open it to users (chmod 666 /dev/net/tun), or run natlab as root");
}

static _Noreturn void no_namespaces(int error)
{
	die(LAB_CANNOT, "user namespaces cannot be created here: %s: %s", strerror(error),
	    error == ENOSPC ? "raise sysctl user.max_user_namespaces"
			    : "allow them (sysctl kernel.unprivileged_userns_clone=1; Ubuntu: "
			      "kernel.apparmor_restrict_unprivileged_userns=0; "
			      "in a container: --security-opt seccomp=unconfined), or run natlab as root");
}

/* Signals that end or inform: they are for COMMAND. Those from a terminal reach COMMAND by themselves. */
static void watched_signals(sigset_t *set)
{
	static const int signals[] = {SIGCHLD, SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2};

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(set, signals[i]);
}

static int wait_for(pid_t pid, const sigset_t *set)
{
	siginfo_t info;
	int status;

	for (;;) {
		if (sigwaitinfo(set, &info) < 0)
			continue;
		if (info.si_signo != SIGCHLD) {
			if (info.si_code <= 0)
				kill(pid, info.si_signo);
			continue;
		}
		if (waitpid(pid, &status, WNOHANG) != pid)
			continue;
		if (WIFEXITED(status))
			return WEXITSTATUS(status);
		say("the laboratory was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
		return LAB_KILLED + WTERMSIG(status);
	}
}

/* The first process: waits until its users are mapped, builds, and runs the laboratory. */
static _Noreturn void begin_inside(const struct lab_options *o, int go, int pcap, const sigset_t *before)
{
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (read(go, &byte, 1) != 1)
		_exit(LAB_CANNOT); /* natlab ended, or printed what it could not do */
	close(go);
	_exit(inside_run(o, pcap, before));
}

int lab_run(const struct lab_options *o)
{
	const unsigned long namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS;
	sigset_t set, before;
	int go[2], pcap = -1;
	pid_t pid;

	if (o->n_nats > 0)
		check_tun();
	place_share();
	if (o->pcap && (pcap = open(o->pcap, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) < 0)
		die(LAB_CANNOT, "%s: %s", o->pcap, strerror(errno));
	/* Some callers ignore SIGCHLD: this process and the first one would then never hear of an end. */
	signal(SIGCHLD, SIG_DFL);
	watched_signals(&set);
	sigprocmask(SIG_BLOCK, &set, &before);
	if (pipe2(go, O_CLOEXEC) != 0)
		die(LAB_CANNOT, "cannot create a pipe: %s", strerror(errno));
	pid = (pid_t)syscall(SYS_clone, namespaces | SIGCHLD, 0, 0, 0, 0);
	if (pid < 0)
		no_namespaces(errno);
	if (pid == 0) {
		close(go[1]);
		begin_inside(o, go[0], pcap, &before);
	}
	close(go[0]);
	if (!map_users(pid))
		no_namespaces(errno);
	if (write(go[1], "+", 1) != 1)
		die(LAB_CANNOT, "the laboratory ended before it began");
	close(go[1]);
	if (pcap >= 0)
		close(pcap);
	return wait_for(pid, &set);
}
