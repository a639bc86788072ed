# SPDX-License-Identifier: ISC
"""Packets in transit: natd sends them as a router does, whatever the kernel would do for a local program. What cannot be sent
is reported to its sender, in its own addresses, and counted by cause."""
import contextlib
import socket
import struct
import threading

import pytest

import netlab
from conftest import some_bytes
from netlab import Lab
from scapy.layers.inet import ICMP, IP, TCP, UDP
from test_service import until
from test_transfer import udp_pair

CLIENT, CLIENT2 = Lab.CLIENTS
SERVER = Lab.SERVERS[0]
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_PMTUDISC_PROBE = 10, 2, 3
UNREACHABLE = 3
SOL_UDP, UDP_SEGMENT = 17, 103


def is_error(packet, code, kind=UNREACHABLE):
    return ICMP in packet and (packet[ICMP].type, packet[ICMP].code) == (kind, code)


def quote(packet):
    return IP(bytes(packet[ICMP].payload))


def addresses(packet):
    return packet.src, packet.dst, packet.sport, packet.dport


def sends_whole(sock):
    """DF on, and no heed to what its own host knows of the path."""
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)


def no_inside_address_in(capture):
    for packet in capture.so_far():
        assert b"\x0a\x08\x00" not in bytes(packet), packet.summary()


# ---- fault 4: the sender of a packet without a way gets an error ----

WAYS = [(None, 0, "send_net_unreach"), ("unreachable", 1, "send_host_unreach"), ("prohibit", 13, "send_denied")]


@pytest.mark.parametrize("offload", ["true", "false"])
@pytest.mark.parametrize("route, code, counter", WAYS)
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_no_way_is_told_to_the_inside_host(lab, start_natd, offload, route, code, counter, protocol):
    natd = start_natd({"more": f"tun = {{ offload = {offload}; }};"})
    if route:
        lab.gateway.run("ip", "route", "add", route, f"{SERVER}/32")
    else:
        lab.gateway.run("ip", "route", "del", "default")
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with lab.client.capture() as seen, lab.client.socket(kind=kind) as sock:
        sock.setblocking(False)
        sock.connect_ex((SERVER, 9))
        if protocol == "udp":
            sock.send(b"x" * 20)
        error = seen.wait(lambda packet: is_error(packet, code))
        assert (error.src, error.dst) == (Lab.GATEWAY_INSIDE, CLIENT)
        assert addresses(quote(error)) == (CLIENT, SERVER, sock.getsockname()[1], 9)
    assert natd.counters()[counter] >= 1


@pytest.mark.parametrize("offload", ["true", "false"])
def test_super_packets_without_a_way_are_refused(lab, start_natd, offload):
    """In the middle of a transfer the route goes."""
    natd = start_natd({"more": f"tun = {{ offload = {offload}; }};"})
    with lab.server.tcp_listener(port=8000) as listener, lab.client.socket() as sock, lab.client.capture() as seen:
        sock.connect((SERVER, 8000))
        accepted, _ = listener.accept()
        with accepted:
            lab.gateway.run("ip", "route", "add", "prohibit", f"{SERVER}/32")
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.send(some_bytes(200000))
            error = seen.wait(lambda packet: is_error(packet, 13))
            inner = quote(error)
            assert addresses(inner) == (CLIENT, SERVER, sock.getsockname()[1], 8000)
            assert inner.len <= 1500
    # by natd; or by the kernel, to which natd gave it by the way of before
    assert natd.counters()["send_denied"] + natd.counters()["errors_kernel"] >= 1


# ---- fault 3: the MTU of the route ----

@pytest.mark.parametrize("lock", [[], ["lock"]])
@pytest.mark.parametrize("offload", ["true", "false"])
def test_route_mtu_is_told_to_the_inside_host(lab, start_natd, offload, lock):
    natd = start_natd({"more": f"tun = {{ offload = {offload}; }};"})
    lab.gateway.run("ip", "route", "replace", "default", "via", Lab.ROUTER, "mtu", *lock, "1000")
    client, server = udp_pair(lab)
    with client, server, lab.client.capture() as seen:
        sends_whole(client)
        client.sendto(some_bytes(1400), (SERVER, 9000))
        error = seen.wait(lambda packet: is_error(packet, 4))
        assert error[ICMP].nexthopmtu == 1000
        assert addresses(quote(error)) == (CLIENT, SERVER, client.getsockname()[1], 9000)
    assert natd.counters()["send_too_big"] == 1


