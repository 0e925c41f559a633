/* SHA-256 (FIPS 180-4), by which pictures are told apart. The file knows libcrypto, which uses the
 * processor's instructions for it: pictures are hashed at some gigabytes a second. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32

void sha256(const void *bytes, size_t size, uint8_t digest[SHA256_SIZE]);
