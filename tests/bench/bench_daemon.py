#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""What an idle natd costs: resident memory, start to READY, natctl's answers, stop. In a namespace of its own.

    bench_daemon.py [ROUNDS]        NATD and NATCTL name the binaries; root, or an ordinary user with user namespaces
"""
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

NATD = os.path.abspath(os.environ.get("NATD", "./natd"))
NATCTL = os.path.abspath(os.environ.get("NATCTL", "./natctl"))
CONF = """
outside = {{ interface = "out0"; }};
inside = {{ interfaces = [ "in0" ]; }};
control = {{ socket = "{0}/natd.sock"; }};
"""


def enter_namespace():
    if os.environ.get("NATD_BENCH_INSIDE"):
        return
    os.environ["NATD_BENCH_INSIDE"] = "1"
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    os.execvp("unshare", ["unshare", *user, "--net", "--mount", sys.executable, *sys.argv])


def make_interfaces():
    for name, address in (("out0", "203.0.113.1/24"), ("in0", "10.8.0.1/24")):
        for command in (f"link add {name} type veth peer name {name}p", f"addr add {address} dev {name}",
                        f"link set {name} up", f"link set {name}p up"):
            subprocess.run(["ip", *command.split()], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def timed(*command):
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return (time.perf_counter() - start) * 1000


def one_round(folder, figures):
    start = time.perf_counter()
    natd = subprocess.Popen([NATD, "-f", "-c", f"{folder}/natd.conf"], stderr=subprocess.PIPE, text=True)
    for line in natd.stderr:
        if line == "natd: ready\n":
            break
    else:
        raise SystemExit("bench_daemon: natd did not start")
    figures["start to READY, ms"].append((time.perf_counter() - start) * 1000)
    figures["resident when idle, KiB"].append(resident_kib(natd.pid))
    for command in ("status", "list", "stats", "doctor"):
        took = timed("sh", "-c", f"{NATCTL} -s {folder}/natd.sock {command} || [ {command} = doctor ]")
        figures[f"natctl {command}, ms (with its process)"].append(took)
    start = time.perf_counter()
    natd.terminate()
    natd.wait()
    figures["SIGTERM to the end, ms"].append((time.perf_counter() - start) * 1000)
    natd.stderr.close()


def main():
    enter_namespace()
    make_interfaces()
    names = ["start to READY, ms", "resident when idle, KiB"]
    names += [f"natctl {c}, ms (with its process)" for c in ("status", "list", "stats", "doctor")]
    figures = {name: [] for name in names + ["SIGTERM to the end, ms"]}
    with tempfile.TemporaryDirectory(prefix="natd-bench-") as folder:
        with open(f"{folder}/natd.conf", "w", encoding="utf-8") as f:
            f.write(CONF.format(folder))
        for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 9):
            one_round(folder, figures)
    print(f"{'':40} {'median':>10} {'least':>10} {'most':>10}")
    for name, values in figures.items():
        print(f"{name:40} {statistics.median(values):10.1f} {min(values):10.1f} {max(values):10.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
