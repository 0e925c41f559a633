/* Queries, keys and values travel together: beside each other in one buffer they are one exchange
 * per attention instead of three. */
#include "flux/ulysses.h"

struct span span_of(struct share share, int64_t all)
{
    if (share.n <= 1) {
        return (struct span){0, all};
    }
    int64_t short_one = all / share.n, n_long = all % share.n, rank = share.rank;
    return (struct span){rank * short_one + (rank < n_long ? rank : n_long),
                         short_one + (rank < n_long)};
}

struct shares shares_of(const struct backend *b, int64_t n_text, int64_t n_image)
{
    struct shares s = {0};
    for (int rank = 0; rank < b->share.n; rank++) {
        struct share one = {.rank = rank, .n = b->share.n};
        s.image[rank] = span_of(one, n_image).count;
        s.tokens[rank] = span_of(one, n_text).count + s.image[rank];
    }
    return s;
}

/* [B, L, H, Dh] as [B, L, n, W]: the heads of each rank side by side. */
static struct tensor by_rank(struct tensor t, int n)
{
    return tensor_split(tensor_join(t, 2), 2, n);
}

/* [n, B, L, W] as [B, L, n, W]. */
static struct tensor ranks_inside(struct tensor t)
{
    return tensor_swap(tensor_swap(t, 0, 1), 1, 2);
}

void ulysses_attention(struct backend *b, struct tensor out, struct tensor q, struct tensor k,
                       struct tensor v, float scale, const struct shares *shares)
{
    enum { N_PARTS = 3 };
    int n = b->share.n;
    if (n <= 1) {
        op_attention(b, out, q, k, v, tensor_none(), scale, false);
        return;
    }
    size_t mark = scratch_mark(b);
    const struct tensor parts[N_PARTS] = {q, k, v};
    int64_t batch = q.dims[0], own = q.dims[1], heads = q.dims[2] / n, all = 0;
    int64_t width = heads * q.dims[3];
    for (int rank = 0; rank < n; rank++) {
        all += shares->tokens[rank];
    }
    struct tensor sent = scratch_take(b, b->compute, SHAPE(n, batch, own, N_PARTS * width));
    struct tensor joined = scratch_take(b, b->compute, SHAPE(batch, all, N_PARTS * width));
    struct tensor attended = scratch_take(b, b->compute, SHAPE(batch, all, heads, q.dims[3]));
    for (int i = 0; i < N_PARTS; i++) {
        struct tensor to = tensor_slice(sent, 3, i * width, width);
        op_copy(b, ranks_inside(to), by_rank(parts[i], n));
    }
    op_exchange(b, joined, sent, shares->tokens);
    struct tensor whole = tensor_split(joined, 2, N_PARTS * heads); /* [B, L, 3 h, Dh] */
    op_attention(b, attended, tensor_slice(whole, 2, 0, heads),
                 tensor_slice(whole, 2, heads, heads), tensor_slice(whole, 2, 2 * heads, heads),
                 tensor_none(), scale, false);
    struct tensor back = tensor_make(sent.data, b->compute, SHAPE(n, batch, own, width));
    op_exchange(b, back, tensor_join(attended, 2), shares->tokens);
    op_copy(b, by_rank(out, n), ranks_inside(back));
    scratch_release(b, mark);
}

void ulysses_gather(struct backend *b, struct tensor latents, const struct shares *shares)
{
    int n = b->share.n;
    if (n <= 1) {
        return;
    }
    struct span own = span_own(b, latents.dims[1]);
    struct tensor mine = tensor_slice(latents, 1, own.start, own.count);
    op_exchange(b, latents, tensor_repeat(tensor_unsqueeze(mine, 0), 0, n), shares->image);
}
