/* Encoding any bytes with all three tokenizers: ids lie within the vocabulary, and GPT-2's read
 * back. */
#include <string.h>

#include "base/buf.h"
#include "tests/fuzz/fuzz.h"
#include "text/tokenizer.h"

#define MODEL FLUXBENCH_SOURCE_DIR "/models/tiny-flux-dev"

static void encode(const struct tokenizer *t, const uint8_t *data, size_t size,
                   struct token_ids *ids)
{
    tokenizer_encode(t, (const char *)data, size, ids);
    for (size_t i = 0; i < ids->n_ids; i++)
        CLAIM(ids->ids[i] >= 0 && (size_t)ids->ids[i] < tokenizer_vocabulary_size(t));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokenizer *clip, *t5, *gpt2; /* opened once: libFuzzer never closes */
    if (!clip) {
        struct error err = {0};
        bool ok = tokenizer_open_clip(&clip, MODEL "/tokenizer", &err) &&
                  tokenizer_open_t5(&t5, MODEL "/tokenizer_2", &err) &&
                  tokenizer_open_gpt2_builtin(&gpt2, &err);
        if (!ok)
            fprintf(stderr, "%s\n", err.text);
        CLAIM(ok);
    }
    struct token_ids a = {0}, b = {0}, c = {0};
    encode(clip, data, size, &a);
    encode(t5, data, size, &b);
    encode(gpt2, data, size, &c);
    token_ids_fit(&a, clip, 77);
    CLAIM(a.n_ids == 77);

    struct buf text = {0}, again = {0};
    struct token_ids d = {0};
    tokenizer_decode(gpt2, c.ids, c.n_ids, &text);
    encode(gpt2, (const uint8_t *)(text.data ? text.data : ""), text.size, &d);
    tokenizer_decode(gpt2, d.ids, d.n_ids, &again);
    CLAIM(text.size == again.size);
    CLAIM(text.size == 0 || memcmp(text.data, again.data, text.size) == 0);
    buf_free(&text);
    buf_free(&again);
    token_ids_free(&a);
    token_ids_free(&b);
    token_ids_free(&c);
    token_ids_free(&d);
    return 0;
}
