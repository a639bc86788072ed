/* SPDX-License-Identifier: ISC */
/* natd.conf: accepted texts and their values, and the exact words of each error. */
#include <check.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/config/config_internal.h"
#include "unit.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))
/* Two lines that complete a configuration; a test's own begin on line 3. */
#define BASE "outside = { interface = \"eth0\"; };\ninside = { interfaces = [ \"wg0\" ]; };\n"

/* libconfig 1.5 forgets a string that stands where none may: not natd's leak. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig\n";
}

static struct config_report report;

static void setup(void)
{
	memset(&report, 0, sizeof(report));
}

static void teardown(void)
{
	config_report_fini(&report);
}

static struct natd_config *load(const char *text)
{
	return config_load_string(text, strlen(text), "f", &report);
}

/* All problems, as `natd -t` prints them. */
static const char *problems(void)
{
	static char all[65536];
	FILE *f = fmemopen(all, sizeof(all), "w");

	ck_assert_ptr_nonnull(f);
	config_report_print(&report, f);
	fclose(f);
	return report.n_problems || report.n_lost ? all : "";
}

static struct natd_config *load_good(const char *text)
{
	struct natd_config *c = load(text);

	ck_assert_msg(c != NULL, "refused: %s\n%s", text, problems());
	return c;
}

/* ---- errors, and their words ---- */

static const struct {
	const char *text;
	const char *want;
} bad[] = {
	/* required */
	{"", "f:1: outside.interface is missing: name the interface that leads outside, as in outside = { interface = "
	     "\"eth0\"; };\n"
	     "f:1: inside.interfaces or inside.prefixes is missing: name the interfaces of the inside hosts, as in "
	     "inside = "
	     "{ interfaces = [ \"wg0\" ]; };\n"},
	{"\noutside = { };\n\ninside = { };", "f:2: outside.interface is missing: name the interface that leads "
					      "outside, as in outside = { interface = \"eth0\"; "
					      "};\n"
					      "f:4: inside.interfaces or inside.prefixes is missing: name the "
					      "interfaces of the inside hosts, as in inside = { "
					      "interfaces = [ \"wg0\" ]; };\n"},
	/* syntax */
	{BASE "tun = {\n  mtu = ;\n};",
	 "f:4: syntax error: look here and just above for a missing \"=\", \";\", quote or "
	 "bracket; a setting is NAME = VALUE;\n"},
	{BASE "tun = { mtu = 1400; mtu = 1500; };",
	 "f:3: duplicate setting name: this key was set before in the same group; keep one of them\n"},
	{BASE "log = { };\nlog = { };",
	 "f:4: duplicate setting name: this key was set before in the same group; keep one of them\n"},
	{BASE "limits = { sessions = [ 1, \"x\" ]; };",
	 "f:3: mismatched element type in array: between [ and ] all entries are numbers, or all are strings\n"},
	{BASE "# \"\n/* a \" */ // \"\ntun = { name = \"natd0;\n};\n\n", "f:5: this string has no end: a quote (\") is "
									 "missing\n"},
	{BASE "\n/* tun = { };\n", "f:4: this comment has no end: \"*/\" is missing\n"},
	{BASE "@include \"/etc/passwd\"\n", "f:3: @include is not possible here: natd's configuration is one file\n"},
	/* numbers that libconfig would cut to 32 bits, and the largest that it does not */
	{BASE "timeouts = { udp = 4294967596; };",
	 "f:3: 4294967596 is too large: no number here may be above 2147483647\n"},
	{BASE "timeouts = { udp = 0x10000012c; };",
	 "f:3: 0x10000012c is too large: no number here may be above 2147483647\n"},
	{BASE "timeouts = { udp = 2147483648; };",
	 "f:3: 2147483648 is too large: no number here may be above 2147483647\n"},
	{BASE "timeouts = { udp = 2147483647; };", "f:3: timeouts.udp is 2147483647: it must be between 1 and 31536000 "
						   "seconds\n"},
	{BASE "timeouts = { udp = 4294967596L; };",
	 "f:3: timeouts.udp is 4294967596: it must be between 1 and 31536000 "
	 "seconds\n"},
	{BASE "timeouts = { udp = -1; };", "f:3: timeouts.udp is -1: it must be between 1 and 31536000 seconds\n"},
	/* unknown keys */
	{BASE "tun = { offlaod = true; };", "f:3: unknown key \"offlaod\" in tun: did you mean \"offload\"?\n"},
	{BASE "translaton = { };", "f:3: unknown key \"translaton\": did you mean \"translation\"?\n"},
	{BASE "log = { mtu = 3; };", "f:3: unknown key \"mtu\" in log: it belongs in tun\n"},
	{BASE "log = { whatever = 3; };", "f:3: unknown key \"whatever\" in log: there are target, level\n"},
	{BASE "nonsense = 3;",
	 "f:3: unknown key \"nonsense\": there are tun, routing, routing_on_stop, routing_table, "
	 "outside, inside, translation, blocks, forwards, "
	 "filter, sets, timeouts, limits, static, classes, alarms, control, fast_path, log, translation_log, web\n"},
	/* allocation and classes */
	{BASE "translation = { allocation = \"deterministic\"; };",
	 "f:1: outside.addresses: \"interface\" does not go with deterministic allocation: name the addresses "
	 "themselves\n"
	 "f:3: translation.allocation: \"deterministic\" needs inside.prefixes, not those that the interfaces happen "
	 "to "
	 "have\n"},
	{BASE "translation = { allocation = \"block\"; pooling = \"arbitrary\"; };",
	 "f:3: translation.pooling: \"arbitrary\" does not go with translation.allocation = \"block\": a host's blocks "
	 "are "
	 "on one address\n"},
	{BASE "translation = { allocation = \"block\"; };\nblocks = { size = 31; per_host = 63; };",
	 "f:4: blocks.size is 31: it must be between 32 and 32768 ports\n"
	 "f:4: blocks.per_host is 63: it must be between 1 and 62\n"},
	{BASE "translation = { allocation = \"block\"; };\nblocks = { size = 20000; };",
	 "f:4: blocks.size: no range of outside.ports has 20000 ports: choose a smaller size, or wider ranges\n"},
	{"outside = { interface = \"eth0\"; addresses = \"203.0.113.0/26\"; };\n"
	 "inside = { prefixes = \"100.64.0.0/12\"; };\n"
	 "translation = { allocation = \"deterministic\"; };",
	 "f:3: translation.allocation: 1048576 inside addresses on 64 outside addresses are 16384 hosts on the 64512 "
	 "ports "
	 "of each, fewer than 32 ports a host: add outside addresses (521 are enough), or name smaller "
	 "inside.prefixes\n"},
	{BASE "classes = ( { } );",
	 "f:3: this class has no prefixes: name its inside hosts, prefixes = [ \"10.8.0.0/28\" ];\n"},
	{BASE "classes = ( { prefixes = [ \"10.8.0.1/24\" ]; name = \"a b\"; blocks_per_host = 63; colour = 1; } );",
	 "f:3: class.prefixes: \"10.8.0.1/24\" has host bits set: the prefix of that length is 10.8.0.0/24\n"
	 "f:3: class.name: \"a b\" must have 1 to 31 letters, digits, \"-\", \"_\" and \".\"\n"
	 "f:3: class.blocks_per_host is 63: it must be between 0 and 62\n"
	 "f:3: unknown key \"colour\" in a class: there are name, prefixes, sessions_per_host, ports_per_host, "
	 "new_sessions_per_host, blocks_per_host\n"},
	{BASE
	 "static = ( { inside = \"10.8.0.0/28\"; outside = \"203.0.113.0/29\"; }, { outside = \"203.0.113.1\"; } );",
	 "f:3: this static has prefixes of different lengths, /28 inside and /29 outside: each inside host needs an "
	 "address of its own\n"
	 "f:3: this static has no inside: it needs both sides, inside = \"10.8.0.16/28\"; outside = "
	 "\"203.0.113.48/28\";\n"},
	{"outside = { interface = \"eth0\"; addresses = [ \"203.0.113.5\" ]; };\n"
	 "inside = { prefixes = [ \"10.8.0.0/24\" ]; };\n"
	 "static = ( { inside = \"10.8.0.0/29\"; outside = \"203.0.113.0/29\"; },\n"
	 "{ inside = \"10.8.0.4\"; outside = \"10.8.0.200\"; },\n"
	 "{ inside = \"10.9.0.4\"; outside = \"203.0.113.7\"; } );\n"
	 "forwards = ( { name = \"a\"; protocol = \"tcp\"; port = 1; to = \"10.8.0.9\"; address = \"203.0.113.5\"; } "
	 ");",
	 "f:3: static.outside: 203.0.113.0/29 overlaps 203.0.113.5 of outside.addresses: an address is in the pool or "
	 "in a "
	 "pair\n"
	 "f:4: static.inside: 10.8.0.4 overlaps 10.8.0.0/29 (line 3): a host has one pair\n"
	 "f:4: static.outside: 10.8.0.200 overlaps 10.8.0.0/24 of inside.prefixes: outside and inside must not "
	 "share "
	 "addresses (RFC 4787 REQ-7)\n"
	 "f:5: static.outside: 203.0.113.7 overlaps 203.0.113.0/29 (line 3): an address has one pair\n"
	 "f:5: static.inside: 10.9.0.4 is in none of inside.prefixes: add its prefix there\n"
	 "f:6: forward \"a\": 203.0.113.5 is the outside address of a static pair (line 3), which takes every port\n"},
	{BASE "classes = 3;", "f:3: classes must be a list in brackets, not a whole number\n"},
	{BASE "classes = ( 3 );",
	 "f:3: a class must be a group in braces, not a whole number: write { prefixes = [ ... ]; ... }\n"},
	{BASE "forwards = ( { prot = 1; protocol = \"tcp\"; port = 1; to = \"10.0.0.1\"; } );",
	 "f:3: unknown key \"prot\" in a forward: did you mean \"port\"?\n"},
	/* the translation log */
	{BASE "translation_log = { target = \"disk\"; };",
	 "f:3: translation_log.target: \"disk\" is not known: write \"none\", \"journal\", \"file:/PATH\", "
	 "\"syslog:HOST:PORT\", "
	 "\"syslog+tcp:HOST:PORT\" or \"ipfix:HOST:PORT\"\n"},
	{BASE "translation_log = { target = \"file:log\"; };",
	 "f:3: translation_log.target: \"file:log\" must name a file by its whole path, as "
	 "\"file:/var/log/natd/translations.log\"\n"},
	{BASE "translation_log = { target = \"syslog:10.0.0.1\"; };",
	 "f:3: translation_log.target: \"syslog:10.0.0.1\" does not end in HOST:PORT\n"},
	{BASE "translation_log = { target = \"ipfix:10.0.0.1:0\"; };",
	 "f:3: translation_log.target: \"ipfix:10.0.0.1:0\" does not end in a port: 1 to 65535\n"},
	{BASE "translation_log = { target = \"syslog+tcp:::1:514\"; };",
	 "f:3: translation_log.target: \"syslog+tcp:::1:514\" has an IPv6 address without its brackets: write "
	 "\"[2001:db8::1]:PORT\"\n"},
	{BASE "translation_log = { target = \"syslog:a b:514\"; };",
	 "f:3: translation_log.target: \"syslog:a b:514\" names no host: write a name or an address\n"},
	{BASE "translation_log = { what = \"all\"; };",
	 "f:3: translation_log.what: \"all\" is not known: choose \"auto\", "
	 "\"mappings\", \"sessions\" or \"blocks\"\n"},
	/* natd-web */
	{BASE "web = { listen = [ \"localhost:9642\" ]; };",
	 "f:3: web.listen: \"localhost:9642\" does not begin with an address of this host (names are not looked up)\n"},
	{BASE "web = { listen = [ \"::1:9642\" ]; };", "f:3: web.listen: \"::1:9642\" is not ADDRESS:PORT: write "
						       "\"127.0.0.1:9642\", or an IPv6 address as \"[::1]:9642\"\n"},
	{BASE "web = { listen = [ \"127.0.0.1:0\" ]; };",
	 "f:3: web.listen: \"127.0.0.1:0\" does not end in a port: 1 to 65535\n"},
	{BASE "web = { listen = [ \"[::1]:65536\" ]; };",
	 "f:3: web.listen: \"[::1]:65536\" does not end in a port: 1 to 65535\n"},
	{BASE "web = { listen = [ \"127.0.0.1:80\", \"127.0.0.1:80\" ]; };",
	 "f:3: web.listen: \"127.0.0.1:80\" is named twice\n"},
	{BASE "web = { listen = [ ]; };",
	 "f:3: web.listen is empty: name at least one, or leave the key out for its default\n"},
	/* types */
	{BASE "tun = 5;", "f:3: tun must be a group in braces, not a whole number: write tun = { ... };\n"},
	{BASE "tun = { offload = 1; };", "f:3: tun.offload must be true or false, not a whole number\n"},
	{BASE "tun = { mtu = \"1500\"; };", "f:3: tun.mtu must be a whole number, not a string in quotes\n"},
	{BASE "tun = { mtu = 1500.5; };", "f:3: tun.mtu must be a whole number, not a number with a fraction\n"},
	{BASE "tun = { name = true; };", "f:3: tun.name must be a string in quotes, not true or false\n"},
	{BASE "routing = [ \"none\" ];", "f:3: routing must be a string in quotes, not a list in brackets\n"},
	{BASE "forwards = { };", "f:3: forwards must be a list in brackets, not a group in braces\n"},
	{BASE "forwards = ( 7 );",
	 "f:3: a forward must be a group in braces, not a whole number: write { protocol = \"tcp\"; "
	 "... }\n"},
	/* ranges and words */
	{BASE "tun = { mtu = 575; };", "f:3: tun.mtu is 575: it must be 0 or between 576 and 65535 bytes\n"},
	{BASE "tun = { queues = 65; };", "f:3: tun.queues is 65: it must be between 0 and 64\n"},
	{BASE "limits = { sessions = 16777216; };",
	 "f:3: limits.sessions is 16777216: it must be between 1 and 16777215\n"},
	{BASE "routing = \"auto\";", "f:3: routing: \"auto\" is not known: choose \"managed\" or \"none\"\n"},
	{BASE "translation = { mapping = \"cone\"; };",
	 "f:3: translation.mapping: \"cone\" is not known: choose \"endpoint-independent\", \"address-dependent\" or "
	 "\"address-and-port-dependent\"\n"},
	{BASE "translation = { mss_clamp = 87; };",
	 "f:3: translation.mss_clamp: 87 is out of range: write 88 to 65495 bytes, \"auto\" or \"off\"\n"},
	{BASE "limits = { reserve = 51; };",
	 "f:3: limits.reserve: 51 is out of range: write 0 to 50 percent, or \"auto\"\n"},
	{BASE "limits = { reserve = -1; };",
	 "f:3: limits.reserve: -1 is out of range: write 0 to 50 percent, or \"auto\"\n"},
	{BASE "limits = { reserve = \"10\"; };",
	 "f:3: limits.reserve: \"10\" is not known: write \"auto\", or a number of percent without quotes\n"},
	{BASE "translation = { mss_clamp = \"1400\"; };",
	 "f:3: translation.mss_clamp: \"1400\" is not known: write \"auto\", "
	 "\"off\", or a number of bytes without quotes\n"},
	{BASE "control = { mode = 0660; };",
	 "f:3: control.mode: 660 must be in quotes, as it is octal: write \"0660\"\n"},
	{BASE "control = { mode = \"0668\"; };", "f:3: control.mode: \"0668\" is not a mode: write three or four octal "
						 "digits up to \"0777\", such as \"0660\"\n"},
	{BASE "control = { socket = \"natd.sock\"; };",
	 "f:3: control.socket: \"natd.sock\" must be an absolute path: start it with \"/\"\n"},
	{BASE "control = { group = \"a:b\"; };", "f:3: control.group: \"a:b\" is not the name of a group\n"},
	/* interfaces */
	{"outside = { interface = \"wg0\"; };\ninside = { interfaces = [ \"lan\",\n\"wg0\" ]; };",
	 "f:3: inside.interfaces: \"wg0\" is outside.interface too: it can only be on one side; give the inside hosts "
	 "an interface of their own, or a VLAN of this one\n"},
	{BASE "tun = { name = \"eth0\"; };",
	 "f:3: tun.name: \"eth0\" is outside.interface: natd's own device needs a name of its own\n"},
	{BASE "tun = { name = \"wg0\"; };",
	 "f:2: inside.interfaces: \"wg0\" is natd's own device (tun.name): name those of the inside hosts\n"},
	{"outside = { interface = \"an-interface-too-long\"; };\ninside = { interfaces = [ \"a b\", \"lan\", \"lan\" "
	 "]; };",
	 "f:1: outside.interface: \"an-interface-too-long\" is not the name of an interface: it has 1 to 15 "
	 "characters\n"
	 "f:2: inside.interfaces: \"a b\" is not the name of an interface: no spaces, \"/\", \":\" or \"%\"\n"
	 "f:2: inside.interfaces: \"lan\" is named twice\n"},
	{"outside = { interface = \"eth0\"; };\ninside = { interfaces = [ ]; };",
	 "f:2: inside.interfaces is empty: name at least one, or leave the key out for its default\n"},
};

