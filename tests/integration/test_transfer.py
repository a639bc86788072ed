# SPDX-License-Identifier: ISC
"""Files through natd with large packets and without, over wires of every size, and what passes on these wires: nothing too
large, no wrong checksum, each flow in its order."""
import contextlib
import shutil
import socket
import struct

import pytest

from conftest import some_bytes
from netlab import Lab
from test_service import until
from transfer import both_ways, connected, in_background, send_burst, tcp_receive, tcp_send, udp_file
from wirecap import Capture, Packet, WireCapture, mss_of, offloads, plain_wire, reordered

SERVER, CLIENT, CLIENT2 = Lab.SERVERS[0], Lab.CLIENTS[0], Lab.CLIENTS[1]
BYTES = 400_000
WINDOW = 128 << 10
IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO, IP_MTU = 10, 0, 2, 14
TUN = "tun = {{ offload = {}; queues = {}; }};"

pytestmark = pytest.mark.skipif(not shutil.which("ethtool"), reason="there is no ethtool")


def segment(seq, length, flags=0x10):
    tcp = struct.pack("!HHIIBBHHH", 1, 2, seq % 2**32, 0, 5 << 4, flags, 0, 0, 0) + bytes(length)
    return Packet(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + length, 0, 0, 64, 6, 0, b"abcd", b"efgh") + tcp)


@pytest.mark.parametrize("order, late", [
    ([(0, 10), (10, 10), (20, 10)], 0), ([(0, 10), (20, 10), (10, 10)], 1), ([(0, 10), (10, 10), (0, 5), (5, 15), (20, 9)], 0),
    ([(-10, 10), (0, 10), (20, 10), (30, 10), (5, 20)], 1)])
def test_the_watch_over_order_sees_what_comes_late(order, late):
    """Repeated bytes do not count, whatever pieces they come in; nor does the number running over."""
    assert len(reordered([segment(seq, length) for seq, length in order])) == late
    assert not segment(0, 1).is_right()
    assert not reordered([segment(0, 10), segment(20, 10), segment(10, 10)], [segment(0, 30), segment(12, 2)])


@contextlib.contextmanager
def in_order(gateway):
    """Asserts behind the block that each flow left by the gateway's wires in the order in which the TUN was given it. (Before
    and behind, the kernel may move a flow to another processor and let it overtake itself.)"""
    with Capture(gateway, "natd0") as tun, Capture(gateway, "out0") as out, Capture(gateway, "lan0p0") as inside:
        yield
        _, given = tun.passed()
        for wire in (out, inside):
            _, packets = wire.passed()
            late = reordered(packets, given)
            assert given and packets and not late, f"{len(late)} of {len(packets)} came late: {late[:5]}"


class Wires:
    """The lab with two wires to look at: the gateway's to the router, and its last one to the client."""

    def __init__(self, lab, mtu_in=1500, mtu_out=1500, ends="on"):
        self.lab, self.mtu_in, self.mtu_out = lab, mtu_in, mtu_out
        self._mtus()
        plain_wire(lab.gateway, "out0")
        plain_wire(lab.gateway, "lan0p0")
        if ends != "on":
            for end in (lab.client, lab.server):
                offloads(end, "eth0", "tso", "off", "gso", "off", "tx-udp-segmentation", "off", "tx", "off", "rx", "off")
            plain_wire(lab.router, "up0")
        if ends == "merged":
            for device in ("lan0p0", "out0"):
                offloads(lab.gateway, device, "gro", "on", "rx-udp-gro-forwarding", "on")

    def _mtus(self):
        inside = [(self.lab.gateway, "lan0"), (self.lab.gateway, "lan0p0"), (self.lab.gateway, "lan0p1")]
        inside += [(c, "eth0") for c in self.lab.clients]
        outside = [(self.lab.gateway, "out0"), (self.lab.router, "up0")]
        servers = [(self.lab.router, d) for d in ("net0p0", "net0p1", "net0")] + [(s, "eth0") for s in self.lab.servers]
        for devices, mtu in ((inside, self.mtu_in), (outside, self.mtu_out), (servers, max(self.mtu_out, 1500))):
            for namespace, device in devices:
                namespace.run("ip", "link", "set", device, "mtu", mtu)

    @contextlib.contextmanager
    def watched(self):
        """Captures of both wires in the block; behind it the checks of wirecap, and order. The block may ask for what
        arrived."""
        with WireCapture(self.lab.router, "up0", self.mtu_out) as out, \
                WireCapture(self.lab.client, "eth0", self.mtu_in) as inside, in_order(self.lab.gateway):
            seen = []
            yield lambda: seen or seen.extend((out.got(), inside.got())) or seen
            assert all(seen or (out.got(), inside.got()))


def udp_pair(lab, port=9000):
    server, client = lab.server.udp(port=port), lab.client.udp()
    for s in (server, client):
        s.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    return client, server


