/* PNG. Source: PNG specification, third edition, sections 5 (chunks), 8 (interlace), 11 (headers).
 *
 * Reading: the chunks are checked one by one, order and CRC, down to IEND. The pixels are then
 * inflated by libdeflate into exactly the bytes that the header announces, so that a bomb fails
 * without growing and the checksum of the stream is verified, which stb leaves out. Rows of whole
 * bytes, which is what image generators write, are read by png_rows.c. For the rest stb is handed a
 * plain PNG made of the header, a palette filled up to 256 colours (stb would read on behind a
 * short one), the transparency and the pixels in stored blocks: it undoes filters, interlace, bit
 * depths and palettes, and never meets a stranger's compressed stream. */
#include <assert.h>
#include <libdeflate.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "image/formats.h"
#include "image/png_rows.h"
#include "image/stb.h"

#define CHUNK_EXTRA 12 /* length, type and CRC around a chunk's data */
#define HEADER_SIZE 13 /* data of IHDR */
#define FIRST_CHUNK 8  /* behind the signature */

/* Fast, and on noisy pictures as small as any: level 2 takes a third longer for 5 % less on smooth
 * ones. */
#define DEFLATE_LEVEL 1

enum { GREY = 0, RGB = 2, PALETTE = 3, GREY_ALPHA = 4, RGB_ALPHA = 6 };

struct header {
    uint32_t width_px, height_px;
    int bits, color;
    bool is_interlaced;
};

/* What a walk over the chunks found; the pointers are into the file. */
struct chunks {
    const uint8_t *palette, *alpha; /* PLTE and tRNS, NULL when absent */
    size_t palette_size, alpha_size;
    uint8_t *zlib; /* owned: the data of all IDAT chunks */
    size_t zlib_size;
};

/* ---- header --------------------------------------------------------------------------------- */

static int n_channels(int color)
{
    return color == RGB ? 3 : color == GREY_ALPHA ? 2 : color == RGB_ALPHA ? 4 : 1;
}

static bool are_bits_valid(int color, int bits)
{
    bool is_power = bits == 1 || bits == 2 || bits == 4 || bits == 8 || bits == 16;
    switch (color) {
    case GREY:
        return is_power;
    case PALETTE:
        return is_power && bits <= 8;
    case RGB:
    case GREY_ALPHA:
    case RGB_ALPHA:
        return bits == 8 || bits == 16;
    default:
        return false;
    }
}

static bool read_header(struct header *h, const uint8_t *bytes, size_t size, struct error *err)
{
    const uint8_t *chunk = bytes + FIRST_CHUNK, *data = chunk + 8;
    if (size < FIRST_CHUNK + CHUNK_EXTRA + HEADER_SIZE)
        return fail(err, ERR_INVALID, "truncated png file: %zu bytes hold no header", size);
    if (read_be32(chunk) != HEADER_SIZE || memcmp(chunk + 4, "IHDR", 4) != 0)
        return fail(err, ERR_INVALID, "malformed png file: does not begin with IHDR");
    if (libdeflate_crc32(0, chunk + 4, 4 + HEADER_SIZE) != read_be32(data + HEADER_SIZE))
        return fail(err, ERR_INVALID, "damaged png file: the checksum of IHDR is wrong");
    *h = (struct header){.width_px = read_be32(data),
                         .height_px = read_be32(data + 4),
                         .bits = data[8],
                         .color = data[9],
                         .is_interlaced = data[12] == 1};
    if (h->width_px == 0 || h->width_px > INT_MAX || h->height_px == 0 || h->height_px > INT_MAX)
        return fail(err, ERR_INVALID, "malformed png file: %ux%u pixels", h->width_px,
                    h->height_px);
    if (!are_bits_valid(h->color, h->bits))
        return fail(err, ERR_INVALID, "malformed png file: colour type %d with %d bits", h->color,
                    h->bits);
    if (data[10] != 0 || data[11] != 0 || data[12] > 1)
        return fail(err, ERR_INVALID, "malformed png file: methods %d, %d, %d are unknown",
                    data[10], data[11], data[12]);
    return true;
}

