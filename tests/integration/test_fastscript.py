# SPDX-License-Identifier: ISC
"""The same random packet script with the fast path and without gives the same bytes, tables and counters.

Both times the real programs and the real natd run; only fast_path.mode differs. A script is made from a seed: conversations
with bursts of data both ways, FINs and RSTs in the middle of a burst, segments with odd numbers, ICMP errors, deletes, reloads,
and SIGKILLs with packets on their way. Packets of one flow are compared in their order. tests/unit/check_mirror.c plays longer
scripts, with time and other protocols, to the core alone.

NATD_SCRIPT_SEEDS=FROM-TO and NATD_SCRIPT_STEPS choose scripts: `make fast-script` runs many.
"""
import collections
import json
import os
import random
import socket
import struct

import pytest

import conftest
from manager import KeptNatd, Manager
from wirelab import POOL, S1, S2, S3, Gateway, checksum

pytestmark = pytest.mark.skipif(not conftest.CAN_LOAD, reason="tc programs cannot be loaded here")

SEEDS = os.environ.get("NATD_SCRIPT_SEEDS", "3-4").split("-")
STEPS = int(os.environ.get("NATD_SCRIPT_STEPS", "40"))
WITH_LOADER = {"NATD_BPF_LOADER": conftest.LOADER}
CONFIG = """translation = {{ port_selection = "preserve"; }};
timeouts = {{ udp = {udp}; port_reuse = 0; }};
fast_path = {{ mode = "{mode}"; steering = "bpf"; }};
{filter}"""
FORBID = f'filter = ( {{ action = "drop"; direction = "out"; to = [ "{S3}" ]; }} );'
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
TALKS = 5
NAMES = ("burst", "odd", "FIN", "RST", "error", "delete", "reload", "kill")
WINDOW = 60000
OURS = ("out_packets", "in_packets", "out_bytes", "in_bytes", "hairpin", "to_host")


def inet(address):
    return socket.inet_aton(address)


def ip_packet(source, destination, protocol, body, fragment=0x4000, ttl=64):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 7, fragment, ttl, protocol, 0, inet(source), inet(destination))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def tcp_packet(source, destination, ports, numbers, flags, payload=b"", **more):
    body = struct.pack("!HHIIBBHHH", *ports, numbers[0] % 2**32, numbers[1] % 2**32, 0x50, flags, WINDOW, 0, 0) + payload
    pseudo = inet(source) + inet(destination) + struct.pack("!BBH", 0, 6, len(body))
    return ip_packet(source, destination, 6, body[:16] + struct.pack("!H", checksum(pseudo + body)) + body[18:], **more)


class KeptGateway(Gateway):
    """One whose natd a service manager keeps: it can be killed."""

    def __init__(self, path):
        self.manager = Manager(path)
        super().__init__("pool")

    def _make_natd(self, config):
        return KeptNatd(self.namespace, config, self.manager, environment=WITH_LOADER)

    def stop(self):
        """And the next natd begins with an empty table."""
        super().stop()
        self.manager.forget()

    def close(self):
        super().close()
        self.manager.close()


class Talk:
    """A TCP connection; next[0] and next[1]: what its inside and outside end send next."""

    def __init__(self, number, picked):
        self.host, self.remote = f"10.8.0.{picked.randint(10, 90)}", picked.choice((S1, S2, S3))
        self.port = 20000 + number
        self.next = [picked.getrandbits(32), picked.getrandbits(32)]
        self.acked = [self.next[0], self.next[1]]

    def segment(self, end, flags=ACK, payload=b"", ahead=0, ack=0, **more):
        """(end, bytes); `ahead` and `ack` are added to its numbers."""
        numbers = (self.next[end] + ahead, self.next[not end] + ack if flags & ACK else 0)
        if end == 0:
            return end, tcp_packet(self.host, self.remote, (self.port, 80), numbers, flags, payload, **more)
        return end, tcp_packet(self.remote, POOL, (80, self.port), numbers, flags, payload, **more)

    def say(self, end, flags=ACK | PSH, size=0):
        """The next segment of that end; one that has sent much without an answer lets the other end speak."""
        if (self.next[end] - self.acked[end]) % 2**32 > WINDOW // 3:
            end = not end
        made = self.segment(int(end), flags, b"x" * size)
        self.next[end] = (self.next[end] + size + (1 if flags & (SYN | FIN) else 0)) % 2**32
        self.acked[not end] = self.next[not end]
        return made

    def open(self):
        return [self.say(0, SYN), self.say(1, SYN | ACK), self.say(0, ACK)]


