/* image/: many threads code pictures at a time, as the server's connection threads do. A data race
 * is found under the thread sanitizer; mixed-up state also as a wrong file. */
#include "image/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define N_THREADS 4
#define N_ROUNDS 8
#define SIDE_PX 96

static const struct {
    enum image_format format;
    int quality;
} FILES[] = {{IMAGE_PNG, 100}, {IMAGE_JPEG, 85}, {IMAGE_WEBP, 80}, {IMAGE_WEBP, 100}};

#define N_FILES (sizeof(FILES) / sizeof(FILES[0]))

struct job {
    int seed;
    bool is_ok;
};

/* A picture of its own for each seed; the caller frees it. */
static struct image picture(int seed)
{
    struct image image = {.width_px = SIDE_PX, .height_px = SIDE_PX};
    image.rgb = xmalloc((size_t)SIDE_PX * SIDE_PX * 3);
    for (int i = 0; i < SIDE_PX * SIDE_PX * 3; i++)
        image.rgb[i] = (uint8_t)(i * (seed + 1) / 7);
    return image;
}

/* Code the picture in all formats, and read it back whole and cut; true when the files are the
 * same in every round and the lossless ones give the picture. Nothing here may use cmocka, which
 * belongs to the main thread. */
static bool code_all(const struct image *image, struct buf *first)
{
    for (size_t f = 0; f < N_FILES; f++) {
        struct buf file = {0};
        struct image back = {0}, cut = {0};
        struct error err = {0};
        bool ok = image_encode(&file, image, FILES[f].format, FILES[f].quality, NULL) &&
                  image_decode(&back, file.data, file.size, SIDE_PX, NULL) &&
                  !image_decode(&cut, file.data, file.size / 2, SIDE_PX, &err) &&
                  strstr(err.text, image_format_name(FILES[f].format));
        if (ok && FILES[f].quality == 100)
            ok = memcmp(back.rgb, image->rgb, (size_t)SIDE_PX * SIDE_PX * 3) == 0;
        if (ok && first[f].size > 0)
            ok = file.size == first[f].size && memcmp(file.data, first[f].data, file.size) == 0;
        else if (ok)
            buf_append(&first[f], file.data, file.size);
        image_free(&back);
        buf_free(&file);
        if (!ok)
            return false;
    }
    return true;
}

static void *coder_main(void *argument)
{
    struct job *job = argument;
    struct image image = picture(job->seed);
    struct buf first[N_FILES] = {0};
    job->is_ok = true;
    for (int round = 0; round < N_ROUNDS && job->is_ok; round++)
        job->is_ok = code_all(&image, first);
    for (size_t f = 0; f < N_FILES; f++)
        buf_free(&first[f]);
    image_free(&image);
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
    (void)state;
    pthread_t threads[N_THREADS];
    struct job jobs[N_THREADS];
    for (int i = 0; i < N_THREADS; i++) {
        jobs[i] = (struct job){.seed = i};
        assert_int_equal(pthread_create(&threads[i], NULL, coder_main, &jobs[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < N_THREADS; i++)
        assert_true(jobs[i].is_ok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
