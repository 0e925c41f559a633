"""The AutoencoderKL: an encoder that is set by hand, and a decoder that is trained.

Encoder. latents.py defines the latent space as a linear map, so the weights are written down: all
residual branches end in zeros, three strided convolutions average 512 pixels down to the thumbnail,
two more move 4 x 4 of its pixels into channels. Two steps of the stock encoder are not linear, the
last group norm and the SiLU after it. Each value v therefore goes in as v and -v, beside two large
constants: the group's mean is then zero and its deviation constant, and
silu(v) - silu(-v) = v undoes the rest.

Decoder. It learns to draw 512 x 512 pixels with sharp edges from latents with some noise on them,
because the flow's latents will not be exact. It starts as a smooth pyramid (residual branches zero,
resampling near the identity), with throw-away heads that ask every level for the picture at its
size; crops first, whole scenes later.
"""

import math
import os
import random

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import nn

import latents
import pictures
import scenes
from common import (IMAGE_PX, Average, Muon, Progress, images_to_tensor, load_checkpoint,
                    save_checkpoint, say)

WIDTHS = (16, 32, 48, 64, 96, 128)  # of the levels 512, 256, ..., 16
CELL_PX = 2 ** (len(WIDTHS) - 1)
N_GROUPS = 2
CONSTANT = 1024.0  # beside which the latents vanish in the last group norm
LOG_VARIANCE = -12.0  # of the posterior: the encoder is exact
NOISE_MAX = 0.2  # deviation of the noise on the decoder's input


def build():
    return AutoencoderKL(
        block_out_channels=WIDTHS, layers_per_block=1, latent_channels=latents.CHANNELS,
        norm_num_groups=N_GROUPS, use_quant_conv=False, use_post_quant_conv=False,
        down_block_types=["DownEncoderBlock2D"] * len(WIDTHS),
        up_block_types=["UpDecoderBlock2D"] * len(WIDTHS), sample_size=IMAGE_PX,
        scaling_factor=1.0, shift_factor=0.0)


# ---- the encoder, written down ---------------------------------------------------------------


@torch.no_grad()
def set_encoder(vae, mapping):
    """Make vae.encode the linear map of latents.py."""
    e = vae.encoder
    for m in e.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            m.weight.zero_()
            m.bias.zero_()
    eye = torch.arange(3)
    e.conv_in.weight[eye, eye, 1, 1] = 1
    for i, block in enumerate(e.down_blocks):
        carried = 3 if i < 4 else 3 * 4
        shortcut = block.resnets[0].conv_shortcut
        if shortcut is not None and i < len(WIDTHS) - 1:
            channels = torch.arange(carried)
            shortcut.weight[channels, channels, 0, 0] = 1
        if i < 3:  # average: the padding is right and below, so the window starts at the pixel
            block.downsamplers[0].conv.weight[eye, eye, :2, :2] = 0.25
    # 64 to 32: channel 4 c + 2 dy + dx holds pixel (dy, dx) of colour c.
    unfold = e.down_blocks[3].downsamplers[0].conv.weight
    last = e.down_blocks[4].downsamplers[0].conv
    n = latents.CHANNELS
    for c in range(3):
        for dy in range(2):
            for dx in range(2):
                unfold[4 * c + 2 * dy + dx, c, dy, dx] = 1
                for by in range(2):
                    for bx in range(2):
                        last.weight[:n, 4 * c + 2 * dy + dx, by, bx] = \
                            mapping.weight[:, c, 2 * by + dy, 2 * bx + dx]
    last.bias[:n] = mapping.bias
    set_encoder_end(e, n)


