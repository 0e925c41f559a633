/* Operands, comparison and the runs. */
#include "tests/ops/harness.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tensor/dtype.h"
#include "tensor/quant.h"

/* --- types ------------------------------------------------------------------------------------*/

enum { N_DTYPES = 2, EXIT_SKIPPED = 77 };

static const enum dtype DTYPES[N_DTYPES] = {DTYPE_F32, DTYPE_BF16};
static const double DEFAULT_BOUNDS[N_DTYPES] = {1e-12, 1e-5};

/* --- numbers ----------------------------------------------------------------------------------*/

/* xorshift64*, Vigna 2016. */
static double uniform(struct lab *lab)
{
    lab->random ^= lab->random >> 12;
    lab->random ^= lab->random << 25;
    lab->random ^= lab->random >> 27;
    return (double)((lab->random * 0x2545f4914f6cdd1dull) >> 11) * 0x1p-53;
}

double lab_normal(struct lab *lab)
{
    double u = 1.0 - uniform(lab), v = uniform(lab);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

double lab_round(enum dtype dtype, double x) { return (double)dtype_round(dtype, (float)x); }

/* --- operands ---------------------------------------------------------------------------------*/

static int64_t elements(struct shape s)
{
    int64_t n = 1;
    for (int i = 0; i < s.rank; i++)
        n *= s.dims[i];
    return n;
}

/* Offset in elements of the i-th element (row-major) of a window. */
static int64_t offset_of(struct tensor t, int64_t i)
{
    int64_t offset = 0;
    for (int a = t.rank - 1; a >= 0; a--) {
        offset += i % t.dims[a] * t.strides[a];
        i /= t.dims[a];
    }
    return offset;
}

static void store(void *data, enum dtype dtype, int64_t at, double x)
{
    if (dtype == DTYPE_I32)
        ((int32_t *)data)[at] = (int32_t)x;
    else if (dtype == DTYPE_U8)
        ((uint8_t *)data)[at] = (uint8_t)x;
    else
        dtype_store(data, dtype, at, (float)x);
}

static double load(const void *data, enum dtype dtype, int64_t at)
{
    if (dtype == DTYPE_I32)
        return ((const int32_t *)data)[at];
    if (dtype == DTYPE_U8)
        return ((const uint8_t *)data)[at];
    return (double)dtype_load(data, dtype, at);
}

static struct operand *operand_new(struct lab *lab, enum dtype dtype, struct shape shape,
                                   enum layout layout)
{
    struct operand *o = calloc(1, sizeof *o);
    assert_non_null(o);
    o->next = lab->operands;
    lab->operands = o;
    struct shape around = shape;
    for (int a = 0; layout == WINDOW && a < shape.rank; a++)
        around.dims[a] += a == shape.rank - 1 ? 5 : 2; /* odd: nothing stays aligned */
    o->full = tensor_make(NULL, dtype, around);
    struct error err = {0};
    size_t bytes = tensor_bytes(o->full);
    o->full.data = backend_alloc(lab->backend, bytes, &err);
    assert_non_null(o->full.data);
    o->t = o->full;
    for (int a = 0; layout == WINDOW && a < shape.rank; a++)
        o->t = tensor_slice(o->t, a, a == shape.rank - 1 ? 3 : 1, shape.dims[a]);
    o->values = calloc((size_t)elements(shape) + 1, sizeof(double));
    o->before = malloc(bytes + 1);
    assert_true(o->values && o->before);
    for (size_t i = 0; i < bytes; i++)
        ((unsigned char *)o->before)[i] = (unsigned char)(0x40 + i % 31); /* about 3 as a float */
    return o;
}

/* Where the window begins inside full, in elements. */
static int64_t window_start(const struct operand *o)
{
    return ((const char *)o->t.data - (const char *)o->full.data) /
           (int64_t)dtype_bytes(o->full.dtype);
}

static void operand_upload(struct lab *lab, struct operand *o)
{
    for (int64_t i = 0; i < tensor_elements(o->t); i++)
        store(o->before, o->t.dtype, window_start(o) + offset_of(o->t, i), o->values[i]);
    backend_upload(lab->backend, o->full, o->before);
}

struct operand *operand_random(struct lab *lab, enum dtype dtype, struct shape shape,
                               enum layout layout)
{
    struct operand *o = operand_new(lab, dtype, shape, layout);
    double scale = lab->op_case->scale != 0.0 ? lab->op_case->scale : 1.0;
    for (int64_t i = 0; i < elements(shape); i++)
        o->values[i] = lab_round(dtype, lab_normal(lab) * scale);
    operand_upload(lab, o);
    return o;
}

struct operand *operand_from(struct lab *lab, enum dtype dtype, struct shape shape,
                             enum layout layout, const double *values)
{
    struct operand *o = operand_new(lab, dtype, shape, layout);
    for (int64_t i = 0; i < elements(shape); i++)
        o->values[i] = lab_round(dtype, values[i]);
    operand_upload(lab, o);
    return o;
}

struct operand *operand_output(struct lab *lab, enum dtype dtype, struct shape shape,
                               enum layout layout)
{
    struct operand *o = operand_new(lab, dtype, shape, layout);
    backend_upload(lab->backend, o->full, o->before);
    return o;
}

struct operand *operand_indices(struct lab *lab, int64_t n, int64_t limit)
{
    struct operand *o = operand_new(lab, DTYPE_I32, SHAPE(n), DENSE);
    for (int64_t i = 0; i < n; i++)
        o->values[i] = floor(uniform(lab) * (double)limit);
    operand_upload(lab, o);
    return o;
}

struct operand *operand_weight(struct lab *lab, enum dtype dtype, struct shape shape,
                               enum weight_use use)
{
    struct operand *o = operand_new(lab, dtype, shape, DENSE);
    struct error err = {0};
    struct tensor host = tensor_make(o->before, dtype, shape);
    /* A table keeps the checkpoint's values until a row is read. */
    enum dtype rounded = use == WEIGHT_TABLE ? DTYPE_F32 : lab->dtype;
    for (int64_t i = 0; i < elements(shape); i++) {
        double x = lab_round(dtype, lab_normal(lab) / sqrt((double)shape.dims[shape.rank - 1]));
        store(o->before, dtype, i, x);
        o->values[i] = lab_round(rounded, x);
    }
    if (!backend_adopt(lab->backend, host, use, &o->t, &err))
        fail_msg("adopt: %s", err.text);
    assert_int_equal(o->t.rank, shape.rank);
    assert_memory_equal(o->t.dims, shape.dims, (size_t)shape.rank * sizeof shape.dims[0]);
    return o;
}

/* Codes and scales go into before; values are what they stand for. */
struct operand *operand_quantised(struct lab *lab, enum dtype dtype, int64_t n, int64_t k)
{
    struct operand *o = operand_new(lab, DTYPE_F32, SHAPE(n, k), DENSE);
    struct error err = {0};
    struct tensor host = tensor_make(NULL, dtype, SHAPE(n, k));
    struct tensor wide = tensor_make(o->before, DTYPE_F32, SHAPE(n, k));
    host.data = malloc(tensor_bytes(host) + 8);
    float *row = malloc((size_t)k * sizeof *row);
    assert_true(host.data && row);
    size_t scales_at = (quant_codes_size(host) + 3) / 4 * 4;
    host.scales = (char *)host.data + scales_at;
    for (int64_t i = 0; i < n * k; i++)
        store(o->before, DTYPE_F32, i, lab_normal(lab) / sqrt((double)k));
    for (int64_t r = 0; r < n; r++) {
        assert_true(quant_row(host, wide, r, NULL, NULL));
        quant_load_row(row, host, r);
        for (int64_t i = 0; i < k; i++)
            o->values[r * k + i] = (double)row[i];
    }
    if (!backend_adopt(lab->backend, host, WEIGHT_MATRIX, &o->t, &err))
        fail_msg("adopt: %s", err.text);
    assert_int_equal(o->t.dtype, dtype);
    free(host.data);
    free(row);
    return o;
}

static void operands_free(struct lab *lab)
{
    while (lab->operands) {
        struct operand *o = lab->operands;
        lab->operands = o->next;
        backend_free(lab->backend, o->full.data);
        free(o->values);
        free(o->before);
        free(o);
    }
}

/* --- comparison -------------------------------------------------------------------------------*/

static void *download(struct lab *lab, const struct operand *o)
{
    struct error err = {0};
    void *host = malloc(tensor_bytes(o->full) + 1);
    assert_non_null(host);
    if (!backend_download(lab->backend, host, o->full, &err))
        fail_msg("%s", err.text);
    return host;
}

/* Everything outside the window as it was uploaded? */
static void check_surroundings(const struct operand *o, const void *after)
{
    size_t bytes = dtype_bytes(o->full.dtype);
    int64_t n = tensor_elements(o->full);
    bool *is_inside = calloc((size_t)n, sizeof *is_inside);
    assert_non_null(is_inside);
    for (int64_t i = 0; i < tensor_elements(o->t); i++)
        is_inside[window_start(o) + offset_of(o->t, i)] = true;
    for (int64_t i = 0; i < n; i++) {
        size_t at = (size_t)i * bytes;
        if (!is_inside[i] &&
            memcmp((const char *)after + at, (const char *)o->before + at, bytes) != 0)
            fail_msg("element %lld outside the output was written", (long long)i);
    }
    free(is_inside);
}

static void print_index(char *text, size_t size, struct tensor t, int64_t i)
{
    int64_t index[TENSOR_MAX_RANK];
    size_t used = 0;
    for (int a = t.rank - 1; a >= 0; a--) {
        index[a] = i % t.dims[a];
        i /= t.dims[a];
    }
    text[0] = '\0';
    for (int a = 0; a < t.rank && used < size; a++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", a ? ", " : "",
                                 (long long)index[a]);
}

static void check(struct lab *lab, const struct operand *o, const double *expected, double bound)
{
    void *after = download(lab, o);
    double error = 0.0, power = 0.0, worst = -1.0;
    int64_t worst_at = 0;
    for (int64_t i = 0; i < tensor_elements(o->t); i++) {
        double got = load(after, o->t.dtype, window_start(o) + offset_of(o->t, i));
        double difference = isnan(got) ? INFINITY : fabs(got - expected[i]);
        error += difference * difference;
        power += expected[i] * expected[i];
        if (difference > worst) {
            worst = difference;
            worst_at = i;
        }
    }
    double nmse = error == 0.0 ? 0.0 : error / power;
    if (getenv("OPS_VERBOSE"))
        printf("    %-44s %-4s nmse %.2e\n", lab->op_case->name, dtype_name(lab->dtype), nmse);
    if (!(nmse <= bound)) {
        char index[80];
        print_index(index, sizeof index, o->t, worst_at);
        double got = load(after, o->t.dtype, window_start(o) + offset_of(o->t, worst_at));
        fail_msg("nmse %.3g > %.3g; worst at [%s]: %.9g, expected %.9g", nmse, bound, index, got,
                 expected[worst_at]);
    }
    check_surroundings(o, after);
    free(after);
}

void operand_check(struct lab *lab, struct operand *o, const double *expected)
{
    int d = lab->dtype == DTYPE_BF16;
    double bound = lab->op_case->bounds[d];
    check(lab, o, expected, bound != 0.0 ? bound : DEFAULT_BOUNDS[d]);
}

void operand_check_exactly(struct lab *lab, struct operand *o, const double *expected)
{
    check(lab, o, expected, 0.0);
}

void *operand_bits(struct lab *lab, struct operand *o) { return download(lab, o); }

/* --- running ----------------------------------------------------------------------------------*/

struct run {
    const struct op_case *op_case;
    const struct lab_backend *entry;
    struct backend *backend;
    enum dtype dtype;
    char name[128];
};

static void run_case(void **state)
{
    const struct run *run = *state;
    struct lab lab = {
        .backend = run->backend, .dtype = run->dtype, .op_case = run->op_case, .random = 1};
    for (const char *c = run->op_case->name; *c; c++)
        lab.random = lab.random * 1099511628211ull + (unsigned char)*c;
    if (run->entry->before)
        run->entry->before();
    run->op_case->run(&lab, run->op_case->p);
    operands_free(&lab);
    if (run->entry->after)
        run->entry->after();
}

/* Open what there is; entries of absent devices stay NULL. Returns 0 or the exit code. */
static int open_all(struct backend **opened)
{
    for (int b = 0; b < lab_n_backends * N_DTYPES; b++) {
        const char *name = LAB_BACKENDS[b / N_DTYPES].name;
        struct error err = {0};
        if (LAB_BACKENDS[b / N_DTYPES].open(&opened[b], DTYPES[b % N_DTYPES], &err))
            continue;
        if (err.code == ERR_DEVICE) {
            printf("skipping %s: %s\n", name, err.text);
            continue;
        }
        fprintf(stderr, "%s: %s\n", name, err.text);
        return getenv("FLUXBENCH_CPU_ISA") ? EXIT_SKIPPED : 1;
    }
    return 0;
}

/* One test per case, back end and type. */
int lab_main(const struct op_case *cases, int n_cases)
{
    size_t n_opened = (size_t)lab_n_backends * N_DTYPES;
    struct backend **opened = calloc(n_opened, sizeof(struct backend *));
    if (!opened)
        return 1;
    int result = open_all(opened);
    size_t n_max = (size_t)n_cases * n_opened, n = 0;
    struct CMUnitTest *tests = calloc(n_max, sizeof *tests);
    struct run *runs = calloc(n_max, sizeof *runs);
    for (int b = 0; tests && runs && b < lab_n_backends * N_DTYPES; b++) {
        enum dtype dtype = DTYPES[b % N_DTYPES];
        for (int c = 0; opened[b] && c < n_cases; c++, n++) {
            runs[n] = (struct run){.op_case = &cases[c],
                                   .entry = &LAB_BACKENDS[b / N_DTYPES],
                                   .backend = opened[b],
                                   .dtype = dtype};
            snprintf(runs[n].name, sizeof runs[n].name, "%s (%s, %s)", cases[c].name,
                     LAB_BACKENDS[b / N_DTYPES].name, dtype_name(dtype));
            tests[n] = (struct CMUnitTest){
                .name = runs[n].name, .test_func = run_case, .initial_state = &runs[n]};
        }
    }
    if (result == 0)
        result = _cmocka_run_group_tests("ops", tests, n, NULL, NULL);
    for (int b = 0; b < lab_n_backends * N_DTYPES; b++)
        backend_close(opened[b]);
    free(runs);
    free(tests);
    free(opened);
    return result;
}
