"""POST /v1/images/edits: forms with a picture, from the SDK, curl, fluxperf and by hand."""

import base64
import io
import json
import random
import shutil
import subprocess

import openai
import pytest
from PIL import Image

from client_run import fluxperf
from conftest import FLUXSERVE, MODEL

PATH = "/v1/images/edits"
FORM = {"Content-Type": "multipart/form-data; boundary=edge"}


def picture(width=64, height=80, kind="PNG"):
    """A noisy file, the same each time."""
    pixels = random.Random(1).randbytes(width * height * 3)
    file = io.BytesIO()
    Image.frombytes("RGB", (width, height), pixels).save(file, kind)
    return file.getvalue()


def form(*parts):
    """The body of (name, bytes) parts; a name may carry more of its head."""
    body = b""
    for name, value in parts:
        quoted = name if '"' in name else f'"{name}"'
        body += b"--edge\r\nContent-Disposition: form-data; name=%s\r\n\r\n%s\r\n" % (
            quoted.encode(), value)
    return body + b"--edge--\r\n"


def edit(server, *parts, headers=FORM):
    status, _, answer = server.ask("POST", PATH, form(*parts), headers)
    return status, json.loads(answer)


def file_of(answer):
    return base64.b64decode(answer["data"][0]["b64_json"])


GOOD = (("prompt", b"a fox"), ("image", picture()), ("num_inference_steps", b"4"), ("seed", b"5"))


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)


def test_sdk_gets_the_picture_that_generate_makes(client, tmp_path):
    (tmp_path / "in.png").write_bytes(picture())
    subprocess.run([FLUXSERVE, "generate", "--model-path", MODEL, "--prompt", "a fox", "--image",
                    tmp_path / "in.png", "--strength", "0.5", "--steps", "4", "--seed", "5",
                    "--output", tmp_path / "out.png"], check=True, capture_output=True)
    with open(tmp_path / "in.png", "rb") as file:
        answer = client.images.edit(
            model="flux", prompt="a fox", image=file, response_format="b64_json",
            extra_body={"strength": 0.5, "num_inference_steps": 4, "seed": 5})
    assert base64.b64decode(answer.data[0].b64_json) == (tmp_path / "out.png").read_bytes()
    assert (answer.size, answer.seed) == ("64x80", 5)


def test_sdk_sends_a_list_of_one_and_asks_for_urls(client, server):
    answer = client.images.edit(prompt="a fox", image=[("a.png", picture())], n=2, size="64x80",
                                response_format="url", extra_body={"num_inference_steps": 2})
    assert len({image.url for image in answer.data}) == 2
    for image in answer.data:
        status, _, body = server.ask("GET", image.url.removeprefix(server.url))
        assert status == 200 and Image.open(io.BytesIO(body)).size == (64, 80)


