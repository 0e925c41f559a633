"""Comparing what fluxperf and AIPerf leave behind for the same command."""

import datetime
import math

import pytest

from client_run import is_metric

# What only one of the tools collects. AIPerf: GPU and server telemetry. fluxperf: pictures.
ONLY_AIPERF = {"telemetry_data"}
ONLY_OURS = {"generator", "images_returned", "images_decoded", "image_throughput", "image_latency",
             "image_file_size", "num_images_returned", "num_images_decoded", "response_time",
             "service_time", "send_lag", "late_request_count", "unsent_request_count",
             "percentile_intervals", "megapixel_throughput", "response_byte_throughput",
             "server_queue_time",
             "server_text_encoding_time", "server_denoising_time", "server_vae_time",
             "server_image_coding_time", "server_other_time", "server_total_time",
             "unexplained_time", "denoising_step_time", "denoising_step_throughput",
             "inference_time", "peak_memory_mb", "request_cancellation_count", "client_load", "physics"}
OUR_CSV = {"Images Returned (images)", "Images Decoded (images)", "Image Throughput (images/sec)",
           "Image Latency (ms/image)", "Image File Size (KB)",
           "Images Returned per Request (images)", "Images Decoded per Request (images)",
           "Response Time (from due) (ms)", "Service Time (from send) (ms)", "Send Lag (ms)",
           "Late Requests", "Unsent Requests", "Megapixel Throughput (MP/sec)",
           "Response Throughput (MB/sec)", "Queue (ms)",
           "Text Encoding (ms)", "Denoising (ms)", "VAE (ms)", "Image Coding (ms)", "Other (ms)",
           "Total in the Server (ms)", "Unexplained (ms)", "Denoising Step (ms)",
           "Denoising Step Throughput (steps/sec)", "Inference Time (sec)",
           "Peak Memory of the Server (MB)", "Requests Canceled on Purpose"}
# AIPerf has them for a warm-up too, which follows no schedule.
SCHEDULE_LAG = {"replay_sched_lag_p50", "replay_sched_lag_p90", "replay_sched_lag_p99",
                "replay_sched_degraded"}
# Values of a request that do not depend on time.
EXACT = {"input_sequence_length", "error_isl", "http_req_data_sent", "output_sequence_length",
         "http_req_data_received"}
OUR_METADATA = {"http_status"}
OUR_METADATA_ON_ERRORS = OUR_METADATA | {"request_ack_ns"}  # AIPerf drops it when a request fails


def same_keys(theirs, ours, only_theirs=frozenset(), only_ours=frozenset(), where=""):
    assert set(theirs) - set(only_theirs) == set(ours) - set(only_ours), where


def compare_metric(theirs, ours, where):
    assert list(theirs) == list(ours), where
    assert theirs["unit"] == ours["unit"], where


def compare_json(theirs, ours, same_lengths):
    same_keys(theirs, ours, ONLY_AIPERF, ONLY_OURS, "summary")
    for key, value in theirs.items():
        if is_metric(value):
            compare_metric(value, ours[key], key)
    fixed = [k for k in theirs if k not in ONLY_AIPERF and not is_metric(theirs[k])]
    assert fixed == [k for k in ours if k not in ONLY_OURS and not is_metric(ours[k])]
    first = [k for k in list(theirs)[: list(theirs).index("input_config")] if is_metric(theirs[k])]
    assert first == [k for k in list(ours)[: list(ours).index("input_config")]
                     if is_metric(ours[k])]
    a, b = theirs["input_config"], ours["input_config"]
    for key in "models", "endpoint", "datasets", "phases", "slos":
        assert a.get(key) == b.get(key), key
    assert a["artifacts"].get("raw") == b["artifacts"].get("raw")
    assert a["tokenizer"] == b["tokenizer"]
    assert set(theirs["run_info"]) == set(ours["run_info"])
    command = ours["run_info"]["cli_command"].replace("fluxperf", "aiperf", 1)
    assert theirs["run_info"]["cli_command"].replace(" --ui None", "") == command
    counts = ["request_count", "error_request_count", "completed_request_count"]
    for key in counts + (["total_isl", "total_error_isl"] if same_lengths else []):
        assert theirs.get(key) == ours.get(key)


