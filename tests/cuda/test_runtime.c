/* The stand-in for the runtime library: streams run late, events order them, graphs replay, devices
 * are apart, and misuse gets the error that a device would give. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/cuda/samples.h"
#include "tests/cuda_sim/runtime.h"

enum { N = 64, BYTES = N * sizeof(float), N_SCHEDULES = 40 };

static cudaStream_t first, second;
static cudaEvent_t event;
static float *pinned; /* N */

static void *device_buffer(float value)
{
    float host[N];
    void *device;
    for (int i = 0; i < N; i++)
        host[i] = value;
    assert_int_equal(cudaMalloc(&device, BYTES), cudaSuccess);
    assert_int_equal(cudaMemcpy(device, host, BYTES, cudaMemcpyHostToDevice), cudaSuccess);
    return device;
}

static float value_of(const void *device)
{
    float host[N];
    assert_int_equal(cudaMemcpy(host, device, BYTES, cudaMemcpyDeviceToHost), cudaSuccess);
    return host[N - 1];
}

/* x = x + 1 */
static void increment(void *x, cudaStream_t stream) { sample_increment(x, x, N, stream); }

static int setup(void **state)
{
    (void)state;
    vgpu_faults_reset();
    cudaSetDevice(0);
    cudaGetLastError();
    return 0;
}

static int check_faults(void **state)
{
    (void)state;
    return vgpu_all_faults() == 0 ? 0 : -1;
}

/* --- streams ----------------------------------------------------------------------------------*/

/* Copy 5 on the first stream, add 1 on the second; how often is the result right? */
static int count_right_results(bool with_event)
{
    int n_right = 0;
    void *x = device_buffer(0.0f);
    for (int i = 0; i < N; i++)
        pinned[i] = 5.0f;
    for (int round = 0; round < N_SCHEDULES; round++) {
        cudaMemset(x, 0, BYTES);
        cudaMemcpyAsync(x, pinned, BYTES, cudaMemcpyHostToDevice, first);
        if (with_event) {
            cudaEventRecord(event, first);
            cudaStreamWaitEvent(second, event, 0);
        }
        increment(x, second);
        cudaStreamSynchronize(second);
        cudaStreamSynchronize(first);
        n_right += value_of(x) == 6.0f;
    }
    cudaFree(x);
    return n_right;
}

static void missing_event_shows_in_some_schedule(void **state)
{
    (void)state;
    assert_in_range(count_right_results(false), 0, N_SCHEDULES - 1);
}

static void event_makes_every_schedule_right(void **state)
{
    (void)state;
    assert_int_equal(count_right_results(true), N_SCHEDULES);
}

static void work_waits_until_somebody_waits_for_it(void **state)
{
    (void)state;
    void *x = device_buffer(1.0f);
    increment(x, first);
    assert_int_equal(cudaEventRecord(event, first), cudaSuccess);
    assert_int_equal(cudaEventQuery(event), cudaErrorNotReady);
    assert_int_equal(cudaEventSynchronize(event), cudaSuccess);
    assert_int_equal(cudaEventQuery(event), cudaSuccess);
    assert_true(value_of(x) == 2.0f);
    cudaFree(x);
}

static void pinned_memory_is_read_late_and_pageable_at_the_call(void **state)
{
    (void)state;
    float pageable[N] = {0};
    void *x = device_buffer(0.0f), *y = device_buffer(0.0f);
    memset(pinned, 0, BYTES);
    cudaMemcpyAsync(x, pinned, BYTES, cudaMemcpyHostToDevice, first);
    cudaMemcpyAsync(y, pageable, BYTES, cudaMemcpyHostToDevice, first);
    pinned[N - 1] = pageable[N - 1] = 3.0f;
    cudaStreamSynchronize(first);
    assert_true(value_of(x) == 3.0f);
    assert_true(value_of(y) == 0.0f);
    cudaFree(x);
    cudaFree(y);
}

static void rows_of_a_matrix_are_copied(void **state)
{
    (void)state;
    float host[8] = {0, 1, 2, 3, 4, 5, 6, 7}, back[4];
    void *x;
    cudaMalloc(&x, sizeof back);
    assert_int_equal(cudaMemcpy2DAsync(x, 8, host + 1, 16, 8, 2, cudaMemcpyHostToDevice, first),
                     cudaSuccess);
    cudaStreamSynchronize(first);
    cudaMemcpy(back, x, sizeof back, cudaMemcpyDeviceToHost);
    assert_true(back[0] == 1.0f && back[1] == 2.0f && back[2] == 5.0f && back[3] == 6.0f);
    cudaFree(x);
}

static void note(void *flag) { *(int *)flag = 1; }

static void host_function_runs_in_order(void **state)
{
    (void)state;
    int flag = 0;
    void *x = device_buffer(1.0f);
    increment(x, first);
    cudaLaunchHostFunc(first, note, &flag);
    assert_int_equal(flag, 0);
    cudaStreamSynchronize(first);
    assert_int_equal(flag, 1);
    cudaFree(x);
}

