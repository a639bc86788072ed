# SPDX-License-Identifier: ISC
"""The table's saved records, written down once more: where things lie in the kept memory and in a state file, and how
they looked in earlier layouts."""
import os
import struct

PAGE = 4096
MASK = (1 << 64) - 1
MAGIC = 0x656c62617464616e
ADDRESS, SESSION, COLD, REST, ORIGIN, ORIGIN_ID = 8, 64, 8, 8, 128, 4  # bytes each
HEADER_SUMMED, TOPS = 72, 80
HEADER = {1: 96, 2: 104}


def _pages(count):
    return -(-count // PAGE) * PAGE


class Region:
    """A memfd with records."""

    def __init__(self, fd):
        self._fd = fd

    def read(self, at, count):
        return os.pread(self._fd, count, at)

    def write(self, at, data):
        assert os.pwrite(self._fd, data, at) == len(data)

    def finish(self):
        pass


class StateFile:
    """The records in a state file; finish() writes it, with the right sum or with the one it had."""
    HEADER, SUM_AT = 88, 80

    def __init__(self, path, is_mended):
        self._path, self._is_mended = path, is_mended
        self._bytes = bytearray(path.read_bytes())

    def _extents(self):
        at = self.HEADER
        while at < len(self._bytes):
            offset, count = struct.unpack_from("=QQ", self._bytes, at)
            at += 16
            yield offset, at, count
            at += count

    def _at(self, offset):
        return next(at + offset - start for start, at, count in self._extents() if start <= offset < start + count)

    def read(self, at, count):
        at = self._at(at)
        return bytes(self._bytes[at:at + count])

    def write(self, at, data):
        at = self._at(at)
        self._bytes[at:at + len(data)] = data

    def _sum(self):
        words = memoryview(bytes(self._bytes[:self.SUM_AT] + self._bytes[self.HEADER:])).cast("Q")
        total = 1
        for word in words:
            total = (total ^ word) * 0x9e3779b97f4a7c15 & MASK
            total ^= total >> 29
        return total

    def finish(self):
        if self._is_mended:
            struct.pack_into("=Q", self._bytes, self.SUM_AT, self._sum())
        self._path.write_bytes(self._bytes)


def arrays(records):
    """Where each array begins, by what its header says."""
    sessions, addresses = struct.unpack("=II", records.read(24, 8))
    at = {"header": 0, "address": PAGE}
    at["session"] = at["address"] + _pages(addresses * ADDRESS)
    at["cold"] = at["session"] + _pages(sessions * SESSION)
    at["rest"] = at["cold"] + _pages(sessions * COLD)
    quarantined, origins = struct.unpack("=II", records.read(32, 8))
    at["origin"] = at["rest"] + _pages(quarantined * REST)
    at["origin_id"] = at["origin"] + _pages(origins * ORIGIN)
    return at


def _mix(x):
    x = (x + 0x9e3779b97f4a7c15) & MASK
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9 & MASK
    x = (x ^ x >> 27) * 0x94d049bb133111eb & MASK
    return x ^ x >> 31


def set_version(records, version, header_bytes):
    """Another layout version, in a header that is right otherwise."""
    records.write(8, struct.pack("=II", version, header_bytes))
    fields = struct.unpack("=Q8I4Q", records.read(0, HEADER_SUMMED))
    halves, total = fields[1:9], 0
    for word in (fields[0], *(halves[i] << 32 | halves[i + 1] for i in range(0, 8, 2)), *fields[9:]):
        total = _mix(total ^ word)
    records.write(HEADER_SUMMED, struct.pack("=Q", total))


def make_former(records, layout):
    """Turns whole records into ones of layout 1 or 2."""
    at = arrays(records)
    tops = [top & 0xffffffff for top in struct.unpack("=4Q", records.read(TOPS, 32))]
    session_top, address_top, _, origin_top = tops
    if origin_top > 0:
        records.write(at["origin"], bytes(origin_top * ORIGIN))
        records.write(at["origin_id"], bytes(session_top * ORIGIN_ID))
    sessions, = struct.unpack("=I", records.read(24, 4))
    records.write(32, struct.pack("=II", sessions, 0))
    records.write(TOPS + 24, bytes(8))
    if layout == 1:
        for i in range(address_top):
            state, = struct.unpack("=I", records.read(at["address"] + i * ADDRESS + 4, 4))
            records.write(at["address"] + i * ADDRESS + 4, struct.pack("=I", state != 0))
        for i in range(session_top):
            records.write(at["cold"] + i * COLD + 6, bytes(2))
        records.write(TOPS, struct.pack("=3I", *tops[:3]) + bytes(12))
    set_version(records, layout, HEADER[layout])
