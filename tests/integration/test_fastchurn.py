# SPDX-License-Identifier: ISC
"""Sessions end while the tc programs carry them and packets never cease: by natctl delete, by a reload that forbids them, and with a
SIGKILL right after.

Each packet has a number. What is sent after the command has returned must not arrive, neither from inside nor from outside. And what
arrives of a session is what natd counts, packet by packet, by natd or the programs.

NATD_CHURN_ROUNDS says how often all of this happens; with more than one, UDP and SIGKILLs are among it (`make fast-script`).
"""
import json
import os
import random
import socket
import struct
import threading
import time

import pytest

import conftest
from netlab import SO_RCVBUFFORCE
from test_fastscript import ACK, PSH, KeptGateway, Talk, ip_packet
from wirelab import POOL, S1, S2, S3

pytestmark = pytest.mark.skipif(not conftest.CAN_LOAD, reason="tc programs cannot be loaded here")

ROUNDS = int(os.environ.get("NATD_CHURN_ROUNDS", "1"))
IS_LONG = ROUNDS > 1 or os.environ.get("NATD_CHECK_ALL")
MARK = b"number: "
FORBID = f'filter = ( {{ action = "drop"; direction = "out"; to = [ "{S3}" ]; }} );'
CONFIG = """translation = {{ port_selection = "preserve"; }};
timeouts = {{ port_reuse = 0; }};
fast_path = {{ mode = "required"; steering = "bpf"; }};
{more}"""
HANDSHAKE = (2, 1)  # packets out and in, of 40 bytes


def config(more=""):
    return {"addresses": f'[ "{POOL}" ]', "more": CONFIG.format(more=more)}


class TcpStream(Talk):
    protocol, header, first = "tcp", 40, HANDSHAKE

    def __init__(self, number, picked, remote):
        super().__init__(number, picked)
        self.remote = remote
        self.sends = [True, True]
        self.heard = None  # by each end, of the other

    def numbered(self, end, number):
        """Acknowledges the last that has arrived, as if all before it had, too."""
        payload = MARK + struct.pack("!Q", number)
        self.heard = self.heard or [self.next[1], self.next[0]]
        made = self.segment(end, ACK | PSH, payload, ack=self.heard[end] - self.next[not end])
        self.next[end] = (self.next[end] + len(payload)) % 2**32
        return made

    def arrive(self, came_from, data):
        self.heard[not came_from] = (struct.unpack_from("!I", data, 24)[0] + len(data) - self.header) % 2**32


class UdpStream:
    protocol, header, first = "udp", 28, (0, 0)

    def __init__(self, number, picked, remote):
        self.host, self.remote, self.port = f"10.8.0.{picked.randint(10, 90)}", remote, 20000 + number
        self.sends = [True, True]

    def open(self):
        return []

    def arrive(self, came_from, data):
        pass

    def numbered(self, end, number):
        payload = MARK + struct.pack("!Q", number)
        source, destination, ports = ((self.remote, POOL, (80, self.port)) if end else
                                      (self.host, self.remote, (self.port, 80)))
        return end, ip_packet(source, destination, 17, struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload)


class Traffic:
    """A thread that sends numbered packets of all streams, both ways, and notes what arrives."""

    def __init__(self, gateway):
        self.gateway, self.streams, self.number, self.rounds = gateway, [], 0, 0
        self.arrived = {}  # (protocol, inside port): for each end from which it came (number, length)
        self.by_port = {}
        self._runs, self._thread = False, None
        for end in (gateway.inside, gateway.outside):
            end._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)

    def start(self):
        self._runs = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self):
        """What was sent has passed, and is noted."""
        self._runs = False
        self._thread.join(30)
        self.gateway.fence()
        self._read()

    def add(self, *streams):
        """While it does not run."""
        for stream in streams:
            for packet in stream.open():
                self._send(packet)
                self.gateway.fence()
        self.by_port.update(((stream.protocol, stream.port), stream) for stream in streams)
        self.streams += streams

    def pass_on(self, rounds=20):
        """Returns when every stream has sent so often since."""
        end, until = time.monotonic() + 60, self.rounds + rounds
        while self.rounds <= until:
            assert time.monotonic() < end and self._thread.is_alive()
            time.sleep(0.002)

    def _run(self):
        while self._runs:
            for stream in self.streams:
                for end in (0, 1, 1, 0):
                    if stream.sends[end]:
                        self.number += 1
                        self._send(stream.numbered(end, self.number))
                self._read()
            self.rounds += 1
            time.sleep(0.0005)  # natd has to follow

    def _send(self, packet):
        (self.gateway.outside if packet[0] else self.gateway.inside).send(packet[1])

    def _read(self):
        for end, came_from in ((self.gateway.outside, 0), (self.gateway.inside, 1)):
            waiting = end.take_bytes()
            while (data := end._read(0)) is not None:
                waiting.append(data)
            for data in waiting:
                self._note(data, came_from)

    def _note(self, data, came_from):
        kind = {6: TcpStream, 17: UdpStream}.get(data[9])
        if kind is None or data[kind.header:kind.header + len(MARK)] != MARK:
            return
        number, = struct.unpack_from("!Q", data, kind.header + len(MARK))
        port = struct.unpack_from("!HH", data, 20)[came_from]
        self.arrived.setdefault((kind.protocol, port), ([], []))[came_from].append((number, len(data)))
        self.by_port[kind.protocol, port].arrive(came_from, data)

    def of(self, stream):
        return self.arrived.get((stream.protocol, stream.port), ([], []))


