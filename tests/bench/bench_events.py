#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""What readers of the event stream cost at 20,000 new sessions a second, and how fast who and explain answer in a full table.

    bench_events.py [--rate N] [--seconds S] [--turns N] [--sessions N] [--forwards N]

NATD, NATCTL, NETLOAD name the binaries; root; an idle machine. First half: each reader in turn: none; `natctl monitor` of everything;
natd-log with sessions into a file, and into IPFIX. Each session lives a second (timeouts.udp = 1), so each second has as many ends
as beginnings. Second half: `natctl who` and `natctl explain` beside --sessions and --forwards, each with its process; --sessions 0: not.
"""
import argparse
import json
import statistics
import subprocess
import tempfile
import time

from benchkit import NATCTL, NETLOAD, Collector, cpu_ms, start_log
import netlab
from conftest import Natd

SERVER, HOSTS, MANY = "198.51.100.10", 20, 60
POOL = '[ "203.0.113.8/29", "203.0.113.16/28", "203.0.113.32/27" ]'


def flood(lab, count, rate, hosts=HOSTS):
    """`count` flows, `rate` a second, of several hosts; how many left the client, and in how many seconds."""
    each, made, longest = count // hosts, 0, 0
    senders = [subprocess.Popen(lab.client.command(NETLOAD, "flows", SERVER, "9", str(each), f"10.8.0.{100 + i}", str(rate / hosts)),
                                stdout=subprocess.PIPE, text=True) for i in range(hosts)]
    for sender in senders:
        got = json.loads(sender.communicate()[0])
        made, longest = made + got["made"], max(longest, got["seconds"])
    return made, longest


def read_events(lab, natd, place, reader):
    """Starts what reads, and gives what to call for (beginnings, ends, lost) when all is over."""
    if reader == "none":
        return lambda: None
    if reader == "monitor":
        out = open(f"{place}/events", "wb")  # pylint: disable=consider-using-with
        process = subprocess.Popen(lab.gateway.command(NATCTL, "-s", natd.socket, "monitor"), stdout=out)
    else:
        process = start_log(lab, natd, place)
    collector = Collector(lab, patience=4) if reader == "ipfix" else None

    def result():
        cpu = cpu_ms(process.pid) / 1000
        if collector:
            collector.close()
        process.terminate()
        process.wait()
        if collector:
            return cpu, collector.count[4], collector.count[5], "-"
        with open(f"{place}/{'events' if reader == 'monitor' else 'log'}", "rb") as file:
            text = file.read()
        return cpu, text.count(b"NEW"), text.count(b"DESTROY"), text.count(b"LOST")
    return result


def sessions(natd):
    """In the table (also those that are over and have not been swept yet); opened since the start."""
    stats = json.loads(natd.ctl("-j", "stats").stdout)
    return stats["sessions_open"], stats["sessions_opened"]


def one_turn(lab, reader, args):
    target = {"ipfix": "ipfix:127.0.0.1:4739", "file": "file:{}/log"}.get(reader)
    with tempfile.TemporaryDirectory(dir="/run") as place:
        log = f'translation_log = {{ target = "{target.format(place)}"; what = "sessions"; }};' if target else ""
        natd = Natd(lab.gateway, {"addresses": POOL, "more": f"timeouts = {{ udp = 1; port_reuse = 0; }}; {log}"}).start()
        try:
            result = read_events(lab, natd, place, reader)
            time.sleep(0.5)
            before = cpu_ms(natd.process.pid)
            made, seconds = flood(lab, args.rate * args.seconds, args.rate)
            while sessions(natd)[0]:
                time.sleep(0.1)
            time.sleep(1)
            cpu = (cpu_ms(natd.process.pid) - before) / 1000
            opened = sessions(natd)[1]
            got = result()
        finally:
            natd.close()
    rate = made / seconds
    print(f"{reader:8} {made:8} sent {rate:8,.0f}/s {opened:>8} opened   natd {cpu:5.2f} s" +
          ("" if got is None else f"   reader {got[0]:5.2f} s: {got[1]} beginnings, {got[2]} ends, lost: {got[3]}"), flush=True)
    return rate, cpu


def readers(lab, args):
    figures = {}
    for turn in range(args.turns):
        order = ["none", "monitor", "file", "ipfix"]
        for reader in order[turn % 4:] + order[:turn % 4]:
            figures.setdefault(reader, []).append(one_turn(lab, reader, args))
    none_rate, none_cpu = (statistics.median(x) for x in zip(*figures["none"]))
    for reader, turns in figures.items():
        rate, cpu = (statistics.median(x) for x in zip(*turns))
        print(f"{reader:8} median {rate:8,.0f}/s ({rate / none_rate:.3f} of none), natd {cpu:.2f} s ({cpu / none_cpu:.3f} of none)")


def timed(*command):
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (time.perf_counter() - begin) * 1000, done.stdout


def answers(lab, args):
    forwards = ", ".join(f'{{ protocol = [ "tcp", "udp" ]; port = {1024 + i}; to = "10.8.0.2"; }}' for i in range(args.forwards // 2))
    natd = Natd(lab.gateway, {"addresses": POOL, "more": f"""
        limits = {{ sessions = {args.sessions + 65536}; reserve = 0; sessions_per_host = {args.sessions}; ports_per_host = 65535; }}; timeouts = {{ udp = 3600; }}; forwards = ( {forwards} );"""}).start()
    try:
        flood(lab, args.sessions, 25000, MANY)
        held = int(natd.ctl("count").stdout)
        ctl = [NATCTL, "-s", natd.socket]  # a UNIX socket: no namespace is needed
        for name, words in (("help, no request", ["help"]), ("who", ["who", "203.0.113.9:40000", "udp"]),
                            ("explain, session", ["explain", "udp", "10.8.0.100:2000", f"{SERVER}:9"]),
                            ("explain, forward", ["explain", "tcp", f"{SERVER}:999", "203.0.113.9:6023", "in"])):
            times = [timed(*ctl, *words)[0] for _ in range(100)]
            print(f"{held} sessions, {args.forwards} forwards: {name:18} median {statistics.median(times):.2f} ms, longest {max(times):.2f} ms")
    finally:
        natd.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=20000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=1000000)
    parser.add_argument("--forwards", type=int, default=10000)
    args = parser.parse_args()
    lab = netlab.Lab()
    for i in range(MANY):
        lab.client.run("ip", "addr", "add", f"10.8.0.{100 + i}/24", "dev", "eth0")
    try:
        if args.turns:
            readers(lab, args)
        if args.sessions:
            answers(lab, args)
    finally:
        lab.close()


if __name__ == "__main__":
    main()
