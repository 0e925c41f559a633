#include "text/tokenize_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "base/buf.h"
#include "text/json_string_line.h"

static bool is_empty(const char *line, size_t size) { return strspn(line, " \t\r\n") >= size; }

static void print_ids(const struct token_ids *ids, struct buf *line)
{
    buf_putc(line, '[');
    for (size_t i = 0; i < ids->n_ids; i++)
        buf_printf(line, i ? ", %d" : "%d", (int)ids->ids[i]);
    buf_puts(line, "]\n");
}

bool tokenize_lines(const struct tokenizer *t, FILE *in, FILE *out, struct error *err)
{
    struct buf text = {0}, answer = {0};
    struct token_ids ids = {0};
    char *line = NULL;
    size_t capacity = 0;
    bool ok = true;
    ssize_t size;
    for (size_t number = 1; ok && (size = getline(&line, &capacity, in)) >= 0; number++) {
        if (is_empty(line, (size_t)size))
            continue;
        buf_clear(&text);
        buf_clear(&answer);
        ids.n_ids = 0;
        if (!json_string_line_decode(&text, line, (size_t)size, err)) {
            ok = error_prefix(err, "line %zu", number);
            break;
        }
        tokenizer_encode(t, text.data ? text.data : "", text.size, &ids);
        print_ids(&ids, &answer);
        if (fwrite(answer.data, 1, answer.size, out) != answer.size)
            ok = fail(err, ERR_IO, "can't write the ids: %s", strerror(errno));
    }
    if (ok && ferror(in))
        ok = fail(err, ERR_IO, "can't read the lines: %s", strerror(errno));
    if (ok && fflush(out) != 0)
        ok = fail(err, ERR_IO, "can't write the ids: %s", strerror(errno));
    free(line);
    token_ids_free(&ids);
    buf_free(&text);
    buf_free(&answer);
    return ok;
}
