"""Writes the trained parts as a diffusers folder: what FluxPipeline and fluxserve load.

Everything is bfloat16 safetensors. The files follow the layout of the published FLUX.1 checkpoints,
so older versions of the libraries read them too: names of the CLIP weights start with text_model.,
tokenizers keep the files of their slow versions, no file names a version newer than needed.
"""

import os
import shutil

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

import sampler
from tokens import write_json

SIZE_LIMIT = 30_000_000
SOURCE_NAMES = dict(transformer="diffusion_pytorch_model", vae="diffusion_pytorch_model",
                    text_encoder="model", text_encoder_2="model")


def write_weights(folder, part, state, config):
    """config.json and the weights of one part."""
    path = os.path.join(folder, part)
    os.makedirs(path, exist_ok=True)
    write_json(config, path, "config.json")
    state = {k: v.detach().to(torch.bfloat16).contiguous() for k, v in state.items()}
    save_file(state, os.path.join(path, SOURCE_NAMES[part] + ".safetensors"),
              metadata=dict(format="pt"))


def diffusers_config(module):
    config = {k: v for k, v in module.config.items()
              if not k.startswith("_") or k == "_class_name"}
    return dict(_class_name=type(module).__name__, _diffusers_version="0.30.0", **{
        k: list(v) if isinstance(v, tuple) else v for k, v in config.items()
        if k != "_class_name"})


def transformers_config(module):
    config = module.config.to_diff_dict()
    config = {k: v for k, v in config.items()
              if k not in ("transformers_version", "dtype", "torch_dtype", "architectures")}
    return dict(architectures=[type(module).__name__], torch_dtype="bfloat16", **config)


def clip_names(state):
    return {name if name.startswith("text_model.") else "text_model." + name: value
            for name, value in state.items() if not name.endswith("position_ids")}


def t5_names(state):
    """shared and encoder.embed_tokens are one matrix, stored once."""
    return {name: value for name, value in state.items() if name != "encoder.embed_tokens.weight"}


def load_vae(folder):
    return AutoencoderKL.from_pretrained(os.path.join(folder, "vae"))


def write(folder, model, vae):
    """Write `model` (flow.Model) and the autoencoder; returns the size in bytes of all files.
    Files in the folder itself, such as its README.md, stay."""
    if os.path.isdir(folder):
        for entry in os.listdir(folder):
            path = os.path.join(folder, entry)
            if os.path.isdir(path):
                shutil.rmtree(path)
    os.makedirs(folder, exist_ok=True)
    write_weights(folder, "transformer", model.transformer.state_dict(),
                  diffusers_config(model.transformer))
    write_weights(folder, "vae", vae.state_dict(), diffusers_config(vae))
    write_weights(folder, "text_encoder", clip_names(model.clip.state_dict()),
                  dict(transformers_config(model.clip), model_type="clip_text_model"))
    write_weights(folder, "text_encoder_2", t5_names(model.t5.state_dict()),
                  dict(transformers_config(model.t5), model_type="t5"))
    for part in ("tokenizer", "tokenizer_2"):
        shutil.copytree(os.path.join(model.folder, part), os.path.join(folder, part))
    os.makedirs(os.path.join(folder, "scheduler"))
    write_json(dict(_class_name="FlowMatchEulerDiscreteScheduler", _diffusers_version="0.30.0",
                    num_train_timesteps=1000, shift=sampler.SHIFT, use_dynamic_shifting=False,
                    base_shift=0.5, max_shift=1.15, base_image_seq_len=256,
                    max_image_seq_len=4096), folder, "scheduler", "scheduler_config.json")
    write_json(dict(
        _class_name="FluxPipeline", _diffusers_version="0.30.0",
        _num_inference_steps=sampler.DEFAULT_STEPS, _guidance_scale=sampler.DEFAULT_GUIDANCE,
        scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"],
        text_encoder=["transformers", "CLIPTextModel"],
        text_encoder_2=["transformers", "T5EncoderModel"],
        tokenizer=["transformers", "CLIPTokenizer"],
        tokenizer_2=["transformers", "T5TokenizerFast"],
        transformer=["diffusers", "FluxTransformer2DModel"],
        vae=["diffusers", "AutoencoderKL"]), folder, "model_index.json")
    size = sum(os.path.getsize(os.path.join(at, name))
               for at, _, names in os.walk(folder) for name in names)
    if size > SIZE_LIMIT:
        raise SystemExit(f"{folder} has {size} bytes, more than {SIZE_LIMIT}")
    return size
