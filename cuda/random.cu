/* Made-up weights (tensor/random_values.h), written where they are kept: a checkpoint's size in
 * milliseconds, and nothing on the bus. One thread per element; bound by the multiplications of the
 * generator, which each element repeats. Speed: not measured on hardware. */
#include "cuda/common.cuh"
#include "tensor/random_values.h"

enum { THREADS = 256 };

DEVICE uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * RANDOM_MIX_1;
    z = (z ^ (z >> 27)) * RANDOM_MIX_2;
    return z ^ (z >> 31);
}

/* Value of element i, before it is rounded. */
DEVICE float random_value(const struct random_values &values, uint64_t i)
{
    const uint64_t piece = i / RANDOM_PIECE, within = i % RANDOM_PIECE;
    const uint64_t first = mix(values.parameter + piece * RANDOM_PIECE_STEP + RANDOM_STEP);
    const uint64_t bits = mix(first + (within / RANDOM_DRAWS + 1) * RANDOM_STEP);
    const int shift = (int)(within % RANDOM_DRAWS) * RANDOM_BITS;
    const int u = (int)(bits >> shift) & ((1 << RANDOM_BITS) - 1);
    return values.middle +
           values.spread * (((float)u + 0.5f) * 2.0f / (float)(1 << RANDOM_BITS) - 1.0f);
}

/* out [N, row], N * row = count: K values of each row and zeros behind them, K ordered (tap,
 * channel) as cuda_weight says. From is the type that the parameter has: it is rounded to that
 * first. */
template <class To, class From>
__global__ __launch_bounds__(THREADS) void random_kernel(To *out, int64_t count, int64_t k,
                                                         int64_t row, int64_t taps,
                                                         struct random_values values)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= count)
        return;
    const int64_t n = i / row, at = i % row, channels = k / taps;
    if (at >= k) {
        put(out + i, 0.0f);
        return;
    }
    From rounded;
    put(&rounded,
        random_value(values, (uint64_t)((n * channels + at % channels) * taps + at / channels)));
    put(out + i, get(&rounded));
}

/* --- launchers --------------------------------------------------------------------------------*/

template <class To, class From>
static void run(struct cuda *c, const struct cuda_weight *w, const struct random_values *values)
{
    const int64_t count = w->n * w->row;
    LAUNCH((random_kernel<To, From>), (unsigned)((count + THREADS - 1) / THREADS), THREADS, 0,
           c->stream, (To *)w->data, count, w->k, w->row, w->kernel_y * w->kernel_x, *values);
}

template <class To>
static void run_from(struct cuda *c, const struct cuda_weight *w, enum dtype dtype,
                     const struct random_values *values)
{
    if (dtype == DTYPE_BF16)
        run<To, __nv_bfloat16>(c, w, values);
    else if (dtype == DTYPE_F16)
        run<To, __half>(c, w, values);
    else
        run<To, float>(c, w, values);
}

void cuda_random_fill(struct cuda *c, const struct cuda_weight *w, enum dtype dtype,
                      const struct random_values *values)
{
    if (w->dtype == DTYPE_BF16)
        run_from<__nv_bfloat16>(c, w, dtype, values);
    else if (w->dtype == DTYPE_F16)
        run_from<__half>(c, w, dtype, values);
    else
        run_from<float>(c, w, dtype, values);
    cuda_launched(c, "random values");
}
