/* The part of the CPU back end that is compiled once per instruction set.
 *
 * elementwise.c, norm.c and rows.c are built several times with different -march flags; CPU_ISA
 * (baseline, v3, v4: the x86-64 levels) is then defined and KERNEL(name) gives each build its own
 * symbols. Each build ends in one table of this type, and cpu_open() picks the best one that the
 * processor supports. No intrinsics: plain loops that the compiler vectorises. */
#pragma once

#include "tensor/ops.h"

struct cpu;

/* A panel of a packed weight, n <= CPU_PANEL outputs of it:
 *
 *   f32, bf16, f16   [k][n]; paired bf16: [k / 2][CPU_PANEL][2]
 *   int8, fp8        codes [k][n], scales [n] f32
 *   q4               codes [(k + 1) / 2][n], scales [G][n] bf16, as rows have them (tensor/quant.h)
 */
struct cpu_panel {
    const void *data, *scales; /* scales NULL unless quantised */
    enum dtype dtype;
    bool is_paired;
    int64_t k, n;
};

struct cpu_kernels {
    const char *name;

    /* Whole operations. */
    void (*layer_norm)(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                       struct tensor bias, struct tensor scale, struct tensor shift, float eps);
    void (*rms_norm)(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                     float eps);
    void (*rms_norm_rope)(struct backend *b, struct tensor x, struct tensor weight, float eps,
                          struct tensor cos, struct tensor sin);
    void (*group_norm)(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                       struct tensor bias, int groups, float eps, enum activation act);
    void (*activate)(struct backend *b, struct tensor out, struct tensor x, enum activation act);
    void (*add)(struct backend *b, struct tensor out, struct tensor x, struct tensor y);
    void (*mul)(struct backend *b, struct tensor out, struct tensor x, struct tensor y);
    void (*gated_add)(struct backend *b, struct tensor out, struct tensor gate, struct tensor x);
    void (*axpy)(struct backend *b, struct tensor out, float alpha, struct tensor x);
    void (*affine)(struct backend *b, struct tensor out, struct tensor x, float scale, float shift);
    void (*embed)(struct backend *b, struct tensor out, struct tensor table, struct tensor ids);
    void (*copy)(struct backend *b, struct tensor out, struct tensor x);
    void (*to_rgb8)(struct backend *b, struct tensor out, struct tensor x);

    /* Rows, for gemm.c, conv.c and attention.c; single-threaded, called inside their loops. */

    /* n elements of any float type to f32, and f32 to any float type. */
    void (*widen)(float *to, const void *from, enum dtype dtype, int64_t n);
    void (*narrow)(void *to, enum dtype dtype, const float *from, int64_t n);

    /* to[k][CPU_PANEL] in f32 from a paired bf16 panel. */
    void (*widen_pairs)(float *to, const void *panel, int64_t k);

    /* A quantised panel as f32 [k][n], or as a paired bf16 panel. */
    void (*unpack)(float *to, const struct cpu_panel *panel);
    void (*unpack_pairs)(void *to, const struct cpu_panel *panel);

    /* to[k][n] = from[n][k] for n <= CPU_PANEL rows: how a panel is packed. elem_bytes 1, 2, 4. */
    void (*transpose)(void *to, const void *from, int64_t n, int64_t k, int64_t from_stride,
                      size_t elem_bytes);

    /* out = act(tile + bias): a dense tile [rows][n] of a product to its place in the result,
     * whose row stride is in elements; bias may be NULL. tile is overwritten. */
    void (*finish)(void *out, enum dtype dtype, int64_t stride, float *tile, int64_t rows,
                   int64_t n, const float *bias, enum activation act);

    /* y[r][n] = sum over k of x[r][k] panel[k][n], rows <= CPU_GEMV_ROWS: the product for few
     * rows, which reads a panel once and needs no scratch. */
    void (*gemv)(float *y, int64_t y_stride, const float *x, int64_t x_stride, int64_t rows,
                 const struct cpu_panel *panel);

    /* One step of the online softmax over a tile of scores [rows][n] (row stride `stride`):
     * scores become exp(score * scale + bias - max), max[r] and sum[r] are carried on, and
     * decay[r] is what earlier results must be multiplied by. Row r uses its first n_valid[r]
     * scores, the others become 0. bias NULL or its row stride; its last axis may have any
     * stride. */
    void (*softmax)(float *scores, int64_t rows, int64_t n, int64_t stride, const int64_t *n_valid,
                    float scale, const float *bias, int64_t bias_row, int64_t bias_col, float *max,
                    float *sum, float *decay);

    /* acc = acc * decay[r] + tile, [rows][n] each. */
    void (*accumulate)(float *acc, const float *tile, const float *decay, int64_t rows, int64_t n);

    /* *peak_lanes chains of multiply-adds in registers, one each per round: the benchmark's
     * measure of peak. Returns something to use. */
    float (*peak)(int64_t rounds);
    const int *peak_lanes;
};

enum {
    CPU_PANEL = 64,    /* columns of a packed panel */
    CPU_GEMV_ROWS = 4, /* up to here a product is bound by reading the weight */
};

extern const struct cpu_kernels cpu_kernels_baseline;
#ifdef CPU_HAS_X86_LEVELS
extern const struct cpu_kernels cpu_kernels_v3, cpu_kernels_v4;
#endif
