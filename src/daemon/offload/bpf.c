/* SPDX-License-Identifier: ISC */
/* bpf(), without a library. */
#define _GNU_SOURCE 1 /* syscall() */
#include "bpf.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LINK_TYPE_TCX = 11 }; /* BPF_LINK_TYPE_TCX: newer than some kernel headers */

/* The kernel's data about a tcx link: the beginning of its struct bpf_link_info, and room for the rest. */
struct link_info {
	__u32 type, id, program, padding;
	__u32 interface, hook; /* a tcx link's */
	__u32 rest[26];
};

static int call(int command, union bpf_attr *attr)
{
	long r = syscall(SYS_bpf, command, attr, sizeof(*attr));

	return r < 0 ? -errno : (int)r;
}

int bpf_link_attach(int program, int interface, enum bpf_hook hook)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (__u32)program;
	attr.link_create.target_ifindex = (__u32)interface;
	attr.link_create.attach_type = hook;
	return call(BPF_LINK_CREATE, &attr);
}

int bpf_link_replace(int link, int program)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.link_update.link_fd = (__u32)link;
	attr.link_update.new_prog_fd = (__u32)program;
	return call(BPF_LINK_UPDATE, &attr);
}

int bpf_link_remove(int link)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.link_detach.link_fd = (__u32)link;
	return call(BPF_LINK_DETACH, &attr);
}

static int look(int fd, void *info, size_t size)
{
	union bpf_attr attr;

	memset(info, 0, size);
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (__u32)fd;
	attr.info.info_len = (__u32)size;
	attr.info.info = (__u64)(uintptr_t)info;
	return call(BPF_OBJ_GET_INFO_BY_FD, &attr);
}

int bpf_map_look(int map, struct bpf_map_state *out)
{
	struct bpf_map_info info;
	int r = look(map, &info, sizeof(info));

	if (r < 0)
		return r;
	if (info.type != BPF_MAP_TYPE_ARRAY)
		return -EINVAL;
	*out = (struct bpf_map_state){.value_size = info.value_size, .entries = info.max_entries};
	return 0;
}

int bpf_link_look(int link, struct bpf_link_state *out)
{
	struct link_info info;
	int r = look(link, &info, sizeof(info));

	if (r < 0)
		return r;
	if (info.type != LINK_TYPE_TCX || (info.hook != BPF_HOOK_INGRESS && info.hook != BPF_HOOK_EGRESS))
		return -EINVAL;
	*out = (struct bpf_link_state){.interface = (int)info.interface, .hook = (enum bpf_hook)info.hook};
	return 0;
}
