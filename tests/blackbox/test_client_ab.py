"""`fluxperf ab`: two servers in turn. How fast they are is asserted nowhere but where one waits and
the other does not."""

import json

import pytest

from client_run import MODEL, fluxperf
from fake_server import Answer, FakeServer, PNG, images

# whatever the clock says: a change up to so much is none
WIDE = ["--tolerance", "99%"]


def ab(a, b, cwd, *args, **kwargs):
    return fluxperf("ab", "--a", a, "--b", b, "--model", MODEL, "--artifact-dir", "out", "--isl",
                    "5", *args, cwd=cwd, folder="out", **kwargs)


class Pair:
    """Two servers that note whose turn it was."""

    def __init__(self, script_a=None, script_b=None):
        self.turns = []
        self.a, self.b = (FakeServer(self.noting(name, script))
                          for name, script in (("A", script_a), ("B", script_b)))

    def noting(self, name, script):
        def note(i, request):
            self.turns.append(name)
            return script(i, request) if script else Answer()
        return note

    def __enter__(self):
        self.a.__enter__()
        self.b.__enter__()
        return self

    def __exit__(self, *_):
        self.a.stop()
        self.b.stop()

    def run(self, *args, **kwargs):
        return ab(self.a.url, self.b.url, *args, **kwargs)


def test_targets_take_turns_and_get_the_same_requests(tmp_path):
    same = lambda i, r: Answer(delay=0.01)
    with Pair(same, same) as pair:
        run = pair.run(tmp_path, "--runs", "4", "--request-count", "2", "--format", "json", *WIDE)
        bodies = [[r.body for r in s.requests] for s in (pair.a, pair.b)]
    assert "".join(pair.turns) == "AABB" + "BBAA" + "AABB" + "BBAA"
    assert bodies[0] == bodies[1] == bodies[0][:2] * 4
    verdict = json.loads(run.out)  # nothing else on stdout
    assert verdict["base_runs"] == verdict["new_runs"] == 4 and verdict["tolerance"] == 0.99
    assert run.code == {"pass": 0, "improved": 0, "regressed": 3,
                        "inconclusive": 4}[verdict["verdict"]]
    assert 0 < verdict["metrics"][0]["p_value"] <= 1  # four runs a side have a rank test
    result = run.json("ab.json")
    assert result["is_complete"] and result["comparison"] == verdict
    assert [r["run"] for r in result["runs"]] == ["a/run_0001", "b/run_0001", "b/run_0002",
                                                  "a/run_0002", "a/run_0003", "b/run_0003",
                                                  "b/run_0004", "a/run_0004"]
    assert result["a"] == pair.a.url and result["runs_made"] == 8
    # the runs are those that compare would take
    later = fluxperf("compare", "out/a", "out/b", "--allow-diff", "config.endpoint.urls",
                     "--format", "json", *WIDE, cwd=tmp_path)
    assert later.out == run.out and later.code == run.code


def test_random_order_follows_from_the_seed(tmp_path):
    orders = []
    for name, seed in ("1", "4"), ("2", "4"), ("3", "5"):
        (tmp_path / name).mkdir()
        with Pair() as pair:
            pair.run(tmp_path / name, "--runs", "12", "--request-count", "1", "--order", "random",
                     "--random-seed", seed, *WIDE)
            orders.append("".join(pair.turns))
    assert orders[0] == orders[1] != orders[2]
    assert {orders[0][i:i + 2] for i in range(0, 24, 2)} == {"AB", "BA"}


def test_slower_target_is_a_regression(tmp_path):
    with Pair(None, lambda i, r: Answer(delay=0.3)) as pair:
        run = pair.run(tmp_path, "--runs", "2", "--request-count", "3")
    assert run.code == 3 and "regressed: 2 and 2 runs, tolerance 5 %" in run.out
    with Pair(lambda i, r: Answer(delay=0.3), None) as pair:
        run = pair.run(tmp_path, "--runs", "2", "--request-count", "3", "--metric", "service_time")
    assert run.code == 0 and "improved" in run.out and "service_time" in run.out


