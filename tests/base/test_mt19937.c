/* base/mt19937: the authors' example, and the number that the C++ standard names. */
#include "base/mt19937.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void words_equal_the_authors(void **state)
{
    (void)state;
    static const uint32_t SEED[] = {0x123, 0x234, 0x345, 0x456};
    static const uint32_t WANTED[] = {1067595299, 955945823, 477289528, 4107218783, 4228976476};
    struct mt19937 m;
    mt19937_seed_words(&m, SEED, 4);
    for (size_t i = 0; i < sizeof WANTED / sizeof WANTED[0]; i++)
        assert_int_equal(mt19937_next(&m), WANTED[i]);
}

static void the_ten_thousandth_is_that_of_the_standard(void **state)
{
    (void)state;
    struct mt19937 m;
    mt19937_seed(&m, 5489);
    for (int i = 1; i < 10000; i++)
        mt19937_next(&m);
    assert_int_equal(mt19937_next(&m), 4123659995);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_equal_the_authors),
        cmocka_unit_test(the_ten_thousandth_is_that_of_the_standard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
