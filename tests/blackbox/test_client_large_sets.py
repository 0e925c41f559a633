"""Data sets that are larger than the memory they may take, and files that are read only once."""

import hashlib
import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from client_run import FLUXPERF, MODEL, Run, fluxperf
from fake_server import Answer, FakeServer

N_ROWS = 60000
PADDING = "snow " * 200  # a row is about 1 KB, the file 60 MB
MOST_MIB = 40            # of the process: less than the file
ARGS = ["profile", "--model", MODEL, "--input-file", "rows.jsonl", "--tokenizer", "none",
        "--artifact-dir", "out", "--no-calibration", "--random-seed", "1", "--ui", "none"]
IS_SANITIZED = os.environ.get("FLUXBENCH_SANITIZE", "") not in ("", "OFF")


def text_of(i):
    return f"{i} {PADDING}"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    with open(folder / "rows.jsonl", "w") as file:
        for i in range(N_ROWS):
            file.write(json.dumps({"text": text_of(i)}) + "\n")
    return folder


def run_measured(cwd, *args):
    """The run and its peak resident memory in MiB, as the system tells it while it runs. (What it
    tells afterwards counts this program before the other one took its place.)"""
    peak_kb, name = 0, Path(FLUXPERF).name
    with open(cwd / "stdout", "w+") as out, open(cwd / "stderr", "w+") as err:
        process = subprocess.Popen([os.path.abspath(FLUXPERF), *ARGS, *args], cwd=cwd, stdout=out,
                                   stderr=err)
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            found = re.search(r"VmHWM:\s+(\d+)", status)
            if found and status.startswith(f"Name:\t{name}\n"):
                peak_kb = max(peak_kb, int(found[1]))
            time.sleep(0.005)
    process.stdout, process.stderr = (cwd / "stdout").read_text(), (cwd / "stderr").read_text()
    return Run(process, cwd, "out"), peak_kb / 1024


def numbers(server):
    return [int(request.json()["prompt"].split()[0]) for request in server.requests]


@pytest.mark.parametrize("how", ["sequential", "random", "shuffle"])
def test_rows_are_read_when_they_are_due(large, how):
    with FakeServer() as server:
        run, peak_mib = run_measured(large, "--url", server.url, "--request-count", "300",
                                     "--dataset-sampling-strategy", how)
    assert run.code == 0, run.err
    assert all(request.json()["prompt"] == text_of(i)
               for request, i in zip(server.requests, numbers(server)))
    if how == "sequential":
        assert numbers(server) == list(range(300))
    else:
        assert max(numbers(server)) > N_ROWS // 2
    if how == "shuffle":
        assert len(set(numbers(server))) == 300
    assert 1 < peak_mib < MOST_MIB or IS_SANITIZED
    assert os.listdir(large / "out") and not [f for f in os.listdir(large) if f.startswith(".kept")]


def test_inputs_and_hash_are_those_of_all_rows(large):
    with FakeServer() as server:
        run, _ = run_measured(large, "--url", server.url, "--request-count", "1")
    assert run.code == 0, run.err
    entries = run.json("inputs.json")["data"]
    assert [entry["session_id"] for entry in entries[:2]] == ["session_000000", "session_000001"]
    assert [entry["payloads"][0]["prompt"] for entry in entries] == [
        text_of(i) for i in range(N_ROWS)]
    whole = hashlib.sha256()
    for entry in entries:
        body = json.dumps(entry["payloads"][0], separators=(",", ":")).encode()
        whole.update(hashlib.sha256(body).digest())
    assert run.json("run_manifest.json")["data_set"] == {"entries": N_ROWS,
                                                         "sha256": whole.hexdigest()}


def test_a_large_pool_is_drawn_from(large):
    with FakeServer() as server:
        run, peak_mib = run_measured(large, "--url", server.url, "--num-prompts", "20",
                                     "--request-count", "20", "--custom-dataset-type",
                                     "random_pool")
    assert run.code == 0, run.err
    assert len(set(numbers(server))) > 15 and max(numbers(server)) > N_ROWS // 2
    assert 1 < peak_mib < MOST_MIB or IS_SANITIZED


def test_a_bad_row_far_behind_is_named_before_anything_is_sent(large, tmp_path):
    with open(large / "rows.jsonl") as file, open(tmp_path / "rows.jsonl", "w") as bad:
        for i, line in enumerate(file):
            bad.write('{"txt": "b"}\n' if i == N_ROWS - 5 else line)
    with FakeServer() as server:
        run, _ = run_measured(tmp_path, "--url", server.url)
        assert run.code == 2 and f"rows.jsonl:{N_ROWS - 4}: unknown field 'txt'" in run.err, run.err
        assert not server.requests
    assert not (tmp_path / "out").exists()


def test_a_file_that_changes_during_the_run_does_not_change_it(tmp_path):
    texts = [f"prompt {i}" for i in range(6)]
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))

    def script(i, request):
        rows.write_text("nonsense\n")
        return Answer()

    with FakeServer(script) as server:
        run = fluxperf(*ARGS, "--url", server.url, "--request-count", "6", cwd=tmp_path,
                       folder="out")
    assert run.code == 0, run.err
    assert [request.json()["prompt"] for request in server.requests] == texts


@pytest.mark.parametrize("kind", ["single_turn", "random_pool"])
def test_rows_may_come_from_a_pipe(tmp_path, kind):
    rows = "".join(json.dumps({"text": f"prompt {i}"}) + "\n" for i in range(5))
    args = [arg if arg != "rows.jsonl" else "/dev/stdin" for arg in ARGS]
    with FakeServer() as server:
        run = fluxperf(*args, "--url", server.url, "--request-count", "5", "--custom-dataset-type",
                       kind, cwd=tmp_path, folder="out", stdin=rows)
    assert run.code == 0, run.err
    sent = [request.json()["prompt"] for request in server.requests]
    assert set(sent) <= {f"prompt {i}" for i in range(5)} and len(sent) == 5
    assert kind == "random_pool" or sent == [f"prompt {i}" for i in range(5)]
