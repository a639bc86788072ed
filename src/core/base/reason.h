/* SPDX-License-Identifier: ISC */
/*
 * The reasons why packets are dropped, and the core's other counters.
 *
 * One list gives each counter its enum value, its name in `natctl stats` and in logs, and the line that explains it
 * (and its remedy) in natctl(8). Each packet that natd does not forward is counted under exactly one DROP_ reason. Add
 * rows, never rename one: scripts read the names.
 */
#ifndef NATD_CORE_REASON_H
#define NATD_CORE_REASON_H

/* clang-format off */
#define NAT_REASON_LIST(X)                                                                                        \
	/* malformed */                                                                                           \
	X(DROP_SHORT,             "drop_short",             "fewer bytes than the IP header says")                \
	X(DROP_IP_HEADER,         "drop_ip_header",         "not IPv4, or header length or total length impossible") \
	X(DROP_IP_CHECKSUM,       "drop_ip_checksum",       "wrong IP header checksum")                           \
	X(DROP_IP_OPTIONS,        "drop_ip_options",        "malformed IP options")                               \
	X(DROP_SOURCE_ROUTE,      "drop_source_route",      "loose or strict source route option")                \
	X(DROP_L4_HEADER,         "drop_l4_header",         "TCP, UDP or ICMP header truncated or impossible")    \
	X(DROP_TCP_FLAGS,         "drop_tcp_flags",         "impossible TCP flags (none of SYN, ACK, FIN, RST; two of SYN, FIN, RST)") \
	X(DROP_ICMP_CHECKSUM,     "drop_icmp_checksum",     "wrong checksum of an ICMP error (RFC 5508 REQ-3)")   \
	/* never forwarded */                                                                                     \
	X(DROP_MARTIAN_SOURCE,    "drop_martian_source",    "source address that no host may use (0/8, 127/8, 224/3, broadcast)") \
	X(DROP_MARTIAN_DESTINATION, "drop_martian_destination", "destination that cannot be routed (0/8, 127/8, 169.254/16, 240/4)") \
	X(DROP_MULTICAST,         "drop_multicast",         "multicast destination")                              \
	X(DROP_BROADCAST,         "drop_broadcast",         "broadcast destination")                              \
	X(DROP_LAND,              "drop_land",              "source equals destination")                          \
	X(DROP_INSIDE_SOURCE,     "drop_inside_source",     "source outside inside.prefixes: add the prefix if it is yours") \
	X(DROP_INSIDE_DESTINATION, "drop_inside_destination", "addressed from outside straight to an inside prefix") \
	X(DROP_SPOOFED_EXTERNAL,  "drop_spoofed_external",  "carries one of natd's own outside addresses as source") \
	/* no session, and none may be opened */                                                                    \
	X(DROP_UNSOLICITED,       "drop_unsolicited",       "from outside to a port that nothing is mapped to")   \
	X(DROP_UNSOLICITED_SYN,   "drop_unsolicited_syn",   "unsolicited TCP SYN from outside (RFC 5382 REQ-4)") \
	X(DROP_FILTERED,          "drop_filtered",          "from outside to a mapping whose filtering refuses this sender") \
	X(DROP_FORWARD_SOURCE,    "drop_forward_source",    "to a forward whose `from` does not list this sender") \
	X(DROP_BACKENDS_DOWN,     "drop_backends_down",     "to a forward none of whose backends takes connections: see natctl forwards") \
	X(DROP_TCP_NO_SESSION,    "drop_tcp_no_session",    "TCP segment other than SYN that belongs to no session") \
	X(DROP_ICMP_NO_SESSION,   "drop_icmp_no_session",   "ICMP error or reply that belongs to no session")     \
	X(DROP_UNANSWERED_BUDGET, "drop_embryo_budget",     "the budget for unanswered sessions is used up: see limits") \
	/* TCP */                                                                                                 \
	X(DROP_TCP_WINDOW,        "drop_tcp_window",        "SYN, FIN or ACK outside the window: forged or very late") \
	X(DROP_TCP_RST,           "drop_tcp_rst",           "RST outside the window: forged or very late (RFC 5961)") \
	X(DROP_TCP_STATE,         "drop_tcp_state",         "segment that cannot occur in the session's state")   \
	/* ICMP errors */                                                                                         \
	X(DROP_ICMP_TYPE,         "drop_icmp_type",         "ICMP type that a NAT does not translate")            \
	X(DROP_ICMP_QUOTE,        "drop_icmp_quote",        "quoted packet missing, truncated or itself an ICMP error") \
	X(DROP_ICMP_QUOTE_CHECKSUM, "drop_icmp_quote_checksum", "wrong IP header checksum in the quoted packet")  \
	X(DROP_ICMP_QUOTE_ADDRESS, "drop_icmp_quote_address", "outer destination differs from the quoted source (CVE-2019-5598)") \
	X(DROP_ICMP_QUOTE_SEQUENCE, "drop_icmp_quote_sequence", "quoted TCP sequence number was never sent: forged") \
	X(DROP_ICMP_SOURCE, "drop_icmp_source", "port or protocol unreachable about a session of another inside host") \
	X(DROP_ICMP_MTU,          "drop_icmp_mtu",          "fragmentation needed with an MTU below 68")          \
	X(DROP_ICMP_RATE,         "drop_icmp_rate",         "more than 100 ICMP errors a second about one session (RFC 5508 10)") \
	/* fragments */                                                                                           \
	X(DROP_FRAGMENT_TINY,     "drop_fragment_tiny",     "first fragment without a whole transport header, empty one, or TCP at offset 8 (RFC 3128)") \
	X(DROP_FRAGMENT_OVERLAP,  "drop_fragment_overlap",  "fragments overlap, or two differ: the datagram is dropped") \
	X(DROP_FRAGMENT_DUPLICATE, "drop_fragment_duplicate", "repeats a fragment of its datagram that came before, which goes on") \
	X(DROP_FRAGMENT_ALIGN,    "drop_fragment_align",    "fragment with more to follow and a length not divisible by 8") \
	X(DROP_FRAGMENT_OVERSIZE, "drop_fragment_oversize", "fragments of a datagram beyond 65535 bytes")         \
	X(DROP_FRAGMENT_FULL,     "drop_fragment_full",     "no room for fragments: see limits.fragments; or a datagram in too many pieces") \
	X(DROP_FRAGMENT_QUOTA,    "drop_fragment_quota",    "this source holds its share of the fragment memory") \
	X(DROP_FRAGMENT_TIMEOUT,  "drop_fragment_timeout",  "held fragment whose first one never came")           \
	X(DROP_FRAGMENT_REFUSED,  "drop_fragment_refused",  "later fragment of a datagram that was dropped")      \
	/* resources */                                                                                           \
	X(DROP_NO_ADDRESS,        "drop_no_address",        "no outside address: has the interface lost its own?") \
	X(DROP_NO_PORT,           "drop_no_port",           "no free outside port: widen outside.ports or add addresses") \
	X(DROP_SESSIONS_FULL,     "drop_sessions_full",     "limits.sessions reached")                            \
	X(DROP_HOST_SESSIONS,     "drop_host_sessions",     "limits.sessions_per_host reached by this inside host") \
	X(DROP_HOST_PORTS,        "drop_host_ports",        "limits.ports_per_host reached by this inside host")  \
	X(DROP_HOST_BLOCKS,       "drop_host_blocks",       "this inside host has used up its blocks of ports: see blocks.per_host, blocks.overflow") \
	X(DROP_HOST_SHARE,        "drop_host_share",        "this inside host holds more than what is left: limits.reserve is for the others") \
	X(DROP_HOST_RATE,         "drop_host_rate",         "limits.new_sessions_per_host reached by this inside host") \
	X(DROP_TABLE,             "drop_table",             "the table has no room for the entry, or could not tell it from another one") \
	/* policy */                                                                                              \
	X(DROP_RULE,              "drop_rule",              "a filter rule with action \"drop\": see natctl rules")  \
	X(DROP_RULE_REJECT,       "drop_rule_reject",       "a filter rule with action \"reject\": see natctl rules") \
	X(DROP_HAIRPIN_OFF,       "drop_hairpin_off",       "inside to an outside address of natd, and hairpinning is off") \
	X(DROP_HAIRPIN_LOOP,      "drop_hairpin_loop",      "to a forward that leads to an outside address of natd, or hairpinned without ports to the address that it leaves from") \
	X(DROP_OTHER_PROTOCOL,    "drop_other_protocol",    "neither TCP, UDP nor ICMP, and other_protocols is \"drop\"") \
	X(DROP_OTHER_BUSY,        "drop_other_busy",        "another inside host already speaks this protocol with that remote address") \
	X(DROP_EXEMPT,            "drop_exempt",            "to an exempt destination: routing must not hand it to natd; or a new session from one, whose answers would leave untranslated") \
	/* a router's duties */                                                                                   \
	X(DROP_TTL,               "drop_ttl",               "time to live used up")                               \
	X(DROP_TOO_BIG,           "drop_too_big",           "larger than the way out and must not be fragmented") \
	/* not drops */                                                                                           \
	X(COUNT_OUT_PACKETS,      "out_packets",            "packets translated and sent outside")                \
	X(COUNT_OUT_BYTES,        "out_bytes",              "bytes in them")                                      \
	X(COUNT_IN_PACKETS,       "in_packets",             "packets translated and sent inside")                 \
	X(COUNT_IN_BYTES,         "in_bytes",               "bytes in them")                                      \
	X(COUNT_HAIRPIN,          "hairpin_packets",        "packets from inside to inside by way of an outside address") \
	X(COUNT_TO_HOST,          "host_packets",           "packets handed to the host itself")                  \
	X(COUNT_SESSION_NEW,      "sessions_opened",        "sessions made")                                      \
	X(COUNT_SESSION_EXPIRED,  "sessions_expired",       "sessions that ended by timeout")                     \
	X(COUNT_SESSION_DELETED,  "sessions_deleted",       "sessions ended by natctl, reload or a lost address") \
	X(COUNT_MAPPING_NEW,      "mappings_opened",        "mappings made")                                      \
	X(COUNT_MAPPING_FREED,    "mappings_freed",         "mappings whose last session ended")                  \
	X(COUNT_BLOCK_NEW,        "blocks_given",           "blocks of ports given to inside hosts")              \
	X(COUNT_BLOCK_FREED,      "blocks_freed",           "blocks of ports that came back")                     \
	X(COUNT_PORT_RECYCLED,    "ports_recycled",         "ports taken out of quarantine early because none was free") \
	X(COUNT_EARLY_SWEEP,      "early_sweeps",           "looks for expired entries before something was refused for want of room") \
	X(COUNT_ICMP_SENT,        "icmp_sent",              "ICMP errors that natd sent itself")                  \
	X(COUNT_RESET_SENT,       "resets_sent",            "TCP resets that natd sent itself")                   \
	X(COUNT_RESET_LEFT_OUT,   "resets_left_out",        "TCP resets about a lost outside address, not sent for want of memory") \
	X(COUNT_ICMP_LIMITED,     "icmp_limited",           "ICMP errors not sent because of the rate limit")     \
	X(COUNT_ICMP_TRANSLATED,  "icmp_errors",            "ICMP errors translated and passed on")               \
	X(COUNT_FRAGMENT_HELD,    "fragments_held",         "fragments held until their first one came")          \
	X(COUNT_FRAGMENTED,       "fragmented",             "datagrams cut for a smaller MTU")                    \
	X(COUNT_MSS_CLAMPED,      "mss_clamped",            "TCP MSS options lowered")                            \
	X(COUNT_TCP_REVIVED,      "tcp_revived",            "sessions that went on after an RST (RFC 7857 2.2)")  \
	X(COUNT_TCP_LIBERAL,      "tcp_out_of_window",      "TCP data outside the tracked window, translated all the same") \
	X(COUNT_PROBE_LONG,       "index_long_probes",      "look-ups that needed more than two buckets")
/* clang-format on */

enum nat_reason {
	NAT_PASS = 0, /* not a drop */
#define X(id, name, help) id,
	NAT_REASON_LIST(X)
#undef X
		NAT_REASON_COUNT
};

/* Name of a counter as natctl prints it, and its explanation; "pass" and "" for NAT_PASS. Never NULL for 0 <= r <
 * NAT_REASON_COUNT. */
const char *nat_reason_name(enum nat_reason r);
const char *nat_reason_help(enum nat_reason r);

#endif
