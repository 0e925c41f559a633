/* The table of one instruction set's build. */
#include "cpu/isa.h"

#define ISA_TEXT_(isa) #isa
#define ISA_TEXT(isa) ISA_TEXT_(isa)

const struct cpu_kernels KERNEL(cpu_kernels) = {
    .name = ISA_TEXT(CPU_ISA),
    .layer_norm = KERNEL(layer_norm),
    .rms_norm = KERNEL(rms_norm),
    .rms_norm_rope = KERNEL(rms_norm_rope),
    .group_norm = KERNEL(group_norm),
    .activate = KERNEL(activate),
    .add = KERNEL(add),
    .mul = KERNEL(mul),
    .gated_add = KERNEL(gated_add),
    .axpy = KERNEL(axpy),
    .affine = KERNEL(affine),
    .embed = KERNEL(embed),
    .copy = KERNEL(copy),
    .to_rgb8 = KERNEL(to_rgb8),
    .widen = KERNEL(widen),
    .narrow = KERNEL(narrow),
    .widen_pairs = KERNEL(widen_pairs),
    .unpack = KERNEL(unpack),
    .unpack_pairs = KERNEL(unpack_pairs),
    .transpose = KERNEL(transpose),
    .finish = KERNEL(finish),
    .gemv = KERNEL(gemv),
    .softmax = KERNEL(softmax),
    .accumulate = KERNEL(accumulate),
    .peak = KERNEL(peak),
    .peak_lanes = &KERNEL(peak_lanes),
};
