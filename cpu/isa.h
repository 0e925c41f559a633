/* Names of one instruction set's build: KERNEL(add) is add_v3 when CPU_ISA is v3. Prototypes of
 * what kernels.c collects into the table of cpu/kernels.h. */
#pragma once

#include "cpu/kernels.h"

#define ISA_JOIN_(name, isa) name##_##isa
#define ISA_JOIN(name, isa) ISA_JOIN_(name, isa)
#define KERNEL(name) ISA_JOIN(name, CPU_ISA)

/* elementwise.c */
void KERNEL(activate)(struct backend *b, struct tensor out, struct tensor x, enum activation act);
void KERNEL(add)(struct backend *b, struct tensor out, struct tensor x, struct tensor y);
void KERNEL(mul)(struct backend *b, struct tensor out, struct tensor x, struct tensor y);
void KERNEL(gated_add)(struct backend *b, struct tensor out, struct tensor gate, struct tensor x);
void KERNEL(axpy)(struct backend *b, struct tensor out, float alpha, struct tensor x);
void KERNEL(affine)(struct backend *b, struct tensor out, struct tensor x, float scale,
                    float shift);
void KERNEL(embed)(struct backend *b, struct tensor out, struct tensor table, struct tensor ids);
void KERNEL(copy)(struct backend *b, struct tensor out, struct tensor x);
void KERNEL(to_rgb8)(struct backend *b, struct tensor out, struct tensor x);

/* norm.c */
void KERNEL(layer_norm)(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                        struct tensor bias, struct tensor scale, struct tensor shift, float eps);
void KERNEL(rms_norm)(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                      float eps);
void KERNEL(rms_norm_rope)(struct backend *b, struct tensor x, struct tensor weight, float eps,
                           struct tensor cos, struct tensor sin);
void KERNEL(group_norm)(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                        struct tensor bias, int groups, float eps, enum activation act);

/* unpack.c: elements first .. first + count of a panel's inputs; first is a multiple of
 * QUANT_GROUP. */
void KERNEL(unpack_part)(float *to, const struct cpu_panel *panel, int64_t first, int64_t count);
void KERNEL(unpack)(float *to, const struct cpu_panel *panel);
void KERNEL(unpack_pairs)(void *to, const struct cpu_panel *panel);

/* rows.c */
void KERNEL(widen)(float *to, const void *from, enum dtype dtype, int64_t n);
void KERNEL(narrow)(void *to, enum dtype dtype, const float *from, int64_t n);
void KERNEL(widen_pairs)(float *to, const void *panel, int64_t k);
void KERNEL(transpose)(void *to, const void *from, int64_t n, int64_t k, int64_t from_stride,
                       size_t elem_bytes);
void KERNEL(finish)(void *out, enum dtype dtype, int64_t stride, float *tile, int64_t rows,
                    int64_t n, const float *bias, enum activation act);
void KERNEL(gemv)(float *y, int64_t y_stride, const float *x, int64_t x_stride, int64_t rows,
                  const struct cpu_panel *panel);
void KERNEL(softmax)(float *scores, int64_t rows, int64_t n, int64_t stride, const int64_t *n_valid,
                     float scale, const float *bias, int64_t bias_row, int64_t bias_col, float *max,
                     float *sum, float *decay);
void KERNEL(accumulate)(float *acc, const float *tile, const float *decay, int64_t rows, int64_t n);
float KERNEL(peak)(int64_t rounds);
extern const int KERNEL(peak_lanes);
