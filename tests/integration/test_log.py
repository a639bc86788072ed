# SPDX-License-Identifier: ISC
"""A log that takes nothing: full, gone, there again. Packets pass, natd stops, and it says what is missing from the log."""
import contextlib
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import time

import pytest

from conftest import NATD
from netlab import stop
from test_service import udp_exchange

DIVERTED = r"(\d+) log lines went to stderr: the log did not take them"


class LogSocket:
    """Plays the daemon behind syslog's or the journal's socket: it may hang, go, and come back."""

    def __init__(self, path):
        self.path = str(path)
        self._socket = None

    def listen(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        os.chmod(self.path, 0o666)

    def fill(self):
        """It hangs: until no line fits any more."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, contextlib.suppress(BlockingIOError):
            other.setblocking(False)
            while True:
                other.sendto(b"<30>somebody else", self.path)

    def go(self, unlink):
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        if unlink:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    def wait(self, pattern, timeout=10):
        """All that comes up to the line that matches; that one is the last."""
        end, lines = time.monotonic() + timeout, []
        while select.select([self._socket], [], [], max(end - time.monotonic(), 0))[0]:
            lines.append(self._socket.recv(65536).decode())
            if re.search(pattern, lines[-1]):
                return lines
        raise AssertionError(f"no {pattern!r} in {timeout} s, but {lines}")


@pytest.fixture
def private_dev(tmp_path):
    """A /dev for natd alone: its path, and what natd's command line begins with."""
    devices = ("null", "random", "urandom", "zero", "net/tun")
    path = tmp_path / "dev"
    (path / "net").mkdir(parents=True)
    for name in devices:
        (path / name).touch()
        subprocess.run(["mount", "--bind", f"/dev/{name}", path / name], check=True)
    yield path, ("unshare", "--mount", "sh", "-c", f'mount --rbind {path} /dev && exec "$@"', "sh")
    for name in devices:
        subprocess.run(["umount", path / name], check=True)


@pytest.fixture(params=["syslog", "journal"])
def log(request, private_dev):
    """A log socket without a listener yet; .target and .prefix are for natd."""
    if request.param == "journal":
        os.makedirs("/run/systemd/journal", exist_ok=True)
    made = LogSocket(private_dev[0] / "log" if request.param == "syslog" else "/run/systemd/journal/socket")
    made.target, made.prefix = request.param, private_dev[1]
    yield made
    made.go(unlink=True)


@pytest.fixture
def launch(lab, start_natd, manager):
    """launch(natd, *command, stderr): natd's process; natd is for natctl's requests, and its configuration."""

    def run(natd, *command, stderr, wait=True):
        process = lab.gateway.start(*command, "-c", natd.config_path, stderr=stderr,
                                    env={**os.environ, "NOTIFY_SOCKET": manager.path})
        if wait:
            manager.wait("READY")
        return process

    return run


def said(process):
    """All that the ended process said on stderr."""
    return process.stderr.read().decode()


def reloads(natd, times):
    """Each is a line for the log."""
    for _ in range(times):
        natd.ctl("reload", timeout=5)


def configured(log, more=""):
    return {"more": f'log = {{ target = "{log.target}"; }};\n{more}'}


# ---- syslog's socket and the journal's ----

def start_with(log, start_natd, launch):
    """natd, whose log is read; and its process."""
    log.listen()
    natd = start_natd(configured(log), ready=False)
    process = launch(natd, *log.prefix, NATD, stderr=subprocess.PIPE)
    log.wait("ready")
    return natd, process


def test_log_that_hangs(lab, start_natd, launch, log, udp_echo):
    udp_echo()
    before = lab.gateway.network_state()
    natd, process = start_with(log, start_natd, launch)
    with lab.client.udp() as sock:
        seen = udp_exchange(sock)
        log.fill()
        reloads(natd, 3)
        assert udp_exchange(sock) == seen
        with contextlib.suppress(AssertionError):
            log.wait("nothing of natd's", timeout=0)
        reloads(natd, 1)
        lines = log.wait(DIVERTED)
        assert "configuration reloaded" in lines[-2] and re.search(DIVERTED, lines[-1]).group(1) == "3"
        assert udp_exchange(sock) == seen
    log.fill()
    assert stop(process) == 0
    assert said(process).count("configuration reloaded") == 3
    assert lab.gateway.network_state() == before


@pytest.mark.parametrize("unlink", [True, False], ids=["no socket", "nobody at the socket"])
def test_log_that_goes_and_comes_back(lab, start_natd, launch, log, udp_echo, unlink):
    udp_echo()
    natd, process = start_with(log, start_natd, launch)
    with lab.client.udp() as sock:
        seen = udp_exchange(sock)
        log.go(unlink)
        reloads(natd, 3)
        assert udp_exchange(sock) == seen
        log.listen()
        reloads(natd, 1)
        lines = log.wait(DIVERTED)
        assert "configuration reloaded" in lines[0] and re.search(DIVERTED, lines[-1]).group(1) == "3"
        log.listen()  # restarted between two lines: nothing is missing
        reloads(natd, 1)
        assert len(log.wait("configuration reloaded")) == 1
        assert udp_exchange(sock) == seen
    log.go(unlink)
    assert stop(process) == 0
    assert said(process).count("configuration reloaded") == 3


def test_log_that_comes_after_natd(start_natd, launch, log):
    natd = start_natd(configured(log), ready=False)
    process = launch(natd, *log.prefix, NATD, stderr=subprocess.PIPE)
    log.listen()
    reloads(natd, 1)
    log.wait(DIVERTED)
    assert stop(process) == 0
    text = said(process)
    assert f'log target "{log.target}" cannot be reached, using stderr until it can' in text
    assert "configuration reloaded" not in text


@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "gone"])
def test_reason_of_a_start_that_fails_is_not_lost(lab, start_natd, launch, log, hangs):
    if hangs:
        log.listen()
        log.fill()
    lab.gateway.run("ip", "link", "add", "other0", "type", "bridge")
    natd = start_natd(configured(log, 'tun = { name = "other0"; };'), ready=False)
    process = launch(natd, *log.prefix, NATD, stderr=subprocess.PIPE, wait=False)
    assert process.wait(10) == 3
    assert "natd: error: cannot create the TUN device other0" in said(process)


