/* Warp operations on 32-bit values: shuffles, votes, reductions, matches. */
#include "tests/cuda_sim/vgpu_internal.h"

/* Numbers that tell simultaneous operations of a warp apart (vgpu_meet). */
enum { OP_SYNC = 1, OP_VOTE, OP_MATCH, OP_SHUFFLE = 100, OP_REDUCE = 200 };

struct lane_value {
    uint32_t value, b, c, result;
    bool is_in_range;
};

/* --- shuffles ---------------------------------------------------------------------------------*/

/* Source lane by the pseudo code of PTX's shfl.sync. */
static int source_lane(enum vgpu_shuffle op, int lane, const struct lane_value *v,
                       bool *is_in_range)
{
    int clamp = (int)(v->c & 31), segment = (int)(v->c >> 8 & 31), b = (int)(v->b & 31);
    int highest = (lane & segment) | (clamp & ~segment), lowest = lane & segment, source;
    if (op == VGPU_SHUFFLE_UP) {
        source = lane - b;
        *is_in_range = source >= highest;
    } else {
        source = op == VGPU_SHUFFLE_DOWN  ? lane + b
                 : op == VGPU_SHUFFLE_XOR ? lane ^ b
                                          : (lowest | (b & ~segment));
        *is_in_range = source <= highest;
    }
    return *is_in_range ? source : lane;
}

static void shuffle_all(uint32_t mask, void **arguments, enum vgpu_shuffle op)
{
    struct lane_value **lanes = (struct lane_value **)arguments;
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
        int lane = lowest_lane(rest);
        int source = source_lane(op, lane, lanes[lane], &lanes[lane]->is_in_range);
        if (mask >> source & 1) {
            lanes[lane]->result = lanes[source]->value;
            continue;
        }
        uint32_t thread = vgpu_self->warp * VGPU_WARP + (uint32_t)lane;
        vgpu_report(VGPU_SHUFFLE_SOURCE, vgpu_threads[thread].site,
                    "lane %d reads lane %d, which is not in the mask", lane, source);
        lanes[lane]->result = UINT32_MAX;
    }
}

static void shuffle_up(uint32_t mask, void **a) { shuffle_all(mask, a, VGPU_SHUFFLE_UP); }
static void shuffle_down(uint32_t mask, void **a) { shuffle_all(mask, a, VGPU_SHUFFLE_DOWN); }
static void shuffle_xor(uint32_t mask, void **a) { shuffle_all(mask, a, VGPU_SHUFFLE_XOR); }
static void shuffle_index(uint32_t mask, void **a) { shuffle_all(mask, a, VGPU_SHUFFLE_INDEX); }

uint32_t vgpu_shuffle(enum vgpu_shuffle op, uint32_t value, uint32_t b, uint32_t c, uint32_t mask,
                      uint8_t *is_in_range, uintptr_t site)
{
    static const vgpu_meeting_fn all[] = {shuffle_up, shuffle_down, shuffle_xor, shuffle_index};
    struct lane_value mine = {.value = value, .b = b, .c = c};
    vgpu_meet(mask, OP_SHUFFLE + (int)op, all[op], &mine, site);
    if (is_in_range)
        *is_in_range = mine.is_in_range;
    return mine.result;
}

/* --- votes, reductions, matches ---------------------------------------------------------------*/

static void give_all(uint32_t mask, struct lane_value **lanes, uint32_t result)
{
    for (uint32_t rest = mask; rest; rest &= rest - 1)
        lanes[lowest_lane(rest)]->result = result;
}

/* Also notes who voted: lanes may have returned by the time that others look. */
static void vote_all(uint32_t mask, void **arguments)
{
    struct lane_value **lanes = (struct lane_value **)arguments;
    uint32_t votes = 0;
    for (uint32_t rest = mask; rest; rest &= rest - 1)
        votes |= lanes[lowest_lane(rest)]->value << lowest_lane(rest);
    for (uint32_t rest = mask; rest; rest &= rest - 1)
        lanes[lowest_lane(rest)]->c = mask;
    give_all(mask, lanes, votes);
}

uint32_t vgpu_vote(enum vgpu_vote op, bool claim, uint32_t mask, uintptr_t site)
{
    struct lane_value mine = {.value = claim};
    vgpu_meet(mask, OP_VOTE, vote_all, &mine, site);
    return op == VGPU_BALLOT ? mine.result
           : op == VGPU_ANY  ? mine.result != 0
                             : mine.result == mine.c;
}

static uint32_t combine(enum vgpu_reduction op, uint32_t x, uint32_t y)
{
    switch (op) {
    case VGPU_ADD:
        return x + y;
    case VGPU_AND:
        return x & y;
    case VGPU_OR:
        return x | y;
    case VGPU_XOR:
        return x ^ y;
    case VGPU_MIN_S32:
        return (int32_t)x < (int32_t)y ? x : y;
    case VGPU_MAX_S32:
        return (int32_t)x > (int32_t)y ? x : y;
    case VGPU_MIN_U32:
        return x < y ? x : y;
    case VGPU_MAX_U32:
        break;
    }
    return x > y ? x : y;
}

static void reduce_all(uint32_t mask, void **arguments)
{
    struct lane_value **lanes = (struct lane_value **)arguments;
    struct lane_value *first = lanes[lowest_lane(mask)];
    uint32_t result = first->value;
    for (uint32_t rest = mask & (mask - 1); rest; rest &= rest - 1)
        result = combine((enum vgpu_reduction)first->b, result, lanes[lowest_lane(rest)]->value);
    give_all(mask, lanes, result);
}

uint32_t vgpu_reduce(enum vgpu_reduction op, uint32_t value, uint32_t mask, uintptr_t site)
{
    struct lane_value mine = {.value = value, .b = op};
    vgpu_meet(mask, OP_REDUCE + (int)op, reduce_all, &mine, site);
    return mine.result;
}

static void match_all(uint32_t mask, void **arguments)
{
    struct lane_value **lanes = (struct lane_value **)arguments;
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
        struct lane_value *mine = lanes[lowest_lane(rest)];
        mine->result = 0;
        for (uint32_t others = mask; others; others &= others - 1)
            if (lanes[lowest_lane(others)]->value == mine->value)
                mine->result |= 1u << lowest_lane(others);
    }
}

uint32_t vgpu_match_any(uint32_t value, uint32_t mask, uintptr_t site)
{
    struct lane_value mine = {.value = value};
    vgpu_meet(mask, OP_MATCH, match_all, &mine, site);
    return mine.result;
}

/* --- __syncwarp -------------------------------------------------------------------------------*/

static void sync_all(uint32_t mask, void **arguments)
{
    (void)arguments;
    for (uint32_t rest = mask; rest; rest &= rest - 1)
        vgpu_threads[vgpu_self->warp * VGPU_WARP + (uint32_t)lowest_lane(rest)].warp_epoch++;
}

void vgpu_sync_warp(uint32_t mask, uintptr_t site)
{
    vgpu_meet(mask, OP_SYNC, sync_all, NULL, site);
}
