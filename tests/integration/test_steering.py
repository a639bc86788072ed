# SPDX-License-Identifier: ISC
"""Steering by tc programs (fast_path.steering): which packets are natd's, and what leaves the gateway how.

NATD_STEERING=bpf runs the other tests steered so too; here is what only the programs do, or do otherwise."""
import contextlib
import signal
import socket
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment

import conftest
from netlab import Lab

BPF = 'fast_path = { steering = "bpf"; };'
WITH_LOADER = {"NATD_BPF_LOADER": conftest.LOADER}
WITHOUT_LOADER = {"NATD_BPF_LOADER": "/nonexistent/natd-bpf-load"}
SERVER = Lab.SERVERS[0]

pytestmark = pytest.mark.skipif(not conftest.CAN_LOAD, reason="tc programs cannot be loaded here")


@pytest.fixture
def steered(start_natd):
    """steered(more="", **config): natd with the programs, or the test is skipped."""
    def start(more="", **config):
        natd = start_natd({"more": BPF + more, **config}, ready=False, environment=WITH_LOADER)
        natd.launch()
        natd.wait_log(r"natd: ready|cannot steer", conftest.READY_S)
        if "cannot steer" in natd.text():
            pytest.skip(natd.text())
        return natd
    return start


def exchange(lab, port=7, client=None):
    """Sends one datagram through natd and has the answer: the client's socket and its outside port."""
    sock = (client or lab.client).udp()
    sock.connect((SERVER, port))
    sock.send(b"hello")
    return sock, int(sock.recv(100).split()[1])


def test_status_and_counters_show_the_programs(lab, steered, udp_echo):
    udp_echo()
    natd = steered()
    exchange(lab)
    assert natd.json("status")["steering"] == "bpf"
    counters = natd.counters()
    assert counters["steer_in"] >= 1 and counters["steer_out"] >= 1


def test_without_the_loader_auto_uses_rules_and_says_why(start_natd):
    natd = start_natd({"more": 'fast_path = { steering = "auto"; };'}, environment=WITHOUT_LOADER)
    assert natd.json("status")["steering"].startswith("rules: cannot run /nonexistent")
    assert "steering by rules: cannot run" in natd.text()


def test_without_the_loader_bpf_ends_the_start(start_natd):
    natd = start_natd({"more": BPF}, ready=False, environment=WITHOUT_LOADER)
    natd.launch()
    assert natd.process.wait(conftest.READY_S) == 3
    assert natd.text().count("cannot steer by tc programs: cannot run /nonexistent") == 1
    natd.process = None


def test_auto_leaves_a_host_that_filters_to_rules(lab, start_natd):
    lab.gateway.run("nft", "-f", "-", input="""table inet guard { chain hold {
        type filter hook forward priority 0; policy drop; }
        }""")
    try:
        natd = start_natd({"more": 'fast_path = { steering = "auto"; };'}, environment=WITH_LOADER)
        assert natd.json("status")["steering"].startswith("rules: the host filters packets (nftables chain hold")
    finally:
        lab.gateway.run("nft", "flush", "ruleset")


def test_auto_turns_to_rules_when_the_host_begins_to_filter(lab, start_natd, udp_echo):
    """The connection goes on."""
    udp_echo()
    natd = start_natd({"more": 'fast_path = { steering = "auto"; };'}, environment=WITH_LOADER)
    sock, _ = exchange(lab)
    if natd.json("status")["steering"] != "bpf":
        pytest.skip(natd.json("status")["steering"])
    lab.gateway.run("nft", "-f", "-", input="""table inet guard { chain hold {
        type filter hook forward priority 0; policy accept; tcp dport 1 drop; }
        }""")
    try:
        natd.wait_log("steering by rules from now on: the host filters packets .nftables chain hold", 5)
        assert natd.json("status")["steering"].startswith("rules: the host filters packets")
        seen = natd.counters()["steer_in"]
        sock.send(b"again")
        assert sock.recv(100).endswith(b"again")
        assert natd.counters()["steer_in"] == seen == 0
    finally:
        lab.gateway.run("nft", "flush", "ruleset")


