"""report.html of a run, as a browser and a reader get it, and plot, which draws it again."""

import io
import json
import os
import re

import pytest
from PIL import Image, ImageStat

from chromium import Page, needs_chromium
from client_run import fluxperf, profile
from fake_server import Answer, FakeServer, PNG, images, make_png

HOSTILE = "<script>alert(1)</script><img src=http://127.0.0.1:9/x> & \"quotes\" 'too'"


def page_of(run):
    return run.path("report.html").read_text()


def plot(tmp_path, *args, folder="out"):
    return fluxperf("plot", folder, *args, cwd=tmp_path, folder=folder)


def tables(page):
    """The cells of all tables, by row."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page, re.S)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in rows]


# ---- in a browser ------------------------------------------------------------------------------


@needs_chromium
def test_browser_tells_of_errors_and_requests(tmp_path):
    """What the tests below rely on."""
    (tmp_path / "bad.html").write_text(
        "<img src=other.png><script>console.error('one'); nothing.here()</script>")
    with Page(tmp_path) as page:
        page.open(f"file://{tmp_path}/bad.html")
        assert len(page.problems) >= 2
        assert [url.rsplit("/")[-1] for url in page.requests] == ["bad.html", "other.png"]


@needs_chromium
def test_page_makes_no_request_and_no_error(server, tmp_path):
    run = profile(server.url, tmp_path, "--request-count", "4", "--concurrency", "2",
                  "--extra-inputs", "size:64x64", "--extra-inputs", "num_inference_steps:2",
                  "--telemetry-interval", "0.05", prompts=["a fox", HOSTILE])
    assert run.code == 0, run.err
    url = f"file://{run.path('report.html')}"
    with Page(tmp_path) as page:
        shades = []
        for scheme in ("light", "dark"):
            page.use_scheme(scheme)
            page.open(url)
            picture = Image.open(io.BytesIO(page.screenshot(1200, 800))).convert("L")
            shades.append(ImageStat.Stat(picture).mean[0])
        assert page.problems == []
        assert page.requests == [url, url]
        assert shades[0] > 200 and shades[1] < 60  # light is light, dark is dark
        assert page.evaluate("document.scripts.length") == 0
        assert page.evaluate(
            "[...document.images].map(i => [i.naturalWidth, i.naturalHeight])") == [[64, 64]] * 4
        assert page.evaluate("document.querySelector('.gallery figure:nth-child(2) p')"
                             ".textContent") in (HOSTILE, "a fox")
        names = page.evaluate("[...document.querySelectorAll('.card b')].map(b => b.textContent)")
        assert names[:5] == ["Latency over time", "Distribution", "Cumulative distribution",
                             "Requests in flight and waiting", "Where the time goes"]
        assert "fluxserve_steps_total" in names[5:] and names[-1] == "CPU of the client"
        assert page.evaluate("document.querySelectorAll('svg').length") == len(names)
        lines = page.evaluate("[...document.querySelectorAll('h2 + .charts .line')]"
                              ".map(line => line.getTotalLength())")
        assert len(lines) >= len(names) - 5 and max(lines) > 100
        facts = page.evaluate("[...document.querySelectorAll('.fact > b')].map(b => b.textContent)")
        assert facts == ["Compute", "Client"]
        page.use_width(390)  # a phone: the page fits, wide tables scroll inside
        assert page.evaluate("document.documentElement.scrollWidth") == 390


# ---- what it says ------------------------------------------------------------------------------


def test_page_says_what_the_summary_says(tmp_path):
    def script(i, request):
        return Answer(b"<b>busy</b>", status="503 Busy & gone") if i % 4 == 3 else Answer()

    with FakeServer(script) as server:
        run = profile(server.url, tmp_path, "--request-count", "20", "--export-level", "raw")
    page, summary = page_of(run), run.json()
    assert run.code == 1 and "Report: out/report.html" in run.out
    assert "5 of 20 requests failed" in page
    assert server.url in page and summary["start_time"][:19].replace("T", " ") in page
    assert "Busy &amp; gone" in page and "&lt;b&gt;busy&lt;/b&gt;" in page
    rows = {row[0]: row[1:] for row in tables(page) if row}
    latency = summary["request_latency"]
    assert rows["Request Latency <small>ms</small>"] == [
        f"{latency[name]:,.2f}" for name in "avg min p50 p90 p95 p99 max std".split()]
    interval = summary["percentile_intervals"]["response_time"]["p50"]
    assert rows["p50"][:2] == [f"{interval['value']:,.2f}",
                               f"{interval['low']:,.2f} – {interval['high']:,.2f}"]
    assert rows["p99"][:2] == ["n&lt;368", ""]
    assert page.count("src=\"data:image/png;base64,") == 15
    assert "All 15 images of the run." in page


def test_hostile_text_stays_text(tmp_path):
    with FakeServer(lambda i, r: Answer(images(PNG), headers=[("Server", "<u>x</u>")])) as server:
        run = profile(server.url, tmp_path, "--model", HOSTILE, "--request-count", "1",
                      prompts=[HOSTILE])
    page = page_of(run)
    assert "<script" not in page and "<u>" not in page and "<img src=h" not in page
    assert "&lt;u&gt;x&lt;/u&gt;" in page and page.count("&lt;script&gt;alert(1)") >= 3


def test_pictures_of_the_warm_up_are_not_shown(tmp_path):
    answers = [Answer(images(make_png(20, 20))), Answer(images(make_png(30, 30)))]
    with FakeServer(lambda i, r: answers[min(i, 1)]) as server:
        run = profile(server.url, tmp_path, "--request-count", "1", "--warmup-request-count", "1")
    assert "30 × 30" in page_of(run) and "20 × 20" not in page_of(run)


def test_run_without_an_answer_has_a_page(tmp_path):
    with FakeServer(lambda i, r: Answer(close="before")) as server:
        run = profile(server.url, tmp_path, "--request-count", "3")
    assert "3 of 3 requests failed" in page_of(run) and run.code == 1


# ---- plot --------------------------------------------------------------------------------------


def without_charts(page):
    """All but the charts and the latencies under pictures, which come from other clocks."""
    page = re.sub(r"<svg.*?</svg>", "", page, flags=re.S)
    return re.sub(r"· \S+ ms</small>", "", page)


def numbers_of_charts(page):
    return [float(x) for svg in re.findall(r"<svg.*?</svg>", page, re.S)
            for x in re.findall(r"-?\d+(?:\.\d+)?", re.sub(r"<title>.*?</title>", "", svg))]


def test_plot_draws_the_same_page(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=0.004 * (i % 7))) as server:
        run = profile(server.url, tmp_path, "--request-count", "60", "--concurrency", "4",
                      "--export-level", "raw", "--warmup-request-count", "5")
    first = page_of(run)
    run.path("report.html").unlink()
    again = plot(tmp_path)
    assert again.code == 0 and again.out == "Report: out/report.html\n", again.err
    second = page_of(run)
    assert tables(second) == tables(first) and without_charts(second) == without_charts(first)
    # Unix times in ns are read as doubles, to 256 ns: positions differ by a fraction of a pixel
    assert numbers_of_charts(second) == pytest.approx(numbers_of_charts(first), abs=1)


def test_plot_without_raw_export_has_no_pictures(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--profile-export-prefix", "foo")
    assert page_of(run).count("<img") == 10
    assert plot(tmp_path, "--profile-export-prefix", "foo").code == 0
    assert "<img" not in page_of(run)
    assert "None of the 10 images is shown" in page_of(run)


def test_plot_stays_small_with_many_requests(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-count", "2")
    lines = run.path("profile_export.jsonl")
    record = run.lines()[0]
    with open(lines, "w") as file:
        for i in range(20000):
            for name in ("credit_issued_ns", "request_start_ns", "request_end_ns"):
                record["metadata"][name] += 1000000
            record["metrics"]["response_time"]["value"] = 5 + i * 7919 % 1000 / 100
            file.write(json.dumps(record) + "\n")
    assert plot(tmp_path).code == 0
    assert run.path("report.html").stat().st_size < 400000
    assert "<circle" not in page_of(run) and "class=\"band" in page_of(run)


def test_plot_names_what_is_wrong(tmp_path):
    run = plot(tmp_path, folder="nowhere")
    assert run.code == 2 and "nowhere/profile_export_aiperf.json: not there" in run.err
    with FakeServer() as server:
        profile(server.url, tmp_path, "--export-level", "summary")
        run = plot(tmp_path)
        assert run.code == 2 and "--export-level records or raw" in run.err
        run = profile(server.url, tmp_path)
    with open(run.path("profile_export.jsonl"), "a") as file:
        file.write("{\"metadata\": {\"benchmark_phase\": \"profiling\"}}\n")
    again = plot(tmp_path)
    assert again.code == 2 and "out/profile_export.jsonl:11: no record of a request" in again.err
    run.path("profile_export_aiperf.json").write_text("[]")
    assert "must be a JSON object, not a array" in plot(tmp_path).err
    for args in ([], ["a", "b"], ["a", "--nonsense"]):
        assert fluxperf("plot", *args, cwd=tmp_path).code == 2
    assert "fluxperf plot DIR" in fluxperf("plot", "--help", cwd=tmp_path).out


def test_page_that_cannot_be_written_is_an_error(tmp_path):
    os.makedirs(tmp_path / "out" / "report.html")
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--request-count", "1")
    assert run.code == 1 and "out/report.html" in run.err
    assert not run.path(".aiperf_results_ready.json").exists()
    again = plot(tmp_path)
    assert again.code == 1 and "out/report.html" in again.err
