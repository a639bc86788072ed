# SPDX-License-Identifier: ISC
"""What the kernel steers to natd and what it leaves to the host: the rules of routing_plan.h, with real packets."""
import contextlib
import signal
import socket

import pytest
from scapy.layers.inet import GRE, IP, TCP, UDP
from scapy.packet import Raw

from conftest import STEERING, some_bytes
from netlab import Lab

SERVER = Lab.SERVERS[0]
CLIENT = Lab.CLIENTS[0]
POOL = "203.0.113.16/29"
EXEMPT = "198.51.100.0/24"
IP_RECVERR = 11


def silent(sock):
    """Nothing comes, and what was sent before has long been dealt with."""
    sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        sock.recv(100)


def fence(lab):
    """A packet to natd behind all those sent before: when it is seen, they have been steered."""
    with lab.gateway.capture("natd0") as seen:
        lab.server.send_ip(IP(src=SERVER, dst=Lab.OUTSIDE) / UDP(sport=1, dport=20000) / b"fence")
        seen.wait(lambda p: Raw in p and p[Raw].load == b"fence")


def steered(lab, sender, packet):
    """Sends it; did it reach natd's device?"""
    packet = IP(bytes(packet))
    with lab.gateway.capture("natd0") as seen:
        sender.send_ip(packet)
        lab.server.send_ip(IP(src=SERVER, dst=Lab.OUTSIDE) / UDP(sport=1, dport=20001) / b"behind")
        seen.wait(lambda p: Raw in p and p[Raw].load == b"behind", timeout=5)
        return any((p.src, p.dst, p.proto) == (packet.src, packet.dst, packet.proto) and
                   (p.proto != 17 or p.frag or p[UDP].dport == packet[UDP].dport) for p in seen.so_far())


@pytest.mark.parametrize("port, expected", [
    (16383, False), (16384, True), (32767, True), (32768, False), (60999, False), (61000, True), (65534, True),
    (22, False), (80, False)])
def test_only_natds_ports_are_steered(lab, natd, port, expected):
    assert steered(lab, lab.server, IP(src=SERVER, dst=Lab.OUTSIDE) / UDP(sport=7, dport=port)) == expected


@pytest.mark.parametrize("size", [10, 4000, 30000])
def test_datagram_to_the_host_arrives_whole(lab, natd, size):
    with lab.gateway.udp(port=5000) as host, lab.server.udp() as sock:
        sock.sendto(some_bytes(size), (Lab.OUTSIDE, 5000))
        assert host.recvfrom(65536)[0] == some_bytes(size)


def speaks(lab, host, port=20000):
    """The host's listener is reached from outside."""
    with lab.server.socket() as sock:
        sock.connect((Lab.OUTSIDE, port))
        with host.accept()[0] as accepted:
            accepted.sendall(b"host")
            return sock.recv(10) == b"host"


def test_ports_of_the_host_within_natds_range_stay_the_hosts(lab, start_natd):
    with lab.gateway.tcp_listener(Lab.OUTSIDE, 20000) as host:
        start_natd()
        assert speaks(lab, host)


def test_fault_12_a_socket_opened_later_works_at_once(lab, natd):
    with lab.gateway.tcp_listener(Lab.OUTSIDE, 20000) as host:
        assert speaks(lab, host)
    with lab.gateway.udp(port=20002) as host, lab.server.udp() as sock:
        sock.sendto(b"now", (Lab.OUTSIDE, 20002))
        assert host.recv(10) == b"now"


def test_fault_13_the_kernel_chooses_no_port_of_natd(lab, start_natd):
    """For the host's own connections. What others keep from it stays, after a crash too."""
    lab.gateway.sysctl("ipv4/ip_local_port_range", "20000 24000")
    lab.gateway.sysctl("ipv4/ip_local_reserved_ports", "80,20000-20010")
    natd = start_natd({"outside": 'ports = "20000-22500";',
                       "more": 'forwards = ( { protocol = "udp"; port = "22600-22699"; to = "10.8.0.2"; } );'})
    assert lab.gateway.sysctl("ipv4/ip_local_reserved_ports") == "80,20000-22500,22600-22699"
    with contextlib.ExitStack() as stack:
        ports = {stack.enter_context(lab.gateway.udp()).getsockname()[1] for _ in range(300)}
    assert not [port for port in ports if port <= 22500 or 22600 <= port <= 22699]
    natd.stop(signal.SIGKILL)
    natd.start()
    natd.stop()
    assert lab.gateway.sysctl("ipv4/ip_local_reserved_ports") == "80,20000-20010"


