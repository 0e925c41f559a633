/* Base64, RFC 4648 section 4 (standard alphabet, padded). */
#pragma once

#include <stddef.h>

#include "base/buf.h"

/* Append the code of size bytes; writes 4 * ceil(size / 3) characters. */
void base64_encode(struct buf *out, const void *bytes, size_t size);

/* Append the decoded bytes of text[0..size). White space is skipped. Any other foreign character,
 * bad padding or stray bits is ERR_INVALID with its position; out is then as before. */
bool base64_decode(struct buf *out, const char *text, size_t size, struct error *err);
