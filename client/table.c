#include "client/table.h"

#include <stdlib.h>
#include <string.h>

/* Characters (not bytes) of text[0..size). */
static size_t count_chars(const char *text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

/* Line number `index` of a cell, empty past its last one. */
static const char *cell_line(const char *cell, size_t index, size_t *size)
{
    for (; index > 0 && *cell; index--) {
        cell += strcspn(cell, "\n");
        cell += *cell == '\n';
    }
    *size = strcspn(cell, "\n");
    return cell;
}

static size_t count_lines(const char *cell)
{
    size_t n = 1;
    for (const char *p = cell; (p = strchr(p, '\n')); p++)
        n++;
    return n;
}

void table_add_row(struct table *t, char **cells)
{
    t->cells = xrealloc(t->cells, (t->n_rows + 1) * sizeof *t->cells);
    t->cells[t->n_rows++] = cells;
}

void table_free(struct table *t)
{
    for (size_t i = 0; i < t->n_rows; i++) {
        for (size_t k = 0; k < t->n_columns; k++)
            free(t->cells[i][k]);
        free(t->cells[i]);
    }
    free(t->cells);
}

static size_t column_width(const struct table *t, size_t column)
{
    size_t width = count_chars(t->heads[column], strlen(t->heads[column]));
    for (size_t i = 0; i < t->n_rows; i++) {
        const char *cell = t->cells[i][column];
        for (size_t k = 0; k < count_lines(cell); k++) {
            size_t size, n;
            const char *line = cell_line(cell, k, &size);
            n = count_chars(line, size);
            width = n > width ? n : width;
        }
    }
    return width;
}

static void put_many(struct buf *out, const char *text, size_t n)
{
    while (n-- > 0)
        buf_puts(out, text);
}

static void put_rule(struct buf *out, const struct table *t, const size_t *widths,
                     const char *const marks[4]) /* left, line, joint, right */
{
    buf_puts(out, marks[0]);
    for (size_t k = 0; k < t->n_columns; k++) {
        if (k > 0)
            buf_puts(out, marks[2]);
        put_many(out, marks[1], widths[k] + 2);
    }
    buf_puts(out, marks[3]);
    buf_putc(out, '\n');
}

static void put_line(struct buf *out, const struct table *t, const size_t *widths,
                     const char *const *cells, size_t index, const char *bar)
{
    for (size_t k = 0; k < t->n_columns; k++) {
        size_t size;
        const char *line = cell_line(cells[k], index, &size);
        size_t gap = widths[k] - count_chars(line, size);
        buf_printf(out, "%s ", bar);
        put_many(out, " ", t->is_left[k] ? 0 : gap);
        buf_append(out, line, size);
        put_many(out, " ", t->is_left[k] ? gap + 1 : 1);
    }
    buf_printf(out, "%s\n", bar);
}

void table_print(struct buf *out, const struct table *t)
{
    static const char *const TOP[4] = {"┏", "━", "┳", "┓"};
    static const char *const MIDDLE[4] = {"┡", "━", "╇", "┩"};
    static const char *const BOTTOM[4] = {"└", "─", "┴", "┘"};
    size_t widths[TABLE_MAX_COLUMNS], total = 1;
    for (size_t k = 0; k < t->n_columns; k++) {
        widths[k] = column_width(t, k);
        total += widths[k] + 3;
    }
    size_t n_title = strlen(t->title), space = total > n_title ? total - n_title : 0;
    put_many(out, " ", space / 2);
    buf_puts(out, t->title);
    put_many(out, " ", space - space / 2);
    buf_putc(out, '\n');
    put_rule(out, t, widths, TOP);
    put_line(out, t, widths, t->heads, 0, "┃");
    put_rule(out, t, widths, MIDDLE);
    for (size_t i = 0; i < t->n_rows; i++) {
        size_t n_lines = 1;
        for (size_t k = 0; k < t->n_columns; k++) {
            size_t n = count_lines(t->cells[i][k]);
            n_lines = n > n_lines ? n : n_lines;
        }
        for (size_t n = 0; n < n_lines; n++)
            put_line(out, t, widths, (const char *const *)t->cells[i], n, "│");
    }
    put_rule(out, t, widths, BOTTOM);
}
