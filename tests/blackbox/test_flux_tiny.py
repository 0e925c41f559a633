"""The model that comes along: fluxserve draws what diffusers draws, and the model does what it is
made for. The reference pictures are made by models/training/goldens.py."""
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models/flux-tiny"
GOLDENS = ROOT / "tests/data/flux_tiny"
FLUXSERVE = os.environ.get("FLUXSERVE", str(ROOT / "build/release/fluxserve"))
CASES = json.loads((GOLDENS / "cases.json").read_text())


def generate(out, prompt, *options):
    subprocess.run([FLUXSERVE, "generate", "--backend", "cpu", "--model-path", MODEL, "--prompt",
                    prompt, *map(str, options), "--output", out], check=True, timeout=300,
                   capture_output=True)
    return pixels(out)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def small(image):
    """16 x 16: the composition."""
    picture = Image.fromarray(image.astype(np.uint8))
    return np.asarray(picture.resize((16, 16), Image.BOX)).astype(int)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_fluxserve_draws_what_diffusers_draws(case, tmp_path):
    flags = {"width": "--width", "height": "--height", "steps": "--steps", "seed": "--seed",
             "negative_prompt": "--negative-prompt", "true_cfg_scale": "--true-cfg-scale",
             "strength": "--strength"}
    options = [x for key, flag in flags.items() if key in case for x in (flag, case[key])]
    if "image" in case:
        options += ["--image", GOLDENS / f"{case['image']}.png"]
    ours = generate(tmp_path / "out.png", case["prompt"], *options)
    difference = np.abs(ours - pixels(GOLDENS / f"{case['id']}.png"))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.005


def test_the_folder_is_small_and_says_what_it_is():
    files = [f for f in MODEL.rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= 30_000_000
    index = json.loads((MODEL / "model_index.json").read_text())
    assert index["_num_inference_steps"] == 8
    card = (MODEL / "README.md").read_text()
    assert "license: apache-2.0" in card and "8 steps" in card


def test_guidance_and_a_negative_prompt_change_the_picture(tmp_path):
    def draw(*options):
        return generate(tmp_path / "x.png", "a futuristic city", "--seed", 5, "--width", 256,
                        "--height", 256, *options)
    plain, guided = draw("--guidance-scale", 1), draw("--guidance-scale", 5)
    assert np.abs(plain - guided).mean() > 1
    negative = draw("--negative-prompt", "at night", "--true-cfg-scale", 3)
    assert np.abs(draw() - negative).mean() > 1


def test_noise_of_another_generator_gives_another_picture_of_the_same(tmp_path):
    def draw(*options):
        return generate(tmp_path / "x.png", "a red circle on a blue background", "--seed", 3,
                        "--width", 256, "--height", 256, *options)
    cpu, cuda = draw(), draw("--generator-device", "cuda")
    assert np.array_equal(cpu, draw("--generator-device", "cpu"))
    assert np.array_equal(cuda, draw("--generator-device", "cuda"))
    assert np.abs(cpu - cuda).mean() > 0.2
    for image in (cpu, cuda):  # red in the middle, blue at the edge
        assert image[128, 128, 0] > 150 > image[128, 128, 2] and image[4, 4, 2] > 150 > image[4, 4, 0]


def test_image_to_image_keeps_the_composition(tmp_path):
    start = pixels(GOLDENS / "mountains.png")
    again = pixels(GOLDENS / "again.png")
    other = generate(tmp_path / "x.png", "a red circle on a blue background", "--seed", 4)
    kept, unlike = (np.abs(small(start) - small(x)).mean() for x in (again, other))
    assert kept < unlike / 2
    assert np.abs(start - again).mean() > 0.5


@pytest.mark.parametrize("prompt", ["", "猫と犬", "🦊 Ωμέγα ß", "zxqv " * 200])
def test_any_text_gives_a_picture(prompt, tmp_path):
    image = generate(tmp_path / "x.png", prompt, "--seed", 1, "--width", 256, "--height", 256,
                     "--steps", 2)
    assert image.shape == (256, 256, 3)


def test_a_prompt_is_followed(tmp_path):
    image = generate(tmp_path / "x.png", "a red circle on a blue background", "--seed", 7)
    edge, middle = image[:40].mean((0, 1)), image[226:286, 226:286].mean((0, 1))
    assert edge[2] - edge[0] > 80 and middle[0] - middle[2] > 80
