/* SPDX-License-Identifier: ISC */
/*
 * The fast path of the tc programs: random conversations of tests/unit/mirrorplay.h go through the programs themselves
 * (BPF_PROG_TEST_RUN), with the kernel's own look-ups of routes and neighbours, beside a core that shares the maps with them. The
 * clock is the test's. Skipped without the right to load programs or to make devices.
 */
#define _GNU_SOURCE 1 /* unshare() */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <check.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "unit/mirrorplay.h"

#include "bpf/steer.h"
#include <steer.skel.h>

enum { PACKET_MAX = 2048, SKIP = 77, SECOND_NS = 1000000000, SEEDS = 3 };

enum side { INSIDE, OUTSIDE };

static struct steer *programs;
static struct steer_config *config;
static struct flow_memory shared;
static struct {
	unsigned index;
	uint8_t mac[ETH_ALEN];
} device[2];

/* ---- the host ---- */

/* in0 and out0 with neighbours that are known, and rules as natd makes them: what comes by in0 is for natd0. */
static const char network[] = "link add natd0 type veth peer name natd1\n"
			      "link add in0 type veth peer name in1\n"
			      "link add out0 type veth peer name out1\n"
			      "link set natd1 up\n"
			      "link set in1 up\n"
			      "link set out1 up\n"
			      "link set natd0 up\n"
			      "link set in0 up\n"
			      "link set out0 up\n"
			      "addr add 10.8.0.1/24 dev in0\n"
			      "addr add 203.0.113.250/24 dev out0\n"
			      "neigh add 10.8.0.2 lladdr 02:00:00:00:00:02 dev in0 nud permanent\n"
			      "neigh add 10.8.0.3 lladdr 02:00:00:00:00:03 dev in0 nud permanent\n"
			      "neigh add 203.0.113.254 lladdr 02:00:00:00:00:fe dev out0 nud permanent\n"
			      "route add default via 203.0.113.254\n"
			      "route add default dev natd0 table 100\n"
			      "rule add iif in0 lookup 100 pref 100\n";

static bool make_network(void)
{
	FILE *sysctl, *ip;
	bool ok;

	if (unshare(CLONE_NEWNET) < 0)
		return false;
	sysctl = fopen("/proc/sys/net/ipv4/ip_forward", "w");
	ok = sysctl && fputs("1", sysctl) >= 0;
	if (sysctl)
		ok = fclose(sysctl) == 0 && ok;
	ip = ok ? popen("ip -batch - 2>&1", "w") : NULL;
	if (!ip)
		return false;
	fputs(network, ip);
	return pclose(ip) == 0;
}

static void find_device(enum side s, const char *name)
{
	struct ifreq r = {.ifr_flags = 0};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(r.ifr_name, name);
	ck_assert_int_eq(ioctl(fd, SIOCGIFHWADDR, &r), 0);
	close(fd);
	memcpy(device[s].mac, r.ifr_hwaddr.sa_data, ETH_ALEN);
	device[s].index = if_nametoindex(name);
}

/* ---- maps ---- */