def test_sdk_error_names_the_mask(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.images.edit(prompt="a fox", image=picture(), mask=picture())
    assert error.value.param == "mask" and "not supported" in error.value.message


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_curl_form(server, tmp_path, kind):
    (tmp_path / "in").write_bytes(picture(128, 64, kind))
    command = ["curl", "-sS", "-F", f"image=@{tmp_path / 'in'}", "-F", "prompt=a fox", "-F",
               "num_inference_steps=2", "-F", "seed=1", "-F", "output_format=webp",
               server.url + PATH]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    image = Image.open(io.BytesIO(file_of(answer)))
    assert (image.format, image.size) == ("WEBP", (128, 64))


def test_strength_decides_how_many_steps_run(server):
    steps = {}
    for strength in b"0.25", b"0.5", b"1":
        status, answer = edit(server, *GOOD, ("strength", strength))
        assert status == 200, answer
        steps[strength] = len(answer["timings"]["denoising_steps_s"])
    assert steps == {b"0.25": 1, b"0.5": 2, b"1": 4}


def test_picture_and_strength_change_the_result(server):
    other = ("image", picture(kind="BMP"))
    results = [edit(server, *GOOD, ("strength", b"0.5"))[1],
               edit(server, GOOD[0], other, *GOOD[2:], ("strength", b"0.5"))[1],
               edit(server, *GOOD, ("strength", b"0.75"))[1]]
    black = io.BytesIO()
    Image.new("RGB", (64, 80)).save(black, "PNG")
    results.append(edit(server, GOOD[0], ("image", black.getvalue()), *GOOD[2:],
                        ("strength", b"0.5"))[1])
    files = [file_of(answer) for answer in results]
    assert files[0] == files[1]  # the same pixels in another format
    assert len(set(files)) == 3


def test_log_line_tells_strength_and_ignored_fields(server):
    status, answer = edit(server, *GOOD, ("input_fidelity", b"high"))
    assert status == 200
    line = server.log_line(answer["id"])
    assert "strength=0.6" in line and 'ignored="input_fidelity"' in line


def test_generations_ignores_strength(server):
    status, headers, _ = server.generate(strength=0.5)
    assert status == 200
    assert 'ignored="strength"' in server.log_line(headers["X-Request-ID"])


@pytest.mark.parametrize("changes, param, text", [
    ({"image": None}, "image", "image: missing"),
    ({"image": b""}, "image", "image: empty"),
    ({"image": b"no picture"}, "image", "image: "),
    ({"image": picture()[:-100]}, "image", "image: "),
    ({"image": picture(66, 64)}, "image", "66x64"),
    ({"image[]": picture()}, "image", "must be one"),
    ({"prompt": None}, "prompt", "prompt: missing"),
    ({"prompt": b"a\xff"}, "prompt", "UTF-8"),
    ({"prompt": b"a\0b"}, "prompt", "NUL"),
    ({"n": b"two"}, "n", "two"),
    ({"n": b""}, "n", "integer"),
    ({"n": b"11"}, "n", "10"),
    ({"size": b"64x64"}, "size", "the image is 64x80"),
    ({"width": b"32"}, "width", "the image is 64x80"),
    ({"strength": b"1.5"}, "strength", "1.5"),
    ({"strength": b"0"}, "strength", "no step to run"),
    ({"strength": b"half"}, "strength", "half"),
    ({"response_format": b"file"}, "response_format", "b64_json, url"),
    ({"stream": b"true"}, "stream", "stream"),
    ({"mask": picture()}, "mask", "not supported"),
    ({"url": b"http://127.0.0.1:1/x.png"}, "url", "send the file"),
    ({'"seed"; x="': b"1"}, "seed", "twice"),
])
def test_each_bad_part_names_its_field(server, changes, param, text):
    parts = {**dict(GOOD), **changes}
    status, answer = edit(server, *((name, value) for name, value in parts.items()
                                    if value is not None))
    assert status == 400, answer
    assert answer["error"]["param"] == param and text in answer["error"]["message"], answer
    assert answer["error"]["code"] == "invalid_value"


BODY = form(*GOOD)


@pytest.mark.parametrize("body, kind, status, text", [
    (BODY[:-30], FORM["Content-Type"], 400, "no whole multipart/form-data"),
    (BODY[:40], FORM["Content-Type"], 400, "no whole multipart/form-data"),
    (b"", FORM["Content-Type"], 400, "no whole multipart/form-data"),
    (b"no form", FORM["Content-Type"], 400, "no whole multipart/form-data"),
    (BODY.replace(b'name="prompt"', b'title="x"'), FORM["Content-Type"], 400, "no name"),
    (BODY, "multipart/form-data", 400, "must tell the boundary"),
    (BODY, "multipart/form-data; boundary=other", 400, "no whole multipart/form-data"),
    (form(*GOOD, *[(f"x{i}", b"") for i in range(64)]), FORM["Content-Type"], 400, "at most 64"),
    (BODY.replace(b"\r\n\r\na fox", b"\r\nContent-Transfer-Encoding: base64\r\n\r\na fox"),
     FORM["Content-Type"], 400, "'base64' is not supported"),
    (b"{}", "application/json", 415, "sent as multipart/form-data"),
    (b"a=b", "application/x-www-form-urlencoded", 415, "sent as multipart/form-data"),
])
def test_malformed_forms_are_refused(server, body, kind, status, text):
    got, _, answer = server.ask("POST", PATH, body, {"Content-Type": kind})
    error = json.loads(answer)["error"]
    assert got == status and text in error["message"], answer
    assert set(error) == {"message", "type", "param", "code"}
    assert edit(server, *GOOD)[0] == 200


def test_a_form_may_come_byte_by_byte(server):
    black = io.BytesIO()
    Image.new("RGB", (64, 64)).save(black, "PNG")
    parts = (("image", black.getvalue()), *GOOD[2:], ("n", b"2"), ("prompt", b"a fox"),
             ("user", b""))
    body = form(*parts)
    status, _, answer = server.ask("POST", PATH, (body[i:i + 1] for i in range(len(body))), FORM)
    assert status == 200, answer
    assert json.loads(answer)["data"] == edit(server, *parts)[1]["data"]


def test_too_large_forms_and_pictures(start_server):
    server = start_server("--max-form-bytes", "50000", "--max-pixels", "8192")
    assert edit(server, *GOOD)[0] == 200
    status, answer = edit(server, GOOD[0], ("image", bytes(60000)))
    assert (status, answer["error"]["code"]) == (413, "request_too_large")
    assert "50000 bytes" in answer["error"]["message"]
    body = form(GOOD[0], ("image", bytes(60000)))
    status, _, answer = server.ask("POST", PATH, iter([body[:30000], body[30000:]]), FORM)
    assert status == 413 and b"50000 bytes" in answer
    black = io.BytesIO()
    Image.new("RGB", (128, 128)).save(black, "PNG")
    status, answer = edit(server, GOOD[0], ("image", black.getvalue()))
    assert status == 400 and answer["error"]["param"] == "image"
    assert "128x128" in answer["error"]["message"] and "8192" in answer["error"]["message"]


def test_fluxperf_measures_edits(server, tmp_path):
    run = fluxperf("profile", "--model", "tiny-flux-dev", "--url", server.url, "--endpoint-type",
                   "image_edit", "--image-width-mean", "64", "--image-height-mean", "64", "--isl",
                   "5", "--request-count", "3", "--extra-inputs", "num_inference_steps:4",
                   "--extra-inputs", "strength:0.85", "--artifact-dir", "out", cwd=tmp_path,
                   folder="out")
    assert run.code == 0, run.err
    assert run.json()["request_count"]["avg"] == 3
    assert not any(line.get("error") for line in run.lines())
    assert "size=64x64" in server.log_line("strength=0.85")
