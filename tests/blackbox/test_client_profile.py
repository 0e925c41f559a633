"""A whole profile against a scripted server: requests on the wire, artifacts, statistics."""

import hashlib
import json
import os
import random
import re

import numpy as np
import pytest

from client_run import (EXTRA, MODEL, PROMPTS, RUN_DIR, base_args, fluxperf, is_metric, profile,
                        tutorial)
from fake_server import Answer, FakeServer, PNG, images, make_png

HEADERS = ["Host", "User-Agent", "X-Request-ID", "X-Correlation-ID", "Accept", "Content-Type",
           "X-Session-Affinity", "Content-Length"]
UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
RANKS = [1, 5, 10, 25, 50, 75, 90, 95, 99]


# ---- the tutorial ---------------------------------------------------------------------------


def test_three_commands_of_the_tutorial_work(tmp_path):
    with FakeServer() as server:
        for name, args in tutorial(server.url, tmp_path).items():
            run = fluxperf(*args, cwd=tmp_path)
            assert run.code == 0, run.err
            assert run.json()["request_count"]["avg"] == 3, name
            assert "Request Latency (ms)" in run.out
        assert server.others == []  # nothing but the requests that were asked for


def test_prompts_of_the_tutorial_have_the_known_lengths(tmp_path):
    with FakeServer() as server:
        run = fluxperf(*tutorial(server.url, tmp_path)["file"], cwd=tmp_path)
    row = [line for line in run.out.splitlines() if "Input Sequence Length (tokens)" in line]
    cells = [cell.strip() for cell in row[0].strip("│").split("│")]
    assert cells == ["Input Sequence Length (tokens)", "6.67", "6.00", "7.00", "7.00", "7.00",
                     "7.00", "0.47"]


def test_synthetic_prompts_have_exact_lengths(tmp_path):
    with FakeServer() as server:
        run = profile_synthetic(server.url, tmp_path, "--random-seed", "7")
        assert run.code == 0, run.err
        sent = [r.json()["prompt"] for r in server.requests]
    assert len(set(sent)) == 20
    # AIPerf's lengths for the same seed
    stream = random.Random(seed_of(7, "dataset.prompt.length"))
    wanted = [max(1, int(np.ceil(stream.gauss(150, 30)))) for _ in range(20)]
    assert [line["metrics"]["input_sequence_length"]["value"] for line in run.lines()] == wanted
    ids = fluxperf("tokenize", cwd=tmp_path, stdin="".join(json.dumps(s) + "\n" for s in sent)).out
    assert [len(json.loads(line)) for line in ids.splitlines()] == wanted


def profile_synthetic(url, cwd, *args):
    return fluxperf("profile", "--model", MODEL, "--url", url, "--artifact-dir", "out",
                    "--synthetic-input-tokens-mean", "150", "--synthetic-input-tokens-stddev", "30",
                    "--request-count", "20", *args, cwd=cwd, folder="out")


def seed_of(seed, purpose):
    return int.from_bytes(hashlib.sha256(f"{seed}:{purpose}".encode()).digest()[:8], "big")


def test_a_seed_makes_inputs_and_prompts_reproducible(tmp_path):
    texts = []
    with FakeServer() as server:
        for seed in "3", "3", "4":
            run = profile_synthetic(server.url, tmp_path, "--random-seed", seed)
            texts.append(run.path("inputs.json").read_text())
    assert texts[0] == texts[1] != texts[2]
    assert json.loads(texts[0])["data"][1]["session_id"] == "session_000001"


# ---- on the wire ----------------------------------------------------------------------------


def test_requests_are_those_of_aiperf(tmp_path):
    with FakeServer() as server:
        profile(server.url, tmp_path, *EXTRA, "--request-count", "4")
        requests = server.requests
        port = server.port
    for i, request in enumerate(requests):
        assert (request.method, request.path, request.version) == (
            "POST", "/v1/images/generations", "HTTP/1.1")
        assert [name for name, _ in request.headers] == HEADERS
        assert request.header("host") == f"127.0.0.1:{port}"
        assert re.fullmatch(r"fluxperf/\d+\.\d+\.\d+", request.header("user-agent"))
        assert re.fullmatch(UUID4, request.header("x-request-id"))
        assert re.fullmatch(UUID4, request.header("x-correlation-id"))
        assert request.header("x-session-affinity") == request.header("x-correlation-id")
        assert request.header("accept") == request.header("content-type") == "application/json"
        assert request.body.decode() == (
            '{"prompt":"%s","model":"%s","response_format":"b64_json","n":1,"size":"512x512",'
            '"quality":"standard"}' % (PROMPTS[i % 3], MODEL))
    ids = [r.header(h) for r in requests for h in ("x-request-id", "x-correlation-id")]
    assert len(set(ids)) == 8


