/* Convolution as a product without the gathered matrix: an output pixel is a row whose inputs the
 * kernels of gemm.cu fetch through taps, channels last, zeros outside. When the channels are a
 * multiple of eight every piece of 16 bytes lies within one tap. An upsampled picture is read in
 * place too: by halved coordinates. */
#include "cuda/cuda_internal.h"

void cuda_conv2d(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                 struct tensor bias, int stride, int pad_top, int pad_left, int upsample)
{
    const struct cuda_weight *weight = w.data;
    int64_t channels = x.dims[3], pixels = out.dims[0] * out.dims[1] * out.dims[2];
    if (pixels == 0)
        return;
    struct cuda_product p = {
        .x = x.data,
        .w = weight->data,
        .bias = bias.data,
        .out = out.data,
        .x_strides = {x.strides[0], x.strides[1], x.strides[2]},
        .out_strides = {out.dims[1] * out.dims[2] * weight->n, out.dims[2] * weight->n, weight->n},
        .w_row = weight->row,
        .dims1 = (int)out.dims[1],
        .dims2 = (int)out.dims[2],
        .rows = (int)pixels,
        .n = (int)weight->n,
        .k = (int)weight->k,
        .act = ACT_NONE,
        .dtype = x.dtype,
        .w_dtype = weight->dtype,
        .is_x_aligned = channels % CUDA_ROW == 0 && (uintptr_t)x.data % 16 == 0,
        .is_out_aligned = weight->n % CUDA_ROW == 0 && (uintptr_t)out.data % 16 == 0,
        .is_conv = true,
        .channels = (int)channels,
        .kernel_x = (int)weight->kernel_x,
        .stride = stride,
        .pad_top = pad_top,
        .pad_left = pad_left,
        .height = (int)x.dims[1] * upsample,
        .width = (int)x.dims[2] * upsample,
        .shift = upsample / 2, /* of 1 and 2 */
        .x_pitch = (int)x.strides[1],
    };
    cuda_product_run(cuda_use(b), &p);
}
