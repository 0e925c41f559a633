"""What a run shows beside latency: metrics of servers and GPUs, energy, compute, the client itself."""

import csv
import io
import json
import os
import pathlib

import pytest

from client_run import fluxperf, profile
from fake_server import Answer, FakeServer, PNG, images

NVML = os.path.join(os.environ.get("FLUXBENCH_BUILD", "build/release"), "tests/client/fake_nvml")
FAST = ["--telemetry-interval", "0.02"]


def text(body, **kwargs):
    return Answer(body.encode(), kind="text/plain; version=0.0.4", **kwargs)


def read_blocks(path):
    """The blocks of the CSV of server metrics: {type: [row as dict]}."""
    lines = pathlib.Path(path).read_bytes().decode()
    body = "".join(line for line in lines.splitlines(keepends=True) if not line.startswith("#"))
    blocks = {}
    for block in body.split("\r\n\r\n"):
        rows = list(csv.DictReader(io.StringIO(block)))
        blocks[rows[0]["Type"]] = rows
    return blocks


# ---- servers -----------------------------------------------------------------------------------


def exposition(n):
    return (f"# HELP work_total Work done.\n# TYPE work_total counter\nwork_total{{kind=\"a,b\"}} {10 * n}\n"
            f"# TYPE depth gauge\ndepth {n}\n# TYPE took_seconds histogram\n"
            f"took_seconds_bucket{{le=\"1\"}} {n}\ntook_seconds_bucket{{le=\"+Inf\"}} {n}\n"
            f"took_seconds_sum {n / 2}\ntook_seconds_count {n}\n")


def test_metrics_of_the_server_are_collected_by_default(tmp_path):
    def script(i, request):
        server.routes["/metrics"] = text(exposition(i + 1))
        return Answer(delay=0.05)

    with FakeServer(script, {"/metrics": text(exposition(0))}) as server:
        run = profile(server.url, tmp_path, "--request-count", "6", *FAST)
    assert run.code == 0 and len(server.scrapes) > 5
    assert "Server Metrics JSON Export: out/server_metrics_export.json" in run.out
    export = run.json("server_metrics_export.json")
    url = server.url + "/metrics"
    summary = export["summary"]
    assert summary["endpoints_configured"] == summary["endpoints_successful"] == [url]
    info = summary["endpoint_info"][url]
    assert info["total_fetches"] == len(server.scrapes) and 2 <= info["unique_updates"] <= 7
    work = export["metrics"]["work"]
    assert work["type"] == "counter" and work["description"] == "Work done."
    [series] = work["series"]
    assert series["labels"] == {"kind": "a,b"} and series["stats"]["total"] == 60
    window = run.json()["request_count"]["avg"] / run.json()["request_throughput"]["avg"]
    assert series["stats"]["rate"] == pytest.approx(60 / window, rel=0.3)
    depth = export["metrics"]["depth"]["series"][0]["stats"]
    assert depth["min"] in (0, 1) and depth["max"] == depth["last"] == 6
    took = export["metrics"]["took_seconds"]
    assert took["unit"] == "seconds" and took["series"][0]["buckets"] == {"1": 6, "+Inf": 6}
    assert took["series"][0]["stats"]["p50_estimate"] == 0.5
    rows = read_blocks(run.path("server_metrics_export.csv"))
    assert rows["counter"][0]["kind"] == "a,b" and rows["counter"][0]["total"] == "60.0000"
    assert rows["histogram"][0]["buckets"] == "1=6;+Inf=6"
    assert rows["gauge"][0]["Endpoint"] == url[len("http://"):-len("/metrics")]
    assert "telemetry_data" not in run.json()


@pytest.mark.parametrize("answer", [
    Answer(b"{}", "404 Not Found"), Answer(b"<html>nothing</html>"), Answer(b""),
    Answer(close="before"), Answer(b"\x00\xff{" * 1000), Answer(b"a 1\n" * 3, close="middle")])
