/* client/determinism_images: pictures out of files, and their distance. */
#include "client/determinism_images.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"

#define PIXELS 4

static struct image picture(uint8_t *rgb, int width_px, int height_px)
{
    return (struct image){.width_px = width_px, .height_px = height_px, .rgb = rgb};
}

static void distance_is_over_all_channels(void **state)
{
    (void)state;
    uint8_t a[3 * PIXELS] = {0}, b[3 * PIXELS] = {0};
    b[0] = 10; /* one pixel in two channels, another in one */
    b[1] = 20;
    a[11] = 5;
    struct image x = picture(a, 2, 2), y = picture(b, 2, 2);
    struct determinism_distance d = determinism_measure(&x, &y);
    assert_true(d.is_known);
    assert_int_equal(d.max_difference, 20);
    assert_true(d.share == 0.5);
    double want = 10 * log10(255.0 * 255.0 * 12 / (100 + 400 + 25));
    assert_true(fabs(d.psnr_db - want) < 1e-9);
}

static void equal_pixels_are_infinitely_near(void **state)
{
    (void)state;
    uint8_t a[3 * PIXELS] = {1, 2, 3};
    struct image x = picture(a, 4, 1);
    struct determinism_distance d = determinism_measure(&x, &x);
    assert_true(d.is_known && isinf(d.psnr_db) && d.max_difference == 0 && d.share == 0);
}

static void other_sides_have_no_distance(void **state)
{
    (void)state;
    uint8_t a[3 * PIXELS] = {0};
    struct image x = picture(a, 4, 1), y = picture(a, 2, 2), none = {0};
    assert_false(determinism_measure(&x, &y).is_known);
    assert_false(determinism_measure(&x, &none).is_known);
}

/* ---- files ---------------------------------------------------------------------------------- */

#define LINE(phase, prompt, id, more)                                                \
    "{\"metadata\":{\"benchmark_phase\":\"" phase "\",\"conversation_id\":\"" prompt \
    "\",\"x_request_id\":\"" id "\"}," more "}\n"

static void put(const char *dir, const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", dir, name);
    assert_true(file_write(path, text, strlen(text), NULL));
    free(path);
}

static void forget(const char *dir)
{
    static const char *const NAMES[] = {"profile_export.jsonl", "profile_export_raw.jsonl"};
    for (size_t i = 0; i < 2; i++) {
        char *path = xasprintf("%s/%s", dir, NAMES[i]);
        unlink(path);
        free(path);
    }
    rmdir(dir);
}

static void successful_pictures_are_found_by_prompt_and_place(void **state)
{
    (void)state;
    char dir[] = "/tmp/determinism.XXXXXX";
    struct determinism_run r = {0};
    assert_non_null(mkdtemp(dir));
    put(dir, "profile_export.jsonl",
        LINE("warmup", "p0", "w", "\"images\":[{\"sha256\":\"00\"}]")
            LINE("profiling", "p0", "a", "\"images\":[{\"sha256\":\"01\"},{\"sha256\":\"02\"}]")
                LINE("profiling", "p1", "b", "\"images\":[{\"sha256\":\"03\"}],\"error\":{}")
                    LINE("profiling", "p1", "c", "\"images\":[{\"sha256\":\"04\"}]"));
    assert_true(determinism_run_read(&r, dir, NULL));
    assert_int_equal(r.n_pictures, 3);
    assert_string_equal(determinism_run_find(&r, "p0", 1)->sha256, "02");
    assert_string_equal(determinism_run_find(&r, "p1", 0)->request_id, "c");
    assert_null(determinism_run_find(&r, "p1", 1));
    assert_null(determinism_run_find(&r, "p2", 0));
    determinism_run_free(&r);
    forget(dir);
}

static void broken_line_is_named(void **state)
{
    (void)state;
    static const char *const BAD[] = {"{\n", "{}\n", "{\"metadata\":{\"benchmark_phase\":1}}\n"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        char dir[] = "/tmp/determinism.XXXXXX";
        struct determinism_run r = {0};
        struct error err = {0};
        assert_non_null(mkdtemp(dir));
        put(dir, "profile_export.jsonl", BAD[i]);
        assert_false(determinism_run_read(&r, dir, &err));
        assert_non_null(strstr(err.text, "profile_export.jsonl:1"));
        determinism_run_free(&r);
        forget(dir);
    }
}

/* The text of an answer with pictures of one pixel, red 1 and red 2, as a JSON string. */
static char *answer_text(void)
{
    struct buf text = {0};
    buf_puts(&text, "{\\\"data\\\":[");
    for (uint8_t i = 1; i <= 2; i++) {
        uint8_t rgb[3] = {i, 0, 0};
        struct image pixel = picture(rgb, 1, 1);
        struct buf file = {0};
        assert_true(image_encode(&file, &pixel, IMAGE_PNG, 100, NULL));
        buf_printf(&text, "%s{\\\"b64_json\\\":\\\"", i > 1 ? "," : "");
        base64_encode(&text, file.data, file.size);
        buf_puts(&text, "\\\"}");
        buf_free(&file);
    }
    buf_puts(&text, "]}");
    return text.data;
}

static void picture_is_decoded_out_of_the_raw_export(void **state)
{
    (void)state;
    char dir[] = "/tmp/determinism.XXXXXX", *answer = answer_text();
    struct determinism_picture p = {.request_id = "b", .index = 1};
    struct determinism_run r = {.dir = dir};
    struct image image;
    struct error err = {0};
    assert_non_null(mkdtemp(dir));
    char *text = xasprintf(LINE("profiling", "p0", "a", "\"responses\":[]")
                               LINE("profiling", "p0", "b", "\"responses\":[{\"text\":\"%s\"}]"),
                           answer);
    put(dir, "profile_export_raw.jsonl", text);
    assert_true(determinism_run_decode(&r, &p, &image, NULL));
    assert_true(image.width_px == 1 && image.height_px == 1 && image.rgb[0] == 2);
    image_free(&image);
    p.index = 2;
    assert_false(determinism_run_decode(&r, &p, &image, &err));
    assert_non_null(strstr(err.text, "too few pictures"));
    p = (struct determinism_picture){.request_id = "a"};
    assert_false(determinism_run_decode(&r, &p, &image, NULL));
    p = (struct determinism_picture){.request_id = "c"};
    err = (struct error){0};
    assert_false(determinism_run_decode(&r, &p, &image, &err));
    assert_non_null(strstr(err.text, "has no request c"));
    free(text);
    free(answer);
    forget(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distance_is_over_all_channels),
        cmocka_unit_test(equal_pixels_are_infinitely_near),
        cmocka_unit_test(other_sides_have_no_distance),
        cmocka_unit_test(successful_pictures_are_found_by_prompt_and_place),
        cmocka_unit_test(broken_line_is_named),
        cmocka_unit_test(picture_is_decoded_out_of_the_raw_export),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