def compare_csv(theirs, ours):
    for left, right in zip(theirs, ours):
        same_keys(left, right, only_ours=OUR_CSV, where="csv")
    for name, row in theirs[0].items():
        assert list(row) == list(ours[0][name])
        if "error-adjusted" in name:
            continue  # which percentiles are finite follows from the order of the latencies
        assert [bool(cell) for cell in row.values()] == [bool(c) for c in ours[0][name].values()]


def by_request(lines):
    """In the order of sending: AIPerf's processes may write them in another one."""
    return sorted(lines, key=lambda line: (line["metadata"]["phase_index"],
                                           line["metadata"]["session_num"]))


def compare_lines(theirs, ours, exact=EXACT):
    """exact: metrics that must be equal."""
    assert len(theirs) == len(ours)
    for left, right in zip(by_request(theirs), by_request(ours)):
        failed = "error" in left
        same_keys(left, right, only_ours={"images"}, where="line")
        same_keys(left["metadata"], right["metadata"],
                  only_ours=OUR_METADATA_ON_ERRORS if failed else OUR_METADATA,
                  where="metadata")
        same_keys(left["metrics"], right["metrics"], only_ours=ONLY_OURS, where="metrics")
        for tag, entry in left["metrics"].items():
            assert entry["unit"] == right["metrics"][tag]["unit"]
            if tag in exact:
                assert entry == right["metrics"][tag], tag
        for key, value in left["metadata"].items():
            assert type(value) is type(right["metadata"][key]), key
        assert left.get("error") == right.get("error")


def compare_raw(theirs, ours, same_pictures=True):
    assert len(theirs) == len(ours)
    clean = dict if same_pictures else without_picture
    for left, right in zip(by_request(theirs), by_request(ours)):
        same_keys(left, right, where="raw")
        assert list(left["request_headers"]) == list(right["request_headers"])
        assert clean(left["payload"]) == clean(right["payload"])
        assert left.get("status") == right.get("status")
        assert [set(r) for r in left["responses"]] == [set(r) for r in right["responses"]]
        assert [r["content_type"] for r in left["responses"]] == [
            r["content_type"] for r in right["responses"]]
        assert left.get("error") == right.get("error")


def without_picture(payload):
    return {**payload, "image": {**payload["image"], "b64_data": ""}} if "image" in payload else payload


def without_prompt(payload):
    return {**payload, "prompt": ""}


def compare_inputs(theirs, ours, *clean):
    """clean: functions that take out of a payload what may differ."""
    sides = []
    for side in theirs, ours:
        payloads = [entry["payloads"] for entry in side["data"]]
        for change in clean:
            payloads = [[change(p) for p in entry] for entry in payloads]
        sides.append([[list(p.items()) for p in entry] for entry in payloads])
    assert sides[0] == sides[1]
    assert set(theirs["data"][0]) == set(ours["data"][0])


def compare_phases(theirs, ours):
    """The summaries of the phases, where there are several."""
    assert theirs.path("phase_manifest.json").exists() == ours.path("phase_manifest.json").exists()
    if not theirs.path("phase_manifest.json").exists():
        return
    same_keys(theirs.json()["warmup_metrics"], ours.json()["warmup_metrics"], SCHEDULE_LAG,
              ONLY_OURS, where="warmup")
    left, right = (run.json("phase_manifest.json")["phases"] for run in (theirs, ours))
    assert [list(p) for p in left] == [list(p) for p in right]
    for key in "metrics_csv", "metrics_json", "phase_kind", "total_request_count":
        assert [p[key] for p in left] == [p[key] for p in right]


def compare_slices(theirs, ours):
    name = "profile_export_aiperf_timeslices"
    assert theirs.path(f"{name}.json").exists() == ours.path(f"{name}.json").exists()
    if not theirs.path(f"{name}.json").exists():
        return
    left, right = theirs.json(f"{name}.json"), ours.json(f"{name}.json")
    assert set(left) == set(right)
    same_keys(left["timeslices"][0], right["timeslices"][0], only_ours=ONLY_OURS, where="slice")
    heads = [run.path(f"{name}.csv").read_bytes().split(b"\r\n")[0] for run in (theirs, ours)]
    assert heads[0] == heads[1]


