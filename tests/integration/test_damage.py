# SPDX-License-Identifier: ISC
"""What natd keeps over a restart, changed by something else, or by another version: the start is complete but for what is
damaged, or clean, and never wrong."""
import contextlib
import os
import re
import struct

import pytest

from conftest import NATD
from netlab import Lab
from records import Region, StateFile, arrays, make_former, set_version
from test_restart import exchange, identities, until

SERVER = Lab.SERVERS[0]

# What is damaged: array, offset in it (of its first record), and what must come of it.
#   clean  an empty table, and one line that says so
#   lost   that session is dropped; with the address all are
#   state  the session is as before or gone
#   kept   every session is there
DAMAGE = {
    "magic": ("header", 0, "clean"), "version": ("header", 8, "clean"), "header size": ("header", 12, "clean"),
    "session size": ("header", 16, "clean"), "cold size": ("header", 20, "clean"), "sessions": ("header", 24, "clean"),
    "addresses": ("header", 28, "clean"), "rests": ("header", 32, "clean"), "spare": ("header", 36, "clean"),
    "secret": ("header", 40, "clean"), "sum": ("header", 72, "clean"), "session top": ("header", 80, "clean"),
    "address top": ("header", 88, "clean"), "rest top": ("header", 96, "clean"),
    "address": ("address", 0, "lost"), "address state": ("address", 4, "lost"),
    "inside address": ("session", 0, "lost"), "remote address": ("session", 4, "lost"),
    "inside port": ("session", 8, "lost"), "remote port": ("session", 10, "lost"),
    "outside port": ("session", 12, "lost"), "slot": ("session", 14, "lost"), "kind": ("session", 16, "state"),
    "scale": ("session", 17, "kept"), "window": ("session", 18, "kept"), "seen": ("session", 20, "kept"),
    "bytes": ("session", 24, "kept"), "packets": ("session", 40, "kept"), "end": ("session", 48, "kept"),
    "acknowledged": ("session", 56, "kept"), "created": ("cold", 0, "kept"), "generation": ("cold", 4, "kept"),
    "check": ("cold", 6, "lost"), "rest's port": ("rest", 0, "kept"), "rest's slot": ("rest", 2, "kept"),
    "rest's class": ("rest", 4, "kept"), "rest's time": ("rest", 6, "kept"),
}
BITS = (0, 3, 7)
CLEAN = "the table of the previous natd .*: starting with an empty table"


def translations(natd):
    """Who is who to whom: all of a session that decides where its packets go."""
    return {tuple((side, *sorted(entry[side].items())) for side in ("inside", "outside", "remote")) + (
        entry["protocol"], entry["origin"]) for entry in natd.json("list")}


@contextlib.contextmanager
def sessions(lab, natd):
    """refill(): two sessions are there, and a port in quarantine."""
    with lab.client.udp() as first, lab.client.udp() as second:
        def refill():
            for sock in (first, second):
                sock.sendto(b"x", (SERVER, 7))
            until(lambda: len(natd.json("list")) == 2)
            with lab.client.udp() as third:
                exchange(third)
                natd.ctl("delete", "--sport", third.getsockname()[1])
            return translations(natd)

        yield refill


def flip(records, what, bit):
    array, offset, _ = DAMAGE[what]
    at = arrays(records)[array] + offset
    byte, = records.read(at, 1)
    records.write(at, bytes([byte ^ 1 << bit]))
    records.finish()


def judge(natd, what, before):
    """What the natd that has just started made of it."""
    outcome = DAMAGE[what][2]
    assert translations(natd) <= before
    if outcome == "clean":
        assert len(re.findall(CLEAN, natd.text())) == 1
        assert natd.json("list") == []
        return
    natd.wait_log("the restored table agrees with itself")  # it is checked exhaustively at this log level
    restored, dropped = map(int, re.search(r"restored (\d+) sessions, dropped (\d+) damaged", natd.text()).groups())
    assert restored == len(natd.json("list"))
    if outcome == "kept":
        assert (restored, dropped) == (2, 0)
    elif outcome == "lost":
        assert (restored, dropped) == ((0, 2) if what.startswith("address") else (1, 1))
    else:
        assert restored >= 1 and restored + dropped <= 2


@pytest.mark.parametrize("what", DAMAGE)
def test_damaged_memory_never_makes_a_wrong_table(lab, keep_natd, udp_echo, what):
    udp_echo()
    natd = keep_natd({"more": 'log = { level = "debug"; };'})
    with sessions(lab, natd) as refill:
        for bit in BITS:
            before = refill()
            natd.crash()
            flip(Region(natd.manager.kept("table")), what, bit)
            natd.start()
            judge(natd, what, before)
    with lab.client.udp() as sock:
        exchange(sock)


@pytest.mark.parametrize("is_mended", [False, True], ids=["as it is", "with the right sum"])
def test_damaged_file_never_makes_a_wrong_table(lab, start_natd, udp_echo, tmp_path, is_mended):
    """The file's sum finds everything. What it does not, because it was worked out afterwards, is found like in memory."""
    udp_echo()
    state = tmp_path / "state"
    natd = start_natd({"more": 'log = { level = "debug"; };'}, options=("--state", state))
    with sessions(lab, natd) as refill:
        for i, what in enumerate(DAMAGE):
            before = refill()
            assert natd.stop() == 0
            flip(StateFile(state, is_mended), what, BITS[i % len(BITS)])
            natd.start()
            if is_mended:
                judge(natd, what, before)
            else:
                natd.wait_log(f"state file {state}: damaged: starting with an empty table")
                assert natd.json("list") == []