def test_servers_without_metrics_are_no_matter(tmp_path, answer):
    with FakeServer(None, {"/metrics": answer}) as server:
        run = profile(server.url, tmp_path, "--request-count", "2")
    assert run.code == 0 and "telemetry" not in run.err and "metrics" not in run.err
    assert not run.path("server_metrics_export.json").exists()
    assert len(server.scrapes) == 1


def test_a_source_that_was_asked_for_is_missed_in_one_line(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-count", "2", "--server-metrics",
                      "127.0.0.1:9,http://127.0.0.1:9/other", "--gpu-telemetry", "localhost:9", *FAST)
    lines = [line for line in run.err.splitlines() if "telemetry is incomplete" in line]
    assert run.code == 0 and len(lines) == 3
    assert "http://127.0.0.1:9/metrics" in lines[0] and "http://127.0.0.1:9/other" in lines[1]


def test_credentials_go_to_the_servers_under_load_only(tmp_path):
    metrics = {"/metrics": text("a 1\n")}
    with FakeServer(None, metrics) as server, FakeServer(None, metrics) as other:
        run = profile(server.url, tmp_path, "--request-count", "2", "--api-key", "s3cret", "--header",
                      "X-Test:1", "--server-metrics", f"{other.url},{server.url}",
                      "--gpu-telemetry", other.url)
    assert run.code == 0
    assert {r.header("authorization") for r in server.scrapes} == {"Bearer s3cret"}
    assert {r.header("x-test") for r in server.scrapes} == {"1"}
    assert {r.header("authorization") for r in other.scrapes} == {None}
    assert {r.header("x-test") for r in other.scrapes} == {None}


def test_more_series_than_are_kept_are_told(tmp_path):
    body = "".join(f'many{{i="{i}"}} 1\n' for i in range(4100))
    with FakeServer(None, {"/metrics": text(body)}) as server:
        run = profile(server.url, tmp_path, "--request-count", "2")
    assert run.code == 0 and run.err.count("has more than 4000 series") == 1
    assert len(run.json("server_metrics_export.json")["metrics"]["many"]["series"]) == 4000


def test_malformed_lines_do_not_spoil_the_others(tmp_path):
    body = "ok 1\nbroken{\nalso{a=\"b} 2\nfine{a=\"b\"} 3\n" + "x" * 70000 + "\n"
    with FakeServer(None, {"/metrics": text(body)}) as server:
        run = profile(server.url, tmp_path, "--request-count", "2")
    assert list(run.json("server_metrics_export.json")["metrics"]) == ["ok", "fine"]


def test_metrics_that_stop_are_no_failure(tmp_path):
    def script(i, request):
        if i == 1:
            server.routes["/metrics"] = Answer(close="before")
        return Answer(delay=0.1)

    with FakeServer(script, {"/metrics": text("depth 1\n")}) as server:
        run = profile(server.url, tmp_path, "--request-count", "6", *FAST)
    assert run.code == 0 and run.err.count("telemetry is incomplete") == 1
    assert run.json("server_metrics_export.json")["metrics"]["depth"]["series"]


def test_slow_metrics_do_not_slow_the_requests(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.01), {"/metrics": text("a 1\n", delay=0.5)}) as server:
        run = profile(server.url, tmp_path, "--request-count", "20", "--request-rate", "50",
                      "--arrival-pattern", "constant", *FAST)
    assert run.code == 0 and run.json()["request_throughput"]["avg"] > 10
    assert run.json()["credit_to_start_latency"]["p90"] < 50


def test_formats_prefix_and_old_files(tmp_path):
    with FakeServer(None, {"/metrics": text("a 1\n")}) as server:
        run = profile(server.url, tmp_path, "--request-count", "1", "--profile-export-prefix", "foo",
                      "--server-metrics-formats", "csv")
        assert run.path("foo_server_metrics.csv").exists()
        assert not run.path("foo_server_metrics.json").exists()
        assert run.path("foo_telemetry_series.json").exists()
        run = profile(server.url, tmp_path, "--request-count", "1", "--profile-export-prefix", "foo",
                      "--no-server-metrics")
        assert not run.path("foo_server_metrics.csv").exists()
        assert len(server.scrapes) > 0
    config = run.json("foo.json")["input_config"]
    assert config["server_metrics"] == {"enabled": False}
    assert config["gpu_telemetry"] == {"enabled": True}