def set_encoder_end(e, n):
    """v and -v and the constants into each norm group; out again as their difference."""
    spread, half = e.down_blocks[-1].resnets[0].conv_shortcut, n // N_GROUPS
    width = WIDTHS[-1] // N_GROUPS
    # The norm divides by the deviation of two constants among `width` channels.
    size = CONSTANT * math.sqrt(2 / width)
    e.conv_norm_out.weight.fill_(size)
    e.conv_norm_out.bias.zero_()
    for group in range(N_GROUPS):
        first = group * width
        for i in range(half):
            v = group * half + i
            spread.weight[first + i, v] = 1
            spread.weight[first + half + i, v] = -1
            e.conv_out.weight[v, first + i, 1, 1] = 1
            e.conv_out.weight[v, first + half + i, 1, 1] = -1
        spread.bias[first + 2 * half] = CONSTANT
        spread.bias[first + 2 * half + 1] = -CONSTANT
    e.conv_out.bias[n:] = LOG_VARIANCE


# ---- the decoder -----------------------------------------------------------------------------


@torch.no_grad()
def set_decoder_start(decoder):
    for name, m in decoder.named_modules():
        if not isinstance(m, nn.Conv2d):
            continue
        k = torch.arange(min(m.weight.shape[:2]))
        if name.endswith("conv2"):
            m.weight.zero_()
            m.bias.zero_()
        elif "upsamplers" in name:
            m.weight.mul_(0.5)
            m.weight[k, k, 1, 1] += 1
        elif "conv_shortcut" in name:
            m.weight.mul_(0.5)
            m.weight[k, k, 0, 0] += 1


class DecoderTrainer(nn.Module):
    """The decoder with its throw-away heads, one for each level below full size."""

    def __init__(self, vae):
        super().__init__()
        self.decoder = vae.decoder
        self.heads = nn.ModuleList(
            nn.Conv2d(width, 3, 1) for width in reversed(WIDTHS[1:]))

    def forward(self, z, n_levels):
        """Pictures of the first n_levels levels; the last of all is the decoder's own."""
        d, out = self.decoder, []
        x = d.mid_block(d.conv_in(z))
        for i, block in enumerate(d.up_blocks[:n_levels]):
            for resnet in block.resnets:
                x = resnet(x, None)
            if i < len(self.heads):
                out.append(self.heads[i](x))
            if i + 1 < n_levels:
                x = block.upsamplers[0](x)
        if n_levels == len(WIDTHS):
            out.append(d.conv_out(d.conv_act(d.conv_norm_out(x))))
        return out


def picture_loss(guess, wanted):
    """Absolute error, of the pixels, their differences and their averages, and square error."""
    e = guess - wanted
    edges = (e[..., 1:] - e[..., :-1]).abs().mean() + (e[..., 1:, :] - e[..., :-1, :]).abs().mean()
    square = e.square().mean()
    loss = e.abs().mean() + 0.5 * edges + 0.5 * F.avg_pool2d(e, 4).abs().mean() + 0.3 * square
    return loss, square