static const struct {
	const char *outside; /* more of the group, on line 2 */
	const char *inside;  /* likewise, on line 5 */
	const char *rest;    /* on line 6 */
	const char *want;
} bad_addresses[] = {
	{"addresses = [ ];", "", "",
	 "f:2: outside.addresses is empty: name at least one, or leave the key out for its "
	 "default\n"},
	{"addresses = [ \"203.0.113.9/29\" ];", "", "",
	 "f:2: outside.addresses: \"203.0.113.9/29\" has host bits set: the prefix of that length is 203.0.113.8/29\n"},
	{"addresses = [ \"203.0.113.9-203.0.113.8\" ];", "", "",
	 "f:2: outside.addresses: \"203.0.113.9-203.0.113.8\" is reversed: write 203.0.113.8-203.0.113.9\n"},
	{"addresses = [ \"203.0.113.256\" ];", "", "",
	 "f:2: outside.addresses: \"203.0.113.256\" is not a prefix: write an IPv4 address and a length, such as "
	 "10.8.0.0/24\n"},
	{"addresses = [ \"127.0.0.1\",\n\"239.0.0.1\", \"0.1.2.3\", \"255.255.255.255\" ];", "", "",
	 "f:2: outside.addresses: \"127.0.0.1\" touches 127.0.0.0/8 (loopback), which no host may use\n"
	 "f:3: outside.addresses: \"239.0.0.1\" touches 224.0.0.0/4 (multicast), which no host may use\n"
	 "f:3: outside.addresses: \"0.1.2.3\" touches 0.0.0.0/8 (\"this network\"), which no host may use\n"
	 "f:3: outside.addresses: \"255.255.255.255\" touches 240.0.0.0/4 (reserved, and broadcast), which no host may "
	 "use\n"},
	{"addresses = [ \"203.0.113.8/29\",\n\"203.0.113.1-203.0.113.8\" ];", "", "",
	 "f:3: outside.addresses: 203.0.113.1-203.0.113.8 overlaps 203.0.113.8-203.0.113.15 (line 2): keep one of "
	 "them, or "
	 "make them disjoint\n"},
	{"addresses = [ \"198.18.0.0/16\" ];", "", "",
	 "f:2: outside.addresses: 65536 addresses are too many: there can be "
	 "65534\n"},
	{"addresses = [ \"10.8.0.200\" ];", "prefixes = [ \"10.8.0.0/24\" ];", "",
	 "f:2: outside.addresses: 10.8.0.200 overlaps 10.8.0.0/24 of inside.prefixes (line 5): outside and inside must "
	 "not "
	 "share addresses (RFC 4787 REQ-7)\n"},
	{"addresses = [ \"10.8.0.200\" ];", "exempt = [ \"10.0.0.0/8\" ];", "",
	 "f:2: outside.addresses: 10.8.0.200 overlaps 10.0.0.0/8 of inside.exempt (line 5): packets to an exempt "
	 "destination never reach natd\n"},
	{"", "prefixes = [ \"10.8.0.1/24\" ];", "",
	 "f:5: inside.prefixes: \"10.8.0.1/24\" has host bits set: the prefix of that length is 10.8.0.0/24\n"},
	{"", "prefixes = [ \"10.8.0.0/33\" ];", "",
	 "f:5: inside.prefixes: \"10.8.0.0/33\" has no proper prefix length: it is a number from 0 to 32\n"},
	{"", "prefixes = [ \"10.8.0.0/16\",\n\"10.8.3.0/24\" ];", "",
	 "f:6: inside.prefixes: 10.8.3.0/24 overlaps 10.8.0.0/16 (line 5): keep one of them, or make them disjoint\n"},
	{"", "prefixes = [ \"0.0.0.0/0\" ];", "",
	 "f:5: inside.prefixes: 0.0.0.0/0 touches 0.0.0.0/8 (\"this network\"), which no host may use: name the inside "
	 "hosts' own prefixes\n"},
	{"", "exempt = [ \"0.0.0.0/0\" ];", "",
	 "f:5: inside.exempt: 0.0.0.0/0 is every destination: nothing would ever be translated\n"},
	{"", "exempt = [ 8 ];", "", "f:5: inside.exempt must be a string in quotes, not a whole number\n"},
	/* ports */
	{"ports = [ \"0-10\" ];", "", "",
	 "f:2: outside.ports: \"0-10\" contains port 0, which cannot be used: ports are 1 to "
	 "65535\n"},
	{"ports = [ 0 ];", "", "",
	 "f:2: outside.ports: 0 contains port 0, which cannot be used: ports are 1 to 65535\n"},
	{"ports = [ \"20-10\" ];", "", "", "f:2: outside.ports: \"20-10\" is reversed: write 10-20\n"},
	{"ports = [ \"1024-65536\" ];", "", "",
	 "f:2: outside.ports: \"1024-65536\" is not a port or range of ports within 1-65535: write 80 or "
	 "27015-27030\n"},
	{"ports = [ 70000 ];", "", "",
	 "f:2: outside.ports: 70000 is not a port or range of ports within 1-65535: write 80 or 27015-27030\n"},
	{"ports = [ \"1000-2000\",\n\"2000-3000\" ];", "", "",
	 "f:3: outside.ports: 2000-3000 overlaps 1000-2000 (line 2): keep one of them, or make them disjoint\n"},
	{"ports = [ 65535 ];", "", "",
	 "f:2: outside.ports: port 65535 of an address shared with the host cannot be used: choose lower ones\n"},
	/* forwards */
	{"", "", "forwards = ( { } );",
	 "f:6: this forward has no protocol: add protocol = \"tcp\";, or \"udp\"\n"
	 "f:6: this forward has no port: add the outside port, port = 80;\n"
	 "f:6: this forward leads nowhere: add the inside host, to = \"10.8.0.10:8080\";\n"},
	{"", "", "forwards = ( { protocol = [ \"tcp\", \"tcp\", \"gre\" ]; port = \"5-0\"; to = \"10.8.0.1:0\"; } );",
	 "f:6: forward.protocol: \"tcp\" is named twice\n"
	 "f:6: forward.protocol: only \"tcp\" and \"udp\" go together: make a forward for each of the others\n"
	 "f:6: forward.port: \"5-0\" contains port 0, which cannot be used: ports are 1 to 65535\n"
	 "f:6: forward.to: \"10.8.0.1:0\" has no proper port: it is a number from 1 to 65535\n"},
	{"", "",
	 "forwards = ( { name = \"a b\"; address = \"224.0.0.1\"; protocol = \"tcp\"; port = 1; to = \"10.8.0.1:\"; "
	 "from = [ ]; "
	 "} );",
	 "f:6: forward.name: \"a b\" must consist of letters, digits, \"-\", \"_\" and \".\"\n"
	 "f:6: forward.address: \"224.0.0.1\" is in 224.0.0.0/4 (multicast), which no host may use\n"
	 "f:6: forward.to: \"10.8.0.1:\" has no proper port: it is a number from 1 to 65535\n"
	 "f:6: forward.from is empty, so no source could use it: leave the key out to allow every source\n"},
	{"", "", "forwards = ( { protocol = \"gree\"; to = \"10.8.0.1\"; }, { protocol = 255; to = \"10.8.0.1\"; } );",
	 "f:6: forward.protocol: \"gree\" is no protocol: write \"tcp\", \"udp\", [ \"tcp\", \"udp\" ], one without "
	 "ports "
	 "(\"gre\", or its number), or \"any\"\n"
	 "f:6: this forward has no port: add the outside port, port = 80;\n"
	 "f:6: forward.protocol: 255 is no protocol: write \"tcp\", \"udp\", [ \"tcp\", \"udp\" ], one without ports "
	 "(\"gre\", or its number), or \"any\"\n"
	 "f:6: this forward has no port: add the outside port, port = 80;\n"},
	{"", "",
	 "forwards = ( { protocol = \"gre\"; port = 5; to = \"10.8.0.1:7\"; },\n"
	 "{ protocol = \"any\"; port = 5; to = \"10.8.0.1\"; } );",
	 "f:6: this forward has a port, but its protocol has none: leave port out\n"
	 "f:6: this forward leads to port 7, but its protocol has none: leave the port of `to` out\n"
	 "f:7: this forward has a port, but a default host gets every port: leave port out\n"},
	{"", "",
	 "forwards = ( { name = \"a\"; protocol = \"gre\"; to = \"10.8.0.1\"; },\n"
	 "{ name = \"b\"; protocol = 47; to = \"10.8.0.2\"; },\n"
	 "{ name = \"c\"; protocol = \"esp\"; to = \"10.8.0.2\"; },\n"
	 "{ name = \"d\"; protocol = \"any\"; to = \"10.8.0.2\"; },\n"
	 "{ name = \"e\"; protocol = \"any\"; to = \"10.8.0.1\"; } );",
	 "f:7: forward \"b\" never gets a packet: forward \"a\" (line 6) takes all of them first; keep one of them\n"
	 "f:10: forward \"e\" never gets a packet: forward \"d\" (line 9) takes all of them first; keep one of them\n"},
	{"", "", "forwards = ( { name = \"a\"; protocol = 41; to = \"10.8.0.1\"; } );",
	 "f:6: forward \"a\": protocol 41 of the address shared with the host stays the host's: name a pool address in "
	 "outside.addresses, or set routing = \"none\" and bring it to natd by rules of your own\n"},
	{"", "",
	 "translation = { other_protocols = \"drop\"; };\nforwards = ( { name = \"a\"; protocol = \"gre\"; to = "
	 "\"10.8.0.1\"; } );",
	 "f:7: forward \"a\" never gets a packet: translation.other_protocols is \"drop\": set it to \"translate\"\n"},
	{"", "", "forwards = ( { protocol = \"tcp\"; port = \"100-200\"; to = \"10.8.0.1:65436\"; } );",
	 "f:6: this forward leads 101 ports to port 65436 and up, beyond 65535: begin at 65435 or below\n"},
	/* the filter */
	{"", "", "filter = ( { } );",
	 "f:6: this rule has no action: add action = \"accept\";, or \"drop\" or \"reject\"\n"},
	{"", "", "filter = ( { action = \"deny\"; } );",
	 "f:6: rule.action: \"deny\" is not known: choose \"accept\", \"drop\", \"reject\"\n"},
	{"", "", "filter = ( { action = \"drop\"; port = 25; } );",
	 "f:6: rule.port needs protocol = \"tcp\", \"udp\" or both: others have no ports\n"},
	{"", "", "filter = ( { action = \"drop\"; protocol = [ \"tcp\", \"gre\" ]; port = 25; } );",
	 "f:6: rule.port needs protocol = \"tcp\", \"udp\" or both: others have no ports\n"},
	{"", "", "filter = ( { action = \"drop\"; protocol = \"tcp\"; icmp_type = 8; } );",
	 "f:6: rule.icmp_type needs protocol = \"icmp\"\n"},
	{"", "", "filter = ( { action = \"drop\"; protocol = ( 256, \"tpc\" ); icmp_type = \"ping\"; } );",
	 "f:6: rule.protocol: 256 is no protocol: write \"tcp\", \"udp\", \"icmp\"..., or its number\n"
	 "f:6: rule.protocol: \"tpc\" is no protocol: write \"tcp\", \"udp\", \"icmp\"..., or its number\n"
	 "f:6: rule.icmp_type: \"ping\" is no ICMP type: write a name, such as \"echo-request\", or a number from 0 to "
	 "255\n"},
	{"", "", "filter = ( { action = \"drop\"; from = [ \"@nope\", \"10.8.0.1/24\" ]; to = [ ]; } );",
	 "f:6: rule.from: \"@nope\" names no set that was read: define it in sets, as in sets = ( { name = \"office\"; "
	 "prefixes = [ \"198.51.100.0/24\" ]; } );\n"
	 "f:6: rule.from: \"10.8.0.1/24\" has host bits set: the prefix of that length is 10.8.0.0/24\n"
	 "f:6: rule.to is empty, so the rule could never match: leave the key out for every address\n"},
	{"", "", "filter = ( { action = \"drop\"; forward = \"web\"; interface = \"eth9\"; limit = \"5\"; } );",
	 "f:6: rule.forward: \"web\" is the name of no forward of this file\n"
	 "f:6: rule.interface: \"eth9\" is not one of inside.interfaces: a rule's interface is the one of the inside "
	 "host\n"
	 "f:6: rule.limit: \"5\" is not a limit: write \"50/s\" or \"50/s burst 100\", with numbers from 1 to "
	 "1000000\n"},
	{"", "",
	 "filter = ( { action = \"drop\"; name = \"a\"; protocol = 6; },\n{ action = \"accept\"; name = \"a\"; } );",
	 "f:7: a rule is called \"a\" already (line 6): give each a name of its own\n"},
	{"", "", "filter = ( { action = \"drop\"; prot = 6; }, 7 );",
	 "f:6: unknown key \"prot\" in a rule: did you mean \"port\"?\n"
	 "f:6: a rule must be a group in braces, not a whole number: write { action = \"drop\"; ... }\n"},
	{"", "",
	 "sets = ( { }, { name = \"a\"; prefixes = [ \"1.2.3.4\" ]; file = \"x\"; },\n{ name = \"b\"; file = \"../x\"; "
	 "} );",
	 "f:6: this set has no name: add name = \"office\";, so that rules can say \"@office\"\n"
	 "f:6: this set needs either file or prefixes: file = \"bad.txt\"; or prefixes = [ \"192.0.2.0/24\" ];\n"
	 "f:6: this set needs either file or prefixes: file = \"bad.txt\"; or prefixes = [ \"192.0.2.0/24\" ];\n"
	 "f:7: set.file: \"../x\" is not below the directory of f, and a running natd can read nothing else: put it "
	 "there\n"},
	{"", "",
	 "forwards = ( { name = \"a\"; protocol = \"tcp\"; port = 1; to = \"10.8.0.1\"; },\n"
	 "{ name = \"a\"; protocol = \"tcp\"; port = 2; to = \"10.8.0.1\"; } );",
	 "f:7: a forward is called \"a\" already (line 6): give each a name of its own\n"},
	{"", "prefixes = [ \"10.8.0.0/24\" ];",
	 "forwards = ( { name = \"a\"; protocol = \"tcp\"; port = 1; to = \"10.8.1.1\"; } );",
	 "f:6: forward \"a\" leads to 10.8.1.1, which is in none of inside.prefixes: add its prefix there, or correct "
	 "the "
	 "address\n"},
	{"addresses = \"203.0.113.9\";", "",
	 "forwards = ( { name = \"a\"; protocol = \"tcp\"; port = 1; to = \"10.8.1.1\"; address = \"203.0.113.10\"; } "
	 ");",
	 "f:6: forward \"a\": 203.0.113.10 is not among outside.addresses: add it there, or leave address out\n"},
	{"", "", "forwards = ( { name = \"a\"; protocol = \"tcp\"; port = 65535; to = \"10.8.1.1\"; } );",
	 "f:6: forward \"a\": port 65535 of the address shared with the host cannot be forwarded: the kernel's routing "
	 "rules end at 65534\n"},
	{"", "",
	 "forwards = ( { name = \"a\"; protocol = [ \"tcp\", \"udp\" ]; port = \"10-20\"; to = \"10.8.0.1\"; },\n"
	 "{ name = \"b\"; protocol = \"udp\"; port = \"15-20\"; to = \"10.8.0.1\"; } );",
	 "f:7: forward \"b\" never gets a connection: forward \"a\" (line 6) takes all its ports first; put it before "
	 "that one, or choose another port\n"},
	{"", "",
	 "forwards = ( { protocol = \"tcp\"; port = 80; to = ( { host = \"10.8.0.1\"; wieght = 2; }, { weight = 0; } "
	 "); } );",
	 "f:6: unknown key \"wieght\" in a backend: there are host, weight\n"
	 "f:6: forward.to: 0 is not a weight: write a number from 1 to 1000\n"
	 "f:6: this backend has no host: add host = \"10.8.0.11:8080\";\n"},
	{"", "", "forwards = ( { protocol = \"tcp\"; port = 80; to = [ \"10.8.0.1:8080\", \"10.8.0.1:8080\" ]; } );",
	 "f:6: forward.to names 10.8.0.1:8080 twice: give it one weight\n"},
	{"", "", "forwards = ( { protocol = \"tcp\"; port = 80; to = \"10.8.0.1\"; balance = \"hash\"; } );",
	 "f:6: forward.balance and forward.affinity are about several backends: make `to` a list, as in to = [ "
	 "\"10.8.0.11\", \"10.8.0.12\" ];\n"},
	{"", "",
	 "forwards = ( { protocol = \"tcp\"; port = 80; to = [ \"10.8.0.1\" ]; balance = \"robin\"; affinity = -1; } "
	 ");",
	 "f:6: forward.balance: \"robin\" is not known: choose \"hash\", \"least\" or \"random\"\n"
	 "f:6: forward.affinity: -1 seconds are too many or too few: they are 0 (no memory) to 86400\n"},
	{"", "",
	 "forwards = ( { protocol = \"tcp\"; port = 80; to = [ \"10.8.0.1\" ]; check = { type = \"ping\"; interval = "
	 "0; pth = \"/\"; path = \"x\"; status = \"99-200\"; }; } );",
	 "f:6: forward.check.type must be \"tcp\" or \"http\"\n"
	 "f:6: forward.check.interval must be a whole number from 1 to 3600\n"
	 "f:6: unknown key \"pth\" in forward.check: there are type, interval, timeout, rise, fall, path, status\n"
	 "f:6: forward.check.path must be a path of up to 127 printable characters that begins with \"/\"\n"
	 "f:6: forward.check.status must be status codes such as \"200-399\"\n"},
	{"", "", "forwards = ( { protocol = \"tcp\"; port = 80; to = [ \"10.8.0.1\" ]; check = { interval = 1; }; } );",
	 "f:6: forward.check has no type: add type = \"tcp\";, or \"http\"\n"},
	{"", "", "forwards = ( { protocol = \"tcp\"; port = 80; to = \"10.8.0.1\"; check = { type = \"tcp\"; }; } );",
	 "f:6: forward.check is about backends: make `to` a list, as in to = [ \"10.8.0.11\" ];\n"},
	{"", "", "forwards = ( { protocol = \"tcp\"; port = 80; to = [ ]; } );",
	 "f:6: forward.to has 0 backends: there must be 1 to 256\n"},
	{"", "", "forwards = ( { protocol = \"tcp\"; port = \"80-90\"; to = [ \"10.8.0.1\", \"10.8.0.2:65530\" ]; } );",
	 "f:6: this forward leads 11 ports to port 65530 and up, beyond 65535: begin at 65525 or below\n"},
	{"", "",
	 "forwards = ( { protocol = \"tcp\"; port = 80; to = [ \"10.8.0.1\" ]; side = \"inside\"; from = [ "
	 "\"10.8.0.0/24\" ]; } );",
	 "f:6: a forward for inside hosts needs an address of its own, which no host has: add address = "
	 "\"10.96.0.10\";\n"
	 "f:6: forward.from is about outside hosts: leave it out, and say by filter rules which inside hosts may use "
	 "this "
	 "forward\n"},
	{"", "",
	 "forwards = ( { name = \"a\"; protocol = \"tcp\"; port = 10; to = \"10.8.0.1\"; },\n"
	 "{ name = \"b\"; protocol = \"tcp\"; port = 10; to = \"10.8.0.2\"; address = \"192.0.2.1\"; } );",
	 "f:7: forward \"b\" never gets a connection: forward \"a\" (line 6) takes all its ports first; put the one "
	 "with an address first\n"},
	/* fault 49: several together, one of them for every address */
	{"addresses = [ \"interface\", \"192.0.2.1\" ];", "",
	 "forwards = ( { name = \"a\"; protocol = \"tcp\"; port = \"10-14\"; to = \"10.8.0.1\"; },\n"
	 "{ name = \"b\"; protocol = \"tcp\"; port = \"15-20\"; to = \"10.8.0.2\"; address = \"192.0.2.1\"; },\n"
	 "{ name = \"c\"; protocol = \"tcp\"; port = \"10-20\"; to = \"10.8.0.2\"; address = \"192.0.2.1\"; } );",
	 "f:8: forward \"c\" never gets a connection: forward \"a\" (line 6) and others take all its ports first; put "
	 "the one with an address first\n"},
	{"stun = \"stun.example.net:0\";", "", "",
	 "f:2: outside.stun: \"stun.example.net:0\" is not HOST or HOST:PORT\n"},
	{"stun = \"stun.example.net:3478-3479\";", "", "",
	 "f:2: outside.stun: \"stun.example.net:3478-3479\" is not HOST or HOST:PORT\n"},
	{"stun = \"https://stun.example.net\";", "", "",
	 "f:2: outside.stun: \"https://stun.example.net\" is not HOST or HOST:PORT\n"},
	{"stun = \":3478\";", "", "", "f:2: outside.stun: \":3478\" is not HOST or HOST:PORT\n"},
	{"stun = 3478;", "", "", "f:2: outside.stun must be a string in quotes, not a whole number\n"},
	{"addresses = \"masquerade\";", "", "",
	 "f:2: outside.addresses: \"masquerade\" is not an address: to share the address of outside.interface, write "
	 "\"interface\"\n"},
};

