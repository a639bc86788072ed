# SPDX-License-Identifier: ISC
"""Captures without a loss, at wire size, and what every packet of one must be like.

A device whose sender has all offloads off (plain_wire()) carries what a cable would: nothing larger than its MTU,
checksums filled in. The kernel puts each packet into a ring (PACKET_RX_RING), which is no matter of
buffer limits, so an ordinary user's capture is whole too; that nothing was lost is asserted.
"""
import mmap
import socket
import struct

from wirelab import checksum

SOL_PACKET, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION = 263, 5, 6, 10
TPACKET_V2, HEADER_BYTES, ADDRESS_AT = 1, 32, 32
TP_STATUS_USER = 1
BLOCK = 1 << 20
ETH_P_ALL, ETH_P_IP = 3, 0x0800
PACKET_OUTGOING = 4


def offloads(namespace, device, *settings):
    """ethtool -K, of what this device knows."""
    for name, value in zip(settings[::2], settings[1::2]):
        namespace.run("ethtool", "-K", device, name, value, check=False)


def plain_wire(namespace, device):
    """What leaves by this device is cut and summed up before."""
    offloads(namespace, device, "tso", "off", "gso", "off", "tx-udp-segmentation", "off", "tx", "off", "sg", "off")
    shown = namespace.run("ethtool", "-k", device).stdout
    assert "generic-segmentation-offload: off" in shown and "tx-checksumming: off" in shown, shown


class Packet:
    """One IPv4 packet: its bytes, and the few fields that the checks want."""

    def __init__(self, data):
        self.data = data
        self.length, self.ident, self.fragment = struct.unpack("!HHH", data[2:8])
        self.ttl, self.protocol = data[8], data[9]
        self.src, self.dst = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
        self.header = (data[0] & 15) * 4
        self.body = data[self.header:self.length]

    def is_fragment(self):
        return bool(self.fragment & 0x3FFF)

    def ports(self):
        return struct.unpack("!HH", self.body[:4])

    def payload(self):
        return self.body[8 if self.protocol == 17 else (self.body[12] >> 4) * 4:]

    def flow(self):
        return (self.protocol, self.src, self.dst, *self.ports())

    def is_right(self):
        """Header checksum, and of TCP and UDP (whole) the transport's."""
        if checksum(self.data[:self.header]) != 0 or len(self.data) < self.length:
            return False
        if self.protocol not in (6, 17) or self.is_fragment():
            return True
        if self.protocol == 17 and self.body[6:8] == b"\0\0":
            return True
        pseudo = self.data[12:20] + struct.pack("!BBH", 0, self.protocol, len(self.body))
        return checksum(pseudo + self.body) == 0

    def __repr__(self):
        return f"{self.src} > {self.dst} proto {self.protocol} len {self.length} ttl {self.ttl} {self.body[:40].hex()}"


class Capture:
    """What passes a device, each direction in its order. `snap`: the bytes of each packet that are kept at least; `most`:
    packets that the ring holds."""

    def __init__(self, namespace, device, snap=128, most=8192):
        self._frame = 256
        while self._frame < snap + 128:
            self._frame *= 2
        frames_a_block = BLOCK // self._frame
        blocks = -(-most // frames_a_block)
        self._frames = blocks * frames_a_block
        with namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
            self._socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
            self._socket.setsockopt(SOL_PACKET, PACKET_RX_RING,
                                    struct.pack("=IIII", BLOCK, blocks, self._frame, self._frames))
            self._ring = mmap.mmap(self._socket.fileno(), BLOCK * blocks)
            self._socket.bind((device, ETH_P_ALL))  # the others do not see what leaves

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ring.close()
        self._socket.close()

    def passed(self):
        """(those that arrived, those that left). None was lost."""
        arrived, left = [], []
        for at in range(0, self._frames * self._frame, self._frame):
            status, _, snapped, _, net = struct.unpack_from("=IIIHH", self._ring, at)
            if not status & TP_STATUS_USER:
                break
            if struct.unpack_from("!H", self._ring, at + ADDRESS_AT + 2)[0] == ETH_P_IP:
                outgoing = self._ring[at + ADDRESS_AT + 10] == PACKET_OUTGOING
                (left if outgoing else arrived).append(Packet(self._ring[at + net:at + net + snapped]))
        _, lost = struct.unpack("=II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        assert lost == 0, f"the capture lost {lost} packets"
        return arrived, left


class WireCapture(Capture):
    """What arrives at a device from a wire."""

    def __init__(self, namespace, device, mtu):
        self.mtu = mtu
        super().__init__(namespace, device, mtu)

    def got(self):
        """All packets that arrived (not those sent by this side), in order. None was lost, none larger than the wire takes,
        each one's checksums are right."""
        packets, _ = self.passed()
        large = [p for p in packets if p.length > self.mtu]
        assert not large, f"{len(large)} of {len(packets)} packets are too large for a wire of {self.mtu}: {large[:5]}"
        bad = [p for p in packets if not p.is_right()]
        assert not bad, f"{len(bad)} of {len(packets)} packets have a wrong checksum: {bad[:5]}"
        return packets


class _Stream:
    """What of a TCP flow's bytes passed."""

    def __init__(self, seq):
        self.base, self.top, self.gaps = seq, 0, []

    def add(self, seq, length):
        """"new", "late" (it fills a gap) or "again"."""
        at = (seq - self.base + 2**31) % 2**32 - 2**31
        end = at + length
        fills = any(at < gap_end and end > gap_at for gap_at, gap_end in self.gaps)
        kind = "late" if fills else "again" if at < self.top else "new"
        if at > self.top:
            self.gaps.append((self.top, at))
        self.top = max(self.top, end)
        return kind


def _data_of_tcp(packets):
    """(packet, sequence number, length, kind) of what carries data."""
    flows = {}
    for p in packets:
        if p.protocol == 6 and not p.is_fragment():
            seq, length = int.from_bytes(p.body[4:8], "big"), p.length - p.header - (p.body[12] >> 4) * 4
            if length > 0:
                yield p, seq, length, flows.setdefault(p.flow(), _Stream(seq)).add(seq, length)


def _late_datagrams(packets):
    newest = {}
    for p in packets:
        if p.protocol == 17 and not p.is_fragment() and len(p.payload()) > 4:
            number = int.from_bytes(p.payload()[:4], "big")
            if number <= newest.get(p.flow(), -1):
                yield p
            newest[p.flow()] = number


def reordered(packets, before=()):
    """Per flow, what came behind something later: of TCP by its sequence numbers, of UDP by the number that a datagram begins
    with (transfer.py's: a number alone is an answer, and no matter). `before`: what the senders sent; what they sent
    again had been lost, and is not what is looked for."""
    again = [(seq, length) for _, seq, length, kind in _data_of_tcp(before) if kind != "new"]
    late = [p for p, seq, length, kind in _data_of_tcp(packets) if kind == "late" and not any(
        (seq - at) % 2**32 < most or (at - seq) % 2**32 < length for at, most in again)]
    return late + list(_late_datagrams(packets))


def mss_of(packets):
    """The MSS option of each SYN: {(source address, source port is the opener's): bytes}."""
    found = []
    for p in packets:
        if p.protocol == 6 and p.body[13] & 2:
            options, i = p.body[20:(p.body[12] >> 4) * 4], 0
            while i < len(options) and options[i] != 0:
                if options[i] == 1:
                    i += 1
                    continue
                if options[i] == 2:
                    found.append(int.from_bytes(options[i + 2:i + 4], "big"))
                i += options[i + 1]
    return found
