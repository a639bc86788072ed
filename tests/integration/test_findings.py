# SPDX-License-Identifier: ISC
"""What else is on the host, and what natd says of it: one list of findings with stable ids in doctor, status, log and events."""
import contextlib
import json
import shutil
import socket
import subprocess
import time

import pytest
from scapy.layers.inet import IP, UDP

import faults
import netlab
from conftest import NATCTL, NATD, Natd
from netlab import Lab
from test_host import until

SERVER = Lab.SERVERS[0]
CLIENT = Lab.CLIENTS[0]


def checks(natd):
    return {c["id"]: c for c in json.loads(natd.ctl("-j", "doctor", check=False).stdout)["checks"]}


def warnings(natd):
    return {w["id"]: w["text"] for w in natd.json("status")["warnings"]}


def wait_finding(natd, name, there=True):
    until(lambda: (name in warnings(natd)) == there, timeout=8)
    return checks(natd).get(name)


def offline(lab, natd, namespace=None):
    """natctl doctor --offline in the gateway."""
    done = (namespace or lab.gateway).run(NATCTL, "-j", "doctor", "--offline", "-c", natd.config_path, check=False)
    assert done.returncode in (0, 1), done.stderr
    return {c["id"]: c for c in json.loads(done.stdout)["checks"] if c["severity"] != "ok"}


RULES = 'fast_path = { steering = "rules"; };'  # tc programs pass firewalls by


@pytest.fixture(scope="module")
def stage(request):
    """One natd for all tests that only add something to its host and take it away again."""
    if request.config.netlab_reason:
        pytest.skip(request.config.netlab_reason)
    lab = netlab.Lab()
    natd = Natd(lab.gateway, {"more": RULES})
    try:
        natd.start()
        yield lab, natd
        natd.close()
    finally:
        lab.close()


@contextlib.contextmanager
def ruleset(lab, text):
    lab.gateway.run("nft", "-f", "-", input=text)
    try:
        yield
    finally:
        lab.gateway.run("nft", "flush", "ruleset")


CHAINS = {
    "forward policy": ("ip", "forward", ["policy drop"], "firewall-forward"),
    "forward reject": ("inet", "forward", ["ct state established,related accept", "reject"], "firewall-forward"),
    "forward jump": ("ip", "forward", ["policy drop", 'iifname "eth*" accept', "jump other"], "firewall-forward"),
    "forward icmp alone": ("ip", "forward", ["policy drop", "ip protocol icmp icmp type 13 accept", "meta l4proto sctp accept"],
                           "firewall-forward"),
    "output": ("inet", "output", ["policy drop", 'oifname "lo" accept'], "firewall-output"),
    "input": ("ip", "input", ["policy drop", 'iifname "lan0" accept'], "firewall-input"),
}


@pytest.mark.parametrize("kind", CHAINS)
def test_fault_17_a_firewall_that_drops_is_found(stage, kind):
    """And its remedy ends it, as printed."""
    lab, natd = stage
    family, hook, rules, name = CHAINS[kind]
    text = "\n".join([f"table {family} wall {{", "chain other {", "counter", "drop", "}", "chain c {",
                      f"type filter hook {hook} priority 0", *rules, "}", "}", ""])

    def ping():
        return lab.client.run("ping", "-c1", "-W1", SERVER, check=False).returncode == 0

    assert ping()
    with ruleset(lab, text):
        found = wait_finding(natd, name)
        assert "chain c" in found["what"] and "wall" in found["what"]
        assert not ping()
        if kind == "output":
            assert name in offline(lab, natd)
        for command in found["mend"].split("; "):
            lab.gateway.run("sh", "-c", command)
        wait_finding(natd, name, there=False)
        assert ping()


FIREWALLD = """table inet firewalld {
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        ct state invalid drop
        ip6 daddr 2002::/24 reject with icmpv6 addr-unreachable
        goto public
    }
    chain public {
        oifname "out0" accept
        reject with icmpx admin-prohibited
    }
}
"""


def test_a_chain_of_firewalld_is_told_in_its_words(stage):
    """It forgets what nft adds. Its own commands are run by tests/packages/managers.sh."""
    lab, natd = stage
    with ruleset(lab, FIREWALLD):
        mend = wait_finding(natd, "firewall-forward")["mend"].split("; ")
    assert all(command.startswith("firewall-cmd ") for command in mend) and mend[-1] == "firewall-cmd --reload"
    wait_finding(natd, "firewall-forward", there=False)


