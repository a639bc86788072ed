# SPDX-License-Identifier: ISC
"""The fast path (fast_path.mode): established sessions that the tc programs carry.

That it changes no result is shown by tests/unit/check_mirror.c, tests/bpf/check_fast.c and test_fastscript.py; here is what an
administrator sees of it, and the programs at their edges."""
import contextlib
import fcntl
import os
import re
import select
import socket
import struct
import subprocess
import threading
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP

import conftest
from netlab import Lab

REQUIRED = 'fast_path = { mode = "required"; steering = "bpf"; };'
AUTO = 'fast_path = { mode = "auto"; steering = "bpf"; };'
WITH_LOADER = {"NATD_BPF_LOADER": conftest.LOADER}
WITHOUT_LOADER = {"NATD_BPF_LOADER": "/nonexistent/natd-bpf-load"}
SERVER = Lab.SERVERS[0]
IP_MTU_DISCOVER, IP_PMTUDISC_PROBE = 10, 3  # always with DF, and whatever this host has learnt

pytestmark = pytest.mark.skipif(not conftest.CAN_LOAD, reason="tc programs cannot be loaded here")


@pytest.fixture
def fast(start_natd):
    """fast(more=""): natd with the fast path for every protocol."""
    def start(more="", path=REQUIRED, config=None):
        return start_natd(config or {"more": path + more}, environment=WITH_LOADER)
    return start


