/* What the tokenizer tests share: folders with small vocabularies, and comparing ids. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "text/tokenizer.h"

/* A temporary folder; fixture_close removes it with its files. */
struct fixture {
    char path[64];
};

void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);
void fixture_write(const struct fixture *f, const char *name, const void *bytes, size_t size);
void fixture_puts(const struct fixture *f, const char *name, const char *text);

/* Fail the test unless text gives exactly these ids, ended by -1. */
void assert_ids(const struct tokenizer *t, const char *text, const int32_t *expected);
#define ASSERT_IDS(t, text, ...) assert_ids(t, text, (const int32_t[]){__VA_ARGS__, -1})
