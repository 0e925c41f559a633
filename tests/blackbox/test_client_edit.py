"""--endpoint-type image_edit: forms with input pictures, from files or made up."""

import base64
import email
import email.policy
import json

import pytest

from client_run import fluxperf
from fake_server import FakeServer, PNG, make_png

JPEG = b"\xff\xd8\xff\xe0" + bytes(200)  # by its signature; the client sends files as they are


def run_edit(url, cwd, *args, rows=None, folder="out"):
    if rows is not None:
        (cwd / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        args = ("--input-file", "rows.jsonl", *args)
    return fluxperf("profile", "--model", "m", "--url", url, "--endpoint-type", "image_edit",
                    "--artifact-dir", "out", *args, cwd=cwd, folder=folder)


def read_form(request):
    """[(name, file name, content type, bytes)] by Python's own parser."""
    head = f"Content-Type: {request.header('content-type')}\r\n\r\n".encode()
    message = email.message_from_bytes(head + request.body, policy=email.policy.HTTP)
    assert message.get_content_type() == "multipart/form-data" and not message.defects
    parts = []
    for part in message.iter_parts():
        assert not part.defects
        parts.append((part.get_param("name", header="content-disposition"), part.get_filename(),
                      part.get_content_type(), part.get_payload(decode=True)))
    return parts


def test_a_row_becomes_a_form(tmp_path):
    (tmp_path / "fox.png").write_bytes(PNG)
    (tmp_path / "cat.jpg").write_bytes(JPEG)
    rows = [{"text": "make it blue", "image": "fox.png", "extra": {"seed": 7, "note": "a\"b"}},
            {"text": "größer", "images": [str(tmp_path / "cat.jpg"), "unused"]},
            {"text": "c", "image": "data:image/png;base64," + base64.b64encode(PNG).decode()},
            {"text": "d", "image": "http://127.0.0.1:1/x.png"}]
    with FakeServer() as server:
        run = run_edit(server.url, tmp_path, "--extra-inputs", "flag:True", "--extra-inputs",
                       "x:1.50", "--extra-inputs", "n:2", "--extra-inputs", "gone:null",
                       "--request-count", "4", "--export-level", "raw", rows=rows)
    assert run.code == 0, run.err
    assert [r.path for r in server.requests] == ["/v1/images/edits"] * 4
    text = "text/plain"
    common = [("model", None, text, b"m"), ("response_format", None, text, b"b64_json"),
              ("n", None, text, b"2")]
    extra = [("flag", None, text, b"true"), ("x", None, text, b"1.5")]
    forms = [read_form(r) for r in server.requests]
    assert forms[0] == [("prompt", None, text, b"make it blue"), *common,
                        ("image", "image.png", "image/png", PNG), *extra,
                        ("seed", None, text, b"7"), ("note", None, text, b'a"b')]
    assert forms[1][0][3] == "größer".encode()
    assert forms[1][4] == ("image", "image.jpg", "image/jpeg", JPEG)
    assert forms[2][4] == ("image", "image.png", "image/png", PNG)
    assert forms[3][4] == ("url", None, text, b"http://127.0.0.1:1/x.png")

    payload = run.json("inputs.json")["data"][0]["payloads"][0]
    assert payload == {"prompt": "make it blue", "model": "m", "response_format": "b64_json", "n": 2,
                       "image": {"b64_data": base64.b64encode(PNG).decode(),
                                 "filename": "image.png", "content_type": "image/png"},
                       "flag": True, "x": 1.5, "gone": None, "seed": 7, "note": "a\"b"}
    raw = run.lines("profile_export_raw.jsonl")[0]
    assert raw["payload"] == payload
    assert "Content-Type" not in raw["request_headers"]  # it would be another one for each form
    line = run.lines()[0]["metrics"]
    assert line["http_req_data_sent"]["value"] == len(server.requests[0].body) / 1024
    assert line["input_sequence_length"]["value"] == 3
    config = run.json()["input_config"]["endpoint"]
    assert config["type"] == "image_edit" and config["request_content_type"] == "multipart/form-data"
    assert "Image Edit Metrics" in run.out


def test_made_up_pictures_have_the_size_and_follow_the_seed(tmp_path):
    forms = []
    for name in "a", "b":
        (tmp_path / name).mkdir()
        with FakeServer() as server:
            run = run_edit(server.url, tmp_path / name, "--isl", "5", "--image-width-mean", "32",
                           "--image-width-stddev", "8", "--image-height-mean", "16",
                           "--image-format", "png", "--random-seed", "3", "--request-count", "6")
        assert run.code == 0, run.err
        forms.append([read_form(r) for r in server.requests])
        hashes = run.json("run_manifest.json")["data_set"]
    assert forms[0] == forms[1]
    # the size in the header of the file
    sizes = [(int.from_bytes(f[4][3][16:20], "big"), int.from_bytes(f[4][3][20:24], "big"))
             for f in forms[0]]
    assert all(h == 16 for _, h in sizes) and len({w for w, _ in sizes}) > 1
    assert len({f[4][3] for f in forms[0]}) == 6  # no two alike
    assert hashes["entries"] == 6


@pytest.mark.parametrize("args, kinds", [
    ([], {"image/jpeg"}),
    (["--image-format", "jpeg"], {"image/jpeg"}),
    (["--image-format", "random"], {"image/jpeg", "image/png"}),
])
def test_the_format_of_made_up_pictures(tmp_path, args, kinds):
    with FakeServer() as server:
        run = run_edit(server.url, tmp_path, "--isl", "5", "--image-width-mean", "9",
                       "--image-height-mean", "7", "--random-seed", "3", *args)
    assert run.code == 0, run.err
    assert {read_form(r)[4][2] for r in server.requests} == kinds


def test_folder_pool_and_readiness(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.png").write_bytes(make_png(3, 4))
    rows = [{"text": "a", "image": "a.png"}, {"text": "b", "image": "b.png"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with FakeServer() as server:
        run = fluxperf("profile", "--model", "m", "--url", server.url, "--endpoint-type",
                       "image-edit", "--input-file", "rows.jsonl", "--custom-dataset-type",
                       "random_pool", "--random-seed", "1", "--request-count", "8",
                       "--wait-for-model-timeout", "5", cwd=tmp_path,
                       folder="artifacts/m-openai-image_edit-concurrency1")
    assert run.code == 0, run.err
    forms = [read_form(r) for r in server.requests]
    assert len(forms) == 9 and forms[0][4][2] == "image/png"  # the first is the trial
    files = {b"a": PNG, b"b": make_png(3, 4)}
    assert all(f[4][3] == files[f[0][3]] for f in forms[1:])
    assert {f[0][3] for f in forms[1:]} == {b"a", b"b"}
    assert run.json()["request_count"]["avg"] == 8


@pytest.mark.parametrize("row, text", [
    ({"text": "a"}, "rows.jsonl:1: no image: image_edit needs one"),
    ({"text": "a", "image": "none.png"}, "rows.jsonl:1: image: "),
    ({"text": "a", "image": "rows.jsonl"}, "rows.jsonl:1: the input picture is no PNG"),
    ({"text": "a", "image": "data:image/png;base64,@@"}, "rows.jsonl:1: image: "),
    ({"text": "a", "image": "data:image/png,x"}, "rows.jsonl:1: image: a data URL must be"),
    ({"text": "a", "image": "http://h/x", "extra": {"mask": 1}}, "rows.jsonl:1: extra field 'mask'"),
    ({"text": "a", "image": 5}, "rows.jsonl:1: image is 5"),
])
def test_wrong_rows_are_refused(tmp_path, row, text):
    run = run_edit("http://127.0.0.1:9", tmp_path, rows=[row])
    assert run.code in (1, 2) and text in run.err, run.err


@pytest.mark.parametrize("args, text", [
    ([], "--image-width-mean: is required for image_edit without --input-file"),
    (["--image-width-mean", "9"], "--image-height-mean: is required"),
    (["--image-width-mean", "9", "--image-height-mean", "9", "--extra-inputs", "image:x"],
     "--extra-inputs: extra field 'image'"),
    (["--image-width-mean", "9", "--image-height-mean", "20000"], "--image-height-mean is '20000'"),
    (["--endpoint-type", "image_generation", "--image-format", "png"],
     "needs --endpoint-type image_edit"),
])
def test_wrong_options_are_refused(tmp_path, args, text):
    run = run_edit("http://127.0.0.1:9", tmp_path, *args)
    assert run.code == 2 and text in run.err, run.err
