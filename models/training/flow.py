"""Trains the FLUX transformer by rectified flow, and with it, slowly, the text encoders.

x_t = (1 - t) x_0 + t e, and the transformer predicts e - x_0 from x_t, t and the text. Every sample
is a scene that was never drawn before, with a caption of its own. Times lean towards noise, where
the layout is decided. One caption in ten is empty, for true guidance. The guidance input is 1, which
means no guidance; distill.py teaches what more of it does.
"""

import contextlib
import math
import os
import random

import torch
from diffusers import FluxTransformer2DModel
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import captions as grammar
import latents
import scenes
import text_encoders
import tokens
from common import (T5_LENGTH, TEXT_WIDTH, Average, Muon, Progress, load_checkpoint,
                    save_checkpoint, say)

EMPTY_SHARE = 0.1
TIME_SHIFT = 0.8  # mean of the logit of t
GRID = 8  # tokens along each side of a 512 px picture
OTHER_GRIDS = [(4, 4), (6, 6), (12, 12), (6, 8), (8, 6), (8, 12), (12, 8), (5, 8), (8, 5)]
OTHER_SHARE = 0.25  # of the steps: rows x columns of tokens, from 256 to 768 px
# Windows and cars make cities three times as surprising as shapes, and would lead the training.
LOSS_WEIGHTS = dict(landscape=1.0, city=0.6, pals=1.5, things=2.0)
FALL = 0.7  # the share of the budget over which the rate falls
TOKEN_THUMBNAIL_PX = 8


def build():
    m = FluxTransformer2DModel(
        patch_size=1, in_channels=4 * latents.CHANNELS, num_layers=2, num_single_layers=4,
        attention_head_dim=64, num_attention_heads=4, joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=TEXT_WIDTH, guidance_embeds=True, axes_dims_rope=(8, 28, 28))
    # As in DiT: every block starts as the identity, and the output at zero.
    zero = ("norm1.linear", "norm1_context.linear", "norm.linear", "norm_out.linear",
            "guidance_embedder.linear_2")
    for name, p in m.named_parameters():
        if any(part in name for part in zero) or name.startswith("proj_out"):
            nn.init.zeros_(p)
    return m


