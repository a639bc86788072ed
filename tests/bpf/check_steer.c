/* SPDX-License-Identifier: ISC */
/*
 * The tc programs on packets made here (BPF_PROG_TEST_RUN), in a network namespace of its own. Skipped without the
 * right to load programs.
 */
#define _GNU_SOURCE 1 /* unshare() */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <check.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/steer.h"
#include "unit.h"
#include <steer.skel.h>

enum {
	SHARED = 0xcb007101, /* 203.0.113.1 */
	POOL = 0xcb007120,
	PEER = 0xc6336402, /* 198.51.100.2 */
	PEER_8 = 0x08000002,
	HOST = 0x0a080002, /* 10.8.0.2 */
	DUMMY = 0xc0000008,
	MAPPED = 40000,
	CHOICE = 40001, /* natd may choose it; no session has it */
	OTHER = 22,
	TUN = 7,
	PACKET_MAX = 256,
	SKIP = 77,
};

enum verdict { TO_HOST = TC_ACT_UNSPEC, DROPPED = TC_ACT_SHOT, TO_NATD = TC_ACT_REDIRECT };

static struct steer *programs;

/* ---- maps ---- */

static void set_view(const struct steer_view *v)
{
	struct steer_config c;
	uint32_t zero = 0;

	memset(&c, 0, sizeof(c));
	c.view[0] = *v;
	ck_assert_int_eq(bpf_map_update_elem(bpf_map__fd(programs->maps.steer_config), &zero, &c, BPF_ANY), 0);
}

static void set_bit(uint32_t word, uint16_t port)
{
	uint64_t bits = UINT64_C(1) << port % 64;

	word += port / 64;
	ck_assert_int_eq(bpf_map_update_elem(bpf_map__fd(programs->maps.steer_ports), &word, &bits, BPF_ANY), 0);
}

static struct steer_view usual_view(void)
{
	struct steer_view v;

	memset(&v, 0, sizeof(v));
	v.tun = TUN;
	v.n_ranges = 2;
	v.range[0] = (struct steer_range){.first = SHARED, .last = SHARED, .row = 0};
	v.range[1] = (struct steer_range){.first = POOL, .last = POOL + 15, .row = STEER_POOL};
	v.n_inside = 1;
	v.inside[0] = (struct steer_prefix){.address = HOST & 0xffffff00, .mask = 0xffffff00};
	return v;
}

static void setup(void)
{
	struct steer_view v = usual_view();

	set_view(&v);
	for (uint32_t proto_class = STEER_TCP; proto_class < STEER_CLASSES; proto_class++)
		set_bit(proto_class * STEER_PORT_WORDS, MAPPED);
	set_bit(STEER_CHOICE, CHOICE);
}

/* ---- packets ---- */

struct packet {
	uint8_t bytes[PACKET_MAX];
	uint32_t len;
};

static void put16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void put32(uint8_t *p, uint32_t value)
{
	put16(p, (uint16_t)(value >> 16));
	put16(p + 2, (uint16_t)value);
}

static uint16_t sum_of(const uint8_t *p, uint32_t len)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_ip(uint8_t *ip, uint32_t header, uint32_t len, uint32_t source, uint32_t destination, uint8_t protocol)
{
	memset(ip, 0, header);
	ip[0] = (uint8_t)(4 << 4 | header / 4);
	put16(ip + 2, (uint16_t)len);
	ip[8] = 64;
	ip[9] = protocol;
	put32(ip + 12, source);
	put32(ip + 16, destination);
	memset(ip + 20, 1, header - 20); /* options: no operation */
	put16(ip + 10, sum_of(ip, header));
}

/* To `port` of `destination`; for ICMP an echo reply with that id. The Ethernet header is for the loopback
 * interface. */
static struct packet make(uint32_t source, uint32_t destination, uint8_t protocol, uint16_t port)
{
	struct packet p = {.len = ETH_HLEN + 40};
	uint8_t *ip = p.bytes + ETH_HLEN;

	put16(p.bytes + 12, ETH_P_IP);
	put_ip(ip, 20, 40, source, destination, protocol);
	if (protocol == IPPROTO_ICMP) {
		put16(ip + 24, port);
	} else {
		put16(ip + 20, 7);
		put16(ip + 22, port);
	}
	return p;
}

static uint8_t *ip_of(struct packet *p)
{
	return p->bytes + ETH_HLEN;
}

