# SPDX-License-Identifier: ISC
"""A living host: natd repairs what it owns, follows what changes, stays closed when it ends, and is not alone."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Raw

import faults
from conftest import CAN_LOAD, NATCTL, NATD
from netlab import Lab
from test_steering import WITH_LOADER

SERVER = Lab.SERVERS[0]
CLIENT = Lab.CLIENTS[0]


def until(condition, timeout=5):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def passes(lab):
    """An exchange of an inside host with the server; False when nothing came back."""
    with lab.client.udp() as sock:
        sock.settimeout(0.2)
        sock.sendto(b"hello", (SERVER, 7))
        try:
            return sock.recv(100).split()[0] == Lab.OUTSIDE.encode()
        except OSError:
            return False


@contextlib.contextmanager
def no_leak(lab):
    """In the block the outside wire carries nothing with an inside source; a fence shows that the wire was seen to its end."""
    with lab.router.capture("up0") as seen:
        yield
        lab.gateway.send_ip(IP(src=Lab.OUTSIDE, dst=SERVER) / UDP(sport=1, dport=1) / b"fence of the wire")
        seen.wait(lambda p: Raw in p and p[Raw].load == b"fence of the wire")
        assert not [p for p in seen.so_far() if p.src.startswith("10.8.0.")]


def send_inside(lab, count=1):
    for i in range(count):
        lab.client.send_ip(IP(src=CLIENT, dst=SERVER) / UDP(sport=4000 + i % 100, dport=9) / b"x")


def state(lab):
    """Everything of the gateway's routing that natd touches."""
    settings = lab.gateway.run("sh", "-c", "cd /proc/sys/net/ipv4; grep . conf/*/forwarding conf/*/rp_filter "
                               "conf/*/accept_redirects tcp_early_demux udp_early_demux fwmark_reflect").stdout
    return (lab.gateway.run("ip", "rule").stdout,
            lab.gateway.run("ip", "route", "show", "table", "all", "proto", "214").stdout, settings)


REVOKED = {
    "ip_forward": ["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.ip_forward=0"],
    "forwarding of the outside": ["sysctl", "-qw", "net.ipv4.conf.out0.forwarding=0"],
    "forwarding of the inside": ["sysctl", "-qw", "net.ipv4.conf.lan0.forwarding=0"],
    "forwarding of the TUN": ["sysctl", "-qw", "net.ipv4.conf.natd0.forwarding=0"],
    "table translate": ["ip", "route", "flush", "table", "18600"],
    "table addresses": ["ip", "route", "flush", "table", "18601"],
    "steering rule": ["ip", "rule", "del", "iif", "out0", "ipproto", "udp", "lookup", "18601"],
    "translate rule": ["ip", "rule", "del", "iif", "lan0", "lookup", "18600"],
    "local rule": ["ip", "rule", "del", "pref", "50"],
    "TUN down": ["ip", "link", "set", "natd0", "down"],
}


@pytest.mark.parametrize("what", REVOKED)
def test_fault_22_what_is_revoked_is_repaired(lab, start_natd, udp_echo, what):
    natd = start_natd({"more": 'fast_path = { steering = "rules"; };'})
    udp_echo()
    until(lambda: passes(lab))
    with no_leak(lab):
        lab.gateway.run(*REVOKED[what])
        send_inside(lab, 5)
        until(lambda: passes(lab))
    natd.wait_log("put back")


def test_fault_22_every_setting_is_put_back(lab, start_natd):
    """Those that packets get by without for a while, all at once."""
    lab.gateway.sysctl("ipv4/ip_local_port_range", "30000 40000")
    start_natd({"addresses": '[ "interface", "203.0.113.40" ]', "more": 'fast_path = { steering = "rules"; };'})
    wrong = {"fwmark_reflect": 0, "tcp_early_demux": 1, "udp_early_demux": 1, "conf/natd0/rp_filter": 1, "conf/natd0/accept_local": 0,
             "conf/out0/accept_redirects": 1, "conf/lan0/accept_redirects": 1, "neigh/out0/proxy_delay": 80, "ip_local_reserved_ports": ""}

    def settings():
        return {name: lab.gateway.sysctl(f"ipv4/{name}") for name in wrong}

    def routing():
        return [lab.gateway.run("ip", *words.split()).stdout for words in
                ("rule", "route show table 18602", "route show table 18603", "neigh show proxy", "addr show dev natd0")]

    before = settings(), routing()
    for name, value in wrong.items():
        lab.gateway.sysctl(f"ipv4/{name}", value)
    for words in ("rule del fwmark 0x6e610001", "route flush table 18602", "route flush table 18603", "neigh del proxy 203.0.113.40 dev out0",
                  "addr flush dev natd0"):
        lab.gateway.run("ip", *words.split())
    until(lambda: (settings(), routing()) == before)


