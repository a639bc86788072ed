# SPDX-License-Identifier: ISC
"""natctl capture: packets on both sides, and what became of each. One natd for the module."""
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import time

import pytest
from scapy.layers.inet import IP, UDP

import netlab
from conftest import NATCTL, Natd, needs
from netlab import Lab
from test_control import as_nobody

SERVER = Lab.SERVERS[0]
A = Lab.CLIENTS[0]
OUT = Lab.OUTSIDE

pytestmark = needs("libpcap")


@pytest.fixture(scope="module", name="lab")
def module_lab():
    made = netlab.Lab()
    yield made
    made.close()


@pytest.fixture(scope="module", name="natd")
def module_natd(lab):
    one = Natd(lab.gateway, {}, options=["-v"])
    one.start()
    yield one
    one.close()


class Capture:
    """natctl capture with these arguments, begun."""

    def __init__(self, natd, *arguments, output=subprocess.PIPE):
        self.process = subprocess.Popen([NATCTL, "-s", natd.socket, "capture", *map(str, arguments)], stdout=output,
                                        stderr=subprocess.PIPE)
        first = self.process.stderr.readline().decode()
        assert first.startswith("natctl: capturing"), first + self.process.stderr.read().decode()

    def end(self, how=signal.SIGINT):
        """Interrupts it, or with None waits for its own end: stdout, stderr."""
        if how is not None:
            self.process.send_signal(how)
        out, err = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, err
        return out, err.decode()


def exchange(lab, port, payload=b"question", answer=b"answer", client=None):
    """A datagram from an inside host to the server and back."""
    with lab.server.udp(port=port) as far, (client or lab.client).udp(port=port) as near:
        near.sendto(payload, (SERVER, port))
        far.settimeout(5)
        _, sender = far.recvfrom(65535)
        far.sendto(answer, sender)
        near.settimeout(5)
        near.recv(65535)
        return sender


def blocks(data):
    """The blocks of a pcapng file: (type, body). Each must be whole, and end with its own length."""
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        assert length % 4 == 0 and at + length <= len(data), (at, length)
        assert struct.unpack_from("<I", data, at + length - 4) == (length,)
        yield kind, data[at + 8:at + length - 4]
        at += length


def options(data):
    """{code: value}"""
    found, at = {}, 0
    while True:
        code, length = struct.unpack_from("<HH", data, at)
        if code == 0:
            return found
        found[code] = data[at + 4:at + 4 + length]
        at += 4 + (length + 3) // 4 * 4


def parse(data):
    """Packets of a pcapng file: (interface, comment, packet), and those lost."""
    names, packets, lost = [], [], 0
    for kind, body in blocks(data):
        if kind == 1:
            assert struct.unpack_from("<H", body) == (228,)
            names.append(options(body[8:])[2].decode())
        elif kind == 6:
            interface, _, _, length, wire = struct.unpack_from("<5I", body)
            assert length <= wire
            at = 20 + (length + 3) // 4 * 4
            packets.append((names[interface], options(body[at:])[1].decode(), IP(body[20:20 + length])))
        elif kind == 5:
            lost += struct.unpack("<Q", options(body[12:])[5])[0]
    return packets, lost


def read(path):
    return parse(path.read_bytes())[0]


def wait_packets(path, count):
    """Until the file holds that many."""
    end = time.monotonic() + 10
    while True:
        try:
            if len(read(path)) >= count:
                return
        except (AssertionError, struct.error):  # a block that is half written
            pass
        assert time.monotonic() < end, path.stat().st_size
        time.sleep(0.02)


def test_capture_has_both_sides_and_what_became_of_each_packet(lab, natd, tmp_path):
    path = tmp_path / "both.pcapng"
    capture = Capture(natd, "-w", path, "-c", 4, "udp port 5301")
    sender = exchange(lab, 5301)
    err = capture.end(None)[1]
    assert "natctl: 4 packets have been captured.\n" == err
    packets = read(path)
    session = natd.json("list", "--dport", 5301)[0]["id"]
    comment = f"session={session} inside={A}:5301 outside={OUT}:{sender[1]} remote={SERVER}:5301"
    assert [(side, text) for side, text, _ in packets] == [
        ("inside", comment), ("outside", comment), ("outside", comment), ("inside", comment)]
    tuples = [(p[IP].src, p[UDP].sport, p[IP].dst, p[UDP].dport, bytes(p[UDP].payload)) for _, _, p in packets]
    assert tuples == [(A, 5301, SERVER, 5301, b"question"), (OUT, sender[1], SERVER, 5301, b"question"),
                      (SERVER, 5301, OUT, sender[1], b"answer"), (SERVER, 5301, A, 5301, b"answer")]
    assert path.stat().st_mode & 0o777 == 0o600
    for _, _, p in packets:  # whole, though the kernel hands them over unfinished
        again = IP(bytes(p[IP]))
        del again.chksum, again[UDP].chksum
        again = IP(bytes(again))
        assert (p[IP].chksum, p[UDP].chksum) == (again.chksum, again[UDP].chksum)