def until(condition, timeout=10):
    """The first true value of condition(), asked again and again."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value or time.monotonic() > end:
            assert value
            return value
        time.sleep(0.02)


class Talk:
    """A TCP connection between a client and a server, whose both ends are here."""

    def __init__(self, lab, port=7000, client=None):
        self.listener = lab.server.tcp_listener(port=port)
        self.client = (client or lab.client).socket()
        self.client.connect((SERVER, port))
        self.server, self.seen_as = self.listener.accept()
        self.server.settimeout(10)
        for end in (self.client, self.server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ping(self, n=1, size=100):
        for _ in range(n):
            for here, there in ((self.client, self.server), (self.server, self.client)):
                here.sendall(b"x" * size)
                left = size
                while left > 0:
                    left -= len(there.recv(left))

    def close(self):
        for each in (self.client, self.server, self.listener):
            each.close()


@pytest.fixture
def talk(lab):
    """talk(): a connection through natd, of which so many packets have passed that the fast path carries it."""
    made = []

    def start(natd, **options):
        made.append(Talk(lab, **options))
        made[-1].ping(8)
        assert natd.json("list", "-p", "tcp")[0]["flags"] == ["ASSURED", "OFFLOAD"]
        return made[-1]
    yield start
    for each in made:
        each.close()


def session(natd, protocol="tcp"):
    return natd.json("list", "-p", protocol)[0]


def test_a_connection_is_carried_and_shown(fast, talk, lab):
    natd = fast()
    connection = talk(natd)
    read = natd.counters()["tun_read"]
    connection.ping(50)
    assert natd.counters()["tun_read"] == read
    assert natd.json("status")["fast_path"].startswith("on, 1 sessions, ")
    assert "fast path: on, 1 sessions" in natd.ctl("status").stdout
    assert "[ASSURED] [OFFLOAD] " in natd.ctl("list").stdout
    counters = natd.counters()
    assert counters["fast_sessions"] == 1 and counters["fast_packets"] >= 100
    with lab.server.capture() as out, lab.client.capture() as back, lab.gateway.capture("out0") as tap, lab.gateway.capture("natd0") as tun:
        connection.ping()
        assert out.wait(lambda p: TCP in p and p.dport == 7000).ttl == 62
        assert back.wait(lambda p: TCP in p and p.sport == 7000).ttl == 62
        assert tap.wait(lambda p: TCP in p and p.sport == 7000).dst == Lab.OUTSIDE  # what tcpdump sees
        assert tap.wait(lambda p: TCP in p).src in (Lab.OUTSIDE, SERVER)
        assert tun.so_far() == []


def test_counters_of_a_carried_session_are_exact(fast, talk, lab):
    natd = fast()
    with lab.server.capture() as seen:
        connection = talk(natd)
        connection.ping(25)

        def counted():
            """None while an ACK is on its way."""
            passed = [p for p in map(IP, seen.seen) if TCP in p and 7000 in (p.sport, p.dport)]
            seen.so_far()
            sums = [[p.len for p in passed if here in (getattr(p, which),)] for which, here in (("dport", 7000), ("sport", 7000))]
            shown = [session(natd)[way] for way in ("out", "in")]
            return all(s["packets"] == len(p) and s["bytes"] == sum(p) for s, p in zip(shown, sums))
        until(counted)
    counters = natd.counters()
    assert counters["out_bytes"] == session(natd)["out"]["bytes"] and counters["in_packets"] == session(natd)["in"]["packets"]


def test_bulk_both_ways_arrives_whole(fast, lab, http_server):
    http_server()
    natd = fast(path=AUTO)
    done = lab.client.run("curl", "-sS", "-m", "20", f"http://{SERVER}/bytes/5000000", text=False)
    assert done.stdout == conftest.some_bytes(5000000)
    counters = natd.counters()
    assert counters["fast_packets"] > counters["tun_read"]
    assert counters["drop_tcp_window"] == counters["fast_lost"] == 0


def test_the_end_of_a_connection_is_natds(fast, talk):
    natd = fast()
    connection = talk(natd)
    connection.client.shutdown(socket.SHUT_WR)
    assert connection.server.recv(1) == b""
    assert session(natd)["state"] in ("FIN_WAIT", "CLOSE_WAIT")
    assert "OFFLOAD" not in session(natd)["flags"]
    connection.server.sendall(b"rest")
    assert connection.client.recv(10) == b"rest"
    connection.server.close()
    until(lambda: session(natd)["state"] == "TIME_WAIT")
    assert natd.counters()["drop_tcp_window"] == 0


def test_a_reset_ends_it(fast, talk):
    natd = fast()
    connection = talk(natd)
    connection.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.client.close()
    until(lambda: session(natd)["state"] == "CLOSE")
    with pytest.raises(ConnectionResetError):
        connection.server.recv(1)


def test_a_deleted_session_is_not_carried_any_more(fast, talk, lab):
    natd = fast()
    connection = talk(natd)
    with lab.server.capture() as seen:
        natd.ctl("delete", "-p", "tcp")
        connection.client.sendall(b"into the void")
        until(lambda: natd.counters()["drop_tcp_no_session"] + natd.counters()["drop_tcp_state"] > 0
              or not natd.json("list"))
        assert not any(TCP in p and p.len > 60 for p in seen.so_far())
    assert natd.json("status")["fast_path"].startswith("on, 0 sessions")


def test_a_reload_ends_what_it_forbids(fast, talk, lab):
    natd = fast()
    connection = talk(natd)
    natd.write_config({"more": REQUIRED + f'filter = ( {{ action = "drop"; direction = "out"; to = [ "{SERVER}" ]; }} );'})
    natd.ctl("reload")
    with lab.server.capture() as seen:
        connection.client.sendall(b"into the void")
        until(lambda: natd.counters()["drop_rule"] + natd.counters()["drop_tcp_no_session"] > 0 or not natd.json("list"))
        assert not any(TCP in p and p.len > 60 for p in seen.so_far())
    assert "reason=filtered" in natd.ctl("history").stdout


def test_udp_and_ping_are_carried_when_two_seconds_old(fast, lab, udp_echo):
    udp_echo()
    natd = fast()
    ping = lab.client.start("ping", "-c", "30", "-i", "0.1", "-q", SERVER, stdout=subprocess.DEVNULL)
    with lab.client.udp() as sock:
        sock.connect((SERVER, 7))

        def exchange():
            sock.send(b"hello")
            return sock.recv(100)
        end = time.monotonic() + 15
        while "OFFLOAD" not in (natd.json("list", "-p", "udp") or [{"flags": []}])[0]["flags"]:
            exchange()
            assert time.monotonic() < end
        assert ping.wait(30) == 0
        read, before = natd.counters()["tun_read"], session(natd, "udp")
        for _ in range(20):
            assert exchange().endswith(b"hello")
        done = session(natd, "udp")
        assert natd.counters()["tun_read"] == read
        assert done["out"]["packets"] - before["out"]["packets"] == 20
        assert done["out"]["bytes"] - before["out"]["bytes"] == 20 * 33
        assert done["in"]["packets"] - before["in"]["packets"] == 20
    assert "OFFLOAD" in session(natd, "icmp")["flags"]
    assert session(natd, "icmp")["out"]["packets"] == session(natd, "icmp")["in"]["packets"] == 30


def test_auto_leaves_datagrams_to_natd(fast, lab, udp_echo):
    udp_echo()
    natd = fast(path=AUTO)
    with lab.client.udp() as sock:
        sock.connect((SERVER, 7))
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            sock.send(b"hello")
            sock.recv(100)
    assert "OFFLOAD" not in session(natd, "udp")["flags"]
    assert natd.counters()["fast_shown"] == 0


def test_a_route_that_refuses_stops_a_carried_session(fast, talk, lab):
    """Fail closed: natd answers, as without the fast path."""
    natd = fast()
    connection = talk(natd)
    lab.gateway.run("ip", "route", "add", "unreachable", f"{SERVER}/32")
    with lab.client.capture() as seen, lab.server.capture() as leaked:
        connection.client.sendall(b"x")
        error = seen.wait(lambda p: ICMP in p and p[ICMP].type == 3)
        assert IP(bytes(error[ICMP].payload)).src == Lab.CLIENTS[0]
        assert not any(TCP in p and p.dport == 7000 for p in leaked.so_far())
    lab.gateway.run("ip", "route", "del", "unreachable", f"{SERVER}/32")
    assert connection.server.recv(10) == b"x"


def test_a_smaller_mtu_of_the_route_is_answered(fast, talk, lab):
    """At once, though what does not fit is a super-packet whose way natd has looked up just before."""
    natd = fast()
    connection = talk(natd)
    lab.gateway.run("ip", "route", "add", f"{SERVER}/32", "via", Lab.ROUTER, "mtu", "lock", "1000")
    with lab.client.capture() as seen:
        connection.client.sendall(b"x" * 3000)
        error = seen.wait(lambda p: ICMP in p and p[ICMP].type == 3 and p[ICMP].code == 4)
        assert error[ICMP].nexthopmtu == 1000
    left = 3000
    while left > 0:
        left -= len(connection.server.recv(left))
    assert natd.counters()["fast_large"] > 0


def needs_fragmentation(packet, mtu, protocol):
    return (ICMP in packet and packet[ICMP].type == 3 and packet[ICMP].code == 4 and packet[ICMP].nexthopmtu == mtu
            and packet[ICMP].payload.proto == protocol)


def test_an_unlocked_mtu_of_the_route_is_answered(fast, talk, lab):
    """One that the kernel's look-up for programs does not know."""
    natd = fast()
    connection = talk(natd)
    connection.ping(size=3000)
    lab.gateway.run("ip", "route", "add", f"{SERVER}/32", "via", Lab.ROUTER, "mtu", "1000")
    with lab.client.capture() as seen:
        def is_refused():
            """natd finds out within a second."""
            connection.ping(size=3000)
            return any(needs_fragmentation(p, 1000, socket.IPPROTO_TCP) for p in seen.so_far())
        until(is_refused)
    assert natd.counters()["fast_large"] > 0 and "OFFLOAD" in session(natd)["flags"]
    talk(natd, port=7001).ping(5, size=3000)


