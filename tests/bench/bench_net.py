#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""natd on the wire, side by side with what its users have: nft masquerade, plain forwarding, slirp4netns, pasta.

    bench_net.py [--rounds N] [--seconds S] [--ways WAY[,WAY]] [--only TEST[,TEST]] [--fill N] [--list] [--write FILE]

WAY: nft, natd, natd-plain (tun.offload off), natd-2q (two workers), natd-tc (steered by tc programs), natd-fast (the programs
carry sessions too), natd-rules (10,000 filter rules and a set of 100,000), natd-forwards (10,000 forwards),
forward, slirp4netns, pasta; with "+N" behind it there are N
other sessions in its table, with "+list" they are listed in a loop meanwhile: nft,natd,natd+500000,natd+500000+list. --fill
and --list say that for every way.

Each way has a trio of namespaces of its own (client, gateway, server, veth between them, all with the kernel's settings, nothing
pinned); they are measured in turn, each round beginning with another, so that A and B see the same machine. Printed: medians,
spread (min-max), the ratio of medians to nft in the same run and to the same way with few sessions, and the CPU
seconds of the whole machine per gigabyte or per million packets. The sessions of each table are counted, not assumed.
The limit of the kernel's table is raised for the length of the run where that is allowed. Needs root, iperf3, nft, conntrack; NATD,
NATCTL and NETLOAD name the binaries.
"""
import argparse
import ipaddress
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

PREFIX = f"natdb{os.getpid()}"
NATD = os.environ.get("NATD", "./natd")
NATCTL = os.environ.get("NATCTL", "./natctl")
NETLOAD = os.path.abspath(os.environ.get("NETLOAD", "./tests/bench/netload"))
os.environ.setdefault("NATD_BPF_LOADER", os.path.join(os.path.dirname(os.path.abspath(NATD)), "natd-bpf-load"))
SERVER, OUTSIDE, INSIDE, CLIENT = "203.0.113.9", "203.0.113.1", "10.8.0.1", "10.8.0.2"
POOL = "203.0.113.64-203.0.113.79"
FILL_FROM, FILL_PORT = "10.200.0.1", 9999
FEW = 10
WATCHDOG_US = 40000
SO_TIMESTAMPNS = 35
CONNTRACK_MAX = "/proc/sys/net/netfilter/nf_conntrack_max"

CONF = """
tun = {{ offload = {offload}; queues = {queues}; }};
outside = {{ interface = "out0"; addresses = [ "{pool}" ]; }};
inside = {{ interfaces = [ "in0" ]; prefixes = [ "10.0.0.0/8" ]; }};
translation = {{ pooling = "arbitrary"; }};
limits = {{ sessions = 4000000; }};
timeouts = {{ udp = 7200; }};
control = {{ socket = "{socket}"; }};
"""


def run(*args, **kw):
    return subprocess.run(args, check=True, capture_output=True, text=True, **kw).stdout


def sysctl(ns, name, value):
    run("ip", "netns", "exec", ns, "sysctl", "-qw", f"{name}={value}")


class Way:
    """A client, a gateway of some kind, a server."""

    def __init__(self, name, folder, number):
        self.name, self.folder, self.processes = name, folder, []
        self.fill, self.listed, self.listings = FEW, False, 0
        self.c, self.g, self.s = (f"{PREFIX}-{number}{x}" for x in "cgs")

    def up(self):
        for ns in (self.c, self.g, self.s):
            run("ip", "netns", "add", ns)
            run("ip", "-n", ns, "link", "set", "lo", "up")
        self.wire(self.c, CLIENT, "in0", INSIDE)
        self.wire(self.s, SERVER, "out0", OUTSIDE)
        run("ip", "-n", self.c, "route", "add", "default", "via", INSIDE)
        run("ip", "-n", self.c, "route", "add", "local", "10.200.0.0/16", "dev", "lo")
        run("ip", "-n", self.g, "route", "add", "10.200.0.0/16", "via", CLIENT)
        self.gateway()
        self.serve("echo", "7000")
        self.serve("accept", "7100", "20")
        self.start(self.s, "iperf3", "-s", "-p", "7200")
        wait_for(lambda: ":7200 " in run("ip", "netns", "exec", self.s, "ss", "-ltn"))

    def wire(self, ns, address, peer, peer_address):
        run("ip", "-n", ns, "link", "add", "eth0", "type", "veth", "peer", "name", peer, "netns", self.g)
        for n, dev, a in ((ns, "eth0", address), (self.g, peer, peer_address)):
            run("ip", "-n", n, "addr", "add", f"{a}/24", "dev", dev)
            run("ip", "-n", n, "link", "set", dev, "up")

    def gateway(self):
        sysctl(self.g, "net.ipv4.ip_forward", 1)
        run("ip", "-n", self.s, "route", "add", "10.0.0.0/8", "via", OUTSIDE)

    def start(self, ns, *args, **kw):
        p = subprocess.Popen(["ip", "netns", "exec", ns, *args], stdout=subprocess.DEVNULL,
                             stderr=kw.get("stderr", subprocess.DEVNULL), text=True, env=kw.get("env"))
        self.processes.append(p)
        return p

    def serve(self, *args):
        self.start(self.s, NETLOAD, *args)

    def load(self, ns, *args):
        return json.loads(run("ip", "netns", "exec", ns, NETLOAD, *args))

    def put_others(self):
        """Other sessions into the table: how many were sent."""
        return self.load(self.c, "flows", SERVER, str(FILL_PORT), str(self.fill), FILL_FROM, "0")["made"]

    def held(self):
        """How many sessions its table holds; None: it has none to ask."""

    def lister(self):
        return None

    def down(self):
        for p in reversed(self.processes):
            p.terminate()
        for p in self.processes:
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        for ns in (self.c, self.g, self.s):
            subprocess.run(["ip", "netns", "del", ns], capture_output=True, check=False)


class Nft(Way):
    def gateway(self):
        sysctl(self.g, "net.ipv4.ip_forward", 1)
        rules = (f"table ip nat {{\n chain post {{\n type nat hook postrouting priority 100\n"
                 f"oifname out0 ip daddr {SERVER} udp dport {FILL_PORT} snat to {POOL}\n"
                 f"oifname out0 masquerade\n }}\n}}\n")
        subprocess.run(["ip", "netns", "exec", self.g, "nft", "-f", "-"], input=rules, text=True, check=True)
        for a in range(64, 80):
            run("ip", "-n", self.g, "neigh", "add", "proxy", f"203.0.113.{a}", "dev", "out0")
        for name in ("udp_timeout", "udp_timeout_stream"):
            sysctl(self.g, f"net.netfilter.nf_conntrack_{name}", 7200)

    def held(self):
        return int(run("ip", "netns", "exec", self.g, "sysctl", "-n", "net.netfilter.nf_conntrack_count"))

    def lister(self):
        return ["ip", "netns", "exec", self.g, "conntrack", "-L"]


class Notices:
    """What natd tells its service manager, each with the time at which it was sent, by the kernel's stamp."""

    def __init__(self, path):
        self.path, self.seen, self.came = path, [], threading.Condition()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.bind(path)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            text, control, _, _ = self.socket.recvmsg(4096, 256)
            stamps = [struct.unpack("=qq", data) for level, kind, data in control if kind == SO_TIMESTAMPNS and len(data) == 16]
            with self.came:
                self.seen.append((stamps[0][0] + stamps[0][1] / 1e9 if stamps else time.time(), text.decode()))
                self.came.notify_all()

    def wait(self, word, since):
        """When the first such notice after number `since` was sent."""
        with self.came:
            if not self.came.wait_for(lambda: any(word in text for _, text in self.seen[since:]), 10):
                raise SystemExit(f"bench_net: natd does not say {word}")
            return next(when for when, text in self.seen[since:] if word in text)

    def gaps(self, since):
        """Seconds between the watchdog's signs of life."""
        beats = [when for when, text in self.seen[since:] if "WATCHDOG=1" in text]
        return [b - a for a, b in zip(beats, beats[1:])]


