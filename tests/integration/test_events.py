# SPDX-License-Identifier: ISC
"""Events: natctl monitor and history, and the readers that natd must not wait for."""
import json
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import NATCTL
from netlab import Lab

SERVER = Lab.SERVERS[0]
CLIENT = Lab.CLIENTS[0]


class Monitor:
    """natctl monitor, subscribed. Its lines are read by a thread, unless it is not to be read."""

    def __init__(self, natd, *arguments, read=True):
        readers = natd.counters()["event_readers"]
        self.process = subprocess.Popen([NATCTL, "-s", natd.socket, *arguments], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.lines = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        for _ in range(500):
            if natd.counters()["event_readers"] > readers:
                break
            assert self.process.poll() is None, self.process.stderr.read()
        else:
            raise AssertionError("no subscription")
        if read:
            self.read()

    def read(self):
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    def wait(self, pattern, timeout=10):
        """The first line that matches, as soon as it is there."""
        with self._changed:
            found = self._changed.wait_for(
                lambda: next((line for line in self.lines if re.search(pattern, line)), None), timeout)
        assert found, f"no line like {pattern!r}:\n" + "\n".join(self.lines[-50:])
        return found

    def wait_count(self, pattern, count, timeout=20):
        with self._changed:
            assert self._changed.wait_for(
                lambda: sum(bool(re.search(pattern, line)) for line in self.lines) >= count, timeout), \
                f"fewer than {count} lines like {pattern!r}:\n" + "\n".join(self.lines[-50:])

    def wait_end(self):
        """Its exit status, once it has ended by itself; all of its lines are there then."""
        status = self.process.wait(10)
        if self._reader.ident:
            self._reader.join(10)
        return status

    def end(self, how=signal.SIGINT):
        """Its exit status and its standard error."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.wait_end(), self.process.stderr.read()


@pytest.fixture
def natd(request, start_natd):
    """natd with what the test's `natd` mark adds to the configuration."""
    mark = request.node.get_closest_marker("natd")
    return start_natd(mark.kwargs if mark else None)


@pytest.fixture
def monitor(natd):
    started = []

    def start(*arguments, **options):
        started.append(Monitor(natd, *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()


def send(namespace, port, to=(SERVER, 9)):
    with namespace.udp(port=port) as sock:
        sock.sendto(b"x", to)


def test_monitor_prints_what_conntrack_prints(lab, natd, monitor, udp_echo):
    udp_echo()
    seen = monitor("monitor")
    with lab.client.udp(port=5353) as sock:
        sock.sendto(b"hello", (SERVER, 7))
        sock.recvfrom(100)
    new = seen.wait(r"\[NEW\]")
    assert re.fullmatch(rf"    \[NEW\] udp      17 300 src={CLIENT} dst={SERVER} sport=5353 dport=7 \[UNREPLIED\] "
                        rf"src={SERVER} dst={Lab.OUTSIDE} sport=7 dport=\d+ id=\d+", new)
    natd.ctl("flush")
    end = seen.wait(r"\[DESTROY\]")
    assert re.fullmatch(rf"\[DESTROY\] udp      17 src={CLIENT} dst={SERVER} sport=5353 dport=7 packets=1 bytes=33 "
                        rf"src={SERVER} dst={Lab.OUTSIDE} sport=7 dport=\d+ packets=1 bytes=\d+ .*id=\d+ reason=flushed",
                        end)
    assert re.search(r"id=\d+", new).group() == re.search(r"id=\d+", end).group()
    assert seen.end() == (0, f"natctl: {len(seen.lines)} flow events have been shown.\n")


def test_monitor_follows_tcp_from_syn_to_fin(lab, natd, monitor):
    seen = monitor("-E", "-o", "timestamp")
    listener = lab.server.tcp_listener(port=443)
    with lab.client.socket() as tcp:
        tcp.connect((SERVER, 443))
        accepted, _ = listener.accept()
    accepted.close()
    listener.close()
    seen.wait(r"\[NEW\] tcp      6 \d+ SYN_SENT")
    seen.wait(r"\[UPDATE\] tcp      6 \d+ SYN_RECV")
    seen.wait(r"\[UPDATE\] tcp      6 \d+ ESTABLISHED .*\[ASSURED\]")
    line = seen.wait(r"\[UPDATE\] tcp      6 \d+ TIME_WAIT")
    assert re.match(r"\[\d{10}\.\d{6}\]\t \[UPDATE\]", line)


def test_monitor_as_json(lab, natd, monitor):
    seen = monitor("-j", "monitor", "-e", "NEW,DESTROY,MAPPING", "-c", "4")
    send(lab.client, 4000)
    for _ in range(200):
        if natd.ctl("delete", "-s", CLIENT, check=False).returncode == 0:
            break
    assert seen.wait_end() == 0
    events = [json.loads(line) for line in seen.lines]
    events = {e["event"] + (e["state"] if e["event"] == "MAPPING" else ""): e for e in events}
    assert set(events) == {"NEW", "DESTROY", "MAPPINGopened", "MAPPINGclosed"}
    new, end = events["NEW"], events["DESTROY"]
    assert new["id"] == end["id"] and new["inside"] == {"address": CLIENT, "port": 4000}
    assert end["reason"] == "deleted" and end["out"]["packets"] == 1
    assert events["MAPPINGopened"]["outside"] == new["outside"]
    assert end["time"] >= new["time"] > 1.6e9


def test_monitor_shows_only_what_the_filter_matches(lab, natd, monitor):
    seen = monitor("monitor", "-s", CLIENT, "--sport", "4001")
    send(lab.clients[1], 4001)
    send(lab.client, 4000)
    send(lab.client, 4001)
    seen.wait("sport=4001")
    assert [line for line in seen.lines if f"src={CLIENT} " not in line or "sport=4001" not in line] == []


@pytest.mark.natd(more='limits = { sessions_per_host = 2; };')
def test_refusals_can_be_monitored_and_leave_the_history_alone(lab, natd, monitor):
    seen = monitor("monitor", "-e", "REFUSED")
    for port in range(4000, 4010):
        send(lab.client, port)
    line = seen.wait("reason=drop_host_sessions")
    assert line.startswith("[REFUSED] udp      17 ") and " id=" not in line and f"src={CLIENT}" in line
    natd.ctl("flush")
    assert len(natd.ctl("history").stdout.splitlines()) == 2


def test_unsolicited_packet_is_a_refusal(lab, natd, monitor):
    seen = monitor("monitor", "-e", "REFUSED")
    with lab.server.udp(port=9) as sock:
        sock.sendto(b"x", (Lab.OUTSIDE, 20000))
    line = seen.wait("reason=drop_unsolicited")
    assert f"src={SERVER} dst={Lab.OUTSIDE} sport=9 dport=20000 [UNREPLIED]" in line


@pytest.mark.natd(more='limits = { sessions = 10; }; alarms = { sessions = 50; };')
def test_alarm_is_raised_and_cleared_once(lab, natd, monitor):
    seen = monitor("-j", "monitor", "-e", "ALARM")
    for port in range(4000, 4006):
        send(lab.clients[port % 2], port)
    for _ in range(500):
        warnings = natd.json("status")["warnings"]
        if any(w["id"] == "sessions" for w in warnings):
            break
    warning, = (w for w in warnings if w["id"] == "sessions")
    assert warning["percent"] >= 50
    natd.wait_log("alarm sessions: ")
    natd.ctl("flush")
    assert not any(w["id"] == "sessions" for w in natd.json("status")["warnings"])
    seen.wait("cleared")
    assert [json.loads(line)["state"] for line in seen.lines] == ["raised", "cleared"]
    assert json.loads(seen.lines[0])["id"] == "sessions"


def test_reload_is_an_event(natd, monitor):
    seen = monitor("monitor", "-e", "CONFIG")
    natd.ctl("reload")
    assert seen.wait("CONFIG") == " [CONFIG] reloaded: 0 sessions kept, 0 ended"


def outside_port(natd, port):
    """Of the session of the client's port, as soon as natd has it."""
    for _ in range(500):
        for entry in natd.json("list"):
            if entry["inside"]["port"] == port:
                return entry["outside"]["port"]
    raise AssertionError(natd.ctl("list").stdout)


def test_who_has_an_outside_endpoint(lab, natd):
    send(lab.client, 4000)
    port = outside_port(natd, 4000)
    endpoint = f"{Lab.OUTSIDE}:{port}"
    assert natd.ctl("who", endpoint).stdout == f"udp inside={CLIENT}:4000 outside={endpoint}\n"
    assert natd.ctl("who", endpoint, "udp").returncode == 0
    assert natd.json("who", endpoint)["inside"] == {"address": CLIENT, "port": 4000}
    for nobody in ((endpoint, "tcp"), (f"{Lab.OUTSIDE}:{port ^ 1}",), ("192.0.2.1:80",)):
        done = natd.ctl("who", *nobody, check=False)
        assert (done.returncode, done.stdout) == (1, "") and "nobody has" in done.stderr, nobody


@pytest.mark.natd(more='forwards = ( { name = "game"; protocol = "udp"; port = "500-509"; to = "10.8.0.2:7000"; } );')
def test_who_knows_forwards(natd):
    assert natd.ctl("who", f"{Lab.OUTSIDE}:503").stdout == f"udp inside=10.8.0.2:7003 outside={Lab.OUTSIDE}:503\n"


def test_who_had_an_outside_endpoint(lab, natd):
    send(lab.client, 4000)
    endpoint = f"{Lab.OUTSIDE}:{outside_port(natd, 4000)}"
    now = int(time.time()) + 1  # ages are whole seconds
    live = natd.ctl("who", endpoint, "--at", now).stdout
    assert live.startswith(f"udp inside={CLIENT}:4000 outside={endpoint} since=")
    natd.ctl("flush")
    ended = natd.json("history")
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ended["time"] - 0.001))
    had = natd.ctl("who", endpoint, "--at", at).stdout
    assert had.startswith(f"udp inside={CLIENT}:4000 ") and " until=" in had
    done = natd.ctl("who", endpoint, "--at", now - 3600, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"not known: history begins at \d{4}-\d\d-\d\dT", done.stderr)


@pytest.mark.parametrize("arguments", [(), ("10.0.0.1",), ("10.0.0.1:99999",), ("10.0.0.1:1", "gre"),
                                       ("10.0.0.1:1", "--at", "yesterday"), ("10.0.0.1:1", "udp", "x")])
def test_who_with_wrong_arguments(natd, arguments):
    done = natd.ctl("who", *arguments, check=False)
    assert (done.returncode, done.stdout) == (2, "")


def test_history_says_when_and_why(lab, natd):
    send(lab.client, 4000)
    for _ in range(200):
        if natd.ctl("delete", "--sport", "4000", check=False).returncode == 0:
            break
    send(lab.client, 4001)
    for _ in range(200):
        if natd.ctl("count").stdout == "1\n":
            break
    natd.ctl("flush")
    done = natd.ctl("history")
    first, last = done.stdout.splitlines()
    assert re.fullmatch(rf"udp      17 0 src={CLIENT} .* id=\d+ ended=\d reason=deleted", first)
    assert re.search(r"sport=4001 .* ended=\d reason=flushed$", last)
    assert done.stderr == "natctl: 2 flow entries have been shown.\n"
    assert natd.ctl("history", "--sport", "4001").stdout == last + "\n"
    entry = json.loads(natd.ctl("-j", "history").stdout.splitlines()[0])
    assert entry["reason"] == "deleted" and entry["ended"] < 10 and entry["inside"]["port"] == 4000


@pytest.mark.natd(more='timeouts = { udp = 1; };')
def test_history_names_the_timeout(lab, natd):
    send(lab.client, 4000)
    for _ in range(1000):
        if "reason=timeout" in natd.ctl("history").stdout:
            return
    raise AssertionError(natd.ctl("history").stdout)


ENDS = """timeouts = { udp = %u; tcp_closing = 1; port_reuse = 0; };
forwards = ( { name = "balanced"; protocol = "udp"; port = 500; to = [ "10.8.0.3:500" ];
               check = { type = "tcp"; interval = 1; rise = 1; fall = 1; }; } );
%s"""


def end_by_tcp(lab, port, reset):
    with lab.server.tcp_listener(port=port) as listener, lab.client.udp() as _, lab.client.socket() as near:
        near.bind(("0.0.0.0", port))
        near.connect((SERVER, port))
        far, _ = listener.accept()
        if reset:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        near.close()
        if not reset:
            far.recv(10)
        far.close()


def test_each_end_of_a_session_has_exactly_one_reason(lab, start_natd):
    """By monitor and by history; each in a session of its own."""
    with lab.clients[1].tcp_listener(port=500) as health:
        natd = start_natd({"addresses": '[ "interface", "203.0.113.77" ]', "more": ENDS % (2, "")})
        seen = Monitor(natd, "-j", "monitor", "-e", "DESTROY")

        def ended(reason, port):
            line = seen.wait(rf'"port":{port}\b.*"reason":"{reason}"')
            return json.loads(line)["id"]

        def reload(more="", addresses='[ "interface", "203.0.113.77" ]', **rest):
            natd.write_config({"addresses": addresses, "more": ENDS % (300, more), **rest})
            natd.ctl("reload")

        def opened(port, *, by=lab.client, to=(SERVER, 9)):
            send(by, port, to)
            for _ in range(500):
                if any(port in (e["inside"]["port"], e["remote"]["port"]) for e in natd.json("list")):
                    return
            raise AssertionError(natd.ctl("list").stdout)

        ids = {}
        end_by_tcp(lab, 4001, reset=False)
        end_by_tcp(lab, 4002, reset=True)
        send(lab.client, 4003)
        ids["closed"], ids["reset"], ids["timeout"] = ended("closed", 4001), ended("reset", 4002), ended("timeout", 4003)
        reload()
        opened(4004)
        natd.ctl("delete", "--sport", 4004)
        ids["deleted"] = ended("deleted", 4004)
        opened(4005)
        natd.ctl("flush")
        ids["flushed"] = ended("flushed", 4005)
        opened(4006)
        reload('filter = ( { name = "no"; action = "drop"; protocol = "udp"; port = 9; } );')
        ids["filtered"] = ended("filtered", 4006)
        reload()
        opened(4007)
        reload(inside=f'exempt = [ "{SERVER}/32" ];')
        ids["reload"] = ended("reload", 4007)
        reload()
        opened(4008, by=lab.server, to=(Lab.OUTSIDE, 500))
        health.close()
        ids["backend-down"] = ended("backend-down", 4008)
        reload(addresses='[ "interface" ]')
        opened(4009)
        lab.gateway.run("ip", "addr", "del", f"{Lab.OUTSIDE}/24", "dev", "out0")
        ids["address-lost"] = ended("address-lost", 4009)
        seen.end()
    monitored = [json.loads(line) for line in seen.lines if "reason" in line]
    history = [json.loads(line) for line in natd.ctl("-j", "history").stdout.splitlines()]
    for events in (monitored, history):
        reasons = {}
        for e in events:
            reasons.setdefault(e["id"], []).append(e["reason"])
        assert {name: reasons[number] for name, number in ids.items()} == {name: [name] for name in ids}
        assert all(len(r) == 1 for r in reasons.values())
    stats = natd.counters()
    assert all(stats["sessions_ended_" + name.replace("-", "_")] >= 1 for name in ids)


@pytest.mark.natd(more='limits = { events = 1024; };')
def test_reader_that_stops_loses_events_and_is_told_how_many(lab, natd, monitor):
    seen = monitor("monitor", read=False)
    other = monitor("monitor", "-e", "DESTROY")
    rounds, sessions = 30, 200
    for i in range(rounds):
        with lab.client.udp() as sock:
            for port in range(sessions):
                sock.sendto(b"x", (SERVER, 1000 + port))
        for _ in range(500):
            if natd.ctl("count").stdout == f"{sessions}\n":
                break
        natd.ctl("flush")
        other.wait_count("DESTROY", (i + 1) * sessions)
    assert not any("LOST" in line for line in other.lines)
    seen.read()
    lost = int(re.search(r"\d+", seen.wait(r"\[LOST\]")).group())
    assert lost > 0
    send(lab.client, 4000)
    seen.wait("sport=4000 ")
    shown = sum("LOST" not in line for line in seen.lines)
    lost = sum(int(re.search(r"\d+", line).group()) for line in seen.lines if "LOST" in line)
    assert natd.counters()["events_lost"] == lost
    natd.ctl("status")
    natd.wait_log(rf"^natd: warning: alarm events: {lost} events lost by slow readers$")
    found, = (c for c in json.loads(natd.ctl("-j", "doctor", check=False).stdout)["checks"] if c["id"] == "events")
    assert found["what"] == f"{lost} events were lost by slow readers" and "limits.events" in found["mend"]
    assert "events" in [w["id"] for w in natd.json("status")["warnings"]]
    assert not any("finding events" in line for line in natd.log if line)  # the alarm says it
    assert shown + lost == 2 * rounds * sessions + 1


def test_wrong_usage(natd):
    for arguments in (("monitor", "-e", "NOVEL"), ("monitor", "-c", "0"), ("monitor", "x"), ("history", "x")):
        done = natd.ctl(*arguments, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 2), arguments
    assert natd.counters()["event_readers"] == 0


def test_monitor_ends_with_natd(natd, monitor):
    seen = monitor("monitor")
    natd.stop()
    assert seen.wait_end() == 3