def test_repairs_end(lab, natd):
    """natd changes nothing on a host that stays as it is."""
    with lab.gateway.start("ip", "-4", "-o", "monitor", "rule", "route", stdout=-1, text=True) as monitor:
        time.sleep(2.5)  # two looks
        monitor.terminate()
        assert monitor.stdout.read() == ""


@pytest.mark.parametrize("how", ["closed", "restore"])
@pytest.mark.parametrize("before", [0, 1])
def test_fault_19_a_stop_is_closed(lab, start_natd, how, before):
    lab.gateway.sysctl("ipv4/ip_forward", before)
    was = state(lab)
    natd = start_natd({"more": f'routing_on_stop = "{how}";'})
    with no_leak(lab) if how == "closed" or not before else contextlib.nullcontext():
        send_inside(lab, 50)
        assert natd.stop() == 0
        send_inside(lab, 50)
    if before == 0 or how == "restore":
        assert state(lab) == was
    else:
        assert lab.gateway.sysctl("ipv4/conf/lan0/forwarding") == "0"
        assert lab.gateway.sysctl("ipv4/conf/out0/forwarding") == "1"
        assert state(lab)[:2] == was[:2]


def test_what_was_left_closed_is_not_taken_for_the_hosts_own(lab, start_natd):
    lab.gateway.sysctl("ipv4/ip_forward", 1)
    was = state(lab)
    natd = start_natd()
    natd.stop()
    natd.write_config({"more": 'routing_on_stop = "restore";'})
    natd.start()
    natd.stop()
    assert state(lab) == was


PREFIXES_ONLY = """
outside = { interface = "out0"; };
inside = { prefixes = [ "10.8.0.0/24" ]; };
control = { socket = "{socket}"; };
"""


@pytest.mark.parametrize("before", [0, 1])
def test_fault_20_prefixes_without_interfaces(lab, start_natd, udp_echo, before):
    lab.gateway.sysctl("ipv4/ip_forward", before)
    udp_echo()
    with no_leak(lab):
        natd = start_natd(PREFIXES_ONLY)
        assert passes(lab)
        with lab.gateway.udp(port=5000) as host, lab.client.udp() as sock:
            sock.sendto(b"x" * 4000, (Lab.OUTSIDE, 5000))  # in fragments, which natd hands back
            assert len(host.recv(5000)) == 4000
        natd.stop()
        send_inside(lab, 20)
    assert ("from 10.8.0.0/24 unreachable" in lab.gateway.run("ip", "rule").stdout)


BOOK = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../docs/recipes.md")


def book(heading):
    """The commands of a recipe: those before natd starts, and those after."""
    with open(BOOK, encoding="utf-8") as text:
        part = text.read().split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line.split("#")[0].strip() for line in part.split("```")[1].splitlines()]
    at = next(i for i, line in enumerate(lines) if line.startswith("natd "))
    return [line for line in lines[:at] if line], [line for line in lines[at + 1:] if line]


def test_fault_18_routing_none_by_the_book(lab, start_natd, udp_echo):
    """The commands of docs/recipes.md. Nothing leaves untranslated, and the kernel's errors show no inside address."""
    udp_echo()
    before, after = book('routing = "none": the commands')
    lab.gateway.sysctl("ipv4/ip_forward", 1)
    with no_leak(lab):
        for command in before:
            lab.gateway.run(*command.split())
        natd = start_natd({"outside": 'ports = "16384-32767";', "more": 'routing = "none"; '
                           'forwards = ( { name = "dead"; protocol = "udp"; port = 20000; to = "10.8.0.77:80"; } );'})
        for command in after:
            lab.gateway.run(*command.split())
        assert passes(lab)
        found = json.loads(natd.ctl("-j", "doctor", check=False).stdout)["checks"]
        assert [c["id"] for c in found if c["severity"] == "fail"] == []
        with lab.server.udp() as sock, lab.server.capture() as seen:
            sock.sendto(b"x" * 20, (Lab.OUTSIDE, 20000))
            error = seen.wait(lambda p: ICMP in p and p[ICMP].type == 3, timeout=10)
            assert error.src == Lab.OUTSIDE and b"\x0a\x08\x00" not in bytes(error)