class Natd(Way):
    offload, queues = "true", 1

    def gateway(self):
        self.socket = os.path.join(self.folder, f"{self.name}.sock")
        conf = os.path.join(self.folder, f"{self.name}.conf")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(CONF.format(offload=self.offload, queues=self.queues, pool=POOL, socket=self.socket) + self.extra())
        self.notices = Notices(os.path.join(self.folder, f"{self.name}.notify"))
        env = {**os.environ, "NOTIFY_SOCKET": self.notices.path, "WATCHDOG_USEC": str(WATCHDOG_US)}
        self.natd = self.start(self.g, os.path.abspath(NATD), "-f", "-c", conf, env=env)
        self.notices.wait("READY=1", 0)

    def extra(self):
        return ""

    def ctl(self, *args):
        return run(os.path.abspath(NATCTL), "-s", self.socket, *args)

    def held(self):
        return int(self.ctl("count"))

    def reload(self):
        """Seconds from SIGHUP until the new configuration is in force."""
        since, start = len(self.notices.seen), time.time()
        self.natd.send_signal(signal.SIGHUP)
        self.notices.wait("RELOADING=1", since)
        return self.notices.wait("READY=1", since) - start

    def lister(self):
        return [os.path.abspath(NATCTL), "-s", self.socket, "list"]


