"""`fluxperf repeat`: several runs of the same kind, and what all such commands have in common."""

import csv
import io
import json
import os
import signal
import statistics
import subprocess
import threading
import time

import pytest

from client_run import FLUXPERF, MODEL, fluxperf
from fake_server import Answer, FakeServer


def repeat(url, cwd, *args, **kwargs):
    isl = [] if "--input-file" in args else ["--isl", "5"]
    return fluxperf("repeat", "--model", MODEL, "--url", url, "--artifact-dir", "out", *isl,
                    *args, cwd=cwd, folder="out", **kwargs)


def start(url, cwd, *args):
    return subprocess.Popen([os.path.abspath(FLUXPERF), "repeat", "--model", MODEL, "--url", url,
                             "--artifact-dir", "out", "--isl", "5", *args], cwd=cwd,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(claim, seconds=30):
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def read_until(stream, text):
    while line := stream.readline():
        if text in line:
            return
    raise AssertionError(f"{text!r} never came")


def test_statistics_are_over_runs_that_ask_the_same(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.001 * (i // 3))) as server:
        run = repeat(server.url, tmp_path, "4", "--request-count", "3")
        bodies = [r.body for r in server.requests]
    assert run.code == 0, run.err
    assert len(bodies) == 12 and bodies == bodies[:3] * 4 and bodies[0] != bodies[1]
    result = run.json("repeat.json")
    assert result["is_complete"] and result["runs_made"] == result["runs_wanted"] == 4
    assert f"--random-seed {result['random_seed']}" in result["command"]
    assert [r["run"] for r in result["runs"]] == [f"run_000{i}" for i in range(1, 5)]
    values = []
    for r in result["runs"]:
        summary = run.json(f"{r['run']}/profile_export_aiperf.json")
        assert summary["request_latency"]["p50"] == r["metrics"]["request_latency"]["p50"]
        values.append(summary["request_latency"]["p50"])
    row = result["statistics"]["request_latency"]["p50"]
    mean, std = statistics.mean(values), statistics.stdev(values)
    half = 3.182446305284263 * std / 2  # t of 3 degrees of freedom
    want = {"runs": 4, "mean": mean, "std": std, "min": min(values), "max": max(values),
            "cv": std / mean, "low": mean - half, "high": mean + half}
    assert row == pytest.approx(want)
    rows = list(csv.DictReader(io.StringIO(run.path("repeat.csv").read_text())))
    line = next(r for r in rows if r["metric"] == "request_latency" and r["stat"] == "p50")
    assert line["unit"] == "ms" and float(line["mean"]) == pytest.approx(mean)
    assert [float(line[f"run_000{i}"]) for i in range(1, 5)] == pytest.approx(values)
    assert "4 of 4 runs" in run.out and "Request Latency (ms)" in run.out
    assert "Completed Requests" not in run.out  # equal in all runs


def test_runs_with_a_prefix_can_be_compared(tmp_path):
    with FakeServer() as server:
        for name in "one", "two":
            (tmp_path / name).mkdir()
            run = repeat(server.url, tmp_path / name, "2", "--request-count", "3", "--random-seed",
                         "1", "--profile-export-prefix", "foo")
            assert run.code == 0, run.err
    run = fluxperf("compare", "one/out", "two/out", "--tolerance", "99%", cwd=tmp_path)
    assert run.code in (0, 3, 4) and "2 and 2 runs" in run.out, run.err


def test_given_seed_and_pause_are_kept(tmp_path):
    with FakeServer() as server:
        run = repeat(server.url, tmp_path, "2", "--random-seed", "9", "--request-count", "1",
                     "--pause", "0.3")
        times = [r.arrived for r in server.requests]
    assert run.json("repeat.json")["random_seed"] == 9
    assert run.json("run_0002/run_manifest.json")["seed"] == 9
    assert times[1] - times[0] >= 0.3


def test_runs_of_an_earlier_command_are_removed(tmp_path):
    with FakeServer() as server:
        assert repeat(server.url, tmp_path, "3", "--request-count", "1").code == 0
        run = repeat(server.url, tmp_path, "2", "--request-count", "1")
    assert sorted(p.name for p in run.folder.glob("run_*")) == ["run_0001", "run_0002"]


def test_failed_requests_are_counted_and_told_by_the_exit_code(tmp_path):
    script = lambda i, r: Answer(b"busy", "503 Service Unavailable") if i == 1 else Answer()
    with FakeServer(script) as server:
        run = repeat(server.url, tmp_path, "2", "--request-count", "2")
    assert run.code == 1 and "1 of 2 profiling requests failed" in run.err
    result = run.json("repeat.json")
    assert result["is_complete"]
    assert [r["failed_requests"] for r in result["runs"]] == [1, 0]
    assert result["runs"][0]["failure"] == "Service Unavailable: busy"


def test_server_that_goes_away_ends_the_command(tmp_path):
    with FakeServer() as server:
        def script(i, r):
            if i == 4:
                server.stop()
            return Answer()
        server.script = script
        run = repeat(server.url, tmp_path, "5", "--request-count", "2")
    assert run.code == 1
    result = run.json("repeat.json")
    # the third run may have lost its first answer only
    assert not result["is_complete"] and result["runs_made"] == 2
    assert "repeat is incomplete after 2 runs" in run.err and "run 3" in run.err
    assert result["incomplete_reason"] in run.err


def test_first_interrupt_lets_the_run_come_to_its_end(tmp_path):
    gate = threading.Event()
    def script(i, r):
        if i == 1:
            gate.wait(30)
        return Answer()
    with FakeServer(script) as server:
        process = start(server.url, tmp_path, "9", "--request-count", "2")
        wait_for(lambda: len(server.requests) == 2)
        process.send_signal(signal.SIGINT)
        read_until(process.stderr, "goes on to its end")
        gate.set()
        out, err = process.communicate(timeout=30)
        assert len(server.requests) == 2
    result = json.loads((tmp_path / "out/repeat.json").read_text())
    assert process.returncode == 1 and "incomplete after 1 runs: interrupted" in err
    assert result["incomplete_reason"] == "interrupted" and result["runs_made"] == 1
    assert result["runs"][0]["successful_requests"] == 2 and "1 of 9 runs" in out


# each command with what it takes to make several runs of two requests and more
COMMANDS = {
    "repeat": ["3"],
    "sweep": ["--over", "concurrency=1,2,3"],
    "ab": ["--runs", "2", "--tolerance", "99%"],
    "capacity": ["--slo", "request_latency_p50:60000", "--request-count", "6"],
    "determinism": ["--num-prompts", "2"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_writes_what_it_has_when_interrupted(tmp_path, command):
    gate = threading.Event()
    script = lambda i, r: gate.wait(30) and Answer()
    with FakeServer(script) as server:
        urls = ["--a", server.url, "--b", server.url] if command == "ab" else ["--url", server.url]
        process = subprocess.Popen(
            [os.path.abspath(FLUXPERF), command, *COMMANDS[command], *urls, "--model", MODEL,
             "--artifact-dir", "out", "--isl", "5"], cwd=tmp_path, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        wait_for(lambda: server.requests)
        process.send_signal(signal.SIGINT)
        read_until(process.stderr, "goes on to its end")
        gate.set()
        _, err = process.communicate(timeout=60)
    result = json.loads((tmp_path / f"out/{command}.json").read_text())
    assert process.returncode == 1 and f"{command} is incomplete after 1 " in err
    assert not result["is_complete"] and result["incomplete_reason"] == "interrupted"
    if command == "capacity":
        assert result["result"]["text"].startswith(
            "concurrency: 1 holds, none fails up to 1; ") and "--max" not in result["result"]["text"]
        assert "(the search is incomplete: interrupted)" in result["result"]["text"]
    made = result["points" if command == "sweep" else "runs"]
    assert len(made) == 1 and made[0]["failed_requests"] == 0 < made[0]["successful_requests"]


@pytest.mark.parametrize("signals", [[signal.SIGINT, signal.SIGINT], [signal.SIGTERM]])
def test_second_interrupt_or_sigterm_ends_the_run_early(tmp_path, signals):
    gate = threading.Event()
    with FakeServer(lambda i, r: gate.wait(30) and Answer() if i == 3 else Answer()) as server:
        process = start(server.url, tmp_path, "9", "--request-count", "2")
        wait_for(lambda: len(server.requests) == 4)
        process.send_signal(signals[0])
        if len(signals) > 1:
            read_until(process.stderr, "goes on to its end")
            process.send_signal(signals[1])
        process.communicate(timeout=30)
        gate.set()
    result = json.loads((tmp_path / "out/repeat.json").read_text())
    assert process.returncode == 1 and not result["is_complete"] and result["runs_made"] == 1


def test_interrupt_in_a_pause_ends_it(tmp_path):
    with FakeServer() as server:
        process = start(server.url, tmp_path, "3", "--request-count", "1", "--pause", "500")
        wait_for((tmp_path / "out/repeat.json").exists)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    result = json.loads((tmp_path / "out/repeat.json").read_text())
    assert process.returncode == 1 and result["runs_made"] == 1 and not result["is_complete"]


@pytest.mark.parametrize("args, text", [
    ([], "repeat takes one number of runs, not 0"),
    (["3", "4"], "repeat takes one number of runs, not 2"),
    (["1"], "repeat '1': must be a number of runs from 2 to 9999"),
    (["many"], "repeat 'many': must be a number of runs"),
    (["2", "--concurrency", "0"], "--concurrency is '0'"),
    (["2", "--pause", "-1"], "--pause is '-1'"),
    (["2", "--nonsense", "1"], "unknown option --nonsense"),
    (["2", "--input-file", "bad.jsonl"], "bad.jsonl:1")])
def test_wrong_usage_is_named_before_anything_is_sent(tmp_path, args, text):
    (tmp_path / "bad.jsonl").write_text("{}\n")
    with FakeServer() as server:
        run = repeat(server.url, tmp_path, *args)
        assert not server.requests
    assert run.code == 2 and text in run.err, run.err
    assert not run.folder.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_the_options(tmp_path, command):
    run = fluxperf(command, "--help", cwd=tmp_path)
    assert run.code == 0 and "--pause" in run.out and f"usage: fluxperf {command} " in run.out
    assert "fluxperf profile --help" in " ".join(run.out.split())
    assert f"  {command} " in fluxperf("--help", cwd=tmp_path).out
