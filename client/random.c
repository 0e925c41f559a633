#include "client/random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define N 624
#define M 397

/* ---- Mersenne Twister ----------------------------------------------------------------------- */

static void seed_word(struct random *r, uint32_t seed)
{
    r->state[0] = seed;
    for (uint32_t i = 1; i < N; i++)
        r->state[i] = 1812433253u * (r->state[i - 1] ^ (r->state[i - 1] >> 30)) + i;
    r->at = N;
    r->spare_gauss = NAN;
}

/* The authors' init_by_array, which Python uses with the 32-bit words of the seed. */
void random_init_seed(struct random *r, uint64_t seed)
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t n_key = key[1] ? 2 : 1, i = 1, j = 0;
    uint32_t *s = r->state;
    seed_word(r, 19650218u);
    for (int k = 0; k < N; k++) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1664525u)) + key[j] + j;
        if (++i == N) {
            s[0] = s[N - 1];
            i = 1;
        }
        j = (j + 1) % n_key;
    }
    for (int k = 0; k < N - 1; k++) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1566083941u)) - i;
        if (++i == N) {
            s[0] = s[N - 1];
            i = 1;
        }
    }
    s[0] = 0x80000000u;
}

static void refill(struct random *r)
{
    uint32_t *s = r->state;
    for (int i = 0; i < N; i++) {
        uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % N] & 0x7fffffffu);
        s[i] = s[(i + M) % N] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    r->at = 0;
}

uint32_t random_bits(struct random *r)
{
    if (r->at >= N)
        refill(r);
    uint32_t y = r->state[r->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

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

/* ---- SHA-256 -------------------------------------------------------------------------------- */

static const uint32_t SHA_K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha_block(uint32_t h[8], const uint8_t *block)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ (w[i - 15] >> 3);
        uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ (w[i - 2] >> 10);
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    memcpy(v, h, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
        uint32_t choose = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t t1 = v[7] + s1 + choose + SHA_K[i] + w[i];
        uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
        uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += t1;
        v[0] = t1 + s0 + majority;
    }
    for (int i = 0; i < 8; i++)
        h[i] += v[i];
}

void random_sha256(const void *bytes, size_t size, uint8_t digest[32])
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const uint8_t *p = bytes;
    size_t left = size;
    for (; left >= 64; left -= 64, p += 64)
        sha_block(h, p);
    uint8_t tail[128] = {0};
    if (left)
        memcpy(tail, p, left);
    tail[left] = 0x80;
    size_t n_tail = left < 56 ? 64 : 128;
    uint64_t n_bits = (uint64_t)size * 8;
    for (size_t i = 0; i < 8; i++)
        tail[n_tail - 1 - i] = (uint8_t)(n_bits >> (8 * i));
    for (size_t i = 0; i < n_tail; i += 64)
        sha_block(h, tail + i);
    for (int i = 0; i < 32; i++)
        digest[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

/* ---- seeds and names ------------------------------------------------------------------------ */

void random_init(struct random *r, int64_t seed, const char *purpose)
{
    char text[128];
    int n = snprintf(text, sizeof text, "%lld:%s", (long long)seed, purpose);
    uint8_t digest[32];
    random_sha256(text, (size_t)n, digest);
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | digest[i];
    random_init_seed(r, value);
}

static void system_bytes(void *to, size_t size)
{
    if (getrandom(to, size, 0) != (ssize_t)size) { /* never short for so few bytes */
        fputs("the system gives no random bytes\n", stderr);
        abort();
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
    static _Thread_local uint8_t stock[16][16]; /* 256 bytes surely come in one piece */
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
