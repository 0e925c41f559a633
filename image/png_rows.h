/* Private to image/: the rows of an inflated PNG. */
#pragma once

#include <stddef.h>

#include "image/image.h"

/* Undo the filters of rows of 8-bit samples, channels (1 to 4) of them a pixel, each row behind its
 * filter byte, and write them to out->rgb, which has room for the picture's pixels; alpha is
 * blended over white. raw is used up. Fails on an unknown filter. */
bool png_read_rows(struct image *out, uint8_t *raw, int channels, struct error *err);
