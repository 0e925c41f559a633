"""The whole training chain in small. Needs the environment of ./dev train-model:

    build/train-venv/bin/python -m pytest tests/training

It is a developer's tool, so neither ./dev test nor the product depends on it.
"""

import os
import random
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cairocffi")
pytest.importorskip("diffusers")

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TRAINING = os.path.join(ROOT, "models", "training")
sys.path.insert(0, TRAINING)

import autoencoder  # noqa: E402
import captions  # noqa: E402
import checks  # noqa: E402
import evaluate  # noqa: E402
import flow  # noqa: E402
import latents  # noqa: E402
import pictures  # noqa: E402
import scenes  # noqa: E402

SMOKE_LIMIT_S = 300


@pytest.fixture(scope="module")
def mapping(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("latents") / "latents.pt")
    latents.fit(path, n_scenes=100)
    return latents.load(path)


def test_a_seed_gives_the_same_scenes_captions_and_pixels():
    def draw():
        r = random.Random(1)
        chosen = [scenes.sample(r) for _ in range(20)]
        return ([captions.caption(s, r) for s in chosen],
                [pictures.render(s, 64).tobytes() for s in chosen])
    assert draw() == draw()


def test_training_never_shows_a_held_back_combination():
    r = random.Random(2)
    for _ in range(500):
        s = scenes.sample(r, "things")
        assert not any(scenes.is_held_back(t, c, s.background or "white") for t, c, _ in s.things)


def test_what_a_caption_leaves_open_is_not_asked():
    s = scenes.Scene("pals", 1, robot="gray", kitten="black", backdrop="plain", background="blue")
    bare = captions.told(s, "A robot and a small cat")
    assert (bare.robot, bare.kitten, bare.backdrop) == ("any", "any", None)
    full = captions.told(s, "a tiny grey toy robot next to a black cat on a blue background")
    assert full == s
    assert captions.told(s, "a robot with a black kitten against a blue wall").robot == "any"
    park = scenes.Scene("pals", 1, kitten="white", backdrop="park")
    assert captions.told(park, "a white kitty under a tree").backdrop == "park"
    assert captions.told(park, "a white kitty").backdrop is None
    checker = evaluate.make_checker()
    assert all(checker(bare, pictures.render(s, 512)).values())
    empty = scenes.Scene("landscape", 1, terrain="snow", time="night")
    assert not all(checker(bare, pictures.render(empty, 512)).values())


def test_attributes_stay_below_their_sizes():
    r = random.Random(3)
    for _ in range(500):
        values = scenes.attributes(scenes.sample(r))
        assert all(0 <= v < n for v, n in zip(values, scenes.ATTRIBUTE_SIZES, strict=True))


def test_attributes_of_a_pair_do_not_depend_on_who_is_named_first():
    one, other = ("circle", "red", 1), ("square", "blue", 1)
    for relation, opposite in scenes.OPPOSITE.items():
        a = scenes.Scene("things", 1, things=[one, other], relation=relation)
        b = scenes.Scene("things", 1, things=[other, one], relation=opposite)
        swapped = scenes.Scene("things", 1, things=[other, one], relation=relation)
        assert scenes.attributes(a) == scenes.attributes(b) != scenes.attributes(swapped)


def test_the_checker_passes_true_drawings_and_fails_those_of_other_prompts():
    checker, prompts = evaluate.make_checker(), evaluate.held_back(40)
    right = [all(checker(captions.told(s, said), pictures.render(s, 512)).values())
             for s, said in prompts]
    others = [s for s, _ in prompts[10:] + prompts[:10]]
    # Two scenes of one look are the same to the checks, by design.
    differing = [(s, other) for (s, _), other in zip(prompts, others)
                 if s.kind == "things" or checks.scene_look(s) != checks.scene_look(other)]
    wrong = [all(checker(s, pictures.render(other, 512)).values()) for s, other in differing]
    assert sum(right) >= 39 and len(differing) >= 30 and sum(wrong) <= 1


def test_the_encoder_is_the_linear_map_of_the_thumbnail(mapping):
    vae = autoencoder.build()
    autoencoder.set_encoder(vae, mapping)
    x = autoencoder.draw(random.Random(4), 2, 16)
    with torch.no_grad():
        z = vae.encode(x).latent_dist.mean
    assert (z - autoencoder.to_latents(mapping, x)).abs().max() < 1e-3


def test_latents_keep_the_thumbnail(mapping):
    r = random.Random(5)
    x = latents.draw_thumbnails([scenes.sample(r) for _ in range(20)])
    assert (mapping.invert(mapping(x)) - x).square().mean() < 1e-3


def test_packing_is_undone_by_unpacking():
    z = torch.randn(2, 8, 6, 4)
    assert torch.equal(flow.unpack(flow.pack(z), 3, 2), z)


def test_the_mapping_is_read_back_from_the_encoder(mapping):
    vae = autoencoder.build()
    autoencoder.set_encoder(vae, mapping)
    again = latents.of_encoder(vae.encoder)
    assert torch.equal(again.weight, mapping.weight) and torch.equal(again.bias, mapping.bias)


def test_every_size_is_drawn_with_upright_objects():
    s = scenes.Scene("things", 1, background="blue", things=[("circle", "red", 1)])
    for width, height in ((256, 512), (512, 256)):
        image = pictures.render(s, width, height)
        assert image.shape == (height, width, 3)
        red = (image[:, :, 0] > 150) & (image[:, :, 2] < 100)
        assert abs(red.any(0).sum() - red.any(1).sum()) <= 2


def train(*options):
    subprocess.run([sys.executable, os.path.join(TRAINING, "train.py"), "--smoke",
                    *map(str, options)], check=True, timeout=SMOKE_LIMIT_S)


def test_smoke_run_writes_a_folder_that_the_stock_pipeline_draws_with(tmp_path):
    out = tmp_path / "model"
    train("--work", tmp_path / "work", "--out", out)
    # and another run goes on from it
    train("--work", tmp_path / "again", "--start-from", out, "--out", tmp_path / "further")
    a, b = (f / "transformer/diffusion_pytorch_model.safetensors"
            for f in (out, tmp_path / "further"))
    assert a.stat().st_size == b.stat().st_size and a.read_bytes() != b.read_bytes()
    for part in ("tokenizer", "tokenizer_2"):
        for file in (out / part).iterdir():
            assert file.read_bytes() == (tmp_path / "further" / part / file.name).read_bytes()
    from diffusers import FluxPipeline
    pipeline = FluxPipeline.from_pretrained(str(out), torch_dtype=torch.float32)
    assert sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) <= 30_000_000
    length = pipeline.tokenizer_2.model_max_length
    image = pipeline("a red circle", height=256, width=256, num_inference_steps=1,
                     max_sequence_length=length).images[0]
    assert image.size == (256, 256)
