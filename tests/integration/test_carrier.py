# SPDX-License-Identifier: ISC
"""Ports in blocks and deterministic ports, as an administrator sees them: natctl, reload, restart, natd -t."""
import json
import subprocess

from conftest import NATCTL, NATD
from netlab import Lab
from scapy.layers.inet import GRE, IP
from test_events import Monitor

SERVER = Lab.SERVERS[0]
POOL = "203.0.113.64"
BLOCK = {"addresses": f'[ "{POOL}" ]',
         "more": 'translation = { allocation = "block"; }; blocks = { size = 64; per_host = 2; }; '
                 'timeouts = { udp = 3600; port_reuse = 1; };'}


def send(client, ports):
    client.run("python3", "-c", "import socket, sys\n"
               "for port in range(int(sys.argv[2]), int(sys.argv[3])):\n"
               "    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
               "    s.bind(('', port))\n"
               "    s.sendto(b'x', (sys.argv[1], 9))\n", SERVER, str(ports.start), str(ports.stop))


def blocks(natd):
    return [json.loads(line) for line in natd.ctl("-j", "blocks").stdout.splitlines()]


def test_blocks_are_given_listed_found_and_given_back(lab, start_natd):
    natd = start_natd(BLOCK)
    monitor = Monitor(natd, "monitor", "-e", "BLOCK")
    send(lab.client, range(5000, 5065))
    assert len(monitor.wait(r"\[BLOCK\] opened host=10\.8\.0\.2").split()) == 5
    monitor.wait_count(r"opened", 2)
    first, second = blocks(natd)
    assert first["host"] == second["host"] == Lab.CLIENTS[0]
    assert sorted((first["used"], second["used"])) == [1, 64]
    assert first["last"] - first["first"] == 63
    assert f"host={Lab.CLIENTS[0]} outside={POOL} ports={first['first']}-{first['last']}" in natd.ctl("blocks").stdout
    free = min((first, second), key=lambda block: block["used"])
    used = {entry["outside"]["port"] for entry in natd.json("list", "-p", "udp")}
    port = next(port for port in range(free["first"], free["last"] + 1) if port not in used)
    assert f"any inside={Lab.CLIENTS[0]} " in natd.ctl("who", f"{POOL}:{port}").stdout
    natd.ctl("reload")
    assert len(blocks(natd)) == 2
    natd.ctl("flush")
    monitor.wait_count(r"closed", 2)
    assert blocks(natd) == []
    assert natd.counters()["blocks_given"] == natd.counters()["blocks_freed"] == 2
    monitor.end()


def test_blocks_outlive_a_restart(lab, start_natd, tmp_path):
    options = ("--state", tmp_path / "state")
    natd = start_natd(BLOCK, options=options)
    send(lab.client, range(5000, 5003))
    send(lab.clients[1], range(5000, 5003))
    before = sorted((block["host"], block["first"], block["used"]) for block in blocks(natd))
    assert len(before) == 2
    natd.close()
    natd = start_natd(BLOCK, options=options)
    assert sorted((block["host"], block["first"], block["used"]) for block in blocks(natd)) == before


