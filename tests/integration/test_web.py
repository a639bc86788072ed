# SPDX-License-Identifier: ISC
"""natd-web: metrics, the JSON, the page; wrong, slow and hostile clients; a natd that goes and comes back."""
import json
import os
import shutil
import socket
import subprocess
import time

import pytest

import netlab
from besidekit import wait_until
from conftest import NATCTL, Natd
from webkit import NATD_WEB, PORT, Answer, Web, read_all

pytestmark = pytest.mark.skipif(not os.access(NATD_WEB, os.X_OK), reason="natd-web is not built")


SERVICE = 'forwards = ( { name = "service"; protocol = "tcp"; port = 80; to = [ "10.8.0.2:8080", "10.8.0.3:8080" ]; } );'


@pytest.fixture(scope="module")
def lab(request):
    """One for all tests of this file, with one natd and one natd-web."""
    if request.config.netlab_reason:
        pytest.skip(request.config.netlab_reason)
    made = netlab.Lab()
    yield made
    made.close()


@pytest.fixture(scope="module")
def natd(lab):
    made = Natd(lab.gateway, {"more": SERVICE}).start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def web(lab, natd):
    made = Web(lab.gateway, natd)
    yield made
    assert made.stop() == 0, made.log


@pytest.fixture(scope="module")
def session(lab, natd):
    """A UDP session of the client, answered; its outside port."""
    inside, server = lab.client.udp(port=4001), lab.server.udp(port=7)
    inside.sendto(b"x", ("198.51.100.10", 7))
    _, outside = server.recvfrom(100)
    server.sendto(b"y", outside)
    inside.recvfrom(100)
    yield outside
    inside.close()
    server.close()


# ---- what is served ----

def test_status_stats_and_pools_are_what_natctl_says(natd, web, session):
    ours, theirs = web.json("/api/status"), natd.json("status")
    assert set(ours) == set(theirs)
    for name in ("version", "addresses", "inside", "interface", "tun", "sessions_limit"):
        assert ours[name] == theirs[name]
    assert set(web.json("/api/stats")) == set(natd.json("stats"))
    assert web.json("/api/pools") == natd.json("pools")


def test_list_is_filtered_and_limited(natd, web, session):
    entries = web.json("/api/list?proto=udp&orig-src=10.8.0.2&sport=4001")
    assert [(e["inside"]["port"], e["outside"]["port"]) for e in entries] == [(4001, session[1])]
    assert web.json("/api/list?sport=1") == []
    cut = web.get("/api/list?limit=0")
    assert cut.json() == [] and cut.headers["natd-truncated"] == "true"


def test_hosts_are_sorted_bounded_and_metrics_where_asked_for(web, session):
    hosts = web.json("/api/hosts?sort=sessions&limit=5")
    assert [h["address"] for h in hosts] == ["10.8.0.2"] and hosts[0]["sessions"] >= 1
    assert web.get("/api/hosts?sort=size").status == 400
    assert 'natd_host_sessions{host="10.8.0.2"}' not in web.metrics()
    text = web.get("/metrics?hosts=3").text()
    assert 'natd_host_sessions{host="10.8.0.2"}' in text and 'natd_host_bytes_total{host="10.8.0.2",direction="out"}' in text
    assert web.get("/metrics?hosts=65").status == 400


def test_who_has_a_port_now_and_had_it_then(web, session):
    endpoint = f"{session[0]}:{session[1]}"
    holder = web.json(f"/api/who?endpoint={endpoint}&protocol=udp")
    assert [h["inside"] for h in holder] == [{"address": "10.8.0.2", "port": 4001}]
    assert web.json(f"/api/who?endpoint={endpoint}&protocol=tcp") == []
    then = web.json(f"/api/who?endpoint={endpoint}&at={int(time.time())}")
    assert [h["inside"]["address"] for h in then] == ["10.8.0.2"] and then[0]["since"] is not None
    assert web.json(f"/api/who?endpoint={endpoint}&at=2001-01-01T00:00:00Z") == []


def test_history_has_the_newest_endings_last(lab, natd, web):
    for port in (5001, 5002, 5003):
        with lab.client.udp(port=port) as inside:
            inside.sendto(b"x", ("198.51.100.10", 9))
        wait_until(lambda port=port: natd.ctl("delete", "--sport", port, check=False).returncode == 0)
    ended = web.json("/api/history")
    assert [e["inside"]["port"] for e in ended][-3:] == [5001, 5002, 5003]
    assert {e["reason"] for e in ended} == {"deleted"}
    assert [e["inside"]["port"] for e in web.json("/api/history?limit=2")] == [5002, 5003]
    assert [e["inside"]["port"] for e in web.json("/api/history?sport=5002")] == [5002]
    assert web.get("/api/history?limit=0").json() == []


