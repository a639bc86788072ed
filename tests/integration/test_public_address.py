# SPDX-License-Identifier: ISC
"""natctl public-address: what STUN servers see of each outside address: coturn, and servers that lie. One natd for the module, with an
address shared with the host and a pool's one from 100.64.0.0/10."""
import contextlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest

import netlab
from conftest import Natd
from netlab import Lab
from test_control import as_nobody

SERVER, SECOND = Lab.SERVERS[0], "198.51.100.11"
OUT, POOL = Lab.OUTSIDE, "100.64.0.5"
COOKIE = 0x2112a442
CONFIG = {"addresses": f'[ "interface", "{POOL}" ]'}


@pytest.fixture(scope="module", name="lab")
def module_lab():
    made = netlab.Lab()
    made.server.run("ip", "addr", "add", f"{SECOND}/24", "dev", "eth0")
    made.router.run("ip", "route", "add", POOL, "via", OUT)
    yield made
    made.close()


@pytest.fixture(scope="module", name="natd")
def module_natd(lab):
    one = Natd(lab.gateway, CONFIG, options=["-v"])
    one.start()
    yield one
    one.close()


@pytest.fixture(scope="module", name="coturn")
def module_coturn(lab, tmp_path_factory):
    """coturn with two addresses, as RFC 5780 wants."""
    if not shutil.which("turnserver"):
        pytest.skip("coturn is not installed")
    directory = tmp_path_factory.mktemp("coturn")
    log = open(directory / "log", "w+b")  # pylint: disable=consider-using-with
    server = lab.server.start("turnserver", "-n", "--stun-only", "-L", SERVER, "-L", SECOND, "--no-tls", "--no-dtls", "--no-cli",
                              "--simple-log", "-l", "stdout", "--pidfile", str(directory / "pid"), "-b", str(directory / "db"),
                              stdout=log, stderr=subprocess.STDOUT)
    wait = lab.server.udp()  # until it answers itself
    wait.settimeout(0.2)
    for _ in range(100):
        wait.sendto(struct.pack("!HHI12s", 1, 0, COOKIE, b"is it ready?"), (SERVER, 3478))
        with contextlib.suppress(OSError):
            wait.recv(1000)
            break
    else:
        raise AssertionError((directory / "log").read_text())
    wait.close()
    yield SERVER
    netlab.stop(server)
    log.close()


def wait_until(predicate, timeout):
    end = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < end
        time.sleep(0.2)