class Player:
    """Plays the script of a seed to a gateway; .seen has what arrived after each step, by flow."""

    def __init__(self, gateway, seed, mode):
        self.gateway, self.mode, self.picked = gateway, mode, random.Random(seed)
        self.number = 0
        self.seen, self.did = [], []
        self.udp, self.filter = 300, ""
        self.is_forbidding = False
        self.talks = []
        self.carried = 0

    # ---- what passes ----

    def send(self, *packets):
        for end, data in packets:
            (self.gateway.outside if end else self.gateway.inside).send(data)

    def settle(self, what):
        self.gateway.fence()
        flows = collections.defaultdict(list)
        for side, end in (("in", self.gateway.inside), ("out", self.gateway.outside)):
            for data in end.take_bytes():
                flows[side, data[9], data[12:20], data[20:24] if data[9] != 1 else b""].append(self.plain(data))
        self.seen.append(dict(flows))
        self.did.append(what)

    @staticmethod
    def plain(data):
        """Without the id, and so the checksum, that natd gives to packets without DF, and to ICMP errors."""
        return data if data[6] & 0x40 and data[9] != 1 else data[:4] + b"\0\0" + data[6:10] + b"\0\0" + data[12:]

    # ---- what happens ----

    def open(self, place=None):
        self.number += 1
        talk = Talk(self.number, self.picked)
        for packet in talk.open():
            self.send(packet)
            self.gateway.fence()
        for _ in range(3):  # so much that it is carried from here on
            self.send(talk.say(0, size=50), talk.say(1, size=60))
        self.settle("open")
        if place is None:
            self.talks.append(talk)
        else:
            self.talks[place] = talk

    def burst(self, talks=None, most=8):
        made = []
        for _ in range(self.picked.randint(1, most)):
            talk = self.picked.choice(talks or self.talks)
            made.append(talk.say(self.picked.randint(0, 1), size=self.picked.choice((0, 0, 1, 100, 700, 1400))))
        return made

    def race(self, flag):
        """A FIN or RST among the data of both ends, and what comes after it."""
        talk = self.picked.choice(self.talks)
        end = self.picked.randint(0, 1)
        packets = self.burst([talk])
        if flag == RST:
            packets.append(talk.segment(end, RST | self.picked.choice((0, ACK)), ahead=self.picked.choice((0, 0, 1, -1, 500, 70000))))
        else:
            packets.append(talk.say(end, FIN | ACK))
        packets += self.burst([talk])
        if flag == FIN and self.picked.randint(0, 1):
            packets += [talk.say(0, FIN | ACK), talk.say(1, FIN | ACK), talk.say(0, ACK), talk.say(1, ACK)]
        self.send(*packets)

    def odd(self):
        """Numbers near and far, and flags as a careless or hostile sender has them."""
        steps = (0, 1, -1, 100, -100, 65535, -65535, 66001, -66001, 1 << 20, -(1 << 20))
        flags = (ACK, ACK | PSH, ACK | 32, SYN, SYN | ACK, FIN | ACK, RST, RST | ACK, 0, FIN, SYN | FIN)
        talk = self.picked.choice(self.talks)
        self.send(talk.segment(self.picked.randint(0, 1), self.picked.choice(flags), b"y" * self.picked.choice((0, 9, 800)),
                               self.picked.choice(steps), self.picked.choice(steps), ttl=self.picked.choice((64, 64, 64, 2, 1)),
                               fragment=self.picked.choice((0x4000, 0x4000, 0))))

    def error(self):
        """An ICMP error about the last packet of one of its ends."""
        talk = self.picked.choice(self.talks)
        end = self.picked.randint(0, 1)
        if end:  # from outside, about a packet of the inside host
            quoted = tcp_packet(POOL, talk.remote, (talk.port, 80), (talk.next[0] - 10, talk.next[1]), ACK)
        else:
            quoted = tcp_packet(talk.remote, talk.host, (80, talk.port), (talk.next[1] - 10, talk.next[0]), ACK)
        body = struct.pack("!BBHI", 3, 1, 0, 0) + quoted
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        self.send((end, ip_packet("198.51.100.9" if end else talk.host, POOL if end else talk.remote, 1, body)))

    def delete(self):
        talk = self.picked.choice(self.talks)
        self.gateway.natd.ctl("delete", "-p", "tcp", "-s", talk.host, "--sport", talk.port, check=False)
        self.send(*self.burst([talk]))

    def config(self):
        return {"addresses": f'[ "{POOL}" ]', "more": CONFIG.format(mode=self.mode, udp=self.udp, filter=self.filter)}

    def reload(self):
        self.udp = self.picked.choice((300, 400))
        self.filter = self.picked.choice(("", FORBID))
        self.gateway.natd.write_config(self.config())
        self.gateway.natd.ctl("reload")
        self.send(*self.burst())

    def kill(self):
        self.gateway.natd.crash()
        self.send(*self.burst(most=20))
        self.gateway.natd.start()

    def play(self, steps, kills):
        for _ in range(TALKS):
            self.open()
        happenings = [(70, lambda: self.send(*self.burst())), (8, self.odd), (4, lambda: self.race(FIN)), (4, lambda: self.race(RST)),
                      (4, self.error), (4, self.delete), (1.5, self.reload), (1 if kills else 0, self.kill)]
        for i in range(steps):
            weights, what = zip(*happenings)
            chosen = self.picked.choices(range(len(what)), weights)[0]
            what[chosen]()
            self.settle(NAMES[chosen])
            if self.picked.random() < 0.08:
                self.open(self.picked.randrange(TALKS))
            if i % 10 == 0:
                self.note_sessions()

    def note_sessions(self):
        self.seen.append(self.sessions())
        self.did.append("list")

    # ---- tables and counters ----

    def sessions(self):
        """All connections but for their ids and times, which differ from run to run; so does what is carried."""
        listed = [json.loads(line) for line in self.gateway.natd.ctl("-j", "list", "-p", "tcp").stdout.splitlines()]
        self.carried = max(self.carried, sum("OFFLOAD" in s["flags"] for s in listed))
        return sorted(self.text(s) for s in listed)

    @staticmethod
    def text(entry):
        flags = [flag for flag in entry.get("flags", ()) if flag != "OFFLOAD"]
        kept = {key: value for key, value in entry.items() if key not in ("id", "age", "timeout", "time", "ended")}
        return json.dumps({**kept, "flags": flags}, sort_keys=True)

    def history(self):
        lines = [json.loads(line) for line in self.gateway.natd.ctl("-j", "history").stdout.splitlines()]
        return sorted(self.text(entry) for entry in lines if entry.get("protocol") == "tcp")

    def counters(self):
        """Since the last SIGKILL, so of nothing if there was one."""
        counted = self.gateway.natd.counters()
        self.carried = max(self.carried, counted["fast_packets"])
        return {name: value for name, value in counted.items() if name in OURS or name.startswith("drop_")}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    made = KeptGateway(tmp_path_factory.mktemp("script") / "notify")
    yield made
    made.close()


def play(gateway, seed, mode, kills):
    player = Player(gateway, seed, mode)
    gateway.stop()
    gateway.set_up(**player.config())
    player.play(STEPS, kills)
    player.seen += [player.sessions(), player.history()]
    player.did += ["list", "history"]
    if not kills:
        player.seen.append(player.counters())
        player.did.append("counters")
    return player


@pytest.mark.parametrize("seed", range(int(SEEDS[0]), int(SEEDS[-1]) + 1))
def test_the_fast_path_changes_no_result(gateway, seed):
    """Every second script has SIGKILLs, after which counters begin again; the others compare counters."""
    kills = seed % 2 == 0
    plain = play(gateway, seed, "off", kills)
    fast = play(gateway, seed, "required", kills)
    for i, (a, b) in enumerate(zip(plain.seen, fast.seen)):
        assert a == b, f"seed {seed}, step {i} ({plain.did[i]})"
    assert plain.did == fast.did
    assert plain.carried == 0 and fast.carried > 0
