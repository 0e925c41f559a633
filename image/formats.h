/* Private to image/: the formats behind image.h, one file each, and what they share.
 *
 * A format has a probe, which reads the size out of the header, and a decoder, which is called
 * only after the probe succeeded and the caller accepted the size it gave. Both are given bytes
 * from strangers. The decoders that end in stb_image first prove that the file is whole and that
 * its structure is one stb can be trusted with; the reasons stand in each file. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "image/image.h"

/* ---- formats -------------------------------------------------------------------------------- */

/* Set the sides of out (1 or more); cheap, nothing is allocated. */
bool bmp_probe(struct image *out, const uint8_t *bytes, size_t size, struct error *err);
bool gif_probe(struct image *out, const uint8_t *bytes, size_t size, struct error *err);
bool jpeg_probe(struct image *out, const uint8_t *bytes, size_t size, struct error *err);
bool png_probe(struct image *out, const uint8_t *bytes, size_t size, struct error *err);
bool webp_probe(struct image *out, const uint8_t *bytes, size_t size, struct error *err);

/* out has the sides from the probe and no pixels; on success it owns pixels, on failure none. */
bool bmp_decode(struct image *out, const uint8_t *bytes, size_t size, struct error *err);
bool gif_decode(struct image *out, const uint8_t *bytes, size_t size, struct error *err);
bool jpeg_decode(struct image *out, const uint8_t *bytes, size_t size, struct error *err);
bool png_decode(struct image *out, const uint8_t *bytes, size_t size, struct error *err);
bool webp_decode(struct image *out, const uint8_t *bytes, size_t size, struct error *err);

/* Append the file. The image has pixels, quality is within 1..100. */
bool jpeg_encode(struct buf *out, const struct image *image, int quality, struct error *err);
bool png_encode(struct buf *out, const struct image *image, int quality, struct error *err);
bool webp_encode(struct buf *out, const struct image *image, int quality, struct error *err);

/* ---- shared --------------------------------------------------------------------------------- */

/* Turn n_pixels of 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha; not premultiplied)
 * channels into RGB, alpha blended over white. */
void pixels_flatten(uint8_t *rgb, const uint8_t *pixels, size_t n_pixels, int channels);

/* Numbers of 2 and 4 bytes, big- and little-endian. */
static inline uint32_t read_be16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static inline uint32_t read_be32(const uint8_t *p) { return read_be16(p) << 16 | read_be16(p + 2); }
static inline uint32_t read_le16(const uint8_t *p) { return (uint32_t)p[1] << 8 | p[0]; }
static inline uint32_t read_le32(const uint8_t *p) { return read_le16(p + 2) << 16 | read_le16(p); }

/* Compress to a zlib stream in memory from malloc, the caller's; NULL when memory is out. The
 * signature is the one that stb_image_write asks for; its level is not used. */
unsigned char *png_deflate(unsigned char *bytes, int size, int *out_size, int level);
/* CRC-32 as PNG has it. */
uint32_t png_crc(const unsigned char *bytes, int size);
