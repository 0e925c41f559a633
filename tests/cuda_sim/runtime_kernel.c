/* Launching kernels: checks, function attributes, and the calls that nvcc's host code makes.
 *
 * nvcc turns a launch into __cudaPushCallConfiguration, a stub, and __cudaLaunchKernel, and
 * registers each kernel's name from a constructor; these entry points are undocumented and belong
 * to toolkit 13.0. Kernels come from front end S with their code, from PTX by name. */
#include "tests/cuda_sim/runtime_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_ATTRIBUTES = 1024,
    MAX_FUNCTIONS = 1024,
    MAX_PTX_FILES = 64,
    MAX_PARAMETER_BYTES = 4096,
    DEFAULT_DYNAMIC = 48 << 10,
};

static uint64_t n_launches;

uint64_t runtime_launches(void) { return n_launches; }

/* --- planted failures -------------------------------------------------------------------------*/

static struct {
    cudaError_t error;
    int countdown;
    bool is_sticky;
} planted;

void runtime_plant_failure(cudaError_t error, int after_kernels, bool is_sticky)
{
    planted.error = error;
    planted.countdown = after_kernels;
    planted.is_sticky = is_sticky;
}

/* CUDA_SIM_LOSE names a file: once it is there, the device whose number it holds is lost at its
 * next kernel. For programs, which have no other way to ask for it. */
static bool is_told_to_fail(int device)
{
    static const char *path;
    static bool is_known;
    if (!is_known) {
        path = getenv("CUDA_SIM_LOSE");
        is_known = true;
    }
    FILE *file = path ? fopen(path, "r") : NULL;
    char number[16] = "";
    bool is_told = file && fgets(number, sizeof number, file) && strtol(number, NULL, 10) == device;
    if (file)
        fclose(file);
    return is_told;
}

cudaError_t kernel_run_now(const struct work *work, int device)
{
    if (runtime_device_at(device)->is_sticky)
        return runtime_device_at(device)->error;
    if (!planted.error && is_told_to_fail(device))
        runtime_plant_failure(cudaErrorIllegalAddress, 0, true);
    if (planted.error && planted.countdown-- == 0) {
        cudaError_t error = planted.error;
        planted.error = cudaSuccess;
        runtime_note_error(device, error);
        runtime_device_at(device)->is_sticky = planted.is_sticky;
        return error;
    }
    const struct runtime_launch *k = &work->kernel;
    return vgpu_launch(device, k->name, k->grid, k->block, k->dynamic_bytes, k->run,
                       (void *)(uintptr_t)k->arguments, k->argument_bytes)
               ? cudaSuccess
               : cudaErrorInvalidConfiguration;
}

/* --- attributes -------------------------------------------------------------------------------*/

static struct {
    const void *function;
    int device, dynamic_bytes;
} attributes[MAX_ATTRIBUTES];
static int n_attributes;

static int dynamic_limit(const void *function)
{
    for (int i = 0; i < n_attributes; i++)
        if (attributes[i].function == function && attributes[i].device == runtime_device())
            return attributes[i].dynamic_bytes;
    return DEFAULT_DYNAMIC;
}

/* Attributes belong to the current device, as on real ones. */
cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute which, int value)
{
    int optin = 0;
    cudaError_t error =
        cudaDeviceGetAttribute(&optin, cudaDevAttrMaxSharedMemoryPerBlockOptin, runtime_device());
    if (error || which != cudaFuncAttributeMaxDynamicSharedMemorySize)
        return error;
    error = runtime_enter();
    if (error)
        return error;
    if (value > optin)
        return runtime_leave(cudaErrorInvalidValue);
    int i = 0;
    while (i < n_attributes &&
           !(attributes[i].function == function && attributes[i].device == runtime_device()))
        i++;
    if (i == MAX_ATTRIBUTES)
        return runtime_leave(cudaErrorMemoryAllocation);
    n_attributes += i == n_attributes;
    attributes[i].function = function;
    attributes[i].device = runtime_device();
    attributes[i].dynamic_bytes = value;
    return runtime_leave(cudaSuccess);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *n_blocks, const void *function,
                                                          int block_size, size_t dynamic_bytes)
{
    (void)function;
    (void)dynamic_bytes;
    *n_blocks = block_size > 512 ? 1 : 2;
    return cudaSuccess;
}

