/* image/: names and signatures, and pictures that go out and come back. */
#include "image/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static const enum image_format WRITABLE[] = {IMAGE_PNG, IMAGE_JPEG, IMAGE_WEBP};
static const int SIZES[][2] = {{1, 1}, {1, 37}, {37, 1}, {17, 9}, {64, 48}, {255, 3}, {8, 8}};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* Slopes with noise of the given strength; the caller frees it. */
static struct image picture(int width_px, int height_px, unsigned noise)
{
    struct image image = {.width_px = width_px, .height_px = height_px};
    image.rgb = xmalloc((size_t)width_px * (size_t)height_px * 3);
    uint32_t state = 12345;
    uint8_t *p = image.rgb;
    for (int y = 0; y < height_px; y++)
        for (int x = 0; x < width_px; x++)
            for (int c = 0; c < 3; c++) {
                state = state * 1664525u + 1013904223u;
                unsigned slope = c == 0 ? (unsigned)x : c == 1 ? (unsigned)y : (unsigned)(x + y);
                *p++ = (uint8_t)((20 + slope / 2 + (state >> 24) * noise / 256) % 256);
            }
    return image;
}

static size_t bytes_of(const struct image *image)
{
    return (size_t)image->width_px * (size_t)image->height_px * 3;
}

static void check_same(const struct image *a, const struct image *b)
{
    assert_int_equal(a->width_px, b->width_px);
    assert_int_equal(a->height_px, b->height_px);
    assert_memory_equal(a->rgb, b->rgb, bytes_of(a));
}

static double mean_difference(const struct image *a, const struct image *b)
{
    assert_int_equal(a->width_px, b->width_px);
    assert_int_equal(a->height_px, b->height_px);
    if (!a->rgb || !b->rgb)
        return 255;
    double sum = 0;
    for (size_t i = 0; i < bytes_of(a); i++)
        sum += abs(a->rgb[i] - b->rgb[i]);
    return sum / (double)bytes_of(a);
}

/* Encode and decode; the caller frees the result. */
static struct image round_trip(const struct image *image, enum image_format format, int quality)
{
    struct buf file = {0};
    struct error err = {0};
    struct image back = {0};
    if (!image_encode(&file, image, format, quality, &err) ||
        !image_decode(&back, file.data, file.size, 4096, &err))
        fail_msg("%s", err.text);
    assert_int_equal(image_sniff(file.data, file.size), format);
    buf_free(&file);
    return back;
}

/* ---- names ---------------------------------------------------------------------------------- */

static void formats_have_names_extensions_and_types(void **state)
{
    (void)state;
    assert_string_equal(image_format_name(IMAGE_JPEG), "jpeg");
    assert_string_equal(image_format_extension(IMAGE_JPEG), "jpg");
    assert_string_equal(image_format_mime(IMAGE_JPEG), "image/jpeg");
    assert_string_equal(image_format_extension(IMAGE_PNG), "png");
    assert_string_equal(image_format_mime(IMAGE_WEBP), "image/webp");
    assert_string_equal(image_format_mime(IMAGE_GIF), "image/gif");
    assert_string_equal(image_format_mime(IMAGE_BMP), "image/bmp");
    assert_string_equal(image_format_extension(IMAGE_UNKNOWN), "bin");
}

static void format_names_parse_in_any_case(void **state)
{
    (void)state;
    assert_int_equal(image_format_parse("png"), IMAGE_PNG);
    assert_int_equal(image_format_parse("JPEG"), IMAGE_JPEG);
    assert_int_equal(image_format_parse("jpg"), IMAGE_JPEG);
    assert_int_equal(image_format_parse("WebP"), IMAGE_WEBP);
    assert_int_equal(image_format_parse("gif"), IMAGE_UNKNOWN);
    assert_int_equal(image_format_parse("pn"), IMAGE_UNKNOWN);
    assert_int_equal(image_format_parse(""), IMAGE_UNKNOWN);
}