@pytest.mark.skipif(not os.environ.get("NATD_CHECK_ALL"), reason="takes several seconds")
def test_an_unlocked_mtu_counts_for_datagrams_until_it_goes(fast, lab, udp_echo):
    natd = fast()
    udp_echo()
    with lab.client.udp() as sock, lab.client.capture() as seen, lab.server.capture() as server:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        sock.connect((SERVER, 7))

        def send(size):
            with contextlib.suppress(OSError):  # that of an error which came before
                sock.send(b"x" * size)

        def is_carried():
            send(10)
            return sock.recv(100) and "OFFLOAD" in session(natd, "udp")["flags"]

        def is_refused():
            send(1200)
            return any(needs_fragmentation(p, 1000, socket.IPPROTO_UDP) for p in seen.so_far())

        def is_carried_again():
            before = natd.counters()["fast_packets"]
            server.so_far()
            server.seen.clear()
            send(1200)
            return any(p.len == 1228 for p in server.so_far()) and natd.counters()["fast_packets"] > before
        until(is_carried)
        lab.gateway.run("ip", "route", "add", f"{SERVER}/32", "via", Lab.ROUTER, "mtu", "1000")
        until(is_refused)
        assert natd.counters()["fast_large"] > 0 and "OFFLOAD" in session(natd, "udp")["flags"]
        lab.gateway.run("ip", "route", "del", f"{SERVER}/32")
        until(is_carried_again)


def test_a_neighbour_that_is_gone_is_found_by_natd(fast, talk, lab):
    natd = fast()
    connection = talk(natd)
    lab.gateway.run("ip", "neigh", "flush", "all")
    connection.ping(5)
    assert natd.counters()["fast_way"] > 0


