/* Remedies are found by planning again with each option changed: what is named was computed. */
#include "server/plan_fit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_PARTS = 4 };

bool plan_fit_parse(const char *text, size_t *bytes)
{
    static const struct {
        const char *name;
        double bytes;
    } UNITS[] = {{"", 1},         {"B", 1},    {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30},
                 {"TiB", 0x1p40}, {"KB", 1e3}, {"MB", 1e6},     {"GB", 1e9},     {"TB", 1e12}};
    char *end = NULL;
    double value = isdigit((unsigned char)*text) ? strtod(text, &end) : 0;
    for (size_t i = 0; end && i < sizeof UNITS / sizeof UNITS[0]; i++) {
        double size = value * UNITS[i].bytes;
        if (strcmp(end, UNITS[i].name) == 0 && size >= 1 && size < 0x1p60) {
            *bytes = (size_t)size;
            return true;
        }
    }
    return false;
}

size_t plan_fit_weight_bytes(const struct flux_plan_part *part, enum dtype compute)
{
    bool is_narrowed = part->dtype == DTYPE_F32 && compute == DTYPE_BF16;
    size_t float_bytes = part->weight_bytes - part->quantised_bytes;
    return part->quantised_bytes + (is_narrowed ? float_bytes / 2 : float_bytes);
}

size_t plan_fit_device_bytes(const struct flux_plan_part *part, enum dtype compute)
{
    size_t bytes = plan_fit_weight_bytes(part, compute);
    return bytes > part->streamed_bytes ? bytes - part->streamed_bytes : 0;
}

static size_t total(const struct flux_plan *p, enum dtype compute)
{
    size_t bytes = p->scratch_bytes + p->stream_buffer_bytes;
    for (int i = 0; i < N_PARTS; i++)
        bytes += plan_fit_device_bytes(&p->parts[i], compute);
    return bytes;
}

static bool is_quantised(const struct flux_plan *p)
{
    for (int i = 0; i < N_PARTS; i++) {
        if (p->parts[i].quant != QUANT_NONE)
            return true;
    }
    return false;
}

/* Plan with a changed query, and note its options when that fits. */
static bool try_options(struct plan_fit *fit, const char *model, const struct flux_plan_query *q,
                        const char *options, struct error *err)
{
    struct flux_plan plan;
    if (!flux_plan(model, q, &plan, err))
        return false;
    size_t bytes = total(&plan, q->compute);
    if (bytes <= fit->device_bytes && fit->n_remedies < PLAN_FIT_MAX_REMEDIES) {
        struct plan_remedy *r = &fit->remedies[fit->n_remedies++];
        snprintf(r->options, sizeof r->options, "%s", options);
        r->total_bytes = bytes;
    }
    return true;
}

/* The largest square size that fits, of a few usual ones below the one asked for. */
static bool try_sizes(struct plan_fit *fit, const char *model, const struct flux_plan_query *query,
                      struct error *err)
{
    static const int SIDES_PX[] = {1024, 768, 512, 256};
    int before = fit->n_remedies;
    for (size_t i = 0; i < sizeof SIDES_PX / sizeof SIDES_PX[0]; i++) {
        struct flux_plan_query q = *query;
        struct error unfit = {0};
        char options[32];
        int side = SIDES_PX[i];
        if (side * side >= query->width_px * query->height_px)
            continue;
        q.width_px = q.height_px = side;
        snprintf(options, sizeof options, "--size %dx%d", side, side);
        if (!try_options(fit, model, &q, options, &unfit) && unfit.code != ERR_INVALID)
            return fail(err, unfit.code, "%s", unfit.text);
        if (fit->n_remedies > before)
            return true;
    }
    return true;
}

/* Decoding in the largest tiles that make it fit. */
static bool try_tiles(struct plan_fit *fit, const char *model, const struct flux_plan_query *query,
                      const struct flux_plan *plan, struct error *err)
{
    static const int TILES_PX[] = {1024, 512, 256};
    int before = fit->n_remedies;
    for (size_t i = 0; i < sizeof TILES_PX / sizeof TILES_PX[0]; i++) {
        struct flux_plan_query q = *query;
        struct error unfit = {0};
        char options[32];
        int longest = plan->width_px > plan->height_px ? plan->width_px : plan->height_px;
        int was = plan->vae_tile_px ? plan->vae_tile_px : longest;
        if (TILES_PX[i] >= was)
            continue;
        q.load.memory.vae_tile_px = TILES_PX[i];
        snprintf(options, sizeof options, "--vae-tile-size %d", TILES_PX[i]);
        if (!try_options(fit, model, &q, options, &unfit) && unfit.code != ERR_INVALID)
            return fail(err, unfit.code, "%s", unfit.text);
        if (fit->n_remedies > before)
            return true;
    }
    return true;
}

