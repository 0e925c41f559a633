/* Source: PNG specification, third edition, section 9 (filtering). Each filter predicts a byte from
 * the one a pixel before it, the one above, and the one above that. */
#include "image/png_rows.h"

#include <stdlib.h>
#include <string.h>

#include "image/formats.h"

enum { NONE, SUB, UP, AVERAGE, PAETH };

static void undo_sub(uint8_t *row, size_t size, size_t step)
{
    for (size_t i = step; i < size; i++)
        row[i] = (uint8_t)(row[i] + row[i - step]);
}

static void undo_up(uint8_t *restrict row, const uint8_t *restrict above, size_t size)
{
    for (size_t i = 0; i < size; i++)
        row[i] = (uint8_t)(row[i] + above[i]);
}

static void undo_average(uint8_t *row, const uint8_t *above, size_t size, size_t step)
{
    for (size_t i = 0; i < step; i++)
        row[i] = (uint8_t)(row[i] + above[i] / 2);
    for (size_t i = step; i < size; i++)
        row[i] = (uint8_t)(row[i] + (row[i - step] + above[i]) / 2);
}

/* The neighbour nearest to left + above - corner; of equals left, then above. The same for all
 * values as comparing the three distances, but without a branch, since noise can't be predicted. */
static inline uint8_t predict_paeth(int left, int above, int corner)
{
    int threshold = 3 * corner - (left + above);
    int low = left < above ? left : above, high = left < above ? above : left;
    int found = high <= threshold ? low : corner;
    return (uint8_t)(threshold <= low ? high : found);
}

static void undo_paeth(uint8_t *row, const uint8_t *above, size_t size, size_t step)
{
    for (size_t i = 0; i < step; i++)
        row[i] = (uint8_t)(row[i] + above[i]);
    for (size_t i = step; i < size; i++)
        row[i] = (uint8_t)(row[i] + predict_paeth(row[i - step], above[i], above[i - step]));
}

/* Inlined with a constant step, one loop for each. */
static inline void undo_with(int filter, uint8_t *row, const uint8_t *above, size_t size,
                             size_t step)
{
    if (filter == SUB)
        undo_sub(row, size, step);
    else if (filter == UP)
        undo_up(row, above, size);
    else if (filter == AVERAGE)
        undo_average(row, above, size, step);
    else if (filter == PAETH)
        undo_paeth(row, above, size, step);
}

static void undo(int filter, uint8_t *row, const uint8_t *above, size_t size, int channels)
{
    switch (channels) {
    case 1:
        undo_with(filter, row, above, size, 1);
        break;
    case 2:
        undo_with(filter, row, above, size, 2);
        break;
    case 3:
        undo_with(filter, row, above, size, 3);
        break;
    default:
        undo_with(filter, row, above, size, 4);
        break;
    }
}

bool png_read_rows(struct image *out, uint8_t *raw, int channels, struct error *err)
{
    size_t width = (size_t)out->width_px, size = width * (size_t)channels;
    uint8_t *nothing = calloc(1, size), *rgb = out->rgb; /* above the first row */
    const uint8_t *above = nothing;
    if (!nothing)
        return fail(err, ERR_MEMORY, "no memory for a row of a png file");
    for (int y = 0; y < out->height_px; y++, raw += size + 1, rgb += 3 * width) {
        uint8_t *row = raw + 1;
        if (raw[0] > PAETH) {
            free(nothing);
            return fail(err, ERR_INVALID, "malformed png file: invalid filter %d in row %d: 0 to 4",
                        raw[0], y);
        }
        undo(raw[0], row, above, size, channels);
        if (channels == 3)
            memcpy(rgb, row, size);
        else
            pixels_flatten(rgb, row, width, channels);
        above = row;
    }
    free(nothing);
    return true;
}
