#include "client/compare_stats.h"

#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "client/random.h"
#include "client/stats.h"

#define N_REPLICATES 4000
#define ALPHA (1 - COMPARE_CONFIDENCE)
/* Normal quantiles of 1 - ALPHA/2 and of a power of 80 %: an effect must be so many standard
 * errors large to be found that often. */
#define Z_FOUND (1.959964 + 0.841621)

/* ---- bootstrap ------------------------------------------------------------------------------ */

static double center(struct compare_side side)
{
    double sum = 0;
    for (size_t i = 0; i < side.n_runs; i++)
        sum += stats_percentile(side.runs[i].values, side.runs[i].n, 50);
    return sum / (double)side.n_runs;
}

/* The median of n values drawn from a run with replacement, without drawing them: the k-th of n
 * uniform numbers has the distribution Beta(k, n - k + 1), and tells where in the list it falls.
 * For an even n one of the two middle ones is taken, so that both sides have the same chance. */
static double resampled_median(const struct compare_run *run, struct random *random)
{
    size_t n = run->n;
    size_t k = n % 2 ? n / 2 + 1 : n / 2 + (size_t)random_below(random, 2);
    double x = random_gamma(random, (double)k, 1), y = random_gamma(random, (double)(n - k + 1), 1);
    size_t at = (size_t)((double)n * (x / (x + y)));
    return run->values[at < n ? at : n - 1];
}

static double resampled_center(struct compare_side side, struct random *random)
{
    double sum = 0;
    for (size_t i = 0; i < side.n_runs; i++)
        sum += resampled_median(&side.runs[random_below(random, side.n_runs)], random);
    return sum / (double)side.n_runs;
}

static void bootstrap(struct compare_result *r, struct compare_side base, struct compare_side new,
                      const struct compare_settings *settings)
{
    struct random random;
    double *ratios = xcalloc(N_REPLICATES, sizeof *ratios);
    double alpha = ALPHA / (double)(settings->n_metrics ? settings->n_metrics : 1);
    random_init(&random, settings->seed, "compare.bootstrap");
    for (size_t i = 0; i < N_REPLICATES; i++) {
        double below = resampled_center(base, &random);
        ratios[i] = log(resampled_center(new, &random) / below);
    }
    struct stats s = stats_compute(ratios, N_REPLICATES); /* sorts them */
    r->ratio_low = exp(stats_percentile(ratios, N_REPLICATES, 100 * alpha / 2));
    r->ratio_high = exp(stats_percentile(ratios, N_REPLICATES, 100 * (1 - alpha / 2)));
    r->detectable = (1 + settings->tolerance) * exp(Z_FOUND * s.std) - 1;
    free(ratios);
}

/* ---- rank test ------------------------------------------------------------------------------ */

struct ranked {
    double value;
    bool is_first; /* of list a */
};

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* ways[k][s]: how many choices of k of the ranks have the sum s. Ranks are doubled, so that those
 * of ties, which are halves, are whole. */
static double rank_p(const size_t *ranks, size_t n, size_t n_first, size_t observed)
{
    size_t n_sums = 2 * n * n + 1;
    double *ways = xcalloc((n_first + 1) * n_sums, sizeof *ways), total = 0, extreme = 0;
    ways[0] = 1;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = n_first; k-- > 0;) {
            for (size_t s = 0; s + ranks[i] < n_sums; s++)
                ways[(k + 1) * n_sums + s + ranks[i]] += ways[k * n_sums + s];
        }
    }
    double mean = (double)(n_first * (n + 1)); /* doubled as well */
    double distance = fabs((double)observed - mean);
    for (size_t s = 0; s < n_sums; s++) {
        double count = ways[n_first * n_sums + s];
        total += count;
        if (fabs((double)s - mean) >= distance)
            extreme += count;
    }
    free(ways);
    return extreme / total;
}

double compare_rank_test(const double *a, size_t n_a, const double *b, size_t n_b)
{
    struct ranked all[2 * COMPARE_MAX_RUNS];
    size_t ranks[2 * COMPARE_MAX_RUNS], n = n_a + n_b, observed = 0;
    for (size_t i = 0; i < n; i++)
        all[i] = i < n_a ? (struct ranked){a[i], true} : (struct ranked){b[i - n_a], false};
    qsort(all, n, sizeof *all, compare_ranked);
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && all[to].value == all[from].value;)
            to++;
        for (size_t i = from; i < to; i++) {
            ranks[i] = from + to + 1; /* twice the mean of from + 1 .. to */
            observed += all[i].is_first ? ranks[i] : 0;
        }
    }
    return rank_p(ranks, n, n_a, observed);
}

