# SPDX-License-Identifier: ISC
"""natd-log: what it writes and where, and that nothing is missing when natd, natd-log or the receiver goes and comes back."""
import gzip
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

import netlab
from besidekit import Beside, wait_until as wait
from conftest import LEFT_OUT, NATCTL, Natd

NATD_LOG = os.environ.get("NATD_LOG", os.path.join(os.path.dirname(os.environ.get("NATD", "./natd")), "natd-log"))
CLIENT, SERVER, OUTSIDE = "10.8.0.2", "198.51.100.10", "203.0.113.1"

pytestmark = pytest.mark.skipif(not os.access(NATD_LOG, os.X_OK), reason="natd-log is not built")


class Log(Beside):
    """natd-log, ready."""

    def __init__(self, natd, directory, *options, config=None, ready=True):
        super().__init__("natd-log", natd.namespace.command(
            NATD_LOG, "-f", "-c", config or natd.config_path, "-s", natd.socket, "--state", f"{directory}/cursor", *options))
        if ready:
            self.wait_log("^natd-log: ready")


@pytest.fixture(scope="module")
def lab(request):
    if request.config.netlab_reason:
        pytest.skip(request.config.netlab_reason)
    made = netlab.Lab()
    yield made
    made.close()


@pytest.fixture
def place(tmp_path):
    """A directory for the log and the cursor."""
    return tmp_path


@pytest.fixture
def start(lab, place):
    """start(target, more=...): natd and natd-log by the same file; file targets stand in `place`."""
    running = []

    def run(target=None, more="", log=True, events=65536):
        target = target or f"file:{place}/log"
        natd = Natd(lab.gateway, {"more": f'limits = {{ events = {events}; }}; translation_log = {{ target = "{target}"; {more} }};'})
        running.append(natd)
        natd.start()
        if not log:
            return natd
        running.append(Log(natd, place))
        return natd, running[-1]

    yield run
    for one in reversed(running):
        if isinstance(one, Natd):
            one.close()
        elif one.process.poll() is None:
            one.stop()


def send(namespace, *ports, to=(SERVER, 9)):
    for port in ports:
        with namespace.udp(port=port) as sock:
            sock.sendto(b"x", to)


def open_mappings(natd, *ports):
    """Mappings of the client's ports, there when this returns."""
    send(natd.namespace.lab.client, *ports)
    wait(lambda: {m["inside"]["port"] for m in natd.json("mappings")} >= set(ports))


def close_mappings(natd, *ports):
    for port in ports:
        natd.ctl("delete", "--sport", port)


def lines(path):
    with open(path, encoding="ascii") as file:
        text = file.read()
    assert text == "" or text.endswith("\n"), "not whole lines"
    return [json.loads(line) for line in text.splitlines()]


def brief(records):
    """"opened 4000", "closed 4000 found", "LOST 3", in order."""
    out = []
    for r in records:
        if r["event"] in ("START", "LOST"):
            out.append(r["event"] + (f" {r['count']}" if "count" in r else ""))
        else:
            out.append(" ".join([r["state"], str(r["inside"]["port"])] + ["found"] * r.get("found", False)))
    return out


def wait_records(path, *expected):
    """The records are exactly these, after START, in any order."""
    try:
        wait(lambda: os.path.exists(path) and sorted(brief(lines(path))) == sorted(["START", *expected]))
    except AssertionError:
        raise AssertionError(f"{brief(lines(path))} are not {expected}") from None


@pytest.fixture(autouse=True)
def name_lab(lab):
    lab.gateway.lab = lab


# ---- what is written ----

def test_log_has_the_beginning_and_the_end_of_each_mapping(start, place):
    natd, _ = start()
    before = time.time()
    open_mappings(natd, 4000)
    close_mappings(natd, 4000)
    wait_records(f"{place}/log", "opened 4000", "closed 4000")
    _, opened, closed = lines(f"{place}/log")
    assert opened["event"] == "MAPPING" and opened["protocol"] == "udp"
    assert opened["inside"] == {"address": CLIENT, "port": 4000} and opened["outside"]["address"] == OUTSIDE
    assert before - 1 <= opened["time"] <= closed["time"] <= time.time() + 1
    assert closed["outside"] == opened["outside"] and abs(closed["since"] - opened["time"]) < 0.1
    assert "remote" not in opened and SERVER not in open(f"{place}/log", encoding="ascii").read()
    assert os.stat(f"{place}/log").st_mode & 0o777 == 0o640