def objects(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_server_sees_each_outside_address_and_how_natd_maps_and_filters(natd, coturn):
    done = natd.ctl("-j", "public-address", "--stun", coturn, timeout=60)
    seen = {o["own"]: o for o in objects(done)}
    assert set(seen) == {OUT, POOL}
    for own, o in seen.items():
        assert o == {"own": own, "stun": own, "nat": False, "mapping": "endpoint-independent",
                     "filtering": "address-dependent"}
    text = natd.ctl("public-address", "--stun", f"{coturn}:3478", "--address", OUT, timeout=60).stdout
    assert text == f"own={OUT} stun={OUT} nat=no mapping=endpoint-independent filtering=address-dependent\n"


def test_mapping_and_filtering_by_address_and_port_are_named(natd, coturn):
    natd.write_config({**CONFIG, "more": 'translation = { mapping = "address-and-port-dependent"; '
                       'filtering = "address-and-port-dependent"; };'})
    natd.ctl("reload")
    try:
        done = natd.ctl("-j", "public-address", "--stun", coturn, "--address", OUT, timeout=60)
        o = objects(done)[0]
        assert (o["mapping"], o["filtering"]) == ("address-and-port-dependent", "address-and-port-dependent")
    finally:
        natd.write_config(CONFIG)
        natd.ctl("reload")


def test_server_of_the_configuration_is_asked(natd, coturn):
    none = natd.ctl("public-address", check=False)
    assert none.returncode == 2 and "no STUN server is known: give --stun HOST[:PORT], or set outside.stun" in none.stderr
    natd.write_config({**CONFIG, "outside": f'stun = "{coturn}:3478";'})
    natd.ctl("reload")
    assert f"own={OUT} stun={OUT} nat=no" in natd.ctl("public-address", "--address", OUT, timeout=60).stdout
    natd.write_config(CONFIG)
    natd.ctl("reload")


# ---- servers of our own ----

def answer(tid, address, port=None, kind=0x0101, more=b""):
    body = struct.pack("!HHBBHI", 0x20, 8, 0, 1, (port or 1) ^ COOKIE >> 16,
                       struct.unpack("!I", socket.inet_aton(address))[0] ^ COOKIE) + more
    return struct.pack("!HHI12s", kind, len(body), COOKIE, tid) + body


@contextlib.contextmanager
def server(lab, port, reply):
    """Calls reply(sock, sender, id) for each request. Yields the list of senders."""
    senders = []
    sock = lab.server.udp(SERVER, port)
    sock.settimeout(None)

    def serve():
        while True:
            data, sender = sock.recvfrom(2000)
            if data == b"end":
                return
            if len(data) != 20:  # with CHANGE-REQUEST
                continue
            assert data[:2] == b"\0\1"
            senders.append((*sender, data[8:20]))
            reply(sock, sender, data[8:20])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield senders
    with lab.server.udp() as ender:
        ender.sendto(b"end", (SERVER, port))
    thread.join(5)
    sock.close()


def ask(natd, port, *more, check=True):
    return natd.ctl("-j", "public-address", "--stun", f"{SERVER}:{port}", "--address", OUT, *more, check=check, timeout=30)


def test_another_nat_is_told_and_named_by_its_address_space(lab, natd):
    def reply(sock, sender, tid):
        sock.sendto(answer(tid, "192.0.2.99", 5555), sender)

    with server(lab, 4478, reply):
        o = objects(ask(natd, 4478))[0]
        text = natd.ctl("public-address", "--stun", f"{SERVER}:4478").stdout
    assert o == {"own": OUT, "stun": "192.0.2.99", "nat": True, "mapping": None, "filtering": None}
    assert f"{OUT}: you are behind another NAT\n" in text
    assert f"{POOL}: you are behind another NAT, your provider's: 100.64.0.0/10" in text


def test_first_answer_is_lost_and_the_same_request_comes_again(lab, natd):
    seen = []

    def reply(sock, sender, tid):
        seen.append(tid)
        if len(seen) > 1:
            sock.sendto(answer(tid, sender[0], sender[1]), sender)

    with server(lab, 4479, reply) as senders:
        assert objects(ask(natd, 4479))[0]["nat"] is False
    assert len(seen) == 2 and senders[0] == senders[1]


def test_only_the_asked_server_and_only_this_transaction_count(lab, natd):
    other = lab.server.udp(SERVER, 4481)

    def reply(sock, sender, tid):
        sock.sendto(b"", sender)
        sock.sendto(b"rubbish" * 100, sender)
        sock.sendto(answer(bytes(12), "192.0.2.1"), sender)  # another id
        sock.sendto(answer(tid, "192.0.2.2")[:-4], sender)  # cut
        sock.sendto(answer(tid, "192.0.2.3", kind=0x0001), sender)  # a request
        sock.sendto(answer(tid, "192.0.2.4", more=b"\x7f\x00\x00\x00"), sender)  # what must be understood
        other.sendto(answer(tid, "192.0.2.5"), sender)  # another port of the same host
        sock.sendto(answer(tid, sender[0], sender[1]), sender)

    with server(lab, 4480, reply), other:
        o = objects(ask(natd, 4480))[0]
    assert (o["stun"], o["nat"]) == (OUT, False)


def test_alternate_address_that_is_inside_is_not_asked(lab, natd):
    """A server may not make natd send to inside hosts, nor to natd itself."""
    def reply(sock, sender, tid):
        inside = struct.pack("!HHBBH4s", 0x802c, 8, 0, 1, 9, socket.inet_aton(Lab.CLIENTS[0]))
        sock.sendto(answer(tid, sender[0], sender[1], more=inside), sender)

    with server(lab, 4482, reply), lab.client.capture() as seen:
        o = objects(ask(natd, 4482))[0]
        assert not [p for p in seen.so_far() if p.haslayer("UDP") and p["UDP"].dport == 9]
    assert o["stun"] == OUT and o["mapping"] is None


def test_server_that_does_not_answer_and_one_that_refuses(lab, natd):
    done = ask(natd, 4499, check=False)
    assert done.returncode == 1 and f"the STUN server {SERVER}:4499 does not answer" in done.stderr
    assert objects(done) == [{"own": OUT, "stun": None, "nat": None, "mapping": None, "filtering": None}]

    def reply(sock, sender, tid):
        sock.sendto(struct.pack("!HHI12sHHHBB", 0x0111, 8, COOKIE, tid, 9, 4, 0, 4, 0), sender)

    with server(lab, 4483, reply):
        done = ask(natd, 4483, check=False)
    assert done.returncode == 1 and "answers with error 400" in done.stderr


def test_temporary_mappings_end_by_themselves(lab, natd):
    def reply(sock, sender, tid):
        sock.sendto(answer(tid, sender[0], sender[1]), sender)

    with server(lab, 4484, reply):
        ask(natd, 4484)
        line = natd.ctl("list", "--dport", 4484).stdout
        assert "src=192.0.0.8" in line, line
        wait_until(lambda: natd.ctl("count", "-s", "192.0.0.8").stdout == "0\n", 30)


@pytest.mark.parametrize("arguments, status, error", [
    (["--stun", "host:0"], 2, "is not HOST or HOST:PORT"),
    (["--stun", ":3478"], 2, "is not HOST or HOST:PORT"),
    (["--stun", SERVER, "--address", "x"], 2, "is not an IPv4 address"),
    (["--stun", SERVER, "more"], 2, "is one argument too many"),
    (["--stun", SERVER, "--address", "192.0.2.1"], 1, "not one of natd's outside addresses"),
    (["--stun", Lab.CLIENTS[0]], 1, "is not outside"),
    (["--stun", OUT], 1, "is not outside"),
])
def test_what_cannot_be_asked_is_refused_in_one_line(natd, arguments, status, error):
    done = natd.ctl("public-address", *arguments, check=False)
    assert done.returncode == status and re.search(re.escape(error), done.stderr.splitlines()[0]), done.stderr


def test_only_those_who_may_change_things_may_send(natd):
    os.chmod(natd.socket, 0o666)
    done = as_nobody(natd, "public-address", "--stun", SERVER, "--address", OUT)
    assert done.returncode == 1 and "only root" in done.stderr
