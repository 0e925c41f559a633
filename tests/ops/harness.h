/* Operations on any back end against references in double precision.
 *
 * A case describes one call: it makes operands on the back end under test, calls the operation,
 * computes the reference and compares. Every case runs on every back end of the program's table
 * and in every activation type, as a test of its own. */
#pragma once

#include "tensor/ops.h"

/* A back end of the table. The table is linked in: backends_cpu.c here, tests/cuda for devices. */
struct lab_backend {
    const char *name;
    bool (*open)(struct backend **out, enum dtype compute, struct error *err);
    void (*before)(void); /* each case, or NULL */
    void (*after)(void);
};

extern const struct lab_backend LAB_BACKENDS[];
extern const int lab_n_backends;

/* Where a case runs. */
struct lab {
    struct backend *backend;
    enum dtype dtype; /* of activations: the back end's compute type */
    uint64_t random;  /* state of the generator, seeded by the case's name */
    const struct op_case *op_case;
    struct operand *operands; /* all made so far, freed after the case */
};

enum layout {
    DENSE,
    WINDOW,  /* cut out of a larger tensor along every axis; what surrounds it must stay */
    SPECIAL, /* for a case's own use */
};

/* One row of the table. What p and flag mean is said beside each case function. */
struct op_case {
    const char *name;
    void (*run)(struct lab *lab, const int64_t *p);
    int64_t p[10];
    enum layout layout;
    double scale;     /* of random inputs; 0 means 1 */
    double bounds[2]; /* normalised mean squared error allowed in f32, bf16; 0: the defaults */
};

/* A tensor on the back end together with its values as doubles, in row-major order. */
struct operand {
    struct operand *next;
    struct tensor t;    /* the window that operations get */
    struct tensor full; /* the dense tensor around it; data is back-end memory, owned */
    double *values;     /* owned */
    void *before;       /* owned: host copy of full as uploaded */
};

/* Random operand (normal, times the case's scale), rounded to dtype. */
struct operand *operand_random(struct lab *lab, enum dtype dtype, struct shape shape,
                               enum layout layout);

/* The same with given values (copied). */
struct operand *operand_from(struct lab *lab, enum dtype dtype, struct shape shape,
                             enum layout layout, const double *values);

/* An output: filled with a pattern that is no result. */
struct operand *operand_output(struct lab *lab, enum dtype dtype, struct shape shape,
                               enum layout layout);

/* Integers 0 .. limit - 1 as i32. */
struct operand *operand_indices(struct lab *lab, int64_t n, int64_t limit);

/* A random weight of the type that the case wants, adopted; values are what the back end must
 * compute with (rounded to bf16 when compute is bf16). */
struct operand *operand_weight(struct lab *lab, enum dtype dtype, struct shape shape,
                               enum weight_use use);

/* A random matrix [n, k] quantised as dtype, adopted; values are codes x scales, unrounded. Only on
 * back ends that take it. */
struct operand *operand_quantised(struct lab *lab, enum dtype dtype, int64_t n, int64_t k);

/* Download and compare with expected; fails the test with the worst element when the normalised
 * mean squared error passes the case's bound, or when anything around the window has changed. */
void operand_check(struct lab *lab, struct operand *o, const double *expected);

/* The same without tolerance, for u8 and copies. */
void operand_check_exactly(struct lab *lab, struct operand *o, const double *expected);

double lab_normal(struct lab *lab); /* standard normal */
double lab_round(enum dtype dtype, double x);

/* Bits of an output after the download, dense; owned by the caller. */
void *operand_bits(struct lab *lab, struct operand *o);

/* Run all cases on all back ends: the main() of a test program. */
int lab_main(const struct op_case *cases, int n_cases);
