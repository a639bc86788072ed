#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Turns captures (pcap, any common link type) into files of this corpus: the IPv4 packets alone, link type IPV4 (228).

    import.py FROM.pcap tests/replay/corpus/NAME.pcap [fix]

With "fix" header checksums are made right: of packets that were captured before the network card filled them in.
"""
import struct
import sys

LINKS = {0: 4, 1: 14, 9: 4, 12: 0, 14: 0, 101: 0, 113: 16, 228: 0, 276: 20}


def packets(data):
    """Link type, and (time, bytes, whole length) of each record."""
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    link, at = struct.unpack(order + "I", data[20:24])[0] & 0xffff, 24
    while at + 16 <= len(data):
        s, part, kept, whole = struct.unpack(order + "IIII", data[at:at + 16])
        yield link, (s, part), data[at + 16:at + 16 + kept], whole
        at += 16 + kept


def ipv4(link, frame):
    """The IPv4 packet in a frame, or None."""
    at = LINKS[link]
    if link == 1:
        kind = frame[12:14]
        while kind in (b"\x81\x00", b"\x88\xa8"):
            kind, at = frame[at + 2:at + 4], at + 4
        if kind != b"\x08\x00":
            return None
    elif link == 9:  # PPP, with or without address and control
        at = 4 if frame[:2] == b"\xff\x03" else 2
        if frame[at - 2:at] != b"\x00\x21":
            return None
    elif link == 113 and frame[14:16] != b"\x08\x00":
        return None
    packet = frame[at:]
    if len(packet) < 20 or packet[0] >> 4 != 4:
        return None
    total = struct.unpack("!H", packet[2:4])[0]
    return packet[:total] if total >= 20 else packet


def fixed(packet):
    """The packet with a right header checksum."""
    size = (packet[0] & 15) * 4
    head = packet[:10] + b"\0\0" + packet[12:size]
    total = sum(struct.unpack(f"!{size // 2}H", head))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return packet[:10] + struct.pack("!H", ~total & 0xffff) + packet[12:]


def main():
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    out, n = bytearray(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 228)), 0
    for link, (s, part), frame, _ in packets(data):
        packet = ipv4(link, frame)
        if packet:
            packet = fixed(packet) if "fix" in sys.argv[3:] else packet
            out += struct.pack("<IIII", s, part, len(packet), len(packet)) + packet
            n += 1
    if n:
        with open(sys.argv[2], "wb") as f:
            f.write(out)
    print(n, sys.argv[2])
    return 0 if n else 1


if __name__ == "__main__":
    sys.exit(main())