def read_only():
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c",
            'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"', "sh")


def test_fault_25_read_only_settings(lab, start_natd, udp_echo):
    """The remedy is possible, and enough."""
    natd = start_natd(ready=False, prefix=read_only())
    natd.launch()
    assert natd.process.wait(10) == 3
    natd._reader.join(5)
    name, value = re.search(r"set net\.(ipv4\.conf\.default\.accept_local)=(1)", natd.text()).groups()
    lab.gateway.sysctl(name.replace(".", "/"), value)
    lab.gateway.sysctl("ipv4/conf/default/rp_filter", 2)
    lab.gateway.sysctl("ipv4/ip_forward", 1)
    udp_echo()
    natd.start()
    assert passes(lab)
    settings = {c["what"].split()[0] for c in json.loads(natd.ctl("-j", "doctor", check=False).stdout)["checks"]
                if c["id"] == "settings"}
    assert settings == {"net.ipv4.fwmark_reflect", "net.ipv4.tcp_early_demux", "net.ipv4.udp_early_demux"}


def test_fault_24_alternative_names(lab, start_natd, udp_echo, http_server):
    lab.gateway.run("ip", "link", "property", "add", "dev", "out0", "altname", "enp0s3")
    lab.gateway.run("ip", "link", "property", "add", "dev", "lan0", "altname", "enp0s4")
    udp_echo()
    http_server()
    start_natd("""outside = { interface = "enp0s3"; };
                  inside = { interfaces = [ "enp0s4" ]; }; control = { socket = "{socket}"; };""")
    assert passes(lab)
    page = lab.client.run("curl", "-sS", "--fail", "--max-time", "10", f"http://{SERVER}/whoami").stdout
    assert page.split()[0] == Lab.OUTSIDE


def test_fault_26_a_guest_cannot_play_another_inside_host(lab, start_natd):
    lab.gateway.run("ip", "link", "add", "guest0", "type", "bridge")
    lab.gateway.run("ip", "addr", "add", "10.9.0.1/24", "dev", "guest0")
    lab.gateway.run("ip", "link", "set", "guest0", "up")
    lab.gateway.run("ip", "link", "set", "lan0p1", "master", "guest0")  # the second client's wire
    natd = start_natd("""outside = { interface = "out0"; };
                         inside = { interfaces = [ "lan0", "guest0" ]; }; control = { socket = "{socket}"; };""")
    lab.clients[1].send_ip(IP(src=CLIENT, dst=SERVER) / UDP(sport=22, dport=9) / b"x")
    lab.client.send_ip(IP(src=CLIENT, dst=SERVER) / UDP(sport=23, dport=9) / b"x")
    until(lambda: natd.json("list"))
    assert [e["inside"]["port"] for e in natd.json("list")] == [23]


def test_fault_27_link_local_is_not_translated(lab, start_natd):
    natd = start_natd()
    with natd.counted(drop_martian_destination=1):
        lab.client.send_ip(IP(src=CLIENT, dst="169.254.169.254") / UDP(sport=7, dport=80) / b"x")


