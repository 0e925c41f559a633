"""Options that say which memory holds what: the plan, and the server on a simulated device.

FLUXSERVE_ON_SIM names fluxserve with its CUDA back end on the simulated device (ctest sets it)."""

import json
import os
import re
import shutil
import subprocess

import pytest

from conftest import FLUXSERVE, ROOT

DEV = "black-forest-labs/FLUX.1-dev"
CONFIGS = ROOT / "tests/data/configs/FLUX.1-dev-configs"
ON_SIM = os.environ.get("FLUXSERVE_ON_SIM", "")
ENV = {"CUDA_SIM_CHECKS": "1", "FLUXBENCH_CUBLASLT": "0", "FLUXBENCH_CUDNN": "0"}
TUTORIAL = ["--text-encoder-cpu-offload", "--pin-cpu-memory", "--num-gpus", "1"]
GIB = 1 << 30

on_sim = pytest.mark.skipif(not ON_SIM, reason="no simulated device (see docs/build.md)")


def plan(*arguments):
    done = subprocess.run([FLUXSERVE, "plan", "--json", "--dtype", "bf16", *map(str, arguments)],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- the plan ---------------------------------------------------------------------------------------


def test_plan_counts_what_is_copied():
    text, blocks = (plan("--model-path", DEV, option) for option in
                    ("--text-encoder-cpu-offload", "--dit-layerwise-offload"))
    parts = text["parts"]
    encoders = parts["text_encoder"]["weight_bytes"] + parts["text_encoder_2"]["weight_bytes"]
    assert text["streamed_bytes"] == pytest.approx(encoders, rel=0.001)  # all but norms and biases
    assert text["copied_bytes_per_image"] == pytest.approx(text["streamed_bytes"], rel=0.001)
    assert text["copied_bytes_per_step"] == 0
    assert blocks["streamed_bytes"] == pytest.approx(parts["transformer"]["weight_bytes"], rel=0.01)
    assert blocks["copied_bytes_per_step"] == blocks["streamed_bytes"]
    assert blocks["copied_bytes_per_image"] == blocks["steps"] * blocks["streamed_bytes"]
    assert blocks["copy_s_per_image"] == pytest.approx(blocks["copied_bytes_per_image"] / 25e9)
    # Two buffers for a double block, 18 D^2 parameters for each of image and text.
    assert blocks["stream_buffer_bytes"] == 2 * 2 * 18 * 3072**2 * 2


def test_guidance_and_batches_change_what_an_image_costs():
    model = ("--model-path", DEV, "--text-encoder-cpu-offload", "--dit-layerwise-offload")
    one, cfg, four = (plan(*model, *more) for more in ((), ("--cfg",), ("--batch", 4)))
    assert cfg["copied_bytes_per_image"] == pytest.approx(2 * one["copied_bytes_per_image"], rel=1e-6)
    assert four["copied_bytes_per_image"] == pytest.approx(one["copied_bytes_per_image"] / 4, rel=1e-6)
    slow = plan(*model, "--bus-rate", "12.5")
    assert slow["copy_s_per_image"] == pytest.approx(2 * one["copy_s_per_image"])


@pytest.mark.parametrize("memory", ["4GiB", "12GiB", "16GiB", "24GiB", "32GiB"])
def test_plan_names_options_that_do_make_it_fit(memory):
    model = ("--model-path", DEV, "--device-memory", memory)
    remedies = plan(*model)["device_memory"]["would_fit_with"]
    assert any("offload" in remedy["options"] for remedy in remedies)
    for remedy in remedies:
        fit = plan(*model, *remedy["options"].split())["device_memory"]
        assert fit["fits"] and fit["total_bytes"] == remedy["total_bytes"], remedy


def test_named_options_add_to_those_that_were_given():
    model = ("--model-path", DEV, "--device-memory", "8GiB", "--text-encoder-cpu-offload")
    remedies = {r["options"]: r["total_bytes"] for r in plan(*model)["device_memory"]["would_fit_with"]}
    total = remedies["--dit-layerwise-offload"]
    both = plan(*model, "--dit-layerwise-offload")["device_memory"]
    assert both["fits"] and both["total_bytes"] == total


def test_plan_tells_what_is_where():
    done = subprocess.run(
        [FLUXSERVE, "plan", "--model-path", DEV, "--dtype", "bf16", "--device-memory", "24GiB",
         "--text-encoder-cpu-offload", "--pin-cpu-memory", "--vae-tile-size", "512"],
        capture_output=True, text=True, timeout=60, check=True)
    assert re.search(r"^in host memory +9\.10 GiB  page-locked$", done.stdout, re.M)
    assert re.search(r"^text_encoder_2 .* 8\.87 GiB in host memory$", done.stdout, re.M)
    assert re.search(r"^copied per image +9\.10 GiB  0\.391 s", done.stdout, re.M)
    assert "fits, left over" in done.stdout


# --- the server -------------------------------------------------------------------------------------


@on_sim
@pytest.mark.parametrize("always, options", [
    ([], TUTORIAL), (["--quantization", "fp8"], ["--dit-layerwise-offload"])])
def test_pictures_do_not_depend_on_where_weights_are(start_server, always, options):
    wish = {"seed": 5, "size": "32x32", "num_inference_steps": 2, "max_sequence_length": 16}
    answers = []
    for more in ([], options):
        server = start_server("--backend", "cuda", *always, *more, program=ON_SIM, env=ENV)
        status, _, answer = server.generate(**wish)
        assert status == 200
        answers.append(answer["data"][0]["b64_json"])
        assert "no effect" not in server.log()
        assert server.stop() == 0
        assert not [line for line in server.log().splitlines() if line.startswith("[")]
    assert answers[0] == answers[1]


@on_sim
def test_pinning_nothing_has_no_effect(start_server):
    server = start_server("--backend", "cuda", "--pin-cpu-memory", program=ON_SIM, env=ENV)
    assert "--pin-cpu-memory: no effect without --text-encoder-cpu-offload" in server.log()


@pytest.fixture
def vast(tmp_path):
    """Configs of a transformer of some 600 GiB, beside small encoders."""
    folder = tmp_path / "vast"
    shutil.copytree(CONFIGS, folder)
    for part, changes in (("transformer", {"num_layers": 512, "num_single_layers": 1024}),
                          ("text_encoder_2", {"num_layers": 1})):
        path = folder / part / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def refuse(model, *options):
    done = subprocess.run([ON_SIM, "serve", "--port", "0", "--backend", "cuda", "--load-format",
                           "dummy", "--model-path", model, *options], capture_output=True,
                          text=True, timeout=60, check=False, env={**os.environ, **ENV})
    assert done.returncode == 1
    return done.stderr


@on_sim
def test_a_device_refuses_at_start_what_it_can_not_hold(vast):
    complaint = refuse(vast)
    needed, there = re.search(r"needs ([0-9.]+) GiB for its weights and an image of 256x256, and "
                              r"([0-9.]+) GiB of the device's memory are available; it would fit "
                              r"with --dit-layerwise-offload, or with --num-layers", complaint).groups()
    result = plan("--model-path", vast, "--size", "256x256")
    assert float(needed) == pytest.approx((result["weight_bytes"] + result["scratch_bytes"]) / GIB,
                                          abs=0.06)
    assert float(there) == 16.0  # of the simulated device


@on_sim
def test_offloaded_weights_must_fit_into_host_memory(vast):
    complaint = refuse(vast, "--dit-layerwise-offload")
    assert re.search(r"offloaded weights need [0-9.]+ GiB of host memory, and [0-9.]+ GiB are "
                     r"available; leave out .*--dit-layerwise-offload", complaint)
