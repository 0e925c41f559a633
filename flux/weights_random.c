/* Random bits index a table of values that are already in the tensor's type: billions of weights
 * are then a matter of seconds. A tensor is cut into pieces of a fixed size, each with a generator
 * of its own, so that threads need no order. */
#include "flux/weights_random.h"

#include <math.h>
#include <string.h>

#include "tensor/dtype.h"
#include "tensor/quant.h"
#include "tensor/random_values.h"

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += RANDOM_STEP;
    z = (z ^ (z >> 30)) * RANDOM_MIX_1;
    z = (z ^ (z >> 27)) * RANDOM_MIX_2;
    return z ^ (z >> 31);
}

/* A generator of each parameter's own, so that one does not depend on which others are loaded. */
static uint64_t random_of(uint64_t seed, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *name != '\0'; name++) {
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    }
    return h ^ seed;
}

/* And of each of its pieces. */
static uint64_t random_of_piece(uint64_t parameter, int64_t piece)
{
    uint64_t state = parameter + (uint64_t)piece * RANDOM_PIECE_STEP;
    return random_next(&state);
}

/* Layers that add to a residual stream are small, so that dozens of them do not let it grow; so
 * are those that make the pipeline's outputs. */
static float damping(const char *name)
{
    static const char *const OUTPUTS[] = {
        ".out_proj.weight", ".fc2.weight",      ".SelfAttention.o.weight",
        ".wo.weight",       ".to_out.0.weight", ".to_add_out.weight",
        ".net.2.weight",    "proj_out.weight",  ".conv2.weight",
    };
    for (size_t i = 0; i < sizeof OUTPUTS / sizeof OUTPUTS[0]; i++) {
        size_t size = strlen(name), tail = strlen(OUTPUTS[i]);
        if (size >= tail && strcmp(name + size - tail, OUTPUTS[i]) == 0) {
            return 0.25f;
        }
    }
    return 1.0f;
}

/* --- floats -----------------------------------------------------------------------------------*/

enum { TABLE_SIZE = 1 << RANDOM_BITS };

struct fill {
    struct tensor t;
    uint64_t parameter; /* its generator */
    union {
        uint32_t wide[TABLE_SIZE];
        uint16_t narrow[TABLE_SIZE];
        uint8_t codes[256];
    } table;
    float scale; /* of codes */
};

static void fill_piece(void *ctx, int64_t piece)
{
    const struct fill *f = ctx;
    int64_t n = tensor_elements(f->t), first = piece * RANDOM_PIECE;
    int64_t end = n - first < RANDOM_PIECE ? n : first + RANDOM_PIECE;
    uint64_t state = random_of_piece(f->parameter, piece), bits = 0;
    bool is_wide = dtype_bytes(f->t.dtype) == sizeof(uint32_t);
    for (int64_t i = first; i < end; i++) {
        bits = i % RANDOM_DRAWS == 0 ? random_next(&state) : bits >> RANDOM_BITS;
        if (is_wide) {
            ((uint32_t *)f->t.data)[i] = f->table.wide[bits % TABLE_SIZE];
        } else {
            ((uint16_t *)f->t.data)[i] = f->table.narrow[bits % TABLE_SIZE];
        }
    }
}

static void fill_floats(struct backend *b, struct fill *f, float middle, float spread)
{
    for (int i = 0; i < TABLE_SIZE; i++) {
        float x = ((float)i + 0.5f) * 2.0f / TABLE_SIZE - 1.0f;
        dtype_store(&f->table, f->t.dtype, i, middle + spread * x);
    }
    backend_parallel(b, (tensor_elements(f->t) + RANDOM_PIECE - 1) / RANDOM_PIECE, fill_piece, f);
}

/* --- codes ------------------------------------------------------------------------------------*/

/* A row of codes and its scales. */
static void fill_row(void *ctx, int64_t r)
{
    const struct fill *f = ctx;
    int64_t k = f->t.dims[1], bytes = quant_code_bytes(f->t.dtype, k);
    int64_t n_scales = quant_n_scales(f->t.dtype, k);
    uint8_t *codes = (uint8_t *)f->t.data + r * bytes;
    uint64_t state = random_of_piece(f->parameter, r), bits = 0;
    for (int64_t i = 0; i < bytes; i++) {
        bits = i % 8 == 0 ? random_next(&state) : bits >> 8;
        codes[i] = f->table.codes[bits & 0xff];
    }
    for (int64_t s = 0; s < n_scales; s++) {
        dtype_store(f->t.scales, quant_scale_dtype(f->t.dtype), r * n_scales + s, f->scale);
    }
}

/* A nibble without -8, for which zero comes twice: the mean is 0. */
static uint8_t nibble(int i) { return (uint8_t)(i == 0 ? 8 : i); }

/* What byte i stands for: uniform values up to the largest code. */
static void fill_codes(struct backend *b, struct fill *f, float spread)
{
    float largest = f->t.dtype == DTYPE_INT8 ? 127.0f : f->t.dtype == DTYPE_FP8 ? 448.0f : 7.0f;
    for (int i = 0; i < 256; i++) {
        float x = ((float)i + 0.5f) * 2.0f / 256 - 1.0f;
        int code = f->t.dtype == DTYPE_INT8  ? (int8_t)lrintf(x * largest)
                   : f->t.dtype == DTYPE_FP8 ? f8_from_float(x * largest)
                                             : nibble(i & 15) | nibble(i >> 4) << 4;
        f->table.codes[i] = (uint8_t)code;
    }
    f->scale = spread / largest;
    backend_parallel(b, f->t.dims[0], fill_row, f);
}

struct random_values weights_random_values(struct tensor like, enum weight_use use,
                                           const char *name, uint64_t seed)
{
    int64_t fan_in =
        like.rank > 1 && use != WEIGHT_TABLE ? tensor_elements(like) / like.dims[0] : 1;
    bool is_vector = use == WEIGHT_VECTOR, is_scale = is_vector && strstr(name, "bias") == NULL;
    return (struct random_values){
        .parameter = random_of(seed, name),
        .middle = is_scale ? 1.0f : 0.0f,
        .spread = is_scale    ? 0.0f
                  : is_vector ? 0.02f
                              : damping(name) * sqrtf(3.0f / (float)fan_in),
    };
}

void weights_random_fill(struct backend *b, struct tensor t, enum weight_use use, const char *name,
                         uint64_t seed)
{
    struct random_values values = weights_random_values(t, use, name, seed);
    struct fill fill = {.t = t, .parameter = values.parameter};
    if (dtype_is_quantised(t.dtype)) {
        fill_codes(b, &fill, values.spread);
    } else {
        fill_floats(b, &fill, values.middle, values.spread);
    }
}
