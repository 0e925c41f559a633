/* What products on tensor cores share, whatever they multiply: which tile a block makes, and where
 * operands and results stand in shared memory. */
#pragma once

#include "cuda/product.cuh"

enum { GROUP_ROWS = 8, ROW_BYTES = 64, PIECE_BYTES = 16, PIECES = ROW_BYTES / PIECE_BYTES };

/* The first row and column of this block's tile. Groups of GROUP_ROWS row tiles, in each group
 * column by column, so that neighbouring blocks find the same operands in L2. */
template <int TILE> DEVICE int2 tile_start(const struct cuda_product &p)
{
    const int tiles_m = (p.rows + TILE - 1) / TILE, tiles_n = (p.n + TILE - 1) / TILE;
    const int group = (int)blockIdx.x / (GROUP_ROWS * tiles_n);
    const int in_group = (int)blockIdx.x % (GROUP_ROWS * tiles_n);
    const int group_rows = min(tiles_m - group * GROUP_ROWS, (int)GROUP_ROWS);
    return make_int2((group * GROUP_ROWS + in_group % group_rows) * TILE,
                     in_group / group_rows * TILE);
}

/* Where piece c of row r stands, in elements of T, of rows of 64 bytes: at c ^ (r / 2 % 4), so that
 * the eight rows that ldmatrix reads at once, and the eight pieces that neighbouring threads write,
 * hit all banks. An index and not a pointer: that keeps registers free. */
template <class T> DEVICE int swizzled(int row, int piece)
{
    constexpr int ROW = ROW_BYTES / (int)sizeof(T), PIECE = PIECE_BYTES / (int)sizeof(T);
    return row * ROW + (piece ^ (row / 2 % PIECES)) * PIECE;
}

/* Where an f32 result waits for the epilogue: a row's runs of 8 are exchanged by its number, so
 * that the eight rows that a warp writes at once hit all banks. */
template <int COLUMNS> DEVICE int staged(int row, int column)
{
    return row * COLUMNS + (column ^ (row % 8 * RUN));
}

/* The sums of a warp's mma tiles, whose part of the block's tile starts at (warp_m, warp_n), to
 * their places. */
template <int TILE, class SUM, int TILES_M, int TILES_N>
DEVICE void stage_sums(float *results, const SUM (&sums)[TILES_M][TILES_N][4], int warp_m,
                       int warp_n, int lane)
{
    UNROLL
    for (int i = 0; i < TILES_M; i++) {
        UNROLL
        for (int j = 0; j < TILES_N; j++) {
            UNROLL
            for (int h = 0; h < 2; h++) {
                const int at =
                    staged<TILE>(warp_m + i * 16 + lane / 4 + h * 8, warp_n + j * 8 + lane % 4 * 2);
                *reinterpret_cast<float2 *>(results + at) =
                    make_float2((float)sums[i][j][2 * h], (float)sums[i][j][2 * h + 1]);
            }
        }
    }
}
