/* Two commands for a machine with a device: selftest compares every operation of the CUDA back end
 * with the CPU and makes one image on both; bench-ops times operations at FLUX.1's shapes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/args.h"
#include "base/json.h"
#include "cuda/selftest.h"
#include "server/backends.h"
#include "server/commands.h"
#include "server/model_dir.h"

struct config {
    struct backends_wish backend;
    const char *json_path;
    int64_t size_px;
    bool wants_help;
};

#define AT(member) offsetof(struct config, member)

static const struct option OPTIONS[] = {
    {"--backend", NULL, NULL, ARG_CHOICE, AT(backend.kind), .choices = BACKENDS_KINDS,
     .help = "back end to test; auto is cuda here (default auto)"},
    {"--device-id", NULL, "N", ARG_INT, AT(backend.device_id), 0, 63,
     .help = "which of several devices (default 0)"},
    {"--dtype", NULL, NULL, ARG_CHOICE, AT(backend.dtype), .choices = BACKENDS_DTYPES,
     .help = "type of activations; auto is bf16 on CUDA (default auto)"},
    {"--json", NULL, "FILE", ARG_STRING, AT(json_path),
     .help = "also write the results as JSON, to attach to a report"},
    {"--help", "-h", NULL, ARG_FLAG, AT(wants_help), .help = "print this text and exit"},
    {"--size", NULL, "PIXELS", ARG_INT, AT(size_px), 64, 4096,
     .help = "side of the image whose shapes are timed (default 1024)"},
};

enum { N_OPTIONS = sizeof OPTIONS / sizeof OPTIONS[0], N_SELFTEST_OPTIONS = N_OPTIONS - 1 };

/* --- results --------------------------------------------------------------------------------- */

struct report {
    struct json *rows; /* owned */
    int n_bad;
};

static void print_comparison(void *context, const struct selftest_result *r)
{
    struct report *report = context;
    printf("%-4s %-12s %-34s error %9.2e of %9.2e\n", r->is_ok ? "ok" : "BAD", r->op, r->shape,
           r->nmse, r->bound);
    struct json *row = json_new_object();
    json_set(row, "op", json_new_string(r->op));
    json_set(row, "shape", json_new_string(r->shape));
    json_set(row, "nmse", json_new_double(r->nmse));
    json_set(row, "bound", json_new_double(r->bound));
    json_set(row, "ok", json_new_bool(r->is_ok));
    json_push(report->rows, row);
    report->n_bad += !r->is_ok;
}

static void print_timing(void *context, const struct selftest_result *r)
{
    struct report *report = context;
    printf("%-12s %-34s %9.3f ms %9.2f TFLOP/s %9.1f GB/s\n", r->op, r->shape, r->seconds * 1e3,
           r->flops / r->seconds / 1e12, r->bytes / r->seconds / 1e9);
    struct json *row = json_new_object();
    json_set(row, "op", json_new_string(r->op));
    json_set(row, "shape", json_new_string(r->shape));
    json_set(row, "seconds", json_new_double(r->seconds));
    json_set(row, "flops", json_new_double(r->flops));
    json_set(row, "bytes", json_new_double(r->bytes));
    json_push(report->rows, row);
}

/* The file of --json: the device and the rows; rows are taken over. */
static bool write_json(const char *path, const char *device, struct report *report,
                       struct error *err)
{
    bool ok = true;
    if (path) {
        struct json *root = json_new_object();
        json_set(root, "version", json_new_string(FLUXBENCH_VERSION));
        json_set(root, "device", json_new_string(device));
        json_set(root, "results", report->rows);
        report->rows = NULL;
        struct buf text = {0};
        json_print(&text, root, 2);
        buf_putc(&text, '\n');
        ok = file_write(path, text.data, text.size, err);
        buf_free(&text);
        json_free(root);
    }
    json_free(report->rows);
    report->rows = NULL;
    return ok;
}

/* --- one image on both ----------------------------------------------------------------------- */

enum { IMAGE_PX = 64, IMAGE_STEPS = 4, IMAGE_BYTES = IMAGE_PX * IMAGE_PX * 3 };

static bool make_image(const struct backends_wish *wish, uint8_t *rgb, struct error *err)
{
    struct buf dir = {0};
    struct backend *b = NULL;
    struct flux *model = NULL;
    struct flux_result result = {0};
    bool ok = model_dir_find(&dir, NULL, MODEL_ALL, err) && backends_open(&b, wish, err) &&
              flux_open(&model, b, dir.data, err);
    if (ok) {
        struct flux_spec spec = flux_spec_default(model);
        spec.prompts = (const char *const[]){"a red fox sitting in tall grass"};
        spec.n_prompts = 1;
        spec.width_px = spec.height_px = IMAGE_PX;
        spec.steps = IMAGE_STEPS;
        spec.seeds = (const uint64_t[]){0};
        spec.n_seeds = 1;
        ok = flux_generate(model, &spec, NULL, &result, err);
    }
    for (size_t i = 0; ok && i < IMAGE_BYTES; i++)
        rgb[i] = result.rgb[i];
    flux_result_free(&result);
    flux_close(model);
    backend_close(b);
    buf_free(&dir);
    return ok;
}

