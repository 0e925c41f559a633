/* BMP: the checks before stb_image reads one. Source: the file's own headers, BITMAPFILEHEADER and
 * BITMAPCOREHEADER to BITMAPV5HEADER.
 *
 * All pixel rows must be inside the file (stb reads zeros behind its end), and the indices of a
 * picture with a palette inside the palette (stb would show its stack). */
#include <limits.h>
#include <stdlib.h>

#include "image/formats.h"
#include "image/stb.h"

#define FILE_HEADER_SIZE 14
#define CORE_HEADER_SIZE 12 /* the oldest, of OS/2: 16-bit sides, palette entries of 3 bytes */
#define INFO_HEADER_SIZE 40 /* 32-bit sides, negative height: top-down */

struct header {
    size_t pixels_at, header_size;
    int32_t width_px, height_px;
    size_t bits;
};

static bool read_header(struct header *h, const uint8_t *bytes, size_t size, struct error *err)
{
    if (size < FILE_HEADER_SIZE + CORE_HEADER_SIZE)
        return fail(err, ERR_INVALID, "truncated bmp file: %zu bytes hold no header", size);
    h->pixels_at = read_le32(bytes + 10);
    h->header_size = read_le32(bytes + 14);
    if (h->header_size == CORE_HEADER_SIZE) {
        h->width_px = (int32_t)read_le16(bytes + 18);
        h->height_px = (int32_t)read_le16(bytes + 20);
        h->bits = read_le16(bytes + 24);
    } else {
        if (h->header_size < INFO_HEADER_SIZE || h->header_size > size - FILE_HEADER_SIZE)
            return fail(err, ERR_INVALID, "malformed or truncated bmp file: header of %zu bytes",
                        h->header_size);
        h->width_px = (int32_t)read_le32(bytes + 18);
        h->height_px = (int32_t)read_le32(bytes + 22);
        h->bits = read_le16(bytes + 28);
    }
    if (h->width_px <= 0 || h->height_px == 0 || h->height_px == INT32_MIN)
        return fail(err, ERR_INVALID, "malformed bmp file: %dx%d pixels", h->width_px,
                    h->height_px);
    return true;
}

bool bmp_probe(struct image *out, const uint8_t *bytes, size_t size, struct error *err)
{
    struct header h = {0};
    if (!read_header(&h, bytes, size, err))
        return false;
    out->width_px = h.width_px;
    out->height_px = abs(h.height_px);
    return true;
}

/* The largest index that the rows use. */
static unsigned max_index(const uint8_t *rows, size_t row_size, const struct header *h)
{
    unsigned max = 0, mask = (1u << h->bits) - 1;
    for (size_t y = 0; y < (size_t)abs(h->height_px); y++, rows += row_size)
        for (size_t x = 0; x < (size_t)h->width_px; x++) {
            size_t bit = x * h->bits;
            unsigned index = (unsigned)rows[bit / 8] >> (8 - h->bits - bit % 8) & mask;
            max = index > max ? index : max;
        }
    return max;
}

bool bmp_decode(struct image *out, const uint8_t *bytes, size_t size, struct error *err)
{
    struct header h = {0};
    if (!read_header(&h, bytes, size, err))
        return false;
    if (h.bits != 1 && h.bits != 4 && h.bits != 8 && h.bits != 16 && h.bits != 24 && h.bits != 32)
        return fail(err, ERR_INVALID, "malformed bmp file: %zu bits a pixel", h.bits);
    /* Rows are padded to 4 bytes. */
    uint64_t row_size = ((uint64_t)h.width_px * h.bits + 31) / 32 * 4;
    uint64_t pixel_bytes = row_size * (uint64_t)abs(h.height_px);
    if (h.pixels_at < FILE_HEADER_SIZE + h.header_size)
        return fail(err, ERR_INVALID, "malformed bmp file: pixels at byte %zu, inside the headers",
                    h.pixels_at);
    if (h.pixels_at > size || pixel_bytes > size - h.pixels_at)
        return fail(err, ERR_INVALID, "truncated bmp file: %zu bytes, %zu before %llu of pixels",
                    size, h.pixels_at, (unsigned long long)pixel_bytes);
    if (h.bits <= 8) {
        size_t entry_size = h.header_size == CORE_HEADER_SIZE ? 3 : 4;
        size_t n_colors = (h.pixels_at - FILE_HEADER_SIZE - h.header_size) / entry_size;
        unsigned max = max_index(bytes + h.pixels_at, row_size, &h);
        if (max >= n_colors)
            return fail(err, ERR_INVALID, "malformed bmp file: colour %u of a palette of %zu", max,
                        n_colors);
    }
    return stb_decode(out, "bmp", bytes, size, err);
}
