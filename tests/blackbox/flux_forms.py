"""Further forms of a diffusers model: the layout of FLUX.1's first publication, and GGUF.

For tests, and by hand:

    .venv/bin/python tests/blackbox/flux_forms.py MODEL_DIR OUT_DIR [FORMAT]

copies MODEL_DIR to OUT_DIR with transformer and vae as the single files flux1-dev.safetensors and
ae.safetensors, or with the transformer as flux1-dev.gguf in FORMAT (F32, F16, BF16, Q8_0, Q4_0,
Q4_K, ...). Tensors are values (numpy f32 arrays) or raw: rows of bytes with a format's name. The
GGUF writer and all quantisers but Q4_K's are those of the PyPI package gguf.
"""

import json
import pathlib
import shutil
import struct
import sys

import gguf
import numpy as np

WEIGHTS = "diffusion_pytorch_model.safetensors"


class Raw:
    """A tensor as stored: format name, shape, and an array [rows, bytes of a row]."""

    def __init__(self, form, shape, rows):
        self.form, self.shape, self.rows = form, tuple(shape), rows

    def values(self):
        kind = gguf.GGMLQuantizationType[self.form]
        return gguf.quants.dequantize(self.rows, kind).astype(np.float32).reshape(self.shape)


def read(path):
    """The tensors of a safetensors file, {name: Raw}."""
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            flat = np.frombuffer(data[8 + size + begin:8 + size + end], np.uint8)
            shape = entry["shape"]
            rows = shape[0] if len(shape) > 1 else 1
            tensors[name] = Raw(entry["dtype"], shape, flat.reshape(rows, -1))
    return tensors


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": t.form, "shape": list(t.shape), "data_offsets": [at, at + t.rows.size]}
        at += t.rows.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for t in tensors.values():
            file.write(t.rows.tobytes())


# --- formats ----------------------------------------------------------------------------------------


def quantize_q4_k(values):
    """Simple, not good: scale and minimum of each 32 values from their range."""
    groups = values.reshape(-1, 8, 32)
    low = np.minimum(groups.min(axis=2), 0)
    step = (groups.max(axis=2) - low) / 15
    d = (step.max(axis=1, keepdims=True) / 63).astype(np.float16)
    m = ((-low).max(axis=1, keepdims=True) / 63).astype(np.float16)

    def units(x, unit):
        unit = unit.astype(np.float32)
        return np.clip(np.rint(np.divide(x, unit, out=np.zeros_like(x), where=unit > 0)), 0, 63)

    scale, minimum = units(step, d), units(-low, m)
    span = (d.astype(np.float32) * scale)[:, :, None]
    base = (m.astype(np.float32) * minimum)[:, :, None]
    q = np.divide(groups + base, span, out=np.zeros_like(groups), where=span > 0)
    q = np.clip(np.rint(q), 0, 15).astype(np.uint8).reshape(-1, 4, 2, 32)
    s, n = scale.astype(np.uint8), minimum.astype(np.uint8)
    packed = np.concatenate([s[:, :4] | (s[:, 4:] >> 4) << 6, n[:, :4] | (n[:, 4:] >> 4) << 6,
                             (s[:, 4:] & 15) | (n[:, 4:] & 15) << 4], axis=1)
    blocks = np.concatenate([d.view(np.uint8), m.view(np.uint8), packed,
                             (q[:, :, 0] | q[:, :, 1] << 4).reshape(-1, 128)], axis=1)
    return blocks.reshape(len(values), -1)


def encode(tensor, form):
    """A tensor in another format; vectors, and rows that are no whole blocks, stay in f32."""
    kind = gguf.GGMLQuantizationType[form]
    block = gguf.GGML_QUANT_SIZES[kind][0]
    values = tensor.values()
    if block > 1 and (values.ndim == 1 or values.shape[-1] % block):
        kind, form = gguf.GGMLQuantizationType.F32, "F32"
    rows = values.reshape(1 if values.ndim == 1 else values.shape[0], -1)
    if form == "Q4_K":
        return Raw(form, tensor.shape, quantize_q4_k(rows))
    return Raw(form, tensor.shape, gguf.quants.quantize(rows, kind).view(np.uint8))


# --- names ------------------------------------------------------------------------------------------


def join(tensors):
    """Tensors of one width below each other."""
    first = tensors[0]
    rows = np.concatenate([t.rows for t in tensors], axis=int(len(first.shape) == 1))
    return Raw(first.form, (sum(t.shape[0] for t in tensors), *first.shape[1:]), rows)


def swap_halves(tensor):
    axis = int(len(tensor.shape) == 1)
    first, second = np.split(tensor.rows, 2, axis=axis)
    return Raw(tensor.form, tensor.shape, np.concatenate([second, first], axis=axis))


