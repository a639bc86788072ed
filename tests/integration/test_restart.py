# SPDX-License-Identifier: ISC
"""Connections outlive the process: killed, restarted, stopped, with strange things in the store."""
import contextlib
import errno
import hashlib
import json
import os
import re
import select
import signal
import socket
import struct
import threading
import time

import pytest

from conftest import CONFIG, STEERING
from manager import Manager
from netlab import Lab

SERVER = Lab.SERVERS[0]
KILLS = 20
BLOCK = hashlib.sha256(b"natd").digest() * 512


def until(condition, timeout=10):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        select.select([], [], [], 0.01)


def exchange(sock, text=b"x", address=SERVER):
    """The (address, port) as which the echo server sees this socket."""
    sock.sendto(text, (address, 7))
    seen = sock.recvfrom(2000)[0].split()
    return seen[0].decode(), int(seen[1])


def identities(natd):
    return sorted((e["id"], e["inside"]["port"], e["outside"]["port"]) for e in natd.json("list"))


# ---- conversations that must not notice ----

class Download:
    """A TCP stream from the server that lasts until the test ends it, hashed at both ends."""

    def __init__(self, lab, per_second=8 << 20):
        self.sent, self.received = hashlib.sha256(), hashlib.sha256()
        self._enough = threading.Event()
        self._pause_s = len(BLOCK) / per_second
        self._listener = lab.server.tcp_listener(port=8000)
        self._client = lab.client.socket()
        self._client.settimeout(30)
        self._client.connect((SERVER, 8000))
        peer, self.seen = self._listener.accept()
        self.bytes = 0
        self.error = None
        self._threads = [threading.Thread(target=self._send, args=(peer,), daemon=True),
                         threading.Thread(target=self._receive, daemon=True)]
        for thread in self._threads:
            thread.start()

    def _send(self, peer):
        count = 0
        peer.settimeout(30)
        with peer:
            while not self._enough.wait(self._pause_s):
                block = count.to_bytes(8, "big") + BLOCK
                peer.sendall(block)
                self.sent.update(block)
                count += 1

    def _receive(self):
        try:
            while True:
                data = self._client.recv(1 << 16)
                if not data:
                    return
                self.received.update(data)
                self.bytes += len(data)
        except OSError as error:
            self.error = error

    def end(self):
        self._enough.set()
        for thread in self._threads:
            thread.join(40)
        self._client.close()
        self._listener.close()
        assert self.error is None
        assert self.received.digest() == self.sent.digest()
        return self.bytes


class Exchange:
    """A numbered datagram every `pause_s`, and when its echo came; errors and strange ports are noted."""

    def __init__(self, lab, pause_s=0.005):
        self.pause_s = pause_s
        self.ports = set()
        self.sent = 0
        self.came = {}
        self.errors = []
        self._enough = threading.Event()
        self._sock = lab.client.udp()
        self._sock.connect((SERVER, 7))  # so that ICMP errors are reported
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _note(self, error):
        if error.errno not in (errno.EAGAIN, errno.ETIMEDOUT) and not isinstance(error, TimeoutError):
            self.errors.append(error)

    def _send(self):
        while not self._enough.wait(self.pause_s):
            try:
                self._sock.send(b"%d" % self.sent)
            except OSError as error:
                self._note(error)
            self.sent += 1

    def _receive(self):
        self._sock.settimeout(0.5)
        while not (self._enough.is_set() and len(self.came) >= self.sent):
            try:
                fields = self._sock.recv(2000).split()
            except OSError as error:
                self._note(error)
                if self._enough.is_set():
                    return
                continue
            self.ports.add(int(fields[1]))
            self.came[int(fields[2])] = time.monotonic()

    def longest_pause_ms(self):
        times = sorted(self.came.values())
        return max((b - a for a, b in zip(times, times[1:])), default=0) * 1000

    def end(self):
        """How many datagrams were lost."""
        self._enough.set()
        for thread in self._threads:
            thread.join(10)
        self._sock.close()
        assert self.errors == []
        assert len(self.ports) == 1
        return self.sent - len(self.came)


