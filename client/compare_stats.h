/* Is the new side slower than the base? The statistics of `fluxperf compare`: no files here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMPARE_CONFIDENCE 0.95
#define COMPARE_MAX_RUNS 64

/* The values of one metric in one run, ascending. */
struct compare_run {
    double *values; /* owned by whoever made the run */
    size_t n;
};

/* Requests of the measurement that succeeded or failed. */
struct compare_requests {
    size_t n, n_failed; /* n_failed <= n */
};

struct compare_side {
    const struct compare_run *runs;
    size_t n_runs; /* 1..COMPARE_MAX_RUNS, none of them empty */
};

enum verdict { VERDICT_PASS, VERDICT_IMPROVED, VERDICT_INCONCLUSIVE, VERDICT_REGRESSED };

struct compare_result {
    double base, new;             /* mean of the medians of the runs */
    double ratio;                 /* new / base */
    double ratio_low, ratio_high; /* its interval */
    double p_value;               /* of the rank test; NaN: too few runs for it */
    double p_adjusted;            /* after Holm */
    double detectable; /* least change that would be called a regression 4 times of 5: 0.03 */
    enum verdict verdict;
};

struct compare_settings {
    double tolerance; /* 0.05: a change of 5 % is none */
    size_t n_metrics; /* compared at once: intervals are widened for it (Bonferroni) */
    int64_t seed;
};

/* Fill all but p_adjusted and verdict. The interval comes from a hierarchical bootstrap: runs are
 * drawn with replacement, then requests within them. */
void compare_measure(struct compare_result *out, struct compare_side base, struct compare_side new,
                     const struct compare_settings *settings);

/* Fill p_adjusted of all, by Holm's method. */
void compare_adjust(struct compare_result *results, size_t n);

/* The verdict on an adjusted result. Changes by less than the tolerance are none; where the rank
 * test is possible, it must agree that there is a change. */
enum verdict compare_judge(const struct compare_result *r, double tolerance, bool is_larger_better);

/* Two-sided p of the exact rank test (Wilcoxon, Mann and Whitney) with ties, for two lists of up to
 * COMPARE_MAX_RUNS values. */
double compare_rank_test(const double *a, size_t n_a, const double *b, size_t n_b);

/* One-sided p of Fisher's exact test: how likely is it that chance alone gives the new side so many
 * of all failures, or more? 1 when nothing failed. */
double compare_failure_test(struct compare_requests base, struct compare_requests new);

/* Regressed when more of the new side's requests failed, beyond chance; pass otherwise. */
enum verdict compare_judge_failures(double p_value);