def test_log_as_text_with_destinations(start, place):
    natd, _ = start(more='what = "sessions"; destinations = true; format = "text";')
    open_mappings(natd, 4001)
    close_mappings(natd, 4001)
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
    flow = rf"udp inside={CLIENT}:4001 outside={OUTSIDE}:\d+ remote={SERVER}:9 id=\d+"
    wait(lambda: re.search("DESTROY", open(f"{place}/log", encoding="ascii").read()))
    text = open(f"{place}/log", encoding="ascii").read().splitlines()
    assert re.fullmatch(rf"{stamp} START", text[0])
    assert re.fullmatch(rf"{stamp} NEW {flow}", text[1])
    assert re.fullmatch(rf"{stamp} DESTROY {flow} since={stamp} reason=deleted", text[2])


def test_log_of_blocks(lab, place):
    natd = Natd(lab.gateway, {"addresses": '[ "203.0.113.8/31" ]', "more":
                              f'translation = {{ allocation = "block"; }}; timeouts = {{ port_reuse = 0; }}; '
                              f'translation_log = {{ target = "file:{place}/log"; }};'}).start()
    log = Log(natd, place)
    try:
        open_mappings(natd, 4002)
        wait(lambda: len(lines(f"{place}/log")) == 2)
        close_mappings(natd, 4002)
        _, opened, closed = wait(lambda: len(lines(f"{place}/log")) == 3 and lines(f"{place}/log"))
        assert opened["event"] == "BLOCK" and opened["state"] == "opened" and opened["host"] == CLIENT
        assert opened["last"] - opened["first"] == 511 and closed["state"] == "closed"
        assert {k: opened[k] for k in ("host", "outside", "first", "last")} == \
            {k: closed[k] for k in ("host", "outside", "first", "last")}
    finally:
        log.stop()
        natd.close()


# ---- going on where it was ----

def test_log_goes_on_where_it_was_after_its_own_restart(start, place):
    natd, log = start()
    open_mappings(natd, 4000, 4001)
    wait_records(f"{place}/log", "opened 4000", "opened 4001")
    assert log.stop() == 0
    open_mappings(natd, 4002, 4003)
    close_mappings(natd, 4000, 4003)
    log = Log(natd, place)
    wait_records(f"{place}/log", "opened 4000", "opened 4001", "opened 4002", "opened 4003", "closed 4000", "closed 4003")
    assert log.stop() == 0
    wait_records(f"{place}/log", "opened 4000", "opened 4001", "opened 4002", "opened 4003", "closed 4000", "closed 4003")


def test_log_knows_the_end_of_what_natd_forgot_in_its_restart(start, place):
    natd, log = start()
    open_mappings(natd, 4000)
    wait_records(f"{place}/log", "opened 4000")
    assert natd.stop() == 0
    log.wait_log("no natd at")
    natd.start()
    open_mappings(natd, 4001)
    wait_records(f"{place}/log", "opened 4000", "closed 4000 found", "opened 4001")


def test_log_goes_on_over_a_restart_that_keeps_the_table(start, place):
    natd, _ = start()
    natd.options = ("--state", f"{place}/table")
    natd.stop()
    natd.start()
    open_mappings(natd, 4000)
    wait(lambda: any(b == "opened 4000" for b in brief(lines(f"{place}/log"))))
    natd.stop()
    natd.start()
    open_mappings(natd, 4001)
    close_mappings(natd, 4000)
    wait_records(f"{place}/log", "opened 4000", "opened 4001", "closed 4000")


