# SPDX-License-Identifier: ISC
"""What an operator sees of traffic: hosts. One natd for the module, so tests look at hosts and ports of their own."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

import netlab
from conftest import LEFT_OUT, NATCTL, Natd
from netlab import Lab

SERVER = Lab.SERVERS[0]
A, B = Lab.CLIENTS


@pytest.fixture(scope="module", name="lab")
def module_lab():
    made = netlab.Lab()
    yield made
    made.close()


@pytest.fixture(scope="module", name="natd")
def module_natd(lab):
    one = Natd(lab.gateway, {"more": "timeouts = { udp = 60; };"}, options=["-v"])
    one.start()
    yield one
    one.close()


def exchange(lab, client, port, payload=100, times=1):
    """A datagram from that client to the server and back, so many times; one session."""
    with lab.server.udp(port=port) as far, client.udp(port=port) as near:
        for _ in range(times):
            near.sendto(b"x" * payload, (SERVER, port))
            far.settimeout(5)
            _, sender = far.recvfrom(2000)
            far.sendto(b"y" * payload, sender)
            near.settimeout(5)
            near.recv(2000)


# ---- log, counters, warnings ----

def test_fault_46_start_says_version_addresses_and_prefixes(natd):
    for pattern in (r"natd \d\S*, configuration \S+: up to 1048576 sessions, 0 forwards$",
                    rf"outside: {Lab.OUTSIDE} \(shared with the host\) on out0$", rf"inside: {Lab.INSIDE}$"):
        natd.wait_log(pattern)


def test_fault_52_packets_lost_in_the_tuns_queue_are_counted_and_warned_of(lab, natd):
    assert natd.counters()["tun_queue_dropped"] == 0
    natd.send_signal(signal.SIGSTOP)
    try:
        with lab.client.udp(port=4202) as sock:
            for _ in range(30000):
                sock.sendto(b"x", (SERVER, 9))
    finally:
        natd.send_signal(signal.SIGCONT)
    lost = natd.counters()["tun_queue_dropped"]
    assert lost > 0
    status = natd.json("status")
    assert status["tun_queue_dropped"] >= lost
    assert [w["id"] for w in status["warnings"]].count("tun-queue") == 1


def test_warning_at_a_reload_is_marked_once(natd):
    natd.send_signal(signal.SIGHUP)
    line = natd.wait_log(r"timeouts\.udp is 60")
    assert line.count("warning") == 1, line


# ---- hosts ----

def wait_hosts(natd, predicate):
    """A result serves for a second, so the next ones may be old."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        hosts = {host["address"]: host for host in natd.json("hosts")}
        if predicate(hosts):
            return hosts
    raise AssertionError(f"still {hosts}")


@pytest.fixture
def nothing(natd):
    """No sessions, and hosts that have lost their totals with their last one."""
    def flushed(hosts):
        if hosts:  # packets that an earlier test left in the device's queue open sessions again
            natd.ctl("flush")
        return not hosts and natd.counters()["hosts_active"] == 0

    natd.ctl("flush")
    wait_hosts(natd, flushed)


@pytest.mark.usefixtures("nothing")
def test_hosts_has_what_each_inside_host_has_and_moves(lab, natd):
    exchange(lab, lab.clients[0], 4001, times=3)
    exchange(lab, lab.clients[0], 4002)
    exchange(lab, lab.clients[1], 4003)
    hosts = wait_hosts(natd, lambda hosts: len(hosts) == 2)
    a, b = hosts[A], hosts[B]
    assert (a["outside"], a["sessions"], a["ports"], a["blocks"]) == (Lab.OUTSIDE, 2, 2, 0)
    assert all((a[side]["packets"], a[side]["bytes"]) == (4, 4 * 128) for side in ("out", "in"))
    assert b["sessions"] == 1 and b["out"]["packets"] == 1 and b["out"]["bytes"] == 128
    assert all(isinstance(b["in"][rate], int) for rate in ("packets_rate", "bytes_rate"))


@pytest.mark.usefixtures("nothing")
def test_session_that_ended_stays_in_its_hosts_total(lab, natd):
    exchange(lab, lab.clients[0], 4011)
    exchange(lab, lab.clients[0], 4012)
    natd.ctl("delete", "-s", A, "--dport", 4012)
    a = wait_hosts(natd, lambda hosts: A in hosts)[A]
    assert a["sessions"] == 1 and a["out"]["bytes"] == 2 * 128