@pytest.mark.parametrize("first", [0, 1])
def test_fault_21_two_natds_on_one_host(lab, start_natd, udp_echo, first):
    """The second has another inside and a pool; both work, and either may stop first."""
    udp_echo()
    lab.gateway.run("ip", "link", "add", "guest0", "type", "bridge")
    lab.gateway.run("ip", "addr", "add", "10.9.0.1/24", "dev", "guest0")
    lab.gateway.run("ip", "link", "set", "guest0", "up")
    lab.gateway.run("ip", "link", "set", "lan0p1", "master", "guest0")
    lab.clients[1].run("ip", "addr", "replace", "10.9.0.2/24", "dev", "eth0")
    lab.clients[1].run("ip", "addr", "del", f"{Lab.CLIENTS[1]}/24", "dev", "eth0")
    lab.clients[1].run("ip", "route", "replace", "default", "via", "10.9.0.1")
    was = lab.gateway.run("ip", "rule").stdout
    one = start_natd()
    two = start_natd("""tun = { name = "natd1"; };
        outside = { interface = "out0"; addresses = [ "203.0.113.16/29" ]; };
        inside = { interfaces = [ "guest0" ]; }; control = { socket = "{socket}"; };""")

    def both():
        with lab.clients[1].udp() as sock:
            sock.settimeout(1)
            sock.sendto(b"hello", (SERVER, 7))
            return passes(lab) and sock.recv(100).startswith(b"203.0.113.")

    assert both()
    time.sleep(1.5)  # they look at the host, and leave each other alone
    assert both()
    assert not re.search("put back", one.text() + two.text())
    [one, two][first].stop()
    if first == 1:
        assert passes(lab)
    [two, one][first].stop()
    assert lab.gateway.run("ip", "rule").stdout == was


def test_fault_23_facts_of_the_host_are_no_errors(lab, start_natd, udp_echo):
    """The uplink's network holds the inside prefix; the pool holds an address of the host (VRRP)."""
    udp_echo()
    lab.gateway.run("ip", "addr", "add", "10.0.0.1/8", "dev", "out0")
    lab.gateway.run("ip", "addr", "add", "203.0.113.17/32", "dev", "out0")
    natd = start_natd({"addresses": '[ "203.0.113.16/29" ]'})
    assert "overlaps the inside prefix" in natd.text() and "belongs to this host" in natd.text()
    with lab.client.udp() as sock:
        sock.sendto(b"hello", (SERVER, 7))
        assert sock.recv(100).startswith(b"203.0.113.")


@pytest.mark.parametrize("dead", [False, True])
def test_fault_28_other_sources_from_inside_are_counted(lab, start_natd, dead):
    """They reach natd, which counts them; without natd nothing leaves."""
    natd = start_natd({"addresses": '[ "interface", "203.0.113.40" ]'})
    strange = [IP(src="10.99.0.7", dst=to) / UDP(sport=7, dport=9) / b"strange" for to in (SERVER, "203.0.113.40")]
    with no_leak(lab) as _:
        if dead:
            natd.process.kill()
            natd.process.wait()
            for packet in strange:
                lab.client.send_ip(packet)
            send_inside(lab, 5)
        else:
            with natd.counted(drop_inside_source=1):  # not the one to the pool, which could pass for an outside one
                for packet in reversed(strange):
                    lab.client.send_ip(packet)


def test_fault_37_an_inside_host_does_not_play_the_outside(lab, start_natd, udp_echo):
    """ICMP to the shared address that the first client sends with an outside source does not reach the second one."""
    natd = start_natd()
    udp_echo()
    lab.gateway.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.lan0.rp_filter=0")
    with lab.clients[1].udp(port=6000) as sock:
        sock.settimeout(5)
        sock.sendto(b"hello", (SERVER, 7))
        sock.recv(100)
    lab.clients[1].run("ping", "-c1", "-W5", SERVER)
    outside = {e["protocol"]: e["outside"]["port"] for e in natd.json("list")}
    sent = IP(src=Lab.OUTSIDE, dst=SERVER) / UDP(sport=outside["udp"], dport=7) / b"hello"
    forged = [ICMP(type=3, code=4, nexthopmtu=600) / sent, ICMP(type=3, code=1) / sent,
              ICMP(type=0, id=outside["icmp"], seq=1) / b"forged"]
    with lab.clients[1].capture() as seen:
        with natd.counted(icmp_foreign=3):
            for message in forged:
                lab.client.send_ip(IP(src=SERVER, dst=Lab.OUTSIDE) / message)
        lab.router.send_ip(IP(src=SERVER, dst=Lab.OUTSIDE) / ICMP(type=3, code=0) / sent)
        assert seen.wait(lambda p: ICMP in p)[ICMP].code == 0


@contextlib.contextmanager
def traffic(lab):
    """An inside host that sends all the time."""
    stop = threading.Event()
    sock = lab.client.udp()

    def send():
        while not stop.wait(0.001):
            with contextlib.suppress(OSError):
                sock.sendto(b"x", (SERVER, 9))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        sock.close()


