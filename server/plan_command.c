/* The plan command: what a model needs at a size, computed by the model code from its configs. */
#include <stdio.h>
#include <string.h>

#include "base/args.h"
#include "base/json.h"
#include "server/backends.h"
#include "server/commands.h"
#include "server/find_model.h"
#include "server/images_api.h"
#include "server/load_options.h"
#include "server/plan_fit.h"

enum { N_PARTS = 4 };

/* What a PCIe 4.0 x16 slot moves from page-locked memory, of 31.5 in theory. */
#define USUAL_BUS_GBS 25.0
/* What NVLink 4 (H100) moves each way. */
#define USUAL_LINK_GBS 450.0
#define GIGA 1e9

struct config {
    const char *model_path, *size, *device_memory;
    int64_t steps, max_sequence_length, batch, n_devices;
    struct load_wish load_wish;
    struct backends_wish backend;
    double bus_gbs, link_gbs;
    bool with_cfg, wants_json, wants_help;
};

#define AT(member) offsetof(struct config, member)

static const struct option OPTIONS[] = {
    {"--model-path", "--model", "DIR", ARG_STRING, AT(model_path),
     .help =
         "model directory or owner/name[@revision] of a hub; its configs are enough. Without it "
         "the embedded small model. FLUX.1-dev's and FLUX.1-schnell's are built in"},
    {"--transformer-path", NULL, "FILE", ARG_STRING, AT(load_wish.transformer_path),
     .help = TRANSFORMER_PATH_HELP},
    {"--vae-path", NULL, "FILE", ARG_STRING, AT(load_wish.vae_path), .help = VAE_PATH_HELP},
    {"--load-format", NULL, NULL, ARG_CHOICE, AT(load_wish.format), .choices = LOAD_FORMATS,
     .help = "auto counts weights in the configs' types, dummy in those that random weights are "
             "made in: bf16 under --dtype bf16 (default auto)"},
    {"--num-layers", NULL, "D,S", ARG_STRING, AT(load_wish.num_layers), .help = NUM_LAYERS_HELP},
    {"--quantization", NULL, NULL, ARG_CHOICE, AT(load_wish.quantization), .choices = QUANTIZATIONS,
     .help = QUANTIZATION_HELP},
    {"--size", NULL, "WxH", ARG_STRING, AT(size),
     .help = "size of the image in pixels (default: the model's)"},
    {"--steps", "--num-inference-steps", "N", ARG_INT, AT(steps), 1, FLUX_MAX_STEPS,
     .help = "denoising steps (default: the model's)"},
    {"--max-sequence-length", NULL, "N", ARG_INT, AT(max_sequence_length), 1, FLUX_MAX_SEQUENCE,
     .help = "T5 tokens (default: the model's)"},
    {"--batch", NULL, "N", ARG_INT, AT(batch), 1, FLUX_MAX_ROWS,
     .help = "images denoised together (default 1)"},
    {"--cfg", NULL, NULL, ARG_FLAG, AT(with_cfg),
     .help = "with classifier-free guidance, which calls the transformer twice a step"},
    {"--dtype", NULL, NULL, ARG_CHOICE, AT(backend.dtype), .choices = BACKENDS_DTYPES,
     .help = "type of activations; auto is f32 (default auto)"},
    {"--text-encoder-cpu-offload", NULL, NULL, ARG_FLAG, AT(load_wish.offloads_text),
     .help = TEXT_OFFLOAD_HELP},
    {"--dit-layerwise-offload", NULL, NULL, ARG_FLAG, AT(load_wish.offloads_layers),
     .help = LAYERWISE_OFFLOAD_HELP},
    {"--pin-cpu-memory", NULL, NULL, ARG_FLAG, AT(load_wish.pins), .help = PIN_HELP},
    {"--vae-tiling", NULL, NULL, ARG_FLAG, AT(load_wish.tiles_vae), .help = VAE_TILING_HELP},
    {"--vae-tile-size", NULL, "PIXELS", ARG_INT, AT(load_wish.vae_tile_px), 1, FLUX_MAX_SIDE_PX,
     .help = VAE_TILE_SIZE_HELP},
    {"--bus-rate", NULL, "GB/S", ARG_DOUBLE, AT(bus_gbs), 0.001, 10000,
     .help =
         "how fast the device copies from host memory, for the time that offloaded weights take "
         "(default 25: PCIe 4.0 x16, page-locked)"},
    {"--ulysses-degree", NULL, "N", ARG_INT, AT(n_devices), 1, SHARE_MAX,
     .help = "devices that make each image together: weights, scratch and work of one of them, and "
             "what it sends to the others (default 1)"},
    {"--link-rate", NULL, "GB/S", ARG_DOUBLE, AT(link_gbs), 0.001, 10000,
     .help = "how fast a device sends to another one (default 450: NVLink 4)"},
    {"--device-memory", NULL, "SIZE", ARG_STRING, AT(device_memory),
     .help = "say whether it fits into so much memory, as in 24GiB or 80GB, and what would fit"},
    {"--json", NULL, NULL, ARG_FLAG, AT(wants_json), .help = "print one JSON object"},
    {"--help", "-h", NULL, ARG_FLAG, AT(wants_help), .help = "print this text and exit"},
};

