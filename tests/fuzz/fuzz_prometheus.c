/* Any bytes as metrics of a server: read twice, summarised, written. */
#include "base/json.h"
#include "client/timeline.h"
#include "tests/fuzz/fuzz.h"

#define STEP_NS INT64_C(1000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct timeline t = {0};
    size_t n_bad = timeline_scrape(&t, STEP_NS, (const char *)data, size);
    size_t n_series = t.n_series;
    CLAIM(n_bad <= size);
    CLAIM(timeline_scrape(&t, 2 * STEP_NS, (const char *)data, size) == n_bad);
    CLAIM(t.n_series == n_series && t.n_columns == 2); /* the same text has the same series */
    for (size_t i = 0; i < t.n_series; i++) {
        struct timeline_level level;
        double rise, seconds;
        timeline_family_of(&t, t.series[i].name);
        if (timeline_level(&t, &t.series[i], 0, 3 * STEP_NS, &level))
            CLAIM(level.stats.min <= level.stats.max);
        if (timeline_rise(&t, &t.series[i], 0, 3 * STEP_NS, &rise, &seconds))
            CLAIM(seconds == 1);
    }
    timeline_free(&t);
    return 0;
}
