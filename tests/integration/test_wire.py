# SPDX-License-Identifier: ISC
"""What the RFCs ask for, on the wire: fake hosts at both ends, and natd between them (see wirelab.py).

The same tests run against nft masquerade where NATD_WIRE_KINDS names it ("natd,pool,nft"): its verdicts are
recorded beside natd's in the file that NATD_WIRE_RESULTS names, and never fail. A test's name carries the ids of
docs/requirements.tsv that it shows; what no RFC numbers is named in @on_the_wire("..."): L1-L10 are the
habits of masquerade that natd must not share.
"""
import functools
import inspect
import json
import os
import sys

import pytest
from scapy.layers.inet import (ICMP, IP, TCP, UDP, IPOption_LSRR, IPOption_RR, fragment)
from scapy.packet import Raw

from wirelab import (CANARY_IN, FORWARD_PORT, FORWARD_TO, FORWARD_TO_PORT, GATEWAY_INSIDE, INSIDE_ROUTER, MIDDLE, ROUTER, S1, S2, S3, Gateway,
                     built, headers_are_valid)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import compliance  # noqa: E402

KINDS = os.environ.get("NATD_WIRE_KINDS", "natd,pool").split(",")
RESULTS = os.environ.get("NATD_WIRE_RESULTS")
REQUIREMENTS = {row[0] for row in compliance.rows()}
_results = {}


@pytest.fixture(scope="module")
def gateways():
    made = {}
    yield made
    for gateway in made.values():
        gateway.close()
    if RESULTS:
        with open(RESULTS, "w", encoding="utf-8") as out:
            json.dump(_results, out, indent=1, sort_keys=True)
            out.write("\n")


@pytest.fixture
def lab():
    """Only so that conftest skips where there can be no namespaces."""


@pytest.fixture
def gw(request, gateways, lab):
    if request.param not in gateways:
        gateways[request.param] = Gateway(request.param)
    return gateways[request.param]


def _record(kind, ids, passed):
    """One failure is a failure of the requirement; ids that the table of requirements does not have are parts of others."""
    column = "nft" if kind == "nft" else "natd"
    for rid in ids:
        row = _results.setdefault(rid, {})
        row[column] = "pass" if passed and row.get(column) != "FAIL" else "FAIL"


def on_the_wire(*extra, kinds=("natd", "pool", "nft"), **setup):
    """Runs the test with a gateway of each kind, set up so. What the comparison fails is recorded, not failed; what it
    has no setting for, it is not asked (`kinds`)."""
    def decorate(test):
        ids = compliance.ids_in(test.__name__) & REQUIREMENTS | set(extra)

        @functools.wraps(test)
        def run(gw, **more):
            gw.set_up(**setup)
            try:
                test(gw, **more)
            except AssertionError as error:
                _record(gw.kind, ids, False)
                if gw.kind != "nft":
                    raise
                pytest.skip("nft fails: " + str(error).replace("\n", " ")[:100])
            _record(gw.kind, ids, True)
        run.__signature__ = inspect.signature(test)
        return pytest.mark.parametrize("gw", [kind for kind in KINDS if kind in kinds], indirect=True)(run)
    return decorate


def quote_of(error):
    """The packet that an ICMP error quotes."""
    return IP(bytes(error[ICMP].payload))


def error_about(packet, kind, source, to, *, length=28, code=0, extension=b"", **fields):
    quote = bytes(packet)[:length]
    return IP(src=source, dst=to) / ICMP(type=kind, code=code, **fields) / (quote + extension)


def only(packets):
    assert len(packets) == 1, packets
    assert headers_are_valid(packets[0]), packets[0].show(dump=True)
    return packets[0]


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
    gw.udp(a)
    port_b = gw.udp(b)
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
    _record(gw.kind, ids.split(), passed)
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


# ---- ICMP errors that pass ----

