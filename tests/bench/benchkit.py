# SPDX-License-Identifier: ISC
"""What the benchmarks in namespaces share. Importing it starts the program again in a network and a mount namespace of its own,
with a /run of its own, NATD, NATCTL and NETLOAD as absolute names, and the modules of tests/integration in reach."""
import os
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
if not os.environ.get("NATD_BENCH_INSIDE"):
    os.environ["NATD_BENCH_INSIDE"] = "1"
    for name, default in (("NATD", "natd"), ("NATCTL", "natctl"), ("NETLOAD", "tests/bench/netload")):
        os.environ[name] = os.path.abspath(os.environ.get(name, default))
    os.environ.setdefault("NATD_BPF_LOADER", os.path.join(os.path.dirname(os.environ["NATD"]), "natd-bpf-load"))
    os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv])
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
sys.path.insert(0, os.path.join(HERE, "../integration"))

NATD, NATCTL, NETLOAD = (os.environ[name] for name in ("NATD", "NATCTL", "NETLOAD"))
NATD_LOG = os.path.join(os.path.dirname(NATD), "natd-log")


def cpu_ms(pid):
    """Processor time that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def start_log(lab, natd, place):
    """natd-log beside a natd of conftest, ready."""
    process = subprocess.Popen(lab.gateway.command(NATD_LOG, "-f", "-c", natd.config_path, "-s", natd.socket, "--state",
                                                   f"{place}/cursor"), stderr=subprocess.PIPE, text=True)
    while "ready" not in process.stderr.readline():
        pass
    return process


class Collector(threading.Thread):
    """Counts sessions in IPFIX messages by natEvent (template 257 of src/log/outlet_ipfix.c: 22 bytes, natEvent at 21), until
    none has come for `patience` seconds. `last_s`: when the last one came."""

    def __init__(self, lab, patience):
        super().__init__(daemon=True)
        self.sock = lab.gateway.udp(address="127.0.0.1", port=4739)
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.sock.settimeout(1)
        self.patience, self.count, self.last_s = patience, {4: 0, 5: 0}, time.monotonic()
        self.start()

    def run(self):
        quiet = 0
        while quiet < self.patience:
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                quiet += 1
                continue
            quiet, at, self.last_s = 0, 16, time.monotonic()
            while at < len(data):
                number, size = struct.unpack("!HH", data[at:at + 4])
                for i in range(at + 4, at + size - 21, 22) if number == 257 else ():
                    self.count[data[i + 21]] = self.count.get(data[i + 21], 0) + 1
                at += size

    def close(self):
        self.join()
        self.sock.close()