class NatdPlain(Natd):
    offload = "false"


class NatdQueues(Natd):
    queues = 2


class NatdTc(Natd):
    mode = "off"

    def extra(self):
        return f'fast_path = {{ steering = "bpf"; mode = "{self.mode}"; }};\n'


class NatdFast(NatdTc):
    mode = "required"


class NatdRules(Natd):
    """10,000 filter rules that differ in every field, none of which matches what is measured, and a set of 100,000 prefixes."""

    def extra(self):
        picked = random.Random(1)
        with open(os.path.join(self.folder, f"{self.name}.set"), "w", encoding="ascii") as f:
            f.writelines(f"{self.elsewhere(picked, 16)}\n" for _ in range(100000))
        rules = [f'{{ direction = "{picked.choice(("out", "in"))}"; protocol = "{picked.choice(("tcp", "udp"))}"; '
                 f'from = "{self.elsewhere(picked, 8)}"; to = "{self.elsewhere(picked, 8)}"; '
                 f'port = "{picked.randint(1, 30000)}-{picked.randint(30001, 65535)}"; action = "drop"; }}' for _ in range(10000)]
        rules += ['{ to = "@bad"; action = "drop"; }', '{ action = "accept"; }']
        return f"""sets = ( {{ name = "bad"; file = "{self.name}.set"; }} );\nfilter = ( {", ".join(rules)} );\n"""

    @staticmethod
    def elsewhere(picked, shortest):
        """A prefix between 11.0.0.0 and 126.255.255.255: nothing here has such an address."""
        length = picked.randint(shortest, 32)
        return f"{ipaddress.ip_address(picked.randint(11 << 24, (127 << 24) - 1) >> 32 - length << 32 - length)}/{length}"


class NatdForwards(Natd):
    """10,000 forwards to the client, none of which is used by what is measured."""

    def extra(self):
        forwards = ", ".join(f'{{ protocol = [ "tcp", "udp" ]; port = {10000 + i}; to = "{CLIENT}"; }}' for i in range(10000))
        return f"forwards = ( {forwards} );\n"


class Sockets(Way):
    """Translators that speak through sockets of the gateway: the client has no veth but their tap."""

    def wire(self, ns, address, peer, peer_address):
        if ns != self.c:
            super().wire(ns, address, peer, peer_address)

    def up(self):
        self.client_routes = False
        for ns in (self.c, self.g, self.s):
            run("ip", "netns", "add", ns)
            run("ip", "-n", ns, "link", "set", "lo", "up")
        super().wire(self.s, SERVER, "out0", OUTSIDE)
        run("ip", "-n", self.g, "route", "add", "default", "via", SERVER)
        self.gateway()
        self.serve("echo", "7000")
        self.serve("accept", "7100", "20")
        self.start(self.s, "iperf3", "-s", "-p", "7200")
        wait_for(lambda: ":7200 " in run("ip", "netns", "exec", self.s, "ss", "-ltn"))
        wait_for(lambda: "default" in run("ip", "-n", self.c, "route"))


