"""fluxserve as any HTTP client sees it, with the real pipeline behind it."""

import base64
import concurrent.futures
import io
import json
import shutil
import signal
import socket
import subprocess

import pytest
from PIL import Image

PATH = "/v1/images/generations"
# Slow enough to be caught in the middle, and never waited for to the end.
SLOW = {"prompt": "a fox", "size": "128x128", "num_inference_steps": 100}


def post_and_hold(server, body):
    """Send a generation without reading the answer; the socket."""
    text = json.dumps(body).encode()
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"
                       % (PATH.encode(), len(text), text))
    return connection


def lasting(server, seconds):
    """Fields of a generation that takes about so long on this machine."""
    size = {"size": "128x128"}
    step_s = server.generate(**size, num_inference_steps=2)[2]["timings"]["denoising_steps_s"][1]
    steps = max(2, round(seconds / step_s))
    return {**size, "n": min(10, 1 + steps // 100), "num_inference_steps": min(100, steps)}


def in_flight(server, running, waiting):
    def claim():
        health = server.health()
        return (health["in_flight"], health["queue_depth"]) == (running, waiting)
    server.wait_for(claim)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_with_a_seed_gives_identical_bytes_twice(server):
    body = {"prompt": "a red fox", "size": "64x64", "num_inference_steps": 3, "seed": 42}
    command = ["curl", "-sS", "-H", "Content-Type: application/json", "-d", json.dumps(body),
               server.url + PATH]
    first, second = (json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                     for _ in range(2))
    assert first["data"] == second["data"]
    assert first["seed"] == 42


def test_without_a_seed_one_is_chosen_and_can_be_used_again(server):
    _, _, first = server.generate()
    _, _, again = server.generate(seed=first["seed"])
    assert first["data"] == again["data"]
    _, _, other = server.generate()
    assert other["seed"] != first["seed"]


@pytest.mark.parametrize("name, kind", [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_every_format_decodes_and_shows_the_same_picture(server, name, kind):
    _, _, png = server.generate(seed=1)
    status, _, answer = server.generate(seed=1, output_format=name, output_quality=100)
    assert (status, answer["output_format"]) == (200, name)
    data = base64.b64decode(answer["data"][0]["b64_json"])
    image = Image.open(io.BytesIO(data))
    assert image.format == kind
    expected = Image.open(io.BytesIO(base64.b64decode(png["data"][0]["b64_json"]))).convert("RGB")
    a, b = image.convert("RGB").tobytes(), expected.tobytes()
    assert sum(abs(x - y) for x, y in zip(a, b)) / len(a) < 16  # noise is hard on JPEG


def test_quality_changes_the_size_of_a_jpeg(server):
    sizes = [len(server.generate(seed=1, output_format="jpeg", output_compression=quality)[2]
                 ["data"][0]["b64_json"]) for quality in (10, 90)]
    assert sizes[0] < sizes[1]


def test_answer_has_all_fields_and_times_that_add_up(server):
    status, headers, answer = server.generate(n=2, quality="standard")
    assert status == 200
    assert answer["id"] == headers["X-Request-ID"]
    assert (answer["model"], answer["quality"], answer["background"]) == (
        server.health()["model"], "standard", "opaque")
    assert answer["peak_memory_mb"] > 1
    times = answer["timings"]
    assert len(times["denoising_steps_s"]) == 2 * 2
    parts = sum(times[name] for name in ("queue_s", "text_encoding_s", "vae_decode_s",
                                         "image_encoding_s", "other_s"))
    assert parts + sum(times["denoising_steps_s"]) == pytest.approx(times["total_s"], abs=1e-4)
    assert times["other_s"] < 0.5 * times["total_s"]
    assert 0 < answer["inference_time_s"] <= times["total_s"]
    stages = dict(item.split(";dur=") for item in headers["Server-Timing"].split(", "))
    assert list(stages) == ["queue", "text", "denoise", "vae", "encode", "total"]
    assert float(stages["total"]) == pytest.approx(times["total_s"] * 1000, abs=0.01)


def test_unknown_and_ineffective_fields_are_in_the_log(server):
    status, headers, _ = server.generate(moderation="low", quality="hd")
    assert status == 200
    line = server.log_line(headers["X-Request-ID"])
    assert 'ignored="moderation,quality"' in line
    assert "a fox" not in line


def test_cut_prompt_is_a_warning_in_the_log(server):
    status, headers, _ = server.generate(prompt="fox " * 200)
    assert status == 200
    line = server.log_line(headers["X-Request-ID"])
    assert "warning=" in line


@pytest.mark.parametrize("method, path, body, headers, status", [
    ("GET", "/nothing", None, {}, 404),
    ("POST", "/v1/chat/completions", "{}", {"Content-Type": "application/json"}, 404),
    ("GET", PATH, None, {}, 405),
    ("PUT", "/health", "x", {}, 405),
    ("POST", PATH, "{", {"Content-Type": "application/json"}, 400),
    ("POST", PATH, "a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ("POST", PATH, "x" * (1 << 20) + "x", {"Content-Type": "application/json"}, 413),
    ("GET", "/v1/images/img-0/content", None, {}, 404),
])
def test_errors_are_openai_error_objects(server, method, path, body, headers, status):
    got, _, answer = server.ask(method, path, body, headers)
    assert got == status
    assert set(json.loads(answer)["error"]) == {"message", "type", "param", "code"}


def test_full_queue_answers_429(start_server):
    server = start_server("--max-queue", "1")
    running = post_and_hold(server, SLOW)
    in_flight(server, 1, 0)
    waiting = post_and_hold(server, SLOW)
    in_flight(server, 1, 1)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.generate(), range(8)))
    assert {status for status, _, _ in answers} == {429}
    assert all(int(headers["Retry-After"]) >= 1 for _, headers, _ in answers)
    assert answers[0][2]["error"]["code"] == "queue_full"
    assert server.health()["rejected"] == 8
    waiting.close()
    running.close()
    in_flight(server, 0, 0)
    assert server.generate()[0] == 200


def test_vanished_client_frees_the_worker(start_server):
    server = start_server()
    connection = post_and_hold(server, {**SLOW, "n": 10})
    in_flight(server, 1, 0)
    connection.close()
    server.wait_for(lambda: server.health()["canceled"] == 1)
    assert server.generate()[0] == 200
    health = server.health()
    assert (health["completed"], health["in_flight"]) == (1, 0)
    server.wait_for(lambda: "canceled=running" in server.log())
    assert 'outcome="canceled"} 1' in server.ask("GET", "/metrics")[2].decode()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains(start_server, how):
    server = start_server()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        running = pool.submit(server.generate, **lasting(server, 1.5))
        in_flight(server, 1, 0)
        waiting = pool.submit(server.generate)
        in_flight(server, 1, 1)
        server.process.send_signal(how)
        server.wait_for(lambda: server.health()["status"] == "draining")
        assert server.ask("GET", "/health")[0] == 503
        status, _, answer = server.generate()
        assert (status, answer["error"]["code"]) == (503, "shutting_down")
        assert running.result()[0] == 200
        assert waiting.result()[0] == 200
    assert server.process.wait(timeout=60) == 0


def test_second_signal_ends_at_once(start_server):
    server = start_server()
    connection = post_and_hold(server, {**SLOW, "n": 10})
    in_flight(server, 1, 0)
    server.process.send_signal(signal.SIGTERM)
    server.wait_for(lambda: "draining" in server.log())
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=60) == 1
    connection.close()


def test_two_servers_on_one_port_is_a_clear_error(server, start_server):
    second = start_server("--port", str(server.port), wait=False)
    assert second.process.wait(timeout=60) == 1
    assert f"port {server.port} on 127.0.0.1 is in use" in second.log()


def test_ipv6_address_takes_both_families(start_server):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    server = start_server("--host", "::")
    assert f"http://[::]:{server.port} " in server.log()
    assert server.health()["status"] == "ok"
    connection = socket.create_connection(("::1", server.port))
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert connection.recv(64).startswith(b"HTTP/1.1 200")
    connection.close()


def test_metrics_are_prometheus_text(server):
    server.generate()
    status, headers, body = server.ask("GET", "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = body.decode().splitlines()
    typed = {line.split()[2] for line in lines if line.startswith("# TYPE ")}
    for line in lines:
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name.split("{")[0] in typed
            float(value)


def test_store_is_bounded(start_server):
    server = start_server("--store-images", "1", "--max-n", "1")
    urls = [server.generate(response_format="url")[2]["data"][0]["url"] for _ in range(2)]
    paths = [url.removeprefix(server.url) for url in urls]
    assert server.ask("GET", paths[0])[0] == 410
    assert server.ask("GET", paths[1])[0] == 200
