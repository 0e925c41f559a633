/* Index arithmetic only; on the device a patch position is one strided copy. */
#include "flux/latents.h"

enum { PATCH = 2 };

static int64_t token_index(int64_t channels, int64_t columns, int64_t c, int64_t y, int64_t x)
{
    int64_t token = y / PATCH * (columns / PATCH) + x / PATCH;
    return token * channels * PATCH * PATCH + c * PATCH * PATCH + y % PATCH * PATCH + x % PATCH;
}

void latents_pack(float *tokens, const float *picture, int64_t channels, int64_t rows,
                  int64_t columns)
{
    for (int64_t c = 0; c < channels; c++) {
        for (int64_t y = 0; y < rows; y++) {
            for (int64_t x = 0; x < columns; x++) {
                tokens[token_index(channels, columns, c, y, x)] =
                    picture[(c * rows + y) * columns + x];
            }
        }
    }
}

void latents_unpack(float *picture, const float *tokens, int64_t channels, int64_t rows,
                    int64_t columns)
{
    for (int64_t c = 0; c < channels; c++) {
        for (int64_t y = 0; y < rows; y++) {
            for (int64_t x = 0; x < columns; x++) {
                picture[(c * rows + y) * columns + x] =
                    tokens[token_index(channels, columns, c, y, x)];
            }
        }
    }
}

void latents_to_map(struct backend *b, struct tensor picture, struct tensor tokens)
{
    struct tensor grid = tensor_split(tokens, 0, picture.dims[0] / PATCH); /* [Y/2, X/2, 4 C] */
    for (int i = 0; i < PATCH * PATCH; i++) {
        struct tensor corner = tensor_every(tensor_every(picture, 0, i / PATCH, PATCH), 1,
                                            i % PATCH, PATCH); /* [Y/2, X/2, C] */
        op_copy(b, corner, tensor_every(grid, 2, i, PATCH * PATCH));
    }
}
