#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""natd under churn for a long time.

    tests/soak.py [SECONDS] [--flows PER_SECOND] [--load SHARE]

New flows at a steady rate hold the table at the wanted share of its limit (70 %), each with an answer that is
compared byte by byte; one TCP connection and one UDP flow live from beginning to end. Meanwhile: a listing every 5 s,
a reload with a changed configuration every minute, the outside address taken away and given back every 150 s, and
a restart with the descriptor store (played by tests/integration/manager.py) every 5 minutes, at which natd checks its
own table (nat_check).

Each listing is checked for what must always hold: no id twice, each external endpoint that of one internal endpoint alone,
and as many entries as the limit allows. Once a minute a line; at the end the slope of the resident memory over
the second half, the extremes of the descriptor count, drop counters and mismatches. Exit status 1 for any mismatch, a flow
lost outside of an address flap, a broken long connection, or descriptors that grew. In namespaces; as root.
"""
import argparse
import collections
import os
import select
import sys
import tempfile
import threading
import time

TESTS = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(TESTS, "integration"))
sys.dont_write_bytecode = True

import netlab  # noqa: E402
from conftest import some_bytes  # noqa: E402
from manager import Bus, KeptNatd, Manager  # noqa: E402

UDP_S, REUSE_S = 60, 30
ANSWER_S = 6        # an answer that takes longer is lost; a restart is a pause of less
AFTER_FLAP_S = 10   # flows that began before so long after an address came back may be lost
EVERY = {"list": 5, "reload": 60, "flap": 150, "restart": 300, "line": 60}
BLOCK = some_bytes(4096)

CONFIG = """
outside = {{ interface = "out0"; addresses = [ "interface" ]; }};
inside = {{ interfaces = [ "lan0" ]; prefixes = [ "10.8.0.0/24" ]; }};
control = {{ socket = "{socket}"; }};
timeouts = {{ udp = {udp}; port_reuse = {reuse}; tcp_closing = {closing}; }};
limits = {{ sessions = {limit}; }};
"""


class SoakLab(netlab.Lab):
    CLIENTS = ("10.8.0.2", "10.8.0.3", "10.8.0.4")


class Echo(threading.Thread):
    """Answers each datagram with its sender's address, as seen from here, and the datagram; TCP byte by byte."""

    def __init__(self, namespace):
        super().__init__(daemon=True)
        self.udp, self.listener = namespace.udp(port=7), namespace.tcp_listener(port=7)
        self.udp.setblocking(False)
        self.done = threading.Event()

    def _serve_tcp(self, sock):
        with sock:
            try:
                while data := sock.recv(65536):
                    sock.sendall(data)
            except OSError:
                pass

    def run(self):
        while not self.done.is_set():
            for sock in select.select([self.udp, self.listener], [], [], 0.2)[0]:
                if sock is self.listener:
                    accepted = sock.accept()[0]
                    accepted.settimeout(None)
                    threading.Thread(target=self._serve_tcp, args=(accepted,), daemon=True).start()
                    continue
                try:
                    while True:
                        data, sender = sock.recvfrom(65536)
                        sock.sendto(sender[0].encode() + b" " + data, sender)
                except OSError:
                    continue


