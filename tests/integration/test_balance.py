# SPDX-License-Identifier: ISC
"""Balanced forwards on the wire: the choice, backends that die and come back, drain, virtual addresses, a restart."""
import glob
import json
import os
import re
import signal
import socket
import threading

import pytest

from netlab import Lab
from test_dynamic import wait_for
from test_events import Monitor

GATEWAY = Lab.OUTSIDE
VIRTUAL = "10.96.0.10"
HOSTS = Lab.CLIENTS[:2]
CHECK = "check = { type = \"%s\"; interval = 1; rise = 1; fall = 1; %s };"
CONFIG = """
forwards = (
  { name = "web"; protocol = "tcp"; port = 80; to = [ "%s:8080", "%s:8080" ]; affinity = 0; %s },
  { name = "dns"; protocol = "udp"; port = 53; to = [ "%s", "%s" ]; affinity = 0; },
  { name = "inner"; protocol = [ "tcp", "udp" ]; side = "inside"; address = "10.96.0.10"; port = 80;
    to = [ "%s:8080" ]; }
);
"""


def config(check=""):
    return {"more": CONFIG % (*HOSTS, check, *HOSTS, HOSTS[1])}


class Backend:
    """A TCP server on an inside host that answers each connection with that host's number."""

    def __init__(self, namespace, number, answer=None, port=8080):
        self.listener = namespace.tcp_listener(port=port)
        self.answer = answer or str(number).encode()
        self.connections = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            self.connections.append((connection, peer))
            try:
                connection.sendall(self.answer)
                if self.answer.startswith(b"HTTP"):
                    connection.close()
            except OSError:
                pass

    def die(self):
        """Connections stay as they are, as those of a host that is gone."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def close(self):
        for connection, _ in self.connections:
            connection.close()
        self.die()


@pytest.fixture
def backends(lab):
    made = []

    def make(number, **options):
        made.append(Backend(lab.clients[number], number, **options))
        return made[-1]

    yield make
    for backend in made:
        try:
            backend.close()
        except OSError:
            pass


def call(namespace, address, port=80):
    """The open connection, and the number of the backend that answered."""
    sock = namespace.socket()
    sock.settimeout(10)
    sock.connect((address, port))
    return sock, sock.recv(100)


def states(natd, forward="web"):
    listed = {f["name"]: f for f in natd.json("forwards")["forwards"]}
    return [backend["state"] for backend in listed[forward]["backends"]]


def wait_event(natd, kind, action):
    """Does something, and waits for the event that tells of it."""
    monitor = Monitor(natd, "monitor", "-e", "BACKEND")
    action()
    monitor.wait(kind)
    monitor.end()


def test_a_forward_spreads_and_shows_its_backends(lab, start_natd, backends):
    natd = start_natd(config())
    for number in range(2):
        backends(number)
    sock, first = call(lab.server, GATEWAY)
    with sock:
        entry = next(e for e in natd.json("list", "--forward", "web") if e["state"] == "ESTABLISHED")
        assert entry["backend"] == f"{HOSTS[int(first)]}:8080"
        assert f"backend={HOSTS[int(first)]}:8080 id=" in natd.ctl("list").stdout
        assert f"{HOSTS[int(first)]}:8080 takes it" in natd.ctl("explain", "tcp", f"{Lab.SERVERS[0]}:9", f"{GATEWAY}:80",
                                                                check=False).stdout
    assert states(natd) == ["up", "up"]
    line = natd.ctl("forwards").stdout
    assert "web tcp outside=any:80 inside=2-backends from=any balance=hash affinity=0\n" in line
    assert re.search(rf"web backend={HOSTS[0]}:8080 weight=1 state=up sessions=\d", line)


def test_drain_moves_new_sessions_alone_and_outlives_a_restart(lab, start_natd, backends):
    natd = start_natd(config())
    for number in range(2):
        backends(number)
    sock, first = call(lab.server, GATEWAY)
    host = f"{HOSTS[int(first)]}:8080"
    with sock:
        assert natd.ctl("backend", "web", host, "drain").stdout == f"web {host}: drained\n"
        done = json.loads(natd.ctl("-j", "backend", "web", HOSTS[int(first)], "drain").stdout)
        assert done == {"forward": "web", "backend": HOSTS[int(first)], "drained": True, "changed": False}
        other, second = call(lab.server, GATEWAY)
        other.close()
        assert second != first
        sock.sendall(b"still here")
    assert states(natd)[int(first)] == "drained"
    natd.ctl("reload")
    assert states(natd)[int(first)] == "drained"
    natd.stop()
    natd.start()
    assert states(natd)[int(first)] == "drained"
    natd.ctl("backend", "web", host, "resume")
    assert states(natd) == ["up", "up"]
    for wrong in (("web", "10.8.0.99", "drain"), ("no", host, "drain")):
        assert natd.ctl("backend", *wrong, check=False).returncode == 1
    assert natd.ctl("backend", "web", host, "dry", check=False).returncode == 2


def test_a_dead_backend_is_found_its_clients_reset_and_all_down_refused(lab, start_natd, backends):
    made = [backends(number) for number in range(2)]
    natd = start_natd(config(CHECK % ("tcp", "")))
    sock, first = call(lab.server, GATEWAY)
    number = int(first)
    with sock:
        wait_event(natd, rf"web {HOSTS[number]}:8080 down", made[number].die)
        with pytest.raises(ConnectionResetError):
            while sock.recv(100):
                pass
    assert "reason=backend-down" in natd.ctl("history", "--forward", "web").stdout
    assert states(natd)[number] == "down"
    natd.wait_log(rf'forward "web": backend {HOSTS[number]}:8080 is down: connection refused')
    other, second = call(lab.server, GATEWAY)
    other.close()
    assert second != first
    wait_event(natd, rf"web {HOSTS[1 - number]}:8080 down", made[1 - number].die)
    with natd.counted(drop_backends_down=1):
        with pytest.raises(ConnectionRefusedError):
            call(lab.server, GATEWAY)
    assert natd.counters()["backends_down"] == 2
    natd.stop()
    natd.start()
    assert states(natd) == ["down", "down"]
    wait_event(natd, rf"web {HOSTS[0]}:8080 up", lambda: backends(0))
    sock, first = call(lab.server, GATEWAY)
    sock.close()
    assert first == b"0"


def test_http_checks_look_at_the_status(start_natd, backends):
    backends(0, answer=b"HTTP/1.0 204 No content\r\n\r\n")
    backends(1, answer=b"HTTP/1.0 503 Busy\r\n\r\n")
    natd = start_natd(config(CHECK % ("http", 'path = "/health"; status = "200-299";')))
    natd.wait_log(rf"backend {HOSTS[1]}:8080 is down: its HTTP status", timeout=20)
    assert states(natd) == ["up", "down"]


def test_kube_proxy_stale_udp_entry_on_the_wire(lab, start_natd):
    natd = start_natd(config())
    servers = [lab.clients[number].udp(port=53) for number in range(2)]
    with lab.server.udp(Lab.SERVERS[0], 5300) as client:
        client.sendto(b"one", (GATEWAY, 53))
        entry = natd.json("list", "-p", "udp")[0]
        number = HOSTS.index(entry["inside"]["address"])
        assert servers[number].recv(9) == b"one"
        natd.write_config({"more": CONFIG.replace('to = [ "%s", "%s" ]; affinity = 0; },\n  { name = "inner"',
                                                  'to = [ "%s" ]; affinity = 0; },\n  { name = "inner"')
                           % (*HOSTS, "", HOSTS[1 - number], HOSTS[1])})
        natd.ctl("reload")
        client.sendto(b"two", (GATEWAY, 53))
        assert servers[1 - number].recv(9) == b"two"
        servers[1 - number].sendto(b"back", (Lab.SERVERS[0], 5300))
        assert client.recvfrom(9) == (b"back", (GATEWAY, 53))
    for server in servers:
        server.close()


def test_inside_hosts_reach_a_virtual_address_and_a_backend_itself(lab, start_natd, backends):
    natd = start_natd(config())
    made = backends(1)
    for number in (0, 1):
        sock, answer = call(lab.clients[number], VIRTUAL)
        sock.close()
        assert answer == b"1"
    assert {peer[0] for _, peer in made.connections} == {GATEWAY}
    assert VIRTUAL not in natd.ctl("pools").stdout


def of_natd(*names):
    """What /proc says of the processes of these names: each a dictionary, of this test's natd and of other tests'."""
    found = []
    for name in glob.glob("/proc/[0-9]*/status"):
        try:
            with open(name, encoding="ascii") as file:
                found.append(dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line))
        except OSError:
            pass  # it has ended
    return [status for status in found if status["Name"] in names]


def fork_of(natd, before, name):
    """The process of that name that has come since `before`: the pid. Tests that run beside this one have process groups of
    their own."""
    with open(f"/proc/{natd.pid()}/stat", encoding="ascii") as stat:
        group = stat.read().rsplit(") ", 1)[1].split()[2]

    def new():
        return [int(status["Pid"]) for status in of_natd(name)
                if int(status["Pid"]) not in before and status["NSpgid"].split("\t")[0] == group]
    wait_for(new)
    return new()[0]


def pids(*names):
    return {int(status["Pid"]) for status in of_natd(*names)}


def finding(natd):
    checks = json.loads(natd.ctl("-j", "doctor", check=False).stdout)["checks"]
    return next(check for check in checks if check["id"] == "health-checks")


def test_a_fault_that_ends_the_checks_is_seen_and_overcome(start_natd, backends):
    made = [backends(number) for number in range(2)]
    before = pids("natd-health", "natd-keeper")
    natd = start_natd(config(CHECK % ("tcp", "")))
    keeper, prober = fork_of(natd, before, "natd-keeper"), fork_of(natd, before, "natd-health")
    assert finding(natd)["severity"] == "ok"
    os.kill(prober, signal.SIGKILL)
    natd.wait_log("a fault ended the process that checks backends: a new one checks them now")
    assert "1 since natd started" in finding(natd)["what"]
    wait_event(natd, rf"web {HOSTS[0]}:8080 down", made[0].die)
    os.kill(keeper, signal.SIGKILL)
    os.kill(fork_of(natd, before | {prober}, "natd-health"), signal.SIGKILL)
    natd.wait_log("the process that checks backends has ended")
    assert finding(natd)["severity"] == "fail"
    assert states(natd) == ["down", "up"]


def test_the_process_that_checks_has_no_right(start_natd):
    start_natd(config(CHECK % ("tcp", "")))
    found = of_natd("natd-health", "natd-keeper")
    assert found
    for status in found:
        assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
        assert status["NoNewPrivs"] == "1"
