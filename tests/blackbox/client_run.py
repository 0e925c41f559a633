"""Running the client (and AIPerf) and reading what they leave behind."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

FLUXPERF = os.environ.get("FLUXPERF", "build/release/fluxperf")
MODEL = "black-forest-labs/FLUX.1-dev"
PROMPTS = [
    "A serene mountain landscape at sunset",
    "A futuristic city with flying cars",
    "A cute robot playing with a kitten",
]
RUN_DIR = f"artifacts/{MODEL.replace('/', '_')}-openai-image_generation-concurrency1"


def base_args(url):
    """What the tutorial's three commands have in common."""
    return ["profile", "--model", MODEL, "--tokenizer", "gpt2", "--url", url,
            "--endpoint-type", "image_generation"]


def file_args(cwd):
    write_prompts(cwd)
    return ["--input-file", "image_prompts.jsonl", "--custom-dataset-type", "single_turn"]


EXTRA = ["--extra-inputs", "size:512x512", "--extra-inputs", "quality:standard"]
THREE = ["--concurrency", "1", "--request-count", "3"]


def tutorial(url, cwd):
    """The commands of the tutorial, less the program's name."""
    return {
        "file": base_args(url) + file_args(cwd) + EXTRA + THREE,
        "synthetic": base_args(url)
        + ["--synthetic-input-tokens-mean", "150", "--synthetic-input-tokens-stddev", "30"]
        + EXTRA + THREE,
        "raw": base_args(url) + file_args(cwd) + EXTRA + THREE + ["--export-level", "raw"],
    }


def write_prompts(cwd, texts=PROMPTS):
    lines = [json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts]
    (Path(cwd) / "image_prompts.jsonl").write_text("".join(lines))


def read_csv(path):
    """The two sections of the summary: {name: {column: cell}}, {name: cell}."""
    text = Path(path).read_bytes().decode()
    assert "\r\n" in text and "\n" not in text.replace("\r\n", "")
    first, second = text.split("\r\n\r\n")[:2]
    table = list(csv.reader(io.StringIO(first)))
    rows = {row[0]: dict(zip(table[0][1:], row[1:])) for row in table[1:]}
    pairs = list(csv.reader(io.StringIO(second)))
    assert pairs[0] == ["Metric", "Value"]
    return rows, {row[0]: row[1] for row in pairs[1:] if row}


class Run:
    """A finished process and, read on demand, its artifacts."""

    def __init__(self, process, cwd, folder):
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr
        self.folder = Path(cwd) / folder
        self.prefix = None  # --profile-export-prefix

    def path(self, name):
        if self.prefix and name.startswith("profile_export"):
            tail = name.removeprefix("profile_export").removeprefix("_aiperf")
            name = self.prefix + tail
        return self.folder / name

    def json(self, name="profile_export_aiperf.json"):
        return json.loads(self.path(name).read_text())

    def lines(self, name="profile_export.jsonl"):
        text = self.path(name).read_text()
        return [json.loads(line) for line in text.split("\n") if line]

    def csv(self, name="profile_export_aiperf.csv"):
        return read_csv(self.path(name))


def fluxperf(*args, cwd, timeout=60, folder=RUN_DIR, env=None, stdin=None):
    process = subprocess.run([os.path.abspath(FLUXPERF), *args], cwd=cwd, timeout=timeout,
                             capture_output=True, text=True, input=stdin,
                             env={**os.environ, **(env or {})})
    return Run(process, cwd, folder)


def profile(url, cwd, *args, prompts=PROMPTS, **kwargs):
    """A run of three requests into cwd/out, unless args say otherwise."""
    write_prompts(cwd, prompts)
    return fluxperf("profile", "--model", MODEL, "--url", url, "--input-file",
                    "image_prompts.jsonl", "--artifact-dir", "out", *args, cwd=cwd, folder="out",
                    **kwargs)


def find_aiperf():
    beside = Path(sys.executable).parent / "aiperf"
    return os.environ.get("AIPERF") or (str(beside) if beside.exists() else shutil.which("aiperf"))


def aiperf(*args, cwd, hub, folder=RUN_DIR, timeout=180):
    process = subprocess.run([find_aiperf(), *args, "--ui", "none"], cwd=cwd, timeout=timeout,
                             capture_output=True, text=True, env={**os.environ, **hub})
    return Run(process, cwd, folder)


def is_metric(value):
    return isinstance(value, dict) and "unit" in value