START_TEST(test_each_fault_is_told_with_its_line)
{
	ck_assert_ptr_null(load(bad[_i].text));
	ck_assert_str_eq(problems(), bad[_i].want);
	ck_assert_uint_gt(report.n_errors, 0);
}
END_TEST

START_TEST(test_each_fault_of_addresses_is_told_with_its_line)
{
	char text[4096];

	snprintf(text, sizeof(text),
		 "outside = { interface = \"eth0\";\n%s\n};\ninside = { interfaces = [ \"wg0\" ];\n%s };\n%s",
		 bad_addresses[_i].outside, bad_addresses[_i].inside, bad_addresses[_i].rest);
	ck_assert_ptr_null(load(text));
	ck_assert_str_eq(problems(), bad_addresses[_i].want);
}
END_TEST

static const struct {
	const char *text;
	const char *want;
} doubtful[] = {
	{BASE "timeouts = { udp = 119; };",
	 "f:3: warning: timeouts.udp is 119 seconds: RFC 4787 REQ-5 requires at least "
	 "120\n"},
	{BASE "timeouts = { icmp = 59; };",
	 "f:3: warning: timeouts.icmp is 59 seconds: RFC 5508 REQ-2 requires at least 60\n"},
	{BASE "timeouts = { tcp_established = 7439; tcp_opening = 239; tcp_closing = 239; };",
	 "f:3: warning: timeouts.tcp_established is 7439 seconds: RFC 5382 REQ-5 requires at least 7440\n"
	 "f:3: warning: timeouts.tcp_opening is 239 seconds: RFC 5382 REQ-5 requires at least 240\n"
	 "f:3: warning: timeouts.tcp_closing is 239 seconds: RFC 5382 REQ-5 requires at least 240\n"},
	{BASE "timeouts = { unsolicited_syn = 5; port_reuse = 0; };",
	 "f:3: warning: timeouts.unsolicited_syn is 5 seconds: RFC 5382 REQ-4 requires at least 6\n"
	 "f:3: warning: timeouts.port_reuse is 0 seconds: RFC 6888 REQ-8 requires at least 120\n"},
	{BASE "timeouts = { udp = 120; icmp = 60; tcp_established = 7440; tcp_opening = 240; tcp_closing = 240; "
	      "unsolicited_syn = 6; port_reuse = 120; };",
	 ""},
	{BASE "control = { mode = \"0662\"; };",
	 "f:3: warning: control.mode is \"0662\": every user of this host may then ask natd for its sessions\n"},
	{BASE "limits = { sessions = 100; sessions_per_host = 101; };",
	 "f:3: warning: limits.sessions_per_host is 101, more than limits.sessions (100): it has no effect\n"},
	/* classes that hold no inside host */
	{"inside = { prefixes = [ \"10.8.0.0/24\", \"10.8.2.0/24\" ]; };\noutside = { interface = \"eth0\"; };\n"
	 "classes = ( { name = \"gold\"; prefixes = [ \"10.8.0.0/28\", \"10.8.1.0/24\" ]; },\n"
	 "{ prefixes = [ \"10.8.3.0/24\" ]; }, { prefixes = \"10.8.0.0/16\"; } );",
	 "f:3: warning: class \"gold\": 10.8.1.0/24 holds no inside host: correct it, or add it to inside.prefixes\n"
	 "f:4: warning: class: 10.8.3.0/24 holds no inside host: correct it, or add it to inside.prefixes\n"},
	{BASE "classes = ( { prefixes = [ \"10.8.3.0/24\" ]; } );", ""},
	{"inside = { interfaces = \"wg0\"; };\noutside = { interface = \"eth0\"; ports = \"20000-40000\"; };",
	 "f:2: warning: outside.ports: 20000-40000 takes ports from which the host itself connects (32768-60999, see "
	 "net.ipv4.ip_local_port_range) on the address shared with it: leave those out\n"},
	{"inside = { interfaces = \"wg0\"; };\noutside = { interface = \"eth0\"; ports = \"61000-65535\"; };",
	 "f:2: warning: outside.ports: port 65535 of the address shared with the host is left out: the kernel's "
	 "routing "
	 "rules end at 65534\n"},
	{"inside = { interfaces = \"wg0\"; };\noutside = { interface = \"eth0\"; ports = \"20000-65535\"; addresses = "
	 "\"192.0.2.1\"; };",
	 ""},
	{"inside = { interfaces = \"wg0\"; };\noutside = { interface = \"eth0\"; ports = [ 2000 ]; };\ntranslation = { "
	 "port_parity = true; };",
	 "f:2: warning: outside.ports: 2000 alone is either even or odd, so translation.port_parity finds no port of "
	 "the "
	 "other kind here: give a range of two or more\n"},
	{"inside = { interfaces = \"wg0\"; };\noutside = { interface = \"eth0\"; addresses = [ \"interface\", "
	 "\"192.0.2.1\" ]; "
	 "};\nforwards = ( { name = \"a\"; protocol = \"tcp\"; port = 65535; to = \"10.0.0.1\"; } );",
	 "f:3: warning: forward \"a\": port 65535 is forwarded on the pool's addresses only: the kernel's routing "
	 "rules for "
	 "the shared one end at 65534\n"},
};