@pytest.mark.parametrize("offload", ["true", "false"])
def test_what_may_be_cut_is_cut_to_the_route_mtu(lab, start_natd, offload):
    start_natd({"more": f"tun = {{ offload = {offload}; }};"})
    lab.gateway.run("ip", "route", "replace", "default", "via", Lab.ROUTER, "mtu", "1000")
    client, server = udp_pair(lab)
    with client, server, lab.router.capture("up0") as seen:
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, 0)
        data = some_bytes(1400)
        client.sendto(data, (SERVER, 9000))
        assert server.recv(65536) == data
        assert max(packet.len for packet in seen.so_far()) <= 1000


@pytest.mark.parametrize("offload", ["true", "false"])
def test_upload_over_a_smaller_route(lab, start_natd, offload):
    """The MSS is clamped both ways, and what is larger all the same is answered: nothing hangs."""
    start_natd({"more": f"tun = {{ offload = {offload}; }};"})
    lab.gateway.run("ip", "route", "replace", "default", "via", Lab.ROUTER, "mtu", "1000")
    with lab.server.tcp_listener(port=8000) as listener, lab.client.socket() as sock, \
            lab.router.capture("up0") as outside, lab.client.capture() as inside:
        sock.connect((SERVER, 8000))
        accepted, _ = listener.accept()
        with accepted:
            data = some_bytes(300000)
            sock.settimeout(20)
            got = bytearray()
            sock.setblocking(False)
            accepted.setblocking(False)
            left = memoryview(data)

            def moved():
                nonlocal left
                with contextlib.suppress(BlockingIOError):
                    left = left[sock.send(left):]
                with contextlib.suppress(BlockingIOError):
                    got.extend(accepted.recv(1 << 16))
                return len(got) == len(data)

            until(moved, timeout=20)
            assert bytes(got) == data
        options = [dict(packet[TCP].options) for capture in (outside, inside) for packet in capture.so_far()
                   if TCP in packet and packet[TCP].flags & 2 and packet.dst in (SERVER, CLIENT)]
        assert [each["MSS"] for each in options if "MSS" in each].count(960) >= 2


# ---- fault 2: the host's path MTU cache ----

@pytest.mark.parametrize("offload", ["true", "false"])
def test_forged_path_mtu_of_the_host_does_not_count(lab, start_natd, offload):
    start_natd({"more": f"tun = {{ offload = {offload}; }};"})
    quoted = IP(src=Lab.OUTSIDE, dst=SERVER, ttl=60) / ICMP(type=0, id=7, seq=1) / (b"x" * 8)
    forged = IP(src=Lab.ROUTER, dst=Lab.OUTSIDE) / ICMP(type=3, code=4, nexthopmtu=600) / quoted
    lab.router.send_ip(forged)
    until(lambda: "mtu 6" in lab.gateway.run("ip", "route", "get", SERVER).stdout)  # the host has taken it
    client, server = udp_pair(lab)
    with client, server:
        sends_whole(client)
        data = some_bytes(1400)
        client.sendto(data, (SERVER, 9000))
        assert server.recv(65536) == data


# ---- fault 5: no host fills the buffer of all ----

def test_hosts_that_do_not_answer_hold_up_nobody(lab, start_natd):
    """Packets to unused addresses of the outside link wait for ARP, and are charged to the socket meanwhile."""
    natd = start_natd()
    client, server = udp_pair(lab)
    other = lab.clients[1].udp()
    with client, server, other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        for number in range(200):  # in step, so that no queue before natd overflows
            for last in range(100, 200):
                with contextlib.suppress(OSError):
                    other.sendto(bytes(1400), (f"203.0.113.{last}", 9))
            client.sendto(struct.pack("!I", number), (SERVER, 9000))
            assert struct.unpack("!I", server.recv(100)) == (number,)
    counters = natd.counters()
    assert counters["send_again"] == 0
    assert counters["send_unresolved"] > 0


def test_first_datagram_in_many_fragments_arrives_whole(lab, start_natd):
    """All its fragments wait for ARP together."""
    natd = start_natd()
    client, server = udp_pair(lab)
    with client, server:
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, 0)
        data = some_bytes(60000)
        client.sendto(data, (SERVER, 9000))
        assert server.recv(65536) == data
    assert natd.counters()["send_unresolved"] == 0


