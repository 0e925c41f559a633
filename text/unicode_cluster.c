/* Extended grapheme clusters ("user-perceived characters"), Unicode Standard Annex 29. The rules
 * GB3 to GB999 only look at what is already in the cluster, so one pass with three bits of memory
 * is enough. */
#include "text/unicode.h"
#include "text/unicode_tables.h"

struct cluster_state {
    enum unicode_cluster last;
    bool after_pictograph; /* pictograph Extend* */
    bool joins_pictograph; /* pictograph Extend* ZWJ */
    bool after_consonant;  /* consonant (extend | linker)* */
    bool after_linker;     /* the same with at least one linker */
    bool odd_regional;     /* an odd number of regional indicators at the end */
};

static bool is_control(enum unicode_cluster c)
{
    return c == CLUSTER_CONTROL || c == CLUSTER_CR || c == CLUSTER_LF;
}

static bool hangul_joins(enum unicode_cluster a, enum unicode_cluster b)
{
    switch (a) {
    case CLUSTER_L: /* GB6 */
        return b == CLUSTER_L || b == CLUSTER_V || b == CLUSTER_LV || b == CLUSTER_LVT;
    case CLUSTER_LV: /* GB7 */
    case CLUSTER_V:
        return b == CLUSTER_V || b == CLUSTER_T;
    case CLUSTER_LVT: /* GB8 */
    case CLUSTER_T:
        return b == CLUSTER_T;
    default:
        return false;
    }
}

/* True when there is no boundary between the cluster so far and the next character. */
static bool joins(const struct cluster_state *s, const struct unicode_record *next)
{
    enum unicode_cluster c = next->cluster;
    if (s->last == CLUSTER_CR && c == CLUSTER_LF) /* GB3 */
        return true;
    if (is_control(s->last) || is_control(c)) /* GB4, GB5 */
        return false;
    if (hangul_joins(s->last, c))
        return true;
    if (c == CLUSTER_EXTEND || c == CLUSTER_ZWJ || c == CLUSTER_SPACING_MARK) /* GB9, GB9a */
        return true;
    if (s->last == CLUSTER_PREPEND) /* GB9b */
        return true;
    if (next->flags & UNICODE_INCB_CONSONANT) /* GB9c */
        return s->after_linker;
    if (next->flags & UNICODE_PICTOGRAPH) /* GB11 */
        return s->joins_pictograph;
    return s->last == CLUSTER_REGIONAL && c == CLUSTER_REGIONAL && s->odd_regional; /* GB12 */
}

static void advance(struct cluster_state *s, const struct unicode_record *next)
{
    enum unicode_cluster c = next->cluster;
    s->joins_pictograph = s->after_pictograph && c == CLUSTER_ZWJ;
    s->after_pictograph =
        next->flags & UNICODE_PICTOGRAPH || (s->after_pictograph && c == CLUSTER_EXTEND);
    if (next->flags & UNICODE_INCB_CONSONANT) {
        s->after_consonant = true;
        s->after_linker = false;
    } else if (next->flags & UNICODE_INCB_LINKER) {
        s->after_linker = s->after_consonant;
    } else if (!(next->flags & UNICODE_INCB_EXTEND)) {
        s->after_consonant = s->after_linker = false;
    }
    s->odd_regional = c == CLUSTER_REGIONAL && !s->odd_regional;
    s->last = c;
}

size_t unicode_cluster_length(const char *text, size_t size)
{
    struct cluster_state state = {0};
    uint32_t code;
    size_t length = utf8_decode(text, size, &code);
    advance(&state, unicode_record(code));
    while (length < size) {
        uint8_t next = (uint8_t)text[length];
        /* Printable ASCII never joins, except behind a prepended mark. */
        if (next >= 0x20 && next < 0x7f && state.last != CLUSTER_PREPEND)
            break;
        size_t n = utf8_decode(text + length, size - length, &code);
        if (!joins(&state, unicode_record(code)))
            break;
        advance(&state, unicode_record(code));
        length += n;
    }
    return length;
}
