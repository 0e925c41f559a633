/* JPEG: the checks before stb_image reads one. Source: ITU-T T.81, annexes B and C.
 *
 * stb fills up what a truncated file lacks and trusts tables that it should not. So the segments
 * are walked first, from SOI through every scan to EOI: a file that ends before is truncated.
 * Damage inside a scan can't be seen by structure; JPEG has no checksum. What follows EOI is not
 * ours: cameras append previews there. */

#include "image/formats.h"
#include "image/stb.h"

/* stb's table of code lengths holds 256 of them and takes more on faith. */
#define MAX_CODES 256
/* A progressive scan of a few bytes costs a pass over the whole picture. Encoders write about 10.
 */
#define MAX_SCANS 100
#define JPEG_MAX_SIDE_PX 65535

enum {
    SOF0 = 0xC0,
    SOF2 = 0xC2, /* progressive */
    DHT = 0xC4,
    JPG = 0xC8,
    DAC = 0xCC,
    SOF15 = 0xCF,
    RST0 = 0xD0,
    RST7 = 0xD7,
    EOI = 0xD9,
    SOS = 0xDA,
    DQT = 0xDB,
};

struct frame {
    int width_px, height_px;
    int n_components; /* 0 before the frame header */
    bool is_progressive;
    uint8_t ids[4];
    uint8_t quants[4];  /* quantisation table of the component */
    bool is_scanned[4]; /* the component had a scan */
    int n_scans;
    bool has_quant[16];    /* tables defined so far, by number */
    bool has_codes[2][16]; /* of classes DC and AC */
};

static bool fail_truncated(size_t size, struct error *err)
{
    return fail(err, ERR_INVALID, "truncated jpeg file: ends at byte %zu without EOI", size);
}

/* data[0..size) is the segment behind its length. */
static bool read_frame(struct frame *f, bool is_progressive, const uint8_t *data, size_t size,
                       struct error *err)
{
    if (f->n_components > 0)
        return fail(err, ERR_INVALID, "malformed jpeg file: two frame headers");
    if (size < 6 || size != 6 + 3 * (size_t)data[5] ||
        (data[5] != 1 && data[5] != 3 && data[5] != 4))
        return fail(err, ERR_INVALID, "malformed jpeg file: frame header of %zu bytes", size);
    if (data[0] != 8)
        return fail(err, ERR_INVALID, "jpeg file with %d bits a sample: only 8 can be read",
                    data[0]);
    f->height_px = (int)read_be16(data + 1);
    f->width_px = (int)read_be16(data + 3);
    if (f->width_px == 0 || f->height_px == 0)
        return fail(err, ERR_INVALID, "malformed jpeg file: %dx%d pixels", f->width_px,
                    f->height_px);
    f->is_progressive = is_progressive;
    f->n_components = data[5];
    for (int i = 0; i < f->n_components; i++) {
        f->ids[i] = data[6 + 3 * i];
        f->quants[i] = data[8 + 3 * i] & 15;
    }
    return true;
}

/* Quantisation tables: precision and number, and 64 values of 1 or 2 bytes. */
static bool read_quants(struct frame *f, const uint8_t *data, size_t size, struct error *err)
{
    while (size > 0) {
        size_t table_size = data[0] >> 4 ? 129 : 65;
        if (size < table_size)
            return fail(err, ERR_INVALID, "malformed jpeg file: quantisation table of %zu bytes",
                        size);
        f->has_quant[data[0] & 15] = true;
        data += table_size;
        size -= table_size;
    }
    return true;
}

/* Huffman tables: class and number, 16 counts, and as many values as they sum up to. */
static bool read_codes(struct frame *f, const uint8_t *data, size_t size, struct error *err)
{
    while (size > 0) {
        size_t n_codes = 0;
        for (size_t i = 1; i <= 16 && i < size; i++)
            n_codes += data[i];
        if (n_codes > MAX_CODES || size < 17 + n_codes)
            return fail(err, ERR_INVALID, "malformed jpeg file: Huffman table of %zu codes",
                        n_codes);
        f->has_codes[data[0] >> 4 & 1][data[0] & 15] = true;
        data += 17 + n_codes;
        size -= 17 + n_codes;
    }
    return true;
}