def test_datagrams_in_fragments_to_hosts_that_do_not_answer_hold_up_nobody(lab, start_natd):
    natd = start_natd()
    client, server = udp_pair(lab)
    other = lab.clients[1].udp()
    with client, server, other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        for number in range(20):
            for last in range(100, 140):
                with contextlib.suppress(OSError):
                    other.sendto(bytes(40000), (f"203.0.113.{last}", 9))
            client.sendto(struct.pack("!I", number), (SERVER, 9000))
            assert struct.unpack("!I", server.recv(100)) == (number,)
    counters = natd.counters()
    assert counters["send_again"] == 0
    assert counters["send_unresolved"] > 0


# ---- the errors of the kernel that are about what it forwards to natd: 11/0; it never sends 5 ----

@pytest.mark.parametrize("offload", ["true", "false"])
@pytest.mark.parametrize("side", ["inside", "outside"])
def test_time_exceeded_shows_each_side_its_own_addresses(lab, start_natd, side, offload):
    """TTL 1, in one piece and in a super-packet's worth; and no redirect goes anywhere."""
    start_natd({"more": FORWARD["more"].replace(DEAD, CLIENT) + f"tun = {{ offload = {offload}; }};"})
    sender, to = (lab.client, (SERVER, 9)) if side == "inside" else (lab.server, (Lab.OUTSIDE, 80))
    hops = 1 if side == "inside" else 2  # the router is one of them
    with sender.udp() as sock, sender.capture() as seen, lab.server.capture() as outside:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
        for size in (20, 1400):
            sock.sendto(some_bytes(size), to)
            error = seen.wait(lambda packet, size=size: is_error(packet, 0, kind=11) and quote(packet).len == size + 28)
            assert error.src == (Lab.GATEWAY_INSIDE if side == "inside" else Lab.OUTSIDE)
            own = sock.getsockname()[1]
            assert quote(error).dport == to[1] and quote(error).sport == own and quote(error).dst == to[0]
        no_inside_address_in(outside)
        assert not [packet for packet in seen.so_far() if ICMP in packet and packet[ICMP].type == 5]


# ---- faults 6 and 7: source and interface ----

@pytest.fixture
def second(lab):
    """A second network of the gateway's: out1, with a router that answers for everything."""
    other = lab._namespace("second")
    netlab.wire(lab.gateway, "out1", other, "up1")
    lab.gateway.run("ip", "addr", "add", "198.18.0.1/24", "dev", "out1")
    other.run("ip", "addr", "add", "198.18.0.254/24", "dev", "up1")
    other.run("ip", "addr", "add", f"{SERVER}/32", "dev", "lo")
    return other


def test_third_network_is_refused_with_an_error(lab, start_natd, second):
    natd = start_natd()
    with lab.client.udp() as sock, lab.client.capture() as seen, second.capture("up1") as there:
        sock.sendto(b"x", ("198.18.0.254", 9))
        error = seen.wait(lambda packet: is_error(packet, 13))
        assert addresses(quote(error)) == (CLIENT, "198.18.0.254", sock.getsockname()[1], 9)
        assert [packet for packet in there.so_far() if UDP in packet] == []
    assert natd.counters()["send_elsewhere"] == 1


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_rule_by_source_is_followed(lab, start_natd, second, protocol):
    """Outside is the second uplink, which only a rule of the administrator leads to."""
    lab.gateway.run("ip", "route", "add", "default", "via", "198.18.0.254", "table", "200")
    lab.gateway.run("ip", "rule", "add", "from", "198.18.0.1", "lookup", "200")
    config = ('outside = { interface = "out1"; }; inside = { interfaces = [ "lan0" ]; };')
    natd = start_natd(config)
    assert natd
    with second.capture("up1") as there, lab.router.capture("up0") as wrong:
        if protocol == "tcp":
            with second.tcp_listener(SERVER, 8000), lab.client.socket() as sock:
                sock.connect((SERVER, 8000))
        else:
            with lab.client.udp() as sock:
                sock.sendto(b"x", (SERVER, 8000))
                there.wait(lambda packet: UDP in packet and packet.src == "198.18.0.1")
        assert [packet for packet in wrong.so_far() if SERVER in (packet.src, packet.dst)] == []


# ---- fault 1: what the kernel says about natd's packets ----

DEAD = "10.8.0.77"
FORWARD = {"more": f'forwards = ( {{ name = "dead"; protocol = [ "tcp", "udp" ]; port = 80; to = "{DEAD}:8080"; }} );'}


