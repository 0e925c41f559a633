"""Make a random FLUX model in the diffusers layout and golden cases for it.

    python make_goldens.py OUT_DIR VARIANT...      (--list shows the variants)

A developer's tool: needs torch, diffusers and transformers, which building, running and testing
fluxbench never do. OUT_DIR/models/VARIANT gets the model, OUT_DIR/goldens its cases, in the form
that tests/golden/golden_cases reads:

    golden_cases OUT_DIR/models OUT_DIR/goldens

Tolerances are taken from a second run in float64: four times its distance, and a floor.
"""
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import (AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline,
                       FluxTransformer2DModel)
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

TOKENIZERS = Path(__file__).resolve().parents[2] / "models" / "tiny-flux-dev"

# Dimensions that differ from the models of the tree in every respect that a config can say.
VARIANTS = {
    "five-levels": dict(
        transformer=dict(num_layers=1, num_single_layers=2, num_attention_heads=2,
                         attention_head_dim=48, axes_dims_rope=(8, 16, 24), in_channels=32,
                         joint_attention_dim=40, pooled_projection_dim=36, guidance_embeds=True),
        vae=dict(block_out_channels=(8, 16, 24, 16, 32), layers_per_block=1, latent_channels=8,
                 norm_num_groups=4, use_quant_conv=True, use_post_quant_conv=True),
        clip=dict(hidden_size=36, num_attention_heads=4, num_hidden_layers=2, intermediate_size=50,
                  hidden_act="gelu", eos_token_id=49407),
        t5=dict(d_model=40, d_kv=12, num_heads=5, d_ff=56, num_layers=2),
        scheduler=dict(shift=2.5, use_dynamic_shifting=False), size=(96, 64)),
    "three-levels-f16": dict(
        transformer=dict(num_layers=2, num_single_layers=1, num_attention_heads=3,
                         attention_head_dim=16, axes_dims_rope=(4, 6, 6), in_channels=16,
                         joint_attention_dim=64, pooled_projection_dim=24, guidance_embeds=False),
        vae=dict(block_out_channels=(12, 24, 36), layers_per_block=3, latent_channels=4,
                 norm_num_groups=6, mid_block_add_attention=False, use_quant_conv=False,
                 use_post_quant_conv=False),
        clip=dict(hidden_size=24, num_attention_heads=2, num_hidden_layers=1, intermediate_size=72),
        t5=dict(d_model=64, d_kv=8, num_heads=7, d_ff=33, num_layers=3),
        scheduler=dict(shift=3.0, use_dynamic_shifting=True, base_shift=0.4, max_shift=1.3),
        size=(48, 72), dtype=torch.float16, shard="20KB"),
    "wide-heads-bf16": dict(
        transformer=dict(num_layers=1, num_single_layers=1, num_attention_heads=2,
                         attention_head_dim=128, axes_dims_rope=(16, 56, 56), in_channels=64,
                         joint_attention_dim=48, pooled_projection_dim=32, guidance_embeds=True),
        vae=dict(block_out_channels=(32, 64), layers_per_block=1, latent_channels=16,
                 norm_num_groups=16, use_quant_conv=False, use_post_quant_conv=False),
        clip=dict(hidden_size=32, num_attention_heads=1, num_hidden_layers=2, intermediate_size=64),
        t5=dict(d_model=48, d_kv=64, num_heads=2, d_ff=100, num_layers=1),
        scheduler=dict(shift=1.0, use_dynamic_shifting=True, time_shift_type="linear"),
        size=(36, 20), dtype=torch.bfloat16, shard="50KB"),
}


