"""Starts from a model that was exported, instead of from nothing: its weights without the state of
the optimisers, which comes back within some hundred steps.

A distilled model can be trained on, since at a guidance of 1 it is what the flow trains.
"""

import os
import shutil

from diffusers import AutoencoderKL, FluxTransformer2DModel

import latents
import text_encoders
from common import save_checkpoint


def take_over(model_folder, work_model, flow_start):
    """Fill the work folder's model from an exported one, and write the flow's first weights."""
    for part in ("tokenizer", "tokenizer_2"):
        shutil.copytree(os.path.join(model_folder, part), os.path.join(work_model, part),
                        dirs_exist_ok=True)
    clip, t5 = (module.float() for module in text_encoders.load(model_folder))
    text_encoders.save(work_model, clip, t5)
    vae = AutoencoderKL.from_pretrained(os.path.join(model_folder, "vae")).float()
    vae.save_pretrained(os.path.join(work_model, "vae"))
    mapping = latents.of_encoder(vae.encoder)
    save_checkpoint(os.path.join(work_model, "latents.pt"), weight=mapping.weight,
                    bias=mapping.bias)
    transformer = FluxTransformer2DModel.from_pretrained(
        os.path.join(model_folder, "transformer")).float()
    save_checkpoint(flow_start, transformer=transformer.state_dict())
