/* The two checksums by which the hub names content: SHA-256 of the bytes for large files, and
 * git's blob id, the SHA-1 of "blob SIZE\0" and the bytes, for small ones. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum digest_kind { DIGEST_NONE, DIGEST_GIT_SHA1, DIGEST_SHA256 };

/* The kind whose hexadecimal text (lower case) name is, by its length; DIGEST_NONE for others. */
enum digest_kind digest_kind_of(const char *name);

struct digest;

/* Begin the checksum of size bytes to come; out of memory aborts. */
struct digest *digest_open(enum digest_kind kind, int64_t size);
void digest_update(struct digest *d, const void *bytes, size_t size);
/* True when all bytes together give this name. Ends the checksum: digest_close comes next. */
bool digest_matches(struct digest *d, const char *name);
void digest_close(struct digest *d); /* NULL is fine */
