#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What natd-web takes: time of a scrape and memory, with none and with a million sessions in natd's table.

    NATD=... NATCTL=... tests/bench/bench_web.py [--sessions N]

In namespaces, as root; some two minutes for a million. The traffic of the page is measured by `make browser-check`.
"""
import argparse
import socket
import statistics
import sys
import time

from benchkit import cpu_ms
import netlab
from conftest import Natd
from webkit import Web

SCRAPES = 50


def fill(lab, natd, sessions):
    """So many sessions: from eight ports to as many addresses, none of which answers."""
    lab.router.run("ip", "route", "add", "blackhole", "0.0.0.0/1")
    socks = [client.udp() for client in lab.clients for _ in range(4)]
    sent = 0
    while (have := natd.counters()["sessions_open"]) < sessions:
        for _ in range(min(5000, sessions - have)):
            sent += 1
            socks[sent % 8].sendto(b"x", (socket.inet_ntoa(((16 << 24) + sent).to_bytes(4, "big")), 7))
    return have


def kib(web, name):
    with open(f"/proc/{web.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))


def scrape(natd, web, what):
    times, before = [], cpu_ms(web.process.pid) + cpu_ms(natd.pid())
    for _ in range(SCRAPES):
        begin = time.perf_counter()
        answer = web.get("/metrics")
        times.append((time.perf_counter() - begin) * 1000)
        assert answer.status == 200
    spent = (cpu_ms(web.process.pid) + cpu_ms(natd.pid()) - before) / SCRAPES
    print(f"/metrics, {what}: median {statistics.median(times):.1f} ms, longest {max(times):.1f} ms of {SCRAPES} (processor time of "
          f"natd and natd-web {spent:.1f} ms), {len(answer.body)} bytes", flush=True)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=1000000)
    wanted = parser.parse_args().sessions
    lab = netlab.Lab()
    natd = Natd(lab.gateway, {"more": f"limits = {{ sessions = {wanted + 1000}; reserve = 0; }}; timeouts = {{ udp = 3600; }};"}).start()
    web = Web(lab.gateway, natd)
    try:
        scrape(natd, web, "no sessions")
        have = fill(lab, natd, wanted)
        median = scrape(natd, web, f"{have} sessions")
        begin = time.perf_counter()
        answer = web.get("/api/list?sport=1")
        print(f"/api/list?sport=1, a look through all of them: {answer.status}, {time.perf_counter() - begin:.2f} s")
        natd.ctl("flush", timeout=120)
        answer = web.get("/api/history?limit=1000")
        print(f"/api/history?limit=1000 after that: {answer.status}, {len(answer.body)} bytes")
        print(f"natd-web: {kib(web, 'VmRSS') / 1024:.1f} MB resident, {kib(web, 'VmHWM') / 1024:.1f} MB at most")
        ok = median < 50 and kib(web, "VmHWM") < 30 * 1024
        print("bench-web:", "as promised (50 ms, 30 MB)" if ok else "MORE than promised (50 ms, 30 MB)")
    finally:
        web.stop()
        natd.close()
        lab.close()
    sys.exit(not ok)


if __name__ == "__main__":
    main()
