#include "client/report_html_images.h"

#include <stdlib.h>

#include "base/base64.h"
#include "client/report.h"
#include "client/report_html_chart.h"

#define THUMBNAIL_QUALITY 82
#define MAX_PROMPT 600 /* characters */

/* ---- shrinking ------------------------------------------------------------------------------ */

/* Mean of the pixels of `from` that pixel (x, y) of `to` covers. */
static void average(const struct image *from, const struct image *to, int x, int y, uint8_t *rgb)
{
    int x0 = (int)((int64_t)x * from->width_px / to->width_px);
    int x1 = (int)((int64_t)(x + 1) * from->width_px / to->width_px);
    int y0 = (int)((int64_t)y * from->height_px / to->height_px);
    int y1 = (int)((int64_t)(y + 1) * from->height_px / to->height_px);
    x1 = x1 > x0 ? x1 : x0 + 1;
    y1 = y1 > y0 ? y1 : y0 + 1;
    uint64_t sum[3] = {0}, n = (uint64_t)(x1 - x0) * (uint64_t)(y1 - y0);
    for (int v = y0; v < y1; v++) {
        const uint8_t *row = from->rgb + (size_t)v * (size_t)from->width_px * 3;
        for (int u = x0; u < x1; u++) {
            for (int c = 0; c < 3; c++)
                sum[c] += row[3 * u + c];
        }
    }
    for (int c = 0; c < 3; c++)
        rgb[c] = (uint8_t)((sum[c] + n / 2) / n);
}

static bool shrink(const struct image *pixels, struct buf *out)
{
    int longest = pixels->width_px > pixels->height_px ? pixels->width_px : pixels->height_px;
    double scale =
        longest > REPORT_HTML_THUMBNAIL_PX ? (double)REPORT_HTML_THUMBNAIL_PX / (double)longest : 1;
    struct image small = {.width_px = (int)(pixels->width_px * scale + 0.5),
                          .height_px = (int)(pixels->height_px * scale + 0.5)};
    small.width_px = small.width_px > 0 ? small.width_px : 1;
    small.height_px = small.height_px > 0 ? small.height_px : 1;
    small.rgb = xmalloc((size_t)small.width_px * (size_t)small.height_px * 3);
    for (int y = 0; y < small.height_px; y++) {
        for (int x = 0; x < small.width_px; x++)
            average(pixels, &small, x, y,
                    small.rgb + 3 * ((size_t)y * (size_t)small.width_px + (size_t)x));
    }
    bool ok = image_encode(out, &small, IMAGE_JPEG, THUMBNAIL_QUALITY, NULL);
    image_free(&small);
    return ok;
}

/* ---- collecting ----------------------------------------------------------------------------- */

static bool is_shown_as_it_is(enum image_format format, size_t size)
{
    bool is_known = format == IMAGE_PNG || format == IMAGE_JPEG || format == IMAGE_WEBP;
    return is_known && size <= REPORT_HTML_SMALL_FILE;
}

/* Take a picture, with its text, unless there is no room for it. */
static void add(struct report_html_images *images, struct report_html_image *image,
                const char *prompt)
{
    struct buf cut = {0};
    images->is_full = images->text_bytes + image->text.size > REPORT_HTML_MAX_IMAGE_TEXT;
    if (images->is_full || image->text.size == 0) {
        buf_free(&image->text);
        return;
    }
    images->text_bytes += image->text.size;
    if (prompt)
        report_clean_text(&cut, prompt, MAX_PROMPT);
    image->prompt = cut.data;
    images->items = xrealloc(images->items, (images->n_items + 1) * sizeof *images->items);
    images->items[images->n_items++] = *image;
}

void report_html_images_add(struct report_html_images *images, const void *file, size_t size,
                            const struct image *pixels, const char *prompt, double latency_ms)
{
    struct report_html_image image = {
        .width_px = pixels->width_px, .height_px = pixels->height_px, .latency_ms = latency_ms};
    struct buf small = {0};
    enum image_format format = image_sniff(file, size);
    images->is_full |= images->n_items == REPORT_HTML_MAX_IMAGES;
    if (images->is_full)
        return;
    if (is_shown_as_it_is(format, size)) {
        image.mime = image_format_mime(format);
        base64_encode(&image.text, file, size);
    } else if (shrink(pixels, &small)) {
        image.mime = image_format_mime(IMAGE_JPEG);
        base64_encode(&image.text, small.data, small.size);
    }
    buf_free(&small);
    add(images, &image, prompt);
}

void report_html_images_repeat(struct report_html_images *images, size_t i, const char *prompt,
                               double latency_ms)
{
    images->is_full |= images->n_items == REPORT_HTML_MAX_IMAGES;
    if (images->is_full)
        return;
    struct report_html_image image = images->items[i];
    image.latency_ms = latency_ms;
    image.text = (struct buf){0};
    buf_append(&image.text, images->items[i].text.data, images->items[i].text.size);
    add(images, &image, prompt);
}

void report_html_images_free(struct report_html_images *images)
{
    for (size_t i = 0; i < images->n_items; i++) {
        free(images->items[i].prompt);
        buf_free(&images->items[i].text);
    }
    free(images->items);
    *images = (struct report_html_images){0};
}

/* ---- printing ------------------------------------------------------------------------------- */

static void print_image(struct buf *out, const struct report_html_image *image)
{
    const char *prompt = image->prompt ? image->prompt : "";
    buf_puts(out, "<figure title=\"");
    report_html_escape(out, prompt);
    buf_printf(out, "\"><img alt=\"\" src=\"data:%s;base64,", image->mime);
    buf_append(out, image->text.data, image->text.size);
    buf_puts(out, "\"><figcaption><p>");
    report_html_escape(out, prompt);
    buf_printf(out, "</p><small>%d × %d · ", image->width_px, image->height_px);
    report_html_number(out, image->latency_ms);
    buf_puts(out, " ms</small></figcaption></figure>\n");
}

static void put_counted(struct buf *out, const char *before, size_t n, const char *after)
{
    buf_puts(out, before);
    report_html_number(out, (double)n);
    buf_puts(out, after);
}

void report_html_images_print(struct buf *out, const struct report_html_images *images,
                              size_t n_all)
{
    if (n_all == 0 && images->n_items == 0)
        return;
    buf_puts(out, "<h2>Images</h2>\n<p class=\"about\">");
    if (images->n_items == 0) {
        put_counted(out, "None of the ", n_all,
                    " images is shown: only the raw export keeps them.");
    } else if (n_all <= images->n_items) {
        put_counted(out, "All ", images->n_items, " images of the run.");
    } else {
        put_counted(out, "The first ", images->n_items, " of ");
        put_counted(out, "", n_all, " images; ");
        put_counted(out, "", n_all - images->n_items, " are left out.");
    }
    buf_puts(out, "</p>\n<div class=\"gallery\">\n");
    for (size_t i = 0; i < images->n_items; i++)
        print_image(out, &images->items[i]);
    buf_puts(out, "</div>\n");
}
