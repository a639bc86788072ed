# SPDX-License-Identifier: ISC
"""What the RFCs ask of mappings, filtering, timers and TCP, on the wire: fake hosts at both ends, and natd
between them (see wirelab.py and wirekit.py)."""
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP

from wirekit import error_about, gateways, gw, lab, on_the_wire, only, quote_of, record  # noqa: F401
from wirelab import CANARY_IN, FORWARD_PORT, FORWARD_TO, FORWARD_TO_PORT, S1, S2, S3, built, checksum


# ---- mapping ----

def collide(gw, send):
    """Two hosts, one source port, three servers: the order that makes masquerade change its mapping."""
    a, b = gw.hosts(2)
    order = [(a, S1), (b, S2), (b, S1), (b, S3), (a, S2), (a, S3), (a, S1)]
    seen = {a: set(), b: set()}
    for host, remote in order:
        seen[host].add(send(host, remote))
    assert len(seen[a]) == 1 and len(seen[b]) == 1, f"mappings change: {seen}"
    assert seen[a] != seen[b], "both hosts have one external port"


@on_the_wire("L2")
def test_4787_1_3_udp_mapping_is_endpoint_independent_under_collision(gw):
    collide(gw, lambda host, remote: gw.udp(host, 5000, remote))


@on_the_wire("L2")
def test_5382_1_7_tcp_mapping_is_endpoint_independent_under_collision(gw):
    collide(gw, lambda host, remote: gw.open(IP(src=host, dst=remote) / TCP(sport=5001, dport=80, flags="S", seq=7))[TCP].sport)


@on_the_wire()
def test_5508_1a_query_mapping_is_endpoint_independent_under_collision(gw):
    collide(gw, lambda host, remote: gw.echo(host, 42, remote))


@on_the_wire(outside='ports = [ "512-1023", "20000-30000" ];')
def test_4787_3a_port_keeps_its_class(gw):
    for port in (600, 1000, 5000, 40000):
        for host in gw.hosts(2):
            assert (gw.udp(host, port) < 1024) == (port < 1024)


@on_the_wire("C2-1", kinds=("natd", "nft"), outside='ports = [ "1000-1001" ];', nft="masquerade to :1000-1001")
def test_no_mapping_takes_the_port_of_a_host_service(gw):
    """Not even below 1024, where natd may not bind to find out, when the service is younger than natd."""
    line = next(line for proto, _, line in gw.sessions(CANARY_IN) if proto == "udp")  # has one of the two
    other = 2001 - int(line.rsplit("dport=", 1)[1].split()[0])
    with gw.namespace.udp(port=other):
        for host in gw.hosts(3):
            assert all(p[UDP].sport != other for p in gw.from_inside(IP(src=host, dst=S1) / UDP(sport=600, dport=7)).outside)


@on_the_wire()
def test_7857_5_6_a_udp_mapping_admits_no_tcp(gw):
    host = gw.hosts()
    port = gw.udp(host)
    seen = gw.from_outside(IP(src=S1, dst=gw.external) / TCP(sport=7, dport=port, flags="S"))
    assert not [p for p in seen.inside if TCP in p]


# ---- filtering ----

def reached_by(gw, port, host):
    """Which of (same endpoint, same address, other address) get a datagram in."""
    senders = {"endpoint": (S1, 7), "address": (S1, 8), "anyone": (S2, 7)}
    reached = set()
    for name, (remote, sport) in senders.items():
        seen = gw.from_outside(IP(src=remote, dst=gw.external) / UDP(sport=sport, dport=port) / name.encode())
        if any(p.dst == host and p[UDP].dport == 5000 for p in seen.inside if UDP in p):
            reached.add(name)
    return reached


@on_the_wire("L6")
def test_4787_8_filtering_is_address_dependent_by_default(gw):
    host = gw.hosts()
    assert reached_by(gw, gw.udp(host), host) == {"endpoint", "address"}


@pytest.mark.parametrize("mode, expected", [
    ("endpoint-independent", {"endpoint", "address", "anyone"}),
    ("address-dependent", {"endpoint", "address"}),
    ("address-and-port-dependent", {"endpoint"})])
