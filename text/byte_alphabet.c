#include "text/byte_alphabet.h"

#include "text/unicode.h"

#define FIRST_STAND_IN 0x100u

static bool stands_for_itself(uint32_t code)
{
    return (code >= 0x21 && code <= 0x7e) || (code >= 0xa1 && code <= 0xac) ||
           (code >= 0xae && code <= 0xff);
}

uint32_t byte_alphabet_code(uint8_t byte)
{
    if (stands_for_itself(byte))
        return byte;
    uint32_t code = FIRST_STAND_IN;
    for (uint32_t b = 0; b < byte; b++)
        code += !stands_for_itself(b);
    return code;
}

int byte_alphabet_byte(uint32_t code)
{
    if (code < FIRST_STAND_IN)
        return stands_for_itself(code) ? (int)code : -1;
    uint32_t nth = code - FIRST_STAND_IN;
    for (uint32_t b = 0; b < 256; b++)
        if (!stands_for_itself(b) && nth-- == 0)
            return (int)b;
    return -1;
}

uint8_t byte_alphabet_nth(size_t n)
{
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t b = 0; b < 256; b++)
            if (stands_for_itself(b) == (pass == 0) && n-- == 0)
                return (uint8_t)b;
    return 0;
}

bool byte_alphabet_decode(struct buf *out, const char *token, size_t size)
{
    size_t before = out->size;
    for (size_t i = 0; i < size;) {
        uint32_t code;
        i += utf8_decode(token + i, size - i, &code);
        int byte = byte_alphabet_byte(code);
        if (byte < 0) {
            out->size = before;
            return false;
        }
        buf_putc(out, (char)byte);
    }
    return true;
}
