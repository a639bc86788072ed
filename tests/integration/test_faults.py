# SPDX-License-Identifier: ISC
"""Faults: each call of the start, of a reload and of a stop fails in turn, and the running daemon loses what it has.

Each test here goes through the calls of libfault.c's functions: all of a reload and of a stop, a sample of the many of
a start. NATD_FAULTS_ALL=1 takes all of these too, NATD_FAULTS_ALL=2/5 the second fifth of them. What was found stands in
docs/lab/reliability.md.
"""
import concurrent.futures
import errno
import os
import queue
import re
import signal
import subprocess
import threading
import time

import pytest

import faults
import netlab
from conftest import NATD, Natd
from faults import Faults
from netlab import Lab
from test_service import SERVER, udp_exchange

ALL = os.environ.get("NATD_FAULTS_ALL", "")
PART, PARTS = (int(n) for n in ALL.split("/")) if "/" in ALL else (1, 1)
SAMPLE, STEP = 6, 50  # so many calls of a function at least, and each 50th
LANES = 3  # natds at a time
PORTS = (5353, 5454)
# Their failure is nothing that a kernel would do to a program.
NEVER_FAIL = {"recv", "epoll_wait"}
# It does not survive an allocation that fails. At the start natd has not touched the host yet when it reads its file.
UNSAFE_LIBRARY = "libconfig"
CRASHES = (-signal.SIGSEGV, -signal.SIGABRT)
SCANNER_ENDS = 2  # what flex does in libconfig
# The dynamic linker ends the program when there is no memory for a library's thread-local data.
LINKER, LINKER_ENDS = "ld-linux", 127


def configuration(port, udp):
    """What differs between two of them are rules, a forward and a time-out; sessions go on from one to the other."""
    return {"addresses": '[ "interface", "203.0.113.40" ]',
            "more": f'timeouts = {{ udp = {udp}; }};\n'
                    f'forwards = ( {{ name = "dns"; protocol = "udp"; port = {port}; to = "10.8.0.2:53"; }} );'}


CONFIG, OTHER_CONFIG = configuration(PORTS[0], 300), configuration(PORTS[1], 400)


