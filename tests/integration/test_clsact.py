# SPDX-License-Identifier: ISC
"""tc programs as filters at clsact, as on kernels without tcx (before Linux 6.6): NATD_BPF_ATTACH=clsact attaches them so here.

Such filters outlive natd. NATD_BPF_ATTACH=clsact NATD_STEERING=bpf runs the other tests over them too."""
import contextlib
import re
import select
import signal
import time

import pytest

import conftest
from netlab import Lab

BPF = 'fast_path = { steering = "bpf"; mode = "required"; };'
RULES = 'fast_path = { steering = "rules"; };'
CLSACT = {"NATD_BPF_LOADER": conftest.LOADER, "NATD_BPF_ATTACH": "clsact"}
SERVER = Lab.SERVERS[0]

pytestmark = pytest.mark.skipif(not conftest.CAN_LOAD, reason="tc programs cannot be loaded here")


def until(condition, timeout=10):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        select.select([], [], [], 0.02)


def filters(lab):
    """The filters of all interfaces of the gateway: {(interface, name): handle}."""
    found = {}
    for device in re.findall(r"qdisc clsact ffff: dev (\S+)", lab.gateway.run("tc", "qdisc", "show").stdout):
        text = lab.gateway.run("tc", "filter", "show", "dev", device, "ingress").stdout
        found.update({(device, name): handle for handle, name in re.findall(r"handle (\S+) (\S+) direct-action", text)})
    return found


def qdiscs(lab):
    return sorted(re.findall(r"qdisc clsact ffff: dev (\S+)", lab.gateway.run("tc", "qdisc", "show").stdout))


def exchange(lab, client=None):
    with (client or lab.client).udp() as sock:
        sock.connect((SERVER, 7))
        sock.send(b"hello")
        return int(sock.recv(100).split()[1])


OURS = [("lan0", "natd-inside+clsact"), ("natd0", "natd-tun+clsact"), ("out0", "natd-outside+clsact")]


def test_it_carries_and_a_stop_leaves_nothing(lab, start_natd, http_server):
    http_server()
    natd = start_natd({"more": BPF}, environment=CLSACT)
    done = lab.client.run("curl", "-sS", "-m", "20", f"http://{SERVER}/bytes/5000000", text=False)
    assert done.stdout == conftest.some_bytes(5000000)
    assert natd.counters()["fast_packets"] > 0
    assert natd.json("status")["attachment"] == "clsact"
    assert "steered by tc programs (clsact)" in natd.ctl("doctor", check=False).stdout
    assert sorted(filters(lab)) == OURS
    natd.stop()
    assert qdiscs(lab) == []


def test_after_a_crash_all_is_the_hosts_until_the_next_start_removes_what_is_left(lab, start_natd, udp_echo):
    """Without a store: natd's device has gone. Whichever way the next natd steers."""
    udp_echo()
    natd = start_natd({"more": BPF}, environment=CLSACT)
    port = exchange(lab)
    natd.stop(signal.SIGKILL)
    assert len(filters(lab)) == 2
    with lab.gateway.udp(Lab.OUTSIDE, port) as host, lab.server.udp() as sender:
        sender.sendto(b"free", (Lab.OUTSIDE, port))
        assert host.recv(100) == b"free"
        sender.sendto(b"x" * 4000, (Lab.OUTSIDE, port))  # fragments
        assert len(host.recv(5000)) == 4000
    natd.start()
    natd.wait_log("removed 2 tc programs that a natd left")
    assert sorted(name for _, name in filters(lab)) == sorted(name for _, name in OURS)
    exchange(lab)
    natd.stop(signal.SIGKILL)
    rules = start_natd({"more": RULES}, environment=CLSACT)
    rules.wait_log("removed 2 tc programs that a natd left")
    assert qdiscs(lab) == []
    exchange(lab)


