#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""What thousands of forwards cost: start, reload and a change of the outside address, and the pause in which no packet passes.

    bench_forwards.py [FORWARDS ...]        NATD and NATCTL name the binaries; root. Each with both ways of steering.

Times by the clock need an idle machine; processor time (of natd, all threads) is told beside each. A datagram goes to an echo
server and back each millisecond: the longest time between two answers is the pause, with one without any change as measure.
"""
import subprocess
import sys
import tempfile
import threading
import time

from benchkit import NATCTL, NATD, cpu_ms
import netlab


class Talk:
    """Datagrams to the echo server and back, as many as come."""

    def __init__(self, lab):
        self.times, self._enough = [], threading.Event()
        self._server, self._client = lab.server.udp(port=7), lab.client.udp()
        self._server.settimeout(0.2)
        self._client.settimeout(0.2)
        self._client.connect((lab.SERVERS[0], 7))
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._echo, self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _until_enough(self, step):
        while not self._enough.is_set():
            try:
                step()
            except OSError:
                pass

    def _echo(self):
        self._until_enough(lambda: self._server.sendto(*self._server.recvfrom(100)))

    def _send(self):
        self._until_enough(lambda: (self._client.send(b"x"), time.sleep(0.001)))

    def _receive(self):
        self._until_enough(lambda: (self._client.recv(100), self.times.append(time.monotonic())))

    def pause_ms(self, since):
        """Of all answers, from the last one before `since`."""
        time.sleep(0.3)  # a pause that has not ended yet
        times = list(self.times)
        times = times[max(0, sum(t < since for t in times) - 1):]
        return max((b - a for a, b in zip(times, times[1:])), default=0) * 1000

    def end(self):
        self._enough.set()
        for thread in self._threads:
            thread.join()


def config_text(folder, n, steering):
    forwards = ",\n".join(f'{{ protocol = [ "tcp", "udp" ]; port = {2001 + 2 * i}; to = "10.8.0.2"; }}' for i in range(n))
    return f"""outside = {{ interface = "out0"; ports = "40000-60000"; }};
inside = {{ interfaces = [ "lan0" ]; }};
control = {{ socket = "{folder}/natd.sock"; }};
fast_path = {{ steering = "{steering}"; }};
forwards = ( {forwards} );
"""


def launch(lab, folder):
    natd = subprocess.Popen(lab.gateway.command(NATD, "-f", "-c", f"{folder}/natd.conf"), stderr=subprocess.PIPE, text=True)
    start = time.monotonic()
    for line in natd.stderr:
        if line == "natd: ready\n":
            threading.Thread(target=natd.stderr.read, daemon=True).start()
            return natd, (time.monotonic() - start) * 1000
    raise SystemExit("bench_forwards: natd did not start")


def change(lab):
    """natd follows within a second, by events or by its look."""
    for how in ("add", "del"):
        lab.gateway.run("ip", "addr", how, "203.0.113.77/24", "dev", "out0")
        time.sleep(1.5)


def measure(lab, n, steering):
    rows = []
    with tempfile.TemporaryDirectory(prefix="natd-bench-") as folder:
        with open(f"{folder}/natd.conf", "w", encoding="utf-8") as f:
            f.write(config_text(folder, n, steering))
        natd, ready_ms = launch(lab, folder)
        rows.append(("start to ready", ready_ms, cpu_ms(natd.pid), None))
        talk = Talk(lab)
        time.sleep(0.5)
        for name, work in (("nothing, for two seconds", lambda: time.sleep(2)),
                           ("reload", lambda: lab.gateway.run(NATCTL, "-s", f"{folder}/natd.sock", "reload")),
                           ("an address comes, and goes", lambda: change(lab))):
            since, cpu = time.monotonic(), cpu_ms(natd.pid)
            work()
            took_ms, cpu = (time.monotonic() - since) * 1000, cpu_ms(natd.pid) - cpu
            rows.append((name, took_ms, cpu, talk.pause_ms(since)))
        talk.end()
        natd.terminate()
        natd.wait()
    for name, ms, cpu, pause in rows:
        print(f"{n:>8} {steering:8} {name:30} {ms:9.0f} {cpu:9.0f} {'' if pause is None else f'{pause:9.1f}'}", flush=True)


def main():
    print(f"{'forwards':>8} {'steering':8} {'':30} {'clock ms':>9} {'CPU ms':>9} {'pause ms':>9}")
    for n in [int(a) for a in sys.argv[1:]] or [0, 10000]:
        for steering in ("bpf", "rules"):
            lab = netlab.Lab()
            try:
                measure(lab, n, steering)
            finally:
                lab.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
