#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""The dashboard and the alerts that are shipped, in a Prometheus that scrapes natd-web while traffic passes.

    run.py

Every expression of packaging/grafana/natd.json and of packaging/prometheus/natd.rules is evaluated over Prometheus' HTTP API. Each must
have data; where it is empty because nothing of the kind happened ("> 0"), its sides have some. Then what the alerts are about is
made to happen, and they must fire (without their waiting time). In namespaces, as root or in a user namespace; a minute.
"""
import json
import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGING = os.path.join(HERE, "..", "..", "packaging")
sys.path.insert(0, os.path.join(HERE, "..", "integration"))

if os.environ.get("NATD_PROMETHEUS_INNER") is None:
    if subprocess.run(["which", "prometheus"], capture_output=True).returncode != 0:
        print("prometheus-check: skipped: there is no prometheus")
        sys.exit(77)
    environment = {**os.environ, "NATD_PROMETHEUS_INNER": "1"}
    for name in ("NATD", "NATCTL", "NATD_WEB"):
        environment[name] = os.path.abspath(environment.get(name, f"./{name.lower().replace('_', '-')}"))
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    sys.exit(subprocess.run(["unshare", *user, "--net", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /run && exec \"$@\"",
                             "sh", sys.executable, *sys.argv], env=environment).returncode)

os.environ["TMPDIR"] = tempfile.tempdir = "/run"
import netlab  # noqa: E402
from conftest import NATCTL, Natd  # noqa: E402
from webkit import PORT, Answer, Web, read_all  # noqa: E402

PROMETHEUS = 9090
SERVER = netlab.Lab.SERVERS[0]
# Few ports and sessions, so that both can be used up.
CONFIG = {"outside": 'ports = "20000-20063";', "more": "limits = { sessions = 200; events = 1024; reserve = 0; };"}
COMPARISON = re.compile(r"\s(?:==|!=|>=|<=|>|<)\s(?!bool)")


class Prometheus:
    def __init__(self, namespace, rules):
        with open("/run/natd.rules", "w", encoding="utf-8") as out:
            out.write(re.sub(r"^(\s+for:) \w+$", r"\1 0s", rules, flags=re.M))
        with open("/run/prometheus.yml", "w", encoding="ascii") as out:
            out.write(f"""global: {{ scrape_interval: 1s, evaluation_interval: 1s, scrape_timeout: 1s }}
rule_files: [ "/run/natd.rules" ]
scrape_configs:
  - job_name: natd
    static_configs: [ {{ targets: [ "127.0.0.1:{PORT}" ] }} ]
