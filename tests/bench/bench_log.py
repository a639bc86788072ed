#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What the translation log costs: bytes for each kind of record, what that is a day for 1,000 homes, and how fast it is.

    NATD=... NATCTL=... tests/bench/bench_log.py [--flows N] [--rate N]

In namespaces, as root. 50 hosts open flows through a natd with each kind of log; natd-log writes them to a file. A day of
1,000 homes is computed from --flows a home (default 10000). --rate N: N sessions (default 40000) end at once, and how many a second
reach a file and an IPFIX collector is measured, beside natd on the same machine; 0: not.
"""
import argparse
import gzip
import json
import os
import tempfile
import time

from benchkit import Collector, start_log
import netlab
from conftest import Natd

HOSTS, FLOWS, SERVER = 50, 200, "198.51.100.10"
POOL = {"addresses": '[ "203.0.113.8/30" ]'}
KINDS = (
    ("sessions, JSON", "port", 'what = "sessions";'),
    ("sessions with destinations, JSON", "port", 'what = "sessions"; destinations = true;'),
    ("sessions, text", "port", 'what = "sessions"; format = "text";'),
    ("mappings, JSON", "port", 'what = "mappings";'),
    ("mappings, text", "port", 'what = "mappings"; format = "text";'),
    ("blocks of 512, JSON", "block", 'what = "blocks";'),
    ("blocks of 512, text", "block", 'what = "blocks"; format = "text";'),
)


def wait(what, timeout=60):
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


def launch(lab, place, allocation, log, target=None, events=1048576):
    more = (f'translation = {{ allocation = "{allocation}"; }}; limits = {{ events = {events}; reserve = 0; }}; '
            f'timeouts = {{ port_reuse = 0; }}; translation_log = {{ target = "{target or f"file:{place}/log"}"; {log} }};')
    natd = Natd(lab.gateway, {**POOL, "more": more}).start()
    return natd, start_log(lab, natd, place)


def open_flows(lab, natd, hosts, flows):
    """`flows` from each of `hosts` inside addresses, all open when this returns."""
    for host in range(hosts):
        for i in range(flows):
            with lab.client.udp(address=f"10.8.0.{100 + host}", port=20000 + i) as sock:
                sock.sendto(b"x", (SERVER, 9))
        if host % 5 == 4:
            wait(lambda n=(host + 1) * flows: int(natd.ctl("count").stdout) >= n)


def measure(lab, name, allocation, log, flows_a_day):
    with tempfile.TemporaryDirectory(dir="/run") as place:
        natd, process = launch(lab, place, allocation, log)
        open_flows(lab, natd, HOSTS, FLOWS)
        natd.ctl("flush")
        wait(lambda: int(natd.ctl("count").stdout) == 0)
        time.sleep(3)  # blocks go back
        process.terminate()
        process.wait()
        natd.close()
        with open(f"{place}/log", "rb") as file:
            text = file.read()
    records = text.count(b"\n") - 1
    small = len(gzip.compress(text, 6))
    flows = HOSTS * FLOWS
    if allocation == "block":  # by what a home opens and gives back, not by flows
        day = 1000 * 24 * len(text) / HOSTS
        note = "a home's blocks come and go once an hour"
    else:
        day = 1000 * flows_a_day * len(text) / flows
        note = f"{len(text) / flows:.0f} bytes a flow"
    print(f"{name:34} {records:7} records {len(text) / max(records, 1):5.0f} bytes each, {small / max(records, 1):4.0f} by gzip; "
          f"a day of 1,000 homes {day / 1e6:9.1f} MB ({day / 1e6 * small / len(text):.1f} MB by gzip): {note}", flush=True)


def measure_rate(lab, count, target):
    with tempfile.TemporaryDirectory(dir="/run") as place:
        collector = Collector(lab, patience=3) if target == "ipfix" else None
        natd, process = launch(lab, place, "port", 'what = "sessions";',
                               "ipfix:127.0.0.1:4739" if target == "ipfix" else None)
        open_flows(lab, natd, HOSTS, count // HOSTS)
        time.sleep(2)
        begin = time.monotonic()
        natd.ctl("flush", timeout=60)
        end = begin
        if target == "file":
            done = 0
            with open(f"{place}/log", "rb") as file:
                while done < count:
                    line = file.readline()
                    if line and not line.endswith(b"\n"):  # natd-log is writing it
                        file.seek(-len(line), os.SEEK_CUR)
                    done += line.endswith(b"\n") and b'"DESTROY"' in line
                    end = time.monotonic()
                    assert end - begin < 60, f"{done} of {count} arrived"
        else:
            collector.close()
            done, end = collector.count[5], collector.last_s
        process.terminate()
        process.wait()
        lost = 0
        if target == "file":
            with open(f"{place}/log", "rb") as file:
                lost = sum(json.loads(line)["event"] == "LOST" for line in file)
        natd.close()
    print(f"{target}: {count} sessions ended at once, {done} ends arrived, {done / (end - begin):,.0f} a second; "
          f"records of loss: {lost if target == 'file' else 'see the number'}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--flows", type=int, default=10000)
    parser.add_argument("--rate", type=int, default=40000)
    options = parser.parse_args()
    lab = netlab.Lab()
    for host in range(HOSTS):
        lab.client.run("ip", "addr", "add", f"10.8.0.{100 + host}/24", "dev", "eth0")
    try:
        for name, allocation, log in KINDS:
            measure(lab, name, allocation, log, options.flows)
        print("deterministic: nothing to log; the configuration file is the log")
        if options.rate:
            measure_rate(lab, options.rate, "file")
            measure_rate(lab, options.rate, "ipfix")
    finally:
        lab.close()


if __name__ == "__main__":
    main()
