"""A page in headless Chromium, told what it does over the browser's debugging pipe.

CHROMIUM names the browser; without it one on the path is taken, and tests are skipped where there
is none. Nothing but the standard library is needed."""

import base64
import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import time

import pytest

WAIT_S = 120  # a browser starts slowly on a busy machine
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium():
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


needs_chromium = pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")


class Page:
    """with Page(tmp_path) as page: page.open(url). Afterwards problems has what a developer would
    see in the console (errors, exceptions, violations of the content policy), and requests all
    addresses that were asked for, data: ones left out."""

    def __init__(self, folder, width=1200, height=800):
        self.folder, self.width, self.height = folder, width, height
        self.problems, self.requests = [], []
        self.n_sent, self.buffer, self.session, self.events = 0, b"", None, []

    def __enter__(self):
        to_browser, self.out = os.pipe()
        self.input, from_browser = os.pipe()
        command = [find_chromium(), "--headless=new", "--no-sandbox", "--disable-gpu",
                   "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
                   f"--user-data-dir={self.folder}/browser", "--remote-debugging-pipe",
                   f"--window-size={self.width},{self.height}", "about:blank"]
        shell = f"exec {shlex.join(command)} 3<&{to_browser} 4>&{from_browser}"
        with open(f"{self.folder}/browser.log", "wb") as log:
            self.process = subprocess.Popen(["bash", "-c", shell], stdout=log, stderr=log,
                                            pass_fds=(to_browser, from_browser),
                                            start_new_session=True)
        os.close(to_browser)
        os.close(from_browser)
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target,
                                flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        os.close(self.out)
        os.close(self.input)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _read(self):
        """The next message."""
        end = time.monotonic() + WAIT_S
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.input], [], [], max(0, end - time.monotonic()))
            part = os.read(self.input, 1 << 16) if ready else b""
            if not part:
                with open(f"{self.folder}/browser.log", errors="replace") as log:
                    raise AssertionError(f"the browser says nothing: {log.read()[-2000:]}")
            self.buffer += part
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event):
        method, params = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            self.requests += [] if url.startswith("data:") else [url]
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.problems.append(params["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.problems.append(str(params["args"]))

    def _next_event(self, claim):
        while True:
            message = self._read()
            self._note(message)
            if claim(message):
                return message

    def ask(self, command, **params):
        self.n_sent += 1
        number = self.n_sent
        message = {"id": number, "method": command, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        answer = self._next_event(lambda m: m.get("id") == number)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, url):
        """Go there and wait until all of it is loaded."""
        assert "errorText" not in self.ask("Page.navigate", url=url)
        while self.evaluate("document.readyState") != "complete":
            time.sleep(0.02)
        self.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")

    def evaluate(self, expression):
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True,
                          awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def use_scheme(self, scheme):
        """light or dark."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.ask("Emulation.setEmulatedMedia", features=[feature])

    def use_width(self, width):
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=800,
                 deviceScaleFactor=1, mobile=False)

    def screenshot(self, width, height, scale=1):
        """The upper part of the page as a PNG."""
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": scale}
        shot = self.ask("Page.captureScreenshot", format="png", clip=clip,
                        captureBeyondViewport=True)
        return base64.b64decode(shot["data"])