/* --- graphs -----------------------------------------------------------------------------------*/

static void graph_replays_what_was_captured(void **state)
{
    (void)state;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    void *x = device_buffer(0.0f);
    cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal);
    increment(x, first);
    increment(x, first);
    assert_int_equal(cudaStreamEndCapture(first, &graph), cudaSuccess);
    assert_true(value_of(x) == 0.0f);
    assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    cudaGraphDestroy(graph);
    for (int i = 0; i < 3; i++)
        assert_int_equal(cudaGraphLaunch(exec, first), cudaSuccess);
    cudaStreamSynchronize(first);
    assert_true(value_of(x) == 6.0f);
    cudaGraphExecDestroy(exec);
    cudaFree(x);
}

/* first: x += 1; second: y += 1 beside it; joined: x = y + 1. */
static void branches_of_a_graph_keep_their_edges(void **state)
{
    (void)state;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    cudaEvent_t joined;
    cudaEventCreate(&joined);
    void *x = device_buffer(0.0f), *y = device_buffer(0.0f);
    cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal);
    cudaEventRecord(event, first);
    assert_int_equal(cudaStreamWaitEvent(second, event, 0), cudaSuccess);
    increment(y, second);
    increment(x, first);
    cudaEventRecord(joined, second);
    cudaStreamWaitEvent(first, joined, 0);
    sample_increment(y, x, N, first);
    assert_int_equal(cudaStreamEndCapture(first, &graph), cudaSuccess);
    assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    for (int i = 1; i <= N_SCHEDULES; i++) {
        cudaGraphLaunch(exec, first);
        cudaStreamSynchronize(first);
        assert_true(value_of(x) == (float)(i + 1));
    }
    cudaGraphExecDestroy(exec);
    cudaGraphDestroy(graph);
    cudaEventDestroy(joined);
    cudaFree(x);
    cudaFree(y);
}

static void capture_refuses_what_a_device_refuses(void **state)
{
    (void)state;
    cudaGraph_t graph;
    void *p;
    assert_int_equal(cudaStreamBeginCapture(NULL, cudaStreamCaptureModeGlobal),
                     cudaErrorStreamCaptureUnsupported);
    cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal);
    assert_int_equal(cudaMalloc(&p, 16), cudaErrorStreamCaptureUnsupported);
    assert_int_equal(cudaStreamEndCapture(first, &graph), cudaErrorStreamCaptureInvalidated);
    cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal);
    assert_int_equal(cudaStreamSynchronize(first), cudaErrorStreamCaptureUnsupported);
    assert_int_equal(cudaStreamEndCapture(first, &graph), cudaErrorStreamCaptureInvalidated);
    cudaGetLastError();
}

static void unjoined_branch_is_an_error(void **state)
{
    (void)state;
    cudaGraph_t graph;
    void *x = device_buffer(0.0f);
    cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal);
    cudaEventRecord(event, first);
    cudaStreamWaitEvent(second, event, 0);
    increment(x, second);
    assert_int_equal(cudaStreamEndCapture(first, &graph), cudaErrorStreamCaptureUnjoined);
    cudaFree(x);
}

/* --- launches and errors ----------------------------------------------------------------------*/

static void impossible_launches_are_refused(void **state)
{
    (void)state;
    void *y = device_buffer(0.0f);
    sample_increment(y, y, 0, first); /* an empty grid */
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
    assert_int_equal(sample_dynamic(y, 64 << 10, 0, first), cudaErrorInvalidValue);
    assert_int_equal(sample_dynamic(y, 300 << 10, 1, first), cudaErrorInvalidValue);
    cudaGetLastError(); /* the attribute's */
    assert_int_equal(sample_dynamic(y, 64 << 10, 1, first), cudaSuccess);
    cudaStreamSynchronize(first);
    float host[1];
    cudaMemcpy(host, y, sizeof host, cudaMemcpyDeviceToHost);
    assert_true(host[0] == 16383.0f);
    cudaGetLastError();
    cudaFree(y);
}

static void attributes_belong_to_one_device(void **state)
{
    (void)state;
    cudaStream_t stream;
    cudaSetDevice(1);
    void *y = device_buffer(0.0f);
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    assert_int_equal(sample_dynamic(y, 64 << 10, 0, stream), cudaErrorInvalidValue);
    assert_int_equal(sample_dynamic(y, 64 << 10, 1, stream), cudaSuccess);
    cudaStreamDestroy(stream);
    cudaFree(y);
    cudaSetDevice(0);
}

static void stream_of_another_device_is_refused(void **state)
{
    (void)state;
    void *x = device_buffer(0.0f);
    cudaSetDevice(1);
    increment(x, first);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidResourceHandle);
    cudaSetDevice(0);
    cudaFree(x);
}

static void memory_is_limited(void **state)
{
    (void)state;
    size_t available, total;
    void *p;
    cudaMemGetInfo(&available, &total);
    assert_int_equal(total, runtime_options()->memory_bytes);
    assert_int_equal(cudaMalloc(&p, available + 1), cudaErrorMemoryAllocation);
    assert_null(p);
    cudaGetLastError();
}