def test_extra_inputs_are_typed_as_aiperf_types_them(tmp_path):
    values = ["n:2", "guidance_scale:3.5", "num_inference_steps:020", "seed:-7", "flag:True",
              "nil:null", "e:1e5",
              '{"user":"u1","nested":{"a":[1, 2.5, "x"]},"response_format":"b64_json","num":"5"}',
              "style:vivid,background:opaque"]
    extra = [word for value in values for word in ("--extra-inputs", value)]
    with FakeServer() as server:
        run = profile(server.url, tmp_path, *extra, "--request-count", "1", prompts=["Grün \"x\""])
        body = server.requests[0].body.decode()
    assert run.code == 0, run.err
    assert body == (
        '{"prompt":"Grün \\"x\\"","model":"black-forest-labs/FLUX.1-dev","response_format":'
        '"b64_json","n":2,"guidance_scale":3.5,"num_inference_steps":"020","seed":-7,"flag":true,'
        '"nil":null,"e":"1e5","user":"u1","nested":{"a":[1,2.5,"x"]},"num":5,"style":"vivid",'
        '"background":"opaque"}')
    assert run.json("inputs.json")["data"][0]["payloads"] == [json.loads(body)]


def test_fields_of_a_row_come_last(tmp_path):
    (tmp_path / "rows.jsonl").write_text(
        '{"text": "one", "extra": {"seed": 1.0, "size": "64x64"}, "session_id": "mine"}\n\n'
        '{"texts": ["two", "ignored"]}\n')
    with FakeServer() as server:
        run = fluxperf("profile", "--model", "m", "--url", server.url, "--input-file", "rows.jsonl",
                       "--extra-inputs", "size:32x32", "--request-count", "2", "--artifact-dir",
                       "out", cwd=tmp_path, folder="out")
        bodies = [r.body.decode() for r in server.requests]
    assert bodies == [
        '{"prompt":"one","model":"m","response_format":"b64_json","n":1,"size":"64x64","seed":1.0}',
        '{"prompt":"two","model":"m","response_format":"b64_json","n":1,"size":"32x32"}']
    assert [line["metadata"]["conversation_id"] for line in run.lines()][0] == "mine"


def test_user_headers_stand_between_ids_and_accept_and_secrets_stay_out_of_files(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--header", "X-Test:1", "-H", "X-Auth-Token: t0ken",
                      "--api-key", "s3cret", "--export-level", "raw", "--request-count", "1")
        request = server.requests[0]
    assert [n for n, _ in request.headers] == (
        HEADERS[:4] + ["X-Test", "X-Auth-Token", "Authorization"] + HEADERS[4:])
    assert request.header("authorization") == "Bearer s3cret"
    assert request.header("x-test") == "1"
    for path in run.folder.iterdir():
        text = path.read_text()
        assert "s3cret" not in text and "t0ken" not in text, path
    assert "s3cret" not in run.out + run.err
    headers = run.lines("profile_export_raw.jsonl")[0]["request_headers"]
    assert list(headers) == [n for n, _ in request.headers[1:-1]]
    assert headers["Authorization"] == headers["X-Session-Affinity"] == "<redacted>"
    assert headers["X-Test"] == "1"


@pytest.mark.parametrize("base, args, path", [
    ("", [], "/v1/images/generations"),
    ("/", [], "/v1/images/generations"),
    ("/v1", [], "/v1/images/generations"),
    ("/v1/images/generations", [], "/v1/images/generations"),
    ("/proxy?key=1", [], "/proxy/v1/images/generations?key=1"),
    ("/a", ["--endpoint", "/x/y"], "/a/x/y"),
    ("/a", ["--custom-endpoint", ""], "/a"),
])
def test_path_rules(tmp_path, base, args, path):
    with FakeServer() as server:
        run = profile(server.url.replace("http://", "") + base, tmp_path, *args,
                      "--request-count", "1")
        assert run.code == 0, run.err
        assert server.requests[0].path == path


def test_connections_are_kept_alive_and_proxies_ignored(tmp_path):
    proxy = {"http_proxy": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"}
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-count", "5", env=proxy)
        assert run.code == 0 and server.n_connections == 1
    reused = [line["metrics"]["http_req_connection_reused"]["value"] for line in run.lines()]
    assert reused == [0, 1, 1, 1, 1]
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-count", "3",
                      "--connection-reuse-strategy", "never")
        assert run.code == 0 and server.n_connections == 3


def test_several_urls_take_turns(tmp_path):
    with FakeServer() as one, FakeServer() as two:
        run = profile(one.url, tmp_path, "--url", two.url, "--request-count", "4")
        assert run.code == 0
        assert len(one.requests) == len(two.requests) == 2


