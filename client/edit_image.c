#include "client/edit_image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "image/image.h"

#define JPEG_QUALITY 85
#define MAX_SIDE_PX 16384

bool edit_image_is_url(const char *source)
{
    return strncasecmp(source, "http://", 7) == 0 || strncasecmp(source, "https://", 8) == 0;
}

bool edit_image_read(struct buf *out, const char *source, struct error *err)
{
    if (strncasecmp(source, "data:", 5) != 0)
        return file_read(out, source, err) || error_prefix(err, "image");
    const char *comma = strchr(source, ',');
    if (!comma || !memmem(source, (size_t)(comma - source), ";base64", 7))
        return fail_field(err, "image", "image: a data URL must be data:image/...;base64,...");
    return base64_decode(out, comma + 1, strlen(comma + 1), err) || error_prefix(err, "image");
}

void edit_image_maker_init(struct edit_image_maker *m, const struct edit_image_shape *shape,
                           int64_t seed)
{
    m->shape = (struct edit_image_shape){/* whole pixels, as AIPerf takes them */
                                         floor(shape->width_mean), floor(shape->width_std),
                                         floor(shape->height_mean), floor(shape->height_std),
                                         shape->format};
    random_init(&m->sizes, seed, "dataset.image.dimensions");
    random_init(&m->formats, seed, "dataset.image.format");
    random_init(&m->noise, seed, "dataset.image.noise");
}

/* Noise, so that no codec makes it small. */
static void fill(struct random *noise, uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t word = random_bits(noise);
        memcpy(bytes + i, &word, n - i < 4 ? n - i : 4);
    }
}

bool edit_image_make(struct edit_image_maker *m, struct buf *out, struct error *err)
{
    static const enum image_format FORMATS[] = {[EDIT_PNG] = IMAGE_PNG, [EDIT_JPEG] = IMAGE_JPEG};
    int which =
        m->shape.format == EDIT_RANDOM ? (int)random_below(&m->formats, 2) : m->shape.format;
    int64_t width = random_length(&m->sizes, m->shape.width_mean, m->shape.width_std);
    int64_t height = random_length(&m->sizes, m->shape.height_mean, m->shape.height_std);
    if (width > MAX_SIDE_PX || height > MAX_SIDE_PX)
        return fail_field(err, "--image-width-mean",
                          "a made-up picture of %lldx%lld pixels: the longest side is %d",
                          (long long)width, (long long)height, MAX_SIDE_PX);
    size_t n = 3 * (size_t)width * (size_t)height;
    struct image image = {(int)width, (int)height, xmalloc(n)};
    fill(&m->noise, image.rgb, n);
    bool ok = image_encode(out, &image, FORMATS[which], JPEG_QUALITY, err);
    image_free(&image);
    return ok;
}