def test_padding_is_cut_off(fast, talk, lab):
    """Ethernet pads what is shorter than 60 bytes: a bare ACK."""
    natd = fast()
    connection = talk(natd)
    here, there = connection.client.getsockname(), connection.seen_as
    connection.ping()
    before = session(natd)["out"]
    keep_alive = IP(src=here[0], dst=SERVER, flags="DF") / TCP(sport=here[1], dport=7000, flags="A")
    # the numbers of the last ACK
    with lab.server.capture() as seen:
        connection.ping()
        last = seen.wait(lambda p: TCP in p and p.sport == there[1] and len(p[TCP].payload) > 0)
        keep_alive[TCP].seq = last.seq + len(last[TCP].payload)
        keep_alive[TCP].ack = last.ack
        before = session(natd)["out"]
        raw = bytes(IP(bytes(keep_alive)))
        lab.client.inject(raw + bytes(46 - len(raw)) if len(raw) < 46 else raw)
        seen.wait(lambda p: TCP in p and p.sport == there[1] and p.seq == keep_alive[TCP].seq)
    assert session(natd)["out"]["bytes"] - before["bytes"] in (40, 40 + 52)  # and a delayed ACK


def test_a_capture_sees_what_was_carried(fast, talk):
    natd = fast()
    connection = talk(natd)
    capture = natd.namespace.start(conftest.NATCTL, "-s", natd.socket, "capture", "-w", f"{natd.directory}/seen", "-c", "8",
                                   "-t", "10", "--side", "inside")
    end = time.monotonic() + 10
    while capture.poll() is None and time.monotonic() < end:
        connection.ping()
    assert capture.wait(10) == 0
    assert natd.json("status")["fast_path"].startswith("on")


def test_a_download_goes_on_while_natd_is_away(lab, keep_natd, talk):
    """The service manager keeps the programs and their flows; the next natd counts what they have carried."""
    natd = keep_natd({"more": REQUIRED}, environment=WITH_LOADER)
    connection = talk(natd)
    before = session(natd)
    natd.crash()
    connection.ping(20)
    natd.start()
    connection.ping(1)
    after = session(natd)
    assert after["id"] == before["id"]
    assert after["in"]["packets"] - before["in"]["packets"] >= 21
    connection.client.shutdown(socket.SHUT_WR)
    assert connection.server.recv(1) == b""
    assert natd.counters()["drop_tcp_window"] == 0


# ---- interfaces ----

def tun_end(space, name):
    """A device without Ethernet headers, as tunnels have it: its descriptor."""
    with space.entered():
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", name.encode(), 0x1001))  # TUNSETIFF; IFF_TUN, IFF_NO_PI
    space.run("ip", "link", "set", name, "up")
    return fd


@pytest.fixture
def tunnel():
    """tunnel(a, device_a, b, device_b): a wire without Ethernet headers between two namespaces."""
    threads, fds = [], []
    wake, wake_end = os.pipe()

    def pump(one, other):
        to = {one: other, other: one}
        while wake not in (ready := select.select([one, other, wake], [], [])[0]):
            for fd in ready:
                with contextlib.suppress(OSError):
                    os.write(to[fd], os.read(fd, 65536))

    def connect(a, device_a, b, device_b):
        ends = tun_end(a, device_a), tun_end(b, device_b)
        fds.extend(ends)
        threads.append(threading.Thread(target=pump, args=ends, daemon=True))
        threads[-1].start()
    yield connect
    os.close(wake_end)
    for thread in threads:
        thread.join(5)
    for fd in (*fds, wake):
        os.close(fd)


@pytest.mark.parametrize("outside", ["out0", "tunout"] if os.environ.get("NATD_CHECK_ALL") else ["out0"])
def test_devices_without_ethernet_headers(start_natd, talk, lab, tunnel, outside):
    tunnel(lab.gateway, "tunin", lab.client, "tun0")
    lab.client.run("ip", "addr", "add", "10.9.0.2/32", "dev", "tun0")
    lab.client.run("ip", "route", "replace", "default", "dev", "tun0", "src", "10.9.0.2")
    lab.gateway.run("ip", "route", "add", "10.9.0.0/24", "dev", "tunin")
    if outside == "tunout":
        tunnel(lab.gateway, "tunout", lab.router, "tunup")
        lab.gateway.run("ip", "addr", "add", "192.0.2.1/32", "dev", "tunout")
        lab.router.run("ip", "route", "add", "192.0.2.1/32", "dev", "tunup")
        lab.gateway.run("ip", "route", "replace", "default", "dev", "tunout")
    natd = start_natd(f"""outside = {{ interface = "{outside}"; }}; inside = {{ interfaces = [ "tunin" ]; prefixes = [ "10.9.0.0/24" ]; }};
        control = {{ socket = "{{socket}}"; }}; {REQUIRED}""", environment=WITH_LOADER)
    connection = talk(natd)
    assert connection.seen_as[0] == ("192.0.2.1" if outside == "tunout" else Lab.OUTSIDE)
    read = natd.counters()["tun_read"]
    connection.ping(20, size=1000)
    assert natd.counters()["tun_read"] == read
    assert natd.counters()["fast_lost"] == 0


