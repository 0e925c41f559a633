/* On libcrypto, which libcurl brings along anyway and which uses the processor's SHA instructions:
 * large files are hashed while they arrive, faster than most networks deliver. */
#include "hub/digest.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define SHA1_DIGITS 40
#define SHA256_DIGITS 64

struct digest {
    EVP_MD_CTX *context;
};

enum digest_kind digest_kind_of(const char *name)
{
    size_t size = strlen(name);
    if (strspn(name, "0123456789abcdef") != size)
        return DIGEST_NONE;
    return size == SHA1_DIGITS ? DIGEST_GIT_SHA1 : size == SHA256_DIGITS ? DIGEST_SHA256 : 0;
}

struct digest *digest_open(enum digest_kind kind, int64_t size)
{
    struct digest *d = xcalloc(1, sizeof *d);
    d->context = EVP_MD_CTX_new();
    const EVP_MD *algorithm = kind == DIGEST_SHA256 ? EVP_sha256() : EVP_sha1();
    if (!d->context || EVP_DigestInit_ex(d->context, algorithm, NULL) != 1)
        abort(); /* out of memory */
    if (kind == DIGEST_GIT_SHA1) {
        char head[32]; /* the NUL at its end counts */
        int n = snprintf(head, sizeof head, "blob %" PRId64, size);
        digest_update(d, head, (size_t)n + 1);
    }
    return d;
}

void digest_update(struct digest *d, const void *bytes, size_t size)
{
    if (EVP_DigestUpdate(d->context, bytes, size) != 1)
        abort(); /* can't happen with these algorithms */
}

bool digest_matches(struct digest *d, const char *name)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    char text[2 * EVP_MAX_MD_SIZE + 1] = "";
    unsigned size = 0;
    if (EVP_DigestFinal_ex(d->context, hash, &size) != 1)
        abort();
    for (unsigned i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
    return strcmp(text, name) == 0;
}

void digest_close(struct digest *d)
{
    if (d)
        EVP_MD_CTX_free(d->context);
    free(d);
}
