# SPDX-License-Identifier: ISC
"""Faults on order: steers tests/faults/libfault.c, which natd is started with (LD_PRELOAD), while it runs."""
import mmap
import os
import struct
import tempfile

LIBRARY = os.environ.get("NATD_FAULTS", "")

# As in libfault.c.
FUNCTIONS = ("malloc", "calloc", "realloc", "mmap", "madvise", "memfd_create", "ftruncate", "fallocate", "open", "fopen",
             "read", "readv", "write", "writev", "pwrite", "fsync", "rename", "unlink", "mkdir", "chmod", "lstat",
             "socket", "bind", "listen", "connect", "accept4", "sendto", "sendmsg", "sendmmsg", "recv", "recvfrom",
             "recvmsg", "setsockopt", "ioctl", "fcntl", "epoll_create1", "epoll_ctl", "epoll_wait", "getrandom",
             "prctl", "setgroups")
_HEAD = struct.Struct("=QQQiiqqQQ")
_CALLS = struct.Struct("=64Q")


def why_not(natd):
    """Why natd cannot be given faults, or None."""
    if not os.access(LIBRARY, os.R_OK):
        return "there is no tests/faults/libfault.so: make check builds it"
    with open(natd, "rb") as program:
        if b"__asan_" in program.read():
            return "natd is built with sanitizers, which want to be loaded first"
    return None


class Faults:
    """What libfault.c reads. arm() one fault at a time; calls() counts since reset()."""

    def __init__(self):
        self._file = tempfile.NamedTemporaryFile(prefix="natdt-faults-")
        os.fchmod(self._file.fileno(), 0o666)
        self._file.truncate(4096)
        self._map = mmap.mmap(self._file.fileno(), 4096)

    def prefix(self, breaking=None):
        """What natd's command line begins with."""
        words = ["env", f"LD_PRELOAD={LIBRARY}", f"NATD_FAULT_FILE={self._file.name}"]
        return (*words, f"NATD_FAULT_BREAK={breaking}") if breaking else tuple(words)

    def _put(self, mask=0, countdown=0, repeat=0, error=0, signal=0, boottime_ms=0, realtime_s=0):
        # The countdown last: from then on the others are read.
        self._map[8:16] = bytes(8)
        packed = _HEAD.pack(mask, 0, repeat, error, signal, boottime_ms, realtime_s, 0, 0)
        self._map[0:8], self._map[16:_HEAD.size] = packed[0:8], packed[16:]
        self._map[8:16] = struct.pack("=Q", countdown)

    def arm(self, functions, call=1, repeat=0, error=0, signal=0):
        """The call-th call from now of these functions, and `repeat` more after it, fail with `error` (0: as is
        usual), or bring a signal."""
        names = (functions,) if isinstance(functions, str) else functions
        self._put(mask=sum(1 << FUNCTIONS.index(name) for name in names), countdown=call, repeat=repeat, error=error,
                  signal=signal)

    def disarm(self):
        """How many calls failed."""
        hit = self.hit()
        self._put()
        return hit

    def jump(self, boottime_ms=0, realtime_s=0):
        self._put(boottime_ms=boottime_ms, realtime_s=realtime_s)

    def hit(self):
        return _HEAD.unpack_from(self._map)[7]

    def reset(self):
        self._put()
        self._map[_HEAD.size:_HEAD.size + _CALLS.size] = bytes(_CALLS.size)

    def calls(self):
        """How often each function was called, by name."""
        return dict(zip(FUNCTIONS, _CALLS.unpack_from(self._map, _HEAD.size)))

    def library(self):
        """Which program or library made the call that failed."""
        at = _HEAD.size + _CALLS.size
        return bytes(self._map[at:at + 64]).split(b"\0")[0].decode()

    def spare(self, library):
        """From now on the calls of this library ("libconfig") do not fail."""
        at = _HEAD.size + _CALLS.size + 64
        self._map[at:at + 64] = library.encode().ljust(64, b"\0")

    def stall(self, *functions):
        """From now on calls of these functions wait; without any, they go on."""
        at = _HEAD.size + _CALLS.size + 128
        self._map[at:at + 8] = struct.pack("=Q", sum(1 << FUNCTIONS.index(name) for name in functions))

    def waiting(self):
        """How many calls have waited."""
        at = _HEAD.size + _CALLS.size + 136
        return struct.unpack_from("=Q", self._map, at)[0]

    def lock_calls(self):
        """How many calls that wait for the kernel's lock of interfaces natd's first thread has made, which serves packets."""
        at = _HEAD.size + _CALLS.size + 144
        return struct.unpack_from("=Q", self._map, at)[0]

    def close(self):
        self._map.close()
        self._file.close()
