"""`fluxperf ab` of real processes against the truth: servers of known delays, equal ones and one that
is 3 % slower. FLUXBENCH_AB_SCALE=20 makes every run so many times longer (see docs/runs.md).

What is asserted holds on any machine, also a busy one: noise makes the least change that can be
detected large, and then a comparison may be inconclusive but not wrong."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from client_run import MODEL, fluxperf
from fake_server import Answer, FakeServer

LOOPBACK = Path(os.environ.get("FLUXBENCH_BUILD", "build/release")) / "bench" / "bench_loopback"
SCALE = int(os.environ.get("FLUXBENCH_AB_SCALE", "1"))
SLOWDOWN = 1.03
SURELY = 0.5  # of the planted change: what can be detected in 4 of 5 cases at half is never missed


class Loopback:
    """A process that answers after a delay."""

    def __init__(self, delay_ms):
        self.process = subprocess.Popen([LOOPBACK, str(delay_ms)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


needs_loopback = pytest.mark.skipif(not LOOPBACK.exists(), reason=f"{LOOPBACK} is not built")


def compared(cwd, a, b, n_requests, *args, runs=4):
    """The verdict on the pair and its least detectable change."""
    run = fluxperf("ab", "--a", a, "--b", b, "--model", MODEL, "--artifact-dir", "out", "--isl", "5",
                   "--runs", str(runs), "--request-count", str(n_requests * SCALE),
                   "--no-calibration", "--no-gpu-telemetry", "--no-server-metrics",
                   "--export-level", "records", "--format", "json", "--log-level", "warning", *args,
                   cwd=cwd, folder="out", timeout=60 + 60 * SCALE)
    found = json.loads(run.out)
    metric = found["metrics"][0]
    assert run.code == {"pass": 0, "improved": 0, "regressed": 3,
                        "inconclusive": 4}[found["verdict"]], run.err
    return found["verdict"], metric["minimum_detectable_effect"], metric["ratio"]


def count_alarms(cwd, a, b):
    verdicts = [compared(cwd, a, b, 10)[0] for _ in range(20)]
    return sum(verdict in ("regressed", "improved") for verdict in verdicts)


@needs_loopback
def test_equal_servers_raise_at_most_one_alarm_in_twenty(tmp_path):
    # The rank test alone allows an alarm in 1 of 35 comparisons whatever the noise, hence two in
    # twenty once in nine times at worst: then a second twenty decides.
    with Loopback(2) as a, Loopback(2) as b:
        n_alarms = count_alarms(tmp_path, a.url, b.url)
        assert n_alarms <= 1 or count_alarms(tmp_path, a.url, b.url) <= 1


@needs_loopback
def test_a_slowdown_of_3_percent_is_caught_when_it_can_be_detected(tmp_path):
    with Loopback(10) as a, Loopback(10 * SLOWDOWN) as b:
        for _ in range(3):
            verdict, detectable, ratio = compared(tmp_path, a.url, b.url, 10, "--tolerance", "0%",
                                                  runs=5)
            if detectable < SURELY * (SLOWDOWN - 1):
                assert verdict == "regressed" and 1 < ratio < 1 + 2 * (SLOWDOWN - 1)


def test_a_slowdown_below_the_noise_is_inconclusive(tmp_path):
    # delays between 2 and 14 ms: medians of 10 differ by far more than 3 %
    def noisy(seed, factor):
        stream = random.Random(seed)
        return lambda i, request: Answer(delay=factor * stream.uniform(0.002, 0.014))

    verdicts = []
    with FakeServer(noisy(1, 1)) as a, FakeServer(noisy(2, SLOWDOWN)) as b:
        for _ in range(5):
            verdict, detectable, _ = compared(tmp_path, a.url, b.url, 10, "--tolerance", "0%")
            assert detectable > (SLOWDOWN - 1) or SCALE > 1
            verdicts.append(verdict)
    # a rank test of 4 against 4 runs agrees by chance once in 35 times
    assert verdicts.count("inconclusive") >= 3 or SCALE > 1
