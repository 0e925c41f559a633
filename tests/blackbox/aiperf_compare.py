"""Comparing what fluxperf and AIPerf leave behind for the same command."""

from client_run import is_metric

# What only one of the tools collects. AIPerf: GPU and server telemetry. fluxperf: pictures.
ONLY_AIPERF = {"telemetry_data"}
ONLY_OURS = {"generator", "images_returned", "images_decoded", "image_throughput", "image_latency",
             "image_file_size", "num_images_returned", "num_images_decoded", "response_time",
             "service_time", "send_lag", "late_request_count", "unsent_request_count",
             "percentile_intervals", "megapixel_throughput", "server_queue_time",
             "server_text_encoding_time", "server_denoising_time", "server_vae_time",
             "server_image_coding_time", "server_other_time", "server_total_time",
             "unexplained_time", "denoising_step_time", "denoising_step_throughput",
             "inference_time", "peak_memory_mb", "request_cancellation_count", "client_load", "physics"}
OUR_CSV = {"Images Returned (images)", "Images Decoded (images)", "Image Throughput (images/sec)",
           "Image Latency (ms/image)", "Image File Size (KB)",
           "Images Returned per Request (images)", "Images Decoded per Request (images)",
           "Response Time (from due) (ms)", "Service Time (from send) (ms)", "Send Lag (ms)",
           "Late Requests", "Unsent Requests", "Megapixel Throughput (MP/sec)", "Queue (ms)",
           "Text Encoding (ms)", "Denoising (ms)", "VAE (ms)", "Image Coding (ms)", "Other (ms)",
           "Total in the Server (ms)", "Unexplained (ms)", "Denoising Step (ms)",
           "Denoising Step Throughput (steps/sec)", "Inference Time (sec)",
           "Peak Memory of the Server (MB)", "Requests Canceled on Purpose"}
# Values of a request that do not depend on time.
EXACT = {"input_sequence_length", "error_isl", "http_req_data_sent", "output_sequence_length"}
OUR_METADATA_ON_ERRORS = {"request_ack_ns"}  # AIPerf drops it when a request fails


def same_keys(theirs, ours, only_theirs=frozenset(), only_ours=frozenset(), where=""):
    assert set(theirs) - set(only_theirs) == set(ours) - set(only_ours), where


def compare_metric(theirs, ours, where):
    assert list(theirs) == list(ours), where
    assert theirs["unit"] == ours["unit"], where


def compare_json(theirs, ours, same_prompts):
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
    assert a["artifacts"]["dir"].replace("/aiperf/", "/fluxperf/") == b["artifacts"]["dir"]
    assert a["artifacts"].get("raw") == b["artifacts"].get("raw")
    assert a["tokenizer"] == b["tokenizer"]
    assert set(theirs["run_info"]) == set(ours["run_info"])
    command = ours["run_info"]["cli_command"].replace("fluxperf", "aiperf", 1)
    assert theirs["run_info"]["cli_command"].replace(" --ui None", "") == command
    counts = ["request_count", "error_request_count", "completed_request_count"]
    for key in counts + (["total_isl", "total_error_isl"] if same_prompts else []):
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


def compare_lines(theirs, ours, same_sizes=True):
    assert len(theirs) == len(ours)
    for left, right in zip(by_request(theirs), by_request(ours)):
        failed = "error" in left
        same_keys(left, right, only_ours={"images"}, where="line")
        same_keys(left["metadata"], right["metadata"],
                  only_ours=OUR_METADATA_ON_ERRORS if failed else (), where="metadata")
        same_keys(left["metrics"], right["metrics"], only_ours=ONLY_OURS, where="metrics")
        for tag, entry in left["metrics"].items():
            assert entry["unit"] == right["metrics"][tag]["unit"]
            if tag in EXACT or (same_sizes and tag == "http_req_data_received"):
                assert entry == right["metrics"][tag]
        for key, value in left["metadata"].items():
            assert type(value) is type(right["metadata"][key]), key
        assert left.get("error") == right.get("error")


def compare_raw(theirs, ours):
    assert len(theirs) == len(ours)
    for left, right in zip(by_request(theirs), by_request(ours)):
        same_keys(left, right, where="raw")
        assert list(left["request_headers"]) == list(right["request_headers"])
        assert left["payload"] == right["payload"] and left.get("status") == right.get("status")
        assert [set(r) for r in left["responses"]] == [set(r) for r in right["responses"]]
        assert [r["content_type"] for r in left["responses"]] == [
            r["content_type"] for r in right["responses"]]
        assert left.get("error") == right.get("error")


def compare_inputs(theirs, ours):
    assert [entry["payloads"] for entry in theirs["data"]] == [
        entry["payloads"] for entry in ours["data"]]
    assert set(theirs["data"][0]) == set(ours["data"][0])


def compare_runs(theirs, ours, same_prompts=True, same_sizes=True):
    compare_json(theirs.json(), ours.json(), same_prompts)
    compare_csv(theirs.csv(), ours.csv())
    if same_prompts:
        compare_lines(theirs.lines(), ours.lines(), same_sizes)
        compare_inputs(theirs.json("inputs.json"), ours.json("inputs.json"))
