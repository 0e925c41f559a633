#include "client/stages.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FLOPS 1e24
#define MS_PER_S 1000.0
#define MAX_MS 1e12 /* 30 years */

/* The two spellings of each stage; NULL: the header lacks it. */
static const struct {
    const char *member, *header;
} NAMES[N_STAGES] = {
    [STAGE_QUEUE] = {"queue_s", "queue"},  [STAGE_TEXT] = {"text_encoding_s", "text"},
    [STAGE_DENOISE] = {NULL, "denoise"}, /* in the answer: the sum of the steps */
    [STAGE_VAE] = {"vae_decode_s", "vae"}, [STAGE_ENCODE] = {"image_encoding_s", "encode"},
    [STAGE_OTHER] = {"other_s", NULL},     [STAGE_TOTAL] = {"total_s", "total"},
};

/* ---- the header: `queue;dur=1.5, text;desc="x";dur=20` -------------------------------------- */

static void read_entry(struct stages *s, const char *entry, size_t size)
{
    size_t n_name = strcspn(entry, " \t;,=");
    const char *end = entry + size, *dur = entry;
    while (dur < end && strncmp(dur, "dur=", 4) != 0)
        dur++;
    if (dur >= end)
        return;
    char *rest;
    double ms = strtod(dur + 4, &rest);
    if (rest == dur + 4 || rest > end || !(ms >= 0 && ms <= MAX_MS))
        return;
    for (size_t i = 0; i < N_STAGES; i++) {
        const char *name = NAMES[i].header;
        if (name && strlen(name) == n_name && memcmp(entry, name, n_name) == 0)
            s->ms[i] = ms;
    }
}

static void read_header(struct stages *s, const char *text)
{
    while (*text) {
        text += strspn(text, " \t,");
        size_t size = strcspn(text, ",");
        read_entry(s, text, size);
        text += size;
    }
}

/* ---- the answer ----------------------------------------------------------------------------- */

static double read_number(const struct json *object, const char *key, double otherwise)
{
    double value = otherwise;
    json_read_double(object, key, 0, MAX_MS, &value, NULL);
    return value;
}

static void read_steps(struct stages *s, const struct json *list)
{
    if (!list || json_type(list) != JSON_ARRAY || json_size(list) > STAGES_MAX_STEPS)
        return;
    double sum = 0;
    s->step_ms = xcalloc(json_size(list) + 1, sizeof *s->step_ms);
    for (const struct json *step = json_first(list); step; step = json_next(step)) {
        double ms = json_type(step) == JSON_NUMBER ? json_number(step) * MS_PER_S : -1;
        if (!(ms >= 0 && ms <= MAX_MS)) {
            s->n_steps = 0; /* one that is no time spoils all */
            return;
        }
        s->step_ms[s->n_steps++] = ms;
        sum += ms;
    }
    if (s->n_steps > 0)
        s->ms[STAGE_DENOISE] = sum;
}

static void read_answer(struct stages *s, const struct json *answer)
{
    s->inference_s = read_number(answer, "inference_time_s", NAN);
    s->peak_memory_mib = read_number(answer, "peak_memory_mb", NAN);
    json_read_double(answer, "flops", 0, MAX_FLOPS, &s->flops, NULL);
    const struct json *timings = json_get(answer, "timings");
    if (!timings || json_type(timings) != JSON_OBJECT)
        return;
    for (size_t i = 0; i < N_STAGES; i++) {
        double seconds = NAMES[i].member ? read_number(timings, NAMES[i].member, NAN) : NAN;
        if (!isnan(seconds))
            s->ms[i] = seconds * MS_PER_S;
    }
    read_steps(s, json_get(timings, "denoising_steps_s"));
}

struct stages *stages_read(const char *server_timing, const struct json *answer)
{
    struct stages found = {.inference_s = NAN, .peak_memory_mib = NAN, .flops = NAN};
    for (size_t i = 0; i < N_STAGES; i++)
        found.ms[i] = NAN;
    if (server_timing)
        read_header(&found, server_timing);
    if (answer)
        read_answer(&found, answer);
    bool is_told =
        !isnan(found.inference_s) || !isnan(found.peak_memory_mib) || !isnan(found.flops);
    for (size_t i = 0; i < N_STAGES; i++)
        is_told = is_told || !isnan(found.ms[i]);
    if (!is_told) {
        free(found.step_ms);
        return NULL;
    }
    struct stages *s = xmalloc(sizeof *s);
    *s = found;
    return s;
}

void stages_free(struct stages *s)
{
    if (s)
        free(s->step_ms);
    free(s);
}
