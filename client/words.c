/* A prompt is a row of sentences of the form
 *
 *     A <look> <subject> <place>, <light>, <style>.
 *
 * Whole sentences are added until the text is long enough, then words are taken off its end and
 * one-token words put there until the count is exact. */
#include "client/words.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static const char *const LOOKS[] = {
    "weathered", "tiny",      "enormous", "gleaming", "sleepy",  "crooked", "moss covered",
    "elegant",   "forgotten", "cheerful", "stormy",   "golden",  "silent",  "half finished",
    "paper",     "glass",     "wooden",   "copper",   "painted", "ancient", "curious",
};
static const char *const SUBJECTS[] = {
    "lighthouse",       "fishing boat",   "clockwork owl",   "tea house",      "market street",
    "mountain railway", "garden robot",   "lone cyclist",    "red fox",        "observatory",
    "family of otters", "stone bridge",   "hot air balloon", "night train",    "library cat",
    "windmill",         "glass elevator", "flock of cranes", "village square", "desert caravan",
    "street musician",  "paper dragon",   "greenhouse",      "harbour crane",  "snow leopard",
};
static const char *const PLACES[] = {
    "on a rocky coast",         "above the clouds",         "in a quiet valley",
    "beside a frozen lake",     "under a wide night sky",   "between tall houses",
    "at the edge of a forest",  "in the middle of a field", "on the roof of a tower",
    "behind a curtain of rain", "along an old canal",       "inside a hollow tree",
    "over a sea of mist",       "near a sleeping volcano",  "in a city of tomorrow",
};
static const char *const LIGHTS[] = {
    "at dusk",
    "in soft morning light",
    "lit by paper lanterns",
    "at noon",
    "under a pale moon",
    "in warm evening sun",
    "with long shadows",
    "in heavy fog",
    "after the first snow",
    "in the glow of neon",
    "before a storm",
    "by candle light",
};
static const char *const STYLES[] = {
    "oil painting",       "watercolour on rough paper", "wide angle photograph", "pencil drawing",
    "cinematic lighting", "very fine detail",           "muted colours",         "bold flat shapes",
    "seen from above",    "shallow depth of field",     "woodcut print",         "vivid colours",
};
/* One token each, with the space in front, in the vocabularies of gpt2, CLIP and T5. */
static const char *const FILLERS[] = {"light", "water", "day", "night", "red", "blue", "and", "a"};

#define PICK(list, random) (list)[random_below(random, COUNT(list))]

static void add_sentence(struct buf *out, struct random *random)
{
    const char *look = PICK(LOOKS, random);
    const char *article = strchr("aeiou", look[0]) ? "An" : "A";
    if (out->size > 0)
        buf_putc(out, ' ');
    buf_printf(out, "%s %s %s", article, look, PICK(SUBJECTS, random));
    buf_printf(out, " %s", PICK(PLACES, random));
    buf_printf(out, ", %s", PICK(LIGHTS, random));
    buf_printf(out, ", %s.", PICK(STYLES, random));
}

static void cut_to(struct buf *b, size_t size)
{
    assert(b->data && size <= b->size);
    b->size = size;
    b->data[size] = '\0';
}

/* Take off the last word, or the punctuation mark behind it. False when one word is left. */
static bool drop_word(struct buf *b)
{
    if (b->size > 1 && ispunct((unsigned char)b->data[b->size - 1])) {
        cut_to(b, b->size - 1);
        return true;
    }
    size_t at = b->size;
    while (at > 0 && b->data[at - 1] != ' ')
        at--;
    if (at == 0)
        return false;
    cut_to(b, at - 1);
    return true;
}

int64_t words_prompt(struct buf *out, struct random *random, const struct tokens *tokens,
                     int64_t n_tokens)
{
    struct buf text = {0}, sentence = {0};
    for (int64_t n = 0; n < n_tokens;) { /* tokens of sentences add up, nearly */
        buf_clear(&sentence);
        add_sentence(&sentence, random);
        n += tokens_count(tokens, sentence.data, sentence.size);
        if (text.size > 0)
            buf_putc(&text, ' ');
        buf_append(&text, sentence.data, sentence.size);
    }
    while (tokens_count(tokens, text.data, text.size) < n_tokens)
        add_sentence(&text, random);
    int64_t n = tokens_count(tokens, text.data, text.size);
    while (n > n_tokens && drop_word(&text))
        n = tokens_count(tokens, text.data, text.size);
    if (n > n_tokens) { /* a first word of several tokens */
        buf_clear(&text);
        buf_puts(&text, "A");
        n = tokens_count(tokens, text.data, text.size);
    }
    while (n < n_tokens) {
        size_t size = text.size;
        int64_t longer = n;
        for (size_t i = 0; i < COUNT(FILLERS) && longer != n + 1; i++) {
            cut_to(&text, size);
            buf_printf(&text, " %s", FILLERS[random_below(random, COUNT(FILLERS))]);
            longer = tokens_count(tokens, text.data, text.size);
        }
        if (longer <= n || longer > n_tokens) {
            cut_to(&text, size);
            break;
        }
        n = longer;
    }
    buf_append(out, text.data, text.size);
    buf_free(&text);
    buf_free(&sentence);
    return n;
}
