# SPDX-License-Identifier: ISC
"""Every ICMP error that the kernel can make about a packet that natd sends, on both outputs (the raw socket and the TUN), from both
sides and with both ways of steering: the sender gets it in its own addresses, and no other host gets a packet."""
import contextlib
import functools
import itertools
import socket
import time

import pytest
from scapy.layers.inet import ICMP

import netlab
from conftest import CAN_LOAD, Natd, some_bytes
from netlab import Lab
from test_steering import WITH_LOADER
from test_transit import addresses, is_error, no_inside_address_in, quote, sends_whole

CLIENT, SERVER = Lab.CLIENTS[0], Lab.SERVERS[0]
FIRST_PORT, FIRST_HOST, CASES = 7000, 100, 40


@contextlib.contextmanager
def firewall(lab, address, name, hook="output"):
    """Refuses what goes to the address with that error; in the forward hook only what comes from natd."""
    whose = "iifname natd0 " if hook == "forward" else ""
    lab.gateway.run("nft", "-f", "-", input=f"table ip t {{\nchain c {{\ntype filter hook {hook} priority 0\n"
                    f"{whose}ip daddr {address} reject with icmp {name}\n}}\n}}\n")
    try:
        yield
    finally:
        lab.gateway.run("nft", "delete", "table", "ip", "t")


@contextlib.contextmanager
def route(lab, address, kind):
    if kind == "mtu":
        there = lab.gateway.run("ip", "route", "get", address).stdout.split()
        words = [f"{address}/32", "dev", there[there.index("dev") + 1], "mtu", "1000"]
        if "via" in there:
            words += ["via", there[there.index("via") + 1]]
    else:
        words = [kind, f"{address}/32"]
    lab.gateway.run("ip", "route", "add", *words)
    try:
        yield
    finally:
        lab.gateway.run("ip", "route", "del", f"{address}/32")


# By name: type, code, and what makes the kernel say so.
KINDS = {
    "3/0 by a route": (3, 0, route, "throw"),
    "3/1 by a route": (3, 1, route, "unreachable"),
    "3/13 by a route": (3, 13, route, "prohibit"),
    "3/4 by a route": (3, 4, route, "mtu"),
    "3/0 by a firewall": (3, 0, firewall, "net-unreachable"),
    "3/1 by a firewall": (3, 1, firewall, "host-unreachable"),
    "3/9 by a firewall": (3, 9, firewall, "net-prohibited"),
    "3/10 by a firewall": (3, 10, firewall, "host-prohibited"),
    "3/13 by a firewall": (3, 13, firewall, "admin-prohibited"),
    "3/1 by a dead neighbour": (3, 1, None, None),
    "11/0 by TTL": (11, 0, None, None),
}


@pytest.fixture(scope="module", params=["rules", "bpf"])
def stage(request):
    """One natd for each way of steering, through which every packet goes: the fast path sees a route's MTU only if it is locked; and a number for each case, whose addresses no way is known of."""
    if request.config.netlab_reason:
        pytest.skip(request.config.netlab_reason)
    if request.param == "bpf" and not CAN_LOAD:
        pytest.skip("tc programs cannot be loaded here")
    lab = netlab.Lab()
    forwards = ", ".join(f'{{ protocol = "udp"; port = {FIRST_PORT + i}; to = "10.8.0.{FIRST_HOST + i}:80"; }}' for i in range(CASES))
    natd = Natd(lab.gateway, {"more": f'fast_path = {{ steering = "{request.param}"; mode = "off"; }}; forwards = ( {forwards} );'},
                environment=WITH_LOADER)
    numbers = itertools.count()
    try:
        for device in ("out0", "lan0"):
            lab.gateway.sysctl(f"ipv4/neigh/{device}/retrans_time_ms", 50)
        natd.start()
        yield lab, natd, lambda: next(numbers)
        natd.close()
    finally:
        lab.close()