def bfl_transformer(t):
    """A diffusers transformer's tensors under the names of the first publication."""
    out = {}

    def put(theirs, *ours):
        for kind in ("weight", "bias"):
            if f"{ours[0]}.{kind}" in t:
                out[f"{theirs}.{kind}"] = join([t[f"{name}.{kind}"] for name in ours])

    def put_scale(theirs, ours):
        out[f"{theirs}.scale"] = t[f"{ours}.weight"]

    put("img_in", "x_embedder")
    put("txt_in", "context_embedder")
    for theirs, ours in (("time_in", "timestep"), ("vector_in", "text"), ("guidance_in", "guidance")):
        put(f"{theirs}.in_layer", f"time_text_embed.{ours}_embedder.linear_1")
        put(f"{theirs}.out_layer", f"time_text_embed.{ours}_embedder.linear_2")
    n = 0
    while f"transformer_blocks.{n}.attn.to_q.weight" in t:
        ours, theirs = f"transformer_blocks.{n}", f"double_blocks.{n}"
        for side, norm, qkv, proj, added, mlp in (
                ("img", "norm1", ("to_q", "to_k", "to_v"), "to_out.0", "", "ff"),
                ("txt", "norm1_context", ("add_q_proj", "add_k_proj", "add_v_proj"), "to_add_out",
                 "added_", "ff_context")):
            put(f"{theirs}.{side}_mod.lin", f"{ours}.{norm}.linear")
            put(f"{theirs}.{side}_attn.qkv", *(f"{ours}.attn.{name}" for name in qkv))
            put(f"{theirs}.{side}_attn.proj", f"{ours}.attn.{proj}")
            put_scale(f"{theirs}.{side}_attn.norm.query_norm", f"{ours}.attn.norm_{added}q")
            put_scale(f"{theirs}.{side}_attn.norm.key_norm", f"{ours}.attn.norm_{added}k")
            put(f"{theirs}.{side}_mlp.0", f"{ours}.{mlp}.net.0.proj")
            put(f"{theirs}.{side}_mlp.2", f"{ours}.{mlp}.net.2")
        n += 1
    n = 0
    while f"single_transformer_blocks.{n}.proj_mlp.weight" in t:
        ours, theirs = f"single_transformer_blocks.{n}", f"single_blocks.{n}"
        put(f"{theirs}.modulation.lin", f"{ours}.norm.linear")
        put(f"{theirs}.linear1", f"{ours}.attn.to_q", f"{ours}.attn.to_k", f"{ours}.attn.to_v",
            f"{ours}.proj_mlp")
        put_scale(f"{theirs}.norm.query_norm", f"{ours}.attn.norm_q")
        put_scale(f"{theirs}.norm.key_norm", f"{ours}.attn.norm_k")
        put(f"{theirs}.linear2", f"{ours}.proj_out")
        n += 1
    put("final_layer.linear", "proj_out")
    for kind in ("weight", "bias"):
        # here scale stands before shift, there behind it
        out[f"final_layer.adaLN_modulation.1.{kind}"] = swap_halves(t[f"norm_out.linear.{kind}"])
    return out


def bfl_vae(t):
    """An autoencoder's tensors under the names of ae.safetensors."""
    n_levels = 1 + max(int(name.split(".")[2]) for name in t if name.startswith("decoder.up_blocks."))
    out = {}
    for name, tensor in t.items():
        part = name.split(".")
        if part[1] in ("up_blocks", "down_blocks"):
            level = int(part[2])
            if part[1] == "up_blocks":
                level = n_levels - 1 - level
            head = f"{part[0]}.{part[1].split('_')[0]}.{level}."
            if part[3] == "resnets":
                tail = f"block.{part[4]}." + ".".join(part[5:]).replace("conv_shortcut", "nin_shortcut")
            else:
                tail = {"upsamplers": "upsample", "downsamplers": "downsample"}[part[3]] + ".conv." + part[6]
            out[head + tail] = tensor
        elif part[1] == "mid_block" and part[2] == "resnets":
            out[f"{part[0]}.mid.block_{int(part[3]) + 1}." + ".".join(part[4:])] = tensor
        elif part[1] == "mid_block":
            theirs = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out": "proj_out"}
            if len(tensor.shape) == 2:  # a 1x1 convolution there
                tensor = Raw(tensor.form, (*tensor.shape, 1, 1), tensor.rows)
            out[f"{part[0]}.mid.attn_1.{theirs[part[4]]}.{part[-1]}"] = tensor
        else:
            out[name.replace("conv_norm_out", "norm_out")] = tensor
    return out


# --- files ------------------------------------------------------------------------------------------


def write_gguf(path, tensors, architecture="flux", alignment=None, prefix=""):
    writer = gguf.GGUFWriter(str(path), architecture)
    if alignment:
        writer.add_custom_alignment(alignment)
    writer.add_name("test model")
    writer.add_array("test.list", ["a", "b"])
    for name, t in tensors.items():
        kind = gguf.GGMLQuantizationType[t.form]
        if t.form == "F32":
            writer.add_tensor(prefix + name, t.rows.copy().view(np.float32).reshape(t.shape))
        elif t.form == "F16":
            writer.add_tensor(prefix + name, t.rows.copy().view(np.float16).reshape(t.shape))
        else:
            row = t.rows.size // int(np.prod(t.shape[:-1], dtype=np.int64))
            writer.add_tensor(prefix + name, t.rows.reshape(*t.shape[:-1], row), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def copy_without_weights(model, out, *parts):
    """A copy of a model folder in which the named parts have a config but no weights."""
    shutil.copytree(model, out)
    for part in parts:
        (pathlib.Path(out) / part / WEIGHTS).unlink()
    return pathlib.Path(out)


def main(model, out, form=None):
    model, out = pathlib.Path(model), pathlib.Path(out)
    transformer = read(model / "transformer" / WEIGHTS)
    if form is None:
        copy_without_weights(model, out, "transformer", "vae")
        write_safetensors(out / "flux1-dev.safetensors", bfl_transformer(transformer))
        write_safetensors(out / "ae.safetensors", bfl_vae(read(model / "vae" / WEIGHTS)))
    else:
        copy_without_weights(model, out, "transformer")
        encoded = {name: encode(t, form) for name, t in transformer.items()}
        write_gguf(out / "flux1-dev.gguf", bfl_transformer(encoded))


if __name__ == "__main__":
    main(*sys.argv[1:])
