#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""natd-web's page in a headless Chromium: it loads, updates, searches, survives a restart of natd, and its console stays empty.

    run.py DIRECTORY     (screenshots are left there)

Chromium runs in the gateway's namespace, which has no way to anywhere else, and is driven by its DevTools protocol over two
pipes. As root, or in a user namespace.
"""
import base64
import itertools
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))

if os.environ.get("NATD_BROWSER_INNER") is None:
    environment = {**os.environ, "NATD_BROWSER_INNER": "1"}
    for name in ("NATD", "NATCTL", "NATD_WEB"):
        environment[name] = os.path.abspath(environment.get(name, f"./{name.lower().replace('_', '-')}"))
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    sys.exit(subprocess.run(["unshare", *user, "--net", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /run && exec \"$@\"",
                             "sh", sys.executable, *sys.argv], env=environment).returncode)

os.environ["TMPDIR"] = "/run"
tempfile.tempdir = "/run"
import netlab  # noqa: E402
from conftest import Natd  # noqa: E402
from webkit import PORT, Web  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Browser:
    """One page of a headless browser."""

    def __init__(self, namespace):
        to_child, self.to = os.pipe()
        self.back, from_child = os.pipe()
        name = next(b for b in BROWSERS if subprocess.run(["which", b], capture_output=True).returncode == 0)
        script = f'exec {name} "$@" 3<&{to_child} 4>&{from_child}'
        command = namespace.command("bash", "-c", script, "browser", "--headless=new", "--no-sandbox", "--disable-gpu",
                                    "--remote-debugging-pipe", "--disable-dev-shm-usage", "--hide-scrollbars",
                                    "--disable-background-networking", "--no-first-run", "--user-data-dir=/run/browser")
        self.process = subprocess.Popen(command, pass_fds=(to_child, from_child), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        os.close(to_child)
        os.close(from_child)
        self.numbers = itertools.count(1)
        self.errors, self.requests, self.answers, self.received = [], [], {}, 0
        self.changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = None
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    session = None

    def _read(self):
        buffer = b""
        while True:
            data = os.read(self.back, 1 << 16)
            if not data:
                return
            buffer += data
            *messages, buffer = buffer.split(b"\0")
            for message in messages:
                self._take(json.loads(message))

    def _take(self, message):
        with self.changed:
            if "id" in message:
                self.answers[message["id"]] = message
            method, p = message.get("method"), message.get("params", {})
            if method == "Runtime.exceptionThrown":
                self.errors.append(p["exceptionDetails"]["text"] + str(p["exceptionDetails"].get("exception")))
            elif method == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning", "assert"):
                self.errors.append(str(p["args"]))
            elif method == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
                self.errors.append(f'{p["entry"]["text"]} {p["entry"].get("url", "")}')
            elif method == "Network.requestWillBeSent":
                self.requests.append(p["request"]["url"])
            elif method == "Network.loadingFinished":
                self.received += p["encodedDataLength"]
            self.changed.notify_all()

    def call(self, method, **params):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        with self.changed:
            assert self.changed.wait_for(lambda: number in self.answers, 60), f"no answer to {method}"
            answer = self.answers.pop(number)
        assert "error" not in answer, answer
        return answer["result"]

    def value(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression, timeout=60):
        end = time.monotonic() + timeout
        while not self.value(expression):
            assert time.monotonic() < end, f"did not come true: {expression}\n{self.value('document.body.innerText')}"
            select.select([], [], [], 0.1)

    def shoot(self, path, width, height, dark=False, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=width < 500)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert self.value("document.documentElement.scrollWidth <= innerWidth"), f"{path}: the page is wider than its window"
        with open(path, "wb") as out:
            out.write(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=width < 500)["data"]))


class Traffic:
    """Sessions that come and go, refused packets, and some volume, until stopped."""

    def __init__(self, lab, natd):
        self.lab, self.natd, self.go = lab, natd, True
        self.sink = lab.server.udp(port=7)
        self.sink.settimeout(0.2)
        self.threads = [threading.Thread(target=self._send, daemon=True), threading.Thread(target=self._answer, daemon=True)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        socks, turn = [], 0
        while self.go:
            turn += 1
            sock = self.lab.clients[turn % 2].udp()
            for _ in range(20 + 30 * (turn % 7)):
                sock.sendto(b"x" * 1200, ("198.51.100.10", 7))
            with self.lab.server.socket(kind=2) as stray:
                stray.sendto(b"y", ("203.0.113.1", 20000))
            socks.append(sock)
            if len(socks) > 30:
                gone = socks.pop(0)
                self.natd.ctl("delete", "-s", "10.8.0.2" if turn % 2 == 0 else "10.8.0.3", "--sport", gone.getsockname()[1],
                              check=False)
                gone.close()
            select.select([], [], [], 0.1)
        for sock in socks:
            sock.close()

    def _answer(self):
        while self.go:
            try:
                _, sender = self.sink.recvfrom(2000)
                self.sink.sendto(b"z" * 300, sender)
            except OSError:
                pass

    def stop(self):
        self.go = False
        for thread in self.threads:
            thread.join(10)
        self.sink.close()


def check(browser, natd, lab, directory):
    def shot(name, *size, **more):
        browser.shoot(os.path.join(directory, f"{name}.png"), *size, **more)

    browser.call("Page.navigate", url=f"http://127.0.0.1:{PORT}/")
    browser.wait("document.readyState === 'complete' && document.getElementById('state-text').textContent === 'live'")
    browser.wait("document.getElementById('about').textContent.includes('203.0.113.1')")
    browser.wait("document.querySelectorAll('#ended tr').length > 3 && document.querySelectorAll('#drops tr').length > 0")
    browser.wait("document.querySelectorAll('#chart-traffic .line').length === 2")
    before = browser.value("document.querySelector('#chart-traffic .line').getAttribute('d').length")
    browser.wait(f"document.querySelector('#chart-traffic .line').getAttribute('d').length > {before} + 20")
    print("loads, and updates")

    begin, received = time.monotonic(), browser.received
    select.select([], [], [], 10)
    print(f"its traffic: {(browser.received - received) / (time.monotonic() - begin) / 1000:.1f} kB/s")
    assert browser.received - received < 20000 * (time.monotonic() - begin)
    shot("desktop-light", 1440, 1000)
    shot("desktop-dark", 1440, 1000, dark=True)
    shot("wall-dark", 2560, 1440, dark=True)
    shot("phone-light", 390, 844, scale=2)
    shot("phone-dark", 390, 844, dark=True, scale=2)

    entry = next(e for e in natd.json("list") if e["protocol"] == "udp")
    outside = f'{entry["outside"]["address"]}:{entry["outside"]["port"]}'
    inside = f'{entry["inside"]["address"]}:{entry["inside"]["port"]}'
    browser.call("Emulation.setDeviceMetricsOverride", width=1440, height=1000, deviceScaleFactor=1, mobile=False)
    search(browser, outside)
    browser.wait(f"document.getElementById('result-body').textContent.includes({json.dumps(inside + ' has ' + outside)})")
    search(browser, f'{entry["inside"]["address"]} 198.51.100.10')
    browser.wait("document.getElementById('result-body').textContent.includes('Ended:')")
    shot("search-light", 1440, 1000)
    search(browser, "<img src=x onerror=alert(1)>")
    browser.wait("document.getElementById('result-body').textContent.includes('is neither')")
    browser.value("document.getElementById('result-close').click()")
    print("searches")

    browser.value("document.querySelector('#chart-traffic svg').focus()")
    for key in ("End", "ArrowLeft"):
        browser.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key)
    browser.wait("!document.querySelector('#chart-traffic .tip').hidden")
    browser.wait("document.querySelector('#chart-traffic [aria-live]').textContent.includes('bit/s')")
    unnamed = browser.value("""[...document.querySelectorAll('input, button, svg, a')].filter((e) => !(e.getAttribute('aria-label') ||
        e.textContent.trim() || (e.labels && e.labels.length))).map((e) => e.outerHTML)""")
    assert unnamed == [], unnamed
    print("can be used by keyboard, and everything has a name")


def search(browser, text):
    browser.value(f"document.getElementById('query').value = {json.dumps(text)}; document.querySelector('#search button').click()")


def check_restart(browser, natd, directory):
    natd.stop()
    browser.wait("document.getElementById('state').className.includes('away')")
    browser.shoot(os.path.join(directory, "away-light.png"), 1440, 1000)
    natd.start()
    browser.wait("document.getElementById('state-text').textContent === 'live'")
    browser.wait("!document.body.classList.contains('stale')")
    print("survives a restart of natd")


def main():
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    lab = netlab.Lab()
    natd = Natd(lab.gateway, {"more": "limits = { sessions = 4096; };"}).start()
    web = Web(lab.gateway, natd)
    traffic = Traffic(lab, natd)
    browser = Browser(lab.gateway)
    try:
        check(browser, natd, lab, directory)
        traffic.stop()
        check_restart(browser, natd, directory)
        foreign = [u for u in browser.requests if not u.startswith((f"http://127.0.0.1:{PORT}/", "about:"))]
        assert foreign == [], foreign
        assert browser.errors == [], browser.errors
        print("asked nothing elsewhere, and the console is empty")
        with open(f"/proc/{web.process.pid}/status", encoding="ascii") as status:
            print(*(line.strip() for line in status if line.startswith("VmRSS")))
    finally:
        traffic.stop()
        browser.process.kill()
        web.stop()
        natd.close()
        lab.close()


if __name__ == "__main__":
    main()
