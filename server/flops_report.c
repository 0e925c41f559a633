/* Encoding a picture to start from (image-to-image) is in neither the counts nor the stages. */
#include "server/flops_report.h"

#include <stdio.h>
#include <time.h>

#include "server/backends.h"

enum { CLIP, T5, TRANSFORMER, VAE };

static const double PEAK_SECONDS = 0.5;

double flops_report_cpu_s(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void print_stage(const char *name, double flops, double seconds, double peak)
{
    double rate = seconds > 0 ? flops / seconds : 0;
    fprintf(stderr, "%-8s %10.4f TFLOP in %9.3f s: %8.1f GFLOP/s", name, flops / 1e12, seconds,
            rate / 1e9);
    if (peak > 0)
        fprintf(stderr, ", %5.1f %% of the measured peak", 100 * rate / peak);
    fputc('\n', stderr);
}

bool flops_report(const char *model, const struct flux_load *load, const struct flux_spec *spec,
                  const struct flux_result *result, struct backend *b, double cpu_s,
                  struct error *err)
{
    bool has_cfg = spec->negative_prompts && spec->true_cfg_scale > 1;
    struct flux_plan plan;
    const struct flux_plan_query query = {.width_px = spec->width_px,
                                          .height_px = spec->height_px,
                                          .steps = spec->steps,
                                          .max_sequence_length = spec->max_sequence_length,
                                          .batch = result->n_images,
                                          .with_cfg = has_cfg,
                                          .compute = b->compute,
                                          .load = *load};
    if (!flux_plan(model, &query, &plan, err))
        return false;
    double denoise_s = 0, peak = backends_peak_flops(b, PEAK_SECONDS);
    for (int i = 0; i < result->n_step_times; i++)
        denoise_s += result->step_s[i];
    double n_texts = spec->n_prompts * (has_cfg ? 2.0 : 1.0);
    double text = n_texts * (plan.parts[CLIP].flops + plan.parts[T5].flops);
    double denoise = plan.flops_per_step * result->steps_run;
    double vae = plan.parts[VAE].flops * result->n_images;
    print_stage("text", text, result->text_s, peak);
    print_stage("denoise", denoise, denoise_s, peak);
    print_stage("vae", vae, result->vae_s, peak);
    print_stage("all", text + denoise + vae, result->total_s, peak);
    if (peak > 0 && cpu_s > 0) {
        double rate = (text + denoise + vae) / cpu_s;
        double thread = backends_peak_thread_flops(b, PEAK_SECONDS);
        fprintf(stderr, "measured peak %.1f GFLOP/s: f32 multiply-adds in registers\n", peak / 1e9);
        fprintf(stderr,
                "per second of processor time, %.3f s in all: %.1f GFLOP/s, %.1f %% of the peak's "
                "%.1f\n",
                cpu_s, rate / 1e9, 100 * rate / thread, thread / 1e9);
    }
    return true;
}