def pack(z):
    """[B, C, Y, X] latents to [B, Y X / 4, 4 C] tokens, as the FLUX pipeline packs them."""
    b, c, y, x = z.shape
    z = z.view(b, c, y // 2, 2, x // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return z.reshape(b, y * x // 4, c * 4)


def unpack(tokens_, rows, columns):
    """The inverse, for a grid of rows x columns tokens."""
    b, _, width = tokens_.shape
    z = tokens_.view(b, rows, columns, width // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return z.reshape(b, width // 4, 2 * rows, 2 * columns)


def grid_ids(rows, columns):
    ids = torch.zeros(rows, columns, 3)
    ids[..., 1] += torch.arange(rows)[:, None]
    ids[..., 2] += torch.arange(columns)[None]
    return ids.reshape(-1, 3)


TEXT_IDS = torch.zeros(T5_LENGTH, 3)


def predict(m, x, t, guidance, text, rows=GRID, columns=GRID):
    pooled, sequence = text
    return m(hidden_states=x, timestep=t, guidance=guidance, pooled_projections=pooled,
             encoder_hidden_states=sequence, txt_ids=TEXT_IDS, img_ids=grid_ids(rows, columns),
             return_dict=False)[0]


@contextlib.contextmanager
def fast_arithmetic():
    """What is fastest for sequences this short: bfloat16 products, and attention spelt out."""
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        yield


def sample_times(n, shift=TIME_SHIFT):
    """Stratified over the batch: the loss varies far more with t than with the picture."""
    u = (torch.arange(n) + torch.rand(n)) / n
    normal = math.sqrt(2) * torch.erfinv((2 * u - 1).clamp(-0.9999, 0.9999))
    return torch.sigmoid(normal + shift)


def draw_batch(r, mapping, batch):
    """Captions, one in ten empty, the packed latents [B, rows columns, 4 C] of their scenes, rows,
    columns, and the weights [B] of their losses. `batch` is that of the usual size; others get about
    as many tokens."""
    usual = r.random() >= OTHER_SHARE
    rows, columns = (GRID, GRID) if usual else r.choice(OTHER_GRIDS)
    batch = max(2, round(batch * GRID * GRID / (rows * columns)))
    chosen = [scenes.sample(r) for _ in range(batch)]
    texts = ["" if r.random() < EMPTY_SHARE else grammar.caption(s, r) for s in chosen]
    thumbnails = latents.draw_thumbnails(chosen, columns * TOKEN_THUMBNAIL_PX,
                                         rows * TOKEN_THUMBNAIL_PX)
    weights = torch.tensor([LOSS_WEIGHTS[s.kind] for s in chosen])
    return texts, pack(mapping(thumbnails)), rows, columns, weights


class Model:
    """Transformer and text encoders, loaded, trained and saved together."""

    def __init__(self, folder):
        self.folder = folder
        self.tokenizers = tokens.load(folder)
        self.clip, self.t5 = text_encoders.load(folder)
        self.transformer = build()

    def named_parameters(self):
        for prefix, module in self.modules().items():
            for name, p in module.named_parameters():
                yield f"{prefix}.{name}", p

    def modules(self):
        return dict(transformer=self.transformer, clip=self.clip, t5=self.t5)

    def encode(self, captions):
        return text_encoders.encode(self.clip, self.t5,
                                    text_encoders.tokenize(self.tokenizers, captions))

    def state(self):
        return {key: module.state_dict() for key, module in self.modules().items()}

    def load_state(self, state):
        for key, module in self.modules().items():
            module.load_state_dict(state[key])


def load_averaged(folder, checkpoint):
    """The model whose weights are the moving averages of a checkpoint of this stage."""
    c, model = load_checkpoint(checkpoint), Model(folder)
    with torch.no_grad():
        for (_, p), mean in zip(model.named_parameters(), c["mean"], strict=True):
            p.copy_(mean)
    say(f"model of step {c['n_steps']}, {c['n_samples']} samples")
    return model


class Trainer:
    def __init__(self, folder, checkpoint, is_compiled=True, rate=3e-3, seed=21):
        self.checkpoint, self.model = checkpoint, Model(folder)
        self.latents = latents.load(os.path.join(folder, "latents.pt"))
        named = list(self.model.named_parameters())
        self.parameters = [p for _, p in named]
        # The wide modulation matrices see one vector per picture, too little to be worth the
        # orthogonalisation, which would cost as much as the rest of the step.
        self.optimizer = Muon(
            named, rate, decay=0.01, slow=("clip.", "t5."),
            adam_only=("embed", "shared", "relative", "norm",
                       "transformer.proj_out"))
        self.average = Average(self.parameters, 0.998)
        self.n_steps = self.n_samples = 0
        self.random = random.Random(seed)
        torch.manual_seed(seed)
        # Fused element-wise code takes a quarter off the step, and minutes to make, so it is made for
        # the usual size alone.
        self.usual = self.model.transformer
        if is_compiled:
            self.usual = torch.compile(self.model.transformer)
        if os.path.exists(checkpoint):
            self.resume()
        elif os.path.exists(start_name(checkpoint)):
            self.model.transformer.load_state_dict(
                load_checkpoint(start_name(checkpoint))["transformer"])
            self.average = Average(self.parameters, self.average.decay)

    def resume(self):
        c = load_checkpoint(self.checkpoint)
        self.model.load_state(c["live"])
        self.optimizer.load_state_dict(c["optimizer"])
        self.average.mean, self.average.n_steps = c["mean"], c["n_steps"]
        self.n_steps, self.n_samples = c["n_steps"], c["n_samples"]
        self.random.setstate(c["random"])
        torch.set_rng_state(c["torch_random"])
        say(f"flow resumes at step {self.n_steps}")

    def save(self, path):
        live = self.model.state()
        save_checkpoint(path, live=live, mean=self.average.mean, n_steps=self.n_steps,
                        n_samples=self.n_samples, optimizer=self.optimizer.state_dict(),
                        random=self.random.getstate(), torch_random=torch.get_rng_state())

    def step(self, batch, rate):
        """One update; the loss of each sample and its time."""
        texts, x0, rows, columns, weights = draw_batch(self.random, self.latents, batch)
        batch = len(texts)
        t, noise = sample_times(batch), torch.randn_like(x0)
        share = t[:, None, None]
        text = self.model.encode(texts)
        usual = (rows, columns) == (GRID, GRID)
        with fast_arithmetic():
            guess = predict(self.usual if usual else self.model.transformer,
                            (1 - share) * x0 + share * noise, t, torch.ones(batch), text, rows,
                            columns)
        losses = (guess.float() - (noise - x0)).square().mean((1, 2))
        self.optimizer.zero_grad()
        (losses * weights).mean().backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step(rate)
        self.average.update()
        self.n_steps += 1
        self.n_samples += batch
        return losses.detach(), t


def start_name(checkpoint):
    """Weights of an exported model, written by start.py."""
    return checkpoint + ".start"


def final_name(checkpoint):
    return checkpoint + ".final"


def train(folder, checkpoint, minutes=None, n_steps=None, batch=32, is_compiled=True, save_s=240,
          report_s=60):
    """Train on from the checkpoint, if there is one. Two files are written: `checkpoint` in the
    steady part of the rate, from which to go on later, and final_name of it at the end."""
    trainer = Trainer(folder, checkpoint, is_compiled)
    progress = Progress(n_steps, minutes, FALL)
    if trainer.n_steps:
        progress.warm_steps = 1
    saved_s = reported_s = 0.0
    sums = torch.zeros(2, 4)
    while progress.fraction() < 1:
        falling = progress.is_falling()
        losses, t = trainer.step(batch, progress.rate())
        progress.step += 1
        bins = (t * 4).long().clamp(0, 3)
        sums[0].index_add_(0, bins, losses)
        sums[1].index_add_(0, bins, torch.ones(len(t)))
        now_s = progress.elapsed_s()
        if now_s - reported_s > report_s:
            rate = sums[1].sum().item() / (now_s - reported_s)
            by_time = [round(x, 3) for x in (sums[0] / sums[1]).tolist()]
            say(f"flow step {trainer.n_steps} samples {trainer.n_samples} "
                f"loss {(sums[0].sum() / sums[1].sum()).item():.4f} by quarter of t {by_time} "
                f"{rate:.1f} samples/s rate {progress.rate():.2f}")
            reported_s = now_s
            sums.zero_()
        # What comes after the fall began is no good start for more training.
        if now_s - saved_s > save_s or (not falling and progress.is_falling()):
            saved_s = now_s
            trainer.save(checkpoint + ".falling" if falling else checkpoint)
    trainer.save(final_name(checkpoint))
