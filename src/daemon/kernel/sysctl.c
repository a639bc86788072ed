/* SPDX-License-Identifier: ISC */
/*
 * Settings under /proc/sys, and the file with their original values.
 *
 * The file is text, so that an administrator can read it:
 *
 *   natd-routing 1
 *   boot <boot id of the kernel>
 *   namespace <inode of the network namespace>
 *   local-rule <moved: 0 or 1> <protocol>
 *   slot <this natd's place among those of the host>
 *   reserved <first> <last>            (ports that natd added to net.ipv4.ip_local_reserved_ports)
 *   sysctl <name> <original> <set>
 *   closing <name> <original> <set>    (the same, for forwarding of inside interfaces)
 *   end <FNV-1a of everything above>
 *
 * Its content is written to the kernel's settings, so it is not trusted: see sysctl_state_load().
 */
#include "sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netns.h"

enum {
	VALUE_SIZE = 24,
	FILE_MAX = 131072, /* bytes: SYSCTL_SAVED_MAX lines and RUNS_MAX fit */
	RUNS_MAX = 1024,   /* of reserved ports */
	LINE_SIZE = 128,
	BOOT_ID_SIZE = 40,
};

/* ---- one setting ---- */

static int setting_path(const char *name, char out[PATH_MAX])
{
	int n = snprintf(out, PATH_MAX, "/proc/sys/%s", name);

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static bool parse_value(const char *text, int32_t *value)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || end == text || v < INT32_MIN || v > INT32_MAX)
		return false;
	while (*end == '\n' || *end == ' ' || *end == '\t')
		end++;
	*value = (int32_t)v;
	return *end == '\0';
}

int sysctl_read(const char *name, int32_t *value)
{
	char path[PATH_MAX], text[VALUE_SIZE];
	int rc = setting_path(name, path);
	ssize_t n;
	int fd;

	if (rc < 0)
		return rc;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	rc = n < 0 ? -errno : 0;
	close(fd);
	if (rc < 0)
		return rc;
	text[n] = '\0';
	return parse_value(text, value) ? 0 : -EBADMSG;
}

int sysctl_write(const char *name, int32_t value)
{
	char path[PATH_MAX], text[VALUE_SIZE];
	int rc = setting_path(name, path);
	int len = snprintf(text, sizeof(text), "%" PRId32 "\n", value);
	int fd;

	if (rc < 0)
		return rc;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = write(fd, text, (size_t)len) == len ? 0 : -errno;
	close(fd);
	return rc;
}

/* Is the whole name "HEAD IFNAME TAIL", with a valid interface name? */
static bool is_setting_of_interface(const char *name, const char *head, const char *tail)
{
	size_t h = strlen(head), t = strlen(tail), n = strlen(name);
	size_t len;

	if (n <= h + t || strncmp(name, head, h) != 0 || strcmp(name + n - t, tail) != 0)
		return false;
	len = n - h - t;
	name += h;
	if (len > 15 || (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'))))
		return false;
	return !memchr(name, '/', len);
}

bool sysctl_is_ours(const char *name)
{
	static const struct {
		const char *head, *tail;
	} ours[] = {
		{"net/ipv4/conf/", "/forwarding"},   {"net/ipv4/conf/", "/rp_filter"},
		{"net/ipv4/conf/", "/accept_local"}, {"net/ipv4/neigh/", "/proxy_delay"},
		{"net/ipv6/conf/", "/disable_ipv6"}, {"net/ipv4/conf/", "/accept_redirects"},
	};
	static const char *const global[] = {"net/ipv4/tcp_early_demux", "net/ipv4/udp_early_demux",
					     "net/ipv4/fwmark_reflect"};
	size_t i;

	for (i = 0; i < sizeof(global) / sizeof(global[0]); i++) {
		if (strcmp(name, global[i]) == 0)
			return true;
	}
	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (is_setting_of_interface(name, ours[i].head, ours[i].tail))
			return true;
	}
	return false;
}

/* ---- original values ---- */

struct sysctl_saved *sysctl_state_find(struct sysctl_state *s, const char *name)
{
	uint32_t i;

	for (i = 0; i < s->n_saved; i++) {
		if (strcmp(s->saved[i].name, name) == 0)
			return &s->saved[i];
	}
	return NULL;
}

static uint32_t fingerprint(const char *text, size_t len)
{
	uint32_t h = 2166136261u;

	while (len--)
		h = (h ^ (uint8_t)*text++) * 16777619u;
	return h;
}

/* Makes the lines that bind a file to this boot and this namespace. Returns 0 or a negative errno. */
static int make_heading(char *out, size_t size)
{
	char boot[BOOT_ID_SIZE] = "";
	uint64_t namespace = 0;
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, boot, sizeof(boot) - 1);
	int r = n < 0 ? -errno : n == 0 ? -EIO : netns_own(&namespace);

	if (fd >= 0)
		close(fd);
	if (r < 0)
		return r;
	boot[strcspn(boot, "\n")] = '\0';
	n = snprintf(out, size, "natd-routing 1\nboot %s\nnamespace %" PRIu64 "\n", boot, namespace);
	return n > 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

static bool take_reserved(const char *line, struct steering_ports *out)
{
	unsigned first, last;
	int end = 0;

	if (sscanf(line, "reserved %5u %5u%n", &first, &last, &end) != 2 || line[end] != '\0' || first > last ||
	    last > UINT16_MAX)
		return false;
	for (unsigned port = first; port <= last; port++)
		out->bits[port / 64] |= UINT64_C(1) << port % 64;
	return true;
}

/* Parses one line below the heading. False: malformed. */
static bool take_line(const char *line, struct sysctl_state *s)
{
	struct sysctl_saved *v = &s->saved[s->n_saved];
	unsigned moved;
	int end = 0;

	if (sscanf(line, "local-rule %1u %" SCNu8 "%n", &moved, &s->local_rule_protocol, &end) == 2) {
		s->local_rule_moved = moved;
		return moved <= 1 && line[end] == '\0';
	}
	if (sscanf(line, "slot %" SCNu32 "%n", &s->slot, &end) == 1)
		return line[end] == '\0';
	if (strncmp(line, "reserved ", strlen("reserved ")) == 0)
		return take_reserved(line, &s->reserved);
	if (s->n_saved == SYSCTL_SAVED_MAX)
		return false;
	v->closes = strncmp(line, "closing ", strlen("closing ")) == 0;
	if (sscanf(line, v->closes ? "closing %79s %" SCNd32 " %" SCNd32 "%n" : "sysctl %79s %" SCNd32 " %" SCNd32 "%n",
		   v->name, &v->original, &v->set, &end) != 3 ||
	    line[end] != '\0' || !sysctl_is_ours(v->name) || sysctl_state_find(s, v->name))
		return false;
	s->n_saved++;
	return true;
}

/* `text` is modified. */
static bool parse_state(char *text, struct sysctl_state *s)
{
	char heading[LINE_SIZE];
	char *last = strstr(text, "\nend ");
	char *line, *next;
	char *stop;

	if (!last || make_heading(heading, sizeof(heading)) < 0 || strncmp(text, heading, strlen(heading)) != 0)
		return false;
	if (strtoul(last + 5, &stop, 16) != fingerprint(text, (size_t)(last + 1 - text)) || strcmp(stop, "\n") != 0)
		return false;
	last[1] = '\0';
	for (line = text + strlen(heading); *line; line = next) {
		next = strchr(line, '\n');
		if (!next)
			return false;
		*next++ = '\0';
		if (!take_line(line, s))
			return false;
	}
	return true;
}

/* The owner of the directory that contains a file: natd's user, after natd has stopped being root. */
static uid_t directory_owner(const char *path)
{
	const char *slash = strrchr(path, '/');
	char directory[PATH_MAX];
	struct stat st;

	if (!slash || (size_t)(slash - path) >= sizeof(directory))
		return geteuid();
	snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path);
	return stat(directory[0] ? directory : "/", &st) == 0 ? st.st_uid : geteuid();
}

