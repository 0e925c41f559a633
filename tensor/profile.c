/* One wrapper per operation, made from one list. */
#include "tensor/profile.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tensor/plan.h"

enum { MAX_ROWS = 256, MAX_DEPTH = 8 };

/* An operation whose time is known after the next sync. */
struct pending {
    int row, stamp; /* from stamp to the next one */
};

struct profile {
    struct backend *backend; /* between begin and end */
    const struct backend_ops *original;
    struct backend_ops wrapped;
    struct plan plan;
    const char *ranges[MAX_DEPTH]; /* those that are open, the innermost last */
    int depth;                     /* may be more than fit */
    struct profile_row rows[MAX_ROWS];
    int n_rows;
    struct pending pending[PROFILE_STAMPS / 2];
    int n_pending;
    int64_t begun_ns, all_ns;
};

/* --- counting ---------------------------------------------------------------------------------*/

/* The last row takes what doesn't fit: with the names that model code has, nothing. */
static int row_of(struct profile *p, const char *op)
{
    int depth = p->depth < MAX_DEPTH ? p->depth : MAX_DEPTH;
    const char *range = depth > 0 ? p->ranges[depth - 1] : "";
    for (int i = 0; i < p->n_rows; i++) {
        if (strcmp(p->rows[i].op, op) == 0 && strcmp(p->rows[i].range, range) == 0) {
            return i;
        }
    }
    if (p->n_rows == MAX_ROWS) {
        return MAX_ROWS - 1;
    }
    p->rows[p->n_rows] = (struct profile_row){.range = range, .op = op};
    return p->n_rows++;
}

/* After a sync of a back end that queues. */
static void settle(struct profile *p)
{
    for (int i = 0; i < p->n_pending; i++) {
        const struct pending *m = &p->pending[i];
        p->rows[m->row].seconds += p->original->stamp_seconds(p->backend, m->stamp, m->stamp + 1);
    }
    p->n_pending = 0;
}

static int64_t before(struct profile *p)
{
    if (p->original->stamp == NULL) {
        return clock_now_ns();
    }
    if (p->n_pending == PROFILE_STAMPS / 2) {
        p->original->sync(p->backend);
        settle(p);
    }
    p->original->stamp(p->backend, 2 * p->n_pending);
    return 0;
}

static void after(struct profile *p, const char *op, int64_t start_ns)
{
    struct profile_row *row = &p->rows[row_of(p, op)];
    if (p->original->stamp == NULL) {
        row->seconds += clock_seconds(clock_now_ns() - start_ns);
    } else {
        int stamp = 2 * p->n_pending;
        p->original->stamp(p->backend, stamp + 1);
        p->pending[p->n_pending++] = (struct pending){(int)(row - p->rows), stamp};
    }
    row->calls++;
    row->flops += p->plan.flops;
    row->bytes += p->plan.bytes_moved;
}

/* --- the wrappers -----------------------------------------------------------------------------*/

