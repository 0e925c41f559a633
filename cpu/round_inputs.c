/* Inputs of products with 8-bit matrices as codes (tensor/quant.h). Nothing is faster here: the
 * codes, which both float types have exactly, go through the ordinary products. It is the reference
 * for devices that multiply such codes. */
#include "cpu/cpu_internal.h"
#include "tensor/quant.h"

enum { CHUNK = 1024 };

float cpu_round_row(struct cpu *cpu, void *to, enum dtype to_dtype, const struct cpu_weight *w,
                    const void *from, enum dtype from_dtype)
{
    float part[CHUNK];
    int64_t to_bytes = (int64_t)dtype_bytes(to_dtype), bytes = (int64_t)dtype_bytes(from_dtype);
    uint32_t largest = 0;
    for (int64_t i = 0; i < w->k; i += CHUNK) {
        int64_t n = w->k - i < CHUNK ? w->k - i : CHUNK;
        cpu->kernels->widen(part, (const char *)from + i * bytes, from_dtype, n);
        uint32_t bits = quant_largest_bits(part, n);
        largest = bits > largest ? bits : largest;
    }
    float scale = quant_scale(w->dtype, largest);
    for (int64_t i = 0; i < w->k; i += CHUNK) {
        int64_t n = w->k - i < CHUNK ? w->k - i : CHUNK;
        cpu->kernels->widen(part, (const char *)from + i * bytes, from_dtype, n);
        quant_round(part, part, w->dtype, n, scale);
        cpu->kernels->narrow((char *)to + i * to_bytes, to_dtype, part, n);
    }
    return scale;
}
