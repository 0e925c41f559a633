/* cuDNN's graph interface as far as attention in one operation goes, in the place of the library.
 *
 * A descriptor keeps its attributes; finalizing checks that all are there which its kind needs, and
 * what the library asks of tensors. (NVIDIA's own library takes the same tensors and the same
 * operation without a device; graphs need one.) Execution finds its way from the plan to the
 * tensors, checks their memory, and queues the sums on the stream, in double, rounded once. */
#include "tests/cuda_sim/cudnn.h"

#include <cudnn.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda_sim/runtime.h"

enum { MAX_ATTRIBUTES = 8, MAX_BYTES = 64, N_TENSORS = 5, SLOW_PARTS = 40 };

struct cudnn_sim cudnn_sim = {.version = CUDNN_VERSION};

struct attribute {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t n;
    char bytes[MAX_BYTES];
};

struct descriptor {
    cudnnBackendDescriptorType_t kind;
    bool is_final;
    int n;
    struct attribute attributes[MAX_ATTRIBUTES];
};

struct cudnnContext {
    cudaStream_t stream;
};

/* --- descriptors ------------------------------------------------------------------------------*/

static size_t width_of(cudnnBackendAttributeType_t type)
{
    switch ((int)type) {
    case CUDNN_TYPE_BOOLEAN:
        return sizeof(bool);
    case CUDNN_TYPE_DATA_TYPE:
        return sizeof(cudnnDataType_t);
    case CUDNN_TYPE_HEUR_MODE:
        return sizeof(cudnnBackendHeurMode_t);
    default: /* numbers of 64 bits, pointers */
        return 8;
    }
}

static const struct attribute *find(const struct descriptor *d, cudnnBackendAttributeName_t name)
{
    for (int i = 0; d && i < d->n; i++) {
        if (d->attributes[i].name == name)
            return &d->attributes[i];
    }
    return NULL;
}

/* The descriptor that an attribute is, if it is a finished one of that kind. */
static struct descriptor *link_of(const struct descriptor *d, cudnnBackendAttributeName_t name,
                                  cudnnBackendDescriptorType_t kind)
{
    struct descriptor *to = NULL;
    const struct attribute *a = find(d, name);
    if (a)
        memcpy(&to, a->bytes, sizeof to);
    return to && to->is_final && to->kind == kind ? to : NULL;
}

static const int64_t *numbers(const struct descriptor *d, cudnnBackendAttributeName_t name,
                              int64_t n)
{
    const struct attribute *a = find(d, name);
    return a && a->type == CUDNN_TYPE_INT64 && a->n == n ? (const int64_t *)(const void *)a->bytes
                                                         : NULL;
}

static cudnnDataType_t data_type(const struct descriptor *d)
{
    cudnnDataType_t type = CUDNN_DATA_INT8;
    const struct attribute *a = find(d, CUDNN_ATTR_TENSOR_DATA_TYPE);
    if (a)
        memcpy(&type, a->bytes, sizeof type);
    return type;
}

static bool is_by_value(const struct descriptor *d)
{
    const struct attribute *a = find(d, CUDNN_ATTR_TENSOR_IS_BY_VALUE);
    return a && a->bytes[0];
}

static bool is_tensor_right(const struct descriptor *d)
{
    return numbers(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1) && find(d, CUDNN_ATTR_TENSOR_DATA_TYPE) &&
           numbers(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1) &&
           numbers(d, CUDNN_ATTR_TENSOR_DIMENSIONS, 4) && numbers(d, CUDNN_ATTR_TENSOR_STRIDES, 4);
}

static const cudnnBackendAttributeName_t OPERANDS[N_TENSORS] = {
    CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC,
    CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC,
    CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC};

