#!/usr/bin/env python3
"""Bounds of FLUX.1-dev on GPUs, computed: nothing here is measured.

    tools/performance_gpu.py PLAN_OPS MODEL_DIR [--write docs/performance-gpu.md]

PLAN_OPS is the program bench/plan_ops, which runs the model code over the counting back end. For
every device an operation takes at least the longer of its flops at the tensor cores' dense rate
and its bytes at the memory's rate. Prints the tables, or puts them between the markers of the
document.
"""

import argparse
import csv
import io
import math
import re
import subprocess
from collections import defaultdict
from pathlib import Path

# Dense rates without sparsity, f32 accumulation, from NVIDIA's data sheets and whitepapers: bf16
# and fp8 in Tflop/s (0: none), memory in GB/s, processors, boost clock in GHz.
DEVICES = {
    "A100 80GB SXM": (312, 0, 2039, 108, 1.41),
    "L40S": (362, 733, 864, 142, 2.52),
    "H100 SXM": (989, 1979, 3350, 132, 1.83),
    "B200": (2250, 4500, 8000, 148, 1.85),
    "RTX 4090": (165, 330, 1008, 128, 2.52),
}
STAGES = ["text", "condition", "step", "decode"]
SIZES = [512, 1024]
STEPS = 28
DEGREES = [1, 2, 4, 8]  # devices that make one image together
LINKS = {"NVLink 4": 450, "PCIe 5.0 x16": 63}  # GB/s that a device sends, data sheets
EXP2_PER_CLOCK = 16  # special-function results per clock and processor, sm_80 to sm_100
TENSOR_OPS = {"linear", "conv2d", "attention"}
# What is expected of the bounds, argued in the document: products (by the better of cuBLASLt and our
# kernel), flash attention, wide heads, convolutions.
SHARES = {
    "A100 80GB SXM": {"linear": 0.75, "attention": 0.62, "wide": 0.20, "conv2d": 0.65},
    "L40S": {"linear": 0.75, "attention": 0.70, "wide": 0.20, "conv2d": 0.65},
    "H100 SXM": {"linear": 0.72, "attention": 0.33, "wide": 0.12, "conv2d": 0.45},
    "B200": {"linear": 0.70, "attention": 0.15, "wide": 0.06, "conv2d": 0.20},
    "RTX 4090": {"linear": 0.75, "attention": 0.70, "wide": 0.20, "conv2d": 0.65},
}
MEMORY_SHARES = {"group_norm": 0.60}  # everything else that is bound by memory:
MEMORY_SHARE = 0.82
GAP_SECONDS = 1e-6  # between the kernels of a graph
QUERY_TILE = 128  # queries of one block of the attention kernel
LANES = 128  # instructions that a processor begins in a clock, times 32 threads
# To normalise and rotate one element of a key in registers, at least: widen 1, square 1, scale by
# the row and the weight 2, round and widen again 1.5, rotate 2, round 0.5; loads and sums left out.
KEY_INSTRUCTIONS = 8


def plan(program, model, size_px, devices=1):
    """Rows of plan_ops with numbers."""
    out = subprocess.run([program, model, str(size_px), str(devices)], check=True,
                         capture_output=True, text=True)
    rows = list(csv.DictReader(io.StringIO(out.stdout)))
    for row in rows:
        for key in ("calls", "flops", "bytes"):
            row[key] = float(row[key])
    return rows


def bound(row, device, is_fp8=False):
    """Seconds that the row takes at least. fp8 counts for linear only."""
    bf16, fp8, memory, _, _ = DEVICES[device]
    rate = fp8 if is_fp8 and row["op"] == "linear" and fp8 else bf16
    return max(row["flops"] / (rate * 1e12), row["bytes"] / (memory * 1e9))


def expected(row, device):
    """Seconds that the row is expected to take."""
    _, _, memory, _, _ = DEVICES[device]
    is_wide = row["op"] == "attention" and row["shape"].endswith(" 512")
    kind = "wide" if is_wide else row["op"]
    tensor = row["flops"] / (DEVICES[device][0] * 1e12) / SHARES[device].get(kind, 1)
    moved = row["bytes"] / (memory * 1e9) / MEMORY_SHARES.get(row["op"], MEMORY_SHARE)
    return max(tensor, moved) + row["calls"] * GAP_SECONDS


def attention_exp2(row, device):
    """Seconds that the special-function units need for one exp2 per score."""
    _, _, _, processors, clock = DEVICES[device]
    width = int(row["shape"].rsplit(" ", 1)[1])
    return row["flops"] / (4 * width) / (EXP2_PER_CLOCK * processors * clock * 1e9)