START_TEST(test_4787_5_what_is_doubtful_is_a_warning)
{
	struct natd_config *c = load(doubtful[_i].text);

	ck_assert_str_eq(problems(), doubtful[_i].want);
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(report.n_errors, 0);
	config_free(c);
}
END_TEST

START_TEST(test_all_faults_of_a_file_are_told_in_one_run)
{
	ck_assert_ptr_null(
		load("tun = { mtu = 1; };\nrouting = \"x\";\n\nlog = { level = 3; };\n"
		     "outside = { interface = \"eth0\"; prots = 5; };\ninside = { prefixes = [ \"10.0.0.1/8\" ]; };\n"
		     "timeouts = { udp = 60; };\n"));
	ck_assert_str_eq(
		problems(),
		"f:1: tun.mtu is 1: it must be 0 or between 576 and 65535 bytes\n"
		"f:2: routing: \"x\" is not known: choose \"managed\" or \"none\"\n"
		"f:4: log.level must be a string in quotes, not a whole number\n"
		"f:5: unknown key \"prots\" in outside: did you mean \"ports\"?\n"
		"f:6: inside.prefixes: \"10.0.0.1/8\" has host bits set: the prefix of that length is 10.0.0.0/8\n"
		"f:7: warning: timeouts.udp is 60 seconds: RFC 4787 REQ-5 requires at least 120\n");
	ck_assert_uint_eq(report.n_errors, 5);
}
END_TEST

START_TEST(test_problems_beyond_the_limit_are_counted)
{
	static char text[65536];
	size_t n = (size_t)snprintf(text, sizeof(text), BASE "outside2 = 1;\n");

	for (int i = 0; i < 300; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "zzzzzzzzzz%d = 1;\n", i);
	ck_assert_ptr_null(load(text));
	ck_assert_uint_eq(report.n_errors, 301);
	ck_assert_uint_eq(report.n_problems, CONFIG_PROBLEMS_MAX);
	ck_assert_uint_eq(report.n_lost, 301 - CONFIG_PROBLEMS_MAX);
	ck_assert_ptr_nonnull(strstr(problems(), "natd: 101 more problems are not shown\n"));
}
END_TEST

START_TEST(test_bytes_of_the_file_reach_no_terminal)
{
	ck_assert_ptr_null(load(BASE "routing = \"\033[2J\n\xff\";"));
	ck_assert_ptr_null(strpbrk(problems(), "\033\xff"));
	ck_assert_ptr_nonnull(strstr(problems(), "\\x1b[2J"));
	ck_assert_uint_eq(report.n_problems, 1);
}
END_TEST

START_TEST(test_nul_byte_is_refused)
{
	static const char text[] = BASE "\ntun = { };\0 hidden = 1;\n";

	ck_assert_ptr_null(config_load_string(text, sizeof(text) - 1, "f", &report));
	ck_assert_str_eq(problems(), "f:4: a NUL byte: this is not a text file\n");
}
END_TEST

/* ---- files ---- */

START_TEST(test_unreadable_file_is_told_with_path_and_reason)
{
	ck_assert_ptr_null(config_load("/nowhere/natd.conf", &report));
	ck_assert_ptr_null(config_load("/", &report));
	ck_assert_str_eq(problems(), "/nowhere/natd.conf: cannot be read: No such file or directory\n"
				     "/: cannot be read: Is a directory\n");
}
END_TEST

static void write_file(char *path, const char *text, mode_t mode)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

START_TEST(test_file_that_everybody_may_write_is_a_warning)
{
	char path[] = "/tmp/check_config.XXXXXX";
	char want[256];
	struct natd_config *c;

	write_file(path, BASE, 0646);
	c = config_load(path, &report);
	unlink(path);
	ck_assert_ptr_nonnull(c);
	snprintf(want, sizeof(want),
		 "%s: warning: every user of this host may write to this file (mode 0646): run chmod o-w on it\n",
		 path);
	ck_assert_str_eq(problems(), want);
	ck_assert_str_eq(c->file, path);
	config_free(c);
}
END_TEST

START_TEST(test_file_larger_than_a_read_is_whole)
{
	static char text[300000];
	char path[] = "/tmp/check_config.XXXXXX";
	struct natd_config *c;
	size_t n = sizeof(text) - 1 - strlen(BASE);

	memset(text, '#', n);
	for (size_t i = 99; i < n; i += 100)
		text[i] = '\n';
	text[n - 1] = '\n';
	memcpy(text + n, BASE, strlen(BASE));
	write_file(path, text, 0600);
	c = config_load(path, &report);
	unlink(path);
	ck_assert_str_eq(problems(), "");
	ck_assert_ptr_nonnull(c);
	ck_assert_str_eq(c->outside.interface, "eth0");
	config_free(c);
}
END_TEST