/* --- launch -----------------------------------------------------------------------------------*/

static cudaError_t launch_error(const struct runtime_launch *k)
{
    uint64_t n = (uint64_t)k->block.x * k->block.y * k->block.z;
    if (n == 0 || n > 1024 || k->grid.x == 0 || k->grid.y == 0 || k->grid.z == 0 ||
        k->grid.x > INT32_MAX || k->grid.y > UINT16_MAX || k->grid.z > UINT16_MAX ||
        k->block.z > 64)
        return cudaErrorInvalidConfiguration;
    if (k->dynamic_bytes > (size_t)dynamic_limit(k->function))
        return cudaErrorInvalidValue; /* cudaFuncSetAttribute was forgotten */
    if (k->max_threads && n > (uint64_t)k->max_threads)
        return cudaErrorInvalidValue; /* more than __launch_bounds__ promised */
    return cudaSuccess;
}

void runtime_launch(const struct runtime_launch *launch, cudaStream_t stream)
{
    if (runtime_enter())
        return;
    cudaError_t error = launch_error(launch);
    if (error) {
        runtime_leave(error);
        return;
    }
    struct work *work = work_new(WORK_KERNEL);
    void *arguments = malloc(launch->argument_bytes + 1);
    if (!arguments)
        abort();
    memcpy(arguments, launch->arguments, launch->argument_bytes);
    work->kernel = *launch;
    work->kernel.arguments = arguments;
    n_launches++;
    runtime_leave(stream_enqueue(stream, work));
}

/* --- kernels from PTX -------------------------------------------------------------------------*/

static struct {
    const struct runtime_ptx_kernel *kernels;
    int n;
} ptx_files[MAX_PTX_FILES];
static int n_ptx_files;

void runtime_register_ptx(const struct runtime_ptx_kernel *kernels, int n)
{
    if (n_ptx_files == MAX_PTX_FILES)
        abort();
    ptx_files[n_ptx_files].kernels = kernels;
    ptx_files[n_ptx_files++].n = n;
}

static const struct runtime_ptx_kernel *ptx_find(const char *name)
{
    for (int f = 0; f < n_ptx_files; f++)
        for (int i = 0; i < ptx_files[f].n; i++)
            if (strcmp(ptx_files[f].kernels[i].name, name) == 0)
                return &ptx_files[f].kernels[i];
    return NULL;
}

static cudaError_t ptx_launch(const struct runtime_ptx_kernel *kernel, const void *function,
                              struct vgpu_dim grid, struct vgpu_dim block, void **arguments,
                              size_t dynamic_bytes, cudaStream_t stream)
{
    unsigned char parameters[MAX_PARAMETER_BYTES] = {0};
    for (int i = 0; i < kernel->n_parameters; i++)
        memcpy(parameters + kernel->offsets[i], arguments[i], kernel->sizes[i]);
    cudaError_t before = cudaGetLastError();
    runtime_launch(&(struct runtime_launch){.name = kernel->name,
                                            .function = function,
                                            .grid = grid,
                                            .block = block,
                                            .dynamic_bytes = dynamic_bytes,
                                            .run = kernel->run,
                                            .arguments = parameters,
                                            .argument_bytes = (size_t)kernel->parameter_bytes,
                                            .max_threads = kernel->max_threads},
                   stream);
    cudaError_t error = cudaPeekAtLastError();
    if (!error && before)
        runtime_lock(), runtime_leave(before);
    return error;
}