@pytest.mark.parametrize("connected", [False, True])
def test_fault_11_a_local_user_cannot_take_a_live_port(lab, natd, udp_echo, connected):
    udp_echo()
    with lab.client.udp() as sock, lab.gateway.udp() as thief:
        sock.sendto(b"1", (SERVER, 7))
        port = int(sock.recv(100).split()[1])
        thief.close()
        thief = lab.gateway.udp(port=port)
        if connected:
            thief.connect((SERVER, 7))
        for i in range(20):  # also after natd has listed the host's sockets
            sock.sendto(b"2", (SERVER, 7))
            assert sock.recv(100).split()[1] == str(port).encode()
        thief.setblocking(False)
        with pytest.raises(BlockingIOError):
            thief.recv(10)
        thief.close()


def test_fault_16_a_local_user_cannot_send_by_natds_device(lab, natd):
    """Past an output rule of the firewall for the outside interface."""
    with lab.server.capture() as seen, lab.gateway.udp(Lab.GATEWAY_INSIDE) as user:
        user.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"natd0")
        with natd.counted(tun_read_own=1):
            user.sendto(b"past the firewall", (SERVER, 9))
        lab.client.send_ip(IP(src=CLIENT, dst=SERVER) / UDP(sport=4000, dport=9) / b"behind")
        seen.wait(lambda p: Raw in p and p[Raw].load == b"behind")
        assert not [p for p in seen.so_far() if Raw in p and p[Raw].load == b"past the firewall"]


def count_rules(lab):
    return sum("proto 21" in line for line in lab.gateway.run("ip", "rule").stdout.splitlines()) + 1


def test_the_number_of_rules_has_a_bound(lab, start_natd):
    """8, and 4 for each inside interface with each prefix, and for each shared address."""
    lab.gateway.run("ip", "link", "add", "guest0", "type", "bridge")
    lab.gateway.run("ip", "addr", "add", "10.9.0.1/24", "dev", "guest0")
    lab.gateway.run("ip", "link", "set", "guest0", "up")
    text = 'outside = {{ interface = "out0"; addresses = {0}; }}; inside = {{ interfaces = {1}; {2} }}; control = {{ socket = "{{socket}}"; }}; ' \
        'fast_path = {{ steering = "rules"; }};'
    one, two = '[ "lan0" ]', '[ "lan0", "guest0" ]'
    cases = [('[ "interface" ]', one, "", 8 + 4 + 4), ('[ "interface" ]', two, "", 8 + 4 * 4 + 4),
             ('[ "203.0.113.40" ]', one, "", 8 + 4), ('[ "interface", "203.0.113.40" ]', two, "", 8 + 4 * 4 + 4),
             ('[ "interface" ]', one, 'prefixes = [ "10.8.0.0/25", "10.8.0.128/25", "10.77.0.0/16" ];', 8 + 4 * 3 + 4)]
    natd = start_natd(text.format(*cases[0][:3]))
    for *config, most in cases:
        natd.write_config(text.format(*config))
        natd.ctl("reload")
        assert count_rules(lab) <= most, (config, lab.gateway.run("ip", "rule").stdout)


def forwards_on(ports):
    return "forwards = (" + ",".join(
        f'{{ name = "f{p}"; protocol = [ "tcp", "udp" ]; port = {p}; to = "10.8.0.2"; }}' for p in ports) + ");"


@pytest.mark.parametrize("count", [0, 10, 2000])
def test_fault_14_rules_do_not_grow_with_forwards(lab, start_natd, count):
    start_natd({"more": forwards_on(range(1001, 1001 + 2 * count, 2)) if count else ""})
    assert count_rules(lab) <= 8 + 4 + 4


def test_fault_14_between_many_forwards_the_host_and_the_forwards_work(lab, start_natd):
    start_natd({"more": forwards_on(range(1, 4000, 2))})
    with lab.gateway.tcp_listener(port=1000) as host, lab.client.tcp_listener(port=1001) as inside:
        assert speaks(lab, host, 1000)
        assert speaks(lab, inside, 1001)


