# SPDX-License-Identifier: ISC
"""natctl and the control socket: what a user types and reads, and what those who abuse it get."""
import contextlib
import fcntl
import json
import os
import pty
import re
import socket
import struct
import subprocess
import termios

import pytest

from conftest import NATCTL
from netlab import Lab

SERVER = Lab.SERVERS[0]
CLIENT = Lab.CLIENTS[0]
FORWARD = 'forwards = ( { name = "web"; protocol = "tcp"; port = 80; to = "10.8.0.2:8080"; } );'


def udp_from(namespace, count=1, to=(SERVER, 9), first_port=0):
    """Sends one datagram from each of `count` ports, and waits for nothing."""
    for i in range(count):
        with namespace.udp(port=first_port + i if first_port else 0) as sock:
            sock.sendto(b"x", to)


def wait_count(natd, want, *criteria):
    """Packets pass through natd a moment after they were sent: repeats until natd has counted all."""
    for _ in range(200):
        count = int(natd.ctl("count", *criteria).stdout)
        if count >= want:
            break
    assert count == want
    return count


@pytest.fixture
def sessions(lab, natd, udp_echo):
    """natd with a TCP, an answered UDP, an unanswered UDP and an ICMP session."""
    udp_echo()
    listener = lab.server.tcp_listener(port=443)
    tcp = lab.client.socket()
    tcp.connect((SERVER, 443))
    accepted, _ = listener.accept()
    with lab.client.udp() as sock:
        sock.sendto(b"hello", (SERVER, 7))
        sock.recvfrom(100)
    udp_from(lab.clients[1])
    lab.client.run("ping", "-c1", "-W2", SERVER)
    wait_count(natd, 4)
    yield natd
    for sock in (accepted, tcp, listener):
        sock.close()


LINES = {
    "tcp": r"tcp      6 \d+ ESTABLISHED src=10\.8\.0\.2 dst=198\.51\.100\.10 sport=\d+ dport=443 packets=\d+ bytes=\d+ "
           r"src=198\.51\.100\.10 dst=203\.0\.113\.1 sport=443 dport=\d+ packets=\d+ bytes=\d+ \[ASSURED\] id=\d+",
    "udp": r"udp      17 \d+ src=10\.8\.0\.3 dst=198\.51\.100\.10 sport=\d+ dport=9 packets=1 bytes=29 \[UNREPLIED\] "
           r"src=198\.51\.100\.10 dst=203\.0\.113\.1 sport=9 dport=\d+ packets=0 bytes=0 id=\d+",
    "icmp": r"icmp     1 \d+ src=10\.8\.0\.2 dst=198\.51\.100\.10 type=8 code=0 id=\d+ packets=1 bytes=84 "
            r"src=198\.51\.100\.10 dst=203\.0\.113\.1 type=0 code=0 id=\d+ packets=1 bytes=84 id=\d+",
}


def test_6888_10_list_prints_conntracks_lines(sessions):
    done = sessions.ctl("list")
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert done.stderr == "natctl: 4 flow entries have been shown.\n"
    for protocol, pattern in LINES.items():
        assert any(re.fullmatch(pattern, line) for line in lines), f"{protocol}:\n{done.stdout}"


def test_conntracks_letters_are_commands(sessions):
    strip = re.compile(r"(?<= )\d+(?= (src|[A-Z]))")  # the seconds left
    assert strip.sub("", sessions.ctl("-L").stdout) == strip.sub("", sessions.ctl("list").stdout)
    assert sessions.ctl("-C").stdout == sessions.ctl("count").stdout == "4\n"
    assert "out_packets" in sessions.ctl("-S").stdout
    assert sessions.ctl("-D", "-p", "icmp").stderr == "natctl: 1 flow entries have been deleted.\n"
    assert sessions.ctl("-F").stderr == "natctl: connection tracking table has been emptied.\n"
    assert sessions.ctl("-C").stdout == "0\n"