def test_deterministic_ports_are_known_from_the_file_alone(lab, start_natd):
    natd = start_natd({"addresses": f'[ "{POOL}/30" ]',
                       "more": 'translation = { allocation = "deterministic"; };'})
    send(lab.client, range(5000, 5003))
    send(lab.clients[1], range(5000, 5003))
    file = natd.config_path
    for entry in natd.json("list", "-p", "udp"):
        outside = f"{entry['outside']['address']}:{entry['outside']['port']}"
        assert f"inside={entry['inside']['address']}:" in natd.ctl("who", outside).stdout
        found = subprocess.run([NATCTL, "-j", "who", outside, "--config", file], capture_output=True, text=True,
                               check=True).stdout
        assert json.loads(found)["inside"]["address"] == entry["inside"]["address"]
    said = subprocess.run([NATD, "-t", "-c", file], capture_output=True, text=True, check=True).stdout
    assert "allocation: deterministic, 1008 ports a host, 64 hosts an address" in said
    wrong = subprocess.run([NATCTL, "who", f"{POOL}:80", "--config", file], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1


def test_alarm_when_an_address_runs_out_of_blocks(lab, start_natd):
    natd = start_natd({**BLOCK, "outside": 'ports = "2000-2255";', # four blocks
                       "more": BLOCK["more"] + "alarms = { ports = 50; };"})
    monitor = Monitor(natd, "-j", "monitor", "-e", "ALARM,BLOCK")
    send(lab.client, range(5000, 5001))
    send(lab.clients[1], range(5000, 5001))
    monitor.wait_count("opened", 2)
    warning, = natd.json("status")["warnings"] # of ports, less than one percent is used
    assert warning["id"] == "ports"
    assert warning["percent"] == 50
    natd.wait_log(f"alarm ports: 50 % of the port blocks of {POOL} in use")
    natd.ctl("flush")
    monitor.wait_count("closed", 2)
    assert natd.json("status")["warnings"] == []
    monitor.wait_count('"cleared"', 1)
    monitor.end()


def test_static_pair_keeps_ports_and_lets_anyone_in(lab, start_natd):
    natd = start_natd({"more": f'static = ( {{ name = "srv"; inside = "{Lab.CLIENTS[0]}"; outside = "{POOL}"; }} );'})
    lab.router.run("ip", "route", "add", f"{POOL}/32", "via", Lab.OUTSIDE)
    with lab.client.udp(port=88) as inside, lab.server.udp(SERVER, 99) as outside:
        outside.sendto(b"in", (POOL, 88))
        assert inside.recvfrom(9) == (b"in", (SERVER, 99))
        inside.sendto(b"out", (SERVER, 99))
        assert outside.recvfrom(9) == (b"out", (POOL, 88))
    lab.server.run("ping", "-c", "1", "-W", "5", POOL)
    lab.client.run("ping", "-c", "1", "-W", "5", SERVER)
    assert [entry["static"] for entry in natd.json("list", "-p", "udp")] == ["srv"]
    assert " static=srv id=" in natd.ctl("list", "-p", "udp").stdout
    assert POOL not in natd.ctl("pools").stdout
    assert f"inside={Lab.CLIENTS[0]}:1234" in natd.ctl("who", f"{POOL}:1234", "tcp").stdout


FORWARDS = f"""forwards = ( {{ name = "vpn"; protocol = "gre"; to = "{Lab.CLIENTS[0]}"; }},
                          {{ name = "rest"; protocol = "any"; to = "{Lab.CLIENTS[1]}"; }} );"""


def test_protocols_without_ports_and_a_default_host(lab, start_natd, tmp_path):
    options = ("--state", tmp_path / "state")
    natd = start_natd({"more": FORWARDS}, options=options)
    with lab.client.capture("eth0") as seen:
        lab.server.send_ip(IP(src=SERVER, dst=Lab.OUTSIDE) / GRE() / b"in")
        seen.wait(lambda p: p.src == SERVER and p.dst == Lab.CLIENTS[0] and p.proto == 47)
    with lab.server.capture("eth0") as seen:
        lab.client.send_ip(IP(src=Lab.CLIENTS[0], dst=SERVER) / GRE() / b"out")
        seen.wait(lambda p: p.src == Lab.OUTSIDE and p.proto == 47)
    with lab.clients[1].udp(port=20000) as inside, lab.server.udp(SERVER, 99) as outside:
        outside.sendto(b"in", (Lab.OUTSIDE, 20000))
        assert inside.recvfrom(9) == (b"in", (SERVER, 99))
        inside.sendto(b"out", (SERVER, 99))
        assert outside.recvfrom(9) == (b"out", (Lab.OUTSIDE, 20000))
    with lab.gateway.udp(Lab.OUTSIDE, 20001) as host, lab.server.udp(SERVER, 99) as outside:
        outside.sendto(b"host's", (Lab.OUTSIDE, 20001))
        assert host.recvfrom(9)[0] == b"host's"
    assert "vpn gre outside=any inside=10.8.0.2 from=any" in natd.ctl("forwards").stdout
    assert [f["protocols"] for f in natd.json("forwards")["forwards"]] == [["gre"], ["any"]]
    assert sorted(e["forward"] for e in natd.json("list")) == ["rest", "vpn"]
    said = natd.ctl("explain", "udp", f"{SERVER}:9", f"{Lab.OUTSIDE}:20002", "in").stdout
    assert 'the default host "rest" leads to 10.8.0.3:20002' in said
    natd.ctl("reload")
    natd.close()
    natd = start_natd({"more": FORWARDS}, options=options)
    assert sorted(e["forward"] for e in natd.json("list")) == ["rest", "vpn"]


def test_forward_of_a_protocol_that_rules_do_not_steer_is_refused(lab, tmp_path):
    file = tmp_path / "natd.conf"
    file.write_text(f"""outside = {{ interface = "out0"; }};
inside = {{ interfaces = [ "lan0" ]; }};
forwards = ( {{ name = "six"; protocol = 41; to = "{Lab.CLIENTS[0]}"; }} );
""")
    done = lab.gateway.run(NATD, "-t", "-c", file, check=False)
    assert done.returncode != 0
    assert f'{file}:3: forward "six": protocol 41 of the address shared with the host stays the host\'s' in done.stderr