static void seal(struct packet *p)
{
	uint8_t *ip = ip_of(p);

	put16(ip + 10, 0);
	put16(ip + 10, sum_of(ip, (ip[0] & 15) * 4u));
}

/* An ICMP error about a packet that left from `port` of `from`. */
static struct packet make_error(uint8_t type, uint32_t from, uint8_t protocol, uint16_t port)
{
	struct packet p = {.len = ETH_HLEN + 56};
	uint8_t *ip = p.bytes + ETH_HLEN;

	put16(p.bytes + 12, ETH_P_IP);
	put_ip(ip, 20, 56, PEER, SHARED, IPPROTO_ICMP);
	ip[20] = type;
	put_ip(ip + 28, 20, 1000, from, PEER, protocol);
	put16(ip + 48 + (protocol == IPPROTO_ICMP ? 4 : 0), port);
	return p;
}

static enum verdict run(const struct bpf_program *program, struct packet *p)
{
	uint8_t out[PACKET_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p->bytes, .data_size_in = p->len, .data_out = out,
		    .data_size_out = sizeof(out));

	ck_assert_int_eq(bpf_prog_test_run_opts(bpf_program__fd(program), &opts), 0);
	memcpy(p->bytes, out, opts.data_size_out);
	return (enum verdict)opts.retval;
}

/* The mark is gone afterwards, or as it was. */
static enum verdict run_marked(const struct bpf_program *program, struct packet *p, uint32_t mark)
{
	struct __sk_buff context;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p->bytes, .data_size_in = p->len, .ctx_in = &context,
		    .ctx_size_in = sizeof(context), .ctx_out = &context, .ctx_size_out = sizeof(context));

	memset(&context, 0, sizeof(context));
	context.mark = mark;
	ck_assert_int_eq(bpf_prog_test_run_opts(bpf_program__fd(program), &opts), 0);
	ck_assert_uint_eq(context.mark, mark == STEER_MARK_BACK ? 0 : mark);
	return (enum verdict)opts.retval;
}

static enum verdict outside(struct packet p)
{
	return run(programs->progs.steer_outside, &p);
}

static enum verdict inside(struct packet p)
{
	return run(programs->progs.steer_inside, &p);
}

/* ---- from outside ---- */

static const uint8_t with_ports[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};

START_TEST(test_mapped_ports_are_natds_and_others_the_hosts)
{
	for (size_t i = 0; i < sizeof(with_ports); i++) {
		ck_assert_int_eq(outside(make(PEER, SHARED, with_ports[i], MAPPED)), TO_NATD);
		ck_assert_int_eq(outside(make(PEER, SHARED, with_ports[i], OTHER)), TO_HOST);
		ck_assert_int_eq(outside(make(PEER, SHARED + 1, with_ports[i], MAPPED)), TO_HOST);
	}
}
END_TEST

START_TEST(test_every_packet_to_a_pool_address_is_natds)
{
	ck_assert_int_eq(outside(make(PEER, POOL, IPPROTO_UDP, OTHER)), TO_NATD);
	ck_assert_int_eq(outside(make(PEER, POOL + 15, 253, 0)), TO_NATD);
	ck_assert_int_eq(outside(make(PEER, POOL + 16, IPPROTO_UDP, OTHER)), TO_HOST);
}
END_TEST