def table(header, rows):
    """A markdown table; all but the first column are numbers."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" + "---:|" * (len(header) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def operations_table(rows, stage):
    """Flops, bytes and bound of each operation and shape of a stage, longest on H100 first."""
    mine = [row for row in rows if row["stage"] == stage]
    mine.sort(key=lambda row: -bound(row, "H100 SXM"))
    total = sum(bound(row, "H100 SXM") for row in mine)
    shown, rest = [], defaultdict(float)
    for row in mine:
        cells = [bound(row, device) * 1e3 for device in DEVICES]
        if bound(row, "H100 SXM") < 0.004 * total:
            rest["calls"] += row["calls"]
            rest["flops"] += row["flops"]
            rest["bytes"] += row["bytes"]
            for device, cell in zip(DEVICES, cells):
                rest[device] += cell
            continue
        intensity = row["flops"] / row["bytes"]
        shown.append(
            [f"{row['op']} {row['shape']}", f"{row['calls']:.0f}", f"{row['flops'] / 1e12:.2f}",
             f"{row['bytes'] / 1e9:.2f}", f"{intensity:.0f}"] + [f"{cell:.2f}" for cell in cells])
    if rest:
        shown.append(["the rest", f"{rest['calls']:.0f}", f"{rest['flops'] / 1e12:.2f}",
                      f"{rest['bytes'] / 1e9:.2f}", ""] + [f"{rest[d]:.2f}" for d in DEVICES])
    shown.append(["**together**", f"{sum(r['calls'] for r in mine):.0f}",
                  f"{sum(r['flops'] for r in mine) / 1e12:.2f}",
                  f"{sum(r['bytes'] for r in mine) / 1e9:.2f}", ""]
                 + [f"**{sum(bound(r, d) for r in mine) * 1e3:.2f}**" for d in DEVICES])
    header = ["operation", "calls", "Tflop", "GB", "flop/byte"] + [f"{d}, ms" for d in DEVICES]
    return table(header, shown)


def image_seconds(rows, device, is_fp8=False):
    """Bound of a whole image."""
    times = {s: sum(bound(r, device, is_fp8) for r in rows if r["stage"] == s) for s in STAGES}
    return times["text"] + times["condition"] + STEPS * times["step"] + times["decode"], times


def images_table(plans):
    """Whole images on every device."""
    shown = []
    for size in SIZES:
        for device, (_, fp8, *_rest) in DEVICES.items():
            seconds, times = image_seconds(plans[size], device)
            fast = f"{image_seconds(plans[size], device, True)[0]:.2f}" if fp8 else "none"
            shown.append([f"{size}x{size}, {device}", f"{times['text'] * 1e3:.1f}",
                          f"{times['step'] * 1e3:.1f}", f"{times['decode'] * 1e3:.1f}",
                          f"{seconds:.2f}", f"{seconds / 0.62:.2f}", fast])
    header = ["picture", "text, ms", "step, ms", "decode, ms", f"image of {STEPS} steps, s",
              "the same at 62 % of peak, s", "bound with fp8 linear, s"]
    return table(header, shown)


def expected_table(plans):
    """Whole images as expected, and what a step's time goes to."""
    shown = []
    for size in SIZES:
        for device in DEVICES:
            stage = {s: sum(expected(r, device) for r in plans[size] if r["stage"] == s)
                     for s in STAGES}
            step = defaultdict(float)
            for row in (r for r in plans[size] if r["stage"] == "step"):
                step[row["op"]] += expected(row, device)
            others = sum(step.values()) - step["linear"] - step["attention"]
            seconds = stage["text"] + stage["condition"] + STEPS * stage["step"] + stage["decode"]
            reached = image_seconds(plans[size], device)[0] / seconds
            shown.append([f"{size}x{size}, {device}"]
                         + [f"{t * 1e3:.1f}" for t in (step["linear"], step["attention"], others,
                                                      stage["step"], stage["decode"])]
                         + [f"{seconds:.2f}", f"{reached * 100:.0f} %"])
    header = ["picture", "products, ms", "attention, ms", "the rest, ms", "step, ms", "decode, ms",
              f"image of {STEPS} steps, s", "of the bound"]
    return table(header, shown)


