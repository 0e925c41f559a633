"""`fluxperf capacity` against servers that refuse what is beyond them: no time is asserted."""

import csv
import io
import json
import os
import signal
import subprocess
import threading
import time

import pytest

from client_run import FLUXPERF, MODEL, fluxperf
from fake_server import Answer, FakeServer


def capacity(url, cwd, *args, slo="request_latency_p50:60000", **kwargs):
    slos = ["--slo", slo] if slo else []
    return fluxperf("capacity", *slos, "--model", MODEL, "--url", url, "--artifact-dir", "out",
                    "--isl", "5", *args, cwd=cwd, folder="out", **kwargs)


class Limited:
    """A server that answers 503 when it has more than `limit` requests at a time. The delay makes
    all of them meet."""

    def __init__(self, limit):
        def script(i, request):
            busy = self.server.in_flight > limit
            return Answer(b"full", "503 Service Unavailable") if busy else Answer(delay=0.05)
        self.server = FakeServer(script)

    def __enter__(self):
        return self.server.__enter__()

    def __exit__(self, *_):
        self.server.stop()


def test_concurrency_beyond_which_requests_fail_is_found(tmp_path):
    with Limited(3) as server:
        run = capacity(server.url, tmp_path, "--max", "8", slo="request_latency_p90:60000")
    assert run.code == 0, run.err
    result = run.json("capacity.json")
    assert result["is_complete"] and result["search"] == "concurrency"
    assert result["result"]["holds"] == 3 and result["result"]["text"] in run.out
    assert result["result"].get("uncertain_from", result["result"]["fails"]) == 4
    loads = {load["load"]: load for load in result["loads"]}
    assert list(loads)[:3] == [1, 2, 4] and loads[3]["verdict"] == "holds"
    assert loads[3]["failed_requests"] == 0 < loads[4]["failed_requests"]
    assert loads[1]["requests"] == 72  # twice the 36 that a p90 needs
    slo = loads[1]["slos"][0]
    assert slo["slo"] == "request_latency_p90:60000" and slo["metric"] == "request_latency"
    assert 50 <= slo["low"] <= slo["value"] <= slo["high"]
    for i, point in enumerate(result["runs"]):
        summary = run.json(f"run_{i + 1:04}/profile_export_aiperf.json")
        assert summary["request_count"]["avg"] == point["successful_requests"]
        assert f"--concurrency {point['load']:.0f} " in summary["run_info"]["cli_command"]
    seeds = {run.json(f"{r['run']}/run_manifest.json")["seed"] for r in result["runs"]}
    assert len(seeds) == len(result["runs"])  # arrivals and prompts are drawn anew
    rows = list(csv.DictReader(io.StringIO(run.path("capacity.csv").read_text())))
    assert [float(r["concurrency"]) for r in rows] == sorted(loads)
    assert [r["verdict"] for r in rows][:3] == ["holds"] * 3


def test_rate_is_judged_by_the_time_since_due(tmp_path):
    # one slot of 0.1 s: a rate of 40/s waits ever longer from due, while each takes 0.1 s
    slos = ["--slo", "service_time_p50:60000"]
    with FakeServer(lambda i, r: Answer(delay=0.1)) as server:
        run = capacity(server.url, tmp_path, "--search", "request-rate", "--min", "40", "--max",
                       "40", "--concurrency", "1", "--arrival-pattern", "constant",
                       "--request-count", "20", *slos, slo="request_latency_p50:350")
    result = run.json("capacity.json")
    latency, service = result["loads"][0]["slos"]
    assert latency["metric"] == "response_time" and latency["verdict"] == "fails"
    assert service["verdict"] == "holds"
    assert run.code == 3 and "no load holds, 40 fails" in run.out


def test_highest_load_that_may_be_tried_is_said_to_hold(tmp_path):
    with FakeServer() as server:
        run = capacity(server.url, tmp_path, "--search", "request-rate", "--min", "50", "--max",
                       "120", "--request-count", "12")
    assert run.code == 0 and "120 holds, none fails up to 120: raise --max" in run.out
    assert [load["load"] for load in run.json("capacity.json")["loads"]] == [50, 100, 120]


def test_unclear_load_is_repeated_and_then_called_uncertain(tmp_path):
    # every other request is lost: the median is neither finite nor infinite
    script = lambda i, r: Answer(b"", "500 Internal Server Error") if i % 2 else Answer()
    with FakeServer(script) as server:
        run = capacity(server.url, tmp_path, "--max", "1", "--max-runs", "4", "--request-count",
                       "10")
    assert run.code == 4 and "no load is certain to hold, 1 uncertain" in run.out
    load = run.json("capacity.json")["loads"][0]
    assert load["runs"] == 4 and load["requests"] == 40 and load["failed_requests"] == 20
    assert load["verdict"] == "uncertain" and load["slos"][0]["high"] is None


def test_server_that_goes_away_ends_the_search(tmp_path):
    with FakeServer() as server:
        def script(i, r):
            if i == 13:
                server.stop()
            return Answer()
        server.script = script
        run = capacity(server.url, tmp_path, "--request-count", "6")
    assert run.code == 1 and "the server could not be reached" in run.err
    result = run.json("capacity.json")
    assert not result["is_complete"] and result["result"]["holds"] == 2
    assert "the search is incomplete" in run.out


def test_search_that_is_interrupted_in_its_first_run_says_no_more_than_that(tmp_path):
    gate = threading.Event()
    with FakeServer(lambda i, r: gate.wait(30) and Answer()) as server:
        process = subprocess.Popen(
            [os.path.abspath(FLUXPERF), "capacity", "--slo", "request_latency_p50:60000", "--model",
             MODEL, "--url", server.url, "--artifact-dir", "out", "--isl", "5"], cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 30
        while not server.requests:
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        gate.set()
    text = "concurrency: no load has been judged (the search is incomplete: interrupted"
    assert process.returncode == 1 and text in out and "--max" not in out + err, out + err
    assert json.loads((tmp_path / "out/capacity.json").read_text())["result"]["text"] in out


@pytest.mark.parametrize("slo, args, text", [
    (None, [], "--slo is required"),
    ("request_latency:5", [], "--slo 'request_latency:5': must be TAG_pRANK:LIMIT"),
    ("request_count_p95:5", [], "must name a duration of a request"),
    ("request_latency_p99:5", ["--request-count", "300"],
     "--slo request_latency_p99:5 needs 368 at least"),
    ("request_latency_p50:5", ["--concurrency", "3"], "--concurrency is what is searched for"),
    ("request_latency_p50:5", ["--request-rate", "3"], "--request-rate is not for this search"),
    ("request_latency_p50:5", ["--request-cancellation-rate", "5"],
     "--request-cancellation-rate is not for this search"),
    ("request_latency_p50:5", ["--min", "1.5"], "must be whole numbers"),
    ("request_latency_p50:5", ["--min", "5", "--max", "4"], "--max is 4"),
    ("request_latency_p50:5", ["--max", "200000"], "--concurrency is '200000'"),
    ("request_latency_p50:5", ["--export-level", "summary"], "--export-level is summary"),
    ("request_latency_p50:5", ["--search", "size"], "--search is 'size'"),
    ("request_latency_p50:5", ["--slo", "a_p5:1"] * 4, "--slo: at most 4")])
def test_wrong_usage_is_named_before_anything_is_sent(tmp_path, slo, args, text):
    with FakeServer() as server:
        run = capacity(server.url, tmp_path, *args, slo=slo)
        assert not server.requests
    assert run.code == 2 and text in run.err, run.err
