"""Golden values of GGUF's number formats, by the PyPI package gguf.

    .venv/bin/python tests/golden/make_gguf_formats.py

writes tests/data/gguf/formats.gguf, random blocks of each format in rows of 256 values, and
formats.safetensors, what they mean; and the seed of the fuzz target.
"""

import pathlib
import sys

import gguf
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/blackbox"))
from flux_forms import Raw, write_gguf, write_safetensors  # noqa: E402

ROWS, VALUES = 3, 256
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82],
          "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}  # places of f16 fields


def random_rows(random, form):
    if form not in SCALES:
        values = random.normal(size=(ROWS, VALUES)).astype(np.float32)
        return gguf.quants.quantize(values, gguf.GGMLQuantizationType[form]).view(np.uint8)
    values, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[form]]
    blocks = random.integers(0, 256, (ROWS * VALUES // values, size), dtype=np.uint8)
    for place in SCALES[form]:
        scales = random.normal(0, 0.1, (len(blocks), 1)).astype(np.float16)
        blocks[:, place:place + 2] = scales.view(np.uint8)
    return blocks.reshape(ROWS, -1)


def main():
    random = np.random.default_rng(20)
    tensors, values = {}, {}
    for form in ["F32", "F16", "BF16", *SCALES]:
        tensors[form] = Raw(form, (ROWS, VALUES), random_rows(random, form))
        decoded = tensors[form].values()
        values[form] = Raw("F32", decoded.shape, decoded.view(np.uint8))
    out = ROOT / "tests/data/gguf"
    write_gguf(out / "formats.gguf", tensors)
    write_safetensors(out / "formats.safetensors", values)
    small = {form: Raw(form, (1, VALUES), t.rows[:1]) for form, t in tensors.items()}
    write_gguf(ROOT / "tests/fuzz/seeds/gguf/formats.gguf",
               {form: small[form] for form in ("F16", "Q4_0", "Q6_K")}, alignment=64)


if __name__ == "__main__":
    main()