bool png_probe(struct image *out, const uint8_t *bytes, size_t size, struct error *err)
{
    struct header h = {0};
    if (!read_header(&h, bytes, size, err))
        return false;
    out->width_px = (int)h.width_px;
    out->height_px = (int)h.height_px;
    return true;
}

/* ---- chunks --------------------------------------------------------------------------------- */

/* Take one chunk that is neither IHDR nor IEND; the walk has checked its CRC. */
static bool take_chunk(struct chunks *c, const struct header *h, const uint8_t *type,
                       const uint8_t *data, size_t size, bool follows_idat, struct error *err)
{
    if (memcmp(type, "IDAT", 4) == 0) {
        if (c->zlib_size > 0 && !follows_idat)
            return fail(err, ERR_INVALID, "malformed png file: IDAT chunks are not in a row");
        memcpy(c->zlib + c->zlib_size, data, size);
        c->zlib_size += size;
    } else if (memcmp(type, "PLTE", 4) == 0) {
        if (c->palette || c->zlib_size > 0 || size == 0 || size > 768 || size % 3 != 0)
            return fail(err, ERR_INVALID, "malformed png file: PLTE of %zu bytes out of place",
                        size);
        c->palette = data;
        c->palette_size = size;
    } else if (memcmp(type, "tRNS", 4) == 0) {
        bool fits = h->color == PALETTE ? size <= c->palette_size / 3
                    : h->color == GREY  ? size == 2
                    : h->color == RGB   ? size == 6
                                        : false;
        if (c->alpha || c->zlib_size > 0 || !fits)
            return fail(err, ERR_INVALID, "malformed png file: tRNS of %zu bytes out of place",
                        size);
        c->alpha = data;
        c->alpha_size = size;
    } else if ((type[0] & 0x20) == 0) { /* an upper-case first letter: needed for the picture */
        return fail(err, ERR_INVALID, "malformed png file: unknown critical chunk");
    }
    return true;
}

/* Walk the chunks from the one after IHDR to IEND. c->zlib has room for the whole file. */
static bool read_chunks(struct chunks *c, const struct header *h, const uint8_t *bytes, size_t size,
                        struct error *err)
{
    size_t at = FIRST_CHUNK + CHUNK_EXTRA + HEADER_SIZE;
    bool follows_idat = false;
    for (;;) {
        if (size - at < CHUNK_EXTRA)
            return fail(err, ERR_INVALID, "truncated png file: ends at byte %zu without IEND",
                        size);
        const uint8_t *type = bytes + at + 4, *data = type + 4;
        size_t length = read_be32(bytes + at);
        if (length > size - at - CHUNK_EXTRA)
            return fail(err, ERR_INVALID,
                        "truncated png file: chunk of %zu bytes at byte %zu of %zu", length, at,
                        size);
        if (libdeflate_crc32(0, type, length + 4) != read_be32(data + length))
            return fail(err, ERR_INVALID,
                        "damaged png file: wrong checksum of the chunk at byte %zu", at);
        if (memcmp(type, "IEND", 4) == 0)
            break;
        if (!take_chunk(c, h, type, data, length, follows_idat, err))
            return false;
        follows_idat = memcmp(type, "IDAT", 4) == 0;
        at += CHUNK_EXTRA + length;
    }
    if (c->zlib_size == 0)
        return fail(err, ERR_INVALID, "malformed png file: no pixels (IDAT)");
    if (h->color == PALETTE && !c->palette)
        return fail(err, ERR_INVALID, "malformed png file: no palette (PLTE)");
    return true;
}

/* ---- pixels --------------------------------------------------------------------------------- */