/* Can the test reach ALPHA at all? Its least p is 2 / (number of ways to deal out the runs). */
static bool has_power(size_t n_a, size_t n_b)
{
    double ways = 1;
    for (size_t i = 1; i <= n_a; i++)
        ways *= (double)(n_b + i) / (double)i;
    return 2 / ways <= ALPHA;
}

static void test_ranks(struct compare_result *r, struct compare_side base, struct compare_side new)
{
    double a[COMPARE_MAX_RUNS], b[COMPARE_MAX_RUNS];
    r->p_value = NAN;
    if (!has_power(base.n_runs, new.n_runs))
        return;
    for (size_t i = 0; i < base.n_runs; i++)
        a[i] = stats_percentile(base.runs[i].values, base.runs[i].n, 50);
    for (size_t i = 0; i < new.n_runs; i++)
        b[i] = stats_percentile(new.runs[i].values, new.runs[i].n, 50);
    r->p_value = compare_rank_test(a, base.n_runs, b, new.n_runs);
}

/* ---- failed requests ------------------------------------------------------------------------ */

/* Given how many failed in all, the number of them on the new side is hypergeometric. One term
 * follows from the one before it; the sum of all makes them probabilities. Terms are kept as
 * logarithms relative to the greatest one, so that thousands of requests neither over- nor
 * underflow. */
double compare_failure_test(struct compare_requests base, struct compare_requests new)
{
    size_t n_failed = base.n_failed + new.n_failed;
    size_t least = n_failed > base.n ? n_failed - base.n : 0;
    size_t most = n_failed < new.n ? n_failed : new.n;
    double *terms = xcalloc(most - least + 1, sizeof *terms), greatest = 0, all = 0, extreme = 0;
    for (size_t k = least; k < most; k++) {
        double up = (double)(n_failed - k) * (double)(new.n - k);
        double down = (double)(k + 1) * (double)(base.n + k + 1 - n_failed);
        terms[k + 1 - least] = terms[k - least] + log(up / down);
        greatest = fmax(greatest, terms[k + 1 - least]);
    }
    for (size_t k = least; k <= most; k++) {
        double term = exp(terms[k - least] - greatest);
        all += term;
        extreme += k >= new.n_failed ? term : 0;
    }
    free(terms);
    return extreme / all;
}

enum verdict compare_judge_failures(double p_value)
{
    return p_value <= ALPHA ? VERDICT_REGRESSED : VERDICT_PASS;
}

/* ---- all together --------------------------------------------------------------------------- */

void compare_measure(struct compare_result *out, struct compare_side base, struct compare_side new,
                     const struct compare_settings *settings)
{
    *out = (struct compare_result){.base = center(base), .new = center(new), .p_adjusted = NAN};
    out->ratio = out->new / out->base;
    bootstrap(out, base, new, settings);
    test_ranks(out, base, new);
}

/* The result with the least p that is not adjusted yet; NULL: none is left. */
static struct compare_result *least_open(struct compare_result *results, size_t n)
{
    struct compare_result *least = NULL;
    for (size_t i = 0; i < n; i++) {
        struct compare_result *r = &results[i];
        bool is_open = !isnan(r->p_value) && isnan(r->p_adjusted);
        if (is_open && (!least || r->p_value < least->p_value))
            least = r;
    }
    return least;
}

void compare_adjust(struct compare_result *results, size_t n)
{
    struct compare_result *r;
    size_t n_left = 0;
    double highest = 0;
    for (size_t i = 0; i < n; i++) {
        results[i].p_adjusted = NAN;
        n_left += isnan(results[i].p_value) ? 0 : 1;
    }
    for (; (r = least_open(results, n)); n_left--) {
        highest = fmax(highest, fmin(1, (double)n_left * r->p_value));
        r->p_adjusted = highest;
    }
}

enum verdict compare_judge(const struct compare_result *r, double tolerance, bool is_larger_better)
{
    /* as how many times worse */
    double low = is_larger_better ? 1 / r->ratio_high : r->ratio_low;
    double high = is_larger_better ? 1 / r->ratio_low : r->ratio_high;
    bool is_agreed = isnan(r->p_adjusted) || r->p_adjusted <= ALPHA;
    if (low > 1 + tolerance)
        return is_agreed ? VERDICT_REGRESSED : VERDICT_INCONCLUSIVE;
    if (high > 1 + tolerance)
        return VERDICT_INCONCLUSIVE;
    return high < 1 / (1 + tolerance) && is_agreed ? VERDICT_IMPROVED : VERDICT_PASS;
}
