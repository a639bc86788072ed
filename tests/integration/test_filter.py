# SPDX-License-Identifier: ISC
"""Filter rules on the wire: what a rule refuses, what its sender sees, what is counted, and what a reload ends."""
import pytest

from netlab import Lab
from test_dynamic import wait_for

SERVER = Lab.SERVERS[0]
RULES = """
filter = (
  { name = "no-web"; action = "reject"; direction = "out"; protocol = "tcp"; port = 8081; log = true; },
  { name = "no-dns"; action = "drop"; direction = "out"; protocol = "udp"; port = 53; to = [ "@bad" ]; log = true; },
  { name = "rest"; action = "accept"; direction = "out"; interface = "lan0"; }
);
sets = ( { name = "bad"; file = "bad.txt"; } );
"""


@pytest.fixture
def filtered(start_natd):
    natd = start_natd({"more": RULES}, ready=False)
    with open(f"{natd.directory}/bad.txt", "w", encoding="ascii") as out:
        out.write(f"# hosts\n{SERVER}\n")
    return natd.start()


def rules(natd):
    return {rule["name"]: rule for rule in natd.json("rules")}


def test_a_rejected_connection_is_refused_by_a_reset_and_logged(lab, filtered):
    with lab.client.socket() as sock:
        with pytest.raises(ConnectionRefusedError):
            sock.connect((SERVER, 8081))
    rule = rules(filtered)["no-web"]
    assert (rule["refused"], rule["sessions"], rule["packets"]) == (1, 0, 1)
    filtered.wait_log(rf"rule no-web: reject out tcp {Lab.CLIENTS[0]}:\d+ to {SERVER}:8081")


def test_every_decision_of_a_burst_is_logged(lab, filtered):
    with lab.client.udp() as sock:
        for _ in range(50):  # a second takes 64
            sock.sendto(b"x", (SERVER, 53))
    wait_for(lambda: sum("natd: rule no-dns: drop out udp" in str(line) for line in filtered.log) == 50)


def test_a_rule_with_a_set_drops_and_the_rest_passes(lab, filtered, udp_echo):
    udp_echo(port=53)
    udp_echo(port=54)
    with lab.client.udp() as sock:
        with filtered.counted(drop_rule=1):
            sock.sendto(b"hello", (SERVER, 53))
        sock.sendto(b"hello", (SERVER, 54))
        answer = sock.recv(100)
    rule = rules(filtered)["rest"]
    assert answer.endswith(b"hello")
    assert (rule["sessions"], rule["packets"], rule["bytes"]) == (1, 2, 2 * 28 + 5 + len(answer))
    assert rules(filtered)["no-dns"]["refused"] == 1


def test_a_reload_ends_what_the_new_rules_forbid(lab, filtered, udp_echo):
    port = udp_echo()
    with lab.client.udp() as sock:
        sock.sendto(b"hello", (SERVER, port))
        sock.recv(100)
        filtered.write_config({"more": f'filter = ( {{ action = "reject"; protocol = "udp"; port = {port}; }} );'})
        assert filtered.ctl("reload").stdout == "reloaded: 0 sessions go on, 1 ended\n"
        assert "reason=filtered" in filtered.ctl("history").stdout
        sock.connect((SERVER, port))
        sock.send(b"hello")
        with pytest.raises(OSError) as error:
            sock.recv(100)
        assert not isinstance(error.value, TimeoutError)  # ICMP said so


def test_a_bad_line_of_a_set_is_named_and_the_old_set_stays(lab, filtered):
    with open(f"{filtered.directory}/bad.txt", "a", encoding="ascii") as out:
        out.write("198.51.100.1/24\n")
    done = filtered.ctl("reload", check=False)
    assert done.returncode == 1 and 'bad.txt:3: "198.51.100.1/24" has host bits set' in done.stderr
    assert set(rules(filtered)) == {"no-web", "no-dns", "rest"}
