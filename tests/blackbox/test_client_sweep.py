"""`fluxperf sweep`: the grid that is sent, and the files that show it."""

import csv
import io
import re

import pytest

from chromium import Page, needs_chromium
from client_run import MODEL, fluxperf
from fake_server import Answer, FakeServer


def sweep(url, cwd, *args, **kwargs):
    return fluxperf("sweep", "--model", MODEL, "--url", url, "--artifact-dir", "out", "--isl", "5",
                    *args, cwd=cwd, folder="out", **kwargs)


def rows_of(run):
    return list(csv.DictReader(io.StringIO(run.path("sweep.csv").read_text())))


def test_every_combination_is_sent_and_shown(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.01)) as server:
        run = sweep(server.url, tmp_path, "--over", "concurrency=1,3", "--over",
                    "size=64x64,128x64", "--over", "steps=2", "--request-count", "3",
                    "--extra-inputs", "size:8x8", "--extra-inputs", "quality:standard")
        bodies = [r.json() for r in server.requests]
    assert run.code == 0, run.err
    assert [b["size"] for b in bodies] == (["64x64"] * 3 + ["128x64"] * 3) * 2
    assert all(b["num_inference_steps"] == 2 and b["quality"] == "standard" for b in bodies)
    # one seed; three at once may arrive in any order
    assert {b["prompt"] for b in bodies[:3]} == {b["prompt"] for b in bodies[9:]}
    assert "size is no option of profile" in run.err and "concurrency is no" not in run.err
    result = run.json("sweep.json")
    assert result["is_complete"] and result["points_made"] == result["points_wanted"] == 4
    assert result["over"][0] == {"name": "concurrency", "option": "--concurrency",
                                 "values": ["1", "3"]}
    assert result["over"][2]["field"] == "num_inference_steps"
    assert [p["values"] for p in result["points"]] == [
        {"concurrency": c, "size": s, "steps": "2"} for c in "13" for s in ("64x64", "128x64")]
    assert result["command"].startswith("fluxperf sweep --over 'concurrency=1,3'")
    rows = rows_of(run)
    for i, (point, row) in enumerate(zip(result["points"], rows)):
        summary = run.json(f"run_{i + 1:04}/profile_export_aiperf.json")
        assert summary["input_config"]["phases"]
        p95 = summary["response_time"]["p95"]
        assert point["metrics"]["response_time"]["p95"] == p95
        assert float(row["response_time_p95"]) == pytest.approx(p95)
        assert row["run"] == f"run_{i + 1:04}" and row["successful_requests"] == "3"
        assert (row["concurrency"], row["size"]) == (point["values"]["concurrency"],
                                                     point["values"]["size"])
    assert len(rows) == 4
    table = [line for line in run.out.splitlines() if line.startswith("│")]
    assert len(table) == 4 and "128x64" in table[3]


def test_page_stands_alone(tmp_path):
    with FakeServer() as server:
        run = sweep(server.url, tmp_path, "--over", "request-rate=40,10,20", "--over",
                    "quality=<b>&x,hd", "--request-count", "8", "--header", "X-Auth-Token:veiled")
    page = run.path("sweep.html").read_text()
    assert run.code == 0, run.err
    assert "<script" not in page and "http-equiv=\"Content-Security-Policy\"" in page
    assert "<b>&x" not in page and "&lt;b&gt;&amp;x" in page and "veiled" not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    # x is the rate in ascending order, whatever order it was made in: lines go to the right
    for path in re.findall(r"<path class=\"line s0\" d=\"(M[^\"]*L[^\"]*)\"", page):
        xs = [float(p.split()[0]) for p in re.split("[ML]", path)[1:]]
        assert len(xs) == 3 and xs == sorted(xs)


@needs_chromium
def test_page_is_drawn_without_error_or_request(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.005)) as server:
        run = sweep(server.url, tmp_path, "--over", "size=64x64,128x128,256x256", "--request-count",
                    "6")
    url = f"file://{run.path('sweep.html')}"
    with Page(tmp_path) as page:
        page.open(url)
        assert page.problems == [] and page.requests == [url]
        names = page.evaluate("[...document.querySelectorAll('.card b')].map(b => b.textContent)")
        assert names == ["Response time, median", "Response time, 95 % are below",
                         "Requests answered", "Images", "Requests in flight, mean"]
        ticks = page.evaluate("[...document.querySelector('svg').querySelectorAll('.tick')]"
                              ".map(t => t.textContent)")
        assert ticks[:3] == ["64x64", "128x128", "256x256"]  # names, not numbers
        page.use_width(390)
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_point_that_fails_is_a_result(tmp_path):
    def script(i, r):
        return Answer(b"too large", "400 Bad Request") if r.json()["n"] == 9 else Answer()
    with FakeServer(script) as server:
        run = sweep(server.url, tmp_path, "--over", "n=9,1", "--request-count", "2")
    assert run.code == 1
    points = run.json("sweep.json")["points"]
    assert [p["failed_requests"] for p in points] == [2, 0]
    assert points[0]["failure"] == "Bad Request: too large" and run.json("sweep.json")["is_complete"]
    assert [row["request_error_rate"] for row in rows_of(run)] == ["100", "0"]
    assert "Failed requests" in run.path("sweep.html").read_text()


def test_server_that_goes_away_ends_the_sweep(tmp_path):
    with FakeServer() as server:
        def script(i, r):
            if i == 1:
                server.stop()
            return Answer()
        server.script = script
        run = sweep(server.url, tmp_path, "--over", "concurrency=1,2,3,4", "--request-count", "1")
    assert run.code == 1 and "the server could not be reached in run 3" in run.err
    result = run.json("sweep.json")
    assert not result["is_complete"] and result["points_made"] == 2
    assert "incomplete: the server could not be reached" in run.path("sweep.html").read_text()


@pytest.mark.parametrize("args, text", [
    ([], "--over is required"),
    (["--over", "concurrency"], "--over 'concurrency': must be NAME=V1,V2,..."),
    (["--over", "concurrency=1,0"], "--concurrency is '0'"),
    (["--over", "concurrency=1,2", "--over", "request-count=1,x"], "--request-count is 'x'"),
    (["--over", "concurrency=1,2", "--concurrency", "3"],
     "--concurrency is given and varied by --over too"),
    (["--over", "arrival-pattern=poisson,constant"], "--arrival-pattern: needs --request-rate"),
    (["--over", "goodput=request_latency:1,nonsense:1"], "nonsense"),
    (["--over", "steps=" + ",".join(map(str, range(1001)))], "more than 1000 points"),
    (["--over", "n=1", "5"], "unexpected argument '5'")])
def test_bad_values_are_refused_before_the_first_run(tmp_path, args, text):
    with FakeServer() as server:
        run = sweep(server.url, tmp_path, *args)
        assert not server.requests
    assert run.code == 2 and text in run.err, run.err
