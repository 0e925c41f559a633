"""How the client times its requests: rates, phases, ends of runs."""

import hashlib
import itertools
import os
import pty
import random
import signal
import subprocess
import threading
import time

import pytest

from client_run import FLUXPERF, MODEL, fluxperf, profile, write_prompts
from fake_server import Answer, FakeServer


def due_offsets(run):
    """Planned send times in seconds, from the first one on."""
    due = sorted(line["metadata"]["credit_issued_ns"] for line in run.lines())
    return [(t - due[0]) / 1e9 for t in due]


def python_gaps(seed, purpose, draw, n):
    digest = hashlib.sha256(f"{seed}:timing.request.{purpose}_interval".encode()).digest()
    stream = random.Random(int.from_bytes(digest[:8], "big"))
    return [draw(stream) for _ in range(n)]


def test_constant_rate_plans_equal_gaps(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-rate", "200", "--arrival-pattern",
                      "constant", "--request-count", "20")
    assert run.code == 0, run.err
    assert due_offsets(run) == pytest.approx([i / 200 for i in range(20)], abs=1e-6)


@pytest.mark.parametrize("pattern, extra, draw", [
    ("poisson", [], lambda s: s.expovariate(100)),
    ("gamma", ["--arrival-smoothness", "2.5"], lambda s: s.gammavariate(2.5, 1 / 250)),
    ("gamma", ["--vllm-burstiness", "0.5"], lambda s: s.gammavariate(0.5, 1 / 50)),
    (None, ["--vllm-burstiness", "0.5"], lambda s: s.gammavariate(0.5, 1 / 50)),
])
def test_seeded_arrivals_are_those_of_aiperf(tmp_path, pattern, extra, draw):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-rate", "100",
                      *(["--request-rate-mode", pattern] if pattern else []), *extra,
                      "--random-seed", "3", "--request-count", "15")
    gaps = python_gaps(3, pattern or "gamma", draw, 15)
    times = list(itertools.accumulate(gaps))
    assert due_offsets(run) == pytest.approx([t - times[0] for t in times], abs=1e-6)


def test_a_slow_server_does_not_move_the_plan(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.1)) as server:
        run = profile(server.url, tmp_path, "--request-rate", "50", "--arrival-pattern",
                      "constant", "--concurrency", "1", "--request-count", "6")
        assert server.most_in_flight == 1
    assert due_offsets(run) == pytest.approx([i / 50 for i in range(6)], abs=1e-6)
    summary = run.json()
    # the last one was due after 120 ms and had five of 100 ms before it
    assert summary["effective_latency"]["max"] >= 450
    assert summary["credit_to_start_latency"]["max"] >= 350


def test_response_time_counts_from_the_due_time(tmp_path):
    # each answer takes 0.1 s, one is due every 0.02 s, one slot: the queue grows by 80 ms each
    with FakeServer(lambda i, r: Answer(delay=0.1)) as server:
        run = profile(server.url, tmp_path, "--request-rate", "50", "--arrival-pattern",
                      "constant", "--concurrency", "1", "--benchmark-duration", "0.55")
    assert run.code == 0, run.err
    summary = run.json()
    n = summary["request_count"]["avg"]
    assert summary["service_time"]["min"] >= 100
    assert summary["response_time"]["max"] >= 100 + 80 * (n - 1) - 20
    assert summary["unsent_request_count"]["avg"] == 27 - n  # due at 0.02, 0.04, ... 0.54
    assert summary["late_request_count"]["avg"] >= n - 1
    assert f"{27 - n:.0f} requests were due but could not be sent" in run.err
    for line in run.lines():
        m = {tag: entry["value"] for tag, entry in line["metrics"].items()}
        assert m["response_time"] == pytest.approx(m["send_lag"] + m["service_time"])
        meta = line["metadata"]
        due, end = meta["credit_issued_ns"], meta["request_end_ns"]
        assert m["response_time"] == pytest.approx((end - due) / 1e6)
    assert "Unsent Requests" in run.csv()[1] and "Response Time (from due) (ms)" in run.out