static FILE *open_source(const char *name)
{
	const char *srcdir = getenv("srcdir");
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", srcdir ? srcdir : ".", name);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	return f;
}

static const char *const shipped[] = {"etc/natd.conf", "etc/natd.conf.example"};

START_TEST(test_shipped_file_loads_without_a_word)
{
	const char *srcdir = getenv("srcdir");
	char path[4096];
	struct natd_config *c;

	snprintf(path, sizeof(path), "%s/%s", srcdir ? srcdir : ".", shipped[_i]);
	c = config_load(path, &report);
	for (uint32_t i = 0; i < report.n_problems; i++) /* of the file as a whole: how it was checked out */
		ck_assert_msg(report.problems[i].line == 0 && report.problems[i].is_warning, "%s", problems());
	ck_assert_ptr_nonnull(c);
	config_free(c);
}
END_TEST

/* ---- the same keys and defaults in table, example and manual page ---- */

static bool seen[CONFIG_KEYS_MAX];

/* The row called `group` and `name`; the test fails if there is none. */
static const struct config_key *row(const char *group, const char *name)
{
	size_t n;
	const struct config_key *keys = config_keys(&n);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(keys[i].group, group) == 0 && strcmp(keys[i].name, name) == 0) {
			seen[i] = true;
			return &keys[i];
		}
	}
	ck_abort_msg("there is no key %s.%s", group, name);
	return NULL;
}

static void check_all_seen(const char *where)
{
	size_t n;
	const struct config_key *keys = config_keys(&n);

	for (size_t i = 0; i < n; i++)
		ck_assert_msg(seen[i], "%s does not mention %s.%s", where, keys[i].group, keys[i].name);
}

/* `text` is what a document gives as the default of `k`. */
static void check_default(const struct config_key *k, const char *text)
{
	char want[256];

	config_key_default(k, want, sizeof(want));
	if (strcmp(k->name, "socket") == 0) /* built with another run-time directory, it is there */
		ck_assert(strcmp(text, "\"/run/natd/natd.sock\"") == 0 || strcmp(text, want) == 0 ||
			  strcmp(text, "\"@runstatedir@/natd/natd.sock\"") == 0);
	else if (want[0])
		ck_assert_msg(strcmp(text, want) == 0, "%s.%s: %s, in the table %s", k->group, k->name, text, want);
}

START_TEST(test_example_names_every_key_at_its_default)
{
	FILE *f = open_source("etc/natd.conf.example");
	char line[512], name[64], group[64] = "", value[256];

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63[a-z_] = %255[^;\n];", name, value) == 2 && value[0] != '{' && value[0] != '(')
			check_default(row("", name), value);
		else if (sscanf(line, "%63[a-z_] = %1[{(]", group, value) == 2 && value[0] == '(')
			row("", group);
		else if (isspace((unsigned char)line[0]) && sscanf(line, " %63[a-z_] = %255[^;\n];", name, value) == 2)
			check_default(row(group, name), value);
		else if (sscanf(line, "    # %63[a-z_] = %255[^;\n];", name, value) ==
			 2) /* one that excludes another */
			check_default(row(group, name), value);
	}
	fclose(f);
	check_all_seen("natd.conf.example");
}
END_TEST

/* mdoc's `\(dq` and `\ ` to what they show. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from;) {
		if (strncmp(from, "\\(dq", 4) == 0) {
			*to++ = '"';
			from += 4;
		} else if (*from == '\\') {
			from++;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
}

static const struct config_key *row_of_path(char *path)
{
	char *dot = strchr(path, '.');

	if (!dot)
		return row("", path);
	*dot = '\0';
	return row(path, dot + 1);
}

START_TEST(test_manual_page_names_every_key_with_its_default)
{
	FILE *f = open_source("man/natd.conf.5.in");
	const struct config_key *k = NULL;
	bool expects_default = false;
	char line[512], word[256], text[256];

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, ".It Ic %255[a-z_.]", word) == 1) {
			ck_assert_msg(!k || !config_key_default(k, text, sizeof(text))[0], "no default of %s", k->name);
			k = row_of_path(word);
		} else if (strncmp(line, ".Li ", 4) == 0 && expects_default) {
			ck_assert_ptr_nonnull(k);
			line[strlen(line) - 3] = '\0'; /* " .\n" */
			unescape(line);
			check_default(k, line + 4);
			k = NULL;
		}
		expects_default = strcmp(line, "Default:\n") == 0 || strstr(line, " Default:\n");
	}
	fclose(f);
	check_all_seen("natd.conf.5");
}
END_TEST

static const char *const for_the_fuzzer[] = {"tests/fuzz/config.dict", "tests/fuzz/corpus/config/every-key"};

START_TEST(test_fuzzer_has_every_key)
{
	FILE *f = open_source(for_the_fuzzer[_i]);
	size_t n;
	const struct config_key *keys = config_keys(&n);
	char word[64];

	memset(seen, 0, sizeof(seen));
	while (fscanf(f, "%*[^a-z_]") != EOF && fscanf(f, "%63[a-z_]", word) == 1) {
		for (size_t i = 0; i < n; i++)
			seen[i] |= strcmp(keys[i].name, word) == 0;
	}
	fclose(f);
	check_all_seen(for_the_fuzzer[_i]);
}
END_TEST

/* ---- values ---- */

START_TEST(test_allocation_in_one_line)
{
	static const struct {
		const char *config, *want;
	} files[] = {
		{BASE, "allocation: ports one by one"},
		{BASE "translation = { allocation = \"block\"; };",
		 "allocation: blocks of 512 ports, 40 blocks an address, at most 4 a host"},
		{"outside = { interface = \"eth0\"; addresses = \"203.0.113.0/26\"; };\n"
		 "inside = { prefixes = \"100.64.0.0/18\"; };\ntranslation = { allocation = \"deterministic\"; };",
		 "allocation: deterministic, 252 ports a host, 256 hosts an address"},
		{"outside = { interface = \"eth0\"; addresses = \"203.0.113.0/26\"; };\nblocks = { overflow = 2; };\n"
		 "inside = { prefixes = \"100.64.0.0/18\"; };\ntranslation = { allocation = \"deterministic\"; };",
		 "allocation: deterministic, 224 ports a host, 256 hosts an address, 32 blocks an address for "
		 "overflow"},
	};
	struct natd_config *c = config_load_string(files[_i].config, strlen(files[_i].config), "f", &report);
	char text[160];

	ck_assert_msg(c != NULL, "%s", problems());
	config_allocation_text(c, text, sizeof(text));
	ck_assert_str_eq(text, files[_i].want);
	config_free(c);
}
END_TEST

START_TEST(test_classes)
{
	const char *text = BASE "classes = ( { name = \"gold\"; prefixes = [ \"10.0.0.0/24\", \"10.0.2.0/24\" ]; "
				"sessions_per_host = 0; blocks_per_host = 8; }, { prefixes = \"10.0.1.0/24\"; } );";
	struct natd_config *c = config_load_string(text, strlen(text), "f", &report);

	ck_assert_msg(c != NULL, "%s", problems());
	ck_assert_uint_eq(c->n_classes, 2);
	ck_assert_str_eq(c->classes[0].name, "gold");
	ck_assert_uint_eq(c->classes[0].n_prefixes, 2);
	ck_assert_uint_eq(c->classes[0].limits.sessions, 0);
	ck_assert_uint_eq(c->classes[0].limits.blocks, 8);
	ck_assert_uint_eq(c->classes[0].limits.ports, HOST_LIMIT_AS_ALL);
	ck_assert_uint_eq(c->classes[1].limits.blocks, HOST_LIMIT_AS_ALL);
	config_free(c);
}
END_TEST

START_TEST(test_defaults)
{
	struct natd_config *c = config_defaults();
	uint32_t n;
	const struct nat_range *r;

	ck_assert_str_eq(c->tun.name, "natd0");
	ck_assert(c->tun.mtu == 0 && c->tun.offload && c->tun.queues == 1 && c->tun.busy_poll == 100);
	ck_assert(c->routing == ROUTING_MANAGED);
	ck_assert(c->outside.share_interface_address && c->outside.n_pool == 0 && !c->outside.ports_given);
	ck_assert(c->outside.unsolicited == UNSOLICITED_DROP && c->outside.interface[0] == '\0');
	ck_assert(c->inside.n_interfaces == 0 && c->inside.n_prefixes == 0 && c->inside.n_exempt == 0);
	ck_assert(c->translation.mapping == MAPPING_ENDPOINT_INDEPENDENT &&
		  c->translation.filtering == FILTERING_ADDRESS_DEPENDENT && c->translation.hairpinning &&
		  c->translation.port_selection == PORTS_RANDOM && !c->translation.port_parity &&
		  c->translation.pooling == POOLING_PAIRED && c->translation.mss_clamp == MSS_CLAMP_AUTO &&
		  c->translation.other_protocols == OTHER_TRANSLATE &&
		  c->translation.exhausted_icmp == EXHAUSTED_HOST_UNREACHABLE);
	ck_assert(c->n_forwards == 0);
	ck_assert(c->timeouts.udp == 300 && c->timeouts.icmp == 60 && c->timeouts.other == 300 &&
		  c->timeouts.tcp_opening == 240 && c->timeouts.tcp_established == 7440 &&
		  c->timeouts.tcp_closing == 240 && c->timeouts.unsolicited_syn == 6 && c->timeouts.fragment == 5 &&
		  c->timeouts.port_reuse == 120);
	ck_assert(c->limits.sessions == 1048576 && c->limits.sessions_per_host == 0 && c->limits.ports_per_host == 0 &&
		  c->limits.new_sessions_per_host == 0 && c->limits.fragments == 4096 && c->limits.events == 65536 &&
		  c->limits.reserve == RESERVE_AUTO);
	ck_assert_str_eq(c->control.socket, CONFIG_SOCKET_DEFAULT);
	ck_assert_str_eq(c->control.group, "");
	ck_assert(c->control.mode == 0660 && c->log.target == LOG_TO_AUTO && c->log.level == LEVEL_INFO);
	ck_assert(c->fast_path.steering == CONFIG_STEERING_AUTO);
	ck_assert(c->fast_path.mode == CONFIG_FAST_PATH_AUTO);
	r = config_port_ranges(c, true, &n);
	ck_assert(n == 2 && r[0].first == 16384 && r[0].last == 32767 && r[1].first == 61000 && r[1].last == 65534);
	r = config_port_ranges(c, false, &n);
	ck_assert(n == 1 && r[0].first == 1024 && r[0].last == 65535);
	config_free(c);
}
END_TEST

/* No value here is a default, so that each must have come from the file into its own field. */
static const char everything[] =
	"tun = { name = \"t1\"; mtu = 1400; offload = false; queues = 7; busy_poll = 90; };\n"
	"routing = \"none\";\n"
	"outside = { interface = \"wan\"; addresses = [ \"203.0.113.20-203.0.113.29\", \"198.51.100.0/30\" ];\n"
	"  ports = ( \"3000-4000\", 100, \"200\" ); unsolicited = \"host\"; };\n"
	"inside = { interfaces = ( \"lan\", \"dmz\" ); prefixes = [ \"10.8.0.0/24\", \"10.1.2.3\" ]; exempt = "
	"\"10.0.0.0/8\"; };\n"
	"translation = { mapping = \"address-and-port-dependent\"; filtering = \"endpoint-independent\"; hairpinning = "
	"false;\n"
	"  port_selection = \"preserve\"; port_parity = true; pooling = \"arbitrary\"; mss_clamp = 1360;\n"
	"  other_protocols = \"drop\"; exhausted_icmp = \"none\"; };\n"
	"forwards = ( { protocol = \"udp\"; port = \"10-12\"; to = \"10.8.0.9:65533\"; },\n"
	"  { name = \"forward-1\"; protocol = [ \"tcp\", \"udp\" ]; address = \"203.0.113.29\"; port = 443; to = "
	"\"10.1.2.3\";\n"
	"    from = [ \"192.0.2.0/24\", \"198.51.100.77\" ]; } );\n"
	"timeouts = { udp = 301; icmp = 302; other = 303; tcp_opening = 304; tcp_established = 7500; tcp_closing = "
	"306;\n"
	"  unsolicited_syn = 7; fragment = 8; port_reuse = 309; };\n"
	"limits = { sessions = 1001; sessions_per_host = 1000; ports_per_host = 1003; new_sessions_per_host = 1004;\n"
	"  fragments = 1005; events = 1026; reserve = 33; };\n"
	"control = { socket = \"/tmp/s\"; group = \"adm\"; mode = \"600\"; };\n"
	"fast_path = { mode = \"required\"; steering = \"bpf\"; };\n"
	"log = { target = \"syslog\"; level = \"debug\"; };\n";