""")
        self.namespace = namespace
        self.log = open("/run/prometheus.log", "w+", encoding="utf-8")  # pylint: disable=consider-using-with
        self.process = namespace.start("prometheus", "--config.file=/run/prometheus.yml", "--storage.tsdb.path=/run/tsdb",
                                       f"--web.listen-address=127.0.0.1:{PROMETHEUS}", stdout=self.log,
                                       stderr=subprocess.STDOUT)
        self.wait(lambda: self.query("up"), "a first scrape")

    def get(self, path):
        with self.namespace.socket() as sock:
            sock.connect(("127.0.0.1", PROMETHEUS))
            sock.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            answer = Answer(read_all(sock))
        body = answer.json()
        assert answer.status == 200 and body["status"] == "success", (path, body)
        return body["data"]

    def query(self, expression):
        """The samples, or None while nothing answers."""
        try:
            data = self.get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        except ConnectionRefusedError:
            return None
        return [data["result"]] if data["resultType"] == "scalar" else data["result"]

    def rules(self):
        return [rule for group in self.get("/api/v1/rules")["groups"] for rule in group["rules"]]

    def firing(self):
        return {alert["labels"]["alertname"] for alert in self.get("/api/v1/alerts")["alerts"] if alert["state"] == "firing"}

    def wait(self, what, name, timeout=60):
        end = time.monotonic() + timeout
        while not what():
            assert self.process.poll() is None, self.log.seek(0) or self.log.read()
            assert time.monotonic() < end, f"{name} did not come: firing are {self.query('ALERTS')}"
            select.select([], [], [], 0.3)


class Traffic(threading.Thread):
    """A few sessions with answers, some that end, and packets that are dropped."""

    def __init__(self, lab, natd):
        super().__init__(daemon=True)
        self.lab, self.natd, self.go = lab, natd, True
        self.start()

    def run(self):
        with self.lab.server.udp(port=7) as far:
            far.settimeout(0.5)
            turn = 0
            while self.go:
                turn += 1
                with self.lab.clients[turn % 2].udp() as near, self.lab.server.socket(kind=socket.SOCK_DGRAM) as stray:
                    for _ in range(20):
                        near.sendto(b"x" * 1000, (SERVER, 7))
                        try:
                            _, sender = far.recvfrom(2000)
                            far.sendto(b"y" * 300, sender)
                        except OSError:
                            pass
                    stray.sendto(b"z", (netlab.Lab.OUTSIDE, 20063))
                self.natd.ctl("flush", check=False)
                select.select([], [], [], 0.1)

    def stop(self):
        self.go = False
        self.join(20)


def sides(expression):
    """What is compared and combined in it."""
    return [side for part in re.split(r"\sor\s", expression) for side in COMPARISON.split(part)]


def check(prometheus, what, expression):
    """It has data, or else its sides have."""
    found = prometheus.query(expression)
    if found:
        print(f"  {what}: {len(found)} series")
        return
    parts = sides(expression.strip())
    if len(parts) == 1 and (inner := re.fullmatch(r"topk\(\d+, (.*)\)", expression.strip(), re.S)):
        parts = sides(inner.group(1))
    assert len(parts) > 1, f"{what} has no data: {expression}"
    for part in parts:
        assert prometheus.query(part), f"{what} has no data, and neither has its part {part}: {expression}"
    print(f"  {what}: empty, since nothing of the kind happened; its parts have data")


def check_dashboard(prometheus):
    with open(os.path.join(PACKAGING, "grafana", "natd.json"), encoding="utf-8") as file:
        board = json.load(file)
    print("dashboard:")
    count = 0
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            check(prometheus, panel["title"], target["expr"].replace("$__rate_interval", "20s").replace("$instance", ".*"))
            count += 1
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
            assert any(label in sample["metric"] for sample in prometheus.query(metric)), variable
    print(f"dashboard: {count} expressions, all with data or with parts that have some")


def check_rules(prometheus):
    print("alerts:")
    rules = prometheus.rules()
    for rule in rules:
        assert rule["health"] == "ok" and not rule.get("lastError"), rule
        check(prometheus, rule["name"], rule["query"])
    print(f"alerts: {len(rules)} rules, none with an error")
    return {rule["name"] for rule in rules}


# ---- what the alerts are about, made to happen ----

def udp(number, port):
    """A datagram of the first client, from that port, to one of many endpoints."""
    from scapy.layers.inet import IP, UDP
    return bytes(IP(src=netlab.Lab.CLIENTS[0], dst=SERVER) / UDP(sport=port, dport=1000 + number) / b"x")


def use_up(lab, natd, packets):
    """All ports, and the table."""
    for packet in packets:
        lab.client.send_ip(packet)
    counters = natd.counters()
    assert counters["drop_no_port"] > 0 and counters["drop_sessions_full"] > 0, counters


def lose_events(lab, natd):
    """By a reader that reads only after more events than the ring and the sockets hold."""
    reader = subprocess.Popen([NATCTL, "-s", natd.socket, "monitor"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    while natd.counters()["event_readers"] == 0:
        pass
    for _ in range(40):
        with lab.client.udp() as sock:
            for i in range(150):
                sock.sendto(b"x", (SERVER, 1000 + i))
            end = time.monotonic() + 10
            while natd.counters()["sessions_open"] < 150:
                assert time.monotonic() < end, natd.counters()
        natd.ctl("flush")
    threading.Thread(target=reader.stdout.read, daemon=True).start()
    return reader


def uptime(prometheus):
    """None while natd is away."""
    found = prometheus.query("natd_uptime_seconds")
    return float(found[0]["value"][1]) if found else None


def restart(prometheus, natd):
    """So that a scrape sees it."""
    prometheus.wait(lambda: (uptime(prometheus) or 0) >= 3, "an uptime of three seconds")
    before = uptime(prometheus)
    natd.stop()
    natd.start()
    prometheus.wait(lambda: uptime(prometheus) is not None and uptime(prometheus) < before, "a scrape after the restart")


def check_firing(prometheus, lab, natd, names):
    def expect(*alerts):
        prometheus.wait(lambda: set(alerts) <= prometheus.firing(), f"alert {' and '.join(alerts)}")
        fired.update(alerts)
        print(f"  fires: {', '.join(alerts)}")

    fired = set()
    stop = threading.Event()

    def keep_full():
        packets = [udp(0, 30000 + i) for i in range(100)] + [udp(i, 30000) for i in range(300)]
        while not stop.is_set():
            use_up(lab, natd, packets)
            select.select([], [], [], 0.2)

    filler = threading.Thread(target=keep_full, daemon=True)
    filler.start()
    expect("NatdPortsNearlyUsedUp", "NatdPortsUsedUp", "NatdTableNearlyFull", "NatdTableFull", "NatdAlarm", "NatdDrops")
    stop.set()
    filler.join(20)
    restart(prometheus, natd)
    reader = lose_events(lab, natd)
    expect("NatdEventsLost")
    lab.gateway.run("ip", "route", "add", "prohibit", "198.51.100.99")
    with lab.client.udp() as sock:
        end = time.monotonic() + 60
        while "NatdUnsentPackets" not in prometheus.firing():
            for _ in range(200):
                sock.sendto(b"x", ("198.51.100.99", 9))
            assert time.monotonic() < end, "alert NatdUnsentPackets did not come"
            select.select([], [], [], 0.1)
    expect("NatdUnsentPackets")
    for _ in range(2):
        restart(prometheus, natd)
    expect("NatdRestarts")
    natd.stop()
    expect("NatdAway")
    reader.kill()
    reader.wait()
    assert fired == names, f"never fired: {names - fired}"


def main():
    with open(os.path.join(PACKAGING, "prometheus", "natd.rules"), encoding="utf-8") as file:
        rules = file.read()
    lab = netlab.Lab()
    natd = Natd(lab.gateway, CONFIG).start()
    web = Web(lab.gateway, natd)
    prometheus = Prometheus(lab.gateway, rules)
    traffic = Traffic(lab, natd)
    try:
        prometheus.wait(lambda: prometheus.query("count_over_time(natd_up[1m]) >= 8"), "eight scrapes")
        prometheus.wait(lambda: all(rule["health"] == "ok" for rule in prometheus.rules()), "rules without errors")
        check_dashboard(prometheus)
        names = check_rules(prometheus)
        traffic.stop()
        check_firing(prometheus, lab, natd, names)
        print(f"prometheus-check: {len(names)} alerts fired; passed")
    finally:
        traffic.stop()
        netlab.stop(prometheus.process)
        web.stop()
        natd.close()
        lab.close()


if __name__ == "__main__":
    main()
