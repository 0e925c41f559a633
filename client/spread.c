#include "client/spread.h"

#include <float.h>
#include <math.h>

#define MAX_TERMS 300
#define SMALLEST 1e-300 /* in place of a zero denominator */

/* ---- Student's distribution ----------------------------------------------------------------- */

static double not_zero(double x) { return fabs(x) < SMALLEST ? SMALLEST : x; }

/* The continued fraction of the incomplete beta function (Abramowitz & Stegun 26.5.8), evaluated
 * by Lentz's method; it converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double a, double b, double x)
{
    double c = 1, d = 1 / not_zero(1 - (a + b) * x / (a + 1)), result = d;
    for (int m = 1; m <= MAX_TERMS; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / not_zero(1 + even * d);
        c = not_zero(1 + even / c);
        result *= d * c;
        d = 1 / not_zero(1 + odd * d);
        c = not_zero(1 + odd / c);
        result *= d * c;
        if (fabs(d * c - 1) < DBL_EPSILON)
            break;
    }
    return result;
}

/* The regularised incomplete beta function I_x(a, b), 0 <= x <= 1. */
static double beta_share(double a, double b, double x)
{
    if (x <= 0 || x >= 1)
        return x <= 0 ? 0 : 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

static double probability_outside(double degrees, double t)
{
    return beta_share(degrees / 2, 0.5, degrees / (degrees + t * t));
}

double spread_t(size_t degrees, double confidence)
{
    double low = 0, high = 1;
    while (probability_outside((double)degrees, high) > 1 - confidence)
        high *= 2;
    for (;;) {
        double middle = (low + high) / 2;
        if (middle <= low || middle >= high)
            return middle;
        if (probability_outside((double)degrees, middle) > 1 - confidence)
            low = middle;
        else
            high = middle;
    }
}

/* ---- statistics ----------------------------------------------------------------------------- */

struct spread spread_compute(const double *values, size_t n)
{
    struct spread s = {n, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    if (n == 0)
        return s;
    double sum = 0, squares = 0;
    s.min = s.max = values[0];
    for (size_t i = 0; i < n; i++) {
        sum += values[i];
        s.min = fmin(s.min, values[i]);
        s.max = fmax(s.max, values[i]);
    }
    s.mean = s.min == s.max ? s.min : sum / (double)n; /* equal ones differ by no rounding */
    if (n < 2)
        return s;
    for (size_t i = 0; i < n; i++)
        squares += (values[i] - s.mean) * (values[i] - s.mean);
    s.std = sqrt(squares / (double)(n - 1));
    s.cv = s.mean != 0 ? s.std / fabs(s.mean) : NAN;
    double half = spread_t(n - 1, SPREAD_CONFIDENCE) * s.std / sqrt((double)n);
    s.low = s.mean - half;
    s.high = s.mean + half;
    return s;
}