static void check_everything_outside(const struct natd_config *c)
{
	const struct nat_range *r;
	uint32_t n;

	ck_assert_str_eq(c->tun.name, "t1");
	ck_assert(c->tun.mtu == 1400 && !c->tun.offload && c->tun.queues == 7 && c->tun.busy_poll == 90 &&
		  c->routing == ROUTING_NONE);
	ck_assert_str_eq(c->outside.interface, "wan");
	ck_assert(!c->outside.share_interface_address && c->outside.n_pool == 2 && c->outside.line == 3);
	ck_assert(c->outside.pool[0].first == 0xc6336400 && c->outside.pool[0].last == 0xc6336403);
	ck_assert(c->outside.pool[1].first == 0xcb007114 && c->outside.pool[1].last == 0xcb00711d);
	ck_assert(!c->outside.pool[0].shared && c->outside.unsolicited == UNSOLICITED_HOST);
	for (int shared = 0; shared < 2; shared++) {
		r = config_port_ranges(c, shared, &n);
		ck_assert(n == 3 && r[0].first == 100 && r[0].last == 100 && r[1].first == 200 && r[2].first == 3000 &&
			  r[2].last == 4000);
	}
}

static void check_everything_inside(const struct natd_config *c)
{
	const struct nat_forward *f = c->forwards;

	ck_assert(c->fast_path.steering == CONFIG_STEERING_BPF);
	ck_assert(c->fast_path.mode == CONFIG_FAST_PATH_REQUIRED);

	ck_assert(c->inside.n_interfaces == 2 && c->inside.n_prefixes == 2 && c->inside.n_exempt == 1);
	ck_assert_str_eq(c->inside.interfaces[0], "lan");
	ck_assert_str_eq(c->inside.interfaces[1], "dmz");
	ck_assert(c->inside.prefixes[0].address == 0x0a080000 && c->inside.prefixes[0].length == 24);
	ck_assert(c->inside.prefixes[1].address == 0x0a010203 && c->inside.prefixes[1].length == 32);
	ck_assert(c->inside.exempt[0].address == 0x0a000000 && c->inside.exempt[0].length == 8);
	ck_assert_uint_eq(c->n_forwards, 2);
	ck_assert_str_eq(f[0].name, "forward-1-2"); /* the other one has the name that this would have */
	ck_assert(f[0].protocols == 1 << CLASS_UDP && f[0].address == 0 && f[0].ports.first == 10 &&
		  f[0].ports.last == 12);
	ck_assert(f[0].to == 0x0a080009 && f[0].to_port == 65533 && f[0].n_from == 0);
	ck_assert_str_eq(f[1].name, "forward-1");
	ck_assert(f[1].protocols == (1 << CLASS_UDP | 1 << CLASS_TCP) && f[1].address == 0xcb00711d);
	ck_assert(f[1].ports.first == 443 && f[1].ports.last == 443 && f[1].to == 0x0a010203 && f[1].to_port == 443);
	ck_assert(f[1].n_from == 2 && f[1].from[0].address == 0xc0000200 && f[1].from[0].length == 24);
	ck_assert(f[1].from[1].address == 0xc633644d && f[1].from[1].length == 32);
	ck_assert(c->forward_lines[0] == 9 && c->forward_lines[1] == 10);
}

static void check_everything_else(const struct natd_config *c)
{
	const struct config_translation *t = &c->translation;

	ck_assert(t->mapping == MAPPING_ADDRESS_AND_PORT_DEPENDENT && t->filtering == FILTERING_ENDPOINT_INDEPENDENT);
	ck_assert(!t->hairpinning && t->port_selection == PORTS_PRESERVE && t->port_parity);
	ck_assert(t->pooling == POOLING_ARBITRARY && t->mss_clamp == 1360 && t->other_protocols == OTHER_DROP);
	ck_assert(t->exhausted_icmp == EXHAUSTED_NONE);
	ck_assert(c->timeouts.udp == 301 && c->timeouts.icmp == 302 && c->timeouts.other == 303 &&
		  c->timeouts.tcp_opening == 304 && c->timeouts.tcp_established == 7500 &&
		  c->timeouts.tcp_closing == 306 && c->timeouts.unsolicited_syn == 7 && c->timeouts.fragment == 8 &&
		  c->timeouts.port_reuse == 309);
	ck_assert(c->limits.sessions == 1001 && c->limits.sessions_per_host == 1000 &&
		  c->limits.ports_per_host == 1003 && c->limits.new_sessions_per_host == 1004 &&
		  c->limits.reserve == 33 && c->limits.fragments == 1005 && c->limits.events == 1026);
	ck_assert_str_eq(c->control.socket, "/tmp/s");
	ck_assert_str_eq(c->control.group, "adm");
	ck_assert(c->control.mode == 0600 && c->log.target == LOG_TO_SYSLOG && c->log.level == LEVEL_DEBUG);
}

/* Ports 200 and 100 alone, with port_parity: the only complaint. */
START_TEST(test_every_key_reaches_its_field)
{
	struct natd_config *c = load_good(everything);

	ck_assert_uint_eq(report.n_problems, 2);
	check_everything_outside(c);
	check_everything_inside(c);
	check_everything_else(c);
	config_free(c);
}
END_TEST

/* Loads a file with one more key; whether it was accepted, and what is at the key's offset then. */
static bool accepts(const struct config_key *k, const char *value, int64_t *stored)
{
	char text[512];
	struct natd_config *c;
	uint32_t word = 0;

	if (k->group[0])
		snprintf(text, sizeof(text), "%s%s = { %s%s = %s; };",
			 strcmp(k->group, "outside") == 0 ? "inside = { interfaces = \"wg0\"; };" : BASE, k->group,
			 strcmp(k->group, "outside") == 0 ? "interface = \"eth0\"; " : "", k->name, value);
	else
		snprintf(text, sizeof(text), BASE "%s = %s;", k->name, value);
	c = load(text);
	if (c)
		memcpy(&word, (char *)c + k->offset, k->type == TYPE_TRUTH ? sizeof(bool) : sizeof(word));
	*stored = word;
	config_free(c);
	return c != NULL;
}

static void check_number_limits(const struct config_key *k)
{
	const struct {
		int64_t value;
		bool good;
	} cases[] = {{k->min, true},
		     {k->max, true},
		     {k->min - 1, k->zero_too && k->min == 1},
		     {k->max + 1, false},
		     {0, k->zero_too || k->min == 0}};
	char value[32];
	int64_t stored;

	for (size_t i = 0; i < LEN(cases); i++) {
		snprintf(value, sizeof(value), "%lld", (long long)cases[i].value);
		ck_assert_msg(accepts(k, value, &stored) == cases[i].good, "%s = %s\n%s", k->name, value, problems());
		if (cases[i].good)
			ck_assert_int_eq(stored, cases[i].value);
	}
}

static void check_words(const struct config_key *k)
{
	char value[64];
	int64_t stored;

	for (const struct config_choice *c = k->choices; c->word; c++) {
		if (strcmp(c->word, "deterministic") ==
		    0) /* needs prefixes and addresses: test_allocation_in_one_line */
			continue;
		snprintf(value, sizeof(value), "\"%s\"", c->word);
		ck_assert_msg(accepts(k, value, &stored), "%s = %s\n%s", k->name, value, problems());
		ck_assert_int_eq(stored, c->value);
	}
}

START_TEST(test_every_number_word_and_truth_value_goes_round)
{
	size_t n;
	const struct config_key *keys = config_keys(&n);
	int64_t stored;

	for (size_t i = 0; i < n; i++) {
		if (keys[i].type == TYPE_NUMBER)
			check_number_limits(&keys[i]);
		if (keys[i].type == TYPE_CHOICE)
			check_words(&keys[i]);
		if (keys[i].type != TYPE_TRUTH)
			continue;
		ck_assert(accepts(&keys[i], "true", &stored) && stored == 1);
		ck_assert(accepts(&keys[i], "false", &stored) && stored == 0);
	}
}
END_TEST

START_TEST(test_backends_weights_and_choice_are_read)
{
	struct natd_config *c = load_good(
		BASE "forwards = ( { name = \"web\"; protocol = \"tcp\"; port = \"80-81\"; balance = \"least\"; "
		     "affinity = 0;\n"
		     "  to = ( { host = \"10.8.0.11:8080\"; weight = 2; }, \"10.8.0.12\" ); },\n"
		     "  { name = \"dns\"; protocol = \"udp\"; side = \"inside\"; address = \"10.96.0.10\"; port = 53;\n"
		     "    to = [ \"10.8.0.21\" ]; } );");
	const struct nat_forward *f = c->forwards;

	ck_assert(f[0].n_backends == 2 && f[0].balance == BALANCE_LEAST && f[0].affinity == 0);
	ck_assert(f[0].backends[0].address == 0x0a08000b && f[0].backends[0].port == 8080 &&
		  f[0].backends[0].weight == 2);
	ck_assert(f[0].backends[1].address == 0x0a08000c && f[0].backends[1].port == 80 &&
		  f[0].backends[1].weight == 1);
	ck_assert(f[1].n_backends == 1 && f[1].balance == BALANCE_HASH && f[1].affinity == 300 &&
		  f[1].side == SIDE_INSIDE && f[1].address == 0x0a60000a);
	config_free(c);
}
END_TEST

START_TEST(test_rules_and_sets_are_read_whatever_their_order)
{
	struct natd_config *c = load_good(
		BASE
		"filter = ( { action = \"reject\"; direction = \"out\"; protocol = ( \"tcp\", 17 ); port = ( 25, "
		"\"465-587\" ); "
		"from = [ \"10.8.0.0/24\", \"@two\" ]; to = \"@one\"; interface = \"wg0\"; log = true; },"
		"{ name = \"x\"; action = \"accept\"; direction = \"in\"; forward = \"web\"; limit = \"50/s burst "
		"100\"; },"
		"{ action = \"drop\"; protocol = \"icmp\"; icmp_type = ( \"echo-request\", 13 ); limit = \"7/s\"; } );"
		"sets = ( { name = \"one\"; prefixes = [ \"192.0.2.0/25\", \"192.0.2.128/25\", \"1.2.3.4\" ]; },"
		"{ name = \"two\"; prefixes = \"10.8.1.0/24\"; } );"
		"forwards = ( { name = \"web\"; protocol = \"tcp\"; port = 80; to = \"10.8.0.2\"; } );");
	const struct config_filter *f = &c->filter;
	const struct filter_rule *r = f->rules;

	ck_assert(f->n_rules == 3 && f->n_sets == 2 && f->n_lists == 3);
	/* sorted, and what adjoins is one span */
	ck_assert(f->lists[0].n == 2 && f->lists[0].spans[0].first == 0x01020304 &&
		  f->lists[0].spans[1].first == 0xc0000200 && f->lists[0].spans[1].last == 0xc00002ff);
	ck_assert_str_eq(r[0].name, "rule-1");
	ck_assert(r[0].action == FILTER_REJECT && r[0].directions == FILTER_OUT && r[0].log && r[0].to == 0 &&
		  r[0].from == 2);
	ck_assert(r[0].protocols[0] == (1u << 6 | 1u << 17) && r[0].n_ports == 2 && r[0].ports[1].last == 587);
	ck_assert(f->lists[2].n == 1 && f->lists[2].spans[0].first == 0x0a080000 &&
		  f->lists[2].spans[0].last == 0x0a0801ff);
	ck_assert_str_eq(f->interfaces[0], "wg0");
	ck_assert_str_eq(r[1].name, "x");
	ck_assert(r[1].action == FILTER_ACCEPT && r[1].directions == FILTER_IN && r[1].forward == 0 &&
		  r[1].limit.per_second == 50 && r[1].limit.burst == 100 && r[1].from == FILTER_ANY);
	ck_assert(r[2].directions == (FILTER_OUT | FILTER_IN) && r[2].icmp_types[0] == (1u << 8 | 1u << 13) &&
		  r[2].limit.burst == 7 && r[2].forward == FILTER_NONE && f->interfaces[2][0] == '\0');
	config_free(c);
}
END_TEST

