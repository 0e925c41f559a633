/* image/: files of other programs, whole, cut short and damaged. The files and the pixels they
 * stand for come from make_data.py. */
#include "image/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA FLUXBENCH_SOURCE_DIR "/tests/image/data/"
/* All files are 13x9 or smaller; damaged headers may claim more. */
#define MAX_SIDE_PX 64

typedef void visit_fn(const char *name, const struct buf *file, const struct buf *expected);

/* Visit the files that can be read (expected: the content of NAME.rgb) or, with expected NULL,
 * those that must be refused. */
static void each_file(bool readable, visit_fn *visit)
{
    DIR *dir = opendir(DATA);
    assert_non_null(dir);
    size_t n_visited = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *name = entry->d_name, *dot = strrchr(name, '.');
        if (name[0] == '.' || !dot || strcmp(dot, ".rgb") == 0)
            continue;
        char *path = xasprintf(DATA "%s", name), *rgb_path = xasprintf(DATA "%s.rgb", name);
        struct buf file = {0}, expected = {0};
        struct error err = {0};
        if (file_exists(rgb_path) == readable) {
            if (!file_read(&file, path, &err) ||
                (readable && !file_read(&expected, rgb_path, &err)))
                fail_msg("%s", err.text);
            visit(name, &file, readable ? &expected : NULL);
            n_visited++;
        }
        buf_free(&file);
        buf_free(&expected);
        free(path);
        free(rgb_path);
    }
    closedir(dir);
    assert_true(n_visited > 10);
}

/* Decode a copy that ends where its memory does, so that a sanitizer sees a read behind it. */
static bool decode_exactly(struct image *out, const char *bytes, size_t size, struct error *err)
{
    char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    bool done = image_decode(out, copy, size, MAX_SIDE_PX, err);
    int width, height;
    bool probed = image_probe(copy, size, &width, &height, NULL);
    assert_true(probed || !done);
    free(copy);
    return done;
}

/* ---- whole ---------------------------------------------------------------------------------- */

/* Decoders of lossy formats differ in rounding and in how they enlarge chroma. */
static double allowed_difference(const char *name)
{
    if (strcmp(name, "subsampled.jpg") == 0)
        return 4;
    return strstr(name, ".jpg") || strstr(name, "lossy") ? 1 : 0;
}

static void check_pixels(const char *name, const struct buf *file, const struct buf *expected)
{
    struct image image = {0};
    struct error err = {0};
    if (!decode_exactly(&image, file->data, file->size, &err))
        fail_msg("%s: %s", name, err.text);
    const uint8_t *rgb = (const uint8_t *)expected->data;
    assert_int_equal(image.width_px, rgb[0] | rgb[1] << 8);
    assert_int_equal(image.height_px, rgb[2] | rgb[3] << 8);
    size_t n = (size_t)image.width_px * (size_t)image.height_px * 3;
    assert_int_equal(expected->size, n + 4);
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += abs(image.rgb[i] - rgb[4 + i]);
    if (sum / (double)n > allowed_difference(name))
        fail_msg("%s: mean difference %.3f", name, sum / (double)n);
    image_free(&image);
}

static void files_of_other_programs_give_their_pixels(void **state)
{
    (void)state;
    each_file(true, check_pixels);
}

static void check_trailing_bytes(const char *name, const struct buf *file,
                                 const struct buf *expected)
{
    struct buf longer = {0};
    buf_append(&longer, file->data, file->size);
    buf_puts(&longer, "appended");
    check_pixels(name, &longer, expected);
    buf_free(&longer);
}

static void bytes_behind_the_end_are_ignored(void **state)
{
    (void)state;
    each_file(true, check_trailing_bytes);
}

/* ---- refused -------------------------------------------------------------------------------- */

static const struct {
    const char *name, *reason; /* part of the text */
} REFUSED[] = {
    {"animated.webp", "animated"},
    {"arithmetic.jpg", "only baseline and progressive"},
    {"bomb.png", "don't inflate to 2 bytes"},
    {"critical_chunk.png", "unknown critical chunk"},
    {"filter_9.png", "invalid filter"},
    {"lowest_height.bmp", "3x-2147483648"},
    {"missing_component.jpg", "component 2 of 3 is missing"},
    {"no_codes.jpg", "a scan without its tables"},
    {"no_frame.gif", "no frame"},
    {"no_palette.png", "no palette"},
    {"no_quantisation.jpg", "a scan without its tables"},
    {"no_scan.jpg", "component 1 of 3 is missing"},
    {"palette_index.bmp", "colour 2 of a palette of 2"},
    {"pixels_in_header.bmp", "inside the headers"},
    {"too_few_rows.png", "don't inflate to 126 bytes"},
    {"too_many_codes.jpg", "Huffman table of 4080 codes"},
    {"too_many_scans.jpg", "more than 100 scans"},
    {"two_frames.jpg", "two frame headers"},
};