static bool read_scan(struct frame *f, const uint8_t *data, size_t size, struct error *err)
{
    if (f->n_components == 0)
        return fail(err, ERR_INVALID, "malformed jpeg file: a scan before the frame header");
    if (size < 1 || size != 4 + 2 * (size_t)data[0])
        return fail(err, ERR_INVALID, "malformed jpeg file: scan header of %zu bytes", size);
    if (++f->n_scans > MAX_SCANS)
        return fail(err, ERR_INVALID, "jpeg file with more than %d scans", MAX_SCANS);
    const uint8_t *progress = data + 1 + 2 * (size_t)data[0]; /* first, last, bits high and low */
    bool uses_dc = !f->is_progressive || (progress[0] == 0 && progress[2] >> 4 == 0);
    bool uses_ac = !f->is_progressive || progress[1] > 0;
    for (const uint8_t *d = data + 1; d < progress; d += 2)
        for (int c = 0; c < f->n_components; c++) {
            if (f->ids[c] != d[0])
                continue;
            f->is_scanned[c] = true;
            if (!f->has_quant[f->quants[c]] || (uses_dc && !f->has_codes[0][d[1] >> 4]) ||
                (uses_ac && !f->has_codes[1][d[1] & 15]))
                return fail(err, ERR_INVALID, "malformed jpeg file: a scan without its tables");
        }
    return true;
}

/* The position of the marker that ends the coded data at `at`, or size. */
static size_t skip_coded(const uint8_t *bytes, size_t size, size_t at)
{
    for (; size - at >= 2; at++) {
        uint8_t next = bytes[at + 1];
        bool is_data = next == 0 || next == 0xFF || (next >= RST0 && next <= RST7);
        if (bytes[at] == 0xFF && !is_data)
            return at;
    }
    return size;
}

/* Walk the segments; for a probe only as far as the frame header. */
static bool walk(struct frame *f, const uint8_t *bytes, size_t size, bool is_probe,
                 struct error *err)
{
    size_t at = 2; /* behind SOI, which the signature has shown */
    for (;;) {
        if (size - at < 2)
            return fail_truncated(size, err);
        if (bytes[at] != 0xFF)
            return fail(err, ERR_INVALID, "malformed jpeg file: no marker at byte %zu", at);
        int marker = bytes[at + 1];
        if (marker == 0xFF) { /* a fill byte */
            at++;
            continue;
        }
        at += 2;
        if (marker == EOI)
            return true;
        if (size - at < 2)
            return fail_truncated(size, err);
        size_t length = read_be16(bytes + at);
        if (length < 2)
            return fail(err, ERR_INVALID, "malformed jpeg file: segment of %zu bytes", length);
        if (length > size - at)
            return fail_truncated(size, err);
        const uint8_t *data = bytes + at + 2;
        size_t data_size = length - 2;
        at += length;
        if (marker == DHT) {
            if (!read_codes(f, data, data_size, err))
                return false;
        } else if (marker == DQT) {
            if (!read_quants(f, data, data_size, err))
                return false;
        } else if (marker == SOS) {
            if (!read_scan(f, data, data_size, err))
                return false;
            at = skip_coded(bytes, size, at);
        } else if (marker >= SOF0 && marker <= SOF2) {
            if (!read_frame(f, marker == SOF2, data, data_size, err))
                return false;
            if (is_probe)
                return true;
        } else if (marker > SOF2 && marker <= SOF15 && marker != JPG && marker != DAC) {
            return fail(err, ERR_INVALID,
                        "jpeg file of coding %d: only baseline and progressive can be read",
                        marker - SOF0);
        }
    }
}

bool jpeg_probe(struct image *out, const uint8_t *bytes, size_t size, struct error *err)
{
    struct frame f = {0};
    if (!walk(&f, bytes, size, true, err))
        return false;
    if (f.n_components == 0)
        return fail(err, ERR_INVALID, "malformed jpeg file: no frame header");
    out->width_px = f.width_px;
    out->height_px = f.height_px;
    return true;
}

bool jpeg_decode(struct image *out, const uint8_t *bytes, size_t size, struct error *err)
{
    struct frame f = {0};
    if (!walk(&f, bytes, size, false, err))
        return false;
    for (int i = 0; i < f.n_components; i++)
        if (!f.is_scanned[i])
            return fail(err, ERR_INVALID, "malformed jpeg file: component %d of %d is missing",
                        i + 1, f.n_components);
    return stb_decode(out, "jpeg", bytes, size, err);
}

bool jpeg_encode(struct buf *out, const struct image *image, int quality, struct error *err)
{
    if (image->width_px > JPEG_MAX_SIDE_PX || image->height_px > JPEG_MAX_SIDE_PX)
        return fail(err, ERR_INVALID, "%dx%d pixels: a jpeg file's sides are at most %d",
                    image->width_px, image->height_px, JPEG_MAX_SIDE_PX);
    return stb_encode_jpeg(out, image, quality, err);
}