START_TEST(test_a_rule_that_never_decides_is_warned_of)
{
	struct natd_config *c =
		load_good(BASE "filter = ( { name = \"all\"; action = \"drop\"; protocol = \"tcp\"; },\n"
			       "{ action = \"accept\"; protocol = \"tcp\"; port = 22; } );");

	ck_assert_str_eq(problems(),
			 "f:4: warning: rule \"rule-2\" never decides: rule \"all\" (line 3) matches all that it "
			 "does; put it before that one, or remove it\n");
	config_free(c);
}
END_TEST

/* A forward without an address is about natd's outside addresses, and a virtual one is none of them. */
START_TEST(test_a_forward_of_every_address_leaves_virtual_ones)
{
	struct natd_config *c =
		load_good(BASE "forwards = ( { name = \"web\"; protocol = \"tcp\"; port = 443; to = \"10.8.0.2\"; },"
			       "{ name = \"api\"; protocol = \"tcp\"; side = \"inside\"; address = \"10.96.0.1\"; "
			       "port = 443; to = [ \"10.8.0.3:6443\" ]; } );");

	ck_assert_str_eq(problems(), "");
	config_free(c);
}
END_TEST

/* Each rule but the last ones looks like protection, and matches nothing. */
START_TEST(test_a_rule_that_can_match_nothing_is_warned_of)
{
	struct natd_config *c = load_good(
		"outside = { interface = \"eth0\"; }; inside = { prefixes = [ \"10.8.0.0/24\" ]; "
		"exempt = [ \"10.96.0.0/16\" ]; };"
		"forwards = ( { name = \"web\"; protocol = \"tcp\"; port = 80; to = \"10.8.0.2:8080\"; "
		"from = [ \"198.51.100.0/24\" ]; }, { name = \"dns\"; protocol = \"udp\"; side = \"inside\"; "
		"address = \"10.96.0.10\"; port = 53; to = [ \"10.8.0.3\" ]; } );"
		"sets = ( { name = \"none\"; prefixes = [ ]; } );\n"
		"filter = ( { action = \"drop\"; direction = \"in\"; forward = \"web\"; protocol = \"tcp\"; port = 80; "
		"},\n"
		"{ action = \"drop\"; forward = \"web\"; protocol = \"udp\"; },\n"
		"{ action = \"drop\"; forward = \"web\"; to = \"10.8.0.3\"; },\n"
		"{ action = \"drop\"; forward = \"web\"; from = \"192.0.2.1\"; },\n"
		"{ action = \"drop\"; direction = \"out\"; from = \"198.51.100.10\"; },\n"
		"{ action = \"drop\"; direction = \"in\"; to = \"198.51.100.10\"; },\n"
		"{ action = \"drop\"; direction = \"in\"; from = \"10.8.0.0/25\"; },\n"
		"{ action = \"drop\"; direction = \"out\"; to = \"10.8.0.7\"; },\n"
		"{ action = \"drop\"; direction = \"out\"; to = \"10.96.1.0/24\"; },\n"
		"{ action = \"drop\"; protocol = \"icmp\"; icmp_type = [ \"echo-reply\", \"redirect\" ]; },\n"
		"{ action = \"drop\"; to = \"@none\"; },\n"
		"{ action = \"drop\"; direction = \"out\"; to = \"10.96.0.10\"; },\n"
		"{ action = \"drop\"; forward = \"web\"; protocol = \"tcp\"; port = 8080; from = \"198.51.100.7\"; },\n"
		"{ action = \"drop\"; protocol = \"icmp\"; icmp_type = ( \"echo-reply\", 13 ); },\n"
		"{ action = \"drop\"; from = \"192.0.2.7\"; to = \"10.8.0.9\"; } );");
	static const char *const why[] = {"the forward leads to another one",
					  "another protocol",
					  "the forward leads to another one",
					  "admits nothing",
					  "none of inside.prefixes",
					  "none of inside.prefixes",
					  "is no inside host",
					  "from one inside address to another",
					  "inside.exempt",
					  "only echo-request",
					  "holds no address"};
	const char *at = problems();
	char start[64];

	for (unsigned i = 0; i < sizeof(why) / sizeof(*why); i++) {
		snprintf(start, sizeof(start), "f:%u: warning: rule \"rule-%u\" can never match: ", i + 2, i + 1);
		at = strstr(at, start);
		ck_assert_msg(at != NULL && strcspn(at, "\n") > strlen(start) && strstr(at, why[i]) != NULL &&
				      strstr(at, why[i]) < at + strcspn(at, "\n"),
			      "%s %s\n%s", start, why[i], problems());
	}
	ck_assert_msg(strstr(at + strcspn(at, "\n"), "warning") == NULL, "%s", problems());
	config_free(c);
}
END_TEST

/* natd.conf could not be read at the next start, when that forward is not there. */
START_TEST(test_a_rule_cannot_name_a_forward_made_at_run_time)
{
	const struct config_source src = {
		.name = "f",
		.text = BASE "filter = ( { action = \"drop\"; forward = \"made\"; } );",
		.forwards = "{ name = \"made\"; protocol = \"tcp\"; port = 80; to = \"10.8.0.2\"; }"};

	config_report_fini(&report);
	ck_assert_ptr_null(config_load_source(&src, &report));
	ck_assert_ptr_nonnull(strstr(problems(), "\"made\" is the name of no forward of this file"));
}
END_TEST

/* A configuration with a set that is not simply a file; `make` creates it as bad.txt. */
static const char *problems_of_set(void (*make)(const char *path))
{
	char directory[] = "/tmp/natd-set-XXXXXX", conf[64], set[64];
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(conf, sizeof(conf), "%s/natd.conf", directory);
	snprintf(set, sizeof(set), "%s/bad.txt", directory);
	f = fopen(conf, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "%s", BASE "sets = ( { name = \"bad\"; file = \"bad.txt\"; } );\n");
	ck_assert_int_eq(fclose(f), 0);
	make(set);
	config_report_fini(&report);
	config_free(config_load(conf, &report));
	unlink(conf);
	unlink(set);
	rmdir(directory);
	return problems();
}

static void make_pipe(const char *path)
{
	ck_assert_int_eq(mkfifo(path, 0600), 0);
}

static void make_endless(const char *path)
{
	ck_assert_int_eq(symlink("/dev/zero", path), 0);
}

static void make_link_outside(const char *path)
{
	ck_assert_int_eq(symlink("/proc/version", path), 0);
}

static void make_link_beside(const char *path)
{
	ck_assert_int_eq(symlink("natd.conf", path), 0);
}

/* A pipe without a writer stopped natd for ever, and /dev/zero took all memory. */
START_TEST(test_a_set_is_a_regular_file_below_the_directory)
{
	ck_assert_ptr_nonnull(strstr(problems_of_set(make_pipe), "bad.txt is not a regular file"));
	ck_assert_ptr_nonnull(strstr(problems_of_set(make_endless), "bad.txt is not a regular file"));
	ck_assert_ptr_nonnull(
		strstr(problems_of_set(make_link_outside), "is a link to /proc/version, out of the directory"));
	ck_assert_ptr_nonnull(strstr(problems_of_set(make_link_beside), "bad.txt:1: \""));
}
END_TEST

/* A configuration with a set in a file, below a directory of its own. */
static struct natd_config *load_with_set(const char *set_text)
{
	char directory[] = "/tmp/natd-set-XXXXXX", conf[64], set[64];
	struct natd_config *c;
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(conf, sizeof(conf), "%s/natd.conf", directory);
	snprintf(set, sizeof(set), "%s/bad.txt", directory);
	f = fopen(conf, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "%s", BASE "sets = ( { name = \"bad\"; file = \"bad.txt\"; } );\n");
	ck_assert_int_eq(fclose(f), 0);
	f = fopen(set, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "%s", set_text);
	ck_assert_int_eq(fclose(f), 0);
	config_report_fini(&report);
	c = config_load(conf, &report);
	unlink(conf);
	unlink(set);
	rmdir(directory);
	return c;
}

START_TEST(test_a_set_is_read_from_a_file)
{
	struct natd_config *c = load_with_set("# bad hosts\n\n192.0.2.1\n  198.51.100.0/24  # a network\r\n192.0.2.0");

	ck_assert_msg(c != NULL, "%s", problems());
	ck_assert(c->filter.n_sets == 1 && c->filter.lists[0].n == 2 &&
		  c->filter.lists[0].spans[0].first == 0xc0000200 && c->filter.lists[0].spans[0].last == 0xc0000201);
	config_free(c);
}
END_TEST

START_TEST(test_a_bad_line_of_a_set_is_named)
{
	struct natd_config *c = load_with_set("192.0.2.1\n192.0.2.1/24\nexample.org\n");

	ck_assert_ptr_null(c);
	ck_assert_ptr_nonnull(strstr(problems(), "/bad.txt:2: \"192.0.2.1/24\" has host bits set"));
	ck_assert_ptr_nonnull(strstr(problems(), "/bad.txt:3: \"example.org\" is not a prefix"));
}
END_TEST

START_TEST(test_words_of_reserve)
{
	struct natd_config *c = load_good(BASE "limits = { reserve = \"auto\"; };");

	ck_assert_int_eq(c->limits.reserve, RESERVE_AUTO);
	config_free(c);
	c = load_good(BASE "limits = { reserve = 0; };");
	ck_assert_int_eq(c->limits.reserve, 0);
	config_free(c);
	c = load_good(BASE "limits = { reserve = 50; };");
	ck_assert_int_eq(c->limits.reserve, 50);
	config_free(c);
}
END_TEST

START_TEST(test_words_of_mss_clamp)
{
	struct natd_config *c = load_good(BASE "translation = { mss_clamp = \"off\"; };");

	ck_assert_int_eq(c->translation.mss_clamp, MSS_CLAMP_OFF);
	config_free(c);
	c = load_good(BASE "translation = { mss_clamp = \"auto\"; };");
	ck_assert_int_eq(c->translation.mss_clamp, MSS_CLAMP_AUTO);
	config_free(c);
	c = load_good(BASE "translation = { mss_clamp = 65495; };");
	ck_assert_int_eq(c->translation.mss_clamp, 65495);
	config_free(c);
}
END_TEST

START_TEST(test_shared_ports_end_where_the_kernels_rules_do)
{
	struct natd_config *c =
		load_good("inside = { interfaces = \"wg0\"; };\noutside = { interface = \"eth0\"; ports = ( 65535, "
			  "\"61000-61999\" ); addresses = [ \"interface\", \"192.0.2.1\" ]; };");
	const struct nat_range *r;
	uint32_t n;

	r = config_port_ranges(c, true, &n);
	ck_assert(n == 1 && r[0].first == 61000 && r[0].last == 61999);
	r = config_port_ranges(c, false, &n);
	ck_assert(n == 2 && r[1].first == 65535 && r[1].last == 65535);
	config_free(c);
	c = load_good(
		"inside = { interfaces = \"wg0\"; };\noutside = { interface = \"eth0\"; ports = \"61000-65535\"; };");
	r = config_port_ranges(c, true, &n);
	ck_assert(n == 1 && r[0].first == 61000 && r[0].last == 65534);
	r = config_port_ranges(c, false, &n);
	ck_assert(n == 1 && r[0].first == 61000 && r[0].last == 65535);
	config_free(c);
}
END_TEST

START_TEST(test_last_port_that_a_range_may_lead_to)
{
	struct natd_config *c =
		load_good(BASE "forwards = ( { protocol = \"tcp\"; port = \"100-200\"; to = \"10.8.0.1:65435\"; } "
			       ");");

	ck_assert_uint_eq(c->forwards[0].to_port, 65435);
	config_free(c);
}
END_TEST

