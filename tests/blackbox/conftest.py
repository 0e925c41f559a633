"""Fixtures for black-box tests: a fluxserve process on a free port with the embedded model.

FLUXSERVE names the program (ctest sets it); without it build/release/fluxserve is taken."""

import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLUXSERVE = os.environ.get("FLUXSERVE", str(ROOT / "build/release/fluxserve"))
MODEL = str(ROOT / "models/tiny-flux-dev")
READY = re.compile(r"^fluxserve running on http://(.+):(\d+) \(Press CTRL\+C to quit\)$", re.M)
START_S = 120  # sanitizers are slow


class Server:
    """One running fluxserve."""

    def __init__(self, log_path, *arguments, wait=True, program=FLUXSERVE, env=None):
        self.log_path = log_path
        env = {**os.environ, **(env or {})}
        command = [program, "serve", "--model-path", MODEL, "--port", "0", *arguments]
        with open(log_path, "wb") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL,
                                            env=env)
        self.port = None
        if wait:
            self.wait_ready()

    def wait_ready(self):
        ready = self.wait_for(lambda: READY.search(self.log()))
        self.port = int(ready.group(2))
        self.url = f"http://127.0.0.1:{self.port}"

    def log(self):
        return pathlib.Path(self.log_path).read_text(errors="replace")

    def log_line(self, part):
        """The log line with part in it: it is written when the answer has been sent."""
        def claim():
            return next((line for line in self.log().splitlines() if part in line), None)
        return self.wait_for(claim)

    def wait_for(self, claim):
        """Poll until claim() is true; its value. Fails when the server is gone or it takes ages."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            value = claim()
            if value:
                return value
            assert self.process.poll() is None, self.log()
            time.sleep(0.02)
        raise AssertionError(f"waited in vain: {self.log()}")

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, body bytes); a dict as body is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_S)
        headers = dict(headers or {})
        if isinstance(body, dict):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        result = answer.status, answer.headers, answer.read()
        connection.close()
        return result

    def generate(self, **fields):
        """POST a generation; (status, headers, JSON)."""
        body = {"prompt": "a fox", "size": "64x64", "num_inference_steps": 2, **fields}
        status, headers, answer = self.ask("POST", "/v1/images/generations", body)
        return status, headers, json.loads(answer)

    def health(self):
        return json.loads(self.ask("GET", "/health")[2])

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout=START_S)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server that all tests of a file share; they must leave it idle."""
    server = Server(tmp_path_factory.mktemp("server") / "log")
    yield server
    assert server.stop() == 0, server.log()


@pytest.fixture
def start_server(tmp_path):
    """Start servers with options of their own: start_server("--max-queue", "1")."""
    servers = []

    def start(*arguments, **options):
        servers.append(Server(tmp_path / f"log{len(servers)}", *arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
