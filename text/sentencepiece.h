/* SentencePiece model files (spiece.model): a protocol buffer with the tokens, their scores and
 * the normaliser's character map. Only what tokenizing needs is read. */
#pragma once

#include <stddef.h>

#include "base/error.h"

enum sentencepiece_type {
    PIECE_NORMAL = 1,
    PIECE_UNKNOWN = 2,
    PIECE_CONTROL = 3,
    PIECE_USER_DEFINED = 4,
    PIECE_UNUSED = 5,
    PIECE_BYTE = 6,
};

enum sentencepiece_algorithm {
    ALGORITHM_UNIGRAM = 1,
    ALGORITHM_BPE,
    ALGORITHM_WORD,
    ALGORITHM_CHAR
};

struct sentencepiece_piece {
    const char *text; /* in the file's bytes, not NUL-terminated */
    size_t size;
    float score;
    enum sentencepiece_type type;
};

struct sentencepiece {
    struct sentencepiece_piece *pieces; /* owned */
    size_t n_pieces, capacity;
    enum sentencepiece_algorithm algorithm;
    const char *charsmap; /* in the file's bytes; NULL: none */
    size_t charsmap_size;
};

/* Parse a model file; what is found points into bytes. Fails on anything that is no such file. */
bool sentencepiece_parse(struct sentencepiece *s, const char *bytes, size_t size,
                         struct error *err);
void sentencepiece_free(struct sentencepiece *s);