LOOK = """# TYPE answers_total counter
answers_total{{code="200"}} {n}
# TYPE depth gauge
depth 3
# TYPE wait_seconds histogram
wait_seconds_bucket{{kind="a",le="0.1"}} {n}
wait_seconds_bucket{{kind="a",le="+Inf"}} 9
wait_seconds_bucket{{kind="b",le="+Inf"}} 4
wait_seconds_sum{{kind="a"}} 1.5
wait_seconds_count{{kind="a"}} 9
wait_seconds_sum{{kind="b"}} 0.25
wait_seconds_count{{kind="b"}} 4
# TYPE size summary
size{{quantile="0.5"}} 7
build_info{{version="1"}} 1
depth{{queue="x"}} 1
"""


def test_lines_have_every_look_that_showed_news(tmp_path):
    def script(i, request):
        server.routes["/metrics"] = text(LOOK.format(n=i + 1))
        return Answer(delay=0.03)

    with FakeServer(script, {"/metrics": text(LOOK.format(n=0))}) as server:
        run = profile(server.url, tmp_path, "--request-count", "4", "--warmup-request-count", "1",
                      "--server-metrics-formats", "csv,JSONL", *FAST)
    assert run.code == 0, run.err
    assert not run.path("server_metrics_export.json").exists()
    assert run.path("server_metrics_export.csv").exists()
    lines = run.lines("server_metrics_export.jsonl")
    assert "Server Metrics JSONL Export" in run.out and len(lines) >= 2
    first = lines[0]
    assert list(first)[:5] == ["endpoint_url", "timestamp_ns", "endpoint_latency_ns", "metrics",
                               "request_sent_ns"]
    assert first["endpoint_url"] == server.url + "/metrics"
    assert first["timestamp_ns"] - first["endpoint_latency_ns"] == first["request_sent_ns"]
    assert 0 < first["endpoint_latency_ns"] < 60e9
    assert first["metrics"] == {
        "answers": [{"labels": {"code": "200"}, "value": 0}],
        "depth": [{"value": 3}, {"labels": {"queue": "x"}, "value": 1}],
        "wait_seconds": [
            {"labels": {"kind": "a"}, "buckets": {"0.1": 0, "+Inf": 9}, "sum": 1.5, "count": 9},
            {"labels": {"kind": "b"}, "buckets": {"+Inf": 4}, "sum": 0.25, "count": 4}],
        "size": [{"labels": {"quantile": "0.5"}, "value": 7}]}
    values = [line["metrics"]["answers"][0]["value"] for line in lines]
    assert values == sorted(set(values))  # a look without news has no line
    assert values[-1] == 5
    phases = {line.get("benchmark_phase"): (line.get("phase_index"), line.get("profiling_index"))
              for line in lines}
    assert set(phases) <= {None, "warmup", "profiling"}
    assert phases.get("profiling", (1, 0)) == (1, 0) and phases.get("warmup", (0, None)) == (0, None)


@pytest.mark.parametrize("args, message", [
    (["--server-metrics-formats", "parquet"], "--server-metrics-formats is 'parquet': must be of json, csv"),
    (["--server-metrics", "http://x", "--no-server-metrics"], "contradicts --no-server-metrics"),
    (["--gpu-telemetry", "pynvml", "--no-gpu-telemetry"], "contradicts --no-gpu-telemetry"),
    (["--idle-power-duration", "1", "--no-gpu-telemetry"], "contradicts --no-gpu-telemetry"),
    (["--device", "H1000"], "--device is 'H1000': not in the table"),
    (["--telemetry-interval", "0"], "--telemetry-interval"),
    (["--model-flops", "-1"], "--model-flops"),
])
def test_wrong_options_are_named(tmp_path, args, message):
    run = fluxperf("profile", "--model", "m", *args, cwd=tmp_path)
    assert run.code == 2 and message in run.err