/* Bytes of one picture or interlace pass: rows of whole bytes, each behind its filter byte. */
static uint64_t pass_size(const struct header *h, uint64_t width_px, uint64_t height_px)
{
    if (width_px == 0 || height_px == 0)
        return 0;
    uint64_t bits = width_px * (uint64_t)(h->bits * n_channels(h->color));
    return (1 + (bits + 7) / 8) * height_px;
}

static uint64_t filtered_size(const struct header *h)
{
    static const uint8_t ADAM7[7][4] = {/* first column, first row, column step, row step */
                                        {0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                        {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
    uint64_t width = h->width_px, height = h->height_px;
    if (!h->is_interlaced)
        return pass_size(h, width, height);
    uint64_t total = 0;
    for (int i = 0; i < 7; i++) {
        const uint8_t *p = ADAM7[i];
        total += pass_size(h, (width - p[0] + p[2] - 1) / p[2], (height - p[1] + p[3] - 1) / p[3]);
    }
    return total;
}

/* Append a chunk; stb does not look at the CRC. */
static uint8_t *put_chunk(uint8_t *out, const char *type, const void *data, size_t size)
{
    for (int i = 0; i < 4; i++)
        *out++ = (uint8_t)(size >> (24 - 8 * i));
    memcpy(out, type, 4);
    if (size > 0)
        memcpy(out + 4, data, size);
    memset(out + 4 + size, 0, 4);
    return out + 8 + size;
}

/* Inflate and verify the pixels: raw_size bytes from malloc, or NULL. */
static uint8_t *inflate_pixels(const struct chunks *c, uint64_t raw_size, struct error *err)
{
    if (raw_size == 0 || raw_size > INT_MAX / 2) {
        fail(err, ERR_INVALID, "png file with %llu bytes of pixels: at most %d",
             (unsigned long long)raw_size, INT_MAX / 2);
        return NULL;
    }
    struct libdeflate_decompressor *inflater = libdeflate_alloc_decompressor();
    uint8_t *raw = malloc(raw_size);
    bool done = false;
    if (!inflater || !raw)
        fail(err, ERR_MEMORY, "no memory for the %llu bytes of pixels in a png file",
             (unsigned long long)raw_size);
    else if (libdeflate_zlib_decompress(inflater, c->zlib, c->zlib_size, raw, raw_size, NULL) !=
             LIBDEFLATE_SUCCESS)
        fail(err, ERR_INVALID, "damaged png file: the pixels don't inflate to %llu bytes",
             (unsigned long long)raw_size);
    else
        done = true;
    if (inflater)
        libdeflate_free_decompressor(inflater);
    if (!done) {
        free(raw);
        raw = NULL;
    }
    return raw;
}

/* Put the pixels, uncompressed, in place of the stream. */
static bool store_pixels(struct chunks *c, const uint8_t *raw, size_t raw_size, struct error *err)
{
    struct libdeflate_compressor *storer = libdeflate_alloc_compressor(0);
    size_t bound = libdeflate_zlib_compress_bound(storer, raw_size); /* NULL will do */
    uint8_t *stored = malloc(bound);
    bool has_memory = storer && stored;
    if (has_memory) {
        free(c->zlib);
        c->zlib_size = libdeflate_zlib_compress(storer, raw, raw_size, stored, bound);
        c->zlib = stored;
    } else {
        free(stored);
    }
    if (storer)
        libdeflate_free_compressor(storer);
    return has_memory || fail(err, ERR_MEMORY, "no memory for the pixels of a png file");
}

/* Write the plain PNG for stb: from malloc, or NULL when memory is out. */
static uint8_t *plain_png(const uint8_t *bytes, const struct header *h, const struct chunks *c,
                          size_t *size)
{
    uint8_t *file = malloc(FIRST_CHUNK + 5 * CHUNK_EXTRA + HEADER_SIZE + 768 + 256 + c->zlib_size);
    if (!file)
        return NULL;
    memcpy(file, bytes, FIRST_CHUNK);
    uint8_t *at = put_chunk(file + FIRST_CHUNK, "IHDR", bytes + FIRST_CHUNK + 8, HEADER_SIZE);
    if (h->color == PALETTE) { /* read_chunks found one */
        assert(c->palette);
        uint8_t palette[768] = {0};
        memcpy(palette, c->palette, c->palette_size);
        at = put_chunk(at, "PLTE", palette, sizeof(palette));
    }
    if (c->alpha_size > 0)
        at = put_chunk(at, "tRNS", c->alpha, c->alpha_size);
    at = put_chunk(at, "IDAT", c->zlib, c->zlib_size);
    at = put_chunk(at, "IEND", NULL, 0);
    *size = (size_t)(at - file);
    return file;
}

static bool decode_by_stb(struct image *out, const uint8_t *bytes, const struct header *h,
                          struct chunks *c, const uint8_t *raw, struct error *err)
{
    size_t size = 0;
    if (!store_pixels(c, raw, filtered_size(h), err))
        return false;
    uint8_t *plain = plain_png(bytes, h, c, &size);
    bool done = plain ? stb_decode(out, "png", plain, size, err)
                      : fail(err, ERR_MEMORY, "no memory for the pixels of a png file");
    free(plain);
    return done;
}

/* What image generators write: 8 bits a sample, no palette, no interlace. */
static bool decode_rows(struct image *out, const struct header *h, uint8_t *raw, struct error *err)
{
    out->rgb = malloc((size_t)h->width_px * h->height_px * 3);
    if (!out->rgb)
        return fail(err, ERR_MEMORY, "no memory for the pixels of a png file");
    if (png_read_rows(out, raw, n_channels(h->color), err))
        return true;
    free(out->rgb);
    out->rgb = NULL;
    return false;
}

bool png_decode(struct image *out, const uint8_t *bytes, size_t size, struct error *err)
{
    struct header h = {0};
    if (!read_header(&h, bytes, size, err))
        return false;
    struct chunks chunks = {.zlib = malloc(size)};
    if (!chunks.zlib)
        return fail(err, ERR_MEMORY, "no memory for a png file of %zu bytes", size);
    uint8_t *raw = NULL;
    if (read_chunks(&chunks, &h, bytes, size, err))
        raw = inflate_pixels(&chunks, filtered_size(&h), err);
    bool is_simple =
        h.bits == 8 && h.color != PALETTE && !h.is_interlaced && chunks.alpha_size == 0;
    bool done = raw && (is_simple ? decode_rows(out, &h, raw, err)
                                  : decode_by_stb(out, bytes, &h, &chunks, raw, err));
    free(raw);
    free(chunks.zlib);
    return done;
}

/* ---- writing -------------------------------------------------------------------------------- */

unsigned char *png_deflate(unsigned char *bytes, int size, int *out_size, int level)
{
    (void)level; /* stb's, on zlib's scale */
    struct libdeflate_compressor *deflater = libdeflate_alloc_compressor(DEFLATE_LEVEL);
    if (!deflater)
        return NULL;
    size_t bound = libdeflate_zlib_compress_bound(deflater, (size_t)size);
    uint8_t *out = malloc(bound);
    if (out)
        *out_size = (int)libdeflate_zlib_compress(deflater, bytes, (size_t)size, out, bound);
    libdeflate_free_compressor(deflater);
    return out;
}

uint32_t png_crc(const unsigned char *bytes, int size)
{
    return libdeflate_crc32(0, bytes, (size_t)size);
}

bool png_encode(struct buf *out, const struct image *image, int quality, struct error *err)
{
    (void)quality; /* lossless */
    int64_t raw_size = ((int64_t)image->width_px * 3 + 1) * image->height_px;
    if (raw_size > INT_MAX / 2)
        return fail(err, ERR_INVALID, "%dx%d pixels are too many for our png writer",
                    image->width_px, image->height_px);
    return stb_encode_png(out, image, err);
}