def test_nothing_leaves_untranslated_at_any_moment(lab, start_natd):
    """Start, reloads to and fro, a crash, the start after it, and the stop, with packets all the time."""
    natd = start_natd(ready=False)
    with no_leak(lab), traffic(lab):
        natd.start()
        lab.gateway.sysctl("ipv4/ip_forward", 1)  # as if it had always been
        for config in ({"addresses": '[ "interface", "203.0.113.40" ]'}, {"outside": 'ports = "20000-30000";'}, {}):
            natd.write_config(config)
            natd.ctl("reload")
        natd.process.kill()
        natd.process.wait()
        time.sleep(0.2)
        natd.start()
        assert natd.stop() == 0
        time.sleep(0.2)


def test_fault_30_a_lost_address_ends_connections_at_once(lab, start_natd):
    """The outside address changes: the inside host gets a RST, instead of silence."""
    natd = start_natd()
    with lab.server.tcp_listener(port=8000) as listener, lab.client.socket() as sock:
        sock.connect((SERVER, 8000))
        accepted, _ = listener.accept()
        with accepted:
            sock.settimeout(5)
            lab.gateway.run("ip", "addr", "add", "203.0.113.2/24", "dev", "out0")
            lab.gateway.run("sh", "-c", "sysctl -qw net.ipv4.conf.out0.promote_secondaries=1; "
                            f"ip addr del {Lab.OUTSIDE}/24 dev out0")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
    assert natd.counters()["resets_sent"] >= 1


def test_the_stop_is_seen_while_the_kernel_lets_natd_wait(lab, start_natd):
    """Another program may hold the kernel's lock for interfaces for many seconds: no call of rtnetlink ends until then. natd says
    that it stops, begins nothing else, and puts everything back when it can."""
    if faults.why_not(NATD):
        pytest.skip(faults.why_not(NATD))
    was = state(lab)
    slow = faults.Faults()
    natd = start_natd({"more": 'fast_path = { steering = "rules"; };'}, prefix=slow.prefix())
    slow.stall("sendto")
    until(lambda: slow.waiting() > 1)  # the look of each second, and the thread that looks at firewalls
    natd.send_signal(signal.SIGTERM)
    natd.wait_log("stopping on SIGTERM")
    slow.stall()
    assert natd.process.wait(30) == 0
    assert state(lab) == was
    slow.close()


@pytest.mark.parametrize("steering", ["rules", "bpf"])
def test_the_thread_of_packets_never_waits_for_the_lock_of_interfaces(lab, start_natd, udp_echo, steering):
    """What needs it is done in other threads: the looks of each second, status and doctor; changes of the host, a reload."""
    if faults.why_not(NATD):
        pytest.skip(faults.why_not(NATD))
    if steering == "bpf" and not CAN_LOAD:
        pytest.skip("tc programs cannot be loaded here")
    udp_echo()
    counting = faults.Faults()
    natd = start_natd({"more": f'fast_path = {{ steering = "{steering}"; }};'}, prefix=counting.prefix(),
                      environment=WITH_LOADER)
    assert passes(lab)
    began, looks = counting.lock_calls(), counting.calls()["sendto"]
    for work in (lambda: natd.ctl("status"), lambda: natd.ctl("doctor", check=False), lambda: natd.ctl("stats"),
                 lambda: natd.ctl("reload")):
        work()
        assert passes(lab)
    lab.gateway.run("ip", "rule", "del", "pref", "50", check=False)
    until(lambda: counting.calls()["sendto"] > looks + 100)  # more than one look
    assert counting.lock_calls() == began
    counting.close()


# ---- docs/recipes.md ----

LOW_PORTS = f"""
import socket
for port in range(1, 1024):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("", port))
        s.sendto(b"x", ("{SERVER}", 9))
"""


def test_low_ports_are_opened_while_natd_looks_at_the_host(lab, start_natd):
    """Each takes a question to the kernel, since natd may not bind below 1024, and a reload asks in another thread:
    with one netlink handle for both, one thread took the answer of the other, which waited for ever."""
    natd = start_natd({"outside": 'ports = [ "1-65535" ];'})
    sender = lab.client.start(sys.executable, "-c", LOW_PORTS)
    reloads = 0
    while sender.poll() is None or reloads < 3:
        natd.ctl("reload")
        reloads += 1
    assert sender.returncode == 0
    until(lambda: int(natd.ctl("count").stdout) == 1023)
    assert "sport=9 dport=1023" in natd.ctl("list").stdout


