/* client/stages and client/trace: what a server tells, and the timeline made of it. */
#include "client/stages.h"

#include "client/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)

static struct stages *read_text(const char *header, const char *answer)
{
    struct json *tree = json_parse(answer, strlen(answer), NULL);
    assert_non_null(tree);
    struct stages *s = stages_read(header, tree);
    json_free(tree);
    return s;
}

static void near(double got, double want)
{
    if (isnan(want) ? !isnan(got) : !(fabs(got - want) < 1e-9))
        fail_msg("got %.17g, want %.17g", got, want);
}

static void header_alone_is_enough(void **state)
{
    (void)state;
    struct stages *s =
        read_text("queue;dur=1.5, text;desc=\"a\";dur=20,cache, total ;dur=80.25", "{}");
    near(s->ms[STAGE_QUEUE], 1.5);
    near(s->ms[STAGE_TEXT], 20);
    near(s->ms[STAGE_TOTAL], 80.25);
    near(s->ms[STAGE_VAE], NAN);
    assert_int_equal(s->n_steps, 0);
    stages_free(s);
}

static void answer_is_finer_than_the_header(void **state)
{
    (void)state;
    struct stages *s = read_text(
        "queue;dur=1, encode;dur=7, denoise;dur=1",
        "{\"inference_time_s\":0.5,\"peak_memory_mb\":12.5,\"timings\":{\"queue_s\":0.002,"
        "\"text_encoding_s\":0.1,\"denoising_steps_s\":[0.01,0.03],\"vae_decode_s\":0.2,"
        "\"other_s\":0,\"total_s\":0.4}}");
    near(s->ms[STAGE_QUEUE], 2);
    near(s->ms[STAGE_TEXT], 100);
    near(s->ms[STAGE_DENOISE], 40);
    near(s->ms[STAGE_VAE], 200);
    near(s->ms[STAGE_ENCODE], 7); /* only the header has it */
    near(s->ms[STAGE_OTHER], 0);
    near(s->ms[STAGE_TOTAL], 400);
    near(s->inference_s, 0.5);
    near(s->peak_memory_mib, 12.5);
    assert_int_equal(s->n_steps, 2);
    near(s->step_ms[1], 30);
    stages_free(s);
}

static void what_makes_no_sense_counts_as_not_told(void **state)
{
    (void)state;
    static const char *const answers[] = {"{}",
                                          "{\"timings\":3}",
                                          "{\"timings\":{\"queue_s\":\"fast\",\"total_s\":-1}}",
                                          "{\"timings\":{\"denoising_steps_s\":[0.1,\"x\"]}}",
                                          "{\"timings\":{\"denoising_steps_s\":{}}}",
                                          "{\"inference_time_s\":null,\"peak_memory_mb\":[1]}"};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        assert_null(read_text(NULL, answers[i]));
    static const char *const headers[] = {"",
                                          ",,",
                                          "queue",
                                          "queue;dur=",
                                          "queue;dur=x",
                                          "queue;dur=-1",
                                          "queue;dur=nan",
                                          "queues;dur=1",
                                          "text, other;dur=3"};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        assert_null(read_text(headers[i], "{}"));
}

/* The spans of a trace in order, as "name+ms" from the due time and "name-ms". */
static char *trace_text(const struct record *r)
{
    struct buf out = {0}, text = {0};
    struct error err = {0};
    buf_puts(&out, TRACE_BEGIN);
    trace_print(&out, r, 0);
    buf_puts(&out, TRACE_END);
    struct json *tree = json_parse(out.data, out.size, &err);
    if (!tree)
        fail_msg("%s in\n%s", err.text, out.data);
    for (const struct json *e = json_first(tree); e; e = json_next(e)) {
        char phase = *json_string(json_get(e, "ph"));
        if (phase != 'M')
            buf_printf(&text, "%s%c%g ", json_string(json_get(e, "name")), phase == 'b' ? '+' : '-',
                       json_number(json_get(e, "ts")) / 1000);
    }
    json_free(tree);
    buf_free(&out);
    return text.data;
}

static void trace_lays_the_stages_between_sending_and_the_answer(void **state)
{
    (void)state;
    double steps[] = {10, 20};
    struct stages stages = {.ms = {5, NAN, 30, 8, 2, 0, 45}, .n_steps = 2, .step_ms = steps};
    struct record r = {.due_ns = 100 * MS,
                       .start_ns = 103 * MS,
                       .send_start_ns = 103 * MS,
                       .send_end_ns = 104 * MS,
                       .first_ns = 150 * MS,
                       .end_ns = 151 * MS,
                       .status = 200,
                       .stages = &stages};
    char *text = trace_text(&r);
    assert_string_equal(text, "request+100 waiting to be sent+100 waiting to be sent-103 "
                              "sending+103 sending-104 queue+104 queue-109 step+109 step-119 "
                              "step+119 step-139 VAE+139 VAE-147 image coding+147 image coding-149 "
                              "unexplained+149 unexplained-150 receiving+150 receiving-151 "
                              "request-151 ");
    free(text);
}

static void trace_of_a_failure_has_what_happened(void **state)
{
    (void)state;
    struct record r = {.due_ns = 100 * MS,
                       .start_ns = 100 * MS,
                       .end_ns = 101 * MS,
                       .error = {0, "ClientConnectorError", "refused"}};
    char *text = trace_text(&r);
    assert_string_equal(text, "request+100 request-101 ");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_alone_is_enough),
        cmocka_unit_test(answer_is_finer_than_the_header),
        cmocka_unit_test(what_makes_no_sense_counts_as_not_told),
        cmocka_unit_test(trace_lays_the_stages_between_sending_and_the_answer),
        cmocka_unit_test(trace_of_a_failure_has_what_happened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