def test_a_protocol_that_rules_do_not_steer_is_translated(lab, steered):
    """With rules nothing would bring its answer to natd."""
    steered()
    with lab.server.capture() as seen:
        lab.client.send_ip(IP(src=Lab.CLIENTS[0], dst=SERVER, proto=253) / b"question")
        assert seen.wait(lambda p: IP in p and p.proto == 253).src == Lab.OUTSIDE
    with lab.client.capture() as seen:
        lab.server.send_ip(IP(src=SERVER, dst=Lab.OUTSIDE, proto=253) / b"answer")
        assert seen.wait(lambda p: IP in p and p.proto == 253).dst == Lab.CLIENTS[0]


def test_no_sender_can_pretend_to_be_the_kernel(lab, steered, udp_echo):
    """192.0.0.8 is the source that natd knows the kernel's own errors by."""
    udp_echo()
    natd = steered()
    _, port = exchange(lab)
    quote = IP(src=Lab.OUTSIDE, dst=SERVER) / UDP(sport=port, dport=7)
    with lab.client.capture() as seen:
        lab.router.send_ip(IP(src="192.0.0.8", dst=Lab.OUTSIDE) / ICMP(type=3, code=3) / quote)
        exchange(lab)
        assert not any(ICMP in p for p in seen.so_far())
    assert natd.counters()["steer_forged"] == 1


def test_a_forward_chain_is_passed_by(lab, steered, udp_echo):
    """Asked for "bpf", natd works behind a FORWARD policy that drops, and finds neighbours without the kernel's way."""
    udp_echo()
    lab.gateway.run("nft", "-f", "-", input="""table inet guard { chain hold {
        type filter hook forward priority 0; policy drop; }
        }""")
    try:
        natd = steered()
        exchange(lab)
        natd.wait_log("the host filters packets .nftables chain hold of table guard.: the tc programs bypass that")
        assert "past nftables chain hold of table guard" in natd.ctl("doctor", check=False).stdout
    finally:
        lab.gateway.run("nft", "flush", "ruleset")


def test_b11_a_local_socket_cannot_take_a_mapped_port(lab, steered, udp_echo):
    udp_echo()
    steered()
    sock, port = exchange(lab)
    with lab.gateway.udp(Lab.OUTSIDE, port) as thief:
        thief.connect((SERVER, 7))
        sock.send(b"again")
        assert sock.recv(100).endswith(b"again")
        thief.settimeout(0)
        with pytest.raises(BlockingIOError):
            thief.recv(100)


def test_b12_a_socket_of_the_host_works_at_once_within_natds_ports(lab, steered, udp_echo):
    udp_echo()
    steered()
    for port in range(20000, 20020):
        with lab.gateway.udp(Lab.OUTSIDE, port) as own:
            own.sendto(b"mine", (SERVER, 7))
            assert own.recv(100).endswith(b"mine")


def pieces(source, port, size=3000):
    """A datagram in fragments, the last one first."""
    return list(reversed(fragment(IP(src=source, dst=Lab.OUTSIDE, id=77) / UDP(sport=9, dport=port) / bytes(size), fragsize=1000)))


def test_b16_the_hosts_fragments_come_in_by_the_interface_that_brought_them(lab, steered):
    """Whichever fragment is the first: a firewall that tells interfaces apart keeps them out, or lets them in."""
    natd = steered()
    with lab.gateway.udp(port=5353) as service, lab.server.udp() as outside, lab.client.udp() as inside:
        def send(to_port):
            for sender, source in ((lab.server, SERVER), (lab.client, Lab.CLIENTS[0])):
                for piece in pieces(source, to_port):
                    sender.send_ip(piece)
            for sock in (outside, inside):
                sock.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER
                sock.sendto(bytes(4000), (Lab.OUTSIDE, to_port))

        lab.gateway.run("nft", "-f", "-", input="""table ip wall { chain i { type filter hook input priority 0
            iifname lan0 udp dport 5353 counter drop
            iifname out0 udp dport 5353 counter drop
            }
            }""")
        try:
            send(5353)
            with lab.gateway.udp(port=5354) as fence:
                send(5354)  # what was sent before has been dealt with
                assert sorted(len(fence.recv(65536)) for _ in range(4)) == [3000, 3000, 4000, 4000]
            assert lab.gateway.run("nft", "list", "ruleset").stdout.count("counter packets 2 ") == 2
            service.settimeout(0)
            with pytest.raises(BlockingIOError):
                service.recv(65536)
        finally:
            lab.gateway.run("nft", "flush", "ruleset")
    counters = natd.counters()
    assert counters["steer_back"] == 2 * 2 * (4 + 3) and counters["steer_stray"] == 0