/* The same wish on the device and on the CPU: pictures of the embedded model, level by level. */
static bool compare_images(const struct backends_wish *device, struct report *report,
                           struct error *err)
{
    uint8_t *one = xmalloc(2 * IMAGE_BYTES), *other = one + IMAGE_BYTES;
    struct backends_wish reference = *device;
    reference.kind = BACKENDS_CPU;
    reference.dtype =
        backends_compute(device, true) == DTYPE_F32 ? BACKENDS_DTYPE_F32 : BACKENDS_DTYPE_BF16;
    bool ok = make_image(device, one, err) && make_image(&reference, other, err);
    if (ok) {
        double error = 0, size = 0;
        for (int i = 0; i < IMAGE_BYTES; i++) {
            error += pow((double)one[i] - other[i], 2);
            size += pow(other[i], 2);
        }
        struct selftest_result result = {.op = "image",
                                         .shape = "64x64, 4 steps",
                                         .nmse = error / size,
                                         .bound =
                                             reference.dtype == BACKENDS_DTYPE_F32 ? 1e-6 : 1e-3};
        result.is_ok = result.nmse <= result.bound;
        print_comparison(report, &result);
        ok = result.is_ok || fail(err, ERR_DEVICE, "the image differs from the CPU's");
    }
    free(one);
    return ok;
}

/* --- the commands ---------------------------------------------------------------------------- */

static bool parse(struct config *c, size_t n_options, int argc, char **argv, int first,
                  struct error *err)
{
    if (!args_parse(OPTIONS, n_options, argc, argv, first, c, NULL, NULL, err))
        return false;
    if (c->backend.kind == BACKENDS_CPU) {
        return fail_field(err, "--backend",
                          "--backend cpu: the CPU is what devices are compared with, must be cuda");
    }
    c->backend.kind = BACKENDS_CUDA;
    return true;
}

static int finish(const char *command, bool ok, const struct error *err)
{
    if (ok)
        return 0;
    fprintf(stderr, "fluxserve %s: error: %s\n", command, err->text);
    return error_exit_code(err->code);
}

int command_selftest(int argc, char **argv, int first)
{
    struct config c = {.size_px = 1024};
    struct error err = {0};
    struct report report = {.rows = json_new_array()};
    struct backend *device = NULL, *reference = NULL;
    bool ok = parse(&c, N_SELFTEST_OPTIONS, argc, argv, first, &err);
    if (ok && c.wants_help) {
        args_help("fluxserve selftest [OPTIONS]",
                  "Compare every operation of the CUDA back end with the CPU, then one image.",
                  OPTIONS, N_SELFTEST_OPTIONS);
        json_free(report.rows);
        return 0;
    }
    struct backends_wish cpu = c.backend;
    cpu.kind = BACKENDS_CPU;
    cpu.dtype =
        backends_compute(&c.backend, true) == DTYPE_F32 ? BACKENDS_DTYPE_F32 : BACKENDS_DTYPE_BF16;
    ok = ok && backends_open(&device, &c.backend, &err) && backends_open(&reference, &cpu, &err);
    if (ok) {
        char name[sizeof device->device];
        snprintf(name, sizeof name, "%s", device->device);
        ok = selftest_ops(device, reference, print_comparison, &report, &err);
        ok = compare_images(&c.backend, &report, &err) && ok;
        printf("%d of %zu comparisons failed on %s\n", report.n_bad, json_size(report.rows), name);
        ok = write_json(c.json_path, name, &report, &err) && ok;
    } else {
        backend_close(device);
        json_free(report.rows);
    }
    return finish("selftest", ok, &err);
}

int command_bench_ops(int argc, char **argv, int first)
{
    struct config c = {.size_px = 1024};
    struct error err = {0};
    struct report report = {.rows = json_new_array()};
    struct backend *device = NULL;
    bool ok = parse(&c, N_OPTIONS, argc, argv, first, &err);
    if (ok && c.wants_help) {
        args_help("fluxserve bench-ops [OPTIONS]",
                  "Time the operations of a FLUX.1 step and decoder on a CUDA device.", OPTIONS,
                  N_OPTIONS);
        json_free(report.rows);
        return 0;
    }
    ok = ok && backends_open(&device, &c.backend, &err);
    if (ok) {
        char name[sizeof device->device];
        snprintf(name, sizeof name, "%s", device->device);
        printf("%s\n", name);
        ok = selftest_bench(device, c.size_px, print_timing, &report, &err);
        ok = write_json(c.json_path, name, &report, &err) && ok;
    } else {
        json_free(report.rows);
    }
    return finish("bench-ops", ok, &err);
}
