/* Protocol buffers on the wire: a sequence of fields, each a key (number << 3 | wire type) and a
 * value. Field numbers from sentencepiece_model.proto:
 *
 *   model       1 pieces (repeated message), 2 trainer_spec, 3 normalizer_spec
 *   piece       1 piece (string), 2 score (float), 3 type (enum, default normal)
 *   trainer     3 model_type (enum, default unigram)
 *   normalizer  2 precompiled_charsmap (bytes) */
#include "text/sentencepiece.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "text/unicode.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct field {
    uint64_t number;
    enum wire_type type;
    uint64_t value;    /* varint and fixed */
    const char *bytes; /* WIRE_BYTES */
    size_t size;
};

struct message {
    const char *at, *end;
};

static bool varint_read(struct message *m, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && m->at < m->end; shift += 7) {
        uint8_t byte = (uint8_t)*m->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static bool fixed_read(struct message *m, size_t n, uint64_t *value)
{
    if ((size_t)(m->end - m->at) < n)
        return false;
    *value = 0;
    for (size_t i = 0; i < n; i++)
        *value |= (uint64_t)(uint8_t)m->at[i] << (8 * i);
    m->at += n;
    return true;
}

/* The next field; false on malformed bytes. The caller has checked that there are some. */
static bool field_read(struct message *m, struct field *f)
{
    uint64_t key;
    if (!varint_read(m, &key))
        return false;
    *f = (struct field){.number = key >> 3, .type = (enum wire_type)(key & 7)};
    switch (f->type) {
    case WIRE_VARINT:
        return varint_read(m, &f->value);
    case WIRE_FIXED64:
        return fixed_read(m, 8, &f->value);
    case WIRE_FIXED32:
        return fixed_read(m, 4, &f->value);
    case WIRE_BYTES:
        if (!varint_read(m, &f->value) || f->value > (uint64_t)(m->end - m->at))
            return false;
        f->bytes = m->at;
        f->size = (size_t)f->value;
        m->at += f->size;
        return true;
    default:
        return false;
    }
}

static bool piece_parse(struct sentencepiece *s, struct message m)
{
    struct sentencepiece_piece piece = {.text = "", .type = PIECE_NORMAL};
    struct field f;
    while (m.at < m.end) {
        if (!field_read(&m, &f))
            return false;
        if (f.number == 1 && f.type == WIRE_BYTES) {
            piece.text = f.bytes;
            piece.size = f.size;
        } else if (f.number == 2 && f.type == WIRE_FIXED32) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(&piece.score, &bits, sizeof bits);
        } else if (f.number == 3 && f.type == WIRE_VARINT) {
            piece.type = (enum sentencepiece_type)f.value;
        }
    }
    if (s->n_pieces == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 1024;
        s->pieces = xrealloc(s->pieces, s->capacity * sizeof *s->pieces);
    }
    s->pieces[s->n_pieces++] = piece;
    return utf8_valid(piece.text, piece.size);
}

static bool trainer_parse(struct sentencepiece *s, struct message m)
{
    struct field f;
    while (m.at < m.end) {
        if (!field_read(&m, &f))
            return false;
        if (f.number == 3 && f.type == WIRE_VARINT)
            s->algorithm = (enum sentencepiece_algorithm)f.value;
    }
    return true;
}

static bool normalizer_parse(struct sentencepiece *s, struct message m)
{
    struct field f;
    while (m.at < m.end) {
        if (!field_read(&m, &f))
            return false;
        if (f.number == 2 && f.type == WIRE_BYTES) {
            s->charsmap = f.size ? f.bytes : NULL;
            s->charsmap_size = f.size;
        }
    }
    return true;
}

static bool model_parse(struct sentencepiece *s, struct message m)
{
    struct field f;
    while (m.at < m.end) {
        if (!field_read(&m, &f))
            return false;
        if (f.type != WIRE_BYTES)
            continue;
        struct message inner = {f.bytes, f.bytes + f.size};
        bool ok = f.number == 1   ? piece_parse(s, inner)
                  : f.number == 2 ? trainer_parse(s, inner)
                  : f.number == 3 ? normalizer_parse(s, inner)
                                  : true;
        if (!ok)
            return false;
    }
    return true;
}

bool sentencepiece_parse(struct sentencepiece *s, const char *bytes, size_t size, struct error *err)
{
    *s = (struct sentencepiece){.algorithm = ALGORITHM_UNIGRAM};
    if (!model_parse(s, (struct message){bytes, bytes + size}) || s->n_pieces == 0) {
        sentencepiece_free(s);
        return fail(err, ERR_INVALID, "no SentencePiece model: malformed or without pieces");
    }
    return true;
}

void sentencepiece_free(struct sentencepiece *s)
{
    free(s->pieces);
    *s = (struct sentencepiece){0};
}