def transfer_all(lab, size, data=None):
    """TCP both ways at once, then UDP out and back. The most datagrams that either end received by one call."""
    data = data or some_bytes(BYTES)
    with lab.server.tcp_listener(port=8000) as listener, \
            connected(lab.client, listener, (SERVER, 8000), WINDOW) as (sock, accepted):
        for sent, received in both_ways(sock, accepted, data):
            assert sent == received
    client, server = udp_pair(lab)
    with client, server:
        out, natted = udp_file(client, server, (SERVER, 9000), data, size)
        assert natted[0] == Lab.OUTSIDE
        back, source = udp_file(server, client, natted, data[::-1], size)
        assert source == (SERVER, 9000)
    return out, back


MTUS = [(1500, 1500), (9000, 9000), (9000, 1500), (1500, 9000), (1280, 1500), (1500, 1280), (1280, 9000), (9000, 1280)]
CASES = [(*mtus, "on") for mtus in MTUS]
CASES += [(*mtus, ends) for ends in ("off", "merged") for mtus in ((9000, 1500), (1500, 1280))]


@pytest.mark.parametrize("mtu_in, mtu_out, ends", CASES)
@pytest.mark.parametrize("offload", ["true", "false"])
def test_files_arrive_whole(lab, start_natd, offload, mtu_in, mtu_out, ends):
    """Super-packets come from ends that leave cutting to the device, or are put together by the gateway's own GRO."""
    wires = Wires(lab, mtu_in, mtu_out, ends)
    natd = start_natd({"more": TUN.format(offload, 1)})
    with wires.watched() as seen:
        transfer_all(lab, min(mtu_in, mtu_out) - 28)
        out, inside = seen()
    least = min(mtu_in, mtu_out) - 40
    assert max(mss_of(out)) == least and max(mss_of(inside)) == least
    counters = natd.counters()
    assert (counters["tun_read_super"] > 0) == (offload == "true" and ends != "off")
    assert not [p for p in out + inside if p.is_fragment()]


@pytest.mark.parametrize("offload, queues", [("true", 2), ("true", 3), ("false", 2)])
def test_files_arrive_whole_through_several_queues(lab, start_natd, offload, queues):
    wires = Wires(lab)
    start_natd({"more": TUN.format(offload, queues)})
    with wires.watched():
        transfer_all(lab, 1200)


@pytest.mark.parametrize("queues", [1, 2])
def test_bursts_of_datagrams_stay_together(lab, start_natd, queues):
    """UDP_SEGMENT at one end, UDP_GRO at the other: what one call sends passes as one packet, out and back."""
    natd = start_natd({"more": TUN.format("true", queues)})
    client, server = udp_pair(lab)
    with client, server:
        before = natd.counters()
        most, natted = udp_file(client, server, (SERVER, 9000), some_bytes(BYTES), 1200)
        between = natd.counters()
        most_back, _ = udp_file(server, client, natted, some_bytes(BYTES), 1200)
        after = natd.counters()
    assert most > 1 and most_back > 1
    assert between["tun_read_super"] > before["tun_read_super"]
    assert after["tun_read_super"] > between["tun_read_super"]
    assert (after["tun_joined"], after["drop_too_big"]) == (0, 0)


FORWARDS = (f'forwards = ( {{ name = "web"; protocol = [ "tcp", "udp" ]; port = 80; to = "{CLIENT2}:8080"; }} );'
            'translation = { filtering = "endpoint-independent"; };')


@pytest.mark.parametrize("offload, queues", [("true", 1), ("true", 2), ("false", 1)])
@pytest.mark.parametrize("opener", ["client", "server"])
def test_files_arrive_whole_by_a_forward(lab, start_natd, offload, queues, opener):
    """From outside, and from inside by way of the outside address (a hairpin)."""
    natd = start_natd({"more": TUN.format(offload, queues) + FORWARDS})
    opener, inside = getattr(lab, opener), lab.clients[1]
    with inside.tcp_listener(port=8080) as listener, \
            connected(opener, listener, (Lab.OUTSIDE, 80), WINDOW) as (sock, accepted):
        for sent, received in both_ways(sock, accepted, some_bytes(BYTES)):
            assert sent == received
    with opener.udp() as sock, inside.udp(port=8080) as other:
        _, seen = udp_file(sock, other, (Lab.OUTSIDE, 80), some_bytes(BYTES), 1200)
        assert seen[0] == (SERVER if opener is lab.server else Lab.OUTSIDE)
        _, source = udp_file(other, sock, seen, some_bytes(BYTES), 1200)
        assert source == (Lab.OUTSIDE, 80)
    assert (natd.counters()["tun_read_super"] > 0) == (offload == "true")


# ---- what is too large ----