/* X(operation, parameters, arguments) */
#define OPERATIONS(X)                                                                             \
    X(linear,                                                                                     \
      (struct backend * b, struct tensor out, struct tensor x, struct tensor w,                   \
       struct tensor bias, enum activation act),                                                  \
      (b, out, x, w, bias, act))                                                                  \
    X(conv2d,                                                                                     \
      (struct backend * b, struct tensor out, struct tensor x, struct tensor w,                   \
       struct tensor bias, int stride, int top, int left, int upsample),                          \
      (b, out, x, w, bias, stride, top, left, upsample))                                          \
    X(attention,                                                                                  \
      (struct backend * b, struct tensor out, struct tensor q, struct tensor k, struct tensor v,  \
       struct tensor bias, float scale, bool is_causal),                                          \
      (b, out, q, k, v, bias, scale, is_causal))                                                  \
    X(rms_norm_rope,                                                                              \
      (struct backend * b, struct tensor x, struct tensor weight, float eps, struct tensor c,     \
       struct tensor s),                                                                          \
      (b, x, weight, eps, c, s))                                                                  \
    X(layer_norm,                                                                                 \
      (struct backend * b, struct tensor out, struct tensor x, struct tensor weight,              \
       struct tensor bias, struct tensor scale, struct tensor shift, float eps),                  \
      (b, out, x, weight, bias, scale, shift, eps))                                               \
    X(rms_norm,                                                                                   \
      (struct backend * b, struct tensor out, struct tensor x, struct tensor weight, float eps),  \
      (b, out, x, weight, eps))                                                                   \
    X(group_norm,                                                                                 \
      (struct backend * b, struct tensor out, struct tensor x, struct tensor weight,              \
       struct tensor bias, int groups, float eps, enum activation act),                           \
      (b, out, x, weight, bias, groups, eps, act))                                                \
    X(activate, (struct backend * b, struct tensor out, struct tensor x, enum activation act),    \
      (b, out, x, act))                                                                           \
    X(add, (struct backend * b, struct tensor out, struct tensor x, struct tensor y),             \
      (b, out, x, y))                                                                             \
    X(mul, (struct backend * b, struct tensor out, struct tensor x, struct tensor y),             \
      (b, out, x, y))                                                                             \
    X(gated_add, (struct backend * b, struct tensor out, struct tensor gate, struct tensor x),    \
      (b, out, gate, x))                                                                          \
    X(axpy, (struct backend * b, struct tensor out, float alpha, struct tensor x),                \
      (b, out, alpha, x))                                                                         \
    X(affine, (struct backend * b, struct tensor out, struct tensor x, float scale, float shift), \
      (b, out, x, scale, shift))                                                                  \
    X(embed, (struct backend * b, struct tensor out, struct tensor table, struct tensor ids),     \
      (b, out, table, ids))                                                                       \
    X(copy, (struct backend * b, struct tensor out, struct tensor x), (b, out, x))                \
    X(to_rgb8, (struct backend * b, struct tensor out, struct tensor x), (b, out, x))

