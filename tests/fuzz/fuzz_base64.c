/* Decoding anything; what decodes is the code of what comes out, white space apart. */
#include <string.h>

#include "base/base64.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf bytes = {0}, code = {0}, text = {0};
    struct error err = {0};
    if (base64_decode(&bytes, (const char *)data, size, &err)) {
        base64_encode(&code, bytes.data, bytes.size);
        for (size_t i = 0; i < size; i++) {
            if (data[i] != ' ' && (data[i] < '\t' || data[i] > '\r'))
                buf_putc(&text, (char)data[i]);
        }
        CLAIM(text.size == code.size);
        CLAIM(text.size == 0 || memcmp(text.data, code.data, text.size) == 0);
    } else {
        CLAIM(err.code == ERR_INVALID && bytes.size == 0);
    }
    buf_free(&bytes);
    buf_free(&code);
    buf_free(&text);
    return 0;
}