class Idle:
    """An open TCP connection on which nothing is said until the end."""

    def __init__(self, lab):
        self._listener = lab.server.tcp_listener(port=8001)
        self._client = lab.client.socket()
        self._client.connect((SERVER, 8001))
        self._peer, self._seen = self._listener.accept()

    def end(self):
        for a, b in ((self._peer, self._client), (self._client, self._peer)):
            a.sendall(b"still there?")
            assert b.recv(100) == b"still there?"
        for each in (self._client, self._peer, self._listener):
            each.close()


def test_twenty_kills_are_a_pause_and_no_more(lab, keep_natd, udp_echo):
    udp_echo()
    natd = keep_natd()
    download, talk, idle = Download(lab), Exchange(lab), Idle(lab)
    until(lambda: talk.came and download.bytes)
    before, network = identities(natd), lab.gateway.network_state()
    assert len(before) == 3
    for _ in range(KILLS):
        natd.crash()
        assert lab.gateway.network_state() == network  # device, routes and rules stay, and so inside stays closed
        natd.start()
        natd.wait_log("restored 3 sessions, dropped 0 damaged ones, ended 0")
        assert identities(natd) == before
        heard = len(talk.came)
        until(lambda: len(talk.came) > heard + 5)
    idle.end()
    lost = talk.end()
    count = download.end()
    assert lab.gateway.network_state() == network
    print(f"\n{KILLS} kills: {count >> 20} MiB over TCP; UDP lost {lost} of {talk.sent}, "
          f"longest pause {talk.longest_pause_ms():.0f} ms")
    assert lost <= KILLS * 2  # what natd had in its hands


def test_restart_is_a_pause_without_loss(lab, keep_natd, bus, udp_echo):
    udp_echo()
    asked = bus("restart")
    natd = keep_natd(environment=asked.environment)
    download, talk, idle = Download(lab), Exchange(lab, 0.001), Idle(lab)
    until(lambda: talk.came and download.bytes)
    before, network = identities(natd), lab.gateway.network_state()
    pauses = []
    for _ in range(5):
        at = len(natd.manager.messages)
        assert natd.stop() == 0
        assert "restarting: routing, device and connections stay" in natd.text()
        natd.manager.wait("STOPPING", at)
        assert natd.manager.names() == ["icmp", "table", "tun"]
        assert lab.gateway.network_state() == network
        natd.start()
        assert identities(natd) == before
        heard = len(talk.came)
        until(lambda: len(talk.came) > heard + 20)
        pauses.append(talk.longest_pause_ms())
    idle.end()
    assert talk.end() == 0
    download.end()
    print(f"\n5 restarts: UDP lost 0 of {talk.sent}, longest pause {max(pauses):.0f} ms")


@pytest.mark.parametrize("job", ["stop", None, "silent", "no bus"])
def test_what_is_no_restart_puts_everything_back(lab, keep_natd, bus, udp_echo, tmp_path, job):
    """A stop; no job at all (systemctl kill); a bus that says nothing, or is not there: as without a manager."""
    udp_echo()
    before = lab.gateway.network_state()
    environment = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/none"} if job == "no bus" else bus(job).environment
    natd = keep_natd(environment=environment)
    with lab.client.udp() as sock:
        exchange(sock)
    since = time.monotonic()
    assert natd.stop() == 0
    assert time.monotonic() - since < 3
    assert lab.gateway.network_state() == before
    assert natd.manager.names() == ["table"]  # which the manager itself drops, unless this was a restart after all


def test_restart_that_natd_could_not_know_of_keeps_the_sessions(lab, keep_natd, udp_echo):
    udp_echo()
    natd = keep_natd(environment={"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nowhere"})
    with lab.client.udp() as sock:
        seen, before = exchange(sock), identities(natd)
        assert natd.stop() == 0
        natd.start()
        assert identities(natd) == before
        assert exchange(sock) == seen


