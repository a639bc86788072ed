# SPDX-License-Identifier: ISC
"""natd as a service: the service manager's messages, signals, rights, and what is left behind."""
import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import time

import pytest

import netlab
from conftest import NATCTL, NATD
from netlab import Lab

SERVER = Lab.SERVERS[0]


class Manager:
    """Plays the service manager: what natd sends to NOTIFY_SOCKET, one dictionary a message."""

    def __init__(self, path):
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self.messages = []

    def environment(self, **more):
        return {"NOTIFY_SOCKET": self.path, **more}

    def wait(self, key, timeout=10):
        """The next message that has this key; those before it are passed over (and kept in .messages)."""
        end = time.monotonic() + timeout
        while select.select([self._socket], [], [], max(end - time.monotonic(), 0))[0]:
            text = self._socket.recv(4096).decode()
            message = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
            self.messages.append(message)
            if key in message:
                return message
        raise AssertionError(f"no {key} in {timeout} s; natd said {self.messages}")

    def close(self):
        self._socket.close()


@pytest.fixture
def manager(tmp_path):
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


def udp_exchange(sock, text=b"x", address=SERVER):
    """The (address, port) as which the echo server sees this socket."""
    sock.sendto(text, (address, 7))
    seen = sock.recvfrom(1000)[0].split()
    return seen[0].decode(), int(seen[1])


def start_again(natd):
    natd.log.clear()
    natd.start()


def ends(natd, timeout=10):
    """Waits for natd to end by itself, and for all it said: its exit status."""
    status = natd.process.wait(timeout)
    natd._reader.join(timeout)
    return status


# ---- the service manager ----

def test_ready_is_sent_when_everything_answers(lab, start_natd, manager):
    natd = start_natd(environment=manager.environment(), ready=False)
    natd.launch()
    message = manager.wait("READY")
    assert message["READY"] == "1"
    assert re.match(r"0 sessions, 0 mappings, 0 packets/s", message["STATUS"])
    assert natd.ctl("count").stdout == "0\n"
    assert "UP" in lab.gateway.run("ip", "-brief", "link", "show", "natd0").stdout
    assert "natd0" in lab.gateway.run("ip", "route", "get", SERVER, "from", Lab.CLIENTS[0], "iif", "lan0").stdout