def test_a_firewall_that_lets_natd_pass_is_no_finding(stage):
    """Four chains that need the packet to decide, or say so; and a rule that is one, to know that natd has looked."""
    lab, natd = stage
    chains = [["policy drop", "ip saddr 10.8.0.0/24 accept", "ip daddr 10.8.0.0/24 accept"],
              ["policy drop", 'iifname "natd*" accept', 'oifname "natd0" accept'],
              ["policy accept", 'iifname "docker0" drop'],
              ["policy drop", "ct state vmap { established : accept }", "iifname { lan0, out0, natd0 } accept"]]
    text = ["table ip wall {"]
    for number, rules in enumerate(chains):
        text += [f"chain c{number} {{", f"type filter hook forward priority {number}", *rules, "}"]
    text += ["chain post {", "type nat hook postrouting priority 100", "ip saddr 172.17.0.0/16 masquerade",
             'oifname "out0" masquerade', "}", "}", ""]
    with ruleset(lab, "\n".join(text)):
        found = wait_finding(natd, "other-nat")
        assert "chain post" in found["what"]
        assert "firewall-forward" not in warnings(natd)
        lab.gateway.run("sh", "-c", found["mend"].split(": ")[1])
        wait_finding(natd, "other-nat", there=False)


def test_a_finding_is_told_in_status_log_and_events(stage):
    lab, natd = stage
    with subprocess.Popen([NATCTL, "-s", natd.socket, "-j", "monitor", "-e", "ALARM", "-c", "2"],
                          stdout=subprocess.PIPE, text=True) as monitor:
        until(lambda: natd.counters()["event_readers"] == 1)
        lab.gateway.run("ip", "link", "set", "lan0", "down")
        event = json.loads(monitor.stdout.readline())
        assert (event["event"], event["id"], event["state"]) == ("ALARM", "inside-interface", "raised")
        assert "lan0 is down" in warnings(natd)["inside-interface"]
        natd.wait_log("finding inside-interface: inside interface lan0 is down")
        lab.gateway.run("ip", "link", "set", "lan0", "up")
        assert json.loads(monitor.stdout.readline())["state"] == "cleared"
        natd.wait_log("finding inside-interface is over")


def test_fault_53_ipv6_passes_natd_by(stage):
    lab, natd = stage
    assert "ipv6" not in checks(natd)
    lab.gateway.sysctl("ipv6/conf/lan0/forwarding", 1)
    found = checks(natd)["ipv6"]
    assert "lan0 forwards IPv6" in found["what"] and found["severity"] == "ok" and "IPv4 only" in found["mend"]
    lab.gateway.sysctl("ipv6/conf/lan0/forwarding", 0)
    assert "ipv6" not in checks(natd)


@pytest.mark.skipif(not shutil.which("conntrack"), reason="conntrack is not installed")
def test_fault_53_connection_tracking_beside_natd(stage):
    """The printed rules end it."""
    lab, natd = stage

    def tracked(port):
        with lab.client.udp() as sock:
            sock.sendto(b"x", (SERVER, port))
        until(lambda: any(e["remote"]["port"] == port for e in natd.json("list")))
        return f"dport={port} " in lab.gateway.run("conntrack", "-L", check=False).stdout

    with ruleset(lab, 'table ip wall {\nchain c {\ntype filter hook forward priority 0\nct state new counter\n}\n'
                 'chain o {\ntype filter hook output priority 0\nct state new counter\n}\n}\n'):
        if not tracked(9001):
            pytest.skip("this kernel has no connection tracking here")
        found = checks(natd)["conntrack"]
        assert found["severity"] == "ok" and "notrack" in found["mend"]
        lab.gateway.run("sh", "-c", found["mend"].split(": ", 1)[1])
        lab.gateway.run("conntrack", "-F")
        tracked(9002)
        left = [line for line in lab.gateway.run("conntrack", "-L", check=False).stdout.splitlines() if "dport=9002" in line]
        assert not [line for line in left if f"src={Lab.OUTSIDE} " in line.split("dport=")[0]]  # natd's own packets


def test_fault_53_a_conntrack_table_that_is_nearly_full_is_found(stage, tmp_path):
    """Its largest size is the machine's, so the numbers are put in the place of the kernel's."""
    lab, natd = stage
    if lab.gateway.run("test", "-e", "/proc/sys/net/netfilter/nf_conntrack_max", check=False).returncode != 0:
        pytest.skip("this kernel has no connection tracking here")
    (tmp_path / "nf_conntrack_max").write_text("1000\n")
    instead = ("unshare", "--mount", "--propagation", "private", "sh", "-c", "for file in max count; do mount --bind "
               f"{tmp_path}/nf_conntrack_$file /proc/sys/net/netfilter/nf_conntrack_$file || exit; done; exec \"$@\"", "sh")
    for count, severity in ((799, "ok"), (800, "warn")):
        (tmp_path / "nf_conntrack_count").write_text(f"{count}\n")
        done = lab.gateway.run(*instead, NATCTL, "-j", "doctor", "--offline", "-c", natd.config_path, check=False)
        found = next(c for c in json.loads(done.stdout)["checks"] if c["id"] == "conntrack")
        assert found["severity"] == severity and "notrack" in found["mend"]
        assert ("nearly full: 800 of 1000 entries" in found["what"]) == (severity == "warn")
        assert found["mend"].startswith("raise net.netfilter.nf_conntrack_max") == (severity == "warn")


