# SPDX-License-Identifier: ISC
"""How packets pass: super-packets, their hop limit and size, and a small MTU on the way."""
import hashlib

import pytest

from conftest import some_bytes
from netlab import Lab
from test_basic import curl

SERVER = Lab.SERVERS[0]
BYTES = 3_000_000


def upload(lab, tmp_path):
    data = some_bytes(BYTES)
    (tmp_path / "upload").write_bytes(data)
    return curl(lab.client, "-T", tmp_path / "upload", f"http://{SERVER}/") == hashlib.sha256(data).hexdigest()


def download(lab):
    done = lab.client.run("curl", "-sS", "--fail", "--max-time", "20", f"http://{SERVER}/bytes/{BYTES}", text=False,
                          timeout=25)
    return done.stdout == some_bytes(BYTES)


def test_super_packets_lose_one_hop_like_all_others(lab, natd, http_server, tmp_path):
    """They pass the kernel's forwarding twice: the receivers must not see that."""
    http_server()
    with lab.router.capture("up0") as outside, lab.client.capture() as inside:
        assert upload(lab, tmp_path) and download(lab)
        out = {p.ttl for p in outside.so_far() if p.src == Lab.OUTSIDE and p.proto == 6}
        back = {p.ttl for p in inside.so_far() if p.src == SERVER and p.proto == 6}
    assert natd.counters()["tun_read_super"] > 0
    assert (out, back) == ({63}, {62})


def test_without_offload_no_super_packet_comes(lab, start_natd, http_server, tmp_path):
    natd = start_natd({"more": "tun = { offload = false; };"})
    http_server()
    assert upload(lab, tmp_path) and download(lab)
    assert natd.counters()["tun_read_super"] == 0


@pytest.mark.parametrize("clamp", ['"auto"', '"off"'])
@pytest.mark.parametrize("offload", ["true", "false"])
def test_small_mtu_outside(lab, start_natd, http_server, tmp_path, clamp, offload):
    """With the MSS clamped, and without it by path MTU discovery."""
    lab.gateway.run("ip", "link", "set", "out0", "mtu", "1280")
    lab.router.run("ip", "link", "set", "up0", "mtu", "1280")
    natd = start_natd({"more": f"translation = {{ mss_clamp = {clamp}; }}; tun = {{ mtu = 1500; offload = {offload}; }};"})
    http_server()
    with lab.router.capture("up0") as outside:
        assert upload(lab, tmp_path) and download(lab)
        assert all(p.flags.DF or p.frag == 0 for p in outside.so_far())
    counters = natd.counters()
    assert (counters["mss_clamped"] > 0) == (clamp == '"auto"')
    assert (counters["drop_too_big"] > 0) == (clamp == '"off"')


def test_large_datagram_over_a_small_mtu(lab, start_natd, udp_echo):
    """Fragments of the client's are too large for the way out: natd cuts them again (DF is clear)."""
    lab.gateway.run("ip", "link", "set", "out0", "mtu", "1280")
    lab.router.run("ip", "link", "set", "up0", "mtu", "1280")
    start_natd({"more": "tun = { mtu = 1500; };"})
    udp_echo()
    with lab.client.udp() as sock:
        sock.setsockopt(0, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
        for size in (1400, 1472, 4000):
            data = some_bytes(size)
            assert exchange(sock, data) == data


def exchange(sock, data):
    """The first answer that is too large for the router is lost: it tells the server the MTU."""
    sock.settimeout(2)
    for _ in range(3):
        sock.sendto(data, (SERVER, 7))
        try:
            return sock.recvfrom(65536)[0].split(b" ", 2)[2]
        except TimeoutError:
            continue
    return None


def test_mtu_of_the_outside_interface_is_followed(lab, natd, http_server, tmp_path):
    http_server()
    lab.gateway.run("ip", "link", "set", "out0", "mtu", "1280")
    lab.router.run("ip", "link", "set", "up0", "mtu", "1280")
    natd.wait_log("interfaces or addresses changed")
    assert upload(lab, tmp_path) and download(lab)
    assert "mtu 1280" in lab.gateway.run("ip", "link", "show", "natd0").stdout


def test_port_of_a_host_service_within_natds_ports_stays_the_hosts(lab, natd):
    """A service that starts later, on a port of natd's ranges: natd notices, and the service is reached."""
    with lab.gateway.tcp_listener(port=20000) as listener:
        with lab.server.socket() as sock:
            listener.settimeout(10)
            sock.settimeout(10)
            sock.connect((Lab.OUTSIDE, 20000))
            accepted, peer = listener.accept()
            accepted.close()
        assert peer[0] == SERVER


def test_other_outside_interface_after_a_reload(lab, natd, udp_echo):
    udp_echo()
    lab.gateway.run("ip", "link", "set", "out0", "down")
    lab.gateway.run("ip", "link", "set", "out0", "name", "wan7")
    lab.gateway.run("ip", "link", "set", "wan7", "up")
    lab.gateway.run("ip", "route", "replace", "default", "via", Lab.ROUTER)
    with open(natd.config_path, encoding="utf-8") as config:
        text = config.read().replace("out0", "wan7")
    natd.write_config(text)
    natd.ctl("reload")
    with lab.client.udp() as sock:
        sock.sendto(b"x", (SERVER, 7))
        assert sock.recvfrom(1000)[0].split()[0].decode() == Lab.OUTSIDE
    assert "1 received" in lab.client.run("ping", "-c", "1", "-W", "5", SERVER).stdout


def test_routing_given_back_and_taken_again_by_reloads(lab, start_natd, udp_echo):
    udp_echo()
    natd = start_natd({"more": 'routing = "none";'})
    natd.write_config({})
    natd.ctl("reload")
    managed = lab.gateway.run("ip", "rule").stdout
    natd.write_config({"more": 'routing = "none";'})
    natd.ctl("reload")
    assert lab.gateway.run("ip", "rule").stdout.splitlines()[0].startswith("0:")
    natd.write_config({})
    natd.ctl("reload")
    assert lab.gateway.run("ip", "rule").stdout == managed
    with lab.client.udp() as sock:
        sock.sendto(b"x", (SERVER, 7))
        assert sock.recvfrom(1000)[0].split()[0].decode() == Lab.OUTSIDE
