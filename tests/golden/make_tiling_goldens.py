"""Make the golden cases of a tiled autoencoder (--vae-tile-size) for a model of the tree.

    python make_tiling_goldens.py GOLDENS_DIR

A developer's tool: needs torch, diffusers and transformers, which building, running and testing
fluxbench never do. Adds two cases for tiny-flux-dev to GOLDENS_DIR/cases.json, in the form that
tests/golden/golden_cases reads: text to image and image to image, in tiles of 128 pixels. The size
is chosen so that the last row of tiles is lower than an overlap and the last column is not.
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import FluxImg2ImgPipeline, FluxPipeline
from PIL import Image
from safetensors.torch import save_file

MODEL = "tiny-flux-dev"
FOLDER = Path(__file__).resolve().parents[2] / "models" / MODEL
TILE_PX, WIDTH, HEIGHT, STEPS = 128, 144, 208, 2
STRENGTH = 0.6
# As those of the cases that are decoded in one piece.
TOLERANCE = {"image_decoded": {"max_abs": 5e-4, "rel_rms": 1e-4},
             "init_latent_mean": {"max_abs": 5e-4, "rel_rms": 1e-4},
             "image_uint8": {"max_diff": 1, "frac_diff": 0.005}}


def tiled(pipe):
    pipe.set_progress_bar_config(disable=True)
    pipe.vae.enable_tiling()
    pipe.vae.tile_sample_min_size = TILE_PX
    pipe.vae.tile_latent_min_size = TILE_PX // 2 ** (len(pipe.vae.config.block_out_channels) - 1)
    return pipe


def watch(pipe, seen):
    """Keep what the autoencoder is given and gives."""
    decode, encode = pipe.vae.decode, pipe.vae.encode

    def decoder(*args, **kwargs):
        result = decode(*args, **kwargs)
        seen["image_decoded"] = result[0].detach().clone()
        return result

    def encoder(*args, **kwargs):
        result = encode(*args, **kwargs)
        seen["init_latent_mean"] = result.latent_dist.mean.detach().clone()
        return result

    pipe.vae.decode, pipe.vae.encode = decoder, encoder


def run(out, case, pipe, **wish):
    seen = {}
    watch(pipe, seen)
    image = pipe(prompt=case["prompt"], height=HEIGHT, width=WIDTH, num_inference_steps=STEPS,
                 guidance_scale=case["guidance_scale"], output_type="np",
                 max_sequence_length=case["max_sequence_length"],
                 generator=torch.Generator().manual_seed(case["seed"]), **wish).images
    keep = ["init_latent_mean"] if "image" in wish else ["image_decoded"]
    save_file({k: seen[k].contiguous() for k in keep}, out / case["tensors"])
    Image.fromarray((image * 255).round().astype(np.uint8)[0]).save(out / case["png"][0])
    case["tolerance"] = {k: TOLERANCE[k] for k in [*keep, "image_uint8"]}


def picture():
    """Smooth colours with a few edges."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    rgb = np.stack([x * 255 / WIDTH, y * 255 / HEIGHT, 127 + 120 * np.sin((x + 2 * y) / 17)], -1)
    rgb[(x // 24 + y // 40) % 5 == 0] *= 0.4
    return Image.fromarray(rgb.astype(np.uint8))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    cases = json.loads((out / "cases.json").read_text())
    common = dict(model=MODEL, prompt="a lighthouse at dusk", prompt_2=None, negative_prompt=None,
                  true_cfg_scale=1.0, seed=11, height=HEIGHT, width=WIDTH,
                  num_inference_steps=STEPS, guidance_scale=3.5, num_images_per_prompt=1,
                  max_sequence_length=64, compute_dtype="float32", vae_tile_size=TILE_PX)
    text, edit = (dict(id=name, tensors=f"{name}.safetensors", png=[f"{name}.png"], strength=strength,
                       **common) for name, strength in (("dev_vae_tiles", None),
                                                        ("dev_vae_tiles_img2img", STRENGTH)))
    run(out, text, tiled(FluxPipeline.from_pretrained(FOLDER, torch_dtype=torch.float32)))
    edit["init_image"] = "dev_vae_tiles_input.png"
    picture().save(out / edit["init_image"])
    run(out, edit, tiled(FluxImg2ImgPipeline.from_pretrained(FOLDER, torch_dtype=torch.float32)),
        image=Image.open(out / edit["init_image"]), strength=STRENGTH)
    old = [c for c in cases["cases"] if c["id"] not in (text["id"], edit["id"])]
    cases["cases"] = [*old, text, edit]
    (out / "cases.json").write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