class Slirp(Sockets):
    def gateway(self):
        self.start(self.g, "slirp4netns", "--configure", "--mtu=1500", "--netns-type=path", f"/run/netns/{self.c}", "tap0")


class Pasta(Sockets):
    def gateway(self):
        # The server is the gateway too, which pasta would take for the host itself.
        self.start(self.g, "pasta", "-f", "--runas", "0", "--config-net", "--no-map-gw", "-m", "1500", "-t", "none", "-u", "none",
                   "--netns", f"/run/netns/{self.c}")


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("bench_net: something did not come up")
        time.sleep(0.02)


# ---- what is measured: each returns (its figures, units of work for the CPU column), or None: not of this way ----

def iperf(way, seconds, *more):
    out = json.loads(run("ip", "netns", "exec", way.c, "iperf3", "-c", SERVER, "-p", "7200", "-t", str(seconds), "-J", *more,
                         timeout=seconds + 20))
    got = out["end"]["sum_received"]
    return [got["bits_per_second"] / 1e9], got["bytes"] / 1e9


CONGESTION = []     # for iperf3; empty: as the host has it


def tcp(*more):
    return lambda way, seconds: iperf(way, seconds, *more, *CONGESTION)


def udp(size, flows):
    def measure(way, seconds):
        count = subprocess.Popen(["ip", "netns", "exec", way.s, NETLOAD, "udp-count", "7300", str(seconds + 1)],
                                 stdout=subprocess.PIPE, text=True)
        wait_for(lambda: ":7300 " in run("ip", "netns", "exec", way.s, "ss", "-lun"))
        way.load(way.c, "udp-send", SERVER, "7300", str(size), str(flows), str(seconds))
        got = json.loads(count.communicate()[0])
        return [got["received"] / seconds / 1e3], got["received"] / 1e6
    return measure


def round_trips(proto):
    def measure(way, seconds):
        got = way.load(way.c, "rr", proto, SERVER, "7000", str(seconds))
        return [got["rate"] / 1e3, got["median_us"], got["p99_us"]], got["rate"] * seconds / 1e6
    return measure


def connections(way, seconds):
    got = way.load(way.c, "connect", SERVER, "7100", "20", str(seconds))
    return [got["rate"] / 1e3], got["rate"] * seconds / 1e6


def waits(load):
    """How long a control client, a signal and a timer wait while `load` runs. The client is a process that waits for
    a processor like any other; signal and timer are natd's own."""
    def measure(way, seconds):
        if not isinstance(way, Natd):
            return None
        busy = threading.Thread(target=load, args=(way, seconds))
        since, end, status, reloads = len(way.notices.seen), time.monotonic() + seconds, [], []
        busy.start()
        while time.monotonic() < end:
            start = time.monotonic()
            way.ctl("status")
            status.append(time.monotonic() - start)
            reloads.append(way.reload())
            time.sleep(0.01)
        busy.join()
        late = max(way.notices.gaps(since)) - WATCHDOG_US / 2e6
        return [x * 1e3 for x in (statistics.median(status), max(status), max(reloads), late)], 0
    return measure