cudaError_t runtime_launch_ptx(const char *name, struct vgpu_dim grid, struct vgpu_dim block,
                               void **arguments, size_t dynamic_bytes, cudaStream_t stream)
{
    const struct runtime_ptx_kernel *kernel = ptx_find(name);
    return kernel ? ptx_launch(kernel, kernel->name, grid, block, arguments, dynamic_bytes, stream)
                  : cudaErrorInvalidDeviceFunction;
}

/* --- what nvcc's host code calls --------------------------------------------------------------*/

static struct {
    const void *host;
    const char *name;
    const struct runtime_ptx_kernel *kernel; /* found at the first launch */
} functions[MAX_FUNCTIONS];
static int n_functions;

void **__cudaRegisterFatBinary(void *binary);
void **__cudaRegisterFatBinary(void *binary)
{
    static void *handle;
    (void)binary;
    return &handle;
}

void __cudaRegisterFatBinaryEnd(void **handle);
void __cudaRegisterFatBinaryEnd(void **handle) { (void)handle; }

void __cudaUnregisterFatBinary(void **handle);
void __cudaUnregisterFatBinary(void **handle) { (void)handle; }

/* Called by constructors, perhaps before those of the translated PTX. */
void __cudaRegisterFunction(void **handle, const char *host, char *device_function,
                            const char *name, int thread_limit, void *thread_id, void *block_id,
                            void *block_dim, void *grid_dim, int *warp_size);
void __cudaRegisterFunction(void **handle, const char *host, char *device_function,
                            const char *name, int thread_limit, void *thread_id, void *block_id,
                            void *block_dim, void *grid_dim, int *warp_size)
{
    (void)handle, (void)device_function, (void)thread_limit, (void)thread_id;
    (void)block_id, (void)block_dim, (void)grid_dim, (void)warp_size;
    if (n_functions == MAX_FUNCTIONS)
        abort();
    functions[n_functions].host = host;
    functions[n_functions++].name = name;
}

static const struct runtime_ptx_kernel *function_find(const void *host)
{
    for (int i = 0; i < n_functions; i++)
        if (functions[i].host == host) {
            if (!functions[i].kernel)
                functions[i].kernel = ptx_find(functions[i].name);
            return functions[i].kernel;
        }
    return NULL;
}

static _Thread_local struct {
    dim3 grid, block;
    size_t dynamic_bytes;
    cudaStream_t stream;
} configuration;

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t dynamic_bytes, void *stream);
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t dynamic_bytes, void *stream)
{
    configuration.grid = grid;
    configuration.block = block;
    configuration.dynamic_bytes = dynamic_bytes;
    configuration.stream = stream;
    return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *dynamic_bytes,
                                       void *stream);
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *dynamic_bytes, void *stream)
{
    *grid = configuration.grid;
    *block = configuration.block;
    *dynamic_bytes = configuration.dynamic_bytes;
    *(cudaStream_t *)stream = configuration.stream;
    return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *host);
cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *host)
{
    *kernel = (cudaKernel_t)(uintptr_t)host;
    return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void *host, dim3 grid, dim3 block, void **arguments,
                             size_t dynamic_bytes, cudaStream_t stream)
{
    const struct runtime_ptx_kernel *kernel = function_find(host);
    if (!kernel) {
        fprintf(stderr, "cuda_sim: launch of a kernel without translated PTX\n");
        runtime_lock();
        return runtime_leave(cudaErrorInvalidDeviceFunction);
    }
    return ptx_launch(kernel, host, (struct vgpu_dim){grid.x, grid.y, grid.z},
                      (struct vgpu_dim){block.x, block.y, block.z}, arguments, dynamic_bytes,
                      stream);
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments,
                               size_t dynamic_bytes, cudaStream_t stream);
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments,
                               size_t dynamic_bytes, cudaStream_t stream)
{
    return cudaLaunchKernel((const void *)kernel, grid, block, arguments, dynamic_bytes, stream);
}