@pytest.mark.parametrize("criteria, count", [
    ("-p tcp", 1), ("-p udp", 2), ("-p 1", 1), ("-p gre", 0), ("-s 10.8.0.2", 3), ("-s 10.8.0.0/24", 4),
    ("--orig-src 10.8.0.3/32", 1), ("-d 198.51.100.10", 4), ("-d 198.51.100.20", 0), ("-r 198.51.100.0/24", 4),
    ("-q 203.0.113.1", 4), ("--reply-dst 10.8.0.2", 0), ("--dport 443", 1), ("--dport 7", 1), ("--sport 443", 0),
    ("-n", 4), ("-g", 0), ("-n 203.0.113.1 -p tcp", 1), ("-u ASSURED -p tcp", 1), ("-u UNSET", 1), ("-f ipv4", 4),
    ("--reply-port-src 443", 1), ("--icmp-type 8", 1), ("--icmp-type 0", 0), ("conntrack", 4),
    ("--state ESTABLISHED", 1), ("--state TIME_WAIT", 0), ("--forward web", 0), ("-p udp -s 10.8.0.2", 1),
])
def test_filters_agree_in_count_and_list(sessions, criteria, count):
    assert sessions.ctl("count", *criteria.split()).stdout == f"{count}\n"
    assert len(sessions.ctl("list", *criteria.split()).stdout.splitlines()) == count


