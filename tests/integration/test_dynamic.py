# SPDX-License-Identifier: ISC
"""Forwards made at run time, and reload --confirm: what an administrator changes, and what comes back by itself."""
import json
import os
import signal
import time

import pytest

from netlab import Lab

HOST = Lab.CLIENTS[0]
FILE = {"more": f'forwards = ( {{ name = "file"; protocol = "tcp"; port = 22; to = "{HOST}"; }} );'}


def forwards(natd):
    return {f["name"]: f for f in natd.json("forwards")["forwards"]}


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    assert condition()


def test_a_forward_is_added_twice_changed_and_removed(lab, start_natd):
    natd = start_natd(FILE)
    add = ("forward", "add", "name=dns", "protocol=udp,tcp", "port=53", f"to={HOST}:5300,{Lab.CLIENTS[1]}*2")
    assert natd.ctl(*add).stdout == "dns: added\n"
    assert natd.ctl(*add).stdout == "dns: was there already\n"
    made = forwards(natd)["dns"]
    assert made["dynamic"] and made["protocols"] == ["tcp", "udp"] and not forwards(natd)["file"]["dynamic"]
    assert [(b["host"], b["weight"]) for b in made["backends"]] == [(f"{HOST}:5300", 1), (f"{Lab.CLIENTS[1]}:53", 2)]
    assert "dns tcp,udp outside=any:53 inside=2-backends from=any balance=hash affinity=300 dynamic\n" \
        in natd.ctl("forwards").stdout
    with lab.server.udp(Lab.SERVERS[0], 99) as client, lab.client.udp(port=5300) as server:
        natd.ctl("backend", "dns", Lab.CLIENTS[1], "drain")
        client.sendto(b"hello", (Lab.OUTSIDE, 53))
        assert server.recv(9) == b"hello"
    done = json.loads(natd.ctl("-j", *add[:-1], f"to={HOST}").stdout)
    assert done == {"name": "dns", "changed": True, "messages": []}
    assert forwards(natd)["dns"]["to"] == {"address": HOST, "port": 53}
    natd.ctl("reload")
    assert "dns" in forwards(natd)
    assert natd.ctl("forward", "remove", "dns").stdout == "dns: removed\n"
    assert natd.ctl("forward", "remove", "dns", check=False).returncode == 1
    assert natd.ctl("forward", "remove", "file", check=False).returncode == 1
    assert set(forwards(natd)) == {"file"}


def test_what_the_file_would_refuse_is_refused_and_changes_nothing(start_natd):
    natd = start_natd(FILE)
    good = ("name=a", "protocol=tcp", "port=80", f"to={HOST}")
    for wrong, why in ((("name=file",), 'is called "file" already'), (("port=22",), "never gets a connection"),
                       (("to=192.0.2.1.1",), "forward.to"), (("prot=tcp",), 'did you mean "port"'),
                       (("from=198.51.100.1/24",), "host bits"), (("balance=robin", "to=10.8.0.2"), "robin")):
        given = [key for key in good if key.split("=")[0] not in [w.split("=")[0] for w in wrong]]
        done = natd.ctl("forward", "add", *given, *wrong, check=False)
        assert done.returncode == 1 and why in done.stderr, (wrong, done.stderr)
    for wrong in (("add", "port=80"), ("add", "name=a", "to"), ("add", 'name=a"'), ("delete", "a"), ("remove",),
                  ("add", *good[:3], f"to={HOST}*much"), ("add", *good, "port=81")):
        assert natd.ctl("forward", *wrong, check=False).returncode == 2
    assert set(forwards(natd)) == {"file"}


def test_a_forward_outlives_a_restart_and_ends_with_its_lifetime(start_natd):
    natd = start_natd(FILE)
    natd.ctl("forward", "add", "name=long", "protocol=tcp", "port=80", f"to={HOST}", "check=tcp")
    natd.ctl("forward", "add", "name=short", "protocol=tcp", "port=81", f"to={HOST}", "lifetime=86400")
    natd.stop(signal.SIGKILL)
    natd.start()
    assert set(forwards(natd)) == {"file", "long", "short"}
    natd.ctl("forward", "add", "name=short", "protocol=tcp", "port=81", f"to={HOST}", "lifetime=1")
    wait_for(lambda: set(forwards(natd)) == {"file", "long"})


