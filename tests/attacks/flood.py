#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Floods, bounded in rate and time, and what those behind natd notice of them.

    tests/attacks/flood.py [--seconds S] [--rate PPS] [WORD...]

One inside host, or someone outside, attacks. A second host downloads over one TCP connection from before the attack
until after it (SHA-256 compared); a third opens a new TCP connection, a new UDP exchange, and one in fragments, in turn every few
hundredths of a second. Printed for each attack: the share of new connections that succeed before, during and
after; the longest pause of the download; natd's resident memory before and at most; the slowest answer on the
control socket; and natd's self-check at the end. WORDs choose attacks by their names.

Exit status 1 when the download broke, fewer than 99 % of another host's new connections came to be, or natd did
not answer. Everything is in namespaces; as root.
"""
import argparse
import hashlib
import itertools
import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(TESTS, "integration"))
sys.dont_write_bytecode = True

from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402

import netlab  # noqa: E402
from conftest import NATCTL, Natd, some_bytes  # noqa: E402

LIMIT_SESSIONS = 100000
CONFIG = f"""
outside = {{ interface = "out0"; addresses = [ "interface" ]; }};
inside = {{ interfaces = [ "lan0" ]; }};
control = {{ socket = "{{socket}}"; mode = "0666"; }};
limits = {{ sessions = {LIMIT_SESSIONS}; fragments = 1024; %s }};
"""
QUOTA = "ports_per_host = 8192;"
NOBODY = 65534
CHUNK = some_bytes(1 << 16)
CHUNK_EVERY_S = 0.05
PROBE_EVERY_S = 0.05
PROBE_TIMEOUT_S = 3
ENOUGH = 0.99
DOWNLOAD_PORT, CONNECT_PORT, ECHO_PORT, SINK_PORT = 80, 81, 7, 9


class FloodLab(netlab.Lab):
    CLIENTS = ("10.8.0.2", "10.8.0.3", "10.8.0.4")


# ---- what the others do meanwhile ----

class Servers(threading.Thread):
    """Download: chunks at a steady pace. Connect: accepts and closes. Echo: sends back."""

    def __init__(self, namespace):
        super().__init__(daemon=True)
        self.download = namespace.tcp_listener(port=DOWNLOAD_PORT)
        self.connect = namespace.tcp_listener(port=CONNECT_PORT, backlog=1024)
        self.echo = namespace.udp(port=ECHO_PORT)
        self.done = threading.Event()

    def run(self):
        streaming, due = None, 0
        while not self.done.is_set():
            for sock in select.select([self.download, self.connect, self.echo], [], [], 0.01)[0]:
                if sock is self.download:
                    streaming = sock.accept()[0]
                elif sock is self.connect:
                    sock.accept()[0].close()
                else:
                    sock.sendto(*sock.recvfrom(4096))
            if streaming and time.monotonic() >= due:
                due = time.monotonic() + CHUNK_EVERY_S
                streaming.sendall(CHUNK)
        if streaming:
            streaming.close()
        for sock in (self.download, self.connect, self.echo):
            sock.close()


class Download(threading.Thread):
    def __init__(self, namespace, server):
        super().__init__(daemon=True)
        self.sock = namespace.socket()
        self.sock.connect((server, DOWNLOAD_PORT))
        self.sock.settimeout(30)
        self.pause = {}
        self.phase = "before"
        self.good = False

    def run(self):
        got, want, count, last = hashlib.sha256(), hashlib.sha256(), 0, time.monotonic()
        try:
            while data := self.sock.recv(1 << 16):
                now = time.monotonic()
                self.pause[self.phase] = max(self.pause.get(self.phase, 0), now - last)
                last = now
                got.update(data)
                count += len(data)
        except OSError:
            return
        for _ in range(count // len(CHUNK)):
            want.update(CHUNK)
        want.update(CHUNK[:count % len(CHUNK)])
        self.good = count > 0 and got.digest() == want.digest()


class Newcomer(threading.Thread):
    """A new connection, a new datagram flow and one in fragments in turn, each from a port of its own."""

    def __init__(self, namespace, server):
        super().__init__(daemon=True)
        self.namespace, self.server = namespace, server
        self.phase, self.done = "before", threading.Event()
        self.tried = {phase: [0, 0] for phase in ("before", "during", "after")}

    def _tcp(self):
        with self.namespace.socket() as sock:
            sock.settimeout(PROBE_TIMEOUT_S)
            sock.connect((self.server, CONNECT_PORT))

    def _large(self):
        self._udp(CHUNK[:3000])  # in fragments, both ways

    def _udp(self, data=b"new"):
        with self.namespace.udp() as sock:
            for _ in range(3):  # datagrams may be lost: an application asks again
                sock.settimeout(PROBE_TIMEOUT_S / 3)
                sock.sendto(data, (self.server, ECHO_PORT))
                try:
                    if sock.recv(4000) != data:
                        raise OSError("other data came back")
                    return
                except TimeoutError:
                    continue
            raise TimeoutError

    def run(self):
        for probe in itertools.cycle((self._tcp, self._udp, self._large)):
            if self.done.wait(PROBE_EVERY_S):
                break
            counts = self.tried[self.phase]
            try:
                probe()
                counts[0] += 1
            except OSError:
                pass
            counts[1] += 1

    def share(self, phase):
        good, tried = self.tried[phase]
        return good / tried if tried else 0.0


class Watch(threading.Thread):
    """Resident memory, and how long a request to the control socket takes (natctl's own start included)."""

    def __init__(self, natd):
        super().__init__(daemon=True)
        self.natd, self.done = natd, threading.Event()
        self.first = self.most = natd.resident_kib()
        self.slowest, self.failed = 0.0, 0

    def run(self):
        while not self.done.wait(0.3):
            begin = time.monotonic()
            try:
                self.natd.ctl("count")
            except (AssertionError, subprocess.TimeoutExpired):
                self.failed += 1
            self.slowest = max(self.slowest, time.monotonic() - begin)
            self.most = max(self.most, self.natd.resident_kib())


# ---- attacks ----

class Sender:
    """Sends packets at a rate from a process of its own, to the gateway by Ethernet."""

    def __init__(self, lab, inside):
        self.namespace, device, address, gateway = (
            (lab.clients[0], "eth0", lab.CLIENTS[0], lab.GATEWAY_INSIDE) if inside
            else (lab.router, "up0", None, lab.OUTSIDE))
        self.namespace.run("ping", "-c1", "-W2", gateway, check=False)
        words = self.namespace.run("ip", "neigh", "show", gateway, "dev", device).stdout.split()
        self.to = (device, 0x0800, 0, 0, bytes.fromhex(words[words.index("lladdr") + 1].replace(":", "")))
        self.address = address

    def flood(self, packets, rate, seconds):
        """`packets`: an endless iterator of bytes. Returns how many were sent."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            os.write(write, struct.pack("!Q", self._send(packets, rate, seconds)))
            os._exit(0)
        os.close(write)
        count = os.read(read, 8)
        os.close(read)
        os.waitpid(child, 0)
        return struct.unpack("!Q", count)[0]

    def _send(self, packets, rate, seconds):
        with self.namespace.entered():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        begin, sent = time.monotonic(), 0
        while (passed := time.monotonic() - begin) < seconds:
            for _ in range(min(int(passed * rate) - sent, rate // 20)):
                try:
                    sock.sendto(next(packets), self.to)
                except OSError:
                    pass
                sent += 1
            time.sleep(0.002)  # a pace, not a wait: nothing depends on it
        return sent


def patched(packet, *fields):
    """Endless copies of a packet with fields replaced: (offset, format, function). UDP and ICMP have no checksum to
    keep here; TCP's is wrong then, which a NAT must bear, so it is made right by difference."""
    base = bytearray(bytes(packet))
    while True:
        for at, form, value in fields:
            struct.pack_into(form, base, at, value())
        if base[9] == 6:
            base[36:38] = b"\0\0"
            _fill(base, 36)
        base[10:12] = b"\0\0"
        total = sum(struct.unpack("!10H", base[:20]))
        total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into("!H", base, 10, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
        yield bytes(base)


def _fill(base, at):
    total = sum(struct.unpack(f"!{(len(base) - 12) // 2}H", base[12:])) + base[9] + len(base) - 20
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!H", base, at, ~total & 0xFFFF)


def some_port():
    return random.randrange(1024, 65536)


def some_address():
    return random.randrange(0x01000000, 0xDF000000)


INSIDE, SERVER2, SHARED = FloodLab.CLIENTS[0], FloodLab.SERVERS[1], FloodLab.OUTSIDE


def syn_inside(lab, natd, how):
    syn = IP(src=INSIDE, dst=SERVER2) / TCP(sport=1, dport=SINK_PORT, flags="S")
    return Sender(lab, True).flood(patched(syn, (20, "!H", some_port), (16, "!I", some_address)), how.rate, how.seconds)


def syn_outside(lab, natd, how):
    syn = IP(src=SERVER2, dst=SHARED) / TCP(sport=1, dport=1, flags="S")
    return Sender(lab, False).flood(patched(syn, (20, "!H", some_port), (12, "!I", some_address),
                                            (22, "!H", lambda: random.randrange(16384, 32768))), how.rate, how.seconds)


def udp_inside(lab, natd, how):
    datagram = IP(src=INSIDE, dst=SERVER2) / UDP(sport=1, dport=SINK_PORT, chksum=0) / b"flood"
    return Sender(lab, True).flood(patched(datagram, (20, "!H", some_port), (22, "!H", some_port)), how.rate, how.seconds)


def udp_outside(lab, natd, how):
    datagram = IP(src=SERVER2, dst=SHARED) / UDP(sport=1, dport=1, chksum=0) / b"flood"
    return Sender(lab, False).flood(patched(datagram, (20, "!H", some_port), (12, "!I", some_address),
                                            (22, "!H", lambda: random.randrange(16384, 32768))), how.rate, how.seconds)


def fragments(source, dst):
    """Later fragments whose first one never comes, each of a datagram of its own."""
    piece = IP(src=source, dst=dst, frag=185, flags="MF", proto=17) / (b"f" * 512)
    return patched(piece, (4, "!H", lambda: random.randrange(65536)))


def fragments_inside(lab, natd, how):
    return Sender(lab, True).flood(fragments(INSIDE, SERVER2), how.rate, how.seconds)


def fragments_outside(lab, natd, how):
    piece = IP(src=SERVER2, dst=SHARED, frag=185, flags="MF", proto=17) / (b"f" * 512)
    return Sender(lab, False).flood(patched(piece, (4, "!H", lambda: random.randrange(65536)), (12, "!I", some_address)),
                                    how.rate, how.seconds)


def icmp_errors(lab, natd, how):
    """Errors about the victim's own download, with sequence numbers by chance."""
    entry = next(e for e in natd.json("list", "-p", "tcp") if e["remote"]["port"] == DOWNLOAD_PORT)
    quote = IP(bytes(IP(src=SHARED, dst=FloodLab.SERVERS[0]) /
                     TCP(sport=entry["outside"]["port"], dport=DOWNLOAD_PORT, seq=1)))
    error = IP(bytes(IP(src=SERVER2, dst=SHARED) / ICMP(type=3, code=4, nexthopmtu=576) / bytes(quote)[:28]))

    def packets():
        while True:
            data = bytearray(bytes(error))
            struct.pack_into("!I", data, 20 + 8 + 24, random.getrandbits(32))
            data[22:24] = b"\0\0"
            total = sum(struct.unpack(f"!{(len(data) - 20) // 2}H", data[20:]))
            while total >> 16:
                total = (total & 0xFFFF) + (total >> 16)
            struct.pack_into("!H", data, 22, ~total & 0xFFFF)
            yield bytes(data)
    return Sender(lab, False).flood(packets(), how.rate, how.seconds)


def chosen_tuples(lab, natd, how):
    """Tuples that all fall together under the usual sums and exclusive ors: sport + dport and sport ^ dport alike."""
    pairs = itertools.cycle([(p << 8 | q, q << 8 | p) for p in range(16, 256) for q in range(16, 256)])
    state = {}

    def sport():
        state["pair"] = next(pairs)
        return state["pair"][0]
    datagram = IP(src=INSIDE, dst=SERVER2) / UDP(sport=1, dport=1, chksum=0) / b"same"
    return Sender(lab, True).flood(patched(datagram, (20, "!H", sport), (22, "!H", lambda: state["pair"][1])), how.rate,
                                   how.seconds)


def exhaustion(lab, natd, how):
    """One host wants every port, and is answered: its sessions are as good as any."""
    datagram = IP(src=INSIDE, dst=FloodLab.SERVERS[1]) / UDP(sport=1, dport=ECHO_PORT, chksum=0) / b"mine"
    ports = itertools.cycle(range(1024, 65536))
    with lab.servers[1].udp(port=ECHO_PORT) as echo:
        stop = threading.Event()
        echo.settimeout(0.2)

        def answer():
            while not stop.is_set():
                try:
                    echo.sendto(*echo.recvfrom(100))
                except TimeoutError:
                    continue
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        sent = Sender(lab, True).flood(patched(datagram, (20, "!H", lambda: next(ports))), how.rate, how.seconds)
        stop.set()
        thread.join()
    return sent


def control_clients(lab, natd, how):
    """A thousand connections to the control socket by an ordinary user: silent ones, drips, and nonsense."""
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresuid(NOBODY, NOBODY, NOBODY)
        _hold_clients(natd.socket, how.seconds)
        os._exit(0)
    os.waitpid(child, 0)
    return 1000


def _hold_clients(path, seconds):
    clients, end = [], time.monotonic() + seconds
    for i in range(1000):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(1)
        clients.append(client)
        try:
            client.connect(path)
            if i % 3:
                client.send(os.urandom(1 if i % 3 == 1 else 4000))
        except OSError:
            continue
    while time.monotonic() < end:
        for client in clients[::7]:
            try:
                client.send(b"\0")
            except OSError:
                continue
        time.sleep(0.1)  # a pace


def slow_readers(lab, natd, how):
    """Listings without a reader, of a table of some ten thousand sessions."""
    filler = argparse.Namespace(rate=how.rate, seconds=min(2, how.seconds))
    udp_inside(lab, natd, filler)
    readers = [subprocess.Popen([NATCTL, "-s", natd.socket, "-j", "list"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
               for _ in range(30)]
    end = time.monotonic() + how.seconds
    while time.monotonic() < end:
        time.sleep(0.2)  # the attack is that they live
    for reader in readers:
        reader.kill()
        reader.stdout.close()
        reader.wait()
    return len(readers)


# Against natd as it comes, but where one host's sessions are as good as any other's: only a quota tells them apart.
ATTACKS = [
    ("SYN flood, inside host", syn_inside, ""), ("SYN flood, outside", syn_outside, ""),
    ("UDP flood, inside host", udp_inside, ""), ("UDP flood, outside", udp_outside, ""),
    ("fragment flood, inside host", fragments_inside, ""), ("fragment flood, outside", fragments_outside, ""),
    ("ICMP error flood", icmp_errors, ""), ("chosen tuples", chosen_tuples, ""),
    ("port exhaustion", exhaustion, ""), ("port exhaustion, with quota", exhaustion, QUOTA),
    ("1000 control clients", control_clients, ""), ("slow readers", slow_readers, ""),
]


# ---- the measurement ----

def quiet(newcomer, download, phase, seconds):
    newcomer.phase = download.phase = phase
    time.sleep(seconds)  # a length of measurement


def measure(attack, limits, how):
    lab = FloodLab()
    natd = Natd(lab.gateway, CONFIG % limits)
    servers = Servers(lab.server)
    try:
        natd.start()
        servers.start()
        download = Download(lab.clients[1], lab.SERVERS[0])
        newcomer, watch = Newcomer(lab.clients[2], lab.SERVERS[0]), Watch(natd)
        for thread in (download, newcomer, watch):
            thread.start()
        quiet(newcomer, download, "before", 1.5)
        newcomer.phase = download.phase = "during"
        count = attack(lab, natd, how)
        quiet(newcomer, download, "after", 1.5)
        newcomer.done.set()
        newcomer.join()
        servers.done.set()
        for thread in (servers, download):
            thread.join(40)
        watch.done.set()
        watch.join()
        counters = natd.counters()
        return {"count": count, "download": download, "newcomer": newcomer, "watch": watch,
                "sessions": int(natd.ctl("count").stdout), "drops": top_drops(counters), "long": counters["index_long_probes"]}
    finally:
        servers.done.set()
        try:
            natd.close()
        finally:
            lab.close()


def top_drops(counters):
    drops = sorted(((value, name[5:]) for name, value in counters.items() if name.startswith("drop_") and value), reverse=True)
    return ", ".join(f"{name} {value}" for value, name in drops[:2])


def is_good(r):
    return (r["download"].good and r["newcomer"].share("during") >= ENOUGH and r["newcomer"].share("after") >= ENOUGH
            and r["watch"].failed == 0)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seconds", type=float, default=5)
    p.add_argument("--rate", type=int, default=10000, help="packets a second")
    p.add_argument("words", nargs="*")
    how = p.parse_args()
    bad = 0
    print(f"{'attack':28} {'sent':>7} {'download':>9} {'longest pause, ms':>18} {'new connections, %':>20} {'RSS, MiB':>12} "
          f"{'natctl, ms':>10} {'sessions':>8}  drops")
    print(f"{'':28} {'':>7} {'':>9} {'before during':>18} {'before during after':>20} {'before  most':>12} {'slowest':>10}")
    for name, attack, limits in ATTACKS:
        if how.words and not any(word in name for word in how.words):
            continue
        r = measure(attack, limits, how)
        d, n, w = r["download"], r["newcomer"], r["watch"]
        bad += not is_good(r)
        print(f"{name:28} {r['count']:7} {'whole' if d.good else 'BROKEN':>9} "
              f"{d.pause.get('before', 0) * 1000:10.0f} {d.pause.get('during', 0) * 1000:7.0f} "
              f"{n.share('before') * 100:7.1f} {n.share('during') * 100:6.1f} {n.share('after') * 100:5.1f} "
              f"{w.first / 1024:6.1f} {w.most / 1024:5.1f} {w.slowest * 1000:10.0f} {r['sessions']:8}  {r['drops']}"
              f"{'' if is_good(r) else '  <-- BAD'}", flush=True)
    print(f"flood: {'all good' if not bad else f'{bad} bad'} (at least {ENOUGH:.0%} of new connections, downloads whole)")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
