/* Which parameters are quantised, and the names that they have in files. */
#pragma once

#include "base/error.h"
#include "tensor/backend.h"
#include "tensor/quant.h"

/* The scheme of a parameter when a model is quantised as quant: QUANT_NONE for those that stay
 * floats. The matrices of the transformer's blocks and of T5's are quantised, which is where the
 * gigabytes are; embeddings, norms, biases, the first and last projections, CLIP and the VAE are
 * not. */
enum quant quantise_scheme(enum quant quant, const char *name, int rank);

/* Room for a quantised matrix [n, k]: codes and scales in one piece of memory at data. The caller
 * frees data. */
struct tensor quantise_new(enum quant quant, int64_t n, int64_t k);

/* Squares summed over a matrix; the relative error is sqrt(error_2 / power). */
struct quantise_error {
    double error_2, power;
};

/* Quantise a dense float matrix on the threads of b; to.data is the caller's to free, NULL on
 * failure. error may be NULL. Fails when an element is NaN or infinite. */
bool quantise_matrix(struct backend *b, struct tensor from, enum quant quant, struct tensor *to,
                     struct quantise_error *error, struct error *err);

/* --- in safetensors files ---------------------------------------------------------------------*/

/* Codes keep the parameter's name: [N, K] of I8 or F8_E4M3, or [N, ceil(K / 2)] of U8. Scales are
 * [N, 1] of F32 or [N, G] of BF16, under the name with this suffix. */
#define QUANTISE_SCALE_SUFFIX "_scale"
/* The value of quant_method in the part's config. */
#define QUANTISE_METHOD "fluxbench"
/* The types of codes and scales in the format's names, and back (QUANT_NONE for others). */
const char *quantise_stored(enum quant quant);
const char *quantise_stored_scale(enum quant quant);
enum quant quantise_of_stored(const char *type);