def compare_runs(theirs, ours, same_prompts=True, same_pictures=True, exact=EXACT, lines=True):
    compare_json(theirs.json(), ours.json(), "input_sequence_length" in exact)
    for run in theirs, ours:
        assert run.json()["input_config"]["artifacts"]["dir"] == str(run.folder.resolve())
    compare_csv(theirs.csv(), ours.csv())
    clean = [] if same_prompts else [without_prompt]
    clean += [] if same_pictures else [without_picture]
    if theirs.path("inputs.json").exists():  # AIPerf writes none for traces
        compare_inputs(theirs.json("inputs.json"), ours.json("inputs.json"), *clean)
    compare_phases(theirs, ours)
    compare_slices(theirs, ours)
    assert theirs.path("profile_export.jsonl").exists() == lines
    assert ours.path("profile_export.jsonl").exists() == lines
    if lines:
        compare_lines(theirs.lines(), ours.lines(), exact)


# ---- statistics from the record lines -----------------------------------------------------------

PERCENTILES = 1, 5, 10, 25, 50, 75, 90, 95, 99


def percentile(values, rank):
    at = rank / 100 * (len(values) - 1)
    low = int(at)
    return values[low] + (at - low) * (values[min(low + 1, len(values) - 1)] - values[low])


def statistics(values):
    values = sorted(values)
    n, total = len(values), sum(values)
    mean = total / n
    return {"avg": mean, "sum": total, "count": n, "min": values[0], "max": values[-1],
            "std": math.sqrt(sum((v - mean) ** 2 for v in values) / n),
            **{f"p{rank}": percentile(values, rank) for rank in PERCENTILES}}


def check_statistics(run):
    """Every distribution and count of the summary, again from the lines of the measurement."""
    lines = [x for x in run.lines() if x["metadata"]["phase_kind"] == "profiling"]
    lines = [x for x in lines if "still in flight" not in x.get("error", {}).get("message", "")]
    good = [x for x in lines if "error" not in x]
    summary = run.json()
    values = {}
    for line in lines:
        for tag, entry in line["metrics"].items():
            values.setdefault(tag, []).append(entry["value"])
    n_checked = 0
    for tag, found in values.items():
        if "p50" not in summary.get(tag, {}):
            continue  # good_request_count is a sum
        expected = statistics(found)
        for name, value in expected.items():
            assert summary[tag][name] == pytest.approx(value, rel=1e-9, abs=1e-7), (tag, name)
        n_checked += 1
    assert n_checked >= 16 or not good
    counts = {"request_count": len(good), "error_request_count": len(lines) - len(good) or None,
              "completed_request_count": len(lines),
              "request_error_rate": 100 * (len(lines) - len(good)) / len(lines),
              "total_isl": sum(values.get("input_sequence_length", [])),
              "total_error_isl": sum(values.get("error_isl", [])) or None}
    if "good_request_count" in summary:
        counts["good_request_count"] = sum(values["good_request_count"])
        counts["good_request_fraction"] = counts["good_request_count"] / len(lines)
    for tag, value in counts.items():
        assert summary.get(tag, {}).get("avg") == (value if value is None
                                                   else pytest.approx(value)), tag
    start, end = (datetime.datetime.fromisoformat(summary[k]) for k in ("start_time", "end_time"))
    window_s = (end - start).total_seconds()
    assert summary["request_throughput"]["avg"] == pytest.approx(len(good) / window_s, rel=0.02)
    times = [(x["metadata"]["request_start_ns"], x["metadata"]["request_start_ns"]
              + x["metrics"]["request_latency"]["value"] * 1e6) for x in good]
    duration_s = (max(t[1] for t in times) - min(t[0] for t in times)) / 1e9
    assert summary["benchmark_duration"]["avg"] == pytest.approx(duration_s, abs=1e-3)
