"""What goes wrong around the client: the server, the disk, the files it is given. Each command of
several runs must say so, and never draw a conclusion from it."""

import json
import os
import resource
import signal
import subprocess

import pytest

from client_run import FLUXPERF, MODEL, fluxperf
from fake_server import Answer, FakeServer

# command: its own arguments, and how many requests a run has at least
COMMANDS = {
    "profile": [],
    "repeat": ["2"],
    "ab": [],
    "sweep": ["--over", "quality=a,b"],
    "capacity": ["--slo", "request_latency_p50:60000"],
    "determinism": [],
}


def arguments(command, url, *args):
    where = ["--a", url, "--b", url] if command == "ab" else ["--url", url]
    return [command, *COMMANDS[command], "--model", MODEL, *where, "--artifact-dir", "out",
            *args]


def count(command, n):
    """A run of n requests."""
    return ["--num-prompts" if command == "determinism" else "--request-count", str(n)]


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["calibrate", "--requests", "100"]])
def test_output_that_can_not_be_written_is_no_success(tmp_path, args):
    with open("/dev/full", "w") as full:
        run = subprocess.run([os.path.abspath(FLUXPERF), *args], cwd=tmp_path, stdout=full,
                             stderr=subprocess.PIPE, text=True, timeout=120)
    assert run.returncode == 1 and "can't write to the standard output" in run.stderr


def fluxperf_with_small_disk(*args, cwd, file_bytes):
    """Files can't grow beyond file_bytes: a write fails as on a full disk."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    return subprocess.run([os.path.abspath(FLUXPERF), *args], cwd=cwd, timeout=120, text=True,
                          capture_output=True, preexec_fn=limit, restore_signals=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_full_disk_is_a_failure_and_no_result(tmp_path, command):
    with FakeServer() as server:
        run = fluxperf_with_small_disk(*arguments(command, server.url, "--isl", "5",
                                                  "--no-calibration", *count(command, 30)),
                                       cwd=tmp_path, file_bytes=40000)
        assert server.requests
    assert run.returncode == 1, run.stderr
    assert "can't write out/" in run.stderr and "File too large" in run.stderr
    assert "--help" not in run.stderr and "no load holds" not in run.stdout
    for line in run.stdout.splitlines():  # no file is named that is not there
        if ": out/" in line and not line.startswith("CLI Command"):
            assert (tmp_path / line.split(": ", 1)[1]).exists(), line
    result = tmp_path / f"out/{command}.json"
    if command != "profile":
        state = json.loads(result.read_text())
        assert not state["is_complete"] and "can't write" in state["incomplete_reason"]


@pytest.mark.parametrize("command", COMMANDS)
def test_server_that_dies_in_a_run_is_no_result_either(tmp_path, command):
    n = 12
    with FakeServer() as server:
        def script(i, r):
            if i == n - 5:  # too few refusals to end the run before its time
                server.stop()
            return Answer()
        server.script = script
        run = fluxperf(*arguments(command, server.url, "--isl", "5", "--no-calibration",
                                  *count(command, n)), cwd=tmp_path, folder="out")
    assert run.code == 1, run.err
    assert "x ClientConnectorError" in run.err
    if command != "profile":
        assert f"{command} is incomplete after 0 " in run.err
        assert "the server could not be reached in run 1" in run.err
        state = run.json(f"{command}.json")
        assert not state["is_complete"]


@pytest.mark.parametrize("command", COMMANDS)
def test_unreachable_server_is_named(tmp_path, command):
    with FakeServer() as server:
        url = server.url
    run = fluxperf(*arguments(command, url, "--isl", "5", "--no-calibration",
                              *count(command, 6)), cwd=tmp_path, folder="out")
    assert run.code == 1 and "ClientConnectorError: Couldn't connect to server" in run.err


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["none.jsonl", "."])
def test_input_file_that_can_not_be_read_is_wrong_usage(tmp_path, command, name):
    with FakeServer() as server:
        run = fluxperf(*arguments(command, server.url, "--input-file", name), cwd=tmp_path)
        assert not server.requests
    assert run.code == 2 and "--input-file" in run.err and name in run.err


@pytest.mark.parametrize("command", COMMANDS)
def test_place_that_can_not_be_written_is_found_before_the_run(tmp_path, command):
    (tmp_path / "out").write_text("")
    with FakeServer() as server:
        run = fluxperf(*arguments(command, server.url, "--isl", "5"), cwd=tmp_path)
        assert not server.requests
    assert run.code == 1 and "can't create directory out: a file is in the way" in run.err


@pytest.mark.parametrize("command", COMMANDS)
def test_option_of_no_command_is_named_by_each(tmp_path, command):
    run = fluxperf(*arguments(command, "http://127.0.0.1:1", "--wat"), cwd=tmp_path)
    assert run.code == 2 and "--wat" in run.err and f"fluxperf {command} --help" in run.err
    assert os.listdir(tmp_path) == []
