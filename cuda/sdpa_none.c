/* Without cuDNN's headers in the build: attention is ours. */
#include "cuda/cuda_internal.h"

void cuda_sdpa_open(struct cuda *c) { (void)c; }

void cuda_sdpa_close(struct cuda *c) { (void)c; }

void cuda_attention(struct backend *b, struct tensor out, struct tensor q, struct tensor k,
                    struct tensor v, struct tensor bias, float scale, bool is_causal)
{
    cuda_attention_own(b, out, q, k, v, bias, scale, is_causal);
}
