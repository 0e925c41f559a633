"""The latent space: what the encoder is made to compute, as one linear map of small blocks.

A flat drawing of 512 x 512 pixels is told almost fully by its 64 x 64 thumbnail, since the soft
pixels along an edge say where the edge lies. So the latent space is not learned: each cell of
32 x 32 pixels holds the discrete cosine transform of its 4 x 4 thumbnail pixels in three colour
axes, of which the 32 strongest coefficients of 48 are kept. The flow then needs no encoded data set
(thumbnails are drawn as they are needed) and can start at once, while the decoder, which must draw
sharp edges again, is still training.

Coefficients are divided by the square root of their deviation: half way between the natural
spectrum, in which layout is settled long before detail, and a white one.
"""

import random

import numpy
import torch

import pictures
import scenes
from common import THUMBNAIL_PX, images_to_tensor, load_checkpoint, save_checkpoint

CHANNELS = 32
BLOCK = 4  # thumbnail pixels per latent cell and axis
COLOUR_AXES = numpy.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / numpy.sqrt([[3], [2], [6]])


def cosine_basis():
    k, x = numpy.meshgrid(numpy.arange(BLOCK), numpy.arange(BLOCK), indexing="ij")
    basis = numpy.cos(numpy.pi * (x + 0.5) * k / BLOCK)
    return basis / numpy.linalg.norm(basis, axis=1, keepdims=True)


def full_transform():
    """All 48 coefficients: [colour, ky, kx] x [rgb, y, x], orthonormal."""
    c = cosine_basis()
    t = numpy.einsum("ac,iy,jx->aijcyx", COLOUR_AXES, c, c)
    return torch.from_numpy(t.reshape(3 * BLOCK**2, 3, BLOCK, BLOCK)).float()


class Latents:
    """weight [C, 3, 4, 4] and bias [C] of the map from thumbnail blocks to a latent cell."""

    def __init__(self, weight, bias):
        self.weight, self.bias = weight, bias

    def __call__(self, thumbnails):
        """[B, 3, 64, 64] in [-1, 1] to [B, C, 16, 16]."""
        return torch.nn.functional.conv2d(thumbnails, self.weight, self.bias, stride=BLOCK)

    def invert(self, z):
        """The thumbnails, less the coefficients that were dropped."""
        square_norm = self.weight.square().sum((1, 2, 3))
        z = (z - self.bias[:, None, None]) / square_norm[:, None, None]
        return torch.nn.functional.conv_transpose2d(z, self.weight, stride=BLOCK)


def draw_thumbnails(batch, width_px=THUMBNAIL_PX, height_px=THUMBNAIL_PX):
    return images_to_tensor([pictures.render(s, width_px, height_px) for s in batch])


def fit(path, n_scenes=3000, seed=11):
    """Measure the coefficients over random scenes and choose which to keep."""
    r = random.Random(seed)
    transform = full_transform()
    thumbnails = draw_thumbnails([scenes.sample(r) for _ in range(n_scenes)])
    z = torch.nn.functional.conv2d(thumbnails, transform, stride=BLOCK)
    mean, deviation = z.mean((0, 2, 3)), z.std((0, 2, 3))
    kept = deviation.argsort(descending=True)[:CHANNELS].sort().values
    gain = deviation[kept] ** -0.5
    gain = gain / (gain * deviation[kept]).square().mean().sqrt()
    weight = transform[kept] * gain[:, None, None, None]
    save_checkpoint(path, weight=weight, bias=-mean[kept] * gain, kept=kept,
                    deviation=deviation)
    lost = deviation.square().sum() - deviation[kept].square().sum()
    return (gain * deviation[kept]), (lost / deviation.square().sum()).item()


def of_encoder(encoder):
    """The mapping that autoencoder.set_encoder has written into an encoder."""
    last = encoder.down_blocks[4].downsamplers[0].conv
    weight = torch.zeros(CHANNELS, 3, BLOCK, BLOCK)
    for c in range(3):
        for y in range(BLOCK):
            for x in range(BLOCK):
                weight[:, c, y, x] = last.weight[
                    :CHANNELS, 4 * c + 2 * (y % 2) + x % 2, y // 2, x // 2].detach()
    return Latents(weight, last.bias[:CHANNELS].detach().clone())


def load(path):
    content = load_checkpoint(path)
    return Latents(content["weight"], content["bias"])
