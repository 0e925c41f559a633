/* Public figures of devices: what they can do at best. */
#pragma once

struct device {
    const char *name;
    const char *words[3]; /* all must be in the name that the driver tells; NULL: no more */
    double peak_flops;    /* a second: dense bf16 with f32 accumulation */
    double bandwidth;     /* of its memory, bytes a second */
};

/* The device of that name ("NVIDIA H100 80GB HBM3"), or NULL. */
const struct device *device_find(const char *name);