@pytest.mark.parametrize("side", ["inside", "outside"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_sender_is_told_by_the_raw_socket(stage, kind, side):
    lab, _, number = stage
    kind_type, code, refuse, how = KINDS[kind]
    i = number() % CASES
    if side == "inside":
        sender, own = lab.client, CLIENT
        to = (f"203.0.113.{FIRST_HOST + i}" if "neighbour" in kind else f"198.51.100.{FIRST_HOST + i}", 9)
        refused_at = to[0]
    else:
        sender, own, to, refused_at = lab.server, SERVER, (Lab.OUTSIDE, FIRST_PORT + i), f"10.8.0.{FIRST_HOST + i}"
    with refuse(lab, refused_at, how) if refuse else contextlib.nullcontext(), sender.udp() as sock, \
            sender.capture() as seen, lab.router.capture("up0") as outside:
        sends_whole(sock)
        if kind_type == 11:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1 if side == "inside" else 2)
        sock.sendto(some_bytes(1400), to)
        error = seen.wait(lambda packet: is_error(packet, code, kind_type))
        assert (error.src, error.dst) == (Lab.GATEWAY_INSIDE if side == "inside" else Lab.OUTSIDE, own)
        assert addresses(quote(error)) == (own, to[0], sock.getsockname()[1], to[1])
        assert code != 4 or error[ICMP].nexthopmtu == 1000
        no_inside_address_in(outside)


@pytest.mark.parametrize("kind", [k for k in KINDS if "route" in k or "firewall" in k])
def test_the_sender_is_told_by_the_tun(stage, kind):
    """In the middle of a transfer in super-packets, which the kernel forwards. tc programs pass a firewall's forward chain by."""
    lab, natd, number = stage
    kind_type, code, refuse, how = KINDS[kind]
    if refuse is firewall:
        if natd.json("status")["steering"] == "bpf":
            pytest.skip("tc programs send them past the firewall")
        refuse = functools.partial(firewall, hook="forward")
    server = f"198.51.100.{200 + number()}"
    lab.server.run("ip", "addr", "add", f"{server}/24", "dev", "eth0")
    lab.server.run("ip", "route", "flush", "cache")  # what errors of other cases have taught it
    with lab.server.tcp_listener(server, 8000) as listener, lab.client.socket() as sock, lab.client.capture() as seen, \
            lab.router.capture("up0") as outside:
        sock.connect((server, 8000))
        end = time.monotonic() + 20
        accepted, _ = listener.accept()
        with accepted, refuse(lab, server, how):
            sock.setblocking(False)
            accepted.setblocking(False)
            error = None
            while not error:  # until the change of the route is seen
                with contextlib.suppress(BlockingIOError):
                    sock.send(some_bytes(20000))
                with contextlib.suppress(BlockingIOError):
                    accepted.recv(1 << 20)
                with contextlib.suppress(AssertionError):
                    error = seen.wait(lambda packet: is_error(packet, code, kind_type), timeout=0.05)
                assert time.monotonic() < end
            assert (error.src, error.dst) == (Lab.GATEWAY_INSIDE, CLIENT)
            assert addresses(quote(error)) == (CLIENT, server, sock.getsockname()[1], 8000)
            assert quote(error).len <= 1500
        no_inside_address_in(outside)


def test_no_redirect_where_a_packet_leaves_by_the_interface_by_which_it_came(stage):
    """From inside to inside by way of the outside address. A router would tell its neighbour of the shorter way (5/1)."""
    lab, _, number = stage
    i = number() % CASES
    here, there = lab.clients
    there.run("ip", "addr", "add", f"10.8.0.{FIRST_HOST + i}/24", "dev", "eth0")
    lab.gateway.sysctl("ipv4/conf/lan0/send_redirects", 1)
    with here.capture() as seen, there.capture() as seen_there, there.udp(f"10.8.0.{FIRST_HOST + i}", 80) as server, here.udp() as sock:
        for _ in range(5):
            sock.sendto(b"question", (Lab.OUTSIDE, FIRST_PORT + i))
            data, sender = server.recvfrom(100)
            assert data == b"question" and sender[0] == Lab.OUTSIDE
            server.sendto(b"answer", sender)
            assert sock.recv(100) == b"answer"
        sock.setsockopt(17, 103, 1000)  # SOL_UDP, UDP_SEGMENT: by the TUN
        sock.sendto(some_bytes(5000), (Lab.OUTSIDE, FIRST_PORT + i))
        assert b"".join(server.recv(2000) for _ in range(5)) == some_bytes(5000)
        for capture in (seen, seen_there):
            # about datagrams: a connection of the cases before may still get errors
            assert not [packet for packet in capture.so_far()
                        if ICMP in packet and packet[ICMP].type in (3, 5) and quote(packet).proto == 17]