@on_the_wire(kinds=("natd", "pool"))
def test_4787_8a_filtering_is_as_configured(gw, mode, expected):
    gw.set_up(more=f'translation = {{ filtering = "{mode}"; }};')
    host = gw.hosts()
    assert reached_by(gw, gw.udp(host), host) == expected


@on_the_wire(more='translation = { filtering = "endpoint-independent"; };')
def test_5382_3_filtering_of_tcp_may_be_endpoint_independent(gw):
    host = gw.hosts()
    port = gw.tcp(host).port
    seen = gw.from_outside(IP(src=S2, dst=gw.external) / TCP(sport=4321, dport=port, flags="S"))
    assert only(seen.inside).dst == host and not seen.outside


# ---- hairpin ----

@on_the_wire("L5")
def test_4787_9_9a_udp_hairpin_carries_the_external_source(gw):
    a, b = gw.hosts(2)
    port_a, port_b = gw.udp(a), gw.udp(b)
    unasked = gw.from_inside(IP(src=b, dst=gw.external) / UDP(sport=5000, dport=port_a) / b"punch").inside
    assert not [p for p in unasked if UDP in p], unasked  # filtering holds for what comes by the outside address
    got = only(gw.from_inside(IP(src=a, dst=gw.external) / UDP(sport=5000, dport=port_b) / b"over").inside)
    assert UDP in got, got
    assert (got.src, got[UDP].sport, got.dst, got[UDP].dport) == (gw.external, port_a, b, 5000)
    back = only(gw.from_inside(IP(src=b, dst=gw.external) / UDP(sport=5000, dport=port_a) / b"back").inside)
    assert (back.src, back[UDP].sport, back.dst) == (gw.external, port_b, a)


@on_the_wire("L5")
def test_5382_8_8a_tcp_hairpin_to_a_forward(gw):
    a = gw.hosts()
    syn = only(gw.from_inside(IP(src=a, dst=gw.external) / TCP(sport=5000, dport=FORWARD_PORT, flags="S", seq=9)).inside)
    assert (syn.src, syn.dst, syn[TCP].dport) == (gw.external, FORWARD_TO, FORWARD_TO_PORT)
    answer = IP(src=FORWARD_TO, dst=syn.src) / TCP(sport=FORWARD_TO_PORT, dport=syn[TCP].sport, flags="SA", seq=77, ack=10)
    got = only(gw.from_inside(answer).inside)
    assert (got.src, got[TCP].sport, got.dst, got[TCP].dport) == (gw.external, FORWARD_PORT, a, 5000)


@on_the_wire()
def test_5508_7_icmp_error_about_a_hairpinned_packet(gw):
    a, b = gw.hosts(2)
    port_a = gw.udp(a)
    port_b = gw.udp(b)
    gw.from_inside(IP(src=b, dst=gw.external) / UDP(sport=5000, dport=port_a) / b"punch")
    sent = built(IP(src=a, dst=gw.external) / UDP(sport=5000, dport=port_b) / b"over")
    got = only(gw.from_inside(sent).inside)
    assert UDP in got, got
    error = only(gw.from_inside(error_about(got, 3, b, got.src, code=3)).inside)
    quote = quote_of(error)
    assert (error.src, error.dst, error[ICMP].type) == (gw.external, a, 3)
    assert (quote.src, quote[UDP].sport, quote.dst, quote[UDP].dport) == (a, 5000, gw.external, port_b)


# ---- nothing private leaves ----

def stray(a):
    """The eight kinds of packet that masquerade lets out with their private source."""
    tcp = IP(src=a, dst=S1)
    some = built(IP(src=S1, dst=a) / UDP(sport=7, dport=9999) / b"x")
    bad_udp = IP(src=a, dst=S1) / UDP(sport=5005, dport=7, chksum=0x1234) / b"x"
    return {
        "rst": tcp / TCP(sport=6001, dport=80, flags="R", seq=1),
        "fin-ack": tcp / TCP(sport=6002, dport=80, flags="FA", seq=1, ack=1),
        "syn-ack": tcp / TCP(sport=6003, dport=80, flags="SA", seq=1, ack=1),
        "echo reply": tcp / ICMP(type=0, id=77, seq=1) / b"x",
        "icmp error": error_about(some, 3, a, S1, code=3),
        "bad udp checksum": bad_udp,
        "sctp junk": IP(src=a, dst=S1, proto=132) / b"\0\0junk",
    }