def flow(gw, host, what):
    """A packet of a new flow, as its inside host sent it and as it came out."""
    transport = {"udp": UDP(sport=5000, dport=7) / (b"x" * 64), "udp0": UDP(sport=5000, dport=7, chksum=0) / (b"x" * 64),
                 "echo": ICMP(type=8, id=5000, seq=1) / (b"x" * 64)}
    if what == "tcp":
        connection = gw.tcp(host)
        sent = built(connection.segment(0, "PA", b"y" * 64))
    else:
        sent = built(IP(src=host, dst=S1, id=7) / transport[what])
    return sent, gw.open(sent)


def same_but_id(one, other):
    """Quotes may show another IP id, and so another header checksum, hop limit, than what was sent."""
    a, b = bytearray(bytes(one)), bytearray(bytes(other))
    for packet in (a, b):
        for at in (4, 5, 8, 10, 11):
            packet[at] = 0
    length = min(len(a), len(b))
    return a[:length] == b[:length]


ERRORS = [(3, 1), (3, 3), (3, 4), (11, 0), (12, 0)]


@pytest.mark.parametrize("length", [28, 92])
@pytest.mark.parametrize("what", ["udp", "udp0", "tcp", "echo"])
@on_the_wire()
def test_5508_4_4787_12a_12b_5382_9_error_from_a_router_outside(gw, what, length):
    host = gw.hosts()
    sent, out = flow(gw, host, what)
    for kind, code in ERRORS:
        seen = gw.from_outside(error_about(out, kind, MIDDLE, gw.external, length=length, code=code, nexthopmtu=1400
                                           if (kind, code) == (3, 4) else 0))
        error = only(seen.inside)
        assert (error.src, error.dst, error[ICMP].type, error[ICMP].code) == (MIDDLE, host, kind, code)
        assert same_but_id(bytes(quote_of(error)), bytes(sent)[:length])


@pytest.mark.parametrize("what", ["udp", "tcp", "echo"])
@pytest.mark.parametrize("who", ["host", "router"])
@on_the_wire()
def test_5508_5_error_from_inside(gw, what, who):
    """About an inbound packet, by the host itself or a router before it: comes from the external address."""
    host = gw.hosts()
    sent, out = flow(gw, host, what)
    reply = IP(src=S1, dst=gw.external)
    if what == "udp":
        reply /= UDP(sport=7, dport=out[UDP].sport) / (b"z" * 40)
    elif what == "echo":
        reply /= ICMP(type=0, id=out[ICMP].id, seq=1) / (b"x" * 64)
    else:
        reply /= TCP(sport=80, dport=out[TCP].sport, seq=2000001, ack=out[TCP].seq, flags="PA", window=8192) / (b"z" * 40)
    reply = built(reply)
    got = only(gw.from_outside(reply).inside)
    source = host if who == "host" else INSIDE_ROUTER
    error = only(gw.from_inside(error_about(got, 3, source, S1, code=3 if who == "host" else 1)).outside)
    assert (error.src, error.dst) == (gw.external, S1)
    assert same_but_id(bytes(quote_of(error)), bytes(reply)[:28])
    del sent


@on_the_wire("L8")
def test_5508_3_3a_error_with_a_wrong_checksum_is_dropped(gw):
    _, out = flow(gw, gw.hosts(), "udp")
    good = bytearray(bytes(error_about(out, 3, MIDDLE, gw.external, code=1)))
    outer = bytearray(good)
    outer[22] ^= 0xFF
    assert not gw.from_outside(bytes(outer)).inside
    quote = bytearray(bytes(out)[:28])
    quote[10] ^= 0xFF
    assert not gw.from_outside(IP(src=MIDDLE, dst=gw.external) / ICMP(type=3, code=1) / bytes(quote)).inside
    assert gw.from_outside(bytes(good)).inside


