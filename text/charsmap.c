/* Units of the double array (Darts-clone): bits 0-7 and 31 are the label, bit 8 says that a
 * string ends here, bits 10-30 are the offset, shifted by 8 more when bit 9 is set. A leaf keeps
 * its value in bits 0-30. */
#include "text/charsmap.h"

#include <stdlib.h>
#include <string.h>

#include "text/unicode.h"

#define UNIT_LEAF (1u << 8)
#define UNIT_WIDE (1u << 9)
#define UNIT_LABEL ((1u << 31) | 0xffu)
#define UNIT_VALUE ((1u << 31) - 1)
#define SHORT_CLUSTER 6 /* bytes; clusters below this are looked up whole */

static uint32_t read_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

bool charsmap_open(struct charsmap *map, const void *bytes, size_t size, struct error *err)
{
    const uint8_t *p = bytes;
    *map = (struct charsmap){0};
    size_t trie_bytes = size >= 4 ? read_le32(p) : 0;
    if (size < 4 || trie_bytes > size - 4 || trie_bytes < 4 || trie_bytes % 4 != 0)
        return fail(err, ERR_INVALID,
                    "the precompiled charsmap of %zu bytes is cut short or malformed (its trie "
                    "claims %zu bytes)",
                    size, trie_bytes);
    const char *strings = (const char *)p + 4 + trie_bytes;
    size_t n_strings = size - 4 - trie_bytes;
    if (!utf8_valid(strings, n_strings))
        return fail(err, ERR_INVALID, "the precompiled charsmap's replacements are not UTF-8");
    map->n_units = trie_bytes / 4;
    map->units = xmalloc(trie_bytes);
    for (size_t i = 0; i < map->n_units; i++)
        map->units[i] = read_le32(p + 4 + 4 * i);
    buf_append(&map->strings, strings, n_strings);
    return true;
}

void charsmap_close(struct charsmap *map)
{
    free(map->units);
    buf_free(&map->strings);
    *map = (struct charsmap){0};
}

static size_t unit_offset(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & UNIT_WIDE) >> 6);
}

/* What the shortest known prefix of text stands for; NULL when there is none. The file is not
 * trusted: an offset out of range ends the search. */
static const char *replacement(const struct charsmap *map, const char *text, size_t size,
                               size_t *length)
{
    size_t at = unit_offset(map->units[0]);
    for (size_t i = 0; i < size && text[i] != '\0'; i++) {
        uint8_t byte = (uint8_t)text[i];
        at ^= byte;
        if (at >= map->n_units || (map->units[at] & UNIT_LABEL) != byte)
            return NULL;
        uint32_t unit = map->units[at];
        at ^= unit_offset(unit);
        if (!(unit & UNIT_LEAF))
            continue;
        if (at >= map->n_units)
            return NULL;
        size_t start = map->units[at] & UNIT_VALUE;
        if (start > map->strings.size)
            return NULL;
        const char *found = map->strings.size ? map->strings.data + start : "";
        const char *end = memchr(found, '\0', map->strings.size - start);
        *length = end ? (size_t)(end - found) : map->strings.size - start;
        return found;
    }
    return NULL;
}

void charsmap_apply(const struct charsmap *map, const char *text, size_t size, struct buf *out)
{
    for (size_t at = 0; at < size;) {
        size_t cluster = unicode_cluster_length(text + at, size - at), length;
        const char *found =
            cluster < SHORT_CLUSTER ? replacement(map, text + at, cluster, &length) : NULL;
        if (found) {
            buf_append(out, found, length);
            at += cluster;
            continue;
        }
        for (size_t end = at + cluster; at < end;) {
            uint32_t code;
            size_t n = utf8_decode(text + at, end - at, &code);
            found = replacement(map, text + at, n, &length);
            if (found)
                buf_append(out, found, length);
            else
                buf_append(out, text + at, n);
            at += n;
        }
    }
}