def test_fault_28_drops_that_somebody_should_know_of(stage):
    lab, natd = stage
    lab.client.send_ip(IP(src="10.99.0.7", dst=SERVER) / UDP(sport=7, dport=9) / b"strange")
    lab.client.send_ip(IP(src=CLIENT, dst=SERVER, proto=253) / b"an answer would be the host's")
    wait_finding(natd, "inside-source")
    wait_finding(natd, "protocol-refused")
    natd.write_config({"outside": 'ports = "20000-20001";', "more": RULES})
    natd.ctl("reload")
    for port in range(40000, 40004):
        lab.client.send_ip(IP(src=CLIENT, dst=SERVER) / UDP(sport=port, dport=9) / b"x")
    wait_finding(natd, "ports-exhausted")
    natd.write_config({"more": RULES})
    natd.ctl("reload")


def test_a_forward_without_a_route(lab, start_natd):
    natd = start_natd("""outside = { interface = "out0"; }; control = { socket = "{socket}"; };
        inside = { interfaces = [ "lan0" ]; prefixes = [ "10.8.0.0/24", "10.77.0.0/24" ]; };
        forwards = ( { name = "lost"; protocol = "tcp"; port = 80; to = "10.77.0.1"; } );""")
    wait_finding(natd, "forward-route")
    assert "forward-route" in offline(lab, natd)


def test_fault_13_a_forward_over_the_hosts_own_ports(lab, start_natd):
    """As many as these cannot be kept from the host's own connections."""
    forwards = ('forwards = ( { name = "web"; protocol = "tcp"; port = 80; to = "10.8.0.2"; }, '
                '{ name = "many"; protocol = "udp"; port = "32768-60500"; to = "10.8.0.2"; } );')
    with lab.gateway.tcp_listener(port=80):
        natd = start_natd({"more": forwards})
        assert 'forward "web" takes port 80/tcp' in warnings(natd)["forward-takes-service"]
        assert 'forward "many" takes ports 32768-60500' in warnings(natd)["forward-takes-ephemeral"]
        natd.wait_log('finding forward-takes-service: forward "web"')
        assert {"forward-takes-service", "forward-takes-ephemeral"} <= set(offline(lab, natd))
        tested = lab.gateway.run(NATD, "-t", "-c", natd.config_path)
        assert 'warning: forward "web" takes port 80/tcp' in tested.stderr
        assert 'warning: forward "many" takes ports 32768-60500' in tested.stderr
        lab.gateway.sysctl("ipv4/ip_local_reserved_ports", "32768-60500")
        wait_finding(natd, "forward-takes-ephemeral", there=False)
    wait_finding(natd, "forward-takes-service", there=False)


def test_fault_16_a_firewall_that_tells_interfaces_apart_is_found(stage):
    """Where rules steer. The printed lines keep the host's fragments out."""
    lab, natd = stage

    def passes(service):
        with lab.server.udp() as sock:
            sock.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER
            sock.sendto(bytes(4000), (Lab.OUTSIDE, 5353))
        with contextlib.suppress(TimeoutError):
            return len(service.recv(65536)) == 4000
        return False

    with ruleset(lab, "table inet wall {\nchain i {\ntype filter hook input priority 0\n"
                 "iifname { lan0, out0 } udp dport 5353 drop\n}\n}\n"), \
            lab.gateway.udp(port=5353) as service:
        service.settimeout(0.5)
        found = wait_finding(natd, "firewall-interfaces")
        assert "chain i of table inet wall" in found["what"] and "by natd0" in found["what"]
        assert passes(service)
        lab.gateway.run("sh", "-c", found["mend"].split("or: ")[1])
        wait_finding(natd, "firewall-interfaces", there=False)
        assert not passes(service)


def test_fault_18_advice_for_routing_none_does_not_leak(lab, start_natd):
    lab.gateway.sysctl("ipv4/ip_forward", 1)
    natd = start_natd({"more": 'routing = "none";'})
    found = checks(natd)["untranslated"]
    assert found["severity"] == "fail" and "leave by out0 untranslated" in found["what"]
    for command in found["mend"].split("; ")[:2]:
        lab.gateway.run("sh", "-c", command)
    assert "untranslated" not in checks(natd)
    lab.gateway.sysctl("ipv4/conf/lan0/forwarding", 0)
    assert "first the rules" in checks(natd)["forwarding"]["mend"]