def test_many_sockets_of_the_host_make_no_rules(lab, natd):
    before = count_rules(lab)
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(lab.gateway.udp(port=port)) for port in range(20001, 20601, 2)]
        with lab.server.udp() as sock:
            for host in hosts[::50]:
                sock.sendto(b"x", (Lab.OUTSIDE, host.getsockname()[1]))
                assert host.recv(10) == b"x"
        assert count_rules(lab) == before


@pytest.mark.parametrize("proto", [47, 50, 132])
def test_fault_15_protocols_without_ports_work_both_ways(lab, natd, proto):
    with lab.server.capture("eth0") as seen:
        lab.client.send_ip(IP(src=CLIENT, dst=SERVER, proto=proto) / Raw(b"\0" * 40))
        seen.wait(lambda p: p.src == Lab.OUTSIDE and p.proto == proto)
    with lab.client.capture("eth0") as seen:
        lab.server.send_ip(IP(src=SERVER, dst=Lab.OUTSIDE, proto=proto) / Raw(b"\0" * 40))
        seen.wait(lambda p: p.src == SERVER and p.dst == CLIENT and p.proto == proto)


@pytest.mark.parametrize("proto", [4, 41, 115, 253])
def test_fault_15_protocols_that_cannot_come_back_are_refused(lab, natd, proto):
    """Rules bring nothing of these protocols to natd; tc programs do."""
    passes = STEERING == "bpf"
    with natd.counted(drop_other_protocol=0 if passes else 1, out_packets=1 if passes else 0):
        lab.client.send_ip(IP(src=CLIENT, dst=SERVER, proto=proto) / Raw(b"\0" * 40))


def test_other_protocols_of_the_host_still_reach_it(lab, natd):
    with lab.gateway.socket(kind=socket.SOCK_RAW, protocol=47) as host:
        lab.server.send_ip(IP(src=SERVER, dst=Lab.OUTSIDE) / GRE() / b"host's own")
        assert b"host's own" in host.recv(100)


def test_c2_18_inside_hosts_are_not_reached_directly(lab, natd):
    lab.router.run("ip", "route", "add", Lab.INSIDE, "via", Lab.OUTSIDE)
    with lab.client.udp(port=7000) as inside, lab.gateway.udp(Lab.GATEWAY_INSIDE, 7000) as gateway:
        with lab.server.udp() as sock:
            sock.sendto(b"x", (CLIENT, 7000))
            sock.sendto(b"x", (Lab.GATEWAY_INSIDE, 7000))
        fence(lab)
        silent(inside)
        silent(gateway)


def test_c2_17_inside_sources_from_outside_are_refused(lab, natd):
    with lab.gateway.udp(port=5000) as host:
        lab.router.send_ip(IP(src=CLIENT, dst=Lab.OUTSIDE) / UDP(sport=7, dport=5000))
        assert not steered(lab, lab.router, IP(src=CLIENT, dst=Lab.OUTSIDE) / UDP(sport=7, dport=20000))
        silent(host)


def test_c2_3_an_inside_host_cannot_play_the_remote_one(lab, natd):
    lab.client.run("ip", "addr", "add", f"{SERVER}/32", "dev", "lo")
    spoofed = IP(src=SERVER, dst=Lab.OUTSIDE) / UDP(sport=7, dport=20000)
    assert not steered(lab, lab.client, spoofed)
    assert steered(lab, lab.client, IP(src=CLIENT, dst=Lab.OUTSIDE) / UDP(sport=7, dport=20000))


def test_host_does_not_become_an_open_router(lab, natd):
    with lab.router.capture("up0") as seen:
        lab.router.run("ip", "route", "add", "192.0.2.0/24", "via", Lab.OUTSIDE)
        lab.server.send_ip(IP(src=SERVER, dst="192.0.2.1") / UDP(sport=7, dport=7))
        fence(lab)
        packets = [p for p in seen.so_far() if p.dst == "192.0.2.1"]
    assert len(packets) == 1  # on its way to the gateway, not back


def test_host_that_forwarded_before_goes_on(lab, start_natd):
    lab.gateway.sysctl("ipv4/ip_forward", 1)
    start_natd()
    with lab.router.capture("up0") as seen:
        lab.router.run("ip", "route", "add", "192.0.2.0/24", "via", Lab.OUTSIDE)
        lab.server.send_ip(IP(src=SERVER, dst="192.0.2.1", ttl=5) / UDP(sport=7, dport=7))
        seen.wait(lambda p: p.dst == "192.0.2.1" and p.ttl == 3)


