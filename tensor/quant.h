/* Quantised matrices: weights of linear layers as small whole numbers and scales.
 *
 * A matrix [N, K] is codes, row by row, and scales beside them; an element is code x scale.
 *
 *            codes of a row       scales           relative error of normal values
 *   int8     K bytes, -127..127   [N] f32          0.9 %
 *   fp8      K bytes, e4m3        [N] f32          2.6 %
 *   q4       (K + 1) / 2 bytes    [N, G] bf16      9.5 %      G = ceil(K / 64)
 *
 * A scale for each row, which is an output channel, costs next to nothing and can't let one channel
 * spoil another. Four bits need scales for short runs of the inputs: 64, at 2 bytes, make 4.25 bits
 * a weight.
 *
 * q4 is symmetric: element k is (nibble - 8) x scale, the low nibble of byte k / 2 for even k. The
 * largest element of a group, of either sign, becomes -8, so that all 16 values are used and zero
 * is exact. A minimum beside the scale would lower the error from 9.5 % to 9.0 %, for 6 % more
 * memory and a second operation an element; scales are bf16 rather than f16 since they then can't
 * overflow, and the codes are chosen after the scale was rounded. */
#pragma once

#include "tensor/tensor.h"

/* What a user asks for; the names are those of the dtypes. */
enum quant { QUANT_NONE, QUANT_INT8, QUANT_FP8, QUANT_Q4 };

enum { QUANT_GROUP = 64 }; /* inputs that share a scale in q4 */

/* The type of matrices quantised so; not for QUANT_NONE. */
enum dtype quant_dtype(enum quant quant);
/* QUANT_NONE for types that are not quantised. */
enum quant quant_of_dtype(enum dtype dtype);
/* The scheme of that name, "int8", "fp8" or "q4"; QUANT_NONE when there is none. */
enum quant quant_parse(const char *name);

/* Sizes of one row of k elements. */
int64_t quant_code_bytes(enum dtype dtype, int64_t k);
int64_t quant_n_scales(enum dtype dtype, int64_t k);
enum dtype quant_scale_dtype(enum dtype dtype);
/* Bytes of all codes of a matrix; its scales take tensor_bytes() less this. */
size_t quant_codes_size(struct tensor matrix);

/* Quantise row r of the dense float matrix `from` into row r of `to`, which has the same shape.
 * *error_2 and *power gain the squares of the differences and of the elements; both may be NULL.
 * False when an element is NaN or infinite. */
bool quant_row(struct tensor to, struct tensor from, int64_t r, double *error_2, double *power);

/* Products may round their other operand too, row by row, to the type of a quantised matrix with a
 * scale per row (int8, fp8): both factors are then of 8 bits, sums in 32. That is asked for when
 * the matrix is adopted (backend.h, rounds_inputs). Products of up to QUANT_FEW_ROWS rows, bound by
 * reading the matrix, keep their inputs. */
enum { QUANT_FEW_ROWS = 4 };

/* The pieces of that, as quant_row does it: bits of the largest magnitude (as integers they compare
 * like the values, NaN above all); the scale of a row with such a largest; and what n values become
 * as codes, given as floats, exact in bf16 too. A row with NaN or infinity gets a scale that is not
 * finite and codes of zero, whose product is NaN. values may be x. */
uint32_t quant_largest_bits(const float *x, int64_t n);
float quant_scale(enum dtype dtype, uint32_t largest_bits);
void quant_round(float *values, const float *x, enum dtype dtype, int64_t n, float scale);

/* The k elements of row r as floats. */
void quant_load_row(float *to, struct tensor matrix, int64_t r);
