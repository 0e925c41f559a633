/* client/gpu, client/devices, client/physics and client/self_load: energy, peaks, and what can't
 * be. */
#include "client/physics.h"

#include "client/devices.h"
#include "client/self_load.h"
#include "tests/client/run_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#define S INT64_C(1000000000)

static void near(double got, double want)
{
    if (isnan(want) ? !isnan(got) : !(fabs(got - want) < 1e-9 * fmax(1, fabs(want))))
        fail_msg("got %.17g, want %.17g", got, want);
}

/* ---- GPUs ----------------------------------------------------------------------------------- */

static void dcgm_is_read_in_units_of_aiperf(void **state)
{
    (void)state;
    struct gpus g = {0};
    static const char TEXT[] =
        "DCGM_FI_DEV_POWER_USAGE{gpu=\"0\",UUID=\"GPU-a\",modelName=\"NVIDIA H100 PCIe\","
        "Hostname=\"n1\"} 250.5\n"
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu=\"0\",UUID=\"GPU-a\"} 5e9\n"
        "DCGM_FI_DEV_FB_USED{gpu=\"0\",UUID=\"GPU-a\"} 1000\n"
        "DCGM_FI_PROF_SM_ACTIVE{gpu=\"0\",UUID=\"GPU-a\"} 0.5\n"
        "DCGM_FI_DEV_POWER_USAGE{gpu=\"1\",UUID=\"GPU-b\"} 60\n"
        "DCGM_FI_DEV_POWER_USAGE{gpu=\"0\",UUID=\"GPU-a\",GPU_I_ID=\"3\"} 1\n"
        "DCGM_FI_DEV_SOMETHING{gpu=\"0\",UUID=\"GPU-a\"} 1\nDCGM_FI_DEV_GPU_TEMP 3\nbroken{\n";
    assert_int_equal(gpus_scrape_dcgm(&g, S, TEXT, sizeof TEXT - 1), 5);
    assert_int_equal(g.n, 2);
    assert_string_equal(g.items[0].name, "NVIDIA H100 PCIe");
    assert_string_equal(g.items[0].host, "n1");
    near(timeline_find(&g.timeline, GPU_POWER, "gpu", "GPU-a")->values[0], 250.5);
    near(timeline_find(&g.timeline, GPU_ENERGY, "gpu", "GPU-a")->values[0], 5);
    near(timeline_find(&g.timeline, "nvidia_memory_used", "gpu", "GPU-a")->values[0], 1.048576);
    near(timeline_find(&g.timeline, "nvidia_sm_utilization", "gpu", "GPU-a")->values[0], 50);
    gpus_free(&g);
}

/* Power of one GPU at 0, 1, 2, ... seconds; NAN: no look. */
static void put_power(struct gpus *g, const double *watts, size_t n)
{
    gpus_add(g, "a", "NVIDIA L40S", NULL, 0);
    for (size_t i = 0; i < n; i++) {
        timeline_begin(&g->timeline, (int64_t)i * S);
        gpus_put(g, "a", GPU_POWER, watts[i]);
    }
}

static void energy_is_the_area_under_power_less_idle(void **state)
{
    (void)state;
    struct gpus g = {0};
    struct gpu_energy e = {0};
    put_power(&g, (const double[]){50, 70, 100, 200, NAN, 300, 300}, 7);
    assert_true(gpu_energy_add(&e, &g, 0, 1 * S, 2 * S + S / 2, 5 * S));
    /* 150 to 200 W in half a second, then to 300 W in two */
    near(e.total_j, 175 * 0.5 + 250 * 2);
    near(e.mean_w, e.total_j / 2.5);
    near(e.idle_w, 60);
    assert_int_equal(e.n_idle, 2);
    near(e.idle_s, 1);
    near(e.net_j, e.total_j - 60 * 2.5);
    assert_false(e.is_counted);

    e = (struct gpu_energy){0}; /* level beyond the first and last look */
    assert_true(gpu_energy_add(&e, &g, -9 * S, -8 * S, -2 * S, -1 * S));
    near(e.total_j, 50);
    near(e.idle_w, NAN);
    near(e.net_j, NAN);
    e = (struct gpu_energy){0};
    assert_true(gpu_energy_add(&e, &g, 0, 0, 6 * S, 8 * S));
    near(e.total_j, 600);
    gpus_free(&g);
}