@pytest.mark.parametrize("offload", ["true", "false"])
@pytest.mark.parametrize("mtu_in, mtu_out", [(1500, 1500), (9000, 1500), (1500, 1280), (1280, 9000)])
def test_fragments_of_large_datagrams(lab, start_natd, offload, mtu_in, mtu_out):
    """Cut by their sender, and again by natd for a smaller wire: they arrive whole and no piece is too large."""
    wires = Wires(lab, mtu_in, mtu_out)
    start_natd({"more": TUN.format(offload, 1)})
    client, server = udp_pair(lab)
    sizes = (mtu_in - 28, mtu_in, 4000, 20000, 60000)
    with client, server, wires.watched() as seen:
        for size in sizes:
            data = some_bytes(size)
            client.sendto(data, (SERVER, 9000))
            got, natted = server.recvfrom(65536)
            assert got == data and natted[0] == Lab.OUTSIDE
            server.sendto(data[::-1], natted)
            assert client.recv(65536) == data[::-1]
        assert all(any(p.is_fragment() for p in packets) for packets in seen())


@pytest.mark.parametrize("offload", ["true", "false"])
def test_small_mtu_behind_is_told_to_the_sender(lab, start_natd, offload):
    """Its router answers "fragmentation needed" about pieces of super-packets: that finds the one who sent them."""
    wires = Wires(lab)
    for namespace, device in ((lab.router, "net0"), (lab.router, "net0p0"), (lab.server, "eth0")):
        namespace.run("ip", "link", "set", device, "mtu", "1280")
    lab.router.run("ip", "route", "add", f"{SERVER}/32", "dev", "net0", "mtu", "1280")
    natd = start_natd({"more": TUN.format(offload, 1) + 'translation = { mss_clamp = "off"; };'})
    lab.server.run("ip", "route", "change", "default", "via", "198.51.100.1", "advmss", "1460")
    data = some_bytes(BYTES)
    with wires.watched(), lab.server.tcp_listener(port=8000) as listener, \
            connected(lab.client, listener, (SERVER, 8000), WINDOW) as (sock, accepted):
        for sent, received in both_ways(sock, accepted, data):
            assert sent == received
        assert sock.getsockopt(socket.IPPROTO_IP, IP_MTU) == 1280
    assert natd.counters()["tun_read_super"] > 0 or offload == "false"


@pytest.mark.parametrize("offload", ["true", "false"])
def test_small_mtu_behind_is_told_to_who_sends_bursts(lab, start_natd, offload):
    """Datagrams with DF, 10 in one call: QUIC learns the path's MTU too."""
    lab.router.run("ip", "route", "add", f"{SERVER}/32", "dev", "net0", "mtu", "1280")
    start_natd({"more": TUN.format(offload, 1)})
    client, server = udp_pair(lab)
    with client, server:
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        client.connect((SERVER, 9000))
        send_burst(client, [some_bytes(1400)] * 10, (SERVER, 9000))
        until(lambda: client.getsockopt(socket.IPPROTO_IP, IP_MTU) == 1280)
        client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        udp_file(client, server, (SERVER, 9000), some_bytes(BYTES), 1252)


@pytest.mark.parametrize("offload", ["true", "false"])
def test_small_mtu_inside_is_told_to_the_server(lab, start_natd, offload):
    """natd itself answers, about super-packets too."""
    Wires(lab)
    for device in ("lan0", "lan0p0"):
        lab.gateway.run("ip", "link", "set", device, "mtu", "1280")
    natd = start_natd({"more": TUN.format(offload, 1) + 'translation = { mss_clamp = "off"; };'})
    data = some_bytes(BYTES)
    with WireCapture(lab.client, "eth0", 1280) as inside, in_order(lab.gateway), \
            lab.server.tcp_listener(port=8000) as listener, connected(lab.client, listener, (SERVER, 8000), WINDOW) as (sock, accepted):
        receiving = in_background(tcp_receive, sock)
        assert tcp_send(accepted, data) == receiving.result()
        assert accepted.getsockopt(socket.IPPROTO_IP, IP_MTU) == 1280
        assert inside.got()
    assert natd.counters()["drop_too_big"] > 0


@pytest.mark.parametrize("clamp, expected", [('"auto"', 1360), ('"off"', 1460), ("1000", 1000)])
@pytest.mark.parametrize("offload", ["true", "false"])
def test_mss_as_the_wires_see_it(lab, start_natd, offload, clamp, expected):
    """In the SYN that leaves, and in the one that answers it; never raised."""
    wires = Wires(lab)
    start_natd({"more": f"tun = {{ offload = {offload}; mtu = 1400; }}; translation = {{ mss_clamp = {clamp}; }};"})
    with wires.watched() as seen, lab.server.tcp_listener(port=8000) as listener, \
            connected(lab.client, listener, (SERVER, 8000)) as (sock, accepted):
        assert {mss for packets in seen() for mss in mss_of(packets)} == {expected}
        accepted.close()