class Churn(threading.Thread):
    """New flows, and what became of them."""

    def __init__(self, lab, per_second):
        super().__init__(daemon=True)
        self.lab, self.per_second = lab, per_second
        self.good = self.lost = self.forgiven = self.mismatches = 0
        self.forgive_until = 0.0
        self.done = threading.Event()
        self.waiting = collections.OrderedDict()  # descriptor -> (socket, when, data)
        self.poll = select.poll()

    def _open(self, number):
        sock = self.lab.clients[1 + number % 2].udp()
        sock.setblocking(False)
        data = b"%d " % number + BLOCK[number % 97:number % 97 + 20 + number % 400]
        try:
            sock.sendto(data, (SoakLab.SERVERS[0], 7))
        except OSError:
            pass
        self.waiting[sock.fileno()] = (sock, time.monotonic(), data)
        self.poll.register(sock, select.POLLIN)

    def _close(self, fd):
        sock, when, data = self.waiting.pop(fd)
        self.poll.unregister(fd)
        return sock, when, data

    def _take(self, fd):
        sock, _, data = self._close(fd)
        try:
            answer = sock.recv(65536)
            self.good += 1
            if answer != SoakLab.OUTSIDE.encode() + b" " + data:
                self.mismatches += 1
        except OSError:
            self.lost += 1
        sock.close()

    def _give_up(self, now):
        while self.waiting:
            fd, (_, when, _) = next(iter(self.waiting.items()))
            if now - when < ANSWER_S:
                break
            self._close(fd)[0].close()
            if when < self.forgive_until:
                self.forgiven += 1
            else:
                self.lost += 1

    def run(self):
        begin, number = time.monotonic(), 0
        while not self.done.is_set():
            now = time.monotonic()
            due = int((now - begin) * self.per_second)
            for _ in range(min(due - number, self.per_second)):
                self._open(number)
                number += 1
            for fd, _ in self.poll.poll(10):
                self._take(fd)
            self._give_up(now)


