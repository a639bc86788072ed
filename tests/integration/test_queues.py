# SPDX-License-Identifier: ISC
"""Several TUN queues, a worker each; and datagrams that leave as one super-packet."""
import contextlib
import re
import socket
import threading

import pytest

from conftest import needs
from netlab import Lab
from test_basic import curl
from test_capture import Capture, exchange
from test_dataplane import download, upload
from test_public_address import answer, ask, objects
from test_public_address import server as stun_server

SERVER = Lab.SERVERS[0]
COUNT = 3000


def burst(s, size):
    """Sends numbered datagrams as fast as it can."""
    for i in range(COUNT):
        s.send(i.to_bytes(4, "big") + bytes([size & 255]) * (size - 4))


def receive(s, got):
    """Notes number, size, content and sender of what comes, until nothing does for a second."""
    s.settimeout(1)
    with contextlib.suppress(socket.timeout):
        while True:
            data, sender = s.recvfrom(65535)
            got.append((int.from_bytes(data[:4], "big"), len(data), len(set(data[4:])), sender))


def send_and_receive(lab, flows):
    got = []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(lab.server.udp(port=9000))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
        clients = [(stack.enter_context(lab.client.udp(port=sport)), size) for sport, size in flows]
        for s, _ in clients:
            s.connect((SERVER, 9000))
        threads = [threading.Thread(target=receive, args=(server, got))]
        threads += [threading.Thread(target=burst, args=pair) for pair in clients]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    return got


@pytest.mark.parametrize("queues", [1, 2])
def test_joined_datagrams_arrive_whole_and_in_order(lab, start_natd, queues):
    """What of a burst arrives is what was sent, each flow in its order and from one outside port."""
    natd = start_natd({"more": f"tun = {{ queues = {queues}; }};"})
    flows = [(5000, 30), (5001, 700), (5002, 1400)]
    got = send_and_receive(lab, flows)
    assert natd.counters()["tun_joined"] > 0
    by_port = {}
    for number, size, kinds, sender in got:
        by_port.setdefault(sender, []).append((number, size, kinds))
    assert len(by_port) == len(flows)
    assert {s for items in by_port.values() for _, s, _ in items} == {size for _, size in flows}
    for items in by_port.values():
        assert len({size for _, size, _ in items}) == 1 and all(kinds == 1 for _, _, kinds in items)
        numbers = [n for n, _, _ in items]
        assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("queues", [0, 2, 4])
def test_workers_do_the_whole_job(lab, start_natd, http_server, tmp_path, queues):
    natd = start_natd({"more": f"tun = {{ queues = {queues}; }};"})
    http_server()
    assert upload(lab, tmp_path) and download(lab)
    lab.client.run("ping", "-c", "2", "-i", "0.2", "-W", "2", SERVER)
    assert natd.ctl("reload").returncode == 0
    assert len(natd.ctl("list").stdout.splitlines()) >= 2
    assert curl(lab.client, f"http://{SERVER}/ip")
    counters = natd.counters()
    assert counters["tun_read"] > 0 and counters["tun_read_error"] == 0


@needs("libpcap")
def test_capture_and_public_address_with_several_queues(lab, start_natd):
    """Each worker's packets are captured, in order within a flow, and a STUN answer finds its way back from any worker."""
    natd = start_natd({"more": "tun = { queues = 2; };"})
    flows = range(5320, 5328)
    capture = Capture(natd, "-c", 4 * len(flows), "udp portrange 5320-5327 or udp")
    for port in flows:
        exchange(lab, port)
    lines = capture.end(None)[0].decode().splitlines()
    for port in flows:
        of_flow = [line.split()[1:3] for line in lines if re.search(rf"[:> ].*:{port}\b", line)]
        assert of_flow == [["inside", "in"], ["outside", "out"], ["outside", "in"], ["inside", "out"]], of_flow
    assert len({re.search(r"session=(\d+)", line).group(1) for line in lines}) == len(flows)

    def reply(sock, sender, tid):
        sock.sendto(answer(tid, sender[0], sender[1]), sender)

    for _ in range(4):
        with stun_server(lab, 4478, reply):
            assert objects(ask(natd, 4478))[0]["nat"] is False