static void signatures_are_sniffed_and_look_alikes_are_not(void **state)
{
    (void)state;
    assert_int_equal(image_sniff("\x89PNG\r\n\x1a\n", 8), IMAGE_PNG);
    assert_int_equal(image_sniff("\x89PNG\r\n\x1a\n", 7), IMAGE_UNKNOWN);
    assert_int_equal(image_sniff("\xff\xd8\xff\xe0", 4), IMAGE_JPEG);
    assert_int_equal(image_sniff("RIFF\0\0\0\0WEBP", 12), IMAGE_WEBP);
    assert_int_equal(image_sniff("RIFF\0\0\0\0WAVE", 12), IMAGE_UNKNOWN);
    assert_int_equal(image_sniff("GIF87a", 6), IMAGE_GIF);
    assert_int_equal(image_sniff("GIF89a", 6), IMAGE_GIF);
    assert_int_equal(image_sniff("GIF90a", 6), IMAGE_UNKNOWN);
    assert_int_equal(image_sniff("BM\1\0\0\0\0\0\0\0", 10), IMAGE_BMP);
    assert_int_equal(image_sniff("BMW is a car", 12), IMAGE_UNKNOWN);
    assert_int_equal(image_sniff("", 0), IMAGE_UNKNOWN);
    assert_int_equal(image_sniff("{\"error\":1}", 11), IMAGE_UNKNOWN);
}

/* ---- round trips ---------------------------------------------------------------------------- */

static void png_returns_every_pixel(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(SIZES); i++) {
        struct image image = picture(SIZES[i][0], SIZES[i][1], i % 2 ? 256 : 8);
        struct image back = round_trip(&image, IMAGE_PNG, 1);
        check_same(&image, &back);
        image_free(&back);
        image_free(&image);
    }
}

static void webp_at_100_returns_every_pixel(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(SIZES); i++) {
        struct image image = picture(SIZES[i][0], SIZES[i][1], i % 2 ? 256 : 8);
        struct image back = round_trip(&image, IMAGE_WEBP, 100);
        check_same(&image, &back);
        image_free(&back);
        image_free(&image);
    }
}

static void lossy_formats_return_nearly_the_picture(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(SIZES); i++) {
        struct image image = picture(SIZES[i][0], SIZES[i][1], 8);
        for (size_t f = 1; f < COUNT(WRITABLE); f++) {
            struct image back = round_trip(&image, WRITABLE[f], 95);
            assert_true(mean_difference(&image, &back) < 5);
            image_free(&back);
        }
        image_free(&image);
    }
}

static void lower_quality_gives_smaller_files(void **state)
{
    (void)state;
    struct image image = picture(128, 128, 64);
    for (size_t f = 1; f < COUNT(WRITABLE); f++) {
        struct buf low = {0}, high = {0};
        assert_true(image_encode(&low, &image, WRITABLE[f], 20, NULL));
        assert_true(image_encode(&high, &image, WRITABLE[f], 95, NULL));
        assert_true(low.size < high.size);
        buf_free(&low);
        buf_free(&high);
    }
    image_free(&image);
}

static void equal_pictures_give_equal_files_behind_what_was_there(void **state)
{
    (void)state;
    struct image image = picture(65, 33, 64), twin = picture(65, 33, 64);
    for (size_t f = 0; f < COUNT(WRITABLE); f++)
        for (int quality = 50; quality <= 100; quality += 25) {
            struct buf a = {0}, b = {0};
            buf_puts(&a, "head");
            assert_true(image_encode(&a, &image, WRITABLE[f], quality, NULL));
            assert_true(image_encode(&b, &twin, WRITABLE[f], quality, NULL));
            assert_int_equal(a.size, b.size + 4);
            assert_memory_equal(a.data, "head", 4);
            assert_memory_equal(a.data + 4, b.data, b.size);
            buf_free(&a);
            buf_free(&b);
        }
    image_free(&twin);
    image_free(&image);
}

