/* Decoding any file as a picture, as the client does with answers and the server with inputs. */
#include "image/image.h"
#include "tests/fuzz/fuzz.h"

#define MAX_SIDE_PX 512

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
        size_t n = (size_t)image.width_px * (size_t)image.height_px * 3;
        uint8_t any = 0;
        for (size_t i = 0; i < n; i++) /* every byte exists */
            any |= image.rgb[i];
        CLAIM(any <= 255);
    }
    image_free(&image);
    return 0;
}