def test_percentiles_have_intervals_or_say_how_many_requests_they_need(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--concurrency", "4", "--request-count", "100")
    assert run.code == 0, run.err
    times = sorted(line["metrics"]["response_time"]["value"] for line in run.lines())
    got = run.json()["percentile_intervals"]["response_time"]
    assert got["count"] == 100 and got["confidence"] == 0.95
    assert [got["p50"]["low"], got["p50"]["high"]] == pytest.approx([times[39], times[60]])
    assert "count_needed" not in got["p90"]
    assert got["p99"]["count_needed"] == 368 and "high" not in got["p99"]
    assert "n<368" in run.out and "n<3688" in run.out


def test_concurrency_is_kept_full_and_never_exceeded(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.05)) as server:
        run = profile(server.url, tmp_path, "--concurrency", "4", "--request-count", "16")
        assert run.code == 0 and server.most_in_flight == 4 and len(server.requests) == 16


def test_default_is_ten_requests(tmp_path):
    with FakeServer() as server:
        assert profile(server.url, tmp_path).code == 0
        assert len(server.requests) == 10
        assert server.most_in_flight == 1


def test_warmup_is_left_out_of_the_results(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.3 if i < 2 else 0)) as server:
        run = profile(server.url, tmp_path, "--warmup-request-count", "2", "--request-count", "3")
    assert run.code == 0, run.err
    summary = run.json()
    assert summary["request_count"]["avg"] == 3
    assert summary["warmup_metrics"]["request_count"]["avg"] == 2
    assert summary["warmup_metrics"]["request_latency"]["min"] >= 300
    kinds = [(line["metadata"]["phase_kind"], line["metadata"]["session_num"],
              line["metadata"].get("profiling_index")) for line in run.lines()]
    assert kinds == [("warmup", 0, None), ("warmup", 1, None), ("profiling", 0, 0),
                     ("profiling", 1, 0), ("profiling", 2, 0)]
    manifest = run.json("phase_manifest.json")
    assert [p["phase_name"] for p in manifest["phases"]] == ["warmup", "profiling"]
    assert manifest["phases"][0]["profiling_index"] is None
    warmup = run.json(manifest["phases"][0]["metrics_json"])
    assert warmup["request_count"]["avg"] == 2
    phase = summary["input_config"]["phases"][0]
    assert phase["name"] == "warmup" and phase["requests"] == 2 and phase["exclude_from_results"]


def test_duration_ends_sending_and_the_grace_period_ends_waiting(tmp_path):
    def script(i, request):
        return Answer(delay=0.05 if i < 3 else 20)

    with FakeServer(script) as server:
        begin = time.monotonic()
        run = profile(server.url, tmp_path, "--benchmark-duration", "0.6",
                      "--benchmark-grace-period", "0.2")
        assert time.monotonic() - begin < 15
        assert len(server.requests) == 4
    summary = run.json()
    assert run.code == 0
    assert summary["request_count"]["avg"] == 3 and summary["canceled_request_count"]["avg"] == 1
    lines = run.lines()
    assert [line["metadata"]["was_cancelled"] for line in lines] == [False] * 3 + [True]
    left = lines[3]  # recorded as what it is
    assert left["error"] == {"code": 499, "type": "RequestCancellationError",
                             "message": "still in flight when the run ended"}
    assert left["metadata"]["cancellation_time_ns"] == left["metadata"]["request_end_ns"]
    assert left["metrics"] == {}
    # the window is duration and grace
    assert summary["request_throughput"]["avg"] == pytest.approx(3 / 0.8, rel=0.2)
    assert "still in flight" in run.err


def test_goodput_counts_requests_within_the_limit(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.5 if i % 2 else 0)) as server:
        run = profile(server.url, tmp_path, "--goodput", "request_latency:400", "--request-count",
                      "4")
    summary = run.json()
    assert [line["metrics"]["good_request_count"]["value"] for line in run.lines()] == [1, 0, 1, 0]
    assert summary["good_request_count"] == {"unit": "requests", "avg": 2.0}
    assert summary["good_request_fraction"]["avg"] == 0.5
    assert summary["goodput"]["avg"] == pytest.approx(summary["request_throughput"]["avg"] / 2)
    assert summary["input_config"]["slos"] == {"request_latency": 400.0}
    assert "Goodput (requests/sec)" in run.out


