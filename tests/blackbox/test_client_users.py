"""--user-centric-rate: users with sessions of several prompts who share a rate."""

import pytest

from client_run import fluxperf
from fake_server import Answer, FakeServer


def run_users(url, cwd, *args, folder="out"):
    out = ["--artifact-dir", "out"] if folder == "out" else []
    return fluxperf("profile", "--model", "m", "--url", url, "--isl", "6", "--random-seed", "3",
                    *out, *args, cwd=cwd, folder=folder)


def requests_of(run):
    """(due in ms from the first, user, session, turn) in the order of due times."""
    lines = sorted((line["metadata"] for line in run.lines()),
                   key=lambda m: m["credit_issued_ns"])
    start = lines[0]["credit_issued_ns"]
    return [((m["credit_issued_ns"] - start) / 1e6, m["x_correlation_id"],
             int(m["conversation_id"][-6:]), m["turn_index"]) for m in lines]


def test_users_take_turns_as_those_of_aiperf(tmp_path):
    folder = "artifacts/m-openai-image_generation-user_centric-users3-qps20.0"
    with FakeServer() as server:
        run = run_users(server.url, tmp_path, "--user-centric-rate", "20", "--num-users", "3",
                        "--session-turns-mean", "2", "--request-count", "9", folder=folder)
    assert run.code == 0, run.err
    found = requests_of(run)
    assert [r[0] for r in found] == pytest.approx([50 * i for i in range(9)], abs=1e-3)
    # observed with AIPerf 0.13: user, session and turn of each request
    assert [r[1:] for r in found] == [
        ("4", 2, 0), ("2", 0, 0), ("3", 1, 0), ("4", 2, 1), ("5", 3, 0), ("6", 4, 0), ("7", 5, 0),
        ("5", 3, 1), ("6", 4, 1)]
    assert [r.header("X-Correlation-ID") for r in server.requests] == [r[1] for r in found]
    inputs = run.json("inputs.json")["data"]
    assert [len(entry["payloads"]) for entry in inputs] == [2] * 9
    sent = [inputs[session]["payloads"][turn] for _, _, session, turn in found]
    assert [r.json() for r in server.requests] == sent
    config = run.json()["input_config"]
    assert config["phases"] == [{"name": "profiling", "kind": "profiling", "type": "user_centric",
                                 "requests": 9, "rate": 20, "users": 3}]
    assert config["datasets"][0]["turns"] == {"mean": 2, "stddev": 0}


def test_a_turn_waits_for_the_answer_before_it_and_keeps_its_due_time(tmp_path):
    # a turn every 200 ms for each of two users, answers take 350 ms
    with FakeServer(lambda i, r: Answer(delay=0.35)) as server:
        run = run_users(server.url, tmp_path, "--user-centric-rate", "10", "--num-users", "2",
                        "--session-turns-mean", "3", "--request-count", "10")
    assert run.code == 0, run.err
    found = requests_of(run)
    assert [r[0] for r in found] == pytest.approx([100 * i for i in range(10)], abs=1e-3)
    ends = {}
    for line in sorted((x["metadata"] for x in run.lines()), key=lambda m: m["request_start_ns"]):
        before = ends.get(line["x_correlation_id"])
        assert before is None or line["request_start_ns"] >= before
        ends[line["x_correlation_id"]] = line["request_end_ns"]
    summary = run.json()
    assert summary["late_request_count"]["avg"] >= 3
    assert summary["response_time"]["max"] >= 450  # a late turn's time counts from when it was due
    assert server.most_in_flight >= 2  # a new user does not wait for the one before it


@pytest.mark.parametrize("workers", ["1", "3"])
def test_sticky_users_keep_a_connection_each(tmp_path, workers):
    with FakeServer() as server:
        run = run_users(server.url, tmp_path, "--user-centric-rate", "40", "--num-users", "3",
                        "--session-turns-mean", "3", "--request-count", "21", "--workers", workers,
                        "--connection-reuse-strategy", "sticky-user-sessions")
    assert run.code == 0, run.err
    of_user = {}
    for request in server.requests:
        of_user.setdefault(request.header("X-Correlation-ID"), set()).add(request.peer)
    assert len(of_user) > 3 and all(len(peers) == 1 for peers in of_user.values())
    assert len({next(iter(peers)) for peers in of_user.values()}) == len(of_user)


def test_a_duration_ends_the_plan(tmp_path):
    with FakeServer() as server:
        run = run_users(server.url, tmp_path, "--user-centric-rate", "20", "--num-users", "2",
                        "--session-turns-mean", "2", "--benchmark-duration", "0.52")
    assert run.code == 0, run.err
    assert len(server.requests) == 11  # at 0, 50, ... 500 ms
    assert "requests" not in run.json()["input_config"]["phases"][0]


def test_turns_that_could_not_be_sent_are_counted(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=1.0)) as server:
        run = run_users(server.url, tmp_path, "--user-centric-rate", "20", "--num-users", "2",
                        "--session-turns-mean", "20", "--benchmark-duration", "0.5")
        assert len(server.requests) == 2  # the first of both users
    assert run.json()["unsent_request_count"]["avg"] == 8


BASE = ["--user-centric-rate", "5"]
FULL = BASE + ["--num-users", "2", "--session-turns-mean", "2"]


@pytest.mark.parametrize("args, text", [
    (BASE, "--user-centric-rate: needs --num-users"),
    (BASE + ["--num-users", "2"], "at least 2; for single requests there is --request-rate"),
    (["--num-users", "2"], "--num-users: needs --user-centric-rate"),
    (["--session-turns-mean", "2"], "--session-turns-mean: needs --user-centric-rate"),
    (FULL + ["--request-rate", "2"], "--request-rate: does not go with --user-centric-rate"),
    (FULL + ["--concurrency", "2"], "--concurrency: does not go with"),
    (FULL + ["--warmup-request-count", "2"], "--warmup-request-count: does not go with"),
    (FULL + ["--request-count", "1"], "--request-count: must be at least --num-users"),
    (FULL + ["--connection-reuse-strategy", "sticky-user-sessions", "--http-version", "2"],
     "--connection-reuse-strategy is sticky-user-sessions: with --user-centric-rate it needs"),
])
def test_what_does_not_fit_is_refused(tmp_path, args, text):
    run = run_users("http://127.0.0.1:9", tmp_path, *args)
    assert run.code == 2 and text in run.err, run.err


def test_users_and_files_exclude_each_other(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n')
    run = fluxperf("profile", "--model", "m", "--input-file", "rows.jsonl", *FULL, cwd=tmp_path)
    assert run.code == 2 and "--input-file: does not go with --user-centric-rate" in run.err