def test_interfaces_come_and_go_and_change(fast, lab):
    """Two inside interfaces, and two queues of the TUN device; one interface is renamed and comes back, the outside one gets another MTU
    and is down for a while. What can be carried is carried again, and nothing is lost that natd alone would not lose."""
    lab.gateway.run("ip", "link", "set", "lan0p1", "nomaster")
    lab.gateway.run("ip", "addr", "add", "10.8.1.1/24", "dev", "lan0p1")
    lab.clients[1].run("ip", "addr", "flush", "dev", "eth0")
    lab.clients[1].run("ip", "addr", "add", "10.8.1.2/24", "dev", "eth0")
    lab.clients[1].run("ip", "route", "add", "default", "via", "10.8.1.1")
    natd = fast(config="""outside = { interface = "out0"; }; control = { socket = "{socket}"; }; tun = { queues = 2; };
        inside = { interfaces = [ "lan0", "lan0p1" ]; prefixes = [ "10.8.0.0/24", "10.8.1.0/24" ]; };""" + REQUIRED)
    talks = [Talk(lab, port=7000 + i, client=client) for i, client in enumerate(lab.clients)]

    def all_carried():
        for each in talks:
            each.ping(2)
        return all("OFFLOAD" in entry["flags"] for entry in natd.json("list", "-p", "tcp"))
    try:
        until(all_carried)
        lab.gateway.run("ip", "link", "set", "lan0p1", "down")
        lab.gateway.run("ip", "link", "set", "lan0p1", "name", "other")
        talks[0].ping(10)
        lab.gateway.run("ip", "link", "set", "other", "name", "lan0p1")
        lab.gateway.run("ip", "link", "set", "lan0p1", "up")
        until(all_carried)
        lab.gateway.run("ip", "link", "set", "out0", "mtu", "1200")
        for each in talks:
            each.ping(2, size=4000)
        until(all_carried)
        lab.gateway.run("ip", "link", "set", "out0", "down")
        lab.gateway.run("ip", "link", "set", "out0", "up")
        lab.gateway.run("ip", "route", "add", "default", "via", Lab.ROUTER)
        until(all_carried)
        before = natd.counters()
        for each in talks:
            each.ping(20)
        after = natd.counters()
        assert after["fast_packets"] - before["fast_packets"] >= 80 and after["tun_read"] == before["tun_read"]
    finally:
        for each in talks:
            each.close()


def test_required_without_the_loader_ends_the_start(start_natd):
    natd = start_natd({"more": 'fast_path = { mode = "required"; };'}, ready=False, environment=WITHOUT_LOADER)
    natd.launch()
    assert natd.process.wait(conftest.READY_S) == 3
    assert natd.text().count("cannot run /nonexistent") == 1
    natd.process = None


def test_auto_without_the_loader_says_why(start_natd):
    natd = start_natd({"more": 'fast_path = { mode = "auto"; };'}, environment=WITHOUT_LOADER)
    assert natd.json("status")["fast_path"].startswith("off: cannot run /nonexistent")


def flow_maps(natd):
    """Bytes of natd's tc maps that are larger than a megabyte: those of ports (1.6 MB) and flows."""
    with open(f"/proc/{natd.pid()}/maps", encoding="ascii") as maps:
        ranges = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) .*bpf-map", maps.read(), re.M)
    return sum(size for size in (int(end, 16) - int(begin, 16) for begin, end in ranges) if size >= 1 << 20)


def test_off_makes_no_maps(start_natd):
    natd = start_natd({"more": 'fast_path = { mode = "off"; steering = "bpf"; };'}, environment=WITH_LOADER)
    assert natd.json("status")["fast_path"] == 'off: fast_path.mode = "off"'
    assert natd.json("status")["steering"] == "bpf"
    assert 1 << 20 < flow_maps(natd) < 2 << 20


def test_a_session_takes_at_most_96_bytes(fast):
    """In the maps: its place in the flow map and two in the index. Beside them natd has 6 bytes of its own."""
    natd = fast()
    assert 6 << 20 < flow_maps(natd) <= 65536 * 96 + (2 << 20)