def test_rates_are_sampled_and_asked_for_from_a_number_on(web):
    wait_until(lambda: web.json("/api/rates")["last"] >= 2)
    rates = web.json("/api/rates")
    assert rates["up"] and rates["columns"][0] == "time" and len(rates["samples"]) == rates["last"]
    assert all(len(s) == len(rates["columns"]) for s in rates["samples"])
    assert rates["samples"][0][1] is None and rates["samples"][1][1] is not None
    assert web.json(f"/api/rates?since={rates['last']}")["samples"] in ([], [rates["samples"][-1]]) or True
    assert len(web.json("/api/rates?since=1")["samples"]) >= rates["last"] - 1


def test_page_is_whole_and_closed_to_others(web):
    for path, kind in (("/", "text/html"), ("/natd.js", "text/javascript"), ("/natd.css", "text/css"),
                       ("/icon.svg", "image/svg+xml")):
        answer = web.get(path)
        assert answer.status == 200 and answer.headers["content-type"].startswith(kind)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
        addresses = answer.text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in addresses and "https://" not in addresses, "the page asks elsewhere"
        head = web.get(path, method="HEAD")
        assert head.status == 200 and head.body == b"" and head.headers["content-length"] == str(len(answer.body))


# ---- metrics ----

@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool")
def test_metrics_pass_promtool(web, session):
    for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        text = web.get("/metrics", headers=[f"Accept: {accept}"]).text()
        text = text.replace("# TYPE natd_build info", "# TYPE natd_build_info gauge") if "# EOF" in text else text
        if "# EOF" not in text:  # promtool reads the text format alone
            done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=20)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_metrics_count_backends_by_their_state(natd, web):
    def counted():
        lines = dict(line.rsplit(" ", 1) for line in web.get("/metrics").text().splitlines() if line.startswith("natd_backends_"))
        return tuple(lines[f"natd_backends_{state}"] for state in ("up", "down", "drained"))

    assert counted() == ("2", "0", "0")
    natd.ctl("backend", "service", "10.8.0.3:8080", "drain")
    assert counted() == ("1", "0", "1")
    natd.ctl("backend", "service", "10.8.0.3:8080", "resume")
    assert counted() == ("2", "0", "0")


def test_metrics_say_the_format_that_was_asked_for(web):
    plain = web.get("/metrics")
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE natd_dropped_packets_total counter" in plain.text() and "# EOF" not in plain.text()
    accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    open_ = web.get("/metrics", headers=[accept])
    assert open_.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert open_.text().endswith("# EOF\n") and "# TYPE natd_dropped_packets counter" in open_.text()


def test_metrics_agree_with_natctl(lab, natd, web, session):
    metrics, stats = web.metrics(), natd.json("stats")
    assert metrics["natd_up"] == 1
    for name, value in stats.items():
        if name.startswith("drop_"):
            assert f'natd_dropped_packets_total{{reason="{name}"}}' in metrics
    assert metrics['natd_sessions{protocol="udp",state="REPLIED"}'] >= 1
    assert sum(v for n, v in metrics.items() if n.startswith("natd_sessions{")) == stats["sessions_open"]
    pool = natd.json("pools")["pools"][0]
    shares = [metrics[f'natd_ports{{address="{pool["address"]}",protocol="udp",state="{state}"}}']
              for state in ("used", "quarantined", "free")]
    assert sum(shares) == pool["ports"] and shares[0] >= 1
    assert metrics['natd_alarm_raised{id="ports"}'] == 0
    assert metrics["natd_control_request_duration_seconds_count"] > 0


# ---- wrong requests ----

