"""`fluxperf determinism` against servers whose pictures depend on the seed, and on more."""

import io
import math

import pytest
from PIL import Image

from client_run import MODEL, fluxperf
from fake_server import Answer, FakeServer, images


def determinism(url, cwd, *args, **kwargs):
    return fluxperf("determinism", "--model", MODEL, "--url", url, "--artifact-dir", "out",
                    *args, cwd=cwd, folder="out", **kwargs)


def picture(prompt, seed, change=0):
    """A picture that follows from prompt and seed; one channel of one pixel of 8x8 is changed."""
    image = Image.new("RGB", (8, 8), (seed % 251, sum(prompt.encode()) % 251, 7))
    image.putpixel((3, 4), (seed % 251, sum(prompt.encode()) % 251, 7 + change))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


class Painter:
    """A server that paints picture(prompt, seed + i); change(server, i, n) tells by how much it is
    off for image i of n."""

    def __init__(self, change=lambda server, i, n: 0, delay=0.0):
        def script(_, request):
            body = request.json()
            n = body["n"]
            files = [picture(body["prompt"], body["seed"] + i, change(self.server, i, n))
                     for i in range(n)]
            return Answer(images(*files), delay=delay)
        self.server = FakeServer(script)

    def __enter__(self):
        return self.server.__enter__()

    def __exit__(self, *_):
        self.server.stop()


def checks_of(run):
    return {check["name"]: check for check in run.json("determinism.json")["checks"]}


def test_same_pictures_are_equal_whatever_the_way(tmp_path):
    with Painter(delay=0.02) as server:
        run = determinism(server.url, tmp_path, "--image-seed", "70", "--num-prompts", "3",
                          "--repeats", "2", "--at-once", "3", "--images", "3", "--expect-seeds")
        bodies = [r.json() for r in server.requests]
        assert 2 <= server.most_in_flight <= 3
    assert run.code == 0, run.err
    names = ["alone, again", "alone, again", "3 at once", "first of n = 3", "n = 3, again",
             "image 1 of 3, against seed + 1", "image 2 of 3, against seed + 2"]
    result = run.json("determinism.json")
    assert result["is_complete"] and result["prompts"] == 3
    assert [c["name"] for c in result["checks"]] == names
    assert [c["pairs"] for c in result["checks"]] == [3, 3, 9, 3, 9, 3, 3]
    assert all(c["verdict"] == "equal" and c["equal"] == c["pairs"] for c in result["checks"])
    assert [(b["seed"], b["n"]) for b in bodies] == (
        [(70, 1)] * (3 + 3 + 3 + 9) + [(70, 3)] * (3 + 3) + [(71, 1)] * 3 + [(72, 1)] * 3)
    assert len({b["prompt"] for b in bodies}) == 3
    assert [r["what"] for r in result["runs"]][:4] == ["alone", "alone, again", "alone, again",
                                                       "3 at once"]
    assert run.out.count("equal") == 7


def test_difference_under_concurrency_is_measured(tmp_path):
    with Painter(lambda server, i, n: 20 if server.in_flight > 1 else 0, delay=0.05) as server:
        run = determinism(server.url, tmp_path, "--num-prompts", "2", "--at-once", "4")
    assert run.code == 3, run.err
    checks = checks_of(run)
    assert {name: c["verdict"] for name, c in checks.items()} == {
        "alone, again": "equal", "4 at once": "different", "first of n = 2": "equal",
        "n = 2, again": "equal"}
    check = checks["4 at once"]
    assert check["pairs"] == 8 and len(check["different"]) == 8 - check["equal"] > 0
    for pair in check["different"]:
        assert pair["max_difference"] == 20 and pair["differing_pixels"] == 1 / 64
        assert pair["psnr_db"] == pytest.approx(10 * math.log10(255**2 * 3 * 64 / 400))
        assert pair["reference"]["run"] == "run_0001" and pair["other"]["run"] == "run_0003"
        # the hashes are those of the record lines
        line = next(x for x in run.lines(f"{pair['other']['run']}/profile_export.jsonl")
                    if x["metadata"]["x_request_id"] == pair["other"]["x_request_id"])
        assert line["images"][0]["sha256"] == pair["other"]["sha256"]
        assert line["metadata"]["conversation_id"] == pair["conversation_id"]
        assert pair["reference"]["sha256"] != pair["other"]["sha256"]
    assert "different" in run.out and "44.9" in run.out and "20" in run.out


