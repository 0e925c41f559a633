/* SHA-256 (FIPS 180-4), by which pictures are told apart. The file knows libcrypto, which uses the
 * processor's instructions for it: pictures are hashed at some gigabytes a second. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32

void sha256(const void *bytes, size_t size, uint8_t digest[SHA256_SIZE]);

/* The same in pieces: begin, add, end, which gives the digest and frees. */
struct sha256;
struct sha256 *sha256_begin(void);
void sha256_add(struct sha256 *s, const void *bytes, size_t size);
void sha256_end(struct sha256 *s, uint8_t digest[SHA256_SIZE]);