@on_the_wire()
def test_5508_3b_options_in_the_quoted_header(gw):
    host = gw.hosts()
    port = gw.udp(host)
    for words in (1, 5, 10):
        quote = built(IP(src=gw.external, dst=S1, options=[IPOption_RR(length=4 * words - 1, pointer=4,
                                                                       routers=["0.0.0.0"] * (words - 1))]
                         if words > 1 else b"\1\1\1\0") / UDP(sport=port, dport=7, len=20))
        error = only(gw.from_outside(IP(src=MIDDLE, dst=gw.external) / ICMP(type=3, code=1) /
                                     bytes(quote)[:quote.ihl * 4 + 8]).inside)
        assert error.dst == host and quote_of(error)[UDP].sport == 5000


@on_the_wire()
def test_5508_3c_quoted_transport_checksum_is_not_judged(gw):
    host = gw.hosts()
    _, out = flow(gw, host, "udp")
    quote = bytearray(bytes(out))
    quote[26] ^= 0x55
    assert gw.from_outside(IP(src=MIDDLE, dst=gw.external) / ICMP(type=3, code=1) / bytes(quote)).inside


@on_the_wire()
def test_5508_3d_extension_of_an_error_is_kept(gw):
    """RFC 4884: 128 bytes of quote, then an MPLS label stack."""
    host = gw.hosts()
    _, out = flow(gw, host, "udp")
    quote = bytes(out).ljust(128, b"\0")
    extension = b"\x20\x00\x00\x00" + b"\x00\x08\x01\x01" + b"\x12\x34\x51\x40"
    icmp = bytearray(b"\x0b\x00\x00\x00" + b"\x00\x20\x00\x00") + quote + extension
    total = checksum_of(icmp)
    icmp[2:4] = total.to_bytes(2, "big")
    error = only(gw.from_outside(IP(src=MIDDLE, dst=gw.external, proto=1) / Raw(bytes(icmp))).inside)
    assert error.dst == host
    assert bytes(error).endswith(extension) and len(bytes(error)) == 20 + len(icmp)


def checksum_of(data):
    from wirelab import checksum
    return checksum(bytes(data))


@on_the_wire("CVE-2019-5598")
def test_5508_4_error_to_another_than_the_quoted_source(gw):
    _, out = flow(gw, gw.hosts(), "udp")
    inner = bytearray(bytes(out)[:28])
    assert not gw.from_outside(error_about(out, 3, MIDDLE, "203.0.113.77", code=1)).inside
    inner[12:16] = bytes([203, 0, 113, 77])
    inner[10:12] = b"\0\0"
    inner[10:12] = checksum_of(inner[:20]).to_bytes(2, "big")
    assert not gw.from_outside(IP(src=MIDDLE, dst=gw.external) / ICMP(type=3, code=1) / bytes(inner)).inside


@on_the_wire()
def test_5508_4_error_without_a_session_is_dropped(gw):
    quote = built(IP(src=gw.external, dst=S1) / UDP(sport=23456, dport=7) / b"never sent")
    seen = gw.from_outside(error_about(quote, 3, MIDDLE, gw.external, code=3))
    assert not seen.inside and not seen.outside


@on_the_wire("C2-4")
def test_forged_fragmentation_needed_with_an_unsent_sequence_number(gw):
    connection = gw.tcp(gw.hosts())
    for ahead in (1 << 30, -(1 << 30)):
        forged = built(IP(src=gw.external, dst=S1) / TCP(sport=connection.port, dport=80,
                                                        seq=(connection.inside_seq + ahead) % 2**32, flags="A"))
        assert not gw.from_outside(error_about(forged, 3, MIDDLE, gw.external, code=4, nexthopmtu=576)).inside
    assert connection.alive()


@on_the_wire()
def test_4787_12_5382_10_no_error_ends_a_mapping(gw):
    host = gw.hosts()
    _, out = flow(gw, host, "udp")
    connection = gw.tcp(host, 6000)
    tcp_out = gw.open(connection.segment(0, "PA", b"y" * 64))
    connection.inside_seq += 64
    for kind, code in [(3, c) for c in range(16)] + [(11, 0), (11, 1), (12, 0), (4, 0), (5, 1)]:
        gw.from_outside(error_about(out, kind, MIDDLE, gw.external, code=code),
                        error_about(tcp_out, kind, MIDDLE, gw.external, code=code))
    assert only(gw.from_outside(IP(src=S1, dst=gw.external) / UDP(sport=7, dport=out[UDP].sport) / b"on").inside).dst == host
    assert gw.udp(host) == out[UDP].sport
    assert connection.alive()


