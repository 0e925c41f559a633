"""What the client makes of the stages that a server tells, and of the pictures it gets."""

import hashlib
import json

import pytest

from client_run import profile
from fake_server import Answer, FakeServer, PNG, images

STAGES = ["queue", "text_encoding", "denoising", "vae", "image_coding", "other"]


def test_pictures_are_named_by_their_bytes(tmp_path):
    with FakeServer(lambda i, r: Answer(images(PNG, PNG[:40]))) as server:
        run = profile(server.url, tmp_path, "--request-count", "1")
    good, bad = run.lines()[0]["images"]
    assert good == {"decoded": True, "format": "png", "width": 7, "height": 8, "bytes": len(PNG),
                    "sha256": hashlib.sha256(PNG).hexdigest()}
    assert bad == {"decoded": False, "bytes": 40, "sha256": hashlib.sha256(PNG[:40]).hexdigest()}


def test_server_timing_header_and_sglangs_fields_are_read(tmp_path):
    body = json.dumps({**json.loads(images(PNG)), "inference_time_s": 0.25,
                       "peak_memory_mb": 77.5}).encode()
    headers = [("Server-Timing", "queue;dur=1.5, total;dur=3")]
    with FakeServer(lambda i, r: Answer(body, headers=headers, delay=0.02)) as server:
        run = profile(server.url, tmp_path, "--request-count", "2")
    assert run.code == 0, run.err
    for line in run.lines():
        m = line["metrics"]
        assert m["server_queue_time"] == {"value": 1.5, "unit": "ms"}
        assert m["inference_time"] == {"value": 0.25, "unit": "sec"}
        assert m["peak_memory_mb"] == {"value": 77.5, "unit": "MB"}
        assert m["unexplained_time"]["value"] == pytest.approx(
            m["http_req_waiting"]["value"] - 3)
    assert "fluxperf | Server Stages" in run.out and "server_vae_time" not in run.json()
    assert "its times are wrong" not in run.err


def test_a_server_that_tells_of_more_time_than_there_was_is_named(tmp_path):
    answer = Answer(headers=[("Server-Timing", "total;dur=5000")])
    with FakeServer(lambda i, r: answer) as server:
        run = profile(server.url, tmp_path, "--request-count", "1")
    assert run.code == 0 and "its times are wrong" in run.err


def test_stages_of_fluxserve_add_up_and_make_a_trace(server, tmp_path):
    run = profile(server.url, tmp_path, "--request-count", "2", "--concurrency", "2",
                  "--extra-inputs", "size:64x64", "--extra-inputs", "num_inference_steps:3",
                  "--extra-inputs", "n:2", "--export-chrome-trace")
    assert run.code == 0, run.err
    summary = run.json()
    for line in run.lines():
        m = {tag: entry["value"] for tag, entry in line["metrics"].items()}
        parts = sum(m[f"server_{stage}_time"] for stage in STAGES)
        assert parts == pytest.approx(m["server_total_time"], abs=0.05)
        assert m["denoising_step_time"] * 6 == pytest.approx(m["server_denoising_time"])
        whole = (m["send_lag"] + m["http_req_sending"] + m["server_total_time"]
                 + m["unexplained_time"] + m["http_req_receiving"])
        assert whole == pytest.approx(m["response_time"], abs=1e-3)
        assert len({image["sha256"] for image in line["images"]}) == 2
    window = summary["request_count"]["avg"] / summary["request_throughput"]["avg"]
    assert summary["denoising_step_throughput"]["avg"] == pytest.approx(12 / window)
    assert summary["megapixel_throughput"]["avg"] == pytest.approx(4 * 64 * 64 / 1e6 / window)
    assert summary["image_throughput"]["avg"] == pytest.approx(
        2 * summary["request_throughput"]["avg"])
    events = json.loads(run.path("profile_export_trace.json").read_text())
    assert sum(e["name"] == "step" and e["ph"] == "b" for e in events) == 12
    open_spans = {}
    for e in events[:-1]:
        names = open_spans.setdefault(e["id"], [])
        if e["ph"] == "b":
            names.append(e["name"])
        else:
            assert names.pop() == e["name"]  # nested properly
    assert len(open_spans) == 2 and not any(open_spans.values())


def test_trace_of_an_earlier_run_is_removed(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-count", "1", "--export-chrome-trace")
        assert "Chrome Trace:" in run.out and run.path("profile_export_trace.json").exists()
        run = profile(server.url, tmp_path, "--request-count", "1")
        assert not run.path("profile_export_trace.json").exists()