def test_log_says_that_something_is_missing_after_a_crash_of_natd(start, place):
    natd, log = start()
    open_mappings(natd, 4000)
    wait_records(f"{place}/log", "opened 4000")
    natd.process.kill()
    natd.process.wait()
    natd.start()
    log.wait_log("events are missing, and their number is not known")
    wait_records(f"{place}/log", "opened 4000", "LOST None", "closed 4000 found")


def test_log_says_how_much_it_has_missed(start, place):
    natd, log = start(events=1024)
    open_mappings(natd, 4000)
    wait_records(f"{place}/log", "opened 4000")
    assert log.stop() == 0
    for _ in range(12):
        send(natd.namespace.lab.client, *range(10000, 10050))
        wait(lambda: int(natd.ctl("count").stdout) >= 50)
        natd.ctl("flush")
    open_mappings(natd, 4001)
    log = Log(natd, place)
    log.wait_log(r"\d+ events were overwritten before they were read: raise limits.events")
    wait(lambda: "opened 4001" in " ".join(brief(lines(f"{place}/log"))))
    assert log.stop() == 0
    lost = [r for r in lines(f"{place}/log") if r["event"] == "LOST"]
    assert len(lost) == 1 and 100 < lost[0]["count"] < 3000 and lost[0]["since"] > 1.6e9


def test_log_of_a_file_that_natd_does_not_read(lab, place):
    natd = Natd(lab.gateway, {}).start()
    config = f"{place}/log.conf"
    with open(config, "w", encoding="ascii") as file:
        file.write(open(natd.config_path, encoding="ascii").read() + f'translation_log = {{ target = "file:{place}/log"; }};')
    open_mappings(natd, 4000)
    log = Log(natd, place, config=config)
    try:
        log.wait_log("natd's configuration has no matching translation_log")
        wait_records(f"{place}/log", "opened 4000 found")
        open_mappings(natd, 4001)
        wait_records(f"{place}/log", "opened 4000 found", "opened 4001")
    finally:
        log.stop()
        natd.close()


# ---- files ----

SNIPPET = os.path.join(os.path.dirname(__file__), "../../packaging/logrotate/natd-log")


