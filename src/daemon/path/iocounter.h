/* SPDX-License-Identifier: ISC */
/*
 * The daemon's counters of its descriptors, next to the core's reasons (core/base/reason.h): each packet that could not
 * be read or sent is counted under exactly one name. Add rows, never rename one.
 */
#ifndef NATD_DAEMON_IOCOUNTER_H
#define NATD_DAEMON_IOCOUNTER_H

#include <stdint.h>

/* clang-format off */
#define IO_COUNTER_LIST(X)                                                                                    \
	X(IO_TUN_READ,           "tun_read",           "packets read from the TUN device")                        \
	X(IO_TUN_READ_SUPER,     "tun_read_super",     "super-packets (GSO) among them")                          \
	X(IO_TUN_READ_BAD,       "tun_read_bad",       "packets from the TUN device with an impossible virtio header") \
	X(IO_TUN_READ_ERROR,     "tun_read_error",     "failed reads from the TUN device")                        \
	X(IO_TUN_READ_OWN,       "tun_read_own",       "packets of this host's own programs to the outside: dropped") \
	X(IO_TUN_WRITE,          "tun_write",          "packets written to the TUN device")                       \
	X(IO_TUN_WRITE_FULL,     "tun_write_full",     "not written: the TUN device takes no more just now")      \
	X(IO_TUN_WRITE_DOWN,     "tun_write_down",     "not written: the TUN device is down or gone")             \
	X(IO_TUN_WRITE_INVALID,  "tun_write_invalid",  "not written: the kernel calls the packet invalid")        \
	X(IO_TUN_WRITE_ERROR,    "tun_write_error",    "not written: another error")                              \
	X(IO_TUN_JOINED,         "tun_joined",         "datagrams sent as parts of super-packets (USO)")          \
	X(IO_ICMP_READ,          "icmp_read",          "packets read from the ICMP socket")                       \
	X(IO_ICMP_IGNORED,       "icmp_ignored",       "of these, not to a shared address")                       \
	X(IO_ICMP_FOREIGN,       "icmp_foreign",       "of these, from inside with a source that is not inside: dropped") \
	X(IO_ICMP_READ_ERROR,    "icmp_read_error",    "failed reads from the ICMP socket")                       \
	X(IO_SEND,               "send_packets",       "packets sent by the raw socket")                          \
	X(IO_SEND_AGAIN,         "send_again",         "not sent: the socket's buffer is full (EAGAIN)")          \
	X(IO_SEND_NO_BUFFER,     "send_no_buffer",     "not sent: the device's queue is full (ENOBUFS)")          \
	X(IO_SEND_NO_MEMORY,     "send_no_memory",     "not sent: the kernel is short of memory (ENOMEM)")        \
	X(IO_SEND_TOO_BIG,       "send_too_big",       "not sent: larger than the MTU of the way")       \
	X(IO_SEND_FORBIDDEN,     "send_forbidden",     "not sent: a firewall or policy forbids it (EPERM)")       \
	X(IO_SEND_DENIED,        "send_denied",        "not sent: a route prohibits it, or to a broadcast address (EACCES)")               \
	X(IO_SEND_NET_UNREACH,   "send_net_unreach",   "not sent: the host has no route (ENETUNREACH)")           \
	X(IO_SEND_HOST_UNREACH,  "send_host_unreach",  "not sent: a route says unreachable (EHOSTUNREACH)")   \
	X(IO_SEND_DOWN,          "send_down",          "not sent: the interface is down (ENETDOWN, ENODEV, ENXIO)") \
	X(IO_SEND_INVALID,       "send_invalid",       "not sent: a blackhole route, or packet or address invalid (EINVAL)") \
	X(IO_SEND_ELSEWHERE,     "send_elsewhere",     "not sent: the way leads to another interface than the packet's side") \
	X(IO_SEND_UNRESOLVED,    "send_unresolved",    "not sent: the next hop's link address is not known yet")  \
	X(IO_SEND_ERROR,         "send_error",         "not sent: another error")                                 \
	X(IO_ERROR_REPORTED,     "errors_reported",    "ICMP errors made about packets that could not be sent")   \
	X(IO_ERROR_LIMITED,      "errors_limited",     "ICMP errors not made, since their rate is limited")       \
	X(IO_ERROR_KERNEL,       "errors_kernel",      "ICMP errors of the kernel about natd's packets, to be translated")
/* clang-format on */

enum io_counter {
#define X(id, name, help) id,
	IO_COUNTER_LIST(X)
#undef X
		IO_COUNTER_COUNT
};

/* Plain data, zero-initialised; one for each worker. */
struct io_counters {
	uint64_t value[IO_COUNTER_COUNT];
};

/* Never NULL for c < IO_COUNTER_COUNT. */
const char *io_counter_name(enum io_counter c);
const char *io_counter_help(enum io_counter c);

#endif
