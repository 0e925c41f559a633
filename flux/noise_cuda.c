/* Each thread of the reference's launch has a Philox sequence of its own, named by its index, and
 * takes four numbers a turn: element i of a turn's quarter q belongs to thread i - q threads. */
#include "flux/noise_cuda.h"

#include <math.h>

enum { ROUNDS = 10, BLOCK_THREADS = 256, A_TURN = 4 };

/* Four words of the sequence: the counter goes in and its cipher comes out. */
static void philox(uint32_t c[4], uint64_t seed)
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t a = UINT64_C(0xd2511f53) * c[0], b = UINT64_C(0xcd9e8d57) * c[2];
        c[0] = (uint32_t)(b >> 32) ^ c[1] ^ key[0];
        c[2] = (uint32_t)(a >> 32) ^ c[3] ^ key[1];
        c[1] = (uint32_t)b;
        c[3] = (uint32_t)a;
        key[0] += 0x9e3779b9u;
        key[1] += 0xbb67ae85u;
    }
}

/* Box and Muller's pair from two words, the sine first. */
static void transform_pair(float out[2], uint32_t radius_word, uint32_t angle_word)
{
    const float unit = 2.3283064e-10f, turn = unit * 6.2831855f; /* 2^-32, and 2 pi of it */
    float u = (float)radius_word * unit + unit / 2;
    float angle = (float)angle_word * turn + turn / 2;
    float radius = sqrtf(-2.0f * logf(u));
    out[0] = radius * sinf(angle);
    out[1] = radius * cosf(angle);
}

void noise_cuda_draw(struct noise_cuda *n, float *out, size_t count)
{
    size_t blocks = (count + BLOCK_THREADS - 1) / BLOCK_THREADS, most = (size_t)n->most_blocks;
    size_t threads = (blocks < most ? blocks : most) * BLOCK_THREADS;
    for (size_t first = 0; first < count; first += threads * A_TURN, n->turns++) {
        for (size_t i = 0; i < threads && first + i < count; i++) {
            uint32_t words[4] = {(uint32_t)n->turns, (uint32_t)(n->turns >> 32), (uint32_t)i, 0};
            float four[A_TURN];
            philox(words, n->seed);
            transform_pair(four, words[0], words[1]);
            transform_pair(four + 2, words[2], words[3]);
            for (size_t q = 0; q < A_TURN && first + q * threads + i < count; q++)
                out[first + q * threads + i] = four[q];
        }
    }
}
