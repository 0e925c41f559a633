"""Make the golden PTX: matrix products compiled by Triton, whose tensor-core layouts are proven on
hardware and owe nothing to this tree. test_golden_ptx runs them on the simulated device, so that a
wrong idea of a layout, shared by our kernels and the simulator, cannot pass.

Needs no GPU, only `pip install triton` (3.9.0 made the files in the tree):
    python make_golden_ptx.py .
"""

import pathlib
import re
import sys

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TILE = {"BM": 32, "BN": 32, "BK": 32}


@triton.jit
def product(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """c [M, N] = a [M, K] b [K, N]; K a multiple of BK."""
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    cols = tl.program_id(1) * BN + tl.arange(0, BN)
    inner = tl.arange(0, BK)
    is_integer: tl.constexpr = a.dtype.element_ty == tl.int8
    sums = tl.zeros((BM, BN), dtype=tl.int32 if is_integer else tl.float32)
    zero: tl.constexpr = 0 if is_integer else 0.0
    for k in range(0, K, BK):
        x = tl.load(
            a + rows[:, None] * K + (k + inner)[None, :], mask=rows[:, None] < M, other=zero
        )
        y = tl.load(
            b + (k + inner)[:, None] * N + cols[None, :], mask=cols[None, :] < N, other=zero
        )
        sums = tl.dot(x, y, sums)
    inside = (rows[:, None] < M) & (cols[None, :] < N)
    tl.store(c + rows[:, None] * N + cols[None, :], sums, mask=inside)


# name: operands, result, compute capability
CASES = {
    "bf16": ("bf16", "fp32", 80),
    "f16": ("fp16", "fp32", 80),
    "s8": ("i8", "i32", 80),
    "e4m3": ("fp8e4nv", "fp32", 89),
}


def compile_case(operand, result, capability):
    types = {"a": "*" + operand, "b": "*" + operand, "c": "*" + result}
    types.update({size: "i32" for size in "MNK"}, **{tile: "constexpr" for tile in TILE})
    # The sizes are multiples of 16: rows can then be copied in pieces of 16 bytes (cp.async).
    aligned = {(i,): [["tt.divisibility", 16]] for i in (0, 1, 2, 4, 5)}
    source = ASTSource(fn=product, signature=types, constexprs=TILE, attrs=aligned)
    options = {"num_warps": 4, "num_stages": 3}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm[
        "ptx"
    ]


def main(folder):
    for name, case in CASES.items():
        ptx = compile_case(*case)
        ptx = (
            ptx[: ptx.rindex("}") + 1] if ".section" not in ptx else ptx[: ptx.index("\t.section")]
        )
        ptx = re.sub(r"//[^\n]*|^\s*\.(loc|file)\s[^\n]*", "", ptx, flags=re.M)
        ptx = re.sub(r"\n\s*\n+", "\n", ptx).replace("product", "product_" + name)
        head = "// Triton %s, make_golden_ptx.py\n" % triton.__version__
        (pathlib.Path(folder) / ("product_%s.ptx" % name)).write_text(head + ptx.strip() + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
