# SPDX-License-Identifier: ISC
"""The main job: what a user behind natd does all day."""
import concurrent.futures
import hashlib
import re

import pytest

from conftest import some_bytes
from netlab import Lab

BULK_BYTES = 20 * 1000 * 1000
SERVER = Lab.SERVERS[0]


def curl(namespace, *arguments):
    return namespace.run("curl", "-sS", "--fail", "--max-time", "20", *arguments, timeout=25).stdout


def test_server_sees_the_outside_address(lab, natd, http_server):
    http_server()
    address, port = curl(lab.client, f"http://{SERVER}/whoami").split()
    assert address == Lab.OUTSIDE
    entry, = natd.json("list", "-p", "tcp")
    assert entry["inside"]["address"] == Lab.CLIENTS[0]
    assert entry["outside"] == {"address": Lab.OUTSIDE, "port": int(port)}
    assert entry["remote"] == {"address": SERVER, "port": 80}


def test_download_of_20_mb_arrives_whole(lab, natd, http_server):
    http_server()
    done = lab.client.run("curl", "-sS", "--fail", "--max-time", "20", f"http://{SERVER}/bytes/{BULK_BYTES}",
                          text=False, timeout=25)
    assert hashlib.sha256(done.stdout).hexdigest() == hashlib.sha256(some_bytes(BULK_BYTES)).hexdigest()


def test_upload_of_20_mb_arrives_whole(lab, natd, http_server, tmp_path):
    http_server()
    data = some_bytes(BULK_BYTES)
    (tmp_path / "upload").write_bytes(data)
    assert curl(lab.client, "-T", tmp_path / "upload", f"http://{SERVER}/") == hashlib.sha256(data).hexdigest()


def test_200_parallel_connections_each_get_their_own_answer(lab, natd, http_server):
    http_server()

    def fetch(number):
        with (lab.clients[number % 2]).socket() as sock:
            sock.connect((SERVER, 80))
            sock.sendall(f"GET /bytes/{10000 + number} HTTP/1.0\r\n\r\n".encode())
            answer = b""
            while data := sock.recv(65536):
                answer += data
            return answer.split(b"\r\n\r\n", 1)[1] == some_bytes(10000 + number)

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        assert all(pool.map(fetch, range(200)))
    assert int(natd.ctl("count", "-p", "tcp").stdout) == 200


def test_udp_answer_comes_back(lab, natd, udp_echo):
    udp_echo()
    with lab.client.udp() as sock:
        sock.sendto(b"hello", (SERVER, 7))
        answer, sender = sock.recvfrom(1000)
        inside_port = sock.getsockname()[1]
    assert sender == (SERVER, 7)
    address, port, text = answer.decode().split()
    assert (address, text) == (Lab.OUTSIDE, "hello")
    entry, = natd.json("list", "-p", "udp")
    assert (entry["inside"]["port"], entry["outside"]["port"]) == (inside_port, int(port))


def test_large_datagrams_arrive_in_fragments_both_ways(lab, natd, udp_echo):
    udp_echo()
    with lab.client.udp() as sock:
        for size in (1473, 4000, 30000):
            data = some_bytes(size)
            sock.sendto(data, (SERVER, 7))
            assert sock.recvfrom(65536)[0].split(b" ", 2)[2] == data


def test_two_hosts_with_one_source_port_are_told_apart(lab, natd, udp_echo):
    udp_echo()
    socks = [client.udp(port=5353) for client in lab.clients]
    for i, sock in enumerate(socks):
        sock.sendto(str(i).encode(), (SERVER, 7))
    answers = [sock.recvfrom(1000)[0].decode().split() for sock in socks]
    assert [text for _, _, text in answers] == ["0", "1"]
    assert answers[0][1] != answers[1][1]
    for sock in socks:
        sock.close()


