# SPDX-License-Identifier: ISC
"""Packets on the wire (see wirelab.py and wirekit.py): fragments, sizes, hops, checksums, and addresses that go nowhere."""
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_LSRR, IPOption_RR, fragment
from scapy.packet import Raw

from wirekit import error_about, gateways, gw, lab, on_the_wire, only, quote_of  # noqa: F401
from wirelab import GATEWAY_INSIDE, ROUTER, S1, S2, S3, built, checksum, headers_are_valid


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
    return checksum(data[12:20] + bytes([0, 17]) + len(body).to_bytes(2, "big") + body)


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
            bad[10:12] = checksum(bad[:(bad[0] & 15) * 4 or 20]).to_bytes(2, "big")
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
