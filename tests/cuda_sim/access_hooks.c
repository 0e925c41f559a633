/* What a compiler with -fsanitize=thread calls before each load and store. Kernels of front end S
 * are compiled with it and linked without the sanitizer's library: these functions take its place
 * and hand the access to the shadow memory, with the code address as its site. */
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
