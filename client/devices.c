#include "client/devices.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define TERA 1e12
#define BREAKS " -_,;("

/* Narrower names come first. Figures "with sparsity" of the sources are halved. Sources:
 *   A100   NVIDIA A100 Tensor Core GPU datasheet (2021)
 *   H100   NVIDIA H100 Tensor Core GPU datasheet (SXM, PCIe, NVL)
 *   H200   NVIDIA H200 Tensor Core GPU datasheet
 *   L40S   NVIDIA L40S datasheet: 362.05 bf16, 864 GB/s
 *   B200   NVIDIA DGX B200 datasheet, an eighth of the system: 2.25 PFLOP/s dense, 8 TB/s
 *   4090   NVIDIA Ada GPU Architecture whitepaper, appendix A: bf16 with f32 accumulate
 */
static const struct device DEVICES[] = {
    {"A100 80GB SXM", {"A100", "SXM", "80GB"}, 312 * TERA, 2.039 * TERA},
    {"A100 80GB PCIe", {"A100", "80GB"}, 312 * TERA, 1.935 * TERA},
    {"A100 40GB", {"A100"}, 312 * TERA, 1.555 * TERA},
    {"H100 PCIe", {"H100", "PCIe"}, 756 * TERA, 2.0 * TERA},
    {"H100 NVL", {"H100", "NVL"}, 835.5 * TERA, 3.9 * TERA},
    {"H100 SXM", {"H100"}, 989.4 * TERA, 3.35 * TERA},
    {"H200 SXM", {"H200"}, 989.4 * TERA, 4.8 * TERA},
    {"L40S", {"L40S"}, 362.05 * TERA, 0.864 * TERA},
    {"B200", {"B200"}, 2250 * TERA, 8.0 * TERA},
    {"RTX 4090", {"RTX 4090"}, 165.2 * TERA, 1.008 * TERA},
};

/* As whole words: "GB200" is no B200, "4090 Laptop" and "4090 D" are others. */
static bool has_word(const char *name, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = name; *p; p++) {
        bool is_start = p == name || strchr(BREAKS, p[-1]);
        if (is_start && strncasecmp(p, word, n) == 0 && strchr(BREAKS, p[n]))
            return true; /* strchr finds the NUL too */
    }
    /* SXM4, SXM5 */
    return strcmp(word, "SXM") == 0 && strcasestr(name, "SXM");
}

static bool is_variant(const char *name)
{
    static const char *const OTHERS[] = {"Laptop", "4090 D", "MIG"};
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        if (strcasestr(name, OTHERS[i]))
            return true;
    }
    return false;
}

const struct device *device_find(const char *name)
{
    for (size_t i = 0; i < sizeof DEVICES / sizeof DEVICES[0] && !is_variant(name); i++) {
        bool has_all = true;
        for (size_t k = 0; k < 3 && DEVICES[i].words[k]; k++)
            has_all = has_all && has_word(name, DEVICES[i].words[k]);
        if (has_all)
            return &DEVICES[i];
    }
    return NULL;
}
