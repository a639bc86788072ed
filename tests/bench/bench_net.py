#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""natd on the wire, side by side with what its users have: nft masquerade, plain forwarding, slirp4netns, pasta.

    bench_net.py [--rounds N] [--seconds S] [--only WORD[,WORD]] [--fill N] [--list] [--write FILE] [--quick]

Each way has a trio of namespaces of its own (client, gateway, server, veth between them); they are measured in turn, round by round, so
that A and B see the same machine. Printed: medians, spread (min-max), the ratio of medians to nft in the same run, and the CPU
seconds of the whole machine per gigabyte or per million packets. --fill N puts N other sessions into the tables first; --list runs
`natctl list` (for nft: `conntrack -L`) in a loop meanwhile. Needs root, iperf3, nft; NATD, NATCTL and NETLOAD name the binaries.
"""
import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

PREFIX = f"natdb{os.getpid()}"
NATD = os.environ.get("NATD", "./natd")
NATCTL = os.environ.get("NATCTL", "./natctl")
NETLOAD = os.path.abspath(os.environ.get("NETLOAD", "./tests/bench/netload"))
SERVER, OUTSIDE, INSIDE, CLIENT = "203.0.113.9", "203.0.113.1", "10.8.0.1", "10.8.0.2"
POOL = "203.0.113.64-203.0.113.79"
FILL_FROM, FILL_PORT = "10.200.0.1", 9999

CONF = """
tun = {{ offload = {offload}; queues = {queues}; }};
outside = {{ interface = "out0"; addresses = [ "{pool}" ]; }};
inside = {{ interfaces = [ "in0" ]; prefixes = [ "10.0.0.0/8" ]; }};
translation = {{ pooling = "arbitrary"; }};
limits = {{ sessions = 4000000; }};
control = {{ socket = "{socket}"; }};
"""


def run(*args, **kw):
    return subprocess.run(args, check=True, capture_output=True, text=True, **kw).stdout


def sysctl(ns, name, value):
    run("ip", "netns", "exec", ns, "sysctl", "-qw", f"{name}={value}")


class Way:
    """A client, a gateway of some kind, a server."""

    def __init__(self, name, folder):
        self.name, self.folder, self.processes = name, folder, []
        self.c, self.g, self.s = (f"{PREFIX}-{name}-{x}" for x in "cgs")

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
                             stderr=kw.get("stderr", subprocess.DEVNULL), text=True)
        self.processes.append(p)
        return p

    def serve(self, *args):
        self.start(self.s, NETLOAD, *args)

    def load(self, ns, *args):
        return json.loads(run("ip", "netns", "exec", ns, NETLOAD, *args))

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
            sysctl(self.g, f"net.netfilter.nf_conntrack_{name}", 3600)

    def lister(self):
        return ["ip", "netns", "exec", self.g, "conntrack", "-L"]


class Natd(Way):
    offload, queues = "true", 1

    def gateway(self):
        self.socket = os.path.join(self.folder, f"{self.name}.sock")
        conf = os.path.join(self.folder, f"{self.name}.conf")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(CONF.format(offload=self.offload, queues=self.queues, pool=POOL, socket=self.socket))
        p = self.start(self.g, os.path.abspath(NATD), "-f", "-c", conf, stderr=subprocess.PIPE)
        for line in p.stderr:
            if "ready" in line:
                return
        raise SystemExit(f"bench_net: natd did not start with {conf}")

    def lister(self):
        return [os.path.abspath(NATCTL), "-s", self.socket, "list"]


class NatdPlain(Natd):
    offload = "false"


class NatdQueues(Natd):
    queues = 2


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
        self.start(self.g, "pasta", "-f", "--runas", "0", "--config-net", "-m", "1500", "-t", "none", "-u", "none", "--netns",
                   f"/run/netns/{self.c}")


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("bench_net: something did not come up")
        time.sleep(0.02)


# ---- what is measured: each returns (figure, unit of work for the CPU column) ----

def iperf(way, seconds, *more):
    out = json.loads(run("ip", "netns", "exec", way.c, "iperf3", "-c", SERVER, "-p", "7200", "-t", str(seconds), "-J", *more))
    got = out["end"]["sum_received"]
    return got["bits_per_second"] / 1e9, got["bytes"] / 1e9


def udp(size, flows):
    def measure(way, seconds):
        count = subprocess.Popen(["ip", "netns", "exec", way.s, NETLOAD, "udp-count", "7300", str(seconds + 1)],
                                 stdout=subprocess.PIPE, text=True)
        wait_for(lambda: ":7300 " in run("ip", "netns", "exec", way.s, "ss", "-lun"))
        way.load(way.c, "udp-send", SERVER, "7300", str(size), str(flows), str(seconds))
        got = json.loads(count.communicate()[0])
        return got["received"] / seconds / 1e3, got["received"] / 1e6
    return measure


def round_trips(proto):
    def measure(way, seconds):
        got = way.load(way.c, "rr", proto, SERVER, "7000", str(seconds))
        return got["rate"] / 1e3, got["rate"] * seconds / 1e6
    return measure


def p99(proto):
    def measure(way, seconds):
        got = way.load(way.c, "rr", proto, SERVER, "7000", str(seconds))
        return got["p99_us"], got["rate"] * seconds / 1e6
    return measure


def connections(way, seconds):
    got = way.load(way.c, "connect", SERVER, "7100", "20", str(seconds))
    return got["rate"] / 1e3, got["rate"] * seconds / 1e6


TESTS = {
    "tcp-up": ("TCP one stream up, Gbit/s", lambda w, s: iperf(w, s)),
    "tcp-down": ("TCP one stream down, Gbit/s", lambda w, s: iperf(w, s, "-R")),
    "tcp-8": ("TCP 8 streams, Gbit/s", lambda w, s: iperf(w, s, "-P", "8")),
    "udp-18": ("UDP 18 bytes, 1 flow, kpps received", udp(18, 1)),
    "udp-18-1000": ("UDP 18 bytes, 1000 flows, kpps received", udp(18, 1000)),
    "udp-512": ("UDP 512 bytes, 1 flow, kpps received", udp(512, 1)),
    "rr-tcp": ("TCP round trips, thousand/s", round_trips("tcp")),
    "rr-udp": ("UDP round trips, thousand/s", round_trips("udp")),
    "rr-tcp-p99": ("TCP round trip, 99th percentile, us", p99("tcp")),
    "connect": ("new connections, thousand/s", connections),
}


def cpu_seconds():
    with open("/proc/stat", encoding="ascii") as f:
        v = [int(x) for x in f.readline().split()[1:]]
    return (sum(v) - v[3] - v[4]) / os.sysconf("SC_CLK_TCK")


def measure(way, test, seconds, listing):
    lister = subprocess.Popen(["sh", "-c", f"while :; do {' '.join(way.lister())} >/dev/null 2>&1; done"],
                              start_new_session=True) if listing and way.lister() else None
    try:
        before = cpu_seconds()
        figure, work = TESTS[test][1](way, seconds)
        return figure, (cpu_seconds() - before) / work if work else 0
    finally:
        if lister:
            os.killpg(lister.pid, signal.SIGKILL)
            lister.wait()


def table(results, ways):
    lines = ["| | " + " | ".join(ways) + " |", "|---" * (len(ways) + 1) + "|"]
    for test, by_way in results.items():
        base = statistics.median(f for f, _ in by_way["nft"]) if by_way.get("nft") else None
        cells = []
        for way in ways:
            samples = by_way.get(way)
            if not samples:
                cells.append("-")
                continue
            figures, m = [f for f, _ in samples], statistics.median(f for f, _ in samples)
            cpu = statistics.median(c for _, c in samples)
            ratio = f", {m / base:.2f}x" if base and way != "nft" else ""
            cells.append(f"{m:.2f} ({min(figures):.2f}-{max(figures):.2f}){ratio}, cpu {cpu:.2f}")
        lines.append(f"| {TESTS[test][0]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_into(path, heading, text):
    """Replaces the block between the two marks of docs/performance.md."""
    with open(path, encoding="utf-8") as f:
        old = f.read()
    begin, end = f"<!-- bench-net {heading} -->\n", f"<!-- end {heading} -->\n"
    block = begin + text + end
    new = re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: block, old, flags=re.S)
    with open(path, "w", encoding="utf-8") as f:
        f.write(new if begin in old else old + "\n" + block)


WAYS = {"nft": Nft, "natd": Natd, "natd-plain": NatdPlain, "natd-2q": NatdQueues, "forward": Way, "slirp4netns": Slirp,
        "pasta": Pasta}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=2)
    p.add_argument("--ways", default="nft,natd,forward")
    p.add_argument("--only", default=",".join(TESTS))
    p.add_argument("--fill", type=int, default=0)
    p.add_argument("--list", action="store_true")
    p.add_argument("--write")
    a = p.parse_args()
    names = [w for w in a.ways.split(",") if w not in ("slirp4netns", "pasta") or shutil.which(w)]
    tests = [t for t in a.only.split(",") if t in TESTS]
    results = {t: {} for t in tests}
    with tempfile.TemporaryDirectory(prefix="natd-bench-") as folder:
        ways = [WAYS[n](n, folder) for n in names]
        try:
            for w in ways:
                w.up()
                if a.fill and not isinstance(w, Sockets):
                    made = w.load(w.c, "flows", SERVER, str(FILL_PORT), str(a.fill), FILL_FROM)
                    print(f"{w.name}: {made['made']} other sessions sent", file=sys.stderr)
            for r in range(a.rounds):
                for t in tests:
                    for w in ways:
                        results[t].setdefault(w.name, []).append(measure(w, t, a.seconds, a.list))
                        print(f"round {r + 1} {t} {w.name}: {results[t][w.name][-1][0]:.2f}", file=sys.stderr)
        finally:
            for w in ways:
                w.down()
    title = f"fill {a.fill}{' listed' if a.list else ''}"
    text = (f"{a.rounds} rounds of {a.seconds} s, {a.fill} other sessions{', listed in a loop' if a.list else ''}; median (min-max), "
            f"ratio to nft, CPU seconds of the whole machine per GB or per million packets, round trips or connections.\n\n"
            + table(results, names))
    print(text)
    if a.write:
        write_into(a.write, title, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