# ---- artifacts ------------------------------------------------------------------------------


@pytest.mark.parametrize("level, lines, raw", [
    ("summary", False, False), ("records", True, False), ("raw", True, True)])
def test_export_level_decides_the_files(tmp_path, level, lines, raw):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--export-level", level)
    names = {"profile_export_aiperf.json", "profile_export_aiperf.csv",
             "profile_export_console.txt", "inputs.json", "run_manifest.json", "report.html",
             "telemetry_series.json", ".aiperf_results_ready.json"}
    names |= {"profile_export.jsonl"} if lines else set()
    names |= {"profile_export_raw.jsonl"} if raw else set()
    assert set(os.listdir(run.folder)) == names
    assert run.json(".aiperf_results_ready.json") == {
        "ready": True, "was_cancelled": False, "partial": False}
    assert run.path(".aiperf_results_ready.json").stat().st_mode & 0o777 == 0o600


def test_prefix_names_the_files(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--profile-export-prefix", "foo", "--export-level",
                      "raw", "--slice-duration", "1")
    assert set(os.listdir(run.folder)) == {
        "foo.json", "foo.csv", "foo.jsonl", "foo_raw.jsonl", "foo_console.txt", "inputs.json",
        "foo_timeslices.json", "foo_timeslices.csv", "run_manifest.json", "report.html",
        "foo_telemetry_series.json", ".aiperf_results_ready.json"}


@pytest.mark.parametrize("args, stimulus", [
    (["--concurrency", "2"], "concurrency2"),
    (["--request-rate", "100"], "request_rate100.0"),
    (["--request-rate", "99.5", "--concurrency", "3"], "concurrency3-request_rate99.5")])
def test_directory_is_named_after_the_load(tmp_path, args, stimulus):
    with FakeServer() as server:
        run = fluxperf(*base_args(server.url), *args, "--isl", "5", "--request-count", "3",
                       cwd=tmp_path)
    assert run.code == 0, run.err
    name = RUN_DIR.replace("concurrency1", stimulus)
    assert (tmp_path / name / "profile_export_aiperf.json").exists()


def test_record_lines_have_the_documented_fields(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path)
        sent = server.requests
    inputs = run.json("inputs.json")["data"]
    for i, line in enumerate(run.lines()):
        meta = line["metadata"]
        assert meta["session_num"] == i and meta["turn_index"] == meta["agent_depth"] == 0
        assert meta["x_request_id"] == sent[i].header("x-request-id")
        assert meta["x_correlation_id"] == meta["root_correlation_id"]
        assert meta["conversation_id"] == inputs[i % 3]["session_id"]
        assert meta["credit_issued_ns"] <= meta["request_start_ns"] <= meta["request_ack_ns"]
        assert meta["request_ack_ns"] <= meta["request_end_ns"]
        assert meta["benchmark_phase"] == meta["phase_name"] == meta["phase_kind"] == "profiling"
        assert meta["phase_index"] == meta["profiling_index"] == 0
        assert meta["was_cancelled"] is meta["context_overflow_skip"] is False
        assert re.fullmatch("worker_[0-9a-f]{8}", meta["worker_id"])
        assert re.fullmatch("record_processor_[0-9a-f]{8}", meta["record_processor_id"])
        m = {tag: entry["value"] for tag, entry in line["metrics"].items()}
        span = (meta["request_end_ns"] - meta["request_start_ns"]) / 1e6
        assert m["request_latency"] == pytest.approx(span, rel=1e-12)
        parts = ["blocked", "dns_lookup", "connecting", "sending", "waiting", "receiving"]
        assert sum(m[f"http_req_{p}"] for p in parts) == pytest.approx(m["http_req_total"])
        assert m["http_req_total"] <= m["request_latency"] + 1
        assert m["http_req_data_sent"] == len(sent[i].body) / 1024
        assert m["http_req_data_received"] == len(images(PNG)) / 1024
        assert m["output_sequence_length"] == 0 and m["num_images_decoded"] == 1
        assert line["images"] == [{"decoded": True, "format": "png", "width": 7, "height": 8,
                                   "bytes": len(PNG),
                                   "sha256": hashlib.sha256(PNG).hexdigest()}]
        assert "error" not in line