def test_b14_rules_do_not_grow_with_forwards(lab, steered):
    natd = steered()
    few = lab.gateway.run("ip", "rule").stdout
    natd.stop()
    forwards = ",".join(f'{{ protocol = "tcp"; port = {port}; to = "10.8.0.2"; }}' for port in range(2001, 4001, 2))
    steered(f"forwards = ( {forwards} );")
    assert lab.gateway.run("ip", "rule").stdout == few


def test_a_forwards_port_is_natds_and_the_next_is_the_hosts(lab, steered):
    steered('forwards = ( { protocol = "udp"; port = 5000; to = "10.8.0.2"; } );')
    with lab.client.udp(port=5000) as inside, lab.gateway.udp(Lab.OUTSIDE, 5001) as host, lab.server.udp() as sender:
        sender.sendto(b"in", (Lab.OUTSIDE, 5000))
        assert inside.recv(100) == b"in"
        sender.sendto(b"host", (Lab.OUTSIDE, 5001))
        assert host.recv(100) == b"host"


def test_a4_the_kernels_unreachable_reaches_the_inside_host(lab, steered):
    steered()
    lab.gateway.run("ip", "route", "add", "unreachable", f"{Lab.SERVERS[1]}/32")
    with lab.client.capture() as seen, lab.client.udp() as sock:
        sock.sendto(b"x", (Lab.SERVERS[1], 7))
        error = seen.wait(lambda p: ICMP in p and p[ICMP].type == 3)
        quoted = IP(bytes(error[ICMP].payload))
        assert (quoted.src, quoted.dst) == (Lab.CLIENTS[0], Lab.SERVERS[1])
        assert quoted[UDP].sport == sock.getsockname()[1]


def test_a3_the_mtu_of_the_route_is_told_to_the_inside_host(lab, steered, udp_echo):
    udp_echo()
    steered()
    lab.gateway.run("ip", "route", "add", f"{SERVER}/32", "via", Lab.ROUTER, "mtu", "lock", "1000")
    sock, _ = exchange(lab)
    with lab.client.capture() as seen:
        sock.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
        sock.send(b"x" * 1200)
        error = seen.wait(lambda p: ICMP in p and p[ICMP].type == 3 and p[ICMP].code == 4)
        assert error[ICMP].nexthopmtu == 1000
        assert IP(bytes(error[ICMP].payload)).src == Lab.CLIENTS[0]


@pytest.mark.parametrize("change, code", [(("mtu", "lock", "1000"), 4), (None, 1)])
def test_a_super_packet_is_answered_at_once_when_its_way_has_changed(lab, steered, change, code):
    """natd has looked the way up a moment before, and the program behind the TUN device finds the other one."""
    steered()
    listener = lab.server.tcp_listener(port=7000)
    # a client that would wait long before it sends anything again by itself
    lab.client.run("ip", "route", "change", "default", "via", Lab.GATEWAY_INSIDE, "rto_min", "5s")
    lab.client.sysctl("ipv4/tcp_early_retrans", 0)
    with lab.client.socket() as client, listener:
        client.connect((SERVER, 7000))
        server = listener.accept()[0]
        client.sendall(b"x" * 20000)
        left = 20000
        while left > 0:
            left -= len(server.recv(left))
        if change:
            lab.gateway.run("ip", "route", "add", f"{SERVER}/32", "via", Lab.ROUTER, *change)
        else:
            lab.gateway.run("ip", "route", "add", "unreachable", f"{SERVER}/32")
        with lab.client.capture() as seen:
            client.sendall(b"y" * 2800)
            error = seen.wait(lambda p: ICMP in p and p[ICMP].type == 3)
            packets = [p for p in map(IP, seen.seen) if TCP in p and p.dst == SERVER]
        assert error[ICMP].code == code and IP(bytes(error[ICMP].payload)).src == Lab.CLIENTS[0]
        assert len(packets) == 1, "it had to be sent again"
        server.close()


