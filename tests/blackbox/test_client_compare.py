"""The manifest of a run, and `fluxperf compare` on runs made up around it."""

import json
import os
import random
import xml.etree.ElementTree as ElementTree

import pytest

from client_run import MODEL, fluxperf, profile
from fake_server import Answer, FakeServer, PNG, images


def record(value, phase="profiling", **more):
    return {"metadata": {"benchmark_phase": phase},
            "metrics": {"request_latency": {"value": value, "unit": "ms"},
                        "num_images_decoded": {"value": 1, "unit": "images"}}, **more}


def make_run(path, mean, seed, manifest=None, n=60, n_failed=1, name="profile_export.jsonl"):
    stream = random.Random(seed)
    path.mkdir(parents=True)
    lines = [record(mean * stream.gauss(1, 0.02)) for _ in range(n)]
    lines.append(record(1e6, phase="warmup"))  # none of these counts
    lines += [record(1e6, error={"type": "x"}) for _ in range(n_failed)]
    lines.append(record(1e6, error={"type": "x"}))
    lines[-1]["metadata"]["was_cancelled"] = True  # by the client: no failure
    (path / name).write_text("".join(json.dumps(x) + "\n" for x in lines))
    if manifest is not None:
        (path / "run_manifest.json").write_text(json.dumps(manifest))


def make_side(path, mean, n_runs=5, seed=0, manifest=None, **more):
    for i in range(n_runs):
        make_run(path / f"run{i}", mean * (1 + 0.001 * i), seed + i, manifest or {"seed": None}, **more)


def compare(cwd, *args):
    return fluxperf("compare", *args, cwd=cwd)


@pytest.mark.parametrize("factor, code, verdict", [
    (1.0, 0, "pass"), (1.2, 3, "regressed"), (0.8, 0, "improved"), (1.05, 4, "inconclusive")])
def test_exit_code_tells_the_verdict(tmp_path, factor, code, verdict):
    make_side(tmp_path / "base", 100)
    make_side(tmp_path / "new", 100 * factor, seed=50)
    run = compare(tmp_path, "base", "new", "--format", "json")
    assert run.code == code, run.out + run.err
    result = json.loads(run.out)
    assert result["verdict"] == result["metrics"][0]["verdict"] == verdict
    assert result["metrics"][0]["ratio"] == pytest.approx(factor, rel=0.01)
    assert result["metrics"][0]["ratio_low"] < factor < result["metrics"][0]["ratio_high"]
    assert 0.05 < result["metrics"][0]["minimum_detectable_effect"] < 0.08
    assert run.out == compare(tmp_path, "base", "new", "--format", "json").out  # seeded