def test_statistics_follow_from_the_records(tmp_path):
    delays = [0.02, 0.05, 0.03, 0.08, 0.01, 0.04, 0.06]
    with FakeServer(lambda i, r: Answer(delay=delays[i])) as server:
        run = profile(server.url, tmp_path, "--concurrency", "3", "--request-count", "7")
    summary, lines = run.json(), run.lines()
    rows, scalars = run.csv()
    for tag in lines[0]["metrics"]:
        if tag not in summary:
            continue
        values = np.array([line["metrics"][tag]["value"] for line in lines], float)
        entry = summary[tag]
        wanted = {"avg": values.mean(), "min": values.min(), "max": values.max(),
                  "std": values.std(), "sum": values.sum(), "count": len(values)}
        wanted |= {f"p{q}": np.percentile(values, q) for q in RANKS}
        assert list(entry) == ["unit", "avg", *[f"p{q}" for q in RANKS], "min", "max", "std",
                               "count", "sum"]
        for name, value in wanted.items():
            assert entry[name] == pytest.approx(value, rel=1e-12, abs=1e-12), (tag, name)
    latency = summary["request_latency"]
    assert rows["Request Latency (ms)"]["p75"] == f"{latency['p75']:.2f}"
    assert latency["min"] >= 10 and latency["max"] >= 80

    metas = [line["metadata"] for line in lines]
    span = max(m["request_end_ns"] for m in metas) - min(m["request_start_ns"] for m in metas)
    assert summary["benchmark_duration"]["avg"] == pytest.approx(span / 1e9, rel=1e-9)
    window = seconds_between(summary["start_time"], summary["end_time"])
    assert summary["request_throughput"] == {
        "unit": "requests/sec", "avg": pytest.approx(7 / window, rel=1e-3)}
    assert summary["image_throughput"]["avg"] == summary["request_throughput"]["avg"]
    tokens = summary["total_isl"]["avg"]
    assert summary["input_token_throughput"]["avg"] == pytest.approx(tokens / window, rel=1e-3)
    assert float(scalars["Request Count"]) == summary["request_count"]["avg"] == 7
    assert summary["completed_request_count"]["avg"] == 7
    assert summary["request_error_rate"] == {"unit": "%", "avg": 0.0}
    busy = sum(line["metrics"]["request_latency"]["value"] for line in lines) / 1e3
    assert summary["effective_concurrency"]["avg"] == pytest.approx(busy / window, rel=1e-3)
    assert summary["effective_concurrency"]["max"] == 3 == server.most_in_flight


def seconds_between(start, end):
    return (np.datetime64(end) - np.datetime64(start)) / np.timedelta64(1, "s")


def test_summary_has_the_keys_in_aiperfs_order(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, *EXTRA)
    text = run.path("profile_export_aiperf.json").read_text()
    summary = json.loads(text)
    assert not text.endswith("\n") and text.startswith('{\n  "schema_version": "1.4",\n')
    first = ["schema_version", "aiperf_version", "generator", "benchmark_id", "request_throughput",
             "request_latency", "request_count", "output_sequence_length", "input_sequence_length",
             "benchmark_duration", "total_isl", "input_config", "run_info", "was_cancelled",
             "is_complete", "error_summary", "start_time", "end_time"]
    assert list(summary)[: len(first)] == first
    *others, second_last, last = list(summary)[len(first):]
    assert all(is_metric(summary[key]) for key in others)
    assert [second_last, last] == ["percentile_intervals", "client_load"]
    assert summary["is_complete"] is True and summary["was_cancelled"] is False
    assert summary["input_config"]["endpoint"]["extra"] == {"size": "512x512",
                                                           "quality": "standard"}
    assert summary["run_info"]["benchmark_id"] == summary["benchmark_id"]
    assert summary["run_info"]["cli_command"].startswith(
        "fluxperf profile --model 'black-forest-labs/FLUX.1-dev' --url 'http")


def test_console_file_has_the_tables_of_the_console(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-count", "3")
    tables = run.path("profile_export_console.txt").read_text()
    assert run.out.startswith(tables)
    assert "fluxperf | Image Generation Metrics\n" in re.sub(" +\n", "\n", tables)
    for name in ("Images Returned (images) │ 3.00", "Images Decoded (images) │ 3.00"):
        assert re.sub(" +", " ", name) in re.sub(" +", " ", tables)
    for line in tables.splitlines():
        assert line == "" or line[0] in " ┏┃┡│└" or line.startswith("Client: ")
    assert "CLI Command: fluxperf profile" in run.out


def test_several_images_of_one_answer_all_count(tmp_path):
    body = images(PNG, make_png(16, 16), PNG)
    with FakeServer(lambda i, r: Answer(body)) as server:
        run = profile(server.url, tmp_path, "--extra-inputs", "n:3", "--request-count", "2")
    summary, line = run.json(), run.lines()[0]
    assert summary["images_returned"]["avg"] == summary["images_decoded"]["avg"] == 6
    assert summary["image_throughput"]["avg"] == pytest.approx(
        3 * summary["request_throughput"]["avg"])
    assert [image["width"] for image in line["images"]] == [7, 16, 7]
    assert line["metrics"]["image_latency"]["value"] == pytest.approx(
        line["metrics"]["request_latency"]["value"] / 3)