def test_a_restart_replaces_them_and_packets_wait_meanwhile(lab, keep_natd, udp_echo):
    udp_echo()
    natd = keep_natd({"more": BPF}, environment=CLSACT)
    exchange(lab)
    before = filters(lab)
    with lab.client.udp() as sock:
        sock.connect((SERVER, 7))
        sock.send(b"one")
        assert sock.recv(100).endswith(b"one")
        natd.crash()
        assert filters(lab) == before
        sock.send(b"two")
        natd.start()
        assert sock.recv(100).endswith(b"two")
    assert filters(lab) == before
    assert "tc programs that a natd left" not in natd.text()
    assert natd.manager.links() == []


def test_filters_of_others_and_their_clsact_are_left(lab, start_natd, udp_echo):
    udp_echo()
    lab.gateway.run("tc", "qdisc", "add", "dev", "out0", "clsact")
    natd = start_natd({"more": BPF}, environment=CLSACT)
    exchange(lab)
    assert ("out0", "natd-outside") in filters(lab)
    lab.gateway.run("tc", "filter", "add", "dev", "lan0", "egress", "protocol", "ip", "prio", "300", "u32", "match", "u32", "0", "0", "flowid", ":1")
    natd.stop()
    assert qdiscs(lab) == ["lan0", "out0"]
    assert "pref 300" in lab.gateway.run("tc", "filter", "show", "dev", "lan0", "egress").stdout


def test_what_another_program_removes_is_put_back(lab, start_natd, udp_echo):
    udp_echo()
    start_natd({"more": BPF}, environment=CLSACT)
    lab.gateway.run("tc", "qdisc", "del", "dev", "out0", "clsact")
    until(lambda: sorted(filters(lab)) == OURS)
    exchange(lab)


def test_two_natds_on_one_interface(lab, start_natd, udp_echo):
    """Each removes its own, and the last one the clsact."""
    udp_echo()
    first = start_natd({"more": BPF}, environment=CLSACT)
    second = start_natd(f"""outside = {{ interface = "out0"; addresses = [ "203.0.113.33" ]; }};
        inside = {{ interfaces = [ "lan0" ]; prefixes = [ "10.8.1.0/24" ]; }}; tun = {{ name = "natd1"; }};
        control = {{ socket = "{{socket}}"; }}; {BPF}""", environment=CLSACT)
    text = lab.gateway.run("tc", "filter", "show", "dev", "out0", "ingress").stdout
    assert text.count("natd-outside+clsact direct-action") == 2
    first.stop()
    assert sorted(filters(lab)) == [("lan0", "natd-inside+clsact"), ("natd1", "natd-tun+clsact"), ("out0", "natd-outside+clsact")]
    with contextlib.closing(second):
        assert second.json("status")["attachment"] == "clsact"
    assert qdiscs(lab) == []


def test_it_cannot_attach_and_says_why(lab, start_natd):
    """A block that interfaces share takes no filter by one of them. "auto" goes to rules, "required" ends the start."""
    lab.gateway.run("tc", "qdisc", "add", "dev", "out0", "ingress_block", "7", "clsact")
    lab.gateway.run("ip", "link", "add", "other0", "type", "bridge")
    lab.gateway.run("tc", "qdisc", "add", "dev", "other0", "ingress_block", "7", "clsact")
    natd = start_natd({"more": 'fast_path = { steering = "auto"; };'}, environment=CLSACT)
    said = natd.json("status")["steering"]
    assert said.startswith("rules: cannot attach the tc programs: the kernel has no tcx links (Linux 6.6), and at clsact: tc filter")
    assert "attachment" not in natd.json("status")
    natd.stop()
    assert qdiscs(lab) == ["other0", "out0"]
    refused = start_natd({"more": BPF}, ready=False, environment=CLSACT)
    refused.launch()
    assert refused.process.wait(conftest.READY_S) == 3
    assert "cannot steer by tc programs: cannot attach the tc programs" in refused.text()
    refused.process = None
    assert qdiscs(lab) == ["other0", "out0"]