def rotate(place, log):
    """By the shipped file, with this log's place and process; without logrotate by hand."""
    if not shutil.which("logrotate", path="/usr/sbin:/usr/bin:/sbin:/bin"):
        os.rename(f"{place}/log", f"{place}/log.1")
        log.process.send_signal(signal.SIGHUP)
        return
    with open(SNIPPET, encoding="ascii") as file:
        text = file.read().replace("/var/log/natd/*.log", f"{place}/log")
    text = re.sub(r"^\s*systemctl.*$", f"kill -HUP {log.process.pid}", text, flags=re.M).replace("dateext", "nodateext")
    (place / "logrotate.conf").write_text(text)
    os.chmod(place, 0o755)
    subprocess.run(["logrotate", "--force", "--state", f"{place}/state", f"{place}/logrotate.conf"], check=True,
                   env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


def test_log_is_rotated_by_what_is_shipped(start, place):
    natd, log = start()
    open_mappings(natd, 4000)
    wait_records(f"{place}/log", "opened 4000")
    rotate(place, log)
    wait(lambda: os.path.exists(f"{place}/log"))
    open_mappings(natd, 4002)
    wait(lambda: brief(lines(f"{place}/log")) == ["opened 4002"])
    assert brief(lines(f"{place}/log.1")) == ["START", "opened 4000"]


def test_log_cuts_off_half_a_line_that_a_crash_left(start, place):
    natd, log = start()
    open_mappings(natd, 4000)
    wait_records(f"{place}/log", "opened 4000")
    assert log.stop() == 0
    with open(f"{place}/log", "a", encoding="ascii") as file:
        file.write('{"time":17960185')
    log = Log(natd, place)
    log.wait_log("ends within a line: cutting off 16 bytes")
    open_mappings(natd, 4001)
    wait_records(f"{place}/log", "opened 4000", "opened 4001")
    log.stop()


def test_full_disk_loses_nothing_that_natd_still_has(start, place):
    disk = place / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
    try:
        natd, log = start(f"file:{disk}/log")
        (disk / "filler").write_bytes(b"x" * 48 * 1024)
        ports = range(20000, 20200)
        send(natd.namespace.lab.client, *ports)
        log.wait_log(r"warning: file .* takes no records since .*: No space left on device")
        with natd.counted():  # packets pass
            open_mappings(natd, 4000)
        (disk / "filler").unlink()
        log.wait_log(r"takes records again, after \d+ s")
        wait(lambda: "opened 4000" in brief(lines(f"{disk}/log")))
        assert sorted(brief(lines(f"{disk}/log"))) == sorted(["START", "opened 4000"] + [f"opened {p}" for p in ports])
        assert sum("takes no records" in line for line in log.log) == 1
        log.stop()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


# ---- servers ----

MESSAGE = re.compile(r"<30>1 (\S+) (\S+) natd-log (\d+) (\S+) \[natd@32473(?: state=\"(\w+)\")?\] (.*)")


def messages_of_stream(data):
    """Octet counting (RFC 6587 3.4.1), whole ones."""
    found = []
    while data:
        size, _, rest = data.partition(b" ")
        if not size.isdigit() or len(rest) < int(size):
            break
        found.append(rest[:int(size)].decode("ascii"))
        data = rest[int(size):]
    return found


def told(messages):
    return [f"{m.group(5)} {re.search(r'inside=10.8.0.2:([0-9]+)', m.group(6)).group(1)}"
            for m in map(MESSAGE.fullmatch, messages) if m and m.group(4) == "MAPPING"]


def test_syslog_by_udp(start, lab):
    with lab.gateway.udp(address="127.0.0.1", port=5514) as server:
        server.settimeout(10)
        natd, log = start("syslog:127.0.0.1:5514")
        first = server.recv(2000).decode("ascii")
        assert MESSAGE.fullmatch(first) and MESSAGE.fullmatch(first).group(4) == "START"
        open_mappings(natd, 4000)
        got = server.recv(2000).decode("ascii")
        assert told([got]) == ["opened 4000"]
        assert re.fullmatch(rf"MAPPING opened udp inside={CLIENT}:4000 outside={OUTSIDE}:\d+", MESSAGE.fullmatch(got).group(6))
    open_mappings(natd, 4001, 4002)
    log.wait_log("warning: syslog server 127.0.0.1 port 5514 takes no records since .*: Connection refused")
    open_mappings(natd, 4003)
    with lab.gateway.udp(address="127.0.0.1", port=5514) as server:
        server.settimeout(10)
        log.wait_log("takes records again")
        seen = set()
        while seen < {"opened 4001", "opened 4002", "opened 4003"}:
            seen |= set(told([server.recv(2000).decode("ascii")]))


def test_syslog_by_tcp_goes_on_after_the_server(start, lab):
    def listen():
        return lab.gateway.tcp_listener(address="127.0.0.1", port=5515)

    def read(sock, data, until):
        while until not in told(messages_of_stream(data)):
            part = sock.recv(65536)
            assert part
            data += part
        return data

    with listen() as listener:
        natd, log = start("syslog+tcp:127.0.0.1:5515")
        sock, _ = listener.accept()
        open_mappings(natd, 4000)
        first = read(sock, b"", "opened 4000")
        assert MESSAGE.fullmatch(messages_of_stream(first)[0]).group(4) == "START"
    sock.close()
    open_mappings(natd, 4001)
    log.wait_log("warning: syslog server 127.0.0.1 port 5515 takes no records")
    open_mappings(natd, 4002)
    with listen() as listener:
        sock, _ = listener.accept()
        second = read(sock, b"", "opened 4002")
        assert set(told(messages_of_stream(second))) >= {"opened 4001", "opened 4002"}
        log.wait_log("takes records again")
        assert log.stop() == 0
        sock.close()


def test_journal_has_fields(start, lab):
    path = "/run/systemd/journal/socket"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        journal.settimeout(10)
        try:
            natd, _ = start("journal")
            open_mappings(natd, 4000)
            while True:
                fields = dict(line.split("=", 1) for line in journal.recv(65536).decode("ascii").splitlines())
                if fields.get("NATD_EVENT") == "MAPPING":
                    break
        finally:
            os.unlink(path)
    assert fields["SYSLOG_IDENTIFIER"] == "natd-log" and fields["PRIORITY"] == "6" and fields["NATD_STATE"] == "opened"
    assert fields["NATD_INSIDE_ADDRESS"] == CLIENT and fields["NATD_INSIDE_PORT"] == "4000"
    assert fields["NATD_OUTSIDE_ADDRESS"] == OUTSIDE and fields["NATD_PROTOCOL"] == "udp"
    assert json.loads(fields["MESSAGE"])["inside"] == {"address": CLIENT, "port": 4000}


# ---- IPFIX ----

class Collector:
    """Reads IPFIX as RFC 7011 has it, by the templates that come: {element number: value} for each record."""

    def __init__(self, sock):
        self.sock, self.templates, self.records, self.sequence, self.datagrams = sock, {}, [], None, []

    def receive(self):
        data = self.sock.recv(65536)
        self.datagrams.append(data)
        version, length, _, sequence, domain = struct.unpack("!HHIII", data[:16])
        assert version == 10 and length == len(data) and domain == 1
        assert self.sequence in (None, sequence), "records are missing"
        before, at = len(self.records), 16
        while at < length:
            number, size = struct.unpack("!HH", data[at:at + 4])
            self.read_set(number, data[at + 4:at + size])
            at += size
        self.sequence = sequence + len(self.records) - before

    def read_set(self, number, data):
        while len(data) >= 4 and number in (2, 3):
            template, count = struct.unpack("!HH", data[:4])
            at = 4 if number == 2 else 6
            self.templates[template] = [struct.unpack("!HH", data[i:i + 4]) for i in range(at, at + 4 * count, 4)]
            data = data[at + 4 * count:]
        while number >= 256 and data:
            record = {"template": number}
            for element, size in self.templates[number]:
                record[element] = int.from_bytes(data[:size], "big")
                data = data[size:]
            self.records.append(record)

    def wait(self, event):
        """The first record with this natEvent (230)."""
        while True:
            found = [r for r in self.records if r.get(230) == event]
            if found:
                return found[0]
            self.receive()


needs_ipfix = pytest.mark.skipif(
    os.access(NATD_LOG, os.X_OK) and b"no IPFIX" in subprocess.run([NATD_LOG, "-V"], capture_output=True, check=False).stdout,
    reason="natd-log was built without libfixbuf")


@needs_ipfix
def test_ipfix_has_the_elements_of_rfc_8158(start, lab):
    with lab.gateway.udp(address="127.0.0.1", port=4739) as sock:
        sock.settimeout(10)
        collector = Collector(sock)
        natd, _ = start("ipfix:127.0.0.1:4739")
        open_mappings(natd, 4000)
        opened = collector.wait(8)
        close_mappings(natd, 4000)
        closed = collector.wait(9)
    for r in (opened, closed):
        assert r[8] == int.from_bytes(socket.inet_aton(CLIENT), "big") and r[7] == 4000 and r[4] == 17
        assert r[225] == int.from_bytes(socket.inet_aton(OUTSIDE), "big") and r[227] > 0 and 12 not in r
        assert abs(r[323] / 1000 - time.time()) < 60
    assert [r[297] for r in collector.records if 297 in r][0] == 1  # NAT44


@needs_ipfix
def test_ipfix_goes_on_after_the_collector(start, lab):
    with lab.gateway.udp(address="127.0.0.1", port=4739) as sock:
        sock.settimeout(10)
        natd, log = start("ipfix:127.0.0.1:4739", more='what = "sessions"; destinations = true;')
        collector = Collector(sock)
        open_mappings(natd, 4000)
        new = collector.wait(4)
        assert new[12] == int.from_bytes(socket.inet_aton(SERVER), "big") and new[11] == 9
    open_mappings(natd, 4001, 4002)
    log.wait_log("warning: IPFIX collector 127.0.0.1 port 4739 takes no records since .*: Connection refused")
    with lab.gateway.udp(address="127.0.0.1", port=4739) as sock:
        sock.settimeout(10)
        log.wait_log("takes records again")
        collector = Collector(sock)
        while {r.get(7) for r in collector.records} < {4001, 4002}:
            collector.receive()


@needs_ipfix
@pytest.mark.skipif(not shutil.which("nfcapd"), reason="there is no nfcapd")
def test_nfcapd_understands_it(start, lab, place):
    flows = place / "flows"
    flows.mkdir()
    nfcapd = subprocess.Popen(lab.gateway.command("nfcapd", "-w", str(flows), "-p", "4740", "-b", "127.0.0.1"),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait(lambda: "127.0.0.1:4740" in lab.gateway.run("ss", "-ulnH").stdout)
        with lab.gateway.udp(address="127.0.0.1", port=4739) as sock:
            natd, _ = start("ipfix:127.0.0.1:4739", more='what = "sessions";')
            collector = Collector(sock)
            open_mappings(natd, 4000)
            close_mappings(natd, 4000)
            collector.wait(5)
            for datagram in collector.datagrams:
                sock.sendto(datagram, ("127.0.0.1", 4740))
        wait(lambda: re.search(r"^\S+\s+0\s.*127\.0\.0\.1:4740", lab.gateway.run("ss", "-ulnH").stdout, re.M))
    finally:
        nfcapd.terminate()
        nfcapd.wait(20)
    shown = subprocess.run(["nfdump", "-R", str(flows), "-o", "raw"], capture_output=True, text=True, check=True).stdout
    assert CLIENT in shown and OUTSIDE in shown, shown


# ---- natctl who --log ----

def who(*arguments):
    done = subprocess.run([NATCTL, "who", *map(str, arguments)], capture_output=True, text=True, timeout=20)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("form", ["json", "text"])
def test_who_answers_from_the_log(start, place, form):
    natd, log = start(more=f'format = "{form}";')
    open_mappings(natd, 4000)
    port = natd.json("mappings")[0]["outside"]["port"]
    wait(lambda: "4000" in open(f"{place}/log", encoding="ascii").read())
    at = int(time.time())
    close_mappings(natd, 4000)
    wait(lambda: "closed" in open(f"{place}/log", encoding="ascii").read())
    assert log.stop() == 0
    endpoint = f"{OUTSIDE}:{port}"
    code, out, _ = who(endpoint, "--at", at, "--log", f"{place}/log")
    assert code == 0 and re.fullmatch(rf"udp inside={CLIENT}:4000 outside={endpoint} since=\d+ until=\d+\n", out), out
    assert who(endpoint, "tcp", "--at", at, "--log", f"{place}/log")[0] == 1
    code, _, err = who(endpoint, "--at", at - 1000, "--log", f"{place}/log")
    assert code == 1 and "not known: the log begins at 20" in err
    code, _, err = who(endpoint, "--at", at + 1000, "--log", f"{place}/log")
    assert code == 1 and "not known: the log ends at 20" in err
    code, _, err = who(f"{OUTSIDE}:{port ^ 1}", "--at", at, "--log", f"{place}/log")
    assert code == 1 and "nobody has" in err
    # Without the beginning of the log natctl never says "nobody"; two files together have it.
    with open(f"{place}/log", encoding="ascii") as file:
        all_lines = file.readlines()
    (place / "old").write_text("".join(all_lines[:2]))
    (place / "new").write_text("".join(all_lines[2:]) + all_lines[2][:20])
    with gzip.open(f"{place}/old.gz", "wt") as file:
        file.write("".join(all_lines[:2]))
    for old in ("old",) if "zlib" in LEFT_OUT else ("old", "old.gz"):
        code, out, err = who(endpoint, "--at", at, "--log", f"{place}/new", "--log", f"{place}/{old}")
        assert code == 0 and "until=" in out, err
    code, _, err = who(f"{OUTSIDE}:{port ^ 1}", "--at", int(time.time()), "--log", f"{place}/new")
    assert code == 1 and "not known: " in err


def test_who_refuses_what_is_no_log(place):
    (place / "words").write_text("these are\nno records\n")
    (place / "empty").write_text("")
    with gzip.open(f"{place}/whole.gz", "wt") as file:
        file.write('{"time":1796018592.104312,"event":"START"}\n' * 10000)
    (place / "cut.gz").write_bytes((place / "whole.gz").read_bytes()[:-20])
    for name, message in (("words", "is not a translation log"), ("empty", "not known: the log is empty"),
                          ("nowhere", "No such file or directory"), ("cut.gz", "was built without zlib" if "zlib" in LEFT_OUT else "cannot be read: it is damaged")):
        code, _, err = who("203.0.113.1:1", "--at", 1796018592, "--log", f"{place}/{name}")
        assert code == 1 and message in err, err
    assert who("203.0.113.1:1", "--log", f"{place}/empty")[0] == 2
    assert who("203.0.113.1:1", "--log", f"{place}/empty", "--config", "x", "--at", 5)[0] == 2
    assert who("203.0.113.1:1", "--log", f"{place}/empty", "--at", "noon")[0] == 2


def test_who_says_when_events_are_missing(place):
    (place / "log").write_text('{"time":1796018500.000000,"event":"START"}\n'
                               '{"time":1796018700.000000,"event":"LOST","count":3,"since":1796018600.000000}\n'
                               '{"time":1796018800.000000,"event":"BLOCK","state":"opened","host":"10.8.0.2",'
                               '"outside":"203.0.113.1","first":1024,"last":1535}\n'
                               '{"time":1796018900.000000,"event":"BLOCK","state":"closed","host":"10.8.0.2",'
                               '"outside":"203.0.113.1","first":1024,"last":1535}\n')
    code, _, err = who("203.0.113.1:1100", "--at", 1796018650, "--log", f"{place}/log")
    assert code == 1 and "not known: events are missing between 2026-11-30T06:03:20Z and 2026-11-30T06:05:00Z" in err
    assert who("203.0.113.1:1100", "--at", 1796018850, "--log", f"{place}/log")[:2] == \
        (0, "any inside=10.8.0.2 outside=203.0.113.1:1100 block=1024-1535 since=1796018800 until=1796018900\n")
    assert "nobody has" in who("203.0.113.1:1536", "--at", 1796018850, "--log", f"{place}/log")[2]


# ---- what it refuses, what it may ----

def test_log_is_confined(start):
    _, log = start()
    with open(f"/proc/{log.process.pid}/status", encoding="ascii") as file:
        status = file.read()
    assert re.search(r"^CapEff:\t0+$", status, re.M) and re.search(r"^CapPrm:\t0+$", status, re.M)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.M)


def run_log(natd, place, *options, config=None):
    return subprocess.run(natd.namespace.command(NATD_LOG, "-f", "-c", config or natd.config_path, "--state",
                                                 f"{place}/cursor", *options), capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("target, code, message", [
    ("none", 1, r"translation_log\.target is \"none\": name where the log is to go"),
    ("file:log", 1, r":\d+: translation_log\.target: \"file:log\" must name a file by its whole path"),
    ("file:/nowhere/at/all", 3, r"/nowhere/at/all cannot be opened: No such file or directory"),
    ("syslog:no.such.host.invalid:514", 3, r"\"no\.such\.host\.invalid\" cannot be found"),
])
def test_log_refuses_targets(lab, place, target, code, message):
    natd = Natd(lab.gateway, {"more": f'translation_log = {{ target = "{target}"; }};'})
    done = run_log(natd, place)
    shutil.rmtree(natd.directory)
    assert done.returncode == code and re.search(message, done.stderr), done.stderr


def test_two_logs_do_not_share_a_cursor(start, place):
    natd, _ = start()
    done = run_log(natd, place)
    assert done.returncode == 3 and "another natd-log uses it: give one of them another file with --state" in done.stderr


def test_log_options(lab, place):
    natd = Natd(lab.gateway, {})
    for option, text in (("-h", "usage: natd-log"), ("-V", "natd-log ")):
        done = run_log(natd, place, option)
        assert done.returncode == 0 and done.stdout.startswith(text)
    assert run_log(natd, place, "extra").returncode == 2
    shutil.rmtree(natd.directory)