def test_recipe_from_masquerade(lab, start_natd, udp_echo):
    udp_echo()
    lab.gateway.sysctl("ipv4/ip_forward", 1)
    lab.gateway.run("nft", "-f", "-", input="table ip nat {\nchain post {\ntype nat hook postrouting priority 100\n"
                    'oifname "out0" masquerade\n}\n}\n')
    assert passes(lab)
    natd = start_natd(ready=False)
    found = lab.gateway.run(NATCTL, "-j", "doctor", "--offline", "-c", natd.config_path, check=False).stdout
    assert "other-nat" in [c["id"] for c in json.loads(found)["checks"]]
    natd.start()
    lab.gateway.run("nft", "delete", "table", "ip", "nat")
    assert passes(lab)
    assert natd.json("list")


def tunnel_end(space, device, private_key, *settings):
    """A WireGuard device in a namespace, wireguard-go behind it, with what `wg set` is to set."""
    space.start("wireguard-go", "-f", device, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: os.path.exists(f"/run/wireguard/{device}.sock"))
    space.run("wg", "set", device, "private-key", private_key, *settings)


@pytest.mark.skipif(not (shutil.which("wireguard-go") and shutil.which("wg")), reason="no wireguard-go")
def test_recipe_wireguard_on_a_vps(lab, start_natd, http_server, tmp_path):
    """Two travellers send all they have through the gateway's tunnel: one sits beside the web server, one at home behind the
    gateway's own network. Each browses: a page, and one whose segments fill the tunnel."""
    travellers = {"wg1": (lab.server, "10.9.0.2"), "wg2": (lab.client, "10.9.0.3")}
    internet = Lab.SERVERS[1]
    keys = {}
    for name in ("wg0", *travellers):
        private = subprocess.run(["wg", "genkey"], capture_output=True, check=True).stdout
        keys[name] = subprocess.run(["wg", "pubkey"], input=private, capture_output=True, check=True).stdout.decode().strip()
        (tmp_path / name).write_bytes(private)
    peers = [word for name, (_, address) in travellers.items() for word in ("peer", keys[name], "allowed-ips", f"{address}/32")]
    tunnel_end(lab.gateway, "wg0", tmp_path / "wg0", "listen-port", "51820", *peers)
    lab.gateway.run("ip", "addr", "add", "10.9.0.1/24", "dev", "wg0")
    lab.gateway.run("ip", "link", "set", "wg0", "mtu", "1420", "up")
    for name, (space, address) in travellers.items():
        tunnel_end(space, name, tmp_path / name, "peer", keys["wg0"], "endpoint", f"{Lab.OUTSIDE}:51820", "allowed-ips", "0.0.0.0/0")
        space.run("ip", "addr", "add", f"{address}/24", "dev", name)
        space.run("ip", "link", "set", name, "mtu", "1420", "up")
        space.run("ip", "route", "add", f"{internet}/32", "dev", name)
    http_server(lab.servers[1])
    natd = start_natd("""outside = { interface = "out0"; };
        inside = { interfaces = [ "wg0" ]; }; control = { socket = "{socket}"; };""")
    for space, _ in travellers.values():
        assert space.run("curl", "-sSf", "--max-time", "20", f"http://{internet}/whoami").stdout.startswith(Lab.OUTSIDE)
        got = space.run("curl", "-sSf", "--max-time", "20", "-o", "/dev/null", "-w", "%{size_download}", f"http://{internet}/bytes/200000")
        assert got.stdout == "200000"
    seen = natd.json("list", "-p", "tcp", "--dport", "80")
    assert {entry["inside"]["address"] for entry in seen} == {address for _, address in travellers.values()}
    assert [c["id"] for c in json.loads(natd.ctl("-j", "doctor", check=False).stdout)["checks"]
            if c["severity"] == "fail"] == []
    for space, device in ((lab.gateway, "wg0"), *((space, name) for name, (space, _) in travellers.items())):
        space.run("ip", "link", "del", device)  # which ends wireguard-go
