# SPDX-License-Identifier: ISC
"""natd-web in a namespace of the lab, and requests to it that the tests shape byte by byte."""
import json
import os

from besidekit import Beside

NATD_WEB = os.environ.get("NATD_WEB", os.path.join(os.path.dirname(os.environ.get("NATD", "./natd")), "natd-web"))
PORT = 9642


class Answer:
    """status, headers (names in small letters), body."""

    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1]) if raw else 0
        self.headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}

    def json(self):
        return json.loads(self.body)

    def text(self):
        return self.body.decode()


class Web(Beside):
    """natd-web, ready."""

    def __init__(self, namespace, natd, options=(), prefix=()):
        self.namespace = namespace
        super().__init__("natd-web", namespace.command(*prefix, NATD_WEB, "-f", "-c", natd.config_path, "-s", natd.socket,
                                                       *options))
        self.wait_log("^natd-web: ready")

    def connect(self, port=PORT):
        sock = self.namespace.socket()
        sock.connect(("127.0.0.1", port))
        return sock

    def raw(self, data, timeout=20):
        """Sends these bytes on a connection of their own; all that came until the server closed it."""
        sock = self.connect()
        sock.settimeout(timeout)
        with sock:
            try:
                sock.sendall(data)
                return read_all(sock)
            except (BrokenPipeError, ConnectionResetError):
                return b""

    def get(self, path, method="GET", headers=()):
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{PORT}", "Connection: close", *headers]
        return Answer(self.raw(("\r\n".join(lines) + "\r\n\r\n").encode()))

    def json(self, path):
        answer = self.get(path)
        assert answer.status == 200, answer.body
        return answer.json()

    def metrics(self):
        """Each sample of /metrics: name with labels -> value."""
        text = self.get("/metrics").text()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                for line in text.splitlines() if line and not line.startswith("#")}


def read_all(sock):
    parts = []
    while True:
        data = sock.recv(65536)
        if not data:
            return b"".join(parts)
        parts.append(data)
