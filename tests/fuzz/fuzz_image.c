/* Decoding any file as a picture, as the client does with answers and the server with inputs: it
 * is a picture within the limit or an error, and a picture can be written and read back. */
#include "image/image.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* Small, so that a run is about structure and not about filling pixels. */
#define MAX_SIDE_PX 256

static void check_round_trip(const struct image *image)
{
    struct buf file = {0};
    struct image back = {0};
    CLAIM(image_encode(&file, image, IMAGE_PNG, 100, NULL));
    CLAIM(image_decode(&back, file.data, file.size, MAX_SIDE_PX, NULL));
    CLAIM(memcmp(back.rgb, image->rgb, (size_t)image->width_px * (size_t)image->height_px * 3) ==
          0);
    image_free(&back);
    buf_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0}, probe_err = {0};
    struct image image = {0};
    int width = 0, height = 0;
    bool is_probed = image_probe(data, size, &width, &height, &probe_err);
    if (image_decode(&image, data, size, MAX_SIDE_PX, &err)) {
        CLAIM(is_probed && width == image.width_px && height == image.height_px);
        CLAIM(image.width_px > 0 && image.width_px <= MAX_SIDE_PX);
        CLAIM(image.height_px > 0 && image.height_px <= MAX_SIDE_PX);
        check_round_trip(&image);
    } else {
        CLAIM(err.code != ERR_NONE && !image.rgb);
    }
    image_free(&image);
    return 0;
}
