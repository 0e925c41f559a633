#include "client/ab_order.h"

#include "client/random.h"

void ab_order_fill(bool *is_b, size_t n_pairs, enum ab_order order, int64_t seed)
{
    struct random random;
    random_init(&random, seed, "ab.order");
    for (size_t i = 0; i < n_pairs; i++) {
        bool is_b_first = order == AB_RANDOM ? random_below(&random, 2) == 1 : i % 2 == 1;
        is_b[2 * i] = is_b_first;
        is_b[2 * i + 1] = !is_b_first;
    }
}