LEAKS = ["rst", "fin-ack", "syn-ack", "echo reply", "icmp error", "bad udp checksum", "sctp junk", "out of window"]


@pytest.mark.parametrize("form", LEAKS)
@on_the_wire("L1")
def test_no_private_source_leaves(gw, form):
    a = gw.hosts()
    if form == "out of window":
        connection = gw.tcp(a)
        packet = connection.segment(2000000000, "PA", b"x")
    else:
        packet = stray(a)[form]
    leaked = [p for p in gw.from_inside(packet).outside if p.src.startswith("10.") or bytes(p[IP].payload).find(
        b"\x0a\x08\x00") >= 0]
    assert not leaked


@on_the_wire("L10")
def test_spoofed_inside_source_goes_nowhere(gw):
    for source in ("10.9.9.9", "192.0.2.1", S2, gw.external):
        seen = gw.from_inside(IP(src=source, dst=S1) / UDP(sport=5000, dport=7) / b"spoof")
        assert not seen.outside, source


@on_the_wire("L9")
def test_inside_address_is_not_reached_from_outside(gw):
    host = gw.hosts()
    gw.udp(host)
    for packet in (UDP(sport=7, dport=5000) / b"direct", TCP(sport=7, dport=5000, flags="S"), ICMP(type=8, id=1)):
        seen = gw.from_outside(IP(src=S1, dst=host) / packet)
        assert not seen.inside and not seen.outside


# ---- unsolicited ----

@on_the_wire("L4")
def test_5382_4_4a_unsolicited_syn_is_not_answered(gw):
    seen = gw.from_outside(IP(src=S3, dst=gw.external) / TCP(sport=1234, dport=20001, flags="S", seq=5))
    assert not seen.inside and not seen.outside
    gw.outside.listen(2)
    seen = gw.settle()
    assert not seen.inside and not seen.outside


@on_the_wire(outside='unsolicited = "reject";', more="timeouts = { unsolicited_syn = 1; };")
def test_5382_4_rejected_syn_is_answered_once_after_its_time(gw):
    syn = built(IP(src=S3, dst=gw.external) / TCP(sport=1235, dport=20002, flags="S", seq=5))
    assert not gw.from_outside(syn, syn).outside
    gw.outside.listen(2.5)
    error = only(gw.settle().outside)
    assert (error.src, error.dst, error[ICMP].type, error[ICMP].code) == (gw.external, S3, 3, 3)
    assert bytes(quote_of(error))[12:28] == bytes(syn)[12:28]


@on_the_wire(outside='unsolicited = "reject"; ports = [ "20000-20001" ];', more="timeouts = { unsolicited_syn = 1; };",
             nft="masquerade to :20000-20001")
def test_5382_2a_4_simultaneous_open_with_the_outside_first(gw):
    """The outside SYN is forgotten in silence, and the connection comes to be."""
    a = gw.hosts()
    port = gw.open(IP(src=a, dst=S2) / TCP(sport=5000, dport=80, flags="S", seq=100))[TCP].sport
    early = IP(src=S1, dst=gw.external) / TCP(sport=80, dport=port, flags="S", seq=900)
    seen = gw.from_outside(early)
    assert not seen.inside and not seen.outside
    assert gw.open(IP(src=a, dst=S1) / TCP(sport=5000, dport=80, flags="S", seq=200))[TCP].sport == port
    assert only(gw.from_outside(early).inside)[TCP].flags == "S"
    gw.outside.listen(2)
    assert not gw.settle().outside


# ---- timers ----

TIMERS = [("udp", 240, lambda gw, h: gw.udp(h), "4787-5 4787-5c"),
          ("icmp", 50, lambda gw, h: gw.echo(h, 1), "5508-2"),
          ("tcp opening", 200, lambda gw, h: gw.open(IP(src=h, dst=S1) / TCP(sport=5000, dport=80, flags="S")),
           "5382-5 7857-2.1"),
          ("tcp established", 7400, lambda gw, h: gw.tcp(h), "5382-5")]


