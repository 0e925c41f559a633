"""Everything that can go wrong: bad answers, bad input, bad command lines."""

import base64
import io
import json
import os

import pytest

from client_run import PROMPTS, fluxperf, profile
from fake_server import Answer, FakeServer, PNG, images

BAD_ANSWERS = {
    "status": (Answer(b'{"error":{"message":"no"}}', "503 Service Unavailable"), 503,
               "Service Unavailable", '{"error":{"message":"no"}}'),
    "not found": (Answer(b"", "404 Not Found"), 404, "Not Found", ""),
    "no JSON": (Answer(b"<html>"), None, "InvalidInferenceResultError", "no usable content"),
    "empty": (Answer(b""), None, "InvalidInferenceResultError", "no usable content"),
    "empty object": (Answer(b"{}"), None, "InvalidInferenceResultError", "no usable content"),
    "a list": (Answer(b"[1]"), None, "InvalidInferenceResultError", "no usable content"),
    "no data": (Answer(b'{"created":1}'), None, "NoImageError", "no data[] list"),
    "empty data": (Answer(b'{"created":1,"data":[]}'), None, "NoImageError", "no image"),
    "empty entry": (Answer(b'{"data":[{"revised_prompt":"x"}]}'), None, "NoImageError",
                    "neither b64_json nor url"),
    "wrong type": (Answer(b'{"data":[{"b64_json":7}]}'), None, "NoImageError", "data[0]"),
    "bad base64": (Answer(b'{"data":[{"b64_json":"a%b="}]}'), None, "InvalidBase64Error",
                   "data[0].b64_json"),
    "no picture": (Answer(images(b"not a picture")), None, "UndecodableImageError", "data[0]"),
    "cut picture": (Answer(images(PNG[:-30])), None, "UndecodableImageError", "data[0]"),
    "second one bad": (Answer(images(PNG, b"GIF8")), None, "UndecodableImageError", "data[1]"),
    "no answer": (Answer(close="before"), None, "ServerDisconnectedError", "closed"),
    "half an answer": (Answer(close="middle"), None, "ServerDisconnectedError", "closed"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_bad_answer_is_an_error_of_its_kind(tmp_path, name):
    answer, code, kind, message = BAD_ANSWERS[name]
    with FakeServer(lambda i, r: answer if i == 1 else Answer()) as server:
        run = profile(server.url, tmp_path, "--request-count", "3", "--export-level", "raw")
    assert run.code == 1
    assert "1 of 3 profiling requests failed" in run.err and kind in run.err
    summary, lines = run.json(), run.lines()
    assert ["error" in line for line in lines] == [False, True, False]
    status = None if answer.close else int(answer.status[:3])
    assert [line["metadata"].get("http_status") for line in lines] == \
        [200, 200 if answer.close == "middle" else status, 200]
    error = lines[1]["error"]
    assert error.get("code") == code and error["type"] == kind and message in error["message"]
    assert lines[1]["metrics"] == {"error_isl": {"value": 6, "unit": "tokens"}}
    assert summary["error_summary"] == [{"error_details": error, "count": 1}]
    assert summary["error_request_count"]["avg"] == 1 == summary["total_error_isl"]["avg"] / 6
    assert summary["request_count"]["avg"] == 2 == summary["request_latency"]["count"]
    assert summary["request_error_rate"]["avg"] == pytest.approx(100 / 3)
    adjusted = summary["adj_request_latency"]
    assert adjusted["count"] == 3 and "max" not in adjusted and "avg" not in adjusted
    assert adjusted["p50"] == summary["request_latency"]["max"]
    assert "fluxperf | Error Summary" in run.out and kind in run.out
    raw = run.lines("profile_export_raw.jsonl")[1]
    assert raw["error"] == error
    assert bool(raw["responses"]) == (code is None and answer.close is None and answer.body != b"")


def test_all_failed_still_leaves_a_summary(tmp_path):
    with FakeServer(lambda i, r: Answer(b"busy", "429 Too Many Requests")) as server:
        run = profile(server.url, tmp_path, "--request-count", "3")
    assert run.code == 1
    summary = run.json()
    assert summary["request_count"]["avg"] == 0 and "request_latency" not in summary
    assert summary["error_summary"] == [{"error_details": {
        "code": 429, "type": "Too Many Requests", "message": "busy"}, "count": 3}]


def test_a_slow_answer_times_out(tmp_path):
    with FakeServer(lambda i, r: Answer(delay=30)) as server:
        run = profile(server.url, tmp_path, "--request-count", "1", "--request-timeout-seconds",
                      "0.3")
    assert run.code == 1 and run.lines()[0]["error"]["type"] == "TimeoutError"


def test_unreachable_server_and_unknown_host_are_told_apart(tmp_path):
    with FakeServer() as server:
        url = server.url
    run = profile(url, tmp_path, "--request-count", "2")
    assert run.code == 1 and run.lines()[0]["error"]["type"] == "ClientConnectorError"
    assert "Couldn't connect" in run.err
    run = profile("http://no-such-host.invalid", tmp_path, "--request-count", "1")
    assert run.code == 1 and run.lines()[0]["error"]["type"] == "ClientConnectorDNSError"


def test_a_broken_connection_is_never_retried(tmp_path):
    with FakeServer(lambda i, r: Answer(close="before") if i == 2 else Answer()) as server:
        run = profile(server.url, tmp_path, "--request-count", "5")
        assert len(server.requests) == 5
    assert [("error" in line) for line in run.lines()] == [False, False, True, False, False]


def test_pictures_by_address_are_fetched_and_counted(tmp_path):
    def script(i, request):
        url = ["/files/a.png", f"{server.url}/files/a.png", "/files/none.png", "/files/bad"][i]
        return Answer(json.dumps({"data": [{"url": url}]}).encode())

    routes = {"/files/a.png": Answer(PNG, kind="image/png"), "/files/bad": Answer(b"text")}
    with FakeServer(script, routes) as server:
        run = profile(server.url, tmp_path, "--extra-inputs", "response_format:url",
                      "--request-count", "4")
        assert [r.path for r in server.others] == [
            "/files/a.png", "/files/a.png", "/files/none.png", "/files/bad"]
    kinds = [line.get("error", {}).get("type") for line in run.lines()]
    assert kinds == [None, None, "ImageFetchError", "UndecodableImageError"]
    assert run.json()["images_decoded"]["avg"] == 2


def test_redirects_are_followed(tmp_path):
    moved = Answer(b"", "307 Temporary Redirect", headers=[("Location", "/other")])
    with FakeServer(lambda i, r: Answer() if r.path == "/other" else moved) as server:
        run = profile(server.url, tmp_path, "--request-count", "1")
    assert run.code == 0, run.err
    assert server.requests[1].json()["prompt"] == PROMPTS[0]


def test_odd_bytes_in_answers_do_no_harm(tmp_path):
    answer = Answer(b'\xff\x00"\n\x1b[31m', "500 Internal Server Error")
    with FakeServer(lambda i, r: answer) as server:
        run = profile(server.url, tmp_path, "--request-count", "1", "--export-level", "raw")
    assert run.code == 1 and run.json()["error_request_count"]["avg"] == 1
    run.lines(), run.lines("profile_export_raw.jsonl")
    assert "\x1b" not in run.out


# ---- input files ----------------------------------------------------------------------------


@pytest.mark.parametrize("text, where, why", [
    ('{"text": "a"}\n{"text": }\n', ":2", ""),
    ('{"text": "a"}\n\n["b"]\n', ":3", "must be a JSON object"),
    ('{"text": 5}\n', ":1", "text"),
    ('{"txt": "a"}\n', ":1", "unknown field 'txt'"),
    ('{"session_id": "a"}\n', ":1", "no text"),
    ('{"text": "a", "image": "x.png"}\n', ":1", "needs --endpoint-type image_edit"),
    ('{"text": "a", "timestamp": []}\n', ":1", "timestamp"),
    ('{"turns": []}\n', ":1", "single_turn"),
    ('{"text": "a", "extra": 3}\n', ":1", "extra"),
    ('{"texts": []}\n', ":1", "texts"),
    ("", "", "no rows"),
])
def test_bad_row_is_reported_by_file_and_line(tmp_path, text, where, why):
    (tmp_path / "bad.jsonl").write_text(text)
    run = fluxperf("profile", "--model", "m", "--input-file", "bad.jsonl", cwd=tmp_path)
    assert run.code == 2
    assert f"bad.jsonl{where}" in run.err and why in run.err


def test_missing_file_and_tokenizer_are_reported(tmp_path):
    run = fluxperf("profile", "--model", "m", "--input-file", "none.jsonl", cwd=tmp_path)
    assert run.code == 2 and "none.jsonl" in run.err
    run = fluxperf("profile", "--model", "m", "--tokenizer", "nowhere", cwd=tmp_path)
    assert run.code == 2 and "--tokenizer is 'nowhere'" in run.err


def test_directory_that_can_not_be_written_is_found_before_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--artifact-dir", "file/sub")
        assert run.code == 1 and "artifact directory: can't create" in run.err
        assert server.requests == []


# ---- command lines --------------------------------------------------------------------------


@pytest.mark.parametrize("args, why", [
    ([], "--model"),
    (["--model", "a,b"], "several models"),
    (["--model", "m", "--endpoint-type", "chat"], "must be image_generation or image_edit"),
    (["--model", "m", "--custom-dataset-type", "multi_turn"], "must be single_turn, random_pool"),
    (["--model", "m", "--url", "ftp://x"], "--url is 'ftp://x'"),
    (["--model", "m", "--concurrency", "0"], "--concurrency is '0'"),
    (["--model", "m", "--concurrency", "1,2"], "--concurrency is '1,2'"),
    (["--model", "m", "--request-count", "many"], "--request-count is 'many'"),
    (["--model", "m", "--arrival-pattern", "constant"], "needs --request-rate"),
    (["--model", "m", "--request-rate", "1", "--arrival-pattern", "burst"], "burst"),
    (["--model", "m", "--arrival-smoothness", "2"], "needs --arrival-pattern gamma"),
    (["--model", "m", "--benchmark-grace-period", "3"], "needs a duration"),
    (["--model", "m", "--warmup-concurrency", "3"], "needs --warmup-request-count"),
    (["--model", "m", "--extra-inputs", "a:b,c"], "'c' has no colon"),
    (["--model", "m", "--extra-inputs", "{bad"], "--extra-inputs"),
    (["--model", "m", "--header", "no colon"], "Name:value"),
    (["--model", "m", "--header", "a b:c"], "no header name"),
    (["--model", "m", "--goodput", "speed:3"], "'speed' is no metric"),
    (["--model", "m", "--goodput", "request_latency"], "tag:limit"),
    (["--model", "m", "--ui", "fancy"], "must be dashboard, simple or none"),
    (["--model", "m", "--log-level", "loud"], "--log-level is 'loud'"),
    (["--model", "m", "--tokenizer", "none"], "synthetic prompts need one"),
    (["--model", "m", "--input-file", "x", "--isl", "5"], "not for --input-file"),
    (["--model", "m", "--export-level", "all"], "--export-level is 'all'"),
    (["--model", "m", "--concurrency-ramp-duration", "1"], "needs --concurrency"),
    (["--model", "m", "--request-rate-ramp-duration", "1"], "needs --request-rate"),
    (["--model", "m", "--wat"], "--wat"),
    (["--model"], "--model needs a value"),
])
def test_wrong_usage_is_exit_code_2_and_names_the_option(tmp_path, args, why):
    run = fluxperf("profile", *args, cwd=tmp_path)
    assert run.code == 2 and why in run.err, run.err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("option", [
    "--streaming", "--output-tokens-mean", "--num-profile-runs", "--image-source", "--config",
    "--export-http-trace", "--search-space"])
def test_unsupported_option_of_aiperf_is_named(tmp_path, option):
    run = fluxperf("profile", "--model", "m", option, "1", cwd=tmp_path)
    assert run.code == 2 and f"{option} is an option of AIPerf that" in run.err


def test_nothing_collected_may_be_asked_for(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--no-gpu-telemetry", "--no-server-metrics",
                      "--request-count", "1")
    assert run.code == 0 and "telemetry_data" not in run.json()


def test_without_tokenizer_there_are_no_token_metrics(tmp_path):
    with FakeServer() as server:
        run = profile(server.url, tmp_path, "--tokenizer", "none", "--request-count", "2")
    assert run.code == 0
    assert "input_sequence_length" not in run.json() and "Input Sequence" not in run.out


def test_help_and_version(tmp_path):
    for args in ["--help"], ["profile", "--help"], ["extract-images", "-h"], ["tokenize", "--help"]:
        run = fluxperf(*args, cwd=tmp_path)
        assert run.code == 0 and "sage: fluxperf" in run.out and run.err == ""
    assert fluxperf("profile", "--help", cwd=tmp_path).out.count("--") > 40
    assert fluxperf(cwd=tmp_path).code == fluxperf("wat", cwd=tmp_path).code == 2


# ---- the other commands ---------------------------------------------------------------------


def tutorial_extract(path, folder):
    """What the tutorial's extract_images.py does: line and index name the file."""
    found = {}
    for line_number, line in enumerate(path.read_text().splitlines(), 1):
        for response in json.loads(line).get("responses", []):
            for index, item in enumerate(json.loads(response.get("text", "{}")).get("data", [])):
                if item.get("b64_json"):
                    found[f"image_{line_number:04d}_{index:02d}"] = base64.b64decode(
                        item["b64_json"])
    return found


def test_images_of_a_raw_export_are_extracted_by_both_ways(tmp_path):
    Image = pytest.importorskip("PIL.Image")

    def encode(kind):
        out = io.BytesIO()
        Image.new("RGB", (12, 9), (200, 30, 60)).save(out, kind)
        return out.getvalue()

    files = [encode("PNG"), encode("JPEG"), encode("WEBP")]
    bodies = [images(files[0], files[1]), b"{}", images(files[2])]
    with FakeServer(lambda i, r: Answer(bodies[i])) as server:
        run = profile(server.url, tmp_path, "--request-count", "3", "--export-level", "raw")
    assert run.json()["images_decoded"]["avg"] == 3
    raw = run.path("profile_export_raw.jsonl")
    wanted = tutorial_extract(raw, tmp_path)
    assert list(wanted.values()) == files
    done = fluxperf("extract-images", str(raw), "pictures", cwd=tmp_path)
    assert done.code == 0, done.err
    names = ["image_0001_00.png", "image_0001_01.jpg", "image_0003_00.webp"]
    assert sorted(os.listdir(tmp_path / "pictures")) == names
    assert [(tmp_path / "pictures" / name).read_bytes() for name in names] == files
    assert done.out.splitlines() == [f"Extracted: {tmp_path}/pictures/{name}" for name in names]


def test_extract_names_what_is_wrong(tmp_path):
    run = fluxperf("extract-images", cwd=tmp_path)
    assert run.code == 1 and "profile_export_raw.jsonl" in run.err
    (tmp_path / "raw.jsonl").write_text('{"responses":[]}\n{oops\n')
    run = fluxperf("extract-images", "raw.jsonl", cwd=tmp_path)
    assert run.code == 1 and "raw.jsonl:2" in run.err
    assert fluxperf("extract-images", "a", "b", "c", cwd=tmp_path).code == 2


def test_tokenize_prints_ids(tmp_path):
    run = fluxperf("tokenize", "--tokenizer", "gpt2", cwd=tmp_path, stdin='"Hello world"\n""\n')
    assert run.code == 0 and [json.loads(line) for line in run.out.splitlines()] == [
        [15496, 995], []]
    assert fluxperf("tokenize", cwd=tmp_path, stdin="nonsense\n").code != 0
