"""Draws the reference pictures of the exported model with diffusers: goldens.py MODEL FOLDER.

tests/blackbox/test_flux_tiny.py compares those of fluxserve with them.
"""

import json
import os
import sys

import torch
from diffusers import FluxImg2ImgPipeline, FluxPipeline
from PIL import Image

import sampler

CASES = [
    dict(id="mountains", prompt="A serene mountain landscape at sunset", seed=1),
    dict(id="city", prompt="A futuristic city with flying cars", seed=2, width=384, height=256),
    dict(id="negative", prompt="a red circle on a blue background", seed=3, width=256, height=256,
         negative_prompt="green", true_cfg_scale=2.0, steps=4),
    dict(id="again", prompt="a mountain landscape with a red house at sunset", seed=4, image="mountains",
         strength=0.4),
]


def draw(pipeline, again, case, folder):
    wishes = dict(
        prompt=case["prompt"], width=case.get("width", 512), height=case.get("height", 512),
        num_inference_steps=case.get("steps", sampler.DEFAULT_STEPS),
        guidance_scale=sampler.DEFAULT_GUIDANCE, true_cfg_scale=case.get("true_cfg_scale", 1.0),
        negative_prompt=case.get("negative_prompt"),
        max_sequence_length=pipeline.tokenizer_2.model_max_length,
        generator=torch.Generator().manual_seed(case["seed"]))
    if "image" in case:
        with Image.open(os.path.join(folder, case["image"] + ".png")) as image:
            return again(image=image.convert("RGB"), strength=case["strength"], **wishes).images[0]
    return pipeline(**wishes).images[0]


def main(model, folder):
    os.makedirs(folder, exist_ok=True)
    pipeline = FluxPipeline.from_pretrained(model, torch_dtype=torch.float32)
    again = FluxImg2ImgPipeline(**pipeline.components)
    for case in CASES:
        draw(pipeline, again, case, folder).save(os.path.join(folder, case["id"] + ".png"))
    with open(os.path.join(folder, "cases.json"), "w", encoding="utf-8") as f:
        json.dump(CASES, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
