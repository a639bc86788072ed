# SPDX-License-Identifier: ISC
"""natctl doctor: each thing that can be wrong with a host is found, with a way to mend it, and only then."""
import json
import os
import re

import pytest

from netlab import Lab


def findings(natd, severity):
    done = natd.ctl("-j", "doctor", check=False)
    checks = json.loads(done.stdout)["checks"]
    assert (done.returncode == 1) == any(c["severity"] == "fail" for c in checks)
    assert all(c["mend"] for c in checks if c["severity"] != "ok")
    return {c["what"]: c["mend"] or "" for c in checks if c["severity"] == severity}


def assert_found(natd, severity, what, mend):
    found = findings(natd, severity)
    assert any(re.search(what, w) and re.search(mend, m) for w, m in found.items()), found


def ordinary(found):
    """Without what is true of this machine, whatever the tests do."""
    return {w for w in found if not re.search("runs as uid 0|connection tracking|nat table", w)}


def test_nothing_is_wrong_with_a_healthy_host(lab, natd):
    assert ordinary(findings(natd, "fail")) == set()
    assert ordinary(findings(natd, "warn")) == set()
    assert len(findings(natd, "ok")) >= 10
    assert natd.json("status")["warnings"] == []


@pytest.mark.parametrize("more, severity, what, mend", [
    ("timeouts = { udp = 60; };", "warn", r"timeouts\.udp = 60 s is below", "120 or more"),
    ("tun = { mtu = 1300; };", "warn", r"MTU of natd0 \(1300\) is below that of out0", r"tun\.mtu to 0"),
    ('routing = "none";', "fail", "does not forward", r"sysctl -w net\.ipv4\.conf\.\w+\.forwarding=1"),
])
def test_configuration_that_does_harm(lab, start_natd, more, severity, what, mend):
    assert_found(start_natd({"more": more}), severity, what, mend)


def test_ports_shared_with_the_hosts_own_connections(lab, natd):
    """natd keeps the two apart, and says what it gave up for that."""
    lab.gateway.sysctl("ipv4/ip_local_port_range", "16000 30000")
    natd.wait_log("interfaces or addresses changed")
    assert_found(natd, "warn", r"nearly all ports of the host's own connections .16000-30000.: natd leaves 640 of them",
                 "choose outside.ports apart")
    assert lab.gateway.sysctl("ipv4/ip_local_reserved_ports") == "16384-29360"
    seen = len(natd.log)
    lab.gateway.sysctl("ipv4/ip_local_port_range", "15000 30000")
    natd.wait_log("interfaces or addresses changed", since=seen)
    assert lab.gateway.sysctl("ipv4/ip_local_reserved_ports") == "16384-30000"
    assert not any("own connections" in w for w in findings(natd, "warn"))


def test_ports_shared_with_the_hosts_own_connections_without_managed_routing(lab, start_natd):
    lab.gateway.sysctl("ipv4/ip_local_port_range", "16000 30000")
    natd = start_natd({"more": 'routing = "none";'})
    assert_found(natd, "warn", "ports 16384-32767 overlap those of the host's own connections",
                 r"ip_local_reserved_ports=16384-32767")
    lab.gateway.sysctl("ipv4/ip_local_reserved_ports", "16384-32767")
    assert not any("overlap" in w for w in findings(natd, "warn"))


def test_lost_address(lab, natd):
    lab.gateway.run("ip", "addr", "del", f"{Lab.OUTSIDE}/24", "dev", "out0")
    natd.wait_log("interfaces or addresses changed")
    assert_found(natd, "fail", "outside interface out0 has no address", "give it an address")
    warnings = {w["id"]: w["text"] for w in natd.json("status")["warnings"]}
    assert "has no address" in warnings["outside-interface"]


def test_no_way_out(lab, natd):
    lab.gateway.run("ip", "route", "del", "default")
    assert_found(natd, "warn", "no default route", "ip route add default")


def test_default_route_by_another_interface(lab, natd):
    lab.gateway.run("ip", "route", "replace", "default", "via", Lab.CLIENTS[0])
    assert_found(natd, "warn", "default route leaves by lan0, outside.interface is out0", "route")


def test_configuration_changed_but_not_loaded(lab, natd):
    later = os.stat(natd.config_path).st_mtime + 100
    os.utime(natd.config_path, (later, later))
    assert_found(natd, "warn", "was changed after natd loaded it", "natctl reload")


def test_strict_reverse_path_filter(lab, natd):
    lab.gateway.sysctl("ipv4/conf/natd0/rp_filter", 1)
    assert_found(natd, "warn", "strict reverse path filter on natd0", "rp_filter=2")


def test_full_table(lab, start_natd, udp_echo):
    udp_echo()
    natd = start_natd({"more": "limits = { sessions = 16; };"})
    for port in range(40000, 40013):
        with lab.client.udp(port=port) as sock:
            sock.sendto(b"x", (Lab.SERVERS[0], 7))
            sock.recvfrom(100)
    assert_found(natd, "warn", "13 of 16 sessions are in use", r"limits\.sessions")


def test_few_ports_left(lab, start_natd, udp_echo):
    udp_echo()
    natd = start_natd({"outside": 'ports = "20000-20009";'})
    for port in range(40000, 40009):
        with lab.client.udp(port=port) as sock:
            sock.sendto(b"x", (Lab.SERVERS[0], 7))
            sock.recvfrom(100)
    assert_found(natd, "warn", r"9 of 10 ports of 203\.0\.113\.1 are in use", r"outside\.ports")
