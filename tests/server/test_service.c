/* Scheduling seen from outside: loading, overload, vanished clients, failures, draining. The fake
 * pipeline's gate holds jobs where the test wants them. */
#include "base/clock.h"
#include "server/listener.h"
#include "tests/server/fake_flux.h"
#include "tests/server/harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define FOX "{\"prompt\":\"a fox\",\"num_inference_steps\":3}"
#define LONG "{\"prompt\":\"a fox\",\"num_inference_steps\":900}"
#define WARM_UP 1 /* steps of the warm-up image */

static void start(struct harness *h, struct harness_options options)
{
    fake_reset();
    harness_start(h, options);
}

static void assert_status(struct reply reply, int status, const char *part_of_body)
{
    if (reply.status != status)
        fail_msg("status %d, expected %d: %s", reply.status, status, reply.text.data);
    if (!strstr(reply.body, part_of_body))
        fail_msg("'%s' is not in %s", part_of_body, reply.body);
    reply_free(&reply);
}

static void assert_answer(int fd, int status, const char *part_of_body)
{
    assert_status(harness_read(fd, false), status, part_of_body);
    listener_close(fd);
}

static void wait_for_depth(struct harness *h, int waiting, int canceled)
{
    for (;;) {
        struct queue_depth depth = queue_depth(h->service.queue);
        if (depth.waiting == waiting && depth.canceled == canceled)
            return;
        clock_sleep_until_ns(clock_now_ns() + NS_PER_MS);
    }
}

static int64_t count(struct harness *h, enum telemetry_outcome outcome)
{
    return telemetry_read(h->service.telemetry).outcomes[outcome];
}

static void health_is_503_until_the_warm_up_image(void **state)
{
    (void)state;
    struct harness h;
    fake_reset();
    fake_hold_open();
    fake_allow_steps(0);
    harness_start(&h, (struct harness_options){.is_loading = true});
    assert_status(harness_ask(&h, "GET", "/health", NULL), 503, "\"status\":\"starting\"");
    fake_release_open();
    fake_wait_for_steps(1); /* the model is open, the image is not made */
    assert_status(harness_ask(&h, "GET", "/health", NULL), 503, "\"status\":\"starting\"");
    struct reply early = harness_ask(&h, "POST", "/v1/images/generations", FOX);
    assert_string_equal(reply_header(&early, "Retry-After"), "1");
    assert_status(early, 503, "\"code\":\"model_loading\"");
    fake_allow_steps(FAKE_OPEN);
    harness_wait_ready(&h);
    assert_status(harness_ask(&h, "GET", "/health", NULL), 200, "\"status\":\"ok\"");
    harness_stop(&h);
}

static void model_that_does_not_open_fails_the_worker(void **state)
{
    (void)state;
    struct harness h;
    struct error err = {0};
    fake_reset();
    fake_fail_open(ERR_IO, "weights are missing");
    harness_start(&h, (struct harness_options){.is_loading = true});
    harness_wait_ready(&h);
    assert_int_equal(replicas_state(h.service.replicas), WORKER_FAILED);
    assert_status(harness_ask(&h, "GET", "/health", NULL), 503, "starting");
    http_close(h.http);
    assert_false(replicas_join(h.service.replicas, &err));
    assert_string_equal(err.text, "weights are missing");
    cost_close(h.service.cost);
    telemetry_close(h.service.telemetry);
    store_close(h.service.store);
    queue_close(h.service.queue);
}

static void full_queue_answers_429_and_keeps_its_promises(void **state)
{
    (void)state;
    struct harness h;
    start(&h, (struct harness_options){.max_queue = 1});
    fake_allow_steps(0);
    int running = harness_post(&h, FOX);
    fake_wait_for_steps(WARM_UP + 1);
    int waiting = harness_post(&h, FOX);
    wait_for_depth(&h, 1, 0);
    struct reply busy = harness_ask(&h, "POST", "/v1/images/generations", FOX);
    assert_string_equal(reply_header(&busy, "Retry-After"), "1");
    assert_status(busy, 429, "\"code\":\"queue_full\"");
    assert_int_equal(count(&h, TELEMETRY_REJECTED), 1);
    assert_status(harness_ask(&h, "GET", "/health", NULL), 200,
                  "\"queue_depth\":1,\"in_flight\":1");
    fake_allow_steps(FAKE_OPEN);
    assert_answer(running, 200, "b64_json");
    assert_answer(waiting, 200, "b64_json");
    assert_status(harness_ask(&h, "POST", "/v1/images/generations", FOX), 200, "b64_json");
    harness_stop(&h);
}

