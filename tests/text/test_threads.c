/* One tokenizer, many threads: opened once, then only read. The thread sanitizer watches. */
#include "tests/text/text_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#define MODEL FLUXBENCH_SOURCE_DIR "/models/tiny-flux-dev"
enum { N_THREADS = 4, N_ROUNDS = 20 };

static const char TEXT[] = "Cafe\u0301 \U0001f469\u200d\U0001f680 <extra_id_3> don't, 35mm f/1.8";

struct job {
    const struct tokenizer *tokenizer;
    struct token_ids ids;
};

static void *job_main(void *argument)
{
    struct job *job = argument;
    for (int i = 0; i < N_ROUNDS; i++) {
        job->ids.n_ids = 0;
        tokenizer_encode(job->tokenizer, TEXT, strlen(TEXT), &job->ids);
    }
    return NULL;
}

static void assert_threads_agree(struct tokenizer *t)
{
    pthread_t threads[N_THREADS];
    struct job jobs[N_THREADS] = {0};
    for (int i = 0; i < N_THREADS; i++) {
        jobs[i].tokenizer = t;
        assert_int_equal(pthread_create(&threads[i], NULL, job_main, &jobs[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(jobs[0].ids.n_ids > 5);
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(jobs[i].ids.n_ids, jobs[0].ids.n_ids);
        assert_memory_equal(jobs[i].ids.ids, jobs[0].ids.ids, 4 * jobs[0].ids.n_ids);
    }
    for (int i = 0; i < N_THREADS; i++)
        token_ids_free(&jobs[i].ids);
    tokenizer_close(t);
}

static void threads_share_a_clip_tokenizer(void **state)
{
    (void)state;
    struct tokenizer *t = NULL;
    assert_true(tokenizer_open_clip(&t, MODEL "/tokenizer", NULL));
    assert_threads_agree(t);
}

static void threads_share_a_t5_tokenizer(void **state)
{
    (void)state;
    struct tokenizer *t = NULL;
    assert_true(tokenizer_open_t5(&t, MODEL "/tokenizer_2", NULL));
    assert_threads_agree(t);
}

static void threads_share_a_gpt2_tokenizer(void **state)
{
    (void)state;
    struct tokenizer *t = NULL;
    assert_true(tokenizer_open_gpt2_builtin(&t, NULL));
    assert_threads_agree(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_a_clip_tokenizer),
        cmocka_unit_test(threads_share_a_t5_tokenizer),
        cmocka_unit_test(threads_share_a_gpt2_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
