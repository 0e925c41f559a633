#include "text/word_split.h"

#include <string.h>

#include "text/unicode.h"

enum class {
    LETTER,
    NUMBER,
    SPACE,
    OTHER,
};

static enum class class_at(const char *text, size_t size, size_t *length) {
    uint32_t code; *length = utf8_decode(text, size, &code);
    return unicode_is_letter(code)   ? LETTER
           : unicode_is_number(code) ? NUMBER
           : unicode_is_space(code)  ? SPACE
                                     : OTHER;
}

/* Length of the run of one class from position at on. */
static size_t run_length(const char *text, size_t size, size_t at, enum class class)
{
    size_t end = at, n;
    while (end < size && class_at(text + end, size - end, &n) == class)
        end += n;
    return end - at;
}

/* Length of a contraction 's 't 're 've 'm 'll 'd at the start, or 0. */
static size_t contraction_length(const char *text, size_t size)
{
    static const char *const ENDINGS[] = {"s", "t", "re", "ve", "m", "ll", "d"};
    if (text[0] != '\'')
        return 0;
    for (size_t i = 0; i < sizeof ENDINGS / sizeof *ENDINGS; i++) {
        size_t n = strlen(ENDINGS[i]);
        if (size - 1 >= n && memcmp(text + 1, ENDINGS[i], n) == 0)
            return 1 + n;
    }
    return 0;
}

/* A run of white space leaves its last character to what follows it, if anything does. */
static size_t space_length(const char *text, size_t size)
{
    size_t end = run_length(text, size, 0, SPACE);
    if (end == size)
        return end;
    size_t last = end - 1;
    while (last > 0 && ((unsigned char)text[last] & 0xc0) == 0x80)
        last--;
    return last > 0 ? last : end;
}

size_t word_split_gpt2(const char *text, size_t size)
{
    size_t length = contraction_length(text, size);
    if (length > 0)
        return length;
    size_t n, start = text[0] == ' ' && size > 1 ? 1 : 0;
    enum class class = class_at(text + start, size - start, &n);
    return class == SPACE ? space_length(text, size) : start + run_length(text, size, start, class);
}

size_t word_split_clip(const char *text, size_t size, size_t *space)
{
    static const char *const WHOLE[] = {"<|startoftext|>", "<|endoftext|>"};
    for (size_t i = 0; i < 2; i++)
        if (size >= strlen(WHOLE[i]) && memcmp(text, WHOLE[i], strlen(WHOLE[i])) == 0)
            return strlen(WHOLE[i]);
    size_t length = contraction_length(text, size);
    if (length > 0)
        return length;
    size_t n;
    enum class class = class_at(text, size, &n);
    if (class == SPACE) {
        *space = run_length(text, size, 0, SPACE);
        return 0;
    }
    return class == NUMBER ? n : run_length(text, size, 0, class);
}
