# SPDX-License-Identifier: ISC
"""A gateway between two wires, with only the test at their ends.

    fake hosts 10.8.0.0/24 ---- lan0 [gateway] out0 ---- fake router 203.0.113.254, fake servers behind it

The ends have no address and no stack: nothing but the test answers, and the test owns every header bit. The
gateway is natd, or what its users have: the kernel's masquerade, for comparison.

"Nothing came" is known, not waited for: what was sent before goes through the gateway before the packets of
settle(), which run through it both ways.
"""
import json
import os
import re
import select
import socket
import struct
import time

import netlab
from conftest import Natd
from scapy.layers.inet import ICMP, IP, TCP, UDP

PACKET_OUTGOING = 4
INSIDE_NET = "10.8.0."
GATEWAY_INSIDE = "10.8.0.1"
INSIDE_ROUTER = "10.8.0.9"
ROUTER = "203.0.113.254"
MIDDLE = "198.51.100.9"  # a router on the way, neither end
S1, S2, S3 = "198.51.100.11", "198.51.100.12", "198.51.100.13"
SHARED, POOL = "203.0.113.1", "203.0.113.40"
CANARY_IN, CANARY_OUT = "10.8.0.250", "198.51.100.250"
FORWARD_PORT, FORWARD_TO, FORWARD_TO_PORT = 80, "10.8.0.200", 8080
HOSTS = range(10, 200)
SETTLE_S = 20

FORWARD = (f'forwards = ( {{ name = "web"; protocol = "tcp"; port = {FORWARD_PORT}; '
           f'to = "{FORWARD_TO}:{FORWARD_TO_PORT}"; }} );')
PLAIN = "tun = { offload = false; };"


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def built(packet):
    """The packet as it was sent, lengths and checksums filled in."""
    return IP(bytes(packet))


def headers_are_valid(packet):
    """Every checksum of a whole packet: IP, transport, and those in the quote of an ICMP error."""
    data = bytes(packet)
    header, total = (data[0] & 15) * 4, struct.unpack("!H", data[2:4])[0]
    body, proto = data[header:total], data[9]
    if len(data) < total or checksum(data[:header]) != 0:
        return False
    if proto == 1:
        return checksum(body) == 0 and (body[0] not in (3, 4, 5, 11, 12) or _quote_is_valid(body[8:]))
    if proto == 17 and body[6:8] == b"\0\0":
        return True
    return checksum(data[12:20] + struct.pack("!BBH", 0, proto, len(body)) + body) == 0


def _quote_is_valid(quote):
    header = (quote[0] & 15) * 4
    return checksum(quote[:header]) == 0


