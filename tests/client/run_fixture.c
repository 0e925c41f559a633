#include "tests/client/run_fixture.h"

#include <string.h>

static void init_record(struct run_fixture *f, int i, int64_t start_ms, int64_t latency_ms)
{
    struct record *r = &f->records[i];
    r->session = i;
    r->payload = f->payload.data;
    r->payload_bytes = f->payload.size;
    r->due_ns = (start_ms - 10) * FIXTURE_MS;
    r->start_ns = start_ms * FIXTURE_MS;
    r->end_ns = (start_ms + latency_ms) * FIXTURE_MS;
    r->blocked_ns = 1 * FIXTURE_MS;
    r->dns_ns = 2 * FIXTURE_MS;
    r->connect_ns = 3 * FIXTURE_MS;
    r->send_start_ns = r->start_ns + 6 * FIXTURE_MS;
    r->send_end_ns = r->send_start_ns + 4 * FIXTURE_MS;
    r->first_ns = r->end_ns - 5 * FIXTURE_MS;
    r->bytes_received = 2048;
    r->isl = 7 - i % 2;
    r->usage_prompt_tokens = 8;
    r->usage_completion_tokens = -1;
    r->n_returned = r->n_decoded = 1;
    r->images = &f->image;
    r->image_bytes = 512;
    r->image_pixels = 64;
    f->all[i] = r;
}

void run_fixture_init(struct run_fixture *f)
{
    *f = (struct run_fixture){.image = {"png", 8, 8, 512}};
    memset(buf_reserve(&f->payload, 1024), 'x', 1024);
    f->payload.size = 1024;
    init_record(f, 0, 1000, 100);
    init_record(f, 1, 1100, 200);
    init_record(f, 2, 1300, 300);
    init_record(f, 3, 1600, 50);
    f->records[3].error = (struct record_error){503, "Service Unavailable", "{\"error\":\"busy\"}"};
    f->records[3].n_returned = f->records[3].n_decoded = 0;
    f->records[3].image_bytes = f->records[3].image_pixels = 0;

    f->options = (struct options){.model = "m/x",
                                  .kind = endpoint_find("image_generation"),
                                  .tokenizer = "gpt2",
                                  .run_dir = "out",
                                  .cli_command = "fluxperf profile",
                                  .concurrency = 1,
                                  .n_requests = 4,
                                  .isl_mean = 7};
    f->report = (struct report){
        .options = &f->options, .benchmark_id = "0123456789ab", .unix_offset_ns = 0, .n_phases = 1};
    f->report.phases = xcalloc(1, sizeof *f->report.phases);
    f->report.phases[0] = (struct report_phase){
        .name = "profiling",
        .load = {
            .start_ns = 1000 * FIXTURE_MS, .end_ns = 2000 * FIXTURE_MS, .n_sent = 4, .n_ended = 4}};
    report_phase_fill(&f->report.phases[0], 0, f->all, 4, false);
}

void run_fixture_free(struct run_fixture *f)
{
    report_free(&f->report);
    buf_free(&f->payload);
}
