"""The client's knowledge of itself, its event loops and the system's limits."""

import json
import os
import subprocess

import pytest

from client_run import FLUXPERF, fluxperf, profile
from fake_server import FakeServer


def test_calibrate_tells_error_and_ceiling(tmp_path):
    run = fluxperf("calibrate", "--requests", "30", "--delay", "0.5", "--ceiling-requests", "200",
                   "--concurrency", "8", "--answer-bytes", "20000", "--json", cwd=tmp_path)
    assert run.code == 0, run.err
    told = json.loads(run.out)
    assert told["requests"] == 29  # the first one connects
    assert told["delay_us"] == 500
    assert told["answer_bytes"] == 20000
    assert told["ceiling_requests"] == 200
    assert told["ceiling_concurrency"] == 8
    # more than the server took, by a part of a second at most
    assert 0 < told["latency_error_p50_us"] <= told["latency_error_p99_us"] < 1e6
    assert told["ceiling_rps"] > 1


def test_calibrate_prints_one_line(tmp_path):
    run = fluxperf("calibrate", "--requests", "5", "--ceiling-requests", "20", cwd=tmp_path)
    assert run.code == 0, run.err
    assert run.out.startswith("latency error p50 ")
    assert "ceiling" in run.out and run.out.count("\n") == 1


@pytest.mark.parametrize("args, word", [
    (["--requests", "1"], "--requests"),
    (["--delay", "0"], "--delay"),
    (["--answer-bytes", "999999999"], "--answer-bytes"),
    (["--workers-max", "0"], "--workers-max"),
    (["extra"], "extra"),
])
def test_calibrate_refuses_what_makes_no_sense(tmp_path, args, word):
    run = fluxperf("calibrate", *args, cwd=tmp_path)
    assert run.code == 2
    assert word in run.err and "calibrate --help" in run.err


def test_each_run_measures_the_client_first(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-count", "3")
        assert run.code == 0, run.err
        n = len(server.requests)
    assert n == 3  # the check is not made with the server under test
    told = run.json("run_manifest.json")["calibration"]
    assert told["requests"] == 49 and told["ceiling_rps"] > 1
    assert "\nCalibration: latency error p50 " in run.out


def test_the_check_can_be_left_out(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-count", "3", "--no-calibration")
    assert run.code == 0, run.err
    assert "calibration" not in run.json("run_manifest.json")
    assert "latency error" not in run.out


def test_several_event_loops_send_each_request_once(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-count", "40", "--concurrency", "8",
                      "--workers-max", "3")
        assert run.code == 0, run.err
        ids = [r.header("X-Request-ID") for r in server.requests]
    assert len(ids) == len(set(ids)) == 40
    lines = run.lines()
    assert sorted(line["metadata"]["session_num"] for line in lines) == list(range(40))
    assert {line["metadata"]["x_request_id"] for line in lines} == set(ids)
    assert run.json()["request_count"]["avg"] == 40


def test_several_event_loops_keep_the_plan(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-rate", "200", "--arrival-pattern",
                      "constant", "--request-count", "20", "--workers-max", "2")
    assert run.code == 0, run.err
    due = sorted(line["metadata"]["credit_issued_ns"] for line in run.lines())
    gaps = [(b - a) / 1e9 for a, b in zip(due, due[1:])]
    assert gaps == pytest.approx([1 / 200] * 19, abs=1e-6)


def test_too_few_open_files_are_named_before_anything_is_sent(tmp_path):
    with FakeServer() as server:
        command = ["bash", "-c", 'ulimit -n 100; exec "$0" "$@"', os.path.abspath(FLUXPERF),
                   "profile", "--model", "m", "--url", server.url, "--concurrency", "200",
                   "--request-count", "200", "--artifact-dir", "out"]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert server.requests == []
    assert run.returncode == 2
    assert "--concurrency 200 needs 264 open files" in run.stderr
    assert "limit is 100 (ulimit -Hn)" in run.stderr
