# SPDX-License-Identifier: ISC
"""Fixtures: a lab of namespaces, natd in its gateway, servers outside. Start them with tests/integration/run."""
import collections
import contextlib
import hashlib
import http.server
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import zlib

import pytest

import netlab

NATD = os.environ.get("NATD", "./natd")
NATCTL = os.environ.get("NATCTL", "./natctl")
LOADER = os.path.join(os.path.dirname(os.path.realpath(NATD)), "natd-bpf-load")


def can_load():
    """Was natd built with tc programs, and does this kernel take them from us?"""
    if not os.access(LOADER, os.X_OK):
        return False
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, its, subprocess.Popen([LOADER], stdin=its):
        fds = socket.recv_fds(ours, 1000, 32)[1]
    for fd in fds:
        os.close(fd)
    return fds != []


CAN_LOAD = can_load()
# "bpf", where it can be, or "rules": every natd of the tests is steered so, unless its configuration or environment says otherwise.
STEERING = "bpf" if CAN_LOAD and os.environ.get("NATD_STEERING") == "bpf" else "rules"
FAST_PATHS = ("required", "auto", "off")


def fast_path():
    """fast_path.mode of the tests with such steering: NATD_FAST_PATH. "rotate": it differs from file to file, by a hash in which
    the letter gives "required" to files about hostile and damaged packets."""
    wanted = os.environ.get("NATD_FAST_PATH", "off") if STEERING == "bpf" else "off"
    if wanted != "rotate":
        return wanted
    return FAST_PATHS[zlib.crc32(b"e" + os.environ.get("PYTEST_CURRENT_TEST", "").split("::", maxsplit=1)[0].encode()) % len(FAST_PATHS)]


os.environ["NATD_BPF_LOADER"] = LOADER if STEERING == "bpf" else "/nonexistent/natd-bpf-load"
READY_S = 10
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:")

CONFIG = """
outside = {{ interface = "out0"; addresses = {addresses}; {outside} }};
inside = {{ interfaces = [ "lan0" ]; prefixes = [ "10.8.0.0/24" ]; {inside} }};
control = {{ socket = "{socket}"; }};
{more}
"""


def left_out():
    """The libraries that natctl was built without."""
    try:
        said = subprocess.run([NATCTL, "-V"], capture_output=True, text=True, timeout=10).stdout
    except OSError:
        return set()
    return set(re.findall(r"^built without (\w+)", said, re.M))


LEFT_OUT = left_out()


def needs(library):
    """Marks a test of what natctl does with that library."""
    return pytest.mark.skipif(library in LEFT_OUT, reason=f"natctl was built without {library}")


def pytest_configure(config):
    config.addinivalue_line("markers", "natd(**more): what to add to CONFIG for this test's natd")


def pytest_sessionstart(session):
    reason = netlab.why_not()
    if reason is None and not (os.access(NATD, os.X_OK) and os.access(NATCTL, os.X_OK)):
        reason = f"{NATD} or {NATCTL} is not there (set NATD and NATCTL)"
    if reason is None and "jansson" in LEFT_OUT:
        reason = "natctl was built without jansson, by which these tests read natd's answers"
    session.config.netlab_reason = reason


def pytest_runtest_setup(item):
    if item.config.netlab_reason and "lab" in item.fixturenames:
        pytest.skip(item.config.netlab_reason)