def test_fault_28_missing_interface_is_named_so(lab, start_natd):
    natd = start_natd("""outside = { interface = "out0"; }; inside = { interfaces = [ "lan0", "gone0" ]; };
                         control = { socket = "{socket}"; };""")
    assert "gone0 does not exist" in warnings(natd)["inside-interface"]
    assert "address" not in checks(natd)["inside-interface"]["mend"]


def test_doctor_without_a_daemon(lab, start_natd):
    natd = start_natd()
    natd.stop()
    done = lab.gateway.run(NATCTL, "doctor", "--offline", "-c", natd.config_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lab.gateway.run("ip", "route", "del", "default")
    assert "default-route" in offline(lab, natd)
    natd.write_config("nonsense")
    assert offline(lab, natd)["config"]["severity"] == "fail"


def test_fault_29_the_doctor_asks_no_question_a_forward(lab, start_natd):
    """With two thousand forwards to as many hosts."""
    if faults.why_not(NATD):
        pytest.skip(faults.why_not(NATD))
    counting = faults.Faults()
    listed = ", ".join(f'{{ name = "f{i}"; protocol = "tcp"; port = {i}; to = "10.8.{i >> 8}.{i & 255}"; }}'
                       for i in range(10, 2010))
    natd = start_natd(f"""outside = {{ interface = "out0"; }}; inside = {{ interfaces = [ "lan0" ];
        prefixes = [ "10.8.0.0/16" ]; }}; forwards = ( {listed} ); control = {{ socket = "{{socket}}"; }};""",
                      prefix=counting.prefix())

    def asked(action):
        before = counting.calls()["sendto"]
        action()
        return counting.calls()["sendto"] - before

    until(lambda: asked(lambda: time.sleep(0.1)) < 5, timeout=15)  # the observer has been through them
    assert asked(lambda: natd.ctl("doctor", check=False)) < 100
    counting.close()


# ---- addresses, MTU, clock ----

FORWARD = 'forwards = ( { name = "web"; protocol = "tcp"; port = 80; to = "10.8.0.2"; } );'


def test_a_private_outside_address_is_found(lab, start_natd):
    """As a warning only where somebody outside is to get in."""
    natd = start_natd({"addresses": '[ "100.64.0.5" ]', "more": FORWARD})
    found = checks(natd)["outside-private"]
    assert found["severity"] == "warn" and "outside address 100.64.0.5 is private" in found["what"]
    assert "on the router in front of this host" in found["mend"]
    assert offline(lab, natd)["outside-private"] == found
    for address, severity in (("192.168.7.7", "ok"), ("203.0.113.50", None), ("198.51.100.50", None)):
        natd.write_config({"addresses": f'[ "{address}" ]'})
        natd.ctl("reload")
        assert checks(natd).get("outside-private", {}).get("severity") == severity, address


def test_an_mtu_that_does_harm_is_found(lab, start_natd):
    natd = start_natd({"more": 'translation = { mss_clamp = "off"; }; tun = { mtu = 9000; };'})
    assert "mtu" not in warnings(natd)
    lab.gateway.run("ip", "link", "set", "out0", "mtu", "1400")
    found = wait_finding(natd, "mtu")
    assert "MTU of lan0 (1500) is above that of out0 (1400)" in found["what"]
    assert found["mend"] == 'translation.mss_clamp = "auto"'
    lab.gateway.run("ip", "link", "set", "out0", "mtu", "1200")
    until(lambda: "MTU of out0 is only 1200" in str(natd.json("status")["warnings"]))
    text = lab.gateway.run(NATCTL, "doctor", "--offline", "-c", natd.config_path, check=False).stdout
    assert "MTU of out0 is only 1200" in text and "ip link set out0 mtu 1500" in text
    lab.gateway.run("ip", "link", "set", "out0", "mtu", "1500")
    wait_finding(natd, "mtu", there=False)


def test_a_clock_that_is_wrong_is_found(lab, start_natd):
    if faults.why_not(NATD):
        pytest.skip(faults.why_not(NATD))
    clock = faults.Faults()
    natd = start_natd(prefix=clock.prefix())
    assert "clock" not in checks(natd)
    clock.jump(realtime_s=int(1e9 - time.time()))
    found = wait_finding(natd, "clock")
    assert (found["severity"], found["mend"]) == ("warn", "set it, and keep it by NTP")
    natd.wait_log("finding clock: this host's clock is wrong")
    clock.jump()
    wait_finding(natd, "clock", there=False)
    clock.close()
