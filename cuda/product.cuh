/* What the kernels of matrix products share: how rows of the left operand are found, also those of
 * a convolution, and how a run of results ends (struct cuda_product, cuda_internal.h). */
#pragma once

#include "cuda/common.cuh"

typedef void (*product_fn)(struct cuda_product p);

enum { FEW_ROWS = 4 }; /* up to here a product is a stream over the weight */

/* gemm_f32.cu: f32 activations; up to FEW_ROWS rows of any type. */
void product_fma_run(struct cuda *c, const struct cuda_product *p);
void product_few_run(struct cuda *c, const struct cuda_product *p);

/* --- the left operand -------------------------------------------------------------------------*/

/* Where row m of x begins; in a convolution the picture, and y and x are its pixel under tap
 * (0, 0), which may lie outside. An absent row is one below any picture. */
struct row_place {
    int64_t offset;
    int y, x;
};

enum { ABSENT = -(1 << 29) };

DEVICE void row_count(const struct cuda_product &p, int m, int (&i)[3])
{
    const unsigned row = (unsigned)m, d1 = (unsigned)p.dims1, d2 = (unsigned)p.dims2;
    i[2] = (int)(row % d2);
    i[1] = (int)(row / d2 % d1);
    i[0] = (int)(row / d2 / d1);
}

template <bool IS_CONV> DEVICE struct row_place place_row(const struct cuda_product &p, int m)
{
    int i[3];
    if (m >= p.rows)
        return {0, ABSENT, 0};
    row_count(p, m, i);
    const int y = IS_CONV ? i[1] * p.stride - p.pad_top : 0;
    const int x = IS_CONV ? i[2] * p.stride - p.pad_left : 0;
    if (!IS_CONV)
        return {i[0] * p.x_strides[0] + i[1] * p.x_strides[1] + i[2] * p.x_strides[2], 0, 0};
    return {i[0] * p.x_strides[0], y, x};
}

DEVICE int64_t out_offset(const struct cuda_product &p, int m)
{
    int i[3];
    row_count(p, m, i);
    return i[0] * p.out_strides[0] + i[1] * p.out_strides[1] + i[2] * p.out_strides[2];
}

/* Element k of a row, split: k = (ty kernel_x + tx) channels + channel. */
struct tap {
    int k, ty, tx, channel;
};

template <bool IS_CONV> DEVICE struct tap tap_at(const struct cuda_product &p, int k)
{
    if (!IS_CONV)
        return {k, 0, 0, k};
    const int t = k / p.channels;
    return {k, t / p.kernel_x, t % p.kernel_x, k % p.channels};
}

template <bool IS_CONV>
DEVICE void tap_advance(const struct cuda_product &p, struct tap &t, int step)
{
    t.k += step;
    t.channel += step;
    while (IS_CONV && t.channel >= p.channels) {
        t.channel -= p.channels;
        if (++t.tx == p.kernel_x) {
            t.tx = 0;
            t.ty++;
        }
    }
}

/* Offset of the element in x, or -1 where it is zero. */
template <bool IS_CONV>
DEVICE int64_t x_offset(const struct cuda_product &p, const struct row_place &r,
                        const struct tap &t)
{
    if (!IS_CONV)
        return t.k < p.k && r.y != ABSENT ? r.offset + t.k : -1;
    const int y = r.y + t.ty, x = r.x + t.tx;
    const bool is_inside =
        t.k < p.k && (unsigned)y < (unsigned)p.height && (unsigned)x < (unsigned)p.width;
    const int in_row = (x >> p.shift) * p.channels + t.channel;
    return is_inside ? r.offset + (int64_t)(y >> p.shift) * p.x_pitch + in_row : -1;
}

/* --- the end of a row's run -------------------------------------------------------------------*/

/* out[m][n .. n + RUN] = act(v + bias), as far as there are columns. */
template <class T>
DEVICE void finish_run(const struct cuda_product &p, int m, int n, float (&v)[RUN])
{
    const int left = p.n - n;
    if (p.bias) {
        UNROLL
        for (int i = 0; i < RUN; i++)
            v[i] += i < left ? p.bias[n + i] : 0.0f;
    }
    if (p.act != ACT_NONE) {
        UNROLL
        for (int i = 0; i < RUN; i++)
            v[i] = activated(v[i], p.act);
    }
    store_some(static_cast<T *>(p.out) + out_offset(p, m) + n, v, left, p.is_out_aligned);
}