static void energy_counter_comes_before_power(void **state)
{
    (void)state;
    struct gpus g = {0}, none = {0};
    struct gpu_energy e = {0};
    gpus_add(&g, "a", "x", NULL, 0);
    for (int i = 0; i < 4; i++) {
        timeline_begin(&g.timeline, i * S);
        gpus_put(&g, "a", GPU_POWER, 1000);
        gpus_put(&g, "a", GPU_ENERGY, 2 + i * 1e-4); /* MJ: 100 W */
    }
    assert_true(gpu_energy_add(&e, &g, 0, 0, S, 3 * S));
    near(e.total_j, 200);
    assert_true(e.is_counted);
    assert_false(gpu_energy_add(&e, &none, 0, 0, S, 3 * S));
    near(e.total_j, 200);
    gpus_free(&g);
}

static void throttle_reasons_have_shares(void **state)
{
    (void)state;
    struct gpus g = {0};
    double shares[16];
    assert_false(gpus_reasons(&g, "a", 0, S, shares));
    gpus_add(&g, "a", "x", NULL, 0);
    for (int i = 0; i < 4; i++) {
        timeline_begin(&g.timeline, i * S);
        gpus_put(&g, "a", GPU_THROTTLE, i == 0 ? 0x1 : i == 1 ? 0x24 : 0x4);
    }
    assert_true(gpus_reasons(&g, "a", S, 3 * S, shares));
    for (size_t i = 0; i < N_GPU_REASONS; i++)
        near(shares[i], GPU_REASONS[i].bit == 0x4 ? 1 : GPU_REASONS[i].bit == 0x20 ? 1. / 3 : 0);
    gpus_free(&g);
}

static void devices_are_found_by_the_names_of_drivers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *device;
    } CASES[] = {
        {"NVIDIA A100-SXM4-80GB", "A100 80GB SXM"},
        {"NVIDIA A100 80GB PCIe", "A100 80GB PCIe"},
        {"NVIDIA A100-PCIE-40GB", "A100 40GB"},
        {"NVIDIA H100 80GB HBM3", "H100 SXM"},
        {"NVIDIA H100 PCIe", "H100 PCIe"},
        {"NVIDIA H100 NVL", "H100 NVL"},
        {"NVIDIA H200", "H200 SXM"},
        {"NVIDIA L40S", "L40S"},
        {"NVIDIA B200", "B200"},
        {"NVIDIA GeForce RTX 4090", "RTX 4090"},
        {"h100", "H100 SXM"},
        {"NVIDIA GeForce RTX 4090 Laptop GPU", NULL},
        {"NVIDIA GeForce RTX 4090 D", NULL},
        {"NVIDIA GB200", NULL},
        {"NVIDIA L40", NULL},
        {"NVIDIA H100 80GB HBM3 MIG 1g.10gb", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct device *d = device_find(CASES[i].name);
        if ((d == NULL) != (CASES[i].device == NULL) ||
            (d && strcmp(d->name, CASES[i].device) != 0))
            fail_msg("%s is %s", CASES[i].name, d ? d->name : "unknown");
    }
    near(device_find("H100")->peak_flops, 989.4e12);
}

/* ---- physics -------------------------------------------------------------------------------- */

static void flops_of_answers_count_first(void **state)
{
    (void)state;
    struct run_fixture f;
    struct physics p;
    struct stages told = {.flops = 5e12};
    run_fixture_init(&f);
    physics_compute(&p, &f.report, NULL);
    assert_false(p.is_known);
    f.options.model_flops = 1e12; /* three successes of one image, in 1 s; the fastest in 0.1 s */
    physics_compute(&p, &f.report, NULL);
    assert_true(p.is_known);
    near(p.flops, 3e12);
    near(p.flops_per_s, 3e12);
    near(p.request_flops_per_s, 1e13);
    assert_string_equal(p.source, "--model-flops");
    near(p.share, NAN);
    assert_false(p.is_impossible);
    f.records[1].stages = &told;
    physics_compute(&p, &f.report, NULL);
    near(p.flops, 7e12);
    assert_string_equal(p.source, "answers");
    run_fixture_free(&f);
}

