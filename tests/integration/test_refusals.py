# SPDX-License-Identifier: ISC
"""What the kernel does not take from natd: each refusal of the raw socket is counted by its name, and what a kernel cannot do
at all is done without, and said once."""
import errno
import signal
import socket

import pytest

import faults
from conftest import NATD
from faults import Faults
from netlab import Lab
from test_service import until
from test_transfer import BYTES, WINDOW, some_bytes, udp_pair
from transfer import both_ways, connected, udp_file

SERVER = Lab.SERVERS[0]
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2

needs_faults = pytest.mark.skipif(bool(faults.why_not(NATD)), reason=faults.why_not(NATD) or "-")


def counted(natd, name, send, at_least=1):
    """send() until this counter has gone up; no packet in the block is dropped or refused under another name."""
    before = natd.counters()

    def rose():
        send()
        return natd.counters()[name] >= before[name] + at_least

    until(rose, timeout=10)
    after = natd.counters()
    others = {key for key in after if key.startswith(("send_", "drop_")) and after[key] != before[key]}
    assert others - {name, "send_packets"} == set()


# ---- what a host's routing refuses ----

@pytest.mark.parametrize("route, counter", [
    (None, "send_net_unreach"), ("unreachable", "send_host_unreach"), ("prohibit", "send_denied"), ("blackhole", "send_invalid")])
@pytest.mark.parametrize("offload", ["true", "false"])
def test_no_way_out_is_counted_by_its_name(lab, start_natd, offload, route, counter):
    natd = start_natd({"more": f"tun = {{ offload = {offload}; }};"})
    with lab.client.udp() as sock:
        sock.sendto(b"x", (SERVER, 9))
        until(lambda: natd.counters()["send_packets"] > 0)
        if route:
            lab.gateway.run("ip", "route", "add", route, f"{SERVER}/32")
        else:
            lab.gateway.run("ip", "route", "del", "default")
        counted(natd, counter, lambda: sock.sendto(b"x", (SERVER, 9)))


@pytest.mark.parametrize("offload", ["true", "false"])
def test_smaller_way_out_than_the_interface_says(lab, start_natd, offload):
    """EMSGSIZE: natd knows the interface's MTU, not the route's. What may be cut is cut by the kernel, and arrives."""
    natd = start_natd({"more": f"tun = {{ offload = {offload}; }};"})
    lab.gateway.run("ip", "route", "replace", "default", "via", Lab.ROUTER, "mtu", "lock", "1000")
    client, server = udp_pair(lab)
    with client, server:
        data = some_bytes(1400)
        client.sendto(data, (SERVER, 9000))
        assert server.recv(65536) == data
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        counted(natd, "send_too_big", lambda: client.sendto(data, (SERVER, 9000)))


# ---- what it refuses at times ----

@pytest.fixture
def faulty(lab, start_natd):
    """faulty(config): natd, and faults on order for it."""
    on_order = Faults()

    def start(config=None):
        return start_natd(config, prefix=on_order.prefix()), on_order

    yield start
    on_order.reset()
    on_order.close()


@needs_faults
@pytest.mark.parametrize("error, counter", [
    (errno.EAGAIN, "send_again"), (errno.ENOBUFS, "send_no_buffer"), (errno.ENOMEM, "send_no_memory"),
    (errno.EMSGSIZE, "send_too_big"), (errno.EPERM, "send_forbidden"), (errno.EACCES, "send_denied"),
    (errno.ENETUNREACH, "send_net_unreach"), (errno.EHOSTUNREACH, "send_host_unreach"), (errno.ENETDOWN, "send_down"),
    (errno.ENODEV, "send_down"), (errno.ENXIO, "send_down"), (errno.EINVAL, "send_invalid"), (errno.EIO, "send_error")])
def test_refusal_of_the_raw_socket_is_counted_by_its_name(lab, faulty, error, counter):
    natd, on_order = faulty()
    with lab.client.udp() as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)

        def send():
            on_order.arm("sendmmsg", error=error)
            sock.sendto(b"x", (SERVER, 9))
            until(lambda: on_order.hit() == 1)
            on_order.disarm()

        counted(natd, counter, send)
        before = natd.counters()["send_packets"]
        sock.sendto(b"x", (SERVER, 9))
        until(lambda: natd.counters()["send_packets"] > before)