static void check_refused(const char *name, const struct buf *file, const struct buf *expected)
{
    (void)expected;
    struct image image = {0};
    struct error err = {0};
    if (decode_exactly(&image, file->data, file->size, &err))
        fail_msg("%s was read", name);
    assert_int_equal(err.code, ERR_INVALID);
    assert_null(image.rgb);
    for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++)
        if (strcmp(REFUSED[i].name, name) == 0) {
            if (!strstr(err.text, REFUSED[i].reason))
                fail_msg("%s: %s", name, err.text);
            return;
        }
    fail_msg("%s has no row: %s", name, err.text);
}

static void malformed_files_are_refused_with_a_reason(void **state)
{
    (void)state;
    each_file(false, check_refused);
}

static void check_truncated(const char *name, const struct buf *file, const struct buf *expected)
{
    (void)expected;
    for (size_t size = 0; size < file->size; size++) {
        struct image image = {0};
        struct error err = {0};
        if (decode_exactly(&image, file->data, size, &err))
            fail_msg("%s was read from %zu of %zu bytes", name, size, file->size);
        bool has_signature = image_sniff(file->data, size) != IMAGE_UNKNOWN;
        if (!strstr(err.text, has_signature ? "truncated" : "no png, jpeg"))
            fail_msg("%s cut at %zu: %s", name, size, err.text);
        assert_int_equal(err.code, ERR_INVALID);
        assert_null(image.rgb);
    }
}

static void a_file_cut_at_any_byte_is_refused(void **state)
{
    (void)state;
    each_file(true, check_truncated);
}

/* ---- damaged -------------------------------------------------------------------------------- */

static void check_damaged(const char *name, const struct buf *file, const struct buf *expected)
{
    (void)expected;
    static const char FLIPS[] = {0x01, 0x10, (char)0x80, (char)0xFF};
    for (size_t at = 0; at < file->size; at++)
        for (size_t i = 0; i < sizeof(FLIPS); i++) {
            struct image image = {0};
            struct error err = {0};
            file->data[at] ^= FLIPS[i];
            bool done = decode_exactly(&image, file->data, file->size, &err);
            file->data[at] ^= FLIPS[i];
            if (done && strstr(name, ".png"))
                fail_msg("%s was read with byte %zu changed", name, at);
            if (done) {
                assert_in_range(image.width_px, 1, MAX_SIDE_PX);
                assert_in_range(image.height_px, 1, MAX_SIDE_PX);
                assert_non_null(image.rgb);
            } else {
                assert_int_equal(err.code, ERR_INVALID);
                assert_null(image.rgb);
            }
            image_free(&image);
        }
}

static void a_changed_byte_is_refused_in_png_and_harmless_elsewhere(void **state)
{
    (void)state;
    each_file(true, check_damaged);
}

/* What the decoder makes of damage may not depend on what lay in memory before. */
static void check_repeatable(const char *name, const struct buf *file, const struct buf *expected)
{
    (void)expected;
    for (size_t at = 0; at < file->size; at += 3) {
        struct image first = {0}, second = {0};
        file->data[at] ^= 0x21;
        bool done = decode_exactly(&first, file->data, file->size, NULL);
        void *dirt = malloc(1 << 16);
        assert_non_null(dirt);
        memset(dirt, (int)at, 1 << 16);
        free(dirt);
        assert_int_equal(done, decode_exactly(&second, file->data, file->size, NULL));
        file->data[at] ^= 0x21;
        if (done && memcmp(first.rgb, second.rgb,
                           (size_t)first.width_px * (size_t)first.height_px * 3) != 0)
            fail_msg("%s with byte %zu changed has two pictures", name, at);
        image_free(&first);
        image_free(&second);
    }
}

static void damage_gives_the_same_picture_each_time(void **state)
{
    (void)state;
    each_file(true, check_repeatable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_other_programs_give_their_pixels),
        cmocka_unit_test(bytes_behind_the_end_are_ignored),
        cmocka_unit_test(malformed_files_are_refused_with_a_reason),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused),
        cmocka_unit_test(a_changed_byte_is_refused_in_png_and_harmless_elsewhere),
        cmocka_unit_test(damage_gives_the_same_picture_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
