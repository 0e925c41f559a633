"""What every stage of the training shares: the optimiser, averaged weights, checkpoints, paths.

Everything runs in float32 on the CPU: bfloat16 is slower than float32 on most of them, and the
weights are converted once, at the export.
"""

import math
import os
import time

import numpy
import torch

# The text length of the T5 branch. FLUX feeds T5 without an attention mask, so that a model sees
# the padding it was trained with: the exported tokenizer asks for exactly this length.
T5_LENGTH = 24
CLIP_LENGTH = 77
IMAGE_PX = 512
THUMBNAIL_PX = 64  # what the latents hold: see autoencoder.py
TEXT_WIDTH = 128


def work_folder():
    """The folder of checkpoints, which lies outside the tree."""
    return os.environ.get("FLUX_TINY_WORK") or os.path.expanduser("~/.cache/flux-tiny")


def images_to_tensor(images):
    """A list of H x W x 3 bytes as one [B, 3, Y, X] tensor in [-1, 1]."""
    stacked = torch.from_numpy(numpy.stack(images))
    return stacked.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def tensor_to_images(x):
    """The inverse: [B, 3, Y, X] as a list of H x W x 3 bytes."""
    x = ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    return [image.numpy() for image in x]


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum for matrices and convolutions, AdamW for everything else.

    The update of a matrix is its momentum with all singular values pushed towards one, scaled to
    the size of an AdamW update, so that one rate serves both.
    `slow` names prefixes of parameters that are trained already and get a fraction of the rate;
    `adam_only` names parts of parameter names that are not to be orthogonalised.
    Source: Jordan et al. 2024; the scale after Liu et al. 2025 (arXiv 2502.16982).
    """

    SLOW_FACTOR = 0.15
    N_NEWTON_SCHULZ = 5

    def __init__(self, named, rate, decay=0.0, momentum=0.95, betas=(0.9, 0.99), adam_only=(),
                 slow=()):
        groups = {key: [] for key in ("muon", "adam", "slow")}
        for name, p in named:
            if slow and name.startswith(tuple(slow)):
                groups["slow"].append(p)
            elif (p.ndim >= 2 and min(p.shape[0], p[0].numel()) >= 8
                  and not any(part in name for part in adam_only)):
                groups["muon"].append(p)
            else:
                groups["adam"].append(p)
        rates = dict(muon=rate, adam=rate, slow=rate * self.SLOW_FACTOR)
        super().__init__(
            [dict(params=params, kind=kind, lr=rates[kind], t=0)
             for kind, params in groups.items() if params],
            dict(decay=decay, momentum=momentum, betas=betas))

    @torch.no_grad()
    def step(self, scale=1.0):
        for group in self.param_groups:
            group["t"] += 1
            rate = group["lr"] * scale
            for p in group["params"]:
                if p.grad is None:
                    continue
                if group["decay"] and p.ndim >= 2:
                    p.mul_(1 - rate * group["decay"])
                if group["kind"] == "muon":
                    self._step_matrix(p, group, rate)
                else:
                    self._step_adam(p, group, rate)

    def _step_matrix(self, p, group, rate):
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].lerp_(p.grad, 1 - group["momentum"])
        x = p.grad.lerp(state["momentum"], group["momentum"]).reshape(p.shape[0], -1)
        rows, columns = x.shape
        tall = rows > columns
        x = x.T if tall else x
        x = (x / (x.norm() + 1e-7)).bfloat16()  # exact enough, and twice as fast
        for _ in range(self.N_NEWTON_SCHULZ):
            a = x @ x.T
            x = torch.addmm(x, torch.addmm(a, a, a, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
        x = (x.T if tall else x).float()
        p.add_(x.reshape(p.shape), alpha=-rate * 0.2 * math.sqrt(max(rows, columns)))

    def _step_adam(self, p, group, rate):
        state = self.state[p]
        if not state:
            state["mean"], state["square"] = torch.zeros_like(p), torch.zeros_like(p)
        b1, b2 = group["betas"]
        t = group["t"]
        state["mean"].lerp_(p.grad, 1 - b1)
        state["square"].mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
        p.addcdiv_(state["mean"] / (1 - b1**t), (state["square"] / (1 - b2**t)).sqrt() + 1e-8,
                   value=-rate)


class Average:
    """Exponential moving average of parameters; `swap` exchanges it with the live ones."""

    def __init__(self, parameters, decay):
        self.live = list(parameters)
        self.mean = [p.detach().clone() for p in self.live]
        self.decay, self.n_steps = decay, 0

    @torch.no_grad()
    def update(self):
        self.n_steps += 1
        weight = 1 - min(self.decay, self.n_steps / (self.n_steps + 20))
        torch._foreach_lerp_(self.mean, [p.detach() for p in self.live], weight)

    @torch.no_grad()
    def swap(self):
        for mean, p in zip(self.mean, self.live):
            kept = p.detach().clone()
            p.copy_(mean)
            mean.copy_(kept)


class Progress:
    """The budget of a stage, in steps or in minutes, and the learning rate over it.

    The rate warms up, stays, and falls in a straight line over the last part, so that a stage
    can be resumed from any checkpoint of its steady part with a larger budget.
    """

    def __init__(self, n_steps=None, minutes=None, fall=0.25, warm_steps=30):
        self.n_steps, self.minutes, self.fall, self.warm_steps = n_steps, minutes, fall, warm_steps
        self.start_s, self.step = time.monotonic(), 0

    def fraction(self):
        if self.n_steps is not None:
            return self.step / self.n_steps
        return (time.monotonic() - self.start_s) / (60 * self.minutes)

    def rate(self):
        fraction = min(1.0, self.fraction())
        falling = (1 - fraction) / self.fall if self.fall else 1
        return min(1.0, (self.step + 1) / self.warm_steps, max(falling, 0.02))

    def is_falling(self):
        return self.fraction() > 1 - self.fall

    def elapsed_s(self):
        return time.monotonic() - self.start_s


def save_checkpoint(path, **content):
    """Write atomically, so that a stop at any moment leaves a whole file."""
    torch.save(content, path + ".new")
    os.replace(path + ".new", path)


def load_checkpoint(path):
    return torch.load(path, map_location="cpu", weights_only=False)


def say(text):
    print(time.strftime("%H:%M:%S ", time.gmtime()) + text, flush=True)