def test_seeds_within_n_are_told_apart(tmp_path):
    # a server that paints image 1 of n in its own way, always the same
    with Painter(lambda server, i, n: 5 * i) as server:
        run = determinism(server.url, tmp_path, "--num-prompts", "1", "--expect-seeds",
                          "--at-once", "1")
    assert run.code == 3
    assert {name: c["verdict"] for name, c in checks_of(run).items()} == {
        "alone, again": "equal", "first of n = 2": "equal", "n = 2, again": "equal",
        "image 1 of 2, against seed + 1": "different"}
    with Painter(lambda server, i, n: 5 * i) as server:  # not asked for: fine
        assert determinism(server.url, tmp_path, "--num-prompts", "1").code == 0


def test_pictures_of_another_size_have_no_distance(tmp_path):
    sizes = iter([(8, 8), (16, 8)])
    def script(i, r):
        out = io.BytesIO()
        Image.new("RGB", next(sizes)).save(out, "PNG")
        return Answer(images(out.getvalue()))
    with FakeServer(script) as server:
        run = determinism(server.url, tmp_path, "--num-prompts", "1", "--at-once", "1",
                          "--images", "1")
    assert run.code == 3
    pair = checks_of(run)["alone, again"]["different"][0]
    assert "psnr_db" not in pair and "max_difference" not in pair


def test_answers_with_too_few_pictures_are_no_equality(tmp_path):
    def script(i, r):
        return Answer(images(picture(r.json()["prompt"], r.json()["seed"])))
    with FakeServer(script) as server:
        run = determinism(server.url, tmp_path, "--num-prompts", "2")
    assert run.code == 1 and "pictures are missing" in run.err
    check = checks_of(run)["n = 2, again"]
    assert check["verdict"] == "incomplete" and check["missing"] == 2 == check["pairs"]


def test_failed_requests_are_a_failure(tmp_path):
    def script(i, r):
        if i == 1:
            return Answer(b"", "500 Internal Server Error")
        return Answer(images(picture(r.json()["prompt"], r.json()["seed"])))
    with FakeServer(script) as server:
        run = determinism(server.url, tmp_path, "--num-prompts", "2", "--at-once", "1",
                          "--images", "1")
    assert run.code == 1 and checks_of(run)["alone, again"]["missing"] == 1


def test_server_that_goes_away_ends_the_command(tmp_path):
    with Painter() as server:
        inner = server.script
        def script(i, r):
            if i == 4:
                server.stop()
            return inner(i, r)
        server.script = script
        run = determinism(server.url, tmp_path, "--num-prompts", "2")
    assert run.code == 1 and "determinism is incomplete after 2 runs" in run.err
    result = run.json("determinism.json")
    assert not result["is_complete"]
    assert [c["verdict"] for c in result["checks"]] == ["equal"] + ["not made"] * 3


def test_prompts_of_a_file_are_all_used(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"text": "a", "session_id": "x"}\n{"text": "b"}\n')
    with Painter() as server:
        run = determinism(server.url, tmp_path, "--input-file", "p.jsonl")
        assert {r.json()["prompt"] for r in server.requests} == {"a", "b"}
    assert run.code == 0 and run.json("determinism.json")["prompts"] == 2


@pytest.mark.parametrize("args, text", [
    (["--concurrency", "2"], "--concurrency is chosen by determinism itself"),
    (["--request-count", "2"], "--request-count is chosen by determinism itself"),
    (["--extra-inputs", "seed:3"], "--extra-inputs seed: --image-seed sets it"),
    (["--extra-inputs", '{"n": 2}'], "--extra-inputs n: --images sets it"),
    (["--images", "0"], "--images is '0'"),
    (["--image-seed", "-1"], "--image-seed is '-1'"),
    (["--input-file", "twins.jsonl"], "two rows have the session_id 'session_000001'"),
    (["3"], "unexpected argument '3'")])
def test_wrong_usage_is_named_before_anything_is_sent(tmp_path, args, text):
    (tmp_path / "twins.jsonl").write_text(
        '{"text": "a", "session_id": "session_000001"}\n{"text": "b"}\n')  # the second's own name
    with FakeServer() as server:
        run = determinism(server.url, tmp_path, *args)
        assert not server.requests
    assert run.code == 2 and text in run.err, run.err


def test_own_server_is_deterministic(server, tmp_path):
    run = determinism(server.url, tmp_path, "--num-prompts", "2", "--isl", "8", "--at-once", "3",
                      "--expect-seeds", "--extra-inputs", "size:32x32", "--extra-inputs",
                      "num_inference_steps:2")
    assert run.code == 0, run.out + run.err
