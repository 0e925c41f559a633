/* Pictures: what holds for all formats. Signatures, names, the checks before decoding and
 * encoding; the formats themselves are rows of one table and a file each. */
#include "image/image.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "image/formats.h"

typedef bool probe_fn(struct image *out, const uint8_t *bytes, size_t size, struct error *err);
typedef bool encode_fn(struct buf *out, const struct image *image, int quality, struct error *err);

struct format {
    const char *name, *extension, *mime;
    probe_fn *probe;
    probe_fn *decode;
    encode_fn *encode; /* NULL: read only */
};

static const struct format FORMATS[] = {
    [IMAGE_UNKNOWN] = {"unknown", "bin", "application/octet-stream", NULL, NULL, NULL},
    [IMAGE_PNG] = {"png", "png", "image/png", png_probe, png_decode, png_encode},
    [IMAGE_JPEG] = {"jpeg", "jpg", "image/jpeg", jpeg_probe, jpeg_decode, jpeg_encode},
    [IMAGE_WEBP] = {"webp", "webp", "image/webp", webp_probe, webp_decode, webp_encode},
    [IMAGE_GIF] = {"gif", "gif", "image/gif", gif_probe, gif_decode, NULL},
    [IMAGE_BMP] = {"bmp", "bmp", "image/bmp", bmp_probe, bmp_decode, NULL},
};

static const struct format *format_of(enum image_format format)
{
    size_t i = (size_t)format;
    return &FORMATS[i < sizeof(FORMATS) / sizeof(FORMATS[0]) ? i : IMAGE_UNKNOWN];
}

void image_free(struct image *image)
{
    free(image->rgb);
    *image = (struct image){0};
}

/* ---- names ---------------------------------------------------------------------------------- */

enum image_format image_sniff(const void *bytes, size_t size)
{
    const char *b = bytes;
    if (size >= 8 && memcmp(b, "\x89PNG\r\n\x1a\n", 8) == 0)
        return IMAGE_PNG;
    if (size >= 3 && memcmp(b, "\xff\xd8\xff", 3) == 0)
        return IMAGE_JPEG;
    if (size >= 12 && memcmp(b, "RIFF", 4) == 0 && memcmp(b + 8, "WEBP", 4) == 0)
        return IMAGE_WEBP;
    if (size >= 6 && (memcmp(b, "GIF87a", 6) == 0 || memcmp(b, "GIF89a", 6) == 0))
        return IMAGE_GIF;
    /* Two letters are little, so the four reserved bytes that are zero in every BMP count too. */
    if (size >= 10 && memcmp(b, "BM", 2) == 0 && memcmp(b + 6, "\0\0\0\0", 4) == 0)
        return IMAGE_BMP;
    return IMAGE_UNKNOWN;
}

const char *image_format_name(enum image_format format) { return format_of(format)->name; }
const char *image_format_extension(enum image_format format)
{
    return format_of(format)->extension;
}
const char *image_format_mime(enum image_format format) { return format_of(format)->mime; }

enum image_format image_format_parse(const char *name)
{
    for (enum image_format f = IMAGE_PNG; f <= IMAGE_WEBP; f++)
        if (strcasecmp(name, FORMATS[f].name) == 0 || strcasecmp(name, FORMATS[f].extension) == 0)
            return f;
    return IMAGE_UNKNOWN;
}

/* ---- coding --------------------------------------------------------------------------------- */

void pixels_flatten(uint8_t *rgb, const uint8_t *pixels, size_t n_pixels, int channels)
{
    bool is_grey = channels <= 2, has_alpha = channels == 2 || channels == 4;
    for (size_t i = 0; i < n_pixels; i++, rgb += 3, pixels += channels) {
        unsigned alpha = has_alpha ? pixels[channels - 1] : 255;
        for (int c = 0; c < 3; c++) {
            unsigned value = pixels[is_grey ? 0 : c];
            rgb[c] = (uint8_t)((value * alpha + 255 * (255 - alpha) + 127) / 255);
        }
    }
}

bool image_encode(struct buf *out, const struct image *image, enum image_format format, int quality,
                  struct error *err)
{
    assert(image->rgb && image->width_px > 0 && image->height_px > 0);
    const struct format *f = format_of(format);
    if (!f->encode)
        return fail(err, ERR_INVALID, "can't write format %s: png, jpeg or webp", f->name);
    if (quality < 1 || quality > 100)
        return fail(err, ERR_INVALID, "quality %d: must be 1 to 100", quality);
    return f->encode(out, image, quality, err);
}

/* The signature's row, and the size by the file's header. */
static const struct format *probe(struct image *out, const void *bytes, size_t size,
                                  struct error *err)
{
    const struct format *f = format_of(image_sniff(bytes, size));
    if (!f->probe) {
        fail(err, ERR_INVALID, "%zu bytes that are no png, jpeg, webp, gif or bmp file", size);
        return NULL;
    }
    return f->probe(out, bytes, size, err) ? f : NULL;
}

bool image_probe(const void *bytes, size_t size, int *width_px, int *height_px, struct error *err)
{
    struct image header = {0};
    if (!probe(&header, bytes, size, err))
        return false;
    *width_px = header.width_px;
    *height_px = header.height_px;
    return true;
}

bool image_decode(struct image *out, const void *bytes, size_t size, int max_side_px,
                  struct error *err)
{
    struct image image = {0};
    const struct format *f = probe(&image, bytes, size, err);
    if (!f)
        return false;
    if (image.width_px > max_side_px || image.height_px > max_side_px)
        return fail(err, ERR_INVALID, "%s image of %dx%d pixels: sides may be at most %d", f->name,
                    image.width_px, image.height_px, max_side_px);
    if (!f->decode(&image, bytes, size, err))
        return false;
    *out = image;
    return true;
}