def read_format(state):
    """Every byte class of the file's own format: name, offset."""
    return {"magic": 0, "version": 8, "reserved": 12, "boot": 16, "saved": 56, "saved by the wall": 64, "size": 72,
            "sum": 80, "extent's offset": 88, "extent's length": 96, "last extent": state.stat().st_size - 8}


def test_damaged_format_is_one_line_and_a_clean_start(lab, start_natd, udp_echo, tmp_path):
    udp_echo()
    state = tmp_path / "state"
    natd = start_natd(options=("--state", state))
    with sessions(lab, natd) as refill:
        refill()
        assert natd.stop() == 0
        whole = state.read_bytes()
        for at in read_format(state).values():
            state.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1:])
            natd.start()
            assert len([line for line in natd.text().splitlines() if "starting with an empty table" in line]) == 1
            assert natd.json("list") == []
            assert natd.stop() == 0


# ---- another version ----

@pytest.mark.parametrize("layout", [1, 2])
def test_former_layout_is_converted(lab, keep_natd, udp_echo, layout):
    """An upgrade: every connection goes on, and the next restart finds nothing to convert."""
    udp_echo()
    natd = keep_natd({"more": 'log = { level = "debug"; };'})
    with lab.client.udp() as sock, lab.clients[1].udp() as other, lab.client.udp() as third:
        seen = exchange(sock), exchange(other)
        exchange(third)
        natd.ctl("delete", "--sport", third.getsockname()[1])
        before, known = identities(natd), translations(natd)
        natd.crash()
        make_former(Region(natd.manager.kept("table")), layout)
        natd.start()
        assert natd.text().count(f"the table of the previous natd had layout {layout}: converted") == 1
        natd.wait_log("restored 2 sessions, dropped 0 damaged ones, ended 0 .* 1 ports in quarantine")
        natd.wait_log("the restored table agrees with itself")
        assert (identities(natd), translations(natd)) == (before, known)
        assert (exchange(sock), exchange(other)) == seen
        natd.crash()
        natd.start()
        assert "converted" not in natd.text()
        assert (exchange(sock), exchange(other)) == seen


@pytest.mark.parametrize("layout", [1, 2])
def test_former_layout_in_a_file_is_converted(lab, start_natd, udp_echo, tmp_path, layout):
    udp_echo()
    state = tmp_path / "state"
    natd = start_natd({"more": 'log = { level = "debug"; };'}, options=("--state", state))
    with lab.client.udp() as sock, lab.clients[1].udp() as other:
        seen = exchange(sock), exchange(other)
        before, known = identities(natd), translations(natd)
        assert natd.stop() == 0
        records = StateFile(state, True)
        make_former(records, layout)
        records.finish()
        natd.start()
        assert natd.text().count(f"the table of the previous natd had layout {layout}: converted") == 1
        natd.wait_log("the restored table agrees with itself")
        assert (identities(natd), translations(natd)) == (before, known)
        assert (exchange(sock), exchange(other)) == seen


@pytest.mark.parametrize("layout", [0, 4, 0x80000000])
def test_other_layouts_are_one_clear_line_and_a_clean_start(lab, keep_natd, udp_echo, layout):
    udp_echo()
    natd = keep_natd()
    with lab.client.udp() as sock:
        exchange(sock)
        natd.crash()
        set_version(Region(natd.manager.kept("table")), layout, 112)
        natd.start()
        line, = [line for line in natd.text().splitlines() if "empty table" in line]
        said = "is damaged" if layout == 0 else f"has layout {layout}, this one knows 1 to 3"
        assert f"the table of the previous natd {said}: starting with an empty table" in line
        assert natd.json("list") == []
        exchange(sock)


# ---- while it runs ----

def test_stats_of_a_debug_build_tell_of_a_contradiction(lab, keep_natd, udp_echo):
    """The memory is the manager's too: what is written there is damage that no restart looks for."""
    config = os.path.join(os.path.dirname(NATD), "config.h")
    if not os.path.exists(config):
        pytest.skip("whether this is a debug build is not known")
    with open(config, encoding="ascii") as lines:
        is_debug = "#define NATD_DEBUG 1" in lines.read()
    udp_echo()
    natd = keep_natd()
    with lab.client.udp() as sock:
        exchange(sock)
        counters = natd.counters()
        assert ("table_contradictions" in counters) == is_debug
        if not is_debug:
            return
        assert counters["table_contradictions"] == 0
        records = Region(natd.manager.kept("table"))
        at = arrays(records)["session"] + 8
        port, = struct.unpack("=H", records.read(at, 2))
        records.write(at, struct.pack("=H", port ^ 1))
        assert natd.counters()["table_contradictions"] == 1
        natd.wait_log(r"the table contradicts itself \(")
        records.write(at, struct.pack("=H", port))
        assert natd.counters()["table_contradictions"] == 0