def randomise(model, seed):
    """Weights large enough that every layer shows in the result."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if p.ndim == 1:
            p.data = 0.1 * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        elif "embed" in name or "shared" in name:
            p.data = 0.7 * noise
        else:
            p.data = noise / math.sqrt(p[0].numel())
    return model


def make_model(out, v):
    out.mkdir(parents=True, exist_ok=True)
    dtype = v.get("dtype", torch.float32)
    parts = {
        "transformer": FluxTransformer2DModel(patch_size=1, **v["transformer"]),
        "vae": AutoencoderKL(in_channels=3, out_channels=3, act_fn="silu", scaling_factor=0.41,
                             shift_factor=0.09,
                             down_block_types=["DownEncoderBlock2D"] * len(v["vae"]["block_out_channels"]),
                             up_block_types=["UpDecoderBlock2D"] * len(v["vae"]["block_out_channels"]),
                             **v["vae"]),
        "text_encoder": CLIPTextModel(CLIPTextConfig(vocab_size=49408, **v["clip"])),
        "text_encoder_2": T5EncoderModel(T5Config(vocab_size=32128, feed_forward_proj="gated-gelu",
                                                  **v["t5"])),
    }
    shard = dict(max_shard_size=v["shard"]) if "shard" in v else {}
    for i, (name, model) in enumerate(parts.items()):
        randomise(model, i).to(dtype).save_pretrained(out / name, **shard)
    FlowMatchEulerDiscreteScheduler(**v["scheduler"]).save_pretrained(out / "scheduler")
    for folder in ("tokenizer", "tokenizer_2"):
        shutil.copytree(TOKENIZERS / folder, out / folder, dirs_exist_ok=True)
    shutil.copy(TOKENIZERS / "model_index.json", out)


def run(pipe, case, dtype):
    """The pipeline with every tensor on the way; names as golden_cases wants them."""
    seen = {"noise_pred": [], "latents_steps": []}
    forward = pipe.transformer.forward

    def transformer(*args, **kwargs):
        result = forward(*args, **kwargs)
        seen["noise_pred"].append(result[0].detach().clone())
        return result

    def on_step(_pipe, _i, _t, tensors):
        seen["latents_steps"].append(tensors["latents"].detach().clone())
        return tensors

    decode = pipe.vae.decode

    def decoder(*args, **kwargs):
        result = decode(*args, **kwargs)
        seen["image_decoded"] = result[0].detach().clone()
        return result

    pipe.transformer.forward, pipe.vae.decode = transformer, decoder
    try:
        embeds, pooled, _ = pipe.encode_prompt(case["prompt"], case["prompt"],
                                               max_sequence_length=case["max_sequence_length"])
        noise = torch.randn((1, pipe.vae.config.latent_channels, *case["latent"]),
                            generator=torch.Generator().manual_seed(case["seed"])).to(dtype)
        packed = pipe._pack_latents(noise, 1, noise.shape[1], *case["latent"])
        image = pipe(prompt=case["prompt"], height=case["height"], width=case["width"],
                     num_inference_steps=case["num_inference_steps"], latents=packed,
                     guidance_scale=case["guidance_scale"] or 0.0, output_type="np",
                     max_sequence_length=case["max_sequence_length"],
                     callback_on_step_end=on_step).images
    finally:
        pipe.transformer.forward, pipe.vae.decode = forward, decode
    return {"t5_hidden": embeds, "clip_pooled": pooled, "latents_initial_packed": packed,
            "noise_pred": torch.stack(seen["noise_pred"]),
            "latents_steps": torch.stack(seen["latents_steps"]),
            "latents_final_packed": seen["latents_steps"][-1],
            "image_decoded": seen["image_decoded"]}, image


# Phases of the time sinusoids reach a thousand radians, so one last bit of a frequency (exp differs
# in it from library to library) moves everything behind them by this much.
SINUSOID_FLOOR = 5e-5


def tolerance(name, got, want):
    got, want = got.double(), want.double()
    diff = got - want
    scale = want.pow(2).mean().sqrt().item() or 1.0
    floor = 1e-7 if name in ("t5_hidden", "clip_pooled", "latents_initial_packed") else SINUSOID_FLOOR
    return {"max_abs": 4 * diff.abs().max().item() + 10 * floor * scale,
            "rel_rms": 4 * diff.pow(2).mean().sqrt().item() / scale + floor}


def main():
    if len(sys.argv) < 3 or "--list" in sys.argv:
        sys.exit(__doc__ + "\nvariants: " + " ".join(VARIANTS))
    out, cases = Path(sys.argv[1]), []
    (out / "goldens").mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:]:
        v = VARIANTS[name]
        folder = out / "models" / name
        make_model(folder, v)
        factor = 2 ** (len(v["vae"]["block_out_channels"]) - 1)
        height, width = v["size"]
        case = dict(id=name, model=name, tensors=f"{name}.safetensors", png=[f"{name}.png"],
                    prompt="a lantern in a snowy forest, 35mm", prompt_2=None, negative_prompt=None,
                    true_cfg_scale=1.0, seed=17, height=height, width=width, num_inference_steps=3,
                    guidance_scale=4.5 if v["transformer"]["guidance_embeds"] else None,
                    num_images_per_prompt=1, max_sequence_length=96, strength=None,
                    compute_dtype="float32", latent=(height // factor, width // factor))
        runs = {}
        for dtype in (torch.float32, torch.float64):
            pipe = FluxPipeline.from_pretrained(folder, torch_dtype=torch.float32).to(dtype)
            pipe.set_progress_bar_config(disable=True)
            runs[dtype], image = run(pipe, case, dtype)
            if dtype == torch.float32:
                picture = (image * 255).round().astype(np.uint8)
        case["tolerance"] = {k: tolerance(k, t, runs[torch.float64][k])
                             for k, t in runs[torch.float32].items()}
        case["tolerance"]["image_uint8"] = {"max_diff": 1, "frac_diff": 0.005}
        save_file({k: t.contiguous() for k, t in runs[torch.float32].items()},
                  out / "goldens" / case["tensors"])
        Image.fromarray(picture[0]).save(out / "goldens" / case["png"][0])
        cases.append(case)
    (out / "goldens" / "cases.json").write_text(json.dumps({"cases": cases}, indent=1))


if __name__ == "__main__":
    main()