/* Opens it only if no user but natd's own, root and the directory's owner can have written it. */
static int open_trusted(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & 022) && st.st_size > 0 &&
	    st.st_size < FILE_MAX && (st.st_uid == geteuid() || st.st_uid == 0 || st.st_uid == directory_owner(path)))
		return fd;
	close(fd);
	return -1;
}

bool sysctl_state_load(const char *path, struct sysctl_state *s)
{
	int fd = open_trusted(path);
	char *text = malloc(FILE_MAX);
	bool good = false;
	ssize_t n;

	memset(s, 0, sizeof(*s));
	if (fd >= 0 && text) {
		n = read(fd, text, FILE_MAX - 1);
		text[n > 0 ? n : 0] = '\0';
		good = n > 0 && strlen(text) == (size_t)n && parse_state(text, s);
	}
	if (!good)
		memset(s, 0, sizeof(*s));
	if (fd >= 0)
		close(fd);
	free(text);
	return good;
}

static size_t format_reserved(const struct steering_ports *ports, char *out, size_t size)
{
	struct nat_range runs[RUNS_MAX];
	uint32_t n = steering_ports_runs(ports, runs, RUNS_MAX);
	size_t len = 0;

	for (uint32_t i = 0; i < n && i < RUNS_MAX; i++)
		len += (size_t)snprintf(out + len, size - len, "reserved %u %u\n", runs[i].first, runs[i].last);
	return len;
}

/* Returns 0 and *out, which the caller frees, or a negative errno. */
static int format_state(const struct sysctl_state *s, char **out, size_t *len)
{
	char heading[LINE_SIZE];
	int r = make_heading(heading, sizeof(heading));
	char *text = r < 0 ? NULL : malloc(FILE_MAX);
	size_t n;
	uint32_t i;

	if (!text)
		return r < 0 ? r : -ENOMEM;
	n = (size_t)snprintf(text, FILE_MAX, "%slocal-rule %d %d\nslot %" PRIu32 "\n", heading, s->local_rule_moved,
			     s->local_rule_protocol, s->slot);
	n += format_reserved(&s->reserved, text + n, FILE_MAX - n);
	for (i = 0; i < s->n_saved; i++)
		n += (size_t)snprintf(text + n, FILE_MAX - n, "%s %s %" PRId32 " %" PRId32 "\n",
				      s->saved[i].closes ? "closing" : "sysctl", s->saved[i].name, s->saved[i].original,
				      s->saved[i].set);
	n += (size_t)snprintf(text + n, FILE_MAX - n, "end %08" PRIx32 "\n", fingerprint(text, n));
	*len = n;
	*out = text;
	return 0;
}

static int write_file(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len)
		rc = errno ? -errno : -ENOSPC;
	close(fd);
	return rc;
}

int sysctl_state_store(const char *path, const struct sysctl_state *s)
{
	char temporary[PATH_MAX];
	size_t len;
	char *text;
	int rc;

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary))
		return -ENAMETOOLONG;
	rc = format_state(s, &text, &len);
	if (rc < 0)
		return rc;
	(void)unlink(temporary);
	rc = write_file(temporary, text, len);
	if (rc == 0 && rename(temporary, path) < 0)
		rc = -errno;
	if (rc < 0)
		(void)unlink(temporary);
	free(text);
	return rc;
}