def test_a_virtual_service_address_leads_inside_hosts_to_a_backend(lab, steered):
    """To another host, and from the backend to itself; with all backends drained it is refused, and nothing is left."""
    natd = steered(f"""forwards = ( {{ name = "inner"; protocol = [ "tcp", "udp" ]; side = "inside"; address = "10.96.0.10"; port = 80;
                   to = [ "{Lab.CLIENTS[1]}:8080" ]; }} );""")
    with lab.clients[1].tcp_listener(port=8080) as listener:
        for client in lab.clients:
            with client.socket() as sock:
                sock.connect(("10.96.0.10", 80))
                accepted, peer = listener.accept()
                with accepted:
                    assert peer[0] == Lab.OUTSIDE
                    accepted.sendall(b"hello")
                    assert sock.recv(10) == b"hello"
        assert natd.counters()["steer_out"] > 0
        natd.ctl("flush")
        natd.ctl("backend", "inner", f"{Lab.CLIENTS[1]}:8080", "drain")
        with lab.client.socket() as sock, pytest.raises(ConnectionRefusedError):
            sock.connect(("10.96.0.10", 80))
        with lab.client.udp() as sock, pytest.raises(ConnectionRefusedError):
            sock.connect(("10.96.0.10", 80))
            sock.send(b"question")
            sock.recv(10)
    assert natd.ctl("count").stdout == "0\n"


def test_a1_no_error_of_the_kernel_shows_an_inside_address(lab, steered):
    """A forward leads to a host that does not answer ARP: the sender outside gets an error about what it had sent."""
    steered('forwards = ( { protocol = "udp"; port = 5000; to = "10.8.0.99"; } );')
    with lab.server.capture() as seen, lab.server.udp() as sender:
        sender.sendto(b"in", (Lab.OUTSIDE, 5000))
        error = seen.wait(lambda p: ICMP in p and p[ICMP].type == 3, timeout=10)
        quoted = IP(bytes(error[ICMP].payload))
        assert (error.src, quoted.dst, quoted[UDP].dport) == (Lab.OUTSIDE, Lab.OUTSIDE, 5000)
        assert not any(b"\x0a\x08\x00" in bytes(p) for p in seen.so_far())


def test_an_expired_packet_from_outside_is_answered(lab, steered, udp_echo):
    udp_echo()
    steered()
    sock, port = exchange(lab)
    with lab.router.capture("up0") as seen:
        lab.router.send_ip(IP(src=SERVER, dst=Lab.OUTSIDE, ttl=1) / UDP(sport=7, dport=port) / b"late")
        error = seen.wait(lambda p: ICMP in p and p[ICMP].type == 11)
        assert error.src == Lab.OUTSIDE
    sock.settimeout(0)
    with pytest.raises(BlockingIOError):
        sock.recv(100)


def test_ttl_goes_down_by_one_each_way(lab, steered, udp_echo):
    """As through a router: the program takes the kernel's step."""
    udp_echo()
    steered()
    exchange(lab)
    with lab.server.capture() as out, lab.client.capture() as back:
        exchange(lab)
        assert out.wait(lambda p: UDP in p and p.dst == SERVER).ttl == 62
        assert back.wait(lambda p: UDP in p and p.src == SERVER).ttl == 62


def test_a_clean_stop_leaves_no_program(lab, steered, udp_echo):
    udp_echo()
    natd = steered()
    _, port = exchange(lab)
    natd.stop()
    with lab.gateway.udp(Lab.OUTSIDE, port) as host, lab.server.udp() as sender:
        sender.sendto(b"free", (Lab.OUTSIDE, port))
        assert host.recv(100) == b"free"


