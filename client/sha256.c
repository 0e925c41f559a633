#include "client/sha256.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

struct sha256 {
    EVP_MD_CTX *context;
};

static void check(int code)
{
    if (code == 1)
        return;
    fputs("out of memory for a checksum\n", stderr);
    abort();
}

void sha256(const void *bytes, size_t size, uint8_t digest[SHA256_SIZE])
{
    check(EVP_Digest(size ? bytes : "", size, digest, NULL, EVP_sha256(), NULL));
}

struct sha256 *sha256_begin(void)
{
    struct sha256 *s = xmalloc(sizeof *s);
    s->context = EVP_MD_CTX_new();
    check(s->context ? EVP_DigestInit_ex(s->context, EVP_sha256(), NULL) : 0);
    return s;
}

void sha256_add(struct sha256 *s, const void *bytes, size_t size)
{
    check(EVP_DigestUpdate(s->context, bytes, size));
}

void sha256_end(struct sha256 *s, uint8_t digest[SHA256_SIZE])
{
    check(EVP_DigestFinal_ex(s->context, digest, NULL));
    EVP_MD_CTX_free(s->context);
    free(s);
}
