/* SPDX-License-Identifier: ISC */
/*
 * Writes the seed corpus of fuzz_packet into a directory: seeds_packet tests/fuzz/corpus/packet
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"

static const uint8_t choices[16] = {0, 0, 0x05, 0x50, 203, 0, 113, 1, 192, 0, 2, 7, 0x9c, 0x40, 0, 53};

#define FROM_TO .src = BUILD_IP(10, 8, 0, 2), .dst = BUILD_IP(192, 0, 2, 7)
#define OPTIONS(...) \
	.ip_options = (const uint8_t[]){__VA_ARGS__}, .ip_options_len = sizeof((const uint8_t[]){__VA_ARGS__})
#define TCP_OPTIONS(...) \
	.tcp_options = (const uint8_t[]){__VA_ARGS__}, .tcp_options_len = sizeof((const uint8_t[]){__VA_ARGS__})

static const struct {
	const char *name;
	struct build b;
} packets[] = {
	{"tcp-syn",
	 {FROM_TO, .proto = 6, .sport = 54321, .dport = 443, .flags = 2, TCP_OPTIONS(2, 4, 5, 0xb4, 1, 3, 3, 7)}},
	{"tcp-syn-odd-mss", {FROM_TO, .proto = 6, .flags = 2, TCP_OPTIONS(1, 2, 4, 0x22, 0x60, 1, 1, 1)}},
	{"tcp-bad-option", {FROM_TO, .proto = 6, .flags = 2, TCP_OPTIONS(3, 0, 2, 4, 5, 0xb4)}},
	{"tcp-data", {FROM_TO, .proto = 6, .flags = 0x18, .sport = 54321, .dport = 443, .seq = 7, .payload_len = 40}},
	{"tcp-rst", {FROM_TO, .proto = 6, .flags = 4}},
	{"tcp-first-fragment", {FROM_TO, .proto = 6, .flags = 16, .mf = true, .payload_len = 44}},
	{"udp", {FROM_TO, .proto = 17, .sport = 5000, .dport = 53, .payload_len = 12}},
	{"udp-empty", {FROM_TO, .proto = 17}},
	{"udp-no-checksum", {FROM_TO, .proto = 17, .no_checksum = true, .payload_len = 3}},
	{"udp-options", {FROM_TO, .proto = 17, OPTIONS(1, 148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0), .payload_len = 4}},
	{"udp-bad-option", {FROM_TO, .proto = 17, OPTIONS(7, 1, 4, 0)}},
	{"udp-source-route", {FROM_TO, .proto = 17, OPTIONS(131, 7, 4, 192, 0, 2, 1)}},
	{"udp-first-fragment", {FROM_TO, .proto = 17, .mf = true, .payload_len = 24}},
	{"udp-later-fragment", {FROM_TO, .proto = 17, .frag_offset = 1480, .payload_len = 20}},
	{"icmp-echo", {FROM_TO, .proto = 1, .icmp_type = 8, .sport = 4711, .seq = 1, .payload_len = 16}},
	{"icmp-reply", {FROM_TO, .proto = 1, .icmp_type = 0, .sport = 4711, .seq = 1}},
	{"icmp-timestamp", {FROM_TO, .proto = 1, .icmp_type = 13, .sport = 4711, .payload_len = 12}},
	{"icmp-redirect", {FROM_TO, .proto = 1, .icmp_type = 5, .payload_len = 28}},
	{"gre", {FROM_TO, .proto = 47, .payload_len = 12}},
	{"udplite", {FROM_TO, .proto = 136, .payload_len = 12}},
};

static void save(const char *dir, const char *kind, const char *name, const uint8_t *p, size_t len, uint8_t what)
{
	char path[512];
	FILE *f;
	int ok;

	snprintf(path, sizeof(path), "%s/%s%s", dir, kind, name);
	f = fopen(path, "wb");
	ok = f && fputc(what, f) != EOF && fwrite(choices + 1, sizeof(choices) - 1, 1, f) == 1 &&
	     fwrite(p, 1, len, f) == len;
	if (!f || fclose(f) != 0 || !ok) {
		perror(path);
		exit(EXIT_FAILURE);
	}
}

static void save_error(const char *dir, const char *name, const uint8_t *p, size_t len)
{
	struct build b = {
		.src = BUILD_IP(198, 51, 100, 9), .dst = BUILD_IP(10, 8, 0, 2), .icmp_type = 3, .icmp_code = 3};
	uint8_t out[BUILD_MAX];
	size_t least = (size_t)(p[0] & 15) * 4 + 8, n;

	n = build_icmp_error(out, &b, p, len);
	save(dir, "error-", name, out, n, 7); /* checksums are made right */
	n = build_icmp_error(out, &b, p, least < len ? least : len);
	save(dir, "error-short-", name, out, n, 7);
}

static void save_extended_error(const char *dir)
{
	struct build b = {.src = BUILD_IP(198, 51, 100, 9), .dst = BUILD_IP(10, 8, 0, 2), .icmp_type = 11};
	uint8_t p[BUILD_MAX], out[BUILD_MAX];
	size_t n;

	BUILD(p, FROM_TO, .proto = 17, .payload_len = 200);
	n = build_icmp_error(out, &b, p, 140);
	out[25] = 32; /* RFC 4884: 128 bytes quoted, 12 of extension */
	save(dir, "error-", "extended", out, n, 7);
}

int main(int argc, char **argv)
{
	uint8_t p[BUILD_MAX + 8];

	if (argc != 2) {
		fprintf(stderr, "usage: seeds_packet DIRECTORY\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
		size_t len = build_packet(p, &packets[i].b);

		save(argv[1], "", packets[i].name, p, len, 1);
		save_error(argv[1], packets[i].name, p, len);
		memset(p + len, 0xee, 8);
		save(argv[1], "padded-", packets[i].name, p, len + 8, 9); /* partial checksum, bytes behind */
	}
	save_extended_error(argv[1]);
	return EXIT_SUCCESS;
}
