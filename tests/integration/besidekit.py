# SPDX-License-Identifier: ISC
"""A program beside natd (natd-web, natd-log): its process, and the lines that it logs."""
import re
import select
import signal
import subprocess
import threading
import time

import netlab


def wait_until(what, timeout=20):
    """Until what() is true; its last value."""
    end = time.monotonic() + timeout
    while True:
        value = what()
        if value or time.monotonic() > end:
            assert value, f"did not come true in {timeout} s"
            return value
        select.select([], [], [], 0.02)


class Beside:
    """A process that logs to standard error."""

    def __init__(self, name, command):
        self.name = name
        self.log = []
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            with self._changed:
                self.log.append(line.rstrip())
                self._changed.notify_all()
        with self._changed:
            self.log.append("END")
            self._changed.notify_all()

    def wait_log(self, pattern, timeout=20, since=0):
        end = time.monotonic() + timeout
        with self._changed:
            while not any(re.search(pattern, line) for line in self.log[since:]):
                left = end - time.monotonic()
                assert left > 0 and "END" not in self.log, f"{self.name} never said {pattern!r}: {self.log}"
                self._changed.wait(left)

    def stop(self, number=signal.SIGTERM):
        status = netlab.stop(self.process, number)
        self._reader.join(5)
        assert not any("Sanitizer" in line or "runtime error" in line for line in self.log), self.log
        return status
