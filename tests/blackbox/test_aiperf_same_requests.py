"""AIPerf and fluxperf run the same commands against the same scripted server: equal requests on the
wire, equal fields in all files. AIPerf takes 10 to 20 seconds for a run."""

import json
import os

import pytest

from aiperf_compare import ONLY_OURS, compare_raw, compare_runs, same_keys
from client_run import aiperf, base_args, file_args, find_aiperf, fluxperf
from fake_server import Answer, FakeServer, PNG, images
from hub_cache import make_hub_cache

pytestmark = [
    pytest.mark.skipif(not find_aiperf(), reason="aiperf is not installed"),
    pytest.mark.skipif(bool(os.environ.get("FLUXBENCH_SANITIZE")),
                       reason="the same code runs in the other client tests"),
]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    return make_hub_cache(tmp_path_factory.mktemp("hub"))


def run_both(tmp_path, hub, script, *args, folder):
    """Each tool against a fresh server; returns [(run, requests as sent)]."""
    results = []
    for name, tool in ("aiperf", aiperf), ("fluxperf", fluxperf):
        cwd = tmp_path / name
        cwd.mkdir()
        kwargs = {"hub": hub} if name == "aiperf" else {}
        with FakeServer(script) as server:
            run = tool(*base_args(server.url), *file_args(cwd), *args, cwd=cwd, folder=folder,
                       timeout=180, **kwargs)
            results.append((run, server))
    return results


def in_one_line(server):
    """Requests without what differs from one to the next."""
    volatile = ("X-Request-ID", "X-Correlation-ID", "X-Session-Affinity", "User-Agent", "Host")
    return [(r.method, r.path, r.version, [(n, "" if n in volatile else v) for n, v in r.headers],
             r.body) for r in server.requests]




ODD_EXTRA = ["n:2", "guidance_scale:3.50", "num_inference_steps:020", "seed:-7", "flag:True",
             "nil:null", "e:1e5", "half:.5", "big:18446744073709551615", "minus:-0", "z:0",
             '{"user":"u1","nested":{"a":[1, 2.50, "x", 1.0], "b":{}},"num":"5","scale":3.0}',
             "style:vivid,background:opaque", "prompt:replaced"]


def test_odd_extra_inputs_and_failures(tmp_path, hub):
    def script(i, request):
        failure = b'{"error":{"message":"injected failure","type":"server_error"}}'
        if i % 3 == 2:
            return Answer(failure, "503 Service Unavailable")
        usage = {"prompt_tokens": 9, "total_tokens": 9, "input_tokens": 7, "output_tokens": 0}
        return Answer(json.dumps({**json.loads(images(PNG)), "usage": usage}).encode())

    extra = [word for value in ODD_EXTRA for word in ("--extra-inputs", value)]
    folder = "out"
    (theirs, a), (ours, b) = run_both(
        tmp_path, hub, script, *extra, "--header", "X-Test:yes", "--api-key", "key",
        "--no-gpu-telemetry", "--request-count", "6", "--export-level", "raw", "--artifact-dir",
        "out", folder=folder)
    assert theirs.code == 0 and ours.code == 1  # any failure fails a run of ours
    assert in_one_line(a) == in_one_line(b)
    compare_files(theirs, ours, a, b)
    compare_raw(theirs.lines("profile_export_raw.jsonl"), ours.lines("profile_export_raw.jsonl"))


def compare_files(theirs, ours, a, b):
    """As compare_runs, with the two servers' addresses made one."""
    for path in ours.folder.rglob("*.json*"):
        path.write_text(path.read_text().replace(b.url, a.url))
    compare_runs(theirs, ours)


def test_rate_warmup_slices_and_goodput(tmp_path, hub):
    folder = "artifacts/black-forest-labs_FLUX.1-dev-openai-image_generation-concurrency8-request_rate20.0"
    (theirs, a), (ours, b) = run_both(
        tmp_path, hub, lambda i, r: Answer(delay=0.01), "--no-gpu-telemetry", "--request-rate",
        "20", "--request-rate-ramp-duration", "0.3", "--concurrency", "8",
        "--concurrency-ramp-duration", "0.2", "--arrival-pattern", "poisson", "--random-seed", "3", "--request-count", "12",
        "--slice-duration", "0.25", "--goodput", "request_latency:250", "--warmup-request-count",
        "2", folder=folder)
    assert theirs.code == 0 and ours.code == 0, ours.err
    # in an open loop requests overtake each other on their way
    assert sorted(in_one_line(a), key=repr) == sorted(in_one_line(b), key=repr)
    compare_files(theirs, ours, a, b)
    assert theirs.json("inputs.json") == ours.json("inputs.json")
    same_keys(theirs.json()["warmup_metrics"], ours.json()["warmup_metrics"],
              only_ours=ONLY_OURS, where="warmup")
    left, right = theirs.json("phase_manifest.json"), ours.json("phase_manifest.json")
    assert [list(p) for p in left["phases"]] == [list(p) for p in right["phases"]]
    for key in "metrics_csv", "metrics_json", "phase_kind", "total_request_count":
        assert [p[key] for p in left["phases"]] == [p[key] for p in right["phases"]]
    name = "profile_export_aiperf_timeslices"
    left, right = theirs.json(f"{name}.json"), ours.json(f"{name}.json")
    assert set(left) == set(right)
    same_keys(left["timeslices"][0], right["timeslices"][0],
              only_ours=ONLY_OURS, where="slice")
    heads = [run.path(f"{name}.csv").read_bytes().split(b"\r\n")[0] for run in (theirs, ours)]
    assert heads[0] == heads[1]