static void vanished_client_frees_the_worker_within_one_step(void **state)
{
    (void)state;
    struct harness h;
    start(&h, (struct harness_options){0});
    fake_allow_steps(0);
    int gone = harness_post(&h, LONG);
    fake_wait_for_steps(WARM_UP + 1);
    int next = harness_post(&h, FOX);
    wait_for_depth(&h, 1, 0);
    listener_close(gone);
    wait_for_depth(&h, 1, 1);
    fake_allow_steps(1);                  /* the step that was being computed, and no other */
    fake_wait_for_steps(WARM_UP + 1 + 1); /* comes to the gate with the next job's first step */
    assert_int_equal(count(&h, TELEMETRY_CANCELED), 1);
    fake_allow_steps(FAKE_OPEN);
    assert_answer(next, 200, "b64_json");
    assert_status(harness_ask(&h, "GET", "/health", NULL), 200, "\"canceled\":1");
    assert_int_equal(fake_n_steps(), WARM_UP + 1 + 3);
    harness_stop(&h);
}

static void half_closed_and_reset_clients_count_as_vanished(void **state)
{
    (void)state;
    struct harness h;
    start(&h, (struct harness_options){0});
    fake_allow_steps(0);
    int half = harness_post(&h, LONG);
    fake_wait_for_steps(WARM_UP + 1);
    shutdown(half, SHUT_WR);
    wait_for_depth(&h, 0, 1);
    fake_allow_steps(1);
    int reset = harness_post(&h, LONG);
    fake_wait_for_steps(WARM_UP + 2);
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(reset, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    listener_close(reset);
    wait_for_depth(&h, 0, 1);
    fake_allow_steps(FAKE_OPEN);
    harness_stop(&h);
    listener_close(half);
}

static void vanished_client_gives_its_place_in_the_queue_back(void **state)
{
    (void)state;
    struct harness h;
    start(&h, (struct harness_options){.max_queue = 1});
    fake_allow_steps(0);
    int running = harness_post(&h, FOX);
    fake_wait_for_steps(WARM_UP + 1);
    int gone = harness_post(&h, FOX);
    wait_for_depth(&h, 1, 0);
    listener_close(gone);
    wait_for_depth(&h, 0, 0);
    int waiting = harness_post(&h, FOX);
    wait_for_depth(&h, 1, 0);
    assert_int_equal(count(&h, TELEMETRY_CANCELED), 1);
    fake_allow_steps(FAKE_OPEN);
    assert_answer(running, 200, "b64_json");
    assert_answer(waiting, 200, "b64_json");
    harness_stop(&h);
}

static void pipeline_failure_is_500_and_the_next_request_works(void **state)
{
    (void)state;
    struct harness h;
    start(&h, (struct harness_options){0});
    fake_fail_generate(ERR_DEVICE, "the device fell off");
    assert_status(harness_ask(&h, "POST", "/v1/images/generations", FOX), 500,
                  "\"message\":\"the device fell off\",\"type\":\"server_error\"");
    assert_int_equal(count(&h, TELEMETRY_FAILED), 1);
    assert_status(harness_ask(&h, "POST", "/v1/images/generations", FOX), 200, "b64_json");
    harness_stop(&h);
}

static void replicas_share_the_queue_and_are_told_apart(void **state)
{
    (void)state;
    struct harness h;
    start(&h, (struct harness_options){.n_replicas = 2});
    fake_allow_steps(0);
    int first = harness_post(&h, FOX), second = harness_post(&h, FOX);
    fake_wait_for_steps(2 * WARM_UP + 2); /* both are at the gate at once */
    int third = harness_post(&h, FOX);
    wait_for_depth(&h, 1, 0);
    assert_int_equal(queue_depth(h.service.queue).running, 2);
    fake_allow_steps(FAKE_OPEN);
    assert_answer(first, 200, "b64_json");
    assert_answer(second, 200, "b64_json");
    assert_answer(third, 200, "b64_json");
    struct worker_facts a = replicas_facts(h.service.replicas, 0);
    struct worker_facts b = replicas_facts(h.service.replicas, 1);
    assert_true(a.n_requests >= 1 && b.n_requests >= 1);
    assert_int_equal(a.n_requests + b.n_requests, 3);
    assert_status(harness_ask(&h, "GET", "/health", NULL), 200,
                  "\"replicas\":[{\"state\":\"ready\",\"device\":\"\",\"requests\":");
    assert_status(harness_ask(&h, "GET", "/metrics", NULL), 200,
                  "fluxserve_replica_up{replica=\"1\"} 1\n");
    harness_stop(&h);
}

static bool is_lost(struct backend *b)
{
    (void)b;
    return true;
}

static void lost_device_fails_what_it_held_and_what_waits(void **state)
{
    (void)state;
    struct harness h;
    start(&h, (struct harness_options){.is_lost = is_lost});
    fake_allow_steps(0);
    int gone = harness_post(&h, FOX); /* holds the worker until the failure is planned */
    fake_wait_for_steps(WARM_UP + 1);
    int fails = harness_post(&h, FOX);
    wait_for_depth(&h, 1, 0);
    int waits = harness_post(&h, FOX);
    wait_for_depth(&h, 2, 0);
    fake_fail_generate(ERR_DEVICE, "the device fell off");
    fake_allow_steps(FAKE_OPEN);
    assert_answer(gone, 200, "b64_json");
    assert_answer(fails, 500, "the device fell off");
    assert_answer(waits, 500, "the device fell off");
    assert_int_equal(replicas_state(h.service.replicas), WORKER_LOST);
    assert_true(replicas_are_done(h.service.replicas));
    assert_int_equal(count(&h, TELEMETRY_FAILED), 2);
    assert_status(harness_ask(&h, "GET", "/health", NULL), 503, "\"status\":\"device_lost\"");
    assert_status(harness_ask(&h, "POST", "/v1/images/generations", FOX), 503,
                  "\"code\":\"shutting_down\"");
    harness_stop(&h);
}

static void other_replicas_finish_what_waits_when_a_device_is_lost(void **state)
{
    (void)state;
    struct harness h;
    start(&h, (struct harness_options){.is_lost = is_lost, .n_replicas = 2});
    fake_allow_steps(0);
    int running = harness_post(&h, FOX);
    fake_wait_for_steps(2 * WARM_UP + 1);
    fake_fail_generate(ERR_DEVICE, "the device fell off");
    assert_status(harness_ask(&h, "POST", "/v1/images/generations", FOX), 500, "fell off");
    assert_int_equal(replicas_state(h.service.replicas), WORKER_LOST);
    assert_false(replicas_are_done(h.service.replicas));
    fake_allow_steps(FAKE_OPEN);
    assert_answer(running, 200, "b64_json");
    harness_stop(&h);
}

static void draining_answers_what_was_accepted_and_refuses_the_rest(void **state)
{
    (void)state;
    struct harness h;
    start(&h, (struct harness_options){0});
    fake_allow_steps(0);
    int running = harness_post(&h, FOX);
    fake_wait_for_steps(WARM_UP + 1);
    int waiting = harness_post(&h, FOX);
    wait_for_depth(&h, 1, 0);
    atomic_store(&h.service.is_draining, true);
    queue_shut(h.service.queue);
    assert_status(harness_ask(&h, "GET", "/health", NULL), 503, "\"status\":\"draining\"");
    assert_status(harness_ask(&h, "POST", "/v1/images/generations", FOX), 503,
                  "\"code\":\"shutting_down\"");
    fake_allow_steps(FAKE_OPEN);
    assert_answer(running, 200, "b64_json");
    assert_answer(waiting, 200, "b64_json");
    harness_stop(&h);
}

static void answer_tells_stages_that_add_up(void **state)
{
    (void)state;
    struct harness h;
    start(&h, (struct harness_options){0});
    struct reply reply = harness_ask(
        &h, "POST", "/v1/images/generations",
        "{\"prompt\":\"a fox\",\"num_inference_steps\":2,\"seed\":7,\"model\":\"anything\"}");
    const char *timing = reply_header(&reply, "Server-Timing");
    assert_non_null(strstr(timing, "text;dur=250.000, denoise;dur=1000.000, vae;dur=125.000"));
    assert_non_null(strstr(reply.body, "\"model\":\"owner/model\""));
    assert_non_null(strstr(reply.body, "\"seed\":7,\"size\":\"32x32\",\"output_format\":\"png\""));
    assert_non_null(strstr(reply.body, "\"prompt_tokens\":5"));
    assert_non_null(strstr(reply.body, "\"denoising_steps_s\":[0.500000,0.500000]"));
    assert_status(reply, 200, "\"inference_time_s\":2.000000");
    assert_status(harness_ask(&h, "GET", "/metrics", NULL), 200,
                  "fluxserve_stage_seconds_total{stage=\"denoising\"} 1\n");
    harness_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(health_is_503_until_the_warm_up_image),
        cmocka_unit_test(model_that_does_not_open_fails_the_worker),
        cmocka_unit_test(full_queue_answers_429_and_keeps_its_promises),
        cmocka_unit_test(vanished_client_frees_the_worker_within_one_step),
        cmocka_unit_test(half_closed_and_reset_clients_count_as_vanished),
        cmocka_unit_test(vanished_client_gives_its_place_in_the_queue_back),
        cmocka_unit_test(pipeline_failure_is_500_and_the_next_request_works),
        cmocka_unit_test(replicas_share_the_queue_and_are_told_apart),
        cmocka_unit_test(lost_device_fails_what_it_held_and_what_waits),
        cmocka_unit_test(other_replicas_finish_what_waits_when_a_device_is_lost),
        cmocka_unit_test(draining_answers_what_was_accepted_and_refuses_the_rest),
        cmocka_unit_test(answer_tells_stages_that_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
