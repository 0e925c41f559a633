/* base/log: what reaches stderr, seen through a pipe in its place. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char captured[1 << 16];
static int saved_stderr;
static FILE *capture_file;

static void capture_begin(void)
{
    capture_file = tmpfile();
    assert_non_null(capture_file);
    saved_stderr = dup(STDERR_FILENO);
    dup2(fileno(capture_file), STDERR_FILENO);
}

static const char *capture_end(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    rewind(capture_file);
    size_t size = fread(captured, 1, sizeof captured - 1, capture_file);
    captured[size] = '\0';
    fclose(capture_file);
    return captured;
}

static void line_has_time_level_thread_and_message(void **state)
{
    (void)state;
    pthread_setname_np(pthread_self(), "worker");
    capture_begin();
    log_info("image done seed=%d", 7);
    const char *text = capture_end();
    static const char SHAPE[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    for (size_t i = 0; SHAPE[i]; i++) {
        bool is_digit = text[i] >= '0' && text[i] <= '9';
        assert_true(SHAPE[i] == 'd' ? is_digit : text[i] == SHAPE[i]);
    }
    assert_string_equal(text + strlen(SHAPE), " INFO worker image done seed=7\n");
}

static void lower_levels_are_dropped(void **state)
{
    (void)state;
    log_set_level(LOG_WARNING);
    capture_begin();
    log_info("no");
    log_debug("no");
    log_warning("yes");
    log_error("also");
    const char *text = capture_end();
    assert_null(strstr(text, "no"));
    assert_non_null(strstr(text, " WARNING worker yes\n"));
    assert_non_null(strstr(text, " ERROR worker also\n"));

    log_set_level(LOG_OFF);
    assert_int_equal(log_get_level(), LOG_OFF);
    capture_begin();
    log_error("silence");
    assert_string_equal(capture_end(), "");
    log_set_level(LOG_INFO);
}

static void input_can_not_forge_lines(void **state)
{
    (void)state;
    capture_begin();
    log_info("prompt=%s", "a\nb\r\tc\x1b[31m\x7f\xc3\xa9");
    const char *text = capture_end();
    assert_non_null(strstr(text, "prompt=a\\nb\\r\\tc\\x1b[31m\\x7f\xc3\xa9\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void levels_have_names(void **state)
{
    (void)state;
    assert_int_equal(log_level_parse("debug"), LOG_DEBUG);
    assert_int_equal(log_level_parse("WARNING"), LOG_WARNING);
    assert_int_equal(log_level_parse("Off"), LOG_OFF);
    assert_int_equal(log_level_parse(""), -1);
    assert_int_equal(log_level_parse("loud"), -1);
}

static void *write_lines(void *letter)
{
    char text[101];
    memset(text, *(const char *)letter, 100);
    text[100] = '\0';
    for (int i = 0; i < 50; i++)
        log_info("%s", text);
    return NULL;
}

static void threads_do_not_interleave(void **state)
{
    (void)state;
    pthread_t threads[4];
    capture_begin();
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, write_lines, &"abcd"[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    const char *text = capture_end();
    int n_lines = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1, n_lines++) {
        const char *end = strchr(line, '\n');
        assert_non_null(end);
        assert_true(end - line > 100);
        for (const char *p = end - 100; p < end; p++)
            assert_int_equal(*p, end[-1]);
    }
    assert_int_equal(n_lines, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_has_time_level_thread_and_message),
        cmocka_unit_test(lower_levels_are_dropped),
        cmocka_unit_test(input_can_not_forge_lines),
        cmocka_unit_test(levels_have_names),
        cmocka_unit_test(threads_do_not_interleave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