def test_problems_found_by_the_start_reach_the_log_too(start_natd, launch, log):
    """Not only the user who started natd."""
    log.listen()
    natd = start_natd(configured(log), ready=False)
    with open(natd.config_path, encoding="utf-8") as config:
        natd.write_config(config.read().replace('"out0"', '"out9"'))
    process = launch(natd, *log.prefix, NATD, stderr=subprocess.PIPE)
    problem = rf"{natd.config_path}:\d+: warning: .*out9"
    log.wait(problem)
    assert stop(process) == 0
    assert re.search(f"^{problem}", said(process), re.MULTILINE)


@pytest.mark.parametrize("is_journal", [True, False], ids=["journald's", "another's"])
def test_problems_reach_the_journal_once(start_natd, launch, private_dev, is_journal):
    """syslog's socket is the journal's under systemd, or another daemon's; stderr leads to the journal."""
    os.makedirs("/run/systemd/journal", exist_ok=True)
    log = LogSocket("/run/systemd/journal/dev-log" if is_journal else private_dev[0] / "log")
    log.target = "syslog"
    if is_journal:
        (private_dev[0] / "log").symlink_to(log.path)
    log.listen()
    natd = start_natd(configured(log), ready=False)
    with open(natd.config_path, encoding="utf-8") as config:
        natd.write_config(config.read().replace('"out0"', '"out9"'))
    reader, writer = os.pipe()
    stream = os.fstat(writer)
    process = launch(natd, *private_dev[1], "env", f"JOURNAL_STREAM={stream.st_dev}:{stream.st_ino}", NATD,
                     stderr=writer)
    problem = rf"{natd.config_path}:\d+: warning: .*out9 does not exist"
    log.wait(problem)
    assert len(re.findall(f"^<4>{problem}", _drain(reader), re.MULTILINE)) == (0 if is_journal else 1)
    assert stop(process) == 0
    natd.write_config("nonsense")
    process = launch(natd, "env", f"JOURNAL_STREAM={stream.st_dev}:{stream.st_ino}", NATD, stderr=writer, wait=False)
    assert process.wait(10) == 1
    assert re.search(rf"^<3>{natd.config_path}:\d+: ", _drain(reader), re.MULTILINE)
    log.go(unlink=True)
    os.close(reader)
    os.close(writer)