# ---- GPUs --------------------------------------------------------------------------------------


def dcgm(watts, mj=None, util=0, reasons=0):
    labels = '{gpu="0",UUID="GPU-1",modelName="NVIDIA H100 80GB HBM3",Hostname="node"}'
    body = (f"# TYPE DCGM_FI_DEV_POWER_USAGE gauge\nDCGM_FI_DEV_POWER_USAGE{labels} {watts}\n"
            f"DCGM_FI_DEV_GPU_UTIL{labels} {util}\nDCGM_FI_DEV_SM_CLOCK{labels} 1980\n"
            f"DCGM_FI_DEV_GPU_TEMP{labels} 61\nDCGM_FI_DEV_FB_USED{labels} 1000\n"
            f"DCGM_FI_DEV_CLOCK_THROTTLE_REASONS{labels} {reasons}\n")
    if mj is not None:
        body += f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{labels} {mj}\n"
    return text(body)


def check_gpu_files(run, gpu, url):
    assert gpu["gpu_name"] == "NVIDIA H100 80GB HBM3" and gpu["platform"] == "nvidia"
    lines = run.lines("gpu_telemetry_export.jsonl")
    assert len(lines) > 5 and {line["telemetry_source_url"] for line in lines} == {url}
    assert [line["timestamp_ns"] for line in lines] == sorted(l["timestamp_ns"] for l in lines)
    rows = run.path("profile_export_aiperf.csv").read_text().split("\n\n\n")[1].splitlines()
    table = {row["Metric"]: row for row in csv.DictReader(rows)}
    assert float(table["NVIDIA GPU Power Usage (W)"]["max"]) == \
        round(gpu["metrics"]["nvidia_power_usage"]["max"], 2)


def test_energy_per_image_without_idle_power(tmp_path):
    def script(i, request):
        exporter.routes["/metrics"] = dcgm(300, util=90, reasons=4)
        return Answer(images(PNG, PNG), delay=0.2)

    with FakeServer(None, {"/metrics": dcgm(80)}) as exporter, FakeServer(script) as server:
        run = profile(server.url, tmp_path, "--request-count", "5", "--gpu-telemetry", exporter.url,
                      "--idle-power-duration", "0.3", "--model-flops", "1e12", *FAST)
    assert run.code == 0, run.err
    summary = run.json()
    [gpu] = summary["telemetry_data"]["endpoints"][exporter.url[len("http://"):]]["gpus"].values()
    check_gpu_files(run, gpu, exporter.url + "/metrics")
    power = gpu["metrics"]["nvidia_power_usage"]
    assert power["max"] == 300 and power["unit"] == "W" and gpu["throttle_reasons"]["power_cap"] > 0.8
    assert gpu["metrics"]["nvidia_temperature"]["avg"] == 61
    energy = summary["energy"]
    window = summary["request_count"]["avg"] / summary["request_throughput"]["avg"]
    assert energy["total_source"] == "power_integral" and energy["idle_watts"] == 80
    assert energy["idle_samples"] >= 5 and energy["idle_seconds"] > 0.2
    assert energy["total_joules"] == pytest.approx(300 * window, rel=0.1)
    assert energy["net_joules"] == pytest.approx(energy["total_joules"] - 80 * window, rel=1e-6)
    assert energy["net_joules_per_image"] == pytest.approx(energy["net_joules"] / 10)
    assert "J/image above idle (80 W: " in run.out
    physics = summary["physics"]
    assert physics["device"] == "NVIDIA H100 80GB HBM3" and physics["device_source"] == "gpu"
    assert physics["peak_flops_per_second"] == 989.4e12 and not physics["is_impossible"]
    assert physics["flops"] == 1e13
    page = run.path("report.html").read_text()
    assert "GPU power" in page and "per image above idle" in page


