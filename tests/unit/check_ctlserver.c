/* SPDX-License-Identifier: ISC */
/*
 * The control server with real sockets and the real loop: the socket's file, the admitted clients and their number,
 * clients that send rubbish or disconnect. (For the meaning of bytes see check_ctlclient.c.)
 */
#define _GNU_SOURCE 1
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/ctlevent.h"
#include "common/ctlfilter.h"
#include "common/ctlrecord.h"
#include "core/base/event.h"
#include "core/nat/nat.h"
#include "daemon/control/ctlserver.h"
#include "daemon/base/loop.h"
#include "natlab.h"
#include "unit.h"

enum { NOBODY = 65534, REPLY_MAX = 1 << 20 };

struct bench {
	struct lab *lab;
	struct loop *loop;
	struct ctl_backend backend;
	struct ctl_server *server;
	char dir[64];
	char path[96];
	size_t len;
	uint8_t reply[REPLY_MAX];
};

static void say_nothing(void *ctx, struct ctl_sink *sink)
{
	(void)ctx, (void)sink;
}

static bool reload_nothing(void *ctx, struct ctl_sink *sink, uint32_t confirm_s, struct nat_reconfigure_report *report)
{
	(void)confirm_s;
	(void)ctx, (void)sink, (void)report;
	return true;
}

static struct ctl_server *make_server(struct bench *b)
{
	struct ctl_server_params p = {b->loop, b->lab->nat, &b->backend, "0.1-test"};

	return ctl_server_create(&p);
}

static struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof(*b));

	strcpy(b->dir, "/tmp/check_ctlserver.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(b->dir));
	ck_assert_int_eq(chmod(b->dir, 0755), 0);
	snprintf(b->path, sizeof(b->path), "%s/sock", b->dir);
	b->lab = lab_new();
	b->lab->now_ms = loop_clock_ms(); /* the server goes by the loop's clock */
	lab_start(b->lab);
	b->loop = loop_create();
	b->backend = (struct ctl_backend){
		.status = say_nothing, .stats = say_nothing, .reload = reload_nothing, .doctor = say_nothing};
	b->server = make_server(b);
	ck_assert_ptr_nonnull(b->server);
	return b;
}

static struct bench *bench_listening(void)
{
	struct bench *b = bench_new();

	ck_assert_int_eq(ctl_server_listen(b->server, b->path, "", 0666), 0);
	return b;
}

static void bench_free(struct bench *b)
{
	ctl_server_destroy(b->server);
	unlink(b->path);
	ck_assert_int_eq(rmdir(b->dir), 0);
	loop_destroy(b->loop);
	lab_free(b->lab);
	free(b);
}

static void turn(struct bench *b)
{
	for (int i = 0; i < 4; i++)
		loop_turn(b->loop, false);
}

static int join(struct bench *b)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	ck_assert_int_ge(fd, 0);
	strcpy(sun.sun_path, b->path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	turn(b);
	return fd;
}