START_TEST(test_a_port_to_choose_is_natds_unless_the_host_has_a_socket)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(CHOICE)};
	int udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(outside(make(PEER, SHARED, IPPROTO_UDP, CHOICE)), TO_NATD);
	ck_assert_int_eq(bind(udp, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(outside(make(PEER, SHARED, IPPROTO_UDP, CHOICE)), TO_HOST);
	ck_assert_int_eq(outside(make(PEER, SHARED, IPPROTO_TCP, CHOICE)), TO_NATD);
	ck_assert_int_eq(bind(tcp, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(tcp, 1), 0);
	ck_assert_int_eq(outside(make(PEER, SHARED, IPPROTO_TCP, CHOICE)), TO_HOST);
	close(udp);
	close(tcp);
}
END_TEST

START_TEST(test_an_echo_request_is_the_hosts)
{
	struct packet p = make(PEER, SHARED, IPPROTO_ICMP, MAPPED);

	ip_of(&p)[20] = 8;
	ck_assert_int_eq(outside(p), TO_HOST);
}
END_TEST

START_TEST(test_an_icmp_error_is_of_the_port_that_it_quotes)
{
	static const uint8_t types[] = {3, 4, 5, 11, 12};
	struct packet p;

	for (size_t t = 0; t < sizeof(types); t++) {
		for (size_t i = 0; i < sizeof(with_ports); i++) {
			ck_assert_int_eq(outside(make_error(types[t], SHARED, with_ports[i], MAPPED)), TO_NATD);
			ck_assert_int_eq(outside(make_error(types[t], SHARED, with_ports[i], OTHER)), TO_HOST);
			ck_assert_int_eq(outside(make_error(types[t], PEER, with_ports[i], MAPPED)), TO_HOST);
		}
	}
	p = make_error(3, SHARED, IPPROTO_UDP, MAPPED);
	for (p.len = ETH_HLEN + 20; p.len < ETH_HLEN + 56; p.len++)
		ck_assert_int_eq(outside(p), TO_HOST);
}
END_TEST

START_TEST(test_fragments_are_natds_which_hands_back_the_hosts)
{
	struct packet p = make(PEER, SHARED, IPPROTO_UDP, OTHER);

	put16(ip_of(&p) + 6, 0x2000);
	seal(&p);
	ck_assert_int_eq(outside(p), TO_NATD);
	put16(ip_of(&p) + 6, 100);
	seal(&p);
	ck_assert_int_eq(outside(p), TO_NATD);
	put16(ip_of(&p) + 6, 0x4000); /* DF alone */
	seal(&p);
	ck_assert_int_eq(outside(p), TO_HOST);
}
END_TEST

static const uint32_t no_device = 0, loopback = 1;

/* What natd hands back: without an Ethernet header, from the TUN device. The kernel takes the type of a packet from
 * where its Ethernet header would be, which is the source's beginning: 8.0. */
static enum verdict hand_back(const struct packet *p)
{
	struct packet raw = {.len = p->len - ETH_HLEN};

	memcpy(raw.bytes, p->bytes + ETH_HLEN, raw.len);
	return run(programs->progs.steer_tun, &raw);
}

static struct packet fragment(uint32_t source, uint16_t id)
{
	struct packet p = make(source, SHARED, IPPROTO_UDP, OTHER);

	put16(ip_of(&p) + 4, id);
	put16(ip_of(&p) + 6, 100);
	seal(&p);
	return p;
}

static void know_device(uint32_t index)
{
	struct steer_view v = usual_view();

	v.flags = STEER_OTHER_PROTOCOLS;
	v.n_devices = 1;
	v.device[0] = (struct steer_device){.index = index, .is_l3 = 0};
	set_view(&v);
}

/* Fault 16: the host's firewall sees the interface by which they came. */
START_TEST(test_what_is_handed_back_goes_on_where_it_came_in)
{
	struct packet p = fragment(PEER_8, 5), other = make(PEER_8, SHARED, 253, 0);

	know_device(loopback);
	ck_assert_int_eq(hand_back(&p), DROPPED); /* it never came in */
	ck_assert_int_eq(outside(p), TO_NATD);
	ck_assert_int_eq(hand_back(&p), TO_NATD); /* redirected */
	ip_of(&p)[8] = 1;
	seal(&p);
	ck_assert_int_eq(hand_back(&p), TO_NATD);
	p = fragment(PEER_8, 6);
	ck_assert_int_eq(hand_back(&p), DROPPED);
	ck_assert_int_eq(outside(other), TO_NATD);
	put16(ip_of(&other) + 4, 77); /* of protocols without ports every packet */
	seal(&other);
	ck_assert_int_eq(hand_back(&other), TO_NATD);
	know_device(no_device);
	ck_assert_int_eq(hand_back(&other), DROPPED);
	p = make(PEER_8, SHARED, IPPROTO_UDP, OTHER);
	ck_assert_int_eq(hand_back(&p), TO_HOST);
}
END_TEST

/* The same mark takes it past the programs there, and is gone behind them. */
START_TEST(test_what_was_handed_back_is_the_hosts)
{
	struct packet p = fragment(PEER_8, 5);

	ck_assert_int_eq(run_marked(programs->progs.steer_outside, &p, STEER_MARK_BACK), TO_HOST);
	ck_assert_int_eq(run_marked(programs->progs.steer_inside, &p, STEER_MARK_BACK), TO_HOST);
	ck_assert_int_eq(run_marked(programs->progs.steer_outside, &p, STEER_MARK_BACK + 1), TO_NATD);
}
END_TEST

START_TEST(test_protocols_without_ports_are_natds_if_it_translates_them)
{
	struct steer_view v = usual_view();
	struct packet p = make(PEER, SHARED, 253, 0);

	ck_assert_int_eq(outside(p), TO_HOST);
	v.flags = STEER_OTHER_PROTOCOLS;
	set_view(&v);
	ck_assert_int_eq(outside(p), TO_NATD);
	ip_of(&p)[8] = 1; /* handed back, it would have expired */
	seal(&p);
	ck_assert_int_eq(outside(p), TO_HOST);
}
END_TEST

START_TEST(test_a_step_of_ttl_is_taken)
{
	for (int ttl = 0; ttl < 256; ttl++) {
		struct packet p = make(PEER, SHARED, IPPROTO_UDP, MAPPED);

		ip_of(&p)[8] = (uint8_t)ttl;
		seal(&p);
		ck_assert_int_eq(run(programs->progs.steer_outside, &p), TO_NATD);
		ck_assert_int_eq(ip_of(&p)[8], ttl > 0 ? ttl - 1 : 0);
		ck_assert_int_eq(sum_of(ip_of(&p), 20), 0);
	}
}
END_TEST

START_TEST(test_ports_are_found_behind_options)
{
	for (uint32_t header = 24; header <= 60; header += 4) {
		struct packet p = make(PEER, SHARED, IPPROTO_UDP, OTHER);

		put_ip(ip_of(&p), header, header + 20, PEER, SHARED, IPPROTO_UDP);
		put16(ip_of(&p) + header + 2, MAPPED);
		p.len = ETH_HLEN + header + 20;
		ck_assert_int_eq(outside(p), TO_NATD);
	}
}
END_TEST

START_TEST(test_forged_sources)
{
	ck_assert_int_eq(outside(make(HOST, SHARED, IPPROTO_UDP, MAPPED)), TO_HOST); /* the rules refuse it */
	ck_assert_int_eq(outside(make(DUMMY, SHARED, IPPROTO_UDP, MAPPED)), DROPPED);
	ck_assert_int_eq(inside(make(DUMMY, SHARED, IPPROTO_UDP, MAPPED)), DROPPED);
}
END_TEST

/* ---- from inside ---- */

START_TEST(test_inside_hosts_reach_outside_ports)
{
	ck_assert_int_eq(inside(make(HOST, SHARED, IPPROTO_UDP, MAPPED)), TO_NATD);
	ck_assert_int_eq(inside(make(HOST, SHARED, IPPROTO_UDP, OTHER)), TO_HOST);
	ck_assert_int_eq(inside(make(PEER, SHARED, IPPROTO_UDP, MAPPED)), TO_HOST); /* no inside source */
}
END_TEST

START_TEST(test_what_no_rule_routes_to_natd_is_left_to_the_rules)
{
	ck_assert_int_eq(inside(make(HOST, PEER, IPPROTO_UDP, 7)), TO_HOST);
}
END_TEST

/* ---- packets that are not for natd ---- */

START_TEST(test_without_a_device_everything_is_left_to_the_host)
{
	struct steer_view v = usual_view();

	v.tun = 0;
	set_view(&v);
	ck_assert_int_eq(outside(make(PEER, SHARED, IPPROTO_UDP, MAPPED)), TO_HOST);
	ck_assert_int_eq(outside(make(PEER, POOL, IPPROTO_UDP, MAPPED)), TO_HOST);
	ck_assert_int_eq(inside(make(HOST, SHARED, IPPROTO_UDP, MAPPED)), TO_HOST);
}
END_TEST

/* As a filter at clsact, which stays when natd has died. Interface 1 is the loopback interface. */
START_TEST(test_programs_that_outlive_the_device_leave_everything_to_the_host)
{
	struct steer_view v = usual_view();

	v.flags = STEER_OUTLIVES;
	set_view(&v);
	ck_assert_int_eq(outside(make(PEER, SHARED, IPPROTO_UDP, MAPPED)), TO_HOST);
	ck_assert_int_eq(outside(make(PEER, POOL, IPPROTO_UDP, MAPPED)), TO_HOST);
	ck_assert_int_eq(inside(make(HOST, SHARED, IPPROTO_UDP, MAPPED)), TO_HOST);
	v.tun = 1;
	set_view(&v);
	ck_assert_int_eq(outside(make(PEER, SHARED, IPPROTO_UDP, MAPPED)), TO_NATD);
	ck_assert_int_eq(inside(make(HOST, SHARED, IPPROTO_UDP, MAPPED)), TO_NATD);
}
END_TEST

START_TEST(test_other_frames_are_the_hosts)
{
	struct packet p = make(PEER, SHARED, IPPROTO_UDP, MAPPED);

	put16(p.bytes + 12, ETH_P_ARP);
	ck_assert_int_eq(outside(p), TO_HOST);
	p = make(PEER, SHARED, IPPROTO_UDP, MAPPED);
	p.bytes[5] = 1; /* to another station */
	ck_assert_int_eq(outside(p), TO_HOST);
	p = make(PEER, SHARED, IPPROTO_UDP, MAPPED);
	ip_of(&p)[0] = 0x65;
	ck_assert_int_eq(outside(p), TO_HOST);
	ip_of(&p)[0] = 0x44;
	ck_assert_int_eq(outside(p), TO_HOST);
	p = make(PEER, SHARED, IPPROTO_UDP, MAPPED);
	for (p.len = ETH_HLEN + 20; p.len < ETH_HLEN + 24; p.len++) /* no ports */
		ck_assert_int_eq(outside(p), TO_HOST);
}
END_TEST

/* Each byte of a packet takes each value: a verdict always, and the sum of the header stays right for what natd
 * gets. */
START_TEST(test_any_byte)
{
	const struct packet good = make_error(3, SHARED, IPPROTO_TCP, MAPPED);

	for (uint32_t at = ETH_HLEN; at < good.len; at++) {
		for (int value = 0; value < 256; value += 5) {
			struct packet p = good;
			enum verdict v;

			p.bytes[at] = (uint8_t)value;
			if (at < ETH_HLEN + 20 && (ip_of(&p)[0] & 15) == 5)
				seal(&p);
			v = run(programs->progs.steer_outside, &p);
			ck_assert(v == TO_HOST || v == TO_NATD || v == DROPPED);
			if (v == TO_NATD && (ip_of(&p)[0] & 15) == 5)
				ck_assert_int_eq(sum_of(ip_of(&p), 20), 0);
		}
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("steer");
	TCase *c = tcase_create("programs");

	tcase_add_checked_fixture(c, setup, NULL);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, test_mapped_ports_are_natds_and_others_the_hosts);
	tcase_add_test(c, test_every_packet_to_a_pool_address_is_natds);
	tcase_add_test(c, test_a_port_to_choose_is_natds_unless_the_host_has_a_socket);
	tcase_add_test(c, test_an_echo_request_is_the_hosts);
	tcase_add_test(c, test_an_icmp_error_is_of_the_port_that_it_quotes);
	tcase_add_test(c, test_fragments_are_natds_which_hands_back_the_hosts);
	tcase_add_test(c, test_what_is_handed_back_goes_on_where_it_came_in);
	tcase_add_test(c, test_what_was_handed_back_is_the_hosts);
	tcase_add_test(c, test_protocols_without_ports_are_natds_if_it_translates_them);
	tcase_add_test(c, test_a_step_of_ttl_is_taken);
	tcase_add_test(c, test_ports_are_found_behind_options);
	tcase_add_test(c, test_forged_sources);
	tcase_add_test(c, test_inside_hosts_reach_outside_ports);
	tcase_add_test(c, test_what_no_rule_routes_to_natd_is_left_to_the_rules);
	tcase_add_test(c, test_without_a_device_everything_is_left_to_the_host);
	tcase_add_test(c, test_programs_that_outlive_the_device_leave_everything_to_the_host);
	tcase_add_test(c, test_other_frames_are_the_hosts);
	tcase_add_test(c, test_any_byte);
	suite_add_tcase(s, c);
	return s;
}

static int be_silent(enum libbpf_print_level level, const char *format, va_list ap)
	__attribute__((format(printf, 2, 0)));
static int be_silent(enum libbpf_print_level level, const char *format, va_list ap)
{
	(void)level;
	(void)format;
	(void)ap;
	return 0;
}

int main(void)
{
	libbpf_set_print(be_silent);
	if (unshare(CLONE_NEWNET) < 0) {
		printf("skipped: no right to make a network namespace\n");
		return SKIP;
	}
	programs = steer__open_and_load();
	if (!programs) {
		printf("skipped: the tc programs cannot be loaded here\n");
		return SKIP;
	}
	return unit_main(suite);
}