class Churn:
    def __init__(self, gateway, seed):
        self.gateway, self.picked = gateway, random.Random(seed)
        self.traffic = Traffic(gateway)
        self.ended = []  # (stream, number after which nothing of it may arrive)

    @property
    def natd(self):
        return self.gateway.natd

    def open(self, count):
        remotes = (S1, S2, S3)
        kinds = (TcpStream, TcpStream, UdpStream) if ROUNDS > 1 else (TcpStream,)
        before = len(self.traffic.streams)
        made = [kinds[i % len(kinds)](before + i, self.picked, remotes[i // len(kinds) % 3]) for i in range(count)]
        self.traffic.add(*made)
        self.traffic.start()
        end = time.monotonic() + 30
        while left := self.not_carried():
            assert time.monotonic() < end, left
            self.traffic.pass_on(5)

    def not_carried(self):
        carried = {(s["protocol"], s["inside"]["port"]) for s in self.natd.json("list") if "OFFLOAD" in s["flags"]}
        return [(s.protocol, s.port) for s in self.alive() if (s.protocol, s.port) not in carried]

    def alive(self, *remotes):
        return [s for s in self.traffic.streams if all(s.sends) and (not remotes or s.remote in remotes)]

    def prepare_end(self, streams):
        """A datagram from inside would open a new session, so those end first; all else goes on."""
        for stream in streams:
            stream.sends[0] = stream.protocol == "tcp"
        self.traffic.pass_on(2)

    def note_end(self, streams):
        self.ended += [(stream, self.traffic.number) for stream in streams]
        self.traffic.pass_on()
        for stream in streams:
            stream.sends = [False, False]

    def delete(self):
        stream = self.picked.choice(self.alive())
        self.prepare_end([stream])
        self.natd.ctl("delete", "-p", stream.protocol, "-s", stream.host, "--sport", stream.port)
        return [stream]

    def forbid(self):
        streams = self.alive(S3)
        self.prepare_end(streams)
        self.natd.write_config(config(FORBID))
        self.natd.ctl("reload")
        return streams

    def allow(self):
        self.natd.write_config(config())
        self.natd.ctl("reload")
        self.traffic.pass_on()

    def kill(self):
        self.natd.crash()
        self.traffic.pass_on(2)
        self.natd.start()

    # ---- what must hold ----

    def check_ends(self):
        for stream, cut in self.ended:
            late = [[number for number, _ in way if number > cut] for way in self.traffic.of(stream)]
            assert late == [[], []], (stream.protocol, stream.remote, cut)
            assert all(self.traffic.of(stream)), "it has never passed"

    def check_others(self, since):
        """Whatever happens to others, these go on."""
        for stream in self.alive():
            assert all(way and way[-1][0] > since for way in self.traffic.of(stream))

    def counted(self):
        """Packets and bytes, out and in, by protocol and port: of what lives and what has ended."""
        lines = self.natd.ctl("-j", "list").stdout + self.natd.ctl("-j", "history").stdout
        sums = {}
        for entry in map(json.loads, lines.splitlines()):
            if "out" in entry:
                key = entry["protocol"], entry["inside"]["port"]
                sums.setdefault(key, []).append([(entry[way]["packets"], entry[way]["bytes"]) for way in ("out", "in")])
        return sums

    def check_counters(self):
        counted = self.counted()
        for stream in self.traffic.streams:
            seen = [(first + len(way), 40 * first + sum(length for _, length in way))
                    for first, way in zip(stream.first, self.traffic.of(stream))]
            assert counted[stream.protocol, stream.port] == [seen], (stream.protocol, stream.remote)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    made = KeptGateway(tmp_path_factory.mktemp("churn") / "notify")
    yield made
    made.close()


@pytest.fixture
def churn(gateway):
    gateway.stop()
    gateway.set_up(**config())
    made = Churn(gateway, 1)
    yield made
    if made.traffic._thread.is_alive():
        made.traffic.stop()


def test_ended_sessions_are_out_of_the_kernel_before_the_command_returns(churn):
    churn.open(9 * min(ROUNDS, 4))
    for _ in range(ROUNDS):
        for _ in range(2):
            churn.note_end(churn.delete())
        churn.note_end(churn.forbid())
        churn.allow()
        since = churn.traffic.number
        churn.traffic.pass_on()
        churn.traffic.stop()
        churn.check_ends()
        churn.check_others(since)
        churn.check_counters()
        assert churn.natd.counters()["fast_packets"] > churn.natd.counters()["tun_read"]
        churn.open(9 if ROUNDS > 1 else 0)


@pytest.mark.skipif(not IS_LONG, reason="takes several seconds")
def test_ended_sessions_stay_so_after_a_sigkill(churn):
    churn.open(9 * min(ROUNDS, 4))
    for _ in range(ROUNDS):
        gone = churn.delete()
        churn.natd.crash()
        churn.note_end(gone)
        churn.natd.start()
        gone = churn.forbid()
        churn.kill()
        churn.note_end(gone)
        churn.allow()
        since = churn.traffic.number
        churn.traffic.pass_on()
        churn.traffic.stop()
        churn.check_ends()
        churn.check_others(since)
        churn.open(9 if ROUNDS > 1 else 0)
