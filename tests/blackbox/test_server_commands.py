"""The command lines of fluxserve."""

import json
import os
import pathlib
import signal
import subprocess

import pytest
from PIL import Image

from conftest import FLUXSERVE, MODEL, ROOT

MEMORY = ["--text-encoder-cpu-offload", "--dit-layerwise-offload", "--pin-cpu-memory"]
TUTORIAL = ["--text-encoder-cpu-offload", "--pin-cpu-memory", "--num-gpus", "1"]


def run(*arguments, env=None, **options):
    """Run fluxserve with the embedded model of this checkout, wherever the program was built."""
    env = {"FLUXBENCH_MODEL_DIR": str(ROOT / "models"), **os.environ, **(env or {})}
    return subprocess.run([FLUXSERVE, *arguments], capture_output=True, text=True, timeout=300,
                          env=env, **options)


def test_tutorials_arguments_are_accepted_with_a_warning_each(start_server):
    server = start_server(*TUTORIAL, "--host", "0.0.0.0", "--backend", "cpu")
    for option in ("--text-encoder-cpu-offload", "--pin-cpu-memory", "--num-gpus"):
        warnings = [line for line in server.log().splitlines()
                    if f"WARNING worker {option}" in line]
        assert len(warnings) == 1
    assert f"fluxserve running on http://0.0.0.0:{server.port} (Press CTRL+C" in server.log()


def test_options_for_a_device_say_that_the_cpu_has_none(tmp_path):
    done = run("generate", "--prompt", "x", "--model-path", MODEL, "--width", "64", "--height", "64",
               "--steps", "1", "--backend", "cpu", "--output", tmp_path / "x.png", *MEMORY)
    assert done.returncode == 0, done.stderr
    for option in MEMORY:
        assert len([line for line in done.stderr.splitlines() if f"{option}: no effect" in line]) == 1


def test_a_server_decodes_in_tiles(start_server):
    wish = {"size": "128x128", "seed": 5, "num_inference_steps": 1}
    pictures = []
    for tiles in ((), ("--vae-tiling",), ("--vae-tile-size", "96")):
        status, _, answer = start_server(*tiles).generate(**wish)
        assert status == 200
        pictures.append(answer["data"][0]["b64_json"])
    assert pictures[0] == pictures[1]  # one tile of the model's is enough
    assert pictures[0] != pictures[2]


def test_served_model_name_is_told_and_any_name_is_served(start_server):
    server = start_server("--served-model-name", "black-forest-labs/FLUX.1-dev")
    status, _, answer = server.generate(model="whatever")
    assert (status, answer["model"]) == (200, "black-forest-labs/FLUX.1-dev")
    assert server.ask("GET", "/v1/models/black-forest-labs/FLUX.1-dev")[0] == 200


@pytest.mark.parametrize("arguments, code, text", [
    (["--num-gpus", "4", "--backend", "cpu"], 2, "--num-gpus 4: must be 1 or 0"),
    (["--model-path", "/nonexistent"], 2, "no such directory"),
    (["--model-path", str(ROOT / "server")], 2, "model_index.json"),
    (["--port", "70000"], 2, "70000"),
    (["--prot", "1"], 2, "--port"),
    (["--backend", "metal"], 2, "metal"),
    (["--store-images", "1"], 2, "--max-n"),
    (["serv"], 2, "unknown command"),
    (["--host", "256.256.256.256"], 2, "256.256.256.256"),
    (["generate"], 2, "--prompt"),
    (["generate", "--prompt", "a", "--output", "a.gif"], 2, ".png"),
    (["generate", "--prompt", "a", "--seed", "-1"], 2, "--seed"),
    (["generate", "--prompt", "a", "--seed", "1,2"], 2, "2 seeds"),
    (["generate", "--prompt", "a", "--width", "65"], 2, "65"),
    (["generate", "--prompt", "a", "--steps", "2", "--profile-steps", "2"], 2, "must be 0 to 1"),
    (["generate", "--prompt", "a", "--quantize-activations"], 2, "must be int8 or fp8"),
    (["generate", "--prompt", "a", "--quantization", "q4", "--quantize-activations"], 2, "are q4"),
    (["generate", "--prompt", "a", "--profile-steps", "3:1"], 2, "'3:1': must be FIRST:LAST"),
    (["serve", "--profile-steps", "1:"], 2, "--profile-steps '1:'"),
    (["generate", "--prompt", "a", "--strength", "0.5"], 2, "--image"),
    (["generate", "--prompt", "a", "--image", "/nonexistent.png"], 1, "/nonexistent.png"),
    (["tokenize"], 2, "--encoder"),
    (["plan", "--size", "big"], 2, "--size"),
    (["healthcheck", "--port", "1"], 1, "can't connect"),
])
def test_wrong_usage_is_explained(arguments, code, text):
    done = run(*arguments)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert done.stdout == ""