@pytest.mark.usefixtures("nothing")
def test_hosts_as_lines_as_table_and_in_order(lab, natd):
    exchange(lab, lab.clients[0], 4021)
    for port in (4022, 4023):
        exchange(lab, lab.clients[1], port)
    wait_hosts(natd, lambda hosts: len(hosts) == 2)
    line = natd.ctl("hosts", "-s", A).stdout
    assert re.fullmatch(rf"{A} outside={Lab.OUTSIDE} sessions=1 ports=1 blocks=0 out_packets=\d+ out_bytes=\d+ "
                        r"out_packets_rate=\d+ out_bytes_rate=\d+ in_packets=\d+ in_bytes=\d+ in_packets_rate=\d+ "
                        r"in_bytes_rate=\d+\n", line)
    table = natd.ctl("hosts", "-o", "table", "--sort", "sessions", "-c", "1").stdout.splitlines()
    assert table[0].split()[:4] == ["HOST", "OUTSIDE", "SESSIONS", "PORTS"]
    assert [row.split()[:3] for row in table[1:]] == [[B, Lab.OUTSIDE, "2"]]


@pytest.mark.parametrize("arguments", [("--dport", "5"), ("--sort", "name"), ("-c", "65"), ("more",)])
def test_hosts_refuses_what_does_not_fit(natd, arguments):
    refused = natd.ctl("hosts", *arguments, check=False)
    assert refused.returncode == 2 and refused.stderr.startswith("natctl: hosts: ") and not refused.stdout


# ---- top ----

