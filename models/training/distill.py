"""Teaches the guidance input: one run of the transformer does what two runs and true guidance do.

The teacher is the flow's averaged model, run with and without the text. The student starts as its
copy and is asked for v_without + g (v_with - v_without) at the guidance g that goes in as a number.
That is what makes FLUX.1-dev's guidance_scale; the text encoders stay as they are.
"""

import copy
import os
import random

import torch
from torch import nn

import flow
import latents
from common import Average, Muon, Progress, load_checkpoint, save_checkpoint, say

GUIDANCE_RANGE = (1.0, 7.0)


def random_guidance(n):
    low, high = GUIDANCE_RANGE
    return low + (high - low) * torch.rand(n)


def train(folder, flow_checkpoint, checkpoint, minutes=None, n_steps=None, batch=16, rate=1e-3,
          seed=41, save_s=120, report_s=60):
    torch.manual_seed(seed)
    r = random.Random(seed)
    model = flow.load_averaged(folder, flow_checkpoint)
    mapping = latents.load(os.path.join(folder, "latents.pt"))
    teacher = copy.deepcopy(model.transformer).eval().requires_grad_(False)
    student = model.transformer
    optimizer = Muon(student.named_parameters(), rate,
                     adam_only=("embed", "norm", "proj_out.weight"))
    average = Average(student.parameters(), 0.98)
    n_done = 0
    if os.path.exists(checkpoint):
        c = load_checkpoint(checkpoint)
        student.load_state_dict(c["live"])
        optimizer.load_state_dict(c["optimizer"])
        average.mean = [c["mean"][name] for name, _ in student.named_parameters()]
        average.n_steps = n_done = c["n_done"]

    def save():
        means = {name: mean for (name, _), mean in
                 zip(student.named_parameters(), average.mean, strict=True)}
        save_checkpoint(checkpoint, live=student.state_dict(), mean=means, n_done=n_done,
                        optimizer=optimizer.state_dict())

    progress = Progress(n_steps, minutes, fall=0.4, warm_steps=10)
    saved_s = reported_s = 0.0
    errors = []
    while progress.fraction() < 1:
        texts, x0, rows, columns, _ = flow.draw_batch(r, mapping, batch)
        n = len(texts)
        t, noise, guidance = flow.sample_times(n), torch.randn_like(x0), random_guidance(n)
        x = x0 + t[:, None, None] * (noise - x0)
        with torch.no_grad(), flow.fast_arithmetic():
            text, none = model.encode(texts), model.encode([""] * n)
            plain = torch.ones(n)
            with_text = flow.predict(teacher, x, t, plain, text, rows, columns).float()
            without = flow.predict(teacher, x, t, plain, none, rows, columns).float()
            wanted = without + guidance[:, None, None] * (with_text - without)
        with flow.fast_arithmetic():
            guess = flow.predict(student, x, t, guidance, text, rows, columns)
        loss = (guess.float() - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step(progress.rate())
        average.update()
        progress.step += 1
        n_done += 1
        errors.append((loss.item(), (with_text - wanted).square().mean().item()))
        now_s = progress.elapsed_s()
        if now_s - reported_s > report_s or progress.fraction() >= 1:
            error, ignored = (sum(e) / len(e) for e in zip(*errors))
            say(f"guidance step {n_done}: error {error:.4f}, "
                f"of a model that ignores guidance {ignored:.4f}")
            reported_s, errors = now_s, []
        if now_s - saved_s > save_s:
            saved_s = now_s
            save()
    save()


def load(folder, flow_checkpoint, checkpoint):
    """The finished model."""
    model = flow.load_averaged(folder, flow_checkpoint)
    model.transformer.load_state_dict(load_checkpoint(checkpoint)["mean"], strict=False)
    return model
