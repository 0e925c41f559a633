#include "client/random.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client/sha256.h"

/* As Python seeds: with the 32-bit words of the number. */
void random_init_seed(struct random *r, uint64_t seed)
{
    const uint32_t words[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    mt19937_seed_words(&r->words, words, words[1] ? 2 : 1);
    r->spare_gauss = NAN;
}

uint32_t random_bits(struct random *r) { return mt19937_next(&r->words); }

double random_unit(struct random *r)
{
    uint32_t a = random_bits(r) >> 5, b = random_bits(r) >> 6;
    return (a * 67108864.0 + b) / 9007199254740992.0;
}

/* ---- distributions, as Python's random module draws them ------------------------------------ */

uint64_t random_below(struct random *r, uint64_t n)
{
    int n_bits = 0;
    while (n_bits < 64 && n >> n_bits)
        n_bits++;
    for (;;) { /* getrandbits(n_bits) until it fits */
        uint64_t value = random_bits(r);
        if (n_bits <= 32)
            value >>= 32 - n_bits;
        else
            value |= (uint64_t)(random_bits(r) >> (64 - n_bits)) << 32;
        if (value < n)
            return value;
    }
}

double random_exponential(struct random *r, double rate) { return -log(1 - random_unit(r)) / rate; }

double random_gauss(struct random *r, double mean, double std)
{
    double z = r->spare_gauss;
    r->spare_gauss = NAN;
    if (isnan(z)) { /* Box and Muller: two values from two */
        double angle = random_unit(r) * 2 * M_PI;
        double radius = sqrt(-2 * log(1 - random_unit(r)));
        z = cos(angle) * radius;
        r->spare_gauss = sin(angle) * radius;
    }
    return mean + z * std;
}

int64_t random_length(struct random *r, double mean, double std)
{
    if (std <= 0)
        return mean < 1 ? 1 : (int64_t)nearbyint(mean);
    double x;
    do {
        x = random_gauss(r, mean, std);
    } while (x < 0);
    return x < 1 ? 1 : (int64_t)ceil(x);
}

/* Cheng 1977 (GA/GB) above 1, Ahrens and Dieter 1974 (GS) below. */
double random_gamma(struct random *r, double shape, double scale)
{
    if (shape > 1) {
        double a = sqrt(2 * shape - 1), b = shape - log(4), c = shape + a;
        for (;;) {
            double u = random_unit(r);
            if (u <= 1e-7 || u >= 0.9999999)
                continue;
            double w = 1 - random_unit(r);
            double v = log(u / (1 - u)) / a;
            double x = shape * exp(v), z = u * u * w, t = b + c * v - x;
            if (t + (1 + log(4.5)) - 4.5 * z >= 0 || t >= log(z))
                return x * scale;
        }
    }
    if (shape == 1)
        return -log(1 - random_unit(r)) * scale;
    for (;;) {
        double b = (M_E + shape) / M_E, p = b * random_unit(r);
        double x = p <= 1 ? pow(p, 1 / shape) : -log((b - p) / shape);
        double w = random_unit(r);
        if (p > 1 ? w <= pow(x, shape - 1) : w <= exp(-x))
            return x * scale;
    }
}

/* ---- seeds and names ------------------------------------------------------------------------ */

uint64_t random_derive(int64_t seed, const char *purpose)
{
    char text[128];
    int n = snprintf(text, sizeof text, "%lld:%s", (long long)seed, purpose);
    uint8_t digest[32];
    sha256(text, (size_t)n, digest);
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | digest[i];
    return value;
}

void random_init(struct random *r, int64_t seed, const char *purpose)
{
    random_init_seed(r, random_derive(seed, purpose));
}

static void system_bytes(void *to, size_t size)
{
    size_t n = 0;
    while (n < size) { /* more than 256 bytes may come in pieces */
        ssize_t got = getrandom((char *)to + n, size - n, 0);
        if (got < 0 && errno != EINTR) {
            fputs("the system gives no random bytes\n", stderr);
            abort();
        }
        n += got > 0 ? (size_t)got : 0;
    }
}

int64_t random_system_seed(void)
{
    uint32_t seed;
    system_bytes(&seed, sizeof seed);
    return seed;
}

/* Bytes are fetched for many at a time: a call of the system for each costs more than the rest. */
void random_uuid(char out[UUID_SIZE])
{
    static _Thread_local uint8_t stock[128][16];
    static _Thread_local size_t n_left;
    if (n_left == 0) {
        n_left = sizeof stock / sizeof stock[0];
        system_bytes(stock, sizeof stock);
    }
    uint8_t *b = stock[--n_left];
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80); /* variant of RFC 4122 */
    static const char DIGITS[] = "0123456789abcdef";
    char *to = out;
    for (size_t i = 0; i < sizeof stock[0]; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = DIGITS[b[i] >> 4];
        *to++ = DIGITS[b[i] & 15];
    }
    *to = '\0';
}