/* Weights in host memory, added to what is asked for. Of each kind the first way that makes it fit:
 * the transformer stays on the device, as it is or quantised, or it passes by. */
static bool try_offload(struct plan_fit *fit, const char *model,
                        const struct flux_plan_query *query, bool may_quantise, struct error *err)
{
    enum kind { WHOLE, QUANTISED, PASSING, N_KINDS };
    static const struct {
        enum kind kind;
        const char *options;
        bool is_text, is_layers;
        enum quant quant;
        int tile_px;
    } WAYS[] = {
        {WHOLE, "--text-encoder-cpu-offload", true, false, QUANT_NONE, 0},
        {WHOLE, "--text-encoder-cpu-offload --vae-tile-size 512", true, false, QUANT_NONE, 512},
        {QUANTISED, "--quantization fp8 --text-encoder-cpu-offload", true, false, QUANT_FP8, 0},
        {QUANTISED, "--quantization q4 --text-encoder-cpu-offload", true, false, QUANT_Q4, 0},
        {PASSING, "--dit-layerwise-offload", false, true, QUANT_NONE, 0},
        {PASSING, "--text-encoder-cpu-offload --dit-layerwise-offload", true, true, QUANT_NONE, 0},
        {PASSING, "--text-encoder-cpu-offload --dit-layerwise-offload --vae-tile-size 512", true,
         true, QUANT_NONE, 512},
    };
    bool is_found[N_KINDS] = {[QUANTISED] = !may_quantise};
    for (size_t i = 0; i < sizeof WAYS / sizeof WAYS[0]; i++) {
        struct flux_plan_query q = *query;
        struct error unfit = {0};
        int before = fit->n_remedies;
        if (is_found[WAYS[i].kind])
            continue;
        q.load.memory.streams_text_encoders |= WAYS[i].is_text;
        q.load.memory.streams_transformer |= WAYS[i].is_layers;
        if (WAYS[i].quant != QUANT_NONE)
            q.load.quant = WAYS[i].quant;
        if (WAYS[i].tile_px)
            q.load.memory.vae_tile_px = WAYS[i].tile_px;
        if (!try_options(fit, model, &q, WAYS[i].options, &unfit) && unfit.code != ERR_INVALID)
            return fail(err, unfit.code, "%s", unfit.text);
        is_found[WAYS[i].kind] = fit->n_remedies > before;
    }
    return true;
}

static struct flux_plan_query with_layers(const struct flux_plan_query *query,
                                          const struct flux_plan *plan, int64_t n_double)
{
    struct flux_plan_query q = *query;
    q.load.has_layers = true;
    q.load.n_double = n_double;
    q.load.n_single = n_double * plan->n_single / plan->n_double;
    return q;
}

/* As many blocks as fit, doubles and singles in the model's proportion, by halving the range. */
static bool try_layers(struct plan_fit *fit, const char *model, const struct flux_plan_query *query,
                       const struct flux_plan *plan, struct error *err)
{
    int64_t fitting = 0, too_many = plan->n_double;
    while (too_many - fitting > 1) {
        int64_t n = fitting + (too_many - fitting) / 2;
        struct flux_plan_query q = with_layers(query, plan, n);
        struct flux_plan cut;
        if (!flux_plan(model, &q, &cut, err))
            return false;
        if (total(&cut, q.compute) <= fit->device_bytes)
            fitting = n;
        else
            too_many = n;
    }
    if (fitting == 0)
        return true;
    struct flux_plan_query q = with_layers(query, plan, fitting);
    char options[64];
    snprintf(options, sizeof options, "--num-layers %lld,%lld", (long long)q.load.n_double,
             (long long)q.load.n_single);
    return try_options(fit, model, &q, options, err);
}

static bool try_remedies(struct plan_fit *fit, const char *model,
                         const struct flux_plan_query *query, const struct flux_plan *plan,
                         const struct plan_target *target, struct error *err)
{
    struct flux_plan_query q = *query;
    bool may_quantise = target->takes_quantised && !is_quantised(plan);
    if (target->has_host && !try_offload(fit, model, query, may_quantise, err))
        return false;
    if (query->compute == DTYPE_F32) {
        q.compute = DTYPE_BF16;
        if (!try_options(fit, model, &q, "--dtype bf16", err))
            return false;
    }
    for (int i = QUANT_INT8; i <= QUANT_Q4; i++) {
        char options[32];
        q = *query;
        q.load.quant = (enum quant)i;
        snprintf(options, sizeof options, "--quantization %s",
                 dtype_name(quant_dtype(q.load.quant)));
        if (!may_quantise)
            continue;
        if (!try_options(fit, model, &q, options, err))
            return false;
    }
    q = *query;
    if (query->batch > 1) {
        q.batch = 1;
        if (!try_options(fit, model, &q, "--batch 1", err))
            return false;
    }
    return try_tiles(fit, model, query, plan, err) && try_sizes(fit, model, query, err) &&
           try_layers(fit, model, query, plan, err);
}

