/* SPDX-License-Identifier: ISC */
/*
 * natd-bpf-load: loads natd's tc programs and their maps into the kernel, and passes the descriptors to natd. Only this
 * program links libbpf, and it runs for a moment: natd itself keeps no right to load programs. load.h has its messages.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"
#include "steer.h"
#include <steer.skel.h>

/* The first message of libbpf, in one line. */
static char complaint[LOAD_TEXT_MAX / 2];

static int note_complaint(enum libbpf_print_level level, const char *format, va_list ap)
	__attribute__((format(printf, 2, 0)));
static int note_complaint(enum libbpf_print_level level, const char *format, va_list ap)
{
	if (level != LIBBPF_WARN || complaint[0] != '\0')
		return 0;
	vsnprintf(complaint, sizeof(complaint), format, ap);
	complaint[strcspn(complaint, "\n")] = '\0';
	return 0;
}

/* Sends the descriptors in `fds`; or, if there are none, the reason in `text`. */
static int send_message(const char *text, const int *fds, size_t n)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(LOAD_FDS * sizeof(int))];
	} control = {.room = {0}};
	/* One byte at least, since an empty message looks like the end. */
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text) + 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n > 0) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.header = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(n * sizeof(int))};
		memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
	}
	return sendmsg(STDIN_FILENO, &m, MSG_NOSIGNAL) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int send_error(const char *what, int err)
{
	char text[LOAD_TEXT_MAX];

	snprintf(text, sizeof(text), "%s: %s%s%s%s", what, strerror(err), complaint[0] != '\0' ? " (" : "", complaint,
		 complaint[0] != '\0' ? ")" : "");
	send_message(text, NULL, 0);
	return EXIT_FAILURE;
}

/* The verifier then removes the fast path from the programs, and all code that uses the maps of flows. */
static bool leave_out_flows(struct steer *s)
{
	s->rodata->has_flows = false;
	return bpf_map__set_autocreate(s->maps.fast_flows, false) == 0 &&
	       bpf_map__set_autocreate(s->maps.fast_index, false) == 0;
}

int main(int argc, char **argv)
{
	bool has_flows = argc < 2 || strcmp(argv[1], LOAD_NO_FLOWS) != 0;
	struct steer *s;
	int fds[LOAD_FDS];

	libbpf_set_print(note_complaint);
	alarm(60);
	s = steer__open();
	if (!s || (!has_flows && !leave_out_flows(s)))
		return send_error("cannot read the programs", errno);
	if (steer__load(s) != 0)
		return send_error("cannot load the programs", errno);
	fds[LOAD_CONFIG] = bpf_map__fd(s->maps.steer_config);
	fds[LOAD_PORTS] = bpf_map__fd(s->maps.steer_ports);
	fds[LOAD_COUNTS] = bpf_map__fd(s->maps.steer_counts);
	fds[LOAD_FLOWS] = bpf_map__fd(s->maps.fast_flows);
	fds[LOAD_INDEX] = bpf_map__fd(s->maps.fast_index);
	fds[LOAD_OUTSIDE] = bpf_program__fd(s->progs.steer_outside);
	fds[LOAD_OUTSIDE_L3] = bpf_program__fd(s->progs.steer_outside_l3);
	fds[LOAD_INSIDE] = bpf_program__fd(s->progs.steer_inside);
	fds[LOAD_INSIDE_L3] = bpf_program__fd(s->progs.steer_inside_l3);
	fds[LOAD_TUN] = bpf_program__fd(s->progs.steer_tun);
	return send_message("", fds, has_flows ? LOAD_FDS : LOAD_FDS_STEERING);
}
