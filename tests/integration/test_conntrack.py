# SPDX-License-Identifier: ISC
"""natctl beside the real conntrack(8): the same entries, the same options, the same lines (fault 42).

`conntrack -R` loads what `natctl -o save` prints into a namespace of its own; from then on both list the same table.
"""
import re
import shutil

import pytest

from netlab import Namespace
from test_control import sessions  # noqa: F401  pylint: disable=unused-import

pytestmark = pytest.mark.skipif(not shutil.which("conntrack"), reason="conntrack is not installed")


@pytest.fixture
def both(sessions, tmp_path):  # noqa: F811  pylint: disable=redefined-outer-name
    """run(arguments) of natctl and of conntrack."""
    saved = tmp_path / "saved"
    saved.write_text(sessions.ctl("-L", "-o", "save").stdout, encoding="ascii")
    namespace = Namespace("conntrack")
    try:
        done = namespace.run("conntrack", "-R", saved, check=False)
        if done.returncode != 0:
            if "modprobe" in done.stderr or "not supported" in done.stderr:
                pytest.skip(f"this kernel has no connection tracking: {done.stderr}")
            pytest.fail(f"conntrack does not read what natctl saves: {done.stderr}\n{saved.read_text()}")
        yield (lambda *arguments: sessions.ctl(*arguments, check=False),
               lambda *arguments: namespace.run("conntrack", *arguments, check=False))
    finally:
        namespace.close()


def alike(text):
    """Lines without what differs in any two tables: order, seconds left, counters (off in the kernel), entry ids.
    conntrack cannot load the reply's ICMP id either: it has one option for both."""
    text = re.sub(r" (packets|bytes)=\d+", "", text)
    text = re.sub(r"( \d+) \d+ (?=src=|[A-Z])", r"\1 ", text)
    text = re.sub(r"-t \d+", "-t", text)
    text = re.sub(r"(?<=mark=0 use=1) id=\d+$", "", text, flags=re.MULTILINE)
    text = re.sub(r"(?<=type=0 code=0) id=\d+", "", text)
    return sorted(text.splitlines())


@pytest.mark.parametrize("options", ["-o mark", "-o mark,id", "-o extended,mark", "-o mark,extended,id",
                                     "-o mark,timestamp", "-o save"])
def test_fault_42_lines_are_conntracks(both, options):
    natctl, conntrack = both
    real = options.replace("mark,", "").replace(",mark", "").replace("-o mark", "")  # conntrack always prints it
    ours, theirs = natctl("-L", *options.split()), conntrack("-L", *real.split())
    assert alike(ours.stdout) == alike(theirs.stdout) and len(alike(ours.stdout)) == 4
    assert ours.stderr.split(": ")[1] == theirs.stderr.split(": ")[1]


@pytest.mark.parametrize("options", [
    "-p tcp", "-p udp", "-f ipv4", "-u ASSURED", "-u SEEN_REPLY", "-u seen_reply,assured", "-p tcp --reply-port-src 443",
    "-p tcp --reply-port-dst 1", "-p udp --dport 7", "-p udp --orig-port-dst 9", "-p icmp --icmp-type 8",
    "-p icmp --icmp-type 0", "-p icmp --icmp-type 8 --icmp-code 0", "-p icmp --icmp-id 1", "-s 10.8.0.2", "-d 1.2.3.4",
    "-q 203.0.113.1", "-r 198.51.100.10", "--src 10.8.0.3", "--proto udp", "--dst 198.51.100.10",
    "-p tcp --state ESTABLISHED", "-p tcp --state CLOSE", "-z", "--zero", "conntrack", "conntrack -p udp",
])
def test_fault_42_options_choose_what_conntrack_chooses(both, options):
    natctl, conntrack = both
    for command in ("-L", "--dump"):
        ours, theirs = natctl("-o", "mark", command, *options.split()), conntrack(command, *options.split())
        assert ours.returncode == theirs.returncode == 0, ours.stderr + theirs.stderr
        assert alike(ours.stdout) == alike(theirs.stdout)


def test_fault_42_counters_set_to_zero(sessions):  # noqa: F811  pylint: disable=redefined-outer-name
    """As of conntrack -L -z: the counters of what is shown, as they are, and then from zero. What was answered stays so."""
    before = {e["id"]: e for e in sessions.json("list", "-z", "-p", "udp")}
    after = {e["id"]: e for e in sessions.json("list")}
    assert before and all(e["out"]["packets"] > 0 for e in before.values())
    for number, entry in after.items():
        assert (entry["out"]["packets"] == 0) == (number in before)
        assert entry["flags"] == before.get(number, entry)["flags"]


@pytest.mark.parametrize("arguments, code", [
    ("-C", 0), ("--count", 0), ("-D -p tcp --sport 1", 1), ("--delete -p icmp", 0), ("-L expected", 2),
    ("-L -p nosuch", 2), ("-L -s nosuch", 2), ("-L --nosuch", 2), ("-L -u NOSUCH", 2), ("-F", 0), ("--flush", 0),
])
def test_fault_42_exit_codes_are_conntracks(both, arguments, code):
    natctl, conntrack = both
    ours, theirs = natctl("-o", "mark", *arguments.split()), conntrack(*arguments.split())
    assert ours.returncode == code, ours.stderr
    assert theirs.returncode == code, theirs.stderr
    assert alike(ours.stdout) == alike(theirs.stdout)