static void *map_memory(const struct bpf_map *map, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

static void fill_config(void)
{
	struct steer_view *v = &config->view[0];

	memset(config, 0, sizeof(*config));
	v->tun = if_nametoindex("natd0");
	v->outside = device[OUTSIDE].index;
	v->n_ranges = 1;
	v->range[0] = (struct steer_range){.first = LAB_EXT, .last = LAB_EXT, .row = STEER_POOL};
	v->n_inside = 1;
	v->inside[0] = (struct steer_prefix){.address = LAB_A & 0xffffff00, .mask = 0xffffff00};
	v->n_devices = 2;
	v->device[INSIDE].index = device[INSIDE].index;
	v->device[OUTSIDE].index = device[OUTSIDE].index;
	memcpy(config->fast.secret, shared.secret, sizeof(shared.secret));
}

static void setup(void)
{
	find_device(INSIDE, "in0");
	find_device(OUTSIDE, "out0");
	shared = (struct flow_memory){
		.flows = map_memory(programs->maps.fast_flows, FLOW_SLOTS * sizeof(struct flow)),
		.buckets = map_memory(programs->maps.fast_index, FLOW_BUCKETS * sizeof(struct flow_bucket)),
		.secret = {0x1122334455667788, 0x99aabbccddeeff00},
	};
	ask_mtu = NULL;
	memset(shared.flows, 0, FLOW_SLOTS * sizeof(struct flow));
	memset(shared.buckets, 0, FLOW_BUCKETS * sizeof(struct flow_bucket));
	config = map_memory(programs->maps.steer_config, sizeof(*config));
	fill_config();
	shared.mtus = config->fast.mtu;
	plain = make_lab();
	lab = make_lab();
	ck_assert(nat_mirror_begin(lab->nat, &shared, ALL));
	carried = 0;
	drains = true;
	sending.n = 0;
}

static void teardown(void)
{
	lab_free(plain);
	lab_free(lab);
}

/* ---- the forwarder ---- */

static uint64_t beat_age_ns;

/* The program's seconds become those of the test: the middle of that second, so that none passes meanwhile. */
static void set_clock(uint64_t now_ms)
{
	struct timespec t;
	uint64_t now_ns;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now_ns = (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
	config->fast.beat_ns = now_ns - beat_age_ns;
	config->fast.ahead_ns = now_ms / 1000 * SECOND_NS + SECOND_NS / 2 - now_ns;
}

/* The step of TTL that the kernel, or the program, takes before natd sees a packet. */
static void give_step_back(uint8_t *ip)
{
	ip[8]++;
	build_fix_ip(ip);
}

static bool run_program(uint8_t *p, size_t len, uint64_t now_ms)
{
	enum side s = p[0] >> 4 == 4 && p[12] == 10 ? INSIDE : OUTSIDE;
	uint8_t in[ETH_HLEN + PACKET_MAX] = {0}, out[ETH_HLEN + PACKET_MAX];
	struct __sk_buff skb = {.ifindex = device[s].index};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_size_in = (uint32_t)(ETH_HLEN + len), .data_out = out,
		    .data_size_out = sizeof(out), .ctx_in = &skb, .ctx_size_in = sizeof(skb));
	const struct bpf_program *program = s == INSIDE ? programs->progs.steer_inside : programs->progs.steer_outside;
	const size_t address = s == INSIDE ? 12 : 16;

	memcpy(in, device[s].mac, ETH_ALEN);
	in[13] = 0;
	in[12] = ETH_P_IP >> 8;
	memcpy(in + ETH_HLEN, p, len);
	give_step_back(in + ETH_HLEN);
	set_clock(now_ms);
	ck_assert_int_eq(bpf_prog_test_run_opts(bpf_program__fd(program), &opts), 0);
	if (opts.retval != TC_ACT_REDIRECT || memcmp(out + ETH_HLEN + address, p + address, 4) == 0)
		return false;
	ck_assert_uint_eq(opts.data_size_out, ETH_HLEN + len);
	ck_assert_uint_eq(out[5], s == INSIDE ? 0xfe : out[ETH_HLEN + 19]); /* the next hop's MAC address */
	memcpy(p, out + ETH_HLEN, len);
	return true;
}

/* ---- tests ---- */

START_TEST(test_the_programs_change_no_result)
{
	drains = false;
	ask_mtu = pick_mtu;
	for (int i = 0; i <= _i; i++)
		unit_seed_ = unit_random();
	play_random(STEPS);
}
END_TEST

static struct talk make_busy(void)
{
	struct talk t = {.proto = 6,
			 .in = {.address = LAB_A, .port = 5000, .next = 1000, .window = 60000},
			 .out = {.address = LAB_S1, .port = SERVER_PORT, .next = 9000, .window = 60000}};

	say_tcp(&t, true, TCP_SYN, 0);
	t.ext = external_port();
	say_tcp(&t, false, TCP_SYN | TCP_ACK, 0);
	say_tcp(&t, true, TCP_ACK, 0);
	for (int i = 0; i < 6; i++)
		say_tcp(&t, i % 2, TCP_ACK, 100);
	return t;
}

START_TEST(test_without_a_beat_nothing_is_carried)
{
	struct talk t = make_busy();

	beat_age_ns = (uint64_t)(STEER_BEAT_MOST_S - 1) * SECOND_NS;
	ck_assert(say_tcp(&t, true, TCP_ACK, 10));
	ck_assert(say_tcp(&t, false, TCP_ACK, 10));
	beat_age_ns = (uint64_t)(STEER_BEAT_MOST_S + 1) * SECOND_NS;
	ck_assert(!say_tcp(&t, true, TCP_ACK, 10));
	ck_assert(!say_tcp(&t, false, TCP_ACK, 10));
	beat_age_ns = 0;
	ck_assert(say_tcp(&t, true, TCP_ACK, 10));
}
END_TEST

START_TEST(test_other_interfaces_are_natds)
{
	struct talk t = make_busy();

	config->view[0].outside = device[INSIDE].index;
	ck_assert(!say_tcp(&t, true, TCP_ACK, 10));
	config->view[0].outside = 0;
	ck_assert(!say_tcp(&t, false, TCP_ACK, 10));
	config->view[0].outside = device[OUTSIDE].index;
	config->view[0].n_devices = 1; /* the outside one is not known */
	ck_assert(!say_tcp(&t, true, TCP_ACK, 10));
	ck_assert(say_tcp(&t, false, TCP_ACK, 10));
}
END_TEST

START_TEST(test_what_is_larger_than_its_way_is_natds)
{
	struct talk t = make_busy();

	config->view[0].mtu_out = config->view[0].mtu_in = 1000;
	ck_assert(say_tcp(&t, true, TCP_ACK, 960));
	ck_assert(!say_tcp(&t, true, TCP_ACK, 961));
	ck_assert(say_tcp(&t, false, TCP_ACK, 960));
	ck_assert(!say_tcp(&t, false, TCP_ACK, 961));
}
END_TEST

static bool give_mtu(void *ctx, const struct mirror_ends *e, uint16_t mtu[2])
{
	(void)ctx;
	(void)e;
	mtu[DIR_OUT] = 900;
	mtu[DIR_IN] = 800;
	return true;
}

START_TEST(test_what_is_larger_than_the_mtu_of_its_route_is_natds)
{
	struct talk t;

	ask_mtu = give_mtu;
	t = make_busy();
	ck_assert(say_tcp(&t, true, TCP_ACK, 860));
	ck_assert(!say_tcp(&t, true, TCP_ACK, 861));
	ck_assert(say_tcp(&t, false, TCP_ACK, 760));
	ck_assert(!say_tcp(&t, false, TCP_ACK, 761));
}
END_TEST

static size_t make_segment(uint8_t *p, const struct talk *t, uint32_t seq, bool is_plain)
{
	return build_packet(p, &(const struct build){.proto = 6,
						     .src = t->in.address,
						     .dst = t->out.address,
						     .sport = t->in.port,
						     .dport = t->out.port,
						     .seq = seq,
						     .ack = t->out.next,
						     .flags = TCP_ACK,
						     .window = 60000,
						     .payload_len = 10,
						     .df = is_plain});
}

START_TEST(test_what_follows_waits_for_what_is_left_to_natd)
{
	const struct talk t = make_busy();
	uint8_t odd[PACKET_MAX], next[PACKET_MAX];
	size_t odd_len = make_segment(odd, &t, t.in.next, false), len = make_segment(next, &t, t.in.next + 10, true);

	ck_assert(!run_program(odd, odd_len, lab->now_ms));
	ck_assert(!run_program(next, len, lab->now_ms));
	lab_send(lab, odd, odd_len);
	ck_assert_uint_eq(lab->n_out, 1);
	ck_assert(!run_program(next, len, lab->now_ms)); /* translated, and not sent yet */
	report_sent(false);
	ck_assert(run_program(next, len, lab->now_ms));
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("fast");
	TCase *c = tcase_create("programs");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 300);
	tcase_add_test(c, test_without_a_beat_nothing_is_carried);
	tcase_add_test(c, test_other_interfaces_are_natds);
	tcase_add_test(c, test_what_follows_waits_for_what_is_left_to_natd);
	tcase_add_test(c, test_what_is_larger_than_its_way_is_natds);
	tcase_add_test(c, test_what_is_larger_than_the_mtu_of_its_route_is_natds);
	tcase_add_loop_test(c, test_the_programs_change_no_result, 0, SEEDS);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	programs = make_network() ? steer__open_and_load() : NULL;
	if (!programs) {
		printf("skipped: no tc programs can be loaded here, or no devices made\n");
		return SKIP;
	}
	forward = run_program;
	return unit_main(make_suite);
}