def test_packets_wait_while_nobody_reads(lab, keep_natd):
    natd = keep_natd()
    count = 4000
    with lab.client.udp() as sock, lab.server.udp(port=9) as sink:
        sock.sendto(b"first", (SERVER, 9))
        assert sink.recv(100) == b"first"
        natd.crash()
        for i in range(count):
            sock.sendto(b"%d" % i, (SERVER, 9))
        natd.start()
        assert sink.recv(100) == b"0"
        until(lambda: natd.counters()["tun_read"] >= count)  # what the sink takes at once is another matter
        entry, = natd.json("list")
        assert entry["out"]["packets"] == 1 + count


def test_an_answer_to_ping_waits_too(lab, keep_natd):
    """Its copy comes by a socket, not by the device."""
    natd = keep_natd()
    ping = lab.client.start("ping", "-i", "0.01", "-c", "300", "-W", "5", SERVER, stdout=-1, text=True)
    read = "tun_read" if STEERING == "bpf" else "icmp_read"

    def passed():
        counted = natd.counters()
        return counted[read] + counted["fast_packets"]
    until(lambda: passed() > 20)
    for _ in range(3):
        natd.crash()
        natd.start()
        until(lambda: passed() > 5)
    out = ping.communicate(timeout=30)[0]
    received = int(re.search(r"(\d+) received", out).group(1))
    assert received >= 300 - 3, out


def test_timers_account_for_the_time_away(lab, keep_natd, udp_echo):
    udp_echo()
    natd = keep_natd({"more": "timeouts = { udp = 120; };"})
    with lab.client.udp() as sock:
        exchange(sock)
        natd.crash()
        until_s = time.monotonic() + 2.1
        until(lambda: time.monotonic() > until_s)
        natd.start()
        entry, = natd.json("list")
        assert entry["timeout"] <= 118
        assert entry["age"] >= 2


def test_quarantine_survives(lab, keep_natd, udp_echo):
    """Two ports in all: one session's is given back just before the end, and must not be another's at once."""
    udp_echo()
    natd = keep_natd({"outside": 'ports = [ "40000-40001" ];'})
    with lab.client.udp() as first, lab.client.udp() as second, lab.client.udp() as third:
        freed = exchange(first)[1]
        natd.ctl("delete", "--sport", first.getsockname()[1])
        natd.crash()
        natd.start()
        natd.wait_log("restored 0 sessions, .* 1 ports in quarantine")
        assert {exchange(second)[1], freed} == {40000, 40001}
        third.sendto(b"x", (SERVER, 7))
        until(lambda: len(natd.json("list")) == 2 or natd.counters()["ports_recycled"] > 0)


def test_changed_configuration_is_applied_at_a_restart(lab, keep_natd, bus, udp_echo):
    udp_echo()
    natd = keep_natd(environment=bus("restart").environment)
    with lab.client.udp() as sock, lab.clients[1].udp() as other:
        seen = exchange(sock)
        exchange(other)
        assert natd.stop() == 0
        text = CONFIG.format(socket=natd.socket, addresses='[ "interface" ]', outside="", inside="", more="")
        natd.write_config(text.replace(Lab.INSIDE, "10.8.0.2/32"))
        natd.start()
        natd.wait_log("restored 2 sessions, dropped 0 damaged ones, ended 1 that the configuration forbids")
        assert [entry["inside"]["address"] for entry in natd.json("list")] == ["10.8.0.2"]
        assert exchange(sock) == seen


def queue_names(count):
    return sorted(["icmp", "table", "tun"] + [f"tun{i}" for i in range(1, count)])


@contextlib.contextmanager
def flows(lab, count):
    """So many sockets of the client, each with a session to port 9, and the socket there."""
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(lab.server.udp(port=9))
        socks = [stack.enter_context(lab.client.udp()) for _ in range(count)]
        for sock in socks:
            sock.sendto(b"first", (SERVER, 9))
            assert sink.recv(100) == b"first"
        yield socks, sink


