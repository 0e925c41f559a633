"""One image by several back ends: on the CPU, and on simulated devices (FLUXSERVE_ON_SIM, see
test_server_cuda.py)."""

import base64
import io
import json
import os
import subprocess

import numpy
import pytest
from PIL import Image

from conftest import FLUXSERVE, MODEL, ROOT

FOUR_HEADS = str(ROOT / "models" / "flux-tiny")
THREE_HEADS = MODEL
ON_SIM = os.environ.get("FLUXSERVE_ON_SIM", "")
SIM = {"CUDA_SIM_DEVICES": "4", "CUDA_SIM_CHECKS": "1", "FLUXBENCH_CUBLASLT": "0", "FLUXBENCH_CUDNN": "0"}
EXIT_DEVICE_LOST = 3

needs_sim = pytest.mark.skipif(not ON_SIM, reason="no simulated device (see docs/build.md)")


def run(*arguments, program=FLUXSERVE, timeout=120):
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=timeout,
                          check=False, env={**os.environ, **SIM})


def pixels(source):
    return numpy.asarray(Image.open(source), dtype=float)


def answer_pixels(answer):
    status, _, body = answer
    assert status == 200, body
    return pixels(io.BytesIO(base64.b64decode(body["data"][0]["b64_json"])))


# --- the CPU ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [2, 4])
def test_ranks_on_the_cpu_make_the_same_image(degree, tmp_path):
    images = []
    for n in (1, degree):
        path = tmp_path / f"{n}.png"
        done = run("generate", "--model-path", FOUR_HEADS, "--backend", "cpu", "--ulysses-degree", str(n),
                   "--prompt", "a red robot", "--seed", "3", "--width", "320", "--height", "448",
                   "--output", str(path))
        assert done.returncode == 0, done.stderr
        assert ("nothing is faster" in done.stderr) == (n > 1)
        images.append(pixels(path))
    assert abs(images[0] - images[1]).max() <= 1
    assert images[0].std() > 5


@pytest.mark.parametrize("arguments, text", [
    (["--ulysses-degree", "3"], "ulysses_degree 3: the model has 4 heads of attention, which can be split "
     "by 1, 2, 4"),
    (["--ulysses-degree", "9"], "--ulysses-degree is '9': must be an integer from 1 to 8"),
    (["--ulysses-degree", "4", "--width", "192", "--height", "64"],
     "size 192x64 is 3 tokens of 64x64 pixels: must be at least 4"),
    (["--ulysses-degree", "4", "--max-sequence-length", "3"], "max_sequence_length 3 is out of range: must "
     "be from 4 to 512"),
    (["--ulysses-degree", "2", "--dump-tensors", "x.safetensors"], "--dump-tensors with --ulysses-degree 2"),
    (["--ulysses-degree", "2", "--profile-steps", "1"], "--profile-steps with --ulysses-degree 2"),
])
def test_what_can_not_be_split_is_refused_by_name(arguments, text, tmp_path):
    done = run("generate", "--model-path", FOUR_HEADS, "--backend", "cpu", "--prompt", "x", "--output",
               str(tmp_path / "x.png"), *arguments)
    assert done.returncode == 2
    assert text in done.stderr
    assert not list(tmp_path.iterdir())


def test_server_answers_400_to_fewer_tokens_than_ranks(start_server):
    server = start_server("--model-path", FOUR_HEADS, "--backend", "cpu", "--ulysses-degree", "4")
    status, _, body = server.generate(size="128x64", num_inference_steps=1)
    assert (status, body["error"]["param"]) == (400, "size")
    status, _, body = server.generate(size="128x128", num_inference_steps=1, max_sequence_length=3)
    assert (status, body["error"]["param"]) == (400, "max_sequence_length")
    assert server.generate(size="128x128", num_inference_steps=1)[0] == 200
    assert server.stop() == 0