def test_help_and_version():
    assert run("--version").stdout.startswith("fluxserve ")
    for command in ([], ["serve"], ["generate"], ["plan"], ["tokenize"], ["healthcheck"]):
        done = run(*command, "--help")
        assert done.returncode == 0 and "--" in done.stdout
        assert max(len(line) for line in done.stdout.splitlines()) <= 100


def test_environment_twins_are_read():
    done = run("serve", env={"FLUXSERVE_NUM_GPUS": "4", "FLUXSERVE_BACKEND": "cpu"})
    assert done.returncode == 2
    assert "--num-gpus 4" in done.stderr


def test_healthcheck_follows_health(server):
    assert run("healthcheck", "--port", str(server.port)).returncode == 0


def table(text):
    """The lines of a profile: (range, operation) to calls."""
    rows = [line.split() for line in text.splitlines() if len(line.split()) == 7]
    return {(r[0], r[1]): int(r[2]) for r in rows if r[2].isdigit()}


def test_profiled_steps_are_counted_by_block_and_operation(tmp_path):
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    wish = ["generate", "--model-path", MODEL, "--prompt", "x", "--seed", "1", "--width", "64",
            "--height", "64", "--steps", "4", "--backend", "cpu", "--output"]
    plain = run(*wish, files[0])
    done = run(*wish, files[1], "--profile-steps", "1:2")
    assert (plain.returncode, done.returncode) == (0, 0), done.stderr
    assert files[0].read_bytes() == files[1].read_bytes()
    rows = table(done.stderr)
    config = json.loads((pathlib.Path(MODEL) / "transformer/config.json").read_text())
    assert rows["double", "attention"] == 2 * config["num_layers"]
    assert rows["single", "attention"] == 2 * config["num_single_layers"]
    assert rows["step", "axpy"] == 2
    assert "2 profiled steps from step 1 on" in done.stderr and "; the 2 others" in done.stderr
    assert not table(plain.stderr)


def test_a_server_profiles_the_first_request_that_has_the_steps(start_server):
    server = start_server("--profile-steps", "2")
    for steps in (2, 3, 3):
        assert server.generate(size="64x64", num_inference_steps=steps)[0] == 200
    log = server.log()
    assert log.count("by the clock") == 1 and "profile of a request of 3 steps" in log
    assert table(log)["step", "axpy"] == 1


# --- generate ---------------------------------------------------------------------------------------


def generate(tmp_path, *arguments, output="out.png"):
    done = run("generate", "--model-path", MODEL, "--steps", "2", "--output",
               str(tmp_path / output), *arguments)
    assert done.returncode == 0, done.stderr
    return [pathlib.Path(name) for name in done.stdout.split()]


SMALL = ["--width", "64", "--height", "80"]


def test_one_image_keeps_its_name(tmp_path):
    names = generate(tmp_path, "--prompt", "a fox", "--seed", "7", *SMALL)
    assert names == [tmp_path / "out.png"]
    assert Image.open(names[0]).size == (64, 80)


def test_several_images_are_numbered(tmp_path):
    names = generate(tmp_path, "--prompt", "a fox", "--prompt", "a cat", "--n", "2", "--seed", "7",
                     *SMALL, output="x.webp")
    assert names == [tmp_path / f"x_{i}.webp" for i in range(4)]
    assert {Image.open(name).format for name in names} == {"WEBP"}