def waiting(manager):
    """Of the queues in the store, those in which something waits."""
    queues = {fd: name for name, fd in manager.store if name.startswith("tun")}
    return sorted(queues[fd] for fd in select.select(list(queues), [], [], 0)[0])


def send_to_each(socks, sink, per_flow, meanwhile):
    """Numbered datagrams of each flow; what came of them after `meanwhile`, by flow."""
    for i in range(per_flow):
        for n, sock in enumerate(socks):
            sock.sendto(b"%d %d" % (n, i), (SERVER, 9))
    meanwhile()
    got = [[] for _ in socks]
    sink.settimeout(10)
    for _ in range(per_flow * len(socks)):
        n, i = map(int, sink.recv(100).split())
        got[n].append(i)
    return got


def test_packets_wait_in_each_queue(lab, keep_natd, manager):
    """Several queues: all of them are kept, with the packets that came while none was read."""
    natd = keep_natd({"more": "tun = { queues = 4; };"})
    assert manager.names() == queue_names(4)
    with flows(lab, 48) as (socks, sink):
        before = identities(natd)
        for _ in range(3):
            natd.crash()

            def start():
                assert waiting(manager) == ["tun", "tun1", "tun2", "tun3"]
                natd.start()

            # no more than the sink takes at once
            assert send_to_each(socks, sink, 4, start) == [list(range(4))] * len(socks)
            assert identities(natd) == before
            assert manager.names() == queue_names(4)
            assert "previous natd" not in natd.text() and "inherited" not in natd.text()


@pytest.mark.parametrize("before, after", [(4, 2), (2, 4), (3, 3), (2, 1), (1, 3)])
def test_other_number_of_queues_at_a_restart(lab, keep_natd, manager, bus, udp_echo, before, after):
    """The surplus is closed, what is missing made; between one and several the device is another kind. Flows go on."""
    udp_echo()
    network = lab.gateway.network_state()
    asked = bus("restart")
    natd = keep_natd({"more": f"tun = {{ queues = {before}; }};"}, environment=asked.environment)
    with flows(lab, 16) as (socks, sink):
        known = identities(natd)
        assert natd.stop() == 0
        assert manager.names() == queue_names(before)
        natd.write_config({"more": f"tun = {{ queues = {after}; }};"})
        natd.start()
        assert manager.names() == queue_names(after)
        assert len([line for line in natd.text().splitlines() if "more queues: packets that waited" in line]) == (
            1 if before > after > 1 else 0)
        assert ("recreating it" in natd.text()) == (min(before, after) == 1 and before != after)
        assert identities(natd) == known
        assert send_to_each(socks, sink, 5, lambda: None) == [list(range(5))] * len(socks)
        queues = lab.gateway.run("ip", "-details", "-json", "link", "show", "natd0").stdout
        assert json.loads(queues)[0]["linkinfo"]["info_data"].get("numqueues", 1) == after
    asked.job = "stop"
    assert natd.stop() == 0
    assert manager.names() == ["table"]
    assert lab.gateway.network_state() == network


def test_strange_queue_is_replaced(lab, keep_natd, manager, udp_echo):
    udp_echo()
    natd = keep_natd({"more": "tun = { queues = 3; };"})
    with flows(lab, 16) as (socks, sink):
        natd.crash()
        kept = [entry for entry in manager.store if entry[0] == "tun1"][0]
        manager.store.remove(kept)
        os.close(kept[1])
        fd = os.open("/dev/null", os.O_RDWR)
        manager.put("tun1", fd)
        os.close(fd)
        natd.start()
        assert natd.text().count("inherited queue does not belong to natd0: opening another") == 1
        assert manager.names() == queue_names(3)
        assert send_to_each(socks, sink, 5, lambda: None) == [list(range(5))] * len(socks)


