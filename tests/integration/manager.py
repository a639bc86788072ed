# SPDX-License-Identifier: ISC
"""Plays the service manager for natd: what it says to NOTIFY_SOCKET, the store that keeps its descriptors, and the
bus on which it asks whether it is being restarted."""
import array
import contextlib
import ctypes
import fcntl
import os
import platform
import re
import select
import socket
import struct
import subprocess
import threading
import time

from conftest import NATD, Natd

KCMP = {"x86_64": 312, "aarch64": 272}.get(platform.machine())
FIRST = 3  # descriptor, as sd_listen_fds(3) has it
_libc = ctypes.CDLL(None, use_errno=True)


def _same_file(a, b):
    """Are these duplicates of each other? (Two queues of /dev/net/tun have one inode, so that does not tell.)"""
    pid = os.getpid()
    return KCMP is not None and _libc.syscall(KCMP, pid, pid, 0, a, b) == 0


class Manager:
    """NOTIFY_SOCKET and the descriptor store behind it, served by a thread."""

    def __init__(self, path):
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self._changed = threading.Condition()
        self._wake, self._wake_end = os.pipe()
        self.messages = []
        self.store = []  # (name, descriptor)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while self._wake not in select.select([self._socket, self._wake], [], [])[0]:
            text, control, _, _ = self._socket.recvmsg(8192, socket.CMSG_SPACE(64 * 4))
            descriptors = array.array("i")
            for level, kind, data in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    descriptors.frombytes(data)
            message = dict(line.split("=", 1) for line in text.decode().splitlines() if "=" in line)
            with self._changed:
                self._handle(message, descriptors)
                self.messages.append(message)
                self._changed.notify_all()

    def _handle(self, message, descriptors):
        name = message.get("FDNAME", "stored")
        if "FDSTOREREMOVE" in message:
            for kept in [k for k in self.store if k[0] == name]:
                os.close(kept[1])
                self.store.remove(kept)
        if "FDSTORE" in message:
            assert message["FDPOLL"] == "0"
            for fd in descriptors:
                if not any(_same_file(fd, kept) for _, kept in self.store):
                    self.put(name, fd)
        for fd in descriptors:
            os.close(fd)

    def put(self, name, fd):
        """Keeps a duplicate, far from the numbers that the next natd gets."""
        self.store.append((name, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 200)))

    def forget(self):
        """Empties the store."""
        with self._changed:
            for _, fd in self.store:
                os.close(fd)
            self.store.clear()

    def names(self):
        """What is in the store, but for the links of tc programs and the flows that they carry."""
        with self._changed:
            return sorted(name for name, _ in self.store if not re.fullmatch(r"tc[0-9]+|flows", name))

    def links(self):
        """The names of the tc programs' links."""
        with self._changed:
            return sorted(name for name, _ in self.store if re.fullmatch(r"tc[0-9]+", name))

    def kept(self, wanted):
        with self._changed:
            fd, = [fd for name, fd in self.store if name == wanted]
        return fd

    def environment(self, **more):
        names = [name for name, _ in self.store]
        return {"NOTIFY_SOCKET": self.path, "LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names), **more}

    def pass_descriptors(self):
        """In the child, before it executes natd."""
        for i, (_, fd) in enumerate(self.store):
            os.dup2(fd, FIRST + i)

    def wait(self, key, since=0, timeout=20):
        """The first message from the since-th on that has this key."""
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                for message in self.messages[since:]:
                    if key in message:
                        return message
                if not self._changed.wait(end - time.monotonic()) and time.monotonic() >= end:
                    raise AssertionError(f"no {key} in {timeout} s; natd said {self.messages[since:]}")

    def close(self):
        os.close(self._wake_end)
        self._thread.join()
        os.close(self._wake)
        self._socket.close()
        for _, fd in self.store:
            os.close(fd)


class KeptNatd(Natd):
    """natd as the manager starts it: with what is in the store."""

    def __init__(self, namespace, config, manager, **more):
        super().__init__(namespace, config, **more)
        self.manager = manager
        self.extra = dict(self.environment or {})

    def launch(self):
        environment = {**os.environ, **self.manager.environment(), **self.extra}
        # The pid is known to the process alone; close_fds would close what is passed.
        with_pid = ("sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh")
        self.log = []
        self.process = subprocess.Popen(
            self.namespace.command(*with_pid, *self.prefix, NATD, "-f", "-c", self.config_path, *self.options),
            stderr=subprocess.PIPE, text=True, errors="replace", env=environment, close_fds=False,
            preexec_fn=self.manager.pass_descriptors)
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def start(self):
        since = len(self.manager.messages)
        self.launch()
        self.wait_log(r"^natd: ready", 20)
        self.manager.wait("READY", since)
        return self

    def crash(self):
        self.process.kill()
        self.process.wait()
        self._reader.join(5)


# ---- the bus ----

def _string(text):
    return struct.pack("<I", len(text)) + text.encode() + b"\0"


def _pad(data, to):
    return data + bytes(-len(data) % to)


def _variant(signature, body, alignment):
    return _pad(bytes([len(signature)]) + signature.encode() + b"\0", alignment) + body


class Bus:
    """So much of a system bus that sd-bus can ask systemd for a unit's job. `job`: "restart", "stop", ...; None: there
    is none; "silent": no answer."""

    def __init__(self, path, job):
        self.job = job
        self.asked = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        os.chmod(path, 0o777)
        self._listener.listen()
        self.environment = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={path}"}
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                with connection, connection.makefile("rb") as stream:
                    if self.job == "silent":
                        stream.read()
                        continue
                    self._authenticate(connection, stream)
                    while self._answer(connection, stream):
                        pass

    @staticmethod
    def _authenticate(connection, stream):
        stream.read(1)
        while True:
            line = stream.readline().split()
            if line[:1] == [b"BEGIN"]:
                return
            answer = {b"AUTH": b"OK " + b"0" * 32 if len(line) > 2 else b"DATA", b"DATA": b"OK " + b"0" * 32,
                      b"NEGOTIATE_UNIX_FD": b"AGREE_UNIX_FD"}[line[0]]
            connection.sendall(answer + b"\r\n")

    def _answer(self, connection, stream):
        head = stream.read(16)
        if len(head) < 16:
            return False
        _, _, _, _, body_len, serial, fields_len = struct.unpack("<BBBBIII", head)
        fields = stream.read(fields_len + -fields_len % 8)
        body = stream.read(body_len)
        kind, signature, answer = self._look_up(fields, body)
        reply = _pad(struct.pack("<BBBB", 5, 1, ord("u"), 0), 4) + struct.pack("<I", serial)
        if kind == 3:
            reply = _pad(reply, 8) + struct.pack("<BBBB", 4, 1, ord("s"), 0) + _string("org.example.Nothing")
        if signature:
            reply = _pad(reply, 8) + struct.pack("<BBBB", 8, 1, ord("g"), 0) + bytes([len(signature)])
            reply += signature.encode() + b"\0"
        connection.sendall(_pad(struct.pack("<BBBBIII", ord("l"), kind, 1, 1, len(answer), serial + 1000, len(reply))
                                + reply, 8) + answer)
        return True

    def _look_up(self, fields, body):
        """Message type, signature and body of the answer."""
        if b"Hello\0" in fields:
            return 2, "s", _string(":1.7")
        self.asked.append(body)
        if b"JobType" in body and self.job and b"/org/freedesktop/systemd1/job/77\0" in fields:
            return 2, "v", _variant("s", _string(self.job), 4)
        if b"Job\0" in body and b"/org/freedesktop/systemd1/unit/self\0" in fields:
            path = "/org/freedesktop/systemd1/job/77" if self.job else "/"
            return 2, "v", _variant("(uo)", struct.pack("<I", 77) + _string(path), 8)
        return 3, "", b""

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