class Natd:
    """natd, running in a namespace, ready. What it says is kept in .log."""

    def __init__(self, namespace, config, options=(), environment=None, prefix=()):
        self.namespace = namespace
        self.directory = tempfile.mkdtemp(prefix=f"natdt-{os.getpid()}-")
        os.chmod(self.directory, 0o755)
        self.socket = f"{self.directory}/natd.sock"
        self.config_path = f"{self.directory}/natd.conf"
        self.log = []
        self._log_changed = threading.Condition()
        self._reader = None
        self.process = None
        self.options = options
        self.environment = environment
        self.prefix = prefix
        self.fast_path = None
        self.write_config(config)

    def write_config(self, config):
        """`config`: the whole text (with {socket} for the socket's path where it is wanted), or a dictionary of
        what to add to CONFIG: addresses, outside, inside, more."""
        if isinstance(config, dict):
            fill = {"addresses": '[ "interface" ]', "outside": "", "inside": "", "more": "", **config}
            text = CONFIG.format(socket=self.socket, **fill)
        else:
            text = config.replace("{socket}", self.socket)
        # tc programs need an inside interface to sit at
        if STEERING == "bpf" and "fast_path" not in text and "interfaces" in text:
            # which cannot change while natd runs
            self.fast_path = self.fast_path or ("auto" if 'routing = "none"' in text else fast_path())
            text += f'\nfast_path = {{ steering = "bpf"; mode = "{self.fast_path}"; }};\n'
        with open(self.config_path, "w", encoding="utf-8") as config_file:
            config_file.write(text)

    def launch(self):
        """Starts natd, for the second time too, without waiting for anything. Its log begins again."""
        if self._reader is not None:
            self._reader.join(5)
        self.log = []
        self.process = subprocess.Popen(
            self.namespace.command(*self.prefix, NATD, "-f", "-c", self.config_path, *self.options),
            stderr=subprocess.PIPE, text=True, errors="replace",
            env=None if self.environment is None else {**os.environ, **self.environment})
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def start(self):
        self.launch()
        self.wait_log(r"^natd: ready", READY_S)
        return self

    def _read_log(self):
        for line in self.process.stderr:
            with self._log_changed:
                self.log.append(line.rstrip("\n"))
                self._log_changed.notify_all()
        with self._log_changed:
            self.log.append(None)
            self._log_changed.notify_all()

    def text(self):
        """What natd has said; all of it when it has ended."""
        if self.process is not None and self.process.poll() is not None:
            self._reader.join(5)
        return "\n".join(line for line in self.log if line is not None)

    def wait_log(self, pattern, timeout=5, since=0):
        """The first line from the since-th that matches, as soon as it is there."""
        end = time.monotonic() + timeout
        with self._log_changed:
            at = since
            while True:
                while at < len(self.log):
                    line = self.log[at]
                    if line is None:
                        raise AssertionError(f"natd ended, and never said {pattern!r}:\n{self.text()}")
                    if re.search(pattern, line):
                        return line
                    at += 1
                if not self._log_changed.wait(end - time.monotonic()) and time.monotonic() >= end:
                    raise AssertionError(f"natd did not say {pattern!r} in {timeout} s:\n{self.text()}")

    def ctl(self, *arguments, check=True, timeout=10):
        """natctl with these arguments: .stdout, .stderr, .returncode."""
        done = subprocess.run([NATCTL, "-s", self.socket, *map(str, arguments)], capture_output=True, text=True,
                              timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"natctl {' '.join(map(str, arguments))}: exit status {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}")
        return done

    def json(self, *arguments):
        """What natctl -j prints: one object, or for list, mappings and hosts a list of them."""
        text = self.ctl("-j", *arguments).stdout
        if arguments[0] in ("list", "mappings", "hosts", "rules"):
            return [json.loads(line) for line in text.splitlines()]
        return json.loads(text)

    def counters(self):
        """Every counter of natctl stats by name."""
        return collections.defaultdict(int, _numbers(self.json("stats")))

    @contextlib.contextmanager
    def counted(self, **expected):
        """In the block these counters change by exactly so much, and no other drop_ counter changes.

        The packets of the block need to have reached natd by its end; that they were counted is waited for.
        """
        before = self.counters()
        yield
        end = time.monotonic() + 5
        while True:
            after = self.counters()
            change = {name: after[name] - before[name] for name in after
                      if after[name] != before[name] and (name in expected or name.startswith("drop_"))}
            if change == {name: by for name, by in expected.items() if by} or time.monotonic() > end:
                break
        assert change == {name: by for name, by in expected.items() if by}

    def resident_kib(self):
        with open(f"/proc/{self.pid()}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))

    def pid(self):
        """nsenter executes what it starts: the process is natd itself."""
        return self.process.pid

    def send_signal(self, number):
        os.kill(self.pid(), number)

    def stop(self, number=signal.SIGTERM):
        """Ends natd; its exit status. Sanitizers must have had nothing to say."""
        status = netlab.stop(self.process, number)
        self._reader.join(5)
        assert not SANITIZER.search(self.text()), self.text()
        return status

    def close(self):
        try:
            if self.process is not None and self.process.poll() is None:
                status = self.stop()
                assert status == 0, f"natd ended with {status}:\n{self.text()}"
        finally:
            if self.process is not None and self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.directory, ignore_errors=True)


