# SPDX-License-Identifier: ISC
"""natctl explain: what would happen to a packet, and that this is what happens."""

import json

import pytest
from netlab import Lab

CLIENT, SERVER = Lab.CLIENTS[0], Lab.SERVERS[0]

FORWARDS = (
    'forwards = ( { name = "web"; protocol = "tcp"; port = 8080; to = "10.8.0.2:80"; from = [ "192.0.2.0/24" ]; }, '
    '{ name = "near"; protocol = "udp"; port = 7777; to = "10.8.0.3:53"; } );'
)


@pytest.fixture
def natd(start_natd):
    return start_natd({"more": FORWARDS})


def explain(natd, *args):
    return natd.ctl("explain", *args, check=False)


def test_a_syn_of_an_inside_host_is_translated(lab, natd):
    got = explain(natd, "tcp", f"{CLIENT}:4000", f"{SERVER}:80")
    assert got.returncode == 0, got
    lines = got.stdout.splitlines()
    assert lines[0].startswith("1. steering: from inside, handed to natd")
    assert lines[-1] == f"verdict: translated to {Lab.OUTSIDE}, port drawn at random"
    assert natd.ctl("count").stdout.strip() == "0"


def test_what_nothing_asked_for_is_dropped_and_why(lab, natd):
    got = explain(natd, "udp", f"{SERVER}:9", f"{Lab.OUTSIDE}:20000", "in")
    assert got.returncode == 1, got
    assert got.stdout.splitlines()[-1] == "verdict: dropped (drop_unsolicited)"


def test_the_hosts_own_port_is_handed_to_the_host(lab, natd):
    got = explain(natd, "tcp", f"{SERVER}:9", f"{Lab.OUTSIDE}:22", "in")
    assert (got.returncode, got.stdout.splitlines()[-1]) == (0, "verdict: handed to the host")


def test_json(lab, natd):
    got = json.loads(natd.ctl("-j", "explain", "udp", f"{CLIENT}:4000", f"{SERVER}:53").stdout)
    assert got["verdict"] == "pass" and got["reason"] is None
    assert got["outside"] == {"address": Lab.OUTSIDE, "port": None}
    assert got["inside"] == {"address": CLIENT, "port": 4000}
    assert got["remote"] == {"address": SERVER, "port": 53}
    assert all(set(step) == {"step", "result"} for step in got["steps"])


def test_wrong_usage(lab, natd):
    for args in (("tcp",), ("tcp", "nowhere", SERVER), ("quux", CLIENT, SERVER), ("tcp", CLIENT, SERVER, "up")):
        assert explain(natd, *args).returncode == 2, args


def test_the_filter_rule_that_decides_is_named(lab, start_natd):
    natd = start_natd({"more": 'filter = ( { name = "no-smtp"; action = "reject"; direction = "out"; '
                               'protocol = "tcp"; port = 25; } );'})
    got = explain(natd, "tcp", f"{CLIENT}:4000", f"{SERVER}:25")
    assert got.returncode == 1
    assert any('filter: rule "no-smtp" rejects it' in line for line in got.stdout.splitlines()), got.stdout
    assert got.stdout.splitlines()[-1] == "verdict: dropped (drop_rule_reject)"
    got = explain(natd, "tcp", f"{CLIENT}:4000", f"{SERVER}:80")
    assert got.returncode == 0 and "filter: no rule matches: accepted" in got.stdout


def test_a_hairpin_is_told_in_both_passes_and_ends_at_the_inside_host(lab, natd):
    """With the route to that host, not the one to the address that the packet has."""
    got = explain(natd, "udp", f"{CLIENT}:4000", f"{Lab.OUTSIDE}:7777")
    assert got.returncode == 0, got
    lines = [line.partition(". ")[2] for line in got.stdout.splitlines()]
    passes = [line for line in lines if line.startswith("direction: ")]
    assert len(passes) == 2 and "translated as outbound first" in passes[0] and "then as inbound" in passes[1]
    route, = (line for line in lines if line.startswith("route: "))
    assert "lan0" in route and "out0" not in route, route
    assert got.stdout.splitlines()[-1] == f"verdict: translated to {Lab.CLIENTS[1]}:53"
    with lab.clients[1].udp(port=53) as far, lab.client.udp(port=4000) as near:
        near.sendto(b"hello", (Lab.OUTSIDE, 7777))
        far.settimeout(5)
        assert far.recv(100) == b"hello"


def test_a_route_that_leads_nowhere_is_told(lab, natd):
    lab.gateway.run("ip", "route", "add", "unreachable", "198.51.100.99")
    got = explain(natd, "udp", f"{CLIENT}:4000", "198.51.100.99:53")
    assert any("route: the kernel has none" in line for line in got.stdout.splitlines()), got.stdout