bool plan_fit(struct plan_fit *fit, const char *model, const struct flux_plan_query *query,
              const struct flux_plan *plan, const struct plan_target *target, struct error *err)
{
    *fit = (struct plan_fit){.device_bytes = target->bytes,
                             .total_bytes = total(plan, query->compute)};
    struct flux_plan_query q = *query;
    q.width_px = plan->width_px;
    q.height_px = plan->height_px;
    return fit->total_bytes <= target->bytes || try_remedies(fit, model, &q, plan, target, err);
}

/* --- output ------------------------------------------------------------------------------------*/

static double gib(size_t bytes) { return (double)bytes / 0x1p30; }

static void print_line(const char *what, size_t bytes, const char *note)
{
    printf("%-18s%10.2f GiB%s%s\n", what, gib(bytes), *note ? "  " : "", note);
}

void plan_fit_print(const struct plan_fit *fit, const struct flux_plan_query *query,
                    const struct flux_plan *plan)
{
    printf("\n");
    print_line("device memory", fit->device_bytes, "");
    for (int i = 0; i < N_PARTS; i++) {
        const struct flux_plan_part *part = &plan->parts[i];
        size_t bytes = plan_fit_device_bytes(part, query->compute);
        bool is_narrowed = part->weight_bytes != plan_fit_weight_bytes(part, query->compute);
        char note[96];
        int n = snprintf(note, sizeof note, "%s%s%s; alone with scratch: %s",
                         part->quant ? dtype_name(quant_dtype(part->quant)) : "",
                         part->quant ? ", the rest " : "",
                         dtype_name(is_narrowed ? query->compute : part->dtype),
                         bytes + plan->scratch_bytes <= fit->device_bytes ? "fits" : "too large");
        if (part->streamed_bytes)
            snprintf(note + n, sizeof note - (size_t)n, "; %.2f GiB in host memory",
                     gib(part->streamed_bytes));
        print_line(part->name, bytes, note);
    }
    if (plan->stream_buffer_bytes)
        print_line("layers passing by", plan->stream_buffer_bytes, "two buffers of the largest");
    print_line("scratch", plan->scratch_bytes, dtype_name(query->compute));
    print_line("total", fit->total_bytes, "without what the device's driver takes for itself");
    if (fit->total_bytes <= fit->device_bytes) {
        print_line("fits, left over", fit->device_bytes - fit->total_bytes, "");
        return;
    }
    print_line("does not fit by", fit->total_bytes - fit->device_bytes, "");
    for (int i = 0; i < fit->n_remedies; i++) {
        printf("would fit with     %s (%.2f GiB)\n", fit->remedies[i].options,
               gib(fit->remedies[i].total_bytes));
    }
    if (fit->n_remedies == 0) {
        printf("no option makes it fit: all parts stay in memory while the model is open\n");
    }
}

void plan_fit_name(const struct plan_fit *fit, struct buf *out)
{
    for (int i = 0; i < fit->n_remedies; i++)
        buf_printf(out, "%s%s", i ? ", or with " : "; it would fit with ",
                   fit->remedies[i].options);
    if (!fit->n_remedies)
        buf_puts(out, "; no option makes it fit");
}

struct json *plan_fit_json(const struct plan_fit *fit)
{
    struct json *root = json_new_object(), *remedies = json_new_array();
    json_set(root, "device_bytes", json_new_int((int64_t)fit->device_bytes));
    json_set(root, "total_bytes", json_new_int((int64_t)fit->total_bytes));
    json_set(root, "fits", json_new_bool(fit->total_bytes <= fit->device_bytes));
    for (int i = 0; i < fit->n_remedies; i++) {
        struct json *remedy = json_new_object();
        json_set(remedy, "options", json_new_string(fit->remedies[i].options));
        json_set(remedy, "total_bytes", json_new_int((int64_t)fit->remedies[i].total_bytes));
        json_push(remedies, remedy);
    }
    json_set(root, "would_fit_with", remedies);
    return root;
}
