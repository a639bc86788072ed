# SPDX-License-Identifier: ISC
"""Throw-away networks for the tests: network namespaces, the wires between them, and what runs in them.

A namespace is held open by a small process that dies with the tests, so nothing is left behind however
they end, and no name of the host is used: the same code runs as root and inside `unshare -Urnm`.

    client, client2 (10.8.0.2, .3) --- lan0 [gateway] out0 --- [router] --- server, server2
                    10.8.0.0/24             203.0.113.0/24             198.51.100.0/24

The router knows no way to 10.8.0.0/24: a packet that leaks untranslated gets no answer, and shows in a capture.
"""
import contextlib
import ctypes
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import time

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
ETH_P_ALL = 3
PACKET_OUTGOING = 4
SO_RCVBUFFORCE = 33
TIMEOUT_S = 10

_libc = ctypes.CDLL(None, use_errno=True)


def _check(rc, what):
    if rc != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


class Namespace:
    """A network namespace, known by the process that holds it."""

    def __init__(self, name):
        self.name = name
        ready, ready_child = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._hold(ready_child)
        os.close(ready_child)
        ok = os.read(ready, 1)
        os.close(ready)
        if ok != b"+":
            os.waitpid(self.pid, 0)
            raise OSError(f"{name}: no network namespace could be made")
        self._ns = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._children = []
        self.run("ip", "link", "set", "lo", "up")

    @staticmethod
    def _hold(ready):
        try:
            _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
            _check(_libc.unshare(CLONE_NEWNET), "unshare")
            os.write(ready, b"+")
            os.close(ready)
            while True:
                signal.pause()
        finally:
            os._exit(1)

    def close(self):
        for child in self._children:
            stop(child)
        os.close(self._ns)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    @contextlib.contextmanager
    def entered(self):
        """This thread is in the namespace for the length of the block; a socket made there stays there."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(self._ns, CLONE_NEWNET), "setns")
            try:
                yield self
            finally:
                _check(_libc.setns(back, CLONE_NEWNET), "setns")
        finally:
            os.close(back)

    def command(self, *argv):
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *map(str, argv)]

    def run(self, *argv, check=True, timeout=TIMEOUT_S, **options):
        """Runs a command to its end; its output is in .stdout and .stderr as text."""
        options.setdefault("text", True)
        done = subprocess.run(self.command(*argv), capture_output=True, timeout=timeout, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"{self.name}: {' '.join(map(str, argv))}: exit status {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}")
        return done

    def start(self, *argv, **options):
        """Starts a command, which is stopped with the namespace at the latest."""
        child = subprocess.Popen(self.command(*argv), **options)
        self._children.append(child)
        return child

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, protocol=0):
        with self.entered():
            made = socket.socket(family, kind, protocol)
        made.settimeout(TIMEOUT_S)
        return made

    def udp(self, address="0.0.0.0", port=0):
        """With room for what comes at once after natd was away, on a slow machine too."""
        made = self.socket(kind=socket.SOCK_DGRAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        except PermissionError:  # an ordinary user's test: as much as the system allows
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        made.bind((address, port))
        return made

    def tcp_listener(self, address="0.0.0.0", port=0, backlog=256):
        made = self.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen(backlog)
        return made

    def sysctl(self, name, value=None):
        """Reads, or writes, a key below net (slashes, as in /proc/sys/net)."""
        with self.entered(), open(f"/proc/sys/net/{name}", "r" if value is None else "w", encoding="ascii") as key:
            if value is None:
                return key.read().strip()
            key.write(f"{value}\n")
            return None

    def send_ip(self, packet):
        """Sends one IPv4 packet by the routing of the namespace (any source; the kernel fills in a zero id and
        the header checksum)."""
        packet = bytes(packet)
        with self.socket(kind=socket.SOCK_RAW, protocol=socket.IPPROTO_RAW) as raw:
            raw.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))

    def inject(self, packet, device="eth0"):
        """Sends one packet exactly as it is, however malformed, to the next hop of the default route."""
        gateway = self.run("ip", "-4", "route", "show", "default").stdout.split()[2]
        self.run("ping", "-c1", "-W1", gateway, check=False)
        neighbour = self.run("ip", "neigh", "show", gateway, "dev", device).stdout.split()
        to = bytes.fromhex(neighbour[neighbour.index("lladdr") + 1].replace(":", ""))
        with self.entered():
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        with raw:
            raw.sendto(bytes(packet), (device, 0x0800, 0, 0, to))

    def capture(self, device="eth0"):
        return Capture(self, device)

    def network_state(self):
        """Everything that natd could leave changed, as text to compare."""
        parts = [self.run("ip", "-4", "rule", "show").stdout,
                 self.run("ip", "-4", "route", "show", "table", "all").stdout,
                 self.run("ip", "neigh", "show", "proxy").stdout,
                 self.run("ip", "-brief", "link", "show").stdout]
        with self.entered():
            parts.append(_sysctls("/proc/sys/net/ipv4"))
        return "\n".join(parts)


def _sysctls(top):
    found = []
    for directory, _, files in sorted(os.walk(top)):
        for name in sorted(files):
            try:
                with open(os.path.join(directory, name), encoding="ascii") as key:
                    found.append(f"{directory}/{name} = {key.read().strip()}")
            except OSError:
                continue
    return "\n".join(found)


class Capture:
    """What a device sees, from the moment this is made. The kernel keeps the packets until they are read."""

    def __init__(self, namespace, device):
        with namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self._socket.bind((device, ETH_P_ALL))
        self.seen = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def _read(self, wait_s):
        if not select.select([self._socket], [], [], max(wait_s, 0))[0]:
            return None
        data, address = self._socket.recvfrom(65536)
        if address[1] != 0x0800:
            return b""
        self.seen.append(data)
        return data

    def wait(self, predicate=lambda packet: True, timeout=5):
        """The first packet (scapy's IP) of those not yet read that fits; AssertionError when none comes."""
        from scapy.layers.inet import IP
        end = time.monotonic() + timeout
        while True:
            data = self._read(end - time.monotonic())
            if data is None:
                raise AssertionError(f"no such packet in {timeout} s; seen: " +
                                     "; ".join(IP(p).summary() for p in self.seen[-20:]))
            if data and predicate(IP(data)):
                return IP(data)

    def so_far(self):
        """All IPv4 packets seen until now, as scapy's IP."""
        from scapy.layers.inet import IP
        while self._read(0) is not None:
            pass
        return [IP(p) for p in self.seen]


def stop(child, how=signal.SIGTERM, timeout=30):
    if child.poll() is not None:
        return child.returncode
    child.send_signal(how)
    try:
        return child.wait(timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def _ip(*lines):
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True, timeout=TIMEOUT_S)


def wire(a, device_a, b, device_b):
    """A cable between two namespaces."""
    _ip(f"link add name {device_a} netns {a.pid} type veth peer name {device_b} netns {b.pid}")
    for end, device in ((a, device_a), (b, device_b)):
        end.run("ip", "link", "set", device, "up")


class Lab:
    """The network of the picture above."""
    INSIDE = "10.8.0.0/24"
    GATEWAY_INSIDE = "10.8.0.1"
    CLIENTS = ("10.8.0.2", "10.8.0.3")
    OUTSIDE = "203.0.113.1"
    ROUTER = "203.0.113.254"
    SERVERS = ("198.51.100.10", "198.51.100.20")

    def __init__(self):
        self.namespaces = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _namespace(self, name):
        made = Namespace(name)
        self.namespaces.append(made)
        return made

    def _build(self):
        self.gateway = self._namespace("gateway")
        self.router = self._namespace("router")
        self.clients = [self._namespace(f"client{i + 1}") for i in range(len(self.CLIENTS))]
        self.servers = [self._namespace(f"server{i + 1}") for i in range(len(self.SERVERS))]
        self.client, self.server = self.clients[0], self.servers[0]
        self.gateway.sysctl("ipv4/ip_forward", 0)
        self.router.sysctl("ipv4/ip_forward", 1)
        self._switch(self.gateway, "lan0", self.GATEWAY_INSIDE, list(zip(self.clients, self.CLIENTS)))
        self._switch(self.router, "net0", "198.51.100.1", list(zip(self.servers, self.SERVERS)))
        wire(self.gateway, "out0", self.router, "up0")
        self.gateway.run("ip", "addr", "add", f"{self.OUTSIDE}/24", "dev", "out0")
        self.router.run("ip", "addr", "add", f"{self.ROUTER}/24", "dev", "up0")
        self.gateway.run("ip", "route", "add", "default", "via", self.ROUTER)

    @staticmethod
    def _switch(hub, device, address, ends):
        """A bridge in `hub` with an address, and a wire to each end, whose default route it is."""
        hub.run("ip", "link", "add", "name", device, "type", "bridge")
        for i, (end, end_address) in enumerate(ends):
            wire(hub, f"{device}p{i}", end, "eth0")
            hub.run("ip", "link", "set", f"{device}p{i}", "master", device)
            end.run("ip", "addr", "add", f"{end_address}/24", "dev", "eth0")
        hub.run("ip", "addr", "add", f"{address}/24", "dev", device)
        hub.run("ip", "link", "set", device, "up")
        for end, _ in ends:
            end.run("ip", "route", "add", "default", "via", address)

    def close(self):
        for namespace in self.namespaces:
            namespace.close()
        self.namespaces = []


def why_not():
    """Why no lab can be built here, or None."""
    for tool in ("ip", "nsenter"):
        if not shutil.which(tool):
            return f"there is no {tool}"
    try:
        Namespace("probe").close()
    except (OSError, AssertionError) as error:
        return f"no network namespaces: {error}"
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return f"/dev/net/tun: {error.strerror}"
    return None