static void more_than_the_peak_is_impossible(void **state)
{
    (void)state;
    struct run_fixture f;
    struct physics p;
    run_fixture_init(&f);
    f.options.model_flops = 1e12;
    f.options.device = "H100";
    physics_compute(&p, &f.report, NULL);
    near(p.share, 3 / 989.4);
    assert_string_equal(p.peak_source, "table");
    assert_false(p.is_impossible);
    f.options.device_peak_flops = 4e12; /* the run is fine, its fastest request is not */
    physics_compute(&p, &f.report, NULL);
    near(p.share, 0.75);
    near(p.request_share, 2.5);
    assert_true(p.is_impossible && strstr(p.why, "a request did 250 %"));
    f.options.n_devices = 4;
    physics_compute(&p, &f.report, NULL);
    near(p.peak_flops, 16e12);
    assert_false(p.is_impossible);
    f.options.n_devices = 1;
    f.options.device_peak_flops = 2e12;
    physics_compute(&p, &f.report, NULL);
    assert_true(p.is_impossible && strstr(p.why, "the run did 150 %"));
    run_fixture_free(&f);
}

static void measured_peak_flags_nothing(void **state)
{
    (void)state;
    struct run_fixture f;
    struct physics p;
    struct model_info info = {1e12, NAN, 8e12, "cpu", 0};
    run_fixture_init(&f);
    physics_compute(&p, &f.report, &info);
    assert_string_equal(p.source, "model");
    assert_string_equal(p.device, "cpu");
    near(p.request_share, 1.25);
    assert_string_equal(p.peak_source, "measured");
    assert_false(p.is_impossible);
    run_fixture_free(&f);
}

static void weights_have_to_be_read(void **state)
{
    (void)state;
    struct run_fixture f;
    struct physics p;
    struct stages stages = {.flops = 1e9, .n_steps = 20};
    struct model_info info = {NAN, 24e9, NAN, "NVIDIA H100 80GB HBM3, 132 multiprocessors", 1};
    run_fixture_init(&f);
    f.records[2].stages = &stages; /* 300 ms; 20 steps of 24 GB at 3.35 TB/s take 143 ms */
    physics_compute(&p, &f.report, &info);
    near(p.bound_s, 20 * 24e9 / 3.35e12);
    assert_false(p.is_impossible);
    f.records[0].stages = &stages; /* 100 ms */
    physics_compute(&p, &f.report, &info);
    near(p.bound_request_s, 0.1);
    assert_true(p.is_impossible && strstr(p.why, "reading the weights"));
    info.step_weight_bytes = 24e6; /* fits a cache */
    physics_compute(&p, &f.report, &info);
    assert_false(p.is_impossible);
    run_fixture_free(&f);
}

static void model_information_is_read_by_name(void **state)
{
    (void)state;
    static const char TEXT[] =
        "{\"data\":[{\"id\":\"a\",\"flops_per_image\":1},{\"id\":\"b\",\"flops_per_image\":2,"
        "\"step_weight_bytes\":3,\"device_peak_flops\":4,\"device\":\"d\"},{\"id\":7}]}";
    struct model_info info;
    struct json *list = json_parse(TEXT, sizeof TEXT - 1, NULL);
    model_info_read(&info, list, "b");
    near(info.flops_per_image + 10 * info.step_weight_bytes + 100 * info.peak_flops, 432);
    assert_string_equal(info.device, "d");
    model_info_read(&info, list, "other");
    near(info.flops_per_image, 1);
    near(info.peak_flops, NAN);
    json_free(list);
    static const char *const ODD[] = {"[]",
                                      "{}",
                                      "{\"data\":3}",
                                      "{\"data\":[]}",
                                      "{\"data\":[1]}",
                                      "{\"data\":[{\"flops_per_image\":\"x\",\"device\":1}]}"};
    for (size_t i = 0; i < sizeof ODD / sizeof ODD[0]; i++) {
        list = json_parse(ODD[i], strlen(ODD[i]), NULL);
        model_info_read(&info, list, "b");
        near(info.flops_per_image, NAN);
        json_free(list);
    }
}