def served_by(model):
    return json.dumps({**json.loads(images(PNG)), "model": model}).encode()


def test_targets_that_differ_otherwise_are_refused_after_the_first_pair(tmp_path):
    def script(model, build):
        return lambda i, r: Answer(served_by(model), headers=[("Server", build)])
    with Pair(script("x", "s/1"), script("y", "s/2")) as pair:
        run = pair.run(tmp_path, "--runs", "3", "--request-count", "1")
        assert len(pair.turns) == 2
        assert run.code == 5 and 'server.model: "x" and "y"' in run.err
        assert "server.build" not in run.err and not run.json("ab.json")["is_complete"]
        run = pair.run(tmp_path, "--runs", "1", "--request-count", "1", "--allow-diff",
                       "server.model", *WIDE)
        assert run.code in (0, 3, 4) and run.json("ab.json")["is_complete"]


def test_failing_target_is_no_regression_but_a_failure(tmp_path):
    with Pair(None, lambda i, r: Answer(b"", "500 Internal Server Error")) as pair:
        run = pair.run(tmp_path, "--runs", "3", "--request-count", "2")
        assert len(pair.turns) == 4
    assert run.code == 1 and "no request of run 2 succeeded" in run.err and run.out == ""


def test_target_that_fails_more_is_a_regression(tmp_path):
    script = lambda i, r: Answer(b"", "500 Internal Server Error") if i % 2 else Answer()
    with Pair(None, script) as pair:
        run = pair.run(tmp_path, "--runs", "2", "--request-count", "10", *WIDE)
        told = "base 0 of 20, new 10 of 20"
        assert run.code == 3 and told in run.out and told in run.err, run.err
        comparison = run.json("ab.json")["comparison"]
        assert comparison["verdict"] == comparison["failed_requests"]["verdict"] == "regressed"


def test_target_that_goes_away_leaves_a_preview(tmp_path):
    with Pair() as pair:
        def script(i, r):
            pair.b.stop()
            return Answer()
        pair.b.script = script
        run = pair.run(tmp_path, "--runs", "3", "--request-count", "1")
        assert run.code == 1, run.err
    with Pair() as pair:
        def script(i, r):
            if i == 1:
                pair.b.stop()
            return Answer()
        pair.b.script = script
        run = pair.run(tmp_path, "--runs", "9", "--request-count", "1", *WIDE)
    assert run.code == 1 and "ab is incomplete after 2 runs" in run.err
    assert "1 and 1 runs" in run.out  # of what there is
    result = run.json("ab.json")
    assert not result["is_complete"] and result["comparison"]["base_runs"] == 1


@pytest.mark.parametrize("args, text", [
    (["--url", "http://x"], "--url is set by --a and --b"),
    (["--runs", "65"], "--runs is '65'"),
    (["--tolerance", "5"], "--tolerance '5' must be a percentage"),
    (["--metric", "request_count"], "--metric 'request_count'"),
    (["--format", "xml"], "--format is 'xml'"),
    (["--order", "ba"], "--order is 'ba'"),
    (["--export-level", "summary"], "--export-level is summary"),
    (["--profile-export-prefix", "x"], "--profile-export-prefix is not for ab"),
    (["5"], "unexpected argument '5'"),
    (["--concurrency", "x"], "--concurrency is 'x'")])
def test_wrong_usage_is_named_before_anything_is_sent(tmp_path, args, text):
    with FakeServer() as server:
        run = ab(server.url, server.url, tmp_path, *args)
        assert not server.requests
    assert run.code == 2 and text in run.err, run.err


def test_both_targets_are_required(tmp_path):
    run = fluxperf("ab", "--a", "http://x", "--model", MODEL, cwd=tmp_path)
    assert run.code == 2 and "--b is required" in run.err
    run = fluxperf("ab", "--b", "http://x", "--model", MODEL, cwd=tmp_path)
    assert run.code == 2 and "--a is required" in run.err
