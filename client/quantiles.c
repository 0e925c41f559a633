#include "client/quantiles.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/stats.h"

#define TAIL 0.025       /* on each side: 95 % between */
#define NEGLIGIBLE 1e-18 /* share of a sum beyond which its terms are left out */

const double QUANTILE_RANKS[N_QUANTILES] = {1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9};

/* ---- the binomial distribution -------------------------------------------------------------- */

static double probability(size_t count, double p, size_t at)
{
    double n = (double)count, k = (double)at;
    return exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) +
               (n - k) * log1p(-p));
}

/* P(B < end) for end up to about the mean, where terms fall towards 0. */
static double tail(size_t n, double p, size_t end)
{
    double sum = 0;
    for (size_t k = end; k-- > 0;) {
        double term = probability(n, p, k);
        if (term <= NEGLIGIBLE * sum)
            break;
        sum += term;
    }
    return sum;
}

/* The largest l with P(B < l) <= TAIL, 0 when there is none: the value of rank l is above the
 * percentile with at most that probability. */
static size_t lower_end(size_t n, double p)
{
    double mean = (double)n * p;
    double near = mean - 2 * sqrt(mean * (1 - p)); /* by the normal distribution */
    size_t l = near > 0 ? (size_t)near : 0;
    double sum = tail(n, p, l), next;
    for (; l > 0 && sum > TAIL; l--)
        sum -= probability(n, p, l - 1);
    for (; l < n && sum + (next = probability(n, p, l)) <= TAIL; l++)
        sum += next;
    return l;
}

void quantile_ends(size_t n, double rank, size_t *low, size_t *high)
{
    *low = lower_end(n, rank / 100);
    *high = n + 1 - lower_end(n, 1 - rank / 100); /* counted from above it is the same question */
}

size_t quantile_needs(double rank)
{
    double rarer = rank < 50 ? rank / 100 : 1 - rank / 100; /* (1 - rarer)^n <= TAIL */
    return (size_t)ceil(log(TAIL) / log1p(-rarer));
}

/* ---- values --------------------------------------------------------------------------------- */

void quantiles_compute(struct quantile out[N_QUANTILES], const double *sorted, size_t n)
{
    for (size_t i = 0; i < N_QUANTILES; i++) {
        size_t low, high;
        quantile_ends(n, QUANTILE_RANKS[i], &low, &high);
        out[i] = (struct quantile){.value = stats_percentile(sorted, n, QUANTILE_RANKS[i]),
                                   .low = low >= 1 ? sorted[low - 1] : NAN,
                                   .high = high <= n ? sorted[high - 1] : NAN};
    }
}
