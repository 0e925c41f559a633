/* client/random and client/arrivals: the numbers of Python's random module (3.11). */
#include "client/arrivals.h"
#include "client/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 * fmax(1, fabs(want))))
        fail_msg("got %.17g, want %.17g", got, want);
}

static void streams_equal_pythons(void **state)
{
    (void)state;
    struct random r;
    random_init_seed(&r, UINT64_C(12345678901234567890));
    assert_int_equal(random_bits(&r), 2199100970);
    near(random_unit(&r), 0.8604099372914474);
    assert_int_equal(random_below(&r, 1000), 559);
    assert_int_equal(random_below(&r, UINT64_C(1000000000000)), INT64_C(492384981266));
    near(random_exponential(&r, 3), 0.6373967796984894);
    near(random_gauss(&r, 5, 2), 4.121819905527218);
    near(random_gauss(&r, 5, 2), 6.146509125014223);
    near(random_gamma(&r, 2.5, 0.5), 1.1934096745137874);
    near(random_gamma(&r, 0.5, 2), 0.08638194738078561);
    near(random_gamma(&r, 1, 2), 1.21363668191993);
}

static void small_seeds_use_one_word(void **state)
{
    (void)state;
    struct random r;
    random_init_seed(&r, 42);
    assert_int_equal(random_bits(&r), 2746317213);
    near(random_unit(&r), 0.11133106816568039);
}

static void check_sha(const char *text, size_t size, const char *want)
{
    uint8_t digest[32];
    char hex[65];
    sha256(text, size, digest);
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(hex, want);
}

static void sha256_is_the_standards(void **state)
{
    (void)state;
    char as[119];
    memset(as, 'a', sizeof as);
    check_sha("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_sha("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_sha(as, sizeof as, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb");
}

static void uuids_are_version_4_and_differ(void **state)
{
    (void)state;
    char a[UUID_SIZE], b[UUID_SIZE];
    random_uuid(a);
    random_uuid(b);
    assert_int_equal(strlen(a), 36);
    assert_int_equal(a[14], '4');
    assert_non_null(strchr("89ab", a[19]));
    assert_string_not_equal(a, b);
}

/* ---- arrivals ------------------------------------------------------------------------------- */

static void constant_arrivals_do_not_drift(void **state)
{
    (void)state;
    struct arrivals a;
    arrivals_init(&a, ARRIVAL_CONSTANT, 3, 1, 0);
    assert_int_equal(arrivals_next_ns(&a), 333333333);
    for (int i = 2; i < 3000; i++)
        arrivals_next_ns(&a);
    assert_int_equal(arrivals_next_ns(&a), INT64_C(1000000000000));
}

static void check_times(struct arrivals *a, const double *want_s)
{
    for (int i = 0; i < 4; i++)
        near((double)arrivals_next_ns(a) / 1e9, floor(want_s[i] * 1e9) / 1e9);
}

static void random_arrivals_are_aiperfs_for_the_seed(void **state)
{
    (void)state;
    struct arrivals a;
    arrivals_init(&a, ARRIVAL_POISSON, 20, 1, 3);
    check_times(&a, (const double[]){0.11253662126039021, 0.12438015385211243, 0.14757147826810785,
                                     0.258805209117107});
    arrivals_init(&a, ARRIVAL_GAMMA, 20, 2.5, 3);
    check_times(&a, (const double[]){0.004167253498560409, 0.025366282623866303,
                                     0.06490154770285128, 0.14357407496222563});
}

static void poisson_gaps_have_the_mean_of_the_rate(void **state)
{
    (void)state;
    struct arrivals a;
    int64_t last = 0;
    arrivals_init(&a, ARRIVAL_POISSON, 50, 1, 99);
    for (int i = 0; i < 20000; i++) {
        int64_t next = arrivals_next_ns(&a);
        assert_true(next >= last);
        last = next;
    }
    assert_true(fabs((double)last / 1e9 - 400) < 400 * 0.03);
}

static void no_rate_means_at_once(void **state)
{
    (void)state;
    struct arrivals a;
    arrivals_init(&a, ARRIVAL_POISSON, 0, 1, 1);
    assert_int_equal(arrivals_next_ns(&a), 0);
    assert_int_equal(arrivals_next_ns(&a), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_equal_pythons),
        cmocka_unit_test(small_seeds_use_one_word),
        cmocka_unit_test(sha256_is_the_standards),
        cmocka_unit_test(uuids_are_version_4_and_differ),
        cmocka_unit_test(constant_arrivals_do_not_drift),
        cmocka_unit_test(random_arrivals_are_aiperfs_for_the_seed),
        cmocka_unit_test(poisson_gaps_have_the_mean_of_the_rate),
        cmocka_unit_test(no_rate_means_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