def exp2_table(plans):
    """Attention of a step: tensor cores against special-function units."""
    shown = []
    for size in SIZES:
        for device in DEVICES:
            rows = [r for r in plans[size] if r["stage"] == "step" and r["op"] == "attention"]
            tensor = sum(r["flops"] for r in rows) / (DEVICES[device][0] * 1e12)
            special = sum(attention_exp2(r, device) for r in rows)
            shown.append([f"{size}x{size}, {device}", f"{tensor * 1e3:.2f}",
                          f"{special * 1e3:.2f}", f"{special / tensor * 100:.0f} %"])
    return table(["attention of a step", "tensor cores, ms", "exp2, ms", "exp2 / tensor"], shown)


def memory_table(plans):
    """What is bound by memory in a step, and what fusing it would save at most."""
    shown = []
    for size in SIZES:
        rows = [r for r in plans[size] if r["stage"] == "step" and r["op"] not in TENSOR_OPS]
        by_op = defaultdict(lambda: [0.0, 0.0])
        for r in rows:
            by_op[r["op"]][0] += r["calls"]
            by_op[r["op"]][1] += r["bytes"]
        for op, (calls, size_bytes) in sorted(by_op.items(), key=lambda item: -item[1][1]):
            shown.append([f"{size}x{size}, {op}", f"{calls:.0f}", f"{size_bytes / 1e9:.2f}"]
                         + [f"{size_bytes / DEVICES[d][2] / 1e6:.2f}" for d in DEVICES])
    return table(["operation", "calls", "GB"] + [f"{d}, ms" for d in DEVICES], shown)


def keys_table(plans):
    """Normalising and rotating: as a pass of its own, and keys in attention's load."""
    shown = []
    for size in SIZES:
        step = [r for r in plans[size] if r["stage"] == "step"]
        moved = sum(r["bytes"] for r in step if r["op"] == "rms_norm_rope")
        elements = angles = 0.0
        for row in (r for r in step if r["op"] == "attention"):
            tokens, heads, width = (int(n) for n in re.findall(r"\d+", row["shape"]))
            rows = row["calls"] * heads * math.ceil(tokens / QUERY_TILE) * tokens
            elements += rows * width
            angles += rows * width * 4  # cos and sin of each pair, f32
        for device, (_, _, memory, processors, clock) in DEVICES.items():
            seconds = elements * KEY_INSTRUCTIONS / (LANES * processors * clock * 1e9)
            shown.append([f"{size}x{size}, {device}", f"{moved / memory / 1e6:.2f}",
                          f"{moved / 2 / memory / 1e6:.2f}", f"{seconds * 1e3:.2f}",
                          f"{angles / 1e9:.0f}"])
    return table(["a step", "the pass, ms", "its keys, ms", "keys in the load, ms",
                  "angles through L2, GB"], shown)


def team_table(teams):
    """An image over several H100: what they compute and what they send."""
    shown = []
    for size in SIZES:
        alone = None
        for degree in DEGREES:
            rows = teams[size, degree]
            sent = sum(r["bytes"] for r in rows if r["op"] == "exchange")
            work = [r for r in rows if r["op"] != "exchange"]
            image, times = image_seconds(work, "H100 SXM")
            image += STEPS * sent / LINKS["NVLink 4"] / 1e9
            alone = alone or image
            shown.append([f"{size}x{size}, {degree}", f"{times['step'] * 1e3:.1f}",
                          f"{sent / 1e9:.2f}"]
                         + [f"{sent / rate / 1e6:.1f}" for rate in LINKS.values()]
                         + [f"{image:.2f}", f"{alone / image:.1f}"])
    return table(["picture, devices", "step without exchanges, ms", "sent a step, GB"]
                 + [f"{link}, ms" for link in LINKS]
                 + [f"image of {STEPS} steps over NVLink, s", "times as fast"], shown)


def sections(plans):
    """Tables by the name of their marker."""
    made = {"images": images_table(plans), "exp2": exp2_table(plans),
            "memory": memory_table(plans), "keys": keys_table(plans),
            "expected": expected_table(plans)}
    for size in SIZES:
        made[f"step-{size}"] = operations_table(plans[size], "step")
    made["text"] = operations_table(plans[1024], "text")
    made["decode-1024"] = operations_table(plans[1024], "decode")
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plan_ops")
    parser.add_argument("model_dir")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT")
    args = parser.parse_args()
    teams = {(size, degree): plan(args.plan_ops, args.model_dir, size, degree)
             for size in SIZES for degree in DEGREES}
    made = sections({size: teams[size, 1] for size in SIZES})
    made["ulysses"] = team_table(teams)
    if not args.write:
        for name, text in made.items():
            print(f"## {name}\n\n{text}")
        return
    document = args.write.read_text()
    for name, text in made.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, after = document.split(begin)
        document = before + begin + text + end + after.split(end)[1]
    args.write.write_text(document)


if __name__ == "__main__":
    main()
