/* The binary parts of a T5 tokenizer from any bytes: a SentencePiece file with its character map,
 * and a character map by itself. What opens must be usable on any text. */
#include "base/buf.h"
#include "tests/fuzz/fuzz.h"
#include "text/charsmap.h"
#include "text/sentencepiece.h"
#include "text/unicode.h"

static const char TEXT[] = "A \xef\xac\x81 e\xcc\x81 \xe2\x85\xa7 \xf0\x9f\x98\x80 z";

static void use(const char *bytes, size_t size, const char *text, size_t text_size)
{
    struct charsmap map;
    struct buf out = {0};
    if (charsmap_open(&map, bytes, size, NULL)) {
        charsmap_apply(&map, text, text_size, &out);
        charsmap_apply(&map, TEXT, sizeof TEXT - 1, &out);
    }
    charsmap_close(&map);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sentencepiece s = {0};
    struct buf text = {0};
    utf8_append_valid(&text, (const char *)data, size);
    use((const char *)data, size, text.data, text.size);
    if (sentencepiece_parse(&s, (const char *)data, size, NULL)) {
        for (size_t i = 0; i < s.n_pieces; i++)
            CLAIM(utf8_valid(s.pieces[i].text, s.pieces[i].size));
        if (s.charsmap)
            use(s.charsmap, s.charsmap_size, text.data, text.size);
    }
    sentencepiece_free(&s);
    buf_free(&text);
    return 0;
}
