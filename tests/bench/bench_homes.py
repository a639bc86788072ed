#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""natd as a carrier's gateway: many homes on 64 addresses, on the real program, by kind of allocation.

    bench_homes.py [--hosts N] [--ports N] [--kinds port,block,deterministic] [--rate N]     NATD, NATCTL, NETLOAD; root

Sends one datagram from each of N ports of each home (made-up sources from one namespace), asks natctl, kills natd and starts it
again with what the service manager kept, and takes one address out of the pool, when exactly the sessions of that address must
end. Prints a row a step: by the clock, and processor time of natd (all threads).
"""
import argparse
import collections
import json
import re
import subprocess
import sys
import tempfile
import time

from benchkit import NATCTL, NETLOAD, cpu_ms
import netlab
from manager import KeptNatd, Manager

FIRST, PREFIX = "100.64.0.1", "100.64.0.0/18"
CONFIG = """outside = {{ interface = "out0"; addresses = [ "203.0.113.64-203.0.113.{last}" ]; }};
inside = {{ interfaces = [ "lan0" ]; prefixes = [ "{prefix}", "10.8.0.0/24" ]; }};
control = {{ socket = "{{socket}}"; }};
limits = {{ sessions = 5000000; }};
timeouts = {{ udp = 3600; }};
translation = {{ allocation = "{kind}"; }};
blocks = {{ {blocks} }};
"""


def config(kind, last=127):
    blocks = "size = 128; per_host = 4;" if kind == "block" else ""
    return CONFIG.format(kind=kind, last=last, prefix=PREFIX, blocks=blocks)


def row(what, clock_s, cpu=None, note=""):
    print(f"{what:34} {clock_s * 1000:9.0f} {'' if cpu is None else f'{cpu:9.0f}':>9}  {note}", flush=True)


def asked(natd, *arguments):
    """natctl's output, and how long it took."""
    start = time.monotonic()
    text = subprocess.run([NATCTL, "-s", natd.socket, *arguments], capture_output=True, text=True, check=True).stdout
    return text, time.monotonic() - start


def count_by_address(natd):
    """Sessions by outside address."""
    text, took = asked(natd, "list")
    return collections.Counter(re.findall(r" dst=(203\.0\.113\.\d+) ", text)), took


def memory_kib(natd):
    with open(f"/proc/{natd.pid()}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def sessions(natd):
    return int(asked(natd, "count")[0])


def open_all(lab, natd, options):
    """As many as come: datagrams that a queue on the way has lost are sent again, a port of every home at a time."""
    cpu, start, before = cpu_ms(natd.pid()), time.monotonic(), memory_kib(natd)
    for turn in range(options.ports):
        lab.client.run(NETLOAD, "homes", lab.SERVERS[0], "9", str(options.hosts), FIRST, str(turn), "1", str(options.rate),
                       timeout=300)
    n, used = sessions(natd), cpu_ms(natd.pid()) - cpu
    row("openings", time.monotonic() - start, used, f"{n} sessions, {used * 1000 / n:.2f} us of processor time each, "
        f"{(memory_kib(natd) - before) * 1024 / n:.0f} bytes each")
    return n


def ask(natd):
    for command in ("hosts", "blocks"):
        text, took = asked(natd, command)
        row(f"natctl {command}", took, note=f"{len(text.splitlines())} lines")
    by_address, took = count_by_address(natd)
    row("natctl list", took, note=f"{sum(by_address.values())} lines")
    outside = json.loads(asked(natd, "-j", "list", "-s", FIRST)[0].splitlines()[0])["outside"]
    took = [asked(natd, "who", f"{outside['address']}:{outside['port']}")[1] for _ in range(20)]
    row("natctl who, median of 20", sorted(took)[10], note="with its process")
    return by_address


def restart(natd):
    natd.crash()
    start = time.monotonic()
    natd.start()
    row("SIGKILL, start to ready", time.monotonic() - start, cpu_ms(natd.pid()), natd.wait_log("restored .* sessions"))


def shrink(natd, kind, before):
    """The pool without its last address."""
    natd.write_config(config(kind, last=126))
    cpu = cpu_ms(natd.pid())
    text, took = asked(natd, "reload")
    row("reload without one address", took, cpu_ms(natd.pid()) - cpu, " ".join(text.split()))
    after, _ = count_by_address(natd)
    lost = {a: before[a] - after[a] for a in before if before[a] != after[a]}
    right = lost == {"203.0.113.127": before["203.0.113.127"]}
    print(f"    that address had {before['203.0.113.127']} of {sum(before.values())} sessions; {sum(lost.values())} ended, of "
          f"{len(lost)} addresses: {'exactly its own' if right else 'OTHERS TOO'}", flush=True)


def measure(kind, options):
    lab = netlab.Lab()
    with tempfile.TemporaryDirectory(prefix="natd-homes-") as folder:
        manager = Manager(f"{folder}/notify")
        natd = KeptNatd(lab.gateway, config(kind), manager)
        try:
            print(f"== {kind}: {options.hosts} homes, {options.ports} ports each\n{'':34} {'clock ms':>9} {'CPU ms':>9}")
            lab.gateway.run("ip", "route", "add", PREFIX, "via", lab.CLIENTS[0])
            lab.server.run("ip", "route", "add", "blackhole", "203.0.113.64/26")  # no answers
            natd.start()
            open_all(lab, natd, options)
            before = ask(natd)
            restart(natd)
            shrink(natd, kind, before)
        finally:
            natd.close()
            manager.close()
            lab.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=10000)
    parser.add_argument("--ports", type=int, default=20)
    parser.add_argument("--rate", type=int, default=100000, help="datagrams a second")
    parser.add_argument("--kinds", default="port,block,deterministic")
    options = parser.parse_args()
    for kind in options.kinds.split(","):
        measure(kind, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