def make_noisy_side(path, factor, seed, between, within=0.05):
    """Five runs of 80 requests whose means and requests scatter by these shares."""
    stream = random.Random(seed)
    for i in range(5):
        mean = 100 * factor * stream.gauss(1, between)
        run = path / f"run_{i}"
        run.mkdir(parents=True)
        lines = [record(mean * stream.gauss(1, within)) for _ in range(80)]
        (run / "profile_export.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
        (run / "run_manifest.json").write_text("{}")


def verdict_of(path, factor, seed, between):
    make_noisy_side(path / "base", 1, seed, between)
    make_noisy_side(path / "new", factor, seed + 5000, between)
    run = compare(path, "base", "new", "--tolerance", "0%", "--format", "json")
    metric = json.loads(run.out)["metrics"][0]
    return metric["verdict"], metric["minimum_detectable_effect"]


def test_same_against_same_raises_at_most_one_alarm_in_twenty(tmp_path):
    verdicts = [verdict_of(tmp_path / str(i), 1, i, 0.01)[0] for i in range(20)]
    assert sum(v in ("regressed", "improved") for v in verdicts) <= 1, verdicts


@pytest.mark.parametrize("between, is_detectable, want", [
    (0.002, True, "regressed"), (0.04, False, "inconclusive")])
def test_three_percent_are_caught_when_the_printed_effect_is_smaller(tmp_path, between,
                                                                    is_detectable, want):
    for i in range(10):
        verdict, detectable = verdict_of(tmp_path / str(i), 1.03, 100 + i, between)
        assert (detectable < 0.03) == is_detectable
        assert verdict == want, (i, verdict, detectable)


def test_every_format_says_the_same(tmp_path):
    make_side(tmp_path / "base", 100)
    make_side(tmp_path / "new", 130, seed=50)
    metrics = ["--metric", "request_latency", "--metric", "num_images_decoded"]
    text = compare(tmp_path, "base", "new", *metrics)
    assert text.code == 3 and "regressed: 5 and 5 runs, tolerance 5 %" in text.out
    assert "request_latency" in text.out and "0.0159" in text.out  # 2 * 2 / C(10, 5), by Holm
    table = compare(tmp_path, "base", "new", *metrics, "--format", "markdown").out.splitlines()
    assert [line.count("|") for line in table[:4]] == [9] * 4
    suite = ElementTree.fromstring(compare(tmp_path, "base", "new", *metrics, "--format",
                                           "junit").out)
    assert suite.get("tests") == "3" and suite.get("failures") == "1"  # with the failed requests
    assert suite[0].find("failure") is not None and suite[1].find("failure") is None


def test_single_files_are_compared_without_a_rank_test(tmp_path):
    make_run(tmp_path / "a", 100, 1, {})
    make_run(tmp_path / "b", 120, 2, {})
    run = compare(tmp_path, "a/profile_export.jsonl", "b")
    assert run.code == 3 and "too few runs" in run.out
    assert compare(tmp_path, "a", "b", "--tolerance", "30%").code == 0


def test_runs_made_differently_are_refused(tmp_path):
    make_side(tmp_path / "base", 100, manifest={"server": {"build": "1"}, "host": {"name": "a"}})
    make_side(tmp_path / "new", 100, manifest={"server": {"build": "2"}, "host": {"name": "b"}})
    run = compare(tmp_path, "base", "new")
    assert run.code == 5 and 'server.build: "1" and "2"' in run.err and "host.name" not in run.err
    assert run.out == ""
    assert compare(tmp_path, "base", "new", "--allow-diff", "server.build").code == 0
    assert compare(tmp_path, "base", "new", "--allow-diff", "server").code == 0
    assert compare(tmp_path, "base", "new", "--allow-diff", "host").code == 5
    os.remove(tmp_path / "new" / "run1" / "run_manifest.json")
    run = compare(tmp_path, "base", "new", "--allow-diff", "server")
    assert run.code == 5 and "new/run1/profile_export.jsonl has no run_manifest.json" in run.err
    allowed = ["--allow-diff", "server", "--allow-diff", "manifest"]
    assert compare(tmp_path, "base", "new", *allowed).code == 0


FORMATS = ["text", "json", "markdown", "junit"]


@pytest.mark.parametrize("form", FORMATS)
def test_more_failures_than_by_chance_are_a_regression(tmp_path, form):
    make_side(tmp_path / "base", 100, n_failed=0)
    make_side(tmp_path / "new", 80, seed=50, n=30, n_failed=30)  # fast are those that are left
    run = compare(tmp_path, "base", "new", "--format", form)
    assert run.code == 3, run.out + run.err
    assert "failed requests: base 0 of 300, new 150 of 300" in run.err
    assert "regressed, the new side fails more" in run.err
    if form == "json":
        result = json.loads(run.out)
        assert result["verdict"] == "regressed" and result["metrics"][0]["verdict"] == "improved"
        failed = result["failed_requests"]
        assert failed.pop("p_value") < 1e-9
        assert failed == {"base_failed": 0, "base_requests": 300, "new_failed": 150,
                          "new_requests": 300, "verdict": "regressed"}
    elif form == "junit":
        suite = ElementTree.fromstring(run.out)
        assert suite.get("tests") == "2" and suite.get("failures") == "1"
        assert suite[1].get("name") == "failed_requests"
        assert "new 150 of 300" in suite[1].find("failure").get("message")
    else:
        assert "regressed: 5 and 5 runs" in run.out and "new 150 of 300" in run.out


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("base, new", [(6, 0), (0, 0), (1, 1)])
def test_failures_that_chance_explains_are_told_and_change_no_verdict(tmp_path, form, base, new):
    make_side(tmp_path / "base", 100, n_failed=base)
    make_side(tmp_path / "new", 100, seed=50, n_failed=new)
    run = compare(tmp_path, "base", "new", "--format", form)
    assert run.code == 0, run.err
    if base + new == 0:
        assert run.err == "" and "fail" not in run.out.replace("failures=", "")
        return
    told = f"base {5 * base} of {300 + 5 * base}, new {5 * new} of {300 + 5 * new}"
    assert told in run.err and "of the requests that succeeded" in run.err
    if form == "json":
        assert json.loads(run.out)["failed_requests"]["verdict"] == "pass"
    else:
        assert told in run.out and "of the requests that succeeded" in run.out


def prefixed(prefix):
    return {"config": {"artifacts": {"prefix": prefix}}}


def test_records_are_found_by_the_name_in_the_manifest(tmp_path):
    make_side(tmp_path / "base", 100, manifest=prefixed("foo"), name="foo.jsonl")
    make_side(tmp_path / "new", 120, manifest=prefixed("foo"), name="foo.jsonl")
    (tmp_path / "new/run0/requests.jsonl").write_text('{"text": "no record"}\n')
    run = compare(tmp_path, "base", "new")
    assert run.code == 3 and "5 and 5 runs" in run.out, run.err
    assert compare(tmp_path, "base/run0/foo.jsonl", "new/run0").code == 3
    for i in range(5):  # such as AIPerf's: the folder tells
        os.remove(tmp_path / f"new/run{i}/run_manifest.json")
    assert compare(tmp_path, "base", "new", "--allow-diff", "manifest").code == 3


def test_records_of_two_runs_are_not_mixed(tmp_path):
    make_side(tmp_path / "base", 100, n_runs=1)
    make_run(tmp_path / "old", 100, 1)
    make_run(tmp_path / "new", 100, 1, prefixed("foo"), name="foo.jsonl")
    os.rename(tmp_path / "old/profile_export.jsonl", tmp_path / "new/profile_export.jsonl")
    run = compare(tmp_path, "base", "new")
    assert run.code == 2, run.out
    assert "new has records of two runs, foo.jsonl and profile_export.jsonl" in run.err
    run = compare(tmp_path, "base", "new/profile_export.jsonl")
    assert run.code == 2 and "the run_manifest.json beside it is of foo.jsonl" in run.err
    os.remove(tmp_path / "new/foo.jsonl")
    run = compare(tmp_path, "base", "new")
    assert run.code == 2
    assert "a run_manifest.json of foo.jsonl but the records profile_export.jsonl" in run.err


@pytest.mark.parametrize("args, text", [
    (["base"], "compare takes BASE and NEW, not 1 arguments"),
    (["base", "nowhere"], "can't read nowhere"),
    (["base", "empty"], "no profile_export.jsonl"),
    (["base", "base", "--metric", "request_count"], "--metric 'request_count'"),
    (["base", "base", "--metric", "image_latency"], "no successful request has image_latency"),
    (["base", "base", "--tolerance", "5"], "--tolerance '5' must be a percentage"),
    (["base", "base", "--allow-diff", "nonsense"], "--allow-diff 'nonsense' is in no run_manifest"),
    (["base", "base", "--allow-diff", "see"], "--allow-diff 'see'"),
    (["base", "broken"], "broken/profile_export.jsonl:2"),
    (["base", "other"], "other/profile_export.jsonl:1: no record of a request")])
def test_bad_input_is_named(tmp_path, args, text):
    make_side(tmp_path / "base", 100, n_runs=1)
    for name, content in ("broken", json.dumps(record(1)) + "\n{\n"), ("other", "{}\n"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "profile_export.jsonl").write_text(content)
    (tmp_path / "empty").mkdir()
    run = compare(tmp_path, *args)
    assert run.code == 2 and text in run.err, run.err


def test_manifest_tells_how_a_run_was_made_and_no_secret(tmp_path):
    body = json.dumps({**json.loads(images(PNG)), "model": "served"}).encode()
    runs = []
    with FakeServer(lambda i, r: Answer(body, headers=[("Server", "thing/3")])) as server:
        for name in "one", "two":
            (tmp_path / name).mkdir()
            runs.append(profile(server.url, tmp_path / name, "--api-key", "hidden", "--header",
                                "X-Auth-Token:veiled", "--random-seed", "5"))
            assert runs[-1].code == 0, runs[-1].err
    text = runs[0].path("run_manifest.json").read_text()
    manifest = json.loads(text)
    assert "hidden" not in text and "veiled" not in text and "<redacted>" in text
    assert manifest["server"] == {"build": "thing/3", "model": "served"}
    assert manifest["seed"] == 5 and manifest["data_set"]["entries"] == 3
    assert len(manifest["data_set"]["sha256"]) == 64
    assert manifest["config"]["models"]["items"][0]["name"] == MODEL
    assert {"name", "kernel", "cores"} <= set(manifest["host"])
    run = compare(tmp_path, "one/out", "two/out", "--tolerance", "99%")
    assert run.code in (0, 3, 4) and run.err == ""  # comparable, whatever the times were


def test_other_prompts_are_another_data_set(tmp_path):
    hashes = []
    with FakeServer() as server:
        for prompts in ["a"], ["b"]:
            run = profile(server.url, tmp_path, prompts=prompts)
            hashes.append(run.json("run_manifest.json")["data_set"]["sha256"])
    assert hashes[0] != hashes[1]