enum { N_OPTIONS = sizeof OPTIONS / sizeof OPTIONS[0] };

/* --- output ------------------------------------------------------------------------------------*/

/* "74.38 TFLOP", "22.2 GiB": three to four digits and a prefix. */
static void print_scaled(double value, double base, const char *const prefixes[], const char *unit)
{
    int power = 0;
    while (value >= base && power < 5) {
        value /= base;
        power++;
    }
    char text[48];
    snprintf(text, sizeof text, "%.*f %s%s", power ? 2 : 0, value, prefixes[power], unit);
    printf("%14s", text);
}

static void print_flops(double flops)
{
    static const char *const PREFIXES[] = {"", "K", "M", "G", "T", "P"};
    print_scaled(flops, 1000, PREFIXES, "FLOP");
}

static void print_bytes(double bytes)
{
    static const char *const PREFIXES[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi"};
    print_scaled(bytes, 1024, PREFIXES, "B");
}

static void print_row(const char *name, int64_t n_parameters, size_t weight_bytes)
{
    printf("%-18s%16lld", name, (long long)n_parameters);
    print_bytes((double)weight_bytes);
}

/* What passes from host memory to the device, and how long it takes at so many GB/s. */
static void print_streams(const struct flux_plan_query *q, const struct flux_plan *p,
                          double bus_gbs)
{
    double per_run = p->streamed_bytes_per_run, per_step = p->streamed_bytes_per_step;
    printf("\nin host memory     ");
    print_bytes((double)p->streamed_bytes);
    printf("%s\non device for it   ", q->load.memory.is_pinned ? "  page-locked" : "");
    print_bytes((double)p->stream_buffer_bytes);
    printf("  two buffers of the largest layer\ncopied per step    ");
    print_bytes(per_step);
    printf("  %.3f s at %g GB/s\ncopied per image   ", per_step / bus_gbs / GIGA, bus_gbs);
    print_bytes(per_run / q->batch);
    printf("  %.3f s; beside computing%s\n", per_run / q->batch / bus_gbs / GIGA,
           q->load.memory.is_pinned ? "" : ", slower without --pin-cpu-memory");
}

/* What a device sends, and how long that takes at so many GB/s. */
static void print_team(const struct flux_plan_query *q, const struct flux_plan *p, double link_gbs)
{
    printf("\ndevices per image  %14d  figures are of the first\nsent per step      ",
           q->n_devices);
    print_bytes(p->exchanged_bytes_per_step);
    printf("  %.6f s at %g GB/s\n", p->exchanged_bytes_per_step / link_gbs / GIGA, link_gbs);
}

static void print_table(const char *dir, const struct flux_plan_query *q, const struct flux_plan *p,
                        double bus_gbs, double link_gbs)
{
    printf("model              %s\n", dir);
    printf("image              %dx%d, ", p->width_px, p->height_px);
    printf("%d steps, batch %d, %s", p->steps, q->batch, dtype_name(q->compute));
    if (p->vae_tile_px)
        printf(", tiles of %d pixels", p->vae_tile_px);
    printf("\n\n");
    printf("%-18s%16s%14s%14s\n", "part", "parameters", "weights", "one call");
    for (int i = 0; i < N_PARTS; i++) {
        print_row(p->parts[i].name, p->parts[i].n_parameters, p->parts[i].weight_bytes);
        print_flops(p->parts[i].flops);
        enum quant quant = p->parts[i].quant;
        printf("%s%s\n", quant ? "  " : "", quant ? dtype_name(quant_dtype(quant)) : "");
    }
    print_row("all", p->n_parameters, p->weight_bytes);
    printf("\n\nper step           ");
    print_flops(p->flops_per_step);
    printf("\nper image          ");
    print_flops(p->flops_per_image);
    printf("\nscratch            ");
    print_bytes((double)p->scratch_bytes);
    printf("\nmoved per step     ");
    print_bytes(p->bytes_moved_per_step);
    printf("\n");
    if (p->streamed_bytes)
        print_streams(q, p, bus_gbs);
    if (q->n_devices > 1)
        print_team(q, p, link_gbs);
}

/* fit may be NULL. */
static void print_json(const struct flux_plan_query *q, const struct flux_plan *p, double bus_gbs,
                       const struct plan_fit *fit)
{
    struct json *root = json_new_object(), *parts = json_new_object();
    for (int i = 0; i < N_PARTS; i++) {
        struct json *part = json_new_object();
        json_set(part, "parameters", json_new_int(p->parts[i].n_parameters));
        json_set(part, "weight_bytes", json_new_int((int64_t)p->parts[i].weight_bytes));
        json_set(part, "weight_dtype", json_new_string(dtype_name(p->parts[i].dtype)));
        if (p->parts[i].quant != QUANT_NONE)
            json_set(part, "quantization",
                     json_new_string(dtype_name(quant_dtype(p->parts[i].quant))));
        json_set(part, "flops", json_new_double(p->parts[i].flops));
        json_set(parts, p->parts[i].name, part);
    }
    json_set(root, "parts", parts);
    json_set(root, "steps", json_new_int(p->steps));
    json_set(root, "vae_tile_size", json_new_int(p->vae_tile_px));
    json_set(root, "parameters", json_new_int(p->n_parameters));
    json_set(root, "weight_bytes", json_new_int((int64_t)p->weight_bytes));
    json_set(root, "scratch_bytes", json_new_int((int64_t)p->scratch_bytes));
    json_set(root, "flops_per_step", json_new_double(p->flops_per_step));
    json_set(root, "flops_per_image", json_new_double(p->flops_per_image));
    json_set(root, "bytes_moved_per_step", json_new_double(p->bytes_moved_per_step));
    json_set(root, "ulysses_degree", json_new_int(q->n_devices));
    json_set(root, "sent_bytes_per_step", json_new_double(p->exchanged_bytes_per_step));
    json_set(root, "streamed_bytes", json_new_int((int64_t)p->streamed_bytes));
    json_set(root, "stream_buffer_bytes", json_new_int((int64_t)p->stream_buffer_bytes));
    json_set(root, "copied_bytes_per_step", json_new_double(p->streamed_bytes_per_step));
    json_set(root, "copied_bytes_per_image", json_new_double(p->streamed_bytes_per_run / q->batch));
    json_set(root, "copy_s_per_image",
             json_new_double(p->streamed_bytes_per_run / q->batch / bus_gbs / GIGA));
    if (fit)
        json_set(root, "device_memory", plan_fit_json(fit));
    struct buf text = {0};
    json_print(&text, root, 2);
    puts(text.data);
    buf_free(&text);
    json_free(root);
}

/* --- the command -------------------------------------------------------------------------------*/

static bool plan(const struct config *c, struct error *err)
{
    struct flux_plan_query query = {.steps = (int)c->steps,
                                    .max_sequence_length = (int)c->max_sequence_length,
                                    .batch = (int)c->batch,
                                    .n_devices = (int)c->n_devices,
                                    .with_cfg = c->with_cfg,
                                    .compute = backends_compute(&c->backend, false)};
    if (c->size && !images_parse_size(c->size, &query.width_px, &query.height_px)) {
        return fail_field(err, "--size", "--size is '%s': must be WIDTHxHEIGHT, as in 1024x1024",
                          c->size);
    }
    if (!load_options_read(&query.load, &c->load_wish, err))
        return false;
    struct plan_target target = {.has_host = true, .takes_quantised = true};
    if (c->device_memory && !plan_fit_parse(c->device_memory, &target.bytes)) {
        return fail_field(err, "--device-memory",
                          "--device-memory '%s': must be a size above 0, as in 24GiB or 80GB",
                          c->device_memory);
    }
    struct buf dir = {0};
    struct flux_plan result = {0};
    struct plan_fit fit = {0};
    bool ok = find_model(&dir, c->model_path, MODEL_CONFIGS, err) &&
              flux_plan(dir.data, &query, &result, err) &&
              (!target.bytes || plan_fit(&fit, dir.data, &query, &result, &target, err));
    if (ok && c->wants_json)
        print_json(&query, &result, c->bus_gbs, target.bytes ? &fit : NULL);
    else if (ok)
        print_table(dir.data, &query, &result, c->bus_gbs, c->link_gbs);
    if (ok && !c->wants_json && target.bytes)
        plan_fit_print(&fit, &query, &result);
    buf_free(&dir);
    return ok;
}

int command_plan(int argc, char **argv, int first)
{
    struct config c = {
        .batch = 1, .n_devices = 1, .bus_gbs = USUAL_BUS_GBS, .link_gbs = USUAL_LINK_GBS};
    struct error err = {0};
    bool ok = args_parse(OPTIONS, N_OPTIONS, argc, argv, first, &c, NULL, NULL, &err);
    if (ok && c.wants_help) {
        args_help("fluxserve plan [OPTIONS]",
                  "Print parameters, FLOPs and memory of a model without loading weights.", OPTIONS,
                  N_OPTIONS);
        return 0;
    }
    if (ok && plan(&c, &err))
        return 0;
    fprintf(stderr, "fluxserve plan: error: %s\n", err.text);
    return error_exit_code(err.code);
}
