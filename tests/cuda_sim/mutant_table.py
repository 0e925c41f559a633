"""The mutations of mutants.py: what is changed where, and which tests must notice."""

from typing import NamedTuple


class Mutant(NamedTuple):
    name: str
    file: str  # in cuda/
    tests: str  # a key of mutants.PROGRAMS
    old: str
    new: str
    occurrence: int = 1


def barrier(name, file, tests, comment):
    """A barrier that is missing, found by the comment beside it."""
    return Mutant(
        "no barrier: " + name, file, tests, "__syncthreads(); /* " + comment, "/* " + comment
    )


MUTANTS = [
    # products on tensor cores
    Mutant("product: waits for a stage too few", "gemm.cu", "products",
           "cp_async_wait<MMA_STAGES - 2>();", "cp_async_wait<MMA_STAGES - 1>();"),
    barrier("product, stage", "gemm.cu", "products", "stage s is there"),
    Mutant("no barrier: product, results over operands", "gemm.cu", "products",
           "cp_async_wait<0>();\n    __syncthreads();", "cp_async_wait<0>();"),
    Mutant("no barrier: product, results", "gemm.cu", "products",
           "    __syncthreads();\n    for (int i = tid; i < TILE * TILE", "    for (int i = tid; i < TILE * TILE"),
    Mutant("product: one weight row too many", "gemm.cu", "products",
           "n < p.n && tap.k", "n <= p.n && tap.k"),
    Mutant("product: wrong half of b", "gemm.cu", "products",
           "k * 2 + lane / 8 % 2));", "k * 2 + lane / 16));"),
    Mutant("product: wrong fragment of b", "gemm.cu", "products",
           "b[j / 2][j % 2 * 2], b", "b[j / 2][j % 2], b"),
    Mutant("product: wrong piece of a", "gemm.cu", "products",
           "lane % 16, k * 2 + lane / 16)", "lane % 16, k + lane / 16)"),
    Mutant("product: halves of the result", "gemm.cu", "products",
           "lane / 4 + h * 8, warp_n", "lane / 4 + h * 4, warp_n"),
    Mutant("product: neighbours exchanged", "gemm.cu", "products",
           "make_float2(acc[i][j][2 * h], acc[i][j][2 * h + 1])",
           "make_float2(acc[i][j][2 * h + 1], acc[i][j][2 * h])"),
    Mutant("product: rows of the first group only", "gemm.cu", "products",
           "group * GROUP_ROWS + in_group", "in_group"),
    Mutant("product: shared memory too small", "gemm.cu", "products",
           "return MMA_STAGES * 2", "return (MMA_STAGES - 1) * 2"),
    # finding the left operand, ending a run
    Mutant("operand: inputs past the last", "product.cuh", "products",
           "t.k < p.k && r.y != ABSENT", "r.y != ABSENT"),
    Mutant("convolution: rows above the picture", "product.cuh", "products",
           "(unsigned)y < (unsigned)p.height", "y < p.height"),
    Mutant("convolution: no padding above", "product.cuh", "products",
           "i[1] * p.stride - p.pad_top", "i[1] * p.stride"),
    Mutant("convolution: taps run on", "product.cuh", "products",
           "if (++t.tx == p.kernel_x)", "if (++t.tx > p.kernel_x)"),
    Mutant("epilogue: bias past its end", "product.cuh", "products",
           "i < left ? p.bias[n + i] : 0.0f", "p.bias[n + i]"),
    # products in f32, few rows
    Mutant("no barrier: f32 product, operands", "gemm_f32.cu", "products",
           "        __syncthreads();\n", "", 1),
    Mutant("no barrier: f32 product, next operands", "gemm_f32.cu", "products",
           "        __syncthreads();\n", "", 2),
    Mutant("f32 product: one column too many", "gemm_f32.cu", "products",
           "if (n < p.n)\n", "if (n <= p.n)\n"),
    Mutant("few rows: rows that are not there", "gemm_f32.cu", "products",
           "lane == 0 && m < p.rows", "lane == 0"),
    Mutant("few rows: past the last input", "gemm_f32.cu", "products",
           "p.k - k, p.is_x_aligned", "RUN, p.is_x_aligned"),
    # quantised weights
    Mutant("int8: scale of the first row", "quantised.cuh", "products",
           "static_cast<const float *>(p.w_scales)[n]", "static_cast<const float *>(p.w_scales)[0]"),
    Mutant("fp8: scale of the first row", "quantised.cuh", "products",
           "static_cast<const float *>(p.w_scales)[n]", "static_cast<const float *>(p.w_scales)[0]", 2),
    Mutant("int8: second half as the first", "quantised.cuh", "products",
           "i < RUN / 2 ? u.x : u.y;", "u.x;"),
    Mutant("fp8: no sign", "quantised.cuh", "products", "(code & 0x80) << 24", "(code & 0x00) << 24"),
    Mutant("q4: neighbours exchanged", "quantised.cuh", "products", "u >> (i * 4)", "u >> ((i ^ 1) * 4)"),
    Mutant("q4: groups twice as long", "quantised.cuh", "products",
           "k / QUANT_GROUP)", "k / (2 * QUANT_GROUP))"),
    Mutant("unpacking: one row too many", "unpack.cu", "products", "if (n >= p.n)", "if (n > p.n)"),
    Mutant("unpacking: rows without padding", "unpack.cu", "products",
           "static_cast<T *>(to) + n * p.w_row + k", "static_cast<T *>(to) + n * p.k + k"),
    # shared parts
    Mutant("warp sum: half of the lanes", "common.cuh", "rows",
           "for (int step = 16; step > 0; step /= 2)\n        v +=",
           "for (int step = 8; step > 0; step /= 2)\n        v +="),
    Mutant("no barrier: block sum", "common.cuh", "rows",
           "partial[warp] = v;\n    __syncthreads();", "partial[warp] = v;"),
    Mutant("GELU: wrong constant", "common.cuh", "rows", "0.044715f", "0.44715f"),
    Mutant("walk: every run is whole", "walk.cuh", "rows",
           "return left < RUN ? (int)left : (int)RUN;", "return left < 0 ? (int)left : (int)RUN;"),
    Mutant("walk: outer axes forgotten", "walk.cuh", "rows",
           "offsets[k] += index * w.strides[k][a];", "offsets[k] = index * w.strides[k][a];"),
    # norms and rope
    Mutant("norm: padding counts", "norm.cu", "rows",
           "RUN + i < p.width ? v[r][i] - mean : 0.0f", "RUN >= 0 ? v[r][i] - mean : 0.0f"),
    Mutant("norm: scale without one", "norm.cu", "rows", "(1.0f + f[i]) + g[i]", "f[i] + g[i]"),
    Mutant("norm: no epsilon", "norm.cu", "rows", "sqrtf(variance + p.eps)", "sqrtf(variance)"),
    Mutant("rope: sign", "norm.cu", "rows", "x0 * c - x1 * s", "x0 * c + x1 * s"),
    Mutant("rope: angles of another token", "norm.cu", "rows",
           "image % p.tokens * (p.width / 2)", "(image + 1) % p.tokens * (p.width / 2)"),
    Mutant("rope: not rounded before", "norm.cu", "rows",
           "v[r][i] = rounded(v[r][i], to);", "v[r][i] = v[r][i];"),
    Mutant("no barrier: moments", "norm.cu", "rows",
           "sums[1][warp][lane] = squares;\n    __syncthreads();", "sums[1][warp][lane] = squares;"),
    Mutant("group norm: last chunk is whole", "norm.cu", "rows",
           "const int n = left < p.chunk ? (int)left : p.chunk;",
           "const int n = left < 0 ? (int)left : p.chunk;"),
    Mutant("group norm: means do not differ", "norm.cu", "rows",
           "squares += their + delta * delta * n * m / all;", "squares += their;"),
    # element-wise
    Mutant("gated add: no gate", "elementwise.cu", "rows", "return old + y * x;", "return old + x;"),
    Mutant("pixels: no upper limit", "elementwise.cu", "rows", "fminf(unit, 1.0f)", "unit"),
    Mutant("upsampling: columns", "elementwise.cu", "rows",
           "column / 2) * channels", "column) * channels"),
    Mutant("embedding: row number for id", "elementwise.cu", "rows",
           "ids[r] * (int64_t)width", "r * (int64_t)width"),
    # attention
    barrier("attention, keys", "attention.cu", "products", "keys are there"),
    barrier("attention, values", "attention.cu", "products", "values are there"),
    barrier("attention of any width, weights", "attention.cu", "products", "keys make room"),
    barrier("attention of any width, next keys", "attention.cu", "products", "values make room"),
    Mutant("attention: does not wait for keys", "attention.cu", "products",
           "cp_async_wait<0>();\n        __syncthreads(); /* keys",
           "cp_async_wait<1>();\n        __syncthreads(); /* keys"),
    Mutant("attention: one key too many", "attention.cu", "products",
           "score = key < end ? score", "score = key <= end ? score"),
    Mutant("attention: old outputs keep their weight", "attention.cu", "products",
           "acc[i][j][2 * half] *= decay;", ""),
    Mutant("attention: largest over wrong lanes", "attention.cu", "products",
           "__shfl_xor_sync(0xffffffffu, m, 2)", "__shfl_xor_sync(0xffffffffu, m, 4)"),
    Mutant("attention: sum over half of the lanes", "attention.cu", "products",
           "total += __shfl_xor_sync(0xffffffffu, total, 2);", ""),
    Mutant("attention: one query too many", "attention.cu", "products",
           "if (first + row < p.lq)", "if (first + row <= p.lq)"),
    Mutant("attention: a query does not see itself", "attention.cu", "products",
           "min(p.lk, row + 1)", "min(p.lk, row)"),
    Mutant("attention: rows past the last", "attention.cuh", "products",
           "end ? 16 : 0", "end ? 16 : 16"),
    barrier("wide attention, scores", "attention_wide.cu", "products", "all scores are there"),
    barrier("wide attention, next keys", "attention_wide.cu", "products", "keys replace"),
    Mutant("wide attention: one query too many", "attention_wide.cu", "products",
           "if (first + row < p.lq)", "if (first + row <= p.lq)"),
    # inside inline PTX
    Mutant("PTX: operands of b exchanged", "common.cuh", "ptx", "{%8,%9}", "{%9,%8}"),
    Mutant("PTX: waits for a group too few", "common.cuh", "ptx", '"n"(N)', '"n"(N + 1)'),
    Mutant("PTX: no transposition", "common.cuh", "ptx", "x4.trans.shared", "x4.shared"),
    Mutant("PTX: no zeros past the end", "common.cuh", "ptx", '"r"(valid)', '"r"(16)'),
    # weights in host memory (host code), and made-up ones
    Mutant("stream: operations don't wait for copies", "stream.c", "stream",
           'return cuda_check(c, cudaStreamWaitEvent(c->stream, buffer->loaded, 0), "stream layer");',
           "return true;"),
    Mutant("stream: copies don't wait for operations", "stream.c", "stream",
           'is_done = cuda_check(c, cudaStreamWaitEvent(s->copies, buffer->used, 0), "stream layer");',
           "is_done = true;"),
    Mutant("stream: no layer is asked for early", "stream.c", "stream",
           "(void)load(c, other(s), next);", "(void)next;"),
    Mutant("made weights: wrong step", "random.cu", "made", "/ RANDOM_DRAWS + 1)", "/ RANDOM_DRAWS)"),
    Mutant("made weights: channels before taps", "random.cu", "made",
           "at % channels) * taps", "at / taps) * taps"),
    Mutant("made weights: padding", "random.cu", "made", "if (at >= k)", "if (at > k)"),
]  # fmt: skip