def test_nvml_is_loaded_at_run_time(tmp_path):
    state = tmp_path / "state"
    state.write_text("70000 1000000 0 1")

    def script(i, request):  # 30 J a request by the counter
        state.write_text(f"250000 {1000000 + 30000 * (i + 1)} 80 36")
        return Answer(delay=0.1)

    env = {"LD_LIBRARY_PATH": NVML, "FAKE_NVML_STATE": str(state)}
    with FakeServer(script) as server:
        run = profile(server.url, tmp_path, "--request-count", "4", *FAST, env=env)
    assert run.code == 0, run.err
    summary = run.json()
    data = summary["telemetry_data"]
    assert data["summary"]["endpoints_successful"] == ["pynvml://localhost"]
    [gpu] = data["endpoints"]["localhost"]["gpus"].values()
    check_gpu_files(run, gpu, "pynvml://localhost")
    metrics = gpu["metrics"]
    assert metrics["nvidia_memory_used"]["avg"] == 20 and metrics["nvidia_sm_clock"]["avg"] == 1755
    assert metrics["nvidia_energy_consumption"] == {"unit": "MJ", "avg": pytest.approx(0.00012)}
    assert gpu["throttle_reasons"]["thermal"] > 0.5
    energy = summary["energy"]
    assert energy["total_source"] == "energy_counter" and energy["idle_watts"] == 70
    assert energy["joules_per_image"] == pytest.approx(30, rel=0.2)


def test_an_nvml_without_driver_is_silent(tmp_path):
    env = {"LD_LIBRARY_PATH": NVML}
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-count", "1", env=env)
        assert run.code == 0 and "telemetry" not in run.err
        run = profile(server.url, tmp_path, "--request-count", "1", "--gpu-telemetry", "pynvml", env=env)
    assert run.code == 0 and "telemetry is incomplete: nvmlInit_v2 gave 9" in run.err


# ---- compute -----------------------------------------------------------------------------------


def test_impossible_results_are_flagged(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-count", "3", "--model-flops", "1e15",
                      "--device", "RTX 4090")
    assert run.code == 0 and "fluxperf: the result is impossible: the run did" in run.err
    assert "Impossible: the run did" in run.out
    assert run.json()["physics"]["is_impossible"] is True
    page = run.path("report.html").read_text()
    assert "<b>Impossible result</b>" in page
    run.path("report.html").unlink()
    assert fluxperf("plot", "out", cwd=tmp_path).code == 0
    again = run.path("report.html").read_text()
    assert "<b>Impossible result</b>" in again and again.count("<svg") == page.count("<svg")


def test_server_tells_what_its_images_take(server, tmp_path):
    run = profile(server.url, tmp_path, "--request-count", "3", "--extra-inputs", "size:64x64",
                  "--extra-inputs", "num_inference_steps:2", "--extra-inputs", "n:2",
                  "--export-level", "raw")
    assert run.code == 0, run.err
    answers = [json.loads(line["responses"][0]["text"]) for line in run.lines("profile_export_raw.jsonl")]
    physics = run.json()["physics"]
    assert physics["flops_source"] == "answers" and physics["device_source"] == "server"
    assert physics["flops"] == pytest.approx(sum(a["flops"] for a in answers))
    assert not physics["is_impossible"] and "Compute: " in run.out
    names = run.json("server_metrics_export.json")["metrics"]
    assert names["fluxserve_images"]["series"][0]["stats"]["total"] == 6


# ---- the client --------------------------------------------------------------------------------


def test_the_client_tells_its_own_cost(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.05)) as server:
        run = profile(server.url, tmp_path, "--request-count", "10", "--no-server-metrics",
                      "--no-gpu-telemetry", *FAST)
    load = run.json()["client_load"]
    assert 0 < load["cpu_share"] < 1.5 and load["memory_mib"] > 1 and load["busiest_thread"]
    assert load["start_lag_p99_ms"] >= 0 and "Client: " in run.out
    assert "CPU of the client" in run.path("report.html").read_text()
    assert json.loads(run.path("telemetry_series.json").read_text())["charts"][-1]["group"] == "client"
