# SPDX-License-Identifier: ISC
"""What is left of natd's rights once it serves, and that it dies when it reaches for more."""
import os
import re
import signal
import subprocess
import time

import pytest

import faults
from conftest import NATD, STEERING

CAP_NET_ADMIN = 1 << 12
CAP_NET_RAW = 1 << 13


def _status(natd, thread=None):
    with open(f"/proc/{natd.pid()}/task/{thread or natd.pid()}/status", encoding="ascii") as status:
        return dict(line.rstrip("\n").split(":\t", 1) for line in status)


def _until(true, timeout=5):
    end = time.monotonic() + timeout
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _is_sanitized():
    with open(NATD, "rb") as program:
        return b"__asan_" in program.read()


@pytest.fixture
def breaking():
    """breaking(what): the prefix for a natd that does that on SIGUSR1."""
    reason = faults.why_not(NATD)
    if reason:
        pytest.skip(reason)
    made = faults.Faults()
    yield made.prefix
    made.close()


# ---- the process ----

def test_only_one_capability_is_permitted_and_none_in_effect(natd):
    status = _status(natd)
    assert int(status["CapPrm"], 16) == CAP_NET_ADMIN
    for left in ("CapEff", "CapInh", "CapBnd", "CapAmb"):
        assert int(status[left], 16) == 0, left
    assert status["NoNewPrivs"] == "1"


def test_nothing_comes_back_with_a_reload(natd):
    before = _status(natd)
    natd.ctl("reload")
    after = _status(natd)
    for key in ("Uid", "Gid", "CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"):
        assert before[key] == after[key], key


def _nice(pid):
    return {os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in os.listdir(f"/proc/{pid}/task")}


def _may_run_before_others():
    """The kernel requires CAP_SYS_NICE over the whole machine, not over a user namespace."""
    return subprocess.run(["nice", "-n", "-1", "true"], capture_output=True, text=True, check=False).stderr == ""


def test_packets_come_before_ordinary_programs(start_natd):
    natd = start_natd({"more": "tun = { queues = 2; };"})
    ours = os.getpriority(os.PRIO_PROCESS, 0)  # `nice ./check`: natd keeps a nice value that its starter chose (fault 50)
    expected = ours or (-10 if _may_run_before_others() else 0)
    assert _nice(natd.pid()) == {expected}
    assert ("running at nice 0" in natd.text()) == (expected == 0)


def test_another_nice_value_is_its_starters_choice(start_natd):
    natd = start_natd(prefix=("nice", "-n", "5"))
    assert _nice(natd.pid()) == {min(os.getpriority(os.PRIO_PROCESS, 0) + 5, 19)}
    assert "running at nice 0" not in natd.text()


def test_a_system_call_filter_is_in_force(natd):
    if _is_sanitized():
        pytest.skip("sanitizers make calls of their own: such builds have no filter")
    for thread in os.listdir(f"/proc/{natd.pid()}/task"):
        assert _status(natd, thread)["Seccomp"] == "2"
        assert _status(natd, thread)["NoNewPrivs"] == "1"


def test_a_build_without_a_filter_says_so(start_natd):
    natd = start_natd(options=("-v",))
    assert ("no system call filter: " in natd.text()) == (_status(natd)["Seccomp"] != "2")


def test_not_dumpable(natd):
    """Without CAP_SYS_PTRACE no process may look into it, or trace it, even of the same user."""
    if _is_sanitized():
        pytest.skip("the leak check of AddressSanitizer traces its own process")
    like_natd = ("setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all")
    with subprocess.Popen([*like_natd, "sleep", "60"]) as other:
        open_one = _until(lambda: subprocess.run([*like_natd, "cat", f"/proc/{other.pid}/environ"],
                                                 capture_output=True).returncode == 0)
        other.kill()
    assert open_one
    done = subprocess.run([*like_natd, "cat", f"/proc/{natd.pid()}/environ"], capture_output=True, text=True)
    assert done.returncode == 1 and "Permission denied" in done.stderr


def test_open_descriptors_are_few_and_known(natd):
    fds = f"/proc/{natd.pid()}/fd"
    known = re.compile(r"^(/dev/(null|net/tun)|pipe:.*|socket:.*|anon_inode:\[event(poll|fd)\]|/memfd:natd-table.*|anon_inode:bpf[-_](prog|link|map))$")
    held = {fd: os.readlink(f"{fds}/{fd}") for fd in os.listdir(fds)}
    inherited = {os.readlink(f"/proc/{os.getpid()}/fd/{fd}") for fd in (0, 1)}
    assert [target for target in held.values() if not known.match(target) and target not in inherited] == []
    steering = [target for target in held.values() if "bpf" in target]
    assert len(steering) <= (16 if STEERING == "bpf" else 0), held
    assert len(held) - len(steering) <= (26 if STEERING == "bpf" else 25), held  # changes of routes


# ---- a broken rule ----

@pytest.mark.parametrize("what", ["execve", "fork", "ptrace", "raw socket", "packet socket", "code", "truncate", "kill",
                                  "ioctl"])
def test_what_is_not_allowed_kills(lab, start_natd, breaking, what):
    natd = start_natd(prefix=breaking(what))
    if _status(natd)["Seccomp"] != "2":
        pytest.skip("a build without the system call filter")
    natd.send_signal(signal.SIGUSR1)
    assert natd.process.wait(10) == -signal.SIGSYS
    # What it had no time to put back, the next one does.
    natd = start_natd()
    natd.ctl("status")


def test_paths_are_out_of_reach(start_natd, breaking):
    natd = start_natd(prefix=breaking("path"), options=("-v",))
    if "has no Landlock" in natd.text():
        pytest.skip("a kernel without Landlock")
    natd.send_signal(signal.SIGUSR1)
    assert natd.process.wait(10) == 42


# ---- what goes on inside of it ----

def test_reload_of_a_file_replaced_by_rename(start_natd):
    natd = start_natd()
    text = open(natd.config_path, encoding="utf-8").read()
    with open(f"{natd.config_path}.new", "w", encoding="utf-8") as new:
        new.write(text + "timeouts = { udp = 301; };\n")
    os.rename(f"{natd.config_path}.new", natd.config_path)
    natd.ctl("reload")


def test_reload_through_a_link(start_natd, tmp_path):
    natd = start_natd(ready=False)
    os.chmod(tmp_path, 0o755)
    os.rename(natd.config_path, tmp_path / "elsewhere.conf")
    os.symlink(tmp_path / "elsewhere.conf", natd.config_path)
    natd.start()
    natd.ctl("reload")


def test_a_changed_group_needs_a_restart(start_natd):
    natd = start_natd()
    text = open(natd.config_path, encoding="utf-8").read()
    with open(natd.config_path, "w", encoding="utf-8") as config:
        config.write(text.replace("control = {", 'control = { group = "root";'))
    done = natd.ctl("reload", check=False)
    assert done.returncode == 1
    assert "control.group cannot change while natd runs" in done.stdout + done.stderr
    natd.ctl("status")


def test_mode_of_the_socket_changes_with_a_reload(start_natd):
    natd = start_natd()
    text = open(natd.config_path, encoding="utf-8").read()
    with open(natd.config_path, "w", encoding="utf-8") as config:
        config.write(text.replace("control = {", 'control = { mode = "0600";'))
    natd.ctl("reload")
    assert os.stat(natd.socket).st_mode & 0o777 == 0o600