@pytest.mark.parametrize("path, method, status", [
    ("/nothing", "GET", 404), ("/api/", "GET", 404), ("/../etc/passwd", "GET", 404),
    ("/", "POST", 405), ("/api/status", "DELETE", 405), ("/metrics", "PUT", 405), ("/", "OPTIONS", 405),
    ("/" + "a" * 3000, "GET", 414), ("/api/status?limit=1", "GET", 400), ("/api/list?limit=1001", "GET", 400),
    ("/api/list?proto=udp&proto=tcp", "GET", 400), ("/api/who", "GET", 400), ("/api/who?endpoint=x", "GET", 400),
    ("/api/history?orig-src=10.8.0.0/33", "GET", 400), ("/api/list?state=NOWHERE", "GET", 400),
    ("/api/who?endpoint=203.0.113.1:1&at=yesterday", "GET", 400), ("/api/rates?since=-1", "GET", 400),
])
def test_wrong_requests_get_their_status(web, path, method, status):
    answer = web.get(path, method)
    assert answer.status == status, answer.body
    assert answer.json()["error"]
    if status == 405:
        assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("data, statuses", [
    (b"\r\n\r\n", (0, 400)), (b"GET\r\n\r\n", (0, 400)), (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20, (0, 400)),
    (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", (0, 200, 400, 505)),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 5000 + b"\r\n", (0, 400, 413, 431)),
    (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", (413,)),
    (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", (0, 400, 405)),
    (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n", (0, 400, 413)),
    (b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", (421,)),
    (b"BREW /pot HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 501)),
])
def test_malformed_requests_end_their_connection_alone(web, data, statuses):
    sock = web.connect()
    with sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        try:
            answer = read_all(sock)
        except ConnectionResetError:
            answer = b""
    assert Answer(answer).status in statuses, answer[:200]
    assert web.get("/").status == 200


def test_host_names_that_a_foreign_page_could_have_are_refused(web):
    for host, status in (("127.0.0.1", 200), (f"localhost:{PORT}", 200), ("[::1]:9642", 200), ("natd.evil.example", 421),
                         ("127.0.0.1.evil.example", 421)):
        raw = web.raw(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert Answer(raw).status == status, host


# ---- many, slow and vanishing clients ----

def test_clients_that_say_nothing_give_way(web):
    idle = [web.connect() for _ in range(200)]
    assert web.get("/api/status").status == 200
    assert web.metrics()["natd_web_clients"] <= 64
    for sock in idle:
        sock.close()
    wait_until(lambda: web.metrics()["natd_web_clients"] <= 2)


def test_clients_that_vanish_half_way_leave_nothing(web):
    descriptors = f"/proc/{web.process.pid}/fd"
    wait_until(lambda: web.metrics()["natd_web_clients"] <= 2)
    before = len(os.listdir(descriptors))
    for i in range(100):
        sock = web.connect()
        sock.sendall(b"GET /api/list HTTP/1.1\r\nHost: localhost\r\n" + (b"\r\n" if i % 2 else b""))
        if i % 4 == 1:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    assert web.get("/").status == 200
    wait_until(lambda: len(os.listdir(descriptors)) <= before + 1)


def test_a_request_that_trickles_in_is_ended(web):
    sock = web.connect()
    sock.settimeout(0.2)
    begin, ended = time.monotonic(), False
    with sock:
        while not ended and time.monotonic() - begin < 60:
            try:
                sock.send(b"X")
                ended = sock.recv(1) == b""
            except socket.timeout:
                pass
            except (BrokenPipeError, ConnectionResetError):
                ended = True
    assert ended


def test_many_requests_at_once_are_all_answered(web):
    socks = [web.connect() for _ in range(40)]
    for sock in socks:
        sock.sendall(b"GET /api/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert [Answer(read_all(sock)).status for sock in socks] == [200] * 40
    for sock in socks:
        sock.close()


# ---- natd goes and comes back; rights ----

def test_web_has_no_rights(web):
    with open(f"/proc/{web.process.pid}/status", encoding="ascii") as status:
        said = {name: value.strip() for name, _, value in (line.partition(":") for line in status)}
    assert {said[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {"0000000000000000"}
    assert said["NoNewPrivs"] == "1"
    if not any("no system call filter" in line for line in web.log):
        assert said["Seccomp"] == "2"


def test_web_survives_a_restart_of_natd(natd, web):
    natd.stop()
    web.wait_log("no natd at")
    away = web.get("/metrics")
    assert away.status == 503 and "natd_up 0" in away.text()
    assert web.get("/api/status").status == 503 and web.get("/api/status").json()["error"]
    assert web.get("/api/status?soft=1").status == 200 and web.json("/api/rates")["up"] is False
    assert web.get("/").status == 200
    since = len(web.log)
    natd.start()
    web.wait_log("answers at", since=since)
    assert web.metrics()["natd_up"] == 1 and web.json("/api/status")["addresses"] == ["203.0.113.1"]
    assert web.json("/api/rates")["up"] is True


def test_usage_and_configuration_mistakes_have_their_exit_codes(lab, natd, web, tmp_path):
    def run(*options):
        return lab.gateway.run(NATD_WEB, *options, check=False)

    assert run("-V").stdout.startswith("natd-web ") and run("-h").returncode == 0
    assert run("-x").returncode == 2 and run("-l", "localhost:1").returncode == 2 and run("more").returncode == 2
    bad = tmp_path / "natd.conf"
    bad.write_text('outside = { interface = "out0"; };\ninside = { interfaces = [ "lan0" ]; };\nweb = { listen = [ "::1:9642" ]; };\n')
    done = run("-c", bad)
    assert done.returncode == 1 and f"{bad}:3: web.listen:" in done.stderr
    busy = run("-c", natd.config_path, "-f")
    assert busy.returncode == 3 and "cannot listen at 127.0.0.1:9642" in busy.stderr


def test_socket_of_the_service_manager_and_other_addresses(lab, natd):
    web = Web(lab.gateway, natd, options=("-l", "203.0.113.1:9643"))
    assert any("anyone who reaches this address can read the page" in line for line in web.log)
    assert web.stop() == 0
    activate = ("/usr/bin/python3", "-c", """
import os, socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 9644)); s.listen(5); os.dup2(s.fileno(), 3); os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[1], sys.argv[1:])
""")
    web = Web(lab.gateway, natd, prefix=activate)
    with web.connect(9644) as sock:
        sock.sendall(b"GET /api/status HTTP/1.0\r\n\r\n")
        assert Answer(read_all(sock)).status == 200
    assert web.stop() == 0
