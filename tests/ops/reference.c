/* Formulas, nothing else: this file is the specification that back ends are held against. */
#include "tests/ops/reference.h"

#include <math.h>
#include <stdlib.h>

double *reference_new(int64_t n)
{
    double *values = calloc((size_t)n + 1, sizeof *values);
    if (!values)
        abort();
    return values;
}

void reference_linear(double *out, const double *x, const double *w, const double *bias,
                      int64_t rows, int64_t n, int64_t k)
{
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = bias ? bias[j] : 0.0;
            for (int64_t i = 0; i < k; i++)
                sum += x[r * k + i] * w[j * k + i];
            out[r * n + j] = sum;
        }
    }
}

static double activate(double x, enum activation act)
{
    switch (act) {
    case ACT_NONE:
        return x;
    case ACT_SILU:
        return x / (1.0 + exp(-x));
    case ACT_GELU:
        return 0.5 * x * erfc(-x / sqrt(2.0));
    case ACT_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(sqrt(2.0 / 3.14159265358979324) * (x + 0.044715 * x * x * x)));
    case ACT_QUICK_GELU:
        return x / (1.0 + exp(-1.702 * x));
    case ACT_RELU:
        return x > 0.0 ? x : 0.0;
    }
    return NAN;
}

void reference_activate(double *out, const double *x, int64_t n, enum activation act)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = activate(x[i], act);
}

/* One output value: picture b, position y, x, channel o. */
static double conv_at(const double *x, const double *w, const struct reference_conv *c, int64_t b,
                      int64_t y, int64_t column, int64_t o)
{
    double sum = 0.0;
    for (int64_t i = 0; i < c->kernel; i++) {
        for (int64_t j = 0; j < c->kernel; j++) {
            int64_t from_y = y * c->stride - c->pad + i, from_x = column * c->stride - c->pad + j;
            if (from_y < 0 || from_y >= c->in_y || from_x < 0 || from_x >= c->in_x)
                continue;
            const double *pixel = x + ((b * c->in_y + from_y) * c->in_x + from_x) * c->in;
            for (int64_t k = 0; k < c->in; k++)
                sum += pixel[k] * w[((o * c->in + k) * c->kernel + i) * c->kernel + j];
        }
    }
    return sum;
}

void reference_conv2d(double *out, const double *x, const double *w, const double *bias,
                      const struct reference_conv *c)
{
    for (int64_t b = 0; b < c->batch; b++) {
        for (int64_t y = 0; y < c->out_y; y++) {
            for (int64_t column = 0; column < c->out_x; column++) {
                for (int64_t o = 0; o < c->out; o++)
                    *out++ = conv_at(x, w, c, b, y, column, o) + bias[o];
            }
        }
    }
}

/* One query: scores over the keys it may see, then the weighted sum of values. */
static void attend_one(double *out, const double *q, const double *k, const double *v,
                       const double *bias, int64_t keys, double *scores,
                       const struct reference_attention *a)
{
    int64_t step = a->heads * a->dh;
    double max = -INFINITY, sum = 0.0;
    for (int64_t j = 0; j < keys; j++) {
        double score = 0.0;
        for (int64_t d = 0; d < a->dh; d++)
            score += q[d] * k[j * step + d];
        scores[j] = score * a->scale + (bias ? bias[j] : 0.0);
        max = fmax(max, scores[j]);
    }
    for (int64_t j = 0; j < keys; j++) {
        scores[j] = exp(scores[j] - max);
        sum += scores[j];
    }
    for (int64_t d = 0; d < a->dh; d++) {
        out[d] = 0.0;
        for (int64_t j = 0; j < keys; j++)
            out[d] += scores[j] / sum * v[j * step + d];
    }
}

void reference_attend(double *out, const double *q, const double *k, const double *v,
                      const double *bias, const struct reference_attention *a)
{
    double *scores = reference_new(a->lk);
    for (int64_t b = 0; b < a->batch; b++) {
        for (int64_t i = 0; i < a->lq; i++) {
            for (int64_t h = 0; h < a->heads; h++) {
                int64_t at = ((b * a->lq + i) * a->heads + h) * a->dh;
                int64_t from = (b * a->lk * a->heads + h) * a->dh;
                attend_one(out + at, q + at, k + from, v + from,
                           bias ? bias + (h * a->lq + i) * a->lk : NULL,
                           a->is_causal ? i + 1 : a->lk, scores, a);
            }
        }
    }
    free(scores);
}

void reference_layer_norm(double *out, const double *x, const double *weight, const double *bias,
                          const double *scale, const double *shift, int64_t batch, int64_t length,
                          int64_t d, double eps)
{
    for (int64_t r = 0; r < batch * length; r++, x += d, out += d) {
        double mean = 0.0, variance = 0.0;
        for (int64_t i = 0; i < d; i++)
            mean += x[i] / (double)d;
        for (int64_t i = 0; i < d; i++)
            variance += (x[i] - mean) * (x[i] - mean) / (double)d;
        for (int64_t i = 0; i < d; i++) {
            int64_t m = r / length * d + i;
            double y = (x[i] - mean) / sqrt(variance + eps);
            y = y * (weight ? weight[i] : 1.0) + (bias ? bias[i] : 0.0);
            out[i] = scale ? y * (1.0 + scale[m]) + shift[m] : y;
        }
    }
}

void reference_rms_norm(double *out, const double *x, const double *weight, int64_t rows, int64_t d,
                        double eps)
{
    for (int64_t r = 0; r < rows; r++, x += d, out += d) {
        double mean = 0.0;
        for (int64_t i = 0; i < d; i++)
            mean += x[i] * x[i] / (double)d;
        for (int64_t i = 0; i < d; i++)
            out[i] = x[i] / sqrt(mean + eps) * weight[i];
    }
}

void reference_group_norm(double *out, const double *x, const double *weight, const double *bias,
                          int64_t batch, int64_t pixels, int64_t channels, int64_t groups,
                          double eps)
{
    int64_t width = channels / groups;
    for (int64_t b = 0; b < batch; b++, x += pixels * channels, out += pixels * channels) {
        for (int64_t g = 0; g < groups; g++) {
            double n = (double)(pixels * width), mean = 0.0, variance = 0.0;
            for (int64_t i = 0; i < pixels * width; i++)
                mean += x[i / width * channels + g * width + i % width] / n;
            for (int64_t i = 0; i < pixels * width; i++) {
                double difference = x[i / width * channels + g * width + i % width] - mean;
                variance += difference * difference / n;
            }
            for (int64_t i = 0; i < pixels * width; i++) {
                int64_t c = g * width + i % width, at = i / width * channels + c;
                out[at] = (x[at] - mean) / sqrt(variance + eps) * weight[c] + bias[c];
            }
        }
    }
}

void reference_rope(double *x, const double *cos, const double *sin, int64_t batch, int64_t length,
                    int64_t heads, int64_t dh)
{
    for (int64_t r = 0; r < batch * length * heads; r++, x += dh) {
        int64_t l = r / heads % length;
        for (int64_t i = 0; i < dh / 2; i++) {
            double c = cos[l * dh / 2 + i], s = sin[l * dh / 2 + i];
            double x0 = x[2 * i], x1 = x[2 * i + 1];
            x[2 * i] = x0 * c - x1 * s;
            x[2 * i + 1] = x1 * c + x0 * s;
        }
    }
}