def test_capture_is_read_by_tshark_and_capinfos(lab, natd, tmp_path):
    if not shutil.which("tshark") or not shutil.which("capinfos"):
        pytest.skip("tshark is not installed")
    path = tmp_path / "shark.pcapng"
    capture = Capture(natd, "-w", path, "udp", "port", "5302")
    exchange(lab, 5302)
    wait_packets(path, 4)
    capture.end()
    shown = subprocess.run(["tshark", "-n", "-r", str(path), "-T", "fields", "-e", "frame.interface_name", "-e",
                            "frame.comment", "-e", "ip.src"], capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in shown.splitlines()]
    assert [(row[0], row[2]) for row in rows] == [("inside", A), ("outside", OUT), ("outside", SERVER),
                                                  ("inside", SERVER)]
    assert all(row[1].startswith("session=") for row in rows)
    info = subprocess.run(["capinfos", "-M", str(path)], capture_output=True, text=True, check=True).stdout
    assert re.search(r"Number of packets:\s+4$", info, re.M), info
    assert "nanoseconds (9)" in info and "Name = inside" in info and "Name = outside" in info


def test_capture_names_the_reason_of_a_drop(lab, natd):
    port = exchange(lab, 5303)[1] ^ 1
    capture = Capture(natd, "-c", 1, f"dst port {port}")
    lab.server.send_ip(IP(src=SERVER, dst=OUT) / UDP(sport=5303, dport=port) / b"unasked")
    line = capture.end(None)[0].decode()
    assert re.search(rf"^\[\d+\.\d{{6}}\] outside in +udp {SERVER}:5303 > {OUT}:{port} length 35 drop_unsolicited$", line)


def test_capture_filters_by_session_criteria_and_side(lab, natd):
    capture = Capture(natd, "-c", 2, "-p", "udp", "--dport", 5305, "--side", "outside")
    exchange(lab, 5304)
    sender = exchange(lab, 5305)
    lines = capture.end(None)[0].decode().splitlines()
    assert [line.split()[1:3] for line in lines] == [["outside", "out"], ["outside", "in"]]
    assert f"{OUT}:{sender[1]} > {SERVER}:5305" in lines[0] and f"{SERVER}:5305 > {OUT}:{sender[1]}" in lines[1]


def test_capture_of_one_session_by_its_id(lab, natd):
    exchange(lab, 5306)
    session = natd.json("list", "--dport", 5306)[0]["id"]
    capture = Capture(natd, "-c", 4, "-i", session)
    exchange(lab, 5307)
    exchange(lab, 5306)
    lines = capture.end(None)[0].decode().splitlines()
    assert len(lines) == 4 and all(f" session={session} " in line for line in lines)


def test_expression_that_one_side_matches_shows_both(lab, natd):
    capture = Capture(natd, "-c", 4, "host", A, "and", "port", "5308")
    sender = exchange(lab, 5308)
    text = capture.end(None)[0].decode()
    assert f"{OUT}:{sender[1]} > {SERVER}:5308" in text and f"{SERVER}:5308 > {A}:5308" in text