def test_slices_cut_the_run_by_request_start(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-rate", "20", "--arrival-pattern", "constant",
                      "--request-count", "12", "--slice-duration", "0.25")
    slices = run.json("profile_export_aiperf_timeslices.json")["timeslices"]
    lines = run.lines()
    begin = min(line["metadata"]["request_start_ns"] for line in lines)
    assert slices[0]["start_ns"] == begin
    for i, part in enumerate(slices):
        inside = [line for line in lines
                  if part["start_ns"] <= line["metadata"]["request_start_ns"] < part["end_ns"]]
        assert part["request_count"]["avg"] == len(inside)
        if i + 1 < len(slices):
            assert part["end_ns"] == slices[i + 1]["start_ns"] == part["start_ns"] + 250_000_000
            assert part["request_throughput"]["avg"] == pytest.approx(len(inside) / 0.25)
    assert sum(part["request_count"]["avg"] for part in slices) == 12
    rows = run.path("profile_export_aiperf_timeslices.csv").read_bytes().decode().split("\r\n")
    assert rows[0] == "Timeslice,Start_NS,End_NS,Metric,Unit,Stat,Value"
    assert any(row.startswith(f"0,{begin},") and ",Request Latency,ms,p99," in row for row in rows)


def test_waits_until_the_model_is_ready(tmp_path):
    def script(i, request):
        return Answer(b"{}", "503 Service Unavailable") if i < 2 else Answer()

    models = Answer(b'{"object":"list","data":[{"id":"' + MODEL.encode() + b'"}]}')
    wait = ["--wait-for-model-timeout", "30", "--wait-for-model-interval", "0.05"]
    with FakeServer(script, {"/v1/models": models}) as server:
        run = profile(server.url, tmp_path, *wait, "--wait-for-model-mode", "both",
                      "--request-count", "2")
        assert run.code == 0, run.err
        assert len(server.requests) == 3 + 2  # two refused, one trial image, two measured
        assert [r.path for r in server.others] == ["/v1/models"] * 3
    assert run.json()["request_count"]["avg"] == 2
    with FakeServer(None, {"/v1/models": Answer(b'{"data":[{"id":"other"}]}')}) as server:
        run = profile(server.url, tmp_path, "--wait-for-model-timeout", "0.2",
                      "--wait-for-model-interval", "0.05", "--wait-for-model-mode", "models")
        assert run.code == 1 and "does not list the model" in run.err
        assert server.requests == []


# ---- early ends -----------------------------------------------------------------------------


def start_slow_run(server, cwd, *args, stderr=subprocess.PIPE):
    write_prompts(cwd)
    command = [os.path.abspath(FLUXPERF), "profile", "--model", MODEL, "--url", server.url,
               "--input-file", "image_prompts.jsonl", "--artifact-dir", "out", *args]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=stderr, text=True)


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)




def test_interrupt_keeps_what_has_finished(tmp_path):
    from client_run import Run
    with FakeServer(lambda i, r: Answer(delay=0 if i < 3 else 60)) as server:
        process = start_slow_run(server, tmp_path, "--request-count", "50")
        lines = tmp_path / "out" / "profile_export.jsonl"
        wait_for(lambda: lines.exists() and lines.read_text().count("\n") == 3)
        wait_for(lambda: len(server.requests) == 4)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    process.stdout, process.stderr = out, err
    run = Run(process, tmp_path, "out")
    summary = run.json()
    assert run.code == 1 and "interrupted" in run.err
    assert summary["request_count"]["avg"] == 3
    assert summary["was_cancelled"] is True and summary["is_complete"] is False
    assert summary["incomplete_reason"] == "interrupted"
    assert run.json(".aiperf_results_ready.json") == {
        "ready": True, "was_cancelled": True, "partial": True}
    assert [line["metadata"]["was_cancelled"] for line in run.lines()] == [False] * 3 + [True]
    assert "Request Latency (ms)" in run.out