static void send_all(int fd, const void *bytes, size_t len)
{
	ck_assert_int_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void send_request(int fd, enum ctl_type type, const struct ctl_filter *f)
{
	const struct ctl_hello hello = {.magic = CTL_MAGIC, .version = 1, .version_min = 1};
	uint8_t buf[1024];
	struct ctl_writer w = {.buf = buf, .size = sizeof(buf)};

	ctl_put_hello(&w, &hello);
	ctl_put_request(&w, type, f);
	send_all(fd, buf, w.len);
}

/* Turns the loop until the reply ends in a frame of `type`, or the server hangs up; the frames of `count_type`. */
static int receive_until(struct bench *b, int fd, uint8_t type, uint8_t count_type)
{
	struct ctl_frame f = {0};
	size_t at = 0;
	int count = 0;

	b->len = 0;
	for (int turns = 0; turns < 100000 && f.type != type; turns++) {
		ssize_t n = recv(fd, b->reply + b->len, sizeof(b->reply) - b->len, 0);

		loop_turn(b->loop, false);
		if (n == 0)
			break;
		if (n > 0)
			b->len += (size_t)n;
		for (int used; (used = ctl_frame_next(b->reply + at, b->len - at, CTL_REPLY_MAX, &f)) > 0;) {
			at += (size_t)used;
			count += f.type == count_type;
		}
	}
	ck_assert_msg(f.type == type, "frame %u instead of %u", f.type, type);
	return count;
}

static bool is_closed(int fd)
{
	char byte;
	ssize_t n;

	while ((n = recv(fd, &byte, 1, 0)) > 0)
		;
	return n == 0 || errno == ECONNRESET;
}

/* ---- the file ---- */

START_TEST(test_the_file_has_its_mode_and_goes_with_the_server)
{
	struct bench *b = bench_new();
	mode_t old = umask(0);
	struct stat st;

	ck_assert_int_eq(ctl_server_listen(b->server, b->path, "", 0640), 0);
	ck_assert_uint_eq(umask(old), 0);
	ck_assert_int_eq(stat(b->path, &st), 0);
	ck_assert(S_ISSOCK(st.st_mode) && (st.st_mode & 07777) == 0640);
	ck_assert_int_eq(ctl_server_set_access(b->server, "", 0600), 0);
	ck_assert_int_eq(stat(b->path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(ctl_server_set_access(b->server, "no such group", 0600), -ENOENT);
	ctl_server_destroy(b->server);
	b->server = NULL;
	ck_assert_int_eq(stat(b->path, &st), -1);
	bench_free(b);
}
END_TEST

START_TEST(test_a_dead_socket_is_replaced_a_living_one_is_not)
{
	struct bench *b = bench_new();
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct ctl_server *second;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(sun.sun_path, b->path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(fd); /* as after SIGKILL */
	ck_assert_int_eq(ctl_server_listen(b->server, b->path, "", 0600), 0);
	second = make_server(b);
	ck_assert_int_eq(ctl_server_listen(second, b->path, "", 0600), -EADDRINUSE);
	ctl_server_destroy(second);
	fd = join(b);
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(ctl_server_client_count(b->server), 1);
	close(fd);
	bench_free(b);
}
END_TEST

START_TEST(test_anything_but_a_socket_stays)
{
	struct bench *b = bench_new();
	int fd = open(b->path, O_CREAT | O_WRONLY, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(ctl_server_listen(b->server, b->path, "", 0600), -EEXIST);
	ck_assert_int_eq(access(b->path, F_OK), 0);
	ck_assert_int_eq(ctl_server_listen(b->server, "", "", 0600), -EINVAL);
	bench_free(b);
}
END_TEST

START_TEST(test_a_file_that_is_no_longer_ours_stays)
{
	struct bench *b = bench_listening();
	struct stat st;
	int fd;

	ck_assert_int_eq(unlink(b->path), 0);
	fd = open(b->path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	ctl_server_destroy(b->server);
	b->server = NULL;
	ck_assert_int_eq(stat(b->path, &st), 0);
	bench_free(b);
}
END_TEST

START_TEST(test_a_path_too_long_is_refused)
{
	struct bench *b = bench_new();
	char path[200];

	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	ck_assert_int_eq(ctl_server_listen(b->server, path, "", 0600), -ENAMETOOLONG);
	bench_free(b);
}
END_TEST

START_TEST(test_a_socket_passed_in_is_served_and_its_file_left)
{
	struct bench *b = bench_new();
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int listening = socket(AF_UNIX, SOCK_STREAM, 0);
	int fd;

	strcpy(sun.sun_path, b->path);
	ck_assert_int_eq(bind(listening, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(listening, 4), 0);
	ck_assert_int_eq(ctl_server_adopt(b->server, listening), 0);
	fd = join(b);
	send_request(fd, CTL_POOLS, NULL);
	ck_assert_int_eq(receive_until(b, fd, CTL_R_END, CTL_R_POOL), 1);
	close(fd);
	ctl_server_destroy(b->server);
	b->server = NULL;
	ck_assert_int_eq(access(b->path, F_OK), 0);
	bench_free(b);
}
END_TEST

/* ---- exchanges ---- */

START_TEST(test_a_listing_larger_than_all_buffers_arrives_whole)
{
	enum { N = 8000 };
	struct bench *b = bench_listening();
	struct ctl_filter all = {0};
	int fd = join(b);

	b->lab->skip_check = true;
	for (int i = 0; i < N; i++)
		lab_udp_out(b->lab, LAB_A, (uint16_t)(2000 + i), LAB_S1, 53);
	send_request(fd, CTL_LIST, &all);
	ck_assert_int_eq(receive_until(b, fd, CTL_R_END, CTL_R_ENTRY), N);
	ck_assert_uint_gt(b->len, 8 * CTL_OUT_SIZE);
	close(fd);
	turn(b);
	ck_assert_uint_eq(ctl_server_client_count(b->server), 0);
	bench_free(b);
}
END_TEST

START_TEST(test_clients_that_hang_up_anywhere_are_forgotten)
{
	struct bench *b = bench_listening();
	struct ctl_filter all = {0};

	for (int i = 0; i < 1000; i++)
		lab_udp_out(b->lab, LAB_A, (uint16_t)(2000 + i), LAB_S1, 53);
	for (int turns = 0; turns < 12; turns++) {
		int fd = join(b);

		if (turns % 2)
			send_request(fd, CTL_LIST, &all);
		for (int i = 0; i < turns; i++)
			loop_turn(b->loop, false);
		close(fd);
	}
	turn(b);
	turn(b);
	ck_assert_uint_eq(ctl_server_client_count(b->server), 0);
	bench_free(b);
}
END_TEST

START_TEST(test_rubbish_is_answered_with_an_error_and_the_door)
{
	struct bench *b = bench_listening();
	int fd = join(b);
	int other = join(b);

	send_all(fd, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 36);
	receive_until(b, fd, CTL_R_ERROR, 0);
	turn(b);
	ck_assert(is_closed(fd));
	send_request(other, CTL_POOLS, NULL);
	ck_assert_int_eq(receive_until(b, other, CTL_R_END, CTL_R_POOL), 1);
	close(fd);
	close(other);
	bench_free(b);
}
END_TEST

START_TEST(test_clients_that_do_not_read_do_not_stop_the_others)
{
	struct bench *b = bench_listening();
	struct ctl_filter all = {0};
	int deaf[8];
	int fd;

	b->lab->skip_check = true;
	for (int i = 0; i < 8000; i++)
		lab_udp_out(b->lab, LAB_A, (uint16_t)(2000 + i), LAB_S1, 53);
	for (int i = 0; i < 8; i++) {
		deaf[i] = join(b);
		send_request(deaf[i], CTL_LIST, &all);
	}
	for (int i = 0; i < 1000; i++)
		loop_turn(b->loop, false);
	fd = join(b);
	send_request(fd, CTL_COUNT, &all);
	receive_until(b, fd, CTL_R_END, 0);
	for (int i = 0; i < 8; i++)
		close(deaf[i]);
	close(fd);
	bench_free(b);
}
END_TEST

/* ---- how many ---- */

static size_t read_all(struct bench *b, int fd)
{
	ssize_t n = recv(fd, b->reply, REPLY_MAX, MSG_DONTWAIT);
	size_t len = 0;

	for (; n > 0; n = recv(fd, b->reply, REPLY_MAX, MSG_DONTWAIT))
		len += (size_t)n;
	return len;
}

/* One turn of the loop, or as many as it takes until something has come. */
static size_t read_next(struct bench *b, int fd)
{
	size_t len = 0;

	while (len == 0) {
		loop_turn(b->loop, false);
		len = read_all(b, fd);
	}
	return len;
}

/* In a flood a turn of the loop makes more events than one slice holds: here because others share the turn. */
START_TEST(test_a_subscriber_that_reads_is_not_outrun_by_a_flood)
{
	enum { ROUNDS = 60, EACH = 200, OTHERS = 7 };
	struct bench *b = bench_listening();
	const struct ctl_hello hello = {.magic = CTL_MAGIC, .version = 1, .version_min = 1};
	struct ctl_writer w = {.buf = b->reply, .size = REPLY_MAX};
	struct events *e = nat_events(b->lab->nat);
	int fd = join(b), others[OTHERS];
	size_t length, got = 0;

	for (int i = 0; i < OTHERS; i++)
		others[i] = join(b);

	ctl_put_hello(&w, &hello);
	ck_assert(ctl_put_subscribe(&w, &(struct ctl_subscribe){.kinds = 1u << CTL_EVENT_CONFIG}));
	send_all(fd, b->reply, w.len);
	read_next(b, fd);
	event_append(e, &(struct event){.type = EVENT_CONFIG});
	length = read_next(b, fd);
	for (size_t i = 1; i <= ROUNDS; i++) {
		for (int k = 0; k < EACH; k++)
			event_append(e, &(struct event){.type = EVENT_CONFIG});
		got += read_next(b, fd);
	}
	while (got < (ROUNDS * EACH - e->lost) * length)
		got += read_next(b, fd);
	ck_assert_uint_gt(ROUNDS * EACH, e->log.size);
	ck_assert_uint_eq(e->lost, 0);
	ck_assert_uint_eq(got, ROUNDS * EACH * length);
	for (int i = 0; i < OTHERS; i++)
		close(others[i]);
	close(fd);
	bench_free(b);
}
END_TEST

START_TEST(test_one_client_too_many_is_told_so)
{
	struct bench *b = bench_listening();
	unsigned most = geteuid() == 0 ? CTL_CLIENTS_MAX : CTL_CLIENTS_PER_UID_MAX;
	int fds[CTL_CLIENTS_MAX];
	int fd;

	for (unsigned i = 0; i < most; i++)
		fds[i] = join(b);
	ck_assert_uint_eq(ctl_server_client_count(b->server), most);
	fd = join(b);
	send_request(fds[0], CTL_POOLS, NULL);
	receive_until(b, fds[0], CTL_R_END, 0);
	receive_until(b, fd, CTL_R_ERROR, 0);
	ck_assert(is_closed(fd));
	close(fd);
	close(fds[0]);
	turn(b);
	fds[0] = join(b);
	ck_assert_uint_eq(ctl_server_client_count(b->server), most);
	for (unsigned i = 0; i < most; i++)
		close(fds[i]);
	bench_free(b);
}
END_TEST

/* Connects as another user; the kernel notes who it was at that moment. */
static int join_as(struct bench *b, uid_t uid)
{
	int fd;

	ck_assert_int_eq(seteuid(uid), 0);
	fd = join(b); /* turns the loop too: the server itself looks at geteuid() */
	ck_assert_int_eq(seteuid(0), 0);
	return fd;
}

START_TEST(test_one_user_cannot_take_all_places)
{
	struct bench *b;
	int fds[CTL_CLIENTS_MAX];
	int fd;

	if (geteuid() != 0) {
		printf("skipped: only root can be several users\n");
		return;
	}
	b = bench_listening();
	for (int i = 0; i < CTL_CLIENTS_PER_UID_MAX; i++)
		fds[i] = join_as(b, NOBODY);
	fd = join_as(b, NOBODY);
	receive_until(b, fd, CTL_R_ERROR, 0);
	close(fd);
	fd = join_as(b, NOBODY - 1);
	ck_assert_uint_eq(ctl_server_client_count(b->server), CTL_CLIENTS_PER_UID_MAX + 1);
	close(fd);
	for (int i = 0; i < CTL_CLIENTS_PER_UID_MAX; i++)
		close(fds[i]);
	bench_free(b);
}
END_TEST

START_TEST(test_root_always_gets_in)
{
	struct bench *b;
	int fds[CTL_CLIENTS_MAX];
	int n = 0;

	if (geteuid() != 0) {
		printf("skipped: only root can be several users\n");
		return;
	}
	b = bench_listening();
	for (uid_t uid = 2000; uid < 2008; uid++) {
		for (int i = 0; i < 7; i++)
			fds[n++] = join_as(b, uid);
	}
	ck_assert_uint_eq(ctl_server_client_count(b->server), CTL_CLIENTS_NOT_ROOT_MAX);
	close(join_as(b, 3000));
	ck_assert_uint_eq(ctl_server_client_count(b->server), CTL_CLIENTS_NOT_ROOT_MAX);
	fds[n++] = join(b);
	ck_assert_uint_eq(ctl_server_client_count(b->server), CTL_CLIENTS_NOT_ROOT_MAX + 1);
	while (n > 0)
		close(fds[--n]);
	bench_free(b);
}
END_TEST

START_TEST(test_another_user_may_read_and_not_change)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct ctl_filter all = {0};
	struct bench *b;
	int fd;

	if (geteuid() != 0) {
		printf("skipped: only root can be several users\n");
		return;
	}
	b = bench_listening();
	lab_udp_out(b->lab, LAB_A, 2000, LAB_S1, 53);
	strcpy(sun.sun_path, b->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(seteuid(NOBODY), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(seteuid(0), 0);
	turn(b);
	send_request(fd, CTL_FLUSH, NULL);
	receive_until(b, fd, CTL_R_ERROR, 0);
	ck_assert_uint_eq(lab_sessions(b->lab), 1);
	close(fd);
	fd = join(b);
	send_request(fd, CTL_FLUSH, &all); /* a body that flush does not have */
	receive_until(b, fd, CTL_R_ERROR, 0);
	close(fd);
	fd = join(b);
	send_request(fd, CTL_FLUSH, NULL);
	receive_until(b, fd, CTL_R_END, 0);
	ck_assert_uint_eq(lab_sessions(b->lab), 0);
	close(fd);
	bench_free(b);
}
END_TEST

/* The first client waits meanwhile. (Valgrind, which keeps the limit itself, has accepted and closed it: hence the
 * second.) */
START_TEST(test_without_descriptors_nothing_spins)
{
	struct bench *b = bench_listening();
	struct rlimit old;
	struct rlimit tight;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd[2];

	strcpy(sun.sun_path, b->path);
	for (int i = 0; i < 2; i++)
		fd[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(connect(fd[0], (struct sockaddr *)&sun, sizeof(sun)), 0);
	getrlimit(RLIMIT_NOFILE, &old);
	tight = old;
	tight.rlim_cur = 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &tight), 0);
	turn(b);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	ck_assert_int_eq(connect(fd[1], (struct sockaddr *)&sun, sizeof(sun)), 0);
	turn(b); /* it pauses, although descriptors are free again */
	ck_assert_uint_eq(ctl_server_client_count(b->server), 0);
	for (int i = 0; i < 3 && ctl_server_client_count(b->server) == 0; i++)
		loop_turn(b->loop, true); /* until its timer */
	ck_assert_uint_ge(ctl_server_client_count(b->server), 1);
	close(fd[0]);
	close(fd[1]);
	bench_free(b);
}
END_TEST

static Suite *make(void)
{
	Suite *s = suite_create("ctlserver");
	TCase *t = tcase_create("sockets");

	tcase_add_test(t, test_the_file_has_its_mode_and_goes_with_the_server);
	tcase_add_test(t, test_a_dead_socket_is_replaced_a_living_one_is_not);
	tcase_add_test(t, test_anything_but_a_socket_stays);
	tcase_add_test(t, test_a_file_that_is_no_longer_ours_stays);
	tcase_add_test(t, test_a_path_too_long_is_refused);
	tcase_add_test(t, test_a_socket_passed_in_is_served_and_its_file_left);
	tcase_add_test(t, test_a_listing_larger_than_all_buffers_arrives_whole);
	tcase_add_test(t, test_clients_that_hang_up_anywhere_are_forgotten);
	tcase_add_test(t, test_rubbish_is_answered_with_an_error_and_the_door);
	tcase_add_test(t, test_clients_that_do_not_read_do_not_stop_the_others);
	tcase_add_test(t, test_a_subscriber_that_reads_is_not_outrun_by_a_flood);
	tcase_add_test(t, test_one_client_too_many_is_told_so);
	tcase_add_test(t, test_one_user_cannot_take_all_places);
	tcase_add_test(t, test_root_always_gets_in);
	tcase_add_test(t, test_another_user_may_read_and_not_change);
	tcase_add_test(t, test_without_descriptors_nothing_spins);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(make);
}