def test_seed_list_gives_each_image_its_own_generator(tmp_path):
    each = generate(tmp_path, "--prompt", "a fox", "--n", "2", "--seed", "9,4", *SMALL)
    alone = generate(tmp_path, "--prompt", "a fox", "--seed", "4", *SMALL, output="alone.png")
    shared = generate(tmp_path, "--prompt", "a fox", "--n", "2", "--seed", "9", *SMALL,
                      output="shared.png")
    assert difference(each[1], alone[0]) <= 1
    assert difference(each[0], shared[0]) <= 1
    assert difference(each[1], shared[1]) > 1


def difference(a, b):
    """The largest one of a byte: batches may round differently."""
    pixels = [Image.open(name).convert("RGB").tobytes() for name in (a, b)]
    return max(abs(x - y) for x, y in zip(*pixels))


def test_image_to_image_takes_the_inputs_size(tmp_path):
    Image.new("RGB", (96, 64), (200, 30, 30)).save(tmp_path / "in.png")
    names = generate(tmp_path, "--prompt", "a fox", "--image", str(tmp_path / "in.png"),
                     "--strength", "0.9")
    assert Image.open(names[0]).size == (96, 64)
    done = run("generate", "--model-path", MODEL, "--prompt", "a", "--width", "64", "--image",
               str(tmp_path / "in.png"), "--output", str(tmp_path / "no.png"))
    assert done.returncode == 2
    assert "96x64" in done.stderr


def test_dump_is_a_safetensors_file(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    generate(tmp_path, "--prompt", "a fox", "--seed", "1", *SMALL, "--dump-tensors",
             str(tmp_path / "dump.safetensors"))
    tensors = safetensors.load_file(tmp_path / "dump.safetensors")
    assert tensors["image_uint8"].shape == (1, 80, 64, 3)
    image = Image.open(tmp_path / "out.png").convert("RGB")
    assert tensors["image_uint8"].tobytes() == image.tobytes()


def test_server_and_generate_make_the_same_picture(tmp_path, server):
    import base64
    names = generate(tmp_path, "--prompt", "a fox", "--seed", "5", "--width", "64", "--height",
                     "64")
    _, _, answer = server.generate(seed=5)
    assert base64.b64decode(answer["data"][0]["b64_json"]) == names[0].read_bytes()


def test_interrupt_cancels(tmp_path):
    command = [FLUXSERVE, "generate", "--model-path", MODEL, "--prompt", "a fox", "--steps", "1000",
               "--width", "128", "--height", "128", "--log-level", "info", "--output",
               str(tmp_path / "x.png")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("seed "):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 1
    assert "cancel" in rest
    assert not (tmp_path / "x.png").exists()


# --- plan and tokenize ------------------------------------------------------------------------------


def test_plan_needs_only_configs_and_knows_flux_1_dev():
    configs = ROOT / "tests/data/configs/FLUX.1-dev-configs"
    big = json.loads(run("plan", "--model-path", str(configs), "--size", "1024x1024", "--steps",
                         "28", "--json").stdout)
    small = json.loads(run("plan", "--model-path", str(configs), "--size", "512x512",
                           "--json").stdout)
    assert big["flops_per_step"] == pytest.approx(74.4e12, rel=0.01)
    assert small["flops_per_step"] == pytest.approx(21.5e12, rel=0.01)
    assert big["parts"]["transformer"]["parameters"] == pytest.approx(11.9e9, rel=0.01)
    assert big["steps"] == 28


def test_plan_prints_a_table():
    done = run("plan", "--model-path", MODEL, "--size", "64x64", "--steps", "3")
    assert done.returncode == 0
    for word in ("transformer", "parameters", "FLOP", "scratch", "3 steps"):
        assert word in done.stdout


def test_tokenize_prints_one_array_per_line():
    for encoder, last in (("clip", 49407), ("t5", 1)):
        done = run("tokenize", "--model-path", MODEL, "--encoder", encoder,
                   input='"a cat"\n"\\u00e9t\\u00e9"\n')
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(lines) == 2
        assert all(ids[-1] == last for ids in lines)