static void probe_reads_the_size(void **state)
{
    (void)state;
    struct image image = picture(19, 7, 8);
    for (size_t f = 0; f < COUNT(WRITABLE); f++) {
        struct buf file = {0};
        assert_true(image_encode(&file, &image, WRITABLE[f], 90, NULL));
        int width = 0, height = 0;
        assert_true(image_probe(file.data, file.size, &width, &height, NULL));
        assert_int_equal(width, 19);
        assert_int_equal(height, 7);
        buf_free(&file);
    }
    image_free(&image);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void a_side_beyond_the_limit_is_refused_with_both_sizes(void **state)
{
    (void)state;
    struct image image = picture(10, 21, 8);
    for (size_t f = 0; f < COUNT(WRITABLE); f++) {
        struct buf file = {0};
        assert_true(image_encode(&file, &image, WRITABLE[f], 90, NULL));
        struct image back = {0};
        struct error err = {0};
        assert_false(image_decode(&back, file.data, file.size, 20, &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.text, "10x21"));
        assert_non_null(strstr(err.text, "20"));
        assert_null(back.rgb);
        assert_true(image_decode(&back, file.data, file.size, 21, NULL));
        image_free(&back);
        buf_free(&file);
    }
    image_free(&image);
}

static void quality_outside_1_to_100_is_refused(void **state)
{
    (void)state;
    struct image image = picture(4, 4, 8);
    static const int BAD[] = {0, -1, 101};
    for (size_t i = 0; i < COUNT(BAD); i++) {
        struct buf file = {0};
        struct error err = {0};
        assert_false(image_encode(&file, &image, IMAGE_JPEG, BAD[i], &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_int_equal(file.size, 0);
        buf_free(&file);
    }
    image_free(&image);
}

static void formats_that_are_only_read_are_not_written(void **state)
{
    (void)state;
    struct image image = picture(4, 4, 8);
    static const enum image_format BAD[] = {IMAGE_GIF, IMAGE_BMP, IMAGE_UNKNOWN};
    for (size_t i = 0; i < COUNT(BAD); i++) {
        struct buf file = {0};
        struct error err = {0};
        assert_false(image_encode(&file, &image, BAD[i], 90, &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.text, "png, jpeg or webp"));
    }
    image_free(&image);
}

static void sides_too_long_for_a_format_are_refused(void **state)
{
    (void)state;
    struct image image = picture(1, 66000, 8);
    for (size_t f = 1; f < COUNT(WRITABLE); f++) {
        struct buf file = {0};
        struct error err = {0};
        assert_false(image_encode(&file, &image, WRITABLE[f], 90, &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.text, "1x66000"));
        assert_int_equal(file.size, 0);
        buf_free(&file);
    }
    image_free(&image);
}

static void bytes_of_no_picture_are_refused(void **state)
{
    (void)state;
    struct image back = {0};
    struct error err = {0};
    int width, height;
    assert_false(image_decode(&back, "not a picture", 13, 100, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_false(image_decode(&back, NULL, 0, 100, NULL));
    assert_false(image_probe("not a picture", 13, &width, &height, NULL));
}

static void image_free_leaves_an_empty_image(void **state)
{
    (void)state;
    struct image image = picture(3, 3, 8);
    image_free(&image);
    assert_null(image.rgb);
    assert_int_equal(image.width_px, 0);
    image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_have_names_extensions_and_types),
        cmocka_unit_test(format_names_parse_in_any_case),
        cmocka_unit_test(signatures_are_sniffed_and_look_alikes_are_not),
        cmocka_unit_test(png_returns_every_pixel),
        cmocka_unit_test(webp_at_100_returns_every_pixel),
        cmocka_unit_test(lossy_formats_return_nearly_the_picture),
        cmocka_unit_test(lower_quality_gives_smaller_files),
        cmocka_unit_test(equal_pictures_give_equal_files_behind_what_was_there),
        cmocka_unit_test(probe_reads_the_size),
        cmocka_unit_test(a_side_beyond_the_limit_is_refused_with_both_sizes),
        cmocka_unit_test(quality_outside_1_to_100_is_refused),
        cmocka_unit_test(formats_that_are_only_read_are_not_written),
        cmocka_unit_test(sides_too_long_for_a_format_are_refused),
        cmocka_unit_test(bytes_of_no_picture_are_refused),
        cmocka_unit_test(image_free_leaves_an_empty_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
