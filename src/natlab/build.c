/* SPDX-License-Identifier: ISC */
#define _GNU_SOURCE 1
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "place.h"
#include "say.h"

void build_mounts(void)
{
	char path[PATH_MAX];

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		die(LAB_CANNOT,
		    "user namespaces have no rights here: %s: Ubuntu needs sysctl "
		    "kernel.apparmor_restrict_unprivileged_userns=0; "
		    "or run natlab as root",
		    strerror(errno));
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
		die(LAB_CANNOT,
		    "/proc cannot be mounted: %s: in a container, start that with an unmasked /proc (podman and "
		    "docker: "
		    "--security-opt unmask=ALL, --security-opt systempaths=unconfined)",
		    strerror(errno));
	if (mount("natlab", place_directory(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") != 0)
		die(LAB_CANNOT, "%s: %s: install natlab's files", place_directory(), strerror(errno));
	place_path(path, "netns");
	if (mkdir(path, 0755) != 0)
		die(LAB_CANNOT, "%s: %s", path, strerror(errno));
}

/* Called in the node's namespace. */
static void set(const struct node *n, const char *setting)
{
	char path[128];
	const char *value = strchr(setting, '=');
	size_t length = strlen(value + 1);
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/%.*s", (int)(value - setting), setting);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && strncmp(setting, "ipv6", 4) == 0)
		return; /* a kernel without IPv6 */
	if (fd < 0 || write(fd, value + 1, length) != (ssize_t)length)
		die(LAB_CANNOT, "%s: %s: %s", n->name, path, strerror(errno));
	close(fd);
}

static void make_namespace(const struct node *n)
{
	char path[PATH_MAX];
	int fd;

	place_path(path, "netns/%s", n->name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		die(LAB_CANNOT, "%s: %s", path, strerror(errno));
	close(fd);
	if (unshare(CLONE_NEWNET) != 0)
		die(LAB_CANNOT, "cannot create a network namespace: %s: see sysctl user.max_net_namespaces",
		    strerror(errno));
	if (mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL) != 0)
		die(LAB_CANNOT, "%s: %s", path, strerror(errno));
	for (const char *const *setting = plan_settings(n->role); *setting; setting++)
		set(n, *setting);
	place_path(path, "%s", n->name);
	if (node_is_nat(n) && mkdir(path, 0755) != 0)
		die(LAB_CANNOT, "%s: %s", path, strerror(errno));
}

/* Starts `ip -batch` with these lines, in the node (NULL: here). */
static pid_t run_ip(const char *node, const char *lines)
{
	int fd = memfd_create("ip", MFD_CLOEXEC), error;
	size_t length = strlen(lines);
	pid_t pid;

	if (fd < 0 || write(fd, lines, length) != (ssize_t)length || lseek(fd, 0, SEEK_SET) != 0)
		die(LAB_CANNOT, "no memory for the commands of ip: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		die(LAB_CANNOT, "cannot start a process for ip: %s", strerror(errno));
	if (pid == 0) {
		error = node ? place_enter(node) : 0;
		if (error || dup2(fd, STDIN_FILENO) < 0)
			die(LAB_CANNOT, "%s: %s", node, strerror(error));
		execlp("ip", "ip", "-batch", "-", (char *)NULL);
		die(LAB_CANNOT, "ip: %s: install iproute2", strerror(errno));
	}
	close(fd);
	return pid;
}

static void await_ip(pid_t pid, const char *about)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status != 0)
		die(LAB_CANNOT,
		    "ip could not set up %s: its message is above; does the kernel have veth, bridge and tun?", about);
}

void build_network(const struct plan *p)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	pid_t *pids = calloc(p->n_nodes, sizeof(*pids));

	if (home < 0 || !pids)
		die(LAB_CANNOT, "/proc/self/ns/net: %s", strerror(errno));
	for (size_t i = 0; i < p->n_nodes; i++)
		make_namespace(&p->nodes[i]);
	if (setns(home, CLONE_NEWNET) != 0)
		die(LAB_CANNOT, "cannot return to natlab's own network namespace: %s", strerror(errno));
	close(home);
	await_ip(run_ip(NULL, p->cables), "the cables");
	for (size_t i = 0; i < p->n_nodes; i++)
		pids[i] = run_ip(p->nodes[i].name, p->nodes[i].lines);
	for (size_t i = 0; i < p->n_nodes; i++)
		await_ip(pids[i], p->nodes[i].name);
	free(pids);
}

/* The host's own file, and our names after it. */
static void replace_hosts(const char *names)
{
	char path[PATH_MAX], buffer[4096];
	FILE *from = fopen("/etc/hosts", "re"), *to;
	size_t n;

	if (!from)
		return;
	place_path(path, "etc-hosts");
	to = fopen(path, "wxe");
	while (to && (n = fread(buffer, 1, sizeof(buffer), from)) > 0)
		fwrite(buffer, 1, n, to);
	fclose(from);
	if (!to || fputs(names, to) < 0 || fclose(to) != 0 || mount(path, "/etc/hosts", NULL, MS_BIND, NULL) != 0)
		die(LAB_CANNOT, "/etc/hosts cannot be replaced in the laboratory: %s", strerror(errno));
}

void build_names(const struct plan *p)
{
	char *names = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&names, &size);

	for (size_t i = 0; f && i < p->n_nodes; i++)
		for (size_t j = 0; j < 2 && p->nodes[i].address[j][0]; j++)
			fprintf(f, "%s %s\n", p->nodes[i].address[j], p->nodes[i].name);
	if (!f || fclose(f) != 0)
		die(LAB_CANNOT, "no memory for the names of hosts");
	place_write("hosts", names);
	replace_hosts(names);
	free(names);
}
