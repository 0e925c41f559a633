/* Rules by name: they hold for a model that is being loaded as for a file that is being written. */
#include "flux/quantise.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), tail = strlen(end);
    return size >= tail && strcmp(text + size - tail, end) == 0;
}

enum quant quantise_scheme(enum quant quant, const char *name, int rank)
{
    static const char *const BLOCKS[] = {"transformer_blocks.", "single_transformer_blocks.",
                                         "encoder.block."};
    bool is_table = ends_with(name, ".relative_attention_bias.weight");
    for (size_t i = 0; i < sizeof BLOCKS / sizeof BLOCKS[0]; i++) {
        if (rank == 2 && !is_table && starts_with(name, BLOCKS[i]) && ends_with(name, ".weight")) {
            return quant;
        }
    }
    return QUANT_NONE;
}

struct tensor quantise_new(enum quant quant, int64_t n, int64_t k)
{
    enum { ALIGN = 8 };
    struct tensor t = tensor_make(NULL, quant_dtype(quant), SHAPE(n, k));
    size_t codes = (quant_codes_size(t) + ALIGN - 1) / ALIGN * ALIGN;
    t.data = xmalloc(tensor_bytes(t) + ALIGN);
    t.scales = (char *)t.data + codes;
    return t;
}

struct job {
    struct tensor to, from;
    struct quantise_error *rows; /* one each, so that their sum has one order; NULL: not wanted */
    bool *is_bad;
};

static void quantise_row(void *ctx, int64_t r)
{
    const struct job *j = ctx;
    double *error_2 = j->rows != NULL ? &j->rows[r].error_2 : NULL;
    double *power = j->rows != NULL ? &j->rows[r].power : NULL;
    j->is_bad[r] = !quant_row(j->to, j->from, r, error_2, power);
}

bool quantise_matrix(struct backend *b, struct tensor from, enum quant quant, struct tensor *to,
                     struct quantise_error *error, struct error *err)
{
    int64_t n = from.dims[0], bad = -1;
    struct job job = {.to = quantise_new(quant, n, from.dims[1]),
                      .from = from,
                      .rows = error != NULL ? xcalloc((size_t)n, sizeof *job.rows) : NULL,
                      .is_bad = xcalloc((size_t)n, sizeof *job.is_bad)};
    backend_parallel(b, n, quantise_row, &job);
    for (int64_t r = n - 1; r >= 0; r--) {
        bad = job.is_bad[r] ? r : bad;
    }
    for (int64_t r = 0; error != NULL && r < n; r++) {
        error->error_2 += job.rows[r].error_2;
        error->power += job.rows[r].power;
    }
    free(job.rows);
    free(job.is_bad);
    *to = job.to;
    if (bad < 0) {
        return true;
    }
    free(to->data);
    to->data = NULL;
    return fail(err, ERR_INVALID, "row %lld holds NaN or infinity and can't be quantised",
                (long long)bad);
}

/* --- in files ---------------------------------------------------------------------------------*/

static const char *const STORED[] = {
    [QUANT_NONE] = "", [QUANT_INT8] = "I8", [QUANT_FP8] = "F8_E4M3", [QUANT_Q4] = "U8"};

const char *quantise_stored(enum quant quant) { return STORED[quant]; }

const char *quantise_stored_scale(enum quant quant)
{
    return quant_scale_dtype(quant_dtype(quant)) == DTYPE_F32 ? "F32" : "BF16";
}

enum quant quantise_of_stored(const char *type)
{
    for (int i = QUANT_INT8; i <= QUANT_Q4; i++) {
        if (strcmp(STORED[i], type) == 0) {
            return (enum quant)i;
        }
    }
    return QUANT_NONE;
}