@needs_faults
def test_too_big_for_the_raw_socket_but_not_to_be_cut(lab, faulty):
    """Without DF the kernel gets it by way of the device, and it arrives."""
    natd, on_order = faulty()
    client, server = udp_pair(lab)
    with client, server:
        on_order.arm("sendmmsg", error=errno.EMSGSIZE)
        client.sendto(b"cut me", (SERVER, 9000))
        assert server.recv(100) == b"cut me"
    assert on_order.disarm() == 1
    counters = natd.counters()
    assert (counters["send_too_big"], counters["send_packets"], counters["tun_write"]) == (1, 0, 1)


@needs_faults
@pytest.mark.parametrize("error, counter", [
    (errno.EAGAIN, "tun_write_full"), (errno.ENOBUFS, "tun_write_full"), (errno.ENOMEM, "tun_write_full"),
    (errno.EIO, "tun_write_down"), (errno.EINVAL, "tun_write_invalid"), (errno.EPERM, "tun_write_error")])
def test_refusal_of_the_device_is_counted_by_its_name(lab, faulty, error, counter):
    """About super-packets on their way back; the stream goes on."""
    natd, on_order = faulty()
    with lab.server.tcp_listener(port=8000) as listener, \
            connected(lab.client, listener, (SERVER, 8000), WINDOW) as (sock, accepted):
        on_order.arm(("writev", "write"), error=error, repeat=2)
        for sent, received in both_ways(sock, accepted, some_bytes(BYTES)):
            assert sent == received
    assert on_order.disarm() == 3
    assert natd.counters()[counter] == 3


# ---- what a kernel does not have ----

def every_kind(lab):
    """TCP both ways, and bursts of datagrams out and back: all arrives."""
    with lab.server.tcp_listener(port=8000) as listener, \
            connected(lab.client, listener, (SERVER, 8000), WINDOW) as (sock, accepted):
        for sent, received in both_ways(sock, accepted, some_bytes(BYTES)):
            assert sent == received
    client, server = udp_pair(lab)
    with client, server:
        _, natted = udp_file(client, server, (SERVER, 9000), some_bytes(BYTES), 1200)
        udp_file(server, client, natted, some_bytes(BYTES), 1200)


def start_without(natd, on_order, refusals, notice):
    """natd on a kernel that refuses this many ways to set up the device's offloads (which ioctl() of the start is the first, is
    found out)."""
    assert natd.stop() == 0
    for call in range(1, 10):
        on_order.arm("ioctl", call=call, repeat=refusals - 1, error=errno.EINVAL)
        natd.launch()
        until(lambda: natd.process.poll() is not None or "natd: ready" in natd.log, timeout=10)
        if on_order.disarm() == refusals and natd.process.poll() is None and notice in natd.text():
            return
        if natd.process.poll() is None:
            natd.stop()
    raise AssertionError(f"no failing ioctl() makes natd say {notice!r}:\n{natd.text()}")


@needs_faults
@pytest.mark.parametrize("refusals, notice, super_packets", [
    (1, "has no large UDP packets", True), (2, "has no large packets", False), (3, "has no large packets", False),
    (1, "has no large packets", False)])
def test_kernel_without_a_feature(lab, faulty, refusals, notice, super_packets):
    """Without USO; without TSO; without partial checksums too; without virtio headers. It is said once."""
    natd, on_order = faulty()
    start_without(natd, on_order, refusals, notice)
    every_kind(lab)
    counters = natd.counters()
    assert (counters["tun_read_super"] > 0, counters["tun_joined"]) == (super_packets, 0)
    assert natd.text().count("this kernel") == 1


def numbered_burst(client, count):
    """Sends single datagrams, as fast as they go: natd reads several at once."""
    for i in range(count):
        client.sendto(i.to_bytes(4, "big") + bytes(96), (SERVER, 9000))


@needs_faults
def test_kernel_that_takes_no_joined_datagrams(lab, faulty):
    """natd logs it once, and sends every datagram by itself: none is lost, and they arrive in order."""
    natd, on_order = faulty()
    client, server = udp_pair(lab)
    with client, server:
        client.sendto(bytes(100), (SERVER, 9000))
        server.recv(100)
        on_order.arm("writev", error=errno.EINVAL, repeat=10000)

        def refused():
            natd.send_signal(signal.SIGSTOP)
            numbered_burst(client, 32)
            natd.send_signal(signal.SIGCONT)
            assert [server.recv(200)[:4] for _ in range(32)] == [i.to_bytes(4, "big") for i in range(32)]
            return on_order.hit() == 1

        until(refused)
        for _ in range(3):
            refused()
    assert on_order.disarm() == 1
    assert natd.counters()["tun_joined"] == 0
    assert natd.text().count("accepts no joined datagrams") == 1