@pytest.mark.parametrize("tun", ['name = "natd7"', "offload = false", "queues = 2"])
def test_another_device_takes_the_place_of_the_former(lab, keep_natd, bus, udp_echo, tun):
    udp_echo()
    before = lab.gateway.network_state()
    asked = bus("restart")
    natd = keep_natd(environment=asked.environment)
    with lab.client.udp() as sock:
        seen = exchange(sock)
        assert natd.stop() == 0
        natd.write_config({"more": f"tun = {{ {tun}; }};"})
        natd.start()
        natd.wait_log("inherited TUN device does not match .*: recreating it")
        assert exchange(sock) == seen
        links = lab.gateway.run("ip", "-brief", "link", "show", "type", "tun").stdout.split()
        assert [name for name in links if name.startswith("natd")] == ["natd7" if "name" in tun else "natd0"]
        assert natd.manager.names() == queue_names(2 if "queues" in tun else 1)
        natd.crash()
        natd.start()
        assert exchange(sock) == seen
    asked.job = "stop"
    assert natd.stop() == 0
    assert lab.gateway.network_state() == before


def test_device_recreated_while_running_is_the_one_that_is_kept(lab, keep_natd, udp_echo):
    udp_echo()
    natd = keep_natd()
    with lab.client.udp() as sock:
        seen = exchange(sock)
        at = len(natd.manager.messages)
        lab.gateway.run("ip", "link", "del", "natd0")
        natd.wait_log("natd0: recreated")
        natd.manager.wait("FDSTORE", at)
        natd.crash()
        natd.start()
        assert "recreating it" not in natd.text()
        assert exchange(sock) == seen


def test_start_that_fails_leaves_the_former_ones_things_to_the_next(lab, keep_natd, udp_echo):
    udp_echo()
    natd = keep_natd()
    with lab.client.udp() as sock:
        seen, network = exchange(sock), lab.gateway.network_state()
        natd.crash()
        with open(natd.config_path, encoding="utf-8") as config:
            good = config.read()
        natd.write_config(good.replace(natd.socket, "/proc/no/such.sock"))
        natd.launch()
        assert natd.process.wait(10) == 3
        assert lab.gateway.network_state() == network
        natd.write_config(good)
        natd.start()
        assert exchange(sock) == seen


# ---- strange things in the store (damaged ones: test_damage.py) ----

