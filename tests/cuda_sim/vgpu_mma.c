/* Matrix operations of a warp: mma.sync for one 16x8 tile, and ldmatrix.
 *
 * Register layouts after the PTX ISA, "Matrix fragments for mma": with g = lane / 4 and
 * t = lane % 4, a register holds e neighbouring elements of one row of a (or column of b);
 *   a[r]: row g + 8 (r & 1),  columns e t + (r >> 1) k/2
 *   b[r]: column g,           rows    e t + r k/2
 *   d[r]: row g + 8 (r >> 1), column  2 t + (r & 1)
 * tests/cuda holds PTX of another compiler against these layouts. */
#include "tests/cuda_sim/vgpu_internal.h"

#include <string.h>

enum { OP_MMA = 300, OP_LDMATRIX = 400, ROWS = 16, COLUMNS = 8, MAX_K = 32 };

struct mma_lane {
    const uint32_t *a, *b, *c;
    uint32_t *d;
    enum vgpu_type type;
};

static double element(uint32_t bits, int i, enum vgpu_type type)
{
    float x;
    switch (type) {
    case VGPU_BF16:
        return (double)vgpu_from_bf16((uint16_t)(bits >> 16 * i));
    case VGPU_F16:
        return (double)vgpu_from_f16((uint16_t)(bits >> 16 * i));
    case VGPU_S8:
        return (int8_t)(bits >> 8 * i);
    case VGPU_U8:
        return (uint8_t)(bits >> 8 * i);
    case VGPU_TF32:
        bits &= 0xffffe000u; /* the lower 13 bits are not read */
        memcpy(&x, &bits, sizeof x);
        return (double)x;
    case VGPU_E4M3:
    case VGPU_E5M2:
        break;
    }
    return (double)vgpu_from_fp8((uint8_t)(bits >> 8 * i), type);
}

static void gather(const struct mma_lane *lane, int l, int per_register, double a[ROWS][MAX_K],
                   double b[MAX_K][COLUMNS])
{
    int g = l / 4, t = l % 4, half = 4 * per_register;
    for (int i = 0; i < per_register; i++) {
        for (int r = 0; r < 4; r++)
            a[g + 8 * (r & 1)][per_register * t + i + (r >> 1) * half] =
                element(lane->a[r], i, lane->type);
        for (int r = 0; r < 2; r++)
            b[per_register * t + i + r * half][g] = element(lane->b[r], i, lane->type);
    }
}

static void scatter(const struct mma_lane *lane, int l, double sums[ROWS][COLUMNS])
{
    int g = l / 4, t = l % 4;
    for (int r = 0; r < 4; r++) {
        double sum = sums[g + 8 * (r >> 1)][2 * t + (r & 1)];
        if (lane->type == VGPU_S8 || lane->type == VGPU_U8) {
            lane->d[r] = lane->c[r] + (uint32_t)(int32_t)sum;
            continue;
        }
        float c;
        memcpy(&c, &lane->c[r], sizeof c);
        c = (float)(sum + (double)c);
        memcpy(&lane->d[r], &c, sizeof c);
    }
}

static void mma_all(uint32_t mask, void **arguments)
{
    struct mma_lane **lanes = (struct mma_lane **)arguments;
    static double a[ROWS][MAX_K], b[MAX_K][COLUMNS], sums[ROWS][COLUMNS];
    if (mask != UINT32_MAX) {
        vgpu_report(VGPU_BAD_MASK, vgpu_self->site, "mma needs a whole warp");
        return;
    }
    enum vgpu_type type = lanes[0]->type;
    int per_register = type == VGPU_TF32 ? 1 : type == VGPU_BF16 || type == VGPU_F16 ? 2 : 4;
    int k = 8 * per_register;
    for (int l = 0; l < VGPU_WARP; l++)
        gather(lanes[l], l, per_register, a, b);
    for (int i = 0; i < ROWS; i++) {
        double row[COLUMNS] = {0};
        for (int p = 0; p < k; p++)
            for (int j = 0; j < COLUMNS; j++)
                row[j] += a[i][p] * b[p][j];
        memcpy(sums[i], row, sizeof row);
    }
    for (int l = 0; l < VGPU_WARP; l++)
        scatter(lanes[l], l, sums);
}

void vgpu_mma(uint32_t d[4], const uint32_t a[4], const uint32_t b[2], const uint32_t c[4],
              enum vgpu_type type, uintptr_t site)
{
    struct mma_lane mine = {.a = a, .b = b, .c = c, .d = d, .type = type};
    vgpu_meet(UINT32_MAX, OP_MMA + (int)type, mma_all, &mine, site);
}

/* --- ldmatrix ---------------------------------------------------------------------------------*/

struct ldmatrix_lane {
    uint32_t *registers;
    const void *row;
    int n;
    bool is_transposed;
    uintptr_t site;
};

/* Lanes 8 q .. 8 q + 7 give the rows of matrix q; lane l gets elements 2 (l % 4) and the next of
 * row l / 4, or of the transposed matrix. */
static void ldmatrix_all(uint32_t mask, void **arguments)
{
    struct ldmatrix_lane **lanes = (struct ldmatrix_lane **)arguments;
    if (mask != UINT32_MAX) {
        vgpu_report(VGPU_BAD_MASK, vgpu_self->site, "ldmatrix needs a whole warp");
        return;
    }
    for (int q = 0; q < lanes[0]->n; q++) {
        uint16_t matrix[8][8];
        for (int i = 0; i < 8; i++) {
            const struct ldmatrix_lane *source = lanes[8 * q + i];
            vgpu_read(source->row, sizeof matrix[i], source->site);
            memcpy(matrix[i], source->row, sizeof matrix[i]);
        }
        for (int l = 0; l < VGPU_WARP; l++) {
            int i = l / 4, j = l % 4 * 2;
            bool flip = lanes[0]->is_transposed;
            uint32_t low = flip ? matrix[j][i] : matrix[i][j];
            uint32_t high = flip ? matrix[j + 1][i] : matrix[i][j + 1];
            lanes[l]->registers[q] = low | high << 16;
        }
    }
}

void vgpu_ldmatrix(uint32_t *registers, int n, bool is_transposed, const void *row, uintptr_t site)
{
    struct ldmatrix_lane mine = {registers, row, n, is_transposed, site};
    vgpu_meet(UINT32_MAX, OP_LDMATRIX + 2 * n + is_transposed, ldmatrix_all, &mine, site);
}