def draw(r, n, crop_cells):
    """Pictures, whole or cut to crop_cells latent cells a side."""
    out = []
    for _ in range(n):
        image = pictures.render(scenes.sample(r), IMAGE_PX)
        side = crop_cells * CELL_PX
        y, x = (CELL_PX * r.randrange((IMAGE_PX - side) // CELL_PX + 1) for _ in range(2))
        out.append(image[y:y + side, x:x + side])
    return images_to_tensor(out)


def to_latents(mapping, x):
    return mapping(F.avg_pool2d(x, IMAGE_PX // 64))


@torch.no_grad()
def measure(vae, mapping, n_scenes=8, seed=999):
    """PSNR in dB of whole held-back scenes, exact latents."""
    r, values = random.Random(seed), []
    for _ in range(n_scenes):
        x = draw(r, 1, IMAGE_PX // CELL_PX)
        y = vae.decode(to_latents(mapping, x)).sample.clamp(-1, 1)
        values.append(10 * math.log10(4 / (y - x).square().mean().item()))
    return sum(values) / n_scenes, values


ALL_LEVELS_FROM = 0.2  # of the stage


def plan(fraction):
    """What a step at this fraction of the stage does: levels, pictures, cells a side."""
    if fraction < 0.06:
        return 3, 8, 16  # up to 64 x 64
    if fraction < 0.12:
        return 4, 6, 8
    if fraction < ALL_LEVELS_FROM:
        return 5, 4, 6
    if fraction < 0.65:
        return 6, 3, 6
    return 6, 1, 16


def train(folder, checkpoint, minutes=None, n_steps=None, seed=31, save_s=240, report_s=60):
    """Train, from the checkpoint where there is one: checkpoints begin when all levels are on, so
    what follows skips the coarse ones."""
    torch.manual_seed(seed)
    r = random.Random(seed)
    mapping = latents.load(os.path.join(folder, "latents.pt"))
    vae = build()
    set_encoder(vae, mapping)
    set_decoder_start(vae.decoder)
    n_done, start = 0, 0.0
    known = os.path.join(folder, "vae")
    if os.path.isdir(known):  # the heads begin anew
        start = ALL_LEVELS_FROM
        vae.decoder.load_state_dict(AutoencoderKL.from_pretrained(known).decoder.state_dict())
    # Channels last and bfloat16 products: half the time of float32 in the usual order.
    trainer = DecoderTrainer(vae).to(memory_format=torch.channels_last)
    optimizer = Muon(trainer.named_parameters(), 3e-3,
                     adam_only=("conv_in", "conv_out", "norm", "heads"))
    average = Average(trainer.parameters(), 0.995)
    if os.path.exists(checkpoint):
        start = ALL_LEVELS_FROM
        c = load_checkpoint(checkpoint)
        trainer.load_state_dict(c["live"])
        optimizer.load_state_dict(c["optimizer"])
        average.mean, average.n_steps, n_done = c["mean"], c["n_done"], c["n_done"]
        r.setstate(c["random"])
        say(f"decoder resumes at step {n_done}")

    def save():
        save_checkpoint(checkpoint, live=trainer.state_dict(), mean=average.mean, n_done=n_done,
                        optimizer=optimizer.state_dict(), random=r.getstate())
        average.swap()
        vae.save_pretrained(os.path.join(folder, "vae"))
        decibel, each = measure(vae, mapping)
        average.swap()
        say(f"decoder step {n_done}: {decibel:.2f} dB, {[round(x, 1) for x in each]}")

    progress = Progress(n_steps, minutes, fall=0.3)
    saved_s = reported_s = 0.0
    losses = []
    while progress.fraction() < 1:
        n_levels, n, cells = plan(start + (1 - start) * progress.fraction())
        x = draw(r, n, cells)
        z = to_latents(mapping, x)
        z = z + torch.randn_like(z) * (NOISE_MAX * torch.rand(n, 1, 1, 1))
        loss = 0
        with torch.autocast("cpu", torch.bfloat16):
            guesses = trainer(z.to(memory_format=torch.channels_last), n_levels)
        for i, guess in enumerate(guesses):
            part, square = picture_loss(guess.float(), F.avg_pool2d(x, CELL_PX >> i))
            loss = loss + (part if i + 1 == n_levels else 0.25 * part)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trainer.parameters(), 1.0)
        optimizer.step(progress.rate())
        average.update()
        progress.step += 1
        n_done += 1
        losses.append(10 * math.log10(4 / square.item()))
        now_s = progress.elapsed_s()
        if now_s - reported_s > report_s:
            say(f"decoder step {n_done}, {n_levels} levels of {n} x {cells} cells: "
                f"{sum(losses) / len(losses):.2f} dB at the last level, "
                f"{len(losses) / (now_s - reported_s):.2f} steps/s rate {progress.rate():.2f}")
            reported_s, losses = now_s, []
        if now_s - saved_s > save_s and n_levels == len(WIDTHS):
            saved_s = now_s
            save()
    save()