@pytest.mark.parametrize("which", [t[0] for t in TIMERS])
@on_the_wire("L7")
def test_timer_defaults(gw, which):
    """What the table says is left a moment after the packet; ids by timer, see TIMERS."""
    name, least, provoke, ids = next(t for t in TIMERS if t[0] == which)
    host = gw.hosts()
    provoke(gw, host)
    left = [seconds for proto, seconds, _ in gw.sessions(host) if proto == name.split()[0]]
    passed = len(left) == 1 and left[0] >= least
    record(gw.kind, ids.split(), passed)
    assert passed, left


@on_the_wire("L7")
def test_5382_5_7857_2_1_closing_timer(gw):
    connection = gw.tcp(gw.hosts())
    gw.from_inside(connection.segment(0, "FA"))
    connection.inside_seq += 1
    gw.from_outside(connection.answer(0, "FA"))
    connection.outside_seq += 1
    gw.from_inside(connection.segment(0, "A"))
    assert [s for p, s, _ in gw.sessions(connection.host) if p == "tcp"][0] >= 200


# ---- forged resets ----

@on_the_wire("C2-3")
def test_5961_3_forged_reset_outside_the_window(gw):
    connection = gw.tcp(gw.hosts())
    for ahead in (-100000, 100000, 1 << 31, -1000000000):
        assert not gw.from_outside(connection.answer(ahead, "R")).inside
    assert connection.alive()


@on_the_wire("C2-3")
def test_5961_3_forged_reset_in_the_window_shortens_nothing(gw):
    connection = gw.tcp(gw.hosts())
    gw.from_outside(connection.answer(1000, "R"))
    assert connection.state() == "ESTABLISHED" and connection.alive()


@on_the_wire()
def test_7857_2_2_exact_reset_passes_and_the_session_lingers(gw):
    connection = gw.tcp(gw.hosts())
    assert only(gw.from_outside(connection.answer(0, "R")).inside)[TCP].flags == "R"
    assert [s for p, s, _ in gw.sessions(connection.host) if p == "tcp"][0] >= 200


@on_the_wire()
def test_7857_2_2_data_after_a_reset_revives_the_session(gw):
    connection = gw.tcp(gw.hosts())
    gw.from_outside(connection.answer(0, "R"))
    assert connection.send(b"still here") and connection.receive(b"so am I")
    assert connection.state() == "ESTABLISHED"


@on_the_wire()
def test_5382_2_half_close_and_data_afterwards(gw):
    connection = gw.tcp(gw.hosts())
    assert len(gw.from_inside(connection.segment(0, "FA")).outside) == 1
    connection.inside_seq += 1
    assert connection.receive(b"more") and connection.receive(b"and more")


# ---- exhaustion ----

@on_the_wire("L3", outside='ports = [ "20000-20001" ];', nft="masquerade to :20000-20001")
def test_6888_11_5508_8_exhausted_ports_are_answered_and_nothing_is_evicted(gw):
    """Two ports: the settling flow has one, the first host the other."""
    a, b = gw.hosts(2)
    port = gw.udp(a)
    seen = gw.from_inside(IP(src=b, dst="198.51.100.250") / UDP(sport=5000, dport=9) / b"no room")
    if gw.kind == "nft":  # overlaps ports by remote: exhausted only for the same one
        for i in range(3):
            seen = gw.from_inside(IP(src=b, dst=S1) / UDP(sport=6000 + i, dport=7) / b"no room")
    error = only(seen.inside)
    assert (error.dst, error[ICMP].type) == (b, 3) and error[ICMP].code in (1, 13)
    got = only(gw.from_outside(IP(src=S1, dst=gw.external) / UDP(sport=7, dport=port) / b"alive").inside)
    assert got.dst == a


@on_the_wire(kinds=("natd", "pool"), more="limits = { ports_per_host = 5; };")
def test_6888_4_a_hosts_quota_is_its_own(gw):
    a, b = gw.hosts(2)
    for sport in range(5000, 5005):
        gw.udp(a, sport)
    seen = gw.from_inside(IP(src=a, dst=S1) / UDP(sport=5005, dport=7) / b"one too many")
    assert not seen.outside and only(seen.inside)[ICMP].code == 1
    gw.udp(b)