def change(natd):
    """Another file, with which the administrator is locked out."""
    natd.write_config({"more": 'filter = ( { action = "drop"; name = "oops"; } );'})


def test_an_unconfirmed_reload_goes_back_in_time(start_natd):
    natd = start_natd(FILE)
    assert natd.ctl("confirm", check=False).returncode == 1
    change(natd)
    assert "`natctl confirm' within 1 s" in natd.ctl("reload", "--confirm", "1").stdout
    wait_for(lambda: "file" in forwards(natd))
    natd.wait_log("was not confirmed in time: the previous configuration is in force again")
    assert natd.ctl("rules").stdout == ""


def test_a_confirmed_reload_stays(start_natd):
    natd = start_natd(FILE)
    change(natd)
    natd.ctl("reload", "--confirm", "300")
    assert natd.ctl("confirm").stdout == "confirmed\n"
    natd.stop()
    natd.start()
    assert "oops" in natd.ctl("rules").stdout


def test_a_restart_after_the_return_does_not_bring_the_unconfirmed_file_back(start_natd):
    natd = start_natd(FILE)
    change(natd)
    natd.ctl("reload", "--confirm", "1")
    wait_for(lambda: "file" in forwards(natd))
    natd.wait_log("the previous configuration is in force again")
    assert "is not in force: reload it again" in natd.ctl("confirm", check=False).stderr
    for number in (signal.SIGKILL, signal.SIGTERM):
        natd.stop(number)
        natd.start()
        assert "file" in forwards(natd)
    natd.write_config({"more": 'filter = ( { action = "drop"; name = "mended"; } );'})
    natd.stop()
    natd.start()  # with a file that was changed since
    assert "mended" in natd.ctl("rules").stdout


def test_a_reload_after_the_return_is_what_a_restart_uses(start_natd):
    natd = start_natd(FILE)
    change(natd)
    natd.ctl("reload", "--confirm", "300")
    natd.stop(signal.SIGKILL)
    natd.start()
    natd.ctl("reload")
    assert natd.ctl("confirm", check=False).returncode == 1
    natd.stop(signal.SIGKILL)
    natd.start()
    assert "oops" in natd.ctl("rules").stdout


def test_a_crash_before_the_confirmation_goes_back_too(start_natd):
    natd = start_natd(FILE)
    change(natd)
    natd.ctl("reload", "--confirm", "300")
    assert "oops" in natd.ctl("rules").stdout
    natd.stop(signal.SIGKILL)
    natd.start()
    natd.wait_log("was not confirmed: the previous configuration is in force")
    assert "file" in forwards(natd)
    natd.ctl("reload")
    assert "oops" in natd.ctl("rules").stdout


def write_set(natd, line):
    with open(os.path.join(natd.directory, "bad.txt"), "w", encoding="ascii") as file:
        file.write(line + "\n")


def passes(natd):
    return natd.ctl("explain", "udp", f"{HOST}:5000", f"{Lab.SERVERS[0]}:53", check=False).returncode == 0


@pytest.mark.parametrize("crash", [False, True])
def test_an_unconfirmed_reload_takes_the_sets_back_too(start_natd, crash):
    natd = start_natd({})
    natd.write_config({"more": """sets = ( { name = "bad"; file = "bad.txt"; }, { name = "badly"; prefixes = [ "192.0.2.1" ]; } );
                                  filter = ( { to = "@bad"; action = "drop"; } );"""})
    write_set(natd, f"{Lab.SERVERS[0]}/32\n192.0.2.0/24")
    natd.ctl("reload")
    assert not passes(natd)
    write_set(natd, "192.0.2.1")
    natd.ctl("reload", "--confirm", "300" if crash else "1")
    if crash:
        assert passes(natd)
        natd.stop(signal.SIGKILL)
        natd.start()
    wait_for(lambda: not passes(natd))
    natd.ctl("forward", "add", "name=other", "protocol=tcp", "port=80", f"to={HOST}")
    assert not passes(natd)
    natd.ctl("reload")
    assert passes(natd)