/* ---- overlaps, against the slow obvious way ---- */

struct draft {
	unsigned protocols, address, first, last, from; /* from: bits of four neighbouring prefixes; 0: everyone */
};

/* Does a take packets of b's protocol and port from all senders of b? */
static bool hides(const struct draft *a, const struct draft *b, unsigned protocol, unsigned port)
{
	return (a->protocols & protocol) && a->first <= port && port <= a->last &&
	       (a->address == 0 || a->address == b->address) &&
	       (a->from == 0 || (b->from != 0 && !(b->from & ~a->from)));
}

/* Is every protocol and port of d[i] hidden by one before it? */
static bool is_wholly_hidden(const struct draft *d, unsigned i)
{
	for (unsigned protocol = 1; protocol <= 2; protocol++) {
		for (unsigned port = d[i].first; (d[i].protocols & protocol) && port <= d[i].last; port++) {
			bool hidden = false;

			for (unsigned j = 0; j < i; j++)
				hidden |= hides(&d[j], &d[i], protocol, port);
			if (!hidden)
				return false;
		}
	}
	return true;
}

static size_t write_forward(char *out, size_t size, const struct draft *d)
{
	static const char *const protocols[] = {"", "\"tcp\"", "\"udp\"", "[ \"tcp\", \"udp\" ]"};
	size_t n = (size_t)snprintf(out, size, "{ protocol = %s; port = \"%u-%u\"; to = \"10.8.0.1\"; ",
				    protocols[d->protocols], d->first, d->last);

	if (d->address)
		n += (size_t)snprintf(out + n, size - n, "address = \"192.0.2.%u\"; ", d->address);
	if (d->from)
		n += (size_t)snprintf(out + n, size - n, "from = [ ");
	for (unsigned i = 0, comma = 0; i < 4; i++) {
		if (d->from >> i & 1)
			n += (size_t)snprintf(out + n, size - n, "%s\"%u.0.0.0/8\"", comma++ ? ", " : "", 100 + i);
	}
	return n + (size_t)snprintf(out + n, size - n, "%s}", d->from ? " ]; " : "");
}

static void random_draft(struct draft *d)
{
	d->protocols = 1 + unit_below(3);
	d->address = unit_below(3);
	d->first = 1 + unit_below(40);
	d->last = d->first + (unit_below(3) ? unit_below(4) : unit_below(30));
	d->from = unit_below(3) ? unit_below(16) : 0;
}

START_TEST(test_hidden_forwards_are_found_as_by_comparing_all)
{
	static char text[8192];
	struct draft d[8];

	for (int round = 0; round < 400; round++) {
		unsigned count = 1 + unit_below(LEN(d));
		unsigned hidden = 0;
		size_t n = (size_t)snprintf(text, sizeof(text), BASE "forwards = (\n");

		for (unsigned i = 0; i < count; i++) {
			random_draft(&d[i]);
			hidden += is_wholly_hidden(d, i);
			n += write_forward(text + n, sizeof(text) - n, &d[i]);
			n += (size_t)snprintf(text + n, sizeof(text) - n, i + 1 < count ? ",\n" : "\n);");
		}
		config_free(load(text));
		ck_assert_msg(report.n_errors == hidden, "%u expected\n%s\n%s", hidden, text, problems());
		config_report_fini(&report);
	}
}
END_TEST

/* Fault 49: "the first that matches takes it", so a general forward behind a narrow one is fine. */
START_TEST(test_fault_49_a_forward_hidden_in_part_is_no_error)
{
	config_free(load_good(BASE "forwards = ( { protocol = \"tcp\"; port = 443; to = \"10.8.0.1\"; },\n"
				   "{ protocol = [ \"tcp\", \"udp\" ]; port = \"1-65534\"; to = \"10.8.0.2\"; } );"));
	ck_assert_str_eq(problems(), "");
}
END_TEST

static const struct {
	const char *text;
	const char *want;
} foreign[] = {
	{"\xef\xbb\xbf" BASE, "f:1: a byte order mark (bytes ef bb bf): save the file as UTF-8 without one\n"},
	{BASE "timeouts =\xc2\xa0{ };", "f:3: a no-break space (bytes c2 a0): replace it by an ordinary space\n"},
	{BASE "log = { level = \xe2\x80\x9cinfo\xe2\x80\x9d; };",
	 "f:3: a curly quote (bytes e2 80 9c): replace it by a straight one (\")\n"},
	{BASE "log = { level = \"info\xe2\x80\x9d; };", "f:3: this string has no end: a quote (\") is missing; curly "
							"quotes are not quotes here, type straight ones\n"},
	{BASE "log = { level = 'info'; };", "f:3: a single quote (') begins no string here: use double ones (\")\n"},
	{BASE "log = \xff;", "f:3: a byte that is not ASCII (byte ff): only strings and comments may hold it\n"},
	{"# x\n[outside]\ninterface = eth0\n",
	 "f:2: \"[outside]\" is a section of an ini file: write a group, as in outside = { interface = \"eth0\"; };\n"},
	{"table ip nat {\n\tchain postrouting {\n",
	 "f:1: this is the language of nft(8): natd.conf(5) has groups and keys, as in outside = { interface = "
	 "\"eth0\"; };\n"},
};

START_TEST(test_fault_49_foreign_bytes_and_languages_are_named)
{
	ck_assert_ptr_null(load(foreign[_i].text));
	ck_assert_str_eq(problems(), foreign[_i].want);
}
END_TEST

START_TEST(test_fault_49_any_text_may_stand_in_strings_and_comments)
{
	config_free(load_good("# na\xc3\xafve \xe2\x80\x9cquotes\xe2\x80\x9d\n" BASE "/* \xc2\xa0 [x] */"));
	ck_assert_str_eq(problems(), "");
}
END_TEST

START_TEST(test_fault_49_a_forward_to_a_broadcast_address_is_a_warning)
{
	config_free(load_good("outside = { interface = \"eth0\"; };\n"
			      "inside = { prefixes = [ \"10.8.0.0/24\", \"10.9.0.0/31\" ]; };\n"
			      "forwards = ( { name = \"a\"; protocol = \"udp\"; port = 9; to = \"10.8.0.255\"; },\n"
			      "{ name = \"b\"; protocol = \"udp\"; port = 10; to = \"10.8.0.0\"; },\n"
			      "{ name = \"c\"; protocol = \"udp\"; port = 11; to = \"10.9.0.1\"; } );"));
	ck_assert_str_eq(problems(),
			 "f:3: warning: forward \"a\" leads to 10.8.0.255, the broadcast address of "
			 "10.8.0.0/24: name the address of one host\n"
			 "f:4: warning: forward \"b\" leads to 10.8.0.0, the network address of 10.8.0.0/24: "
			 "name the address of one host\n");
}
END_TEST

START_TEST(test_overlapping_addresses_are_found_as_by_comparing_all)
{
	char text[2048];

	for (int round = 0; round < 400; round++) {
		unsigned first[6], last[6], count = 1 + unit_below(6);
		bool overlap = false;
		size_t n = (size_t)snprintf(text, sizeof(text),
					    "inside = { interfaces = \"wg0\"; };\noutside = { interface = "
					    "\"eth0\"; addresses = [ ");

		for (unsigned i = 0; i < count; i++) {
			first[i] = unit_below(100);
			last[i] = first[i] + unit_below(12);
			for (unsigned j = 0; j < i; j++)
				overlap |= first[i] <= last[j] && first[j] <= last[i];
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\"192.0.2.%u-192.0.2.%u\"", i ? ", " : "",
					      first[i], last[i]);
		}
		snprintf(text + n, sizeof(text) - n, " ]; };");
		config_free(load(text));
		ck_assert_msg((report.n_errors > 0) == overlap, "%s\n%s", text, problems());
		config_report_fini(&report);
	}
}
END_TEST

START_TEST(test_thousands_of_forwards_load_at_once)
{
	enum { MANY = 20000, ROOM = MANY * 100 };
	char *text = malloc(ROOM);
	size_t n;
	struct natd_config *c;

	ck_assert_ptr_nonnull(text);
	n = (size_t)snprintf(text, ROOM, BASE "forwards = (\n");
	for (unsigned i = 0; i < MANY; i++)
		n += (size_t)snprintf(text + n, ROOM - n, "{ protocol = \"tcp\"; port = %u; to = \"10.8.%u.%u\"; }%s\n",
				      i + 1, i >> 8, i & 255, i + 1 < MANY ? "," : ");");
	c = load_good(text);
	ck_assert_uint_eq(c->n_forwards, MANY);
	ck_assert_str_eq(c->forwards[MANY - 1].name, "forward-20000");
	config_free(c);
	free(text);
}
END_TEST

static Suite *suite_config(void)
{
	Suite *s = suite_create("config");
	TCase *t = tcase_create("config");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_each_fault_is_told_with_its_line, 0, LEN(bad));
	tcase_add_loop_test(t, test_each_fault_of_addresses_is_told_with_its_line, 0, LEN(bad_addresses));
	tcase_add_loop_test(t, test_4787_5_what_is_doubtful_is_a_warning, 0, LEN(doubtful));
	tcase_add_test(t, test_fault_49_a_forward_hidden_in_part_is_no_error);
	tcase_add_loop_test(t, test_fault_49_foreign_bytes_and_languages_are_named, 0, LEN(foreign));
	tcase_add_test(t, test_fault_49_any_text_may_stand_in_strings_and_comments);
	tcase_add_test(t, test_fault_49_a_forward_to_a_broadcast_address_is_a_warning);
	tcase_add_test(t, test_all_faults_of_a_file_are_told_in_one_run);
	tcase_add_test(t, test_problems_beyond_the_limit_are_counted);
	tcase_add_test(t, test_bytes_of_the_file_reach_no_terminal);
	tcase_add_test(t, test_nul_byte_is_refused);
	tcase_add_test(t, test_unreadable_file_is_told_with_path_and_reason);
	tcase_add_test(t, test_file_that_everybody_may_write_is_a_warning);
	tcase_add_test(t, test_file_larger_than_a_read_is_whole);
	tcase_add_loop_test(t, test_shipped_file_loads_without_a_word, 0, LEN(shipped));
	tcase_add_test(t, test_example_names_every_key_at_its_default);
	tcase_add_test(t, test_manual_page_names_every_key_with_its_default);
	tcase_add_loop_test(t, test_fuzzer_has_every_key, 0, LEN(for_the_fuzzer));
	tcase_add_loop_test(t, test_allocation_in_one_line, 0, 4);
	tcase_add_test(t, test_classes);
	tcase_add_test(t, test_defaults);
	tcase_add_test(t, test_every_key_reaches_its_field);
	tcase_add_test(t, test_every_number_word_and_truth_value_goes_round);
	tcase_add_test(t, test_backends_weights_and_choice_are_read);
	tcase_add_test(t, test_rules_and_sets_are_read_whatever_their_order);
	tcase_add_test(t, test_a_rule_that_never_decides_is_warned_of);
	tcase_add_test(t, test_a_forward_of_every_address_leaves_virtual_ones);
	tcase_add_test(t, test_a_rule_that_can_match_nothing_is_warned_of);
	tcase_add_test(t, test_a_rule_cannot_name_a_forward_made_at_run_time);
	tcase_add_test(t, test_a_set_is_a_regular_file_below_the_directory);
	tcase_add_test(t, test_a_set_is_read_from_a_file);
	tcase_add_test(t, test_a_bad_line_of_a_set_is_named);
	tcase_add_test(t, test_words_of_reserve);
	tcase_add_test(t, test_words_of_mss_clamp);
	tcase_add_test(t, test_shared_ports_end_where_the_kernels_rules_do);
	tcase_add_test(t, test_last_port_that_a_range_may_lead_to);
	tcase_add_test(t, test_hidden_forwards_are_found_as_by_comparing_all);
	tcase_add_test(t, test_overlapping_addresses_are_found_as_by_comparing_all);
	tcase_add_test(t, test_thousands_of_forwards_load_at_once);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return unit_main(suite_config);
}