class End:
    """All hosts of one side: what they receive, and a way to send anything at all."""

    def __init__(self, gateway, device, name):
        self.namespace = netlab.Namespace(name)
        for key in ("all", "default"):
            self.namespace.sysctl(f"ipv6/conf/{key}/disable_ipv6", 1)
        netlab.wire(gateway, device, self.namespace, "eth0")
        self.namespace.run("ip", "link", "set", "eth0", "arp", "off")
        self.mac = self._mac(self.namespace, "eth0")
        self._gateway_mac = bytes.fromhex(self._mac(gateway, device).replace(":", ""))
        with self.namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            self._socket.bind(("eth0", 0x0800))
        self._waiting = []

    @staticmethod
    def _mac(namespace, device):
        return json.loads(namespace.run("ip", "-j", "link", "show", device).stdout)[0]["address"]

    def send(self, *packets):
        for packet in packets:
            self._socket.sendto(bytes(packet), ("eth0", 0x0800, 0, 0, self._gateway_mac))

    def _read(self, timeout):
        while select.select([self._socket], [], [], timeout)[0]:
            data, address = self._socket.recvfrom(1 << 17)
            if address[2] != PACKET_OUTGOING:
                return data
        return None

    def wait_for(self, fits, timeout=SETTLE_S):
        """The first packet from now for which fits(bytes); what came before it is kept for take()."""
        while True:
            data = self._read(timeout)
            if data is None:
                raise AssertionError("the gateway passes nothing on")
            if fits(data):
                return data
            self._waiting.append(data)

    def take_bytes(self):
        came, self._waiting = self._waiting, []
        return [data for data in came if CANARY_IN_BYTES not in data[12:20] and CANARY_OUT_BYTES not in data[12:20]]

    def take(self):
        return [IP(data) for data in self.take_bytes()]

    def listen(self, seconds):
        """Reads for so long: for what must not come for a time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            data = self._read(left)
            if data is not None:
                self._waiting.append(data)

    def close(self):
        self._socket.close()
        self.namespace.close()


CANARY_IN_BYTES, CANARY_OUT_BYTES = socket.inet_aton(CANARY_IN), socket.inet_aton(CANARY_OUT)


class Seen:
    """What arrived at either side."""

    def __init__(self, inside, outside):
        self.inside, self.outside = inside, outside

    def __repr__(self):
        return (f"inside: {[p.summary() for p in self.inside]}; "
                f"outside: {[p.summary() for p in self.outside]}")


class Gateway:
    """The network, and a gateway of one kind in it: "natd", "pool" (natd with an address of its own) or "nft"; natd's
    with "-plain" behind it have tun.offload off."""

    def __init__(self, kind):
        self.kind, _, mode = kind.partition("-")
        self.offload = mode != "plain"
        self.external = POOL if self.kind == "pool" else SHARED
        self.namespace = netlab.Namespace("gateway")
        self.namespace.sysctl("ipv4/ip_forward", 1)
        self.inside = End(self.namespace, "lan0", "inside")
        self.outside = End(self.namespace, "out0", "outside")
        self.natd = None
        self._setup = None
        self._host = 0
        self._fence = 0
        self._addresses()

    def _addresses(self):
        lines = [f"addr add {GATEWAY_INSIDE}/24 dev lan0", "addr add 203.0.113.1/24 dev out0",
                 f"neigh add {ROUTER} lladdr {self.outside.mac} dev out0 nud permanent",
                 f"route add default via {ROUTER}"]
        lines += [f"neigh add {INSIDE_NET}{i} lladdr {self.inside.mac} dev lan0 nud permanent" for i in range(2, 255)]
        self.namespace.run("ip", "-batch", "-", input="\n".join(lines))

    # ---- the gateway itself ----

    def set_up(self, mtu_out=1500, mtu_in=1500, nft="masquerade", **config):
        """Sees to it that the gateway runs with this configuration (that of conftest.CONFIG)."""
        setup = (mtu_out, mtu_in, nft if self.kind == "nft" else tuple(sorted(config.items())))
        if setup != self._setup:
            self.stop()
            for device, mtu in (("lan0", mtu_in), ("out0", mtu_out)):
                self.namespace.run("ip", "link", "set", device, "mtu", mtu)
            if self.kind == "nft":
                self._start_nft(nft)
            else:
                self._start_natd(config)
            self._setup = setup
        if self.kind == "nft":
            self.namespace.run("conntrack", "-F")
        self.settle()

    def _start_nft(self, verb):
        self.namespace.run("nft", "-f", "-", input=f"""
            table ip nat {{
                chain post {{
                    type nat hook postrouting priority 100
                    oifname out0 meta l4proto {{ tcp, udp }} {verb}
                    oifname out0 masquerade
                }}
                chain pre {{
                    type nat hook prerouting priority -100
                    ip daddr {SHARED} tcp dport {FORWARD_PORT} dnat to {FORWARD_TO}:{FORWARD_TO_PORT}
                }}
            }}""")

    def _start_natd(self, config):
        if self.kind == "pool":
            config = {"addresses": f'[ "{POOL}" ]', **config}
        more = config.get("more", "")
        if not self.offload:
            more = more.replace("tun = {", "tun = { offload = false;") if "tun = {" in more else more + PLAIN
        self.natd = self._make_natd({**config, "more": FORWARD + more}).start()
        headers = self.namespace.run("ip", "-d", "link", "show", "natd0").stdout
        assert ("vnet_hdr on" in headers) == self.offload, headers

    def _make_natd(self, config):
        return Natd(self.namespace, config)

    def stop(self):
        self._setup = None
        if self.natd is not None:
            self.natd.close()
            self.natd = None
        elif self.kind == "nft":
            self.namespace.run("nft", "flush", "ruleset")

    def close(self):
        try:
            self.stop()
        finally:
            for part in (self.inside, self.outside, self.namespace):
                part.close()

    def sessions(self, host):
        """(protocol, seconds left, line) of each session of an inside host, as natctl list and conntrack -L print them."""
        if self.kind == "nft":
            text = self.namespace.run("conntrack", "-L", "-s", host).stdout
        else:
            text = self.natd.ctl("list", "-s", host).stdout
        return [(m[1], int(m[2]), m[0]) for m in re.finditer(r"^(\w+)\s+\d+ (\d+) .*$", text, re.M)]

    # ---- what passes ----

    def hosts(self, count=1):
        """Inside addresses that no test before had."""
        taken = [f"{INSIDE_NET}{HOSTS[(self._host + i) % len(HOSTS)]}" for i in range(count)]
        self._host += count
        return taken[0] if count == 1 else taken

    def settle(self):
        """Returns when all that was sent before has passed or been dropped, and what arrived."""
        for _ in range(2):
            self.fence()
            self._round_trip(ICMP(type=8, id=9), lambda p: ICMP(type=0, id=p[ICMP].id, seq=p[ICMP].seq))
        return Seen(self.inside.take(), self.outside.take())

    def fence(self):
        """What was sent before, and came by the TUN, has passed or been dropped. The packet outbound has no DF, so natd's fast
        path leaves it to natd: it overtakes nothing there."""
        self._round_trip(UDP(sport=9, dport=9), lambda p: UDP(sport=9, dport=p.sport))

    def _round_trip(self, there, back):
        assert self.natd is None or self.natd.process.poll() is None, self.natd.text()
        self._fence += 1
        mark = b"fence %d %06d" % (os.getpid(), self._fence)
        self.inside.send(IP(src=CANARY_IN, dst=CANARY_OUT) / there / (b">" + mark))
        came = IP(self.outside.wait_for(lambda data: data.endswith(b">" + mark)))
        self.outside.send(IP(src=CANARY_OUT, dst=came.src) / back(came) / (b"<" + mark))
        self.inside.wait_for(lambda data: data.endswith(b"<" + mark))

    def from_inside(self, *packets):
        self.inside.send(*packets)
        return self.settle()

    def from_outside(self, *packets):
        self.outside.send(*packets)
        return self.settle()

    def open(self, packet):
        """Sends a packet out, and returns it as it arrived: exactly one, from the outside address."""
        came = self.from_inside(packet).outside
        assert len(came) == 1 and came[0].src == self.external, came
        return came[0]

    def udp(self, host, sport=5000, remote=S1, dport=7, payload=b"hello"):
        """The external port of an inside UDP endpoint, as the remote one sees it."""
        return self.open(IP(src=host, dst=remote) / UDP(sport=sport, dport=dport) / payload)[UDP].sport

    def echo(self, host, ident, remote=S1):
        return self.open(IP(src=host, dst=remote) / ICMP(type=8, id=ident, seq=1) / b"ping")[ICMP].id

    def tcp(self, host, sport=5000, remote=S1, dport=80):
        """An established connection."""
        return Connection(self, host, sport, remote, dport)


class Connection:
    """Both ends of a TCP connection through the gateway. Sequence numbers are those of the next byte."""
    WINDOW = 8192

    def __init__(self, gateway, host, sport, remote, dport):
        self.gateway, self.host, self.sport, self.remote, self.dport = gateway, host, sport, remote, dport
        self.inside_seq, self.outside_seq = 1000000, 2000000
        options = [("MSS", 1460), ("WScale", 0)]
        self.port = gateway.open(self.segment(0, "S", options=options))[TCP].sport
        self.inside_seq += 1
        answer = gateway.from_outside(self.answer(0, "SA", ack=self.inside_seq, options=options)).inside
        assert len(answer) == 1 and answer[0].dst == host, answer
        self.outside_seq += 1
        assert len(gateway.from_inside(self.segment(0, "A")).outside) == 1

    def segment(self, ahead=0, flags="A", payload=b"", **fields):
        """From inside, so many bytes ahead of what was sent before."""
        fields = {"window": self.WINDOW, "ack": self.outside_seq if "A" in flags else 0, **fields}
        return IP(src=self.host, dst=self.remote) / TCP(sport=self.sport, dport=self.dport, flags=flags,
                                                        seq=(self.inside_seq + ahead) % 2**32, **fields) / payload

    def answer(self, ahead=0, flags="A", payload=b"", **fields):
        """From outside."""
        fields = {"window": self.WINDOW, "ack": self.inside_seq if "A" in flags else 0, **fields}
        return IP(src=self.remote, dst=self.gateway.external) / TCP(
            sport=self.dport, dport=self.port, flags=flags, seq=(self.outside_seq + ahead) % 2**32, **fields) / payload

    def send(self, payload):
        seen = self.gateway.from_inside(self.segment(0, "PA", payload)).outside
        self.inside_seq += len(payload)
        return len(seen) == 1 and bytes(seen[0][TCP].payload) == payload

    def receive(self, payload):
        seen = self.gateway.from_outside(self.answer(0, "PA", payload)).inside
        self.outside_seq += len(payload)
        return len(seen) == 1 and bytes(seen[0][TCP].payload) == payload

    def alive(self):
        """Data passes both ways, and the gateway keeps the connection for as long as an established one."""
        return self.send(b"out") and self.receive(b"in") and self.state() == "ESTABLISHED"

    def state(self):
        line = next((line for proto, _, line in self.gateway.sessions(self.host)
                     if proto == "tcp" and f"sport={self.sport} " in line), "tcp 6 0 NONE")
        return line.split()[3]