# ---- stderr ----

def filled_pipe():
    """(reading end, writing end) of a pipe without a reader."""
    reader, writer = os.pipe()
    _fill(writer)
    return reader, writer


def nearly_filled_terminal():
    """(master, terminal) without a reader: it was full, and has room again for a little (some KB)."""
    reader, writer = pty.openpty()
    _fill(writer)
    while not select.select([], [writer], [], 0.02)[1]:
        os.read(reader, 100)
    return reader, writer


def _fill(writer):
    os.set_blocking(writer, False)
    for junk in (b"j" * 1000, b"j"):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, junk)
    os.set_blocking(writer, True)


def _drain(reader):
    text = b""
    while select.select([reader], [], [], 0)[0]:
        text += os.read(reader, 65536)
    return text.decode()


@pytest.mark.parametrize("made", [filled_pipe, nearly_filled_terminal])
def test_stderr_that_nobody_reads(lab, start_natd, launch, udp_echo, made):
    """So much is said that a terminal comes to the line that fits but for its end."""
    udp_echo()
    before = lab.gateway.network_state()
    natd = start_natd(ready=False)
    reader, writer = made()
    process = launch(natd, NATD, "-f", stderr=writer)
    with lab.client.udp() as sock:
        seen = udp_exchange(sock)
        natd.write_config(f"{'nonsense' * 50} = 1;")
        for _ in range(15):
            process.send_signal(signal.SIGHUP)
            natd.ctl("count", timeout=5)
        assert udp_exchange(sock) == seen
        _drain(reader)
        natd.write_config({})
        reloads(natd, 3)
        assert re.search(r"\d+ log lines lost: the log did not take them", _drain(reader))
        _fill(writer)
        assert udp_exchange(sock) == seen
    assert stop(process) == 0
    assert lab.gateway.network_state() == before
    os.close(reader)
    os.close(writer)


# natd as a job in the background of a terminal's session; SIGTERM is for natd.
IN_BACKGROUND = """
import os, signal, subprocess, sys
os.setsid()
os.open(sys.argv[1], os.O_RDWR)
natd = subprocess.Popen(sys.argv[2:], preexec_fn=lambda: os.setpgid(0, 0))
signal.signal(signal.SIGTERM, lambda *_: natd.terminate())
sys.exit(natd.wait())
"""


def test_terminal_that_stops_who_writes_from_the_background(lab, start_natd, launch, udp_echo):
    """stty tostop"""
    udp_echo()
    natd = start_natd(ready=False)
    reader, writer = pty.openpty()
    modes = termios.tcgetattr(writer)
    modes[3] |= termios.TOSTOP
    termios.tcsetattr(writer, termios.TCSANOW, modes)
    process = launch(natd, sys.executable, "-c", IN_BACKGROUND, os.ttyname(writer), NATD, "-f", stderr=writer)
    with lab.client.udp() as sock:
        seen = udp_exchange(sock)
        reloads(natd, 1)
        assert udp_exchange(sock) == seen
    assert "configuration reloaded" in _drain(reader)
    assert stop(process) == 0
    os.close(reader)
    os.close(writer)


def test_stderr_whose_reader_is_gone(lab, start_natd, launch, udp_echo):
    udp_echo()
    natd = start_natd(ready=False)
    reader, writer = os.pipe()
    os.close(reader)
    # Without this right natd has something to say from the start.
    process = launch(natd, "setpriv", "--bounding-set=-sys_nice", NATD, "-f", "-v", stderr=writer)
    os.close(writer)
    with lab.client.udp() as sock:
        seen = udp_exchange(sock)
        reloads(natd, 3)
        assert udp_exchange(sock) == seen
    assert stop(process) == 0


def test_stderr_that_was_closed(lab, start_natd, launch, udp_echo):
    """No socket of natd's own comes to have its number."""
    udp_echo()
    natd = start_natd(ready=False)
    process = launch(natd, "sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", NATD, "-f", "-v", "-v", stderr=None)
    assert [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
    with lab.client.udp() as sock:
        udp_exchange(sock)
    assert stop(process) == 0