STRANGE = {
    "table": (lambda: os.open("/dev/null", os.O_RDWR), "the table of the previous natd is of another size"),
    "tun": (lambda: os.open("/dev/null", os.O_RDWR), "inherited TUN device does not match natd0"),
    "icmp": (lambda: socket.socket(socket.AF_UNIX).detach(), "inherited ICMP socket cannot be used"),
    "strange": (lambda: os.open("/dev/null", os.O_RDWR), 'kept a descriptor "strange" that natd has no use for'),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_descriptors_are_given_up_with_one_line(lab, keep_natd, manager, udp_echo, name):
    udp_echo()
    make, said = STRANGE[name]
    fd = make()
    manager.put(name, fd)
    os.close(fd)
    natd = keep_natd()
    assert natd.text().count(said) == 1, natd.text()
    assert manager.names() == ["icmp", "table", "tun"]
    for kept in ("table", "tun", "icmp"):
        assert os.readlink(f"/proc/self/fd/{manager.kept(kept)}") != "/dev/null"
    with lab.client.udp() as sock:
        exchange(sock)


@pytest.mark.parametrize("name", ["table", "tun", "icmp"])
def test_second_descriptor_of_a_name_is_given_up(lab, keep_natd, manager, udp_echo, name):
    udp_echo()
    natd = keep_natd()
    with lab.client.udp() as sock:
        seen, before = exchange(sock), identities(natd)
        natd.crash()
        put_null(manager, name)
        natd.start()
        assert natd.text().count(f'kept more than one descriptor "{name}": given up') == 1
        assert manager.names() == queue_names(1)
        natd.crash()
        natd.start()
        assert "given up" not in natd.text() and "previous natd" not in natd.text() and "inherited" not in natd.text()
        assert identities(natd) == before
        assert exchange(sock) == seen


def test_device_of_another_namespace_is_refused(lab, keep_natd, manager, udp_echo):
    """Its name and kind are right: only the place is wrong."""
    udp_echo()
    with lab.router.entered():
        fd = os.open("/dev/net/tun", os.O_RDWR)
        request = struct.pack("16sH22x", b"natd0", 0x0001 | 0x1000 | 0x4000)
        import fcntl
        fcntl.ioctl(fd, 0x400454ca, request)
    manager.put("tun", fd)
    os.close(fd)
    natd = keep_natd()
    assert "inherited TUN device does not match natd0" in natd.text()
    with lab.client.udp() as sock:
        exchange(sock)


def test_half_a_region_is_another_size(lab, keep_natd, manager, udp_echo):
    udp_echo()
    fd = os.memfd_create("half", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 1 << 20)
    os.pwrite(fd, struct.pack("=QI", 0x656c62617464616e, 9), 0)
    manager.put("table", fd)
    os.close(fd)
    natd = keep_natd()
    assert "has layout 9, this one knows 1 to 3: starting with an empty table" in natd.text()
    with lab.client.udp() as sock:
        exchange(sock)


# ---- the state file and the store together ----

def test_kept_table_is_newer_than_any_file(lab, keep_natd, bus, udp_echo, tmp_path):
    udp_echo()
    state = tmp_path / "state"
    asked = bus("restart")
    natd = keep_natd(options=("--state", state), environment=asked.environment)
    with lab.client.udp() as sock:
        seen = exchange(sock)
        state.write_bytes(b"of yesterday")
        assert natd.stop() == 0
        natd.start()
        assert not state.exists()
        assert exchange(sock) == seen
        asked.job = "stop"
        assert natd.stop() == 0
        assert state.stat().st_size > 4096
        os.close(natd.manager.store.pop(0)[1])  # as systemd does after a stop
        natd.start()
        natd.wait_log("restored 1 sessions")
        assert exchange(sock) == seen


def test_start_that_fails_leaves_the_file_to_the_next(lab, keep_natd, manager, udp_echo, tmp_path):
    """Also when something was in the store: that had no table."""
    udp_echo()
    state = tmp_path / "state"
    natd = keep_natd(options=("--state", state))
    with lab.client.udp() as sock:
        seen = exchange(sock)
        assert natd.stop() == 0
        os.close(manager.store.pop(0)[1])
        with open(natd.config_path, encoding="utf-8") as config:
            good = config.read()
        natd.write_config(good.replace(natd.socket, "/proc/no/such.sock"))
        put_null(manager, "tun")
        natd.launch()
        assert natd.process.wait(10) == 3
        assert state.exists()
        natd.write_config(good)
        natd.start()
        natd.wait_log("restored 1 sessions")
        assert exchange(sock) == seen


# ---- a manager that does not read, or slowly ----

class Hanging(Manager):
    """It stands still between stall() and go_on(), and then takes as many messages as it is given."""

    def __init__(self, path):
        self._may_go_on = threading.Semaphore(0)
        self._is_running = True
        self._stands = threading.Event()
        super().__init__(path)

    def _handle(self, message, descriptors):
        if not self._is_running:
            self._stands.set()
            self._may_go_on.acquire()
        super()._handle(message, descriptors)

    def stall(self):
        """From now on until no message fits any more."""
        self._is_running = False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.sendto(b"somebody else", self.path)
            assert self._stands.wait(5)
            other.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    other.sendto(b"somebody else", self.path)

    def take(self, count=1):
        self._may_go_on.release(count)

    def go_on(self):
        self._stands.clear()
        self._is_running = True
        self.take()

    def has_read_all(self):
        return not select.select([self._socket], [], [], 0)[0]

    def close(self):
        self.go_on()
        super().close()


@pytest.fixture
def manager(tmp_path):
    made = Hanging(tmp_path / "notify")
    yield made
    made.close()


def put_null(manager, name):
    fd = os.open("/dev/null", os.O_RDWR)
    manager.put(name, fd)
    os.close(fd)


def start_unheard(natd):
    """Its messages find no room."""
    natd.manager.stall()
    natd.launch()
    natd.wait_log("^natd: ready")


@pytest.mark.parametrize("queues", [1, 3])
def test_what_the_manager_did_not_take_is_sent_again(lab, keep_natd, manager, udp_echo, queues):
    """All of it before READY, and what natd has no use for goes."""
    udp_echo()
    put_null(manager, "strange")
    natd = keep_natd({"more": f"tun = {{ queues = {queues}; }};"}, ready=False)
    start_unheard(natd)
    with lab.client.udp() as sock:
        seen, before = exchange(sock), identities(natd)
        manager.go_on()
        manager.wait("READY")
        assert manager.names() == queue_names(queues)
        natd.crash()
        natd.start()
        assert "previous natd" not in natd.text() and "inherited" not in natd.text()
        assert identities(natd) == before
        assert exchange(sock) == seen


def test_restart_without_the_table_in_the_store_saves_it(lab, keep_natd, manager, bus, udp_echo, tmp_path):
    """As a stop: nothing is left that the next natd could not take up."""
    udp_echo()
    network = lab.gateway.network_state()
    state = tmp_path / "state"
    natd = keep_natd(options=("--state", state), environment=bus("restart").environment, ready=False)
    start_unheard(natd)
    with lab.client.udp() as sock:
        seen, before = exchange(sock), identities(natd)
        assert natd.stop() == 0
        assert "restarting, but the service manager did not take the connections" in natd.text()
        assert state.exists()
        assert lab.gateway.network_state() == network
        manager.go_on()
        natd.start()
        natd.wait_log("restored 1 sessions")
        assert identities(natd) == before
        assert exchange(sock) == seen


def test_restart_sends_first_what_the_manager_did_not_take(lab, keep_natd, manager, bus, udp_echo):
    """It reads again, but there was no status since."""
    udp_echo()
    natd = keep_natd(environment=bus("restart").environment, ready=False)
    start_unheard(natd)
    with lab.client.udp() as sock:
        seen, before = exchange(sock), identities(natd)
        manager.go_on()
        until(manager.has_read_all)
        assert natd.stop() == 0
        assert "restarting: routing, device and connections stay" in natd.text()
        manager.wait("STOPPING")
        assert manager.names() == queue_names(1)
        natd.start()
        assert identities(natd) == before
        assert exchange(sock) == seen


def test_device_recreated_while_the_manager_stands_still(lab, keep_natd, manager, udp_echo):
    """The dead one leaves the store later, and the new one comes."""
    udp_echo()
    natd = keep_natd()
    with lab.client.udp() as sock:
        seen, before = exchange(sock), identities(natd)
        manager.stall()
        lab.gateway.run("ip", "link", "del", "natd0")
        natd.wait_log("natd0: recreated")
        at = len(manager.messages)
        manager.go_on()
        manager.wait("FDSTORE", at)
        until(manager.has_read_all)
        assert manager.names() == queue_names(1)
        natd.crash()
        natd.start()
        assert "recreating it" not in natd.text()
        assert identities(natd) == before
        assert exchange(sock) == seen


def test_slow_manager_is_waited_for_once(keep_natd, manager):
    """One message each 90 ms: with so many queues the start would last seconds. The rest comes later."""
    count = 48
    natd = keep_natd({"more": f"tun = {{ queues = {count}; }};"}, ready=False)
    manager.stall()
    natd.launch()
    is_ready = threading.Event()

    def take_slowly():
        while not is_ready.wait(0.09):
            manager.take()

    thread = threading.Thread(target=take_slowly, daemon=True)
    thread.start()
    natd.wait_log("^natd: ready")
    is_ready.set()
    thread.join()
    assert len([message for message in manager.messages if "FDSTORE" in message]) < 10
    at = len(manager.messages)
    manager.go_on()
    natd.ctl("reload")
    manager.wait("READY", at)
    assert manager.names() == queue_names(count)
