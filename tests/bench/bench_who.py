#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""How long natctl who takes over a translation log of gigabytes.

    NATCTL=... tests/bench/bench_who.py [--gigabytes N] [--dir DIRECTORY]

Writes a log of mappings (JSON, then text) of N GB (default 2) into DIRECTORY (default /var/tmp), asks for one endpoint in its middle five
times, and removes it. The file is in the page cache then, as far as the memory goes.
"""
import argparse
import os
import resource
import statistics
import subprocess
import tempfile
import time

NATCTL = os.environ.get("NATCTL", "./natctl")
BEGIN, LINES = 1796018592, 200000


def line(form, at, number, state):
    inside, port = f"10.{number >> 14 & 63}.{number >> 7 & 127}.{2 + number % 120}", 1024 + number * 7 % 60000
    outside, outport = f"203.0.113.{1 + number % 14}", 1024 + number * 13 % 64000
    if form == "json":
        return (f'{{"time":{at}.104312,"event":"MAPPING","state":"{state}","protocol":"udp","inside":{{"address":"{inside}","port":{port}}},'
                f'"outside":{{"address":"{outside}","port":{outport}}}}}\n')
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
    return f"{stamp}.104312Z MAPPING {state} udp inside={inside}:{port} outside={outside}:{outport}\n"


def write(path, form, size):
    """START, then beginnings and ends, and in the middle one mapping that no other line has."""
    start = f'{{"time":{BEGIN}.000001,"event":"START"}}\n' if form == "json" else \
        time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(BEGIN)) + ".000001Z START\n"
    block = "".join(line(form, BEGIN + 1 + i // 100, i // 2, "closed" if i % 2 else "opened") for i in range(LINES)).encode()
    one = line(form, BEGIN + 1000, 4711, "opened").replace("203.0.113.", "192.0.2.").encode()
    with open(path, "wb") as out:
        out.write(start.encode())
        while out.tell() < size:
            if one and out.tell() > size / 2:
                out.write(one)
                one = b""
            out.write(block)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, default=2)
    parser.add_argument("--dir", default="/var/tmp")
    options = parser.parse_args()
    outport = 1024 + 4711 * 13 % 64000
    for form in ("json", "text"):
        with tempfile.NamedTemporaryFile(dir=options.dir, prefix="natd-who-") as log:
            write(log.name, form, options.gigabytes * 1e9)
            size = os.path.getsize(log.name) / 1e9
            clock, spent = [], []
            for _ in range(5):
                before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
                done = subprocess.run([NATCTL, "who", f"192.0.2.{1 + 4711 % 14}:{outport}", "udp", "--at", str(BEGIN + 1500), "--log",
                                       log.name], capture_output=True, text=True, check=True)
                clock.append(time.perf_counter() - begin)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            assert done.stdout.startswith("udp inside="), done
        print(f"{form}, {size:.2f} GB: {statistics.median(clock) / size:.2f} s a gigabyte by the clock (longest {max(clock) / size:.2f}), "
              f"{statistics.median(spent) / size:.2f} s of processor time", flush=True)


if __name__ == "__main__":
    main()
