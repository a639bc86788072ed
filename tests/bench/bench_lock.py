#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""How long packets wait for other work: the lock of the table, with two queues, under a flood, while commands run.

    bench_lock.py [SECONDS [SESSIONS]]      NATD, NATCTL and NETLOAD name the binaries; LOCKWAIT the library (make lockwait); root

Prints for the lock that was taken most often: how often, its longest and its mean wait, and the longest time that it was held. The
clock shows other programs too, so the machine must be idle.
"""
import os
import subprocess
import sys
import tempfile
import threading
import time

from benchkit import NATCTL, NATD, NETLOAD
import netlab

LOCKWAIT = os.path.abspath(os.environ.get("LOCKWAIT", "tests/bench/lockwait.so"))
CONFIG = """outside = {{ interface = "out0"; }};
inside = {{ interfaces = [ "lan0" ]; prefixes = [ "10.0.0.0/8" ]; }};
control = {{ socket = "{0}/natd.sock"; }};
tun = {{ queues = 2; }};
"""
PORTS = 16  # sessions of a host
COMMANDS = (("status",), ("stats",), ("list",), ("doctor",), ("reload",))


def launch(lab, folder):
    natd = subprocess.Popen(lab.gateway.command("env", f"LD_PRELOAD={LOCKWAIT}", NATD, "-f", "-c", f"{folder}/natd.conf"),
                            stderr=subprocess.PIPE, text=True)
    for line in natd.stderr:
        if line == "natd: ready\n":
            return natd
    raise SystemExit("bench_lock: natd did not start")


def lines_of(natd, lines):
    for line in natd.stderr:
        if line.startswith("lockwait: "):
            lines.append([int(field) for field in line.split()[1:]])


def measure(lab, folder, seconds, sessions):
    with open(f"{folder}/natd.conf", "w", encoding="utf-8") as f:
        f.write(CONFIG.format(folder))
    natd, lines = launch(lab, folder), []
    reader = threading.Thread(target=lines_of, args=(natd, lines))
    reader.start()
    lab.client.run(NETLOAD, "homes", lab.SERVERS[0], "9", str(sessions // PORTS), "10.9.0.1", "0", str(PORTS), "20000", timeout=120)
    flood = lab.client.start(NETLOAD, "udp-send", lab.SERVERS[0], "9", "64", "64", str(seconds))
    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for command in COMMANDS:
            lab.gateway.run(NATCTL, "-s", f"{folder}/natd.sock", *command, check=False)
        rounds += 1
    flood.wait()
    natd.terminate()
    natd.wait()
    reader.join()
    calls, total, longest, held = max(lines)
    print(f"{rounds} rounds of {' '.join(c[0] for c in COMMANDS)}; lock taken {calls} times; waits: longest {longest} us, "
          f"mean {total / calls:.2f} us; longest held {held} us")


def main():
    seconds, sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 10, int(sys.argv[2]) if len(sys.argv) > 2 else 100000
    lab = netlab.Lab()
    try:
        with tempfile.TemporaryDirectory(prefix="natd-bench-") as folder:
            measure(lab, folder, seconds, sessions)
    finally:
        lab.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
