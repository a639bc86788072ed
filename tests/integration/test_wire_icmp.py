# SPDX-License-Identifier: ISC
"""What the RFCs ask of ICMP, on the wire (see wirelab.py and wirekit.py): errors that pass, and those that do not."""
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.packet import Raw

from wirekit import error_about, gateways, gw, lab, on_the_wire, only, quote_of  # noqa: F401
from wirelab import INSIDE_ROUTER, MIDDLE, S1, built, checksum


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
    total = checksum(icmp)
    icmp[2:4] = total.to_bytes(2, "big")
    error = only(gw.from_outside(IP(src=MIDDLE, dst=gw.external, proto=1) / Raw(bytes(icmp))).inside)
    assert error.dst == host
    assert bytes(error).endswith(extension) and len(bytes(error)) == 20 + len(icmp)


@on_the_wire("CVE-2019-5598")
def test_5508_4_error_to_another_than_the_quoted_source(gw):
    _, out = flow(gw, gw.hosts(), "udp")
    inner = bytearray(bytes(out)[:28])
    assert not gw.from_outside(error_about(out, 3, MIDDLE, "203.0.113.77", code=1)).inside
    inner[12:16] = bytes([203, 0, 113, 77])
    inner[10:12] = b"\0\0"
    inner[10:12] = checksum(inner[:20]).to_bytes(2, "big")
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
