"""Models without their checkpoint: planned from built-in configs, run with random weights."""

import json
import os
import re
import shutil
import subprocess

import pytest

from conftest import FLUXSERVE, MODEL, ROOT

DEV, SCHNELL = "black-forest-labs/FLUX.1-dev", "black-forest-labs/FLUX.1-schnell"
CONFIGS = ROOT / "tests/data/configs"


@pytest.fixture
def fluxserve(tmp_path):
    """Run fluxserve in an empty place: no cache, no token, and a hub that refuses connections."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    clean |= {"HF_HOME": str(tmp_path / "empty"), "HF_ENDPOINT": "http://127.0.0.1:9"}

    def run(*arguments):
        return subprocess.run([FLUXSERVE, *map(str, arguments)], env=clean, cwd=tmp_path,
                              capture_output=True, text=True, timeout=300)

    yield run
    # nothing was looked up or fetched
    assert not (tmp_path / "empty").exists()


def plan(fluxserve, *arguments):
    done = fluxserve("plan", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name, folder, sequence", [
    (DEV, "FLUX.1-dev-configs", 512), (SCHNELL, "FLUX.1-schnell-configs", 256)])
def test_a_known_name_plans_as_its_configs_do(fluxserve, name, folder, sequence):
    by_name = plan(fluxserve, "--model-path", name)
    by_path = plan(fluxserve, "--model-path", CONFIGS / folder, "--max-sequence-length", sequence)
    assert by_name == by_path


def test_plan_explains_what_does_not_fit(fluxserve):
    done = fluxserve("plan", "--model-path", DEV, "--device-memory", "24GiB")
    assert done.returncode == 0, done.stderr
    assert "device memory          24.00 GiB" in done.stdout
    assert "does not fit by" in done.stdout
    result = plan(fluxserve, "--model-path", DEV, "--device-memory", "24GiB")
    memory = result["device_memory"]
    assert memory["device_bytes"] == 24 << 30 and memory["fits"] is False
    assert memory["total_bytes"] == result["weight_bytes"] + result["scratch_bytes"]


def test_named_options_do_make_it_fit(fluxserve):
    """At 33.5 GiB the weights fit but f32 scratch does not: each remedy is tried as it is written."""
    model = ("--model-path", DEV, "--device-memory", "33.5GiB")
    remedies = plan(fluxserve, *model)["device_memory"]["would_fit_with"]
    names = [remedy["options"] for remedy in remedies]
    assert "--dtype bf16" in names and "--size 768x768" in names
    assert "--vae-tile-size 512" in names
    assert any(name.startswith("--num-layers 1") for name in names)
    for remedy in remedies:
        memory = plan(fluxserve, *model, *remedy["options"].split())["device_memory"]
        assert memory["fits"], remedy
        assert memory["total_bytes"] == remedy["total_bytes"]


def test_tiles_need_less_memory(fluxserve):
    model = ("--model-path", DEV, "--dtype", "bf16", "--size", "2048x2048")
    whole, tiled = (plan(fluxserve, *model, *tiles) for tiles in ((), ("--vae-tiling",)))
    assert (whole["vae_tile_size"], tiled["vae_tile_size"]) == (0, 1024)
    assert tiled["scratch_bytes"] < whole["scratch_bytes"] / 3
    done = fluxserve("plan", *model, "--vae-tile-size", "1000")
    assert done.returncode == 2 and "must be a multiple of 32" in done.stderr


def test_enough_memory_fits(fluxserve):
    done = fluxserve("plan", "--model-path", SCHNELL, "--device-memory", "80GB")
    assert "fits, left over" in done.stdout and "would fit" not in done.stdout


@pytest.mark.parametrize("size", ["", "0", "-1GiB", "24 apples", "GiB", "1e40"])
def test_a_malformed_memory_size_is_refused(fluxserve, size):
    done = fluxserve("plan", "--model-path", DEV, "--device-memory", size)
    assert done.returncode == 2
    assert "--device-memory" in done.stderr and "24GiB" in done.stderr


# --- fewer blocks -----------------------------------------------------------------------------------


def test_plan_counts_fewer_blocks(fluxserve):
    whole, cut = (plan(fluxserve, "--model-path", DEV, *layers)
                  for layers in ((), ("--num-layers", "1,2")))
    assert cut["parts"]["text_encoder_2"] == whole["parts"]["text_encoder_2"]
    assert cut["parts"]["transformer"]["parameters"] < whole["parts"]["transformer"]["parameters"] / 10
    assert cut["flops_per_step"] < whole["flops_per_step"] / 10


@pytest.mark.parametrize("command", [["plan"], ["generate", "--prompt", "x", "--load-format", "dummy"],
                                     ["serve", "--port", "0", "--load-format", "dummy"]])
def test_more_blocks_than_the_model_has_are_refused(fluxserve, command):
    done = fluxserve(*command, "--model-path", DEV, "--num-layers", "19,39")
    assert done.returncode == 2
    assert "num_layers 19,39" in done.stderr and "19,38" in done.stderr


# --- random weights ---------------------------------------------------------------------------------


@pytest.fixture
def configs(tmp_path):
    """The configs of a small model and nothing else."""
    folder = tmp_path / "configs"
    shutil.copytree(MODEL, folder, ignore=shutil.ignore_patterns("*.safetensors", "tokenizer*"))
    return folder


def generate(fluxserve, model, output, *arguments):
    done = fluxserve("generate", "--model-path", model, "--load-format", "dummy", "--prompt",
                     "a red fox", "--seed", 1, "--width", 64, "--height", 64, "--steps", 2,
                     "--output", output, *arguments)
    assert done.returncode == 0, done.stderr
    assert "pictures show nothing" in done.stderr
    return output.read_bytes()


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_configs_alone_give_the_same_picture_every_time(fluxserve, configs, tmp_path, dtype):
    first = generate(fluxserve, configs, tmp_path / "1.png", "--dtype", dtype)
    assert first == generate(fluxserve, configs, tmp_path / "2.png", "--dtype", dtype)
    assert first != generate(fluxserve, configs, tmp_path / "3.png", "--dtype", dtype,
                             "--num-layers", "1,0")


def test_configs_alone_are_no_checkpoint(fluxserve, configs, tmp_path):
    done = fluxserve("generate", "--model-path", configs, "--prompt", "x", "--output",
                     tmp_path / "x.png")
    assert done.returncode != 0 and "tokenizer" in done.stderr
    assert not (tmp_path / "x.png").exists()


def test_a_server_runs_on_random_weights(start_server, configs):
    server = start_server("--load-format", "dummy", "--num-layers", "1,1", "--model-path", configs)
    status, _, answer = server.generate(prompt="any words, even \N{FOX FACE} and \u6c34", seed=3)
    assert status == 200 and answer["data"][0]["b64_json"]
    assert "weights are random" in server.log()
    assert server.stop() == 0


# --- what can't fit ---------------------------------------------------------------------------------


@pytest.fixture
def vast(tmp_path):
    """Configs of a transformer of about 900 GiB, beside small encoders."""
    folder = tmp_path / "vast"
    shutil.copytree(CONFIGS / "FLUX.1-dev-configs", folder)
    for part, changes in (("transformer", {"num_layers": 1024, "num_single_layers": 1024}),
                          ("text_encoder_2", {"num_layers": 1})):
        path = folder / part / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def test_a_server_refuses_what_memory_can_not_hold(fluxserve, vast):
    serve = ("serve", "--port", "0", "--backend", "cpu", "--load-format", "dummy", "--model-path")
    done = fluxserve(*serve, vast)
    assert done.returncode == 1
    needed, layers = re.search(r"needs ([0-9.]+) GiB .* it would fit with --num-layers (\d+,\d+)$",
                               done.stderr, re.M).groups()
    result = plan(fluxserve, "--model-path", vast, "--size", "256x256", "--steps", 1)
    total = result["weight_bytes"] + result["scratch_bytes"]
    assert float(needed) == pytest.approx(total / 2**30, abs=0.06)
    assert 1 <= int(layers.split(",")[0]) < 1024