def test_a_crash_without_a_store_leaves_no_program(lab, steered, udp_echo):
    udp_echo()
    natd = steered()
    _, port = exchange(lab)
    natd.stop(signal.SIGKILL)
    with lab.gateway.udp(Lab.OUTSIDE, port) as host, lab.server.udp() as sender:
        sender.sendto(b"free", (Lab.OUTSIDE, port))
        assert host.recv(100) == b"free"
    natd.start()
    exchange(lab)


def test_a_kill_does_not_give_the_ports_to_the_host(lab, keep_natd, udp_echo):
    """The service manager keeps the links: packets wait in the TUN device, and the next natd goes on."""
    udp_echo()
    natd = keep_natd({"more": BPF}, environment=WITH_LOADER)
    sock, port = exchange(lab)
    natd.crash()
    with lab.gateway.udp(Lab.OUTSIDE, port) as thief:
        sock.send(b"while away")
        natd.start()
        assert sock.recv(100).endswith(b"while away")
        assert exchange(lab)[1] != 0
        thief.settimeout(0)
        with pytest.raises(BlockingIOError):
            thief.recv(100)
    assert natd.json("status")["steering"] == "bpf"


def test_an_inside_interface_made_again_is_steered_again(lab, steered, udp_echo):
    udp_echo()
    natd = steered()
    exchange(lab)
    lab.gateway.run("ip", "link", "delete", "lan0")
    lab.gateway.run("ip", "link", "add", "name", "lan0", "type", "bridge")
    for i in range(2):
        lab.gateway.run("ip", "link", "set", f"lan0p{i}", "master", "lan0")
    lab.gateway.run("ip", "addr", "add", f"{Lab.GATEWAY_INSIDE}/24", "dev", "lan0")
    lab.gateway.run("ip", "link", "set", "lan0", "up")
    lab.client.run("ip", "neigh", "flush", "all")  # the bridge has another MAC address
    before = natd.counters()["steer_out"]
    end = time.monotonic() + 10
    with lab.client.udp() as sock:
        sock.settimeout(0.2)
        while natd.counters()["steer_out"] == before and time.monotonic() < end:
            sock.sendto(b"hello", (SERVER, 7))  # what comes before natd has noticed is refused
            with contextlib.suppress(TimeoutError):
                sock.recv(100)
    exchange(lab)
    assert natd.counters()["steer_out"] > before


def test_tcp_both_ways_whole(lab, steered, http_server):
    http_server()
    steered()
    done = lab.client.run("curl", "-sS", "-m", "20", f"http://{SERVER}/bytes/5000000", text=False)
    assert done.stdout == conftest.some_bytes(5000000)


PREFIXES = """
outside = {{ interface = "out0"; }};
inside = {{ prefixes = [ "10.8.0.0/24" ]; }};
translation = {{ filtering = "endpoint-independent"; }};
control = {{ socket = "{{socket}}"; }};
fast_path = {{ steering = "{0}"; }};
"""


def test_without_an_inside_interface_auto_uses_rules(lab, start_natd, udp_echo):
    """The programs sit at inside interfaces. Without them nothing would bring natd what inside hosts send to a shared address."""
    udp_echo()
    natd = start_natd(PREFIXES.format("auto"), environment=WITH_LOADER)
    assert natd.json("status")["steering"].startswith("rules: no interface is inside")
    with lab.clients[1].udp() as other, lab.client.udp() as mine:
        other.sendto(b"x", (SERVER, 7))
        port = int(other.recv(100).split()[1])
        mine.sendto(b"hairpin", (Lab.OUTSIDE, port))
        assert other.recv(100) == b"hairpin"


def test_without_an_inside_interface_bpf_ends_the_start(start_natd):
    natd = start_natd(PREFIXES.format("bpf"), ready=False, environment=WITH_LOADER)
    natd.launch()
    assert natd.process.wait(conftest.READY_S) == 3
    assert "cannot steer by tc programs: no interface is inside" in natd.text()
    natd.process = None