def test_server_refuses_heads_that_do_not_divide():
    done = run("serve", "--model-path", THREE_HEADS, "--backend", "cpu", "--port", "0", "--ulysses-degree",
               "2")
    assert done.returncode == 2
    assert "ulysses_degree 2: the model has 3 heads of attention, which can be split by 1, 3" in done.stderr


def test_plan_tells_what_each_device_has_and_sends():
    def plan(degree):
        done = run("plan", "--model-path", "black-forest-labs/FLUX.1-dev", "--dtype", "bf16", "--json",
                   "--ulysses-degree", str(degree))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    one, four = plan(1), plan(4)
    assert (one["ulysses_degree"], one["sent_bytes_per_step"]) == (1, 0)
    tokens, width, blocks, bf16 = 4096 + 512, 3072, 19 + 38, 2
    assert four["sent_bytes_per_step"] == 3 / 4 * blocks * 4 * tokens * width * bf16 / 4
    assert four["weight_bytes"] == one["weight_bytes"]
    assert 0.249 < four["flops_per_step"] / one["flops_per_step"] < 0.251
    table = run("plan", "--model-path", "black-forest-labs/FLUX.1-dev", "--dtype", "bf16",
                "--ulysses-degree", "4", "--link-rate", "100").stdout
    assert "devices per image               4" in table
    assert f"{four['sent_bytes_per_step'] / 1e11:.6f} s at 100 GB/s" in table
    refused = run("plan", "--model-path", "black-forest-labs/FLUX.1-dev", "--ulysses-degree", "5")
    assert refused.returncode == 2
    assert "24 heads of attention, which can be split by 1, 2, 3, 4, 6, 8" in refused.stderr


# --- simulated devices ------------------------------------------------------------------------------


def assert_no_complaint(server):
    """The simulator checks every access of every kernel and complains with a [kind]."""
    assert not [line for line in server.log().splitlines() if line.startswith("[")]


@needs_sim
def test_three_devices_make_the_cpus_image_until_one_is_lost(start_server, tmp_path):
    lose = tmp_path / "lose"
    wish = {"seed": 5, "size": "32x32", "num_inference_steps": 3, "max_sequence_length": 16}
    server = start_server("--backend", "cuda", "--dtype", "f32", "--ulysses-degree", "3", program=ON_SIM,
                          env={**SIM, "CUDA_SIM_LOSE": str(lose)})
    image = answer_pixels(server.generate(**wish))
    replicas = server.health()["replicas"]
    assert [r["device"].split(":")[0] for r in replicas] == ["devices 0 to 2"]
    cpu = start_server("--backend", "cpu", "--dtype", "f32")
    assert abs(answer_pixels(cpu.generate(**wish)) - image).max() <= 1
    lose.write_text("1")
    status, _, body = server.generate(**wish)
    assert status == 500
    assert "CUDA device 1" in body["error"]["message"]
    assert server.process.wait(timeout=60) == EXIT_DEVICE_LOST
    assert_no_complaint(server)


@needs_sim
def test_four_devices_are_two_replicas_of_two(start_server):
    server = start_server("--model-path", FOUR_HEADS, "--backend", "cuda", "--num-gpus", "4",
                          "--ulysses-degree", "2", program=ON_SIM, env=SIM)
    replicas = server.health()["replicas"]
    assert [r["device"].split(":")[0] for r in replicas] == ["devices 0 to 1", "devices 2 to 3"]
    assert server.stop() == 0
    assert_no_complaint(server)


@needs_sim
@pytest.mark.parametrize("command", ["serve", "generate"])
def test_more_devices_than_answer_are_refused(command):
    wish = ["--prompt", "x"] if command == "generate" else ["--port", "0"]
    done = run(command, "--model-path", FOUR_HEADS, "--ulysses-degree", "8", *wish, program=ON_SIM)
    assert done.returncode == 2
    assert ("--ulysses-degree 8 from --device-id 0: 4 CUDA devices answer, must be 4 at most"
            in done.stderr)