/* ---- the client ----------------------------------------------------------------------------- */

static void put_cpu(struct timeline *t, int64_t at_ns, double process_s, double thread_s)
{
    timeline_begin(t, at_ns);
    timeline_put_one(t, SELF_CPU, NULL, NULL, process_s);
    timeline_put_one(t, SELF_THREAD, "thread", "load-12", thread_s);
    timeline_put_one(t, SELF_THREAD, "thread", "records-13", thread_s / 2);
    timeline_put_one(t, SELF_MEMORY, NULL, NULL, 0x1p20 * process_s);
}

static void client_short_of_cpu_is_told(void **state)
{
    (void)state;
    struct run_fixture f;
    struct timeline t = {0};
    struct self_load self;
    run_fixture_init(&f); /* the window is from 1 s to 2 s; requests start 10 ms late */
    put_cpu(&t, 1 * S, 1, 0.5);
    put_cpu(&t, 2 * S, 1.6, 0.9);
    self_load_fill(&self, &t, &f.report.phases[0], &f.options);
    near(self.cpu_share, 0.6);
    near(self.busiest_share, 0.4);
    assert_string_equal(self.busiest, "load");
    near(self.memory_mib, 1.6);
    near(self.start_lag_p99_ms, 10);
    assert_false(self.is_bottleneck);
    f.records[1].due_ns -= 1;
    self_load_fill(&self, &t, &f.report.phases[0], &f.options);
    assert_true(self.is_bottleneck && strstr(self.why, "started 10.0 ms late"));
    f.options.request_rate_hz = 10; /* with a full --concurrency waiting is the plan */
    self_load_fill(&self, &t, &f.report.phases[0], &f.options);
    near(self.start_lag_p99_ms, NAN);
    assert_false(self.is_bottleneck);
    put_cpu(&t, 3 * S, 2.4, 1.8);
    f.report.phases[0].load = (struct load_result){.start_ns = 2 * S, .end_ns = 3 * S};
    self_load_fill(&self, &t, &f.report.phases[0], &f.options);
    assert_true(self.is_bottleneck && strstr(self.why, "thread load used 90 %"));
    f.report.phases[0].load =
        (struct load_result){.start_ns = S, .end_ns = 2 * S, .held_ns = S / 2};
    self_load_fill(&self, &t, &f.report.phases[0], &f.options);
    assert_true(self.is_bottleneck && strstr(self.why, "held for 0.50 s"));
    timeline_free(&t);
    run_fixture_free(&f);
}

static void proc_is_read(void **state)
{
    (void)state;
    struct timeline t = {0};
    self_load_sample(&t);
    assert_true(timeline_find(&t, SELF_CPU, NULL, NULL)->values[0] > 0);
    assert_true(timeline_find(&t, SELF_MEMORY, NULL, NULL)->values[0] > 4096);
    assert_non_null(timeline_find(&t, SELF_THREAD, NULL, NULL));
    timeline_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dcgm_is_read_in_units_of_aiperf),
        cmocka_unit_test(energy_is_the_area_under_power_less_idle),
        cmocka_unit_test(energy_counter_comes_before_power),
        cmocka_unit_test(throttle_reasons_have_shares),
        cmocka_unit_test(devices_are_found_by_the_names_of_drivers),
        cmocka_unit_test(flops_of_answers_count_first),
        cmocka_unit_test(more_than_the_peak_is_impossible),
        cmocka_unit_test(measured_peak_flags_nothing),
        cmocka_unit_test(weights_have_to_be_read),
        cmocka_unit_test(model_information_is_read_by_name),
        cmocka_unit_test(client_short_of_cpu_is_told),
        cmocka_unit_test(proc_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
