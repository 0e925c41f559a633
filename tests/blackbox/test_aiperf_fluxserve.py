"""The three commands of the tutorial by AIPerf and by fluxperf, both against fluxserve: no errors,
the same fields, and pictures that a script can take out of the raw file."""

import base64
import io
import json
import os

import pytest

from aiperf_compare import EXACT, compare_raw, compare_runs
from client_run import MODEL, aiperf, find_aiperf, fluxperf, tutorial
from hub_cache import make_hub_cache

pytestmark = [
    pytest.mark.skipif(not find_aiperf(), reason="aiperf is not installed"),
    pytest.mark.skipif(bool(os.environ.get("FLUXBENCH_SANITIZE")),
                       reason="18 pictures of 512x512 take too long under a sanitizer"),
]
LENGTHS = ["6.67", "6.00", "7.00", "7.00", "7.00", "7.00", "0.47"]


def table_row(text, name):
    (line,) = [line for line in text.splitlines() if f" {name} " in line]
    return [cell.strip() for cell in line.strip("│").split("│")][1:]


def check_tables(theirs, ours):
    """The rows of the main table are the same, in the same order and with the same format."""
    names = ["Request Latency (ms)", "Output Sequence Length (tokens)",
             "Input Sequence Length (tokens)", "Input Token Throughput (tokens/sec)",
             "Request Throughput (requests/sec)", "Completed Requests (Success + Error)",
             "Request Error Rate (%)", "Request Count (requests)"]
    for run in theirs, ours:
        places = [run.out.index(f" {name} ") for name in names]
        assert places == sorted(places)
    for name in names:
        left, right = table_row(theirs.out, name), table_row(ours.out, name)
        assert [cell == "N/A" for cell in left] == [cell == "N/A" for cell in right]
    for name in "Output Sequence Length (tokens)", "Request Count (requests)":
        assert table_row(theirs.out, name) == table_row(ours.out, name)


def check_images(run):
    Image = pytest.importorskip("PIL.Image")
    for record in run.lines("profile_export_raw.jsonl"):
        data = json.loads(record["responses"][0]["text"])["data"]
        for item in data:
            picture = Image.open(io.BytesIO(base64.b64decode(item["b64_json"])))
            assert picture.size == (512, 512)
            picture.load()


@pytest.mark.parametrize("name", ["file", "synthetic", "raw"])
def test_both_tools_run_the_tutorial(tmp_path, start_server, name):
    server = start_server("--served-model-name", MODEL)
    runs = []
    for tool in "aiperf", "fluxperf":
        cwd = tmp_path / tool
        cwd.mkdir()
        args = tutorial(server.url, cwd)[name]
        if tool == "aiperf":
            runs.append(aiperf(*args, cwd=cwd, hub=make_hub_cache(tmp_path / "hub"), timeout=400))
        else:
            runs.append(fluxperf(*args, cwd=cwd, timeout=400))
        assert runs[-1].code == 0, runs[-1].out + runs[-1].err
    theirs, ours = runs
    assert theirs.json()["error_summary"] == ours.json()["error_summary"] == []
    check_tables(theirs, ours)
    if name == "synthetic":  # the texts differ, being made up
        compare_runs(theirs, ours, same_prompts=False, exact={"output_sequence_length"})
    else:
        assert table_row(ours.out, "Input Sequence Length (tokens)") == LENGTHS
        assert table_row(theirs.out, "Input Sequence Length (tokens)") == LENGTHS
        compare_runs(theirs, ours, exact=EXACT - {"http_req_data_received"})
    assert ours.json()["images_decoded"]["avg"] == 3
    if name == "raw":
        raws = [run.lines("profile_export_raw.jsonl") for run in runs]
        compare_raw(*raws)
        check_images(theirs)
        check_images(ours)
        found = fluxperf("extract-images", cwd=tmp_path / "fluxperf")
        assert found.code == 0 and found.out.count("Extracted: ") == 3
        assert sorted(os.listdir(tmp_path / "fluxperf" / "extracted_images")) == [
            f"image_000{i}_00.png" for i in (1, 2, 3)]