def _numbers(value, found=None):
    """All numbers of nested objects by their innermost names; arrays of {name, value} too."""
    found = {} if found is None else found
    if isinstance(value, dict):
        if isinstance(value.get("name"), str) and isinstance(value.get("value"), int):
            found[value["name"]] = value["value"]
            return found
        for name, inner in value.items():
            if isinstance(inner, int) and not isinstance(inner, bool):
                found[name] = inner
            else:
                _numbers(inner, found)
    elif isinstance(value, list):
        for inner in value:
            _numbers(inner, found)
    return found


@pytest.fixture
def lab():
    """The network of netlab.py, for one test."""
    made = netlab.Lab()
    yield made
    made.close()


@pytest.fixture
def start_natd(lab):
    """start_natd(config, namespace=gateway, options=(), ready=True): natd, stopped at the end of the test, when it
    must end cleanly."""
    running = []

    def start(config=None, namespace=None, options=(), ready=True, **more):
        natd = Natd(namespace or lab.gateway, {} if config is None else config, options, **more)
        running.append(natd)
        if ready:
            natd.start()
        return natd

    yield start
    errors = []
    for natd in reversed(running):
        try:
            natd.close()
        except AssertionError as error:
            errors.append(str(error))
    assert not errors, "\n".join(errors)


@pytest.fixture
def manager(tmp_path):
    """The service manager that natd may be started by, with its store."""
    from manager import Manager  # which needs this file

    made = Manager(tmp_path / "notify")
    yield made
    made.close()


@pytest.fixture
def bus(tmp_path):
    """bus(job): the environment of a natd that uses that bus."""
    from manager import Bus

    made = []

    def make(job):
        made.append(Bus(tmp_path / "bus", job))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def keep_natd(lab, manager):
    """keep_natd(config): natd under the manager, ready."""
    from manager import KeptNatd

    running = []

    def start(config=None, ready=True, **more):
        natd = KeptNatd(lab.gateway, {} if config is None else config, manager, **more)
        running.append(natd)
        return natd.start() if ready else natd

    yield start
    for natd in reversed(running):
        natd.close()


@pytest.fixture
def natd(start_natd):
    """natd with the default configuration in the gateway."""
    return start_natd()


class Page(http.server.BaseHTTPRequestHandler):
    """GET /whoami: the address and port that the server sees. GET /bytes/N: N bytes. PUT: their SHA-256."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path.startswith("/bytes/"):
            self._answer(some_bytes(int(self.path.rsplit("/", 1)[1])))
        else:
            self._answer("{} {}\n".format(*self.client_address).encode())

    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        digest = hashlib.sha256()
        while left:
            data = self.rfile.read(min(left, 1 << 16))
            if not data:
                return
            digest.update(data)
            left -= len(data)
        self._answer(digest.hexdigest().encode())


def some_bytes(count):
    """The same bytes each time, and no two parts of them alike."""
    return b"".join(hashlib.sha256(i.to_bytes(8, "big")).digest() for i in range(-(-count // 32)))[:count]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, listener):
        super().__init__(listener.getsockname(), Page, bind_and_activate=False)
        self.socket.close()
        listener.settimeout(None)
        self.socket = listener


@pytest.fixture
def http_server(lab):
    """http_server(namespace=server, port=80): serves Page; the port."""
    servers = []

    def serve(namespace=None, port=80):
        server = _Server((namespace or lab.server).tcp_listener(port=port))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return server.socket.getsockname()[1]

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def udp_echo(lab):
    """udp_echo(namespace=server, port=7): answers each datagram with "ADDRESS PORT " of its sender and the datagram."""
    wake, wake_end = socket.socketpair()
    threads = []

    def echo(sock):
        while True:
            readable = select.select([sock, wake_end], [], [])[0]
            if wake_end in readable:
                break
            data, sender = sock.recvfrom(65536)
            sock.sendto("{} {} ".format(*sender).encode() + data, sender)
        sock.close()

    def serve(namespace=None, port=7):
        sock = (namespace or lab.server).udp(port=port)
        thread = threading.Thread(target=echo, args=(sock,), daemon=True)
        thread.start()
        threads.append(thread)
        return port

    yield serve
    wake.close()
    for thread in threads:
        thread.join(5)
    wake_end.close()
