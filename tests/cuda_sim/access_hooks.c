/* What a compiler with -fsanitize=thread,alignment calls before each load and store. Kernels of
 * front end S are compiled with it and linked without the sanitizers' libraries: these functions
 * take their place and hand the access to the shadow memory, with the code address as its site.
 * Alignment needs the second one, since a load of a float4 may have become four loads by then. */
#include "tests/cuda_sim/vgpu.h"

#define SITE ((uintptr_t)__builtin_return_address(0))

#define HOOKS(n)                                                      \
    void __tsan_read##n(void *p);                                     \
    void __tsan_read##n(void *p) { vgpu_read(p, n, SITE); }           \
    void __tsan_write##n(void *p);                                    \
    void __tsan_write##n(void *p) { vgpu_write(p, n, SITE); }         \
    void __tsan_unaligned_read##n(void *p);                           \
    void __tsan_unaligned_read##n(void *p) { vgpu_read(p, n, SITE); } \
    void __tsan_unaligned_write##n(void *p);                          \
    void __tsan_unaligned_write##n(void *p) { vgpu_write(p, n, SITE); }

HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

void __tsan_read_range(void *p, size_t bytes);
void __tsan_read_range(void *p, size_t bytes) { vgpu_read(p, bytes, SITE); }
void __tsan_write_range(void *p, size_t bytes);
void __tsan_write_range(void *p, size_t bytes) { vgpu_write(p, bytes, SITE); }

void __tsan_vptr_update(void **p, void *value);
void __tsan_vptr_update(void **p, void *value)
{
    (void)p;
    (void)value;
}
void __tsan_vptr_read(void **p);
void __tsan_vptr_read(void **p) { (void)p; }
void __tsan_func_entry(void *p);
void __tsan_func_entry(void *p) { (void)p; }
void __tsan_func_exit(void);
void __tsan_func_exit(void) {}
void __tsan_init(void);
void __tsan_init(void) {}

/* The head of the record that the alignment sanitizer passes. */
struct type_mismatch {
    const char *file;
    uint32_t line, column;
    const void *type;
    unsigned char log2_alignment, kind;
};

void __ubsan_handle_type_mismatch_v1(const struct type_mismatch *what, uintptr_t address);
void __ubsan_handle_type_mismatch_v1(const struct type_mismatch *what, uintptr_t address)
{
    if (vgpu_self)
        vgpu_report(VGPU_MISALIGNED, what->line, "%s: %#lx isn't a multiple of %d", what->file,
                    (unsigned long)address, 1 << what->log2_alignment);
}