def sampled(count):
    """Numbers from 1 to count: a sample with the first and the last."""
    if count <= SAMPLE:
        return list(range(1, count + 1))
    wanted = max(SAMPLE, count // STEP)
    return sorted({1 + i * (count - 1) // (wanted - 1) for i in range(wanted)})


@pytest.fixture(scope="module")
def lab(request):
    """One for all tests of this file: each leaves it as it was, which is what they are about."""
    if request.config.netlab_reason:
        pytest.skip(request.config.netlab_reason)
    if faults.why_not(NATD):
        pytest.skip(faults.why_not(NATD))
    made = netlab.Lab()
    yield made
    made.close()


NOT_SAID = "neither ready nor ended"


class Faulty:
    """natd with faults on order in a lab, and what the network was before."""

    def __init__(self, lab):
        self.lab = lab
        self.faults = Faults()
        self.before = lab.gateway.network_state()
        self.natd = None

    def launch(self, config=None, options=()):
        self.natd = Natd(self.lab.gateway, config or CONFIG, options, prefix=self.faults.prefix())
        self.natd.launch()
        return self.natd

    def start(self, config=None, options=()):
        self.launch(config, options).wait_log("^natd: ready", 10)
        return self.natd

    def outcome(self):
        """True when ready, else its exit status."""
        end = time.monotonic() + 15
        while time.monotonic() < end:
            if "natd: ready" in self.natd.log:
                return True
            if self.natd.process.poll() is not None:
                self.natd._reader.join(5)
                return True if "natd: ready" in self.natd.log else self.natd.process.returncode
            time.sleep(0.005)
        return NOT_SAID

    def left(self):
        """What is left behind that was not there before, as text."""
        found = []
        if self.lab.gateway.network_state() != self.before:
            before, after = self.before.splitlines(), self.lab.gateway.network_state().splitlines()
            found = [f"-{line}" for line in before if line not in after]
            found += [f"+{line}" for line in after if line not in before]
        found += [name for name in os.listdir(self.natd.directory) if name not in ("natd.conf", "state")]
        return "; ".join(found)

    def clear(self):
        if self.natd and self.natd.process.poll() is None:
            self.natd.process.kill()
            self.natd.process.wait()
        if self.natd:
            subprocess.run(["rm", "-rf", self.natd.directory], check=True)
        self.natd = None
        self.faults.reset()

    def mend(self):
        """A natd without faults, at the same place, takes over whatever was left, and puts it back."""
        self.faults.reset()
        if self.natd.process.poll() is None:
            self.natd.process.kill()
            self.natd.process.wait()
        self.natd.log.clear()
        self.natd.start()
        self.natd.stop()

    def close(self):
        self.clear()
        self.faults.close()


@pytest.fixture
def faulty(lab):
    made = Faulty(lab)
    yield made
    made.close()


@pytest.fixture(scope="module")
def counts(lab):
    """How often each function is called by the start, by a reload and by a stop."""
    one = Faulty(lab)
    state = f"{one.faults.prefix()[2].split('=')[1]}.state"
    found = {}
    try:
        one.start(options=("--state", state))
        found["start"] = one.faults.calls()
        one.faults.reset()
        one.natd.write_config(OTHER_CONFIG)
        one.natd.ctl("reload")
        found["reload"] = one.faults.calls()
        one.faults.reset()
        assert one.natd.stop() == 0
        found["stop"] = one.faults.calls()
    finally:
        one.close()
        if os.path.exists(state):
            os.unlink(state)
    for calls in found.values():
        for name in NEVER_FAIL:
            calls[name] = 0
    return found


def each_call(calls):
    """(function, number of the call) for each call."""
    return [(name, n) for name, count in calls.items() for n in range(1, count + 1)]


def calls_of_the_start(calls):
    """Those to fail: each start takes its time."""
    if ALL:
        return each_call(calls)[PART - 1::PARTS]
    return [(name, n) for name, count in calls.items() for n in sampled(count)]


def in_lanes(tries, work):
    """work(faulty, *try) for each try, in a few labs at a time: what it returns but None."""
    labs = [netlab.Lab() for _ in range(LANES)]
    free = queue.SimpleQueue()
    for made in labs:
        free.put(Faulty(made))

    def one(what):
        lane = free.get()
        try:
            try:
                problem = work(lane, *what)
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                problem = repr(error)
            if problem:
                problem = f"{what}: {problem}\n    {lane.natd.text()}"
                lane.mend()
            lane.clear()
            return problem
        finally:
            free.put(lane)

    try:
        with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
            return [problem for problem in pool.map(one, tries) if problem]
    finally:
        while not free.empty():
            free.get().close()
        for made in labs:
            made.close()


def none_of(problems):
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems)


def one_clear_line(text):
    """What is wrong with what natd said when it did not start, or None."""
    errors = [line for line in text.splitlines() if line.startswith("natd: error: ") or re.match(r"^/.*: (?!warning)", line)]
    return None if len(errors) == 1 else f"not one clear line, but {len(errors)}"


# ---- start ----

def starts_or_says_why(lane, function, call):
    lane.faults.arm(function, call)
    lane.launch(options=("--state", f"{lane.faults.prefix()[2].split('=')[1]}.state"))
    got = lane.outcome()
    if lane.faults.disarm() == 0 and got is not True:
        return f"no fault, but {got}"
    # The line that says so may be what could not be written: then the answer to a request says it.
    if got is True or (function == "write" and got == NOT_SAID):
        lane.natd.ctl("status", timeout=3)
        status = lane.natd.stop()
        return f"ended with {status}" if status else lane.left()
    if got in (*CRASHES, SCANNER_ENDS) and lane.faults.library().startswith(UNSAFE_LIBRARY):
        return lane.left()
    if got == LINKER_ENDS and lane.faults.library().startswith(LINKER):
        return lane.left()
    if got not in (1, 3):
        return f"{lane.faults.library()}: ended with {got}"
    return one_clear_line(lane.natd.text()) or lane.left()


def test_every_call_of_the_start_may_fail(lab, counts):
    none_of(in_lanes(calls_of_the_start(counts["start"]), starts_or_says_why))


def stops_cleanly(lane, call):
    everything = [name for name in faults.FUNCTIONS if name not in ("malloc", "calloc", "realloc")]
    lane.faults.arm(everything, call, signal=signal.SIGTERM)
    lane.launch()
    try:
        status = lane.natd.process.wait(15)
    except subprocess.TimeoutExpired:
        return "did not end"
    lane.natd._reader.join(5)
    # Before natd catches signals it has done nothing, and just dies.
    return f"ended with {status}" if status not in (0, -signal.SIGTERM) else lane.left()


def test_sigterm_at_every_call_of_the_start(lab, counts):
    total = sum(count for name, count in counts["start"].items() if name not in ("malloc", "calloc", "realloc"))
    tries = range(PART, total + 1, PARTS) if ALL else range(1, total + 1, max(1, total // 24))
    none_of(in_lanes([(n,) for n in tries], stops_cleanly))


# ---- reload ----

def rules(lab):
    """Which there are; among those of one preference the order does not matter."""
    text = "".join(lab.gateway.run("ip", "-4", *what).stdout for what in (
        ("rule", "show"), ("neigh", "show", "proxy"), ("route", "show", "table", "all")))
    return sorted(text.splitlines())


def in_force(natd):
    """Which of the two configurations natd itself says that it has."""
    text = natd.ctl("-j", "forwards").stdout
    assert (str(PORTS[0]) in text) != (str(PORTS[1]) in text), text
    return CONFIG if str(PORTS[0]) in text else OTHER_CONFIG


def reloads(natd):
    """Does natctl say that the configuration was reloaded? (The log holds back what repeats too often.)"""
    return natd.ctl("reload", check=False).returncode == 0


def test_every_call_of_a_reload_may_fail(lab, counts, faulty, udp_echo):
    udp_echo()
    natd = faulty.start()
    faulty.faults.spare(UNSAFE_LIBRARY)
    expected = {id(CONFIG): rules(lab)}
    natd.write_config(OTHER_CONFIG)
    assert reloads(natd)
    expected[id(OTHER_CONFIG)] = rules(lab)
    now, problems = OTHER_CONFIG, []
    with lab.client.udp() as sock:
        seen = udp_exchange(sock)
        for function, call in each_call(counts["reload"]):
            wanted = CONFIG if now is OTHER_CONFIG else OTHER_CONFIG
            natd.write_config(wanted)
            faulty.faults.arm(function, call)
            said = reloads(natd)
            faulty.faults.disarm()
            what = f"{function} {call} ({faulty.faults.library()})"
            if natd.process.poll() is not None:
                problems.append(f"{what}: ended with {natd.process.returncode}")
                break
            has = in_force(natd)
            if said and has is not wanted:
                problems.append(f"{what}: said that it reloaded, and did not")
            differ = set(rules(lab)) ^ set(expected[id(has)])
            if differ:
                problems.append(f"{what}: the rules are not those of the configuration in force: {sorted(differ)}")
            if udp_exchange(sock) != seen:
                problems.append(f"{what}: the session did not go on")
            if has is not wanted and not reloads(natd):
                problems.append(f"{what}: the next reload fails too")
            now = in_force(natd)
    none_of(problems)
    assert natd.stop() == 0
    assert faulty.left() == ""


# ---- stop ----

def stops_as_far_as_it_can(lane, function, call):
    lane.start(options=("--state", f"{lane.faults.prefix()[2].split('=')[1]}.state"))
    lane.faults.arm(function, call)
    lane.natd.send_signal(signal.SIGTERM)
    try:
        status = lane.natd.process.wait(15)
    except subprocess.TimeoutExpired:
        return "did not end"
    lane.natd._reader.join(5)
    if status not in (0, 3):
        return f"ended with {status}"
    left = lane.left()
    if left and not re.search("not everything could be put back|cannot|not saved", lane.natd.text()):
        return f"did not say what it left: {left}"
    if left:
        lane.mend()
        again = lane.left()
        return f"the next natd did not mend {left}: {again}" if again else None
    return None


def test_every_call_of_a_stop_may_fail(lab, counts):
    none_of(in_lanes(each_call(counts["stop"]), stops_as_far_as_it_can))


# ---- the running daemon ----

@pytest.fixture
def serving(lab, faulty, udp_echo):
    """natd with faults on order, and a function that sends a datagram through until the answer comes."""
    udp_echo()
    natd = faulty.start()
    sock = lab.client.udp()
    sock.settimeout(0.2)

    def exchange():
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                return udp_exchange(sock)
            except TimeoutError:
                continue
        raise AssertionError(f"no packet passes any more:\n{natd.text()}")

    exchange()
    yield natd, exchange
    sock.close()
    if natd.process.poll() is None:
        assert natd.stop() == 0
        assert faulty.left() == ""


@pytest.mark.parametrize("functions, error", [
    (("readv", "read"), errno.EAGAIN), (("readv", "read"), errno.EINTR), ("readv", errno.EIO),
    ("readv", errno.EBADFD), ("sendmmsg", errno.EAGAIN), ("sendmmsg", errno.EINTR),
    ("sendmmsg", errno.ENOBUFS), ("sendmmsg", errno.EMSGSIZE), ("sendmmsg", errno.ENETUNREACH),
    ("sendmmsg", errno.EIO), (("writev", "write"), errno.ENOBUFS), (("writev", "write"), errno.EIO),
    ("recv", errno.ENOBUFS), ("recv", errno.EHOSTUNREACH), ("recvfrom", errno.ENOBUFS), ("epoll_wait", errno.EINTR)])
def test_traffic_goes_on_after(serving, faulty, functions, error):
    natd, exchange = serving
    seen = exchange()
    faulty.faults.arm(functions, repeat=9, error=error)
    assert exchange() == seen
    faulty.faults.disarm()
    assert exchange() == seen
    natd.ctl("status")


def test_no_descriptor_is_free_for_a_while(serving, faulty):
    natd, exchange = serving
    faulty.faults.arm(("open", "fopen", "socket", "accept4"), repeat=40)
    exchange()
    natd.send_signal(signal.SIGHUP)
    natd.wait_log("not reloaded")
    exchange()
    faulty.faults.disarm()
    assert natd.ctl("reload").returncode == 0


@pytest.mark.parametrize("boottime_ms, realtime_s, goes_on", [
    (0, 366 * 86400, True), (0, -366 * 86400, True), (600_000, 0, False), (2**31 + 1000, 0, False)])
def test_clock_jumps(serving, faulty, boottime_ms, realtime_s, goes_on):
    """The wall clock does not matter. That of the boot time means that the machine slept: sessions ran out."""
    natd, exchange = serving
    before, = natd.json("list")
    faulty.faults.jump(boottime_ms, realtime_s)
    exchange()
    after, = natd.json("list")
    assert (after["id"] == before["id"]) == goes_on
    natd.ctl("reload")


def test_stopped_for_ten_seconds(serving):
    natd, exchange = serving
    seen = exchange()
    natd.send_signal(signal.SIGSTOP)
    time.sleep(10)
    natd.send_signal(signal.SIGCONT)
    assert exchange() == seen


def test_storm_of_reloads_under_traffic(serving):
    natd, exchange = serving
    seen, stop = exchange(), threading.Event()

    def storm():
        while not stop.is_set():
            natd.send_signal(signal.SIGHUP)
            time.sleep(0.01)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert exchange() == seen
    finally:
        stop.set()
        thread.join()
    natd.ctl("status")


def test_mtu_that_somebody_changes_is_put_back(lab, serving):
    _, exchange = serving
    lab.gateway.run("ip", "link", "set", "natd0", "mtu", "600")
    end = time.monotonic() + 5
    while "mtu 1500" not in lab.gateway.run("ip", "link", "show", "natd0").stdout:
        assert time.monotonic() < end
        time.sleep(0.05)
    exchange()


def test_inside_interface_renamed_and_back(lab, serving):
    natd, exchange = serving
    for name, other in (("lan0", "elsewhere"), ("elsewhere", "lan0")):
        since = len(natd.log)
        lab.gateway.run("ip", "link", "set", name, "down")
        lab.gateway.run("ip", "link", "set", name, "name", other)
        lab.gateway.run("ip", "link", "set", other, "up")
        natd.wait_log("interfaces or addresses changed|somebody changed", since=since)
    exchange()


def test_full_disk_for_the_state(lab, faulty, udp_echo, tmp_path):
    udp_echo()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", tmp_path], check=True)
    try:
        natd = faulty.start(options=("--state", tmp_path / "state"))
        (tmp_path / "filler").write_bytes(bytes(4096))
        with open(tmp_path / "filler", "ab", buffering=0) as filler, pytest.raises(OSError):
            while True:
                filler.write(bytes(4096))
        with lab.client.udp() as sock:
            udp_exchange(sock)
        assert natd.stop() == 0
        assert "the table is not saved" in natd.text()
        assert os.listdir(tmp_path) == ["filler"]
        assert faulty.left() == ""
    finally:
        subprocess.run(["umount", tmp_path], check=True)