@pytest.mark.parametrize("proto", [17, 6, 47])
def test_pool_addresses_are_steered_whole_and_answered_for(lab, start_natd, proto):
    start_natd({"addresses": f'[ "{POOL}" ]'})
    with lab.gateway.capture("natd0") as seen:
        lab.server.send_ip(IP(src=SERVER, dst="203.0.113.18", proto=proto) / Raw(b"\0" * 40))
        seen.wait(lambda p: p.dst == "203.0.113.18" and p.proto == proto)
    assert "203.0.113.18" in lab.router.run("ip", "neigh").stdout
    assert len(lab.gateway.run("ip", "neigh", "show", "proxy").stdout.splitlines()) == 8


def test_6888_6_exempt_destination_is_reached_untranslated(lab, start_natd, udp_echo):
    start_natd({"inside": f'exempt = [ "{EXEMPT}" ];'})
    lab.router.run("ip", "route", "add", Lab.INSIDE, "via", Lab.OUTSIDE)
    udp_echo()
    with lab.client.udp() as sock:
        sock.sendto(b"plain", (SERVER, 7))
        assert sock.recv(100).split()[0] == CLIENT.encode()


@pytest.mark.parametrize("everywhere", [0, 1, 2])
def test_reverse_path_filter_of_the_host_does_not_matter(lab, start_natd, udp_echo, everywhere):
    for name in ("all", "default", "out0", "lan0"):
        lab.gateway.sysctl(f"ipv4/conf/{name}/rp_filter", everywhere)
    start_natd()
    udp_echo()
    with lab.client.udp() as sock:
        sock.sendto(b"hello", (SERVER, 7))
        assert sock.recv(100).split()[0] == Lab.OUTSIDE.encode()
    with lab.gateway.udp(port=5000) as host, lab.server.udp() as sock:
        sock.sendto(some_bytes(4000), (Lab.OUTSIDE, 5000))
        assert host.recvfrom(65536)[0] == some_bytes(4000)


def test_nothing_leaks_after_a_crash(lab, start_natd):
    lab.gateway.sysctl("ipv4/ip_forward", 1)
    natd = start_natd()
    natd.send_signal(9)
    natd.process.wait()
    with lab.router.capture("up0") as seen:
        with lab.client.udp() as sock:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            sock.connect((SERVER, 9))
            sock.send(b"x")
            with pytest.raises(OSError, match="No route to host"):  # the kernel's own word: it fails closed
                sock.recv(100)
        assert not [p for p in seen.so_far() if p.src == CLIENT]
    natd.start()


def test_reload_with_one_more_inside_interface_changes_only_what_differs(lab, natd):
    before = lab.gateway.run("ip", "rule").stdout.splitlines()
    lab.gateway.run("ip", "link", "add", "lan1", "type", "bridge")
    natd.write_config(f"""
        outside = {{ interface = "out0"; addresses = [ "interface" ]; }};
        inside = {{ interfaces = [ "lan0", "lan1" ]; prefixes = [ "10.8.0.0/24" ]; }};
        control = {{ socket = "{natd.socket}"; }};""")
    with lab.gateway.start("ip", "-o", "monitor", "rule", stdout=-1, text=True) as monitor:
        natd.ctl("reload")
        after = lab.gateway.run("ip", "rule").stdout.splitlines()
        monitor.terminate()
        told = monitor.stdout.read().splitlines()
    assert set(before) < set(after)
    assert all("lan1" in line for line in set(after) - set(before))
    assert all("lan1" in line for line in told)
    assert lab.gateway.sysctl("ipv4/conf/lan1/forwarding") == "1"


def test_listening_socket_of_the_host_survives_as_tcp(lab, natd):
    """Early demux: a connection of the host's own is never handed to natd."""
    with lab.gateway.tcp_listener(port=22) as host, lab.server.socket() as sock:
        with lab.gateway.capture("natd0") as seen:
            sock.connect((Lab.OUTSIDE, 22))
            with host.accept()[0] as accepted:
                accepted.sendall(some_bytes(100000))
                accepted.shutdown(socket.SHUT_WR)
            got = b""
            while data := sock.recv(65536):
                got += data
            assert got == some_bytes(100000)
            assert not [p for p in seen.so_far() if TCP in p and 22 in (p[TCP].sport, p[TCP].dport)]