#define WRAP(op, parameters, arguments)  \
    static void profiled_##op parameters \
    {                                    \
        struct profile *p = b->profile;  \
        int64_t start_ns = before(p);    \
        p->original->op arguments;       \
        plan_reset(&p->plan);            \
        b = &p->plan.backend;            \
        b->ops->op arguments;            \
        after(p, #op, start_ns);         \
    }
OPERATIONS(WRAP)

#define INSTALL(op, parameters, arguments) p->wrapped.op = profiled_##op;

static void profiled_sync(struct backend *b)
{
    b->profile->original->sync(b);
    settle(b->profile);
}

static void profiled_range_begin(struct backend *b, const char *name, int index)
{
    struct profile *p = b->profile;
    if (p->depth < MAX_DEPTH) {
        p->ranges[p->depth] = name;
    }
    p->depth++;
    if (p->original->range_begin != NULL) {
        p->original->range_begin(b, name, index);
    }
}

/* Those that were open when the profile began are not known. */
static void profiled_range_end(struct backend *b)
{
    struct profile *p = b->profile;
    p->depth -= p->depth > 0 ? 1 : 0;
    if (p->original->range_end != NULL) {
        p->original->range_end(b);
    }
}

/* --- beginning and ending ---------------------------------------------------------------------*/

struct profile *profile_new(void) { return xcalloc(1, sizeof(struct profile)); }

void profile_free(struct profile *p)
{
    assert(p == NULL || p->backend == NULL);
    free(p);
}

void profile_begin(struct profile *p, struct backend *b)
{
    assert(p->backend == NULL && b->profile == NULL);
    p->backend = b;
    p->original = b->ops;
    p->wrapped = *b->ops;
    p->wrapped.sync = profiled_sync;
    p->wrapped.range_begin = profiled_range_begin;
    p->wrapped.range_end = profiled_range_end;
    OPERATIONS(INSTALL)
    p->depth = 0;
    p->begun_ns = clock_now_ns();
    plan_init(&p->plan, b->compute);
    b->profile = p;
    b->ops = &p->wrapped;
}

void profile_end(struct profile *p)
{
    p->all_ns += clock_now_ns() - p->begun_ns;
    p->n_pending = 0; /* of a run that was broken off */
    p->backend->ops = p->original;
    p->backend->profile = NULL;
    p->backend = NULL;
}

const struct profile_row *profile_rows(const struct profile *p, int *n)
{
    *n = p->n_rows;
    return p->rows;
}

double profile_seconds(const struct profile *p) { return clock_seconds(p->all_ns); }

/* --- the table --------------------------------------------------------------------------------*/

static int longest_first(const void *a, const void *b)
{
    double x = ((const struct profile_row *)a)->seconds,
           y = ((const struct profile_row *)b)->seconds;
    return (x < y) - (x > y);
}

/* Add a row to that of the same key among n sums; the new n. */
static int add_to(struct profile_row *sums, int n, const char *range, const char *op,
                  const struct profile_row *row)
{
    int k = 0;
    while (k < n && (strcmp(sums[k].range, range) != 0 || strcmp(sums[k].op, op) != 0)) {
        k++;
    }
    if (k == n) {
        sums[n++] = (struct profile_row){.range = range, .op = op};
    }
    sums[k].calls += row->calls;
    sums[k].seconds += row->seconds;
    sums[k].flops += row->flops;
    sums[k].bytes += row->bytes;
    return n;
}

int profile_by_op(const struct profile *p, struct profile_row rows[PROFILE_OPS])
{
    int n = 0;
    for (int i = 0; i < p->n_rows; i++) {
        n = add_to(rows, n, "all", p->rows[i].op, &p->rows[i]);
    }
    qsort(rows, (size_t)n, sizeof rows[0], longest_first);
    return n;
}

static int by_range(const struct profile *p, struct profile_row rows[MAX_ROWS])
{
    int n = 0;
    for (int i = 0; i < p->n_rows; i++) {
        n = add_to(rows, n, p->rows[i].range, "all", &p->rows[i]);
    }
    qsort(rows, (size_t)n, sizeof rows[0], longest_first);
    return n;
}

static void print_rows(struct buf *out, const struct profile_row *rows, int n, double all_s)
{
    for (int i = 0; i < n; i++) {
        const struct profile_row *r = &rows[i];
        double s = r->seconds > 0 ? r->seconds : 1;
        buf_printf(out, "%-12s %-14s %7lld %10.4f %6.1f %9.1f %8.2f\n", *r->range ? r->range : "-",
                   r->op, (long long)r->calls, r->seconds, 100 * r->seconds / all_s,
                   r->flops / s / 1e9, r->bytes / s / 1e9);
    }
}

void profile_print(const struct profile *p, struct buf *out)
{
    struct profile_row rows[MAX_ROWS];
    double all_s = profile_seconds(p), in_s = 0;
    all_s = all_s > 0 ? all_s : 1;
    buf_printf(out, "%-12s %-14s %7s %10s %6s %9s %8s\n", "range", "operation", "calls", "seconds",
               "%", "GFLOP/s", "GB/s");
    int n = by_range(p, rows);
    print_rows(out, rows, n, all_s);
    for (int i = 0; i < n; i++) {
        in_s += rows[i].seconds;
    }
    print_rows(out, rows, profile_by_op(p, rows), all_s);
    memcpy(rows, p->rows, sizeof rows);
    qsort(rows, (size_t)p->n_rows, sizeof rows[0], longest_first);
    print_rows(out, rows, p->n_rows, all_s);
    buf_printf(out, "%-12s %-14s %7s %10.4f %6.1f\n", "all", "all", "", in_s, 100 * in_s / all_s);
    buf_printf(out, "%-12s %-14s %7s %10.4f %6.1f\n", "by the clock", "", "", all_s, 100.0);
}
