/* GIF: the checks before stb_image reads its first frame. Source: GIF89a specification.
 *
 * The blocks are walked down to the trailer, so that a truncated file is seen as one; stb would
 * leave the missing pixels empty. */
#include "image/formats.h"
#include "image/stb.h"

enum { EXTENSION = 0x21, FRAME = 0x2C, TRAILER = 0x3B };

#define HEADER_SIZE 13 /* signature and screen descriptor */

/* Bytes of the colour table that a flags byte announces. */
static size_t table_size(uint8_t flags) { return flags & 0x80 ? (size_t)6 << (flags & 7) : 0; }

static bool fail_truncated(size_t size, struct error *err)
{
    return fail(err, ERR_INVALID, "truncated gif file: ends at byte %zu without its trailer", size);
}

/* Step over sub-blocks up to the empty one; false when the file ends before. */
static bool skip_blocks(size_t size, const uint8_t *bytes, size_t *at)
{
    while (*at < size) {
        size_t length = bytes[*at];
        *at += 1 + length;
        if (length == 0)
            return true;
    }
    return false;
}

bool gif_probe(struct image *out, const uint8_t *bytes, size_t size, struct error *err)
{
    if (size < HEADER_SIZE)
        return fail_truncated(size, err);
    out->width_px = (int)read_le16(bytes + 6);
    out->height_px = (int)read_le16(bytes + 8);
    if (out->width_px == 0 || out->height_px == 0)
        return fail(err, ERR_INVALID, "malformed gif file: %dx%d pixels", out->width_px,
                    out->height_px);
    return true;
}

bool gif_decode(struct image *out, const uint8_t *bytes, size_t size, struct error *err)
{
    size_t at = HEADER_SIZE + table_size(bytes[10]);
    bool has_frame = false;
    for (;;) {
        if (at >= size)
            return fail_truncated(size, err);
        int block = bytes[at++];
        if (block == TRAILER)
            break;
        if (block == FRAME) {
            if (at + 9 >= size)
                return fail_truncated(size, err);
            at += 9 + table_size(bytes[at + 8]) + 1; /* descriptor, colours, code width */
            has_frame = true;
        } else if (block == EXTENSION) {
            at += 1; /* its label */
        } else {
            return fail(err, ERR_INVALID, "malformed gif file: unknown block %d at byte %zu", block,
                        at - 1);
        }
        if (!skip_blocks(size, bytes, &at))
            return fail_truncated(size, err);
    }
    if (!has_frame)
        return fail(err, ERR_INVALID, "malformed gif file: no frame");
    return stb_decode(out, "gif", bytes, size, err);
}