@on_the_wire()
def test_5508_1_reply_goes_to_who_asked(gw):
    a, b = gw.hosts(2)
    idents = {host: gw.echo(host, 42) for host in (a, b)}
    for host, ident in idents.items():
        got = only(gw.from_outside(IP(src=S1, dst=gw.external) / ICMP(type=0, id=ident, seq=1) / b"ping").inside)
        assert (got.dst, got[ICMP].id, bytes(got[ICMP].payload)) == (host, 42, b"ping")


# ---- fragments ----

def payload(length, seed):
    return bytes((i * 7 + i // 251 + seed) % 256 for i in range(length))


def reassembled(packets):
    """Transport bytes of each datagram among fragments, by IP id; None for one that has holes."""
    found = {}
    for packet in packets:
        found.setdefault(packet.id, []).append(packet)
    return {ident: _joined(sorted(parts, key=lambda p: p.frag)) for ident, parts in found.items()}


def _joined(parts):
    data = b""
    for part in parts:
        if part.frag * 8 != len(data):
            return None
        data += bytes(part[IP].payload)
    return None if parts[-1].flags.MF else data


def udp_fragments(source, dst, sport, dport, ident, seed, length=2000):
    return fragment(built(IP(src=source, dst=dst, id=ident) / UDP(sport=sport, dport=dport) / payload(length, seed)), 600)


@on_the_wire()
def test_4787_14_fragments_in_reverse_outbound(gw):
    host = gw.hosts()
    port = gw.udp(host)
    seen = gw.from_inside(*reversed(udp_fragments(host, S1, 5000, 7, 321, 1))).outside
    (data,) = reassembled(seen).values()
    assert all(p.src == gw.external for p in seen) and UDP(data).sport == port and data[8:] == payload(2000, 1)


@on_the_wire()
def test_4787_14_fragments_in_reverse_inbound(gw):
    host = gw.hosts()
    port = gw.udp(host)
    seen = gw.from_outside(*reversed(udp_fragments(S1, gw.external, 7, port, 322, 2))).inside
    (data,) = reassembled(seen).values()
    assert all(p.dst == host for p in seen) and UDP(data).dport == 5000 and data[8:] == payload(2000, 2)


@on_the_wire()
def test_4787_14_two_datagrams_interleaved_both_ways(gw):
    host = gw.hosts()
    port = gw.udp(host)
    for send, source, dst, ports in ((gw.from_inside, host, S1, (5000, 7)), (gw.from_outside, S1, gw.external, (7, port))):
        one, two = (udp_fragments(source, dst, *ports, 400 + i, i) for i in range(2))
        seen = send(*[p for pair in zip(reversed(one), reversed(two)) for p in pair])
        came = reassembled(seen.outside or seen.inside)
        assert sorted(d[8:] for d in came.values()) == sorted(payload(2000, i) for i in range(2))


@on_the_wire()
def test_7857_10_6864_5_3_1_same_ip_id_from_two_hosts(gw):
    a, b = gw.hosts(2)
    gw.udp(a), gw.udp(b)
    one, two = (udp_fragments(host, S1, 5000, 7, 777, i) for i, host in enumerate((a, b)))
    came = reassembled(gw.from_inside(*[p for pair in zip(one, two) for p in pair]).outside)
    assert len(came) == 2, "one id for two datagrams of one source"
    assert sorted(d[8:] for d in came.values()) == sorted(payload(2000, i) for i in range(2))


# ---- sizes ----

@on_the_wire(mtu_out=1300)
def test_4787_13_1191_4_too_big_outbound_with_df(gw):
    host = gw.hosts()
    sent = built(IP(src=host, dst=S1, flags="DF", id=9) / UDP(sport=5000, dport=7) / (b"x" * 1400))
    seen = gw.from_inside(sent)
    error = only(seen.inside)
    assert not seen.outside
    assert (error.dst, error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (host, 3, 4, 1300)
    assert bytes(quote_of(error))[:8] == bytes(sent)[:8] and bytes(quote_of(error))[12:28] == bytes(sent)[12:28]


@on_the_wire(mtu_out=1300)
def test_4787_13a_too_big_outbound_is_cut_in_order(gw):
    host = gw.hosts()
    port = gw.udp(host)
    data = payload(1400, 3)
    seen = gw.from_inside(IP(src=host, dst=S1, id=9) / UDP(sport=5000, dport=7) / data).outside
    assert [p.frag for p in seen] == sorted(p.frag for p in seen) and all(len(bytes(p)) <= 1300 for p in seen)
    (whole,) = reassembled(seen).values()
    assert UDP(whole).sport == port and whole[8:] == data


@on_the_wire(mtu_in=1280, more="tun = { mtu = 1500; };")
def test_4787_13_1191_4_too_big_inbound_with_df(gw):
    """The quote shows its sender what it sent: nothing of the inside."""
    host = gw.hosts()
    port = gw.udp(host)
    sent = built(IP(src=S1, dst=gw.external, flags="DF", id=9) / UDP(sport=7, dport=port) / (b"x" * 1400))
    seen = gw.from_outside(sent)
    error = only(seen.outside)
    assert not seen.inside
    assert (error.src, error.dst) == (gw.external, S1)
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, 1280)
    assert bytes(quote_of(error))[12:28] == bytes(sent)[12:28]


@on_the_wire(mtu_in=1280, more="tun = { mtu = 1500; };")
def test_4787_13a_too_big_inbound_is_cut(gw):
    host = gw.hosts()
    port = gw.udp(host)
    data = payload(1400, 4)
    seen = gw.from_outside(IP(src=S1, dst=gw.external, id=9) / UDP(sport=7, dport=port) / data).inside
    (whole,) = reassembled(seen).values()
    assert all(len(bytes(p)) <= 1280 for p in seen) and whole[8:] == data


# ---- hops ----

@on_the_wire()
def test_1812_5_3_1_one_hop_both_ways(gw):
    host = gw.hosts()
    out = only(gw.from_inside(IP(src=host, dst=S1, ttl=64) / UDP(sport=5000, dport=7) / b"x").outside)
    back = only(gw.from_outside(IP(src=S1, dst=gw.external, ttl=64) / UDP(sport=7, dport=out[UDP].sport) / b"x").inside)
    ident = gw.echo(host, 3)
    pong = only(gw.from_outside(IP(src=S1, dst=gw.external, ttl=64) / ICMP(type=0, id=ident, seq=1) / b"ping").inside)
    assert (out.ttl, back.ttl, pong.ttl) == (63, 63, 63)


@on_the_wire()
def test_5508_7_2_10d_ttl_ends_on_the_way_out(gw):
    host = gw.hosts()
    sent = built(IP(src=host, dst=S1, ttl=1, id=9, tos=46 << 2) / UDP(sport=5000, dport=7) / b"x")
    seen = gw.from_inside(sent)
    error = only(seen.inside)
    assert not seen.outside
    assert (error.src, error.dst, error[ICMP].type, error[ICMP].code) == (GATEWAY_INSIDE, host, 11, 0)
    assert bytes(quote_of(error))[:28] == bytes(sent)[:28]


@on_the_wire()
def test_5508_7_2_ttl_ends_on_the_way_in(gw):
    """The sender must not see an inside address."""
    host = gw.hosts()
    port = gw.udp(host)
    sent = built(IP(src=S1, dst=gw.external, ttl=1, id=9) / UDP(sport=7, dport=port) / b"x")
    seen = gw.from_outside(sent)
    error = only(seen.outside)
    assert not seen.inside
    assert (error.dst, error[ICMP].type, error[ICMP].code) == (S1, 11, 0)
    assert bytes(quote_of(error))[12:28] == bytes(sent)[12:28]


@pytest.mark.parametrize("what", ["udp", "echo", "tcp"])
@on_the_wire()
def test_5508_10a_traceroute_counts_the_gateway_as_one_hop(gw, what):
    host = gw.hosts()
    hops = []
    for ttl in (1, 2, 3):
        probe = {"udp": UDP(sport=5000 + ttl, dport=33433 + ttl), "echo": ICMP(type=8, id=70, seq=ttl),
                 "tcp": TCP(sport=5000 + ttl, dport=80, flags="S", seq=99)}[what]
        seen = gw.from_inside(IP(src=host, dst=S1, ttl=ttl) / probe)
        if seen.outside:
            source = ROUTER if seen.outside[0].ttl == 1 else S1
            kind, code = (11, 0) if source == ROUTER else (3, 3)
            seen = gw.from_outside(error_about(seen.outside[0], kind, source, gw.external, code=code))
        hops.append(only(seen.inside).src)
    assert hops == [GATEWAY_INSIDE, ROUTER, S1]


@on_the_wire()
def test_5508_10e_no_error_where_none_is_due(gw):
    """About an error, a later fragment, a multicast: nothing, though their hop limit ends here."""
    host = gw.hosts()
    gw.udp(host)
    some = built(IP(src=S1, dst=host) / UDP(sport=7, dport=5000) / b"x")
    for packet in (IP(src=host, dst=S1, ttl=1) / ICMP(type=3, code=3) / bytes(some),
                   IP(src=host, dst=S1, ttl=1, frag=100, proto=17) / Raw(b"y" * 64),
                   IP(src=host, dst="224.0.1.1", ttl=1) / UDP(sport=5000, dport=7),
                   IP(src="0.0.0.0", dst=S1, ttl=1) / UDP(sport=5000, dport=7)):
        seen = gw.from_inside(packet)
        assert not seen.inside and not seen.outside, packet.summary()


# ---- bytes ----

def transport_error(packet):
    """By how much a UDP checksum is off (one's complement difference; 0: right)."""
    data = bytes(packet)
    body = data[20:packet.len]
    return checksum_of(data[12:20] + bytes([0, 17]) + len(body).to_bytes(2, "big") + body)


@on_the_wire("C2-15")
def test_3022_4_1_wrong_checksum_stays_wrong(gw):
    """Passed with the same difference, or dropped; never repaired, never untranslated."""
    host = gw.hosts()
    port = gw.udp(host)
    sent = built(IP(src=host, dst=S1) / UDP(sport=5000, dport=7) / b"corrupt me")
    wrong = bytearray(bytes(sent))
    wrong[-1] ^= 0x40
    out = gw.from_inside(bytes(wrong)).outside
    assert all(p.src == gw.external and transport_error(p) == transport_error(IP(bytes(wrong))) != 0 for p in out)
    wrong = bytearray(bytes(IP(src=S1, dst=gw.external) / UDP(sport=7, dport=port) / b"corrupt me"))
    wrong[-1] ^= 0x40
    for p in gw.from_outside(bytes(wrong)).inside:
        assert p.dst == host and transport_error(p) == transport_error(IP(bytes(wrong))) != 0


@on_the_wire()
def test_3022_4_1_udp_without_checksum_stays_without(gw):
    host = gw.hosts()
    out = gw.open(IP(src=host, dst=S1) / UDP(sport=5000, dport=7, chksum=0) / b"none")
    assert out[UDP].chksum == 0
    back = gw.from_outside(IP(src=S1, dst=gw.external) / UDP(sport=7, dport=out[UDP].sport, chksum=0) / b"none").inside
    assert len(back) == 1 and back[0][UDP].chksum == 0


@on_the_wire()
def test_3022_4_1_checksum_that_comes_out_as_zero_is_sent_as_ones(gw):
    host = gw.hosts()
    port = gw.udp(host)
    probe = built(IP(src=gw.external, dst=S1) / UDP(sport=port, dport=7) / b"\0\0")
    fill = probe[UDP].chksum.to_bytes(2, "big")  # a payload that makes the translated sum all ones
    out = gw.open(IP(src=host, dst=S1) / UDP(sport=5000, dport=7) / fill)
    assert out[UDP].chksum == 0xFFFF


@on_the_wire("C2-13")
def test_1812_4_2_2_bytes_after_the_packet_are_not_passed_on(gw):
    host = gw.hosts()
    sent = built(IP(src=host, dst=S1) / UDP(sport=5000, dport=7) / b"short")
    out = gw.open(bytes(sent) + b"TRAILER-10.8.0.2")
    assert len(bytes(out)) == len(bytes(sent)) and headers_are_valid(out)
    ping = built(IP(src=host, dst=S1) / ICMP(type=8, id=6, seq=1) / b"abc")
    assert b"TRAILER" not in bytes(gw.open(bytes(ping) + b"TRAILER"))


@on_the_wire()
def test_1812_4_2_2_5_2_2_malformed_headers_go_nowhere(gw):
    host = gw.hosts()
    good = bytes(built(IP(src=host, dst=S1) / UDP(sport=5000, dport=7) / b"data"))
    for at, value in ((0, 0x44), (0, 0x65), (3, 0xFF), (3, 10), (10, good[10] ^ 1)):
        bad = bytearray(good)
        bad[at] = value
        if at != 10:
            bad[10:12] = b"\0\0"
            bad[10:12] = checksum_of(bad[:(bad[0] & 15) * 4 or 20]).to_bytes(2, "big")
        assert not gw.from_inside(bytes(bad)).outside, (at, value)


@on_the_wire("C2-12")
def test_5508_7_3_source_routes_go_nowhere(gw):
    host = gw.hosts()
    for transport in (UDP(sport=5000, dport=7) / b"x", ICMP(type=8, id=1, seq=1) / b"x"):
        packet = IP(src=host, dst=S1, options=[IPOption_LSRR(routers=[S2, S3])]) / transport
        assert not gw.from_inside(packet).outside
    port = gw.udp(host)
    packet = IP(src=S1, dst=gw.external, options=[IPOption_LSRR(routers=[host])]) / UDP(sport=7, dport=port)
    seen = gw.from_outside(packet)
    assert not seen.inside


@on_the_wire()
def test_1812_4_2_2_ports_are_found_behind_ip_options(gw):
    host = gw.hosts()
    packet = IP(src=host, dst=S1, options=[IPOption_RR(length=11, pointer=4, routers=["0.0.0.0"] * 2)]) / \
        UDP(sport=5000, dport=7) / b"opt"
    out = gw.from_inside(packet).outside
    assert len(out) == 1 and out[0].src == gw.external and out[0][UDP].dport == 7


# ---- addresses that go nowhere ----

@on_the_wire("C2-17", "C2-20")
def test_1812_5_3_7_martians_go_nowhere(gw):
    host = gw.hosts()
    gw.udp(host)
    udp = UDP(sport=5000, dport=7) / b"m"
    for source in ("0.1.2.3", "127.0.0.1", "224.0.0.5", "240.0.0.1", "255.255.255.255"):
        assert not gw.from_inside(IP(src=source, dst=S1) / udp).outside, source
        seen = gw.from_outside(IP(src=source, dst=gw.external) / UDP(sport=7, dport=20000))
        assert not seen.inside, source
    for dst in ("0.1.2.3", "127.0.0.1", "224.0.0.5", "239.1.1.1", "240.0.0.1", "255.255.255.255", "10.8.0.255", "203.0.113.255"):
        assert not gw.from_inside(IP(src=host, dst=dst) / udp).outside, dst


@on_the_wire("C2-16", "C2-17")
def test_1812_5_3_7_land_and_own_address_from_outside(gw):
    host = gw.hosts()
    port = gw.udp(host)
    for source in (gw.external, host):
        seen = gw.from_outside(IP(src=source, dst=gw.external) / UDP(sport=port, dport=port) / b"land")
        assert not seen.inside and not seen.outside


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