class Long(threading.Thread):
    """One TCP connection, alive from beginning to end: a block each way at a time, compared."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.lab, self.blocks, self.mismatches, self.broken, self.flapped = lab, 0, 0, 0, False
        self.done = threading.Event()

    def _talk(self, sock):
        while not self.done.wait(0.05):
            sock.sendall(BLOCK)
            got = b""
            while len(got) < len(BLOCK):
                data = sock.recv(len(BLOCK) - len(got))
                if not data:
                    raise ConnectionError
                got += data
            self.blocks += 1
            self.mismatches += got != BLOCK

    def run(self):
        while not self.done.is_set():
            with self.lab.clients[0].socket() as sock:
                try:
                    sock.settimeout(10)
                    sock.connect((SoakLab.SERVERS[0], 7))
                    sock.settimeout(30)
                    self._talk(sock)
                except OSError:
                    self.broken += not self.flapped
                    self.flapped = False


class Soak:
    def __init__(self, options, folder):
        self.options, self.lab = options, SoakLab()
        self.manager, self.bus = Manager(f"{folder}/notify"), Bus(f"{folder}/bus", "restart")
        self.limit = int(options.flows * UDP_S / options.load)
        self.reloads = self.lists = self.flaps = self.restarts = self.wrong = 0
        self.samples, self.entries = [], 0
        self.natd = KeptNatd(self.lab.gateway, "", self.manager, environment=self.bus.environment)
        self._configure()

    def _configure(self):
        self.natd.write_config(CONFIG.format(socket=self.natd.socket, udp=UDP_S, reuse=REUSE_S, limit=self.limit,
                                             closing=240 + self.reloads % 2))

    # ---- what is done to natd ----

    def list(self):
        entries = self.natd.json("list")
        self.lists += 1
        self.entries = len(entries)
        owners = collections.defaultdict(set)
        for e in entries:
            owners[e["protocol"], e["outside"]["address"], e["outside"]["port"]].add(
                (e["inside"]["address"], e["inside"]["port"]))
        wrong = (len({e["id"] for e in entries}) != len(entries)) + sum(len(who) > 1 for who in owners.values()) + (
            len(entries) > self.limit)
        if wrong:
            print(f"soak: {wrong} contradictions in a listing of {len(entries)}", flush=True)
        self.wrong += wrong

    def reload(self):
        self.reloads += 1
        self._configure()
        self.natd.ctl("reload")

    def flap(self):
        """The address goes, and with it its sessions; natd has a second to notice, and gets it back."""
        self.flaps += 1
        gateway = self.lab.gateway
        self.long.flapped = True
        self.churn.forgive_until = time.monotonic() + 3600
        since = len(self.natd.log)
        gateway.run("ip", "addr", "del", f"{SoakLab.OUTSIDE}/24", "dev", "out0")
        self.natd.wait_log("interfaces or addresses changed", 20, since)
        gateway.run("ip", "addr", "add", f"{SoakLab.OUTSIDE}/24", "dev", "out0")
        gateway.run("ip", "route", "replace", "default", "via", SoakLab.ROUTER)
        self.churn.forgive_until = time.monotonic() + AFTER_FLAP_S

    def restart(self):
        self.restarts += 1
        status = self.natd.stop()
        if status != 0:
            print(f"soak: natd ended with {status}: {self.natd.text()}", flush=True)
            self.wrong += 1
        self.natd.start()

    def line(self):
        fds = len(os.listdir(f"/proc/{self.natd.pid()}/fd"))
        self.samples.append((time.monotonic(), self.natd.resident_kib(), fds))
        print(f"{time.monotonic() - self.begin:6.0f} s: {self.samples[-1][1]} KiB, {fds} descriptors, {self.entries} of {self.limit} "
              f"sessions; flows {self.churn.good} good, {self.churn.lost} lost, {self.churn.forgiven} in flaps; "
              f"long TCP {self.long.blocks} blocks; {self.reloads} reloads, {self.flaps} flaps, {self.restarts} restarts", flush=True)

    # ---- all of it ----

    def run(self):
        self.natd.start()
        self.begin = time.monotonic()
        self.echo, self.churn, self.long = Echo(self.lab.server), Churn(self.lab, self.options.flows), Long(self.lab)
        for thread in (self.echo, self.churn, self.long):
            thread.start()
        due = {what: self.begin + every for what, every in EVERY.items()}
        end = self.begin + self.options.seconds
        while time.monotonic() < end:
            what = min(due, key=due.get)
            if due[what] >= end:
                break
            self.churn.done.wait(max(0, due[what] - time.monotonic()))
            due[what] += EVERY[what]
            getattr(self, what)()
        self.line()
        self.restart()  # ends with a self-check
        for thread in (self.long, self.churn, self.echo):
            thread.done.set()
            thread.join(40)

    def slope(self):
        """KiB a minute over the second half, by least squares; each restart begins again, which the half averages out."""
        half = self.samples[len(self.samples) // 2:]
        if len(half) < 2:
            return 0.0
        at = sum(s[0] for s in half) / len(half)
        mean = sum(s[1] for s in half) / len(half)
        spread = sum((s[0] - at) ** 2 for s in half)
        return 60 * sum((s[0] - at) * (s[1] - mean) for s in half) / spread

    def report(self):
        counters = self.natd.counters()
        fds = [s[2] for s in self.samples]
        mismatches = self.churn.mismatches + self.long.mismatches
        print("drops: " + (", ".join(f"{k[5:]} {v}" for k, v in sorted(counters.items()) if k.startswith("drop_") and v)
                           or "none") + " (since the last restart)")
        print(f"memory slope {self.slope():+.1f} KiB/min, most {max(s[1] for s in self.samples)} KiB; "
              f"descriptors {min(fds)}-{max(fds)}; {self.lists} listings, {self.wrong} contradictions")
        bad = mismatches + self.wrong + self.churn.lost + self.long.broken + (max(fds) - min(fds) > 4)
        print(f"soak: {self.options.seconds} s, {self.churn.good} flows, {self.long.blocks} blocks, {mismatches} mismatches, "
              f"{self.churn.lost} lost, {self.long.broken} broken: {'good' if not bad else 'BAD'}")
        return 1 if bad else 0

    def close(self):
        self.natd.close()
        self.bus.close()
        self.manager.close()
        self.lab.close()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("seconds", nargs="?", type=int, default=1800)
    p.add_argument("--flows", type=int, default=140, help="new flows a second")
    p.add_argument("--load", type=float, default=0.7, help="share of limits.sessions that they hold")
    options = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="natd-soak-") as folder:
        os.chmod(folder, 0o755)
        soak = Soak(options, folder)
        try:
            soak.run()
            return soak.report()
        finally:
            soak.close()


if __name__ == "__main__":
    sys.exit(main())