@pytest.mark.parametrize("offload", ["true", "false"])
def test_dead_inside_host_is_told_outside_by_natd_address(lab, start_natd, offload):
    """The kernel's 3/1 after ARP: translated back, with no inside address in it."""
    config = FORWARD["more"] + f"tun = {{ offload = {offload}; }};"
    start_natd({"more": config})
    with lab.server.udp() as sock, lab.server.capture() as seen:
        sock.sendto(b"x" * 20, (Lab.OUTSIDE, 80))
        error = seen.wait(lambda packet: is_error(packet, 1), timeout=10)
        assert error.src == Lab.OUTSIDE
        assert addresses(quote(error)) == (SERVER, Lab.OUTSIDE, sock.getsockname()[1], 80)
        no_inside_address_in(seen)


def test_a_reject_of_large_packets_on_their_way_inside_shows_no_inside_address(lab, start_natd):
    """Where rules steer, the kernel forwards super-packets, and would tell their sender whom they were for. natd sends segments
    then, past that chain, so that the transfer comes whole, too."""
    natd = start_natd({"more": 'fast_path = { steering = "rules"; };'})
    lab.gateway.run("nft", "-f", "-", input="table ip t {\nchain c {\ntype filter hook forward priority 0\n"
                    "iifname natd0 oifname lan0 reject with icmp host-prohibited\n}\n}\n")
    try:
        until(lambda: "firewall-cuts" in natd.ctl("-j", "doctor", check=False).stdout, timeout=8)
        with lab.server.tcp_listener(port=8000) as listener, lab.client.socket() as sock, lab.router.capture("up0") as seen:
            sock.connect((SERVER, 8000))
            accepted, _ = listener.accept()
            with accepted:
                sender = threading.Thread(target=accepted.sendall, args=(some_bytes(300000),))
                sender.start()
                received = b""
                while len(received) < 300000:
                    received += sock.recv(1 << 16)
                sender.join()
            assert received == some_bytes(300000)
            no_inside_address_in(seen)
            assert not [p for p in seen.so_far() if ICMP in p]
    finally:
        lab.gateway.run("nft", "flush", "ruleset")


def test_dead_outside_neighbour_is_told_inside(lab, start_natd):
    start_natd()
    with lab.client.udp() as sock, lab.client.capture() as seen:
        sock.sendto(b"x" * 20, ("203.0.113.99", 9))
        error = seen.wait(lambda packet: is_error(packet, 1), timeout=10)
        assert (error.src, error.dst) == (Lab.GATEWAY_INSIDE, CLIENT)
        assert addresses(quote(error)) == (CLIENT, "203.0.113.99", sock.getsockname()[1], 9)


# ---- faults 8 and 9 ----

def test_redirect_is_not_followed(lab, start_natd, second):
    """One that quotes an echo reply, from the router's address, to a neighbour that an attacker chose. A host follows it."""
    attacker = "203.0.113.66"
    lab.router.run("ip", "addr", "add", f"{attacker}/24", "dev", "up0")
    quoted = IP(src=Lab.OUTSIDE, dst=SERVER, ttl=60) / ICMP(type=0, id=7, seq=1) / (b"x" * 8)

    def way_after_redirect():
        for address in (SERVER, attacker):
            lab.gateway.run("ping", "-c1", "-W2", address)
        lab.router.send_ip(IP(src=Lab.ROUTER, dst=Lab.OUTSIDE) / ICMP(type=5, code=1, gw=attacker) / quoted)
        lab.gateway.run("ping", "-c1", "-W2", Lab.ROUTER)  # what came before has been dealt with
        return lab.gateway.run("ip", "route", "get", SERVER).stdout

    for name in ("all", "out0"):
        lab.gateway.sysctl(f"ipv4/conf/{name}/accept_redirects", 1)
    assert attacker in way_after_redirect()
    lab.gateway.run("ip", "route", "flush", "cache")
    start_natd()
    assert attacker not in way_after_redirect()


def test_ttl_255_is_passed_through_the_tun(lab, start_natd):
    """Of a super-packet of the gateway's own to a pool address: forwarding must not make it 0."""
    start_natd({"addresses": '[ "203.0.113.40" ]',
                "more": f'forwards = ( {{ name = "dns"; protocol = "udp"; port = 53; to = "{CLIENT}:5353"; }} );'})
    with lab.client.udp(port=5353) as receiver, lab.gateway.udp() as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
        for _ in range(3):  # the first may wait for ARP, in segments
            sender.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
            sender.sendto(some_bytes(10000), ("203.0.113.40", 53))
            assert b"".join(receiver.recv(65536) for _ in range(10)) == some_bytes(10000)