RR = "TCP round trips, thousand/s", "TCP round trip, median, us", "TCP round trip, 99th percentile, us"
WAITS = "natctl status, median, ms", "natctl status, longest, ms", "SIGHUP to the end of the reload, longest, ms", "timer late, longest, ms"
TESTS = {
    "tcp-up": (["TCP one stream up, Gbit/s"], tcp()),
    "tcp-down": (["TCP one stream down, Gbit/s"], tcp("-R")),
    "tcp-8": (["TCP 8 streams, Gbit/s"], tcp("-P", "8")),
    "udp-18": (["UDP 18 bytes, 1 flow, kpps received"], udp(18, 1)),
    "udp-18-1000": (["UDP 18 bytes, 1000 flows, kpps received"], udp(18, 1000)),
    "udp-512": (["UDP 512 bytes, 1 flow, kpps received"], udp(512, 1)),
    "udp-512-1000": (["UDP 512 bytes, 1000 flows, kpps received"], udp(512, 1000)),
    "rr-tcp": (RR, round_trips("tcp")),
    "rr-udp": ([label.replace("TCP", "UDP") for label in RR], round_trips("udp")),
    "connect": (["new connections, thousand/s"], connections),
    "wait-idle": ([f"idle: {label}" for label in WAITS], waits(lambda way, seconds: None)),
    "wait-udp": ([f"UDP flood: {label}" for label in WAITS], waits(udp(18, 1000))),
    "wait-tcp": ([f"TCP bulk: {label}" for label in WAITS], waits(tcp())),
}


def cpu_seconds():
    with open("/proc/stat", encoding="ascii") as f:
        v = [int(x) for x in f.readline().split()[1:]]
    return (sum(v) - v[3] - v[4]) / os.sysconf("SC_CLK_TCK")


