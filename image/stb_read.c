/* The one place where stb_image is compiled: only the formats image.h promises, no HDR, no stdio.
 *
 * stb_image is known to read and write astray on hostile files, so it sees nothing that the
 * format's own file has not checked, and its heap is zeroed: its Huffman tables and pixel planes
 * keep what the file left unset, which would otherwise be stale memory of ours in a stranger's
 * picture, and another picture each time. CMakeLists.txt has the flags that make its arithmetic
 * wrap. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "image/formats.h"
#include "image/stb.h"

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

/* A system header to the compiler: its warnings are not ours. */
#include <stb_image.h>

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
