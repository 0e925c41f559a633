/* Fuzz image_decode and image_probe: any bytes give a picture within the limit or an error, and
 * what was decoded once can be written and read back. Seeds: tests/image/data. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "image/image.h"

/* Small, so that a run is about structure and not about filling pixels. */
#define MAX_SIDE_PX 256

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    int width = 0, height = 0;
    bool probed = image_probe(bytes, size, &width, &height, NULL);
    struct image image = {0};
    struct error err = {0};
    if (!image_decode(&image, bytes, size, MAX_SIDE_PX, &err)) {
        if (image.rgb || err.code == ERR_NONE)
            abort();
        return 0;
    }
    if (!probed || image.width_px != width || image.height_px != height || width < 1 ||
        width > MAX_SIDE_PX || height < 1 || height > MAX_SIDE_PX)
        abort();

    struct buf file = {0};
    struct image back = {0};
    if (!image_encode(&file, &image, IMAGE_PNG, 100, NULL) ||
        !image_decode(&back, file.data, file.size, MAX_SIDE_PX, NULL))
        abort();
    for (size_t i = 0; i < (size_t)width * (size_t)height * 3; i++)
        if (back.rgb[i] != image.rgb[i])
            abort();
    image_free(&back);
    image_free(&image);
    buf_free(&file);
    return 0;
}