def test_reload_and_stop_are_told(lab, start_natd, manager):
    natd = start_natd(environment=manager.environment())
    manager.wait("READY")
    before_us = time.monotonic_ns() // 1000
    natd.send_signal(signal.SIGHUP)
    message = manager.wait("RELOADING")
    assert message["RELOADING"] == "1"
    assert before_us <= int(message["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    manager.wait("READY")
    natd.wait_log("configuration reloaded: 0 sessions kept, 0 ended")
    assert natd.stop() == 0
    manager.wait("STOPPING")


def test_failed_reload_is_told_and_ends(lab, start_natd, manager):
    natd = start_natd(environment=manager.environment())
    manager.wait("READY")
    natd.write_config("nonsense")
    natd.send_signal(signal.SIGHUP)
    manager.wait("RELOADING")
    manager.wait("READY")
    natd.wait_log("not reloaded, the previous configuration stays in force")


def test_watchdog_is_fed(lab, start_natd, manager):
    start_natd(environment=manager.environment(WATCHDOG_USEC="200000"))
    for _ in range(3):
        manager.wait("WATCHDOG", timeout=5)


def test_no_watchdog_is_fed_unasked(lab, start_natd, manager):
    natd = start_natd(environment=manager.environment())
    assert natd.stop() == 0
    manager.wait("STOPPING")
    assert not [m for m in manager.messages if "WATCHDOG" in m]


def fill(manager):
    """Until no message fits any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, contextlib.suppress(BlockingIOError):
        other.setblocking(False)
        while True:
            other.sendto(b"somebody else", manager.path)


def test_manager_that_does_not_read(lab, start_natd, manager, udp_echo):
    """As systemd does when it has crashed: it stands still. READY=1 comes later, with the status."""
    udp_echo()
    fill(manager)
    natd = start_natd(environment=manager.environment(WATCHDOG_USEC="200000"))
    with lab.client.udp() as sock:
        seen = udp_exchange(sock)
        natd.send_signal(signal.SIGHUP)
        natd.wait_log("configuration reloaded: 1 sessions kept, 0 ended")
        assert udp_exchange(sock) == seen
        manager.wait("READY", timeout=15)
        fill(manager)
        natd.ctl("reload", timeout=5)
        assert udp_exchange(sock) == seen
    assert natd.stop() == 0


def test_descriptors_that_nobody_knows_are_closed_and_given_up(lab, start_natd, manager):
    """LISTEN_FDS with something strange in it must neither leak nor stay in the manager's store."""
    shell = ("sh", "-c", 'LISTEN_PID=$$ exec "$@" 3</dev/null', "sh")
    natd = start_natd(environment=manager.environment(LISTEN_FDS="1", LISTEN_FDNAMES="strange"), prefix=shell)
    assert manager.wait("FDSTOREREMOVE")["FDNAME"] == "strange"
    assert "/dev/null" not in [os.readlink(f"/proc/{natd.pid()}/fd/{fd}") for fd in _descriptors(natd)[3:]]


def _descriptors(natd):
    try:
        return sorted(os.listdir(f"/proc/{natd.pid()}/fd"), key=int)
    except PermissionError:
        pytest.skip("natd cannot be looked into from here")


def test_fault_51_libsystemd_is_loaded_for_systemd_alone(start_natd, manager):
    """It brings compression and cryptography into a process with capabilities."""
    def loaded(natd):
        with open(f"/proc/{natd.pid()}/maps", encoding="utf-8") as maps:
            return "libsystemd" in maps.read()

    with open(NATD, "rb") as program:
        if b"sd_bus_" not in program.read():
            pytest.skip("built without libsystemd")
    plain = start_natd()
    assert not loaded(plain)
    plain.stop()
    assert loaded(start_natd(environment=manager.environment()))


def test_journal_gets_fields(lab, start_natd, manager):
    """Played here as well: the journal's socket lies below /run, which is the tests' own."""
    os.makedirs("/run/systemd/journal", exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind("/run/systemd/journal/socket")
        journal.settimeout(10)
        try:
            natd = start_natd({"more": 'log = { target = "journal"; };'}, ready=False)
            process = lab.gateway.start(NATD, "-c", natd.config_path, env={**os.environ, **manager.environment()})
            manager.wait("READY")
            entries = _entries(journal, "ready")
            os.unlink(natd.config_path)
            process.send_signal(signal.SIGHUP)
            entries += _entries(journal, "not reloaded")
            lab.gateway.run("ip", "link", "del", "natd0")
            entries += _entries(journal, "the device is gone")
            assert netlab.stop(process) == 0
        finally:
            os.unlink("/run/systemd/journal/socket")
    ready, refused, gone = (next(e for e in entries if text in e["MESSAGE"])
                            for text in ("ready", "not reloaded", "the device is gone"))
    assert (ready["PRIORITY"], ready["NATD_SUBSYSTEM"], ready["SYSLOG_IDENTIFIER"]) == ("5", "main", "natd")
    assert "NATD_CAUSE" not in ready
    assert [entry["MESSAGE_ID"] for entry in (ready, refused, gone)] == [  # fault 46: as natd(8) lists them
        "0558738ea4d1473ca8e75e83462e477c", "c1cadb1bd71147f8bc786a2d3692d03c", "171ae379eb424810b4f76fd122c35568"]
    assert refused["PRIORITY"] == gone["PRIORITY"] == "3"
    assert (gone["NATD_SUBSYSTEM"], gone["NATD_CAUSE"]) == ("tun", "EBADFD")
    assert int(gone["ERRNO"]) > 0


def _entries(journal, last):
    """What comes up to the entry whose message has this text."""
    found = []
    while not found or last not in found[-1]["MESSAGE"]:
        found.append(dict(line.split("=", 1) for line in journal.recv(65536).decode().splitlines()))
    return found


# ---- signals and the configuration ----

def test_sighup_applies_the_new_configuration(lab, natd, udp_echo):
    udp_echo()
    with lab.client.udp() as sock:
        seen = udp_exchange(sock)
        natd.write_config({"more": 'forwards = ( { name = "web"; protocol = "tcp"; port = 80; to = "10.8.0.2"; } );'})
        natd.send_signal(signal.SIGHUP)
        natd.wait_log("configuration reloaded: 1 sessions kept, 0 ended")
        assert "web" in natd.ctl("forwards").stdout
        assert udp_exchange(sock) == seen


def test_bad_configuration_changes_nothing(lab, natd, udp_echo):
    udp_echo()
    with lab.client.udp() as sock:
        seen = udp_exchange(sock)
        before = lab.gateway.network_state()
        with open(natd.config_path, "a", encoding="utf-8") as config:
            config.write("timeouts = { udp = -3; icpm = 60; };\n")
        done = natd.ctl("reload", check=False)
        assert done.returncode == 1
        assert re.search(rf"^.*{natd.config_path}:\d+: .*icpm.*icmp", done.stdout + done.stderr, re.MULTILINE)
        assert lab.gateway.network_state() == before
        assert udp_exchange(sock) == seen


@pytest.mark.parametrize("change, key", [
    ('tun = { name = "natd7"; };', "tun.name"), ("tun = { offload = false; };", "tun.offload")])
def test_what_cannot_change_is_refused_not_ignored(lab, natd, change, key):
    natd.write_config({"more": change})
    done = natd.ctl("reload", check=False)
    assert done.returncode == 1
    assert f"{key} cannot change while natd runs" in done.stdout + done.stderr


def test_sessions_that_the_new_configuration_forbids_end(lab, natd, udp_echo):
    udp_echo()
    with lab.client.udp() as sock, lab.clients[1].udp() as other:
        udp_exchange(sock)
        udp_exchange(other)
        natd.write_config(natd_config_with_prefix(natd, "10.8.0.2/32"))
        text = natd.ctl("reload").stdout
        assert re.search(r"1 .*1 ended", text), text
        assert [entry["inside"]["address"] for entry in natd.json("list")] == ["10.8.0.2"]


def natd_config_with_prefix(natd, prefix):
    with open(natd.config_path, encoding="utf-8") as config:
        return config.read().replace(Lab.INSIDE, prefix)


# ---- what is left behind ----

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_puts_everything_back(lab, start_natd, udp_echo, number):
    udp_echo()
    before = lab.gateway.network_state()
    natd = start_natd()
    assert lab.gateway.network_state() != before
    with lab.client.udp() as sock:
        udp_exchange(sock)
    assert natd.stop(number) == 0
    assert lab.gateway.network_state() == before
    assert not os.path.exists(natd.socket)


def test_second_signal_does_not_break_off_the_stop(lab, start_natd):
    before = lab.gateway.network_state()
    natd = start_natd()
    for _ in range(50):
        natd.send_signal(signal.SIGTERM)
        natd.send_signal(signal.SIGINT)
        natd.send_signal(signal.SIGHUP)
        if natd.process.poll() is not None:
            break
    assert ends(natd) == 0
    assert lab.gateway.network_state() == before


def test_what_a_crash_left_behind_is_taken_over_and_put_back(lab, start_natd, udp_echo):
    udp_echo()
    before = lab.gateway.network_state()
    natd = start_natd()
    running = lab.gateway.network_state()
    natd.process.kill()
    natd.process.wait()
    # Fails closed: with natd gone, nothing leaves untranslated.
    assert lab.client.run("ping", "-c", "1", "-W", "1", SERVER, check=False).returncode != 0
    start_again(natd)
    assert _without_indexes(lab.gateway.network_state()) == _without_indexes(running)
    with lab.client.udp() as sock:
        assert udp_exchange(sock)[0] == Lab.OUTSIDE
    assert natd.stop() == 0
    assert lab.gateway.network_state() == before


def _without_indexes(text):
    return re.sub(r"@if\d+", "", text)


def test_failed_start_leaves_nothing_behind(lab, start_natd, natd):
    """The second natd cannot have the TUN device: it says so, and the first one goes on."""
    before = lab.gateway.network_state()
    second = start_natd(ready=False)
    second.launch()
    assert ends(second) == 3
    assert re.search(r"^natd: error: .*natd0.*another natd", second.text(), re.MULTILINE), second.text()
    assert lab.gateway.network_state() == before
    assert natd.ctl("count").stdout == "0\n"


# ---- a host that changes ----

def ping(lab, tries=50):
    """Waits until a ping of the client is answered."""
    for _ in range(tries):
        if lab.client.run("ping", "-c", "1", "-W", "1", SERVER, check=False).returncode == 0:
            return
    raise AssertionError("no ping comes back")


def test_changed_address_of_the_outside_interface_is_followed(lab, natd, udp_echo):
    udp_echo()
    with lab.client.udp() as sock:
        assert udp_exchange(sock)[0] == Lab.OUTSIDE
        lab.gateway.run("ip", "addr", "add", "203.0.113.77/24", "dev", "out0")
        lab.gateway.run("ip", "addr", "del", f"{Lab.OUTSIDE}/24", "dev", "out0")
        if not lab.gateway.run("ip", "-4", "-brief", "addr", "show", "out0").stdout.count("203.0.113.77"):
            lab.gateway.run("ip", "addr", "add", "203.0.113.77/24", "dev", "out0")
        lab.gateway.run("ip", "route", "replace", "default", "via", Lab.ROUTER)
        natd.wait_log(r"interfaces or addresses changed: 0 sessions kept, 1 ended")
        until(lambda: "203.0.113.77" in natd.ctl("pools").stdout)
        assert udp_exchange(sock)[0] == "203.0.113.77"
        ping(lab)


def until(condition, timeout=5):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        select.select([], [], [], 0.02)


def test_lost_address_drops_and_regained_one_translates(lab, natd):
    ping(lab)
    lab.gateway.run("ip", "addr", "del", f"{Lab.OUTSIDE}/24", "dev", "out0")
    natd.wait_log(r"interfaces or addresses changed: 0 sessions kept, 1 ended")
    with lab.router.capture("up0") as seen:
        lab.client.run("ping", "-c", "1", "-W", "1", SERVER, check=False)
        assert not [p for p in seen.so_far() if p.src.startswith("10.8.")]
    lab.gateway.run("ip", "addr", "add", f"{Lab.OUTSIDE}/24", "dev", "out0")
    lab.gateway.run("ip", "route", "replace", "default", "via", Lab.ROUTER)
    ping(lab)


def test_outside_interface_recreated_is_followed(lab, natd):
    ping(lab)
    lab.gateway.run("ip", "link", "del", "out0")
    natd.wait_log("interfaces or addresses changed")
    said = len(natd.log)
    netlab.wire(lab.gateway, "out0", lab.router, "up0")
    lab.router.run("ip", "addr", "add", f"{Lab.ROUTER}/24", "dev", "up0")
    lab.gateway.run("ip", "addr", "add", f"{Lab.OUTSIDE}/24", "dev", "out0")
    lab.gateway.run("ip", "route", "replace", "default", "via", Lab.ROUTER)
    natd.wait_log("interfaces or addresses changed", since=said)
    ping(lab)


def test_deleted_tun_is_recreated(lab, natd):
    ping(lab)
    lab.gateway.run("ip", "link", "del", "natd0")
    natd.wait_log("natd0: the device is gone")
    natd.wait_log("natd0: recreated")
    ping(lab)


def test_tun_that_is_set_down_comes_up_again(lab, natd):
    lab.gateway.run("ip", "link", "set", "natd0", "down")
    natd.wait_log("put back")
    ping(lab)


def test_rules_that_somebody_deletes_are_put_back(lab, start_natd):
    natd = start_natd({"more": 'fast_path = { steering = "rules"; };'})
    before = lab.gateway.run("ip", "rule", "show").stdout
    lab.gateway.run("ip", "rule", "del", "pref", "55")
    natd.wait_log("another program changed rules, routes or settings that natd relies on: put back 1")
    assert lab.gateway.run("ip", "rule", "show").stdout == before


def test_start_without_the_outside_interface_waits_for_it(lab, start_natd):
    lab.gateway.run("ip", "link", "del", "out0")
    natd = start_natd()
    netlab.wire(lab.gateway, "out0", lab.router, "up0")
    lab.router.run("ip", "addr", "add", f"{Lab.ROUTER}/24", "dev", "up0")
    lab.gateway.run("ip", "addr", "add", f"{Lab.OUTSIDE}/24", "dev", "out0")
    lab.gateway.run("ip", "route", "replace", "default", "via", Lab.ROUTER)
    natd.wait_log("interfaces or addresses changed")
    ping(lab)


# ---- rights ----

@pytest.mark.parametrize("capability, purpose", [
    ("net_admin", "to create the TUN device"), ("net_raw", "to send translated packets")])
def test_missing_right_is_named_in_one_line(lab, start_natd, capability, purpose):
    without = ("setpriv", "--bounding-set", f"-{capability}", "--inh-caps", f"-{capability}")
    natd = start_natd(ready=False, prefix=without)
    before = lab.gateway.network_state()
    natd.launch()
    assert ends(natd) == 3
    line, = natd.text().splitlines()
    assert line.startswith(f"natd: error: CAP_{capability.upper()} is missing, needed {purpose}")
    assert lab.gateway.network_state() == before


def _has_uid(uid):
    with open("/proc/self/uid_map", encoding="ascii") as uid_map:
        ranges = [tuple(map(int, line.split())) for line in uid_map]
    return any(first <= uid < first + count for first, _, count in ranges)


def _status(natd):
    with open(f"/proc/{natd.pid()}/status", encoding="ascii") as status:
        return dict(line.rstrip("\n").split(":\t", 1) for line in status)


def test_becomes_the_natd_user_with_one_capability(lab, start_natd, udp_echo, tmp_path):
    uid = 64999
    if not _has_uid(uid):
        pytest.skip("no second user in this user namespace")
    with open("/etc/passwd", encoding="utf-8") as passwd:
        (tmp_path / "passwd").write_text(f"{passwd.read()}natd:x:{uid}:{uid}::/:/usr/sbin/nologin\n")
    os.chmod(tmp_path / "passwd", 0o644)
    fake = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/passwd && exec "$@"', tmp_path / "passwd")
    before = lab.gateway.network_state()
    natd = start_natd(prefix=fake, ready=False)
    inner = f"{natd.directory}/run"
    natd.socket = f"{inner}/natd.sock"
    natd.write_config({})
    natd.start()
    status = _status(natd)
    assert status["Uid"].split() == [str(uid)] * 4
    assert status["Gid"].split() == [str(uid)] * 4
    assert status["Groups"].split() == []
    assert int(status["CapPrm"], 16) == 1 << 12
    assert int(status["CapEff"], 16) == int(status["CapInh"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    owner = os.stat(natd.socket)
    assert (owner.st_uid, owner.st_gid, owner.st_mode & 0o777) == (uid, uid, 0o660)
    udp_echo()
    with lab.client.udp() as sock:
        udp_exchange(sock)
        assert "1 sessions go on" in natd.ctl("reload").stdout
        if os.stat("/dev/net/tun").st_mode & 0o006 == 0o006:
            lab.gateway.run("ip", "link", "del", "natd0")
            natd.wait_log("natd0: recreated")
            udp_exchange(sock)
    assert natd.stop() == 0
    assert lab.gateway.network_state() == before
    assert os.listdir(inner) == []


def test_user_who_cannot_be_looked_up_is_not_taken_for_none(lab, start_natd, tmp_path):
    """natd would stay uid 0."""
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "passwd").symlink_to("passwd")
    (etc / "nsswitch.conf").write_text("passwd: files\n")
    fake = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', etc)
    natd = start_natd(prefix=fake, ready=False)
    natd.launch()
    assert ends(natd) == 3
    line, = natd.text().splitlines()
    assert line.startswith('natd: error: cannot look up the user "natd", which natd becomes: Too many levels')


def test_starter_that_ignored_its_children(lab, start_natd, udp_echo):
    """Ignored signals stay so through exec. natd has children at its start, and waits for them."""
    udp_echo()
    natd = start_natd(prefix=("env", "--ignore-signal=CHLD"))
    with lab.client.udp() as sock:
        udp_exchange(sock)
    assert natd.stop() == 0


# ---- the command line ----

def run_natd(lab, *arguments):
    return lab.gateway.run(NATD, *arguments, check=False)


@pytest.mark.parametrize("arguments", [["--nonsense"], ["-c"], ["extra"]])
def test_wrong_usage_is_2(lab, arguments):
    done = run_natd(lab, *arguments)
    assert done.returncode == 2
    assert "usage: natd" in done.stderr


@pytest.mark.parametrize("option, first", [("-V", "natd "), ("--version", "natd "), ("-h", "usage: natd"),
                                           ("--help", "usage: natd")])
def test_version_and_help(lab, option, first):
    done = run_natd(lab, option)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(first)


def test_t_says_everything_and_touches_nothing(lab, tmp_path):
    config = tmp_path / "natd.conf"
    config.write_text('outside = { interfce = "out0"; };\ninside = { prefixes = [ "10.8.0.1/24" ]; };\n')
    before = lab.gateway.network_state()
    done = run_natd(lab, "-t", "-c", config)
    assert done.returncode == 1
    assert re.search(rf"^{config}:1: .*interfce.*interface", done.stderr, re.MULTILINE), done.stderr
    assert re.search(rf"^{config}:2: .*10\.8\.0\.1/24", done.stderr, re.MULTILINE), done.stderr
    config.write_text('outside = { interface = "out0"; };\ninside = { interfaces = [ "lan0" ]; };\n')
    done = run_natd(lab, "--test", "--config", config)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{config}: the configuration is valid") and done.stdout.count("\n") == 1
    assert lab.gateway.network_state() == before


def test_fault_48_t_warns_of_what_this_host_does_not_have(lab, tmp_path):
    config = tmp_path / "natd.conf"
    config.write_text('outside = { interface = "nowhere0"; };\ninside = { interfaces = [ "lan0", "nowhere1" ]; };\n'
                      'control = { group = "nosuchgroup"; };\n')
    done = run_natd(lab, "-t", "-c", config)
    assert done.returncode == 0
    for interface, line in (("nowhere0", 1), ("nowhere1", 2)):
        assert re.search(rf'^{config}:{line}: warning: .*no interface "{interface}"', done.stderr, re.MULTILINE)
    assert "lan0" not in done.stderr and 'no group "nosuchgroup"' in done.stderr


def test_fault_47_a_group_that_does_not_exist_is_named(lab, start_natd):
    natd = start_natd({"more": ""}, ready=False)
    with open(natd.config_path, encoding="ascii") as file:
        text = file.read()
    natd.write_config(re.sub(r"control = \{", 'control = { group = "nosuchgroup";', text))
    natd.launch()
    assert ends(natd) == 3
    assert 'no group "nosuchgroup"' in natd.text()
    assert not os.path.exists(natd.socket)


def test_missing_configuration_is_1(lab, start_natd):
    natd = start_natd(ready=False)
    os.unlink(natd.config_path)
    natd.launch()
    assert ends(natd) == 1
    assert natd.config_path in natd.text()


# ---- --state ----

def test_state_file_carries_sessions_over_a_stop(lab, start_natd, udp_echo, tmp_path):
    udp_echo()
    state = tmp_path / "state"
    natd = start_natd(options=("--state", state))
    with lab.client.udp() as sock:
        seen = udp_exchange(sock)
        entry, = natd.json("list")
        assert natd.stop() == 0
        assert state.exists()
        start_again(natd)
        natd.wait_log("restored 1 sessions")
        again, = natd.json("list")
        assert (again["id"], again["outside"]) == (entry["id"], entry["outside"])
        assert udp_exchange(sock) == seen
    assert not state.exists()  # it serves once


def test_restored_sessions_that_the_configuration_forbids_by_now_end(lab, start_natd, udp_echo, tmp_path):
    udp_echo()
    natd = start_natd(options=("--state", tmp_path / "state"))
    with lab.client.udp() as sock, lab.clients[1].udp() as other:
        udp_exchange(sock)
        udp_exchange(other)
        assert natd.stop() == 0
        natd.write_config(natd_config_with_prefix(natd, "10.8.0.2/32"))
        start_again(natd)
        natd.wait_log("restored 2 sessions, .* ended 1 that the configuration forbids")
        assert [entry["inside"]["address"] for entry in natd.json("list")] == ["10.8.0.2"]


def _damage(data, how):
    at = {"head": 3, "version": 8, "boot": 20, "sum": 76, "extent": 84}.get(how)
    if how == "cut":
        return data[:-100]
    if how == "empty":
        return b""
    if how == "body":
        at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1:]


@pytest.mark.parametrize("how", ["head", "version", "boot", "sum", "extent", "body", "cut", "empty"])
def test_damaged_state_file_is_refused_and_the_start_clean(lab, start_natd, udp_echo, tmp_path, how):
    udp_echo()
    state = tmp_path / "state"
    natd = start_natd(options=("--state", state))
    with lab.client.udp() as sock:
        udp_exchange(sock)
        assert natd.stop() == 0
        state.write_bytes(_damage(state.read_bytes(), how))
        start_again(natd)
        assert re.search(rf"state file {state}: .*: starting with an empty table", natd.text()), natd.text()
        assert natd.ctl("count").stdout == "0\n"
        udp_exchange(sock)


def test_fault_14_packets_go_on_while_the_configuration_is_read(lab, natd, udp_echo):
    """However long that takes: here the file is a pipe that is not written yet."""
    udp_echo()
    with open(natd.config_path, encoding="utf-8") as config:
        text = config.read()
    os.unlink(natd.config_path)
    os.mkfifo(natd.config_path)
    reload = subprocess.Popen([NATCTL, "-s", natd.socket, "reload"], stdout=subprocess.PIPE)
    with open(natd.config_path, "w", encoding="utf-8") as pipe:  # natd has begun to read
        for _ in range(20):
            with lab.client.udp() as sock:
                sock.sendto(b"x", (Lab.SERVERS[0], 7))
                assert sock.recv(100)
        assert reload.poll() is None
        pipe.write(text)
    assert "reloaded" in reload.communicate(timeout=10)[0].decode()
    assert reload.returncode == 0