class Terminal:
    """natctl on a pseudo-terminal, and the screen that a terminal would show of it, for what ncurses sends to TERM=ansi."""

    def __init__(self, natd, *arguments, rows=24, columns=80):
        self.rows, self.columns = rows, columns
        self.cells = {}
        self.at = (0, 0)
        self.pending = ""
        self.clears = 0
        self.fd, child = pty.openpty()
        self._resize(rows, columns)
        self.process = subprocess.Popen([NATCTL, "-s", natd.socket, *arguments], stdin=child, stdout=child, stderr=child,
                                        env={**os.environ, "TERM": "ansi"}, start_new_session=True)
        os.close(child)

    def _resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        self._resize(rows, columns)
        self.process.send_signal(signal.SIGWINCH)

    def press(self, keys):
        os.write(self.fd, keys.encode())

    def _put(self, character):
        row, column = self.at
        if character == "\r":
            self.at = (row, 0)
        elif character == "\n":
            self.at = (row + 1, column)
        elif character == "\b":
            self.at = (row, max(column - 1, 0))
        elif character == "\t":
            self.at = (row, min(column // 8 * 8 + 8, self.columns - 1))
        elif character >= " ":
            self.cells[self.at] = character
            self.at = (row, column + 1) if column + 1 < self.columns else (row + 1, 0)

    def _erase(self, which):
        self.cells = {cell: text for cell, text in self.cells.items() if not which(cell)}

    def _obey(self, command, numbers):
        row, column = self.at
        first = numbers[0] if numbers else 0
        moves = {"A": (-1, 0), "B": (1, 0), "C": (0, 1), "D": (0, -1)}
        if command in moves:
            self.at = tuple(old + step * max(first, 1) for old, step in zip(self.at, moves[command]))
        elif command in "Hf":
            self.at = (max(first, 1) - 1, (numbers[1] if len(numbers) > 1 else 1) - 1)
        elif command == "d":
            self.at = (max(first, 1) - 1, column)
        elif command == "G":
            self.at = (row, max(first, 1) - 1)
        elif command == "J":
            self.clears += 1
            self._erase((lambda cell: cell >= (row, column), lambda cell: cell <= (row, column),
                         lambda _: True)[first])
        elif command == "K":
            inside = (lambda at: at >= column, lambda at: at <= column, lambda _: True)[first]
            self._erase(lambda cell: cell[0] == row and inside(cell[1]))
        elif command in "@P":  # characters of this line move right, or left over those that go
            by = max(first, 1) * (1 if command == "@" else -1)
            tail = {cell: text for cell, text in self.cells.items() if cell[0] == row and cell[1] >= column}
            self._erase(lambda cell: cell in tail)
            self.cells.update({(row, at + by): text for (_, at), text in tail.items() if at + by >= column})
        elif command in "LM":  # lines move down, or up over those that go
            by = max(first, 1) * (1 if command == "L" else -1)
            tail = {cell: text for cell, text in self.cells.items() if cell[0] >= row}
            self._erase(lambda cell: cell in tail)
            self.cells.update({(line + by, at): text for (line, at), text in tail.items() if line + by >= row})
        elif command == "b":
            for _ in range(max(first, 1)):
                self._put(self.cells.get((self.at[0], self.at[1] - 1), " "))
        elif command == "X":
            self._erase(lambda cell: cell[0] == row and column <= cell[1] < column + max(first, 1))
        else:
            assert command in "mhlr", f"unknown control sequence {command!r}"

    def _take(self, text):
        self.pending += text
        while self.pending:
            found = re.match(r"\x1b\[[?>]?([\d;]*)([@-~])|\x1b[()][A-Z0-9]|\x1b[=>78cM]|[^\x1b]", self.pending)
            if not found:
                return
            self.pending = self.pending[found.end():]
            if found.group(2):
                self._obey(found.group(2), [int(number) for number in found.group(1).split(";") if number])
            elif len(found.group()) == 1:
                self._put(found.group())

    def text(self):
        return "\n".join("".join(self.cells.get((row, column), " ") for column in range(self.columns)).rstrip()
                         for row in range(self.rows))

    def wait(self, pattern, timeout=15):
        end = time.monotonic() + timeout
        while not re.search(pattern, self.text(), re.M):
            assert time.monotonic() < end, f"no {pattern!r} on the screen:\n{self.text()}"
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self._take(os.read(self.fd, 65536).decode())
                except OSError:
                    raise AssertionError(f"natctl ended:\n{self.text()}") from None

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.fd)


@pytest.fixture
def terminal(natd):
    if "ncurses" in LEFT_OUT:
        pytest.skip("natctl was built without ncurses")
    made = []

    def start(*arguments, **options):
        made.append(Terminal(natd, *arguments, **options))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.mark.usefixtures("nothing")
def test_top_prints_plain_screens_for_scripts(lab, natd):
    exchange(lab, lab.clients[0], 4101, times=2)
    out = natd.ctl("top", "-b", "-n", "3", "-d", "0.5", "-o", "sessions").stdout
    screens = out.split("\n\nnatd ")
    assert len(screens) == 3 and "\33" not in out
    assert re.match(r"natd \S+, up ", out)
    last = screens[-1]
    assert re.search(r"^out +\d+ packets/s", last, re.M) and re.search(r"^sessions +\d+ of \d+ \(\d+ %\)", last, re.M)
    assert re.search(r"^ports +tcp \d+ \(\d+ %\), udp", last, re.M)
    assert re.search(rf"^{A} +{Lab.OUTSIDE} ", last, re.M)


def test_top_shows_drops_as_they_happen(lab, natd, terminal):
    top = terminal("top", "-d", "0.5")
    top.wait(r"^DROPPED")
    with lab.client.udp(port=4102) as sock:
        sock.sendto(b"x", ("240.0.0.1", 9))
        top.wait(r"^drop_martian_destination +\d+\.\d +[1-9]")
    top.press("q")
    assert top.process.wait(5) == 0


def test_top_survives_a_resize_and_changes_its_order(lab, natd, terminal):
    exchange(lab, lab.clients[0], 4103)
    top = terminal("top", "-d", "0.5")
    top.wait(r"^q quit.* by rate$")
    assert max(map(len, top.text().splitlines())) <= 80 and "BLOCKS" not in top.text()
    top.resize(60, 200)
    top.wait(r"^HOST .* BLOCKS ")
    top.wait(r"\nq quit[^\n]* by rate\Z")
    top.press("s")
    top.wait(r" by sessions\Z")
    clears = top.clears
    for _ in range(3):
        top.press("+-")
        top.wait(rf"^{A} ")
    assert top.clears == clears  # nothing is redrawn whole
    top.resize(10, 40)
    top.wait(r"\Anatd ")
    top.process.send_signal(signal.SIGTERM)
    assert top.process.wait(5) == 0


def test_top_survives_a_restart_of_natd(natd, terminal):
    top = terminal("top", "-d", "0.2")
    top.wait(r"\Anatd \S+, up ")
    natd.stop()
    top.wait(r"\Anatd does not answer")
    natd.start()
    top.wait(r"\Anatd \S+, up ")
    top.press("q")
    assert top.process.wait(5) == 0


@pytest.mark.parametrize("arguments", [("-o", "name"), ("-d", "0"), ("-n", "0", "-b"), ("-b", "more"), ()])
def test_top_refuses_what_does_not_fit(natd, arguments):
    refused = natd.ctl("top", *arguments, check=False)
    assert refused.returncode == 2 and refused.stderr.startswith("natctl: top: ") and not refused.stdout
