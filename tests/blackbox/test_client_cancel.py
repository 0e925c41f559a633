"""--request-cancellation-rate: requests that the client hangs up on, on purpose."""

import hashlib
import random

import pytest

from client_run import fluxperf, profile
from fake_server import Answer, FakeServer


def drawn(seed, percent, n):
    """Which of n requests AIPerf would cancel."""
    digest = hashlib.sha256(f"{seed}:timing.request.cancellation".encode()).digest()
    stream = random.Random(int.from_bytes(digest[:8], "big"))
    return [stream.random() < percent / 100 for _ in range(n)]


def canceled(run):
    lines = [x for x in run.lines() if x["metadata"]["phase_kind"] == "profiling"]
    lines.sort(key=lambda x: x["metadata"]["session_num"])
    return [x["metadata"]["was_cancelled"] for x in lines]


def test_the_seed_chooses_the_requests_of_aiperf(tmp_path):
    expected = drawn(7, 40, 12)
    assert 0 < sum(expected) < 12
    with FakeServer(lambda i, r: Answer(delay=0.5)) as server:
        run = profile(server.url, tmp_path, "--request-cancellation-rate", "40",
                      "--request-cancellation-delay", "0.05", "--random-seed", "7",
                      "--request-count", "12", "--warmup-request-count", "3", "--concurrency", "3")
    assert run.code == 0, run.err  # they are no failures
    assert len(server.requests) == 15
    assert canceled(run) == expected
    warm = [x for x in run.lines() if x["metadata"]["phase_kind"] == "warmup"]
    assert len(warm) == 3 and not any("error" in x for x in warm)


def test_a_canceled_request_is_recorded_and_in_no_latency(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.4)) as server:
        run = profile(server.url, tmp_path, "--request-cancellation-rate", "50",
                      "--request-cancellation-delay", "0.1", "--random-seed", "1",
                      "--request-count", "6", "--export-level", "raw")
    n = sum(drawn(1, 50, 6))
    assert 0 < n < 6
    summary = run.json()
    assert summary["request_cancellation_count"]["avg"] == n
    assert summary["request_count"]["avg"] == 6 - n == summary["request_latency"]["count"]
    assert summary["request_latency"]["min"] >= 400
    assert summary["error_request_count"]["avg"] == n  # as AIPerf counts them
    assert summary["error_summary"] == [{"error_details": {
        "code": 499, "type": "RequestCancellationError",
        "message": "Request cancelled 0.100s after being sent"}, "count": n}]
    assert f"{n} requests were canceled on purpose" in run.err and "failed" not in run.err
    assert "canceled on purpose" in run.path("report.html").read_text()
    assert "Requests Canceled on Purpose" in run.path("profile_export_console.txt").read_text()
    for line in (x for x in run.lines() if "error" in x):
        m = line["metadata"]
        assert set(line["metrics"]) == {"error_isl"}
        assert m["cancellation_time_ns"] == m["request_end_ns"]
        # from the last byte sent on; the machine may be slow
        assert 0.1 <= (m["request_end_ns"] - m["request_start_ns"]) / 1e9 < 0.39
    raw = [x for x in run.lines("profile_export_raw.jsonl") if "error" in x]
    assert len(raw) == n and all(x["responses"] == [] for x in raw)


def test_the_whole_request_is_sent_before_the_connection_is_cut(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.3)) as server:
        run = profile(server.url, tmp_path, "--request-cancellation-rate", "100",
                      "--request-count", "3", "--extra-inputs", "pad:" + "x" * 100000)
        assert server.n_connections == 3  # no connection is used again
    assert run.code == 0, run.err
    assert len(server.requests) == 3
    assert all(len(r.body) == int(r.header("content-length")) for r in server.requests)
    assert canceled(run) == [True] * 3
    assert run.json()["request_cancellation_count"]["avg"] == 3


def test_an_answer_in_time_is_an_answer(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-cancellation-rate", "100",
                      "--request-cancellation-delay", "20", "--request-count", "3")
        assert server.n_connections == 1
    assert run.code == 0 and canceled(run) == [False] * 3
    assert "request_cancellation_count" not in run.json()


def test_they_are_no_failures_of_repeated_runs_either(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.3)) as server:
        run = fluxperf("repeat", "2", "--model", "m", "--url", server.url, "--isl", "5",
                       "--random-seed", "1", "--request-count", "4", "--artifact-dir", "out",
                       "--request-cancellation-rate", "50", cwd=tmp_path, folder="out")
    n = sum(drawn(1, 50, 4))
    assert 0 < n < 4 and run.code == 0, run.err
    assert run.err.count(f"{4 - n} requests succeeded, 0 failed") == 2


@pytest.mark.parametrize("args, text", [
    (["--request-cancellation-rate", "101"], "--request-cancellation-rate"),
    (["--request-cancellation-rate", "-1"], "--request-cancellation-rate"),
    (["--request-cancellation-delay", "1"], "needs --request-cancellation-rate above 0"),
    (["--request-cancellation-rate", "0", "--request-cancellation-delay", "1"], "above 0"),
])
def test_wrong_values_are_refused(tmp_path, args, text):
    run = profile("http://127.0.0.1:9", tmp_path, *args)
    assert run.code == 2 and text in run.err
