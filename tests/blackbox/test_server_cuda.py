"""The server on simulated CUDA devices: replicas, and devices that are lost.

FLUXSERVE_ON_SIM names fluxserve with its CUDA back end on the simulated device (ctest sets it)."""

import base64
import concurrent.futures
import io
import os
import subprocess

import numpy
import pytest
from PIL import Image

from conftest import FLUXSERVE, MODEL

PROGRAM = os.environ.get("FLUXSERVE_ON_SIM", "")
ENV = {"CUDA_SIM_DEVICES": "2", "CUDA_SIM_CHECKS": "1", "FLUXBENCH_CUBLASLT": "0", "FLUXBENCH_CUDNN": "0"}
EXIT_DEVICE_LOST = 3

pytestmark = pytest.mark.skipif(not PROGRAM, reason="no simulated device (see docs/build.md)")


@pytest.fixture
def start_on_sim(start_server, tmp_path):
    """Start a server on two simulated devices; its lose(n) takes device n away."""

    def start(*arguments):
        lose = tmp_path / "lose"
        server = start_server("--backend", "cuda", *arguments, program=PROGRAM,
                              env={**ENV, "CUDA_SIM_LOSE": str(lose)})
        server.lose = lambda device: lose.write_text(str(device))
        return server

    return start


def generate(server, seed):
    return server.generate(seed=seed, size="32x32", num_inference_steps=1, max_sequence_length=16)


def pixels(answer):
    status, _, body = answer
    assert status == 200, body
    data = base64.b64decode(body["data"][0]["b64_json"])
    return numpy.asarray(Image.open(io.BytesIO(data)), dtype=float)


def assert_no_complaint(server):
    """The simulator checks every access of every kernel and complains with a [kind]."""
    assert not [line for line in server.log().splitlines() if line.startswith("[")]


def test_two_replicas_serve_and_their_images_are_right(start_on_sim, start_server):
    server = start_on_sim("--num-gpus", "2", "--dtype", "f32")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        images = [pixels(a) for a in pool.map(lambda seed: generate(server, seed), [5, 6, 5, 6])]
    replicas = server.health()["replicas"]
    assert [r["device"].split(":")[0] for r in replicas] == ["device 0", "device 1"]
    assert all(r["state"] == "ready" and r["requests"] >= 1 for r in replicas)
    assert sum(r["requests"] for r in replicas) == 4
    metrics = server.ask("GET", "/metrics")[2].decode()
    assert 'fluxserve_replica_up{replica="1"} 1' in metrics
    assert numpy.array_equal(images[0], images[2]) and numpy.array_equal(images[1], images[3])
    cpu = start_server("--backend", "cpu", "--dtype", "f32")
    for seed, image in zip([5, 6], images):
        assert abs(pixels(generate(cpu, seed)) - image).max() <= 1
    assert server.stop() == 0
    assert_no_complaint(server)


def test_lost_device_ends_the_server_with_an_exit_code_of_its_own(start_on_sim):
    server = start_on_sim()
    assert generate(server, 1)[0] == 200
    server.lose(0)
    status, _, answer = generate(server, 1)
    assert status == 500
    assert "CUDA device 0" in answer["error"]["message"]
    assert "illegal memory access" in answer["error"]["message"]
    assert server.process.wait(timeout=60) == EXIT_DEVICE_LOST
    assert "is lost: the server ends" in server.log()
    assert 'draining reason="device lost"' in server.log()


def test_other_replica_answers_what_was_accepted(start_on_sim):
    server = start_on_sim("--num-gpus", "2")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(generate, server, seed) for seed in range(3)]
        server.wait_for(lambda: server.health()["in_flight"] == 2
                        and server.health()["queue_depth"] == 1)
        server.lose(1)
        assert sorted(a.result()[0] for a in answers) == [200, 200, 500]
    assert server.process.wait(timeout=60) == EXIT_DEVICE_LOST
    assert_no_complaint(server)


def test_device_id_is_the_first_device(start_on_sim):
    server = start_on_sim("--device-id", "1")
    assert [r["device"].split(":")[0] for r in server.health()["replicas"]] == ["device 1"]


@pytest.mark.parametrize("scheme", ["int8", "fp8", "q4"])
def test_quantised_weights_give_the_cpus_image(scheme, tmp_path):
    images = []
    for program, backend in ((PROGRAM, "cuda"), (FLUXSERVE, "cpu")):
        images.append(tmp_path / f"{backend}.png")
        done = subprocess.run(
            [program, "generate", "--model-path", MODEL, "--backend", backend, "--dtype", "f32",
             "--quantization", scheme, "--prompt", "a fox", "--seed", "3", "--steps", "1",
             "--width", "32", "--height", "32", "--max-sequence-length", "16",
             "--output", str(images[-1])],
            capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **ENV})
        assert done.returncode == 0, done.stderr
        assert not [line for line in done.stderr.splitlines() if line.startswith("[")]
    cuda, cpu = (numpy.asarray(Image.open(path), dtype=float) for path in images)
    assert abs(cuda - cpu).max() <= 1
    assert cuda.std() > 5


@pytest.mark.parametrize("arguments, text", [
    (["--num-gpus", "3"], "--num-gpus 3 from --device-id 0: 2 CUDA devices answer, must be 2 at most"),
    (["--num-gpus", "2", "--device-id", "1"], "2 CUDA devices answer, must be 1 at most"),
    (["--num-gpus", "2", "--backend", "cpu"], "--num-gpus 2: must be 1 or 0 on the CPU"),
])
def test_more_devices_than_answer_are_refused(arguments, text):
    done = subprocess.run([PROGRAM, "serve", "--model-path", MODEL, "--port", "0", *arguments],
                          capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, **ENV})
    assert done.returncode == 2
    assert text in done.stderr