static void planted_failure_reaches_the_next_synchronisation(void **state)
{
    (void)state;
    void *x = device_buffer(0.0f);
    runtime_plant_failure(cudaErrorLaunchFailure, 1, false);
    increment(x, first);
    increment(x, first);
    assert_int_equal(cudaStreamSynchronize(first), cudaErrorLaunchFailure);
    assert_int_equal(cudaStreamSynchronize(first), cudaSuccess);
    assert_true(value_of(x) == 1.0f);
    cudaFree(x);
}

static void sticky_failure_lasts_until_the_device_is_reset(void **state)
{
    (void)state;
    void *x = device_buffer(0.0f), *p;
    runtime_plant_failure(cudaErrorIllegalAddress, 0, true);
    increment(x, first);
    assert_int_equal(cudaStreamSynchronize(first), cudaErrorIllegalAddress);
    assert_int_equal(cudaMalloc(&p, 16), cudaErrorIllegalAddress);
    cudaDeviceReset();
    assert_int_equal(cudaMalloc(&p, 16), cudaSuccess);
    cudaFree(p);
    cudaFree(x);
    cudaGetLastError();
}

static void absent_device_gives_the_configured_error(void **state)
{
    (void)state;
    int n;
    void *p;
    runtime_options()->n_devices = 0;
    runtime_options()->no_device = cudaErrorInsufficientDriver;
    assert_int_equal(cudaGetDeviceCount(&n), cudaErrorInsufficientDriver);
    assert_int_equal(n, 0);
    assert_int_equal(cudaMalloc(&p, 16), cudaErrorInsufficientDriver);
    runtime_options()->n_devices = 2;
    cudaGetLastError();
}

/* --- host copies ------------------------------------------------------------------------------*/

static int expect_host_copy_fault(void **state)
{
    (void)state;
    int n = vgpu_faults(VGPU_HOST_COPY);
    vgpu_options.is_quiet = false;
    return n > 0 ? 0 : -1;
}

static int setup_quiet(void **state)
{
    vgpu_options.is_quiet = true;
    return setup(state);
}

static void copy_past_an_allocation_is_reported(void **state)
{
    (void)state;
    float host[2 * N] = {0};
    void *x = device_buffer(0.0f);
    assert_int_equal(cudaMemcpy(x, host, BYTES + 1, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    cudaGetLastError();
}

static void copy_of_unwritten_memory_is_reported(void **state)
{
    (void)state;
    float host[N];
    void *x;
    cudaMalloc(&x, BYTES);
    cudaMemcpy(host, x, BYTES, cudaMemcpyDeviceToHost);
}

/* --- threads ----------------------------------------------------------------------------------*/

static void *count_up(void *result)
{
    cudaStream_t stream;
    cudaSetDevice(1);
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    void *x = device_buffer(0.0f);
    for (int i = 0; i < 50; i++) {
        increment(x, stream);
        cudaStreamSynchronize(stream);
    }
    *(float *)result = value_of(x);
    cudaStreamDestroy(stream);
    return NULL;
}

static void threads_have_their_own_device(void **state)
{
    (void)state;
    pthread_t threads[2];
    float results[2];
    int device = -1;
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, count_up, &results[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_true(results[0] == 50.0f && results[1] == 50.0f);
    cudaGetDevice(&device);
    assert_int_equal(device, 0);
}

static int open_all(void **state)
{
    (void)state;
    cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    return cudaMallocHost((void **)&pinned, BYTES) == cudaSuccess ? 0 : -1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, check_faults)
#define FAULTY(name) cmocka_unit_test_setup_teardown(name, setup_quiet, expect_host_copy_fault)

int main(void)
{
    setenv("CUDA_SIM_DEVICES", "2", 1);
    const struct CMUnitTest tests[] = {
        TEST(missing_event_shows_in_some_schedule),
        TEST(event_makes_every_schedule_right),
        TEST(work_waits_until_somebody_waits_for_it),
        TEST(pinned_memory_is_read_late_and_pageable_at_the_call),
        TEST(rows_of_a_matrix_are_copied),
        TEST(host_function_runs_in_order),
        TEST(graph_replays_what_was_captured),
        TEST(branches_of_a_graph_keep_their_edges),
        TEST(capture_refuses_what_a_device_refuses),
        TEST(unjoined_branch_is_an_error),
        TEST(impossible_launches_are_refused),
        TEST(attributes_belong_to_one_device),
        TEST(stream_of_another_device_is_refused),
        TEST(memory_is_limited),
        TEST(planted_failure_reaches_the_next_synchronisation),
        TEST(sticky_failure_lasts_until_the_device_is_reset),
        TEST(absent_device_gives_the_configured_error),
        FAULTY(copy_past_an_allocation_is_reported),
        FAULTY(copy_of_unwritten_memory_is_reported),
        TEST(threads_have_their_own_device),
    };
    return cmocka_run_group_tests(tests, open_all, NULL);
}