def test_one_mapping_for_all_remote_hosts(lab, natd, udp_echo):
    for server in lab.servers:
        udp_echo(server)
    with lab.client.udp() as sock:
        seen = set()
        for address in Lab.SERVERS:
            sock.sendto(b"x", (address, 7))
            seen.add(tuple(sock.recvfrom(1000)[0].split()[:2]))
    assert len(seen) == 1


def test_ping(lab, natd):
    text = lab.client.run("ping", "-c", "3", "-i", "0.05", "-W", "5", SERVER).stdout
    assert "3 received" in text
    entry, = natd.json("list", "-p", "icmp")
    assert entry["state"] is None or isinstance(entry["state"], str)
    assert (entry["out"]["packets"], entry["in"]["packets"]) == (3, 3)


def test_ping_with_large_packets(lab, natd):
    assert "2 received" in lab.client.run("ping", "-c", "2", "-i", "0.05", "-W", "5", "-s", "5000", SERVER).stdout


@pytest.mark.parametrize("method", ["-I", "-U", "-T"])
def test_traceroute_names_each_hop(lab, natd, method):
    text = lab.client.run("traceroute", "-n", "-q", "1", "-w", "3", "-m", "6", method, SERVER).stdout
    hops = re.findall(r"^ *\d+ +(\S+)", text, re.MULTILINE)
    assert hops == [Lab.GATEWAY_INSIDE, Lab.ROUTER, SERVER], text


def test_unreachable_port_is_reported_to_the_client(lab, natd):
    with lab.client.udp() as sock:
        sock.connect((SERVER, 9))
        sock.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            sock.recv(100)


def test_refused_connection_is_refused(lab, natd):
    with lab.client.socket() as sock, pytest.raises(ConnectionRefusedError):
        sock.connect((SERVER, 9))


def test_forward_is_reached_from_outside(lab, start_natd, http_server):
    natd = start_natd({"more": 'forwards = ( { name = "web"; protocol = "tcp"; port = 80; to = "10.8.0.2:8080"; } );'})
    http_server(lab.client, 8080)
    assert curl(lab.server, f"http://{Lab.OUTSIDE}/whoami").split()[0] == SERVER
    entry, = natd.json("list", "--forward", "web")
    assert entry["forward"] == "web"
    assert entry["inside"] == {"address": Lab.CLIENTS[0], "port": 8080}
    assert entry["outside"] == {"address": Lab.OUTSIDE, "port": 80}


def test_forward_of_udp_answers_from_the_forwarded_port(lab, start_natd, udp_echo):
    start_natd({"more": 'forwards = ( { name = "echo"; protocol = "udp"; port = 7000; to = "10.8.0.2:7"; } );'})
    udp_echo(lab.client)
    with lab.server.udp() as sock:
        sock.sendto(b"hi", (Lab.OUTSIDE, 7000))
        answer, sender = sock.recvfrom(100)
    assert sender == (Lab.OUTSIDE, 7000)
    assert answer.split()[0] == SERVER.encode()


def test_forward_is_reached_from_inside(lab, start_natd, http_server):
    start_natd({"more": 'forwards = ( { name = "web"; protocol = "tcp"; port = 80; to = "10.8.0.2:8080"; } );'})
    http_server(lab.client, 8080)
    assert curl(lab.clients[1], f"http://{Lab.OUTSIDE}/whoami").split()[0] == Lab.OUTSIDE


def test_no_inside_address_is_ever_seen_outside(lab, natd, http_server, udp_echo):
    http_server()
    udp_echo()
    with lab.router.capture("up0") as seen:
        curl(lab.client, "-o", "/dev/null", f"http://{SERVER}/bytes/100000")
        lab.client.run("ping", "-c", "1", "-W", "5", SERVER)
        with lab.client.udp() as sock:
            sock.sendto(b"x" * 4000, (SERVER, 7))
            sock.recvfrom(65536)
        packets = seen.so_far()
    assert packets
    assert {p.src for p in packets} <= {Lab.OUTSIDE, SERVER, Lab.ROUTER}
