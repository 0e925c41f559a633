/* Written straight into one buffer: the base64 text of a large picture is megabytes, which a tree
 * would copy twice. */
#include "server/images_answer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"

enum { MS_PER_S = 1000 };

static void put_name(struct buf *out, const char *name) { buf_printf(out, ",\"%s\":", name); }

static void put_string(struct buf *out, const char *name, const char *value)
{
    put_name(out, name);
    json_print_string(out, value, strlen(value));
}

static void put_int(struct buf *out, const char *name, int64_t value)
{
    put_name(out, name);
    buf_printf(out, "%lld", (long long)value);
}

/* Microseconds are more than the clock is worth; %.6f keeps the text short and readable. */
static void put_seconds(struct buf *out, const char *name, double value)
{
    put_name(out, name);
    buf_printf(out, "%.6f", value);
}

static double denoise_s(const struct flux_result *result)
{
    double sum = 0;
    for (int i = 0; i < result->n_step_times; i++)
        sum += result->step_s[i];
    return sum;
}

/* What no stage accounts for: thread hand-over, noise, conversion to pixels. */
static double other_s(const struct images_answer *a)
{
    double known =
        a->queue_s + a->result->text_s + denoise_s(a->result) + a->result->vae_s + a->encode_s;
    return fmax(a->total_s - known, 0);
}

static void put_data(struct buf *out, const struct images_answer *a)
{
    buf_puts(out, ",\"data\":[");
    for (int i = 0; i < a->result->n_images; i++) {
        buf_puts(out, i ? ",{" : "{");
        if (a->urls) {
            buf_puts(out, "\"url\":");
            json_print_string(out, a->urls[i].data, a->urls[i].size);
        } else {
            buf_puts(out, "\"b64_json\":\"");
            base64_encode(out, a->files[i].data, a->files[i].size);
            buf_putc(out, '"');
        }
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static void put_usage(struct buf *out, int64_t tokens)
{
    long long n = (long long)tokens;
    buf_printf(out,
               ",\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld,\"input_tokens\":%lld,"
               "\"output_tokens\":0,"
               "\"input_tokens_details\":{\"text_tokens\":%lld,\"image_tokens\":0}}",
               n, n, n, n);
}

static void put_timings(struct buf *out, const struct images_answer *a)
{
    const struct flux_result *r = a->result;
    buf_printf(out, ",\"timings\":{\"queue_s\":%.6f", a->queue_s);
    put_seconds(out, "text_encoding_s", r->text_s);
    buf_puts(out, ",\"denoising_steps_s\":[");
    for (int i = 0; i < r->n_step_times; i++)
        buf_printf(out, "%s%.6f", i ? "," : "", r->step_s[i]);
    buf_puts(out, "]");
    put_seconds(out, "vae_decode_s", r->vae_s);
    put_seconds(out, "image_encoding_s", a->encode_s);
    put_seconds(out, "other_s", other_s(a));
    put_seconds(out, "total_s", a->total_s);
    buf_putc(out, '}');
}

void images_answer_write(struct buf *out, const struct images_answer *a)
{
    const struct images_request *q = a->request;
    char size[32];
    snprintf(size, sizeof size, "%dx%d", a->result->width_px, a->result->height_px);
    buf_printf(out, "{\"created\":%lld", (long long)a->created_s);
    put_string(out, "id", a->id);
    put_string(out, "model", a->model);
    put_data(out, a);
    put_int(out, "seed", q->seed);
    put_string(out, "size", size);
    put_string(out, "output_format", image_format_name(q->format));
    if (q->quality)
        put_string(out, "quality", q->quality);
    put_string(out, "background", "opaque");
    put_usage(out, a->result->prompt_tokens);
    put_seconds(out, "inference_time_s", a->result->total_s);
    put_name(out, "peak_memory_mb");
    buf_printf(out, "%.1f", a->peak_memory_mib);
    if (!isnan(a->flops)) {
        put_name(out, "flops");
        json_print_double(out, a->flops);
    }
    put_timings(out, a);
    buf_puts(out, "}\n");
}

/* --- the same numbers in milliseconds ----------------------------------------------------------*/

static void put_stages(struct buf *out, const struct images_answer *a, const char *format,
                       const char *separator)
{
    const struct {
        const char *name;
        double seconds;
    } stages[] = {
        {"queue", a->queue_s},     {"text", a->result->text_s}, {"denoise", denoise_s(a->result)},
        {"vae", a->result->vae_s}, {"encode", a->encode_s},     {"total", a->total_s},
    };
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        buf_printf(out, "%s%s%s%.3f", i ? separator : "", stages[i].name, format,
                   stages[i].seconds * MS_PER_S);
    }
}

void images_answer_timing(struct buf *out, const struct images_answer *a)
{
    put_stages(out, a, ";dur=", ", ");
}

void images_answer_log(struct buf *out, const struct images_answer *a)
{
    put_stages(out, a, "_ms=", " ");
}