def test_second_interrupt_stops_at_once(tmp_path, monkeypatch):
    # leaving without joining the threads is the point: the thread sanitizer need not report it
    options = os.environ.get("TSAN_OPTIONS", "")
    monkeypatch.setenv("TSAN_OPTIONS", f"{options}:report_thread_leaks=0")
    # the records thread hangs on a picture that is fetched by address
    body = b'{"data":[{"url":"/slow"}]}'
    with FakeServer(lambda i, r: Answer(body, delay=0.5), {"/slow": Answer(delay=60)}) as server:
        process = start_slow_run(server, tmp_path, "--request-count", "2")
        wait_for(lambda: len(server.others) == 1)
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 1


def test_interrupt_ends_waiting_for_the_model(tmp_path):
    with FakeServer(None, {"/v1/models": Answer(b"{}", "503 Service Unavailable")}) as server:
        process = start_slow_run(server, tmp_path, "--wait-for-model-timeout", "600",
                                 "--wait-for-model-mode", "models")
        wait_for(lambda: len(server.others) == 1)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1 and "interrupted while waiting" in err
    assert server.requests == []


def test_many_requests_in_flight_all_come_back(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.01)) as server:
        run = profile(server.url, tmp_path, "--concurrency", "50", "--request-count", "500")
        ids = {r.header("x-request-id") for r in server.requests}
    assert run.code == 0, run.err
    assert {line["metadata"]["x_request_id"] for line in run.lines()} == ids
    assert len(ids) == 500 and server.most_in_flight <= 50
    assert sorted(line["metadata"]["session_num"] for line in run.lines()) == list(range(500))


def test_server_that_dies_in_the_middle_is_reported(tmp_path):
    server = FakeServer(lambda i, r: Answer(delay=0.02 if i < 4 else 60))
    with server:
        process = start_slow_run(server, tmp_path, "--request-count", "8")
        wait_for(lambda: len(server.requests) == 5)
        server.stop()
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "4 of 8 profiling requests failed" in err
    assert "ServerDisconnectedError" in err and "ClientConnectorError" in err


def test_server_that_stays_away_ends_the_run(tmp_path):
    with FakeServer() as server:
        url = server.url
    run = profile(url, tmp_path, "--request-count", "100000")
    assert run.code == 1
    assert "the server can't be reached" in run.err and "ClientConnectorError" in run.err
    summary = run.json()
    assert summary["is_complete"] is False and summary["error_request_count"]["avg"] == 100


# ---- progress -------------------------------------------------------------------------------


def read_all(fd):
    text = b""
    try:
        while chunk := os.read(fd, 4096):
            text += chunk
    except OSError:  # the other side is closed
        pass
    return text.decode(errors="replace")


def test_progress_line_is_for_terminals_only(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.15)) as server:
        terminal, other = pty.openpty()
        process = start_slow_run(server, tmp_path, "--request-count", "6", stderr=other)
        os.close(other)
        result = {}
        reader = threading.Thread(target=lambda: result.update(text=read_all(terminal)))
        reader.start()
        process.communicate(timeout=30)
        reader.join(10)
        os.close(terminal)
        piped = profile(server.url, tmp_path, "--request-count", "6")
    assert "/6 done" in result["text"] and "in flight" in result["text"]
    assert "req/s" in result["text"] and "ETA" in result["text"]
    assert "done" not in piped.err and "\x1b" not in piped.err + piped.out


def test_ui_none_has_no_progress_line(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.3)) as server:
        terminal, other = pty.openpty()
        process = start_slow_run(server, tmp_path, "--request-count", "2", "--ui", "none",
                                 stderr=other)
        os.close(other)
        text = read_all(terminal)
        process.communicate(timeout=30)
        os.close(terminal)
    assert "done" not in text and "\x1b" not in text


def test_log_level_silences_the_log(tmp_path):
    with FakeServer() as server:
        assert "INFO" in profile(server.url, tmp_path).err
        assert profile(server.url, tmp_path, "--log-level", "WARNING").err == ""
        assert fluxperf("--version", cwd=tmp_path).out.startswith("fluxperf ")
