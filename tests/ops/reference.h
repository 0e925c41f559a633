/* The operations in double precision, written as the formulas read, on dense row-major arrays.
 * Shapes are those of tensor/ops.h. */
#pragma once

#include "tensor/ops.h"

double *reference_new(int64_t n); /* zeros; free() it */

void reference_linear(double *out, const double *x, const double *w, const double *bias,
                      int64_t rows, int64_t n, int64_t k);
void reference_activate(double *out, const double *x, int64_t n, enum activation act);

struct reference_conv {
    int64_t batch, in_y, in_x, in, out_y, out_x, out, kernel, stride, pad;
};
void reference_conv2d(double *out, const double *x, const double *w, const double *bias,
                      const struct reference_conv *c);

struct reference_attention {
    int64_t batch, lq, lk, heads, dh;
    double scale;
    bool is_causal;
};
void reference_attend(double *out, const double *q, const double *k, const double *v,
                      const double *bias, const struct reference_attention *a);

/* Vectors may be NULL; scale and shift are [batch][d]. */
void reference_layer_norm(double *out, const double *x, const double *weight, const double *bias,
                          const double *scale, const double *shift, int64_t batch, int64_t length,
                          int64_t d, double eps);
void reference_rms_norm(double *out, const double *x, const double *weight, int64_t rows, int64_t d,
                        double eps);
void reference_group_norm(double *out, const double *x, const double *weight, const double *bias,
                          int64_t batch, int64_t pixels, int64_t channels, int64_t groups,
                          double eps);
void reference_rope(double *x, const double *cos, const double *sin, int64_t batch, int64_t length,
                    int64_t heads, int64_t dh);