def test_delete_ends_what_matches_and_nothing_else(sessions):
    done = sessions.ctl("delete", "-p", "udp")
    assert len(done.stdout.splitlines()) == 2 and all(line.startswith("udp ") for line in done.stdout.splitlines())
    assert done.stderr == "natctl: 2 flow entries have been deleted.\n"
    done = sessions.ctl("delete", "-p", "udp", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "natctl: 0 flow entries have been deleted.\n"
    entry = sessions.json("list", "-p", "tcp")[0]
    assert sessions.json("delete", "-i", str(entry["id"]))  # one line of JSON
    assert sessions.ctl("count").stdout == "1\n"
    assert sessions.ctl("delete", check=False).returncode == 2


def test_json_has_the_promised_members(sessions):
    entry, = sessions.json("list", "-p", "tcp")
    assert list(entry) == ["id", "protocol", "state", "timeout", "age", "origin", "forward", "inside", "outside",
                           "remote", "out", "in", "flags"]
    assert (entry["state"], entry["origin"], entry["forward"]) == ("ESTABLISHED", "inside", None)
    assert entry["remote"] == {"address": SERVER, "port": 443}
    assert entry["flags"] == ["ASSURED"] and entry["out"]["packets"] >= 2
    ping, = sessions.json("list", "-p", "icmp")
    assert ping["state"] is None and ping["flags"] == [] and ping["out"] == {"packets": 1, "bytes": 84}
    status = sessions.json("status")
    assert status["sessions"] == 4 and status["addresses"] and isinstance(status["warnings"], list)
    assert sessions.json("count") == {"count": 4}
    assert sessions.json("pools")["pools"][0]["address"] == Lab.OUTSIDE
    assert sessions.json("forwards") == {"forwards": []}
    assert {"id", "severity", "what", "mend"} == set(sessions.json("doctor")["checks"][0])
    mappings = sessions.json("mappings")
    assert len(mappings) == 4
    assert {(m["outside"]["address"], m["outside"]["port"]) for m in mappings} == \
           {(e["outside"]["address"], e["outside"]["port"]) for e in sessions.json("list")}
    assert sessions.json("flush") == {"ended": 4}


def test_forwarded_connection_shows_as_dnat(lab, start_natd):
    natd = start_natd({"more": FORWARD})
    with lab.client.tcp_listener(port=8080) as listener, lab.server.socket() as sock:
        sock.connect((Lab.OUTSIDE, 80))
        listener.accept()[0].close()
        line, = natd.ctl("list", "--forward", "web").stdout.splitlines()
    assert re.match(r"tcp      6 \d+ \w+ src=198\.51\.100\.10 dst=203\.0\.113\.1 sport=\d+ dport=80 packets=\d+ "
                    r"bytes=\d+ src=10\.8\.0\.2 dst=198\.51\.100\.10 sport=8080 dport=\d+ ", line)
    entry, = natd.json("list")
    assert (entry["origin"], entry["forward"]) == ("outside", "web")
    assert natd.ctl("forwards").stdout == "web tcp outside=any:80 inside=10.8.0.2:8080 from=any\n"


def test_tables_and_screen_are_for_reading(sessions):
    heading, *rows = sessions.ctl("-o", "table", "list").stdout.splitlines()
    assert heading.split()[:4] == ["PROTOCOL", "STATE", "INSIDE", "OUTSIDE"] and len(rows) == 4
    for command in ("mappings", "forwards", "pools", "stats"):
        assert sessions.ctl("-o", "table", command).stdout
    screen = sessions.ctl().stdout
    assert screen.splitlines()[0].startswith("natd ") and "4 of 1048576" in screen
    assert Lab.OUTSIDE in screen and "10.8.0.0/24" in screen


def test_stats_say_what_a_session_costs(natd, lab):
    assert natd.counters()["table_bytes_per_session"] == 0
    udp_from(lab.client, 100, first_port=20000)
    wait_count(natd, 100)
    counters = natd.counters()
    assert counters["table_bytes_per_session"] == counters["table_bytes"] // 100
    assert 0 < counters["table_bytes"] < counters["memory_resident"]


@pytest.mark.parametrize("arguments", [["nonsense"], ["list", "-p", "foo"], ["list", "word"], ["flush", "-p", "tcp"],
                                       ["delete"], ["-o", "xml"], ["--nonsense"]])
def test_wrong_usage_is_2(natd, arguments):
    done = natd.ctl(*arguments, check=False)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr


@pytest.mark.parametrize("arguments", [["help", "list"], ["list", "--help"], ["-L", "-h"], ["--help"], ["help"]])
def test_fault_43_help_is_on_stdout_and_exits_0(natd, arguments):
    done = natd.ctl(*arguments)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("natctl ")
    assert ("--reply-port-src" in done.stdout) == (len(arguments) > 1)


@pytest.mark.parametrize("arguments, suggestion", [(["lsit"], "`list'"), (["list", "--sprot", "1"], "--sport"),
                                                   (["help", "statsu"], "`status'")])
def test_fault_43_suggestions(natd, arguments, suggestion):
    done = natd.ctl(*arguments, check=False)
    assert (done.returncode, done.stdout) == (2, "") and f"did you mean {suggestion}?" in done.stderr


def on_a_terminal(natd, arguments, columns, **environment):
    """What natctl prints on a terminal of that width."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    subprocess.run([NATCTL, "-s", natd.socket, *arguments], stdout=slave, check=False, timeout=10,
                   env={**env, "TERM": "xterm", **environment})
    os.close(slave)
    text = b""
    with contextlib.suppress(OSError):  # EIO is the end
        while data := os.read(master, 65536):
            text += data
    os.close(master)
    return text.decode()


def test_fault_43_colour_and_width_on_a_terminal_only(sessions):
    assert "\33[" in on_a_terminal(sessions, ["doctor"], 80)
    assert "\33[" not in on_a_terminal(sessions, ["doctor"], 80, NO_COLOR="1")
    assert "\33[" not in on_a_terminal(sessions, ["doctor"], 80, TERM="dumb")
    assert "\33[" not in sessions.ctl("doctor", check=False).stdout
    for command in ("list", "forwards", "pools"):
        text = on_a_terminal(sessions, ["-o", "table", command], 80)
        assert text and all(len(line) <= 80 for line in text.splitlines()), text
    assert len(sessions.ctl("-o", "table", "list").stdout.splitlines()[0]) > 100


def test_no_daemon_is_3(tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        done = subprocess.run([NATCTL, "-s", path, "status"], capture_output=True, text=True, timeout=10)
        assert (done.returncode, done.stdout) == (3, "") and str(path) in done.stderr


def test_socket_from_the_environment(natd):
    done = subprocess.run([NATCTL, "count"], capture_output=True, text=True, timeout=10,
                          env={**os.environ, "NATD_SOCKET": natd.socket})
    assert (done.returncode, done.stdout) == (0, "0\n")


def test_output_that_cannot_be_written(sessions):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([NATCTL, "-s", sessions.socket, "list"], stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=10)
    assert done.returncode == 1 and done.stderr == "natctl: cannot write the output: No space left on device\n"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([NATCTL, "-s", sessions.socket, "list"], stdout=writer, stderr=subprocess.PIPE, text=True,
                          timeout=10)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_reload_says_what_it_did_and_why_it_did_not(lab, natd):
    udp_from(lab.client)
    udp_from(lab.clients[1])
    wait_count(natd, 2)
    assert natd.ctl("reload").stdout == "reloaded: 2 sessions go on, 0 ended\n"
    natd.write_config({"inside": 'exempt = [ "198.51.100.0/24" ];'})
    assert natd.ctl("reload").stdout == "reloaded: 0 sessions go on, 2 ended\n"
    natd.write_config({"more": "nonsense = 1;"})
    done = natd.ctl("reload", check=False)
    assert done.returncode == 1 and re.search(r"natd\.conf:\d+: .*nonsense", done.stderr)
    answer = natd.ctl("-j", "reload", check=False)
    assert answer.returncode == 1
    answer = json.loads(answer.stdout)
    assert answer["reloaded"] is False and "nonsense" in answer["messages"][0]


# ---- who may what ----

def as_nobody(natd, *arguments):
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", NATCTL, "-s", natd.socket,
                           *arguments], capture_output=True, text=True, timeout=10)
    if done.returncode == 127 or "setpriv" in done.stderr or not os.access(NATCTL, os.X_OK):
        pytest.skip(f"cannot be another user here: {done.stderr.strip()}")
    return done


def test_others_may_read_where_the_mode_lets_them_and_never_change(lab, start_natd):
    natd = start_natd()
    text = open(natd.config_path, encoding="ascii").read()
    done = as_nobody(natd, "count")
    assert done.returncode == 3 and "Permission denied" in done.stderr
    natd.write_config(text.replace("control = {", 'control = { mode = "0666"; '))
    natd.ctl("reload")
    udp_from(lab.client)
    wait_count(natd, 1)
    assert as_nobody(natd, "count").stdout == "1\n"
    for command in (["delete", "-p", "udp"], ["flush"], ["reload"]):
        done = as_nobody(natd, *command)
        assert (done.returncode, done.stdout) == (1, "") and "only root" in done.stderr
    assert natd.ctl("count").stdout == "1\n"


# ---- abuse ----

def frame(kind, body=b""):
    return struct.pack(">IB", len(body) + 1, kind) + body


HELLO = frame(1, b"NATD" + struct.pack(">HH", 1, 1))
LIST_ALL = frame(3, b"\0\0")


def connect(natd, timeout=20):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    sock.connect(natd.socket)
    return sock


def until_closed(sock):
    """Everything until natd hangs up."""
    data = b""
    try:
        while more := sock.recv(65536):
            data += more
    except ConnectionResetError:
        pass
    return data


@pytest.mark.parametrize("rubbish", [
    b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, b"\xff" * 100, b"\0\0\0\x01\x03", HELLO + HELLO, HELLO + b"\x7f\xff\xff\xff",
    HELLO + frame(3), HELLO + frame(2, b"x"), HELLO + frame(3, b"\x80\0"), frame(1, b"NATD" + struct.pack(">HH", 9, 2)),
    HELLO + os.urandom(400),
], ids=range(11))
def test_rubbish_gets_an_error_and_the_door(natd, rubbish):
    with connect(natd) as sock:
        sock.sendall(rubbish)
        sock.shutdown(socket.SHUT_WR)
        until_closed(sock)
    assert natd.ctl("count").stdout == "0\n"


def test_slow_and_silent_clients_are_dropped(natd):
    with connect(natd) as silent, connect(natd) as half:
        half.sendall(HELLO + LIST_ALL[:-1])
        assert until_closed(silent) == b""
        assert until_closed(half).startswith(b"\0\0")  # the answer to the hello
    assert natd.ctl("count").stdout == "0\n"


def test_more_clients_than_places(natd):
    clients = [connect(natd) for _ in range(100)]
    done = natd.ctl("count", check=False)
    assert done.returncode == 1 and "too many clients" in done.stderr
    for sock in clients[64:]:
        assert b"too many clients" in until_closed(sock)
    for sock in clients:
        sock.close()
    for _ in range(100):
        done = natd.ctl("count", check=False)
        if done.returncode == 0:
            break
    assert done.stdout == "0\n"


def test_deaf_clients_hold_up_neither_packets_nor_others(lab, natd, udp_echo):
    udp_echo()
    udp_from(lab.client, 3000, first_port=20000)
    wait_count(natd, 3000)
    deaf = [connect(natd) for _ in range(30)]
    for sock in deaf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(HELLO + LIST_ALL * 20)
    with lab.client.udp() as sock:
        for _ in range(100):
            sock.sendto(b"hello", (SERVER, 7))
            assert sock.recvfrom(100)[0].endswith(b"hello")
    assert natd.ctl("count", "--dport", "9").stdout == "3000\n"
    assert len(natd.ctl("list", "--dport", "9").stdout.splitlines()) == 3000
    for sock in deaf:
        sock.close()
