/* WebP through libwebp: still pictures, lossy below quality 100 and lossless at 100. The library
 * uses no threads and no random numbers here, so equal pictures give equal files.
 * Reading, it refuses a file shorter than its RIFF header says. */
#include <stdlib.h>
#include <webp/decode.h>
#include <webp/encode.h>

#include "image/formats.h"

/* Speed against size, for 1024x1024 smooth pixels with a little noise on one EPYC core: lossy
 * method 2 takes 33 ms, libwebp's default 4 takes 75 for 4 % less; lossless level 1 takes 146 ms
 * and is 10 % smaller than our PNG, level 0 would be larger. */
#define LOSSY_METHOD 2
#define LOSSLESS_LEVEL 1

/* ---- reading -------------------------------------------------------------------------------- */

static const char *status_text(VP8StatusCode status)
{
    switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return "no memory";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return "unsupported feature";
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA:
        return "truncated";
    default:
        return "malformed";
    }
}

static bool fail_status(VP8StatusCode status, struct error *err)
{
    return fail(err, status == VP8_STATUS_OUT_OF_MEMORY ? ERR_MEMORY : ERR_INVALID,
                "webp file can't be read: %s", status_text(status));
}

static bool read_features(WebPBitstreamFeatures *features, const uint8_t *bytes, size_t size,
                          struct error *err)
{
    VP8StatusCode status = WebPGetFeatures(bytes, size, features);
    if (status != VP8_STATUS_OK)
        return fail_status(status, err);
    if (features->has_animation)
        return fail(err, ERR_INVALID, "animated webp file: only still pictures can be read");
    return true;
}

bool webp_probe(struct image *out, const uint8_t *bytes, size_t size, struct error *err)
{
    WebPBitstreamFeatures features;
    if (!read_features(&features, bytes, size, err))
        return false;
    out->width_px = features.width;
    out->height_px = features.height;
    return true;
}

bool webp_decode(struct image *out, const uint8_t *bytes, size_t size, struct error *err)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return fail(err, ERR_INTERNAL, "libwebp is of another version than its headers");
    if (!read_features(&config.input, bytes, size, err))
        return false;

    size_t n_pixels = (size_t)out->width_px * (size_t)out->height_px;
    int channels = config.input.has_alpha ? 4 : 3;
    size_t pixel_bytes = n_pixels * (size_t)channels;
    uint8_t *pixels = malloc(pixel_bytes);
    if (!pixels)
        return fail(err, ERR_MEMORY, "no memory for %dx%d pixels", out->width_px, out->height_px);
    config.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA =
        (WebPRGBABuffer){.rgba = pixels, .stride = out->width_px * channels, .size = pixel_bytes};
    VP8StatusCode status = WebPDecode(bytes, size, &config);
    WebPFreeDecBuffer(&config.output);
    if (status != VP8_STATUS_OK) {
        free(pixels);
        return fail_status(status, err);
    }
    if (channels == 4) /* in place: each pixel is written at or before where it is read */
        pixels_flatten(pixels, pixels, n_pixels, channels);
    out->rgb = pixels;
    return true;
}

/* ---- writing -------------------------------------------------------------------------------- */

static int append(const uint8_t *bytes, size_t size, const WebPPicture *picture)
{
    buf_append(picture->custom_ptr, bytes, size);
    return 1;
}

bool webp_encode(struct buf *out, const struct image *image, int quality, struct error *err)
{
    if (image->width_px > WEBP_MAX_DIMENSION || image->height_px > WEBP_MAX_DIMENSION)
        return fail(err, ERR_INVALID, "%dx%d pixels: a webp file's sides are at most %d",
                    image->width_px, image->height_px, WEBP_MAX_DIMENSION);
    WebPConfig config;
    WebPPicture picture;
    if (!WebPConfigInit(&config) || !WebPPictureInit(&picture))
        return fail(err, ERR_INTERNAL, "libwebp is of another version than its headers");
    config.method = LOSSY_METHOD;
    config.quality = (float)quality;
    if (quality == 100 && !WebPConfigLosslessPreset(&config, LOSSLESS_LEVEL))
        return fail(err, ERR_INTERNAL, "libwebp refuses lossless level %d", LOSSLESS_LEVEL);
    picture.use_argb = config.lossless;
    picture.width = image->width_px;
    picture.height = image->height_px;
    picture.writer = append;
    picture.custom_ptr = out;
    size_t start = out->size;
    bool done = WebPPictureImportRGB(&picture, image->rgb, image->width_px * 3) &&
                WebPEncode(&config, &picture);
    WebPEncodingError code = picture.error_code;
    WebPPictureFree(&picture);
    if (done)
        return true;
    out->size = start;
    if (code == VP8_ENC_ERROR_OUT_OF_MEMORY || code == VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY)
        return fail(err, ERR_MEMORY, "no memory for a webp file of %dx%d pixels", image->width_px,
                    image->height_px);
    return fail(err, ERR_INTERNAL, "libwebp can't write %dx%d pixels: error %d", image->width_px,
                image->height_px, (int)code);
}
