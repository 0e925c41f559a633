/* The shape of the generated tables in unicode_tables.c. Only unicode*.c look at them; the rest
 * of the program asks text/unicode.h. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define UNICODE_BLOCK 128 /* code points per block of the two-stage table */

/* What characters of one kind have in common. */
struct unicode_record {
    uint8_t flags;     /* enum unicode_flag */
    uint8_t cluster;   /* enum unicode_cluster: Grapheme_Cluster_Break */
    uint8_t combining; /* rank of the canonical combining class; 0: starter */
};

enum unicode_flag {
    UNICODE_LETTER = 1,           /* \p{L} */
    UNICODE_NUMBER = 2,           /* \p{N} */
    UNICODE_SPACE = 4,            /* White_Space */
    UNICODE_WORD = 8,             /* \w */
    UNICODE_PICTOGRAPH = 16,      /* Extended_Pictographic */
    UNICODE_INCB_LINKER = 32,     /* Indic_Conjunct_Break=Linker */
    UNICODE_INCB_EXTEND = 64,     /* Indic_Conjunct_Break=Extend */
    UNICODE_INCB_CONSONANT = 128, /* Indic_Conjunct_Break=Consonant */
};

enum unicode_cluster {
    CLUSTER_OTHER,
    CLUSTER_CR,
    CLUSTER_LF,
    CLUSTER_CONTROL,
    CLUSTER_EXTEND,
    CLUSTER_ZWJ,
    CLUSTER_REGIONAL,
    CLUSTER_PREPEND,
    CLUSTER_SPACING_MARK,
    CLUSTER_L,
    CLUSTER_V,
    CLUSTER_T,
    CLUSTER_LV,
    CLUSTER_LVT,
};

struct unicode_mapping {
    uint32_t code;
    uint32_t to[4]; /* zero-terminated when shorter */
};

struct unicode_pair {
    uint32_t first, second, composed;
};

extern const struct unicode_record UNICODE_RECORDS[];
extern const uint16_t UNICODE_STAGE[];                /* block of code / UNICODE_BLOCK */
extern const uint8_t UNICODE_BLOCKS[][UNICODE_BLOCK]; /* record of code % UNICODE_BLOCK */
extern const struct unicode_mapping UNICODE_LOWER[], UNICODE_DECOMPOSITIONS[]; /* by code */
extern const struct unicode_pair UNICODE_COMPOSITIONS[]; /* by (first, second) */
extern const size_t UNICODE_N_LOWER, UNICODE_N_DECOMPOSITIONS, UNICODE_N_COMPOSITIONS;

#define UNICODE_LAST 0x10ffffu
#define UNICODE_REPLACEMENT 0xfffdu

static inline const struct unicode_record *unicode_record(uint32_t code)
{
    if (code > UNICODE_LAST)
        code = UNICODE_REPLACEMENT;
    return &UNICODE_RECORDS[UNICODE_BLOCKS[UNICODE_STAGE[code / UNICODE_BLOCK]]
                                          [code % UNICODE_BLOCK]];
}

/* The row of a table sorted by code, or NULL. */
const struct unicode_mapping *unicode_mapping_find(const struct unicode_mapping *table, size_t n,
                                                   uint32_t code);
