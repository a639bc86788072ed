# SPDX-License-Identifier: ISC
"""What an operator sees of traffic: hosts. One natd for the module, so tests look at hosts and ports of their own."""
import re
import time

import pytest

import netlab
from conftest import Natd
from netlab import Lab

SERVER = Lab.SERVERS[0]
A, B = Lab.CLIENTS


@pytest.fixture(scope="module", name="lab")
def module_lab():
    made = netlab.Lab()
    yield made
    made.close()


@pytest.fixture(scope="module", name="natd")
def module_natd(lab):
    one = Natd(lab.gateway, {})
    one.start()
    yield one
    one.close()


def exchange(lab, client, port, payload=100, times=1):
    """A datagram from that client to the server and back, so many times; one session."""
    with lab.server.udp(port=port) as far, client.udp(port=port) as near:
        for _ in range(times):
            near.sendto(b"x" * payload, (SERVER, port))
            far.settimeout(5)
            _, sender = far.recvfrom(2000)
            far.sendto(b"y" * payload, sender)
            near.settimeout(5)
            near.recv(2000)


# ---- hosts ----

def wait_hosts(natd, predicate):
    """A result serves for a second, so the next ones may be old."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        hosts = {host["address"]: host for host in natd.json("hosts")}
        if predicate(hosts):
            return hosts
    raise AssertionError(f"still {hosts}")


@pytest.fixture
def nothing(natd):
    """No sessions, and hosts that have lost their totals with their last one."""
    natd.ctl("flush")
    wait_hosts(natd, lambda hosts: not hosts and natd.counters()["hosts_active"] == 0)


@pytest.mark.usefixtures("nothing")
def test_hosts_has_what_each_inside_host_has_and_moves(lab, natd):
    exchange(lab, lab.clients[0], 4001, times=3)
    exchange(lab, lab.clients[0], 4002)
    exchange(lab, lab.clients[1], 4003)
    hosts = wait_hosts(natd, lambda hosts: len(hosts) == 2)
    a, b = hosts[A], hosts[B]
    assert (a["outside"], a["sessions"], a["ports"], a["blocks"]) == (Lab.OUTSIDE, 2, 2, 0)
    assert all((a[side]["packets"], a[side]["bytes"]) == (4, 4 * 128) for side in ("out", "in"))
    assert b["sessions"] == 1 and b["out"]["packets"] == 1 and b["out"]["bytes"] == 128
    assert all(isinstance(b["in"][rate], int) for rate in ("packets_rate", "bytes_rate"))


@pytest.mark.usefixtures("nothing")
def test_session_that_ended_stays_in_its_hosts_total(lab, natd):
    exchange(lab, lab.clients[0], 4011)
    exchange(lab, lab.clients[0], 4012)
    natd.ctl("delete", "-s", A, "--dport", 4012)
    a = wait_hosts(natd, lambda hosts: A in hosts)[A]
    assert a["sessions"] == 1 and a["out"]["bytes"] == 2 * 128


@pytest.mark.usefixtures("nothing")
def test_hosts_as_lines_as_table_and_in_order(lab, natd):
    exchange(lab, lab.clients[0], 4021)
    for port in (4022, 4023):
        exchange(lab, lab.clients[1], port)
    wait_hosts(natd, lambda hosts: len(hosts) == 2)
    line = natd.ctl("hosts", "-s", A).stdout
    assert re.fullmatch(rf"{A} outside={Lab.OUTSIDE} sessions=1 ports=1 blocks=0 out_packets=\d+ out_bytes=\d+ "
                        r"out_packets_rate=\d+ out_bytes_rate=\d+ in_packets=\d+ in_bytes=\d+ in_packets_rate=\d+ "
                        r"in_bytes_rate=\d+\n", line)
    table = natd.ctl("hosts", "-o", "table", "--sort", "sessions", "-c", "1").stdout.splitlines()
    assert table[0].split()[:4] == ["HOST", "OUTSIDE", "SESSIONS", "PORTS"]
    assert [row.split()[:3] for row in table[1:]] == [[B, Lab.OUTSIDE, "2"]]


@pytest.mark.parametrize("arguments", [("--dport", "5"), ("--sort", "name"), ("-c", "65"), ("more",)])
def test_hosts_refuses_what_does_not_fit(natd, arguments):
    refused = natd.ctl("hosts", *arguments, check=False)
    assert refused.returncode == 2 and refused.stderr.startswith("natctl: hosts: ") and not refused.stdout
