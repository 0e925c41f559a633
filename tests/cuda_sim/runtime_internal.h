/* What the parts of the runtime stand-in share: the lock, devices, streams and their work. */
#pragma once

#include <pthread.h>

#include "tests/cuda_sim/runtime.h"

enum work_kind {
    WORK_KERNEL,
    WORK_COPY,
    WORK_SET,
    WORK_RECORD,
    WORK_WAIT,
    WORK_HOST,
    WORK_FREE,
    WORK_CALL
};

/* Work of a library that may have to wait for another device. Both are called with the lock held.
 */
struct call {
    int references;
    bool (*is_ready)(struct call *call);
    cudaError_t (*run)(struct call *call);
    void (*free)(struct call *call);
};

/* Set when a recorded event's turn has come; shared by the record, its waits and the event. */
struct flag {
    int references;
    bool is_set;
    int64_t time_ns; /* when it was set */
    int replay;      /* index among a graph's flags while it is replayed */
};

struct work {
    struct work *next;
    enum work_kind kind;
    int branch; /* of the graph it was captured in */
    union {
        struct runtime_launch kernel; /* arguments owned */
        struct {
            void *to;
            const void *from;
            void *staged; /* owned copy of pageable memory, or NULL */
            size_t width, height, to_pitch, from_pitch;
            enum cudaMemcpyKind kind;
        } copy;
        struct {
            void *to;
            int value;
            size_t bytes;
        } set;
        struct flag *flag; /* a reference */
        struct {
            cudaHostFn_t function;
            void *data;
        } host;
        void *memory;
        struct call *call; /* a reference */
    };
};

struct queue {
    struct work *first, *last;
};

struct CUevent_st {
    struct flag *flag;          /* of the latest record; NULL before */
    struct CUgraph_st *capture; /* that the latest record went into */
    int device;
};

struct CUstream_st {
    struct CUstream_st *next; /* in the list of all streams */
    struct queue queue;
    int device, number;
    bool is_busy;      /* its first work runs right now, without the lock */
    bool is_temporary; /* made for a branch of a graph; freed when empty */
    struct CUgraph_st *capture;
    int branch; /* in the capture */
};

/* A graph keeps its work in the order of capture; each piece knows its branch. */
struct CUgraph_st {
    struct queue queue;
    int n_branches, n_flags;
    struct CUstream_st *origin;
    pthread_t thread; /* that captures */
    enum cudaStreamCaptureMode mode;
    bool is_invalid;
};

struct device {
    cudaError_t error; /* of queued work, for the next synchronisation */
    bool is_sticky;
};

/* --- runtime_device.c ------------------------------------------------------------------------*/

bool runtime_is_recording(void); /* between cudaProfilerStart and cudaProfilerStop */
void runtime_lock(void);
void runtime_unlock(void);
pthread_mutex_t *runtime_mutex(void); /* for waiting on a condition while locked */

/* Lock, and the sticky error of the current device or the lack of one, if any. Every API function
 * begins with it; on failure the lock is not held. */
cudaError_t runtime_enter(void);

/* Unlock and return error, which cudaGetLastError gives as well. */
cudaError_t runtime_leave(cudaError_t error);

int runtime_device(void); /* current */
struct device *runtime_device_at(int device);
void runtime_note_error(int device, cudaError_t error); /* of queued work */
cudaError_t runtime_take_error(int device);
void runtime_count_sync(void);
uint64_t runtime_launches(void); /* runtime_kernel.c */
void runtime_count_malloc(void);
void runtime_note_peak(size_t bytes);
void runtime_count_graph(void);

/* --- runtime_stream.c ------------------------------------------------------------------------*/

struct flag *flag_new(void);
struct flag *flag_share(struct flag *flag);
void flag_drop(struct flag *flag);

struct work *work_new(enum work_kind kind);
void work_free(struct work *work);
void queue_append(struct queue *queue, struct work *work);

/* Something outside of the queues has happened that work may wait for. */
void stream_notify(void);

/* Queue work on a stream (NULL: all streams first, then run it at once), or add it to the capture.
 * Takes the work over. */
cudaError_t stream_enqueue(cudaStream_t stream, struct work *work);
struct CUstream_st *stream_new(int device);

/* Run until the stream is empty, the flag is set, or (both NULL) the device has no work left;
 * device -1: all devices. */
void stream_drain(struct CUstream_st *stream, const struct flag *flag, int device);

/* Is the calling thread capturing something that forbids this call? Invalidates the capture. */
bool stream_capture_forbids(void);

/* The end of a capture, for all streams in it. */
void stream_leave_capture(const struct CUgraph_st *graph);

/* --- runtime_memory.c ------------------------------------------------------------------------*/

bool memory_is_pinned(const void *p);
cudaError_t memory_copy_now(const struct work *work);
cudaError_t memory_set_now(const struct work *work);

/* --- runtime_kernel.c ------------------------------------------------------------------------*/

cudaError_t kernel_run_now(const struct work *work, int device);