/* bf16 with neighbouring features, sizes that fit each other, a scale by value. */
static bool is_operation_right(const struct descriptor *d)
{
    const int64_t *dims[4], *strides[4];
    for (int i = 0; i < N_TENSORS; i++) {
        const struct descriptor *t = link_of(d, OPERANDS[i], CUDNN_BACKEND_TENSOR_DESCRIPTOR);
        if (!t || is_by_value(t) != (i == 4) ||
            data_type(t) != (i == 4 ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16))
            return false;
        if (i == 4)
            continue;
        dims[i] = numbers(t, CUDNN_ATTR_TENSOR_DIMENSIONS, 4);
        strides[i] = numbers(t, CUDNN_ATTR_TENSOR_STRIDES, 4);
        if (strides[i][3] != 1 || dims[i][3] != dims[0][3] || dims[i][0] != dims[0][0] ||
            dims[i][1] != dims[0][1] || dims[i][3] % 8 != 0)
            return false;
    }
    return dims[1][2] == dims[2][2] && dims[3][2] == dims[0][2];
}

size_t cudnnGetVersion(void) { return cudnn_sim.version; }

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    *handle = calloc(1, sizeof **handle);
    return *handle ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_ALLOC_FAILED;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    free(handle);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t kind,
                                           cudnnBackendDescriptor_t *made)
{
    struct descriptor *d = calloc(1, sizeof *d);
    if (d)
        d->kind = kind;
    *made = d;
    return d ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_ALLOC_FAILED;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor)
{
    free(descriptor);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n,
                                       const void *values)
{
    struct descriptor *d = descriptor;
    if (d->is_final || n < 1 || n * (int64_t)width_of(type) > MAX_BYTES || d->n == MAX_ATTRIBUTES)
        return CUDNN_STATUS_BAD_PARAM;
    struct attribute *a = &d->attributes[d->n++];
    *a = (struct attribute){.name = name, .type = type, .n = n};
    memcpy(a->bytes, values, (size_t)n * width_of(type));
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor)
{
    struct descriptor *d = descriptor;
    bool is_right = true;
    switch ((int)d->kind) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
        is_right = is_tensor_right(d);
        break;
    case CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR:
        is_right = is_operation_right(d);
        break;
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
        is_right =
            find(d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE) &&
            link_of(d, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR);
        break;
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
        is_right =
            find(d, CUDNN_ATTR_ENGINEHEUR_MODE) && link_of(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                                           CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
        break;
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
        is_right =
            !cudnn_sim.has_no_plan && find(d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE) &&
            link_of(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
        cudnn_sim.n_plans += is_right;
        break;
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
        is_right = numbers(d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, N_TENSORS) &&
                   find(d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS) &&
                   find(d, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
        break;
    default:
        is_right = false;
        break;
    }
    d->is_final = is_right;
    return is_right ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

/* One proposal, which knows its graph; a plan needs no workspace. */
cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n_wanted,
                                       int64_t *n, void *values)
{
    const struct descriptor *d = descriptor;
    if (!d->is_final || n_wanted < 1)
        return CUDNN_STATUS_BAD_PARAM;
    *n = 1;
    if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && type == CUDNN_TYPE_INT64) {
        *(int64_t *)values = 0;
        return CUDNN_STATUS_SUCCESS;
    }
    if (name != CUDNN_ATTR_ENGINEHEUR_RESULTS)
        return CUDNN_STATUS_NOT_SUPPORTED;
    struct descriptor *config = *(struct descriptor **)values;
    const struct attribute *graph = find(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    if (!config || config->kind != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)
        return CUDNN_STATUS_BAD_PARAM;
    config->attributes[config->n++] = *graph;
    config->is_final = true;
    return CUDNN_STATUS_SUCCESS;
}

/* --- execution --------------------------------------------------------------------------------*/

struct run {
    int64_t dims[4][4], strides[4][4]; /* of q, k, v, out: B, H, L, Dh */
    char *data[4];
    double scale;
};

/* One row of an operand, if it is in device memory (and written). */
static uint16_t *row_of(const struct run *r, int operand, int64_t b, int64_t h, int64_t l)
{
    const int64_t *s = r->strides[operand];
    char *row = r->data[operand] + (b * s[0] + h * s[1] + l * s[2]) * 2;
    size_t bytes = (size_t)r->dims[operand][3] * 2;
    if (vgpu_device_of(row, bytes) < 0 || (operand < 3 && !vgpu_is_initialised(row, bytes))) {
        vgpu_report(VGPU_LIBRARY, 0,
                    "cuDNN: operand %d: a row outside an allocation, or not written", operand);
        return NULL;
    }
    return (uint16_t *)(void *)row;
}

static bool attend(const struct run *r, int64_t b, int64_t h, int64_t l, double *weights)
{
    const int64_t width = r->dims[0][3], keys = r->dims[1][2];
    const uint16_t *q = row_of(r, 0, b, h, l);
    uint16_t *out = row_of(r, 3, b, h, l);
    double sum = 0.0;
    for (int64_t j = 0; j < keys; j++) {
        const uint16_t *k = row_of(r, 1, b, h, j);
        weights[j] = 0.0;
        if (!q || !out || !k)
            return false;
        for (int64_t i = 0; i < width; i++)
            weights[j] += (double)vgpu_from_bf16(q[i]) * (double)vgpu_from_bf16(k[i]);
        weights[j] = exp(weights[j] * r->scale);
        sum += weights[j];
    }
    for (int64_t i = 0; i < width; i++) {
        double x = 0.0;
        for (int64_t j = 0; j < keys; j++) {
            const uint16_t *v = row_of(r, 2, b, h, j);
            if (!v)
                return false;
            x += weights[j] / sum * (double)vgpu_from_bf16(v[i]);
        }
        out[i] = vgpu_to_bf16((float)(cudnn_sim.is_wrong ? x * 1.02 : x));
    }
    vgpu_mark_initialised(out, (size_t)width * 2);
    return true;
}

static void run(void *data)
{
    struct run *r = data;
    double *weights = malloc((size_t)r->dims[1][2] * sizeof *weights);
    int64_t rows = r->dims[0][0] * r->dims[0][1] * r->dims[0][2];
    bool goes_on = weights != NULL;
    for (int64_t i = 0; goes_on && i < rows; i++)
        goes_on = attend(r, i / (r->dims[0][1] * r->dims[0][2]), i / r->dims[0][2] % r->dims[0][1],
                         i % r->dims[0][2], weights);
    free(weights);
}

/* A part of a slow execution: it has its price on the device's clock. */
static void nothing(void *data) { (void)data; }

/* Runs stay allocated: graphs replay them. */
static struct run *runs[256];

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack)
{
    const struct descriptor *config =
        link_of(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    const struct descriptor *graph = link_of(config, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                             CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    const struct descriptor *op =
        link_of(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR);
    const int64_t *uids = numbers(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, N_TENSORS);
    const struct attribute *pointers = find(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    int slot = cudnn_sim.n_executions;
    if (!op || !uids || !pointers || cudnn_sim.fails || slot == sizeof runs / sizeof runs[0])
        return CUDNN_STATUS_EXECUTION_FAILED;
    struct run *r = runs[slot] ? runs[slot] : malloc(sizeof *r);
    runs[slot] = r;
    cudnn_sim.n_executions++;
    for (int i = 0; r && i < N_TENSORS; i++) {
        const struct descriptor *t = link_of(op, OPERANDS[i], CUDNN_BACKEND_TENSOR_DESCRIPTOR);
        int64_t uid = *numbers(t, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1);
        int at = 0;
        void *data;
        while (at < N_TENSORS && uids[at] != uid)
            at++;
        if (at == N_TENSORS)
            return CUDNN_STATUS_BAD_PARAM;
        memcpy(&data, pointers->bytes + (size_t)at * sizeof data, sizeof data);
        if (i == 4) {
            r->scale = (double)*(const float *)data;
            continue;
        }
        if ((uintptr_t)data % (uintptr_t)*numbers(t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1) != 0)
            return CUDNN_STATUS_BAD_PARAM;
        r->data[i] = data;
        memcpy(r->dims[i], numbers(t, CUDNN_ATTR_TENSOR_DIMENSIONS, 4), sizeof r->dims[i]);
        memcpy(r->strides[i], numbers(t, CUDNN_ATTR_TENSOR_STRIDES, 4), sizeof r->strides[i]);
    }
    for (int i = 0; cudnn_sim.is_slow && i < SLOW_PARTS; i++)
        (void)cudaLaunchHostFunc(handle->stream, nothing, NULL);
    return r && cudaLaunchHostFunc(handle->stream, run, r) == cudaSuccess
               ? CUDNN_STATUS_SUCCESS
               : CUDNN_STATUS_EXECUTION_FAILED;
}
