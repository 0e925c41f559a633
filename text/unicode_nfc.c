/* Canonical composition: decompose, put runs of marks into the order of their combining classes,
 * compose again. Hangul syllables are arithmetic, everything else comes from the tables.
 *
 * Text without any character above U+02FF is its own composition (the first combining mark is
 * U+0300), which covers nearly all prompts; it is copied. */
#include <stdlib.h>
#include <string.h>

#include "text/unicode.h"
#include "text/unicode_tables.h"

/* Hangul syllables: L x V x T, Unicode Standard 3.12. */
#define HANGUL_S 0xac00u
#define HANGUL_L 0x1100u
#define HANGUL_V 0x1161u
#define HANGUL_T 0x11a7u /* one before the first final consonant */
#define HANGUL_N_L 19u
#define HANGUL_N_V 21u
#define HANGUL_N_T 28u
#define HANGUL_N_S (HANGUL_N_L * HANGUL_N_V * HANGUL_N_T)

#define MAX_RANK 255 /* combining ranks fit a byte */

struct codes {
    uint32_t *codes;
    size_t n_codes, capacity;
};

static void codes_push(struct codes *list, uint32_t code)
{
    if (list->n_codes == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 256;
        list->codes = xrealloc(list->codes, list->capacity * sizeof *list->codes);
    }
    list->codes[list->n_codes++] = code;
}

static void push_decomposed(struct codes *list, uint32_t code)
{
    if (code < 0xc0) {
        codes_push(list, code);
        return;
    }
    if (code >= HANGUL_S && code < HANGUL_S + HANGUL_N_S) {
        uint32_t s = code - HANGUL_S, t = s % HANGUL_N_T;
        codes_push(list, HANGUL_L + s / (HANGUL_N_V * HANGUL_N_T));
        codes_push(list, HANGUL_V + s / HANGUL_N_T % HANGUL_N_V);
        if (t)
            codes_push(list, HANGUL_T + t);
        return;
    }
    const struct unicode_mapping *parts =
        unicode_mapping_find(UNICODE_DECOMPOSITIONS, UNICODE_N_DECOMPOSITIONS, code);
    if (!parts) {
        codes_push(list, code);
        return;
    }
    for (size_t i = 0; i < 4 && parts->to[i]; i++)
        codes_push(list, parts->to[i]);
}

/* Stable counting sort of one run of marks by rank, so that a text of marks only stays linear. */
static void order_run(uint32_t *run, size_t n, uint32_t *spare)
{
    size_t start[MAX_RANK + 2] = {0};
    for (size_t i = 0; i < n; i++)
        start[unicode_record(run[i])->combining + 1]++;
    for (size_t rank = 1; rank < MAX_RANK + 2; rank++)
        start[rank] += start[rank - 1];
    for (size_t i = 0; i < n; i++)
        spare[start[unicode_record(run[i])->combining]++] = run[i];
    memcpy(run, spare, n * sizeof *run);
}

static void order_marks(struct codes *list)
{
    uint32_t *spare = NULL;
    for (size_t i = 0; i < list->n_codes;) {
        size_t end = i;
        while (end < list->n_codes && unicode_record(list->codes[end])->combining)
            end++;
        if (end - i > 1) {
            if (!spare)
                spare = xmalloc(list->n_codes * sizeof *spare);
            order_run(list->codes + i, end - i, spare);
        }
        i = end + (end == i);
    }
    free(spare);
}

/* The composition of two characters, or 0. */
static uint32_t composed(uint32_t first, uint32_t second)
{
    if (first >= HANGUL_L && first < HANGUL_L + HANGUL_N_L && second >= HANGUL_V &&
        second < HANGUL_V + HANGUL_N_V)
        return HANGUL_S + ((first - HANGUL_L) * HANGUL_N_V + (second - HANGUL_V)) * HANGUL_N_T;
    if (first >= HANGUL_S && first < HANGUL_S + HANGUL_N_S &&
        (first - HANGUL_S) % HANGUL_N_T == 0 && second > HANGUL_T && second < HANGUL_T + HANGUL_N_T)
        return first + (second - HANGUL_T);
    size_t low = 0, high = UNICODE_N_COMPOSITIONS;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct unicode_pair *p = &UNICODE_COMPOSITIONS[middle];
        if (p->first < first || (p->first == first && p->second < second))
            low = middle + 1;
        else
            high = middle;
    }
    const struct unicode_pair *p = &UNICODE_COMPOSITIONS[low];
    return low < UNICODE_N_COMPOSITIONS && p->first == first && p->second == second ? p->composed
                                                                                    : 0;
}

/* Compose in place. A mark joins the last starter unless something between them has the same or
 * a higher class (or is a starter itself). */
static void compose(struct codes *list)
{
    size_t n = 0, starter = SIZE_MAX;
    uint8_t last = 0; /* rank of the last character kept after the starter */
    for (size_t i = 0; i < list->n_codes; i++) {
        uint32_t code = list->codes[i];
        uint8_t rank = unicode_record(code)->combining;
        bool adjacent = starter != SIZE_MAX && n == starter + 1;
        if (starter != SIZE_MAX && (adjacent || (last < rank && last != 0))) {
            uint32_t joined = composed(list->codes[starter], code);
            if (joined) {
                list->codes[starter] = joined;
                continue;
            }
        }
        if (rank == 0)
            starter = n;
        last = rank;
        list->codes[n++] = code;
    }
    list->n_codes = n;
}

static bool is_surely_composed(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((uint8_t)text[i] >= 0xcc) /* lead byte of U+0300 and above */
            return false;
    return true;
}

void unicode_append_nfc(struct buf *out, const char *text, size_t size)
{
    if (is_surely_composed(text, size)) {
        buf_append(out, text, size);
        return;
    }
    struct codes list = {0};
    for (size_t i = 0; i < size;) {
        uint32_t code;
        i += utf8_decode(text + i, size - i, &code);
        push_decomposed(&list, code);
    }
    order_marks(&list);
    compose(&list);
    for (size_t i = 0; i < list.n_codes; i++)
        utf8_append(out, list.codes[i]);
    free(list.codes);
}
