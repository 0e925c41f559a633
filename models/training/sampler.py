"""Draws pictures with a model under training, without the pipeline: many prompts in one batch."""

import torch

import flow
from common import tensor_to_images

SHIFT = 3.0  # of the scheduler that the export writes
DEFAULT_STEPS = 8
DEFAULT_GUIDANCE = 3.2  # 1000 times it is a bfloat16 number, which the pipeline rounds it to


def sigmas(n_steps, shift=SHIFT):
    """FlowMatchEulerDiscreteScheduler's, for the sigmas that FluxPipeline asks for."""
    s = torch.linspace(1, 1 / n_steps, n_steps)
    return torch.cat([shift * s / (1 + (shift - 1) * s), torch.zeros(1)])


@torch.no_grad()
def sample_latents(model, captions, n_steps=DEFAULT_STEPS, guidance=3.0, seed=0, true_guidance=True,
                   shift=SHIFT, rows=flow.GRID, columns=flow.GRID):
    """[B, C, 2 rows, 2 columns]. With true_guidance every step runs with and without the text;
    else the guidance goes in as the transformer's input."""
    n = len(captions)
    generator = torch.Generator().manual_seed(seed)
    channels = model.transformer.config.in_channels
    x = flow.pack(torch.randn(n, channels // 4, 2 * rows, 2 * columns, generator=generator))
    text, empty = model.encode(captions), model.encode([""] * n)
    schedule = sigmas(n_steps, shift)
    given = torch.full((n,), 1.0 if true_guidance else float(guidance))
    for now, following in zip(schedule, schedule[1:]):
        t = now.expand(n)
        v = flow.predict(model.transformer, x, t, given, text, rows, columns)
        if true_guidance and guidance != 1:
            without = flow.predict(model.transformer, x, t, given, empty, rows, columns)
            v = without + guidance * (v - without)
        x = x + (following - now) * v
    return flow.unpack(x, rows, columns)


@torch.no_grad()
def decode(vae, z):
    """One picture at a time: the decoder's largest activations fill a cache as they are."""
    return [tensor_to_images(vae.decode(z[i:i + 1]).sample)[0] for i in range(len(z))]