def test_capture_as_json_says_the_same(lab, natd):
    out = subprocess.Popen([NATCTL, "-s", natd.socket, "-j", "capture", "-c", "2", "udp port 5309"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert b"capturing" in out.stderr.readline()
    exchange(lab, 5309)
    came, left = (json.loads(line) for line in out.communicate(timeout=20)[0].splitlines())
    assert (came["side"], came["direction"], came["to"], came["source"]) == ("inside", "in", "outside", f"{A}:5309")
    assert (left["side"], left["direction"], left["reason"], left["protocol"]) == ("outside", "out", None, "udp")
    assert came["session"] == left["session"] and came["length"] == 36


def test_capture_ends_by_itself_after_a_time(natd):
    assert Capture(natd, "-t", 1, "dst port 1").end(None)[1] == "natctl: 0 packets have been captured.\n"


def test_capture_into_a_pipe_is_a_whole_file(lab, natd, tmp_path):
    capture = Capture(natd, "-w", "-", "-c", 4, "udp port 5310")
    exchange(lab, 5310)
    path = tmp_path / "pipe.pcapng"
    path.write_bytes(capture.end(None)[0])
    assert len(read(path)) == 4
    assert [kind for kind, _ in blocks(path.read_bytes())] == [0x0a0d0d0a, 1, 1, 6, 6, 6, 6, 5, 5]


def test_fragments_and_their_first_share_a_session(lab, natd, tmp_path):
    path = tmp_path / "fragments.pcapng"
    capture = Capture(natd, "-w", path, "-c", 6, f"src host {A} and not port 53")
    exchange(lab, 5311, payload=b"f" * 4000)
    capture.end(None)
    packets = read(path)
    comments = {text for _, text, _ in packets}
    assert len(packets) == 6 and len(comments) == 1 and comments.pop().startswith("session=")
    assert [p[IP].frag for side, _, p in packets if side == "outside"] == [0, 185, 370]


def test_lost_packets_are_counted(lab, natd):
    capture = Capture(natd, "udp port 5314", output=subprocess.PIPE)
    capture.process.send_signal(signal.SIGSTOP)
    with lab.server.udp(port=5314) as far, lab.client.udp(port=5314) as near:
        far.settimeout(5)
        for _ in range(3500):
            near.sendto(b"x" * 1400, (SERVER, 5314))
            far.recv(2000)
    capture.process.send_signal(signal.SIGCONT)
    lines = 0
    for line in capture.process.stdout:
        lines += 1
        if lines == 100:
            break
    # The last datagram comes after the loss, so natctl has reported that before it.
    with lab.server.udp(port=5314) as far, lab.client.udp(port=5314) as near:
        far.settimeout(5)
        near.sendto(b"last", (SERVER, 5314))
        far.recv(2000)
    for line in capture.process.stdout:
        lines += 1
        if b"length 32 " in line and b"outside out" in line:
            break
    err = capture.end()[1]
    shown, lost = map(int, re.fullmatch(r"natctl: (\d+) packets have been captured, (\d+) more were lost: .*\n",
                                        err).groups())
    assert shown == lines and shown + lost == 2 * 3501


def test_captures_at_once_are_bounded(natd):
    running = [Capture(natd, "icmp") for _ in range(4)]
    try:
        refused = natd.ctl("capture", check=False)
        assert refused.returncode == 1 and "4 captures are running already" in refused.stderr
    finally:
        for one in running:
            one.end()
    Capture(natd, "icmp").end()


def test_reader_that_dies_gives_its_place_back(natd):
    for _ in range(6):
        one = Capture(natd, "icmp")
        one.process.kill()
        one.process.communicate()
    Capture(natd, "icmp").end()
    natd.wait_log("a capture of packets has ended")


def test_only_those_who_may_change_things_may_capture(natd):
    os.chmod(natd.socket, 0o666)
    for expression in ("icmp", " or ".join(f"port {port}" for port in range(1, 200))):
        done = as_nobody(natd, "capture", "-c", "1", expression)
        assert (done.returncode, done.stdout) == (1, "") and "only root" in done.stderr


def test_long_expression_is_compiled_and_run(lab, natd):
    capture = Capture(natd, "-c", 4, " or ".join(f"port {port}" for port in range(5316, 5466)))
    exchange(lab, 5300)
    exchange(lab, 5465)
    assert all(":5465" in line for line in capture.end(None)[0].decode().splitlines())


@pytest.mark.parametrize("arguments, error", [
    (["tcp", "prot", "80"], "is not an expression of pcap-filter(7)"),
    (["ether host 1:2:3:4:5:6"], "is not an expression of pcap-filter(7)"),
    (["-c", "0"], "is not a number from 1 up"),
    (["-t", "x"], "is not a number from 1 up"),
    (["--side", "left"], "is not inside, outside or both"),
])
def test_capture_that_is_not_understood_is_refused_in_one_line(natd, arguments, error):
    done = natd.ctl("capture", *arguments, check=False)
    assert done.returncode == 2 and error in done.stderr.splitlines()[0]


def test_file_that_cannot_be_written_is_said(natd):
    done = natd.ctl("capture", "-w", "/nowhere/x.pcapng", check=False)
    assert done.returncode == 1 and "cannot write /nowhere/x.pcapng: No such file" in done.stderr
