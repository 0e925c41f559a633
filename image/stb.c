/* The one place where stb_image and stb_image_write are compiled.
 *
 * Reading: only the formats image.h promises, no HDR, no stdio. stb_image is known to read and
 * write astray on hostile files, so it sees nothing that the format's own file has not checked,
 * and its heap is zeroed: its Huffman tables and pixel planes keep what the file left unset, which
 * would otherwise be stale memory of ours in a stranger's picture, and another picture each time.
 *
 * Writing: PNG's deflate and CRC come from libdeflate through the hooks that stb offers. Each row
 * takes the best of PNG's five filters, stb's default: 1024x1024 takes 32 ms at libdeflate's level
 * 1 on one EPYC core, against 26 ms with any one filter forced, and files are 2-4 % smaller. So
 * the writer's global switches need no writing. */
#include "image/stb.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "image/formats.h"

#define STBI_MALLOC(size) calloc(1, size)
#define STBI_REALLOC(p, size) realloc(p, size)
#define STBI_FREE(p) free(p)
#define STBI_ASSERT(claim) ((void)0) /* some can be failed by a file, which is no abort of ours */
#define STBI_MAX_DIMENSIONS STB_MAX_SIDE_PX
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_GIF
#define STBI_ONLY_BMP
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_NO_STDIO
#define STB_IMAGE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#define STBIW_ZLIB_COMPRESS png_deflate
#define STBIW_CRC32(bytes, size) png_crc(bytes, size)
#define STB_IMAGE_WRITE_IMPLEMENTATION

/* System headers to the compiler: their warnings are not ours. */
#include <stb_image.h>
#include <stb_image_write.h>

/* ---- reading -------------------------------------------------------------------------------- */

static bool fail_reason(const char *format, struct error *err)
{
    const char *reason = stbi_failure_reason();
    if (reason && strcmp(reason, "outofmem") == 0)
        return fail(err, ERR_MEMORY, "no memory for the pixels of a %s file", format);
    return fail(err, ERR_INVALID, "malformed %s file: %s", format, reason ? reason : "no reason");
}

bool stb_decode(struct image *out, const char *format, const void *bytes, size_t size,
                struct error *err)
{
    if (size > INT_MAX)
        return fail(err, ERR_INVALID, "%s file of %zu bytes: at most %d", format, size, INT_MAX);
    int width, height, channels;
    if (!stbi_info_from_memory(bytes, (int)size, &width, &height, &channels))
        return fail_reason(format, err);
    if (width != out->width_px || height != out->height_px)
        return fail(err, ERR_INVALID, "malformed %s file: both %dx%d and %dx%d pixels", format,
                    out->width_px, out->height_px, width, height);

    uint8_t *pixels = stbi_load_from_memory(bytes, (int)size, &width, &height, &channels, 0);
    if (!pixels)
        return fail_reason(format, err);
    if (width != out->width_px || height != out->height_px || channels < 1 || channels > 4) {
        stbi_image_free(pixels);
        return fail(err, ERR_INVALID, "malformed %s file: the size changes on the way", format);
    }
    if (channels == 3) {
        out->rgb = pixels;
        return true;
    }
    size_t n_pixels = (size_t)width * (size_t)height;
    out->rgb = malloc(n_pixels * 3);
    if (out->rgb)
        pixels_flatten(out->rgb, pixels, n_pixels, channels);
    stbi_image_free(pixels);
    if (!out->rgb)
        return fail(err, ERR_MEMORY, "no memory for %dx%d pixels", width, height);
    return true;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void append(void *out, void *bytes, int size) { buf_append(out, bytes, (size_t)size); }

bool stb_encode_png(struct buf *out, const struct image *image, struct error *err)
{
    int size = 0;
    uint8_t *file =
        stbi_write_png_to_mem(image->rgb, 0, image->width_px, image->height_px, 3, &size);
    if (!file)
        return fail(err, ERR_MEMORY, "no memory for a png file of %dx%d pixels", image->width_px,
                    image->height_px);
    buf_append(out, file, (size_t)size);
    free(file);
    return true;
}

bool stb_encode_jpeg(struct buf *out, const struct image *image, int quality, struct error *err)
{
    if (!stbi_write_jpg_to_func(append, out, image->width_px, image->height_px, 3, image->rgb,
                                quality))
        return fail(err, ERR_INTERNAL, "can't write a jpeg file of %dx%d pixels", image->width_px,
                    image->height_px);
    return true;
}