class Listing:
    """natctl list, or conntrack -L, again and again for the length of the block; way.listings counts those that were whole."""

    def __init__(self, way):
        self.way, self.over = way, False
        self.thread = threading.Thread(target=self.loop)

    def loop(self):
        while not self.over:
            p = subprocess.Popen(self.way.lister(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while p.poll() is None and not self.over:
                time.sleep(0.005)
            if p.poll() is None:
                p.kill()
            self.way.listings += p.wait() == 0

    def __enter__(self):
        if self.way.listed and self.way.lister():
            self.thread.start()

    def __exit__(self, *_):
        self.over = True
        if self.thread.is_alive():
            self.thread.join()


def measure(way, test, seconds):
    """(figures, CPU seconds a unit of work), or None."""
    with Listing(way):
        before = cpu_seconds()
        got = TESTS[test][1](way, seconds)
        cpu = cpu_seconds() - before
    return got and (got[0], cpu / got[1] if got[1] else None)


def cell(samples, i, nft, own):
    """One way's figure number i: median, spread, and its ratios to the medians of nft and of the same way with few sessions."""
    figures = [f[i] for f, _ in samples]
    m = statistics.median(figures)
    text = f"{m:.2f} ({min(figures):.2f}-{max(figures):.2f})"
    for base, word in ((nft, ""), (own, " of its own")):
        text += f", {m / base:.2f}x{word}" if base else ""
    cpu = [c for _, c in samples if c is not None]
    return text + (f", cpu {statistics.median(cpu):.2f}" if cpu and i == 0 else "")


def table(results, names):
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for test, by_way in results.items():
        for i, label in enumerate(TESTS[test][0]):
            medians = {n: statistics.median(f[i] for f, _ in by_way[n]) for n in names if by_way.get(n)}
            cells = []
            for name in names:
                own = name.split("+")[0]
                nft = medians.get(name.replace(own, "nft", 1), medians.get("nft")) if own != "nft" else None
                cells.append(cell(by_way[name], i, nft, medians.get(own) if own != name else None) if name in medians else "-")
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_into(path, heading, text):
    """Replaces the block between the two marks of docs/lab/performance.md."""
    with open(path, encoding="utf-8") as f:
        old = f.read()
    begin, end = f"<!-- bench-net {heading} -->\n", f"<!-- end {heading} -->\n"
    block = begin + text + end
    new = re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: block, old, flags=re.S)
    with open(path, "w", encoding="utf-8") as f:
        f.write(new if begin in old else old + "\n" + block)


WAYS = {"nft": Nft, "natd": Natd, "natd-plain": NatdPlain, "natd-2q": NatdQueues, "natd-tc": NatdTc, "natd-fast": NatdFast, "natd-rules": NatdRules,
        "natd-forwards": NatdForwards, "forward": Way, "slirp4netns": Slirp, "pasta": Pasta}


def make_way(name, folder, number, args):
    base, *more = name.split("+")
    way = WAYS[base](name, folder, number)
    way.fill = next((int(m) for m in more if m.isdigit()), args.fill)
    way.listed = args.list or "list" in more
    return way


class RoomForSessions:
    """In the block the kernel's table takes as many as requested; only the first network namespace may set that."""

    def __init__(self, ways):
        self.wanted = 2 * max([w.fill for w in ways if isinstance(w, Nft)], default=0)
        self.before = None

    def __enter__(self):
        try:
            with open(CONNTRACK_MAX, "r+", encoding="ascii") as f:
                self.before = int(f.read())
                if self.before < self.wanted:
                    f.seek(0)
                    f.write(str(self.wanted))
        except OSError as error:
            print(f"bench_net: the kernel's table keeps its limit: {error}", file=sys.stderr)

    def __exit__(self, *_):
        if self.before is not None and self.before < self.wanted:
            with open(CONNTRACK_MAX, "w", encoding="ascii") as f:
                f.write(str(self.before))


def measure_all(ways, tests, args):
    """test -> way -> samples; and what each table held."""
    results, held = {t: {} for t in tests}, {}
    for w in ways:
        w.up()
        if not isinstance(w, Sockets):
            w.put_others()
            held[w.name] = w.held()
            print(f"{w.name}: {w.fill} other sessions sent, its table holds {held[w.name]}", file=sys.stderr)
    for r in range(args.rounds):
        for t in tests:
            for w in ways[r % len(ways):] + ways[:r % len(ways)]:
                got = measure(w, t, args.seconds)
                if got:
                    results[t].setdefault(w.name, []).append(got)
                    print(f"round {r + 1} {t} {w.name}: {' '.join(f'{x:.2f}' for x in got[0])}", file=sys.stderr)
    return results, held


def describe(ways, held, args):
    text = (f"{args.rounds} rounds of {args.seconds} s; median (min-max), ratio to nft and to the same way with few sessions, CPU "
            "seconds of the whole machine per GB or per million packets, round trips or connections.")
    counted = [f"{w.name} {held[w.name]}" for w in ways if held.get(w.name) is not None]
    text += f" Sessions in the tables when all were put in: {', '.join(counted)}." if counted else ""
    listed = [f"{w.name} {w.listings}" for w in ways if w.listed]
    return text + (f" Whole listings meanwhile: {', '.join(listed)}." if listed else "")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=2)
    p.add_argument("--ways", default="nft,natd,natd-plain,forward")
    p.add_argument("--only", default=",".join(TESTS))
    p.add_argument("--fill", type=int, default=FEW)
    p.add_argument("--list", action="store_true")
    p.add_argument("--congestion", help="TCP congestion control of the bulk streams: cubic, bbr...; default: the host's")
    p.add_argument("--write", help="docs/lab/performance.md")
    p.add_argument("--mark", default="few", help="the block there to write: few, many, cubic, others")
    a = p.parse_args()
    CONGESTION.extend(["-C", a.congestion] if a.congestion else [])
    unknown = [t for t in a.only.split(",") if t not in TESTS]
    unknown += [w for w in a.ways.split(",") if w.split("+")[0] not in WAYS]
    if unknown:
        p.error(f"not known: {', '.join(unknown)}")
    names = [w for w in a.ways.split(",") if w.split("+")[0] not in ("slirp4netns", "pasta") or shutil.which(w.split("+")[0])]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was set up is taken down
    with tempfile.TemporaryDirectory(prefix="natd-bench-") as folder:
        ways = [make_way(n, folder, i, a) for i, n in enumerate(names)]
        try:
            with RoomForSessions(ways):
                results, held = measure_all(ways, a.only.split(","), a)
        finally:
            for w in ways:
                w.down()
    text = describe(ways, held, a) + "\n\n" + table(results, names)
    print(text)
    if a.write:
        write_into(a.write, a.mark, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
